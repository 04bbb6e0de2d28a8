"""The files of a corpus, and the sizes that are made from it: known before PyTorch is imported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from smaller.base.checks import require, require_one_of
from smaller.base.errors import did_you_mean
from smaller.pretrain.settings import DEPTHS

_ENDING = re.compile(r"\.txt(\.gz)?$")
_ABOUT = re.compile(r"(readme|licen[cs]e|copying|notice)\b", re.IGNORECASE)


def require_sizes(sizes: Sequence[str]) -> tuple[str, ...]:
    """The sizes, each once. Raises SmallerError for one that there is not, and for none."""
    require(bool(sizes), f"There is no size to make; sizes are {', '.join(DEPTHS)}.")
    for size in sizes:
        require_one_of(size, DEPTHS, "There is no size {!r}; sizes are {}.")
    return tuple(dict.fromkeys(sizes))


def text_files(corpus: Path, languages: Sequence[str] | None = None) -> dict[str, list[Path]]:
    """The files of each language of a corpus folder; languages that are not there are an error with a suggestion.

    They are `<language>.txt` or `<language>.txt.gz`, or all such files in a folder of the language's name.
    """
    require(corpus.is_dir(), f"There is no corpus folder {corpus}.")
    found: dict[str, list[Path]] = {}
    for place in sorted(corpus.iterdir()):
        if place.name.startswith(".") or _ABOUT.match(place.name):
            continue
        inside = sorted(place.rglob("*")) if place.is_dir() else [place]
        files = [file for file in inside if file.is_file() and _ENDING.search(file.name)]
        if files:
            found.setdefault(_ENDING.sub("", place.name), []).extend(files)
    require(
        bool(found),
        f"The corpus folder {corpus} holds no text. Expected <language>.txt or <language>.txt.gz, or a folder of "
        "such files for each language, with one sentence a line.",
    )
    for language in languages or ():
        require(
            language in found,
            f"The corpus {corpus} has no language {language!r}; it has {', '.join(found)}."
            f"{did_you_mean(language, found)}",
        )
    return {language: found[language] for language in languages or found}
