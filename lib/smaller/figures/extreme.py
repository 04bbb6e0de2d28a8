"""Figures of the second paper's pipeline: sizes by stage, and scores over pieces, adapters, text and bytes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from smaller.errors import SmallerError
from smaller.figures.base import COLOURS, GREY, LINES, MARKERS, finish, language_name, legend_above, new_axes, styled
from smaller.findings.extreme import ORDERS, PIPELINE, SIZES, TAUGHT, averaged
from smaller.recipes import DENSE
from smaller.statistics import of_split, t_interval


@styled
def pipeline_diagram(table: pd.DataFrame, *, split: str = "test") -> np.ndarray:
    """The stages of the pipeline from top to bottom: a bar for the bytes, beside it the score (P2-F1).

    One encoder. Bars are labelled with parameters and bytes, points are means over seeds with t intervals, one marker
    for each data set. Returns the two axes.
    """
    rows = averaged(of_split(table, split))
    rows = _of_one_encoder(rows[rows["family"] == PIPELINE])
    stages = list(dict.fromkeys(rows["stage"]))
    figure = Figure(figsize=(7, 0.9 + 0.42 * len(stages)))
    sizes, scores = axes = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    for place, stage in enumerate(stages):
        own = rows[rows["stage"] == stage]
        megabytes = own["bytes"].max() / 1e6
        sizes.barh(place, megabytes, height=0.6, color=COLOURS[0], alpha=0.8)
        text = f" {own['parameters'].max() / 1e6:.2f} M, {megabytes:.1f} MB, {100 * own['share'].max():.0f} %"
        sizes.annotate(text, (megabytes, place), va="center", fontsize=6.5)
    sizes.set_yticks(range(len(stages)), stages)
    sizes.set_xlim(0, 1.55 * rows["bytes"].max() / 1e6)
    sizes.invert_yaxis()
    sizes.grid(visible=False, axis="y")
    sizes.set_xlabel("MB")
    for number, (dataset, own) in enumerate(rows.groupby("dataset", sort=False)):
        look = {"color": COLOURS[(number + 1) % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)],
                "linestyle": LINES[number % len(LINES)]}  # fmt: skip
        intervals = [t_interval(own.loc[own["stage"] == stage, "score"]) for stage in stages]
        scores.plot([interval.mean for interval in intervals], range(len(stages)), label=_of_task(own, dataset), **look)
        for place, interval in enumerate(intervals):
            scores.plot([interval.low, interval.high], [place, place], color=look["color"], linewidth=1)
        scores.plot(own["score"], own["stage"].map(stages.index), ".", color=look["color"], alpha=0.4, markersize=4)
    scores.set_xlabel("score (points)")
    legend_above(figure, axes)
    return axes


@styled
def vocabulary_curve(rows: pd.DataFrame) -> np.ndarray:
    """Score over the number of pieces, a panel for each data set and a line for each language (P2-F2).

    `rows` are what `findings.extreme.vocabulary_curve` gives. Dots are seeds, bands t intervals. Returns the axes.
    """
    if rows.empty:
        raise SmallerError("No vocabulary was trimmed in this table.")
    datasets = list(dict.fromkeys(rows["dataset"]))
    axes = new_axes(len(datasets), height=3.0)
    for panel, dataset in zip(axes, datasets, strict=True):
        own = rows[rows["dataset"] == dataset]
        for number, (language, line) in enumerate(own.groupby("language")):
            _line(panel, line, x="pieces", number=number, label=language)
        panel.set_title(_of_task(own, dataset))
        _logarithmic(panel, own["pieces"])
    finish(axes, x="pieces in the vocabulary", y="score (points)")
    return axes


@styled
def score_at_bytes(table: pd.DataFrame, *, split: str = "test") -> np.ndarray:
    """Score over the share of the dense bytes, a panel for each data set and a line for each family (X1).

    One encoder; means over languages and seeds with t intervals over seeds; other sizes and orders of the pipeline,
    and students that are taught on the task, as points without a line. Grey: the dense model. Returns the axes.
    """
    rows = _of_one_encoder(averaged(of_split(table, split)))
    datasets = list(dict.fromkeys(rows["dataset"]))
    axes = new_axes(len(datasets), height=3.4)
    for panel, dataset in zip(axes, datasets, strict=True):
        own = rows[rows["dataset"] == dataset].assign(percent=lambda found: 100 * found["share"])
        panel.axhline(own.loc[own["stage"] == DENSE, "score"].mean(), color=GREY, linewidth=1, label=DENSE, zorder=0.9)
        for number, (family, line) in enumerate(own[own["stage"] != DENSE].groupby("family", sort=False)):
            _line(panel, line, x="percent", number=number, label=family, linked=family not in (SIZES, ORDERS, TAUGHT))
        panel.set_title(_of_task(own, dataset))
        _logarithmic(panel, own["percent"])
    finish(axes, x="bytes (% of the dense model's)", y="score (points)")
    return axes


@styled
def adapter_curve(rows: pd.DataFrame) -> np.ndarray:
    """Score over the parameters of the adapters, a panel for each data set and a line for each frozen stage (P2-F3).

    `rows` are what `findings.extreme_curves.adapter_curve` gives, of one encoder. Dots are seeds, bars t intervals;
    the thin line in the same colour is full fine-tuning of the same stage. Returns the axes.
    """
    if rows.empty:
        raise SmallerError("No adapter was trained in this table.")
    rows = _of_one_encoder(rows)
    datasets = list(dict.fromkeys(rows["dataset"]))
    axes = new_axes(len(datasets), height=3.0)
    for panel, dataset in zip(axes, datasets, strict=True):
        own = rows[rows["dataset"] == dataset]
        for number, (stage, line) in enumerate(own.groupby("stage", sort=False)):
            full = line.groupby("seed")["full"].first().mean()
            panel.axhline(full, color=COLOURS[number], linewidth=0.8, linestyle=":", label=f"{stage}, full fine-tuning")
            _line(panel, line, x="size", number=number, label=f"{stage}, adapters")
        panel.set_title(_of_task(own, dataset))
        _logarithmic(panel, own["size"])
    finish(axes, x="parameters of the adapters", y="score (points)")
    return axes


@styled
def drop_and_text(found: pd.DataFrame) -> np.ndarray:
    """What the pipeline loses over the lines of text of each language, a panel for each data set (P2-F5).

    `found` is what `findings.extreme_curves.drops` gives, of one encoder; dots are seeds, large markers means with t
    intervals, one for each language. Returns the axes.
    """
    rows = _of_one_encoder(found)
    datasets = list(dict.fromkeys(rows["dataset"]))
    axes = new_axes(len(datasets), height=3.0)
    for panel, dataset in zip(axes, datasets, strict=True):
        own = rows[rows["dataset"] == dataset]
        panel.axhline(0, color=GREY, linewidth=1, zorder=0.9, label=DENSE)
        for language, seeds in own.groupby("language", sort=False):
            interval, place = t_interval(seeds["lost"]), seeds["amount"].iloc[0]
            panel.plot(seeds["amount"], seeds["lost"], ".", color=COLOURS[0], alpha=0.35, markersize=4)
            panel.plot([place, place], [interval.low, interval.high], color=COLOURS[0], linewidth=1)
            panel.plot(place, interval.mean, MARKERS[0], color=COLOURS[0], markersize=5, label="mean over seeds")
            panel.annotate(language_name(language), (place, interval.mean), xytext=(5, 3), textcoords="offset points",
                           fontsize=6.5)  # fmt: skip
        panel.set_title(_of_task(own, dataset))
        panel.margins(x=0.3)
        panel.ticklabel_format(axis="x", style="plain")
    finish(axes, x="lines of text", y="score lost (% of the dense score)")
    return axes


def _line(axes: Axes, rows: pd.DataFrame, *, x: str, number: int, label: str, linked: bool = True) -> None:
    """Means with t intervals as a line, or where they are no series as points; seeds as dots.

    Models of one size to the per cent are one point each. Lines from the seventh on are grey and hollow.
    """
    keys = [x, "stage"] if "stage" in rows else [x]
    look = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)],
            "linestyle": LINES[number % len(LINES)] if linked else ""}  # fmt: skip
    if number >= len(COLOURS):
        look |= {"color": GREY, "markerfacecolor": "white"}
    points = sorted((key[0], t_interval(own["score"])) for key, own in rows.groupby(keys))
    axes.plot(rows[x], rows["score"], ".", color=look["color"], alpha=0.35, markersize=4, zorder=1.5)
    axes.plot([place for place, _ in points], [interval.mean for _, interval in points], label=label, **look)
    for place, interval in points:
        axes.plot([place, place], [interval.low, interval.high], color=look["color"], linewidth=1)


def _logarithmic(axes: Axes, values: pd.Series) -> None:
    axes.set_xscale("log")
    ticks = sorted({float(f"{value:.2g}") for value in np.geomspace(values.min(), values.max(), 5)})
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _of_one_encoder(rows: pd.DataFrame) -> pd.DataFrame:
    encoders = sorted(set(rows["encoder"]))
    if len(encoders) != 1:
        raise SmallerError(f"This figure is of one encoder, and the rows hold {', '.join(encoders) or 'none'}; filter "
                           "the table first.")  # fmt: skip
    return rows


def _of_task(rows: pd.DataFrame, dataset: str) -> str:
    return f"{rows['task'].iloc[0]}, {dataset} ({rows['metric'].iloc[0]})"
