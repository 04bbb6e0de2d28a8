"""What a classifier says of running text: entities or tags, with character offsets, or one label for a whole text."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from seqeval.metrics.sequence_labeling import get_entities
from torch import Tensor

from smaller.data.encoding import batch_of, budget_batches, encode
from smaller.data.examples import Sentence, Text
from smaller.encoders import TRAINED, Model
from smaller.errors import SmallerError
from smaller.training import by_place, device, mixed_precision, placed

_APOSTROPHES = "'’‘ʼ´`"


@dataclass(frozen=True)
class Entity:
    """An entity: its text and type, where it starts and ends in the sentence (characters), and its probability.

    For a model that tags words without spans, such as parts of speech, every word is one. The probability is the mean,
    over the entity's words, of what the model gives their tags.
    """

    text: str
    type: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Tagged:
    """A sentence with its entities in order, its number of words, and what may have gone wrong.

    `unknown` is the share of words with a piece that is not in the vocabulary, `windows` the number of parts in which
    the sentence was read because it is longer than the model's positions: 1 for a sentence that is not.
    """

    text: str
    entities: tuple[Entity, ...]
    words: int
    unknown: float = 0.0
    windows: int = 1


@dataclass(frozen=True)
class Classified:
    """A text with its label and the probability of each; an empty text has no label.

    `unknown` is the share of its words with a piece that is not in the vocabulary; `truncated` says that only its
    beginning was read, because it is longer than the model's positions.
    """

    text: str
    label: str
    score: float
    scores: dict[str, float]
    unknown: float = 0.0
    truncated: bool = False


def words_of(text: str) -> list[tuple[int, int]]:
    """Start and end of each word: runs of anything but white space, with punctuation and symbols split off.

    Each punctuation mark or symbol is a word of its own, also inside numbers and between letters, as in MasakhaNER
    (`12 - 3 . 5`); the Ethiopic ones (። ፣ ፡) are among them. Apostrophes stay within their word (n'ala, by’inshuti).
    """
    spans: list[tuple[int, int]] = []
    start = None
    for place, character in enumerate(text):
        alone = unicodedata.category(character)[0] in "PS" and character not in _APOSTROPHES
        if start is not None and (alone or character.isspace()):
            spans.append((start, place))
            start = None
        if alone:
            spans.append((place, place + 1))
        elif start is None and not character.isspace():
            start = place
    return spans if start is None else [*spans, (start, len(text))]


def positions(model: Model) -> int:
    """The pieces, special ones included, that the model can read at once."""
    config = model.network.config
    # The RoBERTa family counts positions from one after the padding piece's id.
    return config.max_position_embeddings - (0 if config.model_type == "bert" else config.pad_token_id + 1)


def windows(sizes: Sequence[int], *, room: int) -> Iterator[tuple[int, int, int, int]]:
    """Parts of a sentence of words of the given sizes in pieces: (first, last, kept from, kept to), ends excluded.

    Each part fits into `room` pieces; a word that does not is a part by itself, and will be cut. Parts overlap by a
    quarter, and what two of them read is kept from the one in which it is farther from the border.
    """
    first = kept = 0
    while True:
        last, used = first + 1, sizes[first]
        while last < len(sizes) and used + sizes[last] <= room:
            used += sizes[last]
            last += 1
        if last == len(sizes):
            yield first, last, kept, last
            return
        overlap = min((last - first) // 4, last - first - 1)
        until = last - overlap // 2
        yield first, last, kept, until
        first, kept = last - overlap, until


def tag(model: Model, sentences: Sequence[str]) -> list[Tagged]:
    """The entities of each sentence; an empty one has none. Raises SmallerError for a model without a classifier."""
    _require(model, "word", "it labels whole texts: use classify")
    spans = [words_of(text) for text in sentences]
    parts = []  # (sentence, first word, kept from, kept to) of each part
    texts: list[Sentence] = []
    for index, (text, words) in enumerate(zip(sentences, spans, strict=True)):
        if words:
            tokens = [text[start:end] for start, end in words]
            room = positions(model) - model.tokenizer.num_special_tokens_to_add()
            for first, last, kept_from, kept_to in windows(_sizes(model, tokens), room=room):
                parts.append((index, first, kept_from, kept_to))
                texts.append(Sentence(tuple(tokens[first:last]), ("O",) * (last - first)))
    tags = [["O"] * len(words) for words in spans]
    scores = [[1.0] * len(words) for words in spans]
    unknown: list[set[int]] = [set() for _ in spans]
    if texts:
        encoded = encode(texts, model.tokenizer, model.labels, max_length=positions(model))
        for part, (index, first, _, _) in enumerate(parts):
            word_of_piece = encoded.words[part].cummax(0).values
            strange = word_of_piece[encoded.pieces[part] == model.tokenizer.unk_token_id]
            unknown[index].update(first + int(word) for word in strange)
        for part, position, probabilities in _predictions(model, encoded):
            index, first, kept_from, kept_to = parts[part]
            word = first + int(encoded.words[part][position])
            if kept_from <= word < kept_to:
                best = int(probabilities.argmax())
                tags[index][word], scores[index][word] = model.labels[best], float(probabilities[best])
    return [
        Tagged(
            text,
            tuple(_entities(text, spans[index], _found(model, tags[index]), scores[index])),
            len(spans[index]),
            len(unknown[index]) / max(1, len(spans[index])),
            max(1, sum(part[0] == index for part in parts)),
        )
        for index, text in enumerate(sentences)
    ]


def _require(model: Model, unit: str, otherwise: str) -> None:
    if not model.labels:
        raise SmallerError("This model has no classifier, so it tags nothing: fine-tune it first.")
    if model.unit != unit:
        raise SmallerError(f"This model does not label {unit}s; {otherwise}.")


def classify(model: Model, texts: Sequence[str]) -> list[Classified]:
    """The label of each text. Raises SmallerError for a model without a classifier of texts."""
    _require(model, "text", "it labels words: use tag")
    given = [Text(unicodedata.normalize("NFC", text), "") for text in texts]
    kept = [place for place, text in enumerate(given) if text.words]
    found = [Classified(text, "", 0.0, {}) for text in texts]
    if kept:
        encoded = encode([given[place] for place in kept], model.tokenizer, model.labels, max_length=positions(model))
        for row, _, probabilities in _predictions(model, encoded):
            text, best = given[kept[row]], int(probabilities.argmax())
            sizes = model.tokenizer(list(text.words), add_special_tokens=False, verbose=False)["input_ids"]
            strange = sum(model.tokenizer.unk_token_id in pieces for pieces in sizes)
            found[kept[row]] = Classified(
                texts[kept[row]],
                model.labels[best],
                float(probabilities[best]),
                dict(zip(model.labels, probabilities.tolist(), strict=True)),
                strange / len(text.words),
                len(encoded.pieces[row]) >= positions(model),
            )
    return found


def _sizes(model: Model, words: Sequence[str]) -> list[int]:
    """The number of pieces of each word; none for a word that the tokenizer drops."""
    encoding = model.tokenizer(list(words), is_split_into_words=True, add_special_tokens=False,
                               return_attention_mask=False, verbose=False)  # fmt: skip
    sizes = [0] * len(words)
    for word in encoding.word_ids():
        sizes[word] += 1
    return sizes


def _predictions(model: Model, encoded) -> Iterator[tuple[int, int, Tensor]]:
    """Row, position and label probabilities of every word's first piece."""
    network = placed(model.network)
    for rows in budget_batches(encoded.lengths):
        batch = batch_of(encoded, rows, padding=model.tokenizer.pad_token_id).to(device())
        with torch.inference_mode(), mixed_precision() if model.form == TRAINED else contextlib.nullcontext():
            logits = by_place(network(input_ids=batch.pieces, attention_mask=batch.mask).logits)
        probabilities = logits.float().softmax(-1).cpu()
        for place, row in enumerate(rows):
            for position in (encoded.words[row] >= 0).nonzero().flatten().tolist():
                yield int(row), position, probabilities[place, position]


def _found(model: Model, tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Type, first and last word of each entity; without spans, each word that has a tag."""
    if "O" in model.labels:
        return get_entities(list(tags))
    return [(tag, place, place) for place, tag in enumerate(tags) if tag != "O"]


def _entities(
    text: str, spans: Sequence[tuple[int, int]], found: Sequence[tuple[str, int, int]], scores: Sequence[float]
) -> Iterator[Entity]:
    for kind, first, last in found:
        start, end = spans[first][0], spans[last][1]
        yield Entity(text[start:end], kind, start, end, sum(scores[first : last + 1]) / (last - first + 1))
