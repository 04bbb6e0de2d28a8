"""What quantization saves and costs: F1, loss, bytes and time of every format of a model, and of rounded weights (T23).

`table` is the tidy table of one encoder, whose column `form` names the format; `parts` and `settings` are what
`timing.bytes_by_part` and `timing.settings_table` give, of one device.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd

from smaller.analysis import comparison
from smaller.analysis.comparison import AGREES, DEPARTURE, DIFFERS, MARGIN, NOT_DECIDED, OVER_SENTENCES, made, paired
from smaller.analysis.findings import units
from smaller.analysis.findings.finding import ANSWERED, Finding, missing, settled
from smaller.analysis.statistics import Interval, of_split, one_kind, over_seeds
from smaller.base.checks import require
from smaller.base.errors import SmallerError
from smaller.base.words import are, count_of, some_of
from smaller.data.languages import name_of
from smaller.formats import FORMATS, PARTS
from smaller.study.rounding import ROUNDED_PARTS

REFERENCE = "fp32"

TIMES = {"milliseconds": "network (ms)", "end_to_end_milliseconds": "text to labels (ms)"}
TIMES |= {"seconds_per_split": "whole split (s)"}

FAMILIES = {name: name.replace("_", "-") for name in ROUNDED_PARTS} | {"all": "all weights"}
"""The families of weights that `Round` knows, in words."""


def plain(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """One row for each format, language and seed, of whole models with weights as they are; fp32 must be among them."""
    rows = one_kind(of_split(table, split), "dataset", "encoder")
    rows = rows[rows["form"].isin(FORMATS) & rows["bits"].isna() & (rows["sparsity"] == 0)]
    for label in rows.loc[rows.duplicated(["language", "seed", "form"]), "label"]:
        raise SmallerError(f"Two recipes have one format, language and seed, such as {label}: filter the table first.")
    require(REFERENCE in set(rows["form"]), f"There is no run in the format {REFERENCE} to compare with: add it.")
    return rows


def in_order(found: pd.DataFrame, axis: str = "columns") -> pd.DataFrame:
    """A table whose columns, or whose index, are formats: in the order of `FORMATS`."""
    return found.reindex([form for form in FORMATS if form in getattr(found, axis)], axis=axis)


def against_fp32(table: pd.DataFrame, *, of: str = "f1", split: str = "test", **about: object) -> pd.DataFrame:
    """A `comparison` of each other format with fp32, a row for each; `about` is what `comparison.paired` takes."""
    rows = plain(table, split=split)
    return in_order(comparison.against(rows, rows["form"] == REFERENCE, by=["form"], value=of, **about), "index")


def scores(table: pd.DataFrame, *, of: str = "f1", decimals: int = 1) -> pd.DataFrame:
    """Language by format: means over seeds; bold are the best of a row that print the same, unless all do."""
    found = _by_format(table, lambda own: over_seeds(own, of, by=["form"]))
    means = found.drop(columns="language").map(lambda cell: round(cell.mean, decimals))
    best = means.eq(means.max(axis="columns") if of == "f1" else means.min(axis="columns"), axis="index")
    best = best.mul(~best.all(axis="columns"), axis="index")
    found.attrs["bold"] = {place for place, is_best in best.stack().items() if is_best}
    return found


def differences(table: pd.DataFrame, *, of: str = "f1") -> pd.DataFrame:
    """Language by format: the interval of the difference from fp32. Verdicts are those of `overview` and `gains`."""
    return _by_format(table, lambda own: comparison.intervals(against_fp32(own, of=of)["comparison"]))


def _by_format(table: pd.DataFrame, found: Callable[[pd.DataFrame], pd.Series]) -> pd.DataFrame:
    """What is `found` by format in the rows of each language; of several, the average of all comes first."""
    rows = plain(table)
    languages = dict(sorted((name_of(code), own) for code, own in rows.groupby("language")))
    groups = ({"Average": rows} if len(languages) > 1 else {}) | languages
    wide = pd.DataFrame({name: found(own) for name, own in groups.items()}).T.rename_axis("language")
    return in_order(wide).reset_index().rename_axis(None, axis="columns")


def times(settings: pd.DataFrame) -> pd.DataFrame:
    """Language by format for each of `TIMES` that is known of all, on one device, with the noise floor in per cent."""
    rows = _one_at_a_time(settings).rename(columns=TIMES).sort_values("language")
    if rows["language"].nunique() > 1:
        rows = pd.concat([rows.assign(language="Average"), rows])
    known = [time for time in TIMES.values() if time in rows and rows[time].notna().all()]
    wide = rows.melt(["language", "form"], known, "time").pivot_table("value", ["time", "language"], "form", sort=False)
    floors = 100 * rows.groupby("language")["noise_floor"].max().rename("noise floor (%)")
    return in_order(wide).join(floors).reset_index()


def _one_at_a_time(settings: pd.DataFrame) -> pd.DataFrame:
    rows = one_kind(settings[(settings["batch"] == 1) & (settings["threads"] == 1)], "device")
    require(REFERENCE in set(rows["form"]), f"No time of {REFERENCE} was measured at batch 1 on 1 thread: add it.")
    return rows.assign(language=rows["language"].map(name_of))


def time_ratios(settings: pd.DataFrame, *, base: str = REFERENCE) -> tuple[pd.DataFrame, pd.DataFrame, str]:
    """Language by format: time over that of `base`, whether that is `units.beyond` the noise floor, and which time."""
    rows = _one_at_a_time(settings)
    time = units.everywhere(rows, units.TIME)
    wide = in_order(rows.pivot(index="language", columns="form", values=time))
    ratio = wide.div(wide[base], axis="index")
    return ratio, units.beyond(ratio, rows.groupby("language")["noise_floor"].max()), units.TIME[time]


def speed(settings: pd.DataFrame) -> Finding:
    """Which formats are faster than fp32 beyond the noise floor in every language, one sentence at a time."""
    _, found, counted = time_ratios(settings)
    floor = 100 * _one_at_a_time(settings)["noise_floor"].max()
    sides = {"faster": 1, "slower": -1}
    values = {word: list(found.columns[found.eq(side).all()]) for word, side in sides.items()}
    told = [
        f"{', '.join(forms) or 'No format'} {are(len(forms))} shown to be {word} than fp32 in every language, "
        f"{counted}, by more than the noise floor of {floor:.1f} %."
        for word, forms in values.items()
    ]
    return Finding(*told, values=values)


def all_settings(settings: pd.DataFrame) -> pd.DataFrame:
    """A row for each number of threads, batch size and format: means over languages, with the noise floor."""
    columns = {"milliseconds": "ms", "milliseconds_low": "fastest round", "milliseconds_high": "slowest round"}
    columns |= {"end_to_end_milliseconds": "text to labels (ms)", "sentences_per_second": "sentences/s"}
    columns |= {"noise_floor": "noise floor (%)", "memory_bytes": "memory (MB)"}
    scaled = {"noise_floor": 100 * settings["noise_floor"], "memory_bytes": settings["memory_bytes"] / 1e6}
    rows, by = one_kind(settings, "device"), ["threads", "batch", "format"]
    rows = rows.assign(format=pd.Categorical(settings["form"], list(FORMATS)), **scaled).rename(columns=columns)
    found = rows.reindex(columns=[*by, *columns.values()]).groupby(by).mean().dropna(axis="columns", how="all")
    found.insert(1, "of fp32", found["ms"].div(found["ms"].xs(REFERENCE, level="format")))
    return found.reset_index()


def sizes(parts: pd.DataFrame) -> pd.DataFrame:
    """A row for each format: MB in memory by part and in all, and what it saves in per cent."""
    wide = in_order(parts.pivot(index="form", columns="part", values="bytes")[list(PARTS)] / 1e6, "index")
    wide = wide.add_suffix(" (MB)")
    total = wide.sum(axis="columns")
    wide["in memory (MB)"] = total
    for base in (base for base in (REFERENCE, "fp16") if base in total):
        # A format that is larger than the base is not smaller by a negative share: it has a dash.
        wide[f"smaller than {base} (%)"] = (100 * (1 - total / total[base])).where(total <= total[base])
    return wide.rename_axis("format").rename_axis(None, axis="columns").reset_index()


def overview(table: pd.DataFrame, parts: pd.DataFrame, settings: pd.DataFrame) -> pd.DataFrame:
    """A row for each format: bytes in memory and as shipped (in old records: on disk), time, and F1 against fp32."""
    files = {"shipped_bytes": "ships (MB)", "disk_bytes": "on disk (MB)"}
    known = settings.reindex(columns=list(files)).groupby(settings["form"]).first().dropna(axis="columns", how="all")
    found = sizes(parts).set_index("format").join(known.iloc[:, :1].div(1e6).rename(columns=files))
    names = {"comparison": "F1 against fp32", OVER_SENTENCES: f"F1 against fp32, {OVER_SENTENCES}"}
    f1 = against_fp32(table, over_sentences=True).rename(columns=names)[list(names.values())]
    return found.assign(**{"time (of fp32)": time_ratios(settings)[0].mean()}).join(f1).reset_index()


def keeps(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """Which formats keep the F1 of fp32: the interval of the difference lies within the margin (paper 1, Q3)."""
    found = against_fp32(table, split=split)["verdict"]
    kept, rest = (list(found.index[(found == AGREES) == here]) for here in (True, False))
    return Finding(
        f"{some_of(len(kept), len(found), 'format')} shown to keep the F1 of fp32 within {MARGIN:g} points.",
        f"This is not shown for {', '.join(rest)}." if rest else "",
        values={"kept": kept},
        verdict=ANSWERED if kept else settled(found),
    )


def best(table: pd.DataFrame, parts: pd.DataFrame, settings: pd.DataFrame) -> Finding:
    """The smallest and the fastest format of those that keep F1 on dev (Q3).

    The quantity is the share of three conditions that LLM.int8() meets: it keeps F1 on test, and no other format that
    keeps it on dev has fewer bytes, or less time beyond the noise floor.
    """
    on_dev, test = keeps(table, split="dev"), against_fp32(table)["comparison"]
    kept, conditions = on_dev.values["kept"], [test["llm.int8"].bears_out("same")] if "llm.int8" in test else []
    if not kept:
        return Finding(
            f"No format is shown to keep the F1 of fp32 within {MARGIN:g} points on dev.",
            quantity=holding(conditions) if conditions and on_dev.verdict == ANSWERED else None,
            verdict=on_dev.verdict,
        )
    size, (ratios, _, counted) = parts.groupby("form")["bytes"].sum(), time_ratios(settings)
    time = ratios.mean()
    small, fast = size[kept].idxmin(), time[kept].idxmin()
    saved = 100 * (1 - size[small] / size[REFERENCE])
    if conditions:
        unbeaten = AGREES if "llm.int8" in kept else NOT_DECIDED
        sides = time_ratios(settings, base="llm.int8")[1][kept].drop(columns="llm.int8", errors="ignore")
        timed = DIFFERS if sides.eq(1).all().any() else unbeaten if sides.eq(-1).all(axis=None) else NOT_DECIDED
        conditions += [DIFFERS if size[small] < size["llm.int8"] else unbeaten, timed]
    told = "; ".join(f"{form} {test[form]} ({test[form].verdict})" for form in dict.fromkeys((small, fast)))
    return Finding(
        f"Of the formats shown to keep F1 on dev, {small} is the smallest: it takes {saved:.1f} % fewer bytes in "
        f"memory than fp32. {fast} has the shortest mean time: {time[fast]:.2f} times that of fp32, {counted}.",
        f"F1 on test minus that of fp32: {told}.",
        quantity=holding(conditions) if conditions else None,
        values={"small": small, "fast": fast},
        verdict=ANSWERED,
    )


def holding(words: Sequence[str]) -> Interval:
    """The share of conditions that hold, in per cent: at least those shown to, at most those not shown to fail."""
    low, high = (100 * count / len(words) for count in (words.count(AGREES), len(words) - words.count(DIFFERS)))
    return Interval(low, low, high, len(words), kind="conditions")


def against_dynamic(table: pd.DataFrame, settings: pd.DataFrame) -> Finding:
    """In how many comparisons is LLM.int8() ahead of dynamic quantization in F1, loss and time (paper 1, Q9)?"""
    rows = plain(table).assign(less=lambda own: -own["loss"])
    ours, theirs = (rows[rows["form"] == form] for form in ("llm.int8", "dynamic"))
    if ours.empty or theirs.empty:
        return missing("LLM.int8() and dynamic quantization of one model")
    each = [paired(ours, theirs, by=["language"], value=of).assign(of=of) for of in ("f1", "less")]
    f1, loss = (own["comparison"] for _, own in comparison.corrected(pd.concat(each, ignore_index=True)).groupby("of"))
    _, shorter, counted = time_ratios(settings, base="dynamic")
    words = {
        "F1": [one.bears_out("more") for one in f1],
        "loss": [replace(one, margin=0.0).bears_out("more") for one in loss],
    }
    every, faster = sum(words.values(), []), shorter["llm.int8"]
    # A noise floor is no test: times are counted for themselves, and are one of the three conditions.
    three = [DIFFERS if DIFFERS in own else AGREES if {*own} == {AGREES} else NOT_DECIDED for own in words.values()]
    three.append(AGREES if faster.eq(1).all() else DIFFERS if faster.eq(-1).any() else NOT_DECIDED)
    return Finding(
        f"LLM.int8() is shown to be better than dynamic quantization in {every.count(AGREES) or 'none'} of "
        f"{len(every)} comparisons of F1 and loss, and to be the same or worse in {every.count(DIFFERS) or 'none'}. It "
        f"is faster by more than the noise floor in {faster.eq(1).sum() or 'none'} of "
        f"{count_of(len(faster), 'language')}, and slower in {faster.eq(-1).sum() or 'none'}, {counted}.",
        quantity=holding(three),
        values={**words, "time": faster.tolist()},
    )


def after_pruning(table: pd.DataFrame) -> pd.DataFrame:
    """Pruned, then quantized models by format and sparsity; the comparison is with what it changes in dense ones."""
    rows, by = one_kind(of_split(table, "test"), "dataset", "encoder"), ["form", "sparsity"]
    rows = rows[rows["form"].isin(FORMATS) & rows["bits"].isna()]
    whole, packed = rows["form"] == REFERENCE, rows.groupby(by)["compressed_bytes"].mean() / 1e6
    dense = paired(rows[rows["sparsity"] > 0], plain(rows[whole]), by=by, for_all=by).set_index(by)["comparison"]
    # What quantization changes in a model is its difference to the fp32 model of the same sparsity.
    step = comparison.differences(rows[~whole], rows[whole], by=[*by, "language"], for_all=["form"])
    more = comparison.against(step, step["sparsity"] == 0, by=by, for_all=["sparsity"])["comparison"]
    found = [
        (form, round(100 * share), dense[REFERENCE, share].interval, dense[form, share].interval, one)
        + (packed[form, 0.0], packed[form, share])
        for (form, share), one in more.sort_index(level=["sparsity", "form"]).items()
    ]
    names = ["format", "sparsity (%)", "pruned", "pruned, quantized", "pruned minus dense"]
    return pd.DataFrame(found, columns=[*names, "quantized (MB)", "pruned, quantized (MB)"])


def on_pruned(found: pd.DataFrame) -> Finding:
    """Does quantization cost a pruned model more than a dense one? `found` is what `after_pruning` gives."""
    found = made(found, "pruned minus dense")
    if found.empty:
        return missing("Pruned and quantized models")
    each = found["pruned minus dense"]
    more, same = sum(one.sign < 0 for one in each), sum(one.verdict == AGREES for one in each)
    lowest = min(each.index, key=lambda place: each[place].interval.mean)
    case = f"{found['format'][lowest]} at {found['sparsity (%)'][lowest]} % sparsity"
    return Finding(
        f"Quantization is shown to cost a pruned model more F1 than a dense one in {more or 'none'} of "
        f"{count_of(len(each), 'setting')}, and as much in {same or 'none'}.",
        f"The lowest difference is that of {case}: {each[lowest]} ({each[lowest].verdict}).",
        quantity=each[lowest],
        values={"more": more, "same": same},
        verdict=settled(one.verdict for one in each),
    )


def both(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows with rounded weights, and those of whole models in fp32."""
    rows = one_kind(of_split(table, "test"), "dataset", "encoder")
    return rows[rows["bits"].notna()], plain(rows[rows["form"] == REFERENCE])


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """A `comparison` with fp32 for each part, in the order of `FAMILIES`, and number of bits, the most first."""
    by = ["part", "bits"]
    found = paired(*both(table), by=by, for_all=by).astype({"bits": int})
    parts = pd.Categorical(found["part"].map(FAMILIES), list(FAMILIES.values()))
    return found.assign(part=parts).sort_values(by, ascending=[True, False], ignore_index=True)


def by_bits(found: pd.DataFrame) -> pd.DataFrame:
    """Part by bits, from `rounded`: the comparison with fp32."""
    wide = found.pivot(index="part", columns="bits", values="comparison").iloc[:, ::-1]
    return wide.add_suffix(" bits").rename_axis(None, axis="columns").reset_index()


def sensitivity(found: pd.DataFrame) -> Finding:
    """Does rounding all weights to the most bits keep F1, and where do fewer cost two points (paper 1, mechanism 3)?"""
    found = made(found)
    if found.empty:
        return missing("Rounded weights")
    first = found.iloc[0]
    one = first["comparison"]
    shown = [(row.part, row.bits) for row in found.itertuples() if row.comparison.departs() == AGREES]
    places = ", ".join(f"{part} at {bits} bits" for part, bits in shown) or "nothing on this grid"
    return Finding(
        f"Rounding {first['part']} to {first['bits']} bits "
        f"{one.words('changes', 'changes', 'keeps', 'is not shown to keep')} F1: the difference is {one}.",
        f"A loss of {DEPARTURE:g} points is shown for {places}.",
        quantity=one,
        values={"shown": shown},
    )


def thresholds(found: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """A row for each outlier threshold of LLM.int8(): what `timing.outliers` found, and F1 against fp32."""
    rows, by = of_split(table, "test").drop(columns="threshold", errors="ignore"), ["threshold"]
    f1 = paired(rows.merge(found, on="identity"), both(table)[1], by=by, for_all=by).set_index(by[0])["comparison"]
    each = found.groupby("threshold").agg({"columns": "mean", "values": "mean", "largest": "max"})
    each = each.mul({"columns": 100, "values": 100, "largest": 1}).assign(f1=comparison.intervals(f1))
    names = ["outlier columns (%)", "outlier values (%)", "largest magnitude", "F1 against fp32"]
    return each.set_axis(names, axis="columns").reset_index()
