"""Speed beside the plain way, against marks: ratios within one run, since seconds belong to a machine."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from smaller.base.checks import require_one_of
from smaller.base.errors import SmallerError
from smaller.encoders import finding

SECTIONS = {
    "finetune": "finetuning",
    "distil": "distillation",
    "deploy": "deployment",
    "trim": "trimming",
    "overhead": "overhead",
}
"""What is measured, in this order, and in which module: training, formats that one can deploy, trimming, engines."""


def section(name: str) -> ModuleType:
    """The module of a section."""
    return import_module(f"smaller.bench.{SECTIONS[name]}")


def bench(
    *,
    only: str | None = None,
    encoder: str | None = None,
    updates: int = 12,
    sections: Mapping[str, Any] | None = None,
    measure: Callable[..., dict] | None = None,
) -> Iterator[str]:
    """Measure all sections, or `only` one of them; yields lines: what was measured, then ratios beside their marks.

    `encoder` is a named shape or a folder (default: each section's own), `updates` the number of timed updates.
    `measure` carries out what a section asks for, and the default does so in a process of its own.
    """
    names = list(SECTIONS if sections is None else sections)
    if only is not None:
        require_one_of(only, names, "There is no section {!r} of the bench; there are {}.")
    if updates < 1:
        raise SmallerError(f"updates is the number of timed updates, at least 1; it is {updates}.")
    if encoder:
        finding.find(encoder)
    for name in names if only is None else (only,):
        own = section(name) if sections is None else sections[name]
        carried_out = measure or import_module("smaller.bench.base").measured
        yield from own.report(functools.partial(carried_out, name, encoder=encoder or own.ENCODER, updates=updates))
