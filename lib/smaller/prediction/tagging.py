"""What a model in memory says of running text: see `serving.answers`."""

from __future__ import annotations

from collections.abc import Sequence

from smaller.data.examples import Example
from smaller.encoders import Model
from smaller.prediction.labels import read
from smaller.serving import answers
from smaller.serving.answers import Classified, Reading, Tagged


class ModelReader:
    """A model as a reader of examples."""

    def __init__(self, model: Model) -> None:
        self.model, self.labels, self.unit = model, model.labels, model.unit

    def read(self, examples: Sequence[Example]) -> list[Reading]:
        """A reading of each example."""
        found = read(self.model, examples)
        chances = found.split(found.probabilities.numpy())
        counts = (found.encoded.parts, found.encoded.cut, found.encoded.unknown)
        return [Reading(*each) for each in zip(chances, *counts, strict=True)]


def tag(model: Model, sentences: Sequence[str], *, at_once: int = 2048) -> list[Tagged]:
    """The entities of each sentence; an empty one has none. So many are read `at_once`, which bounds the memory.

    Raises SmallerError for a model without a classifier of words.
    """
    return answers.tag(ModelReader(model), sentences, at_once=at_once)


def classify(model: Model, texts: Sequence[str], *, at_once: int = 2048) -> list[Classified]:
    """The label of each text, as `tag` does it. Raises SmallerError for a model without a classifier of texts."""
    return answers.classify(ModelReader(model), texts, at_once=at_once)
