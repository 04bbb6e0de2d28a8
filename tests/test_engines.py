"""The engines: which one is meant, what can begin when, and the deaths and errors of the local one's workers."""

from __future__ import annotations

import importlib.machinery
import itertools
import json
import os
import shutil
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from pretend_device import pretend_device

from smaller import encoders, study
from smaller.__main__ import main
from smaller.base import forks, settings
from smaller.base.errors import SmallerError
from smaller.base.progress import Say, silent
from smaller.base.settings import changed
from smaller.encoders.device import card_memory
from smaller.study import cache, engines, results
from smaller.study.engines import local, ray_cluster
from smaller.study.engines.base import Agenda
from smaller.study.engines.local import Worker
from smaller.study.jobs import Job, Listener
from smaller.study.recipes import Recipe, dense, pruning_grid
from smaller.study.steps import FineTune, Pretrain

TUNE = FineTune("sample", "swa", epochs=1, learning_rate=1e-3, batch_size=16)

pytestmark = pytest.mark.usefixtures("fresh_folders")


# Which engine


@pytest.fixture(autouse=True)
def no_settings(own_engine: None) -> Iterator[None]:
    with changed(SMALLER_ENGINE=None, SMALLER_RAY_ADDRESS=None, SMALLER_WORKERS=None):
        yield


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Says whether Ray is installed: as far as an import gets before the module is run."""

    def say(there: bool) -> None:
        module = types.ModuleType("ray")
        module.__spec__ = importlib.machinery.ModuleSpec("ray", None)
        monkeypatch.setitem(sys.modules, "ray", module if there else None)

    return say


def test_engine_by_name_or_setting(installed: Callable[[bool], None]) -> None:
    installed(True)
    assert engines.engine() is engines.engine("local") is local.run
    assert engines.engine("ray").func is ray_cluster.run and engines.engine("ray").keywords == {"address": None}
    with changed(**settings.with_engine("ray", "10.0.0.1:6379")):
        assert engines.engine().keywords == {"address": "10.0.0.1:6379"}
        assert engines.engine(address="auto").keywords == {"address": "auto"}
        assert engines.engine("local") is local.run


def test_models_come_from_the_cluster_of_the_engine_that_was_asked_for_last(installed, monkeypatch) -> None:
    """A local study asked the cluster of the one before it for each model."""
    installed(True)
    asked: list[str] = []
    monkeypatch.setattr(ray_cluster, "bring", lambda recipe, *, address: asked.append(address) or True)
    found = []
    for name, address in (("ray", "one:1"), ("ray", "two:2"), ("local", None), ("ray", None)):
        engines.engine(name, address=address)
        found.append(cache.brought(Recipe("sample-small")))
    assert (asked, found) == (["one:1", "two:2"], [True, True, False, False])


@pytest.mark.parametrize(
    ("name", "address", "message"),
    [
        ("rya", None, "There is no engine 'rya'; there are local, ray. Did you mean 'ray'?"),
        ("local", "auto", "The address auto is that of a Ray cluster, which takes the engine ray"),
        ("ray", "ray://head:10001", "HOST:PORT, or auto; it is ray://head:10001"),
    ],
)
def test_engine_that_is_not_there(name: str, address: str | None, message: str, installed) -> None:
    installed(True)
    with pytest.raises(SmallerError) as caught:
        engines.engine(name, address=address)
    assert message in str(caught.value)


def test_without_ray_one_sentence_says_how_to_install_it(installed, tiny_folder: str) -> None:
    installed(False)
    with pytest.raises(SmallerError, match=r"needs Ray, which is not installed here: pip install -e '.\[cluster\]'"):
        study.run([dense(tiny_folder, TUNE)], engine="ray", say=silent)
    assert results.read_all() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "rya"], "smaller: There is no engine 'rya'; there are local, ray. Did you mean 'ray'?"),
        (["--address", "auto"], "takes the engine ray (--engine ray)"),
        (["--engine", "ray"], "needs Ray, which is not installed"),
    ],
)
def test_command_tells_a_mistake_before_a_kernel_starts(options: list, message: str, installed, capsys) -> None:
    installed(False)
    assert main(["study", *options]) == 2
    said = capsys.readouterr()
    assert message in said.err and "notebook 1 of" not in said.out


# What can begin when


def test_agenda_gives_parents_first_and_children_once() -> None:
    pretrained = Recipe("sample-small", (Pretrain(),))
    children = [pretrained.then(replace(TUNE, seed=seed)) for seed in (1, 2)]
    outsider = dense("mbert", TUNE)
    agenda = Agenda(study.plan([*children, outsider]))
    assert [agenda.take().prefix, agenda.take().prefix, agenda.take()] == [pretrained, outsider, None]
    assert not agenda.empty
    agenda.made(pretrained)
    agenda.made(pretrained)
    first = agenda.take()
    agenda.again(first)
    assert [agenda.take(), agenda.take().prefix, agenda.take()] == [first, children[1], None]
    assert agenda.empty


def test_parent_that_is_no_job_keeps_nobody_waiting() -> None:
    pretrained = Recipe("sample-small", (Pretrain(),))
    job = Job(pretrained.then(TUNE), (), pretrained)
    assert Agenda([job]).take() == job


# Workers of the local engine: first some that only act as if


def jobs_of(*seeds: int) -> list[Job]:
    recipes = [dense("sample-small", replace(TUNE, seed=seed)) for seed in seeds]
    return [Job(recipe, (recipe,), None) for recipe in recipes]


class Acting(list):
    """Starts workers that only act as if: what they do for each job that they read is given. A list of them."""

    def __init__(self, body: str) -> None:
        code = "import json, os, sys, time\ndef say(**answer): print(json.dumps(answer), flush=True)\n"
        self.command = [sys.executable, "-c", f"{code}for line in sys.stdin:\n    job = json.loads(line)\n    {body}\n"]

    def start(self, *, threads: int, card: str | None) -> Worker:
        self.append(Worker(threads=threads, card=card, command=self.command))
        return self[-1]

    def run(
        self, jobs: list[Job], *, listener: Listener = lambda recipe: None, say: Say = silent, workers: int = 2
    ) -> None:
        local.in_processes(jobs, workers=workers, listener=listener, say=say, start=self.start)

    @property
    def gone(self) -> bool:
        return len(self) == 2 and all(worker.process.poll() is not None for worker in self)


def test_error_of_a_worker_has_its_own_words_and_stops_the_others_at_once() -> None:
    acting = Acting(
        "time.sleep(600) if 'seed 1' in job['label'] else say(error='The encoder folder holds no weights.')"
    )
    began = time.monotonic()
    with pytest.raises(SmallerError, match="^The encoder folder holds no weights.$"):
        acting.run(jobs_of(1, 2, 3))
    assert time.monotonic() - began < 60
    assert acting.gone


@pytest.mark.parametrize(
    ("ending", "code"), [("os._exit(7)", 7), ("(sys.stdout.write('{\"fini'), sys.stdout.flush(), os._exit(9))", 9)]
)
def test_worker_that_dies_names_what_it_was_at(ending: str, code: int) -> None:
    acting = Acting(ending)
    with pytest.raises(SmallerError) as caught:
        acting.run(jobs_of(1))
    assert f"ended while it was at sample-small: Pretrain > FineTune(sample/swa, seed 1) (exit code {code})" in str(
        caught.value
    )
    assert "SMALLER_WORKERS=1" in str(caught.value)
    assert acting.gone


def test_interrupt_stops_the_workers_at_once() -> None:
    acting = Acting("say(said='at it') if 'seed 1' in job['label'] else None; time.sleep(600)")
    began = time.monotonic()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background would not hear it
    main_thread = threading.main_thread().ident
    try:
        with pytest.raises(KeyboardInterrupt):
            acting.run(jobs_of(1, 2), say=lambda line: signal.pthread_kill(main_thread, signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 60
    assert acting.gone


def test_children_wait_for_their_parents() -> None:
    jobs = study.plan(pruning_grid("sample-small", [TUNE, replace(TUNE, seed=2)], [0, 0.5]))
    order: list[str] = []
    Acting("say(said=job['label']); time.sleep(0.05); say(done=True)").run(jobs, say=order.append)
    assert sorted(order) == sorted(job.prefix.label for job in jobs)
    assert order[0] == "sample-small: Pretrain"


def test_listener_hears_of_every_recipe() -> None:
    identities = {recipe.label: recipe.identity for job in jobs_of(1, 2, 3) for recipe in job.recipes}
    heard: list[Recipe] = []
    acting = Acting(f"say(finished={identities!r}[job['label']]); say(done=True)")
    acting.run(jobs_of(1, 2, 3), listener=heard.append)
    assert {recipe.identity for recipe in heard} == set(identities.values())


# Cards


@pytest.fixture
def two_cards(tmp_path: Path) -> Iterator[None]:
    """Two cards with room for two workers each, on a machine without the driver's tool."""
    with changed(CUDA_VISIBLE_DEVICES="3,GPU-8932f937", PATH=str(tmp_path)), pretend_device(cards=2, memory=30e9):
        yield


def test_workers_are_spread_over_the_cards_and_see_one_each(two_cards: None) -> None:
    assert (local.workers_for(None, jobs_of(*range(9))), local.workers_for(None, jobs_of(1, 2))) == (4, 2)
    seen: list[str] = []
    acting = Acting("say(said=os.environ['CUDA_VISIBLE_DEVICES']); time.sleep(0.2); say(done=True)")
    acting.run(jobs_of(*range(8)), say=seen.append, workers=4)
    assert set(seen) == {"3", "GPU-8932f937"} and len(seen) == 8
    assert [worker.card for worker in acting] == ["3", "GPU-8932f937"] * 2


FULL = "say(error='It is full.', memory=True) if {} else (say(said=job['label']), say(done=True))"


def test_job_without_memory_is_done_again_with_fewer_neighbours(two_cards: None, tmp_path: Path) -> None:
    once = f"'seed 1' in job['label'] and not os.path.exists({str(tmp_path / 'full')!r}) and not "
    acting, lines = Acting(FULL.format(f"{once}open({str(tmp_path / 'full')!r}, 'x').close()")), []
    acting.run(jobs_of(1, 2, 3, 4, 5), say=lines.append, workers=4)
    assert lines.count("It is full. It is done again with one worker fewer on that card.") == 1
    assert len(lines) == 6 and len({line for line in lines if "seed" in line}) == 5


def test_job_that_is_alone_on_its_card_and_has_no_memory_is_an_error(two_cards: None) -> None:
    acting = Acting(FULL.format("'seed 1' in job['label']"))
    with pytest.raises(SmallerError, match=r"^It is full\.$"):
        acting.run(jobs_of(1, 2, 3), workers=4)


def test_memory_of_a_card_is_told_in_words() -> None:
    told = r"^this ran out of the GPU's memory \(CUDA out of memory\)\. Finished records .* \(SMALLER_WORKERS=1\)"
    with pytest.raises(SmallerError, match=told), card_memory("this"):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


# And the real ones; what survives their death is in test_resume


def test_real_workers_tell_a_mistake_in_its_own_words(tiny_folder: str, tmp_path: Path) -> None:
    folder = tmp_path / "without weights"
    shutil.copytree(tiny_folder, folder)
    recipes = [dense(str(folder), replace(TUNE, seed=seed)) for seed in (1, 2)]
    encoders.revision(str(folder))  # so that this process does not look again
    (folder / "model.safetensors").unlink()
    with pytest.raises(SmallerError) as here:
        encoders.open_folder(folder)
    with pytest.raises(SmallerError) as there:
        study.run(recipes, workers=2, say=silent)
    assert str(there.value) == str(here.value)


@pytest.mark.parametrize("forked", [True, False])
def test_real_workers_are_forked_from_one_process_or_start_from_nothing(
    forked: bool, tiny_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if forked and not forks.can_fork():
        pytest.skip("processes are not forked here")
    parents: list[int] = []

    class Watched(Worker):
        def execute(self, job: Job, **options: Callable) -> None:
            parents.append(psutil.Process(self.process.pid).ppid())
            super().execute(job, **options)

    monkeypatch.setattr(local, "Worker", Watched)
    monkeypatch.setattr(forks, "can_fork", lambda: forked)
    recipes = [dense(tiny_folder, replace(TUNE, batch_size=250, seed=seed)) for seed in (1, 2)]
    assert len(study.run(recipes, workers=2, say=silent)) == 4
    assert len(parents) == 2 and len(set(parents)) == 1 and (parents[0] != os.getpid()) is forked
    assert not (forked and psutil.pid_exists(parents[0]))


def test_worker_that_is_killed_in_the_middle(tiny_folder: str) -> None:
    victims: list[threading.Thread] = []

    def start(*, threads: int, card: str | None) -> Worker:
        worker = Worker(threads=threads, card=card)
        if not victims:
            victims.append(threading.Thread(target=kill_when_at_work, args=(worker,)))
            victims[0].start()
        return worker

    def kill_when_at_work(worker: Worker) -> None:
        wait_for(lambda: any((cache.folder() / ".locks").glob("*")))
        worker.process.kill()

    recipes = [dense(tiny_folder, replace(TUNE, epochs=10_000, seed=seed)) for seed in (1, 2)]
    with pytest.raises(SmallerError, match=r"ended while it was at .*FineTune\(sample/swa, seed \d\) \(exit code -9\)"):
        local.in_processes(study.plan(recipes), workers=2, listener=lambda _: None, say=silent, start=start)
    victims[0].join()
    assert results.read_all() == []
    for recipe in recipes:  # the locks died with the workers
        with cache.lock(recipe, say=lambda line: pytest.fail(line)):
            pass


def test_worker_ends_with_its_study_in_the_middle_of_a_job(tiny_folder: str) -> None:
    endless = dense(tiny_folder, replace(TUNE, epochs=10_000)).canonical()
    worker = Worker(threads=1)
    try:
        worker.jobs.write(json.dumps({"label": "", "prefix": endless, "recipes": [endless]}) + "\n")
        worker.jobs.flush()
        wait_for(lambda: any((cache.folder() / ".locks").glob("*")))
        worker.jobs.close()  # all that it sees of its parent's death
        assert worker.process.wait(timeout=60) == 0
    finally:
        worker.process.kill()
        worker.close()


def wait_for(condition: Callable[[], bool], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    for pause in itertools.repeat(0.01):
        if condition():
            return
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(pause)
