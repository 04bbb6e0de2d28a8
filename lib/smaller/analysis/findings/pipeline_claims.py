"""The second paper's curves (P2-F2, P2-F3, P2-F5), controls and speeds, and what the study says of each claim."""

from collections.abc import Mapping, Sequence

import pandas as pd

from smaller.analysis.comparison import LEVEL, NOT_COMPARABLE, NOT_DECIDED, Comparison, made, paired
from smaller.analysis.findings import claims, pipeline, units
from smaller.analysis.findings.finding import ANSWERED, Finding, missing, settled
from smaller.analysis.findings.pipeline import MODEL, ONCE, PIPELINE, PLACE, TAUGHT, UNTAUGHT, Findings, scores
from smaller.analysis.statistics import Interval, bounds, describe, least_p, of_split, spearman, t_interval
from smaller.base.words import are, count_of
from smaller.data.languages import name_of
from smaller.study.pipelines import DENSE, TRIMMED, UNTAUGHT_KINDS

MARK = {"parameters": 35, "time": 51}
"""XtremeDistil on the named entities of 41 languages (Mukherjee and Awadallah 2020): how many times fewer parameters
than mBERT, and how many times faster in batches."""

TITLES = {"encoder": "encoder", "dataset": "data set", "family": "family", "stage": "model", "batch": "batch"}
TITLES |= {"threads": "threads"} | {time: f"ms, {told.removeprefix('in the ')}" for time, told in units.TIME.items()}
TITLES |= {"noise_floor": "noise floor", "faster": "times faster", "time": "time", "share": "share of the bytes"}
TITLES |= {"parameter_share": "share of the parameters"}
"""The columns of the table of times, and what they are called."""


def speeds(table: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """Milliseconds for a sentence, and times faster than dense on the same device (`timing.settings_table`)."""
    about = table[["identity", *MODEL, "share", "parameter_share"]].drop_duplicates(["identity", "stage"])
    rows, setting = times.merge(about, on=["identity", "encoder"]), [*PLACE, "device", "batch", "threads"]
    rows, column = rows.assign(device=rows.get("device", "")), units.everywhere(rows, units.TIME)
    dense = rows[rows["stage"] == DENSE].groupby(setting)[column].first().rename("dense")
    rows = rows.assign(faster=rows.join(dense, on=setting)["dense"] / rows[column], time=units.TIME[column])
    return rows[list(TITLES)].rename(columns=TITLES)


def with_speed(found: pd.DataFrame, table: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """The rows of `pipeline.smallest_within`, with the speed in the first setting where the model was timed there."""
    model = ["encoder", "data set", "family", "model"]
    return found.merge(speeds(table, times).drop_duplicates(model)[[*model, "times faster", "time"]], how="left")


def faster(table: pd.DataFrame, times: pd.DataFrame) -> Findings:
    """How much faster the end of the pipeline is than the dense model in each setting, beside what was claimed."""
    pipeline = table[table["family"] == PIPELINE]
    stages, found = list(dict.fromkeys(pipeline["stage"])), {}
    for place, rows in speeds(pipeline, times).groupby(["encoder", "data set"], sort=False):
        end = rows[rows["model"] == max(rows["model"], key=stages.index)]
        first = end.iloc[0]
        found[place] = Finding(
            f"On {place[1]}, the end of the pipeline from {place[0]} (“{first['model']}”) is "
            f"{first['times faster']:.1f} times as fast as the dense model, {first['time']} (noise floor "
            f"{100 * first['noise floor']:.0f} %).",
            f"XtremeDistil's {MARK['time']} times were measured in batches on another device.",
            values={"ratios": end.set_index(["batch", "threads"])["times faster"].to_dict(), "time": first["time"]},
            verdict=NOT_COMPARABLE,
        )
    return found or {("", ""): missing("Times")}


def judged(
    table: pd.DataFrame, times: pd.DataFrame, *, equal: pd.DataFrame, lost: pd.DataFrame, ahead: Findings
) -> pd.DataFrame:
    """The rows of `claims.of_page` by claim, from `pipeline.at_equal_bytes`, `drops`, `beside_plain`."""
    speed, taken, few = faster(table, times), parameters(table), thirty_five_times_fewer(table)
    parts = {
        "P2-T1": pipeline.costs(table),
        "D23": whole_pipeline(table),
        "D24": taken,
        "D24b": taken,
        "XtremeDistil": {place: [one, *filter(None, [speed.get(place)])] for place, one in few.items()},
        "D25": drop_and_text(lost),
        "X1": pipeline.best_families(equal),
    }
    rows = [
        claims.of_page({name: own[place] for name, own in parts.items() if place in own}, encoder=place[0], ahead=one)
        for place, one in ahead.items()
    ]
    rows = pd.concat(rows)
    return rows.sort_values("id", key=lambda ids: ids.map(list(parts).index), kind="stable", ignore_index=True)


def parameters(table: pd.DataFrame) -> Findings:
    """What the whole pipeline takes away of each encoder's parameters, in per cent (D24); on its first data set."""
    pipeline, found = table[table["family"] == PIPELINE], {}
    for encoder, own in pipeline.groupby("encoder", sort=False):
        less = 100 * (1 - own["parameter_share"].min())
        said = f"The whole pipeline takes away {less:.1f} % of the parameters of {encoder}."
        found[encoder, own["dataset"].iloc[0]] = Finding(said, quantity=less)
    return found


def whole_pipeline(table: pd.DataFrame) -> Findings:
    """What the pipeline loses before quantization, as paper 2 counts it, in per cent of the dense score (D23)."""
    found = {}
    for (encoder, dataset, *model), left in pipeline.measured(table)["kept"].items():
        if model == [PIPELINE, TRIMMED] and left.n:
            said = f"On {dataset}, the pipeline before quantization keeps this share of the score of {encoder}: "
            said += f"{describe(left, ' %')}; drawn once: {ONCE}."
            lost = Interval(100 - left.mean, 100 - left.high, 100 - left.low, left.n)
            found[encoder, dataset] = Finding(said, quantity=lost)
    return found


def thirty_five_times_fewer(table: pd.DataFrame) -> Findings:
    """What the best model keeps that has 35 times fewer parameters; chosen on dev."""
    models, found = pipeline.measured(table), {}
    for place, dev in pipeline.on_dev(table).groupby(PLACE, sort=False):
        small = dev[dev["parameter_share"] <= 1.005 / MARK["parameters"]]
        small = small[small["family"].isin([*pipeline.ON_TEXT, TAUGHT])]
        found[place] = Finding(f"No student of {place[0]} on {place[1]} is so small.", verdict=NOT_COMPARABLE)
        if len(small):
            best = models.loc[small.groupby(MODEL)["score"].mean().idxmax()]
            once = "".join(f"; drawn once: {name}" for name in pipeline.once(best.name[2]))
            found[place] = Finding(
                f"On {place[1]}, “{best.name[-1]}” has {best['parameters (%)']:.1f} % of the parameters. It keeps this "
                f"share of the dense score: {describe(best['kept'], ' %')}{once}.",
                quantity=best["kept"],
            )
    return found


def vocabulary(curve: pd.DataFrame) -> Findings:
    """What each smaller vocabulary costs against the whole one; `curve` holds stages that differ in it alone."""
    found = {}
    for place, own in curve.groupby(PLACE, sort=False):
        whole, value = own["vocabulary"].max(), {"value": "score", "drawn_once": [ONCE]}
        smaller, all_tokens = (own[own["vocabulary"] < whole], own[own["vocabulary"] == whole])
        each = made(paired(smaller, all_tokens, by=["vocabulary"], for_all=["vocabulary"], **value))
        for size, one in each.set_index("vocabulary")["comparison"].sort_index().items():
            said = f"On {place[1]}, {place[0]} with {size:,.0f} tokens {scores(one)} that with all {whole:,.0f}: {one}."
            found[*place, size] = Finding(said, quantity=one)
    return found or {("", ""): missing("Trimmed vocabularies")}


def teacher(table: pd.DataFrame) -> pd.DataFrame:
    """The first taught student minus each of `pipelines.UNTAUGHT_KINDS` of its shape, at as many updates."""
    rows, by = of_split(table, "test"), ["kind", *PLACE]
    students = rows[rows["family"] == TAUGHT]
    kinds = rows[(rows["family"] == UNTAUGHT) & rows["stage"].isin(UNTAUGHT_KINDS)].rename(columns={"stage": "kind"})
    first = students[students["stage"].isin(students["stage"].head(1))]
    found = paired(kinds[by].drop_duplicates().merge(first), kinds, by=by, value="score")
    return found.rename(columns={"dataset": "data set"})


def shown(comparisons: Sequence[Comparison], sign: int, says: str) -> Finding:
    """In how many comparisons, of `teacher` or of `adapters`, the first is ahead (sign 1) or behind (-1)."""
    found = [one for one in comparisons if one.interval.n]
    if not found:
        return missing("These pairs of models")
    signs, unsure = [one.sign for one in found], sum(one.verdict == NOT_DECIDED for one in found)
    means, (fewest, *more) = [one.interval.mean for one in found], sorted({one.interval.n for one in found})
    seeds = f"{fewest} to {more[-1]} seeds" if more else count_of(fewest, "seed")
    spread = f"mean differences from {min(means):+.1f} to {max(means):+.1f} points, {seeds}"
    said = f"In {signs.count(sign) or 'none'} of {count_of(len(found), 'comparison')}, {says}: {spread}."
    told = f"{unsure} of them {are(unsure)} not decided." if unsure else ""
    return Finding(said, told, values={"shown": signs.count(sign)}, verdict=settled(one.verdict for one in found))


def adapter_curve(table: pd.DataFrame, with_adapters: pd.DataFrame) -> pd.DataFrame:
    """Test scores by the number of the adapters' parameters, `size`, beside `full` fine-tuning of the same stage."""
    whole, keys = of_split(table[table["family"] == PIPELINE], "test"), [*PLACE, "stage", "language", "seed"]
    both = of_split(with_adapters.rename(columns={"group": "stage"}), "test")
    width = (both["hidden"] // both["adapter"]).clip(lower=1)
    size = both["layers"] * (2 * both["hidden"] * width + width + both["hidden"])
    return both.assign(width=width, size=size).merge(whole[[*keys, "score"]].rename(columns={"score": "full"}), on=keys)


def adapters(curve: pd.DataFrame) -> pd.DataFrame:
    """The adapters of a curve against full fine-tuning, for each encoder, data set, frozen stage and size."""
    keys = [*PLACE, "stage", "adapter"]
    # All stages but the dense one are the pipeline's.
    about = {"value": "score", "drawn_once": lambda group: () if group["stage"] == DENSE else (ONCE,)}
    found = paired(curve, curve.assign(score=curve["full"]), by=keys, **about)
    seeds = curve.groupby([*keys, "seed"])[["score", "full"]].mean().groupby(keys).agg(list).map(t_interval)
    sizes = curve.groupby(keys).agg(width=("width", "first"), thousands=("size", lambda size: size.iloc[0] / 1e3))
    told = found.join(sizes, on=keys).join(seeds, on=keys)
    names = ["encoder", "data set", "frozen", "reduction", "adapter width", "adapters (thousand parameters)"]
    told = told[[*keys, "width", "thousands", "score", "full", "comparison"]]
    return told.set_axis([*names, "score", "full fine-tuning", "difference"], axis="columns")


def drops(table: pd.DataFrame, amounts: Mapping[str, float]) -> pd.DataFrame:
    """What the pipeline loses by language, in per cent of the seed's dense score (of 0: NaN), and its text (P2-F5)."""
    rows, keys = of_split(table[table["family"] == PIPELINE], "test"), [*PLACE, "language", "seed"]
    dense = rows[rows["stage"] == DENSE].set_index(keys)["score"].rename("dense")
    last = rows[rows["stage"] == list(dict.fromkeys(rows["stage"]))[-1]].join(dense, on=keys)
    lost = 100 * (1 - last["score"] / last["dense"].where(last["dense"] > 0))
    told = last.assign(lost=lost, amount=last["language"].map(amounts))
    return told[[*keys, "task", "metric", "stage", "amount", "lost"]]


def drop_and_text(found: pd.DataFrame) -> Findings:
    """What each language loses, and whether that goes with its amount of text (D25)."""
    told = {}
    for place, own in found.groupby(PLACE, sort=False):
        each = {code: t_interval(100 - mine) for code, mine in own.groupby("language", sort=False)["lost"]}
        kept = "; ".join(f"in {name_of(code)} {describe(one, ' %')}" for code, one in each.items())
        means = own.groupby("language", sort=False).agg(lost=("lost", "mean"), amount=("amount", "first"))
        one = spearman(means["amount"], means["lost"])
        rank = f"{one.rho:+.2f}{bounds(one.low, one.high)}, p = {one.p_value:.2f}, n = {one.n} languages"
        few = ": so few cannot decide" if least_p(one.n) >= LEVEL else ""
        told[place] = Finding(
            f"On {place[1]}, the whole pipeline from {place[0]} keeps this share of the dense score: {kept}; "
            f"drawn once: {ONCE}.",
            f"No rank correlation with the lines of text can be computed from {count_of(one.n, 'language')}."
            if pd.isna(one.rho)
            else f"Spearman's rank correlation of the loss with the lines of text is {rank}{few}.",
            values={"kept": each, "correlation": one},
            verdict=ANSWERED if one.p_value < LEVEL else NOT_DECIDED,
        )
    return told


def guessed(found: pd.DataFrame) -> Finding:
    """Which stage costs most of what a model knows of the text, in bits per character; without an interval."""
    steps = found.groupby(["encoder", "language"])["bits per character"].diff()
    if steps.isna().all():
        return missing("Guesses of text")
    worst = found.loc[steps.idxmax()]
    return Finding(
        f"What {worst['encoder']} knows of {worst['language']} changes most for the worse at “{worst['stage']}”: "
        f"{steps.max():+.2f} bits per character.",
        values={"worst": worst["stage"], "bits": steps.max()},
    )
