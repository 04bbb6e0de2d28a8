"""What text is, wherever it comes from: UTF-8, one spelling for each letter (NFC), lines that end at a line feed."""

from __future__ import annotations

import unicodedata

from smaller.base.errors import SmallerError
from smaller.data.examples import Sentence

BYTE_ORDER_MARK = "\ufeff"

_APOSTROPHES = "'’‘ʼ´`"


def composed(text: str) -> str:
    """The text with each letter in one spelling: with its accents as one character, where there is one (NFC)."""
    return unicodedata.normalize("NFC", text)


def is_composed(text: str) -> bool:
    """Whether `composed` leaves the text, and so any part of it, as it is."""
    return unicodedata.is_normalized("NFC", text)


def composed_with_places(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The composed text, and for each of its characters where it starts and ends in the text as given."""
    if is_composed(text):
        return text, [(place, place + 1) for place in range(len(text))]
    found: list[str] = []
    places: list[tuple[int, int]] = []
    start = 0
    for end in range(1, len(text) + 1):
        if end < len(text) and not _begins(text[start:end], text[end]):
            continue
        part = composed(text[start:end])
        found.append(part)
        # Within a part it cannot be said which character became which, unless there are as many as before.
        as_many = len(part) == end - start
        places += [(start + i, start + i + 1) if as_many else (start, end) for i in range(len(part))]
        start = end
    return "".join(found), places


def _begins(before: str, character: str) -> bool:
    """Whether a character starts something new: it neither composes with what stands before it nor moves past it."""
    if unicodedata.combining(character):
        return False
    return composed(before + character) == composed(before) + composed(character)


def decoded(content: bytes, *, where: str) -> tuple[str, bool]:
    """The text of a file or stream without its byte-order mark, lines ended by a line feed; whether it had the mark.

    Raises SmallerError, with the line, for what is not UTF-8 text.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise SmallerError(
            f"{where}:{number}: found byte 0x{content[error.start]:02x}, which is not UTF-8; expected text in UTF-8."
        ) from None
    if "\0" in text:
        number = text.count("\n", 0, text.index("\0")) + 1
        raise SmallerError(
            f"{where}:{number}: found a NUL character, so this is a binary file; expected text in UTF-8."
        )
    marked = text.startswith(BYTE_ORDER_MARK)
    text = text.removeprefix(BYTE_ORDER_MARK).replace("\r\n", "\n")
    # Files of old Macs end their lines with a carriage return alone.
    return (text if "\n" in text else text.replace("\r", "\n")), marked


def words_of(text: str) -> list[tuple[int, int]]:
    """Start and end of each word: runs of anything but white space, with punctuation and symbols split off.

    Each punctuation mark or symbol is a word of its own, also inside numbers and between letters, as in MasakhaNER
    (`12 - 3 . 5`); the Ethiopic ones (። ፣ ፡) are among them. Apostrophes stay within their word (n'ala, by’inshuti).
    """
    spans: list[tuple[int, int]] = []
    start = None
    for place, character in enumerate(text):
        alone = unicodedata.category(character)[0] in "PS" and character not in _APOSTROPHES
        if start is not None and (alone or character.isspace()):
            spans.append((start, place))
            start = None
        if alone:
            spans.append((place, place + 1))
        elif start is None and not character.isspace():
            start = place
    return spans if start is None else [*spans, (start, len(text))]


def as_sentence(text: str) -> Sentence:
    """The words of a text as a sentence without entities."""
    words = tuple(text[start:end] for start, end in words_of(text))
    return Sentence(words, ("O",) * len(words))
