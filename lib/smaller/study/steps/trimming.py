"""Vocabulary trimming: the tokens that a language does not use go, with their rows."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from transformers import PreTrainedTokenizerBase

from smaller.base.checks import require, require_counts, require_number
from smaller.encoders import Model
from smaller.encoders.adapters import with_adapters
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
        if self.size is not None:
            require_counts(self, "size")
        else:
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


@torch.no_grad()
def _with_vocabulary(model: Model, tokenizer: PreTrainedTokenizerBase, old: torch.Tensor) -> Model:
    """The model with a tokenizer, where `old` of shape (tokens, most) has the old ids of each token, then -1."""
    before, there = model.network.config.vocab_size, old >= 0
    alone = there.sum(1) == 1
    single = bool(alone.all())

    def moved(name: str, tensor: torch.Tensor) -> torch.Tensor:
        if not _is_by_token(name, tensor, before):
            return tensor.clone()
        if single:
            return tensor[old[:, 0]]
        share = (there / there.sum(1, keepdim=True)).view(*old.shape, *[1] * (tensor.dim() - 1))
        return (tensor[old.clamp(min=0)] * share).sum(1)

    config = copy.deepcopy(model.network.config)
    config.vocab_size = len(tokenizer)
    for name in ("pad_token_id", "bos_token_id", "eos_token_id", "mask_token_id", "unk_token_id"):
        if (told := getattr(config, name, None)) is not None:
            setattr(config, name, int((alone & (old[:, 0] == told)).nonzero()[0]))
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        network = with_adapters(type(model.network)(config))
    state = {name: moved(name, tensor) for name, tensor in model.network.state_dict().items()}
    network.load_state_dict(state, assign=True)
    network.tie_weights()
    _fill_buffers(network, model.network)
    kept = {name: mask for name, mask in model.masks.items() if single or not _is_by_token(name, mask, before)}
    masks = {name: moved(name, mask) for name, mask in kept.items()}
    return Model(network.eval(), tokenizer, model.labels, masks, model.form)


def _is_by_token(name: str, tensor: torch.Tensor, vocabulary: int) -> bool:
    """Whether a tensor has a row for each token: the embedding, the output layer and its bias."""
    of_vocabulary = "word_embeddings" in name or name.startswith(("lm_head.", "cls.predictions."))
    return of_vocabulary and tensor.shape[:1] == (vocabulary,)


def _fill_buffers(network: torch.nn.Module, source: torch.nn.Module) -> None:
    """Buffers that are not saved, such as position numbers: the shape of the vocabulary does not change them."""
    values = dict(source.named_buffers())
    for name, buffer in list(network.named_buffers()):
        if buffer.is_meta:
            parent, _, own = name.rpartition(".")
            network.get_submodule(parent).register_buffer(own, values[name].clone(), persistent=False)
