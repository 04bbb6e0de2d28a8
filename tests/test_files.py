"""Writing: whole or not at all, also where the disk is full; and what can be seen of a place beforehand."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from smaller.base import files
from smaller.base.errors import SmallerError
from smaller.base.files import draft_of, require_place, require_room, told, write_whole

SmallFiles = Callable[[int], AbstractContextManager]


def names(folder: Path) -> list[str]:
    return sorted(place.name for place in folder.iterdir())


@pytest.mark.parametrize(
    ("content", "written"),
    [
        ("Yorùbá አማርኛ", "Yorùbá አማርኛ".encode()),
        (b"\x00\xff", b"\x00\xff"),
        ({"a": ["ọ"]}, '{\n "a": [\n  "ọ"\n ]\n}\n'.encode()),
    ],
    ids=["text", "bytes", "values"],
)
def test_a_file_is_written_in_a_folder_that_is_made(content: object, written: bytes, tmp_path: Path) -> None:
    place = tmp_path / "new" / "file"
    before = os.umask(0o022)
    try:
        write_whole(place, content)
        write_whole(place, content)
    finally:
        os.umask(before)
    assert place.read_bytes() == written and place.stat().st_mode & 0o777 == 0o644
    assert names(place.parent) == ["file"]


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_what_is_there_stays_where_the_disk_is_full(folder: bool, tmp_path: Path, small_files: SmallFiles) -> None:
    place = tmp_path / "place"
    for size in (10, 10_000):
        with small_files(1000):
            try:
                with draft_of(place) as draft:
                    if folder:
                        draft.mkdir()
                    (draft / "weights" if folder else draft).write_bytes(bytes(size))
            except OSError:
                assert size == 10_000
    assert names(tmp_path) == ["place"]
    assert (place / "weights" if folder else place).stat().st_size == 10


def test_a_folder_takes_the_place_of_another_at_once(tmp_path: Path) -> None:
    place = tmp_path / ("a long name " * 10)
    for name in ("one", "two"):
        with draft_of(place) as draft:
            draft.mkdir()
            (draft / name).write_text(name)
            assert names(place) == ["one"] if name == "two" else not place.exists()
    assert names(place) == ["two"] and len(names(tmp_path)) == 1
    files.remove(place)
    files.remove(place)
    assert names(tmp_path) == []


def test_drafts_of_killed_processes_go_with_their_place_alone(tmp_path: Path) -> None:
    for name in (".draft-mine-1", ".draft-mine-2", ".draft-other-1"):
        (tmp_path / name).mkdir()
    (tmp_path / ".draft-mine-3").write_text("half a file")
    files.sweep(tmp_path / "mine")
    assert names(tmp_path) == [".draft-other-1"]


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (OSError(28, "No space left on device"), "It failed: No space left on device. Make room."),
        (RuntimeError("a library's own"), "It failed: a library's own. Make room."),
        (SmallerError("In its own words."), "In its own words."),
    ],
)
def test_what_hinders_writing_is_told(problem: Exception, reason: str) -> None:
    with pytest.raises(SmallerError) as caught, told("It failed", "Make room."):
        raise problem
    assert str(caught.value) == reason


def test_room_is_looked_for_beforehand(tmp_path: Path, small_files: SmallFiles) -> None:
    require_room(tmp_path / "new", what="Results", variable="SMALLER_OUTPUTS")
    assert names(tmp_path / "new") == []
    (tmp_path / "a file").write_text("")
    for folder, limit in ((tmp_path / "a file" / "folder", 1 << 30), (tmp_path / "new", 1000)):
        with small_files(limit), pytest.raises(SmallerError, match="Results cannot be written to .* SMALLER_OUTPUTS"):
            require_room(folder, what="Results", variable="SMALLER_OUTPUTS")


def test_a_folder_that_was_shipped_and_an_empty_one_may_be_replaced(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    assert require_place(old, mark="smaller.json") == old
    (old / "smaller.json").write_text("{}")
    (old / "model.safetensors").write_text("")
    assert require_place(old, mark="smaller.json") == old
    assert require_place(tmp_path / "new" / "er", mark="smaller.json") == tmp_path / "new" / "er"
    assert names(tmp_path) == ["old"]
    for wrong in (old / "smaller.json", old):
        with pytest.raises(SmallerError, match="holds something else"):
            require_place(wrong, mark="another.json")
