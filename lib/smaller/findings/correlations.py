"""Answers on what goes with transfer and with compression: features of languages, rank by rank."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pandas as pd

from smaller.comparison import DEPARTURE, LEVEL, NOT_DECIDED, between
from smaller.data.features import DISTANCES, FEATURES
from smaller.findings.domains import ONE, ORDERS, ZERO_SHOT, at_home, of_pruned, settings
from smaller.findings.finding import ANSWERED, Finding, missing
from smaller.findings.words import count_of
from smaller.statistics import drop_at, holm, spearman

COLUMNS = ["feature", "goes with", "rank correlation", "low", "high", "n", "p", "p (Holm)"]
BETWEEN, WITHIN = "zero-shot F1 of a target", "zero-shot F1 from a source"
NEVER = 1.0
"""The sparsity at which F1 falls where it never does so on the grid: later than every point of it."""


def transfer_and_distance(table: pd.DataFrame, distances: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Rank correlations of zero-shot F1 of the dense models with what sets a target apart; the columns are `COLUMNS`.

    `distances` is the table of `data.features.distances`. Two questions are kept apart. Which targets are easy: means
    over the sources, of the `equal` cells of `with_distances`, n targets. Which source suits a target: a correlation
    over the sources for each target, of which the mean and its t interval over targets are given, n again targets.
    """
    pairs = with_distances(table, distances, split=split)
    means = pairs[pairs["equal"]].groupby(["dataset", "language"])[["f1", *DISTANCES]].mean()
    found = [_row(feature, BETWEEN, means[feature], means["f1"]) for feature in DISTANCES]
    for feature in DISTANCES:
        by_target = [spearman(own[feature], own["f1"]).rho for _, own in pairs.groupby(["dataset", "language"])]
        one = between([rho for rho in by_target if not math.isnan(rho)])
        found.append([DISTANCES[feature], WITHIN, one.interval.mean, max(one.interval.low, -1.0),
                      min(one.interval.high, 1.0), one.interval.n, one.p])  # fmt: skip
    return _corrected(found)


def with_distances(table: pd.DataFrame, distances: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """`distances`, and beside each source and target the zero-shot F1 of the dense models: a mean over seeds.

    `equal` marks the cells of the sources that were pruned, in the targets that all of them were tested on zero-shot:
    only there are means over sources means over the same ones.
    """
    rows = settings(table, split=split)
    kept = of_pruned(rows)
    sources = set(kept.loc[kept["trained"] == ONE, "trained_on"])
    rows = rows[(rows["order"] == "dense") & (rows["setting"] == ZERO_SHOT) & (rows["trained"] == ONE)]
    f1 = rows.groupby(["trained_on", "dataset", "language"], as_index=False)["f1"].mean()
    pairs = f1.merge(distances, on=["trained_on", "dataset", "language"])
    mine = pairs["trained_on"].isin(sources)
    complete = mine.groupby([pairs["dataset"], pairs["language"]]).transform("sum") == len(sources)
    return pairs.assign(equal=mine & complete)


def features_and_compression(
    table: pd.DataFrame, features: pd.DataFrame, *, points: float = DEPARTURE, split: str = "test"
) -> pd.DataFrame:
    """Rank correlations of features of languages with where pruning begins to cost, and with time (paper 1, OQ2).

    `features` is the table of `data.features.language_features`. F1 that never falls on the grid counts as falling
    last. Time is that of the dense models, in milliseconds for a sentence. Columns are `COLUMNS`.
    """
    own = features.set_index("language")
    return _corrected([
        _row(feature, outcome, own[feature].reindex(values.index), values)
        for outcome, values in _outcomes(table, points=points, split=split)
        for feature in FEATURES
    ])  # fmt: skip


def _outcomes(table: pd.DataFrame, *, points: float, split: str) -> Iterator[tuple[str, pd.Series]]:
    rows = at_home(table, split=split)
    rows = rows[rows["trained"] == ONE]
    pruned = rows[rows["language"].isin(rows.loc[rows["order"] != "dense", "language"])]
    drops = drop_at(pruned, points=points, split=split)
    for order, words in ORDERS.items():
        values = drops[drops["order"] == order].set_index("language")["sparsity"].fillna(NEVER)
        if len(values):
            yield f"sparsity where F1 loses {points:g} points, {words}", values
    times = rows[rows["order"] == "dense"].groupby("language")["milliseconds"].mean().dropna()
    if len(times):
        yield "milliseconds for a sentence, dense", times


def _row(feature: str, outcome: str, x: pd.Series, y: pd.Series) -> list:
    found = spearman(x, y)
    return [(FEATURES | DISTANCES)[feature], outcome, found.rho, found.low, found.high, found.n, found.p_value]


def _corrected(found: list[list]) -> pd.DataFrame:
    """The rows that have a correlation, the strongest first, with Holm's correction for the number of p values."""
    frame = pd.DataFrame(found, columns=COLUMNS[:-1]).dropna(subset="rank correlation")
    frame = frame.sort_values("rank correlation", key=abs, ascending=False, kind="stable", ignore_index=True)
    tested = frame["p"].dropna()
    return frame.assign(**{COLUMNS[-1]: pd.Series(holm(tested), tested.index, dtype=float)})


def clearest(found: pd.DataFrame) -> Finding:
    """Which correlations differ from zero, and how strong one has to be before this many points can show it."""
    if found.empty:
        return missing("correlations between languages that differ")
    sure = found[found["p (Holm)"] < LEVEL]
    n = int(found["n"].max())
    least = least_shown(n)
    named = [
        f"{row['feature']} with {row['goes with']}, {row['rank correlation']:+.2f} (n = {row['n']}, "
        f"p = {row['p (Holm)']:.3f})" for row in (sure if len(sure) else found[:1]).to_dict("records")
    ]  # fmt: skip
    few = (f"With {count_of(n, 'point')} no interval exists." if math.isnan(least) else
           f"With {count_of(n, 'point')}, only a rank correlation beyond {least:.2f} has an interval without zero, "
           "before any correction.")  # fmt: skip
    return Finding(
        f"After Holm's correction, {len(sure)} of {count_of(len(found), 'rank correlation')} "
        f"{'differs' if len(sure) == 1 else 'differ'} from zero.",
        f"{'Clear of zero:' if len(sure) else 'The strongest is'} {'; '.join(named)}. {few}",
        values={"found": found, "sure": sure, "least": least},
        verdict=ANSWERED if len(sure) else NOT_DECIDED,
    )  # fmt: skip


def least_shown(n: int) -> float:
    """The weakest rank correlation of n points whose 95 % interval leaves zero out; NaN below four points."""
    if n < 4:
        return math.nan
    width = 1.959964 / math.sqrt(n - 3)
    grid = [step / 1000 for step in range(1, 1000)]
    return next((rho for rho in grid if math.atanh(rho) > width * math.sqrt(1 + rho**2 / 2)), 1.0)
