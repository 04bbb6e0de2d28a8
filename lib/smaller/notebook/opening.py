"""How a notebook begins: its parameters are checked, and it says what is done already and how long the rest takes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from smaller import encoders, study
from smaller.analysis.findings.distillation import (
    AGNOSTIC,
    CONTINUED,
    CUT,
    LABELS,
    SCRATCH,
    SPECIFIC,
    TEACHER,
    layers_and_heads,
)
from smaller.analysis.findings.robustness import DENSE, TYPING
from smaller.analysis.findings.words import percent
from smaller.base.errors import Planned, SmallerError, did_you_mean
from smaller.data import splits
from smaller.data.datasets import name_and_rest
from smaller.data.noise import check_noise
from smaller.data.sets import ATTACK, UNLABELLED, EvaluationSet, noise_grid
from smaller.notebook.display import show
from smaller.notebook.parameters import Settings, check
from smaller.study import results
from smaller.study.recipes import (
    Recipe,
    cut_then_pretrained,
    cut_then_tuned,
    dense,
    distilled_for_task,
    distilled_on_corpus,
    from_scratch,
    imitation,
    plain_pretraining,
    pruned_after,
    pruned_before,
    quantized,
)
from smaller.study.steps import Cut, Distil, FineTune, Prune, TrimVocabulary

VARIANTS: dict[str, dict[str, dict]] = {
    "attention relation": {
        "corpus": {"attention_weight": 1.0, "logits_weight": 0.0, "labels_weight": 0.0},
        "task": {"attention_weight": 1.0},
    },
    "hidden states": {"corpus": {"hidden_weight": 1.0}, "task": {"hidden_weight": 1.0}},
    "squared logits": {"corpus": {"logits": "mse"}, "task": {"logits": "mse"}},
    "teacher alone": {
        "corpus": {"logits_weight": 1.0, "labels_weight": 0.0},
        "task": {"logits_weight": 1.0, "labels_weight": 0.0},
    },
    "random start": {"corpus": {"start": "random"}, "task": {"start": "random"}},
    "first layers": {"corpus": {"layer_map": "first"}, "task": {"layer_map": "first"}},
    "last layers": {"corpus": {"layer_map": "last"}, "task": {"layer_map": "last"}},
    "transfer text": {"task": {}},
}
"""What each variant of distillation changes in `Distil`, on a corpus and on a task; some are for one of them only.

The attention relation is all that MiniLMv2 learns from (Wang et al. 2021); on the task it comes beside the logits,
which teach the classifier. Transfer text has no labels: only the teacher's logits teach from it.
"""


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
        "sources": lambda codes: _each(codes, lambda code: splits.check(namespace["dataset"], code)),
        "targets": lambda keys: _each(keys, lambda key: _target(key, namespace["dataset"])),
        "joint_sparsities": lambda shares: _each(shares, _share),
        "longer_epochs": lambda epochs: _all(epochs, lambda code: splits.check(namespace["dataset"], code)),
        "students": lambda shapes: _all(shapes, lambda shape: _student(shape, namespace["encoders"])),
    }
    if "controls" in namespace:
        students = namespace["students"]
        named |= {
            "students": lambda shapes: _each(shapes, lambda shape: _student(shape, namespace["encoders"])),
            "controls": lambda shapes: _all(shapes, lambda shape: _one_of(shape, students, "student")),
            "variant_student": lambda shape: _one_of(shape, students, "student"),
            "variants": lambda names: _all(names, lambda name: _one_of(name, VARIANTS, "variant")),
            "temperatures": lambda values: _each(values, _temperature),
            "corpus_languages": lambda codes: _each(codes, lambda code: splits.check_text(namespace["corpus"], code)),
        }
    if "noise" in namespace:
        named |= {
            "noise": _noise,
            "attack_budgets": lambda rates: _all(rates, lambda rate: check_noise(ATTACK, rate, kinds=[ATTACK])),
            "texts": lambda keys: _all(keys, lambda key: EvaluationSet(*_parts(key), noise=UNLABELLED).checksum()),
        }
    return check(namespace, **{name: rule for name, rule in named.items() if name in namespace})


def _noise(rates: Mapping[str, Sequence[float]]) -> None:
    """Raise SmallerError unless there are kinds of noise, and rates of each."""
    _each(list(rates), lambda kind: _each(rates[kind], lambda rate: check_noise(kind, rate)))
    if not set(rates) & set(TYPING):
        raise SmallerError(f"A study of noise needs a kind of typing noise: {', '.join(TYPING)}.")


def _each(values: Sequence, rule) -> None:
    if not values:
        raise SmallerError("A list of parameters is empty: give it at least one value.")
    _all(values, rule)


def _all(values: Iterable, rule) -> None:
    """As `_each`, for a list that may be empty."""
    for value in values:
        rule(value)


def _one_of(value: str, known: Iterable[str], what: str) -> None:
    if value not in known:
        hint = did_you_mean(value, known)
        raise SmallerError(f"{value!r} is no {what} of this study; there are {', '.join(known)}.{hint}")


def _share(value: float) -> None:
    if not 0 <= value <= 1:
        raise SmallerError(f"Sparsity is the share of weights that become zero, from 0 to 1; {value:g} is not.")


def _target(key: str, dataset: str) -> None:
    """Raise SmallerError unless its files are here and models of the data set know all entity types in it."""
    target = EvaluationSet(*_parts(key))
    unknown = sorted(set(target.types) - set(splits.entity_types(dataset)))
    if unknown:
        raise SmallerError(
            f"The target {key} has the labels {', '.join(unknown)}, which no model that is "
            f"fine-tuned on {dataset} knows."
        )
    target.checksum()  # an error where its files are not here


def _parts(key: str) -> list[str]:
    dataset, rest = name_and_rest(key)
    if len(rest) != 1:
        raise SmallerError(f"A target is a data set and a language, such as masakhaner2/bam; {key!r} is not.")
    return [dataset, *rest]


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


def preview(
    recipes: study.Recipes, *, sets: Sequence[EvaluationSet] | Mapping[str, Sequence[EvaluationSet]] = ()
) -> None:
    """Display versions, device, how much of the work is done, how long the rest should take, and what is to score.

    Where each language has sets of its own, `sets` go by language. In a dry run the notebook ends here.
    """
    recipes, by_language = study.flat(recipes), sets if isinstance(sets, Mapping) else {"": sets}
    unscored = sum(
        len(study.pending([recipe for recipe in recipes if language in ("", recipe.fine_tuning.language)], own))
        for language, own in by_language.items()
        if own
    )
    work = study.estimate(recipes) + f"; {unscored} to score on further sets" * bool(unscored)
    if os.environ.get("SMALLER_PLAN"):
        raise Planned(work)
    about = results.provenance_of_process()
    libraries = ", ".join(f"{name} {version}" for name, version in about["libraries"].items())
    rows = {
        "software": f"smaller {about['package']} ({about['commit']}), Python {about['python']}, {libraries}",
        "device": f"{about['device']}, mixed precision: {about['mixed_precision']}",
        "recipes": work,
        "records": str(results.folder().name) + "/ of the outputs folder",
    }
    show(pd.DataFrame(rows.items(), columns=["what", "here"]), "This run.", "this-run")


def distillation_study(settings: Settings) -> dict[str, list[Recipe]]:
    """The recipes of a distillation study by strategy, as `findings.distillation.by_strategy` takes their tables.

    The teachers; the task-agnostic and task-specific students of every shape; the four controls for the shapes
    `controls`; and under "strategy: variant" what `temperatures` after the first, and `variants`, make of
    `variant_student` with the seeds `variant_seeds`. Every corpus distillation and pre-training serves all languages.
    """
    tunings = fine_tunings(settings)
    few = [tuning for tuning in tunings if tuning.seed in settings.variant_seeds]
    found: dict[str, list[Recipe]] = {}
    for encoder in settings.encoders:
        made = [{TEACHER: [dense(encoder, tuning) for tuning in tunings]}]
        made += [_students(encoder, shape, tunings, settings) for shape in settings.students]
        made += [_controls(encoder, shape, tunings, settings) for shape in settings.controls]
        for name, change in _changes(settings).items():
            students = _students(encoder, settings.variant_student, few, settings, change=change)
            made.append({f"{strategy}: {name}": recipes for strategy, recipes in students.items()})
        for part in made:
            for strategy, recipes in part.items():
                found.setdefault(strategy, []).extend(recipes)
    return found


def robustness_study(settings: Settings) -> dict[str, list[Recipe]]:
    """The recipes of a study of robustness by model, as `findings.robustness.by_model` takes their tables.

    The dense models of the first encoder, and each technique at the strengths that the settings name: sparsities in
    both orders, students that imitate and ones that are only cut, quantized forms, and vocabularies, which are trimmed
    to the pieces that are most frequent in a language's text.
    """
    base, tunings = settings.encoders[0], fine_tunings(settings)
    found = {DENSE: [dense(base, tuning) for tuning in tunings]}
    for order, make in (("before", pruned_before), ("after", pruned_after)):
        for sparsity in settings.sparsities:
            own = [make(base, Prune(sparsity), tuning) for tuning in tunings]
            found[f"pruned {order} fine-tuning, {percent(sparsity)}"] = own
    for shape in settings.students:
        found[f"distilled, {shape}"] = [
            distilled_for_task(base, tuning, imitating(shape, tuning)) for tuning in tunings
        ]
    for shape in settings.students:
        found[f"cut, {shape}"] = [cut_then_tuned(base, Cut(*layers_and_heads(shape)), tuning) for tuning in tunings]
    for form in settings.forms:
        found[f"quantized, {form}"] = [quantized(base, tuning, form) for tuning in tunings]
    for size in settings.vocabularies:
        found[f"trimmed, {size} pieces"] = [
            dense(base, tuning).then(
                TrimVocabulary(size, corpus=settings.corpus, languages=(tuning.language,), lines=settings.corpus_lines)
            )
            for tuning in tunings
        ]
    return found


def robustness_sets(settings: Settings, language: str) -> list[EvaluationSet]:
    """What models of a language are scored on: noise, attacks, other languages, and text without labels."""
    own = f"{settings.dataset}/{language}"
    others = [key for key in settings.targets if _parts(key)[1] != language]
    texts = [own, *others, *(key for key in settings.texts if _parts(key)[1] == language)]
    return [
        *noise_grid(settings.dataset, language, noise=settings.noise, seed=settings.noise_seed),
        *(
            EvaluationSet(
                settings.dataset, language, "test", ATTACK, budget, settings.noise_seed, settings.attacked_sentences
            )
            for budget in settings.attack_budgets
        ),
        *(EvaluationSet(*_parts(key)) for key in others),
        *(EvaluationSet(*_parts(key), noise=UNLABELLED, limit=settings.text_sentences) for key in dict.fromkeys(texts)),
    ]


def before_tuning(recipes: Iterable[Recipe]) -> list[Recipe]:
    """What recipes that end in fine-tuning are before it, where a training on a corpus stands there.

    They are recipes too, without scores: their records hold the learning curves on the corpus.
    """
    found = dict.fromkeys(Recipe(recipe.encoder, recipe.steps[:-1]) for recipe in recipes)
    return [recipe for recipe in found if recipe.steps and recipe.steps[-1].trains]


def learning_panels(recipes: Mapping[str, Sequence[Recipe]], settings: Settings) -> dict[str, dict[str, list[Recipe]]]:
    """Recipes of a distillation study whose learning curves belong together, by panel and series.

    Of the first teacher, language and seed alone. Curves of one panel are of one loss.
    """
    tuning = fine_tunings(settings)[0]
    own = {
        strategy: {
            _shape(recipe): recipe
            for recipe in found
            if recipe.encoder == settings.encoders[0] and recipe.fine_tuning == tuning
        }
        for strategy, found in recipes.items()
    }
    chosen = next(iter(settings.controls), settings.variant_student)
    tuned = {strategy: own.get(strategy, {}).get(chosen) for strategy in (AGNOSTIC, LABELS, CUT, CONTINUED, SCRATCH)}
    panels = {
        "distillation on text": {shape: before_tuning([recipe]) for shape, recipe in own[AGNOSTIC].items()},
        "pre-training of the controls": {
            f"{strategy}, {shape}": before_tuning([recipe])
            for strategy in (CONTINUED, SCRATCH)
            for shape, recipe in own.get(strategy, {}).items()
        },
        "distillation on the task": {shape: [recipe] for shape, recipe in own[SPECIFIC].items()},
        f"fine-tuning of {chosen} and the teacher": {TEACHER: list(own[TEACHER].values())}
        | {strategy: [recipe] for strategy, recipe in tuned.items() if recipe},
    }
    return {title: series for title, series in panels.items() if series}


def _shape(recipe: Recipe) -> str:
    """The shape that a recipe's student or control is cut to; empty for a teacher."""
    return next((f"{step.layers}x{step.heads}" for step in recipe.steps if isinstance(step, Cut | Distil)), "")


def _changes(settings: Settings) -> dict[str, dict[str, dict]]:
    """What each temperature after the first, and each variant, changes in `Distil` on a corpus and on a task."""
    changes = {
        f"temperature {value:g}": dict.fromkeys(("corpus", "task"), {"temperature": value})
        for value in settings.temperatures[1:]
    }
    changes |= {name: VARIANTS[name] for name in settings.variants}
    if "transfer text" in changes:
        text = {"transfer_corpus": settings.corpus, "transfer_lines": settings.transfer_lines}
        changes["transfer text"] = {"task": text}
    return changes


def _students(
    encoder: str,
    shape: str,
    tunings: Sequence[FineTune],
    settings: Settings,
    *,
    change: Mapping[str, dict] | None = None,
) -> dict[str, list[Recipe]]:
    """Both kinds of student of a shape such as "4x6"; with a change, those that it speaks of."""
    change = {"corpus": {}, "task": {}} if change is None else change
    found = {}
    if "corpus" in change:
        step = _on_corpus(shape, settings, **change["corpus"])
        found[AGNOSTIC] = [distilled_on_corpus(encoder, step, tuning) for tuning in tunings]
    if "task" in change:
        corpus = change["task"].get("transfer_corpus")
        found[SPECIFIC] = [
            distilled_for_task(encoder, tuning, _on_task(shape, tuning, settings, **change["task"]))
            for tuning in tunings
            if corpus is None or splits.has_text(corpus, tuning.language)
        ]
    return found


def _controls(encoder: str, shape: str, tunings: Sequence[FineTune], settings: Settings) -> dict[str, list[Recipe]]:
    cut, plain = Cut(*layers_and_heads(shape)), plain_pretraining(_on_corpus(shape, settings))
    # The task-specific student in all but the teacher's answers: what these add is measured against it alone.
    alone = {"logits_weight": 0.0, "labels_weight": 1.0}
    return {
        LABELS: [distilled_for_task(encoder, tuning, _on_task(shape, tuning, settings, **alone)) for tuning in tunings],
        CUT: [cut_then_tuned(encoder, cut, tuning) for tuning in tunings],
        CONTINUED: [cut_then_pretrained(encoder, cut, plain, tuning) for tuning in tunings],
        SCRATCH: [from_scratch(encoder, cut, plain, tuning) for tuning in tunings],
    }


def _on_corpus(shape: str, settings: Settings, **changes: object) -> Distil:
    return Distil(
        *layers_and_heads(shape),
        on="corpus",
        corpus=settings.corpus,
        languages=tuple(settings.corpus_languages),
        updates=settings.corpus_updates,
        batch_size=settings.corpus_batch_size,
        learning_rate=settings.corpus_learning_rate,
        max_length=settings.corpus_max_length,
        rate=settings.corpus_rate,
        lines=settings.corpus_lines,
        **_with_temperature(settings, changes),
    )


def _on_task(shape: str, tuning: FineTune, settings: Settings, **changes: object) -> Distil:
    return imitating(shape, tuning, **_with_temperature(settings, changes))


def imitating(shape: str, tuning: FineTune, **changes: object) -> Distil:
    """`recipes.imitation` into a shape, `layers x heads`."""
    return imitation(tuning, *layers_and_heads(shape), **changes)


def _with_temperature(settings: Settings, changes: Mapping[str, object]) -> dict[str, object]:
    """The changes, at the first temperature unless they name another, or need none."""
    used = changes.get("logits", "kl") == "kl" and changes.get("logits_weight", 1) != 0
    return ({"temperature": settings.temperatures[0]} if used else {}) | dict(changes)


def _student(shape: str, names: Sequence[str]) -> None:
    """Raise SmallerError unless a student of this shape can be cut from every teacher."""
    layers, heads = layers_and_heads(shape)
    for name in names:
        depth, width = _depth_and_width(name)
        if layers > depth:
            raise SmallerError(f"The student {shape} has more layers than its teacher {name}: ask for at most {depth}.")
        if width % heads:
            raise SmallerError(
                f"The student {shape} cannot be: {heads} heads do not divide the hidden size of {name}, "
                f"{width}, into equal shares."
            )


def _depth_and_width(name: str) -> tuple[int, int]:
    found = encoders.source(name)
    if isinstance(found, Path):
        config = json.loads((found / "config.json").read_text(encoding="utf-8"))
        return config["num_hidden_layers"], config["hidden_size"]
    return found.layers, found.hidden


def _temperature(value: float) -> None:
    if value <= 0:
        raise SmallerError(f"A temperature is a number above zero; {value:g} is not.")
