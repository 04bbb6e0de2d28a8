"""Settings from the environment: with `paths`, for folders, the only module that reads or changes it."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Mapping

from smaller.base.errors import SmallerError

ON_EVERY_NODE = ("SMALLER_DATA", "SMALLER_MODELS", "SMALLER_CACHE_GB")
"""What holds on every machine of a cluster as it does here; each has a cache and a results folder of its own.

So do the hub's variables, HF_*.
"""


def _value(name: str) -> str:
    return os.environ.get(name, "").strip()


def offline() -> bool:
    """Whether `HF_HUB_OFFLINE` forbids every request."""
    return _value("HF_HUB_OFFLINE").upper() in ("1", "ON", "YES", "TRUE")


def go_offline() -> None:
    """Forbid every request, unless somebody allowed them; before the hub's client is imported, which reads it once."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")


def mirror() -> str:
    """A mirror of the git host's raw files (`SMALLER_FETCH_URL`); empty for none."""
    return _value("SMALLER_FETCH_URL").rstrip("/")


def engine() -> tuple[str, str]:
    """The engine's name and the address of its cluster (`SMALLER_ENGINE`, `SMALLER_RAY_ADDRESS`); empty for none."""
    return _value("SMALLER_ENGINE"), _value("SMALLER_RAY_ADDRESS")


def with_engine(name: str, address: str) -> dict[str, str]:
    """The variables by which another process, such as a notebook's kernel, finds that engine."""
    named = {"SMALLER_ENGINE": name, "SMALLER_RAY_ADDRESS": address}
    return {variable: value for variable, value in named.items() if value}


def workers(asked: int | None = None) -> int | None:
    """The number of workers that was asked for, here or by `SMALLER_WORKERS`; None where nobody did."""
    setting = _value("SMALLER_WORKERS")
    if asked is None and setting:
        asked = int(setting) if setting.isdecimal() else setting
    if asked is not None and (not isinstance(asked, int) or asked < 1):
        raise SmallerError(f"workers is a number of processes, at least 1; it is {asked!r}.")
    return asked


def rehearsed_updates() -> int | None:
    """The most updates of each training in a rehearsal, which alone sets `SMALLER_REHEARSAL`; None in earnest.

    `paths` then gives other folders: what is trained hardly at all never lies beside results.
    """
    asked = _value("SMALLER_REHEARSAL")
    return int(asked) if asked.isdecimal() and int(asked) else None


def cards() -> list[str] | None:
    """The GPUs that `CUDA_VISIBLE_DEVICES` allows, each by number, UUID or MIG name; None where it says nothing.

    As the driver reads it: what stands after -1 does not count.
    """
    if "CUDA_VISIBLE_DEVICES" not in os.environ:
        return None
    named = [name.strip() for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",")]
    return list(itertools.takewhile(lambda name: name and name != "-1", named))


def before_deterministic() -> None:
    """What cuBLAS reads before its first product: with a workspace of its own it gives the same bits each time."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def threads() -> int:
    """The threads of a process's arithmetic: `OMP_NUM_THREADS`, or the processor's."""
    asked = _value("OMP_NUM_THREADS")
    return int(asked) if asked.isdecimal() else os.cpu_count() or 1


def cache_bytes() -> float:
    """The size limit of the cache (`SMALLER_CACHE_GB`, default 20)."""
    limit = _number("SMALLER_CACHE_GB", 20.0)
    if not limit >= 0:
        raise SmallerError(
            f"SMALLER_CACHE_GB is a number of gigabytes, at least 0; it is {_value('SMALLER_CACHE_GB')!r}."
        )
    return limit * 1e9


def ray_share(kind: str, default: float) -> float:
    """What a task takes of a node's "CPUS" or "GPUS" (`SMALLER_RAY_CPUS`, `SMALLER_RAY_GPUS`)."""
    name = f"SMALLER_RAY_{kind}"
    share = _number(name, default)
    if not (0 <= share < 1 or share.is_integer()) or share < 0 or (kind == "CPUS" and not share):
        raise SmallerError(
            f"{name} is what each task takes: a share below 1, or a whole number; it is {_value(name)!r}."
        )
    return share


def ray_patience() -> float:
    """The minutes after which a task that says nothing counts as lost (`SMALLER_RAY_MINUTES`, default 120)."""
    minutes = _number("SMALLER_RAY_MINUTES", 120.0)
    if not minutes > 0:
        raise SmallerError(f"SMALLER_RAY_MINUTES is a number of minutes; it is {_value('SMALLER_RAY_MINUTES')!r}.")
    return minutes


def _number(name: str, default: float) -> float:
    """A number, the default where there is none, or NaN for what is no number."""
    try:
        return float(_value(name) or default)
    except ValueError:
        return float("nan")


def before_ray(*, alone: bool) -> None:
    """What Ray reads when it is imported; a cluster that is started here `alone` is for this user on loopback."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if alone:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        # On every system: without clusters across machines, it listens on loopback alone.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


def on_every_node() -> dict[str, str]:
    """The variables of `ON_EVERY_NODE` that are set here, and those of the hub."""
    return {name: value for name, value in os.environ.items() if name in ON_EVERY_NODE or name.startswith("HF_")}


def of_worker(*, threads: int, card: str | None = None) -> dict[str, str]:
    """The environment of a worker process: so many threads, unless somebody asked for others, and one card."""
    own = {"TOKENIZERS_PARALLELISM": "false"} | ({} if card is None else {"CUDA_VISIBLE_DEVICES": card})
    return {"OMP_NUM_THREADS": str(threads)} | os.environ | own


def of_kernel(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a notebook's kernel with further variables; figures are drawn as ipykernel has them drawn."""
    return {"MPLBACKEND": "module://matplotlib_inline.backend_inline"} | os.environ | dict(environment)


@contextlib.contextmanager
def changed(**variables: str | None) -> Iterator[None]:
    """An environment with other values of some variables, none for None; afterwards it is as it was."""
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


def _set(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
