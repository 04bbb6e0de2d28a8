"""Fine-tuning on a labelled task."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from smaller import formats
from smaller.base.progress import Say, silent
from smaller.data import own, splits
from smaller.data.encoding import Batch, Encoded, batch_of, encode, shuffled_batches
from smaller.data.examples import Example
from smaller.data.languages import in_codes
from smaller.encoders import Model, parameter_count, with_classifier
from smaller.encoders.adapters import adapter_size
from smaller.study.evaluation import true_labels
from smaller.study.steps.base import Step, is_count, is_number, later, require
from smaller.study.steps.checks import require_counts, require_share, require_small
from smaller.study.training import token_loss, train, trimmed_vocabulary

_PIECE_TABLE = "embeddings.word_embeddings.weight"


@dataclass(frozen=True)
class FineTune(Step):
    """Train a classifier of words or texts, as the data set has it, on one language; the last model is kept.

    Defaults are AfriBERTa's published recipe (that of paper 1's baselines: 50 epochs of batches of 16 sentences,
    AdamW at 5e-5 with linear decay, no weight decay, clip 1, 164 pieces). `learning_rate` is the peak; `warm_up` the
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
        object.__setattr__(self, "dataset", own.named(self.dataset, language=self.language))
        object.__setattr__(self, "language", in_codes(self.language))
        splits.check(self.dataset, self.language, "train")
        splits.task(self.dataset)  # an error where there are no labels
        require_counts(self, "seed", "epochs", "batch_size", "max_length")
        require_small(self, "learning_rate")
        require_share(self, "warm_up")
        require(
            is_number(self.weight_decay) and self.weight_decay >= 0,
            f"FineTune's weight_decay is a number of at least 0; it is {self.weight_decay!r}.",
        )
        object.__setattr__(self, "weight_decay", float(self.weight_decay))
        require(
            is_count(self.adapter),
            "FineTune's adapter is how many times narrower adapters are than the hidden "
            f"states, a whole number, or 0 for none; it is {self.adapter!r}.",
        )

    @property
    def label(self) -> str:
        """The step in a few words: language and seed, and the adapter if there is one."""
        adapter = f"adapter {self.adapter}, " if self.adapter else ""
        return f"FineTune({self.dataset}/{self.language}, {adapter}seed {self.seed})"

    def columns(self) -> dict[str, Any]:
        """The reduction factor of the adapters."""
        return {"adapter": self.adapter}

    def inputs(self) -> dict[str, str]:
        """The checksum of the language's splits."""
        return {f"{self.dataset}/{self.language}": splits.fingerprint(self.dataset, self.language)}

    def apply(self, model: Model, *, say: Say = silent, scratch: Path | None = None) -> tuple[Model, dict]:
        """A classifier with the data set's labels. Masks of the model that comes in are held throughout."""
        formats.require_trainable(model, what="FineTune")
        task, labels = splits.task(self.dataset), splits.labels(self.dataset)
        sentences = splits.sentences(self.dataset, self.language, "train")
        absent = without_examples(sentences, labels)
        require(
            not (absent and task.complete),
            f"The training split of {self.dataset}/{self.language} has no example of {', '.join(absent)}, which no "
            "model can find that never saw one. Train on another language, or on several: amh+hau.",
        )
        if absent:
            say(f"no training example of {', '.join(absent)}")
        tagger = with_classifier(model, labels, seed=self.seed, unit=task.unit, adapter_size=self._adapter_size(model))
        if self.adapter:
            _freeze(tagger, model)
        encoded = encode(sentences, model.tokenizer, labels, max_length=self.max_length)
        updates = self.epochs * -(-len(encoded) // self.batch_size)
        padding = model.tokenizer.pad_token_id
        used = torch.cat([*encoded.pieces, torch.tensor([padding])])
        with trimmed_where_exact(tagger, used, weight_decay=self.weight_decay) as ids:
            batches = labelled_batches(
                encoded, epochs=self.epochs, size=self.batch_size, padding=padding, seed=self.seed, ids=ids
            )
            report = train(
                tagger,
                batches,
                token_loss,
                updates=updates,
                learning_rate=self.learning_rate,
                seed=self.seed,
                warm_up=round(self.warm_up * updates),
                weight_decay=self.weight_decay,
                scratch=scratch,
                say=say,
            )
        trained = sum(parameter.numel() for parameter in tagger.network.parameters() if parameter.requires_grad)
        tagger.network.requires_grad_(True)
        return tagger, report.as_record() | {
            "sentences": len(sentences),
            "labels_without_examples": absent,
            "truncated_words": encoded.truncated_words,
            "words_without_pieces": encoded.words_without_pieces,
            "parameters_before": parameter_count(model.network),
            "parameters_after": parameter_count(tagger.network),
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


def without_examples(sentences: Sequence[Example], labels: Sequence[str]) -> list[str]:
    """The labels that stand nowhere in the sentences or texts."""
    seen = {label for row in true_labels(sentences) for label in row}
    return [label for label in labels if label not in seen]


def _freeze(tagger: Model, model: Model) -> None:
    """What the encoder brought is not trained; what is new to it is: adapters, head, and a pooler if there is one."""
    brought = model.backbone.state_dict().keys()
    for name, parameter in tagger.backbone.named_parameters():
        parameter.requires_grad_(name not in brought)


def trimmed_where_exact(
    model: Model, used: Tensor, *, weight_decay: float
) -> contextlib.AbstractContextManager[Tensor | None]:
    """`trimmed_vocabulary` where it changes no result; where it would, all rows are trained, and there is no table."""
    frozen = not model.network.get_input_embeddings().weight.requires_grad
    if weight_decay == 0 and not frozen and _PIECE_TABLE not in model.masks:
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
