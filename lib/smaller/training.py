"""One training loop for every technique: batches in, objective passed in, masks held."""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from smaller.data.encoding import IGNORED, Batch
from smaller.encoders import Model
from smaller.errors import SmallerError
from smaller.progress import Say, silent

Objective = Callable[[nn.Module, Batch], Tensor]


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


def mixed_precision() -> contextlib.AbstractContextManager:
    """bfloat16 for matrix products where the processor has it; parameters and sums stay in fp32."""
    return torch.autocast(device().type, dtype=torch.bfloat16, enabled=half_precision())


class _Dropout(torch.autograd.Function):
    """Dropout from 16-bit random integers: the processor draws four of them in the time of one Bernoulli sample."""

    @staticmethod
    def forward(context, values: Tensor, rate: float) -> Tensor:
        count = values.numel()
        bits = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        keep = bits[:count].view(values.shape) >= round(65536 * rate) - 32768
        scale = keep.to(values.dtype).mul_(1 / (1 - rate))
        context.save_for_backward(scale)
        return values * scale

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, None]:
        (scale,) = context.saved_tensors
        return gradient * scale, None


class FastDropout(nn.Dropout):
    """`nn.Dropout` for the processor, two to three times as fast; the rate is exact to 1/65536."""

    def forward(self, values: Tensor) -> Tensor:
        """Zero each value with probability `p` and scale the others by 1 / (1 - p), in training only."""
        if not self.training or self.p == 0 or values.device.type != "cpu":
            return super().forward(values)
        return _Dropout.apply(values, self.p)


def _attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, *,
    scaling: float | None = None, dropout: float = 0.0, **_: object,
) -> tuple[Tensor, None]:  # fmt: skip
    """Scaled dot-product attention with `_Dropout` on its weights; queries of shape (sentences, heads, pieces, width).

    PyTorch's fused kernel has no dropout on the processor and falls back to a path that draws Bernoulli samples.
    """
    scores = torch.matmul(query * (scaling or query.shape[-1] ** -0.5), key.transpose(-1, -2))
    weights = torch.softmax(scores if attention_mask is None else scores + attention_mask, dim=-1)
    if dropout:
        weights = _Dropout.apply(weights, dropout)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), None


ALL_ATTENTION_FUNCTIONS.register("smaller", _attention)
ALL_MASK_ATTENTION_FUNCTIONS.register("smaller", eager_mask)


@contextlib.contextmanager
def fast_dropout(network: PreTrainedModel) -> Iterator[None]:
    """On the processor, swap the network's dropout for `FastDropout`, also inside attention, while it trains."""
    if device().type != "cpu":
        yield
        return
    swapped = [module for module in network.modules() if type(module) is nn.Dropout]
    before = network.config._attn_implementation
    for module in swapped:
        module.__class__ = FastDropout
    network.set_attn_implementation("smaller")
    try:
        yield
    finally:
        network.set_attn_implementation(before)
        for module in swapped:
            module.__class__ = nn.Dropout


@contextlib.contextmanager
def dropout_at(network: nn.Module, rate: float | None) -> Iterator[None]:
    """Set every dropout of the network to one rate for a while; None changes nothing."""
    rates = {module: module.p for module in network.modules() if isinstance(module, nn.Dropout)}
    try:
        for module in rates if rate is not None else ():
            module.p = rate
        yield
    finally:
        for module, before in rates.items():
            module.p = before


@contextlib.contextmanager
def trimmed_vocabulary(network: nn.Module, used: Tensor) -> Iterator[Tensor]:
    """Train on the rows of the piece embedding that occur, and put them back afterwards.

    Rows of pieces that do not occur get no gradient, and without weight decay no update: leaving them out changes no
    result and saves the optimizer's pass over them (half of AfriBERTa's parameters). Yields a table of shape
    (vocabulary,) from old ids to new.
    """
    table = network.get_input_embeddings()
    used = torch.unique(used)
    padding = table.padding_idx
    ids = torch.full((table.num_embeddings,), -1, dtype=torch.long)
    ids[used] = torch.arange(len(used))
    small = nn.Embedding.from_pretrained(
        table.weight.detach()[used.to(table.weight.device)],
        freeze=False,
        padding_idx=None if padding is None else int(ids[padding]),
    )
    network.set_input_embeddings(small)
    try:
        yield ids
    finally:
        with torch.no_grad():
            table.weight[used.to(table.weight.device)] = small.weight
        network.set_input_embeddings(table)


@dataclass(frozen=True)
class Report:
    """What a training run did: updates, pieces seen (without padding), wall-clock seconds, and its losses."""

    updates: int
    pieces: int
    seconds: float
    losses: list[float]

    def as_record(self) -> dict:
        """Plain values; the loss curve is thinned to at most 100 points."""
        stride = max(1, math.ceil(len(self.losses) / 100))
        return {
            "updates": self.updates,
            "pieces": self.pieces,
            "seconds": round(self.seconds, 3),
            "loss_first": round(self.losses[0], 4),
            "loss_last": round(sum(self.losses[-20:]) / len(self.losses[-20:]), 4),
            "loss_curve": [round(loss, 4) for loss in self.losses[::stride]],
            "loss_curve_stride": stride,
        }


def linear_decay(update: int, *, updates: int, warm_up: int) -> float:
    """The learning rate's factor: up over `warm_up` updates, then down to zero in a straight line."""
    if update < warm_up:
        return (update + 1) / warm_up
    return max(0.0, (updates - update) / max(1, updates - warm_up))


def train(
    model: Model,
    batches: Iterable[Batch],
    objective: Objective,
    *,
    updates: int,
    learning_rate: float,
    seed: int,
    warm_up: int = 0,
    weight_decay: float = 0.0,
    clip: float = 1.0,
    betas: tuple[float, float] = (0.9, 0.999),
    dropout: float | None = None,
    say: Say = silent,
) -> Report:
    """Train the model in place: AdamW, linear decay, clipped gradients, masks held, dropout from `seed`.

    `dropout` is the rate during this training; None keeps the rates that the model's configuration gives.

    Masked weights get no gradient and no decay, so they stay exactly zero, as with `torch.nn.utils.prune`.
    Raises SmallerError when the loss stops being a number.
    """
    network = model.network.to(device()).train()
    masked = [(parameter, mask.to(device())) for parameter, mask in model.masked_parameters()]
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, lr=learning_rate, betas=betas, eps=1e-8, weight_decay=weight_decay, fused=True
    )
    losses: list[Tensor] = []
    pieces, started, last_said = 0, time.perf_counter(), time.perf_counter()
    with torch.random.fork_rng(), fast_dropout(network), dropout_at(network, dropout):
        torch.manual_seed(seed)
        for update, batch in enumerate(batches):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * linear_decay(update, updates=updates, warm_up=warm_up)
            pieces += int(batch.mask.sum())
            batch = batch.to(device())
            with mixed_precision():
                loss = objective(network, batch)
            loss.backward()
            for parameter, mask in masked:
                parameter.grad.mul_(mask)
            nn.utils.clip_grad_norm_(parameters, clip, foreach=True)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.detach())
            if time.perf_counter() - last_said > 10:
                last_said = time.perf_counter()
                speed = pieces / (last_said - started)
                say(f"update {update + 1} of {updates}, loss {float(losses[-1]):.3f}, {speed:,.0f} pieces/s")
    network.eval()
    curve = torch.stack(losses).float().tolist()
    if not math.isfinite(curve[-1]):
        raise SmallerError(
            f"Training diverged: the loss is {curve[-1]} after {len(curve)} updates at a learning rate of "
            f"{learning_rate:g}. Use a smaller learning rate."
        )
    return Report(len(curve), pieces, time.perf_counter() - started, curve)


def token_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of the labels on first pieces, mean over the batch's words."""
    logits = network(input_ids=batch.pieces, attention_mask=batch.mask).logits
    return _mean_cross_entropy(logits.flatten(0, 1), batch.labels.flatten())


def masked_language_loss(network: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy at the masked positions; the vocabulary's logits are computed there only."""
    hidden = network.base_model(input_ids=batch.pieces, attention_mask=batch.mask).last_hidden_state
    places = batch.labels != IGNORED
    head = network.lm_head if hasattr(network, "lm_head") else network.cls
    return _mean_cross_entropy(head(hidden[places]), batch.labels[places])


def _mean_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean over the labels that count; zero, not NaN as PyTorch has it, for a batch without any."""
    total = functional.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="sum")
    return total / (labels != IGNORED).sum().clamp(min=1)
