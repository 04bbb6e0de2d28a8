import pytest

from smaller.base.errors import SmallerError
from smaller.data.datasets import DATASETS
from smaller.data.languages import LANGUAGES, language


def test_every_language_goes_by_its_code():
    assert all(code == known.code and len(code) == 3 for code, known in LANGUAGES.items())
    assert len({known.name for known in LANGUAGES.values()}) == len(LANGUAGES)


def test_three_of_the_ten_masakhaner_languages_are_new_to_afriberta():
    ten, known = DATASETS["masakhaner"].languages, DATASETS["afriberta-corpus"].languages
    assert [code for code in ten if code not in known] == ["lug", "luo", "wol"] and len(ten) == 10


def test_afriberta_was_trained_on_eleven_languages():
    assert len(DATASETS["afriberta-corpus"].languages) == 11


def test_scripts():
    assert {code for code, known in LANGUAGES.items() if known.script == "Ethiopic"} == {"amh", "tir"}
    assert language("yor").script == "Latin"
    assert language("zho").script == "Han"


@pytest.mark.parametrize(
    ("mistake", "suggestion"),
    [
        ("swaa", "'swa' (Swahili)"),
        ("Swahili", "'swa' (Swahili)"),
        ("swahilli", "'swa' (Swahili)"),
        ("Kinyarwanda", "'kin' (Kinyarwanda)"),
        ("yoru", "'yor' (Yoruba)"),
    ],
)
def test_an_unknown_language_is_an_error_with_a_suggestion(mistake, suggestion):
    with pytest.raises(SmallerError, match="ISO 639-3") as caught:
        language(mistake)
    assert f"Did you mean {suggestion}?" in str(caught.value)


def test_what_resembles_nothing_gets_no_suggestion():
    with pytest.raises(SmallerError) as caught:
        language("---")
    assert "Did you mean" not in str(caught.value)
