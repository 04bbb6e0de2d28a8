"""What a tagger does with text without labels: probabilities word by word, predictions that are kept, agreement."""

from __future__ import annotations

import math

import pytest
import torch

from smaller.data import splits
from smaller.data.encoding import encode
from smaller.data.readers import Sentence, Text
from smaller.encoders import with_classifier
from smaller.evaluation import predict, span_scores
from smaller.unlabelled import agreement, look, probabilities, tags_of


@pytest.fixture(scope="module")
def tagger(tiny):
    return with_classifier(tiny, splits.labels("sample"), seed=5)


@pytest.fixture(scope="module")
def sentences() -> list[Sentence]:
    return splits.sentences("sample", "swa", "test")[:12]


def test_tags_are_those_of_scoring(tagger, sentences, full_precision) -> None:
    told = [tags_of(tagger, chances) for chances in probabilities(tagger, sentences)]
    assert told == predict(tagger, encode(sentences, tagger.tokenizer, tagger.labels), sentences)[0]


def test_each_word_has_a_distribution_and_a_cut_one_has_none(tagger, sentences) -> None:
    for sentence, chances in zip(sentences, probabilities(tagger, sentences), strict=True):
        assert chances.shape == (len(sentence.words), len(tagger.labels))
        assert torch.allclose(chances.sum(-1), torch.ones(len(chances)), atol=1e-5)
    cut = probabilities(tagger, sentences, max_length=6)[0]
    assert not cut[0].isnan().any() and cut[-1].isnan().all()
    assert tags_of(tagger, cut)[-1] == "O"


def test_what_is_kept_says_how_sure_the_model_is(tagger, sentences) -> None:
    found = look(tagger, sentences)
    best = torch.cat([chances.max(-1).values for chances in probabilities(tagger, sentences)])
    assert found["confidence"] == pytest.approx(100 * float(best.mean()))
    tags = [tag for chances in probabilities(tagger, sentences) for tag in tags_of(tagger, chances)]
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
