"""What goes to another process: a job as plain values, and the steps that a notebook or a user's module defines."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from smaller import study
from smaller.base.errors import SmallerError
from smaller.base.progress import silent
from smaller.encoders import linear_weights
from smaller.study import results
from smaller.study.engines.messages import job_from_message, message_of
from smaller.study.jobs import Job
from smaller.study.recipes import Recipe, dense
from smaller.study.steps import FineTune
from smaller.study.steps.base import STEPS

pytestmark = pytest.mark.usefixtures("fresh_folders")

STEP = '''
import os
from dataclasses import dataclass
from typing import ClassVar

import my_numbers
from smaller.base.progress import silent
from smaller.encoders import linear_weights
from smaller.study.steps.base import Step, require


def factor(share):
    return my_numbers.ONE - share


@dataclass(frozen=True)
class {name}(Step):
    """Pull every Linear weight towards zero by a share, as the README has it."""

    share: float
    trains: ClassVar[bool] = True

    def __post_init__(self):
        require(0 <= self.share < 1, "a share")

    def apply(self, model, *, say=silent, scratch=None):
        shrunk = model.copy()
        for weight in linear_weights(shrunk).values():
            weight.data.mul_(factor(self.share))
        return shrunk, {{"process": os.getpid()}}
'''


def in_a_notebook(source: str) -> type:
    """The class that a cell defines."""
    namespace = {"__name__": "__main__"}
    exec(compile(source, "a cell", "exec", dont_inherit=True), namespace)
    return namespace["Narrow"]


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[type]]:
    """A step of a user's module, and one of a notebook; both use a second module of the user's."""
    (tmp_path / "my_numbers.py").write_text("ONE = 1.0\n")
    (tmp_path / "my_steps.py").write_text(STEP.format(name="Dwindle"))
    monkeypatch.syspath_prepend(tmp_path)
    yield [importlib.import_module("my_steps").Dwindle, in_a_notebook(STEP.format(name="Narrow"))]
    for name in ("my_steps", "my_numbers"):
        sys.modules.pop(name)
    for name in ("Dwindle", "Narrow"):
        STEPS.pop(name)


def test_job_survives_the_way_to_a_worker() -> None:
    recipe = dense("sample-small", FineTune("sample", "swa"))
    job = Job(recipe, (recipe,), None)
    message = json.loads(json.dumps(message_of(job)))
    assert job_from_message(message) == job and message["steps"] == {}


def test_steps_from_outside_run_in_two_worker_processes(outside: list[type], tiny, tiny_folder: str) -> None:
    recipes = [Recipe(tiny_folder, (step(share),)) for step, share in zip(outside, (0.5, 0.25), strict=True)]
    study.run(recipes, workers=2, say=silent)
    processes = {results.read(recipe)["steps"][0]["report"]["process"] for recipe in recipes}
    assert len(processes) == 2 and os.getpid() not in processes
    for recipe, factor in zip(recipes, (0.5, 0.75), strict=True):
        found, before = linear_weights(study.materialise(recipe)[0]), linear_weights(tiny)
        assert all(torch.equal(found[name], factor * before[name]) for name in before) and len(before) > 0
    assert results.read(recipes[0])["steps"][0]["report"]["process"] in processes, "what is kept was not made again"


def test_a_step_that_is_defined_anew_is_sent_anew(outside: list[type], tiny_folder: str) -> None:
    before = message_of(Job(Recipe(tiny_folder, (outside[1](0.5),)), (), None))
    changed = in_a_notebook(STEP.format(name="Narrow").replace("a share", "another share"))
    after = message_of(Job(Recipe(tiny_folder, (changed(0.5),)), (), None))
    for message, words in ((before, "a share"), (after, "another share")):
        job_from_message(message)
        with pytest.raises(SmallerError, match=f"^{words}$"):
            STEPS["Narrow"](2.0)


def test_a_step_that_cannot_be_sent_says_so(outside: list[type], tiny_folder: str) -> None:
    job = Job(Recipe(tiny_folder, (outside[0](0.5),)), (), None)
    sys.modules["my_steps"].factor.__globals__["my_numbers"] = subprocess.Popen([sys.executable, "-c", ""])
    sys.modules["my_steps"].my_numbers.wait()
    with pytest.raises(SmallerError, match=r"The step Dwindle of my_steps cannot be sent .*SMALLER_WORKERS=1"):
        message_of(job)


def test_a_step_that_needs_what_is_not_there_says_so(outside: list[type], tiny_folder: str) -> None:
    message = message_of(Job(Recipe(tiny_folder, (outside[0](0.5),)), (), None))
    sys.modules.pop("my_numbers")
    (found,) = (Path(place) for place in sys.path if (Path(place) / "my_numbers.py").is_file())
    (found / "my_numbers.py").unlink()
    importlib.invalidate_caches()
    with pytest.raises(SmallerError, match=r"The step Dwindle cannot be made .*No module named 'my_numbers'"):
        job_from_message(message)
    sys.modules["my_numbers"] = sys.modules["my_steps"].my_numbers


def test_records_of_a_step_that_is_not_defined_here_are_passed_over(outside: list[type], tiny_folder: str) -> None:
    recipe = Recipe(tiny_folder, (outside[0](0.5),))
    study.run([recipe], workers=1, say=silent)
    assert len(results.read_all()) == 1
    kept = STEPS.pop("Dwindle")
    assert results.read_all() == []
    STEPS["Dwindle"] = kept
