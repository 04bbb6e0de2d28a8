"""Run recipes: skip what is done, train every shared prefix once, keep a record of each, return the table."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from smaller import artefacts, cost, encoders, results
from smaller.data import splits
from smaller.data.encoding import encode
from smaller.encoders import Model
from smaller.errors import SmallerError
from smaller.evaluation import predict, score
from smaller.progress import Progress, Say, duration, silent
from smaller.recipes import Recipe, recipe_from_canonical
from smaller.steps import FineTune, Step
from smaller.training import device

Listener = Callable[[Recipe], None]

SCORING = 15
"""Pruning, scoring and recording take about as long as this many updates (measured with a half-size AfriBERTa)."""


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
    with artefacts.lock(prefix, say=say):
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
    if todo:
        prefix_model, prefix_reports = materialise(job.prefix, say=say)
    elif job.prefix.steps and artefacts.find(job.prefix) is None:
        _trained(job.prefix, say=say)  # only a child needs it
    for recipe in job.recipes:
        if recipe in todo:
            with artefacts.lock(recipe, say=say):
                if results.read(recipe) is None:  # another study may have been faster
                    model, reports = prefix_model, prefix_reports
                    for step in recipe.steps[len(job.prefix.steps) :]:
                        model, reports = _applied(step, model, reports, say=say)
                    results.write(_record(recipe, model, reports))
        listener(recipe)


def home_sets(recipe: Recipe) -> list[tuple[str, str, str]]:
    """The evaluation sets a recipe is scored on: dev and test of the language that it was fine-tuned on."""
    tuned = recipe.fine_tuning
    return [(tuned.dataset, tuned.language, split) for split in ("dev", "test")] if tuned else []


def _record(recipe: Recipe, model: Model, reports: list[dict]) -> dict:
    began = time.perf_counter()
    scores = {"/".join(place): score(model, splits.sentences(*place)) for place in home_sets(recipe)}
    return {
        "format": results.FORMAT,
        "identity": recipe.identity,
        "recipe": recipe.canonical(),
        "inputs": recipe.inputs(),
        "steps": reports,
        "scores": scores,
        "cost": cost.size(model)
        | {
            "achieved_sparsity": masked_share(model) if model.masks else 0.0,
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
    todo = pending(recipes)
    jobs = plan(todo)
    if jobs:
        results.require_writable()
        artefacts.require_writable()
        workers, work = _workers(workers, jobs), _work(jobs)
        progress = Progress(len(todo), work=sum(work.values()), say=say)

        def listener(recipe: Recipe) -> None:
            progress.advance(work=work[recipe], note=recipe.label)

        try:
            _run_jobs(jobs, workers=workers, listener=listener, say=progress.say)
        finally:
            progress.close()
    return table(recipes)


def table(recipes: Iterable[Recipe]) -> pd.DataFrame:
    """The table of those recipes that are done."""
    return results.table(record for recipe in dict.fromkeys(recipes) if (record := results.read(recipe)) is not None)


def _workers(asked: int | None, jobs: Sequence[Job]) -> int:
    setting = os.environ.get("SMALLER_WORKERS", "").strip()
    if asked is None and setting:
        asked = int(setting) if setting.isdecimal() else setting
    if asked is None:
        asked = 1 if device().type == "cuda" else (os.cpu_count() or 1)
    if not isinstance(asked, int) or asked < 1:
        raise SmallerError(f"workers is a number of processes, at least 1; it is {asked!r}.")
    return min(asked, len(jobs))


def _training(job: Job) -> int:
    """The updates of a job's training; none where its prefix is kept already."""
    prefix = job.prefix
    return _updates(prefix.steps[-1]) if prefix.steps and artefacts.find(prefix) is None else 0


def _work(jobs: Sequence[Job]) -> dict[Recipe, float]:
    """What each recipe adds to the work done, in updates, when it is finished.

    The first recipe of a job carries the job's training, and that of parents without recipes of their own.
    """
    work: dict[Recipe, float] = {}
    carried: dict[Recipe | None, float] = {}
    for job in jobs:
        training = _training(job) + carried.pop(job.parent, 0.0)
        for recipe in job.recipes:
            work[recipe], training = SCORING + training, 0.0
        carried[job.prefix] = training
    return work


def _run_jobs(jobs: Sequence[Job], *, workers: int, listener: Listener, say: Say) -> None:
    if workers == 1:
        for job in jobs:
            execute(job, listener=listener, say=say)
        return
    waiting = {job: job.parent for job in jobs}
    prefixes = {job.prefix for job in jobs}
    done: set[Recipe] = set()
    pool = [_Worker(threads=max(1, (os.cpu_count() or 1) // workers)) for _ in range(workers)]
    free = list(pool)
    threads = ThreadPoolExecutor(workers)
    try:
        running: dict[Future, tuple[Job, _Worker]] = {}
        while waiting or running:
            ready = [job for job, parent in waiting.items() if parent not in prefixes or parent in done]
            for job in ready[: len(free)]:
                del waiting[job]
                worker = free.pop()
                running[threads.submit(worker.execute, job, listener=listener, say=say)] = (job, worker)
            finished = next(as_completed(running))
            job, worker = running.pop(finished)
            finished.result()
            done.add(job.prefix)
            free.append(worker)
    finally:
        # The threads read what the workers say, so they end when the workers do, and not before.
        for worker in pool:
            worker.process.kill()
        threads.shutdown()
        for worker in pool:
            worker.close()


class _Worker:
    """Another process of this program, which is sent jobs and answers line by line (see `smaller.worker`)."""

    command = (sys.executable, "-m", "smaller.worker")
    listening = threading.Lock()

    def __init__(self, *, threads: int) -> None:
        environment = {"OMP_NUM_THREADS": str(threads)} | os.environ | {"TOKENIZERS_PARALLELISM": "false"}
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment
        )

    def execute(self, job: Job, *, listener: Listener, say: Say) -> None:
        """Have the job done; passes progress on, raises what went wrong in the other process."""
        message = {
            "label": job.prefix.label,
            "prefix": job.prefix.canonical(),
            "recipes": [recipe.canonical() for recipe in job.recipes],
        }
        recipes = {recipe.identity: recipe for recipe in job.recipes}
        # A process that is killed leaves a closed pipe, and maybe half a line.
        with contextlib.suppress(BrokenPipeError, json.JSONDecodeError):
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()
            for line in self.process.stdout:
                answer = json.loads(line)
                with self.listening:
                    if "finished" in answer:
                        listener(recipes[answer["finished"]])
                    elif "said" in answer:
                        say(answer["said"])
                if "error" in answer:
                    raise SmallerError(answer["error"])
                if "done" in answer:
                    return
        raise SmallerError(
            f"A worker process ended while it was at {job.prefix} (exit code {self.process.wait()}); the usual cause "
            "is too little memory. Finished records are safe: run again, with fewer workers (SMALLER_WORKERS=1)."
        )

    def close(self) -> None:
        """Take leave of the process after its end."""
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
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
    jobs = plan(todo)
    trainings = sum(_training(job) > 0 for job in jobs)
    text = f"{len(recipes) - len(todo)} of {len(recipes)} recipes are done; {trainings} to train"
    seconds = _expected_seconds(jobs)
    return text + (f", about {duration(seconds)}" if seconds else "; the first will show how long the rest takes")


def _expected_seconds(jobs: Sequence[Job]) -> float | None:
    """Seconds for an update by earlier records of the same encoder, times the updates, shared among the workers."""
    speeds: dict[tuple[str, str], list[float]] = {}
    for record in results.read_all():
        for step in record["steps"]:
            if step["report"].get("updates"):
                key = (record["recipe"]["encoder"], step["step"])
                speeds.setdefault(key, []).append(step["report"]["seconds"] / step["report"]["updates"])
    total = 0.0
    for job in jobs:
        if updates := _training(job) + SCORING * len(job.recipes):
            known = job.prefix.steps and speeds.get((job.prefix.encoder, type(job.prefix.steps[-1]).__name__))
            if not known:
                return None
            total += float(np.median(known)) * updates
    return total / _workers(None, jobs)


def _updates(step: Step) -> int:
    if isinstance(step, FineTune):
        return step.epochs * -(-_training_sentences(step.dataset, step.language) // step.batch_size)
    return step.updates


@functools.cache
def _training_sentences(dataset: str, language: str) -> int:
    return len(splits.sentences(dataset, language, "train"))


def time_side_by_side(
    recipes: Sequence[Recipe], *, sentences: int = 24, rounds: int = 7, sparse_from: float = 0.5
) -> float:
    """Measure latency for recipes of one language side by side, write it into their records, return the noise floor.

    The first recipe is timed twice as if it were two models (A/A); the floor is the largest share by which the two
    differ. Models pruned to at least `sparse_from` are also timed on a sparse kernel. Sentences are drawn from the test
    split, evenly over the lengths. Recipes whose records hold a latency already are not timed again.
    """
    recipes = list(dict.fromkeys(recipes))
    records = {recipe: results.read(recipe) for recipe in recipes}
    if any(record is None for record in records.values()):
        raise SmallerError("Latency is measured on finished recipes; run() them first.")
    if all(record["cost"]["latency"] for record in records.values()):
        return records[recipes[0]]["cost"]["latency"]["noise_floor"]
    models = {recipe.identity: materialise(recipe)[0] for recipe in recipes}
    first = models[recipes[0].identity]
    rows = test_rows(recipes[0], first, count=sentences)
    sparse = {
        f"sparse {name}": cost.with_sparse_kernels(model)
        for name, model in models.items()
        if model.masks and masked_share(model) >= sparse_from
    }
    timed = cost.latency({"again": first.copy()} | models | sparse, rows, rounds=rounds)
    floor = cost.noise_floor(timed[recipes[0].identity], timed["again"])
    for recipe, record in records.items():
        record["cost"]["latency"] = timed[recipe.identity] | {
            "noise_floor": floor,
            "sentences": len(rows),
            "sparse_kernel": timed.get(f"sparse {recipe.identity}"),
        }
        results.write(record)
    return floor


def masked_share(model: Model) -> float:
    """The share of a model's masked weights that is zero."""
    masks = model.masks.values()
    return 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)


def kernel_times(recipes: Iterable[Recipe]) -> pd.DataFrame:
    """The dense and the sparse kernel's times of recipes that have both, one row for each recipe and kernel."""
    rows = []
    for recipe in recipes:
        record = results.read(recipe)
        timing = record["cost"]["latency"] if record else None
        if timing and timing["sparse_kernel"]:
            for kernel, found in (("dense", timing), ("sparse", timing["sparse_kernel"])):
                rows.append({
                    "sparsity": record["cost"]["achieved_sparsity"],
                    "kernel": kernel,
                    "milliseconds": found["milliseconds"],
                    "milliseconds_low": found["low"],
                    "milliseconds_high": found["high"],
                })  # fmt: skip
    return pd.DataFrame(rows, columns=["sparsity", "kernel", "milliseconds", "milliseconds_low", "milliseconds_high"])


def predictions(recipes: Mapping[str, Recipe], dataset: str, language: str, *, place: int = 0) -> pd.DataFrame:
    """The tags that models give one test sentence, a column each, beside the words and the gold tags.

    `place` counts through the test sentences of at most 16 words that hold two entities or more.
    """
    sentences = splits.sentences(dataset, language, "test")
    short = [s for s in sentences if len(s.words) <= 16 and sum(tag[0] == "B" for tag in s.tags) > 1] or sentences
    sentence = short[place % len(short)]
    columns = {"word": sentence.words, "gold": sentence.tags}
    for name, recipe in recipes.items():
        model, _ = materialise(recipe)
        encoded = encode([sentence], model.tokenizer, model.labels)
        columns[name] = predict(model, encoded, [sentence])[0][0]
    return pd.DataFrame(columns)


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
