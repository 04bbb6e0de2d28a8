"""Profiles: parameters of all notebooks, in `notebooks/profiles/*.yaml`; one says what differs from their defaults."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import yaml

from smaller.base.errors import SmallerError, did_you_mean
from smaller.base.paths import notebooks_folder
from smaller.notebook.parameters import declared, refuse_unknown, validate

SHARED = "study"
"""The section whose parameters go to every notebook that declares them."""


def profiles(*, folder: Path | None = None) -> list[str]:
    """The names of the profiles, from `notebooks/profiles/*.yaml`."""
    return sorted(path.stem for path in ((folder or notebooks_folder()) / "profiles").glob("*.yaml"))


def profile(
    name: str, notebook: str, *, overrides: Mapping[str, object] = MappingProxyType({}), folder: Path | None = None
) -> dict[str, object]:
    """What profile `name` changes of the defaults of `notebook` (its file name without ending), overrides last.

    A profile is a mapping with a section `study`, whose parameters go to every notebook that declares them, and a
    section for each notebook; `name` may also be the path of a file of one's own, ending in .yaml. Raises SmallerError
    for a section or a name that belongs to no notebook and for a value of the wrong type; overrides are held to the
    same rule as `study`.
    """
    folder = folder or notebooks_folder()
    models = {path.stem: declared(path) for path in sorted(folder.glob("*.ipynb"))}
    refuse_unknown([notebook], models, where=f"{folder}", what="notebook")
    path = Path(name) if name.endswith(".yaml") else folder / "profiles" / f"{name}.yaml"
    sections = _read_profile(path, choices=profiles(folder=folder))
    refuse_unknown(sections, [SHARED, *models], where=f"{path}", what="section")
    own, everything = models[notebook], ChainMap(*(model.model_fields for model in models.values()))

    def shared(values: Mapping[str, object], where: str) -> dict[str, object]:
        refuse_unknown(values, everything, where=where)
        return validate({key: value for key, value in values.items() if key in own.model_fields}, own, where=where)

    return (
        shared(sections.get(SHARED) or {}, f"{path}, section {SHARED}")
        | validate(sections.get(notebook) or {}, own, where=f"{path}, section {notebook}")
        | shared(overrides, "the command line")
    )


def _read_profile(path: Path, *, choices: list[str]) -> dict[str, dict[str, object] | None]:
    if not path.is_file():
        raise SmallerError(
            f"There is no profile {path.stem!r}.{did_you_mean(path.stem, choices)} Profiles: {', '.join(choices)}."
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SmallerError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise SmallerError(f"{path} has to be a mapping of sections, not {type(content).__name__}.")
    for section, values in content.items():
        if values is not None and not isinstance(values, dict):
            raise SmallerError(f"{path}, section {section}: expected lines `name: value`, not {values!r}.")
    return content
