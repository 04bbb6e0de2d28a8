"""Tokenizers that are learned from text: SentencePiece Unigram, as AfriBERTa's."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable

import sentencepiece
from transformers import XLMRobertaTokenizer

from smaller.base.errors import SmallerError

_FIRST = ("<s>", "<pad>", "</s>", "<unk>")


def learn_tokenizer(lines: Iterable[str], *, vocabulary: int, exactly: bool = True) -> XLMRobertaTokenizer:
    """A Unigram tokenizer with XLM-R's five special tokens among its `vocabulary`; text is taken as it is written.

    Unless `exactly` so many are asked for, a small text gives fewer.

    Letters that make up less than a ten-thousandth of the text are unknown to it. Raises SmallerError where the lines
    do not give so many tokens, or have more letters than that.
    """
    learned = io.BytesIO()
    try:
        # In one thread: several would add up probabilities in changing order.
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=learned,
            model_type="unigram",
            vocab_size=max(1, vocabulary - len(_FIRST)),
            character_coverage=0.9999,
            normalization_rule_name="identity",
            max_sentence_length=1 << 24,
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            num_threads=1,
            hard_vocab_limit=exactly,
            minloglevel=2,
        )
    except RuntimeError as problem:
        raise _in_one_sentence(str(problem), vocabulary) from None
    model = sentencepiece.SentencePieceProcessor(model_proto=learned.getvalue())
    pieces = [(model.id_to_piece(index), model.get_score(index)) for index in range(1, model.get_piece_size())]
    made = XLMRobertaTokenizer(vocab=[*((piece, 0.0) for piece in _FIRST), *pieces, ("<mask>", 0.0)])
    made.model_max_length = 512
    return made


def _in_one_sentence(problem: str, vocabulary: int) -> SmallerError:
    if most := re.search(r"too high .* value <= (\d+)", problem):
        return SmallerError(
            f"The text is too small for a vocabulary of {vocabulary} tokens: it gives at most "
            f"{int(most[1]) + len(_FIRST)}. Choose a smaller vocabulary, or a larger text."
        )
    if least := re.search(r"smaller than required_chars\. \d+ vs (\d+)", problem):
        return SmallerError(
            f"A vocabulary of {vocabulary} tokens is too small: the letters of the text alone take "
            f"{int(least[1]) + len(_FIRST)}. Choose a larger one, or fewer languages."
        )
    return SmallerError(f"No tokenizer could be learned from the text: {problem}")
