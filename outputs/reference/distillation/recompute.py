"""Make the tables, figures and sentences of this folder again from its records: nothing is trained.

The learning curves are drawn from the data of their own figure, since records hold no losses of single updates. The
records of 6x6 students are not of the study: only one of its strategies was trained. What isolates the teacher's
answers on the task is in `control.csv`: teachers, students, and students that learn from the labels alone.
"""

from pathlib import Path

import pandas as pd

from smaller.analysis import figures
from smaller.analysis.findings import claims, distillation, distillation_claims, teaching
from smaller.analysis.findings.distillation import AGNOSTIC, CONTINUED, CUT, LABELS, SCRATCH, SPECIFIC, TEACHER
from smaller.report.reference import ReferenceRun, over

RUN = ReferenceRun(Path(__file__).parent, notebook="03_distillation")
ENCODER = "mini-base"
STEPS = {
    "logits 0, labels 1": LABELS,
    "random start": SCRATCH,
    "Pretrain": CONTINUED,
    "Cut": CUT,
    "Distil": "",
}
"""What the labels of recipes say of their strategies; the first that occurs decides."""


def strategy_of(row: pd.Series) -> tuple[str, str]:
    """The strategy of a model, and its variant, as `distillation.by_strategy` takes them."""
    strategy = next((name for said, name in STEPS.items() if said in row["label"]), TEACHER)
    strategy = strategy or {"corpus": AGNOSTIC, "task": SPECIFIC}[row["on"]]
    if "attention 1" in row["label"]:
        return strategy, "attention relation"
    return strategy, f"temperature {row['temperature']:g}" if row["temperature"] > 2 else ""


def records(name: str) -> pd.DataFrame:
    """A file of records by strategy."""
    whole = RUN.records(name)
    whole = whole[whole["layers"] != 6]
    return distillation.by_strategy(whole.assign(group=[strategy_of(row) for _, row in whole.iterrows()]))


table, control = records("records.csv"), records("control.csv")
isolating = pd.concat([table[table["strategy"].isin([AGNOSTIC, CONTINUED])], control[control["strategy"] != TEACHER]])
test, ahead = table[table["split"] == "test"], RUN.ahead(table)

# A seed gives another model in another version of the software, so the student of the control has its own teachers.
shrunk = distillation.compression(control)
(one,) = shrunk.loc[shrunk["strategy"] == SPECIFIC, distillation.CHANGE]
of_control = (
    "Of the models of `control.csv`, which the comparison with labels alone is made of, the F1 of the task-specific "
    f"student 4x6 minus its teacher's is {one} ({one.verdict}). They are another sample than those of `records.csv`, "
    "since a seed gives another model in another version of the software: numbers of the two files are not mixed."
)

tables = {
    "P1-T1": distillation.results(table),
    "P1-T1-printed": distillation_claims.printed(),
    "P1-T6": teaching.variants(table, temperatures=True),
    "P1-T8": distillation.compression(table),
    "P1-T8-control": shrunk,
    "P1-T8-exact": distillation_claims.exact(),
    "agnostic-or-specific": distillation.compared(table, [(AGNOSTIC, SPECIFIC)]),
    "teachers-answers": distillation.compared(isolating, distillation.ISOLATING),
    "controls": distillation.compared(table, distillation.OTHERS),
    "distillation-variants": teaching.variants(table),
    "verdicts-distillation": claims.of_page(distillation_claims.claims(table), encoder=ENCODER, ahead=ahead),
}
RUN.tables(tables)

tiny, adds = distillation.how_tiny(table), teaching.what_the_teacher_adds(isolating)
warmer = teaching.other_ways(table, temperatures=True)
better, kept = teaching.agnostic_or_specific(table), distillation.too_small(table)
curves = pd.read_csv(RUN.folder / "figures" / "learning-curves.csv")
curves["panel"] = curves["panel"].str.replace("imitation", "distillation")
panels = {title: own.drop(columns="panel") for title, own in curves.groupby("panel", sort=False)}
beside = distillation.beside_teacher(table)
few = (test["variant"] == "") | teaching.at_another_temperature(test)
N = over(test["language"], test["seed"])
ROWS = "A row for each shape, the largest on top, with a "
RUN.figure(
    figures.f1_by_student(table),
    "P1-T1",
    table=test,
    caption=f"F1 of students and controls by shape, mean over languages; grey: the teacher. {tiny.headline}",
    over=N,
    alt=f"{ROWS}marker for each kind of student and control; a vertical line for the teacher.",
)
RUN.figure(
    figures.retention(table),
    "P1-T7",
    table=beside,
    caption=f"F1 in per cent of the teacher's, by shape, mean over languages, paired with the teacher. {kept.headline}",
    over=N,
    alt=f"{ROWS}marker for each kind of student and control; a vertical line at 100 per cent for the teacher.",
)
RUN.figure(
    figures.change_by_language(table),
    "P1-T8",
    table=beside,
    caption=f"F1 of the students of {ENCODER} minus their teacher's, over the share of parameters that is gone. "
    + better.headline,
    over=N,
    alt="One panel for each language, the average first; a curve for each strategy over the share of parameters saved, "
    "and a line at zero for the teacher.",
)
RUN.figure(
    figures.temperatures(table),
    "P1-T6",
    table=test[few],
    caption=f"F1 of the student 4x6 minus its F1 at temperature 2, mean over languages. {warmer.headline}",
    over=over(test["language"], test.loc[test["temperature"] > 2, "seed"]),
    alt="A marker for each strategy at each temperature, and a line at zero for temperature 2.",
)
RUN.figure(
    figures.learning_curves(panels),
    "learning-curves",
    table=curves,
    caption="Training loss over updates; single batches, smoothed over five points. Each panel has a loss of its own.",
    alt="Panels of training loss over updates: distillation and pre-training on text, distillation on the task, "
    "fine-tuning.",
)

findings = [
    ahead,
    tiny,
    adds,
    of_control,
    teaching.controls(table),
    better,
    kept,
    warmer,
    teaching.other_ways(table),
    teaching.above_teachers(table),
    teaching.best_teacher(table),
    teaching.heads(table),
    distillation_claims.misprints(),
]
RUN.findings(["\n".join(f"- {finding}" for finding in findings)])
