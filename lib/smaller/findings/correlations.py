"""Answers on what goes with transfer and with compression: features of languages, rank by rank."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd

from smaller.data.features import DISTANCES, FEATURES
from smaller.findings.domains import ONE, ORDERS, ZERO_SHOT, settings
from smaller.findings.transfer import at_home
from smaller.findings.words import count_of
from smaller.statistics import departure, drop_at, holm, permutation_test, spearman, t_interval

COLUMNS = ["feature", "outcome", "rho", "low", "high", "p_value", "n"]
BETWEEN, WITHIN = "which target", "which source for a target"
NEVER = 1.0
"""The sparsity at which F1 falls where it never does so on the grid: later than every point of it."""


def transfer_and_distance(table: pd.DataFrame, distances: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Rank correlations of zero-shot F1 of the dense models with what sets a target apart; the columns are `COLUMNS`.

    `distances` is the table of `data.features.distances`. Two questions are kept apart. Which targets are easy: means
    over the sources, n targets. Which source suits a target: a correlation over the sources for each target, of which
    the mean and its t interval over targets are given, n again targets.
    """
    pairs = with_distances(table, distances, split=split)
    targets = pairs.groupby(["dataset", "language"])
    means = targets[["f1", *DISTANCES]].mean()
    found = [_row(feature, BETWEEN, means[feature], means["f1"]) for feature in DISTANCES]
    for feature in DISTANCES:
        by_target = [spearman(own[feature], own["f1"]).rho for _, own in targets]
        interval = t_interval(by_target)
        if interval.n:
            p_value = permutation_test(by_target, [0.0] * len(by_target), generator=np.random.default_rng(0)).p_value
            found.append({"feature": DISTANCES[feature], "outcome": WITHIN, "rho": interval.mean, "p_value": p_value,
                          "low": max(interval.low, -1), "high": min(interval.high, 1), "n": interval.n})  # fmt: skip
    return _corrected(found)


def with_distances(table: pd.DataFrame, distances: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """`distances`, and beside each source and target the zero-shot F1 of the dense models: a mean over seeds."""
    rows = settings(table, split=split)
    rows = rows[(rows["order"] == "dense") & (rows["setting"] == ZERO_SHOT) & (rows["trained"] == ONE)]
    f1 = rows.groupby(["trained_on", "dataset", "language"], as_index=False)["f1"].mean()
    return f1.merge(distances, on=["trained_on", "dataset", "language"])


def features_and_compression(
    table: pd.DataFrame, features: pd.DataFrame, *, points: float = 2.0, split: str = "test"
) -> pd.DataFrame:
    """Rank correlations of features of languages with where pruning begins to cost, and with time (paper 1, OQ2).

    `features` is the table of `data.features.language_features`. F1 that never falls on the grid counts as falling
    last. Time is that of the dense models, in milliseconds for a sentence. Columns are `COLUMNS`.
    """
    own = features.set_index("language")
    found = [
        _row(feature, outcome, own[feature].reindex(values.index), values)
        for outcome, values in _outcomes(table, points=points, split=split)
        for feature in FEATURES
    ]
    return _corrected(found)


def _outcomes(table: pd.DataFrame, *, points: float, split: str) -> Iterator[tuple[str, pd.Series]]:
    rows = at_home(table, split=split)
    rows = rows[rows["trained"] == ONE]
    pruned = rows[rows["language"].isin(rows.loc[rows["order"] != "dense", "language"])]
    drops, leaves = drop_at(pruned, points=points, split=split), departure(pruned, split=split).query("n > 1")
    for order, words in ORDERS.items():
        for frame, column, what in ((leaves, "departure", "leaves the dense interval"),
                                    (drops, "sparsity", f"loses {points:g} points")):  # fmt: skip
            values = frame[frame["order"] == order].set_index("language")[column].fillna(NEVER)
            if len(values):
                yield f"sparsity where F1 {what}, {words}", values
    times = rows[rows["order"] == "dense"].groupby("language")["milliseconds"].mean().dropna()
    if len(times):
        yield "milliseconds for a sentence, dense", times


def _row(feature: str, outcome: str, x: pd.Series, y: pd.Series) -> dict:
    found = spearman(x, y)
    return {"feature": (FEATURES | DISTANCES)[feature], "outcome": outcome} | {
        name: getattr(found, name) for name in COLUMNS[2:]
    }


def _corrected(found: list[Mapping]) -> pd.DataFrame:
    """Rows that have a correlation, with Holm's correction for the number of p values."""
    frame = pd.DataFrame(found, columns=COLUMNS).dropna(subset="rho").reset_index(drop=True)
    tested = frame["p_value"].notna()
    frame.loc[tested, "holm"] = holm(frame.loc[tested, "p_value"])
    return frame


def in_words(found: pd.DataFrame) -> pd.DataFrame:
    """The rows of a table of correlations as cells, the strongest first."""
    ordered = found.sort_values("rho", key=abs, ascending=False, kind="stable")
    return pd.DataFrame(
        {
            "feature": row["feature"],
            "goes with": row["outcome"],
            "rank correlation": f"{row['rho']:+.2f}"
            + (f" [{row['low']:+.2f}, {row['high']:+.2f}]" if math.isfinite(row["low"]) else ""),
            "p": row["p_value"],
            "p, Holm": row["holm"],
            "n": row["n"],
        }
        for row in ordered.to_dict("records")
    )


def clearest(found: pd.DataFrame) -> str:
    """Which correlations are clear of zero, and how strong one has to be before this many points can show it."""
    if found.empty:
        return "Nothing to correlate: the languages, or what was measured on them, do not differ."
    sure = found[found["holm"] < 0.05]
    named = "; ".join(f"{row['feature']} with {row['outcome']} ({row['rho']:+.2f})" for row in sure.to_dict("records"))
    intervals = int(((found["low"] > 0) | (found["high"] < 0)).sum())
    strongest = found.loc[found["rho"].abs().idxmax()]
    return (
        f"Of {count_of(len(found), 'rank correlation')}, {len(sure)} {'is' if len(sure) == 1 else 'are'} clear of zero "
        f"after Holm's correction{': ' + named if named else ''}; without it the intervals of {intervals} are. The "
        f"strongest is {strongest['feature']} with {strongest['outcome']}, {strongest['rho']:+.2f} (n = "
        f"{strongest['n']})."
    )


def few(n: int) -> str:
    """How few points are few: the weakest rank correlation whose interval leaves zero out, for n of them."""
    if n < 4:
        return f"{count_of(n, 'point').capitalize()} are too few for an interval."
    width = 1.959964 / math.sqrt(n - 3)
    grid = [step / 1000 for step in range(1, 1000)]
    least = next((rho for rho in grid if math.atanh(rho) > width * math.sqrt(1 + rho**2 / 2)), 1.0)
    return (
        f"{count_of(n, 'language').capitalize()} are few: only a rank correlation beyond {least:.2f} has an interval "
        "that leaves zero out, and of twenty features without any effect one will still do so."
    )
