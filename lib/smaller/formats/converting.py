"""From a model to the same model in another format, and the class that reads each format's folder."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence

from torch import Tensor

from smaller.base.errors import SmallerError
from smaller.encoders import Model
from smaller.formats.base import Format
from smaller.formats.dynamic import Dynamic
from smaller.formats.eager import Half
from smaller.formats.llm_int8 import LLMInt8
from smaller.formats.names import FULL_PRECISION, require_format
from smaller.formats.onnx_runtime import Onnx
from smaller.formats.openvino_runtime import OpenVino

_READERS = {
    "fp16": Half,
    "bf16": Half,
    "dynamic": Dynamic,
    "llm.int8": LLMInt8,
    "onnx": Onnx,
    "onnx-int8": Onnx,
    "onnx-int4": Onnx,
    "openvino-int8": OpenVino,
}


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
        case "onnx" | "onnx-int8" | "onnx-int4":
            network = Onnx.of(model.network, form)
        case "openvino-int8":
            network = OpenVino.of(model.network, rows=rows)
    return dataclasses.replace(model, network=network.eval(), masks=dict(model.masks), form=form)
