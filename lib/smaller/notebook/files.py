"""Notebook files, read in one place.

nbformat is imported on use: with it comes a grammar that takes a second to build, and notebooks and workers, which
import this library but read no notebook, would each pay for it.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from smaller.base.errors import SmallerError

if TYPE_CHECKING:
    from nbformat import NotebookNode


def read(path: Path | str) -> NotebookNode:
    """A notebook of format 4. Raises FileNotFoundError without a file, and SmallerError for one that is no notebook."""
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.validator.NotebookValidationError, UnicodeDecodeError) as error:
        raise SmallerError(f"{path} is not a notebook: {str(error).splitlines()[0]}") from error


def cells(path: Path | str) -> list[NotebookNode] | list[SimpleNamespace]:
    """The cells of a notebook, each with its `cell_type`, `source` and `metadata`; raises as `read` does.

    Without nbformat for a file that is plainly what it should be.
    """
    try:
        content = json.loads(Path(path).read_bytes())
        if content["nbformat"] == 4:
            return [
                SimpleNamespace(cell_type=cell["cell_type"], source="".join(cell["source"]), metadata=cell["metadata"])
                for cell in content["cells"]
            ]
    except (ValueError, KeyError, TypeError):
        pass  # what is wrong, or of which older format it is, the library knows
    return read(path).cells


def title(path: Path) -> str:
    """The first heading of a notebook; the name of its file where it has none."""
    prose = (cell.source.splitlines() for cell in cells(path) if cell.cell_type == "markdown")
    return next((line[2:].strip() for lines in prose for line in lines if line.startswith("# ")), path.stem)
