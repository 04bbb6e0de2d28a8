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
import os
from collections import Counter
from collections.abc import Sequence
from types import ModuleType

from smaller import __version__
from smaller.base.errors import SmallerError
from smaller.base.progress import Say
from smaller.study import cache, results
from smaller.study.engines import ray_node
from smaller.study.engines.base import Agenda
from smaller.study.jobs import Job, Listener, message_of, pending
from smaller.study.recipes import Recipe

RETRIES = 3
"""How often a job that was lost with its worker or node is done again."""

PASSED_ON = ("SMALLER_DATA", "SMALLER_MODELS", "SMALLER_CACHE_GB", "HF_HUB_OFFLINE", "HF_ENDPOINT")
"""Settings of this process that hold on every node; its own cache and results folders do not."""

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
        raise SmallerError(
            f"The Ray cluster failed ({type(problem).__name__}: {_lines(problem)[0]}). Finished "
            "records are safe: run again."
        ) from problem


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
                try:
                    answer = cluster.answer(task)
                except _Lost as loss:
                    losses[job.prefix] += 1
                    _bear(loss, job, times=losses[job.prefix], say=say)
                    agenda.again(dataclasses.replace(job, recipes=tuple(pending(job.recipes, job.sets))))
                    del running[task]
                    continue
                match answer:
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
    finally:
        for task in running:
            cluster.end(task)


def _bear(loss: _Lost, job: Job, *, times: int, say: Say) -> None:
    """Say that a job was lost. Raises SmallerError when that happened too often."""
    if times > RETRIES:
        raise SmallerError(
            f"A worker or its node was lost ({loss}) while it was at {job.prefix}, {times} times; the "
            "usual cause is too little memory. Finished records are safe: run again, with more room "
            "for each task (SMALLER_RAY_CPUS=2)."
        ) from None
    say(f"{job.prefix}: a worker or its node was lost ({loss}), so this is done again")


def _keep_prefix(prefix: Recipe, files: dict | None) -> None:
    if files is not None:
        with cache.lock(prefix):
            if cache.find(prefix) is None:  # the node may share this machine's cache
                cache.unpack(prefix, files)


def _keep_record(recipe: Recipe, record: dict) -> None:
    """Write what a node found, beside the scores that another study may have added in the meantime."""
    with cache.lock(recipe):
        present = results.read(recipe)
        if present is None:
            results.write(record)
            return
        known = present["scores"]
        new = {
            key: scores
            for key, scores in record["scores"].items()
            if key not in known or known[key].get("data") != scores.get("data")
        }
        if new:
            results.write(present | {"scores": known | new})


class _Lost(Exception):
    """A task went with its worker or node; the message says which of the two."""


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
        self.share = {"CPU": _setting("SMALLER_RAY_CPUS", default=1.0), "GPU": _setting("SMALLER_RAY_GPUS", gpus)}
        self.alone = alone and len(self._nodes()) == 1
        self.sent: dict[Recipe, object] = {}
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self.task = ray.remote(ray_node.work).options(
            num_returns="streaming",
            max_retries=0,  # Ray would do all of a job again; `_run` leaves out what had finished
            num_cpus=self.share["CPU"],
            num_gpus=self.share["GPU"],
            runtime_env={"env_vars": environment | {"TOKENIZERS_PARALLELISM": "false"}},
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
                f"No node of the Ray cluster has room for a task, which takes {self.share['CPU']:g} "
                f"processor cores and {self.share['GPU']:g} GPUs. Finished records are safe: start a "
                "node, or change SMALLER_RAY_CPUS or SMALLER_RAY_GPUS, and run again."
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
        kept = [] if nearest is None else [(nearest.canonical(), [self._object(nearest)])]
        return self.task.remote(order, [(form, reference) for form, reference in kept if reference[0] is not None])

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
        """The next answer of a task. Raises _Lost, or SmallerError for what is wrong with the node."""
        try:
            return self.ray.get(next(task))
        except StopIteration:
            raise _Lost("its answers ended") from None
        except self.lost as problem:
            raise _Lost(type(problem).__name__) from None
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


def _setting(name: str, default: float) -> float:
    text = os.environ.get(name, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not (0 <= value < 1 or value.is_integer()) or value < 0 or (name == "SMALLER_RAY_CPUS" and not value):
        raise SmallerError(f"{name} is what each task takes: a share below 1, or a whole number; it is {text!r}.")
    return value


def _joined(address: str | None, say: Say) -> ModuleType:
    """Ray, joined to a cluster. Says once where its dashboard is, if there is one."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        # Read when Ray is imported, on every system: without clusters across machines, it listens on loopback alone.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import ray
    import ray.exceptions

    if ray.is_initialized():
        joined = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", joined):
            raise SmallerError(f"This process has joined the Ray cluster at {joined}, and cannot join {address} too.")
        return ray
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is None:
            context = ray.init("local", dashboard_host="127.0.0.1", **quiet)
        else:
            context = ray.init(address, **quiet)
    except Exception as problem:  # Ray has no kind of its own for a cluster that does not answer
        where = f"There is no Ray cluster at {address}" if address else "A Ray cluster could not be started here"
        raise SmallerError(f"{where}: {_lines(problem)[0]}.") from problem
    dashboard = f"; its dashboard is at http://{context.dashboard_url}" if context.dashboard_url else ""
    say(f"joined the Ray cluster at {ray.get_runtime_context().gcs_address}{dashboard}")
    return ray


def _lines(problem: Exception) -> list[str]:
    return [line.strip().rstrip(".") for line in str(problem).strip().splitlines()] or [type(problem).__name__]
