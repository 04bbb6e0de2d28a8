"""Comparisons of models, paired by language and seed, and corrected for their number."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from smaller.findings.cells import give_or_take
from smaller.findings.words import count_of
from smaller.statistics import Interval, Permutation, holm, paired_difference, permutation_test


def compared(first: pd.DataFrame, second: pd.DataFrame, *, keys: Iterable[str]) -> tuple[Interval, Permutation]:
    """F1 of `first` minus `second` where both have the same `keys`, paired by language and seed.

    Where several pairs of models share a language and a seed, their differences are averaged first: they stand on the
    same fine-tuning and are no further evidence.
    """
    on = [*keys, "language", "seed"]
    both = first.merge(second, on=on, suffixes=("", "_other"))
    differences = (both["f1"] - both["f1_other"]).groupby([both["language"], both["seed"]]).mean()
    zero = np.zeros(len(differences))
    test = permutation_test(differences, zero, generator=np.random.default_rng(0))
    return paired_difference(differences, zero), test


def least_p(pairs: int, *, comparisons: int = 1) -> float:
    """The smallest p value that a sign-flip test of so many pairs can give, corrected for so many comparisons."""
    return min(1.0, comparisons * 2 / 2**pairs)


def judged(interval: Interval, p_value: float, *, comparisons: int = 1) -> str:
    """Whether a difference is "ahead" or "behind": its interval lies away from zero, and the corrected p is below 0.05.

    Where so few pairs cannot give such a p value, the interval alone decides, and the verdict says so.
    """
    if interval.n == 0:
        return "not measured"
    if not (interval.known and (interval.low > 0 or interval.high < 0)):
        return "not decided"
    word = "ahead" if interval.mean > 0 else "behind"
    if p_value < 0.05:
        return word
    return f"{word} by the interval alone" if least_p(interval.n, comparisons=comparisons) >= 0.05 else "not decided"


def within_reach(pairs: int, *, comparisons: int = 1) -> str:
    """A sentence where so few pairs, for so many comparisons, can give no small p value; empty otherwise."""
    least = least_p(pairs, comparisons=comparisons)
    return f" With {count_of(pairs, 'pair')} p cannot fall below {least:.2g}." if pairs and least >= 0.05 else ""


def verdicts(found: list[dict]) -> pd.DataFrame:
    """Comparisons (`difference`, `p_value`) with their p values after Holm's correction and a `verdict` on each."""
    table = pd.DataFrame(found)
    if table.empty:
        return table
    measured = table["p_value"].notna()
    table.loc[measured, "p_value"] = holm(table.loc[measured, "p_value"].tolist())
    pairs = zip(table["difference"], table["p_value"], strict=True)
    return table.assign(verdict=[judged(*pair, comparisons=int(measured.sum())) for pair in pairs])


def in_words(found: pd.DataFrame, **names: str) -> pd.DataFrame:
    """Comparisons as they stand in a table; `names` are further columns and what they are called."""
    return pd.DataFrame([
        {title: row[column] for column, title in names.items()} | {
            "difference (points)": give_or_take(row["difference"], 1, sign="+"),
            "n": row["difference"].n,
            "p (Holm)": "–" if math.isnan(row["p_value"]) else f"{row['p_value']:.3f}",
            "verdict": row["verdict"],
        }
        for _, row in found.iterrows()
    ])  # fmt: skip
