"""Processes that are forked from one that has imported what they use, so that none of them imports it again.

Each is a process of its own all the same, in which nobody has worked before.
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
import threading
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from smaller.base import settings

GPU = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Where one of these is, processes start from nothing: imports may wake the driver, which does not survive a fork."""

TOLD = struct.Struct("ii")
"""What is told of a process: its number, and how it ended, or RUNNING."""
RUNNING = 256


def can_fork() -> bool:
    """Whether a process that has imported everything may be forked here: on Linux, and where no GPU is."""
    return sys.platform == "linux" and not any(Path(place).exists() for place in GPU)


class Nursery:
    """A process that forks others when it is asked: by the one that started it, or by one that it has forked.

    What it forked for somebody ends when that process does, and all of it with the process that started the nursery.
    """

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self.connection, self.pid = connection, pid

    def start(
        self, command: Sequence[str], *, env: Mapping[str, str], cwd: str, files: Sequence[int] = ()
    ) -> Forked | None:
        """A process by the command that would start one (python -m module ...); None where the nursery is gone.

        It has further variables, and `files` for its standard input, output and error.
        """
        mine, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self.connection, [b"."], [theirs.fileno(), *files])
            mine.sendall(json.dumps([command[2:], dict(env), cwd]).encode() + b"\n")
            return Forked(mine, TOLD.unpack(mine.recv(TOLD.size))[0])
        except (OSError, struct.error):
            mine.close()
            return None


class Forked:
    """A process that a nursery forked, with the manners of `subprocess.Popen` as far as anybody here asks for them."""

    stdin = stdout = stderr = None

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self.connection, self.pid, self.returncode = connection, pid, None
        self.reading = threading.Lock()
        weakref.finalize(self, connection.close)

    def poll(self, seconds: float | None = 0) -> int | None:
        """How it ended, as Popen says it; None as long as it runs."""
        if self.returncode is None and select.select([self.connection], [], [], seconds)[0]:
            with self.reading:
                if self.returncode is None:
                    said = self.connection.recv(TOLD.size)
                    if not said:  # the nursery is gone, and so is who could tell of this one
                        with contextlib.suppress(OSError):
                            os.kill(self.pid, signal.SIGKILL)
                    self.returncode = TOLD.unpack(said)[1] if said else -signal.SIGKILL
        return self.returncode

    def wait(self, timeout: float | None = None) -> int | None:
        """How it ended, when it has; None where it has not after so many seconds."""
        return self.poll(timeout)

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


own: Nursery | None = None
"""The nursery that this process was forked by, which forks for it too."""


@contextlib.contextmanager
def nursery(modules: Sequence[str], environment: Mapping[str, str]) -> Iterator[Nursery | None]:
    """The nursery of this process, else one for a while that imports `modules`; None where processes cannot be forked.

    It imports from now on; who asks it meanwhile, waits.
    """
    if own or not can_fork():
        yield own
        return
    mine, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), *modules],
            stdin=subprocess.DEVNULL,
            env=environment,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # Ctrl-C is the study's, which ends what was forked for it
        )
    try:
        with mine:
            yield Nursery(mine, process.pid)
    finally:
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:  # it is importing still
            process.kill()
            process.wait()


def serve(connection: socket.socket, modules: Sequence[str]) -> None:
    """Import, then fork for each request, and tell how each process ended; the end of requests ends everything."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in modules:
            with contextlib.suppress(Exception):  # who needs it says what is wrong
                importlib.import_module(name)
    gc.freeze()
    askers, children = [connection], {}
    while True:
        for asker in select.select(askers, [], [], 0.05 if children else None)[0]:
            if files := socket.recv_fds(asker, 1, 4)[1]:
                ours, theirs = socket.socketpair()
                told = socket.socket(fileno=files[0])
                pid = os.fork()
                if not pid:
                    for other in (ours, *askers, *(known for known, _ in children.values())):
                        other.close()
                    return _become(told, files[1:], Nursery(theirs, os.getppid()))
                theirs.close()
                for file in files[1:]:
                    os.close(file)
                with contextlib.suppress(OSError):  # whoever of the two comes first
                    os.setpgid(pid, pid)
                askers.append(ours)
                children[pid] = told, asker
                _tell(told, pid, RUNNING)
                continue
            for pid, (_, parent) in children.items():
                if asker in (parent, connection):
                    os.killpg(pid, signal.SIGKILL)
            if asker is connection:
                return None
            askers.remove(asker)
            asker.close()
        while children and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            with children.pop(ended[0])[0] as told:
                _tell(told, ended[0], os.waitstatus_to_exitcode(ended[1]))


def _tell(told: socket.socket, pid: int, ended: int) -> None:
    with contextlib.suppress(OSError):  # nobody asks any more
        told.sendall(TOLD.pack(pid, ended))


def _become(told: socket.socket, files: Sequence[int], parent: Nursery) -> None:
    """Go on as the module of a command, in a group of processes of its own."""
    global own
    os.setpgid(0, 0)
    own = parent
    with told, told.makefile() as request:
        said = request.readline()
    if not said:  # who asked is gone
        return
    command, variables, folder = json.loads(said)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    sys.argv[1:] = command[1:]
    with settings.changed(**variables):
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    from smaller.base import forks  # by the name that others import, since it keeps what they look for

    forks.serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
