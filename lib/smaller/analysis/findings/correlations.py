"""Answers on what goes with transfer and with compression: features of languages, rank by rank."""

import itertools
import math
from collections.abc import Mapping

import pandas as pd

from smaller.analysis.comparison import DEPARTURE, LEVEL, NOT_DECIDED
from smaller.analysis.findings.finding import ANSWERED, Finding, missing
from smaller.analysis.findings.transfer import ONE, ORDERS, ZERO_SHOT, at_home, of_pruned, settings
from smaller.analysis.statistics import bounds, drop_at, holm, least_p, spearman
from smaller.base.words import are, count_of
from smaller.data.features import DISTANCES, FEATURES

COLUMNS = ["feature", "goes with", "rank correlation", "low", "high", "n", "p", "p (Holm)"]
BETWEEN, WITHIN = "zero-shot F1 of a target", "zero-shot F1 from a source"
NEVER = 1.0
"""The sparsity at which F1 falls where it never does so on the grid: later than every point of it."""


def transfer_and_distance(table: pd.DataFrame, distances: pd.DataFrame) -> pd.DataFrame:
    """Rank correlations of zero-shot F1 of the dense models with what sets a target apart (`data.features.distances`).

    Two questions are kept apart. Which targets are easy: means `over_sources`. Which source suits a target: the mean
    over targets of a correlation over the sources. It has no p: all targets share the few sources.
    """
    pairs = with_distances(table, distances)
    found = _each(over_sources(pairs), {BETWEEN: over_sources(pairs)["f1"]}, DISTANCES)
    for feature, words in DISTANCES.items():
        by_target = [spearman(own[feature], own["f1"]).rho for _, own in pairs.groupby(["dataset", "language"])]
        rhos = pd.Series(by_target, dtype=float).dropna()
        found.append([words, WITHIN, rhos.mean(), math.nan, math.nan, len(rhos), math.nan])
    return _corrected(found)


def with_distances(table: pd.DataFrame, distances: pd.DataFrame) -> pd.DataFrame:
    """`distances` with the zero-shot F1 of the dense models, means over seeds.

    `equal` marks the sources that were pruned, in the targets of all of them: only there are means over the same ones.
    """
    rows, place = settings(table).loc[lambda own: own["trained"] == ONE], ["dataset", "language"]
    sources = of_pruned(rows)["trained_on"].unique()
    away = rows[(rows["order"] == "dense") & (rows["setting"] == ZERO_SHOT)]
    pairs = away.groupby(["trained_on", *place], as_index=False)["f1"].mean().merge(distances)
    mine = pairs["trained_on"].isin(sources)
    complete = mine.groupby([pairs[name] for name in place]).transform("sum") == len(sources)
    return pairs.assign(equal=mine & complete)


def over_sources(pairs: pd.DataFrame) -> pd.DataFrame:
    """F1 and distances of each target, means of its `equal` cells: of one data set alone, that with most targets."""
    means = pairs[pairs["equal"]].groupby(["dataset", "language"])[["f1", *DISTANCES]].mean()
    return means.loc[[means.groupby("dataset").size().idxmax()]] if len(means) else means


def features_and_compression(table: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
    """Rank correlations of `language_features` with where pruning begins to cost (never is last) and time (OQ2)."""
    rows = at_home(table).loc[lambda own: own["trained"] == ONE]
    drops = drop_at(rows, points=DEPARTURE).set_index("language").fillna({"sparsity": NEVER})
    outcomes = {
        f"sparsity where F1 loses {DEPARTURE:g} points, {words}": drops.loc[drops["order"] == order, "sparsity"]
        for order, words in ORDERS.items()
    }
    timed = rows[(rows["order"] == "dense") & rows["milliseconds"].notna()]
    if timed["device"].nunique() == 1:  # times of several devices are not compared
        outcomes["milliseconds for a sentence, dense"] = timed.groupby("language")["milliseconds"].mean()
    return _corrected(_each(features.set_index("language"), outcomes, FEATURES))


def _each(features: pd.DataFrame, outcomes: Mapping[str, pd.Series], words: Mapping[str, str]) -> list[list]:
    """The rank correlation of each feature with each outcome, as the columns `COLUMNS` have it."""
    return [
        [words[name], outcome, *spearman(features[name].reindex(values.index), values)]
        for (outcome, values), name in itertools.product(outcomes.items(), words)
    ]


def _corrected(found: list[list]) -> pd.DataFrame:
    """The rows that have a correlation, the strongest first, with Holm's correction for the number of p values."""
    frame = pd.DataFrame(found, columns=COLUMNS[:-1]).dropna(subset="rank correlation")
    frame = frame.sort_values("rank correlation", key=abs, ascending=False, kind="stable", ignore_index=True)
    tested = frame["p"].dropna()
    return frame.assign(**{COLUMNS[-1]: pd.Series(holm(tested), tested.index, dtype=float)})


def clearest(found: pd.DataFrame) -> Finding:
    """Which correlations differ from zero."""
    found = found.dropna(subset="p (Holm)")
    if found.empty:
        return missing("correlations between languages that differ")
    sure, n = found[found["p (Holm)"] < LEVEL], int(found["n"].max())
    if least_p(n) >= LEVEL:
        told = f"{n} languages cannot decide whether any of {count_of(len(found), 'rank correlation')} differs from"
        told = f"{told} zero: with so few, p is at least {least_p(n):.2f}."
        return Finding(told, values={"sure": sure}, verdict=NOT_DECIDED)
    named = [
        f"{row['feature']} with {row['goes with']}, {row['rank correlation']:+.2f}{bounds(row['low'], row['high'])} "
        f"(n = {row['n']}, p = {row['p (Holm)']:.3f})"
        for row in (sure if len(sure) else found[:1]).to_dict("records")
    ]
    return Finding(
        f"After Holm's correction, {len(sure) or 'none'} of {count_of(len(found), 'rank correlation')} "
        f"{are(len(sure))} shown to differ from zero.",
        f"{'Clear of zero:' if len(sure) else 'The strongest is'} {'; '.join(named)}.",
        values={"sure": sure},
        verdict=ANSWERED if len(sure) else NOT_DECIDED,
    )
