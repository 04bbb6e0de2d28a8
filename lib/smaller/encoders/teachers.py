"""Models of any architecture that Transformers has: they label words or texts, and so can teach; no step cuts them."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, PreTrainedConfig

from smaller.base.errors import SmallerError
from smaller.encoders.building import HEADS
from smaller.encoders.folders import open_folder
from smaller.encoders.layout import CONFIGURATION, layout_of
from smaller.encoders.model import Model, unit_of
from smaller.encoders.pickles import converted
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
    found, weights = layout_of(folder), folder
    if found.pickled:
        pickles = [folder / name for name in found.weights if name.endswith(".bin")]
        weights = converted(pickles, origin={"folder": folder.name})
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        tokenizer = read_tokenizer(folder)
        _agree(config, tokenizer)
        unit = unit_of(config)
        # Transformers draws what is missing from the global state, which is left as it was.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network, report = HEADS.get(unit, AutoModel).from_pretrained(
                weights,
                config=config,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
        # A pooler is no part of what words are labelled by, and many are published without one.
        missing = sorted(key for key in report["missing_keys"] if unit or "pooler" not in key)
        if missing:
            raise ValueError(f"the weights lack {len(missing)} tensors, such as {missing[0]}")
    except Exception as problem:  # a damaged folder fails in many ways, all of them the user's to see
        raise SmallerError(f"The folder {folder} could not be read as a teacher: {problem}") from None
    labels = tuple(str(config.id2label[index]) for index in range(config.num_labels)) if unit else ()
    return Model(network.eval(), tokenizer, labels)


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
