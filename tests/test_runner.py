"""One notebook is run: strict parameters, this interpreter, and what is kept of a run that ends early."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from smaller.base.errors import SmallerError
from smaller.notebook.runner import NotebookRun, plan_notebook, run_notebook
from smaller.study import Plan, plans

PARAMETERS = 'encoder: str = "sample-small"  # which encoder\nseeds: list[int] = [1]  # one run for each\n'
CHECK = "from smaller.notebook.parameters import check\nsettings = check(globals())"
TOUCHED = "open('touched', 'w').close()"


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Has temporary files lie in another folder."""
    return lambda folder: monkeypatch.setattr("tempfile.tempdir", str(folder))


def write(path: Path, *cells: str, parameters: str = PARAMETERS) -> Path:
    """A notebook file: strings that start with # are markdown, all others code.

    A cell that displays is tagged `plan`, and one that starts with "explore" is tagged so.
    """
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [
        nbformat.v4.new_markdown_cell(cell) if cell.startswith("#") else nbformat.v4.new_code_cell(cell)
        for cell in ("# What is it?", parameters, *cells)
    ]
    notebook.cells[1].metadata["tags"] = ["parameters"]
    for cell in notebook.cells:
        for start, tag in (("display(", "plan"), ("explore", "explore")):
            if cell.source.startswith(start):
                cell.metadata["tags"] = [tag]
    notebook.metadata["kernelspec"] = {"name": "somebody-elses-kernel", "display_name": "x"}
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


def kept(outputs: Path, run: NotebookRun) -> nbformat.NotebookNode:
    """The notebook as it ran; what is told of it is what the run says."""
    notebook = nbformat.read(outputs / "notebooks" / f"{run.name}.ipynb", as_version=4)
    about = notebook.metadata["smaller"]
    assert (about["status"], about["error"], about["seconds"]) == (run.status, run.error, round(run.seconds, 1))
    return notebook


def test_parameters_reach_the_kernel_which_is_this_interpreter_and_its_progress_is_passed_on(outputs, tmp_path):
    look = (
        "import os, sys\nfrom smaller.base.progress import attended\n"
        "print(sys.executable, attended(), seeds, os.environ['SMALLER_WORKERS'], os.getcwd())\n"
        "print('run', 1, 'of 2', file=sys.stderr)"
    )
    path, said = write(tmp_path / "a b" / "03_look.ipynb", look, "explore = 1 / 0"), []
    run = run_notebook(
        path, {"seeds": [3]}, profile_name="mini", environment={"SMALLER_WORKERS": "7"}, progress=said.append
    )
    assert (run.status, run.error, run.parameters) == ("done", "", {"encoder": "sample-small", "seeds": [3]})
    assert said == ["run 1 of 2"]
    notebook = kept(outputs, run)
    (printed,) = [cell.outputs[0].text for cell in notebook.cells if cell.source == look]
    assert printed == f"{sys.executable} False [3] 7 {path.parent}\n"
    assert notebook.cells[-1].source == "explore = 1 / 0" and notebook.cells[-1].execution_count is None
    about = notebook.metadata["smaller"]
    assert (about["profile"], about["sample"]) == ("mini", True) and "torch" in about["provenance"]
    assert notebook.metadata["kernelspec"]["name"] == "python3"
    # The notebook itself stays as it was.
    assert nbformat.read(path, as_version=4).metadata["kernelspec"]["name"] == "somebody-elses-kernel"


OURS = "from smaller.base.errors import SmallerError\nraise SmallerError('No data: fetch them.')"


@pytest.mark.parametrize(
    ("fails", "error"), [("raise KeyError('amh')", "KeyError: 'amh'"), (OURS, "No data: fetch them.")]
)
def test_a_cell_that_fails_ends_the_notebook_and_what_was_done_is_kept(outputs, tmp_path, fails, error):
    run = run_notebook(write(tmp_path / "01_fails.ipynb", "print('so far')", fails, "late = 1"), {"encoder": "mbert"})
    assert (run.status, run.error, run.parameters) == ("failed", error, {"encoder": "mbert", "seeds": [1]})
    notebook = kept(outputs, run)
    *_, so_far, failed, late = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert so_far.outputs[0].text == "so far\n"
    assert failed.source == fails and failed.outputs[0].output_type == "error"
    assert late.source == "late = 1" and late.execution_count is None and late.outputs == []
    assert notebook.metadata["smaller"]["sample"] is False


def test_a_dead_kernel(outputs, tmp_path, temporary):
    """It is told plainly, and leaves no sockets; pytest's folder for a longer name would be too long for one."""
    temporary(tmp_path)
    path = write(tmp_path / "02_dies.ipynb", "print('so far')", "import os, sys", "os.kill(os.getpid(), 9)")
    run = run_notebook(path)
    assert run.status == "failed" and "kernel died in cell 5" in run.error and "memory" in run.error
    assert kept(outputs, run).cells[2].outputs[0].text == "so far\n"
    assert not list(tmp_path.glob("smaller-*"))


def test_a_kernel_that_does_not_start_is_the_error_of_its_notebook(outputs, tmp_path):
    (tmp_path / "ipykernel_launcher.py").write_text("raise SystemExit(3)")
    run = run_notebook(write(tmp_path / "00_x.ipynb", TOUCHED), environment={"PYTHONPATH": str(tmp_path)})
    assert run.status == "failed" and run.error.startswith("RuntimeError: Kernel died before replying")
    assert kept(outputs, run).cells[-1].execution_count is None and not (tmp_path / "touched").exists()


def test_a_path_too_long_for_a_socket_is_told(outputs, tmp_path, temporary):
    deep = tmp_path / ("deep" * 20)
    deep.mkdir()
    temporary(deep)
    with pytest.raises(SmallerError, match="set TMPDIR"):
        run_notebook(write(tmp_path / "00_a.ipynb"))


@pytest.mark.parametrize(
    ("given", "message"), [({"sedes": [1]}, "Did you mean 'seeds'"), ({"seeds": ["1"]}, r"should be list\[int\]")]
)
@pytest.mark.parametrize("run", [run_notebook, plan_notebook])
def test_wrong_parameters_are_refused_before_a_kernel_starts(outputs, tmp_path, run, given, message):
    with pytest.raises(SmallerError, match=message):
        run(write(tmp_path / "02_x.ipynb", TOUCHED, f"display({TOUCHED})"), given)
    assert not outputs.exists() and not (tmp_path / "touched").exists()


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="a namespace keeps no annotations of its cells there")
def test_values_of_the_running_notebook_are_checked_too(outputs, tmp_path):
    run = run_notebook(write(tmp_path / "00_a.ipynb", "seeds = ['4']", CHECK))
    assert run.status == "failed" and "['4'], of type list, but should be list[int]" in run.error


def test_a_dry_run_ends_at_the_cell_that_tells_the_plan(outputs, tmp_path):
    plan = f"display({{'{plans.SHOWN}': {{'recipes': len(seeds), 'done': 0, 'trainings': 3}}}}, raw=True)"
    run = plan_notebook(write(tmp_path / "00_a.ipynb", "'a number'", plan, TOUCHED), {"seeds": [4, 5]})
    assert (run.status, run.error, run.plan) == ("planned", "", Plan(recipes=2, done=0, trainings=3))
    assert run.parameters == {"encoder": "sample-small", "seeds": [4, 5]}
    run = plan_notebook(write(tmp_path / "01_b.ipynb", "raise KeyError('amh')", plan))
    assert (run.status, run.error, run.plan) == ("failed", "KeyError: 'amh'", None)
    # One that does not say what it would do is not run at all.
    run = plan_notebook(write(tmp_path / "02_c.ipynb", TOUCHED))
    assert (run.status, run.error, run.plan, run.seconds) == ("planned", "", None, 0.0)
    assert not outputs.exists() and not (tmp_path / "touched").exists()
