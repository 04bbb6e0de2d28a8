"""Sentences that arrive in a pipe or on a command line: as UTF-8 whatever the locale, and as soon as they are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from smaller.base.errors import SmallerError

AT_ONCE = 1 << 16
"""Bytes that are taken at once where as many wait: what a pipe holds on Linux."""

_MARK = b"\xef\xbb\xbf"


def batches(stream: BinaryIO, *, name: str = "standard input") -> Iterator[list[str]]:
    """The lines of a stream, each time as many as are there: one by one from whoever waits for the answer to each.

    Without what ends them (line feed, carriage return) and the byte-order mark at the beginning; blank ones are kept.
    Raises SmallerError with the line's number for one that is not UTF-8, after the lines before it were given.
    """
    number, waiting = 0, []
    ended = False
    while not ended:
        content = stream.read1(AT_ONCE)
        ended = not content
        waiting.append(content)
        if not ended and b"\n" not in content:
            continue  # a line is not joined anew for each of its parts
        *lines, rest = b"".join(waiting).split(b"\n")
        waiting = [] if ended else [rest]
        found = []
        for line in [*lines, rest] if ended and rest else lines:
            number += 1
            line = line.rstrip(b"\r")
            try:
                found.append((line.removeprefix(_MARK) if number == 1 else line).decode("utf-8"))
            except UnicodeDecodeError as problem:
                if found:
                    yield found
                raise not_utf8(f"{name}:{number}", line[problem.start]) from None
        if found:
            yield found


def arguments(sentences: Sequence[str]) -> list[str]:
    """Sentences of a command line. Raises SmallerError for one whose bytes were no text in the shell's encoding."""
    for number, sentence in enumerate(sentences, start=1):
        try:
            sentence.encode("utf-8")
        except UnicodeEncodeError as problem:  # Python hands such a byte on as half of a surrogate pair
            raise not_utf8(f"sentence {number}", ord(sentence[problem.start]) & 0xFF) from None
    return list(sentences)


def not_utf8(where: str, byte: int) -> SmallerError:
    """The error for a byte that is not UTF-8 text."""
    return SmallerError(f"{where}: found byte 0x{byte:02x}, which is not UTF-8; expected text in UTF-8.")
