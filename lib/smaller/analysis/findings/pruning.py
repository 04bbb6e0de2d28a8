"""What pruning costs: where F1 falls, which order keeps more of it, which weights stay, and what zeros save."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from smaller.analysis.comparison import AGREES, DEPARTURE, Comparison, paired
from smaller.analysis.findings.finding import ANSWERED, Finding, missing
from smaller.analysis.findings.words import count_of, name_of, percent
from smaller.analysis.statistics import drop_at, language_average, of_split, spearman, t_interval

ORDERS = {"before": "before fine-tuning", "after": "after fine-tuning"}
HIGH = 0.7
"""The sparsity from which on the study calls pruning high."""


def against_dense(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """A `comparison` of each order and sparsity with the dense models of the same seeds, averaged over languages."""
    rows = of_split(table, split)
    dense, pruned = rows[rows["order"] == "dense"], rows[rows["order"] != "dense"]
    return paired(pruned, dense, by=["order", "sparsity"], one_for_all=True).sort_values(["order", "sparsity"])


def shown_from(found: pd.DataFrame) -> float:
    """The smallest sparsity from which on every interval excludes a loss of less than two points; NaN for none.

    `found` has the comparisons of one order, as `against_dense` gives them.
    """
    lost = found.sort_values("sparsity", ascending=False)
    shown = [one.departs() == AGREES for one in lost["comparison"]]
    count = shown.index(False) if False in shown else len(shown)
    return float(lost["sparsity"].iloc[count - 1]) if count else math.nan


def limits(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """Where average F1 has dropped by two points in both orders, and from where on that is shown (paper 1, Q2)."""
    found = against_dense(table, split=split)
    drops = drop_at(language_average(of_split(table, split)), points=DEPARTURE, split=split)
    drops = drops.set_index("order")["sparsity"]
    orders = [order for order in ORDERS if order in drops]
    shown = {order: shown_from(found[found["order"] == order]) for order in orders}
    places = {
        order: f"at {percent(drops[order])} sparsity" if drops[order] > 0 else "nowhere on this grid"
        for order in orders
    }
    headline = ", and ".join(f"{places[order]} when the encoder is pruned {ORDERS[order]}" for order in orders)
    told = "; ".join(
        f"from {percent(shown[order])} on ({order})" if shown[order] > 0 else f"nowhere ({order})" for order in orders
    )
    saved = weight(table, split=split)
    return Finding(
        f"Mean F1 has fallen by {DEPARTURE:g} points {headline}.",
        f"Between the points of the grid this is linear. The interval excludes a smaller loss {told}. {saved}".strip(),
        quantity=_nearest(found, 0.5),
        values={"drop": drops.to_dict(), "shown": shown},
        verdict=ANSWERED,
    )


def _nearest(found: pd.DataFrame, sparsity: float) -> Comparison | None:
    """At the grid's sparsity nearest to a claimed one (within 0.1), the comparison of the order that loses more."""
    near = found[found["sparsity"].sub(sparsity).abs() < 0.101]
    if near.empty:
        return None
    distance = near["sparsity"].sub(sparsity).abs().round(6)
    return min(near.loc[distance == distance.min(), "comparison"], key=lambda one: one.interval.mean)


def weight(table: pd.DataFrame, *, near: float = 0.6, split: str = "test") -> Finding:
    """What the sparsity of the grid that is nearest to `near` saves; the quantity is compressed bytes in per cent."""
    rows = of_split(table, split)
    dense, pruned = rows[rows["order"] == "dense"], rows[rows["order"] != "dense"]
    pruned = pruned[pruned["sparsity"].sub(near).abs() < 0.101]
    if pruned.empty or dense.empty:
        return missing(f"Models near a sparsity of {percent(near)}")
    distance = pruned["sparsity"].sub(near).abs().round(6)
    one = pruned[distance == distance.min()].sort_values("sparsity").iloc[-1]
    zero = 100 * (1 - one["nonzero_parameters"] / one["parameters"])
    packed = 100 * (1 - one["compressed_bytes"] / dense["compressed_bytes"].iloc[0])
    return Finding(
        f"At a sparsity of {percent(one['sparsity'])} on the encoder's Linear weights, {zero:.0f} % of all parameters "
        f"are zero, and the compressed file is {packed:.0f} % smaller.",
        f"Uncompressed, the file stays at {one['dense_bytes'] / 1e6:.1f} MB.",
        quantity=packed,
        values={"sparsity": one["sparsity"], "zero": zero, "packed": packed, "bytes": one["dense_bytes"]},
    )


def departures(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Per language and order: dense F1, where mean F1 has dropped by two points, and from where on that is shown."""
    rows = []
    for language, own in of_split(table, split).groupby("language"):
        found = against_dense(own, split=split)
        drops = drop_at(own, points=DEPARTURE, split=split).set_index("order")["sparsity"]
        row = {"language": name_of(language), "dense F1": t_interval(own.loc[own["order"] == "dense", "f1"])}
        for order in (order for order in ORDERS if order in drops):
            row[f"{order}: 2 points lost at (%)"] = 100 * drops[order]
            row[f"{order}: shown from (%)"] = 100 * shown_from(found[found["order"] == order])
        rows.append(row)
    return pd.DataFrame(rows)


def stability(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """Does pruning before fine-tuning keep more F1 at high sparsity than pruning after it (paper 1, Q8)?"""
    rows = of_split(table, split).query("sparsity >= @HIGH")
    before, after = (rows[rows["order"] == order] for order in ORDERS)
    each = paired(before, after, by=["sparsity"]).sort_values("sparsity")
    if each.empty:
        return missing(f"Both orders at a sparsity of {percent(HIGH)} or more")
    (overall,) = paired(before, after)["comparison"]
    spread = {
        order: own.groupby("language")["f1"].mean().std() for order, own in (("before", before), ("after", after))
    }
    told = "; ".join(f"{percent(row.sparsity)}: {row.comparison} ({row.verdict})" for row in each.itertuples())
    text = f"By sparsity, {told}."
    if rows["language"].nunique() > 1:
        text += (
            f" Over languages, the standard deviation of F1 is {spread['before']:.1f} points before and "
            f"{spread['after']:.1f} after."
        )
    verb = {1: "keeps more F1 than", -1: "keeps less F1 than"}.get(overall.sign, "is not shown to differ from")
    return Finding(
        f"From {percent(each['sparsity'].min())} sparsity on, pruning before fine-tuning {verb} pruning after it: "
        f"{overall}.",
        text,
        quantity=overall,
        values={"each": each, "spread": spread},
    )


def masks(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """Do magnitude masks beat random masks of equal sparsity (paper 1, mechanism 1; its break condition is T22)?

    If random masks did as well, which weights survive would not matter, and there would be no subnetwork to speak of.
    """
    rows = of_split(table, split).query("order == 'before'")
    magnitude, random = (rows[rows["method"] == method] for method in ("magnitude", "random"))
    each = paired(magnitude, random, by=["sparsity"]).sort_values("sparsity")
    if each.empty:
        return missing("Random masks")
    # The sparsity where the masks are least apart speaks for all of them.
    least = min(each["comparison"], key=lambda one: one.interval.mean)
    told = "; ".join(f"{percent(row.sparsity)}: {row.comparison} ({row.verdict})" for row in each.itertuples())
    verb = {1: "keep more F1 than", -1: "keep less F1 than"}.get(least.sign, "are not shown to keep more F1 than")
    return Finding(
        f"Magnitude masks {verb} random masks of equal sparsity.",
        f"By sparsity, {told}.",
        quantity=least,
        values={"each": each},
    )


def time(table: pd.DataFrame, floors: Mapping[str, float], *, split: str = "test") -> Finding:
    """Does inference get faster with sparsity (paper 1, OQ2)? Per language, against the noise floor of A/A timing."""
    rows = of_split(table, split)
    rows = rows[rows["milliseconds"].notna()]
    sentences, gains = [], {}
    for language, own in rows.groupby("language"):
        base = own.loc[own["order"] == "dense", "milliseconds"].median()
        pruned = own[own["order"] != "dense"]
        gain = 1 - pruned.groupby("sparsity")["milliseconds"].median() / base
        gains[language], trend = gain.max(), spearman(pruned["sparsity"], pruned["milliseconds"])
        sentences.append(
            f"{name_of(language)}: the dense model takes {base:.2f} ms a sentence; the noise floor is "
            f"{100 * floors[language]:.1f} %; the largest gain is {100 * gain.max():.1f} %, at "
            f"{percent(gain.idxmax())}; the rank correlation of time with sparsity is {trend.rho:.2f} "
            f"[{trend.low:.2f}, {trend.high:.2f}], n = {trend.n}."
        )
    faster = sum(gains[language] > floors[language] for language in gains)
    return Finding(
        f"With dense kernels, pruning speeds inference up by more than the noise floor in {faster} of "
        f"{count_of(len(gains), 'language')}.",
        "\n\n" + " ".join(sentences),
        values={"gains": gains, "faster": faster},
    )


def best_sparsity(table: pd.DataFrame, *, points: float = DEPARTURE) -> pd.DataFrame:
    """Per language the highest sparsity whose mean dev F1 over all seeds is at most `points` below dense, and its time.

    It is chosen on dev and reported on test. OQ2 of paper 1 asks for the sparsity that balances F1 and time; where time
    does not change, F1 alone decides.
    """
    found = []
    for language, own in table.groupby("language"):
        means = own.groupby(["split", "order", "sparsity"])[["f1", "milliseconds"]].mean()
        dev = means.loc["dev"].reset_index()
        dense = dev.loc[dev["order"] == "dense", "f1"].item()
        kept = dev[(dev["order"] != "dense") & (dev["f1"] >= dense - points)]
        if kept.empty:
            continue
        best = kept.sort_values(["sparsity", "f1"]).iloc[-1]
        test = own[own["split"] == "test"]
        chosen = test[(test["order"] == best["order"]) & (test["sparsity"] == best["sparsity"])]
        whole = test[test["order"] == "dense"]
        found.append(
            {
                "language": name_of(language),
                "highest sparsity (%)": 100 * best["sparsity"],
                "order": best["order"],
                "F1": t_interval(chosen["f1"]),
                "minus dense": paired(chosen, whole)["comparison"].iloc[0],
                "time against dense (%)": 100 * chosen["milliseconds"].mean() / whole["milliseconds"].mean(),
            }
        )
    return pd.DataFrame(found)


def sparse_kernel(frame: pd.DataFrame) -> Finding:
    """From which sparsity on a sparse kernel is faster than the dense one, from timings of both."""
    wide = frame.pivot_table(index="sparsity", columns="kernel", values="milliseconds")
    ratio = wide["dense"] / wide["sparse"]
    best, ahead = ratio.idxmax(), ratio[ratio > 1]
    verb = (
        f"is faster than the dense one from {percent(ahead.index.min())} sparsity on"
        if len(ahead)
        else ("is slower than the dense one on the whole grid")
    )
    return Finding(
        f"A sparse kernel (compressed sparse rows) {verb}.",
        f"At best, at {percent(best)}, it takes {1 / ratio[best]:.2f} times the dense kernel's time.",
        values={"ratio": ratio},
    )


def encoders(table: pd.DataFrame, *, split: str = "test") -> Finding:
    """Whether the smallest of several encoders loses more to pruning than the others on average (paper 1, NC1)."""
    rows = of_split(table, split)
    sizes = rows.groupby("encoder")["parameters"].first().sort_values()
    if len(sizes) < 2:
        return missing("Encoders of other sizes")
    keys = ["encoder", "language", "seed"]
    dense = rows[rows["order"] == "dense"].groupby(keys)["f1"].mean().rename("dense")
    pruned = rows[rows["order"] != "dense"].join(dense, on=keys)
    pruned = pruned.assign(change=pruned["f1"] - pruned["dense"])
    smallest = pruned["encoder"] == sizes.index[0]
    each = paired(pruned[smallest], pruned[~smallest], by=["order", "sparsity"], value="change")
    if each.empty:
        return missing("Equal sparsities of several encoders")
    furthest = min(each["comparison"], key=lambda one: one.interval.mean)
    more = sum(one.sign == -1 for one in each["comparison"])
    return Finding(
        f"{sizes.index[0]}, the smallest of {len(sizes)} encoders, loses more than the others at {more} of "
        f"{len(each)} settings of order and sparsity.",
        f"At most, its change of F1 minus theirs is {furthest}.",
        quantity=furthest,
        values={"each": each},
    )


def claims(
    table: pd.DataFrame, random: pd.DataFrame, several: pd.DataFrame, *, split: str = "test"
) -> dict[str, Finding]:
    """What this page says of each claim on pruning; `random` has both masks, `several` the grids of all encoders."""
    return {
        "Q2": limits(table, split=split),
        "D26": weight(table, split=split),
        "Q8": stability(table, split=split),
        "M1": masks(random, split=split),
        "NC1": encoders(several, split=split),
    }
