"""Every notebook runs through the project's own runner: offline, on a tiny encoder, every cell."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest

from smaller import report
from smaller.base import paths
from smaller.base.errors import SmallerError
from smaller.notebook import parameters
from smaller.notebook.runner import run_notebook
from smaller.study import results

NOTEBOOKS = sorted(paths.notebooks_folder().glob("*.ipynb"))
SMALL = {"epochs": 1, "seeds": [1, 2], "languages": ["swa"], "batch_size": 64}
OWN = {
    "01_baselines": {"longer_epochs": {}},
    "02_pruning": {
        "languages": ["swa", "yor"],
        "sparsities": [0.0, 0.5, 0.9],
        "random_sparsities": [0.9],
        "random_seeds": [1, 2],
        "timed_sentences": 2,
    },
    "03_distillation": {
        "students": ["2x2", "1x2"],
        "controls": ["1x2"],
        "variant_student": "1x2",
        "variant_seeds": [1],
        "temperatures": [2.0, 6.0],
        "variants": ["attention relation"],
        "corpus_updates": 4,
    },
    "04_quantization": {
        "forms": ["fp32", "bf16", "dynamic", "llm.int8", "onnx-int8"],
        "bits": [8, 3],
        "parts": ["all", "attention"],
        "thresholds": [6.0],
        "variant_seeds": [1],
        "timed_sentences": 2,
        "timed_rounds": 2,
    },
    "05_transfer": {
        "languages": ["swa", "yor"],
        "sources": ["swa", "yor"],
        "targets": ["sample/bam", "sample/yor"],
        "longer_epochs": {},
        "sparsities": [0.0, 0.9],
        "joint_sparsities": [0.0],
        "joint_seeds": [1],
        "students": ["1x2"],
        "timed_sentences": 2,
    },
    "06_robustness": {
        "sparsities": [0.9],
        "students": ["1x2"],
        "forms": ["dynamic"],
        "vocabularies": [500],
        "noise": {"case": [1.0], "dropped": [0.1], "entities": [1.0]},
        "attack_budgets": [0.01],
        "attacked_sentences": 3,
        "targets": ["sample/bam"],
        "text_sentences": 10,
    },
    "07_extreme": {
        "layers": 1,
        "feed_forward": 20,
        "hidden_sizes": [16, 20],
        "vocabularies": [1200, 900],
        "adaptation_updates": 2,
        "corpus_updates": 2,
        "sparsities": [0.5, 0.9],
        "cut_layers": [1],
        "students": ["1x2"],
        "combinations": [{"hidden_size": 20, "vocabulary": 900}],
        "taught": [{"hidden_size": 16}],
        "transfer_lines": 20,
        "transfer_epochs": 1,
        "forms": ["dynamic"],
        "closing": "dynamic",
        "variant_seeds": [1],
        "adapters": [4],
        "orders": [["fewer layers", "fewer pieces"]],
        "guessed_sentences": 4,
        "timed_sentences": 2,
        "timed_rounds": 2,
        "questions": ["Is KL the better loss?"],
        "task_epochs": {"sample-topics": 1},
    },
}
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


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_offline_and_makes_a_page(notebook: Path, tiny_folder: Path, fresh_folders) -> None:
    given = SMALL | OWN.get(notebook.stem, {}) | {"encoders": [str(tiny_folder)]}
    run = run_notebook(notebook, given, profile_name="sample")
    assert (run.status, run.error) == ("done", "")
    executed = nbformat.read(paths.outputs_folder() / "notebooks" / notebook.name, as_version=4)
    code = [cell for cell in executed.cells if cell.cell_type == "code" and cell.source.strip()]
    assert all(cell.execution_count for cell in code), "a cell was not reached"
    drawn = {path.stem for path in (paths.outputs_folder() / "figures").glob("*.png")}
    assert drawn >= FIGURES[notebook.stem] and drawn
    table = results.table(results.read_all())
    assert table["score"].between(0, 100).all() and set(table["language"]) >= set(given["languages"])
    page = report.render(paths.outputs_folder() / "notebooks" / notebook.name)
    assert page.answer and page.sample and not page.error


def test_every_profile_fits_every_notebook() -> None:
    for profile in parameters.profiles():
        for notebook in NOTEBOOKS:
            given = parameters.profile(profile, notebook.stem)
            assert given["dataset"], f"{profile} leaves {notebook.stem} without a data set"


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
def test_bad_values_end_a_notebook_at_its_second_cell(wrong: dict, said: str, tiny_folder: Path, fresh_folders) -> None:
    if "encoders" not in wrong:
        wrong = wrong | {"encoders": [str(tiny_folder)]}
    run = run_notebook(NOTEBOOKS[0], wrong)
    assert run.status == "failed" and said in run.error
    assert not results.read_all()


def test_misspelt_parameter_starts_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smaller.notebook.runner._execute", lambda *_, **__: pytest.fail("a kernel was started"))
    with pytest.raises(SmallerError, match="Did you mean 'languages'"):
        run_notebook(NOTEBOOKS[0], {"language": ["swa"]})
