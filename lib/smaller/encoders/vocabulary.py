"""Tokenizers with fewer tokens, and which tokens to keep."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from smaller.base.errors import SmallerError
from smaller.encoders.tokenizers import tokenizer_kind, why_not_trimmed


def token_counts(lines: Iterable[str], tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """How often each token occurs in the lines; an array with a count for each id."""
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    lines = iter(lines)
    while chunk := list(itertools.islice(lines, 1000)):
        rows = tokenizer(chunk, add_special_tokens=False, return_attention_mask=False)["input_ids"]
        ids = np.fromiter(itertools.chain.from_iterable(rows), dtype=np.int64)
        counts += np.bincount(ids, minlength=len(counts))
    return counts


def special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The ids of special tokens, and of all that was added to the vocabulary by hand."""
    return set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)


def frequent(
    counts: np.ndarray, tokenizer: PreTrainedTokenizerBase, *, size: int | None = None, coverage: float | None = None
) -> np.ndarray:
    """The ids to keep, in rising order: special tokens, then the most frequent ones; of equal ones the lower id.

    `size` counts all tokens that are kept, special ones too. `coverage` is the share of the text's tokens that the
    kept ones make up. Tokens of a single character that occur are kept before all others: with them a word of the
    text that loses its token falls into shorter ones and not to the unknown token. Raises SmallerError for a size that
    leaves no room for them.
    """
    tokens = tokenizer.convert_ids_to_tokens(range(len(counts)))
    single = [index for index in np.flatnonzero(counts).tolist() if _is_single(tokens[index])]
    first = list(dict.fromkeys([*sorted(special_ids(tokenizer)), *single]))
    order = np.argsort(-counts, kind="stable")
    rest = order[~np.isin(order, first)]
    if coverage is not None:
        covered = np.cumsum([counts[first].sum(), *counts[rest]])
        size = len(first) + int(np.searchsorted(covered, coverage * counts.sum()))
    if size < len(first):
        raise SmallerError(
            f"A vocabulary of {size:,} tokens is too small: special tokens and the single characters of the text are "
            f"{len(first):,} already."
        )
    return np.sort(np.concatenate([first, rest[: size - len(first)]])).astype(np.int64)


def most_frequent(
    lines: Iterable[str], tokenizer: PreTrainedTokenizerBase, *, size: int | None = None, coverage: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What `frequent` keeps by the counts in some lines, and the counts; a size may be larger than the vocabulary."""
    counts = token_counts(lines, tokenizer)
    size = None if size is None else min(size, len(counts))
    return frequent(counts, tokenizer, size=size, coverage=coverage), counts


def _is_single(token: str) -> bool:
    return len(token.removeprefix("##").removeprefix("▁")) <= 1


def trimmed(tokenizer: PreTrainedTokenizerBase, kept: Sequence[int]) -> PreTrainedTokenizerBase:
    """A tokenizer with the tokens of `kept` alone, renumbered in their order; Unigram and WordPiece.

    Text whose tokens are all kept is cut as before: Unigram's best segmentation is still there and nothing better is,
    and WordPiece's longest match is still the longest.
    """
    if why := why_not_trimmed(tokenizer):
        raise SmallerError(why)
    new_ids = {int(old): new for new, old in enumerate(kept)}
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    model = state["model"]
    if model["type"] == "Unigram":
        model["vocab"] = [entry for old, entry in enumerate(model["vocab"]) if old in new_ids]
        model["unk_id"] = new_ids[model["unk_id"]]
    else:
        model["vocab"] = {token: new_ids[old] for token, old in model["vocab"].items() if old in new_ids}
    for token in state["added_tokens"]:
        token["id"] = new_ids[token["id"]]
    _renumber(state["post_processor"], new_ids)
    # A copy of all but the vocabulary: copying a quarter of a million of them takes seconds.
    known = {id(tokenizer._tokenizer): Tokenizer.from_str(json.dumps(state, ensure_ascii=False))}
    if hasattr(tokenizer, "_vocab"):
        known[id(tokenizer._vocab)] = model["vocab"]
    return copy.deepcopy(tokenizer, known)


def spelled(tokenizer: PreTrainedTokenizerBase, by: PreTrainedTokenizerBase) -> Tensor:
    """How another tokenizer spells each token of one: its ids, of shape (tokens, most), and -1 behind them.

    A special token is spelled by the one that plays its part. Another Unigram vocabulary marks where a word begins in
    the same way; of other kinds each token is spelled as if a word began with it.
    """
    tokens, known = tokenizer.convert_ids_to_tokens(range(len(tokenizer))), by.get_vocab()
    parts = ("pad", "cls", "sep", "unk", "mask")
    special = {getattr(tokenizer, f"{part}_token"): getattr(by, f"{part}_token_id") for part in parts}
    if tokenizer_kind(by) == "Unigram":
        ids = [[part.id for part in by.backend_tokenizer.model.tokenize(token)] for token in tokens]
    else:
        ids = by([token.replace("▁", " ").strip() for token in tokens], add_special_tokens=False)["input_ids"]
    for place, token in enumerate(tokens):
        whole = special.get(token, known.get(token))
        ids[place] = [whole] if whole is not None else ids[place] or [by.unk_token_id or 0]
    return pad_sequence([torch.tensor(own) for own in ids], batch_first=True, padding_value=-1)


def _renumber(processor: dict | None, new_ids: dict[int, int]) -> None:
    """Special tokens that stand around a sentence, in the forms that `tokenizers` has for them."""
    processor = processor or {}
    for inner in processor.get("processors", ()):
        _renumber(inner, new_ids)
    for token in processor.get("special_tokens", {}).values():
        token["ids"] = [new_ids[old] for old in token["ids"]]
    for side in ("sep", "cls"):
        if side in processor:
            processor[side] = [processor[side][0], new_ids[processor[side][1]]]
