"""Words and texts as rows of token ids, in parts where a sentence is longer than a row; numpy and tokenizers alone."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from tokenizers import Encoding, Tokenizer


@dataclass(frozen=True)
class Row:
    """Token ids, and for each token the index of the word that begins with it and counts in this row, or else -1."""

    pieces: np.ndarray
    words: np.ndarray


@dataclass(frozen=True)
class Rows:
    """An example as tokens: one row, or several, one after another, where a sentence is read in parts.

    A word that two parts hold counts in one of them. `cut` counts the words past the example's end, `without` those
    without any token, and `unknown` those with a token that is not in the vocabulary.
    """

    rows: list[Row]
    cut: int
    without: int
    unknown: int


def rows_of_texts(texts: Sequence[str], tokenizer: Tokenizer, *, unknown: int, max_length: int) -> list[Rows]:
    """Texts as rows of at most `max_length` tokens, of which the first counts; what is longer is cut.

    `unknown` is the id of the unknown token.
    """
    special = tokenizer.num_special_tokens_to_add(False)
    encodings = _encode(texts, tokenizer, max_length)
    return [_text(text, one, special, unknown) for text, one in zip(texts, encodings, strict=True)]


def _text(text: str, encoding: Encoding, special: int, unknown: int) -> Rows:
    end = max((end for _, end in encoding.offsets), default=0)
    lacking = [
        end
        for part in (encoding, *encoding.overflowing)
        for piece, (_, end) in zip(part.ids, part.offsets, strict=True)
        if piece == unknown
    ]
    # A token is of the word that begins last before its end.
    starts = [word.start() for word in re.finditer(r"\S+", text)] if lacking else []
    pieces = np.array(encoding.ids, np.int64)
    return Rows(
        [Row(pieces, np.where(np.arange(len(pieces)), -1, 0))],
        cut=len(text[end:].split()) if encoding.overflowing else 0,
        without=len(text.split()) if len(pieces) <= special else 0,
        unknown=len({bisect.bisect_left(starts, end) for end in lacking}),
    )


def rows_of_words(
    sentences: Sequence[Sequence[str]], tokenizer: Tokenizer, *, unknown: int, max_length: int, whole: bool
) -> list[Rows]:
    """Sentences of words as rows of at most `max_length` tokens; what is longer is cut, or with `whole` read in parts.

    Of a word that is longer than a row the beginning is read. `unknown` is the id of the unknown token.
    """
    encodings = _encode(sentences, tokenizer, None if whole else max_length)
    found = []
    for words, encoding in zip(sentences, encodings, strict=True):
        pieces, places = _pieces(encoding)
        rows = (
            [Row(pieces, _firsts(places))]
            if len(pieces) <= max_length
            else list(_parts(words, places, tokenizer, max_length))
        )
        read = sum(int((row.words >= 0).sum()) for row in rows)
        # Tokenizers drop a word that is only a variation selector or an empty string; that is counted, not an error.
        cut = len(words) - 1 - int(places.max(initial=-1)) if encoding.overflowing else 0
        lacking = len(set(places[pieces == unknown].tolist()))
        found.append(Rows(rows, cut, without=len(words) - read - cut, unknown=lacking))
    return found


def _encode(given: Sequence, tokenizer: Tokenizer, max_length: int | None) -> list[Encoding]:
    tokenizer.no_padding()
    if max_length is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(max_length)
    split = not isinstance(given[0], str)
    return tokenizer.encode_batch([list(words) for words in given] if split else list(given), is_pretokenized=split)


def _pieces(encoding: Encoding) -> tuple[np.ndarray, np.ndarray]:
    """Token ids, and the word that each token is of (-1: a special one)."""
    places = [-1 if word is None else word for word in encoding.word_ids]
    return np.array(encoding.ids, np.int64), np.array(places, np.int64)


def _firsts(places: np.ndarray) -> np.ndarray:
    return np.where(np.diff(places, prepend=-1) != 0, places, -1)


def _parts(words: Sequence[str], places: np.ndarray, tokenizer: Tokenizer, max_length: int) -> Iterator[Row]:
    """A sentence that is longer than a row, in overlapping parts; `places` says which word each of its tokens is of."""
    sizes = np.bincount(places[places >= 0], minlength=len(words)).tolist()
    spans = list(windows(sizes, room=max_length - tokenizer.num_special_tokens_to_add(False)))
    parts = _encode([words[first:last] for first, last, _, _ in spans], tokenizer, max_length)
    for part, (first, _, low, high) in zip(parts, spans, strict=True):
        pieces, own = _pieces(part)
        firsts = _firsts(own)
        inside = (firsts >= max(low - first, 0)) & (firsts < high - first)
        yield Row(pieces, np.where(inside, firsts + first, -1))


def windows(sizes: Sequence[int], *, room: int) -> Iterator[tuple[int, int, int, int]]:
    """Parts of a sentence of words of the given sizes in tokens: (first, last, kept from, kept to), ends excluded.

    Each part fits into `room` tokens; a word that does not is a part by itself, and will be cut. Parts overlap by a
    quarter, and what two of them read is kept from the one in which it is farther from the border.
    """
    first = kept = 0
    while True:
        last, used = first + 1, sizes[first]
        while last < len(sizes) and used + sizes[last] <= room:
            used += sizes[last]
            last += 1
        if last == len(sizes):
            yield first, last, kept, last
            return
        overlap = min((last - first) // 4, last - first - 1)
        until = last - overlap // 2
        yield first, last, kept, until
        first, kept = last - overlap, until


def budget_batches(lengths: np.ndarray, *, budget: int = 4096) -> Iterator[np.ndarray]:
    """Batches of rows sorted by length, each of at most `budget` tokens with padding; for inference."""
    order = np.argsort(lengths, kind="stable")[::-1]
    start = 0
    while start < len(order):
        count = max(1, budget // int(lengths[order[start]]))
        yield order[start : start + count]
        start += count
