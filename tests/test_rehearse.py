"""A rehearsal of a profile: two updates a training, in folders of its own, and what it says of the study to come."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from pretend_device import pretend_device

from smaller import study
from smaller.__main__ import main
from smaller.base import files, paths, settings
from smaller.base.errors import SmallerError
from smaller.base.progress import silent
from smaller.base.settings import changed
from smaller.encoders.device import device
from smaller.notebook import profiles, rehearsal, runner
from smaller.notebook.parameters import filled
from smaller.notebook.runner import NotebookRun
from smaller.report import write_report
from smaller.study import cache, results, running
from smaller.study.plans import SHOWN as PLAN_TYPE
from smaller.study.recipes import Recipe, dense
from smaller.study.steps import Adapt, Distil, FineTune, Pretrain

TUNE = FineTune("sample", "swa", epochs=3, learning_rate=1e-3, batch_size=8)
IN_REHEARSAL = {"SMALLER_REHEARSAL": "2"}
BOTH = pytest.mark.parametrize("first", ["study", "rehearsal"])

PARAMETERS = """encoders: list[str] = ["sample-small"]  # names
languages: list[str] = ["swa", "yor", "hau"]  # codes
seeds: list[int] = [4, 5]  # of fine-tuning"""
PLAN = """from smaller import study
from smaller.notebook.beginning import preview
from smaller.study.recipes import dense
from smaller.study.steps import FineTune
tunings = [FineTune("sample", code, seed=seed, epochs=7) for code in languages for seed in seeds]
recipes = [dense(encoders[0], tuning) for tuning in tunings]
preview(recipes)"""
RUN = "study.run(recipes, workers=1)"
LOOK = """import os
assert (os.environ["SMALLER_REHEARSAL"], seeds, languages) == ("2", [4], ["swa", "yor"])"""


def write(path: Path, *cells: str) -> None:
    """A notebook whose first code cell is tagged `parameters`, and one that previews `plan`."""
    made = [nbformat.v4.new_markdown_cell("# What is it?"), *map(nbformat.v4.new_code_cell, (PARAMETERS, *cells))]
    made[1].metadata["tags"] = ["parameters"]
    for cell in made:
        cell.metadata |= {"tags": ["plan"]} if "preview(" in cell.source else {}
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)


@pytest.fixture
def notebooks(tmp_path: Path) -> Path:
    """Two notebooks, and a profile that says nothing; the second fails until there is a file `mended` beside it."""
    folder = tmp_path / "note books"
    write(folder / "01_first.ipynb", PLAN, RUN)
    write(
        folder / "02_second.ipynb",
        PLAN,
        f"import pathlib\nassert pathlib.Path({str(folder / 'mended')!r}).exists()",
        RUN,
    )
    files.write_whole(folder / "profiles" / "own.yaml", "")
    return folder


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, displayed: list[tuple]) -> None:
    """Notebooks run in this process, which needs no second for each kernel."""

    def execute(notebook: nbformat.NotebookNode, parameters: dict, *_: object, **__: object) -> tuple:
        names: dict = {}
        try:
            for cell in notebook.cells[1:]:
                displayed.clear()
                exec(cell.source, names)
                names |= parameters if "parameters" in cell.metadata.get("tags", []) else {}
                told = [data for data, _ in displayed if PLAN_TYPE in data]
                cell.outputs = [nbformat.v4.new_output("display_data", data=dict(data)) for data in told]
        except Exception as problem:
            return notebook, f"{type(problem).__name__}: {problem}"
        return notebook, ""

    monkeypatch.setattr(runner, "_execute", execute)
    monkeypatch.setattr(rehearsal, "nursery", lambda _: contextlib.nullcontext())


def run(recipe: Recipe) -> dict:
    """The recipe's record, after a study of it alone."""
    study.run([recipe], workers=1, say=silent)
    return results.read(recipe)


# Each training ends early


def test_every_training_ends_after_its_few_updates(tiny_folder: str, few_sentences: None, fresh_folders: Path) -> None:
    text = {"batch_size": 8, "max_length": 32}
    on_text = {"corpus": "sample", "languages": ("swa",), "updates": 9} | text
    task = Distil(1, on="task", dataset="sample", language="swa", epochs=3, batch_size=8)
    recipe = Recipe(
        tiny_folder,
        (Pretrain(**on_text), Adapt("sample", "swa", updates=9, **text), Distil(2, on="corpus", **on_text), TUNE, task),
    )
    with changed(**IN_REHEARSAL):
        record = run(recipe)
    assert [step["report"]["updates"] for step in record["steps"]] == [2, 2, 2, 2, 2]
    assert record["identity"] == recipe.identity and record["inputs"]["rehearsal"] == "2 updates at most"
    assert study.estimate([recipe]).updates == 9 + 9 + 9 + 12 + 12, "outside of it, all is still to do"


@pytest.mark.parametrize(("value", "updates"), [(None, None), ("", None), ("2", 2), ("0", None), ("two", None)])
def test_setting(value: str | None, updates: int | None) -> None:
    with changed(SMALLER_REHEARSAL=value):
        assert settings.rehearsed_updates() == updates


# A rehearsal and a study never mix


@BOTH
def test_what_one_trained_and_recorded_is_not_there_for_the_other(
    first: str, tiny_folder: str, few_sentences: None, fresh_folders: Path
) -> None:
    recipe, ways = dense(tiny_folder, TUNE), {"study": {"SMALLER_REHEARSAL": None}, "rehearsal": IN_REHEARSAL}
    (other,) = set(ways) - {first}
    with changed(**ways[first]):
        record, mine = run(recipe), (paths.outputs_folder(), cache.folder())
        assert results.read(recipe) == record and cache.find(recipe) is not None
    with changed(**ways[other]):
        theirs = (paths.outputs_folder(), cache.folder())
        assert not set(mine) & set(theirs)
        assert results.read(recipe) is None and cache.find(recipe) is None
        # Nor where somebody copies it.
        for ours, place in zip(mine, theirs, strict=True):
            shutil.copytree(ours, place, ignore=shutil.ignore_patterns("rehearsal"), dirs_exist_ok=True)
        assert cache.find(recipe) is None
        if other == "study":
            with pytest.warns(UserWarning, match="it is of a rehearsal, .* and no result. It was set aside"):
                assert results.read_all() == []
        assert study.pending([recipe]) == [recipe]
        assert run(recipe)["steps"][0]["report"]["updates"] == {"study": 12, "rehearsal": 2}[other]
        assert results.read(recipe)["inputs"].keys() ^ record["inputs"].keys() == {"rehearsal"}


def test_nothing_but_a_rehearsal_runs_under_its_setting(fresh_folders: Path, capsys: pytest.CaptureFixture) -> None:
    with changed(**IN_REHEARSAL):
        for command in (["study"], ["report"], ["clean"]):
            assert (
                main(command) == 2
                and "SMALLER_REHEARSAL is for the processes of a rehearsal" in capsys.readouterr().err
            )
    assert not any(fresh_folders.iterdir())


@pytest.mark.parametrize("more", [["--dry-run"], ["--engine", "ray"], ["--engine", "local"]])
def test_a_rehearsal_is_of_this_machine_and_trains(more: list[str], capsys: pytest.CaptureFixture) -> None:
    assert main(["study", "--rehearse", *more]) == 2
    assert "--rehearse is of this machine, and trains: leave out" in capsys.readouterr().err


def test_cleaning_frees_what_a_stopped_rehearsal_kept(fresh_folders: Path) -> None:
    with changed(**IN_REHEARSAL):
        files.write_whole(cache.folder() / "0123456789abcdef" / "model.safetensors", bytes(1000))
    assert cache.clean() == 1000
    assert not (paths.cache_folder() / "rehearsal").exists()


# The rehearsal itself


def test_a_rehearsal_goes_on_ends_and_begins_anew(
    notebooks: Path, here: None, tiny_folder: str, few_sentences: None, fresh_folders: Path
) -> None:
    def rehearse() -> tuple[list[str], list[str]]:
        lines: list[str] = []
        given = {"overrides": {"encoders": [tiny_folder]}, "notebooks": notebooks, "say": lines.append}
        return rehearsal.rehearse("own", **given), lines

    folder, models = paths.outputs_folder() / "rehearsal", paths.cache_folder() / "rehearsal"
    failed, lines = rehearse()
    assert failed == ["02_second"]
    assert "02_second: not measured, since it failed: AssertionError: " in lines
    (told,) = [line for line in lines if line.startswith("01_first: about")]
    plan = study.estimate([dense(tiny_folder, tune(code, seed)) for code in ("swa", "yor", "hau") for seed in (4, 5)])
    assert f": 6 trainings with {plan.updates:,} updates of tiny one at 0.0" in told and told.endswith(
        "0.0 GB of models"
    )
    with changed(**IN_REHEARSAL):
        trained = [record["recipe"]["steps"][0] for record in results.read_all()]
        assert sorted((step["language"], step["seed"]) for step in trained) == [("swa", 4), ("yor", 4)]
    assert "It has not come to its end" in (folder / "README.txt").read_text(encoding="utf-8") and models.is_dir()
    assert not (folder / "report").exists() and not (paths.outputs_folder() / "results").exists()

    (notebooks / "mended").touch()
    before = (folder / "notebooks" / "01_first.ipynb").stat().st_mtime_ns
    failed, lines = rehearse()
    assert failed == [] and not any("01_first: done" in line for line in lines)
    assert (folder / "notebooks" / "01_first.ipynb").stat().st_mtime_ns == before
    (second,) = [line for line in lines if line.startswith("02_second: about")]
    assert "about 0 s of training" in second and ": 0 trainings, 6 recipes, " in second, "they are the first's"
    assert lines[-1] == "does not fit: nothing that was seen"
    kept = (folder / "README.txt").read_text(encoding="utf-8")
    assert kept.startswith("Nothing in this folder is a result") and lines[-1] in kept and not models.exists()
    refused = pytest.raises(SmallerError, match=r"01_first.ipynb is of a rehearsal, .* nothing to report")
    with changed(SMALLER_OUTPUTS=str(folder)), pytest.warns(UserWarning, match="it is of a rehearsal"), refused:
        write_report()

    (folder / "old").touch()
    assert rehearse()[0] == [] and not (folder / "old").exists()
    assert (folder / "notebooks" / "01_first.ipynb").stat().st_mtime_ns > before


def tune(language: str, seed: int) -> FineTune:
    return FineTune("sample", language, seed=seed, epochs=7)


def test_what_cannot_be_planned_is_told_and_nothing_is_trained(
    notebooks: Path, here: None, fresh_folders: Path
) -> None:
    given = {"overrides": {"languages": ["xho"]}, "notebooks": notebooks, "say": silent}
    with pytest.raises(SmallerError, match="^01_first could not be planned: .*xho.*\n02_second could not be planned"):
        rehearsal.rehearse("own", **given)
    assert not (paths.outputs_folder() / "rehearsal").exists()


def test_kernels_know_that_they_are_of_a_rehearsal(notebooks: Path, fresh_folders: Path) -> None:
    write(notebooks / "01_first.ipynb", LOOK)
    lines: list[str] = []
    assert rehearsal.rehearse("own", only=["01_first"], notebooks=notebooks, say=lines.append) == []
    assert lines[-3].startswith("models: 0.0 GB") and "01_first: not measured" in lines


def test_one_seed_and_two_languages_that_make_sense_in_every_notebook() -> None:
    for profile, path in (
        (name, path) for name in profiles.profiles() for path in paths.notebooks_folder().glob("*.ipynb")
    ):
        short = rehearsal.shortened(filled(path, profiles.profile(profile, path.stem), where=profile))
        profiles._require_sense(short, where=path.stem)
        assert len(short["seeds"]) == 1 and len(short["languages"]) <= 2
        assert set(short.get("sources", ())) <= {*short["languages"]}
    given = filled(
        paths.notebooks_folder() / "07_extreme.ipynb", profiles.profile("paper", "07_extreme"), where="paper"
    )
    short = rehearsal.shortened(given)
    assert short["languages"] == ["mlt", "swa"], "Slovak has no part in masakhapos, and Swahili none in ud"
    assert short["few_seeds"] == {"variants": [1], "adapters": [1], "no teacher": [1]}
    assert {name for name in short if short[name] != given[name]} == {"languages", "seeds", "few_seeds"}


def test_hours_are_what_was_measured_times_what_is_planned(keep: Callable, tiny_folder: str) -> None:
    def record(tuning: FineTune, seconds: float, wall: float, peak: float) -> dict:
        report = {"updates": 2, "seconds": seconds, "wall_seconds": wall}
        step = tuning.canonical() | {"report": report}
        return {"recipe": dense(tiny_folder, tuning).canonical(), "steps": [step], "cost": {"peak_memory_bytes": peak}}

    def plan(*tunings: FineTune, updates: int, done: int = 0) -> study.Plan:
        made = [dense(tiny_folder, tuning) for tuning in tunings]
        kinds = {recipe.identity: (tiny_folder, running.kind(recipe)) for recipe in made}
        return study.Plan(len(made) + done, done, work=dict.fromkeys(kinds, (updates, 10**9)), kinds=kinds)

    other = FineTune("sample", "swa", batch_size=2)
    swa, yor, hau = tune("swa", 4), tune("yor", 4), tune("hau", 5)
    records = [record(swa, 4.0, 5.0, 2e9), record(yor, 8.0, 11.0, 3e9)]
    keep(dict(zip("ab", records, strict=True)))
    planned = [
        NotebookRun("01", "planned", plan=plan(swa, yor, hau, updates=100)),
        NotebookRun("02", "planned", plan=plan(swa, other, updates=50, done=8)),
        NotebookRun("03", "planned"),
    ]
    runs = [
        NotebookRun("01", "done", seconds=38.0, plan=plan(swa, yor, updates=100)),
        NotebookRun("02", "done", seconds=20.0, plan=plan(swa, updates=50)),
        NotebookRun("03", "done", seconds=9.0),
    ]
    with changed(SMALLER_WORKERS="2", SMALLER_CACHE_GB="3"):
        lines = list(rehearsal.account(planned, runs))
    # An update takes 2 s and 4 s, so 3; beside them 1 s and 3 s, so 2. The first notebook has 38 s - (5 s + 11 s) / 2,
    # so 30 s, for its two recipes, and the plan three; the second has 20 s for one, and two are left.
    assert lines[:5] == [
        "by this rehearsal, with 2 trainings side by side, the study should take:",
        "01: about 8 min of training, and at most 45 s of scoring and all else: 3 trainings "
        "with 300 updates of tiny one at 3 s, 3 recipes, 3.0 GB of models",
        "02: about 0 s of training, and at most 40 s of scoring and all else: 1 training with 50 updates that were "
        "not measured, 2 recipes, 1.0 GB of models",
        "03: not measured",
        "all that was measured: about 8 min of training, and at most 85 s of scoring and all else; the longest is 01",
    ]
    assert "models: 4.0 GB by their shapes; the cache keeps 3 GB" in lines[5] and "held 3.0 GB at most" in lines[6]
    assert lines[7].startswith("does not fit: all models in the cache") and lines[7].endswith("set SMALLER_CACHE_GB=4")


@pytest.mark.parametrize(
    ("models", "peak", "free", "expected"),
    [
        (1e9, 1e6, 2e9, "nothing that was seen"),
        (5e9, 1e6, 6e9, "all models in the cache, .*: set SMALLER_CACHE_GB=5"),
        (3e9, 1e6, 2e9, "the models on their disk: free some of it"),
        (1e9, 6e14, 2e9, "3 processes in the memory of this machine: set SMALLER_WORKERS=1"),
    ],
)
def test_what_does_not_fit_is_told_with_what_to_do(models: float, peak: float, free: float, expected: str) -> None:
    device.cache_clear()
    with changed(SMALLER_CACHE_GB="4", CUDA_VISIBLE_DEVICES="-1"):
        *_, last = lines = list(rehearsal.room(models, peak, workers=3, free=free))
    assert len(lines) == 3 and re.fullmatch(f"does not fit: {expected}.*", last)


def test_processes_of_several_cards_share_each() -> None:
    with pretend_device(cards=2, memory=80e9):
        _, told, lacking = rehearsal.room(1e9, 35e9, workers=6, free=2e12)
        _, unknown, *_ = rehearsal.room(0.0, 0.0, workers=6, free=2e12)
    assert "held 35.0 GB at most" in told and told.endswith("3 processes share the 80 GB of a card")
    assert lacking.startswith("does not fit: 3 processes in the memory of a card: set SMALLER_WORKERS=4")
    assert unknown.startswith("memory: not measured; ")
