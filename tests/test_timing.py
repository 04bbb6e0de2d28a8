"""Timing: models in one run, what records keep of it, the table of settings, and the memory of a fresh process."""

from __future__ import annotations

import contextlib
import io
import math
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from smaller import encoders, study
from smaller.base.errors import SmallerError
from smaller.base.progress import silent
from smaller.data import splits
from smaller.data.tasks import bio_labels
from smaller.encoders import Model, with_classifier
from smaller.formats.shipping import ship
from smaller.study import cost, results, timing
from smaller.study.cost import Setting
from smaller.study.recipes import Recipe, dense, pruned_after
from smaller.study.steps import FineTune, Prune
from smaller.study.steps.quantization import Quantize
from smaller.study.timing import latency, memory

TUNE = FineTune("sample", "swa", epochs=1, learning_rate=1e-3, batch_size=16)
BOTH = (Setting(), Setting(batch=8, threads=2))
HERE = latency.device().type

pytestmark = pytest.mark.usefixtures("fresh_folders", "few_sentences")


@pytest.fixture
def recipes(tiny_folder: str) -> list[Recipe]:
    """Finished: dense, dynamic, and pruned to 90 %."""
    start = dense(tiny_folder, TUNE)
    found = [start, start.then(Quantize("dynamic")), pruned_after(tiny_folder, Prune(0.9), TUNE)]
    study.run(found, workers=1, say=silent)
    return found


class Script:
    """Latency by the script: the n-th model takes n milliseconds, its copy 10 % more; end to end thrice that."""

    def __init__(self) -> None:
        self.runs: list[tuple[list[str], Setting, int, int]] = []

    def time(self, recipes: Sequence[Recipe], **options: object) -> float:
        return timing.time_side_by_side(recipes, latency=self, machine="a {}".format, **options)

    def __call__(
        self, models: Mapping, sentences: Mapping, *, texts: Sequence[str] = (), setting: Setting, rounds: int
    ) -> dict:
        counts = {len(sentences[name]) for name in models} | ({len(texts)} if texts else set())
        assert len(counts) == 1
        self.runs.append((list(models), setting, rounds, counts.pop()))
        own = [name for name in models if name != "again"]
        each = {name: 1.0 + own.index(name) for name in own} | {"again": 1.1}
        return {
            name: {
                "milliseconds": each[name],
                "low": 0.5 * each[name],
                "high": 2 * each[name],
                "rounds": rounds,
                "total_by_round": [each[name] * self.runs[-1][3]] * rounds,
                "protocol": setting.protocol,
            }
            | ({"end_to_end_milliseconds": 3 * each[name]} if texts else {})
            for name in models
        }


@pytest.fixture
def script(recipes: list[Recipe]) -> Script:
    return Script()


def scale(peak_memory: Callable[..., list[dict]]) -> Callable[[], contextlib.nullcontext]:
    """Memory by the script, without a process."""
    return lambda: contextlib.nullcontext(SimpleNamespace(peak_memory=peak_memory))


def cost_of(recipe: Recipe) -> dict:
    return results.read(recipe)["cost"]


# One run, kept in the records


def test_latency_of_real_models_is_kept_in_their_records(recipes: list[Recipe]) -> None:
    floor = timing.time_side_by_side(recipes, sentences=4, rounds=2)
    for recipe in recipes:
        found = cost_of(recipe)["latency"]
        assert found == cost_of(recipe)["latency_by_setting"][0]
        assert 0 < found["low"] <= found["milliseconds"] <= found["high"] < math.inf
        assert 0 < found["end_to_end_low"] <= found["end_to_end_milliseconds"] <= found["end_to_end_high"] < math.inf
        assert (found["rounds"], found["sentences"], found["noise_floor"]) == (2, 4, floor)
        assert found["device"] == cost.machine(found["device_type"])
    shown = results.table(map(results.read, recipes))
    assert (shown.end_to_end_milliseconds > 0).all() and (shown.milliseconds_low > 0).all()
    assert [bool(cost_of(recipe)["latency"]["sparse_kernel"]) for recipe in recipes] == [False, False, True]
    kernels = timing.kernel_times(recipes)
    assert list(kernels.kernel) == ["dense", "sparse"] and set(kernels.sparsity.round(2)) == {0.9}
    assert kernels.noise_floor.tolist() == [floor] * 2


def test_copy_of_the_first_runs_half_a_round_after_it(recipes: list[Recipe], script: Script) -> None:
    assert script.time(recipes, rounds=3, sentences=5) == pytest.approx(0.1)
    ((names, setting, rounds, count),) = script.runs
    first, second, third = (recipe.identity for recipe in recipes)
    assert names == [first, second, "again", third, f"sparse {third}"]
    assert (setting, rounds, count) == (Setting(device=latency.device().type), 3, 5)


def test_settings_and_the_whole_split(recipes: list[Recipe], script: Script) -> None:
    floor = script.time(recipes, settings=BOTH, whole_split=True, sentences=5)
    assert floor == pytest.approx(0.1)
    assert [(setting, rounds, count) for _, setting, rounds, count in script.runs] == [
        (BOTH[0], 7, 5),
        (BOTH[0], 1, 24),
        (BOTH[1], 7, 5),
    ]
    assert [sum(name.startswith("sparse") for name in names) for names, *_ in script.runs] == [1, 0, 0]
    entries = cost_of(recipes[1])["latency_by_setting"]
    assert [(entry["batch"], entry["threads"], entry["device_type"]) for entry in entries] == [
        (1, 1, "cpu"),
        (8, 2, "cpu"),
    ]
    assert entries[0]["seconds_per_split"] == pytest.approx(2 * 24 / 1000) and entries[0]["split_sentences"] == 24
    assert entries[1]["seconds_per_split"] is None, "the time of a split is told of one sentence at a time"
    assert cost_of(recipes[1])["latency"] == entries[0]
    script.time(recipes, settings=BOTH, whole_split=True, sentences=5)
    assert len(script.runs) == 3


def test_what_was_timed_together_is_not_timed_again(recipes: list[Recipe], script: Script) -> None:
    script.time(recipes)
    before = [path.stat().st_mtime_ns for path in sorted(results.folder().iterdir())]
    assert script.time(recipes[::-1] + recipes) == pytest.approx(0.1)  # the order is no matter
    assert len(script.runs) == 1
    assert [path.stat().st_mtime_ns for path in sorted(results.folder().iterdir())] == before
    script.time(recipes, settings=BOTH[:1], whole_split=True)
    assert len(script.runs) == 3  # the sample again, and the split
    script.time(recipes, settings=BOTH[:1])
    assert len(script.runs) == 3


def test_records_without_the_time_end_to_end_are_read_and_not_timed_again(
    recipes: list[Recipe], script: Script
) -> None:
    script.time(recipes[:2])
    for recipe in recipes[:2]:
        record = results.read(recipe)
        for entry in (record["cost"]["latency"], *record["cost"]["latency_by_setting"]):
            del entry["end_to_end_milliseconds"]
        del record["cost"]["shipped_bytes"]
        results.write(record)
    script.time(recipes[:2])
    assert len(script.runs) == 1
    for table in (results.table(map(results.read, recipes[:2])), timing.settings_table(recipes[:2], device_type=HERE)):
        assert table[["end_to_end_milliseconds", "shipped_bytes"]].isna().all(axis=None)
        assert set(table.milliseconds) == {1, 2}


def test_a_form_that_joins_is_timed_with_all_others(recipes: list[Recipe], script: Script) -> None:
    first, second, third = recipes
    script.time([first, third])
    alone = cost_of(first)["latency"]
    script.time([second, first, third])
    assert script.runs[1][0][:4] == [second.identity, first.identity, "again", third.identity]
    assert cost_of(first)["latency"]["milliseconds"] == 2 and alone["milliseconds"] == 1
    # The earlier run is kept: asked for again, its times are the ones that the table of results shows.
    script.time([first, third])
    assert len(script.runs) == 2
    assert cost_of(first)["latency"] == alone
    assert results.table([results.read(first)])["milliseconds"].tolist() == [1, 1]


def test_processor_forms_are_not_timed_on_a_gpu(recipes: list[Recipe], script: Script) -> None:
    settings = (Setting(device="cuda"), Setting())
    script.time(recipes, settings=settings)
    assert recipes[1].identity not in script.runs[0][0] and recipes[1].identity in script.runs[1][0]
    assert [entry["device_type"] for entry in cost_of(recipes[1])["latency_by_setting"]] == ["cpu"]
    script.time(recipes, settings=settings)
    assert len(script.runs) == 2
    on_gpu = timing.settings_table(recipes, device_type="cuda")
    assert list(on_gpu.identity) == [recipes[0].identity, recipes[2].identity]
    assert set(on_gpu.device) == {"a cuda"} and set(timing.settings_table(recipes).device) == {"a cpu"}
    with pytest.raises(SmallerError, match="none whose form runs on a GPU"):
        script.time(recipes[1:2], settings=settings)


def test_recipes_without_a_record_are_an_error(tiny_folder: str) -> None:
    for measure in (timing.time_side_by_side, timing.weigh):
        with pytest.raises(SmallerError, match=r"finished recipes, and .* is none; run\(\) it first"):
            measure([dense(tiny_folder, TUNE)])
    with pytest.raises(SmallerError, match="nothing to time"):
        timing.time_side_by_side([])


def test_sentences_are_spread_over_the_lengths(tiny: Model) -> None:
    split = splits.sentences("sample", "swa", "train")
    tokens = latency._tokens({"tiny": tiny}, latency.sample_of(split, tiny, count=5))["tiny"]
    every = sorted(len(row) for row in latency._tokens({"tiny": tiny}, split)["tiny"])
    assert [len(row) for row in tokens] == [every[round(place * (len(every) - 1) / 4)] for place in range(5)]
    assert len(latency.sample_of(split, tiny, count=1000)) == len(split)


# The table


def test_settings_table_by_hand(recipes: list[Recipe], script: Script) -> None:
    assert timing.settings_table(recipes).empty
    script.time(recipes[:2], settings=BOTH, whole_split=True)
    found = [{"batch": size, "device_type": "cpu", "peak_bytes": 9, "memory_bytes": 5 + size} for size in (1, 8)]
    timing.weigh(recipes[:1], scale=scale(lambda folder, rows, kind: found))
    table = timing.settings_table(recipes)
    assert tuple(table.columns) == timing.table.COLUMNS
    times = table[["form", "batch", "threads", "milliseconds", "milliseconds_low", "milliseconds_high"]]
    assert times.values.tolist() == [
        ["trained", 1, 1, 1, 0.5, 2],
        ["trained", 8, 2, 1, 0.5, 2],
        ["dynamic", 1, 1, 2, 1, 4],
        ["dynamic", 8, 2, 2, 1, 4],
    ]
    assert set(table.language) == {"swa"} and set(table.seed) == {1} and set(table.device) == {"a cpu"}
    assert table.end_to_end_milliseconds.tolist() == [3, 3, 6, 6]
    assert table.noise_floor.tolist() == pytest.approx([0.1] * 4)
    assert table.seconds_per_split.tolist() == pytest.approx([0.024, math.nan, 0.048, math.nan], nan_ok=True)
    assert table.sentences_per_second.tolist() == pytest.approx([1000, 1000, 500, 500])
    assert table.memory_bytes.tolist()[:2] == [6, 13] and table.memory_bytes[2:].isna().all()
    assert table.disk_bytes[0] > 0 and table.disk_bytes[2:].isna().all()
    for name in ("dense_bytes", "shipped_bytes"):
        assert [table[name][row] for row in (0, 2)] == [cost_of(recipe)[name] for recipe in recipes[:2]]


def test_the_time_of_a_split_is_missing_where_it_was_not_run(recipes: list[Recipe], script: Script) -> None:
    script.time(recipes[:2])
    table = timing.settings_table(recipes, device_type=latency.device().type)
    assert table.seconds_per_split.isna().all() and table.sentences_per_second.tolist() == [1000, 500]


def test_times_of_two_devices_are_refused(recipes: list[Recipe], script: Script) -> None:
    script.time(recipes[:2], settings=BOTH)
    record = results.read(recipes[1])
    record["cost"]["latency_by_setting"][1]["device"] = "another"
    results.write(record)
    with pytest.raises(SmallerError, match=r"are of 2 devices \(a cpu; another\), and times of different"):
        timing.settings_table(recipes)
    assert len(timing.settings_table(recipes[:1])) == 2


def test_times_of_two_runs_are_refused(recipes: list[Recipe], script: Script) -> None:
    first, second, third = recipes
    script.time([first, second], settings=BOTH)
    script.time([first, third], settings=BOTH)
    assert len(timing.settings_table([first, second])) == len(timing.settings_table([first, third])) == 4
    with pytest.raises(SmallerError, match="swa, seed 1 were timed in 2 runs, which cannot be compared"):
        timing.settings_table(recipes)
    script.time(recipes, settings=BOTH)
    assert len(timing.settings_table(recipes)) == 6


# Memory and disk


def test_a_larger_model_takes_more_memory_and_errors_are_told(tiny: Model, tmp_path: Path) -> None:
    rows = [torch.tensor([0, *range(5, 5 + length), 2]) for length in (30, 3, 60)]
    shape = encoders.Encoder("wide", layers=2, heads=2, hidden=768, feed_forward=3072)
    wide = Model(encoders.build(encoders.configuration(shape, vocabulary=len(tiny.tokenizer)), seed=0), tiny.tokenizer)
    peaks = {}
    with memory.Scale() as own:
        for name, model in (("wide", wide), ("tiny", tiny)):  # a process after another holds nothing of it
            folder = ship(with_classifier(model, bio_labels(("PER",)), seed=0), tmp_path / name)
            one, eight = own.peak_memory(folder, rows)
            assert (one["batch"], eight["batch"], one["device_type"]) == (1, 8, "cpu")
            assert 0 < one["memory_bytes"] <= eight["memory_bytes"] < eight["peak_bytes"] < 2**40
            peaks[name] = one["memory_bytes"]
        more = cost.size(wide)["dense_bytes"] - cost.size(tiny)["dense_bytes"]
        assert peaks["wide"] > peaks["tiny"] + 0.7 * more
        with pytest.raises(SmallerError, match="could not be measured: There is no folder"):
            own.peak_memory(tmp_path / "none", rows)
    assert own.process.returncode == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # a fork of threads, which goes at once
def test_a_process_that_dies_is_told() -> None:
    answers = io.StringIO()
    memory.serve(io.StringIO("{}\n"), answers, lambda asked: os.kill(os.getpid(), signal.SIGKILL))
    assert "ended with -9; the usual cause is too little memory" in answers.getvalue()


def test_weighing_is_done_once_and_counts_the_network_alone(recipes: list[Recipe]) -> None:
    seen: list[tuple[set[str], int]] = []

    def peak_memory(folder: Path, rows: list, kind: str) -> list[dict]:
        seen.append(({file.name for file in folder.iterdir()}, len(rows)))
        return []

    timing.weigh([recipes[0], recipes[2], recipes[0]], sentences=3, scale=scale(peak_memory))
    timing.weigh(recipes[:1], scale=scale(peak_memory))
    assert [count for _, count in seen] == [3, 3]
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= seen[0][0]
    for recipe in (recipes[0], recipes[2]):
        found = cost_of(recipe)
        # The file has a header; there is no tokenizer in the count, and nothing that training needs, such as masks.
        assert found["dense_bytes"] < found["disk_bytes"] < found["dense_bytes"] + 20_000
