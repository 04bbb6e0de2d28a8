"""Figures of quantization: F1 against fp32, bytes by part, time by format, and F1 under fewer bits."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import SymmetricalLogLocator

from smaller.analysis.comparison import MARGIN, differences
from smaller.analysis.figures import base
from smaller.analysis.figures.base import COLOURS, GREY, styled
from smaller.analysis.findings import quantization
from smaller.analysis.findings.quantization import REFERENCE
from smaller.analysis.statistics import one_kind
from smaller.formats import FORMATS

WHERE = {"embeddings": ("embeddings", COLOURS[0], ""), "linear": ("Linear layers", COLOURS[1], "////")}
WHERE |= {"rest": ("norms and the rest", GREY, "....")}


@styled
def f1_by_format(table: pd.DataFrame, published: pd.DataFrame) -> Axes:
    """What each format does to F1, with the margin in grey; hollow: the printed changes, over the same languages."""
    rows = quantization.plain(table)
    whole, codes = rows["form"] == REFERENCE, sorted(set(rows["language"]))
    rows = differences(rows[~whole], rows[whole], by=["form"], for_all=["form"]).dropna()
    names = [form for form in FORMATS if form in set(rows["form"])]
    axes = _dots(rows, x="form", order=names)
    printed = published.sub(published["dense"], axis="index").reindex(codes).mean(skipna=False).filter(names)
    hollow = {"color": COLOURS[1], "markerfacecolor": "none", "markersize": 7}
    axes.plot(printed.index.map(names.index), printed, "s", label="printed in the paper", **hollow)
    return base.legend_above(axes)


@styled
def f1_against_bits(table: pd.DataFrame) -> Axes:
    """The change of F1 when weights are rounded to fewer bits, as in `f1_by_format`, by part of the model (T23)."""
    by = ["part", "bits"]
    rows = differences(*quantization.both(table), by=by, for_all=by).dropna()
    bits = [f"{number:.0f}" for number in sorted(set(rows["bits"]), reverse=True)]
    rows = rows.assign(bits=rows["bits"].astype(int).astype(str), part=rows["part"].map(quantization.FAMILIES))
    parts = [part for part in quantization.FAMILIES.values() if part in set(rows["part"])]
    axes = _dots(rows, x="bits", order=bits, hue="part", hue_order=parts)
    axes.set_xlabel("bits of a weight")
    return base.legend_above(axes)


def _dots(rows: pd.DataFrame, **groups: object) -> Axes:
    """Changes of F1 by group, the margin as a band; the axis is logarithmic beyond one point."""
    (axes,) = base.new_axes(1, height=3.4)
    axes.axhspan(-MARGIN, MARGIN, color=GREY, alpha=0.12, linewidth=0, label=f"within {MARGIN:g} points of fp32")
    base.dots_mean_interval(axes, rows.rename(columns={"f1": "change"}), y="change", **groups)
    axes.set_yscale("symlog", linthresh=1)
    axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_ylabel(f"F1 against {REFERENCE} (points),\nlogarithmic beyond ±1")
    return axes


@styled
def size_waterfall(parts: pd.DataFrame, published: Mapping[str, float]) -> Axes:
    """What the cast to fp16, then LLM.int8(), remove (pale: cuts above 0.5 % of fp32); lines: printed sizes in MB."""
    (axes,) = base.new_axes(1, height=2.8)
    wide = parts.pivot(index="form", columns="part", values="bytes")[list(WHERE)] / 1e6
    bars = {REFERENCE: (0.0, wide.loc[REFERENCE])}
    for before, form in ((REFERENCE, "fp16"), ("fp16", "llm.int8")):
        cuts = (wide.loc[before] - wide.loc[form])[lambda cut: cut > 0.005 * wide.loc[REFERENCE].sum()]
        ends = wide.loc[before].sum() - cuts.cumsum()
        bars |= {f"{WHERE[part][0]} to {form}": (ends[part], cuts[[part]]) for part in cuts.index}
        bars[form] = (0.0, wide.loc[form])
    starts = pd.Series({name: start for name, (start, _) in bars.items()})
    sizes = pd.DataFrame({name: own for name, (_, own) in bars.items()}).T[list(WHERE)].fillna(0.0)
    left = (sizes.cumsum(axis="columns") - sizes).add(starts, axis="index")
    for part, (label, colour, hatch) in WHERE.items():
        pale = [(colour, 0.45 if start else 1) for start in starts]
        about = {"hatch": hatch, "edgecolor": "white", "linewidth": 0, "color": pale, "label": label}
        axes.barh(sizes.index, sizes[part], left=left[part], height=0.66, **about)
    box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    for name, size in sizes.sum(axis="columns").items():
        told = f" {'−' if starts[name] else ''}{size:.0f}"
        axes.text(starts[name] + size, name, told, va="center", fontsize=7, bbox=box)
    for name, size in published.items():
        axes.axvline(size, color=COLOURS[2], linewidth=1, linestyle="--", zorder=0.9)
        axes.text(size, -0.5, f" {name}: {size:g}", color=COLOURS[2], fontsize=7)
    axes.set(ylim=(len(bars) - 0.4, -1), xlabel="MB in memory")
    axes.grid(visible=False, axis="y")
    return base.legend_above(axes)


@styled
def time_by_format(settings: pd.DataFrame) -> np.ndarray:
    """Milliseconds a sentence by format, threads and batch: languages with their rounds, means, the noise floor."""
    rows = one_kind(settings, "device")
    names = [form for form in FORMATS if form in set(rows["form"])]

    def draw(panel: Axes, own: pd.DataFrame) -> None:
        dense, middle = own[own["form"] == REFERENCE], own.groupby("form", sort=False)["milliseconds"].mean()
        floor = 1 + dense["noise_floor"].max()
        band = {"color": GREY, "alpha": 0.16, "linewidth": 0, "label": "fp32 and the noise floor"}
        panel.axvspan(middle[REFERENCE] / floor, middle[REFERENCE] * floor, **band)
        time, offset = own["milliseconds"], 0.36 * (own.groupby("form").cumcount() / len(dense) - 0.5)
        spread = [time - own["milliseconds_low"], own["milliseconds_high"] - time]
        told = {"label": "language, from its fastest to its slowest round", "color": COLOURS[0], "elinewidth": 0.7}
        panel.errorbar(time, own["form"].map(names.index) + offset, fmt=".", xerr=spread, **told)
        panel.plot(middle, middle.index.map(names.index), "D", color=COLOURS[1], label="mean")
        panel.grid(visible=False, axis="y")

    parts = {
        f"Batch {batch}, {threads} thread{'s' * (threads != 1)}": own
        for (threads, batch), own in rows.groupby(["threads", "batch"])
    }
    height = 0.7 + (0.5 + 0.2 * len(names)) * (1 if len(parts) < 4 else 2)
    axes = base.panels(parts, draw, x="milliseconds per sentence", y="", height=height)
    axes[0].set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.4, -0.6))
    for panel in axes:
        base.log_scale(panel.xaxis)
    return axes
