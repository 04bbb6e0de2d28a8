"""Each requirement is seen met, absent and failing, and the table says what to do."""

from __future__ import annotations

import http.server
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from smaller.base import settings
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
    rows = [
        Requirement("torch", True, "2.13", "never shown"),
        Requirement("first", None, "absent", "fetch them"),
        Requirement("second", None, "absent", "fetch them"),
        Requirement("disk", False, "0 GB", "clear it"),
    ]
    assert list(check.render(iter(rows), width=6)) == [
        "OK    torch   2.13",
        "--    first   absent",
        "--    second  absent",
        "              -> fetch them",
        "FAIL  disk    0 GB",
        "              -> clear it",
        "",
        "1 of 4 requirements fail.",
    ]
    *_, last = check.render([Requirement("torch", True, "2.13")])
    assert last == "Everything that is needed is there."


def test_rows_are_told_as_they_come() -> None:
    def looks() -> Iterator[Requirement]:
        yield Requirement("quick", True, "at once")
        raise AssertionError("nobody asked for more")

    seen: list[Requirement] = []
    assert next(check.render(looks(), seen=seen)).endswith("at once") and [row.name for row in seen] == ["quick"]


def test_advice_is_not_lost_before_a_row_that_is_met() -> None:
    rows = [Requirement("one", None, "absent", "fetch"), Requirement("two", True, "there", "fetch")]
    assert "-> fetch" in "".join(check.render(rows))


def installed(name: str) -> object:
    """This project with other declarations, an old torch, and the other packages as they are."""
    if name == "smaller":
        lines = ["torch>=2.11", "nowhere-to-be-found", 'neither-here; extra == "cluster"', 'gone; python_version < "3"']
        return SimpleNamespace(metadata=metadata.metadata("smaller"), requires=lines)
    return SimpleNamespace(version="2.10.0") if name == "torch" else metadata.distribution(name)


def test_package_below_its_bound_or_missing_fails_and_an_extra_is_optional() -> None:
    rows = by_name(check.packages(installed=installed))
    assert rows["torch"] == Requirement(
        "torch", False, "2.10.0", "torch>=2.11 is needed: pip install -r requirements.lock"
    )
    assert rows["nowhere-to-be-found"].ok is False
    assert rows["neither-here (extra cluster)"].ok is None
    assert "gone" not in rows, "a package that this Python does not need is not asked for"


def test_old_python_fails() -> None:
    row = check.packages(python="3.10.9")[0]
    assert row.ok is False and row.advice.startswith("Python >=3.11 is needed")


def test_package_that_is_not_installed_says_how() -> None:
    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    (row,) = check.packages(installed=absent)
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
def test_features_of_linux(machine: str, there: set, absent: set) -> None:
    processor, *features = check.processor(system="linux", machine=machine, told=CPUINFO[machine])
    assert processor.found.startswith("Some Xeon, " if machine == "x86_64" else "aarch64, ")
    rows = {row.name.strip(): row.ok for row in features}
    assert {name for name, ok in rows.items() if ok} == there
    assert {name for name, ok in rows.items() if ok is None} == absent


@pytest.mark.parametrize(
    ("machine", "lines", "there"),
    [
        ("arm64", "machdep.cpu.brand_string: M2\nhw.optional.arm.FEAT_BF16: 1\nhw.optional.arm.FEAT_I8MM: 0", "BF16"),
        ("x86_64", "machdep.cpu.features: FPU SSE4.2\nmachdep.cpu.leaf7_features: AVX2 BMI1", "AVX2"),
    ],
)
def test_features_of_macos(machine: str, lines: str, there: str) -> None:
    rows = check.processor(system="darwin", machine=machine, told=lines)[1:]
    assert [row.name.strip() for row in rows if row.ok] == [there]


def test_features_are_unknown_where_the_system_tells_none() -> None:
    rows = check.processor(system="win32", told="")[1:]
    assert rows and all(row.ok is None and row.found.startswith("unknown") for row in rows)


def test_a_system_command_that_is_not_there_gives_nothing() -> None:
    assert check._output("no-such-command-anywhere") == ""
    assert check._output(sys.executable, "-c", "print('yes')") == "yes\n"


def test_little_memory_fails() -> None:
    assert check.memory(SimpleNamespace(available=1e9, total=8e9)) == [
        Requirement("memory", False, "1.0 GB free of 8.0 GB", "Less than 4 GB are free: close other programs.")
    ]


def test_gpus_are_listed_with_memory_and_precision() -> None:
    cuda = SimpleNamespace(
        is_available=lambda: True,
        is_bf16_supported=lambda: True,
        device_count=lambda: 2,
        get_device_properties=lambda index: SimpleNamespace(name=f"Some GPU {index}", total_memory=48e9),
    )
    rows = check.accelerators(cuda)
    assert [(row.ok, row.found) for row in rows] == [(True, f"Some GPU {index}, 48 GB, bf16") for index in range(2)]
    rows = check.accelerators(SimpleNamespace(is_available=lambda: False))
    assert [(row.ok, row.found) for row in rows] == [(None, "none")]


def test_library_that_does_not_load_is_a_row_and_no_traceback(tmp_path: Path) -> None:
    for name in ("torch", "bitsandbytes"):
        problem = f'raise OSError("lib{name}.so: cannot open shared object file\\nand more lines")'
        (tmp_path / f"{name}.py").write_text(problem, encoding="utf-8")
    program = (
        "from smaller.inputs import check; print(*check.render(check.accelerators() + check.bitsandbytes()), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [line.split("  ")[-1].strip() for line in done.stdout.splitlines()] == [
        "OSError: libtorch.so: cannot open shared object file and more lines",
        "-> make clean-all, then make",
        "OSError: libbitsandbytes.so: cannot open shared object file and more lines",
        "-> LLM.int8() needs it: pip install bitsandbytes",
        "",
        "2 of 2 requirements fail.",
    ]


@pytest.mark.parametrize(
    ("command", "ok"), [("python", True), (sys.executable, True), ("/opt/other/bin/python3", False)]
)
def test_kernel_has_to_be_this_python(tmp_path: Path, command: str, ok: bool) -> None:
    from jupyter_client.kernelspec import KernelSpecManager

    (tmp_path / "python3").mkdir()
    specification = {"argv": [command, "-m", "ipykernel_launcher"], "display_name": "Python 3", "language": "python"}
    (tmp_path / "python3/kernel.json").write_text(json.dumps(specification), encoding="utf-8")
    manager = KernelSpecManager(kernel_dirs=[str(tmp_path)], ensure_native_kernel=False)
    assert [row.ok for row in check.kernel(manager)] == [ok]


def test_folders_that_are_full_or_cannot_be_written_fail(rooms: Callable, tmp_path: Path) -> None:
    rooms(outputs=tmp_path / "not/yet/there")
    assert by_name(check.folders())["outputs"].ok is True
    outputs = by_name(check.folders(needed=1e18))["outputs"]
    assert outputs.ok is False and "Less than 1000000000 GB are free" in outputs.advice
    assert list(tmp_path.iterdir()) == [], "looking leaves nothing behind"

    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    rooms(outputs=tmp_path / "file")
    outputs = by_name(check.folders())["outputs"]
    assert outputs.ok is False and "set SMALLER_OUTPUTS to another folder" in outputs.advice


def test_data_are_counted_by_language(rooms: Callable, tmp_path: Path) -> None:
    rooms(data=tmp_path)
    assert by_name(check.data())["data masakhaner"].ok is None
    for language, splits in {"swa": ("train", "dev", "test"), "yor": ("train", "dev")}.items():
        for split in splits:
            file = tmp_path / "masakhaner" / language / f"{split}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("Nairobi B-LOC\n", encoding="utf-8")
    row = by_name(check.data())["data masakhaner"]
    assert row.ok is True and row.found == "1 of 10 languages: swa", "yor has no test split"

    rooms(data=tmp_path / "elsewhere")
    (row,) = check.data()
    assert row.ok is False and "SMALLER_DATA" in row.found


def test_encoder_folders_need_weights_and_a_known_architecture(rooms: Callable, tmp_path: Path) -> None:
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
    rooms(models=tmp_path)
    rows = by_name(check.encoders())
    assert rows["encoder whole"].ok is True and rows["encoder pickled"].ok is True
    assert rows["encoder bare"].ok is False and "model.safetensors" in rows["encoder bare"].found
    assert rows["encoder modern"].ok is False and "modernbert" in rows["encoder modern"].found
    assert "encoder other" not in rows
    assert rows["encoder afriberta-small"].ok is None and "not here" in rows["encoder xlm-r-base"].found

    rooms(models=tmp_path / "elsewhere")
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


def test_hub_that_answers_refuses_or_is_silent(server: str) -> None:
    assert [row.ok for row in check.hub()] == [None]
    with settings.changed(HF_HUB_OFFLINE="0"), socket.socket() as silent:
        assert [row.ok for row in check.hub(endpoint=server)] == [True], "a refusal is an answer too"
        assert "the tests have no network" in check.hub(endpoint="http://hub.invalid")[0].found
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        (row,) = check.hub(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.05)
    assert row.ok is None and row.found.startswith("offline: ")
