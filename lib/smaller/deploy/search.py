"""Successive halving over candidates, by the score on the dev split (Jamieson and Talwalkar 2016)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from smaller import study
from smaller.base.errors import SmallerError, in_one_line
from smaller.base.progress import Say, silent
from smaller.data import splits
from smaller.data.sets import EvaluationSet
from smaller.deploy.candidates import Candidate, Plan
from smaller.deploy.measuring import Measured, Scales, nearest
from smaller.deploy.planning import plan_of
from smaller.deploy.release import card_of
from smaller.deploy.targets import Target
from smaller.formats import shipping
from smaller.study import plain, results, timing
from smaller.study.jobs import materialise
from smaller.study.recipes import Recipe

if TYPE_CHECKING:
    from datasets import DatasetDict

KEPT = 0.5
"""The share of the candidates that a round leaves, the best of them."""

FIRST_ROUND = 4
"""The first round trains for one in so many epochs, and each later one for twice as many as the one before."""


@dataclass(frozen=True)
class Found:
    """What a search found. `front` is the table of all that was tried: way, shape, epochs, score on dev, bytes, time.

    `dense` and `chosen` are finished recipes, `measured` the chosen one's bytes and milliseconds; `scores` has dev and
    test of both. `missed` says which limits were not met; it is empty where all were. `without` has the rows of a model
    without an encoder (`plain.run`), which every model that ships has to be ahead of; None where none could be fitted.
    """

    target: Target
    metric: str
    dense: Recipe
    chosen: Recipe
    candidate: Candidate
    measured: Measured
    whole: Measured
    scores: Mapping[str, float]
    front: pd.DataFrame = field(repr=False)
    missed: tuple[str, ...] = ()
    without: pd.DataFrame | None = field(default=None, repr=False)

    def ship(self, folder: Path | str) -> Path:
        """Write the chosen model to a folder, with its card and what else was tried."""
        model, _ = materialise(self.chosen)
        return shipping.ship(model, folder, card=card_of(self.chosen) | {"notes": list(self.notes())})

    def notes(self) -> list[str]:
        """What the card says of the search."""
        scores = self.scores
        lines = [
            f"Asked for: {self.target}. "
            + (f"Not met: {'; '.join(self.missed)}." if self.missed else "All of it met."),
            f"{self.metric} beside that of the model that was left whole: {scores['dev']:.1f} and "
            f"{scores['dense dev']:.1f} on dev, {scores['test']:.1f} and {scores['dense test']:.1f} on test; the "
            "choice was made on dev.",
            f"{self.measured.size / 1e6:.2f} MB to ship, {100 * self.measured.size / self.whole.size:.1f} % of the "
            f"whole in fp32; {self.measured.time}. The whole in fp32, {self.whole.time}.",
        ]
        lines += self._beside_no_encoder()
        for row in self.front.itertuples(index=False):
            lines.append(
                f"Tried: {row.way}, {row.shape}, {_epochs(row.epochs)}: {row.score:.1f} on dev, "
                f"{row.megabytes:.2f} MB, {row.milliseconds:.2f} ms for the network."
            )
        return lines

    def _beside_no_encoder(self) -> list[str]:
        """The line on the model without an encoder, if there is one."""
        if self.without is None:
            return []
        dev, test = (self.without.set_index("split").loc[split] for split in ("dev", "test"))
        told = (
            f"On the same data, a model without an encoder ({dev['encoder']}) has {dev['score']:.1f} on dev and "
            f"{test['score']:.1f} on test, takes {dev['shipped_bytes'] / 1e6:.2f} MB, and reads a sentence in "
            f"{dev['end_to_end_milliseconds']:.2f} ms."
        )
        return [told + " It is ahead on dev: look at it first." * bool(dev["score"] > self.scores["dev"])]


def compress(
    encoder: str,
    data: str | Path | DatasetDict,
    *,
    max_bytes: float | None = None,
    max_latency: float | None = None,
    max_drop: float | None = None,
    task: str = "",
    language: str = "und",
    form: str = "onnx-int8",
    seed: int = 1,
    say: Say = silent,
    **tuning: Any,
) -> Found:
    """Find the best small model of an encoder for a labelled task, within limits of bytes, time and points lost.

    `encoder` is a name or a folder; the folder of a fine-tuned model is taken as it is. `data` is a data set and a
    language, such as "masakhaner/swa", a data set of the hub, or one's own: a path, or a `DatasetDict` in memory (see
    `own.bring`, with `task` and `language`).
    `tuning` sets fields of `FineTune`; what is not given follows the encoder's width. Where there is unlabelled text of
    the language, pieces are chosen by it and students are taught on it too. Limits of bytes and time are checked before
    anything is trained. With `max_drop` alone the smallest model within it is searched, else the best.
    `say` hears first what was noted about data and model. A shape or a candidate that fails is left out, in a line.
    Raises SmallerError where no shape is within the limits, and says what comes nearest.
    """
    target = Target(max_bytes, max_latency, max_drop)
    plan, notes = plan_of(encoder, data, task=task, language=language, form=form, seed=seed, tuning=tuning)
    for line in notes:
        say(line)
    scales = Scales(plan, say=say)
    whole = scales.of(None)
    candidates = _candidates(plan, scales, target)
    say(f"{_count(candidates)} within the limits; the whole is {whole.size / 1e6:.2f} MB; {whole.time}")
    for why in _finish([plan.dense], plan, say).values():
        raise SmallerError(f"The model that is left whole could not be made. {why}")
    dense = _score(plan.dense, plan, "dev")
    say(f"left whole: {dense:.1f} on dev")
    without = _without_encoder(plan, say)
    rounds = _rounds(plan, scales, candidates, target, dense, say)
    best = _ranked(rounds[-1], target, floor=dense - (target.max_drop or 0))[0]
    recipe = best["candidate"].recipe(epochs=best["epochs"], seed=plan.tuning.seed)
    scores = {
        name: _score(made, plan, split)
        for made, prefix in ((plan.dense, "dense "), (recipe, ""))
        for split in ("dev", "test")
        for name in (f"{prefix}{split}",)
    }
    if not plan.tuned:  # else the records do not say which sentences to time
        try:
            timing.time_side_by_side([plan.dense, recipe], sparse_from=math.inf)
        except Exception as problem:  # what was found stands without it
            say(f"left out: times side by side: {in_one_line(problem)}")
    front = pd.DataFrame([_row(tried) for tried in (tried for one in rounds for tried in one)])
    measured = scales.of(best["candidate"].shape)
    return Found(
        target,
        splits.task(plan.tuning.dataset).metric_name,
        plan.dense,
        recipe,
        best["candidate"],
        measured,
        whole,
        scores,
        front,
        _missed(target, measured, scores),
        without,
    )


def _without_encoder(plan: Plan, say: Say) -> pd.DataFrame | None:
    """What a model without an encoder does on the same data; None, with a line that says why, where none is fitted."""
    try:
        found = plain.run(plan.tuning.dataset, [plan.tuning.language], say=say)
    except Exception as problem:  # what is asked for does not hang on it
        say(f"left out: a model without an encoder: {in_one_line(problem)}")
        return None
    say(f"without an encoder ({found['encoder'].iloc[0]}): {found['score'].iloc[0]:.1f} on dev")
    return found


def _candidates(plan: Plan, scales: Scales, target: Target) -> list[Candidate]:
    looked_at = plan.shapes()
    scales.require_form()
    if target.max_bytes or target.max_latency:
        found = scales.fitting(looked_at, target)
    else:
        # Pieces that the text hardly ever needs cost nothing; where none can go, all stay.
        by_coverage = ([shape for shape in looked_at if shape.coverage == coverage] for coverage in (0.999, 1.0))
        found = next(filter(None, map(scales.measurable, by_coverage)), [])
    if not found:
        scales.least(looked_at)  # of all that can be had
        if all(str(shape) in scales.left_out for shape in looked_at):
            first, why = next(iter(scales.left_out.items()))
            raise SmallerError(f"No shape of {plan.start.encoder} could be measured. {first}: {why}")
        raise SmallerError(
            f"No model of {plan.start.encoder} is within the limits ({target}); of all that was "
            f"measured, {' and '.join(nearest(scales.known, target)) or 'nothing came near'}. Nothing "
            "was trained."
        )
    return [candidate for shape in found for candidate in plan.candidates(shape)]


def _rounds(
    plan: Plan, scales: Scales, candidates: Sequence[Candidate], target: Target, dense: float, say: Say
) -> list[list[dict]]:
    """What each round tried. The last one has all epochs. Of candidates that fail the next best take the place."""
    epochs = plan.tuning.epochs
    budgets = sorted({max(1, round(epochs * 2**power / FIRST_ROUND)) for power in range(int(math.log2(FIRST_ROUND)))})
    rounds: list[list[dict]] = []
    waiting, count = list(candidates), len(candidates)
    for turn, budget in enumerate([*(budget for budget in budgets if budget < epochs), epochs], start=1):
        say(f"round {turn}: {_count(waiting[:count])}, {_epochs(budget)}")
        tried: list[dict] = []
        failed: list[str] = []
        while len(tried) < count and len(tried) + len(failed) < len(waiting):
            chosen = waiting[len(tried) + len(failed) :][: count - len(tried)]
            recipes = [candidate.recipe(epochs=budget, seed=plan.tuning.seed) for candidate in chosen]
            why = _finish(recipes, plan, say)
            for candidate, recipe in zip(chosen, recipes, strict=True):
                if recipe in why:
                    failed.append(f"{candidate}: {why[recipe]}")
                    say(f"  left out: {failed[-1]}")
                    continue
                tried.append(
                    {
                        "candidate": candidate,
                        "epochs": budget,
                        "score": _score(recipe, plan, "dev"),
                        "measured": scales.of(candidate.shape),
                        "seconds": _seconds(recipe),
                    }
                )
        if not tried:
            raise SmallerError(f"No candidate could be made. {failed[0]}")
        for one in tried:
            size, took = one["measured"].size / 1e6, one["measured"].milliseconds
            say(
                f"  {one['score']:5.1f} on dev, {size:.2f} MB, {took:.2f} ms, trained {one['seconds']:.0f} s: "
                f"{one['candidate']}"
            )
        rounds.append(tried)
        # In the middle of training the best candidate stands for what can be had; at the end the whole model does.
        top = dense if budget == epochs else max(one["score"] for one in tried)
        waiting = [one["candidate"] for one in _ranked(tried, target, floor=top - (target.max_drop or 0))]
        count = max(2, math.ceil(KEPT * len(waiting)))
    return rounds


def _ranked(tried: Sequence[dict], target: Target, *, floor: float) -> list[dict]:
    """The best first: by score; with a limit on the loss alone, the smallest of those within it, then the others."""
    if target.max_bytes or target.max_latency:
        return sorted(tried, key=lambda one: -one["score"])
    return sorted(tried, key=lambda one: (max(0.0, floor - one["score"]), one["measured"].size))


def _finish(recipes: Sequence[Recipe], plan: Plan, say: Say) -> dict[Recipe, str]:
    """Train and score the recipes; returns those that failed, each with the reason, when all others are finished."""
    sets = _sets(plan) if plan.tuned else ()
    if len(recipes) > 1:
        with contextlib.suppress(Exception):  # which recipe it was shows when they are tried one by one
            study.run(recipes, sets=sets, say=say)
    failed = {}
    for recipe in study.pending(recipes, sets):
        try:
            study.run([recipe], sets=sets, say=say)
        except Exception as problem:
            failed[recipe] = in_one_line(problem)
    return failed


def _sets(plan: Plan) -> list[EvaluationSet]:
    return [EvaluationSet(plan.tuning.dataset, plan.tuning.language, split) for split in ("dev", "test")]


def _score(recipe: Recipe, plan: Plan, split: str) -> float:
    place = EvaluationSet(plan.tuning.dataset, plan.tuning.language, split)
    return results.read(recipe)["scores"][place.key][splits.task(plan.tuning.dataset).metric]


def _seconds(recipe: Recipe) -> float:
    return results.read(recipe)["cost"]["training_seconds"]


def _count(candidates: Sequence[Candidate]) -> str:
    return f"{len(candidates)} candidate{'s' * (len(candidates) != 1)}"


def _epochs(count: int) -> str:
    return f"{count} epoch{'s' * (count > 1)}"


def _row(tried: dict) -> dict:
    measured, candidate = tried["measured"], tried["candidate"]
    return {
        "way": candidate.way,
        "shape": str(candidate.shape),
        "epochs": tried["epochs"],
        "score": tried["score"],
        "megabytes": measured.size / 1e6,
        "milliseconds": measured.milliseconds,
        "end_to_end_milliseconds": measured.end_to_end,
        "training_seconds": tried["seconds"],
    }


def _missed(target: Target, measured: Measured, scores: Mapping[str, float]) -> tuple[str, ...]:
    missed = []
    if target.max_bytes and measured.size > target.max_bytes:
        missed.append(f"{measured.size / 1e6:.2f} MB")
    if target.max_latency and measured.milliseconds > target.max_latency:
        missed.append(f"{measured.milliseconds:.2f} ms")
    lost = scores["dense dev"] - scores["dev"]
    if target.max_drop is not None and lost > target.max_drop:
        missed.append(f"{lost:.1f} points lost on dev")
    return tuple(missed)
