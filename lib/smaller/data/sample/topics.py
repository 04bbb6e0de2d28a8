"""Topics of sentences, as a second task of the embedded sample: in Swahili, a demonstration like the rest of it."""

from __future__ import annotations

import functools
import hashlib
import json
import tomllib
from pathlib import Path

import numpy as np

from smaller.base.errors import SmallerError
from smaller.data import sample
from smaller.data.examples import Text

ALL = ("swa",)
SIZES = {"train": 400, "dev": 120, "test": 120}


def check(language: str) -> None:
    """Raise SmallerError unless there are topics in the language."""
    if language not in ALL:
        raise SmallerError(
            f"The embedded sample has topics in {', '.join(ALL)} alone, and not in {language!r}. "
            "Others need SMALLER_DATA and a data set such as sib200."
        )


@functools.cache
def _source() -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(Path(__file__).with_name("topics.toml").read_text(encoding="utf-8"))


@functools.cache
def fingerprint(language: str) -> str:
    """The checksum of the labelled texts."""
    made = [(split, each.text, each.label) for split in SIZES for each in sentences(language, split)]
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()


@functools.cache
def sentences(language: str, split: str) -> tuple[Text, ...]:
    """The labelled texts of a split, every pattern used about equally often; no text occurs twice.

    A pattern's topic is the label. Dev and test have patterns of their own, and half of their names are held out.
    """
    check(language)
    if split not in SIZES:
        raise SmallerError(f"The sample has no split {split!r}; it has {', '.join(SIZES)}.")
    source = sample._source(language)
    known = sample._training_names(language)
    pools = (known,) if split == "train" else (known, source["names"]["test"])
    generator = np.random.default_rng([int.from_bytes(language.encode()), 23, list(SIZES).index(split)])
    patterns = [(topic, pattern) for topic, own in _source().items() for pattern in own[split]]
    made: dict[str, Text] = {}
    while len(made) < SIZES[split]:
        for place in generator.permutation(len(patterns)):
            topic, pattern = patterns[place]
            words = sample._fill(pattern, pools, source["words"], generator).words
            made.setdefault(" ".join(words), Text(" ".join(words), topic))
    return tuple(made.values())[: SIZES[split]]
