"""Sentences and texts as tokens: encoded once, kept in memory, handed out in batches that hold little padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smaller.base.errors import SmallerError
from smaller.data.examples import Example, Text
from smaller.data.tokens import rows_of_texts, rows_of_words

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
    """Padded rows: `pieces`, `mask` and `labels` of shape (sentences, longest), and the rows' places in the split.

    `kept` is the same batch on the processor, where it was made: what is in it is known there without waiting.
    """

    pieces: Tensor
    mask: Tensor
    labels: Tensor | None
    rows: Sequence[int]
    kept: Batch | None = None

    @property
    def known(self) -> Batch:
        """The batch as the processor holds it."""
        return self.kept or self

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device."""
        if self.pieces.device.type == device.type:
            return self
        labels = None if self.labels is None else sent(self.labels, device)
        return Batch(sent(self.pieces, device), sent(self.mask, device), labels, self.rows, self.known)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the processor on a device; the processor goes on while a GPU fetches it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def flat_places(places: Tensor, device: torch.device) -> Tensor:
    """Where a table of the processor is True, as places in its rows one after another, on a device."""
    return sent(places.flatten().nonzero()[:, 0], device)


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
    given = {"tokenizer": tokenizer.backend_tokenizer, "unknown": tokenizer.unk_token_id, "max_length": max_length}
    if isinstance(examples[0], Text):
        found = rows_of_texts([text.text for text in examples], **given)
    else:
        found = rows_of_words([sentence.words for sentence in examples], **given, whole=whole)
    encoded = Encoded([], [], [], [], [], [], [])
    for example, each in zip(examples, found, strict=True):
        own = np.array([ids.get(label, IGNORED) for label in example.labels], np.int64)
        for row in each.rows:
            firsts = row.words >= 0
            labels = np.full(len(row.words), IGNORED)
            labels[firsts] = own[row.words[firsts]]
            encoded.pieces.append(torch.from_numpy(row.pieces))
            encoded.labels.append(torch.from_numpy(labels))
            encoded.words.append(torch.from_numpy(row.words))
        encoded.parts.append(len(each.rows))
        encoded.cut.append(each.cut)
        encoded.without.append(each.without)
        encoded.unknown.append(each.unknown)
    return encoded


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
