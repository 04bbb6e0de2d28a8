"""Students: what a distillation trains, cut out of its teacher and made narrower where that is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from torch import Tensor, nn

from smaller.encoders import Model
from smaller.study.steps.base import Step, require
from smaller.study.steps.checks import require_choice, require_counts
from smaller.study.steps.cutting import cut
from smaller.study.steps.feedforward import magnitudes, strongest, with_neurons
from smaller.study.steps.truncation import WAYS, truncated


def check_width(step: Step) -> None:
    """The fields that make a student narrower than its teacher."""
    require_counts(step, *(field for field in ("hidden_size", "feed_forward") if getattr(step, field) is not None))
    require_choice(step, "width_by", WAYS)
    require(
        step.width_by == "slice" or (step.hidden_size is not None and step.start == "teacher"),
        f"{type(step).__name__}'s width_by={step.width_by!r} says which part of the teacher's hidden states a student "
        "with its own hidden_size keeps; leave it out.",
    )


def width_label(step: Step) -> list[str]:
    """What names a narrower student in a label."""
    by = "" if step.width_by == "slice" else f" by {step.width_by}"
    return [
        *([f"{step.hidden_size} wide{by}"] if step.hidden_size is not None else []),
        *([f"{step.feed_forward} neurons"] if step.feed_forward is not None else []),
    ]


def student_of(
    step: Step, model: Model, layer_map: tuple[int, ...], rows: Sequence[Tensor]
) -> tuple[Model, Tensor | None]:
    """The student that a step's fields describe, and the basis of its hidden states in its teacher's, if narrower.

    `rows` are token ids of what a width that is not sliced looks at.
    """
    student = cut(model, layer_map, heads=step.heads, start=step.start, seed=step.seed)
    if step.feed_forward is not None:
        student = with_neurons(student, strongest(magnitudes(student), step.feed_forward))
    if step.hidden_size is None:
        return student, None
    return truncated(student, step.hidden_size, by=step.width_by, rows=rows)[:2]


@contextlib.contextmanager
def widened(network: nn.Module, basis: Tensor | None) -> Iterator[nn.Linear | None]:
    """A linear map from a student's hidden states to its teacher's width, trained with it and then thrown away.

    It begins as the way back to where the student's dimensions were taken from (TinyBERT learns one such map for all
    layers: Jiao et al. 2020, section 3.1). None where there is no basis.
    """
    if basis is None:
        yield None
        return
    network.hidden_projection = nn.Linear(basis.shape[1], basis.shape[0], bias=False, device="meta")
    network.hidden_projection.weight = nn.Parameter(basis.clone())
    try:
        yield network.hidden_projection
    finally:
        del network.hidden_projection
