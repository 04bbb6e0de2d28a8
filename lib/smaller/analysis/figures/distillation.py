"""Figures of distillation: students by strategy, what they keep as they shrink, temperatures, and learning curves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from smaller.analysis.figures.base import (
    COLOURS,
    GREY,
    LINES,
    MARKERS,
    curve,
    dots_mean_interval,
    finish,
    new_axes,
    styled,
)
from smaller.analysis.findings import distillation
from smaller.analysis.findings.distillation import STUDENTS, TEACHER, beside_teacher, of_average
from smaller.analysis.findings.teaching import TEMPERATURE
from smaller.analysis.findings.words import name_of
from smaller.analysis.statistics import AVERAGE, Interval, of_split, one_kind, t_interval
from smaller.base.errors import SmallerError


@styled
def f1_by_student(table: pd.DataFrame) -> np.ndarray:
    """F1 of students and controls on test, a panel for each teacher and a row for each shape (P1-T1).

    Averages over languages: markers are means over seeds with t intervals, dots single seeds. The grey line is the
    teacher with its interval.
    """
    rows = of_average(distillation.averages(distillation.plain(table)))
    whole = rows["strategy"] == TEACHER
    teachers = {encoder: t_interval(own) for encoder, own in rows[whole].groupby("encoder")["f1"]}
    return _rows_of_dots(rows[~whole], teachers, value="f1", x="F1 (points)")


@styled
def retention(table: pd.DataFrame) -> np.ndarray:
    """F1 in per cent of the own teacher's, panels and rows as in `f1_by_student` (P1-T7)."""
    rows = of_average(beside_teacher(table))
    teachers = dict.fromkeys(rows["encoder"], Interval(100.0, 100.0, 100.0, 0))
    return _rows_of_dots(rows, teachers, value="kept", x="F1 kept of the teacher's (%)")


@styled
def temperatures(table: pd.DataFrame) -> np.ndarray:
    """F1 of one student at each temperature minus its F1 at the first, a panel for each teacher (P1-T6).

    Dots are seeds (averages over languages, paired by seed), markers means with t intervals.
    """
    rows = of_average(distillation.averages(one_kind(of_split(table, "test"), "dataset")))
    tried, first = rows[rows["variant"].str.startswith(TEMPERATURE)], rows[rows["variant"] == ""]
    both = distillation.beside(tried, first, on=[*distillation.MODELS, "seed"]).sort_values("temperature")
    name = f"temperature {first['temperature'].min():g}"
    return _rows_of_dots(
        both.assign(temperature=both["temperature"].map("{:g}".format)),
        dict.fromkeys(both["encoder"], Interval(0.0, 0.0, 0.0, 0)),
        value="change",
        by="temperature",
        line=name,
        x=f"F1 minus that at {name} (points)",
        y="temperature",
    )


def _rows_of_dots(
    rows: pd.DataFrame,
    lines: Mapping[str, Interval],
    *,
    value: str,
    by: str = "shape",
    line: str = TEACHER,
    x: str,
    y: str = "student (layers x heads)",
) -> np.ndarray:
    """A panel for each teacher, with a row for each value of the column `by` and a grey line at the teacher's own."""
    if by == "shape":
        rows = rows.sort_values(["layers", "heads"], ascending=False)
    groups, encoders = list(dict.fromkeys(rows[by])), sorted(set(rows["encoder"]))
    present = [strategy for strategy in distillation.STRATEGIES if strategy in set(rows["strategy"])]
    axes = new_axes(len(encoders), height=1.2 + 0.75 * len(groups))
    for panel, encoder in zip(axes, encoders, strict=True):
        panel.axvline(lines[encoder].mean, color=GREY, linewidth=1, label=line, zorder=0.9)
        if lines[encoder].known:
            panel.axvspan(lines[encoder].low, lines[encoder].high, color=GREY, alpha=0.14, linewidth=0, zorder=0.5)
        dots_mean_interval(
            panel,
            rows[rows["encoder"] == encoder],
            x=value,
            y=by,
            hue="strategy",
            order=groups,
            hue_order=present,
            clip=value == "f1",
            spread=0.7,
        )
        panel.set(title=f"Teacher: {encoder}", ylim=(len(groups) - 0.5, -0.5))
        panel.grid(visible=False, axis="y")
    finish(axes, x=x, y=y)
    return axes


@styled
def change_by_language(table: pd.DataFrame) -> np.ndarray:
    """F1 against the own teacher over the share of its parameters that is gone, a panel for each language (P1-T8).

    The average comes first; students of one teacher with its number of heads, seeds as dots, bands t intervals over
    seeds.
    """
    found = one_kind(beside_teacher(table), "encoder")
    found = found[found["heads"] == table.loc[table["strategy"] == TEACHER, "heads"].iloc[0]]
    languages = sorted(set(found["language"]), key=lambda code: (code != AVERAGE, name_of(code)))
    axes = new_axes(len(languages))
    for panel, language in zip(axes, languages, strict=True):
        panel.axhline(0, color=GREY, linewidth=1, label=TEACHER, zorder=0.9)
        for strategy, colour, marker, line in zip(STUDENTS, COLOURS, MARKERS, LINES, strict=False):
            own = found[(found["language"] == language) & (found["strategy"] == strategy)]
            curve(
                panel,
                own,
                x="saved",
                y="change",
                percent=False,
                clip=False,
                label=strategy,
                color=colour,
                marker=marker,
                linestyle=line,
            )
        panel.set_title(name_of(language).capitalize())
    finish(axes, x="parameters saved (%)", y="F1 minus the teacher's (points)")
    return axes


@styled
def learning_curves(curves: Mapping[str, pd.DataFrame]) -> np.ndarray:
    """Training loss over updates, a panel for each title, with at most six series each (columns series, update, loss).

    Losses of different panels are different losses and have scales of their own.
    """
    axes = Figure(figsize=(7, 1.8 * len(curves))).subplots(len(curves), squeeze=False).ravel()
    for panel, (title, frame) in zip(axes, curves.items(), strict=True):
        if (many := frame["series"].nunique()) > len(COLOURS):
            raise SmallerError(f"The panel {title!r} has {many} curves; {len(COLOURS)} can be told apart.")
        sns.lineplot(
            frame, x="update", y="loss", hue="series", style="series", palette=COLOURS[:many], errorbar=None, ax=panel
        )
        panel.set(title=title, xlabel="", ylabel="")
        sns.move_legend(panel, "upper right", title=None, fontsize=6.5)
    axes[0].figure.supxlabel("update", fontsize=8)
    axes[0].figure.supylabel("training loss", fontsize=8)
    return axes
