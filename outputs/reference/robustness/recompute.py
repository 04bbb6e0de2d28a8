"""Make the tables, figures and sentences of this folder again from its records: nothing is trained."""

from pathlib import Path

import pandas as pd

from smaller.analysis import figures
from smaller.analysis.findings import claims, robustness
from smaller.notebook.display import in_numbers
from smaller.report.reference import ReferenceRun, over
from smaller.study import without_labels

RUN = ReferenceRun(Path(__file__).parent, notebook="06_robustness")


def model_of(row: pd.Series) -> str:
    """The name of a model in this study."""
    return {
        "dense": "dense",
        "pruned": f"pruned {row['order']} fine-tuning, {100 * row['sparsity']:.0f} %",
        "quantized": f"quantized, {row['form']}",
        "trimmed": f"trimmed, {row['vocabulary']} tokens",
    }.get(row["technique"], f"{row['technique']}, {row['layers']}x{row['heads']}")


ORDER = (
    "dense",
    "pruned before fine-tuning, 50 %",
    "pruned before fine-tuning, 80 %",
    "pruned after fine-tuning, 50 %",
    "pruned after fine-tuning, 80 %",
    "distilled, 4x6",
    "distilled, 2x6",
    "cut, 4x6",
    "cut, 2x6",
    "quantized, dynamic",
    "quantized, onnx-int8",
    "trimmed, 8000 tokens",
    "trimmed, 4000 tokens",
)

DATA = ["model", "language", "seed", "noise", "rate", "clean", "f1", "lost", "kept"]

whole = RUN.records()
whole["group"] = pd.Categorical(whole.apply(model_of, axis="columns"), ORDER)
table = robustness.by_model(whole.sort_values("group", kind="stable").astype({"group": str}))
strange = without_labels.texts(table, {})
found, ahead = robustness.claims(table), RUN.ahead(table)

tables = {
    "noise-by-model": robustness.noise_by_model(table),
    "name-swaps": robustness.beside_dense(robustness.strongest(table, [robustness.SWAPS])),
    "attacks": robustness.attacks_by_model(table),
    "calibration": robustness.calibration_by_model(table),
    "strange-text-confidence": robustness.texts_by_model(strange, of="confidence"),
    "strange-text-tagged": robustness.texts_by_model(strange, of="tagged"),
    "verdicts-robustness": claims.of_page(found, encoder="mini-base", ahead=ahead),
}
RUN.tables(tables)

brittle, _, attack, noise_and_confidence, _ = found["NC3"]
kinds = robustness.by_kind(table)
N = over(table.loc[table["home"], "language"], table["seed"])
RUN.figure(
    figures.noise_curves(table),
    "noise-curves",
    table=robustness.under_noise(table)[DATA],
    caption=f"F1 kept over the rate of noise ({N}): the dense model with its 95 % t interval over seeds, and each "
    f"technique at the last of its strengths. Dots: seeds. {brittle.headline}",
    alt="One panel for each kind of noise; a curve for each model starts at 100 per cent of clean F1.",
)
RUN.figure(
    figures.brittleness(kinds),
    "brittleness",
    table=in_numbers(kinds),
    caption=f"F1 kept under the strongest noise of each kind, minus that of the dense model ({N}). A frame marks a "
    f"significant difference (Holm over the models, for each kind and rate). {brittle.headline}",
    alt="A heat map: a row for each compressed model, a column for each kind of noise, a difference in each cell.",
)
RUN.figure(
    figures.attack_success(table),
    "attacks",
    table=robustness.attacks(table).dropna(axis="columns", how="all"),
    caption=f"Correctly tagged sentences that edits make wrong. {attack.headline}",
    over=N,
    alt="A row for each model with two markers, one for the search and one for random edits; a panel for each budget.",
)
RUN.figure(
    figures.calibration_errors(table),
    "calibration",
    table=robustness.calibration(table),
    caption=f"Calibration error by kind of text. {noise_and_confidence.headline}",
    over=N,
    alt="A row for each model with up to three markers: its own test set, typing noise, other languages.",
)
RUN.findings(["\n".join(f"- {finding}" for finding in [ahead, *found["NC3"], robustness.strangers(strange)])])
