"""Figures of distillation: students by strategy, what they keep as they shrink, temperatures, and learning curves."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from smaller.errors import SmallerError
from smaller.figures.base import (
    COLOURS,
    GREY,
    LINES,
    MARKERS,
    curve,
    dots_mean_interval,
    finish,
    language_name,
    new_axes,
    styled,
)
from smaller.findings.ablations import TEMPERATURE
from smaller.findings.distillation import CONTROLS, MODELS, STUDENTS, TEACHER, beside, beside_teacher, plain
from smaller.statistics import AVERAGE, Interval, language_average, of_split, one_kind, t_interval


@styled
def f1_by_student(table: pd.DataFrame, *, split: str = "test") -> np.ndarray:
    """F1 of students and controls, a panel for each teacher and a row for each shape, the largest on top (P1-T1).

    Averages over languages: markers are means over seeds with t intervals, dots single seeds. The grey line is the
    teacher with its interval. Returns the axes.
    """
    rows = language_average(plain(table, split=split))
    whole = rows["strategy"] == TEACHER
    teachers = {encoder: t_interval(own) for encoder, own in rows[whole].groupby("encoder")["f1"]}
    return _by_shape(rows[~whole], teachers, value="f1", label="F1 (points)")


@styled
def retention(table: pd.DataFrame, *, split: str = "test") -> np.ndarray:
    """F1 in per cent of the own teacher's, panels and rows as in `f1_by_student` (P1-T7). Returns the axes."""
    rows = beside_teacher(table, split=split)
    rows = rows[rows["language"] == rows["language"].iloc[-1]]  # the average, or the only language
    whole = dict.fromkeys(rows["encoder"], Interval(100.0, 100.0, 100.0, 0))
    return _by_shape(rows, whole, value="kept", label="F1 kept of the teacher's (%)")


def _by_shape(rows: pd.DataFrame, teachers: Mapping[str, Interval], *, value: str, label: str) -> np.ndarray:
    shapes = sorted(set(rows[["layers", "heads"]].itertuples(index=False, name=None)), reverse=True)
    rows = rows.assign(shape=rows["layers"].astype(str) + "x" + rows["heads"].astype(str))
    encoders = list(dict.fromkeys(rows["encoder"]))
    present = [strategy for strategy in (*STUDENTS, *CONTROLS) if strategy in set(rows["strategy"])]
    axes = new_axes(len(encoders), height=1.2 + 0.75 * len(shapes))
    for panel, encoder in zip(axes, encoders, strict=True):
        teacher = teachers[encoder]
        panel.axvline(teacher.mean, color=GREY, linewidth=1, label=TEACHER, zorder=0.9)
        if teacher.known:
            panel.axvspan(teacher.low, teacher.high, color=GREY, alpha=0.14, linewidth=0, zorder=0.5)
        dots_mean_interval(panel, rows[rows["encoder"] == encoder], x=value, y="shape", hue="strategy",
                           order=["{}x{}".format(*shape) for shape in shapes], hue_order=present, clip=value == "f1",
                           spread=0.7)  # fmt: skip
        panel.set(title=f"Teacher: {encoder}", ylim=(len(shapes) - 0.5, -0.5))
        panel.grid(visible=False, axis="y")
    finish(axes, x=label, y="student (layers x heads)")
    return axes


@styled
def change_by_language(table: pd.DataFrame, *, split: str = "test") -> np.ndarray:
    """F1 against the own teacher over the share of its parameters that is gone, a panel for each language (P1-T8).

    The average comes first; students of one teacher with its number of heads, seeds as dots, bands t intervals over
    seeds. Returns the axes, one a panel.
    """
    found = one_kind(beside_teacher(table, split=split), "encoder")
    heads = plain(table, split=split).query("strategy == @TEACHER")["heads"].iloc[0]
    found = found[found["heads"] == heads]
    languages = sorted(set(found["language"]), key=lambda code: (code != AVERAGE, language_name(code)))
    axes = new_axes(len(languages))
    for panel, language in zip(axes, languages, strict=True):
        own = found[found["language"] == language]
        panel.axhline(0, color=GREY, linewidth=1, label=TEACHER, zorder=0.9)
        for place, strategy in enumerate(STUDENTS):
            look = {"color": COLOURS[place], "marker": MARKERS[place], "linestyle": LINES[place], "label": strategy}
            curve(panel, own[own["strategy"] == strategy], x="saved", y="change", percent=False, clip=False, **look)
        panel.set_title(language_name(language))
    finish(axes, x="parameters saved (%)", y="F1 minus the teacher's (points)")
    return axes


@styled
def temperatures(table: pd.DataFrame, *, split: str = "test") -> np.ndarray:
    """F1 of one student at each temperature minus its F1 at the first, a panel for each teacher (P1-T6).

    Dots are seeds (averages over languages, paired by seed), markers means with t intervals. Returns the axes.
    """
    rows = language_average(one_kind(of_split(table, split), "dataset"))
    tried = rows[rows["variant"].str.startswith(TEMPERATURE)]
    if tried.empty:
        raise SmallerError("No other temperature was tried in this table.")
    both = beside(tried, rows[rows["variant"] == ""], on=[*MODELS, "seed"])
    first = rows.loc[(rows["variant"] == "") & rows["strategy"].isin(STUDENTS), "temperature"].iloc[0]
    encoders, hot = list(dict.fromkeys(both["encoder"])), sorted(both["temperature"].unique())
    axes = new_axes(len(encoders), height=2.8)
    for panel, encoder in zip(axes, encoders, strict=True):
        panel.axhline(0, color=GREY, linewidth=1, label=f"temperature {first:g}", zorder=0.9)
        own = both[both["encoder"] == encoder].assign(at=lambda found: found["temperature"].map("{:g}".format))
        dots_mean_interval(panel, own, x="at", y="change", hue="strategy", order=[f"{value:g}" for value in hot],
                           hue_order=STUDENTS, clip=False, spread=0.3)  # fmt: skip
        panel.set(title=f"Teacher: {encoder}", xlim=(-0.5, len(hot) - 0.5))
    finish(axes, x="temperature", y=f"F1 minus that at temperature {first:g} (points)")
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
            raise SmallerError(f"The panel {title!r} has {len(names)} curves; {len(COLOURS)} can be told apart.")
        for place, name in enumerate(names):
            sns.lineplot(frame[frame["series"] == name], x="update", y="loss", errorbar=None, ax=panel, label=name,
                         color=COLOURS[place], linestyle=LINES[place])  # fmt: skip
        panel.set(title=title, xlabel="", ylabel="")
        panel.legend(loc="upper right", fontsize=6.5)
    axes[0].figure.supxlabel("update", fontsize=8)
    axes[0].figure.supylabel("training loss", fontsize=8)
    return axes
