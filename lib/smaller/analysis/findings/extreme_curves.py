"""The second paper's curves (P2-F2, P2-F3, P2-F5), the guessing of text, and the controls of what a teacher adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from smaller.analysis.comparison import NOT_DECIDED, Comparison, paired
from smaller.analysis.findings.extreme import ONCE, PIPELINE, PLACE, TAUGHT, UNTAUGHT, Findings, scores, with_once
from smaller.analysis.findings.finding import ANSWERED, Finding, missing
from smaller.analysis.findings.words import count_of, name_of
from smaller.analysis.statistics import of_split, spearman, t_interval
from smaller.data.sets import EvaluationSet
from smaller.study.pipelines import DENSE, UNTAUGHT_KINDS
from smaller.study.recipes import Recipe
from smaller.study.results import read

_GUESSED = {
    "unknown_pieces": "unknown tokens (%)",
    "pseudo_perplexity": "pseudo-perplexity of a token",
    "word_perplexity": "perplexity of a word",
    "bits_per_character": "bits per character",
}


def vocabulary(curve: pd.DataFrame) -> Findings:
    """What each smaller vocabulary costs against the whole one, by encoder, data set and number of tokens.

    `curve` holds the stages that differ in the size of their vocabulary alone, on one split.
    """
    found = {}
    for place, own in curve.groupby(PLACE, sort=False):
        whole, value = own["vocabulary"].max(), {"value": "score", "drawn_once": [ONCE]}
        smaller, all_tokens = (own[own["vocabulary"] < whole], own[own["vocabulary"] == whole])
        each = paired(smaller, all_tokens, by=["vocabulary"], for_all=["vocabulary"], **value)
        for size, one in each.set_index("vocabulary")["comparison"].sort_index().items():
            said = f"On {place[1]}, {place[0]} with {size:,.0f} tokens {scores(one)} that with all {whole:,.0f}: {one}."
            found[*place, size] = Finding(said, quantity=one)
    return found or {("", ""): missing("Trimmed vocabularies")}


def teacher(table: pd.DataFrame) -> pd.DataFrame:
    """What a teacher adds: the first taught student minus each kind of model of its shape without one.

    The kinds are `pipelines.UNTAUGHT_KINDS`; all take as many updates.
    """
    rows = of_split(table, "test")
    students = rows[rows["family"] == TAUGHT]
    kinds = rows[(rows["family"] == UNTAUGHT) & rows["stage"].isin(UNTAUGHT_KINDS)].rename(columns={"stage": "kind"})
    first = students[students["stage"] == students["stage"].iloc[0]] if len(students) else students
    found = paired(kinds[["kind", *PLACE]].drop_duplicates().merge(first), kinds, by=["kind", *PLACE], value="score")
    return found.rename(columns={"dataset": "data set"})


def shown(comparisons: Sequence[Comparison], sign: int, says: str) -> Finding:
    """In how many comparisons, of `teacher` or of `adapters`, the first is ahead (sign 1) or behind (-1)."""
    number = sum(one.sign == sign for one in comparisons)
    said = f"In {number} of {count_of(len(comparisons), 'comparison')}, {says}."
    return Finding(said, values={"shown": number}) if len(comparisons) else missing("These pairs of models")


def adapter_curve(table: pd.DataFrame, with_adapters: pd.DataFrame) -> pd.DataFrame:
    """Test scores with adapters of several sizes beside `full`: full fine-tuning of that encoder, language and seed.

    The `group` of `with_adapters` is the stage that is frozen; `size` is the number of the adapters' parameters.
    """
    whole, keys = of_split(table[table["family"] == PIPELINE], "test"), [*PLACE, "stage", "language", "seed"]
    both = of_split(with_adapters.rename(columns={"group": "stage"}), "test")
    width = (both["hidden"] // both["adapter"]).clip(lower=1)
    size = both["layers"] * (2 * both["hidden"] * width + width + both["hidden"])
    return both.assign(width=width, size=size).merge(whole[[*keys, "score"]].rename(columns={"score": "full"}), on=keys)


def adapters(curve: pd.DataFrame) -> pd.DataFrame:
    """The adapters of a curve against full fine-tuning, for each encoder, data set, frozen stage and size."""
    keys = [*PLACE, "stage", "adapter"]
    found = paired(curve, curve.assign(score=curve["full"]), by=keys, value="score")
    # All stages but the dense one are the pipeline's.
    found = with_once(found.assign(family=found["stage"].map({DENSE: ""}).fillna(PIPELINE)))
    seeds = curve.groupby([*keys, "seed"])[["score", "full"]].mean().groupby(keys).agg(list).map(t_interval)
    sizes = curve.groupby(keys)[["width", "size"]].first()
    told = found.join(sizes, on=keys).join(seeds, on=keys)
    told["size"] /= 1e3
    titles = {
        "encoder": "encoder",
        "dataset": "data set",
        "stage": "frozen",
        "adapter": "reduction",
        "width": "adapter width",
        "size": "adapters (thousand parameters)",
        "score": "score",
        "full": "full fine-tuning",
        "comparison": "difference",
    }
    return told[list(titles)].rename(columns=titles)


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
        bounds = f" [{one.low:+.2f}, {one.high:+.2f}]" if pd.notna(one.low) else ""
        rank = f"{one.rho:+.2f}{bounds}, p = {one.p_value:.2f}, n = {one.n} languages"
        told[place] = Finding(
            f"On {place[1]}, the whole pipeline from {place[0]} keeps this share of the dense score: {each}.",
            f"No rank correlation with the lines of text can be computed from {count_of(one.n, 'language')}."
            if pd.isna(one.rho)
            else f"Spearman's rank correlation of the loss with the lines of text is {rank}.",
            values={"lost": means["lost"].to_dict(), "correlation": one},
            verdict=ANSWERED if one.p_value < 0.05 else NOT_DECIDED,
        )
    return told


def guessing(untuned: Mapping[tuple[str, str], Sequence[Recipe]], texts: Mapping[str, EvaluationSet]) -> pd.DataFrame:
    """How well the masked-language model of each stage guesses held-out text, from its record; a row for each.

    `untuned` are recipes by language and stage, `texts` what those of a language were scored on (see
    `smaller.study.unlabelled.pseudo_perplexity`). Tokens for each word are what trimming changes.
    """
    rows = []
    for (language, stage), recipes in untuned.items():
        for recipe in recipes:
            found = (read(recipe) or {"scores": {}})["scores"].get(texts[language].key)
            if found:
                told = [found["pieces"] / found["words"], *(found[name] for name in _GUESSED)]
                rows.append([recipe.encoder, name_of(language), stage, *told])
    return pd.DataFrame(rows, columns=["encoder", "language", "stage", "tokens per word", *_GUESSED.values()])


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
