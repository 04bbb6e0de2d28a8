"""What a model costs: parameters, bytes in several countings, and latency by one protocol with its noise floor."""

from __future__ import annotations

import math
import os
import platform
import resource
import sys
import time
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from smaller import formats
from smaller.data.encoding import Batch, batch_of, encode, pad
from smaller.data.examples import Sentence, Text
from smaller.data.text import composed
from smaller.encoders import Model
from smaller.encoders.device import device, placed
from smaller.prediction.labels import by_place, labels_of
from smaller.prediction.tagging import words_of

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


def bytes_by_part(model: Model) -> dict[str, int]:
    """The dense bytes of a model in any form, by where they are: embeddings, linear, rest (`formats.PARTS`)."""
    return formats.bytes_by_part(model.network)


def compressed_bytes(values: Tensor, *, chunk: int = 1 << 22) -> int:
    """The bytes that zlib (level 1) leaves of a tensor's values."""
    packer = zlib.compressobj(level=1)
    raw = memoryview(values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()).cast("B")
    packed = sum(len(packer.compress(raw[start : start + chunk])) for start in range(0, len(raw), chunk))
    return packed + len(packer.flush())


def masked_share(model: Model) -> float:
    """The share of a model's masked weights that is zero."""
    masks = model.masks.values()
    return 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)


def peak_memory(kind: str | None = None) -> int:
    """The most bytes that this process has held so far, of memory ("cpu") or of the GPU's ("cuda", if there is one)."""
    if (kind or device().type) == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.is_file():
        # Linux lets a child's `ru_maxrss` begin at what its parent held when it was started.
        return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


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

_TOKENIZERS = "TOKENIZERS_PARALLELISM"
"""The variable by which the tokenizers' library is told whether a batch may be read on several threads."""


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
            "model's own form, the time end to end from text to labels; sentences by length, every shape once before "
            "the clock runs, models in turn after a rest; a round's mean over sentences, median over rounds"
        )


def settings() -> tuple[Setting, ...]:
    """The settings of the protocol on this machine: batch 1 and 8, on one thread and on all, and on the GPU if any."""
    kinds = [("cpu", threads) for threads in dict.fromkeys((1, cores()))]
    kinds += [("cuda", 1)] * (device().type == "cuda")
    return tuple(Setting(batch, threads, kind) for kind, threads in kinds for batch in BATCHES)


def latency(
    models: Mapping[str, Model],
    sentences: Mapping[str, Sequence[Tensor]],
    *,
    texts: Sequence[str] = (),
    setting: Setting | None = None,
    rounds: int = 7,
) -> dict[str, dict]:
    """Milliseconds for a sentence, for several models timed side by side on this machine.

    `sentences` are the same ones for each model, as rows of its own tokenizer's token ids. In every round each model
    runs every batch once, one model after another, so that slow moments of the machine fall on all alike. For each
    name: `milliseconds` (a round's mean time for a sentence, median over rounds), `low` and `high` (that mean in the
    fastest and the slowest round), `rounds`, `total_by_round` (milliseconds for all sentences) and `protocol`.

    With `texts`, the same sentences as text and in the same order, each model also labels them in each round, right
    after its network has run (see `labels_of_texts`): `end_to_end_milliseconds`, `end_to_end_low`, `end_to_end_high`.
    """
    setting = setting or Setting()
    before, tokenizers = torch.get_num_threads(), os.environ.get(_TOKENIZERS)
    torch.set_num_threads(setting.threads)
    os.environ[_TOKENIZERS] = "true" if setting.threads > 1 else "false"
    totals: dict[str, list[float]] = {name: [] for name in models}
    whole: dict[str, list[float]] = {name: [] for name in models}
    try:
        networks = {name: placed(model.network, setting.device) for name, model in models.items()}
        batches = {name: _batches(sentences[name], model, setting) for name, model in models.items()}
        for name, network in networks.items():
            for batch in {batch.pieces.shape: batch for batch in batches[name]}.values():
                _milliseconds(network, batch)
        read = {name: _texts_by_batch(texts, sentences[name], setting) for name in models if texts}
        for name, batched in read.items():
            _end_to_end(models[name], batched, setting)
        for turn in range(rounds):
            # The order turns with the rounds: whoever runs first after a pause finds a cold cache.
            names = list(networks)[turn % len(networks) :] + list(networks)[: turn % len(networks)]
            for name in names:
                # Threads of the model before may still be spinning, and one call that does not count warms the cache.
                time.sleep(PAUSE)
                _milliseconds(networks[name], batches[name][-1])
                totals[name].append(sum(_milliseconds(networks[name], batch) for batch in batches[name]))
                if texts:
                    _end_to_end(models[name], read[name][-1:], setting)
                    whole[name].append(_end_to_end(models[name], read[name], setting))
    finally:
        torch.set_num_threads(before)
        os.environ.pop(_TOKENIZERS)
        if tokenizers is not None:
            os.environ[_TOKENIZERS] = tokenizers
    return {
        name: _summary(own, whole[name], count=len(sentences[name]), setting=setting) for name, own in totals.items()
    }


@torch.inference_mode()
def labels_of_texts(model: Model, texts: Sequence[str], *, place: str = "cpu") -> list[str]:
    """The likeliest label of each word of the texts, or of each text, by one call of the network on a device.

    All that has to be between text and labels is here, and no more: words are found as `tagging.words_of` finds them,
    at most 164 tokens of a text are read; probabilities are not computed, and entities are not put together.
    """
    own = [_sentence(composed(text)) if model.unit == "word" else Text(composed(text), "") for text in texts]
    encoded = encode(own, model.tokenizer, model.labels)
    batch = batch_of(encoded, range(len(encoded)), padding=model.tokenizer.pad_token_id).to(torch.device(place))
    logits = by_place(model.network(input_ids=batch.pieces, attention_mask=batch.mask).logits).float().cpu()
    return labels_of(model, logits[pad(encoded.words, value=-1)[:, : logits.shape[1]] >= 0])


def _sentence(text: str) -> Sentence:
    words = tuple(text[start:end] for start, end in words_of(text))
    return Sentence(words, ("O",) * len(words))


def _texts_by_batch(texts: Sequence[str], rows: Sequence[Tensor], setting: Setting) -> list[list[str]]:
    """The texts in the batches in which `batches_by_length` has their rows."""
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    return [
        [texts[place] for place in order[start : start + setting.batch]]
        for start in range(0, len(order), setting.batch)
    ]


def _end_to_end(model: Model, batches: Sequence[Sequence[str]], setting: Setting) -> float:
    """Milliseconds from text to labels, all batches one after another; the labels are on the processor at the end."""
    began = time.perf_counter()
    for batch in batches:
        labels_of_texts(model, batch, place=setting.device)
    return 1000 * (time.perf_counter() - began)


def batches_by_length(rows: Sequence[Tensor], *, size: int, padding: int) -> Iterator[Batch]:
    """Rows of piece ids in batches, the shortest first, so that a batch holds little padding."""
    rows = sorted(rows, key=len)
    for start in range(0, len(rows), size):
        chosen = rows[start : start + size]
        pieces = pad(chosen, value=padding)
        lengths = torch.tensor([len(row) for row in chosen])
        mask = torch.arange(pieces.shape[1]) < lengths[:, None]
        yield Batch(pieces, mask, None, range(start, start + len(chosen)))


def _batches(rows: Sequence[Tensor], model: Model, setting: Setting) -> list[Batch]:
    made = batches_by_length(rows, size=setting.batch, padding=model.tokenizer.pad_token_id)
    return [batch.to(torch.device(setting.device)) for batch in made]


@torch.inference_mode()
def _milliseconds(network: nn.Module, batch: Batch) -> float:
    _synchronise(batch.pieces)
    began = time.perf_counter()
    network(input_ids=batch.pieces, attention_mask=batch.mask)
    _synchronise(batch.pieces)
    return 1000 * (time.perf_counter() - began)


def _synchronise(values: Tensor) -> None:
    if values.is_cuda:
        torch.cuda.synchronize()


def _summary(totals: list[float], whole: list[float], *, count: int, setting: Setting) -> dict:
    end_to_end = (
        {
            "end_to_end_milliseconds": float(np.median(whole)) / count,
            "end_to_end_low": min(whole) / count,
            "end_to_end_high": max(whole) / count,
        }
        if whole
        else {}
    )
    return {
        "milliseconds": float(np.median(totals)) / count,
        "low": min(totals) / count,
        "high": max(totals) / count,
        "rounds": len(totals),
        "total_by_round": totals,
        "protocol": setting.protocol,
    } | end_to_end


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
    for parent_name, child_name, linear in list(_linears(sparse.backbone)):
        if f"{parent_name}.{child_name}.weight" in sparse.masks:
            setattr(sparse.backbone.get_submodule(parent_name), child_name, SparseLinear(linear))
    return sparse


def _linears(network: nn.Module) -> Iterator[tuple[str, str, nn.Linear]]:
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            parent, _, child = name.rpartition(".")
            yield parent, child, module
