"""From the tidy table to axes, and from a figure to files with caption, alternative text and data."""

from __future__ import annotations

import base64
import functools
import html
import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from PIL import Image

from smaller.data.languages import LANGUAGES
from smaller.errors import SmallerError
from smaller.paths import outputs_folder
from smaller.statistics import AVERAGE, language_average, of_split, one_kind, t_interval

STYLE = Path(__file__).with_name("style.mplstyle")
COLOURS = ("#0173b2", "#d55e00", "#029e73", "#cc78bc", "#ca9161", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
GREY = "#4d4d4d"
ORDERS = {"before": "pruned before fine-tuning", "after": "pruned after fine-tuning"}
# Where the report puts its links to the files of a figure or table.
FILES = "<!--files-->"


@dataclass(frozen=True)
class FigureCard:
    """A saved figure; as the last value of a notebook cell it shows with its caption and alternative text."""

    name: str
    caption: str
    alt: str
    png: Path
    svg: Path
    csv: Path

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        image = base64.b64encode(self.png.read_bytes()).decode("ascii")
        content = (
            f'<figure id="figure-{html.escape(self.name)}"><img src="data:image/png;base64,{image}" '
            f'alt="{html.escape(self.alt)}" style="max-width: 100%; width: 7in">'
            f"<figcaption>{html.escape(self.caption)}{FILES}</figcaption></figure>"
        )
        card = {"kind": "figure", "name": self.name, "caption": self.caption, "alt": self.alt}
        card["files"] = [inside_outputs(path) for path in (self.csv, self.svg, self.png)]
        return {"text/html": content, "text/plain": f"Figure {self.name}: {self.caption}"}, {"smaller": card}


def styled(draw: Callable) -> Callable:
    """Draw under the style sheet of the study and leave the settings of the caller as they were."""

    @functools.wraps(draw)
    def wrapper(*args, **kwargs):
        with matplotlib.rc_context(fname=STYLE):
            return draw(*args, **kwargs)

    return wrapper


def language_name(code: str) -> str:
    """The English name of a language by its ISO 639-3 code; a code that is not of the study stays as it is."""
    if code == AVERAGE:
        return "Average"
    return LANGUAGES[code].name if code in LANGUAGES else code


@styled
def f1_against_sparsity(table: pd.DataFrame, *, axes: Axes | None = None, split: str = "test") -> Axes:
    """Mean F1 of all languages over sparsity, a line for each order and encoder (paper 1, its first figure).

    Dots are the language means of single seeds, bands t intervals over seeds, the grey line the dense encoder.
    """
    rows = one_kind(language_average(of_split(table, split)), "dataset", "method", "scope", "include")
    axes = axes or _figure(1, height=3.8)[0]
    encoders = list(dict.fromkeys(rows["encoder"]))
    several = len(encoders) > 1
    for number, encoder in enumerate(encoders):
        own = rows[rows["encoder"] == encoder]
        suffix = f", {encoder}" if several else ""
        _dense(axes, own, label=f"dense{suffix}", line=LINES[number % len(LINES)] if several else "-")
        for order, label in ORDERS.items():
            place = list(ORDERS).index(order)
            look = {"color": COLOURS[place], "marker": MARKERS[2 * number + place if several else place]}
            look["linestyle"] = LINES[number if several else place]
            _curve(axes, own[own["order"] == order], label=label + suffix, **look)
    _sparsity_axes(axes, "F1 (points)")
    axes.legend(loc="lower left")
    return axes


@styled
def f1_by_language(
    table: pd.DataFrame, *, orders: Sequence[str] = ("before", "after"), split: str = "test"
) -> np.ndarray:
    """F1 over sparsity in a panel for each language, the average first (paper 1, per-language pruning figures).

    Both orders of one encoder, seeds as dots, bands t intervals over seeds, grey the dense encoder with its band.
    Returns the axes, one a panel.
    """
    rows = one_kind(of_split(table, split), "dataset", "encoder", "method", "scope", "include")
    panels = _panels(rows, average=True)
    axes = _figure(len(panels))
    for panel, (language, own) in zip(axes, panels.items(), strict=True):
        _dense(panel, own, label="dense")
        for place, order in enumerate(ORDERS):
            if order in orders:
                look = {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": LINES[place]}
                _curve(panel, own[own["order"] == order], label=ORDERS[order], **look)
        panel.set_title(language_name(language))
        _sparsity_axes(panel, "")
    _finish(axes, x="sparsity (%)", y="F1 (points)")
    return axes


@styled
def time_by_language(table: pd.DataFrame, *, noise_floor: float | None = None, split: str = "test") -> np.ndarray:
    """Milliseconds for a sentence over sparsity in a panel for each language (paper 1, its question on time).

    Bars are `milliseconds_low` to `milliseconds_high`, the repeats of a model. The grey band is the noise floor: dense
    give or take `noise_floor` (a share, from the dense model timed against itself), or the repeats of the dense model.
    A pruned model is faster only where it leaves the band. Returns the axes, one a panel.
    """
    rows = one_kind(of_split(table, split), "dataset", "encoder", "method", "scope", "include", "device")
    rows = rows[rows["milliseconds"].notna()]
    if rows.empty:
        raise SmallerError("No time was measured in this table; run the study with latency switched on.")
    panels = _panels(rows, average=False)
    axes = _figure(len(panels))
    low, high = "milliseconds_low", "milliseconds_high"
    for panel, (language, own) in zip(axes, panels.items(), strict=True):
        dense = own[own["order"] == "dense"]
        if len(dense):
            middle, floor = dense["milliseconds"].median(), (dense[low].min(), dense[high].max())
            if noise_floor is not None:
                floor = (middle * (1 - noise_floor), middle * (1 + noise_floor))
            panel.axhspan(*floor, color=GREY, alpha=0.16, linewidth=0, label="noise floor of the dense model")
            panel.axhline(middle, color=GREY, linewidth=1, label="dense")
        for place, order in enumerate(ORDERS):
            middle = own[own["order"] == order].groupby("sparsity")[["milliseconds", low, high]].median()
            if len(middle):
                # The two orders stand beside each other, so that their bars do not hide one another.
                x, y = 100 * middle.index + (place - 0.5) * 1.6, middle["milliseconds"]
                panel.vlines(x, middle[low], middle[high], color=COLOURS[place], linewidth=0.8)
                look = {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": LINES[place]}
                panel.plot(x, y, label=ORDERS[order], markerfacecolor="white", **look)
        panel.set_title(language_name(language))
        _sparsity_axes(panel, "")
    axes[0].set_ylim(bottom=0)
    _finish(axes, x="sparsity (%)", y="milliseconds per sentence")
    return axes


@styled
def masks_compared(table: pd.DataFrame, *, split: str = "test") -> np.ndarray:
    """Magnitude against random masks at equal sparsity, a panel for each order: the break condition T22 of paper 1.

    Means over languages; dots are seeds, bands t intervals over seeds. Returns the axes, one an order.
    """
    rows = one_kind(of_split(table, split), "dataset", "encoder", "scope", "include")
    average = language_average(rows)
    orders = [order for order in ORDERS if order in set(average["order"])]
    axes = _figure(len(orders), height=2.9)
    for panel, order in zip(axes, orders, strict=True):
        _dense(panel, average, label="dense")
        for place, method in enumerate(("magnitude", "random")):
            own = average[(average["order"] == order) & (average["method"] == method)]
            look = {"color": COLOURS[2 * place], "marker": ("o", "D")[place], "linestyle": LINES[place]}
            _curve(panel, own, label=f"{method} mask", **look)
        panel.set_title(ORDERS[order].capitalize())
        _sparsity_axes(panel, "")
    _finish(axes, x="sparsity (%)", y="F1 (points)")
    return axes


@styled
def dense_f1(
    table: pd.DataFrame, published: pd.DataFrame | None = None, *, axes: Axes | None = None, split: str = "test"
) -> Axes:
    """F1 of the dense encoders, a row for each language, with published baselines as hollow markers.

    Filled markers are means over seeds with t intervals, dots single seeds. `published` has the columns of
    `smaller.published.published()`; its rows become one marker shape each.
    """
    dense = one_kind(of_split(table, split).query("order == 'dense'"), "dataset")
    dense = pd.concat([dense, language_average(dense)]) if dense["language"].nunique() > 1 else dense
    means = dense.groupby("language")["f1"].mean().sort_values()
    codes = [code for code in means.index if code != AVERAGE]
    codes = ([AVERAGE] if AVERAGE in means.index else []) + codes
    encoders = list(dict.fromkeys(dense["encoder"]))
    baselines = {} if published is None else dict(zip(published["row"], published["encoder"], strict=True))
    others = any(encoder not in encoders for encoder in baselines.values())
    lines = len(encoders) + others
    offset = {encoder: 0.33 * (lines - 1 - 2 * number) / max(lines, 2) for number, encoder in enumerate(encoders)}
    axes = axes or _figure(1, height=0.9 + 0.13 * len(codes) * (0.8 + lines))[0]
    for number, encoder in enumerate(encoders):
        look = {"color": COLOURS[number % 6], "marker": MARKERS[number % 6]}
        for place, code in enumerate(codes):
            seeds = dense.loc[(dense["encoder"] == encoder) & (dense["language"] == code), "f1"]
            y, interval = place + offset[encoder], t_interval(seeds)
            axes.plot(seeds, np.full(len(seeds), y), ".", color=look["color"], alpha=0.35, markersize=4, zorder=1)
            axes.plot([interval.low, interval.high], [y, y], color=look["color"], linewidth=1)
            axes.plot(interval.mean, y, linestyle="", markersize=4.5, label=encoder, **look)
    for number, (row, encoder) in enumerate(baselines.items()):
        values = published[published["row"] == row].set_index("language")["value"]
        known = encoder in encoders
        style = encoders.index(encoder) if known else number
        axes.plot(
            [values.get(code, math.nan) for code in codes],
            [place + offset.get(encoder, -0.33 * (lines - 1) / max(lines, 2)) for place in range(len(codes))],
            linestyle="",
            marker=MARKERS[style % 6],
            markersize=6.5,
            markerfacecolor="none",
            color=COLOURS[style % 6] if known else GREY,
            label=f"{row}, published",
        )
    for place in range(1, len(codes), 2):
        axes.axhspan(place - 0.5, place + 0.5, color=GREY, alpha=0.05, linewidth=0, zorder=0)
    axes.grid(visible=False, axis="y")
    axes.set_yticks(range(len(codes)), [language_name(code) for code in codes])
    axes.set_ylim(-0.6, len(codes) - 0.4)
    axes.set_xlabel("F1 (points)")
    _legend_above(axes.figure, [axes])
    return axes


@styled
def size_and_f1(table: pd.DataFrame, *, axes: Axes | None = None, split: str = "test") -> Axes:
    """F1 over size in MB, two points for each label: hollow as dense tensors on disk, filled after compression.

    Means over languages and seeds of each label; faint dots are single seeds.
    """
    rows = of_split(table, split)
    kinds = rows.groupby("label", sort=False)
    axes = axes or _figure(1, height=3.6)[0]
    for number, (label, own) in enumerate(kinds):
        row = own[["f1", "dense_bytes", "compressed_bytes"]].mean()
        sizes = [row["dense_bytes"] / 1e6, row["compressed_bytes"] / 1e6]
        colour, marker = COLOURS[number % 6], MARKERS[number % 6]
        runs = own.groupby("seed")["f1"].mean()
        axes.plot(np.full(len(runs), sizes[1]), runs, ".", color=colour, alpha=0.35, markersize=4, zorder=1)
        axes.plot(sizes, [row["f1"]] * 2, color=colour, linewidth=1, alpha=0.5, zorder=1)
        axes.plot(sizes[0], row["f1"], marker, color=colour, markersize=7, markerfacecolor="white")
        axes.plot(sizes[1], row["f1"], marker, color=colour, markersize=7, label=label)
    axes.plot([], [], "o", color=GREY, markersize=7, markerfacecolor="white", label="hollow: dense tensors")
    axes.plot([], [], "o", color=GREY, markersize=7, label="filled: after compression")
    axes.set_xlim(left=0)
    axes.margins(y=0.12)
    axes.set(xlabel="size (MB)", ylabel="F1 (points)")
    _legend_above(axes.figure, [axes])
    return axes


@styled
def sparse_kernel(frame: pd.DataFrame, *, axes: Axes | None = None) -> Axes:
    """Milliseconds of one matrix product over sparsity, with a dense and with a sparse kernel.

    `frame` has the columns sparsity (0..1), kernel ('dense' or 'sparse'), milliseconds, milliseconds_low and
    milliseconds_high. The time axis is logarithmic where the kernels differ more than tenfold.
    """
    axes = axes or _figure(1, height=3.2)[0]
    for place, (kernel, own) in enumerate(frame.groupby("kernel", sort=False)):
        own = own.sort_values("sparsity")
        x, colour = 100 * own["sparsity"], (GREY, COLOURS[0])[place]
        axes.fill_between(x, own["milliseconds_low"], own["milliseconds_high"], color=colour, alpha=0.15, linewidth=0)
        look = {"color": colour, "marker": MARKERS[place], "linestyle": LINES[place]}
        axes.plot(x, own["milliseconds"], label=f"{kernel} kernel", **look)
    if frame["milliseconds"].max() > 10 * frame["milliseconds"].min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
    _sparsity_axes(axes, "milliseconds")
    axes.legend(loc="best")
    return axes


@styled
def save(
    drawing: Figure | Axes | Iterable[Axes],
    name: str,
    *,
    table: pd.DataFrame,
    caption: str,
    alt: str,
    folder: Path | None = None,
) -> FigureCard:
    """Write a figure as PNG (200 dots per inch) and SVG, and its data as CSV, under `outputs/figures`.

    The caption states the finding, n and the kind of interval; `alt` describes the picture to somebody who cannot
    see it. The same drawing gives the same bytes each time.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise SmallerError(
            f"The name of a figure becomes a file name: {name!r} may hold letters, digits, - _ and . only."
        )
    if not caption.strip() or not alt.strip():
        raise SmallerError(f"Figure {name} needs a caption and an alternative text.")
    figure = drawing if isinstance(drawing, Figure) else np.ravel(np.asarray(drawing, dtype=object))[0].figure
    folder = folder or outputs_folder() / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    card = FigureCard(name, caption, alt, *(folder / f"{name}.{ending}" for ending in ("png", "svg", "csv")))
    pixels = io.BytesIO()
    figure.savefig(pixels, format="png", metadata={"Software": None})
    # A palette of 256 colours looks the same and keeps a page with many figures below a megabyte.
    image = Image.open(pixels).convert("RGB").quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    dots = matplotlib.rcParams["savefig.dpi"]
    image.save(card.png, optimize=True, dpi=(dots, dots))
    figure.savefig(card.svg, metadata={"Date": None, "Creator": None})
    table.to_csv(card.csv, index=False, lineterminator="\n")
    return card


def inside_outputs(path: Path) -> str:
    """The path below the outputs folder, for links; a file elsewhere gives the empty string."""
    outputs = outputs_folder().resolve()
    path = path.resolve()
    return path.relative_to(outputs).as_posix() if path.is_relative_to(outputs) else ""


def _panels(rows: pd.DataFrame, *, average: bool) -> dict[str, pd.DataFrame]:
    panels = dict(sorted(rows.groupby("language", sort=False), key=lambda item: language_name(item[0])))
    return ({AVERAGE: language_average(rows)} if average and len(panels) > 1 else {}) | panels


def _figure(panels: int, *, height: float | None = None) -> np.ndarray:
    """Axes in a grid that suits their number, 7 inches wide, sharing both scales; no pyplot, nothing global."""
    columns = panels if panels <= 3 else 2 if panels == 4 else 3 if panels in (5, 6, 9) else 4
    lines = math.ceil(panels / columns)
    figure = Figure(figsize=(7, height or 0.6 + lines * (2.3 if columns <= 2 else 1.6)))
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for spare in grid[panels:]:
        spare.remove()
    # The panel above a gap is the last of its column, so it has to show the numbers of the shared axis.
    for panel in grid[max(panels - columns, 0) : panels]:
        panel.tick_params(labelbottom=True)
    return grid[:panels]


def _curve(axes: Axes, rows: pd.DataFrame, *, label: str, color: str, marker: str, linestyle: object) -> None:
    """Seeds as faint dots, their mean as a line with markers, their t interval as a band."""
    if rows.empty:
        return
    groups = rows.groupby("sparsity")["f1"]
    intervals = pd.DataFrame({sparsity: vars(t_interval(values)) for sparsity, values in groups}).T
    x = 100 * intervals.index.to_numpy(dtype=float)
    axes.plot(100 * rows["sparsity"], rows["f1"], ".", color=color, alpha=0.4, markersize=4, zorder=1.5)
    low, high = (intervals[side].astype(float).clip(0, 100) for side in ("low", "high"))
    axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
    look = {"color": color, "marker": marker, "linestyle": linestyle, "markerfacecolor": "white"}
    axes.plot(x, intervals["mean"].astype(float), label=label, **look)


def _dense(axes: Axes, rows: pd.DataFrame, *, label: str, line: object = "-") -> None:
    interval = t_interval(rows.loc[rows["order"] == "dense", "f1"])
    if interval.n == 0:
        return
    axes.axhline(interval.mean, color=GREY, linewidth=1, linestyle=line, label=label, zorder=1.2)
    if interval.known:
        axes.axhspan(interval.low, min(interval.high, 100), color=GREY, alpha=0.14, linewidth=0, zorder=0.5)


def _sparsity_axes(axes: Axes, y: str) -> None:
    axes.set_xlim(-2, 98)
    axes.set_xticks([0, 20, 40, 60, 80, 95])
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    if y:
        axes.set(xlabel="sparsity (%)", ylabel=y)


def _finish(axes: np.ndarray, *, x: str, y: str) -> None:
    figure = axes[0].figure
    figure.supxlabel(x, fontsize=8)
    figure.supylabel(y, fontsize=8)
    _legend_above(figure, axes)


def _legend_above(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend for all panels, above them."""
    entries = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    columns = math.ceil(len(entries) / math.ceil(len(entries) / 4))
    figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=columns)
