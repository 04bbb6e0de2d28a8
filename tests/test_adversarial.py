"""The search for harmful typing errors: its budget, its seed, what it reports, and how records keep it."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch

from smaller import study
from smaller.data.examples import Sentence, Text
from smaller.data.sets import ATTACK, UNLABELLED, EvaluationSet
from smaller.study import jobs
from smaller.study.attacks import CANDIDATES, attack, edited
from smaller.study.recipes import dense
from smaller.study.steps import FineTune, Prune

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
def tagger(monkeypatch: pytest.MonkeyPatch) -> Tagger:
    monkeypatch.setattr("smaller.study.attacks.probabilities", lambda model, sentences: model.probabilities(sentences))
    return Tagger()


def test_search_breaks_what_chance_does_not(tagger: Tagger) -> None:
    found = attack(tagger, SENTENCES * 20, rate=0.1, seed=1)
    # Two letters of a name have to go, and a budget of a tenth of twenty letters is two.
    assert found["f1_before"] == 100 and found["right_before"] == 40
    assert found["attack_success"] > found["random_success"] + 30
    assert found["attack_edits"] == 2
    assert found["f1"] < 95
    assert tagger.asked <= 40 + 40 + 2 * CANDIDATES * 40


def test_same_seed_same_result_and_more_budget_more_harm(tagger: Tagger) -> None:
    once, again, other = (attack(tagger, SENTENCES * 10, rate=0.1, seed=seed) for seed in (1, 1, 2))
    assert once == again and once != other
    little = attack(tagger, SENTENCES * 10, rate=0.0, seed=1)  # one letter
    assert little["attack_success"] == 0 and little["f1"] == 100 and "attack_edits" not in little


def test_what_is_wrong_already_is_left_alone(tagger: Tagger) -> None:
    strange = [Sentence(("Zainabu", "yuko"), ("B-PER", "O")), SENTENCES[0]]
    found = attack(tagger, strange, rate=0.1, seed=1)
    assert found["right_before"] == 1 and found["f1_before"] == pytest.approx(80)
    asked = tagger.asked
    none = attack(tagger, strange[:1], rate=0.1, seed=1)
    assert none["right_before"] == 0 and not {"attack_success", "attack_edits"} & set(none)
    assert tagger.asked == asked + 1


def test_types_that_a_set_does_not_label_are_no_harm(tagger: Tagger) -> None:
    people = [
        Sentence(sentence.words, tuple("O" if tag == "B-LOC" else tag for tag in sentence.tags))
        for sentence in SENTENCES
    ]
    assert attack(tagger, people, rate=0.1, seed=1, types=["PER"])["f1_before"] == 100
    assert attack(tagger, people, rate=0.1, seed=1)["f1_before"] < 100


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


def test_records_keep_attacks_and_looks_and_ask_no_model_twice(
    tiny_folder: str, few_sentences, fresh_folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = dense(tiny_folder, FineTune("sample", "swa", seed=1, epochs=1))
    recipes = [tuned, tuned.then(Prune(0.5))]
    sets = [
        EvaluationSet("sample", "swa", "test", ATTACK, 0.02, 7, 4),
        EvaluationSet("sample", "bam", noise=UNLABELLED, limit=5),
    ]
    table = study.run(recipes, sets=sets, workers=1)
    attacked, looked = (table[table["noise"] == kind] for kind in (ATTACK, UNLABELLED))
    assert list(attacked["sentences"]) == [4, 4] and list(attacked["rate"]) == [0.02, 0.02]
    assert attacked["f1"].le(attacked["f1_before"]).all()
    assert list(looked["sentences"]) == [5, 5] and looked["confidence"].between(0, 100).all()
    assert looked["f1"].isna().all() and looked["scoring_seconds"].gt(0).all()
    assert study.pending(recipes, sets) == []
    for name in ("attack", "look"):
        monkeypatch.setattr(jobs, name, lambda *_, **__: pytest.fail("it was computed twice"))
    assert len(study.run(recipes, sets=sets, workers=1)) == len(table)


def test_text_without_our_labels_can_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smaller.data.splits.sentences", lambda *_: [Text("Rais yuko wapi?", "neutral")] * 9)
    tweets = EvaluationSet("afrisenti", "swa", noise=UNLABELLED, limit=4)
    assert len(tweets.sentences()) == 4 and tweets.types == ()
