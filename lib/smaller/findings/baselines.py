"""Answers on the dense encoders."""

from __future__ import annotations

import pandas as pd

from smaller.findings.words import name_of
from smaller.statistics import (
    describe,
    language_average,
    of_split,
    t_interval,
)


def dense(table: pd.DataFrame, *, split: str = "test") -> str:
    """How good each dense encoder is: its average over the languages, and its best and worst one."""
    rows = of_split(table, split).query("order == 'dense'")
    sentences = []
    for encoder, own in rows.groupby("encoder", sort=False):
        means = own.groupby("language")["f1"].mean().sort_values()
        if len(means) == 1:
            sentences.append(f"{encoder} reaches F1 {describe(t_interval(own['f1']))}, in {name_of(means.index[0])}.")
            continue
        sentences.append(
            f"{encoder} reaches F1 {describe(t_interval(language_average(own)['f1']))}, on average over "
            f"{len(means)} languages, from {means.iloc[0]:.1f} in {name_of(means.index[0])} to {means.iloc[-1]:.1f} in "
            f"{name_of(means.index[-1])}."
        )
    several = rows["seed"].nunique() > 1
    return " ".join(sentences) + " Intervals are t intervals over seeds." * several
