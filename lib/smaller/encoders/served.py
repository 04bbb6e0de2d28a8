"""Which architectures the steps can handle, told from a configuration alone."""

from __future__ import annotations

import json
from pathlib import Path

from smaller.base.errors import SmallerError
from smaller.encoders.layout import ABOUT_FILE, CONFIGURATION, Layout, require_whole

SERVED = ("xlm-roberta", "roberta", "bert")
"""The model types of encoders with positions in a table, attention over all tokens, and norms after each part.

CamemBERT is not one of them: its tokenizer has tokens before the padding token, from whose id its positions count, so
that a trimmed vocabulary would move every position.
"""

TEACHER = "teacher:"
"""How the name of a model begins that no step knows but that can teach; its folder follows."""


def require_folder(folder: Path) -> Layout:
    """A folder's layout. Raises SmallerError unless it holds all of an encoder, of an architecture that is served."""
    found, where = require_whole(folder), f"The folder {folder}"
    require_served(read_configuration(folder / CONFIGURATION, where=where), where=where)
    return found


def require_shipped(folder: Path) -> None:
    """Raise SmallerError for a folder that neither says what was shipped in it nor is an encoder's."""
    if not (folder / ABOUT_FILE).is_file():
        require_folder(folder)


def require_teacher_folder(folder: Path) -> None:
    """Raise SmallerError unless a folder holds all of a model that can teach."""
    require_whole(folder)
    where = f"The folder {folder}"
    require_teacher(read_configuration(folder / CONFIGURATION, where=where), where=where)


def read_configuration(file: Path, *, where: str) -> dict:
    """A configuration as it is on disk. Raises SmallerError for what is no JSON object."""
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError) as problem:
        raise SmallerError(
            f"{where} could not be read as an encoder: its config.json is damaged ({problem}). Fetch or copy it again."
        ) from None
    if not isinstance(found, dict):
        raise SmallerError(f"{where} could not be read as an encoder: its config.json holds no JSON object.")
    return found


def require_served(config: dict, *, where: str) -> None:
    """Raise SmallerError for an architecture that the steps cannot handle, with its name and what is served."""
    kind, names = config.get("model_type"), ", ".join(config.get("architectures") or ())
    what = str(kind or "unnamed") + f" ({names})" * bool(names)
    why = ""
    if kind not in SERVED:
        why = f"has the architecture {what}, which no step knows"
    elif config.get("auto_map"):
        why = f"is of the type {what} but brings code of its own, which is never run"
    elif config.get("position_embedding_type", "absolute") != "absolute":
        why = f"is of the type {what} with positions of the kind {config['position_embedding_type']}, not absolute ones"
    elif config.get("is_decoder") or config.get("is_encoder_decoder"):
        why = f"is of the type {what} but a decoder"
    if why:
        raise SmallerError(f"{where} {why}. Encoders of the types {', '.join(SERVED)} are served: choose one of them.")


def require_teacher(config: dict, *, where: str) -> None:
    """Raise SmallerError for a model that cannot even teach: one with code of its own, and a decoder."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    what = str(config.get("model_type") or "unnamed")
    if what in SERVED:
        raise SmallerError(f"{where} is of the type {what}, which is opened by its own name, or is not served.")
    if config.get("auto_map") or what not in CONFIG_MAPPING:
        raise SmallerError(f"{where} is of the type {what}, which needs code of its own, and that is never run.")
    if config.get("is_decoder") or config.get("is_encoder_decoder"):
        raise SmallerError(f"{where} is of the type {what} but a decoder, which labels no words.")
