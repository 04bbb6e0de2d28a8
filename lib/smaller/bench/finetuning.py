"""Fine-tuning beside the plain way: one model, the same sentences, the same number of updates.

Three ways: the published recipe (every sentence padded to 164 tokens), the plain Trainer with its defaults (padded to
the longest of each batch, fp32), and this library.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import torch

from smaller.bench.base import WARM, Ask, Material, labelled_rows, speeds, times_the, trainer_seconds
from smaller.data.encoding import Batch, encode
from smaller.data.examples import Sentence
from smaller.encoders import Model
from smaller.study.steps.finetuning import labelled_batches, trimmed_where_exact
from smaller.study.training import token_loss, train

ENCODER = "afriberta-small"
WAYS = {
    "published": "published recipe: padded to 164 tokens, fp32",
    "plain": "plain Trainer with its defaults: padded per batch, fp32",
    "smaller": "this library",
}
MARKS = {"plain": 5.0, "published": 10.0}
BATCH = 16


def report(ask: Ask) -> Iterator[str]:
    """A line for each way, then the ratios beside their marks."""
    how = f"batches of {BATCH} sentences, {{updates}} timed updates after {WARM}, {{threads}} threads"
    speed = yield from speeds(ask, WAYS, "sentences", f"Fine-tuning {{about}}; {how}")
    for way, mark in MARKS.items():
        yield times_the(speed["smaller"] / speed[way], f"the {WAYS[way].partition(':')[0]}", mark)


def measure(way: str, given: Material, *, updates: int) -> dict:
    """Sentences per second of one way, in this process."""
    model, sentences = given.tagger(), given.sentences
    seconds = _smaller(model, sentences, updates) if way == "smaller" else _trainer(model, sentences, updates, way)
    return {"sentences_per_second": BATCH * updates / seconds}


def _smaller(model: Model, sentences: list[Sentence], updates: int) -> float:
    encoded = encode(sentences, model.tokenizer, model.labels)
    padding = model.tokenizer.pad_token_id
    clock: list[float] = []

    def timed(batches: Iterator[Batch]) -> Iterator[Batch]:
        for made, batch in enumerate(batches):
            clock.extend([time.perf_counter()] * (made == WARM))
            yield batch

    used = torch.cat([*encoded.pieces, torch.tensor([padding])])
    with trimmed_where_exact(model, used, weight_decay=0.0) as ids:
        epochs = WARM + updates  # more than enough
        batches = labelled_batches(encoded, epochs=epochs, size=BATCH, padding=padding, seed=0, ids=ids)
        first = timed(itertools.islice(batches, WARM + updates))
        train(model, first, token_loss, updates=WARM + updates, learning_rate=5e-5, seed=0)
    return time.perf_counter() - clock[0]


def _trainer(model: Model, sentences: list[Sentence], updates: int, way: str) -> float:
    from transformers import DataCollatorForTokenClassification

    padding = {"padding": "max_length", "max_length": 164} if way == "published" else {"padding": True}
    collator = DataCollatorForTokenClassification(model.tokenizer, **padding)
    return trainer_seconds(model, labelled_rows(model, sentences), collator, size=BATCH, updates=updates)
