"""Bytes and milliseconds of shapes, measured before anything is trained: neither depends on what weights are."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smaller import encoders, formats
from smaller.base import paths
from smaller.base.errors import SmallerError, in_one_line
from smaller.base.progress import Say
from smaller.data import splits
from smaller.data.encoding import encode
from smaller.data.examples import Example
from smaller.deploy.candidates import Plan, Shape
from smaller.deploy.targets import Target
from smaller.encoders import Model
from smaller.formats.shipping import shipped_bytes
from smaller.study import cost, results
from smaller.study.cost import Setting
from smaller.study.jobs import materialise
from smaller.study.steps import TrimVocabulary
from smaller.study.timing.latency import text_of

SENTENCES = 24
"""Sentences of the dev split that latency is measured on, evenly over the lengths."""

MARGIN = 1.2
"""By how much an estimate of bytes may be over the limit before a shape is not even measured."""


@dataclass(frozen=True)
class Measured:
    """The bytes of a shipped folder, and milliseconds for a sentence, alone and on one thread.

    `milliseconds` are the network's, from token ids to logits; `end_to_end` are from text to labels (NaN where an
    earlier version has not measured them).
    """

    size: float
    milliseconds: float
    end_to_end: float = math.nan

    @property
    def time(self) -> str:
        """Both times in words."""
        return cost.in_words(self.milliseconds, self.end_to_end)


class Scales:
    """Measures shapes of a plan, each once; what it measured is kept for the next run on this machine.

    `left_out` says of each shape that could not be measured why not.
    """

    def __init__(self, plan: Plan, *, say: Say) -> None:
        self.plan, self.say = plan, say
        tuning = plan.tuning
        about = [
            plan.start.canonical(),
            plan.start.inputs(),
            plan.form,
            plan.text,
            cost.machine(),
            splits.fingerprint(tuning.dataset, tuning.language),
        ]
        digest = sha256(encoders.canonical(about).encode()).hexdigest()[:16]
        self.file = paths.outputs_folder() / "compress" / f"{digest}.json"
        self.left_out: dict[str, str] = {}
        self.known: dict[str, Measured] = {}
        if self.file.is_file():
            self.known = {name: Measured(**found) for name, found in json.loads(self.file.read_bytes()).items()}
        self._model: Model | None = None
        self._trimmed: dict[float, Model] = {}

    def of(self, shape: Shape | None) -> Measured:
        """The measures of a shape; those of the whole model in fp32 for None."""
        name = str(shape or "whole, fp32")
        if name not in self.known:
            model = self._shaped(shape)
            self.known[name] = self._measure(model)
            found = self.known[name]
            self.say(f"{name}: {found.size / 1e6:.2f} MB; {found.time}")
            self._keep()
        return self.known[name]

    def require_form(self) -> None:
        """Raise SmallerError where the whole model cannot be brought to its form for a reason that a person can mend.

        What is wrong otherwise, such as a graph that is too large, may go with a smaller shape.
        """
        try:
            self.of(self.plan.whole)
        except SmallerError:
            raise
        except Exception as problem:  # the libraries of the forms have many kinds
            self._leave_out(self.plan.whole, problem)

    def measurable(self, shapes: Sequence[Shape]) -> list[Shape]:
        """Those of the shapes that could be measured; the others are left out, and `say` hears of each."""
        return [shape for shape in shapes if self._try(shape, self.of)]

    def fitting(self, shapes: Sequence[Shape], target: Target) -> list[Shape]:
        """The largest of the shapes that are within the limits of bytes and latency; no one contains another."""
        found: list[Shape] = []
        for shape in shapes:
            if any(shape.within(other) for other in found):
                continue
            measured = self._try(shape, lambda shape: None if self._far_too_large(shape, target) else self.of(shape))
            if measured and target.fits(size=measured.size, milliseconds=measured.milliseconds):
                found = [*(other for other in found if not other.within(shape)), shape]
        return found

    def least(self, shapes: Sequence[Shape]) -> None:
        """Measure the shape of the fewest parameters that can be measured."""
        counted = [(count, shape) for shape in shapes if (count := self._try(shape, self.parameters))]
        for _, shape in sorted(counted, key=lambda one: one[0]):
            if self._try(shape, self.of):
                return

    def _try(self, shape: Shape, look: Callable[[Shape], Any]) -> Any:
        """What a look at a shape gives; None where it fails, and the shape is left out."""
        if str(shape) in self.left_out:
            return None
        try:
            return look(shape)
        except Exception as problem:  # one shape that cannot be is no reason to do without the others
            self._leave_out(shape, problem)
            return None

    def _leave_out(self, shape: Shape, problem: Exception) -> None:
        self.left_out[str(shape)] = in_one_line(problem)
        self.say(f"left out: {shape}: {in_one_line(problem)}")

    def _far_too_large(self, shape: Shape, target: Target) -> bool:
        """Whether parameters alone say that a shape is over the limit of bytes; int8 holds one in a byte or more."""
        if not target.max_bytes or str(self.plan.whole) in self.left_out:
            return False
        whole = self.of(self.plan.whole)
        share = self.parameters(shape) / encoders.parameter_count(self._tagger().network)
        return whole.size * share > MARGIN * target.max_bytes

    def parameters(self, shape: Shape) -> int:
        """The parameters of a shape; no weights are drawn or held."""
        network = self._at(shape.coverage).network
        config = copy.deepcopy(network.config)
        config.num_hidden_layers, config.intermediate_size = shape.layers, shape.feed_forward
        config.hidden_size = shape.hidden or config.hidden_size
        with torch.device("meta"):
            return encoders.parameter_count(type(network)(config))

    def _tagger(self) -> Model:
        if self._model is None:
            model, _ = materialise(self.plan.start, say=self.say)
            tuning = self.plan.tuning
            given = splits.labels(tuning.dataset)
            task = splits.task(tuning.dataset)
            self._model = model if self.plan.tuned else encoders.with_classifier(model, given, seed=0, unit=task.unit)
        return self._model

    def _at(self, coverage: float) -> Model:
        """The whole model with the pieces that cover so much of the text."""
        if coverage not in self._trimmed:
            trims = [step for step in self.plan.closing(Shape(1, 1, coverage)) if isinstance(step, TrimVocabulary)]
            model = self._tagger()
            for step in trims:
                model, _ = step.apply(model)
            self._trimmed[coverage] = model
        return self._trimmed[coverage]

    def _shaped(self, shape: Shape | None) -> Model:
        if shape is None:
            return formats.convert(self._tagger(), "fp32")
        model = self._at(shape.coverage)
        for step in self.plan.smaller(shape):
            model, _ = step.apply(model)
        return formats.convert(model, self.plan.form, rows=self._rows(model))

    def _sentences(self, model: Model) -> list[Example]:
        """Sentences of the dev split, evenly over the lengths that they have in the model's tokens."""
        tuning = self.plan.tuning
        split = splits.sentences(tuning.dataset, tuning.language, "dev")
        order = np.argsort(encode(split, model.tokenizer, model.labels).lengths, kind="stable")
        stride = max(1, len(order) // SENTENCES)
        return [split[place] for place in order[stride // 2 :: stride][:SENTENCES]]

    def _rows(self, model: Model) -> list[Tensor]:
        return encode(self._sentences(model), model.tokenizer, model.labels).pieces

    def _measure(self, model: Model) -> Measured:
        chosen = self._sentences(model)
        rows, texts = encode(chosen, model.tokenizer, model.labels).pieces, [text_of(sentence) for sentence in chosen]
        timed = cost.latency({"": model}, {"": rows}, texts=texts, setting=Setting(), rounds=3)[""]
        return Measured(shipped_bytes(model), timed["milliseconds"], timed["end_to_end_milliseconds"])

    def _keep(self) -> None:
        results.require_writable()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_suffix(".draft")
        draft.write_text(json.dumps({name: asdict(found) for name, found in self.known.items()}, indent=1))
        draft.replace(self.file)


def nearest(known: dict[str, Measured], target: Target) -> Iterator[str]:
    """What comes nearest to limits that no shape is within: the least bytes and the least time that were measured."""
    shapes = {name: found for name, found in known.items() if not name.startswith("whole")}
    if target.max_bytes and shapes:
        name = min(shapes, key=lambda key: shapes[key].size)
        yield f"the smallest is {name} with {shapes[name].size / 1e6:.2f} MB"
    if target.max_latency and shapes:
        name = min(shapes, key=lambda key: shapes[key].milliseconds)
        yield f"the fastest is {name} with {shapes[name].milliseconds:.2f} ms"
