"""Answers on the pipeline, from tables whose answers are done by hand; and its figures."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from smaller.errors import SmallerError
from smaller.figures import extreme as figures
from smaller.findings import extreme
from smaller.findings.extreme import PIPELINE
from smaller.recipes import DENSE, NARROWER, SHALLOWER, TRIMMED

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
    assert "mini-base, ner (masakhaner): 3 stages take 40.0 MB to 1.6 MB, 4.0 % of it" in told
    assert "87.8 % of it kept. The stage that costs most is narrower (-8.0" in told
    alone = whole()
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
    assert "At 50 % of the bytes of mini-base on masakhaner, quantized is best (int8): 81.5" in told
    assert "At 3 % of the bytes of mini-base on sib200 there is no model." in told
    wide = extreme.equal_bytes_table(found)
    assert list(wide) == ["encoder", "dataset", "family", "50 % of the bytes", "10 % of the bytes", "3 % of the bytes"]
    assert wide.loc[0, "3 % of the bytes"] == "–" and wide.loc[0, "10 % of the bytes"].endswith("(narrower)")


def test_claims_beside_what_is_here() -> None:
    found = extreme.beside_claims(whole())
    assert len(found) == 4
    first = found[(found["dataset"] == "masakhaner")].iloc[0]
    assert first["measured"].startswith("fewer pieces: 12.2") and first["verdict"] == "agrees (up to 13 % lost)"
    second = found[(found["dataset"] == "masakhaner")].iloc[1]
    assert second["verdict"] == "not comparable" and "4.0 % of the parameters are left" in second["measured"]
    worse = whole()
    worse.loc[worse["stage"] == TRIMMED, "score"] -= 10
    assert extreme.beside_claims(worse)["verdict"].iloc[0] == "differs (more than 13 % lost)"


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
    both = pd.concat([table, table.assign(encoder="other")])
    with pytest.raises(SmallerError, match="is of one encoder, and the rows hold mini-base, other"):
        figures.pipeline_diagram(both)


def test_curves_over_pieces_and_bytes() -> None:
    curve = extreme.vocabulary_curve(whole(), [NARROWER, TRIMMED])
    axes = figures.vocabulary_curve(curve)
    lines = {line.get_label(): line for line in axes[0].get_lines()}
    assert lines["swa"].get_xdata().tolist() == [400, 1000] and lines["swa"].get_ydata() == pytest.approx([72.0, 73.0])
    axes = figures.score_at_bytes(whole())
    lines = {line.get_label(): line for line in axes[0].get_lines()}
    assert lines[PIPELINE].get_xdata() == pytest.approx([4.0, 10.0, 60.0])
    assert lines[DENSE].get_ydata()[0] == pytest.approx(82.0) and math.isfinite(axes[0].get_xlim()[0])
    with pytest.raises(SmallerError, match="No vocabulary was trimmed"):
        figures.vocabulary_curve(curve.head(0))
