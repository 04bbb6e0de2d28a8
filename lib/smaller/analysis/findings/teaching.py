"""What makes students better: teachers, shapes, ways of distillation, losses, temperatures; of `by_strategy`."""

import itertools
from collections.abc import Iterable, Sequence

import pandas as pd

from smaller.analysis.comparison import NOT_DECIDED, NOT_MEASURED, clarity, corrected, made, paired
from smaller.analysis.findings import distillation
from smaller.analysis.findings.distillation import AGNOSTIC, DIFFERENCE, MODELS, SPECIFIC, compared, of_students, once
from smaller.analysis.findings.finding import Finding, missing, settled
from smaller.analysis.statistics import AVERAGE, of_split, over_seeds
from smaller.base.words import count_of
from smaller.data.languages import name_of


def _pairwise(pairs: Iterable[tuple[tuple, tuple]], *, on: Sequence[str], nothing: str, **values: str) -> Finding:
    """A sentence for each two groups of students, names with rows, in each column that `values` names in words."""
    found = []
    for (first, one), (second, other) in pairs:
        drawn = once(*one["strategy"], *other["strategy"])
        for value, what in (values or {"f1": "F1"}).items():
            each = paired(one, other, match=on, value=value, drawn_once=drawn)
            found.append(each.assign(first=first, second=second, what=what))
    found = made(corrected(pd.concat(found))) if found else pd.DataFrame()
    if found.empty:
        return missing(nothing)
    told = [
        f"{row.first} {distillation.relation(row.comparison, row.what)} {row.second}: {row.comparison}."
        for row in found.itertuples()
    ]
    first = found["comparison"].iloc[0]
    rest = [first.excludes()] if first.verdict == NOT_DECIDED and first.interval.known else []
    return Finding(told[0], " ".join(rest + told[1:]), quantity=first, values={"each": found})


def best_teacher(table: pd.DataFrame) -> Finding:
    """Whose students are best, in F1 and in what they keep of their teacher's (paper 1, Q5 and OQ3)."""
    rows = of_students(distillation.beside_teacher(table))
    own = dict(list(rows[rows["language"] != AVERAGE].groupby("encoder", sort=False)))
    named = [((f"Students of {name}", rows), (f"students of {name}", rows)) for name, rows in own.items()]
    pairs = [(first[0], second[1]) for first, second in itertools.combinations(named, 2)]
    on, kept = ["strategy", "shape"], "share of their teacher's F1"
    return _pairwise(pairs, on=on, nothing="Students of other teachers", f1="F1", kept=kept)


def heads(table: pd.DataFrame) -> Finding:
    """What fewer heads cost at equal layers, where the same matrices are split anew (paper 1, OQ3)."""
    rows, on = of_students(distillation.plain(table)), ["strategy", "encoder", "layers"]
    pairs = []
    for (more, second), (fewer, first) in itertools.pairwise(sorted(rows.groupby("heads"), reverse=True)):
        both = first[on].merge(second[on]).drop_duplicates()
        names = f"Students with {count_of(fewer, 'head')}", f"students with {more} heads and as many layers"
        pairs.append(tuple(zip(names, (first.merge(both), second.merge(both)), strict=True)))
    return _pairwise(pairs, on=on, nothing="Students that differ in heads alone")


def agnostic_or_specific(table: pd.DataFrame) -> Finding:
    """Whether task-agnostic students are better than task-specific ones, shape by shape (paper 1, Q6).

    The quantity is the shape that speaks most against it, since the claim is on all of them.
    """
    rows = distillation.plain(table)
    first, second = (rows[rows["strategy"] == strategy] for strategy in (AGNOSTIC, SPECIFIC))
    found = compared(table, [(AGNOSTIC, SPECIFIC)])
    if found.empty:
        return missing("Task-agnostic and task-specific students of one shape")
    told = [
        f"Task-agnostic {row.student} students of {row.teacher} {distillation.relation(one)} task-specific ones: {one}."
        for row, one in zip(found.itertuples(), found[DIFFERENCE], strict=True)
    ]
    (mean,) = paired(first, second, match=["encoder", "shape"], drawn_once=once(AGNOSTIC))["comparison"]
    return Finding(
        " ".join(told),
        f"On average over {count_of(len(found), 'shape')}: {mean}." if len(found) > 1 else "",
        quantity=min(found[DIFFERENCE], key=clarity("more")),
        values={"each": found, "mean": mean},
    )


def above_teachers(table: pd.DataFrame) -> Finding:
    """Whether a student is ahead of a smaller teacher than its own in some language (paper 1, Q7)."""
    rows = distillation.plain(table)
    whole = rows[rows["strategy"] == distillation.TEACHER].rename(columns={"encoder": "smaller"})
    sizes = whole.groupby("smaller")["parameters"].first().sort_values().index
    pairs = pd.DataFrame(list(itertools.combinations(sizes, 2)), columns=["smaller", "encoder"])
    students, by = of_students(rows).merge(pairs), ["language", *MODELS, "smaller"]
    found = made(paired(students, whole, by=by, for_all=MODELS, drawn_once=lambda group: once(group["strategy"])))
    if found.empty:
        return missing("Students of a larger teacher")
    best = max(found.itertuples(), key=lambda row: clarity("more")(row.comparison))
    ahead = sum(one.sign > 0 for one in found["comparison"])
    return Finding(
        f"Students are shown to have a higher F1 than a smaller teacher in {ahead} of "
        f"{count_of(len(found), 'comparison')} by language.",
        f"The clearest difference is that of {best.strategy} {best.shape} of {best.encoder} from {best.smaller} in "
        f"{name_of(best.language)}: {best.comparison}.",
        quantity=best.comparison,
        values={"each": found},
    )


def controls(table: pd.DataFrame) -> Finding:
    """Whether distillation beats pre-training from scratch, and beats dropping layers."""
    found = compared(table, distillation.OTHERS)
    if found.empty:
        return missing("Models of the same shape without a teacher")
    shown = found[[one.sign > 0 for one in found[DIFFERENCE]]]
    each = [
        f"F1 of {model} {student} minus that of “{minus}” is {one}."
        for model, minus, _, student, one, _ in shown.itertuples(index=False)
    ]
    said = f"A model is shown to have a higher F1 than one of its shape trained otherwise in {len(each) or 'none'}"
    said, verdict = f"{said} of {count_of(len(found), 'pair')}.", settled(one.verdict for one in found[DIFFERENCE])
    return Finding(said, " ".join(each), values={"ahead": shown}, verdict=verdict)


def what_the_teacher_adds(table: pd.DataFrame) -> Finding:
    """What the teacher's answers add on the task, from the one control that lacks nothing else; then on text."""
    found = compared(table, distillation.ISOLATING)
    told = [
        f"{distillation.ISOLATING[model, minus]}, {student} students that learn from the answers of {teacher} "
        f"{distillation.relation(one)} students that do not: {one}."
        for model, minus, teacher, student, one, _ in found.drop_duplicates("minus").itertuples(index=False)
    ]
    on_task = found.loc[found["minus"] == distillation.LABELS, DIFFERENCE]
    if on_task.empty:
        return Finding("The control that isolates the teacher was not measured.", " ".join(told), verdict=NOT_MEASURED)
    return Finding(told[0], " ".join(told[1:]), quantity=on_task.iloc[0])


def at_another_temperature(rows: pd.DataFrame) -> pd.Series:
    """Whether each row is of a student whose temperature is not that of the plain ones."""
    usual, own = rows.loc[rows["variant"] == "", "temperature"].dropna(), rows["temperature"]
    return own.notna() & ~own.isin(usual)


def variants(table: pd.DataFrame, *, temperatures: bool = False, split: str = "test") -> pd.DataFrame:
    """F1 of each variant, or of each further temperature, and that minus the plain student's (P1-T6)."""
    rows, by = of_split(table, split), ["variant", *MODELS]
    rows = rows[(rows["variant"] != "") & (at_another_temperature(rows) == temperatures)]
    about = {"for_all": ["variant"], "drawn_once": lambda group: once(group["strategy"])}
    usual = distillation.plain(table, split=split)
    found = made(paired(rows, usual, by=by, over_sentences=split == "test", **about))
    found = found.join(over_seeds(rows, by=by).rename("F1"), on=by)
    names = {"encoder": "teacher", "shape": "student", "comparison": DIFFERENCE}
    columns = ["variant", "strategy", "teacher", "student", "F1", DIFFERENCE, distillation.DRAWN]
    return found.rename(columns=names).reindex(columns=columns)


def other_ways(table: pd.DataFrame, *, temperatures: bool = False) -> Finding:
    """Whether a variant, such as the attention relation of MiniLMv2, or a temperature changes F1; the best on dev."""
    found, dev = (variants(table, temperatures=temperatures, split=split) for split in ("test", "dev"))
    if found.empty:
        return missing("Other temperatures" if temperatures else "Other losses")
    changed = sum(one.sign != 0 for one in found[DIFFERENCE])
    dev["gain"] = [one.interval.mean for one in dev[DIFFERENCE]]
    place = ["strategy", "student", "teacher"]
    highest = dev.loc[dev.groupby(place, sort=False)["gain"].idxmax()].set_index(place)
    best = highest["variant"].where(highest["gain"] > 0, "").to_dict()
    usual = distillation.plain(of_students(table))["temperature"].iloc[0]
    without = f"at temperature {usual:g}" if temperatures else "without a further loss"
    told = [
        f"For {strategy} {student} of {teacher}, the highest mean F1 on dev is that "
        f"{f'of “{name}”' if name else without}."
        for (strategy, student, teacher), name in best.items()
    ]
    return Finding(
        f"F1 is shown to differ from that of students {without} in "
        f"{changed or 'none'} of {count_of(len(found), 'comparison')}.",
        " ".join(told),
        values={"best": best, "changed": changed},
        verdict=settled(one.verdict for one in found[DIFFERENCE]),
    )
