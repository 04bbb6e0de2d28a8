"""What somebody asks of `compress` and `ship`, as far as names tell: a mistake is told before PyTorch is imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from smaller import formats
from smaller.base import paths
from smaller.base.errors import SmallerError, did_you_mean
from smaller.base.files import ABOUT_FILE, require_place
from smaller.data import datasets, hub, splits, tasks
from smaller.data.languages import in_codes
from smaller.data.languages import language as language_of
from smaller.encoders import finding


def require_asked(encoder: str, data: str, folder: Path | str, *, task: str, language: str, form: str) -> None:
    """Raise SmallerError unless all that is named is there: encoder, data, task, language, format, a place for it."""
    if form:
        formats.require_format(form)
    if task:
        tasks.task(task)
    for code in language.split("+"):
        language_of(code)
    require_place(folder, mark=ABOUT_FILE)
    try:
        finding.find(encoder)
    except SmallerError:
        if not any((place / "config.json").is_file() for place in places(encoder)):  # else it may teach, at least
            raise
    named = of_the_study(data, language)
    if is_of_the_hub(data) and not named:
        hub.check(data, language)
    elif not (named or paths.expanded(data).exists()):
        near = did_you_mean(datasets.name_and_rest(data)[0], datasets.DATASETS)
        raise SmallerError(
            f"There is no file and no folder {data}.{near} Name a labelled file, a folder with train, dev and "
            "test, or a data set and a language, such as masakhaner/swa."
        )


def places(encoder: str) -> Iterator[Path]:
    """Where the folder of an encoder may lie."""
    models = paths.models_folder()
    yield paths.expanded(encoder)
    if models:
        yield models / encoder


def of_the_study(data: str, language: str = "") -> tuple[str, str] | None:
    """Name and language of a described data set that has train, dev and test in it; None for anything else.

    Raises SmallerError for a data set without a language, and where another `language` is given beside it.
    """
    name, rest = datasets.name_and_rest(data)
    if name in datasets.DATASETS and not rest and not paths.expanded(data).exists():
        known = splits.languages(name)
        raise SmallerError(f"Which language of {name}? It has {', '.join(known)}: name one, as {name}/{known[0]}.")
    if name not in datasets.DATASETS or len(rest) != 1:
        return None
    code = in_codes(rest[0])
    if language not in ("", "und") and in_codes(language) != code:
        raise SmallerError(f"{data} is in {code}, and the language that was given is {language}: leave it out.")
    splits.check(name, code, "train", "dev", "test")
    return name, code


def is_of_the_hub(data: str) -> bool:
    """Whether data can be nothing but a data set of the hub, or nearly a name."""
    own = data.startswith((".", "/", "~")) or data.endswith("/") or paths.expanded(data).exists()
    return "/" in data and not own


def require_to_ship(name: str, folder: Path | str, *, form: str) -> None:
    """Raise SmallerError unless a record may be meant, with a format and a place for the model.

    Labels, which have a colon, are told by the records alone.
    """
    if form:
        formats.require_format(form)
    require_place(folder, mark=ABOUT_FILE)
    folder = paths.outputs_folder() / "results"
    identities = [file.stem for file in folder.glob("*.json")]
    if ":" not in name and not any(identity.startswith(name) for identity in identities):
        raise no_recipe(name, identities, count=len(identities), folder=folder)


def no_recipe(name: str, names: Sequence[str], *, count: int, folder: Path) -> SmallerError:
    """What is said where no finished recipe has a name."""
    return SmallerError(
        f"There is no finished recipe {name!r} among the {count} in {folder}. The column identity of the results "
        f"table names them.{did_you_mean(name, names)}"
    )
