"""Trained prefixes on disk: each is trained once, and shared by every recipe that begins with it.

A cache: all of it can be made again. Folders appear by renaming, so a killed run leaves none half-written; a lock for
each prefix keeps two studies from training the same thing.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from smaller import paths
from smaller.encoders import Model, open_folder, save
from smaller.errors import SmallerError
from smaller.recipes import Recipe

FORMAT = 1
DEFAULT_LIMIT_GB = 20.0


def folder() -> Path:
    """Where the artefacts lie."""
    return paths.cache_folder() / "artefacts"


def _place(recipe: Recipe) -> Path:
    return folder() / recipe.identity


def find(recipe: Recipe) -> tuple[Path, list[dict]] | None:
    """The folder and step reports of a trained prefix; None if it is absent or was made from other inputs."""
    place = _place(recipe)
    try:
        about = json.loads((place / "about.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if about.get("format") != FORMAT or about.get("inputs") != recipe.inputs():
        return None
    os.utime(place)  # the least recently used go first when space is short
    return place, about["reports"]


def read(recipe: Recipe) -> tuple[Model, list[dict]] | None:
    """The model behind a trained prefix and its step reports, or None."""
    found = find(recipe)
    return None if found is None else (open_folder(found[0]), found[1])


def write(recipe: Recipe, model: Model, reports: list[dict]) -> None:
    """Keep a trained prefix; then drop the least recently used ones beyond the size limit."""
    folder().mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder()))
    try:
        save(model, draft)
        about = {"format": FORMAT, "recipe": recipe.canonical(), "inputs": recipe.inputs(), "reports": reports}
        (draft / "about.json").write_text(json.dumps(about, ensure_ascii=False), encoding="utf-8")
        stale = _place(recipe)
        if stale.exists():
            shutil.rmtree(stale)
        draft.rename(stale)
    except OSError as problem:
        raise SmallerError(f"The trained model could not be kept in {folder()}: {problem.strerror or problem}. Free some "
                           "space or set SMALLER_CACHE to another disk; finished records are safe.") from None  # fmt: skip
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    trim(keep=recipe)


def trim(*, limit_bytes: int | None = None, keep: Recipe | None = None) -> int:
    """Remove the least recently used artefacts until the rest fits the limit; returns the bytes that were freed.

    The limit is `SMALLER_CACHE_GB` (default 20).
    """
    if limit_bytes is None:
        limit_bytes = int(_limit_gb() * 1e9)
    sizes = {place: _bytes(place) for place in _artefacts()}
    excess, freed = sum(sizes.values()) - limit_bytes, 0
    for place in sorted(sizes, key=lambda place: place.stat().st_mtime):
        if freed >= excess:
            break
        if keep is None or place != _place(keep):
            shutil.rmtree(place, ignore_errors=True)
            freed += sizes[place]
    return freed


def clean() -> int:
    """Remove all artefacts; returns the bytes that were freed."""
    freed = sum(_bytes(place) for place in _artefacts())
    shutil.rmtree(folder(), ignore_errors=True)
    return freed


def _limit_gb() -> float:
    value = os.environ.get("SMALLER_CACHE_GB", "").strip()
    try:
        return float(value) if value else DEFAULT_LIMIT_GB
    except ValueError:
        raise SmallerError(f"SMALLER_CACHE_GB is a number of gigabytes; it is {value!r}.") from None


def _artefacts() -> list[Path]:
    return [place for place in folder().glob("*") if place.is_dir() and not place.name.startswith(".")]


def _bytes(place: Path) -> int:
    total = 0
    for file in place.rglob("*"):
        with contextlib.suppress(OSError):  # another study may remove it in this moment
            total += file.stat().st_size
    return total


@contextlib.contextmanager
def lock(recipe: Recipe) -> Iterator[None]:
    """Hold the right to make this prefix. The lock dies with its process, so a killed study blocks nobody."""
    locks = folder() / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / recipe.identity):
        yield
