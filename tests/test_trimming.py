"""Vocabulary trimming: lossless inside the kept vocabulary, a fallback outside it, for Unigram and WordPiece."""

from __future__ import annotations

import pytest
import torch
from test_vocabulary import LINES, kept_of, word_piece
from transformers import BertConfig

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data.tasks import bio_labels
from smaller.encoders import Model
from smaller.study.steps import Prune
from smaller.study.steps.trimming import TrimVocabulary, with_tokens

STEP = TrimVocabulary(size=900, languages=("swa",))


@pytest.fixture(params=["unigram", "wordpiece"])
def whole(request: pytest.FixtureRequest, tiny: Model) -> Model:
    if request.param == "unigram":
        return tiny
    tokenizer, sizes = word_piece(), dict(hidden_size=24, num_hidden_layers=2, intermediate_size=48, pad_token_id=0)
    config = BertConfig(vocab_size=len(tokenizer), num_attention_heads=2, max_position_embeddings=128, **sizes)
    return Model(encoders.build(config, seed=5), tokenizer)


@torch.no_grad()
def test_text_inside_the_kept_vocabulary_is_cut_and_read_as_before(whole: Model) -> None:
    kept = kept_of(whole.tokenizer)
    small = with_tokens(whole, kept)
    inside = 0
    for line in LINES[:60]:
        old = whole.tokenizer(line, return_tensors="pt")
        if not set(old["input_ids"][0].tolist()) <= set(kept.tolist()):
            continue
        inside += 1
        new = small.tokenizer(line, return_tensors="pt")
        assert torch.equal(torch.from_numpy(kept)[new["input_ids"]], old["input_ids"])
        before, after = (
            model.network(**rows, output_hidden_states=True) for model, rows in ((whole, old), (small, new))
        )
        assert torch.equal(before.hidden_states[-1], after.hidden_states[-1])
        torch.testing.assert_close(after.logits, before.logits[..., torch.from_numpy(kept)], rtol=0, atol=1e-6)
    assert inside >= 5


def test_special_tokens_are_known_to_the_configuration(whole: Model) -> None:
    small = with_tokens(whole, kept_of(whole.tokenizer))
    assert len(small.tokenizer) == small.network.config.vocab_size < len(whole.tokenizer)
    assert small.network.config.pad_token_id == small.tokenizer.pad_token_id


def test_saved_and_opened_again(whole: Model, tmp_path) -> None:
    small = with_tokens(whole, kept_of(whole.tokenizer))
    encoders.save(small, tmp_path)
    again = encoders.open_folder(tmp_path)
    rows = small.tokenizer(list(LINES[:4]), padding=True, return_tensors="pt")
    other = again.tokenizer(list(LINES[:4]), padding=True, return_tensors="pt")
    assert torch.equal(rows["input_ids"], other["input_ids"])
    with torch.no_grad():
        torch.testing.assert_close(again.network(**other).logits, small.network(**rows).logits)


def test_how_much_of_the_text_the_kept_tokens_cover(tiny: Model) -> None:
    _, report = TrimVocabulary(coverage=0.9, languages=("swa",), lines=200).apply(tiny)
    assert 0.9 <= report["text_covered"] < 0.91 and report["pieces_after"] < report["pieces_before"]
    assert STEP.label == "TrimVocabulary(900 tokens, swa)" and STEP.inputs().keys() == {"sample/swa/text"}


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
        ({"coverage": 1.5}, "TrimVocabulary's coverage is a share of the text, from 0 to 1; it is 1.5"),
        ({"size": 900, "lines": -1}, "lines is a whole number of at least zero"),
        ({"size": 900, "languages": ()}, "at least one language"),
        ({"size": 900, "languages": ("xxx",)}, "no language 'xxx'"),
    ],
)
def test_bad_fields(fields: dict, message: str) -> None:
    with pytest.raises(SmallerError, match=message):
        TrimVocabulary(**{"languages": ("swa",)} | fields)


def test_a_size_that_leaves_no_room_is_an_error_before_anything_is_cut(tiny: Model) -> None:
    with pytest.raises(SmallerError, match="A vocabulary of 6 tokens is too small"):
        TrimVocabulary(size=6, languages=("swa",)).apply(tiny)
