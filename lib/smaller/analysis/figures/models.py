"""Figures of whole models: F1 by language, over size, and over each cost, with the front that is chosen on dev."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from smaller.analysis.figures import base
from smaller.analysis.figures.base import COLOURS, GREY, MARKERS, styled
from smaller.analysis.findings import summary
from smaller.analysis.statistics import AVERAGE, by_seed, language_average, of_split, one_kind

COSTS = {"bytes": (1e-6, "weights (MB)"), "time_ratio": (100.0, "time (% of uncompressed)")}
COSTS |= {"training_seconds": (1.0, "training (s)")}
"""The costs that a model has: what one unit is in the unit of its axis, and the label of that."""

BELOW = 15.0
"""Points under the dense model's score at which a panel ends."""

WHOLE, SEVERAL, CLOSED = "uncompressed", "several steps", "several steps, then quantized"
NONE = "no encoder"
KINDS = ("pruned", "fewer layers", "quantized", "trimmed vocabulary", SEVERAL, CLOSED)
LOOKS = {WHOLE: (GREY, "*")} | dict(zip(KINDS, zip(COLOURS, MARKERS, strict=True), strict=True)) | {NONE: (GREY, "X")}
"""The kinds of technique that the fronts tell apart, each with the same colour and marker in every figure."""

_SINGLE = {"dense": WHOLE, "distilled": "fewer layers", "cut": "fewer layers", "trimmed": "trimmed vocabulary"}
_SINGLE |= {"plain": NONE, "pruned": "pruned", "quantized": "quantized"}


@styled
def dense_f1(table: pd.DataFrame, published: pd.DataFrame | None = None, plain: pd.DataFrame | None = None) -> Axes:
    """Test F1 of the dense encoders by language; crosses: `study.plain.run`; hollow: `published()`, its own average."""
    dense = one_kind(of_split(table, "test").query("order == 'dense'"), "dataset")
    means = dense.groupby("language")["f1"].mean().sort_values(ascending=False)
    codes = [*means.index, *[AVERAGE] * (len(means) > 1)]
    encoders = list(dict.fromkeys(dense["encoder"]))
    axes = base.new_axes(1, height=1.0 + len(codes) * (0.15 + 0.13 * len(encoders)))[0]
    rows = pd.concat([dense, language_average(dense)])[["language", "encoder", "f1"]]
    base.dots_mean_interval(axes, rows, x="f1", y="language", hue="encoder", order=codes, hue_order=encoders)
    lines = np.arange(len(codes))
    if plain is not None:
        f1 = of_split(plain, "test").groupby("language")["f1"].mean().reindex(means.index)
        f1[AVERAGE] = f1.mean(skipna=False)
        axes.plot(f1[codes], lines, "X", color=GREY, markersize=5.5, label="without an encoder")
    others = [] if published is None else published.groupby("row", sort=False)
    for number, (row, own) in enumerate(others, len(encoders)):
        hollow = {"color": GREY, "markersize": 6.5, "markerfacecolor": "none", "label": f"{row}, published"}
        printed = own.set_index("language")["value"].reindex(means.index)
        printed[AVERAGE] = printed.mean(skipna=False)
        axes.plot(printed[codes], lines, base.look(number)["marker"], **hollow)
    axes.set_yticks(lines, list(map(base.language_name, codes)))
    axes.set(xlabel=base.F1, ylim=(len(codes) - 0.5, -0.5))
    return base.legend_above(axes)


@styled
def size_and_f1(table: pd.DataFrame) -> Axes:
    """Test F1 over size in MB, two points for each group: hollow as the file is, filled after compression."""
    axes = base.new_axes(1, height=3.6)[0]
    for number, (label, own) in enumerate(of_split(table, "test").groupby("group", sort=False)):
        whole, packed = own["dense_bytes"].mean() / 1e6, own["compressed_bytes"].mean() / 1e6
        seeds, look = own.groupby("seed")["f1"].mean(), base.look(number) | {"linestyle": "", "markersize": 7}
        colour = look["color"]
        axes.plot([packed] * len(seeds), seeds, ".", color=colour, alpha=0.45, markersize=4, zorder=1.5)
        axes.plot([whole, packed], [seeds.mean()] * 2, color=colour, linewidth=1, alpha=0.5, zorder=1)
        axes.vlines(packed, *base.bounds(seeds), color=colour, linewidth=1.1)
        axes.plot(whole, seeds.mean(), markerfacecolor="white", **look)
        axes.plot(packed, seeds.mean(), label=label, **look)
    for label, filling in (("hollow: the file as it is", "white"), ("filled: the file compressed", GREY)):
        axes.plot([], [], "o", color=GREY, markersize=7, markerfacecolor=filling, label=label)
    axes.margins(y=0.12)
    axes.set(xlabel="size (MB)", ylabel=base.F1, xlim=(0, None))
    return base.legend_above(axes)


def look_of(technique: str, *, whole: bool) -> str:
    """The kind of a technique such as "distilled + trimmed", a key of `LOOKS`; `whole`: nothing was taken away."""
    parts = technique.split(" + ")
    if len(parts) == 1 and whole == (technique == "dense"):
        return _SINGLE.get(technique, SEVERAL)
    return CLOSED if "quantized" in parts else SEVERAL


@styled
def pareto(found: pd.DataFrame, table: pd.DataFrame) -> list[Axes]:
    """F1 over each known cost of `families` or `families_by_language` of a table, with seeds and the front on dev."""
    by = [key for key in ("kind", "language") if key in found]
    found = found.merge(by_seed(table, by=by).groupby(by).agg(list).rename("seeds"), on=by, how="left")
    costs = [cost for cost in COSTS if (found[cost] > 0).any()]
    titles = found["language"].map(base.language_name) if "language" in found else pd.Series("", found.index)
    rows = list(found.groupby(titles))
    figure = Figure(figsize=(7, 0.9 + 1.5 * len(rows) if "language" in found else 3.4))
    grid = figure.subplots(len(rows), len(costs), sharex="col", sharey="row", squeeze=False)
    for line, (title, own) in zip(grid, rows, strict=True):
        # What is lost is lost of the uncompressed model, wherever one without an encoder stands.
        highest = own["f1"].max()
        lowest = max(0.0, (own.loc[own["whole"], "f1"].max() if own["whole"].any() else highest) - BELOW)
        for panel, cost in zip(line, costs, strict=True):
            _front(panel, own, cost=cost, lowest=lowest)
        line[0].set(ylabel=base.F1, ylim=(lowest - BELOW / 20, highest + BELOW / 8))
        line[0].set_title(title, loc="left")
    shipped = found["counted"].iloc[0] == "shipped_bytes"
    for panel, cost in zip(grid[-1], costs, strict=True):
        panel.set_xlabel("folder that ships (MB)" if shipped and cost == "bytes" else COSTS[cost][1])
        base.log_scale(panel.xaxis)
    return list(base.legend_above(grid.ravel()))


def _front(panel: Axes, found: pd.DataFrame, *, cost: str, lowest: float) -> None:
    """Draw the kinds with an F1 of `lowest` or more over a cost, and the front chosen on dev, at its F1 on test."""
    points = found[found[cost] > 0].assign(x=lambda own: COSTS[cost][0] * own[cost])
    looks = pd.Series([look_of(row.technique, whole=row.whole) for row in points.itertuples()], points.index)
    for look, (colour, marker) in LOOKS.items():
        drawn = points[(looks == look) & (points["f1"] >= lowest)]
        if len(drawn):
            if cost == "bytes" and summary.apart(drawn).all():
                # Its whole file is another measure than weights, so that it has a score here and no size.
                panel.axhline(drawn["f1"].max(), color=colour, linewidth=0.8, linestyle=":", label=look, zorder=0.5)
                continue
            size, order = (80, 3) if look == WHOLE else (24, 2)
            style = {"color": colour, "marker": marker, "alpha": 0.75, "s": size, "linewidth": 0, "zorder": order}
            seeds = drawn.explode("seeds")
            panel.plot(seeds["x"], seeds["seeds"], ".", color=colour, alpha=0.5, markersize=2, zorder=1.5)
            sns.scatterplot(drawn, x="x", y="f1", ax=panel, label=look, legend=False, **style)
    best = summary.front(points, cost=cost)
    panel.step(best["x"], best["f1"], where="post", color=GREY, linewidth=1, zorder=0.5, label="front, chosen on dev")
    spread = [[getattr(one, end) for one in best["F1"]] for end in ("low", "high")]
    panel.vlines(best["x"], *spread, color=GREY, linewidth=0.8, alpha=0.8, zorder=1)
    panel.set(xlabel="", ylabel="")
