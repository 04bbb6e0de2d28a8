"""Structured pruning of feed-forward layers: whole neurons go, and the matrices become smaller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from smaller.base.checks import require, require_counts
from smaller.data.encoding import Batch
from smaller.encoders import Model, reshaped
from smaller.study.steps.base import Step
from smaller.study.steps.importance import ByImportance
from smaller.study.training import masked_language_loss


@dataclass(frozen=True)
class PruneFeedForward(ByImportance, Step):
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
        super().__post_init__()

    @property
    def label(self) -> str:
        return f"PruneFeedForward({self.size}{'' if self.importance == 'gradient' else f', {self.importance}'})"

    def columns(self) -> dict[str, Any]:
        return {"method": self.importance}

    def resize(self, shape: dict[str, int]) -> dict[str, int]:
        return shape | {"feed_forward": self.size}

    def apply(self, model: Model, **_: Any) -> tuple[Model, dict]:
        """The narrower model; the report has the share of the importance that is kept, for each layer."""
        scores = self.measured(model, magnitudes=magnitudes, gradients=gradient_importance)
        kept = strongest(scores, self.size)
        return with_neurons(model, kept), {
            "importance_kept": [
                round(float(score[rows].sum() / score.sum().clamp(min=1e-30)), 4)
                for score, rows in zip(scores, kept, strict=True)
            ]
        }


def strongest(scores: Tensor, size: int) -> Tensor:
    """The neurons of each layer with the `size` highest scores, in rising order; of equal scores the first ones.

    Raises SmallerError where there are fewer.
    """
    before = scores.shape[1]
    require(size <= before, f"The feed-forward layers have {before} neurons, so {size} cannot be kept.")
    return scores.argsort(dim=1, descending=True, stable=True)[:, :size].sort(dim=1).values


@torch.no_grad()
def magnitudes(model: Model) -> Tensor:
    """For each layer and neuron, the norm of its incoming weights times the norm of its outgoing ones."""
    pairs = [(layer.intermediate.dense.weight, layer.output.dense.weight) for layer in model.backbone.encoder.layer]
    return torch.stack([incoming.norm(dim=1) * outgoing.norm(dim=0) for incoming, outgoing in pairs]).cpu()


def gradient_importance(network: nn.Module, batches: Iterable[Batch]) -> Tensor:
    """For each layer and feed-forward neuron, the sum over batches of |sum of weight x gradient| of what enters it."""
    dense = [layer.intermediate.dense for layer in network.base_model.encoder.layer]
    sums = torch.zeros(len(dense), len(dense[0].bias), device=dense[0].bias.device)
    wanted = [parameter for layer in dense for parameter in (layer.weight, layer.bias)]
    for batch in batches:
        gradients = torch.autograd.grad(masked_language_loss(network, batch), wanted)
        for place, layer in enumerate(dense):
            weight, bias = gradients[2 * place], gradients[2 * place + 1]
            sums[place] += ((weight * layer.weight).sum(dim=1) + bias * layer.bias).abs().detach()
    return sums.cpu()


def with_neurons(model: Model, kept: Sequence[Tensor]) -> Model:
    """The model with the feed-forward neurons of the given indices alone, the same number in each layer."""
    state, masks = model.network.state_dict(), dict(model.masks)
    parts = {"intermediate.dense.weight": 0, "intermediate.dense.bias": 0, "output.dense.weight": 1}
    for number, rows in enumerate(kept):
        for part, side in parts.items():
            name = f"encoder.layer.{number}.{part}"
            for tensors, place in ((state, f"{model.network.base_model_prefix}.{name}"), (masks, name)):
                if place in tensors:
                    tensors[place] = tensors[place].index_select(side, rows.to(tensors[place].device))
    return reshaped(model, state, masks, intermediate_size=len(kept[0]))
