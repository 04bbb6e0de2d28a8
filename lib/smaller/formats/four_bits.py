"""Weights of an int8 graph in 4 bits in its file: two in a byte, with a scale for each output, or each token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

ZERO, MOST = 8, 7
"""What stands for zero, and how far a weight may be from it: whole numbers from 1 to 15."""

RANGES = np.linspace(1, 0.6, 9)
"""Shares of a row's largest magnitude that may be its range: what is beyond is cut, and the others stand closer."""

PACKED = "_packed"


def rounded(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of weights as whole numbers from 1 to 15, and a scale for each in fp16: weight = scale * (number - 8).

    Of a few ranges each row has the one whose squared error is least.
    """
    rows = rows.astype(np.float32)
    largest = np.abs(rows).max(axis=1, keepdims=True) / MOST
    best = np.full(len(rows), np.inf)
    numbers, scales = np.full(rows.shape, ZERO, np.uint8), np.ones((len(rows), 1), np.float16)
    for share in RANGES:
        scale = (share * largest).astype(np.float16)
        scale[scale == 0] = 1
        whole = np.clip(np.rint(rows / scale.astype(np.float32)), -MOST, MOST)
        error = np.square(whole * scale - rows).sum(axis=1)
        better = error < best
        numbers[better], scales[better], best[better] = (whole[better] + ZERO), scale[better], error[better]
    return numbers, scales


def packed(numbers: np.ndarray) -> np.ndarray:
    """Two numbers in a byte, of an even number of columns: the first half of them in the lower bits."""
    half = numbers.shape[1] // 2
    return numbers[:, :half] | numbers[:, half:] << 4


def in_four_bits(program: Any, weights: Mapping[str, np.ndarray], *, ir: Any) -> None:
    """Change a graph that the quantizer has made of the fp32 `weights`, by the names that they had there.

    Linear weights of shape (inputs, outputs) are unpacked once, when the runtime opens the graph; they are int8 then,
    and run as fast as int8. Of embeddings the tokens of a sentence are unpacked. Types of tokens stay in int8, and so
    does what cannot be halved: a table of an odd width, a product of an odd number of inputs.
    """
    graph = program.graph
    constants = [_constant(graph, name, np.uint8(value), ir=ir) for name, value in (("fifteen", 15), ("four", 4))]
    for name, weight in weights.items():
        quantized = graph.initializers.get(f"{name}_quantized")
        (user,) = quantized.consumers() if quantized is not None and len(quantized.consumers()) == 1 else (None,)
        kind = user and user.op_type
        if kind == "Gather" and len(weight) > 1 and weight.shape[1] % 2 == 0:
            _table(graph, name, weight, user, constants, ir=ir)
        elif kind == "MatMulInteger" and len(weight) % 2 == 0:
            _product(graph, name, weight, user, constants, ir=ir)
        else:
            continue
        del graph.initializers[f"{name}_quantized"]


def _table(graph: Any, name: str, weight: np.ndarray, gather: Any, constants: Sequence, *, ir: Any) -> None:
    """Let the rows that are gathered be unpacked, and have scales of their own."""
    numbers, scales = rounded(weight)
    ids, (dequantize,) = gather.inputs[1], gather.outputs[0].consumers()
    gather.replace_input_with(0, _constant(graph, name + PACKED, packed(numbers), ir=ir))
    unpacked = _unpacking(gather.outputs[0], constants, axis=-1, ir=ir)
    graph.insert_before(dequantize, unpacked)
    dequantize.replace_input_with(0, unpacked[-1].outputs[0])
    graph.initializers[f"{name}_scale"].const_value = ir.tensor(np.array(1, np.float32))
    graph.initializers[f"{name}_zero_point"].const_value = ir.tensor(np.array(ZERO, np.uint8))
    own = ir.node("Gather", [_constant(graph, f"{name}_row_scale", scales, ir=ir), ids])
    cast = ir.node("Cast", own.outputs, {"to": ir.DataType.FLOAT})
    scaled = ir.node("Mul", [dequantize.outputs[0], cast.outputs[0]])
    dequantize.outputs[0].replace_all_uses_with(scaled.outputs[0])
    scaled.replace_input_with(0, dequantize.outputs[0])
    graph.insert_after(dequantize, [own, cast, scaled])


def _product(graph: Any, name: str, weight: np.ndarray, product: Any, constants: Sequence, *, ir: Any) -> None:
    """Let a product's weights be unpacked, and its outputs have scales of their own."""
    numbers, scales = rounded(weight.T)
    held = _constant(graph, name + PACKED, packed(numbers).T.copy(), ir=ir)
    unpacked = _unpacking(held, constants, axis=0, ir=ir)
    unpacked.append(ir.node("Cast", unpacked[-1].outputs, {"to": ir.DataType.INT8}))
    graph.insert_before(product, unpacked)
    product.replace_input_with(1, unpacked[-1].outputs[0])
    graph.initializers[f"{name}_scale"].const_value = ir.tensor(scales[:, 0].astype(np.float32))
    graph.initializers[f"{name}_zero_point"].const_value = ir.tensor(np.array(ZERO, np.int8))


def _unpacking(held: Any, constants: Sequence, *, axis: int, ir: Any) -> list:
    """The nodes that take bytes to the numbers in them; the last one gives these."""
    fifteen, four = constants
    low = ir.node("BitwiseAnd", [held, fifteen])
    high = ir.node("BitShift", [held, four], {"direction": "RIGHT"})
    return [low, high, ir.node("Concat", [low.outputs[0], high.outputs[0]], {"axis": axis})]


def _constant(graph: Any, name: str, values: np.ndarray, *, ir: Any) -> Any:
    """A new initializer of a graph."""
    tensor = ir.tensor(np.asarray(values), name=name)
    made = ir.Value(name=name, const_value=tensor, shape=tensor.shape, type=ir.TensorType(tensor.dtype))
    graph.initializers[name] = made
    return made
