"""A part that cannot be done is one line of the result, and all the rest is done: shapes, candidates, pages, files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nbformat
import pytest

from smaller import deploy, report
from smaller.__main__ import main
from smaller.base.errors import SmallerError
from smaller.deploy import measuring, search
from smaller.deploy.candidates import Plan, Shape
from smaller.notebook import runner
from smaller.notebook.runner import NotebookRun
from smaller.pretrain.text import readable, text_files
from smaller.report import building
from smaller.study.steps import Distil, FineTune, TrimVocabulary

FAST = {"epochs": 1, "learning_rate": 1e-3, "form": "dynamic", "lines": 20}


# Compress


@pytest.fixture
def small(few_sentences, fresh_folders, monkeypatch):
    """A sample of a few sentences, folders of one's own, one process, and four shapes."""
    monkeypatch.setenv("SMALLER_WORKERS", "1")
    shapes = [Shape(2, 48, 0.999), Shape(2, 24, 0.999), Shape(1, 48, 0.999), Shape(1, 24, 1.0)]
    monkeypatch.setattr(Plan, "shapes", lambda plan: shapes)
    return fresh_folders


@pytest.fixture
def said() -> list[str]:
    return []


def breaks(step: type, when, problem: BaseException, monkeypatch) -> None:
    """Have a step fail where `when` says so."""
    plain = step.apply

    def apply(self, model, **options):
        if when(self):
            raise problem
        return plain(self, model, **options)

    monkeypatch.setattr(step, "apply", apply)


@pytest.mark.parametrize("target", ["holds something", "is a file", "cannot be made"])
def test_the_target_is_looked_at_before_anything_is_measured(tiny_folder, small, target, monkeypatch, capsys):
    monkeypatch.setattr(search, "plan_of", None)
    place = small / "target"
    if target == "holds something":
        place.mkdir()
        (place / "thesis.txt").write_text("mine")
    else:
        place.write_text("mine")
        place = place / "deeper" if target == "cannot be made" else place
    assert main(["compress", tiny_folder, "sample/swa", str(place), "--max-drop", "1"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and str(place) in told
    assert ("holds something else" in told) == (target != "cannot be made")


def test_a_shape_that_cannot_be_measured_is_left_out(tiny_folder, small, said, monkeypatch):
    measure = measuring.Scales._shaped

    def shaped(self, shape):
        if shape == Shape(2, 24, 0.999):
            raise RuntimeError("no room\n\nfor this graph")
        return measure(self, shape)

    monkeypatch.setattr(measuring.Scales, "_shaped", shaped)
    found = deploy.compress(tiny_folder, "sample/swa", max_drop=100, say=said.append, **FAST)
    told = "left out: 2 layers, 24 neurons, tokens of 99.9 % of the text: RuntimeError: no room"
    assert [line for line in said if "left out" in line] == [told]
    assert set(found.front["shape"].str.partition(", tokens")[0]) == {"2 layers, 48 neurons", "1 layer, 48 neurons"}


def test_where_no_token_can_go_all_stay(tiny_folder, small, said, monkeypatch):
    breaks(TrimVocabulary, lambda step: True, SmallerError("The text is too odd."), monkeypatch)
    found = deploy.compress(tiny_folder, "sample/swa", max_drop=100, say=said.append, **FAST)
    assert set(found.front["shape"]) == {"1 layer, 24 neurons"}
    assert sum(line.startswith("left out: ") and line.endswith("The text is too odd.") for line in said) == 3
    monkeypatch.setattr(Plan, "shapes", lambda plan: [Shape(1, 24, 0.999)])
    for limit in ({"max_drop": 100}, {"max_bytes": 1e6}):
        with pytest.raises(SmallerError, match=r"No shape .* could be measured. 1 layer, 24 .* The text is too odd\."):
            deploy.compress(tiny_folder, "sample/swa", **limit, **FAST)


def test_a_candidate_that_fails_is_left_out_and_the_search_goes_on(tiny_folder, small, said, monkeypatch):
    breaks(Distil, lambda step: step.feed_forward == 24, RuntimeError("loss is not a number"), monkeypatch)
    found = deploy.compress(tiny_folder, "sample/swa", max_drop=100, say=said.append, **FAST | {"epochs": 2})
    left = [line for line in said if "left out" in line]
    assert left and all("distilled: " in line and "24 neurons" in line for line in left)
    assert all(line.endswith("RuntimeError: loss is not a number") for line in left)
    tried = found.front
    assert not (tried["shape"].str.contains("24 neurons") & (tried["way"] == "distilled")).any()
    assert {"distilled", "cut", "kept whole"} <= set(tried["way"]) and tried["epochs"].max() == 2
    assert "loss is not a number" not in "".join(found.notes())


def test_only_when_all_candidates_fail_it_is_an_error(tiny_folder, small, monkeypatch):
    monkeypatch.setattr(Plan, "shapes", lambda plan: [Shape(1, 48, 0.999)])
    breaks(Distil, lambda step: True, RuntimeError("not a number"), monkeypatch)
    breaks(FineTune, lambda step: step.epochs == 1, SmallerError("Not today."), monkeypatch)
    with pytest.raises(SmallerError, match=r"No candidate could be made\. distilled: 1 layer.*: not a number"):
        deploy.compress(tiny_folder, "sample/swa", max_drop=100, **FAST | {"epochs": 2})
    with pytest.raises(SmallerError, match=r"The model that is left whole could not be made\. Not today\."):
        deploy.compress(tiny_folder, "sample/swa", max_drop=100, **FAST)


def test_a_search_that_is_killed_is_no_candidate_that_fails(tiny_folder, small, monkeypatch):
    breaks(Distil, lambda step: True, KeyboardInterrupt(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        deploy.compress(tiny_folder, "sample/swa", max_drop=100, **FAST)


def test_the_next_best_takes_the_place_of_what_fails_at_the_end(tiny_folder, small, said, monkeypatch):
    """Half of the candidates would go on; those of them that fail with all epochs leave their place to others."""
    breaks(Distil, lambda step: step.epochs == 2, RuntimeError("late"), monkeypatch)
    found = deploy.compress(tiny_folder, "sample/swa", max_bytes=1e9, say=said.append, **FAST | {"epochs": 2})
    last = found.front[found.front["epochs"] == 2]
    assert "distilled" not in set(last["way"]) and len(last) >= 1


def test_a_format_that_cannot_be_is_said_once_and_one_that_is_too_large_goes_smaller(
    tiny_folder, small, said, monkeypatch
):
    shaped = measuring.Scales._shaped
    problem: list[Exception] = [SmallerError("Install the library first.")]

    def fails(self, shape):
        if shape == self.plan.whole:
            raise problem[0]
        return shaped(self, shape)

    monkeypatch.setattr(measuring.Scales, "_shaped", fails)
    with pytest.raises(SmallerError, match=r"^Install the library first\.$"):
        deploy.compress(tiny_folder, "sample/swa", max_bytes=1e6, say=said.append, **FAST)
    assert not [line for line in said if "left out" in line]
    problem[0] = ValueError("The graph is larger than 2 GB.")
    found = deploy.compress(tiny_folder, "sample/swa", max_bytes=1e9, say=said.append, **FAST)
    assert "left out: 2 layers, 48 neurons: ValueError: The graph is larger than 2 GB." in said
    assert found.missed == () and len(found.front)
    with pytest.raises(SmallerError, match="There is no format 'int8'"):
        deploy.compress(tiny_folder, "sample/swa", max_bytes=1e9, **FAST | {"form": "int8"})


# The report


def executed(place: Path, *, text: str = "# Jaribio", **metadata) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    notebook.metadata.update(metadata)
    place.write_text(nbformat.writes(notebook), encoding="utf-8")
    return place


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.setenv("SMALLER_OUTPUTS", str(tmp_path / "outputs"))
    return tmp_path / "outputs"


WITHOUT_STATE = {"application/vnd.jupyter.widget-state+json": {"abc": {"model_name": "HBoxModel", "state": {}}}}


@pytest.mark.parametrize("widgets", [WITHOUT_STATE, {}, {"x": 1}], ids=["no state", "empty", "else"])
def test_widgets_without_a_state_leave_no_trace(outputs, widgets):
    executed(outputs / "notebooks" / "00_colab.ipynb", widgets=widgets)
    executed(outputs / "notebooks" / "01_later.ipynb", text="# Later")
    assert report.write_report().is_file()
    for name in ("00_colab", "01_later"):
        assert "HBoxModel" not in (outputs / "report" / f"{name}.html").read_text(encoding="utf-8")


def test_a_notebook_that_is_damaged_or_cannot_be_exported_is_one_problem(outputs, monkeypatch):
    executed(outputs / "notebooks" / "00_good.ipynb", text="# Good")
    (outputs / "notebooks" / "01_half.ipynb").write_text('{"cells": [')
    executed(outputs / "notebooks" / "02_odd.ipynb", text="# Odd", smaller={"seconds": "three"})
    executed(outputs / "notebooks" / "03_last.ipynb", text="# Last")
    with pytest.raises(SmallerError) as raised:
        report.write_report()
    first, second = str(raised.value).splitlines()
    assert (
        "01_half.ipynb is not a notebook" in first and "02_odd.ipynb could not be made into a page: TypeError" in second
    )
    index = (outputs / "report" / "index.html").read_text(encoding="utf-8")
    for name, title in {"00_good": "Good", "01_half": "01_half", "02_odd": "Odd", "03_last": "Last"}.items():
        page = (outputs / "report" / f"{name}.html").read_text(encoding="utf-8")
        assert f'href="{name}.html">{title}<' in index and title in page
        assert ("did not finish" in page) == (name in ("01_half", "02_odd"))
    assert "01_half.ipynb is not a notebook" in index and str(outputs) not in index


def test_a_damaged_figure_is_no_reason_to_have_no_index(outputs):
    assert report.building.index([report.Page("a", "A", "", "", figure={"files": ["a.png"], "alt": "a"})])
    outputs.mkdir()
    (outputs / "a.png").write_bytes(b"\x89PNG")
    page = report.Page("a", "A", "", "", figure={"files": ["a.png"], "alt": "a"})
    assert "<img" not in report.index([page])


def test_a_page_that_cannot_be_made_is_a_notebook_that_failed(outputs, tmp_path, monkeypatch):
    for name in ("00_a", "01_b"):
        executed(tmp_path / "notebooks" / f"{name}.ipynb")

    def runs(path, parameters, **options) -> NotebookRun:
        place = executed(outputs / "notebooks" / path.name)
        if path.stem == "00_a":
            place.write_text("{")
        return NotebookRun(path.stem, "done")

    monkeypatch.setattr(building, "profile", lambda *names, **options: {})
    monkeypatch.setattr(building, "run_notebook", runs)
    said: list[str] = []
    found = report.run_all(notebooks=tmp_path / "notebooks", progress=said.append)
    assert [(run.name, run.status) for run in found] == [("00_a", "failed"), ("01_b", "done")]
    assert "is not a notebook" in found[0].error and any("is not a notebook" in line for line in said)
    assert (outputs / "report" / "01_b.html").is_file() and str(outputs / "report" / "index.html") in said[-1]


def test_a_kernel_that_does_not_start_is_the_error_of_its_notebook(outputs, tmp_path, monkeypatch):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("seed: int = 1", metadata={"tags": ["parameters"]})]
    )
    path = tmp_path / "00_x.ipynb"
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no" / "python"))
    run = runner.run_notebook(path)
    assert run.status == "failed" and run.error.startswith("FileNotFoundError")
    assert json.loads((outputs / "notebooks" / "00_x.ipynb").read_text())["metadata"]["smaller"]["status"] == "failed"


# A corpus


def test_a_file_of_a_corpus_that_cannot_be_read_is_one_line(tmp_path):
    corpus, said = tmp_path / "corpus", []
    (corpus / "hau").mkdir(parents=True)
    (corpus / "hau" / "a.txt").write_text("ina kwana\n")
    (corpus / "hau" / "b.txt.gz").write_bytes(b"\x1f\x8bnothing")
    (corpus / "swa.txt").write_bytes(b"habari\nya leo \xff\n")
    (corpus / "yor.txt").write_text("")
    found = readable(text_files(corpus), asked=False, say=said.append)
    assert found == {"hau": [corpus / "hau" / "a.txt"]}
    assert len(said) == 3 and all(line.startswith("left out: ") for line in said)
    assert "b.txt.gz" in said[0] and "swa.txt:2: found byte 0xff" in said[1] and "yor.txt: the file is empty" in said[2]
    with pytest.raises(SmallerError, match=r"swa\.txt:2"):
        readable(text_files(corpus, ["hau", "swa"]), asked=True, say=said.append)
    (corpus / "hau" / "a.txt").write_bytes(b"\xff")
    with pytest.raises(SmallerError, match=r"hau/a\.txt:1: found byte"):
        readable(text_files(corpus), asked=False, say=said.append)
