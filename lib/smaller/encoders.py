"""Encoders by name: build, load, copy, save; their shape, parameters and bytes."""

from __future__ import annotations

import contextlib
import copy
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    XLMRobertaConfig,
)
from transformers.utils import logging as transformers_logging

from smaller import paths
from smaller.adapters import ADAPTED_FILE, adapter_size, with_adapters
from smaller.data import sample
from smaller.errors import SmallerError, did_you_mean
from smaller.initialisation import look_at_neighbours

MASKS_FILE = "masks.safetensors"
ABOUT_FILE = "smaller.json"
"""What a shipped folder says of itself: its form, and whether plain loaders read it."""

_HEADS = {"word": AutoModelForTokenClassification, "text": AutoModelForSequenceClassification}
"""The heads by what they label: see `data.tasks.Task.unit`."""

# Transformers draws a bar and a report for every load; a study loads hundreds of models.
transformers_logging.disable_progress_bar()
transformers_logging.set_verbosity_error()


@dataclass(frozen=True)
class Encoder:
    """A named starting point: a repository on the model hub, or a shape that a `Pretrain` step fills with weights."""

    name: str
    layers: int
    heads: int = 6
    hidden: int = 768
    feed_forward: int = 3072
    vocabulary: int = 70_006
    repository: str | None = None
    revision: str | None = None
    licence: str = "MIT"
    note: str = ""

    @property
    def pretrained(self) -> bool:
        """Whether there are weights to load; the sample family has none before its `Pretrain` step."""
        return self.repository is not None


def _afriberta(size: str, layers: int) -> Encoder:
    # The hub lists no tags for these repositories: the commit that was loaded is written into every record instead.
    return Encoder(f"afriberta-{size}", layers, repository=f"castorini/afriberta_{size}", revision="main")


def _sample(size: str, layers: int) -> Encoder:
    note = "AfriBERTa's depth and heads at an eighth of its width, without weights before its Pretrain step"
    return Encoder(f"sample-{size}", layers, hidden=96, feed_forward=384, vocabulary=0, licence="Apache-2.0", note=note)


ENCODERS: dict[str, Encoder] = {
    encoder.name: encoder
    for encoder in (
        _sample("small", 4),
        _sample("base", 8),
        _sample("large", 10),
        _afriberta("small", 4),
        _afriberta("base", 8),
        _afriberta("large", 10),
        Encoder("xlm-r-base", 12, heads=12, vocabulary=250_002, repository="FacebookAI/xlm-roberta-base",
                revision="e73636d4f797dec63c3081bb6ed5c7b0bb3f2089"),
        Encoder("mbert", 12, heads=12, vocabulary=119_547, repository="google-bert/bert-base-multilingual-cased",
                revision="3f076fdb1ab68d5b2880cb87a0886f315b8146f8", licence="Apache-2.0"),
    )
}  # fmt: skip
"""Encoders that are known by name (paper 1, section 3; paper 2, section 3); a folder of the hub's layout serves too."""


TRAINED = "trained"
"""The form of a model as training leaves it: fp32 weights, bfloat16 products where the processor has them."""


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
        return _unit(self.network.config)

    def copy(self) -> Model:
        """An independent model with the same weights and masks."""
        return Model(copy.deepcopy(self.network), self.tokenizer, self.labels, dict(self.masks), self.form)

    def masked_parameters(self) -> list[tuple[nn.Parameter, Tensor]]:
        """Each pruned parameter with its mask."""
        return [(self.backbone.get_parameter(name), mask) for name, mask in self.masks.items()]


def configuration(encoder: Encoder | str, *, vocabulary: int | None = None) -> PreTrainedConfig:
    """The shape of a named encoder as a configuration, from this file alone: no weights and no network."""
    known = ENCODERS[encoder] if isinstance(encoder, str) else encoder
    shape = dict(
        num_hidden_layers=known.layers,
        num_attention_heads=known.heads,
        hidden_size=known.hidden,
        intermediate_size=known.feed_forward,
        vocab_size=vocabulary or known.vocabulary,
        layer_norm_eps=1e-5,
    )
    if known.name == "mbert":
        return BertConfig(**shape | {"layer_norm_eps": 1e-12})
    # Initial weights of a fixed size suit a width of 768; narrower layers need larger ones to say anything.
    spread = 0.02 * max(1.0, (768 / known.hidden) ** 0.5 / 1.4)
    return XLMRobertaConfig(**shape, max_position_embeddings=514, type_vocab_size=1, initializer_range=spread,
                            pad_token_id=1, bos_token_id=0, eos_token_id=2)  # fmt: skip


def build(config: PreTrainedConfig, *, seed: int) -> PreTrainedModel:
    """A masked-language model of the given shape with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForMaskedLM.from_config(config).eval()


def _unit(config: PreTrainedConfig) -> str:
    kinds = {"TokenClassification": "word", "SequenceClassification": "text"}
    names = "".join(config.architectures or ())
    return next((unit for kind, unit in kinds.items() if kind in names), "")


def with_classifier(
    model: Model, labels: Sequence[str], *, seed: int, unit: str = "word", adapter_size: int = 0
) -> Model:
    """The model's encoder under a fresh head for words or for texts; the encoder's weights are copied.

    With an `adapter_size`, each layer has a fresh adapter of that width (see `adapters`).
    """
    config = copy.deepcopy(model.network.config)
    if adapter_size:
        config.adapter_size = adapter_size
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: index for index, label in enumerate(labels)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = with_adapters(_HEADS[unit].from_config(config))
    network.config.architectures = [type(network).__name__]
    network.base_model.load_state_dict(model.backbone.state_dict(), strict=False)
    return Model(network.eval(), model.tokenizer, tuple(labels), dict(model.masks))


def source(name: str) -> Encoder | Path:
    """What a name stands for: a folder (a path, or a name under `SMALLER_MODELS`), or a registered encoder.

    A folder goes first, so that weights which were fetched by hand serve under the name that they have on the hub.
    """
    if name in ENCODERS and not ENCODERS[name].pretrained:
        return ENCODERS[name]
    models = paths.models_folder()
    candidates = [Path(name).expanduser()] if "/" in name or "\\" in name else []
    candidates += [models / name] if models else []
    for folder in candidates:
        if folder.is_dir():
            _require_weights(folder)
            return folder
    if name in ENCODERS:
        return ENCODERS[name]
    local = sorted(path.parent.name for path in models.glob("*/config.json")) if models else []
    where = f"under SMALLER_MODELS ({models})" if models else "and SMALLER_MODELS is not set"
    raise SmallerError(
        f"There is no encoder {name!r}: it is not one of {', '.join([*ENCODERS, *local])}, and there is no such folder "
        f"{where}.{did_you_mean(name, [*ENCODERS, *local])}"
    )


def _require_weights(folder: Path) -> None:
    with contextlib.suppress(OSError, ValueError):
        about = json.loads((folder / ABOUT_FILE).read_bytes())
        if isinstance(about, dict) and not about.get("plain", True) and about.get("form") not in (TRAINED, "fp32"):
            raise SmallerError(f"The folder {folder} holds a model in the form {about.get('form')}, which is no plain "
                               "encoder: open it with smaller.shipping.open_shipped.")  # fmt: skip
    missing = [file for file in ("config.json", "tokenizer.json") if not (folder / file).is_file()]
    if not any(file.name != MASKS_FILE for file in folder.glob("*.safetensors")):
        missing.append("model.safetensors")
    if missing:
        pickled = " Weights in a pickle (pytorch_model.bin) are not read: convert them to safetensors first." * (
            (folder / "pytorch_model.bin").is_file()
        )
        raise SmallerError(f"The encoder folder {folder} holds no {' and no '.join(missing)}.{pickled}")


@functools.cache
def revision(name: str) -> str:
    """What pins the weights behind a name: a commit of the hub, or a checksum of the folder's files.

    The sample family has no weights, so its revision is its shape.
    """
    found = source(name)
    if isinstance(found, Path):
        digest = hashlib.sha256()
        for file in sorted([*found.glob("*.safetensors"), found / "config.json", found / "tokenizer.json"]):
            digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
        return f"sha256:{digest.hexdigest()[:32]}"
    if not found.pretrained:
        return f"shape:{found.layers}x{found.heads}x{found.hidden}x{found.feed_forward}"
    return _hub_commit(found)


def _hub_commit(encoder: Encoder) -> str:
    """The commit of the snapshot in the hub's cache; fetches nothing but the configuration."""
    from huggingface_hub import hf_hub_download

    try:
        file = hf_hub_download(encoder.repository, "config.json", revision=encoder.revision)
    except Exception as problem:  # the hub client raises a dozen kinds for one situation
        raise _cannot_load(encoder, problem) from None
    return Path(file).parent.name


def _cannot_load(encoder: Encoder, problem: Exception) -> SmallerError:
    return SmallerError(
        f"The encoder {encoder.name} ({encoder.repository} at {encoder.revision}) could not be loaded from the model "
        f"hub or its cache: {str(problem).splitlines()[0] if str(problem) else type(problem).__name__}. "
        "Fetch it once where there is a network (`python -m smaller fetch " + encoder.name + "`), "
        "or put a folder of that name under SMALLER_MODELS."
    )


def load(name: str) -> Model:
    """The masked-language model behind a name, in fp32, from safetensors only; random weights for the sample family."""
    found = source(name)
    if isinstance(found, Path):
        return open_folder(found)
    if not found.pretrained:
        tokenizer = sample.tokenizer()
        network = build(configuration(found, vocabulary=len(tokenizer)), seed=0)
        look_at_neighbours(network)
        return Model(network, tokenizer)
    try:
        commit = revision(name)
        tokenizer = AutoTokenizer.from_pretrained(found.repository, revision=commit)
        network = _complete(AutoModelForMaskedLM.from_pretrained(
            found.repository, revision=commit, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        ))  # fmt: skip
    except Exception as problem:  # no network, no such file, a damaged file: each library has kinds of its own
        raise _cannot_load(found, problem) from None
    tokenizer.model_max_length = 512  # the published tokenizers do not say so (AfriBERTa's model card)
    return Model(network.eval(), tokenizer)


def open_folder(folder: Path | str) -> Model:
    """A model from a folder of the hub's layout, with its masks if it was saved with any."""
    folder = Path(folder)
    _require_weights(folder)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        unit = _unit(config)
        kind = _HEADS.get(unit, AutoModelForMaskedLM)
        if adapter_size(config):
            network = _read_adapted(folder, kind.from_config(config, dtype=torch.float32, attn_implementation="sdpa"))
        else:
            network = _complete(kind.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, attn_implementation="sdpa",
                output_loading_info=True,
            ))  # fmt: skip
        masks = load_file(folder / MASKS_FILE) if (folder / MASKS_FILE).is_file() else {}
    except Exception as problem:  # a damaged folder fails in many ways, all of them the user's to see
        raise SmallerError(f"The folder {folder} could not be read as an encoder: {problem}") from None
    labels = tuple(config.id2label[index] for index in range(config.num_labels)) if unit else ()
    return Model(network.eval(), tokenizer, labels, masks)


def _complete(loaded: tuple[PreTrainedModel, dict]) -> PreTrainedModel:
    """The network, unless weights of its encoder or classifier are not there: Transformers would draw random ones."""
    network, report = loaded
    missing = sorted(key for key in report["missing_keys"] if key.startswith((network.base_model_prefix, "classifier")))
    if missing:
        raise ValueError(f"the weights lack {len(missing)} tensors, such as {missing[0]}")
    return network


def _read_adapted(folder: Path, network: PreTrainedModel) -> PreTrainedModel:
    network = with_adapters(network)
    network.load_state_dict(load_file(folder / ADAPTED_FILE))
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


def parameter_count(network: nn.Module) -> int:
    """Parameters, tied ones counted once."""
    return sum(parameter.numel() for parameter in network.parameters())


def linear_weights(model: Model) -> dict[str, nn.Parameter]:
    """The weight matrices of the encoder's Linear layers by their names in the backbone; no bias, norm, or head."""
    backbone = model.backbone
    return {
        f"{name}.weight": module.weight
        for name, module in backbone.named_modules()
        if isinstance(module, nn.Linear) and name.startswith("encoder.")
    }


def embedding_weights(model: Model) -> dict[str, nn.Parameter]:
    """The embedding tables (pieces, positions, types) by their names in the backbone."""
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
        "feed_forward": config.intermediate_size,
        "vocabulary": config.vocab_size,
    }


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text, whatever order they were written in."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
