"""One training loop for every technique: batches in, objective passed in, masks held."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from smaller.base.errors import SmallerError
from smaller.base.progress import Say, duration, silent
from smaller.base.settings import rehearsed_updates
from smaller.data.encoding import IGNORED, Batch, flat_places
from smaller.encoders import Model
from smaller.encoders.device import deterministic, device, mixed_precision, placed
from smaller.encoders.served import SERVED
from smaller.prediction.labels import by_place
from smaller.study.checkpoints import Checkpoint
from smaller.study.halves import halves_of
from smaller.study.rounding import Rounding

Objective = Callable[[nn.Module, Batch, Batch], Tensor]
"""The loss of a part of a batch as its share of the whole batch's: a sum over the part, over what counts in the whole.

It is a number, or a vector of weighted terms that add up to it. Called with the network, the part and the whole.
"""

PART = 4096
"""The padded tokens that run at once on a processor. It bounds the memory: attention, and what waits for gradients."""


class _Dropout(torch.autograd.Function):
    """Dropout from 16-bit random integers: the processor draws four of them in the time of one Bernoulli sample."""

    @staticmethod
    def forward(context, values: Tensor, rate: float) -> Tensor:
        count = values.numel()
        bits = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        kept = torch.empty(values.shape, dtype=values.dtype)  # zeros and ones at once: no pass to change their type
        torch.ge(bits[:count].view(values.shape), round(65536 * rate) - 32768, out=kept)
        scale = kept.mul_(1 / (1 - rate))
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
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: object,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention with `_Dropout` on its weights; queries of shape (sentences, heads, tokens, width).

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
    if device().type != "cpu" or network.config.model_type not in SERVED:
        yield  # of another architecture nobody knows what its attention is given
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
    """Train on the rows of the token embedding that occur, and put them back afterwards.

    Rows of tokens that do not occur get no gradient, and without weight decay no update: leaving them out changes no
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
        table.to(small.weight.device)  # training took the rest of the network there, and not the table
        with torch.no_grad():
            table.weight[used.to(table.weight.device)] = small.weight
        network.set_input_embeddings(table)


@dataclass(frozen=True)
class Report:
    """What a training run did: updates, tokens seen (without padding), wall-clock seconds, and its losses.

    `terms` holds the objective's terms for each update, in its order; each update's add up to its loss.
    """

    updates: int
    tokens: int
    seconds: float
    losses: list[float]
    terms: list[list[float]] = field(default_factory=list)

    def as_record(self) -> dict:
        """Plain values; the loss curve is thinned to at most 100 points."""
        stride = max(1, math.ceil(len(self.losses) / 100))
        return {
            "updates": self.updates,
            "pieces": self.tokens,
            "seconds": round(self.seconds, 3),
            **{f"loss_{end}": round(value, 4) for end, value in ends(self.losses).items()},
            "loss_curve": [round(loss, 4) for loss in self.losses[::stride]],
            "loss_curve_stride": stride,
        }


def ends(curve: list[float]) -> dict[str, float]:
    """Where a curve begins, and where it ends: the mean of its last 20 points, since single ones are noisy."""
    return {"first": curve[0], "last": sum(curve[-20:]) / len(curve[-20:])}


def linear_decay(update: int, *, updates: int, warm_up: int) -> float:
    """The learning rate's factor: up over `warm_up` updates, then down to zero in a straight line."""
    if update < warm_up:
        return (update + 1) / warm_up
    return max(0.0, (updates - update) / max(1, updates - warm_up))


def parts(batch: Batch, budget: int | None = None) -> Iterator[Batch]:
    """The batch in parts of about `budget` tokens with padding at most; by default `PART`, 16 times that on a GPU."""
    budget = budget or (PART if device().type == "cpu" else 16 * PART)
    count = min(len(batch.rows), -(-batch.pieces.numel() // budget))
    if count == 1:
        yield batch
        return
    for rows in torch.arange(len(batch.rows)).tensor_split(count):
        width = int(batch.mask[rows].sum(dim=1).max())
        labels = None if batch.labels is None else batch.labels[rows, :width]
        yield Batch(batch.pieces[rows, :width], batch.mask[rows, :width], labels, [batch.rows[row] for row in rows])


@deterministic()
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
    betas: tuple[float, float] = (0.9, 0.999),
    dropout: float | None = None,
    bits: int | None = None,
    scratch: Path | None = None,
    say: Say = silent,
    part: int | None = None,
    say_seconds: float = 10.0,
    checkpoint_seconds: float | None = None,
) -> Report:
    """Train the model in place: AdamW, linear decay, gradients clipped at 1, masks held, dropout from `seed`.

    `dropout` is the rate during this training; None keeps the rates that the model's configuration gives. With
    `bits` a classifier's losses are those of its rounded weights (see `Rounding`), and its weights stay whole. A folder
    `scratch` holds a checkpoint while training lasts: the same training goes on from it after its process was killed,
    with the losses and weights of an undisturbed run, bit for bit (on the same device and number of threads). `part` is
    the budget of `parts`; the two numbers of seconds are the least between lines that are said and between checkpoints.

    Masked weights get no gradient and no decay, so they stay exactly zero, as with `torch.nn.utils.prune`.
    `weight_decay` is that of one group with all parameters, biases and norms among them, where RoBERTa's recipe (Liu et
    al. 2019) is commonly run without decay on those. AfriBERTa's recipe for fine-tuning has no decay at all.
    A rehearsal ends after its few updates. Raises SmallerError when the loss stops being a number.
    """
    network = placed(model.network).train()
    masked = [(parameter, mask) for parameter, mask in model.masked_parameters() if parameter.requires_grad]
    masks = [mask.to(parameter) for parameter, mask in masked]
    rounding = Rounding(model, bits) if bits else None
    named = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    optimizer = torch.optim.AdamW(
        named.values(), lr=learning_rate, betas=betas, eps=1e-8, weight_decay=weight_decay, fused=True
    )
    if few := rehearsed_updates():
        updates, batches = min(updates, few), itertools.islice(batches, few)
    batches = iter(batches)
    first = next(batches)
    settings = [updates, learning_rate, seed, warm_up, weight_decay, list(betas), dropout, device().type, bits]
    checkpoint = scratch and Checkpoint(
        scratch, named, optimizer, settings=settings, first=first, say=say, seconds=checkpoint_seconds
    )
    with torch.random.fork_rng(), fast_dropout(network), dropout_at(network, dropout), halves_of(network) as halves:
        torch.manual_seed(seed)
        losses, tokens, before = (checkpoint and checkpoint.resume()) or ([], 0, 0.0)
        resumed, tokens_before = len(losses), tokens
        started = last_said = time.perf_counter()
        for update, batch in enumerate(itertools.chain([first], batches)):
            if update < resumed:
                continue
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * linear_decay(update, updates=updates, warm_up=warm_up)
            tokens += int(batch.mask.sum())
            shares = []
            if rounding:
                rounding.put()
            if halves:
                halves.refresh()
            for some in parts(batch, part):
                with mixed_precision():
                    share = objective(network, some.to(device()), batch)
                share.sum().backward()
                if halves:
                    halves.collect()
                shares.append(share.detach())
            if rounding:
                rounding.take_back()
            if masked:
                torch._foreach_mul_([parameter.grad for parameter, _ in masked], masks)
            nn.utils.clip_grad_norm_(named.values(), 1.0, foreach=True)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(sum(shares[1:], shares[0]))
            now = time.perf_counter()
            if now - last_said > say_seconds:
                last_said, done = now, update + 1
                loss = _finite(float(losses[-1].sum()), done, learning_rate)
                left = duration((now - started) / (done - resumed) * (updates - done))
                speed = (tokens - tokens_before) / (now - started)
                say(f"update {done} of {updates}, loss {loss:.3f}, {speed:,.0f} tokens/s, about {left} left")
            if checkpoint and now >= checkpoint.due:
                checkpoint.write(losses, tokens, before + now - started)
    network.eval()
    terms = torch.stack(losses).float().cpu().reshape(len(losses), -1)
    curve = terms.sum(dim=1).tolist()
    _finite(curve[-1], len(curve), learning_rate)
    if checkpoint:
        checkpoint.remove()
    return Report(len(curve), tokens, before + time.perf_counter() - started, curve, terms.tolist())


def _finite(loss: float, updates: int, learning_rate: float) -> float:
    if not math.isfinite(loss):
        raise SmallerError(
            f"Training diverged: the loss is {loss} after {updates} updates at a learning rate of {learning_rate:g}. "
            "Use a smaller learning rate."
        )
    return loss


def token_loss(network: nn.Module, batch: Batch, whole: Batch | None = None) -> Tensor:
    """Cross-entropy of the labels on first tokens, mean over the batch's words, or those of `whole` if it is a part.

    A classifier of texts gives one row of logits for each, which is for the label on the first of its tokens.
    """
    logits = by_place(network(input_ids=batch.pieces, attention_mask=attended(network, batch)).logits)
    labels = batch.labels[:, : logits.shape[1]]
    return cross_entropy_sum(logits.flatten(0, 1), labels.flatten()) / labels_in(whole or batch.known)


def masked_language_loss(network: nn.Module, batch: Batch, whole: Batch | None = None) -> Tensor:
    """Cross-entropy at the masked positions; the vocabulary's logits are computed there only."""
    hidden = network.base_model(input_ids=batch.pieces, attention_mask=attended(network, batch)).last_hidden_state
    places = flat_places(batch.known.labels != IGNORED, batch.pieces.device)
    logits = logits_at(network, at_places(hidden, places))
    return cross_entropy_sum(logits, at_places(batch.labels, places)) / labels_in(whole or batch.known)


def at_places(values: Tensor, places: Tensor) -> Tensor:
    """Of values of shape (sentences, tokens, ...) those at places (see `flat_places`): the host waits for no count."""
    return values.flatten(0, 1).index_select(0, places)


def attended(network: PreTrainedModel, batch: Batch) -> Tensor | None:
    """What tells a network which tokens are real: none where all are, and what is added to the scores of attention.

    Made once for all layers; a network that no step knows is given the mask itself, of which it makes its own.
    """
    if network.config.model_type not in SERVED:
        return batch.mask
    if bool(batch.known.mask.all()):
        return None
    shut_out = torch.where(batch.mask[:, None, None, :], 0.0, -torch.inf)
    # A kernel for all of attention takes it in the type of its products; `_attention` adds it in fp32.
    halved = network.config._attn_implementation == "sdpa" and torch.is_autocast_enabled(shut_out.device.type)
    return shut_out.to(torch.bfloat16) if halved else shut_out


def logits_at(network: nn.Module, hidden: Tensor) -> Tensor:
    """The logits of any head for chosen last hidden states, of shape (positions, width).

    Heads for texts look at the first token of what they are given: every hidden state is given to them by itself.
    """
    pooler = getattr(network.base_model, "pooler", None)
    if pooler is not None:
        hidden = pooler(hidden[:, None])
    if hasattr(network, "classifier"):
        alone = not hasattr(network, "dropout")
        return network.classifier(hidden[:, None]) if alone else network.classifier(network.dropout(hidden))
    return (network.lm_head if hasattr(network, "lm_head") else network.cls)(hidden)


def cross_entropy_sum(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy summed over the labels that count."""
    return functional.cross_entropy(logits.float(), labels, ignore_index=IGNORED, reduction="sum")


def labels_in(batch: Batch) -> int:
    """How many labels of a batch count; 1 where none does, so that such a batch's mean is zero and not NaN."""
    return max(1, int((batch.labels != IGNORED).sum()))
