"""Answers on distillation: students beside their teachers and beside each other.

`table` is what `by_strategy` makes of the tidy tables of a study. A student's name is its shape, layers x heads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd

from smaller.errors import SmallerError, did_you_mean
from smaller.findings.cells import best, give_or_take, one_or_span, with_unit
from smaller.findings.words import name_of
from smaller.recipes import Recipe
from smaller.statistics import Interval, language_average, of_split, one_kind, t_interval

TEACHER, AGNOSTIC, SPECIFIC = "teacher", "task-agnostic", "task-specific"
CUT, CONTINUED, SCRATCH = "layers dropped", "layers dropped, pre-trained on", "from scratch"
STUDENTS, CONTROLS = (AGNOSTIC, SPECIFIC), (CUT, CONTINUED, SCRATCH)
STRATEGIES = (TEACHER, *STUDENTS, *CONTROLS)
MODELS = ["strategy", "encoder", "layers", "heads"]
"""What tells the models of a table apart, beside language and seed."""

COLLAPSE = 0.9
"""The share of its teacher's F1 below which a student counts as too small (the capacity limit of paper 1)."""


def layers_and_heads(shape: str) -> tuple[int, int]:
    """The numbers of a student's name: "4x6" is four layers of six heads."""
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", shape)
    if not found:
        raise SmallerError(f"A student is written as layers x heads, such as 4x6; {shape!r} is not.")
    return int(found[1]), int(found[2])


def by_strategy(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One table of several, with the columns `strategy` (one of `STRATEGIES`), `variant` (empty for none) and `shape`.

    The names of the tables are strategies, or "strategy: variant". A strategy without rows is not in the result.
    """
    parts = []
    for name, table in tables.items():
        strategy, _, variant = name.partition(": ")
        if strategy not in STRATEGIES:
            hint = did_you_mean(strategy, STRATEGIES)
            raise SmallerError(f"{strategy!r} is no strategy; there are {', '.join(STRATEGIES)}.{hint}")
        if len(table):
            parts.append(table.assign(strategy=strategy, variant=variant))
    if not parts:
        raise SmallerError("None of these recipes has been run: there is nothing to compare.")
    whole = pd.concat(parts, ignore_index=True)
    return whole.assign(shape=whole["layers"].astype(str) + "x" + whole["heads"].astype(str))


def plain(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """The rows of a split that are no variant."""
    rows = one_kind(of_split(table, split), "dataset")
    return rows[rows["variant"] == ""]


def results(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Every model's F1 by language and on average: mean over seeds, half its t interval, and n (P1-T1).

    Of the students the best average of each strategy and teacher stands between double asterisks, and the best of each
    strategy between double underscores, as the paper prints them bold and underlined.
    """
    rows = plain(table, split=split)
    languages = sorted(rows["language"].unique(), key=name_of)
    average = language_average(rows)
    last = "average" if len(languages) > 1 else name_of(languages[0])
    found, means = [], []
    for model in sorted(rows.groupby(MODELS).groups, key=_order(rows)):
        own = _of_model(rows, model)
        cells = {name_of(code): t_interval(own.loc[own["language"] == code, "f1"]) for code in languages}
        cells[last] = t_interval(_of_model(average, model)["f1"])
        about = dict(zip(("strategy", "teacher", "layers", "heads"), model, strict=True))
        about["parameters (M)"] = own["parameters"].iloc[0] / 1e6
        told = {name: give_or_take(interval, 1) for name, interval in cells.items()}
        found.append(about | told | {"n": one_or_span(interval.n for interval in cells.values())})
        means.append(round(cells[last].mean, 1))
    whole = pd.DataFrame(found)
    return whole.assign(**{last: mark_best(whole, pd.Series(means), whole[last])})


def mark_best(table: pd.DataFrame, means: pd.Series, cells: Iterable[str]) -> list[str]:
    """The cells; of the students, the best mean of each strategy and teacher stands between double asterisks.

    The best of each strategy stands between double underscores as well.
    """
    students = table["strategy"].isin(STUDENTS)
    of_teacher = students & (means == means.groupby([table["strategy"], table["teacher"]]).transform("max"))
    of_strategy = students & (means == means.groupby(table["strategy"]).transform("max"))
    marked = [best(cell, of_row=first) for cell, first in zip(cells, of_teacher, strict=True)]
    return [f"__{cell}__" if first else cell for cell, first in zip(marked, of_strategy, strict=True)]


def _order(rows: pd.DataFrame) -> Callable[[tuple], tuple]:
    """A key that sorts models: strategies as listed, teachers as they come, the largest shape last."""
    encoders = list(dict.fromkeys(rows["encoder"]))
    return lambda model: (STRATEGIES.index(model[0]), encoders.index(model[1]), *model[2:])


def _of_model(rows: pd.DataFrame, model: tuple) -> pd.DataFrame:
    return rows[(rows[MODELS] == list(model)).all(axis="columns")]


def beside_teacher(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Each student's and control's row beside its own teacher's of that language and seed; language averages first.

    The columns of the table, and `change` (F1 minus the teacher's, in points), `kept` (F1 over the teacher's; NaN of a
    teacher that finds nothing) and `saved` (the share of the teacher's parameters that is gone).
    """
    rows = plain(table, split=split)
    several = rows["language"].nunique() > 1
    rows = pd.concat([language_average(rows), rows]) if several else rows
    keys = ["encoder", "language", "seed"]
    teachers = rows[rows["strategy"] == TEACHER].set_index(keys)[["f1", "parameters"]]
    students = rows[rows["strategy"] != TEACHER]
    found = students.join(teachers, on=keys, suffixes=("", "_teacher")).dropna(subset="f1_teacher")
    if found.empty:
        raise SmallerError("There is no student beside its own teacher of the same language and seed: run the teachers "
                           "with the students' seeds.")  # fmt: skip
    return found.assign(
        change=found["f1"] - found["f1_teacher"],
        kept=found["f1"] / found["f1_teacher"].where(found["f1_teacher"] > 0),
        saved=1 - found["parameters"] / found["parameters_teacher"],
    )


def against_teacher(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """One row a model, on average over languages: `saved`, and the intervals `change` and `kept`, paired by seed.

    Models are in the order of strategies and teachers, the largest first.
    """
    found = beside_teacher(table, split=split)
    first = found[found["language"] == found["language"].iloc[0]]  # the average, or the only language
    rows = [
        dict(zip(MODELS, model, strict=True)) | {
            "shape": f"{model[2]}x{model[3]}",
            "parameters": own["parameters"].iloc[0],
            "saved": own["saved"].mean(),
            "change": t_interval(own["change"]),
            "kept": t_interval(own["kept"]),
        }
        for model, own in first.groupby(MODELS)
    ]  # fmt: skip
    key = _order(found)
    rows.sort(key=lambda row: (*key((row["strategy"], row["encoder"])), -row["layers"], -row["heads"]))
    return pd.DataFrame(rows)


def retention(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """F1 in per cent of the student's own teacher as layers and heads shrink (P1-T7).

    Means over seeds, paired by seed, ± half their t intervals, on average over languages.
    """
    found = against_teacher(table, split=split)
    several = found["encoder"].nunique() > 1
    rows = []
    for (layers, heads), own in found.groupby(["layers", "heads"]):
        cells = {row.strategy + f", {row.encoder}" * several: give_or_take(scaled(row.kept), 1)
                 for row in own.itertuples()}  # fmt: skip
        counts = {"n": one_or_span(interval.n for interval in own["kept"])}
        rows.append({"layers": layers, "heads": heads} | cells | counts)
    wide = pd.DataFrame(rows[::-1]).fillna("–")
    names = [row.strategy + f", {row.encoder}" * several for row in found.itertuples()]
    return wide[["layers", "heads", *dict.fromkeys(names), "n"]]


def compression(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """What each student saves and loses against its own teacher, in points and in per cent (P1-T8)."""
    return pd.DataFrame([
        {
            "strategy": row.strategy,
            "teacher": row.encoder,
            "student": row.shape,
            "parameters (M)": row.parameters / 1e6,
            "fewer parameters (%)": 100 * row.saved,
            "F1 against teacher (points)": give_or_take(row.change, 1, sign="+"),
            "F1 against teacher (%)": give_or_take(scaled(row.kept, less=1), 1, sign="+"),
            "n": row.change.n,
        }
        for row in against_teacher(table, split=split).itertuples()
    ])  # fmt: skip


def scaled(interval: Interval, *, less: float = 0.0, from_whole: bool = False) -> Interval:
    """An interval of shares in per cent, minus `less` (a share); or of what is missing from the whole."""
    if from_whole:
        return Interval(*(100 * (1 - value) for value in (interval.mean, interval.high, interval.low)), interval.n)
    return Interval(*(100 * (value - less) for value in (interval.mean, interval.low, interval.high)), interval.n)


def _of_students(found: pd.DataFrame) -> pd.DataFrame:
    return found[found["strategy"].isin(STUDENTS)]


def how_tiny(table: pd.DataFrame, *, points: float = 2.0, split: str = "test") -> str:
    """The smallest student within `points` of its teacher, for each teacher and strategy (paper 1, Q1)."""
    found = _of_students(against_teacher(table, split=split))
    found = found.assign(mean=[interval.mean for interval in found["change"]])
    near, none = [], []
    for (encoder, strategy), own in found.groupby(["encoder", "strategy"], sort=False):
        within = own[own["mean"] >= -points].sort_values(["parameters", "mean"], ascending=[True, False])
        chosen = within.iloc[0] if len(within) else own.sort_values("mean").iloc[-1]
        (near if len(within) else none).append(
            f"{strategy} from {encoder}: {chosen['shape']}, {100 * chosen['saved']:.1f} % fewer parameters, F1 against "
            f"the teacher {with_unit(chosen['change'], 'points')}"
        )
    text = ""
    if near:
        text = f"The smallest students (layers x heads) whose mean F1 is at most {points:g} points below their "
        text += f"teacher's: {'; '.join(near)}. "
    if none:
        text += f"No student comes within {points:g} points where the nearest is: {'; '.join(none)}."
    return text.strip()


def too_small(table: pd.DataFrame, *, share: float = COLLAPSE, split: str = "test") -> str:
    """Where retention collapses: the capacity limit of a student (paper 1, break condition of its mechanism 2; T24)."""
    found = _of_students(against_teacher(table, split=split))
    sentences = []
    for (encoder, strategy), own in found.groupby(["encoder", "strategy"], sort=False):
        kept = own["kept"].map(lambda interval: interval.mean)
        below = own[kept < share]
        if kept.isna().any():
            sentences.append(f"What {strategy} students keep of {encoder} was not measured: it finds nothing itself.")
            continue
        row = below.iloc[0] if len(below) else own.loc[kept.idxmin()]
        sentences.append(
            f"{strategy.capitalize()} students of {encoder} "
            + (f"keep less than {100 * share:.0f} % of its F1 from {row['shape']} downwards" if len(below)
               else f"all keep {100 * share:.0f} % of its F1 or more; the least is {row['shape']}")
            + f" ({with_unit(scaled(row['kept']), '%')}){_steepest(own['layers'], kept)}."
        )  # fmt: skip
    return " ".join(sentences)


def _steepest(layers: pd.Series, kept: pd.Series) -> str:
    """Between which depths a layer costs most, means over the heads."""
    by_depth = kept.groupby(layers).mean()
    if len(by_depth) < 2:
        return ""
    slopes = by_depth.diff() / by_depth.index.to_series().diff()
    above = slopes.idxmax()
    below = by_depth.index[by_depth.index.get_loc(above) - 1]
    return f"; steepest from {above} to {below} layers, {100 * slopes[above]:.1f} points of retention for a layer"


def curves(found: Mapping[str, Iterable[tuple[Recipe, list[float], int]]]) -> pd.DataFrame:
    """Learning curves as a table with the columns series, update and loss, from what `timing.training_curves` gives.

    The losses of single batches are noisy: each is the mean of up to five neighbouring points.
    """
    rows = [
        pd.DataFrame({
            "series": name,
            "update": np.arange(len(losses)) * stride,
            "loss": pd.Series(losses).rolling(5, center=True, min_periods=1).mean(),
        })
        for name, own in found.items()
        for _, losses, stride in own
    ]  # fmt: skip
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["series", "update", "loss"])
