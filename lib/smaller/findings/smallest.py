"""Answers on the search: the smallest model within a tolerated loss, how fast it is, and claims beside it.

`table` is what `findings.extreme.with_shares` makes; `times` is what `timing.settings_table` gives of some of its
models.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from smaller.findings.cells import give_or_take
from smaller.findings.extreme import PIPELINE, averaged
from smaller.findings.words import count_of, one_of
from smaller.recipes import DENSE
from smaller.statistics import Interval, describe, of_split, paired_difference, t_interval

TOLERATED = {"1 point": (1.0, 0.0), "2 points": (2.0, 0.0), "5 points": (5.0, 0.0), "5 % of the score": (0.0, 0.05)}
"""Losses that one may bear, in points and as a share of the dense score."""

MARK = {"parameters": 35, "time": 51, "kept": 95}
"""XtremeDistil on the named entities of 41 languages (Mukherjee and Awadallah 2020): how many times fewer parameters
than mBERT, how many times faster in batches, and per cent of its F1 that is kept."""


def smallest_within(table: pd.DataFrame, times: pd.DataFrame | None = None) -> pd.DataFrame:
    """The smallest model of all families whose dev score is within each tolerated loss of the dense model's.

    Chosen on dev, by means over languages and seeds paired with the dense model; reported on test. A row for each
    encoder, data set and tolerance: `family`, `stage`, `interval` (test score), `change` (against dense, paired by
    seed), `kept` (of the dense score), `bytes`, `share`, `parameter_share` and `speed` (how many times faster than
    dense in the first setting of `times`; NaN where it was not timed). The dense model is within every tolerance.
    """
    dev, test = (averaged(of_split(table, split)) for split in ("dev", "test"))
    speeds = _speeds(table, times)
    found = []
    for (encoder, dataset), own in dev.groupby(["encoder", "dataset"], sort=False):
        lost = {key: _against_dense(own, rows) for key, rows in own.groupby(["family", "stage"], sort=False)}
        sizes = own.groupby(["family", "stage"], sort=False)["bytes"].max()
        level = own.loc[own["stage"] == DENSE, "score"].mean()
        tested = test[(test["encoder"] == encoder) & (test["dataset"] == dataset)]
        dense = tested.loc[tested["stage"] == DENSE, "score"].mean() or np.nan
        for tolerance, (points, share) in TOLERATED.items():
            within = [key for key, change in lost.items() if change.mean >= -(points + share * level)]
            family, stage = min(within, key=lambda key: (sizes[key], -lost[key].mean))
            rows = tested[(tested["family"] == family) & (tested["stage"] == stage)]
            found.append({
                "encoder": encoder, "dataset": dataset, "tolerance": tolerance, "family": family, "stage": stage,
                "interval": t_interval(rows["score"]), "change": _against_dense(tested, rows),
                "kept": rows["score"].mean() / dense, "bytes": rows["bytes"].max(), "share": rows["share"].max(),
                "parameter_share": rows["parameter_share"].max(), "speed": speeds.get((encoder, stage), math.nan),
            })  # fmt: skip
    return pd.DataFrame(found)


def _against_dense(own: pd.DataFrame, rows: pd.DataFrame) -> Interval:
    dense = own[own["stage"] == DENSE].set_index("seed")["score"]
    both = pd.concat([rows.set_index("seed")["score"], dense], axis=1, keys=["one", "dense"]).dropna()
    return paired_difference(both["one"], both["dense"])


def _speeds(table: pd.DataFrame, times: pd.DataFrame | None) -> dict[tuple[str, str], float]:
    """How many times faster than the dense model each stage is, in the first setting that it was timed in."""
    if times is None or times.empty:
        return {}
    batch, threads = times[["batch", "threads"]].iloc[0]
    first = times[(times["batch"] == batch) & (times["threads"] == threads)]
    named = table[["identity", "encoder", "stage"]].drop_duplicates()
    both = first.merge(named, on=["identity", "encoder"])
    dense = both[both["stage"] == DENSE].groupby("encoder")["milliseconds"].first()
    return {(row.encoder, row.stage): dense.get(row.encoder, math.nan) / row.milliseconds for row in both.itertuples()}


def in_words(found: pd.DataFrame) -> str:
    """For each encoder and data set, the smallest models within the tolerated losses, in one sentence."""
    sentences = []
    for (encoder, dataset), own in found.groupby(["encoder", "dataset"], sort=False):
        parts = []
        for (family, stage), same in own.groupby(["family", "stage"], sort=False):
            row = same.iloc[0]
            parts.append(
                f"within {one_of(same['tolerance'])} {_named(family, stage)} at {100 * row['share']:.1f} % of the "
                f"bytes ({describe(row['interval'])}, {100 * row['kept']:.1f} % of the dense score)"
            )
        sentences.append(f"Smallest of all models of {encoder} on {dataset}, chosen on dev: {'; '.join(parts)}.")
    return " ".join(sentences) or "No model was compared with the dense one."


def _named(family: str, stage: str) -> str:
    if stage == DENSE:
        return "only the dense model"
    return f"the pipeline up to “{stage}”" if family == PIPELINE else f"“{stage}”"


def smallest_table(found: pd.DataFrame) -> pd.DataFrame:
    """`smallest_within` as it stands in a table."""
    return pd.DataFrame([
        {
            "encoder": row.encoder, "data set": row.dataset, "loss up to": row.tolerance, "family": row.family,
            "model": row.stage, "MB": row.bytes / 1e6, "of dense (%)": 100 * row.share,
            "parameters (%)": 100 * row.parameter_share, "score": give_or_take(row.interval, 1),
            "change": give_or_take(row.change, 1, sign="+"), "times faster": row.speed, "n": row.interval.n,
        }
        for row in found.itertuples()
    ])  # fmt: skip


def times_table(table: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """Milliseconds for a sentence by model and setting, and how many times faster than the dense model."""
    named = table[["identity", "stage", "family", "share", "parameter_share"]].drop_duplicates(["identity"])
    rows = times.merge(named, on="identity")
    wide = {}
    for (batch, threads), own in rows.groupby(["batch", "threads"], sort=False):
        dense = own.loc[own["stage"] == DENSE, "milliseconds"].iloc[0]
        title = f"batch {batch}, {count_of(threads, 'thread')}"
        by_stage = own.set_index("stage")
        wide[f"ms ({title})"] = by_stage["milliseconds"]
        wide[f"times faster ({title})"] = dense / by_stage["milliseconds"]
    about = rows.drop_duplicates("stage").set_index("stage")
    sizes = {"of dense (%)": 100 * about["share"], "times fewer parameters": 1 / about["parameter_share"]}
    return pd.DataFrame(sizes | wide).loc[about.index].rename_axis("model").reset_index()


def faster(table: pd.DataFrame, times: pd.DataFrame) -> str:
    """How much faster and smaller the end of the pipeline is than the dense model, beside what was claimed."""
    if times.empty:
        return "Nothing was timed."
    rows = times.merge(table[["identity", "stage", "family"]].drop_duplicates(["identity"]), on="identity")
    (encoder,) = rows["encoder"].unique()
    stages = [stage for stage in dict.fromkeys(table.loc[table["family"] == PIPELINE, "stage"])
              if stage in set(rows["stage"])]  # fmt: skip
    last, parts = stages[-1], []
    for (batch, threads), own in rows.groupby(["batch", "threads"], sort=False):
        dense, end = (own[own["stage"] == stage].iloc[0] for stage in (DENSE, last))
        ratio = dense["milliseconds"] / end["milliseconds"]
        parts.append(
            f"{ratio:.1f} times as fast at batch {batch} on {count_of(threads, 'thread')} ({end['milliseconds']:.2f} "
            f"against {dense['milliseconds']:.2f} ms for a sentence; noise floor {100 * dense['noise_floor']:.0f} %)"
        )
    sizes = table[(table["encoder"] == encoder) & (table["stage"] == last)]
    fewer, smaller = (1 / sizes[column].max() for column in ("parameter_share", "share"))
    kept = _kept(table[table["encoder"] == encoder], last)
    return (
        f"On this machine ({rows['device'].iloc[0]}) the end of the pipeline from {encoder} (“{last}”) is "
        f"{', '.join(parts)}, with {fewer:.1f} times fewer parameters in {smaller:.1f} times fewer bytes; it keeps "
        f"{kept}. XtremeDistil claims {MARK['time']} times as fast, in batches on a device of its own, with "
        f"{MARK['parameters']} times fewer parameters at {MARK['kept']} % of F1; the second paper gives no times. "
        "Ratios of times hold for one device and one start: the more of a large encoder there is to drop, the larger "
        "they can be."
    )


def _kept(table: pd.DataFrame, stage: str) -> str:
    rows = averaged(of_split(table, "test"))
    parts = []
    for dataset, own in rows[rows["family"] == PIPELINE].groupby("dataset", sort=False):
        dense, end = (own.loc[own["stage"] == name, "score"].mean() for name in (DENSE, stage))
        parts.append(f"{100 * end / (dense or np.nan):.1f} % of the dense score on {dataset}")
    return " and ".join(parts)
