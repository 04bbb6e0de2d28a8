"""Answers on the second paper's further curves: adapters (P2-F3), drop and text (P2-F5), and guessing held-out text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from smaller.data.sets import EvaluationSet
from smaller.findings.cells import give_or_take, in_points
from smaller.findings.extreme import PIPELINE
from smaller.findings.words import count_of, name_of
from smaller.recipes import DENSE, Recipe
from smaller.results import read
from smaller.statistics import of_split, paired_difference, spearman, t_interval

ENOUGH = 4
"""The languages from which on a rank correlation has an interval at all."""


def adapter_curve(
    table: pd.DataFrame, with_adapters: Mapping[str, pd.DataFrame], *, split: str = "test"
) -> pd.DataFrame:
    """Scores with adapters of several sizes, averaged over languages, beside full fine-tuning of the same encoder.

    `with_adapters` are tables by the stage that is frozen. One row for each encoder, data set, stage, seed and factor:
    `size` is the adapters' parameters, `score` and `full` the two scores (`full` of the same seed).
    """
    whole = of_split(table, split)
    whole = whole[whole["family"] == PIPELINE]
    keys = ["encoder", "dataset", "language", "seed"]
    found = []
    for stage, rows in with_adapters.items():
        full = whole[whole["stage"] == stage][[*keys, "score"]].rename(columns={"score": "full"})
        both = rows[rows["split"] == split].merge(full, on=keys)
        width = (both["hidden"] // both["adapter"]).clip(lower=1)
        size = both["layers"] * (2 * both["hidden"] * width + width + both["hidden"])
        found.append(both.assign(stage=stage, size=size, width=width))
    if not found:
        return pd.DataFrame()
    means = ["encoder", "dataset", "stage", "adapter", "width", "size", "seed", "task", "metric"]
    return pd.concat(found).groupby(means, sort=False, as_index=False)[["score", "full"]].mean()


def adapters_in_words(curve: pd.DataFrame) -> str:
    """What the best and the smallest adapters lose against full fine-tuning, for each encoder, data set and stage."""
    if curve.empty:
        return "Adapters were not measured."
    sentences = []
    for (encoder, dataset, stage), own in curve.groupby(["encoder", "dataset", "stage"], sort=False):
        changes = {factor: paired_difference(rows["score"], rows["full"]) for factor, rows in own.groupby("adapter")}
        best, smallest = max(changes, key=lambda factor: changes[factor].mean), max(changes)
        sizes = own.groupby("adapter")["size"].first()
        told = (f"{encoder} on {dataset}, {stage}: against full fine-tuning the best adapters (a width of 1/{best}, "
                f"{sizes[best] / 1e3:,.1f} thousand parameters) are at {in_points(changes[best])}")  # fmt: skip
        if smallest != best:
            told += f"; the smallest (1/{smallest}, {sizes[smallest] / 1e3:,.1f} thousand) at "
            told += in_points(changes[smallest])
        sentences.append(f"{told}.")
    return " ".join(sentences)


def adapters_in_short(curve: pd.DataFrame) -> str:
    """Between which changes against full fine-tuning the adapters of a curve lie, in few words."""
    keys = ["dataset", "stage", "adapter"]
    changes = (curve["score"] - curve["full"]).groupby([curve[key] for key in keys]).mean()
    return f"Adapters stand {changes.min():+.1f} to {changes.max():+.1f} points beside full fine-tuning."


def where_losses_end(curves: Mapping[str, pd.DataFrame], *, panel: str) -> str:
    """At which loss the curves of a panel end, in few words; the curves are those of `distillation.curves`."""
    frame = curves.get(panel)
    if frame is None or frame.empty:
        return ""
    parts = [f"“{name}” ends at {own.sort_values('update')['loss'].iloc[-1]:.2f}"
             for name, own in frame.groupby("series", sort=False)]  # fmt: skip
    return f"{panel}: {', '.join(parts)}."


def drops_in_short(found: pd.DataFrame) -> str:
    """Between what the languages lose, in few words."""
    means = found.groupby(["dataset", "language"], sort=False)["lost"].mean()
    (_, least), (_, most) = means.idxmin(), means.idxmax()
    if len(means) == 1:
        return f"{name_of(least)} loses {means.min():.1f} %."
    return f"Lost are {means.min():.1f} % ({name_of(least)}) to {means.max():.1f} % ({name_of(most)})."


def drops(table: pd.DataFrame, amounts: Mapping[str, float], *, split: str = "test") -> pd.DataFrame:
    """What the whole pipeline loses by language, beside the language's amount of text (P2-F5).

    One row for each encoder, data set, language and seed: `lost`, in per cent of the dense score of the same seed, and
    `amount`. A dense score of 0 leaves nothing to lose: 0 %.
    """
    rows = of_split(table, split)
    rows = rows[rows["family"] == PIPELINE]
    keys = ["encoder", "dataset", "language", "seed"]
    last = list(dict.fromkeys(rows["stage"]))[-1]
    ends, dense = (rows[rows["stage"] == stage].set_index(keys) for stage in (last, DENSE))
    both = ends.join(dense["score"].rename("dense")).reset_index()
    lost = np.where(both["dense"] > 0, 100 * (1 - both["score"] / both["dense"].where(both["dense"] > 0)), 0.0)
    return both.assign(lost=lost, amount=both["language"].map(amounts))[
        [*keys, "task", "metric", "stage", "amount", "lost"]
    ]


def drop_in_words(found: pd.DataFrame) -> str:
    """How the drop goes with the amount of text; with few languages, that it cannot be told."""
    sentences = []
    for (encoder, dataset), own in found.groupby(["encoder", "dataset"], sort=False):
        means = own.groupby("language", sort=False).agg(lost=("lost", "mean"), amount=("amount", "first"))
        each = ", ".join(f"{name_of(code)} {row.lost:.1f} %" for code, row in means.iterrows())
        correlation = spearman(means["amount"], means["lost"])
        if correlation.n < ENOUGH or math.isnan(correlation.rho):
            told = (f"n = {count_of(len(means), 'language')}: whether more text means less loss cannot be told from "
                    f"fewer than {ENOUGH}; the paper's own answer rests on three (D25)")  # fmt: skip
        else:
            known = math.isfinite(correlation.low)
            bounds = f" [{correlation.low:+.2f}, {correlation.high:+.2f}]" if known else ""
            told = (f"Spearman's rank correlation with the lines of text is {correlation.rho:+.2f}{bounds}, "
                    f"p = {correlation.p_value:.2f}, n = {correlation.n} languages")  # fmt: skip
        sentences.append(f"The whole pipeline from {encoder} loses on {dataset}: {each} of the dense score; {told}.")
    return " ".join(sentences) or "There is no score to lose."


def guessing(untuned: Mapping[str, Mapping[str, Sequence[Recipe]]], texts: Mapping[str, EvaluationSet]) -> pd.DataFrame:
    """How well the masked-language model of each stage guesses held-out text, from its record; a row for each.

    `untuned` are recipes by language and stage, `texts` what those of a language were scored on. Columns as
    `smaller.unlabelled.pseudo_perplexity` names them.
    """
    rows = []
    for language, stages in untuned.items():
        for stage, recipes in stages.items():
            for recipe in recipes:
                scores = ((read(recipe) or {"scores": {}})["scores"]).get(texts[language].key)
                if scores:
                    about = {"encoder": recipe.encoder, "language": language, "stage": stage}
                    rows.append(about | {name: scores[name] for name in _GUESSED})
    return pd.DataFrame(rows, columns=["encoder", "language", "stage", *_GUESSED])


_GUESSED = ("pseudo_perplexity", "word_perplexity", "bits_per_character", "unknown_pieces", "pieces", "words")


def guessing_table(found: pd.DataFrame) -> pd.DataFrame:
    """`guessing` as it stands in a table; pieces for each word beside it, since they are what trimming changes."""
    return pd.DataFrame({
        "encoder": found["encoder"], "language": found["language"].map(name_of), "stage": found["stage"],
        "pieces per word": found["pieces"] / found["words"], "unknown pieces (%)": found["unknown_pieces"],
        "pseudo-perplexity of a piece": found["pseudo_perplexity"], "perplexity of a word": found["word_perplexity"],
        "bits per character": found["bits_per_character"],
    })  # fmt: skip


def guessing_in_words(found: pd.DataFrame) -> str:
    """Which stage costs most of what the model knows of the text, in bits for a character."""
    sentences = []
    for (encoder, language), own in found.groupby(["encoder", "language"], sort=False):
        bits = own.set_index("stage")["bits_per_character"]
        if len(bits) < 2:
            continue
        steps = bits.diff().iloc[1:]
        sentences.append(
            f"{encoder}, {name_of(language)}: from {bits.iloc[0]:.2f} bits for a character before the first stage to "
            f"{bits.iloc[-1]:.2f} after the last; “{steps.idxmax()}” costs most ({steps.max():+.2f})"
            + (f", “{steps.idxmin()}” gains ({steps.min():+.2f})." if steps.min() < 0 else ".")
        )
    return " ".join(sentences) or "No text was guessed."


def adapters_table(curve: pd.DataFrame) -> pd.DataFrame:
    """`adapter_curve` as it stands in a table: mean over seeds ± half the t interval, and the change against full."""
    keys = ["encoder", "dataset", "stage", "adapter", "width", "size"]
    return pd.DataFrame([
        {
            "encoder": encoder, "data set": dataset, "frozen": stage, "reduction": factor, "adapter width": width,
            "adapters (thousand parameters)": size / 1e3, "score": give_or_take(t_interval(own["score"]), 1),
            "full fine-tuning": give_or_take(t_interval(own["full"]), 1),
            "change": give_or_take(paired_difference(own["score"], own["full"]), 1, sign="+"),
            "n": int(np.isfinite(own["score"]).sum()),
        }
        for (encoder, dataset, stage, factor, width, size), own in curve.groupby(keys, sort=False)
    ])  # fmt: skip
