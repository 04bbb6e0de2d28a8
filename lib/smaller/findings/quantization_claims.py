"""What the first paper prints on quantization, and what a page says of each of its claims."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from smaller.comparison import AGREES, NOT_COMPARABLE, NOT_DECIDED
from smaller.findings import quantization, rounding, sizes
from smaller.findings.finding import Finding, missing
from smaller.findings.words import count_of, name_of
from smaller.published import published
from smaller.statistics import AVERAGE, spearman

TEST_SENTENCES = {"amh": 500, "hau": 552, "ibo": 638, "kin": 605, "lug": 407, "luo": 186, "pcm": 600, "swa": 604,
                  "wol": 539, "yor": 645}  # fmt: skip
"""Sentences in the test splits of MasakhaNER 1.0 (Adelani et al. 2021), on which the paper's times were taken."""


def printed(metric: str) -> pd.DataFrame:
    """What the paper prints as "time" or "f1": the average and the languages by dense, dynamic and llm.int8."""
    rows = published(table={"time": "P1-T2", "f1": "P1-T3"}[metric], metric=metric)
    wide = rows.pivot(index="language", columns="row", values="value").rename_axis(None, axis="columns")
    return wide.sort_index(key=lambda codes: codes.map(lambda code: (code != AVERAGE, code)))


def beside_published(table: pd.DataFrame) -> pd.DataFrame:
    """F1 of fp32, and what dynamic quantization and LLM.int8() change: ours beside the printed numbers."""
    f1, change = quantization.scores(table), quantization.differences(table)
    theirs = printed("f1").rename(index=lambda code: "Average" if code == AVERAGE else name_of(code))
    theirs = theirs.reindex(f1["language"])
    columns = {"language": f1["language"], "fp32, ours": f1["fp32"], "dense, printed": theirs["dense"].to_numpy()}
    for form in (form for form in ("dynamic", "llm.int8") if form in change):
        columns[f"{form}, ours"] = change[form]
        columns[f"{form}, printed"] = (theirs[form] - theirs["dense"]).to_numpy()
    return pd.DataFrame(columns).dropna(subset="dense, printed", ignore_index=True)


def unit_of_time() -> pd.DataFrame:
    """Do the printed times grow with the number of test sentences, so that they are of a whole split (D12)?

    For each column the correlation (Pearson) with that number, and the milliseconds for a sentence that follow if the
    numbers are seconds for a split.
    """
    theirs = printed("time").drop(index=AVERAGE)
    count = pd.Series(TEST_SENTENCES)[theirs.index]
    each = 1000 * theirs.div(count, axis="index")
    return pd.DataFrame({
        "correlation with sentences": theirs.apply(lambda own: float(np.corrcoef(own, count)[0, 1])),
        "ms for a sentence, least": each.min(), "ms for a sentence, most": each.max(),
    }).rename_axis("column").reset_index()  # fmt: skip


def dynamic_loss(table: pd.DataFrame) -> Finding:
    """Is the paper's loss by dynamic quantization reproduced?"""
    theirs = printed("f1")
    change = theirs["dynamic"] - theirs["dense"]
    mean, change = change[AVERAGE], change.drop(AVERAGE)
    trend = spearman(theirs["dense"].drop(AVERAGE), change)
    ours = quantization.against_fp32(table)
    if "dynamic" not in ours:
        return missing("Dynamically quantized models")
    one = ours["dynamic"]
    inside = one.interval.low <= mean <= one.interval.high
    told = ("and one seed decides nothing" if not one.interval.known else
            f"which the interval {'holds' if inside else 'excludes'}")  # fmt: skip
    return Finding(
        f"Dynamic quantization changes F1 by {one}; the paper prints {mean:.2f} points, {told}.",
        f"The printed changes range from {change.max():.1f} in {name_of(change.idxmax())} to {change.min():.1f} in "
        f"{name_of(change.idxmin())}. Languages with a lower printed dense F1 lose more (rank correlation "
        f"{trend.rho:.2f}, p = {trend.p_value:.3f}, n = {trend.n}). The paper names neither engine nor device.",
        quantity=one, values={"printed": mean, "inside": inside},
    )  # fmt: skip


def claims(
    table: pd.DataFrame, parts: pd.DataFrame, exact: pd.DataFrame, settings: pd.DataFrame, rounded: pd.DataFrame
) -> dict[str, Finding | list[Finding]]:
    """What this page says of each claim on quantization.

    `parts` are our sizes, `exact` those computed for the paper's encoder, `rounded` is what `rounding.rounded` gives.
    """
    f1, time = (printed(metric).drop(AVERAGE) for metric in ("f1", "time"))
    slower = [name_of(code) for code in time.index[time["llm.int8"] >= time["dynamic"]]]
    relative = 100 * (printed("f1").loc[AVERAGE, "llm.int8"] / printed("f1").loc[AVERAGE, "dense"] - 1)
    unit = unit_of_time().set_index("column").loc["llm.int8"]
    due, ratio = sizes.explained(exact, encoder="AfriBERTa-large"), quantization.time_ratios(settings)["ratio"]
    took = [f"{form} takes {ratio[form]:.2f} times" for form in ("llm.int8", "dynamic") if form in ratio]
    return {
        "Q3": quantization.best(table, parts, settings),
        "Q9": quantization.against_dynamic(table, settings),
        "D9": Finding(f"The printed time of LLM.int8() is the longer one in {', '.join(slower)}.",
                      quantity=100 * (1 - len(slower) / len(time))),
        "Q10": [
            replace(due, quantity=due.values["whole"]),
            Finding(f"On this device {' and '.join(took)} the time of fp32; the paper names no device.",
                    verdict=NOT_COMPARABLE) if took else missing("Times of both formats"),
        ],
        "D10": gains(table),
        "D11": Finding(f"In the paper's own table, LLM.int8() changes F1 by {relative:.2f} %.", quantity=relative),
        "D12": Finding(f"The printed times correlate by {unit['correlation with sentences']:.2f} with the number of "
                       "test sentences, as seconds for a whole split do.",
                       f"As such they are {unit['ms for a sentence, least']:.0f} to "
                       f"{unit['ms for a sentence, most']:.0f} ms for a sentence."),
        "D13": due,
        "D14": Finding(f"Here all formats ran on one device ({settings['device'].iloc[0]}); the paper's did not.",
                       verdict=NOT_COMPARABLE),
        "P1-T3": dynamic_loss(table),
        "M3": rounding.sensitivity(rounded),
    }  # fmt: skip


def gains(table: pd.DataFrame) -> Finding:
    """Does LLM.int8() raise F1 in some language (paper 1, D10)? The quantity is the language most in favour of it."""
    rows = quantization.plain(table)
    ours, whole = (rows[rows["form"] == form] for form in ("llm.int8", quantization.REFERENCE))
    if ours.empty:
        return missing("LLM.int8() models")
    found = quantization.by_language(ours, whole)
    words = [one.bears_out("more") for one in found]
    # One gain bears the claim out; no gain refutes it only where every language is decided.
    one = found.iloc[words.index(next(word for word in (AGREES, NOT_DECIDED, words[0]) if word in words))]
    return Finding(
        f"A gain in F1 by LLM.int8() is shown in {words.count(AGREES)} of {count_of(len(found), 'language')}, and not "
        f"decided in {words.count(NOT_DECIDED)}.",
        "; ".join(f"{name_of(code)}: {comparison} ({comparison.verdict})" for code, comparison in found.items()) + ".",
        quantity=one, values={"words": words},
    )  # fmt: skip
