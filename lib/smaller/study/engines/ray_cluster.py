"""The Ray engine: each job is a task on one of many machines, whose records come back to this one.

No file system is shared. What is trained on a node stays in its cache, and travels from there to nodes that need it; it
also comes into this machine's cache as long as that has room, or when it is asked for here. A record is written here as
soon as its recipe is finished. Tasks that were lost with their worker or node, or said nothing for
`SMALLER_RAY_MINUTES`, are done again, without the recipes that had finished; one that ran out of a GPU's memory is done
again with a whole one. Every node needs this package and its libraries in the same versions, and the same data and
encoders: `SMALLER_DATA`, `SMALLER_MODELS` and the hub's variables are passed on as they are here, so the folders lie at
the same paths, and a node with other data is told by its checksums before it computes anything.

A cluster that is started here listens on loopback alone. One that is joined has the addresses with which it was
started, and whoever reaches it can run programs on it (Ray's own security notes).

`SMALLER_RAY_CPUS` is what a task takes of a node's processor cores (default 1), `SMALLER_RAY_GPUS` of its GPUs (default
0.25 where the cluster has any: four small encoders share one; Ray does not divide a GPU's memory). A process does one
task on a GPU and ends, so that none sees two cards. A cluster that begins without nodes is waited for, and needs to be
told of GPUs by `SMALLER_RAY_GPUS`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import ModuleType

from smaller.base import settings
from smaller.base.errors import SmallerError
from smaller.base.progress import Say, silent
from smaller.study import cache, results
from smaller.study.engines import ray_node
from smaller.study.engines.base import Agenda
from smaller.study.engines.messages import message_of
from smaller.study.jobs import Job, Listener, pending
from smaller.study.recipes import Recipe

RETRIES = 3
"""How often a job that was lost with its worker or node is done again."""

PATIENCE = 10.0
"""Seconds without an answer after which head and nodes are looked for; Ray itself gives a head up after a minute."""

GROWTH = 64
"""How many tasks to have sent where the cluster starts nodes for those that wait."""


def run(jobs: Sequence[Job], *, workers: int | None, listener: Listener, say: Say, address: str | None = None) -> None:
    """Do the jobs (see `Engine`) on the cluster at `address`; without one on a cluster that is started here.

    This process joins one cluster, once; its workers stay warm for later studies. `workers` is the most tasks at once,
    by default twice as many as the nodes have room for.
    """
    ray = _joined(address, say)
    try:
        cluster = _Cluster(ray, alone=address is None, say=say)
        cluster.require_room()
        cluster.look_for(jobs)
        with _watched(ray, say):
            _run(cluster, jobs, workers=workers, listener=listener, say=say)
    except ray.exceptions.RayError as problem:
        told = f"The Ray cluster failed ({type(problem).__name__}: {_lines(problem)[0]})."
        raise SmallerError(f"{told} Finished records are safe: run again.") from problem


def bring(prefix: Recipe, *, address: str | None = None, say: Say = silent) -> bool:
    """Bring a trained prefix, which only a node has, into this machine's cache; whether one had it."""
    ray = _joined(address, say)
    with contextlib.suppress(ray.exceptions.RayError):
        cluster = _Cluster(ray, alone=address is None, say=say)
        cluster.look_for([Job(prefix, (), None)])
        if prefix in cluster.held:
            _keep_prefix(prefix, ray.get(cluster.files_of(prefix)))
    return cache.find(prefix) is not None


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
                    case {"error": text, "memory": True} if job.prefix not in cluster.roomy:
                        cluster.roomy.add(job.prefix)
                        say(f"{text} It is done again with a whole GPU.")
                        agenda.again(_rest(job))
                        del running[task]
                    case {"error": text}:
                        raise SmallerError(text)
                    case {"begun": about}:
                        cluster.meet(task, about)
                    case {"said": text}:
                        say(text)
                    case {"made": _, "files": files}:
                        cluster.holds(task, job.prefix)
                        _keep_prefix(job.prefix, files)
                        agenda.made(job.prefix)
                    case {"finished": identity, "record": record}:
                        _keep_record(recipes[identity], record)
                        listener(recipes[identity])
                    case {"done": _}:
                        agenda.made(job.prefix)
                        del running[task]
                        limit = workers or cluster.appetite()
                    case {"lacks": _}:
                        cluster.forget(job)
                        agenda.without_parent(job)
                        del running[task]
                    case {"lost": why}:
                        losses[job.prefix] += 1
                        _bear(why, job, times=losses[job.prefix], say=say)
                        agenda.again(_rest(job))
                        del running[task]
    finally:
        if running:
            _require_head(cluster.ray)  # without it Ray ends this process where it is asked to end a task
        for task in running:
            cluster.end(task)


def _rest(job: Job) -> Job:
    """The job without the recipes that have their records."""
    return dataclasses.replace(job, recipes=tuple(pending(job.recipes, job.sets)))


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

    def __init__(self, ray: ModuleType, *, alone: bool, say: Say = silent) -> None:
        self.ray, self.place, self.say = ray, ray_node.place(), say
        self.lost = (
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.ObjectLostError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.TaskCancelledError,
        )
        gpus = 0.25 if ray.cluster_resources().get("GPU") else 0.0
        self.share = {"CPU": settings.ray_share("CPUS", 1.0), "GPU": settings.ray_share("GPUS", gpus)}
        self.alone = alone and len(self._nodes()) == 1
        self.patience = 60 * settings.ray_patience()
        self.roomy: set[Recipe] = set()  # prefixes whose jobs get a whole GPU
        self.held: dict[Recipe, str] = {}  # the node that has a trained prefix
        self.sent: dict[Recipe, object] = {}
        self.met: dict[object, dict] = {}  # what the node of a task told of itself
        self.heard: dict[object, float] = {}
        self.waiting = False
        # Ray would do all of a job again; `_run` leaves out what had finished.
        own = {"runtime_env": {"env_vars": settings.on_every_node() | {"TOKENIZERS_PARALLELISM": "false"}}}
        self.own = own | {"max_retries": 0}
        # Ray gives a process that has worked on one card the next task on another, unless it ends after each.
        self.task = ray.remote(max_calls=int(bool(self.share["GPU"])))(ray_node.work)

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
        return max(self.grows and GROWTH, 2 * self.room())

    @property
    def grows(self) -> bool:
        """Whether the cluster starts nodes by itself when tasks wait."""
        return bool(self.ray._private.state.state.get_max_resources_from_cluster_config())

    def require_room(self) -> None:
        """Raise SmallerError where no task can ever begin."""
        if self.room():
            self.waiting = False
            return
        share = f"{self.share['CPU']:g} processor cores and {self.share['GPU']:g} GPUs"
        if not self.grows:
            raise SmallerError(
                f"No node of the Ray cluster has room for a task, which takes {share}. Finished records are safe: "
                "start a node, or change SMALLER_RAY_CPUS or SMALLER_RAY_GPUS, and run again."
            )
        if not self.waiting:
            self.say(f"no node of the Ray cluster has room yet for a task, which takes {share}: it may start one")
        self.waiting = True

    def begin(self, job: Job) -> object:
        """Send a job; returns its task."""
        nearest = None if self.alone else self._nearest(job.prefix)
        order = message_of(job) | {
            "versions": ray_node.about()["shared"],
            "checksums": ray_node.checksums((job.prefix, *job.recipes), job.sets),
            "records": list(results.done(job.recipes)),
            "wants_prefix": cache.find(job.prefix) is None
            and sum(cache.kept().values()) < 0.9 * settings.cache_bytes(),
            "place": self.place,
        }
        files = nearest and self.files_of(nearest)
        gpus = 1.0 if self.share["GPU"] and job.prefix in self.roomy else self.share["GPU"]
        options = self.own | {"num_returns": "streaming", "num_cpus": self.share["CPU"], "num_gpus": gpus}
        kept = [] if files is None else [(nearest.canonical(), [files])]
        return self.task.options(**options).remote(order, kept)

    def _nearest(self, prefix: Recipe) -> Recipe | None:
        """The longest trained prefix of a recipe that lies in this machine's cache, or in that of a node."""
        trained = (found for found in prefix.prefixes() if found.steps)
        return next((found for found in trained if found in self.held or cache.find(found) is not None), None)

    def files_of(self, prefix: Recipe) -> object:
        """A reference to the files of a trained prefix; siblings follow each other, so a few are remembered."""
        if prefix not in self.sent:
            if cache.find(prefix) is None:
                files = self._on(self.held[prefix], ray_node.files, message_of(Job(prefix, (), None)))
            else:
                files = self.ray.put(cache.pack(prefix))
            self.sent = dict(list(self.sent.items())[-3:]) | {prefix: files}
        return self.sent[prefix]

    def _on(self, node: str, call: Callable, *arguments: object) -> object:
        """A reference to what a call gives on a node, whatever else it does."""
        where = self.ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node, soft=False)
        return self.ray.remote(call).options(**self.own, num_cpus=0, scheduling_strategy=where).remote(*arguments)

    def look_for(self, jobs: Iterable[Job]) -> None:
        """Ask the nodes for the trained prefixes that are not here: an earlier study may have left them there."""
        wanted = dict.fromkeys(prefix for job in jobs for prefix in (job.prefix, job.parent) if prefix and prefix.steps)
        wanted = [] if self.alone else [prefix for prefix in wanted if cache.find(prefix) is None]
        nodes = [node["NodeID"] for node in self._nodes() if node["NodeID"] != self.place[0]] if wanted else []
        orders = [message_of(Job(prefix, (), None)) for prefix in wanted]
        for node, asked in [(node, self._on(node, ray_node.kept, orders)) for node in nodes]:
            with contextlib.suppress(self.ray.exceptions.RayError):  # one that cannot answer has nothing to give
                answers = self.ray.get(asked, timeout=60)
                self.held |= {prefix: node for prefix, found in zip(wanted, answers, strict=True) if found}

    def meet(self, task: object, about: dict) -> None:
        """Take note of a task's node. Raises SmallerError where its results would not be of one kind with others'."""
        for other in self.met.values():
            for name, value in about["arithmetic"].items():
                if value != other["arithmetic"][name]:
                    raise SmallerError(
                        f"Two nodes of the Ray cluster differ in {name}: {other['node']} ({other['device']}) has "
                        f"{other['arithmetic'][name]}, and {about['node']} ({about['device']}) has {value}. Scores of "
                        "both would stand in one table: run on nodes of one kind."
                    )
        if about["device"] not in {other["device"] for other in self.met.values()} and self.met:
            self.say(f"{about['node']} has another device than other nodes: {about['device']}; its records say so")
        self.met[task] = about

    def holds(self, task: object, prefix: Recipe) -> None:
        """Take note that the node of a task has a trained prefix."""
        self.held[prefix] = self.met[task]["place"][0]

    def forget(self, job: Job) -> None:
        """The files that a job was sent are gone."""
        for prefix in job.prefix.prefixes():
            self.held.pop(prefix, None)
            self.sent.pop(prefix, None)

    def ready(self, running: dict) -> list:
        """The tasks that have an answer; waits for one, and raises SmallerError if no node is left to give it."""
        while running:
            ready, _ = self.ray.wait(list(running), num_returns=1, timeout=PATIENCE)
            now = time.monotonic()
            self.heard |= dict.fromkeys(ready, now)
            for task in self.met.keys() & running.keys() - set(ready):
                if now - self.heard[task] > self.patience:
                    self.end(task)  # its next answer is that it was ended
                    self.heard[task] = now
            if ready:
                return ready
            _require_head(self.ray)
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


def _require_head(ray: ModuleType) -> None:
    """Raise SmallerError where the head is gone: Ray, and its `shutdown` too, then ends this process without a word."""
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except OSError:
        raise SmallerError(
            f"The head of the Ray cluster at {host}:{port} is gone. Finished records are safe: once it is back, run "
            "again, in a new process (restart the notebook's kernel)."
        ) from None


@contextlib.contextmanager
def _watched(ray: ModuleType, say: Say) -> Iterator[None]:
    """Say when the head is gone: a call of Ray that waits for it comes back to nobody, until Ray ends this process."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(PATIENCE):
            try:
                _require_head(ray)
            except SmallerError as problem:
                return say(str(problem))

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _joined(address: str | None, say: Say) -> ModuleType:
    """Ray, joined to a cluster. Says once where its dashboard is, if there is one."""
    settings.before_ray(alone=address is None)
    import ray
    import ray.exceptions
    import ray.util.scheduling_strategies

    if ray.is_initialized():
        _require_head(ray)
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
