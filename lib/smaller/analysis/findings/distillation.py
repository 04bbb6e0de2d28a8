"""What students keep of their teachers' F1. `table` is what `by_strategy` makes; 4x6 is four layers of six heads."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from smaller.analysis.comparison import AGREES, DEPARTURE, DIFFERS, MARGIN, NOT_DECIDED, Comparison, corrected, paired
from smaller.analysis.findings.finding import ANSWERED, Finding, missing
from smaller.analysis.findings.words import count_of, name_of
from smaller.analysis.statistics import AVERAGE, language_average, of_split, one_kind, t_interval
from smaller.base.errors import SmallerError
from smaller.study.recipes import Recipe

TEACHER, AGNOSTIC, SPECIFIC = "teacher", "task-agnostic", "task-specific"
LABELS, CUT, CONTINUED, SCRATCH = "labels alone", "layers dropped", "layers dropped, pre-trained on", "from scratch"
STUDENTS, CONTROLS = (AGNOSTIC, SPECIFIC), (LABELS, CUT, CONTINUED, SCRATCH)
STRATEGIES = (TEACHER, *STUDENTS, *CONTROLS)
MODELS = ["strategy", "encoder", "shape"]
"""What tells the models of a table apart, beside language and seed."""

DIFFERENCE, CHANGE = "difference (points)", "F1 minus the teacher's (points)"
SAVED, KEPT = "fewer parameters (%)", "F1 kept (%)"

ONCE = {AGNOSTIC: "the corpus distillation"} | dict.fromkeys((CONTINUED, SCRATCH), "the control's pre-training")
"""What is drawn once for all seeds and languages of a strategy, so that no interval covers its chance."""

ISOLATING = {(SPECIFIC, LABELS): "On the task", (AGNOSTIC, CONTINUED): "On unlabelled text"}
"""Pairs of strategies in which nothing differs but the teacher's answers: start, batches and updates are the same."""

OTHERS = [
    (AGNOSTIC, CUT),
    (AGNOSTIC, SCRATCH),
    (SPECIFIC, CUT),
    (SPECIFIC, CONTINUED),
    (SPECIFIC, SCRATCH),
    (LABELS, CUT),
]
"""Pairs of a model and a control of its shape that differ in more than that."""


def layers_and_heads(shape: str) -> tuple[int, int]:
    """The numbers of a student's name: "4x6" is four layers of six heads."""
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", shape)
    if not found:
        raise SmallerError(f"A student is written as layers x heads, such as 4x6; {shape!r} is not.")
    return int(found[1]), int(found[2])


def by_strategy(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One table of several, with the columns `strategy` (one of `STRATEGIES`), `variant` (empty for none) and `shape`.

    The names of the tables are strategies, or "strategy: variant". Rows go by strategy and teacher, the largest shape
    first. A strategy without rows is not in the result.
    """
    parts = [
        table.assign(strategy=name.partition(": ")[0], variant=name.partition(": ")[2])
        for name, table in tables.items()
        if len(table)
    ]
    whole = _shaped(pd.concat(parts))
    places = {"strategy": STRATEGIES.index, "encoder": list(dict.fromkeys(whole["encoder"])).index}
    return whole.sort_values(
        ["strategy", "encoder", "layers", "heads"],
        kind="stable",
        ignore_index=True,
        key=lambda column: column.map(places.get(column.name, operator.neg)),
    )


def _shaped(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(shape=rows["layers"].astype(str) + "x" + rows["heads"].astype(str))


def plain(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """The rows of a split that are no variant."""
    rows = one_kind(of_split(table, split), "dataset")
    return rows[rows["variant"] == ""]


def averages(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, and where there are several languages the averages over them at the end."""
    return _shaped(pd.concat([rows, language_average(rows)])) if rows["language"].nunique() > 1 else rows


def of_average(rows: pd.DataFrame) -> pd.DataFrame:
    """Of rows with `averages`, those of the average, or of the only language."""
    return rows[rows["language"].isin(rows["language"].iloc[-1:])]


def of_students(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of students, without controls and teachers."""
    return rows[rows["strategy"].isin(STUDENTS)]


def once(*strategies: str) -> tuple[str, ...]:
    """What the strategies draw once for all seeds."""
    return tuple(dict.fromkeys(ONCE[name] for strategy in strategies if (name := strategy.partition(": ")[0]) in ONCE))


def compared(table: pd.DataFrame, pairs: Iterable[tuple[str, str]], *, split: str = "test") -> pd.DataFrame:
    """F1 of models minus that of others of the same teacher and shape, or of the teacher itself, paired by seed.

    `pairs` name strategies, or "strategy: variant". Columns: model, minus, teacher, student, difference (points). The
    p values are corrected for the number of rows.
    """
    rows = one_kind(of_split(table, split), "dataset")
    names = rows["strategy"].where(rows["variant"] == "", rows["strategy"] + ": " + rows["variant"])
    found = [pd.DataFrame(columns=["model", "minus", "encoder", "shape", "comparison"])]
    for first, second in pairs:
        own, other = rows[names == first], rows[names == second]
        if second == TEACHER:  # one for students of every shape
            other = other.drop(columns="shape").merge(own[["encoder", "shape"]].drop_duplicates(), on="encoder")
        each = paired(own, other, by=["encoder", "shape"], drawn_once=once(first, second))
        found.append(each.assign(model=first, minus=second))
    whole = corrected(pd.concat(found, ignore_index=True)).drop(columns="verdict")
    return whole.set_axis(["model", "minus", "teacher", "student", DIFFERENCE], axis="columns")


def beside(first: pd.DataFrame, second: pd.DataFrame, *, on: Sequence[str]) -> pd.DataFrame:
    """Rows of `first` that have one of `second` with the same `on`, which figures draw seed by seed.

    New columns: `change` (F1 minus the other's, in points), `kept` (F1 in per cent of it; NaN where that is 0) and
    `saved` (parameters that are gone, in per cent of its).
    """
    other = second.set_index(list(on))[["f1", "parameters"]]
    found = first.join(other, on=list(on), suffixes=("", "_other")).dropna(subset="f1_other")
    return found.assign(
        change=found["f1"] - found["f1_other"],
        kept=100 * found["f1"] / found["f1_other"].where(found["f1_other"] > 0),
        saved=100 * (1 - found["parameters"] / found["parameters_other"]),
    )


def beside_teacher(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Students and controls `beside` their own teacher of that language and seed; language averages last."""
    rows = averages(plain(table, split=split))
    whole = rows["strategy"] == TEACHER
    found = beside(rows[~whole], rows[whole], on=["encoder", "language", "seed"])
    if found.empty:
        raise SmallerError(
            "There is no student beside its own teacher of the same language and seed: run the teachers "
            "with the students' seeds."
        )
    return found


def compression(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """What each student and control saves and loses against its own teacher (P1-T7, P1-T8), averaged over languages.

    One row a model: its parameters in millions, the share saved, and what it loses in points and keeps in per cent.
    """
    names = ["strategy", "teacher", "student"]
    found = of_average(beside_teacher(table, split=split)).groupby(MODELS, sort=False)
    each = pd.DataFrame(
        {
            "parameters (M)": found["parameters"].first() / 1e6,
            SAVED: found["saved"].mean(),
            KEPT: found["kept"].agg(t_interval),
        }
    ).rename_axis(names)
    changes = compared(table, [(name, TEACHER) for name in STRATEGIES[1:]], split=split)
    changes = changes.rename(columns={"model": "strategy", DIFFERENCE: CHANGE})
    return changes.join(each, on=names, how="inner")[[*names, "parameters (M)", SAVED, CHANGE, KEPT]]


def relation(one: Comparison, what: str = "F1") -> str:
    """What a comparison shows of the first, as the verb of a sentence whose subject is plural."""
    if one.verdict == AGREES:
        return f"have the same {what} (within {MARGIN:g} points) as"
    sides = {1: f"have a higher {what} than", -1: f"have a lower {what} than"}
    return sides.get(one.sign, f"are not shown to have another {what} than")


def results(table: pd.DataFrame) -> pd.DataFrame:
    """Every model's F1 by language and on average, each an interval over seeds (P1-T1), marked by `with_best`."""
    rows = averages(plain(table))
    languages = sorted(set(rows["language"]), key=lambda code: (code == AVERAGE, name_of(code)))
    found = [
        {
            "strategy": strategy,
            "teacher": encoder,
            "layers": layers,
            "heads": heads,
            "parameters (M)": own["parameters"].iloc[0] / 1e6,
        }
        | {name_of(code): t_interval(own.loc[own["language"] == code, "f1"]) for code in languages}
        for (strategy, encoder, layers, heads), own in rows.groupby(
            ["strategy", "encoder", "layers", "heads"], sort=False
        )
    ]
    return with_best(pd.DataFrame(found), name_of(languages[-1]))


def with_best(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """The table, whose best students in a column are marked: bold for a strategy and teacher, underlined for both."""
    means = of_students(table)[column].map(lambda cell: getattr(cell, "mean", cell)).reindex(table.index)
    for mark, keys in (("bold", ["strategy", "teacher"]), ("underlined", ["strategy"])):
        best = means == means.groupby([table[key] for key in keys]).transform("max")
        table.attrs[mark] = {(place, column) for place in np.flatnonzero(best)}
    return table


def students_to_choose(table: pd.DataFrame) -> pd.DataFrame:
    """The `compression` of students on test, and their mean change on `dev`, by which they are chosen."""
    dev, test = (of_students(compression(table, split=split)) for split in ("dev", "test"))
    dev = dev.assign(dev=[one.interval.mean for one in dev[CHANGE]])
    return test.merge(dev[["strategy", "teacher", "student", "dev"]], on=["strategy", "teacher", "student"])


def how_tiny(table: pd.DataFrame, *, points: float = DEPARTURE) -> Finding:
    """The smallest student within `points` of its teacher, chosen on dev and reported on test (paper 1, Q1)."""
    found = students_to_choose(table)
    within = found[found["dev"] >= -points].sort_values(["parameters (M)", "dev"], ascending=[True, False])
    if within.empty:
        return Finding(f"No student is within {points:g} points of its teacher's F1 on dev.")
    least = within.iloc[0].to_dict()
    loses = least[CHANGE].departs(by=points)
    shown = {AGREES: "shown", DIFFERS: "excluded", NOT_DECIDED: NOT_DECIDED}[loses]
    return Finding(
        f"The smallest student within {points:g} points of its teacher's F1 on dev is {least['strategy']} "
        f"{least['student']} of {least['teacher']}, with {least[SAVED]:.1f} % fewer parameters.",
        f"On test, its F1 minus its teacher's is {least[CHANGE]}. A loss of {points:g} points is {shown}.",
        quantity=least[CHANGE],
        values=least,
        verdict=NOT_DECIDED if loses == NOT_DECIDED else ANSWERED,
    )


def too_small(table: pd.DataFrame, *, share: float = 90.0) -> Finding:
    """Which students keep less than `share` per cent of their teacher's F1 (paper 1, mechanism 2; T24)."""
    found = of_students(compression(table)).set_index("student")[KEPT]
    found = found[[one.n > 0 for one in found]]
    if found.empty:
        return missing("Shares of a teacher's F1")
    below = [student for student, one in found.items() if one.mean < share]
    undecided = any(not one.known or one.low < share <= one.high for one in found)
    return Finding(
        f"Less than {share:g} % of the teacher's F1 is kept by {len(below) or 'none'} of "
        f"{count_of(len(found), 'student')}.",
        verdict=NOT_DECIDED if undecided else ANSWERED,
        values={"below": below},
    )


def curves(found: Mapping[str, Iterable[tuple[Recipe, list[float], int]]]) -> pd.DataFrame:
    """Learning curves as a table with the columns series, update and loss, from what `timing.training_curves` gives.

    The losses of single batches are noisy: each is the mean of up to five neighbouring points.
    """
    rows = [
        pd.DataFrame(
            {
                "series": name,
                "update": np.arange(len(losses)) * stride,
                "loss": pd.Series(losses).rolling(5, center=True, min_periods=1).mean(),
            }
        )
        for name, own in found.items()
        for _, losses, stride in own
    ]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["series", "update", "loss"])
