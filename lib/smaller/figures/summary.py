"""The summary's figures: every family of recipes by cost and F1, and the front that no other beats."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from smaller.figures.base import COLOURS, GREY, language_name, legend_above, styled
from smaller.findings import summary

COSTS = {
    "download_bytes": ("download (MB)", 1e-6),
    "time_ratio": ("time / dense model's time", 1.0),
    "training_seconds": ("training (s)", 1.0),
}


WHOLE, SEVERAL, CLOSED = "left whole", "several steps", "several steps, then quantized"
LOOKS = {
    WHOLE: (GREY, "*"), "pruned": (COLOURS[0], "o"), "fewer layers": (COLOURS[1], "s"), "quantized": (COLOURS[2], "^"),
    "fewer pieces": (COLOURS[3], "D"), SEVERAL: (COLOURS[4], "v"), CLOSED: (COLOURS[5], "P"),
}  # fmt: skip
"""The kinds of technique that the fronts tell apart, each with the same colour and marker in every figure."""

_SINGLE = {"dense": WHOLE, "pruned": "pruned", "distilled": "fewer layers", "cut": "fewer layers",
           "quantized": "quantized", "trimmed": "fewer pieces"}  # fmt: skip


def kind_of(technique: str, family: str = "") -> str:
    """The kind, a key of `LOOKS`, of a technique such as "distilled + trimmed + quantized".

    A family that no technique made smaller is still not whole if it was trained in several steps.
    """
    parts = technique.split(" + ")
    if technique == "dense" and family and family not in summary.WHOLE:
        return SEVERAL
    if len(parts) == 1:
        return _SINGLE.get(technique, SEVERAL)
    return CLOSED if "quantized" in parts else SEVERAL


@styled
def pareto(found: pd.DataFrame, *, costs: tuple[str, ...] = tuple(COSTS), below: float = 15) -> list[Axes]:
    """F1 against each cost, a marker for each family by its kind; the line joins those that no other beats.

    `found` is what `summary.families` gives; a cost is left out where nothing has it. What lies more than `below`
    points under the best is outside the panels.
    """
    costs = tuple(cost for cost in costs if (found[cost] > 0).any())
    panels = Figure(figsize=(7, 3.4)).subplots(1, len(costs), sharey=True, squeeze=False).ravel()
    for panel, cost in zip(panels, costs, strict=True):
        best = _front(panel, found, cost=cost)
        _name(panel, COSTS[cost][1] * best[cost].iloc[0], best["f1"].iloc[0], best["family"].iloc[0])
        panel.set(xlabel=COSTS[cost][0])
    panels[0].set(ylabel="F1 (points)", ylim=_top(found, below))
    legend_above(panels[0].figure, panels)
    return list(panels)


@styled
def pareto_by_language(table: pd.DataFrame, *, below: float = 15) -> list[Axes]:
    """The panels of `pareto` for each language, a row each; `table` is what `summary.recipes` gives."""
    found = {code: summary.families(own) for code, own in table.groupby("language")}
    found = dict(sorted(found.items(), key=lambda item: language_name(item[0])))
    whole = pd.concat(found.values())
    costs = [cost for cost in COSTS if (whole[cost] > 0).any()]
    figure = Figure(figsize=(7, 0.9 + 1.5 * len(found)))
    grid = figure.subplots(len(found), len(costs), sharex="col", sharey="row", squeeze=False)
    for line, (code, own) in zip(grid, found.items(), strict=True):
        for panel, cost in zip(line, costs, strict=True):
            if (own[cost] > 0).any():
                _front(panel, own, cost=cost)
        line[0].set(ylabel="F1 (points)", ylim=_top(own, below))
        line[0].set_title(language_name(code), loc="left")
    for panel, cost in zip(grid[-1], costs, strict=True):
        panel.set(xlabel=COSTS[cost][0])
    legend_above(figure, grid.ravel())
    return list(grid.ravel())


def _front(panel: Axes, found: pd.DataFrame, *, cost: str) -> pd.DataFrame:
    """Draw the families and their front over a cost; returns the front."""
    found, unit = found[found[cost] > 0], COSTS[cost][1]
    kinds = pd.Series([kind_of(*row) for row in zip(found["technique"], found["family"], strict=True)], found.index)
    for kind, (colour, marker) in LOOKS.items():
        own = found[kinds == kind]
        if len(own):
            panel.plot(unit * own[cost], own["f1"], marker, color=colour, alpha=0.75, label=kind,
                       markersize=9 if kind == WHOLE else 5, zorder=3 if kind == WHOLE else 2)  # fmt: skip
    best = summary.front(found, cost=cost)
    panel.step(unit * best[cost], best["f1"], where="post", color=GREY, linewidth=1, zorder=0.5, label="front")
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_minor_locator(NullLocator())
    return best


def _top(found: pd.DataFrame, below: float) -> tuple[float, float]:
    return max(0, found["f1"].max() - below), found["f1"].max() + below / 12


def _name(panel: Axes, x: float, y: float, family: str) -> None:
    """Write what the cheapest recipe of the front is under its marker; of a long one, what each step is called."""
    steps = family.removeprefix("Pretrain > ").split(" > ")
    if len(steps) > 3:
        steps = [step.partition("(")[0] for step in steps[:-1]] + steps[-1:]
    text = "\n".join(textwrap.wrap(" > ".join(step.replace(" ", "\u00a0") for step in steps), 30))
    panel.annotate(text, (x, y), (0, -7), textcoords="offset points", ha="left", va="top", fontsize=6.5, color=GREY)


@styled
def explored(points: pd.DataFrame, *, technique: str, title: str) -> Axes:
    """F1 over bytes to download, one marker for each kind of recipe; `role` says which are looked at.

    `points` is `Explorer.drawn`: "others" are grey, "technique" is coloured, "chosen" has a ring; a line is the model
    left whole.
    """
    axes = Figure(figsize=(7, 3.4)).subplots()
    looks = {
        "others": {"color": GREY, "alpha": 0.3, "markersize": 4, "label": "everything else"},
        "technique": {"color": COLOURS[0], "markersize": 6, "label": technique},
        "chosen": {"color": COLOURS[1], "markersize": 11, "markerfacecolor": "none", "markeredgewidth": 2,
                   "label": "at the chosen sparsity"},
    }  # fmt: skip
    for role, look in looks.items():
        # What is chosen is of the technique too: its own marker stays inside the ring.
        own = points[points["role"].isin([role, "chosen"] if role == "technique" else [role])]
        axes.plot(1e-6 * own["download_bytes"], own["f1"], "o", **look)
    whole = points.loc[points["family"].isin(summary.WHOLE), "f1"]
    if len(whole):
        axes.axhline(whole.iloc[0], color=GREY, linewidth=1, zorder=0.5, label="left whole")
    axes.set(title=title, xlabel="download (MB)", ylabel="F1 (points)", xscale="log", ylim=(0, 100))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    legend_above(axes.figure, [axes])
    return axes
