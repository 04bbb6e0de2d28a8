"""Vocabulary trimming: the tokens that a language does not use go, with their rows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from smaller.base.checks import require, require_counts, require_number
from smaller.encoders import Model, reshaped
from smaller.encoders.tokenizers import why_not_trimmed
from smaller.encoders.vocabulary import most_frequent, spelled, trimmed
from smaller.study.steps.base import Step, later
from smaller.study.steps.checks import require_languages
from smaller.study.steps.texts import lines_of


@dataclass(frozen=True)
class TrimVocabulary(Step):
    """Keep the tokens that are most frequent in a corpus, `size` of them or so many that they cover a share of it.

    Paper 2, section 3 (40,000 tokens). Hidden states on text inside the kept vocabulary are the same to the bit; a word
    outside it falls into shorter tokens. Special tokens stay in their order, the output bias is carried along.
    Tokens are counted on `lines` of each language, evenly spread; 0 takes all.
    """

    size: int | None = None
    coverage: float | None = None
    corpus: str = "sample"
    languages: tuple[str, ...] = ()
    lines: int = later(0)

    technique: ClassVar[str] = "trimmed"

    def __post_init__(self) -> None:
        require(
            (self.size is None) != (self.coverage is None),
            "TrimVocabulary takes a size (tokens to keep) or a coverage (share of the text), one of them.",
        )
        require_counts(self, "size")
        if self.coverage is not None:
            require_number(self, "coverage", lambda value: 0 < value <= 1, "a share of the text, from 0 to 1")
        require_counts(self, "lines", least=0)
        require_languages(self)

    @property
    def label(self) -> str:
        wanted = f"{self.size:,} tokens" if self.size else f"{100 * self.coverage:g} % of the text"
        return f"TrimVocabulary({wanted}, {'+'.join(self.languages)})"

    def resize(self, shape: dict[str, int]) -> dict[str, int]:
        """The vocabulary changes. Raises SmallerError for a coverage, whose size only the text can tell."""
        require(
            self.size is not None,
            "How many tokens cover a share of the text is known once the text is read; the "
            "shape of TrimVocabulary(coverage=...) cannot be told before.",
        )
        return shape | {"vocabulary": min(self.size, shape["vocabulary"])}

    def apply(self, model: Model, **_: Any) -> tuple[Model, dict]:
        """The model with fewer tokens; the report says how much of the text they cover."""
        why = why_not_trimmed(model.tokenizer)
        require(not why, why)
        texts = [lines_of(self.corpus, language, limit=self.lines) for language in self.languages]
        lines = itertools.chain(*texts)
        kept, counts = most_frequent(lines, model.tokenizer, size=self.size, coverage=self.coverage)
        return with_tokens(model, kept), {
            "pieces_before": len(counts),
            "pieces_after": len(kept),
            "text_covered": float(counts[kept].sum() / counts.sum()),
            "unknown_before": float(counts[model.tokenizer.unk_token_id] / counts.sum()),
        }


def with_tokens(model: Model, kept: np.ndarray) -> Model:
    """The model with the tokens of the given old ids alone, renumbered: rows, output bias, masks and tokenizer."""
    return _with_vocabulary(model, trimmed(model.tokenizer, kept), torch.from_numpy(kept)[:, None])


def with_tokenizer(model: Model, tokenizer: PreTrainedTokenizerBase) -> Model:
    """The model with another tokenizer: the row of a token is the mean of those that spelled it before.

    This is fast vocabulary transfer (Gee et al. 2022, section 3). No mask of the rows is left.
    """
    return _with_vocabulary(model, tokenizer, spelled(tokenizer, model.tokenizer))


def _with_vocabulary(model: Model, tokenizer: PreTrainedTokenizerBase, old: torch.Tensor) -> Model:
    """The model with a tokenizer, where `old` of shape (tokens, most) has the old ids of each token, then -1."""
    config, there = model.network.config, old >= 0
    alone = there.sum(1) == 1
    single = bool(alone.all())

    def by_token(name: str, tensor: torch.Tensor) -> bool:
        """Whether a tensor has a row for each token: the embedding, the output layer and its bias."""
        of_vocabulary = "word_embeddings" in name or name.startswith(("lm_head.", "cls.predictions."))
        return of_vocabulary and tensor.shape[:1] == (config.vocab_size,)

    def moved(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if not by_token(name, tensor):
            return tensor
        if single:
            return tensor[old[:, 0]]
        share = (there / there.sum(1, keepdim=True)).view(*old.shape, *[1] * (tensor.dim() - 1))
        return (tensor[old.clamp(min=0)] * share).sum(1)

    sizes = {"vocab_size": len(tokenizer)}
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "mask_token_id", "unk_token_id"):
        if (told := getattr(config, name, None)) is not None:
            sizes[name] = int((alone & (old[:, 0] == told)).nonzero()[0])
    state = {name: moved(name, tensor) for name, tensor in model.network.state_dict().items()}
    masks = {name: moved(name, mask) for name, mask in model.masks.items() if single or not by_token(name, mask)}
    return reshaped(model, state, masks, tokenizer=tokenizer, **sizes)
