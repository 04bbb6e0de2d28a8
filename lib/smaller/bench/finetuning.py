"""Fine-tuning beside the plain way: one model, the same sentences, the same number of updates.

Three ways: the published recipe (every sentence padded to 164 pieces), the plain Trainer with its defaults (padded to
the longest of each batch, fp32), and this library.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from smaller.bench.base import WARM, Material, labelled_rows, measured, trainer_seconds, word
from smaller.data.encoding import Batch, encode
from smaller.data.examples import Sentence
from smaller.encoders import Model
from smaller.study.steps.finetuning import labelled_batches, trimmed_where_exact
from smaller.study.training import token_loss, train

ENCODER = "afriberta-small"
WAYS = {
    "published": "published recipe: padded to 164 pieces, fp32",
    "plain": "plain Trainer with its defaults: padded per batch, fp32",
    "smaller": "this library",
}
MARKS = {"plain": 5.0, "published": 10.0}
BATCH = 16


def report(*, encoder: str, updates: int) -> Iterator[str]:
    """A line for each way, then the ratios beside their marks."""
    speed = {}
    for way, meaning in WAYS.items():
        found = measured("finetune", way, encoder=encoder, updates=updates)
        if not speed:
            yield (
                f"Fine-tuning {found['about']}; batches of {BATCH} sentences, {updates} timed updates after {WARM}, "
                f"{torch.get_num_threads()} threads"
            )
        speed[way] = found["sentences_per_second"]
        yield f"{speed[way]:8.1f} sentences/s  {found['peak_memory_bytes'] / 1e9:5.2f} GB at most  {meaning}"
    for way, mark in MARKS.items():
        ratio = speed["smaller"] / speed[way]
        yield f"{ratio:8.1f} times the {WAYS[way].split(':')[0]}; the mark is {mark:g}: {word(ratio >= mark)}"


def measure(way: str, given: Material, *, updates: int) -> dict:
    """Sentences per second of one way, in this process."""
    model, sentences = given.tagger(), given.sentences
    if way == "smaller":
        seconds = _smaller(model, sentences, updates)
    else:
        seconds = _trainer(model, sentences, updates, padded=way == "published")
    return {"sentences_per_second": BATCH * updates / seconds}


def _smaller(model: Model, sentences: list[Sentence], updates: int) -> float:
    encoded = encode(sentences, model.tokenizer, model.labels)
    padding = model.tokenizer.pad_token_id
    clock: list[float] = []

    def limited(batches: Iterator[Batch]) -> Iterator[Batch]:
        for made, batch in enumerate(batches):
            if made == WARM:
                clock.append(time.perf_counter())
            if made == WARM + updates:
                return
            yield batch

    used = torch.cat([*encoded.pieces, torch.tensor([padding])])
    with trimmed_where_exact(model, used, weight_decay=0.0) as ids:
        epochs = WARM + updates  # more than enough
        batches = labelled_batches(encoded, epochs=epochs, size=BATCH, padding=padding, seed=0, ids=ids)
        train(model, limited(batches), token_loss, updates=WARM + updates, learning_rate=5e-5, seed=0)
    return time.perf_counter() - clock[0]


def _trainer(model: Model, sentences: list[Sentence], updates: int, *, padded: bool) -> float:
    from transformers import DataCollatorForTokenClassification

    collator = DataCollatorForTokenClassification(
        model.tokenizer, padding="max_length" if padded else True, max_length=164 if padded else None
    )
    return trainer_seconds(model, labelled_rows(model, sentences), collator, size=BATCH, updates=updates)
