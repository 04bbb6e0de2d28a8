"""The notebook contract: typed parameters in the first code cell, checked in the second, filled from a profile.

The first code cell of a notebook is tagged `parameters` and holds lines `name: type = value  # meaning, unit, choices`.
The second calls `check(globals())`, so a misspelt name or a wrong type ends the run in its first second.
"""

from __future__ import annotations

import ast
import builtins
import copy
import io
import tokenize
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from smaller.base.errors import SmallerError, did_you_mean
from smaller.base.paths import notebooks_folder
from smaller.notebook import files

PLAIN = (str, int, float, bool, list, dict, tuple, type(None))
NOT_PARAMETERS = {"In", "Out", "exit", "quit", "get_ipython"}
SHARED = "study"


@dataclass(frozen=True)
class Parameter:
    """One declared parameter: its name, type as written, default and meaning (the comment behind it)."""

    name: str
    type: str
    default: object
    meaning: str


class Settings(Mapping):
    """The checked parameters of a run, read-only: `settings.seeds`, `settings["seeds"]` or `dict(settings)`."""

    def __init__(self, values: Mapping[str, object]) -> None:
        object.__setattr__(self, "_values", copy.deepcopy(dict(values)))

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or "_values" not in self.__dict__:
            raise AttributeError(name)
        if name not in self._values:
            raise SmallerError(f"There is no parameter {name!r}.{did_you_mean(name, self._values)}")
        return self._values[name]

    def __setattr__(self, name: str, value: object) -> None:
        raise SmallerError(f"Settings are read-only; change {name!r} in the parameters cell and run again from there.")

    def __getitem__(self, name: str) -> object:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return "\n".join(f"{name} = {value!r}" for name, value in self._values.items())


def check(namespace: Mapping[str, object], **validators: Callable[[object], object]) -> Settings:
    """The parameters of the running notebook; call it as `check(globals())` in the second code cell.

    A validator, given under the name of a parameter, is called with its value: it raises SmallerError (or ValueError)
    when the value means nothing, and may return the value to use instead (None keeps it).
    Raises SmallerError for a name that is not declared, a wrong type, and whatever a validator finds.
    """
    annotations, suspects = _from_history(namespace) or _from_namespace(namespace)
    if not annotations:
        raise SmallerError("No parameters are declared. Run the first code cell, the one tagged `parameters`, first.")
    unknown = [name for name in suspects if name not in annotations and _is_plain(namespace, name)]
    _refuse_unknown(unknown, annotations, where="this run")
    values = {}
    for name, kind in annotations.items():
        _check_type(name, namespace.get(name), kind, where="this run")
        values[name] = namespace[name]
    _refuse_unknown(validators, annotations, where="the validators passed to check()")
    for name, validator in validators.items():
        try:
            replacement = validator(values[name])
        except ValueError as error:
            raise SmallerError(f"Parameter {name} = {values[name]!r}: {error}") from error
        values[name] = values[name] if replacement is None else replacement
    return Settings(values)


def declared(notebook: Path | str) -> dict[str, Parameter]:
    """The parameters that a notebook file declares, in order; nothing of the notebook is run.

    Raises SmallerError when the first code cell is not the one tagged `parameters`, or holds anything but annotated
    literals.
    """
    notebook = Path(notebook)
    try:
        cells = files.read(notebook).cells
    except FileNotFoundError as error:
        choices = [path.stem for path in notebook.parent.glob("*.ipynb")]
        hint = did_you_mean(notebook.stem, choices)
        raise SmallerError(f"There is no notebook {notebook}.{hint}") from error
    code = [cell for cell in cells if cell.cell_type == "code"]
    if not code or "parameters" not in code[0].metadata.get("tags", []):
        raise SmallerError(f"{notebook}: the first code cell has to carry the tag `parameters`.")
    return {parameter.name: parameter for parameter in _declarations(code[0].source, where=str(notebook))}


def validate(values: Mapping[str, object], parameters: Mapping[str, Parameter], *, where: str) -> dict[str, object]:
    """`values` unchanged, when every name is declared and every value has the declared type; SmallerError otherwise."""
    _refuse_unknown(values, parameters, where=where)
    for name, value in values.items():
        _check_type(name, value, _resolve(parameters[name].type), where=where)
    return dict(values)


def profiles(*, folder: Path | None = None) -> list[str]:
    """The names of the profiles, from `notebooks/profiles/*.yaml`."""
    return sorted(path.stem for path in ((folder or notebooks_folder()) / "profiles").glob("*.yaml"))


def profile(
    name: str, notebook: str, *, overrides: Mapping[str, object] | None = None, folder: Path | None = None
) -> dict[str, object]:
    """The parameters that profile `name` gives to `notebook` (its file name without ending), overrides last.

    A profile is a mapping with a section `study`, whose parameters go to every notebook that declares them, and a
    section for each notebook; `name` may also be the path of a file of one's own, ending in .yaml. Raises SmallerError
    for a section or a name that belongs to no notebook and for a value of the wrong type; overrides are held to the
    same rule as `study`.
    """
    folder = folder or notebooks_folder()
    names = sorted(path.stem for path in folder.glob("*.ipynb"))
    if notebook not in names:
        raise SmallerError(f"There is no notebook {notebook!r}.{did_you_mean(notebook, names)}")
    path = Path(name) if name.endswith(".yaml") else folder / "profiles" / f"{name}.yaml"
    sections = _read_profile(path, choices=profiles(folder=folder))
    _refuse_unknown(sections, [SHARED, *names], where=f"{path}", what="section")
    of_notebook = {stem: declared(folder / f"{stem}.ipynb") for stem in names}
    everything = {parameter: known for parameters in of_notebook.values() for parameter, known in parameters.items()}
    own = of_notebook[notebook]

    def shared(values: Mapping[str, object], where: str) -> dict[str, object]:
        _refuse_unknown(values, everything, where=where)
        return validate({key: value for key, value in values.items() if key in own}, own, where=where)

    return (
        shared(sections.get(SHARED, {}), f"{path}, section {SHARED}")
        | validate(sections.get(notebook, {}), own, where=f"{path}, section {notebook}")
        | shared(overrides or {}, "the command line")
    )


def _read_profile(path: Path, *, choices: list[str]) -> dict[str, dict[str, object]]:
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
    return {str(section): values or {} for section, values in content.items()}


def _from_history(namespace: Mapping[str, object]) -> tuple[dict[str, object], list[str]] | None:
    """Declared types and assigned names as the cells wrote them, where IPython keeps their text in `In`.

    Only the cells from the last parameters cell up to the first run of the current cell count, so a second visit to
    this cell does not take the notebook's later variables for parameters. Reading the text also gives the types on
    Python 3.14, where a namespace keeps the annotations of its last statement only.
    """
    history = namespace.get("In")
    if not isinstance(history, list) or not history:
        return None
    trees = [_parse(source) for source in history]
    starts = [index for index, tree in enumerate(trees) if tree.body and isinstance(tree.body[0], ast.AnnAssign)]
    if not starts:
        return None
    start = starts[-1]
    end = next((index for index in range(start + 1, len(history)) if history[index] == history[-1]), start + 1)
    statements = [statement for tree in trees[start:end] for statement in tree.body]
    annotations = {
        statement.target.id: _resolve(statement.annotation)
        for statement in trees[start].body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    }
    assigned = [
        target.id
        for statement in statements
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    ]
    return annotations, assigned


def _from_namespace(namespace: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    annotations = dict(namespace.get("__annotations__") or {})
    if callable(annotate := namespace.get("__annotate__")):
        annotations |= annotate(1)
    return {name: _resolve(kind) for name, kind in annotations.items()}, list(namespace)


def _is_plain(namespace: Mapping[str, object], name: str) -> bool:
    hidden = name.startswith("_") or name in NOT_PARAMETERS
    return not hidden and name in namespace and isinstance(namespace[name], PLAIN)


def _refuse_unknown(names, known, *, where: str, what: str = "parameter") -> None:
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise SmallerError(f"Unknown {what} {name!r} in {where}.{hint} Known: {', '.join(known)}.")


def _parse(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.Module([], [])


def _declarations(source: str, *, where: str) -> Iterator[Parameter]:
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise SmallerError(f"{where}, parameters cell, line {error.lineno}: {error.msg}") from error
    comments = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    for statement in tree.body:
        place = f"{where}, parameters cell, line {statement.lineno}"
        simple = isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
        if not simple or statement.value is None:
            raise SmallerError(f"{place}: write `name: type = value  # meaning, unit, choices`.")
        try:
            default = ast.literal_eval(statement.value)
        except ValueError as error:
            raise SmallerError(f"{place}: the default has to be a plain value such as 3, 'swa' or [1, 2].") from error
        lines = range(statement.lineno, statement.end_lineno + 1)
        meaning = " ".join(comments[line] for line in lines if line in comments)
        parameter = Parameter(statement.target.id, ast.unparse(statement.annotation), default, meaning)
        _check_type(parameter.name, default, _resolve(statement.annotation), where=place)
        yield parameter


def _resolve(kind: object) -> object:
    """A type from an annotation that may be a type already, a string, or a piece of syntax; nothing is evaluated."""
    if isinstance(kind, str):
        return _resolve(ast.parse(kind, mode="eval").body)
    if isinstance(kind, ast.Constant):
        return _resolve(kind.value) if isinstance(kind.value, str) else types.NoneType
    if isinstance(kind, ast.Name) and kind.id in ("str", "int", "float", "bool", "list", "dict", "tuple"):
        return getattr(builtins, kind.id)
    if isinstance(kind, ast.BinOp) and isinstance(kind.op, ast.BitOr):
        return _resolve(kind.left) | _resolve(kind.right)
    if isinstance(kind, ast.Subscript):
        inner = kind.slice.elts if isinstance(kind.slice, ast.Tuple) else [kind.slice]
        if ast.unparse(kind.value) in ("Literal", "typing.Literal"):
            return Literal[tuple(ast.literal_eval(item) for item in inner)]
        arguments = [... if isinstance(i, ast.Constant) and i.value is ... else _resolve(i) for i in inner]
        return _resolve(kind.value)[tuple(arguments)]
    if isinstance(kind, ast.AST):
        raise SmallerError(
            f"{ast.unparse(kind)} is no type for a parameter: use str, int, float, bool, list[...], dict[..., ...], "
            "tuple[...], None, or several with |."
        )
    return kind


def _check_type(name: str, value: object, kind: object, *, where: str) -> None:
    if _fits(value, kind):
        return
    wanted = kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
    message = f"Parameter {name} in {where} is {value!r}, of type {type(value).__name__}, but should be {wanted}."
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, str) and "float" in wanted and _is_number(item):
            message += f" YAML takes {item} for text: write {_with_point(item)}."
            break
        if isinstance(item, str) and "bool" in wanted and item.lower() in ("true", "false"):
            message += f" Write {item.lower()} in YAML, without quotes, or {item.title()} in Python."
            break
    raise SmallerError(message)


def _fits(value: object, kind: object) -> bool:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return any(_fits(value, choice) for choice in arguments)
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in arguments)
    if origin is dict:
        key, item = arguments
        return isinstance(value, dict) and all(_fits(k, key) and _fits(v, item) for k, v in value.items())
    if origin is list or (origin is tuple and arguments[-1] is ...):
        return isinstance(value, origin) and all(_fits(item, arguments[0]) for item in value)
    if origin is tuple:
        same = isinstance(value, tuple) and len(value) == len(arguments)
        return same and all(map(_fits, value, arguments))
    if kind is None or kind is types.NoneType:
        return value is None
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _with_point(text: str) -> str:
    """1e-5 as 1.0e-5: YAML needs a point before, and a sign behind, the e."""
    mantissa, e, exponent = text.lower().partition("e")
    if not e:
        return text
    sign = "" if exponent.startswith(("-", "+")) else "+"
    return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{sign}{exponent}"
