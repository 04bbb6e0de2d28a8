"""What a tagger does with sentences whose labels nobody knows: its tags, and how sure it is of them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
from seqeval.metrics.sequence_labeling import get_entities
from torch import Tensor

from smaller.data.encoding import batch_of, budget_batches, encode
from smaller.data.readers import Example, Sentence, Text
from smaller.encoders import TRAINED, Model
from smaller.errors import SmallerError
from smaller.evaluation import span_scores
from smaller.tagging import words_of
from smaller.training import device, mixed_precision


@torch.inference_mode()
def probabilities(model: Model, sentences: Sequence[Sentence], *, max_length: int = 164) -> list[Tensor]:
    """For each sentence the probability of each label for each word, of shape (words, labels).

    A word without a prediction (truncated, or without any piece) has NaN. Sentences are cut, and models are run, as
    `evaluation.score` does it.
    """
    encoded = encode(sentences, model.tokenizer, model.labels, max_length=max_length)
    network = model.network.to(device()).eval()
    found = [torch.full((len(sentence.words), len(model.labels)), torch.nan) for sentence in sentences]
    for rows in budget_batches(encoded.lengths):
        batch = batch_of(encoded, rows, padding=model.tokenizer.pad_token_id).to(device())
        with mixed_precision() if model.form == TRAINED else contextlib.nullcontext():
            logits = network(input_ids=batch.pieces, attention_mask=batch.mask).logits
        chances = logits.float().softmax(-1).cpu()
        for place, row in enumerate(rows):
            firsts = (encoded.words[row] >= 0).nonzero().flatten()
            found[row][encoded.words[row][firsts]] = chances[place, firsts]
    return found


def tags_of(model: Model, chances: Tensor) -> list[str]:
    """The likeliest label of each word; O where there is no prediction, as in scoring."""
    known = ~chances.isnan().any(-1)
    best = chances.nan_to_num(0).argmax(-1).tolist()
    return [model.labels[label] if there else "O" for label, there in zip(best, known.tolist(), strict=True)]


def look(model: Model, examples: Sequence[Example]) -> dict:
    """What a record keeps of text without labels; running text is cut into words as `tagging.words_of` does it.

    `confidence` is the mean probability of the predicted labels in points, `tagged` the share of words in entities in
    per cent. `tags` are the predictions, a line for each sentence with a digit for each word: the place of its label in
    `labels`.
    """
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
    return [[found["labels"][_DIGITS.index(digit)] for digit in row] for row in found["tags"]]
