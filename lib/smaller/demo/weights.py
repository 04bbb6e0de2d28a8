"""The weights of a quantized graph in the order in which the page's own network reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx

REFUSED = "the page runs encoders of XLM-R's and BERT's kind with weights in int8, and this graph is another one"


class OtherGraph(Exception):
    """A graph that the page's network cannot run; says what is different."""


@dataclass
class Packed:
    """Weights one after another: floats (scales, zero points, biases, norms) and bytes (whole numbers of 8 bits)."""

    floats: list[np.ndarray] = field(default_factory=list)
    bytes: list[np.ndarray] = field(default_factory=list)

    def blobs(self) -> tuple[bytes, bytes]:
        """Floats, little-endian in 32 bits, and whole numbers."""
        return np.concatenate(self.floats).astype("<f4").tobytes(), b"".join(each.tobytes() for each in self.bytes)


def packed(model: onnx.ModelProto, config: Mapping) -> tuple[dict, Packed]:
    """The shape of the network, as network.js takes it, and its weights. Raises `OtherGraph`.

    A graph names its tensors anew and merges equal ones, so that each is found by what is computed with it.
    """
    graph = _Graph(model)
    graph.require(config)
    to = Packed()
    shape = {
        "hidden": config["hidden_size"],
        "headWidth": config["hidden_size"] // config["num_attention_heads"],
        "epsilon": graph.nodes["LayerNormalization"][0].attributes["epsilon"],
        "padding": -1 if config["model_type"] == "bert" else config["pad_token_id"],
    }
    norms = graph.nodes["LayerNormalization"]
    linears = graph.nodes["MatMulInteger"]
    shape["tables"] = [graph.table(name, to) for name in ("word", "token_type", "position")]
    graph.norm(norms[0], to)
    layers = []
    for number, softmax in enumerate(graph.nodes["Softmax"]):
        own = linears[6 * number : 6 * number + 6]
        query, key, value = graph.attended(softmax)
        rest = [node for node in own if node not in (query, key, value)]
        if len(rest) != 3:
            raise OtherGraph(f"{REFUSED} (layer {number})")
        output, up, down = rest
        shapes = [graph.linear(node, to) for node in (query, key, value, output)]
        graph.norm(norms[1 + 2 * number], to)
        shapes += [graph.linear(node, to) for node in (up, down)]
        graph.norm(norms[2 + 2 * number], to)
        layers.append(shapes)
    head = linears[6 * len(layers) :]
    return shape | {"layers": layers, "head": [graph.linear(node, to) for node in head]}, to


@dataclass(eq=False)
class _Node:
    kind: str
    inputs: list[str]
    output: str
    attributes: dict


class _Graph:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.values = {tensor.name: tensor for tensor in model.graph.initializer}
        self.made: dict[str, _Node] = {}
        self.users: dict[str, list[_Node]] = {}
        self.nodes: dict[str, list[_Node]] = {}
        for node in model.graph.node:
            attributes = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
            own = _Node(node.op_type, list(node.input), node.output[0], attributes)
            self.nodes.setdefault(own.kind, []).append(own)
            self.made |= dict.fromkeys(node.output, own)
            for name in node.input:
                self.users.setdefault(name, []).append(own)

    def require(self, config: Mapping) -> None:
        """Raise `OtherGraph` unless the operations are those of the encoder that the configuration speaks of."""
        layers = config["num_hidden_layers"]
        found = Counter({kind: len(nodes) for kind, nodes in self.nodes.items()})
        texts = found["Tanh"]
        wanted = {
            "MatMulInteger": 6 * layers + 1 + texts,
            "MatMul": 2 * layers,
            "Softmax": layers,
            "Gelu": layers,
            "LayerNormalization": 2 * layers + 1,
            "Tanh": texts,
        }
        if "MatMulInteger" not in found:
            raise OtherGraph("its weights are not in int8")
        if texts > 1 or any(found[kind] != count for kind, count in wanted.items()):
            told = ", ".join(
                f"{found[kind]} {kind} for {count}" for kind, count in wanted.items() if found[kind] != count
            )
            raise OtherGraph(f"{REFUSED} ({told})")
        if any(node.attributes.get("approximate", b"none") != b"none" for node in self.nodes["Gelu"]):
            raise OtherGraph(f"{REFUSED} (another GELU)")

    def value(self, name: str) -> np.ndarray:
        return onnx.numpy_helper.to_array(self.values[name])

    def held(self, name: str, scale: str, zero: str, to: Packed) -> list:
        """Put what stands for zero, the scale or scales, and whole numbers; returns shape, and how they are held."""
        base = scale.removesuffix("_scale")
        packed, of_rows = f"{base}_packed", f"{base}_row_scale"
        four, each_row = packed in self.values, of_rows in self.values
        weights, point = self.value(packed if four else name), self.value(zero)
        scales = self.value(of_rows if each_row else scale).astype(np.float32).ravel()
        rows, width = weights.shape if weights.ndim == 2 else (0, 0)
        shape = [rows * (1 + (four and not each_row)), width * (1 + each_row)]
        if weights.dtype not in (np.int8, np.uint8) or not rows or point.size != 1 or len(scales) not in (1, *shape):
            raise OtherGraph(f"{REFUSED} ({name} has {weights.dtype} in {weights.ndim} dimensions, or other scales)")
        to.floats += [np.array([point.item()], np.float32), scales]
        to.bytes.append(weights)
        return [*shape, {"signed": weights.dtype == np.int8, "four": four}]

    def table(self, name: str, to: Packed) -> list:
        """Put the embeddings of a kind: rows, width, how they are held."""
        ends = f"{name}_embeddings.weight_"
        found = next((n for n in self.nodes.get("DequantizeLinear", ()) if ends in n.inputs[1]), None)
        if found is None:
            raise OtherGraph(f"{REFUSED} (no {name} embeddings in int8)")
        quantized = self.made[found.inputs[0]].inputs[0] if found.inputs[0] in self.made else found.inputs[0]
        return self.held(quantized, *found.inputs[1:3], to)

    def linear(self, node: _Node, to: Packed) -> list:
        """Put a product's bias and weights: inputs, outputs, how these are held."""
        scaled = self._after(self._after(node, "Cast"), "Mul")
        scales = next(self.made[name] for name in scaled.inputs if self.made[name].kind == "Mul")
        scale = next(name for name in scales.inputs if name in self.values)
        bias = None
        for user in self.users.get(scaled.output, ()):
            if user.kind == "Add" and (names := [name for name in user.inputs if name in self.values]):
                bias = self.value(names[0])
        place = len(to.floats)
        found = self.held(node.inputs[1], scale, node.inputs[3], to)
        to.floats.insert(place, np.zeros(found[1], np.float32) if bias is None else bias)
        return found

    def norm(self, node: _Node, to: Packed) -> None:
        """Put a norm's weight and bias."""
        to.floats += [self.value(name) for name in node.inputs[1:3]]

    def attended(self, softmax: _Node) -> tuple[_Node, _Node, _Node]:
        """The products that give query, key and value of an attention."""
        score = self._before(softmax.inputs[0], "MatMul")
        context = self._after(softmax, "MatMul")
        places = (score.inputs[0], score.inputs[1], context.inputs[1])
        return tuple(self._before(name, "MatMulInteger") for name in places)

    def _before(self, name: str, kind: str) -> _Node:
        while self.made[name].kind != kind:
            name = next((name for name in self.made[name].inputs if name in self.made), None)
            if name is None:
                raise OtherGraph(f"{REFUSED} (no {kind} where one was looked for)")
        return self.made[name]

    def _after(self, node: _Node, kind: str) -> _Node:
        found = next((user for user in self.users.get(node.output, ()) if user.kind == kind), None)
        if found is None:
            raise OtherGraph(f"{REFUSED} (no {kind} after a {node.kind})")
        return found
