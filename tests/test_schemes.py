"""Schemes of tags: the set of tags tells each, every one becomes BIO with the same spans, mixtures are refused."""

from __future__ import annotations

import random

import pytest
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOBES, Entities

from smaller.base.errors import SmallerError
from smaller.data.schemes import WrongTag, as_bio, from_bio, scheme_of, types_of

UPOS = "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split()


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ("O B-PER I-PER B-LOC", "bio"),
        ("I-PER O I-LOC B-LOC", "bio"),  # IOB1
        ("B-PER", "bio"),
        ("O", "bio"),
        ("", "bio"),
        ("O I-PER I-LOC", "io"),
        ("O B-PER I-PER E-PER S-PER", "bioes"),
        ("S-PER O", "bioes"),
        ("O B-PER I-PER L-PER U-PER", "bioes"),
        ("O B-per-son I-per-son", "bio"),
        ("O PER LOC", "flat"),
        ("O person-actor location-GPE art-film", "flat"),
        ("O አካል 人名", "flat"),
        (" ".join(UPOS), "none"),
        ("LABEL_0 LABEL_1", "none"),
        ("positive negative", "none"),
    ],
)
def test_a_scheme_is_recognised_by_the_set_of_its_tags(tags, scheme):
    assert scheme_of(tags.split()) == scheme_of(set(tags.split())) == scheme


@pytest.mark.parametrize(
    "wrong", ["O-LOC", "0", "b-per", "PER-B", "B_PER", "M-PER", "PER", "B-", "", "o", "B", "PER_I"]
)
def test_what_does_not_go_with_prefixed_tags_is_told(wrong):
    with pytest.raises(SmallerError, match="expected O, or B- or I- and a type") as told:
        scheme_of(["O", "B-PER", "I-PER", wrong])
    assert isinstance(told.value, WrongTag) and told.value.tag == wrong and repr(wrong) in str(told.value)


@pytest.mark.parametrize(
    "wrong", ["O-LOC", "0", "b-per", "PER-B", "B_PER", "M-PER", "", "o", "B", "I", "7", "PER_I", "B/PER"]
)
def test_a_broken_tag_is_no_type_of_its_own(wrong):
    with pytest.raises(WrongTag, match="or types alone") as told:
        scheme_of(["PER", "O", wrong, "LOC"])
    assert told.value.tag == wrong
    with pytest.raises(WrongTag):
        scheme_of(["O", wrong])


@pytest.mark.parametrize(
    ("tags", "scheme", "bio"),
    [
        ("PER PER O LOC PER O", "flat", "B-PER I-PER O B-LOC B-PER O"),
        ("I-PER I-PER O I-LOC I-PER", "io", "B-PER I-PER O B-LOC B-PER"),
        ("B-PER I-PER E-PER S-PER O S-LOC B-LOC E-LOC", "bioes", "B-PER I-PER I-PER B-PER O B-LOC B-LOC I-LOC"),
        ("B-PER L-PER U-PER U-PER", "bioes", "B-PER I-PER B-PER B-PER"),
        ("E-PER I-PER O I-LOC S-LOC I-LOC", "bioes", "B-PER B-PER O B-LOC B-LOC B-LOC"),  # as a model may predict
        ("I-PER B-PER I-LOC O", "bio", "I-PER B-PER I-LOC O"),  # IOB1 stays as it is
        ("NOUN NOUN X", "none", "NOUN NOUN X"),
        ("", "flat", ""),
    ],
)
def test_tags_become_bio(tags, scheme, bio):
    assert as_bio(tags.split(), scheme) == tuple(bio.split())


@pytest.mark.parametrize(("letters", "judge"), [("BIES", IOBES), ("BILU", BILOU)])
def test_well_formed_spans_are_those_of_seqeval_in_its_strict_mode(letters, judge):
    draw = random.Random(7)
    begin, inside, end, single = letters
    for _ in range(200):
        tags = []
        while len(tags) < 12:
            length, kind = draw.randint(0, 4), draw.choice(["PER", "LOC"])
            tags += (
                [["O"], [f"{single}-{kind}"]][length == 1]
                if length < 2
                else [f"{begin}-{kind}", *[f"{inside}-{kind}"] * (length - 2), f"{end}-{kind}"]
            )
        strict = [entity.to_tuple()[1:] for entity in Entities([tags], judge).entities[0]]
        assert [(kind, first, last + 1) for kind, first, last in get_entities(list(as_bio(tags, "bioes")))] == strict


def test_iobes_as_a_model_may_predict_it_is_what_seqeval_s_lenient_mode_finds():
    draw = random.Random(3)
    labels = ["O", *(f"{position}-{kind}" for position in "BIES" for kind in ("PER", "LOC"))]
    for _ in range(500):
        tags = draw.choices(labels, k=8)
        assert get_entities(list(as_bio(tags, "bioes"))) == get_entities(tags)


@pytest.mark.parametrize(
    "labels",
    [
        "O LOC PER",
        "O I-LOC I-PER",
        "O B-LOC I-LOC E-LOC S-LOC B-PER I-PER E-PER S-PER",
        "O B-LOC I-LOC L-LOC U-LOC B-PER I-PER L-PER U-PER",
        "O I-PER B-PER I-LOC B-LOC",
    ],
)
def test_bio_becomes_the_scheme_of_a_model_s_labels_and_back(labels):
    labels, draw = labels.split(), random.Random(5)
    for _ in range(100):
        tags = []
        while len(tags) < 8:
            kind = draw.choice(["PER", "LOC"])
            # Where ends are not marked, two of one type cannot touch.
            gap = ["O"] if tags and tags[-1][2:] == kind else []
            tags += gap + draw.choice([["O"], [f"B-{kind}"], [f"B-{kind}", f"I-{kind}", f"I-{kind}"]])
        assert set(from_bio(tags, labels)) <= set(labels)
        assert list(as_bio(from_bio(tags, labels), scheme_of(labels))) == tags


def test_iob1_becomes_the_scheme_of_a_model_s_labels():
    assert from_bio("I-PER I-PER B-PER O".split(), ["O", "S-PER"]) == tuple("B-PER E-PER S-PER O".split())
    assert from_bio(["NOUN", "X"], UPOS) == ("NOUN", "X")


def test_types_are_those_of_any_scheme():
    assert types_of(["O", "B-PER", "I-PER", "B-LOC"]) == ("PER", "LOC")
    assert types_of(["LOC", "O", "PER"]) == ("LOC", "PER")
    assert types_of(["S-a-b", "O", "E-a-b"]) == ("a-b",)
    assert types_of(UPOS) == tuple(UPOS)
    assert types_of(["O"]) == ()
