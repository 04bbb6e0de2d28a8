"""Answers on the pipeline and on the search, from tables whose answers are done by hand; and its figures."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from smaller.analysis import sentences
from smaller.analysis.comparison import AGREES, DIFFERS, NOT_COMPARABLE, NOT_DECIDED, NOT_MEASURED, Comparison, between
from smaller.analysis.figures import pipeline as figures
from smaller.analysis.findings import claims, pipeline, pipeline_claims, units
from smaller.analysis.findings.finding import ANSWERED
from smaller.analysis.findings.pipeline import ONCE, ORDERS, PIPELINE, TAUGHT, UNTAUGHT
from smaller.analysis.statistics import Interval, describe
from smaller.base.errors import SmallerError
from smaller.data.sets import EvaluationSet
from smaller.study import without_labels
from smaller.study.pipelines import DENSE, NARROWER, QUESTIONS, SHALLOWER, TRIMMED, UNTAUGHT_KINDS
from smaller.study.recipes import Recipe

STAGES = {DENSE: (10.0, 0.0, 1000), SHALLOWER: (6.0, 1.0, 1000), NARROWER: (1.0, 9.0, 1000), TRIMMED: (0.4, 10.0, 400)}
"""Millions of parameters, points lost, and tokens."""

UNEVEN = 2**-24
"""Points by which seeds are uneven, since differences that are the same at each seed have no interval."""

NER, TOPICS = ("mini-base", "masakhaner"), ("mini-base", "sib200")


def rows(*, millions: float, lost: float, tokens: int = 1000, noise: float = 0.0, dev: float = 0.0, **changes):
    """Scores fall by `lost` on average, by more or less with the seed (`noise`), and by `dev` more on the dev split."""
    made = [
        {
            "identity": "unknown",
            "encoder": "mini-base",
            "dataset": dataset,
            "language": language,
            "seed": seed,
            "split": split,
            "noise": "",
            "order": "dense",
            "form": "trained",
            "sparsity": 0.0,
            "parameters": 1e6 * millions,
            "nonzero_parameters": 1e6 * millions,
            "dense_bytes": 4e6 * millions,
            "compressed_bytes": 3e6 * millions,
            "vocabulary": tokens,
            "task": task,
            "metric": "span F1",
            "score": level + seed - lost + (noise + UNEVEN * lost) * (seed - 2) - (2 + dev) * (split == "dev"),
        }
        for dataset, task, level in (("masakhaner", "ner", 80.0), ("sib200", "topics", 70.0))
        for language in ("swa", "yor")
        for seed in (1, 2, 3)
        for split in ("dev", "test")
    ]
    return pd.DataFrame(made).assign(**changes)


def families(**more: dict[str, pd.DataFrame]) -> dict[str, dict[str, pd.DataFrame]]:
    stages = {name: rows(millions=size, lost=lost, tokens=tokens) for name, (size, lost, tokens) in STAGES.items()}
    single = {
        "80 %": rows(millions=10, lost=3.0, sparsity=0.8, nonzero_parameters=2e6, dense_bytes=9.25e6),
        "95 %": rows(millions=10, lost=30.0, sparsity=0.95, nonzero_parameters=0.5e6, dense_bytes=3.25e6),
    }
    int8 = {"int8": rows(millions=10, lost=0.5, form="onnx-int8", dense_bytes=10e6)}
    return {PIPELINE: stages, "pruned": single, "quantized": int8} | more


def by_family(tables: dict[str, dict[str, pd.DataFrame]]) -> pd.DataFrame:
    """The families as one table, as `study.table` gives named groups."""
    named = {(family, stage): rows for family, stages in tables.items() for stage, rows in stages.items()}
    return pipeline.by_family(grouped(named))


def grouped(named: dict) -> pd.DataFrame:
    return pd.concat([own.assign(group=[name] * len(own)) for name, own in named.items()], ignore_index=True)


def whole(**more: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return by_family(families(**more))


def plain(**leads: float) -> pd.DataFrame:
    """Linear models that are so many points behind the dense one, by data set."""
    return pd.DataFrame(
        [
            {
                "encoder": "linear",
                "dataset": dataset,
                "language": language,
                "split": "test",
                "score": {"masakhaner": 82.0, "sib200": 72.0}[dataset] - lead,
                "identity": "unknown",
                "seed": 0,
            }
            for dataset, lead in leads.items()
            for language in ("swa", "yor")
        ]
    )


BEHIND = plain(masakhaner=5.0, sib200=5.0)


def test_bytes_and_shares_by_hand() -> None:
    table = whole()
    sizes = table.groupby("stage")[["bytes", "share", "parameter_share"]].first()
    assert sizes.loc[DENSE].tolist() == [40e6, 1.0, 1.0] and sizes.loc[TRIMMED].tolist() == [1.6e6, 0.04, 0.04]
    assert sizes.loc["80 %"].tolist() == [9.25e6, 9.25 / 40, 1.0]
    assert sizes.loc["int8"].tolist() == [10e6, 0.25, 1.0]
    assert set(table["family"]) == {PIPELINE, "pruned", "quantized"}
    masked = whole(pruned={"x": rows(millions=10, lost=0, sparsity=0.9, nonzero_parameters=1e6)})
    assert masked.loc[masked["stage"] == "x", "share"].unique() == 1.0, "zeros count, as in the fronts of the summary"


def test_bytes_that_ship_are_used_where_all_are_known_and_never_beside_bytes_of_weights() -> None:
    shipped = {
        family: {stage: own.assign(shipped_bytes=own["dense_bytes"] + 1e6) for stage, own in stages.items()}
        for family, stages in families().items()
    }
    table = by_family(shipped)
    sizes = table.groupby("stage")[["bytes", "share"]].first()
    assert sizes.loc[DENSE, "bytes"] == 41e6 and sizes.loc["int8", "bytes"] == 11e6
    assert sizes.loc["80 %", "share"] == 10.25 / 41, "what ships is counted"
    assert set(table["counted"]) == {units.SIZE["shipped_bytes"]}
    shipped["quantized"]["int8"] = shipped["quantized"]["int8"].assign(shipped_bytes=math.nan)
    old = by_family(shipped)
    assert (
        old.equals(old.assign(bytes=by_family(families())["bytes"]))
        and old["counted"].iloc[0] == units.SIZE["dense_bytes"]
    )


def test_averages_are_over_all_languages() -> None:
    table = whole()
    found = pipeline.averaged(table[table["split"] == "test"])
    own = found[(found["stage"] == SHALLOWER) & (found["dataset"] == "masakhaner")]
    assert own["score"].tolist() == pytest.approx([80.0, 81.0, 82.0])
    lacking = table[~((table["stage"] == SHALLOWER) & (table["seed"] == 2) & (table["language"] == "yor"))]
    found = pipeline.averaged(lacking[lacking["split"] == "test"])
    assert sorted(found.loc[found["stage"] == SHALLOWER, "seed"].unique()) == [1, 3]
    assert SHALLOWER not in set(pipeline.on_dev(lacking)["stage"]), "what lacks a seed is not chosen from"


def test_the_table_of_stages_holds_intervals_and_comparisons() -> None:
    found = pipeline.per_step(whole())
    found = found[found["data set"] == "masakhaner"].set_index("stage")
    assert list(found.index) == list(STAGES)
    assert found["MB"].tolist() == [40.0, 24.0, 4.0, 1.6] and found["of dense (%)"].tolist() == [100.0, 60.0, 10.0, 4.0]
    assert found["parameters (M)"].tolist() == found["not zero (M)"].tolist() == [10.0, 6.0, 1.0, 0.4]
    assert (found.loc[DENSE, "score"].mean, found.loc[DENSE, "score"].n) == (82.0, 3)
    assert {one.kind for one in found["over sentences"].dropna()} == {sentences.LACKING}
    dense, *changes = found["minus dense"]
    assert pd.isna(dense) and [one.interval.mean for one in changes] == [-1.0, -9.0, -10.0]
    assert {one.drawn_once for one in changes} == {(ONCE,)} and changes[0].languages == ("swa", "yor")


def test_a_difference_has_one_verdict_wherever_it_stands() -> None:
    """Each table corrected for its own rows: three stages here, one model there, and two of them together."""
    stages = families()
    stages[PIPELINE][TRIMMED] = rows(millions=0.4, lost=0.9, noise=0.05)
    table = by_family(stages)
    steps = pipeline.per_step(table).set_index(["data set", "stage"])["minus dense"].dropna()
    within = pipeline.smallest_within(table).drop_duplicates(["data set", "model"]).set_index(["data set", "model"])
    shared = steps.index.intersection(within.index)
    assert len(shared) == 2 and {one.of for one in [*steps, *within["minus dense"]]} == {len(steps)}
    for place in shared:
        assert steps[place] == within.loc[place, "minus dense"]
        assert steps[place] == pipeline.costs(table)["mini-base", place[0]].quantity
    told = pipeline.costs(table)[NER].values["steps"]
    assert not any(hasattr(one, "verdict") for one in told), "what trimming changes is asked of the vocabulary"
    assert not hasattr(pipeline.at_equal_bytes(table, [0.05])["difference"].iloc[0], "verdict")


def test_what_the_whole_pipeline_costs_is_one_comparison_over_seeds() -> None:
    found = pipeline.costs(whole())
    one = found[NER]
    assert (one.quantity.interval.mean, one.quantity.interval.n, one.quantity.sign) == (-10.0, 3, -1)
    assert one.values["share"] == pytest.approx(0.04) and one.values["lowest"] == NARROWER
    assert one.values["steps"][NARROWER].mean == -8.0 and one.verdict == ANSWERED
    unsure = families()
    unsure[PIPELINE][TRIMMED] = rows(millions=0.4, lost=1.0, noise=4.0)
    assert pipeline.costs(by_family(unsure))[NER].verdict == NOT_DECIDED
    table = whole()
    assert pipeline.costs(table[table["seed"] == 1])[NER].verdict == NOT_DECIDED, "one seed decides nothing"


def elsewhere(table: pd.DataFrame) -> pd.DataFrame:
    """The same with seeds that no other model has."""
    return table.assign(seed=table["seed"] + 10)


def on_test(change: Callable, table: pd.DataFrame) -> pd.DataFrame:
    """The table, whose test split is changed."""
    test = table["split"] == "test"
    return pd.concat([table[~test], change(table[test])])


def test_what_shares_no_seed_with_another_is_in_no_choice() -> None:
    """The lowest difference, and the closest family, could be one that is not a number."""
    apart = families()
    apart[PIPELINE][NARROWER] = elsewhere(apart[PIPELINE][NARROWER])
    found = pipeline.costs(by_family(apart))[NER]
    assert found.values["lowest"] == SHALLOWER == found.values["steps"].index.item() and "nan" not in str(found)
    apart[PIPELINE][TRIMMED] = elsewhere(apart[PIPELINE][TRIMMED])
    assert pipeline.costs(by_family(apart))[NER].verdict == NOT_MEASURED
    small = {"best": 3.0, "near": 3.5, "far": 6.0}
    small = {name: {name: rows(millions=0.3, lost=lost, noise=0.001 * lost)} for name, lost in small.items()}
    small["near"]["near"] = elsewhere(small["near"]["near"])
    best = pipeline.at_equal_bytes(by_family(families(**small)), [0.035]).iloc[0]
    assert (best["family"], best["closest other"], best["ahead of all others"]) == ("best", "far", AGREES)
    small["near"]["near"] = on_test(elsewhere, rows(millions=0.3, lost=3.5, noise=0.001))
    best = pipeline.at_equal_bytes(by_family(families(**small)), [0.035])
    first = best.iloc[0]
    assert (first["closest other"], first["ahead of all others"]) == ("near", NOT_MEASURED), "nobody knows how close"
    assert pipeline.best_families(best)[NER].values["winners"] == {}
    gone = by_family(families(tiny={"tiny": elsewhere(rows(millions=0.1, lost=0.1))}))
    assert "tiny" not in set(pipeline.smallest_within(gone)["family"]), "one chooses on the seeds of the dense model"
    table = by_family(families(tiny={"tiny": on_test(elsewhere, rows(millions=0.1, lost=0.1))}))
    found = pipeline.smallest(pipeline.smallest_within(table), "bytes")[NER]
    assert found.verdict == NOT_MEASURED and found.quantity.interval.n == 0


def test_the_lead_over_a_plain_model_opens_and_closes_the_gate() -> None:
    table = whole()
    costs = pipeline.costs(table)
    behind = pipeline.beside_plain(table, plain(masakhaner=-5.0))
    assert behind[NER].quantity.sign == -1 and behind[TOPICS].verdict == NOT_MEASURED
    told = claims.gated(costs, behind)
    assert {one.verdict for one in told.values()} == {NOT_COMPARABLE}, "a missing plain model too"
    ahead = pipeline.beside_plain(table, BEHIND)
    assert ahead[NER].quantity.interval.mean == 5.0 and claims.gated(costs, ahead) == costs
    unsure = pipeline.beside_plain(table, plain(masakhaner=0.5))
    assert unsure[NER].verdict == NOT_DECIDED, "the seeds of the dense model differ by two points"
    assert claims.gated(costs, unsure)[NER].verdict == NOT_COMPARABLE


def test_ablations_are_numbered_and_paired_by_seed() -> None:
    variants = {
        "kl": rows(millions=0.4, lost=12.0),
        "trim-first": rows(millions=0.4, lost=10.0, noise=0.9),
    }
    found = pipeline.ablations(whole(), grouped(variants), stage=TRIMMED)
    assert found.index.tolist() == [1, 2, 3, 4] and found["data set"].tolist() == ["masakhaner"] * 2 + ["sib200"] * 2
    assert found["question"].tolist() == [QUESTIONS[name] for name in variants] * 2
    first, second, *_ = found["difference"]
    assert (first.interval.mean, first.interval.n, first.verdict) == (-2.0, 3, DIFFERS), "languages are no sample"
    assert second.interval.mean == pytest.approx(0.0) and second.verdict == NOT_DECIDED
    assert first.drawn_once == (ONCE,)


def test_equal_bytes_by_hand() -> None:
    """The choice is made on dev, and what is reported is test."""
    found = pipeline.at_equal_bytes(whole(), [0.5, 0.1, 0.03])
    own = found[found["data set"] == "masakhaner"]
    models = {(row["bytes up to (%)"], row["family"]): row["model"] for row in own.to_dict("records")}
    assert models == {
        (50, "quantized"): "int8",
        (50, "pruned"): "80 %",
        (50, PIPELINE): NARROWER,
        (10, PIPELINE): NARROWER,
        (10, "pruned"): "95 %",
    }
    half = own[own["bytes up to (%)"] == 50].iloc[0]
    assert (half["family"], half["score"].mean, half["closest other"]) == ("quantized", 81.5, "pruned")
    assert half["difference"].mean == -2.5 and half["ahead of all others"] == AGREES
    bold = {found.loc[place, "family"] for place, _ in found.attrs["bold"]}
    assert bold == {"quantized", PIPELINE}
    told = pipeline.best_families(found)
    assert told[NER].values["winners"] == {50: "quantized", 10: PIPELINE} and told[NER].verdict == ANSWERED


def test_a_family_wins_only_where_a_comparison_supports_it() -> None:
    """It was called best for the higher mean alone."""
    equals = families(**{TAUGHT: {"taught": rows(millions=0.4, lost=9.9, noise=3.0)}})
    found = pipeline.at_equal_bytes(by_family(equals), [0.05])
    assert found.groupby("data set")["family"].first().tolist() == [TAUGHT, TAUGHT]
    assert found["ahead of all others"].iloc[0] == NOT_DECIDED
    assert {one.values["winners"].get(5) for one in pipeline.best_families(found).values()} == {None}
    table = whole()
    alone = pipeline.at_equal_bytes(table[table["seed"] == 1], [0.5, 0.1])
    told = pipeline.best_families(alone).values()
    assert {one.verdict for one in told} == {NOT_DECIDED}, "one seed decides nothing"
    assert not any(one.values["winners"] for one in told)
    chosen = families(**{TAUGHT: {"lucky on test": rows(millions=0.4, lost=5.0, dev=9.0)}})
    found = pipeline.at_equal_bytes(by_family(chosen), [0.05])
    best = found.drop_duplicates("data set").set_index("data set").loc["masakhaner"]
    assert best["family"] == PIPELINE and best["difference"].low > 0, "the choice stands, although it is behind"
    assert best["ahead of all others"] == DIFFERS


def test_a_family_that_is_the_same_is_closer_than_one_that_is_less_clearly_behind() -> None:
    """The closest was the one with the highest p: "ahead of all others", although one family scores the same."""
    table = families(
        best={"best": rows(millions=0.3, lost=3.0)},
        same={"same": rows(millions=0.3, lost=3.2, noise=0.001)},
        behind={"behind": rows(millions=0.3, lost=6.0, noise=0.9)},
    )
    found = pipeline.at_equal_bytes(by_family(table), [0.035])
    first = found.drop_duplicates("data set").iloc[0]
    assert (first["family"], first["closest other"], first["ahead of all others"]) == ("best", "same", DIFFERS)
    assert not pipeline.best_families(found)[NER].values["winners"]


def test_the_same_family_with_another_model_is_another_comparison() -> None:
    """At the smaller size the difference was that from the other family's larger model."""
    table = families(
        best={"best": rows(millions=0.3, lost=-1.0)},
        other={"large": rows(millions=3.0, lost=-0.9), "small": rows(millions=0.3, lost=18.0)},
    )
    found = pipeline.at_equal_bytes(by_family(table), [0.5, 0.035])
    firsts = found[(found["data set"] == "masakhaner") & (found["family"] == "best")]
    assert [one.mean for one in firsts["difference"]] == pytest.approx([-0.1, -19.0])


def test_of_families_that_are_all_behind_the_least_clearly_so_is_the_closest() -> None:
    table = families(
        best={"best": rows(millions=0.3, lost=1.0)},
        near={"near": rows(millions=0.3, lost=4.0, noise=0.001)},
        far={"far": rows(millions=0.3, lost=9.0, noise=0.9)},
    )
    first = pipeline.at_equal_bytes(by_family(table), [0.035]).iloc[0]
    assert (first["family"], first["closest other"], first["ahead of all others"]) == ("best", "far", AGREES)


def test_the_front_of_each_family_is_chosen_on_dev() -> None:
    lucky = families(
        pruned={
            "a": rows(millions=1, lost=5.0),
            "b": rows(millions=1, lost=1.0, dev=9.0),
            "c": rows(millions=2, lost=9.0),
        }
    )
    found = pipeline.front(by_family(lucky))
    own = found[(found["family"] == "pruned") & (found["dataset"] == "masakhaner")]
    assert set(own["stage"]) == {"a"} and own["score"].tolist() == pytest.approx([76.0, 77.0, 78.0])


def everything(table: pd.DataFrame, linear: pd.DataFrame = BEHIND, seconds: pd.DataFrame | None = None) -> pd.DataFrame:
    lost = pipeline_claims.drops(table, {"swa": 100.0, "yor": 50.0})
    found = pipeline_claims.judged(
        table,
        times().head(0) if seconds is None else seconds,
        equal=pipeline.at_equal_bytes(table, [0.5, 0.1]),
        lost=lost,
        ahead=pipeline.beside_plain(table, linear),
    )
    return found


def test_every_question_on_the_pipeline_has_a_verdict() -> None:
    found = everything(named(), seconds=times())
    assert list(dict.fromkeys(found["id"])) == ["P2-T1", "D23", "D24", "D24b", "XtremeDistil", "D25", "X1"]
    assert found["id"].tolist().count("XtremeDistil") == 3, "both data sets, and the time on one of them"
    verdicts = found.groupby("id")["verdict"].agg(set).to_dict()
    assert verdicts["P2-T1"] == verdicts["X1"] == {"answered"} and verdicts["D25"] == {NOT_DECIDED}
    elsewhere = {NOT_COMPARABLE + claims.ELSEWHERE}
    assert verdicts["D23"] == verdicts["D24"] == verdicts["D24b"] == elsewhere
    assert verdicts["XtremeDistil"] == elsewhere, "no student is so small"
    silent = everything(named(), plain(masakhaner=-5.0, sib200=5.0)).groupby("id")["verdict"].agg(list)
    refused = NOT_COMPARABLE + claims.BEHIND
    assert silent["P2-T1"] == silent["X1"] == [refused, "answered"] and silent["D24"] == list(elsewhere)


def test_each_encoder_is_judged_by_itself() -> None:
    """The first one judged all rows. The pipeline loses 12.2 % of 82 points and 13.9 % of 72; 8 to 13 are printed."""
    both = pd.concat([named().assign(encoder=name) for name in ("xlm-r-base", "mini-base", "mbert")])
    found = everything(both).groupby("id")["verdict"].agg(list)
    elsewhere = NOT_COMPARABLE + claims.ELSEWHERE
    assert found["D23"] == [AGREES, DIFFERS, elsewhere, elsewhere, AGREES, DIFFERS]
    one = pipeline_claims.whole_pipeline(named())[NER]
    kept = Interval(*(100 - end for end in (one.quantity.mean, one.quantity.high, one.quantity.low)), one.quantity.n)
    assert kept.n == 3 and kept.mean == pytest.approx(100 * 72 / 82, abs=0.1)
    assert found["D24"] == [DIFFERS, elsewhere, elsewhere], "96 % are taken away, and 92 are printed of XLM-R"
    assert found["D24b"] == [elsewhere, elsewhere, DIFFERS]
    few = named().assign(encoder="xlm-r-base")
    few = everything(few[few["seed"] == 1])
    assert set(few.loc[few["id"] == "D23", "verdict"]) == {NOT_COMPARABLE + claims.BEHIND}, "one seed is no lead"


def test_a_claim_is_held_against_the_best_small_student_chosen_on_dev() -> None:
    students = {"small": rows(millions=0.25, lost=4.0), "lucky": rows(millions=0.25, lost=1.0, dev=9.0)}
    found = pipeline_claims.thirty_five_times_fewer(whole(**{TAUGHT: students}))
    assert found[NER].quantity.mean == pytest.approx(100 * 78 / 82, abs=0.01) and found[NER].quantity.n == 3
    onto = pipeline_claims.thirty_five_times_fewer(whole(**{ORDERS: {"short": rows(millions=0.25, lost=4.0)}}))[NER]
    assert onto.quantity.n == 3 and pipeline.once(ORDERS) and not pipeline.once(TAUGHT)
    assert pipeline_claims.thirty_five_times_fewer(whole())[NER].verdict == NOT_COMPARABLE


def test_what_a_teacher_adds_is_the_difference_from_the_same_shape_without_one() -> None:
    kinds = ((5.0, 0.1), (5.2, 3.0), (4.0, 0.0))
    without = {
        kind: rows(millions=1, lost=lost, noise=noise)
        for kind, (lost, noise) in zip(UNTAUGHT_KINDS, kinds, strict=True)
    }
    taught = {"taught, 48 wide": rows(millions=1, lost=4.0), "taught, 36 wide": rows(millions=1, lost=9.0)}
    found = pipeline_claims.teacher(whole(**{TAUGHT: taught, UNTAUGHT: without}))
    own = found[found["data set"] == "masakhaner"].set_index("kind")["comparison"]
    assert [one.interval.mean for one in own[list(UNTAUGHT_KINDS)]] == pytest.approx([1.0, 1.2, 0.0])
    assert [one.verdict for one in own[list(UNTAUGHT_KINDS)]] == [DIFFERS, NOT_DECIDED, AGREES]
    assert pipeline_claims.shown(found["comparison"], 1, "it is ahead").values["shown"] == 2
    for nothing in (whole(), whole(**{TAUGHT: taught}), whole(**{UNTAUGHT: without})):
        none = pipeline_claims.teacher(nothing)["comparison"]
        assert pipeline_claims.shown(none, 1, "it is ahead").verdict == NOT_MEASURED


def test_no_dense_model_is_an_error() -> None:
    with pytest.raises(SmallerError, match="no dense model of mini-base on masakhaner"):
        by_family({PIPELINE: {SHALLOWER: rows(millions=1, lost=0)}})


def labelled(axes) -> dict:
    return {line.get_label(): line for line in axes.get_lines()}


def test_the_diagram_shows_every_stage_with_its_size() -> None:
    sizes, scores = figures.pipeline_diagram(whole())
    assert [bar.get_width() for bar in sizes.patches] == [40.0, 24.0, 4.0, 1.6]
    assert [label.get_text() for label in sizes.get_yticklabels()] == list(STAGES)
    assert sizes.texts[-1].get_text() == " 0.40 M, 1.6 MB, 4 %"
    assert sizes.get_xlabel() == "MB of the weights, models of MasakhaNER"
    drawn = np.concatenate([np.asarray(line.get_xdata(), dtype=float) for line in scores.get_lines()])
    assert {72.0, 73.0, 81.0, 82.0} <= set(drawn.round(6)), "means and seeds of named entities"
    table = whole()
    tasks = [table[table["dataset"] == "sib200"].assign(dataset=f"task {number}") for number in range(8)]
    assert len(figures.pipeline_diagram(pd.concat(tasks))) == 2, "colours come again for eight tasks"
    both = pd.concat([table, table.assign(encoder="other")])
    with pytest.raises(SmallerError, match="is of one encoder, and the rows hold mini-base, other"):
        figures.pipeline_diagram(both)


def test_curves_over_tokens_and_bytes() -> None:
    table = whole()
    curve = table[(table["split"] == "test") & table["stage"].isin([NARROWER, TRIMMED])]
    found = pipeline_claims.vocabulary(curve)
    first = found[*NER, 400]
    assert (first.quantity.interval.mean, first.quantity.interval.n, first.verdict) == (-1.0, 3, ANSWERED)
    assert len(claims.gated(found, pipeline.beside_plain(table, plain(masakhaner=-5.0)))) == 2
    nothing = pipeline_claims.vocabulary(curve.head(0))
    assert [one.verdict for one in claims.gated(nothing, {}).values()] == [NOT_MEASURED]
    axes = figures.vocabulary_curve(curve)
    line = labelled(axes[0])["Swahili"]
    assert list(line.get_xdata()) == [400, 1000] and line.get_ydata() == pytest.approx([72.0, 73.0])
    axes = figures.score_at_bytes(whole(**{ORDERS: {"short": rows(millions=0.5, lost=4.0)}}))
    assert labelled(axes[0])[PIPELINE].get_xdata() == pytest.approx([4.0, 10.0, 60.0])
    assert labelled(axes[0])[DENSE].get_ydata()[0] == pytest.approx(82.0) and math.isfinite(axes[0].get_xlim()[0])
    axes[0].figure.canvas.draw()
    ticks = [text.get_text() for text in axes[-1].get_xticklabels()]
    assert {"5", "10", "20", "50"} <= set(ticks), "steps that one can read"
    bottom = axes[0].get_ylim()[0]
    told, *named = [text.get_text() for text in axes[0].texts]
    assert bottom > 65 and told == "↓ pruned: 52", "15 points below are a note"
    assert set(named) >= {PIPELINE, "quantized", DENSE}, "and all others have a name"
    with pytest.raises(SmallerError, match="the rows hold none"):
        figures.vocabulary_curve(curve.head(0))


def test_a_model_without_an_encoder_stands_beside_the_others_with_its_file() -> None:
    file = plain(masakhaner=-4.0).assign(task="ner", metric="span F1", dense_bytes=[1e6, 2e6])
    file = pd.concat([file, file.assign(split="dev")])
    shipped = whole().assign(counted=units.SIZE["shipped_bytes"])
    (axes, *_) = figures.score_at_bytes(figures.with_plain(shipped, file))
    cross = labelled(axes)[figures.NONE]
    assert cross.get_xdata() == pytest.approx([5.0]) and cross.get_ydata() == pytest.approx([86.0])
    (axes, *_) = figures.score_at_bytes(figures.with_plain(whole(), file))
    level = labelled(axes)[figures.NONE]
    assert level.get_xdata() == [0, 1] and level.get_ydata() == pytest.approx([86.0] * 2), "no place among weights"
    assert axes.get_title(loc="left") == "Named entities, MasakhaNER (span F1)"


def named() -> pd.DataFrame:
    table = whole()
    return table.assign(identity=table["stage"] + table["dataset"])


def times(*, tokenizer: float = math.nan) -> pd.DataFrame:
    """Of three models, in two settings, on named entities; end to end where the tokenizer's milliseconds are known."""
    speeds = {DENSE: 10.0, TRIMMED: 1.0, "int8": 2.5}
    return pd.DataFrame(
        [
            {
                "identity": f"{stage}masakhaner",
                "encoder": "mini-base",
                "batch": batch,
                "threads": 1,
                "device": "a processor",
                "milliseconds": milliseconds / batch,
                "end_to_end_milliseconds": tokenizer + milliseconds / batch,
                "noise_floor": 0.05,
            }
            for batch in (1, 2)
            for stage, milliseconds in speeds.items()
        ]
    )


def test_the_smallest_model_within_each_loss_by_hand() -> None:
    found = pipeline_claims.with_speed(pipeline.smallest_within(named()), named(), times())
    own = found[found["data set"] == "masakhaner"].set_index("loss up to")
    assert own["model"].tolist() == ["int8", "int8", "80 %", "80 %"]
    first = own.loc["1 point"]
    assert first[["family", "MB", "of dense (%)", "times faster"]].tolist() == ["quantized", 10.0, 25.0, 4.0]
    assert first["score"].mean == 81.5 and first["minus dense"].interval.mean == -0.5
    assert math.isnan(own.loc["5 points", "times faster"])
    told = pipeline.smallest(found, "bytes of the weights")[NER]
    assert (told.quantity, told.verdict) == (first["minus dense"], ANSWERED), "a loss of one point is excluded"
    poor = named()
    poor.loc[poor["stage"] != DENSE, "score"] -= 50
    alone = pipeline.smallest_within(poor)
    assert set(alone["model"]) == {DENSE} and alone["minus dense"].isna().all()
    told = pipeline.smallest(alone, "bytes")[NER]
    assert (told.quantity, told.verdict) == (None, ANSWERED)


def test_the_smallest_model_within_a_loss_is_chosen_on_dev() -> None:
    table = named()
    on_dev, own = table["split"] == "dev", table["dataset"] == "masakhaner"
    table.loc[on_dev & own & (table["stage"] == "95 %"), "score"] += 30
    chosen = pipeline.within(table).set_index(["dataset", "loss up to"])["stage"]
    assert chosen["masakhaner", "1 point"] == "95 %" and chosen["sib200", "1 point"] == "int8"


def test_one_seed_of_a_pair_leaves_the_count_undecided() -> None:
    one = pipeline_claims.shown([between([3.0]), between([9.0])], 1, "the first scores more")
    assert (one.verdict, one.values["shown"]) == (NOT_DECIDED, 0)
    sure = pipeline_claims.shown([between([3.0, 3.1, 3.2])], 1, "the first scores more")
    assert (sure.verdict, sure.values["shown"]) == (ANSWERED, 1)


def test_a_speed_is_of_one_data_set() -> None:
    """The topics showed the time of the tagger, since stages have the same names on all data sets."""
    found = pipeline_claims.with_speed(pipeline.smallest_within(named()), named(), times())
    found = found.set_index(["data set", "loss up to"])["times faster"]
    assert found["masakhaner", "1 point"] == 4.0 and found["sib200"].isna().all()


def test_times_of_two_devices_are_not_compared() -> None:
    mixed = times()
    mixed.loc[mixed["identity"].str.startswith("int8"), "device"] = "a graphics card"
    found = pipeline_claims.speeds(named(), mixed).set_index("model")["times faster"]
    assert found.loc[[TRIMMED]].tolist() == [10.0, 10.0] and found.loc[["int8"]].isna().all()


def test_one_seed_has_no_interval_and_decides_nothing() -> None:
    table = named()
    found = pipeline.smallest_within(table[table["seed"] == 1])
    assert {interval.n for interval in found["score"]} == {1}
    assert {one.verdict for one in found["minus dense"] if isinstance(one, Comparison)} == {NOT_DECIDED}
    poor = table[table["seed"] == 1].assign(score=lambda own: own["score"] - 50 * (own["stage"] != DENSE))
    for rows_of in (found, pipeline.smallest_within(poor)):
        assert {one.verdict for one in pipeline.smallest(rows_of, "bytes").values()} == {NOT_DECIDED}


def test_how_much_faster_the_end_is() -> None:
    found = pipeline_claims.faster(named(), times())[NER]
    assert found.values["ratios"] == {(1, 1): 10.0, (2, 1): 10.0} and found.verdict == NOT_COMPARABLE
    each = pipeline_claims.speeds(named(), times()).set_index(["model", "batch"])
    assert each.loc[("int8", 2), "times faster"] == 4.0
    assert each.loc[(TRIMMED, 1), "share of the bytes"] == pytest.approx(0.04)
    assert [one.verdict for one in pipeline_claims.faster(named(), times().head(0)).values()] == [NOT_MEASURED]


def test_speed_is_from_text_to_labels_where_every_model_was_timed_so() -> None:
    """Every ratio was of the network alone: with 2 ms of tokenizer, 12 against 3 is four times, and not ten."""
    table = named()
    for tokenizer, ratio, time in ((2.0, 4.0, "from text to labels"), (math.nan, 10.0, "in the network alone")):
        seconds = times(tokenizer=tokenizer)
        found = pipeline_claims.faster(table, seconds)[NER].values
        assert found["ratios"][1, 1] == ratio and found["time"] == time
        small = pipeline_claims.with_speed(pipeline.smallest_within(table), table, seconds)
        assert set(small["time"].dropna()) == {time}
        assert set(pipeline_claims.speeds(table, seconds)["time"]) == {time}
    mixed = times(tokenizer=2.0)
    mixed.loc[0, "end_to_end_milliseconds"] = math.nan
    assert pipeline_claims.faster(table, mixed)[NER].values["time"] == "in the network alone"


def with_adapters() -> pd.DataFrame:
    shape = {"layers": 2, "hidden": 100}
    both = [
        rows(millions=0.4, lost=11.0, adapter=4, **shape),
        rows(millions=0.4, lost=10.0, noise=3.0, adapter=50, **shape),
    ]
    return grouped({TRIMMED: pd.concat(both)})


def test_adapters_beside_full_fine_tuning() -> None:
    curve = pipeline_claims.adapter_curve(whole(), with_adapters())
    assert sorted(set(curve["size"])) == [2 * (2 * 100 * 2 + 2 + 100), 2 * (2 * 100 * 25 + 25 + 100)]
    found = pipeline_claims.adapters(curve)
    own = found[found["data set"] == "masakhaner"].set_index("reduction")
    assert [one.interval.mean for one in own["difference"]] == [-1.0, 0.0]
    assert [one.verdict for one in own["difference"]] == [DIFFERS, NOT_DECIDED]
    assert own.loc[4, "score"].mean == 71.0 and own.loc[4, "full fine-tuning"].mean == 72.0
    assert own.loc[4, "difference"].drawn_once == (ONCE,)
    assert pipeline_claims.shown(found["difference"], -1, "they lose").values["shown"] == 2
    axes = figures.adapter_curve(curve)
    assert labelled(axes[0])[f"{TRIMMED}, adapters"].get_ydata() == pytest.approx([72.0, 71.0])
    assert labelled(axes[0])[f"{TRIMMED}, full fine-tuning"].get_ydata()[0] == pytest.approx(72.0)


def test_the_drop_beside_the_text() -> None:
    found = pipeline_claims.drops(whole(), {"swa": 400, "yor": 100})
    own = found[(found["dataset"] == "masakhaner") & (found["language"] == "swa") & (found["seed"] == 1)]
    assert own["lost"].item() == pytest.approx(100 * 10 / 81) and own["amount"].item() == 400
    told = pipeline_claims.drop_and_text(found)[NER]
    assert told.verdict == NOT_DECIDED and math.isnan(told.values["correlation"].rho), "two languages have none"
    kept = told.values["kept"]
    assert {code: one.mean for code, one in kept.items()} == pytest.approx({"swa": 87.803, "yor": 87.803}, abs=0.01)
    assert {one.n for one in kept.values()} == {3}
    five = pd.DataFrame(
        {
            "encoder": "mini-base",
            "dataset": "masakhaner",
            "language": ["swa", "yor", "hau", "ibo", "wol"],
            "lost": [1.0, 2.0, 3.0, 5.0, 4.0],
            "amount": [50, 40, 30, 20, 10],
        }
    )
    told = pipeline_claims.drop_and_text(five)[NER]
    assert told.values["correlation"].rho == pytest.approx(-0.9) and told.verdict == NOT_DECIDED, "p is 0.08"
    five["lost"] = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert pipeline_claims.drop_and_text(five)[NER].verdict == ANSWERED
    axes = figures.drop_and_text(found)
    assert len(axes) == 2 and {text.get_text() for text in axes[0].texts} == {"Swahili", "Yoruba"}


@pytest.mark.parametrize("gone", [lambda own: own.assign(score=math.nan), lambda own: own.assign(score=0.0)])
def test_a_share_of_a_score_that_is_missing_or_zero_is_not_measured(gone: Callable) -> None:
    """Once, it was a loss of nothing: Swahili kept 100 % [100, 100] of scores that nobody had."""
    table = whole()
    swahili = table["language"] == "swa"
    found = pipeline_claims.drops(pd.concat([gone(table[swahili]), table[~swahili]]), {"swa": 400, "yor": 100})
    assert found.loc[found["language"] == "swa", "lost"].isna().all()
    kept = pipeline_claims.drop_and_text(found)[NER].values["kept"]
    assert (kept["swa"].n, kept["yor"].n) == (0, 3) and describe(kept["swa"], " %") == NOT_MEASURED
    assert {text.get_text() for text in figures.drop_and_text(found)[0].texts} == {"Yoruba"}
    nothing = pipeline_claims.drops(gone(table), {"swa": 400, "yor": 100})
    assert (
        len(figures.drop_and_text(nothing)) == 2
        and pipeline_claims.drop_and_text(nothing)[NER].values["kept"]["yor"].n == 0
    )


def test_guessing_is_read_from_the_records(keep: Callable) -> None:
    kept = {"pseudo_perplexity": 20.0, "word_perplexity": 90.0, "unknown_pieces": 0.0, "pieces": 30, "words": 20}
    text = EvaluationSet("sample", "swa", kind="unlabelled", limit=5)
    models = {DENSE: Recipe("sample-small"), TRIMMED: Recipe("sample-base")}
    for recipe, bits in zip(models.values(), (2.0, 2.5), strict=True):
        scores = {text.key: kept | {"bits_per_character": bits}}
        keep({recipe.identity: {"inputs": recipe.inputs(), "scores": scores}})
    found = without_labels.guessing({("swa", stage): [recipe] for stage, recipe in models.items()}, {"swa": text})
    assert found["bits per character"].tolist() == [2.0, 2.5] and found["tokens per word"].tolist() == [1.5, 1.5]
    told = pipeline_claims.guessed(found.assign(encoder="one"))
    assert told.values == {"worst": TRIMMED, "bits": 0.5}
    assert without_labels.guessing({("swa", DENSE): [Recipe("sample-large")]}, {"swa": text}).empty
    assert pipeline_claims.guessed(found.head(0)).verdict == NOT_MEASURED
