"""What the first paper says of quantization, whether its own tables bear it out, and what we measured beside it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from smaller.findings import quantization, rounding, sizes
from smaller.findings.cells import in_points, row_name, share
from smaller.findings.claims import of_page
from smaller.findings.quantization import REFERENCE
from smaller.findings.words import count_of, name_of
from smaller.published import DIFFERS, NOT_COMPARABLE, published, verdict
from smaller.statistics import AVERAGE, Interval, spearman

TEST_SENTENCES = {"amh": 500, "hau": 552, "ibo": 638, "kin": 605, "lug": 407, "luo": 186, "pcm": 600, "swa": 604,
                  "wol": 539, "yor": 645}  # fmt: skip
"""Sentences in the test splits of MasakhaNER 1.0 (Adelani et al. 2021), on which the paper's times were taken."""


def printed(metric: str) -> pd.DataFrame:
    """What the paper prints as "time" or "f1": languages and their average by dense, dynamic and llm.int8."""
    rows = published(table={"time": "P1-T2", "f1": "P1-T3"}[metric], metric=metric)
    wide = rows.pivot(index="language", columns="row", values="value").rename_axis(None, axis="columns")
    return wide.sort_index(key=lambda codes: codes.map(lambda code: (code != AVERAGE, code)))


def beside_published(table: pd.DataFrame) -> pd.DataFrame:
    """F1 of fp32 and what dynamic quantization and LLM.int8() change, ours beside the printed numbers."""
    ours, theirs = quantization.by_seed(table).groupby("language", sort=False).mean(), printed("f1")
    rows = []
    for language in [language for language in ours.index if language in theirs.index]:
        own, other = ours.loc[language], theirs.loc[language]
        row = {"language": row_name(language), "fp32, ours": own[REFERENCE], "dense, printed": other["dense"]}
        for form in ("dynamic", "llm.int8"):
            row[f"{form}, ours"] = own.get(form, math.nan) - own[REFERENCE]
            row[f"{form}, printed"] = other[form] - other["dense"]
        rows.append(row)
    return pd.DataFrame(rows)


def unit_of_time() -> pd.DataFrame:
    """Do the printed times grow with the number of test sentences, so that they are of a whole split (D12)?

    For each column the correlation (Pearson) with that number, and the milliseconds for a sentence that follow if the
    numbers are seconds for a split.
    """
    theirs = printed("time").drop(index=AVERAGE)
    count = pd.Series(TEST_SENTENCES)[theirs.index]
    rows = []
    for column in theirs:
        each = 1000 * theirs[column] / count
        rows.append({"column": column, "correlation with sentences": float(np.corrcoef(theirs[column], count)[0, 1]),
                     "ms for a sentence, least": each.min(), "ms for a sentence, most": each.max()})  # fmt: skip
    return pd.DataFrame(rows)


def dynamic_loss(table: pd.DataFrame, rounded: pd.DataFrame) -> str:
    """Is the paper's loss by dynamic quantization reproduced? `rounded` is what `rounding.rounded` gives."""
    theirs = printed("f1")
    change = (theirs["dynamic"] - theirs["dense"]).drop(AVERAGE)
    mean, ours = _printed_change("dynamic"), _ours(table, "dynamic")
    trend = spearman(theirs["dense"].drop(AVERAGE), change)
    head = {"agrees": "Reproduced.", "differs": "Not reproduced."}.get(verdict(ours, mean).verdict, "Not decided.")
    text = (
        f"{head} The paper prints a change of F1 by {mean:.2f} points on average, from {change.max():.1f} in "
        f"{name_of(change.idxmax())} to {change.min():.1f} in {name_of(change.idxmin())}; here it is "
        f"{in_points(ours)}. In the paper, languages with a lower dense F1 lose more (rank correlation "
        f"{trend.rho:.2f}, p = {trend.p_value:.3f}, n = {trend.n})."
    )
    whole = rounded[rounded["part"] == "all"].sort_values("bits")
    if len(whole):
        bits, most = rounding.bits_for(rounded, -mean), whole.iloc[-1]
        where = (f"is reached only at {bits:.1f} bits" if not math.isnan(bits)
                 else f"is not reached even at {int(whole['bits'].min())} bits")  # fmt: skip
        text += (
            f" Rounding all weights to {int(most['bits'])} bits changes F1 by {most['mean']:+.2f} points, and a loss "
            f"of {-mean:.1f} {where}, so weights in int8 do not explain the printed loss by themselves."
        )
    return text + (
        " The paper names neither engine nor device for this column; its numbers cannot tell a poor range for the "
        "activations from a fault in how the quantized model was made or run."
    )


def claims(
    table: pd.DataFrame,
    parts: pd.DataFrame,
    exact: pd.DataFrame,
    settings: pd.DataFrame,
    rounded: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Each published claim on quantization with what the paper prints, what we measured, and the verdict.

    `parts` are our sizes, `exact` those computed for the paper's encoder, `rounded` is what `rounding.rounded` gives.
    """
    return of_page(
        dict(zip(("id", "claim", "printed", "measured", "verdict"), row, strict=True))
        for row in [
            _no_loss(table, parts, settings),
            _everywhere(table, settings),
            _size(parts, exact),
            _cast(exact),
            _time(settings),
            _gains(table),
            _dynamic(table),
            _misread(table),
            _unit(settings),
            _devices(settings),
            *([_noise(rounded)] if rounded is not None and len(rounded) else []),
        ]
    )


def _no_loss(table: pd.DataFrame, parts: pd.DataFrame, settings: pd.DataFrame) -> tuple:
    judged = quantization.kept(table)
    keeping = [form for form, word in judged.items() if word == "kept"]
    small, fast = quantization.smallest_and_fastest(keeping, parts, settings)
    words = {"kept": "agrees on F1", "lost": DIFFERS, "open": "not decided on F1"}
    word = words.get(judged.get("llm.int8"), "not measured")
    better = ", ".join(dict.fromkeys(form for form in (small, fast) if form and form != "llm.int8"))
    return ("Q3", "LLM.int8() is the best way to save bytes and time at no loss of F1",
            f"F1 {_printed_change('llm.int8'):+.2f} points", quantization.winners(table, parts, settings),
            word + f"; but {better} saves more" * bool(better))  # fmt: skip


def _everywhere(table: pd.DataFrame, settings: pd.DataFrame) -> tuple:
    f1, time = printed("f1").drop(AVERAGE), printed("time").drop(AVERAGE)
    slower = [name_of(code) for code in time.index[time["llm.int8"] >= time["dynamic"]]]
    better = int((f1["llm.int8"] > f1["dynamic"]).sum())
    text, everywhere = quantization.int8_against_dynamic(table, settings)
    own = f"; the printed time of {', '.join(slower)} contradicts it as well" * bool(slower)
    return ("Q9, D9", "LLM.int8() is better than dynamic quantization in F1, loss and time in all languages",
            f"F1 in {better} of {len(f1)}, time in {len(time) - len(slower)} of {len(time)} (not {', '.join(slower)})",
            text, "not measured" if everywhere is None else "agrees" if everywhere else DIFFERS + own)  # fmt: skip


def _size(parts: pd.DataFrame, exact: pd.DataFrame) -> tuple:
    claimed, computed = sizes.published_reduction(), sizes.saved(exact, "llm.int8")
    return ("Q10", "LLM.int8() makes the model 64 % smaller", share(claimed),
            f"{share(computed)} computed for the paper's encoder; {share(sizes.saved(parts, 'llm.int8'))} here",
            "agrees" if abs(claimed - computed) < 0.005 else DIFFERS)  # fmt: skip


def _cast(exact: pd.DataFrame) -> tuple:
    cast, whole = sizes.saved(exact, "fp16"), sizes.saved(exact, "llm.int8")
    return ("D13", "the saving is due to int8", share(sizes.published_reduction()),
            f"the cast to fp16 alone saves {share(cast)}, int8 adds {100 * (whole - cast):.1f} points",
            "agrees" if whole - cast > cast else DIFFERS)  # fmt: skip


def _time(settings: pd.DataFrame) -> tuple:
    mean = printed("time").loc[AVERAGE]
    ratios = {form: 1 - quantization.reduction_of_time(settings, form) for form in ("llm.int8", "dynamic")}
    text = {form: "not measured" if math.isnan(ratio) else f"{ratio:.2f} times fp32's time"
            for form, ratio in ratios.items()}  # fmt: skip
    return ("Q10", "LLM.int8() makes inference 52.3 % faster",
            f"{share(1 - mean['llm.int8'] / mean['dense'])} (dynamic: {share(1 - mean['dynamic'] / mean['dense'])})",
            f"{text['llm.int8']} (dynamic: {text['dynamic']})",
            f"{NOT_COMPARABLE}: the paper names no device")  # fmt: skip


def _gains(table: pd.DataFrame) -> tuple:
    f1 = printed("f1").drop(AVERAGE)
    gained = (f1["llm.int8"] - f1["dense"])[lambda change: change > 0]
    found = [interval for interval in quantization.by_language(table, "llm.int8").values() if interval.known]
    clear, half = sum(interval.low > 0 for interval in found), [interval.high - interval.mean for interval in found]
    measured = (f"LLM.int8() in {sum(interval.mean > 0 for interval in found)} of {count_of(len(found), 'language')}, "
                f"in {clear} with the whole interval; half an interval is {min(half):.2f} to {max(half):.2f} points"
                if found else "not measured")  # fmt: skip
    word = f"agrees in {clear} of {len(found)}" if clear else f"{DIFFERS}: within the noise"
    return ("D10", "some quantized models outperform the dense one",
            f"LLM.int8() in {count_of(len(gained), 'language')}, by {gained.max():.2f} points at most",
            measured, word if found else "not measured")  # fmt: skip


def _dynamic(table: pd.DataFrame) -> tuple:
    ours, change = _ours(table, "dynamic"), _printed_change("dynamic")
    return ("P1-T3", "dynamic quantization costs 11 points of F1", f"{change:+.2f} points", in_points(ours),
            verdict(ours, change).verdict)  # fmt: skip


def _misread(table: pd.DataFrame) -> tuple:
    claimed = published(table="claims", row="quantization: F1 lost by LLM.int8()")["value"].iloc[0]
    dense, change = printed("f1").loc[AVERAGE, "dense"], _printed_change("llm.int8")
    return ("D11", "LLM.int8() costs 4.7 % of F1 (a review of the paper)",
            f"{claimed:g} %; the paper's table: {change:+.3f} points, {-100 * change / dense:.2f} %",
            in_points(_ours(table, "llm.int8")), f"{DIFFERS}: misread from the paper's own table")  # fmt: skip


def _unit(settings: pd.DataFrame) -> tuple:
    found = unit_of_time().set_index("column").loc["llm.int8"]
    own = settings[(settings["form"] == "llm.int8") & (settings["batch"] == 1) & (settings["threads"] == 1)]
    ours = (f"here {own['milliseconds'].mean():.1f} ms for a sentence, {own['seconds_per_split'].mean():.1f} s for a "
            "test split" if len(own) else "not measured")  # fmt: skip
    return ("D12", "times are milliseconds",
            f"they correlate by {found['correlation with sentences']:.2f} with the number of test sentences; as "
            f"seconds for a split they are {found['ms for a sentence, least']:.0f} to "
            f"{found['ms for a sentence, most']:.0f} ms for a sentence",
            ours, f"{DIFFERS}: seconds for a split")  # fmt: skip


def _devices(settings: pd.DataFrame) -> tuple:
    return ("D14", "one column of times compares all methods",
            "dynamic quantization ran on processors only, LLM.int8() on GPUs only at that time",
            f"all forms on one device: {settings['device'].iloc[0]}", NOT_COMPARABLE)  # fmt: skip


def _noise(rounded: pd.DataFrame, *, points: float = 2.0) -> tuple:
    """Where the noise of rounding begins to matter: agreed to at eight bits, and broken at fewer."""
    whole = rounded[rounded["part"] == "all"]
    most = whole.loc[whole["bits"].idxmax()]
    bits = rounding.bits_for(rounded, points)
    end = f"and breaks at {bits:.1f} bits" if not math.isnan(bits) else f"down to {int(whole['bits'].min())} bits"
    word = f"agrees at {int(most['bits'])} bits, {end} ({points:g} points lost)" if most["mean"] > -points else DIFFERS
    return ("M3", "The noise of quantization does not matter, until bits are too few (T23)",
            "the limit was not tested", rounding.where_it_hurts(rounded), word)  # fmt: skip


def _ours(table: pd.DataFrame, form: str) -> Interval:
    return quantization.average_differences(table).get(form, Interval(math.nan, math.nan, math.nan, 0))


def _printed_change(form: str) -> float:
    mean = printed("f1").loc[AVERAGE]
    return float(mean[form] - mean["dense"])
