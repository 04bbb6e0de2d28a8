"""Weights in half precision that are made once an update train as those that autocast makes for each product."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
import torch
from pretend_device import pretend_device
from test_training import LABELS, batches, same, weights

from smaller import encoders
from smaller.data import sample
from smaller.data.encoding import encode
from smaller.encoders import Model
from smaller.study import halves, training
from smaller.study.steps.pretraining import masked_batches


@pytest.fixture
def halved(half_precision: Callable[[bool], None]) -> None:
    """Products in bfloat16 also where the processor is slow at them."""
    half_precision(True)


def trained(model: Model, rows: list, loss: Callable, made: Callable = halves.halves_of, **options) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "halves_of", made)
        training.train(model, rows, loss, updates=len(rows), learning_rate=3e-3, seed=5, **options)
    return weights(model)


def autocast_alone(network: torch.nn.Module) -> contextlib.AbstractContextManager:
    return contextlib.nullcontext()


@pytest.mark.parametrize("part", [None, 64], ids=["whole batches", "batches in parts"])
@pytest.mark.parametrize("frozen", [False, True], ids=["all", "a part of the parameters"])
def test_a_tagger_trains_bit_for_bit_as_under_autocast(
    tiny: Model, halved: None, part: int | None, frozen: bool
) -> None:
    tagger = encoders.with_classifier(tiny, LABELS, seed=1)
    tagger.network.base_model.encoder.layer[0].requires_grad_(not frozen)
    rows = batches(encode(sample.sentences("swa", "dev")[:16], tiny.tokenizer, LABELS))
    found, expected = (
        trained(tagger.copy(), rows, training.token_loss, made, part=part)
        for made in (halves.halves_of, autocast_alone)
    )
    assert same(found, expected) and not same(found, weights(tagger))


def test_a_matrix_that_embeds_and_guesses_has_the_gradients_of_both(tiny: Model, halved: None) -> None:
    lines = [torch.tensor(row) for row in tiny.tokenizer(sample.text("swa")[:16])["input_ids"]]
    rows = list(masked_batches(lines, tiny.tokenizer, updates=3, size=8, rate=0.3, seed=3))
    found, expected = (
        trained(tiny.copy(), rows, training.masked_language_loss, made) for made in (halves.halves_of, autocast_alone)
    )
    assert same(found, expected) and not same(found, weights(tiny))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, and nothing to pretend")
def test_queries_keys_and_values_of_one_product_differ_by_their_rounding(tiny: Model) -> None:
    tagger = encoders.with_classifier(tiny, LABELS, seed=1)
    batch = batches(encode(sample.sentences("swa", "dev")[:8], tiny.tokenizer, LABELS))[0]
    found = []
    with pretend_device() as record:
        for together in (True, False):
            model = tagger.copy()
            model.network.to("cuda")
            layers = [module for module in model.network.modules() if type(module) is torch.nn.Linear]
            context = halves.halves_of(model.network) if together else contextlib.nullcontext(halves.Halves(layers, []))
            before = record.launches["addmm"]
            with context as copies:
                with torch.autocast("cuda", dtype=torch.bfloat16):
                    training.token_loss(model.network, batch.to(torch.device("cuda"))).backward()
                copies.collect()
            launched = record.launches["addmm"] - before
            found.append(({name: each.grad for name, each in model.network.named_parameters()}, launched))
    (fused, few), (single, many) = found
    assert many - few == 2 * tagger.network.config.num_hidden_layers
    for name, gradient in fused.items():  # that of a key's bias is nothing but rounding
        assert (gradient - single[name]).norm() <= 0.02 * single[name].norm() + 1e-5, name


def test_layers_are_as_before_afterwards(tiny: Model, halved: None) -> None:
    network = tiny.copy().network
    before = {name: (type(module), set(vars(module))) for name, module in network.named_modules()}
    with contextlib.suppress(ZeroDivisionError), halves.halves_of(network) as copies:
        assert {type(module) for module in network.modules()} >= {halves._Linear} and copies.full
        raise ZeroDivisionError
    assert {name: (type(module), set(vars(module))) for name, module in network.named_modules()} == before
