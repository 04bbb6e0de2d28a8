"""The study: each prefix trained once, finished records left alone, errors and deaths of workers told plainly."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from smaller import encoders, study
from smaller.base.errors import SmallerError
from smaller.base.progress import Say, silent
from smaller.data import splits
from smaller.data.sets import EvaluationSet
from smaller.study import cache, results, running
from smaller.study.evaluation import score
from smaller.study.jobs import Job, execute
from smaller.study.recipes import Recipe, dense, pruned_after, pruning_grid
from smaller.study.steps import Distil, FineTune, Pretrain, Prune

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


def run(recipes: study.Recipes, *, workers: int = 1, say: Say = silent) -> pd.DataFrame:
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
    work = running._work(study.plan(recipes))
    updates = 32 // 16
    assert [work[recipe] - study.SCORING for recipe in recipes] == [100 + updates, 0, updates]


def test_work_of_a_distillation_is_counted_in_updates_too(few_sentences: None) -> None:
    task = Distil(layers=2, on="task", dataset="sample", language="swa", epochs=3, batch_size=16)
    text = Distil(layers=2, on="corpus", corpus="sample", languages=("swa",), updates=70)
    more = replace(task, transfer_corpus="sample", transfer_lines=20)
    pretrained = Recipe("sample-small", (Pretrain(updates=100),))
    recipes = [pretrained.then(TUNE, task), pretrained.then(text, TUNE), pretrained.then(TUNE, more)]
    jobs = {job.prefix: running._training(job) for job in study.plan(recipes)}
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


def test_named_groups_are_a_column_and_a_recipe_of_two_is_trained_once(
    tiny_folder: str, few_sentences: None, trained: list
) -> None:
    first, second = (dense(tiny_folder, replace(TUNE, seed=seed)) for seed in (1, 2))
    groups = {"both": [first, second], ("one", "again"): [first], "none": []}
    table = run(groups)
    assert len(trained) == 2
    assert list(table["group"]) == 4 * ["both"] + 2 * [("one", "again")]
    assert list(table.loc[table["group"] == ("one", "again"), "identity"]) == 2 * [first.identity]
    pd.testing.assert_frame_equal(table.iloc[:4].drop(columns="group"), study.table([first, second]))
    assert study.table({"none": []}).columns[-1] == "group"


def test_lost_cache_costs_training_and_no_record(tiny_folder: str, few_sentences: None, trained: list) -> None:
    first = run([dense(tiny_folder, TUNE)])
    before = written()
    cache.clean()
    both = run([dense(tiny_folder, TUNE), pruned_after(tiny_folder, Prune(0.5), TUNE)])
    assert len(trained) == 2
    assert written().items() > before.items()
    pd.testing.assert_frame_equal(both[:2], first)


def test_damaged_artefact_is_made_again(tiny_folder: str, few_sentences: None, trained: list) -> None:
    run([dense(tiny_folder, TUNE)])
    (cache.folder() / dense(tiny_folder, TUNE).identity / "model.safetensors").write_bytes(b"\0" * 100)
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
    kept = {place.name for place in cache._artefacts()}
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
    monkeypatch.setattr("smaller.study.jobs.pending", lambda recipes, sets: list(recipes))
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
        "0 of 1 recipes are done; 1 to train in 188 updates; the first will show how long the rest takes"
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
