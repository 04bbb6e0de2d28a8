"""What a labelled data set holds: sentences with a tag for each word, or texts with one label."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sentence:
    """The words of a sentence and, for each word, its tag."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A text and its label."""

    text: str
    label: str

    @property
    def words(self) -> tuple[str, ...]:
        """What stands between white space."""
        return tuple(self.text.split())


Example = Sentence | Text
