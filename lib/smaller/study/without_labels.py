"""What the records keep of text without labels, as tables: what taggers do with it, and how well it is guessed."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from smaller.data.languages import name_of
from smaller.data.sets import UNLABELLED, EvaluationSet, set_of
from smaller.study.recipes import Recipe
from smaller.study.results import read
from smaller.study.unlabelled import agreement

DENSE, OWN = "dense", "own test set"
"""The group of recipes that all others are beside, and the text that a model was made for."""

MEASURES = {"confidence": "mean confidence in points", "tagged": "words in entities (%)"}
MEASURES |= {"agreement": "agreement with the dense model, span F1 in points"}
"""What can be said of text without labels."""

_HEADINGS = {"unknown_pieces": "unknown tokens (%)", "pseudo_perplexity": "pseudo-perplexity of a token"}
_HEADINGS |= {"word_perplexity": "perplexity of a word", "bits_per_character": "bits per character"}


def texts(table: pd.DataFrame, recipes: Mapping[str, Iterable[Recipe]]) -> pd.DataFrame:
    """What each model does with text without labels: `MEASURES` by model and text; agreement is with the dense one.

    `table` is what `findings.robustness.by_model` makes, and `recipes` are those of its models.
    """
    rows = table[table["noise"] == UNLABELLED]
    own, dataset, language = rows["trained_on"].str.rpartition("/")[2], rows["dataset"], rows["language"]
    elsewhere = language.map(name_of) + " (" + dataset + ")"
    text = (dataset + ", same language").where(language == own, elsewhere).mask(rows["home"].astype(bool), OWN)
    rows = rows.assign(place=dataset + "/" + language, text=text, language=own)
    dense, agreements = {recipe.fine_tuning: _tags(recipe) for recipe in recipes.get(DENSE, ())}, []
    for model, recipe in ((model, one) for model, every in recipes.items() if model != DENSE for one in every):
        tuning, known = recipe.fine_tuning, dense.get(recipe.fine_tuning, {})
        for place, tags in _tags(recipe).items():
            if place in known:
                agreements.append((model, tuning.language, tuning.seed, place, agreement(tags, known[place])))
    key = ["model", "language", "seed", "place"]
    agreed = pd.DataFrame(agreements, columns=[*key, "agreement"])
    return rows[[*key, "text", "confidence", "tagged"]].merge(agreed, on=key, how="left")


def _tags(recipe: Recipe) -> dict[str, dict]:
    """What the record of a recipe keeps of each text without labels, by data set and language."""
    places = ((set_of(key), found) for key, found in (read(recipe) or {"scores": {}})["scores"].items())
    return {f"{place.dataset}/{place.language}": found for place, found in places if place.kind == UNLABELLED}


def guessing(untuned: Mapping[tuple[str, str], Sequence[Recipe]], texts: Mapping[str, EvaluationSet]) -> pd.DataFrame:
    """How well the masked-language model of each stage guesses held-out text (`study.unlabelled.pseudo_perplexity`)."""
    rows = []
    for (language, stage), recipes in untuned.items():
        for recipe in recipes:
            found = (read(recipe) or {"scores": {}})["scores"].get(texts[language].key)
            if found:
                told = [found["pieces"] / found["words"], *(found[name] for name in _HEADINGS)]
                rows.append([recipe.encoder, name_of(language), stage, *told])
    return pd.DataFrame(rows, columns=["encoder", "language", "stage", "tokens per word", *_HEADINGS.values()])
