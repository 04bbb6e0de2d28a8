"""What a command is asked: options anywhere, values that mean something, and mistakes in one sentence."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import NoReturn

from smaller.base.errors import SmallerError, did_you_mean


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are told as all others are: in one sentence, with a suggestion."""

    def error(self, message: str) -> NoReturn:
        hint, wrong = "", re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        if wrong:
            hint = did_you_mean(wrong[1], re.findall(r"[\w-]+", wrong[2]))
        elif message.startswith("unrecognized arguments: -"):
            hint = did_you_mean(message.split()[2], self._option_string_actions)
        raise SmallerError(f"{message.rstrip('.')}.{hint} What there is: {self.prog} --help")


class Command(Parser):
    """The parser of a command, whose options may stand anywhere, also between the words of a list."""

    _mixed = False

    def __init__(self, *args, **options):
        super().__init__(*args, allow_abbrev=False, **options)

    def parse_known_args(self, args=None, namespace=None):
        if self._mixed:
            return super().parse_known_args(args, namespace)
        self._mixed = True
        try:
            found, more = self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixed = False
        if more:
            self.error(f"unrecognized arguments: {' '.join(more)}")
        return found, more


def value(parse: Callable[[str], object]) -> Callable[[str], object]:
    """What an option's text means, with the option's name in front of what is wrong with it."""

    def parsed(text: str) -> object:
        try:
            return parse(text)
        except (SmallerError, ValueError) as problem:
            raise argparse.ArgumentTypeError(str(problem)) from None

    return parsed


@value
def count(text: str) -> int:
    """A whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"it is a whole number above zero, and not {text}")
    return int(text)


@value
def seed(text: str) -> int:
    """A whole number of at least zero."""
    if not text.isdecimal():
        raise ValueError(f"it is a whole number of at least zero, and not {text}")
    return int(text)


@value
def rate(text: str) -> float:
    """A number between 0 and 1."""
    if not 0 < (number := float(text)) < 1:
        raise ValueError(f"it is a number between 0 and 1, and not {text}")
    return number
