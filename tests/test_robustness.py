"""Findings and figures of robustness, on tables whose numbers are known."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from smaller.analysis import figures
from smaller.analysis.comparison import AGREES, DIFFERS, NOT_DECIDED, NOT_MEASURED, Comparison
from smaller.analysis.findings import claims, robustness
from smaller.analysis.findings.finding import ANSWERED, Finding
from smaller.analysis.statistics import LACKING, Interval, over_seeds, t_interval
from smaller.base.errors import SmallerError
from smaller.data.sets import ATTACK, UNLABELLED, EvaluationSet
from smaller.data.sheet import noise_sheet
from smaller.study import results, without_labels
from smaller.study.steps import FineTune

AHEAD = Finding("The dense encoder is ahead.", quantity=Comparison(Interval(5.0, 4.0, 6.0, 3), 0.01, 0.01))
SEEDS = (1, 2, 3)
LANGUAGES = ("swa", "yor")
SHIFT = {1: 0.0, 2: 0.5, 3: -0.5}
"""How far the seeds lie apart."""

UNEVEN = 2**-24
"""Points by which seeds are uneven, since differences that are the same at each seed have no interval."""

CLEAN = {"dense": 80.0, "pruned, 50 %": 78.0, "pruned, 90 %": 60.0, "quantized, dynamic": 80.0}
LOST = {"dense": 20.0, "pruned, 50 %": 20.0, "pruned, 90 %": 40.0, "quantized, dynamic": 18.0}
"""Points that letters dropped at the higher rate take; half of them at the lower."""


def row(model: str, language: str, seed: int, f1: float, **other: object) -> dict:
    said = {
        "identity": f"{model}-{language}-{seed}",
        "encoder": "mini",
        "dataset": "masakhaner",
        "language": language,
        "trained_on": f"masakhaner/{language}",
        "split": "test",
        "noise": "",
        "rate": 0.0,
        "noise_seed": 0,
        "seed": seed,
        "f1": f1,
        "calibration_error": 2.0,
        "confidence": math.nan,
        "tagged": math.nan,
        "technique": model.partition(",")[0],
        "order": "",
        "f1_before": math.nan,
        "attack_success": math.nan,
        "random_success": math.nan,
        "attack_edits": math.nan,
    }
    return said | other


def tables(*, clean: dict[str, float] = CLEAN, seeds: tuple[int, ...] = SEEDS) -> dict[str, pd.DataFrame]:
    found = {}
    for place, model in enumerate(clean):
        rows = []
        for language in LANGUAGES:
            for seed in seeds:
                base = clean[model] + SHIFT[seed] - 10 * (language == "yor")
                # What is compressed shakes a little more, so that intervals have a width.
                shake = 0.2 * place * SHIFT[seed]
                rows.append(row(model, language, seed, base))
                for rate, share in ((0.05, 0.5), (0.15, 1.0)):
                    lost = share * LOST[model] + shake + UNEVEN * SHIFT[seed]
                    rows.append(
                        row(
                            model,
                            language,
                            seed,
                            base - lost,
                            noise="dropped",
                            rate=rate,
                            calibration_error=2 + lost / 4,
                        )
                    )
                rows.append(row(model, language, seed, base - 0.1, noise="case", rate=1.0, calibration_error=2.0))
                rows.append(row(model, language, seed, base - 30 - shake, noise="entities", rate=1.0))
                for rate, broken in ((0.01, 20.0), (0.03, 50.0)):
                    rows.append(
                        row(
                            model,
                            language,
                            seed,
                            base - 40,
                            noise=ATTACK,
                            rate=rate,
                            f1_before=base + 5,
                            attack_success=broken + 10 * place + shake + UNEVEN * SHIFT[seed],
                            random_success=5.0,
                            attack_edits=2.0,
                        )
                    )
                rows.append(
                    row(
                        model,
                        "bam",
                        seed,
                        20.0,
                        dataset="masakhaner2",
                        trained_on=f"masakhaner/{language}",
                        calibration_error=15.0,
                    )
                )
                for dataset, code, sure in (
                    ("masakhaner", language, 97.0),
                    ("masakhaner2", "bam", 90.0),
                    ("afrisenti", language, 93.0),
                ):
                    rows.append(
                        row(
                            model,
                            code,
                            seed,
                            math.nan,
                            dataset=dataset,
                            trained_on=f"masakhaner/{language}",
                            noise=UNLABELLED,
                            confidence=sure - place + UNEVEN * SHIFT[seed] * (dataset != "masakhaner"),
                            tagged=6.0,
                        )
                    )
        found[model] = pd.DataFrame(rows)
    return found


def by_model(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables by their model as the one table of a study."""
    return robustness.by_model(pd.concat([own.assign(group=model) for model, own in tables.items()]))


TABLE = by_model(tables())
QUESTIONS = ("typing", "names", "attack", "confidence", "calibration")


def answers(table: pd.DataFrame) -> dict[str, Finding]:
    return dict(zip(QUESTIONS, robustness.claims(table)["NC3"], strict=True))


def lost(models: dict[str, dict[tuple[str, int], float]], **also: object) -> pd.DataFrame:
    """A table of models that are perfect on clean text, and lose twenty points and these more under noise."""
    return by_model(
        {
            model: pd.DataFrame(
                [
                    row(
                        model,
                        language,
                        seed,
                        100.0 - (20 + points) * (rate > 0),
                        noise="dropped" if rate else "",
                        rate=rate,
                        **also,
                    )
                    for (language, seed), points in own.items()
                    for rate in (0.0, 0.15)
                ]
            )
            for model, own in models.items()
        }
    )


def test_a_study_needs_its_dense_models() -> None:
    assert list(TABLE["model"].unique()) == list(CLEAN)
    assert TABLE["home"].equals(TABLE["language"].ne("bam") & TABLE["dataset"].eq("masakhaner"))
    with pytest.raises(SmallerError, match="no dense model"):
        by_model({"pruned, 50 %": TABLE})


def test_kept_is_the_share_of_the_same_models_clean_f1() -> None:
    rows = robustness.under_noise(TABLE).set_index(["model", "language", "seed", "noise", "rate"])
    own = rows.loc[("pruned, 90 %", "yor", 1, "dropped", 0.15)]
    assert (own["clean"], own["lost"]) == (50.0, 40.0) and own["kept"] == pytest.approx(20)
    assert own["strongest"] and not rows.loc[("dense", "swa", 1, "dropped", 0.05), "strongest"]
    assert rows.loc[("dense", "swa", 1, "case", 1.0), "strongest"]
    assert set(rows.index.get_level_values("noise")) == {"dropped", "case", "entities"}
    poor = by_model(tables(clean=CLEAN | {"pruned, 90 %": 15.0}))
    kept = robustness.under_noise(poor).set_index(["model", "language"])["kept"]
    assert kept["pruned, 90 %", "yor"].isna().all() and kept["pruned, 90 %", "swa"].notna().all()
    with pytest.raises(SmallerError, match="scored under noise"):
        robustness.under_noise(TABLE[TABLE["noise"] == ""])


def test_seeds_are_the_sample_and_languages_are_not() -> None:
    rows = robustness.strongest(TABLE)
    found = robustness.against_dense(rows, "kept")["comparison"]
    wide = rows.groupby(["model", "language", "seed"])["kept"].mean().unstack("model")
    by_hand = (wide["pruned, 90 %"] - wide["dense"]).groupby("seed").mean()
    interval, expected = found["pruned, 90 %"].interval, t_interval(by_hand)
    assert (interval.mean, interval.low, interval.n) == pytest.approx((expected.mean, expected.low, 3))
    assert found["pruned, 90 %"].languages == LANGUAGES and found["pruned, 90 %"].drawn_once == ("the noise",)
    assert list(found.index) == list(CLEAN)[1:] and {one.of for one in found} == {3}


def test_what_a_seed_does_to_both_languages_counts_once() -> None:
    """Six pairs of language and seed put -2 points apart from zero (p = 0.04); the three seeds do not (p = 0.22)."""
    dense = {(language, seed): 0.0 for language in LANGUAGES for seed in SEEDS}
    pruned = {(language, seed): {1: 4.0, 2: 2.0, 3: 0.0}[seed] for language in LANGUAGES for seed in SEEDS}
    table = lost({"dense": dense, "pruned, 50 %": pruned})
    found = answers(table)["typing"]
    (one,) = found.values["compared"]
    assert one.interval.n == 3 and one.p == pytest.approx(0.225, abs=0.001)
    assert (one.verdict, found.verdict) == (NOT_DECIDED, NOT_DECIDED) and found.values["unsure"] == ["pruned, 50 %"]
    assert t_interval([-pruned[pair] for pair in pruned]).high < 0


def test_one_low_interval_of_several_decides_nothing() -> None:
    """By itself -0.97 ± 0.87 lies low; of two models together it does not."""
    points = {"dense": (0.0, 0.0, 0.0), "pruned, 50 %": (1.0, 1.3, 0.6), "quantized, dynamic": (0.1, -0.1, 0.0)}
    found = answers(
        lost(
            {
                model: {("swa", seed): more for seed, more in zip(SEEDS, own, strict=True)}
                for model, own in points.items()
            }
        )
    )["typing"]
    one = found.values["compared"]["pruned, 50 %"]
    assert one.interval.high < 0 and one.p < 0.05 < one.corrected
    assert found.verdict == NOT_DECIDED and found.values["unsure"] == ["pruned, 50 %"]
    assert found.values["compared"]["quantized, dynamic"].verdict == AGREES
    assert found.values["safe"] == list(points)[1:] and found.values["widest"] == pytest.approx(-one.interval.low)


def test_sets_that_some_models_lack_are_left_out() -> None:
    """Once, a mean over sets that the dense model alone was scored on stood beside a mean over others."""
    own = tables()
    extra = [
        row("dense", language, seed, 50.0, noise="mistyped", rate=0.15, calibration_error=40.0)
        for language in LANGUAGES
        for seed in SEEDS
    ]
    extra += [row("dense", "wol", seed, 50.0, trained_on="masakhaner/swa", calibration_error=90.0) for seed in SEEDS]
    own["dense"] = pd.concat([own["dense"], pd.DataFrame(extra)])
    table = by_model(own)
    assert "mistyped" not in set(robustness.under_noise(table)["noise"])
    pd.testing.assert_frame_equal(robustness.calibration(table), robustness.calibration(TABLE))


def test_a_seed_without_a_language_is_left_out() -> None:
    rows = robustness.strongest(TABLE)
    rows = rows[~(rows["seed"].eq(3) & rows["language"].eq("yor") & rows["model"].eq("dense"))]
    assert (
        over_seeds(rows, "clean", by=["model"])["dense"].n == 2
        and over_seeds(rows, "f1", by=["model"])["pruned, 50 %"].n == 3
    )


def test_a_row_for_each_model_has_intervals_and_a_comparison() -> None:
    found = robustness.noise_by_model(TABLE).set_index("model")
    assert found.loc["pruned, 50 %", "clean F1, minus dense, over sentences"].kind == LACKING
    assert list(found.index) == list(CLEAN) and list(found)[:3] == ["clean F1", "F1 under noise", "points lost"]
    assert found.loc["dense", "clean F1"] == t_interval([75.0, 75.5, 74.5])
    # Kinds count alike: twenty points and a tenth of one.
    assert found.loc["dense", "points lost"].mean == pytest.approx(10.05)
    change = found["F1 kept (%), minus dense"]
    assert pd.isna(change["dense"]) and change["quantized, dynamic"].interval.mean == pytest.approx(1.34, abs=0.01)
    assert change["pruned, 90 %"].verdict == DIFFERS


def test_models_under_one_noise_are_compared_at_once() -> None:
    """Corrected for twelve cells in the heat map and for three models in the table, one difference had two verdicts."""
    cells = robustness.by_kind(TABLE)
    assert len(cells) == 4 * 3 and {one.of for one in cells["comparison"]} == {3}
    swapped = cells.query("noise == 'entities'").set_index("model")["comparison"]
    table = robustness.beside_dense(robustness.strongest(TABLE, [robustness.SWAPS])).set_index("model")
    assert swapped.to_dict() == table["F1 kept (%), minus dense"].dropna().to_dict()
    places = list(dict.fromkeys(zip(cells["noise"], cells["rate"], strict=True)))
    assert places == [("dropped", 0.05), ("dropped", 0.15), ("case", 1.0), ("entities", 1.0)]
    worst = cells.query("rate == 0.15").set_index("model")["comparison"]
    assert worst["pruned, 90 %"].interval.mean == pytest.approx(-46.5, abs=0.1)
    assert [one.sign for one in worst] == [-1, -1, 1]
    assert list(cells.loc[cells["strongest"], "rate"].unique()) == [0.15, 1.0]


def test_models_are_sorted_by_what_is_shown() -> None:
    found = answers(TABLE)["typing"]
    assert found.verdict == ANSWERED and found.values["worse"] == ["pruned, 50 %", "pruned, 90 %"]
    assert found.values["compared"]["quantized, dynamic"].sign == 1 and not found.values["unsure"]
    assert found.values["dense"].mean == pytest.approx(86.5, abs=0.1)
    assert found.values["safe"] == ["pruned, 50 %", "quantized, dynamic"]


def test_models_that_are_ahead_without_proof_leave_no_loss_open() -> None:
    """Their gain was told as a loss below zero, and the last of them as the furthest behind."""
    cells = [(language, seed) for language in LANGUAGES for seed in SEEDS]
    better = {f"m{number}": {cell: -3.0 - 0.8 * (cell[1] - 2) for cell in cells} for number in range(12)}
    table = lost({"dense": {cell: 0.1 * cell[1] for cell in cells}} | better)
    found = robustness.judged(robustness.strongest(table, ["dropped"]), "kept", "under noise", "keep less", "keeps {}")
    assert len(found.values["unsure"]) == 12 and found.values["widest"] == 0.0 and not found.values["worse"]
    assert "up to 0.0 points" in found.headline


def test_equal_models_agree_and_that_is_an_answer() -> None:
    found = answers(by_model({"dense": tables()["dense"], "pruned, 50 %": tables()["dense"]}))
    del found["confidence"]
    assert {one.verdict for one in found.values()} == {ANSWERED}
    assert {one.values["compared"]["pruned, 50 %"].verdict for one in found.values()} == {AGREES}


def test_one_seed_decides_nothing() -> None:
    found = answers(by_model(tables(seeds=(1,))))
    assert {one.verdict for one in found.values()} == {NOT_DECIDED}
    del found["confidence"]
    assert all(len(one.values["unsure"]) == 3 and not one.values["safe"] for one in found.values())
    assert all(math.isnan(one.values["widest"]) for one in found.values()), "without an interval, no loss is excluded"


def test_what_was_not_measured_says_so() -> None:
    older = TABLE.assign(calibration_error=TABLE["calibration_error"].where(TABLE["model"] != "dense"))
    lacking = {
        ("typing", "names", "attack", "calibration"): by_model({"dense": tables()["dense"]}),
        ("names",): TABLE[TABLE["noise"] != "entities"],
        ("attack",): TABLE[TABLE["noise"] != ATTACK],
        ("confidence", "calibration"): older,
    }
    for questions, table in lacking.items():
        assert {name for name, one in answers(table).items() if one.verdict == NOT_MEASURED} == set(questions)


def test_a_model_that_shares_no_seed_with_the_dense_one_is_in_no_choice() -> None:
    """The one that was furthest behind could be one whose difference is not a number."""
    for model in list(CLEAN)[1:]:
        table = TABLE.assign(seed=TABLE["seed"].mask(TABLE["model"] == model, TABLE["seed"] + 10))
        for question in ("typing", "names", "attack", "calibration"):
            found = answers(table)[question]
            assert sorted(found.values["compared"].index) == sorted({*CLEAN} - {"dense", model})
            assert "nan" not in str(found) and model not in str(found)
        shown = robustness.noise_by_model(table).set_index("model")
        assert shown.loc[model, "F1 kept (%), minus dense"].verdict == NOT_MEASURED
        assert model not in [
            label.get_text() for label in figures.brittleness(robustness.by_kind(table)).get_yticklabels()
        ]


def test_unseen_names() -> None:
    found = answers(TABLE)["names"]
    assert found.values["dense"].mean == pytest.approx(59.8, abs=0.1)
    assert min(found.values["compared"], key=lambda one: one.interval.mean) == found.values["compared"]["pruned, 90 %"]
    shown = robustness.beside_dense(robustness.strongest(TABLE, [robustness.SWAPS])).set_index("model")
    assert shown.loc["dense", "F1 under noise"] == t_interval([45.0, 45.5, 44.5])


def test_attacks_stand_beside_random_edits() -> None:
    shown = robustness.attacks_by_model(TABLE)
    assert list(shown["budget (% of letters)"].unique()) == [1.0, 3.0]
    last = shown.iloc[-1]
    assert last["model"] == "quantized, dynamic" and last["broken (%)"].mean == pytest.approx(80)
    assert last["broken at random (%)"].mean == 5 and last["edits"].mean == 2
    found = answers(TABLE)["attack"]
    assert found.values["worse"] == list(CLEAN)[1:]
    assert found.values["dense"].mean == 50 and found.values["minus chance"].interval.mean == 45
    assert found.values["minus chance"].verdict == DIFFERS
    # The sentence and the table say the same of the same models.
    assert found.values["compared"]["pruned, 50 %"] == shown.iloc[-3]["broken (%), minus dense"]


def test_calibration_at_home_under_noise_and_elsewhere() -> None:
    found = robustness.calibration(TABLE).groupby(["model", "place"])["error"].mean()
    # Under noise: the mean of case, 2, and of dropped letters, 2 and a quarter of the points lost.
    assert found["dense"].to_dict() == {"other languages": 15.0, "own test set": 2.0, "under noise": 4.5}
    assert found["pruned, 90 %", "under noise"] == pytest.approx(7)
    shown = robustness.calibration_by_model(TABLE).set_index("model")
    noisy, clean = (shown.loc["pruned, 90 %", f"{place}, minus dense"] for place in ("under noise", "own test set"))
    assert noisy.interval.mean == pytest.approx(2.5) and noisy.drawn_once == ("the noise",)
    assert clean.verdict == AGREES and clean.drawn_once == (), "no noise was drawn for clean text"
    found = answers(TABLE)["calibration"].values
    assert found["worse"] == ["pruned, 90 %"]
    assert found["compared"]["pruned, 50 %"].verdict == found["compared"]["quantized, dynamic"].verdict == AGREES


def test_confidence_is_judged_by_the_change_under_noise() -> None:
    found = answers(TABLE)["confidence"]
    assert found.quantity.interval.mean == 2.5 and found.quantity.sign == 1 and found.verdict == ANSWERED
    calm = answers(TABLE.assign(calibration_error=2.0))["confidence"]
    assert calm.quantity.verdict == AGREES and calm.verdict == ANSWERED


def test_every_question_is_judged_by_the_one_rule() -> None:
    two = by_model(tables(seeds=(1, 2)))
    for table in (TABLE, two, TABLE[TABLE["noise"] != ATTACK]):
        rows = claims.of_page(robustness.claims(table), encoder="mini-base", ahead=AHEAD)
        assert set(rows["id"]) == {"NC3"} and len(rows) == 5
        assert set(rows["verdict"]) <= {ANSWERED, NOT_DECIDED, NOT_MEASURED}
    assert rows["verdict"].tolist()[2] == NOT_MEASURED


def test_strange_text(monkeypatch: pytest.MonkeyPatch) -> None:
    tunings = [FineTune("masakhaner", language, seed=seed) for language in LANGUAGES for seed in SEEDS]
    monkeypatch.setattr("smaller.study.without_labels.read", read_known)
    recipes = {
        "dense": [Known(tuning, "dense") for tuning in tunings],
        "pruned, 50 %": [Known(tuning, "pruned") for tuning in tunings],
    }
    found = without_labels.texts(TABLE, recipes)
    assert set(found["text"]) == {"own test set", "Bambara (masakhaner2)", "afrisenti, same language"}
    alike = found.dropna(subset="agreement").groupby(["model", "text"])["agreement"].mean()
    assert alike.to_dict() == {("pruned, 50 %", "own test set"): 100.0, ("pruned, 50 %", "Bambara (masakhaner2)"): 0.0}
    shown = robustness.texts_by_model(found, of="confidence")
    assert list(shown)[:2] == ["model", "own test set"]
    dense = shown.set_index("model").loc["dense", "own test set"]
    assert (dense.mean, dense.n, dense.known) == (97.0, 3, False), "the same at each seed"
    assert list(robustness.texts_by_model(found, of="agreement")["model"]) == ["pruned, 50 %"]
    strange = robustness.strangers(found)
    assert strange.quantity.sign == -1 and strange.quantity.interval.mean == -5.5, "90 and 93 beside 97"
    assert strange.values["agreement"]["pruned, 50 %"].interval.mean == -100
    assert robustness.strangers(without_labels.texts(TABLE, {})).values["agreement"] == {}
    assert robustness.strangers(found[found["text"] == "own test set"]).verdict == NOT_MEASURED


class Known:
    """Stands for a recipe with a record."""

    def __init__(self, tuning: FineTune, model: str) -> None:
        self.fine_tuning, self.model = tuning, model


def read_known(recipe: Known) -> dict:
    labels = ["O", "B-PER", "B-LOC"]
    own, away = (
        EvaluationSet(*place, kind=UNLABELLED).key
        for place in (("masakhaner", recipe.fine_tuning.language), ("masakhaner2", "bam"))
    )
    other = "020" if recipe.model == "dense" else "001"
    return {
        "scores": {
            own: {"labels": labels, "tags": ["010"]},
            away: {"labels": labels, "tags": [other]},
            "masakhaner/swa/test": {"f1": 80.0},
        }
    }


# Figures


def test_curves_have_a_panel_for_each_kind_and_begin_whole() -> None:
    axes = figures.noise_curves(TABLE)
    assert [panel.get_title(loc="left") for panel in axes] == ["letters dropped", "capitals lost", "names swapped"]
    labels = axes[0].get_legend_handles_labels()[1]
    assert labels == ["dense", "pruned, 90 %", "quantized, dynamic"], "each technique at its last strength"
    worst = next(line for line in axes[0].get_lines() if line.get_label() == "pruned, 90 %")
    assert list(worst.get_xdata()) == [0, 5, 15] and worst.get_ydata()[0] == 100
    seeds = [line for line in axes[0].get_lines() if line.get_marker() == "."]
    assert len(seeds) == len(labels) and all(len(line.get_xdata()) == 2 * len(SEEDS) for line in seeds)


def test_heat_map_frames_what_is_shown() -> None:
    axes = figures.brittleness(robustness.by_kind(TABLE))
    assert [label.get_text() for label in axes.get_yticklabels()] == list(CLEAN)[1:]
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "letters\ndropped",
        "capitals\nlost",
        "names\nswapped",
    ]
    texts = [text.get_text() for text in axes.texts]
    assert texts[3].startswith("-4") and texts[6].startswith("+2") and "-0.0" not in texts
    cells = robustness.by_kind(TABLE).query("strongest")
    assert len(axes.patches) == (cells["verdict"] == DIFFERS).sum() >= 3
    with pytest.raises(SmallerError, match="no compressed model"):
        figures.brittleness(robustness.by_kind(by_model({"dense": tables()["dense"]})))


def test_one_seed_frames_nothing() -> None:
    assert not figures.brittleness(robustness.by_kind(by_model(tables(seeds=(1,))))).patches


def test_other_figures_have_a_row_for_each_model() -> None:
    for panel in (figures.calibration_errors(TABLE), figures.attack_success(TABLE)[0]):
        assert [label.get_text() for label in panel.get_yticklabels()] == list(CLEAN)
    attacked = figures.attack_success(TABLE)
    assert len(attacked) == 2 and attacked[0].get_legend_handles_labels()[1] == ["search", "random edits"]
    with pytest.raises(SmallerError, match="was attacked"):
        figures.attack_success(TABLE[TABLE["noise"] != ATTACK])
    with pytest.raises(SmallerError, match="enough F1"):
        figures.noise_curves(TABLE.assign(f1=1.0))


def test_table_of_records_has_the_columns() -> None:
    assert {"confidence", "tagged", "f1_before", "attack_success", "random_success"} <= set(results.COLUMNS)


def test_noise_sheet_shows_what_noise_does() -> None:
    sets = [EvaluationSet("sample", language, noise="case", rate=1.0, seed=7) for language in LANGUAGES]
    found = noise_sheet([*sets, EvaluationSet("sample", "bam")]).to_dict("records")
    assert len(found) == 1 and found[0]["languages"] == 2 and found[0]["sentences struck (%)"] > 50
    before, after = found[0]["example"].split(" → ")
    assert before != after and before.lower() == after.lower()
