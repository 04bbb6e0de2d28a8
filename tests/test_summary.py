"""The summary: kinds of recipe, the front that none beats, and what was made of the claims."""

from __future__ import annotations

import itertools

import pandas as pd
import pytest

from smaller import figures
from smaller.figures import summary as drawn
from smaller.findings import expense, summary
from smaller.recipes import Recipe, recipe_from_canonical
from smaller.steps import Cut, Distil, FineTune, Prune, Quantize, TrimVocabulary

SWA = FineTune("sample", "swa", seed=1)
YOR = FineTune("sample", "yor", seed=3)


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ((SWA,), "FineTune"),
        ((Prune(0.5), YOR), "Prune(0.5) > FineTune"),
        ((Prune(0.5, method="random", seed=2), SWA), "Prune(0.5, random) > FineTune"),
        ((Cut(2), YOR, Quantize("onnx-int8")), "Cut(2 layers) > FineTune > Quantize(onnx-int8)"),
        ((SWA, Distil(layers=2, on="task", dataset="sample", language="swa", seed=4)),
         "FineTune > Distil(2 layers, T 2)"),
        ((SWA, Distil(2, on="task", dataset="sample", language="swa", transfer_corpus="sample", transfer_lines=90)),
         "FineTune > Distil(2 layers + 90 lines, T 2)"),
        ((FineTune("sample", "amh+swa", seed=1), TrimVocabulary(size=900, languages=("swa",))),
         "FineTune > TrimVocabulary(900 pieces)"),
    ],
)  # fmt: skip
def test_a_kind_is_a_recipe_without_language_and_seed(steps, name):
    assert summary.family(Recipe("sample-small", steps).label) == name


def test_kinds_differ_where_settings_do():
    labels = [Recipe("sample-small", (SWA, Prune(share))).label for share in (0.5, 0.6)]
    assert len({summary.family(label) for label in labels}) == 2


def record(
    *steps, f1: float, megabytes: float, milliseconds: float | None = None, seconds: float = 10.0, dev: float = 0.0
) -> dict:
    """A record as the store has it, as far as the summary reads it."""
    recipe = Recipe("sample-small", steps)
    tuned = recipe.fine_tuning
    latency = {
        "milliseconds": milliseconds,
        "group": f"run {tuned.language}",
        "batch": 1,
        "threads": 1,
        "device_type": "cpu",
    }
    latency = latency if milliseconds else None
    return {
        "identity": recipe.identity,
        "recipe": recipe.canonical(),
        "inputs": {f"sample/{tuned.language}": "abc"},
        "steps": [step.canonical() | {"report": {"updates": 5, "seconds": seconds}} for step in steps[:1]],
        "scores": {f"sample/{tuned.language}/test": {"f1": f1}, f"sample/{tuned.language}/dev": {"f1": f1 + dev}},
        "cost": {"parameters": 1, "nonzero_parameters": 1, "achieved_sparsity": 0.0, "dense_bytes": 2e6 * megabytes,
                 "compressed_bytes": 1e6 * megabytes, "training_seconds": seconds, "latency": latency,
                 "latency_by_setting": [latency] if latency else [],
                 "evaluation_seconds": 8.0,
                 "shape": {"layers": 1, "heads": 1, "hidden": 1, "feed_forward": 1, "vocabulary": 1}},
        "provenance": {"commit": "1234", "libraries": {"torch": "2"}, "device": "a processor"},
    }  # fmt: skip


@pytest.fixture
def records() -> list[dict]:
    found = []
    for language, points in (("swa", 80.0), ("yor", 60.0)):
        for seed in (1, 2):
            tuning = FineTune("sample", language, seed=seed)
            found += [
                record(tuning, f1=points + seed, megabytes=8, milliseconds=4.0),
                record(tuning, Quantize("dynamic"), f1=points + seed - 1, megabytes=4, milliseconds=2.0),
                record(tuning, Prune(0.9), f1=points - 40, megabytes=6),
            ]
    found.append(record(FineTune("sample", "swa"), Prune(0.5), f1=99.0, megabytes=1))
    return found


def kinds(records) -> pd.DataFrame:
    table = summary.recipes(records, encoder="sample-small", dataset="sample", languages=["swa", "yor"])
    return summary.families(table)


def test_means_over_languages_and_intervals_over_seeds(records):
    found = kinds(records).set_index("family")
    assert list(found.index) == ["FineTune > Quantize(dynamic)", "FineTune > Prune(0.9)", "FineTune"]
    dense = found.loc["FineTune"]
    assert dense["f1"] == pytest.approx(71.5)
    assert dense["seeds"] == 2
    # Two seeds, 71 and 72: the t quantile of one degree of freedom is 12.706, the standard error 0.5.
    assert dense["high"] - dense["f1"] == pytest.approx(12.706 * 0.5, rel=1e-3)
    assert found.loc["FineTune > Quantize(dynamic)", "time_ratio"] == pytest.approx(0.5)
    assert found.loc["FineTune > Quantize(dynamic)", "drop"] == pytest.approx(1.0)
    assert pd.isna(found.loc["FineTune > Prune(0.9)", "time_ratio"])


def test_time_of_models_that_several_notebooks_timed_is_of_their_own_runs(records):
    """The dense model was timed again, twice as slow, beside a pruned one: each share is against its own run's."""
    dense, pruned = (next(one for one in records if summary.family(recipe_from_canonical(one["recipe"]).label) == name)
                     for name in ("FineTune", "FineTune > Prune(0.9)"))  # fmt: skip
    about = {"group": "another run", "batch": 1, "threads": 1, "device_type": "cpu"}
    dense["cost"]["latency_by_setting"].append(about | {"milliseconds": 8.0})
    pruned["cost"]["latency_by_setting"] = [about | {"milliseconds": 6.0}, about | {"milliseconds": 99.0, "batch": 8}]
    found = kinds(records).set_index("family")["time_ratio"]
    assert found["FineTune"] == 1.0 and found["FineTune > Quantize(dynamic)"] == pytest.approx(0.5)
    assert found["FineTune > Prune(0.9)"] == pytest.approx(0.75)


def test_a_kind_that_lacks_a_language_is_left_out(records):
    assert "FineTune > Prune(0.5)" not in set(kinds(records)["family"])


def test_the_front_and_the_choices(records):
    found = kinds(records)
    assert list(summary.front(found, cost="download_bytes")["family"]) == ["FineTune > Quantize(dynamic)", "FineTune"]
    chosen = summary.choices(found, drops=[0.5, 1.0])
    assert list(chosen["recipe"]) == ["leave it whole", "fine-tune, then quantize (dynamic)"]
    assert list(chosen["size"]) == ["100 %", "50 %"]
    assert list(chosen["time"]) == ["100 %", "50 %"]
    said = summary.recommendation(found, drops=[0.5, 1.0])
    assert said.startswith("To lose at most 0.5 points of F1: leave it whole, 8.00 MB to download")
    assert "To lose at most 1 point: fine-tune, then quantize (dynamic), 4.00 MB (50 %), F1 70.5." in said
    assert said.endswith("dynamic is Linear weights in int8 by torch.ao.quantization, the rest in fp32.")


def test_choices_are_made_on_dev_and_reported_on_test(records):
    """A kind that looks good on test alone is not chosen; one that looks good on dev is, with its loss on test."""
    for language, points in (("swa", 80.0), ("yor", 60.0)):
        for seed in (1, 2):
            tuning = FineTune("sample", language, seed=seed)
            records.append(record(tuning, Quantize("fp16"), f1=points + seed, megabytes=1, dev=-9.0))
            records.append(record(tuning, Quantize("bf16"), f1=points + seed - 3, megabytes=3, dev=3.0))
    chosen = summary.choices(kinds(records), drops=[0.5, 10.0])
    assert list(chosen["recipe"]) == ["fine-tune, then quantize (bf16)", "fine-tune, then quantize (fp16)"]
    assert list(chosen["lost"]) == ["3.0 ± 0.0", "0.0 ± 0.0"]


def test_the_choice_of_each_language(records):
    table = summary.recipes(records, encoder="sample-small", dataset="sample", languages=["swa", "yor"])
    found = summary.choices_by_language(table, drop=1.0)
    assert list(found["language"]) == ["Swahili", "Yoruba"] and list(found["F1, left whole"]) == ["81.5", "61.5"]
    assert set(found["recipe"]) == {"fine-tune, then quantize (dynamic)"}


def test_only_the_untouched_model_is_the_whole_one(records):
    trimmed = TrimVocabulary(size=900, languages=("swa",))
    for seed, language in itertools.product((1, 2), ("swa", "yor")):
        tuning = FineTune("sample", language, seed=seed)
        records.append(record(trimmed, tuning, f1=10.0, megabytes=1, milliseconds=1.0))
    found = kinds(records).set_index("family")
    assert found.loc["FineTune > Quantize(dynamic)", "drop"] == pytest.approx(1.0)
    assert found.loc["FineTune > Quantize(dynamic)", "time_ratio"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("family", "words"),
    [
        ("Pretrain > FineTune > Quantize(onnx-int8)", "fine-tune, then quantize (onnx-int8)"),
        ("Prune(0.55, layer) > FineTune", "prune (55 % of the weights, layer), then fine-tune"),
        ("Cut(2 layers) > Pretrain > FineTune", "cut (2 layers), then pre-train, then fine-tune"),
    ],
)
def test_a_kind_in_words(family, words):
    assert summary.in_words(family) == words


def test_without_a_dense_model_nothing_is_recommended(records):
    pruned = [one for one in records if "Prune" in recipe_from_canonical(one["recipe"]).label]
    assert summary.recommendation(kinds(pruned), drops=[1.0]).startswith("Not measured")


def test_the_figure_has_a_panel_for_each_cost(records):
    found = kinds(records)
    assert [axes.get_xlabel() for axes in figures.pareto(found)] == [
        "download (MB)", "time / dense model's time", "training (s)",
    ]  # fmt: skip
    assert len(figures.pareto(found.assign(time_ratio=float("nan")))) == 2


@pytest.mark.parametrize(
    ("technique", "kind"),
    [
        ("dense", "left whole"),
        ("cut", "fewer layers"),
        ("distilled", "fewer layers"),
        ("distilled + trimmed", "several steps"),
        ("pruned + quantized", "several steps, then quantized"),
        ("truncated", "several steps"),
    ],
)
def test_techniques_have_few_kinds_and_each_its_look(technique, kind):
    assert drawn.kind_of(technique) == kind and kind in drawn.LOOKS
    assert len(set(drawn.LOOKS.values())) == len(drawn.LOOKS)
    assert (
        drawn.kind_of("dense", "FineTune") == "left whole"
        and drawn.kind_of("dense", "Adapt > FineTune") != "left whole"
    )


def test_the_legend_names_each_kind_once_and_a_long_recipe_is_wrapped(records):
    found = kinds(records)
    long = (
        "Adapt > Distil(4 layers, mse) > PruneHeads(6) > TrimVocabulary(4,000 pieces) > FineTune > Quantize(onnx-int8)"
    )
    cheapest = found["download_bytes"] == found["download_bytes"].min()
    found["family"] = found["family"].mask(cheapest, long)
    panel = figures.pareto(found)[0]
    labels = [text.get_text() for text in panel.figure.legends[0].get_texts()]
    assert labels == ["left whole", "pruned", "quantized", "front"]
    text = panel.texts[0].get_text()
    assert max(map(len, text.splitlines())) <= 30 and "Quantize(onnx-int8)" in text and "mse" not in text


def test_the_figure_of_languages_has_a_row_for_each(records):
    table = summary.recipes(records, encoder="sample-small", dataset="sample", languages=["swa", "yor"])
    panels = figures.pareto_by_language(table)
    assert [panel.get_title(loc="left") for panel in panels[::3]] == ["Swahili", "Yoruba"]
    assert [panel.get_xlabel() for panel in panels[3:]] == [
        "download (MB)", "time / dense model's time", "training (s)",
    ]  # fmt: skip
    # Each language's own front, whose points are not those of the mean.
    fronts = [next(line for line in panel.lines if line.get_label() == "front").get_ydata() for panel in panels[::3]]
    assert [list(front) for front in fronts] == [[80.5, 81.5], [60.5, 61.5]]
    assert summary.fronts_in_words(table) == (
        "2 kinds of recipe are on the front of F1 and bytes in all 2 languages, 0 in one alone. The smallest of those "
        "that all share: fine-tune, then quantize (dynamic)."
    )


def test_points_lost_are_paired_by_seed(records):
    """A kind that was run with the better seed alone is compared with that seed of the dense model."""
    for language, points in (("swa", 80.0), ("yor", 60.0)):
        records.append(record(FineTune("sample", language, seed=2), Quantize("fp16"), f1=points + 2, megabytes=5))
    found = kinds(records).set_index("family")
    assert found.loc["FineTune > Quantize(fp16)", "drop"] == pytest.approx(0.0)
    row = found.loc["FineTune > Quantize(dynamic)"]
    assert (row["drop_low"], row["drop"], row["drop_high"]) == pytest.approx((1.0, 1.0, 1.0))
    told = summary.shown(found.reset_index()).set_index("recipe")["lost"]
    assert told["FineTune > Quantize(fp16)"] == "0.0" and told["FineTune > Quantize(dynamic)"] == "1.0 ± 0.0"


def test_trainings_that_recipes_share_are_counted_once(records):
    table = expense.checklist(records).set_index("item")["here"]
    assert table["recipes with a record"] == "13"
    assert table["trainings, each done once"] == "4"
    assert table["hours of training"] == f"{4 * 10 / 3600:.2f}"
    assert table["energy"].startswith("not estimated")  # "a processor" does not say how many threads it had
    spent = expense.expense([one | {"provenance": {"device": "x86_64 processor, 2 threads"}} for one in records])
    assert spent.kilowatt_hours == pytest.approx((4 * 10 + 13 * 8) * 2 * expense.WATTS_PER_CORE / 3.6e6)
    assert "an estimate and not a measurement" in expense.energy_in_words(spent)
