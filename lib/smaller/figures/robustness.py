"""Figures of models under noise: what they keep, beside the dense model, and whether their confidence says so."""

from __future__ import annotations

import math

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from smaller.data.noise import KINDS
from smaller.errors import SmallerError
from smaller.figures.base import COLOURS, GREY, LINES, MARKERS, finish, legend_above, new_axes, styled
from smaller.findings.robustness import DENSE, attacks, beside_dense, under_noise
from smaller.findings.robustness_confidence import ELSEWHERE, NOISE, OWN, calibration
from smaller.statistics import t_interval


@styled
def noise_curves(table: pd.DataFrame, *, split: str = "test") -> np.ndarray:
    """F1 kept over the rate of each kind of noise: the dense model, and the last model of each family.

    Means over languages and seeds; the band is the dense model's t interval over seeds. Returns the axes, one a panel.
    """
    rows = under_noise(table, split=split).dropna(subset="kept")
    if rows.empty:
        raise SmallerError("No model of this table has enough F1 on clean text for a share of it to say anything.")
    last = rows.groupby("family", sort=False)["model"].last()
    kinds = [kind for kind in KINDS if kind in set(rows["noise"])]
    columns = 4 if len(kinds) > 6 else min(len(kinds), 3)
    lines = math.ceil(len(kinds) / columns)
    # Rates of letters and of whole words differ, so each panel has a scale of its own.
    axes = Figure(figsize=(7, 1.1 + 1.7 * lines)).subplots(lines, columns, sharey=True, squeeze=False).ravel()
    for spare in axes[len(kinds) :]:
        spare.remove()
    axes = axes[: len(kinds)]
    for panel, kind in zip(axes, kinds, strict=True):
        own = rows[rows["noise"] == kind]
        for place, model in enumerate(last):
            found = _by_rate(own[own["model"] == model])
            # Every curve begins at the clean model, which keeps all of its own F1.
            x, y = [0, *(100 * rate for rate in found)], [100, *(interval.mean for interval in found.values())]
            look = {"color": GREY, "linewidth": 1.6, "marker": "x"} if model == DENSE else {
                "color": COLOURS[(place - 1) % 6], "marker": MARKERS[(place - 1) % 6],
                "linestyle": LINES[(place - 1) % 6], "markerfacecolor": "white"}  # fmt: skip
            panel.plot(x, y, label=model, **look)
            if model == DENSE:
                low, high = ([100, *(getattr(interval, side) for interval in found.values())]
                             for side in ("low", "high"))  # fmt: skip
                panel.fill_between(x, low, np.minimum(high, 110), color=GREY, alpha=0.14, linewidth=0)
        panel.set_title(kind)
        panel.set_ylim(bottom=0)
    axes[0].figure.supxlabel("rate (%)", fontsize=8)
    axes[0].figure.supylabel("F1 kept (% of clean)", fontsize=8)
    axes[0].figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return axes


def _by_rate(rows: pd.DataFrame) -> dict:
    seeds = rows.groupby(["rate", "seed"])["kept"].mean()
    return {rate: t_interval(own) for rate, own in seeds.groupby("rate")}


@styled
def brittleness(table: pd.DataFrame, *, axes: Axes | None = None, split: str = "test") -> Axes:
    """What each model keeps under the strongest noise of each kind, minus what the dense model keeps, as a heat map.

    Points of the share of clean F1, means over pairs of language and seed; framed where the t interval over these pairs
    excludes zero.
    """
    rows = under_noise(table, split=split)
    rows = rows[rows["strongest"]].dropna(subset="kept")
    kinds = [kind for kind in KINDS if kind in set(rows["noise"])]
    models = [model for model in dict.fromkeys(rows["model"]) if model != DENSE]
    if not models:
        raise SmallerError("There is no compressed model to draw beside the dense one.")
    found = {kind: beside_dense(rows[rows["noise"] == kind], "kept") for kind in kinds}
    changes = [[found[kind][model][1] if model in found[kind] else t_interval([]) for kind in kinds]
               for model in models]  # fmt: skip
    means = np.array([[change.mean for change in line] for line in changes])
    reach = max(10.0, float(np.nanmax(np.abs(means), initial=0)))
    axes = axes or new_axes(1, height=1.1 + 0.21 * len(models))[0]
    axes.imshow(means, cmap=matplotlib.colormaps["PuOr"], norm=TwoSlopeNorm(0, -reach, reach), aspect="auto")
    for (row, column), mean in np.ndenumerate(means):
        text = "–" if math.isnan(mean) else f"{round(mean, 1) + 0.0:+.1f}"
        dark = "white" if abs(mean) > 0.7 * reach else "black"
        axes.text(column, row, text, ha="center", va="center", color=dark, fontsize=7)
        if changes[row][column].known and not changes[row][column].low <= 0 <= changes[row][column].high:
            axes.add_patch(Rectangle((column - 0.47, row - 0.44), 0.94, 0.88, fill=False, color="black", linewidth=1))
    axes.set_xticks(range(len(kinds)), kinds)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(models)), models)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    return axes


@styled
def calibration_errors(table: pd.DataFrame, *, axes: Axes | None = None, split: str = "test") -> Axes:
    """Calibration error of each model on clean text, under the strongest typing noise, and in other languages.

    Small dots are pairs of language and seed, large markers their means.
    """
    errors = calibration(table, split=split)
    models = list(dict.fromkeys(errors["model"]))
    axes = axes or new_axes(1, height=1.2 + 0.24 * len(models))[0]
    for place, (name, colour) in enumerate({OWN: COLOURS[0], NOISE: COLOURS[1], ELSEWHERE: COLOURS[2]}.items()):
        own = errors[errors["place"] == name]
        if own.empty:
            continue
        rows = len(models) - 1 - own["model"].map(models.index)
        axes.plot(own["error"], rows, ".", color=colour, alpha=0.4, markersize=4)
        means = own.groupby("model", sort=False)["error"].mean()
        y = [len(models) - 1 - models.index(model) for model in means.index]
        axes.plot(means, y, linestyle="", marker=MARKERS[place], color=colour, markersize=5, label=name)
    _rows(axes, models)
    axes.set_xlim(left=0)
    axes.set_xlabel("calibration error (points)")
    legend_above(axes.figure, [axes])
    return axes


@styled
def attack_success(table: pd.DataFrame, *, split: str = "test") -> np.ndarray:
    """The share of rightly tagged sentences that a search for harmful edits breaks, a panel for each budget.

    Small dots are pairs of language and seed, large markers their means; hollow: as many random edits. Returns the
    axes, one a panel.
    """
    rows = attacks(table, split=split).dropna(subset="attack_success")
    if rows.empty:
        raise SmallerError("No model of this table was attacked: give study.run sets with the noise 'attack'.")
    models, budgets = list(dict.fromkeys(rows["model"])), sorted(rows["rate"].unique())
    axes = new_axes(len(budgets), height=1.2 + 0.24 * len(models))
    for panel, budget in zip(axes, budgets, strict=True):
        own = rows[rows["rate"] == budget]
        y = len(models) - 1 - own["model"].map(models.index)
        panel.plot(own["attack_success"], y, ".", color=COLOURS[1], alpha=0.4, markersize=4)
        means = own.groupby("model", sort=False)[["attack_success", "random_success"]].mean()
        y = [len(models) - 1 - models.index(model) for model in means.index]
        for column, label, look in (("attack_success", "search", {"color": COLOURS[1], "marker": "s"}),
                                    ("random_success", "random edits",
                                     {"color": GREY, "marker": "o", "markerfacecolor": "white"})):  # fmt: skip
            panel.plot(means[column], y, linestyle="", markersize=5, label=label, **look)
        panel.set_title(f"at most {100 * budget:g} % of the letters")
        _rows(panel, models)
        panel.set_xlim(-2, 102)
    finish(axes, x="sentences broken (%)", y="")
    return axes


def _rows(axes: Axes, models: list[str]) -> None:
    for place in range(0, len(models), 2):
        axes.axhspan(place - 0.5, place + 0.5, color=GREY, alpha=0.05, linewidth=0, zorder=0)
    axes.grid(visible=False, axis="y")
    axes.set_yticks(range(len(models)), models[::-1])
    axes.set_ylim(-0.5, len(models) - 0.5)
