"""What is claimed of extreme compression, and what the pipeline here shows of it at the same size."""

from __future__ import annotations

import itertools

import pandas as pd

from smaller.findings import extreme, extreme_curves, smallest
from smaller.findings.cells import with_unit
from smaller.findings.claims import ANSWERED, NOT_MEASURED, of_page
from smaller.findings.extreme import ORDERS, PIPELINE, SIZES, TAUGHT, averaged
from smaller.published import AGREES, DIFFERS, NOT_COMPARABLE
from smaller.recipes import DENSE
from smaller.statistics import of_split, t_interval

_SHARES = {"parameters": "parameter_share", "bytes": "share"}
_LOST = "8 to 13 % lost (v2 of the abstract; v1: 2 to 10 %)"
_PIPELINE = (PIPELINE, SIZES, ORDERS)
_BOTH = (*_PIPELINE, TAUGHT)
CLAIMS = (
    ("D24, D23", "up to 92 % compression (XLM-R, a width of 312, 40,000 pieces)", _PIPELINE, "parameters", 0.08, 13.0,
     _LOST),
    ("D24, D23", "the same, counted in bytes with int8", _PIPELINE, "bytes", 0.08, 13.0, _LOST),
    ("XtremeDistil", "35 times fewer parameters at 95 % of F1", _BOTH, "parameters", 1 / 35, 5.0, "5 % lost"),
    ("XtremeDistil", "the same, counted in bytes with int8", _BOTH, "bytes", 1 / 35, 5.0, "5 % lost"),
)  # fmt: skip
"""What was claimed: id, in words, the families here that it speaks of, what is counted, the share of it that is left,
the per cent of the score lost at most, and the same as printed. Both counted fp32 models, of which parameters and bytes
are the same share; int8 is this study's own."""


def claims(
    table: pd.DataFrame,
    times: pd.DataFrame | None = None,
    lost: pd.DataFrame | None = None,
    equal: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Each claim and question on extreme compression with what was measured, and the verdict.

    `times` is the table of timings, `lost` what `extreme_curves.drops` gives, `equal` what `extreme.at_equal_bytes`
    gives. A row for each data set.
    """
    rows = []
    for name, own in table.groupby(["encoder", "dataset"], sort=False):
        told = extreme.in_the_end(own)
        rows.append({"id": "P2-T1", "claim": f"what each step costs, {name[1]}", "measured": told,
                     "verdict": NOT_MEASURED if "not measured" in told else ANSWERED})  # fmt: skip
    rows += of_size(table)
    if times is not None and len(times):
        rows.append({"id": "XtremeDistil", "claim": "51 times faster", "printed": "51 times, in batches",
                     "measured": smallest.faster(table, times).partition(" XtremeDistil")[0],
                     "verdict": f"{NOT_COMPARABLE}: another device, encoder and start"})  # fmt: skip
    for name, own in [] if lost is None else lost.groupby("dataset", sort=False):
        enough = own["language"].nunique() >= extreme_curves.ENOUGH
        rows.append({"id": "D25", "claim": f"the drop goes with a language's amount of text, {name}",
                     "measured": extreme_curves.drop_in_words(own),
                     "verdict": ANSWERED if enough else "not decided: too few languages"})  # fmt: skip
    if equal is not None and len(equal):
        rows.append({"id": "X1", "measured": extreme.best_families(equal), "verdict": ANSWERED})
    return of_page(rows)


def of_size(table: pd.DataFrame) -> list[dict[str, str]]:
    """`CLAIMS` beside the best model here that is as small: chosen on dev, measured on test; a row for each data set.

    Of the pipeline in all its sizes and orders, and where the claim is of teaching on the task, of that too.
    """
    dev, test = (averaged(of_split(table, split)) for split in ("dev", "test"))
    found = []
    for (name, claim, families, counted, left, most, printed), (keys, rows) in itertools.product(
        CLAIMS, list(test.groupby(["encoder", "dataset"], sort=False))
    ):
        column, own = _SHARES[counted], rows[rows["family"].isin(families)]
        dense = own[own["stage"] == DENSE].set_index("seed")["score"]
        chosen = dev[(dev["encoder"] == keys[0]) & (dev["dataset"] == keys[1]) & dev["family"].isin(families)
                     & (dev[column] <= left * 1.005)]  # fmt: skip
        about = {"id": name, "claim": f"{claim}: {keys[0]}, {keys[1]}", "printed": printed}
        if chosen.empty:
            least = f"not reached: {100 * own[column].min():.1f} % of the {counted} are left at the least"
            found.append(about | {"measured": least, "verdict": NOT_COMPARABLE})
            continue
        stage = chosen.groupby("stage", sort=False)["score"].mean().idxmax()
        model = own[own["stage"] == stage]
        lost = t_interval((100 * (1 - model.set_index("seed")["score"] / dense)).dropna())
        low, high = (lost.low, lost.high) if lost.known else (lost.mean, lost.mean)
        verdict = (f"{AGREES} (up to {most:g} % lost)" if high <= most else
                   f"{DIFFERS} (more than {most:g} % lost)" if low > most else
                   f"not decided (the interval holds {most:g} % lost)")  # fmt: skip
        size = f"{100 * model[column].max():.1f} % of the {counted}"
        found.append(about | {"measured": f"{stage}, {size}: {with_unit(lost, '% lost')}", "verdict": verdict})
    return found
