"""Text as people really type it: seeded damage to labelled sentences, at a graded rate, with labels that stay right."""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from smaller.base.checks import is_number, require, require_one_of
from smaller.data.examples import Sentence
from smaller.data.schemes import spans_of
from smaller.data.text import composed

Pool = Mapping[str, Sequence[tuple[str, ...]]]

_PLAIN = str.maketrans("ɓɗƙƴɖɛɔŋɲƁƊƘƳƉƐƆŊƝ", "bdkydeonnBDKYDEONN")
"""Letters of African alphabets that no decomposition takes apart, and what is typed where a keyboard lacks them."""

_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_KEYS = {letter: (row, column) for row, letters in enumerate(_ROWS) for column, letter in enumerate(letters)}
_NEIGHBOURS = {
    letter: "".join(other for other, (r, c) in _KEYS.items() if other != letter and abs(r - row) + abs(c - column) < 2)
    for letter, (row, column) in _KEYS.items()
}
_ETHIOPIC_MARKS = {"።": "::", "፣": ",", "፤": ";", "፥": ":", "፦": ":-", "፡": ":"}


def add_noise(
    sentences: Sequence[Sentence], kind: str, rate: float, *, seed: int, names: Pool | None = None
) -> list[Sentence]:
    """The sentences with damage of one of `KINDS`; `rate` from 0 to 1 is the chance of each place that it can strike.

    The same seed strikes the same places, and a higher rate strikes them and more, so that rates can be compared.
    `names` are what "entities" puts in the place of names: for each entity type, names as tuples of words.
    """
    check_noise(kind, rate)
    return [
        KINDS[kind](sentence, rate, np.random.default_rng([seed, place, zlib.crc32(kind.encode())]), names or {})
        for place, sentence in enumerate(sentences)
    ]


def check_noise(kind: str, rate: float, *, kinds: Collection[str] = ()) -> None:
    """Raise SmallerError unless the kind is one of `kinds` (default: `KINDS`) and the rate a share."""
    kinds = kinds or KINDS
    require_one_of(kind, kinds, "There is no noise {!r}; there are {}.")
    share = is_number(rate) and 0 <= rate <= 1
    require(share, f"The rate of {kind} noise is a share from 0 to 1; it is {rate!r}.")


def _without_marks(letter: str, generator: np.random.Generator) -> str:
    decomposed = unicodedata.normalize("NFD", letter)
    kept = "".join(part for part in decomposed if not unicodedata.combining(part))
    return kept.translate(_PLAIN)


def _mistyped(letter: str, generator: np.random.Generator) -> str:
    """A key beside the right one; in Ethiopic, where a syllable is a consonant and a vowel key, another vowel."""
    draw = generator.random()
    if "ሀ" <= letter <= "ፗ":
        block = ord(letter) - (ord(letter) - ord("ሀ")) % 8
        others = [chr(code) for code in range(block, block + 7) if chr(code) != letter]
        return others[int(draw * len(others))]
    near = _NEIGHBOURS.get(letter.lower())
    if not near:
        return letter
    typed = near[int(draw * len(near))]
    return typed.upper() if letter.isupper() else typed


EDITS: dict[str, Callable[[str, np.random.Generator], str]] = {
    "diacritics": _without_marks,
    "dropped": lambda letter, _: "" if letter.isalpha() else letter,
    "doubled": lambda letter, _: 2 * letter if letter.isalpha() else letter,
    "mistyped": _mistyped,
    "case": lambda letter, _: letter.lower(),
}
"""What people do to a single letter: the edits that a search for the most harmful ones chooses from."""


def _by_letter(change: Callable[[str, np.random.Generator], str]) -> Callable[..., Sentence]:
    """Damage that strikes single letters; a word never vanishes, since its label needs something to stand on."""

    def damage(sentence: Sentence, rate: float, generator: np.random.Generator, names: Pool) -> Sentence:
        words = []
        for word in sentence.words:
            # Both are drawn for every letter, so that what one rate strikes does not depend on another.
            letters = [(letter, generator.random(), change(letter, generator)) for letter in word]
            words.append("".join(new if chance < rate else old for old, chance, new in letters) or word[0])
        return Sentence(tuple(words), sentence.tags)

    return damage


def _diacritics(sentence: Sentence, rate: float, generator: np.random.Generator, names: Pool) -> Sentence:
    """Marks go letter by letter; a mark that is a character of its own goes with its letter."""
    whole = Sentence(tuple(map(composed, sentence.words)), sentence.tags)
    return _by_letter(_without_marks)(whole, rate, generator, names)


def _lower(sentence: Sentence, rate: float, generator: np.random.Generator, names: Pool) -> Sentence:
    chances = generator.random(len(sentence.words))
    words = (word.lower() if chance < rate else word for word, chance in zip(sentence.words, chances, strict=True))
    return Sentence(tuple(words), sentence.tags)


def _spaces(sentence: Sentence, rate: float, generator: np.random.Generator, names: Pool) -> Sentence:
    """Words run together where one label stays right for both: inside a name, and between words that are no names."""
    words, tags = [sentence.words[0]], [sentence.tags[0]]
    chances = generator.random(len(sentence.words))
    for word, tag, chance in zip(sentence.words[1:], sentence.tags[1:], chances[1:], strict=True):
        inside = tag.startswith("I-") and tags[-1][2:] == tag[2:]
        if chance < rate and (inside or (tag == "O" and tags[-1] == "O")):
            words[-1] += word
        else:
            words.append(word)
            tags.append(tag)
    return Sentence(tuple(words), tuple(tags))


def _entities(sentence: Sentence, rate: float, generator: np.random.Generator, names: Pool) -> Sentence:
    """Names give way to others of their type."""
    spans = {first: (kind, last + 1) for kind, first, last in spans_of(sentence.tags)}
    words: list[str] = []
    tags: list[str] = []
    place = 0
    while place < len(sentence.words):
        kind, end = spans.get(place, ("", place + 1))
        chance, draw = generator.random(2)
        pool = names.get(kind, ())
        if kind and pool and chance < rate:
            new = pool[int(draw * len(pool))]
            words += new
            tags += [f"B-{kind}", *([f"I-{kind}"] * (len(new) - 1))]
        else:
            words += sentence.words[place:end]
            tags += sentence.tags[place:end]
        place = end
    return Sentence(tuple(words), tuple(tags))


KINDS: dict[str, Callable[..., Sentence]] = {
    "diacritics": _diacritics,
    "dropped": _by_letter(EDITS["dropped"]),
    "doubled": _by_letter(EDITS["doubled"]),
    "mistyped": _by_letter(_mistyped),
    "case": _lower,
    "spaces": _spaces,
    "punctuation": _by_letter(lambda letter, _: _ETHIOPIC_MARKS.get(letter, letter)),
    "entities": _entities,
}
"""Diacritics lost, letters dropped, doubled or mistyped, case lost, spaces lost, Ethiopic punctuation typed in ASCII,
and names swapped for others."""

IN_WORDS = dict(
    zip(
        KINDS,
        ("accents lost", "letters dropped", "letters doubled", "letters mistyped", "capitals lost", "spaces lost")
        + ("punctuation in ASCII", "names swapped"),
        strict=True,
    )
)
"""What each kind does, for the panels and columns of figures."""

SWAPS = "entities"
TYPING = tuple(kind for kind in KINDS if kind != SWAPS)
"""The kinds that are a matter of typing."""


def names_in(sentences: Sequence[Sentence]) -> dict[str, list[tuple[str, ...]]]:
    """The different names in labelled sentences by entity type, in order."""
    found: dict[str, dict[tuple[str, ...], None]] = {}
    for sentence in sentences:
        for kind, first, last in spans_of(sentence.tags):
            found.setdefault(kind, {})[sentence.words[first : last + 1]] = None
    return {name: list(values) for name, values in found.items()}


def struck(clean: Sequence[Sentence], noisy: Sequence[Sentence]) -> float:
    """The share of the sentences in which a word is another than before, from 0 to 1.

    How a letter and its accent are put together is no difference.
    """
    pairs = zip(clean, noisy, strict=True)
    changed = [" ".join(map(composed, old.words)) != " ".join(map(composed, new.words)) for old, new in pairs]
    return sum(changed) / max(len(changed), 1)


def affected(kind: str) -> str:
    """What a kind of noise strikes, in words, for captions."""
    return {
        "diacritics": "letters that lose their marks",
        "dropped": "letters that are dropped",
        "doubled": "letters that are doubled",
        "mistyped": "letters that become a neighbouring key",
        "case": "words that lose their capitals",
        "spaces": "spaces that are lost",
        "punctuation": "Ethiopic punctuation marks typed in ASCII",
        "entities": "names that give way to names not seen in training",
    }[kind]
