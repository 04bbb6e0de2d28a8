"""Profiles: parameters of all notebooks, in `notebooks/profiles/*.yaml`; one says what differs from their defaults."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import yaml

from smaller.base.errors import SmallerError, did_you_mean
from smaller.base.paths import notebooks_folder
from smaller.notebook import pipeline_parameters
from smaller.notebook.parameters import Settings, declared, filled, refuse_unknown, validate
from smaller.notebook.rules import rules

SHARED = "study"
"""The section whose parameters go to every notebook that declares them."""

MINUTES = "minutes"
"""The section that says how long each notebook takes on two cores, as it was measured."""


def profiles(*, folder: Path | None = None) -> list[str]:
    """The names of the profiles, from `notebooks/profiles/*.yaml`."""
    return sorted(path.stem for path in ((folder or notebooks_folder()) / "profiles").glob("*.yaml"))


def asked(
    name: str,
    *,
    only: Sequence[str] = (),
    overrides: Mapping[str, object] = MappingProxyType({}),
    folder: Path | None = None,
) -> dict[str, dict[str, object]]:
    """What profile `name` changes of the defaults of each notebook, or of `only` some, in reading order.

    Raises SmallerError, with a suggestion, for whatever can be known to be wrong before a kernel starts and PyTorch is
    imported: a name of a profile, notebook, parameter, language, data set or encoder, and values that cannot be.
    """
    folder = folder or notebooks_folder()
    names = sorted(path.stem for path in folder.glob("*.ipynb"))
    for wanted in only:
        if wanted not in names:
            hint = did_you_mean(wanted, names)
            raise SmallerError(f"There is no notebook {wanted!r}.{hint} Known: {', '.join(names)}.")
    plan = _changes(name, [notebook for notebook in names if not only or notebook in only], overrides, folder)
    for notebook, given in plan.items():
        _require_sense(filled(folder / f"{notebook}.ipynb", given, where=name), where=notebook)
    return plan


def _require_sense(given: Mapping[str, object], *, where: str) -> None:
    """Raise SmallerError for a parameter whose value means nothing, as far as names tell it."""
    for name, rule in rules(given, files=False).items():
        try:
            rule(given[name])
        except (SmallerError, ValueError) as error:
            raise SmallerError(f"{where}, parameter {name} = {given[name]!r}: {error}") from None
    if "tasks" in given:
        try:
            pipeline_parameters.require(Settings(given), files=False)
        except SmallerError as error:
            raise SmallerError(f"{where}: {error}") from None


def profile(
    name: str, notebook: str, *, overrides: Mapping[str, object] = MappingProxyType({}), folder: Path | None = None
) -> dict[str, object]:
    """What profile `name` changes of the defaults of `notebook` (its file name without ending), overrides last.

    A profile is a mapping with a section `study`, whose parameters go to every notebook that declares them, a section
    for each notebook, and the section of `minutes`; `name` may also be the path of a file of one's own, ending in
    .yaml. Raises SmallerError for a section or a name that belongs to no notebook and for a value of the wrong type;
    overrides are held to the same rule as `study`.
    """
    return _changes(name, [notebook], overrides, folder or notebooks_folder())[notebook]


def _changes(
    name: str, notebooks: Sequence[str], overrides: Mapping[str, object], folder: Path
) -> dict[str, dict[str, object]]:
    models = {path.stem: declared(path) for path in sorted(folder.glob("*.ipynb"))}
    refuse_unknown(notebooks, models, where=f"{folder}", what="notebook")
    path, sections = _read_profile(name, folder)
    refuse_unknown(sections, [SHARED, MINUTES, *models], where=f"{path}", what="section")
    everything = ChainMap(*(model.model_fields for model in models.values()))

    def changed(notebook: str) -> dict[str, object]:
        own = models[notebook]

        def shared(values: Mapping[str, object], where: str) -> dict[str, object]:
            refuse_unknown(values, everything, where=where)
            return validate({key: value for key, value in values.items() if key in own.model_fields}, own, where=where)

        found = (
            shared(sections.get(SHARED) or {}, f"{path}, section {SHARED}")
            | validate(sections.get(notebook) or {}, own, where=f"{path}, section {notebook}")
            | shared(overrides, "the command line")
        )
        # Of a parameter with named values, those count as given that are said, and the others keep their defaults.
        grouped = {name: own.model_fields[name].default for name in found if name in pipeline_parameters.GROUPS}
        return found | {name: default | found[name] for name, default in grouped.items()}

    return {notebook: changed(notebook) for notebook in notebooks}


def minutes(name: str, *, folder: Path | None = None) -> dict[str, float]:
    """The minutes that each notebook takes on two cores, as a profile says; empty where it says nothing of them."""
    folder = folder or notebooks_folder()
    path, sections = _read_profile(name, folder)
    found = sections.get(MINUTES) or {}
    names = [place.stem for place in folder.glob("*.ipynb")]
    refuse_unknown(found, names, where=f"{path}, section {MINUTES}", what="notebook")
    for notebook, value in found.items():
        if not isinstance(value, int | float) or not value > 0:
            raise SmallerError(f"{path}, section {MINUTES}: write a number above 0 for {notebook}, not {value!r}.")
    return found


def _read_profile(name: str, folder: Path) -> tuple[Path, dict[str, dict[str, object] | None]]:
    """The file of a profile, and its sections."""
    path = Path(name) if name.endswith(".yaml") else folder / "profiles" / f"{name}.yaml"
    if not path.is_file():
        choices = profiles(folder=folder)
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
    return path, content
