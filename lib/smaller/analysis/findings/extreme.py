"""The second paper's pipeline: what each stage costs, which family is best at equal bytes (X1), and the smallest model.

`table` is what `by_family` makes of the tidy tables of a study, `times` what `timing.settings_table` gives of some of
its models. Scores are the main one of each task, in points. Findings go by encoder and data set.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from smaller.analysis.comparison import AGREES, NOT_COMPARABLE, Comparison, corrected, paired
from smaller.analysis.findings import baselines
from smaller.analysis.findings.finding import Finding, missing
from smaller.analysis.statistics import Interval, of_split, t_interval
from smaller.base.errors import SmallerError
from smaller.encoders import TRAINED
from smaller.study.recipes import DENSE, TRIMMED

PIPELINE, SIZES, ORDERS = "pipeline", "pipeline, other sizes", "pipeline, other orders"
"""The pipeline's own stages; the whole of it at other sizes; its stages in another order or with some left out."""

ON_TEXT = (PIPELINE, SIZES, ORDERS)
ONCE = "the adaptation and the distillations on text"
"""What all seeds of these families share in each language: no interval over seeds covers its chance."""

TAUGHT, UNTAUGHT = "taught on the task", "without a teacher"
"""Students as small as the pipeline's that learn from a fine-tuned model on its task and on unlabelled text; and
models of the same shape that are trained on the labels with as many updates."""

TOLERATED = {"1 point": (1.0, 0.0), "2 points": (2.0, 0.0), "5 points": (5.0, 0.0), "5 % of the score": (0.0, 0.05)}
"""Losses that one may bear, in points and as a share of the dense score."""

MARK = {"parameters": 35, "time": 51}
"""XtremeDistil on the named entities of 41 languages (Mukherjee and Awadallah 2020): how many times fewer parameters
than mBERT, and how many times faster in batches."""

MODEL = ["encoder", "dataset", "family", "stage"]
PLACE = MODEL[:2]
MEASURES = {
    "parameters": "parameters (M)",
    "nonzero_parameters": "not zero (M)",
    "parameter_share": "parameters (%)",
    "bytes": "MB",
    "share": "of dense (%)",
    "dense_bytes": "MB in memory",
    "compressed_bytes": "MB compressed",
}
"""The sizes of a model, and what they are called in tables."""

Findings = dict[tuple[str, str], Finding]


def by_family(tables: Mapping[str, Mapping[str, pd.DataFrame]]) -> pd.DataFrame:
    """Tables by family and stage as one, with `family`, `stage`, `bytes`, `share` and `parameter_share` of dense.

    `bytes` are those of the folder that ships where every row knows them, else those of the weights, which of masked
    weights are a bitmap and what is left; `counted` says which. SmallerError where an encoder has no dense model.
    """
    parts = [
        rows.assign(family=family, stage=stage)
        for family, stages in tables.items()
        for stage, rows in stages.items()
        if len(rows)
    ]
    whole = pd.concat(parts, ignore_index=True)
    masked = (whole["sparsity"] > 0) & (whole["form"] == TRAINED)
    bitmap = np.minimum(4 * whole["nonzero_parameters"] + whole["parameters"] / 8, whole["dense_bytes"])
    # Bytes of files and of weights never stand side by side.
    ships = "shipped_bytes" in whole and bool(whole["shipped_bytes"].notna().all())
    own = whole["shipped_bytes"] if ships else np.where(masked, bitmap, whole["dense_bytes"])
    whole = whole.assign(bytes=own, counted=f"bytes of the {'files that ship' if ships else 'weights'}")
    dense = whole[whole["stage"] == DENSE].groupby(PLACE)[["bytes", "parameters"]].first()
    if absent := sorted(set(map(tuple, whole[PLACE].to_numpy())) - set(dense.index)):
        raise SmallerError(f"There is no dense model of {absent[0][0]} on {absent[0][1]} to compare with: add it.")
    both = whole.join(dense.add_suffix("_dense"), on=PLACE)
    return whole.assign(
        share=both["bytes"] / both["bytes_dense"], parameter_share=both["parameters"] / both["parameters_dense"]
    )


def averaged(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores as means over languages, a row for each stage, data set and seed; seeds that lack a language are left out.

    Sizes are those of the largest language: trimming to a share of the text leaves some with more tokens.
    """
    languages = rows.groupby([*MODEL, "seed"])["language"].transform("nunique")
    rows = rows[languages == rows.groupby(PLACE)["language"].transform("nunique")]
    wanted = {"score": "mean"} | dict.fromkeys(MEASURES, "max") | {"task": "first", "metric": "first"}
    return rows.groupby([*MODEL, "seed"], sort=False, as_index=False).agg(wanted)


def measured(table: pd.DataFrame) -> pd.DataFrame:
    """Each model's sizes, metric and, as an `Interval` over seeds, its test score and what it `kept` of dense, in %.

    The index is `MODEL`, the sizes are called as in `MEASURES`. A dense score of 0 leaves nothing to keep.
    """
    rows, pair = averaged(of_split(table, "test")), [*PLACE, "seed"]
    dense = rows.join(rows[rows["stage"] == DENSE].set_index(pair)["score"].rename("dense"), on=pair)["dense"]
    models = rows.assign(kept=100 * rows["score"] / dense.where(dense > 0)).groupby(MODEL, sort=False)
    most = models[list(MEASURES)].max()
    sizes = {title: 100 * most[name] if "share" in name else most[name] / 1e6 for name, title in MEASURES.items()}
    return models[["metric"]].first().assign(**sizes).join(models[["score", "kept"]].agg(list).map(t_interval))


def on_dev(table: pd.DataFrame) -> pd.DataFrame:
    """What choices are made from: averages on the dev split of the models that have every seed of the dense one."""
    rows = averaged(of_split(table, "dev"))
    wanted = rows[rows["stage"] == DENSE].groupby(PLACE)["seed"].nunique().rename("wanted")
    return rows[rows.groupby(MODEL)["seed"].transform("nunique") >= rows.join(wanted, on=PLACE)["wanted"]]


def against_dense(table: pd.DataFrame) -> pd.Series:
    """The comparison on test of each model with the dense ones of its seeds, by `MODEL`; p after Holm over them all."""
    rows = of_split(table, "test")
    small, dense = rows[rows["stage"] != DENSE], rows[rows["stage"] == DENSE]
    others = small[MODEL].drop_duplicates().merge(dense[[*PLACE, "language", "seed", "score"]], on=PLACE)
    found = paired(small, others, by=MODEL, value="score")
    return with_once(found, found["family"].isin(ON_TEXT)).set_index(MODEL)["comparison"]


def with_once(found: pd.DataFrame, made: pd.Series) -> pd.DataFrame:
    """The comparisons, with what was drawn once for all seeds (`ONCE`) where `made` is true."""
    pairs = zip(found["comparison"], made, strict=True)
    return found.assign(comparison=[replace(one, drawn_once=(ONCE,)) if once else one for one, once in pairs])


def scores(one: Comparison) -> str:
    """The words that a comparison of two models allows to put between them."""
    otherwise = "scores the same as" if one.verdict == AGREES else "is not shown to differ in score from"
    return {1: "scores more than", -1: "scores less than"}.get(one.sign, otherwise)


def beside_plain(table: pd.DataFrame, plain: pd.DataFrame | None) -> Findings:
    """Whether each dense encoder is ahead of a model without one, as `baselines.ahead` says it, in one sentence."""
    dense = table[table["stage"] == DENSE].groupby(PLACE, sort=False)
    return {place: replace(baselines.ahead(own, plain), text="") for place, own in dense}


def only_where_ahead(found: Findings, plain: Findings) -> list[Finding]:
    """Findings; where the dense encoder was compared with a plain model and is not ahead of it, nothing is claimed."""
    behind = {place for place, one in plain.items() if one.measured and one.quantity.sign != 1}
    return [
        Finding(
            f"On {place[1]}, nothing is claimed, since the dense encoder is not ahead of a plain model.",
            verdict=NOT_COMPARABLE,
        )
        if place in behind
        else one
        for place, one in found.items()
    ]


def per_step(table: pd.DataFrame) -> pd.DataFrame:
    """Each stage of the pipeline on each data set: sizes, test score, and the difference from dense (P2-T1)."""
    pipeline = table[table["family"] == PIPELINE].sort_values(PLACE, kind="stable")
    found = measured(pipeline).join(against_dense(pipeline).rename("minus dense")).reset_index()
    return found.drop(columns=["family", "parameters (%)", "kept"]).rename(columns={"dataset": "data set"})


def costs(table: pd.DataFrame) -> Findings:
    """What the whole pipeline leaves of bytes and score, and where it loses most; the quantity is against dense."""
    pipeline, found = of_split(table[table["family"] == PIPELINE], "test"), {}
    changes = against_dense(pipeline)
    for place, own in pipeline.groupby(PLACE, sort=False):
        stages = list(dict.fromkeys(own["stage"]))
        before = own.assign(stage=own["stage"].map(dict(itertools.pairwise(stages)))).dropna(subset="stage")
        steps = paired(own[own["stage"] != DENSE], before, by=["stage"], value="score", drawn_once=[ONCE])
        steps = steps.set_index("stage")["comparison"]
        worst = min(steps.index, key=lambda stage: steps[stage].interval.mean)
        change, share = changes[(*place, PIPELINE, stages[-1])], own.loc[own["stage"] == stages[-1], "share"].max()
        found[place] = Finding(
            f"On {place[1]}, the whole pipeline from {place[0]} {scores(change)} the dense model, with "
            f"{100 * share:.1f} % of the {table['counted'].iloc[0]}: {change}.",
            f"The interval rules out {change.excludes()}. Of its stages, “{worst}” has the lowest difference from the "
            f"one before: {steps[worst]} ({steps[worst].verdict}).",
            quantity=change,
            values={"share": share, "lowest": worst, "steps": steps},
        )
    return found


def ablations(table: pd.DataFrame, variants: Mapping[str, pd.DataFrame], *, stage: str) -> pd.DataFrame:
    """Each question's variant minus the pipeline at `stage` on the test split: numbered rows (P2-T2, T21).

    `variants` are tables by question. Columns: no., question, encoder, data set, the variant's `parameters (M)`, and
    `difference`, p after Holm over all rows.
    """
    rows, keys = of_split(table, "test"), ["question", *PLACE]
    base = rows[(rows["family"] == PIPELINE) & (rows["stage"] == stage)]
    changed = of_split(pd.concat([own.assign(question=question) for question, own in variants.items()]), "test")
    changed = changed.sort_values(PLACE, kind="stable")
    same = changed[keys].drop_duplicates().merge(base, on=PLACE)
    found = paired(changed, same, by=keys, value="score", drawn_once=[ONCE])
    found = found.join(changed.groupby(keys)["parameters"].max() / 1e6, on=keys)[[*keys, "parameters", "comparison"]]
    found = found.set_axis(["question", "encoder", "data set", "parameters (M)", "difference"], axis="columns")
    return found.rename_axis("no.").rename(lambda place: place + 1)


def at_equal_bytes(table: pd.DataFrame, shares: Sequence[float]) -> pd.DataFrame:
    """For each share of the dense bytes the best model of each family that takes no more, chosen on dev (X1).

    Rows go by encoder, data set and share; the family that is best on dev comes first and is bold. `score` is of the
    test split. That row names the `closest other` family on test, with the `difference` of its model from the best. A
    family is ahead of all others where the closest is behind, so p is corrected for the number of sizes alone.
    """
    dev, test, found = on_dev(table), of_split(table, "test"), []
    for (_, own), at in itertools.product(dev.groupby(PLACE, sort=False), shares):
        small = own[own["share"] <= at].groupby(MODEL, sort=False)["score"].mean()
        best = small.sort_values(ascending=False, kind="stable").groupby("family", sort=False).head(1).index
        for rank, model in enumerate(best):
            closest = ("", None) if rank else _closest(best.to_frame(index=False).merge(test), model[2])
            found.append([*model, 100 * at, *closest])
    told = pd.DataFrame(found, columns=[*MODEL, "bytes up to (%)", "closest other", "comparison"])
    # The same two models at several sizes are one comparison.
    same = [*PLACE, "stage", "closest other"]
    tested = corrected(told[told["closest other"] != ""].drop_duplicates(same)).set_index(same)["comparison"].to_dict()
    told["difference"] = [tested.get(key) for key in told[same].itertuples(index=False, name=None)]
    told = told.join(measured(table), on=MODEL).rename(columns={"dataset": "data set", "stage": "model"})
    told = told[
        [
            "encoder",
            "data set",
            "bytes up to (%)",
            "family",
            "model",
            "MB",
            "of dense (%)",
            "score",
            "closest other",
            "difference",
        ]
    ]
    leads = told.index[~told.duplicated(["encoder", "data set", "bytes up to (%)"])]
    told.attrs["bold"] = {(place, "score") for place in leads}
    return told


def _closest(rows: pd.DataFrame, first: str) -> tuple[str, Comparison | None]:
    """The family of the rows that is least clearly behind the `first` on test, and its difference from that one."""
    best = rows["family"] == first
    each = paired(rows[~best], rows[best], by=["family"], value="score", one_for_all=True)
    each = with_once(each, each["family"].isin(ON_TEXT) | (first in ON_TEXT))

    def closeness(row: tuple) -> tuple[bool, float]:
        interval = row.comparison.interval
        return (False, row.comparison.p) if interval.known and interval.mean < 0 else (True, interval.mean)

    closest = max(each.itertuples(), key=closeness, default=None)
    return (closest.family, closest.comparison) if closest else ("", None)


def best_families(found: pd.DataFrame) -> Findings:
    """At which sizes of `at_equal_bytes` one family is ahead of all others."""
    told = {}
    for place, own in found.groupby(["encoder", "data set"], sort=False):
        best = own.drop_duplicates("bytes up to (%)").set_index("bytes up to (%)")
        winners = best.loc[[one is not None and one.sign == -1 for one in best["difference"]], "family"].to_dict()
        named = ", ".join(f"{family} at {size:g} %" for size, family in winners.items())
        told[place] = Finding(
            f"On {place[1]}, one family is shown to be ahead of all others at {len(winners) or 'none'} of {len(best)} "
            f"sizes{f': {named}' if named else ''}.",
            values={"winners": winners},
        )
    return told


def front(table: pd.DataFrame) -> pd.DataFrame:
    """Test averages of the models that none of their family with as few bytes matches on dev."""
    kept = []
    for family, own in on_dev(table).groupby(MODEL[:3], sort=False):
        models = own.groupby("stage", sort=False).agg(share=("share", "max"), score=("score", "mean"))
        models = models.sort_values(["share", "score"], ascending=[True, False])
        before = models["score"].cummax().shift(fill_value=-math.inf)
        kept += [(*family, stage) for stage in models.index[models["score"] > before]]
    return averaged(of_split(table, "test")).merge(pd.DataFrame(kept, columns=MODEL), on=MODEL)


def smallest_within(table: pd.DataFrame, times: pd.DataFrame | None = None) -> pd.DataFrame:
    """The smallest model of all families whose mean dev score is within each tolerated loss of the dense model's.

    Chosen on dev over all seeds, reported on test. A row for each encoder, data set and tolerance; `minus dense` is a
    comparison with p after Holm over the models that were chosen, `times faster` than the dense model in the first
    setting of `times` (missing where this model was not timed on this data set). The dense model is always within.
    """
    found = []
    for place, own in on_dev(table).groupby(PLACE, sort=False):
        models = own.groupby(MODEL, sort=False).agg(score=("score", "mean"), bytes=("bytes", "max"))
        level = models.loc[(*place, PIPELINE, DENSE), "score"]
        for tolerance, (points, share) in TOLERATED.items():
            within = models[models["score"] >= level - (points + share * level)]
            model = within.sort_values(["bytes", "score"], ascending=[True, False], kind="stable").index[0]
            found.append([*place, tolerance, *model[2:]])
    told = pd.DataFrame(found, columns=[*PLACE, "loss up to", "family", "stage"])
    chosen = table.merge(told[MODEL].drop_duplicates())
    changes = against_dense(pd.concat([chosen, table[table["stage"] == DENSE]])).rename("minus dense")
    sizes = measured(table)[["MB", "of dense (%)", "parameters (%)", "score"]]
    told = told.join(sizes, on=MODEL).join(changes, on=MODEL)
    first = {} if times is None else timed(table, times).drop_duplicates(MODEL).set_index(MODEL)["faster"]
    told["times faster"] = [first.get(model, math.nan) for model in told[MODEL].itertuples(index=False, name=None)]
    return told.rename(columns={"dataset": "data set", "stage": "model"})


def smallest(found: pd.DataFrame, counted: str) -> Findings:
    """The first row of `smallest_within` for each encoder and data set; `counted` names what its bytes are of."""
    told = {}
    for row in found.drop_duplicates(["encoder", "data set"]).to_dict("records"):
        change = row["minus dense"]
        told[row["encoder"], row["data set"]] = Finding(
            f"On {row['data set']}, the smallest model within {row['loss up to']} of the dense {row['encoder']} on dev "
            f"is “{row['model']}”, with {row['of dense (%)']:.1f} % of the {counted}.",
            f"On test, the difference is {change} ({change.verdict}), which rules out {change.excludes()}."
            if isinstance(change, Comparison)
            else "No smaller model is within that loss.",
        )
    return told


def timed(table: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """`times` with the model and the sizes of each, and how many times `faster` it is than dense in that setting."""
    about = table[["identity", *MODEL, "share", "parameter_share"]].drop_duplicates(["identity", "stage"])
    rows, setting = times.merge(about, on=["identity", "encoder"]), [*PLACE, "batch", "threads"]
    dense = rows[rows["stage"] == DENSE].groupby(setting)["milliseconds"].first().rename("dense")
    return rows.assign(faster=rows.join(dense, on=setting)["dense"] / rows["milliseconds"])


def faster(table: pd.DataFrame, times: pd.DataFrame) -> Finding:
    """How much faster the end of the pipeline is than the dense model in each setting, beside what was claimed."""
    pipeline = table[table["family"] == PIPELINE]
    rows, stages = timed(pipeline, times), list(dict.fromkeys(pipeline["stage"]))
    if rows.empty:
        return missing("Times")
    end = rows[rows["stage"] == max(rows["stage"], key=stages.index)]
    first = end.iloc[0]
    return Finding(
        f"On {first['dataset']}, the end of the pipeline from {first['encoder']} (“{first['stage']}”) is "
        f"{first['faster']:.1f} times as fast as the dense model.",
        f"XtremeDistil's {MARK['time']} times were measured in batches on another device.",
        values={"ratios": end.set_index(["batch", "threads"])["faster"].to_dict()},
        verdict=NOT_COMPARABLE,
    )


def claims(
    table: pd.DataFrame, times: pd.DataFrame, *, by_text: Findings, best: Findings, plain: Findings
) -> dict[str, list[Finding]]:
    """What this page says of each claim: a finding for each data set on which the dense encoder is not behind.

    The findings that it takes are those of `extreme_curves.drop_and_text`, `best_families` and `beside_plain`.
    """
    speed, encoder = faster(table, times), table["encoder"].iloc[0]
    least = table.loc[(table["encoder"] == encoder) & (table["family"] == PIPELINE), "parameter_share"].min()
    less = 100 * (1 - least)
    fewer = Finding(f"The whole pipeline takes away {less:.1f} % of the parameters of {encoder}.", quantity=less)
    found = {
        "P2-T1": costs(table),
        "D23": whole_pipeline(table),
        "D24": {(encoder, "every data set"): fewer},
        "XtremeDistil": thirty_five_times_fewer(table),
        "D25": by_text,
        "X1": best,
    }
    told = {name: only_where_ahead(own, plain) for name, own in found.items()}
    return told | {"XtremeDistil": [*told["XtremeDistil"], speed] if speed.measured else told["XtremeDistil"]}


def whole_pipeline(table: pd.DataFrame) -> Findings:
    """What the pipeline loses before quantization, as paper 2 counts it, in per cent of the dense score (D23)."""
    found = {}
    for (encoder, dataset, *model), left in measured(table)["kept"].items():
        if model == [PIPELINE, TRIMMED] and left.n:
            said = f"On {dataset}, {encoder} keeps {left.mean:.1f} % of its score in the pipeline before quantization."
            lost = Interval(100 - left.mean, 100 - left.high, 100 - left.low, left.n)
            found[encoder, dataset] = Finding(said, quantity=lost)
    return found


def thirty_five_times_fewer(table: pd.DataFrame) -> Findings:
    """What the best model keeps that has 35 times fewer parameters; chosen on dev."""
    models, found = measured(table), {}
    for place, dev in on_dev(table).groupby(PLACE, sort=False):
        small = dev[dev["family"].isin([*ON_TEXT, TAUGHT]) & (dev["parameter_share"] <= 1.005 / MARK["parameters"])]
        if small.empty:
            found[place] = Finding(f"No student of {place[0]} on {place[1]} is so small.", verdict=NOT_COMPARABLE)
            continue
        best = models.loc[small.groupby(MODEL)["score"].mean().idxmax()]
        found[place] = Finding(
            f"On {place[1]}, “{best.name[-1]}” keeps {best['kept'].mean:.1f} % of the dense score "
            f"with {best['parameters (%)']:.1f} % of the parameters.",
            quantity=best["kept"],
        )
    return found
