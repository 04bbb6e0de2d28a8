"""Make the tables, figures and sentences of this folder again from its records: nothing is trained.

The records hold neither bytes by part, nor the times of every setting, nor the shares of outliers: these are read from
the tables P1-T5 and T23-thresholds and from the data of the figure P1-T2-cpu, which keep them as they were measured.
"""

from pathlib import Path

import pandas as pd

from smaller import formats
from smaller.analysis import figures
from smaller.analysis.findings import claims, quantization, quantization_claims
from smaller.data.published import published
from smaller.report.reference import ReferenceRun, over

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
N = over(rows["language"], rows["seed"])
RUN.figure(
    figures.f1_by_format(table, quantization_claims.printed("f1")),
    "quantization-f1",
    table=quantization.plain(table)[whole],
    caption="Change of F1 by quantization, test split, paired with fp32 and averaged over the languages; squares: the "
    f"printed change. {kept.headline}",
    over=N,
    alt="A column for each format, with the difference to fp32 on the vertical axis, which is logarithmic beyond one "
    "point, and the printed changes of dynamic quantization and LLM.int8().",
)
RUN.figure(
    figures.time_by_format(settings),
    "P1-T2-cpu",
    table=settings,
    caption=f"Milliseconds for a sentence by format on {settings['device'].iloc[0]}. Dots: languages, with their "
    f"fastest and slowest round; diamonds: means over languages; grey: fp32 and the noise floor. {fast.headline}",
    alt="A panel for each batch size and number of threads; in each, a row of markers for each format over time.",
)
RUN.figure(
    figures.size_waterfall(exact, published=printed),
    "size-waterfall",
    table=exact,
    caption="AfriBERTa-large with 9 labels, computed from its shape: what the cast to fp16 removes, part by part, and "
    f"what int8 for the Linear weights removes after it. {due.headline} Dashed: the sizes that the paper prints.",
    alt="Full bars for fp32, fp16 and LLM.int8(), with the bytes that each step removes as pale bars between them.",
)
RUN.figure(
    figures.f1_against_bits(everything),
    "T23-bits",
    table=rows[rows["bits"].notna()][few],
    caption=f"Change of F1 when weights are rounded, by part, mean over languages. {sensitive.headline}",
    over=N,
    alt="F1 against fp32 over the bits of a weight, from many to few, with a marker for each part of the model.",
)

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
