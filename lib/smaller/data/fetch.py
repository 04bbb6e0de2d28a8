"""Fill the user's cache from the pinned sources of the data sets: the only module that downloads data.

Files of a git host come through pooch, with their checksums; files of the hub through its own client.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from smaller.base import hub_client, settings
from smaller.base.errors import SmallerError, briefly
from smaller.base.files import write_whole
from smaller.base.paths import cache_folder
from smaller.base.progress import Say, silent
from smaller.data import hub
from smaller.data.datasets import Dataset, dataset, known_bytes
from smaller.data.files import content_checksum, locations, remote_of
from smaller.data.languages import language

GIT_HOST = "https://raw.githubusercontent.com"
TIMEOUT = 30.0  # seconds without a byte
ATTEMPTS = 3
BY_HAND = "copy the files from elsewhere and set SMALLER_DATA to their folder"


@dataclass(frozen=True, kw_only=True)
class File:
    """One file of a data set: `path` is where it lies on this machine, or None; `size` its bytes, where known."""

    dataset: Dataset
    language: str
    split: str
    source: str
    path: Path | None
    size: int | None

    @property
    def present(self) -> bool:
        """Whether it is on this machine, with the content that was pinned."""
        return self.path is not None


def wanted(names: str | Dataset | Iterable[str | Dataset], languages: str | Iterable[str] | None = None) -> list[File]:
    """Every file of the data sets, in these languages or in all, and whether it is here; asks no network.

    Raises SmallerError for a language that none of them has, and for a data set without a source.
    """
    several = [names] if isinstance(names, str | Dataset) else names
    chosen = [dataset(name) for name in several]
    known = {code for which in chosen for code in which.languages}
    codes = known if languages is None else {languages} if isinstance(languages, str) else set(languages)
    for code in sorted(codes - known):
        raise SmallerError(
            f"There is no {language(code).name} ({code}) in {', '.join(which.name for which in chosen)}. "
            f"Languages there are {', '.join(sorted(known))}."
        )
    found = [
        _file(which, code, split)
        for which in chosen
        for code in which.languages
        if code in codes
        for split in which.splits_of(code)
    ]
    for file in found:
        if not file.present and not file.source:
            raise SmallerError(
                f"The data set {file.dataset.name!r} cannot be fetched: its files are derived, not published. "
                f"Copy its folder and set SMALLER_DATA to the folder that holds {file.dataset.name}/."
            )
    return found


def _file(which: Dataset, code: str, split: str) -> File:
    """A file, and where it lies with the right content already: under `SMALLER_DATA`, or in a cache."""
    source, name = which.source(code), which.file(code, split)
    address = f"{source.repository} at {source.commit}, {source.remote(code, split)}" if source.hub else ""
    expected = which.checksums.get(name)  # the hub's files have none

    def fits(path: Path) -> bool:
        return path.is_file() and expected in (None, content_checksum(path)) and hub_client.is_whole(path)

    return File(
        dataset=which,
        language=code,
        split=split,
        source=address or (source_url(which, code, split) if source.repository else ""),
        path=next(filter(fits, locations(which, code, split)), None),
        size=known_bytes(name),
    )


def sizes_on_the_hub(files: Iterable[File]) -> dict[str, int]:
    """The bytes of files that come from the hub, by `source`, as it tells them now; one request a repository."""
    listing = functools.cache(hub_client.listing)
    found = {}
    for file in files:
        source = file.dataset.source(file.language)
        if source.hub:
            _, sizes = listing(remote_of(file.dataset, file.language))
            found[file.source] = sizes.get(source.remote(file.language, file.split), 0)
    return found


def fetch(
    names: str | Dataset | Iterable[str | Dataset],
    *,
    languages: str | Iterable[str] | None = None,
    say: Say = silent,
) -> list[File]:
    """Bring the files of data sets to this machine; files that are there with the right checksum stay untouched.

    `languages` limits what is fetched (all, when None); `say` hears one line for every file. What a killed call has
    brought stays. Nothing touches the network when all files are present.
    """
    several = [names] if isinstance(names, str | Dataset) else list(names)
    of_the_hub = [name for name in several if isinstance(name, str) and "/" in name]
    for name in of_the_hub:
        hub.fetch(name, say=say)
    files = wanted([name for name in several if name not in of_the_hub], languages)
    missing = [file for file in files if not file.present]
    if missing and hub_client.offline():
        raise SmallerError(
            f"{len(missing)} of {len(files)} files are missing, the first from {missing[0].source}, but "
            f"HF_HUB_OFFLINE forbids downloads. Unset it, or {BY_HAND}."
        )
    done = []
    for number, file in enumerate(files, start=1):
        here = file if file.present else _bring(file, say)
        done.append(here)
        what = "present" if file.present else f"downloaded, {here.path.stat().st_size / 1e6:,.1f} MB"
        say(f"{file.dataset.name} {file.language} {file.split}: {what} ({number} of {len(files)})")
    return done


def _bring(file: File, say: Say) -> File:
    source = file.dataset.source(file.language)
    if source.hub:
        remote, name = remote_of(file.dataset, file.language), source.remote(file.language, file.split)
        path = hub_client.download(remote, name)
        commit = hub_client.commit_of(path, name)
        # The content is what a record names; a moved branch is no error, and somebody has to hear of it.
        if source.commit_begins and not commit.startswith(source.commit_begins):
            say(f"{file.dataset.name} {file.language}: {source.commit} has moved since it was described, to {commit}")
    else:
        path = _from_git_host(file)
    return File(**vars(file) | {"path": path})


def source_url(which: Dataset, code: str, split: str) -> str:
    """The address of a split at its pinned source (`SMALLER_FETCH_URL` names a mirror of the git host's raw files)."""
    source = which.source(code)
    base = settings.mirror() or GIT_HOST
    if not base.startswith(("https://", "http://")):
        raise SmallerError(f"SMALLER_FETCH_URL is {base!r}; expected an address that starts with https:// or http://.")
    return f"{base}/{source.repository}/{source.commit}/{source.remote(code, split)}"


def _from_git_host(file: File) -> Path:
    """Download a file, check its content, and only then give it its name in the cache."""
    import pooch

    which, source = file.dataset, file.dataset.source(file.language)
    name = which.file(file.language, file.split)
    place, expected = cache_folder() / "data" / name, which.checksums.get(name)
    pooch.get_logger().setLevel("ERROR")
    with _one_sentence(file.source, place), tempfile.TemporaryDirectory(prefix="smaller-") as folder:
        # What arrives is checked here, since of a converted file the checksum of what is kept is known.
        base, _, last = file.source.rpartition("/")
        arrived = pooch.create(folder, f"{base}/", retry_if_failed=ATTEMPTS, registry={last: None})
        content = Path(arrived.fetch(last, downloader=_download)).read_bytes()
        content = _convert(content) if source.converted else content
        got = hashlib.sha256(content).hexdigest()
        if expected and got != expected:
            raise SmallerError(
                f"{file.source}: the SHA-256 of what arrived is {got}, expected {expected}; it was removed. Fetch "
                f"again; if that does not help, a proxy or a mirror on the way changes the file: {BY_HAND}."
            )
        write_whole(place, content)
    return place


def _download(url: str, place: str, pooch_: object) -> None:
    """As pooch downloads, which tries again; but a server that says no is believed at once."""
    import pooch
    from requests.exceptions import HTTPError

    try:
        pooch.HTTPDownloader(timeout=TIMEOUT, headers={"User-Agent": "smaller"})(url, place, pooch_)
    except HTTPError as problem:
        status = problem.response.status_code
        if status == 429 or status >= 500:
            raise
        raise SmallerError(
            f"{url}: the server answered {status} {problem.response.reason}. If the source has moved, {BY_HAND}."
        ) from None


@contextlib.contextmanager
def _one_sentence(url: str, place: Path) -> Iterator[None]:
    """What the network and the disk raise, as one SmallerError."""
    from requests.exceptions import RequestException

    try:
        yield
    except (RequestException, ConnectionError) as problem:
        raise SmallerError(
            f"{url}: cannot be downloaded ({briefly(problem)}). Check the network and fetch again, which keeps the "
            f"files that have arrived; or {BY_HAND}."
        ) from None
    except OSError as problem:
        raise SmallerError(
            f"{place}: cannot be written ({problem.strerror or problem}). "
            "Make room, grant permission, or set SMALLER_CACHE to another folder."
        ) from None


def _convert(content: bytes) -> bytes:
    """From the columns of Universal NER to `token tag` lines; its class OTH is no entity in this study.

    What has another form stays as it is, and fails its checksum.
    """
    lines = content.decode("utf-8", errors="replace").strip("\n").split("\n")
    kept = [line.split("\t") for line in lines if not line.startswith("#")]
    pairs = [f"{row[1]} {'O' if row[2].endswith('-OTH') else row[2]}" if len(row) > 2 else row[0] for row in kept]
    return "\n".join([*pairs, ""]).encode()
