"""How a notebook begins: its parameters are checked, and it says what is done already and how long the rest takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from smaller import encoders, results, study
from smaller.data import splits
from smaller.errors import SmallerError
from smaller.parameters import Settings, check
from smaller.recipes import Recipe
from smaller.report import show
from smaller.steps import FineTune


def begin(namespace: Mapping[str, object]) -> Settings:
    """The checked parameters of the notebook; called as `begin(globals())` in its second code cell.

    Beyond names and types: encoders exist, the data set has the languages, shares lie between 0 and 1, and every list
    holds something. Raises SmallerError, with a suggestion where there is one, before anything is loaded.
    """
    named = {
        "encoders": lambda names: _each(names, encoders.source),
        "encoder": lambda name: _each([name], encoders.source),
        "languages": lambda codes: _each(codes, lambda code: splits.check(namespace["dataset"], code)),
        "language": lambda code: _each([code], lambda code: splits.check(namespace["dataset"], code)),
        "sparsities": lambda shares: _each(shares, _share),
        "seeds": lambda seeds: _each(seeds, int),
        "longer_epochs": lambda epochs: [splits.check(namespace["dataset"], code) for code in epochs] and None,
    }
    return check(namespace, **{name: rule for name, rule in named.items() if name in namespace})


def _each(values: Sequence, rule) -> None:
    if not values:
        raise SmallerError("A list of parameters is empty: give it at least one value.")
    for value in values:
        rule(value)


def _share(value: float) -> None:
    if not 0 <= value <= 1:
        raise SmallerError(f"Sparsity is the share of weights that become zero, from 0 to 1; {value:g} is not.")


def fine_tunings(settings: Settings) -> list[FineTune]:
    """A `FineTune` step for each language and seed of the settings; some languages may need longer than the others."""
    epochs = settings.get("longer_epochs", {})
    return [
        FineTune(
            settings.dataset,
            language,
            seed=seed,
            epochs=epochs.get(language, settings.epochs),
            learning_rate=settings.learning_rate,
            batch_size=settings.batch_size,
            warm_up=settings.warm_up,
        )
        for seed in settings.seeds
        for language in settings.languages
    ]


def preview(recipes: Sequence[Recipe]) -> None:
    """Display versions, device, and how much of the work is done and how long the rest should take."""
    about = results.provenance_of_process()
    libraries = ", ".join(f"{name} {version}" for name, version in about["libraries"].items())
    rows = {
        "software": f"smaller {about['package']} ({about['commit']}), Python {about['python']}, {libraries}",
        "device": f"{about['device']}, mixed precision: {about['mixed_precision']}",
        "recipes": study.estimate(recipes),
        "records": str(results.folder().name) + "/ of the outputs folder",
    }
    show(pd.DataFrame(rows.items(), columns=["what", "here"]), "This run.", "this-run")
