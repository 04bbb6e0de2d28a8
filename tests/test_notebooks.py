"""Every notebook runs through the project's own runner: offline, on a tiny encoder, every cell."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest

from smaller import report
from smaller.base import forks, paths, settings
from smaller.base.errors import SmallerError
from smaller.notebook.kernels import IMPORTED
from smaller.notebook.parameters import filled
from smaller.notebook.profiles import profile, profiles
from smaller.notebook.runner import plan_notebook, run_notebook
from smaller.study import results

NOTEBOOKS = sorted(paths.notebooks_folder().glob("*.ipynb"))
TINY = str(Path(__file__).with_name("tiny.yaml"))
FIGURES = {
    "00_quickstart": {"quickstart"},
    "01_baselines": {"dense-f1"},
    "02_pruning": {"P1-F1", "P1-F2-F3", "P1-F6", "masks-compared", "sparse-kernel"},
    "03_distillation": {"P1-T1", "P1-T6", "P1-T7", "P1-T8", "learning-curves"},
    "04_quantization": {"quantization-f1", "size-waterfall", "T23-bits"},
    "05_transfer": {"P1-F5", "transfer-matrix"},
    "07_extreme": {"P2-F1", "P2-F2", "P2-F3", "P2-F4", "P2-F5", "X1"},
    "06_robustness": {"calibration"},
    "08_summary": {"pareto"},
}


@pytest.fixture(scope="session")
def nursery() -> Iterator[forks.Nursery | None]:
    """Kernels of these tests are forked from one process, which imports once."""
    with forks.nursery(IMPORTED, settings.of_kernel({})) as nursery:
        yield nursery


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_offline_and_makes_a_page(
    notebook: Path, tiny_folder: str, fresh_folders, rooms: Callable, few_real: Path, nursery: forks.Nursery | None
) -> None:
    rooms(data=few_real)
    own = {} if notebook.stem == "00_quickstart" else {"dataset": "masakhaner"}
    given = profile(TINY, notebook.stem, overrides={"encoders": [tiny_folder], **own})
    run = run_notebook(notebook, given, profile_name="sample", nursery=nursery)
    assert (run.status, run.error) == ("done", "")
    executed = nbformat.read(paths.outputs_folder() / "notebooks" / notebook.name, as_version=4)
    code = [cell for cell in executed.cells if cell.cell_type == "code" and cell.source.strip()]
    asked = [cell for cell in code if "explore" not in cell.metadata.get("tags", [])]
    assert all(cell.execution_count for cell in asked), "a cell was not reached"
    assert len(code) == len(asked) + 1 and code[-1].execution_count is None, "exploring costs nothing in a batch run"
    drawn = {path.stem for path in (paths.outputs_folder() / "figures").glob("*.png")}
    assert drawn >= FIGURES[notebook.stem] and drawn
    table = results.table(results.read_all())
    assert table["score"].between(0, 100).all() and set(table["language"]) >= set(given["languages"])
    page = report.render(paths.outputs_folder() / "notebooks" / notebook.name)
    assert page.answer and not page.error and page.sample is ("sample" in json.dumps(run.parameters))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_read_in_short_cells_and_ends_with_what_to_try(notebook: Path) -> None:
    cells = nbformat.read(notebook, as_version=4).cells
    first, *code = [cell for cell in cells if cell.cell_type == "code"]
    assert len(first.source.splitlines()) <= 20 or notebook.stem == "07_extreme", "at most 20 parameters"
    assert not [cell.source for cell in code if len(cell.source.splitlines()) > 15]
    tags = [cell.metadata.get("tags", []) for cell in code]
    assert tags.count(["plan"]) == tags.count(["explore"]) == 1 and tags[-1] == ["explore"]
    assert cells[-2].source.startswith("## What to try next\n") and cells[-1] is code[-1]
    ran = next(number for number, cell in enumerate(code) if "study.run(" in cell.source)
    assert any("browse(" in cell.source for cell in code[ran : ran + 2]), "the table of the run is shown"


def test_every_profile_fits_every_notebook() -> None:
    for name in profiles():
        for notebook in NOTEBOOKS:
            given = filled(notebook, profile(name, notebook.stem), where=name)
            assert given["encoders"] and given["languages"], f"{name}: {notebook.stem}"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_one_cell_says_what_is_to_do(notebook: Path) -> None:
    cells = nbformat.read(notebook, as_version=4).cells
    assert ["preview(" in cell.source for cell in cells if "plan" in cell.metadata.get("tags", [])] == [True]


def test_a_dry_run_gives_the_plan_and_keeps_nothing(tiny_folder: str, fresh_folders, nursery) -> None:
    given = {"encoders": [str(tiny_folder)], "seeds": [1, 2], "epochs": 1}
    run = plan_notebook(NOTEBOOKS[0], given, nursery=nursery)
    assert (run.status, run.error) == ("planned", "") and run.parameters.items() >= given.items()
    assert (run.plan.recipes, run.plan.done, run.plan.trainings) == (8, 0, 4) and run.plan.updates > 0
    assert not paths.outputs_folder().exists()


def test_what_is_only_looked_at_at_home_is_not_counted_as_to_score(fresh_folders, nursery) -> None:
    (notebook,) = (path for path in NOTEBOOKS if path.stem == "05_transfer")
    few = {"seeds": [1], "joint_seeds": [], "sparsities": [0.0, 0.5], "forms": [], "students": []}
    run = plan_notebook(notebook, few | {"languages": ["swa"], "sources": ["swa", "yor"]}, nursery=nursery)
    # Both dense, Swahili pruned before and after; Yoruba pruned after is at home alone.
    assert (run.error, run.plan.recipes, run.plan.unscored) == ("", 5, 4)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"languages": ["swc"]}, "Did you mean 'swa'?"),
        ({"encoders": ["sample-bsae"]}, "Did you mean 'sample-base'?"),
        ({"languages": []}, "empty"),
        ({"dataset": "masakhanre"}, "Did you mean 'masakhaner'?"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_bad_values_end_a_notebook_at_its_second_cell(
    wrong: dict, said: str, tiny_folder: str, fresh_folders, nursery
) -> None:
    if "encoders" not in wrong:
        wrong = wrong | {"encoders": [str(tiny_folder)]}
    run = run_notebook(NOTEBOOKS[0], wrong, nursery=nursery)
    assert run.status == "failed" and said in run.error
    assert not results.read_all()


def test_misspelt_parameter_starts_no_kernel(fresh_folders) -> None:
    with pytest.raises(SmallerError, match="Did you mean 'languages'"):
        run_notebook(NOTEBOOKS[0], {"language": ["swa"]})
    assert not paths.outputs_folder().exists(), "nothing was run"
