"""Masked-language modelling on unlabelled text: from the beginning, or to adapt an encoder to a language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from smaller.base.checks import require_counts, require_share, require_small
from smaller.data import splits
from smaller.data.encoding import IGNORED, Batch, pad, shuffled_batches
from smaller.encoders import Model
from smaller.study.steps.base import Step, later
from smaller.study.steps.checks import require_languages
from smaller.study.steps.texts import rows_of, unknown_share
from smaller.study.training import Objective, Report, masked_language_loss, train

SETTINGS = {"weight_decay": 0.01, "betas": (0.9, 0.98), "dropout": 0.0}
"""What the fields leave open: RoBERTa's decay and betas (Liu et al. 2019, table 9); why no dropout, see `Pretrain`."""


@dataclass(frozen=True)
class Pretrain(Step):
    """Train by masked-language modelling: `rate` of the tokens are to be guessed, 80 % of them hidden, 10 % swapped.

    The defaults make the sample family from the embedded corpus in half a minute on one core; at a rate of 25 %
    instead of the usual 15 % there is more to learn from so little text. `updates` counts batches of `batch_size`
    lines; the learning rate warms up over the first tenth and then falls to zero. There is no dropout: with so few
    updates nothing is seen often enough to be learned by heart. `lines` of each language are read, evenly spread; 0 is
    all.
    """

    corpus: str = "sample"
    languages: tuple[str, ...] = ("amh", "hau", "pcm", "swa", "yor")
    updates: int = 800
    batch_size: int = 32
    learning_rate: float = 3e-3
    max_length: int = 64
    rate: float = 0.25
    seed: int = 1
    lines: int = later(0)

    trains: ClassVar[bool] = True
    needs_classifier: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_languages(self)
        require_counts(self, "seed", "updates", "batch_size", "max_length")
        require_counts(self, "lines", least=0)
        require_small(self, "learning_rate", "rate")

    def apply(self, model: Model, **run: Any) -> tuple[Model, dict]:
        """A masked-language model of the same shape."""
        return learned_from_text(self, model, warm_up=self.updates // 10, **SETTINGS, **run)


@dataclass(frozen=True)
class Adapt(Step):
    """Go on with masked-language modelling on one language, or on several, as "swa+hau" (paper 2, section 3).

    The defaults are paper 2's: 100,000 updates of 32 lines at a peak of 1e-4, 15 % of the tokens to be guessed, AdamW
    without decay, the model's own dropout. The paper keeps the checkpoint with the best loss; here it is the last one.
    Training is that of `Pretrain`, with its checkpoints; it reads `lines` of each language, evenly spread; 0 is all.
    """

    corpus: str
    language: str
    updates: int = 100_000
    batch_size: int = 32
    learning_rate: float = 1e-4
    max_length: int = 512
    rate: float = 0.15
    warm_up: float = 0.0
    seed: int = 1
    lines: int = later(0)

    trains: ClassVar[bool] = True
    needs_classifier: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for language in self.languages:
            splits.check_text(self.corpus, language)
        require_counts(self, "seed", "updates", "batch_size", "max_length")
        require_counts(self, "lines", least=0)
        require_small(self, "learning_rate", "rate")
        require_share(self, "warm_up")

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of the languages."""
        return tuple(self.language.split("+"))

    @property
    def label(self) -> str:
        return f"Adapt({self.corpus}/{self.language}, seed {self.seed})"

    def apply(self, model: Model, **run: Any) -> tuple[Model, dict]:
        """A masked-language model of the same shape and vocabulary; masks are held."""
        return learned_from_text(self, model, warm_up=round(self.warm_up * self.updates), **run)


def learned_from_text(step: Step, model: Model, **options: Any) -> tuple[Model, dict]:
    """A copy of a masked-language model after the step's training, with its report; `options` are those of `train`."""
    trained = model.copy()
    report, about = train_on_text(step, trained, masked_language_loss, **options)
    return trained, report.as_record() | about


def train_on_text(step: Step, model: Model, objective: Objective, **options: Any) -> tuple[Report, dict[str, Any]]:
    """Train a masked-language model in place for the step's `updates` on its corpus; also says what the text was."""
    rows = rows_of(step.corpus, step.languages, model.tokenizer, limit=step.lines, max_length=step.max_length)
    report = train_on_rows(step, model, rows, objective, **options)
    return report, {"lines": len(rows), "unknown_rate": unknown_share(rows, model.tokenizer)}


def train_on_rows(plan: Any, model: Model, rows: Sequence[Tensor], objective: Objective, **options: Any) -> Report:
    """Train a masked-language model in place on rows of token ids, as a `plan` with the fields of `Pretrain` says."""
    drawn = {"updates": plan.updates, "seed": plan.seed}
    batches = masked_batches(rows, model.tokenizer, size=plan.batch_size, rate=plan.rate, **drawn)
    return train(model, batches, objective, learning_rate=plan.learning_rate, **drawn, **options)


def masked_batches(
    rows: Sequence[Tensor], tokenizer: PreTrainedTokenizerBase, *, updates: int, size: int, rate: float, seed: int
) -> Iterator[Batch]:
    """As many batches of masked lines as there are updates, round the text as often as needed."""
    generator = np.random.default_rng(seed)
    lengths = np.array([len(row) for row in rows])
    special = torch.tensor(tokenizer.all_special_ids)
    made = 0
    while made < updates:
        for chosen in shuffled_batches(lengths, size=size, generator=generator)[: updates - made]:
            tokens = pad([rows[row] for row in chosen], value=tokenizer.pad_token_id)
            hidden, labels = mask_tokens(
                tokens,
                special=special,
                mask=tokenizer.mask_token_id,
                vocabulary=len(tokenizer),
                rate=rate,
                generator=generator,
            )
            yield Batch(hidden, tokens != tokenizer.pad_token_id, labels, chosen)
            made += 1


def mask_tokens(
    tokens: Tensor, *, special: Tensor, mask: int, vocabulary: int, rate: float, generator: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """Choose tokens to guess; returns the damaged tokens and labels, `IGNORED` where nothing is to be guessed.

    Of the chosen tokens 80 % become the mask, 10 % a random token, and 10 % stay (Devlin et al. 2019, section 3.1).
    """
    chosen = torch.from_numpy(generator.random(tokens.shape) < rate) & ~torch.isin(tokens, special)
    draw = torch.from_numpy(generator.random(tokens.shape))
    labels = torch.where(chosen, tokens, IGNORED)
    random_tokens = torch.from_numpy(generator.integers(0, vocabulary, tokens.shape))
    damaged = torch.where(chosen & (draw < 0.8), mask, tokens)
    return torch.where(chosen & (draw >= 0.9), random_tokens, damaged), labels
