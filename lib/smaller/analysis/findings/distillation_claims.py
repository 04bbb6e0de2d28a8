"""The paper's distillation table beside what was measured, its misprints, and its claims."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd

from smaller.analysis.comparison import MARGIN, NOT_COMPARABLE
from smaller.analysis.findings import distillation, teaching
from smaller.analysis.findings.claims import judged
from smaller.analysis.findings.distillation import AGNOSTIC, KEPT, SAVED, SPECIFIC, averages, plain, with_best
from smaller.analysis.findings.finding import Finding, missing
from smaller.analysis.statistics import AVERAGE, Interval, describe, t_interval
from smaller.data.languages import name_of
from smaller.data.published import published
from smaller.encoders import configuration
from smaller.study.recipes import parameters_of, shapes

STUDENT = ["strategy", "teacher", "layers", "heads"]


def printed() -> pd.DataFrame:
    """The sixteen rows of P1-T1 as printed, marked as `distillation.with_best` does: their underlining is lost."""
    numbers = published(table="P1-T1")
    wide = numbers.pivot(index=["row", "encoder"], columns="language", values="value").reset_index()
    scores = wide[[code for code in numbers["language"].unique() if code]]
    parts = wide["row"].str.extract(r"(\w+)/\w+/(\d+)L(\d+)H")  # agnostic/base/4L6H
    rows = pd.DataFrame({"strategy": "task-" + parts[0], "teacher": wide["encoder"]})
    rows = rows.assign(layers=parts[1].astype(int), heads=parts[2].astype(int))
    rows = rows.assign(**{"parameters (M)": wide[""].astype(int)}).join(scores.rename(columns=name_of))
    return with_best(rows.assign(note=np.where(scores.duplicated(keep=False), "printed twice", "")), AVERAGE)


def beside_printed(table: pd.DataFrame) -> pd.DataFrame:
    """Our F1 beside each printed one of the same teacher and shape, with the verdict; copies are not comparable."""
    paper = printed().melt([*STUDENT, "parameters (M)", "note"], var_name="language", value_name="printed")
    rows = plain(table)
    if set(rows["language"].map(name_of)) == set(paper["language"]) - {AVERAGE}:
        rows = averages(rows)
    rows = rows.assign(teacher=rows["encoder"], language=rows["language"].map(name_of))
    ours = rows.groupby([*STUDENT, "language"])["f1"].agg(t_interval).rename("ours")
    found = paper.join(ours, on=[*STUDENT, "language"], how="inner").sort_values(STUDENT, kind="stable")
    level = {"id": "P1-T1", "kind": "level", "says": "is", "paper": "1", "margin": MARGIN}
    verdicts = [
        judged(level | {"value": row.printed}, Finding("", quantity=row.ours), encoder=row.teacher)
        for row in found.itertuples()
    ]
    found["verdict"] = np.where(found["note"] == "", verdicts, NOT_COMPARABLE)
    return found[[*STUDENT, "language", "printed", "ours", "verdict"]]


def misprints() -> Finding:
    """What is wrong with the printed numbers on distillation, computed from them."""
    rows = printed()
    copies = [f"{row.strategy} {row.layers}x{row.heads} of {row.teacher}" for row in rows.itertuples() if row.note]
    means = rows.groupby("strategy")[AVERAGE].mean()
    pairs = rows.pivot(index=STUDENT[1:], columns="strategy", values=AVERAGE)
    ahead, tied = (pairs[AGNOSTIC] > pairs[SPECIFIC]).sum(), (pairs[AGNOSTIC] == pairs[SPECIFIC]).sum()
    return Finding(
        f"The rows {' and '.join(copies)} are printed with identical numbers, so neither is evidence.",
        f"The text says that task-agnostic students performed better, but the printed means are {means[AGNOSTIC]:.2f} "
        f"(agnostic) and {means[SPECIFIC]:.2f} (specific). Agnostic is ahead in {ahead} of {len(pairs)} pairs of rows, "
        f"and {tied} is a tie, the copy.",
        values={"copies": copies, "means": means, "ahead": ahead, "tied": tied},
    )


def exact() -> pd.DataFrame:
    """The paper's students against their teachers: parameters of the masked-language models, from their shapes."""
    places = itertools.product(("afriberta-base", "afriberta-large"), (4, 6))
    rows = [(teacher, _millions(teacher), layers, _millions(teacher, layers=layers)) for teacher, layers in places]
    table = pd.DataFrame(rows, columns=["teacher", "teacher (M)", "layers", "student (M)"])
    return table.assign(**{SAVED: 100 * (1 - table["student (M)"] / table["teacher (M)"])})


def _millions(encoder: str, **changed: int) -> float:
    config = configuration(encoder)
    return parameters_of(config, shapes(config, ())[0] | changed) / 1e6


def claims(table: pd.DataFrame) -> dict[str, Finding | list[Finding]]:
    """What this page says of each claim on distillation; `table` has the rows of dev and of test."""
    paper = table.loc[table["layers"].isin((4, 6)), "shape"]
    measured, shares, wrong = distillation.students_to_choose(table), exact()[SAVED].sort_values(), misprints()
    taught = teaching.best_teacher(table)
    small, six = _millions("afriberta-small"), _millions("afriberta-small", layers=6)
    saved = ", ".join(f"{share:.1f}" for share in shares)
    return {
        "Q1": distillation.how_tiny(table),
        "D6": _drop(measured, "afriberta-base", paper),
        "D7": _drop(measured, "afriberta-large", paper),
        "D8": _drop(measured, "afriberta-large", paper, worst=True),
        "D5": Finding(f"The paper's shapes save {saved} % of the parameters.", quantity=shares.max()),
        "Q5, D18": taught,
        "Q6, D4": teaching.agnostic_or_specific(table),
        "Q7": teaching.above_teachers(table),
        "M2": [taught, distillation.too_small(table)] if taught.measured else taught,
        "D3": replace(wrong, quantity=float(len(wrong.values["copies"]))),
        "D15": Finding(f"Its 4 layers have {small:.1f} million parameters; 6 would have {six:.1f}.", quantity=small),
        "OQ3": teaching.heads(table),
    }


def _drop(measured: pd.DataFrame, encoder: str, paper: pd.Series, *, worst: bool = False) -> Finding:
    """What the best or worst student keeps, chosen on dev; of the claim's own encoder only in shapes of the `paper`.

    A claim on the larger of the paper's teachers needs a larger one here too.
    """
    here = encoder in set(measured["teacher"])
    if not here and encoder.endswith("-large"):
        return missing("Students of a larger teacher")
    if here:
        measured = measured[(measured["teacher"] == encoder) & measured["student"].isin(paper)]
    if measured.empty or not measured[KEPT].iloc[0].n:
        return missing("Students of the paper's depths")
    row = measured.sort_values("dev").iloc[0 if worst else -1].to_dict()
    kept = row[KEPT]
    return Finding(
        f"The {'worst' if worst else 'best'} student on dev, {row['strategy']} {row['student']} of {row['teacher']}, "
        f"keeps this share of its teacher's F1 on test: {describe(kept, ' %')}.",
        quantity=Interval(kept.mean - 100, kept.low - 100, kept.high - 100, kept.n) if here else None,
        verdict="" if here else NOT_COMPARABLE,
        values={"model": row, "encoder": row["teacher"]},
    )
