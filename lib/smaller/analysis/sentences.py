"""The test set as a sample: intervals over the sentences that models were scored on, by a paired bootstrap.

The intervals of `comparison` are over seeds, on one test set. These keep the models, and draw the sentences anew.
"""

import functools
import itertools
import json
import math
import zlib
from collections.abc import Iterable

import numpy as np
import pandas as pd

from smaller.analysis.statistics import CONFIDENCE, LACKING, Interval
from smaller.base.errors import SmallerError
from smaller.study import results
from smaller.study.evaluation import Counts

KIND = "bootstrap over sentences"
DRAWS = 2000
_SEED = 17
_Cells = dict[tuple[str, object], list[str]]
"""The packed counts of models by place (data set, language, split) and seed."""


def interval(rows: pd.DataFrame) -> Interval:
    """The mean test score of the models in the rows of the tidy table, with its bootstrap interval over sentences.

    Scores are averaged over models in each language and seed, then over seeds and languages, in each of `DRAWS` draws,
    in which all models of a language have the same sentences. A seed counts where it has all test sets of the rows. n
    is the number of sentences; it is 0 where nothing was measured, and, with `LACKING` as its kind, where a record
    lacks counts.
    """
    return _interval(_cells(rows.drop_duplicates(["identity", "dataset", "language", "seed", "split"])))


def paired(first: pd.DataFrame, second: pd.DataFrame) -> Interval:
    """The mean test score of `first` minus that of `second`, in what both were scored on; otherwise as `interval`.

    A row that stands in several pairs is given, and counts, as often, so that the mean is that of the pairs.

    The paired bootstrap of Berg-Kirkpatrick et al. (2012), *An Empirical Investigation of Statistical Significance in
    NLP*.
    """
    return _interval(_cells(first), _cells(second))


def _cells(rows: pd.DataFrame) -> _Cells | None:
    """The counts of the models in the rows; None if one lacks them."""
    noise = rows.get("noise", pd.Series("", rows.index))
    own = rows[(rows["split"] == "test") & (noise.isna() | (noise == ""))]
    cells: _Cells = {}
    for row in own.itertuples():
        place = f"{row.dataset}/{row.language}/test"
        scores = (results.of_identity(row.identity) or {"scores": {}})["scores"].get(place, {})
        if "by_sentence" not in scores:
            return None
        cells.setdefault((place, row.seed), []).append(json.dumps(scores["by_sentence"]))
    return cells


def _interval(*sides: _Cells | None) -> Interval:
    """The interval of the one side's mean score, or of the first's minus the second's."""
    if None in sides:
        return Interval(math.nan, math.nan, math.nan, 0, LACKING)
    shared = set.intersection(*map(set, sides))
    places = sorted({place for place, _ in shared})
    seeds = [seed for seed in {seed for _, seed in shared} if all((place, seed) in shared for place in places)]
    if not seeds:
        return Interval(math.nan, math.nan, math.nan, 0, KIND)
    # The first value is that of the sentences as they are, the others are those of the draws.
    sums = np.zeros((len(sides), 1 + DRAWS))
    language = {place: place.rsplit("/", 2)[1] for place in places}.get
    by_language = [list(own) for _, own in itertools.groupby(sorted(places, key=language), key=language)]
    for own, (total, side) in itertools.product(by_language, zip(sums, sides, strict=True)):
        scores = [[_drawn(place, model)[1] for place in own for model in side[place, seed]] for seed in seeds]
        total += np.mean([np.mean(models, axis=0) for models in scores], axis=0)
    means, cells = sums / len(by_language), list(itertools.product(sides, seeds))
    sentences = sum(_sentences(place, [one for side, seed in cells for one in side[place, seed]]) for place in places)
    found = means[0] - means[1] if len(means) > 1 else means[0]
    low, high = np.quantile(found[1:], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(found[0]), float(low), float(high), sentences, KIND)


def _sentences(place: str, models: Iterable[str]) -> int:
    """The number of sentences that all models were scored on; SmallerError if they are not the same."""
    if len(truths := {_drawn(place, packed)[0] for packed in models}) > 1:
        raise SmallerError(
            f"The models that are compared on {place} were scored on different sentences: their records come from "
            "different versions of the data."
        )
    return len(truths.pop())


@functools.lru_cache(maxsize=2048)
def _drawn(place: str, packed: str) -> tuple[tuple, np.ndarray]:
    """What is true of the sentences of a place, and a model's score on them as they are and in each of the draws."""
    counts = Counts.of(json.loads(packed))
    return counts.truth, counts.scores(_weights(place, counts.numbers.shape[1]))


@functools.lru_cache(maxsize=16)
def _weights(place: str, sentences: int) -> np.ndarray:
    """How often each draw holds each sentence, first each once; shape (1 + `DRAWS`, sentences), for all models."""
    generator = np.random.default_rng([_SEED, zlib.crc32(place.encode())])
    drawn = generator.multinomial(sentences, np.full(sentences, 1 / sentences), size=DRAWS)
    return np.concatenate([np.ones((1, sentences)), drawn]).astype(np.float32)
