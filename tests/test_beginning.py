"""How a notebook begins: what its parameters may be, what it says it would do, and what a step cannot be taken from."""

from __future__ import annotations

from pathlib import Path

import pytest

from smaller.base.errors import SmallerError
from smaller.notebook.beginning import begin, chosen, fine_tunings, measured_on, preview, target
from smaller.study import plans
from smaller.study.recipes import cut_then_tuned, dense
from smaller.study.steps import Cut, FineTune

GIVEN = {
    "encoders": ["afriberta-base", "sample-small"],
    "dataset": "sample",
    "languages": ["swa", "yor"],
    "seeds": [1, 2],
    "epochs": 2,
    "learning_rate": 1e-3,
    "batch_size": 8,
    "warm_up": 0.1,
}
DISTILLATION = GIVEN | {
    "students": ["4x6", "2x3"],
    "controls": ["2x3"],
    "corpus": "sample",
    "corpus_languages": ["swa"],
}
ROBUSTNESS = GIVEN | {
    "sparsities": [0.5],
    "noise": {"case": [0.5, 1.0]},
    "attack_budgets": [0.02],
    "targets": ["sample/bam"],
    "texts": [],
}


def begun(given: dict):
    """What a notebook with these parameters goes on with."""
    kinds = {name: list if isinstance(value, list) else type(value) for name, value in given.items()}
    return begin(given | {"__annotations__": kinds})


def test_good_parameters_pass() -> None:
    assert begun(DISTILLATION)["students"] == ["4x6", "2x3"]
    assert begun(DISTILLATION | {"controls": []}).controls == []
    settings = begun(ROBUSTNESS | {"noise": {}, "targets": []})
    assert settings.noise == {} and settings.targets == []


def test_single_languages_may_take_longer() -> None:
    assert fine_tunings(begun(GIVEN | {"longer_epochs": {}}))[0].epochs == 2
    tunings = fine_tunings(begun(GIVEN | {"longer_epochs": {"yor": 9}}))
    assert [(one.language, one.seed, one.epochs) for one in tunings[:3]] == [
        ("swa", 1, 2),
        ("yor", 1, 9),
        ("swa", 2, 2),
    ]
    joint = fine_tunings(begun(GIVEN), languages=["swa+yor"])
    assert [(one.language, one.seed) for one in joint] == [("swa+yor", 1), ("swa+yor", 2)]


@pytest.mark.parametrize(
    ("given", "wrong", "said"),
    [
        (GIVEN, {"encoders": []}, "give it at least one value"),
        (GIVEN, {"languages": ["swc"]}, "Did you mean 'swa'?"),
        (GIVEN, {"longer_epochs": {"swc": 3}}, "Did you mean 'swa'?"),
        (GIVEN, {"sparsities": [1.5]}, "from 0 to 1; 1.5 is not"),
        (DISTILLATION, {"students": ["4-6"]}, "layers x heads, such as 4x6; '4-6' is not"),
        (DISTILLATION, {"students": []}, "give it at least one value"),
        (DISTILLATION, {"controls": ["3x6"]}, "'3x6' is no student of this study; there are 4x6, 2x3. Did you mean"),
        (DISTILLATION, {"corpus_languages": ["swc"]}, "Did you mean 'swa'?"),
        (DISTILLATION, {"corpus": "corpsu"}, "Did you mean 'corpus'?"),
        (ROBUSTNESS, {"noise": {"dropped": [1.5]}}, "a share from 0 to 1"),
        (ROBUSTNESS, {"noise": {"droped": [0.5]}}, "Did you mean 'dropped'"),
        (ROBUSTNESS, {"noise": {"dropped": []}}, "give it at least one value"),
        (ROBUSTNESS, {"noise": {"entities": [1.0]}}, "a kind of typing noise"),
        (ROBUSTNESS, {"attack_budgets": [2.0]}, "a share from 0 to 1"),
        (ROBUSTNESS, {"targets": ["masakhapos/bam"]}, "which no model that is fine-tuned on"),
        (ROBUSTNESS, {"targets": ["sample/bam/test"]}, "A target is a data set and a language"),
        (ROBUSTNESS, {"texts": ["afrisenti"]}, "a data set and a language"),
    ],
    ids=lambda value: str(value) if len(value) < 3 else "",
)
def test_what_cannot_be_is_said_before_anything_is_loaded(given: dict, wrong: dict, said: str) -> None:
    with pytest.raises(SmallerError) as caught:
        begun(given | wrong)
    assert said in str(caught.value)


def test_parts_are_chosen_by_name() -> None:
    assert chosen(["b"], {"a": 1, "b": 2}, what="letter") == {"b": 2}
    with pytest.raises(SmallerError, match="'atention relation' is no variant .* Did you mean 'attention relation'"):
        chosen(["atention relation"], {"attention relation": {}}, what="variant")


def test_a_target_may_lie_in_a_data_set_of_the_hub() -> None:
    assert target("masakhaner2/bam").key == "masakhaner2/bam/test"
    with pytest.raises(SmallerError, match="'sample' is not"):
        target("sample")


def test_a_caption_names_languages_and_seeds_of_each_data_set() -> None:
    both = [FineTune("sample", language, seed=seed) for language in ("swa", "yor") for seed in (1, 2)]
    assert measured_on(both) == "Swahili (swa), Yoruba (yor); 2 seeds"
    topics = FineTune("sample-topics", "swa", seed=1)
    assert measured_on([*both, topics]) == "sample: Swahili (swa), Yoruba (yor); sample-topics: Swahili (swa); 2 seeds"


def test_a_preview_says_what_is_to_do_and_keeps_nothing(displayed: list, tiny_folder: str, fresh_folders: Path) -> None:
    tunings = [FineTune("sample", "swa", seed=seed) for seed in (1, 2)]
    preview({"dense": [dense(tiny_folder, tuning) for tuning in tunings]}, sets=[target("sample/bam")])
    ((forms, _),) = displayed
    assert "0 of 2 recipes are done; 2 to train" in forms["text/plain"]
    plan = forms[plans.SHOWN]
    assert (plan["recipes"], plan["done"], plan["trainings"], plan["unscored"]) == (2, 0, 2, 2)
    assert not list((fresh_folders / "out puts").rglob("*.csv"))


def test_only_recipes_whose_group_has_sets_are_counted_as_to_score(
    displayed: list, tiny_folder: str, fresh_folders: Path
) -> None:
    first, second, third = (dense(tiny_folder, FineTune("sample", "swa", seed=seed)) for seed in (1, 2, 3))
    recipes, sets = {"away": [first, second], "both": [second], "home": [third]}, [target("sample/bam")]
    for own in (sets, dict.fromkeys(["away", "both"], sets), {"swa": sets}, {"yor": sets}, {"home": []}):
        preview(recipes, sets=own)
    assert [forms[plans.SHOWN]["unscored"] for forms, _ in displayed] == [3, 2, 3, 0, 0]


def test_a_step_that_cannot_be_taken_is_said_at_the_preview(tiny_folder: str, fresh_folders: Path) -> None:
    """By the shape that the configuration of a folder tells; no weights are read."""
    tuning = FineTune("sample", "swa")
    with pytest.raises(SmallerError, match="asks for 3 layers, and the model before it has 2"):
        preview([cut_then_tuned(tiny_folder, Cut(3, 2), tuning)])
    with pytest.raises(SmallerError, match="5 heads do not divide a width of 24"):
        preview([cut_then_tuned(tiny_folder, Cut(2, 5), tuning)])
