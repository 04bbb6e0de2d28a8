"""Teacher and student read by tokenizers of their own: what is said of a word reaches that word."""

from __future__ import annotations

import pytest
import torch

from smaller.base.errors import SmallerError
from smaller.data import splits
from smaller.data.encoding import encode
from smaller.data.examples import Sentence, Text
from smaller.encoders import with_classifier
from smaller.prediction.labels import read
from smaller.study.steps import Distil, FineTune, teaching

TASK = {"layers": 1, "on": "task", "dataset": "sample", "language": "swa", "epochs": 1, "learning_rate": 1e-3}


@pytest.fixture
def tagger(tiny, few_sentences, fresh_folders):
    return FineTune("sample", "swa", epochs=1, learning_rate=1e-3).apply(tiny)[0]


def test_a_student_has_the_tokens_of_what_it_is_taught_on(tagger):
    student, report = Distil(**TASK, coverage=0.9).apply(tagger)
    count = len(student.tokenizer)
    assert count == student.network.config.vocab_size == len(student.network.get_input_embeddings().weight)
    assert 50 < count < len(tagger.tokenizer) and report["unknown_rate"] < 0.01
    sized, _ = Distil(**TASK, tokens=count).apply(tagger)
    assert sized.tokenizer.get_vocab() == student.tokenizer.get_vocab()
    words = splits.sentences("sample", "swa", "train")[0].words
    assert student.tokenizer(" ".join(words))["input_ids"] != tagger.tokenizer(" ".join(words))["input_ids"]


def test_a_student_may_learn_its_tokens_from_what_it_is_taught_on(tagger):
    """Each row begins as the mean of the teacher's rows that spell the token (fast vocabulary transfer)."""
    step = Distil(**TASK, tokens=120, tokens_by="learning")
    student = step.untaught(tagger)
    assert len(student.tokenizer) == student.network.config.vocab_size == 120
    rows, before = (model.network.get_input_embeddings().weight for model in (student, tagger))
    tokens = student.tokenizer.convert_ids_to_tokens(range(120))
    known = tagger.tokenizer.get_vocab()
    new = [token for token in tokens if token not in known and len(token) > 1]
    assert len(new) > 2
    for token in new:
        spelled = [part.id for part in tagger.tokenizer.backend_tokenizer.model.tokenize(token)]
        assert "".join(tagger.tokenizer.convert_ids_to_tokens(spelled)) == token, "a word begins where it did"
        assert torch.allclose(rows[tokens.index(token)], before[spelled].mean(0), atol=1e-6)
    for part in ("pad", "cls", "sep", "unk", "mask"):
        mine, its = (getattr(model.tokenizer, f"{part}_token_id") for model in (student, tagger))
        assert torch.equal(rows[mine], before[its])
    taught, _ = step.apply(tagger)
    assert taught.tokenizer.get_vocab() == student.tokenizer.get_vocab()
    assert "120 learned tokens" in step.label


@pytest.mark.parametrize("own", [{"coverage": 0.9}, {"tokens": 120, "tokens_by": "learning"}])
def test_what_the_teacher_says_of_a_word_reaches_that_word(tagger, own):
    """Also where the student needs more tokens for it, and where its row ends before the teacher's does."""
    student = Distil(**TASK, **own).untaught(tagger)
    sentences = splits.sentences("sample", "swa", "train")[:8]
    encoded = encode(sentences, student.tokenizer, student.labels, max_length=12)
    said = teaching.what_it_says(tagger, sentences)
    places, targets = teaching.of_words(said, encoded)
    reading = read(tagger, sentences)
    for row, probabilities in enumerate(reading.split(reading.probabilities)):
        words = encoded.words[row][places[row]]
        assert words.tolist() == [word for word in encoded.words[row].tolist() if word >= 0]
        assert torch.allclose(targets[row].exp(), probabilities[words], atol=1e-6)
    assert any(len(part) < len(sentence.words) for part, sentence in zip(targets, sentences, strict=True))


def test_a_word_that_the_teacher_cannot_read_teaches_nothing(tagger):
    sentences = [Sentence(("Amina", "", "Lagos"), ("O", "O", "O"))]
    (logits,) = teaching.what_it_says(tagger, sentences)
    assert logits.isnan().any(-1).tolist() == [False, True, False]
    encoded = encode(sentences, tagger.tokenizer, tagger.labels)
    encoded.words[0][1:4] = torch.tensor([0, 1, 2])
    places, targets = teaching.of_words([logits], encoded)
    assert places[0].tolist()[1:4] == [True, False, True] and len(targets[0]) == 2


def test_texts_have_one_row_each(tiny, fresh_folders):
    model = with_classifier(tiny, ("no", "yes"), seed=0, unit="text")
    texts = [Text("Amina anaishi Lagos.", "no"), Text("Habari", "yes")]
    places, targets = teaching.of_words(
        teaching.what_it_says(model, texts), encode(texts, model.tokenizer, model.labels)
    )
    assert [part.shape for part in targets] == [(1, 2), (1, 2)]
    assert [part.nonzero().flatten().tolist() for part in places] == [[0], [0]]


def test_a_teacher_reads_a_text_once(tagger):
    sentences = splits.sentences("sample", "swa", "train")[:4]
    first = teaching.what_it_says(tagger, sentences)
    (kept,) = teaching.folder().glob("*.safetensors")
    before = kept.stat().st_mtime_ns
    again = teaching.what_it_says(tagger, sentences)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert kept.stat().st_mtime_ns == before and len(list(teaching.folder().glob("*.safetensors"))) == 1
    other = tagger.copy()
    with torch.no_grad():
        next(other.network.parameters()).add_(0.1)
    teaching.what_it_says(other, sentences)
    assert len(list(teaching.folder().glob("*.safetensors"))) == 2, "another teacher says something else"


def test_what_does_not_go_with_own_tokens_is_refused(few_sentences):
    for field, words in (
        ({"tokens": 100, "coverage": 0.9}, "one of them"),
        ({"coverage": 0.9, "hidden_weight": 1.0}, "alone"),
        ({"coverage": 0.9, "logits": "mse"}, "logits at 'kl'"),
        ({"coverage": 1.5}, "from 0 to 1"),
        ({"tokens": 0}, "above zero"),
        ({"tokens_by": "learning"}, "give it"),
        ({"tokens": 100, "tokens_by": "text"}, "frequency, learning"),
    ):
        with pytest.raises(SmallerError, match=words):
            Distil(**TASK, **field)
    with pytest.raises(SmallerError, match="takes no tokens"):
        Distil(1, corpus="sample", languages=("swa",), tokens=100)


def test_much_text_is_read_in_parts_and_it_is_told_how_far(tagger, fresh_folders, monkeypatch):
    monkeypatch.setattr(teaching, "PART", 3)
    monkeypatch.setattr(teaching, "INTERVAL", 0.0)
    sentences, said = splits.sentences("sample", "swa", "train")[:8], []
    found = teaching.what_it_says(tagger, sentences, say=said.append)
    whole = read(tagger, sentences)
    for logits, probabilities in zip(found, whole.split(whole.probabilities), strict=True):
        assert torch.allclose(logits.exp(), probabilities, atol=1e-6)
    assert [line.split(",")[0] for line in said] == [f"the teacher has read {done} of 8 sentences" for done in (3, 6)]


def test_what_was_read_beforehand_is_not_read_again(tagger, fresh_folders, monkeypatch):
    step = Distil(**TASK, coverage=0.9)
    Distil(**TASK).read_beforehand(tagger)
    assert not teaching.folder().exists(), "such a student is taught on the teacher's own tokens"
    step.read_beforehand(tagger)
    monkeypatch.setattr(teaching, "read", lambda *_: pytest.fail("it was read before"))
    step.apply(tagger)
