"""Figures of the second paper's pipeline: sizes by stage, and scores over tokens, adapters, text and bytes."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from smaller.errors import SmallerError
from smaller.figures import base
from smaller.figures.base import COLOURS, GREY, LINES, MARKERS, styled
from smaller.findings.extreme import PIPELINE, averaged, front
from smaller.recipes import DENSE
from smaller.statistics import of_split

LINKED = (PIPELINE, "pruned", "cut", "distilled", "trimmed")
"""The families of X1 that are a series; the models of the others stand by themselves."""


@styled
def pipeline_diagram(table: pd.DataFrame, *, split: str = "test") -> np.ndarray:
    """The stages of the pipeline from top to bottom: a bar for the bytes, beside it the score (P2-F1).

    One encoder. Bars are labelled with parameters, bytes and share of the dense bytes; beside them stand seeds, means
    and t intervals, a marker for each data set. Returns the two axes.
    """
    rows = averaged(of_split(table, split))
    rows = _of_one_encoder(rows[rows["family"] == PIPELINE], "")
    sizes = rows.groupby("stage", sort=False)[["bytes", "share", "parameters"]].max()
    figure = Figure(figsize=(7, 0.9 + 0.42 * len(sizes)))
    bars, scores = axes = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    sns.barplot(sizes.assign(MB=sizes["bytes"] / 1e6).reset_index(), x="MB", y="stage", ax=bars, color=COLOURS[0],
                width=0.6, alpha=0.8, errorbar=None)  # fmt: skip
    told = [f" {one.parameters / 1e6:.2f} M, {one.bytes / 1e6:.1f} MB, {100 * one.share:.0f} %"
            for one in sizes.itertuples()]  # fmt: skip
    bars.bar_label(bars.containers[0], told, fontsize=6.5)
    bars.set(xlim=(0, 1.6 * sizes["bytes"].max() / 1e6), ylabel="")
    bars.grid(visible=False, axis="y")
    base.dots_mean_interval(scores, rows.assign(task=_tasks(rows)), x="score", y="stage", hue="task",
                            order=list(sizes.index))  # fmt: skip
    scores.set_xlabel("score (points)")
    base.legend_above(figure, axes)
    return axes


@styled
def vocabulary_curve(rows: pd.DataFrame) -> np.ndarray:
    """Score over the size of the vocabulary, a panel for each data set and a line for each language (P2-F2).

    `rows` are the stages that differ in their vocabulary alone, on one split. Returns the axes.
    """
    rows = _of_one_encoder(rows, "No vocabulary was trimmed in this table.")
    axes = _panels(rows.assign(name=rows["language"].map(base.language_name)), x="vocabulary", logarithmic=True)
    base.finish(axes, x="tokens in the vocabulary", y="score (points)")
    return axes


@styled
def score_at_bytes(table: pd.DataFrame) -> np.ndarray:
    """Score over the share of the dense bytes, a panel for each data set and a line for each family (X1).

    One encoder. Of each family stand the models that none of the family with as few bytes matches on the dev split,
    with their test scores: seeds, means and t intervals. Models that are no series have no line. Grey: the dense model.
    Returns the axes.
    """
    rows = _of_one_encoder(front(table), "No model was scored in this table.")
    dense = averaged(of_split(table[table["stage"] == DENSE], "test")).groupby("dataset")["score"].mean()
    small = rows[rows["stage"] != DENSE]
    axes = _panels(small.assign(name=small["family"], percent=100 * small["share"]), x="percent", bars=True,
                   linked=LINKED, level=dense, logarithmic=True)  # fmt: skip
    base.finish(axes, x="bytes (% of the dense model's)", y="score (points)")
    return axes


@styled
def adapter_curve(rows: pd.DataFrame) -> np.ndarray:
    """Score over the parameters of the adapters, a panel for each data set and a line for each frozen stage (P2-F3).

    `rows` are what `findings.extreme_curves.adapter_curve` gives, of one encoder. The dotted line in the same colour is
    full fine-tuning of the same stage. Returns the axes.
    """
    keys = ["encoder", "dataset", "task", "metric", "stage", "size", "seed"]
    rows = _of_one_encoder(rows, "No adapter was trained in this table.")
    rows = rows.groupby(keys, sort=False, as_index=False)[["score", "full"]].mean()
    axes = _panels(rows.assign(name=rows["stage"] + ", adapters"), x="size", bars=True, logarithmic=True)
    for panel, (_, own) in zip(axes, rows.groupby("dataset", sort=False), strict=True):
        for number, (stage, line) in enumerate(own.groupby("stage", sort=False)):
            panel.axhline(line.groupby("seed")["full"].first().mean(), color=COLOURS[number], linewidth=0.8,
                          linestyle=":", label=f"{stage}, full fine-tuning")  # fmt: skip
    base.finish(axes, x="parameters of the adapters", y="score (points)")
    return axes


@styled
def drop_and_text(found: pd.DataFrame) -> np.ndarray:
    """What the pipeline loses over the lines of text of each language, a panel for each data set (P2-F5).

    `found` is what `findings.extreme_curves.drops` gives, of one encoder. Returns the axes.
    """
    rows = _of_one_encoder(found, "No language has a score to lose in this table.")
    zero = pd.Series(0.0, index=rows["dataset"].unique())
    rows = rows.assign(name="mean over seeds")
    axes = _panels(rows, x="amount", y="lost", bars=True, clip=False, linked=(), level=zero)
    for panel, (_, own) in zip(axes, rows.groupby("dataset", sort=False), strict=True):
        for language, seeds in own.groupby("language", sort=False):
            panel.annotate(base.language_name(language), (seeds["amount"].iloc[0], seeds["lost"].mean()), xytext=(5, 3),
                           textcoords="offset points", fontsize=6.5)  # fmt: skip
        panel.margins(x=0.3)
        panel.ticklabel_format(axis="x", style="plain")
    base.finish(axes, x="lines of text", y="score lost (% of the dense score)")
    return axes


def _panels(
    rows: pd.DataFrame, *, x: str, y: str = "score", linked: Collection[str] | None = None,
    level: pd.Series | None = None, logarithmic: bool = False, **look: bool,
) -> np.ndarray:  # fmt: skip
    """A panel for each data set, with a series for each `name`; those of `linked` (or all) have a line.

    `level` is the height of the dense model's line by data set. Series from the seventh on are grey.
    """
    axes = base.new_axes(rows["dataset"].nunique(), height=3.2)
    names = list(dict.fromkeys(rows["name"]))
    for panel, (dataset, own) in zip(axes, rows.groupby("dataset", sort=False), strict=True):
        panel.set_title(_tasks(own).iloc[0])
        if level is not None:
            panel.axhline(level[dataset], color=GREY, linewidth=1, zorder=0.9, label=DENSE)
        for number, name in enumerate(names):
            line = LINES[number % len(LINES)] if linked is None or name in linked else ""
            base.curve(panel, own[own["name"] == name], x=x, y=y, percent=False, label=name, linestyle=line,
                       color=COLOURS[number] if number < len(COLOURS) else GREY,
                       marker=(*MARKERS, "X", "p", "h", "<")[number % 10], **look)  # fmt: skip
        if logarithmic:
            base.in_steps(panel.xaxis)
    return axes


def _of_one_encoder(rows: pd.DataFrame, nothing: str) -> pd.DataFrame:
    if rows.empty:
        raise SmallerError(nothing)
    encoders = sorted(set(rows["encoder"]))
    if len(encoders) != 1:
        raise SmallerError(f"This figure is of one encoder, and the rows hold {', '.join(encoders)}; filter the table "
                           "first.")  # fmt: skip
    return rows


def _tasks(rows: pd.DataFrame) -> pd.Series:
    return rows["task"] + ", " + rows["dataset"] + " (" + rows["metric"] + ")"
