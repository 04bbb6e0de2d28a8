"""Figures of pruning: F1, time and kernels over sparsity."""

import functools
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from smaller.analysis.figures import base
from smaller.analysis.figures.base import GREY, styled
from smaller.analysis.statistics import language_average, of_split, one_kind, t_interval
from smaller.base.checks import require

MASKS = ("method", "scope", "include")


def curves(axes: Axes, rows: pd.DataFrame, *, column: str = "order", labels: Mapping[str, str] = base.ORDERS) -> None:
    """The dense model as a line, and a curve over sparsity for each of the values of a column, by its label."""
    base.level(axes, t_interval(rows.loc[rows["order"] == "dense", "f1"]), label="dense")
    for place, (value, label) in enumerate(labels.items()):
        look = base.look(place if column == "order" else 2 * place)
        base.curve(axes, rows[rows[column] == value], label=label, **look)
    base.sparsity_axis(axes)


@styled
def f1_against_sparsity(table: pd.DataFrame) -> Axes:
    """Mean F1 of all languages over sparsity, a line for each order and encoder (paper 1, its first figure)."""
    rows = one_kind(language_average(of_split(table, "test")), "dataset", *MASKS)
    axes = base.new_axes(1, height=3.8)[0]
    encoders = dict(list(rows.groupby("encoder", sort=False)))
    for number, (encoder, own) in enumerate(encoders.items()):
        suffix = f", {encoder}" if len(encoders) > 1 else ""
        dense = t_interval(own.loc[own["order"] == "dense", "f1"])
        base.level(axes, dense, label=f"dense{suffix}", line=base.LINES[number % len(base.LINES)])
        for place, (order, label) in enumerate(base.ORDERS.items()):
            style = base.look(2 * number + place) | {"color": base.look(place)["color"]}
            style |= {"linestyle": base.LINES[number % len(base.LINES)]} if suffix else {}
            base.curve(axes, own[own["order"] == order], label=label + suffix, **style)
    base.sparsity_axis(axes)
    axes.set(xlabel=base.SPARSITY, ylabel=base.F1)
    axes.legend(loc="lower left")
    return axes


@styled
def f1_by_language(table: pd.DataFrame) -> np.ndarray:
    """F1 over sparsity in a panel for each language, the average first (paper 1, per-language pruning figures)."""
    rows = one_kind(of_split(table, "test"), "dataset", "encoder", *MASKS)
    return base.panels(base.by_language(rows), curves, x=base.SPARSITY, y=base.F1)


@styled
def masks_compared(table: pd.DataFrame) -> np.ndarray:
    """Magnitude against random masks at equal sparsity, a panel for each order: the break condition T22 of paper 1."""
    rows = language_average(one_kind(of_split(table, "test"), "dataset", "encoder", "scope", "include"))
    masks = {method: f"{method} mask" for method in ("magnitude", "random")}
    parts = {
        label.capitalize(): rows[rows["order"].isin(["dense", order])]
        for order, label in base.ORDERS.items()
        if order in set(rows["order"])
    }
    draw = functools.partial(curves, column="method", labels=masks)
    return base.panels(parts, draw, x=base.SPARSITY, y=base.F1, height=2.9)


@styled
def time_by_language(table: pd.DataFrame, *, noise_floor: float) -> np.ndarray:
    """Milliseconds for a sentence over sparsity by language (paper 1); bars: repeats, grey band: the noise floor."""
    rows = one_kind(of_split(table, "test"), "dataset", "encoder", *MASKS, "device").dropna(subset="milliseconds")
    require(len(rows) > 0, "No time was measured in this table; run the study with latency switched on.")
    times = ["milliseconds", "milliseconds_low", "milliseconds_high"]

    def draw(panel: Axes, own: pd.DataFrame) -> None:
        if np.isfinite(dense := own.loc[own["order"] == "dense", times[0]].median()):
            floor = (dense * (1 - noise_floor), dense * (1 + noise_floor))
            panel.axhspan(*floor, color=GREY, alpha=0.16, linewidth=0, label="noise floor of the dense model")
            panel.axhline(dense, color=GREY, linewidth=1, label="dense")
        for place, (order, label) in enumerate(base.ORDERS.items()):
            middle = own[own["order"] == order].groupby("sparsity")[times].median()
            if middle.empty:
                continue
            # The two orders stand beside each other, so that their bars do not hide one another.
            x = 100 * middle.index + (place - 0.5) * 1.6
            panel.vlines(x, middle[times[1]], middle[times[2]], color=base.look(place)["color"], linewidth=0.8)
            panel.plot(x, middle[times[0]], label=label, markerfacecolor="white", **base.look(place))
        base.sparsity_axis(panel)
        panel.set_ylim(bottom=0)

    return base.panels(base.by_language(rows, average=False), draw, x=base.SPARSITY, y="milliseconds per sentence")


@styled
def sparse_kernel(frame: pd.DataFrame) -> Axes:
    """Milliseconds of one matrix product over sparsity, by `kernel`: "dense" or "sparse"."""
    axes = base.new_axes(1, height=3.2)[0]
    for place, (kernel, own) in enumerate(frame.sort_values("sparsity").groupby("kernel")):
        x, style = 100 * own["sparsity"], base.look(place) | {"color": (GREY, base.look(0)["color"])[place]}
        low, high = own["milliseconds_low"], own["milliseconds_high"]
        axes.fill_between(x, low, high, color=style["color"], alpha=0.15, linewidth=0)
        axes.plot(x, own["milliseconds"], label=f"{kernel} kernel", **style)
    if frame["milliseconds"].max() > 10 * frame["milliseconds"].min():
        base.log_scale(axes.yaxis)
    else:
        axes.set_ylim(bottom=0)
    base.sparsity_axis(axes)
    axes.set(xlabel=base.SPARSITY, ylabel="milliseconds")
    axes.legend(loc="best")
    return axes
