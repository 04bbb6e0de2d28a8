"""Make the tables, figures and sentences of this folder again from its records: nothing is trained.

`plain.csv` holds the scores of models without an encoder on the same data, and `rates.csv` those of the dense encoder
at other learning rates and passes. The sparse kernel's times, the noise floor
of the figure P1-F6, the data sheet and the models of 00_quickstart are not in the records, and stay as measured.
"""

from pathlib import Path

import pandas as pd

from smaller.analysis import figures
from smaller.analysis.findings import baselines, claims, pruning
from smaller.base.words import count_of
from smaller.data.languages import name_of, names_of
from smaller.data.published import published
from smaller.report.reference import ReferenceRun, over

RUN = ReferenceRun(Path(__file__).parent, notebook="02_pruning")
shown = RUN.table
ENCODER, LANGUAGES = "mini-base", ["hau", "swa", "yor"]
SETTING = (1e-3, 4)
"""The learning rate and the passes that all records are of."""


def dense_f1(rows: pd.DataFrame) -> pd.DataFrame:
    """Dense test F1 of each language, its interval over seeds, and how many these are: one seed has no interval."""
    found = baselines.by_language(rows).query("language != 'average'")
    each = found[baselines.F1_OVER_SEEDS]
    told = [f"{one.low:.1f} to {one.high:.1f}" if one.known else "one seed" for one in each]
    names, means = found["language"].map(name_of), [one.mean for one in each]
    return pd.DataFrame({"language": names, "F1": means, "95 % interval": told, "seeds": [one.n for one in each]})


def rates() -> tuple[pd.DataFrame, str]:
    """Rates and passes of the dense encoder that were tried with one seed, the best on dev first, and what they say."""
    tried = pd.read_csv(RUN.folder / "rates.csv")
    setting = ["learning rate", "passes"]
    found = tried.pivot(index=setting, columns="language", values=["dev", "test"])
    languages = list(found["dev"])
    found = found.dropna().set_axis([f"{name_of(code)}, {split}" for split, code in found], axis="columns")
    for split in ("dev", "test"):
        found[f"average, {split}"] = found[[f"{name_of(code)}, {split}" for code in languages]].mean(axis="columns")
    found = found.sort_values("average, dev", ascending=False).reset_index()
    best, own = found.iloc[0], found.set_index(setting).loc[SETTING]
    short = best["average, dev"] - own["average, dev"]
    first = "is the best of them on dev" if short == 0 else f"is {short:.1f} points below the best of them on dev"
    return found, (
        f"F1 of the dense encoder at {len(found)} settings, seed 1, batches of 32 ({names_of(languages)}). The records "
        f"are of a rate of {SETTING[0]:g} and {SETTING[1]} passes, which was chosen on dev of Swahili before; here it "
        f"{first}, on average over these languages. Fitted later (commit aeab25c), on a processor without bfloat16."
    )


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
    str(limits),
    str(steadier),
    str(masks),
    shown(
        dense_f1(whole),
        "Dense F1 on test of all languages, with the t interval over seeds. Not all seeds of every language were "
        "finished, and one seed has no interval.",
        "dense",
    ),
    shown(*rates(), "rates-on-dev", decimals={"learning rate": 4, "passes": 0}),
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

quick, kernels = (pd.read_csv(RUN.folder / "figures" / f"{name}.csv") for name in ("quickstart", "sparse-kernel"))
seeds, tried = (f"{names_of(LANGUAGES)}; {count_of(own['seed'].nunique(), 'seed')}" for own in (grid, both))
RUN.figure(
    figures.dense_f1(dense, printed, crf),
    "dense-f1",
    table=dense[dense["split"] == "test"],
    caption="F1 of the dense encoders on the test split by language. Crosses: a model without an encoder. Hollow: "
    f"published baselines of the full-size encoders. {baselines.dense(dense).headline}",
    over=f"{count_of(dense['language'].nunique(), 'language')}; 1 to {count_of(dense['seed'].nunique(), 'seed')}",
    alt="One row of markers for each language and one for the average, with intervals over seeds.",
)
RUN.figure(
    figures.f1_against_sparsity(grid),
    "P1-F1",
    table=grid[grid["split"] == "test"],
    caption=f"Mean F1 over sparsity; grey: the dense model. {limits.headline}",
    over=seeds,
    alt="A curve of F1 over sparsity for each order of pruning and fine-tuning, and a line for the dense model.",
)
RUN.figure(
    figures.f1_by_language(grid),
    "P1-F2-F3",
    table=grid[grid["split"] == "test"],
    caption="F1 over sparsity by language in both orders; grey: the dense model with its interval.",
    over=seeds,
    alt="One panel for each language, the average first: a curve for each order, and a line for the dense model.",
)
RUN.figure(
    figures.masks_compared(both),
    "masks-compared",
    table=both[both["split"] == "test"],
    caption=f"Magnitude and random masks at equal sparsity, pruned before fine-tuning. {masks.headline}",
    over=tried,
    alt="F1 over sparsity: one curve for magnitude masks, one for random masks, and a line for the dense model.",
)
RUN.figure(
    figures.size_and_f1(quick.assign(group=quick["label"])),
    "quickstart",
    table=quick,
    caption="F1 on test over model size. Hollow: the file as it is, in which zeros take as much room as other weights. "
    "Filled: the file compressed.",
    over=over(quick["language"], quick["seed"]),
    alt="For each of four models a hollow and a filled marker at the same F1, joined by a line: its two sizes.",
)
RUN.figure(
    None,
    "P1-F6",
    caption="Milliseconds for a sentence over sparsity with dense kernels, seed 1. Bars: fastest and slowest round. "
    "Grey: the noise floor. The picture is as the run made it.",
    alt="One panel for each language: a curve of time over sparsity, and a grey band for the noise floor.",
)
RUN.figure(
    figures.sparse_kernel(kernels),
    "sparse-kernel",
    table=kernels,
    caption="The same pruned models with dense and with sparse kernels (compressed sparse rows) for their Linear "
    "layers: milliseconds for a sentence; bands: fastest and slowest round.",
    alt="A curve of time over sparsity for each kind of kernel, with a band for its rounds.",
)
RUN.findings(parts)
