"""Tokenizers with fewer pieces, and the rows of a model that belong to them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from smaller.base.errors import SmallerError
from smaller.encoders.tokenizers import why_not_trimmed

CHUNK = 1000


def piece_counts(lines: Iterable[str], tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """How often each piece occurs in the lines; an array with a count for each id."""
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    lines = list(lines)
    for start in range(0, len(lines), CHUNK):
        rows = tokenizer(lines[start : start + CHUNK], add_special_tokens=False, return_attention_mask=False)
        ids = np.fromiter((piece for row in rows["input_ids"] for piece in row), dtype=np.int64)
        counts += np.bincount(ids, minlength=len(counts))
    return counts


def special_ids(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The ids of special pieces, and of all that was added to the vocabulary by hand."""
    return set(tokenizer.all_special_ids) | set(tokenizer.added_tokens_decoder)


def frequent(
    counts: np.ndarray, tokenizer: PreTrainedTokenizerBase, *, size: int | None = None, coverage: float | None = None
) -> np.ndarray:
    """The ids to keep, in rising order: special pieces, then the most frequent ones; of equal ones the lower id.

    `size` counts all pieces that are kept, special ones too. `coverage` is the share of the text's pieces that the
    kept ones make up. Pieces of a single character that occur are kept before all others: with them a word of the
    text that loses its piece falls into shorter ones and not to the unknown piece. Raises SmallerError for a size that
    leaves no room for them.
    """
    special = sorted(special_ids(tokenizer))
    pieces = tokenizer.convert_ids_to_tokens(range(len(counts)))
    single = [index for index in np.flatnonzero(counts) if _is_single(pieces[index])]
    first = list(dict.fromkeys([*special, *single]))
    taken = set(first)
    order = np.lexsort((np.arange(len(counts)), -counts))
    rest = [int(index) for index in order if int(index) not in taken]
    if coverage is not None:
        wanted = coverage * counts.sum()
        covered = np.cumsum([counts[first].sum(), *counts[rest]])
        size = len(first) + int(np.searchsorted(covered, wanted))
    if size < len(first):
        raise SmallerError(
            f"A vocabulary of {size:,} pieces is too small: special pieces and the single characters of the text are "
            f"{len(first):,} already."
        )
    return np.array(sorted([*first, *rest[: size - len(first)]]), dtype=np.int64)


def _is_single(piece: str) -> bool:
    return len(piece.removeprefix("##").removeprefix("▁")) <= 1


def trimmed(tokenizer: PreTrainedTokenizerBase, kept: Sequence[int]) -> PreTrainedTokenizerBase:
    """A tokenizer with the pieces of `kept` alone, renumbered in their order; Unigram and WordPiece.

    Text whose pieces are all kept is cut as before: Unigram's best segmentation is still there and nothing better is,
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
        model["vocab"] = {piece: new_ids[old] for piece, old in model["vocab"].items() if old in new_ids}
    for token in state["added_tokens"]:
        token["id"] = new_ids[token["id"]]
    _renumber(state["post_processor"], new_ids)
    # A copy of all but the pieces themselves: copying a quarter of a million of them takes seconds.
    known = {id(tokenizer._tokenizer): Tokenizer.from_str(json.dumps(state, ensure_ascii=False))}
    if hasattr(tokenizer, "_vocab"):
        known[id(tokenizer._vocab)] = model["vocab"]
    return copy.deepcopy(tokenizer, known)


def _renumber(processor: dict | None, new_ids: dict[int, int]) -> None:
    """Special pieces that stand around a sentence, in the forms that `tokenizers` has for them."""
    if processor is None:
        return
    for inner in processor.get("processors", ()):
        _renumber(inner, new_ids)
    for token in processor.get("special_tokens", {}).values():
        token["ids"] = [new_ids[old] for old in token["ids"]]
    for side in ("sep", "cls"):
        if side in processor:
            processor[side] = [processor[side][0], new_ids[processor[side][1]]]
