"""The summary: kinds of recipe, the front that none beats on dev, and what a study has taken."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from smaller.analysis import figures
from smaller.analysis.comparison import DIFFERS, NOT_COMPARABLE, NOT_DECIDED, NOT_MEASURED
from smaller.analysis.figures import models as drawn
from smaller.analysis.findings import summary, units
from smaller.analysis.findings.finding import ANSWERED
from smaller.analysis.statistics import LACKING, by_seed
from smaller.notebook import expense
from smaller.notebook.display import in_numbers
from smaller.notebook.runner import NotebookRun
from smaller.study import Plan
from smaller.study.kinds import is_whole, kind
from smaller.study.plain import IN_WORDS
from smaller.study.recipes import Recipe
from smaller.study.steps import Adapt, Cut, Distil, FineTune, Pretrain, Prune, Quantize, TrimVocabulary

SWA = FineTune("sample", "swa", seed=1)
YOR = FineTune("sample", "yor", seed=3)
DENSE, INT8 = "fine-tune", "fine-tune, then quantize (dynamic)"
ON_TASK = {"on": "task", "dataset": "sample", "language": "swa"}


def forms(*steps) -> list[dict]:
    return [step.canonical() for step in steps]


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        ((SWA,), "fine-tune"),
        ((Pretrain(), SWA), "fine-tune"),
        ((Prune(0.55, scope="layer"), YOR), "prune (55 % of the weights, layer), then fine-tune"),
        ((Prune(0.5, method="random", seed=2), SWA), "prune (50 % of the weights, random), then fine-tune"),
        (
            (Cut(2), Pretrain(), YOR, Quantize("onnx-int8")),
            "cut (2 layers), then pre-train, then fine-tune, then quantize (onnx-int8)",
        ),
        ((SWA, Distil(2, **ON_TASK, seed=4)), "fine-tune, then distil (2 layers, on the task)"),
        (
            (
                SWA,
                Distil(2, **ON_TASK, transfer_corpus="sample", transfer_lines=90, logits_weight=0.0, labels_weight=1.0),
            ),
            "fine-tune, then distil (2 layers, on the task, logits weight 0, labels weight 1, 90 unlabelled lines)",
        ),
        (
            (FineTune("sample", "amh+swa", seed=1), TrimVocabulary(size=900, languages=("swa",))),
            "fine-tune, then trim the vocabulary (to 900)",
        ),
        ((FineTune("sample", "swa", adapter=4, epochs=9),), "fine-tune (adapter 4)"),
    ],
)
def test_a_kind_is_a_recipe_without_data_language_seed_and_length(steps, name):
    assert kind(forms(*steps)) == name


def test_kinds_differ_where_settings_do():
    """By the values of the steps: two sparsities, two losses, and two starts."""
    students = [{}, {"logits": "mse"}, {"start": "random"}]
    several = [Prune(0.5), Prune(0.6), *(Distil(2, **ON_TASK, **about) for about in students)]
    assert len({kind(forms(SWA, step)) for step in several}) == len(several)


@pytest.mark.parametrize(
    ("steps", "whole"),
    [
        ((SWA,), True),
        ((Pretrain(), SWA), True),
        ((SWA, Quantize("fp16")), False),
        ((Adapt("sample", "swa"), SWA), False),
        ((FineTune("sample", "swa", adapter=4),), False),
        ((Pretrain(),), False),
        ((), False),
    ],
)
def test_only_fine_tuning_leaves_a_model_whole(steps, whole):
    assert is_whole(forms(*steps)) == whole


def record(
    *steps,
    f1: float,
    megabytes: float,
    milliseconds: float | None = None,
    end_to_end: float | None = None,
    shipped: float | None = None,
    seconds: float = 10.0,
    dev: float = 0.0,
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
    latency = (latency | ({"end_to_end_milliseconds": end_to_end} if end_to_end else {})) if milliseconds else None
    cost = {
        "parameters": 1,
        "nonzero_parameters": 1,
        "achieved_sparsity": 0.0,
        "dense_bytes": 1e6 * megabytes,
        "compressed_bytes": 0.5e6 * megabytes,
        "training_seconds": seconds,
        "latency": latency,
        "latency_by_setting": [latency] if latency else [],
        "evaluation_seconds": 8.0,
        "shape": {"layers": 1, "heads": 1, "hidden": 1, "feed_forward": 1, "vocabulary": 1},
    }
    return {
        "identity": recipe.identity,
        "recipe": recipe.canonical(),
        "inputs": {f"sample/{tuned.language}": "abc"},
        "steps": [step.canonical() | {"report": {"updates": 5, "seconds": seconds}} for step in steps[:1]],
        "scores": {f"sample/{tuned.language}/test": {"f1": f1}, f"sample/{tuned.language}/dev": {"f1": f1 + dev}},
        "cost": cost | ({"shipped_bytes": 1e6 * shipped} if shipped else {}),
        "provenance": {"commit": "1234", "libraries": {"torch": "2"}, "device": "a processor"},
    }


POINTS = {"swa": 80.0, "yor": 60.0}


def each(seeds=(1, 2, 3)):
    """A fine-tuning of each language and seed, with the dense F1 there."""
    return [
        (FineTune("sample", language, seed=seed), points + seed)
        for (language, points), seed in itertools.product(POINTS.items(), seeds)
    ]


@pytest.fixture
def records() -> list[dict]:
    found = []
    for tuning, f1 in each():
        wiggle = 0.1 * (tuning.seed - 2)
        found += [
            record(tuning, f1=f1, megabytes=8, milliseconds=4.0),
            record(tuning, Quantize("dynamic"), f1=f1 - 1 + wiggle, megabytes=4, milliseconds=2.0),
            record(tuning, Prune(0.9), f1=f1 - 40 + 2 * wiggle, megabytes=6),
        ]
    return [*found, record(SWA, Prune(0.5), f1=99.0, megabytes=1)]


def table_of(records, **options) -> pd.DataFrame:
    return summary.recipes(records, encoder="sample-small", dataset="sample", languages=["swa", "yor"], **options)


def behind(records) -> pd.DataFrame:
    """With a model without an encoder that is eight points behind: the gate is open."""
    return table_of(records, plain=without_encoder(-8.0))


def kinds(records, **options) -> pd.DataFrame:
    return summary.families(table_of(records, **options)).set_index("kind")


def without_encoder(f1: float, *, megabytes: float = 0.5, **about) -> pd.DataFrame:
    """What `smaller.study.plain` gives: one model for each language, with no seed."""
    rows = [
        {
            "identity": f"plain {language}",
            "encoder": "crf",
            "technique": "plain",
            "dataset": "sample",
            "seed": 0,
            "language": language,
            "split": split,
            "noise": "",
            "trained_on": f"sample/{language}",
            "order": "",
            "f1": points + f1,
            "score": points + f1,
            "dense_bytes": 1e6 * megabytes,
            "shipped_bytes": 1e6 * megabytes,
            "training_seconds": 3.0,
        }
        | about
        for language, points in POINTS.items()
        for split in ("dev", "test")
    ]
    return pd.DataFrame(rows)


def test_means_over_languages_intervals_over_seeds_and_one_comparison(records):
    found = kinds(records)
    assert list(found.index) == [INT8, "fine-tune, then prune (90 % of the weights)", DENSE]
    dense = found.loc[DENSE]
    assert dense["F1"].mean == dense["f1"] == pytest.approx(72.0) and dense["F1"].n == 3 and dense["minus"] is None
    # Seeds 71, 72 and 73: the t quantile of two degrees of freedom is 4.303, the standard error 1 / sqrt(3).
    assert dense["F1"].high - dense["f1"] == pytest.approx(4.303 / math.sqrt(3), rel=1e-3)
    minus = found.loc[INT8, "minus"]
    assert minus.mean == pytest.approx(-1.0) and minus.n == 3 and not hasattr(minus, "verdict")
    (chosen,) = summary.choices(behind(records), drops=[2.0])["minus uncompressed"]
    assert chosen.interval == minus and (chosen.of, chosen.languages, chosen.verdict) == (1, ("swa", "yor"), DIFFERS)
    assert found.loc[INT8, "time_ratio"] == pytest.approx(0.5)
    assert pd.isna(found.loc["fine-tune, then prune (90 % of the weights)", "time_ratio"])


def test_time_of_models_that_several_notebooks_timed_is_of_their_own_runs(records):
    """The dense model was timed again, twice as slow, beside a pruned one: each share is against its own run's."""
    name = "fine-tune, then prune (90 % of the weights)"
    about = {"group": "another run", "batch": 1, "threads": 1, "device_type": "cpu"}
    pairs = zip(*([r for r in records if kind(r["recipe"]["steps"]) == one] for one in (DENSE, name)), strict=True)
    for number, (dense, pruned) in enumerate(pairs):
        times = [about | {"milliseconds": 6.0}, about | {"milliseconds": 99.0, "batch": 8}]
        if not number:
            dense["cost"].setdefault("latency_by_setting", []).append(about | {"milliseconds": 8.0})
            pruned["cost"]["latency_by_setting"] = times
            found = kinds(records)["time_ratio"]
            assert math.isnan(found[name]), "a time of one language is none beside those of all"
        dense["cost"].setdefault("latency_by_setting", []).append(about | {"milliseconds": 8.0})
        pruned["cost"]["latency_by_setting"] = times
    found = kinds(records)["time_ratio"]
    assert found[DENSE] == 1.0 and found[INT8] == pytest.approx(0.5)
    assert found[name] == pytest.approx(0.75)


def test_a_kind_that_lacks_a_language_and_rounded_weights_are_left_out(records):
    assert "fine-tune, then prune (50 % of the weights)" not in kinds(records).index


def test_sizes_are_what_ships_where_every_record_says_it_and_else_weights(records):
    found = kinds(records)
    assert set(found["counted"]) == {"dense_bytes"} and found.loc[INT8, "bytes"] == 4e6
    assert units.SIZE["dense_bytes"] in summary.units(found)
    for one in records:
        one["cost"]["shipped_bytes"] = 2 * one["cost"]["dense_bytes"] + 1
    found = kinds(records)
    assert set(found["counted"]) == {"shipped_bytes"} and found.loc[INT8, "bytes"] == 8e6 + 1
    assert units.SIZE["shipped_bytes"] in summary.units(found)
    records[0]["cost"].pop("shipped_bytes")
    assert set(kinds(records)["counted"]) == {"dense_bytes"}


def test_time_is_end_to_end_where_every_timed_record_says_it_and_else_the_networks(records):
    assert set(kinds(records)["timed"]) == {"milliseconds"}
    for one in records:
        if one["cost"]["latency"]:
            # The tokenizer takes 1 ms of either: half of the network's time is 60 % of the whole.
            one["cost"]["latency"]["end_to_end_milliseconds"] = 1.0 + one["cost"]["latency"]["milliseconds"]
    found = kinds(records)
    assert set(found["timed"]) == {"end_to_end_milliseconds"} and found.loc[INT8, "time_ratio"] == pytest.approx(0.6)
    assert units.TIME["end_to_end_milliseconds"] in summary.units(found)


def test_a_front_and_choices_are_made_on_dev_and_reported_on_test(records):
    """A kind that looks good on test alone is not on the front; one that looks good on dev is, at its F1 on test."""
    for tuning, f1 in each():
        records.append(record(tuning, Quantize("fp16"), f1=f1, megabytes=1, dev=-9.0))
        records.append(record(tuning, Quantize("bf16"), f1=f1 - 3 - 0.1 * tuning.seed, megabytes=3, dev=3.5))
    found = kinds(records)
    fp16, bf16 = ("fine-tune, then quantize (fp16)", "fine-tune, then quantize (bf16)")
    assert list(summary.front(found.reset_index(), cost="bytes")["kind"]) == [fp16, bf16]
    chosen = summary.choices(behind(records), drops=[0.5, 10.0])
    assert list(chosen["recipe"]) == [bf16, fp16]
    assert chosen["minus uncompressed"].iloc[0].interval.mean == pytest.approx(-3.2)
    assert list(chosen["loses less"]) == ["loses more", "shown"] and list(chosen["size (%)"]) == [37.5, 12.5]


def test_a_single_lucky_seed_is_never_on_the_front_nor_chosen(records):
    for tuning, f1 in each(seeds=(1,)):
        records.append(record(tuning, Quantize("fp16"), f1=f1 + 9, megabytes=1))
    found = kinds(records)
    assert not found.loc["fine-tune, then quantize (fp16)", "complete"]
    assert not found.loc["fine-tune, then quantize (fp16)", "minus"].known
    assert "fine-tune, then quantize (fp16)" not in set(summary.front(found.reset_index(), cost="bytes")["kind"])
    assert list(summary.choices(behind(records), drops=[5.0])["recipe"]) == [INT8]


def test_choices_and_what_is_shown_of_them(records):
    table = behind(records)
    chosen = summary.choices(table, drops=[0.5, 1.0, 2.0])
    assert list(chosen["recipe"]) == ["leave it uncompressed", INT8, INT8]
    # The interval of -1.0 ± 0.25 excludes a loss of two points, and not one of one point.
    assert list(chosen["loses less"]) == ["shown", NOT_DECIDED, "shown"]
    assert list(chosen["time (%)"]) == [100, 50, 50] and chosen["minus uncompressed"].iloc[0] is None
    found = summary.recommendation(table, drops=[1.0, 2.0])
    assert found.verdict == NOT_DECIDED and found.quantity.interval.mean == pytest.approx(-1.0)
    assert list(found.values["choices"]["MB"]) == [4.0, 4.0]
    assert {one.kind for one in chosen["over sentences"][1:]} == {LACKING}
    assert summary.recommendation(table, drops=[2.0]).verdict == ANSWERED


def test_one_seed_decides_nothing(records):
    one = behind([own for own in records if own["recipe"]["steps"][0]["seed"] == 1])
    assert summary.recommendation(one, drops=[2.0]).verdict == NOT_COMPARABLE, "one seed shows no lead"
    minus = summary.families(one).set_index("kind")["minus"]
    assert not minus[INT8].known and summary.ahead(one).verdict == NOT_DECIDED
    assert summary.choices(one, drops=[2.0])["at most lost on dev (points)"].isna().all()


def test_the_choice_of_each_language(records):
    found = summary.choices_by_language(behind(records), drop=1.0)
    assert list(found["language"]) == ["Swahili", "Yoruba"]
    assert [one.mean for one in found["uncompressed"]] == pytest.approx([82.0, 62.0])
    minus = found["minus uncompressed"]
    assert set(found["recipe"]) == {INT8} and [one.interval.n for one in minus] == [3, 3]
    assert [one.of for one in minus] == [2, 2] and minus[0].corrected == pytest.approx(2 * minus[0].p), "two languages"


def test_without_a_dense_model_nothing_is_recommended(records):
    pruned = [one for one in records if len(one["recipe"]["steps"]) > 1]
    assert summary.recommendation(table_of(pruned), drops=[1.0]).verdict == NOT_MEASURED
    assert summary.choices_by_language(behind(pruned), drop=1.0).empty


def test_points_lost_are_paired_by_seed(records):
    """A kind that was run with the better seeds alone is compared with those seeds of the dense model."""
    for tuning, f1 in each(seeds=(2, 3)):
        records.append(record(tuning, Quantize("fp16"), f1=f1 + 0.01 * tuning.seed, megabytes=5))
    minus = kinds(records).loc["fine-tune, then quantize (fp16)", "minus"]
    assert minus.n == 2 and minus.mean == pytest.approx(0.025)


def test_of_several_settings_each_language_takes_the_best_on_dev(records):
    """Records of a search for a rate are no more seeds of one kind; the setting with all seeds counts first."""
    for tuning, f1 in each():
        other = FineTune("sample", tuning.language, seed=tuning.seed, epochs=9)
        records.append(record(other, f1=f1 - 5, megabytes=8, dev=5 + (1 if tuning.language == "swa" else -1)))
    records.append(record(FineTune("sample", "yor", epochs=3), f1=99.0, megabytes=8))
    dense = table_of(records).query("whole")
    assert dense.groupby("language")["f1"].mean().to_dict() == {"swa": 77.0, "yor": 62.0}
    assert len(dense) == 6


def test_of_recipes_that_differ_in_an_earlier_seed_alone_one_stands_for_each_seed(records):
    for tuning, f1 in each():
        for earlier in (1, tuning.seed):
            records.append(record(Adapt("sample", tuning.language, seed=earlier), tuning, f1=f1, megabytes=8))
    found = table_of(records).query("kind == 'adapt to the language, then fine-tune'")
    assert len(found) == 6 and kinds(records).loc["adapt to the language, then fine-tune", "F1"].n == 3


def test_what_was_drawn_once_is_named(records):
    for tuning, f1 in each():
        once = Adapt("sample", tuning.language, seed=1)
        anew = Adapt("sample", tuning.language, seed=tuning.seed)
        records.append(record(once, tuning, f1=f1 + 0.1 * tuning.seed, megabytes=8))
        records.append(record(anew, tuning, Prune(0.5), f1=f1 + 0.1 * tuning.seed, megabytes=8))
    found = kinds(records)["drawn once"]
    assert found["adapt to the language, then fine-tune"] == "the adaptation"
    adapted = "adapt to the language, then fine-tune, then prune (50 % of the weights)"
    assert found[adapted] == "" == found[INT8]
    for tuning, f1 in each():
        once = Adapt("sample", tuning.language, seed=1)
        records.append(record(once, tuning, Quantize("fp16"), f1=f1 + 0.1 * tuning.seed, megabytes=1))
    (chosen,) = summary.choices(behind(records), drops=[2.0])["minus uncompressed"]
    assert chosen.drawn_once == ("the adaptation",)


def test_a_difference_has_one_verdict_wherever_it_stands(records):
    """Corrected for two kinds here and for all there, one difference was "differs" and "not decided"."""
    for tuning, f1 in each():
        records.append(record(tuning, Quantize("fp16"), f1=f1 - 1 - 0.14 * (tuning.seed - 2), megabytes=2))
    for share in range(1, 15):
        records += [record(tuning, Prune(share / 20), f1=f1 - tuning.seed, megabytes=7) for tuning, f1 in each()]
    table = behind(records)
    chosen, found = summary.choices(table, drops=[2.0]), summary.families(table)
    (minus,) = chosen["minus uncompressed"]
    assert minus.verdict == DIFFERS and len(found) > 15 and len(found) * minus.p > 0.05, "which all would not show"
    wide = [in_numbers(shown) for shown in (found, summary.shown(found), chosen)]
    verdicts = [[name for name in own if name.endswith(", verdict")] for own in wide]
    assert verdicts == [[], [], ["minus uncompressed, verdict"]]
    one = table[table["language"] == "swa"]
    assert len(summary.choices(one, drops=[2.0])) == 1 and summary.choices_by_language(one, drop=2.0).empty


def test_a_model_without_an_encoder_stands_among_the_kinds(records):
    crf = IN_WORDS["crf"]
    found = kinds(records, plain=without_encoder(-8.0))
    assert found.loc[crf, ["bytes", "technique", "complete"]].tolist() == [0.5e6, "plain", True]
    # 72, 62 and so on against 71, 72 and 73 over both languages: it has no seed, and stands beside each.
    minus = found.loc[crf, "minus"]
    assert minus.mean == pytest.approx(-10.0) and minus.n == 3
    assert found.loc[crf, "drawn once"] == "", "nothing in it is drawn"
    # Its file has no place on a front of weights; among folders that ship it is the smallest.
    assert list(summary.front(found.reset_index(), cost="bytes")["kind"]) == [INT8, DENSE]
    shipped = found.assign(counted="shipped_bytes").reset_index()
    assert list(summary.front(shipped, cost="bytes")["kind"]) == [crf, INT8, DENSE]
    assert "no such size: its own is that of its whole file" in summary.units(found.reset_index())
    told = summary.recommendation(behind(records), drops=[2.0])
    assert told.verdict == ANSWERED and summary.ahead(behind(records)).quantity.interval.mean == pytest.approx(10.0)


@pytest.mark.parametrize("lead", [2.0, 9.0, None])
def test_nothing_is_recommended_where_the_dense_model_is_not_ahead_of_one_without_an_encoder(records, lead):
    """The box refused, and both tables went on to list recipes."""
    table = table_of(records, plain=None if lead is None else without_encoder(lead))
    told = summary.recommendation(table, drops=[2.0])
    assert told.verdict == NOT_COMPARABLE and (told.quantity is None) == (lead is None)
    for found, rows in (summary.choices(table, drops=[0.5, 2.0]), 1), (summary.choices_by_language(table, drop=2.0), 2):
        assert len(found) == (0 if lead is None else rows)
        if lead is not None:
            assert set(found["MB"]) == {0.5} and found["at most lost on dev (points)"].isna().all()


def test_the_gate_is_of_each_language(records):
    plain = without_encoder(-8.0)
    plain.loc[plain["language"] == "yor", ["f1", "score"]] += 20.0
    found = summary.choices_by_language(table_of(records, plain=plain), drop=1.0).set_index("language")
    assert found.loc["Swahili", "recipe"] == INT8 and found.loc["Yoruba", "MB"] == 0.5


def test_a_model_without_an_encoder_has_no_share_of_a_time_that_another_run_measured(records):
    for one in records:
        if one["cost"]["latency"]:
            one["cost"]["latency"]["end_to_end_milliseconds"] = 1.0 + one["cost"]["latency"]["milliseconds"]
    found = kinds(records, plain=without_encoder(-8.0, end_to_end_milliseconds=0.5))
    assert pd.isna(found.loc[IN_WORDS["crf"], "time_ratio"])
    assert set(found["timed"]) == {"end_to_end_milliseconds"} and found.loc[INT8, "time_ratio"] == pytest.approx(0.6)


def test_the_fronts_of_the_languages(records):
    for tuning, f1 in each():
        if tuning.language == "swa":
            records.append(record(tuning, Quantize("fp16"), f1=f1 - 2, megabytes=2))
        else:
            records.append(record(tuning, Quantize("fp16"), f1=f1 + 9, megabytes=2))
    found = summary.fronts(summary.families_by_language(table_of(records)))
    assert found.values["shared"] == {"fine-tune, then quantize (fp16)"} and found.values["alone"] == 2
    assert found.values["ends"] == [DENSE, "fine-tune, then quantize (fp16)"]


def test_a_model_without_an_encoder_shares_no_axis_of_another_currency(records):
    """Its time is from text to labels, and its training may be another machine's."""
    crf, shares = IN_WORDS["crf"], {"plain swa": 0.1, "plain yor": 0.1}
    elsewhere = kinds(records, plain=without_encoder(-8.0, device="another"), plain_shares=shares)
    assert (
        set(elsewhere["timed"]) == {"milliseconds"}
        and elsewhere.loc[crf, ["time_ratio", "training_seconds"]].isna().all()
    )
    assert elsewhere.drop(crf)["training_seconds"].notna().all()
    here = kinds(records, plain=without_encoder(-8.0, device="a processor, 2 threads"))
    assert here.loc[crf, "training_seconds"] > 0


def test_the_figure_has_a_panel_for_each_cost(records):
    table = table_of(records)
    found = summary.families(table)
    labels = [axes.get_xlabel() for axes in figures.pareto(found, table)]
    assert labels == ["weights (MB)", "time (% of uncompressed)", "training (s)"]
    shipped = figures.pareto(found.assign(time_ratio=float("nan"), counted="shipped_bytes"), table)
    assert [axes.get_xlabel() for axes in shipped] == ["folder that ships (MB)", "training (s)"]


def test_the_axis_of_a_cost_reads_in_steps(records):
    records += [record(tuning, Quantize("fp16"), f1=f1 - 2, megabytes=0.7) for tuning, f1 in each()]
    panel = figures.pareto(summary.families(table := table_of(records)), table)[0]
    panel.figure.canvas.draw()
    ticks = [float(tick.get_text()) for tick in panel.get_xticklabels() if tick.get_text()]
    assert ticks and all(f"{tick:e}"[0] in "125" and tick == float(f"{tick:.0e}") for tick in ticks)


def test_the_front_is_chosen_on_dev_and_drawn_with_test(records):
    for tuning, f1 in each():
        records.append(record(tuning, Quantize("bf16"), f1=f1 - 3, megabytes=3, dev=3.5))
    panel = figures.pareto(summary.families(table := table_of(records)), table)[0]
    line = next(line for line in panel.lines if line.get_label() == "front, chosen on dev")
    assert list(line.get_xdata()) == [3.0] and list(line.get_ydata()) == [69.0]


@pytest.mark.parametrize(
    ("technique", "whole", "look"),
    [
        ("dense", True, "uncompressed"),
        ("dense", False, "several steps"),
        ("cut", False, "fewer layers"),
        ("distilled", False, "fewer layers"),
        ("trimmed", False, "trimmed vocabulary"),
        ("plain", False, "no encoder"),
        ("distilled + trimmed", False, "several steps"),
        ("pruned + quantized", False, "several steps, then quantized"),
        ("truncated", False, "several steps"),
    ],
)
def test_techniques_have_few_looks(technique, whole, look):
    assert drawn.look_of(technique, whole=whole) == look and look in drawn.LOOKS
    assert len(set(drawn.LOOKS.values())) == len(drawn.LOOKS)


def test_the_legend_names_each_look_that_is_drawn_once(records):
    table = table_of(records)
    found = summary.families(table)
    panel = figures.pareto(found, table)[0]
    labels = [text.get_text() for text in panel.figure.legends[0].get_texts()]
    assert labels == ["uncompressed", "quantized", "front, chosen on dev"], "the pruned model has lost too much"
    points = [own.get_offsets()[:, 1] for own in panel.collections if own.get_label() in labels]
    seeds = np.concatenate([line.get_ydata() for line in panel.lines if line.get_marker() == "."])
    assert sorted(seeds) == sorted(by_seed(table[~table["kind"].str.contains("prune")], by=["kind"]))
    assert np.concatenate(points).min() >= found["f1"].max() - 15 > panel.get_ylim()[0] and not panel.texts


def test_encoders_stay_in_the_figure_where_a_model_without_one_is_far_ahead(records):
    """The figure was empty but for that model."""
    table = table_of(records)
    found = summary.families(table)
    ahead = found[found["whole"]].assign(kind="no encoder", technique=summary.WITHOUT, whole=False, f1=99.0)
    panel = figures.pareto(pd.concat([found, ahead], ignore_index=True), table)[0]
    drawn = {own.get_label() for own in panel.collections}
    assert {"uncompressed", "quantized"} < drawn and panel.get_ylim()[0] < 70 < 99 < panel.get_ylim()[1]


def test_the_figure_of_languages_has_a_row_for_each(records):
    table = table_of(records)
    panels = figures.pareto(summary.families_by_language(table), table)
    assert [panel.get_title(loc="left") for panel in panels[::3]] == ["Swahili", "Yoruba"]
    assert [panel.get_xlabel() for panel in panels[3:]] == ["weights (MB)", "time (% of uncompressed)", "training (s)"]
    # Each language's own front, whose points are not those of the mean.
    fronts = [
        next(line for line in panel.lines if line.get_label().startswith("front")).get_ydata() for panel in panels[::3]
    ]
    assert [list(front) for front in fronts] == [pytest.approx([81.0, 82.0]), pytest.approx([61.0, 62.0])]


def test_trainings_that_recipes_share_are_counted_once(records):
    table = expense.checklist(records).set_index("item")["here"]
    assert table["recipes with a record"] == "19"
    assert table["trainings, each done once"] == "6"
    assert table["hours of training"] == f"{6 * 10 / 3600:.2f}"
    assert expense.expense(records).kilowatt_hours == 0  # "a processor" does not say how many threads it had
    spent = expense.expense([one | {"provenance": {"device": "x86_64 processor, 2 threads"}} for one in records])
    assert spent.kilowatt_hours == pytest.approx((6 * 10 + 19 * 8) * 2 * expense.WATTS_PER_CORE / 3.6e6)


def test_what_two_notebooks_train_is_planned_once(monkeypatch):
    def planned(name: str, work: dict, seconds: float | None) -> NotebookRun:
        updates = sum(each for each, _ in work.values())
        plan = Plan(9, 0, trainings=len(work), updates=updates, seconds=seconds, work=work)
        return NotebookRun(name, "planned", plan=plan)

    monkeypatch.setenv("SMALLER_CACHE_GB", "5")
    first, both = {"a": (100, 10**9)}, {"a": [100, 10**9], "b": [300, 2 * 10**9]}
    runs = [planned("02", first, 1200.0), NotebookRun("03", "planned"), planned("05", both, 2400.0)]
    cache = "the cache keeps 5 GB (SMALLER_CACHE_GB), and what it drops is trained again if needed"
    assert list(expense.together(runs)) == [
        "02: 1 trainings, 100 updates, 1.0 GB of models, about 20 min",
        "05: 1 trainings, 300 updates, 2.0 GB of models, about 30 min; 100 more are an earlier notebook's",
        f"all notebooks: 2 trainings, 400 updates, 3.0 GB of models, about 50 min; {cache}",
    ]
    *_, unknown = expense.together([*runs, planned("06", {"c": (50, 0)}, None)])
    assert unknown.startswith("all notebooks: 3 trainings, 450 updates, 3.0 GB of models; the cache")
    assert not list(expense.together([planned("02", {}, 0.0)]))


def test_two_trainings_that_took_equally_long_are_two():
    """A training is known by the steps up to it, not by its seconds and losses."""
    trained = [record(tuning, f1=1.0, megabytes=1) for tuning, _ in each(seeds=(1,))]
    assert expense.expense([*trained, *trained]).trainings == 2
    pruned = record(Prune(0.5), SWA, f1=1.0, megabytes=1)
    pruned["steps"] = [
        step | {"report": {"updates": 5, "seconds": 10.0} if step["step"] == "FineTune" else {}}
        for step in pruned["recipe"]["steps"]
    ]
    assert expense.expense([trained[0], pruned]).trainings == 2
