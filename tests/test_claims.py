"""The list of claims: every page's rows have one form, and the summary says of each claim what became of it."""

from __future__ import annotations

import re

import nbformat
import numpy as np
import pandas as pd
import pytest

from smaller import paths
from smaller.errors import SmallerError
from smaller.findings import claims, pruning, pruning_claims, robustness_claims

NOTEBOOKS = {path.stem: path for path in paths.notebooks_folder().glob("*.ipynb")}


def test_every_claim_is_taken_up_by_a_page_that_has_its_figure():
    """`figures.save(..., "P1-F1")` and `show(..., "P1-T1")` make the anchors figure-P1-F1 and table-P1-T1."""
    for claim in claims.listed().to_dict("records"):
        cells = nbformat.read(NOTEBOOKS[claim["notebook"]], as_version=4).cells
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        kind, name = claim["figure"].split("-", 1)
        named = f'"{name}"' in code or re.search(rf'f"{re.escape(name.rsplit("-", 1)[0])}-\{{', code)
        assert kind in {"figure", "table"} and named, claim


def test_every_question_of_the_papers_is_in_the_list():
    wanted = {f"Q{n}" for n in range(1, 11)} | {f"M{n}" for n in range(1, 4)} | {f"OQ{n}" for n in range(1, 4)}
    wanted |= {f"NC{n}" for n in range(1, 4)} | {"X1", "D23", "D24", "D25", "D26"} | {f"D{n}" for n in range(3, 16)}
    assert wanted <= set(claims.listed()["id"]) and claims.listed()["id"].is_unique


def test_what_a_row_leaves_out_is_the_lists():
    found = claims.of_page([{"id": "Q2", "measured": "80 %", "verdict": "agrees"},
                            {"id": "Q9, D9", "claim": "own words", "measured": "x", "verdict": "differs"}])  # fmt: skip
    assert list(found) == claims.COLUMNS
    known = claims.listed().set_index("id")
    assert (
        found.loc[0, ["claim", "printed", "figure"]].tolist()
        == known.loc["Q2", ["claim", "printed", "figure"]].tolist()
    )
    assert found.loc[1, "claim"] == "own words" and found.loc[1, "figure"] == known.loc["Q9", "figure"]
    with pytest.raises(SmallerError, match="No claim has the id 'Q99'"):
        claims.of_page([{"id": "Q2, Q99", "measured": "", "verdict": ""}])


def test_the_summary_has_every_claim_once_or_more(fresh_folders):
    folder = paths.outputs_folder() / "tables"
    folder.mkdir(parents=True)
    rows = [{"id": "Q9, D9", "measured": "3 of 3", "verdict": "agrees"}]
    claims.of_page(rows).to_csv(folder / "verdicts-one.csv", index=False)
    rows = [{"id": "Q2", "measured": measured, "verdict": "differs"} for measured in ("60 %", "70 %")]
    claims.of_page(rows).to_csv(folder / "verdicts-two.csv", index=False)
    found = claims.gathered(["02_pruning", "04_quantization"])
    assert list(found) == ["id", "claim", "verdict", "printed", "measured", "where"]
    named = [name for row in found["id"] for name in row.split(", ")]
    assert set(named) == set(claims.listed()["id"])
    assert found.loc[found["id"] == "Q2", "measured"].tolist() == ["60 %", "70 %"]
    by_id = found.drop_duplicates("id").set_index("id")
    assert by_id.loc["Q9, D9", "where"] == "[04_quantization](04_quantization.ipynb#figure-quantization-f1)"
    assert by_id.loc["D26", ["measured", "verdict"]].tolist() == ["not measured", "not measured"]
    assert by_id.loc["Q1", "measured"] == "not measured: 03_distillation was not run"
    assert by_id.loc["Q1", "where"] == "03_distillation (not run)"
    places = {name: place for place, name in enumerate(claims.listed()["id"])}
    order = [places[row.split(", ")[0]] for row in found["id"]]
    assert order == sorted(order)


# Pruning: F1 of before 80, 79, 70 and of after 80, 78, 40 at 0, 60 and 90 %; random masks lose 20 points more.

LEVELS = {
    ("dense", 0.0): 80.0,
    ("before", 0.6): 79.9,
    ("before", 0.9): 70.0,
    ("after", 0.6): 78.0,
    ("after", 0.9): 40.0,
}


def grid(
    encoder: str = "mini-base", *, millions: float = 10.0, lost: float = 0.0, random: bool = False
) -> pd.DataFrame:
    rows = [
        {"encoder": encoder, "dataset": "masakhaner", "language": language, "seed": seed, "split": "test",
         "order": order, "sparsity": sparsity, "method": method, "scope": "global", "include": "linear",
         "parameters": 1e6 * millions,
         "nonzero_parameters": 1e6 * millions * (1 - 0.5 * sparsity), "dense_bytes": 4e6 * millions,
         "compressed_bytes": 4e6 * millions * (1 - 0.4 * sparsity),
         "f1": level + seed + (language == "yor") * 0.1 * seed - (lost if sparsity else 0) - 20 * (method == "random")}
        for (order, sparsity), level in LEVELS.items()
        for method in (["magnitude", "random"] if random and sparsity and order == "before" else ["magnitude"])
        for language in ("swa", "yor")
        for seed in (1, 2, 3)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def verdicts(*tables) -> pd.DataFrame:
    return pruning_claims.claims(*tables).set_index("id")


def test_claims_on_pruning():
    found = verdicts(grid(), grid(random=True), pd.concat([grid(), grid("mini-large", millions=20.0)]))
    assert found.loc["Q2", "measured"] == (
        "before: F1 leaves the dense interval at 90 %; after: F1 leaves the dense interval at 90 %"
    )
    assert found.loc["Q2", "verdict"] == "agrees" and found.loc["Q8", "verdict"] == "agrees"
    assert found.loc["D26", "verdict"] == "differs"  # 30 % of the parameters are zero, 24 % of the bytes are saved
    assert "zeroes 30 % of all parameters" in found.loc["D26", "measured"]
    assert found.loc["M1", "verdict"] == "agrees" and found.loc["NC1", "verdict"] == "agrees"
    assert "mini-base (10.0 M)" in found.loc["NC1", "measured"]


def test_claims_on_pruning_can_fail():
    both = grid(random=True)
    both["f1"] += np.where(both["method"] == "random", 40, 0)
    smaller = grid("mini-small", millions=5.0, lost=10.0)
    found = verdicts(grid(), both, pd.concat([grid(), smaller]))
    assert found.loc["M1", "verdict"] == "differs"
    assert found.loc["NC1", "verdict"].startswith("differs: it falls")
    turned = grid()
    turned["order"] = turned["order"].replace({"before": "after", "after": "before"})
    assert verdicts(turned).loc["Q8", "verdict"] == "differs"
    one = grid()
    one = one[one["order"] != "before"]
    assert verdicts(one).loc["Q8", "verdict"] == "not measured"
    assert verdicts(one[one["sparsity"] != 0.6]).loc["D26", "verdict"] == "not measured"
    assert verdicts(grid()).loc["NC1", "measured"] == "not measured beside others: this run has mini-base alone"


def test_the_nearest_sparsity_tells_what_zeros_weigh():
    saved = pruning.weight(grid())
    assert (saved.sparsity, saved.zero, saved.packed) == pytest.approx((0.6, 0.3, 0.24))
    assert pruning.weight(grid(), near=0.3) is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("Compression does not make the model brittle: 93 %.", "answered"),
        ("Whether compression makes the model brittle stays open, as 2 intervals ...", "not decided"),
        ("A search for harmful edits was not run, or the dense model tagged no sentence rightly.", "not measured"),
    ],
)
def test_words_on_robustness(text, word):
    assert robustness_claims._word(text) == word
