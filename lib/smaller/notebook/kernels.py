"""Kernels for notebooks, forked from a process that has imported what notebooks use, so that none imports it again.

Each notebook still has a process of its own, in which nobody has worked before.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from smaller.base import settings

IMPORTED = (
    "ipykernel.ipkernel",
    "smaller.notebook.beginning",
    "smaller.notebook.extreme",
    "smaller.notebook.trying",
    "smaller.analysis.figures",
    "smaller.analysis.findings.claims",
    "smaller.analysis.findings.summary",
)
"""Not ipykernel.kernelapp: at its import it reads whose child it is."""

GPU = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Where one of these is, kernels start from nothing: imports may wake the driver, which does not survive a fork."""

TOLD = struct.Struct("ii")
"""What a nursery tells of a kernel: the number of its process, and how it ended, or RUNNING."""
RUNNING = 256


def can_fork() -> bool:
    """Whether a process that has imported everything may be forked here: on Linux, and where no GPU is."""
    return sys.platform == "linux" and not any(Path(place).exists() for place in GPU)


class Nursery:
    """A process that imports, from now on, what notebooks use, and forks a kernel when it is asked for one.

    One kernel at a time. It ends, with its kernel, when this process does or closes it.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), *IMPORTED],
                stdin=subprocess.DEVNULL,
                env=settings.of_kernel(environment),
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is the study's, which ends its kernels
            )

    def start(self, command: list[str], **options: object) -> Forked | None:
        """A kernel by the command that would start one (python -m module ...); None where the nursery is gone."""
        try:
            self.socket.sendall(json.dumps([command[2:], options]).encode() + b"\n")
            ended = 0
            while ended != RUNNING:  # nobody may have asked how the last one ended
                pid, ended = TOLD.unpack(self.socket.recv(TOLD.size))
        except (OSError, struct.error):
            return None
        return Forked(self.socket, pid)

    def close(self) -> None:
        """End it, and a kernel that is left."""
        self.socket.close()
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:  # it is importing still
            self.process.kill()
            self.process.wait()


class Forked:
    """A kernel's process, with the manners of `subprocess.Popen` as far as its manager asks for them."""

    stdin = stdout = stderr = None

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self.connection, self.pid, self.returncode = connection, pid, None

    def poll(self, seconds: float | None = 0) -> int | None:
        """How it ended, as Popen says it; None as long as it runs."""
        if self.returncode is None and select.select([self.connection], [], [], seconds)[0]:
            said = self.connection.recv(TOLD.size)
            self.returncode = TOLD.unpack(said)[1] if said else -signal.SIGKILL
        return self.returncode

    def wait(self) -> int:
        """How it ended, when it has."""
        return self.poll(None)

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it is there."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def nursery(environment: Mapping[str, str]) -> Iterator[Nursery | None]:
    """A nursery whose kernels have further variables; None where processes cannot be forked."""
    if not can_fork():
        yield None
        return
    with contextlib.closing(Nursery(environment)) as found:
        yield found


def main(connection: socket.socket, modules: Sequence[str]) -> None:
    """Import, then fork for each request, and tell how each kernel ended; the end of requests ends everything."""
    requests = connection.makefile("rb")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in modules:
            with contextlib.suppress(Exception):  # the notebook that needs it says what is wrong
                importlib.import_module(name)
    gc.freeze()
    for request in requests:
        pid = os.fork()
        if not pid:
            requests.close()
            connection.close()
            return _become(*json.loads(request))
        with contextlib.suppress(OSError):  # whoever of the two comes first
            os.setpgid(pid, pid)
        connection.sendall(TOLD.pack(pid, RUNNING))
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            if select.select([connection], [], [], 0.05)[0]:
                os.killpg(pid, signal.SIGKILL)
                return None
        connection.sendall(TOLD.pack(pid, os.waitstatus_to_exitcode(ended[1])))
    return None


def _become(command: list[str], options: dict) -> None:
    """Go on as the module of a command, in a group of processes of its own."""
    os.setpgid(0, 0)
    os.chdir(options["cwd"])
    sys.argv[1:] = command[1:]
    with settings.changed(**options["env"] | {"JPY_PARENT_PID": str(os.getppid())}):
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
