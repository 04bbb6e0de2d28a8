"""One way to ask for data, whether it lies in files or is embedded in the package.

A language is a code, or several with plus signs: "amh+hau+yor" is the labelled data of all three, one after another.
"""

from __future__ import annotations

import hashlib

from smaller.data import datasets, files, readers, sample
from smaller.data.languages import language as language_of
from smaller.data.readers import Example
from smaller.data.sample import topics
from smaller.data.tasks import Task
from smaller.data.tasks import task as task_of
from smaller.errors import SmallerError

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
        known.source(code)
        for split in splits:
            known.file(code, split)


def check_text(corpus: str, language: str) -> None:
    """Raise SmallerError unless the data set is known and has text in the language; touches no file.

    Unlabelled text, or the training sentences of a labelled data set.
    """
    check(corpus, language, *(() if is_text(corpus) else ("train",)))


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
    return readers.load(dataset, language, split)


def text(dataset: str, language: str) -> list[str]:
    """The unlabelled lines of a language; of a labelled data set, its training sentences."""
    if not is_text(dataset):
        return [" ".join(example.words) for example in sentences(dataset, language, "train")]
    return list(sample.text(language)) if dataset == "sample" else readers.load_corpus(language)


def fingerprint(dataset: str, language: str) -> str:
    """The checksum that stands for all labelled splits of a language."""
    if "+" in language:
        return hashlib.sha256("".join(fingerprint(dataset, code) for code in language.split("+")).encode()).hexdigest()
    return EMBEDDED[dataset].fingerprint(language) if dataset in EMBEDDED else files.fingerprint(dataset, language)


def text_fingerprint(dataset: str, language: str) -> str:
    """The checksum of a language's text."""
    return fingerprint(dataset, language)
