"""A shipped folder: what it says of itself, whether its files are as they were, and the graph that it holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from smaller import __version__
from smaller.base.errors import SmallerError
from smaller.base.files import ABOUT_FILE

FORMAT = 2
"""The version of the layout; in 1 a graph lay at the top, and its mask was boolean. Both are read."""

CARD_FILE = "README.md"

GRAPHS = {"onnx": "onnx/model.onnx", "onnx-int8": "onnx/model_quantized.onnx", "onnx-int4": "onnx/model_q4.onnx"}
"""Where the graph of a format lies: the names that the hub's tools for ONNX look for."""


def require_there(folder: Path) -> None:
    """Raise SmallerError unless there is a folder."""
    if not folder.is_dir():
        raise SmallerError(f"There is no folder {folder}. Name one that `ship` has written.")


def about(folder: Path) -> dict:
    """What a folder says of itself, once it is found to be as it was shipped; raises SmallerError otherwise."""
    try:
        found = json.loads((folder / ABOUT_FILE).read_bytes())
        if found["format"] > FORMAT:
            raise SmallerError(
                f"The folder {folder} has format {found['format']}, and this version of smaller ({__version__}) reads "
                f"format {FORMAT}. Use a newer one."
            )
        found |= {name: found[name] for name in ("form", "unit", "labels", "settings")}  # each has to be there
        wrong = [
            name
            for name, said in dict(found["files"]).items()
            if not (folder / name).is_file() or checksum(folder / name) != said
        ]
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise SmallerError(f"{folder / ABOUT_FILE} cannot be read: {problem!r}. Ship the model again.") from None
    if wrong:
        raise SmallerError(
            f"The folder {folder} is not as it was shipped: {', '.join(wrong)} "
            f"{'is' if len(wrong) == 1 else 'are'} missing or changed. Copy it again."
        )
    return found


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """All files of a folder but the card and what it says of itself, by their names in it, in order."""
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and name not in (CARD_FILE, ABOUT_FILE):
            yield name, file


def folder_bytes(folder: Path) -> int:
    """The bytes of a shipped folder: all of its files but the README, which is for people."""
    return sum(file.stat().st_size for _, file in files_of(folder)) + (folder / ABOUT_FILE).stat().st_size


def checksum(file: Path) -> str:
    """The SHA-256 of a file's content, as `smaller.json` has it."""
    with file.open("rb") as stream:
        return f"sha256:{hashlib.file_digest(stream, 'sha256').hexdigest()}"


def graph_of(folder: Path, form: str) -> Path:
    """The graph in a folder of an ONNX format; at the top of the folder in those of format 1."""
    old = folder / "model.onnx"
    return old if old.is_file() else folder / GRAPHS[form]


class Graph:
    """A graph run by ONNX Runtime on so many threads."""

    def __init__(self, file: Path, *, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError as problem:
            raise SmallerError(
                f"Models in the formats {' and '.join(GRAPHS)} need the package onnxruntime, which cannot be imported "
                f"({problem}). Install: pip install onnxruntime."
            ) from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        boolean = self.session.get_inputs()[1].type == "tensor(bool)"
        self._mask = np.bool_ if boolean else np.int64

    def logits(self, tokens: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Token ids and mask of shape (sentences, tokens) to logits."""
        return self.session.run(["logits"], {"input_ids": tokens, "attention_mask": mask.astype(self._mask)})[0]
