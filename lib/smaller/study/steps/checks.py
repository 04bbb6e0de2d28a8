"""Checks of fields that several steps have: what is wrong is said before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from smaller.base.checks import name_of, require
from smaller.data import own, splits
from smaller.data.examples import Example, Sentence
from smaller.data.languages import in_codes
from smaller.data.schemes import from_bio, labels_of_words, scheme_of
from smaller.study.steps.base import Step


def require_labelled(step: Step, *names: str) -> None:
    """A data set with labels that has the step's language, and these splits of it; names are kept in full."""
    object.__setattr__(step, "dataset", own.named(step.dataset, language=step.language))
    object.__setattr__(step, "language", in_codes(step.language))
    splits.check(step.dataset, step.language, *names)
    splits.task(step.dataset)  # an error where there are no labels


def require_languages(step: Step) -> None:
    """A list of languages, each of which the step's corpus has as unlabelled text; kept as a tuple."""
    languages = step.languages
    require(
        isinstance(languages, (tuple, list)) and len(languages) > 0,
        f"{name_of(step)} languages is a list of at least one language; it is {languages!r}.",
    )
    object.__setattr__(step, "languages", tuple(languages))
    for language in languages:
        require(
            "+" not in str(language), f"{name_of(step)} languages are single ones; {language!r} is several: list them."
        )
        splits.check_text(step.corpus, language)


def require_text(step: Step, field: str, *, reads: bool, purpose: str) -> None:
    """A corpus and its languages if the step `reads` text with this value of a field, and none if it does not."""
    said = f"{type(step).__name__}({field}={getattr(step, field)!r})"
    if reads:
        require(bool(step.corpus), f"{said} needs a corpus: {purpose}.")
        require_languages(step)
    else:
        require(not step.corpus and not step.languages, f"{said} reads no text: leave corpus and languages out.")


def as_taught(examples: Sequence[Example], labels: Sequence[str]) -> list[Example]:
    """The examples with their tags in the scheme of a teacher's labels: of spans that are there in BIO."""
    given = labels_of_words(labels)
    if not given or scheme_of(given) in ("bio", "none"):
        return list(examples)
    return [replace(each, tags=from_bio(each.tags, given)) if isinstance(each, Sentence) else each for each in examples]


def labels_in(dataset: str, language: str, *names: str, taught_by: Sequence[str] = ()) -> set[str]:
    """The labels that occur in the splits of a data set, in the scheme of the labels that they are `taught_by`.

    Raises SmallerError for a teacher whose own labels do not go together.
    """
    spans = splits.task(dataset).spans
    return {
        label
        for split in names
        for example in as_taught(splits.sentences(dataset, language, split), taught_by if spans else ())
        for label in example.labels
    }
