"""Tokenizers that SentencePiece learns from text: Unigram, with XLM-R's special tokens, as AfriBERTa's."""

from __future__ import annotations

import io
from collections.abc import Iterable

import sentencepiece
from transformers import XLMRobertaTokenizer

FIRST = ("<s>", "<pad>", "</s>", "<unk>")
"""The special tokens before all others; the mask is the last token."""


def learned_unigram(lines: Iterable[str], *, size: int, **settings: object) -> XLMRobertaTokenizer:
    """A tokenizer of `size` tokens, special ones among them, to which text is as it is written.

    `settings` are SentencePiece's, which raises RuntimeError where the lines do not give so many tokens.
    """
    learned = io.BytesIO()
    # In one thread: several would add up probabilities in changing order. The trainer of `tokenizers` always does.
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=learned,
        model_type="unigram",
        vocab_size=max(1, size - len(FIRST)),
        normalization_rule_name="identity",
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        num_threads=1,
        minloglevel=2,
        **settings,
    )
    model = sentencepiece.SentencePieceProcessor(model_proto=learned.getvalue())
    pieces = [(model.id_to_piece(index), model.get_score(index)) for index in range(1, model.get_piece_size())]
    made = XLMRobertaTokenizer(vocab=[*((piece, 0.0) for piece in FIRST), *pieces, ("<mask>", 0.0)])
    made.model_max_length = 512
    return made
