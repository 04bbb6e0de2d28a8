"""Masked-language modelling on unlabelled text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from smaller import formats
from smaller.base.progress import Say, silent
from smaller.data import splits
from smaller.data.encoding import IGNORED, Batch, encode_text, pad, shuffled_batches
from smaller.encoders import Model, parameter_count
from smaller.study.steps.base import Step, is_count, is_number, later, require
from smaller.study.steps.checks import require_counts, require_languages, require_small
from smaller.study.training import masked_language_loss, train

SETTINGS = {"weight_decay": 0.01, "betas": (0.9, 0.98), "dropout": 0.0}
"""What the fields leave open: RoBERTa's decay and betas (Liu et al. 2019, table 9); why no dropout, see `Pretrain`."""


@dataclass(frozen=True)
class Pretrain(Step):
    """Train by masked-language modelling: `rate` of the pieces are to be guessed, 80 % of them hidden, 10 % swapped.

    The defaults make the sample family from the embedded corpus in a minute or two on one core; at a rate of 25 %
    instead of the usual 15 % there is more to learn from so little text. `updates` counts batches of `batch_size`
    lines; the learning rate warms up over the first tenth and then falls to zero. There is no dropout: with so few
    updates nothing is seen often enough to be learned by heart. `lines` of each language are read, evenly spread; 0 is
    all.
    """

    corpus: str = "sample"
    languages: tuple[str, ...] = ("amh", "hau", "pcm", "swa", "yor")
    updates: int = 3500
    batch_size: int = 32
    learning_rate: float = 1.5e-3
    max_length: int = 64
    rate: float = 0.25
    seed: int = 1
    lines: int = later(0)

    trains: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_languages(self)
        require_counts(self, "seed", "updates", "batch_size", "max_length")
        require_small(self, "learning_rate")
        require(
            is_number(self.rate) and 0 < self.rate < 1,
            f"Pretrain's rate is the share of masked pieces, between 0 and 1; it is {self.rate!r}.",
        )

        require(is_count(self.lines), f"Pretrain's lines are a whole number, 0 for all; it is {self.lines!r}.")

    def inputs(self) -> dict[str, str]:
        """The checksum of each language's text."""
        return {
            f"{self.corpus}/{language}/text": splits.text_fingerprint(self.corpus, language)
            for language in self.languages
        }

    def apply(self, model: Model, *, say: Say = silent, scratch: Path | None = None) -> tuple[Model, dict]:
        """A masked-language model of the same shape."""
        formats.require_trainable(model, what="Pretrain")
        lines = [line for language in self.languages for line in splits.some_lines(self.corpus, language, self.lines)]
        rows = encode_text(lines, model.tokenizer, max_length=self.max_length)
        return learned_from_text(
            self, model, rows, warm_up=self.updates // 10, settings=SETTINGS, say=say, scratch=scratch
        )


def learned_from_text(
    step: Step, model: Model, rows: Sequence[Tensor], *, warm_up: int, settings: dict, say: Say, scratch: Path | None
) -> tuple[Model, dict]:
    """A copy of the model after the step's `updates`, with their report; `rows` are lines as piece ids."""
    require(
        not model.labels,
        f"{type(step).__name__} needs a masked-language model, and one with a classifier "
        "arrives: put the step before FineTune.",
    )
    trained = model.copy()
    batches = masked_batches(
        rows, model.tokenizer, updates=step.updates, size=step.batch_size, rate=step.rate, seed=step.seed
    )
    report = train(
        trained,
        batches,
        masked_language_loss,
        updates=step.updates,
        learning_rate=step.learning_rate,
        seed=step.seed,
        warm_up=warm_up,
        scratch=scratch,
        say=say,
        **settings,
    )
    return trained, report.as_record() | {
        "lines": len(rows),
        "parameters_before": parameter_count(model.network),
        "parameters_after": parameter_count(trained.network),
    }


def masked_batches(
    rows: Sequence[Tensor], tokenizer: PreTrainedTokenizerBase, *, updates: int, size: int, rate: float, seed: int
) -> Iterator[Batch]:
    """As many batches of masked lines as there are updates, round the text as often as needed."""
    generator = np.random.default_rng(seed)
    lengths = np.array([len(row) for row in rows])
    special = torch.tensor(tokenizer.all_special_ids)
    made = 0
    while made < updates:
        for chosen in shuffled_batches(lengths, size=size, generator=generator):
            if made == updates:
                return
            pieces = pad([rows[row] for row in chosen], value=tokenizer.pad_token_id)
            hidden, labels = mask_pieces(
                pieces,
                special=special,
                mask=tokenizer.mask_token_id,
                vocabulary=len(tokenizer),
                rate=rate,
                generator=generator,
            )
            yield Batch(hidden, pieces != tokenizer.pad_token_id, labels, chosen)
            made += 1


def mask_pieces(
    pieces: Tensor, *, special: Tensor, mask: int, vocabulary: int, rate: float, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Choose pieces to guess; returns the damaged pieces and labels, `IGNORED` where nothing is to be guessed.

    Of the chosen pieces 80 % become the mask, 10 % a random piece, and 10 % stay (Devlin et al. 2019, section 3.1).
    """
    chosen = torch.from_numpy(generator.random(pieces.shape) < rate) & ~torch.isin(pieces, special)
    draw = torch.from_numpy(generator.random(pieces.shape))
    labels = torch.where(chosen, pieces, IGNORED)
    random_pieces = torch.from_numpy(generator.integers(0, vocabulary, pieces.shape))
    damaged = torch.where(chosen & (draw < 0.8), mask, pieces)
    return torch.where(chosen & (draw >= 0.9), random_pieces, damaged), labels
