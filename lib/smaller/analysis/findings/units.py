"""The currencies of size and of time: what is counted, the same for every model that stands beside another."""

from collections.abc import Iterable

import pandas as pd

SIZE = {"shipped_bytes": "bytes of the folder that ships", "dense_bytes": "bytes of the weights"}
TIME = {"end_to_end_milliseconds": "from text to labels", "milliseconds": "in the network alone"}
"""Columns of sizes and of times, the better one first, and what they count; records of earlier versions lack it."""


def beyond(ratio: pd.DataFrame | pd.Series, floor: pd.Series | float) -> pd.DataFrame | pd.Series:
    """1 where a time, over another's, is shorter by more than the noise floor of its row, -1 where longer, else 0."""
    return ratio.lt(1 / (1 + floor), axis="index") * 1 - ratio.gt(1 + floor, axis="index") * 1


def everywhere(rows: pd.DataFrame, columns: Iterable[str]) -> str:
    """The first of the columns that every row has which has any of them; the last if there is none."""
    *better, last = columns
    known = rows.reindex(columns=[*better, last]).dropna(how="all")
    return next((name for name in better if len(known) and known[name].notna().all()), last)
