"""Figures of quantization: F1 against fp32, bytes by part, time by form, and F1 under fewer bits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from smaller.errors import SmallerError
from smaller.figures.base import COLOURS, GREY, LINES, MARKERS, finish, language_name, legend_above, new_axes, styled
from smaller.findings.quantization import REFERENCE, by_seed
from smaller.findings.rounding import PARTS
from smaller.forms import FORMS
from smaller.statistics import AVERAGE, one_kind, paired_difference

HATCHES = ("", "////", "....")
WHERE = {"embeddings": "embeddings", "linear": "Linear layers", "rest": "norms and the rest"}


@styled
def f1_by_form(table: pd.DataFrame, published: pd.DataFrame | None = None, *, split: str = "test") -> np.ndarray:
    """What each form does to F1: paired differences to fp32, a row for each form.

    Dots are single seeds of single languages, large markers the average over languages with its t interval over seeds.
    `published` has a row "average" and the columns dense, dynamic and llm.int8: its changes become hollow markers, in a
    second panel, since they can be far off. Returns the axes.
    """
    wide = by_seed(table, split=split)
    first, forms = wide.index[0][0], [form for form in wide if form != REFERENCE][::-1]
    average, singles = wide.loc[[first]], wide.drop(AVERAGE, level="language", errors="ignore")
    panels = 1 if published is None else 2
    axes = np.ravel(Figure(figsize=(7, 1.1 + 0.3 * len(forms))).subplots(1, panels, sharey=True))
    for panel in axes:
        panel.axvline(0, color=GREY, linewidth=1)
        for place, form in enumerate(forms):
            dots = (singles[form] - singles[REFERENCE]).dropna()
            panel.plot(dots, np.full(len(dots), place), ".", color=COLOURS[0], alpha=0.3, markersize=5, zorder=1)
            found = paired_difference(average[form], average[REFERENCE])
            panel.plot([found.low, found.high], [place, place], color=COLOURS[0], linewidth=1.2)
            label = "average over languages" if first == AVERAGE else language_name(first)
            panel.plot(found.mean, place, "o", color=COLOURS[0], markersize=5, label=label)
        panel.grid(visible=False, axis="y")
        panel.margins(x=0.08)
    if published is not None:
        for form in [form for form in forms if form in published]:
            change = published.loc[AVERAGE, form] - published.loc[AVERAGE, "dense"]
            look = {"color": COLOURS[1], "markerfacecolor": "none", "markersize": 7, "linestyle": ""}
            axes[1].plot(change, forms.index(form), "s", label="printed in the paper", **look)
        axes[0].set_title("Here")
        axes[1].set_title("Beside the printed change")
    axes[0].set_yticks(range(len(forms)), forms)
    axes[0].set_ylim(-0.6, len(forms) - 0.4)
    finish(axes, x=f"F1 against {REFERENCE} (points)", y="")
    return axes


@styled
def bytes_by_form(sizes: Mapping[str, pd.DataFrame]) -> np.ndarray:
    """Where the bytes are: a panel for each model, a bar for each form, its parts stacked; per cent saved beside it.

    `sizes` gives a table with the columns form, part and bytes for the title of each panel. Returns the axes.
    """
    forms = [form for form in FORMS if any(form in set(parts["form"]) for parts in sizes.values())][::-1]
    axes = np.ravel(Figure(figsize=(7, 0.9 + 0.28 * len(forms))).subplots(1, len(sizes), sharey=True))
    for panel, (title, parts) in zip(axes, sizes.items(), strict=True):
        wide = parts.pivot(index="form", columns="part", values="bytes") / 1e6
        total = wide.sum(axis="columns")
        left = pd.Series(0.0, index=wide.index)
        places = [forms.index(form) for form in wide.index]
        for part, label in WHERE.items():
            panel.barh(places, wide[part], left=left, height=0.66, label=label, **_look(part))
            left += wide[part]
        for form, size in total.items():
            saved = 100 * (1 - size / total[REFERENCE])
            text = f" {size:.1f} (−{saved:.0f} %)" if saved >= 0.5 else f" {size:.1f}"
            panel.text(size, forms.index(form), text, va="center", fontsize=6.5)
        panel.set_yticks(range(len(forms)), forms)
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
    axes: Axes | None = None,
) -> Axes:
    """What each form of `steps` removes from the one before it: full bars are forms, floating ones what is cut.

    `parts` has the columns form, part and bytes; `published` gives printed sizes in MB by name, drawn as lines.
    """
    axes = axes or new_axes(1, height=3.2)[0]
    names = []
    for place, (name, base, heights) in enumerate(_bars(parts, steps)):
        top = base
        for part, height in heights.items():
            axes.bar(place, height, bottom=top, width=0.62, alpha=0.45 if base else 1, label=WHERE[part], **_look(part))
            top += height
        look = {"ha": "center", "va": "bottom", "fontsize": 7, "fontweight": "normal" if base else "bold"}
        background = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
        axes.text(place, top + 4, f"−{top - base:.0f}" if base else f"{top:.0f}", bbox=background, **look)
        names.append(name)
    for name, size in (published or {}).items():
        axes.axhline(size, color=COLOURS[2], linewidth=1, linestyle="--", zorder=0.9)
        axes.text(len(names) - 0.6, size, f"{name}: {size:g}", va="bottom", color=COLOURS[2], fontsize=7)
    axes.set_xlim(-0.5, len(names) + 0.6 * bool(published))
    axes.set_xticks(range(len(names)), names)
    axes.grid(visible=False, axis="x")
    axes.margins(y=0.1)
    axes.set_ylabel("MB")
    legend_above(axes.figure, [axes])
    return axes


def _bars(parts: pd.DataFrame, steps: Sequence[str]) -> Iterator[tuple[str, float, pd.Series]]:
    """Name, lower end and heights by part of each bar; what is less than half a per cent of the first is no cut."""
    wide = parts.pivot(index="form", columns="part", values="bytes")[list(WHERE)] / 1e6
    yield steps[0], 0.0, wide.loc[steps[0]]
    for before, form in itertools.pairwise(steps):
        level = wide.loc[before].sum()
        for part, cut in (wide.loc[before] - wide.loc[form]).items():
            if cut > 0.005 * wide.loc[steps[0]].sum():
                level -= cut
                yield f"{WHERE[part]}\nto {form}", level, pd.Series({part: cut})
        yield form, 0.0, wide.loc[form]


def _look(part: str) -> dict:
    number = list(WHERE).index(part)
    return {"color": (*COLOURS[:2], GREY)[number], "hatch": HATCHES[number], "edgecolor": "white", "linewidth": 0}


@styled
def time_by_form(settings: pd.DataFrame) -> np.ndarray:
    """Milliseconds for a sentence by form on one device, a panel for each number of threads and batch size.

    Dots are languages, bars from their fastest to their slowest round, large markers the mean over languages. The grey
    band is fp32 give or take the noise floor: whoever lies inside it is as fast. The time axis is logarithmic where
    forms differ more than tenfold. Returns the axes.
    """
    rows = one_kind(settings[settings["milliseconds"].notna()], "device")
    if rows.empty:
        raise SmallerError("No time was measured in this table.")
    forms = [form for form in FORMS if form in set(rows["form"])][::-1]
    panels = dict(tuple(rows.groupby(["threads", "batch"])))
    axes = new_axes(len(panels), height=0.7 + (0.5 + 0.2 * len(forms)) * (1 if len(panels) < 4 else 2))
    for panel, ((threads, batch), own) in zip(axes, panels.items(), strict=True):
        dense = own[own["form"] == REFERENCE]
        if len(dense):
            middle, floor = dense["milliseconds"].mean(), dense["noise_floor"].max()
            panel.axvspan(middle / (1 + floor), middle * (1 + floor), color=GREY, alpha=0.16, linewidth=0,
                          label="fp32 and the noise floor")  # fmt: skip
        for place, form in enumerate(forms):
            of_form = own[own["form"] == form]
            offsets = place + np.linspace(-0.18, 0.18, len(of_form)) * (len(of_form) > 1)
            panel.hlines(offsets, of_form["milliseconds_low"], of_form["milliseconds_high"], color=COLOURS[0],
                         linewidth=0.7, alpha=0.6)  # fmt: skip
            panel.plot(of_form["milliseconds"], offsets, ".", color=COLOURS[0], markersize=4, alpha=0.6,
                       label="language")  # fmt: skip
            panel.plot(of_form["milliseconds"].mean(), place, "D", color=COLOURS[1], markersize=4, label="mean")
        panel.set_yticks(range(len(forms)), forms)
        panel.set_ylim(-0.6, len(forms) - 0.4)
        panel.grid(visible=False, axis="y")
        threads_in_words = "1 thread" if threads == 1 else f"{threads} threads"
        panel.set_title(f"Batch {batch}, {threads_in_words}")
    if rows["milliseconds"].max() > 10 * rows["milliseconds"].min():
        axes[0].set_xscale("log")
        axes[0].xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes[0].xaxis.set_major_formatter("{x:g}")
        axes[0].xaxis.set_minor_formatter(NullFormatter())
    else:
        axes[0].set_xlim(left=0)
    finish(axes, x="milliseconds per sentence", y="")
    return axes


@styled
def f1_against_bits(found: pd.DataFrame, *, axes: Axes | None = None) -> Axes:
    """The change of F1 when weights are rounded to fewer bits, a line for each part of the model (T23).

    `found` is what `findings.rounding.rounded` gives: means of paired differences to fp32, with t intervals as bars.
    """
    axes = axes or new_axes(1, height=3.2)[0]
    axes.axhline(0, color=GREY, linewidth=1)
    grid = sorted(found["bits"].unique(), reverse=True)
    parts = [part for part in PARTS if part in set(found["part"])]
    for number, part in enumerate(parts):
        own = found[found["part"] == part].sort_values("bits", ascending=False)
        # The parts stand beside each other, so that their bars do not hide one another.
        x = np.array([grid.index(bits) for bits in own["bits"]]) + 0.08 * (number - (len(parts) - 1) / 2)
        look = {"color": COLOURS[number % 6], "marker": MARKERS[number % 6], "linestyle": LINES[number % 6]}
        axes.vlines(x, own["low"], own["high"], color=look["color"], linewidth=0.8, alpha=0.7)
        axes.plot(x, own["mean"], label=PARTS[part], markerfacecolor="white", **look)
    axes.set_xticks(range(len(grid)), [f"{bits}" for bits in grid])
    axes.set(xlabel="bits of a weight", ylabel=f"F1 against {REFERENCE} (points)")
    legend_above(axes.figure, [axes])
    return axes
