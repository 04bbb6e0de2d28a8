"""Trained prefixes on disk: each is trained once, and shared by every recipe that begins with it.

A cache: all of it can be made again. Folders appear and go by renaming, so a killed run leaves none half-written or
half-removed; a lock for each prefix keeps two studies from training the same thing.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from smaller.base import paths
from smaller.base.errors import SmallerError
from smaller.base.progress import Say, silent
from smaller.encoders import Model, open_folder, save
from smaller.study.recipes import Recipe

FORMAT = 1
ABOUT = "about.json"
DEFAULT_LIMIT_GB = 20.0

_UNFINISHED, _GONE, _SCRATCH = ".unfinished-", ".gone-", ".scratch-"


def folder() -> Path:
    """Where the artefacts lie."""
    return paths.cache_folder() / "artefacts"


def _place(recipe: Recipe) -> Path:
    return folder() / recipe.identity


def scratch(recipe: Recipe) -> Path:
    """A folder for the checkpoints of a prefix that is being trained; it goes when the prefix is kept."""
    return folder() / f"{_SCRATCH}{recipe.identity}"


def require_writable() -> None:
    """Raise SmallerError unless trained models can be kept; called before anything is trained."""
    _limit_bytes()
    require_room(folder(), what="Trained models", variable="SMALLER_CACHE")


def require_room(place: Path, *, what: str, variable: str) -> None:
    """Raise SmallerError unless a megabyte can be written to a folder, which is made if it is not there."""
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(1 << 20))
    except OSError as problem:
        raise SmallerError(
            f"{what} cannot be written to {place}: {problem.strerror}. Make room or change its "
            f"permissions, or set {variable} to another folder."
        ) from None


def find(recipe: Recipe) -> tuple[Path, list[dict]] | None:
    """The folder and step reports of a trained prefix; None if it is absent or was made from other inputs."""
    place, inputs = _place(recipe), recipe.inputs()
    try:
        about = json.loads((place / ABOUT).read_bytes())
        if about["format"] != FORMAT or about["inputs"] != inputs:
            return None
        reports = about["reports"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    with contextlib.suppress(OSError):  # a cache that is shared read-only
        os.utime(place)  # the least recently used go first when space is short
    return place, reports


def read(recipe: Recipe) -> tuple[Model, list[dict]] | None:
    """The model behind a trained prefix and its step reports, or None."""
    found = find(recipe)
    if found is None:
        return None
    place, reports = found
    try:
        return open_folder(place), reports
    except SmallerError:  # damaged, or removed by another study in this moment; it can be made again
        return None


def write(recipe: Recipe, model: Model, reports: list[dict]) -> None:
    """Keep a trained prefix, then drop the least recently used ones beyond the size limit.

    The caller holds the prefix's lock.
    """
    about = {"format": FORMAT, "recipe": recipe.canonical(), "inputs": recipe.inputs(), "reports": reports}

    def fill(draft: Path) -> None:
        save(model, draft)
        (draft / ABOUT).write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")

    _keep(recipe, fill)


def pack(recipe: Recipe) -> dict[str, np.ndarray] | None:
    """The files of a trained prefix as arrays of bytes, by name, for another machine; None if it is not kept here."""
    found = find(recipe)
    try:
        return found and {file.name: np.fromfile(file, dtype=np.uint8) for file in sorted(found[0].iterdir())}
    except OSError:  # removed by another study in this moment
        return None


def unpack(recipe: Recipe, files: Mapping[str, np.ndarray]) -> None:
    """Keep a trained prefix that was packed on another machine, as `write` does.

    The caller holds the prefix's lock.
    """

    def fill(draft: Path) -> None:
        for name, content in files.items():
            content.tofile(draft / Path(name).name)

    _keep(recipe, fill)


def _keep(recipe: Recipe, fill: Callable[[Path], None]) -> None:
    """Make a prefix's folder of what `fill` writes into a draft."""
    draft = folder() / f"{_UNFINISHED}{recipe.identity}"
    try:
        shutil.rmtree(draft, ignore_errors=True)  # of a study that was killed
        draft.mkdir(parents=True)
        fill(draft)
        _remove(_place(recipe))
        draft.rename(_place(recipe))
        shutil.rmtree(scratch(recipe), ignore_errors=True)
    except Exception as problem:  # the libraries that write weights and tokenizers have no OSError for a full disk
        reason = getattr(problem, "strerror", None) or problem
        raise SmallerError(
            f"The trained model could not be kept in {folder()}: {reason}. Free some space or set "
            "SMALLER_CACHE to another disk; finished records are safe."
        ) from problem
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    trim(keep=recipe)


def trim(*, limit_bytes: float | None = None, keep: Recipe | None = None) -> int:
    """Remove the least recently used artefacts until the rest fits the limit; returns the bytes that were freed.

    The limit is `SMALLER_CACHE_GB` (default 20). What killed studies left unfinished goes in any case.
    """
    _remove_leftovers()
    limit_bytes = _limit_bytes() if limit_bytes is None else limit_bytes
    sizes = {place: _kept_bytes(place) for place in sorted(_artefacts(), key=_last_used)}
    excess, freed = sum(sizes.values()) - limit_bytes, 0
    for place, size in sizes.items():
        if freed >= excess:
            break
        if keep is None or place != _place(keep):
            _remove(place)
            freed += size
    return freed


def clean() -> int:
    """Remove all artefacts; returns the bytes that were freed. What a running study is writing stays."""
    freed = trim(limit_bytes=0)
    for place in folder().glob(f"{_SCRATCH}*"):
        with contextlib.suppress(Timeout), FileLock(_lock_file(place.name.removeprefix(_SCRATCH)), timeout=0):
            freed += _bytes(place)
            shutil.rmtree(place, ignore_errors=True)
    return freed


def _limit_bytes() -> float:
    value = os.environ.get("SMALLER_CACHE_GB", "").strip()
    try:
        limit = float(value) if value else DEFAULT_LIMIT_GB
    except ValueError:
        limit = -1.0
    if not limit >= 0:
        raise SmallerError(f"SMALLER_CACHE_GB is a number of gigabytes, at least 0; it is {value!r}.")
    return limit * 1e9


def _artefacts() -> list[Path]:
    return [place for place in folder().glob("*") if place.is_dir() and not place.name.startswith(".")]


def _last_used(place: Path) -> int:
    with contextlib.suppress(OSError):  # another study may remove it in this moment
        return place.stat().st_mtime_ns
    return 0


def _kept_bytes(place: Path) -> int:
    """The bytes of an artefact, counted once in a process: it never changes, and what replaces it is another folder."""
    with contextlib.suppress(OSError):
        return _bytes_once(place, place.stat().st_ino)
    return 0


@functools.lru_cache(maxsize=10_000)
def _bytes_once(place: Path, inode: int) -> int:
    return _bytes(place)


def _bytes(place: Path) -> int:
    total = 0
    for parent, _, files in os.walk(place):
        for file in files:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(parent, file)).st_size
    return total


def _remove(place: Path) -> None:
    gone = place.with_name(f"{_GONE}{uuid.uuid4().hex}")
    with contextlib.suppress(FileNotFoundError):  # it was not there, or another study was faster
        place.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _remove_leftovers() -> None:
    for gone in folder().glob(f"{_GONE}*"):
        shutil.rmtree(gone, ignore_errors=True)
    for draft in folder().glob(f"{_UNFINISHED}*"):
        # Whoever writes a draft holds its lock, so a draft whose lock is free has no writer any more.
        with contextlib.suppress(Timeout), FileLock(_lock_file(draft.name.removeprefix(_UNFINISHED)), timeout=0):
            shutil.rmtree(draft, ignore_errors=True)


def _lock_file(identity: str) -> Path:
    locks = folder() / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    return locks / identity


@contextlib.contextmanager
def lock(recipe: Recipe, *, say: Say = silent) -> Iterator[None]:
    """Hold the right to make this recipe. The lock dies with its process, so a killed study blocks nobody."""
    try:
        held = FileLock(_lock_file(recipe.identity))
        try:
            held.acquire(timeout=0)
        except Timeout:
            say(f"{recipe}: another study is at it, so this one waits")
            held.acquire()
    except OSError as problem:
        raise SmallerError(
            f"Nothing can be kept in {folder()}: {problem.strerror}. Change its permissions, or set "
            "SMALLER_CACHE to another folder."
        ) from None
    try:
        yield
    finally:
        held.release()
