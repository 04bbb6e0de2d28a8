"""The formats by name, and what each holds in which type."""

from __future__ import annotations

from smaller.base.checks import require_one_of
from smaller.encoders import TRAINED

FORMATS: dict[str, str] = {
    "fp32": "weights and products in 32-bit floats",
    "fp16": "everything in 16-bit floats",
    "bf16": "everything in bfloat16",
    "dynamic": "Linear weights in int8 by torch.ao.quantization, the rest in fp32",
    "llm.int8": "Linear weights in int8 by bitsandbytes, outlier columns and the rest in fp16",
    "onnx": "weights in fp32, run by ONNX Runtime: what the runtime gives without int8",
    "onnx-int8": "Linear and embedding weights in int8, run by ONNX Runtime",
    "onnx-int4": "Linear and embedding weights in 4 bits in the file, in int8 when ONNX Runtime runs them",
    "openvino-int8": "Linear and embedding weights and activations in int8, run by OpenVINO",
}
"""The formats, with what is held in which type. A model that was only trained is in none: its `form` is `TRAINED`."""

FULL_PRECISION = (TRAINED, "fp32")
"""The formats whose network is a plain one in fp32."""


def require_format(name: str) -> None:
    """Raise SmallerError unless there is a format of that name."""
    require_one_of(name, FORMATS, "There is no format {!r}; there are {}.")
