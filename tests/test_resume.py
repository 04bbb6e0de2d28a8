"""A study that is killed at any moment resumes; two at once do no harm to each other.

The studies run in children of one process that has everything imported (this file, run as a script): a start costs
milliseconds then, so that twenty kills fall into the work and not into the imports.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import pytest

KILLS = 20
UNEQUAL = ["milliseconds", "milliseconds_low", "milliseconds_high", "training_seconds", "scoring_seconds"]


# What runs in the process of its own


def recipes_of(encoder: str) -> list:
    from smaller.study.recipes import Recipe, pruning_grid
    from smaller.study.steps import FineTune, Pretrain, Prune

    # Two updates a training: the smallest study that has every kind of job.
    def tuning(seed: int) -> FineTune:
        return FineTune("masakhaner", "swa", seed=seed, epochs=1, batch_size=80, learning_rate=3e-3)

    pretraining = Pretrain(languages=("swa",), updates=2, batch_size=4)
    return [
        *pruning_grid(encoder, [tuning(seed) for seed in (1, 2)], [0.5]),
        *(Recipe(encoder, (pretraining, tuning(seed), Prune(0.5))) for seed in (1, 2)),
    ]


class Studies:
    """Starts studies of one encoder in forked children, each with its own outputs, cache and log of trainings."""

    def __init__(self, encoder: str, folder: Path) -> None:
        import torch

        from smaller.study.steps import FineTune, Pretrain

        torch.set_num_threads(1)  # a forked child must not inherit a pool of threads
        self.recipes, self.folder = recipes_of(encoder), folder
        for step in (FineTune, Pretrain):
            step.apply = self._logged(step.apply)

    def _logged(self, apply: Callable) -> Callable:
        def logged(step, *arguments: object, **options: object):
            made = apply(step, *arguments, **options)
            with Path(os.environ["SMALLER_OUTPUTS"], "trainings.log").open("a") as log:
                log.write("trained\n")
            return made

        return logged

    def start(self, name: str, *, workers: int = 1) -> int:
        """The process id of a child that runs the study; it leads a group of its own."""
        from smaller import study
        from smaller.base.progress import silent

        child = os.fork()
        if child:
            os.setpgid(child, child)  # whoever of the two comes first
            return child
        code = 1
        try:
            os.setpgid(0, 0)
            self.enter(name)
            study.run(self.recipes, workers=workers, say=silent)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def enter(self, name: str) -> Path:
        os.environ["SMALLER_OUTPUTS"] = str(self.folder / name / "out puts")
        os.environ["SMALLER_CACHE"] = str(self.folder / name / "ca che")
        return self.folder / name

    def records(self, name: str) -> dict[str, tuple[str, int]]:
        folder = self.folder / name / "out puts" / "results"
        return {path.name: (path.read_text(), path.stat().st_mtime_ns) for path in folder.glob("*.json")}

    def finish(self, child: int) -> None:
        assert os.waitpid(child, 0)[1] == 0, "a study failed; see above"

    def ends_within(self, child: int, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                assert status == 0, "a study failed; see above"
                return True
            time.sleep(0.002)
        return False

    def killed_twenty_times(self, *, undisturbed: float) -> dict:
        """Kill studies at random moments of their work until there were enough kills; then let the last one finish."""
        draw = random.Random(20)
        kills, rounds, changed = [], 0, 0
        while len(kills) < KILLS:
            rounds += 1
            name, seen, done = f"round {rounds}", {}, False
            while not done:
                child = self.start(name)
                if len(kills) == KILLS:
                    self.finish(child)
                    done = True
                else:
                    done = self.ends_within(child, draw.uniform(0, 0.4 * undisturbed))
                    if not done:
                        os.killpg(child, signal.SIGKILL)
                        os.waitpid(child, 0)
                now = self.records(name)
                if not done:
                    kills.append(len(now))
                changed += sum(now.get(record) != content for record, content in seen.items())
                seen = now
        return {"kills": kills, "rounds": rounds, "changed": changed}

    def two_at_once(self) -> None:
        for child in [self.start("two at once"), self.start("two at once")]:
            self.finish(child)

    def killed_with_workers(self) -> dict:
        """Kill a study with two workers: once the whole group, once the parent alone; then let it finish."""
        from smaller.base import forks

        name, survivors = "workers", 0
        for whole in (True, False):
            child = self.start(name, workers=2)
            before = len(self.records(name))
            while len(self.records(name)) <= before:
                assert os.waitpid(child, os.WNOHANG)[0] == 0, "it ended before it was killed"
                time.sleep(0.005)
            expected, until = 2 + forks.can_fork(), time.monotonic() + 20  # and what they are forked from
            while len(workers := psutil.Process(child).children(recursive=True)) != expected:
                assert time.monotonic() < until, [process.cmdline() for process in workers]
                time.sleep(0.005)  # one may still start, or git say which commit this is
            (os.killpg if whole else os.kill)(child, signal.SIGKILL)
            os.waitpid(child, 0)
            survivors += len(psutil.wait_procs(workers, timeout=20)[1])
        kept = self.records(name)
        self.finish(self.start(name, workers=2))
        now = self.records(name)
        changed = sum(now.get(record) != content for record, content in kept.items())
        return {"survivors": survivors, "changed": changed, "kept": len(kept)}


def main(encoder: str, folder: Path) -> None:
    from smaller import study  # noqa: F401  # what the children need is imported before they are forked

    studies = Studies(encoder, folder)
    studies.finish(studies.start("warm"))
    began = time.monotonic()
    studies.finish(studies.start("undisturbed"))
    undisturbed = time.monotonic() - began
    studies.two_at_once()
    answer = studies.killed_twenty_times(undisturbed=undisturbed) | {"undisturbed": undisturbed}
    sys.stdout.write(json.dumps(answer | {"workers": studies.killed_with_workers()}))


# The tests


@pytest.fixture(scope="module")
def ordeal(tiny_folder: str, few_real: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    """What the script saw, and the folders that it left."""
    folder = tmp_path_factory.mktemp("studies")
    script = subprocess.run(
        [sys.executable, __file__, tiny_folder, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "SMALLER_DATA": str(few_real)},
    )
    assert script.returncode == 0, script.stderr
    return json.loads(script.stdout), folder


@pytest.fixture
def table(ordeal: tuple, tiny_folder: str, few_real: Path, rooms: Callable[..., None]) -> Callable[[str], pd.DataFrame]:
    """The table of one of the studies, without what differs from run to run."""

    def read(name: str) -> pd.DataFrame:
        from smaller import study

        rooms(outputs=ordeal[1] / name / "out puts", data=few_real)
        return study.table(recipes_of(tiny_folder)).drop(columns=UNEQUAL)

    return read


def trainings(folder: Path) -> int:
    return len((folder / "out puts" / "trainings.log").read_text().splitlines())


def test_killed_twenty_times_it_resumes_to_the_same_table(ordeal: tuple, table: Callable) -> None:
    seen, _ = ordeal
    expected = table("undisturbed")
    assert len(expected) == 2 * 8
    assert len(seen["kills"]) == KILLS
    assert len(set(seen["kills"])) > 3, f"the kills did not fall into different moments: {seen['kills']}"
    for number in range(1, seen["rounds"] + 1):
        pd.testing.assert_frame_equal(table(f"round {number}"), expected, check_exact=True)


def test_finished_records_are_never_computed_again(ordeal: tuple) -> None:
    assert ordeal[0]["changed"] == 0


def test_killed_study_leaves_nothing_that_lasts(ordeal: tuple, rooms: Callable[..., None]) -> None:
    from smaller.study import cache

    for folder in ordeal[1].glob("round */ca che"):
        rooms(cache=folder)
        cache.trim()
        hidden = {place.name for place in cache.folder().iterdir() if place.name.startswith(".")}
        assert hidden == {".locks"}


def test_undisturbed_study_trains_each_prefix_once(ordeal: tuple) -> None:
    # Pre-training; and fine-tuning, with two seeds: dense, pruned before, and after pre-training.
    assert trainings(ordeal[1] / "undisturbed") == 1 + 3 * 2


def test_two_studies_at_once_share_the_work(ordeal: tuple, table: Callable) -> None:
    pd.testing.assert_frame_equal(table("two at once"), table("undisturbed"), check_exact=True)
    assert trainings(ordeal[1] / "two at once") == trainings(ordeal[1] / "undisturbed")
    left = {path.suffix for path in (ordeal[1] / "two at once" / "out puts" / "results").iterdir()}
    assert left == {".json"}


def test_study_with_workers_is_killed_and_resumes(ordeal: tuple, table: Callable) -> None:
    seen = ordeal[0]["workers"]
    assert seen["survivors"] == 0
    assert seen["kept"] > 0 and seen["changed"] == 0
    pd.testing.assert_frame_equal(table("workers"), table("undisturbed"), check_exact=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
