"""Jobs: what is planned, what a job leaves alone, and what is scored where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from smaller import study
from smaller.base.progress import silent
from smaller.data import splits
from smaller.data.sets import ATTACK, UNLABELLED, EvaluationSet
from smaller.study import results
from smaller.study.evaluation import unpack
from smaller.study.jobs import Job, execute, pending, plan
from smaller.study.recipes import Recipe, dense, pruned_after, pruning_grid
from smaller.study.steps import FineTune, Pretrain, Prune

TUNE = FineTune("sample", "swa", epochs=1, learning_rate=1e-3, batch_size=16)

pytestmark = pytest.mark.usefixtures("fresh_folders")


def written() -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in results.folder().iterdir()}


# The plan


def test_shared_prefix_appears_once_and_children_stand_under_it() -> None:
    tunings = [TUNE, replace(TUNE, seed=2)]
    recipes = pruning_grid("sample-small", tunings, [0, 0.5, 0.9])
    jobs = plan(recipes + recipes)
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
    assert plan(recipes) == [Job(Recipe("xlm-r-base"), tuple(recipes), None)]


# What is left alone


def test_recipe_that_another_study_finished_meanwhile_is_left_alone(tiny_folder: str, few_sentences: None) -> None:
    tuned, pruned = dense(tiny_folder, TUNE), pruned_after(tiny_folder, Prune(0.5), TUNE)
    finished, before = [], {}

    def listener(recipe: Recipe) -> None:
        finished.append(recipe)
        if recipe == tuned:  # the other study, while this one is at the first of its two
            execute(Job(tuned, (pruned,), None))
            before.update(written())

    execute(Job(tuned, (tuned, pruned), None), listener=listener)
    assert finished == [tuned, pruned]
    assert written() == before and len(before) == 2


def test_changed_data_of_a_set_are_scored_again(tiny_folder: str, few_sentences: None, trained: list) -> None:
    recipe, away = dense(tiny_folder, TUNE), EvaluationSet("sample", "yor")
    execute(Job(recipe, (recipe,), None, (away,)))
    assert pending([recipe], [away]) == []
    record = results.read(recipe)
    results.write(record | {"scores": record["scores"] | {away.key: {"data": "of another day"}}})
    assert pending([recipe], [away]) == [recipe] and pending([recipe]) == []
    execute(Job(recipe, (recipe,), None, (away,)))
    assert results.read(recipe)["scores"][away.key]["f1"] == record["scores"][away.key]["f1"] and len(trained) == 1


# What is scored


def test_sentences_that_were_trained_on_are_left_out_away_from_home(
    tiny_folder: str, few_sentences: None, brought: Callable[..., str]
) -> None:
    seen, new = splits.sentences("sample", "swa", "train")[:5], splits.sentences("sample", "yor", "test")
    rows = seen + new
    name = brought("yor", tokens=[each.words for each in rows], ner_tags=[each.tags for each in rows])
    away = EvaluationSet(name, "yor")
    study.run([dense(tiny_folder, TUNE)], sets=[away], workers=1, say=silent)
    scores = results.read(dense(tiny_folder, TUNE))["scores"][away.key]
    assert (scores["removed"], scores["sentences"]) == (5, 24)
    assert unpack(scores["by_sentence"]).shape == (3, 24), "another domain is a sample of sentences too"


def test_records_keep_attacks_and_looks_and_ask_no_model_twice(tiny_folder: str, few_sentences: None) -> None:
    tuned = dense(tiny_folder, TUNE)
    recipes = [tuned, tuned.then(Prune(0.5))]
    sets = [
        EvaluationSet("sample", "swa", kind=ATTACK, rate=0.02, seed=7, limit=4),
        EvaluationSet("sample", "bam", kind=UNLABELLED, limit=5),
    ]
    table = study.run(recipes, sets=sets, workers=1, say=silent)
    attacked, looked = (table[table["noise"] == kind] for kind in (ATTACK, UNLABELLED))
    assert list(attacked["sentences"]) == [4, 4] and list(attacked["rate"]) == [0.02, 0.02]
    assert attacked["f1"].le(attacked["f1_before"]).all()
    assert list(looked["sentences"]) == [5, 5] and looked["confidence"].between(0, 100).all()
    assert looked["f1"].isna().all() and looked["scoring_seconds"].gt(0).all()
    assert study.pending(recipes, sets) == []
    before = written()
    assert len(study.run(recipes, sets=sets, workers=1, say=silent)) == len(table) and written() == before


def test_text_without_our_labels_can_be_looked_at(brought: Callable[..., str]) -> None:
    name = brought("swa", task="topics", text=["Rais yuko wapi?"] * 9, label=["x", "y", "z"] * 3)
    tweets = EvaluationSet(name, "swa", kind=UNLABELLED, limit=4)
    assert len(tweets.sentences()) == 4 and tweets.types == ()
