"""Answers on who is the best teacher, and which way of distillation is the better one.

`table` is what `distillation.by_strategy` makes.
"""

from __future__ import annotations

import itertools

import pandas as pd

from smaller.findings.cells import with_unit
from smaller.findings.comparisons import compared, judged, verdicts, within_reach
from smaller.findings.distillation import AGNOSTIC, SPECIFIC, STUDENTS, TEACHER, against_teacher, beside_teacher, plain
from smaller.findings.words import count_of, name_of
from smaller.statistics import AVERAGE, Interval, describe, t_interval

SHAPE = ["layers", "heads"]


def best_teacher(table: pd.DataFrame, *, split: str = "test") -> str:
    """Whose students are best, in F1 and in what they keep of their teacher (paper 1, Q5 and its OQ3)."""
    found = _single(beside_teacher(table, split=split))
    found = found[found["strategy"].isin(STUDENTS)]
    encoders = list(dict.fromkeys(found["encoder"]))
    if len(encoders) == 1:
        return f"Which teacher is best was not measured: {encoders[0]} is the only one of this run."
    keys = ["strategy", *SHAPE]
    sentences = []
    for first, second in itertools.combinations(encoders, 2):
        one, other = (found[found["encoder"] == encoder] for encoder in (first, second))
        one, other = one.drop(columns="encoder"), other.drop(columns="encoder")
        points, test = compared(one, other, keys=keys)
        kept, kept_test = compared(*(rows.assign(f1=100 * rows["kept"]) for rows in (one, other)), keys=keys)
        if not points.n:
            sentences.append(f"Students of {first} and {second} were not measured at one shape.")
            continue
        better, nearer = (first if interval.mean > 0 else second for interval in (points, kept))
        sentences.append(
            f"Students of {first} minus students of {second}, same shape and strategy: "
            f"{with_unit(points, 'points of F1')} (p = {test.p_value:.3f}) and "
            f"{with_unit(kept, 'points of retention')} (p = {kept_test.p_value:.3f}). So {better} gives the better "
            f"students ({_decided(judged(points, test.p_value))}), and {nearer} those that are nearer to their "
            f"teacher ({_decided(judged(kept, kept_test.p_value))}).{within_reach(points.n)}"
        )
    return " ".join(sentences)


def _decided(verdict: str) -> str:
    """The verdict without its direction."""
    return verdict.replace("ahead", "decided").replace("behind", "decided")


def gap(table: pd.DataFrame, *, split: str = "test") -> str:
    """How the gap between a student and its own teacher closes as the student grows (paper 1, Q5)."""
    found = against_teacher(table, split=split)
    sentences = []
    for (encoder, strategy), own in found[found["strategy"].isin(STUDENTS)].groupby(
        ["encoder", "strategy"], sort=False
    ):
        if len(own) > 1:
            largest, smallest = own.iloc[0], own.iloc[-1]
            sentences.append(
                f"{strategy.capitalize()} students of {encoder} stand at {with_unit(smallest['change'], 'points')}, "
                f"against their teacher with {smallest['shape']}, and at {describe(largest['change'])}, with "
                f"{largest['shape']}."
            )
    return " ".join(sentences) or "How the gap closes was not measured: there is one student a strategy."


def heads(table: pd.DataFrame, *, split: str = "test") -> str:
    """What fewer heads cost at equal layers, where the same matrices are split anew (paper 1, OQ3)."""
    rows = plain(table, split=split)
    rows = rows[rows["strategy"].isin(STUDENTS)]
    counts = sorted(map(int, rows["heads"].unique()), reverse=True)
    sentences = []
    for more, fewer in itertools.pairwise(counts):
        one, other = (rows[rows["heads"] == number] for number in (fewer, more))
        interval, test = compared(one, other, keys=["strategy", "encoder", "layers"])
        if interval.n:
            shared = " and ".join(map(str, sorted(set(one["layers"]) & set(other["layers"]))))
            sentences.append(
                f"{count_of(fewer, 'head')} instead of {more}, at {shared} layers, change a student's F1 by "
                f"{with_unit(interval, 'points')} (p = {test.p_value:.3f}).{within_reach(interval.n)}"
            )
    return " ".join(sentences) or "What fewer heads cost was not measured: no two students differ in heads alone."


def above_teachers(table: pd.DataFrame, *, split: str = "test") -> str:
    """Students that are ahead of a teacher in some language: of a smaller teacher (paper 1, Q7), or of their own."""
    rows = _single(plain(table, split=split))
    teachers = rows[rows["strategy"] == TEACHER]
    sizes = teachers.groupby("encoder")["parameters"].first().sort_values()
    students = rows[rows["strategy"].isin(STUDENTS)]
    sentences = [_ahead(students[students["encoder"] == large], teachers[teachers["encoder"] == small],
                        f"Students of {large} against {small}, the smaller teacher")
                 for small, large in itertools.combinations(sizes.index, 2)]  # fmt: skip
    if len(sizes) == 1:
        sentences.append("Students of a larger teacher against a smaller one were not measured: there is one teacher.")
    sentences += [_ahead(students[students["encoder"] == encoder], teachers[teachers["encoder"] == encoder],
                         f"Students of {encoder} against {encoder} itself") for encoder in sizes.index]  # fmt: skip
    return " ".join(sentences)


def _ahead(students: pd.DataFrame, teacher: pd.DataFrame, who: str) -> str:
    """In how many languages any student of a group has the higher mean F1, and where its interval is above zero too."""
    means, clear, cells = {}, set(), 0
    for (language, *model), own in students.groupby(["language", "strategy", *SHAPE]):
        both = own.merge(teacher, on=["language", "seed"], suffixes=("", "_teacher"))
        interval = t_interval(both["f1"] - both["f1_teacher"])
        if interval.n:
            cells += 1
            means[language, *model] = interval.mean
            if interval.known and interval.low > 0:
                clear.add(language)
    if not cells:
        return f"{who}: not measured."
    languages = sorted({key[0] for key in means}, key=name_of)
    higher = [code for code in languages if any(mean > 0 for key, mean in means.items() if key[0] == code)]
    total = count_of(len(languages), "language")
    if not higher:
        return f"{who}: no student has the higher mean in any of {total}."
    number = sum(mean > 0 for mean in means.values())
    return (
        f"{who}: some student has the higher mean in {len(higher)} of {total} "
        f"({', '.join(name_of(code) for code in higher)}), {number} of {cells} pairs of student and language in all; "
        f"with a whole interval above zero in {count_of(len(clear), 'language')}."
    )


def agnostic_minus_specific(table: pd.DataFrame, *, split: str = "test") -> tuple[Interval, float]:
    """F1 of task-agnostic minus task-specific students, paired by language and seed; and the p value."""
    rows = plain(table, split=split)
    agnostic, specific = (rows[rows["strategy"] == strategy] for strategy in STUDENTS)
    interval, test = compared(agnostic, specific, keys=["encoder", *SHAPE])
    return interval, test.p_value


def agnostic_or_specific(table: pd.DataFrame, *, split: str = "test") -> str:
    """Does task-agnostic distillation beat task-specific (paper 1, Q6)?"""
    found = strategies_by_shape(table, split=split)
    if found.empty:
        return "Task-agnostic against task-specific distillation was not measured."
    overall, p_value = agnostic_minus_specific(table, split=split)
    ahead = sum(interval.mean > 0 for interval in found["difference"])
    away = sum(interval.known and interval.low * interval.high > 0 for interval in found["difference"])
    decided = int((found["p_value"] < 0.05).sum())
    return (
        f"Over all students, task-agnostic minus task-specific is {with_unit(overall, 'points')} (p = {p_value:.3f}; "
        f"pairs are languages and seeds, means over the shapes), which puts "
        f"{AGNOSTIC if overall.mean > 0 else SPECIFIC} distillation ahead ({_decided(judged(overall, p_value))}). "
        f"Task-agnostic is ahead in {ahead} of "
        f"{count_of(len(found), 'shape')}; {away} of the intervals lie away from zero, {decided} with p below 0.05 "
        f"after Holm's correction.{within_reach(overall.n, comparisons=len(found))}"
    )


def strategies_by_shape(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Task-agnostic minus task-specific F1, a row for each teacher and shape; columns as `comparisons.verdicts` has."""
    rows = plain(table, split=split)
    agnostic, specific = (rows[rows["strategy"] == strategy] for strategy in STUDENTS)
    found = []
    for (encoder, *shape), own in agnostic.groupby(["encoder", *SHAPE]):
        interval, test = compared(own, specific, keys=["encoder", *SHAPE])
        if interval.n:
            student = "{}x{}".format(*shape)
            found.append({"encoder": encoder, "shape": student, "difference": interval, "p_value": test.p_value})
    return verdicts(found)


def _single(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["language"] != AVERAGE]
