"""The second paper's pipeline: what each stage costs, which family is best at equal bytes (X1), and the smallest model.

`table` is what `by_family` makes. Scores are the main one of each task. Findings go by encoder and data set.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from smaller.analysis import comparison
from smaller.analysis.comparison import AGREES, NOT_DECIDED, OVER_SENTENCES, Comparison, against, made, paired
from smaller.analysis.findings import baselines, units
from smaller.analysis.findings.finding import ANSWERED, Finding, missing, settled
from smaller.analysis.statistics import describe, of_split, t_interval
from smaller.base.errors import SmallerError
from smaller.study.pipelines import DENSE, QUESTIONS

PIPELINE, SIZES, ORDERS = "pipeline", "pipeline, other sizes", "pipeline, other orders"
"""The pipeline's own stages; the whole of it at other sizes; its stages in another order or with some left out."""

ON_TEXT = (PIPELINE, SIZES, ORDERS)
ONCE = "the adaptation and the distillations on text"
"""What all seeds of these families share in each language: no interval over seeds covers its chance."""

TAUGHT, UNTAUGHT = "taught on the task", "without a teacher"
"""Students as small as the pipeline's that learn from a fine-tuned model on its task and on unlabelled text; and models
of the same shape that are trained on the labels with as many updates.
"""

SHARES = (0.5, 0.1, 0.05, 0.03)
"""Shares of the dense bytes at which families are compared."""

TOLERATED = {"1 point": (1.0, 0.0), "2 points": (2.0, 0.0), "5 points": (5.0, 0.0), "5 % of the score": (0.0, 0.05)}
"""Losses that one may bear, in points and as a share of the dense score."""

MODEL = ["encoder", "dataset", "family", "stage"]
PLACE = MODEL[:2]
MEASURES = {"parameters": "parameters (M)", "nonzero_parameters": "not zero (M)", "parameter_share": "parameters (%)"}
MEASURES |= {"bytes": "MB", "share": "of dense (%)", "dense_bytes": "MB in memory", "compressed_bytes": "MB compressed"}
"""The sizes of a model, and what they are called in tables."""

Findings = dict[tuple[str, ...], Finding]


def by_family(whole: pd.DataFrame) -> pd.DataFrame:
    """The table of a study whose `group` is a family and a stage, with both, `bytes`, and their `share` of dense.

    `bytes` are those of the folder that ships where every row knows them, else those of the weights, zeros included;
    `counted` says which. SmallerError where an encoder has no dense model.
    """
    family, stage = zip(*whole["group"], strict=True)
    unit = units.everywhere(whole, units.SIZE)
    whole = whole.drop(columns="group").assign(family=family, stage=stage, bytes=whole[unit], counted=units.SIZE[unit])
    dense = whole[whole["stage"] == DENSE].groupby(PLACE)[["bytes", "parameters"]].first()
    if absent := sorted(set(map(tuple, whole[PLACE].to_numpy())) - set(dense.index)):
        raise SmallerError(f"There is no dense model of {absent[0][0]} on {absent[0][1]} to compare with: add it.")
    of_dense = whole[PLACE].join(dense, on=PLACE)
    shares = whole[list(dense)] / of_dense[list(dense)]
    return whole.assign(share=shares["bytes"], parameter_share=shares["parameters"])


def averaged(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores as means over languages by model and seed, where it has all of them; sizes are the largest language's."""
    languages = rows.groupby([*MODEL, "seed"])["language"].transform("nunique")
    rows = rows[languages == rows.groupby(PLACE)["language"].transform("nunique")]
    wanted = {"score": "mean"} | dict.fromkeys(MEASURES, "max") | {"task": "first", "metric": "first"}
    return rows.groupby([*MODEL, "seed"], sort=False, as_index=False).agg(wanted)


def measured(table: pd.DataFrame) -> pd.DataFrame:
    """Each model's `MEASURES`, metric, and the `Interval`s of its test score and of what it `kept` of dense, in %."""
    rows, pair = averaged(of_split(table, "test")), [*PLACE, "seed"]
    dense = rows.join(rows[rows["stage"] == DENSE].set_index(pair)["score"].rename("dense"), on=pair)["dense"]
    models = rows.assign(kept=100 * rows["score"] / dense.where(dense > 0)).groupby(MODEL, sort=False)
    most = models[list(MEASURES)].max()
    sizes = {title: 100 * most[name] if "share" in name else most[name] / 1e6 for name, title in MEASURES.items()}
    return models[["metric"]].first().assign(**sizes).join(models[["score", "kept"]].agg(list).map(t_interval))


def on_dev(table: pd.DataFrame) -> pd.DataFrame:
    """What choices are made from: averages on the dev split of the models that have every seed of the dense one."""
    rows = averaged(of_split(table, "dev"))
    rows = rows.merge(rows.loc[rows["stage"] == DENSE, [*PLACE, "seed"]])
    own, wanted = (rows.groupby(by)["seed"].transform("nunique") for by in (MODEL, PLACE))
    return rows[own == wanted]


def against_dense(table: pd.DataFrame) -> pd.DataFrame:
    """The difference on test of the pipeline's stages and of the models `within` a loss from dense, by `MODEL`.

    They are the models that one asks about, and are compared once: wherever a difference stands, its verdict is this.
    """
    asked = pd.concat([table.loc[table["family"] == PIPELINE, MODEL], within(table)[MODEL]]).drop_duplicates()
    rows = of_split(table, "test").merge(asked)
    about = {"value": "score", "over_sentences": True, "drawn_once": lambda group: once(group["family"])}
    found = against(rows, rows["stage"] == DENSE, by=MODEL, for_all=MODEL[2:], **about)
    return found.rename(columns={"comparison": "minus dense"})[["minus dense", OVER_SENTENCES]]


def once(*families: str) -> tuple[str, ...]:
    """What all seeds of the families share, if one of them learned on text."""
    return (ONCE,) if set(families) & set(ON_TEXT) else ()


def scores(one: Comparison) -> str:
    """The words that a comparison of two models allows to put between them."""
    return one.words("scores more than", "scores less than", "scores the same as", "is not shown to differ from")


def beside_plain(table: pd.DataFrame, plain: pd.DataFrame | None) -> Findings:
    """Whether each dense encoder is ahead of a model without one, as `baselines.ahead` says it, in one sentence."""
    dense = table[table["stage"] == DENSE].groupby(PLACE, sort=False)
    return {place: replace(baselines.ahead(own, plain), text="") for place, own in dense}


def per_step(table: pd.DataFrame) -> pd.DataFrame:
    """Each stage of the pipeline on each data set: sizes, test score, and the difference from dense (P2-T1)."""
    pipeline = table[table["family"] == PIPELINE].sort_values(PLACE, kind="stable")
    found = measured(pipeline).join(against_dense(table)).reset_index()
    return found.drop(columns=["family", "parameters (%)", "kept"]).rename(columns={"dataset": "data set"})


def costs(table: pd.DataFrame) -> Findings:
    """What the whole pipeline leaves of bytes and score, and where it loses most; the quantity is against dense."""
    pipeline, found = of_split(table[table["family"] == PIPELINE], "test"), {}
    changes = against_dense(table)["minus dense"]
    for place, own in pipeline.groupby(PLACE, sort=False):
        stages = list(dict.fromkeys(own["stage"]))
        change, share = changes[(*place, PIPELINE, stages[-1])], own.loc[own["stage"] == stages[-1], "share"].max()
        if not change.interval.n:
            found[place] = missing(f"Pairs of the whole pipeline from {place[0]} and the dense model on {place[1]}")
            continue
        before = own.assign(stage=own["stage"].map(dict(itertools.pairwise(stages)))).dropna(subset="stage")
        steps = paired(own[own["stage"] != DENSE], before, by=["stage"], value="score")
        steps = comparison.intervals(made(steps).set_index("stage")["comparison"])
        worst = min(steps.index, key=lambda stage: steps[stage].mean, default="")
        told = f"Of its stages, “{worst}” has the lowest difference from the one before: "
        told = f"{told}{describe(steps[worst], ' points')}." if worst else ""
        found[place] = Finding(
            f"On {place[1]}, the whole pipeline from {place[0]} {scores(change)} the dense model, with "
            f"{100 * share:.1f} % of the {table['counted'].iloc[0]}: {change}.",
            f"{change.excludes()} {told}",
            quantity=change,
            values={"share": share, "lowest": worst, "steps": steps},
        )
    return found


def ablations(table: pd.DataFrame, variants: pd.DataFrame, *, stage: str) -> pd.DataFrame:
    """Each variant, a key of `pipelines.QUESTIONS`, minus the pipeline at `stage`: numbered rows (P2-T2, T21)."""
    rows, keys = of_split(table, "test"), ["question", *PLACE]
    base = rows[(rows["family"] == PIPELINE) & (rows["stage"] == stage)]
    changed = of_split(variants.assign(question=variants["group"].map(QUESTIONS)), "test")
    changed = changed.sort_values(PLACE, kind="stable")
    found = paired(changed, base, by=keys, for_all=["question"], value="score", drawn_once=[ONCE])
    found = found.join(changed.groupby(keys)["parameters"].max() / 1e6, on=keys)[[*keys, "parameters", "comparison"]]
    found = found.set_axis(["question", "encoder", "data set", "parameters (M)", "difference"], axis="columns")
    return found.rename_axis("no.").rename(lambda place: place + 1)


def at_equal_bytes(table: pd.DataFrame, shares: Sequence[float] = SHARES) -> pd.DataFrame:
    """For each share of the dense bytes the best model of each family that takes no more, chosen on dev (X1).

    The best on dev comes first and is bold; it has the closest other family on test, the interval of the `difference`
    from it, and the verdict on "ahead of all others". That is so where the closest is behind, so p is corrected for the
    number of sizes alone.
    """
    dev, test, found = on_dev(table), of_split(table, "test"), []
    for (_, own), at in itertools.product(dev.groupby(PLACE, sort=False), shares):
        small = own[own["share"] <= at].groupby(MODEL, sort=False)["score"].mean()
        best = small.sort_values(ascending=False, kind="stable").groupby("family", sort=False).head(1).index
        for rank, model in enumerate(best):
            closest = ("", "", None) if rank else _closest(best.to_frame(index=False).merge(test), model[2])
            found.append([*model, 100 * at, *closest])
    told = pd.DataFrame(found, columns=[*MODEL, "bytes up to (%)", "closest other", "its model", "comparison"])
    # The same two models at several sizes are one comparison.
    same = [*MODEL, "closest other", "its model"]
    firsts = told[told["closest other"] != ""].drop_duplicates(same)
    tested = comparison.corrected(firsts).set_index(same)["comparison"].to_dict()
    closest = [tested.get(key) for key in told[same].itertuples(index=False, name=None)]
    told["difference"] = [one and one.interval for one in closest]
    told["ahead of all others"] = [one and one.bears_out("less") for one in closest]
    told = told.join(measured(table), on=MODEL).rename(columns={"dataset": "data set", "stage": "model"})
    size = ["encoder", "data set", "bytes up to (%)"]
    told = told[[*size, *"family,model,MB,of dense (%),score,closest other,difference,ahead of all others".split(",")]]
    told.attrs["bold"] = {(place, "score") for place in told.index[~told.duplicated(size)]}
    return told


def _closest(rows: pd.DataFrame, first: str) -> tuple[str, str, Comparison | None]:
    """The family and model least clearly behind those of the `first` family on test, and the difference from these.

    One without a pair comes first: nobody knows how close it is. Then the highest mean of those that are not shown to
    be behind; else the highest p, since all have to be behind.
    """
    best = rows["family"] == first
    each = paired(rows[~best], rows[best], by=MODEL[2:], for_all=MODEL[2:], value="score")

    def closeness(row: tuple) -> tuple[bool, bool, float]:
        behind = replace(row.comparison, corrected=row.comparison.p).sign == -1
        return not row.comparison.interval.n, not behind, row.comparison.p if behind else row.comparison.interval.mean

    closest = max(each.itertuples(), key=closeness, default=None)
    return (closest.family, closest.stage, closest.comparison) if closest else ("", "", None)


def best_families(found: pd.DataFrame) -> Findings:
    """At which sizes of `at_equal_bytes` one family is ahead of all others; undecided where no size is decided."""
    told = {}
    for place, own in found.groupby(["encoder", "data set"], sort=False):
        best = own.drop_duplicates("bytes up to (%)").set_index("bytes up to (%)")
        words = best["ahead of all others"].dropna()
        winners = best.loc[words.index[words == AGREES], "family"].to_dict()
        named = ", ".join(f"{family} at {size:g} %" for size, family in winners.items())
        told[place] = Finding(
            f"On {place[1]}, one family is shown to be ahead of all others at {len(winners) or 'none'} of {len(best)} "
            f"sizes{f': {named}' if named else ''}.",
            values={"winners": winners},
            verdict=NOT_DECIDED if (words == NOT_DECIDED).all() else ANSWERED,
        )
    return told


def front(table: pd.DataFrame) -> pd.DataFrame:
    """Test averages of the models that none of their family with as few bytes matches on dev."""
    models = on_dev(table).groupby(MODEL, sort=False).agg(share=("share", "max"), dev=("score", "mean"))
    models = models.sort_values(["share", "dev"], ascending=[True, False]).reset_index()
    before = models.groupby(MODEL[:3])["dev"].transform(lambda dev: dev.cummax().shift(fill_value=-math.inf))
    return averaged(of_split(table, "test")).merge(models.loc[models["dev"] > before, MODEL])


def within(table: pd.DataFrame) -> pd.DataFrame:
    """The smallest model of all families whose mean dev score is within each tolerated loss of the dense one's."""
    found = []
    for place, own in on_dev(table).groupby(PLACE, sort=False):
        models = own.groupby(MODEL, sort=False).agg(score=("score", "mean"), bytes=("bytes", "max"))
        level = models.loc[(*place, PIPELINE, DENSE), "score"]
        for tolerance, (points, share) in TOLERATED.items():
            able = models[models["score"] >= level - (points + share * level)]
            model = able.sort_values(["bytes", "score"], ascending=[True, False], kind="stable").index[0]
            found.append([*place, tolerance, *model[2:]])
    return pd.DataFrame(found, columns=[*PLACE, "loss up to", "family", "stage"])


def smallest_within(table: pd.DataFrame) -> pd.DataFrame:
    """The models `within` each loss, their sizes, scores on test, and differences from dense."""
    sizes = measured(table)[["MB", "of dense (%)", "parameters (%)", "score"]]
    told = within(table).join(sizes, on=MODEL).join(against_dense(table), on=MODEL)
    return told.rename(columns={"dataset": "data set", "stage": "model"})


def smallest(found: pd.DataFrame, counted: str) -> Findings:
    """The first row of `smallest_within`; answered where the interval on test excludes that loss, or a smaller one."""
    told = {}
    for row in found.drop_duplicates(["encoder", "data set"]).to_dict("records"):
        change, (limit, _) = row["minus dense"], TOLERATED[row["loss up to"]]
        known, said = isinstance(change, Comparison), "No smaller model is within that loss."
        if known:
            said = f"On test, the difference is {change} ({change.verdict}). {change.excludes()}"
            said = said if change.interval.n else "On test, it was not measured beside the dense model."
        decided = change.departs(by=limit) if known else ANSWERED if row["score"].known else NOT_DECIDED
        told[row["encoder"], row["data set"]] = Finding(
            f"On {row['data set']}, the smallest model within {row['loss up to']} of the dense {row['encoder']} on dev "
            f"is “{row['model']}”, with {row['of dense (%)']:.1f} % of the {counted}.",
            said,
            quantity=change if known else None,
            verdict=settled([decided]),
        )
    return told
