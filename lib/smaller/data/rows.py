"""Tables of rows: Parquet, CSV, TSV and JSON lines, with columns that have names."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from smaller.base.errors import SmallerError
from smaller.data import tables
from smaller.data.examples import Reading, report_on
from smaller.data.files import read_content

if TYPE_CHECKING:
    from datasets import Dataset as Table
    from pyarrow import Array


def read_rows(
    path: Path | str,
    *,
    columns: tuple[str, str] | None = None,
    classes: Collection[str] = (),
    translated: Mapping[str, str] | None = None,
    task: str = "",
) -> Reading:
    """Read labelled rows of Parquet, CSV, TSV or JSON lines.

    `columns` name those of the words or text and of the labels, where they are there; else they are found from the
    features. `classes` are the labels that may occur (any, when empty), after `translated` has replaced some.
    """
    table = raw_table(Path(path))
    if translated:
        table = _translated(table, columns[1], translated)
    examples, _, _ = tables.labelled(table, where=str(path), task=task, columns=columns, classes=tuple(classes))
    return Reading(examples, report_on(examples), f"the columns {', '.join(table.column_names)}")


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
        raise SmallerError(f"{path}: cannot be read as {Path(name).suffix[1:]} ({_one_line(problem)}).") from None


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
        raise SmallerError(f"{path}: cannot be read as parquet ({_one_line(problem)}). Fetch it again.") from None


def _translated(table: Table, column: str, names: Mapping[str, str]) -> Table:
    from datasets import Value

    given = [str(label).strip() for label in table[column]]
    table = table.remove_columns(column)
    return table.add_column(column, [names.get(label, label) for label in given], feature=Value("string"))


def _one_line(problem: Exception) -> str:
    return " ".join(str(problem).split())[:200] or type(problem).__name__
