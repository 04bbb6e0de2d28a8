"""Adaptation: an encoder that knows many languages goes on with the text of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from smaller import formats
from smaller.base.progress import Say, silent
from smaller.data import splits
from smaller.data.encoding import encode_text
from smaller.encoders import Model
from smaller.study.steps.base import Step, is_count, later, require
from smaller.study.steps.checks import require_counts, require_share, require_small
from smaller.study.steps.pretraining import learned_from_text
from smaller.study.steps.texts import lines_of, require_known, unknown_share

SETTINGS: dict = {}
"""What the fields leave open is as AdamW and the model's configuration have it, dropout too."""


@dataclass(frozen=True)
class Adapt(Step):
    """Go on with masked-language modelling on one language, or on several, as "swa+hau" (paper 2, section 3).

    The defaults are paper 2's: 100,000 updates of 32 lines at a peak of 1e-4, 15 % of the pieces to be guessed, AdamW
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

    def __post_init__(self) -> None:
        for language in self.languages:
            splits.check_text(self.corpus, language)
        require_counts(self, "seed", "updates", "batch_size", "max_length")
        require_small(self, "learning_rate")
        require_small(self, "rate")
        require_share(self, "warm_up")
        require(is_count(self.lines), f"Adapt's lines are a whole number, 0 for all; it is {self.lines!r}.")

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of the languages."""
        return tuple(self.language.split("+"))

    @property
    def label(self) -> str:
        """The step in a few words: text and seed."""
        return f"Adapt({self.corpus}/{self.language}, seed {self.seed})"

    def inputs(self) -> dict[str, str]:
        """The checksum of each language's text."""
        return {
            f"{self.corpus}/{language}/text": splits.text_fingerprint(self.corpus, language)
            for language in self.languages
        }

    def apply(self, model: Model, *, say: Say = silent, scratch: Path | None = None) -> tuple[Model, dict]:
        """A masked-language model of the same shape and vocabulary; masks are held."""
        formats.require_trainable(model, what="Adapt")
        rows: list[Tensor] = []
        for language in self.languages:
            found = encode_text(
                lines_of(self.corpus, language, limit=self.lines), model.tokenizer, max_length=self.max_length
            )
            require_known(found, model.tokenizer, place=f"{self.corpus}/{language}")
            rows += found
        trained, report = learned_from_text(
            self, model, rows, warm_up=round(self.warm_up * self.updates), settings=SETTINGS, say=say, scratch=scratch
        )
        return trained, report | {"unknown_rate": round(unknown_share(rows, model.tokenizer), 6)}
