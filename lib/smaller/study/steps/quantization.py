"""Quantization: a model in a format of fewer bits, and weights rounded to fewer bits to see where that hurts."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from smaller import formats
from smaller.base.checks import is_count, require, require_choice, require_counts, require_number
from smaller.data import splits
from smaller.data.encoding import encode
from smaller.encoders import Model
from smaller.study import rounding
from smaller.study.evaluation import score
from smaller.study.steps.base import Step
from smaller.study.steps.checks import require_labelled

_DATA = ("dataset", "language")
_SETTINGS = {
    "dynamic": ("engine",),
    "llm.int8": ("threshold", "classifier", *_DATA),
    "openvino-int8": ("calibration", "tolerance", *_DATA),
}
LOOKING = ("llm.int8", "openvino-int8")
"""The formats that look at sentences: to count outliers, and to calibrate."""


@dataclass(frozen=True)
class Quantize(Step):
    """Hold the model in another format: see `smaller.formats.FORMATS` for what each keeps in which type.

    Comes last in a recipe. `engine`: dynamic quantization's, "" for the processor's own. `threshold`: from which
    magnitude on llm.int8 takes activations for outliers; `classifier`: whether it quantizes the head too.
    openvino-int8 needs `dataset` and `language`: `calibration` sentences of its training split give the ranges of the
    activations, and the step fails when F1 on its dev split falls by more than `tolerance` points. With them, llm.int8
    reports the share of outliers on that many sentences of the dev split.
    """

    form: str
    engine: str = ""
    threshold: float = 6.0
    classifier: bool = False
    calibration: int = 300
    tolerance: float = 1.0
    dataset: str = ""
    language: str = ""

    technique: ClassVar[str] = "quantized"
    needs_classifier: ClassVar[bool] = True

    def __post_init__(self) -> None:
        formats.require_format(self.form)
        for field in dataclasses.fields(self)[1:]:
            owners = [form for form, settings in _SETTINGS.items() if field.name in settings]
            require(
                self.form in owners or getattr(self, field.name) == field.default,
                f"Quantize's {field.name} is a setting of {' and '.join(owners)}, not of {self.form}.",
            )
        require(isinstance(self.engine, str), f'Quantize\'s engine is a name, or ""; it is {self.engine!r}.')
        require_number(self, "threshold", lambda value: value > 0, "a magnitude above zero")
        require(
            isinstance(self.classifier, bool), f"Quantize's classifier is True or False; it is {self.classifier!r}."
        )
        require_counts(self, "calibration")
        require_number(self, "tolerance", lambda value: value >= 0, "a number of F1 points of at least 0")
        require(
            bool(self.dataset) == bool(self.language) and (bool(self.dataset) or self.form != "openvino-int8"),
            f"Quantize({self.form!r}) needs dataset and language: the sentences that it looks at.",
        )
        if self.dataset:
            require_labelled(self)

    @property
    def label(self) -> str:
        extra = [f"engine {self.engine}"] * bool(self.engine) + ["with classifier"] * self.classifier
        extra += [f"threshold {self.threshold:g}"] * (self.threshold != type(self).threshold)
        return f"Quantize({', '.join([self.form, *extra])})"

    def columns(self) -> dict[str, Any]:
        return {"form": self.form}

    def apply(self, model: Model, **_: Any) -> tuple[Model, dict]:
        """The model in its new format, and where the bytes were and are, by part and by type."""
        rows = self._rows(model, "train") if self.form == "openvino-int8" else ()
        quantized = formats.convert(
            model, self.form, engine=self.engine, threshold=self.threshold, classifier=self.classifier, rows=rows
        )
        report = {
            "form": self.form,
            "engine": getattr(quantized.network, "engine", ""),
            "bytes_before": formats.bytes_by_part(model.network),
            "bytes_after": formats.bytes_by_part(quantized.network),
            "types_after": formats.types_by_part(quantized.network),
            "processor_notes": formats.processor_notes(),
        }
        if self.form == "llm.int8":
            report["outliers"] = self._outliers(quantized) if self.dataset else None
        if self.form == "openvino-int8":
            sentences, task = splits.sentences(self.dataset, self.language, "dev"), splits.task(self.dataset)
            report |= self._checked(*(score(one, sentences, task=task)[task.metric] for one in (model, quantized)))
        return quantized, report

    def _rows(self, model: Model, split: str) -> list[Tensor]:
        encoded = encode(splits.sentences(self.dataset, self.language, split), model.tokenizer, model.labels)
        chosen = np.linspace(0, len(encoded) - 1, min(self.calibration, len(encoded))).round().astype(int)
        return [encoded.pieces[row] for row in chosen]

    def _outliers(self, model: Model) -> dict:
        rows = self._rows(model, "dev")
        return formats.outliers(model.network.to("cpu"), rows, threshold=self.threshold) | {"sentences": len(rows)}

    def _checked(self, before: float, after: float) -> dict:
        """Dev scores for the report. Raises SmallerError where the score falls too far."""
        require(
            before - after <= self.tolerance,
            f"Static int8 (openvino-int8) takes {splits.task(self.dataset).metric_name} on the dev split of "
            f"{self.dataset}/{self.language} from {before:.1f} to {after:.1f}, a fall of more than "
            f"{self.tolerance:g} points. Use onnx-int8, calibrate on more than {self.calibration} sentences, or allow "
            "more with tolerance.",
        )
        return {"dev_f1_before": before, "dev_f1_after": after, "calibration_sentences": self.calibration}


@dataclass(frozen=True)
class Round(Step):
    """Round weights to `bits` bits and back, to see what that alone does to F1; the model stays one in fp32.

    Symmetric, with a scale for each output channel (each row of an embedding table): the largest magnitude becomes
    2^(bits-1) - 1. `parts`: "all" of the weights of Linear layers and embedding tables, or those of one family;
    biases and norms are never rounded. Scores are of fp32 products.
    """

    bits: int
    parts: str = "all"

    technique: ClassVar[str] = "rounded"
    needs_classifier: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(
            is_count(self.bits) and 2 <= self.bits <= 8,
            f"Round's bits is a whole number from 2 to 8; it is {self.bits!r}.",
        )
        require_choice(self, "parts", rounding.ROUNDED_PARTS)

    @property
    def label(self) -> str:
        return f"Round({self.bits}{'' if self.parts == 'all' else f', {self.parts}'})"

    def columns(self) -> dict[str, Any]:
        return {"form": "fp32", "bits": self.bits, "part": self.parts}

    def apply(self, model: Model, **_: Any) -> tuple[Model, dict]:
        """The model with rounded weights, and the root of the mean square of the change, relative to the weights."""
        rounded = dataclasses.replace(model.copy(), form="fp32")
        return rounded, rounding.round_weights(rounded, self.bits, self.parts)
