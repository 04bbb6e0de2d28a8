"""Weights in 4 bits: how they are rounded and packed, and that a graph computes with what was rounded."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from smaller import encoders, formats
from smaller.encoders import Model, embedding_weights, linear_weights
from smaller.formats import four_bits
from smaller.serving.folder import GRAPHS


def test_rows_are_rounded_by_hand():
    rows = np.array([[7.0, -3.4, 0.6, 0.0], [0.0, 0.0, 0.0, 0.0], [-14.0, 14.0, 2.0, -6.0]])
    numbers, scales = four_bits.rounded(rows)
    assert numbers.dtype == np.uint8 and scales.dtype == np.float16 and scales.shape == (3, 1)
    assert numbers.tolist() == [[15, 5, 9, 8], [8, 8, 8, 8], [1, 15, 9, 5]]
    assert scales[[0, 2], 0].tolist() == [1, 2]


def test_a_range_is_taken_that_is_no_worse_than_the_largest_magnitude():
    rows = np.random.default_rng(0).standard_normal((50, 64)).astype(np.float32)
    numbers, scales = four_bits.rounded(rows)
    step = np.abs(rows).max(axis=1, keepdims=True) / 7
    usual = np.square(np.rint(rows / step) * step - rows).sum(axis=1)
    found = np.square((numbers.astype(np.float32) - 8) * scales - rows).sum(axis=1)
    assert (found <= 1.01 * usual).all() and found.sum() < 0.9 * usual.sum()
    assert numbers.min() == 1 and numbers.max() == 15


def test_two_numbers_are_in_a_byte():
    packed = four_bits.packed(np.array([[1, 2, 3, 4], [15, 8, 0, 9]], np.uint8))
    assert packed.tolist() == [[1 + 16 * 3, 2 + 16 * 4], [15, 8 + 16 * 9]]


@pytest.fixture(scope="module")
def tagger(tiny) -> Model:
    model = encoders.with_classifier(tiny, ["O", "B-PER", "I-PER"], seed=1)
    with torch.no_grad():
        model.network.classifier.weight.mul_(20)
    return model


def test_a_graph_computes_with_the_rounded_weights(tagger):
    """Beside a plain network that holds them: what is left is the rounding of activations, as in int8."""
    expected = tagger.copy()
    kept = "embeddings.token_type_embeddings.weight"
    with torch.no_grad():
        held = linear_weights(expected) | embedding_weights(expected) | {"head": expected.network.classifier.weight}
        for name, weight in held.items():
            numbers, scales = four_bits.rounded(weight.numpy())
            if name != kept:
                weight.copy_(torch.from_numpy((numbers.astype(np.float32) - 8) * scales))
    tokens = torch.arange(5, 105).reshape(4, 25)
    mask = torch.ones_like(tokens)
    mask[0, 9:] = 0
    there = mask.bool()
    network = formats.convert(tagger, "onnx-int4").network
    found, exact, before = (
        each(input_ids=tokens, attention_mask=mask).logits.detach()[there]
        for each in (network, expected.network, tagger.network)
    )
    error, changed = (found - exact).abs().mean(), (before - exact).abs().mean()
    assert 0 < error < changed / 5


def test_a_file_has_half_the_bytes_of_int8(tagger, tmp_path):
    sizes = {}
    for form in ("onnx-int8", "onnx-int4"):
        formats.convert(tagger, form).network.write(tmp_path)
        sizes[form] = (tmp_path / GRAPHS[form]).stat().st_size
    weights = sum(weight.numel() for weight in (linear_weights(tagger) | embedding_weights(tagger)).values())
    rows = len(tagger.tokenizer)
    assert sizes["onnx-int8"] - sizes["onnx-int4"] == pytest.approx(weights / 2 - 2 * rows, rel=0.1)


def test_no_product_of_a_graph_can_leave_16_bits(tagger, tmp_path):
    """Where there is no VNNI, two products of 8 bits are added in 16."""
    formats.convert(tagger, "onnx-int8").network.write(tmp_path)
    graph = onnx.load(tmp_path / GRAPHS["onnx-int8"]).graph
    values = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    weights = [values[node.input[1]] for node in graph.node if node.op_type == "MatMulInteger"]
    assert len(weights) == 2 * 6 + 1 and max(np.abs(each.astype(int)).max() for each in weights) * 2 * 255 < 2**15


def test_what_has_an_odd_number_of_columns_stays_in_int8(tiny, tmp_path):
    shape = encoders.Encoder("odd", layers=1, heads=1, hidden=21, feed_forward=48)
    network = encoders.build(encoders.configuration(shape, vocabulary=len(tiny.tokenizer)), seed=1)
    odd = encoders.with_classifier(Model(network, tiny.tokenizer), ["O", "B-PER"], seed=1)
    tokens = torch.arange(5, 30)[None]
    found = formats.convert(odd, "onnx-int4").network
    found.write(tmp_path)
    names = [each.name for each in onnx.load(tmp_path / GRAPHS["onnx-int4"]).graph.initializer]
    assert any(name.endswith("word_embeddings.weight_quantized") for name in names)
    assert sum(name.endswith("_packed") for name in names) == 1, "the second product of a layer has 48 inputs"
    exact, close = (each(input_ids=tokens).logits.detach() for each in (odd.network, found))
    assert (exact - close).abs().max() < 0.3 * exact.abs().max()
