"""Weights in a pickle, read once as tensors and nothing else, and kept in the cache as safetensors."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from smaller.base import paths
from smaller.base.errors import SmallerError
from smaller.base.files import draft_of, sweep, told, write_whole
from smaller.encoders.layout import WEIGHTS, file_digest, layout_of

if TYPE_CHECKING:
    from torch import Tensor

ABOUT = "about.json"


def converted(files: Sequence[Path], *, origin: Mapping[str, str]) -> Path:
    """The folder of the cache with the tensors of some pickles as safetensors, made if it is not there.

    Beside them lies `about.json`: `origin` (where the pickles are from), their checksums, and that of the result. The
    folder appears whole or not at all. Position numbers, which old versions stored, are left out, and what is there
    under two names is kept once. Raises SmallerError for a pickle with anything but tensors, and for a full disk.
    """
    digests = {file.name: digest_of(file) for file in files}
    place = folder() / hashlib.sha256(" ".join(digests.values()).encode()).hexdigest()[:32]
    if (place / WEIGHTS).is_file():
        return place
    remedy = "Make room, or set SMALLER_CACHE to another folder; nothing is left there half-written."
    with told(f"The weights in {files[0]} could not be converted into {place.parent}", remedy):
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_suffix(".lock")):
            if not (place / WEIGHTS).is_file():
                sweep(place)
                _write(place, once(tensors(files)), {"origin": dict(origin), "files": digests})
    return place


def readable(folder: Path) -> Path:
    """The folder that an encoder's weights are read from: its own, or that of its pickles as safetensors."""
    found = layout_of(folder)
    parts = [folder / name for name in found.weights if name.endswith(".bin")]
    return converted(parts, origin={"folder": folder.name}) if found.pickled else folder


def folder() -> Path:
    """Where converted weights lie."""
    return paths.cache_folder() / "encoders"


def _write(place: Path, state: dict[str, Tensor], about: dict) -> None:
    from safetensors.torch import save_file

    with draft_of(place) as draft:
        draft.mkdir()
        save_file(state, draft / WEIGHTS, metadata={"format": "pt"})
        result = {
            "format": 1,
            **about,
            "result": {WEIGHTS: file_digest(draft / WEIGHTS)},
            "tensors": len(state),
            "versions": {name: metadata.version(name) for name in ("torch", "safetensors")},
        }
        write_whole(draft / ABOUT, result)


def digest_of(file: Path) -> str:
    """A file's SHA-256; in the hub's cache, where a large file is stored under it and was held against it, the name."""
    stored = file.resolve().name
    return stored if re.fullmatch("[0-9a-f]{64}", stored) else file_digest(file)


def tensors(files: Sequence[Path]) -> dict[str, Tensor]:
    """The tensors of some pickles by name. Raises SmallerError, with the name, where there is anything else."""
    import torch
    from torch import Tensor, nn

    state: dict[str, Tensor] = {}
    for file in files:
        try:
            loaded = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as problem:  # torch has several kinds for what it refuses and for what is damaged
            raise SmallerError(f"{file} {_why(problem)}") from None
        if not isinstance(loaded, Mapping):
            raise SmallerError(
                f"{file} holds a {type(loaded).__name__} and no table of tensors, so it is not read. "
                "Use weights in safetensors."
            )
        for name, value in loaded.items():
            if not isinstance(name, str) or type(value) not in (Tensor, nn.Parameter) or value.layout != torch.strided:
                raise SmallerError(
                    f"{file} holds more than plain tensors: {name!r} is a {type(value).__name__}, so it "
                    "is not read. Use weights in safetensors."
                )
            state[name] = value.detach()
    return state


def _why(problem: Exception) -> str:
    said = " ".join(str(problem).split())
    named = re.search(r"(?:GLOBAL|class|function) ([\w.]*\w)", said)
    if "Weights only load failed" in said and named:
        return (
            f"names {named[1]}, so that reading it would run code. It was refused: weights are "
            "tensors and nothing else. Do not use this file."
        )
    return f"is damaged, or no pickle of tensors ({said[:160] or type(problem).__name__}). Fetch or copy it again."


def once(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without position numbers, and without a second name for what is there already."""
    return dict(_once(state))


def _once(state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    import torch

    seen, storages, tables = set(), set(), []
    for name, value in state.items():
        if not value.is_floating_point() and name.endswith(("position_ids", "token_type_ids")):
            continue
        place = (value.data_ptr(), value.shape, value.stride(), value.dtype)
        second = name.endswith("decoder.weight") and any(
            table.shape == value.shape and torch.equal(table, value) for table in tables
        )
        if second or (value.numel() and place in seen):
            continue
        seen.add(place)
        if name.endswith("word_embeddings.weight"):
            tables.append(value)
        # A tensor may be a part of a larger one, or share its memory, neither of which safetensors take.
        storage = value.untyped_storage()
        alone = storage.nbytes() == value.nbytes and storage.data_ptr() not in storages
        storages.add(storage.data_ptr())
        yield name, value.contiguous() if alone else value.clone(memory_format=torch.contiguous_format)
