"""The box of the quickstart: the models of a study side by side, on its page and on the front of the report."""

from __future__ import annotations

from pathlib import Path

from bs4 import BeautifulSoup
from test_demo import ENTITIES, tagger
from test_report import executed, shown

from smaller import report
from smaller.base.files import write_whole
from smaller.notebook import trying


def test_box_of_a_notebook_stands_on_its_page_and_on_the_front(outputs, tmp_path: Path) -> None:
    def notebook(name: str, target: str) -> report.Page:
        link = f'<div class="try" id="box-quickstart"><a href="{target}">Type a sentence</a></div>'
        box = shown({"text/html": link}, smaller={"kind": "box", "name": "box-quickstart"})
        return report.render(executed(tmp_path / f"{name}.ipynb", box, cells=["# Four ways"]))

    write_whole(outputs / "demo" / "quickstart.html", "<p>a page</p>")
    page = notebook("00_quickstart", "../demo/quickstart.html")
    for shown_on in (page.html, report.index([page])):
        soup = BeautifulSoup(shown_on, "html.parser")
        [frame] = soup.select("main div.try iframe")
        assert (frame["src"], frame["loading"]) == ("../demo/quickstart.html", "lazy") and frame["title"]
        policy = soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})["content"]
        assert "frame-src 'self' file:" in policy
    for target in ("../demo/gone.html", "https://example.org/demo/quickstart.html", "../demo/../../x.html"):
        page = notebook("01_other", target)
        assert "<iframe" not in page.html + report.index([page]) and target not in page.html


def test_models_of_a_study_are_written_side_by_side(outputs, displayed, monkeypatch) -> None:
    model = tagger(ENTITIES)
    monkeypatch.setattr(trying, "materialise", lambda recipe: (model, {}))
    trying.try_out({"dense": "one", "pruned <80 %>": "another"}, "sample", "yor", "quickstart")
    page = (outputs / "demo" / "quickstart.html").read_text(encoding="utf-8")
    soup = BeautifulSoup(page, "html.parser")
    assert [heading.contents[0].strip() for heading in soup.select("section.found h2")] == ["dense", "pruned <80 %>"]
    assert len(soup.select("[data-example]")) == 3 and soup.label.string == "A sentence in Yoruba"
    assert soup.textarea["lang"] == "yo"
    forms, about = displayed[-1]
    assert about["smaller"] == {"kind": "box", "name": "box-quickstart"}
    assert BeautifulSoup(forms["text/html"], "html.parser").a["href"] == "../demo/quickstart.html"
    monkeypatch.setattr(trying, "LARGEST", 1000)
    trying.try_out({"dense": "one"}, "sample", "yor", "large")
    assert list(displayed[-1][0]) == ["text/plain"] and not (outputs / "demo" / "large.html").exists()
