"""What a labelled data set holds: sentences with a tag for each word, or texts with one label."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sentence:
    """The words of a sentence and, for each word, its tag."""

    words: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The tags, by the name that texts have for theirs."""
        return self.tags


@dataclass(frozen=True, slots=True)
class Text:
    """A text and its label."""

    text: str
    label: str

    @property
    def words(self) -> tuple[str, ...]:
        """What stands between white space."""
        return tuple(self.text.split())

    @property
    def labels(self) -> tuple[str, ...]:
        """The label alone, as sentences have several."""
        return (self.label,)


Example = Sentence | Text
