"""What the first paper prints on quantization, and what a page says of each of its claims."""

import math
from dataclasses import replace

import pandas as pd

from smaller.analysis.comparison import AGREES, NOT_COMPARABLE, NOT_DECIDED, clarity, made, paired
from smaller.analysis.findings import quantization
from smaller.analysis.findings.finding import Finding, missing
from smaller.analysis.statistics import AVERAGE, Interval, spearman
from smaller.base.words import count_of
from smaller.data.languages import name_of
from smaller.data.published import published


def printed(metric: str) -> pd.DataFrame:
    """What the paper prints as "time" or "f1": the average and the languages by dense, dynamic and llm.int8."""
    rows = published(table={"time": "P1-T2", "f1": "P1-T3"}[metric], metric=metric)
    wide = rows.pivot(index="language", columns="row", values="value").rename_axis(None, axis="columns")
    return wide.sort_index(key=lambda codes: codes.map(lambda code: (code != AVERAGE, code)))


def beside_published(table: pd.DataFrame) -> pd.DataFrame:
    """F1 of fp32, and what dynamic quantization and LLM.int8() change: ours beside the print on the same languages."""
    ours = quantization.scores(table)[["language", "fp32"]].merge(quantization.differences(table), on="language")
    theirs = printed("f1").drop(index=AVERAGE).rename(index=name_of)
    theirs.loc["Average"] = theirs.reindex(ours["language"].drop(0)).mean(skipna=False)
    theirs = theirs.sub(theirs["dense"], axis="index").assign(dense=theirs["dense"]).add_suffix(", printed")
    ours = ours.set_index("language").filter(["fp32", "dynamic", "llm.int8"]).add_suffix(", ours")
    return ours.join(theirs, how="inner").reset_index()


def unit_of_time() -> pd.DataFrame:
    """Do printed times correlate with the number of MasakhaNER's test sentences, as seconds for a split do (D12)?"""
    theirs = printed("time").drop(index=AVERAGE)
    count = published(table="splits", row="test").set_index("language")["value"][theirs.index]
    each = 1000 * theirs.div(count, axis="index")
    told = {"correlation with sentences": theirs.corrwith(count)}
    told |= {"ms for a sentence, least": each.min(), "ms for a sentence, most": each.max()}
    return pd.DataFrame(told).rename_axis("column").reset_index()


def explained(parts: pd.DataFrame) -> Finding:
    """How much of what LLM.int8() saves in AfriBERTa-large is due to int8, in per cent (paper 1, Q10 and D13)."""
    total = parts.groupby("form")["bytes"].sum()
    cast, whole = 100 * (1 - total[["fp16", "llm.int8"]] / total["fp32"])
    told = f"LLM.int8() saves {whole:.1f} % of the bytes of AfriBERTa-large, and the cast to fp16 alone {cast:.1f} %."
    return Finding(told, quantity=100 * (whole - cast) / whole, values={"cast": cast, "whole": whole})


def dynamic_loss(table: pd.DataFrame) -> Finding:
    """Is the paper's loss by dynamic quantization reproduced, in the languages that were measured here?"""
    found, theirs = quantization.against_fp32(table)["comparison"], printed("f1")
    if "dynamic" not in found or not found["dynamic"].interval.n:
        return missing("Dynamically quantized models")
    one, change = found["dynamic"], theirs["dynamic"] - theirs["dense"]
    trend = spearman(theirs["dense"].drop(AVERAGE), change.drop(AVERAGE))
    mean, ours = change.reindex(one.languages).mean(skipna=False), one.interval
    rank = f"rank correlation {trend.rho:.2f}, p = {trend.p_value:.3f}, n = {trend.n}"
    text = f"In the paper, languages with a lower dense F1 lose more ({rank})."
    verb = one.words("raises", "lowers", "keeps", "is not shown to change")
    changed = f"Dynamic quantization {verb} F1: the difference is {one}."
    if math.isnan(mean):
        told = "The paper prints no number for one of these languages."
        return Finding(f"{changed} {told}", text, verdict=NOT_COMPARABLE)
    inside = ours.low <= mean <= ours.high
    told = f"Its interval {'holds' if inside else 'excludes'}" if ours.known else "No interval excludes"
    return Finding(
        f"{changed} {told} the {mean:.2f} points that the paper prints for "
        f"{'this language' if len(one.languages) == 1 else 'these languages'}.",
        text,
        quantity=Interval(ours.mean - mean, ours.low - mean, ours.high - mean, ours.n),
        values={"change": one, "printed": mean, "inside": inside},
    )


def gains(table: pd.DataFrame) -> Finding:
    """Does LLM.int8() raise F1 in some language (paper 1, D10)? The quantity is the language most in favour of it."""
    rows = quantization.plain(table)
    ours, theirs = (rows[rows["form"] == form] for form in ("llm.int8", quantization.REFERENCE))
    found = made(paired(ours, theirs, by=["language"]))["comparison"]
    if found.empty:
        return missing("LLM.int8() models")
    words = [one.bears_out("more") for one in found]
    return Finding(
        f"A gain in F1 by LLM.int8() is shown in {words.count(AGREES) or 'none'} of "
        f"{count_of(len(found), 'language')}, and not decided in {words.count(NOT_DECIDED) or 'none'}.",
        quantity=max(found, key=clarity("more")),
    )


def claims(
    table: pd.DataFrame, parts: pd.DataFrame, exact: pd.DataFrame, settings: pd.DataFrame, rounded: pd.DataFrame
) -> dict[str, Finding | list[Finding]]:
    """What this page says of each claim on quantization; `parts` are our sizes, `exact` the paper's encoder's."""
    f1, time = printed("f1").loc[AVERAGE], printed("time").drop(AVERAGE)
    unit = unit_of_time().set_index("column")
    slower = time.index[time["llm.int8"] >= time["dynamic"]]
    names, faster = ", ".join(map(name_of, slower)), 100 * (1 - len(slower) / len(time))
    device, lost = settings["device"].iloc[0], 100 * (f1["llm.int8"] / f1["dense"] - 1)
    due, (ratios, _, counted) = explained(exact), quantization.time_ratios(settings)
    here = missing("Times of LLM.int8()")
    if "llm.int8" in ratios:
        told = f"On this device LLM.int8() takes {ratios['llm.int8'].mean():.2f} times the time of fp32 {counted}; "
        here = Finding(told + "the paper names no device.", verdict=NOT_COMPARABLE)
    return {
        "Q3": quantization.best(table, parts, settings),
        "Q9": quantization.against_dynamic(table, settings),
        "D9": Finding(f"The printed time of LLM.int8() is longer in {names}.", quantity=faster),
        "Q10": [replace(due, quantity=due.values["whole"]), here],
        "D10": gains(table),
        "D11": Finding(f"In the paper's own table, LLM.int8() changes F1 by {lost:.2f} %.", quantity=lost),
        "D12": Finding(
            f"Over {len(time)} languages, printed times grow with the number of test sentences, as times of a split do "
            f"(correlation {', '.join(f'{name} {one:.2f}' for name, one in unit['correlation with sentences'].items())}"
            f"). In seconds they are {unit['ms for a sentence, least'].min():.0f} to "
            f"{unit['ms for a sentence, most'].max():.0f} ms for a sentence; in milliseconds a thousandth of that."
        ),
        "D13": due,
        "D14": Finding(f"Here all formats ran on one device ({device}); the paper names none.", verdict=NOT_COMPARABLE),
        "P1-T3": dynamic_loss(table),
        "M3": quantization.sensitivity(rounded),
    }
