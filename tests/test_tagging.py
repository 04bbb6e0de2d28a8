"""Entities in running text: words, offsets, windows, and text that the model was not made for."""

from __future__ import annotations

import cProfile
import pstats
import random
import unicodedata

import pytest
from foretold import foretold
from seqeval.metrics.sequence_labeling import get_entities

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data.examples import Sentence
from smaller.data.schemes import spans_of
from smaller.data.tasks import bio_labels
from smaller.data.text import words_of
from smaller.encoders import Model
from smaller.prediction.tagging import classify, tag
from smaller.serving.answers import Entity, Tagged

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


def test_entities_stand_where_they_stand_in_the_text(tiny):
    model = foretold(tiny, LABELS, {"Wizkid": "B-PER", "Lagos": "B-LOC", "Kano": "I-LOC"})
    text = "  Jiya,Wizkid a (Lagos Kano)!"
    (found,) = tag(model, [text])
    (person, place) = found.entities
    assert person == Entity("Wizkid", "PER", 7, 13, person.score)
    assert place == Entity("Lagos Kano", "LOC", 17, 27, place.score)
    assert [person.score, place.score] == pytest.approx([0.75, 0.75])
    assert all(text[entity.start : entity.end] == entity.text for entity in found.entities)
    assert (found.words, found.windows) == (9, 1)


@pytest.mark.parametrize("reads", [512, 64, 12])
def test_a_sentence_longer_than_the_positions_is_read_in_parts(tiny, reads):
    (found,) = tag(foretold(tiny, LABELS, {"Kano": "B-LOC"}, reads=reads), ["Kano da " * 600])
    assert found.windows > 2
    assert [entity.start for entity in found.entities] == [8 * place for place in range(600)]


def test_a_word_longer_than_the_positions_is_cut(tagger):
    (found,) = tag(tagger, ["ngozi" * 1000])
    assert (found.words, found.windows) == (1, 1)


def test_several_sentences_are_each_what_they_are_alone(tagger):
    texts = ["Wizkid yayi wasa a Lagos.", "", "Kano", "አበበ ወደ አዲስ አበባ ሄደ።"]
    together = tag(tagger, texts)
    for text, found in zip(texts, together, strict=True):
        (alone,) = tag(tagger, [text])
        assert [(e.text, e.type, e.start) for e in alone.entities] == [
            (e.text, e.type, e.start) for e in found.entities
        ]
        assert [e.score for e in alone.entities] == pytest.approx([e.score for e in found.entities], abs=1e-4)
    assert together[1] == Tagged("", (), 0)


def test_tags_are_those_of_the_evaluation(tagger):
    from asking import predict

    from smaller.data.encoding import encode

    words = ("Wizkid", "yayi", "wasa", "a", "Lagos", ".")
    sentence = Sentence(words, ("O",) * len(words))
    (tags,), _ = predict(tagger, encode([sentence], tagger.tokenizer, LABELS), [sentence])
    (found,) = tag(tagger, [" ".join(words)])
    inside = {index for index, name in enumerate(tags) if name != "O"}
    spans = words_of(" ".join(words))
    covered = {
        index
        for index, (start, end) in enumerate(spans)
        for entity in found.entities
        if entity.start <= start and end <= entity.end
    }
    assert covered == inside


def test_an_unseen_script_is_noticed(tagger):
    chinese, hausa = tag(tagger, ["北京 和 上海", "Kano da Lagos"])
    assert chinese.unknown == 1.0
    assert hausa.unknown == 0.0


def test_a_model_without_a_classifier_tags_nothing(tiny):
    with pytest.raises(SmallerError, match="no classifier"):
        tag(tiny, ["Kano"])


def test_decomposed_letters_are_read_as_composed_ones_and_stand_where_they_stand(tagger):
    composed = "Adéṣínà ṣàbẹ̀wò sí Èkó, Ọ̀ṣun àti Ìbàdàn ní ọjọ́ Ẹtì."
    given = unicodedata.normalize("NFD", composed)
    assert len(given) > len(composed) and unicodedata.is_normalized("NFC", composed)
    (one,), (other,) = tag(tagger, [composed]), tag(tagger, [given])
    assert one.entities and other.text == given and other.unknown == one.unknown
    assert [entity.type for entity in other.entities] == [entity.type for entity in one.entities]
    assert [entity.score for entity in other.entities] == [entity.score for entity in one.entities]
    for entity, plain in zip(other.entities, one.entities, strict=True):
        assert given[entity.start : entity.end] == entity.text == unicodedata.normalize("NFD", plain.text)
        assert unicodedata.normalize("NFD", composed[: plain.start]) == given[: entity.start]


def test_a_decomposed_text_is_classified_as_a_composed_one(tiny):
    model = foretold(tiny, ("a", "b"), {"Ìbàdàn": "b"}, unit="text")
    given = unicodedata.normalize("NFD", "Ìbàdàn ní ọjọ́")
    (found,) = classify(model, [given])
    assert (found.text, found.label) == (given, "b")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("اجتمع الرئيس، مع الوزير؟", ["اجتمع", "الرئيس", "،", "مع", "الوزير", "؟"]),
        ("አበበ፡ቢቂላ፡አዲስ።", ["አበበ", "፡", "ቢቂላ", "፡", "አዲስ", "።"]),
        ("Amina 👩‍👩‍👧 leo", ["Amina", "👩", "\u200d", "👩", "\u200d", "👧", "leo"]),
        ("10\u00a0000 na\u202f5", ["10", "000", "na", "5"]),
        ("Dar\u200bes Salaam", ["Dar\u200bes", "Salaam"]),
        ("Asha\x00Juma yupo", ["Asha\x00Juma", "yupo"]),
        ("🎉", ["🎉"]),
    ],
)
def test_words_of_any_script_stand_where_they_stand(tiny, text, words):
    (found,) = tag(foretold(tiny, ("NOUN", "X"), {}), [text])
    assert [entity.text for entity in found.entities] == words == [text[e.start : e.end] for e in found.entities]


def test_odd_sentences_are_answered(tagger):
    many, long, empty, blank, emoji = tag(tagger, ["Kano ta yi " * 1000, "ngozi" * 540, "", " \t ", "🎉"])
    assert many.words == 3000 and many.windows > 1 and (long.words, long.windows) == (1, 1)
    assert empty == Tagged("", (), 0) and blank == Tagged(" \t ", (), 0) and emoji.words == 1


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("O", "LOC", "MISC", "ORG", "PER"), {"Wizkid": "PER", "Ayo": "PER", "Lagos": "LOC", "Benki": "ORG"}),
        (("O", "I-LOC", "I-ORG", "I-PER"), {"Wizkid": "I-PER", "Ayo": "I-PER", "Lagos": "I-LOC", "Benki": "I-ORG"}),
        (
            ("O", *(f"{place}-{kind}" for kind in ("LOC", "ORG", "PER") for place in "BIES")),
            {"Wizkid": "B-PER", "Ayo": "E-PER", "Lagos": "S-LOC", "Benki": "S-ORG"},
        ),
        (
            ("O", *(f"{place}-{kind}" for kind in ("LOC", "ORG", "PER") for place in "BILU")),
            {"Wizkid": "B-PER", "Ayo": "L-PER", "Lagos": "U-LOC", "Benki": "U-ORG"},
        ),
        (
            ("O", "B-PER", "I-PER", "B-LOC", "B-ORG", "[CLS]", "<pad>"),
            {"Wizkid": "B-PER", "Ayo": "I-PER", "Lagos": "B-LOC", "Benki": "B-ORG", "Kano": "[CLS]"},
        ),
    ],
    ids=["flat", "io", "bioes", "bilou", "special tokens"],
)
def test_labels_of_every_scheme_give_whole_entities(tiny, labels, names):
    (found,) = tag(foretold(tiny, labels, names), ["Wizkid Ayo yayi Lagos Benki Kano"])
    assert [(entity.type, entity.text) for entity in found.entities] == [
        ("PER", "Wizkid Ayo"),
        ("LOC", "Lagos"),
        ("ORG", "Benki"),
    ]


def test_two_of_one_type_are_two_where_the_labels_say_so(tiny):
    (found,) = tag(foretold(tiny, ("O", "B-PER", "E-PER", "S-PER"), {"Wizkid": "S-PER"}), ["Wizkid Wizkid"])
    assert [entity.text for entity in found.entities] == ["Wizkid", "Wizkid"]


def test_spans_are_those_that_seqeval_finds():
    draw = random.Random(0)
    for _ in range(500):
        tags = draw.choices(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], k=draw.randrange(9))
        assert spans_of(tags) == get_entities(tags)


def test_labels_that_do_not_go_together_are_refused(tiny):
    with pytest.raises(SmallerError, match="The model's labels do not go together: found the tag 'MISC'"):
        tag(foretold(tiny, ("O", "B-PER", "MISC"), {}), ["Kano"])


def test_each_word_of_a_model_of_parts_of_speech_is_one(tiny):
    (found,) = tag(foretold(tiny, ("NOUN", "X", "VERB"), {"yayi": "VERB"}), ["Wizkid yayi wasa."])
    assert [entity.type for entity in found.entities] == ["NOUN", "VERB", "NOUN", "NOUN"]


def test_many_sentences_are_read_in_parts_and_in_order(tiny):
    model = foretold(tiny, LABELS, {"Kano": "B-LOC"})
    texts = [f"{'Kano ' * (place % 4)}da" if place % 5 else "" for place in range(50)]
    whole, sizes = tag(model, texts), []
    model.network.register_forward_pre_hook(
        lambda _, __, given: sizes.append(len(given["input_ids"])), with_kwargs=True
    )
    assert tag(model, texts, at_once=8) == whole and max(sizes) <= 8 and sum(sizes) == 40
    assert [len(found.entities) for found in whole] == [place % 4 if place % 5 else 0 for place in range(50)]


def test_the_work_grows_as_the_sentences_do(tiny):
    model = foretold(tiny, LABELS, {})

    def calls(count: int) -> int:
        with cProfile.Profile() as profile:
            tag(model, ["Kano da Lagos"] * count)
        return pstats.Stats(profile).total_calls

    assert calls(800) < 2.2 * calls(400)
