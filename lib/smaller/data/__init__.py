"""Data: languages, data sets with their pinned sources, and readers; `smaller.data.fetch` downloads.

table = load("masakhaner", "swa")                # a DatasetDict: tokens and ner_tags, or text and label, or text
name, notes = bring("my/folder", language="lug") # files of one's own, or a DatasetDict in memory
"""

from importlib import import_module


def __getattr__(name: str) -> object:
    """`load` and `bring`, once somebody asks: this package alone loads nothing heavy, for whoever only splits text."""
    if module := {"load": "store", "bring": "own"}.get(name):
        return getattr(import_module(f"smaller.data.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
