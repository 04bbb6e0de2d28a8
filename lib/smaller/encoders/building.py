"""Networks with random weights, and fresh heads on an encoder's weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
    PreTrainedModel,
)

from smaller.encoders.adapters import with_adapters
from smaller.encoders.model import DRAWN_HEAD, Model

HEADS = {"word": AutoModelForTokenClassification, "text": AutoModelForSequenceClassification}
"""The heads by what they label: see `data.tasks.Task.unit`."""


def build(config: PreTrainedConfig, *, seed: int) -> PreTrainedModel:
    """A masked-language model of the given shape with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForMaskedLM.from_config(config).eval()


def with_classifier(
    model: Model, labels: Sequence[str], *, seed: int, unit: str = "word", adapter_size: int = 0
) -> Model:
    """The model's encoder under a fresh head for words or for texts; the encoder's weights are copied.

    With an `adapter_size`, each layer has a fresh adapter of that width (see `adapters`).
    """
    config = copy.deepcopy(model.network.config)
    vars(config).pop(DRAWN_HEAD, None)
    if adapter_size:
        config.adapter_size = adapter_size
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = with_adapters(HEADS[unit].from_config(config))
    network.config.architectures = [type(network).__name__]
    network.base_model.load_state_dict(model.backbone.state_dict(), strict=False)
    return Model(network.eval(), model.tokenizer, tuple(labels), dict(model.masks))
