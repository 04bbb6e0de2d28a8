"""Encoders that are made from another one first: trained once, shared, and named in every record."""

from __future__ import annotations

import pytest

from smaller import encoders, study
from smaller.base.errors import SmallerError
from smaller.study import beginnings, cache, results
from smaller.study.jobs import materialise, open_encoder, plan
from smaller.study.recipes import Recipe, dense, pruned_before
from smaller.study.steps import Adapt, Cut, FineTune, Prune, TrimVocabulary

TUNING = FineTune("sample", "swa", epochs=1, learning_rate=1e-3)
STEPS = (
    TrimVocabulary(400, corpus="sample", languages=("swa",), lines=200),
    Cut(1),
    Adapt("sample", "swa", updates=2, batch_size=4, learning_rate=1e-3, max_length=32, lines=40),
)


@pytest.fixture
def made(tiny_folder, fresh_folders, few_sentences, monkeypatch, request):
    """An encoder by the name "made", which the steps, or the first of them, make of a tiny one."""
    shape = encoders.Encoder("made", 1, heads=2, hidden=24, feed_forward=48, repository="a/b", made_from=tiny_folder)
    monkeypatch.setitem(encoders.ENCODERS, "made", shape)
    monkeypatch.setitem(beginnings.BEGINNINGS, "made", (tiny_folder, STEPS[: getattr(request, "param", None)]))
    encoders.revision.cache_clear()
    yield "made"
    encoders.revision.cache_clear()


def test_it_is_a_prefix_of_all_that_begins_with_it(made, tiny_folder):
    first, second = dense(made, TUNING), pruned_before(made, Prune(0.5), TUNING)
    beginning = Recipe(tiny_folder, STEPS)
    assert first.steps == (TUNING,) and first.encoder == made
    assert Recipe(made).trained_prefix() == beginning
    assert second.after(beginning) == second.steps and first.after(first) == ()
    jobs = plan([first, second, first.then(Prune(0.5))])
    assert [job.prefix for job in jobs] == [beginning, first, second]
    assert [job.parent for job in jobs] == [None, beginning, beginning]
    assert jobs[0].recipes == () and len(jobs[1].recipes) == 2


def test_it_is_made_once_and_every_record_says_from_what(made, tiny_folder):
    recipes = [dense(made, TUNING), pruned_before(made, Prune(0.5), TUNING)]
    table = study.run(recipes, workers=1)
    assert set(table["encoder"]) == {made} and set(table["layers"]) == {1} and set(table["vocabulary"]) == {400}
    record = results.read(recipes[1])
    assert [step["step"] for step in record["steps"]] == ["TrimVocabulary", "Cut", "Adapt", "Prune", "FineTune"]
    beginning = Recipe(tiny_folder, STEPS)
    assert record["inputs"]["encoder/made"] == f"recipe:{beginning.identity}"
    assert record["inputs"][f"encoder/{tiny_folder}"] == encoders.revision(tiny_folder)
    assert "sample/swa/text" in record["inputs"]
    kept = cache.find(beginning)
    assert kept is not None and cache.find(Recipe(made)) is None
    said = []
    materialise(Recipe(made), say=said.append)
    assert not any("update" in line for line in said), "it comes from the cache"
    assert open_encoder(made).network.config.vocab_size == 400


def test_a_folder_of_its_name_goes_first(made, tiny, tmp_path, rooms):
    encoders.save(tiny, tmp_path / "models" / "made")
    rooms(models=tmp_path / "models")
    assert beginnings.recipe_of(made) is None
    assert dense(made, TUNING).inputs()["encoder/made"].startswith("sha256:")
    assert Recipe(made).trained_prefix() == Recipe(made)


def test_plain_loading_says_who_makes_it(made):
    with pytest.raises(SmallerError, match="is made from .*open_encoder makes it"):
        encoders.load(made)


def test_the_encoder_of_the_mini_profile_is_described_as_it_comes_out():
    name, (source, steps) = next(iter(beginnings.BEGINNINGS.items()))
    known, base = encoders.ENCODERS[name], encoders.ENCODERS[source]
    assert (known.made_from, known.repository, known.revision) == (source, base.repository, base.revision)
    shape = {
        "layers": base.layers,
        "heads": base.heads,
        "hidden": base.hidden,
        "feed_forward": base.feed_forward,
        "vocabulary": base.vocabulary,
    }
    for step in steps:
        shape = step.resize(shape)
    assert shape == {field: getattr(known, field) for field in shape}


@pytest.mark.parametrize("made", [2], indirect=True, ids=["without training"])
def test_one_that_trains_nothing_is_kept_too(made, tiny_folder):
    assert Recipe(made).trained_prefix() == Recipe(tiny_folder, STEPS[:2])
    assert study.estimate([dense(made, TUNING)]).done == 0
    study.run([dense(made, TUNING)], workers=1)
    assert cache.find(Recipe(tiny_folder, STEPS[:2])) is not None
