"""Evaluation sets: what a model is scored on. They belong to the scoring of a recipe, not to its identity."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from smaller.data import splits
from smaller.data.readers import Sentence
from smaller.errors import SmallerError


@dataclass(frozen=True, order=True)
class EvaluationSet:
    """A labelled split of a language in a data set."""

    dataset: str
    language: str
    split: str = "test"

    def __post_init__(self) -> None:
        splits.check(self.dataset, self.language)
        splits.entity_types(self.dataset)

    @property
    def key(self) -> str:
        """The set in one line, under which a record keeps its scores."""
        return "/".join(dataclasses.astuple(self))

    @property
    def types(self) -> tuple[str, ...]:
        """The entity types that are labelled in it."""
        return splits.entity_types(self.dataset)

    def sentences(self) -> list[Sentence]:
        """Its labelled sentences."""
        return splits.sentences(self.dataset, self.language, self.split)

    def checksum(self) -> str:
        """What changes when the data of the set change."""
        return splits.fingerprint(self.dataset, self.language)


def set_of(key: str) -> EvaluationSet:
    """The evaluation set that a key names."""
    parts = key.split("/")
    if len(parts) != 3:
        raise SmallerError(f"An evaluation set is named as dataset/language/split; {key!r} is not.")
    return EvaluationSet(*parts)
