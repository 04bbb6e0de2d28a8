"""Progress: lines in plain text, and a remaining time that goes by work."""

from __future__ import annotations

import pytest
from jupyter_client.manager import start_new_kernel

from smaller.base.progress import Progress, attended, duration, silent


class Clock:
    """A clock that stands until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (8, "8 s"), (89, "89 s"), (90, "2 min"), (180, "3 min"), (89 * 60, "89 min"), (7800, "2 h 10 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_runs_of_equal_cost(clock: Clock) -> None:
    lines: list[str] = []
    runs = Progress(4, say=lines.append, clock=clock)
    for _ in range(4):
        clock.now += 10
        runs.advance(note="swa")
    assert lines == [
        "run 1 of 4, about 30 s left (swa)",
        "run 2 of 4, about 20 s left (swa)",
        "run 3 of 4, about 10 s left (swa)",
        "run 4 of 4, in 40 s (swa)",
    ]


def test_time_left_goes_by_work(clock: Clock) -> None:
    lines: list[str] = []
    runs = Progress(4, work=40, say=lines.append, clock=clock)
    clock.now += 90
    runs.advance(work=36)  # the training that all four share; the other three only score
    clock.now += 10
    runs.advance(2, work=2)
    assert lines == ["run 1 of 4, about 10 s left", "run 3 of 4, about 5 s left"]


def test_lines_keep_their_distance_and_the_last_is_always_said(clock: Clock) -> None:
    lines: list[str] = []
    runs = Progress(100, say=lines.append, interval=10, clock=clock)
    for _ in range(100):
        clock.now += 1
        runs.advance()
    assert len(lines) == 10
    assert lines[-1] == "run 100 of 100, in 2 min"


def test_runs_without_any_work_do_not_divide_by_zero(clock: Clock) -> None:
    lines: list[str] = []
    Progress(2, work=0, say=lines.append, interval=0, clock=clock).advance(work=0)
    assert lines == ["run 1 of 2, in 0 s"]


def test_plain_lines_go_to_standard_error(capsys: pytest.CaptureFixture) -> None:
    runs = Progress(1)
    runs.advance()
    runs.close()
    assert capsys.readouterr() == ("", "run 1 of 1, in 0 s\n")


def test_notebook_draws_a_bar_with_the_time_left_by_work(clock: Clock) -> None:
    runs = Progress(4, work=40, clock=clock, bar=True)
    clock.now += 60
    runs.advance(work=20, note="swa")
    try:
        assert runs.bar.n == 1
        assert "about 60 s left, swa" in str(runs.bar)
        assert "run/s" not in str(runs.bar)  # tqdm's own time left would take all runs for equal
    finally:
        runs.close()


def test_silence(capsys: pytest.CaptureFixture) -> None:
    runs = Progress(1, say=silent)
    runs.advance(note="unheard")
    runs.close()
    assert capsys.readouterr() == ("", "")


def test_a_client_that_answers_questions_is_attended_and_a_batch_run_is_not() -> None:
    """JupyterLab allows a cell to ask for input; papermill and nbconvert run the same cell without."""
    manager, client = start_new_kernel(kernel_name="python3")
    found = []
    try:
        for asks in (True, False):
            client.execute_interactive(
                "from smaller.base.progress import attended\nprint(attended())",
                allow_stdin=asks,
                timeout=60,
                output_hook=lambda message: found.append(message["content"].get("text")),
            )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert [text for text in found if text] == ["True\n", "False\n"]
    assert not attended()  # pytest is no notebook
