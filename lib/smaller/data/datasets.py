"""Data sets by name: the described ones, what somebody brought, and any data set of the hub.

A described one has a plain name, and `catalogue.toml` says where its files come from; what was brought is called
`own-...` (see `own`), and a data set of the hub `owner/name:config@revision` (see `hub`). Sources are pinned, and
`files.tsv` has the SHA-256 and the bytes of every file of a git host, uncompressed.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import quote

from smaller.base.errors import SmallerError, did_you_mean
from smaller.base.paths import cache_folder
from smaller.data.languages import language

SPLITS = ("train", "dev", "test")

OWN = "own-"
"""How the names of data sets begin that users brought themselves."""

ABOUT_FILE = "about.json"
"""What a data set that was brought, or another folder of tables, says of itself."""

_OWN_NAME = re.compile(rf"{OWN}[0-9a-f]{{12}}")


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the files of a language come from, and where they lie on disk.

    `path` is a file of the `repository` at `commit`, on a git host or, with `hub`, among the data sets of the hub;
    `layout` is the file below `SMALLER_DATA`. Both may hold `{language}` and `{split}`; `names` say what the source
    calls a split, where it has another name for it. On the hub `commit` may be a branch: of one that its owner moves,
    `commit_begins` says where it was when it was described. A `converted` source has the columns of the Universal NER
    project (number, word, tag, and two more), of which the file on disk keeps the word and the tag. Without a
    repository nothing can be fetched. `splits` are those of a language that lacks some of its data set's. Where a file
    is a table, `columns` name those of the text, or words, and of its labels; `labels` translate what stands there, and
    `rows` says how many of its first rows are read, where that is not all.
    """

    layout: str
    repository: str = ""
    commit: str = ""
    commit_begins: str = ""
    path: str = ""
    hub: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    converted: bool = False
    splits: tuple[str, ...] = ()
    columns: tuple[str, str] = ("text", "label")
    labels: Mapping[str, str] = field(default_factory=dict)
    rows: int = 0

    def remote(self, code: str, split: str) -> str:
        """The path of a split in the repository."""
        return self.path.format(language=code, split=self.names.get(split, split))


@cache
def _listed() -> dict[str, tuple[str, int]]:
    lines = Path(__file__).with_name("files.tsv").read_text(encoding="utf-8").splitlines()
    rows = (line.split("\t") for line in lines)
    return {path: (digest, int(size)) for digest, size, path in rows}


@cache
def _published_checksums() -> dict[str, str]:
    return {path: digest for path, (digest, _) in _listed().items()}


def known_bytes(path: str) -> int | None:
    """The bytes of a file of a git host, uncompressed, by the path that `Dataset.file` gives; None where unknown."""
    return _listed().get(path, ("", None))[1]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """A data set: `task` is one of `tasks.TASKS`, or "text" (unlabelled); `sources` go by language code.

    `tags` are what it labels: entity types, parts of speech, topics or sentiments. `checksums` go by the path that
    `file` gives. One that was brought lies in the folder `kept`, and its language is `spoken` (any, where it is empty).
    """

    name: str
    task: str
    sources: Mapping[str, Source] = field(default_factory=dict)
    splits: tuple[str, ...] = SPLITS
    tags: tuple[str, ...] = ()
    licence: str
    non_commercial: bool
    citation: str
    url: str
    checksums: Mapping[str, str] = field(default_factory=_published_checksums, repr=False)
    kept: Path | None = None
    spoken: str = ""
    title: str = ""

    @property
    def languages(self) -> tuple[str, ...]:
        """The codes of its languages."""
        return tuple(self.sources) or ((self.spoken,) if self.spoken else ())

    def source(self, code: str) -> Source:
        """The source of a language; an unknown code is an error with a suggestion."""
        if not self.sources:
            raise SmallerError(f"The data set {self.name!r} has no files: it comes with the package.")
        self.require(code)
        return self.sources[code]

    def require(self, code: str) -> None:
        """Raise SmallerError unless the data set has the language."""
        if self.languages and code not in self.languages:
            known = language(code)
            raise SmallerError(
                f"The data set {self.name!r} has no {known.name} ({code}). "
                f"Its languages are {', '.join(self.languages)}."
                + (f" Did you mean {known.code!r}?" if known.code in self.languages else "")
            )

    def require_split(self, code: str, split: str) -> None:
        """Raise SmallerError unless the data set has the split in the language."""
        if split not in SPLITS or (split not in self.splits and not self.kept):
            raise SmallerError(
                f"The data set {self.name!r} has no split {split!r}. "
                f"Its splits are {', '.join(self.splits)}.{did_you_mean(split, self.splits)}"
            )
        if split not in self.splits_of(code):
            raise SmallerError(
                f"The data set {self.name!r} has no {split} split in {language(code).name} ({code}), only "
                f"{' and '.join(self.splits_of(code))}."
            )

    def file(self, code: str, split: str) -> str:
        """The path of a split below `SMALLER_DATA`, without `.gz`; a split that is not there is an error."""
        source = self.source(code)
        self.require_split(code, split)
        return source.layout.format(language=code, split=split)

    def splits_of(self, code: str) -> tuple[str, ...]:
        """The splits that a language has."""
        return self.splits if self.kept else self.source(code).splits or self.splits


def described(text: str) -> dict[str, Dataset]:
    """The data sets that a catalogue in TOML describes, in the form that `catalogue.toml` has, by name."""
    found = {}
    for name, entry in tomllib.loads(text).items():
        common, own = entry.pop("source", {}), entry.pop("sources", {})
        folders = dict(word.partition(":")[::2] for word in entry.pop("languages", "").split())
        sources = {code: _source(common | own.get(code, {}), folders.get(code, "")) for code in (*folders, *own)}
        entry |= {"tags": tuple(entry.get("tags", "").split()), "splits": tuple(entry.get("splits", SPLITS))}
        found[name] = Dataset(name=name, sources=sources, **entry)
    return found


def _source(given: Mapping[str, object], folder: str) -> Source:
    lists = {key: tuple(value) for key, value in given.items() if isinstance(value, list)}
    texts = {key: value.replace("{folder}", folder) for key, value in given.items() if isinstance(value, str)}
    return Source(**given | lists | texts)


DATASETS = described(Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8"))
"""The data sets that are known by name."""


def dataset(name: str | Dataset) -> Dataset:
    """The data set of that name, or the one that is given; an unknown name is an error with a suggestion."""
    if isinstance(name, Dataset):
        return name
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
    return (DATASETS[name].title if name in DATASETS else "") or name


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
    if first in DATASETS or is_own(first) or not rest:
        return first, rest
    return f"{first}/{rest[0]}", rest[1:]


def _brought(name: str, place: Path) -> Dataset:
    """A data set that `own.bring`, or `hub.fetch`, put into the cache."""
    try:
        about = json.loads((place / ABOUT_FILE).read_bytes())
        return Dataset(
            name=name,
            tags=tuple(about["classes"]),
            splits=tuple(about["splits"]),
            kept=place,
            spoken=about["language"],
            **{key: about[key] for key in ("task", "licence", "non_commercial", "citation", "url")},
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
