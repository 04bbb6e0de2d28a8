"""A study that runs: its report is there from the first notebook on, says how far it is, and outlives the study."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from bs4 import BeautifulSoup
from test_report import executed
from test_runner import write

from smaller import report
from smaller.base import settings
from smaller.base.errors import SmallerError
from smaller.base.paths import notebooks_folder
from smaller.notebook.profiles import minutes
from smaller.notebook.runner import NotebookRun
from smaller.report import pages
from smaller.report.course import Course

LANGUAGES = 'languages: list[str] = ["swa", "yor"]  # which\n'
STUDY = (
    "import sys; from pathlib import Path; from smaller import report; from smaller.notebook import kernels\n"
    "kernels.IMPORTED = ()\n"
    "report.run_all('mini', notebooks=Path(sys.argv[1]), progress=lambda line: print(line, flush=True))"
)


def notebooks(folder: Path, *, minutes: str = "", **cells: str) -> Path:
    """A folder of notebooks of a cell each, by their names without digits, and the profile mini."""
    for number, (name, cell) in enumerate(cells.items()):
        write(folder / f"0{number}_{name}.ipynb", cell, parameters=LANGUAGES)
    (folder / "profiles").mkdir()
    (folder / "profiles" / "mini.yaml").write_text(f"study: {{}}\nminutes: {{{minutes}}}\n")
    return folder


def front(outputs: Path) -> BeautifulSoup:
    return BeautifulSoup((outputs / "report" / "index.html").read_text(encoding="utf-8"), "html.parser")


def listed(page: BeautifulSoup) -> list[tuple[str, str, str]]:
    """State, link and time of each notebook that the front page lists."""
    rows = page.select(".course li")
    return [
        (row["class"][0], (row.a or {}).get("href", ""), row.select_one(".when").get_text().strip()) for row in rows
    ]


def test_a_study_that_is_killed_leaves_a_report_of_what_is_done(outputs, tmp_path):
    sleeps = "import os, time\nopen('kernel', 'w').write(str(os.getpid()))\ntime.sleep(600)"
    folder = notebooks(tmp_path / "study", minutes="00_a: 1, 01_b: 2, 02_c: 3", a="1", b=sleeps, c="2")
    study = subprocess.Popen([sys.executable, "-c", STUDY, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        said = []
        while not said or "has its first page" not in said[-1]:
            said.append(study.stdout.readline() or pytest.fail("\n".join(said)))
        while not (folder / "kernel").is_file() or not (folder / "kernel").read_text():
            time.sleep(0.05)
        below = psutil.Process(study.pid).children(recursive=True)
        assert int((folder / "kernel").read_text()) in [process.pid for process in below]
    finally:
        study.kill()
        study.wait()
        study.stdout.close()
    assert psutil.wait_procs(below, timeout=60)[1] == [], "what it started has ended too"
    page = front(outputs)
    (first, begun, left) = listed(page)
    assert first[:2] == ("done", "00_a.html") and (outputs / "report" / "00_a.html").is_file()
    assert begun[:2] == ("runs", "") and begun[2].startswith("begun ") and left[:2] == ("left", "")
    text = page.select_one(".course").get_text(" ", strip=True)
    assert "1 of 3 notebooks have ended, about" in text and "As of 2" in text and "the study was stopped" in text
    assert not [name for name in os.listdir(outputs / "report") if name.startswith(".")]


def test_a_study_that_is_interrupted_says_so_and_one_that_ends_lists_nothing(outputs, tmp_path):
    folder, said = notebooks(tmp_path / "study", a="raise ValueError('swc')", b="1"), []

    def stop(line: str) -> None:
        said.append(line)
        if line.startswith("01_b: notebook 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        report.run_all("mini", notebooks=folder, progress=stop)
    page = front(outputs)
    assert [row[:2] for row in listed(page)] == [("failed", "00_a.html"), ("left", "")]
    assert "Did not finish. ValueError: swc" in page.select_one(".course .failed").get_text()
    assert "Then the study was stopped." in page.select_one(".course").get_text()
    assert page.find(string=lambda text: text.startswith("begun")) is None
    report.run_all("mini", notebooks=folder, only=["01_b"])
    page = front(outputs)
    assert not page.select(".course") and [link["href"] for link in page.select("article h3 a")] == [
        "00_a.html",
        "01_b.html",
    ]


def test_the_first_lines_say_what_comes_how_long_it_takes_where_it_appears_and_what_else_there_is(outputs, tmp_path):
    folder, said = notebooks(tmp_path / "study", minutes="00_a: 1, 01_b: 2.5", a="1", b="2"), []
    report.run_all("mini", notebooks=folder, progress=said.append)
    index = str(outputs / "report" / "index.html")
    assert said[:4] == [
        "study: profile mini, 2 notebooks in Swahili, Yoruba; about 4 min on two cores",
        f"report: {index}, from now on, renewed whenever a notebook ends",
        "more: make lab opens the notebooks; make study PROFILE=mini takes real data",
        "00_a: notebook 1 of 2",
    ]
    assert f"report: {index} has its first page" in said and said[-1] == f"report: {index}"


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the notebooks that are rendered from now on."""
    found, render = [], pages.unlinked
    monkeypatch.setattr(pages, "unlinked", lambda path: found.append(path.stem) or render(path))
    return found


def test_a_page_is_rendered_once_and_its_links_follow(outputs, rendered):
    folder, written = outputs / "notebooks", outputs / "report"
    executed(folder / "00_a.ipynb", cells=["# A?\n\n[next](01_b.ipynb#more)"])
    pages.write_pages()
    assert rendered == ["00_a"] and "01_b" not in (written / "00_a.html").read_text()
    executed(folder / "01_b.ipynb", cells=["# B?"])
    pages.write_pages()
    assert rendered == ["00_a", "01_b"]
    page = BeautifulSoup((written / "00_a.html").read_text(), "html.parser")
    assert page.select_one("main a")["href"] == "01_b.html#more" and "B?" in page.select_one("nav.turn").get_text()
    executed(folder / "01_b.ipynb", cells=["# C?"])
    (written.with_name("rendered") / "00_a.json").write_text("{")  # damaged
    before = (written / "01_b.html").stat().st_ino
    pages.write_pages()
    assert rendered[2:] == ["00_a", "01_b"] and "C?" in (written / "00_a.html").read_text()
    assert before != (written / "01_b.html").stat().st_ino
    kept = {file: file.stat().st_ino for file in written.glob("*.html")}
    pages.write_pages()
    assert rendered[4:] == [] and {file: file.stat().st_ino for file in kept} == kept, "what is there is left alone"
    report.write_report()
    assert rendered[4:] == ["00_a", "01_b"], "who asks for it has all rendered anew"


def test_a_run_that_fails_at_once_renders_no_other_page(outputs, tmp_path, rendered):
    executed(outputs / "notebooks" / "00_a.ipynb")
    pages.write_pages()
    folder = notebooks(tmp_path / "study", a="1", b="2")
    broken = {"PYTHONPATH": str(tmp_path)}
    (tmp_path / "ipykernel_launcher.py").write_text("raise SystemExit(3)")
    (run,) = report.run_all("mini", notebooks=folder, only=["01_b"], environment=broken)
    assert run.status == "failed" and rendered == ["00_a", "01_b"]


def ran(**seconds: float) -> list[NotebookRun]:
    return [NotebookRun(name, "done", spent) for name, spent in seconds.items()]


TITLES = {"a": "A?", "b": "B?", "c": "C?", "d": "D?"}


def test_what_is_left_goes_by_what_is_foretold_and_by_what_was_seen():
    course = Course("mini", TITLES, {"a": 1.0, "b": 2.0, "c": 4.0, "d": 0.5})
    assert course.left == {"a": 60.0, "b": 120.0, "c": 240.0, "d": 30.0} and course.about == "about 8 min"
    assert course.share == 0.0
    # A machine of half the speed; what failed says nothing of speed.
    slow = course.later(runs=[*ran(a=120.0), NotebookRun("b", "failed", 1.0)])
    assert slow.left == {"c": 480.0, "d": 60.0} and slow.share == pytest.approx(121 / 661)
    assert [row[2] for row in slow.rows()] == ["done", "failed", "runs", "left"]
    assert [row[2] for row in slow.later(stopped=True).rows()][2:] == ["left", "left"]
    # What has its records takes seconds, and says nothing of what has none.
    again = Course("mini", TITLES, course.minutes, repeated=frozenset("ab"))
    assert again.left == {"a": 5.0, "b": 5.0, "c": 240.0, "d": 30.0}
    assert again.later(runs=ran(a=9.0)).left == {"b": 9.0, "c": 240.0, "d": 30.0}


def test_where_nothing_is_foretold_the_first_shows_how_long_the_others_take():
    course = Course("own.yaml", TITLES)
    assert set(course.left.values()) == {None} and (course.about, course.share) == ("", 0.0)
    assert "how long it takes shows when a notebook is done" in next(course.announcement(["swa"], ""))
    assert course.later(runs=ran(a=10.0, b=20.0)).left == {"c": 15.0, "d": 15.0}
    assert "in 8 languages;" in next(course.announcement(list("abcdefgh"), ""))


@pytest.mark.parametrize("name", ["sample", "mini"])
def test_the_minutes_of_a_profile_are_those_of_the_readme(project, name):
    rows = [line.split("|") for line in (project / "README.md").read_text(encoding="utf-8").splitlines()]
    column = {"sample": 4, "mini": 5}[name]
    told = {
        row[1].split("[")[1].split("]")[0]: float(row[column]) for row in rows if "](notebooks/" in "".join(row[:2])
    }
    assert minutes(name) == told and len(told) == len(list(notebooks_folder().glob("*.ipynb")))
    assert yaml.safe_load((notebooks_folder() / "profiles" / "paper.yaml").read_text()).get("minutes") is None


@pytest.mark.parametrize(
    ("told", "message"),
    [("00_b: 1", "Unknown notebook '00_b' in .*Did you mean '00_a'"), ("00_a: soon", "number above 0 for 00_a")],
)
def test_minutes_of_no_notebook_or_of_no_time_are_refused(outputs, tmp_path, told, message):
    with pytest.raises(SmallerError, match=message):
        report.run_all("mini", notebooks=notebooks(tmp_path / "study", minutes=told, a="1"))
    assert not outputs.exists()


def test_folders_hold_for_kernels_that_work_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with settings.changed(SMALLER_OUTPUTS="out"):
        cell = "from smaller.base import paths\nassert str(paths.outputs_folder()) == " + repr(str(tmp_path / "out"))
        (run,) = report.run_all("mini", notebooks=notebooks(tmp_path / "study", a=cell))
    assert run.error == "" and (tmp_path / "out" / "report" / "00_a.html").is_file()
