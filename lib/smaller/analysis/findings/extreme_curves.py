"""The second paper's curves (P2-F2, P2-F3, P2-F5), the guessing of text, and the controls of what a teacher adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from smaller.analysis.comparison import NOT_DECIDED, Comparison, paired
from smaller.analysis.findings.extreme import ONCE, PIPELINE, PLACE, Findings, scores, with_once
from smaller.analysis.findings.finding import ANSWERED, Finding, missing
from smaller.analysis.findings.words import count_of, name_of
from smaller.analysis.statistics import of_split, spearman, t_interval
from smaller.data.sets import EvaluationSet
from smaller.study.recipes import DENSE, Recipe
from smaller.study.results import read

KINDS = ("labels alone", "no teacher", "random weights")
"""Models without a teacher: the same student trained on the labels alone, the encoder cut to the same shape and
fine-tuned, and a model of the same shape with random weights at first."""


def vocabulary(curve: pd.DataFrame) -> list[Finding]:
    """What each smaller vocabulary costs against the whole one: a finding for each encoder, data set and size.

    `curve` holds the stages that differ in the size of their vocabulary alone, on one split.
    """
    found = []
    for (encoder, dataset), own in curve.groupby(PLACE, sort=False):
        whole = own["vocabulary"].max()
        each = paired(
            own[own["vocabulary"] < whole],
            own[own["vocabulary"] == whole],
            by=["vocabulary"],
            value="score",
            one_for_all=True,
            drawn_once=[ONCE],
        )
        found += [
            Finding(
                f"On {dataset}, {encoder} with {size:,.0f} tokens {scores(one)} that with all {whole:,.0f}: {one}.",
                quantity=one,
            )
            for size, one in each.set_index("vocabulary")["comparison"].sort_index().items()
        ]
    return found or [missing("Trimmed vocabularies")]


def teacher(table: pd.DataFrame, pairs: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """What a teacher adds: each taught student minus each model of its shape without one, at as many updates.

    `pairs` names, for the stage of a student, the stages of the models without a teacher by their kind (`KINDS`).
    """
    rows = of_split(table, "test")
    names = pd.DataFrame(
        [(student, *pair) for student, kinds in pairs.items() for pair in kinds.items()],
        columns=["student", "kind", "other"],
        dtype=str,
    )
    taught, without = (names.merge(rows, left_on=name, right_on="stage") for name in ("student", "other"))
    found = paired(taught, without, by=["student", "kind", *PLACE], value="score")
    return found.rename(columns={"dataset": "data set"})


def shown(comparisons: Sequence[Comparison], sign: int, says: str) -> Finding:
    """In how many comparisons, of `teacher` or of `adapters`, the first is ahead (sign 1) or behind (-1)."""
    number = sum(one.sign == sign for one in comparisons)
    said = f"In {number} of {count_of(len(comparisons), 'comparison')}, {says}."
    return Finding(said, values={"shown": number}) if len(comparisons) else missing("These pairs of models")


def adapter_curve(table: pd.DataFrame, with_adapters: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Test scores with adapters of several sizes beside `full`: full fine-tuning of that encoder, language and seed.

    `with_adapters` are tables by the stage that is frozen; `size` is the number of the adapters' parameters.
    """
    whole, keys = of_split(table[table["family"] == PIPELINE], "test"), [*PLACE, "stage", "language", "seed"]
    both = of_split(pd.concat([rows.assign(stage=stage) for stage, rows in with_adapters.items()]), "test")
    width = (both["hidden"] // both["adapter"]).clip(lower=1)
    size = both["layers"] * (2 * both["hidden"] * width + width + both["hidden"])
    return both.assign(width=width, size=size).merge(whole[[*keys, "score"]].rename(columns={"score": "full"}), on=keys)


def adapters(curve: pd.DataFrame) -> pd.DataFrame:
    """The adapters of a curve against full fine-tuning, for each encoder, data set, frozen stage and size."""
    keys = [*PLACE, "stage", "adapter"]
    found = paired(curve, curve.assign(score=curve["full"]), by=keys, value="score")
    found = with_once(found, found["stage"] != DENSE).drop(columns="verdict").set_index(keys)
    seeds = curve.groupby([*keys, "seed"])[["score", "full"]].mean().groupby(keys).agg(list).map(t_interval)
    width, size = (curve.groupby(keys)[name].first() for name in ("width", "size"))
    found = pd.concat([width, size / 1e3, seeds, found], axis="columns").loc[found.index]
    return found.reset_index().set_axis(
        [
            "encoder",
            "data set",
            "frozen",
            "reduction",
            "adapter width",
            "adapters (thousand parameters)",
            "score",
            "full fine-tuning",
            "difference",
        ],
        axis="columns",
    )


def drops(table: pd.DataFrame, amounts: Mapping[str, float]) -> pd.DataFrame:
    """What the whole pipeline loses on test by language, beside the language's `amount` of text (P2-F5).

    One row for each encoder, data set, language and seed: `lost`, in per cent of the dense score of the same seed. A
    dense score of 0 leaves nothing to lose: 0 %.
    """
    rows, keys = of_split(table[table["family"] == PIPELINE], "test"), [*PLACE, "language", "seed"]
    dense = rows[rows["stage"] == DENSE].set_index(keys)["score"].rename("dense")
    last = rows[rows["stage"] == list(dict.fromkeys(rows["stage"]))[-1]].join(dense, on=keys)
    lost = (100 * (1 - last["score"] / last["dense"].where(last["dense"] > 0))).fillna(0.0)
    told = last.assign(lost=lost, amount=last["language"].map(amounts))
    return told[[*keys, "task", "metric", "stage", "amount", "lost"]]


def drop_and_text(found: pd.DataFrame) -> Findings:
    """What each language loses, and whether that goes with its amount of text (D25)."""
    told = {}
    for place, own in found.groupby(PLACE, sort=False):
        means = own.groupby("language", sort=False).agg(lost=("lost", "mean"), amount=("amount", "first"))
        each = " and ".join(f"{100 - row.lost:.1f} % in {name_of(code)}" for code, row in means.iterrows())
        one = spearman(means["amount"], means["lost"])
        bounds = f" [{one.low:+.2f}, {one.high:+.2f}]" if np.isfinite(one.low) else ""
        told[place] = Finding(
            f"On {place[1]}, the whole pipeline from {place[0]} keeps this share of the dense score: {each}.",
            f"The losses in {one.n} languages have no rank correlation with the lines of text."
            if np.isnan(one.rho)
            else f"Spearman's rank correlation of the loss with the lines of text is {one.rho:+.2f}{bounds}, "
            f"p = {one.p_value:.2f}, n = {one.n} languages.",
            values={"lost": means["lost"].to_dict(), "correlation": one},
            verdict=ANSWERED if one.p_value < 0.05 else NOT_DECIDED,
        )
    return told


def guessing(untuned: Mapping[str, Mapping[str, Sequence[Recipe]]], texts: Mapping[str, EvaluationSet]) -> pd.DataFrame:
    """How well the masked-language model of each stage guesses held-out text, from its record; a row for each.

    `untuned` are recipes by language and stage, `texts` what those of a language were scored on (see
    `smaller.study.unlabelled.pseudo_perplexity`). Tokens for each word are what trimming changes.
    """
    titles = {
        "unknown_pieces": "unknown tokens (%)",
        "pseudo_perplexity": "pseudo-perplexity of a token",
        "word_perplexity": "perplexity of a word",
        "bits_per_character": "bits per character",
    }
    rows = []
    for language, stage, recipe in [
        (language, stage, recipe)
        for language, stages in untuned.items()
        for stage, recipes in stages.items()
        for recipe in recipes
    ]:
        if found := (read(recipe) or {"scores": {}})["scores"].get(texts[language].key):
            rows.append(
                [
                    recipe.encoder,
                    name_of(language),
                    stage,
                    found["pieces"] / found["words"],
                    *(found[name] for name in titles),
                ]
            )
    return pd.DataFrame(rows, columns=["encoder", "language", "stage", "tokens per word", *titles.values()])


def guessed(found: pd.DataFrame) -> Finding:
    """Which stage costs most of what a model knows of the text, in bits per character; without an interval."""
    steps = found.groupby(["encoder", "language"])["bits per character"].diff()
    if steps.isna().all():
        return missing("Guesses of text")
    worst = found.loc[steps.idxmax()]
    return Finding(
        f"What {worst['encoder']} knows of {worst['language']} changes most for the worse at "
        f"“{worst['stage']}”: {steps.max():+.2f} bits per character.",
        values={"worst": worst["stage"], "bits": steps.max()},
    )
