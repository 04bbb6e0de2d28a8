"""The identity of every recipe that the notebooks train, in each profile: what records are found again by.

    python tests/identities.py        writes tests/identities.json anew, where recipes are meant to change

No data are read: an identity knows names and numbers alone. Where a recipe counts lines, each split has `LINES`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from unittest import mock

import nbformat

from smaller import study
from smaller.data import splits
from smaller.data.examples import Sentence
from smaller.data.sets import EvaluationSet
from smaller.notebook import parameters, profiles
from smaller.study.recipes import Recipe

ROOT = Path(__file__).resolve().parents[1]
KEPT = Path(__file__).with_name("identities.json")
PROFILES = ("sample", "mini", "paper", "paper-lite")
LINES = 100


class _Previewed(BaseException):
    """A notebook has said what it trains."""


@contextlib.contextmanager
def without_data() -> Iterator[None]:
    """Every split of every data set that has a description has `LINES` lines; those of the package are real."""
    sentences = [Sentence(("Líne", str(number), "has", "few", "words"), ("B-PER", *"OOOO")) for number in range(LINES)]
    lines = [" ".join(sentence.words) for sentence in sentences]

    def unless_embedded(real: Callable, otherwise: list) -> Callable:
        return lambda dataset, *rest: real(dataset, *rest) if dataset in splits.EMBEDDED else otherwise

    with (
        mock.patch.object(splits, "sentences", unless_embedded(splits.sentences, sentences)),
        mock.patch.object(splits, "text", unless_embedded(splits.text, lines)),
        mock.patch.object(EvaluationSet, "checksum", lambda self: ""),
    ):
        yield


def planned(notebook: Path, given: Mapping[str, object]) -> tuple[dict[str, object], list[Recipe]]:
    """The variables of a notebook when it says what it trains, and those recipes; nothing is estimated or trained."""
    seen: list[Recipe] = []

    def estimate(recipes: Sequence[Recipe]) -> None:
        seen.extend(recipes)
        raise _Previewed

    first, *cells = (cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code")
    space: dict[str, object] = {"__name__": "notebook"}
    exec(first.source, space)
    space |= given
    with mock.patch.object(study, "estimate", estimate), contextlib.suppress(_Previewed):
        for cell in cells:
            exec(cell.source, space)
    assert seen, f"{notebook} says nothing of what it trains"
    return space, seen


def identities(notebook: Path, profile: str, **others: object) -> list[str]:
    """The identities of the recipes that a notebook trains with the parameters of a profile, and `others`, sorted."""
    given = parameters.filled(notebook, profiles.profile(profile, notebook.stem) | others, where=profile)
    return sorted({recipe.identity for recipe in planned(notebook, given)[1]})


def found(profile: str) -> dict[str, dict[str, object]]:
    """For each notebook of a profile how many recipes it trains, and a hash of their identities."""
    with without_data():
        each = {path.stem: identities(path, profile) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
    return {
        name: {"recipes": len(own), "hash": hashlib.sha256(" ".join(own).encode()).hexdigest()[:16]}
        for name, own in each.items()
    }


if __name__ == "__main__":
    KEPT.write_text(json.dumps({profile: found(profile) for profile in PROFILES}, indent=1) + "\n", encoding="utf-8")
