"""Figures of models away from home: other domains, unseen languages, and what goes with transfer and compression."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from smaller.data.features import DISTANCES
from smaller.errors import SmallerError
from smaller.figures.base import (
    COLOURS,
    GREY,
    LINES,
    MARKERS,
    ORDERS,
    curve,
    dense_line,
    finish,
    language_name,
    legend_above,
    new_axes,
    panels_of,
    sparsity_axes,
    styled,
)
from smaller.findings.correlations import with_distances
from smaller.findings.domains import ONE, domains, languages_of, of_pruned, source_name
from smaller.findings.transfer import HOME, matrix, unseen
from smaller.statistics import language_average, one_kind, t_interval


@styled
def out_of_domain(table: pd.DataFrame, *, split: str = "test") -> np.ndarray:
    """F1 in another domain over sparsity, a panel for each language, the average first (paper 1, out of domain).

    Seeds as dots, bands t intervals over seeds. Grey: the dense model out of domain with its band; dotted: in domain.
    Returns the axes, one a panel.
    """
    rows = one_kind(of_pruned(_some_domains(table, split=split)), "dataset", "encoder", "method", "scope", "include")
    panels = panels_of(rows, average=True)
    axes = new_axes(len(panels))
    for panel, (language, own) in zip(axes, panels.items(), strict=True):
        dense_line(panel, own, label="dense, out of domain")
        home = own.loc[own["order"] == "dense", "in_domain"].mean()
        panel.axhline(home, color=GREY, linewidth=1, linestyle=":", label="dense, in domain")
        _orders(panel, own)
        panel.set_title(language_name(language))
        sparsity_axes(panel, "")
    finish(axes, x="sparsity (%)", y="F1 out of domain (points)")
    return axes


@styled
def domain_gap(table: pd.DataFrame, *, axes: Axes | None = None, split: str = "test") -> Axes:
    """F1 in domain minus F1 out of domain over sparsity, mean over languages: above zero the other domain is harder.

    Dots are the language means of single seeds, bars t intervals over seeds, grey the dense model's gap.
    """
    rows = one_kind(of_pruned(_some_domains(table, split=split)), "dataset", "encoder", "method", "scope", "include")
    average = language_average(rows) if rows["language"].nunique() > 1 else rows
    average = average.assign(f1=average["gap"])
    axes = axes or new_axes(1, height=3.0)[0]
    axes.axhline(0, color=GREY, linewidth=0.8, linestyle=":")
    dense_line(axes, average, label="dense")
    for place, (order, label) in enumerate(ORDERS.items()):
        own = average[average["order"] == order]
        found = [(100 * sparsity, t_interval(gaps)) for sparsity, gaps in own.groupby("sparsity")["gap"]]
        # The two orders stand beside each other, so that their bars do not hide one another.
        shift, colour = (place - 0.5) * 0.8, COLOURS[place]
        axes.plot(100 * own["sparsity"] + shift, own["gap"], ".", color=colour, alpha=0.4, markersize=4)
        for x, interval in found:
            axes.plot([x + shift] * 2, [interval.low, interval.high], color=colour, linewidth=1)
        look = {"color": colour, "marker": MARKERS[place], "linestyle": LINES[place], "markerfacecolor": "white"}
        axes.plot([x + shift for x, _ in found], [interval.mean for _, interval in found], label=label, **look)
    sparsity_axes(axes, "in domain − out of domain (points)")
    axes.legend(loc="best")
    return axes


def _some_domains(table: pd.DataFrame, *, split: str) -> pd.DataFrame:
    found = domains(table, split=split)
    if found.empty:
        raise SmallerError("No model of this table was tested in another data set of its own language.")
    return found


def _orders(panel: Axes, rows: pd.DataFrame) -> None:
    for place, (order, label) in enumerate(ORDERS.items()):
        look = {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": LINES[place]}
        curve(panel, rows[rows["order"] == order], label=label, **look)


@styled
def transfer_matrix(table: pd.DataFrame, *, axes: Axes | None = None, split: str = "test") -> Axes:
    """F1 of the dense models as a heat map, targets by sources, means over seeds in the cells.

    The first row is each source on its own test set. Framed cells are languages that the source was fine-tuned on.
    """
    wide = matrix(table, split=split)
    several = wide.index.get_level_values("language").duplicated(keep=False)
    names = [HOME if language == HOME else language_name(language) + f" ({dataset})" * bool(twice)
             for (dataset, language), twice in zip(wide.index, several, strict=True)]  # fmt: skip
    axes = axes or new_axes(1, height=1.1 + 0.21 * len(wide))[0]
    colours = matplotlib.colormaps["Blues"]
    axes.imshow(wide.to_numpy(), cmap=colours, vmin=0, vmax=100, aspect="auto")
    for (row, column), value in np.ndenumerate(wide.to_numpy()):
        dark = "white" if value > 60 else "black"
        axes.text(column, row, "–" if np.isnan(value) else f"{value:.1f}", ha="center", va="center", color=dark,
                  fontsize=7)  # fmt: skip
        if {wide.index[row][1]} <= {HOME, *languages_of(wide.columns[column])}:
            axes.add_patch(Rectangle((column - 0.47, row - 0.44), 0.94, 0.88, fill=False, color=COLOURS[1]))
    axes.set_xticks(range(wide.shape[1]), [source_name(source) for source in wide], rotation=30, ha="left")
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(wide)), names)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_ylabel("tested in")
    axes.set_title("fine-tuned on", loc="center", fontweight="normal")
    return axes


@styled
def zero_shot(table: pd.DataFrame, *, trained: str = ONE, split: str = "test") -> np.ndarray:
    """Zero-shot F1 over sparsity, a panel for each language that no pruned model was fine-tuned on, the average first.

    Of models of one language, as means over the source languages, or of the joint model (`trained` "joint"); seeds as
    dots, bands t intervals over seeds, grey the dense model (paper 1, cross-lingual zero-shot). Returns the axes.
    """
    rows = one_kind(unseen(table, split=split), "encoder", "method", "scope", "include")
    rows = rows[rows["trained"] == trained]
    if rows.empty:
        raise SmallerError(f"No {trained} model of this table was tested in a language that it was not fine-tuned on.")
    panels = panels_of(rows, average=True)
    axes = new_axes(len(panels))
    for panel, (language, own) in zip(axes, panels.items(), strict=True):
        dense_line(panel, own, label="dense")
        _orders(panel, own)
        panel.set_title(language_name(language))
        sparsity_axes(panel, "")
    finish(axes, x="sparsity (%)", y="zero-shot F1 (points)")
    return axes


@styled
def transfer_and_distance(table: pd.DataFrame, distances: pd.DataFrame, *, split: str = "test") -> np.ndarray:
    """Zero-shot F1 of the dense models over overlap of pieces and over unknown pieces: a dot for each target.

    Means over the source languages. Filled: seen in pre-training; squares: another script than most sources.
    Returns the axes, one a panel.
    """
    pairs = with_distances(table, distances, split=split)
    means = pairs.groupby(["dataset", "language"])[["f1", *DISTANCES]].mean().reset_index()
    axes = new_axes(2, height=3.0)
    for panel, column, label in (
        (axes[0], "piece_overlap", DISTANCES["piece_overlap"]),
        (axes[1], "unknown_pieces", DISTANCES["unknown_pieces"]),
    ):
        for seen, script in ((1, True), (0, True), (1, False), (0, False)):
            own = means[(means["seen"] == seen) & ((means["same_script"] >= 0.5) == script)]
            look = {"color": COLOURS[0 if script else 1], "marker": "o" if script else "s", "linestyle": ""}
            words = f"{'' if seen else 'not '}seen in pre-training" + ", script of few sources" * (not script)
            if len(own):
                panel.plot(own[column], own["f1"], markerfacecolor=None if seen else "white", markersize=5,
                           label=words, **look)  # fmt: skip
        for row in means.to_dict("records"):
            panel.annotate(row["language"], (row[column], row["f1"]), xytext=(4, 2), textcoords="offset points",
                           fontsize=7, color=GREY)  # fmt: skip
        panel.set_xlabel(label)
        panel.margins(y=0.1)  # room for the highest code
        panel.sharey(axes[0])
    axes[0].set_ylabel("zero-shot F1, mean over sources (points)")
    legend_above(axes[0].figure, axes)
    return axes


@styled
def correlations(frame: pd.DataFrame, *, axes: Axes | None = None) -> Axes:
    """Rank correlations with their intervals, a row for each feature and a marker for each thing it goes with.

    `frame` has the columns feature, outcome, rho, low, high and n.
    """
    if frame.empty:
        raise SmallerError("There is no correlation to draw: what was to be correlated does not vary.")
    features, outcomes = (list(dict.fromkeys(frame[column])) for column in ("feature", "outcome"))
    axes = axes or new_axes(1, height=1.0 + 0.13 * len(features) * (1 + len(outcomes)))[0]
    axes.axvline(0, color=GREY, linewidth=1)
    for number, outcome in enumerate(outcomes):
        own = frame[frame["outcome"] == outcome]
        y = [len(features) - 1 - features.index(feature) for feature in own["feature"]]
        y = np.array(y) + 0.35 * (len(outcomes) - 1 - 2 * number) / max(len(outcomes), 2)
        look = {"color": COLOURS[number % 6], "marker": MARKERS[number % 6]}
        axes.hlines(y, own["low"], own["high"], color=look["color"], linewidth=1)
        axes.plot(own["rho"], y, linestyle="", markersize=4.5, label=outcome, **look)
    for place in range(0, len(features), 2):
        axes.axhspan(place - 0.5, place + 0.5, color=GREY, alpha=0.05, linewidth=0, zorder=0)
    axes.grid(visible=False, axis="y")
    axes.set_yticks(range(len(features)), features[::-1])
    axes.set_ylim(-0.5, len(features) - 0.5)
    axes.set_xlim(-1.03, 1.03)
    axes.set_xlabel("rank correlation")
    entries = axes.get_legend_handles_labels()
    axes.figure.legend(*entries, loc="outside upper center", ncols=1 if len(outcomes) > 3 else len(outcomes))
    return axes
