"""The notebook contract: typed parameters in the first code cell, checked in the second.

The first code cell of a notebook is tagged `parameters` and holds lines `name: type = value  # meaning, unit, choices`.
The second calls `check(globals())`, so a misspelt name or a wrong type ends the run in its first second. The cell is
parsed here: `papermill.inspect_notebook` gives types and defaults as text, and leaves out what it cannot parse. A test
keeps that both read the same parameters.
"""

from __future__ import annotations

import ast
import contextlib
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from smaller.base.errors import SmallerError, did_you_mean
from smaller.notebook import files

TYPES = {kind.__name__: kind for kind in (str, int, float, bool, list, dict, tuple)}


class Settings(Mapping):
    """The checked parameters of a run, read-only: `settings.seeds`, `settings["seeds"]` or `dict(settings)`."""

    def __init__(self, values: Mapping[str, object]) -> None:
        vars(self).update(copy.deepcopy(dict(values)))

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        raise SmallerError(f"There is no parameter {name!r}.{did_you_mean(name, self)}")

    def __setattr__(self, name: str, value: object) -> None:
        raise SmallerError(f"Settings are read-only; change {name!r} in the parameters cell and run again from there.")

    def __getitem__(self, name: str) -> object:
        return self.__dict__[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dict__)

    def __len__(self) -> int:
        return len(self.__dict__)

    def __repr__(self) -> str:
        return "\n".join(f"{name} = {value!r}" for name, value in self.items())


def check(namespace: Mapping[str, object], **validators: Callable[[Any], object]) -> Settings:
    """The parameters of the running notebook; call it as `check(globals())` in the second code cell.

    A validator, given under the name of a parameter, is called with its value and raises SmallerError (or ValueError)
    when that means nothing. Raises SmallerError for a name that is not declared and a wrong type, too.
    """
    plain = [name for name, value in namespace.items() if _may_be_parameter(name, value)]
    # Python 3.14 keeps no annotations of a cell: there only the file is checked, before a kernel starts.
    annotations = namespace.get("__annotations__") or dict.fromkeys(plain, Any)
    kinds = {name: kind for name, kind in annotations.items() if name in namespace and not name.startswith("_")}
    if not kinds:
        raise SmallerError("No parameters are declared. Run the first code cell, the one tagged `parameters`, first.")
    # On a second visit there are variables of later cells, too.
    again = any(isinstance(value, Settings) for value in namespace.values())
    values = {name: namespace[name] for name in (kinds if again else [*kinds, *plain])}
    values = validate(values, model({name: (kind, ...) for name, kind in kinds.items()}), where="this run")
    for name, validator in validators.items():
        try:
            validator(values[name])
        except ValueError as error:
            raise SmallerError(f"Parameter {name} = {values[name]!r}: {error}") from error
    return Settings(values)


def declared(notebook: Path | str) -> type[BaseModel]:
    """The parameters that a notebook file declares, in order, with types and defaults; nothing of the notebook is run.

    Raises SmallerError when the first code cell is not the one tagged `parameters`, or holds anything but annotated
    literals.
    """
    notebook = Path(notebook)
    try:
        cells = files.cells(notebook)
    except FileNotFoundError as error:
        hint = did_you_mean(notebook.stem, [path.stem for path in notebook.parent.glob("*.ipynb")])
        raise SmallerError(f"There is no notebook {notebook}.{hint}") from error
    first = next((cell for cell in cells if cell.cell_type == "code"), None)
    if first is None or "parameters" not in first.metadata.get("tags", []):
        raise SmallerError(f"{notebook}: the first code cell has to carry the tag `parameters`.")
    place = f"{notebook}, parameters cell"
    try:
        statements = ast.parse(first.source).body
    except SyntaxError as error:
        raise SmallerError(f"{place}, line {error.lineno}: {error.msg}") from error
    found = model(dict(_field(statement, f"{place}, line {statement.lineno}") for statement in statements))
    validate({name: field.default for name, field in found.model_fields.items()}, found, where=place)
    return found


def _field(statement: ast.stmt, place: str) -> tuple[str, tuple[object, object]]:
    """Name, type and default that a line of a parameters cell declares."""
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=ast.expr() as value):
            kind = ast.unparse(annotation)
        case _:
            raise SmallerError(f"{place}: write `name: type = value  # meaning, unit, choices`.")
    try:
        default = ast.literal_eval(value)
    except ValueError as error:
        raise SmallerError(f"{place}: the default has to be a plain value such as 3, 'swa' or [1, 2].") from error
    try:
        return name, (eval(kind, {"__builtins__": TYPES}), default)
    except Exception as error:
        raise SmallerError(
            f"{place}: {kind} is no type for a parameter: use str, int, float, bool, list[...], dict[..., ...], "
            "tuple[...], None, or several with |."
        ) from error


def model(fields: Mapping[str, tuple[object, object]]) -> type[BaseModel]:
    """Types and defaults by name; types are strict, so that neither "3" nor True is a number."""
    return create_model("Parameters", __config__=ConfigDict(strict=True, arbitrary_types_allowed=True), **fields)


def _may_be_parameter(name: str, value: object) -> bool:
    """Whether a variable may be a parameter that somebody gave: constants that a cell imports have capital letters."""
    return name.islower() and not name.startswith("_") and isinstance(value, (*TYPES.values(), type(None)))


def validate(values: Mapping[str, object], kinds: type[BaseModel], *, where: str) -> dict[str, object]:
    """`values` unchanged, when every name is declared and every value has the declared type; SmallerError otherwise."""
    refuse_unknown(values, kinds.model_fields, where=where)
    try:
        kinds.model_validate(dict(values))
    except ValidationError as error:
        name = error.errors()[0]["loc"][0]
        kind, value = kinds.model_fields[name].annotation, values[name]
        choices = get_origin(kind) is Literal and f"one of {', '.join(get_args(kind))}"
        wanted = choices or (kind.__name__ if isinstance(kind, type) else str(kind))
        raise SmallerError(
            f"Parameter {name} in {where} is {value!r}, of type {type(value).__name__}, but should be {wanted}."
            + _hint(value, wanted)
        ) from None
    return dict(values)


def _hint(value: object, wanted: str) -> str:
    """How a number or a truth value is written that came as text."""
    import numpy as np

    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str) and "float" in wanted:
            with contextlib.suppress(ValueError):
                number = np.format_float_scientific(float(item), trim="0", exp_digits=1)
                return f" YAML takes {item} for text: write {number}."
        if isinstance(item, str) and "bool" in wanted and item.lower() in ("true", "false"):
            return f" Write {item.lower()} in YAML, without quotes, or {item.title()} in Python."
    return ""


def filled(notebook: Path | str, given: Mapping[str, object], *, where: str) -> dict[str, object]:
    """All parameters of a notebook file: those that are `given`, checked, and the defaults of the others."""
    own = declared(notebook)
    given = validate(given, own, where=where)
    return {name: field.default for name, field in own.model_fields.items()} | given


def refuse_unknown(names: Iterable[str], known: Iterable[str], *, where: str, what: str = "parameter") -> None:
    """Raise SmallerError, with a suggestion, for the first name that is not known."""
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise SmallerError(f"Unknown {what} {name!r} in {where}.{hint} Known: {', '.join(known)}.")
