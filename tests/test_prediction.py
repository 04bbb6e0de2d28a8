"""One way to read: what is scored is what a model says when it is used, of every word, in any scheme of labels."""

from __future__ import annotations

import json

import pytest
import torch
from asking import predict
from foretold import foretold
from seqeval.metrics import f1_score

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import sample
from smaller.data.encoding import encode
from smaller.data.examples import Sentence, Text
from smaller.data.schemes import from_bio
from smaller.data.tasks import TASKS, bio_labels
from smaller.encoders import Model
from smaller.formats.shipping import predict_command, ship
from smaller.prediction.labels import labels_of, read
from smaller.prediction.tagging import classify, tag
from smaller.study.evaluation import score
from smaller.study.unlabelled import look, probabilities

LABELS = bio_labels(("PER", "LOC"))
NAMES = {"Wizkid": "B-PER", "Ayo": "I-PER", "Lagos": "B-LOC"}
WORDS = ("Wizkid", "Ayo", "yayi", "wasa", "a", "Lagos", "jiya", ".")
TAGS = ("B-PER", "I-PER", "O", "O", "O", "B-LOC", "O", "O")


def repeated(times: int) -> Sentence:
    return Sentence(WORDS * times, TAGS * times)


@pytest.fixture(scope="module")
def tagger(tiny) -> Model:
    """An untrained tagger, whose head is so large that it predicts all kinds of tags."""
    model = encoders.with_classifier(tiny, LABELS, seed=1)
    with torch.no_grad():
        model.network.classifier.weight.mul_(50)
    return model


@pytest.fixture(scope="module")
def short(tiny) -> Model:
    """A tagger of BERT's kind with 64 positions, whose tokenizer does not say so."""
    shape = encoders.Encoder("mbert", layers=2, heads=2, hidden=24, feed_forward=48)
    config = encoders.configuration(shape, vocabulary=len(tiny.tokenizer))
    config.max_position_embeddings = 64
    model = encoders.with_classifier(Model(encoders.build(config, seed=1), tiny.tokenizer), LABELS, seed=1)
    with torch.no_grad():
        model.network.classifier.weight.mul_(50)
    return model


def tags_in_use(model: Model, sentence: Sentence) -> list[str]:
    """The tags of a sentence by the entities that are found in it as running text."""
    text, starts, place = " ".join(sentence.words), {}, 0
    for word in sentence.words:
        starts[place] = len(starts)
        place += len(word) + 1
    tags = ["O"] * len(starts)
    (found,) = tag(model, [text])
    for entity in found.entities:
        inside = [word for start, word in starts.items() if entity.start <= start < entity.end]
        tags[inside[0]] = f"B-{entity.type}"
        for word in inside[1:]:
            tags[word] = f"I-{entity.type}"
    return tags


@pytest.mark.parametrize("name", ["tagger", "short"])
def test_the_score_of_a_long_sentence_is_that_of_what_is_found_in_it(name, request):
    model = request.getfixturevalue(name)
    long = repeated(100)
    told = tags_in_use(model, long)
    assert any(tag != "O" for tag in told[-20:])
    found = score(model, [long])
    assert found["f1"] == pytest.approx(100 * f1_score([list(long.tags)], [told]))
    assert (found["truncated_words"], found["words_without_pieces"]) == (0, 0)


@pytest.mark.parametrize("reads", [512, 64])
def test_no_word_past_the_positions_counts_as_missed(tiny, reads):
    found = score(foretold(tiny, LABELS, NAMES, reads=reads), [repeated(100), repeated(1)])
    assert found["f1"] == 100 and found["support"] == 202 and found["truncated_words"] == 0
    assert found["confidence"] == pytest.approx(75, abs=1e-3)
    assert found["loss"] == pytest.approx(-torch.tensor(0.75).log().item(), abs=1e-4)


def test_a_word_longer_than_the_positions_is_read_from_its_beginning(tiny):
    model = foretold(tiny, LABELS, {"Lagos": "B-LOC"}, reads=32)
    sentence = Sentence(("Lagos" * 40, "da", "Lagos"), ("B-LOC", "O", "B-LOC"))
    found = score(model, [sentence])
    assert (found["f1"], found["truncated_words"]) == (100, 0)


def test_words_without_pieces_are_counted_and_the_others_stay_in_place(tiny):
    sentence = Sentence(("", *WORDS, "") * 100, ("O", *TAGS, "B-PER") * 100)
    found = score(foretold(tiny, LABELS, NAMES, reads=64), [sentence])
    assert (found["words_without_pieces"], found["truncated_words"], found["precision"]) == (200, 0, 100)
    assert found["recall"] == pytest.approx(100 * 2 / 3)


def test_a_reading_says_of_each_word_what_a_part_of_the_sentence_says(tagger):
    """Words in the middle of a part have the same probabilities as in that part alone."""
    sentences = [repeated(90), *sample.sentences("hau", "dev")[:20]]
    reading = read(tagger, sentences)
    assert reading.sizes == [len(sentence.words) for sentence in sentences] and reading.encoded.parts[0] > 1
    for sentence, chances in zip(sentences[1:], reading.split(reading.probabilities)[1:], strict=True):
        torch.testing.assert_close(chances, read(tagger, [sentence]).probabilities, rtol=1e-3, atol=1e-5)
    assert not reading.probabilities.isnan().any()
    assert probabilities(tagger, sentences)[0].equal(reading.split(reading.probabilities)[0])
    alone = read(tagger, [Sentence(WORDS * 20, TAGS * 20)]).probabilities
    torch.testing.assert_close(reading.probabilities[:100], alone[:100], rtol=0.5, atol=0.2)


@pytest.mark.parametrize("capable", [True, False])
def test_scores_are_in_fp32_also_where_training_is_not(tagger, capable, half_precision):
    """Else a trained model would stand in bfloat16 beside its own formats, which are read as they are."""
    half_precision(capable)
    found = []
    hook = tagger.network.classifier.register_forward_hook(lambda module, seen, made: found.append(made.dtype))
    read(tagger, sample.sentences("swa", "dev")[:3])
    hook.remove()
    assert found == [torch.float32]


def test_what_fits_is_scored_as_it_was_encoded(tagger):
    sentences = sample.sentences("swa", "dev")[:40]
    told, loss = predict(tagger, encode(sentences, tagger.tokenizer, LABELS), sentences)
    reading = read(tagger, sentences)
    assert reading.split(labels_of(tagger, reading.probabilities)) == told and reading.loss == loss


def test_a_long_text_is_cut_in_scoring_as_in_use(tiny):
    model = foretold(tiny, ("a", "b"), {"Lagos": "b"}, unit="text", reads=16)
    texts = ["Lagos " + "leo " * 40, "Lagos leo", "leo " * 7, " leo" * 8]  # a leo is two tokens
    found = classify(model, texts)
    assert [each.label for each in found] == ["b", "b", "a", "a"]
    assert [each.truncated for each in found] == [True, False, False, True]
    scores = score(
        model, [Text(text, each.label) for text, each in zip(texts, found, strict=True)], task=TASKS["topics"]
    )
    assert scores["accuracy"] == 100 and scores["truncated_words"] == (40 - 5) + 1
    assert scores["confidence"] == pytest.approx(75, abs=1e-3)


SCHEMES = {
    "flat": ("O", "LOC", "PER"),
    "io": ("O", "I-LOC", "I-PER"),
    "bioes": ("O", *(f"{place}-{kind}" for kind in ("LOC", "PER") for place in "BIES")),
    "bilou": ("O", *(f"{place}-{kind}" for kind in ("LOC", "PER") for place in "BILU")),
    "bio": ("O", "I-PER", "B-PER", "I-LOC", "B-LOC"),
}


@pytest.mark.parametrize("labels", SCHEMES.values(), ids=SCHEMES)
def test_a_model_with_labels_of_any_scheme_is_scored_by_its_spans(tiny, labels):
    """Each word has its own name here, so that the model can answer in its scheme, and every word has a loss."""
    own = from_bio(TAGS, labels)
    model = foretold(tiny, labels, {word: label for word, label in zip(WORDS, own, strict=True) if label != "O"})
    found = score(model, [repeated(3), repeated(1)], types=("PER", "LOC"))
    assert (found["f1"], found["support"]) == (100, 8) and found["per_type"].keys() == {"LOC", "PER"}
    assert found["calibration_error"] == pytest.approx(25, abs=1e-3), "each label is one of the model's"
    assert found["loss"] == pytest.approx(-torch.tensor(0.75).log().item(), abs=1e-4)
    with pytest.raises(SmallerError, match="the entity types MISC, which the model does not know"):
        score(model, [repeated(1)], types=("MISC",))
    kept = look(model, [repeated(1)])
    assert [kept["labels"][int(digit)] for digit in kept["tags"][0]] == list(own)


def test_labels_without_spans_are_not_scored_as_spans(tiny):
    with pytest.raises(SmallerError, match="mark no spans .*LABEL_0, LABEL_1"):
        score(foretold(tiny, ("LABEL_0", "LABEL_1"), {}), [repeated(1)])


def test_a_shipped_folder_finds_in_a_file_what_its_score_says(tiny, tmp_path):
    """From the folder on disk, line by line as JSON, to the same F1 as `score` gives."""
    model = encoders.with_classifier(tiny, LABELS, seed=4)
    sentences = [repeated(80), *sample.sentences("swa", "dev")[:10]]
    sentences = [Sentence(s.words, tuple(t if t[2:] in ("PER", "LOC") else "O" for t in s.tags)) for s in sentences]
    folder = ship(model, tmp_path / "model")
    lines = predict_command(folder, [" ".join(sentence.words) for sentence in sentences], form="json")
    found = [json.loads(line) for line in lines]
    assert found[0]["windows"] > 1 and all(
        each["words"] == len(s.words) for each, s in zip(found, sentences, strict=True)
    )
    assert [each["text"] for each in found] == [" ".join(sentence.words) for sentence in sentences]
    told = [tags_in_use(model, sentence) for sentence in sentences]
    assert score(model, sentences)["f1"] == pytest.approx(100 * f1_score([list(s.tags) for s in sentences], told))
