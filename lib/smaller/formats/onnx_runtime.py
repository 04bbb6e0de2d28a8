"""Formats that ONNX Runtime runs: the network as a graph in fp32, and with its weights in int8."""

from __future__ import annotations

import abc
import contextlib
import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from smaller.base import paths
from smaller.base.files import write_whole
from smaller.encoders import canonical
from smaller.formats.base import Folder, Format, Stored, needed, parameter_count, quietly
from smaller.formats.eager import on_processor
from smaller.formats.four_bits import PACKED, in_four_bits
from smaller.serving.folder import GRAPHS, Graph, graph_of


class Runtime(Format):
    """A format that is a graph in files, run by a library that compiles it once for every number of threads.

    The number is PyTorch's, `torch.get_num_threads()`, at the time of the call. Copies share the `files`, which are in
    a folder that goes with its last `owner`. A graph merges equal tensors and folds others, so the number of parameters
    is that of the network that it was made from.
    """

    on_processor = True

    def __init__(self, name: str, config: PreTrainedConfig, folder: Path, *, parameters: int, owner: object = None):
        super().__init__(name, config)
        self.folder, self.owner, self.parameters_of_network = folder, owner, parameters
        self._compiled: dict[int, object] = {}

    @property
    @abc.abstractmethod
    def files(self) -> list[Path]:
        """What the graph is in."""

    def compiled(self):
        """What runs the graph with as many threads as PyTorch has now."""
        threads = torch.get_num_threads()
        if threads not in self._compiled:
            self._compiled[threads] = self.compile(threads)
        return self._compiled[threads]

    @abc.abstractmethod
    def compile(self, threads: int):
        """Make ready to run with a number of threads."""

    def parameter_count(self) -> int:
        return self.parameters_of_network

    def settings(self) -> dict:
        return {"parameters": self.parameters_of_network}

    def write(self, folder: Path) -> None:
        for file in self.files:
            copied = folder / file.relative_to(self.folder)
            copied.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, copied)
        self.config.save_pretrained(folder)

    @classmethod
    def read(cls, folder: Path, config: PreTrainedConfig, name: str, settings: dict) -> Runtime:
        """What `write` wrote; its folder is read as long as it lives."""
        made = cls(name, config, folder, parameters=int(settings["parameters"]))
        made.compiled()
        return made

    def __deepcopy__(self, memo: dict) -> Runtime:
        return type(self)(self.name, self.config, self.folder, parameters=self.parameters_of_network, owner=self.owner)


def sample_inputs(network: PreTrainedModel, mask: torch.dtype) -> dict[str, Tensor]:
    """Two short sentences of arbitrary tokens, by which a network is traced; no size of theirs is kept."""
    tokens = torch.arange(2 * 16).reshape(2, 16) % (network.config.vocab_size - 5) + 5
    return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens, dtype=mask)}


READ_AS = {"onnx-int8": "q8", "onnx-int4": "q4"}
"""What transformers.js calls a graph with such weights: by that it knows the name of the file."""


class Onnx(Runtime):
    """A graph for ONNX Runtime: in fp32, or with Linear and embedding weights in int8 (QInt8, one scale for a tensor).

    Weights are between -64 and 64: processors without VNNI add two products in 16 bits, where larger ones would be cut,
    and answers would hang on the processor. In onnx-int4 the file holds them in 4 bits (see `four_bits`); products are
    in int8 all the same.

    Activations are quantized as they come, with one scale for a whole batch, so that an answer depends a little on what
    else is in it. QUInt8, the library's default, is 1.6 times as slow at the same size. Token ids and mask are int64,
    as every runtime feeds them.
    """

    @classmethod
    def of(cls, network: PreTrainedModel, name: str) -> Onnx:
        """Export the network, and quantize the graph where the format has weights of few bits."""
        onnx_ir, _, _, quantizer = _libraries()
        owner = Folder()
        plain = on_processor(network)
        with quietly():
            program = _graph(plain)
            if name in READ_AS:
                tensors = {key: each.const_value.numpy() for key, each in program.graph.initializers.items()}
                program = quantizer.quantize(program, sample_inputs(plain, torch.int64), "onnx")
                setattr(plain.config, "transformers.js_config", {"dtype": READ_AS[name]})
                if name == "onnx-int4":
                    in_four_bits(program, {key: own for key, own in tensors.items() if own.ndim == 2}, ir=onnx_ir)
            _without_fusion(program)
            _without_notes(program)
            file = owner.path / GRAPHS[name]
            file.parent.mkdir()
            onnx_ir.save(program, str(file))
        return cls(name, plain.config, owner.path, parameters=parameter_count(plain), owner=owner)

    @property
    def files(self) -> list[Path]:
        return [graph_of(self.folder, self.name)]

    def compile(self, threads: int) -> Graph:
        return Graph(self.files[0], threads=threads)

    def logits(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return torch.from_numpy(self.compiled().logits(tokens.numpy(), mask.numpy()))

    def stored(self) -> Iterator[Stored]:
        tensors = _libraries()[0].load(str(self.files[0])).graph.initializers
        return (_stored(name, value, tensors) for name, value in tensors.items())


def _stored(name: str, value, tensors: Mapping) -> Stored:
    """An initializer of a graph with the part that it belongs to."""
    values = torch.from_numpy(value.const_value.numpy().copy())
    users = {node.op_type for node in value.consumers()}
    of_quantization = name.endswith(("_scale", "_zero_point", PACKED))
    if of_quantization:
        part = "embeddings" if "embeddings" in name else "linear"
    elif "Gather" in users and values.ndim > 1:
        part = "embeddings"
    elif any("MatMul" in user for user in users) or (name.endswith(".bias") and "LayerNorm" not in name):
        part = "linear"
    else:
        part = "rest"
    weights = values.ndim > 0 and values.dtype in (torch.int8, torch.uint8, torch.float32)
    point = tensors.get(f"{name.removesuffix('_quantized')}_zero_point")
    zero = int(point.const_value.numpy().item()) if point is not None else 0
    return Stored(part, values, parameter=weights and not of_quantization, zero=zero)


_VERSION = 1
"""Goes up when a change here changes what is traced: what an earlier one kept is then traced anew."""

_traced: dict[str, object] = {}
"""Graphs by the shape of the network, whose weights are inputs; those of other processes are files of the cache.

Tracing takes twenty times as long as all that follows it, and twice that where a process has not traced before.
"""


def _graph(network: PreTrainedModel):
    """The network as an optimized graph."""
    ir, *_ = _libraries()
    weights = {name: parameter.detach() for name, parameter in network.named_parameters()}
    shapes = {name: list(weight.shape) for name, weight in weights.items()}
    versions = [_VERSION, *map(metadata.version, ("torch", "transformers", "onnx", "onnx-ir", "onnxscript"))]
    config = {key: value for key, value in network.config.to_dict().items() if key != "_name_or_path"}
    said = canonical([versions, type(network).__name__, config, shapes])
    key = hashlib.sha256(said.encode()).hexdigest()[:16]
    if key not in _traced:
        _traced[key] = _kept_trace(network, list(weights), paths.graphs_folder() / f"{key}.onnx")
    program = _traced[key].clone()
    tensors, others = program.graph.initializers, dict(program.graph.initializers)
    tensors.clear()
    for name, weight in weights.items():
        tensors.add(value := program.graph.inputs.pop(2))  # after tokens and mask
        value.const_value = ir.tensor(weight.numpy(), name=name)
    tensors.update(others)
    optimized = torch.onnx.ONNXProgram(program, None)
    optimized.optimize()
    return optimized.model


def _kept_trace(network: PreTrainedModel, weights: Sequence[str], place: Path):
    """The graph as it is kept, or traced now; its weights are the last inputs, in the order of their names here."""
    ir, exporter, config, _ = _libraries()
    with contextlib.suppress(Exception):  # it is not there, or damaged
        return ir.load(place)
    network.set_attn_implementation("eager")  # plain products run faster there than what stands for the fused ones
    options = config(dynamic=True, optimize=False)  # which would merge and turn weights, so that no name is left
    program = exporter().export(network, sample_inputs(network, torch.int64), config=options).program
    for name in weights:
        program.graph.inputs.append(value := program.graph.initializers.pop(name))
        value.const_value = None
    message = ir.to_proto(program)
    with contextlib.suppress(OSError):  # a cache that is shared read-only, or full
        write_whole(place, message.SerializeToString())
    return ir.from_proto(message)


def _without_fusion(program) -> None:
    """Have each sum before a norm be a Sum, not an Add, which the runtime would fuse with the norm.

    The two fused take five times as long as one after the other: int8 at AfriBERTa-base's shape would be a fifth slower
    (onnxruntime 1.31, two threads). They also round otherwise, and not every runtime fuses them: a difference in the
    last digit becomes one of an int8 step.
    """
    for node in program.graph:
        before = node.inputs[0].producer() if node.op_type == "LayerNormalization" else None
        if before is not None and before.op_type == "Add":
            before.op_type = "Sum"


def _without_notes(program) -> None:
    """Clear what no runtime reads: the exporter's notes, with paths of the machine, and of what is between two nodes.

    Half of a small file. The names of weights stay: they say what part of the network each belongs to.
    """
    graph, nodes = program.graph, list(program.graph.all_nodes())
    ends = [*graph.inputs, *graph.outputs]
    between = [value for node in nodes for value in node.outputs if value not in graph.outputs]
    for noted in (program, graph, *nodes, *ends, *between, *graph.initializers.values()):
        noted.metadata_props.clear()
    for node in nodes:
        node.name = node.doc_string = None
    for value in (*between, *graph.initializers.values()):
        value.type = value.shape = None
    for number, value in enumerate(between):
        value.name = str(number)


def _libraries():
    """What an export needs; running a graph needs ONNX Runtime alone."""
    with needed("onnx-int8, or onnx,", ["onnx", "onnxscript", "onnxruntime"]):
        import onnx_ir
        from onnxruntime.quantization import QuantType
        from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter
        from transformers.exporters.quantizers.quantizer_onnxruntime import (
            OnnxRuntimeDynamicConfig,
            OnnxRuntimeQuantizer,
        )
    int8 = OnnxRuntimeQuantizer(OnnxRuntimeDynamicConfig(weight_type=QuantType.QInt8, reduce_range=True))
    return onnx_ir, OnnxExporter, OnnxConfig, int8
