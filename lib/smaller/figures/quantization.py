"""Figures of quantization: F1 against fp32, bytes by part, time by format, and F1 under fewer bits."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import SymmetricalLogLocator

from smaller.comparison import MARGIN
from smaller.errors import SmallerError
from smaller.figures.base import COLOURS, GREY, dots_mean_interval, finish, in_steps, legend_above, new_axes, styled
from smaller.findings import quantization, rounding
from smaller.findings.quantization import REFERENCE
from smaller.forms import FORMS
from smaller.statistics import AVERAGE, one_kind

HATCHES = ("", "////", "....")
WHERE = {"embeddings": "embeddings", "linear": "Linear layers", "rest": "norms and the rest"}
WITHIN = f"within {MARGIN:g} points of fp32"


@styled
def f1_by_form(table: pd.DataFrame, published: pd.DataFrame | None = None, *, split: str = "test") -> np.ndarray:
    """What each format does to F1: differences to fp32, a row for each format.

    Dots are seeds (averages over the languages), markers their mean with its t interval; the grey band is the margin
    within which F1 counts as kept. `published` has a row "average" and the columns dense, dynamic and llm.int8: its
    changes become hollow squares in a second panel, since they can be far off. Returns the axes.
    """
    rows = quantization.plain(table, split=split)
    rows = quantization.changes(rows[rows["form"] != REFERENCE], rows)
    forms = [form for form in FORMS if form in set(rows["form"])]
    axes = np.ravel(Figure(figsize=(7, 1.1 + 0.3 * len(forms))).subplots(1, 1 + (published is not None), sharey=True))
    for panel in axes:
        panel.axvspan(-MARGIN, MARGIN, color=GREY, alpha=0.12, linewidth=0, label=WITHIN)
        dots_mean_interval(panel, rows, x="change", y="form", order=forms, clip=False)
        panel.plot([], [], "o", color=COLOURS[0], label="mean over seeds with its interval")
        panel.grid(visible=False, axis="y")
        panel.set_ylim(len(forms) - 0.4, -0.6)
    if published is not None:
        changes = published.loc[AVERAGE] - published.loc[AVERAGE, "dense"]
        for form in [form for form in forms if form in published]:
            axes[1].plot(changes[form], forms.index(form), "s", color=COLOURS[1], markerfacecolor="none", markersize=7,
                         label="printed in the paper")  # fmt: skip
        axes[0].set_title("Here")
        axes[1].set_title("Beside the printed change")
    finish(axes, x=f"F1 against {REFERENCE} (points)", y="")
    return axes


@styled
def bytes_by_form(sizes: Mapping[str, pd.DataFrame]) -> np.ndarray:
    """Where the bytes are: a panel for each model, a bar for each format, its parts stacked; per cent saved beside it.

    `sizes` gives a table with the columns form, part and bytes for the title of each panel. Returns the axes.
    """
    forms = [form for form in FORMS if any(form in set(parts["form"]) for parts in sizes.values())][::-1]
    axes = np.ravel(Figure(figsize=(7, 0.9 + 0.28 * len(forms))).subplots(1, len(sizes), sharey=True))
    for panel, (title, parts) in zip(axes, sizes.items(), strict=True):
        wide = parts.pivot(index="form", columns="part", values="bytes").reindex(forms)[list(WHERE)] / 1e6
        total, left = wide.sum(axis="columns", min_count=1), 0.0
        for part, label in WHERE.items():
            panel.barh(forms, wide[part], left=left, height=0.66, label=label, **_look(part))
            left = left + wide[part]
        for form, size in total.dropna().items():
            saved = float(100 * (1 - size / total[REFERENCE]))
            panel.text(size, form, f" {size:.1f}" + f" (−{saved:.0f} %)" * (saved >= 0.5), va="center", fontsize=6.5)
        panel.grid(visible=False, axis="y")
        panel.set_xlim(0, 1.26 * total.max())
        panel.set_title(title)
    finish(axes, x="MB in memory", y="")
    return axes


@styled
def size_waterfall(
    parts: pd.DataFrame,
    *,
    steps: Sequence[str] = (REFERENCE, "fp16", "llm.int8"),
    published: Mapping[str, float] | None = None,
) -> Axes:
    """What each format of `steps` removes from the one before it: full bars are formats, floating ones what is cut.

    `parts` has the columns form, part and bytes; `published` gives printed sizes in MB by name, drawn as lines. What is
    less than half a per cent of the first format is no cut.
    """
    (axes,) = new_axes(1, height=3.2)
    wide = parts.pivot(index="form", columns="part", values="bytes")[list(WHERE)] / 1e6
    bars = [(steps[0], 0.0, wide.loc[steps[0]])]
    for before, form in itertools.pairwise(steps):
        cuts = (wide.loc[before] - wide.loc[form])[lambda cut: cut > 0.005 * wide.loc[steps[0]].sum()]
        levels = wide.loc[before].sum() - cuts.cumsum()
        bars += [(f"{WHERE[part]}\nto {form}", levels[part], cuts[[part]]) for part in cuts.index]
        bars.append((form, 0.0, wide.loc[form]))
    for place, (_, base, heights) in enumerate(bars):
        top = base
        for part, height in heights.items():
            axes.bar(place, height, bottom=top, width=0.62, alpha=0.45 if base else 1, label=WHERE[part], **_look(part))
            top += height
        axes.text(place, top + 4, f"−{top - base:.0f}" if base else f"{top:.0f}", ha="center", va="bottom", fontsize=7,
                  bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
                  fontweight="normal" if base else "bold")  # fmt: skip
    for name, size in (published or {}).items():
        axes.axhline(size, color=COLOURS[2], linewidth=1, linestyle="--", zorder=0.9)
        axes.text(len(bars) - 0.6, size, f"{name}: {size:g}", va="bottom", color=COLOURS[2], fontsize=7)
    axes.set_xticks(range(len(bars)), [name for name, _, _ in bars])
    axes.set(xlim=(-0.5, len(bars) + 0.6 * bool(published)), ylabel="MB")
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.1)
    legend_above(axes.figure, [axes])
    return axes


def _look(part: str) -> dict:
    number = list(WHERE).index(part)
    return {"color": (*COLOURS[:2], GREY)[number], "hatch": HATCHES[number], "edgecolor": "white", "linewidth": 0}


@styled
def time_by_form(settings: pd.DataFrame) -> np.ndarray:
    """Milliseconds for a sentence by format on one device, a panel for each number of threads and batch size.

    Dots are languages, bars from their fastest to their slowest round, diamonds the mean over languages. The grey band
    is fp32 give or take the noise floor: a format within it is as fast. The axis is logarithmic where formats differ
    more than tenfold. Returns the axes.
    """
    rows = one_kind(settings[settings["milliseconds"].notna()], "device")
    if rows.empty:
        raise SmallerError("No time was measured in this table.")
    forms = [form for form in FORMS if form in set(rows["form"])]
    panels = dict(tuple(rows.groupby(["threads", "batch"])))
    axes = new_axes(len(panels), height=0.7 + (0.5 + 0.2 * len(forms)) * (1 if len(panels) < 4 else 2))
    for panel, ((threads, batch), own) in zip(axes, panels.items(), strict=True):
        dense = own[own["form"] == REFERENCE]
        if len(dense):
            middle, floor = dense["milliseconds"].mean(), dense["noise_floor"].max()
            panel.axvspan(middle / (1 + floor), middle * (1 + floor), color=GREY, alpha=0.16, linewidth=0,
                          label="fp32 and the noise floor")  # fmt: skip
        # The three numbers of a language are its median, fastest and slowest round, so that their span is the bar.
        rounds = own.melt(["form", "language"], ["milliseconds", "milliseconds_low", "milliseconds_high"])
        common = {"x": "value", "y": "form", "order": forms, "ax": panel, "linestyle": "none", "legend": False}
        languages = own["language"].nunique()
        sns.pointplot(rounds, hue="language", palette=COLOURS[:1] * languages, estimator="median", markersize=2,
                      errorbar=("pi", 100), dodge=0.36 if languages > 1 else False, alpha=0.6,
                      err_kws={"linewidth": 0.7}, **common)  # fmt: skip
        sns.pointplot(own.rename(columns={"milliseconds": "value"}), color=COLOURS[1], markers="D", markersize=4,
                      errorbar=None, **common)  # fmt: skip
        panel.plot([], [], ".", color=COLOURS[0], label="language, from its fastest to its slowest round")
        panel.plot([], [], "D", color=COLOURS[1], label="mean")
        panel.set(xlabel="", ylabel="", title=f"Batch {batch}, {threads} thread{'s' * (threads != 1)}")
        panel.grid(visible=False, axis="y")
    if rows["milliseconds"].max() > 10 * rows["milliseconds"].min():
        in_steps(axes[0].xaxis)
    else:
        axes[0].set_xlim(left=0)
    finish(axes, x="milliseconds per sentence", y="")
    return axes


@styled
def f1_against_bits(table: pd.DataFrame, *, split: str = "test") -> Axes:
    """The change of F1 when weights are rounded to fewer bits, markers for each part of the model (T23).

    Dots are seeds (averages over the languages), markers their mean with its t interval; the grey band is the margin
    within which F1 counts as kept. Beyond one point the axis is logarithmic.
    """
    rows = quantization.changes(*rounding.both(table, split=split), by=["part", "bits"])
    (axes,) = new_axes(1, height=3.4)
    grid = [f"{bits:.0f}" for bits in sorted(set(rows["bits"]), reverse=True)]
    rows = rows.assign(bits=rows["bits"].astype(int).astype(str), part=rows["part"].map(rounding.PARTS))
    parts = [part for part in rounding.PARTS.values() if part in set(rows["part"])]
    axes.axhspan(-MARGIN, MARGIN, color=GREY, alpha=0.12, linewidth=0, label=WITHIN)
    dots_mean_interval(axes, rows, x="bits", y="change", hue="part", order=grid, hue_order=parts, clip=False)
    axes.set_yscale("symlog", linthresh=1)
    axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set(xlabel="bits of a weight", ylabel=f"F1 against {REFERENCE} (points)")
    legend_above(axes.figure, [axes])
    return axes
