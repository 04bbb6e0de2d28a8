"""What the first paper says of pruning, which prints no F1 for single sparsities, and what we measured beside it."""

from __future__ import annotations

import math

import pandas as pd

from smaller.findings import pruning
from smaller.findings.claims import NOT_MEASURED, of_page
from smaller.findings.words import count_of, percent
from smaller.published import AGREES, DIFFERS
from smaller.statistics import departure, drop_at, language_average, of_split, paired_difference

ALIKE = 0.05
"""Sparsities at which F1 falls count as alike if they differ by no more: half a step of the paper's grid."""


def claims(
    table: pd.DataFrame,
    masks: pd.DataFrame | None = None,
    encoders: pd.DataFrame | None = None,
    *,
    split: str = "test",
) -> pd.DataFrame:
    """Each published claim on pruning, what we measured, and the verdict.

    `masks` has magnitude and random masks at equal sparsity, `encoders` the grids of several encoders.
    """
    rows = [_stable(table, split=split), _size(table, split=split), _order(table, split=split)]
    if masks is not None:
        rows.append(_masks(masks, split=split))
    rows.append(_encoders(table if encoders is None else encoders, split=split))
    return of_page(rows)


def _stable(table: pd.DataFrame, *, split: str, claimed: float = 0.5) -> dict[str, str]:
    average = language_average(of_split(table, split))
    leaves = departure(average, split=split).set_index("order")["departure"]
    held = [order for order, share in leaves.items() if math.isnan(share) or share > claimed]
    return {
        "id": "Q2",
        "measured": "; ".join(f"{order}: F1 leaves the dense interval at {percent(leaves[order])}"
                              for order in pruning.ORDERS if order in leaves),
        "verdict": AGREES if len(held) == len(leaves) else f"{AGREES} for {held[0]} only" if held else DIFFERS,
    }  # fmt: skip


def _size(table: pd.DataFrame, *, split: str) -> dict[str, str]:
    saved = pruning.weight(table, split=split)
    if saved is None:
        return {"id": "D26", "measured": "not measured: no sparsity near 60 %", "verdict": NOT_MEASURED}
    same = min(saved.zero, saved.packed) >= saved.sparsity - 0.02
    return {"id": "D26", "measured": str(saved), "verdict": AGREES if same else DIFFERS}


def _order(table: pd.DataFrame, *, split: str) -> dict[str, str]:
    rows = of_split(table, split).query("sparsity >= 0.7")
    both = rows.pivot_table(index=["language", "seed", "sparsity"], columns="order", values="f1")
    if not set(pruning.ORDERS) <= set(both):
        return {"id": "Q8", "measured": "not measured: one order alone", "verdict": NOT_MEASURED}
    both = both.dropna().groupby(["language", "seed"]).mean()
    difference = paired_difference(both["before"], both["after"])
    word = DIFFERS if not difference.known or difference.high < 0 else "not decided"
    return {
        "id": "Q8",
        "measured": pruning.stability_verdict(table, split=split),
        "verdict": AGREES if difference.known and difference.low > 0 else word,
    }


def _masks(table: pd.DataFrame, *, split: str) -> dict[str, str]:
    found = pruning.mask_differences(table, split=split)
    if found.empty:
        return {"id": "M1", "measured": "not measured: no random masks", "verdict": NOT_MEASURED}
    words = found["verdict"]
    word = AGREES if words.str.startswith("ahead").all() else DIFFERS if words.str.startswith("behind").any() else ""
    return {"id": "M1", "measured": pruning.masks(table, split=split), "verdict": word or "not decided"}


def _encoders(table: pd.DataFrame, *, split: str) -> dict[str, str]:
    """Whether the smallest encoder of several bears as much pruning as the others."""
    sizes = table.groupby("encoder")["parameters"].first().sort_values()
    if len(sizes) < 2:
        return {"id": "NC1", "measured": f"not measured beside others: this run has {sizes.index[0]} alone",
                "verdict": NOT_MEASURED}  # fmt: skip
    drops = {encoder: drop_at(language_average(of_split(own, split)), points=2.0, split=split)
             .set_index("order")["sparsity"].fillna(1.0) for encoder, own in table.groupby("encoder")}  # fmt: skip
    told = [f"{encoder} ({sizes[encoder] / 1e6:.1f} M) "
            + ", ".join(f"{order} at {percent(drops[encoder][order])}" for order in drops[encoder].index)
            for encoder in sizes.index]  # fmt: skip
    smallest, *others = (drops[encoder] for encoder in sizes.index)
    early = max((other - smallest).max() for other in others)
    word = AGREES if early <= ALIKE else f"{DIFFERS}: it falls {percent(early)} of sparsity earlier"
    languages = count_of(table["language"].nunique(), "language")
    return {"id": "NC1", "measured": f"2 points of F1 are lost, over {languages}: {'; '.join(told)}", "verdict": word}
