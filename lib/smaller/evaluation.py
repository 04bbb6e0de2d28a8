"""Scores of a model on a labelled split: span F1 as seqeval counts it, and the loss."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import get_entities
from torch import Tensor
from torch.nn import functional

from smaller.data.encoding import IGNORED, Encoded, batch_of, budget_batches, encode
from smaller.data.readers import Sentence
from smaller.encoders import TRAINED, Model
from smaller.errors import SmallerError
from smaller.training import device, mixed_precision

CONFIDENCE_BINS = 15


def predict(model: Model, encoded: Encoded, sentences: Sequence[Sentence]) -> tuple[list[list[str]], float]:
    """Tag every word of every sentence; also the mean cross-entropy over the words that have a label.

    Words without a prediction (truncated, or without any piece) are tagged O, as in the published recipe. A model in
    the form of its training is run with bfloat16 products where the processor has them, any other one as it is.
    """
    return _predict(model, encoded, sentences)[:2]


@torch.inference_mode()
def _predict(
    model: Model, encoded: Encoded, sentences: Sequence[Sentence]
) -> tuple[list[list[str]], float, Tensor, Tensor]:
    """Tags, loss, and for each labelled word the probability of its predicted label and whether it is the right one."""
    network = model.network.to(device()).eval()
    confidences, rights = [], []
    tags = [["O"] * len(sentence.words) for sentence in sentences]
    total, words = 0.0, 0
    for rows in budget_batches(encoded.lengths):
        batch = batch_of(encoded, rows, padding=model.tokenizer.pad_token_id).to(device())
        with mixed_precision() if model.form == TRAINED else contextlib.nullcontext():
            logits = network(input_ids=batch.pieces, attention_mask=batch.mask).logits.float()
        total += functional.cross_entropy(
            logits.flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORED, reduction="sum"
        ).item()
        counted = batch.labels != IGNORED
        words += int(counted.sum())
        confidence, best = logits.softmax(-1).max(-1)
        confidences.append(confidence[counted].cpu())
        rights.append((best == batch.labels)[counted].cpu())
        best = best.cpu()
        for place, row in enumerate(rows):
            firsts = (encoded.words[row] >= 0).nonzero().flatten()
            for position in firsts.tolist():
                tags[row][int(encoded.words[row][position])] = model.labels[int(best[place, position])]
    return tags, total / max(words, 1), torch.cat(confidences), torch.cat(rights)


def calibration_error(confidence: Tensor, right: Tensor) -> float:
    """Expected calibration error in points: how far confidence and accuracy are apart, on average over words.

    Words are put into bins of equal width by their confidence (Guo et al. 2017, *On Calibration of Modern Neural
    Networks*, equation 3). `confidence` and `right` have one value for each word.
    """
    if not len(confidence):
        return 0.0
    bins = (confidence * CONFIDENCE_BINS).ceil().clamp(1, CONFIDENCE_BINS).long() - 1
    gap = torch.zeros(CONFIDENCE_BINS, dtype=torch.float64)
    gap.index_add_(0, bins, confidence.double() - right.double())
    return 100 * float(gap.abs().sum()) / len(confidence)


def span_scores(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict:
    """Micro-averaged span precision, recall and F1 in points, support, and the same for each entity type (seqeval).

    An I- tag that continues nothing opens an entity, as in conlleval and in both papers' scripts.
    """
    if not any(get_entities([list(row) for row in gold])):
        raise SmallerError("The split holds no entity, so F1 is not defined on it. Check its tag column.")
    rows = classification_report([list(row) for row in gold], [list(row) for row in predicted],
                                 output_dict=True, zero_division=0)  # fmt: skip
    scores = {
        name: {
            "precision": 100 * float(row["precision"]),
            "recall": 100 * float(row["recall"]),
            "f1": 100 * float(row["f1-score"]),
            "support": int(row["support"]),
        }
        for name, row in rows.items()
        if name not in ("macro avg", "weighted avg")
    }
    return scores.pop("micro avg") | {"per_type": scores}


def score(
    model: Model, sentences: Sequence[Sentence], *, types: Sequence[str] | None = None, max_length: int = 164
) -> dict:
    """Everything a record keeps of one evaluation set: span scores, loss, and what the encoding had to leave out.

    `types` are the entity types that the set labels, where they may be fewer than the model's: what the model finds of
    others does not count, as it could not be right. Types that the model does not know are an error.
    """
    known = {label[2:] for label in model.labels if label != "O"}
    unknown = sorted(set(types or ()) - known)
    if unknown:
        raise SmallerError(f"The evaluation set has the entity types {', '.join(unknown)}, which the model does not "
                           f"know; it was trained on {', '.join(sorted(known))}.")  # fmt: skip
    encoded = encode(sentences, model.tokenizer, model.labels, max_length=max_length)
    predicted, loss, confidence, right = _predict(model, encoded, sentences)
    if types is not None and set(types) < known:
        predicted = [[tag if tag[2:] in types else "O" for tag in row] for row in predicted]
    return span_scores([sentence.tags for sentence in sentences], predicted) | {
        "loss": loss,
        "calibration_error": calibration_error(confidence, right),
        "sentences": len(sentences),
        "truncated_words": encoded.truncated_words,
        "words_without_pieces": encoded.words_without_pieces,
    }
