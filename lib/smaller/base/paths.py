"""Every folder that the study reads or writes; never the working directory."""

from __future__ import annotations

import os
from pathlib import Path

from smaller.base import settings
from smaller.base.errors import SmallerError

REHEARSAL = "rehearsal"
"""The folder, below the outputs and below the cache, that a rehearsal writes to."""


def expanded(path: str | Path, *, otherwise: str = "write the path in full") -> Path:
    """The path with the home folder for `~`. Raises SmallerError, with what to do `otherwise`, where there is none."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise SmallerError(
            f"{path} cannot be found: it lies in a home folder, and there is none (HOME is not set, or it is that of "
            f"somebody who is not known here); {otherwise}."
        ) from None


def _from_environment(variable: str) -> Path | None:
    value = os.environ.get(variable, "").strip()
    return expanded(value).resolve() if value else None


def project_root() -> Path:
    """The checkout that holds `notebooks/` and `outputs/`: the package is installed editable from its `lib/`."""
    return Path(__file__).resolve().parents[3]


def notebooks_folder() -> Path:
    """The notebooks of the study, in reading order, and `profiles/` with their parameter sets."""
    folder = project_root() / "notebooks"
    if not folder.is_dir():
        raise SmallerError(
            f"The notebooks are not at {folder}: the package was installed without its checkout. "
            "Clone the repository and install it with `pip install -e .`."
        )
    return folder


def data_folder() -> Path | None:
    """Where labelled data and corpora lie (`SMALLER_DATA`), or None when the variable is not set.

    A variable that points nowhere is an error, since a silent fall-back would run on other data than was meant.
    """
    return _existing("SMALLER_DATA", layout="<dataset>/<language>/<split>.txt")


def models_folder() -> Path | None:
    """Where encoder folders lie (`SMALLER_MODELS`), or None when the variable is not set."""
    return _existing("SMALLER_MODELS", layout="<encoder>/config.json, model.safetensors, tokenizer.json")


def _existing(variable: str, *, layout: str) -> Path | None:
    folder = _from_environment(variable)
    if folder is not None and not folder.is_dir():
        raise SmallerError(f"{variable} is {folder}, which is not a folder. It should hold {layout}; or unset it.")
    return folder


def cache_folder() -> Path:
    """Fetched data, trained models and other things that can be made again (`SMALLER_CACHE`, or the user's cache)."""
    base = os.environ.get("XDG_CACHE_HOME", "").strip() or "~/.cache"
    own = _from_environment("SMALLER_CACHE")
    return own or expanded(base, otherwise="set SMALLER_CACHE to a folder for what is fetched and trained") / "smaller"


def graphs_folder() -> Path:
    """Graphs as they were traced, without weights, by their shapes."""
    return cache_folder() / "graphs"


def trained_folder() -> Path:
    """Trained prefixes and what teachers say: in the cache, and for a rehearsal in a folder of its own there."""
    return cache_folder() / REHEARSAL if settings.rehearsed_updates() else cache_folder()


def outputs_folder() -> Path:
    """Records, figures, tables, notebooks and the report (`SMALLER_OUTPUTS`, or `outputs/` of the checkout).

    A rehearsal has a folder of its own below it.
    """
    folder = _from_environment("SMALLER_OUTPUTS") or project_root() / "outputs"
    return folder / REHEARSAL if settings.rehearsed_updates() else folder


def inside_outputs(path: Path) -> str:
    """The path below the outputs folder, for links; a file elsewhere gives the empty string."""
    outputs = outputs_folder().resolve()
    path = path.resolve()
    return path.relative_to(outputs).as_posix() if path.is_relative_to(outputs) else ""


def in_full() -> dict[str, str]:
    """The variables of the folders that are set here, with paths that hold in any working directory."""
    variables = ("SMALLER_DATA", "SMALLER_MODELS", "SMALLER_CACHE", "SMALLER_OUTPUTS")
    return {name: str(folder) for name in variables if (folder := _from_environment(name))}
