"""Trimmed vocabularies: which tokens are kept, and tokenizers that cut as before inside them, and shorter outside."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from smaller.base.errors import SmallerError
from smaller.data import sample
from smaller.encoders.vocabulary import frequent, special_ids, token_counts, trimmed

LINES = sample.text("swa")[:300]


def word_piece() -> PreTrainedTokenizerBase:
    """A WordPiece tokenizer whose special tokens stand in the middle of its vocabulary, as mBERT's do."""
    letters = sorted({letter for line in LINES for letter in line if not letter.isspace()})
    words = sorted({word for line in LINES for word in line.split()})[:400]
    special = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = ["[PAD]", *letters, *(f"##{letter}" for letter in letters), *special, *words, "##kuwa", "##wa", "##ni"]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    around = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=made, **names)


def kept_of(tokenizer: PreTrainedTokenizerBase, share: float = 0.8) -> np.ndarray:
    """The ids to keep when a share of the tokens that occur in the lines shall stay."""
    counts = token_counts(LINES, tokenizer)
    return frequent(counts, tokenizer, size=int(share * np.count_nonzero(counts)))


@pytest.fixture(params=["unigram", "wordpiece"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    return sample.tokenizer() if request.param == "unigram" else word_piece()


def test_tokens_are_counted(tokenizer: PreTrainedTokenizerBase) -> None:
    lines = list(LINES) * 4  # more than are read at once
    rows = tokenizer(lines, add_special_tokens=False)["input_ids"]
    counts = token_counts(iter(lines), tokenizer)
    assert len(counts) == len(tokenizer) and counts.sum() == sum(map(len, rows))
    assert counts[rows[0][0]] == sum(row.count(rows[0][0]) for row in rows)


def test_text_inside_the_kept_vocabulary_is_cut_as_before(tokenizer: PreTrainedTokenizerBase) -> None:
    kept = kept_of(tokenizer)
    small = trimmed(tokenizer, kept)
    before, after = (one(list(LINES))["input_ids"] for one in (tokenizer, small))
    inside = [place for place, row in enumerate(before) if set(row) <= set(kept.tolist())]
    assert len(inside) > 20
    assert all(kept[after[place]].tolist() == before[place] for place in inside)


def test_special_tokens_stay(tokenizer: PreTrainedTokenizerBase) -> None:
    kept = kept_of(tokenizer)
    small = trimmed(tokenizer, kept)
    assert len(small) == len(kept) < len(tokenizer)
    assert tokenizer.all_special_tokens == small.all_special_tokens
    assert small.convert_ids_to_tokens(small("")["input_ids"]) == tokenizer.convert_ids_to_tokens(
        tokenizer("")["input_ids"]
    )
    assert small.mask_token_id == small.convert_tokens_to_ids(tokenizer.mask_token) < len(kept)


def test_a_word_outside_falls_into_shorter_tokens() -> None:
    tokenizer = sample.tokenizer()
    small = trimmed(tokenizer, kept_of(tokenizer))
    words = sorted({word for line in LINES for word in line.split()})[:200]
    known, after = (
        [unknown not in row for row in one(words)["input_ids"]]
        for one, unknown in ((tokenizer, tokenizer.unk_token_id), (small, small.unk_token_id))
    )
    assert after == known
    assert small.unk_token_id in small("日本")["input_ids"]


def test_frequent_tokens_by_hand() -> None:
    tokenizer = sample.tokenizer()
    counts = np.zeros(len(tokenizer), dtype=np.int64)
    special = special_ids(tokenizer)
    long = [
        i
        for i, token in enumerate(tokenizer.convert_ids_to_tokens(range(len(counts))))
        if len(token.removeprefix("▁")) > 2 and i not in special
    ][:4]
    counts[long] = [5, 9, 5, 1]
    assert set(frequent(counts, tokenizer, size=len(special) + 2)) == special | {long[1], long[0]}
    assert set(frequent(counts, tokenizer, coverage=0.94)) == special | set(long[:3])
    assert set(frequent(counts, tokenizer, coverage=1.0)) == special | set(long)
    with pytest.raises(SmallerError, match="too small: special tokens and the single characters"):
        frequent(counts, tokenizer, size=len(special) - 1)


def test_other_kinds_of_tokenizer_are_refused() -> None:
    made = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"a": 0}, [])))
    with pytest.raises(SmallerError, match="kind BPE cannot be trimmed"):
        trimmed(made, [0])
