"""Findings and figures of other domains, unseen languages and rank correlations, on tables whose numbers are known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from smaller import figures, results
from smaller.data.features import DISTANCES, FEATURES
from smaller.errors import SmallerError
from smaller.findings import correlations, domains, transfer, transfer_claims
from smaller.statistics import spearman, t_interval

GRID = (0.5, 0.7, 0.9)
SEEDS = (1, 2, 3)
HOME = {"swa": 80.0, "yor": 70.0, "swa+yor": 76.0}
AWAY = {"swa": 85.0, "yor": 50.0, "bam": 40.0, "fon": 20.0}
COST = {"before": 10.0, "after": 30.0}


def row(source: str, place: str, order: str, sparsity: float, seed: int, f1: float, **other: object) -> dict:
    dataset, language = place.split("/")
    said = {
        "identity": f"{source}-{order}-{sparsity}-{seed}", "label": order, "encoder": "mini", "dataset": dataset,
        "language": language, "split": "test", "noise": "", "rate": 0.0, "noise_seed": 0,
        "trained_on": f"masakhaner/{source}", "seed": seed, "technique": "pruned" if sparsity else "dense",
        "order": order, "sparsity": sparsity, "method": "magnitude" if sparsity else "", "scope": "", "include": "",
        "form": "trained", "layers": 4, "f1": f1, "sentences": 100, "milliseconds": math.nan, "training_seconds": 9.0,
    }  # fmt: skip
    return said | other


def synthetic(*, sources=("swa", "yor", "swa+yor"), sets=("masakhaner2/swa", "masakhaner2/yor", "masakhaner2/bam",
                                                         "masakhaner2/fon"), seeds=SEEDS) -> pd.DataFrame:  # fmt: skip
    """F1 falls in a line with sparsity, half as steeply away from home; the joint model is 5 points better there."""
    rows = []
    for source in sources:
        for seed in seeds:
            for order, sparsity in [("dense", 0.0), *((order, share) for order in COST for share in GRID)]:
                lost = COST.get(order, 0.0) * sparsity
                rows.append(row(source, f"masakhaner/{source}", order, sparsity, seed, HOME[source] - lost + seed))
                for place in sets:
                    base = AWAY[place[-3:]] + 5 * ("+" in source) + 2 * (source == "swa")
                    rows.append(row(source, place, order, sparsity, seed, base - lost / 2 + seed, scoring_seconds=0.5))
    return pd.DataFrame(rows)


TABLE = synthetic()


# In another domain


def test_settings_tell_home_from_another_domain_and_from_an_unseen_language() -> None:
    rows = domains.settings(TABLE)
    found = rows.groupby(["trained_on", "dataset", "language"])["setting"].first()
    assert found["masakhaner/swa", "masakhaner", "swa"] == "in domain"
    assert found["masakhaner/swa", "masakhaner2", "swa"] == "out of domain"
    assert found["masakhaner/swa", "masakhaner2", "yor"] == "zero-shot"
    assert found["masakhaner/swa+yor", "masakhaner", "swa+yor"] == "in domain"
    assert found["masakhaner/swa+yor", "masakhaner2", "yor"] == "out of domain"
    noisy = TABLE.assign(noise=np.where(TABLE["language"] == "bam", "letters", ""))
    assert "bam" not in set(domains.settings(noisy)["language"])


def test_gap_is_in_domain_minus_out_of_domain_of_the_same_model() -> None:
    found = domains.domains(TABLE)
    assert set(found["language"]) == {"swa", "yor"} and set(found["trained_on"]) == {"masakhaner/swa", "masakhaner/yor"}
    dense = found[found["order"] == "dense"].groupby("language")["gap"].mean()
    assert dense["swa"] == pytest.approx(80 - 87) and dense["yor"] == pytest.approx(70 - 50)
    gaps = domains.gaps(TABLE).set_index(["order", "sparsity"])
    # Dense: the mean of -7 and 20; after fine-tuning at 90 %, 27 points are lost at home and 13.5 away.
    assert gaps.loc[("dense", "0 %"), "gap"] == "6.5 ± 0.0"
    assert gaps.loc[("after", "90 %"), "gap"] == "-7.0 ± 0.0"
    assert set(gaps["n"]) == {3}


def test_domains_by_language_tell_how_words_are_cut() -> None:
    cut = pd.DataFrame({"dataset": "masakhaner", "language": ["swa", "yor"], "pieces_per_word": [1.6, 1.7]})
    far = distance_table().assign(pieces_per_word=[1.5, 2.8, 9, 9] * 2)
    swahili, yoruba = domains.by_language(TABLE, cut, far).to_dict("records")
    assert yoruba == {"language": "Yoruba", "in domain": "72.0 ± 2.5", "out of domain": "52.0 ± 2.5",
                      "gap": "20.0 ± 0.0", "pieces per word, training": 1.7, "pieces per word, out of domain": 2.8,
                      "n": 3}  # fmt: skip
    assert swahili["gap"] == "-7.0 ± 0.0" and swahili["pieces per word, out of domain"] == 1.5


def test_changes_are_paired_over_languages_and_seeds() -> None:
    shaken = TABLE.assign(f1=TABLE["f1"] + np.random.default_rng(1).normal(0, 1, len(TABLE)))
    found = domains.changes(shaken).set_index(["order", "sparsity"])
    f1 = domains.domains(shaken).pivot_table(index=["language", "seed"], columns=["order", "sparsity"], values="f1")
    by_hand = f1["after", 0.9] - f1["dense", 0.0]
    interval = t_interval(by_hand)
    own = found.loc[("after", 0.9)]
    assert (own["mean"], own["low"], own["high"], own["n"]) == pytest.approx(
        (interval.mean, interval.low, interval.high, 6)
    )
    assert own["p_value"] == pytest.approx(2 / 2**6) and own["holm"] >= own["p_value"]
    assert (own["gains"], own["languages"]) == (0, 2)
    assert own["beyond"] == pytest.approx(13.5, abs=1.5)  # half as much is lost away
    assert list(domains.changes_in_words(found.reset_index())["sparsity"]) == ["50 %", "70 %", "90 %"] * 2


def test_whether_pruning_helps_depends_on_the_sign() -> None:
    # Twelve seeds, so that the test over six settings can find something.
    table = synthetic(seeds=tuple(range(6)))
    assert domains.pruning_helps(table).startswith("Pruning does not help out of domain: against the dense model, F1")
    assert "higher at 0 and lower at 6 of 6 settings" in domains.pruning_helps(table)
    away = table["dataset"] == "masakhaner2"
    better = table.assign(f1=table["f1"] + 40 * table["sparsity"] * away)
    assert domains.pruning_helps(better).startswith("Pruning helps out of domain")
    assert "costs less out of domain at 6" in domains.pruning_helps(better)
    mixed = table.assign(f1=table["f1"] + 40 * table["sparsity"] * (away & (table["order"] == "after")))
    assert domains.pruning_helps(mixed).startswith("Pruning helps at some sparsities and hurts at others")


def test_few_pairs_are_said_to_be_few() -> None:
    assert "6 pairs are too few for this test: its p cannot fall below 0.19" in domains.pruning_helps(TABLE)
    assert "too few" not in domains.pruning_helps(synthetic(seeds=tuple(range(6))))


def test_one_domain_alone_is_not_measured() -> None:
    alone = synthetic(sets=("masakhaner2/bam",))
    assert domains.pruning_helps(alone) == domains.NOT_MEASURED
    assert domains.domains(alone).empty and domains.gaps(alone).empty and domains.changes_in_words(
        domains.changes(alone)
    ).empty  # fmt: skip
    for draw in (figures.out_of_domain, figures.domain_gap):
        with pytest.raises(SmallerError, match="another data set of its own language"):
            draw(alone)


def test_techniques_stand_beside_dense_in_all_three_settings() -> None:
    dense = TABLE[(TABLE["order"] == "dense") & (TABLE["trained_on"] != "masakhaner/swa+yor")]
    int8 = dense.assign(technique="quantized", order="", form="dynamic", f1=dense["f1"] - 1, identity="q")
    student = dense.assign(technique="distilled", order="", layers=2, f1=dense["f1"] - 3, identity="d")
    found = domains.techniques(pd.concat([TABLE, int8, student]), sparsity=0.6).set_index("model")
    assert list(found.index) == ["dense", "pruned, 50 % before fine-tuning", "pruned, 50 % after fine-tuning",
                                 "quantized, dynamic", "distilled, 2 layers"]  # fmt: skip
    assert list(found["in domain, change"]) == ["–", "-5.0 ± 0.0", "-15.0 ± 0.0", "-1.0 ± 0.0", "-3.0 ± 0.0"]
    assert found.loc["pruned, 50 % after fine-tuning", "zero-shot, change"] == "-7.5 ± 0.0"
    assert set(found["n"]) == {6}
    alone = domains.techniques(synthetic(sets=("masakhaner2/bam",)))
    assert set(alone["out of domain"]) == set(alone["out of domain, change"]) == {"–"}


# Zero-shot


def test_matrix_has_home_first_and_unseen_languages_last() -> None:
    wide = transfer.matrix(TABLE)
    assert list(wide.columns) == ["masakhaner/swa", "masakhaner/yor", "masakhaner/swa+yor"]
    assert [language for _, language in wide.index] == [transfer.HOME, "swa", "yor", "bam", "fon"]
    assert wide.iloc[0].tolist() == pytest.approx([82, 72, 78])
    assert wide.loc[("masakhaner2", "bam")].tolist() == pytest.approx([44, 42, 47])
    words = transfer.matrix_in_words(wide)
    assert list(words.columns) == ["Swahili", "Yoruba", "joint of 2"]
    assert words.index.get_level_values("language")[3] == "Bambara"


def test_matrix_within_one_data_set_keeps_its_diagonal() -> None:
    rows = [row(source, f"masakhaner/{target}", "dense", 0.0, 1, 10.0 * (source == target) + 50)
            for source in ("swa", "yor") for target in ("swa", "yor")]  # fmt: skip
    wide = transfer.matrix(pd.DataFrame(rows))
    assert wide.to_numpy().tolist() == [[60, 60], [60, 50], [50, 60]]


def test_unseen_averages_the_sources_that_were_pruned_and_nothing_else() -> None:
    extra = synthetic(sources=("swa",), sets=("masakhaner2/bam", "masakhaner2/yor")).query("order == 'dense'")
    hausa = extra.assign(trained_on="masakhaner/hau", identity="hau", f1=99.0)
    found = transfer.unseen(pd.concat([TABLE, hausa]))
    assert set(found["language"]) == {"bam", "fon"} and set(found["trained"]) == {"one language", "joint"}
    one = found[(found["trained"] == "one language") & (found["language"] == "bam") & (found["seed"] == 1)]
    assert one.set_index("order")["f1"]["dense"] == pytest.approx((43 + 41) / 2)
    # A seed that lacks a source at some sparsity is left out there.
    gone = TABLE[(TABLE["trained_on"] != "masakhaner/yor") | (TABLE["sparsity"] != 0.9) | (TABLE["seed"] != 2)]
    assert set(transfer.unseen(gone).query("sparsity == 0.9 and trained == 'one language'")["seed"]) == {1, 3}


def test_joint_model_that_was_not_pruned_still_counts_where_nothing_is_pruned() -> None:
    table = TABLE[(TABLE["order"] == "dense") | (TABLE["trained_on"] != "masakhaner/swa+yor")]
    assert "the joint model reaches a mean F1 of 37.0" in transfer.reach(table)
    assert "joint" not in transfer.breaks(table) and "one language" in transfer.breaks(table)
    assert list(lines(figures.zero_shot(table, trained="joint")[0])) == ["dense"]
    claims = transfer_claims.claims(table).set_index("claim")
    joint = claims[claims.index.str.contains("the joint model")]
    assert set(joint["verdict"].str.partition(":")[0]) == {"not measured"}


def test_sparsity_where_points_are_lost_is_on_the_line() -> None:
    found = transfer.losses(transfer.at_home(TABLE).query("trained == 'one language'"))
    assert found["after"][0] == pytest.approx(2 / 30) and found["before"][0] == pytest.approx(0.2)
    assert math.isnan(found["before"][1])
    away = transfer.losses(transfer.unseen(TABLE).query("trained == 'one language' and language == 'fon'"))
    assert away["after"] == pytest.approx((4 / 30, 23 / 30))  # dense: 23 on average over sources and seeds
    text = transfer.breaks(TABLE)
    lost = (
        "2 points of F1 at 40 % (at home at 20 %) pruned before fine-tuning and at 13 % (at home at 7 %) pruned after"
    )
    assert text.startswith(
        f"Models of one language lose zero-shot {lost} fine-tuning; half of it nowhere on this grid."
    )
    assert f"The joint model loses zero-shot {lost}" in text
    poor = TABLE.assign(f1=TABLE["f1"].where((TABLE["sparsity"] < 0.9) | (TABLE["order"] != "after"), 0.0))
    assert "; half of it at 75 % (at home at 76 %) pruned after fine-tuning. The joint" in transfer.breaks(poor)


def test_reach_names_the_best_and_the_worst_language() -> None:
    text = transfer.reach(TABLE)
    assert text.startswith("Without compression, models of one language reach a mean F1 of 33.0 [30.5, 35.5], n = 3")
    assert "from 23.0 in Fon to 43.0 in Bambara. Without compression, the joint model reaches a mean F1 of 37.0" in text
    alone = synthetic(sets=("masakhaner2/swa",), sources=("swa",))
    assert "not measured" in transfer.reach(alone) and "not measured" in transfer.breaks(alone)


def test_row_of_a_target_has_best_source_joint_model_and_a_published_score() -> None:
    bambara, fon = transfer.by_target(TABLE).to_dict("records")
    assert (bambara["language"], fon["language"]) == ("Bambara", "Fon")
    assert bambara["best source"] == "Swahili (44.0)" and bambara["dense F1, joint"] == "47.0 ± 2.5"
    assert (bambara["supervised, printed"], fon["supervised, printed"]) == (78.6, 79.9)
    assert bambara["after: 2 points lost at"] == "13 %"


def test_the_best_source_of_a_language_is_another_language() -> None:
    own = [row("fon", f"{dataset}/fon", "dense", 0.0, seed, 99.0) for dataset in ("masakhaner", "masakhaner2")
           for seed in SEEDS]  # fmt: skip
    found = transfer.by_target(pd.concat([TABLE, pd.DataFrame(own)])).set_index("language")["best source"]
    before = transfer.by_target(TABLE).set_index("language")["best source"]
    assert found["Fon"] == before["Fon"] and "99" not in found["Fon"]


def test_claims_on_shape_are_judged_and_levels_of_other_encoders_are_not() -> None:
    found = transfer_claims.claims(TABLE).set_index("claim")
    level = found.loc["dense Swahili out of domain"]
    assert level["measured"].startswith("89.0") and level["verdict"].startswith("not comparable: another encoder")
    drop = found[found.index.str.startswith("zero-shot, a clear drop at 70 %")]
    assert set(drop["verdict"]) == {"agrees"} and len(drop) == 4
    holds = found.loc["Swahili out of domain stays at the dense level up to 60 %", "verdict"]
    assert holds == "before: differs; after: differs"
    real = transfer_claims.claims(TABLE.assign(encoder="afriberta-base")).set_index("claim")
    assert real.loc["dense Swahili out of domain", "verdict"] == "agrees"
    assert real.loc["dense Yoruba out of domain", "verdict"] == "differs"
    unmeasured = transfer_claims.claims(synthetic(sources=("swa",), sets=("masakhaner2/bam",))).set_index("claim")
    assert unmeasured.loc["dense Yoruba out of domain", "verdict"] == "not measured"
    assert unmeasured.loc["dense Yoruba out of domain", "measured"] == "not measured"


def test_questions_on_transfer_are_answered_where_they_were_asked() -> None:
    found = transfer_claims.claims(TABLE).set_index("id")
    assert found.loc["Q4"].iloc[0]["verdict"] == "answered" and found.loc["OQ1", "verdict"] == "answered"
    assert found.loc["NC2", "measured"] == "not measured: no target is Slovak"
    slovak = TABLE.assign(language=TABLE["language"].replace({"fon": "slk"}))
    other = transfer_claims.claims(slovak).set_index("id").loc["NC2"]
    # By hand: dense F1 of TABLE is 23 in the one language and 43 in the other, with one-language models.
    assert other["verdict"] == "answered" and "dense F1 in Slovak, models of one language: 23.0" in other["measured"]
    assert "beside 43.0" in other["measured"] and "in 1 other unseen language" in other["measured"]
    features = pd.DataFrame({"feature": ["x"], "outcome": ["y"], "rho": [0.5], "low": [math.nan], "high": [math.nan],
                             "p_value": [0.5], "holm": [0.5], "n": [3]})  # fmt: skip
    assert transfer_claims.claims(TABLE, features).set_index("id").loc["OQ2", "verdict"] == "not measured"
    more = transfer_claims.claims(TABLE, features.assign(n=5)).set_index("id").loc["OQ2"]
    assert more["verdict"] == "answered" and "x with y, +0.50 (n = 5)" in more["measured"]


def test_steady_f1_keeps_the_claim_on_swahili_and_breaks_that_on_yoruba() -> None:
    away = TABLE["dataset"] == "masakhaner2"
    flat = TABLE.assign(f1=np.where(away, 60.0 + TABLE["seed"], TABLE["f1"]))
    found = transfer_claims.claims(flat).set_index("claim")["verdict"]
    assert found["Swahili out of domain stays at the dense level up to 60 %"] == "before: agrees; after: agrees"
    assert found["Yoruba out of domain drops, but only past 50 %"] == "before: differs; after: differs"


def test_scoring_is_counted_in_seconds() -> None:
    text = transfer.scoring_cost(TABLE)
    assert text.startswith("Scoring 63 models on 4 further sets took 126 seconds, 0.50 for a model and set, 5.00 milli")
    assert "not in these records" in transfer.scoring_cost(TABLE.assign(scoring_seconds=math.nan))


# Rank correlations


def distance_table() -> pd.DataFrame:
    rows = [
        {"trained_on": f"masakhaner/{source}", "dataset": "masakhaner2", "language": target}
        | dict.fromkeys(DISTANCES, 0)
        | {"piece_overlap": AWAY[target] + 2 * (source == "swa"), "unknown_pieces": -AWAY[target]}
        for source in ("swa", "yor") for target in AWAY
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_transfer_rises_with_overlap_and_falls_with_unknown_pieces() -> None:
    found = correlations.transfer_and_distance(TABLE, distance_table()).set_index("feature")
    assert set(found["outcome"]) == {correlations.BETWEEN}  # two sources give no rank correlation
    assert set(found.index) == {DISTANCES["piece_overlap"], DISTANCES["unknown_pieces"]}
    assert found["rho"][DISTANCES["piece_overlap"]] == pytest.approx(1)
    assert found["rho"][DISTANCES["unknown_pieces"]] == pytest.approx(-1)
    assert set(found["n"]) == {4}


def test_which_source_suits_a_target_is_a_mean_over_targets() -> None:
    sources = ("amh", "hau", "ibo", "kin")
    values = {"bam": (1, 2, 3, 4), "fon": (1, 2, 4, 3), "luo": (4, 3, 2, 1), "nya": (2, 1, 3, 4)}
    table = pd.DataFrame([
        row(source, f"masakhaner2/{target}", "dense", 0.0, 1, value)
        for target, own in values.items() for source, value in zip(sources, own, strict=True)
    ])  # fmt: skip
    far = pd.DataFrame([
        {"trained_on": f"masakhaner/{source}", "dataset": "masakhaner2", "language": target}
        | dict.fromkeys(DISTANCES, 1) | {"piece_overlap": place}
        for target in values for place, source in enumerate(sources)
    ])  # fmt: skip
    found = correlations.transfer_and_distance(table, far)
    by_hand = t_interval([stats.spearmanr(range(4), own)[0] for own in values.values()])
    (own,) = found.to_dict("records")
    assert own["outcome"] == correlations.WITHIN and own["n"] == 4
    assert (own["rho"], own["low"], own["high"]) == pytest.approx((by_hand.mean, max(by_hand.low, -1), 1))


def test_features_go_with_the_sparsity_at_which_f1_falls() -> None:
    languages = ("amh", "hau", "ibo", "kin", "lug")
    rows = []
    for number, language in enumerate(languages):
        for seed in SEEDS:
            rows.append(row(language, f"masakhaner/{language}", "dense", 0.0, seed, 80 + seed, milliseconds=number))
            for sparsity in GRID:  # the later the language, the earlier the fall; the first never falls
                f1 = 80 + seed - 10 * number * sparsity
                rows.append(row(language, f"masakhaner/{language}", "after", sparsity, seed, f1))
    features = pd.DataFrame({"dataset": "masakhaner", "language": languages} | dict.fromkeys(FEATURES, 1.0))
    features["pieces_per_word"] = range(5)
    found = correlations.features_and_compression(pd.DataFrame(rows), features).set_index("outcome")
    assert set(found["feature"]) == {FEATURES["pieces_per_word"]} and set(found["n"]) == {5}
    assert found["rho"]["sparsity where F1 loses 2 points, pruned after fine-tuning"] == pytest.approx(-1)
    assert found["rho"]["milliseconds for a sentence, dense"] == pytest.approx(1)
    assert found["p_value"].tolist() == pytest.approx([2 / 120 if abs(rho) > 0.99 else p for rho, p in
                                                      zip(found["rho"], found["p_value"], strict=True)])  # fmt: skip
    assert (found["holm"] >= found["p_value"]).all()


def test_correlations_in_words() -> None:
    columns = ["feature", "outcome", "rho", "low", "high", "p_value", "n", "holm"]
    found = pd.DataFrame([
        ("a", "x", 0.2, -0.5, 0.7, 0.5, 9, 0.5),
        ("b", "x", -0.9, -1.0, -0.5, 0.001, 9, 0.002),
        ("c", "y", 1.0, math.nan, math.nan, 0.3, 3, 0.6),
    ], columns=columns)  # fmt: skip
    cells = correlations.in_words(found)
    assert list(cells["rank correlation"]) == ["+1.00", "-0.90 [-1.00, -0.50]", "+0.20 [-0.50, +0.70]"]
    text = correlations.clearest(found)
    assert "Of 3 rank correlations, 1 is clear of zero after Holm's correction: b with x (-0.90)" in text
    assert "without it the intervals of 1 are" in text and "c with y, +1.00 (n = 3)" in text
    assert "Nothing to correlate" in correlations.clearest(found[:0])


def test_how_few_points_are_few() -> None:
    text = correlations.few(10)
    least = float(text.partition("beyond ")[2].split()[0])
    generator = np.random.default_rng(2)
    found = [spearman(range(10), np.arange(10) + generator.normal(0, 4, 10)) for _ in range(200)]
    near = [own for own in found if abs(own.rho - least) > 0.006]  # the text has two decimals
    assert {own.low > 0 for own in near} == {True, False}
    assert all((own.low > 0) == (own.rho > least) for own in near)
    assert correlations.few(3) == "3 points are too few for an interval."


# Figures


def lines(axes) -> dict:
    return {line.get_label(): np.asarray(line.get_ydata(), float) for line in axes.get_lines()
            if not line.get_label().startswith("_")}  # fmt: skip


def test_out_of_domain_has_both_dense_lines_in_every_panel() -> None:
    axes = figures.out_of_domain(TABLE)
    assert [panel.get_title(loc="left") for panel in axes] == ["Average", "Swahili", "Yoruba"]
    drawn = lines(axes[1])
    assert drawn["dense, out of domain"] == pytest.approx([89, 89])
    assert drawn["dense, in domain"] == pytest.approx([82, 82])
    assert drawn["pruned after fine-tuning"] == pytest.approx([81.5, 78.5, 75.5])


def test_gap_may_be_below_zero() -> None:
    drawn = lines(figures.domain_gap(TABLE))
    assert drawn["dense"] == pytest.approx([6.5, 6.5])
    assert drawn["pruned after fine-tuning"] == pytest.approx([-1, -4, -7])
    assert set(lines(figures.domain_gap(TABLE[TABLE["trained_on"] == "masakhaner/swa"]))) == set(drawn)


def test_heat_map_has_a_number_in_every_cell_and_frames_around_known_languages() -> None:
    axes = figures.transfer_matrix(TABLE)
    assert [text.get_text() for text in axes.texts][:4] == ["82.0", "72.0", "78.0", "89.0"]
    assert len(axes.texts) == 15
    assert len(axes.patches) == 3 + 2 + 2  # home; Swahili and Yoruba by themselves and by the joint model
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == [transfer.HOME, "Swahili", "Yoruba", "Bambara", "Fon"]
    dark = {text.get_text(): text.get_color() for text in axes.texts}
    assert dark["89.0"] == "white" and dark["24.0"] == "black"


def test_zero_shot_has_a_panel_for_each_unseen_language() -> None:
    axes = figures.zero_shot(TABLE)
    assert [panel.get_title(loc="left") for panel in axes] == ["Average", "Bambara", "Fon"]
    drawn = lines(axes[2])
    assert drawn["dense"] == pytest.approx([23, 23])
    assert drawn["pruned after fine-tuning"] == pytest.approx([23 - 15 * share for share in GRID])
    joint = lines(figures.zero_shot(TABLE, trained="joint")[2])
    assert joint["dense"] == pytest.approx([27, 27])
    for trained in ("one language", "joint"):
        with pytest.raises(SmallerError, match=f"No {trained} model .* not fine-tuned on"):
            figures.zero_shot(synthetic(sets=("masakhaner2/swa",), sources=("swa",)), trained=trained)


def test_distance_has_a_point_for_each_target() -> None:
    axes = figures.transfer_and_distance(TABLE, distance_table())
    assert len(axes) == 2 and sorted(text.get_text() for text in axes[0].texts) == ["bam", "fon", "swa", "yor"]
    assert axes[0].get_ylim() == axes[1].get_ylim()


def test_every_correlation_has_a_marker() -> None:
    found = correlations.transfer_and_distance(TABLE, distance_table())
    axes = figures.correlations(found)
    assert sum(len(line.get_xdata()) for line in axes.get_lines() if line.get_linestyle() == "None") == len(found)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(dict.fromkeys(found["feature"]))[::-1]
    with pytest.raises(SmallerError, match="no correlation to draw"):
        figures.correlations(found[:0])


def test_columns_that_findings_read_are_those_of_the_table() -> None:
    assert set(TABLE.columns) - {"scoring_seconds"} <= set(results.COLUMNS)
