"""Answers on quantization: F1, loss and time of every form of a model, against fp32.

`table` is the tidy table of one encoder with one recipe for each form, language and seed; rows of pruned models and of
rounded weights are left out where they do not belong. `settings` is the table of `timing.settings_table`, of one
device; `parts` are sizes as `findings.sizes` gives them.
"""

from __future__ import annotations

import math

import pandas as pd

from smaller.errors import SmallerError
from smaller.findings import sizes
from smaller.findings.cells import best, give_or_take, in_points, one_or_span, row_name, share
from smaller.findings.words import count_of, name_of
from smaller.forms import FORMS
from smaller.statistics import AVERAGE, Interval, of_split, one_kind, paired_difference, t_interval

REFERENCE = sizes.REFERENCE
NAMES = {"dynamic": "Dynamic quantization", "llm.int8": "LLM.int8()", "onnx-int8": "The int8 graph (onnx-int8)",
         "openvino-int8": "The static int8 graph (openvino-int8)", "fp16": "The cast to fp16"}  # fmt: skip
MARGIN = 0.5
"""A form keeps F1 when the whole interval of its difference to fp32 lies above minus this, in points."""


def by_seed(table: pd.DataFrame, *, of: str = "f1", split: str = "test") -> pd.DataFrame:
    """A row for each language and seed, a column for each form; first the averages, of seeds with all languages."""
    rows = one_kind(of_split(table, split), "dataset", "encoder")
    rows = rows[rows["form"].isin(FORMS) & rows["bits"].isna() & (rows["sparsity"] == 0)]
    twice = rows[rows.duplicated(["language", "seed", "form"])]
    if len(twice):
        raise SmallerError(f"The table holds two recipes of one form, language and seed, such as "
                           f"{twice['label'].iloc[0]}: filter it first.")  # fmt: skip
    if REFERENCE not in set(rows["form"]):
        raise SmallerError(f"There is no run in the form {REFERENCE} to compare with: add it to the forms.")
    wide = rows.pivot(index=["language", "seed"], columns="form", values=of)
    wide = wide[[form for form in FORMS if form in wide]]
    languages = sorted(rows["language"].unique(), key=name_of)
    wide = wide.loc[languages]
    if len(languages) == 1:
        return wide
    apart = wide.unstack("language")
    average = pd.DataFrame({form: apart[form].mean(axis="columns", skipna=False) for form in wide})
    return pd.concat([pd.concat({AVERAGE: average}, names=["language"]), wide])


def scores(table: pd.DataFrame, *, of: str = "f1", decimals: int = 1, split: str = "test") -> pd.DataFrame:
    """Language by form: mean over seeds and half its t interval; the best of each row stands between asterisks."""
    rows = []
    for language, own in by_seed(table, of=of, split=split).groupby("language", sort=False):
        found = {form: t_interval(own[form]) for form in own}
        means = {form: round(interval.mean, decimals) for form, interval in found.items() if interval.n}
        first = (max if of == "f1" else min)(means.values())
        cells = {form: best(give_or_take(interval, decimals), of_row=means.get(form) == first)
                 for form, interval in found.items()}  # fmt: skip
        rows.append({"language": row_name(language)} | cells | {"n": one_or_span(own.n for own in found.values())})
    return pd.DataFrame(rows)


def differences(table: pd.DataFrame, *, of: str = "f1", decimals: int = 2, split: str = "test") -> pd.DataFrame:
    """Language by form: the paired difference to fp32, seed by seed, with half its t interval; n counts the pairs."""
    rows = []
    for language, own in by_seed(table, of=of, split=split).groupby("language", sort=False):
        found = _to_reference(own)
        cells = {form: give_or_take(interval, decimals, sign="+") for form, interval in found.items()}
        rows.append({"language": row_name(language)} | cells | {"n": one_or_span(own.n for own in found.values())})
    return pd.DataFrame(rows)


def average_differences(table: pd.DataFrame, *, of: str = "f1", split: str = "test") -> dict[str, Interval]:
    """For each form but fp32 the paired difference to fp32, averaged over the languages; pairs are seeds."""
    return _to_reference(_first(by_seed(table, of=of, split=split)))


def _first(wide: pd.DataFrame) -> pd.DataFrame:
    """The rows of the average, or of the only language."""
    return wide.loc[[wide.index[0][0]]]


def _languages(wide: pd.DataFrame) -> pd.DataFrame:
    """The rows of single languages."""
    return wide.drop(AVERAGE, level="language", errors="ignore")


def _to_reference(own: pd.DataFrame) -> dict[str, Interval]:
    return {form: paired_difference(own[form], own[REFERENCE]) for form in own if form != REFERENCE}


def times(settings: pd.DataFrame, *, of: str = "milliseconds", batch: int = 1, threads: int = 1) -> pd.DataFrame:
    """Language by form on one device, in one setting, with the noise floor in per cent.

    `of` is milliseconds (for a sentence), sentences_per_second or seconds_per_split.
    """
    rows = _setting(settings, batch=batch, threads=threads)
    wide = _by_language(rows, of)
    wide["noise floor (%)"] = 100 * _floors(rows)
    if len(wide) > 1:
        wide = pd.concat([wide.mean().to_frame(AVERAGE).T, wide])
        wide.loc[AVERAGE, "noise floor (%)"] = 100 * _floors(rows).max()
    return wide.rename(row_name).rename_axis("language").reset_index()


def time_ratios(settings: pd.DataFrame, *, batch: int = 1, threads: int = 1) -> pd.DataFrame:
    """For each form its time over fp32's: `ratio`, a mean over `languages`.

    `faster` and `slower` count the languages where it leaves the noise floor.
    """
    rows = _setting(settings, batch=batch, threads=threads)
    wide, floors = _by_language(rows, "milliseconds"), _floors(rows)
    if REFERENCE not in wide:
        raise SmallerError(f"The form {REFERENCE} was not timed: add it to the forms.")
    ratio = wide.div(wide[REFERENCE], axis="index").drop(columns=REFERENCE)
    return pd.DataFrame({
        "ratio": ratio.mean(),
        "faster": ratio.lt(1 / (1 + floors), axis="index").sum(),
        "slower": ratio.gt(1 + floors, axis="index").sum(),
        "languages": ratio.notna().sum(),
    })  # fmt: skip


def faster(settings: pd.DataFrame) -> str:
    """Which forms are faster or slower than fp32 beyond the noise floor in every language, one sentence at a time."""
    ratios = time_ratios(settings)
    found = {word: ", ".join(ratios.index[ratios[word] == ratios["languages"]]) for word in ("faster", "slower")}
    floor = _floors(_setting(settings, batch=1, threads=1)).max()
    said = [f"{word} than fp32 in every language: {forms}" for word, forms in found.items() if forms]
    return (
        f"Beyond the noise floor of {share(floor)}, " + ("; ".join(said) or "none is faster or slower throughout") + "."
    )


def all_settings(settings: pd.DataFrame) -> pd.DataFrame:
    """A row for each form, batch size and number of threads: means over the languages; memory where it was measured."""
    numbers = ["milliseconds", "milliseconds_low", "milliseconds_high", "sentences_per_second", "noise_floor",
               "memory_bytes"]  # fmt: skip
    found = one_kind(settings, "device").groupby(["threads", "batch", "form"])[numbers].mean()
    found = found.sort_index(key=lambda level: level.map(list(FORMS).index) if level.name == "form" else level)
    base = found["milliseconds"].xs(REFERENCE, level="form")
    rounds = zip(found["milliseconds_low"], found["milliseconds_high"], strict=True)
    return pd.DataFrame({
        "ms": found["milliseconds"],
        "rounds": [f"{low:.2f} to {high:.2f}" for low, high in rounds],
        "of fp32": found["milliseconds"] / found.index.droplevel("form").map(base),
        "sentences/s": found["sentences_per_second"],
        "noise floor (%)": 100 * found["noise_floor"],
        "memory (MB)": found["memory_bytes"] / 1e6,
    }).reset_index()  # fmt: skip


def _setting(settings: pd.DataFrame, *, batch: int, threads: int) -> pd.DataFrame:
    rows = settings[(settings["batch"] == batch) & (settings["threads"] == threads)]
    if rows.empty:
        raise SmallerError(f"No time was measured at batch {batch} on {count_of(threads, 'thread')}.")
    return one_kind(rows, "device")


def _by_language(rows: pd.DataFrame, of: str) -> pd.DataFrame:
    wide = rows.pivot(index="language", columns="form", values=of)
    return wide.loc[sorted(wide.index, key=name_of), [form for form in FORMS if form in wide]]


def _floors(rows: pd.DataFrame) -> pd.Series:
    return rows.groupby("language")["noise_floor"].max()


def kept(table: pd.DataFrame, *, margin: float = MARGIN) -> dict[str, str]:
    """For each form but fp32 whether F1 is "kept", "lost" or "open", by the interval of the averaged paired difference.

    Kept: it lies above minus `margin`. Lost: it lies below zero and reaches below minus `margin`. Open: it is too wide
    to tell, or there is none.
    """
    return {form: _judged(interval, margin) for form, interval in average_differences(table).items()}


def _judged(interval: Interval, margin: float) -> str:
    if not interval.known:
        return "open"
    return "kept" if interval.low > -margin else "lost" if interval.high < 0 else "open"


def summary(table: pd.DataFrame, parts: pd.DataFrame, settings: pd.DataFrame) -> str:
    """What the int8 forms and fp16, which they have to beat, save and cost: a sentence each."""
    f1, time = average_differences(table), time_ratios(settings)["ratio"]
    sentences = []
    for form in [form for form in NAMES if form in f1 and form in time]:
        sentences.append(
            f"{NAMES[form]} saves {share(sizes.saved(parts, form))} of fp32's bytes{_against_fp16(parts, form)}, takes "
            f"{time[form]:.2f} times its time and changes F1 by {f1[form].mean:+.2f} points."
        )
    if "onnx" in time and "onnx-int8" in time:
        sentences.append(f"ONNX Runtime takes {time['onnx']:.2f} times fp32's time without any int8.")
    return " ".join(sentences) + f" Times are of one sentence at a time on one thread ({settings['device'].iloc[0]})."


def _against_fp16(parts: pd.DataFrame, form: str) -> str:
    saved = sizes.saved(parts, form, base="fp16")
    if form == "fp16" or math.isnan(saved):
        return ""
    return f" ({share(abs(saved))} {'fewer' if saved > 0 else 'more'} than fp16)"


def winners(table: pd.DataFrame, parts: pd.DataFrame, settings: pd.DataFrame, *, margin: float = MARGIN) -> str:
    """The smallest and the fastest form that keeps F1 (paper 1, Q3)."""
    judged = kept(table, margin=margin)
    found = {word: [form for form in judged if judged[form] == word] for word in ("kept", "lost", "open")}
    sentences = [f"F1 is kept by {', '.join(found['kept']) or 'no form'} (the interval of its change lies above "
                 f"-{margin:g} points)."]  # fmt: skip
    sentences += [f"It is lost by {', '.join(found['lost'])}."] if found["lost"] else []
    sentences += [f"The interval does not decide for {', '.join(found['open'])}."] if found["open"] else []
    small, fast = smallest_and_fastest(found["kept"], parts, settings)
    if small:
        sentences.append(f"The smallest that keeps it is {small}, {share(sizes.saved(parts, small))} below fp32.")
    if fast:
        ratio = time_ratios(settings)["ratio"][fast]
        sentences.append(f"The fastest is {fast}, at {ratio:.2f} times fp32's time.")
    return " ".join(sentences)


def smallest_and_fastest(forms: list[str], parts: pd.DataFrame, settings: pd.DataFrame) -> tuple[str, str]:
    """The form with the fewest bytes and the one with the least time; the empty string where none was measured."""
    total, time = parts.groupby("form")["bytes"].sum(), time_ratios(settings)["ratio"]
    sized, timed = [form for form in forms if form in total], [form for form in forms if form in time]
    return (min(sized, key=total.get) if sized else "", min(timed, key=time.get) if timed else "")


def int8_against_dynamic(table: pd.DataFrame, settings: pd.DataFrame) -> tuple[str, bool | None]:
    """In how many languages LLM.int8() beats dynamic quantization in F1, loss and time (paper 1, Q9), and if in all.

    A time is better only beyond the noise floor. None where one of the two was not measured.
    """
    rows = _setting(settings, batch=1, threads=1)
    time, floors = _by_language(rows, "milliseconds"), _floors(rows)
    f1, loss = (_languages(by_seed(table, of=of)).groupby("language").mean() for of in ("f1", "loss"))
    if any(form not in wide for wide in (f1, loss, time) for form in ("llm.int8", "dynamic")):
        return "LLM.int8() and dynamic quantization were not both measured.", None
    ahead = {
        "F1": f1["llm.int8"] > f1["dynamic"],
        "loss": loss["llm.int8"] < loss["dynamic"],
        "time": time["llm.int8"] * (1 + floors) < time["dynamic"],
    }
    average = _first(by_seed(table))
    gap = paired_difference(average["llm.int8"], average["dynamic"])
    counts = ", ".join(f"{name} in {int(won.sum())} of {len(won)}" for name, won in ahead.items())
    text = f"LLM.int8() is better than dynamic quantization in {counts} languages; F1 differs by {in_points(gap)}."
    return text, all(bool(won.all()) for won in ahead.values())


def by_language(table: pd.DataFrame, form: str) -> dict[str, Interval]:
    """The paired difference of a form's F1 to fp32 in each language, where it was measured."""
    found = {code: _to_reference(own).get(form) for code, own in _languages(by_seed(table)).groupby("language")}
    return {code: interval for code, interval in found.items() if interval and interval.n}


def after_pruning(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Quantization of a pruned model: what each step alone does to F1, what both do, and how far that is from the sum.

    Pairs are languages and seeds. Sizes are compressed, since zeros weigh nothing there.
    """
    rows = one_kind(of_split(table, split), "dataset", "encoder")
    rows = rows[rows["form"].isin(FORMS) & rows["bits"].isna()]
    f1 = rows.pivot(index=["language", "seed"], columns=["sparsity", "form"], values="f1")
    packed = rows.groupby(["sparsity", "form"])["compressed_bytes"].mean() / 1e6
    lines = []
    for sparsity, form in [key for key in f1 if key[0] > 0 and key[1] != REFERENCE]:
        if (0.0, form) in f1 and (sparsity, REFERENCE) in f1:
            plain = f1[0.0, REFERENCE]
            quantized, pruned, both = f1[0.0, form] - plain, f1[sparsity, REFERENCE] - plain, f1[sparsity, form] - plain
            found = {"quantized": quantized, "pruned": pruned, "both": both, "both − sum": both - quantized - pruned}
            intervals = {name: t_interval(values) for name, values in found.items()}
            lines.append(
                {"form": form, "sparsity (%)": round(100 * sparsity)}
                | {name: give_or_take(interval, 2, sign="+") for name, interval in intervals.items()}
                | {"n": one_or_span(interval.n for interval in intervals.values()),
                   "quantized (MB)": packed[0.0, form], "both (MB)": packed[sparsity, form]}
            )  # fmt: skip
    return pd.DataFrame(lines)


def reduction_of_time(settings: pd.DataFrame, form: str) -> float:
    """The share of fp32's time that a form saves; negative where it is slower, NaN where it was not timed."""
    return 1 - time_ratios(settings)["ratio"].get(form, math.nan)
