"""Sensitivity (T23): F1 under weights of fewer bits, part by part, and under outlier thresholds of LLM.int8()."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from smaller.comparison import AGREES, DEPARTURE, NOT_DECIDED, paired
from smaller.findings.finding import Finding, missing
from smaller.findings.quantization import REFERENCE
from smaller.recipes import Recipe
from smaller.results import read
from smaller.statistics import of_split, one_kind

PARTS = {"all": "all weights", "embeddings": "embeddings", "attention": "attention", "feed_forward": "feed-forward",
         "classifier": "classifier"}  # fmt: skip
"""The families of weights that `Round` knows, in words."""


def both(table: pd.DataFrame, *, split: str = "test") -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows with rounded weights, and those of whole models in fp32."""
    rows = one_kind(of_split(table, split), "dataset", "encoder")
    plain = (rows["form"] == REFERENCE) & rows["bits"].isna() & (rows["sparsity"] == 0)
    return rows[rows["bits"].notna()], rows[plain]


def rounded(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """A `comparison` with fp32 for each part, in the order of `PARTS`, and number of bits, the most first."""
    rows, base = both(table, split=split)
    found = paired(rows, base, by=["part", "bits"], one_for_all=True).astype({"bits": int})
    return found.sort_values(["part", "bits"], ascending=[True, False], ignore_index=True,
                             key=lambda own: own.map(list(PARTS).index) if own.name == "part" else own)  # fmt: skip


def by_bits(found: pd.DataFrame) -> pd.DataFrame:
    """Part by bits, from `rounded`: the comparison with fp32."""
    wide = found.assign(part=found["part"].map(PARTS)).pivot(index="part", columns="bits", values="comparison")
    wide = wide.loc[list(dict.fromkeys(found["part"].map(PARTS))), sorted(wide, reverse=True)]
    return wide.set_axis([f"{bits} bits" for bits in wide], axis="columns").reset_index()


def sensitivity(found: pd.DataFrame) -> Finding:
    """Does rounding to the most bits keep F1, and where do fewer bits cost two points (paper 1, mechanism 3)?

    `found` is what `rounded` gives. The quantity is the comparison of all weights at the most bits.
    """
    if found.empty:
        return missing("Rounded weights")
    found = found.assign(mean=[one.interval.mean for one in found["comparison"]])
    most, least = (found[found["bits"] == bits] for bits in (found["bits"].max(), found["bits"].min()))
    # At many bits a change is noise of either sign, and sorted by its size; at few bits parts are sorted by their loss.
    largest = most.loc[most["mean"].abs().idxmax()]
    first = most[most["part"] == "all"].iloc[0] if "all" in set(most["part"]) else largest
    one = first["comparison"]
    verb = {AGREES: "keeps F1", NOT_DECIDED: "is not shown to keep F1"}.get(one.verdict, "changes F1")
    shown = found[[comparison.departs() == AGREES for comparison in found["comparison"]]]
    places = ", ".join(f"{PARTS[row.part]} at {row.bits}" for row in shown.itertuples()) or "none on this grid"
    order = ", ".join(f"{PARTS[row.part]} {row.mean:+.1f}" for row in least.sort_values("mean").itertuples())
    return Finding(
        f"Rounding {PARTS[first['part']]} to {first['bits']} bits {verb}: the difference is {one}.",
        f"At {first['bits']} bits the largest change, up or down, is {largest['mean']:+.2f} points "
        f"({PARTS[largest['part']]}). A loss of {DEPARTURE:g} points is shown for these bits: {places}. At "
        f"{least['bits'].iloc[0]} bits the changes in points, the largest loss first, are: {order}.",
        quantity=one, values={"largest": largest["part"], "shown": shown, "least": least},
    )  # fmt: skip


def looked(recipes: Iterable[Recipe]) -> pd.DataFrame:
    """The outliers that LLM.int8() met, a row for each recipe that has looked at sentences.

    Columns: identity, threshold, columns and values (shares of the inputs of Linear layers), largest (magnitude).
    """
    steps = {recipe.identity: (read(recipe) or {"steps": [{}]})["steps"][-1] for recipe in recipes}
    found = [{"identity": identity, "threshold": step["threshold"]} | step["report"]["outliers"]
             for identity, step in steps.items() if step.get("report", {}).get("outliers")]  # fmt: skip
    return pd.DataFrame(found, columns=["identity", "threshold", "columns", "values", "largest"])


def thresholds(found: pd.DataFrame, table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """A row for each outlier threshold of LLM.int8(): the share of outliers in per cent, and F1 against fp32.

    `found` is what `looked` gives. A feature column of a sentence with an outlier in it is multiplied in fp16.
    """
    rows = of_split(table, split).drop(columns="threshold", errors="ignore").merge(found, on="identity")
    each = found.groupby("threshold").agg({"columns": "mean", "values": "mean", "largest": "max"})
    f1 = paired(rows, both(table, split=split)[1], by=["threshold"], one_for_all=True).set_index("threshold")
    return pd.DataFrame({
        "outlier columns (%)": 100 * each["columns"], "outlier values (%)": 100 * each["values"],
        "largest magnitude": each["largest"], "F1 against fp32": f1["comparison"].reindex(each.index),
    }).reset_index()  # fmt: skip


def decomposition(found: pd.DataFrame, *, threshold: float = 6.0) -> Finding:
    """What LLM.int8() multiplies in fp16 at its default threshold, from `thresholds`."""
    own = found[found["threshold"] == threshold]
    if own.empty:
        return missing(f"Outliers at the threshold of {threshold:g}")
    row = own.iloc[0]
    share = row["outlier columns (%)"]
    return Finding(
        f"At the threshold of {threshold:g}, {share:.2f} % of the feature columns hold an outlier"
        + (" and are multiplied in fp16." if share else ", and LLM.int8() is plain int8."),
        f"The largest magnitude that goes into a Linear layer is {row['largest magnitude']:.1f}.",
        values={"columns": share, "largest": row["largest magnitude"]},
    )
