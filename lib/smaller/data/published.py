"""The numbers that the papers print."""

from functools import cache
from pathlib import Path

import pandas as pd

from smaller.base.errors import SmallerError, did_you_mean


def published(**filters: object) -> pd.DataFrame:
    """Published numbers, one a row; a note tells of every known misprint, and table ids are the study's own.

    A filter names a column and the value, or a list of values, to keep: `published(table="P1-T1", language=["swa",
    "yor"])`. Averages have language "average". A column or value that does not occur raises SmallerError.
    """
    found = table = _numbers()
    for column, wanted in filters.items():
        if column not in table:
            raise SmallerError(
                f"Published numbers have no column {column!r}.{did_you_mean(column, table.columns)} "
                f"Columns: {', '.join(table.columns)}."
            )
        values, known = pd.Series(wanted).tolist(), table[column].unique().tolist()
        for value in [value for value in values if value not in known]:
            hint = did_you_mean(value, map(str, known))
            raise SmallerError(f"No published number has {column} {value!r}.{hint}")
        found = found[found[column].isin(values)]
    return found.reset_index(drop=True)


@cache
def _numbers() -> pd.DataFrame:
    path = Path(__file__).with_name("published.csv")
    return pd.read_csv(path, keep_default_na=False, dtype={"value": float})
