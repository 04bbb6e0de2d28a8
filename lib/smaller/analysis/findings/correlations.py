"""Answers on what goes with transfer and with compression: features of languages, rank by rank."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import pandas as pd

from smaller.analysis.comparison import DEPARTURE, LEVEL, NOT_DECIDED, between
from smaller.analysis.findings.finding import ANSWERED, Finding, missing
from smaller.analysis.findings.transfer import ONE, ORDERS, ZERO_SHOT, at_home, of_pruned, settings
from smaller.analysis.findings.words import count_of
from smaller.analysis.statistics import drop_at, holm, spearman
from smaller.data.features import DISTANCES, FEATURES

COLUMNS = ["feature", "goes with", "rank correlation", "low", "high", "n", "p", "p (Holm)"]
BETWEEN, WITHIN = "zero-shot F1 of a target", "zero-shot F1 from a source"
NEVER = 1.0
"""The sparsity at which F1 falls where it never does so on the grid: later than every point of it."""


def transfer_and_distance(table: pd.DataFrame, distances: pd.DataFrame) -> pd.DataFrame:
    """Rank correlations of zero-shot F1 of the dense models with what sets a target apart; the columns are `COLUMNS`.

    `distances` is the table of `data.features.distances`. Two questions are kept apart. Which targets are easy: means
    `over_sources`, n targets. Which source suits a target: a correlation over the sources for each target, of which
    the mean and its t interval over targets are given, n again targets.
    """
    pairs = with_distances(table, distances)
    found = _each(over_sources(pairs), {BETWEEN: over_sources(pairs)["f1"]}, DISTANCES)
    for feature, words in DISTANCES.items():
        by_target = [spearman(own[feature], own["f1"]).rho for _, own in pairs.groupby(["dataset", "language"])]
        one = between([rho for rho in by_target if not math.isnan(rho)])
        low, high = max(one.interval.low, -1.0), min(one.interval.high, 1.0)
        found.append([words, WITHIN, one.interval.mean, low, high, one.interval.n, one.p])
    return _corrected(found)


def with_distances(table: pd.DataFrame, distances: pd.DataFrame) -> pd.DataFrame:
    """`distances`, and beside each source and target the zero-shot F1 of the dense models: a mean over seeds.

    `equal` marks the cells of the sources that were pruned, in the targets that all of them were tested on zero-shot:
    only there are means over sources means over the same ones.
    """
    rows, place = settings(table), ["dataset", "language"]
    rows = rows[rows["trained"] == ONE]
    sources = of_pruned(rows)["trained_on"].unique()
    away = rows[(rows["order"] == "dense") & (rows["setting"] == ZERO_SHOT)]
    pairs = away.groupby(["trained_on", *place], as_index=False)["f1"].mean().merge(distances)
    mine = pairs["trained_on"].isin(sources)
    complete = mine.groupby([pairs[name] for name in place]).transform("sum") == len(sources)
    return pairs.assign(equal=mine & complete)


def over_sources(pairs: pd.DataFrame) -> pd.DataFrame:
    """F1 and distances of each target of `with_distances`: means over the same sources, of the `equal` cells."""
    return pairs[pairs["equal"]].groupby(["dataset", "language"])[["f1", *DISTANCES]].mean()


def features_and_compression(table: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
    """Rank correlations of features of languages with where pruning begins to cost, and with time (paper 1, OQ2).

    `features` is the table of `data.features.language_features`. F1 that never falls on the grid counts as falling
    last. Time is that of the dense models, in milliseconds for a sentence. Columns are `COLUMNS`.
    """
    rows = at_home(table)
    rows = rows[rows["trained"] == ONE]
    drops = drop_at(rows, points=DEPARTURE).set_index("language").fillna({"sparsity": NEVER})
    outcomes = {
        f"sparsity where F1 loses {DEPARTURE:g} points, {words}": drops.loc[drops["order"] == order, "sparsity"]
        for order, words in ORDERS.items()
    }
    times = rows[rows["order"] == "dense"].groupby("language")["milliseconds"].mean()
    outcomes["milliseconds for a sentence, dense"] = times
    return _corrected(_each(features.set_index("language"), outcomes, FEATURES))


def _each(features: pd.DataFrame, outcomes: Mapping[str, pd.Series], words: Mapping[str, str]) -> list[list]:
    """The rank correlation of each feature with each outcome, as the columns `COLUMNS` have it."""
    found = []
    for (outcome, values), name in itertools.product(outcomes.items(), words):
        one = spearman(features[name].reindex(values.index), values)
        found.append([words[name], outcome, one.rho, one.low, one.high, one.n, one.p_value])
    return found


def _corrected(found: list[list]) -> pd.DataFrame:
    """The rows that have a correlation, the strongest first, with Holm's correction for the number of p values."""
    frame = pd.DataFrame(found, columns=COLUMNS[:-1]).dropna(subset="rank correlation")
    frame = frame.sort_values("rank correlation", key=abs, ascending=False, kind="stable", ignore_index=True)
    tested = frame["p"].dropna()
    return frame.assign(**{COLUMNS[-1]: pd.Series(holm(tested), tested.index, dtype=float)})


def clearest(found: pd.DataFrame) -> Finding:
    """Which correlations differ from zero."""
    if found.empty:
        return missing("correlations between languages that differ")
    sure = found[found["p (Holm)"] < LEVEL]
    named = [
        f"{row['feature']} with {row['goes with']}, {row['rank correlation']:+.2f} (n = {row['n']}, "
        f"p = {row['p (Holm)']:.3f})"
        for row in (sure if len(sure) else found[:1]).to_dict("records")
    ]
    return Finding(
        f"After Holm's correction, {len(sure) or 'none'} of {count_of(len(found), 'rank correlation')} "
        f"{'differ' if len(sure) > 1 else 'differs'} from zero.",
        f"{'Clear of zero:' if len(sure) else 'The strongest is'} {'; '.join(named)}.",
        values={"sure": sure},
        verdict=ANSWERED if len(sure) else NOT_DECIDED,
    )
