"""Where networks run: the arithmetic is stated and set, and a GPU that cannot be used is an error and no processor."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from pretend_device import pretend_device
from torch.utils._python_dispatch import TorchDispatchMode

from smaller import study
from smaller.base.errors import SmallerError
from smaller.base.progress import silent
from smaller.base.settings import changed
from smaller.encoders import Model, device
from smaller.inputs import check
from smaller.study import cost, results, training
from smaller.study.cost import Setting
from smaller.study.recipes import dense
from smaller.study.steps import Distil, FineTune, Pretrain

TUNE = FineTune("sample", "swa", epochs=1, learning_rate=3e-3, batch_size=32)


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """A GPU whose driver is too old for a PyTorch that has been built for CUDA; it says what it is given."""

    def say(reason: str) -> None:
        def init() -> None:
            raise RuntimeError(reason)

        monkeypatch.setattr(torch.cuda, "init", init)

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(device, "has_gpu", lambda: True)
    say("The NVIDIA driver on your system is too old (found version 12040). Please update your GPU driver.\nMore")
    device.device.cache_clear()
    with changed(CUDA_VISIBLE_DEVICES=None):
        yield say
    device.device.cache_clear()


TOLD = (
    f"There is an NVIDIA GPU here, and PyTorch {torch.__version__} (for CUDA 13.0) cannot use it: The NVIDIA driver on "
    "your system is too old (found version 12040). Update the GPU's driver, or install a build of PyTorch for an older "
    "one, as the README says; CUDA_VISIBLE_DEVICES=-1 goes on without the GPU."
)


def test_a_driver_that_is_too_old_fails_the_check_and_the_study(
    blind: Callable, tiny_folder: str, few_sentences
) -> None:
    (row,) = check.accelerators()
    assert (row.ok, row.found) == (False, TOLD)
    with pytest.raises(SmallerError) as caught:
        study.run([dense(tiny_folder, TUNE)], say=silent)
    assert str(caught.value) == TOLD and results.read_all() == []
    blind("CUDA unknown error")
    assert "cannot use it: CUDA unknown error. Update" in device.gpu_fault()


@pytest.mark.parametrize("deliberate", ["", "-1"])
def test_the_processor_is_taken_deliberately(deliberate: str, blind: Callable) -> None:
    with changed(CUDA_VISIBLE_DEVICES=deliberate):
        assert device.device().type == "cpu" and device.gpu_fault() == ""
        assert check.accelerators()[0].found == "none"


def test_a_build_for_the_processor_is_taken_as_it_is(blind: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    assert device.device().type == "cpu"
    (row,) = check.accelerators()
    assert row.ok is None and "is a build for the processor" in row.found
    monkeypatch.setattr(device, "has_gpu", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert check.accelerators()[0].found == "Apple's (MPS) is not used: everything runs on the processor"


def test_the_arithmetic_is_set_and_recorded(half_precision: Callable[[bool], None]) -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    with pretend_device():
        device.device()
        assert device.arithmetic() == {
            "device_type": "cuda",
            "mixed_precision": "bfloat16",
            "fp32_products": "ieee",
        }
    assert torch.backends.cuda.matmul.allow_tf32 is False and "fp32 without TF32" in Setting().protocol
    half_precision(False)
    assert device.arithmetic() == {"device_type": "cpu", "mixed_precision": "none", "fp32_products": "ieee"}
    assert device.arithmetic().keys() < results.provenance().keys()


# Deterministic training

NO_ORDER = """kthvalue median histc bincount put_ cumsum nll_loss2d_forward scatter_reduce resize_ embedding_bag
    _ctc_loss_backward upsample_linear1d_backward max_unpool2d grid_sampler_2d_backward""".split()
"""What has no deterministic algorithm on a GPU; some of it only in a case of its own, which is not looked at."""


class Seen(TorchDispatchMode):
    """The operations that ran while only deterministic algorithms were allowed."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        # Sums of whole numbers come out alike in any order.
        whole = args and isinstance(args[0], torch.Tensor) and not args[0].is_floating_point()
        if torch.are_deterministic_algorithms_enabled() and not whole:
            self.names.add(operation._schema.name.removeprefix("aten::"))
        return operation(*args, **kwargs or {})


@pytest.mark.parametrize(
    "steps",
    [
        (TUNE, Distil(1, on="task", dataset="sample", language="swa", epochs=1, hidden_weight=0.3)),
        (Distil(1, on="corpus", corpus="sample", languages=("swa",), updates=2, batch_size=4),),
        (Pretrain(languages=("swa",), updates=2, batch_size=4),),
    ],
    ids=lambda steps: " > ".join(step.label for step in steps),
)
def test_training_on_a_gpu_is_deterministic(steps: tuple, tiny: Model, sample_of: Callable) -> None:
    model = tiny
    with sample_of(train=32, dev=8, test=8), changed(CUBLAS_WORKSPACE_CONFIG=None), pretend_device(), Seen() as seen:
        for step in steps:
            model, _ = step.apply(model)
        assert device.settings._value("CUBLAS_WORKSPACE_CONFIG") == ":4096:8"
    assert {"_fused_adamw_", "embedding_dense_backward"} <= seen.names
    assert not [name for name in NO_ORDER if name in seen.names]
    assert not torch.are_deterministic_algorithms_enabled() and torch.utils.deterministic.fill_uninitialized_memory


def test_a_processor_needs_no_other_algorithms(tiny: Model) -> None:
    with device.deterministic():
        assert not torch.are_deterministic_algorithms_enabled()
    assert training.train.__wrapped__


# Cards


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        (None, ["0", "1", "2"]),
        ("2,0", ["2", "0"]),
        ("GPU-8932f937, MIG-1a2b", ["GPU-8932f937", "MIG-1a2b"]),
        ("MIG-1a2b,MIG-3c4d", ["MIG-1a2b", "MIG-3c4d"]),
        ("1,-1,2", ["1"]),
    ],
)
def test_cards_are_those_that_are_allowed(allowed: str | None, expected: list) -> None:
    count = 1 if (allowed or "").startswith("MIG") else len(expected)
    with changed(CUDA_VISIBLE_DEVICES=allowed), pretend_device(cards=count):
        assert device.cards() == expected


def test_there_are_no_cards_without_a_gpu() -> None:
    assert device.cards() == []


@pytest.mark.parametrize(("free", "workers"), [(5_000, 1), (22_000, 1), (46_000, 4), (24_500, 2), (140_000, 4)])
def test_workers_go_by_free_memory(free: int, workers: int, tmp_path: Path) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\ncase "$*" in *memory.free*--id=7) echo {free};; *) exit 1;; esac\n', encoding="utf-8")
    tool.chmod(0o755)
    with changed(CUDA_VISIBLE_DEVICES="7", PATH=f"{tmp_path}:/bin:/usr/bin"), pretend_device(memory=40e9):
        assert device.workers_on(0) == workers
        tool.unlink()
        assert device.workers_on(0) == 3


# Memory, and systems that lack what Linux has


def test_peak_memory_begins_anew() -> None:
    ballast = torch.ones(2**26)
    with_ballast = cost.peak_memory()
    del ballast
    cost.reset_peak()
    assert cost.peak_memory() < with_ballast - 2**27


HIDDEN = """
import os, pkgutil, sys
import datasets, onnxruntime, pandas, psutil, torch, transformers  # these know the system that they are on
for name in ("resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for name in ("fork", "sched_getaffinity"):
    delattr(os, name)
import smaller
from smaller import study
from smaller.base.progress import silent
from smaller.study import cost
from smaller.study.recipes import dense
from smaller.study.steps import FineTune
for module in pkgutil.walk_packages(smaller.__path__, "smaller."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
tuning = FineTune("sample", "swa", epochs=1, learning_rate=1e-3, batch_size=32)
table = study.run([dense(sys.argv[1], tuning)], workers=1, say=silent)
study.timing.weigh([dense(sys.argv[1], tuning)], sentences=2)
print(len(table))
"""


def test_a_study_needs_nothing_that_windows_lacks(tiny_folder: str, fresh_folders, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", HIDDEN, tiny_folder], capture_output=True, text=True, check=False)
    assert done.stdout == "2\n", done.stderr
