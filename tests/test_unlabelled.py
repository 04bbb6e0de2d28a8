"""What models do with text without labels: a tagger's predictions and agreement, a language model's perplexity."""

from __future__ import annotations

import math

import pytest
import torch
from asking import predict

from smaller.base.errors import SmallerError
from smaller.data import splits
from smaller.data.encoding import encode
from smaller.data.examples import Sentence, Text
from smaller.encoders import with_classifier
from smaller.prediction.labels import labels_of
from smaller.study.evaluation import span_scores
from smaller.study.steps import TrimVocabulary
from smaller.study.unlabelled import agreement, look, probabilities, pseudo_perplexity


@pytest.fixture(scope="module")
def tagger(tiny):
    return with_classifier(tiny, splits.labels("sample"), seed=5)


@pytest.fixture(scope="module")
def sentences() -> list[Sentence]:
    return splits.sentences("sample", "swa", "test")[:12]


def test_tags_are_those_of_scoring(tagger, sentences, full_precision) -> None:
    told = [labels_of(tagger, chances) for chances in probabilities(tagger, sentences)]
    assert told == predict(tagger, encode(sentences, tagger.tokenizer, tagger.labels), sentences)[0]


def test_each_word_has_a_distribution_and_one_without_pieces_has_none(tagger, sentences) -> None:
    for sentence, chances in zip(sentences, probabilities(tagger, sentences), strict=True):
        assert chances.shape == (len(sentence.words), len(tagger.labels))
        assert torch.allclose(chances.sum(-1), torch.ones(len(chances)), atol=1e-5)
    (found,) = probabilities(tagger, [Sentence(("Asha", "", *["leo"] * 900), ("O",) * 902)])
    assert found[1].isnan().all() and not found[[0, *range(2, 902)]].isnan().any()
    assert labels_of(tagger, found)[1] == "O"


def test_what_is_kept_says_how_sure_the_model_is(tagger, sentences) -> None:
    found = look(tagger, sentences)
    best = torch.cat([chances.max(-1).values for chances in probabilities(tagger, sentences)])
    assert found["confidence"] == pytest.approx(100 * float(best.mean()))
    tags = [tag for chances in probabilities(tagger, sentences) for tag in labels_of(tagger, chances)]
    assert found["tagged"] == pytest.approx(100 * sum(tag != "O" for tag in tags) / len(tags))
    assert [found["labels"][int(digit)] for row in found["tags"] for digit in row] == tags
    assert found["words"] == len(tags) and found["sentences"] == 12


def test_running_text_is_cut_into_words(tagger) -> None:
    sentence = Sentence(("Rais", "Samia", ",", "yuko", "Dodoma", "!"), ("O",) * 6)
    assert look(tagger, [Text("Rais Samia, yuko Dodoma!", "neutral"), Text(" ", "neutral")]) == look(tagger, [sentence])


def test_agreement_is_span_f1_of_one_beside_the_other() -> None:
    labels = ["O", "B-PER", "I-PER", "B-LOC"]
    one = {"labels": labels, "tags": ["0120", "300"]}
    two = {"labels": labels[::-1], "tags": ["3212", "333"]}  # the same digits mean other labels
    gold = [["O", "B-PER", "I-PER", "O"], ["B-LOC", "O", "O"]]
    told = [["O", "B-PER", "I-PER", "B-PER"], ["O", "O", "O"]]
    assert agreement(one, one) == 100
    assert agreement(two, one) == pytest.approx(span_scores(gold, told)["f1"]) == 50
    assert agreement(one, two) == pytest.approx(agreement(two, one))
    assert math.isnan(agreement(one, {"labels": labels, "tags": ["0000", "000"]}))


@torch.no_grad()
def one_by_one(model, sentences) -> tuple[float, float, int, int, int]:
    """Cross-entropy of every piece and of every word, one hidden place after another and one row at a time."""
    by_piece = by_word = 0.0
    pieces = words = characters = 0
    for sentence in sentences:
        encoded = model.tokenizer(list(sentence.words), is_split_into_words=True, return_tensors="pt")
        row, places = encoded["input_ids"][0], encoded.word_ids(0)
        for place, word in enumerate(places):
            if word is None:
                continue
            rest = [other for other, same in enumerate(places) if same == word and other >= place]
            for hidden in ([place], rest):
                changed = row.clone()
                changed[hidden] = model.tokenizer.mask_token_id
                chances = model.network(input_ids=changed[None]).logits[0, place].log_softmax(-1)
                if hidden is rest:
                    by_word -= float(chances[row[place]])
                else:
                    by_piece -= float(chances[row[place]])
            pieces += 1
        words += len(sentence.words)
        characters += sum(map(len, sentence.words))
    return by_piece, by_word, pieces, words, characters


def test_pseudo_perplexity_is_that_of_one_row_after_another(tiny, sentences, full_precision) -> None:
    found = look(tiny, sentences[:4])
    by_piece, by_word, pieces, words, characters = one_by_one(tiny, sentences[:4])
    assert (found["pieces"], found["words"], found["characters"]) == (pieces, words, characters)
    assert found["pseudo_perplexity"] == pytest.approx(math.exp(by_piece / pieces), rel=1e-4)
    assert found["word_perplexity"] == pytest.approx(math.exp(by_word / words), rel=1e-4)
    assert found["bits_per_character"] == pytest.approx(by_word / characters / math.log(2), rel=1e-4)
    assert found["sentences"] == 4 and found["unknown_pieces"] == 0


def test_a_model_that_knows_nothing_pays_for_every_piece(tiny, sentences, full_precision) -> None:
    """With equal logits a piece costs the vocabulary's size, and a word that to the power of its pieces."""
    flat = tiny.copy()
    torch.nn.init.zeros_(flat.network.lm_head.bias)
    torch.nn.init.zeros_(flat.network.lm_head.layer_norm.weight)
    size = flat.network.config.vocab_size
    for model, known in ((flat, size), (TrimVocabulary(900, languages=("swa",)).apply(flat)[0], 900)):
        found = pseudo_perplexity(model, sentences)
        assert found["pseudo_perplexity"] == pytest.approx(known, rel=1e-4)
        assert math.log(found["word_perplexity"]) == pytest.approx(
            math.log(known) * found["pieces"] / found["words"], rel=1e-4
        )


def test_text_that_is_empty_cannot_be_guessed(tiny) -> None:
    with pytest.raises(SmallerError, match="There is no text to guess"):
        look(tiny, [Text(" ", "")])
