"""What was measured of each model's cost, as tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from smaller.base.errors import SmallerError
from smaller.study import results
from smaller.study.kinds import is_whole
from smaller.study.recipes import Recipe
from smaller.study.timing.latency import entries

COLUMNS = tuple(
    """identity label encoder form language seed batch threads milliseconds milliseconds_low milliseconds_high
    end_to_end_milliseconds noise_floor sentences_per_second seconds_per_split memory_bytes dense_bytes disk_bytes
    shipped_bytes device""".split()
)
"""The columns of the table of settings, one row for each recipe and setting."""


def settings_table(recipes: Iterable[Recipe], *, device_type: str = "cpu") -> pd.DataFrame:
    """Cost by setting, one row for each recipe and setting that it was timed in; the columns are `COLUMNS`.

    Times are for a sentence: `milliseconds` of the network, from token ids to logits, and `end_to_end_milliseconds`
    from text to labels. `seconds_per_split` is a pass over the whole test split; `sentences_per_second` comes from
    the milliseconds. `memory_bytes` and `disk_bytes` are what `weigh` found. What was not measured is NaN.
    Raises SmallerError rather than put into one column what was not measured on one device, or not in one run where
    encoder, language and seed are the same.
    """
    records = list(results.done(recipes))
    shared = Counter(group for record in records for group in {entry["group"] for entry in entries(record)})
    rows, runs = [], {}
    for record in records:
        found = [entry for entry in entries(record) if entry["device_type"] == device_type]
        if found:
            # The run that most of these recipes were in, and of such runs the latest.
            group = max(found, key=lambda entry: (shared[entry["group"]], entry["date"]))["group"]
            about = results.table([record]).iloc[-1]
            runs.setdefault((about["encoder"], about["language"], about["seed"]), set()).add(group)
            rows += [_row(about, record["cost"], entry) for entry in found if entry["group"] == group]
    for (encoder, language, seed), groups in runs.items():
        if len(groups) > 1:
            raise SmallerError(
                f"The models of {encoder}, {language}, seed {seed} were timed in {len(groups)} runs, "
                "which cannot be compared. Time them in one call of time_side_by_side."
            )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    devices = sorted(set(table["device"]))
    if len(devices) > 1:
        raise SmallerError(
            f"These times are of {len(devices)} devices ({'; '.join(devices)}), and times of different "
            "devices are not compared. Ask for the recipes of one of them."
        )
    return table


def _row(about: pd.Series, costs: Mapping, entry: Mapping) -> dict:
    memory = {(found["device_type"], found["batch"]): found["memory_bytes"] for found in costs.get("memory", ())}
    return {
        **about,
        **entry,
        "milliseconds_low": entry["low"],
        "milliseconds_high": entry["high"],
        "end_to_end_milliseconds": entry.get("end_to_end_milliseconds", math.nan),
        "sentences_per_second": 1000 / entry["milliseconds"],
        "seconds_per_split": entry["seconds_per_split"] or math.nan,
        "memory_bytes": memory.get((entry["device_type"], entry["batch"]), math.nan),
        "disk_bytes": costs.get("disk_bytes", math.nan),
    }


def shares(records: Sequence[dict], field: str) -> dict[str, float]:
    """Time as a share of the dense model's in the same run, one sentence on one thread; a mean over several runs."""
    # fp32 is the format of the uncompressed model.
    steps = {record["identity"]: record["recipe"]["steps"] for record in records}
    whole = {name: is_whole([step for step in own if step.get("form") != "fp32"]) for name, own in steps.items()}
    timed = pd.DataFrame(
        [
            (record["identity"], entry["group"], entry.get(field), whole[record["identity"]])
            for record in records
            for entry in entries(record)
            if (entry["batch"], entry["threads"], entry["device_type"]) == (1, 1, "cpu")
        ],
        columns=["identity", "group", "time", "dense"],
    ).astype({"time": float, "dense": bool})  # where nothing was timed, too
    dense = timed[timed["dense"]].groupby("group")["time"].first()
    return (timed["time"] / timed["group"].map(dense)).groupby(timed["identity"]).mean().dropna().to_dict()


def kernel_times(recipes: Iterable[Recipe]) -> pd.DataFrame:
    """The dense and the sparse kernel's times of recipes that have both, one row for each recipe and kernel."""
    rows = []
    for record in results.done(recipes):
        timing = record["cost"]["latency"]
        if timing and timing["sparse_kernel"]:
            for kernel, found in (("dense", timing), ("sparse", timing["sparse_kernel"])):
                times = [found[name] for name in ("milliseconds", "low", "high")]
                rows.append([record["cost"]["achieved_sparsity"], kernel, *times, timing["noise_floor"]])
    columns = "sparsity kernel milliseconds milliseconds_low milliseconds_high noise_floor"
    return pd.DataFrame(rows, columns=columns.split())


def bytes_by_part(recipes: Iterable[Recipe]) -> pd.DataFrame:
    """Bytes in memory by format and part (columns form, part, bytes), from the first record of each format."""
    steps = [step for record in results.done(recipes) for step in record["steps"]]
    reports = [(step["form"], step["report"]["bytes_after"]) for step in steps if step["step"] == "Quantize"]
    rows = [(form, part, size) for form, sizes in reports for part, size in sizes.items()]
    return pd.DataFrame(rows, columns=["form", "part", "bytes"]).drop_duplicates(["form", "part"], ignore_index=True)


def outliers(recipes: Iterable[Recipe]) -> pd.DataFrame:
    """The outliers that LLM.int8() met: shares of the inputs of Linear layers, and the largest magnitude."""
    found = []
    for record in results.done(recipes):
        step = record["steps"][-1]
        if met := step.get("report", {}).get("outliers"):
            found.append({"identity": record["identity"], "threshold": step["threshold"]} | met)
    return pd.DataFrame(found, columns=["identity", "threshold", "columns", "values", "largest"])
