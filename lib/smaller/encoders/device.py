"""Where networks run, and in which precision."""

from __future__ import annotations

import contextlib
import functools

import torch
from torch import nn


@functools.cache
def device() -> torch.device:
    """The accelerator, if PyTorch sees one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@functools.cache
def half_precision() -> bool:
    """Whether bfloat16 products run at full speed here: on a GPU of 2020 or later, or with AVX-512-BF16 or AMX."""
    if device().type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capable = (
        getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        or getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    )
    return bool(capable)


def placed(network: nn.Module, where: torch.device | str | None = None) -> nn.Module:
    """The network itself, moved to a device (default: the accelerator, if there is one) and ready for inference.

    Only outside inference mode: what is moved inside it can never be trained again. Raises RuntimeError there, also
    where nothing has to move, so that the mistake is seen on any machine.
    """
    if torch.is_inference_mode_enabled():
        raise RuntimeError("A network that is moved inside inference mode cannot be trained any more. Move it before.")
    return network.to(device() if where is None else where).eval()


def mixed_precision() -> contextlib.AbstractContextManager:
    """bfloat16 for matrix products where the processor has it; parameters and sums stay in fp32."""
    return torch.autocast(device().type, dtype=torch.bfloat16, enabled=half_precision())
