"""Narrower students: what they are cut from, losses across widths, and identities that stay as they were."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from killed import killed_at
from torch.nn import functional

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import sample, splits
from smaller.encoders import Model
from smaller.study.steps import (
    Cut,
    Distil,
    FineTune,
    Prune,
    PruneFeedForward,
    PruneHeads,
    TruncateHidden,
    step_from_canonical,
)
from smaller.study.steps.imitation import Imitation
from smaller.study.steps.pretraining import masked_batches
from smaller.study.steps.students import student_of, widened
from smaller.study.steps.texts import rows_of
from smaller.study.training import train

STEP = Distil(
    2,
    languages=("swa", "yor"),
    lines=100,
    updates=12,
    batch_size=8,
    learning_rate=5e-3,
    hidden_size=16,
    feed_forward=20,
)
TASK = Distil(
    2, on="task", dataset="sample", language="swa", epochs=2, batch_size=10, learning_rate=5e-3, hidden_size=16
)
HIDDEN = {"hidden_weight": 0.3, "hidden": "mse"}


@pytest.fixture(scope="module")
def teacher(tiny: Model) -> Model:
    config = copy.deepcopy(tiny.network.config)
    config.update({"num_hidden_layers": 3, "num_attention_heads": 4, "initializer_range": 0.2})
    return Model(encoders.build(config, seed=6), tiny.tokenizer)


@pytest.fixture(scope="module")
def tagger(teacher: Model) -> Model:
    return FineTune("sample", "swa", epochs=1, batch_size=1500, learning_rate=5e-3).apply(teacher)[0]


def weights(model: Model) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.network.state_dict().items()}


def same(one: Model, other: Model) -> bool:
    expected = weights(other)
    return weights(one).keys() == expected.keys() and all(
        torch.equal(value, expected[name]) for name, value in weights(one).items()
    )


def test_a_student_by_slice_is_cut_then_pruned_then_truncated(teacher: Model) -> None:
    student, basis = student_of(STEP, teacher, (0, 2), [])
    expected, _ = Cut(2).apply(teacher)
    expected, _ = PruneFeedForward(20, importance="magnitude").apply(expected)
    expected, _ = TruncateHidden(16).apply(expected)
    assert same(student, expected) and torch.equal(basis, torch.eye(24)[:, :16])
    assert encoders.shape(student) == STEP.resize(encoders.shape(teacher))


@pytest.mark.parametrize("width_by", ["importance", "projection"])
def test_other_widths_look_at_what_the_student_is_trained_on(teacher: Model, tagger: Model, width_by: str) -> None:
    step = dataclasses.replace(STEP, feed_forward=None, width_by=width_by)
    student, basis = student_of(step, teacher, (0, 2), step._examples(teacher))
    text = {"corpus": "sample", "languages": ("swa", "yor"), "lines": 400}
    expected, report = TruncateHidden(16, by=width_by, **text).apply(Cut(2).apply(teacher)[0])
    assert same(student, expected) and 0 < report["energy_kept"] < 1
    torch.testing.assert_close(basis.T @ basis, torch.eye(16), rtol=0, atol=1e-4)
    rows = dataclasses.replace(TASK, width_by=width_by)._examples(tagger)
    count = len(splits.sentences("sample", "swa", "train"))
    assert len(rows) == len(range(0, count, -(-count // 400)))
    assert dataclasses.replace(TASK, width_by="slice")._examples(tagger) == []


def test_a_random_start_has_the_shape_and_nothing_of_the_teacher(teacher: Model) -> None:
    step = dataclasses.replace(STEP, start="random")
    one, other = (student_of(dataclasses.replace(step, seed=seed), teacher, (0, 1), [])[0] for seed in (1, 2))
    assert encoders.shape(one) == STEP.resize(encoders.shape(teacher))
    table = one.backbone.embeddings.word_embeddings.weight
    assert not torch.equal(table, other.backbone.embeddings.word_embeddings.weight)
    assert not torch.equal(table, teacher.backbone.embeddings.word_embeddings.weight[:, :16])
    assert table.std().item() == pytest.approx(0.2, rel=0.1)


def imitation(teacher: Model, projection: torch.nn.Module) -> Imitation:
    """Hidden states alone, of a student with the first and the last layer of three."""
    return Imitation(
        teacher=teacher.network,
        weights={"hidden": 0.3},
        kinds={"logits": "kl", "hidden": "mse"},
        temperature=2.0,
        layer_map=(0, 2),
        relation_heads=4,
        projection=projection,
    )


def test_hidden_states_are_compared_in_the_teacher_s_width(teacher: Model, full_precision: None) -> None:
    student, basis = student_of(STEP, teacher, (0, 2), [])
    rows = [torch.tensor(row) for row in teacher.tokenizer(sample.text("swa")[:8])["input_ids"]]
    batch = next(masked_batches(rows, teacher.tokenizer, updates=1, size=8, rate=0.3, seed=3))
    with widened(student.network, basis) as projection, torch.no_grad():
        objective = imitation(teacher, projection)
        found = objective(student.network, batch, batch)
        assert "hidden_projection.weight" in student.network.state_dict()
    assert "hidden_projection.weight" not in student.network.state_dict()
    with torch.no_grad():
        small, large = (
            model.network(batch.pieces, attention_mask=batch.mask, output_hidden_states=True).hidden_states
            for model in (student, teacher)
        )
    # To begin with the map puts the student's dimensions back where they were, with zeros beside them.
    losses = [
        functional.mse_loss(functional.pad(small[one][batch.mask], (0, 8)), large[other][batch.mask])
        for one, other in ((1, 1), (2, 3))
    ]
    torch.testing.assert_close(found, 0.3 * sum(losses)[None] / 2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("step", [STEP, TASK], ids=["corpus", "task"])
@pytest.mark.parametrize("options", [{}, HIDDEN, {"width_by": "projection", "attention_weight": 0.2}], ids=str)
def test_a_narrower_student_learns_and_leaves_its_teacher_alone(
    teacher: Model, tagger: Model, step: Distil, options: dict, few_sentences: None
) -> None:
    model = teacher if step.on == "corpus" else tagger
    before, state = weights(model), torch.get_rng_state()
    student, report = dataclasses.replace(step, **options).apply(model)
    assert report["losses"]["labels"]["last"] < report["losses"]["labels"]["first"]
    assert encoders.shape(student) == step.resize(encoders.shape(model)) and student.labels == model.labels
    assert report["parameters_after"] == encoders.parameter_count(student.network) < report["parameters_before"]
    assert not any("projection" in name for name in student.network.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in weights(model).items())
    assert torch.equal(torch.get_rng_state(), state)


def test_the_map_is_learned_with_the_student(teacher: Model) -> None:
    student, basis = student_of(STEP, teacher, (0, 2), [])
    rows = rows_of("sample", ["swa"], teacher.tokenizer, limit=40)
    batches = masked_batches(rows, teacher.tokenizer, updates=8, size=8, rate=0.3, seed=3)
    with widened(student.network, basis) as projection:
        train(student, batches, imitation(teacher, projection), updates=8, learning_rate=5e-3, seed=1)
        learned = projection.weight.detach().cpu()
    assert not torch.allclose(learned, torch.eye(24)[:, :16], atol=1e-3)


def test_it_goes_on_bit_for_bit_with_its_map(teacher: Model, tmp_path) -> None:
    step = dataclasses.replace(STEP, **HIDDEN)
    undisturbed, expected = step.apply(teacher)
    with killed_at(7):
        step.apply(teacher, scratch=tmp_path)
    student, report = step.apply(teacher, scratch=tmp_path)
    assert same(student, undisturbed) and report["losses"] == expected["losses"]


def test_silenced_heads_of_the_teacher_are_not_in_a_narrower_student(teacher: Model) -> None:
    silenced, _ = PruneHeads(2, importance="magnitude").apply(teacher)
    student, _ = dataclasses.replace(STEP, hidden_size=12, feed_forward=None).apply(silenced)
    assert student.network.config.num_attention_heads == 2 and not student.masks


def test_a_saved_student_is_one_that_plain_loaders_read(teacher: Model, tmp_path) -> None:
    student, _ = STEP.apply(teacher)
    encoders.save(student, tmp_path)
    assert same(encoders.open_folder(tmp_path), student)


def test_a_shape_that_the_teacher_has_not_is_an_error(teacher: Model) -> None:
    pruned = Prune(0.5).apply(teacher)[0]
    for options, model, message in (
        ({"hidden_size": 28}, teacher, "The hidden states are 24 wide, so they cannot become 28 wide"),
        ({"hidden_size": 18}, teacher, "4 heads do not divide a hidden size of 18.* they divide is 16"),
        ({"feed_forward": 49}, teacher, "have 48 neurons, so 49 cannot be kept"),
        ({}, pruned, "A pruned model cannot be truncated"),
        ({"heads": 3, "hidden_size": 15, "attention_weight": 0.1}, teacher, "No number of relation heads splits the 4"),
    ):
        with pytest.raises(SmallerError, match=message):
            dataclasses.replace(STEP, **options).apply(model)
    wide = dataclasses.replace(STEP, heads=8, attention_weight=0.1, updates=1)
    assert wide.apply(teacher)[0].network.config.num_attention_heads == 8


def test_steps_from_before_there_were_narrower_students_keep_their_forms() -> None:
    """Records of distillations are found by them."""
    form = Distil(2).canonical()
    assert not {"hidden_size", "feed_forward", "width_by"} & form.keys()
    assert step_from_canonical(form | {"hidden_size": None, "width_by": "slice"}) == Distil(2)
    form = STEP.canonical()
    assert (form["hidden_size"], form["feed_forward"]) == (16, 20) and "width_by" not in form
    as_json = {key: list(value) if isinstance(value, tuple) else value for key, value in form.items()}
    assert step_from_canonical(as_json) == STEP != dataclasses.replace(STEP, hidden_size=None)


def test_what_the_step_says_of_itself() -> None:
    assert STEP.label == "Distil(2 layers, 16 wide, 20 neurons, sample/swa+yor, T 2, seed 1)"
    step = dataclasses.replace(STEP, width_by="projection", feed_forward=None)
    assert step.label.startswith("Distil(2 layers, 16 wide by projection, sample")
    assert step.columns()["method"] == "projection" and "method" not in Distil(2).columns()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 0}, "Distil's hidden_size is a whole number above zero; it is 0"),
        ({"hidden_size": 16.0}, "it is 16.0"),
        ({"feed_forward": -1}, "Distil's feed_forward is a whole number above zero"),
        ({"width_by": "svd"}, "width_by is one of slice, importance, projection"),
        ({"width_by": "projection", "hidden_size": None}, "width_by='projection' says which part of the teacher's"),
        ({"width_by": "importance", "start": "random"}, "leave it out"),
    ],
)
def test_bad_values_are_errors_before_anything_runs(options: dict, message: str) -> None:
    with pytest.raises(SmallerError, match=message):
        dataclasses.replace(STEP, **options)
