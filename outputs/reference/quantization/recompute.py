"""Make the tables, figures and sentences of this folder again from its records: nothing is trained.

The records hold neither bytes by part, nor the times of every setting, nor the shares of outliers: these are read from
the tables P1-T5 and T23-thresholds and from the data of the figure P1-T2-cpu, which keep them as they were measured.
"""

from pathlib import Path

import pandas as pd

from smaller import formats
from smaller.analysis import figures
from smaller.analysis.findings import claims, quantization, quantization_claims
from smaller.analysis.published import published
from smaller.report.reference import ReferenceRun

RUN = ReferenceRun(Path(__file__).parent, notebook="04_quantization")
ENCODER = "mini-base"

everything = pd.read_csv(RUN.folder / "records.csv", low_memory=False)
# Other thresholds than the default are a study of their own: one recipe for each format, language and seed is compared.
everything["threshold"] = everything["label"].str.extract(r"threshold ([\d.]+)", expand=False).astype(float)
with_pruned = everything[everything["threshold"].isna() & everything["bits"].isna()]
table = with_pruned[with_pruned["sparsity"] == 0]
settings = pd.read_csv(RUN.folder / "figures" / "P1-T2-cpu.csv")
seen = pd.read_csv(RUN.folder / "tables" / "P1-T5.csv").melt("format", [f"{part} (MB)" for part in formats.PARTS])
measured = pd.DataFrame(
    {"form": seen["format"], "part": seen["variable"].str.removesuffix(" (MB)"), "bytes": (1e6 * seen["value"]).round()}
)
exact = formats.exact("afriberta-large")

quantized = everything[(everything["form"] == "llm.int8") & (everything["sparsity"] == 0)]
seen = pd.read_csv(RUN.folder / "tables" / "T23-thresholds.csv")
seen = pd.DataFrame(
    {
        "threshold": seen["threshold"],
        "columns": seen["outlier columns (%)"] / 100,
        "values": seen["outlier values (%)"] / 100,
        "largest": seen["largest magnitude"],
    }
)
looked = quantized[["identity", "threshold"]].drop_duplicates().fillna({"threshold": 6.0}).merge(seen, on="threshold")

rounded, combined = quantization.rounded(everything), quantization.after_pruning(with_pruned)
outliers = quantization.thresholds(looked, everything)
found = quantization_claims.claims(table, measured, exact, settings, rounded)
kept, sensitive = quantization.keeps(table), quantization.sensitivity(rounded)
fast, due = quantization.speed(settings), quantization_claims.explained(exact)
names = list(dict.fromkeys(table["form"]))
prints = pd.concat({"F1": quantization_claims.printed("f1"), "time": quantization_claims.printed("time")}, axis=1)
prints.columns = [" ".join(column) for column in prints]

# The uncompressed model is the format fp32 here.
ahead = RUN.ahead(table[table["form"] == "fp32"].assign(order="dense"))

tables = {
    "formats": pd.DataFrame(
        [{"format": form, "types": types} for form, types in formats.FORMATS.items() if form in names]
    ),
    "P1-T3": quantization.scores(table),
    "P1-T3-differences": quantization.differences(table),
    "P1-T4": quantization.scores(table, of="loss", decimals=3),
    "P1-T4-differences": quantization.differences(table, of="loss"),
    "P1-T5": quantization.overview(table, measured, settings),
    "P1-T5-large": quantization.sizes(exact),
    "P1-T2-cpu": quantization.times(settings),
    "P1-T2-cpu-settings": quantization.all_settings(settings),
    "T23-bits": quantization.by_bits(rounded),
    "T23-thresholds": outliers,
    "pruned-quantized": combined,
    "P1-T3-published": quantization_claims.beside_published(table),
    "P1-T2-T3-printed": prints.rename(index=figures.language_name).reset_index(),
    "P1-T2-unit": quantization_claims.unit_of_time(),
    "verdicts-quantization": claims.of_page(found, encoder=ENCODER, ahead=ahead),
}
RUN.tables(tables)

printed = dict(zip(["printed, dense", "printed, int8"], published(table="P1-T5")["value"], strict=True))
rows = everything[everything["split"] == "test"]
whole, few = ["language", "seed", "form", "f1"], ["language", "seed", "part", "bits", "f1"]
drawn = {
    "quantization-f1": (
        figures.f1_by_format(table, quantization_claims.printed("f1")),
        quantization.plain(table)[whole],
        kept,
    ),
    "size-waterfall": (figures.size_waterfall(exact, published=printed), exact, due),
    "P1-T2-cpu": (figures.time_by_format(settings), settings, fast),
    "T23-bits": (figures.f1_against_bits(everything), rows[rows["bits"].notna()][few], sensitive),
}
for name, (axes, data, finding) in drawn.items():
    RUN.figure(axes, name, table=data, caption=finding.headline)

findings = [
    ahead,
    found["Q3"],
    kept,
    fast,
    found["Q9"],
    found["D10"],
    due,
    sensitive,
    found["P1-T3"],
    quantization.on_pruned(combined),
]
RUN.findings(["\n".join(f"- {finding}" for finding in findings)])
