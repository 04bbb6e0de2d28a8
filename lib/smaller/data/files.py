"""The files of a data set on this machine: where they are, what they hold, and whether it is what was pinned."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from functools import lru_cache
from pathlib import Path

from smaller.base import hub_client
from smaller.base.errors import SmallerError
from smaller.base.hub_client import Remote
from smaller.base.paths import cache_folder, data_folder
from smaller.data.datasets import ABOUT_FILE, Dataset, dataset
from smaller.data.languages import language
from smaller.data.text import decoded


def locations(which: Dataset, code: str, split: str) -> list[Path]:
    """Where a split may lie, in the order of search: `SMALLER_DATA`, then the user's cache; plain, then gz.

    What comes from the hub lies in the cache of its client.
    """
    name, source = which.file(code, split), which.source(code)
    folders = [data_folder()] if source.hub else [data_folder(), cache_folder() / "data"]
    places = [folder / f"{name}{ending}" for folder in folders if folder is not None for ending in ("", ".gz")]
    fetched = source.hub and hub_client.cached(remote_of(which, code), source.remote(code, split))
    return [*places, fetched] if fetched else places


def remote_of(which: Dataset, code: str) -> Remote:
    """The repository on the hub that holds a language of a data set."""
    source = which.source(code)
    return Remote(source.repository, source.commit, "dataset")


def find(which: Dataset | str, code: str, split: str) -> Path:
    """The file of a split on this machine; if there is none, the error says where it was looked for and what to do."""
    which = dataset(which)
    places = locations(which, code, split)
    for path in places:
        if path.is_file():
            return path
    searched = "".join(f"\n  {path}" for path in places)
    source = which.source(code)
    searched += f"\n  the cache of the hub's client ({source.repository} at {source.commit})" * source.hub
    remedy = f"Set SMALLER_DATA to a folder that holds {which.file(code, split)}"
    remedy += f", or run `python -m smaller fetch {which.name}`." if source.repository else "."
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


def read_text_of(path: Path) -> tuple[str, bool]:
    """The text of a file, and whether it began with a byte-order mark; an empty file, or a binary one, is an error."""
    content = read_content(path)
    if not content.strip():
        raise SmallerError(f"{path}: the file is empty.")
    return decoded(content, where=str(path))


@lru_cache(maxsize=1024)
def _content_checksum(path: Path, modified: int, size: int) -> str:
    return hashlib.sha256(read_content(path)).hexdigest()


def content_checksum(path: Path) -> str:
    """The SHA-256 of a file's uncompressed content, computed once in a process while the file does not change."""
    state = path.stat()
    return _content_checksum(path, state.st_mtime_ns, state.st_size)


def fingerprint(which: Dataset | str, code: str) -> str:
    """The SHA-256 that stands for the content of all splits of a language, however they are stored."""
    which = dataset(which)
    which.require(code)
    if which.kept:
        about = json.loads((which.kept / ABOUT_FILE).read_bytes())
        for name, expected in about["files"].items():
            path = which.kept / name
            if not path.is_file() or content_checksum(path) != expected:
                raise SmallerError(f"{path} is damaged or gone. Bring or fetch the data set {which.name} again.")
        return about["fingerprint"]
    lines = [f"{content_checksum(find(which, code, split))}  {split}\n" for split in which.splits_of(code)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
