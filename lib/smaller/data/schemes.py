"""How tags mark spans of words: which scheme a set of tags is in, and any of them as BIO."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from smaller.base.errors import SmallerError

_PREFIXED = re.compile(r"([BIESLU])-(.+)", re.DOTALL)
# What stands for a tag with a prefix and is none: 0, o, B, b-per, O-LOC, B_PER, PER-B. Without this, each of them
# would be a type of its own where types stand alone. T-cell and Few-NERD's person-actor are types.
_BROKEN = re.compile(r"\d+|[BIo]|[BIESLUMObieslum][-_/].*|.+[-_/][BI]", re.DOTALL)


# Some training scripts give special tokens, or those that go on with a word, a label of their own; no word has it.
_OF_PIECES = re.compile(r"\[\w+\]|<\w+>")
_OF_PIECES_BARE = ("X", "PAD", "IGNORE", "CLS", "SEP")


def labels_of_words(labels: Iterable[str]) -> tuple[str, ...]:
    """A tagger's labels without those that are of tokens alone: `[CLS]`, `<pad>`; beside B- and I- also X, PAD ..."""
    found = [label for label in labels if not _OF_PIECES.fullmatch(label)]
    prefixed = any(map(_PREFIXED.fullmatch, found))
    return tuple(label for label in found if not (prefixed and label.upper() in _OF_PIECES_BARE))


class WrongTag(SmallerError):
    """A tag that does not go with the others; `tag` is the tag, for a reader who knows the line that it stands in."""

    def __init__(self, tag: str, expected: str) -> None:
        super().__init__(f"found the tag {tag!r}; expected {expected}.")
        self.tag = tag


def scheme_of(tags: Iterable[str]) -> str:
    """The scheme of all tags of a file, or of a model's labels: "bio", "io", "bioes", "flat" or "none".

    "bio" is B-PER I-PER with O between, also IOB1, which writes B- only where two spans touch; O alone counts as it.
    "io" has I- alone; "bioes" has E- and S-, or as BILOU L- and U-. In "flat" types stand alone beside O (PER PER O).
    "none" marks no spans: tags without a prefix and without O, such as parts of speech, each of one word.

    A part of a file in IOB1 may look like "io": ask with the tags of all files of a data set together. Raises
    `WrongTag` for the first tag that does not go with the others.
    """
    tags = dict.fromkeys(tags)
    bare = [tag for tag in tags if tag != "O" and not _PREFIXED.fullmatch(tag)]
    prefixes = {tag[0] for tag in tags if tag != "O" and tag not in bare}
    if bare and prefixes:
        first = next(tag for tag in tags if _PREFIXED.fullmatch(tag))
        raise WrongTag(bare[0], f"O, or B- or I- and a type, such as B-PER, as in {first!r}")
    if bare and "O" not in tags:
        return "none"
    broken = [tag for tag in bare if not tag or _BROKEN.fullmatch(tag)]
    if broken:
        raise WrongTag(broken[0], "O, or B- or I- and a type, such as B-PER; or types alone, such as PER, and O")
    if bare:
        return "flat"
    if prefixes & set("ESLU"):
        return "bioes"
    return "io" if prefixes == {"I"} else "bio"


def as_bio(tags: Sequence[str], scheme: str) -> tuple[str, ...]:
    """The tags of a sentence as BIO tags of the same spans; those of "bio" and of "none" are left as they are.

    Where a scheme does not say where a span ends ("flat", "io"), neighbours of one type are one span. Tags need not
    follow each other as the scheme has it, since those that a model predicts do not: what continues nothing opens a
    span, as seqeval counts it.
    """
    if scheme in ("bio", "none"):
        return tuple(tags)
    found = []
    before, closed = "", True
    for tag in tags:
        position, kind = ("O", "") if tag == "O" else ("I", tag) if scheme == "flat" else (tag[0], tag[2:])
        opens = position in "BSU" or closed or kind != before
        found.append(f"{'B' if opens else 'I'}-{kind}" if kind else "O")
        before, closed = kind, position in "ESLU"
    return tuple(found)


def spans_of(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Type, first and last word of each span in BIO tags, IOB1 too, as seqeval finds them."""
    found: list[tuple[str, int, int]] = []
    for place, tag in enumerate(tags):
        kind, start = tag[2:], place
        if tag[0] == "I" and found and found[-1][0] == kind and found[-1][2] == place - 1:
            start = found.pop()[1]
        if tag != "O":
            found.append((kind, start, place))
    return found


def from_bio(tags: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
    """BIO tags of a sentence (IOB1 too) in the scheme that a model's labels are in; as they are in "bio" and "none"."""
    scheme = scheme_of(labels)
    if scheme in ("bio", "none"):
        return tuple(tags)
    single, end = "UL" if any(label[:2] in ("U-", "L-") for label in labels) else "SE"
    found = []
    for before, tag, after in zip(("O", *tags), tags, (*tags[1:], "O"), strict=False):
        kind = tag[2:]
        if tag == "O" or scheme != "bioes":
            found.append(tag if tag == "O" else kind if scheme == "flat" else f"I-{kind}")
            continue
        begins, ends = tag[0] == "B" or before[2:] != kind, after != f"I-{kind}"
        found.append(f"{(single if ends else 'B') if begins else end if ends else 'I'}-{kind}")
    return tuple(found)


def types_of(labels: Iterable[str]) -> tuple[str, ...]:
    """The types that labels of any scheme are of, in the order of their first label; of "none", the labels."""
    labels = tuple(labels)
    plain = scheme_of(labels) in ("flat", "none")
    return tuple(dict.fromkeys(label if plain else label[2:] for label in labels if label != "O"))


def in_bio(rows: Sequence[Sequence[str]], *, place: Callable[[int, int], str]) -> tuple[list[Sequence[str]], str]:
    """The tags of all sentences of a file as BIO tags, and the scheme that they came in.

    IOB1 stays, since the same spans are found in it; so does what has I- alone, since a part of a file in IOB1 looks
    like it. Raises SmallerError for a tag that marks no span or does not go with the others; `place` says where a tag
    is by the numbers of its sentence and of its word.
    """
    firsts: dict[str, tuple[int, int]] = {}
    for number, row in enumerate(rows):
        for word, tag in enumerate(row):
            firsts.setdefault(tag, (number, word))
    try:
        scheme = scheme_of(firsts)
        if scheme == "none":
            raise WrongTag(next(iter(firsts)), "O, or B- or I- and a type, such as B-PER")
    except WrongTag as wrong:
        raise SmallerError(f"{place(*firsts[wrong.tag])}: {wrong}") from None
    if scheme in ("bio", "io"):
        return list(rows), scheme
    return [as_bio(row, scheme) for row in rows], scheme
