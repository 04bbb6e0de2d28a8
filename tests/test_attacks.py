"""The search for harmful typing errors: its budget, its seed, and what it reports."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch

from smaller.data.examples import Sentence
from smaller.study.attacks import CANDIDATES, attack, edited

LABELS = ("O", "B-PER", "B-LOC")
SENTENCES = [
    Sentence(("Amina", "alienda", "Kano", "jana"), ("B-PER", "O", "B-LOC", "O")),
    Sentence(("leo", "Amina", "yuko", "Lagos"), ("O", "B-PER", "O", "B-LOC")),
]
KNOWN = {"Amina": 1, "Kano": 2, "Lagos": 2}


@dataclasses.dataclass
class Tagger:
    """Knows three names, and the less of a name is left, the less sure it is; counts what it is asked."""

    labels: tuple[str, ...] = LABELS
    unit: str = "word"
    asked: int = 0

    def probabilities(self, sentences: list[Sentence]) -> list[torch.Tensor]:
        self.asked += len(sentences)
        return [torch.stack([self.of(word) for word in sentence.words]) for sentence in sentences]

    def of(self, word: str) -> torch.Tensor:
        for name, label in KNOWN.items():
            gone, new = Counter(name) - Counter(word), Counter(word) - Counter(name)
            wrong = max(gone.total(), new.total())
            if wrong < 2:
                row = torch.tensor([0.1 + 0.25 * wrong, 0.0, 0.0])
                row[label] = 1 - row[0]
                return row
        return torch.tensor([0.98, 0.01, 0.01])


@pytest.fixture
def tagger() -> Tagger:
    return Tagger()


def attacked(tagger: Tagger, sentences: list[Sentence], **options: object) -> dict:
    return attack(tagger, sentences, seed=1, ask=Tagger.probabilities, **options)


def test_search_breaks_what_chance_does_not(tagger: Tagger) -> None:
    found = attacked(tagger, SENTENCES * 20, rate=0.1)
    # Two letters of a name have to go, and a budget of a tenth of twenty letters is two.
    assert found["f1_before"] == 100 and found["right_before"] == 40
    assert found["attack_success"] > found["random_success"] + 30
    assert found["attack_edits"] == 2
    assert found["f1"] < 95
    assert tagger.asked <= 40 + 40 + 2 * CANDIDATES * 40


def test_same_seed_same_result_and_more_budget_more_harm(tagger: Tagger) -> None:
    once, again, other = (
        attack(tagger, SENTENCES * 10, rate=0.1, seed=seed, ask=Tagger.probabilities) for seed in (1, 1, 2)
    )
    assert once == again and once != other
    little = attacked(tagger, SENTENCES * 10, rate=0.0)  # one letter
    assert little["attack_success"] == 0 and little["f1"] == 100 and "attack_edits" not in little


def test_what_is_wrong_already_is_left_alone(tagger: Tagger) -> None:
    strange = [Sentence(("Zainabu", "yuko"), ("B-PER", "O")), SENTENCES[0]]
    found = attacked(tagger, strange, rate=0.1)
    assert found["right_before"] == 1 and found["f1_before"] == pytest.approx(80)
    asked = tagger.asked
    none = attacked(tagger, strange[:1], rate=0.1)
    assert none["right_before"] == 0 and not {"attack_success", "attack_edits"} & set(none)
    assert tagger.asked == asked + 1


def test_types_that_a_set_does_not_label_are_no_harm(tagger: Tagger) -> None:
    people = [
        Sentence(sentence.words, tuple("O" if tag == "B-LOC" else tag for tag in sentence.tags))
        for sentence in SENTENCES
    ]
    assert attacked(tagger, people, rate=0.1, types=["PER"])["f1_before"] == 100
    assert attacked(tagger, people, rate=0.1)["f1_before"] < 100


def test_an_edit_is_one_typing_error_in_one_word() -> None:
    generator, sentence = np.random.default_rng(0), SENTENCES[0]
    for _ in range(50):
        new = edited(sentence, generator)
        changed = [
            place for place, words in enumerate(zip(sentence.words, new.words, strict=True)) if len({*words}) > 1
        ]
        assert len(changed) == 1 and new.tags == sentence.tags
        assert abs(len(new.words[changed[0]]) - len(sentence.words[changed[0]])) <= 1
    assert edited(Sentence(("1", "."), ("O", "O")), generator).words == ("1", ".")
    assert all(edited(Sentence(("a",), ("O",)), generator).words[0] for _ in range(20)), "a word never vanishes"
