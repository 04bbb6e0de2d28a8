"""Read labelled sentences and unlabelled text, survive what real files hold, and count what was survived."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from smaller.data import tables
from smaller.data.examples import Example as Example
from smaller.data.examples import Sentence, Text
from smaller.data.files import read_content
from smaller.errors import SmallerError

if TYPE_CHECKING:
    from datasets import Dataset as Table
    from pyarrow import Array

BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, kw_only=True)
class ReadReport:
    """What a file held; reports of several files add up. `sentences` counts texts too.

    `entities` counts `B-` tags, as published tables do. An orphan is an `I-` tag that continues no entity of its type:
    seqeval lets it start one, so it scores `entities + orphan_tags` spans. Empty words are kept, since dropping them
    would shift the tags. An odd word has nothing that is visible on its own (only combining marks or variation
    selectors, say) or holds a control character: a tokenizer may give it no piece at all. A decomposed word has letters
    and their accents as characters of their own; it is composed, so that a letter has one spelling everywhere (NFC).
    Skipped rows are those of CoNLL-U that are no words: multiword tokens and empty nodes. A quoted text stood in double
    quotes, which were taken off; a repeated text stood in the file before.
    """

    sentences: int = 0
    tokens: int = 0
    entities: int = 0
    orphan_tags: int = 0
    empty_words: int = 0
    odd_words: int = 0
    decomposed_words: int = 0
    comments: int = 0
    skipped_rows: int = 0
    quoted_texts: int = 0
    repeated_texts: int = 0
    bom: bool = False

    def __add__(self, other: ReadReport) -> ReadReport:
        sums = {name: count + getattr(other, name) for name, count in asdict(self).items()}
        return ReadReport(**sums | {"bom": self.bom or other.bom})


def read_tagged(
    path: Path | str, *, tags: Collection[str] | None = None, spans: bool = True
) -> tuple[list[Sentence], ReadReport]:
    """Read a file of `token tag` lines with a blank line between sentences, plain or gz.

    `tags` are what may occur (anything, when None): entity types in BIO tags, or without `spans` the tags themselves.
    A line that starts with "# " and has other than two columns is a comment. A malformed line is an error with file
    and line.
    """
    path = Path(path)
    text, bom = _read_utf8(path)
    rows: list[tuple[str, str] | None] = []
    comments = 0
    for number, line in _lines(text):
        # Not str.split() alone: a word may hold white space of its own, such as U+0085 or U+00A0.
        columns = line.split(" ")
        if not line:
            rows.append(None)
        elif len(columns) != 2 and line.startswith("# "):
            comments += 1
        elif len(columns) != 2:
            raise SmallerError(
                f"{path}:{number}: found {len(columns)} column(s) in {_shorten(line)}; "
                "expected `token tag`, separated by one space."
            )
        else:
            _check_tag(columns[1], tags, spans=spans, where=f"{path}:{number}")
            rows.append((columns[0], columns[1]))
    return _sentences(rows, path, expected="lines of `token tag`", comments=comments, bom=bom)


def read_conllu(path: Path | str, *, tags: Collection[str] | None = None) -> tuple[list[Sentence], ReadReport]:
    """Read the words and universal part-of-speech tags of a CoNLL-U file, plain or gz.

    Comments, multiword-token rows (`3-4`) and empty nodes (`5.1`) are skipped. `tags` are those that may occur (any,
    when None).
    """
    path = Path(path)
    text, bom = _read_utf8(path)
    rows: list[tuple[str, str] | None] = []
    comments = skipped = 0
    for number, line in _lines(text):
        columns = line.split("\t")
        if not line:
            rows.append(None)
        elif line.startswith("#"):
            comments += 1
        elif len(columns) != 10 or not columns[0][:1].isdigit():
            raise SmallerError(
                f"{path}:{number}: found {len(columns)} column(s) in {_shorten(line)}; expected the ten "
                "tab-separated columns of CoNLL-U, the first of which is the number of the word."
            )
        elif columns[0].isdigit():
            _check_tag(columns[3], tags, spans=False, where=f"{path}:{number}")
            rows.append((columns[1], columns[3]))
        else:
            skipped += 1
    return _sentences(rows, path, expected="CoNLL-U", comments=comments, skipped_rows=skipped, bom=bom)


def _sentences(
    rows: Sequence[tuple[str, str] | None], path: Path, *, expected: str, **counts: int
) -> tuple[list[Sentence], ReadReport]:
    """The sentences of words and tags, with None behind each, and the report, to which `counts` are added."""
    sentences: list[Sentence] = []
    words: list[str] = []
    tags: list[str] = []
    decomposed = 0
    for row in rows:
        if row is not None:
            words.append(unicodedata.normalize("NFC", row[0]))
            tags.append(row[1])
            decomposed += words[-1] != row[0]
        elif words:
            sentences.append(Sentence(tuple(words), tuple(tags)))
            words, tags = [], []
    if not sentences:
        raise SmallerError(f"{path}: the file has no sentences; expected {expected}.")
    return sentences, report_on(sentences, decomposed_words=decomposed, **counts)


def read_table(
    path: Path | str, *, columns: tuple[str, str] = ("text", "label"), labels: Collection[str] | None = None
) -> tuple[list[Text], ReadReport]:
    """Read labelled texts from a tab-separated table with a header, plain or gz.

    `columns` name those of the text and of its label, `labels` those that may occur (any, when None). A text in double
    quotes loses them where those inside are doubled, as spreadsheets write it. A malformed line is an error with file
    and line, and so is an empty text.
    """
    path = Path(path)
    content, bom = _read_utf8(path)
    lines = [(number, line.rstrip("\r")) for number, line in enumerate(content.split("\n"), start=1)]
    header = [name.strip() for name in lines[0][1].split("\t")]
    if any(header.count(name) != 1 for name in columns):
        raise SmallerError(f"{path}:1: the header has the columns {', '.join(header)}; "
                           f"expected {columns[0]!r} and {columns[1]!r} among them.")  # fmt: skip
    text_place, label_place = map(header.index, columns)
    texts: list[Text] = []
    quoted = decomposed = 0
    for number, line in lines[1:]:
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) != len(header):
            raise SmallerError(f"{path}:{number}: found {len(cells)} column(s) in {_shorten(line)}; expected "
                               f"{len(header)}, separated by tabs: {', '.join(header)}.")  # fmt: skip
        plain, label = _unquoted(cells[text_place]), cells[label_place].strip()
        if not plain.strip():
            raise SmallerError(f"{path}:{number}: found an empty text; expected something to label.")
        if labels is not None and label not in labels:
            raise SmallerError(f"{path}:{number}: found the label {label!r}; expected one of {', '.join(labels)}.")
        composed = unicodedata.normalize("NFC", plain)
        quoted += plain != cells[text_place]
        decomposed += sum(old != new for old, new in zip(plain.split(), composed.split(), strict=False))
        texts.append(Text(composed, label))
    if not texts:
        raise SmallerError(f"{path}: the file has a header and no row below it; expected a text in each row.")
    return texts, report_on(texts, decomposed_words=decomposed, quoted_texts=quoted, bom=bom)


def composed(text: str) -> str:
    """The text with each letter in one spelling: with its accents as one character, where there is one (NFC)."""
    return unicodedata.normalize("NFC", text)


def _unquoted(cell: str) -> str:
    inner = cell[1:-1].replace('""', "")
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner else cell


def read_text(path: Path | str) -> list[str]:
    """Read the lines of an unlabelled text, plain or gz; white space around them and empty lines are dropped."""
    lines = [line.strip() for line in _read_utf8(Path(path))[0].split("\n")]
    kept = [line for line in lines if line]
    if not kept:
        raise SmallerError(f"{path}: the file has no text; expected one sentence or short paragraph per line.")
    return kept


def read_rows(
    path: Path | str, *, columns: tuple[str, str] | None = None, classes: Collection[str] = (),
    translated: Mapping[str, str] | None = None, task: str = "",
) -> tuple[list[Example], ReadReport, str]:  # fmt: skip
    """Read labelled rows of Parquet, CSV, TSV or JSON lines: the examples, the report, and their task.

    `columns` name those of the words or text and of the labels, where they are there; else they are found from the
    features. `classes` are the labels that may occur (any, when empty), after `translated` has replaced some.
    """
    table = raw_table(Path(path))
    if translated:
        table = _translated(table, columns[1], translated)
    examples, task, _ = tables.labelled(table, where=str(path), task=task, columns=columns, classes=tuple(classes))
    return examples, report_on(examples), task


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


def _separated(content: bytes, path: Path, delimiter: str) -> dict[str, list[str]]:
    """The columns of a table with a header; a row of another width is an error with file and line."""
    rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=delimiter, strict=True)
    header = next(rows, [])
    if len(set(header)) < max(len(header), 1):
        raise ValueError("it has no header of different names")
    found: dict[str, list[str]] = {name: [] for name in header}
    for cells in rows:
        if cells and len(cells) != len(header):
            raise SmallerError(
                f"{path}:{rows.line_num}: found {len(cells)} column(s), and the header has {len(header)}: "
                f"{', '.join(header)}. A text with a {'tab' if delimiter != ',' else 'comma'} stands in double quotes."
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


def report_on(examples: Sequence[Example], **counts: int) -> ReadReport:
    """What examples hold, as far as it shows in them; `counts` are added."""
    words = [word for each in examples for word in each.words]
    tags = [each.tags for each in examples if isinstance(each, Sentence)]
    texts = [each.text for each in examples if isinstance(each, Text)]
    return ReadReport(
        sentences=len(examples),
        tokens=len(words),
        entities=sum(tag.startswith("B-") for row in tags for tag in row),
        orphan_tags=sum(map(_count_orphans, tags)),
        empty_words=words.count(""),
        odd_words=sum(map(_is_odd, words)),
        repeated_texts=len(texts) - len(set(texts)),
        **counts,
    )


def _read_utf8(path: Path) -> tuple[str, bool]:
    """The text of a file without its byte-order mark, and whether it had one."""
    content = read_content(path)
    if not content.strip():
        raise SmallerError(f"{path}: the file is empty.")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise SmallerError(
            f"{path}:{number}: found byte 0x{content[error.start]:02x}, which is not UTF-8; expected text in UTF-8."
        ) from None
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        raise SmallerError(f"{path}:{number}: found a NUL character, so this is a binary file; expected text in UTF-8.")
    return text.removeprefix(BYTE_ORDER_MARK), text.startswith(BYTE_ORDER_MARK)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, without what editors leave at their ends; a blank line follows the last."""
    # Not str.splitlines(), which would also break lines at U+0085 and U+2028 inside a word.
    for number, line in enumerate([*text.split("\n"), ""], start=1):
        yield number, line.rstrip(" \t\r")


def _check_tag(tag: str, tags: Collection[str] | None, *, spans: bool, where: str) -> None:
    """Raise an error unless the tag is one of `tags`; with `spans`, `O`, or `B-` or `I-` and one of them."""
    if not spans and tags is not None and tag not in tags:
        raise SmallerError(f"{where}: found the tag {tag!r}; expected one of {', '.join(tags)}.")
    if not spans or tag == "O":
        return
    position, _, kind = tag.partition("-")
    if position not in ("B", "I") or not kind:
        raise SmallerError(f"{where}: found the tag {tag!r}; expected 'O', or 'B-' or 'I-' and an entity type.")
    if tags is not None and kind not in tags:
        raise SmallerError(f"{where}: found the entity type {kind!r}; expected one of {', '.join(tags)}.")


def _count_orphans(tags: tuple[str, ...]) -> int:
    # The tag before an orphan is O, or has another entity type: "O"[2:] is the empty string, which no type is.
    return sum(tag.startswith("I-") and before[2:] != tag[2:] for before, tag in zip(("O", *tags), tags, strict=False))


def _is_odd(word: str) -> bool:
    if not word or word.isalnum():
        return False
    categories = {unicodedata.category(character) for character in word}
    return "Cc" in categories or not any(category[0] in "LNPS" for category in categories)


def _shorten(line: str) -> str:
    return repr(line if len(line) <= 60 else line[:57] + "...")
