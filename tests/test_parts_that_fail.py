"""A part that cannot be done is one line of the result, and all the rest is done: shapes, candidates, pages, files."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import nbformat
import pytest
from test_runner import write

from smaller import deploy, report
from smaller.__main__ import main
from smaller.base.errors import SmallerError
from smaller.deploy import measuring
from smaller.deploy.candidates import Shape
from smaller.pretrain.corpus import text_files
from smaller.pretrain.text import readable
from smaller.study.steps import Distil, FineTune, TrimVocabulary

FAST = {"epochs": 1, "learning_rate": 1e-3, "form": "dynamic", "lines": 20}


# Compress


@pytest.fixture
def small(few_sentences, fresh_folders, one_process, looked_at):
    """A sample of a few sentences, folders of one's own, one process, and eight shapes."""
    shapes = [Shape(*size) for size in product((2, 1), (24,), (48, 24), (1.0, 0.999))]
    looked_at(lambda plan: shapes)
    return fresh_folders


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def breaks(monkeypatch):
    """Has a step, or the making of a shape, fail where `when` says so."""

    def broken(kind: type, when, problem: BaseException) -> None:
        name = "_shaped" if kind is measuring.Scales else "apply"
        plain = getattr(kind, name)

        def made(self, given, **options):
            if when(given if kind is measuring.Scales else self):
                raise problem
            return plain(self, given, **options)

        monkeypatch.setattr(kind, name, made)

    return broken


@pytest.mark.parametrize("target", ["holds something", "is a file", "cannot be made"])
def test_the_target_is_looked_at_before_anything_is_measured(tiny_folder, small, target, capsys):
    place = small / "target"
    if target == "holds something":
        place.mkdir()
        (place / "thesis.txt").write_text("mine")
    else:
        place.write_text("mine")
        place = place / "deeper" if target == "cannot be made" else place
    assert main(["compress", tiny_folder, "sample/swa", str(place), "--max-drop", "1"]) == 2
    out, told = capsys.readouterr()
    assert out == "", "nothing was looked at"
    assert told.count("\n") == 1 and str(place) in told
    assert ("holds something else" in told) == (target != "cannot be made")


def test_a_shape_that_cannot_be_measured_is_left_out(tiny_folder, small, said, breaks):
    breaks(measuring.Scales, lambda shape: shape == Shape(2, 24, 24, 0.999), RuntimeError("no room\n\nfor this graph"))
    found = deploy.compress(tiny_folder, "sample/swa", max_drop=100, say=said.append, **FAST)
    told = "left out: 2 layers, 24 wide, 24 neurons, tokens of 99.9 % of the text: RuntimeError: no room"
    assert [line for line in said if "left out" in line] == [told]
    kept = {"2 layers, 24 wide, 48 neurons", "1 layer, 24 wide, 48 neurons"}
    assert set(found.front["shape"].str.partition(", tokens")[0]) == kept


def test_where_no_token_can_go_all_stay(tiny_folder, small, said, breaks, looked_at):
    breaks(TrimVocabulary, lambda step: True, SmallerError("The text is too odd."))
    found = deploy.compress(tiny_folder, "sample/swa", max_drop=100, say=said.append, **FAST)
    assert not found.front["shape"].str.startswith("2 layers, 24 wide, 48 neurons, tokens").any()
    assert sum(line.startswith("left out: ") and line.endswith("The text is too odd.") for line in said) == 1
    looked_at(lambda plan: [Shape(2, 24, 48, 0.999)])
    for limit in ({"max_drop": 100}, {"max_bytes": 1e6}):
        with pytest.raises(SmallerError, match=r"No shape .* could be measured. 2 layers, 24 .* The text is too odd\."):
            deploy.compress(tiny_folder, "sample/swa", **limit, **FAST)


def test_a_candidate_that_fails_is_left_out_and_the_search_goes_on(tiny_folder, small, said, breaks):
    breaks(Distil, lambda step: step.feed_forward == 24, RuntimeError("loss is not a number"))
    found = deploy.compress(tiny_folder, "sample/swa", max_drop=100, say=said.append, **FAST | {"epochs": 2})
    left = [line for line in said if "left out" in line]
    assert left and all("24 neurons" in line for line in left)
    assert all(line.endswith("RuntimeError: loss is not a number") for line in left)
    tried = found.front
    assert not (tried["shape"].str.contains("24 neurons") & (tried["way"] == "distilled")).any()
    assert len(tried) > 1 and tried["epochs"].max() == 2
    assert "loss is not a number" not in "".join(found.notes())


def test_only_when_all_candidates_fail_it_is_an_error(tiny_folder, small, breaks, looked_at):
    looked_at(lambda plan: [Shape(1, 24, 48, 0.999)])
    breaks(Distil, lambda step: True, RuntimeError("not a number"))
    breaks(FineTune, lambda step: step.epochs == 1, SmallerError("Not today."))
    with pytest.raises(SmallerError, match=r"No candidate could be made\. 1 layer.*: not a number"):
        deploy.compress(tiny_folder, "sample/swa", max_drop=100, **FAST | {"epochs": 2})
    with pytest.raises(SmallerError, match=r"The model that is left whole could not be made\. Not today\."):
        deploy.compress(tiny_folder, "sample/swa", max_drop=100, **FAST)


def test_a_search_that_is_killed_is_no_candidate_that_fails(tiny_folder, small, breaks):
    breaks(Distil, lambda step: True, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        deploy.compress(tiny_folder, "sample/swa", max_drop=100, **FAST)


def test_the_next_best_takes_the_place_of_what_fails_at_the_end(tiny_folder, small, said, breaks):
    """Half of the candidates would go on; those of them that fail with all epochs leave their place to others."""
    breaks(Distil, lambda step: step.epochs == 2, RuntimeError("late"))
    found = deploy.compress(tiny_folder, "sample/swa", max_bytes=1e9, say=said.append, **FAST | {"epochs": 2})
    last = found.front[found.front["epochs"] == 2]
    assert "distilled" not in set(last["way"]) and len(last) >= 1


def test_a_format_that_cannot_be_is_said_once_and_one_that_is_too_large_goes_smaller(tiny_folder, small, said, breaks):
    def whole(shape: Shape | None) -> bool:
        return shape is not None and (shape.layers, shape.feed_forward, shape.coverage) == (2, 48, 1.0)

    breaks(measuring.Scales, whole, SmallerError("Install the library first."))
    with pytest.raises(SmallerError, match=r"^Install the library first\.$"):
        deploy.compress(tiny_folder, "sample/swa", max_bytes=1e6, say=said.append, **FAST)
    assert not [line for line in said if "left out" in line]
    breaks(measuring.Scales, whole, ValueError("The graph is larger than 2 GB."))
    found = deploy.compress(tiny_folder, "sample/swa", max_bytes=1e9, say=said.append, **FAST)
    assert "left out: 2 layers, 24 wide, 48 neurons: ValueError: The graph is larger than 2 GB." in said
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


WITHOUT_STATE = {"application/vnd.jupyter.widget-state+json": {"abc": {"model_name": "HBoxModel", "state": {}}}}


@pytest.mark.parametrize("widgets", [WITHOUT_STATE, {}, {"x": 1}], ids=["no state", "empty", "else"])
def test_widgets_without_a_state_leave_no_trace(outputs, widgets):
    executed(outputs / "notebooks" / "00_colab.ipynb", widgets=widgets)
    executed(outputs / "notebooks" / "01_later.ipynb", text="# Later")
    assert report.write_report().is_file()
    for name in ("00_colab", "01_later"):
        assert "HBoxModel" not in (outputs / "report" / f"{name}.html").read_text(encoding="utf-8")


def test_a_notebook_that_is_damaged_or_cannot_be_exported_is_one_problem(outputs):
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
    assert report.index([report.Page("a", "A", "", "", figure={"files": ["a.png"], "alt": "a"})])
    outputs.mkdir()
    (outputs / "a.png").write_bytes(b"\x89PNG")
    page = report.Page("a", "A", "", "", figure={"files": ["a.png"], "alt": "a"})
    assert "<img" not in report.index([page])


def test_a_page_that_cannot_be_made_is_a_notebook_that_failed(outputs, tmp_path):
    odd = "from IPython.display import HTML\nHTML('<iframe>')"
    for name, cells in {"00_a": [odd], "01_b": []}.items():
        write(tmp_path / "notebooks" / f"{name}.ipynb", *cells)
    (tmp_path / "notebooks" / "profiles").mkdir()
    (tmp_path / "notebooks" / "profiles" / "mini.yaml").write_text("study: {}\n")
    said: list[str] = []
    found = report.run_all("mini", notebooks=tmp_path / "notebooks", progress=said.append)
    assert [(run.name, run.status) for run in found] == [("00_a", "failed"), ("01_b", "done")]
    assert "00_a.ipynb" in found[0].error and f"00_a: {found[0].error}" in said
    assert (outputs / "report" / "01_b.html").is_file() and str(outputs / "report" / "index.html") in said[-1]


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
