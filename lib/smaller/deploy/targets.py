"""What a user asks of a model: at most so many bytes, at most so many milliseconds, at most so many points lost."""

from __future__ import annotations

import re
from dataclasses import dataclass

from smaller.base.errors import SmallerError

_BYTES = {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_TIME = {"": 1, "MS": 1, "S": 1000}


@dataclass(frozen=True)
class Target:
    """Limits, of which at least one is given: `max_bytes` of the shipped folder without its README; `max_latency` in
    milliseconds for a sentence, alone and on one thread of this machine; `max_drop` in points of the task's main metric
    on the dev split, below the same encoder fine-tuned and left whole.
    """

    max_bytes: float | None = None
    max_latency: float | None = None
    max_drop: float | None = None

    def __post_init__(self) -> None:
        given = [self.max_bytes, self.max_latency, self.max_drop]
        if all(limit is None for limit in given):
            raise SmallerError("A target is needed: max_bytes, max_latency or max_drop, or several of them.")
        for name, limit in zip(("max_bytes", "max_latency", "max_drop"), given, strict=True):
            number = isinstance(limit, (int, float)) and not isinstance(limit, bool)
            if limit is not None and not (number and (limit > 0 or (limit == 0 and name == "max_drop"))):
                raise SmallerError(f"{name} is a number above zero; it is {limit!r}.")

    def fits(self, *, size: float, milliseconds: float) -> bool:
        """Whether a model of that size and speed is within the limits of bytes and latency."""
        return size <= (self.max_bytes or size) and milliseconds <= (self.max_latency or milliseconds)

    def __str__(self) -> str:
        limits = [
            f"at most {self.max_bytes / 1e6:.3g} MB" if self.max_bytes else "",
            f"at most {self.max_latency:g} ms for a sentence" if self.max_latency else "",
            f"at most {self.max_drop:g} points lost" if self.max_drop is not None else "",
        ]
        return ", ".join(filter(None, limits))


def parse_bytes(text: str) -> float:
    """Bytes from text such as 20MB, 1.5 GB or 300000."""
    return _parse(text, _BYTES, what="bytes", example="20MB")


def parse_milliseconds(text: str) -> float:
    """Milliseconds from text such as 10ms, 0.2s or 10."""
    return _parse(text, _TIME, what="a time", example="10ms")


def _parse(text: str, units: dict[str, float], *, what: str, example: str) -> float:
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]*)\s*", text)
    if not found or found[2].upper() not in units:
        raise SmallerError(f"{text!r} is not {what}: write it as {example}.")
    return float(found[1]) * units[found[2].upper()]
