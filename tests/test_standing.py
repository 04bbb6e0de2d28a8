"""A notebook stands as it was made where all that its run was made of is as it was; where anything changed, it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from test_course import notebooks

from smaller import report
from smaller.notebook import standing
from smaller.report import building

VALUES = {"languages": ["swa", "yor"]}


@pytest.fixture
def made(outputs, tmp_path, monkeypatch) -> Path:
    """A notebook that was run by a study, with a record before it and a file of its own."""
    monkeypatch.delenv("SMALLER_DATA", raising=False)
    record(outputs, "earlier")
    shows = (
        "import json, random\nfrom IPython.display import display\n"
        "display({'text/plain': 'a'}, raw=True, metadata={'smaller': {'kind': 'table', 'files': ['tables/a.csv']}})"
    )
    folder = notebooks(tmp_path / "study", a=shows)
    (outputs / "tables").mkdir()
    (outputs / "tables" / "a.csv").write_text("a\n")
    (run,) = report.run_all("mini", notebooks=folder)
    assert run.status == "done" and stands(folder / "00_a.ipynb")
    return folder / "00_a.ipynb"


def record(outputs: Path, name: str) -> Path:
    """A record as a model without an encoder has one: it lies by itself, and no table of recipes reads it."""
    place = outputs / "results" / "plain" / f"{name}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("")
    return place


def stands(path: Path, **values: object) -> bool:
    return standing.stands(path, VALUES | values, profile="mini")


def changed(path: Path, line: str) -> None:
    """The notebook with a line more in its last cell."""
    content = json.loads(path.read_text())
    content["cells"][-1]["source"] = [*content["cells"][-1]["source"], f"\n{line}"]
    path.write_text(json.dumps(content))


def test_a_second_study_runs_nothing_and_leaves_pages_as_they_are(outputs, tmp_path, monkeypatch):
    folder = notebooks(tmp_path / "study", a="1", b="2")
    assert [run.status for run in report.run_all("mini", notebooks=folder)] == ["done", "done"]
    pages = sorted((outputs / "report").glob("0*.html"))
    before = [page.stat().st_mtime_ns for page in pages]
    monkeypatch.setattr(building, "nursery", lambda *_: pytest.fail("no process is started for what stands"))
    said: list[str] = []
    runs = report.run_all("mini", notebooks=folder, progress=said.append)
    assert [run.status for run in runs] == ["stands", "stands"] and runs[0].parameters == VALUES
    assert said[0] == (
        "study: profile mini, 2 notebooks in Swahili, Yoruba; nothing changed since they ran, so none runs"
    )
    assert "00_a: notebook 1 of 2 stands as it was made; --anew runs it again" in said
    assert [page.stat().st_mtime_ns for page in pages] == before and len(pages) == 2


def test_of_two_notebooks_only_the_one_that_changed_runs_and_all_run_anew_if_asked(outputs, tmp_path):
    folder = notebooks(tmp_path / "study", a="1", b="2")
    report.run_all("mini", notebooks=folder)
    changed(folder / "01_b.ipynb", "3")
    said: list[str] = []
    runs = report.run_all("mini", notebooks=folder, progress=said.append)
    assert [run.status for run in runs] == ["stands", "done"] and "; about 5 s on two cores" in said[0]
    asked = report.run_all("mini", notebooks=folder, only=["00_a"], anew=True)
    assert [run.status for run in asked] == ["done"]


def test_other_source_parameters_profile_files_or_software_do_not_stand(outputs, made, monkeypatch):
    assert not stands(made, languages=["swa"])
    assert not standing.stands(made, VALUES, profile="paper")
    (outputs / "tables" / "a.csv").rename(outputs / "tables" / "b.csv")
    assert not stands(made), "a file that it shows is gone"
    (outputs / "tables" / "b.csv").rename(outputs / "tables" / "a.csv")
    assert stands(made)
    with monkeypatch.context() as patch:
        patch.setattr(standing, "_software", lambda: "another version")
        assert not stands(made)
    changed(made, "4")
    assert not stands(made)


def test_records_that_were_there_are_needed_and_may_have_grown(outputs, made):
    record(outputs, "later")
    assert stands(made), "another notebook's"
    earlier = outputs / "results" / "plain" / "earlier.json"
    earlier.write_text("{}")
    assert stands(made), "another notebook added a score"
    earlier.unlink()
    assert not stands(made), "gone"


def test_who_reads_every_record_runs_again_when_one_came_or_grew(outputs, tmp_path):
    earlier = record(outputs, "earlier")
    folder = notebooks(tmp_path / "study", a="read_all = 1")
    report.run_all("mini", notebooks=folder)
    assert stands(folder / "00_a.ipynb")
    later = record(outputs, "later")
    assert not stands(folder / "00_a.ipynb")
    later.unlink()
    assert stands(folder / "00_a.ipynb")
    earlier.write_text("{}")
    assert not stands(folder / "00_a.ipynb")


def test_data_and_encoders_that_changed_do_not_stand(outputs, made, tmp_path, monkeypatch):
    data = tmp_path / "data"
    (data / "masakhaner").mkdir(parents=True)
    monkeypatch.setenv("SMALLER_DATA", str(data))
    assert stands(made), "no data is no other data"
    (data / "masakhaner" / "swa.txt").write_text("a")
    assert not stands(made)
    own = tmp_path / "own.txt"
    own.write_text("a")
    before = standing.made_of(made, {"dataset": str(own)})
    own.write_text("ab")
    assert standing.made_of(made, {"dataset": str(own)}) != before


@pytest.mark.parametrize(
    "cell", ["import module_of_mine", "from module_of_mine import step", "%time 1", "import tests.mine"]
)
def test_a_module_of_ones_own_is_not_known_and_so_never_stands(made, cell, tmp_path, monkeypatch):
    (tmp_path / "module_of_mine.py").write_text("step = 1\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    changed(made, cell)
    assert standing._imports_own(made)


def test_what_failed_or_was_made_before_this_was_noted_does_not_stand(outputs, tmp_path):
    folder = notebooks(tmp_path / "study", a="raise ValueError('swc')")
    (run,) = report.run_all("mini", notebooks=folder)
    assert run.status == "failed" and not stands(folder / "00_a.ipynb")
    executed = outputs / "notebooks" / "00_a.ipynb"
    content = json.loads(executed.read_text())
    content["metadata"]["smaller"] = {"status": "done", "profile": "mini"}
    executed.write_text(json.dumps(content))
    assert not stands(folder / "00_a.ipynb")
