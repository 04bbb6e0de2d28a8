"""The engines of a study: the same jobs in this process, in processes beside it, or on a cluster of machines."""

from __future__ import annotations

import functools
import importlib.util
from typing import TYPE_CHECKING

from smaller.base import settings
from smaller.base.checks import require_one_of
from smaller.base.errors import SmallerError

if TYPE_CHECKING:
    from smaller.study.engines.base import Engine

ENGINES = ("local", "ray")
"""`local`: this machine. `ray`: a Ray cluster, which is started here unless the address of a running one is given."""


def engine(name: str | None = None, *, address: str | None = None) -> Engine:
    """The engine of that name (default: `SMALLER_ENGINE`, or local), and for ray the cluster's address.

    The address (default: `SMALLER_RAY_ADDRESS`) is HOST:PORT, or auto for the cluster that runs on this machine;
    without one a cluster of this machine alone is started. Raises SmallerError as `require_engine` does.
    """
    name, address = require_engine(name, address=address)
    from smaller.study import cache
    from smaller.study.engines import local, ray_cluster

    # What was trained on a cluster, and is asked for here, comes from there, until another engine is asked for.
    cache.bring_from(functools.partial(ray_cluster.bring, address=address) if address else None)
    if name == "local":
        return local.run
    return functools.partial(ray_cluster.run, address=address)


def require_engine(name: str | None = None, *, address: str | None = None) -> tuple[str, str | None]:
    """The name and the address of `engine`, which is not imported yet.

    Raises SmallerError for an unknown engine, for one that is not installed, and for an address that is of no use.
    """
    usual, usual_address = settings.engine()
    name = name or usual or "local"
    require_one_of(name, ENGINES, "There is no engine {!r}; there are {}.")
    if name == "local":
        if address:
            raise SmallerError(
                f"The address {address} is that of a Ray cluster, which takes the engine ray (--engine ray)."
            )
        return name, None
    if importlib.util.find_spec("ray") is None:
        raise SmallerError(
            "The engine ray needs Ray, which is not installed here: pip install -e '.[cluster]', on "
            "each machine of the cluster."
        )
    address = address or usual_address or None
    if address and "://" in address:
        raise SmallerError(
            f"The address of a Ray cluster is HOST:PORT, or auto; it is {address}. A study runs on a "
            "machine of its cluster (`ray start --address=HOST:PORT` makes it one)."
        )
    return name, address
