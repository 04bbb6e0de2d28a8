"""LLM.int8(): Linear weights in int8, columns of large activations in fp16; and how many such columns there are."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from smaller.formats.base import Stored, needed, quietly
from smaller.formats.eager import Eager, empty, fill, on_processor, weights_file


def _library():
    # It reports on import what it would like to have for 4-bit weights.
    with quietly(), needed("llm.int8", ["bitsandbytes"]):
        import bitsandbytes
    return bitsandbytes.nn


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
        int8 = _library().Int8Params
        half = cls(on_processor(network, torch.float16), threshold=threshold)
        for name, linear in list(half.layers(nn.Linear)):
            if classifier or name.startswith(f"{half.network.base_model_prefix}."):
                weight = int8(linear.weight.data, requires_grad=False).to("cpu")
                half.network.set_submodule(name, _int8_layer(linear, weight.CB, weight.SCB, threshold=threshold))
        return half

    def _quantized(self) -> Iterator[tuple[str, nn.Module]]:
        return self.layers(_library().Linear8bitLt)

    def stored(self) -> Iterator[Stored]:
        yield from super().stored()
        for _, layer in self._quantized():
            yield Stored("linear", layer.state.SCB, parameter=False)

    def _apply(self, function, recurse: bool = True) -> LLMInt8:
        # The library keeps weight and scales in a state of its own, which PyTorch does not move to another device.
        super()._apply(function, recurse)
        for _, layer in self._quantized():
            layer.state.CB, layer.state.SCB = function(layer.state.CB), function(layer.state.SCB).float()
            layer.weight = _library().Int8Params(layer.state.CB, requires_grad=False)
        return self

    def settings(self) -> dict:
        return {"threshold": self.threshold}

    def write(self, folder: Path) -> None:
        """Write bitsandbytes' own int8 weights under a configuration that says so."""
        weights = {name: parameter.detach().contiguous() for name, parameter in self.network.named_parameters()}
        quantized = dict(self._quantized())
        for name, layer in quantized.items():
            weights |= {
                f"{name}.weight": layer.state.CB,
                f"{name}.SCB": layer.state.SCB,
                f"{name}.weight_format": torch.tensor(0, dtype=torch.uint8),
            }
        save_file(weights, folder / weights_file(self.config), metadata={"format": "pt"})
        about = {
            "quant_method": "bitsandbytes",
            "load_in_8bit": True,
            "llm_int8_threshold": self.threshold,
            "llm_int8_skip_modules": [name for name, _ in self.layers(nn.Linear) if name not in quantized],
        }
        self.config.save_pretrained(folder)
        file = folder / "config.json"
        plain = json.loads(file.read_bytes()) | {"quantization_config": about, "dtype": "float16"}
        file.write_text(json.dumps(plain, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path, config: PreTrainedConfig, name: str, settings: dict) -> LLMInt8:
        threshold = float(settings["threshold"])
        weights = load_file(folder / weights_file(config))
        network = empty(config, torch.float16)
        for name in [name.removesuffix(".SCB") for name in weights if name.endswith(".SCB")]:
            weights.pop(f"{name}.weight_format", None)
            linear, scales = network.get_submodule(name), weights.pop(f"{name}.SCB")
            linear.bias.data = weights[f"{name}.bias"]
            network.set_submodule(name, _int8_layer(linear, weights[f"{name}.weight"], scales, threshold=threshold))
        fill(network, weights)
        return cls(network, threshold=threshold)


def _int8_layer(linear: nn.Linear, weight: Tensor, scales: Tensor, *, threshold: float) -> nn.Linear:
    library, biased = _library(), linear.bias is not None
    layer = library.Linear8bitLt(
        linear.in_features, linear.out_features, biased, has_fp16_weights=False, threshold=threshold, device="meta"
    )
    layer.weight = library.Int8Params(weight, requires_grad=False)
    layer.bias = linear.bias
    layer.state.CB, layer.state.SCB = weight, scales
    return layer.eval()


@torch.inference_mode()
def outliers(network: nn.Module, rows: Sequence[Tensor], *, threshold: float = 6.0) -> dict[str, float]:
    """How much of what goes into the Linear layers LLM.int8() would treat as outliers, over sentences of token ids.

    `columns` is the share of feature columns (a feature of one layer's input over one sentence) with a value of at
    least `threshold`, `values` the share of such values, `largest` the largest magnitude that occurred. Layers outside
    the encoder do not count.
    """
    sizes: list[Tensor] = []
    found, counted, largest = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64), 0.0

    def keep(_: nn.Module, inputs: tuple[Tensor]) -> None:
        sizes.append(inputs[0].flatten(0, -2).abs())

    with contextlib.ExitStack() as hooks:
        for name, module in network.named_modules():
            if isinstance(module, nn.Linear) and "encoder." in name:
                hooks.enter_context(module.register_forward_pre_hook(keep))
        for row in rows:
            network(input_ids=row[None])
            for size in sizes:
                large = size >= threshold
                largest = max(largest, float(size.max()))
                found += torch.tensor([large.any(dim=0).sum(), large.sum()])
                counted += torch.tensor([size.shape[-1], size.numel()])
            sizes.clear()
    columns, values = (found / counted.clamp(min=1)).tolist()
    return {"columns": columns, "values": values, "largest": largest}
