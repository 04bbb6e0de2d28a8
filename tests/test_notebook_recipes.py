"""The recipes that stand in the cells of 03 and 06: what makes a student, a control, a variant, a set of noise."""

from __future__ import annotations

import dataclasses

import identities
import pytest

from smaller.base import paths
from smaller.base.errors import SmallerError
from smaller.encoders import Model
from smaller.study.recipes import dense, recipe_from_canonical
from smaller.study.steps import Cut, Distil, FineTune, Pretrain, Prune, Quantize, imitation

AGNOSTIC, SPECIFIC, LABELS = "task-agnostic", "task-specific", "labels alone"
DROPPED, CONTINUED, SCRATCH = "layers dropped", "layers dropped, pre-trained on", "from scratch"
DISTILLATION = {
    "encoders": ["afriberta-base", "sample-small"],
    "languages": ["swa", "yor"],
    "seeds": [1, 2],
    "students": ["4x6", "2x3"],
    "controls": ["2x3"],
    "variants": ["temperature 6", "attention relation", "transfer text"],
    "variant_seeds": [2],
    "corpus_updates": 5,
    "corpus_batch_size": 4,
}


def planned(notebook: str, **given: object) -> dict:
    """The variables of a notebook when it says what it trains."""
    return identities.planned(paths.notebooks_folder() / f"{notebook}.ipynb", given)[0]


@pytest.fixture(scope="module")
def study() -> dict:
    return planned("03_distillation", **DISTILLATION)["everything"]


def test_a_study_has_teachers_students_controls_and_variants(study: dict) -> None:
    counts = {name: len(recipes) for name, recipes in study.items()}
    assert counts == {
        "teacher": 2 * 4,
        AGNOSTIC: 2 * 2 * 4,
        SPECIFIC: 2 * 2 * 4,
        LABELS: 2 * 4,
        DROPPED: 2 * 4,
        CONTINUED: 2 * 4,
        SCRATCH: 2 * 4,
        (AGNOSTIC, "temperature 6"): 2 * 2,
        (AGNOSTIC, "attention relation"): 2 * 2,
        (SPECIFIC, "temperature 6"): 2 * 2,
        (SPECIFIC, "attention relation"): 2 * 2,
        (SPECIFIC, "transfer text"): 2 * 2,
        "before fine-tuning": 2 * 4,
    }
    everything = [recipe for recipes in study.values() for recipe in recipes]
    assert len(set(everything)) == len(everything)
    assert {one.fine_tuning.seed for name, own in study.items() if isinstance(name, tuple) for one in own} == {2}


def test_what_stands_before_fine_tuning_was_trained_on_text(study: dict) -> None:
    assert {type(one.steps[-1]) for one in study["before fine-tuning"]} == {Distil, Pretrain}
    assert not any(one.fine_tuning for one in study["before fine-tuning"])


def test_students_differ_from_their_controls_in_the_teacher_alone(study: dict) -> None:
    last = {
        name: next(recipe.steps for recipe in study[name] if "2 layers" in recipe.label)
        for name in (AGNOSTIC, SPECIFIC, DROPPED, CONTINUED)
    }
    (distilled, tuned), (dropped, pretrained, same) = last[AGNOSTIC], last[CONTINUED]
    assert isinstance(distilled, Distil) and distilled.temperature == 2 and distilled.languages == ("swa",)
    assert (dropped, tuned) == (Cut(2, 3), same) and isinstance(pretrained, Pretrain)
    for field in dataclasses.fields(Pretrain):
        assert getattr(pretrained, field.name) == getattr(distilled, field.name), field.name
    assert (pretrained.updates, pretrained.batch_size) == (5, 4)
    teacher, on_task = last[SPECIFIC]
    assert teacher == tuned and last[DROPPED] == (Cut(2, 3), tuned)
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


def test_every_variant_changes_what_it_says() -> None:
    space = planned("03_distillation", **DISTILLATION)
    names = list(space["on_task"])
    varied = planned("03_distillation", **DISTILLATION | {"variants": names, "languages": ["swa"]})["varied"]
    assert {name for _, name in varied} == set(names)
    made = [recipe for recipes in varied.values() for recipe in recipes]
    assert len({recipe.identity for recipe in made}) == len(made)
    transfer = varied[SPECIFIC, "transfer text"][0].steps[-1]
    assert (transfer.transfer_corpus, transfer.transfer_lines) == ("sample", 10_000)
    assert varied[AGNOSTIC, "attention relation"][0].steps[0].weights == {"attention": 1.0}
    assert varied[SPECIFIC, "attention relation"][0].steps[-1].weights["logits"] == 0.5
    assert varied[SPECIFIC, "squared logits"][0].steps[-1].logits == "mse"
    assert varied[AGNOSTIC, "temperature 3"][0].steps[0].temperature == 3
    with pytest.raises(SmallerError, match="Did you mean 'attention relation'"):
        planned("03_distillation", **DISTILLATION | {"variants": ["atention relation"]})


ROBUSTNESS = {
    "languages": ["swa", "yor"],
    "sparsities": [0.5, 0.8],
    "students": ["2x6"],
    "forms": ["dynamic"],
    "vocabularies": [2000],
    "noise": {"case": [0.5, 1.0], "entities": [1.0]},
    "attack_budgets": [0.02],
    "attacked_sentences": 5,
    "targets": ["sample/bam", "sample/swa"],
    "text_sentences": 9,
}


def test_robustness_has_every_technique_at_every_strength_and_sets_by_language() -> None:
    space = planned("06_robustness", **ROBUSTNESS)
    found = space["recipes"]
    assert list(found) == [
        "dense",
        "pruned before fine-tuning, 50 %",
        "pruned before fine-tuning, 80 %",
        "pruned after fine-tuning, 50 %",
        "pruned after fine-tuning, 80 %",
        "distilled, 2x6",
        "cut, 2x6",
        "quantized, dynamic",
        "trimmed, 2000 tokens",
    ]
    assert {len(own) for own in found.values()} == {4}
    assert len({recipe.identity for own in found.values() for recipe in own}) == 36
    tuning = found["dense"][0].fine_tuning
    assert found["pruned after fine-tuning, 80 %"][0] == dense("sample-small", tuning).then(Prune(0.8))
    assert found["quantized, dynamic"][0] == dense("sample-small", tuning).then(Quantize("dynamic"))
    assert [place.key for place in space["sets"]["swa"]] == [
        "sample/swa/test/case/0.5/7",
        "sample/swa/test/case/1/7",
        "sample/swa/test/entities/1/7",
        "sample/swa/test/attack/0.02/7/5",
        "sample/bam/test",
        "sample/swa/test/unlabelled/0/0/9",
        "sample/bam/test/unlabelled/0/0/9",
    ]


def test_without_a_choice_there_is_every_kind_of_noise_that_a_language_has_a_place_for() -> None:
    kinds = [place.noise for place in planned("06_robustness")["sets"]["yor"] if place.noise]
    # Sentences of the sample have little punctuation.
    assert list(dict.fromkeys(kinds)) == ["diacritics", "dropped", "doubled", "mistyped", "case", "spaces", "entities"]
