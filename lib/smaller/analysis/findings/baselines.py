"""How good the dense encoders are, and what a first look at pruning does to one of them."""

import pandas as pd

from smaller.analysis import sentences
from smaller.analysis.comparison import MARGIN, OVER_SENTENCES, against, clarity, made, paired
from smaller.analysis.findings.claims import may_claim
from smaller.analysis.findings.finding import Finding, missing
from smaller.analysis.statistics import AVERAGE, by_seed, describe, of_split, over_seeds, t_interval
from smaller.base.words import count_of
from smaller.data.languages import name_of
from smaller.study.plain import IN_WORDS, at_every_seed

F1_OVER_SEEDS, F1_OVER_SENTENCES = "F1 over seeds", "F1 over sentences"
DENSE_OVER_SEEDS, DENSE_OVER_SENTENCES = "minus dense, over seeds", "minus dense, over sentences"
PLAIN_OVER_SEEDS, PLAIN_OVER_SENTENCES = "minus plain, over seeds", "minus plain, over sentences"


def of_all_seeds(rows: pd.DataFrame, *model: str) -> pd.DataFrame:
    """The rows of those models that have every seed of the dense one in each language: one chooses among these."""
    rows = rows.merge(rows.loc[rows["order"] == "dense", ["language", "seed"]].drop_duplicates())
    own, wanted = (rows.groupby([*by, "language"])["seed"].transform("nunique") for by in (model, ()))
    return rows[own == wanted]


def dense(table: pd.DataFrame) -> Finding:
    """How good the encoder is that is best on dev: mean test F1 over the languages, with both sources of chance."""
    found = by_language(table)
    if found.empty:
        return missing("Dense encoders")
    means = found.groupby("encoder", sort=False).tail(1).set_index("encoder")
    # Encoders are chosen among by the languages and seeds that all of them have.
    dev = table[(table["split"] == "dev") & (table["order"] == "dense")]
    shared = dev.groupby(["language", "seed"])["encoder"].transform("nunique") == len(means)
    shared = by_seed(dev[shared], by=["encoder"]).groupby("encoder").mean()
    best = shared.idxmax() if len(shared) else means.index[0]
    seeds, drawn = means.loc[best, [F1_OVER_SEEDS, F1_OVER_SENTENCES]]
    languages = [code for code in found.loc[found["encoder"] == best, "language"] if code != AVERAGE]
    where = f"in {name_of(languages[0])}" if len(languages) == 1 else f"on average over {len(languages)} languages"
    chosen = f", which is the best of {len(means)} encoders on dev," if len(shared) > 1 else ""
    return Finding(
        f"{best}{chosen} has this test F1 {where}: {describe(seeds)}."
        if seeds.n
        else f"No seed of {best} was measured in every language.",
        f"Over sentences: {describe(drawn)}.",
        quantity=seeds,
        values={"best": best, "means": means},
    )


def by_language(table: pd.DataFrame, published: pd.DataFrame | None = None) -> pd.DataFrame:
    """Test F1 of each dense encoder by language and on average, in both sources of chance, beside `published`.

    The published averages are over the languages of that encoder.
    """
    found = []
    for encoder, own in of_split(table, "test").query("order == 'dense'").groupby("encoder", sort=False):
        parts = dict(list(own.groupby("language")))
        for language, part in (parts | ({AVERAGE: own} if len(parts) > 1 else {})).items():
            found.append((encoder, language, t_interval(by_seed(part)), sentences.interval(part)))
    found = pd.DataFrame(found, columns=["encoder", "language", F1_OVER_SEEDS, F1_OVER_SENTENCES])
    if published is None:
        return found
    known = published.pivot(index="language", columns="row", values="value").rename(columns="{}, published".format)
    parts = []
    for _, own in found.groupby("encoder", sort=False):
        printed = known.reindex(own["language"])
        printed[printed.index == AVERAGE] = printed.drop(index=AVERAGE, errors="ignore").mean(skipna=False).array
        parts.append(printed)
    return found.join(pd.concat(parts).reset_index(drop=True).rename_axis(None, axis="columns"))


def against_plain(table: pd.DataFrame, plain: pd.DataFrame) -> pd.DataFrame:
    """Each dense encoder beside the model without an encoder (`study.plain.run`), a row for each data set."""
    whole, by = of_split(table, "test").query("order == 'dense'"), ["dataset", "encoder"]
    without = at_every_seed(of_split(plain, "test"), whole["seed"])
    without = without.merge(whole[["dataset", "language"]].drop_duplicates())
    whole = whole[whole["dataset"].isin(without["dataset"])]
    each = paired(whole, without, by=by, for_all=["encoder"], value="score", over_sentences=True)
    both = whole.merge(without[["dataset", "language"]].drop_duplicates())
    each = each.join(over_seeds(both, "score", by=by).rename("score"), on=by)
    each["plain model"] = each["dataset"].map(without.groupby("dataset")["encoder"].first())
    each["its score"] = [row.score.mean - row.comparison.interval.mean for row in each.itertuples()]
    each = each[[*by, "score", "plain model", "its score", "comparison", OVER_SENTENCES]]
    names = {"comparison": PLAIN_OVER_SEEDS, OVER_SENTENCES: PLAIN_OVER_SENTENCES}
    return each.rename(columns={"dataset": "data set"} | names)


def behind_in(table: pd.DataFrame, plain: pd.DataFrame) -> list[str]:
    """The languages in which a dense encoder is shown to be behind the model without one: p is corrected for all."""
    whole = of_split(table, "test").query("order == 'dense'")
    without, by = at_every_seed(of_split(plain, "test"), whole["seed"]), ["dataset", "encoder", "language"]
    each = made(paired(whole, without, by=by, for_all=["encoder"], value="score"))
    return [row.language for row in each.itertuples() if row.comparison.sign == -1]


def ahead(table: pd.DataFrame, plain: pd.DataFrame | None) -> Finding:
    """Whether the dense encoders are ahead of a model without one; headline and quantity are of the least clear lead.

    A lead on average is none of the languages that `values` names: `behind`, where an encoder is shown to be behind.
    """
    compared = plain is not None and not plain.empty
    found = made(against_plain(table, plain), PLAIN_OVER_SEEDS) if compared else pd.DataFrame()
    if found.empty:
        return missing("Models without an encoder")
    rows = sorted((row for _, row in found.iterrows()), key=lambda row: clarity("more")(row[PLAIN_OVER_SEEDS]))
    leads = [row[PLAIN_OVER_SEEDS] for row in rows]
    unsure = "is not shown to be ahead of"
    told = [
        f"On {row['data set']}, {row['encoder']} ({row['score'].mean:.1f}) "
        f"{lead.words('is ahead of', 'is behind', unsure, unsure)} {IN_WORDS[row['plain model']]} without an encoder "
        f"({row['its score']:.1f}): {lead}."
        for row, lead in zip(rows, leads, strict=True)
    ]
    behind = behind_in(table, plain)
    if behind and leads[0].sign == 1:
        told.append(f"An encoder is shown to be behind in {', '.join(map(name_of, behind))}.")
    values = {"behind": behind, "leads": leads, "over sentences": [row[PLAIN_OVER_SENTENCES] for row in rows]}
    if not may_claim(Finding("", quantity=leads[0], values=values)):
        told.append("Without a lead, nothing is claimed of compression; what is said is how it changes an encoder.")
    if behind or any(lead.sign == -1 for lead in leads):
        told.append("Where an encoder is behind, the model without one is the one to ship.")
    return Finding(told[0], " ".join(told[1:]), quantity=leads[0], values=values)


def ways(table: pd.DataFrame) -> pd.DataFrame:
    """Each group of the table beside the dense model: test F1, differences in both sources of chance, and sizes."""
    rows, by = of_split(table, "test"), ["group"]
    each = against(rows, rows["order"] == "dense", by=by, over_sentences=True)
    found = {F1_OVER_SEEDS: over_seeds(rows, by=by), DENSE_OVER_SEEDS: each["comparison"]}
    found = pd.DataFrame(found | {DENSE_OVER_SENTENCES: each[OVER_SENTENCES]}).reindex(rows["group"].unique())
    sizes = {"shipped_bytes": "ships (MB)", "dense_bytes": "weights (MB)", "compressed_bytes": "compressed (MB)"}
    columns = rows.reindex(columns=[*sizes, "achieved_sparsity"]).groupby(rows["group"]).mean()
    columns = columns.assign(**columns[list(sizes)] / 1e6).rename(columns=sizes | {"achieved_sparsity": "zero share"})
    return found.join(columns.dropna(axis="columns", how="all")).rename_axis("model").reset_index()


def closest(table: pd.DataFrame) -> Finding:
    """Which pruned model of the table is nearest to the dense one on dev, and what it loses on test."""
    dev = of_all_seeds(table[table["split"] == "dev"], "group")
    dev = by_seed(dev[dev["order"] != "dense"], by=["group"]).groupby("group").mean()
    if dev.empty:
        return missing("Pruned models")
    name, found = dev.idxmax(), ways(table).set_index("model")
    difference, drawn = found.loc[name, [DENSE_OVER_SEEDS, DENSE_OVER_SENTENCES]]
    same = f"keeps the dense model's F1 within {MARGIN:g} points"
    changed = difference.words("gains F1", "loses F1", same, "is not shown to differ from the dense model")
    return Finding(
        f"Of {count_of(len(dev), 'pruned model')}, “{name}” has the highest F1 on dev, and {changed} on test: "
        f"{difference}.",
        f"The difference over sentences: {describe(drawn)}.",
        quantity=difference,
        values={"closest": name, "over sentences": drawn, "table": found},
    )
