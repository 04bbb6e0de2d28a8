"""Any data set of the hub by its name, `owner/name:config@revision`: its columns are found from its features.

It is fetched once, at one commit, and kept as tables; a study reads those, and never the network. No script is run: of
a data set that is one, the hub's own copy in Parquet is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING
from urllib.parse import unquote

from smaller.base import hub_client
from smaller.base.errors import SmallerError, briefly, did_you_mean
from smaller.base.hub_client import Remote
from smaller.base.progress import Say, silent
from smaller.data import datasets, languages, own, tables
from smaller.data.datasets import SPLITS
from smaller.data.readers import raw_table

if TYPE_CHECKING:
    from datasets import Dataset as Table

PARQUET = "refs/convert/parquet"
"""The branch on which the hub keeps a copy of a data set in Parquet, as `config/split/0000.parquet`."""

_NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(:(?P<config>[^@:]+))?(@(?P<revision>.+))?")
_ENDINGS = (".parquet", ".csv", ".tsv", ".jsonl", ".json", ".jsonl.gz", ".csv.gz")


@dataclass(frozen=True)
class Name:
    """The parts of `owner/name:config@revision`; configuration and revision may be left out."""

    repository: str
    config: str = ""
    revision: str = "main"


def parse(name: str) -> Name:
    """The parts of a name. Raises SmallerError for another form, and for a commit with too few digits."""
    found = _NAME.fullmatch(name)
    if not found:
        raise SmallerError(f"A data set of the hub is named owner/name:config@revision; {name!r} is not.")
    config, revision = (unquote(found[part] or "") for part in ("config", "revision"))
    hub_client.require_name(found["repository"], where=name)
    hub_client.require_revision(revision, where=name)
    return Name(found["repository"], config, revision or "main")


def fetch(name: str, *, language: str = "", say: Say = silent) -> str:
    """Bring a data set of the hub to this machine, whole or not at all; what is there already is left alone.

    Returns the commit. `language` is the code of what it is in; without one it serves for any. Raises SmallerError for
    what is not there, and for columns that nobody understands, with a list of what there is.
    """
    language = languages.language(language).code if language else ""
    known = parse(name)
    place = datasets.place_of(name)
    if tables.is_whole(place):
        about = json.loads((place / datasets.ABOUT_FILE).read_bytes())
        if language not in ("", about["language"]):
            raise SmallerError(
                f"{name} is here as a data set in {about['language'] or 'any language'}, and not in {language}. Remove "
                f"{place} to bring it again."
            )
        say(f"{name}: present")
        return about["commit"]
    remote, chosen, _ = _choose(known)
    parts: dict[str, list[Table]] = {}
    for split, paths in chosen.items():
        for path in paths:
            say(f"{name}: {path} at {remote.revision[:12]}")
            parts.setdefault(split, []).append(raw_table(hub_client.download(remote, path)))
    brought = own.understood(_joined(parts, name), where=name)
    licence = hub_client.licence_of(remote)
    own.keep(
        place,
        brought,
        language=language,
        about={
            "commit": remote.revision,
            "asked": known.revision,
            "licence": licence or "none is named on the hub",
            "non_commercial": hub_client.is_non_commercial(licence),
            "citation": f"{remote.address} at {remote.revision}",
            "url": remote.address,
        },
    )
    for line in (str(brought), *brought.notes):
        say(f"{name}: {line}")
    return remote.revision


def _joined(parts: Mapping[str, Sequence[Table]], name: str) -> dict[str, Table]:
    from datasets import concatenate_datasets

    try:
        return {split: concatenate_datasets(list(tables)) for split, tables in parts.items()}
    except ValueError as problem:
        raise SmallerError(
            f"{name}: the files of a split have different columns ({briefly(problem)}). Name a configuration."
        ) from None


def plan(name: str) -> tuple[Remote, list[str], int, str]:
    """What `fetch` would bring: the repository at its commit, files, their bytes, and the licence; fetches no data."""
    remote, chosen, files = _choose(parse(name))
    wanted = [path for paths in chosen.values() for path in paths]
    return remote, wanted, sum(files[path] for path in wanted), hub_client.licence_of(remote)


def _choose(known: Name) -> tuple[Remote, dict[str, list[str]], Mapping[str, int]]:
    """The repository at the commit that has the tables, the files of each split, and the bytes of all its files."""
    commit, files = hub_client.listing(Remote(known.repository, known.revision, "dataset"))
    remote = Remote(known.repository, commit, "dataset")
    found = _from_card(known, remote, files) or _by_folder(known, files)
    script = f"{known.repository.rpartition('/')[2]}.py"
    if not found and script in files and known.revision != PARQUET:
        commit, files = hub_client.listing(Remote(known.repository, PARQUET, "dataset"))
        remote = Remote(known.repository, commit, "dataset")
        found = _by_folder(known, files)
    if not found:
        paths = [path for path in files if path.endswith(_ENDINGS)]
        configs = sorted({path.rpartition("/")[0].removeprefix("data/") for path in paths if "/" in path} - {"data"})
        raise SmallerError(
            f"{known.repository} at {known.revision} has no tables of "
            + (f"the configuration {known.config!r}" if known.config else "one kind")
            + f"; its folders are {', '.join(configs[:20]) or 'none'}. Name one: {known.repository}:CONFIG."
            + did_you_mean(known.config, configs)
        )
    if "train" not in found:
        there = ", ".join(split for split in SPLITS if split in found)
        raise SmallerError(f"{known.repository} at {known.revision} has no training split; it has {there}.")
    return remote, found, files


def _from_card(known: Name, remote: Remote, files: Mapping[str, int]) -> dict[str, list[str]]:
    """The files as the card's `configs` give them: of the named one, or of the only one."""
    if "README.md" not in files:
        return {}
    from huggingface_hub import DatasetCard

    file = hub_client.download(remote, "README.md")
    try:
        configs = DatasetCard(file.read_text(encoding="utf-8")).data.to_dict().get("configs") or []
        named = [config for config in configs if config.get("config_name") == known.config]
        if not named and not known.config:
            named = configs if len(configs) == 1 else [config for config in configs if config.get("default")]
        patterns = _patterns(named[0].get("data_files")) if named else {}
    except Exception:  # a card is written by hand, and without one the folders say as much
        return {}
    found = {
        split_named(split): [path for path in sorted(files) if any(fnmatch(path, pattern) for pattern in own)]
        for split, own in patterns.items()
    }
    return {split: paths for split, paths in found.items() if split and paths}


def _patterns(given: object) -> dict[str, list[str]]:
    """The patterns of each split in the forms that a card may have: one, several, by split, or a list of rows."""
    if isinstance(given, Mapping):
        given = [{"split": split, "path": paths} for split, paths in given.items()]
    found: dict[str, list[str]] = {}
    for row in [given] if isinstance(given, str) else given or ():
        split, paths = ("train", row) if isinstance(row, str) else (row.get("split", "train"), row["path"])
        found.setdefault(split, []).extend([paths] if isinstance(paths, str) else paths)
    return found


def _by_folder(known: Name, files: Mapping[str, int]) -> dict[str, list[str]]:
    """The files whose paths say the split: `config/split/0000.parquet`, `data/config/train-00000.parquet`, `train.csv`.

    Without a configuration all tables have to lie in one place, since languages would be joined unseen.
    """
    found: dict[str, list[str]] = {}
    places = set()
    for path in sorted(files):
        if not path.endswith(_ENDINGS):
            continue
        *folders, name = path.split("/")
        stem, _, ending = name.partition(".")
        words = [word for word in re.split(r"[-_]", stem) if word]
        split = next(filter(None, map(split_named, [*words[:1], *folders[-1:]])), "")
        rest = [part for part in folders if not split_named(part)]
        extra = [word for word in words if not (word.isdigit() or word == "of" or split_named(word))]
        if not split or (known.config and known.config not in (*rest, "/".join(rest), *extra)):
            continue
        places.add((*rest, *extra, ending))
        found.setdefault(split, []).append(path)
    return found if len(places) == 1 else {}


def split_named(word: str) -> str:
    """Train, dev or test by one of its names; the empty string for any other word."""
    return next((split for split in SPLITS if word.lower() in own.NAMES[split]), "")


def check(name: str, language: str) -> None:
    """Raise SmallerError unless the name has the right form and the data set is on this machine; asks no network."""
    first, _, rest = name.partition("/")
    nearly = did_you_mean(first, datasets.DATASETS)
    if nearly and rest in languages.LANGUAGES and not datasets.place_of(name).is_dir():
        raise SmallerError(f"There is no data set {first!r}. Known are {', '.join(datasets.DATASETS)}.{nearly}")
    parse(name)
    datasets.dataset(name).require(languages.language(language).code)
