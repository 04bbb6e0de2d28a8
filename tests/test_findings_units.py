"""The currencies of size and time: two of them never stand side by side."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from smaller.analysis.findings.units import SIZE, everywhere

SHIPPED, WEIGHTS = SIZE


@pytest.mark.parametrize(
    ("rows", "column"),
    [
        ({SHIPPED: [1.0, 2.0], WEIGHTS: [3.0, 4.0]}, SHIPPED),
        ({SHIPPED: [1.0, math.nan], WEIGHTS: [3.0, 4.0]}, WEIGHTS),
        ({SHIPPED: [1.0, math.nan], WEIGHTS: [3.0, math.nan]}, SHIPPED),
        ({WEIGHTS: [3.0, 4.0]}, WEIGHTS),
        ({SHIPPED: [math.nan], WEIGHTS: [math.nan]}, WEIGHTS),
        ({}, WEIGHTS),
    ],
)
def test_the_better_currency_is_used_where_every_row_that_has_one_has_it(rows, column):
    assert everywhere(pd.DataFrame(rows), SIZE) == column
