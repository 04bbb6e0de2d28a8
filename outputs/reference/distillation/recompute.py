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
from smaller.report.reference import ReferenceRun

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
few = (test["variant"] == "") | test["variant"].str.startswith("temperature")
drawn = {
    "P1-T1": (figures.f1_by_student(table), test, tiny.headline),
    "P1-T6": (figures.temperatures(table), test[few], warmer.headline),
    "P1-T7": (figures.retention(table), beside, kept.headline),
    "P1-T8": (figures.change_by_language(table), beside, better.headline),
    "learning-curves": (figures.learning_curves(panels), curves, "Training loss over updates."),
}
for name, (axes, data, caption) in drawn.items():
    RUN.figure(axes, name, table=data, caption=caption)

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
