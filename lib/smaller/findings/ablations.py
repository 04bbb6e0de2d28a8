"""What distillation adds beside models without a teacher, and what other losses and temperatures change.

`table` is what `distillation.by_strategy` makes.
"""

from __future__ import annotations

import pandas as pd

from smaller.comparison import NOT_DECIDED, NOT_MEASURED, Comparison
from smaller.findings import distillation
from smaller.findings.distillation import AGNOSTIC, CONTINUED, CUT, LABELS, MODELS, SCRATCH, SPECIFIC, compared
from smaller.findings.finding import ANSWERED, Finding, missing
from smaller.findings.words import count_of
from smaller.statistics import language_average, of_split, t_interval

TEMPERATURE = "temperature "
DIFFERENCE = "difference (points)"
ISOLATING = {(SPECIFIC, LABELS): "On the task", (AGNOSTIC, CONTINUED): "On unlabelled text"}
"""Pairs of strategies in which nothing differs but the teacher's answers: start, batches and updates are the same."""

OTHERS = [(AGNOSTIC, CUT), (AGNOSTIC, SCRATCH), (SPECIFIC, CUT), (SPECIFIC, CONTINUED), (SPECIFIC, SCRATCH),
          (LABELS, CUT)]  # fmt: skip


def against_controls(table: pd.DataFrame, *, isolating: bool = False, split: str = "test") -> pd.DataFrame:
    """Students minus controls of the same teacher and shape; or the pairs that isolate the teacher's answers."""
    found = compared(table, ISOLATING if isolating else OTHERS, split=split)
    named = found[["model", "minus", "encoder", "shape", "comparison"]]
    return named.rename(columns={"encoder": "teacher", "shape": "student", "comparison": DIFFERENCE})


def controls(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """Whether distillation beats pre-training from scratch, and beats dropping layers."""
    found = against_controls(table, split=split)
    if found.empty:
        return missing("Models of the same shape without a teacher")
    ahead = found[found[DIFFERENCE].map(lambda one: one.sign > 0)]
    told = [f"{(ahead['minus'] == control).sum()} of {len(own)} for “{control}”"
            for control, own in found.groupby("minus", sort=False)]  # fmt: skip
    return Finding(
        f"In {len(ahead)} of {count_of(len(found), 'comparison')} a model has a higher F1 than a control of its shape.",
        f"By control: {', '.join(told)}.",
        values={"each": found, "ahead": len(ahead)}, verdict=_settled(found[DIFFERENCE]),
    )  # fmt: skip


def what_the_teacher_adds(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """What the teacher's answers add on the task, from the one control that lacks nothing else; then on text."""
    found = against_controls(table, isolating=True, split=split)
    told = [(f"{ISOLATING[model, minus]}, {student} students that learn from the answers of {teacher} "
             f"{distillation.relation(one)} students that do not: {one}.", one, minus)
            for model, minus, teacher, student, one in found.itertuples(index=False)]  # fmt: skip
    on_task = [one for _, one, minus in told if minus == LABELS]
    sentences = [sentence for sentence, *_ in told]
    if not on_task:
        return Finding("The control that isolates the teacher was not measured.", " ".join(sentences),
                       values={"each": found}, verdict=NOT_MEASURED)  # fmt: skip
    return Finding(sentences[0], " ".join(sentences[1:]), quantity=on_task[0], values={"each": found})


def variants(table: pd.DataFrame, *, temperatures: bool = False, split: str = "test") -> pd.DataFrame:
    """F1 of each variant, and that minus the plain student's of the same strategy, shape and seeds (P1-T6).

    Of the temperatures after the first, or of all other variants.
    """
    rows = of_split(table, split)
    rows = rows[(rows["variant"] != "") & (rows["variant"].str.startswith(TEMPERATURE) == temperatures)]
    names = rows[["strategy", "variant"]].drop_duplicates().itertuples(index=False, name=None)
    found = compared(table, [(f"{strategy}: {variant}", strategy) for strategy, variant in names], split=split)
    scores = language_average(rows).groupby(["variant", *MODELS])["f1"].agg(t_interval) if len(rows) else {}
    return pd.DataFrame([
        {"variant": (variant := row.model.partition(": ")[2]), "strategy": row.minus, "teacher": row.encoder,
         "student": row.shape, "F1": scores[variant, row.minus, row.encoder, row.layers, row.heads],
         DIFFERENCE: row.comparison}
        for row in found.itertuples()
    ], columns=["variant", "strategy", "teacher", "student", "F1", DIFFERENCE])  # fmt: skip


def other_ways(table: pd.DataFrame, *, temperatures: bool = False) -> Finding:
    """Whether a variant, such as the attention relation of MiniLMv2, or a temperature changes F1; the best on dev."""
    found = variants(table, temperatures=temperatures)
    if found.empty:
        return missing("Other temperatures" if temperatures else "Other losses")
    changed, best, told = [one for one in found[DIFFERENCE] if one.sign], {}, []
    dev = variants(table, temperatures=temperatures, split="dev")
    for names, own in dev.groupby(["strategy", "student", "teacher"], sort=False):
        means = {row.variant: row[-1].interval.mean for row in own.itertuples(index=False)}
        best[names] = highest = max(["", *means], key=lambda name: means.get(name, 0.0))
        mine = found[(found[["strategy", "student", "teacher"]] == list(names)).all(axis="columns")]
        told.append(f"For {names[0]} {names[1]} of {names[2]}, the highest mean F1 on dev is that of "
                    f"{f'“{highest}”' if highest else 'the plain student'}.")  # fmt: skip
        if highest:
            (one,) = mine.loc[mine["variant"] == highest, DIFFERENCE]
            told.append(f"On test, its F1 minus the plain student's is {one}.")
    return Finding(
        f"{len(changed) or 'None'} of {count_of(len(found), 'comparison')} with "
        f"{'the first temperature' if temperatures else 'plain students'} show{'s' * (len(changed) <= 1)} another F1.",
        " ".join(told), values={"best": best, "changed": len(changed), "each": found},
        verdict=_settled(found[DIFFERENCE]),
    )  # fmt: skip


def _settled(found: pd.Series[Comparison]) -> str:
    """Whether every comparison is decided."""
    return NOT_DECIDED if any(one.verdict == NOT_DECIDED for one in found) else ANSWERED
