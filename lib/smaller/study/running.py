"""Run recipes: skip what is done, train every shared prefix once, keep a record of each, return the table."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from smaller.base import settings
from smaller.base.errors import SmallerError
from smaller.base.progress import Progress, Say
from smaller.data import splits
from smaller.data.sets import EvaluationSet
from smaller.encoders import canonical
from smaller.study import cache, results
from smaller.study.columns import explained
from smaller.study.engines import engine as engine_of
from smaller.study.engines.local import workers_for
from smaller.study.jobs import Job, materialise, pending, plan
from smaller.study.plans import Plan
from smaller.study.recipes import Recipe, parameters_of, shapes, starting_configuration
from smaller.study.steps import Step

__all__ = ["Plan", "estimate", "materialise", "pending", "plan", "run", "table"]

SCORING = 15
"""Pruning, scoring and recording take about as long as this many updates (measured with a half-size AfriBERTa)."""

SCORING_A_SET = 6
"""So does scoring on a further set."""


Recipes = Iterable[Recipe] | Mapping[Hashable, Iterable[Recipe]]
"""Recipes, or named groups of them."""


def flat(recipes: Recipes) -> list[Recipe]:
    """All recipes, of all groups where there are some, each once."""
    if isinstance(recipes, Mapping):
        recipes = itertools.chain.from_iterable(recipes.values())
    return list(dict.fromkeys(recipes))


@explained
def run(
    recipes: Recipes,
    *,
    sets: Iterable[EvaluationSet] = (),
    workers: int | None = None,
    engine: str | None = None,
    address: str | None = None,
    say: Say | None = None,
) -> pd.DataFrame:
    """Finish all recipes and return their table, one row for each recipe and evaluation set.

    Of named groups, `{"pruned": [...], "distilled": [...]}`, the table has the name in the column `group`, and a recipe
    has rows in each of its groups; it is trained once.

    Each recipe is scored on dev and test of the language that it was fine-tuned on, and on `sets`. What has a record is
    skipped; sets that are new to it cost the inference alone. `workers` processes share the work (default: one for each
    processor core, one on a GPU); a run that is killed loses nothing that it finished. The `engine` "ray" spreads the
    work over the machines of the Ray cluster at `address` (see `study.engines`); the table is the same. `say` hears
    the progress; the default draws a bar in JupyterLab and writes a line now and then elsewhere.
    """
    do, workers = engine_of(engine, address=address), settings.workers(workers)
    each, sets = flat(recipes), tuple(dict.fromkeys(sets))
    _check_sets(each, sets)
    jobs = plan(pending(each, sets), sets)
    if jobs:
        results.require_writable()
        cache.require_writable()
        work = _work(jobs)

        def listener(recipe: Recipe) -> None:
            progress.advance(work=work[recipe], note=recipe.label)

        with contextlib.closing(Progress(len(work), work=sum(work.values()), say=say)) as progress:
            do(jobs, workers=workers, listener=listener, say=progress.say)
    return table(recipes, sets=sets)


def _check_sets(recipes: Sequence[Recipe], sets: Sequence[EvaluationSet]) -> None:
    """Raise SmallerError, before anything is trained, for a set that is not here or has types that no model knows."""
    trained_on = {recipe.fine_tuning.dataset for recipe in recipes if recipe.fine_tuning}
    for place in sets:
        place.checksum()
        for dataset in sorted(trained_on):
            unknown = sorted(set(place.types) - set(splits.entity_types(dataset)))
            if unknown:
                raise SmallerError(
                    f"The evaluation set {place.key} has the labels {', '.join(unknown)}, which "
                    f"models that are fine-tuned on {dataset} do not know."
                )


@explained
def table(recipes: Recipes, *, sets: Iterable[EvaluationSet] = ()) -> pd.DataFrame:
    """The table of those recipes that are done, on their own language and on `sets`; of groups, with their names."""
    keys = [place.key for place in sets]
    if not isinstance(recipes, Mapping):
        return results.table(results.done(recipes), sets=keys)
    parts = {name: results.table(results.done(own), sets=keys) for name, own in recipes.items()}
    named = [rows.assign(group=[name] * len(rows)) for name, rows in parts.items() if len(rows)]
    return pd.concat(named, ignore_index=True) if named else results.table([], sets=keys).assign(group=[])


def _training(job: Job) -> int:
    """The updates of a job's training; none where its prefix is kept already."""
    prefix = job.prefix
    return _updates(prefix.steps[-1]) if prefix.steps and cache.find(prefix) is None else 0


def _work(jobs: Sequence[Job]) -> dict[Recipe, float]:
    """What each recipe adds to the work done, in updates, when it is finished.

    The first recipe of a job carries the job's training, and that of parents without recipes of their own.
    """
    work: dict[Recipe, float] = {}
    carried: dict[Recipe | None, float] = {}
    for job in jobs:
        training = _training(job) + carried.pop(job.parent, 0.0)
        for recipe in job.recipes:
            work[recipe], training = SCORING + SCORING_A_SET * len(job.sets) + training, 0.0
        carried[job.prefix] = training
    return work


def estimate(recipes: Recipes) -> Plan:
    """What of the recipes is to do, and how long it should take on this machine by the records that are there."""
    recipes = flat(recipes)
    todo = pending(recipes)
    jobs = plan(todo)
    trainings = {job.prefix.identity: (job.prefix, updates) for job in jobs if (updates := _training(job))}
    work = {identity: (updates, _bytes(prefix)) for identity, (prefix, updates) in trainings.items()}
    kinds = {identity: (prefix.encoder, kind(prefix)) for identity, (prefix, _) in trainings.items()}
    updates = sum(each for each, _ in work.values())
    seconds = _expected_seconds(jobs) if jobs else 0.0
    return Plan(len(recipes), len(recipes) - len(todo), len(work), updates, seconds, work=work, kinds=kinds)


def kind(prefix: Recipe) -> str:
    """Stands for trainings that differ in language, seed and length alone: an update takes about as long in each."""
    steps = [{key: value for key, value in step.canonical().items() if key not in _ANY} for step in prefix.steps]
    return hashlib.sha256(canonical([prefix.encoder, steps]).encode()).hexdigest()[:16]


_ANY = ("language", "seed", "epochs", "updates")


def _bytes(prefix: Recipe) -> int:
    """The bytes of a model as the cache keeps it, told by its shape: nothing is made."""
    shape = tuple(shapes(_configuration(prefix.encoder), prefix.steps)[-1].items())
    return 4 * _parameters(prefix.encoder, shape)


_configuration = functools.cache(starting_configuration)


@functools.cache
def _parameters(encoder: str, shape: tuple[tuple[str, int], ...]) -> int:
    return parameters_of(_configuration(encoder), dict(shape))


def _expected_seconds(jobs: Sequence[Job]) -> float | None:
    """Seconds for an update by earlier records of the same encoder, times the updates, shared among the workers."""
    speeds: dict[tuple[str, str], list[float]] = {}
    for record in results.read_all():
        for step in record["steps"]:
            match step["report"]:
                case {"updates": updates, "seconds": seconds} if updates:
                    speeds.setdefault((record["recipe"]["encoder"], step["step"]), []).append(seconds / updates)
    total = 0.0
    for job in jobs:
        if updates := _training(job) + SCORING * len(job.recipes):
            known = job.prefix.steps and speeds.get((job.prefix.encoder, type(job.prefix.steps[-1]).__name__))
            if not known:
                return None
            total += float(np.median(known)) * updates
    return total / workers_for(settings.workers(), jobs)


def _updates(step: Step) -> int:
    """The updates of a step; none of one that does not train, nor of one from outside that does not say."""
    if not step.trains:
        return 0
    if not getattr(step, "epochs", None):
        return getattr(step, "updates", 0)
    unlabelled = getattr(step, "transfer_lines", 0) * len(step.language.split("+"))
    return step.epochs * -(-(_training_sentences(step.dataset, step.language) + unlabelled) // step.batch_size)


@functools.cache
def _training_sentences(dataset: str, language: str) -> int:
    return len(splits.sentences(dataset, language, "train"))
