"""Evaluation sets: what a model is scored on. They belong to the scoring of a recipe, not to its identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smaller.base.errors import SmallerError
from smaller.data import datasets, own, splits
from smaller.data.examples import Example
from smaller.data.languages import in_codes
from smaller.data.noise import KINDS, add_noise, check_noise, names_in, struck
from smaller.data.tasks import Task

ATTACK = "attack"
UNLABELLED = "unlabelled"
LEAST_STRUCK = 0.05
"""The share of sentences that a kind of noise has to strike, at its worst, to say anything of a language."""


@dataclass(frozen=True, order=True)
class EvaluationSet:
    """A split of a language in a data set, as it is or with noise of a kind at a rate, drawn from a seed.

    Two more kinds stand beside those of `data.noise`. With `ATTACK` the noise is sought for each model, within a budget
    of `rate` of a sentence's letters (see `study.attacks`). With `UNLABELLED` the labels are not looked at, so
    text without any will do (see `study.unlabelled`). Either may take at most `limit` sentences, evenly spread over
    the split; 0 takes all.
    """

    dataset: str
    language: str
    split: str = "test"
    noise: str = ""
    rate: float = 0.0
    seed: int = 0
    limit: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "dataset", own.named(self.dataset, language=self.language))
        object.__setattr__(self, "language", in_codes(self.language))
        splits.check(self.dataset, self.language)
        known = datasets.dataset(self.dataset)
        for code in self.language.split("+") if self.dataset not in splits.EMBEDDED else ():
            known.require_split(code, self.split)
        if self.noise != UNLABELLED:
            splits.entity_types(self.dataset)
        if self.noise not in ("", UNLABELLED):
            check_noise(self.noise, self.rate, kinds=(*KINDS, ATTACK, UNLABELLED))
            if splits.task(self.dataset).name != "ner":
                raise SmallerError(f"Noise strikes labelled names, and the data set {self.dataset!r} has none.")
        if self.noise in ("", UNLABELLED) and (self.rate or self.seed):
            raise SmallerError("A rate and a seed belong to a kind of noise, and this evaluation set names none.")
        if self.limit and self.noise not in (ATTACK, UNLABELLED):
            raise SmallerError(f"Only {ATTACK} and {UNLABELLED} sets take a part of a split; the others take it whole.")
        object.__setattr__(self, "rate", float(self.rate))

    @property
    def key(self) -> str:
        """The set in one line, under which a record keeps its scores."""
        key = f"{self.dataset}/{self.language}/{self.split}"
        key += f"/{self.noise}/{self.rate:g}/{self.seed}" if self.noise else ""
        return f"{key}/{self.limit}" if self.limit else key

    @property
    def types(self) -> tuple[str, ...]:
        """The entity types that are labelled in it; none where labels are not looked at."""
        return () if self.noise == UNLABELLED else splits.entity_types(self.dataset)

    @property
    def task(self) -> Task:
        """The task of its data set."""
        return splits.task(self.dataset)

    def sentences(self) -> list[Example]:
        """Its labelled sentences. The noise "entities" puts in names of dev and test that training does not hold.

        Those of an `ATTACK` are clean still, and hold an entity each.
        """
        clean = splits.sentences(self.dataset, self.language, self.split)
        if self.noise == ATTACK:
            clean = [sentence for sentence in clean if set(sentence.tags) != {"O"}]
        if self.noise in ("", ATTACK, UNLABELLED):
            return spread(clean, self.limit)
        names = self._unseen_names() if self.noise == "entities" else None
        return add_noise(clean, self.noise, self.rate, seed=self.seed, names=names)

    def _unseen_names(self) -> dict[str, list[tuple[str, ...]]]:
        train, *others = (splits.sentences(self.dataset, self.language, split) for split in ("train", "dev", "test"))
        seen = names_in(train)
        found = names_in([sentence for split in others for sentence in split])
        return {
            kind: [name for name in names if name not in set(seen.get(kind, ()))]
            for kind, names in found.items()
            if kind != "DATE"
        }

    def checksum(self) -> str:
        """What changes when the data of the set change."""
        return splits.fingerprint(self.dataset, self.language)


def set_of(key: str) -> EvaluationSet:
    """The evaluation set that a key names."""
    dataset, parts = datasets.name_and_rest(key)
    if len(parts) == 2:
        return EvaluationSet(dataset, *parts)
    try:
        language, split, noise, rate, seed, *limit = parts
        return EvaluationSet(dataset, language, split, noise, float(rate), int(seed), *map(int, limit))
    except (TypeError, ValueError):
        raise SmallerError(
            f"An evaluation set is named dataset/language/split, and with noise dataset/language/split/noise/rate/seed,"
            f" behind which may stand the number of sentences; {key!r} is not."
        ) from None


def noise_grid(
    dataset: str, language: str, *, noise: Mapping[str, Sequence[float]], seed: int, split: str = "test"
) -> list[EvaluationSet]:
    """A set for each rate of each kind of noise, but for kinds that have next to nothing to strike in the language.

    Letters without marks lose none, and Ethiopic has no capitals: a kind counts where at rate 1 it would change
    `LEAST_STRUCK` of the sentences.
    """
    clean = splits.sentences(dataset, language, split)
    worst = [EvaluationSet(dataset, language, split, kind, 1.0, seed) for kind in noise]
    kept = [place.noise for place in worst if struck(clean, place.sentences()) >= LEAST_STRUCK]
    return [EvaluationSet(dataset, language, split, kind, rate, seed) for kind in kept for rate in noise[kind]]


def spread(rows: Sequence, limit: int) -> list:
    """At most `limit` of the rows, evenly spread over them; all for 0."""
    if not limit or limit >= len(rows):
        return list(rows)
    return [rows[index * len(rows) // limit] for index in range(limit)]
