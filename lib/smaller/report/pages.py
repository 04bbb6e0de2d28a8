"""The pages of all notebooks that were run, and the index: each is rendered once, and kept for the next time."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from smaller.base.errors import SmallerError, in_one_line
from smaller.base.files import write_whole
from smaller.base.paths import outputs_folder
from smaller.notebook import files
from smaller.report.course import Course, index_file
from smaller.report.front import index
from smaller.report.page import Page, linked, unlinked
from smaller.study import results


def write_report() -> Path:
    """Render every executed notebook under `outputs/notebooks` and the index page; returns the path of the index.

    SmallerError names the notebooks that cannot be rendered whole (an image without alternative text, an external
    resource, a damaged file), when all others and the index are written; their own page says why.
    """
    if problems := write_pages(anew=True):
        raise SmallerError("\n".join(problems.values()))
    return index_file()


def write_pages(course: Course | None = None, *, anew: bool = False) -> dict[str, str]:
    """Write all pages; what was wrong with a notebook, by its name.

    A notebook is rendered once, when there is no page of what it has become, and `anew` if that is wanted; links
    between pages and the index are always written.
    """
    pages, problems = [], {}
    for path in sorted((outputs_folder() / "notebooks").glob("*.ipynb")):
        try:
            pages.append(_rendered(path, anew=anew))
        except Exception as problem:  # what is in a notebook is anybody's; the other pages do not hang on it
            said = in_one_line(problem)
            problems[path.stem] = said if str(path) in said else f"{path} could not be made into a page: {said}"
            told = problems[path.stem].replace(str(path), path.name)
            pages.append(Page(path.stem, _title(path), error=told))
    titles = {page.name: page.title for page in pages}
    pages = [linked(page, titles) for page in pages]
    for page in pages:
        _write_new(index_file().with_name(f"{page.name}.html"), page.html)
    _write_new(index_file(), index(pages, results.read_all(), course=course if course and course.left else None))
    return problems


def _rendered(executed: Path, *, anew: bool) -> Page:
    """An executed notebook as a page without links: as it is kept beside the report, or rendered now, and kept."""
    made_of = executed.read_bytes() + _sources()
    key, place = hashlib.sha256(made_of).hexdigest(), outputs_folder() / "rendered" / f"{executed.stem}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(place.read_bytes())
        if kept["key"] == key and not anew:
            return Page(**kept["page"])
    page = unlinked(executed)
    write_whole(place, {"key": key, "page": asdict(page)})
    return page


@functools.cache
def _sources() -> bytes:
    """What decides how a page looks, beside its notebook."""
    return b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.rglob("*.*")) if file.suffix != ".pyc")


def _write_new(place: Path, content: str) -> None:
    """Write a file, unless that is what it holds."""
    if not place.is_file() or place.read_bytes() != content.encode():
        write_whole(place, content)


def _title(executed: Path) -> str:
    try:
        return files.title(executed)
    except Exception:  # rendering says what is wrong
        return executed.stem
