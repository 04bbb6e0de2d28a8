"""How good the dense encoders are, and what a first look at pruning does to one of them."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from smaller.analysis import sentences
from smaller.analysis.comparison import AGREES, MARGIN, NOT_MEASURED, paired
from smaller.analysis.findings.finding import Finding, missing
from smaller.analysis.findings.words import count_of, name_of
from smaller.analysis.statistics import AVERAGE, Interval, describe, of_split, t_interval

OVER_SEEDS, OVER_SENTENCES = "F1 over seeds", "F1 over sentences"

PLAIN = {"linear": "a linear model on character n-grams", "crf": "a conditional random field"}
"""Models without an encoder, by what stands for their encoder in the table of `smaller.study.plain`."""


def by_seed(rows: pd.DataFrame, value: str = "f1") -> pd.Series:
    """The mean over languages by seed, of the seeds that have all languages of the rows."""
    return rows.pivot_table(index="seed", columns="language", values=value).dropna().mean(axis="columns")


def at_every_seed(plain: pd.DataFrame, seeds: Iterable[int]) -> pd.DataFrame:
    """The rows of models without an encoder, once for each seed: nothing in them is drawn, so they stand beside all."""
    every = pd.DataFrame({"seed": sorted(set(seeds))})
    return plain.drop(columns="seed").drop_duplicates().merge(every, how="cross")


def dense(table: pd.DataFrame) -> Finding:
    """How good the best dense encoder is: mean test F1 over the languages, with both of its sources of chance.

    It is chosen on dev. `values` has the row of the means of each encoder, as `by_language` gives it.
    """
    found = by_language(table)
    if found.empty:
        return missing("Dense encoders")
    means = found.groupby("encoder", sort=False).tail(1).set_index("encoder")
    dev = _mean_f1(table[(table["split"] == "dev") & (table["order"] == "dense")], by="encoder")
    best = max(means.index, key=lambda name: dev.get(name, float("-inf")))
    seeds, drawn = means.loc[best, [OVER_SEEDS, OVER_SENTENCES]]
    if seeds.n == 0:
        return Finding(f"No seed of {best} was measured in every language.", verdict=NOT_MEASURED)
    languages = [code for code in found.loc[found["encoder"] == best, "language"] if code != AVERAGE]
    where = f"in {name_of(languages[0])}" if len(languages) == 1 else f"on average over {len(languages)} languages"
    chosen = f", which is the best of {len(means)} encoders on dev," if len(means) > 1 else ""
    return Finding(
        f"{best}{chosen} has a test F1 of {seeds.mean:.1f} {where}.",
        f"F1 with its 95 % interval over seeds: {describe(seeds)}; over sentences: {_over_sentences(drawn)}.",
        quantity=seeds,
        values={"best": best, "means": means},
    )


def _over_sentences(drawn: Interval) -> str:
    return describe(drawn) if drawn.known else f"no interval, since {sentences.LACKING}"


def _mean_f1(rows: pd.DataFrame, *, by: str) -> pd.Series:
    return pd.Series({name: by_seed(own).mean() for name, own in rows.groupby(by, sort=False)}, dtype=float)


def by_language(table: pd.DataFrame, published: pd.DataFrame | None = None) -> pd.DataFrame:
    """Test F1 of each dense encoder in each language, then on average, with intervals over seeds and over sentences.

    `published` has the columns of `smaller.analysis.published.published()`; each of its rows becomes a column.
    """
    found = []
    for encoder, own in of_split(table, "test").query("order == 'dense'").groupby("encoder", sort=False):
        parts = dict(list(own.groupby("language")))
        parts |= {AVERAGE: own} if len(parts) > 1 else {}
        found += [
            (encoder, language, t_interval(by_seed(part)), sentences.interval(part)) for language, part in parts.items()
        ]
    found = pd.DataFrame(found, columns=["encoder", "language", OVER_SEEDS, OVER_SENTENCES])
    if published is None:
        return found
    known = published.pivot(index="language", columns="row", values="value").rename(columns="{}, published".format)
    return found.merge(known, left_on="language", right_index=True, how="left")


def against_plain(table: pd.DataFrame, plain: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Each dense encoder beside the model without an encoder, a row for each data set: the mean over languages.

    `plain` has the rows of `study.plain.run`, of any seed; the languages are those that both have. Columns: data set,
    encoder, score (an Interval over seeds), plain model ("crf" or "linear"), its score, and two differences: "minus
    plain, over seeds" (a Comparison, corrected for the number of rows) and "minus plain, over sentences" (an Interval).
    """
    whole = of_split(table, split).query("order == 'dense'")
    without = at_every_seed(of_split(plain, split), whole["seed"])
    whole = whole.merge(without[["dataset", "language"]].drop_duplicates())
    rivals = without.drop(columns="encoder").merge(whole[["dataset", "encoder"]].drop_duplicates())
    each = paired(whole, rivals, by=["dataset", "encoder"], value="score")
    found = []
    for dataset, encoder, comparison in each[["dataset", "encoder", "comparison"]].itertuples(index=False):
        own = whole[(whole["dataset"] == dataset) & (whole["encoder"] == encoder)]
        theirs = without[(without["dataset"] == dataset) & without["language"].isin(own["language"])]
        seeds = by_seed(own, "score")
        # The one plain model stands beside the mean of all seeds that count.
        drawn = sentences.paired(own[own["seed"].isin(seeds.index)].assign(seed=0), theirs.assign(seed=0), split=split)
        found.append(
            (
                dataset,
                encoder,
                t_interval(seeds),
                theirs["encoder"].iloc[0],
                by_seed(theirs, "score").mean(),
                comparison,
                drawn,
            )
        )
    return pd.DataFrame(
        found,
        columns=[
            "data set",
            "encoder",
            "score",
            "plain model",
            "its score",
            "minus plain, over seeds",
            "minus plain, over sentences",
        ],
    )


def ahead(table: pd.DataFrame, plain: pd.DataFrame | None) -> Finding:
    """Whether the dense encoders are ahead of a model without an encoder: what is said of compression rests on it.

    The headline and the quantity are of the encoder with the least lead.
    """
    found = pd.DataFrame() if plain is None or plain.empty else against_plain(table, plain)
    rows = [row for _, row in found.iterrows() if row["score"].n > 0]
    if not rows:
        return missing("Models without an encoder")
    rows.sort(key=lambda row: row["minus plain, over seeds"].interval.mean)
    told, leads = [], [row["minus plain, over seeds"] for row in rows]
    for row, lead in zip(rows, leads, strict=True):
        verb = {1: "is ahead of", -1: "is behind"}.get(lead.sign, "is not shown to be ahead of")
        told.append(
            f"On {row['data set']}, {row['encoder']} ({row['score'].mean:.1f}) {verb} "
            f"{PLAIN[row['plain model']]} without an encoder ({row['its score']:.1f}): {lead}."
        )
    if any(lead.sign != 1 for lead in leads):
        told.append(
            "Where an encoder is not ahead, no compressed form of it is one to ship: what these pages then say "
            "of a technique is how it changes this encoder."
        )
    return Finding(told[0], " ".join(told[1:]), quantity=leads[0])


def ways(table: pd.DataFrame) -> pd.DataFrame:
    """Each label of the table beside the dense model: test F1, its difference in both sources of chance, and size.

    Differences are paired: by seed (a `Comparison`, corrected for their number), and by sentence.
    """
    rows = of_split(table, "test")
    whole, others = rows[rows["order"] == "dense"], rows[rows["order"] != "dense"]
    each = paired(others, whole, by=["label"], one_for_all=True).set_index("label")["comparison"]
    found = []
    for label, own in rows.groupby("label", sort=False):
        over_sentences = sentences.paired(own, whole) if label in each else None
        sizes = own[["dense_bytes", "compressed_bytes"]].mean() / 1e6
        found.append(
            (label, t_interval(by_seed(own)), each.get(label), over_sentences, *sizes, own["achieved_sparsity"].mean())
        )
    return pd.DataFrame(
        found,
        columns=[
            "model",
            OVER_SEEDS,
            "minus dense, over seeds",
            "minus dense, over sentences",
            "file (MB)",
            "compressed (MB)",
            "zero share",
        ],
    )


def closest(table: pd.DataFrame) -> Finding:
    """Which pruned model of the table is nearest to the dense one on dev, and what it loses on test."""
    dev = _mean_f1(table[(table["split"] == "dev") & (table["order"] != "dense")], by="label")
    if dev.empty:
        return missing("Pruned models")
    name, found = dev.idxmax(), ways(table).set_index("model")
    difference, drawn = found.loc[name, ["minus dense, over seeds", "minus dense, over sentences"]]
    changed = {1: "gains F1", -1: "loses F1"}.get(difference.sign, "is not shown to differ from the dense model")
    if difference.verdict == AGREES:
        changed = f"keeps the dense model's F1 within {MARGIN:g} points"
    return Finding(
        f"Of {count_of(len(dev), 'pruned model')}, “{name}” has the highest F1 on dev, and {changed} on test: "
        f"{difference}.",
        f"The difference over sentences: {_over_sentences(drawn)}.",
        quantity=difference,
        values={"closest": name, "over sentences": drawn, "table": found},
    )
