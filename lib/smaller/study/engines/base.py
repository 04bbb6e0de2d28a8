"""What an engine is: it does jobs, parents before children, and tells what is finished."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from smaller.base.progress import Say
from smaller.study.jobs import Job, Listener
from smaller.study.recipes import Recipe


class Engine(Protocol):
    """Does all jobs, in any order that has parents before children; a prefix is trained once.

    `workers` is the most jobs at once, None for as many as the engine sees fit. `listener` hears of each recipe when
    its record lies in the results folder of this process, `say` what the jobs have to say; neither is called from two
    threads at once. What goes wrong is raised as a SmallerError, and the jobs that are under way are ended.
    """

    def __call__(self, jobs: Sequence[Job], *, workers: int | None, listener: Listener, say: Say) -> None: ...


class Agenda:
    """The jobs that are left, and which of them can begin: those whose parent's prefix is there."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = {job.prefix: job for job in jobs}
        prefixes = self._jobs.keys()
        self._ready = deque(job for job in jobs if job.parent not in prefixes)
        self._waiting: dict[Recipe, list[Job]] = {}
        for job in jobs:
            if job.parent in prefixes:
                self._waiting.setdefault(job.parent, []).append(job)

    def take(self) -> Job | None:
        """The next job that can begin, or None if none can at the moment."""
        return self._ready.popleft() if self._ready else None

    def again(self, job: Job) -> None:
        """Put a job that was lost back, before all others."""
        self._ready.appendleft(job)

    def without_parent(self, job: Job) -> None:
        """Put a job back whose parent's prefix was lost, to begin when that was made again."""
        parent = self._jobs.get(job.parent)
        if parent is None:  # of an earlier study: the job makes it itself
            self.again(dataclasses.replace(job, parent=None))
            return
        if parent.prefix not in self._waiting:
            self.again(dataclasses.replace(parent, recipes=()))
        self._waiting.setdefault(parent.prefix, []).append(job)

    def made(self, prefix: Recipe) -> None:
        """Let the children of a prefix begin, before all others: it is fresh in the cache. Twice does no harm."""
        self._ready.extendleft(reversed(self._waiting.pop(prefix, ())))

    @property
    def empty(self) -> bool:
        """Whether no job is left that has not begun."""
        return not self._ready and not self._waiting
