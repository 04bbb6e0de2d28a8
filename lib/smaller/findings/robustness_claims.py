"""What was left open on robustness (NC3), and what we measured: no paper prints a number to stand beside it."""

from __future__ import annotations

import pandas as pd

from smaller.findings import robustness, robustness_confidence
from smaller.findings.claims import ANSWERED, NOT_MEASURED, of_page


def claims(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """A verdict on each way to be brittle; `table` is what `robustness.by_model` makes."""
    rows = [
        {"claim": "Does compression make a model brittle under typing noise?", "figure": "figure-brittleness",
         "measured": robustness.brittle(table, split=split)},
        {"claim": "Does a compressed model lean more on names that it knows?", "figure": "table-name-swaps",
         "measured": robustness.swaps(table, split=split)},
        {"claim": "Is a compressed model more easily broken by an adversary?", "figure": "figure-attacks",
         "measured": robustness.attacked(table, split=split)},
        {"claim": "Does confidence say so where a model is misled?", "figure": "figure-calibration",
         "measured": robustness_confidence.says_so(table, split=split)},
    ]  # fmt: skip
    return of_page({"id": "NC3", "verdict": _word(row["measured"])} | row for row in rows)


def _word(text: str) -> str:
    if "was not measured" in text or "was not run" in text:
        return NOT_MEASURED
    return "not decided" if "stays open" in text else ANSWERED
