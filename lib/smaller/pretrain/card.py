"""The card of a pre-trained encoder, in Markdown, from what its pretraining.json says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from smaller.formats.card import filled
from smaller.study.steps.pretraining import SETTINGS


def card(about: Mapping, *, family: str) -> str:
    """The card of one size of the family of that name."""
    after = about["held_out"]["after"]
    scores = {**after["languages"], "**all**": after["overall"]}
    numbers = {"count": "{:,.0f}".format, "one": "{:,.1f}".format}
    return filled(Path(__file__).with_suffix(".md.j2"), **about, **numbers, name=family, scores=scores, fixed=SETTINGS)
