"""How far a study is: which of its notebooks are done, which one runs, and how long the others should take."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from smaller.base.paths import outputs_folder
from smaller.base.progress import duration
from smaller.base.words import count_of
from smaller.data.languages import name_of
from smaller.notebook.runner import NotebookRun

REPEATED = 5.0
"""Seconds of a notebook whose recipes all have records, before one shows how many they are here."""

FEW = 7
"""From so many languages on they are counted and not named."""


def index_file() -> Path:
    """The page that a reader opens first."""
    return outputs_folder() / "report" / "index.html"


def _about(seconds: float | None) -> str:
    return "" if seconds is None else f"about {duration(5 * math.ceil(seconds / 5))}"


def _now() -> str:
    return datetime.now().strftime("%Y-%m-%d %H:%M")


@dataclass(frozen=True)
class Course:
    """A study at one moment, in local time: `runs` have ended, and of those left the first runs now, unless `stopped`.

    `titles` are those of its notebooks by name, in order; `minutes` is what the profile says that each takes, where it
    says so; `repeated` were done before, so that records should be there, and `standing` ones do not run.
    """

    profile: str
    titles: Mapping[str, str]
    minutes: Mapping[str, float] = field(default_factory=dict)
    repeated: frozenset[str] = frozenset()
    standing: frozenset[str] = frozenset()
    runs: Sequence[NotebookRun] = ()
    stopped: bool = False
    time: str = field(default_factory=_now)

    def later(self, **changes: object) -> Course:
        """The study now, where something has changed."""
        return replace(self, time=_now(), **changes)

    @property
    def left(self) -> dict[str, float | None]:
        """The notebooks that have not ended, and seconds for each; None where nothing shows how long it takes."""
        done = {run.name: run.seconds for run in self.runs if run.status == "done"}
        ended = {run.name for run in self.runs}
        return {name: self._seconds(name, done) for name in self.titles if name not in ended}

    def _seconds(self, name: str, done: Mapping[str, float]) -> float | None:
        """By what is foretold of a notebook, times how much longer those of its kind took than was foretold of them."""
        if name in self.standing:
            return 0.0
        kind = [other for other in done if (other in self.repeated) == (name in self.repeated)]
        told = sum(self._foretold(other) for other in kind)
        if not told:
            return self._foretold(name) if name in self.repeated or self.minutes else None
        return self._foretold(name) * sum(done[other] for other in kind) / told

    def _foretold(self, name: str) -> float:
        return REPEATED if name in self.repeated else 60.0 * self.minutes.get(name, 1.0)

    @property
    def about(self) -> str:
        """How long all that is left should take, in words; empty where that is not known."""
        seconds = self.left.values()
        return "" if None in seconds else _about(sum(seconds))

    @property
    def share(self) -> float:
        """The share of the study that is done: of its time where that is known, else of its notebooks."""
        done, left = sum(run.seconds for run in self.runs), self.left.values()
        if None in left or not done:
            return len(self.runs) / len(self.titles)
        return done / (done + sum(left))

    def rows(self) -> Iterator[tuple[str, str, str, str, str]]:
        """Name, title, state (done, failed, runs or left), time in words and error of each notebook, in order."""
        for run in self.runs:
            yield run.name, self.titles[run.name], run.status, duration(run.seconds), run.error
        for number, (name, seconds) in enumerate(self.left.items()):
            state = "runs" if number == 0 and not self.stopped else "left"
            yield name, self.titles[name], state, _about(seconds), ""

    def announcement(self, languages: Sequence[str], place: object) -> Iterator[str]:
        """What a study says before it begins, in three lines."""
        several = ", ".join(map(name_of, languages)) if len(languages) < FEW else count_of(len(languages), "language")
        takes = f"{self.about} on two cores" if self.about else "how long it takes shows when a notebook is done"
        takes = "nothing changed since they ran, so none runs" if self.standing == set(self.titles) else takes
        yield f"study: profile {self.profile}, {count_of(len(self.titles), 'notebook')} in {several}; {takes}"
        yield f"report: {place}, from now on, renewed whenever a notebook ends"
        yield "more: make lab opens the notebooks; make study PROFILE=mini takes real data"
