"""Cost: parameters and bytes by hand, latency by its protocol, sparse kernels with the same outputs."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import unicodedata
import zlib
from types import SimpleNamespace

import pytest
import torch
from foretold import foretold
from torch import Tensor, nn

from smaller import formats
from smaller.data.tasks import bio_labels
from smaller.encoders import Model, linear_weights, with_classifier
from smaller.formats.eager import Half
from smaller.prediction.tagging import classify
from smaller.study import cost
from smaller.study.cost import Setting
from smaller.study.steps import Prune

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


def test_the_bitmap_has_a_bit_for_each_parameter_those_never_pruned_too() -> None:
    """Of 24 weights and 8 biases one weight is left: its value, all biases, and 32 bits, not the 24 of the matrix."""
    found = cost.size(by_hand([[1, 0, 0]] + [[0, 0, 0]] * 7, [1] * 8))
    assert found["parameters"] == 32 and found["nonzero_parameters"] == 9
    assert found["sparse_bytes"] == 9 * 4 + 32 // 8


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


@pytest.mark.parametrize("form", ["fp32", "fp16", "bf16", "dynamic"])
def test_sizes_of_a_form_are_those_of_its_weights_as_held(tagger: Model, form: str) -> None:
    model = formats.convert(tagger, form)
    found, dense = cost.size(model), cost.size(tagger)
    parts = formats.bytes_by_part(model.network)
    assert list(parts) == ["embeddings", "linear", "rest"]
    assert sum(parts.values()) == found["dense_bytes"] == formats.bytes_in_memory(model.network)
    assert found["parameters"] == dense["parameters"]
    held = list(formats.stored(model.network))
    packed = sum(len(zlib.compress(bytes(raw(tensor.values)), level=1)) for tensor in held)
    assert found["compressed_bytes"] == pytest.approx(packed, rel=1e-3)
    zeros = sum(int((tensor.values == 0).sum()) for tensor in held if tensor.parameter)
    assert found["nonzero_parameters"] == found["parameters"] - zeros
    share = {"fp32": 1, "fp16": 0.5, "bf16": 0.5}
    assert form not in share or found["dense_bytes"] == share[form] * dense["dense_bytes"]
    if form == "dynamic":
        before = formats.bytes_by_part(tagger.network)
        assert parts["embeddings"] == before["embeddings"] and parts["rest"] == before["rest"]
        assert parts["linear"] < 0.35 * before["linear"]


def test_what_a_graph_folds_and_the_scales_it_adds_are_counted_as_they_are(tagger: Model) -> None:
    class Folded(Half):
        def stored(self):
            yield formats.Stored("linear", torch.tensor([[0, 7], [5, 0]], dtype=torch.int8))
            yield formats.Stored("linear", torch.zeros(3), parameter=False)

        def parameter_count(self) -> int:
            return 10

    found = cost.size(Model(Folded("folded", tagger.network), tagger.tokenizer))
    assert (found["parameters"], found["nonzero_parameters"]) == (10, 8)  # six are not seen, and none of them is zero
    assert found["dense_bytes"] == found["sparse_bytes"] == 4 + 12  # with the bitmap, sparse would be 2 + 12 + 2


def raw(values: Tensor) -> memoryview:
    return memoryview(values.contiguous().flatten().view(torch.uint8).numpy())


def test_bytes_by_part_by_hand(tagger: Model) -> None:
    hidden, wide, layers, vocabulary, labels = 24, 48, 2, len(tagger.tokenizer), 5
    assert formats.bytes_by_part(tagger.network) == {
        "embeddings": 4 * (vocabulary + 514 + 1) * hidden,
        "linear": 4
        * (layers * (4 * (hidden + 1) * hidden + 2 * hidden * wide + wide + hidden) + (hidden + 1) * labels),
        "rest": 4 * (1 + 2 * layers) * 2 * hidden,
    }


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


def test_peak_memory_is_in_bytes_and_this_process_s_own() -> None:
    ballast = torch.ones(2**27)  # half a gigabyte, which the child does not have
    code = "import sys; from smaller.study import cost; sys.stdout.write(str(cost.peak_memory()))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 2**26 < int(child.stdout) < cost.peak_memory() - 2**28 < 2**40
    assert ballast.sum() == 2**27


def test_settings_are_both_batches_on_one_thread_and_on_all() -> None:
    assert cost.settings(threads=6, gpu=False) == (Setting(1, 1), Setting(8, 1), Setting(1, 6), Setting(8, 6))
    assert cost.settings(threads=6, gpu=True)[4:] == (Setting(1, 1, "cuda"), Setting(8, 1, "cuda"))
    assert len(cost.settings(threads=1, gpu=True)) == 4
    assert len(cost.settings()) in (2, 4, 6)
    assert "batch 8, 6 threads, cpu" in Setting(8, 6).protocol and "one thread, cuda" in Setting(device="cuda").protocol


def test_the_machine_has_a_name_and_cores() -> None:
    assert cost.machine().endswith(f", {cost.cores()} cores") and len(cost.machine()) > len(", 1 cores")


class Clock:
    """Time by the script: every call of a network takes the milliseconds that its name is given."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, []

    def __call__(self) -> float:
        return self.now

    def model(self, name: str, milliseconds: list[float] | float) -> SimpleNamespace:
        script = iter(milliseconds) if isinstance(milliseconds, list) else None

        class Network(nn.Module):
            def forward(_, input_ids: Tensor, attention_mask: Tensor) -> None:
                assert input_ids.shape == attention_mask.shape and not torch.is_grad_enabled()
                self.calls.append((name, tuple(input_ids.shape), torch.get_num_threads()))
                self.now += (next(script) if script else milliseconds) / 1000

        return SimpleNamespace(network=Network(), tokenizer=SimpleNamespace(pad_token_id=1))


def test_latency_by_hand() -> None:
    clock = Clock()
    # Two sentences of one length: a call for the shape, then in each round one that does not count and two that do.
    model = clock.model("one", [99, 99, 1, 2, 99, 5, 7, 99, 3, 3])
    found = cost.latency({"one": model}, {"one": [torch.tensor([0, 2])] * 2}, rounds=3, clock=clock)["one"]
    assert found["total_by_round"] == pytest.approx([3, 12, 6])
    assert found["milliseconds"] == pytest.approx(3)
    assert (found["low"], found["high"], found["rounds"]) == (pytest.approx(1.5), pytest.approx(6), 3)
    assert found["protocol"] == Setting().protocol


def test_latency_times_models_in_turn_and_shapes_before_the_clock_runs() -> None:
    clock = Clock()
    models = {name: clock.model(name, place + 1.0) for place, name in enumerate(("dense", "again", "pruned"))}
    threads = torch.get_num_threads()
    setting = Setting(batch=2, threads=threads + 1)
    rows = [*SENTENCES, SENTENCES[0]]
    timed = cost.latency(models, dict.fromkeys(models, rows), setting=setting, rounds=4, clock=clock)
    assert torch.get_num_threads() == threads
    shapes = [(2, 5), (2, 7), (1, 11)]  # 3 and 3, 4 and 5, 9 pieces, and two special ones each
    assert clock.calls[:9] == [(name, shape, threads + 1) for name in models for shape in shapes]
    turns = [clock.calls[start : start + 4] for start in range(9, len(clock.calls), 4)]
    assert all([shape for _, shape, _ in turn] == [shapes[-1], *shapes] for turn in turns)
    names = [[name for name, *_ in turn] for turn in turns]
    assert all(len(set(turn)) == 1 for turn in names)
    assert [turn[0] for turn in names] == (
        ["dense", "again", "pruned"]
        + ["again", "pruned", "dense"]
        + ["pruned", "dense", "again"]
        + ["dense", "again", "pruned"]
    )
    assert [timed[name]["milliseconds"] for name in models] == pytest.approx(
        [3 / 5, 6 / 5, 9 / 5]
    )  # three calls, five rows


def test_time_end_to_end_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    models = {name: clock.model(name, 1.0) for name in ("one", "two")}
    read: list[tuple[object, list[str], str, int]] = []

    def labels_of_texts(model: object, texts: list[str], *, place: str) -> None:
        name = next(name for name, own in models.items() if own is model)
        read.append((name, list(texts), place, torch.get_num_threads()))
        assert os.environ["TOKENIZERS_PARALLELISM"] == "false"
        clock.now += {"one": 4.0, "two": 5.0}[name] * len(texts) / 1000

    monkeypatch.setattr(cost, "labels_of_texts", labels_of_texts)
    texts, rows = ["three", "five", "nine", "four"], dict.fromkeys(models, SENTENCES)
    found = cost.latency(models, rows, texts=texts, setting=Setting(batch=2), rounds=2, clock=clock)
    for name, each in (("one", 4), ("two", 5)):
        times = [found[name][f"end_to_end_{key}"] for key in ("milliseconds", "low", "high")]
        assert times == pytest.approx([each] * 3)
        assert found[name]["milliseconds"] == pytest.approx(2 * 1 / 4)  # two calls of the network, four sentences
    # By length, as the network has them: all once before the clock runs, then a batch that does not count, and all.
    batches = [["three", "four"], ["five", "nine"]]
    assert [texts for name, texts, *_ in read if name == "one"] == batches + 2 * [batches[1], *batches]
    assert {(place, threads) for _, _, place, threads in read} == {("cpu", 1)}
    assert "end_to_end_milliseconds" not in cost.latency(models, rows, rounds=1)["one"]


@pytest.mark.parametrize("unit", ["word", "text"])
def test_labels_of_texts_are_those_that_the_model_gives(tiny: Model, unit: str) -> None:
    model = foretold(tiny, ("O", "B-LOC"), {"Lagos": "B-LOC", "Ìbàdàn": "B-LOC"}, unit=unit)
    texts = ["Lagos, jana.", unicodedata.normalize("NFD", "Ìbàdàn"), "Rais alifika Lagos"]
    found = cost.labels_of_texts(model, texts)
    if unit == "text":
        assert found == [read.label for read in classify(model, texts)] == ["B-LOC", "B-LOC", "O"]
    else:
        assert found == ["B-LOC", "O", "O", "O", "B-LOC", "O", "O", "B-LOC"]


def test_both_times_in_words() -> None:
    assert cost.in_words(0.25) == "token ids to logits: 0.25 ms for a sentence"
    assert cost.in_words(0.25, 0.4) == "text to labels: 0.40 ms for a sentence, of which the network 0.25 ms"


def test_batches_hold_every_sentence_once_with_its_mask() -> None:
    batches = list(cost.batches_by_length(SENTENCES, size=3, padding=1))
    assert [tuple(batch.pieces.shape) for batch in batches] == [(3, 7), (1, 11)]
    rows = [row[mask] for batch in batches for row, mask in zip(batch.pieces, batch.mask, strict=True)]
    assert [row.tolist() for row in rows] == [row.tolist() for row in sorted(SENTENCES, key=len)]
    assert all((batch.pieces[~batch.mask] == 1).all() for batch in batches)


def test_latency_of_real_models_is_a_time(tagger: Model) -> None:
    models = {"dense": tagger, "dynamic": formats.convert(tagger, "dynamic")}
    texts = ["Lagos " * length for length in (3, 5, 9, 4)]
    for setting in (Setting(), Setting(batch=8)):
        timed = cost.latency(models, dict.fromkeys(models, SENTENCES), texts=texts, setting=setting, rounds=2)
        for found in timed.values():
            low, middle, high = (found[f"end_to_end_{name}"] for name in ("low", "milliseconds", "high"))
            assert 0 < low <= middle <= high < math.inf
            assert 0 < found["low"] <= found["milliseconds"] <= found["high"] < math.inf
            assert found["high"] == pytest.approx(max(found["total_by_round"]) / len(SENTENCES))


def test_latency_gives_the_threads_back_after_an_error(tagger: Model) -> None:
    threads = torch.get_num_threads()
    with pytest.raises(IndexError):
        cost.latency({"dense": tagger}, {"dense": [torch.tensor([10**6])]}, setting=Setting(threads=threads + 1))
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


def test_dense_models_keep_their_kernels(tagger: Model) -> None:
    assert not any(
        isinstance(module, cost.SparseLinear) for module in cost.with_sparse_kernels(tagger).network.modules()
    )
