"""What a model does with text whose labels nobody knows: a tagger's tags, and how well a language model guesses it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from seqeval.metrics.sequence_labeling import get_entities
from torch import Tensor
from torch.nn import functional

from smaller.base.errors import SmallerError
from smaller.data.encoding import budget_batches, pad, piece_limit
from smaller.data.examples import Example, Sentence, Text
from smaller.data.schemes import as_bio, labels_of_words, scheme_of
from smaller.encoders import Model
from smaller.encoders.device import device, mixed_precision, placed
from smaller.prediction.labels import labels_of, read
from smaller.prediction.tagging import words_of
from smaller.study.evaluation import span_scores
from smaller.study.training import logits_at


def probabilities(model: Model, sentences: Sequence[Sentence]) -> list[Tensor]:
    """For each sentence the probability of each label for each word, of shape (words, labels).

    A word without any piece has NaN. Sentences are read as `evaluation.score` and `tagging.tag` read them.
    """
    reading = read(model, sentences)
    return reading.split(reading.probabilities)


def tags_of(model: Model, chances: Tensor) -> list[str]:
    """The likeliest label of each word; O where there is no prediction, as in scoring."""
    return labels_of(model, chances)


def look(model: Model, examples: Sequence[Example]) -> dict:
    """What a record keeps of text without labels; running text is cut into words as `tagging.words_of` does it.

    `confidence` is the mean probability of the predicted labels in points, `tagged` the share of words in entities in
    per cent. `tags` are the predictions, a line for each sentence with a digit for each word: the place of its label in
    `labels`. Of a masked-language model it is what `pseudo_perplexity` finds.
    """
    if not model.labels:
        return pseudo_perplexity(model, examples)
    if model.unit != "word":
        raise SmallerError("This model labels whole texts; what is looked at here are the tags of words.")
    if len(model.labels) > 36:
        raise SmallerError(f"A digit stands for a label, of which there can be 36; this model has {len(model.labels)}.")
    sentences = [_sentence(example) for example in examples]
    chances = probabilities(model, [sentence for sentence in sentences if sentence.words])
    rows = [tags_of(model, each) for each in chances]
    best = torch.cat([each.max(-1).values for each in chances])
    words = sum(map(len, rows))
    return {
        "confidence": 100 * float(best[~best.isnan()].mean()),
        "tagged": 100 * sum(tag != "O" for row in rows for tag in row) / words,
        "sentences": len(rows),
        "words": words,
        "labels": list(model.labels),
        "tags": ["".join(_DIGITS[model.labels.index(tag)] for tag in row) for row in rows],
    }


_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def _sentence(example: Example) -> Sentence:
    if not isinstance(example, Text):
        return example
    words = tuple(example.text[start:end] for start, end in words_of(example.text))
    return Sentence(words, ("O",) * len(words))


def agreement(found: dict, reference: dict) -> float:
    """How far two models tag the same text alike, in points: span F1 of one with the other's entities as the truth.

    Both are what `look` returned. NaN where the reference finds no entity.
    """
    truth, told = (_tags(each) for each in (reference, found))
    if not get_entities(truth):
        return float("nan")
    return span_scores(truth, told)["f1"]


def _tags(found: dict) -> list[list[str]]:
    rows = [[found["labels"][_DIGITS.index(digit)] for digit in row] for row in found["tags"]]
    return [list(as_bio(row, scheme_of(labels_of_words(found["labels"])))) for row in rows]


@dataclass(frozen=True)
class _Guess:
    """A piece to guess in a row, with what is hidden for it: up to `end`; and the countings that it belongs to."""

    row: int
    place: int
    end: int
    of_piece: bool
    of_word: bool

    @property
    def ends_word(self) -> bool:
        """Whether it is a word's last piece: of those there is one for each word."""
        return self.of_piece and self.of_word


def pseudo_perplexity(model: Model, examples: Sequence[Example], *, max_length: int = 128) -> dict:
    """How well a masked-language model guesses text that it has not seen, by every piece of it once.

    `pseudo_perplexity` is exp of the mean cross-entropy of the pieces, each hidden by itself (Salazar et al. 2020,
    *Masked Language Model Scoring*, section 2). It compares models of one vocabulary: where a word falls into more
    pieces, the rest of the word gives each of them away. `word_perplexity` and `bits_per_character` compare any: a
    piece is guessed with the later pieces of its word hidden too (Kauf and Ivanova 2023, *A Better Way to Do Masked
    Language Model Scoring*), so that a word's pieces multiply to its probability, whatever they are, and the sum is
    taken by word and by character without spaces. `unknown_pieces`, in per cent, says how much no vocabulary spells.
    """
    sentences = [sentence for sentence in map(_sentence, examples) if sentence.words]
    if not sentences:
        raise SmallerError("There is no text to guess: every line is empty.")
    encoding = model.tokenizer(
        [list(sentence.words) for sentence in sentences],
        is_split_into_words=True,
        truncation=True,
        max_length=piece_limit(model.tokenizer, max_length),
    )
    rows = [torch.tensor(row) for row in encoding["input_ids"]]
    guesses, characters, unknown = [], 0, 0
    for row, sentence in enumerate(sentences):
        places = encoding.word_ids(row)
        for start, end in _words(places):
            guesses += _guesses(row, start, end)
            characters += len(sentence.words[places[start]])
            unknown += int((rows[row][start:end] == model.tokenizer.unk_token_id).sum())
    lost = _cross_entropies(model, rows, guesses)
    pieces, words = (torch.tensor([getattr(guess, of) for guess in guesses]) for of in ("of_piece", "of_word"))
    count, word_count = int(pieces.sum()), sum(guess.ends_word for guess in guesses)
    return {
        "pseudo_perplexity": math.exp(float(lost[pieces].sum()) / count),
        "word_perplexity": math.exp(float(lost[words].sum()) / word_count),
        "bits_per_character": float(lost[words].sum()) / characters / math.log(2),
        "unknown_pieces": 100 * unknown / count,
        "sentences": len(rows),
        "pieces": count,
        "words": word_count,
        "characters": characters,
    }


def _cross_entropies(model: Model, rows: Sequence[Tensor], guesses: Sequence[_Guess]) -> Tensor:
    """Of each guess, in the order given; a row of pieces stands in as many rows of a batch as there are guesses."""
    network, padding = placed(model.network), model.tokenizer.pad_token_id
    lost = torch.zeros(len(guesses), dtype=torch.float64)
    for chosen in budget_batches(np.array([len(rows[guess.row]) for guess in guesses])):
        own = [guesses[index] for index in chosen]
        each = torch.arange(len(own))
        pieces = pad([rows[guess.row] for guess in own], value=padding)
        starts, ends = (torch.tensor([getattr(guess, end) for guess in own]) for end in ("place", "end"))
        columns = torch.arange(pieces.shape[1])
        hidden = (columns >= starts[:, None]) & (columns < ends[:, None])
        seen = torch.where(hidden, model.tokenizer.mask_token_id, pieces).to(device())
        with torch.inference_mode(), mixed_precision():
            states = network.base_model(input_ids=seen, attention_mask=(pieces != padding).to(device()))
            logits = logits_at(network, states.last_hidden_state[each, starts])
        found = functional.cross_entropy(logits.float().cpu(), pieces[each, starts], reduction="none")
        lost[torch.from_numpy(chosen.copy())] = found.double()
    return lost


def _words(places: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """Where each word begins and ends among the pieces of a row, from the number of the word at each piece."""
    start = None
    for place, word in enumerate([*places, None]):
        if start is not None and word != places[start]:
            yield start, place
            start = None
        if start is None and word is not None:
            start = place


def _guesses(row: int, start: int, end: int) -> Iterator[_Guess]:
    """What is guessed of a word; for its last piece nothing else is hidden, so that one guess serves both countings."""
    for place in range(start, end - 1):
        yield _Guess(row, place, place + 1, of_piece=True, of_word=False)
        yield _Guess(row, place, end, of_piece=False, of_word=True)
    yield _Guess(row, end - 1, end, of_piece=True, of_word=True)
