"""Shares, names and counts in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from smaller.data.languages import LANGUAGES


def percent(share: float) -> str:
    """A share from 0 to 1 in per cent; "not on this grid" where there is none."""
    return "not on this grid" if math.isnan(share) else f"{100 * share:.0f} %"


def name_of(code: str) -> str:
    return LANGUAGES[code].name if code in LANGUAGES else code


def count_of(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)


def names_of(codes: Sequence[str]) -> str:
    """Language codes as names with codes: "Swahili (swa), Hausa (hau)"."""
    return ", ".join(f"{name_of(code)} ({code})" for code in codes)


def one_of(names: Iterable[str]) -> str:
    """Names as alternatives: "a, b or c"."""
    *before, last = names
    return f"{', '.join(before)} or {last}" if before else last
