"""The claims and questions of both papers, and what each page makes of them: one list, one form of a row.

A page shows the rows that `of_page` makes of its own and saves them as `verdicts-<topic>.csv`; the summary gathers them
all with `gathered`, and says of each claim in the list that no page has measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import pandas as pd

from smaller.errors import SmallerError, did_you_mean
from smaller.findings.words import first_sentence
from smaller.paths import outputs_folder

ANSWERED, NOT_MEASURED = "answered", "not measured"
"""Verdicts on a question that was asked without a number, and on what a run says nothing about."""

COLUMNS = ["id", "claim", "printed", "measured", "verdict", "figure"]


@cache
def listed() -> pd.DataFrame:
    """Every claim, question and misprint that touches a number, in reading order.

    Columns: id, paper, claim, printed (what a paper says of it), notebook (that takes it up) and figure (the anchor on
    its page). Ids are those of the study's list of questions; several of them may be about one number.
    """
    return pd.read_csv(Path(__file__).with_name("claims.csv"), dtype=str, keep_default_na=False)


def of_page(rows: Iterable[Mapping[str, str]]) -> pd.DataFrame:
    """A page's verdicts with the columns `COLUMNS`; what a row leaves out of claim, printed and figure is the list's.

    `id` may name several claims that one measurement decides: "Q9, D9". An id that is not listed raises SmallerError.
    """
    known = listed().set_index("id")
    found = []
    for row in rows:
        first, *_ = ids = row["id"].split(", ")
        if unknown := [name for name in ids if name not in known.index]:
            hint = did_you_mean(unknown[0], known.index)
            raise SmallerError(f"No claim has the id {unknown[0]!r}.{hint} The list is findings/claims.csv.")
        found.append(known.loc[first, ["claim", "printed", "figure"]].to_dict() | dict(row))
    return pd.DataFrame(found, columns=COLUMNS)


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
        found.append({
            "id": row["id"], "claim": row["claim"][:1].upper() + row["claim"][1:], "verdict": row["verdict"],
            "printed": row["printed"], "measured": first_sentence(row["measured"]), "where": place,
        })  # fmt: skip
    return pd.DataFrame(found)
