"""Figures of whole models: dense F1 by language, and F1 over size."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from smaller.figures.base import COLOURS, GREY, MARKERS, language_name, legend_above, new_axes, styled
from smaller.statistics import AVERAGE, language_average, of_split, one_kind, t_interval


@styled
def dense_f1(
    table: pd.DataFrame, published: pd.DataFrame | None = None, *, axes: Axes | None = None, split: str = "test"
) -> Axes:
    """F1 of the dense encoders, a row for each language, with published baselines as hollow markers.

    Filled markers are means over seeds with t intervals, dots single seeds. `published` has the columns of
    `smaller.published.published()`; its rows become one marker shape each.
    """
    dense = one_kind(of_split(table, split).query("order == 'dense'"), "dataset")
    dense = pd.concat([dense, language_average(dense)]) if dense["language"].nunique() > 1 else dense
    means = dense.groupby("language")["f1"].mean().sort_values()
    codes = [code for code in means.index if code != AVERAGE]
    codes = ([AVERAGE] if AVERAGE in means.index else []) + codes
    encoders = list(dict.fromkeys(dense["encoder"]))
    baselines = {} if published is None else dict(zip(published["row"], published["encoder"], strict=True))
    others = any(encoder not in encoders for encoder in baselines.values())
    lines = len(encoders) + others
    offset = {encoder: 0.33 * (lines - 1 - 2 * number) / max(lines, 2) for number, encoder in enumerate(encoders)}
    axes = axes or new_axes(1, height=0.9 + 0.13 * len(codes) * (0.8 + lines))[0]
    for number, encoder in enumerate(encoders):
        look = {"color": COLOURS[number % 6], "marker": MARKERS[number % 6]}
        for place, code in enumerate(codes):
            seeds = dense.loc[(dense["encoder"] == encoder) & (dense["language"] == code), "f1"]
            y, interval = place + offset[encoder], t_interval(seeds)
            axes.plot(seeds, np.full(len(seeds), y), ".", color=look["color"], alpha=0.35, markersize=4, zorder=1)
            axes.plot([interval.low, interval.high], [y, y], color=look["color"], linewidth=1)
            axes.plot(interval.mean, y, linestyle="", markersize=4.5, label=encoder, **look)
    for number, (row, encoder) in enumerate(baselines.items()):
        values = published[published["row"] == row].set_index("language")["value"]
        known = encoder in encoders
        style = encoders.index(encoder) if known else number
        axes.plot(
            [values.get(code, math.nan) for code in codes],
            [place + offset.get(encoder, -0.33 * (lines - 1) / max(lines, 2)) for place in range(len(codes))],
            linestyle="",
            marker=MARKERS[style % 6],
            markersize=6.5,
            markerfacecolor="none",
            color=COLOURS[style % 6] if known else GREY,
            label=f"{row}, published",
        )
    for place in range(1, len(codes), 2):
        axes.axhspan(place - 0.5, place + 0.5, color=GREY, alpha=0.05, linewidth=0, zorder=0)
    axes.grid(visible=False, axis="y")
    axes.set_yticks(range(len(codes)), [language_name(code) for code in codes])
    axes.set_ylim(-0.6, len(codes) - 0.4)
    axes.set_xlabel("F1 (points)")
    legend_above(axes.figure, [axes])
    return axes


@styled
def size_and_f1(table: pd.DataFrame, *, axes: Axes | None = None, split: str = "test") -> Axes:
    """F1 over size in MB, two points for each label: hollow as dense tensors on disk, filled after compression.

    Means over languages and seeds of each label; faint dots are single seeds.
    """
    rows = of_split(table, split)
    kinds = rows.groupby("label", sort=False)
    axes = axes or new_axes(1, height=3.6)[0]
    for number, (label, own) in enumerate(kinds):
        row = own[["f1", "dense_bytes", "compressed_bytes"]].mean()
        sizes = [row["dense_bytes"] / 1e6, row["compressed_bytes"] / 1e6]
        colour, marker = COLOURS[number % 6], MARKERS[number % 6]
        runs = own.groupby("seed")["f1"].mean()
        axes.plot(np.full(len(runs), sizes[1]), runs, ".", color=colour, alpha=0.35, markersize=4, zorder=1)
        axes.plot(sizes, [row["f1"]] * 2, color=colour, linewidth=1, alpha=0.5, zorder=1)
        axes.plot(sizes[0], row["f1"], marker, color=colour, markersize=7, markerfacecolor="white")
        axes.plot(sizes[1], row["f1"], marker, color=colour, markersize=7, label=label)
    axes.plot([], [], "o", color=GREY, markersize=7, markerfacecolor="white", label="hollow: dense tensors")
    axes.plot([], [], "o", color=GREY, markersize=7, label="filled: after compression")
    axes.set_xlim(left=0)
    axes.margins(y=0.12)
    axes.set(xlabel="size (MB)", ylabel="F1 (points)")
    legend_above(axes.figure, [axes])
    return axes
