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
from smaller.paths import outputs_folder
from smaller.recipes import recipe_from_canonical
from smaller.statistics import language_average, t_interval

WHOLE = "FineTune"
"""What the family of the model that nothing was taken from is called."""

_SINGLE = re.compile(r",? ?seed \d+|,? ?(?:(?<![\w/])[\w.-]+/)?(?P<codes>\b[a-z]{3}(?:\+[a-z]{3})*)(?=[,)]|$)")
_INVENTORY = Path(__file__).with_name("inventory.csv")


def family(label: str) -> str:
    """A recipe's steps in one line, without data set, language, seed and encoder: what languages and seeds share."""
    steps = _SINGLE.sub(_without_languages, label.partition(": ")[2])
    return re.sub(r"\(, ", "(", steps).replace("()", "")


def _without_languages(found: re.Match) -> str:
    codes = (found["codes"] or "").split("+")
    return "" if codes == [""] or set(codes) <= LANGUAGES.keys() else found[0]


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
    label = recipe_from_canonical(record["recipe"]).label
    return family(label).split(" > ")[-1] in (WHOLE, "Quantize(fp32)") and "Prune" not in label


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
    dense = found.loc[found["family"].map(_whole), "f1"]
    found["drop"] = (dense.iloc[0] if len(dense) else math.nan) - found["f1"]
    return found.sort_values("download_bytes", ignore_index=True)


def _whole(name: str) -> bool:
    return name.split(" > ")[-1] == WHOLE and "Prune" not in name and "Cut" not in name and "Distil" not in name


def front(found: pd.DataFrame, *, cost: str) -> pd.DataFrame:
    """The families that no other beats: every one that costs no more has a lower F1. Rising in cost."""
    ordered = found.dropna(subset=[cost]).sort_values([cost, "f1"], ascending=[True, False])
    best = ordered["f1"].cummax()
    return ordered[(ordered["f1"] == best) & ~best.duplicated()].reset_index(drop=True)


def choices(found: pd.DataFrame, *, drops: Sequence[float]) -> pd.DataFrame:
    """For each loss that one may accept, in points, the family that takes the fewest bytes to download."""
    dense = found[found["family"].map(_whole)]
    rows = []
    for limit in drops:
        within = found[found["drop"] <= limit]
        if within.empty or dense.empty:
            continue
        one = within.loc[within["download_bytes"].idxmin()]
        rows.append({
            "at most lost": f"at most {limit:g} point{'s' * (limit != 1)}",
            "recipe": one["family"],
            "F1": f"{one['f1']:.1f}",
            "lost": f"{one['drop'] + 0.0:.1f}",
            "MB": f"{one['download_bytes'] / 1e6:.2f}",
            "of the whole": f"{100 * one['download_bytes'] / dense['download_bytes'].iloc[0]:.0f} %",
            "time": "not measured" if math.isnan(one["time_ratio"]) else f"{one['time_ratio']:.2f} of fp32's",
        })  # fmt: skip
    return pd.DataFrame(rows)


def recommendation(found: pd.DataFrame, *, drops: Sequence[float]) -> str:
    """Which recipe to use, in a paragraph."""
    table = choices(found, drops=drops)
    if table.empty:
        return "Not measured: the store holds no dense model of this encoder in all of the languages."
    whole = found[found["family"].map(_whole)].iloc[0]
    said = [
        f"with {row['at most lost']} lost {row['recipe']}: {row['MB']} MB ({row['of the whole']} of the whole), "
        f"F1 {row['F1']}"
        for _, row in table.drop_duplicates("recipe").iterrows()
    ]
    return (
        f"Left whole, F1 is {whole['f1']:.1f} on average at {whole['download_bytes'] / 1e6:.2f} MB. The smallest of "
        f"{len(found)} kinds of recipe for a loss that one accepts: {'; '.join(said)}."
    )


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The families as a reader's table, the smallest first."""
    return pd.DataFrame({
        "recipe": found["family"],
        "F1": [give_or_take(t_interval([row.f1]) if row.seeds < 2 else _as_interval(row), 1)
               for row in found.itertuples()],
        "seeds": found["seeds"],
        "lost": found["drop"].round(1) + 0.0,
        "download (MB)": found["download_bytes"] / 1e6,
        "in memory (MB)": found["dense_bytes"] / 1e6,
        "time / fp32": found["time_ratio"],
        "training (s)": found["training_seconds"].round(0),
    })  # fmt: skip


def _as_interval(row) -> object:
    from smaller.statistics import Interval

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


def checklist(records: Sequence[dict], *, watts: float) -> pd.DataFrame:
    """What somebody needs to repeat the study, counted from its records. Energy is an estimate from assumed `watts`."""
    seeds = sorted({step["seed"] for record in records for step in record["recipe"]["steps"] if step.get("seed")})
    inputs = {name: checksum for record in records for name, checksum in record["inputs"].items()}
    made = [record["provenance"] for record in records]
    trainings = {_key(step): step["report"]["seconds"] for record in records for step in _trained(record)}
    hours = sum(trainings.values()) / 3600
    scoring = sum(record["cost"].get("evaluation_seconds", 0.0) for record in records) / 3600
    libraries = sorted({f"{name} {version}" for one in made for name, version in one["libraries"].items()})
    return pd.DataFrame(
        [
            ("recipes with a record", f"{len(records):,}"),
            ("trainings, each done once", f"{len(trainings):,}"),
            ("seeds", ", ".join(map(str, seeds)) or "none"),
            ("inputs with a checksum", f"{len(inputs):,}"),
            ("code", ", ".join(sorted({one["commit"] for one in made}))),
            ("libraries", ", ".join(libraries)),
            ("devices", "; ".join(sorted({one["device"] for one in made}))),
            ("hours of training", f"{hours:.2f}"),
            ("hours of scoring", f"{scoring:.2f}"),
            ("energy (estimate)", f"{(hours + scoring) * watts / 1000:.3f} kWh, if a worker takes {watts:g} W"),
        ],
        columns=["item", "here"],
    )


def _trained(record: dict) -> list[dict]:
    return [step for step in record["steps"] if step["report"].get("updates")]


def _key(step: dict) -> str:
    """What tells one training from another among the step reports of records: its settings, seconds and losses."""
    return repr(sorted((name, repr(value)) for name, value in step.items()))
