"""Held-out text: how well a masked-language model guesses tokens of lines that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from smaller.data.encoding import IGNORED, pad
from smaller.data.tokens import budget_batches
from smaller.encoders import Model
from smaller.encoders.device import device, mixed_precision, placed
from smaller.study.steps.pretraining import mask_tokens
from smaller.study.training import cross_entropy_sum, logits_at

RATE = 0.15
"""The share of tokens that are to be guessed, whatever the model was trained with."""

HeldOut = Mapping[str, Sequence[tuple[Tensor, Tensor]]]
"""For each language, rows of tokens of which some are hidden, each with its labels."""


def masked_rows(rows: Iterable[Tensor], tokenizer: PreTrainedTokenizerBase) -> list[tuple[Tensor, Tensor]]:
    """Rows with some tokens hidden, and labels that are `IGNORED` elsewhere: the same ones in every call."""
    generator = np.random.default_rng(0)
    special = torch.tensor(tokenizer.all_special_ids)
    options = dict(special=special, mask=tokenizer.mask_token_id, vocabulary=len(tokenizer), rate=RATE)
    return [mask_tokens(row, generator=generator, **options) for row in rows]


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
        for chosen in budget_batches(np.array([len(tokens) for tokens, _ in rows])):
            tokens = pad([rows[row][0] for row in chosen], value=padding).to(device())
            labels = pad([rows[row][1] for row in chosen], value=IGNORED).to(device())
            places = labels != IGNORED
            with torch.inference_mode(), mixed_precision():
                hidden = network.base_model(input_ids=tokens, attention_mask=tokens != padding).last_hidden_state
                logits = logits_at(network, hidden[places])
            right = (logits.argmax(-1) == labels[places]).sum()
            sums[language] += [cross_entropy_sum(logits, labels[places]).item(), right.item(), len(logits)]
    languages = {language: _summary(*values) for language, values in sums.items() if values[2]}
    return {"overall": _summary(*sum(sums.values())), "languages": languages}


def _summary(loss: float, right: float, labels: float) -> dict:
    return {"perplexity": math.exp(loss / labels), "accuracy": 100 * right / labels, "labels": int(labels)}


def frequency_perplexity(tokens: np.ndarray, held_out: HeldOut, tokenizer: PreTrainedTokenizerBase) -> float:
    """The perplexity of guessing by how often each token is in the training text (plus one), without looking."""
    counts = np.ones(len(tokenizer), dtype=np.int64)
    for start in range(0, len(tokens), 1 << 20):
        counts += np.bincount(tokens[start : start + (1 << 20)], minlength=len(tokenizer))
    counts[tokenizer.all_special_ids] = 0
    labels = torch.cat([labels[labels != IGNORED] for rows in held_out.values() for _, labels in rows])
    # An unknown token in the text is special, and yet nothing hides it: no label is one.
    return float(np.exp(-np.mean(np.log(counts[labels.numpy()] / counts.sum()))))
