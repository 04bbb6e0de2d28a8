"""Text whose labels nobody looks at: how confident models are on it, and how far they agree with the dense model.

`table` is what `robustness.by_model` makes of the tidy tables of a study.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from smaller.comparison import AGREES, paired
from smaller.data.sets import UNLABELLED, set_of
from smaller.findings.finding import Finding, missing
from smaller.findings.robustness import DENSE, OWN, over_seeds
from smaller.findings.words import count_of, name_of
from smaller.recipes import Recipe
from smaller.results import read
from smaller.unlabelled import agreement

MEASURES = {"confidence": "mean confidence in points", "tagged": "words in entities (%)",
            "agreement": "agreement with the dense model, span F1 in points"}  # fmt: skip
"""What can be said of text without labels."""


def texts(table: pd.DataFrame, recipes: Mapping[str, Iterable[Recipe]]) -> pd.DataFrame:
    """What each model does with text whose labels are not looked at: a row for each model and text.

    `language` and `seed` are the model's, `text` says what it read, and the rest are the columns `MEASURES`. Agreement
    is with the dense model of the same language and seed; it is missing for that model itself, and where `recipes` has
    no record with tags.
    """
    rows = table[table["noise"] == UNLABELLED]
    sets, own = rows["dataset"] + "/" + rows["language"], rows["trained_on"].str.rpartition("/")[2]
    names = [text_name(place, trained) for place, trained in zip(sets, rows["trained_on"], strict=True)]
    rows = rows.assign(place=sets, text=names, language=own)
    kept = ["model", "language", "seed", "place", "text", "confidence", "tagged"]
    return rows[kept].merge(_agreements(recipes), on=["model", "language", "seed", "place"], how="left")


def text_name(place: str, trained_on: str) -> str:
    """What a text is to a model: its own test set, other text in its language, or another language."""
    dataset, _, language = place.rpartition("/")
    if place == trained_on:
        return OWN
    same = language == trained_on.rpartition("/")[2]
    return f"{dataset}, same language" if same else f"{name_of(language)} ({dataset})"


def _agreements(recipes: Mapping[str, Iterable[Recipe]]) -> pd.DataFrame:
    dense = {recipe.fine_tuning: _tags(recipe) for recipe in recipes.get(DENSE, ())}
    lines = [
        {"model": model, "language": recipe.fine_tuning.language, "seed": recipe.fine_tuning.seed, "place": place,
         "agreement": agreement(found, dense[recipe.fine_tuning][place])}
        for model, own in recipes.items() if model != DENSE
        for recipe in own if recipe.fine_tuning in dense
        for place, found in _tags(recipe).items() if place in dense[recipe.fine_tuning]
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=["model", "language", "seed", "place", "agreement"])


def _tags(recipe: Recipe) -> dict[str, dict]:
    """What the record of a recipe keeps of each text without labels, by data set and language."""
    places = ((set_of(key), found) for key, found in (read(recipe) or {"scores": {}})["scores"].items())
    return {f"{place.dataset}/{place.language}": found for place, found in places if place.noise == UNLABELLED}


def texts_by_model(found: pd.DataFrame, *, of: str) -> pd.DataFrame:
    """One of `MEASURES` by model and text, from `texts`: means over languages with their intervals over seeds."""
    places = sorted(dict.fromkeys(found["text"]), key=lambda text: text != OWN)
    cells = {text: over_seeds(found[found["text"] == text], of) for text in places}
    models = [model for model in dict.fromkeys(found["model"]) if any(model in own for own in cells.values())]
    return pd.DataFrame({"model": model} | {text: own.get(model) for text, own in cells.items()} for model in models)


def strangers(found: pd.DataFrame) -> Finding:
    """Are models less confident on text that they were not made for, and do they still agree there with the dense one?

    `found` is what `texts` gives; texts count alike.
    """
    own, strange = (found[(found["text"] == OWN) == here] for here in (True, False))
    dense = [rows[rows["model"] == DENSE] for rows in (strange, own)]
    if (sure := next(iter(paired(*dense, value="confidence")["comparison"]), None)) is None:
        return missing("texts of another kind or language")
    same = "as confident as" if sure.verdict == AGREES else "not shown to be less confident than"
    verb = {1: "more confident than", -1: "less confident than"}.get(sure.sign, same)
    alike = paired(strange, own, by=["model"], value="agreement").set_index("model")["comparison"]
    text = ""
    if len(alike):
        furthest = min(alike.index, key=lambda model: alike[model].interval.mean)
        less = sum(one.sign < 0 for one in alike)
        text = (f"{less} of {count_of(len(alike), 'compressed model')} {'is' if less == 1 else 'are'} shown to agree "
                f"less with it there. Agreement falls furthest for {furthest}: {alike[furthest]}.")  # fmt: skip
    return Finding(f"On strange text the dense model is {verb} on its own test set: {sure}.", text, quantity=sure,
                   values={"agreement": alike.to_dict()})  # fmt: skip
