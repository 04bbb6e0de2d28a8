"""Dynamic quantization: Linear weights in int8, activations quantized as they come."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.ao.nn.quantized import dynamic
from torch.ao.quantization import quantize_dynamic
from transformers import PreTrainedConfig, PreTrainedModel

from smaller.base.checks import require_one_of
from smaller.formats.base import Stored, quietly
from smaller.formats.eager import Eager, empty, fill, on_processor

_FILE = "dynamic.safetensors"


def engines() -> list[str]:
    """The engines of dynamic quantization that this processor has, PyTorch's own choice first."""
    chosen = torch.backends.quantized.engine
    return [chosen, *(name for name in torch.backends.quantized.supported_engines if name not in (chosen, "none"))]


@contextlib.contextmanager
def _quietly_with(engine: str) -> Iterator[None]:
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = engine
    try:
        with quietly():
            yield
    finally:
        torch.backends.quantized.engine = before


class Dynamic(Eager):
    """Linear weights in int8, one scale for a tensor; activations are quantized as they come (torch.ao.quantization).

    PyTorch has deprecated these functions: what uses them is in this class alone. A processor that lacks the engine
    of a written folder takes its own, on the same int8 weights.
    """

    on_processor = True

    def __init__(self, network: PreTrainedModel, engine: str) -> None:
        super().__init__("dynamic", network)
        self.engine = engine

    @classmethod
    def of(cls, network: PreTrainedModel, *, engine: str = "") -> Dynamic:
        """The network with every Linear layer quantized, the classifier included."""
        engine = engine or engines()[0]
        require_one_of(engine, engines(), "This processor has no engine {!r} for dynamic quantization; it has {}.")
        with _quietly_with(engine):
            return cls(quantize_dynamic(on_processor(network), {nn.Linear}, dtype=torch.qint8), engine)

    def stored(self) -> Iterator[Stored]:
        yield from super().stored()
        for _, layer in self.layers(dynamic.Linear):
            for name, values in _unpacked(layer).items():
                yield Stored("linear", values, parameter=name in ("weight", "bias"))

    def settings(self) -> dict:
        return {"engine": self.engine}

    def write(self, folder: Path) -> None:
        """Write int8 weights, scales and zero points, and the rest in fp32; PyTorch's own format is a pickle."""
        weights = {name: parameter.detach() for name, parameter in self.network.named_parameters()}
        for layer, module in self.layers(dynamic.Linear):
            weights |= {f"{layer}.{name}": values for name, values in _unpacked(module).items()}
        save_file({name: values.contiguous() for name, values in weights.items()}, folder / _FILE)
        self.config.save_pretrained(folder)

    @classmethod
    def read(cls, folder: Path, config: PreTrainedConfig, name: str, settings: dict) -> Dynamic:
        weights = load_file(folder / _FILE)
        engine = settings["engine"] if settings["engine"] in engines() else engines()[0]
        network = empty(config, torch.float32)
        with _quietly_with(engine):
            for layer in [name.removesuffix(".scale") for name in weights if name.endswith(".scale")]:
                scale, zero = (float(weights.pop(f"{layer}.scale")), int(weights.pop(f"{layer}.zero_point")))
                values = torch._make_per_tensor_quantized_tensor(weights.pop(f"{layer}.weight"), scale, zero)
                module = dynamic.Linear(values.shape[1], values.shape[0])
                module.set_weight_bias(values, weights.pop(f"{layer}.bias", None))
                network.set_submodule(layer, module)
        fill(network, weights)
        return cls(network.eval(), engine)


def _unpacked(module: dynamic.Linear) -> dict[str, Tensor]:
    weight, bias = module._packed_params._weight_bias()
    found = {
        "weight": weight.int_repr(),
        "scale": torch.tensor(weight.q_scale(), dtype=torch.float64),
        "zero_point": torch.tensor(weight.q_zero_point()),
    }
    return found if bias is None else found | {"bias": bias.detach()}
