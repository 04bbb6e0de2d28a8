"""All recipes that have a record, side by side: which is the best for its size, and what became of each claim."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from smaller import results
from smaller.data.languages import LANGUAGES
from smaller.findings.cells import give_or_take
from smaller.findings.words import count_of, name_of
from smaller.paths import outputs_folder
from smaller.recipes import recipe_from_canonical
from smaller.statistics import Interval, language_average, t_interval

WHOLE = ("FineTune", "Pretrain > FineTune")
"""What the family of the model that nothing was taken from is called; the sample's encoders are pre-trained first."""

_PLAIN = {
    "FineTune": "fine-tune", "Pretrain": "pre-train", "Adapt": "adapt to the language", "Distil": "distil",
    "Cut": "cut", "Prune": "prune", "PruneHeads": "prune heads", "PruneFeedForward": "prune feed-forward neurons",
    "TruncateHidden": "narrow the hidden states", "TrimVocabulary": "trim the vocabulary", "Quantize": "quantize",
}  # fmt: skip
_SINGLE = re.compile(r",? ?seed \d+|,? ?(?:(?<![\w/])[\w.-]+/)?(?P<codes>\b[a-z]{3}(?:\+[a-z]{3})*)(?=[,)]|$)")
_INVENTORY = Path(__file__).with_name("inventory.csv")


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
    save nothing. `time_ratio` is the latency as a share of the dense model's,
    where both were timed in one run; `download_bytes` is what zlib leaves of the weights.
    """
    records = [record for record in records if record["recipe"]["encoder"] == encoder]
    table = results.table(records)
    table = table[(table["split"] == "test") & (table["noise"] == "") & (table["dataset"] == dataset)]
    table = table[(table["dataset"] + "/" + table["language"] == table["trained_on"])]
    table = table[table["language"].isin(list(languages)) & ~table["technique"].str.contains("rounded")].copy()
    table["family"] = [family(label) for label in table["label"]]
    table["download_bytes"] = table["compressed_bytes"]
    table["time_ratio"] = table["identity"].map(_time_ratios(records))
    whole = table.groupby("family")["language"].nunique() == len(set(languages))
    return table[table["family"].map(whole)].reset_index(drop=True)


def _time_ratios(records: Sequence[dict]) -> dict[str, float]:
    """Latency as a share of that of the dense model that was timed in the same run."""
    timed = [
        (record, record["cost"]["latency"]) for record in records if (record["cost"].get("latency") or {}).get("group")
    ]
    dense = {timing["group"]: timing["milliseconds"] for record, timing in timed if _is_dense(record)}
    return {record["identity"]: timing["milliseconds"] / dense[timing["group"]]
            for record, timing in timed if timing["group"] in dense}  # fmt: skip


def _is_dense(record: dict) -> bool:
    name = family(recipe_from_canonical(record["recipe"]).label)
    return name.removesuffix(" > Quantize(fp32)") in WHOLE


def families(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each family: mean F1 over languages with its t interval over seeds, bytes, time, training.

    `f1`, `low`, `high`, `seeds`; `drop` in points below the dense family; `download_bytes`, `dense_bytes`,
    `time_ratio` (NaN where not timed) and `training_seconds` are means.
    """
    rows = []
    for name, own in table.groupby("family", sort=False):
        seeds = language_average(own) if own["language"].nunique() > 1 else own
        interval = t_interval(seeds.groupby("seed")["f1"].mean())
        costs = own[["download_bytes", "dense_bytes", "time_ratio", "training_seconds"]].mean()
        rows.append({"family": name, "technique": own["technique"].iloc[0], "f1": interval.mean, "low": interval.low,
                     "high": interval.high, "seeds": interval.n} | costs.to_dict())  # fmt: skip
    found = pd.DataFrame(rows)
    dense = found.loc[found["family"].isin(WHOLE), "f1"]
    found["drop"] = (dense.iloc[0] if len(dense) else math.nan) - found["f1"]
    return found.sort_values("download_bytes", ignore_index=True)


def front(found: pd.DataFrame, *, cost: str) -> pd.DataFrame:
    """The families that no other beats: every one that costs no more has a lower F1. Rising in cost."""
    ordered = found.dropna(subset=[cost]).sort_values([cost, "f1"], ascending=[True, False])
    best = ordered["f1"].cummax()
    return ordered[(ordered["f1"] == best) & ~best.duplicated()].reset_index(drop=True)


def choices(found: pd.DataFrame, *, drops: Sequence[float]) -> pd.DataFrame:
    """For each loss that one may accept, in points, the family that takes the fewest bytes to download.

    Size and time are shares of those of the model left whole.
    """
    dense = found[found["family"].isin(WHOLE)]
    rows = []
    for limit in drops:
        within = found[found["drop"] <= limit]
        if within.empty or dense.empty:
            continue
        one = within.loc[within["download_bytes"].idxmin()]
        rows.append({
            "at most lost": count_of(int(limit), "point") if limit == int(limit) else f"{limit:g} points",
            "recipe": in_words(one["family"]) if one["family"] not in WHOLE else "leave it whole",
            "F1": f"{one['f1']:.1f}",
            "lost": f"{round(one['drop'], 1) + 0.0:.1f}",
            "download (MB)": f"{one['download_bytes'] / 1e6:.2f}",
            "size": f"{100 * one['download_bytes'] / dense['download_bytes'].iloc[0]:.0f} %",
            "time": "not measured" if math.isnan(one["time_ratio"]) else f"{100 * one['time_ratio']:.0f} %",
        })  # fmt: skip
    return pd.DataFrame(rows)


def choices_by_language(table: pd.DataFrame, *, drop: float) -> pd.DataFrame:
    """The choice for each language by itself, at most `drop` points lost; `table` is what `recipes` gives."""
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
    return " ".join([*said, f"{end}; means over languages and seeds."])


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The families as a reader's table, the smallest first."""
    return pd.DataFrame({
        "recipe": found["family"].str.removeprefix("Pretrain > "),
        "F1": [give_or_take(t_interval([row.f1]) if row.seeds < 2 else _as_interval(row), 1)
               for row in found.itertuples()],
        "seeds": found["seeds"],
        "lost": found["drop"].round(1) + 0.0,
        "download (MB)": found["download_bytes"] / 1e6,
        "in memory (MB)": found["dense_bytes"] / 1e6,
        "time / fp32": found["time_ratio"],
        "training (s)": found["training_seconds"].round(0),
    })  # fmt: skip


def _as_interval(row) -> Interval:
    return Interval(row.f1, row.low, row.high, row.seeds)


def verdicts() -> pd.DataFrame:
    """What each notebook that was run made of the papers' claims: page, claim, printed, measured, verdict."""
    folder = outputs_folder() / "tables"
    rows = []
    for file in sorted(folder.glob("verdicts-*.csv")):
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
        topic = file.stem.removeprefix("verdicts-")
        for row in table.to_dict("records"):
            rows.append({"page": topic, "id": row.get("id", ""), "claim": row.get("claim", ""),
                         "printed": row.get("printed", ""), "measured": row.get("measured", ""),
                         "verdict": row.get("verdict", "")})  # fmt: skip
    return pd.DataFrame(rows, columns=["page", "id", "claim", "printed", "measured", "verdict"])


def inventory(pages: Sequence[str]) -> pd.DataFrame:
    """The questions and claims of both papers, and the page that answers each, "not run" where it is not among pages.

    `pages` are the stems of notebooks that were run. Ids are those of the study's list of questions.
    """
    table = pd.read_csv(_INVENTORY, dtype=str, keep_default_na=False)
    table["answered in"] = [page if page in pages else f"{page} (not run)" if page else "nowhere: not measured"
                            for page in table.pop("notebook")]  # fmt: skip
    return table
