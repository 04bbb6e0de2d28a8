"""A finished recipe as a shipped folder: found by its name, quantized on the way, with a card of what was measured."""

from __future__ import annotations

import pytest

from smaller import study
from smaller.analysis.statistics import t_interval
from smaller.base.errors import SmallerError
from smaller.deploy.recorded import card_of, finished, licence_of, ship_command
from smaller.formats.shipping import folder_bytes, open_shipped, ship
from smaller.study import results, timing
from smaller.study.cost import Setting
from smaller.study.jobs import materialise
from smaller.study.recipes import Recipe, imitation
from smaller.study.steps import FineTune, Prune, TrimVocabulary
from smaller.study.steps.quantization import Quantize

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
    shipped = results.read(recipes[0])["cost"]["shipped_bytes"]
    assert f"model: {shipped / 1e6:.2f} MB in the format trained" in lines[-1]
    assert shipped == folder_bytes(tmp_path / "model")
    assert open_shipped(tmp_path / "model").labels[0] == "O"
    list(ship_command(recipes[2].identity[:8], tmp_path / "small", form="fp16"))
    assert open_shipped(tmp_path / "small").form == "fp16"
    assert "Prune(0.5) > Quantize(fp16)" in (tmp_path / "small" / "README.md").read_text(encoding="utf-8")


def test_records_have_the_bytes_that_ship_of_every_kind_of_model(recipes, tmp_path):
    dense = recipes[0]
    small = dense.then(TrimVocabulary(900, languages=("swa",)))
    student = dense.then(imitation(dense.fine_tuning, 1))
    made = [
        *recipes,
        small,
        student,
        small.then(Prune(0.5)),
        *(dense.then(Quantize(form)) for form in ("fp16", "dynamic", "llm.int8", "onnx")),
        *(recipe.then(Quantize("onnx-int8")) for recipe in (dense, recipes[2], small, student)),
    ]
    table = study.run(made, workers=1, say=lambda line: None)
    said = table.groupby("identity")["shipped_bytes"].first()
    for place, recipe in enumerate(made):
        folder = ship(materialise(recipe)[0], tmp_path / str(place))
        assert said[recipe.identity] == folder_bytes(folder), recipe


def test_the_card_says_both_times(recipes):
    assert "latency" not in card_of(recipes[0])["cost"]
    timing.time_side_by_side(recipes[:1], sentences=2, rounds=1, settings=[Setting()])
    record = results.read(recipes[0])
    entry = record["cost"]["latency"]
    entry |= {"milliseconds": 0.25, "end_to_end_milliseconds": 0.4}
    results.write(record)
    said = "text to labels: 0.40 ms for a sentence, of which the network 0.25 ms"
    assert card_of(recipes[0])["cost"]["latency"] == f"{said} ({Setting().protocol})"
    del entry["end_to_end_milliseconds"]
    results.write(record)
    assert card_of(recipes[0])["cost"]["latency"].startswith("token ids to logits: 0.25 ms for a sentence (batch 1")


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

    said = licence_of(Recipe("afriberta-base"), [datasets.dataset("masakhaner")])
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
