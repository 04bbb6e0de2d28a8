"""One way to ask for data, whether it lies in files or is embedded in the package.

A language is a code, or several with plus signs: "amh+hau+yor" is the labelled data of all three, one after another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from smaller.base.errors import SmallerError
from smaller.data import datasets, files, sample, store
from smaller.data.examples import Example
from smaller.data.languages import language as language_of
from smaller.data.store import EMBEDDED
from smaller.data.tables import Lines
from smaller.data.tasks import Task
from smaller.data.tasks import task as task_of


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
    try:
        check_text(corpus, language)
    except SmallerError:
        return False
    return True


def has_training(dataset: str, language: str) -> bool:
    """Whether the data set has a training split in the language."""
    try:
        check(dataset, language, "train")
    except SmallerError:
        return False
    return True


def is_text(corpus: str) -> bool:
    """Whether a data set holds unlabelled text of its own."""
    return corpus == "sample" or datasets.dataset(corpus).task == "text"


def languages(dataset: str) -> tuple[str, ...]:
    """The codes of the languages that a data set has."""
    if datasets.dataset(dataset).name == "sample":
        return (*sample.LANGUAGES, sample.UNSEEN)
    if dataset in EMBEDDED:
        return EMBEDDED[dataset].LANGUAGES
    return datasets.dataset(dataset).languages


def task(dataset: str) -> Task:
    """The task that a data set is for; unlabelled text has none."""
    known = datasets.dataset(dataset)
    if known.task == "text":
        raise SmallerError(f"The data set {dataset!r} has no labels to train on or to score against.")
    return task_of(known.task)


def entity_types(dataset: str) -> tuple[str, ...]:
    """The classes that a data set labels (entity types, parts of speech, topics ...), in the order of its label set."""
    task(dataset)  # an error where there are no labels
    return datasets.dataset(dataset).tags


def labels(dataset: str) -> tuple[str, ...]:
    """The labels that a classifier for a data set has."""
    return task(dataset).labels(entity_types(dataset))


def sentences(dataset: str, language: str, split: str) -> list[Example]:
    """The labelled sentences, or texts, of a split."""
    if "+" in language:
        return [sentence for code in language.split("+") for sentence in sentences(dataset, code, split)]
    if dataset in EMBEDDED:
        return list(EMBEDDED[dataset].sentences(language, split))
    return list(store.examples(datasets.dataset(dataset), language, split))


def text(dataset: str, language: str) -> Sequence[str]:
    """The unlabelled lines of a language; of a labelled data set, its training sentences. Large ones stay on disk."""
    if not is_text(dataset):
        return [" ".join(example.words) for example in sentences(dataset, language, "train")]
    return sample.text(language) if dataset == "sample" else store.lines(datasets.dataset(dataset), language)


def some_lines(dataset: str, language: str, limit: int) -> list[str]:
    """At most `limit` lines, evenly spread, since a corpus holds its sources one after another; 0 takes all."""
    lines = text(dataset, language)
    if not 0 < limit < len(lines):
        return list(lines)
    places = [index * len(lines) // limit for index in range(limit)]
    return lines.take(places) if isinstance(lines, Lines) else [lines[place] for place in places]


def fingerprint(dataset: str, language: str) -> str:
    """The checksum that stands for all labelled splits of a language."""
    if "+" in language:
        return hashlib.sha256("".join(fingerprint(dataset, code) for code in language.split("+")).encode()).hexdigest()
    return EMBEDDED[dataset].fingerprint(language) if dataset in EMBEDDED else files.fingerprint(dataset, language)


def text_fingerprint(dataset: str, language: str) -> str:
    """The checksum of a language's text."""
    return fingerprint(dataset, language)
