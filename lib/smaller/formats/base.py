"""What every form is: a network that is called as before, and that says where its bytes are."""

from __future__ import annotations

import abc
import contextlib
import io
import logging
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.modeling_outputs import TokenClassifierOutput

PARTS = ("embeddings", "linear", "rest")
"""Where the bytes of a network are: embedding tables; Linear layers with biases and scales; all else, mostly norms."""


@dataclass(frozen=True)
class Stored:
    """A tensor that a network holds. It is a parameter, or else a scale, a zero point or a table of indices.

    `zero` is the value that stands for zero: not 0 where a parameter is held in unsigned numbers.
    """

    part: str
    values: Tensor
    parameter: bool = True
    zero: int = 0


class Form(nn.Module, abc.ABC):
    """A network whose weights are held in fewer bits, called as the one that it was made from.

    `network(input_ids=..., attention_mask=...)` gives an object with `logits` in fp32, on the device of the input.
    Autocast changes nothing inside. A class with `on_processor` runs there whatever device it is sent to.
    """

    on_processor = False

    def __init__(self, name: str, config: PreTrainedConfig) -> None:
        super().__init__()
        self.name = name
        self.config = config

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> TokenClassifierOutput:
        """Piece ids of shape (sentences, pieces) to logits of shape (sentences, pieces, labels)."""
        device = input_ids.device
        mask = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        if self.on_processor:
            input_ids, mask = input_ids.cpu(), mask.cpu()
        with torch.no_grad(), torch.autocast(input_ids.device.type, enabled=False):
            return TokenClassifierOutput(logits=self.logits(input_ids, mask).float().to(device))

    @abc.abstractmethod
    def logits(self, pieces: Tensor, mask: Tensor) -> Tensor:
        """The logits in the form's own type."""

    @abc.abstractmethod
    def stored(self) -> Iterator[Stored]:
        """Every tensor that the form holds, in the type that it holds it in."""

    def parameter_count(self) -> int:
        """How many parameters the form holds, tied ones counted once."""
        return sum(tensor.values.numel() for tensor in self.stored() if tensor.parameter)

    def settings(self) -> dict:
        """Plain values that `read` needs beside the files."""
        return {}

    @abc.abstractmethod
    def write(self, folder: Path) -> None:
        """Write the weights, and the configuration, in the form's own file format."""

    @classmethod
    @abc.abstractmethod
    def read(cls, folder: Path, config: PreTrainedConfig, name: str, settings: dict) -> Form:
        """The form that `write` wrote."""

    def _apply(self, function, recurse: bool = True) -> Form:
        return self if self.on_processor else super()._apply(function, recurse)


def module_tensors(network: nn.Module) -> Iterator[Stored]:
    """The parameters of a PyTorch network with the part that they belong to; tied ones once."""
    seen = set()
    for module in network.modules():
        part = "embeddings" if isinstance(module, nn.Embedding) else "linear" if is_linear(module) else "rest"
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield Stored(part, parameter.detach())


def is_linear(module: nn.Module) -> bool:
    """Whether the module is a Linear layer in fp32 or fp16, or bitsandbytes' layer, which is a kind of it."""
    return isinstance(module, nn.Linear)


def stored(network: nn.Module) -> Iterator[Stored]:
    """Every tensor that a network of any form holds; for a plain one its parameters."""
    return network.stored() if isinstance(network, Form) else module_tensors(network)


def parameter_count(network: nn.Module) -> int:
    """Parameters of a network of any form, tied ones counted once: the same before and after quantization."""
    if isinstance(network, Form):
        return network.parameter_count()
    return sum(tensor.values.numel() for tensor in module_tensors(network))


def bytes_by_part(network: nn.Module) -> dict[str, int]:
    """The bytes that a network of any form holds in each of `PARTS`."""
    sizes = dict.fromkeys(PARTS, 0)
    for tensor in stored(network):
        sizes[tensor.part] += tensor.values.numel() * tensor.values.element_size()
    return sizes


def bytes_in_memory(network: nn.Module) -> int:
    """The bytes of all that a network of any form holds."""
    return sum(bytes_by_part(network).values())


def types_by_part(network: nn.Module) -> dict[str, dict[str, int]]:
    """The bytes in each of `PARTS` by type, such as {"linear": {"int8": 56623104, "float32": 166164}}."""
    sizes: dict[str, dict[str, int]] = {part: {} for part in PARTS}
    for tensor in stored(network):
        kind = str(tensor.values.dtype).removeprefix("torch.")
        size = tensor.values.numel() * tensor.values.element_size()
        sizes[tensor.part][kind] = sizes[tensor.part].get(kind, 0) + size
    return sizes


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without what libraries warn of, log and print: one export makes dozens of lines that nobody can act on."""
    before = logging.root.manager.disable
    sink = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(before)


class Folder:
    """A temporary folder that goes when nobody holds it any more."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="smaller-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
