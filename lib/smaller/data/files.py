"""The files of a data set on this machine: where they are, what they hold, and whether it is what was pinned."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from functools import lru_cache
from pathlib import Path

from smaller.data.datasets import Dataset, dataset
from smaller.data.languages import language
from smaller.errors import SmallerError
from smaller.paths import cache_folder, data_folder


def locations(which: Dataset, code: str, split: str) -> list[Path]:
    """Where a split may lie, in the order of search: `SMALLER_DATA`, then the user's cache; plain, then gz."""
    name = which.file(code, split)
    folders = [folder for folder in (data_folder(), cache_folder() / "data") if folder is not None]
    return [folder / f"{name}{ending}" for folder in folders for ending in ("", ".gz")]


def find(which: Dataset | str, code: str, split: str) -> Path:
    """The file of a split on this machine; if there is none, the error says where it was looked for and what to do."""
    which = dataset(which) if isinstance(which, str) else which
    places = locations(which, code, split)
    for path in places:
        if path.is_file():
            return path
    searched = "".join(f"\n  {path}" for path in places)
    remedy = f"Set SMALLER_DATA to a folder that holds {which.file(code, split)}"
    remedy += f", or run `python -m smaller fetch {which.name}`." if which.source(code).repository else "."
    raise SmallerError(
        f"The {split} split of {which.name!r} in {language(code).name} ({code}) is not on this machine. "
        f"Looked for:{searched}\n{remedy}"
    )


def read_content(path: Path) -> bytes:
    """The bytes of a file, uncompressed when its name ends in `.gz`; what cannot be read is an error that names it."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except FileNotFoundError:
        raise SmallerError(f"{path}: there is no such file.") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise SmallerError(f"{path}: not a whole gzip file ({error}). Copy or fetch it again.") from error
    except OSError as error:
        raise SmallerError(f"{path}: cannot be read ({error.strerror or error}).") from error


@lru_cache(maxsize=1024)
def _content_checksum(path: Path, modified: int, size: int) -> str:
    return hashlib.sha256(read_content(path)).hexdigest()


def content_checksum(path: Path) -> str:
    """The SHA-256 of a file's uncompressed content, computed once in a process while the file does not change."""
    state = path.stat()
    return _content_checksum(path, state.st_mtime_ns, state.st_size)


def verify(path: Path, which: Dataset, code: str, split: str) -> None:
    """Raise an error unless the uncompressed content of `path` is that of the pinned source."""
    expected, found = which.checksums[which.file(code, split)], content_checksum(path)
    if found != expected:
        raise SmallerError(
            f"{path}: SHA-256 of the content is {found}, but {which.name!r} as pinned has {expected}. "
            f"The file is damaged or of another version: remove it, and copy or fetch it again."
        )


def fingerprint(which: Dataset | str, code: str) -> str:
    """The SHA-256 that stands for the content of all splits of a language, however they are stored."""
    which = dataset(which) if isinstance(which, str) else which
    lines = [f"{content_checksum(find(which, code, split))}  {split}\n" for split in which.splits_of(code)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
