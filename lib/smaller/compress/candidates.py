"""What may be tried: shapes that an encoder can be brought to, and the ways to get there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from smaller.recipes import Recipe
from smaller.steps import Cut, Distil, FineTune, PruneFeedForward, Quantize, Step, TrimVocabulary

COVERAGES = (1.0, 0.999, 0.99)
"""Shares of the text that a trimmed vocabulary covers; with 1.0 all pieces stay."""


@dataclass(frozen=True)
class Shape:
    """A size that a model may be brought to: layers, feed-forward neurons, share of the text that its pieces cover."""

    layers: int
    feed_forward: int
    coverage: float

    def within(self, other: Shape) -> bool:
        """Whether the other is at least as large in every part, and larger in one."""
        mine, others = (
            (self.layers, self.feed_forward, self.coverage),
            (other.layers, other.feed_forward, other.coverage),
        )
        return self != other and all(own <= its for own, its in zip(mine, others, strict=True))

    def __str__(self) -> str:
        text = f"{self.layers} layer{'s' * (self.layers > 1)}, {self.feed_forward} neurons"
        return text if self.coverage == 1 else f"{text}, pieces of {100 * self.coverage:g} % of the text"


def shapes(of: Mapping[str, int]) -> list[Shape]:
    """The shapes to look at, the largest first; `of` is the encoder's (see `encoders.shape`)."""
    layers = sorted({max(1, round(of["layers"] * share)) for share in (1, 0.75, 0.5, 0.375, 0.25, 0.125)}, reverse=True)
    neurons = sorted({max(1, round(of["feed_forward"] * share)) for share in (1, 0.5, 0.25)}, reverse=True)
    return [Shape(*sizes) for sizes in itertools.product(layers, neurons, COVERAGES)]


def largest(fitting: Sequence[Shape]) -> list[Shape]:
    """Those shapes that no other one contains: a larger model of the same kind is not worse."""
    return [shape for shape in fitting if not any(shape.within(other) for other in fitting)]


@dataclass(frozen=True)
class Plan:
    """How candidates are made of shapes: where they start, how they are fine-tuned, which text tells the pieces.

    `tuned` says that `start` gives a tagger already. `text` is the corpus that vocabularies are trimmed on.
    """

    start: Recipe
    tuning: FineTune
    tuned: bool
    of: Mapping[str, int]
    form: str
    text: str

    @property
    def dense(self) -> Recipe:
        """The model that is left whole: what arrived, or the encoder fine-tuned."""
        return self.start if self.tuned else self.start.then(self.tuning)

    def candidates(self, shape: Shape) -> Iterator[Candidate]:
        """The ways to a shape. Neurons are dropped before fine-tuning, so a student that imitates keeps all of them."""
        if shape.layers == self.of["layers"] and shape.feed_forward == self.of["feed_forward"]:
            yield Candidate(self, shape, "kept whole")
            return
        if shape.feed_forward == self.of["feed_forward"]:
            yield Candidate(self, shape, "distilled")
        yield Candidate(self, shape, "cut")

    def smaller(self, shape: Shape) -> tuple[Step, ...]:
        """The steps that drop layers and neurons; no training."""
        steps: list[Step] = []
        if shape.layers < self.of["layers"]:
            steps.append(Cut(shape.layers))
        if shape.feed_forward < self.of["feed_forward"]:
            steps.append(PruneFeedForward(shape.feed_forward, importance="magnitude"))
        return tuple(steps)

    def closing(self, shape: Shape) -> tuple[Step, ...]:
        """The steps at the end: the vocabulary is trimmed, and the weights take their form."""
        trim = TrimVocabulary(
            coverage=shape.coverage, corpus=self.text, languages=tuple(self.tuning.language.split("+"))
        )
        data = {"dataset": self.tuning.dataset, "language": self.tuning.language}
        form = Quantize(self.form, **data if self.form == "openvino-int8" else {})
        return (trim, form) if shape.coverage < 1 else (form,)


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
            middle = tuned.then(_student(self.shape, replace(full, epochs=epochs)))
        return middle.then(*plan.closing(self.shape))

    def __str__(self) -> str:
        return f"{self.way}: {self.shape}"


def _student(shape: Shape, tuning: FineTune) -> Distil:
    shared = ("dataset", "language", "epochs", "learning_rate", "batch_size", "max_length", "warm_up", "seed")
    return Distil(layers=shape.layers, on="task", **{name: getattr(tuning, name) for name in shared})
