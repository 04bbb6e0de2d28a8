"""Run recipes: skip what is done, train every shared prefix once, keep a record of each, return the table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from smaller import artefacts, cost, encoders, results
from smaller.data import splits
from smaller.data.encoding import encode
from smaller.encoders import Model
from smaller.errors import SmallerError
from smaller.evaluation import score
from smaller.progress import Progress, Say, duration, silent
from smaller.recipes import Recipe, recipe_from_canonical
from smaller.steps import FineTune
from smaller.training import device

Listener = Callable[[Recipe], None]


@dataclass(frozen=True)
class Job:
    """The unit of work: make one trained prefix, then finish the recipes that add only cheap steps to it.

    `parent` is the trained prefix that this one begins with, or None. Jobs that do not wait for each other can run in
    different processes.
    """

    prefix: Recipe
    recipes: tuple[Recipe, ...]
    parent: Recipe | None


def plan(recipes: Iterable[Recipe]) -> list[Job]:
    """The jobs that finish the recipes, parents before children; a prefix that many recipes share appears once."""
    finishing: dict[Recipe, list[Recipe]] = {}
    for recipe in dict.fromkeys(recipes):
        finishing.setdefault(recipe.trained_prefix(), []).append(recipe)
    jobs: dict[Recipe, Job] = {}

    def add(prefix: Recipe) -> None:
        if prefix in jobs:
            return
        parent = Recipe(prefix.encoder, prefix.steps[:-1]).trained_prefix() if prefix.steps else None
        if parent is not None and parent.steps:
            add(parent)
        jobs[prefix] = Job(prefix, tuple(finishing.get(prefix, ())), parent if parent and parent.steps else None)

    for prefix in finishing:
        add(prefix)
    return list(jobs.values())


def pending(recipes: Iterable[Recipe]) -> list[Recipe]:
    """The recipes without a valid record."""
    return [recipe for recipe in dict.fromkeys(recipes) if results.read(recipe) is None]


def materialise(recipe: Recipe, *, say: Say = silent) -> tuple[Model, list[dict]]:
    """The model that a recipe gives, with the reports of its steps.

    Trained prefixes come from the cache where they are there, and are trained and kept where they are not.
    """
    prefix = recipe.trained_prefix()
    if prefix.steps:
        model, reports = _trained(prefix, say=say)
    else:
        model, reports = encoders.load(recipe.encoder), []
    for step in recipe.steps[len(prefix.steps) :]:
        model, reports = _applied(step, model, reports, say=say)
    return model, reports


def _trained(prefix: Recipe, *, say: Say) -> tuple[Model, list[dict]]:
    found = artefacts.read(prefix)
    if found is not None:
        return found
    with artefacts.lock(prefix):
        found = artefacts.read(prefix)  # another study may have made it while this one waited
        if found is None:
            model, reports = materialise(Recipe(prefix.encoder, prefix.steps[:-1]), say=say)
            found = _applied(prefix.steps[-1], model, reports, say=lambda line: say(f"{prefix}: {line}"))
            artefacts.write(prefix, *found)
    return found


def _applied(step, model: Model, reports: list[dict], *, say: Say) -> tuple[Model, list[dict]]:
    began = time.perf_counter()
    model, report = step.apply(model, say=say)
    took = {"wall_seconds": round(time.perf_counter() - began, 3)}
    return model, [*reports, step.canonical() | {"report": report | took}]


def execute(job: Job, *, listener: Listener = lambda recipe: None, say: Say = silent) -> None:
    """Do a job: its prefix is trained unless it is kept, its unfinished recipes are scored, costed and recorded."""
    todo = pending(job.recipes)
    if not todo:
        if job.prefix.steps and artefacts.find(job.prefix) is None:
            _trained(job.prefix, say=say)  # only a child needs it
        return
    prefix_model, prefix_reports = materialise(job.prefix, say=say)
    for recipe in todo:
        model, reports = prefix_model, prefix_reports
        for step in recipe.steps[len(job.prefix.steps) :]:
            model, reports = _applied(step, model, reports, say=say)
        results.write(_record(recipe, model, reports))
        listener(recipe)


def home_sets(recipe: Recipe) -> list[tuple[str, str, str]]:
    """The evaluation sets a recipe is scored on: dev and test of the language that it was fine-tuned on."""
    tuned = [step for step in recipe.steps if isinstance(step, FineTune)]
    return [(tuned[-1].dataset, tuned[-1].language, split) for split in ("dev", "test")] if tuned else []


def _record(recipe: Recipe, model: Model, reports: list[dict]) -> dict:
    began = time.perf_counter()
    scores = {"/".join(place): score(model, splits.sentences(*place)) for place in home_sets(recipe)}
    masks = list(model.masks.values())
    return {
        "format": results.FORMAT,
        "identity": recipe.identity,
        "recipe": recipe.canonical(),
        "inputs": recipe.inputs(),
        "steps": reports,
        "scores": scores,
        "cost": cost.size(model)
        | {
            "achieved_sparsity": 1 - sum(int(m.sum()) for m in masks) / sum(m.numel() for m in masks) if masks else 0.0,
            "training_seconds": sum(report["report"].get("seconds", 0.0) for report in reports),
            "evaluation_seconds": round(time.perf_counter() - began, 3),
            "peak_memory_bytes": cost.peak_memory(),
            "latency": None,
        },
        "provenance": results.provenance_of_process() | {"date": results.now()},
    }


def run(recipes: Iterable[Recipe], *, workers: int | None = None, say: Say | None = None) -> pd.DataFrame:
    """Finish all recipes and return their table, one row for each recipe and evaluation split.

    What has a record is skipped. `workers` processes share the work (default: one for each processor core, one on a
    GPU); a run that is killed loses nothing that it finished. `say` hears the progress; the default draws a bar in
    JupyterLab and writes a line now and then elsewhere.
    """
    recipes = list(dict.fromkeys(recipes))
    results.require_writable()
    todo = pending(recipes)
    jobs = plan(todo)
    if jobs:
        progress = Progress(len(todo), say=say)
        try:
            _run_jobs(jobs, workers=_workers(workers, jobs), progress=progress)
        finally:
            progress.close()
    return table(recipes)


def table(recipes: Iterable[Recipe]) -> pd.DataFrame:
    """The table of those recipes that are done."""
    return results.table(record for recipe in dict.fromkeys(recipes) if (record := results.read(recipe)) is not None)


def _workers(asked: int | None, jobs: Sequence[Job]) -> int:
    if asked is None and os.environ.get("SMALLER_WORKERS"):
        asked = int(os.environ["SMALLER_WORKERS"])
    if asked is None:
        asked = 1 if device().type == "cuda" else (os.cpu_count() or 1)
    if not isinstance(asked, int) or asked < 1:
        raise SmallerError(f"workers is a number of processes, at least 1; it is {asked!r}.")
    return min(asked, len(jobs))


def _run_jobs(jobs: Sequence[Job], *, workers: int, progress: Progress) -> None:
    if workers == 1:
        for job in jobs:
            execute(job, listener=lambda recipe: progress.advance(note=recipe.label), say=progress.say)
        return
    waiting = {job: job.parent for job in jobs}
    pool = [_Worker(threads=max(1, (os.cpu_count() or 1) // workers)) for _ in range(workers)]
    free = list(pool)
    prefixes = {job.prefix for job in jobs}
    done: set[Recipe] = set()
    try:
        with ThreadPoolExecutor(workers) as threads:
            running: dict = {}
            while waiting or running:
                ready = [job for job, parent in waiting.items() if parent not in prefixes or parent in done]
                for job in ready[: len(free)]:
                    del waiting[job]
                    worker = free.pop()
                    running[threads.submit(worker.execute, job, progress)] = (job, worker)
                finished = next(as_completed(running))
                job, worker = running.pop(finished)
                finished.result()
                done.add(job.prefix)
                free.append(worker)
    finally:
        for worker in pool:
            worker.stop()


class _Worker:
    """Another process of this program, which is sent jobs and answers line by line (see `smaller.worker`)."""

    advancing = threading.Lock()

    def __init__(self, *, threads: int) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "smaller.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment,
        )  # fmt: skip

    def execute(self, job: Job, progress: Progress) -> None:
        """Have the job done; passes progress on, raises what went wrong in the other process."""
        message = {"prefix": job.prefix.canonical(), "recipes": [recipe.canonical() for recipe in job.recipes]}
        try:
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
            for line in self.process.stdout:
                answer = json.loads(line)
                with self.advancing:
                    if "finished" in answer:
                        progress.advance(note=answer["finished"])
                    elif "said" in answer:
                        progress.say(answer["said"])
                if "error" in answer:
                    raise SmallerError(answer["error"])
                if "done" in answer:
                    return
        except BrokenPipeError:
            pass
        raise SmallerError(
            f"A worker process ended while it was at {job.prefix} (exit code {self.process.wait()}); the usual cause is "
            "too little memory. Finished records are safe: run again, with fewer workers (SMALLER_WORKERS=1)."
        )

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def job_from_message(message: Mapping) -> Job:
    """The job that was sent to a worker."""
    recipes = tuple(recipe_from_canonical(form) for form in message["recipes"])
    return Job(recipe_from_canonical(message["prefix"]), recipes, None)


def estimate(recipes: Iterable[Recipe]) -> str:
    """How many recipes are done, and how long the rest should take on this machine by the records that are there."""
    recipes = list(dict.fromkeys(recipes))
    todo = pending(recipes)
    if not todo:
        return f"all {len(recipes)} recipes are done"
    text = f"{len(recipes) - len(todo)} of {len(recipes)} recipes are done; {len(plan(todo))} to train"
    seconds = _expected_seconds(todo)
    return text + (f", about {duration(seconds)}" if seconds else "; the first will show how long the rest takes")


def _expected_seconds(todo: Sequence[Recipe]) -> float | None:
    """Training time from the pieces per second of earlier records of the same encoder, shared among the workers."""
    speeds: dict[tuple[str, str], list[float]] = {}
    for record in results.read_all():
        for step in record["steps"]:
            if "updates" in step["report"]:
                key = (record["recipe"]["encoder"], step["step"])
                speeds.setdefault(key, []).append(step["report"]["seconds"] / step["report"]["updates"])
    total = 0.0
    jobs = [job for job in plan(todo) if job.prefix.steps and artefacts.find(job.prefix) is None]
    for job in jobs:
        step = job.prefix.steps[-1]
        known = speeds.get((job.prefix.encoder, type(step).__name__))
        if not known:
            return None
        total += float(np.median(known)) * _updates(step)
    return total / _workers(None, jobs) if jobs else None


def _updates(step) -> int:
    if isinstance(step, FineTune):
        return step.epochs * -(-len(splits.sentences(step.dataset, step.language, "train")) // step.batch_size)
    return step.updates


def time_side_by_side(recipes: Sequence[Recipe], *, sentences: int = 32, rounds: int = 7) -> float:
    """Measure latency for recipes of one language side by side, write it into their records, return the noise floor.

    The first recipe is timed twice as if it were two models (A/A); the floor is the share by which the two differ.
    Sentences are drawn evenly from the test split by length. Records that hold a latency already are left alone.
    """
    recipes = list(dict.fromkeys(recipes))
    records = {recipe: results.read(recipe) for recipe in recipes}
    if any(record is None for record in records.values()):
        raise SmallerError("Latency is measured on finished recipes; run() them first.")
    if all(record["cost"]["latency"] for record in records.values()):
        return records[recipes[0]]["cost"]["latency"]["noise_floor"]
    models = {recipe.identity: materialise(recipe)[0] for recipe in recipes}
    model = models[recipes[0].identity]
    rows = test_rows(recipes[0], model, count=sentences)
    timed = cost.latency({"again": model.copy()} | models, rows, rounds=rounds)
    floor = cost.noise_floor(timed[recipes[0].identity], timed["again"])
    for recipe, record in records.items():
        record["cost"]["latency"] = timed[recipe.identity] | {"noise_floor": floor, "sentences": len(rows)}
        results.write(record)
    return floor


def test_rows(recipe: Recipe, model: Model, *, count: int) -> list[torch.Tensor]:
    """Piece ids of `count` sentences of the recipe's test split, spread evenly over the lengths that occur."""
    encoded = encode(splits.sentences(*home_sets(recipe)[-1]), model.tokenizer, model.labels)
    order = np.argsort(encoded.lengths, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]
    return [encoded.pieces[row] for row in chosen]


def training_curves(recipes: Iterable[Recipe]) -> Iterator[tuple[Recipe, list[float], int]]:
    """The loss curve of each recipe's last training step, with the number of updates between two points."""
    for recipe in recipes:
        record = results.read(recipe)
        reports = [step["report"] for step in record["steps"] if "loss_curve" in step["report"]] if record else []
        if reports:
            yield recipe, reports[-1]["loss_curve"], reports[-1]["loss_curve_stride"]
