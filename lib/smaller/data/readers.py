"""The one door to files: whoever published a file, or brings it, it is read by what it is and by the same rules."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from smaller.data.examples import Reading
from smaller.data.rows import read_rows
from smaller.data.tasks import task as task_of
from smaller.data.texts import read_texts
from smaller.data.words import read_words

ROWS = (".parquet", ".csv", ".jsonl", ".json")
"""Endings of tables whose columns have names."""

PLAIN = (".txt", ".tsv", ".conll", ".conllu", ".conllup", ".iob", ".iob2", ".bio")
"""Endings of plain text: words with tags, or texts with labels."""


def read(
    path: Path | str,
    task: str = "ner",
    *,
    classes: Collection[str] | None = None,
    columns: tuple[str, str] | None = None,
    translated: Mapping[str, str] | None = None,
) -> Reading:
    """Read the labelled examples of a file, plain or gz, and say what it was taken for.

    `classes` are what may occur (anything, when None): entity types, parts of speech, or labels of texts. `columns`
    name those of the words or text and of the labels, where they have names. `translated` replaces labels of rows.
    Raises SmallerError with file and line, or row, for what cannot be read.
    """
    path, known = Path(path), task_of(task)
    if ending(path) in ROWS:
        labels = known.labels(tuple(classes)) if classes else ()
        return read_rows(path, columns=columns, classes=labels, translated=translated, task=task)
    if known.unit == "text":
        return read_texts(path, columns=columns, labels=classes)
    return read_words(path, known, tags=classes)


def ending(file: Path) -> str:
    """The ending of a file that is read here, without `.gz`; the empty string for any other."""
    name = file.name.lower().removesuffix(".gz")
    return next((one for one in (*PLAIN, *ROWS) if name.endswith(one)), "")
