"""Quantization: a model in a form of fewer bits, and weights rounded to fewer bits to see where that hurts."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from smaller import formats
from smaller.base.errors import SmallerError, did_you_mean
from smaller.base.progress import Say, silent
from smaller.data import splits
from smaller.data.encoding import encode
from smaller.encoders import Model, embedding_weights, linear_weights
from smaller.study.evaluation import score
from smaller.study.steps.base import Step, is_count, is_number, require

ROUNDED_PARTS = ("all", "embeddings", "attention", "feed_forward", "classifier")

LOOKING = ("llm.int8", "openvino-int8")
"""The forms that look at sentences: to count outliers, and to calibrate."""

_BELONGS_TO = {
    "engine": ("dynamic",),
    "threshold": ("llm.int8",),
    "classifier": ("llm.int8",),
    "calibration": ("openvino-int8",),
    "tolerance": ("openvino-int8",),
    "dataset": LOOKING,
    "language": LOOKING,
}


@dataclass(frozen=True)
class Quantize(Step):
    """Hold the model in another form: see `smaller.formats.FORMS` for what each keeps in which type.

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

    def __post_init__(self) -> None:
        formats.require_form(self.form)
        for field in dataclasses.fields(self):
            owners = _BELONGS_TO.get(field.name, (self.form,))
            require(
                self.form in owners or getattr(self, field.name) == field.default,
                f"Quantize's {field.name} is a setting of {' and '.join(owners)}, not of {self.form}.",
            )
        require(isinstance(self.engine, str), f'Quantize\'s engine is a name, or ""; it is {self.engine!r}.')
        require(
            is_number(self.threshold) and self.threshold > 0,
            f"Quantize's threshold, a magnitude, is above zero; it is {self.threshold!r}.",
        )
        require(
            isinstance(self.classifier, bool), f"Quantize's classifier is True or False; it is {self.classifier!r}."
        )
        require(
            is_count(self.calibration) and self.calibration > 0,
            f"Quantize's calibration is a number of sentences above zero; it is {self.calibration!r}.",
        )
        require(
            is_number(self.tolerance) and self.tolerance >= 0,
            f"Quantize's tolerance is a number of F1 points of at least 0; it is {self.tolerance!r}.",
        )
        for field in ("threshold", "tolerance"):
            object.__setattr__(self, field, float(getattr(self, field)))
        require(
            bool(self.dataset) == bool(self.language) and (bool(self.dataset) or self.form != "openvino-int8"),
            f"Quantize({self.form!r}) needs dataset and language: the sentences that it looks at.",
        )
        if self.dataset:
            splits.check(self.dataset, self.language)
            splits.task(self.dataset)

    @property
    def label(self) -> str:
        """The form, with the settings that are not the defaults."""
        extra = [f"engine {self.engine}"] * bool(self.engine) + ["with classifier"] * self.classifier
        extra += [f"threshold {self.threshold:g}"] * (self.threshold != type(self).threshold)
        return f"Quantize({', '.join([self.form, *extra])})"

    def columns(self) -> dict[str, Any]:
        """The form."""
        return {"form": self.form}

    def inputs(self) -> dict[str, str]:
        """The checksum of the splits that the step reads, if it reads any."""
        if not self.dataset:
            return {}
        return {f"{self.dataset}/{self.language}": splits.fingerprint(self.dataset, self.language)}

    def apply(self, model: Model, *, say: Say = silent, scratch: Path | None = None) -> tuple[Model, dict]:
        """The model in its new form, and where the bytes were and are, by part and by type."""
        _require_tagger(model, "Quantize")
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
            "parameters_before": formats.parameter_count(model.network),
            "parameters_after": formats.parameter_count(quantized.network),
            "processor_notes": formats.processor_notes(),
        }
        if self.form == "llm.int8":
            report["outliers"] = self._outliers(quantized) if self.dataset else None
        if self.form == "openvino-int8":
            report |= self._checked(model, quantized)
        return quantized, report

    def _rows(self, model: Model, split: str) -> list[Tensor]:
        encoded = encode(splits.sentences(self.dataset, self.language, split), model.tokenizer, model.labels)
        chosen = np.linspace(0, len(encoded) - 1, min(self.calibration, len(encoded))).round().astype(int)
        return [encoded.pieces[row] for row in chosen]

    def _outliers(self, model: Model) -> dict:
        rows = self._rows(model, "dev")
        return formats.outliers(model.network.to("cpu"), rows, threshold=self.threshold) | {"sentences": len(rows)}

    def _checked(self, before: Model, after: Model) -> dict:
        sentences, task = splits.sentences(self.dataset, self.language, "dev"), splits.task(self.dataset)
        f1 = [score(model, sentences, task=task)[task.metric] for model in (before, after)]
        if f1[0] - f1[1] > self.tolerance:
            raise SmallerError(
                f"Static int8 (openvino-int8) takes {task.metric_name} on the dev split of {self.dataset}/"
                f"{self.language} from {f1[0]:.1f} to {f1[1]:.1f}, a fall of more than {self.tolerance:g} points. Use "
                f"onnx-int8, calibrate on more than {self.calibration} sentences, or allow more with tolerance."
            )
        return {"dev_f1_before": f1[0], "dev_f1_after": f1[1], "calibration_sentences": self.calibration}


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

    def __post_init__(self) -> None:
        require(
            is_count(self.bits) and 2 <= self.bits <= 8,
            f"Round's bits is a whole number from 2 to 8; it is {self.bits!r}.",
        )
        require(
            self.parts in ROUNDED_PARTS,
            f"Round's parts is one of {', '.join(ROUNDED_PARTS)}; it is "
            f"{self.parts!r}.{did_you_mean(self.parts, ROUNDED_PARTS)}",
        )

    @property
    def label(self) -> str:
        """The bits, and the part if it is not all."""
        return f"Round({self.bits}{'' if self.parts == 'all' else f', {self.parts}'})"

    def columns(self) -> dict[str, Any]:
        """The bits, the part, and the form: fp32 products."""
        return {"form": "fp32", "bits": self.bits, "part": self.parts}

    def apply(self, model: Model, *, say: Say = silent, scratch: Path | None = None) -> tuple[Model, dict]:
        """The model with rounded weights, and the root of the mean square of the change, relative to the weights."""
        formats.require_trainable(model, what="Round")
        _require_tagger(model, "Round")
        rounded = dataclasses.replace(model.copy(), form="fp32")
        change = size = 0.0
        touched = dict(_weights(rounded, self.parts))
        with torch.no_grad():
            for weight in touched.values():
                new = round_weight(weight, self.bits)
                change += float((new - weight).double().square().sum())
                size += float(weight.double().square().sum())
                weight.copy_(new)
        count = formats.parameter_count(rounded.network)
        return rounded, {
            "touched": list(touched),
            "relative_change": (change / size) ** 0.5,
            "parameters_before": count,
            "parameters_after": count,
        }


def round_weight(weight: Tensor, bits: int) -> Tensor:
    """A weight of shape (outputs, inputs) rounded to 2^bits - 1 levels, with a scale for each output."""
    levels = 2 ** (bits - 1) - 1
    scale = weight.abs().amax(dim=1, keepdim=True) / levels
    return torch.where(scale > 0, (weight / scale).round() * scale, weight)


def _weights(model: Model, parts: str) -> Iterator[tuple[str, nn.Parameter]]:
    """The weights of a family by their names in the network."""
    inside = {f"{model.network.base_model_prefix}.{name}": weight for name, weight in linear_weights(model).items()}
    families = {
        "embeddings": {
            f"{model.network.base_model_prefix}.{name}": weight for name, weight in embedding_weights(model).items()
        },
        "attention": {name: weight for name, weight in inside.items() if ".attention." in name},
        "feed_forward": {name: weight for name, weight in inside.items() if ".attention." not in name},
        "classifier": {
            f"{name}.weight": module.weight
            for name, module in model.network.named_modules()
            if isinstance(module, nn.Linear) and not name.startswith(f"{model.network.base_model_prefix}.")
        },
    }
    for family, weights in families.items():
        if parts in ("all", family):
            yield from weights.items()


def _require_tagger(model: Model, what: str) -> None:
    require(bool(model.labels), f"{what} needs a model with a classifier; put it after FineTune.")
