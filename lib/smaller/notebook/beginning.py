"""How a notebook begins: its parameters are checked, and it says what is done already and how long the rest takes."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd

from smaller import study
from smaller.analysis.findings import baselines
from smaller.analysis.findings.finding import Finding
from smaller.base.words import count_of
from smaller.data.languages import names_of
from smaller.data.sets import EvaluationSet
from smaller.notebook.display import show
from smaller.notebook.parameters import Settings, check
from smaller.notebook.rules import chosen as chosen
from smaller.notebook.rules import rules
from smaller.notebook.rules import target as target
from smaller.study import plain, results
from smaller.study.plans import SHOWN
from smaller.study.recipes import dense, require_possible
from smaller.study.steps import FineTune


def begin(namespace: Mapping[str, object]) -> Settings:
    """The checked parameters of the notebook; called as `begin(globals())` in its second code cell.

    Beyond names and types: encoders exist, the data set has the languages, shares lie between 0 and 1, and lists that
    have to hold something do. Raises SmallerError, with a suggestion where there is one, before anything is loaded.
    """
    # Later cells may use a parameter's name of another notebook for a variable.
    names = namespace.get("__annotations__") or namespace
    return check(namespace, **rules({name: value for name, value in namespace.items() if name in names}))


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
        "device": f"{about['device']}, mixed precision in training: {about['mixed_precision']}, scores in fp32",
        "recipes": str(plan),
        "records": f"{results.folder().name}/ of the outputs folder",
    }
    table = pd.DataFrame(rows.items(), columns=["what", "here"])
    with tempfile.TemporaryDirectory() as folder:  # no file of the study's tables: each notebook has its own
        show(table, "This run.", "this-run", folder=Path(folder), also={SHOWN: asdict(plan)})
