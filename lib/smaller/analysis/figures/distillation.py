"""Figures of distillation: students by strategy, what they keep as they shrink, temperatures, and learning curves."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from smaller.analysis.comparison import differences
from smaller.analysis.figures import base
from smaller.analysis.figures.base import COLOURS, GREY, styled
from smaller.analysis.findings import distillation
from smaller.analysis.findings.distillation import STUDENTS, TEACHER, beside_teacher, of_average
from smaller.analysis.findings.teaching import at_another_temperature
from smaller.analysis.statistics import AVERAGE, Interval, of_split, one_kind, t_interval
from smaller.base.errors import SmallerError


@styled
def f1_by_student(table: pd.DataFrame) -> np.ndarray:
    """F1 of students and controls on test, a panel a teacher, a row a shape; grey: the teacher (P1-T1)."""
    rows = of_average(distillation.averages(distillation.plain(table)))
    whole = rows["strategy"] == TEACHER
    teachers = {encoder: t_interval(own) for encoder, own in rows[whole].groupby("encoder")["f1"]}
    return _rows_of_dots(rows[~whole], teachers, value="f1", x=base.F1)


@styled
def retention(table: pd.DataFrame) -> np.ndarray:
    """F1 in per cent of the own teacher's, panels and rows as in `f1_by_student` (P1-T7)."""
    rows = of_average(beside_teacher(table))
    teachers = dict.fromkeys(rows["encoder"], Interval(100.0, np.nan, np.nan, 1))
    return _rows_of_dots(rows, teachers, value="kept", x="F1 kept of the teacher's (%)")


@styled
def temperatures(table: pd.DataFrame) -> np.ndarray:
    """F1 of one student at each temperature minus its F1 at the first, a panel for each teacher (P1-T6)."""
    rows = of_average(distillation.averages(one_kind(of_split(table, "test"), "dataset")))
    tried, first = rows[at_another_temperature(rows)], rows[rows["variant"] == ""]
    each = differences(tried, first, by=[*distillation.MODELS, "temperature"], for_all=["temperature"]).dropna()
    both, name = each.sort_values("temperature", kind="stable"), f"temperature {first['temperature'].min():g}"
    both = both.assign(temperature=both["temperature"].map("{:g}".format), change=both["f1"])
    zero = dict.fromkeys(both["encoder"], Interval(0.0, np.nan, np.nan, 1))
    about = {"by": "temperature", "y": "temperature", "level": name, "x": f"F1 minus that at {name} (points)"}
    return _rows_of_dots(both, zero, value="change", **about)


def _rows_of_dots(
    rows: pd.DataFrame, own: dict[str, Interval], *, value: str, by: str = "shape", level: str = TEACHER, **axis: str
) -> np.ndarray:
    """A panel for each teacher, with a row for each value of the column `by` and a grey line at the teacher's own."""
    if by == "shape":
        rows = rows.sort_values(["layers", "heads"], ascending=False)
    groups = list(dict.fromkeys(rows[by]))
    present = [strategy for strategy in distillation.STRATEGIES if strategy in set(rows["strategy"])]

    def draw(panel: Axes, rows: pd.DataFrame) -> None:
        base.level(panel, own[rows["encoder"].iloc[0]], label=level, upright=True)
        base.dots_mean_interval(panel, rows, x=value, y=by, hue="strategy", order=groups, hue_order=present, spread=0.7)
        panel.set_ylim(len(groups) - 0.5, -0.5)
        panel.grid(visible=False, axis="y")

    parts = {f"Teacher: {encoder}": part for encoder, part in rows.groupby("encoder")}
    return base.panels(parts, draw, **{"y": "student (layers x heads)"} | axis, height=1.2 + 0.75 * len(groups))


@styled
def change_by_language(table: pd.DataFrame) -> np.ndarray:
    """F1 against the own teacher over the share of its parameters that is gone, a panel for each language (P1-T8)."""
    found = one_kind(beside_teacher(table), "encoder")
    found = found[found["heads"] == table.loc[table["strategy"] == TEACHER, "heads"].iloc[0]]

    def draw(panel: Axes, own: pd.DataFrame) -> None:
        panel.axhline(0, color=GREY, linewidth=1, label=TEACHER, zorder=0.9)
        for place, strategy in enumerate(STUDENTS):
            students = own[own["strategy"] == strategy]
            base.curve(panel, students, x="saved", y="change", label=strategy, **base.look(place))

    names = sorted(set(found["language"]), key=lambda code: (code != AVERAGE, base.language_name(code)))
    parts = {base.language_name(code): found[found["language"] == code] for code in names}
    return base.panels(parts, draw, x="parameters saved (%)", y="F1 minus the teacher's (points)")


@styled
def learning_curves(curves: Mapping[str, pd.DataFrame]) -> np.ndarray:
    """Training loss over updates, a panel for each title, with at most six series (columns series, update, loss)."""
    axes = base.new_axes(len(curves), height=1.8 * len(curves), across=1, share="")
    for panel, (title, frame) in zip(axes, curves.items(), strict=True):
        if (many := frame["series"].nunique()) > len(COLOURS):
            raise SmallerError(f"The panel {title!r} has {many} curves; {len(COLOURS)} can be told apart.")
        style = {"hue": "series", "style": "series", "palette": COLOURS[:many], "errorbar": None}
        sns.lineplot(frame, x="update", y="loss", ax=panel, **style)
        panel.set(title=title, xlabel="", ylabel="")
        sns.move_legend(panel, "upper right", title=None, fontsize=6.5)
    axes[0].figure.supxlabel("update", fontsize=8)
    axes[0].figure.supylabel("training loss", fontsize=8)
    return axes
