"""The shape of an encoder: from the registry where it stands there, else from its configuration."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from smaller.encoders.hub import configuration_file
from smaller.encoders.registry import ENCODERS, Encoder
from smaller.encoders.served import read_configuration

if TYPE_CHECKING:
    from transformers import PreTrainedConfig


def with_shape(encoder: Encoder) -> Encoder:
    """The encoder with its shape; where only its configuration tells it, that is read, and fetched if need be."""
    if encoder.layers or not encoder.pretrained:
        return encoder
    file = configuration_file(encoder)
    found = read_configuration(file, where=f"The encoder {encoder.name}")
    return dataclasses.replace(
        encoder,
        layers=found["num_hidden_layers"],
        heads=found["num_attention_heads"],
        hidden=found["hidden_size"],
        feed_forward=found["intermediate_size"],
        vocabulary=found["vocab_size"],
        kind=found["model_type"],
        config=file,
    )


def configuration(encoder: Encoder | str, *, vocabulary: int | None = None) -> PreTrainedConfig:
    """The shape of a named encoder as a configuration: no weights, and no network where the shape is known here."""
    from transformers import AutoConfig, BertConfig, XLMRobertaConfig

    known = with_shape(ENCODERS[encoder] if isinstance(encoder, str) else encoder)
    if known.config is not None:
        return AutoConfig.from_pretrained(known.config.parent, local_files_only=True)
    shape = dict(
        num_hidden_layers=known.layers,
        num_attention_heads=known.heads,
        hidden_size=known.hidden,
        intermediate_size=known.feed_forward,
        vocab_size=vocabulary or known.vocabulary,
        layer_norm_eps=1e-5,
    )
    if known.kind == "bert":
        return BertConfig(**shape | {"layer_norm_eps": 1e-12})
    # Initial weights of a fixed size suit a width of 768; narrower layers need larger ones to say anything.
    spread = 0.02 * max(1.0, (768 / known.hidden) ** 0.5 / 1.4)
    return XLMRobertaConfig(
        **shape,
        max_position_embeddings=514,
        type_vocab_size=1,
        initializer_range=spread,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
    )
