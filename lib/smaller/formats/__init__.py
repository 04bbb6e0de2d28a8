"""Quantized formats, which four libraries run and which are called alike, and the folder in which a model ships."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence

from torch import Tensor

from smaller.base.errors import SmallerError, did_you_mean
from smaller.encoders import TRAINED, Model
from smaller.formats.base import (
    PARTS,
    Format,
    Stored,
    bytes_by_part,
    bytes_in_memory,
    parameter_count,
    stored,
    types_by_part,
)
from smaller.formats.dynamic import Dynamic, engines
from smaller.formats.eager import Half
from smaller.formats.llm_int8 import LLMInt8, outliers
from smaller.formats.onnx_runtime import Onnx
from smaller.formats.openvino_runtime import OpenVino
from smaller.formats.processor import processor_notes
from smaller.formats.sizes import exact

__all__ = ["FORMATS", "FULL_PRECISION", "PARTS", "Format", "Stored", "convert", "engines", "outliers", "reader"]
__all__ += ["bytes_by_part", "bytes_in_memory", "parameter_count", "processor_notes", "stored", "types_by_part"]
__all__ += ["exact", "require_format", "require_trainable"]

FORMATS: dict[str, str] = {
    "fp32": "weights and products in 32-bit floats",
    "fp16": "everything in 16-bit floats",
    "bf16": "everything in bfloat16",
    "dynamic": "Linear weights in int8 by torch.ao.quantization, the rest in fp32",
    "llm.int8": "Linear weights in int8 by bitsandbytes, outlier columns and the rest in fp16",
    "onnx": "weights in fp32, run by ONNX Runtime: what the runtime gives without int8",
    "onnx-int8": "Linear and embedding weights in int8, run by ONNX Runtime",
    "openvino-int8": "Linear and embedding weights and activations in int8, run by OpenVINO",
}
"""The formats, with what is held in which type. A model that was only trained is in none: its `form` is `TRAINED`."""

FULL_PRECISION = (TRAINED, "fp32")
"""The formats whose network is a plain one in fp32."""

_READERS = {
    "fp16": Half,
    "bf16": Half,
    "dynamic": Dynamic,
    "llm.int8": LLMInt8,
    "onnx": Onnx,
    "onnx-int8": Onnx,
    "openvino-int8": OpenVino,
}


def require_format(name: str) -> None:
    """Raise SmallerError unless there is a format of that name."""
    if name not in FORMATS:
        raise SmallerError(f"There is no format {name!r}; there are {', '.join(FORMATS)}.{did_you_mean(name, FORMATS)}")


def require_trainable(model: Model, *, what: str) -> None:
    """Raise SmallerError if the model's weights are held in fewer than 32 bits; `what` names what asks for them."""
    if model.form not in FULL_PRECISION:
        raise SmallerError(
            f"{what} needs weights in fp32, and the model is in the format {model.form}. Quantize comes last in a "
            "recipe."
        )


def reader(name: str) -> type[Format]:
    """The class that reads a format's folder; none reads fp32, which is a plain encoder folder."""
    return _READERS[name]


def convert(
    model: Model,
    form: str,
    *,
    engine: str = "",
    threshold: float = 6.0,
    classifier: bool = False,
    rows: Sequence[Tensor] = (),
) -> Model:
    """The model in another format; the one that is given stays as it is.

    `engine` is dynamic quantization's ("" for the processor's own), `threshold` and `classifier` are those of
    llm.int8, and `rows` are the token ids of sentences on which openvino-int8 is calibrated. Raises SmallerError when
    the format's library is missing or the model is quantized already.
    """
    require_format(form)
    require_trainable(model, what=f"The format {form}")
    match form:
        case "fp32":
            network = copy.deepcopy(model.network)
        case "fp16" | "bf16":
            network = Half.of(model.network, form)
        case "dynamic":
            network = Dynamic.of(model.network, engine=engine)
        case "llm.int8":
            network = LLMInt8.of(model.network, threshold=threshold, classifier=classifier)
        case "onnx" | "onnx-int8":
            network = Onnx.of(model.network, form)
        case "openvino-int8":
            network = OpenVino.of(model.network, rows=rows)
    return dataclasses.replace(model, network=network.eval(), masks=dict(model.masks), form=form)
