"""Trainings that end as by a kill, or that must not begin."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from smaller.study import checkpoints, training
from smaller.study.training import linear_decay


@contextlib.contextmanager
def killed_at(stop: int) -> Iterator[None]:
    """What trains inside ends before this update, with a checkpoint after nearly every update before."""

    def schedule(update: int, **options: int) -> float:
        if update == stop:
            raise KeyboardInterrupt
        return linear_decay(update, **options)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(checkpoints, "CHECKPOINT_SECONDS", 0.0)
        patch.setattr(training, "linear_decay", schedule)
        yield
