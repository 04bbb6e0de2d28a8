"""Answers on the second paper's pipeline: what each stage saves and costs, its ablations, and X1.

`table` is what `by_stage` makes of the tidy tables of a study. Scores are the main one of each task, in points.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from smaller.encoders import TRAINED
from smaller.errors import SmallerError
from smaller.findings.cells import give_or_take, in_points, share, with_unit
from smaller.findings.comparisons import compared, verdicts
from smaller.recipes import DENSE
from smaller.statistics import Interval, describe, of_split, paired_difference, t_interval

PIPELINE = "pipeline"
"""The family of the pipeline's own stages; other families are single techniques (X1), and the two that follow."""

SIZES, ORDERS = "pipeline, other sizes", "pipeline, other orders"
"""The whole pipeline at other sizes, and its stages in another order or with some left out."""

TAUGHT = "taught on the task"
"""Students as small as the pipeline's that learn from a fine-tuned model, on its task and on text without labels."""


def by_stage(tables: Mapping[str, pd.DataFrame], *, family: str = PIPELINE) -> pd.DataFrame:
    """One table of several, whose names are stages: with `stage`, `family`, `bytes`, and `share` of the dense bytes.

    `bytes` is what a model takes: as it is held in memory, or for masked weights a bitmap and those that are left.
    Raises SmallerError where nothing was run, or no dense model.
    """
    parts = [rows.assign(stage=stage, family=family) for stage, rows in tables.items() if len(rows)]
    if not parts:
        raise SmallerError("None of these recipes has been run: there is nothing to compare.")
    whole = pd.concat(parts, ignore_index=True)
    bitmap = 4 * whole["nonzero_parameters"] + whole["parameters"] / 8
    masked = (whole["sparsity"] > 0) & (whole["form"] == TRAINED)
    return whole.assign(bytes=np.where(masked, np.minimum(bitmap, whole["dense_bytes"]), whole["dense_bytes"]))


def with_shares(*tables: pd.DataFrame) -> pd.DataFrame:
    """Tables of several families as one, each row with its `share` of the dense model's bytes and parameters.

    Raises SmallerError where an encoder has no dense model.
    """
    whole = pd.concat(tables, ignore_index=True)
    keys = ["encoder", "dataset"]
    dense = whole[whole["stage"] == DENSE].groupby(keys)[["bytes", "parameters"]].first()
    missing = sorted(set(map(tuple, whole[keys].to_numpy())) - set(dense.index))
    if missing:
        raise SmallerError(f"There is no dense model of {missing[0][0]} on {missing[0][1]} to compare with: add it.")
    both = whole.join(dense.add_suffix("_dense"), on=keys)
    return whole.assign(share=both["bytes"] / both["bytes_dense"],
                        parameter_share=both["parameters"] / both["parameters_dense"])  # fmt: skip


def averaged(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores as means over languages, a row for each stage, data set and seed; seeds that lack a language are left out.

    Sizes are those of the largest language: trimming to a share of the text leaves some with more pieces.
    """
    keys = ["family", "encoder", "dataset", "stage", "seed"]
    languages = rows.groupby(["encoder", "dataset"])["language"].transform("nunique")
    groups = rows.assign(_wanted=languages).groupby(keys, sort=False)
    found = groups.agg(score=("score", "mean"), bytes=("bytes", "max"), share=("share", "max"),
                       parameters=("parameters", "max"), parameter_share=("parameter_share", "max"),
                       task=("task", "first"), metric=("metric", "first"), _languages=("language", "nunique"),
                       _wanted=("_wanted", "first"))  # fmt: skip
    return found[found["_languages"] == found["_wanted"]].drop(columns=["_languages", "_wanted"]).reset_index()


def per_step(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Each stage of the pipeline: size, and for each task the score and its change against the dense model (P2-T1).

    Means over seeds of averages over languages ± half their t intervals; changes are paired by seed.
    """
    rows = averaged(of_split(table, split))
    rows = rows[rows["family"] == PIPELINE]
    found = []
    for (encoder, stage), own in rows.groupby(["encoder", "stage"], sort=False):
        about = {"encoder": encoder, "stage": stage, "parameters (M)": own["parameters"].max() / 1e6,
                 "MB": own["bytes"].max() / 1e6, "of dense (%)": 100 * own["share"].max()}  # fmt: skip
        for dataset, scores in own.groupby("dataset", sort=False):
            name = f"{scores['task'].iloc[0]}, {dataset}"
            about[f"{name} ({scores['metric'].iloc[0]})"] = give_or_take(t_interval(scores["score"]), 1)
            change = _change(rows[(rows["encoder"] == encoder) & (rows["dataset"] == dataset)], stage, DENSE)
            about[f"{name}: change"] = "" if stage == DENSE else give_or_take(change, 1, sign="+")
        found.append(about | {"n": own.groupby("dataset").size().min()})
    return pd.DataFrame(found)


def _change(rows: pd.DataFrame, stage: str, other: str) -> Interval:
    """The score of a stage minus another's, paired by seed."""
    one, two = (rows[rows["stage"] == name].set_index("seed")["score"] for name in (stage, other))
    both = pd.concat([one, two], axis=1, keys=["one", "two"]).dropna()
    return paired_difference(both["one"], both["two"])


def in_the_end(table: pd.DataFrame, *, split: str = "test") -> str:
    """What the whole pipeline leaves of the bytes and of each task's score, and which stage costs most."""
    rows = averaged(of_split(table, split))
    sentences = []
    for (encoder, dataset), own in rows[rows["family"] == PIPELINE].groupby(["encoder", "dataset"], sort=False):
        stages = list(dict.fromkeys(own["stage"]))
        last = own[own["stage"] == stages[-1]]
        if len(stages) < 2:
            continue
        dense = t_interval(own.loc[own["stage"] == DENSE, "score"])
        steps = {stage: _change(own, stage, before) for before, stage in itertools.pairwise(stages)}
        worst = min(steps, key=lambda stage: steps[stage].mean)
        before, after = (own.loc[own["stage"] == stage, "bytes"].max() / 1e6 for stage in (DENSE, stages[-1]))
        sentences.append(
            f"{encoder}, {last['task'].iloc[0]} ({dataset}): {len(stages) - 1} stages leave "
            f"{100 * last['share'].max():.1f} % of the bytes ({after:.1f} of {before:.1f} MB) and "
            f"{share(last['score'].mean() / (dense.mean or np.nan))} of the score, "
            f"{describe(t_interval(last['score']))} against {describe(dense)}. The stage that costs most is "
            f"{worst}, {with_unit(steps[worst], 'points')}."
        )
    return " ".join(sentences) or "The pipeline was not measured."


def costliest(table: pd.DataFrame, *, split: str = "test") -> str:
    """Which stage of the pipeline costs most on each data set, in few words; the table is of one encoder."""
    rows, parts = averaged(of_split(table, split)), []
    for dataset, own in rows[rows["family"] == PIPELINE].groupby("dataset", sort=False):
        stages = list(dict.fromkeys(own["stage"]))
        steps = {stage: _change(own, stage, before).mean for before, stage in itertools.pairwise(stages)}
        if steps:
            worst = min(steps, key=steps.get)
            parts.append(f"“{worst}” ({steps[worst]:+.1f} points on {dataset})")
    return f"What costs most is {', '.join(parts)}." if parts else ""


def ablations(table: pd.DataFrame, variants: Mapping[str, pd.DataFrame], *, stage: str) -> pd.DataFrame:
    """Each question's variant against the pipeline at `stage`: numbered rows with the paired difference and a verdict.

    `variants` are tables by question. Differences are the variant's score minus the pipeline's on the test split,
    paired by language and seed, p after Holm (P2-T2, T21).
    """
    rows = of_split(table, "test")
    base = rows[(rows["family"] == PIPELINE) & (rows["stage"] == stage)]
    found = []
    for question, variant in variants.items():
        for dataset in dict.fromkeys(base["dataset"]):
            tested = variant[(variant["split"] == "test") & (variant["dataset"] == dataset)]
            own = base[base["dataset"] == dataset]
            difference, test = compared(tested.assign(f1=tested["score"]), own.assign(f1=own["score"]),
                                        keys=["encoder", "dataset"])  # fmt: skip
            found.append({"question": question, "dataset": dataset, "parameters": tested["parameters"].max(),
                          "difference": difference, "p_value": test.p_value})  # fmt: skip
    judged = verdicts(found)
    return judged.assign(number=range(1, len(judged) + 1))


def at_equal_bytes(table: pd.DataFrame, shares: Sequence[float]) -> pd.DataFrame:
    """For each family and each share of the dense bytes the best model that takes no more (X1), columns as below.

    `stage`, `interval` (test score over seeds), `share` and `kept` (of the dense score), by `encoder`, `dataset`,
    `family` and `at`. The choice is made on the dev split; where no model is so small, `stage` is empty.
    """
    dev, test = (averaged(of_split(table, split)) for split in ("dev", "test"))
    found = []
    for (encoder, dataset), own in test.groupby(["encoder", "dataset"], sort=False):
        chosen = dev[(dev["encoder"] == encoder) & (dev["dataset"] == dataset)]
        dense = own.loc[own["stage"] == DENSE, "score"].mean() or np.nan
        for family, at in itertools.product(dict.fromkeys(own["family"]), shares):
            small = chosen[(chosen["family"] == family) & (chosen["share"] <= at)]
            about = {"encoder": encoder, "dataset": dataset, "family": family, "at": at}
            if small.empty:
                nothing = {"stage": "", "interval": t_interval([]), "share": np.nan, "kept": np.nan}
                found.append(about | nothing)
                continue
            best = small.groupby("stage", sort=False)["score"].mean().idxmax()
            model = own[(own["family"] == family) & (own["stage"] == best)]
            found.append(about | {"stage": best, "interval": t_interval(model["score"]), "share": model["share"].max(),
                                  "kept": model["score"].mean() / dense})  # fmt: skip
    return pd.DataFrame(found)


def equal_bytes_in_words(found: pd.DataFrame) -> str:
    """Which family has the best model at each share of the bytes, and which comes next."""
    sentences = []
    for (encoder, dataset), shares in found.groupby(["encoder", "dataset"], sort=False):
        parts = []
        for at, own in shares.groupby("at", sort=False):
            there = own[own["stage"] != ""].assign(mean=lambda rows: [interval.mean for interval in rows["interval"]])
            if there.empty:
                parts.append(f"at {100 * at:g} % there is no model")
                continue
            best, *others = there.sort_values("mean", ascending=False).itertuples()
            parts.append(
                f"at {100 * at:g} % of the bytes {best.family} is ahead ({best.stage}) with {describe(best.interval)} "
                f"({100 * best.kept:.1f} % of the dense score), "
                + (f"then {others[0].family} with {others[0].mean:.1f}" if others else "and nothing else is so small")
            )
        sentences.append(f"{encoder} on {dataset}: {'; '.join(parts)}.")
    return " ".join(sentences)


def best_families(found: pd.DataFrame) -> str:
    """The best family at each share of the bytes, in few words."""
    parts = []
    for (dataset, at), own in found.groupby(["dataset", "at"], sort=False):
        there = own[own["stage"] != ""]
        if len(there):
            best = max(there.itertuples(), key=lambda row: row.interval.mean)
            parts.append(f"at {100 * at:g} % on {dataset}, {best.family}")
    return f"Best {'; '.join(parts)}." if parts else "No model is so small."


def equal_bytes_table(found: pd.DataFrame) -> pd.DataFrame:
    """`at_equal_bytes` as it stands in a table: a row for each family, a column for each share of the bytes."""
    cells = [f"{give_or_take(row.interval, 1)} ({row.stage})" if row.stage else "–" for row in found.itertuples()]
    told = found.assign(cell=cells, column=[f"{100 * at:g} % of the bytes" for at in found["at"]])
    keys = ["encoder", "dataset", "family"]
    wide = told.pivot(index=keys, columns="column", values="cell")[list(dict.fromkeys(told["column"]))]
    return wide.loc[list(dict.fromkeys(map(tuple, told[keys].to_numpy())))].rename_axis(columns=None).reset_index()


def vocabulary_curve(table: pd.DataFrame, stages: Iterable[str], *, split: str = "test") -> pd.DataFrame:
    """The stages that differ in their pieces alone, with the pieces as column (P2-F2); rows as in the table."""
    rows = of_split(table, split)
    return rows[rows["stage"].isin(list(stages))].assign(pieces=rows["vocabulary"])


def vocabulary_in_words(curve: pd.DataFrame) -> str:
    """What each number of pieces costs against the whole vocabulary, on average over languages, paired by seed."""
    sentences = []
    for (encoder, dataset), own in curve.groupby(["encoder", "dataset"], sort=False):
        means = own.groupby(["stage", "seed"], sort=False).agg(pieces=("pieces", "max"), score=("score", "mean"))
        sizes = means["pieces"].groupby("stage").max().sort_values(ascending=False)
        whole, *others = sizes.index
        parts = [
            f"{sizes[stage]:,.0f} pieces change the score by "
            f"{in_points(paired_difference(*_paired(means['score'], stage, whole)))}"
            for stage in others
        ]
        if parts:
            sentences.append(f"{encoder} on {dataset}: against all {sizes[whole]:,.0f}, {'; '.join(parts)}.")
    return " ".join(sentences) or "The vocabulary was not trimmed."


def _paired(scores: pd.Series, one: str, two: str) -> tuple[pd.Series, pd.Series]:
    both = pd.concat([scores.loc[one], scores.loc[two]], axis=1, keys=["one", "two"]).dropna()
    return both["one"], both["two"]
