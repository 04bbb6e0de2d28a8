"""The pages can be read by ear, by keyboard, on paper and with weak eyes; axe looks too, where it and Chromium are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from smaller import report
from smaller.analysis.comparison import NOT_DECIDED
from smaller.analysis.findings.finding import Finding
from smaller.base import settings
from smaller.notebook import display
from smaller.report import page

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)
AXE = os.environ.get("SMALLER_AXE", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, all_displayed) -> Path:
    """A report of two notebooks that hold one of everything: prose, code, answer, tables, figure, text, an error."""
    outputs = tmp_path_factory.mktemp("outputs")
    all_displayed.clear()
    with settings.changed(SMALLER_OUTPUTS=str(outputs)):
        report.answer(Finding("F1 is 81.2.", "\n\nMore of it.", verdict=NOT_DECIDED))
        words = pd.DataFrame({"word": ["Àlejò"], "F1": [81.25]})
        words.attrs |= {"languages": {"word": "yor"}, "bold": {(0, "F1")}, "underlined": {(0, "word")}}
        report.show(words, "Words. And tags.", "words")
        runs = pd.DataFrame({"name": ["b", "a", "c"], "F1": [1200.5, None, 90.0]})
        report.show(runs, "Runs.", "runs", sortable=True)
        report.show(pd.DataFrame({"place": range(40), "said": ["a long line " * 12] * 40}), "Long: much.", "long")
        shown = [nbformat.v4.new_output("display_data", data, metadata=about) for data, about in all_displayed]
        picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
        image = f'<img src="data:image/png;base64,{picture}" alt="a dot" style="width: 7in">'
        figure = f'<figure id="figure-pareto">{image}<figcaption>One dot.<!--files--></figcaption></figure>'
        card = {"kind": "figure", "name": "pareto", "alt": "a dot", "files": ["figures/pareto.csv"]}
        shown.append(nbformat.v4.new_output("display_data", {"text/html": figure}, metadata={"smaller": card}))
        shown.append(nbformat.v4.new_output("stream", name="stdout", text="x = 1 " * 80))
        shown.append(nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=["ValueError: no"]))
        code = (
            "# why\nimport os\nfor name in ['a', f'{1.5}']:\n    print(len(name), None, 2, not True) @ 3  "
            + "# "
            + "x" * 200
        )
        prose = ["# How?", "## Method\n\n| | a |\n|---|---|\n| b | 1 |\n\n### More\n\n[a page](01_b.ipynb)"]
        for name in ("00_a", "01_b"):
            cells = [nbformat.v4.new_markdown_cell(text) for text in prose]
            cells.append(nbformat.v4.new_code_cell(code, outputs=shown))
            run = {"status": "done", "seconds": 3.0, "provenance": {"date": "2024"}, "sample": True, "error": "no data"}
            notebook = nbformat.v4.new_notebook(cells=cells, metadata={"smaller": run})
            (outputs / "notebooks").mkdir(exist_ok=True)
            nbformat.write(notebook, outputs / "notebooks" / f"{name}.ipynb")
        return report.write_report().parent


@pytest.fixture(params=["index", "00_a", "01_b"])
def soup(folder: Path, request) -> BeautifulSoup:
    return BeautifulSoup((folder / f"{request.param}.html").read_text(encoding="utf-8"), "html.parser")


def test_headings_descend_one_level_at_a_time(soup):
    levels = [int(heading.name[1]) for heading in soup.select("h1, h2, h3, h4, h5, h6")]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(later - earlier <= 1 for earlier, later in zip(levels, levels[1:], strict=False))


def test_landmarks_language_and_a_way_past_the_navigation(soup):
    assert soup.find("html")["lang"] == "en" and soup.find("title").get_text().strip()
    assert len(soup.select("main")) == 1 and len(soup.select("body > header")) == len(soup.select("body > footer")) == 1
    names = [landmark["aria-label"] for landmark in soup.select("nav")]
    assert len(set(names)) == len(names)
    skip = soup.find("body").find("a")
    assert skip["class"] == ["skip"] and soup.find(id=skip["href"][1:]).name == "main"
    assert not [
        loose
        for loose in soup.find("body").find_all(recursive=False)
        if loose.name not in ("header", "main", "footer", "nav", "div", "a", "script")
    ]


def test_cells_images_links_and_ids_say_what_they_are(soup):
    assert all(cell.get("scope") in ("col", "row") and cell.get_text().strip() for cell in soup.select("th"))
    assert all(image["alt"].strip() for image in soup.select("img")) and soup.select("img")
    assert all(link.get_text().strip() for link in soup.select("a"))
    ids = [tag["id"] for tag in soup.select("[id]")]
    assert len(set(ids)) == len(ids)


def test_what_scrolls_is_reached_by_keyboard_and_has_a_name(soup):
    boxes = soup.select(".scroll, pre")
    assert boxes and all(box["tabindex"] == "0" and box["role"] == "group" and box["aria-label"] for box in boxes)


def test_foreign_words_carry_their_language(folder):
    soup = BeautifulSoup((folder / "00_a.html").read_text(encoding="utf-8"), "html.parser")
    assert [cell["lang"] for cell in soup.select("table [lang]")] == ["yo"] and soup.find(
        lang="yo"
    ).get_text() == "Àlejò"


def test_nothing_comes_from_elsewhere_and_one_script_runs(soup):
    assert not soup.select("link, iframe, object, embed, video, audio, base, form, [srcset], [ping], [background]")
    assert all(tag["src"].startswith("data:") for tag in soup.select("[src]"))
    for link in soup.select("[href]"):
        assert not link["href"].startswith(("http:", "//", "/", "file:", "javascript:")), link
    assert not re.search(r"url\(|@import|expression\(", soup.find("style").get_text())
    assert not [tag for tag in soup.select("[style]") if "url(" in tag["style"]]
    assert not [name for tag in soup.find_all(True) for name in tag.attrs if name.startswith("on")]
    policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
    assert policy.startswith("default-src 'none'")
    scripts = [script.string for script in soup.select("script")]
    assert scripts in ([], [display.SORT]) and ("script-src" in policy) == bool(scripts)


def browsed(text: str, folder: Path, *, width: int = 1280) -> str:
    """A page as Chromium leaves it after its scripts."""
    copy = folder / "page.html"
    copy.write_text(text, encoding="utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += [f"--window-size={width},900", "--virtual-time-budget=20000", "--dump-dom", copy.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


POLICY = "<meta http-equiv[^>]*>"
STYLE = (page.TEMPLATES / "style.css").read_text(encoding="utf-8")


@pytest.mark.skipif(not CHROMIUM, reason="Chromium is not there")
def test_the_table_of_a_run_is_sorted_by_its_headers(folder, tmp_path):
    """The policy of the page allows its own script, and no other; without it the table stands as it was."""
    text = (folder / "00_a.html").read_text(encoding="utf-8")
    other = text.replace("</body>", "<script>document.title = 'changed'</script></body>")
    kept = BeautifulSoup(browsed(other, tmp_path), "html.parser")
    assert kept.title.string != "changed" and len(kept.select("table.sortable thead button")) == 2
    assert not kept.select("table:not(.sortable) button")
    clicks = "const [name, f1] = document.querySelectorAll('table.sortable thead button');"
    orders = {"name.click()": "abc", "f1.click()": "cba", "f1.click(); f1.click()": "bca"}
    for number, (click, order) in enumerate(orders.items()):
        (tmp_path / str(number)).mkdir()
        asked = re.sub(POLICY, "", text).replace("</body>", f"<script>{clicks} {click}</script></body>")
        sorted_ = BeautifulSoup(browsed(asked, tmp_path / str(number)), "html.parser")
        assert "".join(row.find("th").get_text() for row in sorted_.select("table.sortable tbody tr")) == order
        assert len(sorted_.select("[aria-sort]")) == 1


def luminance(colour: str) -> float:
    """Relative luminance of a colour written #rrggbb (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """The ratio of contrast of two colours, from 1 to 21 (WCAG 2.2)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_ratio_of_contrast_by_known_cases():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_every_colour_of_text_stands_out_on_every_ground():
    named = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", STYLE))
    grounds = [named[name] for name in ("paper", "shade", "warn-shade", "bad-shade")]
    text = [named[name] for name in ("text", "soft", "link")] + re.findall(
        r"\.highlight[^{]*\{ color: (#[0-9a-f]{6})", STYLE
    )
    assert len(text) >= 7
    assert {(colour, ground) for colour in text for ground in grounds if contrast(colour, ground) < 4.5} == set()
    # The ring around what has the focus.
    assert contrast(named["good"], named["paper"]) >= 3 and ":focus-visible" in STYLE


def test_paper_has_no_navigation_and_no_cut_figures():
    printed = STYLE.partition("@media print")[2]
    hidden = re.search(r"([^}]*)\{ display: none; \}", printed)[1]
    assert {"nav", "details.code"} <= {part.strip() for part in hidden.split("{")[-1].split(",")}
    assert re.search(r"figure[^{]*\{ break-inside: avoid; \}", printed) and "size: A4" in STYLE


@pytest.mark.skipif(not (AXE and CHROMIUM), reason="SMALLER_AXE (the path of axe.min.js) or Chromium is not there")
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["index", "00_a"])
def test_axe_finds_nothing(folder: Path, tmp_path: Path, name: str, width: int):
    text = (folder / f"{name}.html").read_text(encoding="utf-8")
    text = re.sub(POLICY, "", text).replace('<details class="code">', '<details class="code" open>')
    tail = "axe.run().then(r => document.body.textContent = 'FOUND' + JSON.stringify(r.violations) + 'END')"
    scripts = f"<script>{Path(AXE).read_text(encoding='utf-8')}</script><script>{tail}</script></body>"
    said = browsed(text.replace("</body>", scripts), tmp_path, width=width)
    found = json.loads(BeautifulSoup(said, "html.parser").get_text().partition("FOUND")[2].rpartition("END")[0])
    assert not [(one["impact"], one["id"], one["nodes"][0]["html"]) for one in found]
