"""The second paper's pipeline: what each stage saves and costs, and which family is best at equal bytes (X1).

`table` is what `by_family` makes of the tidy tables of a study. Scores are the main one of each task, in points.
Findings go by encoder and data set.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from smaller.comparison import AGREES, NOT_COMPARABLE, NOT_MEASURED, Comparison, corrected, paired
from smaller.encoders import TRAINED
from smaller.errors import SmallerError
from smaller.findings.finding import ANSWERED, Finding, missing
from smaller.recipes import DENSE
from smaller.statistics import describe, of_split, t_interval

PIPELINE, SIZES, ORDERS = "pipeline", "pipeline, other sizes", "pipeline, other orders"
"""The pipeline's own stages; the whole of it at other sizes; its stages in another order or with some left out."""

ON_TEXT = (PIPELINE, SIZES, ORDERS)
ONCE = "the adaptation and the distillations on text"
"""What all seeds of these families share in each language: no interval over seeds covers its chance."""

TAUGHT, UNTAUGHT = "taught on the task", "without a teacher"
"""Students as small as the pipeline's that learn from a fine-tuned model on its task and on unlabelled text; and
models of the same shape that are trained on the labels with as many updates."""

MODEL = ["encoder", "dataset", "family", "stage"]
PLACE = MODEL[:2]
Findings = dict[tuple[str, str], Finding]


def by_family(tables: Mapping[str, Mapping[str, pd.DataFrame]]) -> pd.DataFrame:
    """Tables by family and stage as one, with `family`, `stage`, `bytes`, `share` and `parameter_share` of dense.

    `bytes` are those of the folder that ships where every row knows them (`ships` is true); else those of the weights,
    which of masked weights are a bitmap and what is left. Raises SmallerError where nothing was run, or an encoder has
    no dense model.
    """
    parts = [rows.assign(family=family, stage=stage) for family, stages in tables.items()
             for stage, rows in stages.items() if len(rows)]  # fmt: skip
    if not parts:
        raise SmallerError("None of these recipes has been run: there is nothing to compare.")
    whole = pd.concat(parts, ignore_index=True)
    masked = (whole["sparsity"] > 0) & (whole["form"] == TRAINED)
    bitmap = np.minimum(4 * whole["nonzero_parameters"] + whole["parameters"] / 8, whole["dense_bytes"])
    # Bytes of files and of weights never stand side by side.
    ships = "shipped_bytes" in whole and bool(whole["shipped_bytes"].notna().all())
    weights = np.where(masked, bitmap, whole["dense_bytes"])
    whole = whole.assign(bytes=whole["shipped_bytes"] if ships else weights, ships=ships)
    dense = whole[whole["stage"] == DENSE].groupby(PLACE)[["bytes", "parameters"]].first()
    if absent := sorted(set(map(tuple, whole[PLACE].to_numpy())) - set(dense.index)):
        raise SmallerError(f"There is no dense model of {absent[0][0]} on {absent[0][1]} to compare with: add it.")
    both = whole.join(dense.add_suffix("_dense"), on=PLACE)
    return whole.assign(share=both["bytes"] / both["bytes_dense"],
                        parameter_share=both["parameters"] / both["parameters_dense"])  # fmt: skip


def currency(table: pd.DataFrame) -> str:
    """What the bytes of a table are, for captions."""
    return "bytes of the files that ship" if table["ships"].all() else "bytes of the weights"


def averaged(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores as means over languages, a row for each stage, data set and seed; seeds that lack a language are left out.

    Sizes are those of the largest language: trimming to a share of the text leaves some with more tokens.
    """
    largest = ["bytes", "share", "parameters", "parameter_share", "nonzero_parameters", "dense_bytes",
               "compressed_bytes"]  # fmt: skip
    wanted = rows.groupby(PLACE)["language"].nunique().rename("_wanted")
    found = rows.groupby([*MODEL, "seed"], sort=False).agg(
        score=("score", "mean"), **{name: (name, "max") for name in largest if name in rows},
        task=("task", "first"), metric=("metric", "first"), _languages=("language", "nunique"),
    ).reset_index().join(wanted, on=PLACE)  # fmt: skip
    return found[found["_languages"] == found["_wanted"]].drop(columns=["_languages", "_wanted"])


def on_dev(table: pd.DataFrame) -> pd.DataFrame:
    """What choices are made from: averages on the dev split of the models that have every seed of the dense one."""
    rows = averaged(of_split(table, "dev"))
    wanted = rows[rows["stage"] == DENSE].groupby(PLACE)["seed"].nunique().rename("wanted")
    return rows[rows.groupby(MODEL)["seed"].transform("nunique") >= rows.join(wanted, on=PLACE)["wanted"]]


def against_dense(table: pd.DataFrame, *, split: str = "test") -> pd.Series:
    """The comparison of each model with the dense ones of the same seeds, by `MODEL`; p after Holm over them all."""
    rows = of_split(table, split)
    small, dense = rows[rows["stage"] != DENSE], rows[rows["stage"] == DENSE]
    others = small[MODEL].drop_duplicates().merge(dense[[*PLACE, "language", "seed", "score"]], on=PLACE)
    found = paired(small, others, by=MODEL, value="score")
    return with_once(found, found["family"].isin(ON_TEXT)).set_index(MODEL)["comparison"]


def with_once(found: pd.DataFrame, made: pd.Series) -> pd.DataFrame:
    """The comparisons, with what was drawn once for all seeds (`ONCE`) where `made` is true."""
    told = [replace(one, drawn_once=(ONCE,)) if once else one
            for one, once in zip(found["comparison"], made, strict=True)]  # fmt: skip
    return found.assign(comparison=told)


def scores(one: Comparison) -> str:
    """The words that a comparison of two models allows to put between them."""
    otherwise = "scores the same as" if one.verdict == AGREES else "is not shown to differ in score from"
    return {1: "scores more than", -1: "scores less than"}.get(one.sign, otherwise)


def beside_plain(table: pd.DataFrame, plain: pd.DataFrame | None = None, *, split: str = "test") -> Findings:
    """Whether the dense encoder is ahead of a plain model; the quantity is its lead.

    `plain` has the columns of the tidy table, with its models' names as `encoder`; of several the best is taken. A
    plain model has no seed, so the interval is that of the dense seeds.
    """
    found, rows = {}, of_split(table, split)
    for (encoder, dataset), own in rows[rows["stage"] == DENSE].groupby(PLACE, sort=False):
        others = [] if plain is None else plain[(plain["dataset"] == dataset) & (plain["split"] == split)]
        if len(others) == 0:
            told = Finding(f"On {dataset}, {encoder} was not compared with a linear model.", verdict=NOT_MEASURED)
        else:
            levels = others.groupby(["encoder", "language"])["score"].mean().unstack()
            name = levels.mean(axis="columns").idxmax()
            same = own.assign(score=own["language"].map(levels.loc[name]))
            (lead,) = paired(own, same, value="score")["comparison"]
            told = Finding(f"On {dataset}, the dense {encoder} {scores(lead)} the {name} model: {lead}.", quantity=lead)
        found[encoder, dataset] = told
    return found


def only_where_ahead(found: Findings, plain: Findings) -> list[Finding]:
    """Findings; where the dense encoder was compared with a plain model and is not ahead of it, nothing is claimed."""
    behind = {place for place, one in plain.items() if one.measured and one.quantity.sign != 1}
    return [
        Finding(f"On {place[1]}, nothing is claimed, since the dense encoder is not ahead of a plain model.",
                plain[place].headline, verdict=NOT_COMPARABLE) if place in behind else one
        for place, one in found.items()
    ]  # fmt: skip


def per_step(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Each stage of the pipeline: its sizes, and for each data set the score and its difference from dense (P2-T1)."""
    pipeline = table[table["family"] == PIPELINE]
    changes, found = against_dense(pipeline, split=split), []
    for (encoder, stage), own in averaged(of_split(pipeline, split)).groupby(["encoder", "stage"], sort=False):
        most = own.max(numeric_only=True)
        about = {"encoder": encoder, "stage": stage, "parameters (M)": most["parameters"] / 1e6,
                 "not zero (M)": most["nonzero_parameters"] / 1e6, "MB": most["bytes"] / 1e6,
                 "of dense (%)": 100 * most["share"], "MB in memory": most["dense_bytes"] / 1e6,
                 "MB compressed": most.get("compressed_bytes", math.nan) / 1e6}  # fmt: skip
        for (dataset, task, metric), seeds in own.groupby(["dataset", "task", "metric"], sort=False)["score"]:
            about[f"{task}, {dataset} ({metric})"] = t_interval(seeds)
            about[f"{task}, {dataset}: minus dense"] = changes.get((encoder, dataset, PIPELINE, stage))
        found.append(about)
    return pd.DataFrame(found)


def costs(table: pd.DataFrame, *, split: str = "test") -> Findings:
    """What the whole pipeline leaves of bytes and score, and where it loses most; the quantity is against dense."""
    pipeline, found = of_split(table[table["family"] == PIPELINE], split), {}
    changes = against_dense(pipeline, split=split)
    for place, own in averaged(pipeline).groupby(PLACE, sort=False):
        stages = list(dict.fromkeys(own["stage"]))
        if len(stages) < 2:
            found[place] = missing(f"Stages of the pipeline on {place[1]}")
            continue
        here = pipeline[(pipeline[PLACE] == list(place)).all(axis="columns")]
        before = here.assign(stage=here["stage"].map(dict(itertools.pairwise(stages)))).dropna(subset="stage")
        steps = paired(here[here["stage"] != DENSE], before, by=["stage"], value="score", drawn_once=[ONCE])
        steps = steps.set_index("stage")["comparison"]
        worst = min(steps.index, key=lambda stage: steps[stage].interval.mean)
        last, change = own[own["stage"] == stages[-1]], changes[(*place, PIPELINE, stages[-1])]
        level = {stage: describe(t_interval(own.loc[own["stage"] == stage, "score"])) for stage in (DENSE, stages[-1])}
        found[place] = Finding(
            f"On {place[1]}, the whole pipeline from {place[0]} {scores(change)} the dense model, with "
            f"{100 * last['share'].max():.1f} % of the {currency(table)}: {change}.",
            f"Its {last['metric'].iloc[0]} is {level[stages[-1]]}; that of the dense model is {level[DENSE]}. The "
            f"interval rules out {change.excludes()}. Of its stages, “{worst}” has the lowest difference from the one "
            f"before: {steps[worst]} ({steps[worst].verdict}).",
            quantity=change, values={"share": last["share"].max(), "lowest": worst, "steps": steps},
        )  # fmt: skip
    return found


def ablations(table: pd.DataFrame, variants: Mapping[str, pd.DataFrame], *, stage: str) -> pd.DataFrame:
    """Each question's variant minus the pipeline at `stage` on the test split: numbered rows (P2-T2, T21).

    `variants` are tables by question. Columns: no., question, encoder, data set, the variant's `parameters (M)`, and
    `difference`, p after Holm over all rows.
    """
    rows = of_split(table, "test")
    base = rows[(rows["family"] == PIPELINE) & (rows["stage"] == stage)]
    changed = of_split(pd.concat([own.assign(question=question) for question, own in variants.items()]), "test")
    keys = ["question", *PLACE]
    changed = changed.sort_values(PLACE, kind="stable")
    same = changed[keys].drop_duplicates().merge(base, on=PLACE)
    found = paired(changed, same, by=keys, value="score", drawn_once=[ONCE])
    found = found.join(changed.groupby(keys)["parameters"].max() / 1e6, on=keys)[[*keys, "parameters", "comparison"]]
    found.columns = ["question", "encoder", "data set", "parameters (M)", "difference"]
    found.insert(0, "no.", range(1, len(found) + 1))
    return found


def at_equal_bytes(table: pd.DataFrame, shares: Sequence[float]) -> pd.DataFrame:
    """For each share of the dense bytes the best model of each family that takes no more, chosen on dev (X1).

    Rows go by encoder, data set and share; the family that is best on dev comes first and is bold. `score` is of the
    test split. That row names the `closest other` family on test, with the `difference` of its model from the best. A
    family is ahead of all others where the closest is behind, so p is corrected for the number of sizes alone.
    """
    dev, test, found = on_dev(table), of_split(table, "test"), []
    models = averaged(test).set_index(MODEL).sort_index()
    for place, own in dev.groupby(PLACE, sort=False):
        here = test[(test[PLACE] == list(place)).all(axis="columns")]
        for at in shares:
            small = own[own["share"] <= at].groupby(MODEL[2:], sort=False)["score"].mean()
            best = small.sort_values(ascending=False, kind="stable").groupby("family", sort=False).head(1).index
            for model in best:
                rows = models.loc[(*place, *model)]
                closest = _closest(here, best) if model == best[0] else ("", None)
                found.append([*place, 100 * at, *model, rows["bytes"].max() / 1e6, 100 * rows["share"].max(),
                              t_interval(rows["score"]), *closest])  # fmt: skip
    told = pd.DataFrame(found, columns=["encoder", "data set", "bytes up to (%)", "family", "model", "MB",
                                        "of dense (%)", "score", "closest other", "comparison"])  # fmt: skip
    # The same two models at several sizes are one comparison.
    same = ["encoder", "data set", "model", "closest other"]
    tested = corrected(told[told["closest other"] != ""].drop_duplicates(same)).set_index(same)["comparison"].to_dict()
    told["difference"] = [tested.get(key) for key in told[same].itertuples(index=False, name=None)]
    leads = ~told.duplicated(["encoder", "data set", "bytes up to (%)"])
    told = told.drop(columns="comparison")
    told.attrs["bold"] = {(place, "score") for place, first in enumerate(leads) if first}
    return told


def _closest(test: pd.DataFrame, models: pd.Index) -> tuple[str, Comparison | None]:
    """The family that is least clearly behind the first of `models` on test, and its difference from that one."""
    first, *others = models
    if not others:
        return "", None
    behind, best = (test.set_index(MODEL[2:]).sort_index().loc[names].reset_index() for names in (others, [first]))
    each = paired(behind, best, by=["family"], value="score", one_for_all=True)
    each = with_once(each, each["family"].isin(ON_TEXT) | (first[0] in ON_TEXT))

    def closeness(row: tuple) -> tuple[bool, float]:
        one = row.comparison
        behind = one.interval.known and one.interval.mean < 0
        return (not behind, one.p if behind else one.interval.mean)

    closest = max(each.itertuples(), key=closeness)
    return closest.family, closest.comparison


def best_families(found: pd.DataFrame) -> Findings:
    """At which sizes of `at_equal_bytes` one family is ahead of all others."""
    told = {}
    for place, own in found.groupby(["encoder", "data set"], sort=False):
        best = own.drop_duplicates("bytes up to (%)").set_index("bytes up to (%)")
        ahead = [isinstance(one, Comparison) and one.sign == -1 for one in best["difference"]]
        winners = best.loc[ahead, "family"].to_dict()
        named = ", ".join(f"{family} at {size:g} %" for size, family in winners.items())
        said = (f"one family is shown to be ahead of all others at {len(winners)} of {len(best)} sizes: {named}"
                if winners else
                f"no family is shown to be ahead of all others at any of {len(best)} sizes")  # fmt: skip
        models = "; ".join(f"“{row.model}” ({row.family}) at {row.Index:g} %" for row in best.itertuples())
        told[place] = Finding(f"On {place[1]}, {said}.", f"Best on dev are {models} of the bytes.",
                              values={"winners": winners}, verdict=ANSWERED)  # fmt: skip
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
