"""Answers on pruning, computed from the table."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from smaller.findings.cells import with_unit
from smaller.findings.comparisons import verdicts
from smaller.findings.words import count_of, name_of, percent
from smaller.statistics import (
    Interval,
    departure,
    describe,
    drop_at,
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
    saved = weight(table, split=split)
    return (
        f"Averaged over languages, F1 has dropped by {points:g} points {' and '.join(parts)} sparsity "
        f"(linear between the points of the grid).{f' {saved}' if saved else ''}"
    )


@dataclass(frozen=True)
class Weight:
    """What a sparsity of the Linear weights makes of the model: shares from 0 to 1, and bytes of the plain file."""

    sparsity: float
    zero: float
    packed: float
    dense_bytes: float

    def __str__(self) -> str:
        return (
            f"A sparsity of {percent(self.sparsity)} on the encoder's Linear weights zeroes {percent(self.zero)} of "
            f"all parameters. The model file stays at {self.dense_bytes / 1e6:.1f} MB; compressed, it is "
            f"{percent(self.packed)} smaller than the dense one compressed."
        )


def weight(table: pd.DataFrame, *, near: float = 0.6, split: str = "test") -> Weight | None:
    """What the sparsity of the grid that is nearest to `near` saves; None where nothing within 0.1 was pruned."""
    rows = of_split(table, split)
    unpruned, pruned = rows[rows["order"] == "dense"], rows[rows["order"] != "dense"]
    pruned = pruned[pruned["sparsity"].sub(near).abs() < 0.101]
    if pruned.empty or unpruned.empty:
        return None
    distance = pruned["sparsity"].sub(near).abs().round(6)
    one = pruned[distance == distance.min()].sort_values("sparsity").iloc[-1]
    zero = 1 - one["nonzero_parameters"] / one["parameters"]
    packed = 1 - one["compressed_bytes"] / unpruned["compressed_bytes"].iloc[0]
    return Weight(one["sparsity"], zero, packed, one["dense_bytes"])


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
    differences = mask_differences(table, split=split)
    if differences.empty:
        return "Random masks were not measured here."
    return " ".join(
        f"At {percent(row['sparsity'])} sparsity, magnitude masks are ahead of random ones by "
        f"{with_unit(row['difference'], 'points')} (p = {row['p_value']:.3f} after Holm's correction)."
        for _, row in differences.iterrows()
    )


def mask_differences(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """F1 of magnitude minus random masks at each sparsity that has both, paired by language and seed.

    Columns: sparsity, and those of `comparisons.verdicts`.
    """
    rows = of_split(table, split).query("order == 'before'")
    found = []
    for sparsity in sorted(rows.query("method == 'random'")["sparsity"].unique()):
        both = rows[rows["sparsity"] == sparsity].pivot_table(index=["language", "seed"], columns="method", values="f1")
        both = both.dropna()
        if len(both) > 1:
            found.append({"sparsity": sparsity, "difference": paired_difference(both["magnitude"], both["random"]),
                          "p_value": permutation_test(both["magnitude"], both["random"]).p_value})  # fmt: skip
    return verdicts(found)


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
