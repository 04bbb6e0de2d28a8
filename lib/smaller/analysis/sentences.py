"""The test set as a sample: intervals over the sentences that models were scored on, by a paired bootstrap.

The intervals of `comparison` are over seeds, on one test set. These keep the models that there are, and draw the
sentences anew: another test set of the same size, from the same sources, would differ by as much.
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from smaller.analysis.statistics import Interval
from smaller.base.errors import SmallerError
from smaller.study import results
from smaller.study.evaluation import unpack

KIND = "bootstrap over sentences"
LACKING = "the records lack their sentences' counts"
"""What stands for `KIND` where a record is older than the counts: it stays valid, and has no such interval."""

DRAWS = 2000
_SEED = 17
_TRUTH = {"spans": 2, "tokens": 1, "classes": 0}
"""The column of `evaluation.BY_SENTENCE` that the data set itself gives."""

_Cells = dict[tuple[str, object], list["Counts"]]


@dataclass(frozen=True)
class Counts:
    """What a record keeps of each sentence of a split: `numbers` is of shape (columns, sentences).

    The columns are those of `evaluation.BY_SENTENCE[kind]`; `classes` are those that columns of classes refer to.
    """

    kind: str
    numbers: np.ndarray
    classes: tuple[str, ...] = ()

    @property
    def sentences(self) -> int:
        """The number of sentences, or texts."""
        return self.numbers.shape[1]

    def scores(self, weights: np.ndarray | None = None) -> np.ndarray:
        """The main score in points for each draw of sentences; of the split as it is, without `weights`.

        `weights`, of shape (draws, sentences), say how often each draw holds each sentence. The score is span F1, the
        accuracy of tokens, or macro F1 over the classes that occur, computed as `evaluation` does.
        """
        weights = np.ones((1, self.sentences), np.float32) if weights is None else weights
        if self.kind == "classes":
            return self._macro_f1(weights)
        # Sums of counts are exact in single precision up to 2**24.
        sums = (weights @ self.numbers.T.astype(np.float32)).astype(np.float64).T
        if self.kind == "tokens":
            right, every = sums
            return 100 * right / np.maximum(every, 1)
        right, predicted, gold = sums
        precision, recall = right / np.maximum(predicted, 1), right / np.maximum(gold, 1)
        return 100 * (2 * precision * recall / np.where(right > 0, precision + recall, 1))

    def _macro_f1(self, weights: np.ndarray) -> np.ndarray:
        true, predicted = self.numbers
        total, occurring = np.zeros(len(weights)), np.zeros(len(weights))
        for place in range(len(self.classes)):
            own = np.stack([(true == place) & (predicted == place), true == place, predicted == place])
            right, support, found = (weights @ own.T.astype(np.float32)).astype(np.float64).T
            total += 200 * right / np.maximum(support + found, 1)
            occurring += support + found > 0
        return total / np.maximum(occurring, 1)


def counts(record: Mapping | str, split: str = "test") -> Counts | None:
    """The counts by sentence of a record, or of the record with that identity, on a split of its own language.

    None where there is no such record, or where it is older than the counts.
    """
    record = results.of_identity(record) if isinstance(record, str) else record
    for key, scores in record["scores"].items() if record else ():
        if "by_sentence" in scores and key.endswith(f"/{split}"):
            return _counts(scores["by_sentence"])
    return None


def _counts(packed: Mapping) -> Counts:
    numbers = unpack(packed)
    return Counts(packed["kind"], numbers, tuple(packed.get("classes", ())))


def interval(rows: pd.DataFrame, *, split: str = "test", confidence: float = 0.95) -> Interval:
    """The mean score of the models in the rows of the tidy table, with its bootstrap interval over sentences.

    Scores are averaged over seeds and languages in each of `DRAWS` draws; all models of a language have the same
    sentences in each draw. A seed counts where it has every language of the rows. n is the number of sentences, over
    all languages; it is 0 where nothing was measured, and, with `LACKING` as its kind, where a record lacks counts.
    """
    return _interval([_cells(rows, split=split)], confidence=confidence)


def paired(first: pd.DataFrame, second: pd.DataFrame, *, split: str = "test", confidence: float = 0.95) -> Interval:
    """The mean score of `first` minus that of `second`, with its paired bootstrap interval over sentences.

    In each draw both models have the same sentences. Seeds and languages that only one of them has do not count;
    otherwise as in `interval`. The test is that of Berg-Kirkpatrick et al. (2012), *An Empirical Investigation of
    Statistical Significance in NLP*, as an interval.
    """
    return _interval([_cells(rows, split=split) for rows in (first, second)], confidence=confidence)


def _cells(rows: pd.DataFrame, *, split: str) -> _Cells | None:
    """The counts of the models in the rows, by place (data set, language, split) and seed; None if one lacks them."""
    own = rows[(rows["split"] == split) & (rows.get("noise", "") == "")]
    cells: _Cells = {}
    for row in own.drop_duplicates(["identity", "dataset", "language", "seed"]).itertuples():
        place = f"{row.dataset}/{row.language}/{split}"
        scores = (results.of_identity(row.identity) or {"scores": {}})["scores"].get(place, {})
        if "by_sentence" not in scores:
            return None
        cells.setdefault((place, row.seed), []).append(_counts(scores["by_sentence"]))
    return cells


def _interval(sides: list[_Cells | None], *, confidence: float = 0.95) -> Interval:
    """The interval of the one side's mean score, or of the first's minus the second's."""
    if None in sides:
        return Interval(math.nan, math.nan, math.nan, 0, confidence, LACKING)
    shared = set.intersection(*map(set, sides))
    places = sorted({place for place, _ in shared})
    by_seed: dict[object, set[str]] = {}
    for place, seed in shared:
        by_seed.setdefault(seed, set()).add(place)
    seeds = [seed for seed, found in by_seed.items() if len(found) == len(places)]
    if not seeds:
        return Interval(math.nan, math.nan, math.nan, 0, confidence, KIND)
    # The first value is that of the sentences as they are, the others are those of the draws.
    sums, sentences = np.zeros((len(sides), 1 + DRAWS)), 0
    for place in places:
        models = [[side[place, seed] for seed in seeds] for side in sides]
        number = _sentences_of_all(place, [one for side in models for cell in side for one in cell])
        drawn = _weights(place, number)
        for total, side in zip(sums, models, strict=True):
            total += np.mean([np.mean([one.scores(drawn) for one in cell], axis=0) for cell in side], axis=0)
        sentences += number
    means = sums / len(places)
    found = means[0] - means[1] if len(means) > 1 else means[0]
    tail = (1 - confidence) / 2
    low, high = np.quantile(found[1:], [tail, 1 - tail])
    return Interval(float(found[0]), float(low), float(high), sentences, confidence, KIND)


def _sentences_of_all(place: str, models: list[Counts]) -> int:
    """How many sentences the models were scored on; SmallerError unless all had the same, as pairs need to."""
    if len({(one.kind, _truth(one)) for one in models}) > 1:
        raise SmallerError(
            f"The models that are compared on {place} were scored on different sentences: their records "
            "come from different versions of the data."
        )
    return models[0].sentences


def _truth(one: Counts) -> tuple:
    """What the data set itself says of each sentence; of texts the names of their classes, whose order is a model's."""
    told = one.numbers[_TRUTH[one.kind]].tolist()
    return tuple(one.classes[place] for place in told) if one.classes else tuple(told)


@functools.lru_cache(maxsize=16)
def _weights(place: str, sentences: int) -> np.ndarray:
    """How often each draw holds each sentence, the same for all models of a place; shape (1 + `DRAWS`, sentences).

    Before the draws stand the sentences as they are, each once.
    """
    generator = np.random.default_rng([_SEED, zlib.crc32(place.encode())])
    drawn = generator.multinomial(sentences, np.full(sentences, 1 / sentences), size=DRAWS)
    return np.concatenate([np.ones((1, sentences)), drawn]).astype(np.float32)
