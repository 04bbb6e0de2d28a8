"""The one door to files: whoever published a file, or brings it, it is read by what it is and by the same rules.

Plain text holds words with tags, or texts with labels; Parquet, CSV, TSV and JSON lines are tables, whose columns have
names.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from smaller.base.errors import SmallerError, briefly
from smaller.data import tables
from smaller.data.examples import Reading, report_on
from smaller.data.files import read_content
from smaller.data.tasks import task as task_of
from smaller.data.texts import read_texts
from smaller.data.words import read_words

if TYPE_CHECKING:
    from datasets import Dataset as Table
    from pyarrow import Array

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
        table = raw_table(path)
        if translated:
            table = _translated(table, columns[1], translated)
        labels = known.labels(tuple(classes)) if classes else ()
        examples, _, _ = tables.labelled(table, where=str(path), task=task, columns=columns, classes=labels)
        return Reading(examples, report_on(examples), f"the columns {', '.join(table.column_names)}")
    if known.unit == "text":
        return read_texts(path, columns=columns, labels=classes)
    return read_words(path, known, tags=classes)


def ending(file: Path) -> str:
    """The ending of a file that is read here, without `.gz`; the empty string for any other."""
    name = file.name.lower().removesuffix(".gz")
    return next((one for one in (*PLAIN, *ROWS) if name.endswith(one)), "")


def raw_table(path: Path) -> Table:
    """The rows of a file of Parquet, CSV, TSV or JSON lines, plain or gz, in the columns that it has."""
    import datasets
    import pyarrow
    import pyarrow.parquet

    name = path.name.removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            return datasets.Dataset(pyarrow.parquet.read_table(path, memory_map=True))
        content = read_content(path)
        if name.endswith((".csv", ".tsv")):
            return datasets.Dataset.from_dict(_separated(content, path, "\t" if name.endswith(".tsv") else ","))
        return datasets.Dataset.from_list(_json_rows(content))
    except FileNotFoundError:
        raise SmallerError(f"{path}: there is no such file.") from None
    except (pyarrow.ArrowException, csv.Error, ValueError, TypeError, AttributeError, OSError) as problem:
        raise SmallerError(f"{path}: cannot be read as {Path(name).suffix[1:]} ({briefly(problem)}).") from None


_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab"}


def _separated(content: bytes, path: Path, delimiter: str) -> dict[str, list[str]]:
    """The columns of a table with a header; a row of another width is an error with file and line."""
    text = content.decode("utf-8-sig")
    first = text.partition("\n")[0]
    if delimiter == "," and "," not in first and ";" in first:
        delimiter = ";"  # as spreadsheets write it where a comma is the point of decimals
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header = next(rows, [])
    if len(set(header)) < max(len(header), 1):
        raise ValueError("it has no header of different names")
    found: dict[str, list[str]] = {name: [] for name in header}
    for cells in rows:
        if cells and len(cells) != len(header):
            raise SmallerError(
                f"{path}:{rows.line_num}: found {len(cells)} column(s), and the header has {len(header)}: "
                f"{', '.join(header)}. A text with a {_SEPARATORS[delimiter]} stands in double quotes."
            )
        for name, cell in zip(header, cells, strict=False):
            found[name].append(cell)
    return found


def _json_rows(content: bytes) -> list[dict]:
    """The rows of a JSON list, or of a file with an object in each line."""
    text = content.decode("utf-8-sig")
    if text.lstrip().startswith("["):
        return json.loads(text)
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            rows += [json.loads(line)] if line.strip() else []
        except ValueError as problem:
            raise ValueError(f"line {number}: {problem}") from None
    return rows


def text_column(path: Path, column: str, *, rows: int = 0) -> Iterator[Array]:
    """A column of a file of rows in parts, of the first `rows` rows (0 takes all), without holding the whole file."""
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path, memory_map=True)
        if column not in file.schema_arrow.names:
            there = ", ".join(file.schema_arrow.names)
            raise SmallerError(f"{path}: the columns are {there}; expected {column!r}, with text.")
        left = rows or file.metadata.num_rows
        for batch in file.iter_batches(batch_size=20_000, columns=[column]):
            if left > 0:
                yield batch.column(0)[:left]
            left -= len(batch)
    except (pyarrow.ArrowException, OSError) as problem:
        raise SmallerError(f"{path}: cannot be read as parquet ({briefly(problem)}). Fetch it again.") from None


def _translated(table: Table, column: str, names: Mapping[str, str]) -> Table:
    from datasets import Value

    given = [str(label).strip() for label in table[column]]
    labels = [names.get(label, label) for label in given]
    return table.remove_columns(column).add_column(column, labels, feature=Value("string"))
