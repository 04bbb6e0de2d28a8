"""Scores: seqeval's F1 on any tags, the loss by hand, and predictions that no other sentence of a batch touches."""

import random
from dataclasses import replace

import pytest
import torch
from asking import predict
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities
from torch.nn import functional

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import sample
from smaller.data.encoding import IGNORED, encode
from smaller.data.examples import Sentence, Text
from smaller.data.tasks import bio_labels, task
from smaller.data.tokens import budget_batches
from smaller.study import evaluation
from smaller.study.evaluation import calibration_error, score, span_scores

TYPES = ("PER", "ORG", "LOC", "DATE")
LABELS = bio_labels(TYPES)


@pytest.fixture(scope="module")
def tagger(tiny):
    """An untrained tagger, whose head is so large that it predicts all kinds of tags."""
    model = encoders.with_classifier(tiny, LABELS, seed=1)
    with torch.no_grad():
        model.network.classifier.weight.mul_(50)
    return model


@pytest.fixture(scope="module")
def sentences():
    return list(sample.sentences("hau", "dev")[:60])


@pytest.mark.parametrize("seed", range(8))
def test_scores_are_seqeval_s_on_random_tags(seed):
    draw = random.Random(seed)
    lengths = [draw.randint(1, 12) for _ in range(40)]
    gold, predicted = ([draw.choices(LABELS, weights=[6] + [1] * 8, k=length) for length in lengths] for _ in range(2))
    # Half of the predictions are right, or next to nothing would be.
    predicted = [row if draw.random() < 0.5 else guess for row, guess in zip(gold, predicted, strict=True)]
    scores = span_scores(gold, predicted)
    assert scores["f1"] == pytest.approx(100 * f1_score(gold, predicted))
    assert scores["precision"] == pytest.approx(100 * precision_score(gold, predicted))
    assert scores["recall"] == pytest.approx(100 * recall_score(gold, predicted))
    by_type = f1_score(gold, predicted, average=None)
    assert [scores["per_type"][name]["f1"] for name in sorted(TYPES)] == pytest.approx([100 * f1 for f1 in by_type])
    assert scores["support"] == sum(row["support"] for row in scores["per_type"].values())


def test_hand_made_cases():
    gold = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-DATE"]]
    assert span_scores(gold, gold)["f1"] == 100
    found = span_scores(gold, [["B-PER", "O", "O", "B-LOC"], ["O", "O"]])  # a span too short, one right, one missed
    assert (found["precision"], found["recall"], found["support"]) == (50, pytest.approx(100 / 3), 3)
    assert found["f1"] == pytest.approx(40)
    assert found["per_type"]["LOC"] == {"precision": 100, "recall": 100, "f1": 100, "support": 1}
    assert found["per_type"]["DATE"]["f1"] == 0
    wrong_type = span_scores(gold, [["B-ORG", "I-ORG", "O", "B-LOC"], ["O", "B-DATE"]])
    assert wrong_type["f1"] == pytest.approx(200 / 3) and wrong_type["per_type"]["ORG"]["support"] == 0


def test_nothing_predicted_scores_zero():
    scores = span_scores([["B-PER", "O"]], [["O", "O"]])
    assert (scores["precision"], scores["recall"], scores["f1"], scores["support"]) == (0, 0, 0, 1)


def test_an_i_tag_that_continues_nothing_opens_an_entity():
    gold = [["O", "I-PER", "I-PER", "I-LOC"]]
    assert span_scores(gold, [["O", "B-PER", "I-PER", "B-LOC"]])["f1"] == 100
    assert span_scores(gold, gold)["support"] == 2


def test_a_split_without_an_entity_is_an_error(tagger):
    with pytest.raises(SmallerError, match="holds no entity"):
        span_scores([["O", "O"]], [["B-PER", "O"]])
    with pytest.raises(SmallerError, match="holds no entity"):
        score(tagger, [Sentence(("leo", "ni"), ("O", "O"))])


def test_the_loss_is_the_mean_cross_entropy_over_words(tagger, sentences):
    encoded = encode(sentences, tagger.tokenizer, LABELS)
    _, loss = predict(tagger, encoded, sentences)
    losses = []
    with torch.no_grad():
        for pieces, labels in zip(encoded.pieces, encoded.labels, strict=True):
            logits = tagger.network.cpu()(input_ids=pieces[None]).logits[0]
            chosen = functional.log_softmax(logits, dim=-1)[labels != IGNORED, labels[labels != IGNORED]]
            losses += (-chosen).tolist()
    assert len(losses) == sum(len(sentence.words) for sentence in sentences)
    assert loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_predictions_do_not_depend_on_the_batch(tagger, sentences):
    encoded = encode(sentences, tagger.tokenizer, LABELS)
    together, loss = predict(tagger, encoded, sentences)
    alone = [predict(tagger, encode([sentence], tagger.tokenizer, LABELS), [sentence])[0][0] for sentence in sentences]
    assert together == alone
    assert len({tag for row in together for tag in row}) > 4
    many = 12 * sentences
    encoded = encode(many, tagger.tokenizer, LABELS)
    assert len(list(budget_batches(encoded.lengths))) > len(list(budget_batches(encoded.lengths[: len(sentences)])))
    in_batches, loss_of_many = predict(tagger, encoded, many)
    assert in_batches == 12 * together and loss_of_many == pytest.approx(loss, rel=1e-5)


def test_tags_stand_at_their_words(tagger, sentences):
    sentence = sentences[0]
    tags, _ = predict(tagger, encode([sentence], tagger.tokenizer, LABELS), [sentence])
    encoding = tagger.tokenizer([list(sentence.words)], is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        best = tagger.network.cpu()(**encoding).logits[0].argmax(-1)
    firsts = [encoding.word_ids(0).index(word) for word in range(len(sentence.words))]
    assert tags[0] == [LABELS[int(best[first])] for first in firsts]


def test_words_without_a_prediction_are_tagged_o(tagger):
    sentence = Sentence(("Musa", "", *["Kano"] * 30), ("B-PER", "O", *["B-LOC"] * 30))
    encoded = encode([sentence], tagger.tokenizer, LABELS, max_length=10)
    tags, _ = predict(tagger, encoded, [sentence])
    reached = int(encoded.words[0].max())
    assert reached < 31 and len(tags[0]) == 32
    assert tags[0][1] == "O" and set(tags[0][reached + 1 :]) == {"O"}


def test_score_says_all_that_a_record_keeps(tagger, sentences):
    scores = score(tagger, sentences)
    assert scores.keys() == {
        "precision",
        "recall",
        "f1",
        "support",
        "per_type",
        "loss",
        "calibration_error",
        "confidence",
        "sentences",
        "truncated_words",
        "words_without_pieces",
    }
    assert scores["sentences"] == len(sentences) and scores["truncated_words"] == 0
    assert 0 <= scores["f1"] <= 100 and scores["loss"] > 0 and 100 / len(LABELS) <= scores["confidence"] <= 100


class Looked(list):
    """A list that counts how often it is gone through."""

    looks = 0

    def __iter__(self):
        self.looks += 1
        return super().__iter__()


@pytest.mark.parametrize("by_sentence", [False, True])
def test_spans_are_looked_for_once(by_sentence):
    gold, predicted = Looked([("B-PER", "O")]), Looked([["B-PER", "B-LOC"]])
    assert span_scores(gold, predicted, by_sentence=by_sentence)["precision"] == 50
    assert (gold.looks, predicted.looks) == (1 + by_sentence, 1), "how long its sentences are is looked up too"


def test_counts_by_sentence_are_kept_when_asked_for(tagger, sentences):
    plain, scores = score(tagger, sentences), score(tagger, sentences, by_sentence=True)
    kept = scores.pop("by_sentence")
    assert scores == plain and kept["kind"] == "spans"
    right, predicted, gold = evaluation.unpack(kept)
    told = predict(tagger, encode(sentences, tagger.tokenizer, LABELS), sentences)[0]
    for place, (sentence, tags) in enumerate(zip(sentences, told, strict=True)):
        true, found = (set(get_entities(list(row))) for row in (sentence.tags, tags))
        assert (right[place], predicted[place], gold[place]) == (len(true & found), len(found), len(true))


@pytest.mark.parametrize("unit", ["word", "text"])
def test_counts_of_tokens_and_classes_of_texts_give_the_main_score(tiny, unit):
    labels = ("a", "b", "c")
    model = encoders.with_classifier(tiny, labels, seed=3, unit=unit)
    with torch.no_grad():
        head = model.network.classifier
        (head if unit == "word" else head.out_proj).weight.mul_(50)
    draw = random.Random(1)
    words = [[draw.choice(("leo", "Kano", "ni", "Musa", "na")) for _ in range(draw.randint(1, 6))] for _ in range(30)]
    of = "pos" if unit == "word" else "topics"
    examples = [
        Sentence(tuple(row), tuple(draw.choices(labels, k=len(row))))
        if unit == "word"
        else Text(" ".join(row), draw.choice(labels))
        for row in words
    ]
    scores = score(model, examples, task=task(of), by_sentence=True)
    counts = evaluation.unpack(scores["by_sentence"])
    if unit == "word":
        assert counts[1].tolist() == [len(row) for row in words]
        assert 100 * counts[0].sum() / counts[1].sum() == scores["accuracy"]
    else:
        assert scores["by_sentence"]["classes"] == list(labels)
        assert [labels[place] for place in counts[0]] == [each.label for each in examples]
        assert 100 * (counts[0] == counts[1]).mean() == pytest.approx(scores["accuracy"])
    assert "by_sentence" not in score(model, examples, task=task(of))


def test_types_that_a_set_does_not_label_do_not_count(tagger, sentences):
    told = predict(tagger, encode(sentences, tagger.tokenizer, LABELS), sentences)[0]
    assert any("B-DATE" in row for row in told)
    labelled = [
        replace(sentence, tags=tuple("O" if "DATE" in tag else tag for tag in row))
        for sentence, row in zip(sentences, told, strict=True)
    ]
    assert score(tagger, labelled, types=("PER", "ORG", "LOC"))["f1"] == 100
    assert score(tagger, labelled)["precision"] < 100
    with pytest.raises(SmallerError, match="the entity types MISC, which the model does not know"):
        score(tagger, labelled, types=("PER", "MISC"))


def test_calibration_error_by_hand():
    # Two bins of fifteen: 0.95 (three words, two right) and 0.5 (one word, wrong).
    confidence, right = torch.tensor([0.95, 0.95, 0.95, 0.5]), torch.tensor([True, True, False, False])
    assert calibration_error(confidence, right) == pytest.approx(100 * ((3 * 0.95 - 2) + 0.5) / 4, abs=1e-4)
    assert calibration_error(torch.ones(5), torch.ones(5, dtype=torch.bool)) == 0
    assert calibration_error(torch.zeros(0), torch.zeros(0, dtype=torch.bool)) == 0


def test_evaluation_changes_nothing(tagger, sentences):
    before = {name: value.clone() for name, value in tagger.network.cpu().state_dict().items()}
    state = torch.get_rng_state()
    assert score(tagger, sentences) == score(tagger, sentences)
    assert all(torch.equal(value, before[name]) for name, value in tagger.network.cpu().state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
