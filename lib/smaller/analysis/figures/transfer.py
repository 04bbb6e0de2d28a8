"""Figures of models away from home: other domains, unseen languages, and what goes with transfer and compression."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from smaller.analysis.figures import base
from smaller.analysis.figures.base import GREY, styled
from smaller.analysis.figures.pruning import curves
from smaller.analysis.findings.correlations import over_sources, with_distances
from smaller.analysis.findings.transfer import HOME, ONE, elsewhere, languages_of, matrix, source_name, unseen
from smaller.base.checks import require
from smaller.data.features import DISTANCES


@styled
def out_of_domain(table: pd.DataFrame) -> np.ndarray:
    """F1 in another domain over sparsity, a panel for each language; dotted: the dense model in domain (P1-F4)."""
    rows = elsewhere(table)
    require(len(rows) > 0, "No model of this table was tested in another data set of its own language.")

    def draw(panel: Axes, own: pd.DataFrame) -> None:
        curves(panel, own)
        home = own.loc[own["order"] == "dense", "in_domain"].mean()
        panel.axhline(home, color=GREY, linewidth=1, linestyle=":", label="dense, in domain")

    return base.panels(base.by_language(rows), draw, x=base.SPARSITY, y="F1 out of domain (points)")


@styled
def zero_shot(table: pd.DataFrame, *, trained: str = ONE) -> np.ndarray:
    """Zero-shot F1 over sparsity, a panel for each language that no pruned model was fine-tuned on (P1-F5)."""
    rows = unseen(table)
    rows = rows[rows["trained"] == trained]
    require(len(rows) > 0, f"No {trained} model of this table was tested in a language that it was not fine-tuned on.")
    return base.panels(base.by_language(rows), curves, x=base.SPARSITY, y="zero-shot F1 (points)")


@styled
def transfer_matrix(table: pd.DataFrame) -> Axes:
    """F1 of the dense models as a heat map, targets by sources; framed are languages of the source's training."""
    wide = matrix(table)
    several = wide.index.get_level_values("language").duplicated(keep=False)
    names = [
        HOME if language == HOME else base.language_name(language) + f" ({dataset})" * bool(twice)
        for (dataset, language), twice in zip(wide.index, several, strict=True)
    ]
    known = [[language in {HOME, *languages_of(source)} for source in wide] for _, language in wide.index]
    axes = base.new_axes(1, height=1.1 + 0.21 * len(wide))[0]
    named = wide.set_axis(names).set_axis([source_name(source) for source in wide], axis="columns")
    base.heat_map(axes, named, label="F1 (points)", framed=np.array(known), vmin=0, vmax=100)
    axes.set_ylabel("tested in")
    axes.set_title("fine-tuned on", loc="center", fontweight="normal")
    return axes


@styled
def transfer_and_distance(table: pd.DataFrame, distances: pd.DataFrame) -> np.ndarray:
    """Zero-shot F1 of the dense models, means over the same sources, over overlap of tokens and over unknown tokens."""
    means = over_sources(with_distances(table, distances)).reset_index()
    require(len(means) > 0, "No target of this table was tested zero-shot by all of the sources.")
    unlike = np.where(means["same_script"] >= 0.5, "not seen", "not seen, and in another script than most sources")
    means["kind"] = np.where(means["seen"], "seen in pre-training", unlike)
    axes = base.new_axes(2, height=3.0)
    for panel, column in zip(axes, ("piece_overlap", "unknown_pieces"), strict=True):
        for place, (kind, own) in enumerate(means.groupby("kind", sort=False)):
            color, marker = base.look(place)["color"], base.look(place)["marker"]
            sns.scatterplot(own, x=column, y="f1", color=color, marker=marker, s=28, label=kind, legend=False, ax=panel)
        panel.set(xlabel=DISTANCES[column], ylabel="")
        panel.margins(0.1)  # room for the codes
    axes[0].set_ylabel("zero-shot F1, mean over sources (points)")
    base.legend_above(axes)
    for panel, column in zip(axes, ("piece_overlap", "unknown_pieces"), strict=True):
        places = means.set_index("language")[[column, "f1"]]
        base.notes(panel, {code: (x, y) for code, x, y in places.itertuples()}, color=GREY)
    return axes
