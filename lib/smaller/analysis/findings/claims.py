"""The claims and questions of both papers as data, and one rule that judges each by what a page has measured.

A page gives a `Finding` for each claim that it takes up, shows the rows that `of_page` makes of them, and saves them as
`verdicts-<topic>.csv`; the summary gathers them all with `gathered`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pandas as pd

from smaller.analysis.comparison import AGREES, DIFFERS, NOT_COMPARABLE, NOT_DECIDED, NOT_MEASURED, Comparison
from smaller.analysis.findings.finding import Finding, Quantity
from smaller.analysis.statistics import Interval
from smaller.base.errors import SmallerError, did_you_mean
from smaller.base.paths import outputs_folder

COLUMNS = ["id", "claim", "printed", "measured", "verdict", "figure"]

ENCODERS = {"1": ("afriberta-small", "afriberta-base", "afriberta-large"), "2": ("xlm-r-base", "mbert")}
"""The encoders that each paper speaks of: what was measured on another one is no test of what it says of these."""

ELSEWHERE = ", on another encoder"
"""The end of a verdict on an encoder that the paper does not speak of."""

LEGEND = (
    "Q: questions of the first paper; M: its mechanisms, with their break conditions; D: errors and contradictions; "
    "OQ: open questions; NC: next checks; P1, P2: tables of the two papers; X1: both papers at equal bytes."
)
"""What the ids of claims begin with."""


@cache
def listed() -> pd.DataFrame:
    """Every claim, question and misprint that touches a number, in reading order.

    Columns: id, paper, claim, printed (what a paper says of it), misprint (what is known to be wrong in that), kind,
    says, value, margin, notebook (that takes it up) and figure (the anchor on its page). What `kind` and `says` may be
    stands at `judged`. Several ids may be about one number.
    """
    return pd.read_csv(Path(__file__).with_name("claims.csv"), dtype=str, keep_default_na=False)


def judged(claim: Mapping[str, str], found: Finding, *, encoder: str) -> str:
    """The verdict on a claim of the list by what a page has found.

    A `kind` of "question" is answered, not decided or not measured, as the finding itself is. An "arithmetic" claim is
    judged on any encoder, a "relation" ("more", "less", "same", "keeps") and a "level" (a number) on the paper's own
    encoders; elsewhere the verdict on a relation says so, and a level is not comparable. `says` is "more", "less" or
    "same" of a comparison; "keeps" of one that loses less than two points; "is", "least" or "most" of a number, which
    `value` and `margin` give in the number's own unit.
    """
    if not found.measured:
        return NOT_MEASURED
    if claim["kind"] == "question":
        return found.verdict
    if found.quantity is None:
        return found.verdict if found.verdict in (NOT_DECIDED, NOT_COMPARABLE) else NOT_MEASURED
    elsewhere = claim["kind"] != "arithmetic" and encoder not in ENCODERS.get(claim["paper"], ())
    if elsewhere and claim["kind"] == "level":
        return NOT_COMPARABLE + ELSEWHERE
    verdict = _borne_out(claim, found.quantity)
    return verdict + ELSEWHERE if elsewhere and verdict in (AGREES, DIFFERS) else verdict


def _borne_out(claim: Mapping[str, str], quantity: Quantity) -> str:
    says = claim["says"]
    if isinstance(quantity, Comparison) and says in ("more", "less", "same"):
        return quantity.bears_out(says)
    if isinstance(quantity, Comparison) and says == "keeps":
        return {AGREES: DIFFERS, DIFFERS: AGREES}.get(word := quantity.departs(), word)
    if says not in ("is", "least", "most"):
        raise SmallerError(f"The claim {claim['id']} says {says!r}, which no {type(quantity).__name__} can bear out.")
    interval = quantity.interval if isinstance(quantity, Comparison) else quantity
    if isinstance(interval, Interval):
        if interval.n == 0 or not interval.known:
            return NOT_MEASURED if interval.n == 0 else NOT_DECIDED
        low, high = interval.low, interval.high
    else:
        low = high = float(interval)
    value, margin = float(claim["value"]), float(claim["margin"] or 0)
    least = value - margin if says in ("is", "least") else -float("inf")
    most = value + margin if says in ("is", "most") else float("inf")
    if least <= low and high <= most:
        return AGREES
    return DIFFERS if high < least or low > most else NOT_DECIDED


def of_page(found: Mapping[str, Finding | Sequence[Finding]], *, encoder: str) -> pd.DataFrame:
    """A page's verdicts on the claims that it takes up, with the columns `COLUMNS`: one row for each finding.

    A key may name several claims that one measurement decides, "Q9, D9": the first is the one that is judged. An id
    that is not listed raises SmallerError. `encoder` is the one that was measured.
    """
    known = listed().set_index("id", drop=False)
    rows = []
    for key, findings in found.items():
        first, *_ = names = key.split(", ")
        if unknown := [name for name in names if name not in known.index]:
            hint = did_you_mean(unknown[0], known.index)
            raise SmallerError(f"No claim has the id {unknown[0]!r}.{hint} The list is findings/claims.csv.")
        claim = known.loc[first].to_dict()
        printed = f"{claim['printed']} ({claim['misprint']})" if claim["misprint"] else claim["printed"]
        rows += [
            {
                "id": key,
                "claim": claim["claim"],
                "printed": printed,
                "measured": one.headline,
                "verdict": judged(claim, one, encoder=encoder),
                "figure": claim["figure"],
            }
            for one in ([findings] if isinstance(findings, Finding) else findings)
        ]
    return pd.DataFrame(rows, columns=COLUMNS)


def gathered(pages: Sequence[str]) -> pd.DataFrame:
    """What was made of every claim in the list by the pages that were run: one row or more for each, in its order.

    `pages` are the stems of the notebooks that were run. Columns: id, claim, verdict, printed, measured (the first
    sentence of it) and where, a link to the figure. A claim that no page decides says so, and which page would.
    """
    known = listed().set_index("id")
    places = {name: place for place, name in enumerate(known.index)}
    files = sorted((outputs_folder() / "tables").glob("verdicts-*.csv"))
    parts = [pd.read_csv(file, dtype=str, keep_default_na=False) for file in files]
    rows = [row for part in parts for row in part.to_dict("records") if set(COLUMNS) <= set(part)]
    decided = {name for row in rows for name in row["id"].split(", ")}
    for name, claim in known[~known.index.isin(list(decided))].iterrows():
        missing = "not measured" if claim["notebook"] in pages else f"not measured: {claim['notebook']} was not run"
        rows.append({"id": name, "measured": missing, "verdict": NOT_MEASURED} | claim.to_dict())
    rows = [row for row in rows if row["id"].split(", ")[0] in places]
    rows.sort(key=lambda row: places[row["id"].split(", ")[0]])
    found = []
    for row in rows:
        first = known.loc[row["id"].split(", ")[0]]
        page = first["notebook"]
        place = f"[{page}]({page}.ipynb#{row['figure']})" if page in pages else f"{page} (not run)"
        found.append(
            {
                "id": row["id"],
                "claim": row["claim"][:1].upper() + row["claim"][1:],
                "verdict": row["verdict"],
                "printed": row["printed"],
                "measured": row["measured"],
                "where": place,
            }
        )
    return pd.DataFrame(found)
