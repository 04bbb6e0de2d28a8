"""Everything that a study reads, brought to this machine once: what is missing, what it is, and then the files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from smaller import encoders
from smaller.base import hub_client
from smaller.base.errors import SmallerError
from smaller.base.files import free_bytes
from smaller.base.paths import cache_folder
from smaller.base.progress import Say, silent
from smaller.data import datasets, fetch, hub, tables
from smaller.data.datasets import dataset
from smaller.inputs.needs import Needs


@dataclass(frozen=True)
class Part:
    """An encoder or a data set: where it comes from, under which licence, and what of it is missing here.

    `size` are the bytes to fetch, None where nobody could be asked. `problem` says why it cannot be fetched.
    """

    name: str
    source: str
    licence: str
    non_commercial: bool = False
    missing: tuple[str, ...] = ()
    size: int | None = 0
    problem: str = ""

    def __str__(self) -> str:
        licence = f"licence {self.licence}" + " (non-commercial)" * self.non_commercial
        if self.problem:
            return f"{self.name}: {self.problem}"
        if not self.missing:
            return f"{self.name}: here; {licence}"
        size = "size not known" if self.size is None else megabytes(self.size)
        count = f"{len(self.missing)} file" + "s" * (len(self.missing) != 1)
        return f"{self.name}: {count}, {size}, from {self.source}; {licence}"


def megabytes(size: int) -> str:
    """Bytes in words."""
    if size >= 1e9:
        return f"{size / 1e9:,.1f} GB"
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.0f} kB"


def plan(needs: Needs, *, ask: bool = True) -> list[Part]:
    """What there is to fetch, part by part. With `ask`, the hub is asked for sizes; nothing but that is fetched."""
    looks = [(_encoder, (name,)) for name in needs.encoders]
    looks += [(_of_the_hub, (name,)) if "/" in name else (_data, (name, codes)) for name, codes in needs.data.items()]
    return [_part(look, *asked, ask=ask) for look, asked in looks]


def _part(look: Callable[..., Part], name: str, *codes: Iterable[str], ask: bool) -> Part:
    try:
        return look(name, *codes, ask=ask)
    except SmallerError as problem:
        return Part(name, "", "", missing=("files",), size=None, problem=str(problem))


def _encoder(name: str, *, ask: bool) -> Part:
    known = encoders.ENCODERS.get(name)
    licence = known.licence if known else "that of its owner"
    if encoders.is_here(name):
        return Part(name, "", licence)
    if not ask:
        return Part(name, name, licence, missing=("weights",), size=None)
    told = encoders.plan_fetch(name)
    source, sizes = f"{told.repository} at {told.commit[:12]}", dict(told.files)
    return Part(name, source, told.licence, told.non_commercial, tuple(sizes), sum(sizes.values()))


def _of_the_hub(name: str, *, ask: bool) -> Part:
    hub.parse(name)
    if tables.is_whole(datasets.place_of(name)):
        known = dataset(name)
        return Part(name, known.url, known.licence, known.non_commercial)
    if not ask:
        return Part(name, name, "see its card", missing=("tables",), size=None)
    remote, files, size, licence = hub.plan(name)
    source = f"{remote.repository} at {remote.revision[:12]}"
    named = licence or "none is named on the hub"
    return Part(name, source, named, hub_client.is_non_commercial(licence), tuple(files), size)


def _data(name: str, codes: Iterable[str], *, ask: bool) -> Part:
    known = dataset(name)
    missing = [file for file in fetch.wanted(known, tuple(codes)) if not file.present]
    sizes = {file.source: file.size for file in missing} | (fetch.sizes_on_the_hub(missing) if ask else {})
    total = None if None in sizes.values() else sum(sizes.values())
    return Part(name, known.url, known.licence, known.non_commercial, tuple(sizes), total)


def lines(parts: list[Part]) -> Iterator[str]:
    """What a person reads before anything is fetched."""
    yield from map(str, parts)
    missing = [part for part in parts if part.missing]
    if not missing:
        yield "everything is here"
        return
    known = [part.size for part in missing if part.size is not None]
    unknown = len(missing) - len(known)
    yield (
        f"to fetch: {megabytes(sum(known))}"
        + f", and {unknown} of unknown size" * bool(unknown)
        + (f"; {megabytes(free_bytes(cache_folder()))} are free")
    )


def fetch_all(needs: Needs, *, say: Say = silent) -> list[str]:
    """Bring everything; what cannot be brought does not stop the rest, and is returned, a sentence each.

    A killed call goes on where it was. Afterwards a study with these needs runs with no network.
    """
    problems = []
    for name in needs.encoders:
        try:
            if not encoders.is_here(name):
                encoders.fetch(name, say=say)
            say(f"{name}: here")
        except SmallerError as problem:
            problems.append(f"{name}: {problem}")
    for name, codes in needs.data.items():
        try:
            fetch.fetch(name, languages=None if "/" in name else tuple(codes), say=say)
        except SmallerError as problem:
            problems.append(f"{name}: {problem}")
    return problems
