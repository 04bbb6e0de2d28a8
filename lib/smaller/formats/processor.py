"""What this processor has for products of small numbers, and what it costs not to have it."""

from __future__ import annotations

import platform
from collections.abc import Collection

import torch

FEATURES = ("vnni", "avx512", "avx512_bf16", "amx_tile", "amx_fp16")
"""The instructions that count, by PyTorch's names."""


def processor_notes() -> list[str]:
    """What runs slower on this processor than on a recent server's, and why; an empty list where nothing does.

    Every format gives the same predictions everywhere, up to rounding: only the speed differs.
    """
    here = (name for name in FEATURES if getattr(torch.cpu, f"_is_{name}_supported", lambda: False)())
    return notes_of(platform.machine(), set(here))


def notes_of(machine: str, features: Collection[str]) -> list[str]:
    """The notes on a machine whose processor has some of `FEATURES`."""
    if machine.lower() not in ("x86_64", "amd64", "i686"):
        return [
            f"A {machine} processor: no format was timed on one, so measure before you choose. bitsandbytes "
            "multiplies int8 values as fp32 numbers here, so llm.int8 is slower than fp32."
        ]
    lacking = {
        "No VNNI instructions: int8 products (dynamic, onnx-int8, openvino-int8) take several instructions instead of "
        "one, so int8 is about as fast as fp32 here; it still takes a quarter of the bytes.": {"vnni"},
        "No AVX-512: bitsandbytes multiplies int8 values as fp32 numbers, so llm.int8 is slower than fp32 here.": {
            "avx512"
        },
        "No bfloat16 instructions: bf16 is emulated and slower than fp32 here.": {"avx512_bf16", "amx_tile"},
        "No fp16 instructions: fp16 is emulated and several times as slow as fp32 here.": {"amx_fp16"},
    }
    return [note for note, any_of in lacking.items() if not any_of & set(features)]
