"""Intervals, correlations and read-outs of the tidy table; every answer carries its n. Comparisons: `comparison`."""

import itertools
import math
from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from smaller.base.checks import require
from smaller.base.errors import SmallerError

SERIES = ["dataset", "encoder", "language", "order", "method", "scope", "include"]
STUDENTS = ["strategy", "variant", "technique", "on", "temperature", "start", "layer_map", "layers", "heads"]
"""What tells students of one teacher apart, where a table says it."""

AVERAGE = "average"
CONFIDENCE = 0.95
SAME = 1e-9
"""Points within which two values are one but for rounding."""

LACKING = "not recorded"
"""The kind of an interval over sentences that cannot be had, since a record is older than their counts."""


@dataclass(frozen=True)
class Interval:
    """A mean with its 95 % interval; `low` and `high` are NaN where nothing spreads, as of one run."""

    mean: float
    low: float
    high: float
    n: int
    kind: str = "t"

    @property
    def known(self) -> bool:
        """Whether there is an interval at all."""
        return math.isfinite(self.low) and math.isfinite(self.high)


Correlation = namedtuple("Correlation", "rho low high n p_value")
"""Spearman's rank correlation with its interval (NaN where n < 4) and two-sided p value (NaN where n < 3)."""


def t_interval(values: Sequence[float]) -> Interval:
    """Mean and Student t interval, which over three seeds covers as often as it says; missing values are not in n.

    Values that are the same at each seed say nothing of the spread of seeds, and often are one model's: no interval.
    """
    present = np.asarray(values, dtype=float).ravel()
    present = present[~np.isnan(present)]
    n, half = len(present), math.nan
    mean = float(present.mean()) if n else math.nan
    if n > 1 and np.ptp(present) > SAME:
        half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * present.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected for their number by Holm's step-down procedure, in the order given."""
    p = np.asarray(p_values, dtype=float)
    ascending = np.argsort(p)
    adjusted = np.maximum.accumulate(p[ascending] * np.arange(len(p), 0, -1)).clip(max=1)
    result = np.empty_like(p)
    result[ascending] = adjusted
    return result.tolist()


def spearman(x: Sequence[float], y: Sequence[float]) -> Correlation:
    """Rank correlation of two measurements of the same things; pairs with a missing value are left out.

    The interval is Fisher's with the variance of Bonett and Wright (2000), (1 + rho**2 / 2) / (n - 3); the p value is
    exact over all pairings up to eight pairs and from the t distribution above that.
    """
    both = np.column_stack([np.asarray(values, dtype=float) for values in (x, y)])
    first, second = both[~np.isnan(both).any(axis=1)].T
    n = len(first)
    if n < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        return Correlation(math.nan, math.nan, math.nan, n, math.nan)
    rho, p_value = (float(number) for number in stats.spearmanr(first, second))
    if n <= 8:
        ranks = stats.rankdata(second) - (n + 1) / 2
        reach = np.array(list(itertools.permutations(stats.rankdata(first) - (n + 1) / 2))) @ ranks
        p_value = float((np.abs(reach) >= abs(reach[0]) - 1e-9).mean())
    if n < 4 or abs(rho) > 1 - 1e-12:
        return Correlation(rho, math.nan, math.nan, n, p_value)
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) * math.sqrt((1 + rho**2 / 2) / (n - 3))
    low, high = np.tanh([np.arctanh(rho) - half, np.arctanh(rho) + half])
    return Correlation(rho, float(low), float(high), n, p_value)


def least_p(n: int) -> float:
    """The smallest exact p value of a rank correlation of n pairs: one ordering of all, and its reverse."""
    return min(1.0, 2 / math.factorial(n))


def bounds(low: float, high: float) -> str:
    """The ends of a correlation's interval in brackets, after a space; nothing where it has none."""
    return f" [{low:+.2f}, {high:+.2f}]" if math.isfinite(low) else ""


def describe(interval: Interval, unit: str = "") -> str:
    """The interval as prose, such as "81.2 [79.9, 82.5], n = 3"; a `unit` such as " %" stands at the mean."""
    if interval.n == 0:
        return LACKING if interval.kind == LACKING else "not measured"
    if not interval.known:
        return f"{interval.mean:.1f}{unit}, n = {interval.n} (no interval)"
    return f"{interval.mean:.1f}{unit} [{interval.low:.1f}, {interval.high:.1f}], n = {interval.n}"


def by_seed(rows: pd.DataFrame, value: str = "f1", *, by: Sequence[str] = ()) -> pd.Series:
    """The mean of a column over languages by group and seed, where that has all languages of its group."""
    means = rows.groupby(list(dict.fromkeys([*by, "language", "seed"])), sort=False)[value].mean().dropna()
    means = means.reset_index().assign(_all=0)
    counts = [means.groupby(["_all", *by, *seed])["language"].transform("nunique") for seed in ([], ["seed"])]
    return means[counts[0] == counts[1]].groupby([*by, "seed"], sort=False)[value].mean()


def over_seeds(rows: pd.DataFrame, value: str = "f1", *, by: Sequence[str]) -> pd.Series:
    """The mean of a column over languages for each group of `by`, with its t interval over seeds."""
    return by_seed(rows, value, by=by).groupby(list(by), sort=False).agg(t_interval)


def language_average(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each seed and series with all languages, and with language "average": numbers are means over them."""
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
    require(len(rows) > 0, f"The table has no rows of the {split} split.")
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
    """The sparsity at which F1, paired by seed, is first `points` below dense, linear between grid points.

    It is NaN where F1 never falls so far. A series without a pair is left out: nobody knows where that falls.
    """
    rows, found = of_split(table, split), []
    dense = rows[rows["order"] == "dense"].set_index(["dataset", "encoder", "language"])[["seed", "f1"]]
    for series, own in rows[rows["order"] != "dense"].groupby(SERIES, sort=False):
        dataset, encoder, language, *_ = series
        if series[:3] not in dense.index:
            raise SmallerError(
                f"There is no dense run of {encoder} on {language} ({dataset}, {split}) to compare pruning with: add "
                "the dense recipe to the study."
            )
        whole = dense.loc[[series[:3]]].groupby("seed")["f1"].mean()
        if (lost := (own["seed"].map(whole) - own["f1"]).groupby(own["sparsity"]).mean().dropna()).empty:
            continue
        grid, lost = np.array([0.0, *lost.index]), np.array([0.0, *lost])
        last = next(iter(np.flatnonzero(lost >= points)), None)
        crossing = math.nan if last is None else np.interp(points, lost[last - 1 : last + 1], grid[last - 1 : last + 1])
        found.append((*series, float(crossing)))
    return pd.DataFrame(found, columns=[*SERIES, "sparsity"])
