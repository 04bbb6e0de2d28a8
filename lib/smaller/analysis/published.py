"""The numbers that the papers print."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

from smaller.base.errors import SmallerError, did_you_mean


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
