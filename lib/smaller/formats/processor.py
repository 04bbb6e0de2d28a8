"""What this processor has for products of small numbers, and what it costs not to have it."""

from __future__ import annotations

import platform

import torch

_X86 = ("x86_64", "amd64", "i686")


def _has(feature: str) -> bool:
    return bool(getattr(torch.cpu, f"_is_{feature}_supported", lambda: False)())


def processor_notes() -> list[str]:
    """What runs slower on this processor than on a recent server's, and why; an empty list where nothing does.

    Every form gives the same predictions everywhere, up to rounding: only the speed differs.
    """
    machine = platform.machine()
    if machine.lower() not in _X86:
        return [
            f"A {machine} processor: no form was timed on one, so measure before you choose. bitsandbytes "
            "multiplies int8 values as fp32 numbers here, so llm.int8 is slower than fp32."
        ]
    notes = []
    if not _has("vnni"):
        notes.append(
            "No VNNI instructions: int8 products (dynamic, onnx-int8, openvino-int8) take several instructions instead "
            "of one, so int8 is about as fast as fp32 here; it still takes a quarter of the bytes."
        )
    if not _has("avx512"):
        notes.append(
            "No AVX-512: bitsandbytes multiplies int8 values as fp32 numbers, so llm.int8 is slower than fp32 here."
        )
    if not (_has("avx512_bf16") or _has("amx_tile")):
        notes.append("No bfloat16 instructions: bf16 is emulated and slower than fp32 here.")
    if not _has("amx_fp16"):
        notes.append("No fp16 instructions: fp16 is emulated and several times as slow as fp32 here.")
    return notes
