"""The page that leads to all others: what was studied, which recipe to use, the answers, and what the study took."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

from markupsafe import Markup
from PIL import Image

from smaller.analysis.findings.words import count_of
from smaller.base.paths import outputs_folder
from smaller.base.progress import duration
from smaller.data.datasets import DATASETS
from smaller.notebook import expense
from smaller.notebook.runner import provenance
from smaller.report.page import Page, style, template

HEADLINES = ("choices-by-language", "pareto")
"""The table and the figure that the index shows whole, from the first page that has them."""

BOX = "box-quickstart"
"""The box in which a reader tries models, from the first page that has it."""


def index(pages: Sequence[Page], records: Sequence[dict] = ()) -> str:
    """The index: what `records` are of and what they took; a line and a card for each page; the headline figures."""
    ordered = sorted(pages, key=lambda page: page.name)
    summary = next((page for page in ordered if set(HEADLINES) & set(page.parts)), None)
    return template("index.html.j2").render(
        pages=[(page, _thumbnail(page.figure)) for page in ordered],
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


def _thumbnail(card: Mapping[str, object]) -> str:
    """A figure at half size for the index, as a data address; empty when its file is gone or damaged."""
    path = next((outputs_folder() / file for file in card.get("files", []) if file.endswith(".png")), None)
    if path is None or not path.is_file():
        return ""
    small = io.BytesIO()
    try:
        picture = Image.open(path)
        picture.load()
    except OSError:
        return ""
    with picture:
        reduced = picture.convert("RGB").resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    reduced.quantize(64, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(small.getvalue()).decode("ascii")
