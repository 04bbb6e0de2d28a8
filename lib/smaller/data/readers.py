"""Read labelled sentences and unlabelled text, survive what real files hold, and count what was survived."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from smaller.data import tasks
from smaller.data.datasets import Dataset, dataset
from smaller.data.files import find, read_content
from smaller.errors import SmallerError

BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class Sentence:
    """The words of a sentence and, for each word, its tag."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A text and its label."""

    text: str
    label: str

    @property
    def words(self) -> tuple[str, ...]:
        """What stands between white space."""
        return tuple(self.text.split())


Example = Sentence | Text
"""What a labelled data set holds: sentences with a tag for each word, or texts with one label."""


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
    words = [word for sentence in sentences for word in sentence.words]
    return sentences, ReadReport(
        sentences=len(sentences),
        tokens=len(words),
        entities=sum(tag.startswith("B-") for sentence in sentences for tag in sentence.tags),
        orphan_tags=sum(_count_orphans(sentence.tags) for sentence in sentences),
        empty_words=words.count(""),
        odd_words=sum(map(_is_odd, words)),
        decomposed_words=decomposed,
        **counts,
    )


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
    words = [word for text in texts for word in text.words]
    return texts, ReadReport(
        sentences=len(texts),
        tokens=len(words),
        odd_words=sum(map(_is_odd, words)),
        decomposed_words=decomposed,
        quoted_texts=quoted,
        repeated_texts=len(texts) - len({text.text for text in texts}),
        bom=bom,
    )


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


def load(which: Dataset | str, code: str, split: str) -> list[Example]:
    """The labelled sentences or texts of a split; a file is read once in a process while it does not change."""
    return list(load_with_report(which, code, split)[0])


def load_with_report(which: Dataset | str, code: str, split: str) -> tuple[tuple[Example, ...], ReadReport]:
    """The labelled sentences or texts of a split, and what their file held."""
    which = dataset(which) if isinstance(which, str) else which
    if which.task not in tasks.TASKS:
        raise SmallerError(f"The data set {which.name!r} has no labelled sentences; its task is {which.task!r}.")
    path, ending = find(which, code, split), Path(which.file(code, split)).suffix
    columns, spans = which.source(code).columns, tasks.task(which.task).spans
    return _labelled_once(path, ending, which.tags, columns, spans, _state(path))


def load_corpus(code: str, *, limit: int | None = None) -> list[str]:
    """The unlabelled lines of a language, in the order of the file.

    The sources of a corpus stand one after another, so `limit` takes that many lines evenly spread over the file.
    """
    path = find("corpus", code, "train")
    lines = _text_once(path, _state(path))
    if limit is None or limit >= len(lines):
        return list(lines)
    if limit < 1:
        raise SmallerError(f"A corpus cannot be limited to {limit} lines; the limit is at least 1.")
    return [lines[index * len(lines) // limit] for index in range(limit)]


def _state(path: Path) -> tuple[int, int]:
    """What changes when a file is written again: the time of its last change, and its size."""
    return path.stat().st_mtime_ns, path.stat().st_size


_READERS: dict[str, Callable[..., tuple[list, ReadReport]]] = {
    ".txt": lambda path, tags, columns, spans: read_tagged(path, tags=tags, spans=spans),
    ".conllu": lambda path, tags, columns, spans: read_conllu(path, tags=tags),
    ".tsv": lambda path, tags, columns, spans: read_table(path, columns=columns, labels=tags),
}
"""The reader of a labelled file by its ending."""


@lru_cache(maxsize=256)
def _labelled_once(
    path: Path, ending: str, tags: tuple[str, ...], columns: tuple[str, str], spans: bool, _: tuple[int, int]
) -> tuple[tuple[Example, ...], ReadReport]:
    examples, report = _READERS[ending](path, tags, columns, spans)
    return tuple(examples), report


@lru_cache(maxsize=4)
def _text_once(path: Path, _: tuple[int, int]) -> tuple[str, ...]:
    return tuple(read_text(path))


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
