"""The format that OpenVINO runs: weights and activations in int8, calibrated on sentences."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from smaller.base.errors import SmallerError
from smaller.formats.base import Folder, Stored, needed, parameter_count, quietly
from smaller.formats.eager import on_processor
from smaller.formats.onnx_runtime import Runtime, sample_inputs

_PASSING_ON = ("Convert", "Multiply", "Subtract", "Add", "Reshape", "Transpose", "FakeQuantize")
_NEEDED = functools.partial(needed, "openvino-int8", ["openvino", "nncf"], install="'smaller[openvino]'")


class OpenVino(Runtime):
    """A graph for OpenVINO with weights and activations in int8: static quantization by NNCF's transformer preset.

    The ranges of the activations come from sentences of the training split. Plain static quantization destroys taggers,
    so whoever makes this format compares F1 before and after.
    """

    @property
    def files(self) -> list[Path]:
        return [self.folder / "openvino_model.xml", self.folder / "openvino_model.bin"]

    @classmethod
    def of(cls, network: PreTrainedModel, *, rows: Sequence[Tensor]) -> OpenVino:
        """Export the network, and quantize the graph with the ranges that occur in `rows` of token ids."""
        if not rows:
            raise SmallerError("The format openvino-int8 is calibrated on sentences, and none were given.")
        owner = Folder()
        plain = on_processor(network)
        samples = [
            {"input_ids": row[None], "attention_mask": torch.ones_like(row[None], dtype=torch.bool)} for row in rows
        ]
        with quietly(), _without_bars():
            exporter, config = _exporter(samples)
            program = exporter.export(plain, sample_inputs(plain, torch.bool), config=config).program
            _openvino().save_model(program, str(owner.path / "openvino_model.xml"), compress_to_fp16=False)
        return cls("openvino-int8", plain.config, owner.path, parameters=parameter_count(plain), owner=owner)

    def compile(self, threads: int):
        options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        return _openvino().Core().compile_model(str(self.files[0]), "CPU", options)

    def logits(self, tokens: Tensor, mask: Tensor) -> Tensor:
        answer = self.compiled()({"input_ids": tokens.numpy(), "attention_mask": mask.numpy()})
        return torch.from_numpy(answer["logits"].copy())

    def stored(self) -> Iterator[Stored]:
        for node in _openvino().Core().read_model(str(self.files[0])).get_ordered_ops():
            if node.get_type_name() == "Constant":
                values = torch.from_numpy(node.get_data().copy())
                users = _users(node)
                part = "embeddings" if "Gather" in users else "linear" if "MatMul" in users else "rest"
                table = values.ndim > 1 and values.dtype == torch.int8
                yield Stored(part if values.ndim > 1 else "rest", values, parameter=table)


def _users(node) -> set[str]:
    found = set()
    for target in [port for output in node.outputs() for port in output.get_target_inputs()]:
        user = target.get_node()
        kind = user.get_type_name()
        if kind in ("Gather", "MatMul"):
            # The first input of a Gather is the table; the others are indices.
            found.add(kind if kind == "MatMul" or target.get_index() == 0 else "index")
        elif kind in _PASSING_ON:
            found |= _users(user)
    return found


def _openvino():
    # OpenVINO reports every import and conversion to its makers; without this package it has nothing to do it with.
    sys.modules.setdefault("openvino_telemetry", None)
    with quietly(), _NEEDED():
        import openvino
    return openvino


def _exporter(samples: list[dict[str, Tensor]]):
    """The exporter and its settings, with the transformer preset of NNCF calibrated on the samples."""
    _openvino()
    with _NEEDED():
        import nncf
        from transformers.exporters.exporter_openvino import OpenVINOConfig, OpenVINOExporter
        from transformers.exporters.quantizers.quantizer_nncf import NNCFOpenVINOQuantizer, NNCFQuantizationConfig
    nncf.set_log_level(logging.ERROR)
    preset = NNCFQuantizationConfig(model_type=nncf.ModelType.TRANSFORMER, subset_size=len(samples))
    return OpenVINOExporter(), OpenVINOConfig(dynamic=True, quantizer=NNCFOpenVINOQuantizer(preset, samples))


@contextlib.contextmanager
def _without_bars() -> Iterator[None]:
    """NNCF draws its bars by rich, which turns them into widgets in a notebook whatever becomes of the output."""
    import rich.console

    before = rich.console._is_jupyter
    rich.console._is_jupyter = lambda: False
    try:
        yield
    finally:
        rich.console._is_jupyter = before
