"""One executed notebook as one page that fetches nothing, runs one script, and can be read by ear and by keyboard."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import io
import itertools
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bs4 import BeautifulSoup
from jinja2 import Environment, FileSystemLoader, Template
from markupsafe import Markup
from PIL import Image

from smaller.base.errors import SmallerError
from smaller.base.paths import outputs_folder, project_root
from smaller.base.progress import duration
from smaller.notebook import files
from smaller.notebook.display import SORT
from smaller.notebook.saving import FILES

if TYPE_CHECKING:
    from nbformat import NotebookNode

TEMPLATES = Path(__file__).parent / "template"
PARSER = "html.parser"
SHOWN = ("text/html", "text/markdown", "image/png", "image/svg+xml", "text/plain")
LEFT_OUT = {"papermill-error-cell-tag", "explore"}
"""Tags of cells that have no place on a page: papermill's own notes, and what only somebody at a notebook can use."""
NO_ALTERNATIVE_TEXT = "No description has been provided for this image"
LINK = re.compile(r'<a data-page="([^"#]*)((?:#[^"]*)?)"([^>]*)>(.*?)</a>', re.DOTALL)
"""A link to a notebook, before it is known which pages there are: its name, an anchor, and what else."""
LONG = 18
"""Rows from which on a table scrolls in a box of its own."""


@dataclass(frozen=True)
class Page:
    """A rendered notebook, and what the index shows of it.

    `answer` is all text of its first box, in paragraphs; `headline`, `lead` (its first paragraph) and `verdict` are
    those of the first finding in it that was measured. `parts` are its figures, tables and boxes by name, as HTML;
    `figure` describes the first figure (`name`, `alt`, `files`), and `thumbnail` is that figure, small, as a data
    address. `html` is made of `body`, `contents` (level, anchor and text of each heading) and `facts` by `linked`.
    """

    name: str
    title: str
    answer: str = ""
    html: str = ""
    headline: str = ""
    lead: str = ""
    verdict: str = ""
    error: str = ""
    profile: str = ""
    sample: bool = False
    command: str = ""
    seconds: float = 0.0
    figure: Mapping[str, object] = field(default_factory=dict)
    thumbnail: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    contents: Sequence[Sequence] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


def render(executed: Path, *, pages: Mapping[str, str] | None = None) -> Page:
    """An executed notebook as one HTML page that fetches nothing; `pages` are those of `linked`.

    Raises SmallerError for an image without alternative text and for anything that a browser would fetch or run.
    """
    return linked(unlinked(executed), pages or {})


def linked(page: Page, pages: Mapping[str, str]) -> Page:
    """The page with its HTML, which is cheap to make, and leads to the others.

    `pages` are the titles of all pages by name, in reading order: links to their notebooks lead to them, links to other
    notebooks are plain text.
    """

    def lead(text: str) -> str:
        return LINK.sub(lambda m: f'<a href="{m[1]}.html{m[2]}"{m[3]}>{m[4]}</a>' if m[1] in pages else m[4], text)

    content = template("page.html.j2").render(
        page=page,
        title=page.title,
        body=Markup(lead(page.body)),
        script=Markup(SORT),
        script_hash=base64.b64encode(hashlib.sha256(SORT.encode()).digest()).decode(),
        neighbours=_neighbours(page.name, pages),
    )
    parts = {name: lead(part) for name, part in page.parts.items()}
    return dataclasses.replace(page, html=content, parts=parts)


def unlinked(executed: Path) -> Page:
    """What takes the time of `render`: all that a page holds of its notebook, without its HTML."""
    from nbconvert import HTMLExporter

    notebook = files.read(executed)
    if notebook.metadata.get("smaller", {}).get("rehearsal"):
        raise SmallerError(f"{executed} is of a rehearsal, which trains hardly at all: there is nothing to report.")
    notebook.metadata.pop("widgets", None)  # nothing on a page moves, and Colab leaves them without a state
    notebook.cells = [c for c in notebook.cells if not LEFT_OUT & set(c.metadata.get("tags", []))]
    cards = [card for cell in notebook.cells for output in cell.get("outputs", []) if (card := _prepare(output))]
    log = logging.getLogger("smaller.report.nbconvert")
    log.setLevel(logging.ERROR)  # it warns of missing alternative text, which is an error here and said once
    exporter = HTMLExporter(
        template_name="cells",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_anchor_links=True,
        embed_images=True,
        log=log,
    )
    resources = {"metadata": {"name": executed.stem, "path": str(project_root() / "notebooks")}}
    soup = BeautifulSoup(exporter.from_notebook_node(notebook, resources)[0], PARSER)
    heading = soup.find("h1")
    title = heading.extract().get_text().strip() if heading else executed.stem
    contents = _contents(soup)
    _check_offline(soup, executed)
    _open_boxes(soup)
    _make_readable(soup)
    _make_accessible(soup)
    _mark_links(soup)
    run = notebook.metadata.get("smaller", {})
    profile = run.get("profile", "")
    answered, figure = (next((card for card in cards if card["kind"] == kind), {}) for kind in ("answer", "figure"))
    return Page(
        name=executed.stem,
        title=title,
        answer=answered.get("text", ""),
        **{name: answered.get(name, "") for name in ("headline", "lead", "verdict")},
        error=run.get("error", ""),
        profile=profile,
        sample=bool(run.get("sample")),
        command=profile and f"python -m smaller study --profile {profile} --only {executed.stem}",
        seconds=run.get("seconds", 0.0),
        figure=figure,
        thumbnail=_thumbnail(figure),
        parts=_parts(soup, cards),
        body=soup.decode(),
        contents=contents,
        facts={"time": duration(run["seconds"])} | run["provenance"] if run else {},
    )


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


def template(name: str) -> Template:
    """A template of the report; what is put into it is escaped."""
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True)
    environment.filters["unbroken"] = unbroken
    return environment.get_template(name)


def unbroken(text: str) -> str:
    """The text with spaces that no line breaks at: between a number and its per cent sign or its interval."""
    return text.replace(" %", "\u00a0%").replace(" ± ", "\u00a0±\u00a0")


def _neighbours(name: str, titles: Mapping[str, str]) -> list[dict[str, str]]:
    """The pages before and after a page, as far as there are such."""
    names = list(titles)
    place = names.index(name) if name in names else len(names) + 1
    near = {"previous": names[max(place - 1, 0) : place], "next": names[place + 1 : place + 2]}
    return [{"relation": of, "name": other, "title": titles[other]} for of, found in near.items() for other in found]


def _prepare(output: NotebookNode) -> dict | None:
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
        links = [_file_link(file, name=card["name"]) for file in card.get("files", []) if file]
        text = f' <span class="files">Files: {" · ".join(links)}</span>' if links else ""
        data["text/html"] = re.sub("<script>.*?</script>", "", data["text/html"], flags=re.DOTALL).replace(FILES, text)
    return card


def _file_link(file: str, *, name: str) -> str:
    """A link to a file of the outputs folder; the data of a figure or table say on paper where they lie."""
    kind = Path(file).suffix[1:].upper()
    path = f' data-path="{html.escape(file)}"' if kind == "CSV" else ""
    return f'<a href="../{html.escape(file)}"{path} aria-label="{html.escape(name)}, {kind}">{kind}</a>'


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


def _make_readable(soup) -> None:
    """Nothing twice, nothing endless: the answer of the page stands above it, and long tables scroll in their box."""
    if first := soup.select_one("div.answer"):
        first.replace_with(BeautifulSoup('<p class="again"><a href="#answer">The answer</a> stands above.</p>', PARSER))
    if run := soup.find(id="table-this-run"):
        box = run.find_parent(class_="scroll")
        box.wrap(soup.new_tag("details", attrs={"class": "code"})).insert(0, soup.new_tag("summary", string="This run"))
    for text in [text for text in soup.find_all(string=True) if not text.find_parent(["pre", "code"])]:
        if (better := unbroken(text)) != text:
            text.replace_with(better)
    for cell in soup.select("td, tbody th"):
        words = cell.get_text()
        if cell.name == "td" and len(words) <= 24 and re.match(r"[-+−±]?\d|[BIES]-\w+$", words):
            cell["class"] = [*cell.get("class", []), "short"]
        elif len(words) > 60:
            cell["class"] = [*cell.get("class", []), "long"]


def _make_accessible(soup) -> None:
    """Scrolling boxes with names around tables and figures, header cells that say what they head, no fixed widths."""
    for table in soup.select("table"):
        if not table.find_parent(class_="scroll"):
            table.wrap(soup.new_tag("div", attrs={"class": "scroll", "tabindex": "0"}))
        for cell in table.select("thead th:not([scope])"):
            cell["scope"] = "col"
        for cell in [cell for cell in table.select("th") if not cell.get_text().strip()]:
            cell.name = "td"  # the corner of a table heads nothing
            del cell["scope"]
        for cell in table.select("tbody th:not([scope])"):
            cell["scope"] = "row"
        caption, box = table.find("caption"), table.find_parent(class_="scroll")
        _name_box(box, caption.get_text() if caption else "A table of the text above.")
        if len(table.select("tbody tr")) > LONG:
            box["class"] = ["scroll", "tall"]
    for image in soup.select("figure > img"):
        del image["style"]
        box = image.wrap(soup.new_tag("div", attrs={"class": "scroll", "tabindex": "0"}))
        _name_box(box, f"Figure: {image['alt']}")
    for block in soup.select("pre"):
        block["tabindex"], block["role"] = "0", "group"
        block["aria-label"] = "Code" if block.find_parent("details") else "Text that a cell printed"


def _name_box(box, text: str) -> None:
    """Tell a screen reader what scrolls here, in a sentence."""
    box["role"], box["aria-label"] = "group", re.split(r"(?<=[.:;])\s", text.strip())[0]


def _mark_links(soup) -> None:
    """Mark the links to notebooks, which `linked` lets lead to pages or nowhere."""
    for link in soup.select('a[href*=".ipynb"]'):
        target, mark, anchor = link["href"].partition("#")
        if not target.startswith(("http", "../notebooks/")):
            del link["href"]
            link.attrs = {"data-page": f"{Path(target).stem}{mark}{anchor}"} | link.attrs


def _open_boxes(soup) -> None:
    """Show the pages that models run in where a notebook leads to them, in a frame; where there is none, nothing."""
    for box in soup.select("div.try"):
        link = box.find("a")
        if (
            not re.fullmatch(r"\.\./demo/[\w-]+\.html", link["href"])
            or not (outputs_folder() / link["href"][3:]).is_file()
        ):
            box.decompose()
            continue
        frame = {"src": link["href"], "title": "One sentence, tagged by several models", "loading": "lazy"}
        box.insert(0, soup.new_tag("iframe", attrs=frame))
        link.string = "The box as a page of its own"


def _parts(soup, cards: Sequence[Mapping[str, object]]) -> dict[str, str]:
    """The figures, tables and boxes of a page by name, for another page that shows them."""
    parts = {}
    for card in cards:
        found = soup.find(id=card.get("name") if card["kind"] == "box" else f"{card['kind']}-{card.get('name')}")
        if found is not None:
            parts[card["name"]] = (found.find_parent(class_="scroll") if card["kind"] == "table" else found).decode()
    return parts


def _check_offline(soup, executed: Path) -> None:
    for image in soup.select("img"):
        if image.get("alt", "").strip() in ("", NO_ALTERNATIVE_TEXT):
            raise SmallerError(
                f"{executed}: an image has no alternative text. Save figures with save(..., alt=...), "
                "and write ![what it shows](file) in prose."
            )
        if not image.get("src", "").startswith("data:"):
            raise SmallerError(f"{executed}: the image {image.get('src')!r} is not part of the page.")
    for tag in soup.select("script, link, iframe, object, embed, video, audio, base, form, meta"):
        raise SmallerError(f"{executed}: <{tag.name}> has no place in a page that works offline.")
