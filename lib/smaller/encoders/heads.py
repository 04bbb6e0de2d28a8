"""The classifier that lies in a folder: what it labels, where the configuration does not say, and with which names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from transformers import PreTrainedConfig

from smaller.data.schemes import WrongTag, scheme_of
from smaller.encoders.layout import Layout
from smaller.encoders.model import UNITS, unit_of

Shapes = Mapping[str, tuple[int, ...]]


def shapes_in(folder: Path, found: Layout) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor in a folder's safetensors, by its name; no values are read."""
    shapes = {}
    for name in found.weights:
        if name.endswith(".safetensors"):
            with safe_open(folder / name, framework="pt") as file:
                shapes |= {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    return shapes


def name_head(config: PreTrainedConfig, shapes: Shapes, *, names: Mapping | None) -> None:
    """Have the configuration name its classifier, as far as the weights tell it, and every label of that.

    `names` is `id2label` as it stands in the file. Raises ValueError for what is left open: a classifier that may be of
    words or of texts, and labels that have no place.
    """
    if not config.architectures and (unit := _unit(config, shapes)):
        config.architectures = [_class_name(config, unit)]
    count = next((shapes[name][0] for name in ("classifier.weight", "classifier.out_proj.weight") if name in shapes), 0)
    if not unit_of(config) or not count:
        return
    if not names and count != config.num_labels:
        raise ValueError(
            f"its classifier has {count} labels, and config.json names none of them: add id2label, such "
            'as {"0": "O", "1": "B-PER"}'
        )
    if sorted(config.id2label) != list(range(count)):
        raise ValueError(
            f"its classifier has {count} labels, and id2label in config.json numbers them "
            f"{', '.join(map(str, sorted(config.id2label)))}: it takes those from 0 to "
            f"{count - 1}"
        )


def _unit(config: PreTrainedConfig, shapes: Shapes) -> str:
    """What the classifier among the weights labels: "word" or "text"; empty where there is none."""
    if "classifier.out_proj.weight" in shapes:
        return "text"  # RoBERTa's for texts has two layers, and that for words one
    if "classifier.weight" not in shapes:
        return ""
    if config.problem_type:
        return "text"
    pooled = any(name.endswith("pooler.dense.weight") for name in shapes)
    if shapes["classifier.weight"][0] > 1 and (config.model_type != "bert" or not pooled or _marks_spans(config)):
        return "word"
    kinds = ", or ".join(f'["{_class_name(config, unit)}"]' for unit in UNITS.values())
    raise ValueError(
        "config.json does not say whether its classifier labels words or whole texts: add to it "
        f'"architectures": {kinds}'
    )


def _class_name(config: PreTrainedConfig, unit: str) -> str:
    head = next(name for name, its in UNITS.items() if its == unit)
    return f"{type(config).__name__.removesuffix('Config')}For{head}"


def _marks_spans(config: PreTrainedConfig) -> bool:
    try:
        return scheme_of(map(str, config.id2label.values())) in ("bio", "io", "bioes")
    except WrongTag:
        return False
