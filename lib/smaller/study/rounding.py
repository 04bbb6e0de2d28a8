"""Weights rounded to a few bits: once, or for each update of a training that learns to live with it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smaller.encoders import Model, embedding_weights, linear_weights

ROUNDED_PARTS = ("all", "embeddings", "attention", "feed_forward", "classifier")


def round_weight(weight: Tensor, bits: int) -> Tensor:
    """A weight of shape (outputs, inputs) rounded to 2^bits - 1 levels, with a scale for each output."""
    levels = 2 ** (bits - 1) - 1
    scale = weight.abs().amax(dim=1, keepdim=True) / levels
    return torch.where(scale > 0, (weight / scale).round() * scale, weight)


def weights_of(model: Model, parts: str = "all") -> dict[str, nn.Parameter]:
    """The weights of Linear layers and embedding tables, or those of one family, by their names in the network."""
    inside = f"{model.network.base_model_prefix}."
    linear = {f"{inside}{name}": weight for name, weight in linear_weights(model).items()}
    families = {
        "embeddings": {f"{inside}{name}": weight for name, weight in embedding_weights(model).items()},
        "attention": {name: weight for name, weight in linear.items() if ".attention." in name},
        "feed_forward": {name: weight for name, weight in linear.items() if ".attention." not in name},
        "classifier": {
            f"{name}.weight": module.weight
            for name, module in model.network.named_modules()
            if isinstance(module, nn.Linear) and not name.startswith(inside)
        },
    }
    return families[parts] if parts != "all" else {n: w for family in families.values() for n, w in family.items()}


@torch.no_grad()
def round_weights(model: Model, bits: int, parts: str = "all") -> dict:
    """Round a model's weights in place; which, and the root of the mean square of the change, relative to them."""
    change = size = 0.0
    touched = weights_of(model, parts)
    for weight in touched.values():
        new = round_weight(weight, bits)
        change += float((new - weight).double().square().sum())
        size += float(weight.double().square().sum())
        weight.copy_(new)
    return {"touched": list(touched), "relative_change": (change / size) ** 0.5}


class Rounding:
    """A classifier's weights as `bits` bits hold them where losses are computed, and whole where they are updated.

    Gradients are taken at the rounded weights, and applied to the whole ones: the straight-through estimator of Bengio
    et al. (2013), as in quantization-aware training (Jacob et al. 2018).
    """

    def __init__(self, model: Model, bits: int) -> None:
        self.weights, self.bits = list(weights_of(model).values()), bits
        self.whole = [torch.empty_like(weight) for weight in self.weights]

    @torch.no_grad()
    def put(self) -> None:
        """Round the weights."""
        torch._foreach_copy_(self.whole, self.weights)
        torch._foreach_copy_(self.weights, [round_weight(weight, self.bits) for weight in self.weights])

    @torch.no_grad()
    def take_back(self) -> None:
        """Give the weights the values that they had before they were rounded."""
        torch._foreach_copy_(self.weights, self.whole)
