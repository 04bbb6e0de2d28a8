"""Weights of an int8 graph in 4 bits in its file: two in a byte, with a scale for each output, or each token."""

from __future__ import annotations

from collections.abc import Mapping
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
    does what has an odd number of columns.
    """
    graph = program.graph
    constants = {
        name: graph_constant(graph, name, np.array(value, np.uint8), ir=ir)
        for name, value in (("fifteen", 15), ("four", 4))
    }
    for name, weight in weights.items():
        old = graph.initializers.get(f"{name}_quantized")
        users = {node.op_type for node in old.consumers()} if old is not None else set()
        (user,) = old.consumers() if users and len(old.consumers()) == 1 else (None,)
        if user is None or len(weight) < 2 or weight.shape[users == {"Gather"}] % 2:
            continue
        scale, zero = (graph.initializers[f"{name}{end}"] for end in ("_scale", "_zero_point"))
        if user.op_type == "Gather":
            numbers, scales = rounded(weight)
            ids, (dequantize,) = user.inputs[1], user.outputs[0].consumers()
            user.replace_input_with(0, graph_constant(graph, name + PACKED, packed(numbers), ir=ir))
            new = unpacking(user.outputs[0], constants, axis=-1, ir=ir)
            graph.insert_before(dequantize, new)
            dequantize.replace_input_with(0, new[-1].outputs[0])
            scale.const_value, zero.const_value = (
                ir.tensor(np.array(value, kind)) for value, kind in ((1, "f4"), (ZERO, "u1"))
            )
            own = ir.node("Gather", [graph_constant(graph, f"{name}_row_scale", scales, ir=ir), ids])
            cast = ir.node("Cast", own.outputs, {"to": ir.DataType.FLOAT})
            scaled = ir.node("Mul", [dequantize.outputs[0], cast.outputs[0]])
            dequantize.outputs[0].replace_all_uses_with(scaled.outputs[0])
            scaled.replace_input_with(0, dequantize.outputs[0])
            graph.insert_after(dequantize, [own, cast, scaled])
        elif user.op_type == "MatMulInteger":
            numbers, scales = rounded(weight.T)
            held = graph_constant(graph, name + PACKED, packed(numbers).T.copy(), ir=ir)
            new = unpacking(held, constants, axis=0, ir=ir)
            new.append(ir.node("Cast", new[-1].outputs, {"to": ir.DataType.INT8}))
            graph.insert_before(user, new)
            user.replace_input_with(1, new[-1].outputs[0])
            scale.const_value = ir.tensor(scales[:, 0].astype(np.float32))
            zero.const_value = ir.tensor(np.array(ZERO, np.int8))
        else:
            continue
        del graph.initializers[f"{name}_quantized"]


def unpacking(held: Any, constants: Mapping[str, Any], *, axis: int, ir: Any) -> list:
    """The nodes that take bytes to the numbers in them; the last one gives these."""
    low = ir.node("BitwiseAnd", [held, constants["fifteen"]])
    high = ir.node("BitShift", [held, constants["four"]], {"direction": "RIGHT"})
    return [low, high, ir.node("Concat", [low.outputs[0], high.outputs[0]], {"axis": axis})]


def graph_constant(graph: Any, name: str, values: np.ndarray, *, ir: Any) -> Any:
    """A new initializer of a graph."""
    tensor = ir.tensor(values, name=name)
    graph.initializers[name] = ir.Value(
        name=name, const_value=tensor, shape=tensor.shape, type=ir.TensorType(tensor.dtype)
    )
    return graph.initializers[name]
