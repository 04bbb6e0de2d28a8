"""Texts that have one label each: tables between tabs, with a header or without; and text that has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from smaller.base.errors import SmallerError
from smaller.data.columns import shorten
from smaller.data.examples import Reading, Text, report_on
from smaller.data.files import read_text_of
from smaller.data.tables import CLASS_COLUMNS, TEXT_COLUMNS
from smaller.data.text import composed


def read_texts(path: Path, *, columns: tuple[str, str] | None = None, labels: Collection[str] | None = None) -> Reading:
    """Read labelled texts from a table between tabs, plain or gz.

    `columns` name those of the text and of its label; without them they are found by the names that are usual, and a
    table of two columns needs no header: its labels are in the column that repeats itself. `labels` are those that may
    occur (any, when None). A text in double quotes loses them where those inside are doubled, as spreadsheets write it.
    Raises SmallerError with file and line for a row of another width, an empty text, and a first row that is neither a
    known header nor like the rows below it.
    """
    where = str(path)
    content, marked = read_text_of(path)
    lines = [(number, line.split("\t")) for number, line in enumerate(content.split("\n"), start=1) if line.strip()]
    if not lines:
        raise SmallerError(f"{where}: the file is empty.")
    header = [cell.strip() for cell in lines[0][1]]
    text, label = _named(header, columns, where=where) or (-1, -1)
    titled = text >= 0
    rows = lines[titled:]
    if not rows:
        raise SmallerError(f"{where}: the file has a header and no row below it; expected a text in each row.")
    width = len(header)
    expected = f"{width}, separated by tabs" + (f": {', '.join(header)}" if titled else "")
    for number, cells in rows:
        if len(cells) != width:
            line = shorten("\t".join(cells))
            raise SmallerError(f"{where}:{number}: found {len(cells)} column(s) in {line}; expected {expected}.")
    if not titled:
        text, label = _told_apart(rows)
    found: list[Text] = []
    quoted = decomposed = 0
    for number, cells in rows:
        plain, name = _unquoted(cells[text]), composed(_unquoted(cells[label].strip()))
        if not plain.strip() or not name:
            what = "a text without its label" if plain.strip() else "an empty text; expected something to label"
            raise SmallerError(f"{where}:{number}: found {what}.")
        if labels is not None and name not in labels:
            raise SmallerError(f"{where}:{number}: found the label {name!r}; expected one of {', '.join(labels)}.")
        whole = composed(plain)
        quoted += plain != cells[text]
        decomposed += sum(old != new for old, new in zip(plain.split(), whole.split(), strict=False))
        found.append(Text(whole, name))
    said = f"texts from the column {header[text]!r}, labels from {header[label]!r}"
    if not titled:
        said = f"no header, texts in the {'1st' if text == 0 else '2nd'} column, labels in the other"
    report = report_on(found, decomposed_words=decomposed, quoted_texts=quoted, bom=marked)
    return Reading(found, report, f"{width} columns between tabs, {said}", titled)


def read_lines(path: Path | str) -> list[str]:
    """Read the lines of an unlabelled text, plain or gz, composed (NFC); white space around them and empty lines go."""
    lines = [composed(line.strip()) for line in read_text_of(Path(path))[0].split("\n")]
    kept = [line for line in lines if line]
    if not kept:
        raise SmallerError(f"{path}: the file has no text; expected one sentence or short paragraph per line.")
    return kept


def _named(header: Sequence[str], columns: tuple[str, str] | None, *, where: str) -> tuple[int, int] | None:
    """The places of text and label by the header; None where the first row is none."""
    if columns:
        if any(header.count(name) != 1 for name in columns):
            raise SmallerError(
                f"{where}:1: the header has the columns {', '.join(header)}; expected {columns[0]!r} and "
                f"{columns[1]!r} among them."
            )
        return header.index(columns[0]), header.index(columns[1])
    lower = [name.lower() for name in header]
    text, label = (next((name for name in names if name in lower), None) for names in (TEXT_COLUMNS, CLASS_COLUMNS))
    if text and label:
        return lower.index(text), lower.index(label)
    if len(header) == 1:
        raise SmallerError(
            f"{where}:1: found 1 column(s) in {shorten(header[0])}; expected a text and its label, separated by a tab."
        )
    if len(header) > 2:
        raise SmallerError(
            f"{where}:1: the first row is {', '.join(map(repr, header))}, which is no header that is known and unlike "
            f"the rows below it. Name the columns of a header text (or {', '.join(TEXT_COLUMNS[1:])}) and label (or "
            f"{', '.join(CLASS_COLUMNS[1:])}); if it is an example, put it further down."
        )
    return None


def _told_apart(rows: Sequence[tuple[int, Sequence[str]]]) -> tuple[int, int]:
    """Which of two columns holds texts and which labels: labels repeat themselves."""
    values = [Counter(cells[place].strip() for _, cells in rows) for place in (0, 1)]
    label = 0 if len(values[0]) < len(values[1]) else 1
    return 1 - label, label


def _unquoted(cell: str) -> str:
    inner = cell[1:-1].replace('""', "")
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner else cell
