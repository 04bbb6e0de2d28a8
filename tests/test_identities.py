"""No recipe of the profiles changes its identity unnoticed: with it, its records would be lost."""

from __future__ import annotations

import json

import identities
import pytest


@pytest.mark.parametrize("profile", identities.PROFILES)
def test_every_recipe_of_a_profile_keeps_its_identity(profile: str, fresh_folders) -> None:
    kept = json.loads(identities.KEPT.read_text(encoding="utf-8"))[profile]
    assert all(notebook["recipes"] for notebook in kept.values())
    assert identities.found(profile) == kept


def test_another_rate_is_another_identity(fresh_folders) -> None:
    notebook = identities.ROOT / "notebooks" / "00_quickstart.ipynb"
    with identities.without_data():
        before, after = (identities.identities(notebook, "mini", learning_rate=rate) for rate in (1e-3, 0.1))
    assert len(before) == len(after) > 0 and not set(before) & set(after)
