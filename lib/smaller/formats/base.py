"""What every quantized format is: a network that is called as before, and that says where its bytes are."""

from __future__ import annotations

import abc
import contextlib
import io
import logging
import shutil
import tempfile
import warnings
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.modeling_outputs import TokenClassifierOutput

from smaller import encoders
from smaller.base.errors import SmallerError

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


class Format(nn.Module, abc.ABC):
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
        """Token ids of shape (sentences, tokens) to logits of shape (sentences, tokens, labels)."""
        device = input_ids.device
        mask = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        if self.on_processor:
            input_ids, mask = input_ids.cpu(), mask.cpu()
        with torch.no_grad(), torch.autocast(input_ids.device.type, enabled=False):
            return TokenClassifierOutput(logits=self.logits(input_ids, mask).float().to(device))

    @abc.abstractmethod
    def logits(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """The logits in the format's own type."""

    @abc.abstractmethod
    def stored(self) -> Iterator[Stored]:
        """Every tensor that the format holds, in the type that it holds it in."""

    def parameter_count(self) -> int:
        """How many parameters the format holds, tied ones counted once."""
        return sum(tensor.values.numel() for tensor in self.stored() if tensor.parameter)

    def settings(self) -> dict:
        """Plain values that `read` needs beside the files."""
        return {}

    @abc.abstractmethod
    def write(self, folder: Path) -> None:
        """Write weights and configuration, in files of the format's own kind."""

    @classmethod
    @abc.abstractmethod
    def read(cls, folder: Path, config: PreTrainedConfig, name: str, settings: dict) -> Format:
        """What `write` wrote."""

    def _apply(self, function, recurse: bool = True) -> Format:
        return self if self.on_processor else super()._apply(function, recurse)


def stored(network: nn.Module) -> Iterator[Stored]:
    """Every tensor that a network in any format holds; of a plain one its parameters, tied ones once."""
    if isinstance(network, Format):
        yield from network.stored()
        return
    seen = set()
    for module in network.modules():
        # A layer of bitsandbytes is a Linear layer too.
        linear = "linear" if isinstance(module, nn.Linear) else "rest"
        part = "embeddings" if isinstance(module, nn.Embedding) else linear
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                yield Stored(part, parameter.detach())


def parameter_count(network: nn.Module) -> int:
    """Parameters of a network in any format, tied ones counted once: the same before and after quantization."""
    return network.parameter_count() if isinstance(network, Format) else encoders.parameter_count(network)


def types_by_part(network: nn.Module) -> dict[str, dict[str, int]]:
    """The bytes in each of `PARTS` by type, such as {"linear": {"int8": 56623104, "float32": 166164}}."""
    sizes: dict[str, Counter] = {part: Counter() for part in PARTS}
    for tensor in stored(network):
        sizes[tensor.part][str(tensor.values.dtype).removeprefix("torch.")] += tensor.values.nbytes
    return {part: dict(found) for part, found in sizes.items()}


def bytes_by_part(network: nn.Module) -> dict[str, int]:
    """The bytes that a network in any format holds in each of `PARTS`."""
    return {part: sum(found.values()) for part, found in types_by_part(network).items()}


def bytes_in_memory(network: nn.Module) -> int:
    """The bytes of all that a network in any format holds."""
    return sum(bytes_by_part(network).values())


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


@contextlib.contextmanager
def needed(names: str, packages: Sequence[str], *, install: str = "") -> Iterator[None]:
    """Raise SmallerError where the packages of some formats, which are imported inside, are not here."""
    try:
        yield
    except ImportError as problem:
        several = "s" * (len(packages) > 1)
        raise SmallerError(
            f"The format {names} needs the package{several} {', '.join(packages)}, which cannot be imported "
            f"({problem}). Install: pip install {install or ' '.join(packages)}."
        ) from None


class Folder:
    """A temporary folder that goes when nobody holds it any more; `TemporaryDirectory` warns when it does so."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="smaller-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
