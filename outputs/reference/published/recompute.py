"""Make the tables, the figure and the sentences of this folder again from its records: nothing is trained.

`results/` holds the records themselves, since a CSV has no room for the counts of each sentence.
"""

import os
from pathlib import Path

import pandas as pd

from smaller.analysis import figures
from smaller.analysis.comparison import OVER_SENTENCES, paired
from smaller.analysis.findings import baselines
from smaller.analysis.statistics import of_split
from smaller.base.paths import project_root
from smaller.base.words import percent
from smaller.data.languages import name_of
from smaller.report.reference import PLAIN, ReferenceRun, over
from smaller.study import results
from smaller.study.plain import at_every_seed

RUN = ReferenceRun(Path(__file__).parent, notebook="02_pruning")
os.environ["SMALLER_OUTPUTS"] = str(RUN.folder)
ONE_TRAINING = (
    "Intervals are over the sentences of the test split, for one training each: another seed would be another model"
)


table = results.table(results.read_all())
dense_rows = table[(table["order"] == "dense") & (table["form"] == "trained")]
test, dense = of_split(table, "test"), of_split(dense_rows, "test")
languages = sorted(set(dense["language"]))
without = pd.read_csv(project_root() / PLAIN, keep_default_na=False).query("dataset == 'masakhaner'")
without = at_every_seed(without[without["language"].isin(languages)], dense["seed"])
beside = paired(dense, of_split(without, "test"), by=["language"], over_sentences=True).set_index("language")
f1 = {
    (name, split): of_split(rows, split).set_index("language")["f1"][languages].array
    for name, rows in (("e5-small", dense_rows), ("a CRF", without))
    for split in ("dev", "test")
}
leads = pd.DataFrame({"language": [name_of(code) for code in languages]})
leads = leads.assign(**{f"{name}, {split}": scores for (name, split), scores in f1.items()})
leads["minus a CRF, test"] = beside["comparison"][languages].array
leads["minus a CRF, over sentences"] = beside[OVER_SENTENCES][languages].array
for name, rows in (("e5-small", dense), ("a CRF", of_split(without, "test"))):
    leads[f"{name} ships (MB)"] = rows.set_index("language")["shipped_bytes"][languages].array / 1e6

small = test[~test["identity"].isin(dense["identity"])]
small = small.assign(model=small["form"].where(small["order"] != "after", small["sparsity"].map(percent)))
changes = paired(small, dense, by=["model", "language"], for_all=["model"], over_sentences=True)
wide = changes.pivot(index="model", columns="language", values=OVER_SENTENCES).rename(columns=name_of)
wide = wide.reindex(small["model"].unique()).rename_axis(None, axis="columns").reset_index()
pruned = wide[wide["model"].str.endswith("%")].rename(columns={"model": "sparsity"}).sort_values("sparsity")
forms = wide[~wide["model"].str.endswith("%")].rename(columns={"model": "format"})
sizes = 100 * small.groupby("model")["shipped_bytes"].mean() / dense["shipped_bytes"].mean()
forms = forms.assign(**{"ships (% of dense)": sizes[forms["format"]].array})

grid = table[table["order"].isin(["dense", "after"]) & table["form"].isin(["trained"])]
N = over(dense["language"], dense["seed"])
RUN.figure(
    figures.f1_by_language(grid),
    "P1-F2-F3",
    table=of_split(grid, "test"),
    caption="F1 over sparsity by language, pruned after fine-tuning; grey: the dense model.",
    over=N,
    alt="One panel for each language, the average first: a curve of F1 over sparsity, and a line for the dense model.",
)
sections = [
    baselines.ahead(dense_rows.assign(score=dense_rows["f1"]), without),
    RUN.table(
        leads,
        f"F1 of the dense encoder beside a CRF, a model without an encoder. {ONE_TRAINING}; with one seed nothing is "
        "decided.",
        "dense",
    ),
]
if len(pruned):
    sections.append(
        RUN.table(pruned, f"Pruned after fine-tuning: F1 on test minus the dense model's. {ONE_TRAINING}.", "pruned")
    )
if len(forms):
    sections.append(
        RUN.table(
            forms,
            f"Quantized: F1 on test minus the dense model's, and the folder's bytes. {ONE_TRAINING}.",
            "formats",
            decimals={"ships (% of dense)": 0},
        )
    )
RUN.findings(sections)
