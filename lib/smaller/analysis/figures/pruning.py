"""Figures of pruning: F1, time and kernels over sparsity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from smaller.analysis.figures.base import (
    COLOURS,
    GREY,
    LINES,
    MARKERS,
    ORDERS,
    curve,
    dense_line,
    finish,
    in_steps,
    language_name,
    new_axes,
    panels_of,
    sparsity_axes,
    styled,
)
from smaller.analysis.statistics import language_average, of_split, one_kind
from smaller.base.errors import SmallerError


@styled
def f1_against_sparsity(table: pd.DataFrame, *, axes: Axes | None = None, split: str = "test") -> Axes:
    """Mean F1 of all languages over sparsity, a line for each order and encoder (paper 1, its first figure).

    Dots are the language means of single seeds, bands t intervals over seeds, the grey line the dense encoder.
    """
    rows = one_kind(language_average(of_split(table, split)), "dataset", "method", "scope", "include")
    axes = axes or new_axes(1, height=3.8)[0]
    encoders = list(dict.fromkeys(rows["encoder"]))
    several = len(encoders) > 1
    for number, encoder in enumerate(encoders):
        own = rows[rows["encoder"] == encoder]
        suffix = f", {encoder}" if several else ""
        dense_line(axes, own, label=f"dense{suffix}", line=LINES[number % len(LINES)] if several else "-")
        for order, label in ORDERS.items():
            place = list(ORDERS).index(order)
            look = {"color": COLOURS[place], "marker": MARKERS[2 * number + place if several else place]}
            look["linestyle"] = LINES[number if several else place]
            curve(axes, own[own["order"] == order], label=label + suffix, **look)
    sparsity_axes(axes, "F1 (points)")
    axes.legend(loc="lower left")
    return axes


@styled
def f1_by_language(
    table: pd.DataFrame, *, orders: Sequence[str] = ("before", "after"), split: str = "test"
) -> np.ndarray:
    """F1 over sparsity in a panel for each language, the average first (paper 1, per-language pruning figures).

    Both orders of one encoder, seeds as dots, bands t intervals over seeds, grey the dense encoder with its band.
    Returns the axes, one a panel.
    """
    rows = one_kind(of_split(table, split), "dataset", "encoder", "method", "scope", "include")
    panels = panels_of(rows, average=True)
    axes = new_axes(len(panels))
    for panel, (language, own) in zip(axes, panels.items(), strict=True):
        dense_line(panel, own, label="dense")
        for place, order in enumerate(ORDERS):
            if order in orders:
                look = {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": LINES[place]}
                curve(panel, own[own["order"] == order], label=ORDERS[order], **look)
        panel.set_title(language_name(language))
        sparsity_axes(panel, "")
    finish(axes, x="sparsity (%)", y="F1 (points)")
    return axes


@styled
def time_by_language(table: pd.DataFrame, *, noise_floor: float | None = None, split: str = "test") -> np.ndarray:
    """Milliseconds for a sentence over sparsity in a panel for each language (paper 1, its question on time).

    Bars are `milliseconds_low` to `milliseconds_high`, the repeats of a model. The grey band is the noise floor: dense
    give or take `noise_floor` (a share, from the dense model timed against itself), or the repeats of the dense model.
    A pruned model is faster only where it leaves the band. Returns the axes, one a panel.
    """
    rows = one_kind(of_split(table, split), "dataset", "encoder", "method", "scope", "include", "device")
    rows = rows[rows["milliseconds"].notna()]
    if rows.empty:
        raise SmallerError("No time was measured in this table; run the study with latency switched on.")
    panels = panels_of(rows, average=False)
    axes = new_axes(len(panels))
    low, high = "milliseconds_low", "milliseconds_high"
    for panel, (language, own) in zip(axes, panels.items(), strict=True):
        dense = own[own["order"] == "dense"]
        if len(dense):
            middle, floor = dense["milliseconds"].median(), (dense[low].min(), dense[high].max())
            if noise_floor is not None:
                floor = (middle * (1 - noise_floor), middle * (1 + noise_floor))
            panel.axhspan(*floor, color=GREY, alpha=0.16, linewidth=0, label="noise floor of the dense model")
            panel.axhline(middle, color=GREY, linewidth=1, label="dense")
        for place, order in enumerate(ORDERS):
            middle = own[own["order"] == order].groupby("sparsity")[["milliseconds", low, high]].median()
            if len(middle):
                # The two orders stand beside each other, so that their bars do not hide one another.
                x, y = 100 * middle.index + (place - 0.5) * 1.6, middle["milliseconds"]
                panel.vlines(x, middle[low], middle[high], color=COLOURS[place], linewidth=0.8)
                look = {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": LINES[place]}
                panel.plot(x, y, label=ORDERS[order], markerfacecolor="white", **look)
        panel.set_title(language_name(language))
        sparsity_axes(panel, "")
    axes[0].set_ylim(bottom=0)
    finish(axes, x="sparsity (%)", y="milliseconds per sentence")
    return axes


@styled
def masks_compared(table: pd.DataFrame, *, split: str = "test") -> np.ndarray:
    """Magnitude against random masks at equal sparsity, a panel for each order: the break condition T22 of paper 1.

    Means over languages; dots are seeds, bands t intervals over seeds. Returns the axes, one an order.
    """
    rows = one_kind(of_split(table, split), "dataset", "encoder", "scope", "include")
    average = language_average(rows)
    orders = [order for order in ORDERS if order in set(average["order"])]
    axes = new_axes(len(orders), height=2.9)
    for panel, order in zip(axes, orders, strict=True):
        dense_line(panel, average, label="dense")
        for place, method in enumerate(("magnitude", "random")):
            own = average[(average["order"] == order) & (average["method"] == method)]
            look = {"color": COLOURS[2 * place], "marker": ("o", "D")[place], "linestyle": LINES[place]}
            curve(panel, own, label=f"{method} mask", **look)
        panel.set_title(ORDERS[order].capitalize())
        sparsity_axes(panel, "")
    finish(axes, x="sparsity (%)", y="F1 (points)")
    return axes


@styled
def sparse_kernel(frame: pd.DataFrame, *, axes: Axes | None = None) -> Axes:
    """Milliseconds of one matrix product over sparsity, with a dense and with a sparse kernel.

    `frame` has the columns sparsity (0..1), kernel ('dense' or 'sparse'), milliseconds, milliseconds_low and
    milliseconds_high. The time axis is logarithmic where the kernels differ more than tenfold.
    """
    axes = axes or new_axes(1, height=3.2)[0]
    for place, (kernel, own) in enumerate(frame.groupby("kernel", sort=False)):
        own = own.sort_values("sparsity")
        x, colour = 100 * own["sparsity"], (GREY, COLOURS[0])[place]
        axes.fill_between(x, own["milliseconds_low"], own["milliseconds_high"], color=colour, alpha=0.15, linewidth=0)
        look = {"color": colour, "marker": MARKERS[place], "linestyle": LINES[place]}
        axes.plot(x, own["milliseconds"], label=f"{kernel} kernel", **look)
    if frame["milliseconds"].max() > 10 * frame["milliseconds"].min():
        in_steps(axes.yaxis)
    else:
        axes.set_ylim(bottom=0)
    sparsity_axes(axes, "milliseconds")
    axes.legend(loc="best")
    return axes
