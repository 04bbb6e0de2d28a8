"""Artefacts: found only with equal inputs, whole or not there, the least recently used dropped first."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock, Timeout

from smaller import encoders
from smaller.base import paths
from smaller.base.errors import SmallerError
from smaller.base.files import write_whole
from smaller.base.settings import changed
from smaller.encoders import Model
from smaller.study import cache
from smaller.study.recipes import Recipe
from smaller.study.steps import FineTune, Prune

REPORTS = [{"step": "FineTune", "report": {"updates": 2, "note": "Yorùbá"}}]

pytestmark = pytest.mark.usefixtures("fresh_folders")


def prefix(seed: int = 1, encoder: str = "sample-small") -> Recipe:
    return Recipe(encoder, (FineTune("sample", "yor", seed=seed),))


def keep(model: Model, *seeds: int) -> None:
    """Write artefacts that were last used in the order given, long ago."""
    for place, seed in enumerate(seeds):
        cache.write(prefix(seed), model, REPORTS)
        os.utime(cache.folder() / prefix(seed).identity, (1000 + place, 1000 + place))


def kept() -> set[str]:
    return {place.name for place in cache.kept()}


def leftovers() -> list[str]:
    return [place.name for place in cache.folder().iterdir() if place.name.startswith(".") and place.name != ".locks"]


def test_what_is_written_is_read_back_with_masks_and_reports(tiny: Model) -> None:
    pruned, _ = Prune(0.5).apply(tiny)
    cache.write(prefix(), pruned, REPORTS)
    model, reports = cache.read(prefix())
    assert reports == REPORTS
    assert all(torch.equal(a, b) for a, b in zip(model.network.parameters(), pruned.network.parameters(), strict=True))
    assert {name: mask.tolist() for name, mask in model.masks.items()} == {
        name: mask.tolist() for name, mask in pruned.masks.items()
    }
    assert cache.read(prefix(seed=2)) is None
    assert leftovers() == []


def test_files_travel_to_another_cache(tiny: Model, tmp_path: Path) -> None:
    pruned, _ = Prune(0.5).apply(tiny)
    cache.write(prefix(), pruned, REPORTS)
    packed = cache.pack(prefix())
    before = {file.name: file.read_bytes() for file in (cache.folder() / prefix().identity).iterdir()}
    with changed(SMALLER_CACHE=str(tmp_path / "another ca che")):
        assert cache.pack(prefix()) is None
        cache.unpack(prefix(), packed)
        place, reports = cache.find(prefix())
        assert reports == REPORTS and {file.name: file.read_bytes() for file in place.iterdir()} == before
        assert leftovers() == []


def test_files_from_elsewhere_stay_in_their_folder(tiny: Model) -> None:
    cache.write(prefix(), tiny, REPORTS)
    cache.unpack(prefix(), cache.pack(prefix()) | {"../../escaped": np.zeros(1, np.uint8)})
    assert {file.name for file in cache.folder().parent.iterdir()} == {"artefacts"}
    assert cache.read(prefix()) is not None


def test_artefacts_are_measured_once(tiny: Model) -> None:
    keep(tiny, 1, 2)
    before = cache.kept()
    for seed in (1, 2):
        (cache.folder() / prefix(seed).identity / "more").write_bytes(b"later")
    keep(tiny, 3)
    after = cache.kept()
    assert len(after) == 3 and before.items() <= after.items(), "nobody looks into the first two again"
    cache.write(prefix(1), tiny, 9 * REPORTS)
    place = cache.folder() / prefix(1).identity
    measured = cache.kept()[place]
    assert measured == sum(file.stat().st_size for file in place.iterdir()) > before[place], "another in its place"


def test_found_only_with_equal_inputs(tiny: Model) -> None:
    cache.write(prefix(), tiny, REPORTS)
    assert cache.find(prefix()) is not None
    about = cache.folder() / prefix().identity / cache.ABOUT
    about.write_text(about.read_text().replace(prefix().inputs()["sample/yor"], "other data"))
    assert cache.find(prefix()) is None
    cache.write(prefix(), tiny, [])
    assert cache.find(prefix())[1] == []
    assert leftovers() == []


def test_found_only_with_the_weights_it_began_with(tiny: Model, tmp_path: Path) -> None:
    folder = tmp_path / "my encoder"
    encoders.save(tiny, folder)
    recipe = prefix(encoder=str(folder))
    cache.write(recipe, tiny, REPORTS)
    encoders.save(Prune(0.5).apply(tiny)[0], folder)
    encoders.revision.cache_clear()
    assert cache.find(recipe) is None


@pytest.mark.parametrize("about", ["", "{", "[]", "null", "{}", '{"format": 1}', '{"format": 0, "inputs": {}}'])
def test_damaged_description_counts_as_absent(tiny: Model, about: str) -> None:
    cache.write(prefix(), tiny, REPORTS)
    (cache.folder() / prefix().identity / "about.json").write_text(about)
    assert cache.find(prefix()) is None


@pytest.mark.parametrize("file", ["model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["truncated", "gone"])
def test_damaged_model_counts_as_absent_and_can_be_made_again(tiny: Model, file: str, damage: str) -> None:
    cache.write(prefix(), tiny, REPORTS)
    path = cache.folder() / prefix().identity / file
    if damage == "gone":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size // 2)
    assert cache.read(prefix()) is None
    cache.write(prefix(), tiny, REPORTS)
    assert cache.read(prefix()) is not None


def test_full_disk_keeps_nothing_and_says_so_once(
    tiny: Model, small_files: Callable[[int], AbstractContextManager]
) -> None:
    keep(tiny, 1)
    # the weights have more; safetensors reports that by an error of its own
    with (
        small_files(20_000),
        pytest.raises(SmallerError, match="could not be kept .* Free some space or set SMALLER_CACHE"),
    ):
        cache.write(prefix(2), tiny, REPORTS)
    assert kept() == {prefix(1).identity}
    assert leftovers() == []
    assert cache.read(prefix(1)) is not None


def test_cache_that_cannot_be_written_is_seen_at_once(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    with changed(SMALLER_CACHE=str(tmp_path / "a file" / "cache")):
        assert cache.find(prefix()) is None
        with pytest.raises(SmallerError, match="Trained models cannot be written to .* set SMALLER_CACHE"):
            cache.require_writable()
        with pytest.raises(SmallerError, match="Nothing can be kept in .* SMALLER_CACHE"), cache.lock(prefix()):
            pass
    with changed(SMALLER_CACHE_GB="much"), pytest.raises(SmallerError, match="SMALLER_CACHE_GB is a number"):
        cache.require_writable()


def test_drafts_are_ignored_and_go_once_their_writer_is_gone(tiny: Model) -> None:
    keep(tiny, 1)
    draft = cache.folder() / f".draft-{prefix(2).identity}-123"
    shutil.copytree(cache.folder() / prefix(1).identity, draft)
    (cache.folder() / f".draft-{prefix(3).identity}-456").mkdir()
    assert cache.find(prefix(2)) is None
    with cache.lock(prefix(2)):  # somebody is writing it
        cache.trim()
        assert leftovers() == [draft.name]
    cache.trim()
    assert leftovers() == []
    assert kept() == {prefix(1).identity}


def test_least_recently_used_go_first(tiny: Model) -> None:
    keep(tiny, 1, 2, 3)
    size, *_ = cache.kept().values()
    cache.read(prefix(1))  # now 2 is the one that was not used for longest
    assert cache.trim(limit_bytes=2.5 * size) == size
    assert kept() == {prefix(1).identity, prefix(3).identity}
    assert cache.trim(limit_bytes=2.5 * size) == 0


def test_what_was_just_written_is_never_dropped(tiny: Model) -> None:
    keep(tiny, 1, 2)
    with changed(SMALLER_CACHE_GB="0"):
        cache.write(prefix(3), tiny, REPORTS)
    assert kept() == {prefix(3).identity}


def test_clean_removes_all_but_what_is_being_written(tiny: Model) -> None:
    keep(tiny, 1, 2)
    draft = cache.folder() / f".draft-{prefix(3).identity}-1"
    write_whole(paths.graphs_folder() / "a.onnx", b"a graph")
    with cache.lock(prefix(3)):
        draft.mkdir()
        assert cache.clean() > 2 * sum(parameter.nbytes for parameter in tiny.network.parameters())
        assert draft.is_dir()
        with pytest.raises(Timeout):  # the lock is still held, also for those who come now
            FileLock(cache._lock_file(prefix(3).identity), timeout=0).acquire()
    assert kept() == set() and not paths.graphs_folder().exists()
    assert cache.clean() == 0


def test_clean_without_a_cache() -> None:
    assert cache.clean() == 0


def test_lock_is_said_and_waited_for() -> None:
    holder = (
        "import sys; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('held', flush=True); sys.stdin.readline()"
    )
    path = cache._lock_file(prefix().identity)
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        said: list[str] = []

        def say(line: str) -> None:
            said.append(line)
            other.kill()  # a lock dies with its process

        with cache.lock(prefix(), say=say):
            assert said == [f"{prefix()}: another study is at it, so this one waits"]
            assert other.wait() != 0
    with cache.lock(prefix(), say=said.append):
        assert len(said) == 1


def test_description_is_plain_json(tiny: Model) -> None:
    cache.write(prefix(), tiny, REPORTS)
    about = json.loads((cache.folder() / prefix().identity / "about.json").read_text(encoding="utf-8"))
    assert about == {"format": 1, "recipe": prefix().canonical(), "inputs": prefix().inputs(), "reports": REPORTS}
