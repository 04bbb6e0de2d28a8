"""Make the tables, figures and sentences of this folder again from its records: nothing is trained.

`plain.csv` holds the scores of models without an encoder on the same data. The sparse kernel's times, the data
sheet and the tables of 00_quickstart are not in the records, and stay as measured.
"""

from pathlib import Path

import pandas as pd

from smaller.analysis import figures
from smaller.analysis.findings import baselines, claims, pruning
from smaller.analysis.findings.words import name_of
from smaller.analysis.published import published
from smaller.report.reference import ReferenceRun

RUN = ReferenceRun(Path(__file__).parent, notebook="02_pruning")
shown = RUN.table
ENCODER, LANGUAGES = "mini-base", ["hau", "swa", "yor"]


def dense_f1(rows: pd.DataFrame) -> pd.DataFrame:
    """Dense test F1 of each language, its interval over seeds, and how many these are: one seed has no interval."""
    found = baselines.by_language(rows).query("language != 'average'")
    each = found[baselines.F1_OVER_SEEDS]
    told = [f"{one.low:.1f} to {one.high:.1f}" if one.known else "one seed" for one in each]
    names, means = found["language"].map(name_of), [one.mean for one in each]
    return pd.DataFrame({"language": names, "F1": means, "95 % interval": told, "seeds": [one.n for one in each]})


whole = RUN.records()
table = whole[whole["language"].isin(LANGUAGES)]
plain = table["include"].ne("linear+embeddings") & table["scope"].ne("layer")
grid = table[plain & table["method"].ne("random")]
random = table[table["method"] == "random"]
both = table[plain & table["order"].ne("after") & table["seed"].isin(random["seed"].unique())]

ahead = RUN.ahead(grid)
dense, crf = whole[whole["order"] == "dense"], RUN.records("plain.csv")
printed = published(table="NER 1.0 baselines", row=["AfriBERTa small", "AfriBERTa base"])
limits, steadier, masks = pruning.limits(grid), pruning.stability(grid), pruning.masks(both)
falls = pruning.departures(grid)
parts = [
    str(baselines.dense(grid)),
    str(ahead),
    shown(
        dense_f1(whole),
        "Dense F1 on test of all languages, with the t interval over seeds. Not all seeds of every language were "
        "finished, and one seed has no interval.",
        "dense",
    ),
    str(limits),
    str(steadier),
    str(masks),
    shown(
        falls,
        "Dense F1; the sparsity at which mean F1 has dropped by 2 points (linear between grid points); and the "
        "sparsity from which on the interval over seeds excludes a smaller loss.",
        "departures",
        decimals=dict.fromkeys(falls.columns, 0) | {"dense F1": 1},
    ),
    shown(
        pruning.best_sparsity(grid),
        "For each language the highest sparsity whose dev F1, averaged over seeds, "
        "is within 2 points of the dense model; F1 there on test, its difference from dense, and its time.",
        "best-sparsity",
        decimals={"highest sparsity (%)": 0},
    ),
    shown(
        claims.of_page(pruning.claims(grid, both, grid), encoder=ENCODER, ahead=ahead),
        f"What {ENCODER} shows of the claims on pruning on masakhaner.",
        "verdicts-pruning",
    ),
]

drawn = {
    "P1-F1": (figures.f1_against_sparsity(grid), grid, limits),
    "P1-F2-F3": (figures.f1_by_language(grid), grid, limits),
    "dense-f1": (figures.dense_f1(dense, printed, crf), dense, baselines.dense(dense)),
    "masks-compared": (figures.masks_compared(both), both, masks),
}
for name, (axes, data, finding) in drawn.items():
    RUN.figure(axes, name, table=data[data["split"] == "test"], caption=finding.headline)
RUN.findings(parts)
