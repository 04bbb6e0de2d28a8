"""The data sheet: what a data set holds in each language, how a tokenizer cuts it, and what noise does to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import pandas as pd

from smaller.data import splits
from smaller.data.examples import Example, Sentence
from smaller.data.features import cut_by
from smaller.data.languages import language as language_of
from smaller.data.noise import affected, struck
from smaller.data.schemes import spans_of
from smaller.data.sets import EvaluationSet


def sheet(dataset: str, languages: Sequence[str], tokenizer) -> pd.DataFrame:
    """One row for each language: sizes of the splits, entities or labels, fertility, unknown rate, overlap, oddities.

    `tokens per word` is the mean number of tokens of a training word (fertility), `unknown tokens (%)` the share that
    the tokenizer does not know, `test in train` the number of test sentences that stand word for word in train,
    `unseen names (%)` the share of the test entities whose words occur as no entity of train, `commonest label (%)` the
    share of the label that is commonest in train.
    """
    return pd.DataFrame([_row(dataset, language, tokenizer) for language in languages])


def _row(dataset: str, language: str, tokenizer) -> dict:
    parts = {split: splits.sentences(dataset, language, split) for split in ("train", "dev", "test")}
    words = [word for sentence in parts["train"] for word in sentence.words]
    cut = cut_by(tokenizer, words)
    seen = {sentence.words for sentence in parts["train"]}
    return {
        "language": language_of(language).name,
        "code": language,
        **{f"{split} sentences": len(rows) for split, rows in parts.items()},
        "train words": len(words),
        **(_names if splits.task(dataset).spans else _labels)(parts["train"], parts["test"]),
        "tokens per word": cut["pieces_per_word"],
        "unknown tokens (%)": cut["unknown_pieces"],
        "test in train": sum(sentence.words in seen for sentence in parts["test"]),
        "oddities": _oddities(dataset, language),
    }


def _names(train: Sequence[Sentence], test: Sequence[Sentence]) -> dict:
    train_names, test_names = names(train), names(test)
    known = set(train_names)
    return {
        "train entities": len(train_names),
        "test entities": len(test_names),
        "unseen names (%)": 100 * sum(name not in known for name in test_names) / max(len(test_names), 1),
    }


def _labels(train: Sequence[Example], test: Sequence[Example]) -> dict:
    counts = Counter(label for each in train for label in each.labels)
    return {"labels": len(counts), "commonest label (%)": 100 * max(counts.values()) / counts.total()}


def names(sentences: Sequence[Sentence]) -> list[tuple[str, ...]]:
    """The words of every entity, in order; an I- tag that continues nothing opens one."""
    return [sentence.words[first : last + 1] for sentence in sentences for _, first, last in spans_of(sentence.tags)]


def _oddities(dataset: str, language: str) -> str:
    """What the reader had to survive in the files, in words; empty for clean files."""
    if dataset == "sample":
        return ""
    reports = [splits.report(dataset, language, split) for split in ("train", "dev", "test")]
    total = reports[0] + reports[1] + reports[2]
    counts = {
        "orphan I- tags": total.orphan_tags,
        "empty words": total.empty_words,
        "words without letters": total.odd_words,
        "decomposed words": total.decomposed_words,
        "quoted texts": total.quoted_texts,
        "repeated texts": total.repeated_texts,
        "byte-order mark": int(total.bom),
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def noise_sheet(sets: Iterable[EvaluationSet]) -> pd.DataFrame:
    """What each kind of noise does at each rate: the share of sentences that it changes, and the first change."""
    columns, rows = ["noise", "rate", "strikes", "languages", "sentences struck (%)", "example"], []
    for place in (place for place in sets if place.noise):
        clean, noisy = EvaluationSet(place.dataset, place.language, place.split).sentences(), place.sentences()
        told = (affected(place.noise), place.language, 100 * struck(clean, noisy), _example(clean, noisy))
        rows.append((place.noise, place.rate, *told))
    sheet, told = pd.DataFrame(rows, columns=columns), dict(zip(columns[3:], ("nunique", "mean", "first"), strict=True))
    codes = sheet["languages"].unique()
    sheet = sheet.groupby(columns[:3], sort=False, as_index=False).agg(told)
    sheet.attrs["languages"] = {"example": codes[0]} if len(codes) == 1 else {}
    return sheet


def _example(clean: Sequence[Sentence], noisy: Sequence[Sentence]) -> str:
    """The first words that noise changes, before and after."""
    for pair in zip(clean, noisy, strict=True):
        for place, (old, new) in enumerate(zip(*(sentence.words for sentence in pair), strict=False)):
            if old != new:
                return " → ".join(" ".join(sentence.words[place : place + 2]) for sentence in pair)
    return "–"
