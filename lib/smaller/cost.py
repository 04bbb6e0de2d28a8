"""What a model costs: parameters, bytes in three countings, and latency by one protocol with its noise floor."""

from __future__ import annotations

import resource
import sys
import time
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from smaller.encoders import Model, parameter_count
from smaller.training import device

PROTOCOL = "batch 1, fp32, one thread, models in turn; a round's mean over sentences, median over rounds"


def size(model: Model) -> dict:
    """Parameters and bytes of a model.

    `dense_bytes` is what it takes in memory and on disk as it is: zeros count. `sparse_bytes` is a bitmap of one bit a
    weight and the non-zero values, `compressed_bytes` what zlib leaves of the dense bytes: what a download would take.
    """
    parameters = list(model.network.parameters())
    total = parameter_count(model.network)
    nonzero = sum(int(torch.count_nonzero(parameter)) for parameter in parameters)
    dense = sum(parameter.numel() * parameter.element_size() for parameter in parameters)
    width = dense // total
    return {
        "parameters": total,
        "nonzero_parameters": nonzero,
        "dense_bytes": dense,
        "sparse_bytes": min(dense, nonzero * width + -(-total // 8)),
        "compressed_bytes": sum(compressed_bytes(parameter) for parameter in parameters),
    }


def compressed_bytes(values: Tensor, *, chunk: int = 1 << 22) -> int:
    """The bytes that zlib (level 1) leaves of a tensor's values."""
    packer = zlib.compressobj(level=1)
    raw = memoryview(values.detach().cpu().contiguous().view(torch.uint8).numpy()).cast("B")
    packed = sum(len(packer.compress(raw[start : start + chunk])) for start in range(0, len(raw), chunk))
    return packed + len(packer.flush())


def masked_share(model: Model) -> float:
    """The share of a model's masked weights that is zero."""
    masks = model.masks.values()
    return 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)


def peak_memory() -> int:
    """The most bytes of memory that this process has held so far (of the GPU's memory, where there is one)."""
    if device().type == "cuda":
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@torch.inference_mode()
def latency(models: Mapping[str, Model], sentences: Sequence[Tensor], *, rounds: int = 7, threads: int = 1) -> dict:
    """Milliseconds for a sentence, for several models timed side by side on this machine.

    `sentences` are rows of piece ids. In every round each model runs every sentence once, one model after another, so
    that slow moments of the machine fall on all alike. For each name: `milliseconds` (a round's mean time for a
    sentence, median over rounds), `low` and `high` (that mean in the fastest and the slowest round), and `rounds`.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    times = {name: np.zeros((rounds, len(sentences))) for name in models}
    try:
        networks = {name: model.network.to(device()).eval() for name, model in models.items()}
        rows = [row[None].to(device()) for row in sentences]
        for network in networks.values():
            for row in rows[:3]:
                network(input_ids=row)
        for turn in range(rounds):
            # The order turns with the rounds: whoever runs first after a pause finds a cold cache.
            names = list(networks)[turn % len(networks) :] + list(networks)[: turn % len(networks)]
            for name in names:
                for place, row in enumerate(rows):
                    _synchronise()
                    began = time.perf_counter()
                    networks[name](input_ids=row)
                    _synchronise()
                    times[name][turn, place] = time.perf_counter() - began
    finally:
        torch.set_num_threads(before)
    return {name: _summary(1000 * seconds) for name, seconds in times.items()}


def _synchronise() -> None:
    if device().type == "cuda":
        torch.cuda.synchronize()


def _summary(milliseconds: np.ndarray) -> dict:
    rounds = milliseconds.mean(axis=1)
    return {
        "milliseconds": float(np.median(rounds)),
        "low": float(rounds.min()),
        "high": float(rounds.max()),
        "rounds": len(rounds),
        "total_by_round": [float(total) for total in milliseconds.sum(axis=1)],
        "protocol": PROTOCOL,
    }


def noise_floor(first: Mapping, second: Mapping) -> float:
    """The share by which two timings of one and the same model differ (A/A): the largest over rounds, not the mean.

    A difference between two models that is smaller than this says nothing.
    """
    a, b = np.array(first["total_by_round"]), np.array(second["total_by_round"])
    return float(np.max(np.abs(a - b) / np.minimum(a, b)))


class SparseLinear(nn.Module):
    """A Linear layer whose weight is kept in compressed sparse rows and multiplied by a sparse kernel."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        with warnings.catch_warnings():  # that PyTorch may still change its sparse tensors
            warnings.simplefilter("ignore", UserWarning)
            self.register_buffer("weight", linear.weight.detach().to_sparse_csr())
        self.register_buffer("bias", linear.bias.detach())

    def forward(self, values: Tensor) -> Tensor:
        """Values of shape (..., inputs) to (..., outputs)."""
        flat = values.reshape(-1, values.shape[-1])
        return torch.addmm(self.bias[:, None], self.weight, flat.T).T.reshape(*values.shape[:-1], -1)


def with_sparse_kernels(model: Model) -> Model:
    """The same model with every masked Linear layer on a sparse kernel; for timing, not for training."""
    sparse = model.copy()
    for parent_name, child_name, linear in list(_linears(sparse.backbone)):
        if f"{parent_name}.{child_name}.weight" in sparse.masks:
            setattr(sparse.backbone.get_submodule(parent_name), child_name, SparseLinear(linear))
    return sparse


def _linears(network: nn.Module) -> Iterator[tuple[str, str, nn.Linear]]:
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            parent, _, child = name.rpartition(".")
            yield parent, child, module
