"""Run one notebook: strict parameters, this interpreter, local sockets instead of ports, and always something kept."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from smaller.base import settings
from smaller.base.errors import SmallerError, in_one_line
from smaller.base.files import write_whole
from smaller.base.forks import Nursery
from smaller.base.paths import outputs_folder
from smaller.base.progress import Say, silent
from smaller.notebook import files, standing
from smaller.notebook.parameters import filled
from smaller.study.plans import SHOWN, Plan

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOTHING: Mapping = MappingProxyType({})


@dataclass(frozen=True)
class NotebookRun:
    """What became of a notebook: status 'done', 'failed', 'planned' or 'stands', and the last line of its error.

    `parameters` are all that it ran with; of a planned one, `plan` is what it would do, None where it does not say.
    What `stands` was not run again: see `standing`.
    """

    name: str
    status: str
    seconds: float = 0.0
    error: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)
    plan: Plan | None = None


def run_notebook(
    path: Path,
    parameters: Mapping[str, object] = NOTHING,
    *,
    profile_name: str = "",
    environment: Mapping[str, str] = NOTHING,
    nursery: Nursery | None = None,
    progress: Say = silent,
) -> NotebookRun:
    """Run one notebook with papermill in this interpreter's kernel, over local sockets, and keep what it became.

    Parameters are held against the notebook's file before a kernel starts (SmallerError). The executed notebook, also
    of a failed run, is written to `outputs/notebooks/<name>.ipynb`; lines that the notebook writes to standard error,
    such as its progress, are passed on to `progress`. `environment` holds variables of the kernel, which a `nursery`
    forks where there is one.
    """
    import nbformat

    path = Path(path)
    values = filled(path, parameters, where=f"the parameters for {path.name}")
    started, made_of = time.monotonic(), standing.made_of(path, values)
    executed, error = _execute(
        files.read(path), parameters, path.parent, environment=environment, nursery=nursery, progress=progress
    )
    seconds = time.monotonic() - started
    status = "failed" if error else "done"
    executed.metadata["smaller"] = {
        "status": status,
        "error": error,
        "seconds": round(seconds, 1),
        "profile": profile_name,
        "sample": _is_sample(values),
        "rehearsal": bool(settings.rehearsed_updates()),
        "provenance": provenance(),
        "made_of": made_of,
    } | standing.records()
    write_whole(outputs_folder() / "notebooks" / path.name, nbformat.writes(executed))
    return NotebookRun(path.stem, status, seconds, error, values)


def plan_notebook(
    path: Path, parameters: Mapping[str, object] = NOTHING, *, nursery: Nursery | None = None
) -> NotebookRun:
    """Run a notebook through its cell tagged `plan`, which says what is to do; nothing is trained and nothing kept."""
    path = Path(path)
    values = filled(path, parameters, where=f"the parameters for {path.name}")
    notebook = files.read(path)
    last = next((n for n, cell in enumerate(notebook.cells) if "plan" in cell.metadata.get("tags", [])), None)
    if last is None:
        return NotebookRun(path.stem, "planned", parameters=values)
    del notebook.cells[last + 1 :]
    started = time.monotonic()
    executed, error = _execute(notebook, parameters, path.parent, nursery=nursery)
    status = "failed" if error else "planned"
    return NotebookRun(path.stem, status, time.monotonic() - started, error, values, plan=plan_of(executed))


def plan_of(executed: NotebookNode) -> Plan | None:
    """What an executed notebook said, before it began, that there is to do."""
    said = [output.get("data", {}).get(SHOWN) for cell in executed.cells for output in cell.get("outputs", [])]
    return next((Plan(**found) for found in said if found), None)


def provenance() -> dict[str, str]:
    """Date, versions, commit and device, as the foot of a page prints them."""
    from smaller.study import results

    about = results.provenance_of_process()
    date = results.now()[:16].replace("T", " ") + " UTC"
    facts = {"date": date, "Python": about["python"], "smaller": about["package"], "commit": about["commit"]}
    return facts | about["libraries"] | {"device": about["device"]}


def _is_sample(values: Mapping[str, object]) -> bool:
    """Whether any parameter chooses the embedded sample: its data set or one of its encoders."""
    flat = [item for value in values.values() for item in (value if isinstance(value, list) else [value])]
    return any(isinstance(item, str) and (item == "sample" or item.startswith("sample-")) for item in flat)


def _execute(
    notebook: NotebookNode,
    parameters: Mapping[str, object],
    folder: Path,
    *,
    environment: Mapping[str, str] = NOTHING,
    nursery: Nursery | None = None,
    progress: Say = silent,
) -> tuple[NotebookNode, str]:
    """The notebook as far as it ran in `folder`, and the error that it ended with, or the empty string."""
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    reached, error = 0, ""

    def on_cell_start(cell: object, cell_index: int) -> None:
        nonlocal reached
        reached = cell_index + 1

    with tempfile.TemporaryDirectory(prefix="smaller-") as temporary:
        output, socket = Path(temporary) / "run.ipynb", f"{temporary}/socket"
        if len(socket.encode()) > 90:
            raise SmallerError(
                f"The folder for temporary files, {temporary}, has too long a path; set TMPDIR to another."
            )
        connection = {"transport": "ipc" if os.name == "posix" else "tcp", "connection_file": f"{socket}.json"}
        connection |= {"ip": socket} if os.name == "posix" else {}
        try:
            papermill.execute_notebook(
                notebook,
                output,
                parameters=dict(parameters),
                cwd=folder.resolve(),
                progress_bar=False,
                stderr_file=_Lines(progress),
                kernel_manager_class=_kernel_manager(environment, nursery),
                config=Config(KernelManager=connection),
                on_cell_start=on_cell_start,
                skip_cells_with_tag="explore",
            )
        except PapermillExecutionError as problem:
            error = problem.evalue if problem.ename == "SmallerError" else f"{problem.ename}: {problem.evalue}".strip()
        except DeadKernelError:
            error = (
                f"The kernel died in cell {reached}, most likely because the machine ran out of memory. Finished runs "
                "are kept: try again with fewer languages, a smaller batch or a smaller encoder."
            )
        except Exception as problem:  # a kernel that does not start, say; the other notebooks do not hang on it
            error = in_one_line(problem)
        return files.read(output) if output.exists() else notebook, error


def _kernel_manager(environment: Mapping[str, str], nursery: Nursery | None) -> type:
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_client.provisioning import LocalProvisioner

    class ForkedProvisioner(LocalProvisioner):
        """Has the nursery fork the kernel; without one it starts from nothing."""

        async def launch_kernel(self, cmd: list[str], **options: object) -> dict:
            if nursery:
                variables = options["env"] | {"JPY_PARENT_PID": str(nursery.pid)}
                self.process = nursery.start(cmd, env=variables, cwd=os.getcwd())
            if not self.process:
                return await super().launch_kernel(cmd, **options)
            self.pid = self.pgid = self.process.pid
            return self.connection_info

    class InterpreterKernelManager(AsyncKernelManager):
        """Starts this very interpreter, whatever kernels are installed under the name python3."""

        @property
        def kernel_spec(self) -> KernelSpec:
            # A kernel that is ended while it answers a message logs an interrupt as an error: what a cell raises is
            # told by its outputs.
            quiet = "--IPKernelApp.log_level=CRITICAL"
            command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", quiet]
            return KernelSpec(argv=command, display_name="Python 3", language="python", env=dict(environment))

        async def _async_pre_start_kernel(self, **options: object) -> tuple:
            self.provisioner = ForkedProvisioner(kernel_spec=self.kernel_spec, parent=self)
            return await super()._async_pre_start_kernel(**options)

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
