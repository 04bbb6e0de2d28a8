"""What all figures share: the style, panels, curves, dots with intervals, heat maps, and ticks."""

import functools
import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from smaller.analysis.statistics import AVERAGE, Interval, language_average, t_interval
from smaller.data.languages import name_of

STYLE = Path(__file__).with_name("style.mplstyle")
COLOURS = ("#0173b2", "#d55e00", "#029e73", "#cc78bc", "#ca9161", "#56b4e9")
FURTHER = ("#5b3a8e", "#a50f2d", "#6b7a00", "#000000")
"""Colours of the seventh to the tenth series, where a figure has so many."""

MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
GREY = "#4d4d4d"
ORDERS = {"before": "pruned before fine-tuning", "after": "pruned after fine-tuning"}
F1, SPARSITY = "F1 (points)", "sparsity (%)"
SHARES = ("sparsity", "rate")
UNBOUNDED = ("change", "kept", "lost")
"""Columns of differences and ratios; all others that are drawn are scores, and no interval leaves 0 to 100."""

NOTHING: Mapping = MappingProxyType({})
Draw = Callable[[Axes, pd.DataFrame], None]


def styled(draw: Callable) -> Callable:
    """Draw under the style sheet of the study and leave the settings of the caller as they were."""

    @functools.wraps(draw)
    def wrapper(*args, **kwargs):
        with matplotlib.rc_context(fname=STYLE):
            return draw(*args, **kwargs)

    return wrapper


def language_name(code: str) -> str:
    """The English name of a language by its ISO 639-3 code; a code that is not of the study stays as it is."""
    return code.capitalize() if code == AVERAGE else name_of(code)


def by_language(rows: pd.DataFrame, *, average: bool = True) -> dict[str, pd.DataFrame]:
    """The rows of each language by its name, in order; the average first where there are several."""
    parts = dict(sorted((language_name(code), own) for code, own in rows.groupby("language")))
    return ({language_name(AVERAGE): language_average(rows)} if average and len(parts) > 1 else {}) | parts


def new_axes(panels: int, *, height: float | None = None, across: int = 0, share: str = "xy") -> np.ndarray:
    """Axes in a grid that suits their number, 7 inches wide, that share scales; no pyplot, nothing global."""
    columns = across or (panels if panels <= 3 else 2 if panels == 4 else 3 if panels in (5, 6, 9) else 4)
    lines = math.ceil(panels / columns)
    figure = Figure(figsize=(7, height or 0.6 + lines * (2.3 if columns <= 2 else 1.6)))
    grid = figure.subplots(lines, columns, sharex="x" in share, sharey="y" in share, squeeze=False).ravel()
    for spare in grid[panels:]:
        spare.remove()
    # The panel above a gap is the last of its column, so it has to show the numbers of the shared axis.
    for panel in grid[max(panels - columns, 0) : panels]:
        panel.tick_params(labelbottom=True)
    return grid[:panels]


def panels(
    parts: Mapping[str, pd.DataFrame],
    draw: Draw,
    *,
    x: str,
    y: str,
    columns: int = 4,
    legend: bool = True,
    **grid: object,
) -> np.ndarray:
    """A panel for each part under its title, with common labels and one legend; `grid` is what `new_axes` takes."""
    axes = new_axes(len(parts), **grid)
    for panel, (title, own) in zip(axes, parts.items(), strict=True):
        panel.set_title(title)
        draw(panel, own)
    figure = axes[0].figure
    figure.supxlabel(x, fontsize=8)
    figure.supylabel(y, fontsize=8)
    return legend_above(axes, columns=columns) if legend else axes


def legend_above(axes: Axes | Sequence[Axes], *, columns: int = 4) -> Axes | Sequence[Axes]:
    """The axes of a figure, with one legend for all of them above, in at most so many columns."""
    entries, drawn = {}, np.ravel(axes)
    for panel in drawn:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    columns = math.ceil(len(entries) / math.ceil(len(entries) / columns))
    drawn[0].figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=columns)
    return axes


def look(place: int) -> dict[str, object]:
    """The colour, marker and line of a series by its place, as matplotlib's `plot` takes them."""
    return {"color": COLOURS[place % 6], "marker": MARKERS[place % 6], "linestyle": LINES[place % 6]}


def bounds(values: Iterable[float], *, of: str = "f1") -> tuple[float, float]:
    """The 95 % t interval of a column's values for seaborn, or their mean; none but `UNBOUNDED` leaves 0 to 100."""
    interval = t_interval(list(values))
    low, high = (interval.low, interval.high) if interval.known else (interval.mean, interval.mean)
    return (low, high) if of in UNBOUNDED else (max(low, 0.0), min(high, 100.0))


def curve(
    axes: Axes,
    rows: pd.DataFrame,
    *,
    x: str = "sparsity",
    y: str = "f1",
    band: bool = True,
    bars: bool = False,
    **look: object,
) -> None:
    """Seeds as faint dots, their mean as a line, their t interval as a band, or bars; shares `x` in per cent."""
    if rows.empty:
        return
    own = rows.assign(**{x: rows[x] * (100 if x in SHARES else 1)})
    common = {"data": own, "x": x, "y": y, "ax": axes, "legend": False}
    sns.scatterplot(**common, color=look["color"], s=8, alpha=0.4, linewidth=0, zorder=1.5)
    as_bars = {"err_style": "bars", "err_kws": {"linewidth": 1}}
    as_band = {"err_style": "band", "err_kws": {"alpha": 0.15, "linewidth": 0}}
    look = {"markerfacecolor": "white", "markeredgecolor": look["color"]} | look
    look |= as_bars if bars or own[x].nunique() == 1 else as_band
    sns.lineplot(**common, errorbar=functools.partial(bounds, of=y) if band else None, **look)
    axes.set(xlabel="", ylabel="")


def dots_mean_interval(
    axes: Axes,
    rows: pd.DataFrame,
    *,
    x: str,
    y: str,
    hue: str | None = None,
    order: Sequence[str],
    hue_order: Iterable[str] = (),
    spread: float = 0.5,
) -> None:
    """Each group's seeds as faint dots beside their mean with its 95 % t interval; its hues share a width `spread`."""
    hues = list(hue_order or dict.fromkeys(rows[hue])) if hue else [""]
    looks = [look(place) for place in range(len(hues))]
    groups, values = (y, x) if pd.api.types.is_numeric_dtype(rows[x]) else (x, y)
    dodge = spread * (len(hues) - 1) / len(hues)
    style = {"linestyle": "none", "markersize": 4.5, "err_kws": {"linewidth": 1.1}, "order": order, "ax": axes}
    if hue:
        style |= {"hue": hue, "hue_order": hues, "dodge": dodge or False}
        style |= {"palette": [each["color"] for each in looks], "markers": [each["marker"] for each in looks]}
    else:
        style |= {"color": COLOURS[0], "markers": MARKERS[0]}
    sns.pointplot(rows, x=x, y=y, errorbar=functools.partial(bounds, of=values), **style)
    axes.set(xlabel="", ylabel="")
    if legend := axes.get_legend():  # the figure has one for all panels
        legend.remove()
    # The seeds stand close beside their own mean, where seaborn's strips would stand in the next group.
    places = {name: place for place, name in enumerate(order)}
    for number, name in enumerate(hues):
        own = rows[rows[hue] == name] if hue else rows
        own = own[own[groups].isin(list(places))]
        offset = dodge * number / (len(hues) - 1) - dodge / 2 if dodge else 0.0
        at = own[groups].map(places).astype(float) + offset - 0.07
        pair = (at, own[values]) if groups == x else (own[values], at)
        axes.plot(*pair, ".", color=looks[number]["color"], alpha=0.45, markersize=4, zorder=1.5)


def level(axes: Axes, interval: Interval, *, label: str, upright: bool = False, line: object = "-") -> None:
    """A grey line at a mean with its interval as a band, for what all else is compared with; nothing where n is 0."""
    draw, span = (axes.axvline, axes.axvspan) if upright else (axes.axhline, axes.axhspan)
    if interval.n:
        draw(interval.mean, color=GREY, linewidth=1, linestyle=line, label=label, zorder=0.9)
    if interval.known:
        span(max(interval.low, 0), min(interval.high, 100), color=GREY, alpha=0.14, linewidth=0, zorder=0.5)


def notes(axes: Axes, places: Mapping[str, tuple[float, float]], colours: Mapping = NOTHING, **look: object) -> None:
    """A small text at each place, inside, where it covers the least of what is drawn; `colours` of single texts."""
    axes.figure.draw_without_rendering()  # so that places in points are known
    at = {text: 72 / axes.figure.dpi * axes.transData.transform(place) for text, place in places.items()}
    corner, end = 72 / axes.figure.dpi * axes.bbox.get_points()
    taken = [
        *(np.r_[point - 3, point + 3] for point in at.values()),
        *(np.r_[one - 1, one + 1] for one in _drawn(axes)),
    ]
    for text, point in at.items():
        size = np.array((4.2 * len(text), 7))
        beside = [(x, y) for x in (5, -5 - size[0]) for y in (-2.5, 1, -6, 4, -10)]
        sides = np.array(beside + [(-size[0] / 2, y) for y in (5, -11)])
        low, boxes = (point + sides)[:, None], np.array(taken)
        covered = np.minimum(low + size, boxes[:, 2:]) - np.maximum(low, boxes[:, :2])
        inside = np.minimum(low + size, end) - np.maximum(low, corner)
        cost = covered.clip(min=0).prod(axis=-1).sum(axis=-1) - inside.clip(min=0).prod(axis=-1)[:, 0]
        side = sides[cost.argmin()]
        taken.append(np.r_[point + side, point + side + size])
        own = {"color": colours[text]} if text in colours else {}
        axes.annotate(text, places[text], xytext=tuple(side), textcoords="offset points", fontsize=6.5, **look | own)


def _drawn(axes: Axes) -> np.ndarray:
    """Points, two apart, along all lines and bars of axes: places on the figure, in points."""
    bars = [(bar, end) for bar in axes.collections if isinstance(bar, LineCollection) for end in bar.get_segments()]
    lines = [(line, line.get_xydata()) for line in axes.lines if line.get_linestyle() != "None"]
    found = [np.empty((0, 2))]
    for artist, path in [*bars, *lines]:
        ends = 72 / axes.figure.dpi * artist.get_transform().transform(path)
        for one, other in itertools.pairwise(ends):
            found.append(np.linspace(one, other, 2 + int(np.abs(other - one).max() / 2)))
    return np.concatenate(found)


def heat_map(
    axes: Axes, wide: pd.DataFrame, *, framed: np.ndarray, centre: float | None = None, sign: str = "", **look: object
) -> None:
    """A table of numbers as coloured cells, around `centre` if there is one, with frames where `framed` is true."""
    look["cmap"] = "cividis_r" if centre is None else sns.diverging_palette(245, 40, s=80, l=55, as_cmap=True)
    look["cbar_kws"] = {"label": look.pop("label"), "pad": 0.02}
    look |= {"annot": True, "fmt": f"{sign}.1f", "annot_kws": {"fontsize": 6.5}, "linewidths": 0.6}
    with warnings.catch_warnings():
        # Seaborn colours missing cells in a way that matplotlib is going to deprecate.
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        sns.heatmap(wide.astype(float), ax=axes, center=centre, linecolor="white", **look)
    for row, column in np.argwhere(framed):
        frame = {"fill": False, "color": COLOURS[1] if centre is None else "black", "linewidth": 1.3}
        axes.add_patch(Rectangle((column + 0.03, row + 0.06), 0.94, 0.88, **frame))
    axes.xaxis.tick_top()
    axes.tick_params(length=0, rotation=0)
    axes.grid(visible=False)
    axes.set(xlabel="", ylabel="")


def log_scale(axis: Axis) -> None:
    """Make an axis logarithmic, with ticks as plain numbers."""
    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogTicks())
    axis.set_major_formatter("{x:,.10g}")
    axis.set_minor_formatter(NullFormatter())


class LogTicks(LogLocator):
    """1, 2, 5, 10, 20 ... where their numbers have room on the axis, else powers of ten; on a short axis even steps."""

    def tick_values(self, low: float, high: float) -> np.ndarray:
        """The ticks from `low` to `high`; matplotlib counts a tick for every five letters."""
        letters = 0.5 + max(len(f"{10.0 ** math.floor(math.log10(end)):,.10g}") for end in (low, high))
        room = 5 * self.axis.get_tick_space() / letters
        self.set_params(subs=(1, 2, 5) if 3.3 * math.log10(high / low) <= room else (1,))
        found = super().tick_values(low, high)
        few = np.sum((low <= found) & (found <= high)) < 2
        return MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(low, high) if few else found


def sparsity_axis(axes: Axes) -> None:
    """Sparsity from 0 to 95 % from left to right."""
    axes.set(xlim=(-2, 98), xticks=[0, 20, 40, 60, 80, 95])
