"""Scores of a model on a labelled split: span F1 as seqeval counts it, accuracy and macro F1, and the loss."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence

import torch
from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import get_entities
from torch import Tensor
from torch.nn import functional

from smaller.data.encoding import IGNORED, Encoded, batch_of, budget_batches, encode
from smaller.data.examples import Example, Text
from smaller.data.tasks import NER, Task
from smaller.encoders import TRAINED, Model
from smaller.errors import SmallerError
from smaller.training import by_place, device, mixed_precision, placed

CONFIDENCE_BINS = 15


def predict(model: Model, encoded: Encoded, sentences: Sequence[Example]) -> tuple[list[list[str]], float]:
    """Tag every word of every sentence; also the mean cross-entropy over the words that have a label.

    Of a text it is one tag, the text's label. Words without a prediction (truncated, or without any piece) are tagged
    O, as in the published recipe. A model in the form of its training is run with bfloat16 products where the processor
    has them, any other one as it is.
    """
    return _predict(model, encoded, sentences)[:2]


def _predict(
    model: Model, encoded: Encoded, sentences: Sequence[Example]
) -> tuple[list[list[str]], float, Tensor, Tensor]:
    """Tags, loss, and for each labelled word the probability of its predicted label and whether it is the right one."""
    network = placed(model.network)
    confidences, rights = [], []
    tags = [["O"] * len(row) for row in true_labels(sentences)]
    total, words = 0.0, 0
    for rows in budget_batches(encoded.lengths):
        batch = batch_of(encoded, rows, padding=model.tokenizer.pad_token_id).to(device())
        with torch.inference_mode(), mixed_precision() if model.form == TRAINED else contextlib.nullcontext():
            logits = by_place(network(input_ids=batch.pieces, attention_mask=batch.mask).logits.float())
        labels = batch.labels[:, : logits.shape[1]]
        total += functional.cross_entropy(
            logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum"
        ).item()
        counted = labels != IGNORED
        words += int(counted.sum())
        confidence, best = logits.softmax(-1).max(-1)
        confidences.append(confidence[counted].cpu())
        rights.append((best == labels)[counted].cpu())
        best = best.cpu()
        for place, row in enumerate(rows):
            firsts = (encoded.words[row] >= 0).nonzero().flatten()
            for position in firsts.tolist():
                tags[row][int(encoded.words[row][position])] = model.labels[int(best[place, position])]
    return tags, total / max(words, 1), torch.cat(confidences), torch.cat(rights)


def true_labels(sentences: Sequence[Example]) -> list[list[str]]:
    """The true labels: a tag for each word of a sentence, and one for a text."""
    return [[each.label] if isinstance(each, Text) else list(each.tags) for each in sentences]


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


def class_scores(gold: Sequence[str], predicted: Sequence[str], *, classes: Sequence[str]) -> dict:
    """Accuracy, macro F1, precision and recall in points, support, and the same for each class.

    Macro scores are plain means over the classes that occur among the true or the predicted labels, as scikit-learn has
    it; a class that is never predicted has precision 0. A prediction that is none of the classes is wrong.
    """
    if not gold:
        raise SmallerError("The split holds no label, so there is nothing to score.")
    rows = {}
    for name in dict.fromkeys([*classes, *gold]):
        right = sum(true == told == name for true, told in zip(gold, predicted, strict=True))
        support, found = gold.count(name), predicted.count(name)
        if support + found:
            rows[name] = {
                "precision": 100 * right / max(found, 1),
                "recall": 100 * right / max(support, 1),
                "f1": 200 * right / (support + found),
                "support": support,
            }
    mean = {name: sum(row[name] for row in rows.values()) / len(rows) for name in ("precision", "recall", "f1")}
    return {
        "accuracy": 100 * sum(true == told for true, told in zip(gold, predicted, strict=True)) / len(gold),
        "macro_f1": mean["f1"],
        "precision": mean["precision"],
        "recall": mean["recall"],
        "support": len(gold),
        "per_type": {name: row for name, row in rows.items() if row["support"]},
    }


def score(
    model: Model,
    sentences: Sequence[Example],
    *,
    task: Task = NER,
    types: Collection[str] | None = None,
    max_length: int = 164,
) -> dict:
    """Everything a record keeps of one evaluation set: the task's scores, loss, and what the encoding had to leave out.

    `types` are the classes (entity types ...) that the set labels, where they may be fewer than the model's: of spans,
    what the model finds of others does not count, as it could not be right. Raises SmallerError for types that the
    model does not know, and for a model that labels words where the task has texts, or the other way.
    """
    if model.unit != task.unit:
        raise SmallerError(f"The model labels {model.unit}s, and the task {task.name} labels {task.unit}s: it cannot "
                           "be scored on it.")  # fmt: skip
    known = {label.removeprefix("B-").removeprefix("I-") for label in model.labels if label != "O"}
    unknown = sorted(set(types or ()) - known)
    if unknown:
        what = "entity types" if task.spans else "labels"
        raise SmallerError(f"The evaluation set has the {what} {', '.join(unknown)}, which the model does not "
                           f"know; it was trained on {', '.join(sorted(known))}.")  # fmt: skip
    encoded = encode(sentences, model.tokenizer, model.labels, max_length=max_length)
    predicted, loss, confidence, right = _predict(model, encoded, sentences)
    true = true_labels(sentences)
    if task.spans:
        if types is not None and set(types) < known:
            predicted = [[tag if tag[2:] in types else "O" for tag in row] for row in predicted]
        scores = span_scores(true, predicted)
    else:
        flat = ([label for row in rows for label in row] for rows in (true, predicted))
        scores = class_scores(*flat, classes=model.labels)
    return scores | {
        "loss": loss,
        "calibration_error": calibration_error(confidence, right),
        "confidence": 100 * float(confidence.mean()) if len(confidence) else 0.0,
        "sentences": len(sentences),
        "truncated_words": encoded.truncated_words,
        "words_without_pieces": encoded.words_without_pieces,
    }
