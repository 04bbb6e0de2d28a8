"""A search for the few typing errors that hurt a tagger most, with nothing known of it but its probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from seqeval.metrics.sequence_labeling import get_entities
from torch import Tensor

from smaller.data.examples import Sentence
from smaller.data.noise import EDITS
from smaller.encoders import Model
from smaller.study.evaluation import span_scores
from smaller.study.unlabelled import probabilities, tags_of

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
    model: Model, sentences: Sequence[Sentence], *, rate: float, seed: int, types: Sequence[str] | None = None
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
    chances = probabilities(model, sentences)
    rows = [
        _Attacked(
            place,
            sentence,
            *_judged(model, sentence, chance, types),
            np.random.default_rng([seed, place]),
            max(1, round(rate * _letters(sentence))),
        )
        for place, (sentence, chance) in enumerate(zip(sentences, chances, strict=True))
    ]
    gold = [sentence.tags for sentence in sentences]
    before = span_scores(gold, [row.tags for row in rows])["f1"]
    right = [row for row in rows if row.right]
    strays = _random_success(model, right, types, seed=seed)
    for step in range(max((row.budget for row in right), default=0)):
        active = [row for row in right if row.right and step < row.budget]
        if not active:
            break
        _step(model, active, types)
    broken = [row.edits for row in right if not row.right]
    scores = span_scores(gold, [row.tags for row in rows]) | {
        "f1_before": before,
        "right_before": len(right),
        "sentences": len(sentences),
    }
    if right:
        scores |= {"attack_success": 100 * len(broken) / len(right), "random_success": strays}
    if broken:
        scores["attack_edits"] = float(np.mean(broken))
    return scores


def _letters(sentence: Sentence) -> int:
    return sum(letter.isalpha() for word in sentence.words for letter in word)


def _step(model: Model, active: Sequence[_Attacked], types: Sequence[str] | None) -> None:
    """One edit of each sentence: the best of the candidates, if it is better than none."""
    tried = [[edited(row.sentence, row.generator) for _ in range(CANDIDATES)] for row in active]
    chances = iter(probabilities(model, [sentence for those in tried for sentence in those]))
    for row, those in zip(active, tried, strict=True):
        judged = [_judged(model, sentence, next(chances), types) for sentence in those]
        best = min(range(len(those)), key=lambda place: judged[place][1])
        if judged[best][1] < row.margin:
            row.sentence, (row.tags, row.margin) = those[best], judged[best]
            row.edits += 1


def _random_success(model: Model, right: Sequence[_Attacked], types: Sequence[str] | None, *, seed: int) -> float:
    """The share of the sentences that as many edits as the budget allows, all drawn at random, make wrong."""
    struck = []
    for row in right:
        generator, sentence = np.random.default_rng([seed, row.place, 1]), row.sentence
        for _ in range(row.budget):
            sentence = edited(sentence, generator)
        struck.append(sentence)
    wrong = 0
    for sentence, chances in zip(struck, probabilities(model, struck) if struck else (), strict=True):
        tags, _ = _judged(model, sentence, chances, types)
        wrong += get_entities(tags) != get_entities(list(sentence.tags))
    return 100 * wrong / max(len(right), 1)


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
    tags = tags_of(model, chances)
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
