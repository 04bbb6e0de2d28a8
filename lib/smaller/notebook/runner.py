"""Run one notebook: strict parameters, this interpreter, local sockets instead of ports, and always something kept."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from smaller.base.errors import SmallerError, in_one_line
from smaller.base.paths import outputs_folder, project_root
from smaller.base.progress import Say, silent
from smaller.notebook import files
from smaller.notebook.parameters import declared, validate

if TYPE_CHECKING:
    from nbformat import NotebookNode

PLANNED = "Planned: "
"""How the error begins with which a notebook ends that was only to be planned."""

PACKAGES = ("smaller", "torch", "transformers", "numpy", "pandas", "matplotlib")


@dataclass(frozen=True)
class NotebookRun:
    """What became of a notebook: status 'done', 'failed' or 'planned', and the last line of its error.

    Of a planned one, `work` says what it would do.
    """

    name: str
    status: str
    seconds: float = 0.0
    error: str = ""
    parameters: Mapping[str, object] = dataclasses.field(default_factory=dict)
    work: str = ""


def run_notebook(
    path: Path,
    parameters: Mapping[str, object] | None = None,
    *,
    output: Path | None = None,
    profile_name: str = "",
    progress: Say = silent,
) -> NotebookRun:
    """Run one notebook with papermill in this interpreter's kernel, over local sockets, and keep what it became.

    Parameters are held against the notebook's file before a kernel starts (SmallerError). The executed notebook, also
    of a failed run, is written to `output` (`outputs/notebooks/<name>.ipynb`); lines that the notebook writes to
    standard error, such as its progress, are passed on to `progress`.
    """
    path = Path(path)
    known = declared(path)
    given = validate(parameters or {}, known, where=f"the parameters for {path.name}")
    output = output or outputs_folder() / "notebooks" / path.name
    output.parent.mkdir(parents=True, exist_ok=True)
    notebook = files.read(path)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="smaller-") as folder:
        unfinished = Path(folder) / "run.ipynb"
        error = _execute(notebook, given, unfinished, folder=path.resolve().parent, progress=progress)
        executed = files.read(unfinished) if unfinished.exists() else notebook
    seconds = time.monotonic() - started
    values = {name: parameter.default for name, parameter in known.items()} | given
    executed.metadata["smaller"] = {
        "status": "failed" if error else "done",
        "error": error,
        "seconds": round(seconds, 1),
        "profile": profile_name,
        "sample": _is_sample(values),
        "provenance": provenance(),
    }
    write_whole(output, files.as_text(executed))
    return NotebookRun(path.stem, "failed" if error else "done", seconds, error, given)


def plan_notebook(path: Path, parameters: Mapping[str, object] | None = None) -> NotebookRun:
    """Run a notebook up to its `preview`, which says what is to do; nothing is trained and nothing kept."""
    path = Path(path)
    known = declared(path)
    given = validate(parameters or {}, known, where=f"the parameters for {path.name}")
    notebook = files.read(path)
    last = next((n for n, cell in enumerate(notebook.cells) if "preview(" in cell.source), None)
    if last is None:
        return NotebookRun(path.stem, "planned", parameters=given)
    del notebook.cells[last + 1 :]
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="smaller-") as folder:
        output = Path(folder) / "plan.ipynb"
        error = _execute(notebook, given, output, folder=path.resolve().parent, progress=silent, plan=True)
    seconds = time.monotonic() - started
    if error and not error.startswith(PLANNED):
        return NotebookRun(path.stem, "failed", seconds, error, given)
    return NotebookRun(path.stem, "planned", seconds, parameters=given, work=error.removeprefix(PLANNED))


def provenance() -> dict[str, str]:
    """Versions, commit and date, as the foot of a page prints them."""
    facts = {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    command = ["git", "-C", str(project_root()), "rev-parse", "--short", "HEAD"]
    try:
        facts["commit"] = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        facts["commit"] = "unknown"
    return facts


def write_whole(path: Path, text: str) -> None:
    """Write a file so that nobody ever finds half of it."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=".", delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def _is_sample(values: Mapping[str, object]) -> bool:
    """Whether any parameter chooses the embedded sample: its data set or one of its encoders."""
    flat = [item for value in values.values() for item in (value if isinstance(value, list) else [value])]
    return any(isinstance(item, str) and (item == "sample" or item.startswith("sample-")) for item in flat)


def _execute(
    notebook: NotebookNode,
    parameters: Mapping[str, object],
    output: Path,
    *,
    folder: Path,
    progress: Say,
    plan: bool = False,
) -> str:
    """Run a notebook into `output`; the error it ended with, or the empty string."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    socket = str(output.with_name("socket"))
    if len(socket.encode()) > 90:
        raise SmallerError(
            f"The folder for temporary files, {output.parent}, has too long a path; set TMPDIR to another."
        )
    connection = {"transport": "ipc" if os.name == "posix" else "tcp", "connection_file": f"{socket}.json"}
    connection |= {"ip": socket} if os.name == "posix" else {}
    reached = 0

    def on_cell_start(cell: object, cell_index: int) -> None:
        nonlocal reached
        reached = cell_index + 1

    try:
        papermill.execute_notebook(
            notebook,
            output,
            parameters=dict(parameters),
            cwd=folder,
            progress_bar=False,
            stderr_file=_Lines(progress),
            kernel_manager_class=_kernel_manager(plan=plan),
            config=Config(KernelManager=connection),
            on_cell_start=on_cell_start,
        )
    except PapermillExecutionError as error:
        return error.evalue if error.ename == "SmallerError" else f"{error.ename}: {error.evalue}".strip()
    except DeadKernelError:
        return (
            f"The kernel died in cell {reached}, most likely because the machine ran out of memory. Finished runs are "
            "kept: try again with fewer languages, a smaller batch or a smaller encoder."
        )
    except Exception as error:  # a kernel that does not start, say; the other notebooks do not hang on it
        return in_one_line(error)
    return ""


@functools.cache
def _kernel_manager(*, plan: bool) -> type:
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    environment = {"SMALLER_PLAN": "1"} if plan else {}

    class InterpreterKernelManager(AsyncKernelManager):
        """Starts this very interpreter, whatever kernels are installed under the name python3."""

        @property
        def kernel_spec(self) -> KernelSpec:
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            return KernelSpec(argv=command, display_name="Python 3", language="python", env=environment)

    return InterpreterKernelManager


class _Lines:
    """A file that passes on whole lines."""

    def __init__(self, say: Say) -> None:
        self.say = say

    def write(self, text: str) -> None:
        for line in text.splitlines():
            if line.strip():
                self.say(line.strip())

    def flush(self) -> None:
        """Nothing is held back."""
