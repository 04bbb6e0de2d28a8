"""What a classifier says of running text: entities or tags, with character offsets, or one label for a whole text."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from seqeval.metrics.sequence_labeling import get_entities

from smaller.base.errors import SmallerError
from smaller.data.examples import Sentence, Text
from smaller.data.schemes import as_bio
from smaller.data.text import composed, composed_with_places
from smaller.encoders import Model
from smaller.prediction.labels import labels_of, read, scheme

_APOSTROPHES = "'’‘ʼ´`"


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


def words_of(text: str) -> list[tuple[int, int]]:
    """Start and end of each word: runs of anything but white space, with punctuation and symbols split off.

    Each punctuation mark or symbol is a word of its own, also inside numbers and between letters, as in MasakhaNER
    (`12 - 3 . 5`); the Ethiopic ones (። ፣ ፡) are among them. Apostrophes stay within their word (n'ala, by’inshuti).
    """
    spans: list[tuple[int, int]] = []
    start = None
    for place, character in enumerate(text):
        alone = unicodedata.category(character)[0] in "PS" and character not in _APOSTROPHES
        if start is not None and (alone or character.isspace()):
            spans.append((start, place))
            start = None
        if alone:
            spans.append((place, place + 1))
        elif start is None and not character.isspace():
            start = place
    return spans if start is None else [*spans, (start, len(text))]


def as_sentence(text: str) -> Sentence:
    """The words of a text as a sentence without entities."""
    words = tuple(text[start:end] for start, end in words_of(text))
    return Sentence(words, ("O",) * len(words))


def tag(model: Model, sentences: Sequence[str], *, at_once: int = 2048) -> list[Tagged]:
    """The entities of each sentence; an empty one has none. So many are read `at_once`, which bounds the memory.

    Raises SmallerError for a model without a classifier of words.
    """
    _require(model, "word", "it labels whole texts: use classify")
    return _in_parts(_tag, model, sentences, at_once)


def classify(model: Model, texts: Sequence[str], *, at_once: int = 2048) -> list[Classified]:
    """The label of each text, as `tag` does it. Raises SmallerError for a model without a classifier of texts."""
    _require(model, "text", "it labels words: use tag")
    return _in_parts(_classify, model, texts, at_once)


def _require(model: Model, unit: str, otherwise: str) -> None:
    if not model.labels:
        raise SmallerError("This model has no classifier, so it tags nothing: fine-tune it first.")
    if model.unit != unit:
        raise SmallerError(f"This model does not label {unit}s; {otherwise}.")


def _in_parts(answer: Callable, model: Model, texts: Sequence[str], size: int) -> list:
    return [found for start in range(0, len(texts), size) for found in answer(model, texts[start : start + size])]


def _tag(model: Model, sentences: Sequence[str]) -> list[Tagged]:
    # Training data are composed when they are read: decomposed letters are tokens that no model has learned.
    given = [composed_with_places(text) for text in sentences]
    spans = [words_of(text) for text, _ in given]
    found = [Tagged(text, (), 0) for text in sentences]
    kept = [index for index, words in enumerate(spans) if words]
    if not kept:
        return found
    words = [tuple(given[index][0][start:end] for start, end in spans[index]) for index in kept]
    reading = read(model, [Sentence(own, ("O",) * len(own)) for own in words])
    tags = reading.split(labels_of(model, reading.probabilities))
    # Of a word without any token nothing is known: it is O, for sure.
    scores = reading.split(reading.probabilities.max(-1).values.nan_to_num(1.0).tolist())
    kind = scheme(model)
    for place, index in enumerate(kept):
        text, places = sentences[index], given[index][1]
        ends = [(places[start][0], places[end - 1][1]) for start, end in spans[index]]
        entities = _entities(text, ends, _found(tags[place], kind), scores[place])
        unknown, count = reading.encoded.unknown[place], len(ends)
        found[index] = Tagged(text, tuple(entities), count, unknown / count, reading.encoded.parts[place])
    return found


def _classify(model: Model, texts: Sequence[str]) -> list[Classified]:
    given = [Text(composed(text), "") for text in texts]
    found = [Classified(text, "", 0.0, {}) for text in texts]
    kept = [index for index, text in enumerate(given) if text.words]
    if not kept:
        return found
    reading = read(model, [given[index] for index in kept])
    for place, index in enumerate(kept):
        scores = dict(zip(model.labels, reading.probabilities[place].tolist(), strict=True))
        label = max(scores, key=scores.get)
        unknown = reading.encoded.unknown[place] / len(given[index].words)
        found[index] = Classified(texts[index], label, scores[label], scores, unknown, reading.encoded.cut[place] > 0)
    return found


def _found(tags: Sequence[str], kind: str) -> list[tuple[str, int, int]]:
    """Type, first and last word of each entity in a scheme; without spans, each word that has a tag."""
    if kind == "none":
        return [(tag, place, place) for place, tag in enumerate(tags) if tag != "O"]
    return get_entities(list(as_bio(tags, kind)))


def _entities(
    text: str, spans: Sequence[tuple[int, int]], found: Sequence[tuple[str, int, int]], scores: Sequence[float]
) -> Iterator[Entity]:
    for kind, first, last in found:
        start, end = spans[first][0], spans[last][1]
        yield Entity(text[start:end], kind, start, end, sum(scores[first : last + 1]) / (last - first + 1))
