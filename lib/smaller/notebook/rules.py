"""What a notebook's parameters have to be beyond their types, by names alone: before a kernel and PyTorch start."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from smaller import formats
from smaller.base.checks import layers_and_heads, require, require_one_of
from smaller.base.errors import SmallerError
from smaller.data import datasets, splits
from smaller.data.datasets import name_and_rest
from smaller.data.noise import TYPING, check_noise
from smaller.data.sets import ATTACK, UNLABELLED, EvaluationSet
from smaller.encoders import finding

Thing = TypeVar("Thing")

NEEDED = {"encoders", "languages", "seeds", "sparsities", "sources", "joint_sparsities", "corpus_languages"}
"""Lists that hold something in every notebook that has them."""


def rules(given: Mapping[str, object], *, files: bool = True) -> dict[str, Callable[[Any], None]]:
    """A check for each parameter of a notebook whose value means something; SmallerError, or ValueError, says what.

    Encoders exist, the data set has the languages, shares lie between 0 and 1, and lists that have to hold something
    do. Without `files` only names are looked at: what may have to be fetched yet is no error.
    """

    def unless_absent(look: Callable[..., object], name: str, *rest: object) -> None:
        if files or not may_lie_in_files(name):
            look(name, *rest)

    dataset, shapes = given.get("dataset"), given.get("students")
    # 07 has tasks in the place of one data set, and checks their languages itself.
    in_data = partial(unless_absent, splits.check, dataset) if dataset else str
    each = {
        "encoders": finding.source if files else finding.find,
        "languages": in_data,
        "sources": in_data,
        "longer_epochs": in_data,
        "corpus_languages": lambda language: unless_absent(splits.check_text, given["corpus"], language),
        "seeds": int,
        "sparsities": _share,
        "joint_sparsities": _share,
        "forms": formats.require_format,
        "pruned_forms": formats.require_format,
        "students": layers_and_heads,
        "controls": lambda shape: chosen([shape], dict.fromkeys(shapes), what="student"),
        "noise": lambda kind: _rates(kind, given["noise"][kind]),
        "attack_budgets": lambda rate: check_noise(ATTACK, rate, kinds=[ATTACK]),
        "targets": lambda key: _require_target(key, dataset, files=files),
        "texts": lambda key: _require_text(key, files=files),
    }
    whole = {
        "corpus": partial(unless_absent, datasets.dataset),
        "sparsity": _share,
        "high_sparsity": _share,
        "epochs": _count,
        "batch_size": _count,
        "learning_rate": _rate,
    }
    # Without students there is no study of distillation, and without targets none of transfer.
    needed = NEEDED | ({"students"} if "controls" in given else {"targets"} if "sources" in given else set())

    def every(name: str, values: Sequence) -> None:
        if name in needed:
            _require_some(values)
        for value in values:
            each[name](value)
        if name == "noise" and values and not set(values) & set(TYPING):
            raise SmallerError(f"A study of noise needs a kind of typing noise: {', '.join(TYPING)}.")

    found = {name: partial(every, name) for name in each} | whole
    return {name: rule for name, rule in found.items() if name in given}


def may_lie_in_files(dataset: str) -> bool:
    """Whether what is known of a data set lies in its files: that is so of one's own, and of those of the hub."""
    return "/" in dataset or datasets.is_own(dataset)


def _count(value: int) -> None:
    if value < 1:
        raise ValueError("it is a whole number above zero.")


def _rate(value: float) -> None:
    if not 0 < value < 1:
        raise ValueError("it is a number between 0 and 1.")


def _require_some(values: Sequence) -> None:
    if not values:
        raise SmallerError("A list of parameters is empty: give it at least one value.")


def chosen(names: Iterable[str], known: Mapping[str, Thing], *, what: str) -> dict[str, Thing]:
    """The parts of a mapping that are named. Raises SmallerError for a name that it has not."""
    for name in names:
        require_one_of(name, known, f"{{!r}} is no {what} of this study; there are {{}}.")
    return {name: known[name] for name in names}


def _share(value: float) -> None:
    if not 0 <= value <= 1:
        raise SmallerError(f"Sparsity is the share of weights that become zero, from 0 to 1; {value:g} is not.")


def _rates(kind: str, rates: Sequence[float]) -> None:
    _require_some(rates)
    for rate in rates:
        check_noise(kind, rate)


def _require_target(key: str, dataset: str, *, files: bool) -> None:
    """Raise SmallerError unless its files are here and models of the data set know all entity types in it."""
    if not files and _is_target_in_files(key, dataset):
        return
    place = target(key)
    unknown = sorted(set(place.types) - set(splits.entity_types(dataset)))
    if unknown:
        raise SmallerError(
            f"The target {key} has the labels {', '.join(unknown)}, which no model that is "
            f"fine-tuned on {dataset} knows."
        )
    if files:
        place.checksum()  # an error where its files are not here


def _require_text(key: str, *, files: bool) -> None:
    if files or not _is_target_in_files(key):
        place = target(key, kind=UNLABELLED)
        if files:
            place.checksum()


def _is_target_in_files(key: str, *others: str) -> bool:
    name, rest = name_and_rest(key)
    return len(rest) == 1 and any(map(may_lie_in_files, [name, *others]))


def data_set_and_language(key: str) -> tuple[str, str]:
    """The data set and the language that a parameter names, such as "masakhaner2/bam"."""
    dataset, rest = name_and_rest(key)
    require(len(rest) == 1, f"A target is a data set and a language, such as masakhaner2/bam; {key!r} is not.")
    return dataset, rest[0]


def target(key: str, **options: object) -> EvaluationSet:
    """The test split that a parameter names; `options` are fields of `EvaluationSet`."""
    return EvaluationSet(*data_set_and_language(key), **options)
