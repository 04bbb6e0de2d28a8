"""From a name to an encoder: a folder, a named one, or any of the hub's."""

from __future__ import annotations

import functools
from pathlib import Path

from smaller.base import paths
from smaller.base.errors import SmallerError, did_you_mean
from smaller.base.progress import Say, silent
from smaller.encoders import hub
from smaller.encoders.hub import Fetched, PlannedFetch
from smaller.encoders.layout import checksum
from smaller.encoders.registry import ENCODERS, Encoder
from smaller.encoders.served import TEACHER, require_folder, require_teacher_folder
from smaller.encoders.shapes import with_shape

OF_ITS_FOLDER = "that of its folder"
"""The licence of weights that lie in somebody's folder, which nobody looks at."""


def source(name: str) -> Encoder | Path:
    """What a name stands for: a folder (a path, or a name under `SMALLER_MODELS`), a named encoder, or one of the hub.

    A folder goes first, so that weights which were fetched by hand serve under the name that they have on the hub:
    `owner/name`, or `owner/name@revision` (a branch, a tag, `refs/pr/N`, or a commit's 40 digits). A name without a
    slash that is nothing else is a folder in the working directory. Of an encoder whose shape is not known here the
    configuration is fetched.
    """
    found = find(name)
    return found if isinstance(found, Path) else with_shape(found)


def find(name: str) -> Encoder | Path:
    """`source`, but for a shape that is not known here: asks no network."""
    if name.startswith(TEACHER):
        folder = paths.expanded(name.removeprefix(TEACHER))
        if not folder.is_dir():
            raise SmallerError(f"There is no folder {folder} with a model that could teach.")
        require_teacher_folder(folder)
        return folder
    if name in ENCODERS and not ENCODERS[name].pretrained:
        return ENCODERS[name]
    models, place = paths.models_folder(), paths.expanded(name)
    for folder in [place] * _is_path(name) + ([models / name] if models else []):
        if folder.is_dir():
            require_folder(folder)
            return folder
    if named := ENCODERS.get(name) or hub.named(name):
        return named
    if place.is_dir():
        require_folder(place)
        return place
    if place.exists() or _is_path(name):
        why = "it is a file, and a model is a folder" if place.exists() else "there is no such folder"
        raise SmallerError(
            f"There is no encoder {name!r}: {why} ({place.resolve()}). Name the folder that holds its config.json."
        )
    local = sorted(path.parent.name for path in models.glob("*/config.json")) if models else []
    where = f" or under SMALLER_MODELS ({models})" if models else " (SMALLER_MODELS is not set)"
    raise SmallerError(
        f"There is no encoder {name!r}: it is not one of {', '.join([*ENCODERS, *local])}, there is no such folder "
        f"here{where}, and an encoder of the hub is named owner/name."
        + did_you_mean(name, [*ENCODERS, *local, *(path.parent.name for path in Path().glob("*/config.json"))])
    )


def _is_path(name: str) -> bool:
    return "/" in name or "\\" in name or name in (".", "..", "~")


@functools.cache
def revision(name: str) -> str:
    """What pins the weights behind a name: a commit of the hub, or a checksum of the folder's files.

    The sample family has no weights, so its revision is its shape.
    """
    found = find(name)
    if isinstance(found, Path):
        return checksum(found)
    if not found.pretrained:
        return f"shape:{found.layers}x{found.heads}x{found.hidden}x{found.feed_forward}"
    return hub.configuration_file(found).parent.name


def licence(name: str) -> str:
    """The licence of what is behind a name: as its card states it, where somebody has seen that; else "unknown"."""
    found = find(name)
    if isinstance(found, Path):
        return OF_ITS_FOLDER
    return hub.licence(found) if found.pretrained else found.licence


def is_here(name: str) -> bool:
    """Whether `load` needs no network; a cheap look, which reads no weights. An unknown name is no error."""
    try:
        found = find(name)
    except SmallerError:
        return False
    return isinstance(found, Path) or not found.pretrained or hub.here(found) is not None


def plan_fetch(name: str) -> PlannedFetch:
    """What `fetch` would bring: files and bytes at one commit, and the licence; brings nothing but a configuration.

    A folder and the sample family are here already. Raises SmallerError for a name that cannot be fetched.
    """
    found = find(name)
    if isinstance(found, Path) or not found.pretrained:
        return PlannedFetch(name, "", revision(name), licence(name), False, (), already_here=True)
    return hub.plan(found)


def fetch(name: str, *, say: Say = silent) -> Fetched:
    """Bring the encoder behind a name to this machine, whole or not at all, so that `load` needs no network.

    What is here is left alone, a folder too. Raises SmallerError in one sentence: no such name, revision or
    permission, no network, no room, an architecture that is not served, a file that is not what it should be.
    """
    found = find(name)
    if isinstance(found, Path) or not found.pretrained:
        say(f"{name}: present")
        folder = str(found) if isinstance(found, Path) else ""
        return Fetched(name, "", "", revision(name), licence(name), False, {}, converted=False, folder=folder)
    return hub.fetch(found, say=say)
