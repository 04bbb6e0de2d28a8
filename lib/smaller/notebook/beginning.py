"""How a notebook begins: its parameters are checked, and it says what is done already and how long the rest takes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pandas as pd

from smaller import encoders, study
from smaller.analysis.findings import baselines
from smaller.analysis.findings.finding import Finding
from smaller.analysis.findings.robustness import TYPING
from smaller.analysis.findings.words import count_of, names_of
from smaller.base.errors import SmallerError, did_you_mean
from smaller.data import splits
from smaller.data.datasets import name_and_rest
from smaller.data.noise import check_noise
from smaller.data.sets import ATTACK, UNLABELLED, EvaluationSet
from smaller.notebook.display import PLAN, show
from smaller.notebook.parameters import Settings, check
from smaller.study import plain, results
from smaller.study.recipes import dense, layers_and_heads, require_possible
from smaller.study.steps import FineTune

Thing = TypeVar("Thing")

NEEDED = {"encoders", "languages", "seeds", "sparsities", "sources", "joint_sparsities", "corpus_languages"}
"""Lists that hold something in every notebook that has them."""


def begin(namespace: Mapping[str, object]) -> Settings:
    """The checked parameters of the notebook; called as `begin(globals())` in its second code cell.

    Beyond names and types: encoders exist, the data set has the languages, shares lie between 0 and 1, and lists that
    have to hold something do. Raises SmallerError, with a suggestion where there is one, before anything is loaded.
    """
    # Later cells may use a parameter's name of another notebook for a variable.
    names = namespace.get("__annotations__") or namespace
    dataset, shapes = namespace.get("dataset"), namespace.get("students")
    # 07 has tasks in the place of one data set, and checks their languages itself.
    in_data = partial(splits.check, dataset) if dataset else str
    rules = {
        "encoders": encoders.source,
        "languages": in_data,
        "sources": in_data,
        "longer_epochs": in_data,
        "corpus_languages": lambda language: splits.check_text(namespace["corpus"], language),
        "seeds": int,
        "sparsities": _share,
        "joint_sparsities": _share,
        "students": layers_and_heads,
        "controls": lambda shape: chosen([shape], dict.fromkeys(shapes), what="student"),
        "noise": lambda kind: _rates(kind, namespace["noise"][kind]),
        "attack_budgets": lambda rate: check_noise(ATTACK, rate, kinds=[ATTACK]),
        "targets": lambda key: _require_target(key, dataset),
        "texts": lambda key: target(key, kind=UNLABELLED).checksum(),
    }
    # Without students there is no study of distillation, and without targets none of transfer.
    needed = NEEDED | ({"students"} if "controls" in names else {"targets"} if "sources" in names else set())

    def every(name: str, values: Sequence) -> None:
        if name in needed:
            _require_some(values)
        for value in values:
            rules[name](value)
        if name == "noise" and values and not set(values) & set(TYPING):
            raise SmallerError(f"A study of noise needs a kind of typing noise: {', '.join(TYPING)}.")

    return check(namespace, **{name: partial(every, name) for name in rules if name in names})


def _require_some(values: Sequence) -> None:
    if not values:
        raise SmallerError("A list of parameters is empty: give it at least one value.")


def chosen(names: Iterable[str], known: Mapping[str, Thing], *, what: str) -> dict[str, Thing]:
    """The parts of a mapping that are named. Raises SmallerError for a name that it has not."""
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise SmallerError(f"{name!r} is no {what} of this study; there are {', '.join(known)}.{hint}")
    return {name: known[name] for name in names}


def _share(value: float) -> None:
    if not 0 <= value <= 1:
        raise SmallerError(f"Sparsity is the share of weights that become zero, from 0 to 1; {value:g} is not.")


def _rates(kind: str, rates: Sequence[float]) -> None:
    _require_some(rates)
    for rate in rates:
        check_noise(kind, rate)


def _require_target(key: str, dataset: str) -> None:
    """Raise SmallerError unless its files are here and models of the data set know all entity types in it."""
    place = target(key)
    unknown = sorted(set(place.types) - set(splits.entity_types(dataset)))
    if unknown:
        raise SmallerError(
            f"The target {key} has the labels {', '.join(unknown)}, which no model that is "
            f"fine-tuned on {dataset} knows."
        )
    place.checksum()  # an error where its files are not here


def target(key: str, **options: object) -> EvaluationSet:
    """The test split that a parameter names, such as "masakhaner2/bam"; `options` are fields of `EvaluationSet`."""
    dataset, rest = name_and_rest(key)
    if len(rest) != 1:
        raise SmallerError(f"A target is a data set and a language, such as masakhaner2/bam; {key!r} is not.")
    return EvaluationSet(dataset, *rest, **options)


def fine_tunings(settings: Settings, *, languages: Sequence[str] | None = None) -> list[FineTune]:
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
        for language in (settings.languages if languages is None else languages)
    ]


def ahead_of_plain(encoders: Iterable[str], tunings: Sequence[FineTune]) -> Finding:
    """Whether the encoders, fine-tuned on one data set and no more, are ahead of a model without one."""
    own = study.run([dense(encoder, tuning) for encoder in encoders for tuning in tunings])
    languages = dict.fromkeys(tuning.language for tuning in tunings)
    return baselines.ahead(own, plain.run(tunings[0].dataset, languages))


def measured_on(tunings: Iterable[FineTune]) -> str:
    """Languages and seeds in words, for a caption; where data sets differ in their languages, those of each."""
    tunings, by_dataset = list(tunings), {}
    for tuning in tunings:
        by_dataset.setdefault(tuning.dataset, {})[tuning.language] = None
    told = {dataset: names_of(languages) for dataset, languages in by_dataset.items()}
    if len(set(told.values())) > 1:
        told = {dataset: f"{dataset}: {names}" for dataset, names in told.items()}
    return "; ".join([*dict.fromkeys(told.values()), count_of(len({tuning.seed for tuning in tunings}), "seed")])


def preview(
    recipes: study.Recipes, *, sets: Sequence[EvaluationSet] | Mapping[str, Sequence[EvaluationSet]] = ()
) -> None:
    """Display versions, device, how much of the work is done, how long the rest should take, and what is to score.

    Where groups of recipes, or languages, have sets of their own, `sets` go by their names. A dry run ends with the
    cell that calls this, which is tagged `plan`, and reads the plan from its output. Raises SmallerError for a step
    that cannot be taken.
    """
    groups = recipes if isinstance(recipes, Mapping) else {}
    every, by_name = study.flat(recipes), sets if isinstance(sets, Mapping) else {"": sets}
    require_possible(every)
    plan = study.estimate(every)
    unscored = set()
    for name, own in by_name.items():
        scored = groups.get(name) or [recipe for recipe in every if not name or recipe.fine_tuning.language == name]
        unscored.update(study.pending(scored, own) if own else ())
    plan = replace(plan, unscored=len(unscored))
    about = results.provenance_of_process()
    libraries = ", ".join(f"{name} {version}" for name, version in about["libraries"].items())
    rows = {
        "software": f"smaller {about['package']} ({about['commit']}), Python {about['python']}, {libraries}",
        "device": f"{about['device']}, mixed precision: {about['mixed_precision']}",
        "recipes": str(plan),
        "records": f"{results.folder().name}/ of the outputs folder",
    }
    table = pd.DataFrame(rows.items(), columns=["what", "here"])
    with tempfile.TemporaryDirectory() as folder:  # no file of the study's tables: each notebook has its own
        show(table, "This run.", "this-run", folder=Path(folder), also={PLAN: asdict(plan)})
