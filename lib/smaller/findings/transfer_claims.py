"""What the first paper, or a review of it, says of other domains and languages, and what we measured beside it."""

from __future__ import annotations

import math

import pandas as pd

from smaller.findings import correlations, domains
from smaller.findings.claims import ANSWERED, NOT_MEASURED, of_page
from smaller.findings.domains import NOT_MEASURED as NO_OTHER_DOMAIN
from smaller.findings.transfer import KINDS, breaks, unseen
from smaller.findings.words import count_of, name_of, percent
from smaller.published import AGREES, DIFFERS, NOT_COMPARABLE, published, verdict
from smaller.statistics import Interval, departure, describe, language_average, paired_difference, t_interval

INDO_EUROPEAN = "slk"
"""The unseen language of another family: Slovak."""


def claims(table: pd.DataFrame, features: pd.DataFrame | None = None, *, split: str = "test") -> pd.DataFrame:
    """Each published claim and question on transfer and other domains, what we measured, and the verdict.

    `features` is what `correlations.features_and_compression` gives.
    """
    encoder = ", ".join(table["encoder"].unique())
    foreign = "" if encoder.startswith("afriberta") else "another encoder, and neither source nor data are described"
    away, found = domains.domains(table, split=split), unseen(table, split=split)
    helps, limits = domains.pruning_helps(table, split=split), breaks(table, split=split)
    rows = [
        {"id": "Q4", "measured": helps, "verdict": NOT_MEASURED if helps == NO_OTHER_DOMAIN else ANSWERED},
        _leaves(away, "swa", "Swahili out of domain stays at the dense level up to 60 %", stays_to=0.6),
        _leaves(away, "yor", "Yoruba out of domain drops, but only past 50 %", stays_to=0.5, and_drops=True),
        *(_level(away, language, foreign=foreign) for language in ("swa", "yor")),
        {"id": "OQ1", "measured": limits, "verdict": NOT_MEASURED if "not measured" in limits else ANSWERED},
        *_zero_shot(found, foreign=foreign),
    ]
    if features is not None:
        sizes = features["n"] if len(features) else pd.Series([0])
        rows.append({"id": "OQ2", "measured": correlations.clearest(features),
                     "verdict": ANSWERED if sizes.max() >= 4 else NOT_MEASURED})  # fmt: skip
    rows.append(_another_family(found))
    return of_page(rows)


def _zero_shot(found: pd.DataFrame, *, foreign: str) -> list[dict[str, str]]:
    """F1 at a sparsity of 50 %, and its change on to 70 %, by what models were trained on and when they were pruned."""
    told = published(table="claims")
    told = told.loc[told["row"].str.startswith("zero-shot"), "value"].tolist()
    rows = []
    grid = [share for share in found["sparsity"].unique() if 0.5 < share < 0.9]
    above = min(grid, key=lambda share: abs(share - 0.7), default=0.7)  # the point of the grid that is nearest to 70 %
    for kind, words in KINDS.items():
        average = language_average(found[found["trained"] == kind])
        for order in domains.ORDERS:
            half, more = (average[(average["order"] == order) & (average["sparsity"].sub(share).abs() < 1e-6)]
                          .set_index("seed")["f1"] for share in (0.5, above))  # fmt: skip
            who = f"{words}, pruned {order} fine-tuning"
            rows.append({"id": "OQ1, D17"} | _judged(f"zero-shot at 50 %, {who}", told, t_interval(half),
                                                     foreign=foreign))  # fmt: skip
            both = pd.concat([half, more], axis="columns", keys=["half", "more"]).dropna()
            change = paired_difference(both["more"], both["half"])
            word = AGREES if change.known and change.high < 0 else DIFFERS if change.known else NOT_COMPARABLE
            rows.append({
                "id": "OQ1, D17", "claim": f"zero-shot, a clear drop at 70 %, {who}", "printed": "a clear drop",
                "measured": f"from 50 to {percent(above)}: {describe(change)}",
                "verdict": word if change.n else NOT_MEASURED,
            })  # fmt: skip
    return rows


def _another_family(found: pd.DataFrame) -> dict[str, str]:
    """Zero-shot F1 of the dense models in an Indo-European language, beside that in all other unseen ones."""
    dense = found[found["order"] == "dense"]
    parts = []
    for kind, words in KINDS.items():
        own = dense[dense["trained"] == kind]
        there, rest = own[own["language"] == INDO_EUROPEAN], own[own["language"] != INDO_EUROPEAN]
        if len(there):
            text = f"{words}: {describe(t_interval(there['f1']))}"
            others = count_of(rest["language"].nunique(), "other unseen language")
            mean = describe(t_interval(language_average(rest)["f1"])) if len(rest) else ""
            parts.append(text + (f", beside {mean} in {others}" if mean else ""))
    if not parts:
        return {"id": "NC2", "measured": f"not measured: no target is {name_of(INDO_EUROPEAN)}",
                "verdict": NOT_MEASURED}  # fmt: skip
    return {"id": "NC2", "measured": f"dense F1 in {name_of(INDO_EUROPEAN)}, {'; '.join(parts)}", "verdict": ANSWERED}


def _level(away: pd.DataFrame, language: str, *, foreign: str) -> dict[str, str]:
    told = published(table="claims", language=language)
    told = told.loc[told["row"].str.startswith("pruning out of domain"), "value"].tolist()
    own = t_interval(away.loc[(away["language"] == language) & (away["order"] == "dense"), "f1"])
    return {"id": "D22"} | _judged(f"dense {name_of(language)} out of domain", told, own, foreign=foreign)


def _judged(claim: str, values: list[float], own: Interval, *, foreign: str) -> dict[str, str]:
    """A published value or range beside our interval; a range is met where the two overlap."""
    low, high = min(values), max(values)
    judged = verdict(own, (low + high) / 2, tolerance=(high - low) / 2, not_comparable=foreign if own.n else "")
    told = f"about {low:g} points" if low == high else f"{low:g} to {high:g} points"
    word = NOT_MEASURED if not own.n else str(judged) if judged.verdict == NOT_COMPARABLE else judged.verdict
    return {"claim": claim, "printed": told, "measured": describe(own), "verdict": word}


def _leaves(
    away: pd.DataFrame, language: str, claim: str, *, stays_to: float, and_drops: bool = False
) -> dict[str, str]:
    """Whether F1 stays inside the dense interval up to a sparsity, and, where asked, leaves it later."""
    own = away[away["language"] == language]
    found = departure(own).set_index("order") if len(own) else pd.DataFrame(columns=["departure", "n"])
    parts = {}
    for order, row in found[found["n"] > 1].sort_index(ascending=False).iterrows():
        never = math.isnan(row["departure"])
        right = not and_drops if never else row["departure"] > stays_to
        parts[order] = (percent(row["departure"]), AGREES if right else DIFFERS)
    measured = "; ".join(f"{order}: leaves the dense interval at {place}" for order, (place, _) in parts.items())
    word = "; ".join(f"{order}: {judged}" for order, (_, judged) in parts.items())
    return {"id": "Q4", "claim": claim, "printed": f"up to {percent(stays_to)}",
            "measured": measured or "not measured", "verdict": word or NOT_MEASURED}  # fmt: skip
