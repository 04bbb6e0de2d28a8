"""What lies in an encoder's folder, and what it lacks; in the hub's layouts, old and new."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from smaller.base.errors import SmallerError
from smaller.base.files import ABOUT_FILE

TRAINED = "trained"
"""The format of a model as training leaves it: fp32 weights, bfloat16 products where the processor has them."""

MASKS_FILE = "masks.safetensors"

ADAPTED_FILE = "adapted.safetensors"
"""Where weights with adapters lie: plain loaders look for another name, and would drop the adapters without a word."""

CONFIGURATION = "config.json"
WEIGHTS, PICKLE = "model.safetensors", "pytorch_model.bin"
PIECES = "sentencepiece.bpe.model"

_TOKENIZERS = (("tokenizer.json",), (PIECES,), ("vocab.txt",), ("vocab.json", "merges.txt"))
"""The files of which each alone, or each pair, is a tokenizer."""

TOKENIZER_FILES = (
    *dict.fromkeys(file for files in _TOKENIZERS for file in files),
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)


@dataclass(frozen=True)
class Layout:
    """The weights that a folder or a repository offers, and the names of what is not there."""

    weights: tuple[str, ...]
    missing: tuple[str, ...] = ()

    @property
    def pickled(self) -> bool:
        """Whether the weights stand in a pickle."""
        return any(name.endswith(".bin") for name in self.weights)


def _shards(names: Iterable[str], whole: str) -> tuple[list[str], list[str]]:
    """The parts of a weights file, such as `model-00001-of-00002.safetensors`, and those that are not there."""
    stem, _, ending = whole.rpartition(".")
    found = {name: part for name in names if (part := re.fullmatch(rf"{stem}-(\d+)-of-(\d+)\.{ending}", name))}
    if not found:
        return [], [f"{stem}-00001-of-...{ending}"]
    number, count = next(iter(found.values())).groups()
    wanted = [f"{stem}-{place:0{len(number)}d}-of-{count}.{ending}" for place in range(1, int(count) + 1)]
    return [name for name in wanted if name in found], [name for name in wanted if name not in found]


def layout(names: Iterable[str]) -> Layout:
    """What the names of a repository's files amount to; safetensors before a pickle."""
    names = set(names)
    missing = [] if CONFIGURATION in names else [CONFIGURATION]
    if not any(names.issuperset(files) for files in _TOKENIZERS):
        missing.append(f"tokenizer.json (or {PIECES}, or vocab.txt)")
    for whole in (ADAPTED_FILE, WEIGHTS, PICKLE):
        if whole in names:
            return Layout((whole,), tuple(missing))
        if f"{whole}.index.json" in names:
            parts, absent = _shards(names, whole)
            missing += absent
            return Layout((f"{whole}.index.json", *parts), tuple(missing))
    return Layout((), (*missing, f"{WEIGHTS} (or {PICKLE})"))


def layout_of(folder: Path) -> Layout:
    """What a folder's files amount to."""
    return layout(file.name for file in folder.iterdir() if file.is_file())


def require_whole(folder: Path) -> Layout:
    """A folder's layout. Raises SmallerError, with what is missing, unless an encoder can be read from it."""
    with contextlib.suppress(OSError, ValueError):
        about = json.loads((folder / ABOUT_FILE).read_bytes())
        if isinstance(about, dict) and not about.get("plain", True) and about.get("form") not in (TRAINED, "fp32"):
            raise SmallerError(
                f"The folder {folder} holds a model in the format {about.get('form')}, which is no plain "
                "encoder: open it with smaller.formats.shipping.open_shipped."
            )
    found = layout_of(folder)
    if found.missing:
        write = " (AutoTokenizer.from_pretrained(...).save_pretrained(...) writes a tokenizer)"
        raise SmallerError(
            f"The encoder folder {folder} holds no {' and no '.join(found.missing)}. Copy what is "
            f"missing into it{write * any('tokenizer' in name for name in found.missing)}."
        )
    return found


def checksum(folder: Path) -> str:
    """A checksum of all that decides what a folder's encoder computes."""
    files = {*folder.glob("*.safetensors"), folder / CONFIGURATION}
    if (folder / "tokenizer.json").is_file():
        files.add(folder / "tokenizer.json")
    else:
        files |= {folder / name for name in TOKENIZER_FILES if (folder / name).is_file()}
    found = layout_of(folder)
    if found.pickled:
        files |= {folder / name for name in found.weights}
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(file.name.encode() + bytes.fromhex(file_digest(file)))
    return f"sha256:{digest.hexdigest()[:32]}"


def file_digest(file: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
