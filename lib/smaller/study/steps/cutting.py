"""A smaller model cut out of a larger one: fewer layers, other heads, the same width and vocabulary."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from smaller.base.checks import is_count, require, require_choice, require_counts
from smaller.encoders import Model, redrawn, reshaped
from smaller.study.steps.base import Step

LAYER_MAPS = ("stride", "first", "last", "ends")
STARTS = ("teacher", "random")


@dataclass(frozen=True)
class Cut(Step):
    """Keep some layers, as the student of a distillation does, and train nothing: the control for what `Distil` adds.

    `layers` of the model's are kept: evenly spread ("stride", see `layers_kept`), the "first", the "last", half of them
    from both "ends", or those named by their indices from 0. With other `heads` the same matrices are split anew, which
    changes the function. `start`: "teacher" keeps the weights; "random" draws all of them from `seed` and keeps the
    shape and the tokenizer, for the control that is trained from nothing.
    """

    layers: int
    heads: int | None = None
    layer_map: str | tuple[int, ...] = "stride"
    start: str = "teacher"
    seed: int = 0

    technique: ClassVar[str] = "cut"

    def __post_init__(self) -> None:
        check_shape(self)
        require_counts(self, "seed")
        if self.start == "random":
            require(self.layer_map == "stride", "Cut(start='random') keeps no layer, so it takes no layer_map.")
        else:
            require(self.seed == 0, "Cut(start='teacher') draws nothing, so it takes no seed.")

    @property
    def label(self) -> str:
        return f"Cut({', '.join(shape_label(self))})"

    def columns(self) -> dict[str, Any]:
        return {"start": self.start, "layer_map": str(self.layer_map)}

    def resize(self, shape: dict[str, int]) -> dict[str, int]:
        return shape | {"layers": self.layers, "heads": self.heads or shape["heads"]}

    def apply(self, model: Model, **_: Any) -> tuple[Model, dict]:
        """The smaller model; the report names the layers that it has of the larger one."""
        kept = layers_kept(self.layer_map, layers=self.layers, of=model.network.config.num_hidden_layers)
        smaller = cut(model, kept, heads=self.heads, start=self.start, seed=self.seed)
        return smaller, {"layer_map": list(kept) if self.start == "teacher" else []}


def check_shape(step: Step) -> None:
    """The fields that a cut has, in whatever step; the layer map is kept as a tuple."""
    require_counts(step, "layers", "heads")
    require_choice(step, "start", STARTS)
    if isinstance(step.layer_map, str):
        return require_choice(step, "layer_map", LAYER_MAPS)
    chosen = step.layer_map
    name = type(step).__name__
    require(
        isinstance(chosen, (tuple, list)) and all(map(is_count, chosen)),
        f"{name}'s layer_map is one of {', '.join(LAYER_MAPS)}, or a list of layers, counted from 0; it is {chosen!r}.",
    )
    require(
        len(chosen) == step.layers and list(chosen) == sorted(set(chosen)),
        f"{name}'s layer_map names {step.layers} layers, each once and in rising order; it is {chosen!r}.",
    )
    object.__setattr__(step, "layer_map", tuple(chosen))


def shape_label(step: Step) -> list[str]:
    """What names a cut in a label: layers, heads, and whatever is not the default."""
    chosen = step.layer_map if isinstance(step.layer_map, str) else "layers " + " ".join(map(str, step.layer_map))
    return [
        f"{step.layers} layers",
        *([f"{step.heads} heads"] if step.heads is not None else []),
        *([chosen] if chosen != "stride" else []),
        *(["random start"] if step.start == "random" else []),
    ]


def layers_kept(layer_map: str | tuple[int, ...], *, layers: int, of: int) -> tuple[int, ...]:
    """Which of a model's layers, counted from 0, become the layers of the smaller one.

    "stride" spreads n of N layers evenly from the first to the last: layer i is round(i (N - 1) / (n - 1)). The first
    layer knows the embeddings, the last one the head, and 12 to 6 gives DistilBERT's choice, 0 2 4 7 9 11 (Sanh et al.
    2019, their extraction script). Every second layer from 0, as in paper 2, is a layer map by indices. A single layer
    is the first. "ends" takes half of them from each end, of an odd number one more from the beginning. Raises
    SmallerError for more layers than there are, or an index beyond the last.
    """
    require(layers <= of, f"The model has {of} layers, so {layers} cannot be kept; ask for at most {of}.")
    if layer_map == "first":
        return tuple(range(layers))
    if layer_map == "last":
        return tuple(range(of - layers, of))
    if layer_map == "ends":
        return (*range(-(-layers // 2)), *range(of - layers // 2, of))
    if layer_map == "stride":
        gaps = max(1, layers - 1)
        return tuple((2 * index * (of - 1) + gaps) // (2 * gaps) for index in range(layers))
    require(
        layer_map[-1] < of,
        f"The layer map {layer_map} names layer {layer_map[-1]}, but the model's last layer is "
        f"{of - 1}: they are counted from 0.",
    )
    return layer_map


def cut(model: Model, kept: tuple[int, ...], *, heads: int | None, start: str, seed: int) -> Model:
    """The model with only the layers of the given indices, its other weights, its tokenizer, labels and masks.

    With `start` "random" all weights are drawn from `seed` and no mask is left. Raises SmallerError unless the heads
    divide the hidden size.
    """
    config = model.network.config
    heads = config.num_attention_heads if heads is None else heads
    require(
        config.hidden_size % heads == 0,
        f"{heads} heads do not divide the hidden size of {config.hidden_size}: each head takes an equal share of it.",
    )
    sizes = {"num_hidden_layers": len(kept), "num_attention_heads": heads}
    if start == "random":
        return Model(redrawn(model, seed=seed, **sizes), model.tokenizer, model.labels)
    names = {f"encoder.layer.{old}.": f"encoder.layer.{new}." for new, old in enumerate(kept)}
    state, masks = (_renamed(tensors, names) for tensors in (model.network.state_dict(), model.masks))
    return reshaped(model, state, masks, **sizes)


def _renamed(tensors: dict, names: dict[str, str]) -> dict:
    """The tensors of the layers that are kept, under their new numbers, and all that belong to no layer."""
    renamed = {}
    for name, tensor in tensors.items():
        found = re.search(r"encoder\.layer\.\d+\.", name)
        if found is None:
            renamed[name] = tensor
        elif found[0] in names:
            renamed[name.replace(found[0], names[found[0]])] = tensor
    return renamed
