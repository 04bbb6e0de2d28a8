"""A finding: what one part of a page found out, as values, with the sentences that say it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from smaller.analysis.comparison import NOT_DECIDED, NOT_MEASURED, Comparison, unknown
from smaller.analysis.statistics import Interval

ANSWERED = "answered"
"""What an open question has instead of a verdict: it says nothing that one could agree with."""

Quantity = Comparison | Interval | float


@dataclass(frozen=True)
class Finding:
    """What was found: one sentence, more text below it, the values that both are made of, and a verdict.

    `headline` stands for the finding in captions, in the list of claims and in the index of the report. `quantity` is
    what a claim is judged by; `values` holds all that the sentences say, for whoever needs it again. `verdict` is one
    of `comparison.VERDICTS` on a claim; an open question, which claims nothing, is `ANSWERED` instead of agreed or
    differed with. Without one it is that of the quantity, and one run decides nothing. What `claims` adds after a comma
    is a note, no part of the verdict.
    """

    headline: str
    text: str = ""
    quantity: Quantity | None = None
    values: Mapping[str, object] = field(default_factory=dict)
    verdict: str = ""

    def __post_init__(self) -> None:
        if not self.verdict:
            one = self.quantity
            undecided = isinstance(one, Comparison) and one.verdict in (NOT_DECIDED, NOT_MEASURED)
            undecided |= isinstance(one, Interval) and not one.known
            object.__setattr__(self, "verdict", unknown(getattr(one, "interval", one)) if undecided else ANSWERED)

    @property
    def measured(self) -> bool:
        """Whether anything was measured at all."""
        return self.verdict != NOT_MEASURED

    def __str__(self) -> str:
        return f"{self.headline} {self.text}".strip()


def missing(what: str) -> Finding:
    """The finding about what nobody measured here: "Random masks were not measured." `what` is a plural noun."""
    return Finding(f"{what[:1].upper()}{what[1:]} were not measured.", verdict=NOT_MEASURED)


def settled(words: Iterable[str]) -> str:
    """The verdict on a question that several verdicts answer together: one of them undecided leaves it undecided."""
    found = set(words)
    return NOT_MEASURED if found == {NOT_MEASURED} else NOT_DECIDED if NOT_DECIDED in found else ANSWERED
