"""Who is the best teacher, and which way of distillation is better. `distillation.by_strategy` makes `table`."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pandas as pd

from smaller.comparison import DIFFERS, Comparison, corrected, paired
from smaller.findings import distillation
from smaller.findings.distillation import AGNOSTIC, MODELS, SHAPE, SPECIFIC, TEACHER, of_students, once, plain, relation
from smaller.findings.finding import Finding, missing
from smaller.findings.words import count_of, name_of
from smaller.statistics import AVERAGE


def overall(first: pd.DataFrame, second: pd.DataFrame, *, on: Sequence[str], value: str = "f1") -> Comparison:
    """`first` minus `second` over all models with the same `on`, which are fixed as languages are; seeds are drawn."""
    cells = [
        rows.assign(cell=[" ".join(map(str, cell)) for cell in rows[[*on, "language"]].itertuples(index=False)])
        for rows in (first, second)
    ]
    drawn = once(*dict.fromkeys([*first["strategy"], *second["strategy"]]))
    (found,) = paired(*cells, fixed="cell", value=value, drawn_once=drawn)["comparison"]
    return replace(found, languages=tuple(sorted({cell.rpartition(" ")[2] for cell in found.languages})))


def _together(rows: Iterable[dict]) -> list[dict]:
    """The rows whose `comparison` was measured, with p values corrected for the number of them all."""
    found = pd.DataFrame([row for row in rows if row["comparison"].interval.n])
    return corrected(found).to_dict("records") if len(found) else []


def _pairwise(pairs: Iterable[tuple[tuple, tuple]], *, on: Sequence[str], nothing: str, **values: str) -> Finding:
    """A sentence for each two groups of students, names with their rows; `values` names the columns to compare."""
    found = _together(
        {"first": first, "second": second, "value": value, "what": what,
         "comparison": overall(one, other, on=on, value=value)}
        for (first, one), (second, other) in pairs for value, what in (values or {"f1": "F1"}).items()
    )  # fmt: skip
    if not found:
        return missing(nothing)
    told = [f"{row['first']} {relation(row['comparison'], row['what'])} {row['second']}: {row['comparison']}."
            for row in found]  # fmt: skip
    return Finding(told[0], " ".join(told[1:]), quantity=found[0]["comparison"], values={"each": found})


def best_teacher(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """Whose students are best, in F1 and in what they keep of their teacher's (paper 1, Q5 and OQ3)."""
    rows = of_students(distillation.beside_teacher(table, split=split))
    own = dict(list(rows[rows["language"] != AVERAGE].groupby("encoder", sort=False)))
    pairs = [((f"Students of {first}", own[first]), (f"students of {second}", own[second]))
             for first, second in itertools.combinations(own, 2)]  # fmt: skip
    values = {"f1": "F1", "kept": "share of their teacher's F1"}
    return _pairwise(pairs, on=["strategy", *SHAPE], nothing="Students of other teachers", **values)


def gap(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """Whether the largest student is nearer to its teacher than the smallest (paper 1, Q5)."""
    pairs = []
    for (encoder, strategy), own in of_students(plain(table, split=split)).groupby(["encoder", "strategy"], sort=False):
        by_shape = dict(sorted(own.groupby(SHAPE)))
        small, *_, large = [*by_shape] if len(by_shape) > 1 else [(0, 0)] * 2
        if small != large:
            pairs.append(((f"{strategy.capitalize()} {large[0]}x{large[1]} students of {encoder}", by_shape[large]),
                          (f"{small[0]}x{small[1]} students", by_shape[small])))  # fmt: skip
    return _pairwise(pairs, on=["strategy"], nothing="Students of several sizes")


def heads(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """What fewer heads cost at equal layers, where the same matrices are split anew (paper 1, OQ3)."""
    by_heads = dict(sorted(of_students(plain(table, split=split)).groupby("heads"), reverse=True))
    pairs = [((f"Students with {count_of(fewer, 'head')}", by_heads[fewer]),
              (f"students with {more} heads and as many layers", by_heads[more]))
             for more, fewer in itertools.pairwise(by_heads)]  # fmt: skip
    return _pairwise(pairs, on=["strategy", "encoder", "layers"], nothing="Students that differ in heads alone")


def agnostic_or_specific(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """Whether task-agnostic students are better than task-specific ones (paper 1, Q6)."""
    rows, each = plain(table, split=split), strategies_by_shape(table, split=split)
    first, second = (rows[rows["strategy"] == strategy] for strategy in (AGNOSTIC, SPECIFIC))
    pair = ("Task-agnostic students", first), ("task-specific students of the same shape", second)
    found = _pairwise([pair], on=["encoder", *SHAPE], nothing="Task-agnostic and task-specific students of one shape")
    if not found.measured:
        return found
    shown = sum(cell.verdict == DIFFERS for cell in each["task-agnostic minus task-specific"])
    rest = "" if found.quantity.sign else f"The interval excludes {found.quantity.excludes()}. "
    return replace(found, text=f"{rest}By shape, {shown} of {count_of(len(each), 'comparison')} show a difference.",
                   values={"each": each, "shown": shown})  # fmt: skip


def strategies_by_shape(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Task-agnostic minus task-specific F1, a row for each teacher and shape."""
    found = distillation.compared(table, [(AGNOSTIC, SPECIFIC)], split=split)[["encoder", "shape", "comparison"]]
    return found.set_axis(["teacher", "student", "task-agnostic minus task-specific"], axis="columns")


def above_teachers(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """Whether a student is ahead of a smaller teacher in some language (paper 1, Q7), or of its own."""
    rows = plain(table, split=split)
    whole, students = rows[rows["strategy"] == TEACHER], of_students(rows)
    sizes = whole.groupby("encoder")["parameters"].first().sort_values().index
    found = _together(
        {"larger": small != large, "language": name_of(language),
         "who": f"{strategy} {layers}x{heads} of {large} from {small} in {name_of(language)}",
         "comparison": paired(own, whole[(whole["encoder"] == small) & (whole["language"] == language)],
                              drawn_once=once(strategy))["comparison"].iloc[0]}
        for small, large in itertools.combinations_with_replacement(sizes, 2)
        for (language, strategy, _, layers, heads), own
        in students[students["encoder"] == large].groupby(["language", *MODELS], sort=False)
    )  # fmt: skip
    told, shown = [], {}
    for larger, who in ((True, "a smaller teacher"), (False, "their own teacher")):
        if own := [row for row in found if row["larger"] == larger]:
            ahead = [row["language"] for row in own if row["comparison"].sign > 0]
            best = shown[larger] = max(own, key=lambda row: (row["comparison"].sign, row["comparison"].interval.mean))
            told += [f"Students have a higher F1 than {who} in {len(ahead)} of {count_of(len(own), 'comparison')} by "
                     f"language{' (' * bool(ahead)}{', '.join(dict.fromkeys(ahead))}{')' * bool(ahead)}.",
                     f"The highest difference is that of {best['who']}: {best['comparison']}."]  # fmt: skip
    if True not in shown:
        return replace(missing("Students of a larger teacher"), text=" ".join(told), values={"each": found})
    return Finding(told[0], " ".join(told[1:]), quantity=shown[True]["comparison"], values={"each": found})
