"""Scores of a model on a labelled split: span F1 as seqeval counts it, accuracy and macro F1, and the loss."""

from __future__ import annotations

import base64
import itertools
import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from seqeval.metrics.sequence_labeling import get_entities
from torch import Tensor

from smaller.base.errors import SmallerError
from smaller.data.examples import Example
from smaller.data.schemes import as_bio, from_bio, types_of
from smaller.data.tasks import NER, Task
from smaller.encoders import Model
from smaller.prediction.labels import labels_of, own_labels, read, scheme

CONFIDENCE_BINS = 15

BY_SENTENCE = {"spans": ("right", "predicted", "gold"), "tokens": ("right", "all"), "classes": ("true", "predicted")}
"""What a record keeps of each sentence, by the kind of the labels.

Of spans and of the tokens of a sentence these are counts; of a text the places of its true and of its predicted class
among the record's `classes`, where one more than the last place is a prediction that is none of them.
"""


_TRUTH = {"spans": 2, "tokens": 1, "classes": 0}
"""The column of `BY_SENTENCE` that the data set itself gives."""


def true_labels(sentences: Sequence[Example]) -> list[list[str]]:
    """The true labels: a tag for each word of a sentence, and one for a text."""
    return [list(each.labels) for each in sentences]


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


def pack(kind: str, columns: Sequence[Sequence[int]], *, classes: Sequence[str] = ()) -> dict:
    """The numbers of each sentence, as a record keeps them: about a kilobyte for 600 sentences.

    `columns` are those of `BY_SENTENCE[kind]`, one number a sentence. They lie one after another, as unsigned integers
    of one byte, or of two (little-endian) where one is too large, compressed by zlib and written in base64.
    """
    numbers = np.asarray(columns)
    number = "<u2" if numbers.size and numbers.max() > 255 else "u1"
    packed = base64.b64encode(zlib.compress(numbers.astype(number).tobytes(), 9)).decode("ascii")
    told = {"kind": kind, "columns": list(BY_SENTENCE[kind]), "number": number, "packing": "zlib, base64"}
    return told | {"numbers": packed} | ({"classes": list(classes)} if classes else {})


def unpack(packed: Mapping) -> np.ndarray:
    """The numbers that `pack` has packed, of shape (columns, sentences)."""
    try:
        raw = zlib.decompress(base64.b64decode(packed["numbers"], validate=True))
        return np.frombuffer(raw, packed["number"]).reshape(len(BY_SENTENCE[packed["kind"]]), -1).astype(np.int64)
    except (KeyError, TypeError, ValueError, zlib.error):
        raise SmallerError(
            "The counts by sentence of a record cannot be read: they are damaged, or of a later version."
        ) from None


@dataclass(frozen=True)
class Counts:
    """What a record keeps of each sentence of a split: `numbers` has the columns of `BY_SENTENCE[kind]`."""

    kind: str
    numbers: np.ndarray
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, packed: Mapping) -> Counts:
        """The counts that a record holds as `by_sentence`."""
        return cls(packed["kind"], unpack(packed), tuple(packed.get("classes", ())))

    @property
    def truth(self) -> tuple:
        """What the data set says of each sentence; of texts the names of their classes, whose order is a model's."""
        told = self.numbers[_TRUTH[self.kind]].tolist()
        return tuple(self.classes[place] for place in told) if self.classes else tuple(told)

    def scores(self, weights: np.ndarray | None = None) -> np.ndarray:
        """The main score in points for each draw of sentences; of the split as it is, without `weights`.

        `weights`, of shape (draws, sentences), say how often each draw holds each sentence. The score is span F1, the
        accuracy of tokens, or macro F1 over the classes that occur, computed as by `span_scores` and `class_scores`.
        """
        weights = np.ones((1, self.numbers.shape[1]), np.float32) if weights is None else weights
        counts = self.numbers
        if self.kind == "classes":
            true, predicted = (counts[:, None] == np.arange(len(self.classes))[:, None]).astype(int)
            counts = np.stack([true * predicted, true, predicted])
        # Sums of counts are exact in single precision up to 2**24.
        right, *others = (counts.astype(np.float32) @ weights.T).astype(np.float64)
        if self.kind == "tokens":
            return 100 * right / np.maximum(others[0], 1)
        predicted, gold = others
        if self.kind == "classes":
            occurring = np.maximum((predicted + gold > 0).sum(axis=0), 1)
            return (200 * right / np.maximum(predicted + gold, 1)).sum(axis=0) / occurring
        precision, recall = right / np.maximum(predicted, 1), right / np.maximum(gold, 1)
        return 100 * (2 * precision * recall / np.where(right > 0, precision + recall, 1))


def span_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], *, by_sentence: bool = False
) -> dict:
    """Micro-averaged span precision, recall and F1 in points, support, and the same for each entity type (seqeval).

    An I- tag that continues nothing opens an entity, as in conlleval and in both papers' scripts. With `by_sentence`
    the counts of each sentence are there too, packed.
    """
    true, told = (set(get_entities([list(row) for row in rows])) for rows in (gold, predicted))
    if not true:
        raise SmallerError("The split holds no entity, so F1 is not defined on it. Check its tag column.")
    # seqeval's report would find the spans ten times over: this is what it counts, from one look at each side.
    support, found, right = (Counter(kind for kind, _, _ in spans) for spans in (true, told, true & told))
    scores = _span_row(len(true), len(told), len(true & told)) | {
        "per_type": {kind: _span_row(support[kind], found[kind], right[kind]) for kind in sorted(support | found)}
    }
    if by_sentence:
        # seqeval counts words through all sentences, with one between two of them.
        starts = np.array([0, *itertools.accumulate(len(row) + 1 for row in gold)])
        columns = [np.histogram([first for _, first, _ in spans], starts)[0] for spans in (true & told, told, true)]
        scores["by_sentence"] = pack("spans", columns)
    return scores


def _span_row(support: int, found: int, right: int) -> dict:
    precision, recall = right / max(found, 1), right / max(support, 1)
    f1 = 2 * precision * recall / (precision + recall) if right else 0.0
    return {"precision": 100 * precision, "recall": 100 * recall, "f1": 100 * f1, "support": support}


def class_scores(gold: Sequence[str], predicted: Sequence[str], *, classes: Sequence[str]) -> dict:
    """Accuracy, macro F1, precision and recall in points, support, and the same for each class.

    Macro scores are plain means over the classes that occur among the true or the predicted labels, as scikit-learn has
    it; a class that is never predicted has precision 0. A prediction that is none of the classes is wrong.
    """
    if not gold:
        raise SmallerError("The split holds no label, so there is nothing to score.")
    support, found = Counter(gold), Counter(predicted)
    right = Counter(true for true, told in zip(gold, predicted, strict=True) if true == told)
    rows = {
        name: {
            "precision": 100 * right[name] / max(found[name], 1),
            "recall": 100 * right[name] / max(support[name], 1),
            "f1": 200 * right[name] / (support[name] + found[name]),
            "support": support[name],
        }
        for name in dict.fromkeys([*classes, *gold])
        if support[name] + found[name]
    }
    mean = {name: sum(row[name] for row in rows.values()) / len(rows) for name in ("precision", "recall", "f1")}
    return {
        "accuracy": 100 * right.total() / len(gold),
        "macro_f1": mean["f1"],
        "precision": mean["precision"],
        "recall": mean["recall"],
        "support": len(gold),
        "per_type": {name: row for name, row in rows.items() if row["support"]},
    }


def scores_of_labels(
    task: Task,
    true: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str]],
    *,
    classes: Sequence[str],
    by_sentence: bool = False,
) -> dict:
    """The task's scores of labels, one list of them for each sentence or text; spans are in BIO form."""
    if task.spans:
        return span_scores(true, predicted, by_sentence=by_sentence)
    flat = [[label for row in rows for label in row] for rows in (true, predicted)]
    scores = class_scores(*flat, classes=classes)
    if by_sentence and task.unit == "text":
        known = list(dict.fromkeys([*classes, *flat[0]]))
        place = {name: number for number, name in enumerate(known)}
        columns = [[place.get(name, len(known)) for name in names] for names in flat]
        scores["by_sentence"] = pack("classes", columns, classes=known)
    elif by_sentence:
        right = [sum(map(str.__eq__, *rows)) for rows in zip(true, predicted, strict=True)]
        scores["by_sentence"] = pack("tokens", [right, list(map(len, true))])
    return scores


def score(
    model: Model,
    sentences: Sequence[Example],
    *,
    task: Task = NER,
    types: Collection[str] | None = None,
    by_sentence: bool = False,
) -> dict:
    """Everything a record keeps of one evaluation set: the task's scores, loss, and what could not be read.

    The model reads as it does when it is used (`tagging`): sentences longer than its positions in parts, so that no
    word is truncated, and of longer texts the beginning. A word without any token of the model counts as tagged O. (The
    published script cuts sentences at 164 tokens, and leaves the words beyond out of both the gold and the predicted
    tags; in MasakhaNER 1.0 no entity is lost by that.)

    With `by_sentence` the counts of each sentence are there too, packed. `types` are the classes (entity types ...) of
    the set, where they may be fewer than the model's: spans of others do not count. Raises SmallerError for
    types that the model does not know, and for a model that labels words where the task has texts, or the other way.
    """
    if model.unit != task.unit:
        raise SmallerError(
            f"The model labels {model.unit}s, and the task {task.name} labels {task.unit}s: it cannot be scored on it."
        )
    labels = own_labels(model)
    spans = scheme(model) if task.spans else ""
    if spans == "none":
        raise SmallerError(
            f"The model's labels mark no spans ({', '.join(labels[:3])} ...), and those of the task {task.name} do: it "
            "cannot be scored on it."
        )
    known = set(types_of(labels) if spans else labels)
    unknown = sorted(set(types or ()) - known)
    if unknown:
        what = "entity types" if task.spans else "labels"
        raise SmallerError(
            f"The evaluation set has the {what} {', '.join(unknown)}, which the model does not "
            f"know; it was trained on {', '.join(sorted(known))}."
        )
    # The loss is that of the model's own labels, in the scheme that they are in.
    own = sentences if spans in ("", "bio") else [replace(s, tags=from_bio(s.tags, labels)) for s in sentences]
    reading = read(model, own)
    predicted = reading.split(labels_of(model, reading.probabilities))
    true = true_labels(sentences)
    if spans:
        predicted = [as_bio(row, spans) for row in predicted]
        if types is not None and set(types) < known:
            predicted = [[tag if tag[2:] in types else "O" for tag in row] for row in predicted]
    scores = scores_of_labels(task, true, predicted, classes=model.labels, by_sentence=by_sentence)
    return scores | {
        "loss": reading.loss,
        "calibration_error": calibration_error(reading.confidence, reading.right),
        "confidence": 100 * float(reading.confidence.mean()) if len(reading.confidence) else 0.0,
        "sentences": len(sentences),
        "truncated_words": reading.encoded.truncated_words,
        "words_without_pieces": reading.encoded.words_without_pieces,
    }
