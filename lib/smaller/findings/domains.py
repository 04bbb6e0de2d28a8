"""Answers on models in another domain of their own language, and on compressed models away from home.

`table` is the tidy table of one encoder with the rows of further evaluation sets (`study.run(recipes, sets=...)`).
A model is in domain in the data set and language that it was fine-tuned on, out of domain in another data set of its
language, and transfers zero-shot to a language that it was not fine-tuned on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from smaller.encoders import TRAINED
from smaller.findings.cells import give_or_take, with_unit
from smaller.findings.words import count_of, name_of, percent
from smaller.statistics import (
    Interval,
    describe,
    holm,
    language_average,
    of_split,
    paired_difference,
    permutation_test,
    t_interval,
)

ORDERS = {"before": "pruned before fine-tuning", "after": "pruned after fine-tuning"}
IN_DOMAIN, OUT_OF_DOMAIN, ZERO_SHOT = SETTINGS = ("in domain", "out of domain", "zero-shot")
ONE, JOINT = "one language", "joint"
NOT_MEASURED = (
    "Out of domain was not measured: no target is another data set of a language that the models were fine-tuned on."
)


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


def masked_only(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of dense models and of those that are pruned and nothing else."""
    return rows[rows["technique"].isin(["dense", "pruned"]) & (rows["form"] == TRAINED)]


def of_pruned(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of those sources that were also pruned, so that no mean over sources changes them on the way.

    Where no model of a language, or no joint model, was pruned, all of that kind.
    """
    pruned = rows["trained_on"].isin(rows.loc[rows["order"].isin(ORDERS), "trained_on"])
    return rows[pruned | ~pruned.groupby(rows["trained"]).transform("any")]


def domains(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Dense and pruned models of one language that were also tested in another domain of it.

    One row for each model and other data set: `f1` there, `in_domain`, and `gap`, in domain minus out of domain.
    """
    rows = masked_only(settings(table, split=split))
    rows = rows[rows["trained"] == ONE]
    home = rows.loc[rows["setting"] == IN_DOMAIN, ["identity", "language", "f1"]]
    away = rows[rows["setting"] == OUT_OF_DOMAIN].merge(home.rename(columns={"f1": "in_domain"}))
    return away.assign(gap=away["in_domain"] - away["f1"])


def gaps(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """In domain, out of domain, and the gap between them for each order and sparsity: means over the languages.

    Behind each mean stands half its t interval over seeds.
    """
    average = language_average(of_pruned(domains(table, split=split)))
    rows = []
    for (order, sparsity), own in average.groupby(["order", "sparsity"]):
        found = {name: t_interval(own[column])
                 for name, column in ((IN_DOMAIN, "in_domain"), (OUT_OF_DOMAIN, "f1"), ("gap", "gap"))}  # fmt: skip
        cells = {name: give_or_take(interval, 1) for name, interval in found.items()}
        rows.append({"order": order, "sparsity": percent(sparsity)} | cells | {"n": found["gap"].n})
    return pd.DataFrame(rows)


def by_language(
    table: pd.DataFrame, features: pd.DataFrame, distances: pd.DataFrame, *, split: str = "test"
) -> pd.DataFrame:
    """The dense models in both domains of their language, and how the encoder's tokenizer cuts the words of each.

    `features` and `distances` are the tables of `data.features`. More pieces to a word out of domain mean another
    spelling or another vocabulary. Behind each mean of F1 stands half its t interval over seeds.
    """
    found = domains(table, split=split)
    cut = features.set_index("language")["pieces_per_word"]
    there = distances.drop_duplicates(["dataset", "language"]).set_index(["dataset", "language"])
    rows = []
    for place, own in found[found["order"] == "dense"].groupby(["dataset", "language"]):
        cells = {name: give_or_take(t_interval(own[column]), 1)
                 for name, column in ((IN_DOMAIN, "in_domain"), (OUT_OF_DOMAIN, "f1"), ("gap", "gap"))}  # fmt: skip
        rows.append({"language": name_of(place[1])} | cells | {
            "pieces per word, training": cut.get(place[1], math.nan),
            "pieces per word, out of domain": there["pieces_per_word"].get(place, math.nan),
            "n": own["seed"].nunique(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def changes(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """What pruning does to F1 out of domain, a row for each order and sparsity, against the dense model.

    Pairs are languages and seeds. `mean`, `low`, `high` and `n` are of the change; `p_value` is that of the sign-flip
    test, `holm` the same after Holm's correction for the number of rows; `gains` counts the `languages` whose mean
    rises. `beyond` is the change out of domain minus the change in domain, with `beyond_low` and `beyond_high`.
    """
    wide = domains(table, split=split).pivot_table(
        index=["language", "seed"], columns=["order", "sparsity"], values=["f1", "in_domain"]
    )
    rows = []
    for order, sparsity in [column[1:] for column in wide if column[0] == "f1" and column[1] != "dense"]:
        away, home = (wide[of, order, sparsity] - wide[of, "dense", 0.0] for of in ("f1", "in_domain"))
        change, beyond = t_interval(away), paired_difference(away, home)
        test = permutation_test(away, 0 * away, generator=np.random.default_rng(0))
        by_language = away.groupby("language").mean().dropna()
        rows.append({
            "order": order, "sparsity": sparsity, "mean": change.mean, "low": change.low, "high": change.high,
            "n": change.n, "p_value": test.p_value, "gains": int((by_language > 0).sum()),
            "languages": len(by_language), "beyond": beyond.mean, "beyond_low": beyond.low, "beyond_high": beyond.high,
        })  # fmt: skip
    found = pd.DataFrame(rows)
    return found.assign(holm=holm(found["p_value"])) if len(found) else found


def changes_in_words(found: pd.DataFrame) -> pd.DataFrame:
    """The rows of `changes` as the cells of a table."""
    return pd.DataFrame(
        {
            "order": row["order"],
            "sparsity": percent(row["sparsity"]),
            "out of domain, against dense": describe(_interval(row)),
            "languages that gain": f"{row['gains']} of {row['languages']}",
            "p": row["p_value"],
            "p, Holm": row["holm"],
            "beyond the change in domain": describe(_interval(row, of="beyond")),
        }
        for row in found.to_dict("records")
    )


def pruning_helps(table: pd.DataFrame, *, split: str = "test") -> str:
    """Does pruning help out of domain (paper 1, Q4)?"""
    found = changes(table, split=split)
    if found.empty:
        return NOT_MEASURED
    sure = found["holm"] < 0.05
    up, down = int((sure & (found["mean"] > 0)).sum()), int((sure & (found["mean"] < 0)).sum())
    verdict = "does not help" if not up else "helps at some sparsities and hurts at others" if down else "helps"
    best, pairs = found.loc[found["mean"].idxmax()], int(found["n"].min())
    least = 2 / 2**pairs * len(found)
    blind = f" {count_of(pairs, 'pair').capitalize()} are too few for this test: its p cannot fall below {least:.2f}."
    kinder, harder = int((found["beyond_low"] > 0).sum()), int((found["beyond_high"] < 0).sum())
    return (
        f"Pruning {verdict} out of domain: against the dense model, F1 there is higher at {up} and lower at {down} of "
        f"{count_of(len(found), 'setting')} of order and sparsity (sign-flip test over languages and seeds, p < 0.05 "
        f"after Holm's correction).{blind * (least >= 0.05)} The best, {percent(best['sparsity'])} "
        f"{ORDERS[best['order']]}, changes F1 by {with_unit(_interval(best), 'points')}. Beside the change in domain, "
        f"pruning costs less out of domain at {kinder} of these settings and more at {harder}, by the intervals of the "
        "paired difference."
    )


def _interval(row: Mapping, *, of: str = "") -> Interval:
    names = (of, f"{of}_low", f"{of}_high") if of else ("mean", "low", "high")
    return Interval(*(row[name] for name in names), int(row["n"]))


def techniques(table: pd.DataFrame, *, sparsity: float = 0.5, split: str = "test") -> pd.DataFrame:
    """Models of one language, dense and compressed, in domain, out of domain and zero-shot.

    Of the pruned ones those whose sparsity is nearest to `sparsity`; of the sources those that were pruned. Means over
    sources and targets with half the t interval over seeds, and the change against the dense models with that over
    sources and seeds, whose pairs n counts. A dash is what was not measured.
    """
    rows = of_pruned(settings(table, split=split))
    rows = rows[rows["trained"] == ONE]
    grid = rows.loc[rows["sparsity"] > 0, "sparsity"].unique()
    nearest = min(grid, key=lambda share: abs(share - sparsity), default=0.0)
    rows = rows[rows["sparsity"].isin([0.0, nearest])]
    place = ["setting", "trained_on", "dataset", "language", "seed"]
    dense = rows[rows["order"] == "dense"].set_index(place)["f1"].rename("dense")
    lines = []
    for model, own in rows.assign(model=[_model(row) for row in rows.to_dict("records")]).groupby("model", sort=False):
        own = own.join(dense, on=place).dropna(subset="dense")
        line: dict[str, object] = {"model": model}
        for setting in SETTINGS:
            runs = own[own["setting"] == setting].groupby(["trained_on", "seed"])[["f1", "dense"]].mean()
            change = paired_difference(runs["f1"], runs["dense"])
            line[setting] = give_or_take(t_interval(runs["f1"].groupby("seed").mean()), 1)
            line[f"{setting}, change"] = "–" if model == "dense" else give_or_take(change, 1, sign="+")
        lines.append(line | {"n": own[["trained_on", "seed"]].drop_duplicates().shape[0]})
    return pd.DataFrame(lines)


def _model(row: Mapping) -> str:
    """What a row's model is, in the words of the table of techniques."""
    shape = [f"{row['layers']} layers"] * ("distilled" in row["technique"])
    form = [row["form"]] * (row["form"] != TRAINED)
    mask = [f"{percent(row['sparsity'])} {row['order']} fine-tuning"] * (row["order"] in ORDERS)
    return ", ".join([row["technique"], *shape, *mask, *form])
