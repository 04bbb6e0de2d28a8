"""The one way to the model hub: single files at a revision through its own client, checked, and errors in one sentence.

A file that was fetched once is served from the client's cache, with no network and at the same revision.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from smaller.base.errors import SmallerError
from smaller.base.settings import offline

__all__ = ["Remote", "offline"]

SHORT = re.compile(r"[0-9a-f]{7,39}")
"""A commit that lacks digits: the hub takes all forty of them, or a branch."""


@dataclass(frozen=True)
class Remote:
    """A repository of the hub at a revision; `kind` is "model" or "dataset"."""

    repository: str
    revision: str = "main"
    kind: str = "model"

    def __str__(self) -> str:
        return f"{self.repository} at {self.revision}"

    @property
    def address(self) -> str:
        """Where a person reads about it."""
        return f"https://huggingface.co/{'datasets/' if self.kind == 'dataset' else ''}{self.repository}"


def cached(remote: Remote, file: str) -> Path | None:
    """A file of the client's cache, or None; no network."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(remote.repository, file, revision=remote.revision, repo_type=remote.kind)
    return Path(found) if isinstance(found, str) else None


def download(remote: Remote, file: str) -> Path:
    """A file, from the cache or the hub, whole or not at all. The name of its folder is the commit.

    The content of a large file is held against the SHA-256 that the hub gives for it.
    Raises SmallerError in one sentence: no such repository, revision or file, no permission, no network, no room.
    """
    from huggingface_hub import hf_hub_download

    before = cached(remote, file)
    with one_sentence(remote, file):
        path = Path(hf_hub_download(remote.repository, file, revision=remote.revision, repo_type=remote.kind))
    blob = path.resolve()
    if before is None and not is_whole(path):
        raise SmallerError(
            f"{file} of {remote}: the SHA-256 of what arrived is not {blob.name}, as the hub names it; it was removed. "
            "Fetch it again."
        )
    return path


def commit_of(path: Path, file: str) -> str:
    """The commit at which a downloaded file stands."""
    return path.parents[file.count("/")].name


def is_whole(path: Path) -> bool:
    """Whether a file of the cache holds what the hub stores under its name; a damaged one is removed.

    The name is the SHA-256 of the content where the hub stores it as a large file; of others nothing is known.
    """
    blob = path.resolve()
    if not re.fullmatch("[0-9a-f]{64}", blob.name):
        return True
    with path.open("rb") as stream:
        whole = hashlib.file_digest(stream, "sha256").hexdigest() == blob.name
    if not whole:
        blob.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
    return whole


def _about(remote: Remote, **options: object):
    from huggingface_hub import HfApi

    with one_sentence(remote):
        return HfApi().repo_info(remote.repository, revision=remote.revision, repo_type=remote.kind, **options)


def listing(remote: Remote) -> tuple[str, dict[str, int]]:
    """The commit behind a revision, and the bytes of each of its files, by path."""
    about = _about(remote, files_metadata=True)
    return about.sha, {file.rfilename: file.size or 0 for file in about.siblings or ()}


def require_name(repository: str, *, where: str) -> None:
    """Raise SmallerError for what cannot be the name of a repository."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as problem:
        raise SmallerError(f"{where} is no name of the hub: {_cause(problem).rstrip('.')}.") from None


def licence_of(remote: Remote) -> str:
    """The licence that the repository's card names; empty for none."""
    card = _about(remote).card_data
    named = card.get("license") if card else None
    return ", ".join(named) if isinstance(named, list) else named or ""


def is_non_commercial(licence: str) -> bool:
    """Whether a licence, as the hub abbreviates it or in words, allows non-commercial use only."""
    return "nc" in re.split(r"[\W_]+", licence.lower()) or "non-commercial" in licence.lower()


def exists(remote: Remote) -> bool:
    """Whether the hub has a repository of that name and kind. Raises SmallerError where nobody answers."""
    from huggingface_hub import HfApi

    with one_sentence(remote):
        return HfApi().repo_exists(remote.repository, repo_type=remote.kind)


def require_revision(revision: str, *, where: str) -> None:
    """Raise SmallerError for a commit with too few digits, which the hub does not take."""
    if SHORT.fullmatch(revision):
        raise SmallerError(
            f"{where}: the hub takes a commit by all of its 40 digits, and {revision!r} has "
            f"{len(revision)}. Write them all, or a branch such as main."
        )


@contextlib.contextmanager
def one_sentence(remote: Remote, file: str = "") -> Iterator[None]:
    """What the client and the network raise, as one SmallerError that says what, where and what to do."""
    try:
        yield
    except SmallerError:
        raise
    except Exception as problem:  # the client's transport has errors of its own, by the name of its library
        raise SmallerError(_told(problem, remote, file)) from None


def _told(problem: Exception, remote: Remote, file: str) -> str:
    from huggingface_hub import errors as hub

    what = f"{file} of {remote.kind} {remote}" if file else f"The {remote.kind} {remote}"
    match problem:
        case hub.GatedRepoError():
            return f"{what}: its owner lets in only who asked. Ask at {remote.address}, then set HF_TOKEN."
        case hub.RepositoryNotFoundError():
            return (
                f"There is no {remote.kind} {remote.repository} on the hub, or it is private. Check the name; for a "
                "private one set HF_TOKEN."
            )
        case hub.RevisionNotFoundError():
            return (
                f"The {remote.kind} {remote.repository} has no revision {remote.revision} (any more). Look at "
                f"{remote.address} for one that is there."
            )
    if _no_room(problem):
        return (
            f"{what} could not be kept: the disk is full, or its files may not grow further. Make room, or set HF_HOME "
            "to another folder; what has arrived is kept."
        )
    not_here = isinstance(problem, (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled))
    if isinstance(problem, hub.EntryNotFoundError) and not not_here:
        return f"The {remote.kind} {remote} has no file {file}. Look at {remote.address} for what it has."
    status = next((code for code in map(_status, _chain(problem)) if code), 0)
    if status == 429:
        return f"{what}: the hub was asked too often (429). Wait some minutes and fetch again, or set HF_TOKEN."
    if isinstance(problem, hub.HfHubHTTPError) or (not_here and status):
        return f"{what}: the hub answered {status or 'with an error'}. Fetch again later, which keeps what has arrived."
    if not_here:
        why = "HF_HUB_OFFLINE forbids asking the hub" if offline() else f"the hub does not answer ({_cause(problem)})"
        return f"{what} is not in the cache, and {why}. Fetch it once where there is a network."
    return f"{what} could not be fetched: {_cause(problem)}. Fetch again, which keeps what has arrived."


def _chain(problem: BaseException | None) -> Iterator[BaseException]:
    """An error and what the client met on the way to it."""
    while problem is not None:
        yield problem
        problem = problem.__cause__ or problem.__context__


def _status(problem: BaseException) -> int:
    return getattr(getattr(problem, "response", None), "status_code", 0)


def _no_room(problem: BaseException) -> bool:
    return any(getattr(each, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) for each in _chain(problem))


def _cause(problem: BaseException) -> str:
    lines = " ".join(str(problem).split())
    if "ConnectError" in type(problem).__name__ or "Connection refused" in lines:
        lines = "the hub does not answer"
    return (lines[:160] + "...") if len(lines) > 160 else lines or type(problem).__name__
