"""Fine-tuning on a labelled task."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from smaller.base.checks import require, require_counts, require_number, require_share, require_small
from smaller.base.progress import Say, silent
from smaller.data import splits
from smaller.data.encoding import Batch, Encoded, batch_of, encode, shuffled_batches
from smaller.encoders import Model, with_classifier
from smaller.encoders.adapters import adapter_size
from smaller.study.evaluation import true_labels
from smaller.study.steps.base import Step, later
from smaller.study.steps.checks import require_labelled
from smaller.study.training import Objective, Report, token_loss, train, trimmed_vocabulary

_TOKEN_TABLE = "embeddings.word_embeddings.weight"


@dataclass(frozen=True)
class FineTune(Step):
    """Train a classifier of words or texts, as the data set has it, on one language; the last model is kept.

    Defaults are AfriBERTa's published recipe (that of paper 1's baselines: 50 epochs of batches of 16 sentences,
    AdamW at 5e-5 with linear decay, no weight decay, clip 1, 164 tokens). `learning_rate` is the peak; `warm_up` the
    share of updates until it is reached. With an `adapter`, the encoder is frozen, and only adapters of the hidden size
    divided by that number, and the head, are trained (paper 2, section 3: 16, 1e-4 and 20 epochs on texts).
    """

    dataset: str
    language: str
    seed: int = 1
    epochs: int = 50
    learning_rate: float = 5e-5
    batch_size: int = 16
    max_length: int = 164
    warm_up: float = 0.0
    weight_decay: float = 0.0
    adapter: int = later(0)

    trains: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_labelled(self, "train")
        require_counts(self, "seed", "epochs", "batch_size", "max_length")
        require_counts(self, "adapter", least=0)
        require_small(self, "learning_rate")
        require_share(self, "warm_up")
        require_number(self, "weight_decay", lambda value: value >= 0, "a number of at least 0")

    @property
    def label(self) -> str:
        adapter = f"adapter {self.adapter}, " if self.adapter else ""
        return f"FineTune({self.dataset}/{self.language}, {adapter}seed {self.seed})"

    def columns(self) -> dict[str, Any]:
        return {"adapter": self.adapter}

    @property
    def takes_any_architecture(self) -> bool:
        return not self.adapter

    def apply(self, model: Model, *, say: Say = silent, scratch: Path | None = None) -> tuple[Model, dict]:
        """A classifier with the data set's labels. Masks of the model that comes in are held throughout."""
        task, labels = splits.task(self.dataset), splits.labels(self.dataset)
        sentences = splits.sentences(self.dataset, self.language, "train")
        seen = {label for row in true_labels(sentences) for label in row}
        absent = [label for label in labels if label not in seen]
        require(
            not (absent and task.complete),
            f"The training split of {self.dataset}/{self.language} has no example of {', '.join(absent)}, which no "
            "model can find that never saw one. Train on another language, or on several: amh+hau.",
        )
        if absent:
            say(f"no training example of {', '.join(absent)}")
        tagger = with_classifier(model, labels, seed=self.seed, unit=task.unit, adapter_size=self._adapter_size(model))
        if self.adapter:  # what the encoder brought is not trained; adapters, head, and a pooler if that is new, are
            brought = model.backbone.state_dict().keys()
            for name, parameter in tagger.backbone.named_parameters():
                parameter.requires_grad_(name not in brought)
        encoded = encode(sentences, model.tokenizer, labels, max_length=self.max_length)
        report = train_on_labels(
            self, tagger, encoded, lambda used: token_loss, weight_decay=self.weight_decay, say=say, scratch=scratch
        )
        trained = sum(parameter.numel() for parameter in tagger.network.parameters() if parameter.requires_grad)
        tagger.network.requires_grad_(True)
        return tagger, report.as_record() | {
            "sentences": len(sentences),
            "labels_without_examples": absent,
            "truncated_words": encoded.truncated_words,
            "words_without_pieces": encoded.words_without_pieces,
            "parameters_trained": trained,
        }

    def _adapter_size(self, model: Model) -> int:
        if not self.adapter:
            return 0
        require(
            not adapter_size(model.network.config),
            "The model has adapters already, and a layer holds one: leave adapter out, or train adapters once.",
        )
        return max(1, model.network.config.hidden_size // self.adapter)


def train_on_labels(
    step: Step,
    model: Model,
    encoded: Encoded,
    objective: Callable[[Tensor | None], Objective],
    *,
    weight_decay: float = 0.0,
    **run: Any,
) -> Report:
    """Train a classifier in place for the step's epochs of labelled sentences; `run` is as in `Step.apply`.

    `objective` is called once, with the tokens that the model's vocabulary is trimmed to while it trains, if it is.
    """
    padding = model.tokenizer.pad_token_id
    used = torch.unique(torch.cat([*encoded.pieces, torch.tensor([padding])]))
    updates = step.epochs * -(-len(encoded) // step.batch_size)
    with trimmed_where_exact(model, used, weight_decay=weight_decay) as ids:
        return train(
            model,
            labelled_batches(
                encoded, epochs=step.epochs, size=step.batch_size, padding=padding, seed=step.seed, ids=ids
            ),
            objective(None if ids is None else used),
            updates=updates,
            learning_rate=step.learning_rate,
            seed=step.seed,
            warm_up=round(step.warm_up * updates),
            weight_decay=weight_decay,
            **run,
        )


def trimmed_where_exact(
    model: Model, used: Tensor, *, weight_decay: float
) -> contextlib.AbstractContextManager[Tensor | None]:
    """`trimmed_vocabulary` where it changes no result; where it would, all rows are trained, and there is no table."""
    frozen = not model.network.get_input_embeddings().weight.requires_grad
    if weight_decay == 0 and not frozen and _TOKEN_TABLE not in model.masks:
        return trimmed_vocabulary(model.network, used)
    return contextlib.nullcontext()


def labelled_batches(
    encoded: Encoded, *, epochs: int, size: int, padding: int, seed: int, ids: Tensor | None = None
) -> Iterator[Batch]:
    """The batches of all epochs, in the order that `seed` gives; `ids` is the table of a trimmed vocabulary."""
    generator = np.random.default_rng(seed)
    for _ in range(epochs):
        for rows in shuffled_batches(encoded.lengths, size=size, generator=generator):
            batch = batch_of(encoded, rows, padding=padding)
            yield batch if ids is None else Batch(ids[batch.pieces], batch.mask, batch.labels, rows)
