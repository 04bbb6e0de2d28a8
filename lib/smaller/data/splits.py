"""One way to ask for data, whether it lies in files or is embedded in the package: tables, examples, and lines.

Files are read once; from then on their tables are mapped into memory from the cache. Data sets are named; one that is
only described will do as well. A language is a code, or of `sentences`, `check` and `fingerprint` several with plus
signs: "amh+hau+yor" is the labelled data of all three, one after another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from smaller.base.errors import SmallerError
from smaller.data import datasets, files, readers, sample, tables, tasks
from smaller.data.datasets import ABOUT_FILE, Dataset
from smaller.data.examples import Example, ReadReport, report_on
from smaller.data.languages import language as language_of
from smaller.data.sample import topics
from smaller.data.tables import Lines
from smaller.data.tasks import Task
from smaller.data.texts import read_lines

if TYPE_CHECKING:
    from datasets import Dataset as Table
    from datasets import DatasetDict

EMBEDDED = {"sample": sample, "sample-topics": topics}
"""The data sets that come with the package, by name."""


def check(dataset: str, language: str, *splits: str) -> None:
    """Raise SmallerError unless the data set is known and has the language, and these splits of it; touches no file."""
    known = datasets.dataset(dataset)
    for code in language.split("+"):
        if dataset in EMBEDDED:
            EMBEDDED[dataset].check(code)
            continue
        language_of(code)
        known.require(code)
        for split in splits:
            known.require_split(code, split)


def check_text(corpus: str, language: str) -> None:
    """Raise SmallerError unless the data set is known and has text in the language; touches no file.

    Unlabelled text, or the training sentences of a labelled data set.
    """
    check(corpus, language, *(() if is_text(corpus) else ("train",)))


def has_text(corpus: str, language: str) -> bool:
    """Whether `check_text` finds nothing wrong."""
    return _holds(check_text, corpus, language)


def has_training(dataset: str, language: str) -> bool:
    """Whether the data set has a training split in the language."""
    return _holds(check, dataset, language, "train")


def _holds(what: Callable[..., None], *asked: str) -> bool:
    try:
        what(*asked)
    except SmallerError:
        return False
    return True


def is_text(corpus: str) -> bool:
    """Whether a data set holds unlabelled text of its own."""
    return corpus == "sample" or datasets.dataset(corpus).task == "text"


def languages(dataset: str) -> tuple[str, ...]:
    """The codes of the languages that a data set has."""
    known = datasets.dataset(dataset)
    return EMBEDDED[dataset].ALL if dataset in EMBEDDED else known.languages


def task(dataset: str | Dataset) -> Task:
    """The task that a data set is for; unlabelled text has none."""
    known = datasets.dataset(dataset)
    if known.task == "text":
        raise SmallerError(f"The data set {known.name!r} has no labels to train on or to score against.")
    return tasks.task(known.task)


def entity_types(dataset: str | Dataset) -> tuple[str, ...]:
    """The classes that a data set labels (entity types, parts of speech, topics ...), in the order of its label set."""
    task(dataset)  # an error where there are no labels
    return datasets.dataset(dataset).tags


def labels(dataset: str | Dataset) -> tuple[str, ...]:
    """The labels that a classifier for a data set has."""
    return task(dataset).labels(entity_types(dataset))


def load(name: str, language: str) -> DatasetDict:
    """All splits of a language of a data set, as the ecosystem's libraries take them.

    `tokens` with `ner_tags` or `upos`, `text` with `label`, or `text` alone; labels are `ClassLabel`s. Tables of files
    are mapped into memory. The splits are train, dev and test, as far as there are any.
    """
    from datasets import DatasetDict

    which = datasets.dataset(name)
    if name not in EMBEDDED:
        which.require(language)
    splits = EMBEDDED[name].SIZES if name in EMBEDDED else which.splits_of(language)
    return DatasetDict({split: _table(which, language, split)[0] for split in splits})


def sentences(dataset: str | Dataset, language: str, split: str) -> list[Example]:
    """The labelled sentences, or texts, of a split; made once in a process, while their file does not change."""
    if "+" in language:
        return [sentence for code in language.split("+") for sentence in sentences(dataset, code, split)]
    which = datasets.dataset(dataset)
    task(which)  # an error where there are no labels
    if which.name in EMBEDDED:
        return list(EMBEDDED[which.name].sentences(language, split))
    which.require(language)
    changed = (which.kept / ABOUT_FILE if which.kept else files.find(which, language, split)).stat()
    return list(_examples(which, language, split, (changed.st_mtime_ns, changed.st_size)))


@lru_cache(maxsize=256)
def _examples(which: Dataset, code: str, split: str, _: tuple[int, int]) -> tuple[Example, ...]:
    return tables.examples_of(_table(which, code, split)[0], which.task)


def text(dataset: str, language: str) -> Sequence[str]:
    """The unlabelled lines of a language; of a labelled data set, its training sentences. Large ones stay on disk."""
    if not is_text(dataset):
        return [" ".join(example.words) for example in sentences(dataset, language, "train")]
    if dataset == "sample":
        return sample.text(language)
    return Lines(_table(datasets.dataset(dataset), language, "train")[0])


def some_lines(dataset: str, language: str, limit: int) -> list[str]:
    """At most `limit` lines, evenly spread, since a corpus holds its sources one after another; 0 takes all."""
    lines = text(dataset, language)
    if isinstance(lines, Lines) and 0 < limit < len(lines):
        return lines.take(spread(range(len(lines)), limit))
    return spread(lines, limit)


def spread(rows: Sequence, limit: int) -> list:
    """At most `limit` of the rows, evenly spread over them; all for 0."""
    if not 0 < limit < len(rows):
        return list(rows)
    return [rows[index * len(rows) // limit] for index in range(limit)]


def report(dataset: str | Dataset, language: str, split: str) -> ReadReport:
    """What the file of a split held; of a split that came without a file, what shows in its examples."""
    which = datasets.dataset(dataset)
    about = {} if which.name in EMBEDDED else _table(which, language, split)[1]
    return ReadReport(**about["report"]) if "report" in about else report_on(sentences(which, language, split))


def _table(which: Dataset, code: str, split: str) -> tuple[Table, dict]:
    """One split as a table, and what is known about it: a `report` of what its file held, where it had one."""
    names = () if which.task == "text" else labels(which)
    if which.name in EMBEDDED:
        return tables.table_of(EMBEDDED[which.name].sentences(code, split), which.task, names), {}
    which.require(code)
    if which.kept:
        which.require_split(code, split)
        files.fingerprint(which, code)  # an error where a table is not what was brought
        return tables.read(which.kept, split)
    path, ending, source = files.find(which, code, split), Path(which.file(code, split)).suffix, which.source(code)
    key = [files.content_checksum(path), ending, which.task, *names, *source.columns, *sorted(source.labels.items())]

    def read() -> tuple[Table, dict]:
        if which.task == "text" and ending == ".txt":
            return tables.table_of(read_lines(path), "text"), {}
        if which.task == "text":
            return tables.lines_table(
                readers.text_column(path, source.columns[0], rows=source.rows), where=str(path)
            ), {}
        own = {"classes": which.tags, "columns": source.columns, "translated": source.labels}
        found = readers.read(path, which.task, **own)
        return tables.table_of(found.examples, which.task, names), {"report": asdict(found.report)}

    return tables.kept(repr([*key, source.rows] if source.rows else key), read)


def fingerprint(dataset: str, language: str) -> str:
    """The checksum that stands for all labelled splits of a language."""
    if "+" in language:
        return hashlib.sha256("".join(fingerprint(dataset, code) for code in language.split("+")).encode()).hexdigest()
    return EMBEDDED[dataset].fingerprint(language) if dataset in EMBEDDED else files.fingerprint(dataset, language)


def text_fingerprint(dataset: str, language: str) -> str:
    """The checksum of a language's text."""
    return fingerprint(dataset, language)
