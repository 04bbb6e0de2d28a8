"""Write the README's section "What came out so far" from the tables of the reference runs.

Run as `PYTHONPATH=lib python outputs/reference/headlines.py`, after the `recompute.py` of each run. Whatever a sentence
states follows from a value in a table.
"""

from pathlib import Path

import pandas as pd

from smaller.analysis.comparison import AGREES, DIFFERS, NOT_DECIDED, paired
from smaller.analysis.findings import baselines, claims, units
from smaller.base.words import count_of
from smaller.data.languages import name_of
from smaller.data.noise import TYPING
from smaller.study.plain import at_every_seed

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
AHEAD, BEHIND = "ahead", "behind"
LOST = "F1 minus the teacher's (points)"


def read(run: str, file: str) -> pd.DataFrame:
    """A CSV file of a reference run."""
    return pd.read_csv(HERE / run / f"{file}.csv")


def mean(row: pd.Series, of: str, *, sign: str = "", decimals: int = 1) -> str:
    """A mean with half its interval, from the columns that an `Interval` becomes in a CSV."""
    half = row[f"{of}, high"] - row[f"{of}, mean"]
    # Adding zero turns -0.0, which rounding leaves, into 0.0.
    return f"{round(row[f'{of}, mean'], decimals) + 0.0:{sign}.{decimals}f} ± {half:.{decimals}f}"


def judged(row: pd.Series, of: str) -> str:
    """A difference with its seeds and its verdict, and why nothing is decided where its interval is clear of zero."""
    low, high, verdict = (row[f"{of}, {name}"] for name in ("low", "high", "verdict"))
    if verdict == NOT_DECIDED and low * high > 0:
        number = count_of(int(row[f"{of}, comparisons"]), "comparison")
        verdict += f": p = {row[f'{of}, p (Holm)']:.2f} after correction for {number}"
    return f"{row[f'{of}, mean']:+.1f} points [{low:.1f}, {high:.1f}] ({verdict}; {seeds(row[f'{of}, n'])})"


def seeds(number: float) -> str:
    return count_of(int(number), "seed")


def listed(names: list[str]) -> str:
    """Names with "and" before the last."""
    *before, last = names
    return f"{', '.join(before)} and {last}" if before else last


def share(numbers: pd.Series, of: int) -> str:
    """How many of so many: "all 5", "none of 5"."""
    count = len(numbers)
    return f"all {of}" if count == of else f"{count or 'none'} of {of}"


def of_both() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of the dense encoder and of the model without one, in the languages of the run."""
    shown = read("mini", "tables/departures")["language"]
    dense = read("mini", "records").query("split == 'test' and order == 'dense' and encoder == 'mini-base'")
    plain = read("mini", "plain").query("split == 'test'")
    dense, plain = (rows[rows["language"].map(name_of).isin(shown)] for rows in (dense, plain))
    return dense.assign(score=dense["f1"]), plain


def beside_plain() -> pd.DataFrame:
    """F1 of the dense encoder and of the model without one by language, and whether the encoder is ahead or behind.

    Both are compared by seed in each language, and p is corrected for the number of languages.
    """
    shown, (dense, plain) = read("mini", "tables/departures").set_index("language"), of_both()
    each = paired(dense, at_every_seed(plain, dense["seed"]), by=["language"])
    each = each.assign(standing=[{1: AHEAD, -1: BEHIND}.get(one.sign, one.verdict) for one in each["comparison"]])
    found = each.merge(plain[["language", "f1", "dense_bytes"]])
    return shown.join(found.assign(language=found["language"].map(name_of)).set_index("language"), how="inner")


def encoder_megabytes() -> float:
    """The bytes of the uncompressed encoder's weights, in MB."""
    return read("quantization", "tables/P1-T5").set_index("format").loc["fp32", "in memory (MB)"]


def plain() -> str:
    """The model without an encoder beside the dense encoder."""
    found = beside_plain()
    ahead, behind = (found.index[found["standing"] == word] for word in (AHEAD, BEHIND))
    runs = seeds(found["dense F1, n"].min())
    rows = [
        "| F1 on test | " + " | ".join(found.index) + " | MB |",
        "|---|" + "---:|" * (len(found) + 1),
        "| a CRF on words, affixes and neighbours, without an encoder | "
        + " | ".join(f"{f1:.1f}" for f1 in found["f1"])
        + f" | {found['dense_bytes'].max() / 1e6:.1f}, its whole file |",
        f"| the encoder of the reference runs, uncompressed, {runs} | "
        + " | ".join(mean(row, "dense F1") for _, row in found.iterrows())
        + f" | {encoder_megabytes():.1f}, its weights |",
    ]
    caution = " Where it is not ahead, the model without one is the one to ship."
    return (
        f"**Beside a model without an encoder**, this encoder is ahead in {share(ahead, len(found))} languages and "
        f"behind in {share(behind, len(found))}.{caution if len(ahead) < len(found) else ''}\n\n" + "\n".join(rows)
    )


def formats() -> str:
    """What each quantized format keeps, takes and costs."""
    table = read("quantization", "tables/P1-T5").set_index("format").loc[list(FORMATS)]
    scores = read("quantization", "tables/P1-T3").set_index("language")
    verdicts = table["F1 against fp32, verdict"].dropna()
    quantized = verdicts.drop("fp16")
    same, other = (share(quantized[quantized == word], len(quantized)) for word in (AGREES, DIFFERS))
    cast = {AGREES: "keeps it", DIFFERS: "changes it"}.get(verdicts["fp16"], "is not decided")
    languages = [name for name in scores.index if name != "Average"]
    time = units.TIME[units.everywhere(read("quantization", "figures/P1-T2-cpu"), units.TIME)]
    rows = [
        "| format of the fine-tuned model | name | F1 | verdict | MB on disk | time |",
        "|---|---|---|---|---:|---:|",
    ]
    for name, row in table.iterrows():
        dense = name == "fp32"
        f1 = mean(scores.loc["Average"], name) if dense else mean(row, "F1 against fp32", sign="+", decimals=2)
        verdict = "" if dense else {AGREES: "the same"}.get(verdicts[name], verdicts[name])
        size = f"{row['on disk (MB)']:.1f} | {row['time (of fp32)']:.2f}"
        rows.append(f"| {FORMATS[name]} | `{name}` | {f1} | {verdict} | {size} |")
    return (
        f"**Quantization.** F1 stays the same in {same} quantized formats below and changes in {other}; the cast to "
        f"fp16 {cast}. "
        f"{listed(languages)}, {seeds(table['F1 against fp32, n'].min())}. "
        "Change of F1 in points against fp32, paired by seed, with half its 95 % t interval; “the same” means that the "
        "interval lies within half a "
        f"point. Time of one sentence on one processor thread, {time}, as a share of fp32 "
        "([quantization](outputs/reference/quantization/README.md)).\n\n" + "\n".join(rows).replace("-0.", "−0.")
    )


def pruning() -> str:
    """From which sparsity on a loss of two points is shown, in each language, by intervals that are not corrected."""
    table, told = read("mini", "tables/departures").set_index("language"), []
    for order in ("before", "after"):
        shown = table[f"{order}: shown from (%)"]
        places = [
            f"from {sparsity:.0f} % sparsity on in {listed(list(own.index))}" for sparsity, own in shown.groupby(shown)
        ]
        never = list(shown.index[shown.isna()])
        places += [f"nowhere on the grid in {listed(never)}"] if never else []
        told.append(f"Pruned {order} fine-tuning, models are shown to lose two points or more {listed(places)}.")
    return (
        f"- *Pruning.* {' '.join(told)} Each of these is shown by its own interval "
        f"({seeds(table['dense F1, n'].min())}; [mini](outputs/reference/mini/README.md))."
    )


def distillation() -> str:
    """What a student loses, and what of it is the teacher's doing."""
    # Both differences are of the models of control.csv, whose seeds are other models than those of records.csv.
    table = read("distillation", "tables/P1-T8-control").query("strategy == 'task-specific'")
    student = table.loc[table["parameters (M)"].idxmax()]
    teacher = read("distillation", "tables/teachers-answers").set_index("model")
    added = "What the answers of the teacher change was not measured"
    if "task-specific" in teacher.index:
        row = teacher.loc["task-specific"]
        added = f"F1 with the teacher's answers minus that with {row['minus']}, for as many updates, is "
        added += judged(row, "difference (points)")
    return (
        f"- *Distillation.* A student of {student['student']} (layers x heads) that learns on the task has "
        f"{student['fewer parameters (%)']:.0f} % fewer parameters. Its F1 minus its teacher's is "
        f"{judged(student, LOST)}. {added} ([distillation](outputs/reference/distillation/README.md)). {far_smaller()}"
    )


def far_smaller() -> str:
    """What the teacher is worth to a student of another size: its answers on the task and on unlabelled text."""
    row = read("extreme", "tables/teacher").set_index("kind").loc["labels alone"]
    millions = read("extreme", "control").groupby("family")["parameters"].max() / 1e6
    return (
        f"Where the student has {millions['taught on the task']:.1f} million parameters instead of "
        f"{millions['pipeline']:.1f}, and the teacher answers on unlabelled text too, F1 with the teacher minus that "
        f"with {row.name}, for as many updates, is {judged(row, 'comparison')} "
        "([extreme](outputs/reference/extreme/README.md))."
    )


def transfer() -> str:
    """Out of domain: what the sparsity that is nearest to 70 % changes, in both orders."""
    table = read("transfer", "tables/out-of-domain-changes")
    at = table["sparsity"][table["sparsity"].sub(0.7).abs().idxmin()]
    rows = table[table["sparsity"] == at].set_index("order")
    told = [
        f"When pruned {order} fine-tuning, it changes by {judged(row, 'change')}." for order, row in rows.iterrows()
    ]
    return (
        f"- *Other data.* Out of domain, F1 was measured at {100 * at:.0f} % sparsity "
        f"([transfer](outputs/reference/transfer/README.md)). {' '.join(told)}"
    )


def kinds_of_noise() -> str:
    """How many kinds of noise of typing a mean is over; a kind that a language has no use for is not in its mean."""
    rows = read("robustness", "records").query("encoder == 'mini-base'")
    rows = rows[rows["noise"].isin(TYPING)]
    each = rows.groupby("language")["noise"].nunique()
    most = listed([name_of(code) for code in each.index[each == each.max()]])
    fewest = f"{each.min()} kinds, from dropped letters to lost capitals"
    return fewest + (f" ({each.max()} in {most})" if each.nunique() > 1 else "")


def robustness() -> str:
    """What typing noise leaves of F1."""
    table = read("robustness", "tables/noise-by-model").set_index("model")
    change = "F1 kept (%), minus dense"
    verdicts = table[f"{change}, verdict"].dropna()
    differs, means = verdicts == DIFFERS, table.loc[verdicts.index, f"{change}, mean"]
    number = {
        "smaller": (differs & (means < 0)).sum(),
        "larger": (differs & (means > 0)).sum(),
        "same": (verdicts == AGREES).sum(),
        "unsure": (verdicts == NOT_DECIDED).sum(),
    }
    less, more, same, unsure = (count or "none" for count in number.values())
    open_ones = table.loc[verdicts.index[verdicts == NOT_DECIDED], f"{change}, low"]
    left = f": the intervals allow a loss of up to {max(0.0, -open_ones.min()):.0f} points" if len(open_ones) else ""
    kept = f"{less} is shown to keep a smaller share, and {more} a larger one. {same} is shown to keep the same share"
    runs = seeds(table.loc["dense", "F1 kept (%), n"])
    return (
        f"- *Robustness.* Under the strongest noise of {kinds_of_noise()}, the uncompressed model keeps "
        f"{mean(table.loc['dense'], 'F1 kept (%)')} % of its F1 ({runs}). Of {len(verdicts)} compressed models, "
        f"{kept}. The share of {unsure} is not decided with {seeds(table[f'{change}, n'].max())}{left} "
        "([robustness](outputs/reference/robustness/README.md))."
    )


def extreme() -> str:
    """The smallest model that loses little on dev, and whether it is one to ship."""
    page = "[extreme](outputs/reference/extreme/README.md)"
    if not claims.may_claim(lead := baselines.ahead(*of_both())):
        return (
            f"- *Extreme compression.* Nothing is claimed of it, since this encoder {claims.standing(lead)} a model "
            f"without one. What the pipeline makes of it, stage by stage, is in {page}."
        )
    row = read("extreme", "tables/smallest").query("`data set` == 'masakhaner'").iloc[0]
    speed = f"{row['times faster']:.0f} times as fast on one thread, {row['time']}"
    return (
        f"- *Extreme compression.* The smallest model within {row['loss up to']} of this encoder on dev "
        f"({row['family']}: “{row['model']}”) takes {row['MB']:.2f} MB of weights instead of "
        f"{encoder_megabytes():.1f}. Its F1 minus the encoder's is {judged(row, 'minus dense')}. It is "
        f"{speed} ({page})."
    )


def published() -> str:
    """A published encoder beside the model without one, and the smallest student of it that keeps most of its F1."""
    lead, drawn, table = "minus a CRF, test", "minus a CRF, over sentences", read("published", "tables/dense")
    told = [
        f"{row['e5-small, test']:.1f} beside {row['a CRF, test']:.1f} in {row['language']} "
        f"({row[f'{lead}, mean']:+.1f} points, over {row[f'{drawn}, n']} sentences "
        f"[{row[f'{drawn}, low']:.1f}, {row[f'{drawn}, high']:.1f}])"
        for _, row in table.iterrows()
    ]
    shown, up = table[f"{lead}, verdict"] == DIFFERS, table[f"{lead}, mean"] > 0
    sides = {"is ahead of": shown & up, "is behind": shown & ~up, "is not shown to differ from": ~shown}
    stands = [
        f"{word} the model without one in {listed(list(table.loc[rows, 'language']))}"
        for word, rows in sides.items()
        if rows.any()
    ]
    students = read("compress", "tables/four-bits").set_index("taught")
    lower = read("compress", "tables/beside-plain").iloc[0].rename(lambda name: name.removeprefix(f"{drawn}, "))
    whole, taught = students.loc["left whole, fp32", "test"], students.loc["teacher and labels"].query("MB <= 1")
    best = taught[taught["epochs"] == taught["epochs"].max()].nlargest(1, "dev").iloc[0]
    crf = read("mini", "plain").query("split == 'test' and language == 'swa'").iloc[0]
    return (
        "**A published encoder**, multilingual-e5-small with its weights rounded to 4 bits beforehand, "
        f"{listed(stands)}, by one training in each: F1 on test is {listed(told)}. Another seed would be another "
        "model, and passes and rate were looked for in Swahili ([published](outputs/reference/published/README.md)). "
        f"At a lower rate, which is better on dev, it has {whole:.1f} in Swahili ({lower['mean']:+.1f} points, "
        f"[{lower['low']:.1f}, {lower['high']:.1f}]). A student of that with weights of 4 bits takes "
        f"{best['MB']:.2f} MB and has {best['test']:.1f} by one training; the CRF takes {crf['dense_bytes'] / 1e6:.2f} "
        f"MB and has {crf['f1']:.1f} ([compress](outputs/reference/compress/README.md))."
    )


def unclaimed() -> str:
    """What stands above the sentences on techniques, as long as the encoder that they are of is not ahead."""
    if claims.may_claim(lead := baselines.ahead(*of_both())):
        return ""
    return (
        f"**Nothing is claimed of compression** on this task, since the encoder of the reference runs "
        f"{claims.standing(lead)} a model without one. What follows was measured on it, and says how techniques change "
        "it.\n\n"
    )


def section() -> str:
    """The whole section, without its markers."""
    bullets = "\n".join([pruning(), distillation(), transfer(), robustness(), extreme()])
    return f"{plain()}\n\n{published()}\n\n{unclaimed()}{formats()}\n\n{bullets}"


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(START)
    README.write_text(f"{before}{START}\n{section()}\n{END}{rest.split(END)[1]}", encoding="utf-8")
