"""Kernels, and their workers, that are forked: from one process that has imported everything; none outlives it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nbformat
import psutil
import pytest
from test_runner import write

from smaller.base import forks, settings
from smaller.notebook import kernels
from smaller.notebook.runner import run_notebook

pytestmark = pytest.mark.skipif(not forks.can_fork(), reason="kernels are not forked here")


IMPORTED = kernels.IMPORTED
"""As a study has it, and not the tests."""


@pytest.fixture(scope="module")
def nursery():
    # The tests' own MPLBACKEND is nobody else's.
    with pytest.MonkeyPatch.context() as patch, settings.changed(MPLBACKEND=None):
        patch.setattr(kernels, "IMPORTED", IMPORTED)
        with kernels.nursery({"SMALLER_WORKERS": "7"}) as found:
            yield found


def printed(outputs: Path, name: str) -> list[str]:
    cells = nbformat.read(outputs / "notebooks" / f"{name}.ipynb", as_version=4).cells
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in cells if cell.cell_type == "code"]


LOOK = (
    "import json, os, sys, smaller\n"
    "imported, left = 'smaller.study' in sys.modules, hasattr(smaller, 'left')\n"
    "print(json.dumps([os.getppid(), os.environ['JPY_PARENT_PID'], os.getpid() == os.getpgid(0), imported, left,\n"
    "                  os.environ['SMALLER_WORKERS'], os.getcwd(), os.getcwd() in sys.path]))\n"
    "smaller.left = 'behind'"
)


def test_each_kernel_is_a_fresh_process_in_which_everything_is_imported(outputs, tmp_path, nursery):
    for name in ("00_a", "01_b"):
        path = write(tmp_path / "a b" / f"{name}.ipynb", LOOK)
        assert run_notebook(path, nursery=nursery).error == ""
        nursed = [nursery.pid, str(nursery.pid)]
        assert json.loads(printed(outputs, name)[1]) == [*nursed, True, True, False, "7", str(path.parent), False]


def test_a_kernel_that_dies_is_told_and_the_next_one_starts(outputs, tmp_path, nursery):
    dies = write(tmp_path / "00_a.ipynb", "import os", "os.kill(os.getpid(), 9)")
    assert "kernel died in cell 4" in run_notebook(dies, nursery=nursery).error
    assert run_notebook(write(tmp_path / "01_b.ipynb", "1"), nursery=nursery).status == "done"


def test_figures_are_drawn_as_in_any_kernel(outputs, tmp_path, nursery):
    drawn = write(tmp_path / "00_a.ipynb", "import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
    assert run_notebook(drawn, nursery=nursery).error == ""
    (output,) = nbformat.read(outputs / "notebooks" / "00_a.ipynb", as_version=4).cells[2].outputs
    assert "image/png" in output.data


def test_without_a_nursery_a_kernel_starts_from_nothing(outputs, tmp_path):
    with kernels.nursery({}) as gone:
        os.kill(gone.pid, 9)
        run = run_notebook(write(tmp_path / "00_a.ipynb", "import os\nprint(os.getppid())"), nursery=gone)
    assert run.error == "" and printed(outputs, "00_a")[1] == f"{os.getpid()}\n"


def test_a_nursery_ends_with_its_kernel_when_it_is_closed(tmp_path):
    with kernels.nursery({}) as own:
        command = ["python", "-m", "timeit", "-n", "1", "-r", "1", "-s", "import time", "time.sleep(600)"]
        kernel = psutil.Process(own.start(command, env={}, cwd=str(tmp_path)).pid)
        assert kernel.is_running()
        nursery = psutil.Process(own.pid)
    assert psutil.wait_procs([kernel, nursery], timeout=30)[1] == []


WORKER = (
    "import json, os, psutil\nfrom smaller.base import forks\nfrom smaller.study.engines.local import Worker\n"
    "with forks.nursery((), {}) as nursery:\n    worker = Worker(threads=1, nursery=nursery)\n"
    "print(json.dumps([os.getppid(), psutil.Process(worker.process.pid).ppid()]))\n"
    "worker.jobs.close()\nprint(worker.process.wait())\nworker.close()"
)


def test_workers_of_a_kernel_are_forked_as_it_was(outputs, tmp_path, nursery):
    run = run_notebook(write(tmp_path / "00_a.ipynb", WORKER), nursery=nursery)
    assert run.error == "" and printed(outputs, "00_a")[1] == f"[{nursery.pid}, {nursery.pid}]\n0\n"


SLEEPS = ["", "-m", "timeit", "import time; time.sleep(600)"]
ASKS = f"from smaller.base import forks; forks.own.start({SLEEPS}, env={{}}, cwd='/')"


def test_what_was_forked_for_a_process_ends_with_it(tmp_path):
    with kernels.nursery({}) as own:
        asks = own.start([*SLEEPS[:3], "-s", ASKS, SLEEPS[3]], env={}, cwd=str(tmp_path))
        while len(both := psutil.Process(own.pid).children()) < 2:
            assert asks.poll(0.01) is None
        asks.kill()
        assert psutil.wait_procs(both, timeout=30)[1] == [] and asks.wait() == -9
        assert own.start([*SLEEPS[:3], "-n", "1", "0"], env={}, cwd=str(tmp_path)).wait() == 0


def test_where_a_nursery_is_killed_nothing_is_left_of_it(tmp_path):
    with kernels.nursery({}) as own:
        left = own.start(SLEEPS, env={}, cwd=str(tmp_path))
        process = psutil.Process(left.pid)
        os.kill(own.pid, 9)
        assert left.wait() == -9 and psutil.wait_procs([process], timeout=30)[1] == []


def test_where_a_gpu_is_nothing_is_forked(tmp_path, monkeypatch):
    monkeypatch.setattr(forks, "GPU", (str(tmp_path),))
    with kernels.nursery({}) as found:
        assert found is None
