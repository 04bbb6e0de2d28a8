"""Packages whose modules are imported once somebody asks for a name in one: names are checked before PyTorch comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module


def on_demand(
    package: str, modules: Mapping[str, str]
) -> tuple[list[str], Callable[[str], object], Callable[[], list[str]]]:
    """What a package sets `__all__`, `__getattr__` and `__dir__` to: the names that it offers, by the module of each.

    A module is one of the package's own, or of another room where it is named in full.
    """
    places = {name: module for module, names in modules.items() for name in names.split()}

    def get(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(module if "." in (module := places[name]) else f"{package}.{module}"), name)

    return list(places), get, lambda: list(places)
