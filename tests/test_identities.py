"""No recipe of the three profiles changes its identity unnoticed: with it, its records would be lost."""

from __future__ import annotations

import json

import identities
import pytest


@pytest.mark.parametrize("profile", identities.PROFILES)
def test_every_recipe_of_a_profile_keeps_its_identity(profile: str, fresh_folders) -> None:
    kept = json.loads(identities.KEPT.read_text(encoding="utf-8"))[profile]
    assert all(notebook["recipes"] for notebook in kept.values())
    assert identities.found(profile) == kept


def test_another_rate_is_another_identity(fresh_folders, monkeypatch: pytest.MonkeyPatch) -> None:
    from smaller.study.steps import FineTune

    notebook = identities.ROOT / "notebooks" / "00_quickstart.ipynb"
    with identities.without_data():
        before = identities.identities(notebook, "mini")
        form = FineTune.canonical
        monkeypatch.setattr(FineTune, "canonical", lambda step: form(step) | {"learning_rate": 0.1})
        assert not set(before) & set(identities.identities(notebook, "mini"))
