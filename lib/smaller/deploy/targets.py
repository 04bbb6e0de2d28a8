"""What a user asks of a model: at most so many bytes, at most so many milliseconds, at most so many points lost."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass

from smaller.base.errors import SmallerError

_BYTES = {"": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_TIME = {"": 1, "MS": 1, "S": 1000}
_LONG = {"S": 1, "SEC": 1, "": 60, "MIN": 60, "M": 60, "H": 3600}

_PART = re.compile(r"((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:E[+-]?[0-9]+)?)\s*([A-Z]*)\s*", re.IGNORECASE)
_APART = re.compile(
    r"(?<=[0-9])[ _\u00a0\u202f](?=[0-9]{3}(?![0-9]))|(?<=[0-9]),(?=[0-9]{3},)|(?<=,[0-9]{3}),(?=[0-9]{3}(?![0-9]))"
)
"""What stands between thousands, and can be nothing else: a comma only where there are several."""


@dataclass(frozen=True)
class Target:
    """Limits, of which at least one is given: `max_bytes` of the shipped folder without its README; `max_latency` in
    milliseconds for a sentence from text to labels, alone and on one thread of this machine; `max_drop` in points of
    the task's main metric on the dev split, below the same encoder fine-tuned and left whole.
    """

    max_bytes: float | None = None
    max_latency: float | None = None
    max_drop: float | None = None

    def __post_init__(self) -> None:
        given = {name: limit for name, limit in asdict(self).items() if limit is not None}
        if not given:
            raise SmallerError("A target is needed: max_bytes, max_latency or max_drop, or several of them.")
        for name, limit in given.items():
            number = isinstance(limit, (int, float)) and not isinstance(limit, bool)
            if not (number and (limit > 0 or (limit == 0 and name == "max_drop"))):
                least = "of at least zero" if name == "max_drop" else "above zero"
                raise SmallerError(f"{name} is a number {least}; it is {limit!r}.")

    @property
    def of_costs(self) -> bool:
        """Whether bytes or time are limited, which is known of a shape before it is trained."""
        return bool(self.max_bytes or self.max_latency)

    def missed(self, *, size: float, milliseconds: float, lost: float = 0.0) -> tuple[str, ...]:
        """What is over a limit, in words: bytes, milliseconds from text to labels, points lost."""
        found = {
            f"{size / 1e6:.2f} MB": self.max_bytes and size > self.max_bytes,
            f"{milliseconds:.2f} ms from text to labels": self.max_latency and milliseconds > self.max_latency,
            f"{lost:.1f} points lost on dev": self.max_drop is not None and lost > self.max_drop,
        }
        return tuple(said for said, over in found.items() if over)

    def __str__(self) -> str:
        limits = [
            f"at most {self.max_bytes / 1e6:.3g} MB" if self.max_bytes else "",
            f"at most {self.max_latency:g} ms for a sentence from text to labels" if self.max_latency else "",
            f"at most {self.max_drop:g} points lost" if self.max_drop is not None else "",
        ]
        return ", ".join(filter(None, limits))


def parse_bytes(text: str) -> float:
    """Bytes from text such as 20MB, 1.5 GB, 1e6 or 300 000."""
    return _parse(text, _BYTES, what="bytes", example="20MB")


def parse_milliseconds(text: str) -> float:
    """Milliseconds from text such as 10ms, 0.2s or 10."""
    return _parse(text, _TIME, what="a time", example="10ms")


def parse_duration(text: str) -> float:
    """Seconds from text such as 30min, 1h 30min, 90s; a number alone is of minutes."""
    return _parse(text, _LONG, what="a duration", example="30min")


def parse_points(text: str) -> float:
    """Points from text such as 1.0."""
    return _parse(text, {"": 1}, what="a number of points", example="1.0")


def _parse(text: str, units: dict[str, float], *, what: str, example: str) -> float:
    plain = _APART.sub("", text.strip())
    pointed = plain.replace(",", ".")
    if plain.count(",") == 1 and _sum(pointed, units) is not None:
        thousands = f", or {plain.replace(',', '')} if it parts thousands" * bool(re.search(r",\d{3}(?!\d)", plain))
        raise SmallerError(f"{text!r} has a comma: write {pointed} if that is what it means{thousands}.")
    if units is _BYTES and plain[-1:].upper() in {*"KMG"} and _sum(f"{plain}B", units):
        raise SmallerError(f"{text!r} may be {plain}B or {plain}iB, which is more: write the one that it is.")
    if (found := _sum(plain, units)) is None:
        raise SmallerError(f"{text!r} is not {what}: write it as {example}.")
    return found


def _sum(text: str, units: dict[str, float]) -> float | None:
    """What a number with its unit is, or several of ever smaller units, such as 1h 30min; None for anything else."""
    parts = _PART.findall(text)
    sizes = [units.get(unit.upper(), 0) for _, unit in parts]
    if not parts or _PART.sub("", text) or 0 in sizes or sizes != sorted(set(sizes), reverse=True):
        return None
    found = sum(float(number) * size for (number, _), size in zip(parts, sizes, strict=True))
    return found if math.isfinite(found) else None
