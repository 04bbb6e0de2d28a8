"""Figures of models under noise: what they keep, beside the dense model, and whether their confidence says so."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from smaller.analysis.comparison import DIFFERS, made
from smaller.analysis.figures import base
from smaller.analysis.findings.robustness import DENSE, PAIR, PLACES, attacks, calibration, under_noise
from smaller.analysis.statistics import by_seed
from smaller.base.checks import require
from smaller.data.noise import IN_WORDS, KINDS


@base.styled
def noise_curves(table: pd.DataFrame) -> np.ndarray:
    """F1 kept over the rate of each kind of noise: the dense model, and each technique at the last of its strengths."""
    rows = under_noise(table).dropna(subset="kept")
    require(len(rows) > 0, "No model of this table has enough F1 on clean text for a share of it to say anything.")
    last = rows.groupby(["technique", "order"], sort=False)["model"].last()
    parts = {IN_WORDS[kind]: rows[rows["noise"] == kind] for kind in KINDS if kind in set(rows["noise"])}

    def draw(panel: Axes, noisy: pd.DataFrame) -> None:
        for place, model in enumerate(last):
            own = by_seed(noisy[noisy["model"] == model], "kept", by=["rate"]).reset_index()
            # Every curve begins at the clean model, which keeps all of its own F1.
            own = pd.concat([own.drop_duplicates("seed").assign(rate=0.0, kept=100.0), own])
            dense = {"color": base.GREY, "marker": "X", "linewidth": 1.8}
            style = dense if model == DENSE else base.look(place - 1)
            base.curve(panel, own, x="rate", y="kept", label=model, band=model == DENSE, **style)
            # Seeds stand beside the means, which would hide them, in a column for each model.
            own = own[own["rate"] > 0]
            beside = 100 * (own["rate"] - 0.014 * (place + 1) * own["rate"].max())
            panel.plot(beside, own["kept"], ".", color=style["color"], markersize=2.2, alpha=0.8, zorder=1.8)
        panel.set_ylim(0, None)

    # Rates of letters and of whole words differ, so each panel has a scale of its own.
    size = {"height": 1.1 + 1.7 * -(-len(parts) // 4), "share": "y"}
    return base.panels(parts, draw, x="rate (%)", y="F1 kept (% of clean)", columns=3, **size)


@base.styled
def brittleness(kinds: pd.DataFrame) -> Axes:
    """What models keep under the strongest noise of each of `robustness.by_kind`, minus dense; framed: it differs."""
    found = made(kinds)
    found = found[found["strongest"].astype(bool)]
    require(len(found) > 0, "There is no compressed model to compare with the dense one.")
    wide = found.pivot(index="model", columns="noise", values="comparison")
    wide = wide.reindex(index=found["model"].unique(), columns=found["noise"].unique())
    means = wide.map(lambda one: one.interval.mean, na_action="ignore").astype(float).round(1) + 0.0
    shown = wide.map(lambda one: getattr(one, "verdict", "") == DIFFERS).to_numpy()
    reach = max(10.0, float(np.nanmax(np.abs(means))))
    axes = base.new_axes(1, height=1.1 + 0.21 * len(wide))[0]
    scale = {"centre": 0.0, "vmin": -reach, "vmax": reach, "label": "F1 kept, minus dense (points)"}
    means = means.rename(columns=lambda kind: IN_WORDS[kind].replace(" ", "\n", 1))
    base.heat_map(axes, means, framed=shown, sign="+", **scale)
    return axes


@base.styled
def calibration_errors(table: pd.DataFrame) -> Axes:
    """Calibration error of each model on clean text, under the strongest typing noise, and in other languages."""
    errors = by_seed(calibration(table), "error", by=["model", "place"]).reset_index()
    models, places = errors["model"].unique(), [place for place in PLACES if place in set(errors["place"])]
    axes = base.new_axes(1, height=1.2 + 0.3 * len(models))[0]
    base.dots_mean_interval(axes, errors, x="error", y="model", hue="place", order=models, hue_order=places)
    axes.set(xlim=(0, None), xlabel="calibration error (points)")
    return base.legend_above(axes)


@base.styled
def attack_success(table: pd.DataFrame) -> np.ndarray:
    """The share of correctly tagged sentences that a search for harmful edits, or random edits, break, by budget."""
    rows = attacks(table).dropna(subset="attack_success")
    require(len(rows) > 0, "No model of this table was attacked: give study.run evaluation sets of the kind 'attack'.")
    edits = {"attack_success": "search", "random_success": "random edits"}
    found = rows.rename(columns=edits).melt(["model", "rate", *PAIR], edits.values(), "edits", "broken")
    found = by_seed(found, "broken", by=["model", "rate", "edits"]).reset_index()
    models = rows["model"].unique()

    def draw(panel: Axes, own: pd.DataFrame) -> None:
        groups = {"order": models, "hue": "edits", "hue_order": edits.values()}
        base.dots_mean_interval(panel, own, x="broken", y="model", **groups)
        panel.set_xlim(-2, 102)

    parts = {f"at most {100 * budget:g} % of the letters": own for budget, own in found.groupby("rate")}
    x, height = "sentences broken (%); intervals are cut at 0 and 100", 1.2 + 0.27 * len(models)
    return base.panels(parts, draw, x=x, y="", height=height)
