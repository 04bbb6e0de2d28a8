"""What tests ask of a model and of a recipe's steps that the library itself puts together where it needs it."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedConfig

from smaller.data.encoding import Encoded
from smaller.data.examples import Example
from smaller.encoders import Model
from smaller.prediction.labels import labels_of, read_encoded
from smaller.study.recipes import parameters_of, shapes
from smaller.study.steps import Step


def predict(model: Model, encoded: Encoded, examples: Sequence[Example]) -> tuple[list[list[str]], float]:
    """A label for every word, or for a text, and the mean cross-entropy over what has a label."""
    reading = read_encoded(model, encoded, examples)
    return reading.split(labels_of(model, reading.probabilities)), reading.loss


def sizes(config: PreTrainedConfig, steps: Sequence[Step]) -> list[dict[str, int]]:
    """The shape at first and after each step, with the parameters of a masked-language model of it."""
    return [shape | {"parameters": parameters_of(config, shape)} for shape in shapes(config, steps)]
