"""One way to ask for data, whether it lies in files or is embedded in the package.

A language is a code, or several with plus signs: "amh+hau+yor" is the labelled data of all three, one after another.
"""

from __future__ import annotations

import hashlib

from smaller.data import datasets, readers, sample
from smaller.data.languages import language as language_of
from smaller.data.readers import Sentence
from smaller.errors import SmallerError


def check(dataset: str, language: str) -> None:
    """Raise SmallerError unless the data set is known and has the language; touches no file."""
    known = datasets.dataset(dataset)
    for code in language.split("+"):
        if dataset == "sample":
            sample.check(code)
        else:
            language_of(code)
            known.source(code)


def check_text(corpus: str, language: str) -> None:
    """Raise SmallerError unless the data set is known and has unlabelled text in the language; touches no file."""
    check(corpus, language)
    if corpus != "sample" and datasets.dataset(corpus).task != "text":
        raise SmallerError(f"The data set {corpus!r} has no unlabelled text; 'sample' and 'corpus' have.")


def languages(dataset: str) -> tuple[str, ...]:
    """The codes of the languages that a data set has."""
    if datasets.dataset(dataset).name == "sample":
        return (*sample.LANGUAGES, sample.UNSEEN)
    return datasets.dataset(dataset).languages


def entity_types(dataset: str) -> tuple[str, ...]:
    """The entity types of a data set, in the order that its label set has."""
    types = datasets.dataset(dataset).tags
    if not types:
        raise SmallerError(f"The data set {dataset!r} has no labels to train on or to score against.")
    return types


def sentences(dataset: str, language: str, split: str) -> list[Sentence]:
    """The labelled sentences of a split."""
    if "+" in language:
        return [sentence for code in language.split("+") for sentence in sentences(dataset, code, split)]
    if dataset == "sample":
        return list(sample.sentences(language, split))
    return readers.load(dataset, language, split)


def text(dataset: str, language: str) -> list[str]:
    """The unlabelled lines of a language."""
    return list(sample.text(language)) if dataset == "sample" else readers.load_corpus(language)


def fingerprint(dataset: str, language: str) -> str:
    """The checksum that stands for all labelled splits of a language."""
    if "+" in language:
        return hashlib.sha256("".join(fingerprint(dataset, code) for code in language.split("+")).encode()).hexdigest()
    return sample.fingerprint(language) if dataset == "sample" else datasets.fingerprint(dataset, language)


def text_fingerprint(dataset: str, language: str) -> str:
    """The checksum of a language's unlabelled text."""
    return sample.fingerprint(language) if dataset == "sample" else datasets.fingerprint("corpus", language)
