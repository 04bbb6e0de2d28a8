"""Tokenizers as people have them: opened so that words are cut as in running text, and what they can and cannot do."""

from __future__ import annotations

import itertools
from pathlib import Path

from tokenizers.pre_tokenizers import ByteLevel, PreTokenizer, Sequence
from transformers import AutoTokenizer, PreTrainedTokenizerBase, XLMRobertaTokenizer

from smaller.encoders.layout import PIECES

TRIMMED = ("Unigram", "WordPiece")
"""The kinds whose tokens can go one by one: the text that the others stand for is cut as before."""


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """A folder's tokenizer; SentencePiece's tokens alone are XLM-R's, whatever network stands on them.

    Sentences arrive as words. A byte-level tokenizer that marks where a word begins by the space before it is opened
    with a space in front of every word, so that words are cut as in running text.
    """
    alone = (folder / PIECES).is_file() and not (folder / "tokenizer.json").is_file()
    kind = XLMRobertaTokenizer if alone else AutoTokenizer
    options = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = kind.from_pretrained(folder, **options)
    if not tokenizer.is_fast:
        raise ValueError(f"its tokenizer {type(tokenizer).__name__} does not say which word a token is of")
    if not cuts_words_as_in_text(tokenizer):
        tokenizer = kind.from_pretrained(folder, **options, add_prefix_space=True)
    if not cuts_words_as_in_text(tokenizer):  # its class takes no notice of the option
        for part in _byte_levels(tokenizer):
            part.add_prefix_space = True
    return tokenizer


def cuts_words_as_in_text(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a word has the same tokens alone as behind another one in a sentence."""
    words = ["ba", "Ba"]
    return tokenizer(words, is_split_into_words=True)["input_ids"] == tokenizer(" ".join(words))["input_ids"]


def tokenizer_kind(tokenizer: PreTrainedTokenizerBase) -> str:
    """How tokens are found: "Unigram", "WordPiece", "BPE", "byte-level BPE" ..."""
    kind = type(tokenizer.backend_tokenizer.model).__name__
    return f"byte-level {kind}" if _byte_levels(tokenizer) else kind


def why_not_trimmed(tokenizer: PreTrainedTokenizerBase) -> str:
    """Why tokens cannot be taken out of the tokenizer, in a sentence; empty where they can."""
    kind = type(tokenizer.backend_tokenizer.model).__name__
    return "" if kind in TRIMMED else f"A tokenizer of kind {kind} cannot be trimmed; {' and '.join(TRIMMED)} can."


def takes_accents_off(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether letters are the same with their accents as without, which in tonal languages are other words."""
    plain, marked = (tokenizer(list(letters), add_special_tokens=False)["input_ids"] for letters in ("aeiou", "àéìóù"))
    return plain == marked and any(tokenizer.unk_token_id not in pieces for pieces in plain)


def hides_capitals(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether capitals are made small although there are tokens with capitals, which text then never becomes."""
    if tokenizer("A", add_special_tokens=False)["input_ids"] != tokenizer("a", add_special_tokens=False)["input_ids"]:
        return False
    special = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    pieces = [piece for piece in tokenizer.get_vocab() if piece not in special]
    return sum(piece != piece.lower() for piece in pieces) > 0.01 * len(pieces)


def _byte_levels(tokenizer: PreTrainedTokenizerBase) -> list[ByteLevel]:
    """The parts that cut text into bytes; they stand alone or among others."""
    return list(_parts(tokenizer.backend_tokenizer.pre_tokenizer))


def _parts(cutter: PreTokenizer | None):
    if isinstance(cutter, ByteLevel):
        yield cutter
    elif isinstance(cutter, Sequence):
        for place in itertools.count():
            try:
                part = cutter[place]
            except IndexError:
                return
            yield from _parts(part)
