"""Structured pruning of feed-forward layers: whole neurons go, and the matrices become smaller."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from smaller import formats
from smaller.base.progress import Say, silent
from smaller.data.encoding import Batch
from smaller.encoders import Model, parameter_count
from smaller.encoders.device import device, placed
from smaller.study.steps.base import Step, require
from smaller.study.steps.checks import require_counts
from smaller.study.steps.importance import check_importance, importance_batches, importance_inputs
from smaller.study.training import masked_language_loss


@dataclass(frozen=True)
class PruneFeedForward(Step):
    """Keep the `size` most important neurons of each feed-forward layer and drop the others (paper 2, section 3).

    `importance`: "gradient" is the sum over batches of |weight x gradient + bias x gradient| of a neuron's incoming
    weights under masked-language modelling on `lines` of a corpus; "magnitude" is the product of the norms of its
    incoming and outgoing weights; "random", drawn from `seed`, is the control. Every layer keeps equally many, so that
    the model is one that plain `from_pretrained` reads. Masks go with their neurons.
    """

    size: int
    importance: str = "gradient"
    corpus: str = ""
    languages: tuple[str, ...] = ()
    lines: int = 800
    batch_size: int = 8
    seed: int = 1

    technique: ClassVar[str] = "narrowed"

    def __post_init__(self) -> None:
        require_counts(self, "size")
        check_importance(self)

    @property
    def label(self) -> str:
        """The number of neurons, and how they are chosen if not by gradients."""
        return f"PruneFeedForward({self.size}{'' if self.importance == 'gradient' else f', {self.importance}'})"

    def columns(self) -> dict[str, Any]:
        """How the neurons are chosen."""
        return {"method": self.importance}

    def inputs(self) -> dict[str, str]:
        """The checksum of each language's text."""
        return importance_inputs(self)

    def resize(self, shape: dict[str, int]) -> dict[str, int]:
        """The feed-forward size changes."""
        return shape | {"feed_forward": self.size}

    def apply(self, model: Model, *, say: Say = silent, scratch: Path | None = None) -> tuple[Model, dict]:
        """The narrower model; the report has the share of the importance that is kept, for each layer."""
        formats.require_trainable(model, what="PruneFeedForward")
        before = model.network.config.intermediate_size
        require(self.size <= before, f"The feed-forward layers have {before} neurons, so {self.size} cannot be kept.")
        scores = self._importance(model)
        kept = strongest(scores, self.size)
        smaller = with_neurons(model, kept)
        return smaller, {
            "importance_kept": [
                round(float(score[rows].sum() / score.sum().clamp(min=1e-30)), 4)
                for score, rows in zip(scores, kept, strict=True)
            ],
            "parameters_before": parameter_count(model.network),
            "parameters_after": parameter_count(smaller.network),
        }

    def _importance(self, model: Model) -> list[Tensor]:
        if self.importance == "random":
            generator = torch.Generator().manual_seed(self.seed)
            return [torch.rand(len(score), generator=generator) for score in magnitudes(model)]
        if self.importance == "magnitude":
            return magnitudes(model)
        return gradient_importance(model, importance_batches(self, model))


def strongest(scores: Iterable[Tensor], size: int) -> list[Tensor]:
    """The places of the `size` highest scores in rising order; of equal ones the first."""
    return [torch.sort(torch.argsort(score, descending=True, stable=True)[:size]).values for score in scores]


@torch.no_grad()
def magnitudes(model: Model) -> list[Tensor]:
    """For each layer and neuron, the norm of its incoming weights times the norm of its outgoing ones."""
    pairs = [(layer.intermediate.dense.weight, layer.output.dense.weight) for layer in model.backbone.encoder.layer]
    return [(incoming.norm(dim=1) * outgoing.norm(dim=0)).cpu() for incoming, outgoing in pairs]


def gradient_importance(model: Model, batches: Iterable[Batch]) -> list[Tensor]:
    """For each layer and feed-forward neuron, the sum over batches of |sum of weight x gradient| of what enters it."""
    network = placed(copy.deepcopy(model.network))
    dense = [layer.intermediate.dense for layer in network.base_model.encoder.layer]
    sums = [torch.zeros_like(layer.bias) for layer in dense]
    wanted = [parameter for layer in dense for parameter in (layer.weight, layer.bias)]
    for batch in batches:
        gradients = torch.autograd.grad(masked_language_loss(network, batch.to(device())), wanted)
        for place, layer in enumerate(dense):
            weight, bias = gradients[2 * place], gradients[2 * place + 1]
            sums[place] += ((weight * layer.weight).sum(dim=1) + bias * layer.bias).abs().detach()
    return [total.cpu() for total in sums]


@torch.no_grad()
def with_neurons(model: Model, kept: list[Tensor]) -> Model:
    """The model with the feed-forward neurons of the given indices alone, the same number in each layer."""
    smaller = model.copy()
    for layer, rows in zip(smaller.backbone.encoder.layer, kept, strict=True):
        layer.intermediate.dense = _linear(layer.intermediate.dense.weight[rows], layer.intermediate.dense.bias[rows])
        layer.output.dense = _linear(layer.output.dense.weight[:, rows], layer.output.dense.bias)
    smaller.network.config.intermediate_size = len(kept[0])
    for number, rows in enumerate(kept):
        incoming, outgoing = (f"encoder.layer.{number}.{part}.dense.weight" for part in ("intermediate", "output"))
        if incoming in smaller.masks:
            smaller.masks[incoming] = smaller.masks[incoming][rows]
            smaller.masks[outgoing] = smaller.masks[outgoing][:, rows].contiguous()
    return smaller


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    made.weight, made.bias = nn.Parameter(weight.contiguous()), nn.Parameter(bias.detach().clone())
    return made
