"""Cost: parameters and bytes by hand, latency by its protocol, sparse kernels with the same outputs."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from smaller import cost
from smaller.data.encoding import bio_labels
from smaller.encoders import Model, linear_weights, with_classifier
from smaller.steps import Prune

SENTENCES = [torch.tensor([0, *range(5, 5 + length), 2]) for length in (3, 5, 9, 4)]


@pytest.fixture
def tagger(tiny: Model) -> Model:
    return with_classifier(tiny, bio_labels(("PER", "LOC")), seed=1)


def by_hand(weights: list[list[float]], bias: list[float]) -> SimpleNamespace:
    network = nn.Linear(len(weights[0]), len(weights))
    with torch.no_grad():
        network.weight.copy_(torch.tensor(weights))
        network.bias.copy_(torch.tensor(bias))
    return SimpleNamespace(network=network)


def test_sizes_by_hand() -> None:
    # 3 x 4 weights and 3 biases: 15 parameters, of which 4 + 1 are not zero.
    found = cost.size(by_hand([[1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 3, -4]], [0, 0, 5]))
    assert found["parameters"] == 15
    assert found["nonzero_parameters"] == 5
    assert found["dense_bytes"] == 15 * 4
    assert found["sparse_bytes"] == 5 * 4 + 2  # and a bitmap of 15 bits, in whole bytes
    assert 0 < found["compressed_bytes"] < 60 + 2 * 12


def test_sparse_form_never_counts_more_than_the_dense_one() -> None:
    assert cost.size(by_hand([[1, 2], [3, 4]], [5, 6]))["sparse_bytes"] == 6 * 4


def test_parameters_of_the_tiny_model_by_hand(tiny: Model) -> None:
    hidden, wide, layers, vocabulary = 24, 48, 2, len(tiny.tokenizer)
    norm = 2 * hidden
    embeddings = (vocabulary + 514 + 1) * hidden + norm
    layer = 4 * (hidden * hidden + hidden) + norm + 2 * hidden * wide + wide + hidden + norm
    head = hidden * hidden + hidden + norm + vocabulary  # its table is that of the embeddings, and counts once
    found = cost.size(tiny)
    assert found["parameters"] == embeddings + layers * layer + head
    assert found["dense_bytes"] == 4 * found["parameters"]


def test_compressed_bytes_fall_with_sparsity(tiny: Model) -> None:
    sizes = [cost.size(Prune(sparsity, include="linear+embeddings").apply(tiny)[0]) for sparsity in (0, 0.5, 0.9, 0.95)]
    for name in ("nonzero_parameters", "compressed_bytes"):
        values = [size[name] for size in sizes]
        assert values == sorted(values, reverse=True) and len(set(values)) == 4
    assert len({size["dense_bytes"] for size in sizes}) == len({size["parameters"] for size in sizes}) == 1
    assert sizes[-1]["compressed_bytes"] < 0.25 * sizes[0]["compressed_bytes"]


def test_compressed_bytes_do_not_depend_on_the_chunk() -> None:
    values = torch.arange(10_000, dtype=torch.float32).reshape(100, 100)
    assert cost.compressed_bytes(values, chunk=777) == cost.compressed_bytes(values)
    assert cost.compressed_bytes(values.t()) != cost.compressed_bytes(values)  # in the order of the tensor's values


def test_peak_memory_is_in_bytes() -> None:
    assert 2**26 < cost.peak_memory() < 2**40


def test_latency_times_all_models_in_turn(tagger: Model) -> None:
    calls: list[str] = []
    models = {"dense": tagger, "again": tagger.copy(), "pruned": Prune(0.9).apply(tagger)[0]}
    for name, model in models.items():
        model.network.register_forward_pre_hook(lambda *_, name=name: calls.append(name))
    threads = torch.get_num_threads()
    timed = cost.latency(models, SENTENCES, rounds=4)
    assert torch.get_num_threads() == threads
    timed_calls = calls[3 * 3 :]  # three of each before the clock runs
    rounds = [timed_calls[start : start + 12 : 4] for start in range(0, len(timed_calls), 12)]
    assert rounds == [
        ["dense", "again", "pruned"],
        ["again", "pruned", "dense"],
        ["pruned", "dense", "again"],
        ["dense", "again", "pruned"],
    ]
    for found in timed.values():
        assert 0 < found["low"] <= found["milliseconds"] <= found["high"] < math.inf
        assert found["rounds"] == len(found["total_by_round"]) == 4
        assert found["high"] == pytest.approx(max(found["total_by_round"]) / len(SENTENCES))
    assert cost.noise_floor(timed["dense"], timed["again"]) >= 0


def test_latency_gives_the_threads_back_after_an_error(tagger: Model) -> None:
    threads = torch.get_num_threads()
    with pytest.raises(IndexError):
        cost.latency({"dense": tagger}, [torch.tensor([10**6])], threads=threads + 1)
    assert torch.get_num_threads() == threads


def test_noise_floor_by_hand() -> None:
    first, second = {"total_by_round": [10.0, 10.0, 12.0]}, {"total_by_round": [10.0, 11.0, 8.0]}
    assert cost.noise_floor(first, second) == pytest.approx(0.5)  # 12 against 8, by the shorter
    assert cost.noise_floor(second, first) == cost.noise_floor(first, second)
    assert cost.noise_floor(first, first) == 0


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_sparse_kernels_give_the_dense_outputs(tagger: Model, scope: str) -> None:
    pruned, _ = Prune(0.9, scope=scope).apply(tagger)
    sparse = cost.with_sparse_kernels(pruned)
    swapped = [module for module in sparse.network.modules() if isinstance(module, cost.SparseLinear)]
    assert len(swapped) == len(linear_weights(pruned)) == 12
    assert not any(isinstance(module, cost.SparseLinear) for module in pruned.network.modules())
    assert sum(module.weight.values().numel() for module in swapped) == sum(int(m.sum()) for m in pruned.masks.values())
    batch = torch.stack([SENTENCES[0], SENTENCES[0].flip(0)])
    with torch.inference_mode():
        torch.testing.assert_close(sparse.network(batch).logits, pruned.network(batch).logits, rtol=1e-4, atol=1e-5)
    timed = cost.latency({"dense": pruned, "sparse": sparse}, SENTENCES, rounds=2)
    assert all(math.isfinite(found["milliseconds"]) for found in timed.values())


def test_dense_models_keep_their_kernels(tagger: Model) -> None:
    assert not any(
        isinstance(module, cost.SparseLinear) for module in cost.with_sparse_kernels(tagger).network.modules()
    )
