"""LLM.int8(): Linear weights in int8, columns of large activations in fp16; and how many such columns there are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from smaller.base.errors import SmallerError
from smaller.formats.base import Stored, quietly
from smaller.formats.eager import Eager, empty, fill, on_processor, weights_file


def _bitsandbytes():
    with quietly():  # it reports on import what it would like to have for 4-bit weights
        try:
            import bitsandbytes
        except ImportError as problem:
            raise SmallerError(
                f"The form llm.int8 needs the package bitsandbytes, which cannot be imported ({problem}). Install it: "
                "pip install bitsandbytes."
            ) from None
    return bitsandbytes


class LLMInt8(Eager):
    """LLM.int8() by bitsandbytes: Linear weights in int8 with a scale for each output, the rest in fp16.

    Each row of activations gets a scale of its own; columns with a value of at least `threshold` are outliers, which
    are multiplied in fp16 (Dettmers et al. 2022, section 3). The folder is one that `from_pretrained` reads.
    """

    def __init__(self, network: PreTrainedModel, *, threshold: float) -> None:
        super().__init__("llm.int8", network)
        self.threshold = threshold

    @classmethod
    def of(cls, network: PreTrainedModel, *, threshold: float = 6.0, classifier: bool = False) -> LLMInt8:
        """The network with the encoder's Linear layers quantized, and with its head's if `classifier` is set."""
        library = _bitsandbytes()
        half = on_processor(network, torch.float16)
        for name, linear in [(name, found) for name, found in half.named_modules() if isinstance(found, nn.Linear)]:
            if classifier or name.startswith(f"{half.base_model_prefix}."):
                weight = library.nn.Int8Params(linear.weight.data, requires_grad=False).to("cpu")
                half.set_submodule(name, _int8_layer(linear, weight.CB, weight.SCB, threshold=threshold))
        return cls(half, threshold=threshold)

    def _linears(self) -> Iterator[tuple[str, nn.Linear]]:
        kind = _bitsandbytes().nn.Linear8bitLt
        for name, module in self.network.named_modules():
            if isinstance(module, kind):
                yield name, module

    def stored(self) -> Iterator[Stored]:
        """The network's parameters, and the scale of every output."""
        yield from super().stored()
        for _, module in self._linears():
            yield Stored("linear", module.state.SCB, parameter=False)

    def _apply(self, function, recurse: bool = True) -> LLMInt8:
        # The library keeps weight and scales in a state of its own, which PyTorch does not move to another device.
        super()._apply(function, recurse)
        for _, module in self._linears():
            module.state.CB, module.state.SCB = function(module.state.CB), function(module.state.SCB).float()
            module.weight = _bitsandbytes().nn.Int8Params(module.state.CB, requires_grad=False)
        return self

    def settings(self) -> dict:
        """The threshold."""
        return {"threshold": self.threshold}

    def write(self, folder: Path) -> None:
        """Write bitsandbytes' own int8 weights under a configuration that says so."""
        weights = {name: parameter.detach().contiguous() for name, parameter in self.network.named_parameters()}
        quantized = []
        for name, module in self._linears():
            quantized.append(name)
            weights |= {
                f"{name}.weight": module.state.CB,
                f"{name}.SCB": module.state.SCB,
                f"{name}.weight_format": torch.tensor(0, dtype=torch.uint8),
            }
        save_file(weights, folder / weights_file(self.config), metadata={"format": "pt"})
        kept = [
            name
            for name, module in self.network.named_modules()
            if isinstance(module, nn.Linear) and name not in quantized
        ]
        about = {
            "quant_method": "bitsandbytes",
            "load_in_8bit": True,
            "llm_int8_threshold": self.threshold,
            "llm_int8_skip_modules": kept,
        }
        self.config.save_pretrained(folder)
        file = folder / "config.json"
        plain = json.loads(file.read_bytes()) | {"quantization_config": about, "dtype": "float16"}
        file.write_text(json.dumps(plain, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path, config: PreTrainedConfig, name: str, settings: dict) -> LLMInt8:
        """The form that `write` wrote."""
        threshold = float(settings["threshold"])
        weights = load_file(folder / weights_file(config))
        network = empty(config, torch.float16)
        for layer in [name.removesuffix(".SCB") for name in weights if name.endswith(".SCB")]:
            weights.pop(f"{layer}.weight_format", None)
            linear = network.get_submodule(layer)
            linear.bias.data = weights[f"{layer}.bias"]
            network.set_submodule(
                layer, _int8_layer(linear, weights[f"{layer}.weight"], weights.pop(f"{layer}.SCB"), threshold=threshold)
            )
        fill(network, weights)
        return cls(network, threshold=threshold)


def _int8_layer(linear: nn.Linear, weight: Tensor, scales: Tensor, *, threshold: float) -> nn.Linear:
    library = _bitsandbytes()
    layer = library.nn.Linear8bitLt(
        linear.in_features,
        linear.out_features,
        linear.bias is not None,
        has_fp16_weights=False,
        threshold=threshold,
        device="meta",
    )
    layer.weight = library.nn.Int8Params(weight, requires_grad=False)
    layer.bias = linear.bias
    layer.state.CB, layer.state.SCB = weight, scales
    return layer.eval()


@torch.inference_mode()
def outliers(network: nn.Module, rows: Sequence[Tensor], *, threshold: float = 6.0) -> dict[str, float]:
    """How much of what goes into the Linear layers LLM.int8() would treat as outliers, over sentences of piece ids.

    `columns` is the share of feature columns (a feature of one layer's input over one sentence) with a value of at
    least `threshold`, `values` the share of such values, `largest` the largest magnitude that occurred. Layers outside
    the encoder do not count.
    """
    found = {"columns": 0, "values": 0, "all_columns": 0, "all_values": 0}
    largest = 0.0

    def count(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal largest
        size = inputs[0].detach().flatten(0, -2).abs()
        large = size >= threshold
        largest = max(largest, float(size.max()))
        found["columns"] += int(large.any(dim=0).sum())
        found["values"] += int(large.sum())
        found["all_columns"] += size.shape[-1]
        found["all_values"] += size.numel()

    hooks = [
        module.register_forward_pre_hook(count)
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and "encoder." in name
    ]
    try:
        for row in rows:
            network(input_ids=row[None])
    finally:
        for hook in hooks:
            hook.remove()
    return {
        "columns": found["columns"] / max(1, found["all_columns"]),
        "values": found["values"] / max(1, found["all_values"]),
        "largest": largest,
    }
