"""What an encoder is in memory: a network with its tokenizer, its labels and its masks; its shape and parameters."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from smaller.encoders.layout import TRAINED

HEAD_SEED = 0
"""What the weights of a head for masked language are drawn from, where an encoder was published without one."""

DRAWN_HEAD = "head_drawn_from_seed"
"""The entry of a configuration that says so; it stays with the head through steps and folders."""

# Transformers draws a bar and a report for every load; a study loads hundreds of models.
transformers_logging.disable_progress_bar()
transformers_logging.set_verbosity_error()


@dataclass
class Model:
    """A network with its tokenizer, its labels (empty for a masked-language model), and the masks that hold it sparse.

    `masks` maps parameter names inside the backbone to boolean tensors of the parameter's shape; False is pruned.
    `form` says how the weights are held: `TRAINED`, or what a `Quantize` step made of them.
    """

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    labels: tuple[str, ...] = ()
    masks: dict[str, Tensor] = field(default_factory=dict)
    form: str = TRAINED

    @property
    def backbone(self) -> PreTrainedModel:
        """The encoder without its head; the same module under every head."""
        return self.network.base_model

    @property
    def unit(self) -> str:
        """What the classifier gives a label to: "word" or "text"; empty for a masked-language model."""
        return unit_of(self.network.config)

    def copy(self) -> Model:
        """An independent model with the same weights and masks."""
        return Model(copy.deepcopy(self.network), self.tokenizer, self.labels, dict(self.masks), self.form)

    def masked_parameters(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Each pruned parameter with its mask."""
        return [(self.backbone.get_parameter(name), mask) for name, mask in self.masks.items()]


UNITS = {"TokenClassification": "word", "SequenceClassification": "text"}
"""What a head gives a label to, by what Transformers calls the head."""


def unit_of(config: PreTrainedConfig) -> str:
    """What the head that a configuration speaks of gives a label to: see `Model.unit`."""
    names = "".join(config.architectures or ())
    return next((unit for kind, unit in UNITS.items() if kind in names), "")


def head_note(model: Model) -> dict[str, str]:
    """What a record says of a head for masked language that was not published with its encoder; else empty."""
    seed = getattr(model.network.config, DRAWN_HEAD, None)
    if seed is None or model.labels:
        return {}
    return {
        "masked_language_head": f"not published with the encoder: drawn from seed {seed}, its output matrix is "
        "that of the embeddings"
    }


def parameter_count(network: nn.Module) -> int:
    """Parameters, tied ones counted once."""
    return sum(parameter.numel() for parameter in network.parameters())


def raw(tensor: Tensor) -> memoryview:
    """The bytes of a tensor's values, in order."""
    return memoryview(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())


def linear_weights(model: Model) -> dict[str, nn.Parameter]:
    """The weight matrices of the encoder's Linear layers by their names in the backbone; no bias, norm, or head."""
    backbone = model.backbone
    return {
        f"{name}.weight": module.weight
        for name, module in backbone.named_modules()
        if isinstance(module, nn.Linear) and name.startswith("encoder.")
    }


def embedding_weights(model: Model) -> dict[str, nn.Parameter]:
    """The embedding tables (tokens, positions, types) by their names in the backbone."""
    return {
        f"{name}.weight": module.weight
        for name, module in model.backbone.named_modules()
        if isinstance(module, nn.Embedding)
    }


def shape(model: Model) -> dict[str, int]:
    """Layers, heads, hidden and feed-forward size, and vocabulary of a model."""
    config = model.network.config
    return {
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "hidden": config.hidden_size,
        "feed_forward": getattr(config, "intermediate_size", 0) or getattr(config, "hidden_dim", 0),  # DistilBERT's
        "vocabulary": config.vocab_size,
    }


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text, whatever order they were written in."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
