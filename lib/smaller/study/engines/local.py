"""The local engine: jobs in this process, or in worker processes beside it.

On a machine with GPUs each worker sees one card, and workers are spread over the cards. A job that runs out of a
card's memory is done again with one worker fewer on that card.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from smaller.base import settings
from smaller.base.errors import SmallerError
from smaller.base.forks import Nursery, nursery
from smaller.base.progress import Say
from smaller.encoders.device import OutOfMemory, card_memory, cards, workers_on
from smaller.study.engines.base import Agenda
from smaller.study.engines.messages import message_of
from smaller.study.jobs import Job, Listener, execute
from smaller.study.steps import Pretrain

COMMAND = (sys.executable, "-m", "smaller.study.engines.worker")

IMPORTED = ("smaller.study.engines.messages", "transformers.models.xlm_roberta.modeling_xlm_roberta")
"""What a worker uses, and all that this imports."""


class Worker:
    """Another process of this program, which is sent jobs and answers line by line (see `engines.worker`).

    It sees one `card` of this machine's GPUs, or all that this process sees where none is given. A `nursery` forks it
    where there is one.
    """

    listening = threading.Lock()

    def __init__(
        self,
        *,
        threads: int,
        card: str | None = None,
        nursery: Nursery | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.threads, self.all_threads, self.card = threads, settings.threads(), card
        (jobs, mine), (answers, theirs) = os.pipe(), os.pipe()
        self.jobs, self.answers = os.fdopen(mine, "w", encoding="utf-8"), os.fdopen(answers, encoding="utf-8")
        variables = settings.of_worker(threads=threads, card=card)
        self.process = (
            nursery and nursery.start(command, env=variables, cwd=os.getcwd(), files=(jobs, theirs, 2))
        ) or subprocess.Popen(command, stdin=jobs, stdout=theirs, env=variables)
        os.close(jobs)
        os.close(theirs)

    def execute(self, job: Job, *, listener: Listener, say: Say) -> None:
        """Have the job done; passes progress on, raises what went wrong in the other process."""
        recipes = {recipe.identity: recipe for recipe in job.recipes}
        threads = {"threads": self.all_threads if _begins(job) else min(self.threads, self.all_threads)}
        message = json.dumps(message_of(job) | threads) + "\n"
        # A process that is killed leaves a closed pipe, and maybe half a line.
        with contextlib.suppress(BrokenPipeError, json.JSONDecodeError):
            self.jobs.write(message)
            self.jobs.flush()
            for line in self.answers:
                answer = json.loads(line)
                with self.listening:
                    if "finished" in answer:
                        listener(recipes[answer["finished"]])
                    elif "said" in answer:
                        say(answer["said"])
                if "error" in answer:
                    raise (OutOfMemory if answer.get("memory") else SmallerError)(answer["error"])
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
            self.jobs.close()
        self.answers.close()


def workers_for(asked: int | None, jobs: Sequence[Job]) -> int:
    """As many as were asked for; else one for each processor core, or on GPUs as many as have room on each of them.

    Never more than there are jobs.
    """
    return min(asked or sum(map(workers_on, range(len(cards())))) or (os.cpu_count() or 1), len(jobs))


def run(jobs: Sequence[Job], *, workers: int | None, listener: Listener, say: Say) -> None:
    """Do the jobs (see `Engine`). One worker is this process; more are processes of their own, and share the cores."""
    workers = workers_for(workers, jobs)
    if workers > 1:
        each = settings.of_worker(threads=_threads(workers))
        with contextlib.nullcontext() if cards() else nursery(IMPORTED, each) as forks:
            start = functools.partial(Worker, nursery=forks)
            in_processes(jobs, workers=workers, listener=listener, say=say, start=start)
        return
    for job in jobs:
        with card_memory(job.prefix.label):
            execute(job, listener=listener, say=say)


def in_processes(
    jobs: Sequence[Job], *, workers: int, listener: Listener, say: Say, start: Callable[..., Worker] = Worker
) -> None:
    """Do the jobs in so many processes, each of which `start` begins."""
    agenda, places = Agenda(jobs), cards() or [None]
    pool = [start(threads=_threads(workers), card=places[number % len(places)]) for number in range(workers)]
    free = list(pool)
    threads = ThreadPoolExecutor(workers)
    try:
        running: dict[Future, tuple[Job, Worker]] = {}
        while running or not agenda.empty:
            while free and (job := agenda.take()) is not None:
                worker = free.pop()
                running[threads.submit(worker.execute, job, listener=listener, say=say)] = (job, worker)
            for finished in wait(running, return_when=FIRST_COMPLETED).done:
                job, worker = running.pop(finished)
                try:
                    finished.result()
                except OutOfMemory as problem:
                    if not any(other.card == worker.card for other in [*free, *(one for _, one in running.values())]):
                        raise
                    say(f"{problem} It is done again with one worker fewer on that card.")
                    worker.process.kill()
                    agenda.again(job)
                else:
                    agenda.made(job.prefix)
                    free.append(worker)
    finally:
        # The threads read what the workers say, so they end when the workers do, and not before.
        for worker in pool:
            worker.process.kill()
        threads.shutdown()
        for worker in pool:
            worker.close()


def _threads(workers: int) -> int:
    """The threads of each of so many workers."""
    return max(1, (os.cpu_count() or 1) // workers)


def _begins(job: Job) -> bool:
    """Whether the job is the pre-training of an encoder: nothing else can begin before it ends, so it has all cores.

    It follows from the job alone, since the number of threads decides the last bits of a result.
    """
    return [type(step) for step in job.prefix.steps] == [Pretrain]
