"""Evaluation sets: what a model is scored on. They belong to the scoring of a recipe, not to its identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

from smaller.base.errors import SmallerError, did_you_mean
from smaller.data import datasets, own, splits
from smaller.data.examples import Example
from smaller.data.languages import in_codes
from smaller.data.noise import KINDS, add_noise, check_noise, names_in, struck
from smaller.data.tasks import Task

CLEAN, NOISE, ATTACK, UNLABELLED = SORTS = ("clean", "noise", "attack", "unlabelled")
"""The kinds of evaluation sets."""

LEAST_STRUCK = 0.05
"""The share of sentences that a kind of noise has to strike, at its worst, to say anything of a language."""


@dataclass(frozen=True, order=True)
class EvaluationSet:
    """A split of a language in a data set, and what is done with it, its `kind`.

    `CLEAN`: as it is. `NOISE`: with noise of one of the kinds of `data.noise`, at a rate, drawn from a seed. `ATTACK`:
    with noise that is sought for each model, within a budget of `rate` of a sentence's letters (see `study.attacks`).
    `UNLABELLED`: without a look at its labels, so text without any will do (see `study.unlabelled`). The last two may
    take at most `limit` sentences, evenly spread over the split; 0 takes all.
    """

    dataset: str
    language: str
    split: str = "test"
    _: KW_ONLY
    kind: str = ""
    noise: str = ""
    rate: float = 0.0
    seed: int = 0
    limit: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "dataset", own.named(self.dataset, language=self.language))
        object.__setattr__(self, "language", in_codes(self.language))
        object.__setattr__(self, "kind", self.kind or (NOISE if self.noise else CLEAN))
        splits.check(self.dataset, self.language, self.split)
        if self.kind not in SORTS or (self.kind == NOISE) != bool(self.noise):
            raise SmallerError(
                f"An evaluation set is one of {', '.join(SORTS)}, and {NOISE} alone names its noise; this one is "
                f"{self.kind!r} with the noise {self.noise!r}.{did_you_mean(self.kind, SORTS)}"
            )
        if self.kind != UNLABELLED:
            splits.entity_types(self.dataset)
        if self.kind in (NOISE, ATTACK):
            check_noise(self.change, self.rate, kinds=KINDS if self.noise else [ATTACK])
            if splits.task(self.dataset).name != "ner":
                raise SmallerError(f"Noise strikes labelled names, and the data set {self.dataset!r} has none.")
        elif self.rate or self.seed:
            raise SmallerError("A rate and a seed belong to a kind of noise, and this evaluation set names none.")
        if self.limit and self.kind in (CLEAN, NOISE):
            raise SmallerError(f"Only {ATTACK} and {UNLABELLED} sets take a part of a split; the others take it whole.")
        object.__setattr__(self, "rate", float(self.rate))

    @property
    def change(self) -> str:
        """What is done with the split, in a word: a kind of noise, attack or unlabelled; empty for nothing."""
        return "" if self.kind == CLEAN else self.noise or self.kind

    @property
    def key(self) -> str:
        """The set in one line, under which a record keeps its scores."""
        key = f"{self.dataset}/{self.language}/{self.split}"
        key += f"/{self.change}/{self.rate:g}/{self.seed}" if self.change else ""
        return f"{key}/{self.limit}" if self.limit else key

    @property
    def types(self) -> tuple[str, ...]:
        """The entity types that are labelled in it; none where labels are not looked at."""
        return () if self.kind == UNLABELLED else splits.entity_types(self.dataset)

    @property
    def task(self) -> Task:
        """The task of its data set."""
        return splits.task(self.dataset)

    def sentences(self) -> list[Example]:
        """Its labelled sentences. The noise "entities" puts in names of dev and test that training does not hold.

        Those of an `ATTACK` are clean still, and hold an entity each.
        """
        clean = splits.sentences(self.dataset, self.language, self.split)
        if self.kind == NOISE:
            names = self._unseen_names() if self.noise == "entities" else None
            return add_noise(clean, self.noise, self.rate, seed=self.seed, names=names)
        if self.kind == ATTACK:
            clean = [sentence for sentence in clean if set(sentence.tags) != {"O"}]
        return splits.spread(clean, self.limit)

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
        language, split, change, rate, seed, limit = [*parts, 0] if len(parts) == 5 else parts
        what = {"kind": change} if change in (ATTACK, UNLABELLED) else {"noise": change}
        return EvaluationSet(dataset, language, split, **what, rate=float(rate), seed=int(seed), limit=int(limit))
    except ValueError:
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

    def at(kind: str, rate: float) -> EvaluationSet:
        return EvaluationSet(dataset, language, split, noise=kind, rate=rate, seed=seed)

    kept = [kind for kind in noise if struck(clean, at(kind, 1.0).sentences()) >= LEAST_STRUCK]
    return [at(kind, rate) for kind in kept for rate in noise[kind]]
