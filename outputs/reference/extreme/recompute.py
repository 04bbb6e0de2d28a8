"""Tables, figures and sentences of this folder, computed again from `records.csv` by the code that is here now.

Run as `PYTHONPATH=lib python outputs/reference/extreme/recompute.py`. The records do not hold the timings in several
settings, the learning curves and the guessing of text: `tables/extreme-times.csv`, `tables/pseudo-perplexity.csv` and
`figures/P2-F4.*` stay as they were measured. `plain.csv` beside the records holds the scores of the models without an
encoder on the same data.
"""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from smaller.analysis.figures import extreme as drawings
from smaller.analysis.findings import claims, extreme_curves
from smaller.analysis.findings import extreme as findings
from smaller.report.reference import ReferenceRun
from smaller.study.recipes import ADAPTED, CLOSED, DENSE, FEWER_NEURONS, NARROWER, SHALLOWER, TRIMMED

RUN = ReferenceRun(Path(__file__).parent, notebook="07_extreme")
ENCODER, TASKS, LANGUAGES, SEEDS, CHANGED = "mini-base", ("masakhaner", "sib200"), ("hau", "swa"), (1, 2, 3), (1, 2)
SHARES, INT8 = (0.5, 0.1, 0.05, 0.03), "onnx-int8"
N = "Hausa (hau), Swahili (swa); 3 seeds"
LINES = {"hau": 34679, "swa": 43715}

ADAPT, FIRST = "Adapt(corpus/{l}, seed 1)", "Distil(4 layers, corpus/{l}, mse, seed 1)"
NEURONS = "PruneHeads(6) > PruneFeedForward(384)"
NARROW = "Distil(4 layers, {wide} wide by projection, corpus/{{l}}, mse, seed 1)"
TRIM, TUNE = "TrimVocabulary({size:,} pieces, {{l}})", "FineTune({d}/{l}, seed {s})"
TEACH = (
    "Distil(4 layers, 6 heads, {wide} wide by projection, {neurons} neurons, {{d}}/{{l}} + 8000 lines, T 2, seed {{s}})"
)
TEXT = [ADAPT, FIRST, NEURONS, NARROW.format(wide=132), TRIM.format(size=4000), TUNE]


def closed(stages: dict[str, list[str]]) -> dict[str, list[str]]:
    return {
        name + end: [*steps, *more]
        for name, steps in stages.items()
        for end, more in (("", []), (f", {INT8}", [f"Quantize({INT8})"]))
    }


def taught(wide: int, neurons: int, size: int) -> list[str]:
    return [TRIM.format(size=size), TUNE, TEACH.format(wide=wide, neurons=neurons)]


FAMILIES = {
    findings.PIPELINE: {
        DENSE: [TUNE],
        ADAPTED: [*TEXT[:1], TUNE],
        SHALLOWER: [*TEXT[:2], TUNE],
        FEWER_NEURONS: [*TEXT[:3], TUNE],
        NARROWER: [*TEXT[:4], TUNE],
        TRIMMED: TEXT,
        CLOSED: [*TEXT, f"Quantize({INT8})"],
    },
    findings.SIZES: closed(
        {
            "72 wide": [*TEXT[:3], NARROW.format(wide=72), *TEXT[4:]],
            "1,500 tokens": [*TEXT[:4], TRIM.format(size=1500), TUNE],
        }
    ),
    findings.ORDERS: closed(
        {
            "adapted > fewer layers > fewer pieces": [ADAPT, FIRST, *TEXT[4:]],
            "adapted > fewer layers > fewer neurons > fewer pieces": [ADAPT, FIRST, NEURONS, *TEXT[4:]],
        }
    ),
    findings.TAUGHT: closed(
        {
            "taught, 48 wide": taught(48, 384, 4000),
            "taught, 192 neurons, 36 wide, 2,500 tokens": taught(36, 192, 2500),
        }
    ),
    "pruned": closed({f"pruned, {100 * share:.0f} %": [TUNE, f"Prune({share:g})"] for share in (0.5, 0.8, 0.9, 0.95)}),
    "distilled": closed({"distilled, 2x6": [TUNE, "Distil(2 layers, 6 heads, {d}/{l}, T 2, seed {s})"]}),
    "trimmed": closed({f"trimmed, {size:,} tokens": [TUNE, TRIM.format(size=size)] for size in (4000, 1500)}),
    "quantized": {f"quantized, {INT8}": [TUNE, f"Quantize({INT8})"]},
}
QUESTIONS = {
    "Is width by slice better than by projection?": [
        *TEXT[:3],
        NARROW.format(wide=132).replace(" by projection", ""),
        *TEXT[4:],
    ],
    "Does the narrower model need to be taught?": [*TEXT[:3], "TruncateHidden(132, projection)", *TEXT[4:]],
}
ADAPTERS = {DENSE: [], TRIMMED: TEXT[:-1]}
ADAPTERS_LOSE = "adapters score significantly less than full fine-tuning"


def of(records: pd.DataFrame, steps: list[str], *, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """The records of a recipe on every task, language and seed; of the whole recipe where each task has it whole."""
    labels = {
        f"{ENCODER}: " + " > ".join(steps).format(d=dataset, l=language, s=seed)
        for dataset in TASKS
        for language in LANGUAGES
        for seed in seeds
    }
    return records[records["label"].isin(labels)]


def complete(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the tasks that were measured in all languages and seeds: what one task lacks, another may have."""
    counts = rows.groupby("dataset")["label"].transform("nunique")
    return rows[counts == len(LANGUAGES) * len(SEEDS)]


def main() -> None:
    records = pd.read_csv(RUN.folder / "records.csv", keep_default_na=False, low_memory=False)
    text = {
        "identity",
        "label",
        "encoder",
        "dataset",
        "language",
        "split",
        "form",
        "task",
        "metric",
        "device",
        "noise",
        "trained_on",
        "technique",
        "order",
        "method",
        "scope",
        "include",
        "on",
        "start",
        "layer_map",
        "part",
    }
    numbers = [column for column in records if column not in text]
    records[numbers] = records[numbers].apply(pd.to_numeric, errors="coerce")
    records = records[records["split"].isin(["dev", "test"]) & (records["noise"] == "")]
    records = records[records["language"].isin(LANGUAGES) & records["dataset"].isin(TASKS)]
    records = records.sort_values(["dataset", "language", "seed"])
    table = findings.by_family(
        {
            family: {stage: complete(of(records, steps)) for stage, steps in stages.items()}
            for family, stages in FAMILIES.items()
        }
    )
    plain = findings.beside_plain(table, pd.read_csv(RUN.folder / "plain.csv", keep_default_na=False))
    times = timed(records)

    tables: dict[str, str] = {}

    def show(frame: pd.DataFrame, caption: str, name: str, **options: object) -> None:
        tables[name] = RUN.table(frame, caption, name, **options)

    said, currency = [], table["counted"].iloc[0]
    costs, within = findings.costs(table), findings.smallest_within(table, times)
    said += [*findings.only_where_ahead(costs, plain), *plain.values()]
    said += findings.only_where_ahead(findings.smallest(within, currency), plain)
    show(
        findings.per_step(table),
        f"Each stage: sizes ({currency}), score on the test split, and its difference "
        f"from the dense model ({N}): mean over seeds ± half its 95 % t interval, p after Holm.",
        "P2-T1",
        decimals={"parameters (M)": 2, "not zero (M)": 2},
    )
    show(
        within,
        f"The smallest model within each tolerated loss, chosen on the dev split; score on the test split "
        f"({N}): mean over seeds ± half its 95 % t interval, p after Holm. Sizes: {currency}. Times faster than "
        "dense: one sentence on one thread; a dash where it was not timed on this data set.",
        "smallest",
        decimals={"MB": 2},
    )
    tested = table[table["split"] == "test"]
    save(
        drawings.pipeline_diagram(table),
        "P2-F1",
        findings.averaged(tested),
        list(costs.values()),
        f"The pipeline from {ENCODER}: parameters, {currency} and their share of the dense model's, and the score on "
        f"the test split after each stage ({N}).",
    )

    curve = table[(table["split"] == "test") & table["stage"].isin([NARROWER, TRIMMED, "1,500 tokens"])]
    said += (sizes := extreme_curves.vocabulary(curve))
    save(
        drawings.vocabulary_curve(curve),
        "P2-F2",
        curve,
        sizes,
        f"Score of the narrow model over the tokens that are left, test split ({N}).",
    )

    frozen = {
        stage: pd.concat(of(records, [*steps, TUNE.replace("{l},", f"{{l}}, adapter {factor},")]) for factor in (4, 32))
        for stage, steps in ADAPTERS.items()
    }
    adapted = extreme_curves.adapter_curve(table, frozen)
    found = extreme_curves.adapters(adapted)
    said.append(lose := extreme_curves.shown(found["difference"], -1, ADAPTERS_LOSE))
    show(
        found,
        f"Adapters in a frozen encoder and full fine-tuning, test split (seeds {list(CHANGED)}): means over "
        "seeds of averages over languages ± half their 95 % t intervals, p after Holm.",
        "adapters",
        decimals={"reduction": 0, "adapter width": 0},
    )
    save(
        drawings.adapter_curve(adapted),
        "P2-F3",
        adapted,
        [lose],
        f"Score over the parameters of the adapters, test split, seeds {list(CHANGED)}; dotted: full fine-tuning.",
    )

    changed = findings.ablations(
        table, {question: of(records, steps, seeds=CHANGED) for question, steps in QUESTIONS.items()}, stage=TRIMMED
    )
    show(
        changed,
        f"The variant's score minus the pipeline's before quantization (seeds {list(CHANGED)}): mean ± half "
        "its 95 % t interval, p after Holm.",
        "P2-T2",
        decimals={"parameters (M)": 2},
    )

    equal = findings.at_equal_bytes(table, SHARES)
    best = findings.best_families(equal)
    said += findings.only_where_ahead(best, plain)
    show(
        equal,
        f"Score on the test split ({N}): mean over seeds ± half its 95 % t interval. Bold: best on dev; "
        f"beside it the other family that is least clearly behind, and its difference. Sizes: {currency}.",
        "X1",
        decimals={"bytes up to (%)": 0, "MB": 2},
    )
    save(
        drawings.score_at_bytes(table),
        "X1",
        findings.front(table),
        list(best.values()),
        f"Score over {currency}, test split ({N}). Of each family stand the models that no other of its models with "
        "as few bytes matches on the dev split. Grey: the dense model.",
    )

    lost = extreme_curves.drops(table, LINES)
    by_text = extreme_curves.drop_and_text(lost)
    said += findings.only_where_ahead(by_text, plain)
    save(
        drawings.drop_and_text(lost),
        "P2-F5",
        lost,
        list(by_text.values()),
        f"Score that the whole pipeline loses, by language, test split ({N}).",
    )
    told = findings.claims(table, times, by_text=by_text, best=best, plain=plain)
    told = claims.of_page(told, encoder=ENCODER)
    show(told, f"Claims on extreme compression, and what {ENCODER} shows. {claims.LEGEND}", "verdicts-extreme")
    order = ("P2-T1", "smallest", "X1", "P2-T2", "adapters", "verdicts-extreme")
    RUN.findings(["\n".join(f"- {one}" for one in said), *(tables[name] for name in order)])


def timed(records: pd.DataFrame) -> pd.DataFrame:
    """The timings that were kept, as `timing.settings_table` gives them: of named entities in Hausa, seed 1."""
    wide = pd.read_csv(RUN.folder / "tables" / "extreme-times.csv").set_index("model")
    stages = {stage.replace("tokens", "pieces"): steps for own in FAMILIES.values() for stage, steps in own.items()}
    rows = []
    for column in (name for name in wide if name.startswith("ms (")):
        batch, threads = map(int, re.search(r"batch (\d+), (\d+) thread", column).groups())
        for model, milliseconds in wide[column].items():
            one = of(records, stages[model], seeds=(1,)).query("dataset == 'masakhaner' and language == 'hau'").iloc[0]
            rows.append(
                {
                    "identity": one["identity"],
                    "encoder": ENCODER,
                    "batch": batch,
                    "threads": threads,
                    "milliseconds": milliseconds,
                    "noise_floor": FLOORS[batch, threads],
                    "device": "AMD EPYC, 2 cores",
                }
            )
    return pd.DataFrame(rows)


FLOORS = {(1, 1): 0.16, (1, 2): 0.13, (8, 2): 0.07}
"""The noise floors of those timings, by batch and threads."""


def save(drawing: object, name: str, data: pd.DataFrame, said: list, caption: str) -> None:
    headlines = " ".join(one.headline for one in said)
    RUN.figure(drawing, name, table=data, caption=f"{caption} {headlines}", alt=caption)


if __name__ == "__main__":
    main()
