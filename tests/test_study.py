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
from smaller.base.settings import changed
from smaller.data import sample, splits
from smaller.data.sets import EvaluationSet
from smaller.study import cache, results, running
from smaller.study.evaluation import score
from smaller.study.recipes import Recipe, dense, pruned_after, pruning_grid
from smaller.study.steps import Cut, Distil, FineTune, Pretrain, Prune

TUNE = FineTune("sample", "swa", epochs=1, learning_rate=1e-3, batch_size=16)

pytestmark = pytest.mark.usefixtures("fresh_folders")


def run(recipes: study.Recipes, *, workers: int = 1, say: Say = silent) -> pd.DataFrame:
    return study.run(recipes, workers=workers, say=say)


def written() -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in results.folder().iterdir()}


# The work


def test_work_counts_a_training_once_with_its_first_recipe(few_sentences: None) -> None:
    pretrained = Recipe("sample-small", (Pretrain(updates=100),))
    recipes = [pretrained.then(TUNE), pretrained.then(TUNE, Prune(0.5)), pretrained.then(replace(TUNE, seed=2))]
    work = running._work(study.plan(recipes))
    updates = 32 // 16
    assert [work[recipe] - running.SCORING for recipe in recipes] == [100 + updates, 0, updates]


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
    plan = study.estimate([*recipes, later])
    assert (plan.recipes, plan.done, plan.trainings, plan.updates) == (6, 5, 0, 0) and plan.seconds > 0
    assert set(run([later]).order) == {"after"}
    assert len(trained) == 3
    assert written().items() > before.items()
    assert study.estimate([*recipes, later]) == study.Plan(6, 6, seconds=0.0)


def test_a_plan_in_words() -> None:
    plan = study.Plan(3, 1, trainings=2, updates=1880)
    told = "1 of 3 recipes are done; 2 to train in 1,880 updates"
    assert str(plan) == f"{told}; the first will show how long the rest takes"
    assert str(replace(plan, seconds=600.0, unscored=2)) == f"{told}, about 10 min; 2 to score on further sets"
    assert str(study.Plan(3, 3)) == "all 3 recipes are done"


def test_a_plan_holds_each_training_and_the_bytes_of_its_model(tiny: encoders.Model, tiny_folder: str) -> None:
    """One layer of the two goes, with its weights, biases and norms."""
    cut = Recipe(tiny_folder, (Cut(1), TUNE))
    plan = study.estimate([dense(tiny_folder, TUNE), pruned_after(tiny_folder, Prune(0.9), TUNE), cut])
    updates = -(-len(splits.sentences("sample", "swa", "train")) // TUNE.batch_size) * TUNE.epochs
    whole, width, inner = 4 * encoders.parameter_count(tiny.network), 24, 48
    layer = 4 * (4 * width * (width + 1) + 2 * width * inner + inner + width + 4 * width)
    wanted = {dense(tiny_folder, TUNE): (updates, whole), cut: (updates, whole - layer)}
    assert plan.work == {recipe.identity: work for recipe, work in wanted.items()}
    assert plan.updates == 2 * updates


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
    tiny_folder: str, trained: list, brought: Callable[..., str]
) -> None:
    told = "split of 'masakhaner2' in Bambara .* is not on this machine"
    with changed(SMALLER_DATA=None), pytest.raises(SmallerError, match=told):
        study.run([dense(tiny_folder, TUNE)], sets=[EvaluationSet("masakhaner2", "bam")], say=silent)
    name = brought("yor", tokens=[["Asha", "alifika"]], ner_tags=[["B-MISC", "O"]])
    with pytest.raises(SmallerError, match=f"{name}/yor/test has the labels MISC, which models .* do not know"):
        study.run([dense(tiny_folder, TUNE)], sets=[EvaluationSet(name, "yor")], say=silent)
    assert trained == []


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
    changed: str, tiny: encoders.Model, tmp_path: Path, few_sentences: None, trained: list
) -> None:
    folder = tmp_path / "my encoder"
    encoders.save(tiny, folder)
    recipe = dense(str(folder), TUNE)
    run([recipe])
    if changed == "data":
        sample.SIZES["dev"] += 1
    else:
        encoders.save(Prune(0.9).apply(tiny)[0], folder)
        encoders.revision.cache_clear()
    assert study.pending([recipe]) == [recipe]
    assert list(run([recipe]).sentences) == [16 + (changed == "data"), 24]
    assert len(trained) == 2
    assert study.pending([recipe]) == []


def test_parent_is_trained_once_for_its_children(tiny_folder: str, few_sentences: None, trained: list) -> None:
    pretraining = Pretrain(languages=("swa",), updates=2, batch_size=4)
    children = [Recipe(tiny_folder, (pretraining, replace(TUNE, seed=seed))) for seed in (1, 2)]
    run(children)
    assert len(trained) == 3
    kept = {place.name for place in cache.kept()}
    assert kept == {Recipe(tiny_folder, (pretraining,)).identity, *(child.identity for child in children)}


def test_recipe_without_labels_gives_a_record_and_no_row(tiny_folder: str) -> None:
    pruned = Recipe(tiny_folder, (Prune(0.5),))
    assert len(run([pruned])) == 0
    assert results.read(pruned)["cost"]["achieved_sparsity"] == pytest.approx(0.5, abs=1e-3)


# What can go wrong before anything is trained


@pytest.mark.parametrize("variable", ["SMALLER_OUTPUTS", "SMALLER_CACHE"])
def test_folder_that_cannot_be_written(variable: str, tiny_folder: str, trained: list, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    with changed(**{variable: str(tmp_path / "a file" / "folder")}):
        plan = study.estimate([dense(tiny_folder, TUNE)])
        assert (plan.recipes, plan.done, plan.trainings, plan.updates, plan.seconds) == (1, 0, 1, 188, None)
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
