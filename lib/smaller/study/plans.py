"""What there is to do before it is done: read where nothing is trained, so it imports nothing that takes long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from smaller.base.progress import duration

SHOWN = "application/vnd.smaller.plan+json"
"""The type of the output in which a notebook shows its plan."""


@dataclass(frozen=True)
class Plan:
    """What there is to do: recipes in all and done, models to train, their updates, and the seconds that it may take.

    `seconds` are None where no record shows them; `unscored` recipes are to be scored on further sets. `work` holds the
    updates, and the bytes of the model that is kept, of each training by the identity of the recipe that ends in it:
    by those two notebooks' plans are put together. `kinds` holds the encoder and the `kind` of each.
    """

    recipes: int
    done: int
    trainings: int = 0
    updates: int = 0
    seconds: float | None = None
    unscored: int = 0
    work: Mapping[str, Sequence[int]] = field(default_factory=dict, compare=False)
    kinds: Mapping[str, Sequence[str]] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        further = f"; {self.unscored} to score on further sets" * bool(self.unscored)
        if self.done == self.recipes:
            return f"all {self.recipes} recipes are done{further}"
        text = f"{self.done} of {self.recipes} recipes are done; {self.trainings} to train"
        text += f" in {self.updates:,} updates" * bool(self.trainings)
        time = f", about {duration(self.seconds)}" if self.seconds else "; the first will show how long the rest takes"
        return text + time + further
