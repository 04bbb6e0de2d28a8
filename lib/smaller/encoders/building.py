"""Networks with random weights, fresh heads on an encoder's weights, and an encoder's weights in another shape."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
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


def redrawn(model: Model, *, seed: int, **sizes: int) -> PreTrainedModel:
    """A network of the model's kind with random weights, and with other `sizes` in its configuration."""
    config = copy.deepcopy(model.network.config)
    config.update(sizes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return with_adapters(type(model.network)(config)).eval()


def reshaped(
    model: Model,
    state: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    **sizes: int,
) -> Model:
    """A model with the weights in `state`, copied where they are the old one's, with masks, and with other `sizes`."""
    old = {tensor.data_ptr() for tensor in model.network.state_dict().values()}
    with torch.device("meta"):
        network = redrawn(model, seed=0, **sizes)
    network.load_state_dict(
        {name: tensor.clone() if tensor.data_ptr() in old else tensor for name, tensor in state.items()}, assign=True
    )
    network.tie_weights()
    # What is not saved, such as position numbers, is the same in every shape.
    for name, buffer in model.network.named_buffers():
        parent, _, own = name.rpartition(".")
        if network.get_buffer(name).is_meta:
            network.get_submodule(parent).register_buffer(own, buffer.clone(), persistent=False)
    return Model(network, tokenizer or model.tokenizer, model.labels, dict(masks), model.form)
