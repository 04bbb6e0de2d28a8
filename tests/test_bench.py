"""The bench: lines and verdicts by hand, and each way carried out on a tiny model."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from smaller import bench
from smaller.base.errors import SmallerError
from smaller.bench import deployment, distillation, finetuning, overhead, trimming
from smaller.bench.base import Material, material
from smaller.encoders import Encoder, Model


def lines(section: str, answers: dict[str, dict] | Callable, **options) -> list[str]:
    """What a section reports on answers that are given to it."""
    given = answers if callable(answers) else lambda way: answers[way]
    here = {"about": "a model: 9 parameters", "peak_memory_bytes": 2.5e9, "updates": 12}
    here |= {"cores": 2, "threads": 2, "machine": "a CPU"}
    return list(bench.section(section).report(lambda way: here | given(way), **options))


def test_fine_tuning_by_hand() -> None:
    speeds = {"published": 2.0, "plain": 5.0, "smaller": 24.0}
    found = lines("finetune", {way: {"sentences_per_second": speed} for way, speed in speeds.items()})
    about = "batches of 16 sentences, 12 timed updates after 3, 2 threads"
    assert found[0] == f"Fine-tuning a model: 9 parameters; {about}"
    assert found[3] == "    24.0 sentences/s   2.50 GB at most  this library"
    assert found[4:] == [
        "     4.8 times the plain Trainer with its defaults; the mark is 5: missed",
        "    12.0 times the published recipe; the mark is 10: reached",
    ]


def test_distillation_by_hand() -> None:
    speeds = {"plain-corpus": 100, "corpus": 300, "plain-task": 100, "task": 299}
    found = lines("distil", {way: {"tokens_per_second": speed, "epochs": 50} for way, speed in speeds.items()})
    assert found[4] == "   299.0 tokens/s   2.50 GB at most  task, this library, over all 50 epochs"
    assert found[5:] == [
        "     3.0 times the plain way on a corpus; the mark is 3: reached",
        "     3.0 times the plain way on a task; the mark is 3: missed",
    ]


def test_deployment_by_hand() -> None:
    def answer(way: str) -> dict:
        names = way.split(",")
        times = {name: 40 if name == "fp32" else 5 for name in names}
        timed = {name: {"milliseconds": time, "low": time - 1, "high": time + 1} for name, time in times.items()}
        held = {name: 400e6 if name == "fp32" else 104e6 for name in names}
        return {"milliseconds": timed, "noise_floor": 0.04, "bytes": held, "notes": ["No VNNI."]}

    found = lines("deploy", answer, installed=lambda name: True)
    assert found[0] == "Deploying a model: 9 parameters; batch 1, 32 tokens, 2 threads on a CPU; noise floor 4 %"
    assert [line.split()[-1] for line in found[1:9]] == deployment.TIMED
    assert found[6] == "    5.00 ms [4.00, 6.00]    8.0 times as fast   104.0 MB,  26 % of the bytes  onnx-int8"
    assert found[9:] == [
        "     8.0 times as fast with onnx-int8; the mark is 7: reached",
        "    26.0 % of the bytes; the mark is 26 %: reached",
        "     8.0 times as fast with openvino-int8; the mark is 9: missed",
        "    26.0 % of the bytes; the mark is 26 %: reached",
        "No VNNI.",
    ]
    without = lines("deploy", answer, installed=lambda name: name != "openvino")
    assert "openvino-int8 is not measured: openvino is not installed" in without


def test_trimming_by_hand() -> None:
    seconds = {"unigram": 4.0, "plain-unigram": 10.0, "wordpiece": 11.0, "plain-wordpiece": 11.0}
    answers = {
        way: {"seconds": value, "memory": 1.5 if "unigram" in way else 2.25, "tokens": 250_002, "hidden": 768}
        for way, value in seconds.items()
    }
    found = lines("trim", answers)
    assert found[0] == "Trimming to 40,000 tokens; 2 threads"
    assert found[1] == "    4.00 s   1.50 times the model at most  Unigram, this library, 250,002 tokens by 768"
    assert found[5:] == [
        "    4.00 s for Unigram; the mark is 10: reached",
        "    1.50 times the model; the mark is 2: reached",
        "     2.5 times as fast as the plain way",
        "   11.00 s for WordPiece; the mark is 10: missed",
        "    2.25 times the model; the mark is 2: missed",
        "     1.0 times as fast as the plain way",
    ]


def test_overhead_by_hand() -> None:
    answers = {
        "plain": {"seconds": 6.0},
        "local": {"seconds": 25.0, "workers": 1},
        "processes": {"seconds": 24.0, "workers": 2},
        "ray": {"seconds": 54.0, "workers": 2},
        "table": {"seconds": {"the table": 2.5, "the other": 3.5}, "bytes": 9600},
    }
    assert lines("overhead", answers, installed=lambda name: True) == [
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
    found = lines("overhead", answers, installed=lambda name: None)
    assert len(found) == 9 and found[4] == "Ray is not measured: it is not installed (pip install -e '.[cluster]')"


def test_all_sections_or_one() -> None:
    """Each measurement is asked for with the section's own encoder, unless another one is named."""
    sections = {
        name: SimpleNamespace(ENCODER=section.ENCODER, report=lambda ask: iter([ask("a way")]))
        for name, section in {name: bench.section(name) for name in bench.SECTIONS}.items()
    }
    told = functools.partial(bench.bench, sections=sections, measure=lambda *asked, **more: (*asked, *more.values()))
    assert list(told(updates=3)) == [
        ("finetune", "a way", "afriberta-small", 3),
        ("distil", "a way", "afriberta-base", 3),
        ("deploy", "a way", "afriberta-base", 3),
        ("trim", "a way", "sample-small", 3),
        ("overhead", "a way", "sample-small", 3),
    ]
    assert list(told(only="deploy", encoder="mbert")) == [("deploy", "a way", "mbert", 12)]


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
    assert distillation.measure(way, given, updates=2)["tokens_per_second"] > 0


@pytest.mark.parametrize("way", trimming.WAYS)
def test_each_way_of_trimming_is_carried_out(way: str, given: Material) -> None:
    shape = Encoder("small", layers=1, heads=2, hidden=24, feed_forward=48, vocabulary=8000)
    found = trimming.measure(way, given, updates=0, kept=1000, shapes={"xlm-r-base": shape, "mbert": shape})
    assert found["seconds"] > 0 and (found["tokens"], found["hidden"], found["kept"]) == (8000, 24, 1000)


@pytest.mark.parametrize("way", ["plain", "local", "processes", "table"])
def test_each_engine_does_the_tiny_recipes(way: str, given: Material, trained: list) -> None:
    before = dict(os.environ)
    found = overhead.measure(way, given, updates=0, tunings=2, records=20, workers=1)
    assert dict(os.environ) == before
    if way == "table":
        assert found["rows"] == 20 * (2 + 6) and found["bytes"] > 1000 and len(found["seconds"]) == 2
    else:
        assert found["seconds"] > 0 and found["workers"] == 1
        assert [step.seed for step in trained] == [0, 0, 1], "once to warm up, then each prefix once"


def test_formats_are_measured_in_one_run(given: Material) -> None:
    found = deployment.measure("fp32,bf16,dynamic", given, updates=0, sentences=2, rounds=2)
    assert list(found["milliseconds"]) == ["fp32", "bf16", "dynamic", "again"]
    assert found["bytes"]["bf16"] == found["bytes"]["fp32"] / 2 and found["noise_floor"] >= 0


def test_a_folder_and_a_sample_encoder_serve_as_material(tiny_folder: str, rooms: Callable[..., None]) -> None:
    rooms(models=None, data=None)
    for name, source in ((tiny_folder, "sentences of sample/swa"), ("sample-small", "sentences of sample/swa")):
        found = material(name)
        assert found.dataset == "sample" and found.about.startswith(name) and found.about.endswith(source)
        assert len(found.tagger().labels) == 9 and found.sentences
