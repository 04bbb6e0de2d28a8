"""Training speed beside the plain way: one model, the same sentences, the same number of updates, one run.

Three ways, each in a process of its own: the published recipe (every sentence padded to 164 pieces), the plain Trainer
with its defaults (padded to the longest of each batch, fp32), and this library. The marks are ratios, since seconds
belong to a machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np
import torch

from smaller import cost, encoders, paths
from smaller.data import splits
from smaller.data.datasets import DATASETS
from smaller.data.encoding import Batch, batch_of, bio_labels, encode, shuffled_batches
from smaller.data.readers import Sentence
from smaller.encoders import ENCODERS, Model
from smaller.errors import SmallerError
from smaller.training import token_loss, train, trimmed_vocabulary

WAYS = {
    "published": "published recipe: padded to 164 pieces, fp32",
    "plain": "plain Trainer with its defaults: padded per batch, fp32",
    "smaller": "this library",
}
MARKS = {"plain": 5.0, "published": 10.0}
BATCH, WARM = 16, 3


def bench(*, encoder: str = "afriberta-small", updates: int = 12) -> Iterator[str]:
    """Time the three ways one after another; yields a line for each, then the ratios beside their marks."""
    if updates < 1:
        raise SmallerError(f"updates is the number of timed updates, at least 1; it is {updates}.")
    model, sentences, source = _setting(encoder)
    yield (
        f"{encoder}: {encoders.parameter_count(model.network):,} parameters, batches of {BATCH} sentences, {updates} "
        f"timed updates after {WARM}, {torch.get_num_threads()} threads; {source}"
    )
    speed = {}
    for way, meaning in WAYS.items():
        command = [sys.executable, "-m", "smaller.bench", way, encoder, str(updates)]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode:
            raise SmallerError(f"Timing the {meaning} failed: {answer.stderr.strip().splitlines()[-1]}")
        found = json.loads(answer.stdout.splitlines()[-1])
        speed[way] = found["sentences_per_second"]
        yield f"{speed[way]:8.1f} sentences/s  {found['peak_memory_bytes'] / 1e9:5.2f} GB at most  {meaning}"
    for way, mark in MARKS.items():
        ratio = speed["smaller"] / speed[way]
        word = "reached" if ratio >= mark else "missed"
        yield f"{ratio:8.1f} times the {WAYS[way].split(':')[0]}; the mark is {mark:g}: {word}"


def _setting(name: str) -> tuple[Model, list[Sentence], str]:
    """A tagger of the encoder's shape (random weights where there are none to load) and the training sentences.

    Speed does not depend on the values of the weights; it does on lengths, so sentences are real where there are any.
    """
    known, models = ENCODERS.get(name), paths.models_folder()
    named = known is not None and known.pretrained
    local = next(iter(sorted(models.glob("*/tokenizer.json"))), None) if models else None
    # Real sentences need a tokenizer that was made for real text: with another one they are too long.
    dataset = "sample" if named and local is None else "masakhaner"
    try:
        sentences = splits.sentences(dataset, "swa", "train")
    except SmallerError:
        dataset, local = "sample", None
        sentences = splits.sentences(dataset, "swa", "train")
    source = f"training sentences of {dataset}/swa"
    if named:
        tokenizer = encoders.open_folder(local.parent).tokenizer if local else encoders.load("sample-small").tokenizer
        model = Model(encoders.build(encoders.configuration(known), seed=0), tokenizer)
        source += f", cut by the tokenizer of {local.parent.name if local else 'the sample'}; random weights"
    else:
        model = encoders.load(name)
    types = DATASETS[dataset].tags
    return encoders.with_classifier(model, bio_labels(types), seed=0), sentences, source


def _smaller(model: Model, sentences: list[Sentence], updates: int) -> float:
    encoded = encode(sentences, model.tokenizer, model.labels)
    padding = model.tokenizer.pad_token_id
    clock: list[float] = []

    def batches(ids: torch.Tensor) -> Iterator[Batch]:
        made = 0
        generator = np.random.default_rng(0)
        while True:
            for rows in shuffled_batches(encoded.lengths, size=BATCH, generator=generator):
                if made == WARM:
                    clock.append(time.perf_counter())
                if made == WARM + updates:
                    return
                batch = batch_of(encoded, rows, padding=padding)
                yield Batch(ids[batch.pieces], batch.mask, batch.labels, rows)
                made += 1

    used = torch.cat([*encoded.pieces, torch.tensor([padding])])
    with trimmed_vocabulary(model.network, used) as ids:
        train(model, batches(ids), token_loss, updates=WARM + updates, learning_rate=5e-5, seed=0)
    return time.perf_counter() - clock[0]


def _trainer(model: Model, sentences: list[Sentence], updates: int, *, padded: bool) -> float:
    from transformers import DataCollatorForTokenClassification, Trainer, TrainerCallback, TrainingArguments

    encoded = encode(sentences, model.tokenizer, model.labels)
    rows = [
        {"input_ids": pieces.tolist(), "attention_mask": [1] * len(pieces), "labels": labels.tolist()}
        for pieces, labels in zip(encoded.pieces, encoded.labels, strict=True)
    ]
    clock: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, arguments, state, control, **_):
            if state.global_step == WARM:
                clock.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        Trainer(
            model=model.network,
            args=TrainingArguments(
                output_dir=folder, per_device_train_batch_size=BATCH, max_steps=WARM + updates, report_to=[],
                disable_tqdm=True, save_strategy="no", logging_strategy="no", seed=0,
            ),
            train_dataset=rows,
            data_collator=DataCollatorForTokenClassification(
                model.tokenizer, padding="max_length" if padded else True, max_length=164
            ),
            callbacks=[Clock()],
        ).train()  # fmt: skip
    return time.perf_counter() - clock[0]


def _main(way: str, encoder: str, updates: int) -> None:
    model, sentences, _ = _setting(encoder)
    if way == "smaller":
        seconds = _smaller(model, sentences, updates)
    else:
        seconds = _trainer(model, sentences, updates, padded=way == "published")
    result = {"sentences_per_second": BATCH * updates / seconds, "peak_memory_bytes": cost.peak_memory()}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
