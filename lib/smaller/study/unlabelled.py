"""What a model does with text whose labels nobody knows: a tagger's tags, and how well a language model guesses it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from seqeval.metrics.sequence_labeling import get_entities
from torch import Tensor
from torch.nn import functional

from smaller.base.errors import SmallerError
from smaller.data.encoding import pad, piece_limit
from smaller.data.examples import Example, Sentence, Text
from smaller.data.schemes import as_bio, labels_of_words, scheme_of
from smaller.data.text import as_sentence
from smaller.data.tokens import budget_batches
from smaller.encoders import Model
from smaller.encoders.device import device, placed
from smaller.prediction.labels import labels_of, read
from smaller.study.evaluation import span_scores
from smaller.study.training import logits_at


def probabilities(model: Model, sentences: Sequence[Sentence]) -> list[Tensor]:
    """For each sentence the probability of each label for each word, of shape (words, labels).

    A word without any token has NaN. Sentences are read as `evaluation.score` and `tagging.tag` read them.
    """
    reading = read(model, sentences)
    return reading.split(reading.probabilities)


def look(model: Model, examples: Sequence[Example]) -> dict:
    """What a record keeps of text without labels; running text is cut into words as `tagging` does it.

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
    rows = [labels_of(model, each) for each in chances]
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
    return as_sentence(example.text) if isinstance(example, Text) else example


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


def pseudo_perplexity(model: Model, examples: Sequence[Example], *, max_length: int = 128) -> dict:
    """How well a masked-language model guesses text that it has not seen, by every token of it once.

    `pseudo_perplexity` is exp of the mean cross-entropy of the tokens, each hidden by itself (Salazar et al. 2020,
    *Masked Language Model Scoring*, section 2). It compares models of one vocabulary: where a word falls into more
    tokens, the rest of the word gives each of them away. `word_perplexity` and `bits_per_character` compare any: a
    token is guessed with the later tokens of its word hidden too (Kauf and Ivanova 2023, *A Better Way to Do Masked
    Language Model Scoring*), so that a word's tokens multiply to its probability, whatever they are, and the sum is
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
        words = encoding.word_ids(row)
        guesses += _guesses(row, words)
        characters += sum(len(sentence.words[word]) for word in set(words) - {None})
        inside = torch.tensor([word is not None for word in words])
        unknown += int((rows[row][inside] == model.tokenizer.unk_token_id).sum())
    lost = _cross_entropies(model, rows, guesses)
    pieces, words = (torch.tensor([guess[part] for guess in guesses]) for part in ("of_piece", "of_word"))
    count, word_count = int(pieces.sum()), int((pieces & words).sum())
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


def _guesses(row: int, words: Sequence[int | None]) -> Iterator[dict]:
    """The tokens to guess in a row, from the number of the word at each; what is hidden for one goes up to `end`.

    For the last token of a word nothing else is hidden, so that one guess serves both countings; there is one a word.
    """
    for word, own in itertools.groupby(range(len(words)), key=words.__getitem__):
        if word is not None:
            *places, last = own
            for place in places:
                yield {"row": row, "place": place, "end": place + 1, "of_piece": True, "of_word": False}
                yield {"row": row, "place": place, "end": last + 1, "of_piece": False, "of_word": True}
            yield {"row": row, "place": last, "end": last + 1, "of_piece": True, "of_word": True}


def _cross_entropies(model: Model, rows: Sequence[Tensor], guesses: Sequence[dict]) -> Tensor:
    """Of each guess, in the order given; a row of tokens stands in as many rows of a batch as there are guesses."""
    network, padding = placed(model.network), model.tokenizer.pad_token_id
    lost = torch.zeros(len(guesses), dtype=torch.float64)
    for chosen in budget_batches(np.array([len(rows[guess["row"]]) for guess in guesses])):
        own = [guesses[index] for index in chosen]
        each = torch.arange(len(own))
        pieces = pad([rows[guess["row"]] for guess in own], value=padding)
        starts, ends = (torch.tensor([guess[end] for guess in own]) for end in ("place", "end"))
        columns = torch.arange(pieces.shape[1])
        hidden = (columns >= starts[:, None]) & (columns < ends[:, None])
        seen = torch.where(hidden, model.tokenizer.mask_token_id, pieces).to(device())
        with torch.inference_mode():
            states = network.base_model(input_ids=seen, attention_mask=(pieces != padding).to(device()))
            logits = logits_at(network, states.last_hidden_state[each, starts])
        found = functional.cross_entropy(logits.float().cpu(), pieces[each, starts], reduction="none")
        lost[torch.from_numpy(chosen.copy())] = found.double()
    return lost
