"""Data sets by name: the described ones, what somebody brought, and any data set of the hub.

A described one has a plain name (see `catalogue`), what was brought is called `own-...` (see `own`), and a data set of
the hub `owner/name:config@revision` (see `hub`).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import quote

from smaller.base.errors import SmallerError, did_you_mean
from smaller.base.paths import cache_folder
from smaller.data.catalogue import DATASETS
from smaller.data.descriptions import SPLITS, Dataset, Source, known_bytes

__all__ = [
    "ABOUT_FILE",
    "DATASETS",
    "OWN",
    "SPLITS",
    "Dataset",
    "Source",
    "dataset",
    "known_bytes",
    "name_and_rest",
    "place_of",
    "title",
]

OWN = "own-"
"""How the names of data sets begin that users brought themselves."""

_OWN_NAME = re.compile(rf"{OWN}[0-9a-f]{{12}}")

_TITLES = {"masakhaner": "MasakhaNER", "masakhaner2": "MasakhaNER 2.0", "masakhapos": "MasakhaPOS"}
_TITLES |= {"uner": "Universal NER", "ud": "Universal Dependencies", "sib200": "SIB-200", "afrisenti": "AfriSenti"}
_TITLES |= {"wikiann": "WikiANN", "sample": "the sample", "sample-topics": "the sample's topics"}

ABOUT_FILE = "about.json"
"""What a data set that was brought says of itself."""


def dataset(name: str) -> Dataset:
    """The data set of that name; an unknown name is an error with a suggestion."""
    if name in DATASETS:
        return DATASETS[name]
    if is_own(name) or "/" in name:
        return _brought(in_key(name), place_of(name))
    raise SmallerError(
        f"There is no data set {name!r}. Known are {', '.join(DATASETS)}, and any data set of the hub "
        f"as owner/name:config@revision.{did_you_mean(name, DATASETS)}"
    )


def title(name: str) -> str:
    """The data set as its authors write it; what they gave no other name stays as it is called here."""
    return _TITLES.get(name, name)


def is_own(name: str) -> bool:
    """Whether the name is one that `own.bring` gave."""
    return bool(_OWN_NAME.fullmatch(name))


def in_key(name: str) -> str:
    """The name as it stands in keys, records and steps: the one slash that is left parts owner and name."""
    owner, slash, rest = name.partition("/")
    return f"{owner}{slash}{rest.replace('/', '%2F')}"


def place_of(name: str) -> Path:
    """The folder in which a data set of that name lies once it was brought."""
    return cache_folder() / "data" / ("own" if is_own(name) else "hub") / quote(in_key(name), safe="")


def name_and_rest(key: str) -> tuple[str, list[str]]:
    """A key such as "masakhaner/swa/test" as the data set's name and what follows; a name of the hub has a slash."""
    first, *rest = key.split("/")
    if first in DATASETS or _OWN_NAME.fullmatch(first) or not rest:
        return first, rest
    return f"{first}/{rest[0]}", rest[1:]


def _brought(name: str, place: Path) -> Dataset:
    """A data set that `own.bring`, or `hub.fetch`, put into the cache."""
    try:
        about = json.loads((place / ABOUT_FILE).read_bytes())
        return Dataset(
            name=name,
            task=about["task"],
            tags=tuple(about["classes"]),
            splits=tuple(about["splits"]),
            licence=about["licence"],
            non_commercial=about["non_commercial"],
            citation=about["citation"],
            url=about["url"],
            kept=place,
            spoken=about["language"],
        )
    except FileNotFoundError:
        fetch = f"Fetch it where there is a network: python -m smaller fetch {name}"
        remedy = "Bring it again: run what named its files." if is_own(name) else fetch
        raise SmallerError(f"The data set {name!r} is not on this machine ({place}). {remedy}") from None
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise SmallerError(
            f"The data set {name!r} cannot be read ({place}: {problem!r}). Remove that folder, and "
            "bring or fetch it again."
        ) from None
