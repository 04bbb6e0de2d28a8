"""What students keep of their teachers' F1. `table` is what `by_strategy` makes; 4x6 is four layers of six heads."""

import operator
from collections.abc import Iterable

import numpy as np
import pandas as pd

from smaller.analysis.comparison import (
    AGREES,
    DEPARTURE,
    MARGIN,
    NOT_DECIDED,
    Comparison,
    between,
    corrected,
    made,
    paired,
)
from smaller.analysis.findings.finding import Finding, missing, settled
from smaller.analysis.statistics import AVERAGE, language_average, of_split, one_kind, over_seeds, t_interval
from smaller.base.errors import SmallerError
from smaller.base.words import are, count_of
from smaller.data.languages import name_of

TEACHER, AGNOSTIC, SPECIFIC = "teacher", "task-agnostic", "task-specific"
LABELS, CUT, CONTINUED, SCRATCH = "labels alone", "layers dropped", "layers dropped, pre-trained on", "from scratch"
STUDENTS, CONTROLS = (AGNOSTIC, SPECIFIC), (LABELS, CUT, CONTINUED, SCRATCH)
STRATEGIES = (TEACHER, *STUDENTS, *CONTROLS)
MODELS = ["strategy", "encoder", "shape"]
"""What tells the models of a table apart, beside language and seed."""

DIFFERENCE, DRAWN, CHANGE = "difference (points)", "over sentences", "F1 minus the teacher's (points)"
SAVED, KEPT = "fewer parameters (%)", "F1 kept (%)"

ONCE = {AGNOSTIC: "the corpus distillation"} | dict.fromkeys((CONTINUED, SCRATCH), "the control's pre-training")
"""What is drawn once for all seeds and languages of a strategy, so that no interval covers its chance."""

ISOLATING = {(SPECIFIC, LABELS): "On the task", (AGNOSTIC, CONTINUED): "On unlabelled text"}
"""Pairs of strategies in which nothing differs but the teacher's answers: start, batches and updates are the same."""

OTHERS = [*((AGNOSTIC, name) for name in (CUT, SCRATCH)), *((SPECIFIC, name) for name in CONTROLS[1:]), (LABELS, CUT)]
"""Pairs of a model and a control of its shape that differ in more than that."""


def by_strategy(table: pd.DataFrame) -> pd.DataFrame:
    """The table, whose groups are strategies, or pairs with a variant, with `strategy`, `variant` and `shape`."""
    named = [group if isinstance(group, tuple) else (group, "") for group in table["group"]]
    names = pd.DataFrame(named, table.index, columns=["strategy", "variant"])
    whole = _shaped(table.assign(strategy=names["strategy"], variant=names["variant"]))
    places = {"strategy": STRATEGIES.index, "encoder": list(dict.fromkeys(whole["encoder"])).index}
    key = {"key": lambda column: column.map(places.get(column.name, operator.neg)), "kind": "stable"}
    return whole.sort_values(["strategy", "encoder", "layers", "heads"], ignore_index=True, **key)


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
    return tuple(dict.fromkeys(ONCE[strategy] for strategy in strategies if strategy in ONCE))


def compared(table: pd.DataFrame, pairs: Iterable[tuple[str, str]], *, split: str = "test") -> pd.DataFrame:
    """F1 of the models of a strategy minus that of another strategy's of their teacher and shape, by seed."""
    names, by = (rows := plain(table, split=split))["strategy"], MODELS[1:]
    found = [pd.DataFrame(columns=["model", "minus", *by, "comparison", DRAWN])]
    for first, second in pairs:
        about = {"for_all": ["shape"] if second == TEACHER else [], "drawn_once": once(first, second)}
        each = paired(rows[names == first], rows[names == second], by=by, over_sentences=split == "test", **about)
        # Not each model has a control of its shape.
        found.append(made(each).assign(model=first, minus=second))
    whole = corrected(pd.concat(found, ignore_index=True)).drop(columns="verdict")
    return whole.set_axis(["model", "minus", "teacher", "student", DIFFERENCE, DRAWN], axis="columns")


def beside_teacher(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Students and controls beside their own teacher of that language and seed; language averages last.

    `change` is in points, `kept` and `saved` are in per cent of the teacher's F1 and parameters.
    """
    rows, on = averages(plain(table, split=split)), ["encoder", "language", "seed"]
    whole = rows["strategy"] == TEACHER
    teachers = rows[whole].set_index(on)[["f1", "parameters"]].add_suffix("_other")
    found = rows[~whole].join(teachers, on=on).dropna(subset="f1_other")
    if found.empty:
        said = "There is no student beside its own teacher of the same language and seed: "
        raise SmallerError(f"{said}run the teachers with the students' seeds.")
    return found.assign(
        change=found["f1"] - found["f1_other"],
        kept=100 * found["f1"] / found["f1_other"].where(found["f1_other"] > 0),
        saved=100 * (1 - found["parameters"] / found["parameters_other"]),
    )


def compression(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """What each student and control saves and loses against its own teacher (P1-T7, P1-T8), averaged over languages."""
    names = ["strategy", "teacher", "student"]
    found = of_average(beside_teacher(table, split=split)).groupby(MODELS, sort=False)
    saved = pd.DataFrame({"parameters (M)": found["parameters"].first() / 1e6, SAVED: found["saved"].mean()})
    each = saved.assign(**{KEPT: found["kept"].agg(t_interval)}).rename_axis(names)
    changes = compared(table, [(name, TEACHER) for name in STRATEGIES[1:]], split=split)
    changes = changes.rename(columns={"model": "strategy", DIFFERENCE: CHANGE}).join(each, on=names, how="inner")
    return changes[[*names, "parameters (M)", SAVED, CHANGE, DRAWN, KEPT]]


def relation(one: Comparison, what: str = "F1") -> str:
    """What a comparison shows of the first, as the verb of a sentence whose subject is plural."""
    same, unsure = f"have the same {what} (within {MARGIN:g} points) as", f"are not shown to differ in {what} from"
    return one.words(f"have a higher {what} than", f"have a lower {what} than", same, unsure)


def results(table: pd.DataFrame) -> pd.DataFrame:
    """Every model's F1 by language and on average, each an interval over seeds (P1-T1), marked by `with_best`."""
    rows, keys = averages(plain(table)), ["strategy", "encoder", "layers", "heads"]
    languages = sorted(set(rows["language"]), key=lambda code: (code == AVERAGE, name_of(code)))
    wide = over_seeds(rows, by=[*keys, "language"]).unstack("language")[languages].rename(columns=name_of)
    found = rows.groupby(keys, sort=False)["parameters"].first().div(1e6).to_frame("parameters (M)").join(wide)
    return with_best(found.rename_axis(index={"encoder": "teacher"}).reset_index(), name_of(languages[-1]))


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
        loses = [one.departs(by=points) for one in found[CHANGE]]
        return Finding(
            f"No student's mean F1 is within {points:g} points of its teacher's on dev.",
            f"On test, such a loss is shown for {loses.count(AGREES)} of {count_of(len(loses), 'student')}.",
            verdict=settled(loses),
        )
    least = within.iloc[0].to_dict()
    loses = least[CHANGE].departs(by=points)
    told = {AGREES: "shown", NOT_DECIDED: NOT_DECIDED}.get(loses, "excluded")
    return Finding(
        f"The smallest student within {points:g} points of its teacher's F1 on dev is {least['strategy']} "
        f"{least['student']} (layers x heads) of {least['teacher']}, with {least[SAVED]:.1f} % fewer parameters.",
        f"On test, its F1 minus its teacher's is {least[CHANGE]}. A loss of {points:g} points is {told}.",
        quantity=least[CHANGE],
        values=least,
        verdict=settled([loses]),
    )


def too_small(table: pd.DataFrame, *, share: float = 90.0) -> Finding:
    """Which students keep less than `share` per cent of their teacher's F1 (paper 1, mechanism 2; T24)."""
    rows = of_students(of_average(beside_teacher(table))).dropna(subset="kept").groupby(MODELS, sort=False)
    found = corrected(pd.DataFrame({"comparison": rows["kept"].agg(lambda kept: between(kept - share))}).reset_index())
    if found.empty:
        return missing("Shares of a teacher's F1")
    below, above = ([row.shape for row in found.itertuples() if row.comparison.sign == sign] for sign in (-1, 1))
    return Finding(
        f"Of {count_of(len(found), 'student')}, {len(above) or 'none'} {are(len(above))} shown to keep {share:g} % of "
        f"the teacher's F1 or more, and {len(below) or 'none'} less.",
        verdict=settled(found["verdict"]),
        values={"below": below, "above": above},
    )
