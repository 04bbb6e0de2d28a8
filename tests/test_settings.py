"""Settings of the environment: what they mean, what makes no sense, and that what was changed is as it was."""

from __future__ import annotations

import os

import pytest

from smaller.base import settings
from smaller.base.errors import SmallerError
from smaller.base.settings import changed


@pytest.mark.parametrize(("value", "expected"), [(None, False), ("", False), ("0", False), ("1", True), (" yes", True)])
def test_offline(value: str | None, expected: bool) -> None:
    with changed(HF_HUB_OFFLINE=value):
        assert settings.offline() == expected
        settings.go_offline()
        assert settings.offline() == (expected or value is None), "who has said something is left alone"


@pytest.mark.parametrize("asked", [0, -1, 1.5, "2"])
def test_number_of_workers(asked: object) -> None:
    with pytest.raises(SmallerError, match="workers is a number of processes, at least 1"):
        settings.workers(asked)


@pytest.mark.parametrize("value", ["two", "0", "-3"])
def test_number_of_workers_in_the_environment(value: str) -> None:
    with changed(SMALLER_WORKERS=value):
        with pytest.raises(SmallerError, match="workers is a number of processes, at least 1"):
            settings.workers()
        assert settings.workers(3) == 3
    with changed(SMALLER_WORKERS="4"):
        assert settings.workers() == 4
    with changed(SMALLER_WORKERS=None):
        assert settings.workers() is None


def test_an_engine_is_found_again_in_another_process() -> None:
    assert settings.with_engine("", "") == {}
    with changed(SMALLER_ENGINE=None, SMALLER_RAY_ADDRESS=None):
        assert settings.engine() == ("", "")
        with changed(**settings.with_engine("ray", "10.0.0.1:6379")):
            assert settings.engine() == ("ray", "10.0.0.1:6379")


@pytest.mark.parametrize(("value", "expected"), [(None, 20e9), ("", 20e9), ("0", 0), ("1.5", 1.5e9)])
def test_limit_of_the_cache(value: str | None, expected: float) -> None:
    with changed(SMALLER_CACHE_GB=value):
        assert settings.cache_bytes() == expected


@pytest.mark.parametrize("value", ["much", "-1", "nan", "20 GB"])
def test_limit_that_is_no_number(value: str) -> None:
    with changed(SMALLER_CACHE_GB=value), pytest.raises(SmallerError, match="SMALLER_CACHE_GB is a number of"):
        settings.cache_bytes()


@pytest.mark.parametrize(
    ("kind", "value"), [("GPUS", "half"), ("GPUS", "1.5"), ("GPUS", "-1"), ("CPUS", "0"), ("GPUS", "inf")]
)
def test_share_that_makes_no_sense(kind: str, value: str) -> None:
    name = f"SMALLER_RAY_{kind}"
    with (
        changed(**{name: value}),
        pytest.raises(SmallerError, match=f"{name} is what each task takes: .* it is '{value}'"),
    ):
        settings.ray_share(kind, 1.0)


def test_share_of_a_task() -> None:
    with changed(SMALLER_RAY_GPUS="0.5", SMALLER_RAY_CPUS="2"):
        assert (settings.ray_share("GPUS", 1.0), settings.ray_share("CPUS", 1.0)) == (0.5, 2.0)
    with changed(SMALLER_RAY_GPUS=None):
        assert settings.ray_share("GPUS", 0.25) == 0.25


def test_threads_of_a_worker_are_its_own_unless_somebody_asked_for_others() -> None:
    with changed(OMP_NUM_THREADS="3", TOKENIZERS_PARALLELISM="true"):
        assert settings.threads() == 3
        found = settings.of_worker(threads=1)
        assert (found["OMP_NUM_THREADS"], found["TOKENIZERS_PARALLELISM"]) == ("3", "false")
    with changed(OMP_NUM_THREADS=None):
        assert settings.threads() == os.cpu_count() and settings.of_worker(threads=2)["OMP_NUM_THREADS"] == "2"


def test_ray_listens_on_loopback_alone_where_it_is_started_here() -> None:
    names = ("RAY_USAGE_STATS_ENABLED", "RAY_AUTH_MODE", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER")
    for alone, expected in ((True, ["0", "token", "0"]), (False, ["0", None, None])):
        with changed(**dict.fromkeys(names)):
            settings.before_ray(alone=alone)
            assert [os.environ.get(name) for name in names] == expected
    with changed(SMALLER_DATA="/data", SMALLER_CACHE="/cache"):
        assert settings.on_every_node()["SMALLER_DATA"] == "/data" and "SMALLER_CACHE" not in settings.on_every_node()


def test_what_was_changed_is_as_it_was() -> None:
    with changed(SMALLER_A="1", SMALLER_B=None):
        with pytest.raises(ZeroDivisionError), changed(SMALLER_A=None, SMALLER_B="2"):
            assert "SMALLER_A" not in os.environ and os.environ["SMALLER_B"] == "2"
            raise ZeroDivisionError
        assert os.environ["SMALLER_A"] == "1" and "SMALLER_B" not in os.environ
    assert "SMALLER_A" not in os.environ
