"""Run recipes: skip what is done, train every shared prefix once, keep a record of each, return the table."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

import numpy as np
import pandas as pd

from smaller import artefacts, results
from smaller.data import splits
from smaller.data.sets import EvaluationSet
from smaller.errors import SmallerError
from smaller.jobs import Job, Listener, execute, materialise, pending, plan
from smaller.progress import Progress, Say, duration
from smaller.recipes import Recipe
from smaller.steps import Step
from smaller.training import device

__all__ = ["estimate", "materialise", "pending", "plan", "run", "table"]

SCORING = 15
"""Pruning, scoring and recording take about as long as this many updates (measured with a half-size AfriBERTa)."""

SCORING_A_SET = 6
"""So does scoring on a further set."""


def run(
    recipes: Iterable[Recipe],
    *,
    sets: Iterable[EvaluationSet] = (),
    workers: int | None = None,
    say: Say | None = None,
) -> pd.DataFrame:
    """Finish all recipes and return their table, one row for each recipe and evaluation set.

    Each recipe is scored on dev and test of the language that it was fine-tuned on, and on `sets`. What has a record is
    skipped; sets that are new to it cost the inference alone. `workers` processes share the work (default: one for each
    processor core, one on a GPU); a run that is killed loses nothing that it finished. `say` hears the progress; the
    default draws a bar in JupyterLab and writes a line now and then elsewhere.
    """
    recipes = list(dict.fromkeys(recipes))
    sets = tuple(dict.fromkeys(sets))
    _check_sets(recipes, sets)
    todo = pending(recipes, sets)
    jobs = plan(todo, sets)
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
    return table(recipes, sets=sets)


def _check_sets(recipes: Sequence[Recipe], sets: Sequence[EvaluationSet]) -> None:
    """Raise SmallerError, before anything is trained, for a set that is not here or has types that no model knows."""
    trained_on = {recipe.fine_tuning.dataset for recipe in recipes if recipe.fine_tuning}
    for place in sets:
        place.checksum()
        for dataset in sorted(trained_on):
            unknown = sorted(set(place.types) - set(splits.entity_types(dataset)))
            if unknown:
                raise SmallerError(f"The evaluation set {place.key} has the labels {', '.join(unknown)}, which "
                                   f"models that are fine-tuned on {dataset} do not know.")  # fmt: skip


def table(recipes: Iterable[Recipe], *, sets: Iterable[EvaluationSet] = ()) -> pd.DataFrame:
    """The table of those recipes that are done, on their own language and on `sets`."""
    records = (record for recipe in dict.fromkeys(recipes) if (record := results.read(recipe)) is not None)
    return results.table(records, sets=[place.key for place in sets])


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
            work[recipe], training = SCORING + SCORING_A_SET * len(job.sets) + training, 0.0
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
            "sets": [place.key for place in job.sets],
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
    if not getattr(step, "epochs", None):
        return step.updates
    unlabelled = getattr(step, "transfer_lines", 0) * len(step.language.split("+"))
    return step.epochs * -(-(_training_sentences(step.dataset, step.language) + unlabelled) // step.batch_size)


@functools.cache
def _training_sentences(dataset: str, language: str) -> int:
    return len(splits.sentences(dataset, language, "train"))
