"""The tables of a data set: read from its files once, and from then on mapped into memory from the cache."""

from __future__ import annotations

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from smaller.base.errors import SmallerError
from smaller.data import readers, sample, tables, tasks
from smaller.data.datasets import ABOUT_FILE, Dataset, dataset
from smaller.data.examples import Example
from smaller.data.files import content_checksum, find, fingerprint
from smaller.data.report import ReadReport, report_on
from smaller.data.rows import text_column
from smaller.data.sample import topics
from smaller.data.texts import read_lines

if TYPE_CHECKING:
    from datasets import Dataset as Table
    from datasets import DatasetDict

EMBEDDED = {"sample": sample, "sample-topics": topics}
"""The data sets that come with the package, by name."""


def load(name: str, language: str) -> DatasetDict:
    """All splits of a language of a data set, as the ecosystem's libraries take them.

    `tokens` with `ner_tags` or `upos`, `text` with `label`, or `text` alone; labels are `ClassLabel`s. Tables of files
    are mapped into memory. The splits are train, dev and test, as far as there are any.
    """
    from datasets import DatasetDict

    which = dataset(name)
    if name in EMBEDDED:
        splits = EMBEDDED[name].SIZES
    else:
        which.require(language)
        splits = which.splits_of(language)
    return DatasetDict({split: table(which, language, split)[0] for split in splits})


def table(which: Dataset, code: str, split: str) -> tuple[Table, dict]:
    """One split as a table, and what is known about it: a `report` of what its file held, where it had one."""
    if which.name in EMBEDDED:
        examples = EMBEDDED[which.name].sentences(code, split)
        return tables.table_of(examples, which.task, labels(which)), {}
    which.require(code)
    if which.kept:
        which.require_split(code, split)
        fingerprint(which, code)  # an error where a table is not what was brought
        return tables.read(which.kept, split)
    path, ending = find(which, code, split), Path(which.file(code, split)).suffix
    source = which.source(code)
    key = [
        content_checksum(path),
        ending,
        which.task,
        *labels(which),
        *source.columns,
        *sorted(source.labels.items()),
        *([source.rows] if source.rows else []),
    ]
    return tables.kept(repr(key), lambda: _read(which, code, path, ending))


def labels(which: Dataset) -> tuple[str, ...]:
    """The labels that a classifier for a data set has; none for unlabelled text."""
    return tasks.TASKS[which.task].labels(which.tags) if which.task in tasks.TASKS else ()


def _read(which: Dataset, code: str, path: Path, ending: str) -> tuple[Table, dict]:
    source = which.source(code)
    if which.task == "text":
        return _read_text(path, ending, source.columns[0], rows=source.rows), {}
    columns = source.columns or None
    found = readers.read(path, which.task, classes=which.tags, columns=columns, translated=source.labels)
    return tables.table_of(found.examples, which.task, labels(which)), {"report": asdict(found.report)}


def _read_text(path: Path, ending: str, column: str, *, rows: int) -> Table:
    if ending == ".txt":
        return tables.text_table(read_lines(path))
    return tables.lines_table(text_column(path, column, rows=rows), where=str(path))


def examples(which: Dataset, code: str, split: str) -> tuple[Example, ...]:
    """The labelled sentences or texts of a split; they are made once in a process while their file does not change."""
    _require_labels(which)
    if which.name in EMBEDDED:
        return EMBEDDED[which.name].sentences(code, split)
    return _examples_once(which, code, split, _state(which, code, split))


def report(which: Dataset, code: str, split: str) -> ReadReport:
    """What the file of a split held; of a split that came without a file, what shows in its examples."""
    _require_labels(which)
    about = {} if which.name in EMBEDDED else table(which, code, split)[1]
    return ReadReport(**about["report"]) if "report" in about else report_on(examples(which, code, split))


def lines(which: Dataset, code: str) -> tables.Lines:
    """The unlabelled lines of a language, in the order of their file."""
    if which.task != "text":
        raise SmallerError(f"The data set {which.name!r} has no unlabelled text; its task is {which.task!r}.")
    return tables.Lines(table(which, code, "train")[0])


def _require_labels(which: Dataset) -> None:
    if which.task not in tasks.TASKS:
        raise SmallerError(f"The data set {which.name!r} has no labelled sentences; its task is {which.task!r}.")


def _state(which: Dataset, code: str, split: str) -> tuple[int, int]:
    """What changes when a file is written again: the time of its last change, and its size."""
    which.require(code)
    place = which.kept / ABOUT_FILE if which.kept else find(which, code, split)
    return place.stat().st_mtime_ns, place.stat().st_size


@lru_cache(maxsize=256)
def _examples_once(which: Dataset, code: str, split: str, _: tuple[int, int]) -> tuple[Example, ...]:
    return tables.examples_of(table(which, code, split)[0], which.task)
