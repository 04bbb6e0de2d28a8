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

from smaller import hub_client
from smaller.data import datasets, languages, own, readers
from smaller.data.descriptions import SPLITS
from smaller.errors import SmallerError, did_you_mean
from smaller.hub_client import Remote
from smaller.progress import Say, silent

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
    revision = found["revision"] or "main"
    hub_client.require_revision(revision, where=name)
    return Name(found["repository"], found["config"] or "", revision)


def fetch(name: str, *, language: str = "", say: Say = silent) -> str:
    """Bring a data set of the hub to this machine, whole or not at all; what is there already is left alone.

    Returns the commit. `language` is the code of what it is in; without one it serves for any. Raises SmallerError for
    what is not there, and for columns that nobody understands, with a list of what there is.
    """
    known = parse(name)
    place = datasets.place_of(name)
    if (place / datasets.ABOUT_FILE).is_file():
        say(f"{name}: present")
        return json.loads((place / datasets.ABOUT_FILE).read_bytes())["commit"]
    remote = Remote(known.repository, known.revision, "dataset")
    commit, files = hub_client.listing(remote)
    remote, chosen = _choose(known, Remote(known.repository, commit, "dataset"), files)
    parts: dict[str, list[Table]] = {}
    for split, paths in chosen.items():
        for path in paths:
            say(f"{name}: {path} at {remote.revision[:12]}")
            parts.setdefault(split, []).append(readers.raw_table(hub_client.download(remote, path)))
    brought = own.understood(_joined(parts, name), where=name)
    licence = _licence(remote)
    own.keep(
        place,
        brought,
        language=language,
        about={
            "commit": remote.revision,
            "asked": known.revision,
            "licence": licence or "none is named on the hub",
            "non_commercial": "nc" in re.split(r"[\W_]+", licence.lower()),
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
            f"{name}: the files of a split have different columns ({' '.join(str(problem).split())[:160]}"
            "). Name a configuration."
        ) from None


def _choose(known: Name, remote: Remote, files: Mapping[str, int]) -> tuple[Remote, dict[str, list[str]]]:
    """The files of each split, and the repository at the commit that has them."""
    found = _from_card(known, remote, files) or _by_folder(known, files)
    script = f"{known.repository.rpartition('/')[2]}.py"
    if not found and script in files and known.revision != PARQUET:
        branch = Remote(known.repository, PARQUET, "dataset")
        commit, files = hub_client.listing(branch)
        remote, found = Remote(known.repository, commit, "dataset"), _by_folder(known, files)
    if not found:
        tables = [path for path in files if path.endswith(_ENDINGS)]
        configs = sorted({path.rpartition("/")[0].removeprefix("data/") for path in tables if "/" in path} - {"data"})
        raise SmallerError(
            f"{known.repository} at {known.revision} has no tables of "
            + (f"the configuration {known.config!r}" if known.config else "one kind")
            + f"; its folders are {', '.join(configs[:20]) or 'none'}. Name one: {known.repository}:CONFIG."
            + did_you_mean(known.config, configs)
        )
    if "train" not in found:
        there = ", ".join(split for split in SPLITS if split in found)
        raise SmallerError(f"{known.repository} at {known.revision} has no training split; it has {there}.")
    return remote, found


def _from_card(known: Name, remote: Remote, files: Mapping[str, int]) -> dict[str, list[str]]:
    """The files as the card's `configs` give them: of the named one, or of the only one."""
    if "README.md" not in files:
        return {}
    from huggingface_hub import DatasetCard

    text = hub_client.download(remote, "README.md").read_text(encoding="utf-8")
    try:
        configs = DatasetCard(text).data.to_dict().get("configs") or []
    except (ValueError, TypeError):
        return {}
    named = [config for config in configs if config.get("config_name") == known.config]
    if not named and not known.config and len(configs) == 1:
        named = configs
    found: dict[str, list[str]] = {}
    for row in (named[0].get("data_files") or []) if named else []:
        patterns = row["path"] if isinstance(row["path"], list) else [row["path"]]
        fitting = [path for path in sorted(files) if any(fnmatch(path, pattern) for pattern in patterns)]
        if fitting and (split := split_named(row["split"])):
            found[split] = fitting
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
        stem = re.split(r"[.\-_]", name)[0]
        split = split_named(stem) or (split_named(folders[-1]) if folders else "")
        rest = [part for part in folders if part != "data" and not split_named(part)]
        if not split or (known.config and known.config not in (*rest, *re.split(r"[.\-_]", name))):
            continue
        places.add("/".join(rest))
        found.setdefault(split, []).append(path)
    return found if len(places) == 1 else {}


def split_named(word: str) -> str:
    """Train, dev or test by one of its names; the empty string for any other word."""
    return next((split for split in SPLITS if word.lower() in own.NAMES[split]), "")


def _licence(remote: Remote) -> str:
    from huggingface_hub import HfApi

    with hub_client.one_sentence(remote):
        card = HfApi().dataset_info(remote.repository, revision=remote.revision).card_data
    named = card.get("license") if card else None
    return ", ".join(named) if isinstance(named, list) else named or ""


def check(name: str, language: str) -> None:
    """Raise SmallerError unless the name has the right form and the data set is on this machine; asks no network."""
    nearly = did_you_mean(name.partition("/")[0], datasets.DATASETS)
    if nearly:
        raise SmallerError(
            f"There is no data set {name.partition('/')[0]!r}. Known are {', '.join(datasets.DATASETS)}.{nearly}"
        )
    parse(name)
    languages.language(language)
    datasets.dataset(name).require(language)
