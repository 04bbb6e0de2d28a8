"""The README cites the reference runs: its numbers are theirs."""

from __future__ import annotations

import re

import pandas as pd
import pytest
import torch

from smaller.data import datasets, tasks
from smaller.encoders import linear_weights
from smaller.errors import SmallerError
from smaller.findings import claims
from smaller.recipes import start
from smaller.steps import base


@pytest.fixture
def reference(project):
    return project / "outputs" / "reference"


def cells(project, name: str) -> list[str]:
    """The row of the README's first table that a form has."""
    lines = (project / "README.md").read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in lines if f"| `{name}` |" in line]
    return [cell.strip() for cell in row.strip("|").split("|")]


@pytest.mark.parametrize("form", ["fp32", "fp16", "dynamic", "llm.int8", "onnx-int8"])
def test_the_table_of_forms_is_that_of_the_reference_run(form, project, reference):
    tables = {name: pd.read_csv(reference / "quantization" / "tables" / f"{name}.csv", index_col=0)
              for name in ("P1-T3", "P1-T3-differences", "P1-T5", "P1-T2-cpu")}  # fmt: skip
    _, _, f1, megabytes, time = cells(project, form)
    if form == "fp32":
        assert f1 == tables["P1-T3"].loc["Average", "fp32"].strip("*")
    else:
        assert f1.replace("−", "-") == tables["P1-T3-differences"].loc["Average", form]
    assert megabytes == f"{tables['P1-T5'].loc['in memory (MB)', form]:.1f}"
    times = tables["P1-T2-cpu"].loc["Average"]
    assert time == f"{times[form] / times['fp32']:.2f}"


def test_the_sparsities_are_those_of_the_reference_run(project, reference):
    text = " ".join((project / "README.md").read_text(encoding="utf-8").split())
    found = re.search(r"two points lower at (\d+) to (\d+) % sparsity .*? and at (\d+) to (\d+) %", text)
    table = pd.read_csv(reference / "mini" / "tables" / "departures.csv")
    table = table[~table.iloc[:, 0].eq("Average")]
    spans = []
    for order in ("before", "after"):
        values = table[f"{order}: 2 points lost at"].str.removesuffix(" %").astype(int)
        spans += [values.min(), values.max()]
    assert [int(number) for number in found.groups()] == spans


def test_what_is_said_of_distillation_is_measured(project, reference):
    text = " ".join((project / "README.md").read_text(encoding="utf-8").split())
    controls = pd.read_csv(reference / "distillation" / "tables" / "controls.csv")
    row = controls.query("student == 'task-specific' and control == 'layers dropped'").iloc[0]
    assert f"come within {row['difference (points)'].removeprefix('+')} points" in text
    table = pd.read_csv(reference / "distillation" / "tables" / "P1-T1.csv")
    means = table.set_index(["strategy", "layers"])["average"].str.extract(r"([\d.]+)")[0].astype(float)
    assert means["task-specific", 4] >= means["teacher", 8] - 0.5


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


def test_what_is_said_of_the_pipeline_is_measured(project, reference):
    text = " ".join((project / "README.md").read_text(encoding="utf-8").split())
    tables = {name: pd.read_csv(reference / "extreme" / "tables" / f"{name}.csv")
              for name in ("P2-T1", "smallest", "extreme-times", "P2-T2")}  # fmt: skip
    stages = tables["P2-T1"].set_index("stage")
    column = "ner, masakhaner (span F1)"
    share = tables["extreme-times"].set_index("model").loc["quantized", "of dense (%)"]
    assert f"ends with {stages.loc['quantized', column]} points at {share:.1f} % of the bytes" in text
    assert f"beside {stages.loc['dense', column]} of the whole model" in text
    small = tables["smallest"].query("`data set` == 'masakhaner'").iloc[0]
    assert small["family"] == "taught on the task" and f"with {small['score']} points in Hausa and Swahili" in text
    assert f"{small['of dense (%)']:.1f} % of the bytes" in text and f"27.2 MB become {small['MB']:.2f}" in text
    assert f"{small['times faster']:.1f} times as fast on one thread" in text
    change = tables["P2-T2"]["difference (points)"].iloc[0]
    assert f"costs {change.removeprefix('-').removeprefix('−')} points more" in text


def test_what_is_said_of_compress_is_measured(project, reference):
    text = " ".join((project / "README.md").read_text(encoding="utf-8").split())
    run = (reference / "compress" / "README.md").read_text(encoding="utf-8")
    size, share, small, whole = re.search(
        r"([\d.]+) MB, ([\d.]+) % of the whole in fp32; ([\d.]+) ms for a sentence, the whole ([\d.]+) ms", run
    ).groups()
    assert f"a folder of {size} MB ({share} %)" in text
    assert f"in {small} ms on one thread instead of {whole}" in text
    test, dense = re.search(r"([\d.]+) and ([\d.]+) on test", run).groups()
    assert f"{test} points of F1 on test beside {dense} of the whole model" in text


def test_what_is_said_of_robustness_is_measured(project, reference):
    text = " ".join((project / "README.md").read_text(encoding="utf-8").split())
    noise, names = (pd.read_csv(reference / "robustness" / "tables" / f"{name}.csv").set_index("model")
                    for name in ("noise-by-model", "name-swaps"))  # fmt: skip
    assert f"keeps {noise.loc['dense', 'F1 kept (%)']} % of its F1" in text
    pruned, column = "pruned after fine-tuning, 80 %", "kept, against dense"
    assert f"{noise.loc[pruned, column].removeprefix('-')} points less, and" in text
    assert f"{names.loc[pruned, column].removeprefix('-')} points less where every name" in text
    for kept in ("quantized, onnx-int8", "trimmed, 4000 pieces"):
        assert not noise.loc[kept, column].startswith("-"), "int8 and a trimmed vocabulary keep as much"


def test_the_reference_summary_has_every_claim(reference):
    table = pd.read_csv(reference / "summary" / "tables" / "claims.csv", dtype=str, keep_default_na=False)
    named = {name for row in table["id"] for name in row.split(", ")}
    assert named == set(claims.listed()["id"])
    assert set(table.loc[table["verdict"] == "not measured", "id"]) <= {
        "Q5, D18", "Q7", "OQ1, D17", "OQ2", "OQ3", "NC1"
    }, "a claim that was measured once is measured still"  # fmt: skip
