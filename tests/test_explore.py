"""The sliders over finished records: what they draw follows their values, and a batch run has none of it."""

from __future__ import annotations

import pandas as pd
import pytest

from smaller.analysis.statistics import AVERAGE
from smaller.notebook.explore import Explorer, explore


def row(language: str, seed: int, f1: float, kind: str = "fine-tune", **about) -> dict:
    usual = {"technique": "dense", "order": "dense", "sparsity": 0.0, "bytes": 4e6, "whole": kind == "fine-tune"}
    return {"kind": kind, "language": language, "seed": seed, "f1": f1} | usual | about


@pytest.fixture
def table() -> pd.DataFrame:
    rows = []
    for language, points in (("swa", 80.0), ("yor", 60.0)):
        for seed in (1, 2):
            rows.append(row(language, seed, points + seed))
            rows.append(
                row(
                    language,
                    seed,
                    points - 1,
                    "fine-tune, then quantize (dynamic)",
                    technique="quantized",
                    order="",
                    bytes=2e6,
                )
            )
            for sparsity in (0.5, 0.9) if language == "swa" else (0.5,):
                rows.append(
                    row(
                        language,
                        seed,
                        points + seed - 100 * sparsity + 40,
                        f"fine-tune, then prune ({100 * sparsity:g} % of the weights)",
                        technique="pruned",
                        order="after",
                        sparsity=sparsity,
                    )
                )
    return pd.DataFrame(rows)


def chosen(explorer: Explorer) -> pd.DataFrame:
    return explorer.drawn[explorer.drawn["role"] == "chosen"]


def test_moving_a_slider_changes_what_is_drawn(table):
    explorer = Explorer(table)
    assert explorer.language.options == (("Average", AVERAGE), ("Swahili", "swa"), ("Yoruba", "yor"))
    explorer.technique.value, explorer.sparsity.value = "pruned after fine-tuning", 0.5
    before = explorer.image.value
    # The average of Swahili (71, 72) and Yoruba (51, 52) by seed, then over seeds.
    assert chosen(explorer)[["f1", "lowest", "highest", "seeds"]].values.tolist() == [[61.5, 61.0, 62.0, 2]]
    explorer.language.value = "swa"
    assert chosen(explorer)["f1"].tolist() == [71.5]
    assert (
        "prune (50 % of the weights): F1 71.5 (seeds 71.0 to 72.0), -10.0 points against uncompressed, 4.00 MB"
        in explorer.said
    )
    explorer.sparsity.value = 0.9
    assert chosen(explorer)["f1"].tolist() == [31.5]
    explorer.technique.value, explorer.sparsity.value = "quantized", 0.0
    assert chosen(explorer)["bytes"].tolist() == [2e6]
    assert set(explorer.drawn["role"]) == {"others", "chosen"}
    assert explorer.image.value[:4] == b"\x89PNG" and explorer.image.value != before


def test_what_was_not_measured_is_said_and_not_drawn(table):
    explorer = Explorer(table)
    explorer.language.value, explorer.technique.value, explorer.sparsity.value = "yor", "pruned after fine-tuning", 0.9
    assert chosen(explorer).empty
    assert explorer.said.startswith("Not measured: Yoruba, pruned after fine-tuning, 90 % of weights zero. ")
    assert explorer.said.endswith("With this technique there are records at: 50 % of weights zero.")


def test_one_language_and_a_table_without_compression_do(table):
    explorer = Explorer(table[(table["language"] == "swa") & (table["technique"] == "dense")])
    assert explorer.language.options == (("Swahili", "swa"),)
    assert chosen(explorer)["f1"].tolist() == [81.5] and "+0.0 points against uncompressed" in explorer.said


def test_a_model_without_an_encoder_has_a_place_of_its_own(table):
    plain = row("swa", 0, 70.0, "a conditional random field", technique="plain", order=None, sparsity=None)
    explorer = Explorer(pd.concat([table, pd.DataFrame([plain])], ignore_index=True))
    explorer.language.value, explorer.technique.value = "swa", "plain"
    assert chosen(explorer)[["kind", "f1"]].values.tolist() == [["a conditional random field", 70.0]]


def test_a_batch_run_shows_nothing(table, displayed):
    assert explore(table) is None and displayed == []


def test_somebody_at_a_notebook_sees_the_sliders(table, displayed):
    explorer = explore(table, looked_at=True)
    assert displayed == [(explorer.box, None)]
    labels = [child.description for child in explorer.box.children[:3]]
    assert labels == ["Language", "Technique", "Sparsity"]
