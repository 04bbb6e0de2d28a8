"""What formats that PyTorch runs itself have in common, and the simplest of them: 16-bit floats."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from smaller.base.errors import SmallerError
from smaller.encoders import write_network
from smaller.encoders.adapters import adapter_size, with_adapters
from smaller.encoders.layout import ADAPTED_FILE
from smaller.formats.base import Format, Stored, stored

HALF_TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def weights_file(config: PreTrainedConfig) -> str:
    """The file of floating-point weights: the one that plain loaders look for, unless they would drop adapters."""
    return ADAPTED_FILE if adapter_size(config) else "model.safetensors"


def on_processor(network: PreTrainedModel, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """A copy of a network on the processor, ready for inference, whose configuration names its class."""
    copied = copy.deepcopy(network).to("cpu", dtype).eval()
    copied.config.architectures = [type(network).__name__]
    return copied.requires_grad_(False)


def empty(config: PreTrainedConfig, dtype: torch.dtype) -> PreTrainedModel:
    """A network of the configured kind and shape, whose weights are to be filled in."""
    kind = getattr(transformers, (config.architectures or [""])[0], None)
    if not (isinstance(kind, type) and issubclass(kind, PreTrainedModel)):
        raise SmallerError(
            f"The configuration names the architecture {config.architectures}, which transformers "
            f"{transformers.__version__} does not have."
        )
    with torch.random.fork_rng(devices=[]):
        return with_adapters(kind(config)).to(dtype).eval().requires_grad_(False)


def fill(network: PreTrainedModel, weights: dict[str, Tensor]) -> None:
    """Put weights into a network; a parameter without one is an error, and so is a weight without a place."""
    parameters = dict(network.named_parameters())
    wrong = sorted(parameters.keys() ^ weights.keys())
    wrong += [name for name in parameters.keys() & weights.keys() if parameters[name].shape != weights[name].shape]
    if wrong:
        raise SmallerError(
            f"The weights do not fit the network: {len(wrong)} tensors are missing, too many or of "
            f"another shape, such as {wrong[0]}."
        )
    for name, parameter in parameters.items():
        parameter.data = weights[name].to(parameter.dtype)


def configuration(folder: Path) -> PreTrainedConfig:
    """The configuration of a written format, without what only `from_pretrained` acts on."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    return config


class Eager(Format):
    """A format that holds a PyTorch network."""

    def __init__(self, name: str, network: PreTrainedModel) -> None:
        super().__init__(name, network.config)
        self.network = network

    def logits(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return self.network(input_ids=tokens, attention_mask=mask).logits

    def stored(self) -> Iterator[Stored]:
        return stored(self.network)

    def layers(self, kind: type[nn.Module]) -> Iterator[tuple[str, nn.Module]]:
        """The network's layers of a kind, with their names."""
        return ((name, module) for name, module in self.network.named_modules() if isinstance(module, kind))


class Half(Eager):
    """All weights and products in fp16 or bfloat16. The folder is a plain encoder folder, unless there are adapters."""

    @classmethod
    def of(cls, network: PreTrainedModel, name: str) -> Half:
        """The network, rounded."""
        return cls(name, on_processor(network, HALF_TYPES[name]))

    def write(self, folder: Path) -> None:
        write_network(self.network, folder)

    @classmethod
    def read(cls, folder: Path, config: PreTrainedConfig, name: str, settings: dict) -> Half:
        network = empty(config, HALF_TYPES[name])
        fill(network, load_file(folder / weights_file(config)))
        return cls(name, network)
