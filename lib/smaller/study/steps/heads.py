"""Structured pruning of attention: whole heads are silenced, and the others are put in order of importance."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from smaller.base.checks import require, require_choice, require_counts
from smaller.data.encoding import Batch
from smaller.encoders import Model
from smaller.study.steps.base import Step
from smaller.study.steps.importance import ByImportance
from smaller.study.training import masked_language_loss

SCOPES = ("layer", "global")


@dataclass(frozen=True)
class PruneHeads(ByImportance, Step):
    """Silence all but `keep` heads of each layer, and put those first, the most important one leading.

    `importance`: "gradient" is the mean size of the loss's derivative by a gate on each head's output, over sentences
    of a corpus under masked-language modelling, divided by its layer's norm (Michel et al. 2019, section 3.1);
    "magnitude" is the product of the norms of a head's value and output weights; "random", drawn from `seed`, is the
    control. `scope`: "global" keeps as many in all, wherever they are. With all heads kept only the order changes, and
    the function stays: paper 2's preparation for taking leading slices (its section 3, second step).

    A BERT's configuration has one number of heads, which divides its width, so that heads of the same width cannot go
    while the hidden size stays: silenced heads are zeros under masks, which plain `from_pretrained` reads and which
    save no bytes. `TruncateHidden`, or `Distil(hidden_size=...)`, afterwards leaves them out in earnest.
    """

    keep: int
    importance: str = "gradient"
    scope: str = "layer"
    corpus: str = ""
    languages: tuple[str, ...] = ()
    lines: int = 800
    batch_size: int = 8
    seed: int = 1

    technique: ClassVar[str] = "fewer heads"

    def __post_init__(self) -> None:
        require_counts(self, "keep")
        require_choice(self, "scope", SCOPES)
        super().__post_init__()

    @property
    def label(self) -> str:
        extra = [self.importance] * (self.importance != "gradient") + [self.scope] * (self.scope != "layer")
        return f"PruneHeads({', '.join([str(self.keep), *extra])})"

    def columns(self) -> dict[str, Any]:
        return {"method": self.importance, "scope": self.scope}

    def apply(self, model: Model, **_: Any) -> tuple[Model, dict]:
        """The model with masks; the report has each layer's heads in their new order, those that are kept."""
        heads = model.network.config.num_attention_heads
        require(self.keep <= heads, f"Each layer has {heads} heads, so {self.keep} cannot be kept.")
        scores = self.measured(model, magnitudes=magnitudes, gradients=gate_importance)
        orders = scores.argsort(dim=1, descending=True, stable=True)
        counts = self._counts(scores)
        return with_heads(model, orders, counts), {
            "heads_kept": [order[:count].tolist() for order, count in zip(orders, counts, strict=True)],
            "importance": [[round(score, 6) for score in row] for row in scores.tolist()],
        }

    def _counts(self, scores: Tensor) -> list[int]:
        if self.scope == "layer":
            return [self.keep] * len(scores)
        best = scores.flatten().argsort(descending=True, stable=True)[: self.keep * len(scores)]
        return torch.bincount(best // scores.shape[1], minlength=len(scores)).tolist()


@torch.no_grad()
def magnitudes(model: Model) -> Tensor:
    """For each layer and head the norm of its value weights times that of its output weights, of shape (layers, heads).

    Layers are comparable as they are, so nothing is divided.
    """
    heads = model.network.config.num_attention_heads
    scores = []
    for layer in model.backbone.encoder.layer:
        value, out = layer.attention.self.value.weight, layer.attention.output.dense.weight
        incoming = value.unflatten(0, (heads, -1)).norm(dim=(1, 2))
        scores.append(incoming * out.unflatten(1, (heads, -1)).norm(dim=(0, 2)))
    return torch.stack(scores).cpu()


def gate_importance(network: nn.Module, batches: Iterable[Batch]) -> Tensor:
    """For each layer and head the sum over sentences of |d loss / d gate|, scaled to a norm of 1 for each layer."""
    layers, heads = network.base_model.encoder.layer, network.config.num_attention_heads
    total = torch.zeros(len(layers), heads)
    for batch in batches:
        gates = torch.ones(len(layers), len(batch.rows), heads, device=batch.pieces.device, requires_grad=True)
        with contextlib.ExitStack() as hooks:
            for layer, gate in zip(layers, gates, strict=True):
                hooks.enter_context(layer.attention.output.dense.register_forward_pre_hook(_gated(gate)))
            loss = masked_language_loss(network, batch)
        total += torch.autograd.grad(loss, gates)[0].abs().sum(dim=1).cpu()
    return nn.functional.normalize(total, dim=1)


def _gated(gate: Tensor) -> Callable:
    """A hook that multiplies what each head gives to its layer's output by a gate of shape (sentences, heads)."""
    own = gate[:, None, :, None]
    return lambda module, given: ((given[0].unflatten(-1, (gate.shape[1], -1)) * own).flatten(-2),)


@torch.no_grad()
def with_heads(model: Model, orders: Tensor, counts: list[int]) -> Model:
    """The model with each layer's heads in the given order, all from the given count on silenced and masked."""
    pruned = model.copy()
    heads = orders.shape[1]
    for number, (order, count) in enumerate(zip(orders, counts, strict=True)):
        attention = pruned.backbone.encoder.layer[number].attention
        width = len(attention.self.value.bias) // heads
        places = (order[:, None] * width + torch.arange(width)).flatten()
        lives = torch.arange(heads * width) < count * width
        for part in ("query", "key", "value"):
            module = getattr(attention.self, part)
            module.bias.copy_(module.bias[places] * lives.to(module.bias.device))
            _rearrange(pruned, f"encoder.layer.{number}.attention.self.{part}.weight", places, lives, rows=True)
        _rearrange(pruned, f"encoder.layer.{number}.attention.output.dense.weight", places, lives, rows=False)
    return pruned


def _rearrange(model: Model, name: str, places: Tensor, lives: Tensor, *, rows: bool) -> None:
    weight = model.backbone.get_parameter(name)
    mask = model.masks.get(name)
    kept = (lives[:, None] if rows else lives[None, :]).expand(weight.shape)
    if mask is not None:
        kept = kept & (mask[places] if rows else mask[:, places])
    weight.copy_((weight[places] if rows else weight[:, places]) * kept.to(weight.device))
    if mask is not None or not lives.all():
        model.masks[name] = kept.clone()


def live_heads(model: Model) -> list[list[int]]:
    """The heads of each layer that no mask silences as a whole.

    Raises SmallerError where masks hold anything else at zero: what else is pruned belongs to matrices of their size.
    """
    heads, layers = model.network.config.num_attention_heads, range(model.network.config.num_hidden_layers)
    outputs = [model.masks.get(f"encoder.layer.{number}.attention.output.dense.weight") for number in layers]
    alive = [
        torch.ones(heads, dtype=torch.bool) if mask is None else mask.unflatten(1, (heads, -1)).any(dim=2).any(dim=0)
        for mask in outputs
    ]
    for name, mask in model.masks.items():
        found = re.fullmatch(r"encoder\.layer\.(\d+)\.attention\.(self|output)\..+", name)
        expected = torch.tensor(True)
        if found:
            lives = alive[int(found[1])].repeat_interleave(len(mask) // heads)
            expected = lives[:, None] if found[2] == "self" else lives
        require(
            bool((mask == expected).all()),
            "A pruned model cannot be truncated: its masks belong to the wider matrices. Put Prune after the step "
            "that makes the hidden states narrower.",
        )
    return [states.nonzero().flatten().tolist() for states in alive]
