"""Speed beside the plain way, against marks: ratios within one run, since seconds belong to a machine."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from smaller.base.errors import SmallerError, did_you_mean
from smaller.bench import deployment, distillation, finetuning, overhead, trimming
from smaller.bench.base import measured

SECTIONS = {
    "finetune": finetuning,
    "distil": distillation,
    "deploy": deployment,
    "trim": trimming,
    "overhead": overhead,
}
"""What is measured, in this order: fine-tuning, distillation, the formats that one can deploy, trimming, engines."""


def bench(
    *,
    only: str | None = None,
    encoder: str | None = None,
    updates: int = 12,
    sections: Mapping[str, Any] = MappingProxyType(SECTIONS),
    measure: Callable[..., dict] = measured,
) -> Iterator[str]:
    """Measure all sections, or `only` one of them; yields lines: what was measured, then ratios beside their marks.

    `encoder` is a named shape or a folder (default: each section's own), `updates` the number of timed updates.
    `measure` carries out what a section asks for, and the default does so in a process of its own.
    """
    if only is not None and only not in sections:
        raise SmallerError(
            f"There is no section {only!r} of the bench; there are {', '.join(sections)}.{did_you_mean(only, sections)}"
        )
    if updates < 1:
        raise SmallerError(f"updates is the number of timed updates, at least 1; it is {updates}.")
    for name in sections if only is None else (only,):
        section = sections[name]
        yield from section.report(functools.partial(measure, name, encoder=encoder or section.ENCODER, updates=updates))
