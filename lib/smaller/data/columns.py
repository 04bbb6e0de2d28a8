"""How a file of words and tags is laid out: what parts its columns, how many there are, and which hold what.

A layout is found from the first rows and holds for the whole file. Columns are parted by tabs, or by ASCII spaces: any
other white space (U+00A0, U+0085 ...) belongs to the word.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from smaller.data.tasks import Task
from smaller.errors import SmallerError

LOOKED_AT = 500
"""Rows from which a layout is found."""

DOCUMENT = "-DOCSTART-"
"""The first column of a row that begins a document, and is no word (CoNLL-2003)."""

WORD_NAMES = ("word", "words", "token", "tokens", "form", "text")
TAG_NAMES = ("tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags", "upos", "pos", "pos_tag", "pos_tags")
"""What the header of a file calls its columns."""

UNIVERSAL = frozenset("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split())
"""The universal parts of speech."""

CONLLU = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
_NAMED = "# global.columns ="
_COUNT = re.compile(r"\d+([-.]\d+)?")
_TAG = re.compile(r"O|[BIESLU]-.+")
_ORDINALS = {1: "1st", 2: "2nd", 3: "3rd"}

Row = tuple[int, list[str] | None]
"""A line's number and its columns; None for a line that ends a sentence."""


@dataclass(frozen=True)
class Layout:
    """The columns of a file: their number, what parts them, and the places of the word and its tag.

    `counted` says that the first one counts the words of a sentence. In CoNLL-U `tag` may be the MISC column, of which
    `key` is the entry that names entities.
    """

    width: int
    tab: bool
    word: int = 0
    tag: int = -1
    counted: bool = False
    conllu: bool = False
    key: str = ""
    header: bool = False

    def __str__(self) -> str:
        if self.conllu:
            what = "CoNLL-U" if self.width == len(CONLLU) else f"CoNLL-U of {self.width} columns"
            return f"{what}, words from FORM, tags from {f'{self.key}= of MISC' if self.key else _th(self.tag)}"
        parted = "tabs" if self.tab else "spaces"
        rest = "" if self.width == 2 else f", word {_th(self.word)}, tag {_th(self.tag)}"
        more = ", a counter" * self.counted + ", a header" * self.header
        return f"{self.width} columns between {parted}{rest}{more}"

    def cells(self, line: str) -> list[str]:
        """The columns of a line; several separators in a row count as one where the line else has too many."""
        return _cells(line, tab=self.tab, width=self.width)

    def expected(self) -> str:
        """What a line has to hold, in words."""
        if self.conllu:
            of = "the ten" if self.width == len(CONLLU) else f"the {self.width}"
            return f"{of} tab-separated columns of CoNLL-U, the first of which is the number of the word"
        parted = "a tab" if self.tab else "one space"
        what = "a word and its tag" if self.width == 2 else f"{self.width} columns, as in the file's other rows"
        return f"{what}, separated by {parted}"


def layout_of(lines: Sequence[tuple[int, str]], task: Task, *, where: str) -> Layout:
    """The layout of a file's lines for a task of words. Raises SmallerError where it cannot be told."""
    if named := _named(lines, task, where=where):
        return named
    candidates = ((number, line) for number, line in lines if line and not _is_document(line))
    candidates = list(itertools.islice(candidates, LOOKED_AT))
    plain = [line for _, line in candidates if not line.startswith("#")]
    # Where all rows begin with a hash sign, those of two columns are words and the others comments.
    rows = plain or [line for _, line in candidates if len(line.split()) == 2]
    if not rows:
        raise SmallerError(f"{where}: the file has no sentences; expected lines of a word and its tag.")
    tab = 2 * sum("\t" in line for line in rows) >= len(rows)
    widths = Counter(len(_cells(line, tab=tab)) for line in rows)
    # A file is as wide as most of its rows; of two widths that are as frequent, as the first row.
    width = max(widths, key=lambda one: (widths[one], one > 1, one == len(_cells(rows[0], tab=tab))))
    if width == 1:
        number, line = candidates[0]
        raise SmallerError(
            f"{where}:{number}: found 1 column(s) in {shorten(line)}; expected a word and its tag, separated by a tab "
            "or one space."
        )
    counted = all(_COUNT.fullmatch(_cells(line, tab=tab)[0]) for line in rows)
    if counted and tab and (width == len(CONLLU) or where.removesuffix(".gz").endswith(".conllu")):
        return _conllu(CONLLU, lines, task, where=where)
    found = Layout(width, tab)
    first = [cell.strip().lower() for cell in _cells(rows[0], tab=tab, width=width)]
    header = len(first) == width and first[-1] in TAG_NAMES and any(cell in WORD_NAMES for cell in first)
    table = [cells for line in rows[header:] if len(cells := _cells(line, tab=tab, width=width)) == width]
    counted = width > 2 and _counts([_cells(line, tab=tab) if line else [] for _, line in lines[: 2 * LOOKED_AT]])
    found = replace(found, header=header, counted=counted, word=int(counted))
    if header and not counted:
        found = replace(found, word=next(place for place, cell in enumerate(first) if cell in WORD_NAMES))
    return replace(found, tag=_tag_column(table, found, task, where=where))


def rows_of(lines: Sequence[tuple[int, str]], layout: Layout, *, where: str) -> Iterator[tuple[str, int, list[str]]]:
    """What each line is ("row", "end" of a sentence, "comment", "skipped"), its number, and its columns.

    Raises SmallerError, with the line, for one that has another number of columns than the layout.
    """
    began = False
    header = layout.header
    for number, line in lines:
        if not line or _is_document(line):
            began = False
            yield "end", number, []
            continue
        cells = layout.cells(line)
        if line.startswith("#") and (layout.conllu or (not began and not _is_row(cells, layout))):
            yield "comment", number, []
        elif header:
            header = False
        elif len(cells) != layout.width or (layout.conllu and not _COUNT.fullmatch(cells[0])):
            raise SmallerError(
                f"{where}:{number}: found {len(cells)} column(s) in {shorten(line)}; expected {layout.expected()}."
            )
        elif layout.conllu and not cells[0].isdecimal():
            yield "skipped", number, []
        elif not layout.conllu and " " in cells[layout.word]:
            raise SmallerError(
                f"{where}:{number}: found the word {shorten(cells[layout.word])}, with a space in it; expected one "
                "word a line, or, for texts that have one label each, the task topics or sentiment."
            )
        else:
            began = True
            yield "row", number, cells


def entity_of(misc: str, key: str) -> str:
    """The tag that an entry of CoNLL-U's MISC column names, such as `name=B-PER`; the empty string without it."""
    entries = (entry.partition("=") for entry in misc.split("|"))
    return next((value for name, _, value in entries if name == key), "")


def shorten(line: str) -> str:
    """A line as an error quotes it."""
    return repr(line if len(line) <= 60 else line[:57] + "...")


def _is_document(line: str) -> bool:
    return line.startswith(DOCUMENT) and line[len(DOCUMENT) :][:1] in ("", " ", "\t")


def _is_row(cells: Sequence[str], layout: Layout) -> bool:
    """Whether a line that begins with a hash sign is a word with its tag: not where a sentence may have a comment."""
    if len(cells) != layout.width:
        return False
    return cells[0].isdecimal() if layout.counted else cells[0].startswith("#") and len(cells[layout.tag].split()) == 1


def _cells(line: str, *, tab: bool, width: int = 0) -> list[str]:
    cells = [cell.strip(" ") for cell in line.split("\t")] if tab else line.split(" ")
    if width and len(cells) > width:
        first, *rest = cells
        fewer = [first, *filter(None, rest)]
        cells = fewer if len(fewer) <= width else [cell for cell in cells if cell]
    return cells


def _counts(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first column counts the words of each sentence, from 1 or from 0, and once at least to two."""
    longest, last = 0, -1
    for cells in rows:
        if not cells:
            last = -1
        elif cells[0].startswith("#") and last < 0:
            continue  # a comment before a sentence
        elif not cells[0].isdecimal() or (int(cells[0]) != last + 1 if last >= 0 else int(cells[0]) > 1):
            return False
        else:
            longest = max(longest, last + 1)
            last = int(cells[0])
    return longest > 0


def _tag_column(table: Sequence[Sequence[str]], layout: Layout, task: Task, *, where: str) -> int:
    """The column of the tags: the one whose cells are tags of the task; the last where several are, or none is.

    Of columns behind a counter the first is the outermost annotation, or the one that was checked.
    """
    places = [place for place in range(layout.counted, layout.width) if place != layout.word]
    columns = {place: [cells[place] for cells in table] for place in places}
    if task.spans:
        fitting = [place for place in places if _are_tags(columns[place]) and set(columns[place]) != {"O"}]
        return (fitting[0] if layout.counted else fitting[-1]) if fitting else places[0 if layout.counted else -1]
    fitting = [place for place in places if set(columns[place]) <= UNIVERSAL]
    if not fitting and layout.width > 2:
        raise SmallerError(
            f"{where}: none of the {layout.width} columns holds universal parts of speech alone, so nobody can tell "
            "which one is meant. Leave two columns: the word and its part of speech."
        )
    if not fitting and _are_tags(columns[places[-1]]) and set(columns[places[-1]]) != {"O"}:
        raise SmallerError(f"{where}: its tags are those of entities, such as B-PER; they are read with the task ner.")
    return fitting[0] if fitting else places[-1]


def _are_tags(cells: Iterable[str]) -> bool:
    return all(map(_TAG.fullmatch, cells))


def _named(lines: Sequence[tuple[int, str]], task: Task, *, where: str) -> Layout | None:
    """The layout of CoNLL-U Plus, whose first line names the columns."""
    first = next((line for _, line in lines if line), "")
    names = tuple(first.removeprefix(_NAMED).split()) if first.startswith(_NAMED) else ()
    if not names:
        return None
    if "FORM" not in names:
        raise SmallerError(f"{where}:1: the columns are {', '.join(names)}; expected FORM among them.")
    return _conllu(names, lines, task, where=where)


def _conllu(names: Sequence[str], lines: Sequence[tuple[int, str]], task: Task, *, where: str) -> Layout:
    found = Layout(len(names), tab=True, word=names.index("FORM"), counted=names[0] == "ID", conllu=True)
    plain = ("UPOS",) if not task.spans else ("NER", "NE")
    if column := next((name for name in plain if name in names), ""):
        return replace(found, tag=names.index(column))
    if key := _entity_key(names, lines) if task.spans else "":
        return replace(found, tag=names.index("MISC"), key=key)
    wanted = "named entities (no entry such as name=B-PER in MISC)" if task.spans else "parts of speech"
    other = " Its parts of speech are read with the task pos." if task.spans and "UPOS" in names else ""
    raise SmallerError(f"{where}: this is CoNLL-U without {wanted}.{other}")


def _entity_key(names: Sequence[str], lines: Sequence[tuple[int, str]]) -> str:
    """The key of the entries of MISC that are tags of entities, as in `name=B-PER`; the empty string where none are."""
    found: dict[str, set[str]] = {}
    for _, line in lines:
        cells = line.split("\t")
        if "MISC" in names and len(cells) == len(names):
            for entry in cells[names.index("MISC")].split("|"):
                key, _, value = entry.partition("=")
                found.setdefault(key, set()).add(value)
    return next((key for key, values in found.items() if _are_tags(values) and values != {"O"}), "")


def _th(place: int) -> str:
    return _ORDINALS.get(place + 1, f"{place + 1}th")
