"""Answers on models away from home: in another domain of their language, and in languages never fine-tuned on.

`table` is the tidy table of one encoder with the rows of further evaluation sets (`study.run(recipes, sets=...)`).
A model is in domain in the data set and language that it was fine-tuned on, out of domain in another data set of its
language, and transfers zero-shot to a language that it was not fine-tuned on. Languages, and pairs of source and
target, are fixed; seeds are the sample. All of this is about the test split.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from smaller.analysis.comparison import MARGIN, NOT_DECIDED, paired
from smaller.analysis.findings.finding import ANSWERED, Finding, missing
from smaller.analysis.findings.pruning import departures
from smaller.analysis.findings.words import count_of, name_of, percent
from smaller.analysis.published import published
from smaller.analysis.statistics import describe, language_average, of_split, t_interval
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


def by_seed(rows: pd.DataFrame, value: str, *, by: Sequence[str]) -> pd.DataFrame:
    """The mean of a column over languages, for each group of `by` and seed that has all languages of its group."""
    own = rows.groupby([*by, "language", "seed"], sort=False)[value].mean().dropna().reset_index()
    known = own.groupby([*by, "seed"])["language"].transform("nunique")
    own = own[known == own.groupby([*by])["language"].transform("nunique")]
    return own.groupby([*by, "seed"], sort=False)[value].mean().reset_index()


def over_seeds(rows: pd.DataFrame, value: str = "f1", *, by: Sequence[str] = ("model",)) -> pd.Series:
    """The mean of a column over languages for each group of `by`, with its t interval over seeds."""
    return by_seed(rows, value, by=by).groupby([*by], sort=False)[value].agg(t_interval)


def settings(table: pd.DataFrame) -> pd.DataFrame:
    """The test rows without noise, and their `setting` (one of `SETTINGS`) and `trained`: `ONE` or `JOINT`."""
    rows = of_split(table, "test")
    rows = rows[rows["noise"] == ""]
    found = []
    for trained_on, dataset, language in zip(rows["trained_on"], rows["dataset"], rows["language"], strict=True):
        inside = set(language.split("+")) <= set(languages_of(trained_on))
        found.append(ZERO_SHOT if not inside else IN_DOMAIN if trained_on.startswith(f"{dataset}/") else OUT_OF_DOMAIN)
    joint = rows["trained_on"].str.contains("+", regex=False)
    return rows.assign(setting=found, trained=joint.map({False: ONE, True: JOINT}))


def masked_only(table: pd.DataFrame) -> pd.DataFrame:
    """Of `settings` the rows of dense models and of those that are pruned and nothing else."""
    rows = settings(table)
    return rows[rows["technique"].isin(["dense", "pruned"]) & (rows["form"] == TRAINED)]


def of_pruned(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of those sources that were also pruned, so that every mean over sources is over the same ones.

    Where no model of a language, or no joint model, was pruned, all of that kind.
    """
    pruned = rows["trained_on"].isin(rows.loc[rows["order"].isin(ORDERS), "trained_on"])
    return rows[pruned | ~pruned.groupby(rows["trained"]).transform("any")]


def at_home(table: pd.DataFrame) -> pd.DataFrame:
    """F1 on their own test sets of dense and pruned models, of the sources that were pruned."""
    rows = of_pruned(masked_only(table))
    return rows[at_own_set(rows)]


def domains(table: pd.DataFrame) -> pd.DataFrame:
    """Dense and pruned models of one language that were also tested in another domain of it.

    One row for each model and other data set: `f1` there, `in_domain`, and `gap`, in domain minus out of domain.
    """
    rows = masked_only(table).query("trained == @ONE")
    home = rows.loc[rows["setting"] == IN_DOMAIN, ["identity", "language", "f1"]]
    away = rows[rows["setting"] == OUT_OF_DOMAIN].merge(home.rename(columns={"f1": "in_domain"}))
    return away.assign(gap=away["in_domain"] - away["f1"])


def by_language(table: pd.DataFrame, features: pd.DataFrame, distances: pd.DataFrame) -> pd.DataFrame:
    """The dense models in both domains of their language, and how the encoder's tokenizer cuts the words of each.

    `features` and `distances` are the tables of `data.features`. More tokens to a word out of domain mean another
    spelling or another vocabulary.
    """
    dense = domains(table).query("order == 'dense'")
    cut = features.set_index("language")["pieces_per_word"]
    there = distances.drop_duplicates(["dataset", "language"]).set_index(["dataset", "language"])["pieces_per_word"]
    return pd.DataFrame(
        [
            {
                "language": name_of(place[1]),
                "in domain": t_interval(own["in_domain"]),
                "out of domain": t_interval(own["f1"]),
                "gap": t_interval(own["gap"]),
                "tokens per word, training": cut.get(place[1], math.nan),
                "tokens per word, out of domain": there.get(place, math.nan),
            }
            for place, own in dense.groupby(["dataset", "language"])
        ]
    )


def changes(table: pd.DataFrame, *, language: str = "") -> pd.DataFrame:
    """What pruning does to F1 out of domain, a row for each order and sparsity, against the dense models.

    `change` is the comparison out of domain, `beyond` that of the change out of domain with the change in domain.
    With `language`, of that one alone.
    """
    found = domains(table)
    found = found[found["language"] == language] if language else found
    # F1 away minus F1 at home, pruned minus dense: the same as the change away minus the change at home.
    found, key = found.assign(beyond=-found["gap"]), ["order", "sparsity"]
    dense, pruned = found[found["order"] == "dense"], found[found["order"] != "dense"]
    away, beyond = (paired(pruned, dense, by=key, value=of, one_for_all=True) for of in ("f1", "beyond"))
    both = away.assign(change=away["comparison"], beyond=beyond["comparison"])
    return both[[*key, "change", "beyond"]].sort_values(key, ascending=[False, True], ignore_index=True)


def pruning_helps(table: pd.DataFrame) -> Finding:
    """Does pruning help out of domain (paper 1, Q4)?

    It helps where a gain is shown, and does not where no interval holds a gain of the margin; else nothing is decided.
    """
    found = changes(table)
    if found.empty:
        return missing("models out of domain")
    of = f"{count_of(len(found), 'setting')} of order and sparsity"
    signs = [one.sign for one in found["change"]]
    up, down = signs.count(1), signs.count(-1)
    unsure = sum(one.sign < 1 and not one.interval.high < MARGIN for one in found["change"])
    if up:
        headline = f"Pruning raises F1 out of domain at {up} of {of}."
    elif unsure:
        headline = f"Whether pruning helps out of domain is not decided at {unsure} of {of}."
    else:
        headline = f"Pruning does not help out of domain: no interval of {of} holds a gain of {MARGIN:g} points."
    highest = found["change"].map(lambda one: one.interval.high).groupby(found["order"]).max()
    excluded = highest.dropna().clip(lower=0.0).to_dict()
    bounds = " and ".join(f"above {gain:.1f} points when {ORDERS[order]}" for order, gain in excluded.items())
    return Finding(
        headline,
        f"F1 is shown to fall at {down} of them. The intervals exclude {f'a gain {bounds}' if bounds else 'no gain'}.",
        values={"changes": found, "up": up, "down": down, "unsure": unsure, "excluded": excluded},
        verdict=NOT_DECIDED if unsure and not up else ANSWERED,
    )


def techniques(table: pd.DataFrame, *, sparsity: float = 0.5) -> pd.DataFrame:
    """F1 of models of one language in domain, out of domain and zero-shot, and its change against the dense models.

    Of the pruned ones those whose sparsity is nearest to `sparsity`; of the sources those that were pruned. Pairs of
    source and target are averaged first, intervals and comparisons are over seeds; p is corrected for all of them.
    """
    rows, key = of_pruned(settings(table)).query("trained == @ONE"), ["model", "setting"]
    grid = rows.loc[rows["sparsity"] > 0, "sparsity"].unique()
    rows = rows[rows["sparsity"].isin([0.0, min(grid, key=lambda share: abs(share - sparsity), default=0.0)])]
    pairs = rows["trained_on"] + ">" + rows["dataset"] + "/" + rows["language"]
    rows = rows.assign(model=[_model(row) for row in rows.to_dict("records")], language=pairs)
    dense = rows["order"] == "dense"
    change = paired(rows[~dense], rows[dense], by=key, one_for_all=True).set_index(key)["comparison"]
    wide = pd.DataFrame({"F1": over_seeds(rows, by=key), "change": change}).unstack("setting")
    wide = wide.reindex(sorted(rows["model"].unique(), key=lambda name: name != "dense")).rename_axis("model")
    columns = [(name, setting) for setting in SETTINGS for name in ("F1", "change") if (name, setting) in wide]
    return wide[columns].set_axis([f"{setting}, {name}" for name, setting in columns], axis="columns").reset_index()


def _model(row: Mapping) -> str:
    """What a row's model is, in the words of the table of techniques."""
    shape = [f"{row['layers']} layers"] * ("distilled" in row["technique"])
    form = [row["form"]] * (row["form"] != TRAINED)
    mask = [f"{percent(row['sparsity'])} {row['order']} fine-tuning"] * (row["order"] in ORDERS)
    return ", ".join([row["technique"], *shape, *mask, *form])


def matrix(table: pd.DataFrame) -> pd.DataFrame:
    """F1 of the dense models by target and source: means over seeds.

    Rows are data set and language, first (`HOME`, `HOME`), each source's own test set, last the languages that no
    source knows. Columns are sources as in `trained_on`.
    """
    rows = settings(table).query("order == 'dense'")
    own, places = at_own_set(rows), rows["dataset"] + "/" + rows["language"]
    rows = pd.concat([rows[own].assign(dataset=HOME, language=HOME), rows[places.isin(places[~own])]])
    wide = rows.pivot_table(index=["dataset", "language"], columns="trained_on", values="f1")
    known = {code for source in wide.columns for code in languages_of(source)}
    order = sorted(wide.index, key=lambda place: (place[0] != HOME, place[1] not in known, name_of(place[1])))
    return wide.loc[order, sorted(wide.columns, key=lambda source: (len(languages_of(source)), source_name(source)))]


def unseen(table: pd.DataFrame) -> pd.DataFrame:
    """Zero-shot F1 of dense and pruned models in the languages that none of the pruned ones was fine-tuned on.

    Rows of `trained` "one language" are means over the source languages, those of "joint" are of the joint model. Only
    sources that were pruned count, dense and pruned, so that every point of a curve has the same sources.
    """
    rows = of_pruned(masked_only(table))
    known = {code for source in rows["trained_on"].unique() for code in languages_of(source)}
    rows = rows[(rows["setting"] == ZERO_SHOT) & ~rows["language"].isin(known)]
    groups = rows.groupby(_SERIES)
    means = groups["f1"].mean().to_frame().assign(sources=groups["trained_on"].nunique()).reset_index()
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
    """Dense F1, and where pruning has cost two points: a row for each kind of model, zero-shot and on own test sets.

    Means over languages; the columns are those of `pruning.departures`, with `models` for the language.
    """
    parts = [
        language_average(own).assign(language=f"{KINDS[kind]}, {place}")
        for place, rows in ((ZERO_SHOT, unseen(table)), (HOME, at_home(table)))
        for kind, own in rows.groupby("trained")
    ]
    return departures(pd.concat(parts)).rename(columns={"language": "models"})


def breaks(table: pd.DataFrame) -> Finding:
    """Where zero-shot transfer breaks as sparsity rises (paper 1, OQ1); its values are the rows of `lost_at`."""
    found = lost_at(table).set_index("models")
    away = found[found.index.str.endswith(ZERO_SHOT)]
    lost = away.filter(like="points lost").rename(columns=lambda name: name.partition(":")[0])
    if lost.empty:
        return missing("pruned models in unseen languages")
    places = [
        f"{'nowhere on this grid' if math.isnan(place) else f'at {place:.0f} % sparsity'} when {ORDERS[order]}"
        for order, place in lost.iloc[0].items()
    ]
    decided = away.filter(like="shown from").notna().any(axis=None)
    return Finding(
        f"Mean zero-shot F1 of {away.index[0].partition(',')[0]} has fallen by 2 points {' and '.join(places)}.",
        f"The intervals over seeds exclude a smaller loss {'on part of' if decided else 'nowhere on'} the grid.",
        values=found.to_dict("index"),
        verdict=ANSWERED if decided else NOT_DECIDED,
    )


def by_target(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each unseen language, as `pruning.departures`: dense zero-shot F1, and where pruning has cost 2 points.

    "dense F1, joint" is that of the joint model, "supervised, printed" a published score after fine-tuning on the
    language itself (AfriBERTa-large on MasakhaNER 2.0).
    """
    found = unseen(table)
    alone, joint = (found[found["trained"] == kind] for kind in KINDS)
    joint = joint[joint["order"] == "dense"].groupby("language")["f1"].apply(t_interval)
    printed = published(table="NER 2.0 baselines", metric="f1").set_index("language")["value"]
    codes = sorted(alone["language"].unique())
    further = {"dense F1, joint": joint, "supervised, printed": printed}
    rows = departures(alone).assign(**{name: own.reindex(codes).array for name, own in further.items()})
    return rows.sort_values("language", ignore_index=True)


def claims(table: pd.DataFrame, correlations: Finding) -> dict[str, Finding | list[Finding]]:
    """What this page says of each claim; `correlations` is the finding on features of languages and compression."""
    away, found = domains(table), unseen(table)
    swahili, yoruba = (
        changes(table, language=code).rename(columns={"change": "comparison"}).assign(trained=ONE)
        for code in ("swa", "yor")
    )
    low = swahili[swahili["sparsity"] == swahili["sparsity"].where(lambda share: share <= 0.6).max()]
    high = yoruba[yoruba["sparsity"] == yoruba["sparsity"].where(lambda share: share > 0.5).min()]
    grid = [share for share in found["sparsity"].unique() if 0.5 < share < 0.9]
    above = min(grid, key=lambda share: abs(share - 0.7), default=math.nan)  # the nearest point to 70 %
    half, more = (found[found["sparsity"].sub(share).abs() < 1e-6] for share in (0.5, above))
    further = paired(more, half, by=["trained", "order"]).assign(sparsity=above)
    dense = [rows[rows["order"] == "dense"] for rows in (away, found)]
    return {
        "Q4": pruning_helps(table),
        "P1-F4a": _each("Out of domain, Swahili F1", low),
        "P1-F4b": _each("Out of domain, Yoruba F1", high),
        "P1-F4c": _each(
            "Out of domain, Swahili F1", away[(away["language"] == "swa") & away["sparsity"].isin(low["sparsity"])]
        ),
        "D22": _each("Out of domain, Yoruba F1", dense[0][dense[0]["language"] == "yor"]),
        "OQ1": breaks(table),
        "P1-F5": _each("Zero-shot F1", half),
        "D17": _each("Compared with 50 % sparsity, zero-shot F1", further),
        "OQ2": correlations,
        "NC2": _each("Zero-shot Slovak F1", dense[1][dense[1]["language"] == "slk"]),
    }


def _each(what: str, rows: pd.DataFrame) -> list[Finding] | Finding:
    """A finding for each kind of model, order and sparsity: the change that `rows` compare, or the level of F1."""
    keys, compared = ["trained", "order", "sparsity"], "comparison" in rows
    told = rows.set_index(keys)["comparison"] if compared else over_seeds(rows, by=keys)
    found = []
    # Models of one language come first, and those pruned before fine-tuning.
    for (kind, order, sparsity), one in told.sort_index(ascending=False).items():
        which = "without compression" if order == "dense" else f"{ORDERS[order]} at {percent(sparsity)} sparsity"
        said = f"changes by {one}" if compared else f"is {describe(one)}"
        verdict = "" if compared or one.known else NOT_DECIDED
        found.append(Finding(f"{what} of {KINDS[kind]} {which} {said}.", quantity=one, verdict=verdict))
    return found or missing(f"models for this claim ({what})")
