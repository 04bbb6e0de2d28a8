"""The README cites the reference runs: its numbers are theirs."""

from __future__ import annotations

import re
import runpy
import shutil

import pandas as pd
import pytest
import torch

from smaller.analysis.findings import claims
from smaller.base.errors import SmallerError
from smaller.data import datasets, tasks
from smaller.encoders import linear_weights
from smaller.study.recipes import start
from smaller.study.steps import base


@pytest.fixture
def reference(project):
    return project / "outputs" / "reference"


def test_the_readmes_numbers_are_computed_from_the_reference_runs(project, reference):
    written = runpy.run_path(str(reference / "headlines.py"))
    text = (project / "README.md").read_text(encoding="utf-8")
    shown = text.split(written["START"])[1].split(written["END"])[0].strip()
    assert shown == written["section"](), "run outputs/reference/headlines.py"
    assert text.count(written["START"]) == 1


def test_the_readmes_verdicts_are_those_of_the_tables(reference):
    written = runpy.run_path(str(reference / "headlines.py"))
    row = pd.Series({"x, mean": -1.04, "x, low": -3.08, "x, high": 0.99, "x, verdict": "not decided"})
    assert written["judged"](row, "x") == "-1.0 points [-3.1, 1.0] (not decided)"
    assert written["mean"](row, "x") == "-1.0 ± 2.0"


@pytest.mark.parametrize("run", ["mini", "distillation", "robustness"])
def test_tables_are_what_the_code_makes_of_the_records(reference, run, tmp_path, monkeypatch):
    """The runs whose records hold all that their tables need; a copy is made again, byte for byte."""
    copy = tmp_path / "reference" / run
    shutil.copytree(reference / run, copy)
    monkeypatch.setenv("SMALLER_OUTPUTS", str(tmp_path))
    runpy.run_path(str(copy / "recompute.py"), run_name="__main__")
    for file in sorted((reference / run / "tables").glob("*.csv")):
        assert (copy / "tables" / file.name).read_bytes() == file.read_bytes(), file.name
    assert (copy / "README.md").read_bytes() == (reference / run / "README.md").read_bytes()


def test_every_reference_run_has_its_provenance_and_no_weights(reference):
    runs = [folder for folder in reference.iterdir() if folder.is_dir()]
    assert runs
    for run in runs:
        assert re.search(r"torch \d", (run / "README.md").read_text(encoding="utf-8")), run
        assert not [file for file in run.rglob("*") if file.suffix in (".safetensors", ".bin", ".onnx")], run


def example(project, heading: str) -> str:
    """The Python of the README's section with this heading."""
    text = (project / "README.md").read_text(encoding="utf-8").split(f"### {heading}\n")[1]
    return re.search(r"```python\n(.*?)```", text, flags=re.DOTALL).group(1)


def test_the_readmes_step_is_one(project, tiny, monkeypatch):
    monkeypatch.setattr(base, "STEPS", dict(base.STEPS))
    given: dict = {"__name__": "shrinking"}
    exec(compile(example(project, "Add a step"), "README.md", "exec", dont_inherit=True), given)
    step = given["Shrink"](0.25)
    shrunk, report = step.apply(tiny)
    before, after = linear_weights(tiny), linear_weights(shrunk)
    assert report["touched"] == list(before) and len(before) > 4
    assert all(torch.equal(after[name], before[name] * 0.75) for name in before)
    assert base.step_from_canonical(start("sample-small").then(step).canonical()["steps"][-1]) == step
    with pytest.raises(SmallerError, match="from 0 to 1; it is 3"):
        given["Shrink"](3)


def test_the_readmes_data_set_and_task_are_some(project):
    dataset = eval(example(project, "Add a language, or data of your own").split("\n\n", 1)[1], vars(datasets))
    assert dataset.file("lug", "dev") == "my-ner/lug/dev.txt"
    task = eval(example(project, "Add a task").split("\n\n", 1)[1], vars(tasks))
    assert task.labels(dataset.tags)[:3] == ("O", "B-PER", "I-PER")


def test_the_reference_summary_has_every_claim(reference):
    table = pd.read_csv(reference / "summary" / "tables" / "claims.csv", dtype=str, keep_default_na=False)
    named = {name for row in table["id"] for name in row.split(", ")}
    assert named == set(claims.listed()["id"])
    assert set(table.loc[table["verdict"] == "not measured", "id"]) <= {"Q5, D18", "Q7", "OQ3", "NC1"}, (
        "a claim that was measured once is measured still"
    )
