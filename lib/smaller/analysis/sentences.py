"""The test set as a sample: intervals over the sentences that models were scored on, by a paired bootstrap.

The intervals of `comparison` are over seeds, on one test set. These keep the models, and draw the sentences anew.
"""

import functools
import json
import math
import zlib

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

    Scores are averaged over seeds and languages in each of `DRAWS` draws, in which all models of a language have the
    same sentences. A seed counts where it has every language of the rows. n is the number of sentences; it is 0 where
    nothing was measured, and, with `LACKING` as its kind, where a record lacks counts.
    """
    return _interval(_cells(rows))


def paired(first: pd.DataFrame, second: pd.DataFrame) -> Interval:
    """The mean test score of `first` minus that of `second`, in what both were scored on; otherwise as `interval`.

    The paired bootstrap of Berg-Kirkpatrick et al. (2012), *An Empirical Investigation of Statistical Significance in
    NLP*.
    """
    return _interval(_cells(first), _cells(second))


def _cells(rows: pd.DataFrame) -> _Cells | None:
    """The counts of the models in the rows; None if one lacks them."""
    noise = rows.get("noise", pd.Series("", rows.index))
    own = rows[(rows["split"] == "test") & (noise.isna() | (noise == ""))]
    cells: _Cells = {}
    for row in own.drop_duplicates(["identity", "dataset", "language", "seed"]).itertuples():
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
    sums, sentences = np.zeros((len(sides), 1 + DRAWS)), 0
    for place in places:
        models = [[[_drawn(place, packed) for packed in side[place, seed]] for seed in seeds] for side in sides]
        first, *others = {truth for side in models for cell in side for truth, _ in cell}
        if others:
            raise SmallerError(
                f"The models that are compared on {place} were scored on different sentences: their records "
                "come from different versions of the data."
            )
        sentences += len(first)
        for total, side in zip(sums, models, strict=True):
            total += np.mean([np.mean([scores for _, scores in cell], axis=0) for cell in side], axis=0)
    means = sums / len(places)
    found = means[0] - means[1] if len(means) > 1 else means[0]
    low, high = np.quantile(found[1:], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(found[0]), float(low), float(high), sentences, KIND)


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
