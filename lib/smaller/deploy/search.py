"""Successive halving over candidates, by the score on the dev split (Jamieson and Talwalkar 2016)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from smaller import study
from smaller.base.errors import SmallerError, in_one_line
from smaller.base.files import require_place
from smaller.base.progress import Say, duration, silent
from smaller.data import splits
from smaller.data.sets import EvaluationSet
from smaller.deploy.budget import MOST_CANDIDATES, Schedule, paces, schedule, teachers_seconds
from smaller.deploy.candidates import Plan, Shape
from smaller.deploy.filling import filling, ladder
from smaller.deploy.measuring import Measured, Scales, nearest
from smaller.deploy.planning import plan_of
from smaller.deploy.recorded import card_of
from smaller.deploy.targets import Target
from smaller.encoders import ABOUT_FILE
from smaller.formats import shipping
from smaller.study import plain, results, timing
from smaller.study.jobs import materialise
from smaller.study.recipes import Recipe

if TYPE_CHECKING:
    from datasets import DatasetDict


@dataclass(frozen=True)
class Tried:
    """A candidate as a round made it: its score on dev, what its shape costs, and the seconds that training it took.

    Those of the model that is left whole, which teaches all, are not among them. `way` is "kept whole", but for tokens,
    or "distilled" from the fine-tuned model.
    """

    way: str
    shape: Shape
    epochs: int
    score: float
    measured: Measured
    seconds: float

    def __str__(self) -> str:
        return f"{self.score:5.1f} on dev, {self.measured}, trained {self.seconds:.0f} s: {self.way}: {self.shape}"

    @property
    def row(self) -> dict:
        """A row of `Found.front`."""
        about = {"way": self.way, "shape": str(self.shape), "epochs": self.epochs}
        times = {"milliseconds": self.measured.milliseconds, "end_to_end_milliseconds": self.measured.end_to_end}
        sizes = {"score": self.score, "megabytes": self.measured.size / 1e6}
        return about | sizes | times | {"training_seconds": self.seconds}


@dataclass(frozen=True)
class Found:
    """What a search found: `dense` and `chosen` are finished recipes, `scores` has dev and test of both.

    `shape` and `measured` are of the chosen one, `whole` the measures of the model left whole in fp32. `tried` has
    what each round made. `without` has the rows of a model without an encoder (`plain.run`), which every model that
    ships has to be ahead of; None where none could be fitted.
    """

    target: Target
    metric: str
    dense: Recipe
    chosen: Recipe
    shape: Shape
    measured: Measured
    whole: Measured
    scores: Mapping[str, float]
    tried: Sequence[Tried] = field(repr=False)
    without: pd.DataFrame | None = field(repr=False)

    @property
    def front(self) -> pd.DataFrame:
        """All that was tried: way, shape, epochs, score on dev, megabytes, both times, seconds of training."""
        return pd.DataFrame([one.row for one in self.tried])

    @property
    def missed(self) -> tuple[str, ...]:
        """The limits that were not met, in words; empty where all were."""
        lost = self.scores["dense dev"] - self.scores["dev"]
        return self.target.missed(size=self.measured.size, milliseconds=self.measured.end_to_end, lost=lost)

    def ship(self, folder: Path | str) -> Path:
        """Write the chosen model to a folder, with its card and what else was tried."""
        model, _ = materialise(self.chosen)
        notes = self.notes() + [f"Tried: {_epochs(one.epochs)}: {one}" for one in self.tried]
        return shipping.ship(model, folder, card=card_of(self.chosen) | {"notes": notes})

    def notes(self) -> list[str]:
        """What came out, in a few lines, which the card says too."""
        scores, share = self.scores, 100 * self.measured.size / self.whole.size
        met = f"Not met: {'; '.join(self.missed)}." if self.missed else "All of it met."
        lines = [
            f"Asked for: {self.target}. {met}",
            f"{self.metric} on dev is {scores['dev']:.1f}, that of the model that was left whole "
            f"{scores['dense dev']:.1f}; on test {scores['test']:.1f} and {scores['dense test']:.1f}. The choice was "
            "made on dev.",
            f"It takes {self.measured}. The whole in fp32 takes {self.whole}. So {share:.1f} % of the bytes ship.",
        ]
        if results.read(self.chosen)["cost"]["latency"]:
            lines[-1] += " These times are of before the training, those of the cost of after it, side by side."
        if self.without is None:
            return lines
        dev, test = (self.without.set_index("split").loc[split] for split in ("dev", "test"))
        told = (
            f"On the same data, a model without an encoder ({dev['encoder']}) has {dev['score']:.1f} on dev and "
            f"{test['score']:.1f} on test, takes {dev['shipped_bytes'] / 1e6:.2f} MB, and reads a sentence in "
            f"{dev['end_to_end_milliseconds']:.2f} ms."
        )
        return [*lines, told + " It is ahead on dev: look at it first." * bool(dev["score"] > scores["dev"])]


def compress_command(encoder: str, data: str, folder: Path | str, *, say: Say, **options: Any) -> Found:
    """Search, ship, and say in plain words what came out; the options are those of `compress`.

    Whether the model can be written to the folder is looked at before anything else.
    """
    require_place(folder, mark=ABOUT_FILE)
    found = compress(encoder, data, say=say, **options)
    place = found.ship(folder)
    for line in (f"chosen: {found.shape}", *found.notes()):
        say(line)
    say(f"{place}: {shipping.folder_bytes(place) / 1e6:.2f} MB; README.md says how to use it")
    return found


def compress(
    encoder: str,
    data: str | Path | DatasetDict,
    *,
    max_bytes: float | None = None,
    max_latency: float | None = None,
    max_drop: float | None = None,
    task: str = "",
    language: str = "und",
    form: str = "",
    seed: int = 1,
    lines: int = 8000,
    budget: float | None = None,
    say: Say = silent,
    **tuning: Any,
) -> Found:
    """Find the best small model of an encoder for a labelled task, within limits of bytes, time and points lost.

    `encoder` is a name or a folder; the folder of a fine-tuned model is taken as it is. `data` is a data set and a
    language, such as "masakhaner/swa", a data set of the hub, or one's own: a path, or a `DatasetDict` in memory (see
    `own.bring`, with `task` and `language`). `max_latency` is in milliseconds for a sentence, from text to labels.
    Without a `form`, weights are in 4 bits (onnx-int4) where bytes are limited, else in 8 (onnx-int8). `tuning` sets
    fields of `FineTune`; what is not given follows the encoder's width and the number of sentences. Where there is
    unlabelled text of the language, students are taught on so many `lines` of it too. Limits of bytes and time are
    checked before anything is trained, and filled (see `filling`). `budget` is in seconds, for the teaching of all
    candidates: it decides how many are tried, and for how many epochs; without it the last round has the `epochs` that
    are given, or twice those that follow from the data, as far as half an hour allows it. With `max_drop` alone the
    smallest model within it is searched, else the best. `say` hears first what was noted about data and model. A shape
    or a candidate that fails is left out, in a line. Raises SmallerError where no shape is within the limits, and says
    what comes nearest.
    """
    target = Target(max_bytes, max_latency, max_drop)
    form = form or ("onnx-int4" if max_bytes else "onnx-int8")
    if budget is not None and not budget > 0:
        raise SmallerError(f"budget is a time above zero; it is {budget!r}.")
    plan, notes = plan_of(encoder, data, task=task, language=language, form=form, seed=seed, lines=lines, tuning=tuning)
    for line in notes:
        say(line)
    scales = Scales(plan, say=say)
    whole = scales.of(None)
    shapes = _shapes(plan, scales, target)
    say(f"{len(shapes)} shapes within the limits; the whole is {whole}")
    planned = schedule(paces(scales, shapes), budget=budget, epochs=plan.passes)
    say(f"planned: {planned}{of_budget(planned, budget)}")
    if study.pending([plan.dense]):
        before, after = duration(teachers_seconds(scales)), duration(planned.seconds)
        say(
            f"first the whole model is made to label, about {before} before the {after} of the candidates, and a model "
            "without an encoder: that time is not of the budget"
        )
    for why in _finish([plan.dense], plan, say).values():
        raise SmallerError(f"The model that is left whole could not be made. {why}")
    dense = _score(plan.dense, plan, "dev")
    say(f"left whole: {dense:.1f} on dev")
    without = _without_encoder(plan, say)
    _read_beforehand(plan, shapes, planned, say)
    rounds = _rounds(plan, scales, shapes, planned, target, dense, say)
    best = _ranked(rounds[-1], target, floor=dense - (target.max_drop or 0))[0]
    recipe = plan.recipe(best.shape, epochs=best.epochs)
    scores = {
        prefix + split: _score(made, plan, split)
        for made, prefix in ((plan.dense, "dense "), (recipe, ""))
        for split in ("dev", "test")
    }
    if not plan.tuned:  # else the records do not say which sentences to time
        try:
            timing.time_side_by_side([plan.dense, recipe], sparse_from=math.inf)
        except Exception as problem:  # what was found stands without it
            say(f"left out: times side by side: {in_one_line(problem)}")
    return Found(
        target=target,
        metric=splits.task(plan.tuning.dataset).metric_name,
        dense=plan.dense,
        chosen=recipe,
        shape=best.shape,
        measured=replace(best.measured, size=results.read(recipe)["cost"]["shipped_bytes"]),  # as it was made
        whole=whole,
        scores=scores,
        tried=[tried for one in rounds for tried in one],
        without=without,
    )


def _read_beforehand(plan: Plan, shapes: Sequence[Shape], planned: Schedule, say: Say) -> None:
    """The teacher reads its students' text while all threads are free for it; candidates tell what goes wrong there."""
    count, epochs = planned.rounds[0]
    taught = [shape for shape in shapes[:count] if not plan.keeps(shape)]
    if study.pending([plan.recipe(shape, epochs=epochs) for shape in taught]):
        with contextlib.suppress(Exception):
            plan.student(taught[0], epochs=epochs).read_beforehand(materialise(plan.dense)[0], say=say)


def _without_encoder(plan: Plan, say: Say) -> pd.DataFrame | None:
    """What a model without an encoder does on the same data; None, with a line that says why, where none is fitted."""
    try:
        found = plain.run(plan.tuning.dataset, [plan.tuning.language], say=say)
    except Exception as problem:  # what is asked for does not hang on it
        say(f"left out: a model without an encoder: {in_one_line(problem)}")
        return None
    say(f"without an encoder ({found['encoder'].iloc[0]}): {found['score'].iloc[0]:.1f} on dev")
    return found


def _shapes(plan: Plan, scales: Scales, target: Target) -> list[Shape]:
    scales.require_format()
    found = filling(scales, target, count=MOST_CANDIDATES) if target.of_costs else ladder(scales, count=MOST_CANDIDATES)
    if found:
        return found
    if all(str(shape) in scales.left_out for shape in plan.shapes()):
        first, why = next(iter(scales.left_out.items()))
        raise SmallerError(f"No shape of {plan.start.encoder} could be measured. {first}: {why}")
    raise SmallerError(
        f"No model of {plan.start.encoder} is within the limits ({target}); of all that was measured, "
        f"{' and '.join(nearest(scales.known, target)) or 'nothing came near'}. Nothing was trained."
    )


def _rounds(
    plan: Plan, scales: Scales, shapes: Sequence[Shape], planned: Schedule, target: Target, dense: float, say: Say
) -> list[list[Tried]]:
    """What each round tried. The last one has all epochs. Of candidates that fail the next best take the place."""
    rounds: list[list[Tried]] = []
    waiting = list(shapes)
    for turn, (count, epochs) in enumerate(planned.rounds, start=1):
        count = min(count, len(waiting))
        say(f"round {turn} of {len(planned.rounds)}: {count} candidate{'s' * (count != 1)}, {_epochs(epochs)}")
        tried: list[Tried] = []
        failed: list[str] = []
        while len(tried) < count and len(tried) + len(failed) < len(waiting):
            chosen = waiting[len(tried) + len(failed) :][: count - len(tried)]
            recipes = [plan.recipe(shape, epochs=epochs) for shape in chosen]
            why = _finish(recipes, plan, say)
            for shape, recipe in zip(chosen, recipes, strict=True):
                if recipe in why:
                    failed.append(f"{shape}: {why[recipe]}")
                    say(f"  left out: {failed[-1]}")
                    continue
                way = "kept whole" if plan.keeps(shape) else "distilled"
                seconds = _training(recipe) - _training(plan.dense)
                tried.append(Tried(way, shape, epochs, _score(recipe, plan, "dev"), scales.of(shape), seconds))
        if not tried:
            raise SmallerError(f"No candidate could be made. {failed[0]}")
        for one in tried:
            say(f"  {one}")
        rounds.append(tried)
        # In the middle of training the best candidate stands for what can be had; at the end the whole model does.
        top = dense if turn == len(planned.rounds) else max(one.score for one in tried)
        ranked = _ranked(tried, target, floor=top - (target.max_drop or 0))
        say(f"best so far: {ranked[0]}")
        waiting = [one.shape for one in ranked]
    return rounds


def _ranked(tried: Sequence[Tried], target: Target, *, floor: float) -> list[Tried]:
    """The best first: by score; with a limit on the loss alone, the smallest of those within it, then the others."""
    if target.of_costs:
        return sorted(tried, key=lambda one: -one.score)
    return sorted(tried, key=lambda one: (max(0.0, floor - one.score), one.measured.size))


def _finish(recipes: Sequence[Recipe], plan: Plan, say: Say) -> dict[Recipe, str]:
    """Train and score the recipes; returns those that failed, each with the reason, when all others are finished."""
    sets = [_set(plan, split) for split in ("dev", "test")] if plan.tuned else ()
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


def _set(plan: Plan, split: str) -> EvaluationSet:
    return EvaluationSet(plan.tuning.dataset, plan.tuning.language, split)


def _score(recipe: Recipe, plan: Plan, split: str) -> float:
    return results.read(recipe)["scores"][_set(plan, split).key][splits.task(plan.tuning.dataset).metric]


def _training(recipe: Recipe) -> float:
    """Seconds of training in all steps of a recipe."""
    return results.read(recipe)["cost"]["training_seconds"]


def of_budget(planned: Schedule, budget: float | None) -> str:
    """How the time that a schedule takes goes with what was given."""
    if not budget:
        return ""
    over = ", over" if planned.seconds > budget else " of"
    return f"{over} the {duration(budget)} that were given" + "; no fewer are tried" * (planned.seconds > budget)


def _epochs(count: int) -> str:
    return f"{count} epoch{'s' * (count > 1)}"
