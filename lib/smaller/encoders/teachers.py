"""Models of any architecture that Transformers has: they label words or texts, and so can teach; no step cuts them."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoConfig, AutoModel, PreTrainedConfig

from smaller.base.errors import SmallerError
from smaller.encoders.building import HEADS
from smaller.encoders.folders import class_names, open_folder, read_network
from smaller.encoders.layout import CONFIGURATION
from smaller.encoders.model import Model, unit_of
from smaller.encoders.pickles import readable
from smaller.encoders.served import SERVED, read_configuration, require_teacher_folder
from smaller.encoders.tokenizers import read_tokenizer


def only_teaches(model: Model) -> bool:
    """Whether nothing is known of a model's layers, so that it can be fine-tuned and can teach, and nothing else."""
    return model.network.config.model_type not in SERVED


def open_teacher(folder: Path) -> Model:
    """A model of any architecture from a folder, in fp32: a classifier with its labels, or an encoder without a head.

    Code that lies beside the weights is never run. Raises SmallerError, with the reason.
    """
    require_teacher_folder(folder)
    weights = readable(folder)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tokenizer = read_tokenizer(folder)
        _agree(config, tokenizer)
        unit = unit_of(config)
        network, missing = read_network(weights, HEADS.get(unit, AutoModel), config)
        # A pooler is no part of what words are labelled by, and many are published without one.
        if missing := [key for key in missing if unit or "pooler" not in key]:
            raise ValueError(f"the weights lack {len(missing)} tensors, such as {missing[0]}")
    except Exception as problem:  # a damaged folder fails in many ways, all of them the user's to see
        raise SmallerError(f"The folder {folder} could not be read as a teacher: {problem}") from None
    return Model(network.eval(), tokenizer, class_names(config))


def open_any(folder: Path) -> Model:
    """A model from a folder, also of an architecture that nothing can cut."""
    kind = read_configuration(folder / CONFIGURATION, where=f"The folder {folder}").get("model_type")
    return open_folder(folder) if kind in SERVED else open_teacher(folder)


def _agree(config: PreTrainedConfig, tokenizer) -> None:
    if tokenizer.pad_token_id is None:
        raise ValueError("its tokenizer names no pad token")
    if len(tokenizer) > config.vocab_size:
        raise ValueError(f"its tokenizer has {len(tokenizer):,} tokens, and the network rows for {config.vocab_size:,}")
    config.pad_token_id = tokenizer.pad_token_id
    tokenizer.model_max_length = min(tokenizer.model_max_length, getattr(config, "max_position_embeddings", 512))
