"""The summary's figure: every family of recipes by cost and F1, and the front that no other beats."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from smaller.figures.base import COLOURS, GREY, MARKERS, legend_above, styled
from smaller.findings import summary

COSTS = {
    "download_bytes": ("download (MB)", 1e-6),
    "time_ratio": ("time / dense model's time", 1.0),
    "training_seconds": ("training (s)", 1.0),
}


@styled
def pareto(found: pd.DataFrame, *, costs: tuple[str, ...] = tuple(COSTS), below: float = 25) -> list[Axes]:
    """F1 against each cost, a marker for each family by technique; the line joins those that no other beats.

    `found` is what `summary.families` gives; a cost is left out where nothing has it. What lies more than `below`
    points under the best is outside the panels.
    """
    costs = tuple(cost for cost in costs if (found[cost] > 0).any())
    panels = Figure(figsize=(7, 3.2)).subplots(1, len(costs), sharey=True, squeeze=False).ravel()
    techniques = list(dict.fromkeys(found.sort_values("family")["technique"]))
    for panel, cost in zip(panels, costs, strict=True):
        name, unit = COSTS[cost]
        for number, technique in enumerate(techniques):
            own = found[(found["technique"] == technique) & (found[cost] > 0)]
            panel.plot(unit * own[cost], own["f1"], MARKERS[number % 6], color=COLOURS[number % 6], alpha=0.75,
                       markersize=5, markerfacecolor="none" if number >= 6 else None, label=technique)  # fmt: skip
        best = summary.front(found[found[cost] > 0], cost=cost)
        panel.step(unit * best[cost], best["f1"], where="post", color=GREY, linewidth=1, zorder=0.5, label="front")
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.set(xlabel=name)
    panels[0].set(ylabel="F1 (points)", ylim=(max(0, found["f1"].max() - below), found["f1"].max() + below / 12))
    legend_above(panels[0].figure, panels)
    return list(panels)
