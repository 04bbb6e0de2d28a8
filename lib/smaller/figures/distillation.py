"""Figures of distillation: students by strategy, what they keep as they shrink, temperatures, and learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from smaller.errors import SmallerError
from smaller.figures.base import (
    COLOURS,
    GREY,
    LINES,
    MARKERS,
    finish,
    language_name,
    new_axes,
    styled,
)
from smaller.findings.ablations import TEMPERATURE
from smaller.findings.distillation import CONTROLS, MODELS, STUDENTS, TEACHER, beside_teacher, plain
from smaller.statistics import Interval, language_average, of_split, one_kind, t_interval

LOOKS = {
    strategy: {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": LINES[place],
               "markerfacecolor": COLOURS[place] if strategy in STUDENTS else "white"}
    for place, strategy in enumerate((*STUDENTS, *CONTROLS))
}  # fmt: skip


@styled
def f1_by_student(table: pd.DataFrame, *, split: str = "test") -> np.ndarray:
    """F1 of students and controls, a panel for each teacher and a row for each shape, the largest on top (P1-T1).

    Averages over languages: large markers are means over seeds with t intervals, dots single seeds. Filled markers are
    students, hollow ones have no teacher; the grey line is the teacher with its interval. Returns the axes.
    """
    rows = language_average(plain(table, split=split))
    shapes = sorted({(row.layers, row.heads) for row in rows[rows["strategy"] != TEACHER].itertuples()})
    encoders = list(dict.fromkeys(table["encoder"]))
    axes = new_axes(len(encoders), height=1.0 + 0.5 * len(shapes))
    for panel, encoder in zip(axes, encoders, strict=True):
        own = rows[rows["encoder"] == encoder]
        teacher = t_interval(own.loc[own["strategy"] == TEACHER, "f1"])
        _band(panel, teacher, label="teacher")
        for place, shape in enumerate(shapes):
            here = own[(own["layers"] == shape[0]) & (own["heads"] == shape[1]) & (own["strategy"] != TEACHER)]
            present = [strategy for strategy in LOOKS if strategy in set(here["strategy"])]
            for number, strategy in enumerate(present):
                # Strategies stand below each other, in the order of the legend.
                y = place + 0.13 * ((len(present) - 1) / 2 - number)
                _point(panel, here.loc[here["strategy"] == strategy, "f1"], y, strategy)
        panel.set_title(f"Teacher: {encoder}")
        panel.set_yticks(range(len(shapes)), ["{}x{}".format(*shape) for shape in shapes])
        panel.set_ylim(-0.5, len(shapes) - 0.5)
        panel.grid(visible=False, axis="y")
    finish(axes, x="F1 (points)", y="student (layers x heads)")
    return axes


def _band(axes: Axes, interval: Interval, *, label: str) -> None:
    axes.axvline(interval.mean, color=GREY, linewidth=1, label=label, zorder=0.9)
    if interval.known:
        axes.axvspan(interval.low, interval.high, color=GREY, alpha=0.14, linewidth=0, zorder=0.5)


def _point(axes: Axes, seeds: pd.Series, y: float, strategy: str) -> None:
    interval, look = t_interval(seeds), {key: value for key, value in LOOKS[strategy].items() if key != "linestyle"}
    axes.plot(seeds, np.full(len(seeds), y), ".", color=look["color"], alpha=0.35, markersize=4, zorder=1)
    axes.plot([interval.low, interval.high], [y, y], color=look["color"], linewidth=1)
    axes.plot(interval.mean, y, linestyle="", markersize=4.5, label=strategy, **look)


@styled
def retention(table: pd.DataFrame, *, split: str = "test") -> np.ndarray:
    """F1 in per cent of the own teacher as layers shrink, a panel for each teacher (P1-T7).

    Averages over languages, paired by seed: lines are means with bands of t intervals, dots seeds. Small hollow markers
    are students whose heads are not as many as their teacher's. Returns the axes.
    """
    found = beside_teacher(table, split=split)
    found = found[found["language"] == found["language"].iloc[0]]
    heads = _heads_of_teachers(table, split=split)
    encoders = list(dict.fromkeys(table["encoder"]))
    axes = new_axes(len(encoders), height=3.2)
    for panel, encoder in zip(axes, encoders, strict=True):
        panel.axhline(100, color=GREY, linewidth=1, label="teacher", zorder=0.9)
        for strategy, look in LOOKS.items():
            own = found[(found["encoder"] == encoder) & (found["strategy"] == strategy)]
            _curve(panel, own[own["heads"] == heads[encoder]], x="layers", y="kept", look=look, label=strategy)
            for layers, others in own[own["heads"] != heads[encoder]].groupby("layers"):
                hollow = {"color": look["color"], "markersize": 4, "markerfacecolor": "none"}
                panel.plot(layers + 0.08, 100 * others["kept"].mean(), look["marker"], **hollow)
        panel.set_title(f"Teacher: {encoder}")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    finish(axes, x="layers", y="F1 kept of the teacher's (%)")
    return axes


def _heads_of_teachers(table: pd.DataFrame, *, split: str) -> pd.Series:
    rows = plain(table, split=split)
    return rows[rows["strategy"] == TEACHER].groupby("encoder")["heads"].first()


def _curve(axes: Axes, rows: pd.DataFrame, *, x: str, y: str, look: Mapping[str, object], label: str,
           scale: float = 100.0, across: float = 1.0) -> None:  # fmt: skip
    """Seeds as dots, means as a line with markers, t intervals as a band."""
    if rows.empty:
        return
    intervals = {place: t_interval(scale * values) for place, values in rows.groupby(x)[y]}
    places = across * np.array(list(intervals))
    axes.plot(across * rows[x], scale * rows[y], ".", color=look["color"], alpha=0.4, markersize=4, zorder=1.5)
    low, high = ([getattr(interval, end) for interval in intervals.values()] for end in ("low", "high"))
    if len(places) > 1:
        axes.fill_between(places, low, high, color=look["color"], alpha=0.12, linewidth=0)
    else:
        axes.plot([places[0]] * 2, [low[0], high[0]], color=look["color"], linewidth=1)
    axes.plot(places, [interval.mean for interval in intervals.values()], label=label, **look)


@styled
def change_by_language(table: pd.DataFrame, *, split: str = "test") -> np.ndarray:
    """F1 against the own teacher over the share of its parameters that is gone, a panel for each language (P1-T8).

    The average comes first; students of one teacher with its number of heads, seeds as dots, bands t intervals over
    seeds. Returns the axes, one a panel.
    """
    found = one_kind(beside_teacher(table, split=split), "encoder")
    heads = _heads_of_teachers(table, split=split)
    found = found[(found["heads"] == found["encoder"].map(heads)) & found["strategy"].isin(STUDENTS)]
    single = dict(list(found.groupby("language", sort=False)))
    axes = new_axes(len(single))
    for panel, (language, own) in zip(axes, single.items(), strict=True):
        panel.axhline(0, color=GREY, linewidth=1, label="teacher", zorder=0.9)
        for strategy in STUDENTS:
            rows = own[own["strategy"] == strategy]
            _curve(panel, rows, x="saved", y="change", look=LOOKS[strategy], label=strategy, scale=1.0, across=100.0)
        panel.set_title(language_name(language))
    finish(axes, x="parameters saved (%)", y="F1 against the teacher (points)")
    return axes


@styled
def temperatures(table: pd.DataFrame, *, split: str = "test") -> np.ndarray:
    """What each temperature makes of one student's F1 against the first one, a panel for each teacher (P1-T6).

    Dots are languages and seeds, paired with the same student at the first temperature; large markers their means with
    t intervals. Returns the axes.
    """
    rows = one_kind(of_split(table, split), "dataset")
    tried = rows[rows["variant"].str.startswith(TEMPERATURE)]
    both = tried.merge(rows[rows["variant"] == ""], on=[*MODELS, "language", "seed"], suffixes=("", "_first"))
    if both.empty:
        raise SmallerError("No other temperature was tried in this table.")
    first = both["temperature_first"].iloc[0]
    places = [first, *sorted(both["temperature"].unique())]
    encoders = list(dict.fromkeys(both["encoder"]))
    axes = new_axes(len(encoders), height=2.8)
    for panel, encoder in zip(axes, encoders, strict=True):
        panel.axhline(0, color=GREY, linewidth=1, zorder=0.9)
        for number, strategy in enumerate(STUDENTS):
            own = both[(both["encoder"] == encoder) & (both["strategy"] == strategy)]
            look, means, shift = LOOKS[strategy], {0: 0.0}, 0.12 * (number - 0.5)
            for temperature, pairs in (own["f1"] - own["f1_first"]).groupby(own["temperature"]):
                place, interval = places.index(temperature), t_interval(pairs)
                panel.plot(np.full(len(pairs), place + shift), pairs, ".", color=look["color"], alpha=0.4, markersize=4)
                panel.plot([place + shift] * 2, [interval.low, interval.high], color=look["color"], linewidth=1)
                means[place] = interval.mean
            panel.plot([place + shift for place in means], list(means.values()), label=strategy, **look)
        panel.set_title(f"Teacher: {encoder}")
        panel.set_xticks(range(len(places)), [f"{temperature:g}" for temperature in places])
        panel.set_xlim(-0.5, len(places) - 0.5)
    finish(axes, x="temperature", y=f"F1 against temperature {first:g} (points)")
    return axes


@styled
def learning_curves(curves: Mapping[str, pd.DataFrame]) -> np.ndarray:
    """Training loss over updates, a panel for each title, with at most six series each (columns series, update, loss).

    Losses of different panels are different losses and have scales of their own. Returns the axes.
    """
    lines = math.ceil(len(curves) / 2)
    axes = Figure(figsize=(7, 2.4 * lines)).subplots(lines, 2, squeeze=False).ravel()
    for spare in axes[len(curves) :]:
        spare.remove()
    axes = axes[: len(curves)]
    for panel, (title, frame) in zip(axes, curves.items(), strict=True):
        names = list(dict.fromkeys(frame["series"]))
        if len(names) > len(COLOURS):
            raise SmallerError(f"The panel {title!r} has {len(names)} curves; more than {len(COLOURS)} cannot be told "
                               "apart.")  # fmt: skip
        for place, name in enumerate(names):
            own = frame[frame["series"] == name].groupby("update")["loss"].mean()
            panel.plot(own.index, own, color=COLOURS[place], linestyle=LINES[place], label=name)
        panel.set_title(title)
        panel.legend(loc="upper right", fontsize=6.5)
    axes[0].figure.supxlabel("update", fontsize=8)
    axes[0].figure.supylabel("training loss", fontsize=8)
    return axes
