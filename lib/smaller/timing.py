"""Latency of a study's models, side by side, written into their records; and what each of them says of a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from torch import Tensor

from smaller import cost, results
from smaller.data import splits
from smaller.data.encoding import encode
from smaller.encoders import Model
from smaller.errors import SmallerError
from smaller.evaluation import predict
from smaller.jobs import home_sets, materialise
from smaller.recipes import Recipe


def time_side_by_side(
    recipes: Sequence[Recipe], *, sentences: int = 24, rounds: int = 7, sparse_from: float = 0.5
) -> float:
    """Measure latency for recipes of one language side by side, write it into their records, return the noise floor.

    The first recipe is timed twice as if it were two models (A/A); the floor is the largest share by which the two
    differ. Models pruned to at least `sparse_from` are also timed on a sparse kernel. Sentences are drawn from the test
    split, evenly over the lengths. Recipes whose records hold a latency already are not timed again.
    """
    recipes = list(dict.fromkeys(recipes))
    records = {recipe: results.read(recipe) for recipe in recipes}
    if any(record is None for record in records.values()):
        raise SmallerError("Latency is measured on finished recipes; run() them first.")
    if all(record["cost"]["latency"] for record in records.values()):
        return records[recipes[0]]["cost"]["latency"]["noise_floor"]
    models = {recipe.identity: materialise(recipe)[0] for recipe in recipes}
    first = models[recipes[0].identity]
    rows = test_rows(recipes[0], first, count=sentences)
    sparse = {
        f"sparse {name}": cost.with_sparse_kernels(model)
        for name, model in models.items()
        if model.masks and cost.masked_share(model) >= sparse_from
    }
    timed = cost.latency({"again": first.copy()} | models | sparse, rows, rounds=rounds)
    floor = cost.noise_floor(timed[recipes[0].identity], timed["again"])
    for recipe, record in records.items():
        record["cost"]["latency"] = timed[recipe.identity] | {
            "noise_floor": floor,
            "sentences": len(rows),
            "sparse_kernel": timed.get(f"sparse {recipe.identity}"),
        }
        results.write(record)
    return floor


def kernel_times(recipes: Iterable[Recipe]) -> pd.DataFrame:
    """The dense and the sparse kernel's times of recipes that have both, one row for each recipe and kernel."""
    rows = []
    for recipe in recipes:
        record = results.read(recipe)
        timing = record["cost"]["latency"] if record else None
        if timing and timing["sparse_kernel"]:
            for kernel, found in (("dense", timing), ("sparse", timing["sparse_kernel"])):
                rows.append({
                    "sparsity": record["cost"]["achieved_sparsity"],
                    "kernel": kernel,
                    "milliseconds": found["milliseconds"],
                    "milliseconds_low": found["low"],
                    "milliseconds_high": found["high"],
                })  # fmt: skip
    return pd.DataFrame(rows, columns=["sparsity", "kernel", "milliseconds", "milliseconds_low", "milliseconds_high"])


def test_rows(recipe: Recipe, model: Model, *, count: int) -> list[Tensor]:
    """Piece ids of `count` sentences of the recipe's test split, spread evenly over the lengths that occur."""
    encoded = encode(home_sets(recipe)[-1].sentences(), model.tokenizer, model.labels)
    order = np.argsort(encoded.lengths, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]
    return [encoded.pieces[row] for row in chosen]


def training_curves(recipes: Iterable[Recipe]) -> Iterator[tuple[Recipe, list[float], int]]:
    """The loss curve of each recipe's last training step, with the number of updates between two points."""
    for recipe in recipes:
        record = results.read(recipe)
        reports = [step["report"] for step in record["steps"] if "loss_curve" in step["report"]] if record else []
        if reports:
            yield recipe, reports[-1]["loss_curve"], reports[-1]["loss_curve_stride"]


def predictions(recipes: Mapping[str, Recipe], dataset: str, language: str, *, place: int = 0) -> pd.DataFrame:
    """The tags that models give one test sentence, a column each, beside the words and the gold tags.

    `place` counts through the test sentences of at most 16 words that hold two entities or more.
    """
    sentences = splits.sentences(dataset, language, "test")
    short = [s for s in sentences if len(s.words) <= 16 and sum(tag[0] == "B" for tag in s.tags) > 1] or sentences
    sentence = short[place % len(short)]
    columns = {"word": sentence.words, "gold": sentence.tags}
    for name, recipe in recipes.items():
        model, _ = materialise(recipe)
        encoded = encode([sentence], model.tokenizer, model.labels)
        columns[name] = predict(model, encoded, [sentence])[0][0]
    return pd.DataFrame(columns)
