"""Fine-tuning on a labelled task."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from smaller.data import splits
from smaller.data.encoding import Batch, Encoded, batch_of, bio_labels, encode, shuffled_batches
from smaller.encoders import Model, parameter_count, with_classifier
from smaller.progress import Say, silent
from smaller.steps.base import Step, is_number, require
from smaller.steps.checks import require_counts, require_share, require_small
from smaller.training import token_loss, train, trimmed_vocabulary

_PIECE_TABLE = "embeddings.word_embeddings.weight"


@dataclass(frozen=True)
class FineTune(Step):
    """Train a token classifier on one language's training split; the last model is kept.

    Defaults are AfriBERTa's published recipe (that of paper 1's baselines: 50 epochs of batches of 16 sentences,
    AdamW at 5e-5 with linear decay, no weight decay, clip 1, 164 pieces). `learning_rate` is the peak; `warm_up` the
    share of updates until it is reached.
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

    trains: ClassVar[bool] = True

    def __post_init__(self) -> None:
        splits.check(self.dataset, self.language)
        splits.entity_types(self.dataset)  # an error where there are no labels
        require_counts(self, "seed", "epochs", "batch_size", "max_length")
        require_small(self, "learning_rate")
        require_share(self, "warm_up")
        require(is_number(self.weight_decay) and self.weight_decay >= 0,
                f"FineTune's weight_decay is a number of at least 0; it is {self.weight_decay!r}.")  # fmt: skip
        object.__setattr__(self, "weight_decay", float(self.weight_decay))

    @property
    def label(self) -> str:
        """The step in a few words: language and seed."""
        return f"FineTune({self.dataset}/{self.language}, seed {self.seed})"

    def inputs(self) -> dict[str, str]:
        """The checksum of the language's splits."""
        return {f"{self.dataset}/{self.language}": splits.fingerprint(self.dataset, self.language)}

    def apply(self, model: Model, *, say: Say = silent, scratch: Path | None = None) -> tuple[Model, dict]:
        """A tagger with the data set's labels. Masks of the model that comes in are held throughout."""
        labels = bio_labels(splits.entity_types(self.dataset))
        tagger = with_classifier(model, labels, seed=self.seed)
        sentences = splits.sentences(self.dataset, self.language, "train")
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
        return tagger, report.as_record() | {
            "sentences": len(sentences),
            "truncated_words": encoded.truncated_words,
            "words_without_pieces": encoded.words_without_pieces,
            "parameters_before": parameter_count(model.network),
            "parameters_after": parameter_count(tagger.network),
        }


def trimmed_where_exact(
    model: Model, used: Tensor, *, weight_decay: float
) -> contextlib.AbstractContextManager[Tensor | None]:
    """`trimmed_vocabulary` where it changes no result; where it would, all rows are trained, and there is no table."""
    if weight_decay == 0 and _PIECE_TABLE not in model.masks:
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
