"""Masked-language modelling: the masking by its rates, and the two steps that learn from text."""

import dataclasses

import numpy as np
import pytest
import torch
from killed import killed_at

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import sample, splits
from smaller.data.encoding import IGNORED
from smaller.encoders import Model
from smaller.study.recipes import Recipe
from smaller.study.steps import Adapt, Pretrain, Prune, step_from_canonical
from smaller.study.steps.pretraining import SETTINGS, learned_from_text, mask_tokens, masked_batches

ADAPT = Adapt("sample", "swa", updates=12, batch_size=8, learning_rate=1e-2)
SHORT = Pretrain(languages=("swa", "hau"), updates=30, learning_rate=1e-2)
MASK, SPECIAL = 2999, torch.tensor([0, 1, 2, 3, 2999])


def same(one: Model, other: Model) -> bool:
    expected = other.network.state_dict()
    return all(torch.equal(value, expected[name]) for name, value in one.network.state_dict().items())


def masked(seed=1, *, rate=0.15, shape=(400, 1000)):
    pieces = torch.from_numpy(np.random.default_rng(99).integers(0, 3000, shape))
    generator = np.random.default_rng(seed)
    return pieces, *mask_tokens(pieces, special=SPECIAL, mask=MASK, vocabulary=3000, rate=rate, generator=generator)


@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_pieces_are_chosen_hidden_and_swapped_at_their_rates(rate):
    pieces, damaged, labels = masked(rate=rate)
    chosen = labels != IGNORED
    assert chosen.float().mean() == pytest.approx(rate * 2995 / 3000, abs=0.003)
    assert (damaged == MASK)[chosen].float().mean() == pytest.approx(0.8, abs=0.01)
    changed = chosen & (damaged != pieces) & (damaged != MASK)
    assert changed.sum() / chosen.sum() == pytest.approx(0.1, abs=0.01)
    assert (damaged == pieces)[chosen].float().mean() == pytest.approx(0.1, abs=0.01)
    assert len(damaged[changed].unique()) > 1500  # of the whole vocabulary


def test_what_is_not_chosen_stays_and_labels_are_the_true_pieces():
    pieces, damaged, labels = masked()
    chosen = labels != IGNORED
    assert torch.equal(damaged[~chosen], pieces[~chosen])
    assert torch.equal(labels[chosen], pieces[chosen])


def test_special_pieces_are_never_chosen():
    pieces, damaged, labels = masked()
    special = torch.isin(pieces, SPECIAL)
    assert special.any() and (labels[special] == IGNORED).all()
    assert torch.equal(damaged[special], pieces[special])


def test_the_generator_decides_the_masking():
    one, same, other = (masked(seed, shape=(10, 50))[1] for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.fixture(scope="module")
def trained(tiny):
    return SHORT.apply(tiny)


def test_a_few_updates_reduce_the_loss(trained, tiny):
    model, report = trained
    assert report["updates"] == 30 and report["lines"] == 2 * sample.TEXT_LINES
    assert report["loss_curve"][-1] < report["loss_first"] - 0.5
    assert report["parameters_before"] == report["parameters_after"] == encoders.parameter_count(tiny.network)
    assert model.labels == ()


def test_the_head_stays_tied_and_the_model_that_comes_in_unchanged(trained, tiny):
    model, _ = trained
    table = model.network.get_input_embeddings().weight
    assert model.network.get_output_embeddings().weight is table
    assert not torch.equal(table.cpu(), tiny.network.get_input_embeddings().weight)
    fresh = encoders.build(tiny.network.config, seed=3)
    assert all(torch.equal(value, fresh.state_dict()[name]) for name, value in tiny.network.state_dict().items())


def test_the_step_repeats_itself_and_leaves_the_global_random_states_alone(tiny):
    before = (torch.get_rng_state(), np.random.get_state()[1].copy())
    one, same, other = (Pretrain(languages=("swa",), updates=3, seed=seed).apply(tiny)[0] for seed in (1, 1, 2))
    weights = [model.network.get_input_embeddings().weight for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), before[0]) and np.array_equal(np.random.get_state()[1], before[1])


def test_masks_are_held(tiny):
    pruned, _ = Prune(0.5, include="linear+embeddings").apply(tiny)
    model, _ = Pretrain(languages=("swa",), updates=3).apply(pruned)
    assert model.masks.keys() == pruned.masks.keys()
    assert all(not parameter.detach().cpu()[~mask].any() for parameter, mask in model.masked_parameters())


def test_training_goes_round_the_text_as_often_as_needed(tiny):
    """One line a batch, more updates than lines, and lines so short that some have nothing to guess."""
    step = Pretrain(languages=("swa",), updates=25, batch_size=1, max_length=6)
    rows = [torch.tensor([0, piece, piece + 1, 2]) for piece in range(10, 20)]
    batches = list(masked_batches(rows, tiny.tokenizer, updates=25, size=1, rate=step.rate, seed=1))
    assert len(batches) == 25 and all(len(batch.rows) == 1 for batch in batches)
    assert {int(batch.rows[0]) for batch in batches[:10]} == set(range(10))
    assert any((batch.labels == IGNORED).all() for batch in batches)
    _, report = step.apply(tiny)
    assert np.isfinite(report["loss_curve"]).all()


def test_inputs_are_the_checksums_of_the_text():
    assert SHORT.inputs() == {f"sample/{code}/text": splits.text_fingerprint("sample", code) for code in ("swa", "hau")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"languages": ()}, "at least one language"),
        ({"languages": "swa"}, "languages is a list of at least one language; it is 'swa'"),
        ({"languages": ("swa", "yro")}, r"no language 'yro'.*Did you mean 'yor'\?"),
        ({"languages": ("swa+yor",)}, "languages are single ones; 'swa[+]yor' is several: list them"),
        ({"corpus": "corpsu"}, r"Did you mean 'corpus'\?"),
        ({"updates": 0}, "updates is a whole number above zero"),
        ({"batch_size": "32"}, "batch_size is a whole number above zero; it is '32'"),
        ({"rate": 1.5}, "rate is a number between 0 and 1; it is 1.5"),
        ({"learning_rate": "fast"}, "learning_rate is a number between 0 and 1; it is 'fast'"),
        ({"seed": -3}, "seed is a whole number"),
    ],
)
def test_bad_values_are_errors_before_anything_runs(options, message):
    with pytest.raises(SmallerError, match=message):
        Pretrain(**options)


# Adaptation


def test_the_defaults_are_those_of_paper_2():
    step = Adapt("corpus", "swa")
    assert (step.updates, step.batch_size, step.learning_rate, step.rate) == (100_000, 32, 1e-4, 0.15)
    assert step.label == "Adapt(corpus/swa, seed 1)" and step.trains and not step.technique
    assert Recipe("mbert", (step,)).label == "mbert: Adapt(corpus/swa, seed 1)"


def test_adaptation_is_pre_training_on_one_language(tiny):
    """With the settings of `Pretrain` in place of the optimizer's own, it is `Pretrain` bit for bit."""
    step = dataclasses.replace(ADAPT, warm_up=0.1, rate=0.25, max_length=64)
    adapted, report = learned_from_text(step, tiny, warm_up=1, **SETTINGS)
    trained, expected = Pretrain(languages=("swa",), updates=12, batch_size=8, learning_rate=1e-2).apply(tiny)
    assert same(adapted, trained) and report["loss_curve"] == expected["loss_curve"]
    assert report["lines"] == sample.TEXT_LINES and report["unknown_rate"] == 0.0
    own, _ = step.apply(tiny)
    assert not same(own, adapted)
    assert same(own, learned_from_text(step, tiny, warm_up=round(0.1 * 12))[0])


def test_an_adapted_encoder_has_learned_and_the_other_stays_as_it_was(tiny):
    before = {name: value.clone() for name, value in tiny.network.state_dict().items()}
    adapted, report = dataclasses.replace(ADAPT, language="swa+yor", updates=30).apply(tiny)
    assert report["loss_curve"][-1] < report["loss_first"] - 0.3 and report["lines"] == 2 * sample.TEXT_LINES
    assert all(torch.equal(value, before[name]) for name, value in tiny.network.state_dict().items())
    assert encoders.shape(adapted) == encoders.shape(tiny) == ADAPT.resize(encoders.shape(tiny))
    assert adapted.network.get_output_embeddings().weight is adapted.network.get_input_embeddings().weight


def test_masks_are_held_in_adaptation(tiny):
    adapted, _ = ADAPT.apply(Prune(0.5).apply(tiny)[0])
    assert adapted.masks
    assert all(not parameter.detach().cpu()[~mask].any() for parameter, mask in adapted.masked_parameters())


def test_what_was_stopped_goes_on_bit_for_bit(tiny, tmp_path):
    undisturbed, expected = ADAPT.apply(tiny)
    with killed_at(7):
        ADAPT.apply(tiny, scratch=tmp_path)
    said = []
    adapted, report = ADAPT.apply(tiny, scratch=tmp_path, say=said.append)
    assert any("going on after update" in line for line in said) and same(adapted, undisturbed)
    assert report["loss_curve"] == expected["loss_curve"] and not list(tmp_path.iterdir())


def test_a_classifier_is_refused(tiny):
    tagger = encoders.with_classifier(tiny, ("O", "B-PER"), seed=1)
    for step in (ADAPT, Pretrain(languages=("swa",), updates=2)):
        with pytest.raises(SmallerError, match=f"{type(step).__name__} needs a masked-language model"):
            step.apply(tagger)


def test_adaptation_reads_back_from_its_form():
    assert step_from_canonical(ADAPT.canonical()) == ADAPT
    assert Adapt("sample", "swa", warm_up=0).canonical() == Adapt("sample", "swa", warm_up=0.0).canonical()
    step = dataclasses.replace(ADAPT, language="swa+yor")
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
def test_bad_values_of_adaptation_are_errors_before_anything_runs(options, message):
    with pytest.raises(SmallerError, match=message):
        dataclasses.replace(ADAPT, **options)
