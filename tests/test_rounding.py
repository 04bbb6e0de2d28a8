"""Weights rounded to few bits while a student learns: where gradients are taken, and what a format still changes."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from killed import killed_at

from smaller.base.errors import SmallerError
from smaller.data import splits
from smaller.data.encoding import Batch, encode
from smaller.encoders import Model
from smaller.encoders.device import deterministic, mixed_precision
from smaller.formats import four_bits
from smaller.study.evaluation import score
from smaller.study.rounding import Rounding, round_weight, weights_of
from smaller.study.steps import Distil, FineTune, Quantize
from smaller.study.steps.finetuning import labelled_batches
from smaller.study.training import linear_decay, token_loss, train

SHAPE = {"epochs": 3, "batch_size": 16, "learning_rate": 4e-3, "hidden_size": 16, "feed_forward": 20}


@pytest.fixture(scope="module")
def tagger(tiny: Model) -> Model:
    return FineTune("sample", "swa", epochs=2, batch_size=32, learning_rate=4e-3).apply(tiny)[0]


@pytest.fixture(scope="module")
def students(tagger: Model) -> dict[int | None, Model]:
    """One that learned with whole weights, and one that learned with weights of four bits."""
    step = Distil.on_task("sample", "swa", layers=1, **SHAPE)
    return {bits: dataclasses.replace(step, bits=bits).apply(tagger)[0] for bits in (None, 4)}


def test_weights_are_rounded_and_taken_back(tagger: Model) -> None:
    model = tagger.copy()
    before = {name: weight.detach().clone() for name, weight in model.network.named_parameters()}
    rounding = Rounding(model, 3)
    rounding.put()
    rounded = weights_of(model)
    for name, weight in model.network.named_parameters():
        expected = round_weight(before[name], 3) if name in rounded else before[name]
        assert torch.equal(weight, expected), name
    assert any(not torch.equal(rounded[name], before[name]) for name in rounded)
    rounding.take_back()
    assert all(torch.equal(weight, before[name]) for name, weight in model.network.named_parameters())


def test_an_update_has_the_gradients_of_rounded_weights_and_moves_the_whole_ones(tagger: Model, batches) -> None:
    """Beside a plain loop that computes them in a second network."""
    mine, rounded, plain = (tagger.copy() for _ in range(3))
    train(mine, batches, token_loss, updates=len(batches), learning_rate=1e-3, seed=1, dropout=0.0, bits=3)
    by_hand = torch.optim.AdamW(plain.network.parameters(), lr=1e-3, weight_decay=0.0)
    with deterministic():
        for update, batch in enumerate(batches):
            rounded.network.load_state_dict(plain.network.state_dict())
            for weight in weights_of(rounded).values():
                weight.data = round_weight(weight.data, 3)
            rounded.network.zero_grad()
            with mixed_precision():
                token_loss(rounded.network.eval(), batch).backward()
            for own, its in zip(plain.network.parameters(), rounded.network.parameters(), strict=True):
                own.grad = None if its.grad is None else its.grad.clone()
            torch.nn.utils.clip_grad_norm_(plain.network.parameters(), 1.0)
            by_hand.param_groups[0]["lr"] = 1e-3 * linear_decay(update, updates=len(batches), warm_up=0)
            by_hand.step()
    change = 0.0
    for name, own in weights_of(mine).items():  # biases of keys have no gradient but noise
        its, before = (one.network.get_parameter(name).detach() for one in (plain, tagger))
        assert float((own.detach() - its).abs().mean()) < 2e-5, name
        change = max(change, float((own.detach() - before).abs().mean()))
    assert change > 5e-4


@pytest.fixture(scope="module")
def batches(tagger: Model) -> list[Batch]:
    encoded = encode(splits.sentences("sample", "swa", "train")[:64], tagger.tokenizer, tagger.labels)
    return list(labelled_batches(encoded, epochs=1, size=16, padding=tagger.tokenizer.pad_token_id, seed=1))


def test_a_student_of_four_bits_leaves_with_such_weights_and_the_format_keeps_them(students) -> None:
    for bits, student in students.items():
        errors = []
        for weight in weights_of(student).values():
            numbers, scales = four_bits.rounded(weight.detach().numpy())
            held = torch.from_numpy((numbers.astype("float32") - four_bits.ZERO) * scales)
            errors.append(float((held - weight.detach()).norm() / weight.detach().norm()))
        assert max(errors) < 1e-3 if bits else min(errors[:-1]) > 0.03


def test_the_format_costs_a_student_of_four_bits_less(students) -> None:
    dev, loss = splits.sentences("sample", "swa", "dev"), {}
    for bits, student in students.items():
        whole, held = (
            score(one, dev, task=splits.task("sample"))["loss"]
            for one in (student, Quantize("onnx-int4").apply(student)[0])
        )
        loss[bits] = abs(held - whole)
    assert loss[4] < loss[None] / 2


def test_other_numbers_of_bits_are_refused_and_the_label_says_them() -> None:
    step = Distil.on_task("sample", "swa", layers=1, bits=4)
    assert "4 bits" in step.label and "bits" not in Distil.on_task("sample", "swa", layers=1).canonical()
    for bits in (1, 9, 4.0, True):
        with pytest.raises(SmallerError, match="from 2 to 8"):
            dataclasses.replace(step, bits=bits)
    with pytest.raises(SmallerError, match="of a student of a task"):
        Distil.on_text("sample", ["swa"], layers=1, bits=4)


def test_a_killed_training_goes_on_with_the_same_weights(tagger: Model, batches, tmp_path) -> None:
    how = {"updates": len(batches), "learning_rate": 1e-3, "seed": 1, "bits": 4, "checkpoint_seconds": 0.0}
    undisturbed, resumed = tagger.copy(), tagger.copy()
    train(undisturbed, batches, token_loss, **how)
    with killed_at(2):
        train(tagger.copy(), batches, token_loss, scratch=tmp_path, **how)
    train(resumed, batches, token_loss, scratch=tmp_path, **how)
    for own, its in zip(resumed.network.parameters(), undisturbed.network.parameters(), strict=True):
        assert torch.equal(own, its)
