"""Is everything there that the study needs? One requirement a row, and for each that fails what to do."""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement as Specification
from packaging.specifiers import SpecifierSet

from smaller.base import paths, settings
from smaller.base.errors import SmallerError, in_one_line

INSTALL = "pip install -r requirements.lock"
REBUILD = "make clean-all, then make"
GIGABYTE = 1e9
FREE_DISK = 2 * GIGABYTE
"""What the sample profile writes, with room to spare; the paper profile asks for more."""
FREE_MEMORY = 4 * GIGABYTE
"""The mark that a run of the sample profile stays under."""

X86_FEATURES = {
    "AVX2": (("avx2",), "fast kernels of torch and ONNX Runtime"),
    "AVX512F": (("avx512f",), "wider fp32 kernels"),
    "AVX512-VNNI or AVX-VNNI": (("avx512vnni", "avxvnni"), "int8 faster than fp32"),
    "AVX512-BF16": (("avx512bf16",), "bf16 training faster than fp32"),
    "AMX": (("amxint8", "amxbf16", "amxtile"), "matrix units for int8 and bf16"),
}
ARM_FEATURES = {
    "dot product": (("asimddp", "dotprod"), "int8 faster than fp32"),
    "I8MM": (("i8mm",), "matrix units for int8"),
    "BF16": (("bf16",), "bf16 faster than fp32"),
}


@dataclass(frozen=True)
class Requirement:
    """One thing that the study needs or can use; `ok` is None where it is optional and absent."""

    name: str
    ok: bool | None
    found: str
    advice: str = ""


def _told(name: str, advice: str) -> Callable[[Callable], Callable[..., list[Requirement]]]:
    """The rows that a generator gives, and one that fails for what it raises: a broken package is no traceback."""

    def decorate(look: Callable[..., Iterable[Requirement]]) -> Callable[..., list[Requirement]]:
        @functools.wraps(look)
        def rows(*arguments: object, **options: object) -> list[Requirement]:
            found: list[Requirement] = []
            try:
                found.extend(look(*arguments, **options))
            except SmallerError as error:
                found.append(Requirement(name, False, str(error)))
            except Exception as error:
                found.append(Requirement(name, False, in_one_line(error), advice))
            return found

        return rows

    return decorate


def requirements(*, profile: str = "") -> Iterator[Requirement]:
    """Every requirement, looked at when it is asked for, and with a `profile` all that its notebooks read.

    Writes nothing that stays. What imports PyTorch, which takes seconds, comes last.
    """
    read = needed_by(profile) if profile else []  # an unknown profile is told before all else
    for look in (packages, kernel, processor, memory, folders, data, encoders, hub):
        yield from look()
    yield from read
    for look in (bitsandbytes, accelerators):
        yield from look()


def render(rows: Iterable[Requirement], *, width: int = 26, seen: list[Requirement] | None = None) -> Iterator[str]:
    """The lines of a table of the requirements, as they come: OK, FAIL or -- (optional and absent), and advice.

    Advice stands once, below its rows, which are added to those that were `seen`; names take `width` characters.
    """
    mark, seen, advice = {True: "OK", False: "FAIL", None: "--"}, [] if seen is None else seen, ""
    for row in rows:
        seen.append(row)
        wanted = "" if row.ok else row.advice
        if advice and wanted != advice:
            yield f"{'':<6}{'':<{width}}  -> {advice}"
        advice = wanted
        yield f"{mark[row.ok]:<4}  {row.name:<{width}}  {row.found}".rstrip()
    if advice:
        yield f"{'':<6}{'':<{width}}  -> {advice}"
    failed = sum(row.ok is False for row in seen)
    yield from ("", f"{failed} of {len(seen)} requirements fail." if failed else "Everything that is needed is there.")


@_told("smaller", "pip install -e . in the folder of the checkout")
def packages(
    *,
    installed: Callable[[str], metadata.Distribution] = metadata.distribution,
    python: str = platform.python_version(),
) -> Iterator[Requirement]:
    """The versions of Python and each declared package, against the bounds of pyproject.toml; extras are optional."""
    project = installed("smaller")
    bound = project.metadata["Requires-Python"] or ""
    ok = SpecifierSet(bound).contains(python, prereleases=True)
    advice = f"Python {bound} is needed. Make the environment with it: make PYTHON=python3.12"
    yield Requirement("Python", ok, f"{python} at {sys.executable}", advice)
    for wanted in map(Specification, project.requires or []):
        # With no extra in force, or with one: a marker may also speak of the system, and hold under neither.
        for extra in ("", *(project.metadata.get_all("Provides-Extra") or [])):
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                yield _package(wanted, extra, installed)
                break


def _package(wanted: Specification, extra: str, installed: Callable[[str], metadata.Distribution]) -> Requirement:
    name = f"{wanted.name} (extra {extra})" if extra else wanted.name
    install = f"pip install -e '.[{extra}]'" if extra else INSTALL
    try:
        version = installed(wanted.name).version
    except metadata.PackageNotFoundError:
        return Requirement(name, None if extra else False, "not installed", install)
    ok = wanted.specifier.contains(version, prereleases=True)
    return Requirement(name, ok, version, f"{wanted.name}{wanted.specifier} is needed: {install}")


@_told("processor", REBUILD)
def processor(
    *, system: str = sys.platform, machine: str = platform.machine(), told: str | None = None
) -> Iterator[Requirement]:
    """The processor, its cores, and which of the instructions it has that make small models fast.

    `told` is what the system tells of it (from `sysctl -a` or /proc/cpuinfo; empty for nothing), asked now when None.
    """
    model, flags = _processor(system, machine, _asked(system) if told is None else told)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    yield Requirement("processor", True, f"{model}, {cores} {'core' if cores == 1 else 'cores'}")
    table = X86_FEATURES if machine.lower() in {"x86_64", "amd64"} else ARM_FEATURES
    for name, (spellings, use) in table.items():
        if not flags.isdisjoint(spellings):
            yield Requirement(f"  {name}", True, use)
        else:
            why = "absent" if flags else "unknown on this system"
            yield Requirement(f"  {name}", None, f"{why}; it would give {use}")


def _asked(system: str) -> str:
    if system == "darwin":
        return _output("sysctl", "-a")
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""


def _processor(system: str, machine: str, told: str) -> tuple[str, set[str]]:
    """The processor's name, and its features in lower case without separators (empty where the system tells none)."""
    values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in told.splitlines())}
    if system == "darwin":
        intel = values.get("machdep.cpu.features", "") + " " + values.get("machdep.cpu.leaf7_features", "")
        arm = [key.rpartition("FEAT_")[2] for key, value in values.items() if "FEAT_" in key and value == "1"]
        return values.get("machdep.cpu.brand_string", machine), _plain(intel.split() + arm)
    words = (values.get("flags") or values.get("Features") or "").split()
    return values.get("model name") or (machine if told else platform.processor() or machine), _plain(words)


def _plain(words: list[str]) -> set[str]:
    return {word.lower().replace("_", "").replace(".", "") for word in words}


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


@_told("memory", INSTALL)
def memory(now: object | None = None) -> Iterator[Requirement]:
    """Main memory that is free `now`, with its `available` and `total` bytes as psutil tells them."""
    import psutil

    now = now or psutil.virtual_memory()
    found = f"{now.available / GIGABYTE:.1f} GB free of {now.total / GIGABYTE:.1f} GB"
    advice = f"Less than {FREE_MEMORY / GIGABYTE:.0f} GB are free: close other programs."
    yield Requirement("memory", now.available >= FREE_MEMORY, found, advice)


@_told("GPU", REBUILD)
def accelerators(cuda: object | None = None) -> Iterator[Requirement]:
    """Each GPU of `torch.cuda` with its memory and whether it computes in bf16; optional: small encoders need none."""
    import torch

    from smaller.encoders.device import gpu_fault, has_gpu

    cuda = cuda or torch.cuda
    if fault := gpu_fault():
        yield Requirement("GPU", False, fault)
        return
    if not cuda.is_available():
        found = "none"
        if settings.cards() is None and has_gpu():
            found = (
                f"not used: PyTorch {torch.__version__} is a build for the processor; the README says how to change it"
            )
        elif torch.backends.mps.is_available():
            found = "Apple's (MPS) is not used: everything runs on the processor"
        yield Requirement("GPU", None, found, "sample and mini run on the processor; the paper profile wants a GPU")
        return
    bf16 = "bf16" if cuda.is_bf16_supported() else "no bf16"
    for index in range(cuda.device_count()):
        device = cuda.get_device_properties(index)
        yield Requirement("GPU", True, f"{device.name}, {device.total_memory / GIGABYTE:.0f} GB, {bf16}")


@_told("bitsandbytes loads", "LLM.int8() needs it: pip install bitsandbytes")
def bitsandbytes() -> Iterator[Requirement]:
    """Whether its binary parts load, which the installed version does not tell."""
    # It reports on its own start; the row is the report that is wanted here.
    with contextlib.redirect_stderr(io.StringIO()):
        importlib.import_module("bitsandbytes")
    yield Requirement("bitsandbytes loads", True, "for LLM.int8()")


@_told("Jupyter kernel python3", f"{INSTALL}; or set HOME to a folder of your own, where there is none")
def kernel(manager: object | None = None) -> Iterator[Requirement]:
    """The Jupyter kernel `python3` of a KernelSpecManager, which has to start this very Python."""
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    advice = "The notebooks would run in another Python: python -m ipykernel install --sys-prefix"
    try:
        command = (manager or KernelSpecManager()).get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        yield Requirement("Jupyter kernel python3", False, "not registered", advice)
        return
    # Jupyter itself replaces a bare "python" by the Python that runs it.
    ours = os.path.basename(command) == command or os.path.realpath(command) == os.path.realpath(sys.executable)
    yield Requirement("Jupyter kernel python3", ours, "this Python" if ours else command, advice)


def folders(*, needed: float = FREE_DISK) -> list[Requirement]:
    """The folders that are written to: free disk, at least the bytes `needed`, and the permission to write."""
    rows = []
    for name, place in (("outputs", paths.outputs_folder), ("cache", paths.cache_folder)):
        variable = f"SMALLER_{name.upper()}"
        advice = f"Nothing can be written there. Change its permissions, or set {variable} to another folder."
        rows += _told(name, advice)(_folder)(name, place, variable, needed)
    return rows


def _folder(name: str, place: Callable[[], Path], variable: str, needed: float) -> Iterator[Requirement]:
    folder = place()
    standing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    with tempfile.TemporaryFile(dir=standing):
        free = shutil.disk_usage(standing).free
    advice = f"Less than {needed / GIGABYTE:.0f} GB are free: clear the disk, or set {variable} elsewhere."
    yield Requirement(name, free >= needed, f"{folder}, {free / GIGABYTE:.0f} GB free", advice)


@_told("data", REBUILD)
def data() -> Iterator[Requirement]:
    """For each data set that has files, in how many of its languages all splits are found; optional."""
    from smaller.data.datasets import DATASETS
    from smaller.data.files import find

    paths.data_folder()

    def is_there(name: str, language: str) -> bool:
        try:
            return all(find(name, language, split) for split in DATASETS[name].splits_of(language))
        except SmallerError:
            return False

    for name, dataset in DATASETS.items():
        if not dataset.sources:
            continue
        found = [language for language in dataset.languages if is_there(name, language)]
        text = f"{len(found)} of {len(dataset.languages)} languages"
        if 0 < len(found) < len(dataset.languages):
            text += f": {' '.join(found)}"
        advice = "Set SMALLER_DATA to the folder that holds it"
        if any(source.repository for source in dataset.sources.values()):
            advice += ", or: python -m smaller fetch NAME"
        yield Requirement(f"data {name}", True if found else None, text, advice)


@_told("encoders", REBUILD)
def encoders() -> Iterator[Requirement]:
    """Encoder folders under SMALLER_MODELS, and which of the published encoders lie in the hub's cache; optional."""
    from smaller.encoders import ENCODERS, is_here, source

    folder = paths.models_folder()
    for place in sorted(file.parent for file in folder.glob("*/config.json")) if folder else []:
        try:
            yield Requirement(f"encoder {place.name}", True, str(source(str(place))))
        except SmallerError as error:
            yield Requirement(f"encoder {place.name}", False, str(error))
    for name, encoder in ENCODERS.items():
        if encoder.repository is not None and not encoder.made_from:
            here = is_here(name)
            found = f"{encoder.repository}, {'here' if here else 'not here'}"
            yield Requirement(f"encoder {name}", True if here else None, found, "python -m smaller fetch NAME")


def needed_by(profile: str) -> list[Requirement]:
    """Each encoder and data set that a profile reads, and what of it is missing here; asks no network."""
    from smaller.inputs import fetching, needs

    advice = f"python -m smaller fetch --profile {profile}"
    return [
        Requirement(
            f"{Path(profile).stem}: {part.name}",
            not part.missing,
            part.problem or (f"{len(part.missing)} files are missing" if part.missing else "here"),
            "" if part.problem else advice,
        )
        for part in fetching.plan(needs.of_profile(profile), ask=False)
    ]


@_told("model hub", INSTALL)
def hub(*, endpoint: str | None = None, seconds: float = 2.0) -> Iterator[Requirement]:
    """Whether the model hub answers within some seconds; optional, since nothing but fetching needs it."""
    if settings.offline():
        yield Requirement("model hub", None, "not asked: HF_HUB_OFFLINE is set", "unset it to fetch data or encoders")
        return
    from huggingface_hub.constants import ENDPOINT

    address = endpoint or ENDPOINT
    outcome: list[str] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=seconds).close()
            outcome.append("")
        except urllib.error.HTTPError as error:  # an answer, if not a kind one
            error.close()
            outcome.append("")
        except OSError as error:
            outcome.append(str(getattr(error, "reason", error)))

    # A name server that is silent takes no notice of the time limit; a thread that nobody waits for does.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    if outcome == [""]:
        yield Requirement("model hub", True, f"{address} answers")
        return
    why = outcome[0] if outcome else f"no answer within {seconds:g} s"
    advice = "Sample and mini do not need it. Fetch where there is a network, or set HF_HUB_OFFLINE=1 to say so."
    yield Requirement("model hub", None, f"offline: {why}", advice)
