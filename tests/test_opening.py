"""How a notebook begins: what its parameters may be, and the recipes that they describe."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from smaller.analysis.findings.distillation import AGNOSTIC, CONTINUED, CUT, LABELS, SCRATCH, SPECIFIC, TEACHER
from smaller.base.errors import Planned, SmallerError
from smaller.encoders import Model
from smaller.notebook.opening import (
    VARIANTS,
    before_tuning,
    begin,
    distillation_study,
    fine_tunings,
    learning_panels,
    preview,
)
from smaller.notebook.parameters import Settings
from smaller.study.recipes import dense, recipe_from_canonical
from smaller.study.steps import Cut, Distil, FineTune, Pretrain, imitation

GIVEN = {
    "encoders": ["afriberta-base", "sample-small"],
    "dataset": "sample",
    "languages": ["swa", "yor"],
    "seeds": [1, 2],
    "epochs": 2,
    "learning_rate": 1e-3,
    "batch_size": 8,
    "warm_up": 0.1,
    "students": ["4x6", "2x3"],
    "controls": ["2x3"],
    "temperatures": [2.0, 6.0],
    "variants": ["attention relation", "transfer text"],
    "variant_student": "4x6",
    "variant_seeds": [2],
    "corpus": "sample",
    "corpus_lines": 0,
    "corpus_languages": ["swa"],
    "corpus_updates": 5,
    "corpus_batch_size": 4,
    "corpus_learning_rate": 1e-3,
    "corpus_max_length": 32,
    "corpus_rate": 0.25,
    "transfer_lines": 7,
}


def namespace(**changes: object) -> dict:
    """What a notebook's parameters cell leaves behind."""
    given = GIVEN | changes
    kinds = {name: list if isinstance(value, list) else type(value) for name, value in given.items()}
    return given | {"__annotations__": kinds}


@pytest.fixture
def study() -> dict:
    return distillation_study(Settings(GIVEN))


def test_good_parameters_pass() -> None:
    assert begin(namespace())["students"] == ["4x6", "2x3"]
    settings = begin(namespace(controls=[], variants=[]))
    assert settings.controls == settings.variants == []


def test_a_mapping_of_epochs_stays_one() -> None:
    settings = begin(namespace(longer_epochs={}))
    assert fine_tunings(settings)[0].epochs == 2
    assert fine_tunings(begin(namespace(longer_epochs={"yor": 9})))[1].epochs == 9


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"students": ["6x6"]}, "6x6 has more layers than its teacher sample-small: ask for at most 4"),
        ({"students": ["4x5"]}, "5 heads do not divide the hidden size of afriberta-base, 768"),
        ({"students": ["4-6"]}, "layers x heads, such as 4x6; '4-6' is not"),
        ({"students": []}, "give it at least one value"),
        ({"controls": ["3x6"]}, "'3x6' is no student of this study; there are 4x6, 2x3. Did you mean"),
        ({"variant_student": "1x6"}, "'1x6' is no student"),
        ({"variants": ["atention relation"]}, "Did you mean 'attention relation'?"),
        ({"temperatures": [2.0, 0.0]}, "above zero; 0 is not"),
        ({"temperatures": []}, "give it at least one value"),
        ({"corpus_languages": ["swc"]}, "Did you mean 'swa'?"),
        ({"corpus": "corpsu"}, "Did you mean 'corpus'?"),
        ({"longer_epochs": {"swc": 3}}, "Did you mean 'swa'?"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_before_anything_is_loaded(wrong: dict, said: str) -> None:
    with pytest.raises(SmallerError) as caught:
        begin(namespace(**wrong))
    assert said in str(caught.value)


def test_a_folder_has_the_shape_that_its_configuration_tells(tiny_folder: str) -> None:
    assert begin(namespace(encoders=[tiny_folder], students=["2x2", "1x4"], controls=[], variant_student="1x4"))
    with pytest.raises(SmallerError, match="more layers than its teacher .*tiny one: ask for at most 2"):
        begin(namespace(encoders=[tiny_folder], students=["3x2"]))
    with pytest.raises(SmallerError, match="5 heads do not divide the hidden size of .*tiny one, 24"):
        begin(namespace(encoders=[tiny_folder], students=["2x5"]))


def test_a_study_has_teachers_students_and_controls(study: dict) -> None:
    counts = {strategy: len(recipes) for strategy, recipes in study.items()}
    assert counts == {
        TEACHER: 2 * 4,
        AGNOSTIC: 2 * 2 * 4,
        SPECIFIC: 2 * 2 * 4,
        LABELS: 2 * 4,
        CUT: 2 * 4,
        CONTINUED: 2 * 4,
        SCRATCH: 2 * 4,
        f"{AGNOSTIC}: temperature 6": 2 * 2,
        f"{SPECIFIC}: temperature 6": 2 * 2,
        f"{AGNOSTIC}: attention relation": 2 * 2,
        f"{SPECIFIC}: attention relation": 2 * 2,
        f"{SPECIFIC}: transfer text": 2 * 2,
    }
    everything = [recipe for recipes in study.values() for recipe in recipes]
    assert len(set(everything)) == len(everything)
    assert {recipe.fine_tuning.seed for name, own in study.items() if ": " in name for recipe in own} == {2}


def test_students_differ_from_their_controls_in_the_teacher_alone(study: dict) -> None:
    last = {
        strategy: next(recipe.steps for recipe in study[strategy] if "2 layers" in recipe.label)
        for strategy in (AGNOSTIC, SPECIFIC, CUT, CONTINUED)
    }
    (distilled, tuned), (dropped, pretrained, same) = last[AGNOSTIC], last[CONTINUED]
    assert isinstance(distilled, Distil) and distilled.temperature == 2 and distilled.languages == ("swa",)
    assert (dropped, tuned) == (Cut(2, 3), same) and isinstance(pretrained, Pretrain)
    assert (pretrained.updates, pretrained.batch_size) == (distilled.updates, distilled.batch_size) == (5, 4)
    teacher, on_task = last[SPECIFIC]
    assert teacher == tuned and last[CUT] == (Cut(2, 3), tuned)
    for field in ("seed", "epochs", "learning_rate", "batch_size", "max_length", "warm_up", "dataset", "language"):
        assert getattr(on_task, field) == getattr(teacher, field)


def test_one_control_lacks_the_teachers_answers_and_nothing_else(study: dict) -> None:
    """Same teacher, start, data, seed and updates: two weights and what only the answers use are all that differs."""
    own = [recipe for recipe in study[SPECIFIC] if "2 layers" in recipe.label]
    students = {(recipe.encoder, recipe.fine_tuning): recipe for recipe in own}
    assert len(study[LABELS]) == len(students) == 8
    for control in study[LABELS]:
        student = students[control.encoder, control.fine_tuning]
        assert control.steps[:-1] == student.steps[:-1] and control.steps[-2] == control.fine_tuning
        ours, theirs = (recipe.steps[-1].canonical() for recipe in (control, student))
        differing = {name for name in ours if ours[name] != theirs[name]}
        assert differing == {"logits_weight", "labels_weight"} and control.identity != student.identity
        assert control.steps[-1].weights == {"labels": 1.0}
        assert recipe_from_canonical(control.canonical()) == control


def test_training_on_labels_alone_never_asks_the_teacher(
    monkeypatch: pytest.MonkeyPatch, tiny: Model, study: dict, few_sentences: None
) -> None:
    teacher, _ = FineTune("sample", "swa", epochs=1).apply(tiny)
    step = dataclasses.replace(study[LABELS][0].steps[-1], layers=1, heads=2, epochs=1)
    ran, look = [], imitation.look
    monkeypatch.setattr(
        imitation, "look", lambda network, *given, **named: ran.append(network) or look(network, *given, **named)
    )
    student, report = step.apply(teacher)
    assert list(report["losses"]) == ["labels"] and student.network.config.num_hidden_layers == 1
    assert ran and all(network is not teacher.network for network in ran)


def test_every_variant_makes_a_recipe_of_its_own() -> None:
    settings = Settings(GIVEN | {"variants": list(VARIANTS), "encoders": ["afriberta-base"]})
    study = distillation_study(settings)
    names = {name.partition(": ")[2] for name in study} - {""}
    assert names == {*VARIANTS, "temperature 6"}
    made = [recipe for recipes in study.values() for recipe in recipes]
    assert len({recipe.identity for recipe in made}) == len(made)
    transfer = study[f"{SPECIFIC}: transfer text"][0].steps[-1]
    assert (transfer.transfer_corpus, transfer.transfer_lines) == ("sample", 7)
    relation = study[f"{AGNOSTIC}: attention relation"][0].steps[0]
    assert relation.weights == {"attention": 1.0}
    assert study[f"{SPECIFIC}: squared logits"][0].steps[-1].logits == "mse"


def test_other_first_temperatures_are_left_out_where_no_loss_uses_them() -> None:
    study = distillation_study(Settings(GIVEN | {"variants": list(VARIANTS), "temperatures": [3.0, 2.0]}))
    assert study[AGNOSTIC][0].steps[0].temperature == 3
    assert study[f"{AGNOSTIC}: attention relation"][0].steps[0].temperature == 2
    assert study[f"{SPECIFIC}: hidden states"][0].steps[-1].temperature == 3


def test_what_stands_before_fine_tuning_is_a_recipe_too(study: dict) -> None:
    found = before_tuning(study[AGNOSTIC])
    assert len(found) == 4 and all(isinstance(recipe.steps[-1], Distil) for recipe in found)
    assert before_tuning(study[CUT]) == [], "a cut is no training"
    assert {type(recipe.steps[-1]) for recipe in before_tuning(study[SCRATCH])} == {Pretrain}


def test_curves_of_one_panel_are_of_one_loss(study: dict) -> None:
    panels = learning_panels(study, Settings(GIVEN))
    assert list(panels) == [
        "distillation on text",
        "pre-training of the controls",
        "distillation on the task",
        "fine-tuning of 2x3 and the teacher",
    ]
    assert list(panels["distillation on text"]) == list(panels["distillation on the task"]) == ["4x6", "2x3"]
    assert list(panels["pre-training of the controls"]) == [f"{CONTINUED}, 2x3", f"{SCRATCH}, 2x3"]
    tuned = panels["fine-tuning of 2x3 and the teacher"]
    assert list(tuned) == [TEACHER, AGNOSTIC, LABELS, CUT, CONTINUED, SCRATCH]
    every = [recipe for series in panels.values() for own in series.values() for recipe in own]
    assert all(recipe.encoder == "afriberta-base" for recipe in every)
    last = {name: type(own[0].steps[-1]) for name, own in tuned.items() if len(own) == 1}
    assert last == dict.fromkeys(tuned, FineTune) | {LABELS: Distil}, "the loss of labels alone is fine-tuning's"
    few = learning_panels(study | {name: [] for name in (CUT, CONTINUED, SCRATCH)}, Settings(GIVEN | {"controls": []}))
    assert "pre-training of the controls" not in few and list(few)[-1] == "fine-tuning of 4x6 and the teacher"


def test_a_dry_run_ends_at_the_preview(monkeypatch: pytest.MonkeyPatch, tiny_folder: str, fresh_folders: Path) -> None:
    recipes = [dense(tiny_folder, FineTune("sample", "swa", seed=seed)) for seed in (1, 2)]
    monkeypatch.setenv("SMALLER_PLAN", "1")
    with pytest.raises(Planned, match="^0 of 2 recipes are done; 2 to train"):
        preview(recipes)
