"""Folders: variables that point nowhere, and machines without a home."""

from __future__ import annotations

from pathlib import Path

import pytest

from smaller.__main__ import main
from smaller.base import paths
from smaller.base.errors import SmallerError
from smaller.base.settings import changed
from smaller.inputs import check

HOMELESS = {"SMALLER_CACHE": None, "XDG_CACHE_HOME": "~nobody-is-called-so/.cache"}
"""As in a container whose user has no account: nothing that begins with ~ can be found."""


@pytest.mark.parametrize(("variable", "of"), [("DATA", paths.data_folder), ("MODELS", paths.models_folder)])
def test_a_folder_that_is_not_there_is_an_error(variable: str, of, tmp_path: Path) -> None:
    for value, expected in ((None, None), (" ", None), (str(tmp_path), tmp_path)):
        with changed(**{f"SMALLER_{variable}": value}):
            assert of() == expected
    told = f"SMALLER_{variable} is .*nowhere, which is not a folder"
    with changed(**{f"SMALLER_{variable}": str(tmp_path / "nowhere")}), pytest.raises(SmallerError, match=told):
        of()


def test_cache_and_outputs_are_where_they_are_asked_for(tmp_path: Path, project: Path) -> None:
    with changed(SMALLER_CACHE=None, XDG_CACHE_HOME=str(tmp_path), SMALLER_OUTPUTS=None):
        assert paths.cache_folder() == tmp_path / "smaller" and paths.outputs_folder() == project / "outputs"
    with changed(SMALLER_CACHE=str(tmp_path / "a"), SMALLER_OUTPUTS=str(tmp_path / "b")):
        assert (paths.cache_folder(), paths.outputs_folder()) == (tmp_path / "a", tmp_path / "b")
    assert paths.notebooks_folder() == project / "notebooks"


def test_without_a_home_the_cache_is_asked_for_by_name(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with changed(**HOMELESS):
        with pytest.raises(SmallerError, match=r"HOME is not set.*set SMALLER_CACHE to a folder") as raised:
            paths.cache_folder()
        assert "\n" not in str(raised.value)
        assert main(["clean"]) == 2 and "SMALLER_CACHE" in capsys.readouterr().err
        with changed(SMALLER_CACHE=str(tmp_path)):
            assert paths.cache_folder() == tmp_path
    models = "~nobody-is-called-so/models"
    with changed(SMALLER_MODELS=models), pytest.raises(SmallerError, match=f"{models} cannot be found"):
        paths.models_folder()


def test_without_a_home_check_says_so_in_its_rows() -> None:
    with changed(**HOMELESS):
        rows = {row.name: row for row in check.folders()}
    assert rows["outputs"].ok and rows["cache"].ok is False and "SMALLER_CACHE" in rows["cache"].found
