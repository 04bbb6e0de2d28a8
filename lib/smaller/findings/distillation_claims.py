"""The paper's distillation table beside what was measured, its misprints, and its claims."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch
from transformers import AutoModelForMaskedLM

from smaller.comparison import MARGIN, NOT_COMPARABLE
from smaller.encoders import configuration, parameter_count
from smaller.findings import distillation, teachers
from smaller.findings.claims import judged
from smaller.findings.distillation import AGNOSTIC, SPECIFIC, averages, plain, students_to_choose, with_best
from smaller.findings.finding import Finding, missing
from smaller.findings.words import name_of, one_of
from smaller.published import published
from smaller.statistics import AVERAGE, Interval, describe, t_interval

WORDS = {"agnostic": AGNOSTIC, "specific": SPECIFIC}
TEACHERS, DEPTHS = ("afriberta-base", "afriberta-large"), (4, 6)
"""The paper's teachers, and the layers of its students."""


def _wide() -> pd.DataFrame:
    """The printed F1 of P1-T1: a row for each student, named as "agnostic/base/4L6H", a column for each language."""
    numbers = published(table="P1-T1", metric="f1")
    return numbers.pivot(index="row", columns="language", values="value")[list(dict.fromkeys(numbers["language"]))]


def _parts(row: str) -> dict[str, object]:
    """The printed row "agnostic/base/4L6H" in the words of this study."""
    strategy, teacher, layers, heads = re.fullmatch(r"(\w+)/(\w+)/(\d+)L(\d+)H", row).groups()
    return {"strategy": WORDS[strategy], "teacher": f"afriberta-{teacher}", "layers": int(layers), "heads": int(heads)}


def printed() -> pd.DataFrame:
    """The sixteen rows of P1-T1 as printed, with the paper's parameter counts; marked as `distillation.with_best` does.

    The underlining is lost in the paper's text, and is computed here from the numbers.
    """
    counts = published(table="P1-T1", metric="parameters").set_index("row")["value"]
    wide = _wide()
    copies = wide.duplicated(keep=False)
    rows = [_parts(row) | {"parameters (M)": int(counts[row])} | own.rename(name_of).to_dict()
            | {"note": "printed twice" if copies[row] else ""} for row, own in wide.iterrows()]  # fmt: skip
    return with_best(pd.DataFrame(rows), AVERAGE)


def beside_printed(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Our F1 beside each printed one of the same teacher and shape, with the verdict; empty where there is none.

    Averages stand beside each other where the languages are the paper's. A row that is printed twice is not comparable:
    which of the two is a copy is unknown.
    """
    wide, rows, found = _wide(), plain(table, split=split), []
    copies = wide.duplicated(keep=False)
    rows = averages(rows) if set(rows["language"]) == set(wide) - {AVERAGE} else rows
    ours = rows.groupby(["strategy", "encoder", "layers", "heads", "language"])["f1"].agg(t_interval)
    for row, own in wide.iterrows():
        about = _parts(row)
        for language, value in own.items():
            if (*about.values(), language) in ours.index:
                interval = ours[(*about.values(), language)]
                level = {"id": row, "kind": "level", "says": "is", "paper": "1", "value": value, "margin": MARGIN}
                verdict = judged(level, Finding(row, quantity=interval), encoder=about["teacher"])
                found.append(about | {"language": name_of(language), "printed": value, "ours": interval,
                                      "verdict": NOT_COMPARABLE if copies[row] else verdict})  # fmt: skip
    return pd.DataFrame(found)


def misprints() -> Finding:
    """What is wrong with the printed numbers on distillation, computed from them."""
    by_row = _wide()[AVERAGE]
    copies = [row for row, same in _wide().duplicated(keep=False).items() if same]
    means = {strategy: by_row[by_row.index.str.startswith(strategy)].mean() for strategy in WORDS}
    pairs = by_row.rename(lambda row: row.partition("/")[2]).groupby(level=0).agg(["first", "last"])
    ahead, tied = int((pairs["first"] > pairs["last"]).sum()), int((pairs["first"] == pairs["last"]).sum())
    told = published(table="claims").set_index("row")["value"]
    base = published(table="NER 1.0 baselines", row="AfriBERTa base", language=AVERAGE)["value"].iloc[0]
    best = by_row[by_row.index.str.contains("/base/")].max()
    values = {"copies": copies, "means": means, "ahead": ahead, "tied": tied, "drop": base - best,
              "drop in per cent": 100 * (1 - best / base), "largest": exact()["fewer parameters (%)"].max(),
              "small": _millions("afriberta-small"),
              "small of six": _millions("afriberta-small", layers=6)}  # fmt: skip
    return Finding(
        f"The rows {' and '.join(copies)} are printed with identical numbers, so neither is evidence.",
        f"The text says that task-agnostic students performed better. The printed means are {means['agnostic']:.2f} "
        f"(agnostic) and {means['specific']:.2f} (specific); agnostic is ahead in {ahead} of {len(pairs)} pairs of "
        f"rows, and {tied} is a tie, the copy. From {base:.2f}, the base teacher as its authors publish it, to "
        f"{best:.2f}, its best student, F1 falls by {values['drop']:.2f} points or {values['drop in per cent']:.1f} %, "
        f"not by {told['distillation: drop of the best student of base']:g} %. The shapes save at most "
        f"{values['largest']:.1f} % of the parameters, not {told['distillation: compression, to']:g} %. AfriBERTa's "
        f"small encoder of 4 layers has {values['small']:.1f} million parameters; the "
        f"{told['parameters of afriberta-small']:g} million on its card are those of 6 layers "
        f"({values['small of six']:.1f}).",
        values=values,
    )


def exact() -> pd.DataFrame:
    """The paper's students against their teachers: exact parameters of the masked-language models, and the share saved.

    Computed from the shapes alone; heads do not change the number.
    """
    table = pd.DataFrame([
        {"teacher": teacher, "teacher (M)": _millions(teacher), "layers": layers,
         "student (M)": _millions(teacher, layers=layers)}
        for teacher in TEACHERS for layers in DEPTHS
    ])  # fmt: skip
    return table.assign(**{"fewer parameters (%)": 100 * (1 - table["student (M)"] / table["teacher (M)"])})


def _millions(encoder: str, *, layers: int | None = None) -> float:
    config = configuration(encoder)
    config.num_hidden_layers = layers or config.num_hidden_layers
    with torch.device("meta"):
        return parameter_count(AutoModelForMaskedLM.from_config(config)) / 1e6


def claims(table: pd.DataFrame) -> dict[str, Finding | Sequence[Finding]]:
    """What this page says of each claim on distillation; `table` has the rows of dev and of test."""
    shares, wrong = exact()["fewer parameters (%)"].sort_values(), misprints()
    return {
        "Q1": distillation.how_tiny(table),
        **{name: _drop(table, encoder, least=least) for name, encoder, least in (
            ("D6", "afriberta-base", False), ("D7", "afriberta-large", False), ("D8", "afriberta-large", True))},
        "D5": Finding(f"The paper's shapes save {one_of(f'{share:.1f}' for share in shares)} % of the parameters.",
                      quantity=shares.max()),
        "Q5, D18": teachers.best_teacher(table),
        "Q6, D4": teachers.agnostic_or_specific(table),
        "Q7": teachers.above_teachers(table),
        "M2": distillation.too_small(table),
        "D3": replace(wrong, quantity=float(len(wrong.values["copies"]))),
        "D15": Finding(f"Its 4 layers have {wrong.values['small']:.1f} million parameters, and 6 layers would have "
                       f"{wrong.values['small of six']:.1f} million.", quantity=wrong.values["small"]),
        "OQ3": teachers.heads(table),
    }  # fmt: skip


def _drop(table: pd.DataFrame, encoder: str, *, least: bool) -> Finding:
    """What the best or the least student keeps, chosen on dev and reported on test, in per cent less than all.

    Of the claim's own encoder, where it was measured, only the paper's depths are evidence.
    """
    own, here = students_to_choose(table), encoder in set(table["encoder"])
    own = own[(own["encoder"] == encoder) & own["layers"].isin(DEPTHS)] if here else own
    if own.empty or not own["kept"].iloc[0].n:
        return missing("Students of the paper's depths")
    row = own.loc[own["dev"].idxmin() if least else own["dev"].idxmax()].to_dict()
    kept = row["kept"]
    change = Interval(kept.mean - 100, kept.low - 100, kept.high - 100, kept.n)
    return Finding(
        f"In per cent of its teacher's F1, the {'least' if least else 'best'} student on dev ({row['strategy']} "
        f"{row['shape']} of {row['encoder']}) changes it by {describe(change)}.",
        quantity=change if here else None, verdict="" if here else NOT_COMPARABLE, values={"model": row},
    )  # fmt: skip
