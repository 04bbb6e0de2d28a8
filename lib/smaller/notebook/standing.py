"""What a notebook's run was made of: where all of it still is as it was, its page stands, and nothing runs again."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import json
import os
import platform
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from smaller.base import paths, settings
from smaller.base.errors import SmallerError
from smaller.notebook import files

PACKAGE = Path(__file__).resolve().parents[1]
EVERY_RECORD = "read_all"
"""A notebook that calls this shows what any record holds, also what came after its run."""
READ = "tables"
"""The folder of the cache's data where splits are kept as they were read."""


def made_of(path: Path, values: Mapping[str, object]) -> str:
    """A digest of what a notebook's run is made of beside records; noted before it begins.

    That is its source, its parameters, this package, all installed libraries, the machine, and the names, sizes and
    times of change of data and encoders.
    """
    return _digest(_of(path, values))


def records() -> dict[str, object]:
    """The `records` that are there when a run ends, by name, and a digest of the `state` in which all of them are."""
    found = _records()
    return {"records": [_name(place) for place in found], "state": _digest(_states(found))}


def stands(path: Path, values: Mapping[str, object], *, profile: str) -> bool:
    """Whether a notebook was done with a profile, and all that its run was made of, and made, is here as it was.

    Records may have grown: other notebooks add scores and times to them. One that imports a module of somebody's own
    never stands: nobody knows what that reads.
    """
    try:
        executed = json.loads((paths.outputs_folder() / "notebooks" / path.name).read_bytes())
        about = executed["metadata"]["smaller"]
        if (about["status"], about["profile"]) != ("done", profile) or _imports_own(path):
            return False
        found = _records()
        kept = set(about["records"]) <= {_name(place) for place in found}
        same = EVERY_RECORD not in _source(path) or about["state"] == _digest(_states(found))
        made = [paths.outputs_folder() / file for file in _files(executed)]
        return kept and same and about["made_of"] == made_of(path, values) and all(file.is_file() for file in made)
    except (OSError, SmallerError, ValueError, KeyError, TypeError):
        return False


def _of(path: Path, values: Mapping[str, object]) -> Iterator[object]:
    yield path.read_bytes()
    yield json.dumps(values, sort_keys=True, default=str)
    yield _software()
    yield [os.cpu_count(), settings.cards(), *sorted(map(str, Path("/dev").glob("nvidia[0-9]*")))]
    named = (item for value in values.values() for item in (value if isinstance(value, list) else [value]))
    given = [Path(item) for item in named if isinstance(item, str) and os.sep in item and Path(item).exists()]
    kept = paths.cache_folder() / "data"
    for folder in (paths.data_folder(), paths.models_folder(), kept, *given):
        found = [folder, *folder.rglob("*")] if folder else []
        yield _states(sorted(place for place in found if not place.is_relative_to(kept / READ)))


@functools.cache
def _software() -> str:
    """This package, file by file, and the versions of all that is installed; they do not change while a study runs."""
    own = [file for file in sorted(PACKAGE.rglob("*.*")) if file.is_file() and file.suffix != ".pyc"]
    installed = sorted({f"{one.name} {one.version}" for one in metadata.distributions()})
    return _digest([platform.python_version(), platform.machine(), *installed, *(file.read_bytes() for file in own)])


def _records() -> list[Path]:
    """All records: those of recipes, and of models without an encoder."""
    return sorted((paths.outputs_folder() / "results").rglob("*.json"))


def _name(record: Path) -> str:
    return f"{record.parent.name}/{record.stem}"


def _states(places: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Path, size and time of change of files."""
    found = [(str(place), place.stat()) for place in places if place.is_file()]
    return [(name, state.st_size, state.st_mtime_ns) for name, state in found]


def _digest(parts: Iterable[object]) -> str:
    made = hashlib.sha256()
    for part in parts:
        made.update(hashlib.sha256(part if isinstance(part, bytes) else repr(part).encode()).digest())
    return made.hexdigest()


def _source(path: Path) -> str:
    return "\n".join(cell.source for cell in files.cells(path) if cell.cell_type == "code")


def _imports_own(path: Path) -> bool:
    """Whether a notebook imports a module that is neither this package's nor installed, or cannot be read as Python."""
    try:
        found = list(ast.walk(ast.parse(_source(path))))
    except SyntaxError:
        return True
    named = {name.name for node in found if isinstance(node, ast.Import) for name in node.names}
    named |= {node.module for node in found if isinstance(node, ast.ImportFrom) and node.module}
    return any(not _is_installed(name.split(".")[0]) for name in named)


def _is_installed(name: str) -> bool:
    found = importlib.util.find_spec(name)
    if found is None or found.origin in ("built-in", "frozen"):
        return found is not None
    roots = {Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
    place = Path(found.origin or "").resolve()
    return place.is_relative_to(PACKAGE) or any(place.is_relative_to(root) for root in roots)


def _files(executed: Mapping) -> Iterator[str]:
    """The files, below the outputs folder, of all figures and tables that an executed notebook shows."""
    for cell in executed["cells"]:
        for output in cell.get("outputs", ()):
            yield from filter(None, output.get("metadata", {}).get("smaller", {}).get("files", ()))
