"""Features of languages and distances between them, against counts done by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from smaller.base.errors import SmallerError
from smaller.data import features, sample
from smaller.data.sets import EvaluationSet


class Syllables:
    """A tokenizer whose vocabulary is a few syllables: a word is cut in twos, what is no syllable is unknown."""

    unk_token_id = 0
    vocabulary = ("<unk>", "ba", "na", "ma", "ki", "tu", "12", "..")

    def __call__(self, words: list[str], *, add_special_tokens: bool) -> dict[str, list[list[int]]]:
        assert not add_special_tokens
        cut = [[word[place : place + 2] for place in range(0, len(word), 2)] for word in words]
        return {
            "input_ids": [
                [self.vocabulary.index(piece) if piece in self.vocabulary else 0 for piece in row] for row in cut
            ]
        }

    def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
        return [self.vocabulary[number] for number in ids]


@pytest.fixture
def write(tmp_path: Path, rooms: Callable[..., None]) -> Callable[..., None]:
    """Makes a split of a language of MasakhaNER; each text is a sentence."""
    rooms(data=tmp_path)

    def split(language: str, name: str, *texts: str) -> None:
        file = tmp_path / "masakhaner" / language / f"{name}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        blocks = ("".join(f"{word} O\n" for word in text.split()) for text in texts)
        file.write_text("\n".join(blocks), encoding="utf-8")

    return split


def test_features_are_counted_over_running_words(write: Callable) -> None:
    write("swa", "train", "bana ba ba 12", "Bana xx ..")
    (row,) = features.language_features("masakhaner", ["swa"], Syllables(), seen={"swa": 7}).to_dict("records")
    # Pieces: ba na, ba, ba, 12, <unk> na ("Ba" is no syllable), <unk>, .. in seven words.
    assert row["pieces_per_word"] == pytest.approx(9 / 7)
    assert row["unknown_pieces"] == pytest.approx(100 * 2 / 9)
    assert row["whole_words"] == pytest.approx(100 * 4 / 7)  # ba ba 12 and ..; xx is one piece, but not a known one
    assert row["type_token_ratio"] == pytest.approx(3 / 5)  # bana ba ba bana xx
    assert row["word_length"] == pytest.approx(14 / 5)
    assert (row["training_sentences"], row["pretraining_lines"]) == (2, 7)


def test_type_token_ratio_does_not_fall_with_the_length_of_a_text(write: Callable) -> None:
    words = [f"{'abcdefghij'[number % 10]}{'abcdefghij'[number // 10 % 10]}" for number in range(1000)]
    write("swa", "train", " ".join(words))
    write("yor", "train", " ".join(3 * words + words[:500]))
    short, long = features.language_features("masakhaner", ["swa", "yor"], Syllables(), seen={})["type_token_ratio"]
    assert (short, long) == pytest.approx((0.1, 0.1))


def test_accents_are_no_letters(write: Callable) -> None:
    write("yor", "train", "ọ̀rẹ́ ilé")
    write("amh", "train", "ሰላም")
    found = features.language_features("masakhaner", ["yor", "amh"], Syllables(), seen={})
    assert list(found["word_length"]) == [3, 3]


def test_overlap_is_the_share_of_all_pieces_that_both_texts_hold(write: Callable) -> None:
    write("swa", "train", "banatu 12")
    write("amh", "train", "ki")
    write("yor", "test", "bama kina 12 .. xx")
    targets = [EvaluationSet("masakhaner", "yor")]
    swa, amh = features.distances("masakhaner", ["swa", "amh"], targets, Syllables(), seen={"yor": 3}).to_dict(
        "records"
    )
    # Pieces with a letter: ba ma ki na, and tu in Swahili's training; numbers and full stops stand in every text.
    assert (swa["piece_overlap"], amh["piece_overlap"]) == (40, 25)
    assert swa["trained_on"] == "masakhaner/swa" and (swa["dataset"], swa["language"]) == ("masakhaner", "yor")
    assert (swa["same_script"], amh["same_script"]) == (1, 0)
    assert (swa["seen"], swa["pretraining_lines"]) == (1, 3)
    assert swa["unknown_pieces"] == amh["unknown_pieces"] == pytest.approx(100 / 7)
    assert features.distances("masakhaner", ["swa"], targets, Syllables(), seen={})["seen"].tolist() == [0]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [("swa", "zul", 2), ("swa", "yor", 1), ("hau", "amh", 1), ("hau", "swa", 0), ("slk", "zho", 0), ("pcm", "eng", 0)],
)
def test_relatedness_by_family_and_branch(first: str, second: str, expected: int) -> None:
    assert features.relatedness(first, second) == features.relatedness(second, first) == expected


def test_sample_encoders_have_seen_all_languages_of_the_sample_but_one() -> None:
    seen = features.pretraining_lines("sample")
    assert seen == dict.fromkeys(sample.LANGUAGES, sample.TEXT_LINES) and sample.UNSEEN not in seen
    with pytest.raises(SmallerError, match="no unlabelled text"):
        features.pretraining_lines("masakhaner")


def test_real_tokenizer_on_the_sample() -> None:
    tokenizer = sample.tokenizer()
    own = features.language_features("sample", ["swa", "yor"], tokenizer, seen={}).set_index("language")
    words = [word for sentence in sample.sentences("yor", "train") for word in sentence.words]
    pieces = sum(len(tokenizer.tokenize(word)) for word in words)
    assert own.loc["yor", "pieces_per_word"] == pytest.approx(pieces / len(words))
    assert own["unknown_pieces"].max() < 1 and own["whole_words"].between(0, 100).all()
    targets = [EvaluationSet("sample", code) for code in ("swa", "amh")]
    overlap = features.distances("sample", ["swa"], targets, tokenizer, seen={})["piece_overlap"]
    assert overlap[0] > 40 > 5 > overlap[1]  # its own test split, and Amharic's, in another script
