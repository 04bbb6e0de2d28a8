"""The README cites the reference runs: its numbers are theirs."""

from __future__ import annotations

import importlib.util
import json
import re
import runpy
import shutil

import pandas as pd
import pytest
import torch

from smaller.analysis.findings import claims, transfer
from smaller.base.errors import SmallerError
from smaller.data import tasks
from smaller.encoders import linear_weights
from smaller.notebook import display
from smaller.report.reference import ReferenceRun
from smaller.study.recipes import recipe_from_canonical, start
from smaller.study.steps import base

AGAIN = (
    "pages, tables and figures are made anew by outputs/reference/*/recompute.py, then outputs/reference/headlines.py"
)


@pytest.fixture
def reference(project):
    return project / "outputs" / "reference"


@pytest.fixture
def headlines(reference):
    """The script that writes the README's section, as a module."""
    spec = importlib.util.spec_from_file_location("headlines", reference / "headlines.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readmes_numbers_are_computed_from_the_reference_runs(project, headlines):
    text = (project / "README.md").read_text(encoding="utf-8")
    shown = text.split(headlines.START)[1].split(headlines.END)[0].strip()
    assert shown == headlines.section(), "run outputs/reference/headlines.py"
    assert text.count(headlines.START) == 1


def test_the_readmes_verdicts_are_those_of_the_tables(headlines):
    row = {"x, mean": -1.04, "x, low": -3.08, "x, high": 0.99, "x, n": 3, "x, verdict": "not decided"}
    assert headlines.judged(pd.Series(row), "x") == "-1.0 points [-3.1, 1.0] (not decided; 3 seeds)"
    clear = row | {"x, high": -0.4, "x, p (Holm)": 0.223, "x, comparisons": 8}
    why = "not decided: p = 0.22 after correction for 8 comparisons; 3 seeds"
    assert headlines.judged(pd.Series(clear), "x") == f"-1.0 points [-3.1, -0.4] ({why})"
    assert headlines.mean(pd.Series(row), "x") == "-1.0 ± 2.0"


def lines_of(section: str) -> dict[str, str]:
    """The parts of the README's section: the two that begin in bold, and each point of the list."""
    parts = re.findall(r"^(?:\*\*|- \*)(\w+).*?(?=\n\n\*\*|\n- |\Z)", section, flags=re.DOTALL | re.MULTILINE)
    texts = re.split(r"\n\n(?=\*\*)|\n(?=- \*)", section)
    return dict(zip(parts, texts, strict=True))


def test_each_sentence_of_the_readme_follows_from_the_values(headlines, monkeypatch):
    """Sentences stayed as they were whatever the verdict: with other values, each of them is another one."""
    real, before = headlines.read, lines_of(headlines.section())

    def other(run: str, file: str) -> pd.DataFrame:
        table = real(run, file)
        flipped = {"agrees": "differs", "differs": "not decided", "not decided": "differs"}
        for column in table:
            if column.endswith(", verdict"):
                table[column] = table[column].map(flipped)
            elif column.endswith(", n"):
                table[column] += 4
        shown = [column for column in table if column.endswith("shown from (%)")]
        return table.assign(**dict.fromkeys(shown, 70.0)) if shown else table

    monkeypatch.setattr(headlines, "read", other)
    after = lines_of(headlines.section())
    assert list(after) == list(before) and len(after) == 9
    # As long as the encoder is not ahead, nothing is claimed of compression, whatever the other numbers are.
    assert [name for name in before if before[name] == after[name]] == ["Nothing", "Extreme"]
    seeds = {name: set(re.findall(r"\d+ seeds?", text)) for name, text in after.items()}
    assert not any(seeds[name] & set(re.findall(r"\d+ seeds?", text)) for name, text in before.items())


@pytest.mark.parametrize(("f1", "standing"), [(10.0, "ahead"), (99.0, "behind")])
def test_the_encoder_is_said_to_be_ahead_of_the_plain_model_or_behind_by_its_interval(
    headlines, monkeypatch, f1, standing
):
    real = headlines.read
    monkeypatch.setattr(
        headlines,
        "read",
        lambda run, file: real(run, file).assign(f1=f1) if file == "plain" else real(run, file),
    )
    assert set(headlines.beside_plain()["standing"]) == {standing}


def test_a_joint_models_own_test_set_is_no_language_that_the_gate_asks_for(reference):
    """No plain model has it, so the gate of that page stayed closed however far the encoder was ahead."""
    run = ReferenceRun(reference / "transfer", notebook="05_transfer")
    home = transfer.at_home(run.records().assign(noise=""))
    assert home["language"].str.contains("+", regex=False).any()
    lead = run.ahead(home.assign(f1=99.0 + 0.01 * home["seed"])).quantity
    assert lead.sign == 1 and not lead.lacking


def test_the_readme_explains_its_ids(project):
    text = (project / "README.md").read_text(encoding="utf-8")
    assert claims.LEGEND in " ".join(text.split()), "the README's legend of ids is claims.LEGEND"


def test_each_page_that_uses_ids_explains_them(reference):
    for page in reference.glob("*/README.md"):
        text = page.read_text(encoding="utf-8")
        assert not claims.ID.search(text) or claims.LEGEND in " ".join(text.split()), f"{page}: {AGAIN}"


def test_every_record_is_one_of_a_recipe_of_today(reference):
    records = [json.loads(path.read_bytes()) for path in reference.glob("*/results/*.json")]
    assert len(records) > 20
    for record in records:
        assert recipe_from_canonical(record["recipe"]).identity == record["identity"]


def test_a_difference_has_one_verdict_on_its_page(reference):
    """What was compared in several tables was corrected for the rows of each, and differed in one of them alone."""
    for run in reference.glob("*/tables"):
        verdicts: dict[tuple, set[str]] = {}
        for file in [*run.glob("*.csv"), *run.with_name("figures").glob("*.csv")]:
            table = pd.read_csv(file, low_memory=False)
            for name in (column.removesuffix(", verdict") for column in table if column.endswith(", verdict")):
                compared = table[table[f"{name}, n"].fillna(0) > 1]
                ends = compared[[f"{name}, {end}" for end in ("mean", "low", "high")]].round(6).abs()
                for place, verdict in zip(ends.to_numpy(), compared[f"{name}, verdict"], strict=True):
                    verdicts.setdefault(tuple(sorted(place)), set()).add(verdict)
        assert not {place: found for place, found in verdicts.items() if len(found) > 1}, run


def test_every_comparison_in_a_csv_has_the_same_columns(reference):
    for file in reference.glob("*/*/*.csv"):
        columns = set(pd.read_csv(file, nrows=0))
        for name in (column.removesuffix(", verdict") for column in columns if column.endswith(", verdict")):
            missing = {f"{name}, {field}" for field, _ in display._FIELDS + display._LISTS} - columns
            assert not missing, f"{file}: {AGAIN}"


def test_no_table_holds_marks_of_markdown(reference):
    for file in reference.glob("*/*/*.csv"):
        frame = pd.read_csv(file, dtype=str, keep_default_na=False)
        cells = [*frame.columns, *frame.to_numpy().ravel()]
        assert not [cell for cell in cells if re.search(r"\*\*|`|^_.*_$|\]\(", cell)], file


def test_each_figure_of_a_reference_run_is_on_its_page_with_its_text(reference):
    for picture in reference.glob("*/figures/*.png"):
        text = (picture.parent.parent / "README.md").read_text(encoding="utf-8")
        shown = re.findall(rf"!\[([^]]{{30,}})\]\(figures/{picture.name}\)\n\n\*\*{picture.stem}\.\*\* (.+)", text)
        assert len(shown) == 1 and picture.with_suffix(".csv").exists(), f"{picture}: {AGAIN}"


def test_no_page_of_a_reference_run_has_a_dead_link(reference):
    for page in reference.glob("*/README.md"):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize(
    "run", ["mini", "distillation", "robustness", "extreme", "transfer", "summary", "compress", "published"]
)
def test_tables_are_what_the_code_makes_of_the_records(reference, run, tmp_path, monkeypatch):
    """The runs whose records hold all that their tables need; a copy is made again, byte for byte."""
    copy = tmp_path / "reference" / run
    shutil.copytree(reference, tmp_path / "reference", ignore=shutil.ignore_patterns("*.png"))
    monkeypatch.setenv("SMALLER_OUTPUTS", str(tmp_path))
    runpy.run_path(str(copy / "recompute.py"), run_name="__main__")
    for file in sorted((reference / run / "tables").glob("*.csv")):
        assert (copy / "tables" / file.name).read_bytes() == file.read_bytes(), f"{file.name}: {AGAIN}"
    assert (copy / "README.md").read_bytes() == (reference / run / "README.md").read_bytes(), f"README.md: {AGAIN}"


def test_every_reference_run_has_its_provenance_and_no_weights(reference):
    runs = [folder for folder in reference.iterdir() if folder.is_dir() and folder.name != "__pycache__"]
    assert runs
    for run in runs:
        assert re.search(r"torch \d", (run / "README.md").read_text(encoding="utf-8")), run
        assert not [file for file in run.rglob("*") if file.suffix in (".safetensors", ".bin", ".onnx")], run


def example(project, heading: str) -> str:
    """The Python of the README's section with this heading."""
    text = (project / "README.md").read_text(encoding="utf-8").split(f"### {heading}\n")[1]
    return re.search(r"```python\n(.*?)```", text, flags=re.DOTALL).group(1)


def test_the_readmes_step_is_one(project, tiny, own_steps):
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


def test_the_readmes_task_is_one(project):
    task = eval(example(project, "Add a task").split("\n\n", 1)[1], vars(tasks))
    assert task.labels(("PER", "ORG"))[:3] == ("O", "B-PER", "I-PER")


def test_the_reference_summary_has_every_claim(reference):
    table = pd.read_csv(reference / "summary" / "tables" / "claims.csv", dtype=str, keep_default_na=False)
    named = {name for row in table["id"] for name in row.split(", ")}
    assert named == set(claims.listed()["id"])
    assert set(table.loc[table["verdict"] == "not measured", "id"]) <= {
        "Q5, D18",
        "Q7",
        "D7",
        "D8",
        "OQ3",
        "NC1",
        "M2",
    }, "a claim that was measured once is measured still; there is no large teacher"


def test_the_records_rate_and_passes_do_on_dev_what_the_best_of_the_tried_ones_do(reference):
    """Settings are chosen on dev; of those tried, one that is no worse there by more than half a point is used."""
    table = pd.read_csv(reference / "mini" / "tables" / "rates-on-dev.csv")
    assert len(table) >= 6 and table["average, dev"].is_monotonic_decreasing
    used = table[(table["learning rate"] == 1e-3) & (table["passes"] == 4)].iloc[0]
    assert used["average, dev"] > table["average, dev"].max() - 0.5
    between = sorted(set(table["learning rate"]))
    assert between[0] < used["learning rate"] < between[-1], "the grid goes on to either side"


def test_the_topics_settings_are_those_that_are_best_on_dev(reference):
    grid = pd.read_csv(reference / "extreme" / "topics.csv")
    table = pd.read_csv(reference / "extreme" / "tables" / "topics-on-dev.csv").set_index("language")
    for language, name in (("hau", "Hausa"), ("swa", "Swahili")):
        own, best = grid[grid["language"] == language], table.loc[name]
        assert best["dev"] >= own["dev"].max() and best["settings tried"] >= len(own)
        assert own["learning_rate"].max() > best["learning rate"] > own["learning_rate"].min(), "not at the edge"
