"""What quantization saves and costs: F1, loss, bytes and time of every format of a model, and of rounded weights (T23).

`table` is the tidy table of one encoder with one recipe for each format, language and seed; its column `form` names the
format, and rows of pruned models and of rounded weights are left out where they do not belong. `settings` is the table
of `timing.settings_table`, of one device; `parts` are sizes as `measured` gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pandas as pd

from smaller.analysis.comparison import AGREES, DEPARTURE, DIFFERS, MARGIN, NOT_DECIDED, paired
from smaller.analysis.findings.finding import Finding, missing
from smaller.analysis.findings.words import count_of, name_of
from smaller.analysis.statistics import Interval, of_split, one_kind, t_interval
from smaller.base.errors import SmallerError
from smaller.formats import FORMS, PARTS
from smaller.study.recipes import Recipe
from smaller.study.results import read

REFERENCE = "fp32"

TIMES = {
    "milliseconds": "network (ms)",
    "end_to_end_milliseconds": "text to labels (ms)",
    "seconds_per_split": "whole split (s)",
}

FAMILIES = {
    "all": "all weights",
    "embeddings": "embeddings",
    "attention": "attention",
    "feed_forward": "feed-forward",
    "classifier": "classifier",
}
"""The families of weights that `Round` knows, in words."""


def plain(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """The rows that are compared: one for each format, language and seed, of whole models with weights as they are.

    Raises SmallerError where fp32 is missing, or two recipes have one format, language and seed.
    """
    rows = one_kind(of_split(table, split), "dataset", "encoder")
    rows = rows[rows["form"].isin(FORMS) & rows["bits"].isna() & (rows["sparsity"] == 0)]
    for label in rows.loc[rows.duplicated(["language", "seed", "form"]), "label"]:
        raise SmallerError(f"Two recipes have one format, language and seed, such as {label}: filter the table first.")
    if REFERENCE not in set(rows["form"]):
        raise SmallerError(f"There is no run in the format {REFERENCE} to compare with: add it to the formats.")
    return rows


def against_fp32(table: pd.DataFrame, *, of: str = "f1", split: str = "test") -> pd.Series:
    """The comparison of each other format with fp32, seed by seed, averaged over the languages of the table."""
    rows = plain(table, split=split)
    whole = rows["form"] == REFERENCE
    found = paired(rows[~whole], rows[whole], by=["form"], value=of, one_for_all=True).set_index("form")["comparison"]
    return found[[form for form in FORMS if form in found]]


def by_language(first: pd.DataFrame, second: pd.DataFrame, *, value: str = "f1") -> pd.Series:
    """The comparison of two selections in each language, by its code, with p values corrected for all of them."""
    first, second = (rows.assign(code=rows["language"]) for rows in (first, second))
    return paired(first, second, by=["code"], value=value).set_index("code")["comparison"].sort_index()


def seed_means(rows: pd.DataFrame, columns: str | list[str], *, of: str = "f1") -> pd.DataFrame:
    """A row for each seed, a column for each value of `columns`: means over the languages, NaN where one is missing."""
    count = rows["language"].nunique()
    wide = rows.pivot(index=["language", "seed"], columns=columns, values=of)
    return wide.groupby("seed").sum(min_count=count) / count


def changes(rows: pd.DataFrame, whole: pd.DataFrame, by: str | list[str] = "form") -> pd.DataFrame:
    """The differences to fp32 that a comparison is made of, averaged over languages: columns seed, `by` and change."""
    wide = seed_means(rows, by).sub(seed_means(whole, "form")[REFERENCE], axis="index")
    return wide.melt(value_name="change", ignore_index=False).reset_index().dropna(subset="change")


def scores(table: pd.DataFrame, *, of: str = "f1", decimals: int = 1) -> pd.DataFrame:
    """Language by format: mean over seeds with its t interval, the average over languages first.

    The best mean of each row is marked as bold, as are all that print the same with `decimals` places.
    """
    found = _by_format(table, lambda own: seed_means(own, "form", of=of).apply(t_interval))
    means = found.drop(columns="language").map(lambda cell: round(cell.mean, decimals))
    best = means.eq(means.max(axis="columns") if of == "f1" else means.min(axis="columns"), axis="index")
    found.attrs["bold"] = {place for place, is_best in best.stack().items() if is_best}
    return found


def differences(table: pd.DataFrame, *, of: str = "f1") -> pd.DataFrame:
    """Language by format: the comparison with fp32, the average over languages first; of a loss, its interval alone.

    The margin of a verdict is one of points of F1. P values are corrected over the formats of a row.
    """
    return _by_format(table, lambda own: against_fp32(own, of=of).map(lambda one: one if of == "f1" else one.interval))


def _by_format(table: pd.DataFrame, found: Callable[[pd.DataFrame], pd.Series]) -> pd.DataFrame:
    """What is `found` by format in the rows of each language; of several, all of them come first, as their average."""
    rows = plain(table)
    languages = dict(sorted((name_of(code), own) for code, own in rows.groupby("language")))
    groups = ({"Average": rows} if len(languages) > 1 else {}) | languages
    wide = pd.DataFrame({name: found(own) for name, own in groups.items()}).T.rename_axis("language")
    return wide[[form for form in FORMS if form in wide]].reset_index().rename_axis(None, axis="columns")


def times(settings: pd.DataFrame) -> pd.DataFrame:
    """Language by format for each of `TIMES` that is known of all, on one device, with the noise floor in per cent."""
    rows = _one_at_a_time(settings).rename(columns=TIMES).sort_values("language")
    if rows["language"].nunique() > 1:
        rows = pd.concat([rows.assign(language="Average"), rows])
    known = [time for time in TIMES.values() if time in rows and rows[time].notna().all()]
    wide = rows.melt(["language", "form"], known, "time").pivot_table("value", ["time", "language"], "form", sort=False)
    floors = 100 * rows.groupby("language")["noise_floor"].max().rename("noise floor (%)")
    return wide[[form for form in FORMS if form in wide]].join(floors).reset_index()


def _one_at_a_time(settings: pd.DataFrame) -> pd.DataFrame:
    rows = one_kind(settings[(settings["batch"] == 1) & (settings["threads"] == 1)], "device")
    if REFERENCE not in set(rows["form"]):
        raise SmallerError(f"No time of {REFERENCE} was measured at batch 1 on 1 thread: add it to the formats.")
    return rows.assign(language=rows["language"].map(name_of))


def time_ratios(settings: pd.DataFrame, *, base: str = REFERENCE) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Language by format: the time over that of `base`, and the verdict on whether it is shorter, beyond the noise."""
    rows = _one_at_a_time(settings)
    wide = rows.pivot(index="language", columns="form", values="milliseconds")
    ratio = wide[[form for form in FORMS if form in wide]].div(wide[base], axis="index")
    far = 1 + rows.groupby("language")["noise_floor"].max()
    faster, slower = ratio.lt(1 / far, axis="index"), ratio.gt(far, axis="index")
    return ratio, pd.DataFrame(NOT_DECIDED, ratio.index, ratio.columns).mask(faster, AGREES).mask(slower, DIFFERS)


def speed(settings: pd.DataFrame) -> Finding:
    """Which formats are faster than fp32 beyond the noise floor in every language, one sentence at a time."""
    found, floor = time_ratios(settings)[1], 100 * _one_at_a_time(settings)["noise_floor"].max()
    values = {
        word: [form for form in found if found[form].eq(verdict).all()]
        for word, verdict in (("faster", AGREES), ("slower", DIFFERS))
    }
    told = [
        f"{', '.join(forms) or 'No format'} {'is' if len(forms) < 2 else 'are'} {word} than fp32 in every "
        f"language, by more than the noise floor of {floor:.1f} %."
        for word, forms in values.items()
    ]
    return Finding(*told, values=values)


def all_settings(settings: pd.DataFrame) -> pd.DataFrame:
    """A row for each number of threads, batch size and format: means over the languages, with the noise floor."""
    columns = {
        "milliseconds": "ms",
        "milliseconds_low": "fastest round",
        "milliseconds_high": "slowest round",
        "end_to_end_milliseconds": TIMES["end_to_end_milliseconds"],
        "sentences_per_second": "sentences/s",
        "noise_floor": "noise floor (%)",
        "memory_bytes": "memory (MB)",
    }
    scaled = {"noise_floor": 100 * settings["noise_floor"], "memory_bytes": settings["memory_bytes"] / 1e6}
    rows = one_kind(settings, "device").assign(format=pd.Categorical(settings["form"], list(FORMS)), **scaled)
    rows = rows.rename(columns=columns).reindex(columns=["threads", "batch", "format", *columns.values()])
    found = rows.groupby(["threads", "batch", "format"]).mean().dropna(axis="columns", how="all")
    found.insert(1, "of fp32", found["ms"].div(found["ms"].xs(REFERENCE, level="format")))
    return found.reset_index()


def measured(recipes: Iterable[Recipe]) -> pd.DataFrame:
    """Bytes in memory by format and part (columns form, part, bytes), from the first record of each format."""
    steps = [step for recipe in recipes for step in (read(recipe) or {"steps": []})["steps"]]
    rows = [
        (step["form"], part, size)
        for step in steps
        if step["step"] == "Quantize"
        for part, size in step["report"]["bytes_after"].items()
    ]
    return pd.DataFrame(rows, columns=["form", "part", "bytes"]).drop_duplicates(["form", "part"], ignore_index=True)


def sizes(parts: pd.DataFrame) -> pd.DataFrame:
    """A row for each format: MB in memory by part and in all, and what it saves in per cent."""
    wide = parts.pivot(index="form", columns="part", values="bytes")[list(PARTS)] / 1e6
    wide = wide.loc[[form for form in FORMS if form in wide.index]].add_suffix(" (MB)")
    total = wide.sum(axis="columns")
    wide["in memory (MB)"] = total
    for base in (base for base in (REFERENCE, "fp16") if base in total):
        # A format that is larger than the base is not smaller by a negative share: it has a dash.
        wide[f"smaller than {base} (%)"] = (100 * (1 - total / total[base])).where(total <= total[base])
    return wide.rename_axis("format").rename_axis(None, axis="columns").reset_index()


def overview(table: pd.DataFrame, parts: pd.DataFrame, settings: pd.DataFrame) -> pd.DataFrame:
    """A row for each format: bytes in memory and as shipped (in old records: on disk), time and F1 against fp32."""
    files = {"shipped_bytes": "ships (MB)", "disk_bytes": "on disk (MB)"}
    known = settings.reindex(columns=list(files)).groupby(settings["form"]).first().dropna(axis="columns", how="all")
    found = sizes(parts).set_index("format").join(known.iloc[:, :1].div(1e6).rename(columns=files))
    told = {"time (of fp32)": time_ratios(settings)[0].mean(), "F1 against fp32": against_fp32(table)}
    return found.assign(**told).reset_index()


def keeps(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """Which formats keep the F1 of fp32: the interval of the difference lies within the margin (paper 1, Q3)."""
    found = against_fp32(table, split=split)
    kept = [form for form, one in found.items() if one.verdict == AGREES]
    rest = ", ".join(found.index.drop(kept))
    return Finding(
        f"{len(kept)} of {count_of(len(found), 'format')} keep the F1 of fp32 within {MARGIN:g} points.",
        rest and f"This is not shown for {rest}.",
        values={"kept": kept},
    )


def best(table: pd.DataFrame, parts: pd.DataFrame, settings: pd.DataFrame) -> Finding:
    """The smallest and the fastest format, chosen among those that keep F1 on dev and reported on test (paper 1, Q3).

    The quantity is for LLM.int8(): the share of three conditions that hold, that it keeps F1 on test, and that no other
    format which keeps F1 on dev has fewer bytes, or less time.
    """
    kept, test = keeps(table, split="dev").values["kept"], against_fp32(table)
    if not kept:
        return Finding(f"No format keeps the F1 of fp32 within {MARGIN:g} points on dev.", verdict=NOT_DECIDED)
    size, time = parts.groupby("form")["bytes"].sum(), time_ratios(settings)[0].mean()
    small, fast = size[kept].idxmin(), time[kept].idxmin()
    saved, quantity = 100 * (1 - size[small] / size[REFERENCE]), None
    if "llm.int8" in test:
        unbeaten = AGREES if "llm.int8" in kept else NOT_DECIDED
        beaten = (size[small] < size["llm.int8"], time[fast] < time["llm.int8"])
        quantity = holding([test["llm.int8"].bears_out("same"), *(DIFFERS if one else unbeaten for one in beaten)])
    told = ", ".join(f"{form} {test[form].verdict}" for form in dict.fromkeys((small, fast)))
    return Finding(
        f"{small} is the smallest format that keeps F1, with {saved:.1f} % fewer bytes in memory than fp32, and "
        f"{'' if small == fast else f'{fast} is '}the fastest, with {time[fast]:.2f} times fp32's time.",
        f"They are chosen by F1 on dev. The verdict of their F1 on test, against fp32: {told}.",
        quantity=quantity,
        values={"small": small, "fast": fast},
    )


def holding(words: Sequence[str]) -> Interval:
    """The share of conditions that hold, in per cent: at least those shown to, at most those not shown to fail."""
    low, high = (100 * count / len(words) for count in (words.count(AGREES), len(words) - words.count(DIFFERS)))
    return Interval(low, low, high, len(words), kind="conditions")


def against_dynamic(table: pd.DataFrame, settings: pd.DataFrame) -> Finding:
    """Is LLM.int8() ahead of dynamic quantization in F1, loss and time in each language (paper 1, Q9)?

    The quantity is the share of these comparisons in which it is. A time is ahead beyond the noise floor only, and a
    loss where the corrected p value is below 0.05.
    """
    rows = plain(table).assign(less=lambda own: -own["loss"])
    ours, theirs = (rows[rows["form"] == form] for form in ("llm.int8", "dynamic"))
    if ours.empty or theirs.empty:
        return missing("LLM.int8() and dynamic quantization of one model")
    words = {
        "F1": [one.bears_out("more") for one in by_language(ours, theirs)],
        "loss": [replace(one, margin=0.0).bears_out("more") for one in by_language(ours, theirs, value="less")],
        "time": time_ratios(settings, base="dynamic")[1]["llm.int8"].tolist(),
    }
    every = sum(words.values(), [])
    return Finding(
        f"LLM.int8() is better than dynamic quantization in {every.count(AGREES)} of {len(every)} comparisons of F1, "
        f"loss and time, and is shown not to be in {every.count(DIFFERS)}.",
        quantity=holding(every),
        values=words,
    )


def after_pruning(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each format and sparsity of models that are pruned and then quantized: their F1 against dense fp32.

    The last comparison is of what quantization changes in a pruned model with what it changes in a dense one. Sizes are
    compressed, since zeros weigh nothing there.
    """
    rows = one_kind(of_split(table, "test"), "dataset", "encoder")
    rows = rows[rows["form"].isin(FORMS) & rows["bits"].isna()]
    packed = rows.groupby(["sparsity", "form"])["compressed_bytes"].mean() / 1e6
    # What quantization changes in a model is its difference to the fp32 model of the same sparsity.
    step = rows.pivot(index=["sparsity", "language", "seed"], columns="form", values="f1")
    step = step.drop(columns=REFERENCE).sub(step[REFERENCE], axis="index").stack().rename("f1").reset_index()
    pruned, dense = step[step["sparsity"] > 0], step[step["sparsity"] == 0].drop(columns="sparsity")
    more = paired(pruned, dense.merge(pruned[["sparsity"]].drop_duplicates(), how="cross"), by=["form", "sparsity"])
    loss = paired(
        rows[rows["sparsity"] > 0], plain(rows[rows["form"] == REFERENCE]), by=["form", "sparsity"], one_for_all=True
    ).set_index(["form", "sparsity"])["comparison"]
    return pd.DataFrame(
        [
            {
                "format": form,
                "sparsity (%)": round(100 * share),
                "pruned": loss[REFERENCE, share].interval,
                "pruned, quantized": loss[form, share].interval,
                "pruned minus dense": comparison,
                "quantized (MB)": packed[0.0, form],
                "pruned, quantized (MB)": packed[share, form],
            }
            for (form, share), comparison in more.set_index(["form", "sparsity"])["comparison"].items()
        ]
    )


def on_pruned(found: pd.DataFrame) -> Finding:
    """Does quantization cost a pruned model more than a dense one? `found` is what `after_pruning` gives."""
    if found.empty:
        return missing("Pruned and quantized models")
    place, worst = min(found["pruned minus dense"].items(), key=lambda pair: pair[1].interval.mean)
    told = "It is not decided whether quantization costs a pruned model more F1 than a dense one."
    if worst.sign < 0 or all(one.verdict == AGREES for one in found["pruned minus dense"]):
        told = f"Quantization costs a pruned model {'more F1 than' if worst.sign < 0 else 'as much F1 as'} a dense one."
    case = f"{found['format'][place]} at {found['sparsity (%)'][place]} % sparsity"
    return Finding(told, f"The worst case is {case}: {worst} ({worst.verdict}).", quantity=worst)


def both(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows with rounded weights, and those of whole models in fp32."""
    rows = one_kind(of_split(table, "test"), "dataset", "encoder")
    return rows[rows["bits"].notna()], plain(rows[rows["form"] == REFERENCE])


def rounded(table: pd.DataFrame) -> pd.DataFrame:
    """A `comparison` with fp32 for each part, in the order of `FAMILIES`, and number of bits, the most first."""
    found = paired(*both(table), by=["part", "bits"], one_for_all=True).astype({"bits": int})
    parts = pd.Categorical(found["part"].map(FAMILIES), list(FAMILIES.values()))
    return found.assign(part=parts).sort_values(["part", "bits"], ascending=[True, False], ignore_index=True)


def by_bits(found: pd.DataFrame) -> pd.DataFrame:
    """Part by bits, from `rounded`: the comparison with fp32."""
    wide = found.pivot(index="part", columns="bits", values="comparison").iloc[:, ::-1]
    return wide.add_suffix(" bits").rename_axis(None, axis="columns").reset_index()


def sensitivity(found: pd.DataFrame) -> Finding:
    """Does rounding to the most bits keep F1, and where do fewer bits cost two points (paper 1, mechanism 3)?

    `found` is what `rounded` gives; its first row, all weights at the most bits, is the quantity.
    """
    if found.empty:
        return missing("Rounded weights")
    first = found.iloc[0]
    one = first["comparison"]
    verb = {AGREES: "keeps", NOT_DECIDED: "is not shown to keep"}.get(one.verdict, "changes")
    shown = [(row.part, row.bits) for row in found.itertuples() if row.comparison.departs() == AGREES]
    places = ", ".join(f"{part} at {bits}" for part, bits in shown) or "none on this grid"
    return Finding(
        f"Rounding {first['part']} to {first['bits']} bits {verb} F1: the difference is {one}.",
        f"A loss of {DEPARTURE:g} points is shown for these bits: {places}.",
        quantity=one,
        values={"shown": shown},
    )


def looked(recipes: Iterable[Recipe]) -> pd.DataFrame:
    """The outliers that LLM.int8() met, a row for each recipe that has looked at sentences.

    Columns: identity, threshold, columns and values (shares of the inputs of Linear layers), largest (magnitude).
    """
    steps = {recipe.identity: (read(recipe) or {"steps": [{}]})["steps"][-1] for recipe in recipes}
    found = [
        {"identity": identity, "threshold": step["threshold"]} | step["report"]["outliers"]
        for identity, step in steps.items()
        if step.get("report", {}).get("outliers")
    ]
    return pd.DataFrame(found, columns=["identity", "threshold", "columns", "values", "largest"])


def thresholds(found: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """A row for each outlier threshold of LLM.int8(): the share of outliers in per cent, and F1 against fp32.

    `found` is what `looked` gives. A feature column of a sentence with an outlier in it is multiplied in fp16.
    """
    rows = of_split(table, "test").drop(columns="threshold", errors="ignore").merge(found, on="identity")
    each = found.groupby("threshold").agg({"columns": "mean", "values": "mean", "largest": "max"})
    f1 = paired(rows, both(table)[1], by=["threshold"], one_for_all=True).set_index("threshold")["comparison"]
    return pd.DataFrame(
        {
            "outlier columns (%)": 100 * each["columns"],
            "outlier values (%)": 100 * each["values"],
            "largest magnitude": each["largest"],
            "F1 against fp32": f1.reindex(each.index),
        }
    ).reset_index()
