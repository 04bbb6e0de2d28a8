"""Each requirement is seen met, absent and failing, and the table says what to do."""

from __future__ import annotations

import builtins
import http.server
import json
import platform
import socket
import sys
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from smaller.inputs import check
from smaller.inputs.check import Requirement


def by_name(rows: list[Requirement]) -> dict[str, Requirement]:
    return {row.name: row for row in rows}


def test_all_that_the_project_declares_is_checked_and_met_here() -> None:
    rows = by_name(check.requirements())
    for name in (
        "Python",
        "torch",
        "papermill",
        "processor",
        "memory",
        "GPU",
        "bitsandbytes loads",
        "outputs",
        "cache",
        "data masakhaner",
        "encoder afriberta-base",
        "model hub",
        "Jupyter kernel python3",
    ):
        assert name in rows, name
    for name in ("Python", "torch", "bitsandbytes loads", "Jupyter kernel python3", "outputs"):
        assert rows[name].ok is True, rows[name]
    assert "ray (extra cluster)" in rows and rows["ray (extra cluster)"].ok is not False
    assert all(row.advice for row in rows.values() if row.ok is False)


def test_table_marks_rows_and_gives_advice_once_for_neighbours() -> None:
    text = check.render(
        [
            Requirement("torch", True, "2.13", "never shown"),
            Requirement("first", None, "absent", "fetch them"),
            Requirement("second", None, "absent", "fetch them"),
            Requirement("disk", False, "0 GB", "clear it"),
        ]
    )
    assert text.splitlines() == [
        "OK    torch   2.13",
        "--    first   absent",
        "--    second  absent",
        "              -> fetch them",
        "FAIL  disk    0 GB",
        "              -> clear it",
        "",
        "1 of 4 requirements fail.",
    ]
    assert check.render([Requirement("torch", True, "2.13")]).endswith("Everything that is needed is there.")


def test_advice_is_not_lost_before_a_row_that_is_met() -> None:
    rows = [Requirement("one", None, "absent", "fetch"), Requirement("two", True, "there", "fetch")]
    assert "-> fetch" in check.render(rows)


def test_package_below_its_bound_or_missing_fails_and_an_extra_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["torch>=2.11", "nowhere-to-be-found", 'neither-here; extra == "cluster"', 'gone; python_version < "3"']
    project = metadata.metadata("smaller")
    monkeypatch.setattr(metadata, "metadata", lambda name: project)
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "2.10.0" if name == "torch" else version(name))
    rows = by_name(check.packages())
    assert rows["torch"] == Requirement(
        "torch", False, "2.10.0", "torch>=2.11 is needed: pip install -r requirements.lock"
    )
    assert rows["nowhere-to-be-found"].ok is False
    assert rows["neither-here (extra cluster)"].ok is None
    assert "gone" not in rows, "a package that this Python does not need is not asked for"


def test_old_python_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.9")
    row = check.packages()[0]
    assert row.ok is False and row.advice.startswith("Python >=3.11 is needed")


def test_package_that_is_not_installed_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "metadata", absent)
    (row,) = check.packages()
    assert row.ok is False and "pip install -e ." in row.advice


CPUINFO = {
    "x86_64": "processor\t: 0\nmodel name\t: Some Xeon\nflags\t\t: fpu avx2 avx512f avx512_vnni amx_int8\n",
    "aarch64": "processor\t: 0\nFeatures\t: fp asimd asimddp bf16\n",
}


@pytest.mark.parametrize(
    ("machine", "there", "absent"),
    [
        ("x86_64", {"AVX2", "AVX512F", "AVX512-VNNI or AVX-VNNI", "AMX"}, {"AVX512-BF16"}),
        ("aarch64", {"dot product", "BF16"}, {"I8MM"}),
    ],
)
def test_features_of_linux(monkeypatch: pytest.MonkeyPatch, machine: str, there: set, absent: set) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(Path, "read_text", lambda self, **_: CPUINFO[machine])
    rows = {row.name.strip(): row.ok for row in check.processor()[1:]}
    assert {name for name, ok in rows.items() if ok} == there
    assert {name for name, ok in rows.items() if ok is None} == absent


@pytest.mark.parametrize(
    ("machine", "lines", "there"),
    [
        ("arm64", "machdep.cpu.brand_string: M2\nhw.optional.arm.FEAT_BF16: 1\nhw.optional.arm.FEAT_I8MM: 0", "BF16"),
        ("x86_64", "machdep.cpu.features: FPU SSE4.2\nmachdep.cpu.leaf7_features: AVX2 BMI1", "AVX2"),
    ],
)
def test_features_of_macos(monkeypatch: pytest.MonkeyPatch, machine: str, lines: str, there: str) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(check, "_output", lambda *command: lines)
    assert [row.name.strip() for row in check.processor()[1:] if row.ok] == [there]


def test_features_are_unknown_where_the_system_tells_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(self: Path, **_: object) -> str:
        raise FileNotFoundError(self)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(Path, "read_text", unreadable)
    rows = check.processor()[1:]
    assert rows and all(row.ok is None and row.found.startswith("unknown") for row in rows)


def test_a_system_command_that_is_not_there_gives_nothing() -> None:
    assert check._output("no-such-command-anywhere") == ""
    assert check._output(sys.executable, "-c", "print('yes')") == "yes\n"


def test_little_memory_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1e9, total=8e9))
    assert check.memory() == [
        Requirement("memory", False, "1.0 GB free of 8.0 GB", "Less than 4 GB are free: close other programs.")
    ]


def test_gpus_are_listed_with_memory_and_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    device = SimpleNamespace(name="Some GPU", total_memory=48e9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: device)
    assert [(row.ok, row.found) for row in check.accelerators()] == [(True, "Some GPU, 48 GB, bf16")] * 2
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [(row.ok, row.found) for row in check.accelerators()] == [(None, "none")]


def test_broken_torch_is_a_row_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def broken(name: str, *arguments: object, **options: object) -> object:
        if name == "torch":
            raise OSError("libcudart.so: cannot open shared object file\nand more lines")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", broken)
    (row,) = check.accelerators()
    assert row.ok is False and row.found.startswith("OSError: libcudart.so: cannot open shared object file")


def test_library_that_does_not_load_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    (row,) = check.bitsandbytes()
    assert row.ok is False and "bitsandbytes" in row.found and "pip install bitsandbytes" in row.advice


@pytest.mark.parametrize(
    ("command", "ok"), [("python", True), (sys.executable, True), ("/opt/other/bin/python3", False)]
)
def test_kernel_has_to_be_this_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, ok: bool) -> None:
    from jupyter_client.kernelspec import KernelSpecManager

    (tmp_path / "python3").mkdir()
    specification = {"argv": [command, "-m", "ipykernel_launcher"], "display_name": "Python 3", "language": "python"}
    (tmp_path / "python3/kernel.json").write_text(json.dumps(specification), encoding="utf-8")
    monkeypatch.setattr(KernelSpecManager, "_kernel_dirs_default", lambda self: [str(tmp_path)])
    monkeypatch.setattr(KernelSpecManager.ensure_native_kernel, "default_value", False)
    assert [row.ok for row in check.kernel()] == [ok]


def test_folders_that_are_full_or_cannot_be_written_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SMALLER_OUTPUTS", str(tmp_path / "not/yet/there"))
    monkeypatch.setattr(check.shutil, "disk_usage", lambda place: SimpleNamespace(free=1e9))
    outputs = by_name(check.folders())["outputs"]
    assert outputs.ok is False and "Less than 2 GB are free" in outputs.advice
    assert list(tmp_path.iterdir()) == [], "looking leaves nothing behind"

    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("SMALLER_OUTPUTS", str(tmp_path / "file"))
    outputs = by_name(check.folders())["outputs"]
    assert outputs.ok is False and "set SMALLER_OUTPUTS to another folder" in outputs.advice


def test_data_are_counted_by_language(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SMALLER_DATA", str(tmp_path))
    assert by_name(check.data())["data masakhaner"].ok is None
    for language, splits in {"swa": ("train", "dev", "test"), "yor": ("train", "dev")}.items():
        for split in splits:
            file = tmp_path / "masakhaner" / language / f"{split}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("Nairobi B-LOC\n", encoding="utf-8")
    row = by_name(check.data())["data masakhaner"]
    assert row.ok is True and row.found == "1 of 10 languages: swa", "yor has no test split"

    monkeypatch.setenv("SMALLER_DATA", str(tmp_path / "elsewhere"))
    (row,) = check.data()
    assert row.ok is False and "SMALLER_DATA" in row.found


def test_encoder_folders_need_weights_and_a_known_architecture(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, files in {
        "whole": ("config.json", "tokenizer.json", "model.safetensors"),
        "pickled": ("config.json", "sentencepiece.bpe.model", "pytorch_model.bin"),
        "bare": ("config.json", "tokenizer.json", "tf_model.h5"),
        "modern": ("config.json", "tokenizer.json", "model.safetensors"),
        "other": ("notes.txt",),
    }.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text(f'{{"model_type": "{"modernbert" if name == "modern" else "bert"}"}}')
    monkeypatch.setenv("SMALLER_MODELS", str(tmp_path))
    rows = by_name(check.encoders())
    assert rows["encoder whole"].ok is True and rows["encoder pickled"].ok is True
    assert rows["encoder bare"].ok is False and "model.safetensors" in rows["encoder bare"].found
    assert rows["encoder modern"].ok is False and "modernbert" in rows["encoder modern"].found
    assert "encoder other" not in rows
    assert rows["encoder afriberta-small"].ok is None and "not here" in rows["encoder xlm-r-base"].found

    monkeypatch.setenv("SMALLER_MODELS", str(tmp_path / "elsewhere"))
    (row,) = check.encoders()
    assert row.ok is False and "SMALLER_MODELS" in row.found


@pytest.fixture
def server() -> Iterator[str]:
    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Refusing) as here:
        thread = threading.Thread(target=here.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{here.server_port}"
        here.shutdown()
        thread.join()


def test_hub_that_answers_refuses_or_is_silent(monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    assert [row.ok for row in check.hub()] == [None]
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert [row.ok for row in check.hub(endpoint=server)] == [True], "a refusal is an answer too"
    assert "the tests have no network" in check.hub(endpoint="http://hub.invalid")[0].found
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        (row,) = check.hub(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.05)
    assert row.ok is None and row.found.startswith("offline: ")
