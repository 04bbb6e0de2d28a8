"""The numbers that the papers print, and the verdict of our interval beside each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from smaller.errors import SmallerError, did_you_mean
from smaller.statistics import Interval, describe

AGREES, DIFFERS, NOT_COMPARABLE = "agrees", "differs", "not comparable"


@dataclass(frozen=True)
class Verdict:
    """What our interval says of a published number, and why."""

    verdict: str
    reason: str
    value: float
    interval: Interval

    def __str__(self) -> str:
        return f"{self.verdict}: {self.reason}"


def published(**filters: object) -> pd.DataFrame:
    """Published numbers, one a row: paper, table, row, encoder, language, metric, value, unit, note.

    A filter names a column and gives the value, or a list of values, to keep: `published(table="P1-T1",
    language=["swa", "yor"])`. Averages have language "average"; a note tells of every known misprint. Table ids are
    the study's own (P1-T1 is the distillation table of the first paper). A column or value that does not occur
    raises SmallerError, so a misspelt filter never looks like a missing number.
    """
    table = _numbers()
    kept = pd.Series(True, index=table.index)
    for column, wanted in filters.items():
        if column not in table:
            raise SmallerError(
                f"Published numbers have no column {column!r}.{did_you_mean(column, table.columns)} "
                f"Columns: {', '.join(table.columns)}."
            )
        values = list(wanted) if isinstance(wanted, list | tuple | set) else [wanted]
        known = table[column].unique().tolist()
        for value in values:
            if value not in known:
                hint = did_you_mean(value, map(str, known))
                raise SmallerError(f"No published number has {column} {value!r}.{hint}")
        kept &= table[column].isin(values)
    return table[kept].reset_index(drop=True)


@cache
def _numbers() -> pd.DataFrame:
    path = Path(__file__).with_name("published.csv")
    return pd.read_csv(path, keep_default_na=False, dtype={"value": float})


def verdict(interval: Interval, value: float, *, tolerance: float = 0.0, not_comparable: str = "") -> Verdict:
    """Whether `value` lies in our interval, widened on both sides by `tolerance` (in the unit of the value).

    'agrees' or 'differs', or 'not comparable' where `not_comparable` gives the reason (another encoder, other data)
    or where there is nothing to compare: no measurement, or a single run and no tolerance.
    """

    def judged(word: str, reason: str) -> Verdict:
        return Verdict(word, reason, float(value), interval)

    ours = describe(interval, decimals=2)
    if not_comparable:
        return judged(NOT_COMPARABLE, not_comparable)
    if interval.n == 0 or math.isnan(value):
        return judged(NOT_COMPARABLE, "not measured here" if interval.n == 0 else "no value is published")
    if not interval.known and tolerance == 0:
        return judged(NOT_COMPARABLE, f"one run has no interval: ours {ours}")
    low, high = (interval.low, interval.high) if interval.known else (interval.mean, interval.mean)
    margin = f" with a tolerance of {tolerance:g}" if tolerance else ""
    if low - tolerance <= value <= high + tolerance:
        return judged(AGREES, f"{value:g} lies within ours, {ours}{margin}")
    side = "below" if value < low else "above"
    return judged(DIFFERS, f"{value:g} lies {side} ours, {ours}{margin}")
