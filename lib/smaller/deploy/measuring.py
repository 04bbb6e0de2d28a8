"""Bytes and milliseconds of shapes, measured before anything is trained: neither depends on what weights are."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

import torch

from smaller import encoders, formats
from smaller.base import paths
from smaller.base.errors import SmallerError, in_one_line
from smaller.base.files import write_whole
from smaller.base.progress import Say
from smaller.data import splits
from smaller.data.encoding import encode
from smaller.deploy.candidates import Plan, Shape
from smaller.deploy.targets import Target
from smaller.encoders import Model
from smaller.formats.shipping import shipped_bytes
from smaller.study import cost, results
from smaller.study.cost import Setting
from smaller.study.jobs import materialise
from smaller.study.steps import TrimVocabulary
from smaller.study.timing.latency import sample_of, text_of

SENTENCES = 24
"""Sentences of the dev split that latency is measured on, evenly over the lengths."""

MARGIN = 1.2
"""By how much an estimate of bytes may be over the limit before a shape is not even measured."""


@dataclass(frozen=True)
class Measured:
    """The bytes of a shipped folder, and milliseconds for a sentence, alone and on one thread.

    `end_to_end` are from text to labels, `milliseconds` the network's share, from token ids to logits.
    """

    size: float
    milliseconds: float
    end_to_end: float

    def __str__(self) -> str:
        return f"{self.size / 1e6:.2f} MB; {cost.in_words(self.milliseconds, self.end_to_end)}"


class Scales:
    """Measures shapes of a plan, each once; what it measured is kept for the next run on this machine.

    `left_out` says of each shape that could not be measured why not.
    """

    def __init__(self, plan: Plan, *, say: Say) -> None:
        self.plan, self.say = plan, say
        read = splits.fingerprint(plan.tuning.dataset, plan.tuning.language)
        about = [plan.start.canonical(), plan.start.inputs(), plan.form, plan.text, cost.machine(), read]
        digest = sha256(encoders.canonical(about).encode()).hexdigest()[:16]
        self.file = paths.outputs_folder() / "compress" / f"{digest}.json"
        self.left_out: dict[str, str] = {}
        kept = json.loads(self.file.read_bytes()) if self.file.is_file() else {}
        # Earlier versions did not measure the time from text to labels: what they kept is measured again.
        self.known = {name: Measured(**found) for name, found in kept.items() if found.get("end_to_end", 0) > 0}
        self._trimmed: dict[float, Model] = {}

    def of(self, shape: Shape | None) -> Measured:
        """The measures of a shape; those of the whole model in fp32 for None."""
        name = str(shape or "whole, fp32")
        if name not in self.known:
            self.known[name] = self._measure(self._shaped(shape))
            self.say(f"{name}: {self.known[name]}")
            results.require_writable()
            write_whole(self.file, {name: asdict(found) for name, found in self.known.items()})
        return self.known[name]

    def require_format(self) -> None:
        """Raise SmallerError where the whole model cannot be brought to its format, and a person can mend the reason.

        What is wrong otherwise, such as a graph that is too large, may go with a smaller shape.
        """
        try:
            self.of(self.plan.whole)
        except SmallerError:
            raise
        except Exception as problem:  # the libraries of the formats have many kinds
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
            if measured and not target.missed(size=measured.size, milliseconds=measured.end_to_end):
                found = [*(other for other in found if not other.within(shape)), shape]
        return found

    def least(self, shapes: Sequence[Shape]) -> None:
        """Measure the shape of the fewest parameters that can be measured."""
        counted = [(count, shape) for shape in shapes if (count := self._try(shape, self.parameters))]
        any(self._try(shape, self.of) for _, shape in sorted(counted, key=lambda one: one[0]))

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
        share = self.parameters(shape) / encoders.parameter_count(self._tagger.network)
        return self.of(self.plan.whole).size * share > MARGIN * target.max_bytes

    def parameters(self, shape: Shape) -> int:
        """The parameters of a shape; no weights are drawn or held."""
        network = self._at(shape.coverage).network
        config = copy.deepcopy(network.config)
        config.num_hidden_layers, config.intermediate_size = shape.layers, shape.feed_forward
        config.hidden_size = shape.hidden or config.hidden_size
        with torch.device("meta"):
            return encoders.parameter_count(type(network)(config))

    @functools.cached_property
    def _tagger(self) -> Model:
        model, _ = materialise(self.plan.start, say=self.say)
        if self.plan.tuned:
            return model
        dataset = self.plan.tuning.dataset
        return encoders.with_classifier(model, splits.labels(dataset), seed=0, unit=splits.task(dataset).unit)

    def _at(self, coverage: float) -> Model:
        """The whole model with the tokens that cover so much of the text."""
        if coverage not in self._trimmed:
            model = self._tagger
            for step in self.plan.closing(Shape(1, 1, coverage)):
                if isinstance(step, TrimVocabulary):
                    model, _ = step.apply(model)
            self._trimmed[coverage] = model
        return self._trimmed[coverage]

    def _shaped(self, shape: Shape | None) -> Model:
        if shape is None:
            return formats.convert(self._tagger, "fp32")
        model = self._at(shape.coverage)
        for step in self.plan.smaller(shape):
            model, _ = step.apply(model)
        return formats.convert(model, self.plan.form, rows=self._read(model)[0])

    def _read(self, model: Model) -> tuple[list[torch.Tensor], list[str]]:
        """Sentences of the dev split as token ids and as text, evenly over the lengths in the model's tokens."""
        tuning = self.plan.tuning
        chosen = sample_of(splits.sentences(tuning.dataset, tuning.language, "dev"), model, count=SENTENCES)
        return encode(chosen, model.tokenizer, model.labels).pieces, [text_of(sentence) for sentence in chosen]

    def _measure(self, model: Model) -> Measured:
        rows, texts = self._read(model)
        timed = cost.latency({"": model}, {"": rows}, texts=texts, setting=Setting(), rounds=3)[""]
        return Measured(shipped_bytes(model), timed["milliseconds"], timed["end_to_end_milliseconds"])


def nearest(known: Mapping[str, Measured], target: Target) -> Iterator[str]:
    """What comes nearest to limits that no shape is within: the least bytes and the least time that were measured."""
    shapes = {name: found for name, found in known.items() if not name.startswith("whole")}
    for limit, word, measure in (
        (target.max_bytes, "smallest", lambda name: shapes[name].size),
        (target.max_latency, "fastest", lambda name: shapes[name].end_to_end),
    ):
        if limit and shapes:
            best = min(shapes, key=measure)
            yield f"the {word} is {best} with {shapes[best]}"
