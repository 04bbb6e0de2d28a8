"""Distillation beside the plain way: a Trainer that runs the teacher in every update, in fp32, padded per batch.

The teacher is a model of the encoder's shape, the student has half its layers, and the losses are those of `Distil`'s
defaults. Speed is in tokens of text per second, without padding.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from smaller.bench.base import LANGUAGE, Ask, Material, labelled_rows, speeds, times_the, trainer_seconds
from smaller.data.encoding import IGNORED, encode_text
from smaller.encoders import Model
from smaller.encoders.device import device
from smaller.study.steps.cutting import cut, layers_kept
from smaller.study.steps.distillation import Distil
from smaller.study.steps.finetuning import FineTune
from smaller.study.steps.texts import lines_of

ENCODER = "afriberta-base"
WAYS = {
    "plain-corpus": "corpus, plain: Trainer with the teacher in every update, padded per batch, fp32",
    "corpus": "corpus, this library",
    "plain-task": "task, plain: Trainer with the teacher in every update, padded per batch, fp32",
    "task": "task, this library, over all {epochs} epochs",
}
MARK = 3.0
LINES = 2000


def report(ask: Ask) -> Iterator[str]:
    """A line for each way, then the ratios beside their marks."""
    about = "Distilling to half the layers of {about}; {updates} updates, {threads} threads"
    speed = yield from speeds(ask, WAYS, "tokens", about)
    for way in ("corpus", "task"):
        yield times_the(speed[way] / speed[f"plain-{way}"], f"the plain way on a {way}", MARK)


def measure(way: str, given: Material, *, updates: int) -> dict:
    """Tokens per second of one way, in this process."""
    layers = max(1, given.model.network.config.num_hidden_layers // 2)
    if way == "task":
        return _task(given, layers)
    if way == "corpus":
        step = Distil.on_text(given.corpus, (LANGUAGE,), layers=layers, updates=updates, lines=LINES)
        _, about = step.apply(given.model)
        return {"tokens_per_second": about["pieces"] / about["seconds"]}
    if way == "plain-task":
        model = given.tagger()
        return _plain(model, layers, labelled_rows(model, given.sentences), updates)
    lines = lines_of(given.corpus, LANGUAGE, limit=LINES)
    rows = encode_text(lines, given.model.tokenizer, max_length=Distil(1).max_length)
    rows = [{"input_ids": row.tolist(), "attention_mask": [1] * len(row)} for row in rows]
    return _plain(given.model, layers, rows, updates)


def _task(given: Material, layers: int) -> dict:
    """One epoch is run. What is done once, the teacher's pass above all, is shared by all epochs of the recipe."""
    step = Distil.on_task(given.dataset, LANGUAGE, layers=layers)
    teacher = given.tagger()
    began = time.perf_counter()
    _, about = dataclasses.replace(step, epochs=1).apply(teacher)
    once = time.perf_counter() - began - about["seconds"]
    tokens, seconds = step.epochs * about["pieces"], once + step.epochs * about["seconds"]
    return {"tokens_per_second": tokens / seconds, "epochs": step.epochs}


def _plain(model: Model, layers: int, rows: list[dict], updates: int) -> dict:
    from transformers import DataCollatorForLanguageModeling, DataCollatorForTokenClassification, Trainer

    kept = layers_kept("stride", layers=layers, of=model.network.config.num_hidden_layers)
    student = cut(model, kept, heads=None, start="teacher", seed=0)
    teacher = model.network.to(device()).eval()
    tokens: list[int] = []

    class Distiller(Trainer):
        def compute_loss(self, network, inputs: dict[str, Tensor], **_: object) -> Tensor:
            tokens.append(int(inputs["attention_mask"].sum()))
            found = network(**inputs)
            with torch.no_grad():
                taught = teacher(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
            counts = inputs["labels"] != IGNORED
            soft = functional.kl_div(
                functional.log_softmax(found.logits[counts] / 2, dim=-1),
                functional.softmax(taught[counts] / 2, dim=-1),
                reduction="batchmean",
            )
            return 0.5 * found.loss + 0.5 * 4 * soft

    if model.labels:
        size, collator = FineTune("sample", LANGUAGE).batch_size, DataCollatorForTokenClassification(model.tokenizer)
    else:
        size = Distil(1).batch_size
        collator = DataCollatorForLanguageModeling(model.tokenizer, mlm_probability=Distil(1).rate)
    seconds = trainer_seconds(student, rows, collator, size=size, updates=updates, trainer=Distiller)
    return {"tokens_per_second": sum(tokens[-updates:]) / seconds}
