"""The pages of all notebooks that were run, each rendered once and kept, and the index that leads to them.

The index says what was studied, which recipe to use, the answers, and what the study took.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from markupsafe import Markup

from smaller.base.errors import SmallerError, in_one_line
from smaller.base.files import write_whole
from smaller.base.paths import outputs_folder
from smaller.base.progress import duration
from smaller.base.words import count_of
from smaller.data.datasets import DATASETS
from smaller.notebook import expense, files
from smaller.notebook.runner import provenance
from smaller.report.course import Course, index_file
from smaller.report.page import Page, linked, template, unlinked
from smaller.study import results

HEADLINES = ("choices-by-language", "pareto")
"""The table and the figure that the index shows whole, from the first page that has them."""

BOX = "box-quickstart"
"""The box in which a reader tries models, from the first page that has it."""


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


def index(pages: Sequence[Page], records: Sequence[dict] = (), *, course: Course | None = None) -> str:
    """The index: what `records` are of and what they took; a line and a card for each page; the headline figures.

    Of a study that has not come to its end, `course` says how far it is.
    """
    ordered = sorted(pages, key=lambda page: page.name)
    summary = next((page for page in ordered if set(HEADLINES) & set(page.parts)), None)
    return template("index.html.j2").render(
        pages=ordered,
        names={page.name for page in pages},
        course=course,
        rows=[page for page in ordered if page.answer or page.error],
        summary=summary,
        box=next((Markup(page.parts[BOX]) for page in ordered if BOX in page.parts), ""),
        headlines=[Markup(summary.parts[name]) for name in HEADLINES if name in summary.parts] if summary else [],
        studied=_studied(records),
        sample=any(page.sample for page in pages),
        cost=_cost(ordered, records),
        title="smaller: a study",
        facts=provenance(),
    )


def _studied(records: Sequence[dict]) -> dict[str, str]:
    if not records:
        return {}
    found = expense.studied(records)
    names = [name for name in found["data"].split(", ") if name in DATASETS]
    return found | {"data": "; ".join(f"{name} ({DATASETS[name].citation})" for name in names) or found["data"]}


def _cost(pages: Sequence[Page], records: Sequence[dict]) -> dict[str, str]:
    """Hours by their sources: records for what was trained and scored, notebooks for their latest run."""
    spent = expense.expense(records)
    if not records:
        return {}
    return {
        "training": f"{duration(spent.training)} for {count_of(spent.trainings, 'training')}, which recipes share",
        "scoring": f"{duration(spent.scoring)} for {len(records):,} models, with quantization and timing",
        "notebooks": f"{duration(sum(page.seconds for page in pages))} for the latest run of all pages here; what the "
        "records held already was not computed again",
        "energy": expense.energy(spent),
    }
