"""A model as a folder that somebody else can use: weights in their form, tokenizer, labels, card, checksums."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import BinaryIO

from smaller import __version__, forms, pipes
from smaller.adapters import adapter_size
from smaller.encoders import ABOUT_FILE, Model, open_folder, write_network
from smaller.encoders.tokenizers import read_tokenizer
from smaller.errors import SmallerError
from smaller.forms.eager import configuration
from smaller.model_card import model_card
from smaller.paths import expanded, require_place
from smaller.tagging import Classified, Tagged, classify, tag

FORMAT = 1
PLAIN = (*forms.FULL_PRECISION, "fp16", "bf16")
"""The forms whose folder plain `from_pretrained` reads, since their weights are floats; not if there are adapters."""

_LIBRARIES = {"llm.int8": ("bitsandbytes",), "onnx": ("onnxruntime",), "onnx-int8": ("onnxruntime",),
              "openvino-int8": ("openvino", "nncf")}  # fmt: skip


def ship(model: Model, folder: Path | str, *, card: Mapping | None = None) -> Path:
    """Write a folder from which `open_shipped` gives the same predictions in any other process; returns the folder.

    It appears whole or not at all, and takes the place of a folder that was shipped before, of nothing else. `card`
    is what the model card says: see `model_card`.
    """
    if not model.labels:
        raise SmallerError("Only a model with a classifier can be shipped; put FineTune into the recipe.")
    folder = require_place(folder, mark=ABOUT_FILE)
    draft = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        about = _written(model, draft)
        (draft / "README.md").write_text(model_card(about, card or {}, name=folder.name), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        draft.chmod(0o755)
        draft.rename(folder)
    except Exception as problem:  # the libraries that write weights and tokenizers have no OSError for a full disk
        reason = getattr(problem, "strerror", None) or problem
        raise SmallerError(f"The model could not be written to {folder}: {reason}. Make room, or name another "
                           "folder.") from problem  # fmt: skip
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def _written(model: Model, folder: Path) -> dict:
    """Write all but the card; returns what `smaller.json` says."""
    if model.form in forms.FULL_PRECISION:
        write_network(model.network, folder)
    else:
        model.network.write(folder)
    model.tokenizer.save_pretrained(folder)
    libraries = ("torch", "transformers", "tokenizers", *_LIBRARIES.get(model.form, ()))
    about = {
        "format": FORMAT,
        "form": model.form,
        "plain": model.form in PLAIN and not adapter_size(model.network.config),
        "unit": model.unit,
        "settings": model.network.settings() if isinstance(model.network, forms.Form) else {},
        "labels": list(model.labels),
        "parameters": forms.parameter_count(model.network),
        "bytes": forms.bytes_by_part(model.network),
        "versions": {"smaller": __version__} | {name: metadata.version(name) for name in libraries},
        "load": "smaller.shipping.open_shipped(folder)",
        "files": {file.name: _checksum(file) for file in sorted(folder.iterdir())},
    }
    (folder / ABOUT_FILE).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return about


def _checksum(file: Path) -> str:
    with file.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def open_shipped(folder: Path | str) -> Model:
    """The model in a shipped folder, in the form that it was shipped in; a plain folder of a tagger serves too.

    Raises SmallerError for a folder of a newer format, one with missing or changed files, and one whose form needs a
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
    try:
        tokenizer = read_tokenizer(folder)
        if about["form"] in forms.FULL_PRECISION:
            return dataclasses.replace(open_folder(folder), form=about["form"])
        config = configuration(folder)
        network = forms.reader(about["form"]).read(folder, config, about["form"], about["settings"])
    except SmallerError:
        raise
    except Exception as problem:  # each library has kinds of its own for files that it cannot read
        raise SmallerError(f"The folder {folder} could not be read as {about['form']}: {problem}") from None
    return Model(network.eval(), tokenizer, tuple(about["labels"]), {}, about["form"])


def _about(folder: Path) -> dict:
    """What `smaller.json` says, once the folder is found to be as it was written."""
    try:
        about = json.loads((folder / ABOUT_FILE).read_bytes())
        if about["format"] > FORMAT:
            raise SmallerError(f"The folder {folder} has format {about['format']}, and this version of smaller "
                               f"({__version__}) reads format {FORMAT}. Use a newer one.")  # fmt: skip
        form, files = about["form"], dict(about["files"])
        wrong = [name for name, checksum in files.items()
                 if not (folder / name).is_file() or _checksum(folder / name) != checksum]  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise SmallerError(f"{folder / ABOUT_FILE} cannot be read: {problem!r}. Ship the model again.") from None
    if form not in (*forms.FULL_PRECISION, *forms.FORMS):
        forms.require_form(form)
    if wrong:
        raise SmallerError(f"The folder {folder} is not as it was shipped: {', '.join(wrong)} "
                           f"{'is' if len(wrong) == 1 else 'are'} missing or changed. Copy it again.")  # fmt: skip
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
        yield (f"  note: {found.unknown:.0%} of the words hold characters that the model's vocabulary does not "
               "have; it was not made for this script, and its answer means little")  # fmt: skip
    yield from _label_line(found) if isinstance(found, Classified) else _entity_lines(found)


def _label_line(found: Classified) -> Iterator[str]:
    if found.truncated:
        yield "  note: longer than the model's positions, so only its beginning was read"
    yield f"  {found.label} ({found.score:.2f})" if found.label else "  no words"


def _entity_lines(tagged: Tagged) -> Iterator[str]:
    if tagged.windows > 1:
        yield f"  note: longer than the model's positions, so read in {tagged.windows} parts"
    for entity in tagged.entities:
        yield f"  {entity.type:5} {entity.text}  ({entity.start}-{entity.end}, {entity.score:.2f})"
    if not tagged.entities:
        yield "  no entities" if tagged.words else "  no words"
