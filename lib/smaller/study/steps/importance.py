"""What steps share that remove neurons or heads: how importance may be measured, and on which text."""

from __future__ import annotations

from collections.abc import Iterator

from smaller.data import splits
from smaller.data.encoding import Batch
from smaller.encoders import Model
from smaller.study.steps.base import Step, require
from smaller.study.steps.checks import require_choice, require_counts, require_languages
from smaller.study.steps.pretraining import masked_batches
from smaller.study.steps.texts import rows_of

IMPORTANCES = ("gradient", "magnitude", "random")
"""By gradients of masked-language modelling on a text, by the size of the weights, or by lot as the control."""


def check_importance(step: Step) -> None:
    """The fields that say how importance is measured, in whatever step: a text for gradients, and none otherwise."""
    require_counts(step, "lines", "batch_size", "seed")
    require_choice(step, "importance", IMPORTANCES)
    if step.importance == "gradient":
        require(
            bool(step.corpus),
            f"{type(step).__name__}(importance='gradient') needs a corpus: the text on which the gradients are taken.",
        )
        require_languages(step)
    else:
        require(
            not step.corpus and not step.languages,
            f"{type(step).__name__}(importance={step.importance!r}) reads no text: leave corpus and languages out.",
        )


def importance_inputs(step: Step) -> dict[str, str]:
    """The checksum of each language's text."""
    return {
        f"{step.corpus}/{language}/text": splits.text_fingerprint(step.corpus, language) for language in step.languages
    }


def importance_batches(step: Step, model: Model) -> Iterator[Batch]:
    """The step's text as masked batches, each line once. Raises SmallerError for a model with a classifier."""
    name = type(step).__name__
    require(
        not model.labels,
        "Gradient importance is taken under masked-language modelling, and this model has a "
        f"classifier: put {name} before FineTune, or use importance='magnitude'.",
    )
    rows = rows_of(step.corpus, step.languages, model.tokenizer, limit=step.lines)
    updates = -(-len(rows) // step.batch_size)
    return masked_batches(rows, model.tokenizer, updates=updates, size=step.batch_size, rate=0.15, seed=step.seed)
