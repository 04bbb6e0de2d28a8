"""What is refused before the study of extreme compression begins."""

from __future__ import annotations

from collections.abc import Mapping

from smaller.base.errors import SmallerError, did_you_mean
from smaller.data import splits
from smaller.notebook.extreme import CHANGES, corpus_of, languages_of, stages_of
from smaller.notebook.parameters import Settings
from smaller.study.recipes import ablations, reordered, starting_configuration


def require_extreme(settings: Settings) -> None:
    """Raise SmallerError unless every step of the pipeline can be taken from every encoder of the settings."""
    for dataset in settings.tasks:
        splits.task(dataset)
        if not languages_of(settings, dataset):
            raise SmallerError(
                f"The data set {dataset!r} has no training split in {', '.join(settings.languages)}: "
                "leave the task out, or study a language that it has."
            )
    for language in settings.languages:
        if not any(language in languages_of(settings, dataset) for dataset in settings.tasks):
            raise SmallerError(
                f"No task of {', '.join(settings.tasks)} has a training split in {language}: leave the "
                "language out, or add a task."
            )
        splits.check_text(corpus_of(settings, language), language)
        if not any(map(str.strip, splits.text(corpus_of(settings, language), language))):
            raise SmallerError(
                f"The text of {corpus_of(settings, language)}/{language} is empty, and every step "
                "before fine-tuning reads it."
            )
    for change in [*settings.combinations, *settings.taught]:
        _require_combination(change)
    for change in settings.combinations:
        if not change:
            raise SmallerError(f"A combination is empty: change some of {', '.join(CHANGES)}.")
    for change in settings.taught:
        if "corpus_updates" in change:
            raise SmallerError("A student that is taught on the task has no corpus_updates; see transfer_lines.")
    if not 0 <= settings.untaught <= len(settings.taught):
        raise SmallerError(
            f"untaught is a number from 0 to that of the students in taught, {len(settings.taught)}; it "
            f"is {settings.untaught}."
        )
    for field in ("transfer_lines", "transfer_epochs") if settings.taught else ():
        if settings[field] < 1:
            raise SmallerError(f"{field} is a number of at least 1; it is {settings[field]}.")
    for name in settings.encoders:
        config = starting_configuration(name)
        for size in _tried(settings, "hidden_size"):
            if size % config.num_attention_heads or size > config.hidden_size:
                raise SmallerError(
                    f"A hidden size of {size} cannot be reached from {name}: it is a multiple of the "
                    f"{config.num_attention_heads} heads, and at most {config.hidden_size}."
                )
        for field, most in (("layers", config.num_hidden_layers), ("feed_forward", config.intermediate_size)):
            for size in _tried(settings, field):
                if not 0 < size <= most:
                    raise SmallerError(f"{field} is a number from 1 to {most} for {name}; it is {size}.")
        _require_layers(settings, name, most=config.num_hidden_layers)
        stages = stages_of(settings, name, settings.languages[0], heads=config.num_attention_heads)
        for question in settings.questions:
            if question not in ablations(stages):
                raise SmallerError(
                    f"The study has no question {question!r}; it has {', '.join(ablations(stages))}."
                    f"{did_you_mean(question, ablations(stages))}"
                )
        for order in settings.orders:
            reordered(stages, *order)
            if not order:
                raise SmallerError(f"An order of stages is empty: name some of {', '.join(stages)}.")
    for dataset in settings.adapter_tasks:
        if dataset not in settings.tasks:
            raise SmallerError(
                f"Adapters are trained on some of the tasks {', '.join(settings.tasks)}; {dataset!r} is "
                f"none of them.{did_you_mean(dataset, settings.tasks)}"
            )
    for factor in settings.adapters:
        if factor < 1:
            raise SmallerError(f"Adapters are so many times narrower than the hidden states: at least 1, not {factor}.")
    _require_room(settings)


def _require_layers(settings: Settings, encoder: str, *, most: int) -> None:
    """Raise SmallerError for layer maps of other encoders, or unless this one's names layers that it has."""
    if unknown := [name for name in settings.layer_maps if name not in settings.encoders]:
        raise SmallerError(
            f"layer_maps names {unknown[0]!r}, which is none of the encoders "
            f"{', '.join(settings.encoders)}.{did_you_mean(unknown[0], settings.encoders)}"
        )
    chosen = settings.layer_maps.get(encoder)
    if chosen is not None and (len(chosen) != settings.layers or not max(chosen) < most):
        raise SmallerError(
            f"The layer map of {encoder} names {settings.layers} of its layers, 0 to {most - 1}; it is {list(chosen)}."
        )


def _require_combination(change: Mapping[str, int]) -> None:
    for field, size in change.items():
        if field not in CHANGES:
            raise SmallerError(
                f"A combination changes some of {', '.join(CHANGES)}; {field!r} is none of them."
                f"{did_you_mean(field, CHANGES)}"
            )
        if size < 1:
            raise SmallerError(f"{field} is a number of at least 1; in a combination it is {size}.")


def _tried(settings: Settings, field: str) -> list[int]:
    """Every value of a size that the study comes to."""
    lists = {"hidden_size": "hidden_sizes", "vocabulary": "vocabularies"}
    own = settings[lists[field]] if field in lists else [settings[field]]
    changes = [*settings.combinations, *settings.taught]
    return [*own, *(change[field] for change in changes if field in change)]


def _require_room(settings: Settings) -> None:
    """Raise SmallerError for so few tokens that special ones and the letters of a language's text take them all."""
    least = min(_tried(settings, "vocabulary"))
    for language in settings.languages if least < LETTERS else ():
        text = "".join(splits.text(corpus_of(settings, language), language))
        needed = len(set("".join(text.split()))) + SPECIAL
        if least < needed:
            raise SmallerError(
                f"A vocabulary of {least} tokens is too small for {language}: special tokens and the "
                f"single characters of its text are {needed} at least."
            )


SPECIAL = 5
"""The special tokens that every tokenizer of this study has: begin, end, padding, unknown, mask."""

LETTERS = 2000
"""More than the texts of these languages have of single characters: so many tokens leave room without a look."""
