"""The one kind of error that a user is meant to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SmallerError(Exception):
    """A mistake that the user can mend; the message says what is wrong, where, and what to do."""


def did_you_mean(value: object, choices: Iterable[str]) -> str:
    """A suggestion to append to an error message, such as " Did you mean 'swa'?", or the empty string.

    It is the nearest one; of a name that was given in part, such as int8, it is all that begin, or end, so.
    """
    said, names = str(value).lower(), {choice.lower(): choice for choice in choices}
    near = difflib.get_close_matches(said, names, n=1, cutoff=0.85)
    if len(said) > 1:
        near = near or [name for name in names if name.startswith(said)][:4]
        near = near or [name for name in names if name.endswith(said)][:4]
    near = near or difflib.get_close_matches(said, names, n=1, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(names[name]) for name in near)}?" if near else ""


def in_one_line(problem: BaseException) -> str:
    """What an error says, as a line of a result from which something was left out; its kind, where it is not ours."""
    said = " ".join(str(problem).split("\n\n")[0].split())
    return said if isinstance(problem, SmallerError) else f"{type(problem).__name__}: {said}".removesuffix(": ")


def briefly(problem: BaseException) -> str:
    """What an error of a library says, in one line that is not long; its kind, where it says nothing."""
    return " ".join(str(problem).split())[:160] or type(problem).__name__
