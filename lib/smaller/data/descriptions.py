"""What a data set is, and where its files come from and lie.

Sources are pinned, and `files.tsv` has the SHA-256 and the bytes of every file of a git host, uncompressed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from smaller.base.errors import SmallerError, did_you_mean
from smaller.data.languages import language

SPLITS = ("train", "dev", "test")


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

    def files(self, code: str) -> dict[str, str]:
        """The path of every split of a language, as `file` gives it."""
        return {split: self.file(code, split) for split in self.splits_of(code)}
