"""Write this folder's tables and figures again from the records of all reference runs beside it.

The records are here as tables, without their recipes, so the steps are read from each recipe's label.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

import pandas as pd

from smaller.analysis import figures
from smaller.analysis.findings import claims, summary
from smaller.analysis.findings.words import names_of
from smaller.base import paths
from smaller.notebook.display import in_numbers
from smaller.report.reference import ReferenceRun

RUN = ReferenceRun(Path(__file__).parent, notebook="08_summary")
RUNS = RUN.folder.parent
shown = RUN.table
NOTEBOOKS = ["mini", "distillation", "quantization", "transfer", "robustness", "extreme"]
"""The runs that the notebooks made; that of `compress` trained with settings of its own."""
ENCODER, DATASET, LANGUAGES = "mini-base", "masakhaner", ["hau", "swa"]
DROPS, LANGUAGE_DROP = [0.5, 1.0, 2.0, 5.0], 1.0

PARTS = {
    "layers": (r"(\d+) layers", int),
    "heads": (r"(\d+) heads", int),
    "hidden_size": (r"(\d+) wide", int),
    "width_by": (r"wide by (\w+)", str),
    "feed_forward": (r"(\d+) neurons", int),
    "size": (r"([\d,]+) pieces", str),
    "transfer_lines": (r"\+ (\d+) lines", int),
    "logits": (r"\b(mse)\b", str),
    "temperature": (r"\bT ([\d.]+)", float),
    "seed": (r"seed (\d+)", int),
    "coverage": (r"([\d.]+) % of the text", float),
    "adapter": (r"adapter (\d+)", int),
    "threshold": (r"threshold ([\d.]+)", float),
}
FIRST = {
    "Prune": ("sparsity", float),
    "PruneHeads": ("keep", int),
    "PruneFeedForward": ("size", int),
    "TruncateHidden": ("size", int),
    "Quantize": ("form", str),
    "Round": ("bits", int),
}
WORDS = {"random": "method", "layer": "scope", "linear+embeddings": "include", "projection": "by", "importance": "by"}


def steps_of(label: str) -> list[dict]:
    """The steps of a label, as far as a kind of recipe is known by them."""
    found = []
    for part in label.partition(": ")[2].split(" > "):
        name, _, inside = part.rstrip(")").partition("(")
        step: dict = {"step": name, "seed": 1}
        words = re.split(r", (?!\d{3})", inside)
        if name in FIRST:
            field, kind = FIRST[name]
            step[field] = kind(words[0])
            step |= {WORDS[word]: word for word in words[1:] if word in WORDS}
        for field, (pattern, kind) in PARTS.items():
            if match := re.search(pattern, inside):
                step[field] = kind(match[1])
        if name == "TrimVocabulary":
            step |= {"size": int(step["size"].replace(",", ""))} if "size" in step else {}
            step |= {"coverage": step["coverage"] / 100} if "coverage" in step else {}
        if name == "Distil" and DATASET in inside:
            step["on"] = "task"
        found.append(step)
    return found


def records() -> pd.DataFrame:
    """The rows of all runs at home, each once, with the share of the dense model's time that its own run measured."""
    parts = []
    for file in (RUNS / run / "records.csv" for run in NOTEBOOKS):
        own = pd.read_csv(file, keep_default_na=False, na_values=[""])
        own = own.assign(noise=own["noise"].astype(object).fillna(""), milliseconds=own.get("milliseconds"))
        own = own[(own["encoder"] == ENCODER) & (own["noise"] == "")]
        whole = own[
            [
                summary.is_whole([step for step in steps_of(label) if step.get("form") != "fp32"])
                for label in own["label"]
            ]
        ]
        dense = whole.groupby(["dataset", "language"])["milliseconds"].mean().rename("dense_milliseconds")
        own = own.join(dense, on=["dataset", "language"])
        parts.append(own.assign(share=own["milliseconds"] / own["dense_milliseconds"]))
    rows = pd.concat(parts, ignore_index=True)
    share = rows.groupby("identity")["share"].mean()
    rows["milliseconds"] = rows.groupby("identity")["milliseconds"].transform("mean")
    return rows.drop_duplicates(["identity", "dataset", "language", "split"]).assign(
        share=lambda own: own["identity"].map(share)
    )


def claim_rows() -> str:
    """The claims table from the verdicts of all runs, as far as they have the columns of this version."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "tables").mkdir()
        for file in RUNS.glob("*/tables/verdicts-*.csv"):
            shutil.copy(file, Path(folder) / "tables" / file.name)
        os.environ["SMALLER_OUTPUTS"] = folder
        gathered = claims.gathered([path.stem for path in paths.notebooks_folder().glob("*.ipynb")])
    return shown(gathered, f"The claims of both papers. {claims.LEGEND}", "claims")


def main() -> None:
    """Write tables, figures, and the findings in the README."""
    rows = records()
    steps = {identity: steps_of(label) for identity, label in zip(rows["identity"], rows["label"], strict=True)}
    shares = {"milliseconds": rows.set_index("identity")["share"].dropna().to_dict()}
    table = summary.of_table(rows, steps, dataset=DATASET, languages=LANGUAGES, shares=shares)
    found, by_language = summary.families(table), summary.families_by_language(table)
    units, places = summary.units(found), {"MB": 2, "compressed (MB)": 2, "training (s)": 0}
    about = f"F1 and difference are of the test split, mean over seeds ± half the 95 % t interval. {units}"
    told = [
        str(summary.recommendation(table, drops=DROPS)),
        shown(
            summary.choices(table, drops=DROPS),
            "The smallest kind of recipe for each loss of F1 on dev against "
            f"{ENCODER}, uncompressed; {names_of(LANGUAGES)}. “Loses less”: whether the interval of the "
            f"difference excludes such a loss. {about}",
            "choices",
            decimals=places,
        ),
        shown(
            summary.choices_by_language(table, drop=LANGUAGE_DROP),
            "For each language the smallest kind of "
            f"recipe whose F1 on dev is at most {LANGUAGE_DROP:g} below that of {ENCODER}, uncompressed. "
            f"{about}",
            "choices-by-language",
            decimals=places,
        ),
        str(summary.fronts(by_language)),
        claim_rows(),
    ]
    shown(summary.shown(found), "Every kind of recipe, the smallest first.", "recipes", decimals=places)
    for name, drawing, data in (
        ("pareto", figures.pareto(found), found),
        ("pareto-by-language", figures.pareto(by_language), by_language),
    ):
        RUN.figure(drawing, name, table=in_numbers(data), caption=name)
    RUN.findings(told)


if __name__ == "__main__":
    main()
