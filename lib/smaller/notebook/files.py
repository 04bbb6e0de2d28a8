"""Notebook files, read in one place.

nbformat is imported on use: with it comes a grammar that takes a second to build, and notebooks and workers, which
import this library but read no notebook, would each pay for it.
"""

from __future__ import annotations

from pathlib import Path
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
