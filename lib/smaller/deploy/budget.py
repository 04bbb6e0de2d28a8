"""How long candidates take to be taught, and what fits into so many minutes: told before anything is trained."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smaller.base import settings
from smaller.base.progress import duration
from smaller.data import splits
from smaller.data.encoding import encode
from smaller.deploy.candidates import Plan, Shape
from smaller.deploy.measuring import Scales
from smaller.encoders import Model
from smaller.encoders.device import threads_at
from smaller.study.steps.finetuning import labelled_batches
from smaller.study.training import token_loss, train

MOST_CANDIDATES, LEAST_EPOCHS, MOST_EPOCHS = 8, 4, 40
FIRST_ROUND = 4
"""The first round trains for one in so many epochs, and each later one for twice as many as the one before."""

USUAL = 1800.0
"""Seconds that the teaching of all candidates may take where nobody says how long."""

KEPT = 0.5
"""The share of the candidates that a round leaves, the best of them."""


@dataclass(frozen=True)
class Schedule:
    """So many candidates, the epochs of the last round, and about how many seconds all rounds take."""

    candidates: int
    epochs: int
    seconds: float

    @property
    def rounds(self) -> list[tuple[int, int]]:
        """Candidates and epochs of each round: successive halving (Jamieson and Talwalkar 2016)."""
        budgets = sorted({max(1, round(self.epochs * 2**power / FIRST_ROUND)) for power in (0, 1, 2)})
        found, count = [], self.candidates
        for epochs in budgets:
            found.append((count, epochs))
            count = max(min(2, count), math.ceil(KEPT * count))
        return found

    def __str__(self) -> str:
        many = f"{self.candidates} candidate{'s' * (self.candidates != 1)}"
        return f"{many}, up to {self.epochs} epochs: about {duration(self.seconds)}"


def schedule(seconds: Sequence[float], *, budget: float | None, epochs: int) -> Schedule:
    """What fits into a budget of seconds; `seconds` are those of an epoch of each candidate, the first to try first.

    As many candidates as leave each of the last round `LEAST_EPOCHS`, then as many epochs as there is time for. Without
    a budget all candidates are tried, with so many `epochs` at the end, as far as that fits into `USUAL`.
    """
    most, limit = (epochs, USUAL) if budget is None else (MOST_EPOCHS, budget)
    every = min(len(seconds), MOST_CANDIDATES)
    for count in range(every, 1, -1):
        found = _timed(count, min(2 * LEAST_EPOCHS, most), seconds)
        if found.seconds <= limit:
            break
    else:
        found = _timed(min(2, every), min(LEAST_EPOCHS, most), seconds)
    more = (_timed(found.candidates, count, seconds) for count in range(most, found.epochs, -1))
    return next((longer for longer in more if longer.seconds <= limit), found)


def _timed(count: int, epochs: int, seconds: Sequence[float]) -> Schedule:
    """At most so long: which candidates a round leaves is not known, so that the slowest are taken for them."""
    workers = settings.workers() or os.cpu_count() or 1
    slowest = sorted(seconds[:count], reverse=True)
    rounds = Schedule(count, epochs, 0).rounds
    # So many at a time, and each time as long as the slowest of them.
    return Schedule(count, epochs, sum(sum(slowest[:many:workers]) * each for many, each in rounds))


def paces(scales: Scales, shapes: Sequence[Shape]) -> list[float]:
    """Seconds of an epoch of each shape: two of them take a few updates, and the work of a token tells the others."""
    taught = [shape for shape in shapes if not scales.plan.keeps(shape)]
    ends = sorted(taught, key=lambda shape: shape.work)
    ends = list(dict.fromkeys([*ends[:1], *ends[-1:]]))
    if not ends:
        return [0.0] * len(shapes)
    sentences = _taught_on(scales.plan)
    known = {shape: _seconds(scales.plan, scales.untaught(shape), count=128) * sentences for shape in ends}
    work, times = zip(*((shape.work, known[shape]) for shape in ends), strict=True)
    return [0.0 if scales.plan.keeps(shape) else float(np.interp(shape.work, work, times)) for shape in shapes]


def teachers_seconds(scales: Scales) -> float:
    """At most so many seconds take the epochs of the model that is left whole: its threads may make it faster."""
    tuning = scales.plan.tuning
    sentences = len(splits.sentences(tuning.dataset, tuning.language, "train"))
    return _seconds(scales.plan, scales.tagger.copy(), count=32) * sentences * tuning.epochs


def _seconds(plan: Plan, model: Model, *, count: int) -> float:
    """Seconds for a sentence, by the processor's time for updates on so many of the dev split, on one thread."""
    sentences = splits.sentences(plan.tuning.dataset, plan.tuning.language, "dev")[:count]
    encoded = encode(sentences, model.tokenizer, model.labels)
    padding = model.tokenizer.pad_token_id
    batches = labelled_batches(encoded, epochs=1, size=plan.tuning.batch_size, padding=padding, seed=1)
    updates = -(-len(encoded) // plan.tuning.batch_size)
    started = time.process_time()
    with threads_at(1):
        train(model, batches, token_loss, updates=updates, learning_rate=1e-6, seed=1)
    return (time.process_time() - started) / len(encoded)


def _taught_on(plan: Plan) -> int:
    """How many sentences an epoch has."""
    languages = plan.tuning.language.split("+")
    lines = sum(len(splits.some_lines(plan.text, code, plan.lines)) for code in languages * splits.is_text(plan.text))
    return len(splits.sentences(plan.tuning.dataset, plan.tuning.language, "train")) + lines
