"""What a model costs: parameters, bytes in several countings, and latency by one protocol with its noise floor."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import platform
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from smaller import formats
from smaller.base.settings import changed
from smaller.data.encoding import Batch, batch_of, encode, pad
from smaller.data.examples import Text
from smaller.data.text import as_sentence, composed
from smaller.encoders import Model
from smaller.encoders.device import device, placed, threads_at
from smaller.encoders.model import raw
from smaller.prediction.labels import by_place, labels_of

BATCHES = (1, 8)
"""Sentences in a call: one that somebody waits for, and as many as a small server collects."""


def size(model: Model) -> dict:
    """Parameters and bytes of a model in any form.

    `dense_bytes` is what it takes in memory as it is: zeros count, and so do the scales of quantized weights.
    `sparse_bytes` is a bitmap of one bit a weight and the non-zero values, `compressed_bytes` what zlib leaves of the
    dense bytes: what a download would take. Parameters that a graph folded into others count as not zero.
    """
    dense = sparse = compressed = zeros = 0
    for tensor in formats.stored(model.network):
        values = tensor.values
        zero = int((values == tensor.zero).sum()) if tensor.parameter else 0
        zeros += zero
        dense += values.numel() * values.element_size()
        sparse += (values.numel() - zero) * values.element_size()
        compressed += compressed_bytes(values)
    total = formats.parameter_count(model.network)
    return {
        "parameters": total,
        "nonzero_parameters": total - zeros,
        "dense_bytes": dense,
        "sparse_bytes": min(dense, sparse + -(-total // 8)),
        "compressed_bytes": compressed,
    }


def compressed_bytes(values: Tensor, *, chunk: int = 1 << 22) -> int:
    """The bytes that zlib (level 1) leaves of a tensor's values."""
    packer = zlib.compressobj(level=1)
    content = raw(values)
    packed = sum(len(packer.compress(content[start : start + chunk])) for start in range(0, len(content), chunk))
    return packed + len(packer.flush())


def masked_share(model: Model) -> float:
    """The share of a model's masked weights that is zero."""
    masks = model.masks.values()
    return 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)


def peak_memory(kind: str | None = None) -> int:
    """The most bytes that this process has held since `reset_peak`, of memory ("cpu") or of the GPU's ("cuda")."""
    if (kind or device().type) == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.is_file():
        # Linux lets a child's `ru_maxrss` begin at what its parent held when it was started.
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line)
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def reset_peak() -> None:
    """Let `peak_memory` begin anew, where the system can: on a GPU and on Linux."""
    if device().type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def cores() -> int:
    """The processor cores that this process may use; what the protocol calls all threads."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, psutil.cpu_count(logical=False) or allowed)


def machine(kind: str = "cpu") -> str:
    """The name of the processor ("cpu", with its cores) or GPU ("cuda") that times are of: they are only of that."""
    if kind != "cpu":
        return torch.cuda.get_device_name()
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8", errors="replace").splitlines() if about.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{next(names, '') or platform.processor() or platform.machine()}, {cores()} cores"


PAUSE = 0.05
"""Seconds of rest before a model's turn: worker threads of PyTorch and ONNX Runtime wait for work that long."""


@dataclass(frozen=True)
class Setting:
    """How latency is measured: sentences in a call, threads of the processor, and the kind of device."""

    batch: int = 1
    threads: int = 1
    device: str = "cpu"

    @property
    def protocol(self) -> str:
        """The setting and the protocol in one line."""
        threads = "one thread" if self.threads == 1 else f"{self.threads} threads"
        return (
            f"batch {self.batch}, {threads}, {self.device}; the network's time is from token ids to logits in the "
            "model's own form and its weights' precision, fp32 without TF32, the time end to end from text to labels; "
            "sentences by length, every shape once before "
            "the clock runs, models in turn after a rest; a round's mean over sentences, median over rounds"
        )


def settings(*, threads: int | None = None, gpu: bool | None = None) -> tuple[Setting, ...]:
    """The settings of the protocol: batch 1 and 8, on one thread and on all, and on the GPU if any.

    All `threads`, and whether there is a `gpu`, are those of this machine by default.
    """
    kinds = [("cpu", count) for count in dict.fromkeys((1, threads or cores()))]
    kinds += [("cuda", 1)] * (device().type == "cuda" if gpu is None else gpu)
    return tuple(Setting(batch, threads, kind) for kind, threads in kinds for batch in BATCHES)


def latency(
    models: Mapping[str, Model],
    sentences: Mapping[str, Sequence[Tensor]],
    *,
    texts: Sequence[str] = (),
    setting: Setting | None = None,
    rounds: int = 7,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, dict]:
    """Milliseconds for a sentence, for several models timed side by side on this machine.

    `sentences` are the same ones for each model, as rows of its own tokenizer's token ids. In every round each model
    runs every batch once, one model after another, so that slow moments of the machine fall on all alike. For each
    name: `milliseconds` (a round's mean time for a sentence, median over rounds), `low` and `high` (that mean in the
    fastest and the slowest round), `rounds`, `total_by_round` (milliseconds for all sentences) and `protocol`.

    With `texts`, the same sentences as text and in the same order, each model also labels them in each round, right
    after its network has run (see `labels_of_texts`): `end_to_end_milliseconds`, `end_to_end_low`, `end_to_end_high`.
    The `clock` gives seconds.
    """
    setting = setting or Setting()

    def milliseconds(call: Callable[[Any], object], batches: Iterable) -> float:
        _synchronise(setting)
        began = clock()
        for batch in batches:
            call(batch)
            _synchronise(setting)
        return 1000 * (clock() - began)

    # What is timed of each model, by the beginning of its columns: a call, and its batches.
    ways: dict[str, dict[str, tuple[Callable, list]]] = {"": {}} | ({"end_to_end_": {}} if texts else {})
    for name, model in models.items():
        network = placed(model.network, setting.device)
        made = batches_by_length(sentences[name], size=setting.batch, padding=model.tokenizer.pad_token_id)
        batches = [batch.to(torch.device(setting.device)) for batch in made]
        ways[""][name] = (functools.partial(_run, network), batches)
        if texts:
            read = functools.partial(labels_of_texts, model, place=setting.device)
            ways["end_to_end_"][name] = (read, [[texts[row] for row in batch.rows] for batch in batches])
    totals: dict[tuple[str, str], list[float]] = {(way, name): [] for way in ways for name in models}
    names = list(models)
    with threads_at(setting.threads), changed(TOKENIZERS_PARALLELISM="true" if setting.threads > 1 else "false"):
        for call, batches in ways[""].values():
            for batch in {batch.pieces.shape: batch for batch in batches}.values():
                call(batch)
        for call, batches in ways.get("end_to_end_", {}).values():
            milliseconds(call, batches)
        for turn in range(rounds):
            # The order turns with the rounds: whoever runs first after a pause finds a cold cache.
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                # Threads of the model before may still be spinning, and one call that does not count warms the cache.
                time.sleep(PAUSE)
                for way, timed in ways.items():
                    call, batches = timed[name]
                    milliseconds(call, batches[-1:])
                    totals[way, name].append(milliseconds(call, batches))
    return {
        name: {"rounds": rounds, "total_by_round": totals["", name], "protocol": setting.protocol}
        | {
            f"{way}{column}": float(of(totals[way, name])) / len(sentences[name])
            for way in ways
            for column, of in (("milliseconds", np.median), ("low", min), ("high", max))
        }
        for name in models
    }


@torch.inference_mode()
def _run(network: nn.Module, batch: Batch) -> None:
    network(input_ids=batch.pieces, attention_mask=batch.mask)


def _synchronise(setting: Setting) -> None:
    if setting.device == "cuda":
        torch.cuda.synchronize()


@torch.inference_mode()
def labels_of_texts(model: Model, texts: Sequence[str], *, place: str = "cpu") -> list[str]:
    """The likeliest label of each word of the texts, or of each text, by one call of the network on a device.

    All that has to be between text and labels is here, and no more: words are found as `tagging` finds them, at most
    164 tokens of a text are read; probabilities are not computed, and entities are not put together.
    """
    own = [as_sentence(composed(text)) if model.unit == "word" else Text(composed(text), "") for text in texts]
    encoded = encode(own, model.tokenizer, model.labels)
    batch = batch_of(encoded, range(len(encoded)), padding=model.tokenizer.pad_token_id).to(torch.device(place))
    logits = by_place(model.network(input_ids=batch.pieces, attention_mask=batch.mask).logits).float().cpu()
    return labels_of(model, logits[pad(encoded.words, value=-1)[:, : logits.shape[1]] >= 0])


def batches_by_length(rows: Sequence[Tensor], *, size: int, padding: int) -> Iterator[Batch]:
    """Rows of token ids in batches, the shortest first, so that a batch holds little padding."""
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    for start in range(0, len(rows), size):
        chosen = order[start : start + size]
        pieces = pad([rows[place] for place in chosen], value=padding)
        lengths = torch.tensor([len(rows[place]) for place in chosen])
        yield Batch(pieces, torch.arange(pieces.shape[1]) < lengths[:, None], None, chosen)


def in_words(milliseconds: float, end_to_end: float = math.nan) -> str:
    """The time for a sentence, end to end (NaN where it was not measured) and of the network alone, in words."""
    if math.isnan(end_to_end):
        return f"token ids to logits: {milliseconds:.2f} ms for a sentence"
    return f"text to labels: {end_to_end:.2f} ms for a sentence, of which the network {milliseconds:.2f} ms"


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
    for name, linear in list(sparse.backbone.named_modules()):
        if isinstance(linear, nn.Linear) and f"{name}.weight" in sparse.masks:
            parent, _, child = name.rpartition(".")
            setattr(sparse.backbone.get_submodule(parent), child, SparseLinear(linear))
    return sparse
