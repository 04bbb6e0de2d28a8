"""The summary's figures: every kind of recipe by cost and F1, and the front that no other beats on dev."""

from __future__ import annotations

import re
import textwrap

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smaller.figures.base import COLOURS, GREY, in_steps, language_name, legend_above, styled
from smaller.findings import summary

COSTS = {"bytes": 1e-6, "time_ratio": 100.0, "training_seconds": 1.0}
"""The costs that a model has, and what one unit of each is in the unit of its axis."""

WHOLE, SEVERAL, CLOSED = "uncompressed", "several steps", "several steps, then quantized"
LOOKS = {
    WHOLE: (GREY, "*"), "pruned": (COLOURS[0], "o"), "fewer layers": (COLOURS[1], "s"), "quantized": (COLOURS[2], "^"),
    "trimmed vocabulary": (COLOURS[3], "D"), SEVERAL: (COLOURS[4], "v"), CLOSED: (COLOURS[5], "P"),
    "no encoder": (GREY, "X"),
}  # fmt: skip
"""The kinds of technique that the fronts tell apart, each with the same colour and marker in every figure."""

_SINGLE = {"dense": WHOLE, "pruned": "pruned", "distilled": "fewer layers", "cut": "fewer layers",
           "quantized": "quantized", "trimmed": "trimmed vocabulary", "plain": "no encoder"}  # fmt: skip


def look_of(technique: str, *, whole: bool) -> str:
    """The kind, a key of `LOOKS`, of a technique such as "distilled + trimmed + quantized".

    A model that no technique made smaller is still not uncompressed if it was trained in several steps.
    """
    parts = technique.split(" + ")
    if len(parts) == 1 and whole == (technique == "dense"):
        return _SINGLE.get(technique, SEVERAL)
    return CLOSED if "quantized" in parts else SEVERAL


@styled
def pareto(found: pd.DataFrame, *, costs: tuple[str, ...] = tuple(COSTS), below: float = 15) -> list[Axes]:
    """F1 against each cost, a marker for each kind; the line joins those that no other beats on dev, with intervals.

    `found` is what `summary.families` gives; a cost is left out where nothing has it. What lies more than `below`
    points under the best is outside the panels.
    """
    costs = [cost for cost in costs if (found[cost] > 0).any()]
    panels = Figure(figsize=(7, 3.4)).subplots(1, len(costs), sharey=True, squeeze=False).ravel()
    for panel, cost in zip(panels, costs, strict=True):
        best = _front(panel, found, cost=cost)
        _scale(panel, found, cost)
        if len(best):
            _name(panel, *best[["x", "f1", "kind"]].iloc[0])
    panels[0].set(ylabel="F1 (points)", ylim=_limits(found, below))
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
        line[0].set(ylabel="F1 (points)", ylim=_limits(own, below))
        line[0].set_title(language_name(code), loc="left")
    for panel, cost in zip(grid[-1], costs, strict=True):
        _scale(panel, whole, cost)
    legend_above(figure, grid.ravel())
    return list(grid.ravel())


def _scale(panel: Axes, found: pd.DataFrame, cost: str) -> None:
    labels = {"time_ratio": "time (% of uncompressed)", "training_seconds": "training (s)"}
    shipped = found["counted"].iloc[0] == "shipped_bytes"
    panel.set(xlabel=labels.get(cost, "folder that ships (MB)" if shipped else "weights (MB)"))
    in_steps(panel.xaxis)


def _front(panel: Axes, found: pd.DataFrame, *, cost: str) -> pd.DataFrame:
    """Draw the kinds over a cost, and the front that is chosen on dev, at its F1 on test; returns the front."""
    points = found[found[cost] > 0].assign(x=lambda own: COSTS[cost] * own[cost])
    looks = pd.Series([look_of(row.technique, whole=row.whole) for row in points.itertuples()], points.index)
    for look, (colour, marker) in LOOKS.items():
        if (looks == look).any():
            size, order = (80, 3) if look == WHOLE else (24, 2)
            sns.scatterplot(points[looks == look], x="x", y="f1", ax=panel, color=colour, marker=marker, alpha=0.75,
                            linewidth=0, s=size, zorder=order, label=look, legend=False)  # fmt: skip
    best = summary.front(points, cost=cost)
    panel.step(best["x"], best["f1"], where="post", color=GREY, linewidth=1, zorder=0.5, label="front, chosen on dev")
    spread = [[getattr(one, end) for one in best["F1"]] for end in ("low", "high")]
    panel.vlines(best["x"], *spread, color=GREY, linewidth=0.8, alpha=0.8, zorder=1)
    panel.set(xlabel="", ylabel="")
    return best


def _limits(found: pd.DataFrame, below: float) -> tuple[float, float]:
    return max(0, found["f1"].max() - below), found["f1"].max() + below / 8


def _name(panel: Axes, x: float, y: float, kind: str) -> None:
    """Write what the cheapest recipe of the front is under its marker; a long one without its details."""
    short = kind if len(kind) < 60 else re.sub(r" \([^)]*\)", "", kind)
    panel.annotate("\n".join(textwrap.wrap(short, 30)), (x, y), (0, -14), textcoords="offset points", ha="left",
                   va="top", fontsize=6.5, color=GREY, zorder=1.8,
                   bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 1})  # fmt: skip


@styled
def explored(points: pd.DataFrame, *, technique: str, title: str) -> Axes:
    """F1 over bytes, one marker for each kind of recipe; `role` says which are looked at.

    `points` is `Explorer.drawn`: "others" are grey, "technique" is coloured, "chosen" has a ring; a line is the model
    left uncompressed.
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
        axes.plot(1e-6 * own["bytes"], own["f1"], "o", **look)
    whole = points.loc[points["whole"], "f1"]
    if len(whole):
        axes.axhline(whole.iloc[0], color=GREY, linewidth=1, zorder=0.5, label=WHOLE)
    axes.set(title=title, xlabel="size (MB)", ylabel="F1 (points)", ylim=(0, 100))
    in_steps(axes.xaxis)
    legend_above(axes.figure, [axes])
    return axes
