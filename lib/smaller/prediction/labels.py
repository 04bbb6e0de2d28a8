"""What a model says of every word, or text: the one way in which models are read, to be scored and to be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from smaller.data.encoding import IGNORED, Encoded, batch_of, encode, pad
from smaller.data.examples import Example, Text
from smaller.data.tokens import budget_batches
from smaller.encoders import Model
from smaller.encoders.device import device, placed
from smaller.encoders.folders import positions
from smaller.serving import answers


@dataclass(frozen=True)
class Reading:
    """What a model says of examples, whose words stand one after another; a text is as one word.

    `probabilities`, of shape (words, labels), are NaN for a word that was not read, and `sizes` the number of words of
    each example. `loss` is the mean cross-entropy over the words that have a label; `confidence` and `right` say for
    each of those, in no order, the probability of the predicted label and whether it is the true one.
    """

    encoded: Encoded
    probabilities: Tensor
    sizes: list[int]
    loss: float
    confidence: Tensor
    right: Tensor

    def split(self, words: Sequence) -> list[Sequence]:
        """What there is for all words, for each example by itself."""
        end = 0
        return [words[end : (end := end + size)] for size in self.sizes]


def read(model: Model, examples: Sequence[Example]) -> Reading:
    """Read examples as far as the model can: a sentence that is longer than its positions in overlapping parts.

    Of a text that is longer, and of such a word, the beginning is read; a word without any token is not read at all.
    """
    room = positions(model.network.config)
    encoded = encode(examples, model.tokenizer, model.labels, max_length=room, whole=True)
    return read_encoded(model, encoded, examples)


def read_encoded(model: Model, encoded: Encoded, examples: Sequence[Example]) -> Reading:
    """Read examples as they were encoded; words that this has cut off are not read.

    Products are in the precision of the weights, fp32 for a model as its training leaves it, so that a score tells a
    form from another and not bfloat16 from fp32; training alone is in mixed precision.
    """
    network = placed(model.network)
    sizes = [1 if isinstance(each, Text) else len(each.words) for each in examples]
    starts = torch.tensor([0, *sizes[:-1]]).cumsum(0).repeat_interleave(torch.tensor(encoded.parts))
    probabilities = torch.full((sum(sizes), len(model.labels)), torch.nan)
    confidences, rights = [], []
    total, labelled = 0.0, 0
    for rows in budget_batches(encoded.lengths):
        batch = batch_of(encoded, rows, padding=model.tokenizer.pad_token_id).to(device())
        with torch.inference_mode():
            logits = by_place(network(input_ids=batch.pieces, attention_mask=batch.mask).logits.float())
        labels = batch.labels[:, : logits.shape[1]]
        total += functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
        ).item()
        words = pad([encoded.words[row] for row in rows], value=-1)[:, : logits.shape[1]]
        firsts = words >= 0
        there = firsts.to(logits.device)
        found, truth = logits[there].softmax(-1).cpu(), labels[there].cpu()
        probabilities[(words + starts[rows.copy()][:, None])[firsts]] = found
        counted = truth != IGNORED
        labelled += int(counted.sum())
        confidence, best = found[counted].max(-1)
        confidences.append(confidence)
        rights.append(best == truth[counted])
    return Reading(encoded, probabilities, sizes, total / max(labelled, 1), torch.cat(confidences), torch.cat(rights))


def labels_of(model: Model, probabilities: Tensor) -> list[str]:
    """The likeliest label of each word, from probabilities of shape (words, labels); O where there are none."""
    return answers.likeliest(probabilities.numpy(), model.labels, model.unit)


def own_labels(model: Model) -> tuple[str, ...]:
    """The labels that a word, or a text, may have: of a tagger without those of special tokens."""
    return answers.own_labels(model.labels, model.unit)


def scheme(model: Model) -> str:
    """The scheme of a tagger's labels. Raises SmallerError if they do not go together."""
    return answers.scheme(model.labels)


def by_place(logits: Tensor) -> Tensor:
    """Logits of shape (sentences, places, labels); a classifier of texts has one place, the first token."""
    return logits if logits.ndim == 3 else logits[:, None]
