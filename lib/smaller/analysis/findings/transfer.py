"""Answers on models away from home: in another domain of their language, and in languages never fine-tuned on.

`table` is the tidy table of one encoder with the rows of further evaluation sets (`study.run(recipes, sets=...)`).
Languages, and pairs of source and target, are fixed; seeds are the sample.
"""

import itertools
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from smaller.analysis import comparison
from smaller.analysis.comparison import AGREES, DEPARTURE, MARGIN, NOT_DECIDED, against, intervals, made, paired
from smaller.analysis.findings.finding import ANSWERED, Finding, missing
from smaller.analysis.findings.pruning import against_dense, departures, fallen
from smaller.analysis.statistics import describe, language_average, of_split, over_seeds, t_interval
from smaller.base.words import count_of, percent
from smaller.data.languages import name_of
from smaller.data.published import published
from smaller.encoders import TRAINED

ORDERS = {"before": "pruned before fine-tuning", "after": "pruned after fine-tuning"}
IN_DOMAIN, OUT_OF_DOMAIN, ZERO_SHOT = SETTINGS = ("in domain", "out of domain", "zero-shot")
ONE, JOINT = "one language", "joint"
KINDS = {ONE: "models of one language", JOINT: "the joint model"}
HOME = "own test set"
_SERIES = ["trained", "encoder", "language", "order", "method", "scope", "include", "split", "sparsity", "seed"]


def languages_of(trained_on: str) -> tuple[str, ...]:
    """The languages of a model's training data: ("hau", "swa") for "masakhaner/hau+swa"."""
    return tuple(trained_on.rpartition("/")[2].split("+"))


def source_name(trained_on: str) -> str:
    """The training languages in words: "Swahili", or "joint of 3"."""
    codes = languages_of(trained_on)
    return name_of(codes[0]) if len(codes) == 1 else f"joint of {len(codes)}"


def at_own_set(rows: pd.DataFrame) -> pd.Series:
    """Whether each row is about the data set and the languages that its model was fine-tuned on."""
    return rows["dataset"].str.cat(rows["language"], sep="/") == rows["trained_on"]


def settings(table: pd.DataFrame) -> pd.DataFrame:
    """The test rows without noise, and their `setting` (one of `SETTINGS`) and `trained`: `ONE` or `JOINT`."""
    rows = of_split(table, "test")
    rows = rows[rows["noise"] == ""]
    places = zip(rows["language"], rows["trained_on"], strict=True)
    away = [not set(language.split("+")) <= set(languages_of(trained_on)) for language, trained_on in places]
    home = rows["dataset"] == rows["trained_on"].str.rpartition("/")[0]
    joint = rows["trained_on"].str.contains("+", regex=False)
    setting = np.select([away, home], [ZERO_SHOT, IN_DOMAIN], OUT_OF_DOMAIN)
    return rows.assign(setting=setting, trained=joint.map({False: ONE, True: JOINT}))


def masked_only(table: pd.DataFrame) -> pd.DataFrame:
    """Of `settings` the rows of dense models and of those that are pruned and nothing else."""
    rows = settings(table)
    return rows[rows["technique"].isin(["dense", "pruned"]) & (rows["form"] == TRAINED)]


def of_pruned(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of those sources that were also pruned, so that means are over the same; all of a kind if none was."""
    pruned = rows["trained_on"].isin(rows.loc[rows["order"].isin(ORDERS), "trained_on"])
    return rows[pruned | ~pruned.groupby(rows["trained"]).transform("any")]


def at_home(table: pd.DataFrame) -> pd.DataFrame:
    """F1 on their own test sets of dense and pruned models, of the sources that were pruned."""
    rows = of_pruned(masked_only(table))
    return rows[at_own_set(rows)]


def domains(table: pd.DataFrame) -> pd.DataFrame:
    """Dense and pruned models of one language in another domain of it: `f1` there, `in_domain`, and their `gap`."""
    rows = masked_only(table).query("trained == @ONE")
    home = rows.loc[rows["setting"] == IN_DOMAIN, ["identity", "language", "f1"]]
    away = rows[rows["setting"] == OUT_OF_DOMAIN].merge(home.rename(columns={"f1": "in_domain"}))
    return away.assign(gap=away["in_domain"] - away["f1"])


def elsewhere(table: pd.DataFrame) -> pd.DataFrame:
    """Of `domains` the sources that were pruned: one mean over the other data sets of a language for each seed."""
    rows = of_pruned(domains(table)).groupby(_SERIES, as_index=False)
    return rows[["f1", "in_domain"]].mean().assign(dataset=OUT_OF_DOMAIN)


def by_language(table: pd.DataFrame, features: pd.DataFrame, distances: pd.DataFrame) -> pd.DataFrame:
    """The dense models in both domains of their language, and how the encoder's tokenizer cuts the words of each."""
    dense, place = domains(table).query("order == 'dense'"), ["dataset", "language"]
    found = dense.groupby(place)[["in_domain", "f1", "gap"]].agg(list).map(t_interval)
    cut = features.set_index("language")["pieces_per_word"].rename("tokens per word, training")
    there = distances.drop_duplicates(place).set_index(place)["pieces_per_word"]
    found = found.join(cut, on="language").join(there.rename("tokens per word, out of domain"))
    found = found.rename(columns={"in_domain": "in domain", "f1": "out of domain"}).droplevel("dataset")
    return found.rename(index=name_of).reset_index()


def changes(table: pd.DataFrame, *, language: str = "") -> pd.DataFrame:
    """What pruning does to F1 out of domain by order and sparsity, and `beyond` that: compared with in domain."""
    # F1 away minus F1 at home, pruned minus dense: the same as the change away minus the change at home.
    found = domains(table).assign(beyond=lambda own: -own["gap"])
    found = found[found["language"] == language] if language else found
    dense, about = found["order"] == "dense", {"by": ["order", "sparsity"], "match": ["dataset"]}
    told = against(found, dense, **about, over_sentences=True).rename(columns={"comparison": "change"})
    told["beyond"] = against(found, dense, **about, value="beyond")["comparison"]
    return told.drop(columns="verdict").sort_index(ascending=[False, True]).reset_index()


def pruning_helps(table: pd.DataFrame) -> Finding:
    """Does pruning help out of domain (Q4)? It does not where no interval holds a gain of the margin."""
    found = made(changes(table), "change")
    if found.empty:
        return missing("models out of domain")
    seeds = sorted({one.interval.n for one in found["change"]})
    seeds = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else count_of(seeds[0], "seed")
    of = f"{count_of(len(found), 'setting')} of order and sparsity ({seeds})"
    up = sum(one.sign == 1 for one in found["change"])
    lost = sum(one.departs() == AGREES for one in found["change"])
    unsure = sum(one.sign < 1 and not one.interval.high < MARGIN for one in found["change"])
    if up:
        headline = f"Pruning raises F1 out of domain at {up} of {of}."
    elif unsure:
        headline = (
            f"Pruning is not shown to help out of domain: the interval excludes a gain of {MARGIN:g} points at "
            f"{len(found) - unsure or 'none'} of {of}."
        )
    else:
        headline = f"Pruning does not help out of domain: no interval of {of} holds a gain of {MARGIN:g} points."
    # A setting of one seed has no bound, and then none is told of its order.
    highest = found["change"].map(lambda one: one.interval.high).groupby(found["order"]).max(skipna=False)
    excluded = highest.dropna().map(comparison.outward).to_dict()
    gains = {order: f"a gain above {gain:.1f} points" if gain else "any gain" for order, gain in excluded.items()}
    gain = " and ".join(f"{gain} when {ORDERS[order]}" for order, gain in gains.items()) or "no gain"
    return Finding(
        headline,
        f"Single intervals show a loss of {DEPARTURE:g} points at {lost or 'none'} of them, and exclude {gain}.",
        values={"changes": found, "up": up, "lost": lost, "unsure": unsure, "excluded": excluded},
        verdict=NOT_DECIDED if unsure and not up else ANSWERED,
    )


def techniques(table: pd.DataFrame, *, sparsity: float = 0.5) -> pd.DataFrame:
    """F1 of models of one language by model and setting, and the interval of its change; pruned near `sparsity`."""
    rows, key = of_pruned(settings(table)).query("trained == @ONE"), ["model", "setting"]
    grid = rows.loc[rows["sparsity"] > 0, "sparsity"].unique()
    rows = rows[rows["sparsity"].isin([0.0, min(grid, key=lambda share: abs(share - sparsity), default=0.0)])]
    rows = rows.assign(model=[_model(row) for row in rows.to_dict("records")])
    # Sources are averaged first, then targets.
    about = {"match": ["trained_on", "dataset"], "for_all": ["model"]}
    each = against(rows, rows["order"] == "dense", by=key, **about)["comparison"]
    found = pd.DataFrame({"F1": over_seeds(rows, by=key), "change": intervals(each)}).reset_index()
    names = sorted(rows["model"].unique(), key=lambda name: name != "dense")
    rank = {"model": names.index, "setting": SETTINGS.index}
    return found.sort_values(key, key=lambda column: column.map(rank[column.name]), ignore_index=True)


def _model(row: Mapping) -> str:
    """What a row's model is, in the words of the table of techniques."""
    shape = [f"{row['layers']} layers"] * bool(row["on"])  # what a student learned on
    form = [row["form"]] * (row["form"] != TRAINED)
    mask = [f"{percent(row['sparsity'])} {row['order']} fine-tuning"] * (row["order"] in ORDERS)
    return ", ".join([row["technique"], *shape, *mask, *form])


def matrix(table: pd.DataFrame) -> pd.DataFrame:
    """F1 of the dense models by target and source: means over seeds; `HOME` is each source's own test set."""
    rows = settings(table).query("order == 'dense'")
    own, places = at_own_set(rows), rows["dataset"] + "/" + rows["language"]
    rows = pd.concat([rows[own].assign(dataset=HOME, language=HOME), rows[places.isin(places[~own])]])
    wide = rows.pivot_table(index=["dataset", "language"], columns="trained_on", values="f1")
    known = {code for source in wide.columns for code in languages_of(source)}
    order = sorted(wide.index, key=lambda place: (place[0] != HOME, place[1] not in known, name_of(place[1])))
    return wide.loc[order, sorted(wide.columns, key=lambda source: (len(languages_of(source)), source_name(source)))]


def unseen(table: pd.DataFrame) -> pd.DataFrame:
    """Zero-shot F1 of dense and pruned models in languages without a pruned model: means over the same sources."""
    rows = of_pruned(masked_only(table))
    known = {code for source in rows["trained_on"].unique() for code in languages_of(source)}
    rows = rows[(rows["setting"] == ZERO_SHOT) & ~rows["language"].isin(known)]
    means = rows.groupby(_SERIES).agg(f1=("f1", "mean"), sources=("trained_on", "nunique")).reset_index()
    complete = means["sources"] == means.groupby("trained")["sources"].transform("max")
    return means[complete].assign(dataset=ZERO_SHOT)


def reach(table: pd.DataFrame) -> Finding:
    """How good zero-shot transfer of the dense models is, and whether the joint model's is better."""
    found = unseen(table).query("order == 'dense'")
    if found.empty:
        return missing("languages that no model was fine-tuned on")
    levels = over_seeds(found, by=["trained"])
    one, joint = (found[found["trained"] == kind] for kind in KINDS)
    (beyond,) = paired(joint, one)["comparison"]
    kind = ONE if len(one) else JOINT
    return Finding(
        f"The mean zero-shot F1 of {KINDS[kind]} without compression is {describe(levels[kind])}, in "
        f"{count_of(found['language'].nunique(), 'language')} never fine-tuned on.",
        f"The joint model minus models of one language: {beyond} ({beyond.verdict}).",
        values={"levels": levels, "joint": beyond},
        verdict=ANSWERED if any(level.known for level in levels) else NOT_DECIDED,
    )


def lost_at(table: pd.DataFrame) -> pd.DataFrame:
    """Dense F1, and where pruning has cost two points: a row for each kind of model, zero-shot and on own test sets."""
    tested = {HOME: at_home(table), ZERO_SHOT: unseen(table)}
    parts = {
        (KINDS[kind], place): language_average(own)
        for (place, rows), kind in itertools.product(tested.items(), KINDS)
        if len(own := rows[rows["trained"] == kind])
    }
    found = departures(pd.concat([own.assign(language=f"{place}") for place, own in enumerate(parts.values())]))
    names = pd.DataFrame(list(parts), columns=["models", "tested"])
    return names.join(found.assign(language=found["language"].astype(int)).set_index("language"))


def breaks(table: pd.DataFrame) -> Finding:
    """Where zero-shot transfer has lost two points (paper 1, OQ1): of models of one language, where there are any."""
    found = unseen(table)
    kind = next((kind for kind in KINDS if (found["trained"].eq(kind) & found["order"].isin(ORDERS)).any()), "")
    if not kind:
        return missing("pruned models in unseen languages")
    rows = language_average(found[found["trained"] == kind])
    lost, places = fallen(rows)
    decided = any(one.departs() == AGREES for one in against_dense(rows)["comparison"])
    return Finding(
        f"Mean zero-shot F1 of {KINDS[kind]} has fallen by {DEPARTURE:g} points {' and '.join(places)}.",
        f"The intervals over seeds exclude a smaller loss {'on part of' if decided else 'nowhere on'} the grid.",
        values=lost,
        verdict=ANSWERED if decided else NOT_DECIDED,
    )


def by_target(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each unseen language, as `departures`, with a published F1 after fine-tuning on it (MasakhaNER 2.0)."""
    found = unseen(table)
    alone, joint = (found[found["trained"] == kind] for kind in KINDS)
    further = {
        "dense F1, joint": over_seeds(joint[joint["order"] == "dense"], by=["language"]),
        "supervised, printed": published(table="NER 2.0 baselines", metric="f1").set_index("language")["value"],
    }
    rows, codes = departures(alone), sorted(alone["language"].unique())
    rows = rows.assign(**{name: own.reindex(codes).array for name, own in further.items()})
    return rows.sort_values("language", ignore_index=True)


def claims(table: pd.DataFrame, correlations: Finding) -> dict[str, Finding | list[Finding]]:
    """What this page says of each claim; `correlations` is the finding on features of languages and compression."""
    away, found = domains(table), unseen(table)
    swahili, yoruba = (
        changes(table, language=code).rename(columns={"change": "comparison"}).assign(trained=ONE)
        for code in ("swa", "yor")
    )
    low = swahili[swahili["sparsity"] == swahili.loc[swahili["sparsity"] <= 0.6, "sparsity"].max()]
    high = yoruba[yoruba["sparsity"] == yoruba.loc[yoruba["sparsity"] > 0.5, "sparsity"].min()]
    grid = [share for share in found["sparsity"].unique() if 0.5 < share < 0.9]
    above = min(grid, key=lambda share: abs(share - 0.7), default=math.nan)  # the nearest point to 70 %
    half, more = (found[found["sparsity"].sub(share).abs() < 1e-6] for share in (0.5, above))
    further = paired(more, half, by=["trained", "order"]).assign(sparsity=above)
    pruned = away[(away["language"] == "swa") & away["sparsity"].isin(low["sparsity"])]
    slovak = found[(found["order"] == "dense") & (found["language"] == "slk")]
    return {
        "Q4": pruning_helps(table),
        "P1-F4a": _each("Out of domain, Swahili F1", low),
        "P1-F4b": _each("Out of domain, Yoruba F1", high),
        "P1-F4c": _each("Out of domain, Swahili F1", pruned),
        "D22": _each("Out of domain, Yoruba F1", away.query("order == 'dense' and language == 'yor'")),
        "OQ1": breaks(table),
        "P1-F5": _each("Zero-shot F1", half),
        "D17": _each("Compared with 50 % sparsity, zero-shot F1", further),
        "OQ2": correlations,
        # One language is no sample of a family, and its data set is another one.
        "NC2": _each("Zero-shot Slovak F1", slovak, comparison.NOT_COMPARABLE),
    }


def _each(what: str, rows: pd.DataFrame, verdict: str = "") -> list[Finding] | Finding:
    """A finding for each kind of model, order and sparsity: the change that `rows` compare, or the level of F1."""
    keys, compared = ["trained", "order", "sparsity"], "comparison" in rows
    told = made(rows).set_index(keys)["comparison"] if compared else over_seeds(rows, by=keys)
    found = []
    # Models of one language come first, and those pruned before fine-tuning.
    for (kind, order, sparsity), one in told.sort_index(ascending=False).items():
        which = "without compression" if order == "dense" else f"{ORDERS[order]} at {percent(sparsity)} sparsity"
        said = f"changes by {one}" if compared else f"is {describe(one)}"
        found.append(Finding(f"{what} of {KINDS[kind]} {which} {said}.", quantity=one, verdict=verdict))
    return found or missing(f"models for this claim ({what})")
