"""A model as a folder that somebody else can use: weights in their format, tokenizer, labels, card, checksums."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from safetensors.torch import save as safetensors

from smaller import __version__, formats
from smaller.base.errors import SmallerError
from smaller.base.files import draft_of, require_place, told
from smaller.base.paths import expanded
from smaller.encoders import ABOUT_FILE, Model, canonical, open_folder, write_network
from smaller.encoders.adapters import adapter_size
from smaller.encoders.folders import positions
from smaller.encoders.tokenizers import read_tokenizer
from smaller.formats.card import model_card
from smaller.formats.eager import Half, configuration, weights_file
from smaller.prediction.tagging import ModelReader
from smaller.serving import stream as streams
from smaller.serving.folder import CARD_FILE, FORMAT, GRAPHS, about, checksum, files_of, folder_bytes, require_there

PLAIN = (*formats.FULL_PRECISION, "fp16", "bf16")
"""The formats whose folder plain `from_pretrained` reads, since their weights are floats; not if there are adapters."""

_LIBRARIES = {
    "llm.int8": ("bitsandbytes",),
    "onnx": ("onnxruntime",),
    "onnx-int8": ("onnxruntime",),
    "onnx-int4": ("onnxruntime",),
    "openvino-int8": ("openvino", "nncf"),
}

_OF_READING = "is_local local_files_only trust_remote_code max_length stride truncation_strategy".split()
_OF_READING += ["pad_to_multiple_of", "pad_token_type_id"]
"""What a tokenizer's configuration holds of how it was opened and last called."""


def ship(model: Model, folder: Path | str, *, card: Mapping | None = None) -> Path:
    """Write a folder from which `open_shipped` gives the same predictions in any other process; returns the folder.

    It appears whole or not at all, and takes the place of a folder that was shipped before, of nothing else. `card`
    is what the model card says: see `model_card`.
    """
    if not model.labels:
        raise SmallerError("Only a model with a classifier can be shipped; put FineTune into the recipe.")
    folder = require_place(folder, mark=ABOUT_FILE)
    failure = f"The model could not be written to {folder}"
    with told(failure, "Make room, or name another folder."), draft_of(folder) as draft:
        draft.mkdir()
        _write(model, draft)
        said = _describe(model, draft, {name: checksum(file) for name, file in files_of(draft)})
        text = model_card(said, card or {}, name=folder.name, shipped_bytes=folder_bytes(draft))
        (draft / CARD_FILE).write_text(text, encoding="utf-8")
    return folder


def shipped_bytes(model: Model) -> int | None:
    """What `folder_bytes` would be of the folder that `ship` writes; None for a model that cannot be shipped.

    Weights in floats, which are most of the bytes of a model that was not quantized, are counted without being written.
    """
    if not model.labels:
        return None
    remedy = f"Make room in {tempfile.gettempdir()}, or name another folder in TMPDIR."
    with (
        told("The bytes that ship could not be counted", remedy),
        tempfile.TemporaryDirectory(prefix="smaller-") as name,
    ):
        folder = Path(name)
        counted = _write(model, folder, weights=False)
        names = sorted({name for name, _ in files_of(folder)} | counted.keys())
        _describe(model, folder, dict.fromkeys(names, f"sha256:{'0' * 64}"))
        return folder_bytes(folder) + sum(counted.values())


def _write(model: Model, folder: Path, *, weights: bool = True) -> dict[str, int]:
    """Write network and tokenizer; returns the bytes of what is not written: without `weights`, the file of floats."""
    network = model.network.network if isinstance(model.network, Half) else model.network
    counted = {}
    if isinstance(network, formats.Format):
        network.write(folder)
    elif weights:
        write_network(network, folder)
    else:
        network.save_pretrained(folder, state_dict={})  # the configuration alone
        counted[weights_file(network.config)] = len(safetensors(network.state_dict(), metadata={"format": "pt"}))
    _write_tokenizer(model, folder)
    if model.form in GRAPHS:
        shutil.copyfile(Path(__file__).with_name("run.py.txt"), folder / "run.py")
    return counted


def _write_tokenizer(model: Model, folder: Path) -> None:
    """Write the tokenizer as short as can be, without what its last call left, so that one model gives one folder."""
    model.tokenizer.save_pretrained(folder)
    file = folder / "tokenizer.json"
    said = json.loads(file.read_bytes()) | {"truncation": None, "padding": None}  # every call sets both anew
    if said["model"]["type"] == "Unigram":
        # Four decimals are a third fewer bytes. Of 84,000 lines in 14 languages, 1 is cut otherwise with mini-base's
        # tokenizer and 4 with e5-small's, each where two ways to cut a word are equally likely.
        said["model"]["vocab"] = [[token, round(score, 4)] for token, score in said["model"]["vocab"]]
    file.write_text(json.dumps(said, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
    file = folder / "tokenizer_config.json"
    said = json.loads(file.read_bytes())
    left = {*_OF_READING, *(side for side in ("padding_side", "truncation_side") if said.get(side) == "right")}
    kept = {name: value for name, value in said.items() if name not in left}
    # Other runtimes cut a text here, and know no positions.
    kept["model_max_length"] = min(model.tokenizer.model_max_length, positions(model.network.config))
    file.write_text(canonical(kept), encoding="utf-8")


def _describe(model: Model, folder: Path, files: Mapping[str, str]) -> dict:
    """Write `smaller.json`, with the checksums of the files, and return what it says."""
    libraries = ("torch", "transformers", "tokenizers", *_LIBRARIES.get(model.form, ()))
    said = {
        "format": FORMAT,
        "form": model.form,
        "plain": model.form in PLAIN and not adapter_size(model.network.config),
        "unit": model.unit,
        "settings": model.network.settings() if isinstance(model.network, formats.Format) else {},
        "labels": list(model.labels),
        "parameters": formats.parameter_count(model.network),
        "bytes": formats.bytes_by_part(model.network),
        "versions": {"smaller": __version__} | {name: metadata.version(name) for name in libraries},
        "load": "smaller.formats.shipping.open_shipped(folder)",
        "files": dict(files),
    }
    (folder / ABOUT_FILE).write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return said


def open_shipped(folder: Path | str) -> Model:
    """The model in a shipped folder, in the format that it was shipped in; a plain folder of a tagger serves too.

    Raises SmallerError for a folder of a newer version, one with missing or changed files, and one whose format needs a
    library that is not here.
    """
    folder = expanded(folder)
    require_there(folder)
    if not (folder / ABOUT_FILE).is_file():
        if any((folder / graph).is_file() for graph in GRAPHS.values()):
            raise SmallerError(f"The folder {folder} is not as it was shipped: {ABOUT_FILE} is missing. Copy it again.")
        model = open_folder(folder)
        if not model.labels:
            raise SmallerError(f"The folder {folder} holds an encoder without a classifier, so it tags nothing.")
        return model
    said = about(folder)
    form = said["form"]
    if form not in formats.FULL_PRECISION:
        formats.require_format(form)
    try:
        tokenizer = read_tokenizer(folder)
        if form in formats.FULL_PRECISION:
            return dataclasses.replace(open_folder(folder), form=form)
        network = formats.reader(form).read(folder, configuration(folder), form, said["settings"])
    except SmallerError:
        raise
    except Exception as problem:  # each library has kinds of its own for files that it cannot read
        raise SmallerError(f"The folder {folder} could not be read as {form}: {problem}") from None
    return Model(network.eval(), tokenizer, tuple(said["labels"]), {}, form)


def predict_command(folder: Path | str, sentences: Sequence[str] = (), **options: object) -> Iterator[str]:
    """The lines that `python -m smaller predict` prints for a folder of any format: see `serving.stream.predict`."""
    model = open_shipped(folder)
    return itertools.chain.from_iterable(streams.predict(ModelReader(model), sentences, **options))
