"""Models in folders of the hub's layout: read whatever its authors named things, written so that anybody reads it."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from smaller.base.errors import SmallerError
from smaller.encoders.adapters import adapter_size, with_adapters
from smaller.encoders.building import HEADS
from smaller.encoders.heads import name_head, shapes_in
from smaller.encoders.layout import ADAPTED_FILE, CONFIGURATION, MASKS_FILE, layout_of
from smaller.encoders.model import DRAWN_HEAD, HEAD_SEED, Model, unit_of
from smaller.encoders.pickles import readable
from smaller.encoders.served import read_configuration, require_folder
from smaller.encoders.tokenizers import read_tokenizer


def open_folder(folder: Path | str) -> Model:
    """A model from a folder of the hub's layout, in fp32, with its masks if it was saved with any.

    Weights in a pickle are converted once into safetensors in the cache. An encoder without a head for masked language
    is given one that is drawn from a fixed seed, and `head_note` says so. A classifier that the configuration does not
    name is found by its weights. A tokenizer that names no greatest length, or a greater one, gets the network's.
    Raises SmallerError, with what is missing.
    """
    folder = Path(folder)
    require_folder(folder)
    weights = readable(folder)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        tokenizer = read_tokenizer(folder)
        _agree(config, tokenizer)
        tokenizer.model_max_length = min(tokenizer.model_max_length, positions(config))
        written = read_configuration(folder / CONFIGURATION, where=f"The folder {folder}")
        name_head(config, shapes_in(weights, layout_of(weights)), names=written.get("id2label"))
        kind = HEADS.get(unit_of(config), AutoModelForMaskedLM)
        if adapter_size(config):
            network = with_adapters(kind.from_config(config, dtype=torch.float32, attn_implementation="sdpa"))
            network.load_state_dict(load_file(folder / ADAPTED_FILE))
        else:
            network = _complete(*read_network(weights, kind, config, attn_implementation="sdpa"))
        masks = load_file(folder / MASKS_FILE) if (folder / MASKS_FILE).is_file() else {}
    except Exception as problem:  # a damaged folder fails in many ways, all of them the user's to see
        why = str(problem)
        if "ignore_mismatched_sizes" in why:  # an option of Transformers, which nobody here can give
            why = "its weights have other shapes than its config.json says"
        raise SmallerError(f"The folder {folder} could not be read as an encoder: {why}") from None
    return Model(network.eval(), tokenizer, class_names(config), masks)


def read_network(
    weights: Path, kind: type, config: PreTrainedConfig, **options: object
) -> tuple[PreTrainedModel, list[str]]:
    """A network in fp32 from a folder's safetensors, and the names of the tensors that are not there."""
    # Transformers draws what is missing from the global state, which is left as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(HEAD_SEED)
        network, report = kind.from_pretrained(
            weights,
            config=config,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
    return network, sorted(report["missing_keys"])


def class_names(config: PreTrainedConfig) -> tuple[str, ...]:
    """The labels of the classifier that a configuration names, in their order; none without one."""
    return tuple(str(config.id2label[index]) for index in range(config.num_labels)) if unit_of(config) else ()


def _agree(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase) -> None:
    """Have the configuration name the padding token with which batches are filled, or raise ValueError."""
    absent = [piece for piece in ("pad", "unk", "mask") if getattr(tokenizer, f"{piece}_token_id") is None]
    if absent:
        raise ValueError(f"its tokenizer names no {' and no '.join(absent)} token")
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"its tokenizer has {len(tokenizer):,} tokens, and the network rows for {config.vocab_size:,}:"
            " give it the others with resize_token_embeddings, and save it again"
        )
    if config.model_type == "bert":
        # Here it only says which row is not trained; e5-small names the row of its first token.
        config.pad_token_id = tokenizer.pad_token_id
    elif config.pad_token_id != tokenizer.pad_token_id:
        raise ValueError(
            f"its network counts positions from the padding token of config.json, {config.pad_token_id}, "
            f"and its tokenizer pads with {tokenizer.pad_token_id}: mend what is wrong"
        )


def positions(config: PreTrainedConfig) -> int:
    """The tokens that a network reads at once; RoBERTa's kind counts positions from one after the padding token."""
    return config.max_position_embeddings - (0 if config.model_type == "bert" else config.pad_token_id + 1)


def _complete(network: PreTrainedModel, missing: list[str]) -> PreTrainedModel:
    """The network, unless weights of its encoder or classifier are `missing`, which are random ones then."""
    needed = [key for key in missing if key.startswith((network.base_model_prefix, "classifier"))]
    if needed:
        raise ValueError(f"the weights lack {len(needed)} tensors, such as {needed[0]}")
    if missing:
        setattr(network.config, DRAWN_HEAD, HEAD_SEED)
    if any(key.endswith("decoder.weight") for key in missing):
        network.config.tie_word_embeddings = True
        network.tie_weights()
    elif unit_of(network.config) == "":
        # Where an output matrix of its own was published, what is cut out of this network has one too.
        own = network.get_output_embeddings().weight is not network.get_input_embeddings().weight
        network.config.tie_word_embeddings = not own
    return network


def write_network(network: PreTrainedModel, folder: Path) -> None:
    """Write weights and configuration; where there are adapters, under a name that plain `from_pretrained` refuses."""
    network.save_pretrained(folder)
    (folder / ADAPTED_FILE).unlink(missing_ok=True)
    if adapter_size(network.config):
        (folder / "model.safetensors").rename(folder / ADAPTED_FILE)


def save(model: Model, folder: Path | str) -> None:
    """Write the model so that `open_folder`, and plain `from_pretrained` unless there are adapters, read it back."""
    folder = Path(folder)
    write_network(model.network, folder)
    model.tokenizer.save_pretrained(folder)
    (folder / MASKS_FILE).unlink(missing_ok=True)
    if model.masks:
        save_file({name: mask.contiguous() for name, mask in model.masks.items()}, folder / MASKS_FILE)
