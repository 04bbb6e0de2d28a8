"""Unstructured pruning: weights of small magnitude become zero and stay zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from smaller.base.checks import require_choice, require_counts, require_number
from smaller.encoders import Model, embedding_weights, linear_weights
from smaller.study.steps.base import Step

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

    technique: ClassVar[str] = "pruned"

    def __post_init__(self) -> None:
        require_number(self, "sparsity", lambda value: 0 <= value <= 1, "a number from 0 to 1")
        for field, choices in (("scope", SCOPES), ("include", INCLUDES), ("method", METHODS)):
            require_choice(self, field, choices)
        require_counts(self, "seed")

    @property
    def label(self) -> str:
        extra = [part for part in (self.scope, self.include, self.method) if part not in _DEFAULTS]
        return f"Prune({', '.join([f'{self.sparsity:g}', *extra])})"

    def columns(self) -> dict[str, Any]:
        return {field: getattr(self, field) for field in ("sparsity", "method", "scope", "include")}

    def apply(self, model: Model, **_: Any) -> tuple[Model, dict]:
        """The model with masks; the report gives the achieved sparsity overall and for each tensor."""
        pruned = model.copy()
        weights = linear_weights(pruned) | (embedding_weights(pruned) if "embeddings" in self.include else {})
        # Masks, and the scores that they come from, are on the processor, wherever the weights are.
        scores = self._scores({name: weight.detach().cpu() for name, weight in weights.items()}, pruned.masks)
        if self.scope == "global":
            mask = kept(torch.cat([score.flatten() for score in scores.values()]), self.sparsity)
            parts = mask.split([score.numel() for score in scores.values()])
            masks = {name: part.view_as(scores[name]).clone() for name, part in zip(scores, parts, strict=True)}
        else:
            masks = {name: kept(score.flatten(), self.sparsity).view_as(score) for name, score in scores.items()}
        # Below the share that an earlier step pruned, nothing more goes, and nothing comes back.
        masks = {name: mask & pruned.masks.get(name, mask) for name, mask in masks.items()}
        with torch.no_grad():
            for name, mask in masks.items():
                weights[name].mul_(mask.to(weights[name].device))
        pruned.masks = pruned.masks | masks
        total = sum(mask.numel() for mask in masks.values())
        return pruned, {
            "touched": list(masks),
            "prunable_parameters": total,
            "achieved_sparsity": sum(int((~mask).sum()) for mask in masks.values()) / total,
            "sparsity_by_tensor": {name: round(1 - mask.float().mean().item(), 6) for name, mask in masks.items()},
        }

    def _scores(self, weights: dict[str, Tensor], masks: dict[str, Tensor]) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        scores = {}
        for name, weight in weights.items():
            scores[name] = weight.abs() if self.method == "magnitude" else torch.rand(weight.shape, generator=generator)
            if name in masks:  # what is pruned already stays pruned: below every score
                scores[name] = scores[name].masked_fill(~masks[name], -1.0)
        return scores


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
