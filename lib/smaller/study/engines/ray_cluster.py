"""The Ray engine: each job is a task on one of many machines; prefixes and records come back to this one.

No file system is shared. What is trained on a node returns as the files of its artefact folder, goes into this
machine's cache, and travels from here to the nodes that need it; a record is written here as soon as its recipe is
finished. Tasks that were lost with their worker or node are done again, without the recipes that had finished. Every
node needs this package in the same version, and the same data and encoders: `SMALLER_DATA`, `SMALLER_MODELS` and the
hub's settings are passed on as they are here, so the folders lie at the same paths, and a node with other data is told
by its checksums before it computes anything.

A cluster that is started here listens on loopback alone. One that is joined has the addresses with which it was
started, and whoever reaches it can run programs on it (Ray's own security notes).

`SMALLER_RAY_CPUS` is what a task takes of a node's processor cores (default 1), `SMALLER_RAY_GPUS` of its GPUs (default
0.25 where the cluster has any: four small encoders share one; Ray does not divide a GPU's memory).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Sequence
from types import ModuleType

from smaller import __version__
from smaller.base import settings
from smaller.base.errors import SmallerError
from smaller.base.progress import Say
from smaller.study import cache, results
from smaller.study.engines import ray_node
from smaller.study.engines.base import Agenda
from smaller.study.engines.messages import message_of
from smaller.study.jobs import Job, Listener, pending
from smaller.study.recipes import Recipe

RETRIES = 3
"""How often a job that was lost with its worker or node is done again."""

PATIENCE = 30.0
"""Seconds without an answer after which the nodes are counted."""


def run(jobs: Sequence[Job], *, workers: int | None, listener: Listener, say: Say, address: str | None = None) -> None:
    """Do the jobs (see `Engine`) on the cluster at `address`; without one on a cluster that is started here.

    This process joins one cluster, once; its workers stay warm for later studies. `workers` is the most tasks at once,
    by default twice as many as the nodes have room for.
    """
    ray = _joined(address, say)
    cluster = _Cluster(ray, alone=address is None)
    cluster.require_room()
    try:
        _run(cluster, jobs, workers=workers, listener=listener, say=say)
    except ray.exceptions.RayError as problem:
        told = f"The Ray cluster failed ({type(problem).__name__}: {_lines(problem)[0]})."
        raise SmallerError(f"{told} Finished records are safe: run again.") from problem


def _run(cluster: _Cluster, jobs: Sequence[Job], *, workers: int | None, listener: Listener, say: Say) -> None:
    agenda = Agenda(jobs)
    recipes = {recipe.identity: recipe for job in jobs for recipe in job.recipes}
    running: dict[object, Job] = {}
    losses: Counter[Recipe] = Counter()
    limit = workers or cluster.appetite()
    try:
        while running or not agenda.empty:
            while len(running) < limit and (job := agenda.take()) is not None:
                if job.recipes or cache.find(job.prefix) is None:
                    running[cluster.begin(job)] = job
                else:
                    agenda.made(job.prefix)
            for task in cluster.ready(running):
                job = running[task]
                match cluster.answer(task):
                    case {"error": text}:
                        raise SmallerError(text)
                    case {"said": text}:
                        say(text)
                    case {"made": _, "files": files}:
                        _keep_prefix(job.prefix, files)
                        agenda.made(job.prefix)
                    case {"finished": identity, "record": record}:
                        _keep_record(recipes[identity], record)
                        listener(recipes[identity])
                    case {"done": _}:
                        agenda.made(job.prefix)
                        del running[task]
                        limit = workers or cluster.appetite()
                    case {"lost": why}:
                        losses[job.prefix] += 1
                        _bear(why, job, times=losses[job.prefix], say=say)
                        agenda.again(dataclasses.replace(job, recipes=tuple(pending(job.recipes, job.sets))))
                        del running[task]
    finally:
        for task in running:
            cluster.end(task)


def _bear(why: str, job: Job, *, times: int, say: Say) -> None:
    """Say that a job was lost. Raises SmallerError when that happened too often."""
    if times > RETRIES:
        raise SmallerError(
            f"A worker or its node was lost ({why}) while it was at {job.prefix}, {times} times; the usual cause is "
            "too little memory. Finished records are safe: run again, with more room for each task "
            "(SMALLER_RAY_CPUS=2)."
        )
    say(f"{job.prefix}: a worker or its node was lost ({why}), so this is done again")


def _keep_prefix(prefix: Recipe, files: dict | None) -> None:
    if files is not None:
        with cache.lock(prefix):
            if cache.find(prefix) is None:  # the node may share this machine's cache
                cache.unpack(prefix, files)


def _keep_record(recipe: Recipe, record: dict) -> None:
    """Write what a node found, beside the scores that another study may have added in the meantime."""
    with cache.lock(recipe):
        present = results.read(recipe)
        known = present["scores"] if present else {}
        new = {
            key: scores
            for key, scores in record["scores"].items()
            if key not in known or known[key].get("data") != scores.get("data")
        }
        if new or present is None:
            results.write((present or record) | {"scores": known | new})


class _Cluster:
    """What the engine asks of Ray."""

    def __init__(self, ray: ModuleType, *, alone: bool) -> None:
        self.ray, self.place = ray, ray_node.place()
        self.lost = (
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.ObjectLostError,
            ray.exceptions.OutOfMemoryError,
        )
        gpus = 0.25 if ray.cluster_resources().get("GPU") else 0.0
        self.share = {"CPU": settings.ray_share("CPUS", 1.0), "GPU": settings.ray_share("GPUS", gpus)}
        self.alone = alone and len(self._nodes()) == 1
        self.sent: dict[Recipe, object] = {}
        self.task = ray.remote(ray_node.work).options(
            num_returns="streaming",
            max_retries=0,  # Ray would do all of a job again; `_run` leaves out what had finished
            num_cpus=self.share["CPU"],
            num_gpus=self.share["GPU"],
            runtime_env={"env_vars": settings.on_every_node() | {"TOKENIZERS_PARALLELISM": "false"}},
        )

    def _nodes(self) -> list[dict]:
        return [node for node in self.ray.nodes() if node["Alive"]]

    def room(self) -> int:
        """How many tasks the nodes have room for at once."""
        wanted = {name: share for name, share in self.share.items() if share}
        return sum(
            min(int(node["Resources"].get(name, 0) / share) for name, share in wanted.items()) for node in self._nodes()
        )

    def appetite(self) -> int:
        """How many tasks to have sent at once: as many again as run, so that no node waits for the next one."""
        return max(1, 2 * self.room())

    def require_room(self) -> None:
        """Raise SmallerError where no task can ever begin."""
        if not self.room():
            raise SmallerError(
                f"No node of the Ray cluster has room for a task, which takes {self.share['CPU']:g} processor cores "
                f"and {self.share['GPU']:g} GPUs. Finished records are safe: start a node, or change SMALLER_RAY_CPUS "
                "or SMALLER_RAY_GPUS, and run again."
            )

    def begin(self, job: Job) -> object:
        """Send a job; returns its task."""
        nearest = None if self.alone else _nearest_kept(job.prefix)
        records = [record for recipe in job.recipes if (record := results.read(recipe)) is not None]
        order = message_of(job) | {
            "version": __version__,
            "checksums": ray_node.checksums((job.prefix, *job.recipes), job.sets),
            "records": records,
            "lacks_prefix": nearest != job.prefix,
            "place": self.place,
        }
        files = nearest and self._object(nearest)
        return self.task.remote(order, [] if files is None else [(nearest.canonical(), [files])])

    def _object(self, prefix: Recipe) -> object:
        """The files of a trained prefix in Ray's store; siblings follow each other, so a few are remembered."""
        if prefix not in self.sent:
            files = cache.pack(prefix)
            if files is None:
                return None
            self.sent = dict(list(self.sent.items())[-3:]) | {prefix: self.ray.put(files)}
        return self.sent[prefix]

    def ready(self, running: dict) -> list:
        """The tasks that have an answer; waits for one, and raises SmallerError if no node is left to give it."""
        while running:
            ready, _ = self.ray.wait(list(running), num_returns=1, timeout=PATIENCE)
            if ready:
                return ready
            self.require_room()
        return []

    def answer(self, task: object) -> dict:
        """The next answer of a task, `lost` if it went with its worker or node.

        Raises SmallerError for what is wrong with the node.
        """
        try:
            return self.ray.get(next(task))
        except StopIteration:
            return {"lost": "its answers ended"}
        except self.lost as problem:
            return {"lost": type(problem).__name__}
        except (self.ray.exceptions.RayTaskError, self.ray.exceptions.RuntimeEnvSetupError) as problem:
            raise SmallerError(
                f"A node of the Ray cluster cannot do a task: {_lines(problem)[-1]}. Is this package installed there?"
            ) from problem

    def end(self, task: object) -> None:
        """Stop a task at once."""
        with contextlib.suppress(self.ray.exceptions.RayError):
            self.ray.cancel(task, force=True)


def _nearest_kept(prefix: Recipe) -> Recipe | None:
    """The longest trained prefix of a recipe that lies in this machine's cache."""
    return next((found for found in prefix.prefixes() if found.steps and cache.find(found) is not None), None)


def _joined(address: str | None, say: Say) -> ModuleType:
    """Ray, joined to a cluster. Says once where its dashboard is, if there is one."""
    settings.before_ray(alone=address is None)
    import ray
    import ray.exceptions

    if ray.is_initialized():
        joined = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", joined):
            raise SmallerError(f"This process has joined the Ray cluster at {joined}, and cannot join {address} too.")
        return ray
    options = {"address": address} if address else {"address": "local", "dashboard_host": "127.0.0.1"}
    try:
        context = ray.init(**options, log_to_driver=False, logging_level="ERROR")
    except Exception as problem:  # Ray has no kind of its own for a cluster that does not answer
        where = f"There is no Ray cluster at {address}" if address else "A Ray cluster could not be started here"
        raise SmallerError(f"{where}: {_lines(problem)[0]}.") from problem
    dashboard = f"; its dashboard is at http://{context.dashboard_url}" if context.dashboard_url else ""
    say(f"joined the Ray cluster at {ray.get_runtime_context().gcs_address}{dashboard}")
    return ray


def _lines(problem: Exception) -> list[str]:
    return [line.strip().rstrip(".") for line in str(problem).strip().splitlines()] or [type(problem).__name__]
