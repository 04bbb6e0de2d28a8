"""Write the README's section "What came out so far" from the tables of the reference runs.

Run as `PYTHONPATH=lib python outputs/reference/headlines.py`, after the `recompute.py` of each run.
"""

from pathlib import Path

import pandas as pd

from smaller.analysis.comparison import AGREES, DIFFERS

HERE = Path(__file__).parent
README = HERE.parent.parent / "README.md"
START, END = "<!-- headlines -->", "<!-- /headlines -->"
FORMATS = {
    "fp32": "fp32, uncompressed",
    "fp16": "cast to fp16",
    "dynamic": "dynamic int8 (PyTorch)",
    "llm.int8": "LLM.int8() (bitsandbytes)",
    "onnx-int8": "int8 graph, embeddings too (ONNX Runtime)",
}


def read(run: str, name: str, **options: object) -> pd.DataFrame:
    """A table of a reference run."""
    return pd.read_csv(HERE / run / "tables" / f"{name}.csv", **options)


def mean(row: pd.Series, of: str, *, sign: str = "", decimals: int = 1) -> str:
    """A mean with half its interval, from the columns that an `Interval` becomes in a CSV."""
    half = row[f"{of}, high"] - row[f"{of}, mean"]
    # Adding zero turns -0.0, which rounding leaves, into 0.0.
    return f"{round(row[f'{of}, mean'], decimals) + 0.0:{sign}.{decimals}f} ± {half:.{decimals}f}"


def judged(row: pd.Series, of: str) -> str:
    """A difference with its verdict: what its interval still allows where nothing is decided."""
    bounds = f"[{row[f'{of}, low']:.1f}, {row[f'{of}, high']:.1f}]"
    return f"{row[f'{of}, mean']:+.1f} points {bounds} ({row[f'{of}, verdict']})"


def plain() -> str:
    """The model without an encoder beside the dense encoder."""
    own = pd.read_csv(HERE / "mini" / "plain.csv").query("split == 'test'").set_index("language")
    dense = read("mini", "departures").set_index("language")
    names = {"hau": "Hausa", "swa": "Swahili", "yor": "Yoruba"}
    size = own.loc[list(names), "shipped_bytes"].max() / 1e6
    behind = all(own.loc[code, "f1"] > dense.loc[name, "dense F1, high"] for code, name in names.items())
    rows = [
        "| F1 on test | " + " | ".join(names.values()) + " | MB |",
        "|---|---:|---:|---:|---:|",
        "| a CRF on words, affixes and neighbours, without an encoder | "
        + " | ".join(f"{own.loc[code, 'f1']:.1f}" for code in names)
        + f" | {size:.1f} |",
        "| the encoder of the reference runs, uncompressed, 3 seeds | "
        + " | ".join(mean(dense.loc[name], "dense F1") for name in names.values())
        + " | 27.2 |",
    ]
    caution = "The encoder is behind in all three languages" if behind else "The encoder is not ahead in each language"
    return (
        f"**A model without an encoder comes first.** {caution}. So no compressed form of it is one to ship, and what "
        "follows says how each technique changes this encoder.\n\n" + "\n".join(rows)
    )


def formats() -> str:
    """What each quantized format keeps, takes and costs."""
    table = read("quantization", "P1-T5").set_index("format")
    whole = read("quantization", "P1-T3", index_col=0).loc["Average"]
    rows = [
        "| format of the fine-tuned model | name | F1 | verdict | MB in memory | time |",
        "|---|---|---|---|---:|---:|",
    ]
    for name, said in FORMATS.items():
        row = table.loc[name]
        dense = name == "fp32"
        f1 = mean(whole, "fp32") if dense else mean(row, "F1 against fp32", sign="+", decimals=2)
        verdict = (
            ""
            if dense
            else "the same"
            if row["F1 against fp32, verdict"] == AGREES
            else row["F1 against fp32, verdict"]
        )
        rows.append(
            f"| {said} | `{name}` | {f1} | {verdict} | {row['in memory (MB)']:.1f} | {row['time (of fp32)']:.2f} |"
        )
    return "\n".join(rows).replace("-0.", "−0.")


def pruning() -> str:
    """Where F1 has dropped by two points."""
    table = read("mini", "departures")
    spans = {}
    for order in ("before", "after"):
        lost = table[f"{order}: 2 points lost at (%)"]
        spans[order] = f"{lost.min():.0f} to {lost.max():.0f} %"
    return (
        f"- *Pruning.* Mean F1 is two points lower at {spans['before']} sparsity when the encoder is pruned before "
        f"fine-tuning, and at {spans['after']} when it is pruned after "
        "([mini](outputs/reference/mini/README.md)). Dense kernels gain no time from it."
    )


def distillation() -> str:
    """What students lose, and what of it is the teacher's doing."""
    table = read("distillation", "P1-T8").set_index(["strategy", "student"])
    told = judged(table.loc["task-specific", "4x6"], "F1 minus the teacher's (points)")
    teacher = read("distillation", "teachers-answers").set_index("model")
    added = (
        "Learning from the teacher's answers, instead of the labels alone for as many updates, adds "
        + judged(teacher.loc["task-specific"], "difference (points)")
        if "task-specific" in teacher.index
        else "What the answers of the teacher add to that was not measured"
    )
    return (
        f"- *Distillation.* The F1 of a student of half the layers that learns on the task, minus its teacher's, "
        f"is {told}. {added} ([distillation](outputs/reference/distillation/README.md))."
    )


def transfer() -> str:
    """Out of domain, and in languages that no model was fine-tuned on."""
    table = read("transfer", "out-of-domain-changes").set_index(["order", "sparsity"])
    return (
        f"- *Other data.* Out of domain, pruning to 70 % before fine-tuning changes F1 by "
        f"{judged(table.loc['before', 0.7], 'change')}; two seeds are too few to say more "
        "([transfer](outputs/reference/transfer/README.md))."
    )


def robustness() -> str:
    """What typing noise leaves of F1."""
    table = read("robustness", "noise-by-model").set_index("model")
    verdicts = table["F1 kept (%), minus dense, verdict"].dropna()
    return (
        f"- *Robustness.* Under the strongest typing noise the uncompressed model keeps "
        f"{mean(table.loc['dense'], 'F1 kept (%)')} % of its F1. Of {len(verdicts)} compressed models, "
        f"{(verdicts == DIFFERS).sum()} are shown to keep another share, {(verdicts == AGREES).sum()} to keep the "
        f"same, and {(verdicts == 'not decided').sum()} are not decided with two seeds "
        "([robustness](outputs/reference/robustness/README.md))."
    )


def extreme() -> str:
    """The smallest model that loses little."""
    row = read("extreme", "smallest").query("`data set` == 'masakhaner'").iloc[0]
    return (
        f"- *Extreme compression.* A student that the fine-tuned encoder teaches on the task, half as deep and a "
        f"quarter as wide, with its weights in int8, takes {row['MB']:.2f} MB of weights instead of 27.2. Its F1 "
        f"minus the uncompressed model's is {judged(row, 'minus dense')}, and it is {row['times faster']:.0f} times as "
        "fast on one thread ([extreme](outputs/reference/extreme/README.md))."
    )


def section() -> str:
    """The whole section, without its markers."""
    bullets = "\n".join([pruning(), distillation(), transfer(), robustness(), extreme()])
    return f"{plain()}\n\n{FORMATS_CAPTION}\n\n{formats()}\n\n{bullets}"


FORMATS_CAPTION = (
    "**Quantization keeps this encoder's F1.** Hausa, Swahili and Yoruba, three seeds. Change of F1 in points against "
    "fp32, paired by seed, with half its 95 % t interval; “the same” means that the interval lies within half a point. "
    "Time of one sentence on one processor thread, as a share of fp32 "
    "([quantization](outputs/reference/quantization/README.md))."
)

if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(START)
    README.write_text(f"{before}{START}\n{section()}\n{END}{rest.split(END)[1]}", encoding="utf-8")
