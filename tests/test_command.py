"""The command tells a mistake in one sentence, at once: before PyTorch and what else takes seconds is imported."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from smaller.base import settings

HEAVY = "torch transformers datasets pandas matplotlib scipy nbformat papermill nbconvert onnxruntime".split()

COMPRESS = "compress sample-small sample/swa new --max-bytes 1MB"
MISTAKES = {
    "sutdy": "Did you mean 'study'?",
    "study --profil mini": "Did you mean '--profile'?",
    "study --profile mni": "no profile 'mni'. Did you mean 'mini'?",
    "study --only 02": "no notebook '02'. Did you mean '02_pruning'?",
    "study --languages swaa": "no language 'swaa'",
    "study --languages fra": "00_quickstart, parameter languages = ['fra']: The embedded sample has no language 'fra'",
    "study --engine rey": "no engine 'rey'",
    "study --profile own.yaml": "00_quickstart, parameter epochs = 0: it is a whole number above zero",
    "study --profile encoder.yaml --only 03_distillation": "Did you mean 'afriberta-base'?",
    "study --profile task.yaml --only 07_extreme": "no data set 'sib20'. Known are",
    "compress afriberta-bse sample/swa new --max-bytes 1MB": "Did you mean 'afriberta-base'?",
    "compress sample-small masakhanr/swa new --max-bytes 1MB": "Did you mean 'masakhaner'?",
    "compress sample-small sample/swa new --max-bytes 1MB --language yor": "sample/swa is in swa",
    "compress sample-small masakhaner new --max-bytes 1MB": "name one, as masakhaner/amh",
    "compress sample-small masakhaner/fon new --max-bytes 1MB": "has no Fon (fon)",
    "compress sample-small no-folder/ new --max-bytes 1MB": "no file and no folder no-folder/",
    f"{COMPRESS} --form int8": "Did you mean 'llm.int8' or 'onnx-int8' or 'openvino-int8'?",
    f"{COMPRESS} --task nr": "no task 'nr'",
    f"{COMPRESS} --language swaa": "no language 'swaa'",
    f"{COMPRESS} --epochs 0": "argument --epochs: it is a whole number above zero, and not 0",
    f"{COMPRESS} --learning-rate 2": "argument --learning-rate: it is a number between 0 and 1, and not 2",
    f"{COMPRESS} --budget soon": "argument --budget: 'soon' is not a duration: write it as 30min.",
    "compress sample-small sample/swa new": "A target is needed",
    "compress sample-small sample/swa own.yaml --max-bytes 1MB": "is there already and holds something else",
    "ship 1234abcd new": "no finished recipe '1234abcd'",
    "ship 1234abcd new --form int8": "no format 'int8'",
    "predict no-folder Kano": "There is no folder no-folder",
    "predict . Kano": "holds no config.json",
    "demo no-folder page.html": "holds no shipped model",
    "pretrain no-folder new": "no corpus folder no-folder",
    "pretrain . new --sizes smal": "Did you mean 'small'?",
    "pretrain . new --width 7": "Take 12 or 18",
    "check --profile mni": "no profile 'mni'",
    "fetch mbrt": "no encoder and no data set 'mbrt'. Did you mean 'mbert'?",
    "fetch masakhanr": "Did you mean 'masakhaner'?",
    "fetch masakhaner --languages fon": "has no Fon (fon)",
    "fetch --profile mni": "no profile 'mni'",
    "bench --only finetun": "Did you mean 'finetune'?",
    "bench --encoder no-folder": "no encoder 'no-folder'",
    "bench --updates 0": "argument --updates: it is a whole number above zero",
}

PROGRAM = f"""
import contextlib, io, json, resource, sys
from smaller.__main__ import main
told = {{}}
for line in json.load(sys.stdin):
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        try:
            code = main(line.split())
        except SystemExit as ended:
            code = ended.code
    told[line] = [code, said.getvalue(), [name for name in {HEAVY!r} if name in sys.modules]]
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([told, used.ru_utime + used.ru_stime]))
"""


def run(lines: list[str], folder: Path) -> tuple[dict[str, list], float]:
    """What the command says to each line in one process: code, error, what heavy was imported; the processor's time."""
    (folder / "own.yaml").write_text("00_quickstart: {epochs: 0}\n", encoding="utf-8")
    (folder / "encoder.yaml").write_text("study: {encoders: [afriberta-bse]}\n", encoding="utf-8")
    (folder / "task.yaml").write_text("07_extreme: {tasks: {sib20: 3}}\n", encoding="utf-8")
    with settings.changed(SMALLER_OUTPUTS=str(folder / "outputs"), SMALLER_CACHE=str(folder / "cache")):
        answer = subprocess.run(
            [sys.executable, "-c", PROGRAM], input=json.dumps(lines), cwd=folder, capture_output=True, text=True
        )
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)


def test_a_mistake_is_one_sentence_and_imports_nothing_heavy(tmp_path: Path) -> None:
    told, seconds = run(list(MISTAKES), tmp_path)
    for line, (code, said, heavy) in told.items():
        assert (code, heavy) == (2, []), f"{line}: {said}"
        assert said.startswith("smaller: ") and said.count("\n") == 1 and MISTAKES[line] in said, f"{line}: {said}"
    assert seconds < 0.5 * len(MISTAKES), "the processor's seconds, for all of them"
    assert not (tmp_path / "outputs").exists() and not (tmp_path / "new").exists()


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    commands = "study report compress ship predict demo pretrain check fetch bench clean".split()
    told, _ = run(["--help", *(f"{name} --help" for name in commands)], tmp_path)
    assert {line: found for line, found in told.items() if found != [0, "", []]} == {}


@pytest.mark.parametrize("room", "data encoders formats demo study report deploy pretrain".split())
def test_every_name_of_a_room_is_there_when_it_is_asked_for(room: str) -> None:
    package = importlib.import_module(f"smaller.{room}")
    assert dir(package) == sorted(package.__all__)
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError, match=f"module 'smaller.{room}' has no attribute 'nonsense'"):
        package.nonsense  # noqa: B018
