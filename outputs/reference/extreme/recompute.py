"""Tables, figures and sentences of this folder, computed again from `records.csv` by the code that is here now.

Run as `PYTHONPATH=lib python outputs/reference/extreme/recompute.py`. The records do not hold the timings in several
settings, the learning curves and the guessing of text: these are read from `tables/extreme-times.csv`,
`figures/P2-F4.csv` and `tables/pseudo-perplexity.csv`, which keep them as they were measured. `plain.csv` holds the
scores of the models without an encoder on the same data, `topics.csv` those of the dense encoder at other learning
rates and passes (seed 1), `control.csv` dense models, taught students, and models of their shape without a teacher.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path

import pandas as pd

from smaller.analysis import figures
from smaller.analysis.comparison import NOT_COMPARABLE
from smaller.analysis.figures import pipeline as drawings
from smaller.analysis.findings import claims, pipeline_claims
from smaller.analysis.findings import pipeline as findings
from smaller.data.datasets import title
from smaller.data.languages import name_of
from smaller.report.reference import ReferenceRun
from smaller.study.pipelines import (
    ADAPTED,
    CLOSED,
    DENSE,
    FEWER_NEURONS,
    NARROWER,
    SHALLOWER,
    TRIMMED,
)

RUN = ReferenceRun(Path(__file__).parent, notebook="07_extreme")
ENCODER, TASKS, LANGUAGES, SEEDS, CHANGED = "mini-base", ("masakhaner", "sib200"), ("hau", "swa"), (1, 2, 3), (1, 2)
INT8, N, LINES = "onnx-int8", "Hausa (hau), Swahili (swa); 3 seeds", {"hau": 34679, "swa": 43715}
FEW = f"seeds {' and '.join(map(str, CHANGED))}"

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
            " > ".join([ADAPTED, SHALLOWER, TRIMMED]): [ADAPT, FIRST, *TEXT[4:]],
            " > ".join([ADAPTED, SHALLOWER, FEWER_NEURONS, TRIMMED]): [ADAPT, FIRST, NEURONS, *TEXT[4:]],
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
STAGES = {(family, stage): steps for family, stages in FAMILIES.items() for stage, steps in stages.items()}
VARIANTS = {
    "slice": [*TEXT[:3], NARROW.format(wide=132).replace(" by projection", ""), *TEXT[4:]],
    "narrow-untaught": [*TEXT[:3], "TruncateHidden(132, projection)", *TEXT[4:]],
}
ADAPTERS = {
    (stage, factor): [*steps, TUNE.replace("{l},", f"{{l}}, adapter {factor},")]
    for (stage, steps), factor in product({DENSE: [], TRIMMED: TEXT[:-1]}.items(), (4, 32))
}


def named(groups: Mapping[object, list[str]], *, seeds: tuple[int, ...] = SEEDS) -> pd.DataFrame:
    """The records of recipes on every task, language and seed, with their names as `group`, as `study.table` has them.

    A recipe counts on the tasks where it was measured in all languages and seeds.
    """
    parts = []
    for name, steps in groups.items():
        each = product(TASKS, LANGUAGES, seeds)
        label = f"{ENCODER}: " + " > ".join(steps)
        own = records[records["label"].isin({label.format(d=task, l=code, s=seed) for task, code, seed in each})]
        whole = own.groupby("dataset")["label"].transform("nunique") == len(LANGUAGES) * len(seeds)
        parts.append(own[whole].assign(group=[name] * whole.sum()))
    return pd.concat(parts, ignore_index=True)


def timed() -> pd.DataFrame:
    """The timings that were kept, as `timing.settings_table` gives them: of named entities in Hausa, seed 1."""
    kept = pd.read_csv(RUN.folder / "times.csv")
    first = table[(table["dataset"] == TASKS[0]) & (table["language"] == "hau") & (table["seed"] == 1)]
    kept["identity"] = kept["model"].map(first.drop_duplicates("stage").set_index("stage")["identity"])
    kept = kept.rename(columns={"ms, network alone": "milliseconds", "noise floor": "noise_floor"})
    kept = kept[["identity", "batch", "threads", "milliseconds", "noise_floor"]]
    return kept.assign(encoder=ENCODER, end_to_end_milliseconds=float("nan"))


def headlines(said: Mapping) -> str:
    """What was found, for a caption; what the gate refuses is said once, at the top of the page."""
    return " ".join(dict.fromkeys(one.headline for one in said.values() if one.verdict != NOT_COMPARABLE))


def tried() -> pd.DataFrame:
    """Of the dense encoder's rates and passes on topics, the best on dev for each language, beside the linear model."""
    plain = pd.read_csv(RUN.folder / "plain.csv").query("dataset == 'sib200'")
    plain = plain.pivot(index="language", columns="split", values="macro_f1").add_prefix("linear model, ")
    grid = pd.read_csv(RUN.folder / "topics.csv")
    here = records[records["label"] == f"{ENCODER}: FineTune(sib200/" + records["language"] + ", seed 1)"]
    here = here.pivot(index="language", columns="split", values="macro_f1").reset_index()
    grid = pd.concat([grid, here.assign(learning_rate=5e-4, epochs=20)])
    best = grid.sort_values("dev").groupby("language").tail(1).set_index("language").sort_index()
    best["settings tried"] = grid.groupby("language").size()
    best["test, least of all"], best["test, highest of all"] = (
        grid.groupby("language")["test"].agg(["min", "max"]).T.values
    )
    return best.join(plain).reset_index()


def tried_caption(found: pd.DataFrame) -> str:
    """What the choice rests on, and what holds whatever is chosen."""
    on_dev = records.query("dataset == 'sib200' and split == 'dev'")["sentences"].iloc[0]
    number, below = found["settings tried"].max(), found["test, highest of all"] < found["linear model, test"]
    row = found.loc[(found["test, highest of all"] - found["test"]).idxmax()]
    holds = (
        "is below the linear model at each of them in both languages" if below.all() else "is not below it everywhere"
    )
    return (
        f"Topics: the learning rate and passes of the dense encoder that are best on dev, {on_dev} texts, with one "
        f"seed among {number} settings (batches of 16), and the linear model on character n-grams. Macro F1. On test "
        f"the encoder {holds}, but how far depends on the setting: in {name_of(row['language'])} the one that is best "
        f"on dev has {row['test']:.1f}, another one {row['test, highest of all']:.1f}, and the linear model "
        f"{row['linear model, test']:.1f}."
    )


records = RUN.records()
records = records[records["split"].isin(["dev", "test"]) & (records["noise"] == "")]
records = records[records["language"].isin(LANGUAGES) & records["dataset"].isin(TASKS)]
records = records.sort_values(["dataset", "language", "seed"])
table = findings.by_family(named(STAGES))
tested, currency = table[table["split"] == "test"], table["counted"].iloc[0]
without = RUN.records("plain.csv")
ahead = findings.beside_plain(table, without)
beside = drawings.with_plain(table, without)
times, within = timed(), findings.smallest_within(table)

control = RUN.records("control.csv")
control = findings.by_family(control.assign(group=list(zip(control.pop("family"), control.pop("stage"), strict=True))))
teacher = pipeline_claims.teacher(control)
more = "a taught student scores significantly more than a model of its shape without a teacher"

costs = claims.gated(findings.costs(table), ahead)
smallest = claims.gated(findings.smallest(within, currency), ahead)
curve = tested[tested["stage"].isin([NARROWER, TRIMMED, "1,500 tokens"])]
sizes = claims.gated(pipeline_claims.vocabulary(curve), ahead)
frozen = named(ADAPTERS, seeds=CHANGED)
adapted = pipeline_claims.adapter_curve(table, frozen.assign(group=frozen["group"].str[0]))
adapters = pipeline_claims.adapters(adapted)
lose = pipeline_claims.shown(adapters["difference"], -1, "adapters score significantly less than full fine-tuning")
equal = findings.at_equal_bytes(table)
best = claims.gated(findings.best_families(equal), ahead)
lost = pipeline_claims.drops(table, LINES)
by_text = claims.gated(pipeline_claims.drop_and_text(lost), ahead)
speed = pipeline_claims.faster(table, times)

topics = tried()
parts = [
    RUN.table(
        findings.per_step(table),
        f"Each stage: sizes ({currency}), score on the test split, and its difference from the dense model ({N}), over "
        "seeds and over sentences.",
        "P2-T1",
        decimals={"parameters (M)": 2, "not zero (M)": 2},
    ),
    RUN.table(
        pipeline_claims.with_speed(within, table, times),
        "The smallest model within each tolerated loss, chosen on the dev split; score on the test split "
        f"({N}). Sizes: {currency}. Times faster than dense: one sentence on one thread; a dash where it was not "
        "timed on this data set.",
        "smallest",
        decimals={"MB": 2},
    ),
    RUN.table(
        equal,
        f"Score on the test split ({N}). Bold: best on dev; beside it the other family that is least clearly behind; "
        "the difference is the other minus the bold one. Last: whether the bold family is ahead of all others, "
        f"after Holm's correction for the sizes. Drawn once for all seeds: {findings.ONCE}. Sizes: {currency}.",
        "X1",
        decimals={"bytes up to (%)": 0, "MB": 2},
    ),
    RUN.table(
        findings.ablations(table, named(VARIANTS, seeds=CHANGED), stage=TRIMMED),
        f"The variant's score minus the pipeline's before quantization ({FEW}).",
        "P2-T2",
        decimals={"parameters (M)": 2},
    ),
    RUN.table(
        adapters,
        f"Adapters in a frozen encoder and full fine-tuning, test split ({FEW}): averages over languages.",
        "adapters",
        decimals={"reduction": 0, "adapter width": 0},
    ),
    RUN.table(
        teacher.drop(columns="verdict"),
        "The student “taught, 48 wide” minus a model of its shape without a teacher, at as many updates, test split "
        f"({N}); all of `control.csv`. “Labels alone” begins where the student begins and differs in the teacher's "
        "answers and the unlabelled lines alone; “no teacher” is the encoder cut down and fine-tuned; “random weights” "
        "is drawn.",
        "teacher",
    ),
    RUN.table(
        pipeline_claims.speeds(table, times),
        "Milliseconds for a sentence, over 24 test sentences of named entities in Hausa, and how many times faster "
        "than dense. AMD EPYC, 2 cores, while nothing else ran. The records lack the time from text to labels.",
        "extreme-times",
        decimals=2,
    ),
    RUN.table(
        pd.read_csv(RUN.folder / "perplexity.csv"),
        "Guessing 100 sentences of the test split: lower is better. There is one model for each stage, so there is no "
        "interval.",
        "pseudo-perplexity",
        decimals={"tokens per word": 2, "unknown tokens (%)": 2, "perplexity of a word": 0, "bits per character": 2},
    ),
    RUN.table(
        topics.assign(language=topics["language"].map(name_of)).rename(
            columns={"learning_rate": "learning rate", "epochs": "passes"}
        ),
        tried_caption(topics),
        "topics-on-dev",
        decimals={"learning rate": 4, "passes": 0, "settings tried": 0},
    ),
    RUN.table(
        pipeline_claims.judged(table, times, equal=equal, lost=lost, ahead=ahead),
        f"Claims on extreme compression, and what {ENCODER} shows.",
        "verdicts-extreme",
    ),
]
said = [
    *ahead.values(),
    *(one for found in (costs, smallest, sizes, best, by_text) for one in found.values()),
    lose,
    pipeline_claims.shown(teacher["comparison"], 1, more),
    *speed.values(),
]
learned = pd.read_csv(RUN.folder / "figures" / "P2-F4.csv")
learned["panel"] = learned["panel"].replace({f"Fine-tuning, {name}": f"Fine-tuning, {title(name)}" for name in TASKS})
panels = {name: own.drop(columns="panel") for name, own in learned.groupby("panel", sort=False)}
RUN.figure(
    drawings.pipeline_diagram(table),
    "P2-F1",
    table=findings.averaged(tested),
    caption=f"The pipeline from {ENCODER}: parameters, {currency} and their share of the dense model's, of the data "
    f"set whose models are largest, and the score on the test split after each stage. {headlines(costs)}",
    over=N,
    alt="A bar for the bytes of each stage, from top to bottom, and beside it the scores with intervals.",
)
RUN.figure(
    drawings.score_at_bytes(beside),
    "X1",
    table=findings.front(beside),
    caption=f"Score over {currency}: the pipeline from {ENCODER} and single techniques, test split. Of each family "
    "stand the models that no other of its models with as few bytes matches on the dev split. Grey: the dense model; "
    "dotted: one without an encoder, whose file has no place among weights. Sizes are those of the language whose "
    "model is largest. "
    f"A zero takes as many bytes as any other weight. {headlines(best)}",
    over=N,
    alt="A panel for each task: a line or markers for each family, the score over the share of the dense model's "
    "bytes, on a logarithmic scale; a grey line for the dense model, and a grey cross for the one without an encoder.",
)
RUN.figure(
    drawings.vocabulary_curve(curve),
    "P2-F2",
    table=curve,
    caption=f"Score of the narrow {ENCODER} over the tokens that are left, test split; rightmost the whole vocabulary. "
    + headlines(sizes),
    over=N,
    alt="A line for each language: the score over the size of the vocabulary, on a logarithmic scale.",
)
RUN.figure(
    drawings.adapter_curve(adapted),
    "P2-F3",
    table=adapted,
    caption=f"Score over the parameters of the adapters, test split. Dotted: full fine-tuning of the same stage. "
    f"{lose.headline}",
    over=f"Hausa (hau), Swahili (swa); {FEW}",
    alt="A line for each frozen stage: the score over the size of its adapters; dotted: full fine-tuning.",
)
RUN.figure(
    figures.learning_curves(panels),
    "P2-F4",
    table=learned,
    caption="Training loss over updates: Hausa, seed 1; single batches, smoothed over five points. Each panel has a "
    "loss of its own.",
    alt="A panel each for the adaptation, the distillations and the fine-tuning; a curve of the loss for each stage.",
)
RUN.figure(
    drawings.drop_and_text(lost),
    "P2-F5",
    table=lost,
    caption=f"Score that the whole pipeline from {ENCODER} loses, by language, test split. {headlines(by_text)}",
    over=N,
    alt="A marker for each language: the share of the score that is lost over the lines of text.",
)
RUN.findings(["\n".join(f"- {one}" for one in dict.fromkeys(map(str, said))), *parts])
