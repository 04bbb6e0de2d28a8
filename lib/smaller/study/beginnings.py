"""Encoders that are made from a published one before anything else is done: by a few steps, once, for all languages.

A small encoder that anybody can have: where none is published, a large one is made smaller first. To a recipe it is an
encoder like any other; its weights are made by the first recipe that needs them, and kept.
"""

from __future__ import annotations

from pathlib import Path

from smaller import encoders
from smaller.study.steps import Cut, Step, TrimVocabulary

_LANGUAGES = ("amh", "hau", "ibo", "kin", "orm", "pcm", "som", "swa", "tir", "yor")

BEGINNINGS: dict[str, tuple[str, tuple[Step, ...]]] = {
    "mini-e5": (
        "e5-small",
        (TrimVocabulary(16_000, corpus="afriberta-corpus", languages=_LANGUAGES, lines=20_000), Cut(4)),
    ),
}
"""By name: the encoder that it is made from, and the steps."""


def recipe_of(name: str) -> tuple[str, tuple[Step, ...]] | None:
    """What an encoder is made from and by which steps; None for one that has weights of its own.

    A folder of that name under `SMALLER_MODELS` goes first, as everywhere.
    """
    if name not in BEGINNINGS or isinstance(encoders.source(name), Path):
        return None
    return BEGINNINGS[name]
