"""Where networks run, and in which arithmetic: all of it is set here.

Products of fp32 numbers are in full fp32, without TF32, on any device. Training, and scoring what training left, take
bfloat16 products where `half_precision` says so; every other form is scored, and every form is timed, in the precision
of its own weights. Training on a GPU takes deterministic algorithms.
"""

from __future__ import annotations

import contextlib
import functools
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from smaller.base import settings
from smaller.base.errors import SmallerError

WORKER_BYTES = 12e9
"""The free memory of a card for each worker process on it: a large encoder in training takes less."""

WORKERS_A_CARD = 4


@functools.cache
def device() -> torch.device:
    """The accelerator, if PyTorch sees one, else the processor.

    Raises SmallerError where there is a GPU that PyTorch cannot use: what was meant for it would take weeks.
    """
    if fault := gpu_fault():
        raise SmallerError(fault)
    # Convolutions have a switch of their own; there are none here.
    torch.backends.cuda.matmul.fp32_precision = "ieee"
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def gpu_fault() -> str:
    """Why PyTorch, in a build for NVIDIA's GPUs, cannot use the one that is here; empty where nothing is wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own warning says less
        if torch.version.cuda is None or torch.cuda.is_available() or settings.cards() == [] or not has_gpu():
            return ""
        try:
            torch.cuda.init()
            reason = "it sees none"
        except (RuntimeError, AssertionError) as problem:
            reason = str(problem).strip().partition("\n")[0].partition(". ")[0].rstrip(".")
    return (
        f"There is an NVIDIA GPU here, and PyTorch {torch.__version__} (for CUDA {torch.version.cuda}) cannot use it: "
        f"{reason}. Update the GPU's driver, or install a build of PyTorch for an older one, as the README says; "
        "CUDA_VISIBLE_DEVICES=-1 goes on without the GPU."
    )


def has_gpu() -> bool:
    """Whether the system knows an NVIDIA GPU, whatever PyTorch makes of it."""
    return any(Path("/dev").glob("nvidia[0-9]*")) or _nvidia("-L").startswith("GPU")


def _nvidia(*options: str) -> str:
    try:
        return subprocess.run(["nvidia-smi", *options], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def cards() -> list[str]:
    """The GPUs that this process may use, as `CUDA_VISIBLE_DEVICES` names them, or would; none without a GPU."""
    if device().type != "cuda":
        return []
    count, named = torch.cuda.device_count(), settings.cards()
    if named and named[0].startswith("MIG"):  # of which a process sees one, however many there are
        return named
    return (named or [str(card) for card in range(count)])[:count]


def workers_on(card: int) -> int:
    """How many worker processes share a card by default: one for each 12 GB that are free on it, one to four."""
    told = _nvidia("--query-gpu=memory.free", "--format=csv,noheader,nounits", f"--id={cards()[card]}").strip()
    # Where the tool is missing or knows no such part of a card, all of its memory counts: asking PyTorch takes some.
    known = min(card, torch.cuda.device_count() - 1)
    free = float(told) * 2**20 if told.isdecimal() else torch.cuda.get_device_properties(known).total_memory
    return min(max(int(free / WORKER_BYTES), 1), WORKERS_A_CARD)


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


class OutOfMemory(SmallerError):
    """A card's memory did not do for what was on it."""


@contextlib.contextmanager
def card_memory(what: str) -> Iterator[None]:
    """Raise OutOfMemory, which names what was done, where PyTorch finds too little memory on a card."""
    try:
        yield
    except torch.OutOfMemoryError as problem:
        raise OutOfMemory(
            f"{what} ran out of the GPU's memory ({str(problem).partition('. ')[0]}). Finished records are safe: end "
            "what else is on the card, or take fewer workers (SMALLER_WORKERS=1), and run again."
        ) from problem


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


@contextlib.contextmanager
def threads_at(count: int) -> Iterator[None]:
    """So many threads of the processor for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    """On a GPU the same bits each time, from algorithms that may be slower; a processor has no others.

    Raises RuntimeError, as PyTorch does, in an operation that has no such algorithm.
    """
    before = torch.are_deterministic_algorithms_enabled(), torch.utils.deterministic.fill_uninitialized_memory
    if device().type == "cuda":
        settings.before_deterministic()
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # no result is read from it
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.utils.deterministic.fill_uninitialized_memory = before[1]


def arithmetic() -> dict[str, object]:
    """What decides the last bits of a result here, for the record of it."""
    return {
        "device_type": device().type,
        "mixed_precision": "bfloat16" if half_precision() else "none",
        "fp32_products": torch.backends.cuda.matmul.fp32_precision,
    }
