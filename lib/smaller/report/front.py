"""The page that leads to all others: what was studied, which recipe to use, the answers, and what the study took."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from smaller.analysis.findings.words import count_of
from smaller.base.progress import duration
from smaller.data.datasets import DATASETS
from smaller.notebook import expense
from smaller.notebook.runner import provenance
from smaller.report.course import Course
from smaller.report.page import Page, style, template

HEADLINES = ("choices-by-language", "pareto")
"""The table and the figure that the index shows whole, from the first page that has them."""

BOX = "box-quickstart"
"""The box in which a reader tries models, from the first page that has it."""


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
        style=Markup(style()),
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
