"""What may be tried: the shapes that a student of an encoder can have, and the recipes that lead to them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from smaller.data import splits
from smaller.study.recipes import Recipe, imitation
from smaller.study.steps import Distil, FineTune, Quantize, TrimVocabulary

COVERAGES = (1.0, 0.999, 0.995, 0.99, 0.98, 0.95)
"""Shares of the text that a student's tokens cover, if they are its teacher's; with 1.0 all tokens stay."""

LEARNED = (8000, 4000, 2500, 1500)
"""How many tokens a student has whose vocabulary is learned from the text."""

NEURONS = (4, 2, 1)
"""Feed-forward neurons of a layer for each dimension of its hidden states."""

DRAWN = {"layers": 6, "heads": 12, "hidden": 384, "feed_forward": 1536}
"""The largest student that begins with random weights: half of multilingual-e5-small's layers."""

LEAST_WIDTH = 32
HEAD_WIDTH = 4
"""The least dimensions of a head: a narrower student has fewer heads."""


@dataclass(frozen=True)
class Shape:
    """A size that a model may be brought to: layers, hidden size, feed-forward neurons, and the tokens.

    These are those of the teacher that cover a share of the text, or so many `learned` ones.
    """

    layers: int
    hidden: int
    feed_forward: int
    coverage: float
    learned: int = 0

    def within(self, other: Shape) -> bool:
        """Whether the other is at least as large in every part, and larger in one; learned tokens beside learned."""
        mine, others = (dataclasses.astuple(shape) for shape in (self, other))
        alike = bool(self.learned) == bool(other.learned)
        return alike and self != other and all(own <= its for own, its in zip(mine, others, strict=True))

    @property
    def work(self) -> float:
        """Multiplications for a token in the layers: time grows with them."""
        return self.layers * (4 * self.hidden**2 + 2 * self.hidden * self.feed_forward)

    def __str__(self) -> str:
        tokens = [] if self.coverage == 1 else [f"tokens of {100 * self.coverage:g} % of the text"]
        tokens = [f"{self.learned:,} learned tokens"] if self.learned else tokens
        layers = f"{self.layers} layer{'s' * (self.layers > 1)}"
        return ", ".join([layers, f"{self.hidden} wide", f"{self.feed_forward} neurons", *tokens])


def widths(of: Mapping[str, int]) -> list[int]:
    """The hidden sizes that a student may have, the largest first: multiples of the encoder's heads, down to 32."""
    unit = of["heads"] * math.ceil(8 / of["heads"])
    least = min(LEAST_WIDTH, max(unit, of["hidden"] // 4))
    found = {of["hidden"], *range(unit, of["hidden"], unit), least}
    return sorted((width for width in found if width >= least), reverse=True)


def heads(hidden: int, of: Mapping[str, int]) -> int:
    """As many heads as the encoder has, or the largest part of them that leaves each at least `HEAD_WIDTH` wide."""
    fit = (part for part in range(of["heads"], 0, -1) if of["heads"] % part == 0 and hidden % part == 0)
    return next((part for part in fit if hidden >= HEAD_WIDTH * part), 1)


def depths(of: Mapping[str, int]) -> list[int]:
    """Numbers of layers that a student may have, the largest first: all of them, shares, and down to one."""
    shares = {max(1, round(of["layers"] * share)) for share in (1, 3 / 4, 1 / 2, 1 / 3, 1 / 4)}
    return sorted(shares | {1, min(2, of["layers"])}, reverse=True)


def learning_rate(hidden: int, *, rate: float = 5e-5, width: int = 768) -> float:
    """A `rate` that is right for some width, by default the published one, at another width.

    Narrower encoders learn better at more, up to 1e-3 (chosen on dev).
    """
    return round(min(max(1e-3, rate), rate * (width / hidden) ** 2), 6)


@dataclass(frozen=True)
class Plan:
    """How candidates are made of shapes: where they start, how they are fine-tuned, which text tells the tokens.

    `tuned` says that `start` gives a tagger already. `text` is the corpus that vocabularies are trimmed on; where it is
    unlabelled, `lines` of it teach students beside the task's sentences. `narrower` says that the hidden states may
    become so, `trimmed` that tokens may go. Students learn for so many `passes` unless a budget
    says otherwise, at the rate of fine-tuning, and narrower ones at more. With
    `drawn` they begin with random weights and take no shape from their teacher, whose architecture no step knows; then
    `of` is the largest shape that they may have.
    """

    start: Recipe
    tuning: FineTune
    tuned: bool
    of: Mapping[str, int]
    form: str
    text: str
    lines: int
    passes: int
    narrower: bool = True
    trimmed: bool = True
    drawn: bool = False

    @property
    def whole(self) -> Shape:
        """The shape of the model that is left whole."""
        return Shape(self.of["layers"], self.of["hidden"], self.of["feed_forward"], 1.0)

    def shapes(self) -> list[Shape]:
        """The shapes that may be reached, the widest of a kind first."""
        tokens = [(coverage, 0) for coverage in (COVERAGES if self.trimmed else COVERAGES[:1])]
        tokens += [(1.0, number) for number in LEARNED if self.narrower]
        wide = widths(self.of) if self.narrower else [self.of["hidden"]]
        most = self.of["feed_forward"]
        neurons = {width: dict.fromkeys(min(most, share * width) for share in NEURONS) for width in wide}
        neurons[self.of["hidden"]] = dict.fromkeys([most, *neurons[self.of["hidden"]]])
        return [
            Shape(layers, width, count, *own)
            for layers in depths(self.of)
            for own in tokens
            for width in wide
            for count in neurons[width]
        ]

    def keeps(self, shape: Shape) -> bool:
        """Whether a shape loses tokens at most, so that nothing has to be taught."""
        return not self.drawn and replace(shape, coverage=1.0) == self.whole

    @property
    def dense(self) -> Recipe:
        """The model that is left whole: what arrived, or the encoder fine-tuned."""
        return self.start if self.tuned else self.start.then(self.tuning)

    def student(self, shape: Shape, *, epochs: int) -> Distil:
        """The step that teaches a student of a shape: on the task, and on unlabelled text where there is some."""
        known = {} if self.drawn else {"rate": self.tuning.learning_rate, "width": self.of["hidden"]}
        fields: dict[str, Any] = {"epochs": epochs, "learning_rate": learning_rate(shape.hidden, **known)}
        if shape.learned:
            fields |= {"tokens": shape.learned, "tokens_by": "learning"}
        elif shape.coverage < 1 or self.drawn:
            fields["coverage"] = shape.coverage
        if self.drawn:
            fields |= {"start": "random", "heads": heads(shape.hidden, self.of)}
            fields |= {"hidden_size": shape.hidden, "feed_forward": shape.feed_forward}
            return self._on_text(fields, shape)
        if shape.feed_forward < self.of["feed_forward"]:
            fields["feed_forward"] = shape.feed_forward
        if shape.hidden < self.of["hidden"]:
            fields |= {"hidden_size": shape.hidden, "width_by": "projection"}
        if heads(shape.hidden, self.of) < self.of["heads"]:
            fields["heads"] = heads(shape.hidden, self.of)
        return self._on_text(fields, shape)

    def _on_text(self, fields: dict[str, Any], shape: Shape) -> Distil:
        if self.form == "onnx-int4":
            fields["bits"] = 4
        if splits.is_text(self.text):
            fields |= {"transfer_corpus": self.text, "transfer_lines": self.lines}
        return imitation(self.tuning, shape.layers, **fields)

    def trim(self, coverage: float) -> TrimVocabulary:
        """The step that trims the vocabulary of the model that is left whole otherwise."""
        languages = tuple(self.tuning.language.split("+"))
        return TrimVocabulary(coverage=coverage, corpus=self.text, languages=languages)

    def recipe(self, shape: Shape, *, epochs: int) -> Recipe:
        """The whole recipe of a candidate: its student is taught for so many epochs."""
        data = {"dataset": self.tuning.dataset, "language": self.tuning.language}
        quantize = Quantize(self.form, **data if self.form == "openvino-int8" else {})
        if not self.keeps(shape):
            return self.dense.then(self.student(shape, epochs=epochs), quantize)
        return self.dense.then(*([self.trim(shape.coverage)] if shape.coverage < 1 else []), quantize)
