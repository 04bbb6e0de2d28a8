"""What makes students better: their teacher, their shape, the way of distillation, other losses and temperatures.

`table` is what `distillation.by_strategy` makes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd

from smaller.analysis.comparison import NOT_DECIDED, NOT_MEASURED, Comparison, corrected, paired
from smaller.analysis.findings import distillation
from smaller.analysis.findings.distillation import (
    AGNOSTIC,
    DIFFERENCE,
    LABELS,
    MODELS,
    SPECIFIC,
    compared,
    of_students,
    plain,
)
from smaller.analysis.findings.finding import ANSWERED, Finding, missing
from smaller.analysis.findings.words import count_of, name_of
from smaller.analysis.statistics import AVERAGE, of_split, t_interval

TEMPERATURE = "temperature "


def overall(first: pd.DataFrame, second: pd.DataFrame, *, on: Sequence[str], value: str = "f1") -> Comparison:
    """`first` minus `second` over all models with the same `on`, which are fixed as languages are; seeds are drawn."""
    cells = [
        rows.assign(cell=[" ".join(map(str, cell)) for cell in rows[[*on, "language"]].itertuples(index=False)])
        for rows in (first, second)
    ]
    drawn = distillation.once(*first["strategy"], *second["strategy"])
    (found,) = paired(*cells, fixed="cell", value=value, drawn_once=drawn)["comparison"]
    return replace(found, languages=tuple(sorted({cell.rpartition(" ")[2] for cell in found.languages})))


def _together(rows: Iterable[dict]) -> list[dict]:
    """The rows whose `comparison` was measured, with p values corrected for the number of them all."""
    found = pd.DataFrame([row for row in rows if row["comparison"].interval.n])
    return corrected(found).to_dict("records") if len(found) else []


def _pairwise(pairs: Iterable[tuple[tuple, tuple]], *, on: Sequence[str], nothing: str, **values: str) -> Finding:
    """A sentence for each two groups of students, names with rows, in each column that `values` names in words."""
    found = _together(
        {"first": first, "second": second, "what": what, "comparison": overall(one, other, on=on, value=value)}
        for (first, one), (second, other) in pairs
        for value, what in (values or {"f1": "F1"}).items()
    )
    if not found:
        return missing(nothing)
    told = [
        f"{row['first']} {distillation.relation(row['comparison'], row['what'])} {row['second']}: {row['comparison']}."
        for row in found
    ]
    first = found[0]["comparison"]
    rest = [f"The interval excludes {first.excludes()}."] if first.verdict == NOT_DECIDED else []
    return Finding(told[0], " ".join(rest + told[1:]), quantity=first, values={"each": found})


def best_teacher(table: pd.DataFrame) -> Finding:
    """Whose students are best, in F1 and in what they keep of their teacher's (paper 1, Q5 and OQ3)."""
    rows = of_students(distillation.beside_teacher(table))
    own = dict(list(rows[rows["language"] != AVERAGE].groupby("encoder", sort=False)))
    pairs = [
        ((f"Students of {first}", own[first]), (f"students of {second}", own[second]))
        for first, second in itertools.combinations(own, 2)
    ]
    return _pairwise(
        pairs,
        on=["strategy", "shape"],
        nothing="Students of other teachers",
        f1="F1",
        kept="share of their teacher's F1",
    )


def heads(table: pd.DataFrame) -> Finding:
    """What fewer heads cost at equal layers, where the same matrices are split anew (paper 1, OQ3)."""
    by_heads = dict(sorted(of_students(plain(table)).groupby("heads"), reverse=True))
    pairs = [
        (
            (f"Students with {count_of(fewer, 'head')}", by_heads[fewer]),
            (f"students with {more} heads and as many layers", by_heads[more]),
        )
        for more, fewer in itertools.pairwise(by_heads)
    ]
    return _pairwise(pairs, on=["strategy", "encoder", "layers"], nothing="Students that differ in heads alone")


def agnostic_or_specific(table: pd.DataFrame) -> Finding:
    """Whether task-agnostic students are better than task-specific ones (paper 1, Q6)."""
    rows = plain(table)
    first, second = (rows[rows["strategy"] == strategy] for strategy in (AGNOSTIC, SPECIFIC))
    pair = (("Task-agnostic students", first), ("task-specific students of the same shape", second))
    return _pairwise([pair], on=["encoder", "shape"], nothing="Task-agnostic and task-specific students of one shape")


def above_teachers(table: pd.DataFrame) -> Finding:
    """Whether a student is ahead of a smaller teacher than its own in some language (paper 1, Q7)."""
    rows = plain(table)
    whole = rows[rows["strategy"] == distillation.TEACHER]
    sizes = whole.groupby("encoder")["parameters"].first().sort_values().index
    found = _together(
        {
            "who": f"{strategy} {shape} of {large} from {small} in {name_of(language)}",
            "comparison": overall(own, whole[whole["encoder"] == small], on=[]),
        }
        for small, large in itertools.combinations(sizes, 2)
        for (language, strategy, encoder, shape), own in of_students(rows).groupby(["language", *MODELS], sort=False)
        if encoder == large
    )
    if not found:
        return missing("Students of a larger teacher")
    ahead = sum(row["comparison"].sign > 0 for row in found)
    best = max(found, key=lambda row: (row["comparison"].sign, row["comparison"].interval.mean))
    return Finding(
        f"Students have a higher F1 than a smaller teacher in {ahead} of {count_of(len(found), 'comparison')} by "
        "language.",
        f"The highest difference is that of {best['who']}: {best['comparison']}.",
        quantity=best["comparison"],
        values={"each": found},
    )


def controls(table: pd.DataFrame) -> Finding:
    """Whether distillation beats pre-training from scratch, and beats dropping layers."""
    found = compared(table, distillation.OTHERS)
    if found.empty:
        return missing("Models of the same shape without a teacher")
    ahead = sum(one.sign > 0 for one in found[DIFFERENCE])
    return Finding(
        f"In {ahead} of {count_of(len(found), 'comparison')} a model has a higher F1 than a control of its shape.",
        values={"ahead": ahead},
        verdict=_settled(found),
    )


def what_the_teacher_adds(table: pd.DataFrame) -> Finding:
    """What the teacher's answers add on the task, from the one control that lacks nothing else; then on text."""
    found = compared(table, distillation.ISOLATING)
    told = [
        f"{distillation.ISOLATING[model, minus]}, {student} students that learn from the answers of {teacher} "
        f"{distillation.relation(one)} students that do not: {one}."
        for model, minus, teacher, student, one in found.drop_duplicates("minus").itertuples(index=False)
    ]
    on_task = found.loc[found["minus"] == LABELS, DIFFERENCE]
    if on_task.empty:
        return Finding("The control that isolates the teacher was not measured.", " ".join(told), verdict=NOT_MEASURED)
    return Finding(told[0], " ".join(told[1:]), quantity=on_task.iloc[0])


def variants(table: pd.DataFrame, *, temperatures: bool = False, split: str = "test") -> pd.DataFrame:
    """F1 of each variant, and that minus the plain student's of the same strategy, shape and seeds (P1-T6).

    Of the temperatures after the first, or of all other variants.
    """
    rows = of_split(table, split)
    rows = rows[(rows["variant"] != "") & (rows["variant"].str.startswith(TEMPERATURE) == temperatures)]
    names = rows[["strategy", "variant"]].drop_duplicates().itertuples(index=False)
    found = compared(table, [(f"{strategy}: {variant}", strategy) for strategy, variant in names], split=split)
    found["variant"] = [name.partition(": ")[2] for name in found["model"]]
    own = distillation.of_average(distillation.averages(rows))
    scores = own.groupby(["variant", *MODELS])["f1"].agg(t_interval).rename("F1")
    found = found.rename(columns={"minus": "strategy"})[["variant", "strategy", "teacher", "student", DIFFERENCE]]
    found.insert(4, "F1", [scores[names] for names in found.iloc[:, :4].itertuples(index=False, name=None)])
    return found


def other_ways(table: pd.DataFrame, *, temperatures: bool = False) -> Finding:
    """Whether a variant, such as the attention relation of MiniLMv2, or a temperature changes F1; the best on dev."""
    found, dev = (variants(table, temperatures=temperatures, split=split) for split in ("test", "dev"))
    if found.empty:
        return missing("Other temperatures" if temperatures else "Other losses")
    changed = sum(one.sign != 0 for one in found[DIFFERENCE])
    dev["gain"] = [one.interval.mean for one in dev[DIFFERENCE]]
    highest = dev.loc[dev.groupby(["strategy", "student", "teacher"], sort=False)["gain"].idxmax()]
    best = {
        (row.strategy, row.student, row.teacher): row.variant if row.gain > 0 else "" for row in highest.itertuples()
    }
    told = [
        f"For {strategy} {student} of {teacher}, the highest mean F1 on dev is that of "
        f"{f'“{name}”' if name else 'the plain student'}."
        for (strategy, student, teacher), name in best.items()
    ]
    return Finding(
        f"F1 is shown to differ from that {'at the first temperature' if temperatures else 'of plain students'} in "
        f"{changed or 'none'} of {count_of(len(found), 'comparison')}.",
        " ".join(told),
        values={"best": best, "changed": changed},
        verdict=_settled(found),
    )


def _settled(found: pd.DataFrame) -> str:
    """Whether every comparison of a table is decided."""
    return NOT_DECIDED if any(one.verdict == NOT_DECIDED for one in found[DIFFERENCE]) else ANSWERED
