"""A finished recipe as a shipped folder: found by its name, quantized on the way, with a card of what was measured."""

from __future__ import annotations

import pytest

from smaller import release, results, study
from smaller.errors import SmallerError
from smaller.recipes import Recipe
from smaller.release import card_of, finished, ship_command
from smaller.shipping import open_shipped
from smaller.statistics import t_interval
from smaller.steps import FineTune, Prune

pytestmark = pytest.mark.usefixtures("fresh_folders", "few_sentences")


@pytest.fixture
def recipes(tiny_folder) -> list[Recipe]:
    """One recipe with two seeds, and a pruned one, all finished."""
    tunings = [FineTune("sample", "swa", epochs=1, learning_rate=1e-3, seed=seed) for seed in (1, 2)]
    made = [Recipe(tiny_folder, (tuning,)) for tuning in tunings]
    made.append(made[0].then(Prune(0.5)))
    study.run(made, workers=1, say=lambda line: None)
    return made


def test_a_finished_recipe_is_shipped_as_it_is_and_quantized(recipes, tmp_path):
    lines = list(ship_command(recipes[0].identity, tmp_path / "model"))
    assert str(recipes[0]) in lines[0]
    assert "MB in the form trained" in lines[-1]
    assert open_shipped(tmp_path / "model").labels[0] == "O"
    list(ship_command(recipes[2].identity[:8], tmp_path / "small", form="fp16"))
    assert open_shipped(tmp_path / "small").form == "fp16"
    assert "Prune(0.5) > Quantize(fp16)" in (tmp_path / "small" / "README.md").read_text(encoding="utf-8")


def test_the_card_has_the_interval_over_seeds_and_both_licences(recipes):
    card = card_of(recipes[0])
    row = next(row for row in card["scores"] if row["set"].endswith("/test"))
    found = [results.read(recipe)["scores"][row["set"]]["f1"] for recipe in recipes[:2]]
    interval = t_interval(found)
    assert (row["metric"], row["score"], row["mean"], row["seeds"]) == ("span F1", found[0], interval.mean, 2)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high), nan_ok=True)
    assert card["data"][0]["name"] == "sample"
    assert "Data sample: Apache-2.0" in card["licence"]
    assert card["languages"] == ["swa"]


def test_non_commercial_data_are_pointed_out():
    from smaller.data import datasets

    said = release._licence(Recipe("afriberta-base"), [datasets.dataset("masakhaner")])
    assert "Encoder afriberta-base: none named on the hub (afriberta_large: MIT)." in said
    assert "masakhaner: CC BY-NC 4.0" in said
    assert "non-commercial use only" in said


def test_a_recipe_is_found_by_its_first_digits_or_its_label(recipes):
    assert finished(recipes[2].identity[:12]) == recipes[2]
    assert finished(recipes[1].label) == recipes[1]
    with pytest.raises(SmallerError, match="There is no finished recipe '0123'"):
        finished("0123")
    with pytest.raises(SmallerError, match="no finished recipe 'f'"):  # too short to be meant
        finished("f")
    with pytest.raises(SmallerError, match="is not finished"):
        card_of(Recipe(recipes[0].encoder, (FineTune("sample", "swa", seed=9),)))
