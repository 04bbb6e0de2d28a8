"""Answers on zero-shot transfer to languages that a model was not fine-tuned on, and on what scoring them costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from smaller.findings.cells import give_or_take
from smaller.findings.domains import (
    JOINT,
    ONE,
    ORDERS,
    ZERO_SHOT,
    languages_of,
    masked_only,
    of_pruned,
    settings,
    source_name,
)
from smaller.findings.words import count_of, name_of, percent
from smaller.published import published
from smaller.statistics import (
    describe,
    drop_at,
    language_average,
    t_interval,
)

HOME = "own test set"
KINDS = {ONE: "models of one language", JOINT: "the joint model"}
_SERIES = ["trained", "encoder", "language", "order", "method", "scope", "include", "split", "sparsity", "seed"]


def matrix(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """F1 of the dense models by target and source: means over seeds.

    Rows are data set and language, first (`HOME`, `HOME`), each source's own test set, last the languages that no
    source knows. Columns are sources as in `trained_on`.
    """
    rows = settings(table, split=split)
    rows = rows[rows["order"] == "dense"]
    own = rows["dataset"].str.cat(rows["language"], sep="/") == rows["trained_on"]
    targets = set(zip(rows["dataset"][~own], rows["language"][~own], strict=True))
    kept = [place in targets for place in zip(rows["dataset"], rows["language"], strict=True)]
    rows = pd.concat([rows[own].assign(dataset=HOME, language=HOME), rows[kept]])
    wide = rows.pivot_table(index=["dataset", "language"], columns="trained_on", values="f1")
    known = {code for source in wide.columns for code in languages_of(source)}
    places = sorted(wide.index, key=lambda place: (place[0] != HOME, place[1] not in known, name_of(place[1])))
    return wide.loc[places, sorted(wide.columns, key=lambda source: (len(languages_of(source)), source_name(source)))]


def matrix_in_words(wide: pd.DataFrame) -> pd.DataFrame:
    """The rows of `matrix` with names of languages, for a page."""
    return wide.rename(columns=source_name).rename(index=name_of, level="language").rename_axis(columns=None)


def unseen(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Zero-shot F1 of dense and pruned models in the languages that none of the pruned ones was fine-tuned on.

    Rows of `trained` "one language" are means over the source languages, those of "joint" are of the joint model. Only
    sources that were pruned count, dense and pruned, so that a curve never changes its sources on the way.
    """
    rows = of_pruned(masked_only(settings(table, split=split)))
    known = {code for source in rows["trained_on"].unique() for code in languages_of(source)}
    rows = rows[(rows["setting"] == ZERO_SHOT) & ~rows["language"].isin(known)]
    groups = rows.groupby(_SERIES)
    means = groups["f1"].mean().to_frame().assign(sources=groups["trained_on"].nunique()).reset_index()
    complete = means["sources"] == means.groupby("trained")["sources"].transform("max")
    return means[complete].assign(dataset=ZERO_SHOT)


def at_home(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """F1 on their own test sets of the models that `unseen` speaks of."""
    rows = of_pruned(masked_only(settings(table, split=split)))
    return rows[rows["dataset"].str.cat(rows["language"], sep="/") == rows["trained_on"]]


def reach(table: pd.DataFrame, *, split: str = "test") -> str:
    """How good zero-shot transfer of the dense models is."""
    found = unseen(table, split=split)
    found = found[found["order"] == "dense"]
    if found.empty:
        return "Zero-shot transfer was not measured: every target is a language that the models were fine-tuned on."
    sentences = []
    for kind, words in KINDS.items():
        own = found[found["trained"] == kind]
        if own.empty:
            continue
        means = own.groupby("language")["f1"].mean().sort_values()
        sentences.append(
            f"Without compression, {words} {'reach' if kind == ONE else 'reaches'} a mean F1 of "
            f"{describe(t_interval(language_average(own)['f1']))}, in {count_of(len(means), 'language')} never "
            f"fine-tuned on, from {means.iloc[0]:.1f} in {name_of(means.index[0])} to {means.iloc[-1]:.1f} in "
            f"{name_of(means.index[-1])}."
        )
    return " ".join(sentences)


def breaks(table: pd.DataFrame, *, split: str = "test") -> str:
    """Where zero-shot transfer breaks as sparsity rises, beside where the same models break at home (paper 1, OQ1)."""
    away, home = unseen(table, split=split), at_home(table, split=split)
    sentences = []
    for kind, words in KINDS.items():
        there, here = (losses(rows[rows["trained"] == kind], split=split) for rows in (away, home))
        orders = [order for order in ORDERS if order in there and order in here]
        if orders:
            two, half = ([(order, there[order][loss], here[order][loss]) for order in orders] for loss in (0, 1))
            half = [row for row in half if not all(map(math.isnan, row[1:]))]
            verb = "lose" if kind == ONE else "loses"
            sentences.append(f"{words[0].upper()}{words[1:]} {verb} zero-shot 2 points of F1 {_in_orders(two)}; half "
                             f"of it {_in_orders(half) or _where(math.nan)}.")  # fmt: skip
    if not sentences:
        return "Where zero-shot transfer breaks was not measured: no pruned model was tested in an unseen language."
    return " ".join(sentences) + " Sparsities are linear between the points of the grid."


def _in_orders(rows: Sequence[tuple[str, float, float]]) -> str:
    return " and ".join(f"{_where(away)} (at home {_where(home)}) {ORDERS[order]}" for order, away, home in rows)


def _where(sparsity: float) -> str:
    return "nowhere on this grid" if math.isnan(sparsity) else f"at {percent(sparsity)}"


def losses(rows: pd.DataFrame, *, split: str = "test") -> dict[str, tuple[float, float]]:
    """For each order the sparsities at which average F1 has lost 2 points, and half of the dense model's F1."""
    if rows.empty or set(rows["order"]) == {"dense"}:
        return {}
    average = language_average(rows)
    dense = average.loc[average["order"] == "dense", "f1"].mean()
    two, half = (drop_at(average, points=points, split=split).set_index("order")["sparsity"] if points > 0 else
                 pd.Series(dtype=float) for points in (2.0, dense / 2))  # fmt: skip
    return {order: (two[order], half.get(order, math.nan)) for order in two.index}


def by_target(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """A row for each unseen language: dense F1, the best other source, the joint model, where pruning costs 2 points.

    F1 is a mean with half its t interval over seeds; "supervised, printed" is a published score after fine-tuning on
    the language itself (AfriBERTa-large on MasakhaNER 2.0).
    """
    found, wide = unseen(table, split=split), matrix(table, split=split)
    alone = [source for source in wide if len(languages_of(source)) == 1]
    printed = published(table="NER 2.0 baselines", metric="f1").set_index("language")["value"]
    rows = []
    for language, own in sorted(found.groupby("language"), key=lambda item: name_of(item[0])):
        row: dict[str, object] = {"language": name_of(language)}
        for kind in KINDS:
            dense = own[(own["trained"] == kind) & (own["order"] == "dense")]
            row[f"dense F1, {kind}"] = give_or_take(t_interval(dense["f1"]), 1)
        others = [source for source in alone if languages_of(source) != (language,)]
        best = wide.xs(language, level="language")[others].mean()
        row["best source"] = f"{source_name(best.idxmax())} ({best.max():.1f})"
        lost = losses(own[own["trained"] == ONE], split=split)
        row |= {f"{order}: 2 points lost at": percent(lost[order][0]) for order in ORDERS if order in lost}
        rows.append(row | {"supervised, printed": printed.get(language, math.nan)})
    return pd.DataFrame(rows)


def scoring_cost(table: pd.DataFrame) -> str:
    """What scoring the further sets took."""
    own = table["dataset"].str.cat(table["language"], sep="/") == table["trained_on"]
    away = table[~own | (table["noise"] != "")]
    known = away.dropna(subset="scoring_seconds") if "scoring_seconds" in away else away[:0]
    if known.empty:
        return "What scoring the further sets took is not in these records."
    models = known["identity"].nunique()
    sets = known[["dataset", "language", "split", "noise", "rate", "noise_seed"]].drop_duplicates()
    total, sentences = known["scoring_seconds"].sum(), known["sentences"].sum()
    return (
        f"Scoring {count_of(models, 'model')} on {count_of(len(sets), 'further set')} took {total:,.0f} seconds, "
        f"{total / len(known):.2f} for a model and set, {1000 * total / sentences:.2f} milliseconds for a sentence. It "
        "is inference alone: no model was trained for it."
    )
