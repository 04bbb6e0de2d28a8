"""The study: each prefix trained once, finished records left alone, errors and deaths of workers told plainly."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from smaller import artefacts, encoders, results, study
from smaller.data import splits
from smaller.data.sets import EvaluationSet
from smaller.errors import SmallerError
from smaller.evaluation import score
from smaller.jobs import Job, Listener, execute, job_from_message
from smaller.progress import Say, silent
from smaller.recipes import Recipe, dense, pruned_after, pruning_grid
from smaller.steps import Distil, FineTune, Pretrain, Prune

TUNE = FineTune("sample", "swa", epochs=1, learning_rate=1e-3, batch_size=16)

pytestmark = pytest.mark.usefixtures("fresh_folders")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[FineTune]:
    """The fine-tunings that were carried out, in order."""
    done: list[FineTune] = []
    apply = FineTune.apply

    def count(self: FineTune, *arguments: object, **options: object):
        done.append(self)
        return apply(self, *arguments, **options)

    monkeypatch.setattr(FineTune, "apply", count)
    return done


def run(recipes: list[Recipe], *, workers: int = 1, say: Say = silent) -> pd.DataFrame:
    return study.run(recipes, workers=workers, say=say)


def written() -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in results.folder().iterdir()}


# The plan


def test_shared_prefix_appears_once_and_children_stand_under_it() -> None:
    tunings = [TUNE, replace(TUNE, seed=2)]
    recipes = pruning_grid("sample-small", tunings, [0, 0.5, 0.9])
    jobs = study.plan(recipes + recipes)
    prefixes = [job.prefix for job in jobs]
    assert len(prefixes) == len(set(prefixes)) == 1 + 2 + 4  # pre-training, dense, and one for each pruned before
    assert sorted(recipe.identity for job in jobs for recipe in job.recipes) == sorted(r.identity for r in recipes)
    for job in jobs:
        assert all(recipe.trained_prefix() == job.prefix for recipe in job.recipes)
        assert job.parent is None or prefixes.index(job.parent) < prefixes.index(job.prefix)
    (root,) = (job for job in jobs if job.parent is None)
    assert root.prefix == Recipe("sample-small", (Pretrain(),)) and root.recipes == ()
    assert {job.parent for job in jobs if job is not root} == {root.prefix}
    by_prefix = {job.prefix: job.recipes for job in jobs}
    assert by_prefix[dense("sample-small", TUNE)] == (
        dense("sample-small", TUNE),
        *(pruned_after("sample-small", Prune(sparsity), TUNE) for sparsity in (0.5, 0.9)),
    )


def test_plan_without_training_has_one_job_for_an_encoder() -> None:
    recipes = [Recipe("xlm-r-base"), Recipe("xlm-r-base", (Prune(0.5),))]
    assert study.plan(recipes) == [Job(Recipe("xlm-r-base"), tuple(recipes), None)]


def test_work_counts_a_training_once_with_its_first_recipe(few_sentences: None) -> None:
    pretrained = Recipe("sample-small", (Pretrain(updates=100),))
    recipes = [pretrained.then(TUNE), pretrained.then(TUNE, Prune(0.5)), pretrained.then(replace(TUNE, seed=2))]
    work = study._work(study.plan(recipes))
    updates = 32 // 16
    assert [work[recipe] - study.SCORING for recipe in recipes] == [100 + updates, 0, updates]


def test_work_of_a_distillation_is_counted_in_updates_too(few_sentences: None) -> None:
    task = Distil(layers=2, on="task", dataset="sample", language="swa", epochs=3, batch_size=16)
    text = Distil(layers=2, on="corpus", corpus="sample", languages=("swa",), updates=70)
    more = replace(task, transfer_corpus="sample", transfer_lines=20)
    pretrained = Recipe("sample-small", (Pretrain(updates=100),))
    recipes = [pretrained.then(TUNE, task), pretrained.then(text, TUNE), pretrained.then(TUNE, more)]
    jobs = {job.prefix: study._training(job) for job in study.plan(recipes)}
    assert [jobs[recipe] for recipe in recipes] == [3 * 2, 2, 3 * 4]
    assert jobs[pretrained.then(text)] == 70


# Each prefix is trained once


def test_each_prefix_is_trained_once_across_runs(tiny_folder: str, few_sentences: None, trained: list) -> None:
    recipes = pruning_grid(tiny_folder, [TUNE], [0, 0.5, 0.9])
    lines: list[str] = []
    table = run(recipes, say=lines.append)
    assert len(trained) == 3  # dense, and before at two sparsities
    assert len(lines) == 1 and lines[0].startswith("run 5 of 5, in ")
    assert tuple(table.columns) == results.COLUMNS
    assert list(table.identity) == [recipe.identity for recipe in recipes for _ in ("dev", "test")]
    assert list(table.sentences) == [16, 24] * 5
    assert [round(value, 2) for value in table.achieved_sparsity[1::2]] == [0, 0.5, 0.9, 0.5, 0.9]

    before = written()
    assert len(before) == 5
    again = run(recipes, say=lines.append)
    pd.testing.assert_frame_equal(again, table)
    assert len(trained) == 3 and len(lines) == 1
    assert written() == before

    # A continuation that nobody had thought of is served by what is kept.
    later = pruned_after(tiny_folder, Prune(0.7), TUNE)
    assert study.estimate([*recipes, later]).startswith("5 of 6 recipes are done; 0 to train, about ")
    assert set(run([later]).order) == {"after"}
    assert len(trained) == 3
    assert written().items() > before.items()
    assert study.estimate([*recipes, later]) == "all 6 recipes are done"


# Evaluation sets


def test_further_sets_cost_no_training(tiny_folder: str, few_sentences: None, trained: list) -> None:
    recipes = [dense(tiny_folder, TUNE), pruned_after(tiny_folder, Prune(0.5), TUNE)]
    home = run(recipes)
    sets = [EvaluationSet("sample", "yor"), EvaluationSet("sample", "bam", "dev")]
    table = study.run(recipes, sets=sets, workers=1, say=silent)
    assert len(trained) == 1
    places = ["swa/dev", "swa/test", "yor/test", "bam/dev"] * 2
    assert [f"{row.language}/{row.split}" for row in table.itertuples()] == places
    assert set(table.trained_on) == {"sample/swa"}
    pd.testing.assert_frame_equal(study.table(recipes), home)

    model, _ = study.materialise(recipes[0])
    away = score(model, splits.sentences("sample", "yor", "test"))
    assert results.read(recipes[0])["scores"]["sample/yor/test"]["f1"] == away["f1"]
    assert table.scoring_seconds.gt(0).all()
    before = written()
    study.run(recipes, sets=sets, workers=1, say=silent)
    assert written() == before


def test_set_that_cannot_be_scored_stops_a_study_before_it_trains(
    tiny_folder: str, trained: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SMALLER_DATA", raising=False)
    with pytest.raises(SmallerError, match="split of 'masakhaner2' in Bambara .* is not on this machine"):
        study.run([dense(tiny_folder, TUNE)], sets=[EvaluationSet("masakhaner2", "bam")], say=silent)
    monkeypatch.setattr(EvaluationSet, "types", ("PER", "MISC"))
    with pytest.raises(SmallerError, match="sample/yor/test has the labels MISC, which models .* do not know"):
        study.run([dense(tiny_folder, TUNE)], sets=[EvaluationSet("sample", "yor")], say=silent)
    assert trained == []


def test_sentences_that_were_trained_on_are_left_out_away_from_home(
    tiny_folder: str, few_sentences: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = splits.sentences("sample", "swa", "train")[:5]
    away = EvaluationSet("sample", "yor")
    home = splits.sentences

    def mixed(dataset: str, language: str, split: str) -> list:
        return home(dataset, language, split) + (seen if (language, split) == ("yor", "test") else [])

    monkeypatch.setattr(splits, "sentences", mixed)
    study.run([dense(tiny_folder, TUNE)], sets=[away], workers=1, say=silent)
    scores = results.read(dense(tiny_folder, TUNE))["scores"][away.key]
    assert (scores["removed"], scores["sentences"]) == (5, 24)


def test_changed_data_of_a_set_are_scored_again(
    tiny_folder: str, few_sentences: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, away = dense(tiny_folder, TUNE), EvaluationSet("sample", "yor")
    study.run([recipe], sets=[away], workers=1, say=silent)
    assert study.pending([recipe], [away]) == []
    monkeypatch.setattr(EvaluationSet, "checksum", lambda self: "changed")
    assert study.pending([recipe], [away]) == [recipe] and study.pending([recipe]) == []


def test_one_model_for_several_languages(tiny_folder: str, few_sentences: None) -> None:
    joint = replace(TUNE, language="swa+yor")
    table = study.run([dense(tiny_folder, joint)], sets=[EvaluationSet("sample", "yor")], workers=1, say=silent)
    assert list(table.language) == ["swa+yor", "swa+yor", "yor"]
    assert list(table.sentences) == [32, 48, 24]
    with pytest.raises(SmallerError, match="no language 'xxx'"):
        replace(TUNE, language="swa+xxx")


def test_recipe_given_twice_is_one(tiny_folder: str, few_sentences: None, trained: list) -> None:
    assert len(run([dense(tiny_folder, TUNE)] * 3)) == 2
    assert len(trained) == 1


def test_lost_cache_costs_training_and_no_record(tiny_folder: str, few_sentences: None, trained: list) -> None:
    first = run([dense(tiny_folder, TUNE)])
    before = written()
    artefacts.clean()
    both = run([dense(tiny_folder, TUNE), pruned_after(tiny_folder, Prune(0.5), TUNE)])
    assert len(trained) == 2
    assert written().items() > before.items()
    pd.testing.assert_frame_equal(both[:2], first)


def test_damaged_artefact_is_made_again(tiny_folder: str, few_sentences: None, trained: list) -> None:
    run([dense(tiny_folder, TUNE)])
    (artefacts.folder() / dense(tiny_folder, TUNE).identity / "model.safetensors").write_bytes(b"\0" * 100)
    assert len(run([pruned_after(tiny_folder, Prune(0.5), TUNE)])) == 2
    assert len(trained) == 2


def test_damaged_record_is_computed_again_alone(tiny_folder: str, few_sentences: None, trained: list) -> None:
    recipes = pruning_grid(tiny_folder, [TUNE], [0.5])
    table = run(recipes)
    path = results.folder() / f"{recipes[1].identity}.json"
    before = written()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.warns(UserWarning, match="it is not JSON") as caught:
        again = run(recipes)
    assert len(caught) == 1
    assert len(trained) == 2  # its model is still kept
    pd.testing.assert_frame_equal(again.drop(columns="scoring_seconds"), table.drop(columns="scoring_seconds"))
    after = written()
    assert {name for name in after if before.get(name) != after[name]} == {path.name, f"{path.stem}.set-aside-1"}


@pytest.mark.parametrize("changed", ["data", "weights"])
def test_changed_inputs_are_computed_again(
    changed: str,
    tiny: encoders.Model,
    tmp_path: Path,
    few_sentences: None,
    trained: list,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "my encoder"
    encoders.save(tiny, folder)
    recipe = dense(str(folder), TUNE)
    first = run([recipe])
    if changed == "data":
        monkeypatch.setattr("smaller.data.splits.fingerprint", lambda dataset, language: "other data")
    else:
        encoders.save(Prune(0.9).apply(tiny)[0], folder)
        encoders.revision.cache_clear()
    assert study.pending([recipe]) == [recipe]
    second = run([recipe])
    assert len(trained) == 2
    assert study.pending([recipe]) == []
    assert (first.loss.tolist() == second.loss.tolist()) == (changed == "data")


def test_parent_is_trained_once_for_its_children(tiny_folder: str, few_sentences: None, trained: list) -> None:
    pretraining = Pretrain(languages=("swa",), updates=2, batch_size=4)
    children = [Recipe(tiny_folder, (pretraining, replace(TUNE, seed=seed))) for seed in (1, 2)]
    run(children)
    assert len(trained) == 2
    kept = {place.name for place in artefacts._artefacts()}
    assert kept == {Recipe(tiny_folder, (pretraining,)).identity, *(child.identity for child in children)}


def test_recipe_without_labels_gives_a_record_and_no_row(tiny_folder: str) -> None:
    pruned = Recipe(tiny_folder, (Prune(0.5),))
    assert len(run([pruned])) == 0
    assert results.read(pruned)["cost"]["achieved_sparsity"] == pytest.approx(0.5, abs=1e-3)


def test_recipe_that_another_study_finished_meanwhile_is_left_alone(
    tiny_folder: str, few_sentences: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipes = (dense(tiny_folder, TUNE), pruned_after(tiny_folder, Prune(0.5), TUNE))
    job = Job(recipes[0], recipes, None)
    execute(job)
    before, finished = written(), []
    # What it saw before the other study was done.
    monkeypatch.setattr("smaller.jobs.pending", lambda recipes, sets: list(recipes))
    execute(job, listener=finished.append)
    assert written() == before
    assert finished == list(recipes)


# What can go wrong before anything is trained


@pytest.mark.parametrize("variable", ["SMALLER_OUTPUTS", "SMALLER_CACHE"])
def test_folder_that_cannot_be_written(
    variable: str, tiny_folder: str, trained: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").write_text("")
    monkeypatch.setenv(variable, str(tmp_path / "a file" / "folder"))
    assert study.estimate([dense(tiny_folder, TUNE)]) == (
        "0 of 1 recipes are done; 1 to train; the first will show how long the rest takes"
    )
    with pytest.raises(SmallerError, match=f"cannot be written to .* set {variable} to another folder"):
        run([dense(tiny_folder, TUNE)])
    assert trained == []


def test_full_disk(tiny_folder: str, trained: list, small_files: Callable[[int], AbstractContextManager]) -> None:
    with small_files(100_000), pytest.raises(SmallerError, match="Results cannot be written to .* Make room"):
        run([dense(tiny_folder, TUNE)])
    assert trained == []


def test_finished_study_needs_no_room(
    tiny_folder: str, few_sentences: None, small_files: Callable[[int], AbstractContextManager]
) -> None:
    table = run([dense(tiny_folder, TUNE)])
    with small_files(0):
        again = run([dense(tiny_folder, TUNE)])
    pd.testing.assert_frame_equal(again, table)


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2"])
def test_number_of_workers(workers: object, tiny_folder: str) -> None:
    with pytest.raises(SmallerError, match="workers is a number of processes, at least 1"):
        study.run([dense(tiny_folder, TUNE)], workers=workers, say=silent)


@pytest.mark.parametrize("setting", ["two", "0", "-3"])
def test_number_of_workers_in_the_environment(setting: str, tiny_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALLER_WORKERS", setting)
    with pytest.raises(SmallerError, match="workers is a number of processes, at least 1"):
        study.run([dense(tiny_folder, TUNE)], say=silent)


# Workers: first some that only act as if


def jobs_of(*seeds: int) -> list[Job]:
    recipes = [dense("sample-small", replace(TUNE, seed=seed)) for seed in seeds]
    return [Job(recipe, (recipe,), None) for recipe in recipes]


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[study._Worker]]:
    """Replaces what workers do for each job they read; returns the list of the workers that are started from now on."""

    def replace_workers(body: str) -> list[study._Worker]:
        code = "import json, os, sys, time\ndef say(**answer): print(json.dumps(answer), flush=True)\n"
        code += f"for line in sys.stdin:\n    job = json.loads(line)\n    {body}\n"
        started: list[study._Worker] = []
        begin = study._Worker.__init__

        def remember(self: study._Worker, **options: int) -> None:
            begin(self, **options)
            started.append(self)

        monkeypatch.setattr(study._Worker, "command", (sys.executable, "-c", code))
        monkeypatch.setattr(study._Worker, "__init__", remember)
        return started

    return replace_workers


def run_jobs(jobs: list[Job], *, listener: Listener = lambda recipe: None, say: Say = silent) -> None:
    study._run_jobs(jobs, workers=2, listener=listener, say=say)


def gone(workers: list[study._Worker]) -> bool:
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
    with pytest.raises(KeyboardInterrupt):
        run_jobs(jobs_of(1, 2), say=lambda line: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT))
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
    message = json.loads(json.dumps({"prefix": job.prefix.canonical(), "recipes": [job.prefix.canonical()]}))
    assert job_from_message(message) == job


def test_real_workers_tell_a_mistake_in_its_own_words(tiny_folder: str, tmp_path: Path) -> None:
    folder = tmp_path / "without weights"
    shutil.copytree(tiny_folder, folder)
    recipes = [dense(str(folder), replace(TUNE, seed=seed)) for seed in (1, 2)]
    encoders.revision(str(folder))  # so that this process does not look again
    (folder / "model.safetensors").unlink()
    with pytest.raises(SmallerError) as here:
        encoders.open_folder(folder)
    with pytest.raises(SmallerError) as there:
        run(recipes, workers=2)
    assert str(there.value) == str(here.value)


def test_worker_that_is_killed_in_the_middle(tiny_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = replace(TUNE, epochs=10_000)
    started = threading.Event()
    victims: list[int] = []
    begin = study._Worker.execute

    def remember(self: study._Worker, *arguments: object, **options: object) -> None:
        if not started.is_set():
            started.set()
            threading.Thread(target=kill_when_at_work, args=(self,)).start()
        begin(self, *arguments, **options)

    def kill_when_at_work(worker: study._Worker) -> None:
        victims.append(worker.process.pid)
        wait_for(lambda: any((artefacts.folder() / ".locks").glob("*")))
        worker.process.kill()

    monkeypatch.setattr(study._Worker, "execute", remember)
    recipes = [dense(tiny_folder, replace(endless, seed=seed)) for seed in (1, 2)]
    with pytest.raises(SmallerError, match=r"ended while it was at .*FineTune\(sample/swa, seed \d\) \(exit code -9\)"):
        run(recipes, workers=2)
    assert len(victims) == 1
    assert results.read_all() == []
    for recipe in recipes:  # the locks died with the workers
        with artefacts.lock(recipe, say=lambda line: pytest.fail(line)):
            pass


def test_worker_ends_with_its_study_in_the_middle_of_a_job(tiny_folder: str) -> None:
    endless = dense(tiny_folder, replace(TUNE, epochs=10_000)).canonical()
    worker = study._Worker(threads=1)
    try:
        worker.process.stdin.write(json.dumps({"label": "", "prefix": endless, "recipes": [endless]}) + "\n")
        worker.process.stdin.flush()
        wait_for(lambda: any((artefacts.folder() / ".locks").glob("*")))
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
