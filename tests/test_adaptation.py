"""Adaptation: the defaults of paper 2, training as in pre-training, and what is refused."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import sample, splits
from smaller.encoders import Model
from smaller.study import checkpoints, training
from smaller.study.recipes import Recipe
from smaller.study.steps import Adapt, Pretrain, Prune, step_from_canonical
from smaller.study.steps.pretraining import SETTINGS
from smaller.study.training import linear_decay

STEP = Adapt("sample", "swa", updates=12, batch_size=8, learning_rate=1e-2)


def same(one: Model, other: Model) -> bool:
    expected = other.network.state_dict()
    return all(torch.equal(value, expected[name]) for name, value in one.network.state_dict().items())


def test_the_defaults_are_those_of_paper_2() -> None:
    step = Adapt("corpus", "swa")
    assert (step.updates, step.batch_size, step.learning_rate, step.rate) == (100_000, 32, 1e-4, 0.15)
    assert step.label == "Adapt(corpus/swa, seed 1)" and step.trains and not step.technique
    assert Recipe("mbert", (step,)).label == "mbert: Adapt(corpus/swa, seed 1)"


def test_it_is_pre_training_on_one_language(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the settings of `Pretrain` in place of the optimizer's own, it is `Pretrain` bit for bit."""
    monkeypatch.setattr("smaller.study.steps.adaptation.SETTINGS", SETTINGS)
    adapted, report = dataclasses.replace(STEP, warm_up=0.1, rate=0.25, max_length=64).apply(tiny)
    trained, expected = Pretrain(languages=("swa",), updates=12, batch_size=8, learning_rate=1e-2).apply(tiny)
    assert same(adapted, trained) and report["loss_curve"] == expected["loss_curve"]
    assert report["lines"] == sample.TEXT_LINES and report["unknown_rate"] == 0.0
    monkeypatch.undo()
    assert not same(STEP.apply(tiny)[0], adapted)


def test_a_few_updates_reduce_the_loss_and_the_encoder_stays_as_it_was(tiny: Model) -> None:
    before = {name: value.clone() for name, value in tiny.network.state_dict().items()}
    adapted, report = dataclasses.replace(STEP, language="swa+yor", updates=30).apply(tiny)
    assert report["loss_curve"][-1] < report["loss_first"] - 0.3 and report["lines"] == 2 * sample.TEXT_LINES
    assert all(torch.equal(value, before[name]) for name, value in tiny.network.state_dict().items())
    assert encoders.shape(adapted) == encoders.shape(tiny) == STEP.resize(encoders.shape(tiny))
    assert adapted.network.get_output_embeddings().weight is adapted.network.get_input_embeddings().weight


def test_masks_are_held(tiny: Model) -> None:
    adapted, _ = STEP.apply(Prune(0.5).apply(tiny)[0])
    assert adapted.masks
    assert all(not parameter.detach().cpu()[~mask].any() for parameter, mask in adapted.masked_parameters())


def test_what_was_stopped_goes_on_bit_for_bit(tiny: Model, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed, expected = STEP.apply(tiny)

    def stopped(update: int, **options: int) -> float:
        if update == 7:
            raise KeyboardInterrupt
        return linear_decay(update, **options)

    monkeypatch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(training, "linear_decay", stopped)
    with pytest.raises(KeyboardInterrupt):
        STEP.apply(tiny, scratch=tmp_path)
    monkeypatch.undo()
    said = []
    adapted, report = STEP.apply(tiny, scratch=tmp_path, say=said.append)
    assert any("going on after update" in line for line in said) and same(adapted, undisturbed)
    assert report["loss_curve"] == expected["loss_curve"] and not list(tmp_path.iterdir())


def test_what_cannot_be_done_is_said(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    tagger = encoders.with_classifier(tiny, ("O", "B-PER"), seed=1)
    for step in (STEP, Pretrain(languages=("swa",), updates=2)):
        with pytest.raises(SmallerError, match=f"{type(step).__name__} needs a masked-language model"):
            step.apply(tagger)
        tagger.form = "bf16"
        with pytest.raises(SmallerError, match=f"{type(step).__name__} needs weights in fp32"):
            step.apply(tagger)
        tagger.form = "trained"
    for lines, message in (
        ([], "corpus sample/swa is empty"),
        (["ⵜⴰⵎⴰⵣⵉⵖⵜ ⵜⴳⴰ"], "does not know the script of sample/swa"),
    ):
        monkeypatch.setattr(splits, "text", lambda *_, lines=lines: lines)
        with pytest.raises(SmallerError, match=message):
            STEP.apply(tiny)


def test_the_step_reads_back_from_its_form() -> None:
    assert step_from_canonical(STEP.canonical()) == STEP
    assert Adapt("sample", "swa", warm_up=0).canonical() == Adapt("sample", "swa", warm_up=0.0).canonical()
    step = dataclasses.replace(STEP, language="swa+yor")
    assert step.inputs() == {f"sample/{code}/text": sample.fingerprint(code) for code in ("swa", "yor")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"language": "yro"}, r"no language 'yro'.*Did you mean 'yor'\?"),
        ({"language": "swa+yro"}, r"Did you mean 'yor'\?"),
        ({"corpus": "corpsu"}, r"Did you mean 'corpus'\?"),
        ({"updates": 0}, "Adapt's updates is a whole number above zero"),
        ({"batch_size": "32"}, "it is '32'"),
        ({"rate": 15}, "Adapt's rate is a number between 0 and 1; it is 15"),
        ({"learning_rate": "fast"}, "learning_rate is a number between 0 and 1"),
        ({"warm_up": 1}, "warm_up is a share of the updates"),
        ({"seed": -3}, "seed is a whole number"),
    ],
)
def test_bad_values_are_errors_before_anything_runs(options: dict, message: str) -> None:
    with pytest.raises(SmallerError, match=message):
        dataclasses.replace(STEP, **options)
