"""What is claimed of extreme compression, and what was measured here of it."""

from __future__ import annotations

import pandas as pd

from smaller.comparison import NOT_COMPARABLE
from smaller.findings import extreme, extreme_curves, smallest
from smaller.findings.extreme import ON_TEXT, PIPELINE, PLACE, TAUGHT, Findings, averaged, on_dev, only_where_ahead
from smaller.findings.finding import Finding, missing
from smaller.recipes import DENSE, TRIMMED
from smaller.statistics import Interval, describe, of_split, t_interval


def claims(
    table: pd.DataFrame, *, times: pd.DataFrame, lost: pd.DataFrame, equal: pd.DataFrame, plain: Findings
) -> dict[str, Finding | list[Finding]]:
    """What this page says of each claim: a finding for each data set on which the dense encoder is not behind.

    `times` is the table of timings, `lost` what `extreme_curves.drops` gives, `equal` what `extreme.at_equal_bytes`
    gives, `plain` what `extreme.beside_plain` gives.
    """
    faster = smallest.faster(table, times)
    return {
        "P2-T1": only_where_ahead(extreme.costs(table), plain),
        "D23": only_where_ahead(whole_pipeline(table), plain),
        "D24": compression(table),
        "XtremeDistil": [*only_where_ahead(thirty_five_times_fewer(table), plain), *([faster] * faster.measured)],
        "D25": only_where_ahead(extreme_curves.drop_and_text(lost), plain),
        "X1": only_where_ahead(extreme.best_families(equal), plain),
    }  # fmt: skip


def kept(own: pd.DataFrame, model: tuple[str, str]) -> Interval:
    """The score of a model (family and stage) in per cent of the dense score of the same seed, over seeds.

    `own` are the averages of one encoder on one data set. A dense score of 0 leaves nothing to keep, and is left out.
    """
    dense, score = (own[(own["family"] == family) & (own["stage"] == stage)].set_index("seed")["score"]
                    for family, stage in ((PIPELINE, DENSE), model))  # fmt: skip
    return t_interval((100 * score / dense.where(dense > 0)).dropna())


def whole_pipeline(table: pd.DataFrame) -> Findings:
    """What the pipeline loses before quantization, as paper 2 counts it, in per cent of the dense score (D23)."""
    found = {}
    for place, own in averaged(of_split(table, "test")).groupby(PLACE, sort=False):
        left = kept(own, (PIPELINE, TRIMMED))
        lost = Interval(100 - left.mean, 100 - left.high, 100 - left.low, left.n)
        found[place] = missing(f"Trimmed models of {place[0]} on {place[1]}") if left.n == 0 else Finding(
            f"On {place[1]}, {place[0]} keeps {left.mean:.1f} % of its score through the pipeline before quantization.",
            f"It loses {describe(lost)}.", quantity=lost,
        )  # fmt: skip
    return found


def compression(table: pd.DataFrame) -> Finding:
    """How many per cent of the first encoder's parameters the pipeline takes away (D24)."""
    own = table[(table["encoder"] == table["encoder"].iloc[0]) & (table["family"] == PIPELINE)]
    less = 100 * (1 - own["parameter_share"].min())
    return Finding(f"The whole pipeline takes away {less:.1f} % of the parameters of {own['encoder'].iloc[0]}.",
                   quantity=less)  # fmt: skip


def thirty_five_times_fewer(table: pd.DataFrame) -> Findings:
    """What the best model keeps that has 35 times fewer parameters; chosen on dev."""
    most, dev, found = 1.005 / smallest.MARK["parameters"], on_dev(table), {}
    families = [*ON_TEXT, TAUGHT]
    for place, own in averaged(of_split(table, "test")).groupby(PLACE, sort=False):
        small = dev[(dev[PLACE] == list(place)).all(axis="columns") & dev["family"].isin(families)]
        models = small[small["parameter_share"] <= most].groupby(["family", "stage"])["score"].mean()
        if models.empty:
            least = 100 * small["parameter_share"].min()
            found[place] = Finding(f"No student of {place[0]} on {place[1]} is {smallest.MARK['parameters']} times "
                                   f"smaller: the smallest has {least:.1f} % of the parameters.",
                                   verdict=NOT_COMPARABLE)  # fmt: skip
            continue
        model = models.idxmax()
        left, size = kept(own, model), 100 * own.loc[own["stage"] == model[1], "parameter_share"].max()
        found[place] = Finding(f"On {place[1]}, “{model[1]}” keeps {left.mean:.1f} % of the dense score with "
                               f"{size:.1f} % of the parameters.", f"Over seeds: {describe(left)}.",
                               quantity=left)  # fmt: skip
    return found
