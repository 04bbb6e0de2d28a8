"""Evaluation sets: what a model is scored on. They belong to the scoring of a recipe, not to its identity."""

from __future__ import annotations

from dataclasses import dataclass

from smaller.data import splits
from smaller.data.noise import add_noise, check_noise, names_in
from smaller.data.readers import Sentence
from smaller.errors import SmallerError


@dataclass(frozen=True, order=True)
class EvaluationSet:
    """A labelled split of a language in a data set, as it is or with noise of a kind at a rate, drawn from a seed."""

    dataset: str
    language: str
    split: str = "test"
    noise: str = ""
    rate: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        splits.check(self.dataset, self.language)
        splits.entity_types(self.dataset)
        if self.noise:
            check_noise(self.noise, self.rate)
        elif self.rate or self.seed:
            raise SmallerError("A rate and a seed belong to a kind of noise, and this evaluation set names none.")
        object.__setattr__(self, "rate", float(self.rate))

    @property
    def key(self) -> str:
        """The set in one line, under which a record keeps its scores."""
        key = f"{self.dataset}/{self.language}/{self.split}"
        return f"{key}/{self.noise}/{self.rate:g}/{self.seed}" if self.noise else key

    @property
    def types(self) -> tuple[str, ...]:
        """The entity types that are labelled in it."""
        return splits.entity_types(self.dataset)

    def sentences(self) -> list[Sentence]:
        """Its labelled sentences. The noise "entities" puts in names of dev and test that training does not hold."""
        clean = splits.sentences(self.dataset, self.language, self.split)
        if not self.noise:
            return clean
        names = self._unseen_names() if self.noise == "entities" else None
        return add_noise(clean, self.noise, self.rate, seed=self.seed, names=names)

    def _unseen_names(self) -> dict[str, list[tuple[str, ...]]]:
        train, *others = (splits.sentences(self.dataset, self.language, split) for split in ("train", "dev", "test"))
        seen = names_in(train)
        found = names_in([sentence for split in others for sentence in split])
        return {kind: [name for name in names if name not in set(seen.get(kind, ()))]
                for kind, names in found.items() if kind != "DATE"}  # fmt: skip

    def checksum(self) -> str:
        """What changes when the data of the set change."""
        return splits.fingerprint(self.dataset, self.language)


def set_of(key: str) -> EvaluationSet:
    """The evaluation set that a key names."""
    parts = key.split("/")
    if len(parts) == 3:
        return EvaluationSet(*parts)
    try:
        dataset, language, split, noise, rate, seed = parts
        return EvaluationSet(dataset, language, split, noise, float(rate), int(seed))
    except ValueError:
        raise SmallerError(
            f"An evaluation set is named dataset/language/split, and with noise dataset/language/split/noise/rate/seed;"
            f" {key!r} is not."
        ) from None
