"""Make the tables and the sentences on multilingual-e5-small again from its records: nothing is trained.

`results/` holds whole records, since a CSV has no room for the counts of each sentence.
"""

import os
from pathlib import Path

import pandas as pd

from smaller.analysis import sentences
from smaller.analysis.figures.base import COLOURS, F1, GREY, MARKERS, log_scale, new_axes, notes, styled
from smaller.analysis.findings import baselines
from smaller.analysis.statistics import Interval, of_split
from smaller.base.paths import project_root
from smaller.report.reference import PLAIN, ReferenceRun
from smaller.study import results
from smaller.study.plain import at_every_seed

RUN = ReferenceRun(Path(__file__).parent, notebook="")
os.environ["SMALLER_OUTPUTS"] = str(RUN.folder)
COLUMNS = {"layers": "layers", "hidden": "width", "feed_forward": "neurons", "vocabulary": "tokens", "epochs": "epochs"}
SEARCH = "274c97aa7c32"
"""The commit at which the command searched; all else was trained beside its search, later."""

WHOLE, TAUGHT, ALONE = "left whole, fp32", "teacher and labels", "labels alone"


def difference(found: Interval) -> str:
    """A difference in points of F1 with its interval over the sentences of the test split."""
    return f"{found.mean:+.1f} points [{found.low:.1f}, {found.high:.1f}]"


def kind(step: dict) -> str:
    """What teaches the student of a step of distillation; there is none where a model is left whole."""
    return (TAUGHT if step["logits_weight"] else ALONE) if step else WHOLE


def models() -> pd.DataFrame:
    """A row for each model: its shape, its epochs, what taught it, megabytes, and F1 on dev and test."""
    records = {one["identity"]: one for one in results.read_all()}
    steps = {name: {step["step"]: step for step in one["recipe"]["steps"]} for name, one in records.items()}
    student = {name: own.get("Distil", {}) for name, own in steps.items()}
    about = {
        "epochs": {name: own.get("epochs", steps[name]["FineTune"]["epochs"]) for name, own in student.items()},
        "taught": {name: kind(own) for name, own in student.items()},
        "learned": {name: own.get("tokens_by", "") == "learning" for name, own in student.items()},
        "searched": {name: records[name]["provenance"]["commit"].startswith(SEARCH) for name in student},
    }
    table = results.table(records.values())
    table = table.assign(**{name: table["identity"].map(own) for name, own in about.items()})
    table = table.assign(MB=table["shipped_bytes"] / 1e6).rename(columns=COLUMNS)
    scores = table.pivot(index="identity", columns="split", values="f1")
    return table[table["split"] == "test"].join(scores, on="identity")


found = models()
plain = pd.read_csv(project_root() / PLAIN, keep_default_na=False)
plain = plain[(plain["dataset"] == "masakhaner") & (plain["language"] == "swa")]
crf = plain.set_index("split")
whole, small = found[found["taught"] == WHOLE], found[found["taught"] != WHOLE]
for split in ("dev", "test"):
    small = small.assign(**{f"{split}, % of dense": 100 * small[split] / whole[split].iloc[0]})
taught, alone = (small[small["taught"] == kind] for kind in (TAUGHT, ALONE))
searched = taught[taught["searched"]]
chosen = searched[searched["epochs"] == searched["epochs"].max()].nlargest(1, "dev")
one, dense = chosen.iloc[0], whole.iloc[0]


without = at_every_seed(of_split(plain, "test"), [1])
lead = sentences.paired(whole, without)
RUN.tables({"beside-plain": pd.DataFrame({"minus a CRF, over sentences": [lead]})})


def minus(other: pd.DataFrame) -> str:
    """What is chosen, minus another model."""
    return difference(sentences.paired(chosen, other))


told = [
    baselines.ahead(whole.assign(score=whole["test"]), plain),
    f"Over the {lead.n} sentences of the test split, its F1 minus that of the conditional random field is "
    f"{difference(lead)}.",
    f"From {dense['MB']:.1f} MB to {one['MB']:.2f} MB: of the candidates below, the search chose on dev a student of "
    f"{one['layers']:.0f} layers, {one['width']:.0f} wide, {one['neurons']:.0f} neurons, with {one['tokens']:,.0f} "
    f"tokens and weights of 4 bits. Its F1 is {one['dev']:.1f} on dev, that of the encoder {dense['dev']:.1f} "
    f"({one['dev, % of dense']:.1f} %); on test {one['test']:.1f} and {dense['test']:.1f} "
    f"({one['test, % of dense']:.1f} %). F1 on test minus the encoder's is {minus(whole)}.",
    f"A CRF without an encoder takes {crf['dense_bytes']['test'] / 1e6:.2f} MB and has {crf['f1']['dev']:.1f} on dev "
    f"and {crf['f1']['test']:.1f} on test: F1 of the student minus that of the CRF is "
    f"{minus(without)}.",
    *(
        f"With labels alone, a student of the same shape, whose {row['tokens']:,.0f} tokens are learned from the "
        f"training sentences, has {row['test']:.1f} on test after as many updates: F1 with the teacher and its "
        f"unlabelled text minus that is "
        f"{minus(alone.loc[[place]])}."
        for place, row in alone.iterrows()
    ),
    "Beside the search, students of other sizes were taught for as many epochs. On dev and on test they keep: "
    + "; ".join(
        f"in {row['MB']:.2f} MB, {row['dev']:.1f} ({row['dev, % of dense']:.1f} % of the encoder's F1) and "
        f"{row['test']:.1f} ({row['test, % of dense']:.1f} %)"
        for _, row in taught[~taught["searched"]].sort_values("MB").iterrows()
    )
    + ". Their encoder, which the student with labels alone has too, was fine-tuned again: see below the table.",
    "One training each: intervals are over the sentences of the test split, another seed would be another model, and "
    "with one seed nothing is decided.",
]


@styled
def over_bytes() -> object:
    """F1 on test over megabytes, of the students of the most epochs, with what stands beside them."""
    (axes,) = new_axes(1, height=3)
    last = taught[taught["epochs"] == taught["epochs"].max()].sort_values("MB")
    axes.axhline(dense["test"], color=GREY, linewidth=1)
    at = {f"the encoder, {dense['MB']:.0f} MB": (last["MB"].iloc[-1], dense["test"])}
    beside = crf["dense_bytes"]["test"] / 1e6, crf["f1"]["test"]
    axes.plot(*beside, "x", color=GREY)
    axes.annotate("a CRF", beside, xytext=(0, 6), textcoords="offset points", fontsize=6.5, ha="center")
    for place, (name, own) in enumerate({"taught": last, "labels alone": alone}.items()):
        axes.plot(own["MB"], own["test"], MARKERS[place], color=COLOURS[place])
        at[name] = tuple(own[["MB", "test"]].iloc[-1])
    axes.set(xlabel="MB of the folder that ships", ylabel=F1)
    log_scale(axes.xaxis)
    notes(axes, at, {"taught": COLOURS[0], "labels alone": COLOURS[1]})
    return axes


RUN.figure(
    over_bytes(),
    "F1-over-MB",
    table=small[["MB", "layers", "width", "neurons", "tokens", "taught", "epochs", "dev", "test"]],
    caption="F1 on test over the megabytes that ship: students that were taught for most epochs, one training each, "
    "dots; grey: the whole encoder, and a CRF without an encoder.",
    alt="F1 over megabytes on a logarithmic scale: a dot for each student, a line for the whole encoder, a cross for a "
    "model without an encoder.",
)
shown = pd.concat([whole, small.sort_values(["taught", "epochs", "dev"], ascending=[False, True, False])])
shown = shown.assign(tokens=[f"{row.tokens:,.0f}{' learned' if row.learned else ''}" for row in shown.itertuples()])
shares = [name for name in small if name.endswith("of dense")]
table = RUN.table(
    shown[["layers", "width", "neurons", "tokens", "taught", "epochs", "MB", "dev", "test", *shares]],
    "Students of multilingual-e5-small with weights of 4 bits: those of the search by rounds, of which each keeps the "
    "best on dev, others that were taught beside it, and one with labels alone. Span F1, and the share of the "
    "encoder's. Tokens are the encoder's own, or learned from the text. MB: the folder without its README.",
    "four-bits",
    decimals=dict.fromkeys(["layers", "width", "neurons", "epochs", *shares], 0) | {"MB": 2},
)
RUN.findings([*told, table])
