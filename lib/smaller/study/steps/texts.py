"""Unlabelled text as a step reads it: so many lines of a language, in a script that the tokenizer knows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from smaller.base.checks import require
from smaller.data import splits
from smaller.data.encoding import encode_text

UNKNOWN_LIMIT = 0.15
"""The share of unknown tokens from which on a tokenizer does not know a script.

It is below 0.02 on text of the languages that a tokenizer was made for, up to 0.11 where only some letters are missing,
and 0.25 (Chinese) to 0.45 (Arabic, N'Ko) in a script that is missing as a whole (measured with the two tokenizers that
this study makes).
"""


def lines_of(corpus: str, language: str, *, limit: int) -> list[str]:
    """The lines of a language, or `limit` of them evenly spread: a corpus holds its sources one after another.

    A limit of 0 is none. Raises SmallerError where there is no line.
    """
    lines = splits.some_lines(corpus, language, limit)
    require(bool(lines), f"The corpus {corpus}/{language} is empty: a step that reads text needs a line of it.")
    return lines


def rows_of(
    corpus: str, languages: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, limit: int, max_length: int = 128
) -> list[Tensor]:
    """`limit` lines of each language as token ids, each cut at `max_length` tokens.

    Raises SmallerError where there is no text: no line, nothing but blanks, or a script that the tokenizer lacks.
    """
    rows = []
    for language in languages:
        found = encode_text(lines_of(corpus, language, limit=limit), tokenizer, max_length=max_length)
        require_known(found, tokenizer, place=f"{corpus}/{language}")
        rows += found
    special = torch.tensor(tokenizer.all_special_ids)
    require(
        not torch.isin(torch.cat(rows), special).all(),
        f"The text of {corpus}/{'+'.join(languages)} holds nothing but blanks, so there is nothing to learn from it.",
    )
    return rows


def unknown_share(rows: Sequence[Tensor], tokenizer: PreTrainedTokenizerBase) -> float:
    """The share of unknown tokens in rows of token ids, rounded to six digits."""
    return round((torch.cat(list(rows)) == tokenizer.unk_token_id).float().mean().item(), 6)


def require_known(rows: Sequence[Tensor], tokenizer: PreTrainedTokenizerBase, *, place: str) -> None:
    """Raise SmallerError if the tokenizer does not know the script that a text is written in."""
    share = unknown_share(rows, tokenizer)
    require(
        share <= UNKNOWN_LIMIT,
        f"The tokenizer does not know the script of {place}: {100 * share:.0f} % of the tokens are unknown, and "
        f"the limit is {100 * UNKNOWN_LIMIT:.0f} %. Use another encoder or another text.",
    )
