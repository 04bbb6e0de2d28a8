"""Bytes and milliseconds of shapes, measured before anything is trained: neither depends on what weights are."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

import psutil
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
from smaller.encoders.folders import positions
from smaller.formats.shipping import shipped_bytes
from smaller.study import cost, results
from smaller.study.cost import Setting
from smaller.study.jobs import materialise
from smaller.study.steps.students import drawn, with_own_tokenizer
from smaller.study.timing.latency import sample_of, text_of

SENTENCES = 24
"""Sentences of the dev split that latency is measured on, evenly over the lengths."""

NOISY, BUSY = 0.2, 1.5
"""The noise and the load from which on a time is measured twice, and told with them."""


@dataclass(frozen=True)
class Measured:
    """The bytes of a shipped folder, and milliseconds for a sentence, alone and on one thread.

    `end_to_end` are from text to labels, `milliseconds` the network's share, from token ids to logits. `noise` is the
    share by which the slowest round took longer than the fastest, and `load` how many processes for each core of the
    machine ran or waited in the minute before; 0 where an earlier version did not keep them.
    """

    size: float
    milliseconds: float
    end_to_end: float
    noise: float = 0.0
    load: float = 0.0

    def __str__(self) -> str:
        said = f"{self.size / 1e6:.2f} MB; {cost.in_words(self.milliseconds, self.end_to_end)}"
        if self.noise <= NOISY and self.load <= BUSY:
            return said
        apart = f"{100 * self.noise:.0f} %"
        return f"{said} (its time is uncertain: rounds {apart} apart, {self.load:.1f} processes for each core)"


class Scales:
    """Measures shapes of a plan, each once; what it measured is kept for the next run on this machine.

    `left_out` says of each shape that could not be measured why not.
    """

    def __init__(self, plan: Plan, *, say: Say) -> None:
        self.plan, self.say = plan, say
        read = splits.fingerprint(plan.tuning.dataset, plan.tuning.language)
        about = [plan.start.canonical(), plan.start.inputs(), plan.form, plan.text, cost.machine(), read]
        about += ["unlike"] * plan.drawn  # earlier versions measured files that were too small: see _unlike
        digest = sha256(encoders.canonical(about).encode()).hexdigest()[:16]
        self.file = paths.outputs_folder() / "compress" / f"{digest}.json"
        self.left_out: dict[str, str] = {}
        kept = json.loads(self.file.read_bytes()) if self.file.is_file() else {}
        # Earlier versions did not measure the time from text to labels: what they kept is measured again.
        self.known = {name: Measured(**found) for name, found in kept.items() if found.get("end_to_end", 0) > 0}
        self._trimmed: dict[tuple[float, int, bool], Model] = {}

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
        """Raise SmallerError where the largest shape cannot be brought to its format, and a person can mend the reason.

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
        return [shape for shape in shapes if self.try_of(shape)]

    def try_of(self, shape: Shape, look: Callable[[Shape], Measured] | None = None) -> Measured | None:
        """The measures of a shape, or what else a `look` at it gives; None where that fails, and it is left out."""
        if str(shape) in self.left_out:
            return None
        try:
            return (look or self.of)(shape)
        except Exception as problem:  # one shape that cannot be is no reason to do without the others
            self._leave_out(shape, problem)
            return None

    def _leave_out(self, shape: Shape, problem: Exception) -> None:
        why = in_one_line(problem)
        if why not in self.left_out.values():  # what many shapes have in common is said once
            self.say(f"left out: {shape}: {why}")
        self.left_out[str(shape)] = why

    def parameters(self, shape: Shape) -> int:
        """The parameters of a shape, told by its sizes: those of the head's labels are left out."""
        model = self._with_tokens(shape)
        tables = len(model.tokenizer) + positions(model.network.config)
        layer = 4 * shape.hidden**2 + 2 * shape.hidden * shape.feed_forward + 9 * shape.hidden + shape.feed_forward
        return tables * shape.hidden + shape.layers * layer

    def tokenizer_bytes(self, shape: Shape) -> int:
        """About as many bytes as the tokenizer of a shape takes."""
        return len(self._with_tokens(shape).tokenizer.backend_tokenizer.to_str().encode())

    def untaught(self, shape: Shape) -> Model:
        """A model of a shape with weights that nobody taught: bytes and time do not depend on what weights are."""
        model = self._with_tokens(shape)
        if self.plan.keeps(shape):
            return model
        if self.plan.drawn:
            return _unlike(drawn(self.plan.student(shape, epochs=1), model, model.tokenizer))
        known = {"coverage": None, "tokens": None, "tokens_by": "frequency"}
        return replace(self.plan.student(shape, epochs=1), **known, width_by="slice").untaught(model)

    @functools.cached_property
    def tagger(self) -> Model:
        """The whole model, with a classifier that nobody has taught unless it arrived with one."""
        model, _ = materialise(self.plan.start, say=self.say)
        if self.plan.tuned:
            return model
        dataset = self.plan.tuning.dataset
        return encoders.with_classifier(model, splits.labels(dataset), seed=0, unit=splits.task(dataset).unit)

    def _with_tokens(self, shape: Shape) -> Model:
        """The whole model with the tokens of a shape: those of a student, or what trimming leaves."""
        key = shape.coverage, shape.learned, self.plan.keeps(shape)
        if key not in self._trimmed:
            if self.plan.drawn:
                step = self.plan.student(shape, epochs=1)
                tokenizer = with_own_tokenizer(step, self.tagger, step.taught_on(self.tagger))
                self._trimmed[key] = replace(self.tagger, tokenizer=tokenizer)
            elif shape.coverage == 1 and not shape.learned:
                self._trimmed[key] = self.tagger
            elif self.plan.keeps(shape):
                self._trimmed[key] = self.plan.trim(shape.coverage).apply(self.tagger)[0]
            else:
                self._trimmed[key] = self.plan.student(shape, epochs=1).with_its_tokens(self.tagger)
        return self._trimmed[key]

    def _shaped(self, shape: Shape | None) -> Model:
        if shape is None:
            return formats.convert(self.tagger, "fp32")
        model = self.untaught(shape)
        return formats.convert(model, self.plan.form, rows=self._read(model)[0])

    def _read(self, model: Model) -> tuple[list[torch.Tensor], list[str]]:
        """Sentences of the dev split as token ids and as text, evenly over the lengths in the model's tokens."""
        tuning = self.plan.tuning
        chosen = sample_of(splits.sentences(tuning.dataset, tuning.language, "dev"), model, count=SENTENCES)
        return encode(chosen, model.tokenizer, model.labels).pieces, [text_of(sentence) for sentence in chosen]

    def _measure(self, model: Model) -> Measured:
        """Bytes and times; where the rounds differ much, the quieter one of two measurements."""
        found = self._timed(model)
        return found if found.noise <= NOISY else min(found, self._timed(model), key=lambda one: one.noise)

    def _timed(self, model: Model) -> Measured:
        rows, texts = self._read(model)
        load = psutil.getloadavg()[0] / (psutil.cpu_count() or 1)
        timed = cost.latency({"": model}, {"": rows}, texts=texts, setting=Setting(), rounds=3)[""]
        noise = timed["end_to_end_high"] / timed["end_to_end_low"] - 1
        return Measured(shipped_bytes(model), timed["milliseconds"], timed["end_to_end_milliseconds"], noise, load)


def _unlike(model: Model) -> Model:
    """The model with biases and norms of which no two are equal, as teaching leaves them: a graph merges equal ones."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.network.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.02)
    return model


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
