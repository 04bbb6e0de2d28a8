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
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from smaller.base import paths, settings
from smaller.base.errors import SmallerError
from smaller.base.files import DRAFT, draft_of, remove, require_room, sweep, told, write_whole
from smaller.base.progress import Say, silent
from smaller.encoders import Model, open_any, save
from smaller.study.recipes import Recipe
from smaller.study.steps import teaching

FORMAT = 1
ABOUT = "about.json"
_SCRATCH = ".scratch-"

Bring = Callable[[Recipe], bool]
_engines: list[Bring] = []


def folder() -> Path:
    """Where the artefacts lie."""
    return paths.trained_folder() / "artefacts"


def _place(recipe: Recipe) -> Path:
    return folder() / recipe.identity


def scratch(recipe: Recipe) -> Path:
    """A folder for the checkpoints of a prefix that is being trained; it goes when the prefix is kept."""
    return folder() / f"{_SCRATCH}{recipe.identity}"


def require_writable() -> None:
    """Raise SmallerError unless trained models can be kept; called before anything is trained."""
    settings.cache_bytes()
    require_room(folder(), what="Trained models", variable="SMALLER_CACHE")


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


def bring_from(engine: Bring | None) -> None:
    """Where `brought` looks: the engine that was asked for last says it, and None is nowhere."""
    _engines[:] = [engine] if engine else []


def brought(recipe: Recipe) -> bool:
    """Bring a prefix that is not here from where the engine of this study left it, and say whether it did."""
    return any(bring(recipe) for bring in _engines)


def read(recipe: Recipe) -> tuple[Model, list[dict]] | None:
    """The model behind a trained prefix and its step reports, or None."""
    found = find(recipe)
    try:
        return found and (open_any(found[0]), found[1])
    except SmallerError:  # damaged, or removed by another study in this moment; it can be made again
        return None


def write(recipe: Recipe, model: Model, reports: list[dict]) -> None:
    """Keep a trained prefix, whose lock the caller holds; the least recently used beyond the size limit go."""
    about = {"format": FORMAT, "recipe": recipe.canonical(), "inputs": recipe.inputs(), "reports": reports}
    with _keeping(recipe) as draft:
        save(model, draft)
        write_whole(draft / ABOUT, about)


def pack(recipe: Recipe) -> dict[str, np.ndarray] | None:
    """The files of a trained prefix as arrays of bytes, by name, for another machine; None if it is not kept here."""
    found = find(recipe)
    try:
        return found and {file.name: np.fromfile(file, dtype=np.uint8) for file in sorted(found[0].iterdir())}
    except OSError:  # removed by another study in this moment
        return None


def unpack(recipe: Recipe, files: Mapping[str, np.ndarray]) -> None:
    """Keep a trained prefix that was packed on another machine, as `write` does."""
    with _keeping(recipe) as draft:
        for name, content in files.items():
            content.tofile(draft / Path(name).name)


@contextlib.contextmanager
def _keeping(recipe: Recipe) -> Iterator[Path]:
    """A folder to fill, which becomes that of the prefix."""
    remedy = "Free some space or set SMALLER_CACHE to another disk; finished records are safe."
    with told(f"The trained model could not be kept in {folder()}", remedy), draft_of(_place(recipe)) as draft:
        draft.mkdir()
        yield draft
    shutil.rmtree(scratch(recipe), ignore_errors=True)
    trim(keep=recipe)


def trim(*, limit_bytes: float | None = None, keep: Recipe | None = None) -> int:
    """Remove the least recently used artefacts until the rest fits the limit; returns the bytes that were freed.

    The limit is `SMALLER_CACHE_GB` (default 20). What killed studies left unfinished goes in any case.
    """
    _remove_leftovers()
    limit_bytes = settings.cache_bytes() if limit_bytes is None else limit_bytes
    sizes = kept()
    excess, freed = sum(sizes.values()) - limit_bytes, 0
    for place, size in sizes.items():
        if freed >= excess:
            break
        if keep is None or place != _place(keep):
            remove(place)
            freed += size
    return freed


def clean() -> int:
    """Remove all artefacts; returns the bytes that were freed. What a running study is writing stays."""
    freed = trim(limit_bytes=0)
    for place in folder().glob(f"{_SCRATCH}*"):
        with contextlib.suppress(Timeout), FileLock(_lock_file(place.name.removeprefix(_SCRATCH)), timeout=0):
            freed += _bytes(place)
            shutil.rmtree(place, ignore_errors=True)
    for place in (teaching.folder(), paths.graphs_folder(), paths.cache_folder() / paths.REHEARSAL):
        freed += _bytes(place)
        remove(place)
    return freed


def kept() -> dict[Path, int]:
    """The bytes of each trained prefix by its folder, the least recently used first."""
    found = []
    for place in folder().glob("[!.]*"):
        with contextlib.suppress(OSError):  # another study may remove it in this moment
            about = place.stat()
            found.append((about.st_mtime_ns, place, _bytes_once(place, about.st_ino)))
    return {place: size for _, place, size in sorted(found)}


@functools.lru_cache(maxsize=10_000)
def _bytes_once(place: Path, inode: int) -> int:
    """A folder that is kept never changes, and what replaces it is another folder."""
    return _bytes(place)


def _bytes(place: Path) -> int:
    total = 0
    for parent, _, files in os.walk(place):
        for file in files:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(parent, file)).st_size
    return total


def _remove_leftovers() -> None:
    for draft in folder().glob(f"{DRAFT}*"):
        identity = draft.name.removeprefix(DRAFT).partition("-")[0]
        # Whoever writes a draft holds its lock, so a draft whose lock is free has no writer any more.
        with contextlib.suppress(Timeout), FileLock(_lock_file(identity), timeout=0):
            sweep(folder() / identity)


def _lock_file(identity: str) -> Path:
    locks = folder() / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    return locks / identity


@contextlib.contextmanager
def lock(recipe: Recipe, *, say: Say = silent) -> Iterator[None]:
    """Hold the right to make this recipe. The lock dies with its process, so a killed study blocks nobody."""
    remedy = "Change its permissions, or set SMALLER_CACHE to another folder."
    with told(f"Nothing can be kept in {folder()}", remedy):
        held = FileLock(_lock_file(recipe.identity))
        try:
            held.acquire(timeout=0)
        except Timeout:
            say(f"{recipe}: another study is at it, so this one waits")
            held.acquire()
    try:
        yield
    finally:
        held.release()
