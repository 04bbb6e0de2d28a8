"""Tokenizers that are learned from text: SentencePiece Unigram, as AfriBERTa's."""

from __future__ import annotations

import re
from collections.abc import Iterable

from transformers import XLMRobertaTokenizer

from smaller.base.errors import SmallerError
from smaller.data.unigram import FIRST, learned_unigram


def learn_tokenizer(lines: Iterable[str], *, vocabulary: int, exactly: bool = True) -> XLMRobertaTokenizer:
    """A Unigram tokenizer with XLM-R's five special tokens among its `vocabulary`; text is taken as it is written.

    Unless `exactly` so many are asked for, a small text gives fewer.

    Letters that make up less than a ten-thousandth of the text are unknown to it. Raises SmallerError where the lines
    do not give so many tokens, or have more letters than that.
    """
    settings = {"character_coverage": 0.9999, "max_sentence_length": 1 << 24, "hard_vocab_limit": exactly}
    try:
        return learned_unigram(lines, size=vocabulary, **settings)
    except RuntimeError as problem:
        raise _in_one_sentence(str(problem), vocabulary) from None


def _in_one_sentence(problem: str, vocabulary: int) -> SmallerError:
    if most := re.search(r"too high .* value <= (\d+)", problem):
        return SmallerError(
            f"The text is too small for a vocabulary of {vocabulary} tokens: it gives at most "
            f"{int(most[1]) + len(FIRST)}. Choose a smaller vocabulary, or a larger text."
        )
    if least := re.search(r"smaller than required_chars\. \d+ vs (\d+)", problem):
        return SmallerError(
            f"A vocabulary of {vocabulary} tokens is too small: the letters of the text alone take "
            f"{int(least[1]) + len(FIRST)}. Choose a larger one, or fewer languages."
        )
    return SmallerError(f"No tokenizer could be learned from the text: {problem}")
