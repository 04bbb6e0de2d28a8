"""Shares and counts in words."""


def percent(share: float) -> str:
    """A share from 0 to 1 in per cent."""
    return f"{100 * share:.0f} %"


def count_of(number: int, noun: str) -> str:
    return f"{number} {noun}" + "s" * (number != 1)


def are(number: int) -> str:
    return "are" if number > 1 else "is"


def some_of(number: int, total: int, noun: str) -> str:
    """A subject and its verb: "None of 4 students is", "2 of 4 students are"."""
    return f"{number or 'None'} of {count_of(total, noun)} {are(number)}"
