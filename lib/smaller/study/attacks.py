"""A search for the few typing errors that hurt a tagger most, with nothing known of it but its probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from seqeval.metrics.sequence_labeling import get_entities
from torch import Tensor

from smaller.data.examples import Sentence
from smaller.data.noise import EDITS
from smaller.encoders import Model
from smaller.prediction.labels import labels_of
from smaller.study.evaluation import span_scores
from smaller.study.unlabelled import probabilities

CANDIDATES = 4
"""Edits that are tried for each one that is made. With 24, one edit broke every sentence of a real tagger, dense or
pruned, and then nothing sets models apart."""


@dataclass
class _Attacked:
    """A sentence under attack: as it stands, how it is tagged, and how far it is from a wrong tag."""

    place: int
    sentence: Sentence
    tags: list[str]
    margin: float
    generator: np.random.Generator
    budget: int
    edits: int = 0

    @property
    def right(self) -> bool:
        return get_entities(self.tags) == get_entities(list(self.sentence.tags))


def attack(
    model: Model,
    sentences: Sequence[Sentence],
    *,
    rate: float,
    seed: int,
    types: Sequence[str] | None = None,
    ask: Callable[[Model, Sequence[Sentence]], list[Tensor]] = probabilities,
) -> dict:
    """Scores under greedy character edits within a budget: `rate` of the letters of a sentence, at least one.

    A black-box search in the manner of DeepWordBug (Gao et al. 2018) without its ranking of words, which would cost
    more questions than it saves here: `CANDIDATES` typing errors of `data.noise.EDITS` are drawn at random, the one
    that brings the sentence nearest to a wrong tag is made, and so on until an entity is wrong or the budget is spent.
    Words keep their number, so their labels stay right. What is wrong without an attack is left alone.

    F1 is that under attack, `f1_before` that without. `attack_success` is the share of rightly tagged sentences that
    become wrong, `random_success` that under as many random edits as the budget allows, both in per cent, and missing
    where nothing was tagged rightly; `attack_edits` is the mean number of edits that it took, `right_before` counts
    the sentences in question. `types` are the entity types that the sentences label, as in `evaluation.score`.
    """

    def judged(asked: Sequence[Sentence]) -> list[tuple[list[str], float]]:
        chances = ask(model, asked) if asked else []
        return [_judged(model, *pair, types) for pair in zip(asked, chances, strict=True)]

    rows = []
    for place, (sentence, told) in enumerate(zip(sentences, judged(sentences), strict=True)):
        letters = sum(letter.isalpha() for word in sentence.words for letter in word)
        generator = np.random.default_rng([seed, place])
        rows.append(_Attacked(place, sentence, *told, generator, budget=max(1, round(rate * letters))))
    gold = [sentence.tags for sentence in sentences]
    before = span_scores(gold, [row.tags for row in rows])["f1"]
    right = [row for row in rows if row.right]
    strays = _random_edits(right, seed=seed)
    strayed = [
        get_entities(tags) != get_entities(list(sentence.tags))
        for sentence, (tags, _) in zip(strays, judged(strays), strict=True)
    ]
    for step in range(max((row.budget for row in right), default=0)):
        active = [row for row in right if row.right and step < row.budget]
        if not active:
            break
        _step(active, judged)
    broken = [row.edits for row in right if not row.right]
    scores = span_scores(gold, [row.tags for row in rows]) | {
        "f1_before": before,
        "right_before": len(right),
        "sentences": len(sentences),
    }
    if right:
        scores["attack_success"] = 100 * len(broken) / len(right)
        scores["random_success"] = 100 * sum(strayed) / len(right)
    if broken:
        scores["attack_edits"] = float(np.mean(broken))
    return scores


def _step(active: Sequence[_Attacked], judged: Callable) -> None:
    """One edit of each sentence: the best of the candidates, if it is better than none."""
    tried = [[edited(row.sentence, row.generator) for _ in range(CANDIDATES)] for row in active]
    told = judged([sentence for those in tried for sentence in those])
    for place, (row, those) in enumerate(zip(active, tried, strict=True)):
        own = told[place * CANDIDATES : (place + 1) * CANDIDATES]
        best = min(range(CANDIDATES), key=lambda candidate, own=own: own[candidate][1])
        if own[best][1] < row.margin:
            row.sentence, (row.tags, row.margin) = those[best], own[best]
            row.edits += 1


def _random_edits(rows: Sequence[_Attacked], *, seed: int) -> list[Sentence]:
    """The sentences after as many edits as the budget allows, all drawn at random."""
    struck = []
    for row in rows:
        generator, sentence = np.random.default_rng([seed, row.place, 1]), row.sentence
        for _ in range(row.budget):
            sentence = edited(sentence, generator)
        struck.append(sentence)
    return struck


def edited(sentence: Sentence, generator: np.random.Generator) -> Sentence:
    """The sentence with one typing error, at a letter drawn at random; as it is where none of the tries changes it."""
    places = [
        (word, letter)
        for word, text in enumerate(sentence.words)
        for letter in range(len(text))
        if text[letter].isalpha()
    ]
    for _ in range(10 if places else 0):
        word, letter = places[int(generator.integers(len(places)))]
        change = list(EDITS.values())[int(generator.integers(len(EDITS)))]
        text = sentence.words[word]
        new = text[:letter] + change(text[letter], generator) + text[letter + 1 :]
        if new and new != text:
            return Sentence((*sentence.words[:word], new, *sentence.words[word + 1 :]), sentence.tags)
    return sentence


def _judged(model: Model, sentence: Sentence, chances: Tensor, types: Sequence[str] | None) -> tuple[list[str], float]:
    """The predicted tags, and the least by which the right label of a word leads the next one; below zero: wrong."""
    tags = labels_of(model, chances)
    if types is not None:
        tags = [tag if tag[2:] in types else "O" for tag in tags]
    known = (~chances.isnan().any(-1)).tolist()
    places = [(word, model.labels.index(tag)) for word, tag in enumerate(sentence.tags) if known[word]]
    if not places:
        return tags, 0.0
    words, labels = map(list, zip(*places, strict=True))
    own = chances[words]
    right = own[range(len(words)), labels]
    own[range(len(words)), labels] = -1.0
    return tags, float((right - own.max(-1).values).min())
