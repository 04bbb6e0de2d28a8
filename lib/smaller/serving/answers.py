"""What a classifier says of running text: entities or tags, with character offsets, or one label for a whole text."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from smaller.base.errors import SmallerError
from smaller.data.examples import Example, Sentence, Text
from smaller.data.schemes import WrongTag, as_bio, labels_of_words, scheme_of, spans_of
from smaller.data.text import composed, composed_with_places, is_composed, words_of


@dataclass(frozen=True)
class Reading:
    """What a model says of an example: `probabilities` of shape (words, labels), NaN for a word that was not read.

    A text is as one word. `parts` in which it was read; words past its end are `cut`; `unknown` words have a token
    that is not in the vocabulary.
    """

    probabilities: np.ndarray
    parts: int
    cut: int
    unknown: int


class Reader(Protocol):
    """What reads examples: a model in whatever runs it. `unit` is what has a label, "word" or "text"."""

    labels: tuple[str, ...]
    unit: str

    def read(self, examples: Sequence[Example]) -> Sequence[Reading]:
        """A reading of each example."""


@dataclass(frozen=True)
class Entity:
    """An entity: its text and type, where it starts and ends in the sentence (characters), and its probability.

    Text and places are those of the sentence as it was given. For a model that tags words without spans, such as parts
    of speech, every word is one. The probability is the mean, over the entity's words, of what the model gives their
    tags.
    """

    text: str
    type: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Tagged:
    """A sentence with its entities in order, its number of words, and what may have gone wrong.

    `unknown` is the share of words with a token that is not in the vocabulary, `windows` the number of parts in which
    the sentence was read because it is longer than the model's positions: 1 for a sentence that is not.
    """

    text: str
    entities: tuple[Entity, ...]
    words: int
    unknown: float = 0.0
    windows: int = 1

    def plain(self) -> dict:
        """Plain values, for JSON."""
        return vars(self) | {"entities": [vars(entity) for entity in self.entities]}


@dataclass(frozen=True)
class Classified:
    """A text with its label and the probability of each; an empty text has no label.

    `unknown` is the share of its words with a token that is not in the vocabulary; `truncated` says that only its
    beginning was read, because it is longer than the model's positions.
    """

    text: str
    label: str
    score: float
    scores: dict[str, float]
    unknown: float = 0.0
    truncated: bool = False

    def plain(self) -> dict:
        """Plain values, for JSON."""
        return dict(vars(self))


def own_labels(labels: Sequence[str], unit: str) -> tuple[str, ...]:
    """The labels that a word, or a text, may have: of a tagger without those of special tokens."""
    return labels_of_words(labels) if unit == "word" else tuple(labels)


def scheme(labels: Sequence[str]) -> str:
    """The scheme of a tagger's labels: see `data.schemes.scheme_of`. Raises SmallerError if they do not go together."""
    try:
        return scheme_of(labels_of_words(labels))
    except WrongTag as problem:
        raise SmallerError(f"The model's labels do not go together: {problem}") from None


def likeliest(probabilities: np.ndarray, labels: Sequence[str], unit: str) -> list[str]:
    """The likeliest label of each word, from probabilities of shape (words, labels); O where there are none."""
    unread = np.isnan(probabilities).any(-1)
    return _names(tuple(labels), unit)[np.where(unread, len(labels), probabilities.argmax(-1))].tolist()


@functools.cache
def _names(labels: tuple[str, ...], unit: str) -> np.ndarray:
    own = own_labels(labels, unit)
    return np.array([label if label in own else "O" for label in (*labels, "O")], dtype=object)


def tag(reader: Reader, sentences: Sequence[str], *, at_once: int = 2048) -> list[Tagged]:
    """The entities of each sentence; an empty one has none. So many are read `at_once`, which bounds the memory.

    Raises SmallerError for a model without a classifier of words.
    """
    _require(reader, "word", "it labels whole texts: use classify")
    return _in_parts(_tag, reader, sentences, at_once)


def classify(reader: Reader, texts: Sequence[str], *, at_once: int = 2048) -> list[Classified]:
    """The label of each text, as `tag` does it. Raises SmallerError for a model without a classifier of texts."""
    _require(reader, "text", "it labels words: use tag")
    return _in_parts(_classify, reader, texts, at_once)


def tags(reader: Reader, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
    """The model's label of each word of each sentence."""
    _require(reader, "word", "it labels whole texts: use another format")
    readings = reader.read([_sentence([composed(word) for word in words]) for words in sentences])
    return [likeliest(reading.probabilities, reader.labels, "word") for reading in readings]


def _require(reader: Reader, unit: str, otherwise: str) -> None:
    if not reader.labels:
        raise SmallerError("This model has no classifier, so it tags nothing: fine-tune it first.")
    if reader.unit != unit:
        raise SmallerError(f"This model does not label {unit}s; {otherwise}.")


def _in_parts(answer: Callable, reader: Reader, texts: Sequence[str], size: int) -> list:
    return [found for start in range(0, len(texts), size) for found in answer(reader, texts[start : start + size])]


def _sentence(words: Sequence[str]) -> Sentence:
    return Sentence(tuple(words), ("O",) * len(words))


def _tag(reader: Reader, sentences: Sequence[str]) -> list[Tagged]:
    # Training data are composed when they are read: decomposed letters are tokens that no model has learned.
    given = [(text, None) if is_composed(text) else composed_with_places(text) for text in sentences]
    spans = [words_of(text) for text, _ in given]
    found = [Tagged(text, (), 0) for text in sentences]
    kept = [index for index, words in enumerate(spans) if words]
    if not kept:
        return found
    examples = [_sentence([given[index][0][start:end] for start, end in spans[index]]) for index in kept]
    kind = scheme(reader.labels)
    for index, reading in zip(kept, reader.read(examples), strict=True):
        text, places = sentences[index], given[index][1]
        ends = [(places[start][0], places[end - 1][1]) for start, end in spans[index]] if places else spans[index]
        told = _found(likeliest(reading.probabilities, reader.labels, "word"), kind)
        # Of a word without any token nothing is known: it is O, for sure.
        scores = np.nan_to_num(reading.probabilities.max(-1), nan=1.0).tolist()
        count = len(ends)
        entities = tuple(_entities(text, ends, told, scores))
        found[index] = Tagged(text, entities, count, reading.unknown / count, reading.parts)
    return found


def _classify(reader: Reader, texts: Sequence[str]) -> list[Classified]:
    given = [Text(composed(text), "") for text in texts]
    found = [Classified(text, "", 0.0, {}) for text in texts]
    kept = [index for index, text in enumerate(given) if text.words]
    if not kept:
        return found
    for index, reading in zip(kept, reader.read([given[index] for index in kept]), strict=True):
        scores = dict(zip(reader.labels, reading.probabilities[0].tolist(), strict=True))
        label = max(scores, key=scores.get)
        unknown = reading.unknown / len(given[index].words)
        found[index] = Classified(texts[index], label, scores[label], scores, unknown, reading.cut > 0)
    return found


def _found(tags: Sequence[str], kind: str) -> list[tuple[str, int, int]]:
    """Type, first and last word of each entity in a scheme; without spans, each word that has a tag."""
    if kind == "none":
        return [(tag, place, place) for place, tag in enumerate(tags) if tag != "O"]
    return spans_of(as_bio(tags, kind))


def _entities(
    text: str, spans: Sequence[tuple[int, int]], found: Sequence[tuple[str, int, int]], scores: Sequence[float]
) -> Iterator[Entity]:
    for kind, first, last in found:
        start, end = spans[first][0], spans[last][1]
        yield Entity(text[start:end], kind, start, end, sum(scores[first : last + 1]) / (last - first + 1))
