"""Make the tables, the figure and the sentences of this folder again from its records: nothing is trained.

`results/` holds the records themselves, since a CSV has no room for the counts of each sentence.
"""

import os
from pathlib import Path

import pandas as pd

from smaller.analysis import figures, sentences
from smaller.analysis.comparison import OVER_SENTENCES, paired
from smaller.analysis.findings.words import count_of, name_of, names_of, percent
from smaller.analysis.statistics import of_split
from smaller.report.reference import ReferenceRun, over
from smaller.study import results

RUN = ReferenceRun(Path(__file__).parent, notebook="02_pruning")
os.environ["SMALLER_OUTPUTS"] = str(RUN.folder)
ONE_TRAINING = (
    "Intervals are over the sentences of the test split, for one training each: another seed would be another model"
)


table = results.table(results.read_all())
plain = pd.read_csv(RUN.folder / "plain.csv", keep_default_na=False)
test = of_split(table, "test")
dense = test[test["order"] == "dense"]
dense = dense[dense["form"] == "trained"]
languages = sorted(set(dense["language"]))
plain = of_split(plain, "test").query("language in @languages")
beside = paired(dense, plain, by=["language"], over_sentences=True).set_index("language")[OVER_SENTENCES]
ahead = [code for code in languages if beside[code].low > 0]
behind = [code for code in languages if beside[code].high < 0]

leads = pd.DataFrame(
    {
        "language": [name_of(code) for code in languages],
        "F1, over sentences": [sentences.interval(dense[dense["language"] == code]) for code in languages],
        "F1 of a CRF": plain.set_index("language")["f1"][languages].array,
        "minus a CRF, over sentences": [beside[code] for code in languages],
        "ships (MB)": dense.set_index("language")["shipped_bytes"][languages].array / 1e6,
        "a CRF ships (MB)": plain.set_index("language")["shipped_bytes"][languages].array / 1e6,
    }
)

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
RUN.findings(
    [
        f"{dense['encoder'].iloc[0]} is ahead of a conditional random field without an encoder in "
        f"{len(ahead)} of {count_of(len(languages), 'language')} ({names_of(ahead) or 'none'}), and behind in "
        f"{len(behind)}. {ONE_TRAINING}.",
        RUN.table(leads, f"F1 of the dense encoder on test beside a CRF. {ONE_TRAINING}.", "dense"),
        RUN.table(
            pruned,
            f"Pruned after fine-tuning: F1 on test minus that of the dense model. {ONE_TRAINING}.",
            "pruned",
        ),
        RUN.table(
            forms,
            f"Quantized: F1 on test minus that of the dense model, and the folder's bytes. {ONE_TRAINING}.",
            "formats",
            decimals={"ships (% of dense)": 0},
        ),
    ]
)
