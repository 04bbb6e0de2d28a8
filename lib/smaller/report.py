"""Run the notebooks, and turn them into pages that need no network: answers, tables and figures with their data.

Inside a notebook, `answer` and `show` display a finding and a table; outside, `run_all` runs the notebooks of a
profile and `write_report` renders what has been run.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import itertools
import logging
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup
from PIL import Image

from smaller.errors import SmallerError, did_you_mean
from smaller.figures import FILES, inside_outputs
from smaller.parameters import profile
from smaller.paths import notebooks_folder, outputs_folder, project_root
from smaller.progress import Say, duration, silent
from smaller.runner import NotebookRun, provenance, run_notebook, write_whole

TEMPLATES = Path(__file__).with_name("report_template")
SHOWN = ("text/html", "text/markdown", "image/png", "image/svg+xml", "text/plain")
NO_ALTERNATIVE_TEXT = "No description has been provided for this image"


@dataclass(frozen=True)
class Page:
    """A rendered notebook, and what the index shows of it."""

    name: str
    title: str
    answer: str
    html: str
    error: str = ""
    profile: str = ""
    sample: bool = False
    command: str = ""
    thumbnail: str = ""
    alt: str = ""


def answer(text: str) -> None:
    """Display a finding in a box; the first one of a notebook stands at the top of its page and in the index.

    `text` is plain text, escaped; an empty line starts a new paragraph.
    """
    parts = "".join(f"<p>{html.escape(part)}</p>" for part in text.strip().split("\n\n"))
    look = "border-left: 4px solid #0173b2; background: #f5f7f9; padding: 0.6em 0.9em"
    _display(f'<div class="answer" style="{look}">{parts}</div>', text, {"kind": "answer", "text": text.strip()})


def show(
    frame: pd.DataFrame,
    caption: str,
    name: str,
    *,
    decimals: int | Mapping[str, int] = 1,
    folder: Path | None = None,
) -> None:
    """Display a table with its caption and save it as `<name>.csv` (in full) and `<name>.md` under `outputs/tables`.

    Numbers stand to the right, floats with `decimals` places (one number, or one for each column); a missing number
    is a dash. An index with a name becomes a column. All text is escaped; a whole cell between ** is bold, one between
    __ is underlined.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise SmallerError(
            f"The name of a table becomes a file name: {name!r} may hold letters, digits, - _ and . only."
        )
    frame = frame.reset_index() if any(level is not None for level in frame.index.names) else frame
    frame = frame.set_axis(
        [" ".join(map(str, column)).strip() if isinstance(column, tuple) else str(column) for column in frame.columns],
        axis="columns",
    )
    places = decimals if isinstance(decimals, Mapping) else dict.fromkeys(frame.columns, decimals)
    numeric = [pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) for kind in frame.dtypes]
    cells = [
        [_text(value, places.get(column, 1)) for column, value in zip(frame.columns, row, strict=True)]
        for row in frame.itertuples(index=False, name=None)
    ]
    folder = folder or outputs_folder() / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    rule = ["---:" if number else "---" for number in numeric]
    lines = [[_pipe(column) for column in frame.columns], rule, *([_pipe(cell) for cell in row] for row in cells)]
    markdown = "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{caption}\n"
    (folder / f"{name}.md").write_text(markdown, encoding="utf-8")

    def line(values: Sequence[str], *, head: bool = False) -> str:
        out = []
        for place, value in enumerate(values):
            tag, scope = ("th", "col") if head else ("th", "row") if place == 0 else ("td", "")
            style = ' class="number" style="text-align: right"' if numeric[place] else ' style="text-align: left"'
            out.append(f"<{tag}{f' scope={scope!r}' if scope else ''}{style}>{_marked(value)}</{tag}>")
        return f"<tr>{''.join(out)}</tr>"

    body = "".join(line(row) for row in cells)
    content = (
        f'<div class="scroll" tabindex="0"><table id="table-{name}"><caption>{html.escape(caption)}{FILES}</caption>'
        f"<thead>{line(list(frame.columns), head=True)}</thead><tbody>{body}</tbody></table></div>"
    )
    files = [inside_outputs(folder / f"{name}.{ending}") for ending in ("csv", "md")]
    _display(content, markdown, {"kind": "table", "name": name, "caption": caption, "files": files})


def run_all(
    profile_name: str = "sample",
    *,
    only: Sequence[str] = (),
    overrides: Mapping[str, object] | None = None,
    dry_run: bool = False,
    notebooks: Path | None = None,
    progress: Say = silent,
) -> list[NotebookRun]:
    """Run the notebooks of a profile in reading order and write the report; a failed one does not stop the rest.

    Every parameter of every notebook is checked before the first kernel starts. A dry run ends there, with status
    'planned' and the parameters of each.
    """
    notebooks = notebooks or notebooks_folder()
    names = sorted(path.stem for path in notebooks.glob("*.ipynb"))
    for name in only:
        if name not in names:
            raise SmallerError(f"There is no notebook {name!r}.{did_you_mean(name, names)} Known: {', '.join(names)}.")
    chosen = [name for name in names if not only or name in only]
    plan = {name: profile(profile_name, name, overrides=overrides, folder=notebooks) for name in chosen}
    if dry_run:
        return [NotebookRun(name, "planned", parameters=parameters) for name, parameters in plan.items()]
    runs = []
    for number, (name, parameters) in enumerate(plan.items(), start=1):
        progress(f"{name}: notebook {number} of {len(plan)}")
        runs.append(
            run_notebook(
                notebooks / f"{name}.ipynb",
                parameters,
                profile_name=profile_name,
                progress=lambda line, name=name: progress(f"{name}: {line}"),
            )
        )
        last = runs[-1]
        progress(f"{name}: {last.status} in {duration(last.seconds)}" + (f"\n{last.error}" if last.error else ""))
    progress(f"report: {write_report()}")
    return runs


def write_report() -> Path:
    """Render every executed notebook under `outputs/notebooks` and the index page; returns the path of the index.

    Pages that can be written are; SmallerError then names those that cannot (an image without alternative text, an
    external resource).
    """
    executed = sorted((outputs_folder() / "notebooks").glob("*.ipynb"))
    folder = outputs_folder() / "report"
    folder.mkdir(parents=True, exist_ok=True)
    pages, problems = [], []
    for path in executed:
        try:
            pages.append(render(path, pages=[other.stem for other in executed]))
        except SmallerError as error:
            problems.append(str(error))
            continue
        write_whole(folder / f"{path.stem}.html", pages[-1].html)
    write_whole(folder / "index.html", index(pages))
    if problems:
        raise SmallerError("\n".join(problems))
    return folder / "index.html"


def render(executed: Path, *, pages: Collection[str] = ()) -> Page:
    """An executed notebook as one HTML page that fetches nothing.

    Links to other notebooks lead to their pages where they are among `pages` and are plain text otherwise. Raises
    SmallerError for an image without alternative text and for anything that a browser would fetch or run.
    """
    from bs4 import BeautifulSoup
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter

    notebook = nbformat.read(executed, as_version=4)
    notebook.cells = [c for c in notebook.cells if "papermill-error-cell-tag" not in c.metadata.get("tags", [])]
    cards = [card for cell in notebook.cells for output in cell.get("outputs", []) if (card := _prepare(output))]
    exporter = HTMLExporter(
        template_name="cells",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_anchor_links=True,
        embed_images=True,
        log=_quiet(),
    )
    resources = {"metadata": {"name": executed.stem, "path": str(project_root() / "notebooks")}}
    soup = BeautifulSoup(exporter.from_notebook_node(notebook, resources)[0], "html.parser")
    heading = soup.find("h1")
    title = heading.extract().get_text().strip() if heading else executed.stem
    contents = _contents(soup)
    _check_offline(soup, executed)
    for table in soup.select("table"):
        if not table.find_parent(class_="scroll"):
            table.wrap(soup.new_tag("div", attrs={"class": "scroll", "tabindex": "0"}))
    for link in soup.select('a[href$=".ipynb"]'):
        stem = Path(link["href"]).stem
        if stem in pages:
            link["href"] = f"{stem}.html"
        elif not link["href"].startswith(("http", "../notebooks/")):
            link.unwrap()
    run = notebook.metadata.get("smaller", {})
    figure = next((card for card in cards if card["kind"] == "figure"), {})
    page = Page(
        name=executed.stem,
        title=title,
        answer=next((card["text"] for card in cards if card["kind"] == "answer"), ""),
        html="",
        error=run.get("error", ""),
        profile=run.get("profile", ""),
        sample=bool(run.get("sample")),
        command=f"python -m smaller study --profile {run['profile']} --only {executed.stem}"
        if run.get("profile")
        else "",
        thumbnail=_thumbnail(figure),
        alt=figure.get("alt", ""),
    )
    facts = {"time": duration(run["seconds"])} | run["provenance"] if run else {}
    style = _style() + HtmlFormatter(style="default").get_style_defs(".highlight")
    content = _template("page.html.j2").render(
        page=page, title=title, contents=contents, body=Markup(soup.decode()), style=Markup(style), facts=facts
    )
    return dataclasses.replace(page, html=content)


def index(pages: Sequence[Page]) -> str:
    """The page that leads to all others: a card for each with question, answer and first figure."""
    ordered = sorted(pages, key=lambda page: page.name)
    return _template("index.html.j2").render(
        pages=ordered, title="smaller: a study", style=Markup(_style()), facts=provenance()
    )


def _prepare(output: nbformat.NotebookNode) -> dict | None:
    """Make an output fit for a page: links under figures and tables, no scripts, no markup from data in prose.

    Returns what the output is (figure, table, answer), where it says so.
    """
    card = output.get("metadata", {}).get("smaller")
    data = output.get("data", {})
    for kind in [kind for kind in data if kind not in SHOWN]:
        del data[kind]
    if "text/markdown" in data:
        data["text/markdown"] = data["text/markdown"].replace("<", "&lt;")
    if card and "text/html" in data:
        links = [
            f'<a href="../{html.escape(file)}">{html.escape(Path(file).suffix[1:].upper())}</a>'
            for file in card.get("files", [])
            if file
        ]
        text = f' <span class="files">Files: {" · ".join(links)}</span>' if links else ""
        data["text/html"] = data["text/html"].replace(FILES, text)
    return card


def _contents(soup) -> list[tuple[int, str, str]]:
    """Give every heading an anchor of its own; level, anchor and text of each, for the list of contents."""
    taken: set[str] = set()
    contents = []
    for heading in soup.select("h2, h3"):
        text = heading.get_text().strip()
        stem = re.sub(r"[^\w]+", "-", text.lower()).strip("-") or "section"
        anchor = next(name for n in itertools.count(1) if (name := stem if n == 1 else f"{stem}-{n}") not in taken)
        taken.add(anchor)
        heading["id"] = anchor
        contents.append((int(heading.name[1]), anchor, text))
    return contents


def _check_offline(soup, executed: Path) -> None:
    for image in soup.select("img"):
        if image.get("alt", "").strip() in ("", NO_ALTERNATIVE_TEXT):
            raise SmallerError(
                f"{executed}: an image has no alternative text. Save figures with smaller.figures.save(..., alt=...), "
                "and write ![what it shows](file) in prose."
            )
        if not image.get("src", "").startswith("data:"):
            raise SmallerError(f"{executed}: the image {image.get('src')!r} is not part of the page.")
    for tag in soup.select("script, link, iframe, object, embed, video, audio, base, form, meta"):
        raise SmallerError(f"{executed}: <{tag.name}> has no place in a page that works offline.")


def _thumbnail(card: Mapping[str, object]) -> str:
    """A figure at half size for the index, as a data address; empty when its file is gone."""
    path = next((outputs_folder() / file for file in card.get("files", []) if file.endswith(".png")), None)
    if path is None or not path.is_file():
        return ""
    small = io.BytesIO()
    with Image.open(path) as picture:
        reduced = picture.convert("RGB").resize((picture.width // 2, picture.height // 2), Image.Resampling.LANCZOS)
    reduced.quantize(64, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(small.getvalue()).decode("ascii")


def _text(value: object, places: int) -> str:
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "–"
    return f"{value:,.{places}f}" if isinstance(value, float | np.floating) else str(value)


def _marked(text: str) -> str:
    """A cell as HTML: the marks of Markdown around a whole cell become tags."""
    for mark, tag in (("__", "u"), ("**", "strong")):
        if len(text) > 4 and text.startswith(mark) and text.endswith(mark):
            return f"<{tag}>{_marked(text[2:-2])}</{tag}>"
    return html.escape(text)


def _pipe(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _display(content: str, plain: str, card: dict) -> None:
    from IPython.display import display

    display({"text/html": content, "text/plain": plain}, raw=True, metadata={"smaller": card})


def _template(name: str) -> Template:
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True).get_template(name)


def _style() -> str:
    return (TEMPLATES / "style.css").read_text(encoding="utf-8")


def _quiet() -> logging.Logger:
    """nbconvert warns of missing alternative text, which is an error here and said once."""
    logger = logging.getLogger("smaller.report.nbconvert")
    logger.setLevel(logging.ERROR)
    return logger
