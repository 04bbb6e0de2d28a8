"""Data: languages, data sets with their pinned sources, and readers; `smaller.data.fetch` downloads.

sentences = load("masakhaner", "swa", "train")   # labelled: words and their tags
texts = load("sib200", "swa", "train")           # labelled: texts and their labels
lines = load_corpus("swa")                       # unlabelled
"""

from smaller.data.datasets import DATASETS, Dataset, Source, dataset
from smaller.data.files import find, fingerprint, verify
from smaller.data.languages import LANGUAGES, MASAKHANER_LANGUAGES, Language, language
from smaller.data.readers import (
    ReadReport,
    Sentence,
    Text,
    load,
    load_corpus,
    load_with_report,
    read_conllu,
    read_table,
    read_tagged,
    read_text,
)

__all__ = [
    "DATASETS",
    "LANGUAGES",
    "MASAKHANER_LANGUAGES",
    "Dataset",
    "Language",
    "ReadReport",
    "Sentence",
    "Source",
    "Text",
    "dataset",
    "find",
    "fingerprint",
    "language",
    "load",
    "load_corpus",
    "load_with_report",
    "read_conllu",
    "read_table",
    "read_tagged",
    "read_text",
    "verify",
]
