"""Vocabulary trimming: lossless inside the kept vocabulary, a fallback outside it, for Unigram and WordPiece."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import sample
from smaller.data.tasks import bio_labels
from smaller.encoders import Model
from smaller.encoders.vocabulary import frequent, piece_counts, special_ids, trimmed
from smaller.study.steps import Prune
from smaller.study.steps.trimming import TrimVocabulary, with_pieces

LINES = sample.text("swa")[:300]
STEP = TrimVocabulary(size=900, languages=("swa",))


@pytest.fixture(scope="module")
def word_piece() -> Model:
    """A BERT with a WordPiece vocabulary whose special pieces stand in its middle, as mBERT's do."""
    letters = sorted({letter for line in LINES for letter in line if not letter.isspace()})
    words = sorted({word for line in LINES for word in line.split()})[:400]
    pieces = [
        "[PAD]",
        *letters,
        *(f"##{letter}" for letter in letters),
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *words,
        "##kuwa",
        "##wa",
        "##ni",
    ]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    around = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    names = {
        name: f"[{name[:-6].upper()}]" for name in ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    }
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, **names)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=128,
        pad_token_id=0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return Model(BertForMaskedLM(config).eval(), tokenizer)


@pytest.fixture(params=["unigram", "wordpiece"])
def whole(request: pytest.FixtureRequest, tiny: Model, word_piece: Model) -> Model:
    return tiny if request.param == "unigram" else word_piece


def kept_for(model: Model, share: float = 0.8) -> np.ndarray:
    """The pieces to keep when a share of those that occur in the lines shall stay."""
    counts = piece_counts(LINES, model.tokenizer)
    return frequent(counts, model.tokenizer, size=int(share * np.count_nonzero(counts)))


@torch.no_grad()
def test_text_inside_the_kept_vocabulary_is_cut_and_read_as_before(whole: Model) -> None:
    kept = kept_for(whole)
    small = with_pieces(whole, kept)
    inside = 0
    for line in LINES[:60]:
        old = whole.tokenizer(line, return_tensors="pt")
        if not set(old["input_ids"][0].tolist()) <= set(kept.tolist()):
            continue
        inside += 1
        new = small.tokenizer(line, return_tensors="pt")
        assert torch.equal(torch.from_numpy(kept)[new["input_ids"]], old["input_ids"])
        before, after = (
            model.network(**pieces, output_hidden_states=True) for model, pieces in ((whole, old), (small, new))
        )
        assert torch.equal(before.hidden_states[-1], after.hidden_states[-1])
        torch.testing.assert_close(after.logits, before.logits[..., torch.from_numpy(kept)], rtol=0, atol=1e-6)
    assert inside >= 5


def test_special_pieces_stay_and_are_known_to_all(whole: Model) -> None:
    kept = kept_for(whole)
    small = with_pieces(whole, kept)
    assert len(small.tokenizer) == small.network.config.vocab_size == len(kept)
    old, new = whole.tokenizer, small.tokenizer
    assert old.all_special_tokens == new.all_special_tokens
    assert new.convert_ids_to_tokens(new("")["input_ids"]) == old.convert_ids_to_tokens(old("")["input_ids"])
    assert small.network.config.pad_token_id == new.pad_token_id
    assert new.mask_token_id == new.convert_tokens_to_ids(old.mask_token) < len(kept)
    assert len(whole.tokenizer) > len(kept)  # the larger one is as it was


def test_a_word_outside_falls_into_shorter_pieces(tiny: Model) -> None:
    small = with_pieces(tiny, kept_for(tiny))
    words = {word for line in LINES for word in line.split()}
    for word in sorted(words)[:200]:
        assert small.tokenizer.unk_token_id not in small.tokenizer(word)["input_ids"] or (
            tiny.tokenizer.unk_token_id in tiny.tokenizer(word)["input_ids"]
        )
    assert small.tokenizer.unk_token_id in small.tokenizer("日本")["input_ids"]


def test_saved_and_opened_again(whole: Model, tmp_path) -> None:
    small = with_pieces(whole, kept_for(whole))
    encoders.save(small, tmp_path)
    again = encoders.open_folder(tmp_path)
    pieces = small.tokenizer(list(LINES[:4]), padding=True, return_tensors="pt")
    other = again.tokenizer(list(LINES[:4]), padding=True, return_tensors="pt")
    assert torch.equal(pieces["input_ids"], other["input_ids"])
    with torch.no_grad():
        torch.testing.assert_close(again.network(**other).logits, small.network(**pieces).logits)


def test_frequent_pieces_by_hand(tiny: Model) -> None:
    counts = np.zeros(len(tiny.tokenizer), dtype=np.int64)
    special = special_ids(tiny.tokenizer)
    long = [
        i
        for i, piece in enumerate(tiny.tokenizer.convert_ids_to_tokens(range(len(counts))))
        if len(piece.removeprefix("▁")) > 2 and i not in special
    ][:4]
    counts[long] = [5, 9, 5, 1]
    assert set(frequent(counts, tiny.tokenizer, size=len(special) + 2)) == special | {long[1], long[0]}
    assert set(frequent(counts, tiny.tokenizer, coverage=0.94)) == special | set(long[:3])
    assert set(frequent(counts, tiny.tokenizer, coverage=1.0)) == special | set(long)
    with pytest.raises(SmallerError, match="too small: special pieces and the single characters"):
        frequent(counts, tiny.tokenizer, size=len(special) - 1)


def test_step_on_a_pruned_tagger_keeps_labels_and_masks(tiny: Model) -> None:
    tagger = encoders.with_classifier(tiny, bio_labels(("PER", "LOC")), seed=1)
    pruned, _ = Prune(0.5, include="linear+embeddings").apply(tagger)
    before = {name: weight.clone() for name, weight in pruned.network.state_dict().items()}
    small, report = STEP.apply(pruned)
    assert report["pieces_after"] == 900 and small.labels == pruned.labels
    assert report["parameters_before"] - report["parameters_after"] == 24 * (report["pieces_before"] - 900)
    for parameter, mask in small.masked_parameters():
        assert parameter.shape == mask.shape and not parameter[~mask].any()
    assert all(torch.equal(weight, before[name]) for name, weight in pruned.network.state_dict().items())
    assert 0.8 < report["text_covered"] <= 1
    again, _ = STEP.apply(pruned)
    assert all(torch.equal(a, b) for a, b in zip(small.network.parameters(), again.network.parameters(), strict=True))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "a size .* or a coverage"),
        ({"size": 10, "coverage": 0.5}, "one of them"),
        ({"size": 0}, "above zero; it is 0"),
        ({"size": "40k"}, "above zero; it is '40k'"),
        ({"coverage": 1.5}, "a share of the text"),
        ({"size": 900, "languages": ()}, "at least one language"),
        ({"size": 900, "languages": ("xxx",)}, "no language 'xxx'"),
    ],
)
def test_bad_fields(fields: dict, message: str) -> None:
    with pytest.raises(SmallerError, match=message):
        TrimVocabulary(**{"languages": ("swa",)} | fields)


def test_a_size_that_leaves_no_room_is_an_error_before_anything_is_cut(tiny: Model) -> None:
    with pytest.raises(SmallerError, match="A vocabulary of 6 pieces is too small"):
        TrimVocabulary(size=6, languages=("swa",)).apply(tiny)


def test_other_kinds_of_tokenizer_are_refused() -> None:
    made = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"a": 0}, [])))
    with pytest.raises(SmallerError, match="kind BPE cannot be trimmed"):
        trimmed(made, [0])
