"""Noise: seeded, graded, and with labels that stay right; evaluation sets by their keys."""

from __future__ import annotations

import numpy as np
import pytest

from smaller.base.errors import SmallerError
from smaller.data import splits
from smaller.data.examples import Sentence
from smaller.data.noise import EDITS, KINDS, add_noise, affected, names_in, struck
from smaller.data.sets import ATTACK, UNLABELLED, EvaluationSet, noise_grid, set_of

YORUBA = Sentence(("Ọlá", "Ọ̀ṣun", "lọ", "sí", "Ìbàdàn"), ("B-PER", "I-PER", "O", "O", "B-LOC"))
HAUSA = Sentence(("Ƙasar", "ɗan", "Musa"), ("O", "O", "B-PER"))
AMHARIC = Sentence(("አበበ", "በሶ", "በላ", "።"), ("B-PER", "O", "O", "O"))


def noisy(sentence: Sentence, kind: str, rate: float = 1.0, **options: object) -> Sentence:
    return add_noise([sentence], kind, rate, seed=1, **options)[0]


@pytest.mark.parametrize(
    ("sentence", "kind", "words"),
    [
        (YORUBA, "diacritics", ("Ola", "Osun", "lo", "si", "Ibadan")),
        (HAUSA, "diacritics", ("Kasar", "dan", "Musa")),
        (HAUSA, "doubled", ("ƘƘaassaarr", "ɗɗaann", "MMuussaa")),
        (YORUBA, "case", ("ọlá", "ọ̀ṣun", "lọ", "sí", "ìbàdàn")),
        (AMHARIC, "punctuation", ("አበበ", "በሶ", "በላ", "::")),
        (AMHARIC, "case", ("አበበ", "በሶ", "በላ", "።")),
    ],
)
def test_every_place_is_struck_at_rate_one(sentence: Sentence, kind: str, words: tuple[str, ...]) -> None:
    assert noisy(sentence, kind) == Sentence(words, sentence.tags)


def test_neighbouring_keys_and_vowels() -> None:
    for old, new in zip("".join(HAUSA.words[2:]), "".join(noisy(HAUSA, "mistyped").words[2:]), strict=True):
        assert new != old and new.isupper() == old.isupper()
    typed = noisy(AMHARIC, "mistyped")
    for old, new in zip("".join(AMHARIC.words[:3]), "".join(typed.words[:3]), strict=True):
        assert new != old and (ord(new) - ord("ሀ")) // 8 == (ord(old) - ord("ሀ")) // 8
    assert typed.words[3] == "።"


def test_a_word_never_vanishes() -> None:
    assert noisy(Sentence(("a", "bc", "."), ("O", "O", "O")), "dropped").words == ("a", "b", ".")


def test_words_run_together_where_one_label_is_right_for_both() -> None:
    sentence = Sentence(
        ("Ola", "Osun", "lo", "si", "Ibadan", "Oyo", "ni"), ("B-PER", "I-PER", "O", "O", "B-LOC", "B-LOC", "O")
    )
    joined = noisy(sentence, "spaces")
    assert joined == Sentence(("OlaOsun", "losi", "Ibadan", "Oyo", "ni"), ("B-PER", "O", "B-LOC", "B-LOC", "O"))


def test_names_give_way_to_others_of_their_type() -> None:
    pool = {"PER": [("Ada", "Obi", "Eze")], "LOC": [("Kano",)]}
    swapped = noisy(YORUBA, "entities", names=pool)
    assert swapped.words == ("Ada", "Obi", "Eze", "lọ", "sí", "Kano")
    assert swapped.tags == ("B-PER", "I-PER", "I-PER", "O", "O", "B-LOC")
    assert noisy(YORUBA, "entities", names={}) == YORUBA
    assert names_in([YORUBA, swapped]) == {
        "PER": [("Ọlá", "Ọ̀ṣun"), ("Ada", "Obi", "Eze")],
        "LOC": [("Ìbàdàn",), ("Kano",)],
    }


@pytest.mark.parametrize("kind", KINDS)
def test_rate_zero_changes_nothing_and_higher_rates_change_more(kind: str) -> None:
    language = "amh" if kind == "punctuation" else "yor"
    clean = splits.sentences("sample", language, "dev")
    names = {"PER": [("Zainab",)], "LOC": [("Zaria",)], "ORG": [("ZZZ",)]}
    at = {rate: add_noise(clean, kind, rate, seed=3, names=names) for rate in (0, 0.2, 0.6, 1)}
    same = kind != "diacritics"  # which puts letters and their marks together first
    assert at[0] == clean or not same
    changed = {
        rate: sum(old.words != new.words for old, new in zip(at[0], new, strict=True)) for rate, new in at.items()
    }
    assert 0 == changed[0] < changed[0.2] <= changed[0.6] <= changed[1]
    assert at[0.2] == add_noise(clean, kind, 0.2, seed=3, names=names)
    assert at[0.2] != add_noise(clean, kind, 0.2, seed=4, names=names)
    for rows in at.values():
        for sentence in rows:
            assert len(sentence.words) == len(sentence.tags) and all(sentence.words)
    assert affected(kind)


def test_what_one_rate_strikes_a_higher_one_strikes_too() -> None:
    clean = Sentence(("áéíóúàèìòù",), ("O",))
    low, high = (noisy(clean, "diacritics", rate).words[0] for rate in (0.4, 0.8))
    struck = [{place for place, letter in enumerate(word) if letter in "aeiou"} for word in (low, high)]
    assert set() < struck[0] < struck[1]


@pytest.mark.parametrize("rate", [-0.1, 1.1, True, "0.5"])
def test_rate_outside_zero_to_one(rate: object) -> None:
    with pytest.raises(SmallerError, match="a share from 0 to 1"):
        add_noise([YORUBA], "case", rate, seed=1)


def test_unknown_noise_is_suggested() -> None:
    with pytest.raises(SmallerError, match="Did you mean 'diacritics'"):
        EvaluationSet("sample", "yor", noise="diacritic", rate=0.5)


def test_a_key_names_its_set() -> None:
    for place in (
        EvaluationSet("sample", "yor"),
        EvaluationSet("sample", "swa", "dev", noise="case", rate=0.25, seed=7),
        EvaluationSet("sample", "swa", kind=ATTACK, rate=0.02, seed=7, limit=40),
        EvaluationSet("sample", "bam", kind=UNLABELLED),
    ):
        assert set_of(place.key) == place
    assert EvaluationSet("sample", "yor").key == "sample/yor/test"
    for wrong in ("sample", "sample/yor/test/case", "sample/yor/test/case/x/1", "sample/yor/test/case/1/1/1/1"):
        with pytest.raises(SmallerError, match="An evaluation set is named"):
            set_of(wrong)
    with pytest.raises(SmallerError, match="names none"):
        EvaluationSet("sample", "yor", rate=0.5)


def test_bad_sets_say_what_is_wrong() -> None:
    for said, wrong in {
        "names none": {"kind": UNLABELLED, "rate": 0.5},
        "take it whole": {"noise": "case", "rate": 0.5, "limit": 3},
        "a share from 0 to 1": {"kind": ATTACK, "rate": 2.0},
        "Did you mean 'attack'": {"kind": "atack", "rate": 0.5},
        "noise alone names": {"kind": ATTACK, "noise": "case", "rate": 0.5},
    }.items():
        with pytest.raises(SmallerError, match=said):
            EvaluationSet("sample", "yor", **wrong)
    with pytest.raises(SmallerError, match="labelled names, and the data set 'afrisenti' has none"):
        EvaluationSet("afrisenti", "hau", noise="case", rate=0.5)
    with pytest.raises(SmallerError, match="no train split in Oromo"):
        EvaluationSet("afrisenti", "orm", "train", kind=UNLABELLED)
    with pytest.raises(SmallerError, match="Did you mean 'dev'"):
        EvaluationSet("masakhaner", "yor", "devel")


def test_a_grid_leaves_out_what_a_language_has_no_place_for() -> None:
    noise = {"diacritics": [0.5, 1.0], "case": [1.0], "punctuation": [1.0]}
    of = {language: noise_grid("sample", language, noise=noise, seed=3) for language in ("yor", "amh")}
    assert [(place.noise, place.rate) for place in of["yor"]] == [("diacritics", 0.5), ("diacritics", 1.0), ("case", 1)]
    assert [place.noise for place in of["amh"]] == ["punctuation"]
    assert {place.seed for place in of["yor"]} == {3}


def test_struck_counts_sentences_and_not_spellings_of_one_letter() -> None:
    apart = Sentence(("Ọla\u0301", "lọ"), ("B-PER", "O"))
    assert struck([apart, HAUSA], [Sentence(("Ọlá", "lọ"), apart.tags), HAUSA]) == 0
    assert struck([YORUBA, HAUSA], [noisy(YORUBA, "diacritics"), HAUSA]) == 0.5


def test_a_part_of_a_split_is_spread_over_it() -> None:
    assert splits.spread(range(10), 4) == [0, 2, 5, 7] and splits.spread(range(3), 0) == splits.spread(range(3), 9) == [
        0,
        1,
        2,
    ]
    attacked = EvaluationSet("sample", "yor", kind=ATTACK, rate=0.1, seed=1, limit=5).sentences()
    assert len(attacked) == 5 and all(set(sentence.tags) > {"O"} for sentence in attacked)
    assert all(sentence in splits.sentences("sample", "yor", "test") for sentence in attacked)


def test_edits_change_one_letter() -> None:
    generator = np.random.default_rng(1)
    assert {kind: change("Á", generator) for kind, change in EDITS.items()} == {
        "diacritics": "A",
        "dropped": "",
        "doubled": "ÁÁ",
        "mistyped": "Á",
        "case": "á",
    }


def test_entities_of_a_set_are_names_that_training_does_not_hold() -> None:
    seen = names_in(splits.sentences("sample", "yor", "train"))
    swapped = names_in(EvaluationSet("sample", "yor", noise="entities", rate=1.0, seed=1).sentences())
    for kind in ("PER", "ORG", "LOC"):
        assert swapped[kind] and not set(swapped[kind]) & set(seen[kind])
