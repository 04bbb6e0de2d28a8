"""The engines: which one is meant, what can begin when, and the deaths and errors of the local one's workers."""

from __future__ import annotations

import importlib.util
import itertools
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from smaller import encoders, study
from smaller.__main__ import main
from smaller.base.errors import SmallerError
from smaller.base.progress import Say, silent
from smaller.study import cache, engines, results
from smaller.study.engines import local, ray_cluster
from smaller.study.engines.base import Agenda, asked_workers
from smaller.study.engines.local import Worker
from smaller.study.jobs import Job, Listener, job_from_message, message_of
from smaller.study.recipes import Recipe, dense, pruning_grid
from smaller.study.steps import FineTune, Pretrain

TUNE = FineTune("sample", "swa", epochs=1, learning_rate=1e-3, batch_size=16)

pytestmark = pytest.mark.usefixtures("fresh_folders")


# Which engine


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SMALLER_ENGINE", "SMALLER_RAY_ADDRESS", "SMALLER_WORKERS"):
        monkeypatch.setenv(name, "")  # so that what the command sets goes with the test
        monkeypatch.delenv(name)


def installed(monkeypatch: pytest.MonkeyPatch, *, ray: bool) -> None:
    known = importlib.util.find_spec
    answer = object() if ray else None
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: answer if name == "ray" else known(name, *more))


def test_engine_by_name_or_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, ray=True)
    assert engines.engine() is engines.engine("local") is local.run
    assert engines.engine("ray").func is ray_cluster.run and engines.engine("ray").keywords == {"address": None}
    monkeypatch.setenv("SMALLER_ENGINE", "ray")
    monkeypatch.setenv("SMALLER_RAY_ADDRESS", "10.0.0.1:6379")
    assert engines.engine().keywords == {"address": "10.0.0.1:6379"}
    assert engines.engine(address="auto").keywords == {"address": "auto"}
    assert engines.engine("local") is local.run


@pytest.mark.parametrize(
    ("name", "address", "message"),
    [
        ("rya", None, "There is no engine 'rya'; there are local, ray. Did you mean 'ray'?"),
        ("local", "auto", "The address auto is that of a Ray cluster, which takes the engine ray"),
        ("ray", "ray://head:10001", "HOST:PORT, or auto; it is ray://head:10001"),
    ],
)
def test_engine_that_is_not_there(name: str, address: str | None, message: str, monkeypatch) -> None:
    installed(monkeypatch, ray=True)
    with pytest.raises(SmallerError) as caught:
        engines.engine(name, address=address)
    assert message in str(caught.value)


def test_without_ray_one_sentence_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tiny_folder: str) -> None:
    installed(monkeypatch, ray=False)
    with pytest.raises(SmallerError, match=r"needs Ray, which is not installed here: pip install -e '.\[cluster\]'"):
        study.run([dense(tiny_folder, TUNE)], engine="ray", say=silent)
    assert results.read_all() == []


def test_command_passes_the_choice_on_to_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, ray=True)
    seen = []
    monkeypatch.setattr("smaller.report.run_all", lambda *_, **__: seen.append(engines.engine().keywords) or [])
    assert main(["study", "--engine", "ray", "--address", "10.0.0.1:6379"]) == 0
    assert seen == [{"address": "10.0.0.1:6379"}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--engine", "rya"], "smaller: There is no engine 'rya'; there are local, ray. Did you mean 'ray'?"),
        (["--address", "auto"], "takes the engine ray (--engine ray)"),
        (["--engine", "ray"], "needs Ray, which is not installed"),
    ],
)
def test_command_tells_a_mistake_before_a_kernel_starts(options: list, message: str, monkeypatch, capsys) -> None:
    installed(monkeypatch, ray=False)
    monkeypatch.setattr("smaller.report.run_all", None)
    assert main(["study", *options]) == 2
    assert message in capsys.readouterr().err
    assert "SMALLER_ENGINE" not in os.environ


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2"])
def test_number_of_workers(workers: object, tiny_folder: str) -> None:
    with pytest.raises(SmallerError, match="workers is a number of processes, at least 1"):
        study.run([dense(tiny_folder, TUNE)], workers=workers, say=silent)


@pytest.mark.parametrize("setting", ["two", "0", "-3"])
def test_number_of_workers_in_the_environment(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALLER_WORKERS", setting)
    with pytest.raises(SmallerError, match="workers is a number of processes, at least 1"):
        asked_workers(None)
    assert asked_workers(3) == 3


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


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[Worker]]:
    """Replaces what workers do for each job they read; returns the list of the workers that are started from now on."""

    def replace_workers(body: str) -> list[Worker]:
        code = "import json, os, sys, time\ndef say(**answer): print(json.dumps(answer), flush=True)\n"
        code += f"for line in sys.stdin:\n    job = json.loads(line)\n    {body}\n"
        started: list[Worker] = []
        begin = Worker.__init__

        def remember(self: Worker, **options: int) -> None:
            begin(self, **options)
            started.append(self)

        monkeypatch.setattr(Worker, "command", (sys.executable, "-c", code))
        monkeypatch.setattr(Worker, "__init__", remember)
        return started

    return replace_workers


def run_jobs(jobs: list[Job], *, listener: Listener = lambda recipe: None, say: Say = silent) -> None:
    local._in_processes(jobs, workers=2, listener=listener, say=say)


def gone(workers: list[Worker]) -> bool:
    return len(workers) == 2 and all(worker.process.poll() is not None for worker in workers)


def test_error_of_a_worker_has_its_own_words_and_stops_the_others_at_once(act) -> None:
    workers = act("time.sleep(600) if 'seed 1' in job['label'] else say(error='The encoder folder holds no weights.')")
    began = time.monotonic()
    with pytest.raises(SmallerError, match="^The encoder folder holds no weights.$"):
        run_jobs(jobs_of(1, 2, 3))
    assert time.monotonic() - began < 60
    assert gone(workers)


@pytest.mark.parametrize(
    ("ending", "code"), [("os._exit(7)", 7), ("(sys.stdout.write('{\"fini'), sys.stdout.flush(), os._exit(9))", 9)]
)
def test_worker_that_dies_names_what_it_was_at(act, ending: str, code: int) -> None:
    workers = act(ending)
    with pytest.raises(SmallerError) as caught:
        run_jobs(jobs_of(1))
    assert f"ended while it was at sample-small: Pretrain > FineTune(sample/swa, seed 1) (exit code {code})" in str(
        caught.value
    )
    assert "SMALLER_WORKERS=1" in str(caught.value)
    assert gone(workers)


def test_interrupt_stops_the_workers_at_once(act) -> None:
    workers = act("say(said='at it') if 'seed 1' in job['label'] else None; time.sleep(600)")
    began = time.monotonic()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background would not hear it
    try:
        with pytest.raises(KeyboardInterrupt):
            run_jobs(jobs_of(1, 2), say=lambda line: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 60
    assert gone(workers)


def test_children_wait_for_their_parents(act) -> None:
    act("say(said=job['label']); time.sleep(0.05); say(done=True)")
    jobs = study.plan(pruning_grid("sample-small", [TUNE, replace(TUNE, seed=2)], [0, 0.5]))
    order: list[str] = []
    run_jobs(jobs, say=order.append)
    assert sorted(order) == sorted(job.prefix.label for job in jobs)
    assert order[0] == "sample-small: Pretrain"


def test_listener_hears_of_every_recipe(act) -> None:
    identities = {recipe.label: recipe.identity for job in jobs_of(1, 2, 3) for recipe in job.recipes}
    act(f"say(finished={identities!r}[job['label']]); say(done=True)")
    heard: list[Recipe] = []
    run_jobs(jobs_of(1, 2, 3), listener=heard.append)
    assert {recipe.identity for recipe in heard} == set(identities.values())


# And the real ones; what survives their death is in test_resume


def test_job_survives_the_way_to_a_worker() -> None:
    (job,) = jobs_of(1)
    assert job_from_message(json.loads(json.dumps(message_of(job)))) == job


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


def test_worker_that_is_killed_in_the_middle(tiny_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = replace(TUNE, epochs=10_000)
    started = threading.Event()
    victims: list[int] = []
    begin = Worker.execute

    def remember(self: Worker, *arguments: object, **options: object) -> None:
        if not started.is_set():
            started.set()
            threading.Thread(target=kill_when_at_work, args=(self,)).start()
        begin(self, *arguments, **options)

    def kill_when_at_work(worker: Worker) -> None:
        victims.append(worker.process.pid)
        wait_for(lambda: any((cache.folder() / ".locks").glob("*")))
        worker.process.kill()

    monkeypatch.setattr(Worker, "execute", remember)
    recipes = [dense(tiny_folder, replace(endless, seed=seed)) for seed in (1, 2)]
    with pytest.raises(SmallerError, match=r"ended while it was at .*FineTune\(sample/swa, seed \d\) \(exit code -9\)"):
        study.run(recipes, workers=2, say=silent)
    assert len(victims) == 1
    assert results.read_all() == []
    for recipe in recipes:  # the locks died with the workers
        with cache.lock(recipe, say=lambda line: pytest.fail(line)):
            pass


def test_worker_ends_with_its_study_in_the_middle_of_a_job(tiny_folder: str) -> None:
    endless = dense(tiny_folder, replace(TUNE, epochs=10_000)).canonical()
    worker = Worker(threads=1)
    try:
        worker.process.stdin.write(json.dumps({"label": "", "prefix": endless, "recipes": [endless]}) + "\n")
        worker.process.stdin.flush()
        wait_for(lambda: any((cache.folder() / ".locks").glob("*")))
        worker.process.stdin.close()  # all that it sees of its parent's death
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
