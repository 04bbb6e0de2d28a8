"""What may be tried: shapes that an encoder can be brought to, and the ways to get there."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from smaller.data import splits
from smaller.study.recipes import Recipe, imitation
from smaller.study.steps import Cut, Distil, FineTune, PruneFeedForward, Quantize, Step, TrimVocabulary, TruncateHidden

COVERAGES = (1.0, 0.999, 0.99)
"""Shares of the text that a trimmed vocabulary covers; with 1.0 all tokens stay."""

WIDTHS = (0.5, 0.25)
"""Shares of the hidden size of those shapes that are narrower; only students of a teacher are."""


@dataclass(frozen=True)
class Shape:
    """A size that a model may be brought to.

    Layers, feed-forward neurons, share of the text that its tokens cover, and hidden size; None for the encoder's.
    """

    layers: int
    feed_forward: int
    coverage: float
    hidden: int | None = None

    def within(self, other: Shape) -> bool:
        """Whether the other is at least as large in every part, and larger in one."""
        mine, others = (
            (shape.layers, shape.feed_forward, shape.coverage, math.inf if shape.hidden is None else shape.hidden)
            for shape in (self, other)
        )
        return self != other and all(own <= its for own, its in zip(mine, others, strict=True))

    def __str__(self) -> str:
        wide = [] if self.hidden is None else [f"{self.hidden} wide"]
        tokens = [] if self.coverage == 1 else [f"tokens of {100 * self.coverage:g} % of the text"]
        parts = [f"{self.layers} layer{'s' * (self.layers > 1)}", *wide, f"{self.feed_forward} neurons", *tokens]
        return ", ".join(parts)


def shapes(of: Mapping[str, int], *, narrower: bool = True, trimmed: bool = True) -> list[Shape]:
    """The shapes to look at, the largest first; `of` is the encoder's (see `encoders.shape`).

    `narrower` ones, of half the layers and no more than half the neurons, come last. In `trimmed` ones tokens go.
    """
    coverages = COVERAGES if trimmed else COVERAGES[:1]
    layers = sorted({max(1, round(of["layers"] * share)) for share in (1, 0.75, 0.5, 0.375, 0.25, 0.125)}, reverse=True)
    neurons = sorted({max(1, round(of["feed_forward"] * share)) for share in (1, 0.5, 0.25)}, reverse=True)
    found = [Shape(*sizes) for sizes in itertools.product(layers, neurons, coverages)]
    heads = of["heads"]
    widths = sorted({max(1, round(of["hidden"] * share / heads)) * heads for share in WIDTHS}, reverse=True)
    few = [max(1, round(of["layers"] / 2))]
    found += [
        Shape(*sizes, width)
        for width in widths
        if narrower and width < of["hidden"]
        for sizes in itertools.product(few, neurons[1:], coverages)
    ]
    return found


@dataclass(frozen=True)
class Plan:
    """How candidates are made of shapes: where they start, how they are fine-tuned, which text tells the tokens.

    `tuned` says that `start` gives a tagger already. `text` is the corpus that vocabularies are trimmed on; where it is
    unlabelled, `lines` of it teach students beside the task's sentences. `narrower` says that the hidden states may
    become so, `trimmed` that tokens may go.
    """

    start: Recipe
    tuning: FineTune
    tuned: bool
    of: Mapping[str, int]
    form: str
    text: str
    lines: int
    narrower: bool = True
    trimmed: bool = True

    @property
    def whole(self) -> Shape:
        """The shape of the model that is left whole."""
        return Shape(self.of["layers"], self.of["feed_forward"], 1.0)

    def shapes(self) -> list[Shape]:
        """The shapes that may be reached."""
        return shapes(self.of, narrower=self.narrower, trimmed=self.trimmed)

    @property
    def dense(self) -> Recipe:
        """The model that is left whole: what arrived, or the encoder fine-tuned."""
        return self.start if self.tuned else self.start.then(self.tuning)

    def candidates(self, shape: Shape) -> Iterator[Candidate]:
        """The ways to a shape. Without a teacher hidden states do not become narrower: too much is lost."""
        if (shape.layers, shape.feed_forward, shape.hidden) == (self.of["layers"], self.of["feed_forward"], None):
            yield Candidate(self, shape, "kept whole")
            return
        yield Candidate(self, shape, "distilled")
        if shape.hidden is None:
            yield Candidate(self, shape, "cut")

    def smaller(self, shape: Shape) -> tuple[Step, ...]:
        """The steps that drop layers, neurons and dimensions; no training."""
        steps: list[Step] = []
        if shape.layers < self.of["layers"]:
            steps.append(Cut(shape.layers))
        if shape.feed_forward < self.of["feed_forward"]:
            steps.append(PruneFeedForward(shape.feed_forward, importance="magnitude"))
        if shape.hidden is not None:
            steps.append(TruncateHidden(shape.hidden))
        return tuple(steps)

    def student(self, shape: Shape, tuning: FineTune) -> Distil:
        """The step that teaches a student of a shape: on the task, and on unlabelled text where there is some."""
        fields: dict[str, Any] = {}
        if shape.feed_forward < self.of["feed_forward"]:
            fields["feed_forward"] = shape.feed_forward
        if shape.hidden is not None:
            fields |= {"hidden_size": shape.hidden, "width_by": "projection"}
        if splits.is_text(self.text):
            fields |= {"transfer_corpus": self.text, "transfer_lines": self.lines}
        return imitation(tuning, shape.layers, **fields)

    def closing(self, shape: Shape) -> tuple[Step, ...]:
        """The steps at the end: the vocabulary is trimmed, and the weights take their format."""
        trim = TrimVocabulary(
            coverage=shape.coverage, corpus=self.text, languages=tuple(self.tuning.language.split("+"))
        )
        data = {"dataset": self.tuning.dataset, "language": self.tuning.language}
        quantize = Quantize(self.form, **data if self.form == "openvino-int8" else {})
        return (trim, quantize) if shape.coverage < 1 else (quantize,)


@dataclass(frozen=True)
class Candidate:
    """A shape and the way to it: "kept whole", "cut" (then fine-tuned), or "distilled" from the fine-tuned model."""

    plan: Plan
    shape: Shape
    way: str

    def recipe(self, *, epochs: int, seed: int) -> Recipe:
        """The whole recipe, with so many epochs for whatever this candidate trains itself."""
        plan = self.plan
        full = replace(plan.tuning, seed=seed)
        tuned = plan.start if plan.tuned else plan.start.then(full)
        if self.way == "kept whole":
            middle = tuned
        elif self.way == "cut":
            middle = plan.start.then(*plan.smaller(self.shape), replace(full, epochs=epochs))
        else:
            middle = tuned.then(plan.student(self.shape, replace(full, epochs=epochs)))
        return middle.then(*plan.closing(self.shape))

    def __str__(self) -> str:
        return f"{self.way}: {self.shape}"
