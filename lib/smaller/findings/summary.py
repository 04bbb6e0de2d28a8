"""All recipes that have a record, side by side: which is the best for its size, its time and its training."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from smaller import results, timing
from smaller.comparison import AGREES, DIFFERS, NOT_DECIDED, NOT_MEASURED, Comparison, paired
from smaller.findings.finding import ANSWERED, Finding, missing
from smaller.findings.words import count_of, name_of
from smaller.forms import FORMS
from smaller.statistics import describe, t_interval
from smaller.steps.base import STEPS

_VERBS = {
    "FineTune": "fine-tune", "Pretrain": "pre-train", "Adapt": "adapt to the language", "Distil": "distil",
    "Cut": "cut", "Prune": "prune", "PruneHeads": "prune heads", "PruneFeedForward": "prune feed-forward neurons",
    "TruncateHidden": "narrow the hidden states", "TrimVocabulary": "trim the vocabulary", "Quantize": "quantize",
}  # fmt: skip
_SAID = {
    "layers": "{} layers", "heads": "{} heads", "keep": "{} heads", "hidden_size": "{} wide", "size": "to {:,}",
    "feed_forward": "{} neurons", "transfer_lines": "{:,} unlabelled lines", "width_by": "width by {}", "by": "by {}",
    "on": "on the {}", "start": "{} start",
} | dict.fromkeys(("form", "method", "scope", "include", "logits"), "{}")  # fmt: skip
_SETTINGS = {
    "step", "seed", "dataset", "language", "languages", "corpus", "transfer_corpus", "lines", "updates", "rate",
    "epochs", "learning_rate", "batch_size", "max_length", "warm_up", "weight_decay", "calibration", "tolerance",
}  # fmt: skip
"""What a step is given and no kind of recipe is known by: its data, its seed, and how long it trains."""

PLAIN = {"linear": "a linear model on character n-grams", "crf": "a conditional random field"}
"""Models without an encoder, by what stands for their encoder in the table of `smaller.plain`."""

ONCE = {"Adapt": "the adaptation", "Distil": "the distillation on text", "Pretrain": "the pre-training"}

CURRENCY = {
    "shipped_bytes": "bytes of the folder that ships, without its README",
    "dense_bytes": "bytes of the weights, as some records do not hold the size of the folder that ships",
}
TIME = {"end_to_end_milliseconds": "from text to labels, tokenizer included",
        "milliseconds": "of the network alone, without its tokenizer"}  # fmt: skip


def kind(steps: Sequence[Mapping]) -> str:
    """A recipe without data, language, seed and length of training: "fine-tune, then quantize (onnx-int8)".

    `steps` are canonical forms. The pre-training that makes an encoder is not named.
    """
    return ", then ".join(map(_words, _from_the_encoder(steps)))


def _from_the_encoder(steps: Sequence[Mapping]) -> Sequence[Mapping]:
    return steps[1:] if steps and steps[0]["step"] == "Pretrain" else steps


def _words(step: Mapping) -> str:
    usual = {field.name: field.default for field in dataclasses.fields(STEPS[step["step"]])}
    told = {name: value for name, value in step.items() if name not in _SETTINGS and value is not None}
    said = [_said(name, value) for name, value in told.items() if value != usual[name] and (value or usual[name])]
    return _VERBS.get(step["step"], step["step"]) + (f" ({', '.join(said)})" if said else "")


def _said(name: str, value: object) -> str:
    if name in ("sparsity", "coverage"):
        return f"{100 * value:g} % of the {'weights' if name == 'sparsity' else 'text'}"
    return _SAID.get(name, f"{name.replace('_', ' ')} {{}}").format(f"{value:g}" if isinstance(value, float) else value)


def is_whole(steps: Sequence[Mapping]) -> bool:
    """Whether nothing is taken from the encoder or added to it: it is fine-tuned, and no more."""
    rest = _from_the_encoder(steps)
    return [step["step"] for step in rest] == ["FineTune"] and not rest[0].get("adapter")


def recipes(
    records: Iterable[dict], *, encoder: str, dataset: str, languages: Sequence[str], plain: pd.DataFrame | None = None
) -> pd.DataFrame:
    """`of_table` of an encoder's records; shares of time are taken within the run that timed both models."""
    records = [record for record in records if record["recipe"]["encoder"] == encoder]
    steps = {record["identity"]: record["recipe"]["steps"] for record in records}
    shares = {field: _shares(records, field) for field in TIME}
    return of_table(results.table(records), steps, dataset=dataset, languages=languages, shares=shares, plain=plain)


def of_table(
    table: pd.DataFrame, steps: Mapping[str, Sequence[Mapping]], *, dataset: str, languages: Sequence[str],
    shares: Mapping[str, Mapping[str, float]] | None = None, plain: pd.DataFrame | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Test scores at home, a row for each model, of the kinds of recipe that have every one of the languages.

    `steps` has the canonical steps of each identity, `shares` the share of the dense model's time by the column of the
    time and identity; `plain` is a table of models without an encoder. Rounded weights are left out: they simulate a
    form and save nothing. Where a kind was trained with several settings, each language takes the one with most seeds,
    and of these the best on dev. Columns besides those of `results.table`: kind, whole, dev_f1, draws (seeds of what is
    trained before fine-tuning), bytes, counted (what they are, a key of `CURRENCY`), time_ratio (NaN where not timed)
    and timed (what that is of, a key of `TIME`).
    """
    parts = [table.assign(plain=False), *([plain.assign(plain=True, noise="")] if plain is not None else [])]
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    home = (table["dataset"] == dataset) & table["language"].isin(list(languages)) & (table["noise"].fillna("") == "")
    home &= table["plain"] | (table["dataset"] + "/" + table["language"] == table["trained_on"])
    table = table[home & ~table["technique"].str.contains("rounded")]
    keys = ["identity", "encoder", "language", "seed"]
    dev = table[table["split"] == "dev"].groupby(keys, dropna=False)["f1"].mean().rename("dev_f1")
    table = table[table["split"] == "test"].merge(dev.reset_index(), on=keys, how="left")
    forms = [[] if row.plain else steps[row.identity] for row in table.itertuples()]
    table = table.assign(
        kind=[kind(form) or PLAIN.get(name, name) for form, name in zip(forms, table["encoder"], strict=True)],
        whole=[is_whole(form) for form in forms],
        draws=[{ONCE[step["step"]]: step["seed"] for step in _from_the_encoder(form)
                if step["step"] in ONCE and step.get("on") != "task"} for form in forms],
        setting=[json.dumps([step | {"seed": 0} for step in form], sort_keys=True) for form in forms],
    )  # fmt: skip
    settings = table.groupby(["kind", "language", "setting"]).agg(seeds=("seed", "nunique"), dev=("dev_f1", "mean"))
    best = settings.sort_values(["seeds", "dev"], ascending=False).reset_index().drop_duplicates(["kind", "language"])
    table = table.merge(best[["kind", "language", "setting"]])
    complete = table.groupby("kind")["language"].nunique() == len(set(languages))
    table = table[table["kind"].map(complete)].reset_index(drop=True)
    counted, timed = (_everywhere(table, list(names)) for names in (CURRENCY, TIME))
    dense = table[table["whole"]].groupby("language")[timed].mean()
    beside = (table[timed] / table["language"].map(dense)).where(table["plain"])  # which no run times with others
    share = table["identity"].map((shares or {}).get(timed, {})).astype(float).fillna(beside)
    return table.assign(bytes=table[counted], counted=counted, timed=timed, time_ratio=share)


def _everywhere(table: pd.DataFrame, names: list[str]) -> str:
    """The first column if every row that has one of them has it, else the last."""
    known = table.reindex(columns=names).dropna(how="all")
    return names[0] if len(known) and known[names[0]].notna().all() else names[-1]


def _shares(records: Sequence[dict], field: str) -> dict[str, float]:
    """Time as a share of the dense model's in the same run, one sentence on one thread; a mean over several runs."""
    timed = [
        (record, entry) for record in records for entry in timing.entries(record)
        if (entry["batch"], entry["threads"], entry["device_type"]) == (1, 1, "cpu") and entry.get(field)
    ]  # fmt: skip
    dense = {entry["group"]: entry[field] for record, entry in timed
             if is_whole([step for step in record["recipe"]["steps"] if step.get("form") != "fp32"])}  # fmt: skip
    shares: dict[str, list[float]] = {}
    for record, entry in timed:
        if entry["group"] in dense:
            shares.setdefault(record["identity"], []).append(entry[field] / dense[entry["group"]])
    return {identity: sum(own) / len(own) for identity, own in shares.items()}


def families(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each kind, the smallest first; `table` is what `recipes` gives.

    `F1` is an Interval over seeds of the mean over languages, `f1` its mean, and `minus` a Comparison with the
    uncompressed model (None of itself), corrected for the number of kinds here; `dev_f1` and `dev_drop` are of the dev
    split, by which one chooses. `complete` says that a kind has all seeds of the uncompressed model, or needs none.
    """
    whole = table[table["whole"]]
    seeds = set(_by_seed(whole).index)
    # A model without an encoder is fitted once, and stands beside every seed.
    spread = [own.assign(seed=seed) for _, own in table[table["technique"] == "plain"].groupby("kind")
              for seed in sorted(seeds)]  # fmt: skip
    others = pd.concat([table[~table["whole"] & (table["technique"] != "plain")], *spread])
    minus = paired(others, whole, by=["kind"], one_for_all=True).set_index("kind")["comparison"].to_dict()
    dense = _by_seed(whole, "dev_f1")
    rows = []
    for name, own in table.groupby("kind", sort=False):
        first, f1, on_dev = own.iloc[0], _by_seed(own), _by_seed(own, "dev_f1")
        plain, one = first["technique"] == "plain", minus.get(name)
        once = tuple(step for step in first["draws"] if len({draw[step] for draw in own["draws"]}) == 1)
        once = ("the model without an encoder",) if plain else once if own["seed"].nunique() > 1 else ()
        rows.append(
            {column: first[column] for column in ("kind", "technique", "whole", "counted", "timed")}
            | {"F1": t_interval(f1), "f1": f1.mean(), "minus": one and dataclasses.replace(one, drawn_once=once),
               "dev_f1": on_dev.mean(), "complete": bool(seeds) and (plain or seeds <= set(f1.index)),
               "dev_drop": dense.mean() - on_dev.mean() if plain else (dense - on_dev).mean()}
            | own[["bytes", "compressed_bytes", "time_ratio", "training_seconds"]].mean().to_dict()
        )  # fmt: skip
    return pd.DataFrame(rows).sort_values("bytes", ignore_index=True)


def _by_seed(own: pd.DataFrame, value: str = "f1") -> pd.Series:
    """The mean over languages by seed, of the seeds that have all of them."""
    wide = own.pivot_table(index="seed", columns="language", values=value)
    return wide.dropna().mean(axis="columns")


def units(found: pd.DataFrame) -> str:
    """What the sizes and times of `families` are, for captions."""
    return f"Size: {CURRENCY[found['counted'].iloc[0]]}. Time: {TIME[found['timed'].iloc[0]]}, for one sentence."


def families_by_language(table: pd.DataFrame) -> pd.DataFrame:
    """`families` of each language alone, with a column `language`."""
    return pd.concat([families(own).assign(language=code) for code, own in table.groupby("language")])


def front(found: pd.DataFrame, *, cost: str) -> pd.DataFrame:
    """The kinds that no other beats on dev: every one that costs no more has a lower F1 there. Rising in cost.

    It is chosen among those that have all seeds, so that none is on it by a single lucky run.
    """
    ordered = found[found["complete"]].dropna(subset=[cost, "dev_f1"])
    ordered = ordered.sort_values([cost, "dev_f1"], ascending=[True, False])
    best = ordered["dev_f1"].cummax()
    return ordered[(ordered["dev_f1"] == best) & ~best.duplicated()].reset_index(drop=True)


def fronts(table: pd.DataFrame, *, cost: str = "bytes") -> Finding:
    """How many kinds of recipe stand on the front of every language, how many on one, and the smallest of the first."""
    found = {code: set(front(families(own), cost=cost)["kind"]) for code, own in table.groupby("language")}
    shared = set.intersection(*found.values()) if found else set()
    alone = sum(sum(name in other for other in found.values()) == 1 for name in set().union(*found.values()))
    smallest = table[table["kind"].isin(shared)].groupby("kind")[cost].mean().idxmin() if shared else ""
    return Finding(
        f"{count_of(len(shared), 'kind')} of recipe {'is' if len(shared) == 1 else 'are'} on the front of F1 and size "
        f"in each of {count_of(len(found), 'language')}, and {alone} in one alone.",
        f"The smallest that all languages share: {smallest}." if shared else "",
        values={"fronts": found, "shared": shared, "alone": alone, "smallest": smallest},
    )


def choices(table: pd.DataFrame, *, drops: Sequence[float]) -> pd.DataFrame:
    """For each loss that one may accept, in points on dev, the smallest kind of recipe; F1 and comparison are of test.

    `minus uncompressed` is a Comparison, corrected for the number of kinds that were chosen. `loses less` says whether
    its interval excludes a loss of that many points: "shown", "not decided", or "loses more". Sizes and times are in
    per cent of the uncompressed model's.
    """
    found = families(table)
    able, dense = found[found["complete"]], found[found["whole"]]
    picked = {limit: within.loc[within["bytes"].idxmin(), "kind"] for limit in drops
              if len(dense) and len(within := able[able["dev_drop"] <= limit])}  # fmt: skip
    rows, chosen = [], families(table[table["kind"].isin(picked.values()) | table["whole"]]) if picked else found
    chosen = chosen.set_index("kind")
    for limit, name in picked.items():
        one = chosen.loc[name]
        known = one["minus"].departs(by=limit) if one["minus"] is not None else DIFFERS
        rows.append({
            "at most lost on dev (points)": limit, "recipe": "leave it uncompressed" if one["whole"] else name,
            "F1": one["F1"], "minus uncompressed": one["minus"],
            "loses less": {DIFFERS: "shown", AGREES: "loses more"}.get(known, known), "MB": one["bytes"] / 1e6,
            "size (%)": 100 * one["bytes"] / dense["bytes"].iloc[0], "time (%)": 100 * one["time_ratio"],
        })  # fmt: skip
    return pd.DataFrame(rows)


def choices_by_language(table: pd.DataFrame, *, drop: float) -> pd.DataFrame:
    """The choice for each language by itself, at most `drop` points lost on dev; `table` is what `recipes` gives."""
    found = [
        chosen.drop(columns="at most lost on dev (points)").assign(
            language=name_of(code), uncompressed=[t_interval(_by_seed(own[own["whole"]]))])
        for code, own in table.groupby("language") if len(chosen := choices(own, drops=[drop]))
    ]  # fmt: skip
    first = ["language", "uncompressed"]
    whole = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=first)
    return whole[[*first, *whole.columns.drop(first)]]


def recommendation(table: pd.DataFrame, *, drops: Sequence[float]) -> Finding:
    """Which recipe to use for the first of `drops`, what is shown of it on test, and the recipes for larger losses.

    Nothing is recommended where a model without an encoder is not shown to be behind the uncompressed one.
    """
    chosen = choices(table, drops=drops)
    if chosen.empty:
        return missing("Uncompressed models in all of the languages")
    found = families(table)
    whole = found[found["whole"]].iloc[0]
    rivals = families(table[table["whole"] | (table["technique"] == "plain")])
    rivals = rivals[rivals["technique"] == "plain"].set_index("kind")["minus"].to_dict()
    ahead = {name: one for name, one in rivals.items() if one.sign != -1}
    said = [f"Beside {name}, the uncompressed model has {describe(whole['F1'])}; the difference of {name} from it is "
            f"{one} ({one.verdict})." for name, one in rivals.items()]  # fmt: skip
    first, *more = (rows.iloc[0] for _, rows in chosen.groupby("recipe", sort=False))
    said += [_told(first, name="It is"), *(_told(row, name=f"To lose at most {_points(row)} on dev") for row in more)]
    forms = dict.fromkeys(table.loc[table["kind"].isin(chosen["recipe"]), "form"])
    said += [f"{form} is {FORMS[form]}." for form in forms if form in FORMS]
    values = {"choices": chosen, "kinds": len(found), "whole": whole, "rivals": rivals}
    if ahead:
        name, one = next(iter(ahead.items()))
        return Finding(f"No recipe is recommended, since the uncompressed model is not shown to be ahead of {name}.",
                       " ".join(said), quantity=one, values=values, verdict=NOT_DECIDED)  # fmt: skip
    headline = (
        f"Of {count_of(len(found), 'kind')} of recipe, the smallest that loses at most {_points(first)} of F1 on dev "
        f"takes {first['MB']:.2f} MB instead of {whole['bytes'] / 1e6:.2f} MB."
    )
    verdict = first["loses less"] if first["loses less"] in (NOT_DECIDED, NOT_MEASURED) else ANSWERED
    return Finding(headline, " ".join(said), quantity=first["minus uncompressed"], values=values, verdict=verdict)


def _points(row: pd.Series) -> str:
    number = float(row["at most lost on dev (points)"])
    return f"{number:g} point{'s' * (number != 1)}"


def _told(row: pd.Series, *, name: str) -> str:
    """What was chosen, and what the test split shows of it."""
    one: Comparison | None = row["minus uncompressed"]
    text = f"{name}: {row['recipe']}; {row['MB']:.2f} MB, {row['size (%)']:.1f} % of the uncompressed model."
    if one is None:
        return text
    limit = f"a loss of {_points(row)}"
    shown = {"shown": f"the interval excludes {limit}", "loses more": f"{limit} or more is shown"}.get(
        row["loses less"], f"whether it loses less than {_points(row)} is not decided")  # fmt: skip
    return f"{text} On test its F1 is {describe(row['F1'])}, and its difference from uncompressed is {one}; {shown}."


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The families as a reader's table, the smallest first; "compressed" is what zlib leaves of the weights."""
    return pd.DataFrame({
        "recipe": found["kind"], "F1": found["F1"], "minus uncompressed": found["minus"],
        "dev F1": found["dev_f1"], "MB": found["bytes"] / 1e6, "compressed (MB)": found["compressed_bytes"] / 1e6,
        "time (%)": 100 * found["time_ratio"], "training (s)": found["training_seconds"],
    })  # fmt: skip
