"""What holds for every test: no network but this machine itself, and no folder of the user's is read or written."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from smaller.base import settings
from smaller.notebook import kernels

# Read when their libraries are imported, which is before any fixture runs.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests that run side by side have a core each; two threads for every process would wait for one another.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Outputs, cache and Jupyter's settings in a folder of this run; child processes inherit them."""
    folder = tmp_path_factory.mktemp("session")
    variables = ("SMALLER_OUTPUTS", "SMALLER_CACHE", "IPYTHONDIR", "JUPYTER_CONFIG_DIR")
    with settings.changed(**{variable: str(folder / variable.lower()) for variable in variables}):
        yield


@pytest.fixture(scope="session", autouse=True)
def bare_kernels() -> Iterator[None]:
    """Nothing is imported ahead for notebooks of a few cells."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "IMPORTED", ())
        yield


@pytest.fixture(scope="session", autouse=True)
def no_network() -> Iterator[None]:
    """Every connection and look-up beyond loopback fails at once, as on a machine without a cable."""
    with pytest.MonkeyPatch.context() as patch:
        connect, connect_ex, look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

        def local_connect(self: socket.socket, address: object) -> None:
            if not _is_local(self.family, address):
                raise OSError(errno.ENETUNREACH, f"the tests have no network, and one connects to {address}")
            connect(self, address)

        def local_connect_ex(self: socket.socket, address: object) -> int:
            return connect_ex(self, address) if _is_local(self.family, address) else errno.ENETUNREACH

        def local_look_up(host: str | bytes | None, *arguments: object, **options: object) -> list:
            if host is not None and not _is_loopback(host):
                raise socket.gaierror(socket.EAI_NONAME, f"the tests have no network, and one looks up {host!r}")
            return look_up(host, *arguments, **options)

        patch.setattr(socket.socket, "connect", local_connect)
        patch.setattr(socket.socket, "connect_ex", local_connect_ex)
        patch.setattr(socket, "getaddrinfo", local_look_up)
        yield


def _is_local(family: int, address: object) -> bool:
    if family not in (socket.AF_INET, socket.AF_INET6):
        return True  # a socket file, such as a Jupyter kernel's
    return _is_loopback(address[0])


def _is_loopback(host: str | bytes) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in {"", "localhost", "0.0.0.0", "::", socket.gethostname()}:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of the checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def tiny():
    """A masked-language model of XLM-R's kind that trains in milliseconds, with the sample's tokenizer; read only."""
    from smaller import encoders
    from smaller.data import sample

    shape = encoders.Encoder("tiny", layers=2, heads=2, hidden=24, feed_forward=48)
    tokenizer = sample.tokenizer()
    return encoders.Model(encoders.build(encoders.configuration(shape, vocabulary=len(tokenizer)), seed=3), tokenizer)


@pytest.fixture
def half_precision(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Says whether the processor is fast at products in bfloat16, whatever it is."""
    return lambda fast: monkeypatch.setattr("smaller.encoders.device.half_precision", lambda: fast)


@pytest.fixture
def full_precision(half_precision: Callable[[bool], None]) -> None:
    """Matrix products in fp32 also where the processor has bfloat16, for comparisons of values."""
    half_precision(False)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes a package one that is not installed."""

    def take_away(package: str) -> None:
        for name in [name for name in sys.modules if name.split(".")[0] == package]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)

    return take_away


@pytest.fixture
def own_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that a test defines are forgotten after it."""
    from smaller.study.steps import base

    monkeypatch.setattr(base, "STEPS", dict(base.STEPS))


@pytest.fixture
def own_engine() -> Iterator[None]:
    """Where an engine with an address looks for models is forgotten after a test."""
    from smaller.study import cache

    yield
    cache.bring_from(None)


@pytest.fixture(scope="session")
def tiny_folder(tiny, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny model as an encoder folder, by the name that a recipe gives it; its path holds a space."""
    from smaller import encoders

    folder = tmp_path_factory.mktemp("tiny encoders") / "tiny one"
    encoders.save(tiny, folder)
    return str(folder)


@pytest.fixture
def rooms() -> Iterator[Callable[..., None]]:
    """Moves folders of the study for this test: `rooms(data=..., models=..., outputs=..., cache=...)`; None unsets."""
    with contextlib.ExitStack() as until_the_end:

        def move(**folders: Path | None) -> None:
            named = {f"SMALLER_{name.upper()}": str(place) if place else None for name, place in folders.items()}
            until_the_end.enter_context(settings.changed(**named))

        yield move


@pytest.fixture
def fresh_folders(tmp_path: Path, rooms: Callable[..., None]) -> Path:
    """Outputs and cache of this test alone, in folders whose names hold a space."""
    rooms(outputs=tmp_path / "out puts", cache=tmp_path / "ca che")
    return tmp_path


@pytest.fixture
def outputs(tmp_path: Path, rooms: Callable[..., None]) -> Path:
    """The folder of this test's outputs, which nobody has made yet."""
    rooms(outputs=tmp_path / "outputs")
    return tmp_path / "outputs"


@pytest.fixture
def keep(outputs: Path) -> Callable[[dict[str, dict]], None]:
    """Writes records by their identities as a study writes them; a section that a test does not give is empty."""
    from smaller.study import results

    empty = {"format": results.FORMAT, "steps": []}
    empty |= {section: {} for section in ("recipe", "inputs", "scores", "cost", "provenance")}

    def write(records: dict[str, dict]) -> None:
        for identity, record in records.items():
            results.write(empty | {"identity": identity} | record)

    return write


@pytest.fixture(scope="session")
def few_real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data like a user's own, with a few of the sample's sentences in MasakhaNER's layout.

    Other processes read it too, where `sample_of` is this one's alone.
    """
    from smaller.data import sample

    folder = tmp_path_factory.mktemp("few") / "da ta"
    for language in ("swa", "yor"):
        for split, count in {"train": 160, "dev": 60, "test": 80}.items():
            file = folder / "masakhaner" / language / f"{split}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            rows = [zip(each.words, each.tags, strict=True) for each in sample.sentences(language, split)[:count]]
            sentences = ["\n".join(" ".join(row) for row in sentence) for sentence in rows]
            file.write_text("\n\n".join([*sentences, ""]), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def sample_of() -> Callable[..., AbstractContextManager]:
    """A sample with so many sentences in its splits; in this process alone, not in those that it starts."""
    from smaller.data import sample
    from smaller.study import running

    @contextlib.contextmanager
    def sizes(**splits: int) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sample, "SIZES", splits)
            running._training_sentences.cache_clear()
            yield
        running._training_sentences.cache_clear()

    return sizes


@pytest.fixture
def few_sentences(sample_of: Callable[..., AbstractContextManager]) -> Iterator[None]:
    """A sample of a few dozen sentences."""
    with sample_of(train=32, dev=16, test=24):
        yield


@pytest.fixture(scope="session")
def all_displayed() -> Iterator[list[tuple]]:
    """What is displayed from now on: an object, or its forms by MIME type, and the metadata."""
    found: list[tuple] = []
    with pytest.MonkeyPatch.context() as patch:
        display = "IPython.display.display"
        patch.setattr(display, lambda given, raw=False, metadata=None: found.append((given, metadata)))
        yield found


@pytest.fixture
def displayed(all_displayed: list[tuple]) -> list[tuple]:
    """What this test displays."""
    all_displayed.clear()
    return all_displayed


@pytest.fixture
def brought(fresh_folders: Path) -> Callable[..., str]:
    """Makes a data set of rows in memory, the same ones in each split; returns its name."""

    def bring(language: str, *, task: str = "", **columns: list) -> str:
        from datasets import Dataset, DatasetDict

        from smaller import data

        rows = DatasetDict({split: Dataset.from_dict(columns) for split in ("train", "dev", "test")})
        return data.bring(rows, language=language, task=task)[0]

    return bring


@pytest.fixture
def one_process() -> Iterator[None]:
    """Studies train in this process, whatever is asked for elsewhere."""
    with settings.changed(SMALLER_WORKERS="1"):
        yield


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable], None]:
    """Has `compress` look at the shapes that a function of its plan gives, and at no others."""
    from smaller.deploy.candidates import Plan

    return lambda shapes: monkeypatch.setattr(Plan, "shapes", shapes)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list:
    """The fine-tunings and pre-trainings that were carried out in this process, in order."""
    from smaller.study.steps import FineTune, Pretrain

    done: list = []
    for kind in (FineTune, Pretrain):

        def count(self, *arguments: object, apply: Callable = kind.apply, **options: object):
            done.append(self)
            return apply(self, *arguments, **options)

        monkeypatch.setattr(kind, "apply", count)
    return done


@pytest.fixture
def small_files() -> Callable[[int], AbstractContextManager]:
    """Limits the bytes of any file that is written, so that writing fails in earnest, as it does on a full disk.

    Only inside `with`: pytest itself writes to its output as soon as a test has ended.
    """

    @contextlib.contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
