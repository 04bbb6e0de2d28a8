"""The second paper's curves: vocabularies (P2-F2), adapters (P2-F3), drop and text (P2-F5), and guessing text.

With them stand the controls that tell what a teacher adds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from smaller.comparison import NOT_DECIDED, paired
from smaller.data.sets import EvaluationSet
from smaller.findings.extreme import ONCE, PIPELINE, PLACE, Findings, scores, with_once
from smaller.findings.finding import ANSWERED, Finding, missing
from smaller.findings.words import count_of, name_of
from smaller.recipes import DENSE, Recipe
from smaller.results import read
from smaller.statistics import of_split, spearman, t_interval

ENOUGH = 4
"""The languages from which on a rank correlation has an interval at all."""

KINDS = {
    "labels alone": "the same student trained on the labels alone",
    "no teacher": "the encoder cut to the same shape and fine-tuned",
    "random weights": "a model of the same shape with random weights at first",
}
"""How a model is trained without a teacher, and what that is."""


def vocabulary(curve: pd.DataFrame) -> list[Finding]:
    """What each smaller vocabulary costs against the whole one: a finding for each encoder and data set.

    `curve` holds the stages that differ in the size of their vocabulary alone, on one split.
    """
    found = []
    for (encoder, dataset), own in curve.groupby(PLACE, sort=False):
        *sizes, whole = sorted(set(own["vocabulary"]))
        if sizes:
            each = paired(own[own["vocabulary"] < whole], own[own["vocabulary"] == whole], by=["vocabulary"],
                          value="score", one_for_all=True, drawn_once=[ONCE])  # fmt: skip
            each = each.set_index("vocabulary")["comparison"]
            told = "; ".join(f"{size:,.0f} tokens, {each[size]} ({each[size].verdict})" for size in sizes[1:])
            found.append(Finding(
                f"On {dataset}, {encoder} with {sizes[0]:,.0f} tokens {scores(each[sizes[0]])} that with all "
                f"{whole:,.0f}: {each[sizes[0]]}.", f"Other sizes: {told}." if told else "", quantity=each[sizes[0]],
            ))  # fmt: skip
    return found or [missing("Trimmed vocabularies")]


def teacher(table: pd.DataFrame, pairs: Mapping[str, Mapping[str, str]], *, split: str = "test") -> pd.DataFrame:
    """What a teacher adds: each taught student minus each model of its shape without one, at as many updates.

    `pairs` names, for the stage of a student, the stages of the models without a teacher by their kind (`KINDS`).
    """
    rows, keys = of_split(table, split), ["student", "kind", *PLACE]
    named = [(student, kind, other) for student, kinds in pairs.items() for kind, other in kinds.items()]
    taught, without = (
        pd.concat([rows.head(0).assign(student="", kind=""), *(rows[rows["stage"] == names[place]].assign(
            student=names[0], kind=names[1]) for names in named)]) for place in (0, 2)
    )  # fmt: skip
    return paired(taught, without, by=keys, value="score").rename(columns={"dataset": "data set"})


def teaching(found: pd.DataFrame) -> list[Finding]:
    """`teacher` in sentences: a finding for each comparison."""
    return [
        Finding(f"On {row['data set']}, “{row['student']}” {scores(row['comparison'])} {KINDS[row['kind']]}: "
                f"{row['comparison']}.", quantity=row["comparison"]) for row in found.to_dict("records")
    ] or [missing("Students without a teacher")]  # fmt: skip


def adapter_curve(
    table: pd.DataFrame, with_adapters: Mapping[str, pd.DataFrame], *, split: str = "test"
) -> pd.DataFrame:
    """Scores with adapters of several sizes beside `full`, full fine-tuning of the same encoder, language and seed.

    `with_adapters` are tables by the stage that is frozen; `size` is the number of the adapters' parameters.
    """
    whole, keys = of_split(table[table["family"] == PIPELINE], split), [*PLACE, "stage", "language", "seed"]
    both = of_split(pd.concat([rows.assign(stage=stage) for stage, rows in with_adapters.items()]), split)
    width = (both["hidden"] // both["adapter"]).clip(lower=1)
    size = both["layers"] * (2 * both["hidden"] * width + width + both["hidden"])
    full = whole[[*keys, "score"]].rename(columns={"score": "full"})
    return both.assign(width=width, size=size).merge(full, on=keys)


def adapters(curve: pd.DataFrame) -> pd.DataFrame:
    """The adapters of a curve against full fine-tuning, for each encoder, data set, frozen stage and size."""
    keys = [*PLACE, "stage", "adapter"]
    found = paired(curve, curve.assign(score=curve["full"]), by=keys, value="score")
    found = with_once(found, found["stage"] != DENSE)
    groups, seeds = curve.groupby(keys), curve.groupby([*keys, "seed"])[["score", "full"]].mean().groupby(keys)
    found = found.join(groups[["width", "size"]].first(), on=keys)
    for name in ("score", "full"):
        found = found.join(seeds[name].agg(list).map(t_interval).rename(name), on=keys)
    told = found[[*keys, "width", "size", "score", "full", "comparison"]]
    return told.assign(size=told["size"] / 1e3).set_axis([
        "encoder", "data set", "frozen", "reduction", "adapter width", "adapters (thousand parameters)", "score",
        "full fine-tuning", "difference",
    ], axis="columns")  # fmt: skip


def adapters_lose(found: pd.DataFrame) -> Finding:
    """In how many comparisons of `adapters` less is reached than by full fine-tuning."""
    worse = sum(one.sign == -1 for one in found["difference"])
    return Finding(f"In {worse} of {count_of(len(found), 'comparison')}, adapters score significantly less than full "
                   "fine-tuning.", values={"worse": worse})  # fmt: skip


def drops(table: pd.DataFrame, amounts: Mapping[str, float], *, split: str = "test") -> pd.DataFrame:
    """What the whole pipeline loses by language, beside the language's `amount` of text (P2-F5).

    One row for each encoder, data set, language and seed: `lost`, in per cent of the dense score of the same seed. A
    dense score of 0 leaves nothing to lose: 0 %.
    """
    rows, keys = of_split(table[table["family"] == PIPELINE], split), [*PLACE, "language", "seed"]
    last = list(dict.fromkeys(rows["stage"]))[-1]
    ends, dense = (rows[rows["stage"] == stage].set_index(keys) for stage in (last, DENSE))
    both = ends.join(dense["score"].rename("dense")).reset_index()
    lost = np.where(both["dense"] > 0, 100 * (1 - both["score"] / both["dense"].where(both["dense"] > 0)), 0.0)
    told = both.assign(lost=lost, amount=both["language"].map(amounts))
    return told[[*keys, "task", "metric", "stage", "amount", "lost"]]


def drop_and_text(found: pd.DataFrame) -> Findings:
    """What each language loses, and whether that goes with its amount of text (D25)."""
    told = {}
    for (encoder, dataset), own in found.groupby(PLACE, sort=False):
        means = own.groupby("language", sort=False).agg(lost=("lost", "mean"), amount=("amount", "first"))
        each = " and ".join(f"{100 - row.lost:.1f} % in {name_of(code)}" for code, row in means.iterrows())
        correlation = spearman(means["amount"], means["lost"])
        enough = correlation.n >= ENOUGH and not np.isnan(correlation.rho)
        bounds = f" [{correlation.low:+.2f}, {correlation.high:+.2f}]" if np.isfinite(correlation.low) else ""
        text = (f"Spearman's rank correlation of the loss with the lines of text is {correlation.rho:+.2f}{bounds}, "
                f"p = {correlation.p_value:.2f}, n = {correlation.n} languages." if enough else
                f"A correlation with the amount of text needs {ENOUGH} languages; here are {len(means)}.")  # fmt: skip
        told[encoder, dataset] = Finding(
            f"On {dataset}, the whole pipeline from {encoder} keeps this share of the dense score: {each}.", text,
            values={"lost": means["lost"].to_dict(), "correlation": correlation},
            verdict=ANSWERED if enough and correlation.p_value < 0.05 else NOT_DECIDED,
        )  # fmt: skip
    return told


def guessing(untuned: Mapping[str, Mapping[str, Sequence[Recipe]]], texts: Mapping[str, EvaluationSet]) -> pd.DataFrame:
    """How well the masked-language model of each stage guesses held-out text, from its record; a row for each.

    `untuned` are recipes by language and stage, `texts` what those of a language were scored on (see
    `smaller.unlabelled.pseudo_perplexity`). Tokens for each word are what trimming changes.
    """
    rows = []
    for language, stages in untuned.items():
        for stage, recipe in ((stage, recipe) for stage, recipes in stages.items() for recipe in recipes):
            if found := ((read(recipe) or {"scores": {}})["scores"]).get(texts[language].key):
                rows.append([recipe.encoder, name_of(language), stage, found["pieces"] / found["words"],
                             *(found[name] for name in ("unknown_pieces", "pseudo_perplexity", "word_perplexity",
                                                        "bits_per_character"))])  # fmt: skip
    return pd.DataFrame(rows, columns=["encoder", "language", "stage", "tokens per word", "unknown tokens (%)",
                                       "pseudo-perplexity of a token", "perplexity of a word",
                                       "bits per character"])  # fmt: skip


def guessed(found: pd.DataFrame) -> list[Finding]:
    """Which stage costs most of what the model knows of the text, in bits per character; without an interval."""
    told = []
    for (encoder, language), own in found.groupby(["encoder", "language"], sort=False):
        bits = own.set_index("stage")["bits per character"]
        if len(bits) > 1:
            steps = bits.diff().iloc[1:]
            told.append(Finding(
                f"In {language}, {encoder} needs {bits.iloc[0]:.2f} bits per character before the first stage and "
                f"{bits.iloc[-1]:.2f} after the last.",
                f"The largest change for the worse is at “{steps.idxmax()}” ({steps.max():+.2f}).",
                values={"steps": steps.to_dict()},
            ))  # fmt: skip
    return told or [missing("Guesses of text")]
