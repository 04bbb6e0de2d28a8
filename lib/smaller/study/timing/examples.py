"""What a study's models say of a sentence, and how they learned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pandas as pd

from smaller.data import splits
from smaller.data.examples import Sentence
from smaller.prediction.labels import labels_of, read
from smaller.study import results
from smaller.study.jobs import materialise
from smaller.study.recipes import Recipe


def training_curves(recipes: Iterable[Recipe]) -> Iterator[tuple[Recipe, list[float], int]]:
    """The loss curve of each recipe's last training step, with the number of updates between two points."""
    for recipe in recipes:
        record = results.read(recipe)
        reports = [step["report"] for step in record["steps"] if "loss_curve" in step["report"]] if record else []
        if reports:
            yield recipe, reports[-1]["loss_curve"], reports[-1]["loss_curve_stride"]


def curves(found: Mapping[str, Iterable[tuple[Recipe, list[float], int]]]) -> pd.DataFrame:
    """Learning curves of `training_curves` as a table: series, update, and loss (a mean of five neighbours)."""
    rows = []
    for name, own in found.items():
        for _, losses, stride in own:
            smooth = pd.Series(losses).rolling(5, center=True, min_periods=1).mean()
            rows.append(pd.DataFrame({"series": name, "update": np.arange(len(losses)) * stride, "loss": smooth}))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["series", "update", "loss"])


def telling(dataset: str, language: str) -> list[Sentence]:
    """The test sentences of at most 16 words that hold two entities or more; where there are none, all."""
    sentences = splits.sentences(dataset, language, "test")
    return [s for s in sentences if len(s.words) <= 16 and sum(tag[0] == "B" for tag in s.tags) > 1] or sentences


def predictions(recipes: Mapping[str, Recipe], dataset: str, language: str) -> pd.DataFrame:
    """The tags that models give the most `telling` test sentence, a column each, beside the words and the gold tags."""
    sentence = telling(dataset, language)[0]
    columns = {"word": sentence.words, "gold": sentence.tags}
    for name, recipe in recipes.items():
        model, _ = materialise(recipe)
        columns[name] = labels_of(model, read(model, [sentence]).probabilities)
    table = pd.DataFrame(columns)
    table.attrs["languages"] = {"word": language}  # a page says so, for whoever has it read aloud
    return table
