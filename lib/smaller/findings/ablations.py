"""Answers on what distillation adds: against models of the same shape without a teacher, and against other losses.

`table` is what `distillation.by_strategy` makes.
"""

from __future__ import annotations

import pandas as pd

from smaller.findings.cells import give_or_take, with_unit
from smaller.findings.comparisons import compared, verdicts, within_reach
from smaller.findings.distillation import AGNOSTIC, CONTINUED, CONTROLS, CUT, SCRATCH, SPECIFIC, STUDENTS, plain
from smaller.statistics import language_average, of_split, one_kind, t_interval

KEYS = ["encoder", "layers", "heads"]
TEMPERATURE = "temperature "
MEANINGS = {
    CUT: "dropping layers and fine-tuning the rest",
    CONTINUED: "dropping layers and going on with pre-training",
    SCRATCH: "pre-training the same shape from scratch",
}


def against_controls(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Each kind of student minus each control of its shape and teacher: a row for each, `student`, `control`, `shape`.

    Pairs are languages and seeds; p values are corrected for the number of all these comparisons.
    """
    rows = plain(table, split=split)
    found = []
    for (encoder, layers, heads), own in rows.groupby(KEYS):
        for student in STUDENTS:
            for control in CONTROLS:
                first, second = (own[own["strategy"] == strategy] for strategy in (student, control))
                interval, test = compared(first, second, keys=KEYS)
                if interval.n:
                    found.append({"encoder": encoder, "shape": f"{layers}x{heads}", "student": student,
                                  "control": control, "difference": interval, "p_value": test.p_value})  # fmt: skip
    return verdicts(found)


def controls_verdict(table: pd.DataFrame, *, split: str = "test") -> str:
    """Whether distillation beats pre-training from scratch, and beats dropping layers: a sentence for each control."""
    found = against_controls(table, split=split)
    if found.empty:
        return "Distillation was not measured against models without a teacher: no shape has controls in this run."
    several = found["encoder"].nunique() > 1
    sentences = []
    for control, own in found.groupby("control", sort=False):
        parts = [
            f"{row['student']} {row['shape']}{' of ' + row['encoder'] if several else ''} is "
            f"{with_unit(row['difference'], 'points')}, {row['verdict']}"
            for _, row in own.iterrows()
        ]
        sentences.append(f"Against {MEANINGS[control]}, {'; '.join(parts)}.")
    return " ".join(sentences) + _reach(found)


def what_the_teacher_adds(table: pd.DataFrame, *, split: str = "test") -> str:
    """The comparisons in which nothing differs but the teacher's answers: same start, same batches, same updates."""
    found = against_controls(table, split=split)
    sentences = []
    for student, control, text in ((AGNOSTIC, CONTINUED, "On the same text"), (SPECIFIC, CUT, "On the same task")):
        own = found[(found["student"] == student) & (found["control"] == control)] if len(found) else found
        for _, row in own.iterrows():
            added = with_unit(row["difference"], "points")
            sentences.append(
                f"{text}, the answers of {row['encoder']} add to {row['shape']} {added} ({row['verdict']})."
            )
    return " ".join(sentences) or "What the teacher alone adds was not measured."


def variants(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Each variant but the temperatures minus the plain student of the same shape, strategy and seeds: a row for each.

    Columns: strategy, variant, encoder, shape, `f1` (interval of the language average over seeds), `plain` (the same
    of the plain students), `first` (the plain students' temperature), difference, p_value, verdict.
    """
    return _changes(table, temperatures=False, split=split)


def _changes(table: pd.DataFrame, *, temperatures: bool, split: str) -> pd.DataFrame:
    rows = one_kind(of_split(table, split), "dataset")
    base, found = rows[rows["variant"] == ""], []
    chosen = rows[(rows["variant"] != "") & (rows["variant"].str.startswith(TEMPERATURE) == temperatures)]
    for (variant, strategy, encoder, layers, heads), own in chosen.groupby(["variant", "strategy", *KEYS], sort=False):
        same = base[(base["strategy"] == strategy) & base["seed"].isin(own["seed"])]
        same = same[(same[KEYS] == [encoder, layers, heads]).all(axis="columns")]
        interval, test = compared(own, same, keys=KEYS)
        found.append({
            "strategy": strategy, "variant": variant, "encoder": encoder, "shape": f"{layers}x{heads}",
            "f1": t_interval(language_average(own)["f1"]), "plain": t_interval(language_average(same)["f1"]),
            "first": same["temperature"].mean(), "difference": interval, "p_value": test.p_value,
        })  # fmt: skip
    return verdicts(found)


def temperatures(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """F1 of one student at each temperature (P1-T6): language averages over seeds, and the change against the first."""
    found = _changes(table, temperatures=True, split=split)
    rows = []
    for (strategy, encoder, shape), own in found.groupby(["strategy", "encoder", "shape"]) if len(found) else ():
        about = {"strategy": strategy, "teacher": encoder, "student": shape}
        first = own.iloc[0]
        rows.append(about | {"temperature": first["first"], "F1": give_or_take(first["plain"], 1),
                             "against the first": "–", "n": first["plain"].n, "p (Holm)": "–"})  # fmt: skip
        rows += [
            about | {
                "temperature": float(row["variant"].removeprefix(TEMPERATURE)),
                "F1": give_or_take(row["f1"], 1),
                "against the first": give_or_take(row["difference"], 1, sign="+"),
                "n": row["difference"].n,
                "p (Holm)": f"{row['p_value']:.3f}",
            }
            for _, row in own.iterrows()
        ]  # fmt: skip
    return pd.DataFrame(rows)


def temperature_in_words(table: pd.DataFrame, *, split: str = "test") -> str:
    """Which temperature is best for each strategy, and whether that is decided."""
    found = _changes(table, temperatures=True, split=split)
    if found.empty:
        return "Other temperatures were not measured."
    sentences = []
    for (strategy, encoder), own in found.groupby(["strategy", "encoder"], sort=False):
        best = own.loc[own["difference"].map(lambda interval: interval.mean).idxmax()]
        said = f"{with_unit(best['difference'], 'points')} against the first, p = {best['p_value']:.3f}"
        place = (
            f"{best['variant']} has the highest mean, {said}"
            if best["difference"].mean > 0
            else f"the first temperature has the highest mean; {best['variant']} comes next, {said}"
        )
        sentences.append(f"{strategy.capitalize()} ({encoder}, {best['shape']}): {place}, {best['verdict']}.")
    return " ".join(sentences) + _reach(found)


def modern(table: pd.DataFrame, *, variant: str = "attention relation", split: str = "test") -> str:
    """The attention relation of MiniLMv2 against plain divergence of logits."""
    found = variants(table, split=split)
    own = found[found["variant"] == variant] if len(found) else found
    if own.empty:
        return f"The {variant} was not measured."
    return " ".join(
        f"{row['strategy'].capitalize()} {row['shape']} of {row['encoder']}: with the {variant} F1 changes by "
        f"{with_unit(row['difference'], 'points')} against plain logits (p = {row['p_value']:.3f}, {row['verdict']})."
        for _, row in own.iterrows()
    )


def _reach(found: pd.DataFrame) -> str:
    return within_reach(max(interval.n for interval in found["difference"]), comparisons=len(found))
