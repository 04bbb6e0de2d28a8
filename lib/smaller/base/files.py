"""Files and folders that are there whole or not at all, and the places where they can be written."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from smaller.base.errors import SmallerError
from smaller.base.paths import expanded

if TYPE_CHECKING:
    import pandas as pd

ABOUT_FILE = "smaller.json"
"""What a shipped folder says of itself: its form, and whether plain loaders read it."""

DRAFT = ".draft-"
"""How the names of drafts begin, before the name of what they are to become: a killed process leaves one behind."""


def _draft(place: Path) -> Path:
    return place.with_name(f"{DRAFT}{place.name[:40]}-{uuid.uuid4().hex}")


def _discard(draft: Path) -> None:
    shutil.rmtree(draft, ignore_errors=True)
    with contextlib.suppress(OSError):
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def draft_of(place: Path) -> Iterator[Path]:
    """A path for a file or a folder that takes `place`, and the place of what is there, when the block ends.

    Where the block ends with an error, what is there stays, and nothing is left of the draft.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(place)
    try:
        yield draft
        if draft.is_dir():
            remove(place)
            draft.rename(place)
        else:
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            draft.replace(place)
    finally:
        _discard(draft)


def write_whole(place: Path, content: object) -> None:
    """Write text, bytes, or plain values as JSON, so that nobody ever finds half of a file."""
    if not isinstance(content, str | bytes):
        content = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    with draft_of(place) as draft:
        draft.write_bytes(content if isinstance(content, bytes) else content.encode())


def write_csv(table: pd.DataFrame, place: Path) -> None:
    """Write a table's rows, its numbers with ten digits: the last ones differ from processor to processor."""
    table.to_csv(place, index=False, float_format="%.10g", lineterminator="\n")


def remove(folder: Path) -> None:
    """Remove a folder so that nobody ever finds half of it; one that is not there is no error."""
    gone = _draft(folder)
    with contextlib.suppress(FileNotFoundError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def sweep(place: Path) -> None:
    """Remove what killed processes left of drafts of a place, which nobody else may be writing."""
    for draft in place.parent.glob(f"{DRAFT}{place.name[:40]}-*"):
        _discard(draft)


@contextlib.contextmanager
def told(failure: str, remedy: str) -> Iterator[None]:
    """What hinders writing as a SmallerError in a sentence or two: the failure, its reason, and the remedy."""
    try:
        yield
    except SmallerError:
        raise
    except Exception as problem:  # the libraries that write weights and tokenizers have no OSError for a full disk
        reason = getattr(problem, "strerror", None) or problem
        raise SmallerError(f"{failure}: {reason}. {remedy}") from problem


def require_room(folder: Path, *, what: str, variable: str) -> None:
    """Raise SmallerError unless a megabyte can be written to a folder, which is made if it is not there."""
    remedy = f"Make room or change its permissions, or set {variable} to another folder."
    with told(f"{what} cannot be written to {folder}", remedy):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1 << 20))


def free_bytes(folder: Path) -> int:
    """The bytes that are free on the disk of a folder, which may not be there yet."""
    return shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free


def require_place(folder: Path | str, *, mark: str) -> Path:
    """A folder in full, if something can be written there that takes its place as a whole. Makes nothing that stays.

    Raises SmallerError for one that holds something else (a folder with a file `mark` may be replaced, and so may an
    empty one), and where nothing can be written.
    """
    place = expanded(folder).resolve()
    if place.exists() and not (place / mark).is_file() and (not place.is_dir() or any(place.iterdir())):
        raise SmallerError(f"{place} is there already and holds something else. Name another folder, or remove it.")
    standing = next(parent for parent in place.parents if parent.exists())
    try:
        tempfile.TemporaryFile(dir=standing).close()
    except OSError as problem:
        raise SmallerError(
            f"Nothing can be written to {place}: {problem.strerror} ({standing}). Name another folder, or change its "
            "permissions."
        ) from None
    return place
