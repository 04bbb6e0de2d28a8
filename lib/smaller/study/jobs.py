"""The unit of work of a study: make one trained prefix, finish the recipes that hang on it, keep their records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from smaller import encoders
from smaller.base.progress import Say, silent
from smaller.data import splits
from smaller.data.examples import Example
from smaller.data.schemes import labels_of_words, types_of
from smaller.data.sets import ATTACK, CLEAN, NOISE, UNLABELLED, EvaluationSet
from smaller.encoders import Model
from smaller.formats.shipping import shipped_bytes
from smaller.study import cache, cost, results
from smaller.study.attacks import attack
from smaller.study.evaluation import score, true_labels
from smaller.study.recipes import Recipe
from smaller.study.steps import Step
from smaller.study.unlabelled import look

Listener = Callable[[Recipe], None]


@dataclass(frozen=True)
class Job:
    """The unit of work: make one trained prefix, then finish the recipes that add only cheap steps to it.

    `parent` is the trained prefix that this one begins with, or None. Jobs that do not wait for each other can run in
    different processes. `sets` are what the recipes are scored on besides their own language.
    """

    prefix: Recipe
    recipes: tuple[Recipe, ...]
    parent: Recipe | None
    sets: tuple[EvaluationSet, ...] = ()


def plan(recipes: Iterable[Recipe], sets: Iterable[EvaluationSet] = ()) -> list[Job]:
    """The jobs that finish the recipes, parents before children; a prefix that many recipes share appears once."""
    finishing: dict[Recipe, list[Recipe]] = {}
    for recipe in dict.fromkeys(recipes):
        finishing.setdefault(recipe.trained_prefix(), []).append(recipe)
    jobs: dict[Recipe, Job] = {}

    def add(prefix: Recipe) -> None:
        if prefix not in jobs:
            parent = Recipe(prefix.encoder, prefix.steps[:-1]).trained_prefix() if prefix.steps else prefix
            if parent.steps:
                add(parent)
            own = tuple(finishing.get(prefix, ()))
            jobs[prefix] = Job(prefix, own, parent if parent.steps else None, tuple(sets))

    for prefix in finishing:
        add(prefix)
    return list(jobs.values())


def pending(recipes: Iterable[Recipe], sets: Iterable[EvaluationSet] = ()) -> list[Recipe]:
    """The recipes without a valid record, or without scores on one of the sets."""
    sets = tuple(sets)
    return [recipe for recipe in dict.fromkeys(recipes) if _missing(recipe, results.read(recipe), sets) != []]


def _missing(recipe: Recipe, record: dict | None, sets: Iterable[EvaluationSet]) -> list[EvaluationSet] | None:
    """The sets whose scores a record lacks, or has from other data; None if there is no record."""
    if record is None:
        return None
    own = home_sets(recipe)
    found = {key: scores.get("data") for key, scores in record["scores"].items()}
    # The recipe's own data are among its inputs: a record that was read has them as they are now.
    return [place for place in sets if place not in own and found.get(place.key, "") != place.checksum()]


def materialise(recipe: Recipe, *, say: Say = silent) -> tuple[Model, list[dict]]:
    """The model that a recipe gives, with the reports of its steps.

    Trained prefixes come from the cache where they are there, and are trained and kept where they are not.
    """
    prefix = recipe.trained_prefix()
    model, reports = _trained(prefix, say=say) if prefix.steps else (encoders.load(prefix.encoder), [])
    return _applied(recipe.after(prefix), model, reports, say=say)


def open_encoder(name: str) -> Model:
    """The masked-language model of an encoder by its name; one that is made from another is made, if it is not kept."""
    return materialise(Recipe(name))[0]


def _trained(prefix: Recipe, *, say: Say) -> tuple[Model, list[dict]]:
    found = cache.read(prefix)
    if found is None and cache.brought(prefix):
        found = cache.read(prefix)
    if found is not None:
        return found
    with cache.lock(prefix, say=say):
        found = cache.read(prefix)  # another study may have made it while this one waited
        if found is None:
            before = materialise(Recipe(prefix.encoder, prefix.steps[:-1]), say=say)
            scratch = cache.scratch(prefix)
            found = _applied(prefix.steps[-1:], *before, say=lambda line: say(f"{prefix}: {line}"), scratch=scratch)
            cache.write(prefix, *found)
    return found


def _applied(
    steps: Iterable[Step], model: Model, reports: list[dict], *, say: Say, scratch: Path | None = None
) -> tuple[Model, list[dict]]:
    for step in steps:
        began = time.perf_counter()
        model, report = step.apply(model, say=say, scratch=scratch)
        took = {"wall_seconds": round(time.perf_counter() - began, 3)}
        reports = [*reports, step.canonical() | {"report": report | took | encoders.head_note(model)}]
    return model, reports


def execute(job: Job, *, listener: Listener = lambda recipe: None, say: Say = silent) -> None:
    """Do a job: its prefix is trained unless it is kept, its unfinished recipes are scored, costed and recorded."""
    todo = pending(job.recipes, job.sets)
    cost.reset_peak()
    if todo:
        made = materialise(job.prefix, say=say)
    elif job.prefix.steps and cache.find(job.prefix) is None:
        _trained(job.prefix, say=say)  # only a child needs it
    peak = cost.peak_memory()
    for recipe in job.recipes:
        if recipe in todo:
            with cache.lock(recipe, say=say):
                cost.reset_peak()
                record = results.read(recipe)
                missing = _missing(recipe, record, job.sets)
                if missing != []:  # another study may have been faster
                    model, reports = _applied(recipe.after(job.prefix), *made, say=say)
                    record = record or _record(recipe, model, reports, peak=peak)
                    record["scores"] |= _scores(recipe, model, job.sets if missing is None else missing)
                    results.write(record)
        listener(recipe)


def home_sets(recipe: Recipe) -> list[EvaluationSet]:
    """The evaluation sets a recipe is always scored on: dev and test of what it was fine-tuned on."""
    tuned = recipe.fine_tuning
    return [EvaluationSet(tuned.dataset, tuned.language, split) for split in ("dev", "test")] if tuned else []


def _scores(recipe: Recipe, model: Model, sets: Iterable[EvaluationSet]) -> dict[str, dict]:
    """Scores by key, with the seconds that each set took."""
    scores = {}
    for place in sets:
        began = time.perf_counter()
        scores[place.key] = _scores_on(place, recipe, model)
        scores[place.key]["scoring_seconds"] = round(time.perf_counter() - began, 3)
    return scores


def _scores_on(place: EvaluationSet, recipe: Recipe, model: Model) -> dict:
    """Scores on one set. Away from home, sentences that the model was fine-tuned on are left out, and counted."""
    tuned, sentences = recipe.fine_tuning, place.sentences()
    if place in home_sets(recipe):
        return score(model, sentences, task=place.task, by_sentence=True)
    data = {"data": place.checksum()}
    if place.kind == UNLABELLED:
        return look(model, sentences) | data
    if place.kind == ATTACK:
        return attack(model, sentences, rate=place.rate, seed=place.seed, types=place.types) | data
    types, seen = place.types, set()
    if tuned is None:  # a fine-tuned model that arrived as a folder: what it was trained on is not known
        types = _types_that_count(place, model, sentences)
    elif place.kind == NOISE and (place.dataset, place.language) == (tuned.dataset, tuned.language):
        types = None
    else:
        seen = {sentence.words for sentence in splits.sentences(tuned.dataset, tuned.language, "train")}
    unseen = [sentence for sentence in sentences if sentence.words not in seen]
    scores = score(model, unseen, task=place.task, types=types, by_sentence=place.kind == CLEAN)
    return scores | data | {"removed": len(sentences) - len(unseen)}


def _types_that_count(place: EvaluationSet, model: Model, sentences: Sequence[Example]) -> list[str]:
    """The types of a set without those that neither occur in it nor are known to the model: they take no part."""
    occurring = {label for row in true_labels(sentences) for label in row}
    sets = (labels_of_words(model.labels) if place.task.spans else model.labels, occurring)
    known = [set(types_of(labels)) if place.task.spans else set(labels) for labels in sets]
    return [name for name in place.types if name in set().union(*known)]


def _record(recipe: Recipe, model: Model, reports: list[dict], *, peak: int) -> dict:
    began = time.perf_counter()
    scores = _scores(recipe, model, home_sets(recipe))
    return {
        "format": results.FORMAT,
        "identity": recipe.identity,
        "recipe": recipe.canonical(),
        "inputs": recipe.inputs(),
        "steps": reports,
        "scores": scores,
        "cost": cost.size(model)
        | {
            "shipped_bytes": shipped_bytes(model),
            "shape": encoders.shape(model),
            "achieved_sparsity": cost.masked_share(model) if model.masks else 0.0,
            "training_seconds": sum(report["report"].get("seconds", 0.0) for report in reports),
            "evaluation_seconds": round(time.perf_counter() - began, 3),
            "peak_memory_bytes": max(peak, cost.peak_memory()),  # of its prefix, where that was trained now
            "latency": None,
        },
        "provenance": results.provenance() | encoders.head_note(model),
    }
