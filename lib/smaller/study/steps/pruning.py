"""Unstructured pruning: weights of small magnitude become zero and stay zero."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from smaller import formats
from smaller.base.errors import did_you_mean
from smaller.base.progress import Say, silent
from smaller.encoders import Model, embedding_weights, linear_weights, parameter_count
from smaller.study.steps.base import Step, is_count, is_number, require

SCOPES = ("global", "layer")
INCLUDES = ("linear", "linear+embeddings")
METHODS = ("magnitude", "random")
_DEFAULTS = (SCOPES[0], INCLUDES[0], METHODS[0])


@dataclass(frozen=True)
class Prune(Step):
    """Set the share `sparsity` of the weights to zero, those of smallest magnitude first (paper 1, section 3).

    `scope`: "global" ranks all weights together, "layer" each tensor by itself. `include`: the encoder's Linear
    weights, or those and the embedding tables; biases, norms and heads are never pruned. `method`: "magnitude", or
    "random" (drawn from `seed`) as the control. Weights that are masked already count towards the share.
    """

    sparsity: float
    scope: str = "global"
    include: str = "linear"
    method: str = "magnitude"
    seed: int = 0

    def __post_init__(self) -> None:
        require(
            is_number(self.sparsity) and 0 <= self.sparsity <= 1,
            f"Prune's sparsity, the share of weights to become zero, is a number from 0 to 1; it is {self.sparsity!r}.",
        )
        object.__setattr__(self, "sparsity", float(self.sparsity))  # Prune(0) and Prune(0.0) are one recipe
        for field, choices in (("scope", SCOPES), ("include", INCLUDES), ("method", METHODS)):
            value = getattr(self, field)
            require(
                value in choices,
                f"Prune's {field} is one of {', '.join(choices)}; it is {value!r}.{did_you_mean(value, choices)}",
            )
        require(is_count(self.seed), f"Prune's seed is a whole number; it is {self.seed!r}.")

    technique: ClassVar[str] = "pruned"

    @property
    def label(self) -> str:
        """The step in a few words: the sparsity, and whatever is not the default."""
        extra = [part for part in (self.scope, self.include, self.method) if part not in _DEFAULTS]
        return f"Prune({', '.join([f'{self.sparsity:g}', *extra])})"

    def columns(self) -> dict[str, Any]:
        """Sparsity, method, scope and what is included."""
        return {field: getattr(self, field) for field in ("sparsity", "method", "scope", "include")}

    def apply(self, model: Model, *, say: Say = silent, scratch: Path | None = None) -> tuple[Model, dict]:
        """The model with masks; the report gives the achieved sparsity overall and for each tensor."""
        formats.require_trainable(model, what="Prune")
        pruned = model.copy()
        weights = linear_weights(pruned) | (embedding_weights(pruned) if "embeddings" in self.include else {})
        # Masks, and the scores that they come from, are on the processor, wherever the weights are.
        scores = self._scores({name: weight.detach().cpu() for name, weight in weights.items()}, pruned.masks)
        if self.scope == "global":
            names = list(scores)
            mask = kept(torch.cat([scores[name].flatten() for name in names]), self.sparsity)
            parts = mask.split([scores[name].numel() for name in names])
            masks = {name: part.view_as(weights[name]).clone() for name, part in zip(names, parts, strict=True)}
        else:
            masks = {name: kept(score.flatten(), self.sparsity).view_as(score) for name, score in scores.items()}
        # Below the share that an earlier step pruned, nothing more goes, and nothing comes back.
        masks = {name: mask & pruned.masks.get(name, mask) for name, mask in masks.items()}
        with torch.no_grad():
            for name, mask in masks.items():
                weights[name].mul_(mask.to(weights[name].device))
        pruned.masks = pruned.masks | masks
        zero = {name: 1 - mask.float().mean().item() for name, mask in masks.items()}
        total = sum(mask.numel() for mask in masks.values())
        return pruned, {
            "touched": list(masks),
            "prunable_parameters": total,
            "parameters_before": parameter_count(model.network),
            "parameters_after": parameter_count(pruned.network),
            "achieved_sparsity": sum(int((~mask).sum()) for mask in masks.values()) / total,
            "sparsity_by_tensor": {name: round(share, 6) for name, share in zero.items()},
        }

    def _scores(self, weights: dict[str, Tensor], masks: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.method == "magnitude":
            scores = {name: weight.abs() for name, weight in weights.items()}
        else:
            generator = torch.Generator().manual_seed(self.seed)
            scores = {name: torch.rand(weight.shape, generator=generator) for name, weight in weights.items()}
        # What is pruned already stays pruned: below every score.
        return {
            name: score.masked_fill(~masks[name], -1.0) if name in masks else score for name, score in scores.items()
        }


def kept(scores: Tensor, sparsity: float) -> Tensor:
    """True for the weights to keep: all but the round(sparsity x n) lowest scores; of equal scores the first go first.

    The count is that of `torch.nn.utils.prune`. A threshold is found by selection, not by sorting, which matters for
    the 71 million Linear weights of AfriBERTa-large.
    """
    remove = round(sparsity * scores.numel())
    if remove == 0:
        return torch.ones_like(scores, dtype=torch.bool)
    threshold = scores.kthvalue(remove).values
    mask = scores > threshold
    spare = int((~mask).sum()) - remove
    if spare:
        equal = (scores == threshold).nonzero().flatten()
        mask[equal[len(equal) - spare :]] = True
    return mask
