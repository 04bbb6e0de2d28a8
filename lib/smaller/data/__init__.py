"""Data: languages, data sets with their pinned sources, and readers; `smaller.data.fetch` downloads.

table = load("masakhaner", "swa")                # a DatasetDict: tokens and ner_tags, or text and label, or text
name, notes = bring("my/folder", language="lug") # files of one's own, or a DatasetDict in memory
"""

from smaller.base.on_demand import on_demand

__all__, __getattr__, __dir__ = on_demand(__name__, {"splits": "load", "own": "bring"})
