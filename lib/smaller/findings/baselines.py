"""How good the dense encoders are, and what a first look at pruning does to one of them."""

from __future__ import annotations

import pandas as pd

from smaller import sentences
from smaller.comparison import AGREES, MARGIN, NOT_MEASURED, Comparison, paired
from smaller.findings.finding import Finding, missing
from smaller.findings.words import count_of, name_of
from smaller.statistics import AVERAGE, Interval, language_average, of_split, t_interval

OVER_SEEDS, OVER_SENTENCES = "F1 over seeds", "F1 over sentences"


def dense(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """How good each dense encoder is: mean F1 over the languages, with both of its sources of chance.

    The encoder of the headline is the best on dev; what is said of it is its F1 on `split`.
    """
    found = by_language(table, split=split).set_index(["encoder", "language"])
    names = list(dict.fromkeys(found.index.get_level_values("encoder")))
    if not names:
        return missing("Dense encoders")
    dev = _mean_f1(table[(table["split"] == "dev") & (table["order"] == "dense")], by="encoder")
    best = max(names, key=lambda name: dev.get(name, float("-inf")))
    means, told = {}, []
    for name in names:
        own = found.loc[name]
        whole = own.loc[AVERAGE if AVERAGE in own.index else own.index[0]]
        means[name] = whole
        told.append((f"{name} has F1 {whole[OVER_SEEDS].mean:.1f}. " if len(names) > 1 else "") + _both(whole))
        if AVERAGE in own.index:
            by = own.drop(index=AVERAGE)[OVER_SEEDS].map(lambda one: one.mean).sort_values()
            told[-1] += (f" F1 is lowest in {name_of(by.index[0])} ({by.iloc[0]:.1f}) and highest in "
                         f"{name_of(by.index[-1])} ({by.iloc[-1]:.1f}).")  # fmt: skip
    quantity = means[best][OVER_SEEDS]
    if quantity.n == 0:
        return Finding(f"No seed of {best} was measured in every language.", verdict=NOT_MEASURED)
    languages = [code for code in found.loc[best].index if code != AVERAGE]
    where = f"in {name_of(languages[0])}" if len(languages) == 1 else f"on average over {len(languages)} languages"
    chosen = f", which is the best of {len(names)} encoders on dev," if len(names) > 1 else ""
    return Finding(
        f"{best}{chosen} has a {split} F1 of {quantity.mean:.1f} {where}.",
        " ".join(told), quantity=quantity, values={"best": best, "means": means, "table": found},
    )  # fmt: skip


def _both(row: pd.Series) -> str:
    """What each source of chance says of a mean, as one or two sentences."""
    seeds, drawn = row[OVER_SEEDS], row[OVER_SENTENCES]
    parts = [f"{_bounds(one)} over {count_of(one.n, noun)}" for one, noun in ((seeds, "seed"), (drawn, "sentence"))
             if one.known]  # fmt: skip
    told = [f"The 95 % interval of its F1 is {' and '.join(parts)}."] if parts else []
    if len(parts) == 2:
        wider = "sentences" if drawn.high - drawn.low > seeds.high - seeds.low else "seeds"
        told.append(f"The interval over {wider} is wider.")
    told += [] if seeds.known else ["One seed cannot give an interval."]
    told += [] if drawn.known else [f"There is no interval over sentences, since {sentences.LACKING}."]
    return " ".join(told)


def _bounds(interval: Interval) -> str:
    return f"[{interval.low:.1f}, {interval.high:.1f}]" if interval.known else "without an interval"


def _over_seeds(rows: pd.DataFrame) -> Interval:
    """Mean F1 over seeds, each averaged over the languages first."""
    return t_interval(language_average(rows).groupby("seed")["f1"].mean())


def _mean_f1(rows: pd.DataFrame, *, by: str) -> pd.Series:
    return pd.Series({name: _over_seeds(own).mean for name, own in rows.groupby(by, sort=False)}, dtype=float)


def by_language(
    table: pd.DataFrame, published: pd.DataFrame | None = None, *, split: str = "test"
) -> pd.DataFrame:  # fmt: skip
    """F1 of each dense encoder in each language, then on average, with its intervals over seeds and over sentences.

    `published` has the columns of `smaller.published.published()`; each of its rows becomes a column.
    """
    rows = of_split(table, split).query("order == 'dense'")
    found = []
    for encoder, own in rows.groupby("encoder", sort=False):
        parts = dict(list(own.groupby("language")))
        parts |= {AVERAGE: own} if len(parts) > 1 else {}
        for language, part in parts.items():
            found.append({
                "encoder": encoder,
                "language": language,
                OVER_SEEDS: _over_seeds(part),
                OVER_SENTENCES: sentences.interval(part, split=split),
            })  # fmt: skip
    found = pd.DataFrame(found, columns=["encoder", "language", OVER_SEEDS, OVER_SENTENCES])
    if published is None:
        return found
    known = published.pivot(index="language", columns="row", values="value").rename(columns="{}, published".format)
    return found.merge(known, left_on="language", right_index=True, how="left")


def against_plain(table: pd.DataFrame, plain: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Each dense encoder beside the plain model of each language: scores, and the difference in both sources of chance.

    `plain` has the rows of `smaller.plain.run` for the seeds of the dense models. Columns: encoder, language, score,
    plain, "minus plain, over seeds" (a `Comparison`, corrected for their number) and "minus plain, over sentences".
    """
    rows = of_split(table, split).query("order == 'dense'")
    known = of_split(plain, split)
    each = paired(rows, known.drop(columns="encoder"), by=["dataset", "encoder"], value="score", one_for_all=True)
    found = []
    for comparison, (dataset, encoder) in zip(each["comparison"], each[["dataset", "encoder"]].itertuples(index=False),
                                              strict=True):  # fmt: skip
        own, theirs = rows[(rows["encoder"] == encoder) & (rows["dataset"] == dataset)], known
        theirs = theirs[(theirs["dataset"] == dataset) & theirs["language"].isin(own["language"])]
        found.append({
            "data set": dataset,
            "encoder": encoder,
            "score": t_interval(own.groupby("seed")["score"].mean()),
            "plain model": theirs["encoder"].iloc[0],
            "its score": theirs.groupby("language")["score"].first().mean(),
            "minus plain, over seeds": comparison,
            "minus plain, over sentences": sentences.paired(own, theirs, split=split),
        })  # fmt: skip
    return pd.DataFrame(found)


def ahead(table: pd.DataFrame, plain: pd.DataFrame | None, *, split: str = "test") -> Finding:
    """Whether the dense encoders are ahead of a model without an encoder: what is said of compression rests on it."""
    if plain is None or plain.empty:
        return missing("Models without an encoder")
    found = against_plain(table, plain, split=split)
    told = []
    for row in found.itertuples(index=False):
        comparison = row[5]
        verb = {1: "is ahead of", -1: "is behind"}.get(comparison.sign, "is not shown to be ahead of")
        told.append(f"On {row[0]}, {row[1]} ({row[2].mean:.1f}) {verb} a model without an encoder ({row[3]}, "
                    f"{row[4]:.1f}): {comparison}.")  # fmt: skip
    worst = min(found["minus plain, over seeds"], key=lambda one: one.interval.mean)
    caution = "" if all(one.sign == 1 for one in found["minus plain, over seeds"]) else (
        "Where an encoder is not ahead, no compressed form of it is one to ship: what these pages then say of a "
        "technique is how it changes this encoder.")  # fmt: skip
    return Finding(told[0], " ".join([*told[1:], caution]).strip(), quantity=worst, values={"table": found})


def ways(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Each label of the table beside the dense model: F1, its difference in both sources of chance, and size.

    Differences are paired: by seed (a `Comparison`, corrected for their number), and by sentence.
    """
    rows = of_split(table, split)
    whole, others = rows[rows["order"] == "dense"], rows[rows["order"] != "dense"]
    each = paired(others, whole, by=["label"], one_for_all=True).set_index("label")["comparison"]
    found = []
    for label, own in rows.groupby("label", sort=False):
        different = label in each
        means = own[["dense_bytes", "compressed_bytes", "achieved_sparsity"]].mean()
        found.append({
            "model": label,
            OVER_SEEDS: _over_seeds(own),
            "minus dense, over seeds": each[label] if different else None,
            "minus dense, over sentences": sentences.paired(own, whole, split=split) if different else None,
            "file (MB)": means["dense_bytes"] / 1e6,
            "compressed (MB)": means["compressed_bytes"] / 1e6,
            "zero share": means["achieved_sparsity"],
        })  # fmt: skip
    return pd.DataFrame(found)


def closest(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """Which pruned model of the table is nearest to the dense one on dev, and what it loses on `split`."""
    found = ways(table, split=split).set_index("model")
    dev = _mean_f1(table[(table["split"] == "dev") & (table["order"] != "dense")], by="label")
    if dev.empty:
        return missing("Pruned models")
    name, whole = dev.idxmax(), found[found["minus dense, over seeds"].isna()].iloc[0]
    best = found.loc[name]
    difference, drawn = best["minus dense, over seeds"], best["minus dense, over sentences"]
    over = (f"Over {count_of(drawn.n, 'sentence')} the difference is {drawn.mean + 0.0:+.1f} points {_bounds(drawn)}."
            if drawn.known else f"There is no interval over sentences, since {sentences.LACKING}.")  # fmt: skip
    return Finding(
        f"Of {count_of(len(dev), 'pruned model')}, “{name}” has the highest F1 on dev, and {_loses(difference)} on "
        f"{split}: {difference}.",
        f"{over} Zeros take as much room as other weights: its file has {best['file (MB)']:.1f} MB, the dense model's "
        f"{whole['file (MB)']:.1f} MB. Compressed, it takes {best['compressed (MB)']:.1f} MB instead of "
        f"{whole['compressed (MB)']:.1f} MB.",
        quantity=difference, values={"closest": name, "over sentences": drawn, "table": found},
    )  # fmt: skip


def _loses(difference: Comparison) -> str:
    if difference.verdict == AGREES:
        return f"keeps the dense model's F1 within {MARGIN:g} points"
    return {1: "gains F1", -1: "loses F1"}.get(difference.sign, "is not shown to differ from the dense model")
