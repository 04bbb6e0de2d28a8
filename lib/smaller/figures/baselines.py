"""Figures of whole models: dense F1 by language, and F1 over size."""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.axes import Axes

from smaller.figures.base import (
    COLOURS,
    GREY,
    MARKERS,
    bounds,
    dots_mean_interval,
    language_name,
    legend_above,
    new_axes,
    styled,
)
from smaller.statistics import AVERAGE, language_average, of_split, one_kind


@styled
def dense_f1(
    table: pd.DataFrame, published: pd.DataFrame | None = None, *, axes: Axes | None = None, split: str = "test"
) -> Axes:
    """F1 of the dense encoders, a row for each language, with published baselines as hollow markers.

    Filled markers are means over seeds with t intervals, dots single seeds. `published` has the columns of
    `smaller.published.published()`; its rows become one marker shape each.
    """
    dense = one_kind(of_split(table, split).query("order == 'dense'"), "dataset")
    means = dense.groupby("language")["f1"].mean().sort_values(ascending=False)
    codes = [*means.index, AVERAGE] if len(means) > 1 else list(means.index)
    dense = pd.concat([dense, language_average(dense)]) if len(means) > 1 else dense
    encoders = list(dict.fromkeys(dense["encoder"]))
    baselines = {} if published is None else dict(zip(published["row"], published["encoder"], strict=True))
    axes = axes or new_axes(1, height=1.0 + len(codes) * (0.15 + 0.13 * len(encoders)))[0]
    spread = 0.6 if len(encoders) > 1 else 0.5
    dots_mean_interval(axes, dense[["language", "encoder", "f1"]], x="f1", y="language", hue="encoder", order=codes,
                       hue_order=encoders, spread=spread)  # fmt: skip
    for number, encoder in enumerate(encoders):
        axes.plot([], [], MARKERS[number % 6], color=COLOURS[number % 6], label=encoder)
    for number, (row, encoder) in enumerate(baselines.items()):
        values = published[published["row"] == row].set_index("language")["value"]
        place = encoders.index(encoder) if encoder in encoders else -1
        offset = spread * (place - (len(encoders) - 1) / 2) / len(encoders) if place >= 0 else 0.0
        look = {"marker": MARKERS[place % 6], "color": COLOURS[place % 6]} if place >= 0 else {
            "marker": MARKERS[(len(encoders) + number) % 6], "color": GREY}  # fmt: skip
        axes.plot([values.get(code, math.nan) for code in codes], [line + offset for line in range(len(codes))],
                  linestyle="", markersize=6.5, markerfacecolor="none", label=f"{row}, published", **look)  # fmt: skip
    axes.set_yticks(range(len(codes)), list(map(language_name, codes)))
    axes.set_ylim(len(codes) - 0.5, -0.5)
    axes.set_xlabel("F1 (points)")
    legend_above(axes.figure, [axes])
    return axes


@styled
def size_and_f1(table: pd.DataFrame, *, axes: Axes | None = None, split: str = "test") -> Axes:
    """F1 over size in MB, two points for each label: hollow as the file is, filled after compression.

    Means over languages and seeds of each label, with t intervals over seeds; faint dots are single seeds.
    """
    rows = of_split(table, split)
    axes = axes or new_axes(1, height=3.6)[0]
    for number, (label, own) in enumerate(rows.groupby("label", sort=False)):
        whole, packed = own["dense_bytes"].mean() / 1e6, own["compressed_bytes"].mean() / 1e6
        seeds = own.groupby("seed")["f1"].mean()
        look = {"color": COLOURS[number % 6], "marker": MARKERS[number % 6], "markersize": 7}
        axes.plot([packed] * len(seeds), seeds, ".", color=look["color"], alpha=0.45, markersize=4, zorder=1.5)
        axes.plot([whole, packed], [seeds.mean()] * 2, color=look["color"], linewidth=1, alpha=0.5, zorder=1)
        axes.vlines(packed, *bounds(seeds, clip=True), color=look["color"], linewidth=1.1)
        axes.plot(whole, seeds.mean(), linestyle="", markerfacecolor="white", **look)
        axes.plot(packed, seeds.mean(), linestyle="", label=label, **look)
    for label, filling in (("hollow: the file as it is", "white"), ("filled: the file compressed", GREY)):
        axes.plot([], [], "o", color=GREY, markersize=7, markerfacecolor=filling, label=label)
    axes.set_xlim(left=0)
    axes.margins(y=0.12)
    axes.set(xlabel="size (MB)", ylabel="F1 (points)")
    legend_above(axes.figure, [axes])
    return axes
