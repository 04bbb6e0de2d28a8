"""What pruning costs: where F1 falls, which order keeps more of it, which weights stay, and what zeros save."""

import math
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from smaller.analysis import comparison
from smaller.analysis.comparison import AGREES, DEPARTURE, NOT_DECIDED, OVER_SENTENCES, against, clarity, made, paired
from smaller.analysis.findings import units
from smaller.analysis.findings.baselines import of_all_seeds
from smaller.analysis.findings.finding import ANSWERED, Finding, missing, settled
from smaller.analysis.statistics import bounds, drop_at, language_average, of_split, one_kind, over_seeds, spearman
from smaller.base.words import count_of, percent
from smaller.data.languages import name_of

ORDERS = {"before": "before fine-tuning", "after": "after fine-tuning"}
NOWHERE = "nowhere on this grid"
HIGH = 0.7
"""The sparsity from which on the study calls pruning high."""


def against_dense(table: pd.DataFrame, *, by: Sequence[str] = ("order", "sparsity")) -> pd.DataFrame:
    """A `comparison` of each order and sparsity with the dense models of the same seeds, averaged over languages."""
    rows = of_split(table, "test")
    return against(rows, rows["order"] == "dense", by=by, for_all=["order", "sparsity"]).sort_index().reset_index()


def shown_from(found: pd.DataFrame) -> float:
    """The smallest sparsity of one order from which on every interval excludes a loss below two points, or NaN."""
    return lasting(pd.Series([one.departs() == AGREES for one in found["comparison"]], found["sparsity"]))


def lasting(holds: pd.Series) -> float:
    """The first sparsity of the index from which on all hold, or NaN. Read from the last one down, it needs no Holm."""
    count = [*holds.sort_index()[::-1], False].index(False)
    return float(holds.index.sort_values()[-count]) if count else math.nan


def near(shares: Iterable[float], goal: float) -> float:
    """The share that is nearest to a goal, of two the larger one; NaN where none is within 0.1."""
    within = [share for share in set(shares) if abs(share - goal) < 0.101]
    return max(within, key=lambda share: (-round(abs(share - goal), 6), share), default=math.nan)


def limits(table: pd.DataFrame) -> Finding:
    """Where mean F1 has dropped by two points (paper 1, Q2); the quantity is of the order that speaks most against it.

    Both orders count, at half the weights: stable are those that are shown to lose less than two points.
    """
    found = made(against_dense(table))
    if found.empty:
        return missing("Pruned models")
    drops, places = fallen(language_average(of_split(table, "test")))
    if not places:
        return missing("Pruned models in all languages")
    shown = {order: shown_from(own) for order, own in found.groupby("order")}
    decided = any(one.departs() != NOT_DECIDED for one in found["comparison"])
    told = "; ".join(_by_order(shown, "from {} on"))
    half = found[found["sparsity"] == near(found["sparsity"], 0.5)]
    return Finding(
        f"Mean F1 has fallen by {DEPARTURE:g} points {', and '.join(places)}.",
        "Between the points of the grid this is linear. "
        f"{f'The interval excludes a smaller loss {told}.' if decided else 'No interval shows it.'} "
        f"{weight(table)}",
        quantity=min(half["comparison"], key=clarity("keeps"), default=None),
        values={"drop": drops, "shown": shown},
        verdict=ANSWERED if decided else NOT_DECIDED,
    )


def fallen(average: pd.DataFrame) -> tuple[dict[str, float], list[str]]:
    """The sparsity at which the F1 of a `language_average` has lost two points, by order, as numbers and in words."""
    drops = drop_at(average, points=DEPARTURE).set_index("order")["sparsity"].to_dict()
    return drops, _by_order(drops, "at {} sparsity")


def _by_order(found: Mapping[str, float], told: str) -> list[str]:
    """The sparsities of the orders in words; `told` has a place for one."""
    places = {order: told.format(percent(at)) if at > 0 else NOWHERE for order, at in found.items()}
    return [f"{places[order]} when pruned {words}" for order, words in ORDERS.items() if order in places]


def weight(table: pd.DataFrame, *, at: float = 0.6) -> Finding:
    """What the sparsity of the grid that is nearest to `at` saves; the quantity is compressed bytes in per cent."""
    rows = of_split(table, "test")
    dense, pruned = rows[rows["order"] == "dense"], rows[rows["order"] != "dense"]
    sparsity = near(pruned["sparsity"], at)
    pruned = pruned[pruned["sparsity"] == sparsity]
    if pruned.empty or dense.empty:
        return missing(f"Models near a sparsity of {percent(at)}")
    one = pruned[["nonzero_parameters", "parameters", "compressed_bytes", "dense_bytes"]].mean()
    zero = 100 * (1 - one["nonzero_parameters"] / one["parameters"])
    packed = 100 * (1 - one["compressed_bytes"] / dense["compressed_bytes"].mean())
    side = "smaller" if packed >= 0 else "larger"
    return Finding(
        f"At a sparsity of {percent(sparsity)} on the encoder's Linear weights, {zero:.0f} % of all parameters "
        f"are zero, and the compressed file is {abs(packed):.0f} % {side} than the dense model's.",
        f"Uncompressed, the file stays at {one['dense_bytes'] / 1e6:.1f} MB.",
        quantity=packed,
        values={"sparsity": sparsity, "zero": zero, "packed": packed, "bytes": one["dense_bytes"]},
    )


def departures(table: pd.DataFrame) -> pd.DataFrame:
    """Per language and order: dense F1, where mean F1 has dropped by two points, and from where on that is shown."""
    rows, place = of_split(table, "test"), ["language", "order"]
    shown = against_dense(rows, by=[*place, "sparsity"]).groupby(place)[["sparsity", "comparison"]].apply(shown_from)
    lost = {"2 points lost at": drop_at(rows, points=DEPARTURE).set_index(place)["sparsity"], "shown from": shown}
    found = pd.DataFrame({"dense F1": over_seeds(rows[rows["order"] == "dense"], by=["language"]).sort_index()})
    for order in (order for order in ORDERS if order in set(rows["order"])):
        for name, at in lost.items():
            found[f"{order}: {name} (%)"] = 100 * at[at.index.isin([order], "order")].droplevel("order")
    return found.rename(index=name_of).rename_axis("language").reset_index()


def _by_sparsity(first: pd.DataFrame, second: pd.DataFrame, *once: str) -> tuple[pd.DataFrame, str]:
    """The comparison at each sparsity that both have, and all of them in words."""
    each = made(paired(first, second, by=["sparsity"], drawn_once=once)).sort_values("sparsity")
    told = "; ".join(f"{percent(row.sparsity)}: {row.comparison} ({row.verdict})" for row in each.itertuples())
    return each, f"By sparsity, {told}."


def stability(table: pd.DataFrame) -> Finding:
    """Does pruning before fine-tuning keep more F1 at high sparsity than pruning after it (paper 1, Q8)?"""
    rows = of_split(table, "test").query("sparsity >= @HIGH")
    before, after = (rows[rows["order"] == order] for order in ORDERS)
    each, text = _by_sparsity(before, after)
    if each.empty:
        return missing(f"Both orders at a sparsity of {percent(HIGH)} or more")
    (overall,) = paired(before, after, match=["sparsity"])["comparison"]
    means = rows[rows["sparsity"].isin(each["sparsity"])].groupby(["order", "language"])["f1"].mean()
    spread = means.groupby("order").std()
    if rows["language"].nunique() > 1:
        text += (
            f" Between {means['before'].size} languages, each a mean of these sparsities, the standard deviation of "
            f"F1 is {spread['before']:.1f} points when pruned before and {spread['after']:.1f} when pruned after."
        )
    unsure = "is not shown to differ from"
    return Finding(
        f"From {percent(each['sparsity'].min())} sparsity on, pruning before fine-tuning "
        f"{overall.words('keeps more F1 than', 'keeps less F1 than', 'keeps as much F1 as', unsure)} pruning after "
        f"it: {overall}.",
        text,
        quantity=overall,
        values={"each": each, "spread": spread.to_dict()},
    )


def masks(table: pd.DataFrame) -> Finding:
    """Do magnitude masks beat random ones (paper 1, mechanism 1; T22)? The quantity is what speaks most against it."""
    rows = of_split(table, "test").query("order == 'before'")
    kinds = (rows[rows["method"] == method] for method in ("magnitude", "random"))
    each, text = _by_sparsity(*kinds, "the random mask")
    if each.empty:
        return missing("Random masks")
    least = min(each["comparison"], key=clarity("more"))
    signs = [one.sign for one in each["comparison"]]
    headline = (
        f"Magnitude masks are shown to keep more F1 than random masks at {signs.count(1) or 'none'} of "
        f"{count_of(len(each), 'setting')}, and less at {signs.count(-1) or 'none'}. The least "
        f"clear difference is {least}."
    )
    return Finding(headline, text, quantity=least, values={"each": each})


def time(table: pd.DataFrame, floors: Mapping[str, float]) -> Finding:
    """Does inference get faster with sparsity (paper 1, OQ2)? Per language, against the noise floor of A/A timing.

    The largest of many gains exceeds a floor by chance: it is faster `from` where on each later gain exceeds it.
    """
    rows = one_kind(of_split(table, "test").dropna(subset="milliseconds"), "device")
    sentences, gains, since = [], {}, {}
    for language, own in rows.groupby("language"):
        base, pruned = own.loc[own["order"] == "dense", "milliseconds"].median(), own[own["order"] != "dense"]
        ratio = pruned.groupby("sparsity")["milliseconds"].median() / base
        if (gain := 1 - ratio).isna().all():
            continue
        gains[language], trend = gain.max(), spearman(pruned["sparsity"], pruned["milliseconds"])
        since[language] = lasting(units.beyond(ratio, floors[language]) == 1)
        sure = f"it is faster by more from {percent(since[language])} sparsity on"
        sure = sure if since[language] > 0 else "at the highest sparsity it is not faster by more"
        sentences.append(
            f"{name_of(language)}: the network of the dense model takes {base:.2f} ms a sentence; the noise floor is "
            f"{100 * floors[language]:.1f} %; {sure}; the largest gain is {100 * gain.max():.1f} %, at "
            f"{percent(gain.idxmax())}; the rank correlation of time with sparsity is {trend.rho:+.2f}"
            f"{bounds(trend.low, trend.high)}, n = {trend.n}."
        )
    if not gains:
        return missing("Times of dense and pruned models")
    faster = sum(at > 0 for at in since.values())
    return Finding(
        f"With dense kernels, the highest sparsities speed inference up by more than the noise floor in {faster} of "
        f"{count_of(len(gains), 'language')}.",
        "\n\n" + " ".join(sentences),
        values={"gains": gains, "from": since, "faster": faster},
    )


def best_sparsity(table: pd.DataFrame) -> pd.DataFrame:
    """Per language the highest sparsity whose mean dev F1 is within two points of dense; its scores on test (OQ2)."""
    dev, test = (of_split(table, split) for split in ("dev", "test"))
    means = of_all_seeds(dev, "order", "sparsity").groupby(["language", "order", "sparsity"])["f1"].mean().reset_index()
    dense = means[means["order"] == "dense"].set_index("language")["f1"]
    kept = means[(means["order"] != "dense") & (means["f1"] >= means["language"].map(dense) - DEPARTURE)]
    best = kept.sort_values(["sparsity", "f1"]).groupby("language").tail(1).drop(columns="f1").sort_values("language")
    chosen, whole = best.merge(test, on=list(best)), test[test["order"] == "dense"]
    each = paired(chosen, whole, by=["language"], over_sentences=True).set_index("language")
    time, base = (rows.groupby(["language", "device"])["milliseconds"].mean() for rows in (chosen, whole))
    best = best.set_index("language")
    found = {
        "highest sparsity (%)": 100 * best["sparsity"],
        "order": best["order"],
        "F1": over_seeds(chosen, by=["language"]),
        "minus dense": each["comparison"],
        f"minus dense, {OVER_SENTENCES}": each[OVER_SENTENCES],
        "time against dense (%)": (100 * time / base).groupby("language").mean(),
    }
    return pd.DataFrame(found).reindex(best.index).rename(index=name_of).reset_index()


def sparse_kernel(frame: pd.DataFrame) -> Finding:
    """From which sparsity on a sparse kernel is faster than the dense one, beyond the noise floor: `kernel_times`."""
    wide = frame.pivot_table(index="sparsity", columns="kernel", values="milliseconds")
    ratio, floor = wide["dense"] / wide["sparse"], frame.groupby("sparsity")["noise_floor"].max()
    best, sides = ratio.idxmax(), units.beyond(1 / ratio, floor)
    since, told = lasting(sides == 1), "not shown to be faster than the dense one at {} sparsity"
    if since > 0:
        told = "faster than the dense one from {} sparsity on"
    elif sides.eq(-1).all():
        told = "slower than the dense one on the whole grid"
    told = told.format(percent(since if since > 0 else ratio.index.max()))
    return Finding(
        f"A sparse kernel (compressed sparse rows) is {told}, by more than the noise floor of {percent(floor.max())}.",
        f"At best, at {percent(best)}, it takes {1 / ratio[best]:.2f} times the dense kernel's time.",
        values={"ratio": ratio, "from": since},
        verdict=ANSWERED if sides.iloc[-1] else NOT_DECIDED,
    )


def encoders(table: pd.DataFrame) -> Finding:
    """Whether the smallest of several encoders loses more to pruning than each of the others does (paper 1, NC1)."""
    rows = of_split(table, "test")
    sizes = rows.groupby("encoder")["parameters"].first().sort_values()
    if len(sizes) < 2:
        return missing("Encoders of other sizes")
    dense, by = rows["order"] == "dense", ["order", "sparsity"]
    lost = comparison.differences(rows[~dense], rows[dense], by=["encoder", "language", *by], for_all=by)
    small, others = lost["encoder"] == sizes.index[0], ["encoder"]
    # What the others lose minus what the smallest loses: below zero where it loses more, as in every comparison.
    lost["f1"] = -lost["f1"]
    each = made(paired(lost[~small], lost[small], by=by, match=others, for_all=others))
    if each.empty:
        return missing("Equal sparsities of several encoders")
    furthest = min(each["comparison"], key=clarity("less"))
    more = sum(one.sign == -1 for one in each["comparison"])
    return Finding(
        f"{sizes.index[0]}, the smallest of {len(sizes)} encoders, is shown to lose more than the others at {more} of "
        f"{len(each)} settings of order and sparsity.",
        f"Where that is least clear, its change of F1 minus theirs is {furthest}.",
        quantity=furthest,
        values={"each": each},
        verdict=settled(each["verdict"]),
    )


def claims(table: pd.DataFrame, random: pd.DataFrame, several: pd.DataFrame) -> dict[str, Finding]:
    """What this page says of each claim on pruning; `random` has both masks, `several` the grids of all encoders."""
    found = {"Q2": limits(table), "D26": weight(table), "Q8": stability(table)}
    return found | {"M1": masks(random), "NC1": encoders(several)}
