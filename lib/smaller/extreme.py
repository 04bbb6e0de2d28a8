"""The recipes of the study of extreme compression, from the parameters of its notebook."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from smaller.data import splits
from smaller.errors import SmallerError, did_you_mean
from smaller.findings.extreme import PIPELINE
from smaller.findings.words import percent
from smaller.opening import fine_tunings
from smaller.parameters import Settings
from smaller.recipes import (
    NARROWER,
    TRIMMED,
    Recipe,
    Stages,
    ablations,
    cut_then_tuned,
    dense,
    pipeline,
    pruned_after,
    second_paper,
    starting_configuration,
)
from smaller.steps import Adapt, Cut, Distil, FineTune, Prune, Quantize, TrimVocabulary

Families = dict[str, dict[str, list[Recipe]]]
"""Recipes by family (the pipeline, or a single technique) and, inside it, by stage."""


def require_extreme(settings: Settings) -> None:
    """Raise SmallerError unless every step of the pipeline can be taken from every encoder of the settings."""
    for dataset in settings.tasks:
        splits.task(dataset)
        for language in settings.languages:
            splits.check(dataset, language)
            splits.check_text(settings.corpus, language)
    for name in settings.encoders:
        config = starting_configuration(name)
        for size in settings.hidden_sizes:
            if size % config.num_attention_heads or size > config.hidden_size:
                raise SmallerError(
                    f"A hidden size of {size} cannot be reached from {name}: it is a multiple of the "
                    f"{config.num_attention_heads} heads, and at most {config.hidden_size}."
                )
        for field, most in (("layers", config.num_hidden_layers), ("feed_forward", config.intermediate_size)):
            if not 0 < settings[field] <= most:
                raise SmallerError(f"{field} is a number from 1 to {most} for {name}; it is {settings[field]}.")
        stages = _stages(settings, settings.languages[0], heads=config.num_attention_heads)
        for question in settings.questions:
            if question not in ablations(stages):
                raise SmallerError(f"The study has no question {question!r}; it has {', '.join(ablations(stages))}."
                                   f"{did_you_mean(question, ablations(stages))}")  # fmt: skip


def extreme_study(settings: Settings) -> Families:
    """The pipeline's stages, and single techniques at several strengths, on every task, language and seed.

    Each language has a pipeline of its own, on its own text. Beside the main one stand further hidden sizes and
    numbers of pieces, as stages of the family, which change that one size and nothing else.
    """
    found: Families = {PIPELINE: {}}
    for encoder in settings.encoders:
        heads = starting_configuration(encoder).num_attention_heads
        for tuning in tunings(settings):
            stages = _stages(settings, tuning.language, heads=heads)
            own = pipeline(encoder, stages, tuning, [Quantize(settings.closing)] if settings.closing else [])
            for stage, recipe in own.items():
                found[PIPELINE].setdefault(stage, []).append(recipe)
            for family, singles in _singles(encoder, tuning, settings).items():
                for stage, recipe in singles.items():
                    found.setdefault(family, {}).setdefault(stage, []).append(recipe)
    return found


def other_sizes(settings: Settings) -> dict[str, list[Recipe]]:
    """The whole pipeline at each further hidden size and number of pieces, by what is different."""
    found: dict[str, list[Recipe]] = {}
    for encoder in settings.encoders:
        heads = starting_configuration(encoder).num_attention_heads
        for tuning in tunings(settings):
            for hidden in settings.hidden_sizes[1:]:
                stages = _stages(settings, tuning.language, heads=heads, hidden=hidden)
                found.setdefault(f"{hidden} wide", []).append(_whole(encoder, stages, tuning))
            for pieces in settings.vocabularies[1:]:
                stages = _stages(settings, tuning.language, heads=heads, vocabulary=pieces)
                found.setdefault(f"{pieces:,} pieces", []).append(_whole(encoder, stages, tuning))
    return found


def variants(settings: Settings) -> dict[str, list[Recipe]]:
    """What each question of the settings changes in the whole pipeline, with the seeds `variant_seeds`."""
    found: dict[str, list[Recipe]] = {}
    for encoder in settings.encoders:
        heads = starting_configuration(encoder).num_attention_heads
        for tuning in tunings(settings):
            if tuning.seed in settings.variant_seeds:
                asked = ablations(_stages(settings, tuning.language, heads=heads))
                for question in settings.questions:
                    found.setdefault(question, []).append(_whole(encoder, asked[question], tuning))
    return found


def tunings(settings: Settings) -> list[FineTune]:
    """A fine-tuning for each task, language and seed."""
    return [dataclasses.replace(tuning, dataset=dataset)
            for dataset in settings.tasks for tuning in fine_tunings(settings)]  # fmt: skip


def pieces_stages(settings: Settings) -> list[str]:
    """The stages that differ in their number of pieces alone, the untrimmed one first."""
    return [NARROWER, TRIMMED, *(f"{pieces:,} pieces" for pieces in settings.vocabularies[1:])]


def flat(found: Mapping[str, object]) -> list[Recipe]:
    """All recipes of families, or of stages."""
    return [recipe for own in found.values()
            for recipe in (flat(own) if isinstance(own, Mapping) else own)]  # fmt: skip


def _stages(settings: Settings, language: str, *, heads: int, **sizes: int) -> Stages:
    shared = {"batch_size": settings.corpus_batch_size, "learning_rate": settings.corpus_learning_rate,
              "max_length": settings.corpus_max_length, "rate": settings.corpus_rate}  # fmt: skip
    adapt = None
    if settings.adaptation_updates:
        adapt = Adapt(settings.corpus, language, updates=settings.adaptation_updates, warm_up=0.1, **shared)
    distil = Distil(settings.layers, corpus=settings.corpus, languages=(language,), updates=settings.corpus_updates,
                    logits="mse", **shared)  # fmt: skip
    main = {"hidden": settings.hidden_sizes[0], "vocabulary": settings.vocabularies[0]}
    return second_paper(adapt, distil, heads=heads, feed_forward=settings.feed_forward, width_by=settings.width_by,
                        **main | sizes)  # fmt: skip


def _whole(encoder: str, stages: Stages, tuning: FineTune) -> Recipe:
    return list(pipeline(encoder, stages, tuning).values())[-1]


def _singles(encoder: str, tuning: FineTune, settings: Settings) -> dict[str, dict[str, Recipe]]:
    """Paper 1's techniques, each at the strengths of the settings, and trimming alone."""
    text = {"corpus": settings.corpus, "languages": (tuning.language,)}
    cuts: Sequence[int] = settings.cut_layers
    return {
        "pruned": {f"pruned, {percent(share)}": pruned_after(encoder, Prune(share), tuning)
                   for share in settings.sparsities},
        "cut": {f"cut, {layers} layers": cut_then_tuned(encoder, Cut(layers), tuning) for layers in cuts},
        "trimmed": {f"trimmed, {pieces:,} pieces": dense(encoder, tuning).then(TrimVocabulary(pieces, **text))
                    for pieces in settings.vocabularies},
        "quantized": {f"quantized, {form}": dense(encoder, tuning).then(Quantize(form)) for form in settings.forms},
    }  # fmt: skip
