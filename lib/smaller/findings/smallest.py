"""The search: the smallest model within a tolerated loss, and how fast it is.

`table` is what `findings.extreme.by_family` makes; `times` is what `timing.settings_table` gives of some of its models.
"""

from __future__ import annotations

import math

import pandas as pd

from smaller.comparison import NOT_COMPARABLE, Comparison
from smaller.findings.extreme import MODEL, PIPELINE, PLACE, Findings, against_dense, averaged, currency, on_dev
from smaller.findings.finding import ANSWERED, Finding, missing
from smaller.findings.words import count_of, one_of
from smaller.recipes import DENSE
from smaller.statistics import of_split, t_interval

TOLERATED = {"1 point": (1.0, 0.0), "2 points": (2.0, 0.0), "5 points": (5.0, 0.0), "5 % of the score": (0.0, 0.05)}
"""Losses that one may bear, in points and as a share of the dense score."""

MARK = {"parameters": 35, "time": 51, "kept": 95}
"""XtremeDistil on the named entities of 41 languages (Mukherjee and Awadallah 2020): how many times fewer parameters
than mBERT, how many times faster in batches, and per cent of its F1 that is kept."""


def smallest_within(table: pd.DataFrame, times: pd.DataFrame | None = None) -> pd.DataFrame:
    """The smallest model of all families whose mean dev score is within each tolerated loss of the dense model's.

    Chosen on dev over all seeds, reported on test. A row for each encoder, data set and tolerance; `minus dense` is a
    comparison with p after Holm over the models that were chosen, `times faster` than the dense model in the first
    setting of `times` (missing where this model was not timed on this data set). The dense model is always within.
    """
    test = averaged(of_split(table, "test")).set_index(MODEL).sort_index()
    speeds, found = _speeds(table, times), []
    for place, own in on_dev(table).groupby(PLACE, sort=False):
        models = own.groupby(MODEL[2:], sort=False).agg(score=("score", "mean"), bytes=("bytes", "max"))
        level = models.loc[(PIPELINE, DENSE), "score"]
        for tolerance, (points, share) in TOLERATED.items():
            within = models[models["score"] >= level - (points + share * level)]
            model = within.sort_values(["bytes", "score"], ascending=[True, False], kind="stable").index[0]
            rows = test.loc[(*place, *model)]
            found.append({
                "encoder": place[0], "data set": place[1], "loss up to": tolerance, "family": model[0],
                "model": model[1], "MB": rows["bytes"].max() / 1e6, "of dense (%)": 100 * rows["share"].max(),
                "parameters (%)": 100 * rows["parameter_share"].max(), "score": t_interval(rows["score"]),
                "minus dense": None, "times faster": speeds.get((*place, model[1]), math.nan),
            })  # fmt: skip
    told = pd.DataFrame(found)
    chosen = told[["encoder", "data set", "family", "model"]].set_axis(MODEL, axis="columns")
    changes = against_dense(pd.concat([table.merge(chosen.drop_duplicates()), table[table["stage"] == DENSE]]))
    return told.assign(**{"minus dense": [changes.get(key) for key in chosen.itertuples(index=False, name=None)]})


def _speeds(table: pd.DataFrame, times: pd.DataFrame | None) -> dict[tuple[str, str, str], float]:
    """How many times faster than dense each model is, by encoder, data set and stage, in the first timed setting."""
    if times is None or times.empty:
        return {}
    first = times[(times[["batch", "threads"]] == times[["batch", "threads"]].iloc[0]).all(axis="columns")]
    both = first.merge(table[["identity", *PLACE, "stage"]].drop_duplicates(), on=["identity", "encoder"])
    time = both.groupby([*PLACE, "stage"])["milliseconds"].first()
    return {key: time.get((*key[:2], DENSE), math.nan) / value for key, value in time.items()}


def smallest(found: pd.DataFrame, bytes_of: str) -> Findings:
    """By encoder and data set, the smallest models of `smallest_within`; `bytes_of` names what is counted."""
    told = {}
    for place, own in found.groupby(["encoder", "data set"], sort=False):
        sentences = []
        for model, same in own.groupby("model", sort=False):
            row = same.iloc[0]
            change = row["minus dense"]
            sentences += [
                f"On {place[1]}, the smallest model within {one_of(same['loss up to'])} of the dense {place[0]} on dev "
                f"is “{model}”, with {row['of dense (%)']:.1f} % of the {bytes_of}.",
                f"On test, the difference is {change} ({change.verdict}), which rules out "
                f"{change.excludes()}." if isinstance(change, Comparison) else "No smaller model is within that loss.",
            ]  # fmt: skip
        told[place] = Finding(sentences[0], " ".join(sentences[1:]), values={"models": list(own["model"])},
                              verdict=ANSWERED)  # fmt: skip
    return told


def times_table(table: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """Milliseconds for a sentence by model and setting, and how many times faster than the dense model."""
    rows = times.merge(table.drop_duplicates("identity")[["identity", "stage", "share", "parameter_share"]])
    about = rows.drop_duplicates("stage").set_index("stage")
    wide = {"of dense (%)": 100 * about["share"], "times fewer parameters": 1 / about["parameter_share"]}
    for (batch, threads), own in rows.groupby(["batch", "threads"], sort=False):
        time, title = own.set_index("stage")["milliseconds"], f"batch {batch}, {count_of(threads, 'thread')}"
        wide |= {f"ms ({title})": time, f"times faster ({title})": time[DENSE] / time}
    return pd.DataFrame(wide).loc[about.index].rename_axis("model").reset_index()


def faster(table: pd.DataFrame, times: pd.DataFrame) -> Finding:
    """How much faster and smaller the end of the pipeline is than the dense model, beside what was claimed."""
    if times.empty:
        return missing("Times")
    rows = times.merge(table[table["family"] == PIPELINE].drop_duplicates("identity")[["identity", "dataset", "stage"]])
    stages = dict.fromkeys(table.loc[table["family"] == PIPELINE, "stage"])
    last, ratios, parts = [stage for stage in stages if stage in set(rows["stage"])][-1], {}, []
    for (batch, threads), own in rows.groupby(["batch", "threads"], sort=False):
        dense, end = (own[own["stage"] == stage].iloc[0] for stage in (DENSE, last))
        ratios[batch, threads] = dense["milliseconds"] / end["milliseconds"]
        parts.append(f"At batch {batch} on {count_of(threads, 'thread')} it takes {end['milliseconds']:.2f} instead of "
                     f"{dense['milliseconds']:.2f} ms for a sentence; the noise floor is "
                     f"{100 * dense['noise_floor']:.0f} %.")  # fmt: skip
    encoder, dataset, device = rows[["encoder", "dataset", "device"]].iloc[0]
    sizes = table[(table["encoder"] == encoder) & (table["dataset"] == dataset) & (table["stage"] == last)]
    ratio = next(iter(ratios.values()))
    return Finding(
        f"On {dataset}, the end of the pipeline from {encoder} (“{last}”) is {ratio:.1f} times as fast as the dense "
        "model.",
        f"{' '.join(parts)} It has {1 / sizes['parameter_share'].max():.1f} times fewer parameters and "
        f"{1 / sizes['share'].max():.1f} times fewer {currency(table)}. It was timed on this device: {device}. "
        f"XtremeDistil's {MARK['time']} times were measured in batches on another one.",
        values={"ratios": ratios, "sizes": sizes[["parameter_share", "share"]].max()}, verdict=NOT_COMPARABLE,
    )  # fmt: skip
