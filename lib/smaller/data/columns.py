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

from smaller.base.errors import SmallerError
from smaller.data.tasks import Task

LOOKED_AT = 2000
"""Rows from which a layout is found."""

DOCUMENT = "-DOCSTART-"
"""The first column of a row that begins a document, and is no word (CoNLL-2003)."""

WORD_NAMES = ("word", "words", "token", "tokens", "form", "text")
NER_NAMES = ("ner", "ner_tag", "ner_tags", "entity", "entities", "iob")
POS_NAMES = ("upos", "pos", "pos_tag", "pos_tags", "upos_tag")
TAG_NAMES = ("tag", "tags", "label", "labels")
SENTENCE_NAMES = ("sentence_id", "sentence_number", "sentence #", "sentence", "sent_id", "sent", "id")
"""What the header of a file calls its columns."""

UNIVERSAL = frozenset("ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split())
"""The universal parts of speech."""

CONLLU = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
ENTITY_KEYS = ("name", "ner", "ne", "entity")
"""The entries of MISC that usually name entities, the likeliest first."""

_NAMED = "# global.columns ="
_COUNT = re.compile(r"\d+([-.]\d+)?")
_TAG = re.compile(r"O|[BIESLU]-.+")
_ORDINALS = {1: "1st", 2: "2nd", 3: "3rd"}


@dataclass(frozen=True)
class Layout:
    """The columns of a file: their number (0: not known), what parts them, and the places of the word and its tag.

    `ids` is the place of a column that numbers words or sentences (-1: none). Where no blank line parts sentences,
    `parts` says how it does: by a "change" of the number, or its "restart". With `loose`, several spaces are as one.
    In CoNLL-U `tag` may be the MISC column, of which `key` is the entry that names entities. `known` are tags that were
    seen.
    """

    width: int
    tab: bool
    word: int = 0
    tag: int = -1
    ids: int = -1
    parts: str = ""
    loose: bool = False
    conllu: bool = False
    key: str = ""
    header: bool = False
    known: frozenset[str] = frozenset()

    def __str__(self) -> str:
        if self.conllu:
            what = "CoNLL-U" if self.width == len(CONLLU) else f"CoNLL-U of {self.width} columns"
            place = f"{self.key}= of MISC, O where there is none" if self.key else _th(self.tag)
            return f"{what}, words from FORM, tags from {place}"
        parted = "tabs" if self.tab else "spaces"
        rest = "" if self.width == 2 else f", word {_th(self.word)}, tag {_th(self.tag)}"
        more = f", numbers {_th(self.ids)}" * (self.ids >= 0) + ", a header" * self.header
        return f"{self.width} columns between {parted}{rest}{more}"

    def cells(self, line: str) -> list[str]:
        """The columns of a line; several separators in a row count as one where the line else has too many."""
        if self.loose and not self.tab:
            return [cell for cell in line.split(" ") if cell]
        cells = [cell.strip(" ") for cell in line.split("\t")] if self.tab else line.split(" ")
        if 0 < self.width < len(cells):
            fewer = [cells[0], *filter(None, cells[1:])]
            cells = fewer if len(fewer) <= self.width else [cell for cell in cells if cell]
        return cells

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
    apart, as_one = Layout(0, tab), Layout(0, tab, loose=True)
    strict, loose = (Counter(len(layout.cells(line)) for line in rows) for layout in (apart, as_one))
    # Columns that spaces line up have one width only if several spaces count as one.
    aligned = not tab and len(loose) == 1 and (len(strict) > 1 or all(line.startswith(" ") for line in rows))
    found, widths = (as_one, loose) if aligned else (apart, strict)
    # A file is as wide as most of its rows; of two widths that are as frequent, as the first row.
    width = max(widths, key=lambda one: (widths[one], one > 1, one == len(found.cells(rows[0]))))
    if width == 1:
        number, line = candidates[0]
        raise SmallerError(
            f"{where}:{number}: found 1 column(s) in {shorten(line)}; expected a word and its tag, separated by a tab "
            "or one space."
        )
    found = replace(found, width=width)
    table = [cells for line in rows if len(cells := found.cells(line)) == width]
    counted = all(_COUNT.fullmatch(cells[0]) for cells in table)
    if counted and tab and (width == len(CONLLU) or where.removesuffix(".gz").endswith(".conllu")):
        return _conllu(CONLLU, lines, task, where=where)
    found = _with_header(found, [cell.strip().lower() for cell in table[0]], task)
    table = table[found.header :]
    # Numbers of words or sentences begin with the first; years and amounts may all be words.
    first = re.split("[-.]", table[0][0])[0] if table else ""
    if found.ids < 0 and width > 2 and first in ("0", "1") and all(_COUNT.fullmatch(cells[0]) for cells in table):
        found = replace(found, ids=0, word=found.word or 1)
    if found.ids >= 0:
        found = replace(found, parts=_parted(lines, found))
    if not found.header:
        found = replace(found, tag=_tag_column(table, found, task, where=where))
    seen = {cells[found.tag] for cells in table if not cells[0].startswith("#")}
    return replace(found, known=frozenset(seen | (set() if task.spans else UNIVERSAL)))


def rows_of(lines: Sequence[tuple[int, str]], layout: Layout, *, where: str) -> Iterator[tuple[str, int, list[str]]]:
    """What each line is ("first" of a sentence, "row", "comments" or "skipped_rows"), its number, and its columns.

    Raises SmallerError, with the line, for one that has another number of columns than the layout.
    """
    began, header, last = False, layout.header, ""
    for number, line in lines:
        if not line or _is_document(line):
            began = False
            continue
        cells = layout.cells(line)
        if line.startswith("#") and (layout.conllu or (not began and _is_comment(line, cells, layout))):
            yield "comments", number, []
        elif header:
            header = False
        elif len(cells) != layout.width or (layout.conllu and not _COUNT.fullmatch(cells[0])):
            raise SmallerError(
                f"{where}:{number}: found {len(cells)} column(s) in {shorten(line)}; expected {layout.expected()}."
            )
        elif layout.conllu and not cells[0].isdecimal():
            yield "skipped_rows", number, []
        elif not layout.conllu and " " in cells[layout.word]:
            raise SmallerError(
                f"{where}:{number}: found the word {shorten(cells[layout.word])}, with a space in it; expected one "
                "word a line, or, for texts that have one label each, the task topics or sentiment."
            )
        else:
            goes_on = began and not (layout.parts and _new_sentence(last, cells[layout.ids], layout.parts))
            last = cells[layout.ids] or last
            began = True
            yield "row" if goes_on else "first", number, cells


def entity_of(misc: str, key: str) -> str:
    """The tag that an entry of CoNLL-U's MISC column names, such as `name=B-PER`; O without it."""
    entries = (entry.partition("=") for entry in misc.split("|"))
    return next((value for name, _, value in entries if name == key), "O")


def shorten(line: str) -> str:
    """A line as an error quotes it."""
    return repr(line if len(line) <= 60 else line[:57] + "...")


def _is_document(line: str) -> bool:
    return line.startswith(DOCUMENT) and line[len(DOCUMENT) :][:1] in ("", " ", "\t")


def _is_comment(line: str, cells: Sequence[str], layout: Layout) -> bool:
    """Whether a line that begins with a hash sign, where a sentence may begin, is none of its words.

    What ends in a tag is a word, if perhaps a broken row.
    """
    if layout.ids == 0:
        return True
    last = cells[layout.tag] if len(cells) == layout.width else cells[-1].strip()
    tagged = len(cells) > 1 or " " in line or "\t" in line
    if tagged and (last.split(" ")[-1] in layout.known or _TAG.fullmatch(last.split(" ")[-1])):
        return False
    return line[1:2] in ("", " ", "\t") or "=" in line or line.startswith(("#begin ", "#end "))


def _with_header(found: Layout, first: Sequence[str], task: Task) -> Layout:
    """The layout by the names in the first row; as it was, where they name no word with its tag."""
    names = (NER_NAMES if task.spans else POS_NAMES) + TAG_NAMES
    tag = next((first.index(name) for name in names if name in first), -1)
    word = next((first.index(name) for name in WORD_NAMES if name in first), -1)
    if word < 0 or tag < 0:
        return found
    ids = next((first.index(name) for name in SENTENCE_NAMES if name in first), -1)
    return replace(found, header=True, word=word, tag=tag, ids=ids)


def _parted(lines: Sequence[tuple[int, str]], layout: Layout) -> str:
    """How the numbers in a column part sentences where no blank line does; the empty string where one does."""
    numbers: list[str] = []
    blank = False
    for _, line in itertools.islice(lines, LOOKED_AT):
        cells = layout.cells(line)
        if line and not line.startswith("#") and len(cells) == layout.width:
            if blank:
                return ""
            numbers.append(cells[layout.ids])
        blank = blank or (not line and bool(numbers))
    numbers = [cell for cell in numbers[layout.header :] if cell]
    repeated = any(one == other for one, other in itertools.pairwise(numbers))
    return "change" if repeated or not all(map(str.isdecimal, numbers)) else "restart"


def _new_sentence(last: str, now: str, parts: str) -> bool:
    if not now:  # only the first word of a sentence has its number
        return False
    if parts == "restart":
        return now.isdecimal() and last.isdecimal() and int(now) <= int(last)
    return now.partition("-")[0] != last.partition("-")[0]


def _tag_column(table: Sequence[Sequence[str]], layout: Layout, task: Task, *, where: str) -> int:
    """The column of the tags: of entities the last one that says O or B- somewhere, as such files have it.

    Behind a number it is the first: the outermost annotation, or the one that was checked.
    """
    places = [place for place in range(layout.width) if place not in (layout.word, layout.ids)]
    columns = {place: [cells[place] for cells in table] for place in places}
    if task.spans:
        places = places if layout.ids >= 0 else places[::-1]
        return next((place for place in places if any(map(_TAG.fullmatch, columns[place]))), places[0])
    fitting = [place for place in places if set(columns[place]) <= UNIVERSAL]
    if not fitting and layout.width > 2:
        raise SmallerError(
            f"{where}: none of the {layout.width} columns holds universal parts of speech alone, so nobody can tell "
            "which one is meant. Leave two columns: the word and its part of speech."
        )
    if not fitting and _are_tags(columns[places[-1]]) and set(columns[places[-1]]) != {"O"}:
        raise SmallerError(f"{where}: its tags are those of entities, such as B-PER; they are read with the task ner.")
    if not fitting and len({cells[layout.word] for cells in table} - UNIVERSAL) == 0 and len(table) > 1:
        raise SmallerError(
            f"{where}: the first column holds parts of speech and the second one words; expected a word and its tag."
        )
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
    found = Layout(len(names), tab=True, word=names.index("FORM"), conllu=True)
    plain = ("UPOS",) if not task.spans else ("NER", "NE")
    if column := next((name for name in plain if name in names), ""):
        return replace(found, tag=names.index(column))
    if key := _entity_key(names, lines, where=where) if task.spans else "":
        return replace(found, tag=names.index("MISC"), key=key)
    wanted = "named entities (no entry such as name=B-PER in MISC)" if task.spans else "parts of speech"
    other = " Its parts of speech are read with the task pos." if task.spans and "UPOS" in names else ""
    raise SmallerError(f"{where}: this is CoNLL-U without {wanted}.{other}")


def _entity_key(names: Sequence[str], lines: Sequence[tuple[int, str]], *, where: str) -> str:
    """The key of the entries of MISC that are tags of entities, as in `name=B-PER`; the empty string where none are."""
    found: dict[str, set[str]] = {}
    for _, line in lines:
        cells = line.split("\t")
        if "MISC" in names and len(cells) == len(names):
            for entry in cells[names.index("MISC")].split("|"):
                key, _, value = entry.partition("=")
                found.setdefault(key, set()).add(value)
    fitting = [key for key, values in found.items() if _are_tags(values) and values != {"O"}]
    usual = [key for name in ENTITY_KEYS for key in fitting if key.lower() == name]
    if not usual and len(fitting) > 1:
        raise SmallerError(f"{where}: several entries of MISC may be entities: {', '.join(fitting)}. Call one name.")
    return (usual or fitting or [""])[0]


def _th(place: int) -> str:
    return _ORDINALS.get(place + 1, f"{place + 1}th")
