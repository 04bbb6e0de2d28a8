"""Findings and figures of robustness, on tables whose numbers are known."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from smaller import figures, opening, results
from smaller.data.sets import ATTACK, UNLABELLED, EvaluationSet
from smaller.errors import SmallerError
from smaller.findings import robustness
from smaller.findings import robustness_confidence as confidence
from smaller.parameters import Settings
from smaller.recipes import dense
from smaller.statistics import t_interval
from smaller.steps import FineTune, Prune, Quantize

SEEDS = (1, 2, 3)
LANGUAGES = ("swa", "yor")
SHIFT = {1: 0.0, 2: 0.5, 3: -0.5}
"""How far the seeds lie apart."""

CLEAN = {"dense": 80.0, "pruned, 50 %": 78.0, "pruned, 90 %": 60.0, "quantized, dynamic": 80.0}
LOST = {"dense": 20.0, "pruned, 50 %": 20.0, "pruned, 90 %": 40.0, "quantized, dynamic": 18.0}
"""Points that letters dropped at the higher rate take; half of them at the lower."""


def row(model: str, language: str, seed: int, f1: float, **other: object) -> dict:
    said = {
        "identity": f"{model}-{language}-{seed}", "encoder": "mini", "dataset": "masakhaner", "language": language,
        "trained_on": f"masakhaner/{language}", "split": "test", "noise": "", "rate": 0.0, "noise_seed": 0,
        "seed": seed, "f1": f1, "calibration_error": 2.0, "confidence": math.nan, "tagged": math.nan,
        "f1_before": math.nan, "attack_success": math.nan, "random_success": math.nan, "attack_edits": math.nan,
    }  # fmt: skip
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
                    lost = share * LOST[model] + shake
                    rows.append(row(model, language, seed, base - lost, noise="dropped", rate=rate,
                                    calibration_error=2 + lost / 4))  # fmt: skip
                rows.append(row(model, language, seed, base - 0.1, noise="case", rate=1.0, calibration_error=2.0))
                rows.append(row(model, language, seed, base - 30 - shake, noise="entities", rate=1.0))
                for rate, broken in ((0.01, 20.0), (0.03, 50.0)):
                    rows.append(row(model, language, seed, base - 40, noise=ATTACK, rate=rate, f1_before=base + 5,
                                    attack_success=broken + 10 * place + shake, random_success=5.0,
                                    attack_edits=2.0))  # fmt: skip
                rows.append(row(model, "bam", seed, 20.0, dataset="masakhaner2", trained_on=f"masakhaner/{language}",
                                calibration_error=15.0))  # fmt: skip
                for dataset, code, sure in (("masakhaner", language, 97.0), ("masakhaner2", "bam", 90.0),
                                            ("afrisenti", language, 93.0)):  # fmt: skip
                    rows.append(row(model, code, seed, math.nan, dataset=dataset, trained_on=f"masakhaner/{language}",
                                    noise=UNLABELLED, confidence=sure - place, tagged=6.0))  # fmt: skip
        found[model] = pd.DataFrame(rows)
    return found


TABLE = robustness.by_model(tables())


def test_a_study_needs_its_dense_models() -> None:
    assert list(TABLE["family"].unique()) == ["dense", "pruned", "quantized"]
    with pytest.raises(SmallerError, match="no dense model"):
        robustness.by_model({"pruned, 50 %": TABLE})


def test_kept_is_the_share_of_the_same_models_clean_f1() -> None:
    rows = robustness.under_noise(TABLE).set_index(["model", "language", "seed", "noise", "rate"])
    own = rows.loc[("pruned, 90 %", "yor", 1, "dropped", 0.15)]
    assert (own["clean"], own["lost"]) == (50.0, 40.0) and own["kept"] == pytest.approx(20)
    assert (own["level"], own["strongest"]) == (2, True)
    assert not rows.loc[("dense", "swa", 1, "dropped", 0.05), "strongest"]
    assert rows.loc[("dense", "swa", 1, "case", 1.0), "strongest"]
    assert set(rows.index.get_level_values("noise")) == {"dropped", "case", "entities"}
    poor = robustness.by_model(tables(clean=CLEAN | {"pruned, 90 %": 15.0}))
    lost = robustness.under_noise(poor).set_index(["model", "language"])["kept"]
    assert lost["pruned, 90 %", "yor"].isna().all() and lost["pruned, 90 %", "swa"].notna().all()
    with pytest.raises(SmallerError, match="scored under noise"):
        robustness.under_noise(TABLE[TABLE["noise"] == ""])


def test_changes_are_paired_over_languages_and_seeds() -> None:
    rows = robustness.under_noise(TABLE)
    rows = rows[rows["noise"].eq("dropped") & rows["strongest"]]
    found = robustness.beside_dense(rows, "kept")
    by_hand = rows.pivot_table(index=["language", "seed"], columns="model", values="kept")
    assert found["pruned, 90 %"][1] == t_interval(by_hand["pruned, 90 %"] - by_hand["dense"])
    assert found["dense"][0] == t_interval(by_hand["dense"].groupby("seed").mean())
    assert found["dense"][1].n == 0 and found["pruned, 90 %"][1].n == 6


def test_table_by_model_has_the_ratio_of_losses() -> None:
    found = robustness.noise_by_model(TABLE).set_index("model")
    # Kinds count alike: twenty points and a tenth of one, against forty and a tenth.
    assert found.loc["pruned, 90 %", "ratio of losses"] == pytest.approx(40.1 / 20.1)
    assert found.loc["dense", "ratio of losses"] == 1 and found.loc["dense", "kept, against dense"] == "–"
    assert found.loc["quantized, dynamic", "kept, against dense"].startswith("+1.3")
    assert set(found["n"]) == {6}


def test_table_by_kind_names_the_ends() -> None:
    found = robustness.noise_by_kind(TABLE)
    assert list(zip(found["noise"], found["rate"], strict=True)) == [
        ("dropped", 0.05), ("dropped", 0.15), ("case", 1.0), ("entities", 1.0)
    ]  # fmt: skip
    worst = found.iloc[1]
    assert worst["least"].startswith("pruned, 90 % (-4") and worst["most"].startswith("quantized, dynamic (+2.")
    assert (worst["keep less"], worst["keep more"]) == ("2 of 3", "1 of 3")


def test_answers_count_the_intervals() -> None:
    text = robustness.brittle(TABLE)
    assert text.startswith("Compression makes the model brittle under typing noise in some forms: the dense model ")
    assert "of 3 compressed models, 2 keep less and 1 more" in text and "Lowest stands pruned, 90 %: -23." in text
    assert text.endswith("With intervals that hold for all 3 at once, 2 keep less.")
    same = robustness.by_model({model: own.assign(model=model) for model, own in
                                {"dense": tables()["dense"], "pruned, 50 %": tables()["dense"]}.items()})  # fmt: skip
    assert robustness.brittle(same).startswith("Compression does not make the model brittle")
    few = TABLE[TABLE["seed"].ne(3) & TABLE["language"].ne("yor") & TABLE["model"].isin(["dense", "pruned, 90 %"])]
    shaken = few.assign(f1=few["f1"] - 20 * (few["seed"].eq(2) & few["rate"].eq(0.15) & few["family"].eq("pruned")))
    assert "stays open, as 1 of the intervals reach below -5 points" in robustness.brittle(shaken)
    one = robustness.by_model(tables(seeds=(1,)))
    assert "has no interval" in robustness.brittle(one[one["language"] != "yor"])
    alone = robustness.by_model({"dense": tables()["dense"]})
    assert robustness.brittle(alone).endswith("was not measured beside the dense model.")


def test_one_low_interval_of_several_decides_nothing() -> None:
    """By itself -0.97 ± 0.87 lies low; of two intervals that are to hold at once it does not (t of 6.2, not 4.3)."""
    lost = {"dense": (0.0, 0.0, 0.0), "pruned, 50 %": (1.0, 1.3, 0.6), "quantized, dynamic": (0.1, -0.1, 0.0)}
    models = {
        model: pd.DataFrame([
            row(model, "swa", seed, 100.0 - (20 + points) * (rate > 0), noise="dropped" if rate else "", rate=rate)
            for seed, points in zip(SEEDS, own, strict=True) for rate in (0.0, 0.15)
        ])
        for model, own in lost.items()
    }  # fmt: skip
    text = robustness.brittle(robustness.by_model(models))
    assert "stays open, as no interval that holds for all 2 at once lies low" in text
    assert "1 keeps less and 0 more" in text and text.endswith("for all 2 at once, 0 keep less.")


def test_unseen_names() -> None:
    assert "of its clean F1 when names give way to unseen ones" in robustness.swaps(TABLE)
    found = robustness.swaps_by_model(TABLE).set_index("model")
    assert found.loc["dense", "F1 with unseen names"] == "45.0 ± 1.2"
    assert "was not measured" in robustness.swaps(TABLE[TABLE["noise"] != "entities"])


def test_attacks_stand_beside_random_edits() -> None:
    found = robustness.attacks_by_model(TABLE)
    assert list(found["budget (% of letters)"].unique()) == [1.0, 3.0]
    assert found.iloc[-1]["model"] == "quantized, dynamic" and found.iloc[-1]["broken (%)"].startswith("80.0")
    text = robustness.attacked(TABLE)
    assert "to at most 3 % of a sentence's letters" in text and "breaks 50 % of the sentences" in text
    assert (
        "3 break more easily than the dense model and 0 less" in text and "is quantized, dynamic, +30.00 points" in text
    )
    assert "was not run" in robustness.attacked(TABLE[TABLE["noise"] != ATTACK])


def test_calibration_at_home_under_noise_and_elsewhere() -> None:
    found = confidence.calibration(TABLE).groupby(["model", "place"])["error"].mean()
    # Under noise: the mean of case, 2, and of dropped letters, 2 and a quarter of the points lost.
    assert found["dense"].to_dict() == {"other languages": 15.0, "own test set": 2.0, "under noise": 4.5}
    assert found["pruned, 90 %", "under noise"] == pytest.approx(7)
    shown = confidence.calibration_by_model(TABLE).set_index("model")
    assert shown.loc["pruned, 90 %", "under noise, against dense"].startswith("+2.5")
    text = confidence.says_so(TABLE)
    assert "does not say so: confidence and accuracy are 2.0 points apart on clean text, 4.5 under noise" in text
    assert "and 15.0 in other languages" in text
    assert "1 is worse calibrated than the dense model and 1 better" in text


def test_confidence_that_falls_with_accuracy_is_praised() -> None:
    calm = TABLE.assign(calibration_error=2.0)
    assert "falls with accuracy, as it should" in confidence.says_so(calm)


def test_calibration_needs_the_dense_model() -> None:
    older = TABLE.assign(calibration_error=TABLE["calibration_error"].where(TABLE["model"] != "dense"))
    assert confidence.says_so(older).startswith("Calibration was not measured")


def test_strange_text(monkeypatch: pytest.MonkeyPatch) -> None:
    tunings = [FineTune("masakhaner", language, seed=seed) for language in LANGUAGES for seed in SEEDS]
    monkeypatch.setattr("smaller.findings.robustness_confidence.read", read_known)
    recipes = {"dense": [Known(tuning, "dense") for tuning in tunings],
               "pruned, 50 %": [Known(tuning, "pruned") for tuning in tunings]}  # fmt: skip
    found = confidence.texts(TABLE, recipes)
    assert set(found["text"]) == {"own test set", "Bambara (masakhaner2)", "afrisenti, same language"}
    alike = found.dropna(subset="agreement").groupby(["model", "text"])["agreement"].mean()
    assert alike.to_dict() == {("pruned, 50 %", "own test set"): 100.0, ("pruned, 50 %", "Bambara (masakhaner2)"): 0.0}
    shown = confidence.texts_by_model(found, of="confidence")
    assert list(shown)[:2] == ["model", "own test set"] and shown.set_index("model").loc["dense", "own test set"] == (
        "97.0 ± 0.0"
    )
    assert list(confidence.texts_by_model(found, of="agreement")["model"]) == ["pruned, 50 %"]
    text = confidence.strangers(found)
    assert "97.0 % sure of its tags on its own test set and 90.0 % on what it is least sure of, Bambara" in text
    assert "pruned, 50 % agrees with the dense model to 100 points on the test set and 0 on strange text" in text
    assert "was not read" in confidence.strangers(found[found["text"] == "own test set"])


class Known:
    """Stands for a recipe with a record."""

    def __init__(self, tuning: FineTune, model: str) -> None:
        self.fine_tuning, self.model = tuning, model


def read_known(recipe: Known) -> dict:
    labels = ["O", "B-PER", "B-LOC"]
    own, away = (EvaluationSet(*place, noise=UNLABELLED).key
                 for place in (("masakhaner", recipe.fine_tuning.language), ("masakhaner2", "bam")))  # fmt: skip
    other = "020" if recipe.model == "dense" else "001"
    return {"scores": {own: {"labels": labels, "tags": ["010"]}, away: {"labels": labels, "tags": [other]},
                       "masakhaner/swa/test": {"f1": 80.0}}}  # fmt: skip


# Figures


def test_curves_have_a_panel_for_each_kind_and_begin_whole() -> None:
    axes = figures.noise_curves(TABLE)
    assert [panel.get_title(loc="left") for panel in axes] == ["dropped", "case", "entities"]
    labels = axes[0].get_legend_handles_labels()[1]
    assert labels == ["dense", "pruned, 90 %", "quantized, dynamic"], "each family at its greater strength"
    worst = axes[0].get_lines()[1]
    assert list(worst.get_xdata()) == [0, 5, 15] and worst.get_ydata()[0] == 100


def test_heat_map_frames_what_is_sure() -> None:
    axes = figures.brittleness(TABLE)
    assert [label.get_text() for label in axes.get_yticklabels()] == list(CLEAN)[1:]
    texts = {(text.get_position()): text.get_text() for text in axes.texts}
    assert texts[0, 1].startswith("-4") and texts[0, 2].startswith("+2")
    # Dropped letters set all three apart, and so do capitals where pruning took much of the clean F1 before.
    assert len(axes.patches) >= 3
    with pytest.raises(SmallerError, match="no compressed model"):
        figures.brittleness(robustness.by_model({"dense": tables()["dense"]}))


def test_other_figures_have_a_row_for_each_model() -> None:
    for panel in (figures.calibration_errors(TABLE), figures.attack_success(TABLE)[0]):
        assert [label.get_text() for label in panel.get_yticklabels()] == list(CLEAN)[::-1]
    assert len(figures.attack_success(TABLE)) == 2
    with pytest.raises(SmallerError, match="was attacked"):
        figures.attack_success(TABLE[TABLE["noise"] != ATTACK])
    with pytest.raises(SmallerError, match="enough F1"):
        figures.noise_curves(TABLE.assign(f1=1.0))


def test_table_of_records_has_the_columns() -> None:
    assert {"confidence", "tagged", "f1_before", "attack_success", "random_success"} <= set(results.COLUMNS)


# The study of the notebook

SETTINGS = {
    "encoders": ["sample-small"], "dataset": "sample", "languages": ["swa", "yor"], "seeds": [1, 2], "epochs": 4,
    "learning_rate": 1e-3, "batch_size": 16, "warm_up": 0.1, "sparsities": [0.5, 0.8], "students": ["2x6"],
    "forms": ["dynamic"], "vocabularies": [2000], "corpus": "sample", "corpus_lines": 0,
    "noise": {"case": [0.5, 1.0], "entities": [1.0]},
    "noise_seed": 7, "attack_budgets": [0.02], "attacked_sentences": 5, "targets": ["sample/bam", "sample/swa"],
    "texts": [], "text_sentences": 9,
}  # fmt: skip


def test_study_has_every_technique_at_every_strength() -> None:
    found = opening.robustness_study(Settings(SETTINGS))
    assert list(found) == [
        "dense", "pruned before fine-tuning, 50 %", "pruned before fine-tuning, 80 %",
        "pruned after fine-tuning, 50 %", "pruned after fine-tuning, 80 %", "distilled, 2x6", "cut, 2x6",
        "quantized, dynamic", "trimmed, 2000 pieces",
    ]  # fmt: skip
    assert {len(own) for own in found.values()} == {4}
    assert len({recipe.identity for own in found.values() for recipe in own}) == 36
    tuning = found["dense"][0].fine_tuning
    assert found["pruned after fine-tuning, 80 %"][0] == dense("sample-small", tuning).then(Prune(0.8))
    assert found["quantized, dynamic"][0] == dense("sample-small", tuning).then(Quantize("dynamic"))


def test_sets_of_a_language_hold_noise_attacks_and_strange_text() -> None:
    keys = [place.key for place in opening.robustness_sets(Settings(SETTINGS), "swa")]
    assert keys == [
        "sample/swa/test/case/0.5/7", "sample/swa/test/case/1/7", "sample/swa/test/entities/1/7",
        "sample/swa/test/attack/0.02/7/5", "sample/bam/test", "sample/swa/test/unlabelled/0/0/9",
        "sample/bam/test/unlabelled/0/0/9",
    ]  # fmt: skip


def test_noise_sheet_shows_what_noise_does() -> None:
    sets = [EvaluationSet("sample", language, "test", "case", 1.0, 7) for language in LANGUAGES]
    found = robustness.noise_sheet([*sets, EvaluationSet("sample", "bam")]).to_dict("records")
    assert len(found) == 1 and found[0]["languages"] == 2 and found[0]["sentences struck (%)"] > 50
    before, after = found[0]["example"].split(" → ")
    assert before != after and before.lower() == after.lower()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"noise": {"dropped": [1.5]}}, "a share from 0 to 1"),
        ({"noise": {"droped": [0.5]}}, "Did you mean 'dropped'"),
        ({"noise": {"dropped": []}}, "empty"),
        ({"noise": {"entities": [1.0]}}, "a kind of typing noise"),
        ({"attack_budgets": [2.0]}, "a share from 0 to 1"),
        ({"targets": ["masakhapos/bam"]}, "has the labels ADJ, ADP, .* which no model that is fine-tuned on"),
        ({"targets": ["sample/bam/test"]}, "A target is a data set and a language"),
        ({"texts": ["afrisenti"]}, "a data set and a language"),
        ({"students": ["9x6"]}, "more layers than its teacher"),
    ],
    ids=str,
)
def test_bad_parameters_are_seen_at_once(wrong: dict, said: str) -> None:
    values = SETTINGS | wrong
    with pytest.raises(SmallerError, match=said):
        opening.begin(values | {"__annotations__": {name: type(value) for name, value in values.items()}})
