"""Intervals, counts and names as they stand in the cells of a table."""

from __future__ import annotations

import math
from collections.abc import Iterable

from smaller.findings.words import name_of
from smaller.statistics import AVERAGE, Interval, describe


def give_or_take(interval: Interval, decimals: int, *, sign: str = "") -> str:
    """A mean and half its interval, such as "81.2 ± 0.4"; the mean alone where there is no interval.

    `sign` "+" writes the sign of positive means too.
    """
    if interval.n == 0:
        return "–"
    # Adding zero turns -0.0, which rounding leaves of small losses, into 0.0.
    mean = f"{round(interval.mean, decimals) + 0.0:{sign}.{decimals}f}"
    return f"{mean} ± {interval.high - interval.mean:.{decimals}f}" if interval.known else mean


def in_points(interval: Interval) -> str:
    """A change of F1 with its interval, such as "-0.05 points [-0.40, 0.30], n = 3"."""
    if interval.n == 0:
        return "not measured"
    bounds = f" [{interval.low:.2f}, {interval.high:.2f}]" if interval.known else " (no interval)"
    return f"{round(interval.mean, 2) + 0.0:+.2f} points{bounds}, n = {interval.n}"


def with_unit(interval: Interval, unit: str) -> str:
    """A mean with its unit before its interval, such as "-2.1 points [-2.3, -1.8], n = 3"."""
    mean, space, rest = describe(interval).partition(" " if interval.known else ",")
    return f"{mean} {unit}{space}{rest}" if interval.n else "not measured"


def best(text: str, *, of_row: bool) -> str:
    """The text, between double asterisks if it is the best of its row."""
    return f"**{text}**" if of_row else text


def one_or_span(counts: Iterable[int]) -> str:
    """The number that all counts are, or the least and the largest of them."""
    found = sorted(set(counts))
    return "" if not found else f"{found[0]}" if len(found) == 1 else f"{found[0]} to {found[-1]}"


def row_name(code: str) -> str:
    """The name of a language, or "Average"."""
    return "Average" if code == AVERAGE else name_of(code)


def share(value: float) -> str:
    """A share from 0 to 1 in per cent; "not measured" where there is none."""
    return "not measured" if math.isnan(value) else f"{100 * value:.1f} %"
