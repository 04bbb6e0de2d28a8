"""The paper's distillation table and claims beside what was measured, with their misprints named."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import torch
from transformers import AutoModelForMaskedLM

from smaller.encoders import configuration, parameter_count
from smaller.findings import distillation, teachers
from smaller.findings.cells import with_unit
from smaller.findings.claims import ANSWERED, NOT_MEASURED, of_page
from smaller.findings.comparisons import judged
from smaller.findings.distillation import AGNOSTIC, SPECIFIC, STUDENTS, against_teacher, mark_best, plain, scaled
from smaller.findings.teachers import agnostic_minus_specific
from smaller.findings.words import count_of, first_sentence, name_of
from smaller.published import AGREES, DIFFERS, NOT_COMPARABLE, published, verdict
from smaller.statistics import AVERAGE, describe, language_average, t_interval

WORDS = {"agnostic": AGNOSTIC, "specific": SPECIFIC}
TEACHERS, DEPTHS = ("afriberta-base", "afriberta-large"), (4, 6)
"""The paper's teachers, and the layers of its students."""


def printed() -> pd.DataFrame:
    """The sixteen rows of P1-T1 as printed, with the paper's parameter counts and a note where a row is not evidence.

    The best average of each strategy and teacher stands between double asterisks, the best of each strategy between
    double underscores: the underlining is lost in the paper's text, and is computed here from the numbers.
    """
    numbers = published(table="P1-T1")
    f1 = numbers[numbers["metric"] == "f1"]
    order = list(dict.fromkeys(f1["language"]))
    wide = f1.pivot(index="row", columns="language", values="value")[order]
    notes = f1.groupby("row")["note"].first()
    counts = numbers[numbers["metric"] == "parameters"].set_index("row")["value"]
    rows = []
    for row, own in wide.iterrows():
        strategy, teacher, layers, heads = _parts(row)
        rows.append({"strategy": strategy, "teacher": teacher, "layers": layers, "heads": heads,
                     "parameters (M)": int(counts[row])} | {name_of(code): own[code] for code in order}
                    | {"note": "printed twice" if notes[row] else ""})  # fmt: skip
    table = pd.DataFrame(rows)
    return table.assign(**{AVERAGE: mark_best(table, table[AVERAGE], [f"{value:.2f}" for value in table[AVERAGE]])})


def _parts(row: str) -> tuple[str, str, int, int]:
    """The printed row "agnostic/base/4L6H" in the words of this study."""
    strategy, teacher, layers, heads = re.fullmatch(r"(\w+)/(\w+)/(\d+)L(\d+)H", row).groups()
    return WORDS[strategy], f"afriberta-{teacher}", int(layers), int(heads)


def beside_printed(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Our average of each printed row that this run has too, with the verdict; empty where it has none.

    A row that is printed twice with identical numbers is not comparable: which of the two is a copy is unknown.
    """
    rows = plain(table, split=split)
    numbers = published(table="P1-T1", metric="f1")
    languages = set(numbers["language"]) - {AVERAGE}
    whole = set(rows["language"]) == languages
    rows = language_average(rows) if whole else rows
    found = []
    for row, own in numbers.groupby("row"):
        strategy, teacher, layers, heads = _parts(row)
        ours = rows[(rows["strategy"] == strategy) & (rows["encoder"] == teacher) & (rows["layers"] == layers)
                    & (rows["heads"] == heads)]  # fmt: skip
        for printed_row in own[own["language"].isin(set(ours["language"]))].itertuples():
            interval = t_interval(ours.loc[ours["language"] == printed_row.language, "f1"])
            why = "printed twice, one of them a copy" if printed_row.note else ""
            found.append({"strategy": strategy, "teacher": teacher, "student": f"{layers}x{heads}",
                          "language": name_of(printed_row.language), "printed": printed_row.value,
                          "ours": describe(interval), "verdict": verdict(interval, printed_row.value,
                                                                         not_comparable=why).verdict})  # fmt: skip
    return pd.DataFrame(found)


def misprints() -> str:
    """What is wrong with the printed numbers on distillation, computed from them."""
    numbers = published(table="P1-T1", metric="f1")
    average = numbers[numbers["language"] == AVERAGE]
    by_row = average.set_index("row")["value"]
    strategies = by_row.groupby(by_row.index.str.split("/").str[0]).mean()
    pairs = by_row.rename(lambda row: row.partition("/")[2]).groupby(level=0)
    ahead = pairs.apply(lambda pair: pair.iloc[0] > pair.iloc[1]).sum()
    tied = pairs.apply(lambda pair: pair.iloc[0] == pair.iloc[1]).sum()
    copies = [row for row, note in zip(average["row"], average["note"], strict=True) if note]
    claims = published(table="claims").set_index("row")
    base = published(table="NER 1.0 baselines", row="AfriBERTa base", language=AVERAGE)["value"].iloc[0]
    best = by_row[by_row.index.str.contains("/base/")].max()
    drop = claims.loc["distillation: drop of the best student of base", "value"]
    saved = exact()
    largest = saved["fewer parameters (%)"].max()
    told = claims.loc["distillation: compression, to", "value"]
    card = claims.loc["parameters of afriberta-small", "value"]
    return (
        f"The rows {' and '.join(copies)} are printed with identical numbers: one is a copy, and neither is evidence. "
        f"The text says that task-agnostic students performed better; the printed means are "
        f"{strategies['agnostic']:.2f} (agnostic) and {strategies['specific']:.2f} (specific), and agnostic is ahead "
        f"in {ahead} of {len(pairs)} pairs of rows, with {tied} tie, the copy. The drop of {drop:g} % from the base "
        f"teacher to its best student follows from no printed number: from {base:.2f}, as its authors publish it, to "
        f"{best:.2f} it is {base - best:.2f} points or {100 * (1 - best / base):.1f} %. A compression of {told:g} % "
        f"matches no shape either: the parameters give at most {largest:.1f} %. The {card:g} million parameters that "
        f"AfriBERTa's card gives its small encoder of 4 layers are those of 6 layers "
        f"({_millions('afriberta-small', layers=6):.1f}); 4 layers have {_millions('afriberta-small'):.1f}."
    )


def exact() -> pd.DataFrame:
    """The paper's students against their teachers: exact parameters of the masked-language models, and the share saved.

    Computed from the shapes alone; heads do not change the number.
    """
    rows = []
    for teacher in TEACHERS:
        whole = _millions(teacher)
        for layers in DEPTHS:
            own = _millions(teacher, layers=layers)
            rows.append({"teacher": teacher, "teacher (M)": whole, "layers": layers, "student (M)": own,
                         "fewer parameters (%)": 100 * (1 - own / whole)})  # fmt: skip
    return pd.DataFrame(rows)


def _millions(encoder: str, *, layers: int | None = None) -> float:
    config = configuration(encoder)
    config.num_hidden_layers = layers or config.num_hidden_layers
    with torch.device("meta"):
        return parameter_count(AutoModelForMaskedLM.from_config(config)) / 1e6


def claims(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Each published claim and question on distillation, what this run shows of it, and the verdict."""
    found = against_teacher(table, split=split)
    found = found[found["strategy"].isin(STUDENTS)]
    drops = published(table="claims")
    drops = drops[drops["row"].str.startswith("distillation: drop")]
    several = found["encoder"].nunique() > 1
    told = teachers.best_teacher(table, split=split)
    rows = [
        _answered("Q1", distillation.how_tiny(table, split=split)),
        *(_drop(name, claim, found) for name, claim in zip(("D6", "D7", "D8"), drops.itertuples(), strict=True)),
        _saved(found),
        _answered("Q5, D18", told, measured=several),
        _agnostic(table, split=split),
        _larger(table, several=several, split=split),
        _answered("M2", distillation.too_small(table, split=split)),
        _copies(),
        _small_encoder(),
        _answered("OQ3", teachers.heads(table, split=split)),
    ]
    return of_page(rows)


def _answered(name: str, text: str, *, measured: bool = True) -> dict[str, str]:
    known = measured and "not measured" not in first_sentence(text)
    return {"id": name, "measured": text, "verdict": ANSWERED if known else NOT_MEASURED}


def _agnostic(table: pd.DataFrame, *, split: str) -> dict[str, str]:
    overall, p_value = agnostic_minus_specific(table, split=split)
    word = judged(overall, p_value)
    return {
        "id": "Q6, D4",
        "measured": f"task-agnostic minus task-specific: {with_unit(overall, 'points')}, p = {p_value:.3f}",
        "verdict": word.replace("ahead", AGREES).replace("behind", DIFFERS),
    }


def _larger(table: pd.DataFrame, *, several: bool, split: str) -> dict[str, str]:
    """Whether some student of a larger teacher has its whole interval above the smaller teacher in some language."""
    text = first_sentence(teachers.above_teachers(table, split=split))
    clear = not text.endswith("in 0 languages.") and "no student has" not in text
    return {"id": "Q7", "measured": text,
            "verdict": NOT_MEASURED if not several else AGREES if clear else "not decided"}  # fmt: skip


def _saved(found: pd.DataFrame) -> dict[str, str]:
    told = published(table="claims").set_index("row")
    high = told.loc["distillation: compression, to", "value"]
    shares = sorted(exact()["fewer parameters (%)"])
    near = any(abs(share - high) < 1 for share in shares)
    return {
        "id": "D5",
        "measured": f"{100 * found['saved'].min():.1f} to {100 * found['saved'].max():.1f} % here; "
        f"{', '.join(f'{share:.1f}' for share in shares)} % by the paper's own shapes",
        "verdict": AGREES if near else f"{DIFFERS}: no shape of the paper's saves {high:g} %",
    }


def _drop(name: str, claim, found: pd.DataFrame) -> dict[str, str]:
    """A printed loss of the best or the least student beside ours; of another encoder it cannot be compared."""
    same = found[found["encoder"] == claim.encoder]
    own = same[same["layers"].isin(DEPTHS)] if len(same) else found
    means = [interval.mean for interval in own["change"]]
    row = own.iloc[int(np.argmin(means) if "least" in claim.row else np.argmax(means))]
    lost = scaled(row["kept"], from_whole=True)
    judgement = verdict(lost, claim.value, tolerance=0.05, not_comparable="" if len(same) else "another encoder")
    return {
        "id": name,
        "claim": f"{claim.row.removeprefix('distillation: ')} ({claim.encoder}): {claim.value:g} %",
        "measured": f"{row['strategy']} {row['shape']} of {row['encoder']}: {with_unit(lost, '% of the teacher')}",
        "verdict": str(judgement) if judgement.verdict == NOT_COMPARABLE else judgement.verdict,
    }


def _copies() -> dict[str, str]:
    """Rows of the printed table that hold the same numbers: at most one of them was measured."""
    wide = published(table="P1-T1", metric="f1").pivot(index="row", columns="language", values="value")
    same = wide[wide.duplicated(keep=False)]
    return {
        "id": "D3",
        "measured": f"{' and '.join(same.index)} are the same in {count_of(len(wide.columns), 'column')}",
        "verdict": f"{DIFFERS}: one is a copy, and neither is evidence" if len(same) else AGREES,
    }


def _small_encoder() -> dict[str, str]:
    told = published(table="claims").set_index("row").loc["parameters of afriberta-small", "value"]
    four, six = _millions("afriberta-small"), _millions("afriberta-small", layers=6)
    return {
        "id": "D15",
        "measured": f"its 4 layers have {four:.1f} million, counted from the shape; 6 layers would have {six:.1f}",
        "verdict": AGREES if abs(four - told) < 0.5 else DIFFERS,
    }
