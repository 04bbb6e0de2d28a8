"""Answers on zero-shot transfer to languages that a model was not fine-tuned on, and on what scoring them costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from smaller.comparison import DEPARTURE, NOT_DECIDED, paired
from smaller.findings import correlations, domains
from smaller.findings.domains import JOINT, ONE, ORDERS, ZERO_SHOT, languages_of, source_name
from smaller.findings.finding import ANSWERED, Finding, missing
from smaller.findings.pruning import against_dense, departures, shown_from
from smaller.findings.words import count_of, name_of, percent
from smaller.published import published
from smaller.statistics import describe, drop_at, language_average, t_interval

HOME = "own test set"
KINDS = {ONE: "models of one language", JOINT: "the joint model"}
INDO_EUROPEAN = "slk"
"""The unseen language of another family: Slovak."""
_SERIES = ["trained", "encoder", "language", "order", "method", "scope", "include", "split", "sparsity", "seed"]


def matrix(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """F1 of the dense models by target and source: means over seeds.

    Rows are data set and language, first (`HOME`, `HOME`), each source's own test set, last the languages that no
    source knows. Columns are sources as in `trained_on`.
    """
    rows = domains.settings(table, split=split)
    rows = rows[rows["order"] == "dense"]
    own = rows["dataset"].str.cat(rows["language"], sep="/") == rows["trained_on"]
    targets = set(zip(rows["dataset"][~own], rows["language"][~own], strict=True))
    kept = [place in targets for place in zip(rows["dataset"], rows["language"], strict=True)]
    rows = pd.concat([rows[own].assign(dataset=HOME, language=HOME), rows[kept]])
    wide = rows.pivot_table(index=["dataset", "language"], columns="trained_on", values="f1")
    known = {code for source in wide.columns for code in languages_of(source)}
    places = sorted(wide.index, key=lambda place: (place[0] != HOME, place[1] not in known, name_of(place[1])))
    return wide.loc[places, sorted(wide.columns, key=lambda source: (len(languages_of(source)), source_name(source)))]


def unseen(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Zero-shot F1 of dense and pruned models in the languages that none of the pruned ones was fine-tuned on.

    Rows of `trained` "one language" are means over the source languages, those of "joint" are of the joint model. Only
    sources that were pruned count, dense and pruned, so that every point of a curve has the same sources.
    """
    rows = domains.of_pruned(domains.masked_only(table, split=split))
    known = {code for source in rows["trained_on"].unique() for code in languages_of(source)}
    rows = rows[(rows["setting"] == ZERO_SHOT) & ~rows["language"].isin(known)]
    groups = rows.groupby(_SERIES)
    means = groups["f1"].mean().to_frame().assign(sources=groups["trained_on"].nunique()).reset_index()
    complete = means["sources"] == means.groupby("trained")["sources"].transform("max")
    return means[complete].assign(dataset=ZERO_SHOT)


def reach(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """How good zero-shot transfer of the dense models is, and whether the joint model's is better."""
    found = unseen(table, split=split).query("order == 'dense'")
    told, levels = [], {}
    for kind, own in ((kind, found[found["trained"] == kind]) for kind in KINDS if kind in set(found["trained"])):
        means = own.groupby("language")["f1"].mean().sort_values()
        levels[kind] = t_interval(language_average(own)["f1"])
        told += [
            f"The mean zero-shot F1 of {KINDS[kind]} without compression is {describe(levels[kind])}, in "
            f"{count_of(len(means), 'language')} never fine-tuned on.",
            f"The lowest mean is {means.iloc[0]:.1f} in {name_of(means.index[0])}, the highest {means.iloc[-1]:.1f} in "
            f"{name_of(means.index[-1])}.",
        ]
    if not levels:
        return missing("languages that no model was fine-tuned on")
    (joint,) = paired(*(found[found["trained"] == kind] for kind in (JOINT, ONE)))["comparison"]
    if joint.interval.n:
        told.append(f"The joint model minus models of one language: {joint} ({joint.verdict}).")
    verdict = ANSWERED if any(level.known for level in levels.values()) else NOT_DECIDED
    return Finding(told[0], " ".join(told[1:]), values={"levels": levels, "joint": joint}, verdict=verdict)


def lost_at(rows: pd.DataFrame, *, split: str = "test") -> dict[str, float]:
    """For each order the sparsity at which average F1 has lost two points (NaN where it never does on the grid)."""
    drops = drop_at(language_average(rows), points=DEPARTURE, split=split).set_index("order")["sparsity"]
    return {order: drops[order] for order in ORDERS if order in drops}


def breaks(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """Where zero-shot transfer breaks as sparsity rises, beside where the same models break at home (paper 1, OQ1)."""
    away, home = unseen(table, split=split), domains.at_home(table, split=split)
    told, values = [], {}
    for kind, words in KINDS.items():
        there, here = (rows[rows["trained"] == kind] for rows in (away, home))
        if set(there["order"]) <= {"dense"}:
            continue
        tested = against_dense(there, split=split)
        places, at_home = lost_at(there, split=split), lost_at(here, split=split)
        shown = {order: shown_from(tested[tested["order"] == order]) for order in places}
        first = " and ".join(f"{_where([place])} when {ORDERS[order]}" for order, place in places.items())
        told += [
            f"Mean zero-shot F1 of {words} has fallen by {DEPARTURE:g} points {first}.",
            f"On their own test sets the same models have lost as much {_where(at_home.values())}. The intervals over "
            f"seeds exclude a smaller zero-shot loss {_where(shown.values(), 'from {} on')}.",
        ]
        values[kind] = {"away": places, "home": at_home, "shown": shown, "tested": tested}
    if not values:
        return missing("pruned models in unseen languages")
    decided = any(not math.isnan(place) for own in values.values() for place in own["shown"].values())
    text = " ".join([*told[1:], "Between the points of the grid this is linear."])
    return Finding(told[0], text, values=values, verdict=ANSWERED if decided else NOT_DECIDED)


def _where(sparsities: Sequence[float], form: str = "at {} sparsity") -> str:
    """Where something happens in the orders that were measured, pruned before fine-tuning first."""
    told = ["nowhere on this grid" if math.isnan(one) else form.format(percent(one)) for one in sparsities]
    return told[0] if len(set(told)) == 1 else f"{' and '.join(told)}, respectively"


def by_target(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """A row for each unseen language, as `pruning.departures`: dense zero-shot F1, and where pruning has cost 2 points.

    "dense F1, joint" is that of the joint model, "supervised, printed" a published score after fine-tuning on the
    language itself (AfriBERTa-large on MasakhaNER 2.0).
    """
    found = unseen(table, split=split)
    alone, joint = (found[found["trained"] == kind] for kind in KINDS)
    joint = joint[joint["order"] == "dense"].groupby("language")["f1"].apply(t_interval)
    printed = published(table="NER 2.0 baselines", metric="f1").set_index("language")["value"]
    codes = sorted(alone["language"].unique())
    further = {"dense F1, joint": joint, "supervised, printed": printed}
    rows = departures(alone, split=split).assign(**{name: own.reindex(codes).array for name, own in further.items()})
    return rows.sort_values("language", ignore_index=True)


def scoring_cost(table: pd.DataFrame) -> Finding:
    """What scoring the further sets took."""
    own = table["dataset"].str.cat(table["language"], sep="/") == table["trained_on"]
    known = table[~own | (table["noise"] != "")].dropna(subset="scoring_seconds")
    if known.empty:
        return missing("times of scoring")
    models = known["identity"].nunique()
    sets = len(known[["dataset", "language", "split", "noise", "rate", "noise_seed"]].drop_duplicates())
    total, each = known["scoring_seconds"].sum(), 1000 * known["scoring_seconds"].sum() / known["sentences"].sum()
    return Finding(
        f"Scoring {count_of(models, 'model')} on {count_of(sets, 'further set')} took {total:,.0f} seconds.",
        f"That is {each:.2f} milliseconds for a sentence. It is inference alone: no model was trained for it.",
        values={"models": models, "sets": sets, "seconds": total, "milliseconds": each},
    )


def claims(table: pd.DataFrame, features: pd.DataFrame, *, split: str = "test") -> dict[str, Finding | list[Finding]]:
    """What this page says of each claim; `features` is what `correlations.features_and_compression` gives."""
    away = domains.domains(table, split=split)
    dense = away[(away["order"] == "dense") & (away["language"] == "yor")]
    pruned = away[(away["language"] == "swa") & (away["order"] != "dense") & (away["sparsity"] <= 0.6)]
    swahili, yoruba = (domains.changes(table, language=code, split=split) for code in ("swa", "yor"))
    found = unseen(table, split=split)
    grid = [share for share in found["sparsity"].unique() if 0.5 < share < 0.9]
    above = min(grid, key=lambda share: abs(share - 0.7), default=math.nan)  # the nearest point to 70 %
    half, more = (found[found["sparsity"].sub(share).abs() < 1e-6] for share in (0.5, above))
    return {
        "Q4": domains.pruning_helps(table, split=split),
        "P1-F4a": _changes(swahili[swahili["sparsity"] <= 0.6], max, "Swahili"),
        "P1-F4b": _changes(yoruba[yoruba["sparsity"] > 0.5], min, "Yoruba"),
        "P1-F4c": _levels(pruned[pruned["sparsity"] == pruned["sparsity"].max()], "Out of domain, Swahili"),
        "D22": _levels(dense, "Out of domain, Yoruba"),
        "OQ1": breaks(table, split=split),
        "P1-F5": _levels(half[half["order"] != "dense"], "Zero-shot"),
        "D17": [Finding(f"From 50 to {percent(above)} sparsity, zero-shot F1 of {KINDS[row.trained]} changes by "
                        f"{row.comparison} when {ORDERS[row.order]}.", quantity=row.comparison)
                for row in paired(more, half, by=["trained", "order"])[::-1].itertuples()]
        or missing("zero-shot models near 70 % sparsity"),
        "OQ2": correlations.clearest(features),
        "NC2": _levels(found[(found["order"] == "dense") & (found["language"] == INDO_EUROPEAN)], "Zero-shot Slovak"),
    }  # fmt: skip


def _levels(rows: pd.DataFrame, where: str) -> list[Finding] | Finding:
    """F1 of each kind of model, each order and sparsity: a mean over languages, with its interval over seeds."""
    found = []
    rows = rows.sort_values(["trained", "order"], ascending=False)  # one language first, and pruned before fine-tuning
    for (kind, order, sparsity), own in rows.groupby(["trained", "order", "sparsity"], sort=False):
        level = t_interval(language_average(own)["f1"])
        which = "without compression" if order == "dense" else f"{ORDERS[order]} at {percent(sparsity)} sparsity"
        found.append(Finding(f"{where} F1 of {KINDS[kind]} {which} is {describe(level)}.", quantity=level,
                             verdict=ANSWERED if level.known else NOT_DECIDED))  # fmt: skip
    return found or missing(f"models for this claim ({where} F1)")


def _changes(found: pd.DataFrame, which: type(min), language: str) -> list[Finding] | Finding:
    """Change of F1 out of domain against dense in each order, at the lowest or highest sparsity of `found`."""
    if found.empty:
        return missing(f"pruned {language} models out of domain")
    return [
        Finding(f"Out of domain, F1 in {language} changes by {row.change} when {ORDERS[row.order]} at "
                f"{percent(row.sparsity)} sparsity.", quantity=row.change)
        for row in found[found["sparsity"] == which(found["sparsity"])].itertuples()
    ]  # fmt: skip
