"""Where long work stands: a bar in JupyterLab, a line now and then everywhere else."""

from __future__ import annotations

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

    Runs differ in cost, so the time left goes by `work`: what all runs take together, in any unit, of which every
    `advance` names its part; without it each run counts the same. In a notebook that a person looks at, a tqdm `bar` is
    drawn instead (when None); a batch run and a pipe get plain lines, since a bar there becomes a thousand lines.
    """

    def __init__(
        self,
        total: int,
        *,
        work: float | None = None,
        say: Say | None = None,
        interval: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        bar: bool | None = None,
    ) -> None:
        self.total, self.done, self.interval, self.clock = total, 0, interval, clock
        self.work, self.worked = float(total if work is None else work), 0.0
        self.started = self.last_said = clock()
        wanted = say is None and attended() if bar is None else bar
        self.bar = _notebook_bar(total) if wanted else None
        self.say = say or _to_standard_error

    def advance(self, count: int = 1, *, work: float | None = None, note: str = "") -> None:
        """Report `count` more finished runs and the work that was in them; `note` names the latest."""
        self.done += count
        self.worked += count if work is None else work
        now = self.clock()
        elapsed = now - self.started
        if self.bar is not None:
            self.bar.set_postfix_str(", ".join(filter(None, (self._left(elapsed), note))), refresh=False)
            self.bar.update(count)
        elif now - self.last_said >= self.interval or self.done >= self.total:
            self.last_said = now
            tail = self._left(elapsed) or f"in {duration(elapsed)}"
            self.say(f"run {self.done} of {self.total}, {tail}" + (f" ({note})" if note else ""))

    def _left(self, elapsed: float) -> str:
        if self.done >= self.total or not self.worked:
            return ""
        return f"about {duration(elapsed * max(0.0, self.work / self.worked - 1))} left"

    def close(self) -> None:
        """Remove the bar, if there is one."""
        if self.bar is not None:
            self.bar.close()


def _to_standard_error(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def attended() -> bool:
    """Whether somebody may be looking: in a notebook whose client answers questions, which papermill's does not."""
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    return kernel is not None and bool(kernel.get_parent("shell").get("content", {}).get("allow_stdin"))


def _notebook_bar(total: int):
    from tqdm.auto import tqdm

    # Without tqdm's own time left, which takes all runs for equally long.
    return tqdm(total=total, unit="run", bar_format="{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]")
