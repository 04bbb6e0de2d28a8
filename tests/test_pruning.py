"""Pruning: the masks of `torch.nn.utils.prune`, on the weights that were asked for and no others."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data.tasks import bio_labels
from smaller.encoders import Model
from smaller.study.steps import Prune
from smaller.study.steps.pruning import kept

SPARSITIES = (0.0, 0.1, 0.5, 0.6, 0.95, 1.0)


def modules(network: nn.Module, include: str) -> dict[str, nn.Module]:
    """The modules in scope by name, found without the library's help."""
    kinds = (nn.Linear, nn.Embedding) if "embeddings" in include else (nn.Linear,)
    return {
        name: module
        for name, module in network.base_model.named_modules()
        if isinstance(module, kinds) and name.startswith(("encoder.", "embeddings."))
    }


def sparsity_of(model: Model) -> dict[str, float]:
    return {
        name: (model.backbone.get_parameter(name) == 0).float().mean().item() for name in encoders.linear_weights(model)
    }


@pytest.mark.parametrize("sparsity", SPARSITIES)
@pytest.mark.parametrize("include", ["linear", "linear+embeddings"])
def test_global_masks_are_those_of_torch(tiny, sparsity, include):
    pruned, _ = Prune(sparsity, include=include).apply(tiny)
    network = copy.deepcopy(tiny.network)
    scope = modules(network, include)
    with torch.no_grad():  # equal magnitudes, such as the zeros of the padding row, may fall either way
        zeros = {name: module.weight == 0 for name, module in scope.items()}
    prune.global_unstructured([(module, "weight") for module in scope.values()], prune.L1Unstructured, amount=sparsity)
    assert pruned.masks.keys() == {f"{name}.weight" for name in scope}
    for name, module in scope.items():
        same = pruned.masks[f"{name}.weight"] == module.weight_mask.bool()
        assert bool((same | zeros[name]).all()), name
    total = [
        sum(int(mask.sum()) for mask in masks)
        for masks in (pruned.masks.values(), (module.weight_mask for module in scope.values()))
    ]
    assert total[0] == total[1]


@pytest.mark.parametrize("sparsity", SPARSITIES)
def test_layer_wise_masks_are_those_of_torch(tiny, sparsity):
    pruned, report = Prune(sparsity, scope="layer").apply(tiny)
    for name, module in modules(copy.deepcopy(tiny.network), "linear").items():
        prune.l1_unstructured(module, "weight", amount=sparsity)
        assert torch.equal(pruned.masks[f"{name}.weight"], module.weight_mask.bool()), name
        size = module.weight.numel()
        assert report["sparsity_by_tensor"][f"{name}.weight"] == pytest.approx(round(sparsity * size) / size, abs=1e-6)


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_ties_are_cut_at_the_exact_count(sparsity):
    scores = torch.tensor([3.0, 1.0, 1.0, 0.0, 1.0, 2.0, 1.0, 1.0])
    mask = kept(scores, sparsity)
    removed = round(sparsity * 8)
    assert int((~mask).sum()) == removed
    assert removed == 0 or removed == 8 or scores[~mask].max() <= scores[mask].min()
    assert torch.equal(mask, kept(scores, sparsity))


def test_of_equal_weights_the_first_go_first():
    assert kept(torch.tensor([1.0, 0.0, 1.0, 1.0]), 0.5).tolist() == [False, False, True, True]


def test_pruned_weights_are_zero_and_the_others_as_they_were(tiny):
    pruned, _ = Prune(0.6).apply(tiny)
    for name, mask in pruned.masks.items():
        before, after = tiny.backbone.get_parameter(name), pruned.backbone.get_parameter(name)
        assert torch.equal(after, before * mask)


@pytest.mark.parametrize("method", ["magnitude", "random"])
def test_the_model_that_comes_in_is_left_unchanged(tiny, method):
    before = {name: value.clone() for name, value in tiny.network.state_dict().items()}
    state = torch.get_rng_state()
    Prune(0.9, include="linear+embeddings", method=method).apply(tiny)
    assert all(torch.equal(value, before[name]) for name, value in tiny.network.state_dict().items())
    assert tiny.masks == {} and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("include", ["linear", "linear+embeddings"])
def test_biases_norms_and_heads_are_never_pruned(tiny, include):
    tagger = encoders.with_classifier(tiny, bio_labels(("PER",)), seed=1)
    pruned, _ = Prune(1.0, include=include).apply(tagger)
    touched = {f"roberta.{name}" for name in pruned.masks}
    assert all(name.endswith(".weight") and "LayerNorm" not in name for name in touched)
    assert ("roberta.embeddings.word_embeddings.weight" in touched) == (include == "linear+embeddings")
    before = dict(tagger.network.named_parameters())
    for name, value in pruned.network.named_parameters():
        assert bool(value.any()) == bool(before[name].any() and name not in touched), name
    assert torch.equal(pruned.network.classifier.weight, tagger.network.classifier.weight)


def test_random_masks_are_a_control_decided_by_the_seed(tiny):
    def masks(**options):
        return Prune(0.5, method="random", **options).apply(tiny)[0].masks

    def equal(one, other):
        return all(torch.equal(one[name], other[name]) for name in one)

    assert equal(masks(seed=1), masks(seed=1))
    assert not equal(masks(seed=1), masks(seed=2))
    assert not equal(masks(seed=1), Prune(0.5).apply(tiny)[0].masks)
    counts = [sum(int((~mask).sum()) for mask in made.values()) for made in (masks(), Prune(0.5).apply(tiny)[0].masks)]
    assert counts[0] == counts[1]


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("method", ["magnitude", "random"])
def test_pruning_further_keeps_what_was_pruned(tiny, scope, method):
    once, _ = Prune(0.5).apply(tiny)
    twice, report = Prune(0.8, scope=scope, method=method, seed=3).apply(once)
    for name, mask in once.masks.items():
        assert not (twice.masks[name] & ~mask).any(), name
    # A layer that was pruned further than its share stays as it is.
    assert report["achieved_sparsity"] >= 0.8 - 1e-3
    if scope == "global":
        assert report["achieved_sparsity"] == pytest.approx(0.8, abs=1e-4)
    if method == "magnitude" and scope == "global":
        assert all(torch.equal(twice.masks[name], mask) for name, mask in Prune(0.8).apply(tiny)[0].masks.items())


@pytest.mark.parametrize("scope", ["global", "layer"])
@pytest.mark.parametrize("sparsity", [0.0, 0.3])
def test_pruning_less_brings_nothing_back(tiny, scope, sparsity):
    once, before = Prune(0.6).apply(tiny)
    again, report = Prune(sparsity, scope=scope).apply(once)
    for name, mask in once.masks.items():
        assert not (again.masks[name] & ~mask).any(), name
    assert report["achieved_sparsity"] >= before["achieved_sparsity"]


def test_pruning_the_linear_weights_keeps_masks_of_the_embeddings(tiny):
    once, _ = Prune(0.6, include="linear+embeddings").apply(tiny)
    twice, _ = Prune(0.9).apply(once)
    name = "embeddings.word_embeddings.weight"
    assert torch.equal(twice.masks[name], once.masks[name])


def test_a_tied_head_is_pruned_with_its_embedding(tiny):
    pruned, report = Prune(0.5, include="linear+embeddings").apply(tiny)
    table = pruned.network.get_input_embeddings().weight
    assert pruned.network.get_output_embeddings().weight is table
    assert report["parameters_after"] == report["parameters_before"] == encoders.parameter_count(tiny.network)


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_the_report_says_what_was_achieved(tiny, scope):
    pruned, report = Prune(0.6, scope=scope).apply(tiny)
    assert report["touched"] == list(encoders.linear_weights(tiny))
    assert report["prunable_parameters"] == sum(weight.numel() for weight in encoders.linear_weights(tiny).values())
    assert report["achieved_sparsity"] == pytest.approx(0.6, abs=1e-3)
    assert report["sparsity_by_tensor"] == pytest.approx(sparsity_of(pruned), abs=1e-6)
    spread = max(report["sparsity_by_tensor"].values()) - min(report["sparsity_by_tensor"].values())
    assert (spread > 0.005) == (scope == "global")


@pytest.mark.parametrize("sparsity", [1.5, -0.1, "0.5", True, None, float("nan")])
def test_a_sparsity_outside_0_to_1_is_an_error(sparsity):
    with pytest.raises(SmallerError, match="a number from 0 to 1"):
        Prune(sparsity)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scope": "globl"}, r"scope is one of global, layer; it is 'globl'\. Did you mean 'global'\?"),
        ({"include": "embeddings"}, r"Did you mean 'linear\+embeddings'\?"),
        ({"method": "magnitud"}, r"Did you mean 'magnitude'\?"),
        ({"method": None}, "method is one of"),
        ({"seed": -1}, "seed is a whole number"),
        ({"seed": 1.5}, "seed is a whole number"),
    ],
)
def test_unknown_choices_are_errors_with_a_suggestion(options, message):
    with pytest.raises(SmallerError, match=message):
        Prune(0.5, **options)


def test_equal_sparsities_are_one_step():
    assert Prune(0) == Prune(0.0) and Prune(0).canonical() == Prune(0.0).canonical()
    assert Prune(1).canonical()["sparsity"] == 1.0
