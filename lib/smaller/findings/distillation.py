"""What students keep of their teachers' F1. `table` is what `by_strategy` makes; 4x6 is four layers of six heads."""

from __future__ import annotations

import operator
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from smaller.comparison import AGREES, DEPARTURE, DIFFERS, MARGIN, NOT_DECIDED, Comparison, corrected, paired
from smaller.errors import SmallerError, did_you_mean
from smaller.findings.finding import ANSWERED, Finding, missing
from smaller.findings.words import count_of, name_of
from smaller.recipes import Recipe
from smaller.statistics import AVERAGE, describe, language_average, of_split, one_kind, t_interval

TEACHER, AGNOSTIC, SPECIFIC = "teacher", "task-agnostic", "task-specific"
LABELS, CUT, CONTINUED, SCRATCH = "labels alone", "layers dropped", "layers dropped, pre-trained on", "from scratch"
STUDENTS, CONTROLS = (AGNOSTIC, SPECIFIC), (LABELS, CUT, CONTINUED, SCRATCH)
STRATEGIES = (TEACHER, *STUDENTS, *CONTROLS)
SHAPE = ["layers", "heads"]
MODELS = ["strategy", "encoder", *SHAPE]
"""What tells the models of a table apart, beside language and seed."""

ONCE = {
    AGNOSTIC: "the corpus distillation",
    CONTINUED: "the control's pre-training",
    SCRATCH: "the control's pre-training",
}
"""What is drawn once for all seeds and languages of a strategy, so that no interval covers its chance."""

COLLAPSE = 90.0
"""The share of its teacher's F1, in per cent, below which a student counts as too small (paper 1's capacity limit)."""

LOSES = {
    AGREES: f"it loses {DEPARTURE:g} points or more",
    DIFFERS: f"it loses less than {DEPARTURE:g} points",
    NOT_DECIDED: f"whether it loses {DEPARTURE:g} points is not decided",
}


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
    whole["shape"] = whole["layers"].astype(str) + "x" + whole["heads"].astype(str)
    places = {"strategy": STRATEGIES.index, "encoder": list(dict.fromkeys(whole["encoder"])).index}
    return whole.sort_values(
        MODELS, key=lambda column: column.map(places.get(column.name, operator.neg)), kind="stable", ignore_index=True
    )


def plain(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """The rows of a split that are no variant."""
    rows = one_kind(of_split(table, split), "dataset")
    return rows[rows["variant"] == ""]


def averages(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, and where there are several languages the averages over them at the end."""
    return pd.concat([rows, language_average(rows)]) if rows["language"].nunique() > 1 else rows


def once(*strategies: str) -> tuple[str, ...]:
    """What the strategies draw once for all seeds."""
    return tuple(dict.fromkeys(ONCE[name] for strategy in strategies if (name := strategy.partition(": ")[0]) in ONCE))


def compared(table: pd.DataFrame, pairs: Iterable[tuple[str, str]], *, split: str = "test") -> pd.DataFrame:
    """Models minus others of the same teacher and shape, or minus the teacher: a `comparison` for each, paired by seed.

    `pairs` name strategies, or "strategy: variant". Columns: model, minus, encoder, layers, heads, shape, comparison,
    verdict. The p values are corrected for the number of rows.
    """
    rows = one_kind(of_split(table, split), "dataset")
    names = rows["strategy"].where(rows["variant"] == "", rows["strategy"] + ": " + rows["variant"])
    found = [
        paired(
            own, rows[(names == second) & (rows["encoder"] == encoder)], by=["encoder", *SHAPE],
            one_for_all=second == TEACHER, drawn_once=once(first, second),
        ).assign(model=first, minus=second)
        for first, second in pairs
        for encoder, own in rows[names == first].groupby("encoder", sort=False)
    ]  # fmt: skip
    columns = ["model", "minus", "encoder", *SHAPE, "comparison"]
    whole = pd.concat([pd.DataFrame(columns=columns), *(one for one in found if len(one))], ignore_index=True)[columns]
    return corrected(whole.assign(shape=whole["layers"].astype(str) + "x" + whole["heads"].astype(str)))


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
        raise SmallerError("There is no student beside its own teacher of the same language and seed: run the teachers "
                           "with the students' seeds.")  # fmt: skip
    return found


def against_teacher(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """One row a model, averaged over languages: `saved` (%), `change` (a comparison) and `kept` (%, an interval)."""
    found = beside_teacher(table, split=split)
    found = found[found["language"] == found["language"].iloc[-1]]  # the average, or the only language
    each = found.groupby(MODELS, sort=False).agg(
        parameters=("parameters", "first"), saved=("saved", "mean"), kept=("kept", t_interval)
    )
    changes = compared(table, [(name, TEACHER) for name in STRATEGIES[1:]], split=split)
    changes = changes.rename(columns={"model": "strategy", "comparison": "change"})
    return changes[[*MODELS, "shape", "change"]].merge(each.reset_index(), on=MODELS)


def of_students(found: pd.DataFrame) -> pd.DataFrame:
    """The rows of students, without controls and teachers."""
    return found[found["strategy"].isin(STUDENTS)]


def relation(one: Comparison, what: str = "F1") -> str:
    """What a comparison shows of the first, as the verb of a sentence whose subject is plural."""
    if one.verdict == AGREES:
        return f"have the same {what} (within {MARGIN:g} points) as"
    sides = {1: f"have a higher {what} than", -1: f"have a lower {what} than"}
    return sides.get(one.sign, f"are not shown to have another {what} than")


def results(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Every model's F1 by language and on average, each an interval over seeds (P1-T1).

    Of the students the best average of each strategy and teacher is marked bold, and the best of each strategy is
    underlined, as the paper prints them.
    """
    rows = averages(plain(table, split=split))
    languages = sorted(set(rows["language"]) - {AVERAGE}, key=name_of) + [AVERAGE] * (AVERAGE in set(rows["language"]))
    found = []
    for (strategy, encoder, layers, heads), own in rows.groupby(MODELS, sort=False):
        cells = {name_of(code): t_interval(own.loc[own["language"] == code, "f1"]) for code in languages}
        about = {"strategy": strategy, "teacher": encoder, "layers": layers, "heads": heads}
        found.append(about | {"parameters (M)": own["parameters"].iloc[0] / 1e6} | cells)
    return with_best(pd.DataFrame(found), name_of(languages[-1]))


def with_best(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """The table, whose best students in a column are marked: bold for a strategy and teacher, underlined for both."""
    means = table[column].map(lambda cell: getattr(cell, "mean", cell)).where(table["strategy"].isin(STUDENTS))
    for mark, keys in (("bold", ["strategy", "teacher"]), ("underlined", ["strategy"])):
        best = means == means.groupby([table[key] for key in keys]).transform("max")
        table.attrs[mark] = {(place, column) for place in np.flatnonzero(best)}
    return table


def compression(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """What each student saves and loses against its own teacher, in points and in per cent (P1-T7, P1-T8)."""
    found = against_teacher(table, split=split)
    return pd.DataFrame({
        "strategy": found["strategy"], "teacher": found["encoder"], "student": found["shape"],
        "parameters (M)": found["parameters"] / 1e6, "fewer parameters (%)": found["saved"],
        "F1 minus the teacher's (points)": found["change"], "F1 kept (%)": found["kept"],
    })  # fmt: skip


def students_to_choose(table: pd.DataFrame) -> pd.DataFrame:
    """Students against their teachers on test, beside their mean change on `dev`, by which they are chosen."""
    dev, test = (of_students(against_teacher(table, split=split)) for split in ("dev", "test"))
    return test.merge(dev.assign(dev=[one.interval.mean for one in dev["change"]])[[*MODELS, "dev"]], on=MODELS)


def how_tiny(table: pd.DataFrame, *, points: float = DEPARTURE) -> Finding:
    """The smallest student within `points` of its teacher, chosen on dev and reported on test (paper 1, Q1)."""
    told, chosen = [], []
    for (encoder, strategy), own in students_to_choose(table).groupby(["encoder", "strategy"], sort=False):
        within = own[own["dev"] >= -points].sort_values(["parameters", "dev"], ascending=[True, False])
        row = within.iloc[0] if len(within) else own.loc[own["dev"].idxmax()]
        chosen += [row.to_dict()] * bool(len(within))
        told.append(f"The {'smallest' if len(within) else 'nearest'} {strategy} student of {encoder} is "
                    f"{row['shape']} ({row['saved']:.1f} % fewer parameters). On test, "
                    f"{LOSES[row['change'].departs()]}: {row['change']}.")  # fmt: skip
    if not chosen:
        return Finding(f"No student is within {points:g} points of its teacher's F1 on dev.", " ".join(told))
    least = min(chosen, key=lambda row: (row["parameters"], -row["dev"]))
    return Finding(
        f"The smallest student within {points:g} points of its teacher's F1 on dev is {least['strategy']} "
        f"{least['shape']} of {least['encoder']}, with {least['saved']:.1f} % fewer parameters.",
        " ".join(told), quantity=least["change"], values={"chosen": chosen},
        verdict=NOT_DECIDED if least["change"].departs() == NOT_DECIDED else ANSWERED,
    )  # fmt: skip


def too_small(table: pd.DataFrame, *, share: float = COLLAPSE, split: str = "test") -> Finding:
    """Which students keep less than `share` per cent of their teacher's F1 (paper 1, mechanism 2; T24)."""
    found = of_students(against_teacher(table, split=split))
    found = found[[one.n > 0 for one in found["kept"]]]
    if found.empty:
        return missing("Shares of a teacher's F1")
    least = min(found.to_dict("records"), key=lambda row: row["kept"].mean)
    below, shown = ([row.shape for row in found.itertuples() if getattr(row.kept, end) < share]
                    for end in ("mean", "high"))  # fmt: skip
    undecided = any(not one.known or one.low < share <= one.high for one in found["kept"])
    told = f" The whole interval lies below that for {len(shown)} of them." if below else ""
    return Finding(
        f"{len(below) or 'None'} of {count_of(len(found), 'student')} keep{'s' * (len(below) <= 1)} less than "
        f"{share:g} % of the teacher's F1.",
        f"The least is {least['strategy']} {least['shape']} of {least['encoder']}: {describe(least['kept'])}.{told}",
        verdict=NOT_DECIDED if undecided else ANSWERED, values={"below": below, "shown": shown, "least": least["kept"]},
    )  # fmt: skip


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
