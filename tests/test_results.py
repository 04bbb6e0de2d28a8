"""Records: whole or not there; damaged ones set aside, never removed; the table that is read from them."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import os
import platform
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pandas as pd
import pytest
import torch

from smaller import study
from smaller.base.errors import SmallerError
from smaller.base.settings import changed
from smaller.study import results
from smaller.study.recipes import Recipe, dense, pruned_after, pruned_before
from smaller.study.steps import FineTune, Prune

TUNE = FineTune("sample", "swa", seed=3)
DENSE = dense("sample-small", TUNE)

pytestmark = pytest.mark.usefixtures("fresh_folders")


def record_of(recipe: Recipe) -> dict:
    scores = {"f1": 80.0, "precision": 81.0, "recall": 79.0, "loss": 0.5, "support": 40, "sentences": 30}
    cost = {
        "parameters": 100,
        "nonzero_parameters": 60,
        "dense_bytes": 400,
        "sparse_bytes": 253,
        "compressed_bytes": 300,
        "achieved_sparsity": 0.4,
        "training_seconds": 1.5,
        "latency": None,
        "shape": {"layers": 4, "heads": 6, "hidden": 96, "feed_forward": 384, "vocabulary": 3500},
    }
    record = {
        "format": results.FORMAT,
        "identity": recipe.identity,
        "recipe": recipe.canonical(),
        "inputs": recipe.inputs(),
        "steps": [],
        "scores": {"sample/swa/dev": scores, "sample/swa/test": scores | {"f1": 78.0}},
        "cost": cost,
        "provenance": {"device": "a processor"},
    }
    return json.loads(json.dumps(record))


def names() -> set[str]:
    return {path.name for path in results.folder().iterdir()}


def test_written_whole_and_read_back() -> None:
    record = record_of(DENSE) | {"provenance": {"device": "Yorùbá አማርኛ"}}
    path = results.write(record)
    assert results.read(DENSE) == record
    assert results.read_all() == [record]
    assert names() == {f"{DENSE.identity}.json"}
    assert "አማርኛ" in path.read_text(encoding="utf-8")
    assert results.read(dense("sample-base", TUNE)) is None


@pytest.mark.parametrize("section", ["inputs", "scores", "cost", "provenance", "steps", "recipe", "format"])
def test_missing_section_is_refused(section: str) -> None:
    record = record_of(DENSE)
    del record[section]
    with pytest.raises(SmallerError, match=f"The record of {DENSE.identity} has no {section}"):
        results.write(record)
    assert results.read(DENSE) is None


def test_value_that_is_not_json_leaves_nothing_behind() -> None:
    with pytest.raises(TypeError):
        results.write(record_of(DENSE) | {"steps": [object()]})
    assert results.read_all() == []


def test_full_disk_leaves_the_old_record_and_no_draft(small_files: Callable[[int], AbstractContextManager]) -> None:
    results.write(record_of(DENSE))
    with small_files(1000), pytest.raises(SmallerError, match="could not be written: File too large. Make room"):
        results.write(record_of(DENSE) | {"steps": [{"filler": "x" * 5000}]})
    assert results.read(DENSE) == record_of(DENSE)
    assert names() == {f"{DENSE.identity}.json"}


def test_folder_that_cannot_be_written_is_seen_at_once(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    with changed(SMALLER_OUTPUTS=str(tmp_path / "a file" / "outputs")):
        assert results.read(DENSE) is None
        assert results.read_all() == []
        with pytest.raises(SmallerError, match="Results cannot be written to .* set SMALLER_OUTPUTS"):
            results.require_writable()
        with pytest.raises(SmallerError, match="could not be written"):
            results.write(record_of(DENSE))


def test_drafts_of_killed_studies_are_ignored_and_removed_later() -> None:
    results.require_writable()
    old, new = (results.folder() / f".draft-{name}" for name in ("old", "new"))
    old.write_text("{")
    new.write_text("{")
    os.utime(old, (1000, 1000))
    assert results.read_all() == []
    results.require_writable()
    assert names() == {new.name}


WHOLE = json.dumps(record_of(DENSE))
DAMAGES = {
    "empty": ("", "it is not JSON"),
    "truncated": (WHOLE[: len(WHOLE) // 2], "it is not JSON"),
    "binary": (b"\x00\xff\xfe\x80", "it is not JSON"),
    "a list": ("[1]", "it is not a record"),
    "older format": (
        json.dumps(record_of(DENSE) | {"format": 0}),
        f"it has format 0, and this version reads format {results.FORMAT}",
    ),
    "a section short": (json.dumps({k: v for k, v in record_of(DENSE).items() if k != "cost"}), "it is not whole"),
    "a section of another kind": (json.dumps(record_of(DENSE) | {"scores": []}), "it is not whole"),
    "another recipe": (json.dumps(record_of(DENSE) | {"identity": "0" * 16}), "it is the record of 0000000000000000"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_record_is_set_aside_with_one_warning(damage: str) -> None:
    text, reason = DAMAGES[damage]
    content = text if isinstance(text, bytes) else text.encode()
    path = results.write(record_of(DENSE))
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=reason) as caught:
        assert results.read(DENSE) is None
        assert results.read(DENSE) is None
        assert results.read_all() == []
    assert len(caught) == 1
    assert "its recipe counts as not done" in str(caught[0].message)
    aside = path.with_suffix(".set-aside-1")
    assert aside.read_bytes() == content
    assert str(aside.name) in str(caught[0].message)

    results.write(record_of(DENSE))
    path.write_bytes(b"{")
    with pytest.warns(UserWarning, match="set-aside-2"):
        assert results.read(DENSE) is None
    assert aside.read_bytes() == content  # what was set aside first is still there


def test_damaged_record_in_a_folder_that_cannot_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    path = results.write(record_of(DENSE))
    path.write_text("{")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.warns(UserWarning, match="could not be set aside"):
        assert results.read(DENSE) is None


def test_record_that_cannot_be_read_is_one_clear_error() -> None:
    results.folder().mkdir(parents=True)
    (results.folder() / f"{DENSE.identity}.json").mkdir()
    with pytest.raises(SmallerError, match=r"The record .* cannot be read: Is a directory"):
        results.read(DENSE)


def test_stale_record_counts_as_not_done_and_stays() -> None:
    path = results.write(record_of(DENSE) | {"inputs": DENSE.inputs() | {"sample/swa": "other data"}})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert results.read(DENSE) is None
    assert path.exists()


def test_table_has_one_row_for_each_split() -> None:
    table = results.table([record_of(DENSE)])
    assert tuple(table.columns) == results.COLUMNS
    assert list(table.split) == ["dev", "test"]
    assert list(table.f1) == [80.0, 78.0]
    row = table.iloc[1]
    assert (row.dataset, row.language, row.seed, row.order, row.sparsity) == ("sample", "swa", 3, "dense", 0.0)
    assert (row.method, row.scope, row.include) == ("", "", "")
    assert (row.parameters, row.nonzero_parameters, row.dense_bytes, row.compressed_bytes) == (100, 60, 400, 300)
    assert math.isnan(row.milliseconds)
    assert pd.api.types.is_float_dtype(table.milliseconds)


def test_table_tells_the_order_and_the_pruning() -> None:
    pruning = Prune(0.6, scope="layer", include="linear+embeddings", method="random")
    recipes = [order("sample-small", pruning, TUNE) for order in (pruned_before, pruned_after)]
    table = results.table(map(record_of, recipes))
    assert list(table.order) == ["before", "before", "after", "after"]
    assert set(table.sparsity) == {0.6}
    assert set(zip(table.method, table.scope, table.include, strict=True)) == {("random", "layer", "linear+embeddings")}


@pytest.mark.parametrize(
    ("trained", "timed", "label"),
    [
        ({"device": "card A", "device_type": "cuda"}, {"device": "card A", "device_type": "cuda"}, "card A"),
        (
            {"device": "card A", "device_type": "cuda"},
            {"device": "card B", "device_type": "cuda"},
            "card A; timed on card B",
        ),
        (
            {"device": "card A", "device_type": "cuda"},
            {"device": "chip, 2 cores", "device_type": "cpu"},
            "card A; timed on chip, 2 cores",
        ),
        ({"device": "x86_64 processor"}, {"device": "chip, 2 cores", "device_type": "cpu"}, "x86_64 processor"),
        ({"device": "card A", "device_type": "cuda"}, None, "card A"),
    ],
)
def test_times_are_not_labelled_with_another_device(trained: dict, timed: dict | None, label: str) -> None:
    record = record_of(DENSE) | {"provenance": trained}
    record["cost"]["latency"] = timed
    assert set(results.table([record])["device"]) == {label}


def test_table_gives_the_latency_where_it_was_measured() -> None:
    record = record_of(DENSE)
    record["cost"]["latency"] = {"milliseconds": 2.0, "low": 1.5, "high": 2.5}
    row = results.table([record]).iloc[0]
    assert (row.milliseconds, row.milliseconds_low, row.milliseconds_high) == (2.0, 1.5, 2.5)
    assert math.isnan(row.end_to_end_milliseconds)  # a record of an earlier version
    record["cost"]["latency"]["end_to_end_milliseconds"] = 3.0
    assert results.table([record]).iloc[0].end_to_end_milliseconds == 3.0


def test_table_gives_the_bytes_that_ship_where_they_were_counted() -> None:
    old, new, encoder = (record_of(DENSE) for _ in range(3))
    new["cost"]["shipped_bytes"], encoder["cost"]["shipped_bytes"] = 1234, None  # of what does not ship, there are none
    found = results.table([old, new, encoder])["shipped_bytes"]
    assert found.isna().tolist() == [True, True, False, False, True, True] and set(found.dropna()) == {1234}
    assert pd.api.types.is_float_dtype(found)


def test_counts_by_sentence_stay_in_the_record() -> None:
    record = record_of(DENSE)
    with_counts = json.loads(json.dumps(record))
    with_counts["scores"]["sample/swa/test"]["by_sentence"] = {"kind": "spans", "numbers": "eJxjYGBgAAAABAAB"}
    pd.testing.assert_frame_equal(results.table([with_counts]), results.table([record]))
    results.write(with_counts)
    assert results.read(DENSE) == results.of_identity(DENSE.identity) == with_counts
    assert results.of_identity("0" * 16) is None


def test_records_of_another_fine_tuning_are_told_apart() -> None:
    """Else a model that was trained longer stands beside the formats of one that was not."""
    short, long = FineTune("sample", "swa", seed=1, epochs=2), FineTune("sample", "swa", seed=1, epochs=5)
    recipes = [
        dense(SMALL, short),
        dense(SMALL, long),
        pruned_after(SMALL, short, Prune(0.5)),
        dense(SMALL, again(short, 2)),
    ]
    records = [{"recipe": json.loads(json.dumps(recipe.canonical()))} for recipe in recipes]
    assert results.tuned_as(records, [again(short, 3)]) == [records[0], *records[2:]]
    assert results.tuned_as(records, [FineTune("sample", "yor", seed=1, epochs=2)]) == []


SMALL = "sample-small"


def again(tuning: FineTune, seed: int) -> FineTune:
    return dataclasses.replace(tuning, seed=seed)


def test_table_of_nothing_has_its_columns() -> None:
    assert tuple(results.table([]).columns) == results.COLUMNS


def test_provenance_names_versions_and_no_person() -> None:
    about = results.provenance()
    arithmetic = {"device_type", "mixed_precision", "fp32_products"}
    assert set(about) == {"package", "commit", "python", "libraries", "device", "date"} | arithmetic
    assert {"torch", "transformers"} <= set(about["libraries"])
    with changed(PATH=""):
        assert results._commit() == "unknown"  # a machine without git


def test_help_lists_the_columns_of_the_table_one_a_line():
    for function in (results.table, study.run, study.table):
        told = inspect.getdoc(function).split("The columns:\n\n")[1].splitlines()
        assert tuple(line.split()[0] for line in told) == results.COLUMNS
        assert all(len(line.split()) > 1 and len(line) <= 125 for line in told)


def test_the_name_of_a_processor_is_read_as_it_is_written() -> None:
    name = results.processor("x86_64", threads=12)
    assert (results.machine_of(name), results.threads_of(name)) == ("x86_64 processor", 12)
    if not torch.cuda.is_available():
        here = results.provenance_of_process()["device"]
        assert results.machine_of(here) == f"{platform.machine()} processor" and results.threads_of(here) > 0
    assert (results.machine_of("NVIDIA H200"), results.threads_of("NVIDIA H200")) == ("NVIDIA H200", 0)
