"""Held-out text: how well a masked-language model guesses pieces of lines that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from smaller.data.encoding import IGNORED, budget_batches, pad
from smaller.encoders import Model
from smaller.encoders.device import device, mixed_precision, placed
from smaller.study.steps.pretraining import mask_pieces
from smaller.study.training import cross_entropy_sum, logits_at

RATE = 0.15
"""The share of pieces that are to be guessed, whatever the model was trained with."""

HeldOut = Mapping[str, Sequence[tuple[Tensor, Tensor]]]
"""For each language, rows of pieces of which some are hidden, each with its labels."""


def masked_rows(rows: Iterable[Tensor], tokenizer: PreTrainedTokenizerBase) -> list[tuple[Tensor, Tensor]]:
    """Rows with some pieces hidden, and labels that are `IGNORED` elsewhere: the same ones in every call."""
    generator = np.random.default_rng(0)
    special = torch.tensor(tokenizer.all_special_ids)
    options = dict(special=special, mask=tokenizer.mask_token_id, vocabulary=len(tokenizer), rate=RATE)
    return [mask_pieces(row, generator=generator, **options) for row in rows]


def held_out_scores(model: Model, held_out: HeldOut) -> dict:
    """Perplexity and accuracy for each language, and over the labels of all languages together.

    Perplexity is exp of the mean cross-entropy of the labels, with the text on both sides in view: it cannot be
    compared with that of a model that reads from left to right, nor between tokenizers. Accuracy is in points, 0..100.
    """
    network = placed(model.network)
    padding = model.tokenizer.pad_token_id
    sums = {}
    for language, rows in held_out.items():
        sums[language] = np.zeros(3)
        for chosen in budget_batches(np.array([len(pieces) for pieces, _ in rows])):
            pieces = pad([rows[row][0] for row in chosen], value=padding).to(device())
            labels = pad([rows[row][1] for row in chosen], value=IGNORED).to(device())
            places = labels != IGNORED
            with torch.inference_mode(), mixed_precision():
                hidden = network.base_model(input_ids=pieces, attention_mask=pieces != padding).last_hidden_state
                logits = logits_at(network, hidden[places])
            right = (logits.argmax(-1) == labels[places]).sum()
            sums[language] += [cross_entropy_sum(logits, labels[places]).item(), right.item(), len(logits)]
    languages = {language: _summary(*values) for language, values in sums.items() if values[2]}
    return {"overall": _summary(*sum(sums.values())), "languages": languages}


def _summary(loss: float, right: float, labels: float) -> dict:
    return {"perplexity": math.exp(loss / labels), "accuracy": 100 * right / labels, "labels": int(labels)}


def frequency_perplexity(pieces: np.ndarray, held_out: HeldOut, tokenizer: PreTrainedTokenizerBase) -> float:
    """The perplexity of guessing by how often each piece is in the training text (plus one), without looking."""
    counts = np.ones(len(tokenizer), dtype=np.int64)
    for start in range(0, len(pieces), 1 << 20):
        counts += np.bincount(pieces[start : start + (1 << 20)], minlength=len(tokenizer))
    counts[tokenizer.all_special_ids] = 0
    labels = torch.cat([labels[labels != IGNORED] for rows in held_out.values() for _, labels in rows])
    # An unknown piece in the text is special, and yet nothing hides it: no label is one.
    return float(np.exp(-np.mean(np.log(counts[labels.numpy()] / counts.sum()))))
