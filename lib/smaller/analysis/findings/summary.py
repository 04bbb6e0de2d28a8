"""All recipes that have a record, side by side: which is the best for its size, its time and its training."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from smaller.analysis.comparison import AGREES, DIFFERS, NOT_DECIDED, NOT_MEASURED, paired
from smaller.analysis.findings.baselines import PLAIN, at_every_seed, by_seed
from smaller.analysis.findings.finding import ANSWERED, Finding, missing
from smaller.analysis.findings.words import count_of, name_of
from smaller.analysis.statistics import t_interval
from smaller.study import results, timing
from smaller.study.steps.base import STEPS

_VERBS = {
    "FineTune": "fine-tune",
    "Pretrain": "pre-train",
    "Adapt": "adapt to the language",
    "Distil": "distil",
    "Cut": "cut",
    "Prune": "prune",
    "PruneHeads": "prune heads",
    "PruneFeedForward": "prune feed-forward neurons",
    "TruncateHidden": "narrow the hidden states",
    "TrimVocabulary": "trim the vocabulary",
    "Quantize": "quantize",
}
_SHARES = {"sparsity": "{} % of the weights", "coverage": "{} % of the text"}
_SAID = (
    _SHARES
    | {
        "layers": "{} layers",
        "heads": "{} heads",
        "keep": "{} heads",
        "hidden_size": "{} wide",
        "size": "to {:,}",
        "feed_forward": "{} neurons",
        "transfer_lines": "{:,} unlabelled lines",
        "width_by": "width by {}",
        "by": "by {}",
        "on": "on the {}",
        "start": "{} start",
    }
    | dict.fromkeys(("form", "method", "scope", "include", "logits"), "{}")
)
_SETTINGS = {
    "step",
    "seed",
    "dataset",
    "language",
    "languages",
    "corpus",
    "transfer_corpus",
    "lines",
    "updates",
    "rate",
    "epochs",
    "learning_rate",
    "batch_size",
    "max_length",
    "warm_up",
    "weight_decay",
    "calibration",
    "tolerance",
}
"""What a step is given and no kind of recipe is known by: its data, its seed, and how long it trains."""

ONCE = {
    "Adapt": "the adaptation",
    "Distil": "the distillation on text",
    "Pretrain": "the pre-training",
    "": "the model without an encoder",
}
_NO_ENCODER = [{"step": "", "seed": 0}]

CURRENCY = {
    "shipped_bytes": "bytes of the folder that ships, without its README",
    "dense_bytes": "bytes of the weights, as some records do not hold the size of the folder that ships",
}
TIME = {
    "end_to_end_milliseconds": "from text to labels, tokenizer included",
    "milliseconds": "of the network alone, without its tokenizer",
}


def kind(steps: Sequence[Mapping]) -> str:
    """A recipe without data, language, seed and length of training: "fine-tune, then quantize (onnx-int8)".

    `steps` are canonical forms. The pre-training that makes an encoder is not named.
    """
    return ", then ".join(map(_words, _from_the_encoder(steps)))


def _from_the_encoder(steps: Sequence[Mapping]) -> Sequence[Mapping]:
    return steps[1:] if steps and steps[0]["step"] == "Pretrain" else steps


def _words(step: Mapping) -> str:
    usual = {field.name: field.default for field in dataclasses.fields(STEPS[step["step"]])}
    said = []
    for name, value in step.items():
        if name in _SETTINGS or value is None or value == usual[name] or not (value or usual[name]):
            continue
        value = 100 * value if name in _SHARES else value
        pattern = _SAID.get(name, f"{name.replace('_', ' ')} {{}}")
        said.append(pattern.format(f"{value:g}" if isinstance(value, float) else value))
    return _VERBS.get(step["step"], step["step"]) + (f" ({', '.join(said)})" if said else "")


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
    table: pd.DataFrame,
    steps: Mapping[str, Sequence[Mapping]],
    *,
    dataset: str,
    languages: Sequence[str],
    shares: Mapping[str, Mapping[str, float]],
    plain: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Test scores at home, a row for each model, of the kinds of recipe that have every one of the languages.

    `steps` has the canonical steps of each identity, `shares` the share of the dense model's time by column of the time
    and identity; models without an encoder, `plain`, stand beside every seed of the dense one. Rounded weights save
    nothing and are left out. Of several settings of a kind, each language takes the one with most seeds, then the best
    on dev. Columns besides those of `results.table`: kind, whole, dev_f1, draws (seeds of what is trained before
    fine-tuning), bytes, counted (a key of `CURRENCY`), time_ratio (NaN where not timed) and timed (a key of `TIME`).
    """
    if plain is not None:
        dense = table["identity"].map(lambda identity: is_whole(steps[identity]))
        table = pd.concat([table, at_every_seed(plain, table.loc[dense, "seed"])], ignore_index=True)
    home = (table["dataset"] == dataset) & table["language"].isin(list(languages)) & (table["noise"].fillna("") == "")
    home &= table["dataset"] + "/" + table["language"] == table["trained_on"]
    table = table[home & ~table["technique"].str.contains("rounded")]
    keys = ["identity", "encoder", "language", "seed"]
    dev = table[table["split"] == "dev"].groupby(keys, dropna=False)["f1"].mean().rename("dev_f1")
    table = table[table["split"] == "test"].merge(dev.reset_index(), on=keys, how="left")
    forms = [steps.get(identity, []) for identity in table["identity"]]
    table = table.assign(
        kind=[kind(form) or PLAIN.get(name, name) for form, name in zip(forms, table["encoder"], strict=True)],
        whole=[is_whole(form) for form in forms],
        draws=[
            {
                ONCE[step["step"]]: step["seed"]
                for step in _from_the_encoder(form) or _NO_ENCODER
                if step["step"] in ONCE and step.get("on") != "task"
            }
            for form in forms
        ],
        setting=[json.dumps([step | {"seed": 0} for step in form], sort_keys=True) for form in forms],
    )
    settings = table.groupby(["kind", "language", "setting"]).agg(seeds=("seed", "nunique"), dev=("dev_f1", "mean"))
    best = settings.sort_values(["seeds", "dev"], ascending=False).reset_index().drop_duplicates(["kind", "language"])
    table = table.merge(best[["kind", "language", "setting"]])
    complete = table.groupby("kind")["language"].nunique() == len(set(languages))
    table = table[table["kind"].map(complete)].reset_index(drop=True)
    counted, timed = (_everywhere(table, list(names)) for names in (CURRENCY, TIME))
    dense = table[table["whole"]].groupby("language")[timed].mean()
    # No run times a model without an encoder with others.
    beside = (table[timed] / table["language"].map(dense)).where(table["technique"] == "plain")
    share = table["identity"].map(shares.get(timed, {})).astype(float).fillna(beside)
    return table.assign(bytes=table[counted], counted=counted, timed=timed, time_ratio=share)


def _everywhere(table: pd.DataFrame, names: list[str]) -> str:
    """The first column if every row that has one of them has it, else the last."""
    known = table.reindex(columns=names).dropna(how="all")
    return names[0] if len(known) and known[names[0]].notna().all() else names[-1]


def _shares(records: Sequence[dict], field: str) -> dict[str, float]:
    """Time as a share of the dense model's in the same run, one sentence on one thread; a mean over several runs."""
    timed = [
        (record, entry)
        for record in records
        for entry in timing.entries(record)
        if (entry["batch"], entry["threads"], entry["device_type"]) == (1, 1, "cpu") and entry.get(field)
    ]
    dense = {
        entry["group"]: entry[field]
        for record, entry in timed
        if is_whole([step for step in record["recipe"]["steps"] if step.get("form") != "fp32"])
    }
    shares = [
        (record["identity"], entry[field] / dense[entry["group"]]) for record, entry in timed if entry["group"] in dense
    ]
    return pd.DataFrame(shares, columns=["identity", "share"]).groupby("identity")["share"].mean().to_dict()


def families(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each kind, the smallest first; `table` is what `recipes` gives.

    `F1` is an Interval over seeds of the mean over languages, `f1` its mean, and `minus` a Comparison with the
    uncompressed model (None of itself), corrected for the number of kinds. One chooses by `dev_f1` and `dev_drop`,
    among the `complete` kinds, which have all seeds of the uncompressed model.
    """
    whole = table[table["whole"]]
    dense = by_seed(whole, "dev_f1")
    minus = paired(table[~table["whole"]], whole, by=["kind"], one_for_all=True).set_index("kind")["comparison"]
    rows = []
    for name, own in table.groupby("kind", sort=False):
        first, f1, on_dev = own.iloc[0], by_seed(own), by_seed(own, "dev_f1")
        once = tuple(
            step
            for step in first["draws"]
            if own["seed"].nunique() > 1 and len({draw[step] for draw in own["draws"]}) == 1
        )
        # A model without an encoder is the same at every seed, so its own F1 has no interval.
        rows.append(
            first[["kind", "technique", "whole", "counted", "timed"]].to_dict()
            | {
                "F1": t_interval(f1[:1] if first["technique"] == "plain" else f1),
                "f1": f1.mean(),
                "minus": dataclasses.replace(minus[name], drawn_once=once) if name in minus else None,
                "dev_f1": on_dev.mean(),
                "complete": len(dense) > 0 and set(dense.index) <= set(f1.index),
                "dev_drop": (dense - on_dev).mean(),
            }
            | own[["bytes", "compressed_bytes", "time_ratio", "training_seconds"]].mean().to_dict()
        )
    return pd.DataFrame(rows).sort_values("bytes", ignore_index=True)


def units(found: pd.DataFrame) -> str:
    """What the sizes and times of `families` are, for captions."""
    return f"Size: {CURRENCY[found['counted'].iloc[0]]}. Time: {TIME[found['timed'].iloc[0]]}, for one sentence."


def families_by_language(table: pd.DataFrame) -> pd.DataFrame:
    """`families` of each language alone, with a column `language`."""
    parts = [families(own).assign(language=code) for code, own in table.groupby("language")]
    return pd.concat(parts, ignore_index=True)


def front(found: pd.DataFrame, *, cost: str = "bytes") -> pd.DataFrame:
    """The kinds that no other beats on dev: every one that costs no more has a lower F1 there. Rising in cost.

    Only kinds that have all seeds can be on it, so that none is by a single lucky run.
    """
    ordered = found[found["complete"]].dropna(subset=[cost, "dev_f1"])
    ordered = ordered.sort_values([cost, "dev_f1"], ascending=[True, False])
    best = ordered["dev_f1"].cummax()
    return ordered[(ordered["dev_f1"] == best) & ~best.duplicated()].reset_index(drop=True)


def fronts(found: pd.DataFrame) -> Finding:
    """How many kinds of recipe stand on the front of every language, how many on one, and the smallest of the first.

    `found` is what `families_by_language` gives.
    """
    languages = found["language"].nunique()
    on = pd.concat([front(own) for _, own in found.groupby("language")]).groupby("kind")["bytes"].agg(["size", "mean"])
    shared, alone = on.loc[on["size"] == languages, "mean"], int((on["size"] == 1).sum())
    return Finding(
        f"{count_of(len(shared), 'kind')} of recipe {'is' if len(shared) == 1 else 'are'} on the front of F1 and size "
        f"in each of {count_of(languages, 'language')}, and {alone} in one alone.",
        f"The smallest that all languages share: {shared.idxmin()}." if len(shared) else "",
        values={"shared": set(shared.index), "alone": alone},
    )


def choices(table: pd.DataFrame, *, drops: Sequence[float]) -> pd.DataFrame:
    """For each loss that one may accept, in points on dev, the smallest kind of recipe; F1 and comparison are of test.

    `minus uncompressed` is a Comparison, corrected for the number of kinds that were chosen; whether its interval
    excludes a loss of that many points is in `loses less` ("shown", "not decided", or "loses more"). Sizes and times
    are in per cent of the uncompressed model's, and without one there is no row. A model without an encoder is no
    choice among recipes: it stands in `families`, on the front, and before any recommendation.
    """
    found = families(table)
    able = found[found["complete"] & (found["technique"] != "plain")]
    picked = {limit: within["kind"].iloc[0] for limit in drops if len(within := able[able["dev_drop"] <= limit])}
    if not picked:
        return pd.DataFrame()
    chosen = families(table[table["kind"].isin(picked.values()) | table["whole"]]).set_index("kind")
    dense, rows = chosen.loc[chosen["whole"], "bytes"].iloc[0], chosen.loc[list(picked.values())].reset_index()
    departs = [
        DIFFERS if one is None else one.departs(by=limit) for limit, one in zip(picked, rows["minus"], strict=True)
    ]
    return pd.DataFrame(
        {
            "at most lost on dev (points)": list(picked),
            "recipe": rows["kind"].mask(rows["whole"], "leave it uncompressed"),
            "uncompressed": [chosen.loc[chosen["whole"], "F1"].iloc[0]] * len(rows),
            "F1": rows["F1"],
            "minus uncompressed": rows["minus"],
            "loses less": [{DIFFERS: "shown", AGREES: "loses more"}.get(one, one) for one in departs],
            "MB": rows["bytes"] / 1e6,
            "size (%)": 100 * rows["bytes"] / dense,
            "time (%)": 100 * rows["time_ratio"],
        }
    )


def choices_by_language(table: pd.DataFrame, *, drop: float) -> pd.DataFrame:
    """The choice for each language by itself, at most `drop` points lost on dev; `table` is what `recipes` gives."""
    found = [choices(own, drops=[drop]).assign(language=name_of(code)) for code, own in table.groupby("language")]
    found = pd.concat(found, ignore_index=True)
    return found[["language", *found.columns.drop("language")]]


def recommendation(table: pd.DataFrame, *, drops: Sequence[float]) -> Finding:
    """Which recipe to use for the first of `drops`, and what is shown of it on test; the table of `choices` has more.

    Nothing is recommended where a model without an encoder is not shown to be behind the uncompressed one.
    """
    chosen = choices(table, drops=drops)
    if chosen.empty:
        return missing("Uncompressed models in all of the languages")
    beside = families(table[table["whole"] | (table["technique"] == "plain")])
    rivals = beside[~beside["whole"]].set_index("kind")["minus"].to_dict()
    first, values = chosen.iloc[0], {"choices": chosen, "kinds": table["kind"].nunique(), "rivals": rivals}
    for name, one in rivals.items():
        if one.sign != -1:
            return Finding(
                f"No recipe is recommended, since the uncompressed model is not shown to be ahead of {name}.",
                f"The difference of {name} from it is {one}.",
                quantity=one,
                values=values,
                verdict=NOT_DECIDED,
            )
    limit, minus, known = first[["at most lost on dev (points)", "minus uncompressed", "loses less"]]
    less = "excluded" if known == "loses more" else known
    test = f" On test its difference from uncompressed is {minus}; a smaller loss than this is {less}." if minus else ""
    return Finding(
        f"Of {count_of(values['kinds'], 'kind')} of recipe, the smallest that loses at most {limit:g} "
        f"point{'' if limit == 1 else 's'} of F1 on dev takes {first['MB']:.2f} MB instead of "
        f"{beside.loc[beside['whole'], 'bytes'].iloc[0] / 1e6:.2f} MB.",
        f"It is: {first['recipe']}.{test}",
        quantity=minus,
        values=values,
        verdict=known if known in (NOT_DECIDED, NOT_MEASURED) else ANSWERED,
    )


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """The families as a reader's table, the smallest first; "compressed" is what zlib leaves of the weights."""
    return pd.DataFrame(
        {
            "recipe": found["kind"],
            "F1": found["F1"],
            "minus uncompressed": found["minus"],
            "dev F1": found["dev_f1"],
            "MB": found["bytes"] / 1e6,
            "compressed (MB)": found["compressed_bytes"] / 1e6,
            "time (%)": 100 * found["time_ratio"],
            "training (s)": found["training_seconds"],
        }
    )
