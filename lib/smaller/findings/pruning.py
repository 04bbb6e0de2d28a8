"""Answers on pruning, computed from the table."""

from __future__ import annotations

import math

import pandas as pd

from smaller.findings.cells import with_unit
from smaller.findings.words import count_of, name_of, percent
from smaller.statistics import (
    Interval,
    departure,
    describe,
    drop_at,
    holm,
    language_average,
    of_split,
    paired_difference,
    permutation_test,
    spearman,
)

ORDERS = {"before": "pruning before fine-tuning", "after": "pruning after fine-tuning"}


def limits(table: pd.DataFrame, *, points: float = 2.0, split: str = "test") -> str:
    """Where average F1 has dropped by `points`, for both orders, and what the weights weigh there (paper 1, Q2)."""
    average = language_average(of_split(table, split))
    found = drop_at(average, points=points, split=split).set_index("order")["sparsity"]
    parts = [f"with {words} at {percent(found[order])}" for order, words in ORDERS.items() if order in found]
    return (
        f"Averaged over languages, F1 has dropped by {points:g} points {' and '.join(parts)} sparsity "
        f"(linear between the points of the grid). {_weight(table, split=split)}"
    )


def _weight(table: pd.DataFrame, *, split: str) -> str:
    rows = of_split(table, split)
    unpruned = rows[rows["order"] == "dense"].iloc[0]
    middle = rows[(rows["order"] != "dense") & (rows["sparsity"].sub(0.6).abs() < 0.051)]
    if middle.empty:
        return ""
    pruned = middle.sort_values("sparsity").iloc[-1]
    zero = 1 - pruned["nonzero_parameters"] / pruned["parameters"]
    packed = 1 - pruned["compressed_bytes"] / unpruned["compressed_bytes"]
    return (
        f"A sparsity of {percent(pruned['sparsity'])} on the encoder's Linear weights zeroes {percent(zero)} of all "
        f"parameters. The model file stays at {pruned['dense_bytes'] / 1e6:.1f} MB; compressed, it is "
        f"{percent(packed)} smaller than the dense one compressed."
    )


def departures(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Per language and order: dense F1, where F1 leaves the dense interval, and where it has dropped by 2 points."""
    keys = ["language", "order"]
    leaves = departure(table, split=split).set_index(keys)
    drops = drop_at(table, split=split).set_index(keys)["sparsity"]
    rows = []
    for language in dict.fromkeys(leaves.index.get_level_values("language")):
        own = leaves.loc[language].iloc[0]
        interval = Interval(own["dense_mean"], own["dense_low"], own["dense_high"], int(own["n"]))
        row = {"language": name_of(language), "dense F1": describe(interval)}
        for order in ORDERS:
            if (language, order) in leaves.index:
                row[f"{order}: leaves the dense interval at"] = percent(leaves.loc[(language, order), "departure"])
                row[f"{order}: 2 points lost at"] = percent(drops.loc[(language, order)])
        rows.append(row)
    return pd.DataFrame(rows)


def stability(table: pd.DataFrame, *, from_sparsity: float = 0.7, split: str = "test") -> str:
    """Is pruning before fine-tuning better and steadier at high sparsity than pruning after it (paper 1, Q8)?

    Pairs are (language, seed) at equal sparsity; the p-value is of the exact sign-flip test over languages and seeds.
    """
    rows = of_split(table, split)
    sentences = []
    for sparsity in sorted(share for share in rows["sparsity"].unique() if share >= from_sparsity):
        both = rows[rows["sparsity"] == sparsity].pivot_table(index=["language", "seed"], columns="order", values="f1")
        both = both.dropna()
        if not {"before", "after"} <= set(both.columns) or both.empty:
            continue
        difference = paired_difference(both["before"], both["after"])
        test = permutation_test(both["before"], both["after"])
        spread = both.groupby("language").mean().std() if both.index.nunique() > 1 else both.std()
        sentences.append(
            f"At {percent(sparsity)} sparsity, before minus after is {with_unit(difference, 'points')} "
            f"(p = {test.p_value:.3f}); the standard deviation over languages is {spread['before']:.1f} points "
            f"before and {spread['after']:.1f} after."
        )
    return " ".join(sentences) or "Both orders were not measured at high sparsity."


def stability_verdict(table: pd.DataFrame, *, from_sparsity: float = 0.7, split: str = "test") -> str:
    """One sentence on Q8: at how many high sparsities "before" is better, and at how many the interval says so."""
    rows = of_split(table, split)
    better = clear = total = 0
    for sparsity in sorted(share for share in rows["sparsity"].unique() if share >= from_sparsity):
        both = rows[rows["sparsity"] == sparsity].pivot_table(index=["language", "seed"], columns="order", values="f1")
        if not {"before", "after"} <= set(both.columns):
            continue
        difference = paired_difference(both["before"], both["after"])
        total += 1
        better += difference.mean > 0
        clear += difference.known and difference.low > 0
    return (
        f"Pruning before fine-tuning is the better order at {better} of {total} sparsities from "
        f"{percent(from_sparsity)} on; at {clear} of them the interval of the paired difference lies above zero."
    )


def masks(table: pd.DataFrame, *, split: str = "test") -> str:
    """Do magnitude masks beat random masks of equal sparsity (paper 1, mechanism 1; its break condition is T22)?

    If random masks did as well, which weights survive would not matter, and there would be no subnetwork to speak of.
    """
    rows = of_split(table, split).query("order == 'before'")
    found, labels = [], []
    for sparsity in sorted(rows.query("method == 'random'")["sparsity"].unique()):
        both = rows[rows["sparsity"] == sparsity].pivot_table(index=["language", "seed"], columns="method", values="f1")
        both = both.dropna()
        if len(both) > 1:
            found.append((paired_difference(both["magnitude"], both["random"]),
                          permutation_test(both["magnitude"], both["random"]).p_value))  # fmt: skip
            labels.append(percent(sparsity))
    if not found:
        return "Random masks were not measured here."
    corrected = holm([p_value for _, p_value in found])
    return " ".join(
        f"At {label} sparsity, magnitude masks are ahead of random ones by {with_unit(difference, 'points')} "
        f"(p = {p_value:.3f} after Holm's correction)."
        for label, (difference, _), p_value in zip(labels, found, corrected, strict=True)
    )


def time(table: pd.DataFrame, floors: dict[str, float], *, split: str = "test") -> str:
    """Does inference get faster with sparsity (paper 1, OQ2)? Per language, against the noise floor of A/A timing."""
    rows = of_split(table, split)
    rows = rows[rows["milliseconds"].notna()]
    sentences, faster = [], 0
    for language, own in rows.groupby("language"):
        base = own.loc[own["order"] == "dense", "milliseconds"].median()
        pruned = own[own["order"] != "dense"]
        change = pruned.groupby("sparsity")["milliseconds"].median() / base - 1
        lowest, floor = change.idxmin(), floors[language]
        faster += -change.min() > floor
        trend = spearman(pruned["sparsity"], pruned["milliseconds"])
        sentences.append(
            f"{name_of(language)}: dense {base:.2f} ms a sentence, noise floor {100 * floor:.1f} %, the largest gain "
            f"{-100 * change.min():.1f} % (at {percent(lowest)}), rank correlation of time with sparsity "
            f"{trend.rho:.2f} [{trend.low:.2f}, {trend.high:.2f}], n = {trend.n}."
        )
    head = (
        f"With dense kernels a pruned model is faster than the noise floor allows to say in {faster} of "
        f"{count_of(len(sentences), 'language')}."
    )
    return head + "\n\n" + " ".join(sentences)


def best_sparsity(table: pd.DataFrame, *, points: float = 2.0, split: str = "test") -> pd.DataFrame:
    """Per language the highest sparsity of the grid whose mean F1 is at most `points` below dense, and its time.

    OQ2 of paper 1 asks for the sparsity that balances F1 and time; where time does not change, F1 alone decides.
    """
    rows = of_split(table, split)
    found = []
    for language, own in rows.groupby("language"):
        base = own[own["order"] == "dense"]
        kept = own[own["order"] != "dense"].groupby(["order", "sparsity"])[["f1", "milliseconds"]].mean()
        kept = kept[kept["f1"] >= base["f1"].mean() - points].reset_index()
        if kept.empty:
            continue
        best = kept.sort_values(["sparsity", "f1"]).iloc[-1]
        found.append({
            "language": name_of(language),
            "highest sparsity": percent(best["sparsity"]),
            "order": best["order"],
            "F1": best["f1"],
            "dense F1": base["f1"].mean(),
            "time against dense (%)": 100 * best["milliseconds"] / base["milliseconds"].mean(),
        })  # fmt: skip
    return pd.DataFrame(found)


def sparse_kernel(frame: pd.DataFrame) -> str:
    """From which sparsity on a sparse kernel is faster than the dense one, from timings of both."""
    wide = frame.pivot_table(index="sparsity", columns="kernel", values="milliseconds")
    ratio = wide["dense"] / wide["sparse"]
    best = ratio.idxmax()
    ahead = ratio[ratio > 1]
    verdict = f"is ahead from {percent(ahead.index.min())} on" if len(ahead) else "is never ahead on this grid"
    return (
        f"The sparse kernel (compressed sparse rows) {verdict}; at best it takes {1 / ratio[best]:.2f} times the dense "
        f"kernel's time, at {percent(best)} sparsity."
    )


def pruning_claims(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Each published claim on pruning, what we measured, and the verdict. The paper's encoders are other ones."""
    average = language_average(of_split(table, split))
    leaves = departure(average, split=split).set_index("order")["departure"]
    encoder = ", ".join(table["encoder"].unique())
    rows = [
        {
            "claim": "stable up to 50 to 60 % sparsity",
            "measured": "; ".join(f"{order}: F1 leaves the dense interval at {percent(leaves[order])}"
                                  for order in ORDERS if order in leaves),
            "verdict": _stable_to(leaves, 0.5),
        },
        {
            "claim": "before fine-tuning is the more stable order at high sparsity",
            "measured": stability_verdict(table, split=split),
            "verdict": "agrees" if _before_wins(table, split=split) else "differs",
        },
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(encoder=encoder)


def _stable_to(leaves: pd.Series, claimed: float) -> str:
    held = [order for order, share in leaves.items() if math.isnan(share) or share > claimed]
    return "agrees" if len(held) == len(leaves) else f"agrees for {held[0]} only" if held else "differs"


def _before_wins(table: pd.DataFrame, *, split: str) -> bool:
    rows = of_split(table, split).query("sparsity >= 0.7")
    both = rows.pivot_table(index=["language", "seed", "sparsity"], columns="order", values="f1")
    both = both.dropna().groupby(["language", "seed"]).mean()
    difference = paired_difference(both["before"], both["after"])
    return difference.known and difference.low > 0
