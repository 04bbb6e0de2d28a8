"""Feed-forward pruning: importance against loops by hand, a function that only the dropped neurons change."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForMaskedLM, BertConfig

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import sample
from smaller.data.encoding import IGNORED
from smaller.encoders import Model
from smaller.encoders.device import device, placed
from smaller.study.steps import FineTune, Prune, PruneFeedForward, step_from_canonical
from smaller.study.steps.feedforward import gradient_importance, magnitudes, with_neurons
from smaller.study.steps.importance import importance_batches

STEP = PruneFeedForward(20, corpus="sample", languages=("swa", "yor"), lines=30)
TOKENS = torch.tensor([[0, 15, 27, 400, 9, 2], [0, 33, 8, 2, 1, 1]])
MASK = TOKENS != 1


@pytest.fixture(scope="module", params=["xlm-roberta", "bert"])
def whole(tiny: Model, request: pytest.FixtureRequest) -> Model:
    """Large initial weights, so that every neuron says something."""
    if request.param == "xlm-roberta":
        config = copy.deepcopy(tiny.network.config)
        config.initializer_range = 0.2
    else:
        config = BertConfig(
            vocab_size=len(tiny.tokenizer),
            hidden_size=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=48,
            pad_token_id=1,
            initializer_range=0.2,
        )
    model = Model(encoders.build(config, seed=6), tiny.tokenizer)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in model.backbone.encoder.layer:  # biases begin as zeros, which would hide their part
            layer.intermediate.dense.bias.normal_(std=0.3, generator=generator)
    return model


@torch.no_grad()
def logits(network: torch.nn.Module) -> torch.Tensor:
    return network(input_ids=TOKENS, attention_mask=MASK).logits[MASK]


def test_gradient_importance_against_a_loop_by_hand(whole: Model) -> None:
    """One neuron at a time, from the gradients of the plain loss with the model's own labels argument."""
    batches = list(importance_batches(STEP, whole))
    assert sum(len(batch.rows) for batch in batches) == 60 and all(len(batch.rows) <= 8 for batch in batches)
    found = gradient_importance(placed(copy.deepcopy(whole.network)), [batch.to(device()) for batch in batches])
    network = copy.deepcopy(whole.network)
    expected = torch.zeros(2, 48)
    for batch in batches:
        network.zero_grad()
        output = network(input_ids=batch.pieces, attention_mask=batch.mask).logits
        counts = batch.labels != IGNORED
        functional.cross_entropy(output[counts], batch.labels[counts]).backward()
        for place, layer in enumerate(network.base_model.encoder.layer):
            dense = layer.intermediate.dense
            for neuron in range(48):
                weight = (dense.weight[neuron] * dense.weight.grad[neuron]).sum()
                expected[place, neuron] += abs(weight + dense.bias[neuron] * dense.bias.grad[neuron]).item()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
    smaller, report = STEP.apply(whole)
    for place, layer in enumerate(smaller.backbone.encoder.layer):
        best = sorted(sorted(range(48), key=lambda neuron, own=expected[place]: -own[neuron])[:20])
        old = whole.backbone.encoder.layer[place]
        assert torch.equal(layer.intermediate.dense.weight, old.intermediate.dense.weight[best])
        assert torch.equal(layer.output.dense.weight, old.output.dense.weight[:, best])
        share = expected[place][best].sum() / expected[place].sum()
        assert report["importance_kept"][place] == pytest.approx(share.item(), abs=1e-3)


def test_magnitudes_by_hand(whole: Model) -> None:
    layer = whole.backbone.encoder.layer[1]
    incoming, outgoing = layer.intermediate.dense.weight[7], layer.output.dense.weight[:, 7]
    expected = incoming.square().sum().sqrt() * outgoing.square().sum().sqrt()
    torch.testing.assert_close(magnitudes(whole)[1][7], expected.detach())


def test_what_is_dropped_is_what_those_neurons_said(whole: Model) -> None:
    """The reference is the whole model with the outgoing weights of the other neurons at zero."""
    kept = [torch.tensor([1, 4, 7, 30, 47]), torch.tensor([0, 2, 20, 21, 22])]
    reference = copy.deepcopy(whole.network)
    with torch.no_grad():
        for layer, rows in zip(reference.base_model.encoder.layer, kept, strict=True):
            dropped = torch.ones(48, dtype=torch.bool)
            dropped[rows] = False
            layer.output.dense.weight[:, dropped] = 0.0
    smaller = with_neurons(whole, kept)
    torch.testing.assert_close(logits(smaller.network), logits(reference), rtol=1e-5, atol=1e-5)
    assert not torch.allclose(logits(smaller.network), logits(whole.network), atol=1e-2)


def test_all_neurons_are_the_same_model(whole: Model) -> None:
    same, report = PruneFeedForward(48, importance="magnitude").apply(whole)
    assert torch.equal(logits(same.network), logits(whole.network)) and report["importance_kept"] == [1.0, 1.0]


def test_sizes_and_the_control(whole: Model) -> None:
    one, report = PruneFeedForward(20, importance="random", seed=1).apply(whole)
    again, _ = PruneFeedForward(20, importance="random", seed=1).apply(whole)
    other, _ = PruneFeedForward(20, importance="random", seed=2).apply(whole)
    assert torch.equal(logits(one.network), logits(again.network))
    assert not torch.equal(logits(one.network), logits(other.network))
    assert report["parameters_before"] - report["parameters_after"] == 2 * 28 * (2 * 24 + 1)
    assert encoders.shape(one) == STEP.resize(encoders.shape(whole))


def test_saved_and_opened_again(whole: Model, tmp_path) -> None:
    smaller, _ = STEP.apply(whole)
    encoders.save(smaller, tmp_path)
    assert torch.equal(logits(encoders.open_folder(tmp_path).network), logits(smaller.network))
    plain = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    assert torch.equal(logits(plain), logits(smaller.network)) and plain.config.intermediate_size == 20


def test_masks_go_with_their_neurons_and_are_held(whole: Model) -> None:
    pruned, _ = Prune(0.5, include="linear+embeddings").apply(whole)
    smaller, _ = PruneFeedForward(20, importance="magnitude").apply(pruned)
    assert smaller.masks.keys() == pruned.masks.keys()
    tuned, _ = FineTune("sample", "swa", epochs=1, batch_size=1500).apply(smaller)
    for model in (smaller, tuned):
        for parameter, mask in model.masked_parameters():
            assert parameter.shape == mask.shape and not parameter.detach().cpu()[~mask].any()


def test_the_model_that_comes_in_and_the_random_state_are_left_unchanged(whole: Model) -> None:
    before = {name: value.clone() for name, value in whole.network.state_dict().items()}
    state, config = torch.get_rng_state(), whole.network.config.to_dict()
    smaller, _ = STEP.apply(whole)
    with torch.no_grad():
        for parameter in smaller.network.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(value, before[name]) for name, value in whole.network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state) and whole.network.config.to_dict() == config


def test_a_tagger_is_pruned_by_magnitude_and_not_by_gradients(whole: Model) -> None:
    tagger = encoders.with_classifier(whole, ("O", "B-PER", "I-PER"), seed=1)
    smaller, _ = PruneFeedForward(20, importance="magnitude").apply(tagger)
    assert smaller.labels == tagger.labels and smaller.network.config.intermediate_size == 20
    with pytest.raises(SmallerError, match="PruneFeedForward needs a masked-language model"):
        STEP.apply(tagger)


def test_what_cannot_be_done_is_said(whole: Model) -> None:
    with pytest.raises(SmallerError, match="have 48 neurons, so 49 cannot be kept"):
        PruneFeedForward(49, importance="magnitude").apply(whole)


def test_what_the_step_says_of_itself() -> None:
    assert STEP.label == "PruneFeedForward(20)" and STEP.columns() == {"method": "gradient"} and not STEP.trains
    assert PruneFeedForward(9, importance="random").label == "PruneFeedForward(9, random)"
    assert STEP.inputs() == {f"sample/{code}/text": sample.fingerprint(code) for code in ("swa", "yor")}
    assert step_from_canonical(STEP.canonical() | {"languages": ["swa", "yor"]}) == STEP


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "PruneFeedForward's size is a whole number above zero; it is 0"),
        ({"size": "20"}, "it is '20'"),
        ({"importance": "gradients"}, r"one of gradient, magnitude, random.*Did you mean 'gradient'\?"),
        ({"corpus": ""}, "needs a corpus: the text on which the gradients are taken"),
        ({"languages": ()}, "languages is a list of at least one language"),
        ({"languages": ("yro",)}, r"Did you mean 'yor'\?"),
        ({"importance": "random"}, r"PruneFeedForward\(importance='random'\) reads no text"),
        ({"lines": 0}, "lines is a whole number above zero"),
        ({"seed": -1}, "seed is a whole number"),
    ],
)
def test_bad_values_are_errors_before_anything_runs(options: dict, message: str) -> None:
    with pytest.raises(SmallerError, match=message):
        dataclasses.replace(STEP, **options)
