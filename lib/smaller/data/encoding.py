"""Sentences and texts as pieces: encoded once, kept in memory, handed out in batches that hold little padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from smaller.data.examples import Example, Sentence, Text
from smaller.data.tasks import bio_labels as bio_labels
from smaller.errors import SmallerError

IGNORED = -100
"""The label of pieces that carry none; the index that PyTorch's cross-entropy leaves out."""


@dataclass(frozen=True)
class Encoded:
    """A split as pieces: three rows for each sentence, all of the sentence's length in pieces.

    `pieces[i]` are piece ids, `labels[i]` label ids on the first piece of each word and `IGNORED` elsewhere, `words[i]`
    the word's index on its first piece and -1 elsewhere. A text that has one label has it, and the index 0, on the
    special piece that it begins with, from which classifiers of texts predict.
    """

    pieces: list[Tensor]
    labels: list[Tensor]
    words: list[Tensor]
    truncated_words: int
    words_without_pieces: int
    unknown_pieces: int

    def __len__(self) -> int:
        return len(self.pieces)

    @property
    def lengths(self) -> np.ndarray:
        """Sentence lengths in pieces, special pieces included."""
        return np.fromiter((len(row) for row in self.pieces), dtype=np.int64, count=len(self.pieces))


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


def encode(examples: Sequence[Example], tokenizer, labels: Sequence[str], *, max_length: int = 164) -> Encoded:
    """Encode tagged sentences or labelled texts; words past `max_length` pieces and words without any piece are lost.

    The label stands on the first piece of a word only (paper 1's baseline recipe, MasakhaNER code). A label that is not
    among `labels` becomes `IGNORED`: it is not trained on, and scoring handles it by its own rules.
    """
    if not examples:
        raise SmallerError("There is no sentence to encode: the split is empty.")
    ids = {label: index for index, label in enumerate(labels)}
    encode_all = _encode_texts if isinstance(examples[0], Text) else _encode_sentences
    return encode_all(examples, tokenizer, ids, max_length=max_length)


def _encode_texts(texts: Sequence[Text], tokenizer, ids: Mapping[str, int], *, max_length: int) -> Encoded:
    encoding = tokenizer([text.text for text in texts], truncation=True, max_length=max_length,
                         return_attention_mask=False)  # fmt: skip
    special = tokenizer.num_special_tokens_to_add()
    pieces, label_rows, word_rows = [], [], []
    truncated = without = unknown = 0
    for index, text in enumerate(texts):
        row = encoding["input_ids"][index]
        seen = max((end for _, end in encoding.encodings[index].offsets), default=0)
        truncated += len(text.text[seen:].split()) if encoding.encodings[index].overflowing else 0
        without += len(text.words) if len(row) <= special else 0
        unknown += row.count(tokenizer.unk_token_id)
        pieces.append(torch.tensor(row))
        label_rows.append(_first(ids.get(text.label, IGNORED), IGNORED, len(row)))
        word_rows.append(_first(0, -1, len(row)))
    return Encoded(pieces, label_rows, word_rows, truncated, without, unknown)


def _first(value: int, other: int, length: int) -> Tensor:
    return torch.tensor([value] + [other] * (length - 1))


def _encode_sentences(sentences: Sequence[Sentence], tokenizer, ids: Mapping[str, int], *, max_length: int) -> Encoded:
    # Tokenizers drop a word that is only a variation selector or an empty string; that is counted, not an error.
    encoding = tokenizer([list(s.words) for s in sentences], is_split_into_words=True, truncation=True,
                         max_length=max_length, return_attention_mask=False)  # fmt: skip
    pieces, label_rows, word_rows = [], [], []
    truncated = without = unknown = 0
    for index, sentence in enumerate(sentences):
        row = encoding["input_ids"][index]
        label_row, word_row = [IGNORED] * len(row), [-1] * len(row)
        seen = -1
        for position, word in enumerate(encoding.word_ids(index)):
            if word is not None and word != seen:
                word_row[position] = seen = word
                label_row[position] = ids.get(sentence.tags[word], IGNORED)
        covered = sum(word >= 0 for word in word_row)
        truncated += len(sentence.words) - 1 - seen if encoding.encodings[index].overflowing else 0
        without += len(sentence.words) - covered
        unknown += row.count(tokenizer.unk_token_id)
        pieces.append(torch.tensor(row))
        label_rows.append(torch.tensor(label_row))
        word_rows.append(torch.tensor(word_row))
    return Encoded(pieces, label_rows, word_rows, truncated, without - truncated, unknown)


def encode_text(lines: Sequence[str], tokenizer, *, max_length: int = 128) -> list[Tensor]:
    """Encode running text, one row of piece ids for each line, cut at `max_length` pieces."""
    if not lines:
        raise SmallerError("There is no text to encode: the corpus is empty.")
    rows = tokenizer(list(lines), truncation=True, max_length=max_length, return_attention_mask=False)["input_ids"]
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
    pieces to a few per cent, and which sentences meet still changes from epoch to epoch.
    """
    order = generator.permutation(len(lengths))
    group = 50 * size
    order = np.concatenate([
        part[np.argsort(lengths[part], kind="stable")]
        for part in (order[start : start + group] for start in range(0, len(order), group))
    ])  # fmt: skip
    batches = [order[start : start + size] for start in range(0, len(order), size)]
    return [batches[place] for place in generator.permutation(len(batches))]


def budget_batches(lengths: np.ndarray, *, budget: int = 4096) -> Iterator[np.ndarray]:
    """Batches of rows sorted by length, each of at most `budget` pieces with padding; for inference."""
    order = np.argsort(lengths, kind="stable")[::-1]
    start = 0
    while start < len(order):
        count = max(1, budget // int(lengths[order[start]]))
        yield order[start : start + count]
        start += count
