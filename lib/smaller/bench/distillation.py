"""Distillation beside the plain way: a Trainer that runs the teacher in every update, in fp32, padded per batch.

The teacher is a model of the encoder's shape, the student has half its layers, and the losses are those of `Distil`'s
defaults. Speed is in pieces of text per second, without padding.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from smaller.base.errors import SmallerError
from smaller.bench.base import LANGUAGE, Material, labelled_rows, measured, trainer_seconds, word
from smaller.data import splits
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


def report(*, encoder: str, updates: int) -> Iterator[str]:
    """A line for each way, then the ratios beside their marks."""
    speed = {}
    for way, meaning in WAYS.items():
        found = measured("distil", way, encoder=encoder, updates=updates)
        if not speed:
            threads = f"{torch.get_num_threads()} threads"
            yield f"Distilling to half the layers of {found['about']}; {updates} updates, {threads}"
        speed[way] = found["pieces_per_second"]
        meaning = meaning.format(epochs=found.get("epochs"))
        yield f"{speed[way]:8.0f} tokens/s  {found['peak_memory_bytes'] / 1e9:5.2f} GB at most  {meaning}"
    for way in ("corpus", "task"):
        ratio = speed[way] / speed[f"plain-{way}"]
        yield f"{ratio:8.1f} times the plain way on a {way}; the mark is {MARK:g}: {word(ratio >= MARK)}"


def measure(way: str, given: Material, *, updates: int) -> dict:
    """Pieces per second of one way, in this process."""
    layers = max(1, given.model.network.config.num_hidden_layers // 2)
    match way:
        case "corpus":
            step = Distil(
                layers, on="corpus", corpus=_corpus(given), languages=(LANGUAGE,), lines=LINES, updates=updates
            )
            _, about = step.apply(given.model)
            return {"pieces_per_second": about["pieces"] / about["seconds"]}
        case "task":
            return _task(given, layers)
        case "plain-corpus":
            return _plain(given.model, layers, _text_rows(given), updates)
        case _:
            model = given.tagger()
            return _plain(model, layers, labelled_rows(model, given.sentences), updates)


def _task(given: Material, layers: int) -> dict:
    """One epoch is run. What is done once, the teacher's pass above all, is shared by all epochs of the recipe."""
    step = Distil(layers, on="task", dataset=given.dataset, language=LANGUAGE)
    teacher = given.tagger()
    began = time.perf_counter()
    _, about = dataclasses.replace(step, epochs=1).apply(teacher)
    once = time.perf_counter() - began - about["seconds"]
    pieces, seconds = step.epochs * about["pieces"], once + step.epochs * about["seconds"]
    return {"pieces_per_second": pieces / seconds, "epochs": step.epochs}


def _corpus(given: Material) -> str:
    """The text that goes with the sentences, where there is any."""
    try:
        splits.text("corpus", LANGUAGE)
    except SmallerError:
        return "sample"
    return "sample" if given.dataset == "sample" else "corpus"


def _text_rows(given: Material) -> list[dict]:
    lines = lines_of(_corpus(given), LANGUAGE, limit=LINES)
    rows = encode_text(lines, given.model.tokenizer, max_length=Distil(1).max_length)
    return [{"input_ids": row.tolist(), "attention_mask": [1] * len(row)} for row in rows]


def _plain(model: Model, layers: int, rows: list[dict], updates: int) -> dict:
    from transformers import DataCollatorForLanguageModeling, DataCollatorForTokenClassification, Trainer

    kept = layers_kept("stride", layers=layers, of=model.network.config.num_hidden_layers)
    student = cut(model, kept, heads=None, start="teacher", seed=0)
    teacher = model.network.to(device()).eval()
    pieces: list[int] = []

    class Distiller(Trainer):
        def compute_loss(self, network, inputs: dict[str, Tensor], **_: object) -> Tensor:
            pieces.append(int(inputs["attention_mask"].sum()))
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
    return {"pieces_per_second": sum(pieces[-updates:]) / seconds}
