"""Answers on sensitivity (T23): F1 under weights of fewer bits, part by part, and under outlier thresholds."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from smaller.findings.cells import give_or_take, in_points, one_or_span
from smaller.recipes import Recipe
from smaller.results import read
from smaller.statistics import Interval, of_split, one_kind, paired_difference

REFERENCE = "fp32"
PARTS = {"all": "all weights", "embeddings": "embeddings", "attention": "attention", "feed_forward": "feed-forward",
         "classifier": "classifier"}  # fmt: skip
"""The families of weights that `Round` knows, in words."""


def rounded(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """For each part and number of bits the paired difference of F1 to fp32: columns part, bits, mean, low, high, n.

    Pairs are languages and seeds.
    """
    rows = one_kind(of_split(table, split), "dataset", "encoder")
    base = _reference(rows)
    found = []
    for (part, bits), own in rows[rows["bits"].notna()].groupby(["part", "bits"]):
        own = own.set_index(["language", "seed"])["f1"]
        interval = paired_difference(own, base.reindex(own.index))
        numbers = {"mean": interval.mean, "low": interval.low, "high": interval.high, "n": interval.n}
        found.append({"part": part, "bits": int(bits)} | numbers)
    return pd.DataFrame(found, columns=["part", "bits", "mean", "low", "high", "n"])


def by_bits(found: pd.DataFrame) -> pd.DataFrame:
    """Part by bits, from `rounded`: the change of F1 in points with half its interval; n counts the pairs."""
    intervals = [Interval(row.mean, row.low, row.high, row.n) for row in found.itertuples(index=False)]
    cells = found.assign(text=[give_or_take(interval, 1, sign="+") for interval in intervals])
    wide = cells.pivot(index="part", columns="bits", values="text")
    wide = wide.loc[[part for part in PARTS if part in wide.index], sorted(wide, reverse=True)].rename(index=PARTS)
    wide.columns = [f"{bits} bits" for bits in wide]
    return wide.reset_index().assign(n=one_or_span(interval.n for interval in intervals))


def bits_for(found: pd.DataFrame, points: float) -> float:
    """The bits of all weights at which F1 has fallen by `points`, linear on the grid; NaN where it never has."""
    whole = found[found["part"] == "all"].sort_values("bits", ascending=False)
    lost, bits = -whole["mean"].to_numpy(), whole["bits"].to_numpy(dtype=float)
    below = np.flatnonzero(lost >= points)
    if not len(below):
        return math.nan
    after = int(below[0])
    before = max(after - 1, 0)
    return float(np.interp(points, lost[before : after + 1], bits[before : after + 1]))


def where_it_hurts(found: pd.DataFrame) -> str:
    """What 8 bits do to F1 at most, and where the fewest bits of the grid hurt most."""
    most, least = found["bits"].max(), found["bits"].min()
    worst = found[found["bits"] == most].sort_values("mean").iloc[0]
    parts = found[(found["bits"] == least) & (found["part"] != "all")].sort_values("mean")
    text = f"At {most} bits the largest change of F1 is {in_points(_interval(worst))} ({PARTS[worst['part']]})."
    if len(parts):
        order = ", ".join(f"{PARTS[row.part]} {row.mean:+.1f}" for row in parts.itertuples(index=False))
        text += f" At {least} bits, one part at a time, in points: {order}."
    return text + " Pairs are languages and seeds; only weights are rounded, activations stay in fp32."


def thresholds(recipes: Iterable[Recipe], table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """A row for each outlier threshold of LLM.int8(): the measured share of outliers, and the change of F1 to fp32.

    Shares are means over the recipes that have looked at sentences, in per cent of the inputs of the encoder's Linear
    layers: of feature columns of a sentence (what is multiplied in fp16) and of single values.
    """
    rows = of_split(table, split)
    base, rows = _reference(rows), rows.set_index("identity")
    found = []
    for recipe in recipes:
        step = (read(recipe) or {"steps": [{}]})["steps"][-1]
        outliers = step.get("report", {}).get("outliers")
        if outliers and recipe.identity in rows.index:
            own = rows.loc[recipe.identity]
            lost = {"f1": own["f1"], "base": base.get((own["language"], own["seed"]), math.nan)}
            found.append({"threshold": step["threshold"]} | outliers | lost)
    frame = pd.DataFrame(found, columns=["threshold", "columns", "values", "largest", "f1", "base"])
    lines = []
    for threshold, own in frame.groupby("threshold"):
        lines.append({
            "threshold": threshold,
            "outlier columns (%)": 100 * own["columns"].mean(),
            "outlier values (%)": 100 * own["values"].mean(),
            "largest magnitude": own["largest"].max(),
            "F1 against fp32": give_or_take(paired_difference(own["f1"], own["base"]), 2, sign="+"),
            "n": len(own),
        })  # fmt: skip
    return pd.DataFrame(lines)


def decomposition(found: pd.DataFrame, *, threshold: float = 6.0) -> str:
    """What LLM.int8()'s decomposition has to do at its default threshold, from `thresholds`."""
    own = found[found["threshold"] == threshold] if len(found) else found
    if own.empty:
        return f"Outliers at the threshold of {threshold:g} were not measured."
    row = own.iloc[0]
    text = (
        f"The largest magnitude that goes into a Linear layer is {row['largest magnitude']:.1f}; at the default "
        f"threshold of {threshold:g}, {row['outlier columns (%)']:.2f} % of the feature columns hold an outlier"
    )
    if row["outlier columns (%)"] == 0:
        return text + ", so nothing is multiplied in fp16: LLM.int8() is plain int8 here, with a scale for each row."
    return text + " and are multiplied in fp16."


def _reference(rows: pd.DataFrame) -> pd.Series:
    plain = rows[(rows["form"] == REFERENCE) & rows["bits"].isna() & (rows["sparsity"] == 0)]
    return plain.set_index(["language", "seed"])["f1"]


def _interval(row: pd.Series) -> Interval:
    return Interval(row["mean"], row["low"], row["high"], int(row["n"]))
