"""Fill the user's cache from the pinned sources of the data sets: the only module that downloads data."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from smaller.data.datasets import Dataset, dataset
from smaller.data.files import content_checksum, locations
from smaller.data.languages import language
from smaller.errors import SmallerError
from smaller.paths import cache_folder
from smaller.progress import Say

GITHUB = "https://raw.githubusercontent.com"
TIMEOUT = 30.0  # seconds without a byte
PAUSES = (0.5, 2.0, 5.0)  # seconds before the second, third and fourth attempt
BY_HAND = "copy the files from elsewhere and set SMALLER_DATA to their folder"


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """What was done for one file: `action` is "present" (it was there, whole) or "downloaded"."""

    dataset: str
    language: str
    split: str
    path: Path
    action: str
    licence: str
    non_commercial: bool


def fetch(
    names: str | Dataset | Iterable[str | Dataset],
    *,
    languages: str | Iterable[str] | None = None,
    progress: Say | None = None,
) -> list[Fetched]:
    """Bring the files of data sets to the user's cache; files that are there with the right checksum stay untouched.

    `languages` limits what is fetched (all, when None); `progress` hears one line for every file. An interrupted
    download is resumed by the next call. Nothing touches the network when all files are present.
    """
    found = {file: _present(*file) for file in _wanted(names, languages)}
    missing = [file for file, path in found.items() if path is None]
    if missing and _offline():
        raise SmallerError(
            f"{len(missing)} of {len(found)} files are missing, the first from {source_url(*missing[0])}, but "
            f"HF_HUB_OFFLINE forbids downloads. Unset it, or {BY_HAND}."
        )
    done = []
    for (which, code, split), path in found.items():
        done.append(
            Fetched(
                dataset=which.name,
                language=code,
                split=split,
                path=path or _fetch_file(which, code, split),
                action="present" if path else "downloaded",
                licence=which.licence,
                non_commercial=which.non_commercial,
            )
        )
        if progress is not None:
            progress(f"{which.name} {code} {split}: {done[-1].action}")
    return done


def source_url(which: Dataset, code: str, split: str) -> str:
    """The address of a split at its pinned source (`SMALLER_FETCH_URL` names a mirror of GitHub's raw files)."""
    source = which.source(code)
    base = os.environ.get("SMALLER_FETCH_URL", "").strip().rstrip("/") or GITHUB
    if not base.startswith(("https://", "http://")):
        raise SmallerError(f"SMALLER_FETCH_URL is {base!r}; expected an address that starts with https:// or http://.")
    return f"{base}/{source.repository}/{source.commit}/{source.path.format(language=code, split=split)}"


def _wanted(
    names: str | Dataset | Iterable[str | Dataset], languages: str | Iterable[str] | None
) -> Iterator[tuple[Dataset, str, str]]:
    """Every data set, language and split to fetch; a language that none of the data sets has is an error."""
    several = [names] if isinstance(names, str | Dataset) else names
    chosen = [dataset(name) if isinstance(name, str) else name for name in several]
    for which in chosen:
        if not all(source.repository for source in which.sources.values()):
            raise SmallerError(
                f"The data set {which.name!r} cannot be fetched: its files are derived, not published. "
                f"Copy its folder and set SMALLER_DATA to the folder that holds {which.name}/."
            )
    known = {code for which in chosen for code in which.languages}
    codes = known if languages is None else {languages} if isinstance(languages, str) else set(languages)
    for code in sorted(codes - known):
        raise SmallerError(
            f"There is no {language(code).name} ({code}) in {', '.join(which.name for which in chosen)}. "
            f"Languages there are {', '.join(sorted(known))}."
        )
    for which in chosen:
        for code in which.languages:
            if code in codes:
                yield from ((which, code, split) for split in which.splits_of(code))


def _present(which: Dataset, code: str, split: str) -> Path | None:
    """The file that has the right content already, under `SMALLER_DATA` or in the cache."""
    expected = which.checksums[which.file(code, split)]
    for path in locations(which, code, split):
        if path.is_file() and content_checksum(path) == expected:
            return path
    return None


def _fetch_file(which: Dataset, code: str, split: str) -> Path:
    """Download a split to a `.part` file in the cache, check its content, and only then give it its name."""
    url = source_url(which, code, split)
    path = cache_folder() / "data" / which.file(code, split)
    part, whole = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.whole")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _download(url, part)
        content = part.read_bytes()
        if which.source(code).converted:
            content = _convert(content)
        got, expected = hashlib.sha256(content).hexdigest(), which.checksums[which.file(code, split)]
        if got == expected:
            whole.write_bytes(content)
            whole.replace(path)
        part.unlink()
    except OSError as error:
        raise SmallerError(
            f"{path}: cannot be written ({error.strerror or error}). "
            "Make room, grant permission, or set SMALLER_CACHE to another folder."
        ) from error
    if got != expected:
        raise SmallerError(
            f"{url}: the SHA-256 of what arrived is {got}, expected {expected}; it was removed. Fetch again; if that "
            f"does not help, a proxy or a mirror on the way changes the file: {BY_HAND}."
        )
    return path


def _download(url: str, part: Path) -> None:
    """Complete the `.part` file, with a few attempts that each go on where the one before was cut off."""
    for pause in (*PAUSES, None):
        try:
            return _go_on(url, part)
        except urllib.error.HTTPError as error:
            error.close()
            problem = f"the server answered {error.code} {error.reason}"
            if error.code == 416:  # No more bytes: the part is not a part of this file, or its check was cut off.
                part.unlink()
            elif error.code != 429 and error.code < 500:
                raise SmallerError(f"{url}: {problem}. If the source has moved, {BY_HAND}.") from error
        except ConnectionError as error:
            problem = str(error)
        if pause is not None:
            time.sleep(pause)
    raise SmallerError(
        f"{url}: cannot be downloaded ({problem}). Check the network and fetch again, which keeps what has arrived; "
        f"or {BY_HAND}."
    )


def _go_on(url: str, part: Path) -> None:
    """Ask for the bytes that the `.part` file lacks, and append them."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": "smaller"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(getattr(error, "reason", error)) from error
    # A server that ignores the range sends the whole file with status 200.
    with response, part.open("ab" if response.status == 206 else "wb") as file:
        for block in _blocks(response):
            file.write(block)


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body of a response; what fails here is a ConnectionError, so that it is not taken for a full disk."""
    left = int(response.headers.get("Content-Length", -1))
    try:
        while block := response.read(1 << 16):
            left -= len(block)
            yield block
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(f"the connection broke: {error}") from error
    if left > 0:
        raise ConnectionError(f"the connection ended {left} bytes early")


def _convert(content: bytes) -> bytes:
    """From the columns of Universal NER to `token tag` lines; its class OTH is no entity in this study.

    What has another form stays as it is, and fails its checksum.
    """
    lines = content.decode("utf-8", errors="replace").strip("\n").split("\n")
    kept = [line.split("\t") for line in lines if not line.startswith("#")]
    pairs = [f"{row[1]} {'O' if row[2].endswith('-OTH') else row[2]}" if len(row) > 2 else row[0] for row in kept]
    return "\n".join([*pairs, ""]).encode()


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").strip().upper() in ("1", "ON", "YES", "TRUE")
