"""Figures of models away from home: other domains, unseen languages, and what goes with transfer and compression."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from smaller.analysis.figures import base
from smaller.analysis.figures.base import COLOURS, GREY, MARKERS, new_axes, styled
from smaller.analysis.figures.pruning import f1_by_language
from smaller.analysis.findings.correlations import over_sources, with_distances
from smaller.analysis.findings.transfer import HOME, ONE, domains, languages_of, matrix, of_pruned, source_name, unseen
from smaller.base.errors import SmallerError
from smaller.data.features import DISTANCES


def framed(axes: Axes, row: int, column: int, **look: object) -> None:
    """Draw a frame around a cell of a heat map."""
    axes.add_patch(Rectangle((column + 0.03, row + 0.06), 0.94, 0.88, fill=False, **look))


@styled
def out_of_domain(table: pd.DataFrame) -> np.ndarray:
    """F1 in another domain over sparsity, a panel for each language, the average first (paper 1, out of domain).

    Seeds as dots, bands t intervals over seeds. Grey: the dense model out of domain with its band; dotted: in domain.
    Returns the axes, one a panel.
    """
    rows = of_pruned(domains(table))
    if rows.empty:
        raise SmallerError("No model of this table was tested in another data set of its own language.")
    axes = f1_by_language(rows)
    dense = rows[rows["order"] == "dense"]
    for panel, own in zip(axes, base.panels_of(dense, average=True).values(), strict=True):
        panel.axhline(own["in_domain"].mean(), color=GREY, linewidth=1, linestyle=":", label="dense, in domain")
    axes[0].figure.legends[0].remove()
    base.finish(axes, x="sparsity (%)", y="F1 out of domain (points)")
    return axes


@styled
def zero_shot(table: pd.DataFrame, *, trained: str = ONE) -> np.ndarray:
    """Zero-shot F1 over sparsity, a panel for each language that no pruned model was fine-tuned on, the average first.

    Of models of one language, as means over the source languages, or of the joint model (`trained` "joint"); seeds as
    dots, bands t intervals over seeds, grey the dense model (paper 1, cross-lingual zero-shot). Returns the axes.
    """
    rows = unseen(table)
    rows = rows[rows["trained"] == trained]
    if rows.empty:
        raise SmallerError(f"No {trained} model of this table was tested in a language that it was not fine-tuned on.")
    axes = f1_by_language(rows)
    axes[0].figure.supylabel("zero-shot F1 (points)", fontsize=8)
    return axes


@styled
def transfer_matrix(table: pd.DataFrame) -> Axes:
    """F1 of the dense models as a heat map, targets by sources, means over seeds in the cells.

    The first row is each source on its own test set. Framed cells are languages that the source was fine-tuned on.
    """
    wide = matrix(table)
    several = wide.index.get_level_values("language").duplicated(keep=False)
    names = [
        HOME if language == HOME else base.language_name(language) + f" ({dataset})" * bool(twice)
        for (dataset, language), twice in zip(wide.index, several, strict=True)
    ]
    axes = new_axes(1, height=1.1 + 0.21 * len(wide))[0]
    base.heat_map(
        axes,
        wide.set_axis(names).set_axis([source_name(source) for source in wide], axis="columns"),
        decimals=1,
        label="F1 (points)",
        vmin=0,
        vmax=100,
    )
    for row, column in np.ndindex(wide.shape):
        if wide.index[row][1] in {HOME, *languages_of(wide.columns[column])}:
            framed(axes, row, column, color=COLOURS[1], linewidth=1.4)
    axes.xaxis.tick_top()
    axes.tick_params(rotation=0)
    axes.set(xlabel="", ylabel="tested in")
    axes.set_title("fine-tuned on", loc="center", fontweight="normal")
    return axes


@styled
def transfer_and_distance(table: pd.DataFrame, distances: pd.DataFrame) -> np.ndarray:
    """Zero-shot F1 of the dense models over overlap of tokens and over unknown tokens: a dot for each target.

    Means over the same source languages for every target; colours and markers tell what the encoder has seen of it.
    Returns the axes, one a panel.
    """
    means = over_sources(with_distances(table, distances)).reset_index()
    if means.empty:
        raise SmallerError("No target of this table was tested zero-shot by all of the sources.")
    means["kind"] = [
        "seen in pre-training"
        if row.seen
        else "not seen in pre-training"
        if row.same_script >= 0.5
        else "not seen, and in another script than most sources"
        for row in means.itertuples()
    ]
    axes, kinds = new_axes(2, height=3.0), means["kind"].nunique()
    for panel, column in zip(axes, ("piece_overlap", "unknown_pieces"), strict=True):
        sns.scatterplot(
            means,
            x=column,
            y="f1",
            hue="kind",
            style="kind",
            markers=list(MARKERS[:kinds]),
            palette=COLOURS[:kinds],
            s=28,
            ax=panel,
        )
        panel.get_legend().remove()
        for row in means.to_dict("records"):
            panel.annotate(
                row["language"],
                (row[column], row["f1"]),
                xytext=(4, 2),
                textcoords="offset points",
                fontsize=7,
                color=GREY,
            )
        panel.set(xlabel=DISTANCES[column], ylabel="")
        panel.margins(y=0.1)  # room for the highest code
        panel.sharey(axes[0])
    axes[0].set_ylabel("zero-shot F1, mean over sources (points)")
    base.legend_above(axes[0].figure, axes)
    return axes
