"""What all figures share: the style, panels and curves, and files with caption, alternative text and data."""

from __future__ import annotations

import base64
import functools
import html
import io
import math
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from PIL import Image

from smaller.analysis.statistics import AVERAGE, language_average, t_interval
from smaller.base.errors import SmallerError
from smaller.base.paths import outputs_folder
from smaller.data.languages import LANGUAGES

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


def panels_of(rows: pd.DataFrame, *, average: bool) -> dict[str, pd.DataFrame]:
    panels = dict(sorted(rows.groupby("language", sort=False), key=lambda item: language_name(item[0])))
    return ({AVERAGE: language_average(rows)} if average and len(panels) > 1 else {}) | panels


def new_axes(panels: int, *, height: float | None = None, share_x: bool = True) -> np.ndarray:
    """Axes in a grid that suits their number, 7 inches wide, sharing their scales; no pyplot, nothing global."""
    columns = panels if panels <= 3 else 2 if panels == 4 else 3 if panels in (5, 6, 9) else 4
    lines = math.ceil(panels / columns)
    figure = Figure(figsize=(7, height or 0.6 + lines * (2.3 if columns <= 2 else 1.6)))
    grid = figure.subplots(lines, columns, sharex=share_x, sharey=True, squeeze=False).ravel()
    for spare in grid[panels:]:
        spare.remove()
    # The panel above a gap is the last of its column, so it has to show the numbers of the shared axis.
    for panel in grid[max(panels - columns, 0) : panels]:
        panel.tick_params(labelbottom=True)
    return grid[:panels]


def bounds(values: Iterable[float], *, clip: bool = False) -> tuple[float, float]:
    """The 95 % t interval of values, as seaborn's `errorbar` asks for it; the mean itself where there is none.

    `clip` keeps it within what a score can be, 0 to 100.
    """
    interval = t_interval(list(values))
    low, high = (interval.low, interval.high) if interval.known else (interval.mean, interval.mean)
    return (max(low, 0.0), min(high, 100.0)) if clip else (low, high)


score_bounds = functools.partial(bounds, clip=True)


def curve(
    axes: Axes,
    rows: pd.DataFrame,
    *,
    x: str = "sparsity",
    y: str = "f1",
    percent: bool = True,
    clip: bool = True,
    band: bool = True,
    bars: bool = False,
    **look: object,
) -> None:
    """Seeds as faint dots, their mean as a line with markers, their t interval as a band; `x` in per cent of a share.

    A band has no width at a single place, so a bar stands there, and with `bars` everywhere. `clip` keeps intervals
    within 0 to 100, and without `band` there are none. `look` is what matplotlib's `plot` takes: label,
    color, marker, linestyle.
    """
    if rows.empty:
        return
    own = pd.DataFrame({x: 100 * rows[x] if percent else rows[x], y: rows[y]})
    labels = axes.get_xlabel(), axes.get_ylabel()
    sns.scatterplot(own, x=x, y=y, ax=axes, color=look["color"], s=8, alpha=0.4, linewidth=0, zorder=1.5, legend=False)
    one = bars or own[x].nunique() == 1
    errorbar = score_bounds if clip else bounds
    sns.lineplot(
        own,
        x=x,
        y=y,
        ax=axes,
        errorbar=errorbar if band else None,
        err_style="bars" if one else "band",
        err_kws={"linewidth": 1} if one else {"alpha": 0.15, "linewidth": 0},
        markerfacecolor="white",
        markeredgecolor=look["color"],
        **look,
    )
    _as_before(axes, *labels)


def _as_before(axes: Axes, x: str, y: str) -> None:
    """Take away what seaborn adds to axes by itself: names of columns for labels, and a legend in each panel."""
    axes.set(xlabel=x, ylabel=y)
    if legend := axes.get_legend():
        legend.remove()


def dots_mean_interval(
    axes: Axes,
    rows: pd.DataFrame,
    *,
    x: str,
    y: str,
    hue: str | None = None,
    order: Sequence[str] | None = None,
    hue_order: Sequence[str] | None = None,
    clip: bool = True,
    spread: float = 0.5,
) -> None:
    """Each group's seeds as faint dots, their mean as a marker with its 95 % t interval; groups stand side by side.

    `x` or `y` holds the names of the groups; hues have colours and markers of their own, in `hue_order`. `spread` is
    the width that the hues of one group share.
    """
    hues = list(hue_order or (dict.fromkeys(rows[hue]) if hue else [""]))
    palette = [COLOURS[place % len(COLOURS)] for place in range(len(hues))]
    common = {"data": rows, "x": x, "y": y, "ax": axes, "order": order}
    if hue:
        common |= {"hue": hue, "hue_order": hues, "palette": palette}
    else:
        common |= {"color": palette[0]}
    labels = axes.get_xlabel(), axes.get_ylabel()
    dodge = spread * (len(hues) - 1) / len(hues)
    sns.pointplot(
        **common,
        errorbar=score_bounds if clip else bounds,
        dodge=dodge or False,
        linestyle="none",
        markersize=4.5,
        markers=[MARKERS[place % len(MARKERS)] for place in range(len(hues))] if hue else MARKERS[0],
        err_kws={"linewidth": 1.1},
    )
    _as_before(axes, *labels)
    # The seeds stand close beside their own mean, where seaborn's strips would stand in the next group.
    upright = not pd.api.types.is_numeric_dtype(rows[x])
    groups, values = (x, y) if upright else (y, x)
    places = {name: place for place, name in enumerate(order if order is not None else dict.fromkeys(rows[groups]))}
    for number, name in enumerate(hues):
        own = rows[rows[hue] == name] if hue else rows
        own = own[own[groups].isin(list(places))]
        offset = dodge * number / (len(hues) - 1) - dodge / 2 if dodge else 0.0
        at = own[groups].map(places).astype(float) + offset - 0.07
        pair = (at, own[values]) if upright else (own[values], at)
        axes.plot(*pair, ".", color=palette[number], alpha=0.45, markersize=4, zorder=1.5)


def heat_map(
    axes: Axes,
    wide: pd.DataFrame,
    *,
    decimals: int = 0,
    label: str = "",
    centre: float | None = None,
    sign: str = "",
    **look: object,
) -> None:
    """A table of numbers as coloured cells with the numbers in them; what was not measured stays blank.

    Colours run from light to dark, or from blue through white to orange around `centre`; `sign` "+" marks gains.
    """
    colours = "cividis_r" if centre is None else sns.diverging_palette(245, 40, s=80, l=55, as_cmap=True)
    with warnings.catch_warnings():
        # Seaborn colours missing cells in a way that matplotlib is going to deprecate.
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        sns.heatmap(
            wide.astype(float),
            ax=axes,
            annot=True,
            fmt=f"{sign}.{decimals}f",
            cmap=colours,
            center=centre,
            linewidths=0.6,
            linecolor="white",
            cbar_kws={"label": label, "pad": 0.02},
            annot_kws={"fontsize": 6.5},
            **look,
        )
    axes.tick_params(length=0)
    axes.grid(visible=False)


def in_steps(axis: Axis) -> None:
    """A logarithmic axis whose ticks read 1, 2, 5, 10, 20 ..., as plain numbers."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def dense_line(axes: Axes, rows: pd.DataFrame, *, label: str, line: object = "-") -> None:
    interval = t_interval(rows.loc[rows["order"] == "dense", "f1"])
    if interval.n == 0:
        return
    axes.axhline(interval.mean, color=GREY, linewidth=1, linestyle=line, label=label, zorder=1.2)
    if interval.known:
        axes.axhspan(max(interval.low, 0), min(interval.high, 100), color=GREY, alpha=0.14, linewidth=0, zorder=0.5)


def sparsity_axes(axes: Axes, y: str) -> None:
    axes.set_xlim(-2, 98)
    axes.set_xticks([0, 20, 40, 60, 80, 95])
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    if y:
        axes.set(xlabel="sparsity (%)", ylabel=y)


def finish(axes: np.ndarray, *, x: str, y: str, columns: int = 4) -> None:
    figure = axes[0].figure
    figure.supxlabel(x, fontsize=8)
    figure.supylabel(y, fontsize=8)
    legend_above(figure, axes, columns=columns)


def legend_above(figure: Figure, axes: Iterable[Axes], *, columns: int = 4) -> None:
    """One legend for all panels, above them, in at most so many columns."""
    entries = {}
    for panel in axes:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    columns = math.ceil(len(entries) / math.ceil(len(entries) / columns))
    figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=columns)
