"""What decides a family of encoders, beside its text."""

from __future__ import annotations

from dataclasses import dataclass

from smaller.base.checks import is_number, require, require_counts, require_small
from smaller.encoders import Encoder

DEPTHS = {"small": 4, "base": 8, "large": 10}
"""AfriBERTa's depths (Ogueji et al. 2021, *Small Data? No Problem!*); all sizes share width and tokenizer."""

HEADS = 6


@dataclass(frozen=True, kw_only=True)
class Family:
    """All that decides a family's weights, beside its text.

    `width` is that of the hidden states; the feed-forward layers have four times as much. `vocabulary` counts the five
    special tokens too. `updates` counts batches of `batch_size` lines, each cut at `max_length` tokens, of which `rate`
    are to be guessed. A language's share of the tokenizer's text and of the training goes by its number of lines to the
    power of `smoothing`; with 1 it is its share of the corpus. AfriBERTa smoothed with 0.3 for the tokenizer alone, and
    trained on batches of one language each; here batches are mixed, since they are small.

    Lines of fewer than `least_words` words are left out, as AfriBERTa did; a language that has no others keeps them, as
    some are written without spaces. `held_out` is the share of lines that is never trained on. `neighbours` is the head
    start of `initialisation.look_at_neighbours`, which the sample family has too.
    """

    width: int = 192
    vocabulary: int = 16_000
    updates: int = 2_500
    batch_size: int = 96
    max_length: int = 128
    learning_rate: float = 8e-4
    rate: float = 0.15
    smoothing: float = 0.3
    held_out: float = 0.01
    least_words: int = 6
    neighbours: bool = True
    seed: int = 1
    languages: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        require_counts(self, "width", "vocabulary", "updates", "batch_size", "max_length", "least_words", "seed")
        for field in ("learning_rate", "rate", "held_out"):
            require_small(self, field)
        below = max(2, self.width // HEADS) * HEADS
        require(
            self.width % HEADS == 0 and self.width >= 2 * HEADS,
            f"Family's width is divided among {HEADS} heads, at least two numbers to each, which {self.width} "
            f"cannot be. Take {below} or {below + HEADS}.",
        )
        require(3 <= self.max_length <= 512, f"Family's max_length is from 3 to 512 tokens; it is {self.max_length}.")
        require(
            is_number(self.smoothing) and 0 <= self.smoothing <= 1,
            f"Family's smoothing is a power from 0 to 1; it is {self.smoothing!r}.",
        )
        object.__setattr__(self, "smoothing", float(self.smoothing))
        if self.languages is not None:
            require(
                isinstance(self.languages, (tuple, list)) and len(self.languages) > 0,
                "Family's languages is a list of at least one language, or None for all of the corpus; "
                f"it is {self.languages!r}.",
            )
            object.__setattr__(self, "languages", tuple(sorted(set(self.languages))))

    def shape(self, size: str, *, vocabulary: int) -> Encoder:
        """The shape of a size, with the vocabulary that its tokenizer has."""
        return Encoder(size, DEPTHS[size], HEADS, self.width, 4 * self.width, vocabulary)
