"""Encoders on the model hub: which revision and files are theirs, what fetching takes, and the fetching itself.

Nothing but the configuration is asked for before its architecture is found to be one that the steps can handle. Files
are named one by one, since repositories hold the same weights in up to six formats.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from smaller.base import hub_client
from smaller.base.errors import SmallerError
from smaller.base.files import told, write_whole
from smaller.base.hub_client import Remote
from smaller.base.progress import Say
from smaller.encoders import pickles
from smaller.encoders.layout import CONFIGURATION, TOKENIZER_FILES, Layout, layout, layout_of
from smaller.encoders.registry import UNKNOWN, Encoder
from smaller.encoders.served import read_configuration, require_served

_NAME = re.compile(r"(?P<repository>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>.+))?")


@dataclass(frozen=True)
class PlannedFetch:
    """What fetching an encoder would take: its files that are not here yet with their bytes, at one commit."""

    name: str
    repository: str
    commit: str
    licence: str
    non_commercial: bool
    files: tuple[tuple[str, int], ...]
    already_here: bool
    note: str = ""

    @property
    def bytes(self) -> int:
        """Of the files that are not here yet, together."""
        return sum(size for _, size in self.files)


@dataclass(frozen=True)
class Fetched:
    """An encoder that is here: what it is, the SHA-256 of its weights, and whether they were converted from a pickle.

    `commit` is what `revision` gives and records hold; `folder` is where its configuration and tokenizer lie.
    """

    name: str
    repository: str
    asked: str
    commit: str
    licence: str
    non_commercial: bool
    weights: dict[str, str]
    converted: bool
    folder: str


def named(name: str) -> Encoder | None:
    """The encoder that `owner/name` or `owner/name@revision` stands for; None for a name of another form.

    Raises SmallerError for a commit with too few digits. Its shape is in its configuration: see `shapes`.
    """
    found = _NAME.fullmatch(name)
    if not found:
        return None
    revision = found["revision"] or "main"
    hub_client.require_name(found["repository"], where=name)
    hub_client.require_revision(revision, where=name)
    return Encoder(name, 0, repository=found["repository"], revision=revision, licence=UNKNOWN)


def _remotes(encoder: Encoder) -> Iterator[Remote]:
    yield Remote(encoder.repository, encoder.revision)
    if encoder.otherwise:
        yield Remote(encoder.repository, encoder.otherwise)


def _fits(encoder: Encoder, remote: Remote, commit: str) -> bool:
    """Whether a revision is still at the commit that is known for it; only where there is another way to turn to."""
    return not encoder.otherwise or remote.revision != encoder.revision or commit.startswith(encoder.begins)


def _configurations(encoder: Encoder) -> list[Path]:
    """The configurations in the hub client's cache, of the revisions that serve, the first choice first."""
    found = [(remote, hub_client.cached(remote, CONFIGURATION)) for remote in _remotes(encoder)]
    return [file for remote, file in found if file and _fits(encoder, remote, file.parent.name)]


def here(encoder: Encoder) -> Path | None:
    """The folder that holds all of an encoder, or None; asks no network."""
    for file in _configurations(encoder):
        if not layout_of(file.parent).missing:
            return file.parent
    return None


def configuration_file(encoder: Encoder) -> Path:
    """The configuration, from the cache or the hub; the name of its folder is the commit.

    Raises SmallerError in one sentence for what cannot be reached, and for an architecture that is not served.
    """
    whole = here(encoder)
    known = [whole / CONFIGURATION] if whole else _configurations(encoder)
    file = known[0] if known else _first_configuration(encoder)
    where = f"The encoder {encoder.name}"
    require_served(read_configuration(file, where=where), where=where)
    return file


def _first_configuration(encoder: Encoder) -> Path:
    first, *others = _remotes(encoder)
    try:
        if others and not hub_client.offline() and not _stands(first):
            return hub_client.download(others[0], CONFIGURATION)
        file = hub_client.download(first, CONFIGURATION)
        if _fits(encoder, first, file.parent.name):
            return file
        return hub_client.download(others[0], CONFIGURATION)
    except SmallerError as problem:
        raise SmallerError(
            f"The encoder {encoder.name} is not here. {problem} Its files in a folder "
            f"SMALLER_MODELS/{encoder.name} serve too."
        ) from None


def _stands(remote: Remote) -> bool:
    """Whether the hub still has a revision: a pull request may be gone."""
    from huggingface_hub import HfApi

    with hub_client.one_sentence(remote):
        return HfApi().revision_exists(remote.repository, remote.revision)


def _choice(encoder: Encoder) -> tuple[Remote, dict[str, int], Layout]:
    """The repository at its commit, the files to take with their bytes, weights last, and what they amount to."""
    file = configuration_file(encoder)
    remote = Remote(encoder.repository, file.parent.name)
    _, files = hub_client.listing(remote)
    found = layout(files)
    if found.missing:
        raise SmallerError(
            f"The encoder {encoder.name} cannot be used: {remote} holds no "
            f"{' and no '.join(found.missing)}. Choose another one."
        )
    tokenizer = [name for name in TOKENIZER_FILES if name in files]
    return remote, {name: files[name] for name in (CONFIGURATION, *tokenizer, *found.weights)}, found


def plan(encoder: Encoder) -> PlannedFetch:
    """What `fetch` would do; the hub is asked, and nothing but the configuration is fetched."""
    if folder := here(encoder):
        commit, files = folder.name, ()
        licence = _licence(encoder, commit)
    else:
        remote, wanted, _ = _choice(encoder)
        commit = remote.revision
        files = tuple((name, size) for name, size in wanted.items() if hub_client.cached(remote, name) is None)
        licence = _licence(encoder, commit) or hub_client.licence_of(remote)
    return PlannedFetch(
        encoder.name,
        encoder.repository,
        commit,
        licence or UNKNOWN,
        hub_client.is_non_commercial(licence),
        files,
        already_here=folder is not None,
        note=encoder.note,
    )


def fetch(encoder: Encoder, *, say: Say) -> Fetched:
    """Bring an encoder to this machine; what is here already is left alone, and what was cut off goes on.

    Files are held against the checksums that the hub gives for them, and those that are known here. A pickle is
    converted. Afterwards the encoder loads without a network.
    """
    folder = here(encoder)
    if folder and all(hub_client.is_whole(folder / name) for name in layout_of(folder).weights):
        fetched = _facts(encoder, folder, _licence(encoder, folder.name))
        say(f"{encoder.name}: present")
        return fetched
    remote, files, _ = _choice(encoder)
    if encoder.begins and not remote.revision.startswith(encoder.begins):
        say(f"{encoder.name}: {encoder.revision} is not at {encoder.begins} any more; taken is {remote}")
    for number, (name, size) in enumerate(files.items(), start=1):
        say(f"{encoder.name}: {name}, {size / 1e6:,.1f} MB ({number} of {len(files)})")
        _require_known(encoder, name, hub_client.download(remote, name), remote)
    folder = here(encoder)
    if folder is None:
        raise SmallerError(
            f"The encoder {encoder.name}: what was fetched from {remote} is not in the hub's cache any "
            "more. Fetch it again, while nothing else clears that cache."
        )
    fetched = _facts(encoder, folder, _licence(encoder, folder.name) or hub_client.licence_of(remote))
    _keep(fetched)
    return fetched


def _require_known(encoder: Encoder, name: str, file: Path, remote: Remote) -> None:
    expected = encoder.checksums.get(name)
    if expected and (found := pickles.digest_of(file)) != expected:
        file.resolve().unlink()
        file.unlink(missing_ok=True)
        raise SmallerError(
            f"The encoder {encoder.name}: {name} of {remote} has the SHA-256 {found}, and {expected} is "
            "known for it; it was removed. Do not use this repository."
        )


def _facts(encoder: Encoder, folder: Path, licence: str) -> Fetched:
    found = layout_of(folder)
    parts = [folder / name for name in found.weights if not name.endswith(".index.json")]
    if found.pickled:
        pickles.converted(parts, origin={"repository": encoder.repository, "commit": folder.name})
    return Fetched(
        encoder.name,
        encoder.repository,
        encoder.revision,
        folder.name,
        licence or UNKNOWN,
        hub_client.is_non_commercial(licence),
        {part.name: pickles.digest_of(part) for part in parts},
        found.pickled,
        str(folder),
    )


def _place(repository: str, commit: str) -> Path:
    return pickles.folder() / f"{repository.replace('/', '--')}--{commit}.json"


def _keep(fetched: Fetched) -> None:
    place = _place(fetched.repository, fetched.commit)
    remedy = "Make room, or set SMALLER_CACHE to another folder, and fetch again."
    with told(f"{place} could not be written", remedy):
        write_whole(place, asdict(fetched))


def licence(encoder: Encoder) -> str:
    """The licence as it is known here, or as the hub's card states it where the hub may be asked; else `UNKNOWN`."""
    folder = here(encoder)
    known = _licence(encoder, folder.name if folder else "")
    if not known and not hub_client.offline():
        with contextlib.suppress(SmallerError):
            known = hub_client.licence_of(Remote(encoder.repository, folder.name if folder else encoder.revision))
    return known or UNKNOWN


def _licence(encoder: Encoder, commit: str) -> str:
    """The licence as it is known here, or as it was found when the encoder was fetched; empty for neither."""
    if encoder.licence != UNKNOWN:
        return encoder.licence
    try:
        return json.loads(_place(encoder.repository, commit).read_bytes())["licence"]
    except (OSError, ValueError, KeyError):
        return ""
