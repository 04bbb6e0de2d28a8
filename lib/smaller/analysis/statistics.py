"""Intervals, correlations and read-outs of the tidy table; every answer carries its n. Comparisons: `comparison`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from smaller.base.errors import SmallerError

SERIES = ["dataset", "encoder", "language", "order", "method", "scope", "include"]
STUDENTS = ["strategy", "variant", "technique", "on", "temperature", "start", "layer_map", "layers", "heads"]
"""What tells students of one teacher apart, where a table says it."""

AVERAGE = "average"


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval; `low` and `high` are NaN where n < 2, since one run has no spread."""

    mean: float
    low: float
    high: float
    n: int
    confidence: float = 0.95
    kind: str = "t"

    @property
    def known(self) -> bool:
        """Whether there is an interval at all."""
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation with its interval (NaN where n < 4) and two-sided p value (NaN where n < 3)."""

    rho: float
    low: float
    high: float
    p_value: float
    n: int


def t_interval(values: Sequence[float], *, confidence: float = 0.95) -> Interval:
    """Mean and Student t interval of `values`; missing values are left out and not counted in n.

    Over three seeds the t interval covers as often as it says, which the percentile bootstrap does not.
    """
    present = _present(values)
    n = len(present)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0, confidence)
    mean = float(present.mean())
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1, confidence)
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1) * present.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean - half, mean + half, n, confidence)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number by Holm's step-down procedure, in the order given."""
    p = np.asarray(p_values, dtype=float)
    ascending = np.argsort(p)
    adjusted = np.maximum.accumulate(p[ascending] * np.arange(len(p), 0, -1)).clip(max=1)
    result = np.empty_like(p)
    result[ascending] = adjusted
    return result.tolist()


def spearman(x: Sequence[float], y: Sequence[float], *, confidence: float = 0.95) -> Correlation:
    """Rank correlation of two measurements of the same things; pairs with a missing value are left out.

    The interval is Fisher's with the variance of Bonett and Wright (2000), (1 + rho**2 / 2) / (n - 3); the p value is
    exact over all pairings up to eight pairs and from the t distribution above that.
    """
    first, second = _pairs(x, y)
    n = len(first)
    if n < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        return Correlation(math.nan, math.nan, math.nan, math.nan, n)
    rho, p_value = (float(number) for number in stats.spearmanr(first, second))
    if n <= 8:
        ranks = stats.rankdata(second) - (n + 1) / 2
        reach = np.array(list(itertools.permutations(stats.rankdata(first) - (n + 1) / 2))) @ ranks
        p_value = float((np.abs(reach) >= abs(reach[0]) - 1e-9).mean())
    if n < 4 or abs(rho) > 1 - 1e-12:
        return Correlation(rho, math.nan, math.nan, p_value, n)
    half = stats.norm.ppf((1 + confidence) / 2) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    low, high = np.tanh([np.arctanh(rho) - half, np.arctanh(rho) + half])
    return Correlation(rho, float(low), float(high), p_value, n)


def describe(interval: Interval, *, decimals: int = 1) -> str:
    """The interval as prose, such as "81.2 [79.9, 82.5], n = 3"."""
    if interval.n == 0:
        return "not measured"
    if not interval.known:
        return f"{interval.mean:.{decimals}f}, n = {interval.n} (no interval)"
    return f"{interval.mean:.{decimals}f} [{interval.low:.{decimals}f}, {interval.high:.{decimals}f}], n = {interval.n}"


def plus_minus(interval: Interval, decimals: int = 1, *, sign: str = "") -> str:
    """A mean and half its interval for the cell of a table: "81.2 ± 0.4"; the mean alone where there is no interval.

    `sign` "+" writes the sign of positive means too.
    """
    if interval.n == 0:
        return "–"
    # Adding zero turns -0.0, which rounding leaves of small losses, into 0.0.
    mean = f"{round(interval.mean, decimals) + 0.0:{sign},.{decimals}f}"
    return f"{mean} ± {interval.high - interval.mean:,.{decimals}f}" if interval.known else mean


def language_average(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each seed and series, with language "average": numbers are means over the languages.

    A seed that lacks one of the languages at some sparsity is left out there: averages over different languages
    are not comparable.
    """
    told = [*SERIES, *STUDENTS, "split", "sparsity", "seed"]
    keys = [key for key in told if key in table and key != "language"]
    numbers = [column for column in table.select_dtypes("number") if column not in keys]
    expected = table.groupby([key for key in ("dataset", "encoder", "split") if key in table])["language"]
    complete = table.assign(_languages=expected.transform("nunique"))
    # Where nothing is distilled there is no temperature, and a row without one counts too.
    by_language = complete.groupby([*keys, "language", "_languages"], as_index=False, dropna=False)[numbers].mean()
    counts = by_language.groupby(keys, dropna=False)["language"].transform("nunique")
    kept = by_language[counts == by_language["_languages"]]
    return kept.groupby(keys, as_index=False, dropna=False)[numbers].mean().assign(language=AVERAGE)


def of_split(table: pd.DataFrame, split: str) -> pd.DataFrame:
    """The rows of one split; SmallerError when there are none."""
    rows = table[table["split"] == split]
    if rows.empty:
        raise SmallerError(f"The table has no rows of the {split} split.")
    return rows


def one_kind(rows: pd.DataFrame, *columns: str) -> pd.DataFrame:
    """The rows, when none of the columns holds two values that a mean would mix by mistake; SmallerError otherwise."""
    for column in columns:
        values = sorted(set(rows[column].dropna().astype(str)) - {""}) if column in rows else []
        if len(values) > 1:
            # Dense rows have '' where a mask has no say, and have to stay.
            kept = ["", values[0]] if column in ("method", "scope", "include") else [values[0]]
            raise SmallerError(
                f"The rows mix {column} {', '.join(values)}, which one mean or line cannot; filter the table first, "
                f"for example table[table[{column!r}].isin({kept})]."
            )
    return rows


def drop_at(table: pd.DataFrame, *, points: float = 2.0, split: str = "test") -> pd.DataFrame:
    """The sparsity at which mean F1 has first dropped by `points` below dense, for each series.

    Linear between the points of the grid, with dense as the point at 0; columns as in `departure`, then `dense_mean`
    and `sparsity` (0..1, NaN where F1 never drops that far).
    """
    rows = []
    for keys, curve, dense in _curves(table, split=split):
        grid = np.concatenate([[0.0], curve.index.to_numpy()])
        lost = np.concatenate([[0.0], dense.mean() - curve.to_numpy()])
        below = np.flatnonzero(lost >= points)
        sparsity = math.nan
        if len(below):
            after = max(int(below[0]), 1)
            share = (points - lost[after - 1]) / (lost[after] - lost[after - 1])
            sparsity = float(grid[after - 1] + share * (grid[after] - grid[after - 1]))
        rows.append(keys | {"dense_mean": float(dense.mean()), "sparsity": sparsity})
    return pd.DataFrame(rows, columns=[*SERIES, "dense_mean", "sparsity"])


def _curves(table: pd.DataFrame, *, split: str):
    """For each pruned series: its keys, mean F1 by sparsity, and the F1 of the dense runs it is compared with."""
    rows = of_split(table, split)
    dense = rows[rows["order"] == "dense"].groupby(["dataset", "encoder", "language"])["f1"]
    for keys, group in rows[rows["order"] != "dense"].groupby(SERIES, sort=False):
        named = dict(zip(SERIES, keys, strict=True))
        place = (named["dataset"], named["encoder"], named["language"])
        if place not in dense.groups:
            raise SmallerError(
                f"There is no dense run of {named['encoder']} on {named['language']} ({split}) to compare pruning "
                "with: add the dense recipe to the study."
            )
        yield named, group.groupby("sparsity")["f1"].mean().sort_index(), dense.get_group(place)


def _present(values: Sequence[float]) -> np.ndarray:
    array = np.asarray(values, dtype=float).ravel()
    return array[~np.isnan(array)]


def _pairs(a: Sequence[float], b: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.asarray(a, dtype=float).ravel(), np.asarray(b, dtype=float).ravel()
    if len(first) != len(second):
        raise SmallerError(f"Pairs need two lists of equal length, not {len(first)} and {len(second)} values.")
    both = ~(np.isnan(first) | np.isnan(second))
    return first[both], second[both]
