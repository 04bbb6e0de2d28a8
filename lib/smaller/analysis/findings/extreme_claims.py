"""What the study of extreme compression says of each claim, and how much faster its models are."""

from __future__ import annotations

import pandas as pd

from smaller.analysis.comparison import NOT_COMPARABLE
from smaller.analysis.findings import claims, units
from smaller.analysis.findings.extreme import (
    MODEL,
    ON_TEXT,
    PIPELINE,
    PLACE,
    TAUGHT,
    Findings,
    best_families,
    costs,
    measured,
    on_dev,
)
from smaller.analysis.findings.extreme_curves import drop_and_text
from smaller.analysis.findings.finding import Finding, missing
from smaller.analysis.statistics import Interval
from smaller.study.pipelines import DENSE, TRIMMED

MARK = {"parameters": 35, "time": 51}
"""XtremeDistil on the named entities of 41 languages (Mukherjee and Awadallah 2020): how many times fewer parameters
than mBERT, and how many times faster in batches."""

TITLES = {
    "encoder": "encoder",
    "dataset": "data set",
    "family": "family",
    "stage": "model",
    "batch": "batch",
    "threads": "threads",
    "end_to_end_milliseconds": "ms, from text to labels",
    "milliseconds": "ms, network alone",
    "noise_floor": "noise floor",
    "faster": "times faster",
    "time": "time",
    "share": "share of the bytes",
    "parameter_share": "share of the parameters",
}
"""What the columns of the table of times are called."""


def speeds(table: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """Milliseconds for a sentence and how many times faster than dense, of what `timing.settings_table` gives.

    `time`, a value of `units.TIME`, says what is compared: from text to labels where every model was timed so.
    """
    about = table[["identity", *MODEL, "share", "parameter_share"]].drop_duplicates(["identity", "stage"])
    rows, setting = times.merge(about, on=["identity", "encoder"]), [*PLACE, "batch", "threads"]
    column = units.everywhere(rows, units.TIME)
    dense = rows[rows["stage"] == DENSE].groupby(setting)[column].first().rename("dense")
    rows = rows.assign(faster=rows.join(dense, on=setting)["dense"] / rows[column], time=units.TIME[column])
    return rows[list(TITLES)].rename(columns=TITLES)


def with_speed(found: pd.DataFrame, table: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """The rows of `extreme.smallest_within`, with the speed in the first setting where the model was timed there."""
    model = ["encoder", "data set", "family", "model"]
    return found.merge(speeds(table, times).drop_duplicates(model)[[*model, "times faster", "time"]], how="left")


def faster(table: pd.DataFrame, times: pd.DataFrame) -> Findings:
    """How much faster the end of the pipeline is than the dense model in each setting, beside what was claimed."""
    pipeline = table[table["family"] == PIPELINE]
    stages, found = list(dict.fromkeys(pipeline["stage"])), {}
    for place, rows in speeds(pipeline, times).groupby(["encoder", "data set"], sort=False):
        end = rows[rows["model"] == max(rows["model"], key=stages.index)]
        first = end.iloc[0]
        found[place] = Finding(
            f"On {place[1]}, the end of the pipeline from {place[0]} (“{first['model']}”) is "
            f"{first['times faster']:.1f} times as fast as the dense model, {first['time']}.",
            f"XtremeDistil's {MARK['time']} times were measured in batches on another device.",
            values={"ratios": end.set_index(["batch", "threads"])["times faster"].to_dict(), "time": first["time"]},
            verdict=NOT_COMPARABLE,
        )
    return found or {("", ""): missing("Times")}


def judged(
    table: pd.DataFrame, times: pd.DataFrame, *, equal: pd.DataFrame, lost: pd.DataFrame, ahead: Findings
) -> pd.DataFrame:
    """The rows of `claims.of_page` for each encoder and data set, by claim.

    `equal` is what `extreme.at_equal_bytes` gives, `lost` what `extreme_curves.drops`, `ahead` what `beside_plain`.
    """
    speed, taken = faster(table, times), parameters(table)
    parts = {
        "P2-T1": costs(table),
        "D23": whole_pipeline(table),
        "D24": taken,
        "D24b": taken,
        "XtremeDistil": {
            place: [one, *filter(None, [speed.get(place)])] for place, one in thirty_five_times_fewer(table).items()
        },
        "D25": drop_and_text(lost),
        "X1": best_families(equal),
    }
    rows = [
        claims.of_page({name: own[place] for name, own in parts.items() if place in own}, encoder=place[0], ahead=one)
        for place, one in ahead.items()
    ]
    rows = pd.concat(rows)
    return rows.sort_values("id", key=lambda ids: ids.map(list(parts).index), kind="stable", ignore_index=True)


def parameters(table: pd.DataFrame) -> Findings:
    """What the whole pipeline takes away of each encoder's parameters, in per cent (D24); on its first data set."""
    pipeline, found = table[table["family"] == PIPELINE], {}
    for encoder, own in pipeline.groupby("encoder", sort=False):
        less = 100 * (1 - own["parameter_share"].min())
        said = f"The whole pipeline takes away {less:.1f} % of the parameters of {encoder}."
        found[encoder, own["dataset"].iloc[0]] = Finding(said, quantity=less)
    return found


def whole_pipeline(table: pd.DataFrame) -> Findings:
    """What the pipeline loses before quantization, as paper 2 counts it, in per cent of the dense score (D23)."""
    found = {}
    for (encoder, dataset, *model), left in measured(table)["kept"].items():
        if model == [PIPELINE, TRIMMED] and left.n:
            said = f"On {dataset}, {encoder} keeps {left.mean:.1f} % of its score in the pipeline before quantization."
            lost = Interval(100 - left.mean, 100 - left.high, 100 - left.low, left.n)
            found[encoder, dataset] = Finding(said, quantity=lost)
    return found


def thirty_five_times_fewer(table: pd.DataFrame) -> Findings:
    """What the best model keeps that has 35 times fewer parameters; chosen on dev."""
    models, found = measured(table), {}
    for place, dev in on_dev(table).groupby(PLACE, sort=False):
        small = dev[dev["family"].isin([*ON_TEXT, TAUGHT]) & (dev["parameter_share"] <= 1.005 / MARK["parameters"])]
        if small.empty:
            found[place] = Finding(f"No student of {place[0]} on {place[1]} is so small.", verdict=NOT_COMPARABLE)
            continue
        best = models.loc[small.groupby(MODEL)["score"].mean().idxmax()]
        found[place] = Finding(
            f"On {place[1]}, “{best.name[-1]}” keeps {best['kept'].mean:.1f} % of the dense score "
            f"with {best['parameters (%)']:.1f} % of the parameters.",
            quantity=best["kept"],
        )
    return found
