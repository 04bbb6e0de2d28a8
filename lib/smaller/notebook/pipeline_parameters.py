"""What 07_extreme asks of its parameters, and what it calls the models that they make."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from smaller.base.checks import require_one_of
from smaller.base.errors import SmallerError
from smaller.base.words import count_of
from smaller.data import splits
from smaller.notebook.parameters import Settings, model, validate
from smaller.notebook.rules import may_lie_in_files

if TYPE_CHECKING:
    from smaller.analysis.findings.finding import Finding

SIZES = {
    "layers": lambda number: count_of(number, "layer"),
    "feed_forward": "{:,} neurons".format,
    "hidden_size": "{:,} wide".format,
    "vocabulary": "{:,} tokens".format,
}
"""The sizes of a pipeline's shape, in words."""

TEXT = dict.fromkeys(["updates", "batch_size", "max_length", "lines"], int) | {"learning_rate": float, "rate": float}
GROUPS = {
    "text": TEXT,
    "shape": dict.fromkeys(SIZES, int) | {"width_by": Literal["slice", "importance", "projection"]},
    "teaching": {"epochs": int, "transfer_lines": int},
    "adapters": {"reductions": list[int], "tasks": list[str], "learning_rate": float},
    "few_seeds": dict.fromkeys(["variants", "adapters", "no teacher"], list[int]),
    "techniques": {"prune": list[float], "cut": list[int], "distil": list[str], "quantize": list[str]},
    "measuring": dict.fromkeys(["guessed_sentences", "timed_sentences", "timed_rounds"], int),
}
"""The keys that each parameter with several values has, and their types; a profile says those that it changes."""

SPECIAL = 5
"""The special tokens that every tokenizer of this study has: begin, end, padding, unknown, mask."""

LETTERS = 2000
"""More than the texts of these languages have of single characters: so many tokens leave room without a look."""


def named(kind: str, change: Mapping[str, int]) -> str:
    """A kind of model and the sizes that it changes, such as "taught, 48 wide, 1,500 tokens"."""
    return ", ".join(filter(None, [kind, *(say(change[size]) for size, say in SIZES.items() if size in change)]))


def headlines(found: Mapping[tuple, Finding], encoder: str) -> str:
    """The headlines of an encoder's findings, for a caption; what the gate refuses is said once, in the answers."""
    from smaller.analysis.comparison import NOT_COMPARABLE  # whoever checks a profile waits for no analysis

    told = (one for (name, *_), one in found.items() if name == encoder and one.verdict != NOT_COMPARABLE)
    return " ".join(one.headline for one in told)


def require(settings: Settings, *, files: bool = True) -> None:
    """Raise SmallerError unless tasks, languages, text and sizes fit each other; what is left, the recipes refuse.

    Without `files` only names are looked at, as in `rules.rules`.
    """
    for name, keys in {**GROUPS, "adaptation": TEXT}.items():
        _refuse_other(settings[name], keys, f"of {name}")
        if absent := [key for key in keys if key not in settings[name] and name in GROUPS]:
            raise SmallerError(f"The parameter {name} needs a value for {', '.join(absent)}.")
        validate(settings[name], model({key: (keys[key], ...) for key in settings[name]}), where=name)
    for change in [*settings.other_shapes, *settings.taught]:
        _refuse_other(change, SIZES, "of a shape")
    if not all(settings.other_shapes):
        raise SmallerError(f"One of other_shapes is empty: change some of {', '.join(SIZES)}.")
    if not files and any(map(may_lie_in_files, [*settings.tasks, settings.corpus])):
        return
    for dataset in settings.tasks:
        splits.task(dataset)
        if not any(splits.has_training(dataset, language) for language in settings.languages):
            raise SmallerError(
                f"The data set {dataset!r} has no training split in {', '.join(settings.languages)}: "
                "leave the task out, or study a language that it has."
            )
    shapes = [settings.shape, *settings.other_shapes, *settings.taught]
    least = min(shape["vocabulary"] for shape in shapes if "vocabulary" in shape)
    for language in settings.languages:
        _require_language(language, settings.tasks, settings.corpus, least, files=files)
    _refuse_other(settings.adapters["tasks"], settings.tasks, "of the tasks")


def _refuse_other(given: Iterable[str], known: Sequence[str] | Mapping, where: str) -> None:
    for key in given:
        require_one_of(key, known, f"{{!r}} is none {where}: {{}}.")


def _require_language(language: str, tasks: Iterable[str], corpus: str, least: int, *, files: bool) -> None:
    """Raise SmallerError unless a task has the language, and the text has so few characters that `least` tokens do."""
    if not any(splits.has_training(dataset, language) for dataset in tasks):
        try:
            splits.check(next(iter(tasks)), language, "train")
        except SmallerError as error:
            raise SmallerError(
                f"No task of {', '.join(tasks)} has a training split in {language}: leave the language out, or add a "
                f"task. {error}"
            ) from error
    splits.check_text(corpus, language)
    if not files:
        return
    text = splits.text(corpus, language)
    needed = SPECIAL + len(set("".join("".join(text).split()))) if least < LETTERS else 0
    if least < needed:
        raise SmallerError(
            f"A vocabulary of {least} tokens is too small for {language}: special tokens and the single characters of "
            f"its text are {needed} at least."
        )
