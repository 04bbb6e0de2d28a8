"""Data: languages, data sets with their pinned sources, and readers; `smaller.data.fetch` downloads.

table = load("masakhaner", "swa")                # a DatasetDict: tokens and ner_tags, or text and label, or text
sentences = splits.sentences("sib200", "swa", "train")
name, notes = bring("my/folder", language="lug") # files of one's own, or a DatasetDict in memory
"""

from smaller.data.datasets import DATASETS, Dataset, Source, dataset
from smaller.data.examples import Example, Sentence, Text
from smaller.data.files import find, fingerprint, verify
from smaller.data.languages import LANGUAGES, MASAKHANER_LANGUAGES, Language, language
from smaller.data.own import bring
from smaller.data.readers import read
from smaller.data.report import ReadReport
from smaller.data.store import load

__all__ = [
    "DATASETS",
    "LANGUAGES",
    "MASAKHANER_LANGUAGES",
    "Dataset",
    "Example",
    "Language",
    "ReadReport",
    "Sentence",
    "Source",
    "Text",
    "bring",
    "dataset",
    "find",
    "fingerprint",
    "language",
    "load",
    "read",
    "verify",
]
