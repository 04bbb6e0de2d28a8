"""Entities in running text: words, offsets, windows, and text that the model was not made for."""

from __future__ import annotations

import pytest

from smaller import encoders, tagging
from smaller.data.encoding import bio_labels
from smaller.data.readers import Sentence
from smaller.encoders import Model
from smaller.errors import SmallerError
from smaller.tagging import Entity, tag, windows, words_of

LABELS = bio_labels(("PER", "LOC"))


@pytest.fixture(scope="module")
def tagger(tiny) -> Model:
    return encoders.with_classifier(tiny, LABELS, seed=1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Barack Obama, a Kano.", ["Barack", "Obama", ",", "a", "Kano", "."]),
        ("አበበ ቢቂላ፣ አዲስ አበባ።", ["አበበ", "ቢቂላ", "፣", "አዲስ", "አበባ", "።"]),
        ("n'ala by’inshuti 'Yan", ["n'ala", "by’inshuti", "'Yan"]),  # apostrophes stay
        ("Kano-Abuja 3.5% (2021)", ["Kano", "-", "Abuja", "3", ".", "5", "%", "(", "2021", ")"]),
        ("Ìrìnnà\u0301\tọjọ́\n", ["Ìrìnnà\u0301", "ọjọ́"]),  # combining marks stay, any white space parts
        ("", []),
        (" \n ", []),
    ],
)
def test_words_are_those_of_the_training_data(text, words):
    assert [text[start:end] for start, end in words_of(text)] == words


@pytest.mark.parametrize(
    "sizes", [[1] * 5, [1] * 100, [3, 1, 4, 1, 5, 9, 2, 6] * 20, [50, 1, 1, 50, 1], [0, 1, 0] * 30]
)
def test_windows_fit_and_keep_every_word_once(sizes):
    room, kept, before = 20, [], -1
    for first, last, kept_from, kept_to in windows(sizes, room=room):
        assert sum(sizes[first:last]) <= room or last == first + 1
        assert first <= kept_from <= kept_to <= last
        assert first > before
        kept += range(kept_from, kept_to)
        before = first
    assert kept == list(range(len(sizes)))


def test_windows_are_kept_where_they_are_far_from_a_border():
    assert list(windows([1] * 32, room=20)) == [(0, 20, 0, 18), (15, 32, 18, 32)]


def by_names(monkeypatch, model: Model, names: dict[str, str]) -> None:
    """Make a model's answer one that can be foretold: the tag of a word is what `names` says, with probability 0.75."""

    def predictions(_: Model, encoded):
        import torch

        for row, words in enumerate(encoded.words):
            for position in (words >= 0).nonzero().flatten().tolist():
                piece = model.tokenizer.convert_ids_to_tokens(int(encoded.pieces[row][position])).lstrip("▁")
                label = next((tag for name, tag in names.items() if piece and name.startswith(piece)), "O")
                yield row, position, torch.tensor([0.75 if label == known else 0.05 for known in LABELS])

    monkeypatch.setattr(tagging, "_predictions", predictions)


def test_entities_stand_where_they_stand_in_the_text(tagger, monkeypatch):
    by_names(monkeypatch, tagger, {"Wizkid": "B-PER", "Lagos": "B-LOC", "Kano": "I-LOC"})
    text = "  Jiya,Wizkid a (Lagos Kano)!"
    (found,) = tag(tagger, [text])
    assert found.entities == (Entity("Wizkid", "PER", 7, 13, 0.75), Entity("Lagos Kano", "LOC", 17, 27, 0.75))
    assert all(text[entity.start : entity.end] == entity.text for entity in found.entities)
    assert (found.words, found.windows) == (9, 1)


def test_a_sentence_longer_than_the_positions_is_read_in_parts(tagger, monkeypatch):
    by_names(monkeypatch, tagger, {"Kano": "B-LOC"})
    text = "Kano da " * 600
    (found,) = tag(tagger, [text])
    assert found.windows > 2
    assert [entity.start for entity in found.entities] == [8 * place for place in range(600)]


def test_a_word_longer_than_the_positions_is_cut(tagger):
    (found,) = tag(tagger, ["ngozi" * 1000])
    assert (found.words, found.windows) == (1, 1)


def test_several_sentences_are_each_what_they_are_alone(tagger, full_precision):
    texts = ["Wizkid yayi wasa a Lagos.", "", "Kano", "አበበ ወደ አዲስ አበባ ሄደ።"]
    together = tag(tagger, texts)
    for text, found in zip(texts, together, strict=True):
        (alone,) = tag(tagger, [text])
        assert [(e.text, e.type, e.start) for e in alone.entities] == [
            (e.text, e.type, e.start) for e in found.entities
        ]
        assert [e.score for e in alone.entities] == pytest.approx([e.score for e in found.entities], abs=1e-4)
    assert together[1] == tagging.Tagged("", (), 0)


def test_tags_are_those_of_the_evaluation(tagger):
    from smaller.data.encoding import encode
    from smaller.evaluation import predict

    words = ("Wizkid", "yayi", "wasa", "a", "Lagos", ".")
    sentence = Sentence(words, ("O",) * len(words))
    (tags,), _ = predict(tagger, encode([sentence], tagger.tokenizer, LABELS), [sentence])
    (found,) = tag(tagger, [" ".join(words)])
    inside = {index for index, name in enumerate(tags) if name != "O"}
    spans = words_of(" ".join(words))
    covered = {index for index, (start, end) in enumerate(spans)
               for entity in found.entities if entity.start <= start and end <= entity.end}  # fmt: skip
    assert covered == inside


def test_an_unseen_script_is_noticed(tagger):
    chinese, hausa = tag(tagger, ["北京 和 上海", "Kano da Lagos"])
    assert chinese.unknown == 1.0
    assert hausa.unknown == 0.0


def test_a_model_without_a_classifier_tags_nothing(tiny):
    with pytest.raises(SmallerError, match="no classifier"):
        tag(tiny, ["Kano"])
