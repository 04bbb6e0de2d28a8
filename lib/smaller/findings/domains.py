"""Answers on models in another domain of their own language, and on compressed models away from home.

`table` is the tidy table of one encoder with the rows of further evaluation sets (`study.run(recipes, sets=...)`).
A model is in domain in the data set and language that it was fine-tuned on, out of domain in another data set of its
language, and transfers zero-shot to a language that it was not fine-tuned on. Languages, and pairs of source and
target, are fixed; seeds are the sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from smaller.comparison import MARGIN, NOT_DECIDED, paired
from smaller.encoders import TRAINED
from smaller.findings.finding import ANSWERED, Finding, missing
from smaller.findings.words import count_of, name_of, percent
from smaller.statistics import language_average, of_split, t_interval

ORDERS = {"before": "pruned before fine-tuning", "after": "pruned after fine-tuning"}
IN_DOMAIN, OUT_OF_DOMAIN, ZERO_SHOT = SETTINGS = ("in domain", "out of domain", "zero-shot")
ONE, JOINT = "one language", "joint"


def languages_of(trained_on: str) -> tuple[str, ...]:
    """The languages of a model's training data: ("hau", "swa") for "masakhaner/hau+swa"."""
    return tuple(trained_on.rpartition("/")[2].split("+"))


def source_name(trained_on: str) -> str:
    """The training languages in words: "Swahili", or "joint of 3"."""
    codes = languages_of(trained_on)
    return name_of(codes[0]) if len(codes) == 1 else f"joint of {len(codes)}"


def settings(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """The rows of a split without noise, and their `setting` (one of `SETTINGS`) and `trained`: `ONE` or `JOINT`."""
    rows = of_split(table, split)
    rows = rows[rows["noise"] == ""]
    found = []
    for trained_on, dataset, language in zip(rows["trained_on"], rows["dataset"], rows["language"], strict=True):
        inside = set(language.split("+")) <= set(languages_of(trained_on))
        found.append(ZERO_SHOT if not inside else IN_DOMAIN if trained_on.startswith(f"{dataset}/") else OUT_OF_DOMAIN)
    joint = rows["trained_on"].str.contains("+", regex=False)
    return rows.assign(setting=found, trained=joint.map({False: ONE, True: JOINT}))


def masked_only(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Of `settings` the rows of dense models and of those that are pruned and nothing else."""
    rows = settings(table, split=split)
    return rows[rows["technique"].isin(["dense", "pruned"]) & (rows["form"] == TRAINED)]


def of_pruned(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of those sources that were also pruned, so that every mean over sources is over the same ones.

    Where no model of a language, or no joint model, was pruned, all of that kind.
    """
    pruned = rows["trained_on"].isin(rows.loc[rows["order"].isin(ORDERS), "trained_on"])
    return rows[pruned | ~pruned.groupby(rows["trained"]).transform("any")]


def at_home(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """F1 on their own test sets of dense and pruned models, of the sources that were pruned."""
    rows = of_pruned(masked_only(table, split=split))
    return rows[rows["dataset"].str.cat(rows["language"], sep="/") == rows["trained_on"]]


def domains(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Dense and pruned models of one language that were also tested in another domain of it.

    One row for each model and other data set: `f1` there, `in_domain`, and `gap`, in domain minus out of domain.
    """
    rows = masked_only(table, split=split).query("trained == @ONE")
    home = rows.loc[rows["setting"] == IN_DOMAIN, ["identity", "language", "f1"]]
    away = rows[rows["setting"] == OUT_OF_DOMAIN].merge(home.rename(columns={"f1": "in_domain"}))
    return away.assign(gap=away["in_domain"] - away["f1"])


def by_language(
    table: pd.DataFrame, features: pd.DataFrame, distances: pd.DataFrame, *, split: str = "test"
) -> pd.DataFrame:
    """The dense models in both domains of their language, and how the encoder's tokenizer cuts the words of each.

    `features` and `distances` are the tables of `data.features`. More tokens to a word out of domain mean another
    spelling or another vocabulary.
    """
    dense = domains(table, split=split).query("order == 'dense'")
    cut = features.set_index("language")["pieces_per_word"]
    there = distances.drop_duplicates(["dataset", "language"]).set_index(["dataset", "language"])["pieces_per_word"]
    columns = {IN_DOMAIN: "in_domain", OUT_OF_DOMAIN: "f1", "gap": "gap"}
    return pd.DataFrame([
        {"language": name_of(place[1])} | {name: t_interval(own[column]) for name, column in columns.items()} | {
            "tokens per word, training": cut.get(place[1], math.nan),
            "tokens per word, out of domain": there.get(place, math.nan),
        }
        for place, own in dense.groupby(["dataset", "language"])
    ])  # fmt: skip


def changes(table: pd.DataFrame, *, language: str = "", split: str = "test") -> pd.DataFrame:
    """What pruning does to F1 out of domain, a row for each order and sparsity, against the dense models.

    `change` is the comparison out of domain, `beyond` that of the change out of domain with the change in domain.
    With `language`, of that one alone.
    """
    found = domains(table, split=split)
    found = found[found["language"] == language] if language else found
    dense, pruned, key = found[found["order"] == "dense"], found[found["order"] != "dense"], ["order", "sparsity"]
    away = paired(pruned, dense, by=key, one_for_all=True)
    # F1 away minus F1 at home, pruned minus dense: the same as the change away minus the change at home.
    beyond = paired(*(rows.assign(f1=-rows["gap"]) for rows in (pruned, dense)), by=key, one_for_all=True)
    both = away.assign(change=away["comparison"], beyond=beyond["comparison"])
    return both[[*key, "change", "beyond"]].sort_values(key, ascending=[False, True], ignore_index=True)


def pruning_helps(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """Does pruning help out of domain (paper 1, Q4)?

    It helps where a gain is shown, and does not where no interval holds a gain of the margin; else nothing is decided.
    """
    found = changes(table, split=split)
    if found.empty:
        return missing("models out of domain")
    of = f"{count_of(len(found), 'setting')} of order and sparsity"
    signs, beyond = ([one.sign for one in found[column]] for column in ("change", "beyond"))
    up, down = signs.count(1), signs.count(-1)
    unsure = [one for one in found["change"] if one.sign < 1 and not one.interval.high < MARGIN]
    if up:
        headline = f"Pruning raises F1 out of domain at {up} of {of}."
    elif unsure:
        headline = f"Whether pruning helps out of domain is not decided at {len(unsure)} of {of}."
    else:
        headline = f"Pruning does not help out of domain: no interval of {of} holds a gain of {MARGIN:g} points."
    highest = found["change"].map(lambda one: one.interval.high).groupby(found["order"]).max()
    excluded = highest.dropna().clip(lower=0.0).to_dict()
    bounds = " and ".join(f"above {gain:.1f} points when {ORDERS[order]}" for order, gain in excluded.items())
    unit = found["change"].iloc[0]
    return Finding(
        headline,
        f"F1 is shown to fall at {down} of the {len(found)}. "
        + (f"The intervals exclude a gain {bounds}. " if bounds else "One seed excludes no gain. ")
        + f"Each setting is compared with the dense models over {count_of(unit.interval.n, 'seed')}, after averaging "
        f"over {count_of(len(unit.languages), 'language')}. Pruning is shown to cost less out of domain than in domain "
        f"at {beyond.count(1)} of them and more at {beyond.count(-1)}.",
        values={"changes": found, "up": up, "down": down, "unsure": len(unsure), "excluded": excluded},
        verdict=NOT_DECIDED if unsure and not up else ANSWERED,
    )


def techniques(table: pd.DataFrame, *, sparsity: float = 0.5, split: str = "test") -> pd.DataFrame:
    """F1 of models of one language in domain, out of domain and zero-shot, and its change against the dense models.

    Of the pruned ones those whose sparsity is nearest to `sparsity`; of the sources those that were pruned. Pairs of
    source and target are averaged first, intervals and comparisons are over seeds; p is corrected for all of them.
    """
    rows = of_pruned(settings(table, split=split)).query("trained == @ONE")
    grid = rows.loc[rows["sparsity"] > 0, "sparsity"].unique()
    nearest = min(grid, key=lambda share: abs(share - sparsity), default=0.0)
    rows = rows[rows["sparsity"].isin([0.0, nearest])]
    rows = rows.assign(
        model=[_model(row) for row in rows.to_dict("records")],
        language=rows["trained_on"] + ">" + rows["dataset"] + "/" + rows["language"],
        dataset=rows["setting"],
    )
    dense, others = rows[rows["order"] == "dense"], rows[rows["order"] != "dense"]
    changes = paired(others, dense, by=["model", "setting"], one_for_all=True).set_index(["model", "setting"])
    # Models take the place of techniques, so that two forms of one technique are no mean.
    average = language_average(rows.assign(technique=rows["model"]))
    levels = average.groupby(["technique", "dataset"])["f1"].apply(t_interval).rename_axis(changes.index.names)
    table = levels.to_frame("F1").join(changes["comparison"].rename("change")).unstack("setting")
    columns = [(name, setting) for setting in SETTINGS for name in ("F1", "change") if (name, setting) in table]
    table = table.reindex(sorted(rows["model"].unique(), key=lambda name: name != "dense"))[columns]
    return table.set_axis([f"{setting}, {name}" for name, setting in columns], axis="columns").reset_index()


def _model(row: Mapping) -> str:
    """What a row's model is, in the words of the table of techniques."""
    shape = [f"{row['layers']} layers"] * ("distilled" in row["technique"])
    form = [row["form"]] * (row["form"] != TRAINED)
    mask = [f"{percent(row['sparsity'])} {row['order']} fine-tuning"] * (row["order"] in ORDERS)
    return ", ".join([row["technique"], *shape, *mask, *form])
