"""A model as a folder that somebody else can use: weights in their format, tokenizer, labels, card, checksums."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

from safetensors.torch import save as safetensors
from transformers import PreTrainedTokenizerBase

from smaller import __version__, formats
from smaller.base.errors import SmallerError
from smaller.base.files import draft_of, require_place, told
from smaller.base.paths import expanded
from smaller.encoders import ABOUT_FILE, Model, open_folder, write_network
from smaller.encoders.adapters import adapter_size
from smaller.encoders.tokenizers import read_tokenizer
from smaller.formats.card import model_card
from smaller.formats.eager import Half, configuration, weights_file
from smaller.prediction import pipes
from smaller.prediction.tagging import Classified, Tagged, classify, tag

FORMAT = 1
PLAIN = (*formats.FULL_PRECISION, "fp16", "bf16")
"""The formats whose folder plain `from_pretrained` reads, since their weights are floats; not if there are adapters."""

_LIBRARIES = {
    "llm.int8": ("bitsandbytes",),
    "onnx": ("onnxruntime",),
    "onnx-int8": ("onnxruntime",),
    "openvino-int8": ("openvino", "nncf"),
}

_CARD_FILE = "README.md"
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
        about = _describe(model, draft, {file.name: _checksum(file) for file in sorted(draft.iterdir())})
        text = model_card(about, card or {}, name=folder.name, shipped_bytes=folder_bytes(draft))
        (draft / _CARD_FILE).write_text(text, encoding="utf-8")
    return folder


def folder_bytes(folder: Path) -> int:
    """The bytes of a shipped folder: all of its files but the README, which is for people."""
    return sum(file.stat().st_size for file in folder.iterdir() if file.name != _CARD_FILE)


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
        names = sorted({file.name for file in folder.iterdir()} | counted.keys())
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
    _write_tokenizer(model.tokenizer, folder)
    return counted


def _write_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write the tokenizer without what its last call left in it, so that one model always gives the same folder."""
    # Every call of the tokenizer sets both anew.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    said = json.loads(file.read_bytes())
    left = {*_OF_READING, *(side for side in ("padding_side", "truncation_side") if said.get(side) == "right")}
    kept = {name: value for name, value in said.items() if name not in left}
    file.write_text(json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _describe(model: Model, folder: Path, files: Mapping[str, str]) -> dict:
    """Write `smaller.json`, with the checksums of the files, and return what it says."""
    libraries = ("torch", "transformers", "tokenizers", *_LIBRARIES.get(model.form, ()))
    about = {
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
    (folder / ABOUT_FILE).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return about


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def open_shipped(folder: Path | str) -> Model:
    """The model in a shipped folder, in the format that it was shipped in; a plain folder of a tagger serves too.

    Raises SmallerError for a folder of a newer version, one with missing or changed files, and one whose format needs a
    library that is not here.
    """
    folder = expanded(folder)
    if not folder.is_dir():
        raise SmallerError(f"There is no folder {folder}. Name one that `ship` has written.")
    if not (folder / ABOUT_FILE).is_file():
        model = open_folder(folder)
        if not model.labels:
            raise SmallerError(f"The folder {folder} holds an encoder without a classifier, so it tags nothing.")
        return model
    about = _about(folder)
    form = about["form"]
    try:
        tokenizer = read_tokenizer(folder)
        if form in formats.FULL_PRECISION:
            return dataclasses.replace(open_folder(folder), form=form)
        network = formats.reader(form).read(folder, configuration(folder), form, about["settings"])
    except SmallerError:
        raise
    except Exception as problem:  # each library has kinds of its own for files that it cannot read
        raise SmallerError(f"The folder {folder} could not be read as {form}: {problem}") from None
    return Model(network.eval(), tokenizer, tuple(about["labels"]), {}, form)


def _about(folder: Path) -> dict:
    """What `smaller.json` says, once the folder is found to be as it was written."""
    try:
        about = json.loads((folder / ABOUT_FILE).read_bytes())
        if about["format"] > FORMAT:
            raise SmallerError(
                f"The folder {folder} has format {about['format']}, and this version of smaller ({__version__}) reads "
                f"format {FORMAT}. Use a newer one."
            )
        form, files = about["form"], dict(about["files"])
        wrong = [
            name for name, said in files.items() if not (folder / name).is_file() or _checksum(folder / name) != said
        ]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise SmallerError(f"{folder / ABOUT_FILE} cannot be read: {problem!r}. Ship the model again.") from None
    if form not in formats.FULL_PRECISION:
        formats.require_format(form)
    if wrong:
        raise SmallerError(
            f"The folder {folder} is not as it was shipped: {', '.join(wrong)} "
            f"{'is' if len(wrong) == 1 else 'are'} missing or changed. Copy it again."
        )
    return about


def predict_command(
    folder: Path | str, sentences: Sequence[str] = (), *, stream: BinaryIO | None = None, as_json: bool = False
) -> Iterator[str]:
    """The lines that `python -m smaller predict` prints: the entities or tags of each sentence, or the label of a text.

    Without sentences, the lines of a stream are answered as they come. With `as_json` one JSON object for each.
    """
    batches = [pipes.arguments(sentences)] if sentences or stream is None else pipes.batches(stream)
    model = open_shipped(folder)
    read = classify if model.unit == "text" else tag
    for batch in batches:
        for found in read(model, batch):
            if as_json:
                yield json.dumps(dataclasses.asdict(found), ensure_ascii=False)
            else:
                yield from _lines(found)


def _lines(found: Tagged | Classified) -> Iterator[str]:
    yield found.text
    if found.unknown > 0.2:
        yield (
            f"  note: {found.unknown:.0%} of the words hold characters that the model's vocabulary does not "
            "have; it was not made for this script, and its answer means little"
        )
    if isinstance(found, Classified):
        if found.truncated:
            yield "  note: longer than the model's positions, so only its beginning was read"
        yield f"  {found.label} ({found.score:.2f})" if found.label else "  no words"
        return
    if found.windows > 1:
        yield f"  note: longer than the model's positions, so read in {found.windows} parts"
    for entity in found.entities:
        yield f"  {entity.type:5} {entity.text}  ({entity.start}-{entity.end}, {entity.score:.2f})"
    if not found.entities:
        yield "  no entities" if found.words else "  no words"
