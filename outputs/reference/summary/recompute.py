"""Write this folder's tables and figures again from the records of all reference runs beside it.

The records are there as tables, without their recipes: `steps.json` holds the steps of each, as far as a kind of recipe
is known by them. The models without an encoder are those of the extreme run.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from smaller.analysis import figures
from smaller.analysis.findings import claims, summary
from smaller.base import paths
from smaller.data.languages import names_of
from smaller.notebook.display import in_numbers
from smaller.report.reference import ReferenceRun
from smaller.study.kinds import is_whole

RUN = ReferenceRun(Path(__file__).parent, notebook="08_summary")
RUNS = RUN.folder.parent
NOTEBOOKS = ["mini", "distillation", "quantization", "transfer", "robustness", "extreme"]
"""The runs that the notebooks made; that of `compress` trained with settings of its own."""
ENCODER, DATASET, LANGUAGES = "mini-base", "masakhaner", ["hau", "swa"]
DROPS, LANGUAGE_DROP = [0.5, 1.0, 2.0, 5.0], 1.0

STEPS = {
    identity: form["steps"]
    for form in json.loads((RUN.folder / "steps.json").read_text(encoding="utf-8"))
    for identity in form["recipes"]
}


def is_dense(identity: str) -> bool:
    """Whether a recipe is the uncompressed model, in whatever format of full precision."""
    return is_whole([step for step in STEPS[identity] if step.get("form") != "fp32"])


def records() -> pd.DataFrame:
    """The rows of all runs at home, each once, with the share of the dense model's time that its own run measured."""
    parts = []
    for file in (RUNS / run / "records.csv" for run in NOTEBOOKS):
        own = pd.read_csv(file, keep_default_na=False, na_values=[""], low_memory=False)
        own = own.assign(noise=own["noise"].astype(object).fillna(""))
        own = own.reindex(columns=dict.fromkeys([*own, "milliseconds"]))
        own = own[(own["encoder"] == ENCODER) & (own["noise"] == "")]
        dense = own[own["identity"].map(is_dense)].groupby(["dataset", "language"])["milliseconds"].mean()
        own = own.join(dense.rename("dense"), on=["dataset", "language"])
        parts.append(own.assign(share=own["milliseconds"] / own["dense"], score=own["f1"]))
    rows = pd.concat(parts, ignore_index=True)
    means = rows.groupby("identity")[["milliseconds", "share"]].transform("mean")
    return rows.assign(**means).drop_duplicates(["identity", "dataset", "language", "split"])


def claim_rows() -> str:
    """The claims table from the verdicts of all runs, as far as they have the columns of this version."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tables").mkdir()
        for file in RUNS.glob("*/tables/verdicts-*.csv"):
            shutil.copy(file, Path(folder) / "tables" / file.name)
        os.environ["SMALLER_OUTPUTS"] = folder
        gathered = claims.gathered([path.stem for path in paths.notebooks_folder().glob("*.ipynb")])
    gathered.attrs.clear()  # the pages that the figures would lead to are not kept here
    return RUN.table(gathered, "The claims of both papers.", "claims")


def main() -> None:
    """Write tables, figures, and the findings in the README."""
    rows = records()
    plain = pd.read_csv(RUNS / "extreme" / "plain.csv")
    shares = rows.set_index("identity")["share"], plain.set_index("identity")["time_ratio"]
    shares = {"milliseconds": pd.concat(shares).dropna().to_dict()}
    table = summary.of_table(rows, STEPS, dataset=DATASET, languages=LANGUAGES, shares=shares, plain=plain)
    found, by_language = summary.families(table, over_sentences=True), summary.families_by_language(table)
    instead = "; where that is not ahead of the model without an encoder, the latter."
    about, places = f"{ENCODER}, uncompressed", {"MB": 2, "compressed (MB)": 2, "training (s)": 0}
    units = f"F1 and difference are of the test split. {summary.units(found)}"
    told = [
        str(summary.recommendation(table, drops=DROPS)),
        RUN.table(
            summary.choices(table, drops=DROPS),
            f"The smallest kind of recipe for each loss of F1 on dev against {about} ({names_of(LANGUAGES)}){instead} "
            f"{units}",
            "choices",
            decimals=places,
        ),
        RUN.table(
            summary.choices_by_language(table, drop=LANGUAGE_DROP),
            f"For each language the smallest kind of recipe whose F1 on dev is at most {LANGUAGE_DROP:g} below that "
            f"of {about}{instead} {units}",
            "choices-by-language",
            decimals=places,
        ),
        str(summary.fronts(by_language)),
        claim_rows(),
    ]
    RUN.table(summary.shown(found), "Every kind of recipe, the smallest first.", "recipes", decimals=places)
    RUN.figure(
        figures.pareto(found, table),
        "pareto",
        table=in_numbers(found),
        caption=f"F1 on test against what a model costs, {len(found)} kinds of recipe of {ENCODER} "
        f"({names_of(LANGUAGES)}; {table['seed'].nunique()} seeds at most). The line joins the kinds, of those with "
        "all seeds of the uncompressed model, that no cheaper one reaches on dev; bars are their 95 % t intervals over "
        "seeds, and dots are seeds. Kinds that lose 15 points or more are in the table `recipes` alone. "
        f"{summary.units(found)} A zero takes as many bytes as any other weight.",
        alt="Panels of F1 by size, time and training time, with a marker for each kind of recipe by its technique. A "
        "line joins the kinds on the front.",
    )
    RUN.figure(
        figures.pareto(by_language, table),
        "pareto-by-language",
        table=in_numbers(by_language),
        caption=f"The same for each language alone. {summary.fronts(by_language)}",
        alt="A row of panels for each language: F1 by size, time and training time, with the front of each.",
    )
    RUN.findings(told)


if __name__ == "__main__":
    main()
