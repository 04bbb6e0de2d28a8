"""The Ray engine: first on a stand-in whose tasks run at once, then on a real cluster that loses a node."""

from __future__ import annotations

import contextlib
import functools
import importlib.machinery
import importlib.util
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import threading
import types
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch

from smaller import study
from smaller.base.errors import SmallerError
from smaller.base.progress import Say, silent
from smaller.base.settings import ON_EVERY_NODE, changed
from smaller.data.sets import EvaluationSet
from smaller.encoders import Model
from smaller.study import cache, results
from smaller.study.engines import ray_cluster, ray_node
from smaller.study.jobs import Job
from smaller.study.recipes import Recipe, dense, pruned_after, pruning_grid
from smaller.study.steps import FineTune, Pretrain, Prune, Quantize, Step
from smaller.study.steps.base import STEPS

TUNE = FineTune("sample", "swa", epochs=1, learning_rate=3e-3, batch_size=16)
PRETRAIN = Pretrain(languages=("swa",), updates=2, batch_size=4)
UNEQUAL = ["milliseconds", "milliseconds_low", "milliseconds_high", "training_seconds", "scoring_seconds", "device"]

pytestmark = pytest.mark.usefixtures("fresh_folders")


# The stand-in


class Task:
    """What a task answered: all of it is known when the task begins."""

    def __init__(self, answers: list) -> None:
        self.answers = answers

    def __next__(self) -> list:
        if not self.answers:
            raise StopIteration
        return [self.answers.pop(0)]


class StandIn(types.ModuleType):
    """As much of Ray as the engine asks for: nodes with caches of their own, which take the tasks in turn.

    `deaths` says after how many answers the next tasks die, one number for each, None for a task that lives. Of the
    nodes in `gone` nothing can be had any more.
    """

    class RayError(Exception):
        pass

    class NodeDiedError(RayError):
        pass

    class RayTaskError(RayError):
        pass

    class RuntimeEnvSetupError(RayError):
        pass

    def __init__(self, folder: Path, head: socket.socket, *, nodes: int = 2) -> None:
        super().__init__("ray")
        self.__spec__ = importlib.machinery.ModuleSpec("ray", None)
        self.exceptions = self
        self.WorkerCrashedError = self.ObjectLostError = self.OutOfMemoryError = self.NodeDiedError
        self.TaskCancelledError = self.NodeDiedError
        strategies = types.SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node, soft: node)
        self.util = types.SimpleNamespace(scheduling_strategies=strategies)
        self.can_grow: dict = {}
        state = types.SimpleNamespace(get_max_resources_from_cluster_config=lambda: self.can_grow)
        self._private = types.SimpleNamespace(state=types.SimpleNamespace(state=state))
        self.address = f"127.0.0.1:{head.getsockname()[1]}"
        self.gone: set[str] = set()
        self.calls: list[tuple[str, str]] = []
        self.folder, self.count, self.turn = folder, nodes, itertools.count()
        self.resources: dict[str, float] = {"CPU": 2.0}
        self.deaths: list[int | None] = []
        self.begun: list[tuple[str, dict]] = []
        self.ended: list[Task] = []
        self.options_given: dict = {}
        self.here = "the study's node"
        self.joined: list[tuple] = []
        self.one_cache = False
        self.answers: list[dict] = []

    def is_initialized(self) -> bool:
        return bool(self.joined)

    def init(self, address: str, **options: object) -> types.SimpleNamespace:
        self.joined.append((address, options))
        return types.SimpleNamespace(dashboard_url="127.0.0.1:8265")

    def get_runtime_context(self) -> types.SimpleNamespace:
        return types.SimpleNamespace(get_node_id=lambda: self.here, gcs_address=self.address)

    def cluster_resources(self) -> dict[str, float]:
        return self.resources

    def nodes(self) -> list[dict]:
        return [{"Alive": True, "NodeID": f"node {n}", "Resources": self.resources} for n in range(self.count)]

    def put(self, value: object) -> list:
        return [value]

    def get(self, reference: list, timeout: float | None = None) -> object:
        (value,) = reference
        if isinstance(value, Exception):
            raise value
        return value

    def wait(self, tasks: list, **_: object) -> tuple[list, list]:
        return tasks[:1], tasks[1:]

    def cancel(self, task: Task, *, force: bool) -> None:
        self.ended.append(task)

    def remote(self, work: Callable | None = None, *, max_calls: int = 0) -> object:
        if work is None:
            return functools.partial(self.remote, max_calls=max_calls)
        if work is ray_node.work:
            self.max_calls = max_calls
        return types.SimpleNamespace(options=functools.partial(self._options, work))

    def _options(self, work: Callable, **options: object) -> types.SimpleNamespace:
        if work is ray_node.work:
            self.options_given = options
            return types.SimpleNamespace(remote=self._begin)
        return types.SimpleNamespace(remote=functools.partial(self._call, work, options["scheduling_strategy"]))

    def _call(self, call: Callable, node: str, *arguments: object) -> list:
        self.calls.append((call.__name__, node))
        if node in self.gone:
            return [self.NodeDiedError("gone")]
        with self._at(node):
            return [call(*json.loads(json.dumps(arguments)))]

    @contextlib.contextmanager
    def _at(self, node: str) -> Iterator[None]:
        study, self.here = self.here, self.here if self.one_cache else node
        with contextlib.nullcontext() if self.one_cache else changed(SMALLER_CACHE=str(self.folder / node)):
            yield
        self.here = study

    def _begin(self, order: dict, kept: list) -> Task:
        node = f"node {next(self.turn) % self.count}"
        order = json.loads(json.dumps(order))  # plain values, or it fails
        self.begun.append((node, order))
        death = self.deaths.pop(0) if self.deaths else None
        for name in [name for name, kind in STEPS.items() if not kind.__module__.startswith("smaller.")]:
            del STEPS[name]  # which no node knows
        with self._at(node):
            task = ray_node.work(order, kept)
            answers = [next(task)]
            with contextlib.suppress(StopIteration):
                while True:
                    answers.append(task.send("what Ray sends"))
        self.answers += answers
        return Task(answers if death is None else [*answers[:death], self.NodeDiedError("gone")])


@pytest.fixture
def ray(tmp_path: Path, few_sentences: None, own_engine: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    names = (*ON_EVERY_NODE, "SMALLER_RAY_CPUS", "SMALLER_RAY_GPUS", "SMALLER_RAY_ADDRESS")
    names += ("RAY_USAGE_STATS_ENABLED", "RAY_AUTH_MODE", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")
    with socket.create_server(("127.0.0.1", 0)) as head, changed(**dict.fromkeys(names)):
        found = StandIn(tmp_path / "no des", head)
        for name in ("ray", "ray.exceptions", "ray.util", "ray.util.scheduling_strategies"):
            monkeypatch.setitem(sys.modules, name, found)
        yield found


@dataclass(frozen=True)
class Outside(Step):
    """A step from outside of the package: it leaves the model as it is, or fails."""

    told: str = ""
    fault: bool = False
    trains: ClassVar[bool] = True

    def apply(self, model: Model, *, say: Say = silent, scratch: Path | None = None) -> tuple[Model, dict]:
        if self.told:
            raise SmallerError(self.told)
        return model.copy(), {"value": 1 / (not self.fault)}


def run(recipes: list[Recipe], **options: object) -> pd.DataFrame:
    return study.run(recipes, engine="ray", **{"say": silent} | options)


def recipes_of(encoder: str, tuning: FineTune = TUNE) -> list[Recipe]:
    """Seven recipes on five trained prefixes, one of which has a child."""
    tunings = [tuning, replace(tuning, seed=2)]
    return [
        *pruning_grid(encoder, tunings[:1], [0, 0.5, 0.9]),
        *(Recipe(encoder, (PRETRAIN, tuning)) for tuning in tunings),
    ]


# What comes back


def test_table_is_that_of_the_local_engine_and_each_prefix_is_trained_once(
    tiny_folder: str, ray: StandIn, trained: list[Step], tmp_path: Path
) -> None:
    recipes, lines = recipes_of(tiny_folder), []
    table = run(recipes, say=lines.append)
    assert Counter(trained) == {PRETRAIN: 1, TUNE: 4, replace(TUNE, seed=2): 1}
    assert lines[0] == f"joined the Ray cluster at {ray.address}; its dashboard is at http://127.0.0.1:8265"
    assert {node for node, _ in ray.begun} == {"node 0", "node 1"}
    before = records()
    assert len(before) == 7
    kept = {place.name for place in cache.kept()}
    assert kept == {job.prefix.identity for job in study.plan(recipes)}
    assert all((tmp_path / "no des" / node / "artefacts").is_dir() for node in ("node 0", "node 1"))

    assert len(run(recipes)) == len(table) and records() == before and len(ray.joined) == 1
    others = {f"SMALLER_{name}": str(tmp_path / "others" / name) for name in ("OUTPUTS", "CACHE")}
    with changed(**others):
        local = study.run(recipes, engine="local", workers=1, say=silent)
    pd.testing.assert_frame_equal(table.drop(columns=UNEQUAL), local.drop(columns=UNEQUAL), check_exact=True)


def records() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in results.folder().iterdir()}


def test_prefix_that_the_study_has_travels_to_the_node_that_needs_it(
    tiny_folder: str, ray: StandIn, trained: list[Step]
) -> None:
    run([dense(tiny_folder, TUNE)])
    run([pruned_after(tiny_folder, Prune(0.5), TUNE)])
    assert [node for node, _ in ray.begun] == ["node 0", "node 1"] and len(trained) == 1
    assert [order["wants_prefix"] for _, order in ray.begun] == [True, False]


def test_node_with_the_cache_of_the_study_sends_no_files(tiny_folder: str, ray: StandIn, trained: list[Step]) -> None:
    ray.one_cache, ray.count = True, 1
    assert len(run(recipes_of(tiny_folder))) == 14
    assert {answer["files"] for answer in ray.answers if "made" in answer} == {None} and len(trained) == 6


def test_parent_that_is_kept_is_no_task(tiny_folder: str, ray: StandIn, trained: list[Step]) -> None:
    parent = Recipe(tiny_folder, (PRETRAIN,))
    study.materialise(parent)
    run([parent.then(TUNE)])
    assert len(ray.begun) == 1 and trained == [PRETRAIN, TUNE]


def test_new_sets_are_scored_and_the_rest_of_the_record_stays(
    tiny_folder: str, ray: StandIn, trained: list[Step]
) -> None:
    recipe = dense(tiny_folder, TUNE)
    study.run([recipe], engine="local", workers=1, say=silent)
    before = results.read(recipe)
    assert len(run([recipe], sets=[EvaluationSet("sample", "yor")])) == 3
    after = results.read(recipe)
    assert after["scores"].pop("sample/yor/test")["data"] == EvaluationSet("sample", "yor").checksum()
    assert after == before and len(trained) == 1


def test_record_of_another_study_is_not_written_over(tiny_folder: str, few_sentences: None) -> None:
    recipe = dense(tiny_folder, TUNE)
    study.run([recipe], workers=1, say=silent)
    mine = results.read(recipe)
    before = records()
    ray_cluster._keep_record(recipe, mine | {"provenance": {}})
    assert records() == before
    ray_cluster._keep_record(recipe, mine | {"scores": {"sample/yor/test": {"data": "x"}}, "provenance": {}})
    assert results.read(recipe) == mine | {"scores": mine["scores"] | {"sample/yor/test": {"data": "x"}}}


def test_step_from_outside_of_the_package_is_known_on_the_node(tiny_folder: str, ray: StandIn) -> None:
    recipe = Recipe(tiny_folder, (Outside(),))
    run([recipe])
    assert results.read(recipe)["steps"][0]["report"]["value"] == 1.0 and STEPS["Outside"] is Outside


# What is lost


def test_lost_job_is_done_again_without_what_had_come(tiny_folder: str, ray: StandIn, trained: list[Step]) -> None:
    recipes = [dense(tiny_folder, TUNE), *(pruned_after(tiny_folder, Prune(part), TUNE) for part in (0.5, 0.9))]
    ray.deaths = [3]  # the node has told of itself, the prefix has come, and the first record
    lines: list[str] = []
    assert len(run(recipes, say=lines.append)) == 6
    assert lines[1] == f"{recipes[0]}: a worker or its node was lost (NodeDiedError), so this is done again"
    assert [len(order["recipes"]) for _, order in ray.begun] == [3, 2]
    assert len(trained) == 1 and not ray.begun[1][1]["wants_prefix"]


def test_job_that_was_lost_before_it_answered_is_done_again(tiny_folder: str, ray: StandIn, trained: list) -> None:
    ray.deaths = [0, 0, 0]
    assert len(run([dense(tiny_folder, TUNE)])) == 2
    assert len(ray.begun) == 4


def test_job_that_was_lost_after_all_had_come_is_done(tiny_folder: str, ray: StandIn, trained: list) -> None:
    ray.deaths = [3]
    assert len(run([dense(tiny_folder, TUNE)])) == 2
    assert len(ray.begun) == 1


def test_cluster_that_loses_all_its_nodes_is_an_error(tiny_folder: str, ray: StandIn) -> None:
    def wait(tasks: list, **_: object) -> tuple[list, list]:
        ray.count = 0
        return [], tasks

    ray.wait = wait
    with pytest.raises(SmallerError, match="No node of the Ray cluster has room for a task"):
        run([dense(tiny_folder, TUNE)])
    assert len(ray.ended) == 1


def test_cluster_that_loses_its_head_is_an_error(tiny_folder: str, ray: StandIn) -> None:
    ray.wait = lambda tasks, **_: ([], tasks)
    with socket.create_server(("127.0.0.1", 0)) as head:
        ray.address = f"127.0.0.1:{head.getsockname()[1]}"
    with pytest.raises(
        SmallerError, match=f"^The head of the Ray cluster at {ray.address} is gone. Finished records are"
    ):
        run([dense(tiny_folder, TUNE)])
    with pytest.raises(SmallerError, match="is gone.* in a new process"):
        run([dense(tiny_folder, TUNE)])
    assert len(ray.begun) == 1


def test_head_that_is_gone_is_said_while_ray_waits_for_it(ray: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "PATIENCE", 0.01)
    heard, lines = threading.Event(), []
    with socket.create_server(("127.0.0.1", 0)) as head:
        ray.address = f"127.0.0.1:{head.getsockname()[1]}"
    with ray_cluster._watched(ray, lambda line: (lines.append(line), heard.set())):
        assert heard.wait(30)
    assert lines[0].startswith(f"The head of the Ray cluster at {ray.address} is gone.")


def test_job_without_memory_is_done_again_with_a_whole_card(
    tiny_folder: str, ray: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray.resources, work, shares = {"CPU": 8.0, "GPU": 1.0}, ray_node._do, []

    def full(*arguments: object, **options: object) -> None:
        shares.append(ray.options_given["num_gpus"])
        if "seed 2" in arguments[0].prefix.label and shares[-1] < least:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried.")
        work(*arguments, **options)

    monkeypatch.setattr(ray_node, "_do", full)
    recipes, lines = [dense(tiny_folder, replace(TUNE, seed=seed)) for seed in (1, 2, 3)], []
    least = 1
    assert len(run(recipes, say=lines.append)) == 6
    assert sorted(shares) == [0.25, 0.25, 0.25, 1.0] and ray.max_calls == 1
    assert lines[1].startswith(f"{recipes[1]} ran out of the GPU's memory") and lines[1].endswith("with a whole GPU.")
    least = 2
    with pytest.raises(SmallerError, match="seed 2.* ran out of the GPU's memory"):
        run([recipe.then(Prune(0.5)) for recipe in recipes])


def test_task_that_says_nothing_is_done_again(tiny_folder: str, ray: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, wait, lines = itertools.count(step=100), ray.wait, []
    monkeypatch.setattr(ray_cluster.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(ray_cluster, "_require_head", lambda ray: None)

    def silence(tasks: list, **_: object) -> tuple[list, list]:
        # Once it has told of its node it says no more, until it is ended.
        hung = [task for task in tasks if len(task.answers) < 3 and task not in ray.ended and len(ray.begun) == 1]
        if hung or not tasks[0].answers:
            tasks[0].answers[:] = [ray.NodeDiedError("ended")] * bool(ray.ended)
        return ([], tasks) if hung else wait(tasks)

    ray.wait = silence
    with changed(SMALLER_RAY_MINUTES="5"):
        assert len(run([dense(tiny_folder, TUNE)], say=lines.append)) == 2
    assert len(ray.ended) == 1 and len(ray.begun) == 2 and "was lost (NodeDiedError)" in lines[1]


# Prefixes stay where they were made


@pytest.fixture
def full_cache() -> Iterator[None]:
    with changed(SMALLER_CACHE_GB="0"):
        yield


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """No prefix comes to this machine unless it is asked for; nodes have room."""
    monkeypatch.setattr(ray_cluster.cache, "kept", lambda: {Path("else"): 1e12})


def test_prefix_goes_from_node_to_node(tiny_folder: str, ray: StandIn, trained: list[Step], no_room: None) -> None:
    recipes = recipes_of(tiny_folder)
    assert len(run(recipes)) == 14
    assert Counter(trained) == {PRETRAIN: 1, TUNE: 4, replace(TUNE, seed=2): 1}
    assert {answer["files"] for answer in ray.answers if "made" in answer} == {None}
    assert not list(cache.folder().glob("[!.]*")) and ("files", "node 1") in ray.calls + [("files", "node 1")]
    # A later study finds them on the nodes, and so does what is asked for here.
    ray.calls.clear()
    run([recipes[0].then(Quantize("fp16"))])
    assert len(trained) == 6 and ("kept", "node 0") in ray.calls and ("files", "node 0") in ray.calls
    with changed(SMALLER_RAY_ADDRESS=ray.address):
        run([recipes[0]])
    study.materialise(recipes[0])
    assert len(trained) == 6 and [place.name for place in cache.folder().glob("[!.]*")] == [recipes[0].identity]


def test_prefix_that_is_lost_with_its_node_is_made_once_more(
    tiny_folder: str, ray: StandIn, trained: list[Step], no_room: None
) -> None:
    recipes = [Recipe(tiny_folder, (PRETRAIN, replace(TUNE, seed=seed))) for seed in (1, 2, 3)]
    ray.gone = {"node 0"}  # it did the parent, and nothing that it has can be had
    assert len(run(recipes)) == 6
    assert trained.count(PRETRAIN) == 2 and trained.count(TUNE) == 1


# Nodes


def test_nodes_of_two_kinds_are_told(tiny_folder: str, ray: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    told, recipes = ray_node.about, [dense(tiny_folder, replace(TUNE, seed=seed)) for seed in (1, 2)]

    def about() -> dict:
        found = told()
        if ray.here == "node 1":
            found |= {"node": "other", "device": "B", "arithmetic": found["arithmetic"] | unlike}
        return found

    monkeypatch.setattr(ray_node, "about", about)
    unlike, lines = {"mixed_precision": "half"}, []
    with pytest.raises(SmallerError, match=r"differ in mixed_precision: .* \(.*\) has .*, and other \(B\) has half\."):
        run(recipes)
    unlike = {}
    assert len(run([recipe.then(TUNE) for recipe in recipes], say=lines.append)) == 4
    assert "other has another device than other nodes: B; its records say so" in lines


def test_cluster_that_grows_is_waited_for(tiny_folder: str, ray: StandIn) -> None:
    ray.can_grow, ray.count, lines, nodes = {"CPU": 4}, 0, [], ray.nodes
    ray.nodes = lambda: nodes() if len(ray.begun) else []
    ray.count = 2
    assert len(run([dense(tiny_folder, TUNE)], say=lines.append)) == 2
    assert lines[1] == (
        "no node of the Ray cluster has room yet for a task, which takes 1 processor cores and 0 GPUs: it may start one"
    )


def test_job_that_is_lost_again_and_again_is_an_error(tiny_folder: str, ray: StandIn) -> None:
    ray.deaths = [0] * 4
    with pytest.raises(SmallerError, match=r"was lost \(NodeDiedError\) while it was at .*, 4 times; .* little memory"):
        run([dense(tiny_folder, TUNE)])


def test_mistake_is_told_in_its_own_words_once_and_ends_the_other_tasks(tiny_folder: str, ray: StandIn) -> None:
    told = "The encoder folder holds no weights."
    with pytest.raises(SmallerError, match=f"^{told}$"):
        run(
            [Recipe(tiny_folder, (Outside(told), replace(TUNE, seed=seed))) for seed in (1, 2)]
            + [dense(tiny_folder, TUNE)]
        )
    assert len(ray.begun) == len(ray.ended) == 2
    assert results.read_all() == []


def test_fault_of_the_program_names_its_job(tiny_folder: str, ray: StandIn) -> None:
    with pytest.raises(SmallerError, match="Outside: ZeroDivisionError: division by zero"):
        run([Recipe(tiny_folder, (Outside(fault=True),))])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("RayTaskError", "A node of the Ray cluster cannot do a task: No module named 'smaller'. Is this package"),
        ("RayError", r"The Ray cluster failed \(RayError: trouble\). Finished records are safe: run again"),
    ],
)
def test_trouble_of_ray_itself(kind: str, message: str, tiny_folder: str, ray: StandIn) -> None:
    text = "trouble\n  No module named 'smaller'."
    ray._begin = lambda *_: Task([getattr(ray, kind)(text)])
    with pytest.raises(SmallerError, match=message):
        run([dense(tiny_folder, TUNE)])


# What a node holds against its orders


def order_of(recipe: Recipe, **changes: object) -> dict:
    job = Job(recipe, (recipe,), None, (EvaluationSet("sample", "yor"),))
    checksums = ray_node.checksums((recipe,), job.sets)
    plain = {"label": "", "prefix": recipe.canonical(), "recipes": [recipe.canonical()], "sets": ["sample/yor/test"]}
    found = plain | {
        "versions": ray_node.about()["shared"],
        "checksums": checksums,
        "records": [],
        "wants_prefix": True,
        "place": ["", ""],
    }
    return found | changes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"versions": {"smaller": "0"}}, r"has smaller .* and the study has 0\. Install the same one on every node"),
        ({"versions": {"torch": "2.0"}}, r"has torch .* and the study has 2\.0\. Install the same one"),
        ({"checksums": {"sample/swa": "x"}}, r"has another sample/swa than the study: its checksum is \w+, .* is x\."),
        ({"checksums": {"sample/yor/test": "x"}}, r"has another sample/yor/test than the study"),
    ],
)
def test_node_that_differs_says_so_before_it_trains(
    changes: dict, message: str, tiny_folder: str, trained, ray
) -> None:
    begun, answer = ray_node.work(order_of(dense(tiny_folder, TUNE), **changes), [])
    assert (list(begun), list(answer)) == (["begun"], ["error", "memory"])
    assert re.search("^The node .* " + message, answer["error"])
    assert trained == []


def test_node_without_the_encoder_says_so(tiny_folder: str, ray: StandIn) -> None:
    order = order_of(dense(tiny_folder, TUNE))
    for form in (order["prefix"], *order["recipes"]):
        form["encoder"] = "/nowhere/encoder"
    _, answer = ray_node.work(order, [])
    assert "lacks what the study reads: There is no encoder '/nowhere/encoder'" in answer["error"]


def test_results_folder_of_a_node_is_a_temporary_one(tiny_folder: str, ray: StandIn) -> None:
    answers = list(ray_node.work(order_of(dense(tiny_folder, TUNE)), []))
    assert [next(iter(answer)) for answer in answers][-3:] == ["made", "finished", "done"]
    assert answers[-2]["record"]["scores"].keys() == {"sample/swa/dev", "sample/swa/test", "sample/yor/test"}
    assert isinstance(answers[-3]["files"]["model.safetensors"], np.ndarray)
    assert results.read_all() == []


# Cluster and resources


@pytest.mark.parametrize(
    ("resources", "settings", "share", "room"),
    [
        ({"CPU": 3.0}, {}, (1, 0), 6),
        ({"CPU": 8.0, "GPU": 1.0}, {}, (1, 0.25), 8),
        ({"CPU": 8.0, "GPU": 1.0}, {"SMALLER_RAY_GPUS": "1", "SMALLER_RAY_CPUS": "2"}, (2, 1), 2),
        ({"CPU": 8.0, "GPU": 1.0}, {"SMALLER_RAY_GPUS": "0"}, (1, 0), 16),
    ],
)
def test_share_of_a_task(resources: dict, settings: dict, share: tuple, room: int, ray: StandIn) -> None:
    ray.resources = resources
    with changed(**settings, SMALLER_DATA="/data"):
        cluster = ray_cluster._Cluster(ray, alone=True)
    assert (cluster.share["CPU"], cluster.share["GPU"]) == share and cluster.room() == room
    assert ray.max_calls == (1 if share[1] else 0), "a process that worked on one card would see another one"


def test_variables_of_every_node(tiny_folder: str, ray: StandIn) -> None:
    with changed(HF_HUB_CACHE="/hub", HF_TOKEN="x", SMALLER_CACHE_GB="3"):
        run([dense(tiny_folder, TUNE)])
    told = ray.options_given["runtime_env"]["env_vars"]
    assert (told["HF_HUB_CACHE"], told["HF_TOKEN"], told["SMALLER_CACHE_GB"]) == ("/hub", "x", "3")
    assert "SMALLER_CACHE" not in told and "SMALLER_OUTPUTS" not in told


def test_cluster_without_room_is_told_before_anything_begins(tiny_folder: str, ray: StandIn) -> None:
    told = "No node of the Ray cluster has room for a task, which takes 1 .* 1 GPUs"
    with changed(SMALLER_RAY_GPUS="1"), pytest.raises(SmallerError, match=told):
        run([dense(tiny_folder, TUNE)])
    assert ray.begun == []


def test_cluster_of_its_own_is_on_loopback(ray: StandIn) -> None:
    ray_cluster._joined(None, silent)
    assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    ((address, options),) = ray.joined
    assert address == "local" and options["dashboard_host"] == "127.0.0.1"


def test_process_joins_one_cluster(ray: StandIn) -> None:
    lines: list[str] = []
    for address in (ray.address, ray.address, "auto", None):
        ray_cluster._joined(address, lines.append)
    assert [address for address, _ in ray.joined] == [ray.address] and len(lines) == 1
    with pytest.raises(SmallerError, match=f"has joined the Ray cluster at {ray.address}, and cannot join other:1"):
        ray_cluster._joined("other:1", silent)


def test_cluster_that_does_not_answer(ray: StandIn) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("Failed to connect.\nMore.")

    ray.init = fail
    with pytest.raises(SmallerError, match=r"^There is no Ray cluster at 10.0.0.9:1: Failed to connect\.$"):
        ray_cluster._joined("10.0.0.9:1", silent)


# A real cluster, in a process of its own (this file, run as a script)


SETS = [EvaluationSet("sample", "yor"), EvaluationSet("sample", "bam")]
SLOWER = replace(TUNE, batch_size=250)


def main(encoder: str, folder: Path) -> None:
    """Run the study on two nodes with caches of their own; the second one that has trained a prefix is killed."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    import psutil
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    common = {"node_ip_address": "127.0.0.1", "object_store_memory": 80_000_000, "include_log_monitor": False}
    cluster.add_node(num_cpus=0, include_dashboard=False, **common)  # the study's own, which takes no tasks
    nodes = {}
    for name in ("one", "two"):
        folders = {"SMALLER_CACHE": str(folder / name / "ca che"), "SMALLER_OUTPUTS": str(folder / name / "out puts")}
        nodes[name] = cluster.add_node(num_cpus=1, env_vars=folders, **common)
    keep, said, killed = ray_cluster._keep_prefix, [], []

    def keep_and_kill(prefix: Recipe, files: dict | None) -> None:
        keep(prefix, files)
        # Its scores are still to come, so the node is in the middle of the job.
        if prefix.fine_tuning and files is not None and not killed:
            (name,) = (name for name in nodes if (folder / name / "ca che" / "artefacts" / prefix.identity).is_dir())
            killed.append(name)
            cluster.remove_node(nodes[name], allow_graceful=False)

    ray_cluster._keep_prefix = keep_and_kill
    recipes = recipes_of(encoder, SLOWER)
    study.run(recipes, sets=SETS, engine="ray", address=cluster.address, say=said.append)
    study.run([Recipe(encoder, (Outside(),))], engine="ray", address=cluster.address, say=silent)  # of __main__ here
    family = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = {
        connection.laddr.ip.removeprefix("::ffff:")
        for process in family
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    sys.stdout.write("\n" + json.dumps({"said": said, "killed": killed, "listening": sorted(listening)}) + "\n")
    sys.stdout.flush()
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: pip install -e '.[cluster]'")
def test_real_cluster_that_loses_a_node_gives_the_table_of_the_local_engine(tiny_folder: str, tmp_path: Path) -> None:
    script = subprocess.run(
        [sys.executable, __file__, tiny_folder, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "RAY_AUTH_TOKEN": 2 * "0123456789abcdef"},
    )
    assert script.returncode == 0, script.stdout + script.stderr
    seen = json.loads(next(line for line in script.stdout.splitlines() if line.startswith('{"said"')))
    assert seen["listening"] == ["127.0.0.1"], "it listens beyond loopback"
    assert len(seen["killed"]) == 1
    assert any("a worker or its node was lost" in line for line in seen["said"]), seen["said"]

    assert results.read(Recipe(tiny_folder, (Outside(),)))["steps"][0]["report"]["value"] == 1.0
    recipes = recipes_of(tiny_folder, SLOWER)
    table, found = study.table(recipes, sets=SETS), [results.read(recipe) for recipe in recipes]
    assert {place.name for place in cache.kept()} > {job.prefix.identity for job in study.plan(recipes)}
    # A prefix was trained once if all that was made of it tells of the same training, down to its seconds.
    reports: dict[str, set[str]] = {}
    for recipe, record in zip(recipes, found, strict=True):
        for prefix in recipe.prefixes():
            if prefix.steps and prefix.steps[-1].trains:
                report = json.dumps(record["steps"][len(prefix.steps) - 1])
                reports.setdefault(prefix.identity, set()).add(report)
    assert {len(trainings) for trainings in reports.values()} == {1}
    for identity, (report,) in reports.items():  # nor was it trained again after it had come to the study
        about = json.loads((cache.folder() / identity / cache.ABOUT).read_bytes())
        assert json.dumps(about["reports"][-1]) == report

    others = {f"SMALLER_{name}": str(tmp_path / "others" / name) for name in ("OUTPUTS", "CACHE")}
    with changed(**others, OMP_NUM_THREADS="1"):
        local = study.run(recipes, sets=SETS, engine="local", workers=2, say=silent)
    pd.testing.assert_frame_equal(table.drop(columns=UNEQUAL), local.drop(columns=UNEQUAL), check_exact=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
