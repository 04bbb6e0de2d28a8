"""Is everything there that the study needs? One requirement a row, and for each that fails what to do."""

from __future__ import annotations

import contextlib
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
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement as Specification
from packaging.specifiers import SpecifierSet

from smaller.base import hub_client, paths
from smaller.base.errors import SmallerError

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


def requirements(*, profile: str = "") -> list[Requirement]:
    """Every requirement, looked at now, and with a `profile` all that its notebooks read.

    Takes some seconds, and writes nothing that stays.
    """
    return [
        *packages(),
        library("bitsandbytes", needed_for="LLM.int8()"),
        kernel(),
        *processor(),
        memory(),
        *accelerators(),
        *folders(),
        *data(),
        *encoders(),
        hub(),
        *(needed_by(profile) if profile else ()),
    ]


def render(rows: list[Requirement]) -> str:
    """A table of the requirements: OK, FAIL or -- (optional and absent); advice stands once, below its rows."""
    mark = {True: "OK", False: "FAIL", None: "--"}
    width = max((len(row.name) for row in rows), default=0)
    lines = []
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        lines.append(f"{mark[row.ok]:<4}  {row.name:<{width}}  {row.found}".rstrip())
        repeated = following is not None and following.advice == row.advice and not following.ok
        if row.advice and not row.ok and not repeated:
            lines.append(f"{'':<6}{'':<{width}}  -> {row.advice}")
    failed = sum(row.ok is False for row in rows)
    lines += ["", f"{failed} of {len(rows)} requirements fail." if failed else "Everything that is needed is there."]
    return "\n".join(lines)


def packages() -> list[Requirement]:
    """The versions of Python and each declared package, against the bounds of pyproject.toml; extras are optional."""
    try:
        project, declared = metadata.metadata("smaller"), metadata.requires("smaller") or []
    except metadata.PackageNotFoundError:
        return [Requirement("smaller", False, "not installed", "pip install -e . in the folder of the checkout")]
    bound, version = project["Requires-Python"] or "", platform.python_version()
    ok = SpecifierSet(bound).contains(version, prereleases=True)
    advice = f"Python {bound} is needed. Make the environment with it: make PYTHON=python3.12"
    rows = [Requirement("Python", ok, f"{version} at {sys.executable}", advice)]
    for wanted in map(Specification, declared):
        # With no extra in force, or with one: a marker may also speak of the system, and hold under neither.
        for extra in ("", *(project.get_all("Provides-Extra") or [])):
            if wanted.marker is None or wanted.marker.evaluate({"extra": extra}):
                rows.append(_package(wanted, extra))
                break
    return rows


def _package(wanted: Specification, extra: str) -> Requirement:
    name = f"{wanted.name} (extra {extra})" if extra else wanted.name
    install = f"pip install -e '.[{extra}]'" if extra else "pip install -r requirements.lock"
    try:
        version = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return Requirement(name, None if extra else False, "not installed", install)
    ok = wanted.specifier.contains(version, prereleases=True)
    return Requirement(name, ok, version, f"{wanted.name}{wanted.specifier} is needed: {install}")


def processor() -> list[Requirement]:
    """The processor, its cores, and which of the instructions it has that make small models fast."""
    model, flags = _processor()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    rows = [Requirement("processor", True, f"{model}, {cores} {'core' if cores == 1 else 'cores'}")]
    table = X86_FEATURES if platform.machine().lower() in {"x86_64", "amd64"} else ARM_FEATURES
    for name, (spellings, use) in table.items():
        if not flags:
            rows.append(Requirement(f"  {name}", None, f"unknown on this system; it would give {use}"))
        elif flags.isdisjoint(spellings):
            rows.append(Requirement(f"  {name}", None, f"absent; it would give {use}"))
        else:
            rows.append(Requirement(f"  {name}", True, use))
    return rows


def _processor() -> tuple[str, set[str]]:
    """The processor's name, and its features in lower case without separators (empty where the system tells none)."""
    if sys.platform == "darwin":
        lines = _output("sysctl", "-a").splitlines()
        values = dict(line.split(": ", 1) for line in lines if ": " in line)
        intel = values.get("machdep.cpu.features", "") + " " + values.get("machdep.cpu.leaf7_features", "")
        arm = [key.rpartition("FEAT_")[2] for key, value in values.items() if "FEAT_" in key and value == "1"]
        words = intel.split() + arm
        return values.get("machdep.cpu.brand_string", platform.machine()), _plain(words)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine(), set()
    values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    words = (values.get("flags") or values.get("Features") or "").split()
    return values.get("model name", platform.machine()), _plain(words)


def _plain(words: list[str]) -> set[str]:
    return {word.lower().replace("_", "").replace(".", "") for word in words}


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def memory() -> Requirement:
    """Main memory that is free now."""
    try:
        import psutil
    except ImportError:
        return Requirement("memory", False, "psutil is not installed", "pip install -r requirements.lock")
    now = psutil.virtual_memory()
    found = f"{now.available / GIGABYTE:.1f} GB free of {now.total / GIGABYTE:.1f} GB"
    advice = f"Less than {FREE_MEMORY / GIGABYTE:.0f} GB are free: close other programs."
    return Requirement("memory", now.available >= FREE_MEMORY, found, advice)


def accelerators() -> list[Requirement]:
    """Each CUDA GPU with its memory and whether it computes in bf16; optional, since small encoders run without one."""
    try:
        import torch
    except Exception as error:  # a broken build fails with OSError or worse; the row says so
        return [Requirement("GPU", False, f"torch does not load: {_first_line(error)}", "make clean-all, then make")]
    if not torch.cuda.is_available():
        return [Requirement("GPU", None, "none", "sample and mini run on the processor; the paper profile wants a GPU")]
    bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
    devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [Requirement("GPU", True, f"{one.name}, {one.total_memory / GIGABYTE:.0f} GB, {bf16}") for one in devices]


def library(name: str, *, needed_for: str) -> Requirement:
    """Whether a library with binary parts loads, which its installed version does not tell."""
    try:
        # Such libraries report on their own start; the row is the report that is wanted here.
        with contextlib.redirect_stderr(io.StringIO()):
            importlib.import_module(name)
    except Exception as error:  # whatever it raises, the answer is that it does not load
        return Requirement(f"{name} loads", False, _first_line(error), f"{needed_for} needs it: pip install {name}")
    return Requirement(f"{name} loads", True, f"for {needed_for}")


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]


def kernel() -> Requirement:
    """The Jupyter kernel `python3` that the notebooks name, which has to start this very Python."""
    advice = "The notebooks would run in another Python: python -m ipykernel install --sys-prefix"
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError as error:
        return Requirement("Jupyter kernel python3", False, _first_line(error), "pip install -r requirements.lock")
    try:
        command = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except NoSuchKernel:
        return Requirement("Jupyter kernel python3", False, "not registered", advice)
    except RuntimeError as error:  # there is no home folder
        return Requirement("Jupyter kernel python3", False, _first_line(error), "Set HOME to a folder of your own")
    # Jupyter itself replaces a bare "python" by the Python that runs it.
    ours = os.path.basename(command) == command or os.path.realpath(command) == os.path.realpath(sys.executable)
    return Requirement("Jupyter kernel python3", ours, "this Python" if ours else command, advice)


def folders() -> list[Requirement]:
    """The folders that are written to: free disk, and the permission to write."""
    named = {"outputs": ("SMALLER_OUTPUTS", paths.outputs_folder), "cache": ("SMALLER_CACHE", paths.cache_folder)}
    rows = []
    for name, (variable, place) in named.items():
        try:
            folder = place()
        except SmallerError as error:
            rows.append(Requirement(name, False, str(error)))
            continue
        standing = next(place for place in (folder, *folder.parents) if place.exists())
        try:
            with tempfile.TemporaryFile(dir=standing):
                free = shutil.disk_usage(standing).free
        except OSError as error:
            advice = f"Nothing can be written there. Change its permissions, or set {variable} to another folder."
            rows.append(Requirement(name, False, f"{folder}: {error.strerror}", advice))
            continue
        advice = f"Less than {FREE_DISK / GIGABYTE:.0f} GB are free: clear the disk, or set {variable} elsewhere."
        rows.append(Requirement(name, free >= FREE_DISK, f"{folder}, {free / GIGABYTE:.0f} GB free", advice))
    return rows


def data() -> list[Requirement]:
    """For each data set that has files, in how many of its languages all splits are found; optional."""
    from smaller.data.datasets import DATASETS
    from smaller.data.files import find

    try:
        paths.data_folder()
    except SmallerError as error:
        return [Requirement("data", False, str(error))]

    def is_there(name: str, language: str) -> bool:
        try:
            return all(find(name, language, split) for split in DATASETS[name].splits_of(language))
        except SmallerError:
            return False

    rows = []
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
        rows.append(Requirement(f"data {name}", True if found else None, text, advice))
    return rows


def encoders() -> list[Requirement]:
    """Encoder folders under SMALLER_MODELS, and which of the published encoders lie in the hub's cache; optional."""
    try:
        from smaller.encoders import ENCODERS, is_here, source

        folder = paths.models_folder()
    except SmallerError as error:
        return [Requirement("encoders", False, str(error))]
    except Exception as error:  # a broken build of torch or transformers; the row says so
        return [Requirement("encoders", False, _first_line(error), "make clean-all, then make")]
    rows = []
    for place in sorted(file.parent for file in folder.glob("*/config.json")) if folder else []:
        try:
            rows.append(Requirement(f"encoder {place.name}", True, str(source(str(place)))))
        except SmallerError as error:
            rows.append(Requirement(f"encoder {place.name}", False, str(error)))
    for name, encoder in ENCODERS.items():
        if encoder.repository is None or encoder.made_from:
            continue
        here = is_here(name)
        found = f"{encoder.repository}, {'here' if here else 'not here'}"
        rows.append(Requirement(f"encoder {name}", True if here else None, found, "python -m smaller fetch NAME"))
    return rows


def needed_by(profile: str) -> list[Requirement]:
    """Each encoder and data set that a profile reads, and what of it is missing here; asks no network."""
    from smaller.inputs import fetching, needs

    advice = f"python -m smaller fetch --profile {profile}"
    rows = []
    for part in fetching.plan(needs.of_profile(profile), ask=False):
        found = part.problem or (f"{len(part.missing)} files are missing" if part.missing else "here")
        row = Requirement(f"{Path(profile).stem}: {part.name}", not part.missing, found)
        rows.append(row if part.problem else replace(row, advice=advice))
    return rows


def hub(*, endpoint: str | None = None, seconds: float = 2.0) -> Requirement:
    """Whether the model hub answers within some seconds; optional, since nothing but fetching needs it."""
    if hub_client.offline():
        return Requirement("model hub", None, "not asked: HF_HUB_OFFLINE is set", "unset it to fetch data or encoders")
    try:
        from huggingface_hub.constants import ENDPOINT
    except ImportError as error:
        return Requirement("model hub", False, _first_line(error), "pip install -r requirements.lock")
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
        return Requirement("model hub", True, f"{address} answers")
    why = outcome[0] if outcome else f"no answer within {seconds:g} s"
    advice = "Sample and mini do not need it. Fetch where there is a network, or set HF_HUB_OFFLINE=1 to say so."
    return Requirement("model hub", None, f"offline: {why}", advice)
