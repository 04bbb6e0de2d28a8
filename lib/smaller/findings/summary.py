"""All recipes that have a record, side by side: which is the best for its size, its time and its training."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

import pandas as pd

from smaller import results, timing
from smaller.data.languages import LANGUAGES
from smaller.findings.cells import give_or_take
from smaller.findings.words import count_of, name_of
from smaller.forms import FORMS
from smaller.recipes import recipe_from_canonical
from smaller.statistics import Interval, language_average, t_interval

WHOLE = ("FineTune", "Pretrain > FineTune")
"""What the family of the model that nothing was taken from is called; the sample's encoders are pre-trained first."""

_PLAIN = {
    "FineTune": "fine-tune", "Pretrain": "pre-train", "Adapt": "adapt to the language", "Distil": "distil",
    "Cut": "cut", "Prune": "prune", "PruneHeads": "prune heads", "PruneFeedForward": "prune feed-forward neurons",
    "TruncateHidden": "narrow the hidden states", "TrimVocabulary": "trim the vocabulary", "Quantize": "quantize",
}  # fmt: skip
_SINGLE = re.compile(r",? ?seed \d+|,? ?(?:(?<![\w/])[\w.-]+/)?(?P<codes>\b[a-z]{3}(?:\+[a-z]{3})*)(?=[,)]| \+ \d|$)")


def family(label: str) -> str:
    """A recipe's steps in one line, without data set, language, seed and encoder: what languages and seeds share."""
    steps = _SINGLE.sub(_without_languages, label.partition(": ")[2])
    return re.sub(r"\(, ", "(", steps).replace("()", "")


def _without_languages(found: re.Match) -> str:
    codes = (found["codes"] or "").split("+")
    return "" if codes == [""] or set(codes) <= LANGUAGES.keys() else found[0]


def in_words(family: str) -> str:
    """A family as a reader's sentence: "fine-tune, then quantize (onnx-int8)"."""
    return ", then ".join(_step_in_words(step) for step in family.removeprefix("Pretrain > ").split(" > "))


def _step_in_words(step: str) -> str:
    name, _, rest = step.partition("(")
    if name == "Prune":
        rest = re.sub(r"^[\d.]+", lambda share: f"{100 * float(share[0]):g} % of the weights", rest)
    return _PLAIN.get(name, name) + (f" ({rest}" if rest else "")


def recipes(records: Iterable[dict], *, encoder: str, dataset: str, languages: Sequence[str]) -> pd.DataFrame:
    """Test scores at home of an encoder's recipes, one row for each recipe, with its family and its latency's share.

    Kept are families that have every one of the languages. Rounded weights are left out: they simulate a form, and
    save nothing. `f1` is of the test split and `dev_f1` of the dev split; `time_ratio` is the latency as a share of the
    dense model's, where both were timed in one run; `download_bytes` is what zlib leaves of the weights.
    """
    records = [record for record in records if record["recipe"]["encoder"] == encoder]
    table = results.table(records)
    table = table[(table["noise"] == "") & (table["dataset"] == dataset)]
    table = table[(table["dataset"] + "/" + table["language"] == table["trained_on"])]
    dev = table[table["split"] == "dev"].set_index("identity")["f1"]
    table = table[table["split"] == "test"].assign(dev_f1=lambda own: own["identity"].map(dev))
    table = table[table["language"].isin(list(languages)) & ~table["technique"].str.contains("rounded")].copy()
    table["family"] = [family(label) for label in table["label"]]
    table["download_bytes"] = table["compressed_bytes"]
    table["time_ratio"] = table["identity"].map(_time_ratios(records))
    whole = table.groupby("family")["language"].nunique() == len(set(languages))
    return table[table["family"].map(whole)].reset_index(drop=True)


def _time_ratios(records: Sequence[dict]) -> dict[str, float]:
    """Latency as a share of that of the dense model that was timed in the same run: one sentence on one thread of
    the processor.

    A recipe that was timed in several runs, by several notebooks, has the mean of its shares.
    """
    timed = [
        (record, entry) for record in records for entry in timing.entries(record)
        if (entry["batch"], entry["threads"], entry["device_type"]) == (1, 1, "cpu")
    ]  # fmt: skip
    dense = {entry["group"]: entry["milliseconds"] for record, entry in timed if _is_dense(record)}
    shares: dict[str, list[float]] = {}
    for record, entry in timed:
        if entry["group"] in dense:
            shares.setdefault(record["identity"], []).append(entry["milliseconds"] / dense[entry["group"]])
    return {identity: sum(own) / len(own) for identity, own in shares.items()}


def _is_dense(record: dict) -> bool:
    name = family(recipe_from_canonical(record["recipe"]).label)
    return name.removesuffix(" > Quantize(fp32)") in WHOLE


def families(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each family: mean F1 over languages with its t interval over seeds, bytes, time, training.

    `f1`, `low`, `high`, `seeds`; `drop` in points below the dense family, paired by seed, with `drop_low` and
    `drop_high` (NaN without two pairs), and `dev_drop`, the same on the dev split, by which one chooses;
    `download_bytes`, `dense_bytes`, `time_ratio` (NaN where not timed) and `training_seconds` are means.
    """
    seeds = {name: _by_seed(own) for name, own in table.groupby("family", sort=False)}
    on_dev = {name: _by_seed(own.assign(f1=own["dev_f1"])) for name, own in table.groupby("family", sort=False)}
    nothing = pd.Series(dtype=float)
    dense, dense_on_dev = (next((found[name] for name in WHOLE if name in found), nothing) for found in (seeds, on_dev))
    rows = []
    for name, own in table.groupby("family", sort=False):
        interval, lost = t_interval(seeds[name]), t_interval((dense - seeds[name]).dropna())
        costs = own[["download_bytes", "dense_bytes", "time_ratio", "training_seconds"]].mean()
        rows.append({"family": name, "technique": own["technique"].iloc[0], "f1": interval.mean, "low": interval.low,
                     "high": interval.high, "seeds": interval.n, "drop": lost.mean, "drop_low": lost.low,
                     "drop_high": lost.high, "dev_drop": (dense_on_dev - on_dev[name]).mean()}
                    | costs.to_dict())  # fmt: skip
    return pd.DataFrame(rows).sort_values("download_bytes", ignore_index=True)


def _by_seed(own: pd.DataFrame) -> pd.Series:
    """Mean F1 over languages by seed, of the seeds that have all of them."""
    rows = language_average(own) if own["language"].nunique() > 1 else own
    return rows.groupby("seed")["f1"].mean()


def families_by_language(table: pd.DataFrame) -> pd.DataFrame:
    """`families` of each language alone, with a column `language`."""
    return pd.concat([families(own).assign(language=code) for code, own in table.groupby("language")])


def fronts_in_words(table: pd.DataFrame, *, cost: str = "download_bytes") -> str:
    """How many kinds of recipe stand on the front of every language, how many on one, and the smallest of the first."""
    fronts = {code: set(front(families(own), cost=cost)["family"]) for code, own in table.groupby("language")}
    shared = set.intersection(*fronts.values())
    alone = sum(sum(name in other for other in fronts.values()) == 1 for name in set.union(*fronts.values()))
    if not shared:
        return f"No kind of recipe is on the front of F1 and bytes in all {count_of(len(fronts), 'language')}."
    smallest = table[table["family"].isin(shared)].groupby("family")[cost].mean().idxmin()
    return (
        f"{count_of(len(shared), 'kind')} of recipe {'is' if len(shared) == 1 else 'are'} on the front of F1 and bytes "
        f"in all {count_of(len(fronts), 'language')}, {alone} in one alone. The smallest of those that all share: "
        f"{in_words(smallest)}."
    )


def front(found: pd.DataFrame, *, cost: str) -> pd.DataFrame:
    """The families that no other beats: every one that costs no more has a lower F1. Rising in cost."""
    ordered = found.dropna(subset=[cost]).sort_values([cost, "f1"], ascending=[True, False])
    best = ordered["f1"].cummax()
    return ordered[(ordered["f1"] == best) & ~best.duplicated()].reset_index(drop=True)


def choices(found: pd.DataFrame, *, drops: Sequence[float]) -> pd.DataFrame:
    """For each loss that one may accept, in points on dev, the family that takes the fewest bytes to download.

    F1 and what is lost are of the test split. Size and time are shares of those of the model left whole.
    """
    dense = found[found["family"].isin(WHOLE)]
    rows = []
    for limit in drops:
        within = found[found["dev_drop"] <= limit]
        if within.empty or dense.empty:
            continue
        one = within.loc[within["download_bytes"].idxmin()]
        rows.append({
            "at most lost": count_of(int(limit), "point") if limit == int(limit) else f"{limit:g} points",
            "recipe": in_words(one["family"]) if one["family"] not in WHOLE else "leave it whole",
            "F1": f"{one['f1']:.1f}",
            "lost": give_or_take(_lost(one), 1),
            "download (MB)": f"{one['download_bytes'] / 1e6:.2f}",
            "size": f"{100 * one['download_bytes'] / dense['download_bytes'].iloc[0]:.0f} %",
            "time": "not measured" if math.isnan(one["time_ratio"]) else f"{100 * one['time_ratio']:.0f} %",
        })  # fmt: skip
    return pd.DataFrame(rows)


def choices_by_language(table: pd.DataFrame, *, drop: float) -> pd.DataFrame:
    """The choice for each language by itself, at most `drop` points lost on dev; `table` is what `recipes` gives."""
    rows = []
    for language, own in table.groupby("language"):
        found = families(own)
        for _, one in choices(found, drops=[drop]).iterrows():
            whole = found[found["family"].isin(WHOLE)].iloc[0]
            rows.append({"language": name_of(language), "F1, left whole": f"{whole['f1']:.1f}"}
                        | one.drop("at most lost").to_dict())  # fmt: skip
    return pd.DataFrame(rows)


def recommendation(found: pd.DataFrame, *, drops: Sequence[float]) -> str:
    """Which recipe to use, in a paragraph."""
    table = choices(found, drops=drops)
    if table.empty:
        return "Not measured: the store holds no dense model of this encoder in all of the languages."
    whole = found[found["family"].isin(WHOLE)].iloc[0]
    first, *more = table.drop_duplicates("recipe").to_dict("records")
    said = [
        f"To lose at most {first['at most lost']} of F1: {first['recipe']}, {first['download (MB)']} MB to download "
        f"({first['size']} of the whole model's {whole['download_bytes'] / 1e6:.2f} MB), F1 {first['F1']} against "
        f"{whole['f1']:.1f}."
    ]
    said += [
        f"To lose at most {row['at most lost']}: {row['recipe']}, {row['download (MB)']} MB ({row['size']}), F1 "
        f"{row['F1']}."
        for row in more
    ]
    end = f"It is the smallest of {len(found)} kinds of recipe" if not more else f"Out of {len(found)} kinds of recipe"
    named = dict.fromkeys(re.findall(r"quantize \(([\w.-]+)", " ".join(table["recipe"])))
    meanings = [f"{form} is {FORMS[form]}." for form in named if form in FORMS]
    return " ".join([*said, f"{end}, chosen on dev; means over languages and seeds.", *meanings])


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The families as a reader's table, the smallest first."""
    return pd.DataFrame({
        "recipe": found["family"].str.removeprefix("Pretrain > "),
        "F1": [give_or_take(t_interval([row.f1]) if row.seeds < 2 else _as_interval(row), 1)
               for row in found.itertuples()],
        "seeds": found["seeds"],
        "lost": [give_or_take(_lost(row), 1) for _, row in found.iterrows()],
        "download (MB)": found["download_bytes"] / 1e6,
        "in memory (MB)": found["dense_bytes"] / 1e6,
        "time / fp32": found["time_ratio"],
        "training (s)": found["training_seconds"].round(0),
    })  # fmt: skip


def _as_interval(row) -> Interval:
    return Interval(row.f1, row.low, row.high, row.seeds)


def _lost(row: pd.Series) -> Interval:
    """The points lost as an interval; of no or one pair, the mean alone."""
    known = not math.isnan(row["drop_low"])
    return Interval(row["drop"], row["drop_low"], row["drop_high"],
                    int(row["seeds"]) if known else 0 if math.isnan(row["drop"]) else 1)  # fmt: skip
