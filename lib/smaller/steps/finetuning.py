"""Fine-tuning on a labelled task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from smaller.data import splits
from smaller.data.encoding import Batch, Encoded, batch_of, bio_labels, encode, shuffled_batches
from smaller.encoders import Model, parameter_count, with_classifier
from smaller.progress import Say, silent
from smaller.steps.base import Step, is_count, is_number, require
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
        for field in ("seed", "epochs", "batch_size", "max_length"):
            value = getattr(self, field)
            require(is_count(value) and (value > 0 or field == "seed"),
                    f"FineTune's {field} is a whole number above zero; it is {value!r}.")  # fmt: skip
        require(is_number(self.learning_rate) and 0 < self.learning_rate < 1,
                f"FineTune's learning_rate is a number between 0 and 1; it is {self.learning_rate!r}.")  # fmt: skip
        require(is_number(self.warm_up) and 0 <= self.warm_up < 1,
                f"FineTune's warm_up is a share of the updates, from 0 to 1; it is {self.warm_up!r}.")  # fmt: skip
        require(is_number(self.weight_decay) and self.weight_decay >= 0,
                f"FineTune's weight_decay is a number of at least 0; it is {self.weight_decay!r}.")  # fmt: skip

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
        options = dict(
            updates=updates,
            learning_rate=self.learning_rate,
            seed=self.seed,
            warm_up=round(self.warm_up * updates),
            weight_decay=self.weight_decay,
            say=say,
        )
        padding = model.tokenizer.pad_token_id
        if self.weight_decay == 0 and _PIECE_TABLE not in tagger.masks:
            used = torch.cat([*encoded.pieces, torch.tensor([padding])])
            with trimmed_vocabulary(tagger.network, used) as ids:
                report = train(tagger, self._batches(encoded, padding=padding, ids=ids), token_loss, **options)
        else:
            report = train(tagger, self._batches(encoded, padding=padding), token_loss, **options)
        return tagger, report.as_record() | {
            "sentences": len(sentences),
            "truncated_words": encoded.truncated_words,
            "words_without_pieces": encoded.words_without_pieces,
            "parameters_before": parameter_count(model.network),
            "parameters_after": parameter_count(tagger.network),
        }

    def _batches(self, encoded: Encoded, *, padding: int, ids: torch.Tensor | None = None) -> Iterator[Batch]:
        generator = np.random.default_rng(self.seed)
        lengths = encoded.lengths
        for _ in range(self.epochs):
            for rows in shuffled_batches(lengths, size=self.batch_size, generator=generator):
                batch = batch_of(encoded, rows, padding=padding)
                yield batch if ids is None else Batch(ids[batch.pieces], batch.mask, batch.labels, rows)
