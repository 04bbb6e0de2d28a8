"""What a labelled data set holds: sentences with a tag for each word, or texts with one label; and counts of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Sentence:
    """The words of a sentence and, for each word, its tag."""

    words: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The tags, by the name that texts have for theirs."""
        return self.tags


@dataclass(frozen=True, slots=True)
class Text:
    """A text and its label."""

    text: str
    label: str

    @property
    def words(self) -> tuple[str, ...]:
        """What stands between white space."""
        return tuple(self.text.split())

    @property
    def labels(self) -> tuple[str, ...]:
        """The label alone, as sentences have several."""
        return (self.label,)


Example = Sentence | Text


@dataclass(frozen=True, kw_only=True)
class ReadReport:
    """What a file held; reports of several files add up. `sentences` counts texts too.

    `entities` counts `B-` tags, as published tables do. An orphan is an `I-` tag that continues no entity of its type:
    seqeval lets it start one, so it scores `entities + orphan_tags` spans. Empty words are kept, since dropping them
    would shift the tags. An odd word has nothing that is visible on its own (only combining marks or variation
    selectors, say) or holds a control character: a tokenizer may give it no token at all. A decomposed word has letters
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


def _count_orphans(tags: tuple[str, ...]) -> int:
    # The tag before an orphan is O, or has another entity type: "O"[2:] is the empty string, which no type is.
    return sum(tag.startswith("I-") and before[2:] != tag[2:] for before, tag in zip(("O", *tags), tags, strict=False))


def _is_odd(word: str) -> bool:
    if not word or word.isalnum():
        return False
    categories = {unicodedata.category(character) for character in word}
    return "Cc" in categories or not any(category[0] in "LNPS" for category in categories)


@dataclass(frozen=True)
class Reading:
    """What was read from a file: the examples, the report on them, and in words what the file was taken for.

    `titled` says that names of columns, or the layout itself, told where texts and labels are.
    """

    examples: list[Example]
    report: ReadReport
    layout: str
    titled: bool = True

    def __str__(self) -> str:
        unit = "sentences" if isinstance(self.examples[0], Sentence) else "texts"
        entities = self.report.entities + self.report.orphan_tags
        found = f", {entities:,} entities" if entities else ""
        found += f", {self.report.comments:,} comments" if self.report.comments else ""
        found += f", {self.report.skipped_rows:,} rows left out" if self.report.skipped_rows else ""
        return f"{len(self.examples):,} {unit}, {self.report.tokens:,} words{found} ({self.layout})"
