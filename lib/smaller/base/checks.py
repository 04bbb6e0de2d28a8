"""Checks of values, and of the fields of frozen dataclasses: what is wrong is said before anything is done."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from smaller.base.errors import SmallerError, did_you_mean


def require(condition: bool, message: str) -> None:
    """Raise SmallerError with the message unless the condition holds."""
    if not condition:
        raise SmallerError(message)


def require_one_of(name: object, known: Collection[str], said: str) -> None:
    """Raise SmallerError, with a suggestion, for a name that is not known; `said` has a place for it, and for those.

    It is such as "There is no format {!r}; there are {}."
    """
    require(name in known, said.format(name, ", ".join(known)) + did_you_mean(name, known))


def is_number(value: object) -> bool:
    """Whether the value is a number; True and False are not, and neither is text that looks like one."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_count(value: object) -> bool:
    """Whether the value is a whole number, not below zero."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def require_counts(owner: object, *fields: str, least: int = 1) -> None:
    """Whole numbers of at least so much; a seed may be zero, and a field that is None by default may stay so."""
    for field in fields:
        value, low = getattr(owner, field), 0 if field == "seed" else least
        if value is None and getattr(type(owner), field, 0) is None:
            continue
        wanted = "above zero" if low else "of at least zero"
        require(
            is_count(value) and value >= low, f"{name_of(owner)} {field} is a whole number {wanted}; it is {value!r}."
        )


def require_number(owner: object, field: str, fits: Callable[[float], bool], wanted: str) -> None:
    """A number that fits; kept as a float, since equal recipes have equal identities."""
    value = getattr(owner, field)
    require(is_number(value) and fits(value), f"{name_of(owner)} {field} is {wanted}; it is {value!r}.")
    object.__setattr__(owner, field, float(value))


def require_small(owner: object, *fields: str) -> None:
    """Numbers between 0 and 1, both left out."""
    for field in fields:
        require_number(owner, field, lambda value: 0 < value < 1, "a number between 0 and 1")


def require_share(owner: object, field: str) -> None:
    """A share of the updates."""
    require_number(owner, field, lambda value: 0 <= value < 1, "a share of the updates, from 0 to 1")


def require_choice(owner: object, field: str, choices: Sequence[str]) -> None:
    """One of the words that the field knows."""
    value = getattr(owner, field)
    require(
        value in choices,
        f"{name_of(owner)} {field} is one of {', '.join(choices)}; it is {value!r}.{did_you_mean(value, choices)}",
    )


def name_of(owner: object) -> str:
    """How a message begins that speaks of a field."""
    return f"{type(owner).__name__}'s"


def layers_and_heads(shape: str) -> tuple[int, int]:
    """The numbers of a student's name: "4x6" is four layers of six heads."""
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", shape)
    if not found:
        raise SmallerError(f"A student is written as layers x heads, such as 4x6; {shape!r} is not.")
    return int(found[1]), int(found[2])
