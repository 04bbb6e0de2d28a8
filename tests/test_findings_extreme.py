"""Answers on the pipeline and on the search, from tables whose answers are done by hand; and its figures."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from smaller.data.sets import EvaluationSet
from smaller.errors import SmallerError
from smaller.figures import extreme as figures
from smaller.findings import extreme, extreme_claims, extreme_curves, smallest
from smaller.findings.extreme import PIPELINE
from smaller.recipes import DENSE, NARROWER, SHALLOWER, TRIMMED, Recipe

STAGES = {DENSE: (10.0, 0.0, 1000), SHALLOWER: (6.0, 1.0, 1000), NARROWER: (1.0, 9.0, 1000), TRIMMED: (0.4, 10.0, 400)}
"""Millions of parameters, points lost, and pieces."""


def rows(*, millions: float, lost: float, pieces: int = 1000, noise: float = 0.0, **changes) -> pd.DataFrame:
    made = [
        {
            "encoder": "mini-base", "dataset": dataset, "language": language, "seed": seed, "split": split,
            "form": "trained", "sparsity": 0.0, "parameters": 1e6 * millions, "nonzero_parameters": 1e6 * millions,
            "dense_bytes": 4e6 * millions, "vocabulary": pieces, "task": task, "metric": "span F1",
            "score": level + seed - lost + noise * seed * (language == "yor") - 2 * (split == "dev"),
        }
        for dataset, task, level in (("masakhaner", "ner", 80.0), ("sib200", "topics", 70.0))
        for language in ("swa", "yor")
        for seed in (1, 2, 3)
        for split in ("dev", "test")
    ]  # fmt: skip
    return pd.DataFrame(made).assign(**changes)


def whole(**changes) -> pd.DataFrame:
    stages = {name: rows(millions=size, lost=lost, pieces=pieces) for name, (size, lost, pieces) in STAGES.items()}
    single = {
        "80 %": rows(millions=10, lost=3.0, sparsity=0.8, nonzero_parameters=2e6),
        "95 %": rows(millions=10, lost=30.0, sparsity=0.95, nonzero_parameters=0.5e6),
    }
    int8 = {"int8": rows(millions=10, lost=0.5, form="onnx-int8", dense_bytes=10e6)}
    return extreme.with_shares(
        extreme.by_stage(stages), extreme.by_stage(single, family="pruned"),
        extreme.by_stage(int8, family="quantized"),
    ).assign(**changes)  # fmt: skip


def test_bytes_and_shares_by_hand() -> None:
    table = whole()
    sizes = table.groupby("stage")[["bytes", "share", "parameter_share"]].first()
    assert sizes.loc[DENSE].tolist() == [40e6, 1.0, 1.0] and sizes.loc[TRIMMED].tolist() == [1.6e6, 0.04, 0.04]
    assert sizes.loc["80 %"].tolist() == [8e6 + 1.25e6, 9.25 / 40, 1.0]  # a bitmap, and what is left
    assert sizes.loc["int8"].tolist() == [10e6, 0.25, 1.0]
    assert set(table["family"]) == {PIPELINE, "pruned", "quantized"}
    barely = extreme.by_stage({"x": rows(millions=10, lost=0, sparsity=0.01, nonzero_parameters=9.9e6)})
    assert barely["bytes"].unique().tolist() == [40e6]  # a bitmap that saves nothing is not used


def test_averages_are_over_all_languages() -> None:
    table = whole()
    found = extreme.averaged(table[table["split"] == "test"])
    own = found[(found["stage"] == SHALLOWER) & (found["dataset"] == "masakhaner")]
    assert own["score"].tolist() == [80.0, 81.0, 82.0]
    lacking = table[~((table["stage"] == SHALLOWER) & (table["seed"] == 2) & (table["language"] == "yor"))]
    found = extreme.averaged(lacking[lacking["split"] == "test"])
    assert sorted(found.loc[found["stage"] == SHALLOWER, "seed"].unique()) == [1, 3]


def test_the_table_of_stages() -> None:
    found = extreme.per_step(whole()).set_index("stage")
    assert list(found.index) == list(STAGES)
    assert found["MB"].tolist() == [40.0, 24.0, 4.0, 1.6] and found["of dense (%)"].tolist() == [100.0, 60.0, 10.0, 4.0]
    assert found["parameters (M)"].tolist() == [10.0, 6.0, 1.0, 0.4] and set(found["n"]) == {3}
    assert found.loc[DENSE, "ner, masakhaner (span F1)"].startswith("82.0 ± ")
    assert found["ner, masakhaner: change"].tolist() == ["", "-1.0 ± 0.0", "-9.0 ± 0.0", "-10.0 ± 0.0"]
    assert found["topics, sib200: change"].tolist()[-1] == "-10.0 ± 0.0"


def test_the_end_in_words() -> None:
    told = extreme.in_the_end(whole())
    assert "mini-base, ner (masakhaner): 3 stages leave 4.0 % of the bytes (1.6 of 40.0 MB)" in told
    assert "and 87.8 % of the score, " in told and "The stage that costs most is narrower, -8.0 points" in told
    assert extreme.costliest(whole()) == (
        "What costs most is “narrower” (-8.0 points on masakhaner), “narrower” (-8.0 points on sib200)."
    )
    alone = whole()
    assert extreme.costliest(alone[alone["stage"] == DENSE]) == ""
    assert extreme.in_the_end(alone[alone["stage"] == DENSE]) == "The pipeline was not measured."


def test_ablations_are_numbered_and_paired() -> None:
    variants = {"Is KL the better loss?": rows(millions=0.4, lost=12.0),
                "Is it better to trim first?": rows(millions=0.4, lost=10.0, noise=0.1)}  # fmt: skip
    found = extreme.ablations(whole(), variants, stage=TRIMMED)
    assert found["number"].tolist() == [1, 2, 3, 4]
    assert found["question"].tolist() == [name for name in variants for _ in range(2)]
    assert found["dataset"].tolist() == ["masakhaner", "sib200"] * 2
    first, _, third, _ = found["difference"]
    assert first.mean == -2.0 and first.n == 6
    assert third.mean == pytest.approx(np.mean([0, 0, 0, 0.1, 0.2, 0.3]))
    assert found["verdict"].tolist()[2] == "not decided"


def test_equal_bytes_by_hand() -> None:
    """The choice is made on dev, and what is reported is test."""
    found = extreme.at_equal_bytes(whole(), [0.5, 0.1, 0.03])
    own = found[found["dataset"] == "masakhaner"].set_index(["family", "at"])["stage"]
    assert own[PIPELINE].tolist() == [NARROWER, NARROWER, ""]
    assert own["pruned"].tolist() == ["80 %", "95 %", ""]
    assert own["quantized"].tolist() == ["int8", "", ""]
    best = found[(found["dataset"] == "masakhaner") & (found["at"] == 0.5)].set_index("family")
    assert best.loc["quantized", "interval"].mean == 81.5 and best.loc["quantized", "kept"] == pytest.approx(81.5 / 82)
    told = extreme.equal_bytes_in_words(found)
    assert told.startswith("mini-base on masakhaner: at 50 % of the bytes quantized is ahead (int8) with 81.5 [")
    assert "(99.4 % of the dense score), then pruned with 79.0; at 10 % of the bytes pipeline is ahead" in told
    assert told.endswith("; at 3 % there is no model.") and told.count("mini-base on ") == 2
    assert extreme.best_families(found[found["dataset"] == "masakhaner"]) == (
        "Best at 50 % on masakhaner, quantized; at 10 % on masakhaner, pipeline."
    )
    wide = extreme.equal_bytes_table(found)
    assert list(wide) == ["encoder", "dataset", "family", "50 % of the bytes", "10 % of the bytes", "3 % of the bytes"]
    assert wide.loc[0, "3 % of the bytes"] == "–" and wide.loc[0, "10 % of the bytes"].endswith("(narrower)")


def test_claims_beside_what_is_here() -> None:
    found = pd.DataFrame(extreme_claims.of_size(whole()))
    assert len(found) == 8
    own = found[found["claim"].str.endswith("masakhaner")]
    small, in_bytes, smallest_of_all, _ = own.to_dict("records")
    assert small["measured"].startswith("fewer pieces, 4.0 % of the parameters: 12.2")
    assert small["verdict"] == "agrees (up to 13 % lost)" and "4.0 % of the bytes" in in_bytes["measured"]
    assert smallest_of_all["verdict"] == "not comparable"
    assert smallest_of_all["measured"] == "not reached: 4.0 % of the parameters are left at the least"
    worse = whole()
    worse.loc[worse["stage"] == TRIMMED, "score"] -= 10
    assert extreme_claims.of_size(worse)[0]["verdict"] == "differs (more than 13 % lost)"
    spread = whole()
    spread.loc[(spread["stage"] == TRIMMED) & (spread["seed"] == 1), "score"] -= 10
    assert extreme_claims.of_size(spread)[0]["verdict"] == "not decided (the interval holds 13 % lost)"


def test_every_question_on_the_pipeline_has_a_row() -> None:
    table = whole()
    lost = extreme_curves.drops(table, {"swa": 100.0, "yor": 50.0})
    equal = extreme.at_equal_bytes(table, [0.5, 0.1])
    found = extreme_claims.claims(table, None, lost, equal)
    assert list(dict.fromkeys(found["id"])) == ["P2-T1", "D24, D23", "XtremeDistil", "D25", "X1"]
    by_id = found.drop_duplicates("id").set_index("id")
    assert by_id.loc["P2-T1", "measured"].startswith("mini-base, ner (masakhaner): 3 stages leave 4.0 % of the bytes")
    assert by_id.loc["D25", "verdict"] == "not decided: too few languages"
    assert by_id.loc["X1", "measured"] == extreme.best_families(equal) and by_id.loc["X1", "verdict"] == "answered"
    alone = extreme_claims.claims(extreme.with_shares(extreme.by_stage({DENSE: rows(millions=10, lost=0)})))
    assert alone.loc[alone["id"] == "P2-T1", "verdict"].tolist() == ["not measured"] * 2


def test_a_claim_is_held_against_the_best_model_of_its_size_in_any_order() -> None:
    short = extreme.by_stage({"short": rows(millions=10, lost=4.0, dense_bytes=3e6)}, family=extreme.ORDERS)
    table = whole()[[column for column in whole() if column not in ("share", "parameter_share")]]
    found = pd.DataFrame(extreme_claims.of_size(extreme.with_shares(table, short)))
    own = found[found["claim"].str.endswith("masakhaner") & found["claim"].str.startswith("the same")]
    assert own["measured"].iloc[0].startswith("short, 7.5 % of the bytes: 4.9")


def test_nothing_and_no_dense_model_are_errors() -> None:
    with pytest.raises(SmallerError, match="nothing to compare"):
        extreme.by_stage({DENSE: rows(millions=1, lost=0).head(0)})
    with pytest.raises(SmallerError, match="no dense model of mini-base on masakhaner"):
        extreme.with_shares(extreme.by_stage({SHALLOWER: rows(millions=1, lost=0)}))


def test_the_diagram_shows_every_stage_with_its_size() -> None:
    sizes, scores = figures.pipeline_diagram(whole())
    assert [bar.get_width() for bar in sizes.patches] == [40.0, 24.0, 4.0, 1.6]
    assert [label.get_text() for label in sizes.get_yticklabels()] == list(STAGES)
    assert sizes.texts[-1].get_text() == " 0.40 M, 1.6 MB, 4 %"
    lines = {line.get_label(): line for line in scores.get_lines()}
    assert lines["ner, masakhaner (span F1)"].get_xdata() == pytest.approx([82.0, 81.0, 73.0, 72.0])
    table = whole()
    tasks = [table[table["dataset"] == "sib200"].assign(dataset=f"task {number}") for number in range(8)]
    assert len(figures.pipeline_diagram(pd.concat(tasks))) == 2, "eight tasks have lines, though colours come again"
    both = pd.concat([table, table.assign(encoder="other")])
    with pytest.raises(SmallerError, match="is of one encoder, and the rows hold mini-base, other"):
        figures.pipeline_diagram(both)


def test_curves_over_pieces_and_bytes() -> None:
    curve = extreme.vocabulary_curve(whole(), [NARROWER, TRIMMED])
    told = extreme.vocabulary_in_words(curve)
    assert "mini-base on masakhaner: against all 1,000, 400 pieces change the score by -1.00 points [-1.00," in told
    assert extreme.vocabulary_in_words(curve.head(0)) == "The vocabulary was not trimmed."
    axes = figures.vocabulary_curve(curve)
    lines = {line.get_label(): line for line in axes[0].get_lines()}
    assert lines["swa"].get_xdata().tolist() == [400, 1000] and lines["swa"].get_ydata() == pytest.approx([72.0, 73.0])
    axes = figures.score_at_bytes(whole())
    lines = {line.get_label(): line for line in axes[0].get_lines()}
    assert lines[PIPELINE].get_xdata() == pytest.approx([4.0, 10.0, 60.0])
    assert lines[DENSE].get_ydata()[0] == pytest.approx(82.0) and math.isfinite(axes[0].get_xlim()[0])
    with pytest.raises(SmallerError, match="No vocabulary was trimmed"):
        figures.vocabulary_curve(curve.head(0))


def named() -> pd.DataFrame:
    table = whole()
    return table.assign(identity=table["stage"] + table["dataset"])


def times() -> pd.DataFrame:
    """Of three models, in two settings, on named entities."""
    speeds = {DENSE: 10.0, TRIMMED: 1.0, "int8": 2.5}
    return pd.DataFrame([
        {"identity": f"{stage}masakhaner", "encoder": "mini-base", "batch": batch, "threads": 1,
         "device": "a processor", "milliseconds": milliseconds / batch, "noise_floor": 0.05}
        for batch in (1, 2) for stage, milliseconds in speeds.items()
    ])  # fmt: skip


def test_the_smallest_model_within_each_loss_by_hand() -> None:
    found = smallest.smallest_within(named(), times())
    own = found[found["dataset"] == "masakhaner"].set_index("tolerance")
    assert own["stage"].tolist() == ["int8", "int8", "80 %", "80 %"]
    first = own.loc["1 point"]
    assert (first["family"], first["bytes"], first["share"], first["speed"]) == ("quantized", 10e6, 0.25, 4.0)
    assert first["interval"].mean == 81.5 and first["change"].mean == -0.5 and first["kept"] == pytest.approx(81.5 / 82)
    assert math.isnan(own.loc["5 points", "speed"])
    told = smallest.in_words(found)
    assert "of mini-base on masakhaner, chosen on dev: within 1 point or 2 points “int8” at 25.0 % of the bytes" in told
    assert "; within 5 points or 5 % of the score “80 %” at" in told and told.count("“int8”") == told.count("“80 %”")
    wide = smallest.smallest_table(found)
    assert wide.loc[0, "change"] == "-0.5 ± 0.0" and wide.loc[0, "times faster"] == 4.0
    poor = named()
    poor.loc[poor["stage"] != DENSE, "score"] -= 50
    alone = smallest.smallest_within(poor)
    assert set(alone["stage"]) == {DENSE} and "only the dense model at 100.0 %" in smallest.in_words(alone)


def test_one_seed_has_no_interval_and_yet_an_answer() -> None:
    table = named()
    found = smallest.smallest_within(table[table["seed"] == 1])
    assert {interval.n for interval in found["interval"]} == {1}
    assert smallest.smallest_table(found)["score"].tolist()[0] == "80.5"
    assert "(80.5, n = 1 (no interval)," in smallest.in_words(found)


def test_how_much_faster_the_end_is() -> None:
    told = smallest.faster(named(), times())
    assert "(a processor) the end of the pipeline from mini-base (“fewer pieces”) is 10.0 times as fast" in told
    assert "at batch 1 on 1 thread (1.00 against 10.00 ms for a sentence; noise floor 5 %), 10.0 times" in told
    assert "25.0 times fewer parameters in 25.0 times fewer bytes" in told
    assert "87.8 % of the dense score on masakhaner and" in told
    assert "XtremeDistil claims 51 times as fast" in told
    wide = smallest.times_table(named(), times()).set_index("model")
    assert wide.loc["int8", "times faster (batch 2, 1 thread)"] == 4.0 and wide.loc[TRIMMED, "of dense (%)"] == 4.0
    assert smallest.faster(named(), times().head(0)) == "Nothing was timed."


def with_adapters() -> dict[str, pd.DataFrame]:
    shape = {"layers": 2, "hidden": 100}
    return {TRIMMED: pd.concat([rows(millions=0.4, lost=11.0, adapter=4, **shape),
                                rows(millions=0.4, lost=13.0, adapter=50, **shape)])}  # fmt: skip


def test_adapters_beside_full_fine_tuning() -> None:
    curve = extreme_curves.adapter_curve(whole(), with_adapters())
    assert sorted(set(curve["size"])) == [2 * (2 * 100 * 2 + 2 + 100), 2 * (2 * 100 * 25 + 25 + 100)]
    assert set((curve["score"] - curve["full"]).round(6)) == {-1.0, -3.0} and len(curve) == 2 * 3 * 2
    told = extreme_curves.adapters_in_words(curve)
    assert "masakhaner, fewer pieces: against full fine-tuning the best adapters (a width of 1/4, 10.2 thou" in told
    assert "are at -1.00 points [-1.00, -1.00], n = 3; the smallest (1/50, 1.0 thousand) at -3.00 points" in told
    assert extreme_curves.adapters_table(curve)["change"].tolist()[:2] == ["-1.0 ± 0.0"] * 2
    assert extreme_curves.adapters_in_words(pd.DataFrame()) == "Adapters were not measured."
    assert extreme_curves.adapters_in_short(curve) == "Adapters stand -3.0 to -1.0 points beside full fine-tuning."
    axes = figures.adapter_curve(curve)
    lines = {line.get_label(): line for line in axes[0].get_lines()}
    assert lines["fewer pieces, adapters"].get_ydata() == pytest.approx([69.0, 71.0])
    assert lines["fewer pieces, full fine-tuning"].get_ydata()[0] == pytest.approx(72.0)
    with pytest.raises(SmallerError, match="No adapter was trained"):
        figures.adapter_curve(pd.DataFrame())


def test_the_drop_beside_the_text() -> None:
    found = extreme_curves.drops(whole(), {"swa": 400, "yor": 100})
    own = found[(found["dataset"] == "masakhaner") & (found["language"] == "swa") & (found["seed"] == 1)]
    assert own["lost"].item() == pytest.approx(100 * 10 / 81) and own["amount"].item() == 400
    told = extreme_curves.drop_in_words(found)
    assert "Swahili 12.2 %, Yoruba 12.2 % of the dense score; n = 2 languages: whether more text means" in told
    assert extreme_curves.drops_in_short(found).startswith("Lost are 12.")
    alone = found[(found["language"] == "swa") & (found["dataset"] == "masakhaner")]
    assert extreme_curves.drops_in_short(alone) == "Swahili loses 12.2 %."
    five = pd.DataFrame({
        "encoder": "mini-base", "dataset": "masakhaner", "language": ["swa", "yor", "hau", "ibo", "wol"],
        "lost": [1.0, 2.0, 3.0, 5.0, 4.0], "amount": [50, 40, 30, 20, 10],
    })  # fmt: skip
    assert "rank correlation with the lines of text is -0.90 [" in extreme_curves.drop_in_words(five)
    none = whole()
    none["score"] = 0.0
    assert set(extreme_curves.drops(none, {"swa": 400, "yor": 100})["lost"]) == {0.0}
    axes = figures.drop_and_text(found)
    assert len(axes) == 2 and {text.get_text() for text in axes[0].texts} == {"Swahili", "Yoruba"}


def test_where_losses_end() -> None:
    frame = pd.DataFrame({"series": ["a", "a", "b"], "update": [0, 5, 0], "loss": [3.0, 2.0, 4.0]})
    told = extreme_curves.where_losses_end({"Distillation": frame}, panel="Distillation")
    assert told == "Distillation: “a” ends at 2.00, “b” ends at 4.00."
    assert extreme_curves.where_losses_end({}, panel="Adaptation") == ""


def test_guessing_is_read_from_the_records(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {"pseudo_perplexity": 20.0, "word_perplexity": 90.0, "unknown_pieces": 0.0, "pieces": 30, "words": 20}
    text = EvaluationSet("sample", "swa", noise="unlabelled", limit=5)
    models = {DENSE: Recipe("sample-small"), TRIMMED: Recipe("sample-base")}
    bits = {"sample-small": 2.0, "sample-base": 2.5}
    monkeypatch.setattr(extreme_curves, "read", lambda recipe: {
        "scores": {text.key: kept | {"bits_per_character": bits[recipe.encoder]}}})  # fmt: skip
    found = extreme_curves.guessing({"swa": {stage: [recipe] for stage, recipe in models.items()}}, {"swa": text})
    assert found["bits_per_character"].tolist() == [2.0, 2.5]
    told = extreme_curves.guessing_in_words(found.assign(encoder="one"))
    assert told == ("one, Swahili: from 2.00 bits for a character before the first stage to 2.50 after the last; "
                    "“fewer pieces” costs most (+0.50).")  # fmt: skip
    assert extreme_curves.guessing_table(found)["pieces per word"].tolist() == [1.5, 1.5]
    monkeypatch.setattr(extreme_curves, "read", lambda recipe: None)
    assert extreme_curves.guessing({"swa": {DENSE: [Recipe("sample-small")]}}, {"swa": text}).empty
    assert extreme_curves.guessing_in_words(found.head(0)) == "No text was guessed."
