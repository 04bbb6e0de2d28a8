"""Sentences and texts as tokens: encoded once, kept in memory, handed out in batches that hold little padding."""

from __future__ import annotations

import bisect
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smaller.base.errors import SmallerError
from smaller.data.examples import Example, Sentence, Text

IGNORED = -100
"""The label of tokens that carry none; the index that PyTorch's cross-entropy leaves out."""


@dataclass(frozen=True)
class Encoded:
    """Examples as tokens, in rows: one for each example, or several, one after another, where it is read in parts.

    `pieces[i]` are a row's token ids, `labels[i]` label ids on the first token of each word and `IGNORED` elsewhere,
    `words[i]` the word's index in its sentence on its first token and -1 elsewhere. A text that has one label has it,
    and the index 0, on the special token that it begins with, from which classifiers of texts predict. A word that two
    parts of its sentence hold counts in one of them.

    Counts for each example: `parts` of its rows, `cut` of the words past its end, `without` of those without any token,
    and `unknown` of those with a token that is not in the vocabulary.
    """

    pieces: list[Tensor]
    labels: list[Tensor]
    words: list[Tensor]
    parts: list[int]
    cut: list[int]
    without: list[int]
    unknown: list[int]

    def __len__(self) -> int:
        return len(self.pieces)

    @property
    def lengths(self) -> np.ndarray:
        """Row lengths in tokens, special tokens included."""
        return np.fromiter((len(row) for row in self.pieces), dtype=np.int64, count=len(self.pieces))

    @property
    def truncated_words(self) -> int:
        """How many words stand past the end of their row."""
        return sum(self.cut)

    @property
    def words_without_pieces(self) -> int:
        """How many words the tokenizer drops."""
        return sum(self.without)


@dataclass(frozen=True)
class Batch:
    """Padded rows: `pieces`, `mask` and `labels` of shape (sentences, longest), and the rows' places in the split."""

    pieces: Tensor
    mask: Tensor
    labels: Tensor | None
    rows: Sequence[int]

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        labels = None if self.labels is None else self.labels.to(device)
        return Batch(self.pieces.to(device), self.mask.to(device), labels, self.rows)


def piece_limit(tokenizer, max_length: int) -> int:
    """How many tokens a row may have: `max_length`, or what the tokenizer's model reads, where that is less."""
    return min(max_length, tokenizer.model_max_length)


def encode(
    examples: Sequence[Example], tokenizer, labels: Sequence[str], *, max_length: int = 164, whole: bool = False
) -> Encoded:
    """Encode tagged sentences or labelled texts, in rows of at most `max_length` tokens and what the model reads.

    What is longer is cut; with `whole` a sentence is read in overlapping parts instead, so that no word is lost but
    those without any token. Of a word longer than a row, and of a text, the beginning is read.

    The label stands on the first token of a word only (paper 1's baseline recipe, MasakhaNER code). A label that is not
    among `labels` becomes `IGNORED`: it is not trained on, and scoring handles it by its own rules.
    """
    if not examples:
        raise SmallerError("There is no sentence to encode: the split is empty.")
    ids = {label: index for index, label in enumerate(labels)}
    max_length = piece_limit(tokenizer, max_length)
    if isinstance(examples[0], Text):
        return _encode_texts(examples, tokenizer, ids, max_length=max_length)
    return _encode_sentences(examples, tokenizer, ids, max_length=max_length, whole=whole)


def _encode_texts(texts: Sequence[Text], tokenizer, ids: Mapping[str, int], *, max_length: int) -> Encoded:
    encoding = tokenizer(
        [text.text for text in texts], truncation=True, max_length=max_length, return_attention_mask=False
    )
    special = tokenizer.num_special_tokens_to_add()
    encoded = Encoded([], [], [], [1] * len(texts), [], [], [])
    for text, row, found in zip(texts, encoding["input_ids"], encoding.encodings, strict=True):
        ends = [end for _, end in found.offsets]
        encoded.cut.append(len(text.text[max(ends, default=0) :].split()) if found.overflowing else 0)
        encoded.without.append(len(text.words) if len(row) <= special else 0)
        unknown = [
            end
            for part in (found, *found.overflowing)
            for piece, (_, end) in zip(part.ids, part.offsets, strict=True)
            if piece == tokenizer.unk_token_id
        ]
        # A token is of the word that begins last before its end.
        starts = [word.start() for word in re.finditer(r"\S+", text.text)] if unknown else []
        encoded.unknown.append(len({bisect.bisect_left(starts, end) for end in unknown}))
        encoded.pieces.append(torch.tensor(row))
        encoded.labels.append(_first(ids.get(text.label, IGNORED), IGNORED, len(row)))
        encoded.words.append(_first(0, -1, len(row)))
    return encoded


def _first(value: int, other: int, length: int) -> Tensor:
    return torch.tensor([value] + [other] * (length - 1))


def _encode_sentences(
    sentences: Sequence[Sentence], tokenizer, ids: Mapping[str, int], *, max_length: int, whole: bool
) -> Encoded:
    rows = _rows([sentence.words for sentence in sentences], tokenizer, None if whole else max_length)
    encoded = Encoded([], [], [], [], [], [], [])
    for sentence, row in zip(sentences, rows, strict=True):
        parts = [row] if len(row.pieces) <= max_length else _parts(sentence.words, row, tokenizer, max_length)
        labels = np.fromiter((ids.get(tag, IGNORED) for tag in sentence.tags), np.int64, len(sentence.tags))
        read = 0
        for part in parts:
            firsts = part.firsts()
            words = np.full(len(part.pieces), -1)
            words[firsts] = part.words[firsts]
            label_row = np.full(len(words), IGNORED)
            label_row[firsts] = labels[part.words[firsts]]
            encoded.pieces.append(torch.from_numpy(part.pieces))
            encoded.labels.append(torch.from_numpy(label_row))
            encoded.words.append(torch.from_numpy(words))
            read += len(firsts)
        # Tokenizers drop a word that is only a variation selector or an empty string; that is counted, not an error.
        encoded.parts.append(len(parts))
        encoded.cut.append(len(sentence.words) - 1 - int(row.words.max(initial=-1)) if row.overflows else 0)
        encoded.without.append(len(sentence.words) - read - encoded.cut[-1])
        encoded.unknown.append(len(set(row.words[row.pieces == tokenizer.unk_token_id].tolist())))
    return encoded


@dataclass(frozen=True)
class _Row:
    """A sentence, or a part of it, as tokens: the word that each is of (-1: a special one), and which words count."""

    pieces: np.ndarray
    words: np.ndarray
    overflows: bool = False
    kept: tuple[int, int] = (0, sys.maxsize)

    def firsts(self) -> np.ndarray:
        """Where the first tokens of the words stand that count here."""
        new = np.diff(self.words, prepend=-1) != 0
        return np.flatnonzero(new & (self.words >= self.kept[0]) & (self.words < self.kept[1]))


def _rows(sentences: Sequence[Sequence[str]], tokenizer, max_length: int | None) -> list[_Row]:
    """Each sentence as one row, cut at `max_length` tokens unless that is None."""
    encoding = tokenizer(
        [list(words) for words in sentences],
        is_split_into_words=True,
        max_length=max_length,
        truncation=max_length is not None,
        return_attention_mask=False,
        verbose=False,
    )
    return [
        _Row(
            np.array(pieces, np.int64),
            np.array([-1 if word is None else word for word in row.word_ids], np.int64),
            bool(row.overflowing),
        )
        for pieces, row in zip(encoding["input_ids"], encoding.encodings, strict=True)
    ]


def _parts(words: Sequence[str], row: _Row, tokenizer, max_length: int) -> list[_Row]:
    """A sentence that is longer than a row, in overlapping parts; `row` is all of it."""
    sizes = np.bincount(row.words[row.words >= 0], minlength=len(words)).tolist()
    spans = list(windows(sizes, room=max_length - tokenizer.num_special_tokens_to_add()))
    parts = _rows([words[first:last] for first, last, _, _ in spans], tokenizer, max_length)
    return [
        _Row(part.pieces, np.where(part.words < 0, -1, part.words + first), kept=(low, high))
        for part, (first, _, low, high) in zip(parts, spans, strict=True)
    ]


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


def encode_text(lines: Sequence[str], tokenizer, *, max_length: int = 128) -> list[Tensor]:
    """Encode running text, one row of token ids for each line, cut at `max_length` tokens and what the model reads."""
    if not lines:
        raise SmallerError("There is no text to encode: the corpus is empty.")
    rows = tokenizer(
        list(lines), truncation=True, max_length=piece_limit(tokenizer, max_length), return_attention_mask=False
    )["input_ids"]
    return [torch.tensor(row) for row in rows]


def pad(rows: Sequence[Tensor], *, value: int) -> Tensor:
    """Stack rows of different lengths, filled up at the right with `value`."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True, padding_value=value)


def batch_of(encoded: Encoded, rows: Sequence[int], *, padding: int) -> Batch:
    """The batch that holds the given rows of a split."""
    pieces = pad([encoded.pieces[row] for row in rows], value=padding)
    lengths = torch.tensor([len(encoded.pieces[row]) for row in rows])
    mask = torch.arange(pieces.shape[1])[None, :] < lengths[:, None]
    return Batch(pieces, mask, pad([encoded.labels[row] for row in rows], value=IGNORED), rows)


def shuffled_batches(lengths: np.ndarray, *, size: int, generator: np.random.Generator) -> list[np.ndarray]:
    """An epoch of batches of `size` rows of about equal length, in random order.

    Rows are shuffled, sorted by length within groups of 50 batches, and cut: padding falls from over half of all
    tokens to a few per cent, and which sentences meet still changes from epoch to epoch.
    """
    order = generator.permutation(len(lengths))
    group = 50 * size
    order = np.concatenate(
        [
            part[np.argsort(lengths[part], kind="stable")]
            for part in (order[start : start + group] for start in range(0, len(order), group))
        ]
    )
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    return [batches[place] for place in generator.permutation(len(batches))]


def budget_batches(lengths: np.ndarray, *, budget: int = 4096) -> Iterator[np.ndarray]:
    """Batches of rows sorted by length, each of at most `budget` tokens with padding; for inference."""
    order = np.argsort(lengths, kind="stable")[::-1]
    start = 0
    while start < len(order):
        count = max(1, budget // int(lengths[order[start]]))
        yield order[start : start + count]
        start += count
