"""The bench: lines and verdicts by hand, and each way carried out on a tiny model."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable

import pytest

from smaller import bench, formats
from smaller.base.errors import SmallerError
from smaller.bench import deployment, distillation, finetuning, overhead, trimming
from smaller.bench.base import Material, material
from smaller.encoders import Encoder, Model
from smaller.study.steps import FineTune


def lines(section: str, answers: dict[str, dict] | Callable, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked = answers if callable(answers) else lambda way: answers[way]

    def measured(name: str, way: str, *, encoder: str, updates: int) -> dict:
        assert (name, encoder, updates) == (section, "a model", 12)
        return {"about": "a model: 9 parameters", "peak_memory_bytes": 2.5e9} | asked(way)

    monkeypatch.setattr(bench.SECTIONS[section], "measured", measured)
    return list(bench.bench(only=section, encoder="a model"))


def test_fine_tuning_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {"published": 2.0, "plain": 5.0, "smaller": 24.0}
    found = lines("finetune", {way: {"sentences_per_second": speed} for way, speed in speeds.items()}, monkeypatch)
    assert found[0].startswith("Fine-tuning a model: 9 parameters; batches of 16 sentences, 12 timed updates after 3")
    assert found[3] == "    24.0 sentences/s   2.50 GB at most  this library"
    assert found[4:] == [
        "     4.8 times the plain Trainer with its defaults; the mark is 5: missed",
        "    12.0 times the published recipe; the mark is 10: reached",
    ]


def test_distillation_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {"plain-corpus": 100, "corpus": 300, "plain-task": 100, "task": 299}
    answers = {way: {"pieces_per_second": speed, "epochs": 50} for way, speed in speeds.items()}
    found = lines("distil", answers, monkeypatch)
    assert found[4] == "     299 tokens/s   2.50 GB at most  task, this library, over all 50 epochs"
    assert found[5:] == [
        "     3.0 times the plain way on a corpus; the mark is 3: reached",
        "     3.0 times the plain way on a task; the mark is 3: missed",
    ]


def test_deployment_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(way: str) -> dict:
        names = way.split(",")
        times = {name: 40 if name == "fp32" else 5 for name in names}
        timed = {name: {"milliseconds": time, "low": time - 1, "high": time + 1} for name, time in times.items()}
        held = {name: 400e6 if name == "fp32" else 104e6 for name in names}
        return {"milliseconds": timed, "noise_floor": 0.04, "bytes": held}

    monkeypatch.setattr(deployment.cost, "cores", lambda: 2)
    monkeypatch.setattr(deployment.cost, "machine", lambda: "a processor")
    monkeypatch.setattr(deployment, "find_spec", lambda name: True)
    monkeypatch.setattr(formats, "processor_notes", lambda: ["No VNNI."])
    found = lines("deploy", answer, monkeypatch)
    assert found[0] == (
        "Deploying a model: 9 parameters; batch 1, 32 pieces, 2 threads on a processor; noise floor 4 %"
    )
    assert [line.split()[-1] for line in found[1:8]] == list(deployment.FORMS)
    assert found[6] == "    5.00 ms [4.00, 6.00]    8.0 times as fast   104.0 MB,  26 % of the bytes  onnx-int8"
    assert found[8:] == [
        "     8.0 times as fast with onnx-int8; the mark is 7: reached",
        "    26.0 % of the bytes; the mark is 26 %: reached",
        "     8.0 times as fast with openvino-int8; the mark is 9: missed",
        "    26.0 % of the bytes; the mark is 26 %: reached",
        "No VNNI.",
    ]
    monkeypatch.setattr(deployment, "find_spec", lambda name: name != "openvino")
    assert "openvino-int8 is not measured: openvino is not installed" in lines("deploy", answer, monkeypatch)


def test_trimming_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"unigram": 4.0, "plain-unigram": 10.0, "wordpiece": 11.0, "plain-wordpiece": 11.0}
    answers = {
        way: {"seconds": value, "memory": 1.5 if "unigram" in way else 2.25, "pieces": 250_002, "hidden": 768}
        for way, value in seconds.items()
    }
    found = lines("trim", answers, monkeypatch)
    assert found[0].startswith("Trimming to 40,000 pieces; ")
    assert found[1] == "    4.00 s   1.50 times the model at most  Unigram, this library, 250,002 pieces by 768"
    assert found[5:] == [
        "    4.00 s for Unigram; the mark is 10: reached",
        "    1.50 times the model; the mark is 2: reached",
        "     2.5 times as fast as the plain way",
        "   11.00 s for WordPiece; the mark is 10: missed",
        "    2.25 times the model; the mark is 2: missed",
        "     1.0 times as fast as the plain way",
    ]


def test_overhead_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "plain": {"seconds": 6.0},
        "local": {"seconds": 25.0, "workers": 1},
        "processes": {"seconds": 24.0, "workers": 2},
        "ray": {"seconds": 54.0, "workers": 2},
        "table": {"seconds": {"the table": 2.5, "the other": 3.5}, "bytes": 9600},
    }
    monkeypatch.setattr(overhead.cost, "cores", lambda: 2)
    monkeypatch.setattr(overhead, "find_spec", lambda name: True)
    assert lines("overhead", answers, monkeypatch) == [
        "1,000 recipes on 100 trained prefixes, one thread a process, 2 cores",
        "    6.00 s     6.0 ms a recipe  the work alone, a plain loop",
        "   25.00 s    25.0 ms a recipe  local, in one process",
        "   24.00 s    24.0 ms a recipe  local, 2 worker processes",
        "   54.00 s    54.0 ms a recipe  Ray, on a cluster of this machine, 2 workers",
        "    19.0 ms of overhead: local, in one process; the mark is 20: reached",
        "    21.0 ms of overhead: local, 2 worker processes; the mark is 20: missed",
        "    51.0 ms of overhead: Ray, on a cluster of this machine, 2 workers; the mark is 50: missed",
        "    2.50 s for the table of 10,000 records of 10 kB; the mark is 3: reached",
        "    3.50 s for the other of 10,000 records of 10 kB; the mark is 3: missed",
    ]
    monkeypatch.setattr(overhead, "find_spec", lambda name: None)
    found = lines("overhead", answers, monkeypatch)
    assert len(found) == 9 and found[4] == "Ray is not measured: it is not installed (pip install -e '.[cluster]')"


def test_all_sections_or_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, section in bench.SECTIONS.items():
        monkeypatch.setattr(
            section, "report", lambda *, encoder, updates, name=name: iter([f"{name} {encoder} {updates}"])
        )
    assert list(bench.bench(updates=3)) == [
        "finetune afriberta-small 3",
        "distil afriberta-base 3",
        "deploy afriberta-base 3",
        "trim sample-small 3",
        "overhead sample-small 3",
    ]
    assert list(bench.bench(only="deploy", encoder="mbert")) == ["deploy mbert 12"]


@pytest.mark.parametrize(
    ("options", "message"),
    [({"only": "deplyo"}, "no section 'deplyo' of the bench.*Did you mean 'deploy'"), ({"updates": 0}, "it is 0")],
)
def test_mistakes_are_told_at_once(options: dict, message: str) -> None:
    assert inspect.isgeneratorfunction(bench.bench)
    with pytest.raises(SmallerError, match=message):
        list(bench.bench(**options))


NO_GPU = pytest.mark.filterwarnings("ignore:'pin_memory'")
"""The plain Trainer pins memory by default, and PyTorch warns where there is no GPU to pin it for."""


@pytest.fixture
def given(tiny: Model, few_sentences: None) -> Material:
    return Material(Model(tiny.copy().network, tiny.tokenizer), "sample", "tiny")


@NO_GPU
@pytest.mark.parametrize("way", finetuning.WAYS)
def test_each_way_of_fine_tuning_is_carried_out(way: str, given: Material) -> None:
    assert finetuning.measure(way, given, updates=1)["sentences_per_second"] > 0


@NO_GPU
@pytest.mark.parametrize("way", distillation.WAYS)
def test_each_way_of_distilling_is_carried_out(way: str, given: Material) -> None:
    assert distillation.measure(way, given, updates=2)["pieces_per_second"] > 0


@pytest.mark.parametrize("way", trimming.WAYS)
def test_each_way_of_trimming_is_carried_out(way: str, given: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    shape = {"layers": 1, "heads": 2, "hidden": 24, "feed_forward": 48, "vocabulary": 8000}
    monkeypatch.setattr(trimming, "KEPT", 1000)
    monkeypatch.setattr(trimming, "ENCODERS", {name: Encoder(name, **shape) for name in ("xlm-r-base", "mbert")})
    found = trimming.measure(way, given, updates=0)
    assert found["seconds"] > 0 and (found["pieces"], found["hidden"], found["kept"]) == (8000, 24, 1000)


@pytest.mark.parametrize("way", ["plain", "local", "processes", "table"])
def test_each_engine_does_the_tiny_recipes(way: str, given: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "TUNINGS", 2)
    monkeypatch.setattr(overhead, "RECORDS", 20)
    monkeypatch.setattr(overhead.cost, "cores", lambda: 1)
    before, done = dict(os.environ), []
    monkeypatch.setattr(
        FineTune,
        "apply",
        lambda *things, apply=FineTune.apply, **more: done.append(things[0].seed) or apply(*things, **more),
    )
    found = overhead.measure(way, given, updates=0)
    assert dict(os.environ) == before
    if way == "table":
        assert found["rows"] == 20 * (2 + 6) and found["bytes"] > 1000 and len(found["seconds"]) == 2
    else:
        assert found["seconds"] > 0 and found["workers"] == 1
        assert done == [0, 0, 1], "once to warm up, then each prefix once"


def test_forms_are_measured_in_one_run(given: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROUNDS", "SENTENCES"):
        monkeypatch.setattr(deployment, name, 2)
    found = deployment.measure("fp32,bf16,dynamic", given, updates=0)
    assert list(found["milliseconds"]) == ["fp32", "bf16", "dynamic", "again"]
    assert found["bytes"]["bf16"] == found["bytes"]["fp32"] / 2 and found["noise_floor"] >= 0


def test_a_folder_and_a_sample_encoder_serve_as_material(tiny_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SMALLER_MODELS", raising=False)
    monkeypatch.delenv("SMALLER_DATA", raising=False)
    for name, source in ((tiny_folder, "sentences of sample/swa"), ("sample-small", "sentences of sample/swa")):
        found = material(name)
        assert found.dataset == "sample" and found.about.startswith(name) and found.about.endswith(source)
        assert len(found.tagger().labels) == 9 and found.sentences
