"""The embedded sample: a demonstration corpus that a fresh clone runs on, with no network.

Each `<language>.toml` beside this file holds sentence patterns and lists of names, written for this project. Patterns
are filled with names by a generator that is seeded for each language and split, so the sample is the same everywhere.
No pattern of dev and test occurs in training, nor in the unlabelled text, and about half of their names (in Amharic a
third) are held out from both; the others are known, as in real data. It demonstrates the software; what a technique
costs a language has to be measured on real data.
"""

from __future__ import annotations

import bisect
import functools
import hashlib
import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from smaller.base.errors import SmallerError, did_you_mean
from smaller.data.examples import Sentence

if TYPE_CHECKING:
    from transformers import XLMRobertaTokenizer

LANGUAGES = ("amh", "hau", "pcm", "swa", "yor")
"""Languages of the study in the sample; the sample encoders are pre-trained on these."""

UNSEEN = "bam"
"""Bambara: in the sample, but not in the sample encoders' pre-training."""

ALL = (*LANGUAGES, UNSEEN)

NOT_LATIN = ("amh",)

SIZES = {"train": 3000, "dev": 150, "test": 300}
TEXT_LINES = 4000
VOCABULARY = 5000

ETHIOPIC = {chr(code) for code in range(0x1200, 0x1358)}
"""The syllables of the Ethiopic script: a small text does not hold them all, and an unseen name may need any."""

_TYPES = ("PER", "ORG", "LOC", "DATE")
_POOLS = {"LOC": "place", "ORG": "organisation", "DATE": "date"}
_SLOT = re.compile(r"\{(\w+)\}")


def check(language: str) -> None:
    """Raise SmallerError unless the sample has the language."""
    if language not in ALL:
        raise SmallerError(
            f"The embedded sample has no language {language!r}; it has {', '.join(ALL)}."
            f"{did_you_mean(language, ALL)} The others need SMALLER_DATA and a data set such as masakhaner."
        )


@functools.cache
def _source(language: str) -> dict:
    check(language)
    return tomllib.loads(Path(__file__).with_name(f"{language}.toml").read_text(encoding="utf-8"))


def fingerprint(language: str) -> str:
    """The checksum of the language's part of the sample: sentences, text, and what the tokenizer learns from."""
    return _digest(language, *SIZES.values())


@functools.cache
def _digest(language: str, *sizes: int) -> str:
    labelled = [(split, each.words, each.tags) for split in SIZES for each in sentences(language, split)]
    made = [labelled, text(language), list(_vocabulary_lines(language)), VOCABULARY]
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()


def sentences(language: str, split: str) -> tuple[Sentence, ...]:
    """The labelled sentences of a split, every pattern used about equally often; no sentence occurs twice."""
    check(language)
    if split not in SIZES:
        raise SmallerError(f"The sample has no split {split!r}; it has {', '.join(SIZES)}.")
    return _sentences(language, split, SIZES[split])


@functools.cache
def _sentences(language: str, split: str, size: int) -> tuple[Sentence, ...]:
    source = _source(language)
    known = _training_names(language)
    # A language that shares its script with no other meets fewer names in training, so two in three are known to it.
    met = (known, known) if language in NOT_LATIN else (known,)
    pools = (known,) if split == "train" else (*met, source["names"]["test"])
    generator = np.random.default_rng([int.from_bytes(language.encode()), list(SIZES).index(split)])
    made: dict[Sentence, None] = {}
    # A pattern without slots can only be used once, so rounds go on until enough different sentences are there.
    while len(made) < size:
        for place in generator.permutation(len(source["patterns"][split])):
            made.setdefault(_fill(source["patterns"][split][place], pools, source["words"], generator))
    return tuple(made)[:size]


@functools.cache
def text(language: str) -> tuple[str, ...]:
    """The unlabelled lines for pre-training: patterns for text and for training, with training names."""
    source = _source(language)
    patterns = source["patterns"]["unlabelled"] + source["patterns"]["train"]
    generator = np.random.default_rng([int.from_bytes(language.encode()), 17])
    return tuple(
        " ".join(_fill(patterns[place], (_training_names(language),), source["words"], generator).words)
        for place in generator.integers(0, len(patterns), TEXT_LINES)
    )


@functools.cache
def _training_names(language: str) -> dict[str, list[str]]:
    """The language's own names, twice over, and those of the other languages in its script.

    News of one country names people and places of others. A small model that meets few names learns them by heart and
    finds no others; many names make it look at how names are built and where they stand.
    """
    others = [code for code in ALL if code not in (language, *NOT_LATIN) and language not in NOT_LATIN]
    own, held_out = (_source(language)["names"][part] for part in ("train", "test"))
    unseen = {name.lower() for names in held_out.values() for name in names}
    shared = {
        kind: [name for code in others for name in _source(code)["names"]["train"][kind] if name.lower() not in unseen]
        for kind in own
    }
    return {kind: values if kind == "date" else 2 * values + shared[kind] for kind, values in own.items()}


def _fill(pattern: str, pools: Sequence[dict], words: dict, generator: np.random.Generator) -> Sentence:
    filled: list[str] = []
    tags: list[str] = []
    used: set[str] = set()
    for chunks, kind in _parts(pattern):
        begins = len(filled)
        for before, slot, after in chunks:
            if not slot:
                filled.append(before)
                tags.append("O")
                continue
            chosen = _choose(slot, pools, words, generator)
            while chosen in used:  # nobody travels from a town to the same town
                chosen = _choose(slot, pools, words, generator)
            used.add(chosen)
            new = f"{before}{chosen}{after}".split()
            filled += new
            tags += _tags(slot if slot in _TYPES else "", len(new))
        if kind:
            tags[begins:] = _tags(kind, len(filled) - begins)
    return Sentence(tuple(filled), tuple(tags))


def _tags(kind: str, count: int) -> list[str]:
    """The tags of so many words that are one entity of a type, or none."""
    return [f"B-{kind}", *[f"I-{kind}"] * (count - 1)] if kind else ["O"] * count


@functools.cache
def _parts(pattern: str) -> list[tuple[list[tuple[str, str, str]], str]]:
    """The pattern cut at its brackets: "[ORG Chuo Kikuu cha {LOC}] ..." gives parts, each with its type if it has one.

    A part is a list of chunks: what stands before a slot, the slot, and what stands after it; or a word alone.
    """
    parts = []
    for match in re.finditer(r"\[(\w+) ([^\]]*)\]|[^\[\]]+", pattern):
        chunks = [(*_SLOT.split(chunk, maxsplit=1), "", "")[:3] for chunk in (match[2] or match[0]).split()]
        parts.append((chunks, match[1] or ""))
    return parts


_PERSONS = tuple(np.cumsum((0.6, 0.2, 0.2)))
"""The shares of persons who are called by both names, by the given name or by the family's, added up."""


def _choose(slot: str, pools: Sequence[dict], words: dict, generator: np.random.Generator) -> str:
    if slot not in _TYPES:
        return words[slot][generator.integers(len(words[slot]))]
    names = pools[generator.integers(len(pools))]
    if slot == "PER":
        given, family = (names[kind][generator.integers(len(names[kind]))] for kind in ("given", "family"))
        return (f"{given} {family}", given, family)[bisect.bisect(_PERSONS, generator.random())]
    values = names[_POOLS[slot]]
    return values[generator.integers(len(values))]


def _frames(language: str) -> Iterator[str]:
    """The language's patterns for training and text without brackets and slots, and its words that are no names."""
    source = _source(language)
    for pattern in source["patterns"]["unlabelled"] + source["patterns"]["train"]:
        yield re.sub(r"\S*\{\w+\}\S*", " ", re.sub(r"\[\w+ |\]", "", pattern))
    for words in source["words"].values():
        yield from words


def _vocabulary_lines(language: str) -> Iterator[str]:
    """What the tokenizer is trained on: the frames, and each word that they hold more than once as a line of its own.

    SentencePiece takes a string for a piece only where different characters follow it. In this text marks stand apart,
    so that a space follows every word, and without such lines many words are never one piece, however common they are.
    Amharic pays most for that: its words have the most forms, and each syllable of its script is a character.
    """
    frames = list(_frames(language))
    yield from frames
    yield from (word for word, count in Counter(" ".join(frames).split()).items() if count > 1)


@functools.cache
def tokenizer() -> XLMRobertaTokenizer:
    """The sample family's tokenizer: SentencePiece Unigram like AfriBERTa's, trained on the text without its names.

    With names, each name of training would become one piece, to be learned by heart, while unseen ones fall into many.
    """
    from smaller.data.unigram import learned_unigram

    characters = {
        letter for language in LANGUAGES for line in text(language) for letter in line if not letter.isspace()
    }
    lines = (line for language in LANGUAGES for line in _vocabulary_lines(language))
    required = "".join(sorted(characters | ETHIOPIC))
    return learned_unigram(lines, size=VOCABULARY, required_chars=required, character_coverage=1.0)
