"""The claims and questions of both papers as data, and one rule that judges each by what a page has measured.

A page gives a `Finding` for each claim that it takes up, shows the rows that `of_page` makes of them, and saves them as
`verdicts-<topic>.csv`; the summary gathers them with `gathered`. The gate stands here too: nothing is claimed of
compression where the dense encoder is not shown to be ahead of a model without an encoder.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import pandas as pd

from smaller.analysis.comparison import AGREES, DIFFERS, NOT_COMPARABLE, NOT_DECIDED, NOT_MEASURED, Comparison, unknown
from smaller.analysis.findings.finding import Finding
from smaller.analysis.statistics import Interval
from smaller.base.errors import SmallerError, did_you_mean
from smaller.base.paths import outputs_folder
from smaller.encoders import ENCODERS

COLUMNS = ["id", "claim", "printed", "printed in", "measured", "verdict", "figure"]

OF_PAPER = {"1": "afriberta-base afriberta-large", "2": "xlm-r-base mbert"}
"""The encoders that each paper speaks of: what was measured on another one is no test of what it says of these."""

ELSEWHERE = ", on another encoder"
"""The end of a verdict on an encoder that the paper does not speak of."""

BEHIND = ", without a lead over a plain model"
"""The end of a verdict that the gate refuses: the encoder is not shown to be ahead of a model without an encoder."""

LEGEND = (
    "Ids: Q, OQ and NC are the first paper's questions, open questions and next checks; M its mechanisms; D errors of "
    "both papers. P1-F, P1-T, P2-F and P2-T are figures and tables of the first and the second paper. T5 and T21 to "
    "T24 are tests that this study adds. X1 compares the techniques of both papers at equal bytes. XtremeDistil: "
    "Mukherjee and Awadallah (2020). Verdicts: a claim agrees, differs, is not decided, not measured or not "
    "comparable. An open question claims nothing: where it is answered, that stands instead of a verdict. What follows "
    "a comma is a note."
)
"""What ids begin with, and which verdicts there are; it stands at the top of each page that uses an id."""

ID = re.compile(r"\b(?:(?:Q|M|D|OQ|NC|T)\d+|P[12]-[FT]\d+|X1)\b")


@cache
def listed() -> pd.DataFrame:
    """Every claim, question and misprint that touches a number, in reading order; several ids may be about one number.

    `encoders` are those whose number is printed (all of the paper's where it is empty), `misprint` what is known to be
    wrong, `gated` whether it is about what compression does to a score; `kind` and `says` stand at `judged`.
    """
    return pd.read_csv(Path(__file__).with_name("claims.csv"), dtype=str, keep_default_na=False)


def may_claim(ahead: Finding) -> bool:
    """The gate: the dense encoder is shown to be ahead, over seeds and known sentences, and behind in no language."""
    about, lead = ahead.values, ahead.quantity
    leads = about.get("leads", [lead]) if isinstance(lead, Comparison) else []
    shown = leads and not about.get("behind") and all(one.sign == 1 and not one.lacking for one in leads)
    return bool(shown) and not any(one.known and one.low <= 0 for one in about.get("over sentences", ()))


def standing(ahead: Finding) -> str:
    """The words for how an encoder that the gate refuses stands to a model without an encoder."""
    lead, sign = ahead.quantity, getattr(ahead.quantity, "sign", 0)
    if sign == 1 and (lead.lacking or ahead.values.get("behind")):
        return "is not shown to be ahead in each language of"
    return {-1: "is behind", 1: "is not shown to be ahead, over sentences, of"}.get(sign, "is not shown to be ahead of")


def refusal(ahead: Finding, encoder: str = "the encoder", of: str = "") -> str:
    """The sentence with which the gate refuses claims; nothing where it is open."""
    why = standing(ahead) if ahead.measured else "was not compared with"
    said = f"{of}nothing is claimed of compression, since {encoder} {why} a model without an encoder."
    return "" if may_claim(ahead) else said[0].upper() + said[1:]


def gated(found: Mapping[tuple, Finding], ahead: Mapping[tuple[str, str], Finding]) -> dict[tuple, Finding]:
    """Findings on compression by encoder, data set and more, as far as `ahead` allows them by encoder and data set."""
    told: dict[tuple, Finding] = {}
    for key, one in found.items():
        encoder, dataset = place = key[:2]
        why = refusal(ahead[place], encoder, f"On {dataset}, ") if one.measured else ""
        told |= {place: Finding(why, verdict=NOT_COMPARABLE)} if why else {key: one}
    return told


def judged(claim: Mapping[str, str], found: Finding, *, encoder: str | Sequence[str]) -> str:
    """The verdict on a claim of the list by what a page has found on an encoder, or on several together.

    A `kind` of "question" is answered, not decided or not measured, as the finding itself is. An "arithmetic" claim is
    judged on any encoder, a "relation" and a "level" (a number) on the claim's own: elsewhere the verdict says so, and
    a level is not comparable. `says` is "more", "less" or "same" of a comparison; "keeps" of one that
    loses less than two points; "is", "least" or "most" of a number, which `value` and `margin` give in its own unit.
    """
    if not found.measured:
        return NOT_MEASURED
    if claim["kind"] == "question":
        return found.verdict
    where = _where(claim, encoder)
    verdict = NOT_COMPARABLE if where and claim["kind"] == "level" else _borne_out(claim, found)
    return verdict if verdict == NOT_MEASURED else verdict + where


def _where(claim: Mapping[str, str], encoder: str | Sequence[str]) -> str:
    """`ELSEWHERE` for what a paper has measured, and says of other encoders than this, or these."""
    own = (claim.get("encoders") or OF_PAPER.get(claim["paper"], "")).split()
    measured = {_named(name) for name in ([encoder] if isinstance(encoder, str) else encoder)}
    return ELSEWHERE if claim["kind"] in ("relation", "level") and not measured <= set(own) else ""


def _named(encoder: str) -> str:
    """The study's own name of an encoder that is given by its place on the hub, at any revision."""
    places = {known.repository: known.name for known in ENCODERS.values() if not known.made_from}
    return places.get(name := encoder.partition("@")[0], name)


def _borne_out(claim: Mapping[str, str], finding: Finding) -> str:
    says, quantity = claim["says"], finding.quantity
    if quantity is None:
        return finding.verdict if finding.verdict in (NOT_DECIDED, NOT_COMPARABLE) else NOT_MEASURED
    if isinstance(quantity, Comparison) and says not in ("is", "least", "most"):
        return quantity.bears_out(says)
    if says not in ("is", "least", "most"):
        raise SmallerError(f"The claim {claim['id']} says {says!r}, which no {type(quantity).__name__} can bear out.")
    found = getattr(quantity, "interval", quantity)
    found = found if isinstance(found, Interval) else Interval(found, found, found, 1)
    if not found.known:
        return unknown(found)
    value, margin = float(claim["value"]), float(claim["margin"] or 0)
    least = value - margin if says in ("is", "least") else -float("inf")
    most = value + margin if says in ("is", "most") else float("inf")
    if least <= found.low and found.high <= most:
        return AGREES
    return DIFFERS if found.high < least or found.low > most else NOT_DECIDED


def of_page(
    found: Mapping[str, Finding | Sequence[Finding]], *, encoder: str | Sequence[str], ahead: Finding
) -> pd.DataFrame:
    """A page's verdicts on the claims that it takes up, with the columns `COLUMNS`: one row for each finding.

    A key may name several claims that one measurement decides, "Q9, D9": the first is judged. `encoder` is the one that
    was measured, or all of several, unless the finding's values name its own; `ahead` is what `baselines.ahead` says.
    An unknown id raises SmallerError.
    """
    known, rows = listed().set_index("id", drop=False), []
    for key, findings in found.items():
        first, *_ = names = key.split(", ")
        if unknown := [name for name in names if name not in known.index]:
            hint = did_you_mean(unknown[0], known.index)
            raise SmallerError(f"No claim has the id {unknown[0]!r}.{hint} The list is findings/claims.csv.")
        claim = known.loc[first].to_dict()
        for one in [findings] if isinstance(findings, Finding) else findings:
            refused = claim["gated"] and one.measured and not may_claim(ahead)
            measured = one.values.get("encoder", encoder)
            behind = NOT_COMPARABLE + _where(claim, measured) + BEHIND
            verdict = behind if refused else judged(claim, one, encoder=measured)
            rows.append([key, claim["claim"], _printed(claim), claim["source"], one.headline, verdict, claim["figure"]])
    return pd.DataFrame(rows, columns=COLUMNS)


def _printed(claim: Mapping[str, str]) -> str:
    return f"{claim['printed']} ({claim['misprint']})" if claim["misprint"] else claim["printed"]


def gathered(pages: Sequence[str]) -> pd.DataFrame:
    """What the pages made of every claim in the list, or which page would; `pages` are the notebooks that were run."""
    known = listed().set_index("id", drop=False)
    files = sorted((outputs_folder() / "tables").glob("verdicts-*.csv"))
    parts = [pd.read_csv(file, dtype=str, keep_default_na=False) for file in files]
    found = pd.concat([pd.DataFrame(columns=COLUMNS), *(part for part in parts if set(COLUMNS) <= set(part))])
    found = found[found["id"].str.split(", ").str[0].isin(known.index)]
    rest = known[~known.index.isin(found["id"].str.split(", ").explode())]
    why = [NOT_MEASURED if page in pages else f"{NOT_MEASURED}: {page} was not run" for page in rest["notebook"]]
    told = {"printed": [_printed(claim) for claim in rest.to_dict("records")], "printed in": rest["source"]}
    rest = rest.assign(**told, measured=why, verdict=NOT_MEASURED)
    found = pd.concat([found, rest])[COLUMNS].assign(first=lambda rows: rows["id"].str.split(", ").str[0])
    found = found.sort_values("first", key=lambda names: names.map(known.index.get_loc), kind="stable")
    found = found.assign(page=known.loc[found["first"], "notebook"].array).drop(columns="first")
    found = found.reset_index(drop=True)
    found["claim"] = found["claim"].str[:1].str.upper() + found["claim"].str[1:]
    there = found[found["page"].isin(pages)].itertuples()
    found.attrs["links"] = {(row.Index, "figure"): f"{row.page}.ipynb#{row.figure}" for row in there}
    return found
