"""Where long work stands: a bar in JupyterLab, a line now and then everywhere else."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

Say = Callable[[str], None]


def silent(_: str) -> None:
    """A listener that hears nothing; the default of every long call in the library."""


def duration(seconds: float) -> str:
    """A length of time as people say it: "8 s", "3 min", "2 h 10 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class Progress:
    """Counts finished runs and says "run 17 of 60, about 22 min left", at most every `interval` seconds.

    In a notebook that a person looks at, a tqdm bar is drawn instead; a batch run and a pipe get plain lines, since
    a bar there becomes a thousand lines.
    """

    def __init__(self, total: int, *, say: Say | None = None, interval: float = 10.0) -> None:
        self.total, self.done, self.interval = total, 0, interval
        self.started = time.monotonic()
        self.last_said = self.started
        self.bar = _notebook_bar(total) if say is None else None
        self.say = say or _to_standard_error

    def advance(self, count: int = 1, *, note: str = "") -> None:
        """Report `count` more finished runs; `note` names the latest."""
        self.done += count
        if self.bar is not None:
            self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(count)
            return
        now = time.monotonic()
        if now - self.last_said >= self.interval or self.done >= self.total:
            self.last_said = now
            left = (now - self.started) / max(self.done, 1) * (self.total - self.done)
            tail = f"about {duration(left)} left" if self.done < self.total else f"in {duration(now - self.started)}"
            self.say(f"run {self.done} of {self.total}, {tail}" + (f" ({note})" if note else ""))

    def close(self) -> None:
        """Remove the bar, if there is one."""
        if self.bar is not None:
            self.bar.close()


def _to_standard_error(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _notebook_bar(total: int):
    if os.environ.get("SMALLER_BATCH") or "ipykernel" not in sys.modules:
        return None
    from tqdm.auto import tqdm

    return tqdm(total=total, unit="run")
