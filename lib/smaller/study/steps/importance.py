"""What steps share that remove neurons or heads: how importance may be measured, and on which text."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from smaller.base.checks import require_choice, require_counts
from smaller.data.encoding import Batch
from smaller.encoders import Model
from smaller.encoders.device import device, placed
from smaller.study.steps.base import Step
from smaller.study.steps.checks import require_text
from smaller.study.steps.pretraining import masked_batches
from smaller.study.steps.texts import rows_of

IMPORTANCES = ("gradient", "magnitude", "random")
"""By gradients of masked-language modelling on a text, by the size of the weights, or by lot as the control."""


class ByImportance:
    """A step with the fields that say how importance is measured: on a text for gradients, and on none otherwise."""

    def __post_init__(self) -> None:
        require_counts(self, "lines", "batch_size", "seed")
        require_choice(self, "importance", IMPORTANCES)
        by_gradient = self.importance == "gradient"
        require_text(self, "importance", reads=by_gradient, purpose="the text on which the gradients are taken")

    @property
    def needs_classifier(self) -> bool | None:
        return False if self.importance == "gradient" else None

    def measured(
        self,
        model: Model,
        *,
        magnitudes: Callable[[Model], Tensor],
        gradients: Callable[[nn.Module, Iterable[Batch]], Tensor],
    ) -> Tensor:
        """The importance of each layer's neurons or heads, of shape (layers, neurons)."""
        if self.importance == "gradient":
            batches = importance_batches(self, model)
            return gradients(placed(copy.deepcopy(model.network)), (batch.to(device()) for batch in batches))
        scores = magnitudes(model)
        if self.importance == "random":
            return torch.rand(scores.shape, generator=torch.Generator().manual_seed(self.seed))
        return scores


def importance_batches(step: Step, model: Model) -> Iterator[Batch]:
    """The step's text as masked batches, each line once."""
    rows = rows_of(step.corpus, step.languages, model.tokenizer, limit=step.lines)
    updates = -(-len(rows) // step.batch_size)
    return masked_batches(rows, model.tokenizer, updates=updates, size=step.batch_size, rate=0.15, seed=step.seed)
