"""Weights of matrix products in half precision: made once an update, where autocast makes them for each product."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from smaller.encoders import device

_TOGETHER = ("query", "key", "value")


class _Linear(nn.Linear):
    """Computes with the half-precision copies of its weight and bias."""

    def forward(self, values: Tensor) -> Tensor:
        return functional.linear(values.to(torch.bfloat16), *self.halves)


class _Part(nn.Linear):
    """One of several layers that look at the same values: whichever comes first computes the products of all."""

    def forward(self, values: Tensor) -> Tensor:
        shared = self.shared
        if shared.get("values") is not values:
            made = functional.linear(values.to(torch.bfloat16), *self.halves)
            shared.update(values=values, made=made.chunk(len(_TOGETHER), dim=-1))
        made = shared["made"][self.part]
        if self.part == len(_TOGETHER) - 1:
            shared.clear()  # which would hold the update's memory
        return made


class Halves:
    """The bfloat16 copies of the weights and biases of Linear layers, and the gradients that come to those.

    Autocast casts as well, but each parameter by itself for each part of a batch, and each gradient back: values and
    gradients are the same, bit for bit. Layers of `triples` compute their products as one, whose gradients differ from
    those of three by their rounding; a copy then holds the parameters of all three, one after another.
    """

    def __init__(self, layers: list[nn.Linear], triples: list[list[nn.Linear]]) -> None:
        together = {layer for triple in triples for layer in triple}
        groups = [[layer] for layer in layers if layer not in together] + triples
        copies: dict[tuple[nn.Parameter, ...], Tensor] = {}
        for group in groups:
            own = []
            for parameters in (tuple(layer.weight for layer in group), tuple(layer.bias for layer in group)):
                if parameters[0] is not None and parameters not in copies:
                    copy = torch.cat([each.detach() for each in parameters]).to(torch.bfloat16)
                    copies[parameters] = copy.requires_grad_(parameters[0].requires_grad)
                own.append(copies.get(parameters))
            shared: dict[str, object] = {}
            for part, layer in enumerate(group):
                layer.__class__, layer.halves = (_Linear if len(group) == 1 else _Part), own
                layer.part, layer.shared = part, shared
        self.copies = list(copies.values())
        self.sizes = [[len(each) for each in parameters] for parameters in copies]
        self.full = [each for parameters in copies for each in parameters]
        self.views = self._split([copy.detach() for copy in self.copies])

    def _split(self, tensors: list[Tensor | None]) -> list[Tensor | None]:
        """What belongs to each parameter."""
        found = []
        for each, sizes in zip(tensors, self.sizes, strict=True):
            found += [each] * len(sizes) if each is None or len(sizes) == 1 else each.split(sizes)
        return found

    @torch.no_grad()
    def refresh(self) -> None:
        """Take the values that the parameters have now."""
        torch._foreach_copy_(self.views, self.full)

    @torch.no_grad()
    def collect(self) -> None:
        """Add the gradients of the copies to those of the parameters."""
        gradients = self._split([copy.grad for copy in self.copies])
        made = [pair for pair in zip(self.full, gradients, strict=True) if pair[1] is not None]
        later = [(each.grad, gradient) for each, gradient in made if each.grad is not None]
        if later:
            torch._foreach_add_(*map(list, zip(*later, strict=True)))
        first = [(each, gradient) for each, gradient in made if each.grad is None]
        for each, _ in first:
            each.grad = torch.empty_like(each)
        if first:
            torch._foreach_copy_([each.grad for each, _ in first], [gradient for _, gradient in first])
        for copy in self.copies:
            copy.grad = None


@contextlib.contextmanager
def halves_of(network: nn.Module) -> Iterator[Halves | None]:
    """The copies that a network computes with for a while, where products are in half precision; else None.

    On a GPU queries, keys and values are one product: three small ones take longer to launch than to run.
    """
    layers = [module for module in network.modules() if type(module) is nn.Linear] if device.half_precision() else []
    found = [[getattr(module, name, None) for name in _TOGETHER] for module in network.modules()]
    alike = [triple for triple in found if all(layer in layers for layer in triple) and _alike(triple)]
    try:
        yield Halves(layers, alike if layers[0].weight.is_cuda else []) if layers else None
    finally:
        for layer in layers:
            layer.__class__ = nn.Linear
            for name in ("halves", "part", "shared"):
                layer.__dict__.pop(name, None)


def _alike(layers: list[nn.Linear]) -> bool:
    """Whether layers differ in nothing but their values."""
    return len({(*layer.weight.shape, layer.bias is None, layer.weight.requires_grad) for layer in layers}) == 1
