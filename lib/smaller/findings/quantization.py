"""What quantization saves and costs: F1, loss, bytes and time of every format of a model, against fp32.

`table` is the tidy table of one encoder with one recipe for each format, language and seed; its column `form` names the
format, and rows of pruned models and of rounded weights are left out where they do not belong. `settings` is the table
of `timing.settings_table`, of one device; `parts` are sizes as `findings.sizes` gives them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from smaller.comparison import AGREES, DIFFERS, MARGIN, NOT_DECIDED, corrected, paired
from smaller.errors import SmallerError
from smaller.findings import sizes
from smaller.findings.finding import Finding, missing
from smaller.findings.words import count_of, name_of
from smaller.forms import FORMS
from smaller.statistics import Interval, of_split, one_kind, t_interval

REFERENCE = sizes.REFERENCE


def plain(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """The rows that are compared: one for each format, language and seed, of whole models with weights as they are.

    Raises SmallerError where fp32 is missing, or two recipes have one format, language and seed.
    """
    rows = one_kind(of_split(table, split), "dataset", "encoder")
    rows = rows[rows["form"].isin(FORMS) & rows["bits"].isna() & (rows["sparsity"] == 0)]
    twice = rows[rows.duplicated(["language", "seed", "form"])]
    if len(twice):
        raise SmallerError(f"The table holds two recipes of one format, language and seed, such as "
                           f"{twice['label'].iloc[0]}: filter it first.")  # fmt: skip
    if REFERENCE not in set(rows["form"]):
        raise SmallerError(f"There is no run in the format {REFERENCE} to compare with: add it to the formats.")
    return rows


def against_fp32(table: pd.DataFrame, *, of: str = "f1", split: str = "test") -> pd.Series:
    """The comparison of each other format with fp32, seed by seed, averaged over the languages of the table."""
    rows = plain(table, split=split)
    whole = rows["form"] == REFERENCE
    found = paired(rows[~whole], rows[whole], by=["form"], value=of, one_for_all=True)
    return found.set_index("form")["comparison"].sort_index(key=lambda forms: forms.map(list(FORMS).index))


def by_language(first: pd.DataFrame, second: pd.DataFrame, *, value: str = "f1") -> pd.Series:
    """The comparison of two selections in each language, by its code, with p values corrected for all of them."""
    found = [paired(own, second[second["language"] == code], value=value).assign(language=code)
             for code, own in first.groupby("language")]  # fmt: skip
    return corrected(pd.concat(found)).set_index("language")["comparison"]


def seed_means(rows: pd.DataFrame, columns: str | list[str], *, of: str = "f1") -> pd.DataFrame:
    """A row for each seed, a column for each value of `columns`: means over the languages, NaN where one is missing."""
    count = rows["language"].nunique()
    wide = rows.pivot(index=["language", "seed"], columns=columns, values=of)
    return wide.groupby("seed").sum(min_count=count) / count


def changes(rows: pd.DataFrame, whole: pd.DataFrame, by: str | list[str] = "form") -> pd.DataFrame:
    """The differences to fp32 that a comparison is made of, averaged over languages: columns seed, `by` and change."""
    wide = seed_means(rows, by).sub(seed_means(whole, "form")[REFERENCE], axis="index")
    return wide.melt(value_name="change", ignore_index=False).reset_index().dropna(subset="change")


def scores(table: pd.DataFrame, *, of: str = "f1", decimals: int = 1, split: str = "test") -> pd.DataFrame:
    """Language by format: mean over seeds with its t interval, the average over languages first.

    The best mean of each row is marked as bold, as are all that print the same with `decimals` places.
    """
    found = _table({name: seed_means(own, "form", of=of).apply(t_interval)
                    for name, own in _groups(plain(table, split=split)).items()})  # fmt: skip
    means = found.drop(columns="language").map(lambda cell: round(cell.mean, decimals))
    best = means.eq(means.max(axis="columns") if of == "f1" else means.min(axis="columns"), axis="index")
    found.attrs["bold"] = {place for place, is_best in best.stack().items() if is_best}
    return found


def differences(table: pd.DataFrame, *, of: str = "f1", split: str = "test") -> pd.DataFrame:
    """Language by format: the comparison with fp32, the average over languages first; of a loss, its interval alone.

    The margin of a verdict is one of points of F1. P values are corrected over the formats of a row.
    """
    found = {name: against_fp32(own, of=of, split=split) for name, own in _groups(plain(table, split=split)).items()}
    return _table(found if of == "f1" else {name: own.map(lambda one: one.interval) for name, own in found.items()})


def _groups(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows by the name of their language; of several languages, all of them come first, as their average."""
    languages = {name_of(code): own for code, own in rows.groupby("language")}
    return ({"Average": rows} if len(languages) > 1 else {}) | dict(sorted(languages.items()))


def _table(found: Mapping[str, pd.Series]) -> pd.DataFrame:
    wide = pd.DataFrame(found).T.rename_axis(index="language", columns=None)
    return wide[[form for form in FORMS if form in wide]].reset_index()


def times(settings: pd.DataFrame, *, of: str = "milliseconds") -> pd.DataFrame:
    """Language by format on one device, one sentence at a time on one thread, with the noise floor in per cent.

    `of` is milliseconds (for a sentence), sentences_per_second or seconds_per_split.
    """
    wide, floors = _timed(settings, of)
    wide["noise floor (%)"] = 100 * floors
    if len(wide) > 1:
        average = wide.mean().to_frame("Average").T.assign(**{"noise floor (%)": 100 * floors.max()})
        wide = pd.concat([average, wide])
    return wide.rename_axis("language").reset_index()


def _timed(settings: pd.DataFrame, of: str = "milliseconds") -> tuple[pd.DataFrame, pd.Series]:
    """Language by format of one sentence at a time on one thread, and the noise floor of each language (a share)."""
    rows = one_kind(settings[(settings["batch"] == 1) & (settings["threads"] == 1)], "device")
    if rows.empty:
        raise SmallerError("No time was measured at batch 1 on 1 thread.")
    rows = rows.assign(language=rows["language"].map(name_of))
    wide = rows.pivot(index="language", columns="form", values=of)
    if REFERENCE not in wide:
        raise SmallerError(f"The format {REFERENCE} was not timed: add it to the formats.")
    return wide[[form for form in FORMS if form in wide]], rows.groupby("language")["noise_floor"].max()


def time_ratios(settings: pd.DataFrame) -> pd.DataFrame:
    """For each other format its time over fp32's: `ratio`, a mean over `languages`.

    `faster` and `slower` count the languages where it leaves the noise floor.
    """
    wide, floors = _timed(settings)
    ratio = wide.drop(columns=REFERENCE).div(wide[REFERENCE], axis="index")
    return pd.DataFrame({
        "ratio": ratio.mean(), "languages": ratio.notna().sum(),
        "faster": ratio.lt(1 / (1 + floors), axis="index").sum(), "slower": ratio.gt(1 + floors, axis="index").sum(),
    })  # fmt: skip


def speed(settings: pd.DataFrame) -> Finding:
    """Which formats are faster than fp32 beyond the noise floor in every language, one sentence at a time."""
    ratios, floor = time_ratios(settings), 100 * _timed(settings)[1].max()
    found = {word: list(ratios.index[ratios[word] == ratios["languages"]]) for word in ("faster", "slower")}
    told = [f"{', '.join(forms) or 'No format'} {'is' if len(forms) < 2 else 'are'} {word} than fp32 in every "
            f"language, by more than the noise floor of {floor:.1f} %." for word, forms in found.items()]  # fmt: skip
    return Finding(*told, values={"ratios": ratios, "floor": floor} | found)


def all_settings(settings: pd.DataFrame) -> pd.DataFrame:
    """A row for each number of threads, batch size and format: means over the languages, with the noise floor."""
    columns = {"milliseconds": "ms", "milliseconds_low": "fastest round", "milliseconds_high": "slowest round",
               "sentences_per_second": "sentences/s", "noise_floor": "noise floor (%)",
               "memory_bytes": "memory (MB)"}  # fmt: skip
    found = one_kind(settings, "device").groupby(["threads", "batch", "form"])[list(columns)].mean()
    found = found.sort_index(key=lambda level: level.map(list(FORMS).index) if level.name == "form" else level)
    found = found.rename(columns=columns)
    found.insert(1, "of fp32", found["ms"] / found.index.droplevel("form").map(found["ms"].xs(REFERENCE, level="form")))
    scaled = {"noise floor (%)": 100 * found["noise floor (%)"], "memory (MB)": found["memory (MB)"] / 1e6}
    return found.assign(**scaled).rename_axis(index={"form": "format"}).reset_index()


def overview(table: pd.DataFrame, parts: pd.DataFrame, settings: pd.DataFrame, **options: object) -> pd.DataFrame:
    """A row for each format: its bytes (`sizes.by_form`), its time as a share of fp32's, and its F1 against fp32."""
    found = sizes.by_form(parts, **options)
    ratio, f1 = time_ratios(settings)["ratio"], against_fp32(table)
    return found.assign(**{"time (of fp32)": found["format"].map(ratio.to_dict() | {REFERENCE: 1.0}),
                           "F1 against fp32": found["format"].map(f1.to_dict())})  # fmt: skip


def keeps(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """Which formats keep the F1 of fp32: the interval of the difference lies within the margin (paper 1, Q3)."""
    found = against_fp32(table, split=split)
    kept = [form for form, one in found.items() if one.verdict == AGREES]
    return Finding(
        f"{len(kept)} of {count_of(len(found), 'format')} keep the F1 of fp32 within {MARGIN:g} points.",
        " ".join(f"F1 with {form}: {one} ({one.verdict})." for form, one in found.items() if form not in kept),
        values={"found": found, "kept": kept},
    )  # fmt: skip


def best(table: pd.DataFrame, parts: pd.DataFrame, settings: pd.DataFrame) -> Finding:
    """The smallest and the fastest format, chosen among those that keep F1 on dev and reported on test (paper 1, Q3).

    The quantity is for LLM.int8(): the share of three conditions that hold, that it keeps F1 on test, and that no other
    format which keeps F1 on dev has fewer bytes, or less time.
    """
    kept, test = keeps(table, split="dev").values["kept"], against_fp32(table)
    costs = [parts.groupby("form")["bytes"].sum(), time_ratios(settings)["ratio"]]
    small, fast = (min((form for form in kept if form in cost), key=cost.get, default="") for cost in costs)
    if not (small and fast):
        return Finding(f"No format is shown to keep the F1 of fp32 within {MARGIN:g} points on dev.",
                       verdict=NOT_DECIDED, values={"small": small, "fast": fast})  # fmt: skip
    quantity = None
    if all("llm.int8" in own for own in (test, *costs)):
        words = {True: DIFFERS, False: AGREES if "llm.int8" in kept else NOT_DECIDED}
        beaten = [cost[form] < cost["llm.int8"] for form, cost in zip((small, fast), costs, strict=True)]
        quantity = holding([test["llm.int8"].bears_out("same"), *(words[bool(other)] for other in beaten)])
    saved, ratio = 100 * sizes.saved(parts, small), costs[1][fast]
    told = " ".join(f"On test, the F1 of {form} differs from fp32's by {test[form]} ({test[form].verdict})."
                    for form in dict.fromkeys((small, fast)))  # fmt: skip
    return Finding(
        f"{small} is the smallest format that keeps F1, with {saved:.1f} % fewer bytes in memory than fp32, and "
        f"{'' if small == fast else f'{fast} is '}the fastest, with {ratio:.2f} times fp32's time.",
        f"They are chosen by F1 on dev. {told} Times are of one sentence at a time on one thread "
        f"({settings['device'].iloc[0]}).",
        quantity=quantity, values={"small": small, "fast": fast, "saved": saved, "ratio": ratio},
    )  # fmt: skip


def holding(words: Sequence[str]) -> Interval:
    """The share of conditions that hold, in per cent: at least those shown to, at most those not shown to fail."""
    low, high = (100 * count / len(words) for count in (words.count(AGREES), len(words) - words.count(DIFFERS)))
    return Interval(low, low, high, len(words), kind="conditions")


def against_dynamic(table: pd.DataFrame, settings: pd.DataFrame) -> Finding:
    """Is LLM.int8() ahead of dynamic quantization in F1, loss and time in each language (paper 1, Q9)?

    The quantity is the share of these comparisons in which it is. A time is ahead beyond the noise floor only, and a
    loss where the corrected p value is below 0.05.
    """
    rows, (time, floors) = plain(table).assign(less=lambda own: -own["loss"]), _timed(settings)
    ours, theirs = (rows[rows["form"] == form] for form in ("llm.int8", "dynamic"))
    if ours.empty or theirs.empty or not {"llm.int8", "dynamic"} <= set(time):
        return missing("LLM.int8() and dynamic quantization of one model")
    ratio = time["llm.int8"] / time["dynamic"]
    words = {
        "F1": [one.bears_out("more") for one in by_language(ours, theirs)],
        "loss": [replace(one, margin=0.0).bears_out("more") for one in by_language(ours, theirs, value="less")],
        "time": [AGREES if of < 1 / (1 + floor) else DIFFERS if of > 1 + floor else NOT_DECIDED
                 for of, floor in zip(ratio, floors, strict=True)],
    }  # fmt: skip
    every = sum(words.values(), [])
    average = paired(ours, theirs)["comparison"].iloc[0]
    told = " ".join(f"Its {name} is better in {own.count(AGREES)} of {count_of(len(own), 'language')}, and is shown "
                    f"not to be in {own.count(DIFFERS)}." for name, own in words.items())  # fmt: skip
    return Finding(
        f"LLM.int8() is better than dynamic quantization in {every.count(AGREES)} of {len(every)} comparisons of F1, "
        f"loss and time, and is shown not to be in {every.count(DIFFERS)}.",
        f"{told} On average over the languages, its F1 differs by {average} ({average.verdict}).",
        quantity=holding(every), values=words | {"average": average},
    )  # fmt: skip


def after_pruning(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """A row for each format and sparsity of models that are pruned and then quantized: their F1 against dense fp32.

    The last comparison is of what quantization changes in a pruned model with what it changes in a dense one. Sizes are
    compressed, since zeros weigh nothing there.
    """
    rows = one_kind(of_split(table, split), "dataset", "encoder")
    rows = rows[rows["form"].isin(FORMS) & rows["bits"].isna()]
    packed = rows.groupby(["sparsity", "form"])["compressed_bytes"].mean() / 1e6
    # What quantization changes in a model is its difference to the fp32 model of the same sparsity.
    step = rows.pivot(index=["sparsity", "language", "seed"], columns="form", values="f1")
    step = step.drop(columns=REFERENCE).sub(step[REFERENCE], axis="index").stack().rename("f1").reset_index()
    pruned, dense = step[step["sparsity"] > 0], step[step["sparsity"] == 0].drop(columns="sparsity")
    each = dense.merge(pruned[["sparsity"]].drop_duplicates(), how="cross")
    more = paired(pruned, each, by=["form", "sparsity"])
    whole = rows[(rows["form"] == REFERENCE) & (rows["sparsity"] == 0)]
    loss = paired(rows[rows["sparsity"] > 0], whole, by=["form", "sparsity"], one_for_all=True)
    loss = loss.set_index(["form", "sparsity"])["comparison"]
    return pd.DataFrame([
        {"format": row.form, "sparsity (%)": round(100 * row.sparsity),
         "pruned": loss[REFERENCE, row.sparsity].interval,
         "pruned, quantized": loss[row.form, row.sparsity].interval, "pruned minus dense": row.comparison,
         "quantized (MB)": packed[0.0, row.form], "pruned, quantized (MB)": packed[row.sparsity, row.form]}
        for row in more.itertuples()
    ])  # fmt: skip


def on_pruned(found: pd.DataFrame) -> Finding:
    """Does quantization cost a pruned model more than a dense one? `found` is what `after_pruning` gives."""
    if found.empty:
        return missing("Pruned and quantized models")
    each = found["pruned minus dense"]
    place, worst = min(enumerate(each), key=lambda pair: pair[1].interval.mean)
    told = "It is not decided whether quantization costs a pruned model more F1 than a dense one."
    if worst.sign < 0 or all(one.verdict == AGREES for one in each):
        told = f"Quantization costs a pruned model {'more F1 than' if worst.sign < 0 else 'as much F1 as'} a dense one."
    return Finding(
        told, f"The worst case is {found['format'][place]} at {found['sparsity (%)'][place]} % sparsity: {worst} "
        f"({worst.verdict}).", quantity=worst, values={"each": each},
    )  # fmt: skip
