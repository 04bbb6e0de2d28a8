"""Answers on confidence: whether models, dense and compressed, know when noise or strange text misleads them.

`table` is what `robustness.by_model` makes of the tidy tables of a study.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd

from smaller.data.sets import UNLABELLED, set_of
from smaller.findings.cells import give_or_take, in_points
from smaller.findings.robustness import DENSE, PAIR, TYPING, beside_dense, under_noise
from smaller.findings.words import count_of, name_of
from smaller.recipes import Recipe
from smaller.results import read
from smaller.statistics import of_split
from smaller.unlabelled import agreement

OWN, NOISE, ELSEWHERE = "own test set", "under noise", "other languages"
MEASURES = {"confidence": "mean confidence in points", "tagged": "words in entities (%)",
            "agreement": "agreement with the dense model, span F1 in points"}  # fmt: skip
"""What can be said of text without labels."""


def calibration(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """Expected calibration error by model, language and seed: columns `place` (`OWN`, `NOISE`, `ELSEWHERE`), `error`.

    Of noise the mean over kinds of typing noise at their strongest; of other languages that over labelled test sets.
    """
    noisy = under_noise(table, split=split)
    noisy = noisy[noisy["strongest"] & noisy["noise"].isin(TYPING)]
    rows = of_split(table, split)
    away = rows[(rows["noise"] == "") & (rows["language"] != rows["trained_on"].str.rpartition("/")[2])]
    away = away.assign(language=away["trained_on"].str.rpartition("/")[2])
    parts = {
        OWN: noisy.assign(error=noisy["clean_calibration"]),
        NOISE: noisy.assign(error=noisy["calibration_error"]),
        ELSEWHERE: away.assign(error=away["calibration_error"]),
    }
    means = [own.groupby(["model", *PAIR], sort=False, as_index=False)["error"].mean().assign(place=place)
             for place, own in parts.items()]  # fmt: skip
    return pd.concat(means, ignore_index=True)


def calibration_by_model(table: pd.DataFrame, *, split: str = "test") -> pd.DataFrame:
    """A row for each model: calibration error at home, under noise and in other languages, and against dense there."""
    errors = calibration(table, split=split)
    found = {place: beside_dense(own, "error") for place, own in errors.groupby("place", sort=False)}
    lines = []
    for model in dict.fromkeys(errors["model"]):
        line: dict[str, object] = {"model": model}
        for place, own in found.items():
            mean, change = own[model]
            line[place] = give_or_take(mean, 1)
            line[f"{place}, against dense"] = "–" if model == DENSE else give_or_take(change, 1, sign="+")
        lines.append(line | {"n": len(errors.loc[errors["model"] == model, PAIR].drop_duplicates())})
    return pd.DataFrame(lines)


def texts(table: pd.DataFrame, recipes: Mapping[str, Iterable[Recipe]]) -> pd.DataFrame:
    """What each model does with text whose labels are not looked at: a row for each model and text.

    `language` and `seed` are the model's, `text` says what it read, and the rest are the columns `MEASURES`; agreement
    is with the dense model of the same language and seed, and missing for that model itself.
    """
    rows = table[table["noise"] == UNLABELLED]
    sets = rows["dataset"] + "/" + rows["language"]
    own = rows["trained_on"].str.rpartition("/")[2]
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
    dense = {recipe.fine_tuning: _looks(recipe) for recipe in recipes[DENSE]}
    lines = []
    for model, own in recipes.items():
        for recipe in own if model != DENSE else ():
            tuning = recipe.fine_tuning
            for place, found in _looks(recipe).items():
                reference = dense.get(tuning, {}).get(place)
                if reference is not None:
                    lines.append({"model": model, "language": tuning.language, "seed": tuning.seed, "place": place,
                                  "agreement": agreement(found, reference)})  # fmt: skip
    return pd.DataFrame(lines, columns=["model", "language", "seed", "place", "agreement"])


def _looks(recipe: Recipe) -> dict[str, dict]:
    """The unlabelled scores of a recipe by data set and language."""
    places = ((set_of(key), found) for key, found in (read(recipe) or {"scores": {}})["scores"].items())
    return {f"{place.dataset}/{place.language}": found for place, found in places if place.noise == UNLABELLED}


def texts_by_model(found: pd.DataFrame, *, of: str) -> pd.DataFrame:
    """One of `MEASURES` by model and text, from `texts`: means over seeds with half their t interval."""
    places = list(dict.fromkeys(found.sort_values("text", key=lambda names: names != OWN, kind="stable")["text"]))
    cells = {text: beside_dense(found[found["text"] == text], of) for text in places}
    models = [model for model in dict.fromkeys(found["model"]) if any(model in own for own in cells.values())]
    return pd.DataFrame(
        {"model": model}
        | {text: give_or_take(own[model][0], 1) if model in own else "–" for text, own in cells.items()}
        for model in models
    )


def says_so(table: pd.DataFrame, *, split: str = "test") -> str:
    """Does confidence say that noise or strange text misleads the model, and does compression change that?"""
    errors = calibration(table, split=split)
    found = {place: beside_dense(own, "error") for place, own in errors.groupby("place", sort=False)}
    if any(DENSE not in found.get(place, {}) for place in (OWN, NOISE)):
        return "Calibration was not measured: the dense model has no confidence with its scores, clean and under noise."
    home, noise = (found[place][DENSE][0].mean for place in (OWN, NOISE))
    verdict = "does not say so" if noise > home + 1 else "falls with accuracy, as it should"
    away = f", and {found[ELSEWHERE][DENSE][0].mean:.1f} in other languages" if ELSEWHERE in found else ""
    text = (
        f"Where noise misleads the dense model, its confidence {verdict}: confidence and accuracy are {home:.1f} "
        f"points apart on clean text, {noise:.1f} under noise{away} (calibration error; zero is perfect)."
    )
    changes = {model: change for model, (_, change) in found[NOISE].items() if change.n}
    if not changes:
        return text
    worse = sum(change.known and change.low > 0 for change in changes.values())
    better = sum(change.known and change.high < 0 for change in changes.values())
    worst = max(changes, key=lambda model: changes[model].mean)
    return (
        f"{text} Under the same noise, of {count_of(len(changes), 'compressed model')} {worse} {_is(worse)} worse "
        f"calibrated than the dense model and {better} better, by the 95 % intervals of the paired difference; the "
        f"error of {worst} stands highest beside it: {in_points(changes[worst])}."
    )


def strangers(found: pd.DataFrame) -> str:
    """What the models make of text that they were not made for; `found` as from `texts`."""
    if found.empty or set(found["text"]) == {OWN}:
        return "Text of another kind or language was not read."
    dense = found[found["model"] == DENSE].groupby("text")[["confidence", "tagged"]].mean()
    others = dense.drop(index=OWN, errors="ignore")
    lowest = others["confidence"].idxmin()
    sentences = []
    if OWN in dense.index:
        sentences.append(
            f"The dense model is {dense.loc[OWN, 'confidence']:.1f} % sure of its tags on its own test set and "
            f"{others.loc[lowest, 'confidence']:.1f} % on what it is least sure of, {lowest}."
        )
    alike = found.dropna(subset="agreement").groupby(["model", "text"])["agreement"].mean().unstack()
    if len(alike) and OWN in alike:
        fallen = (alike[OWN] - alike.drop(columns=OWN).mean(axis="columns")).sort_values()
        least = fallen.index[-1]
        away = alike.drop(columns=OWN).mean(axis="columns")[least]
        sentences.append(
            f"Compressed models drift from it on such text: {least} agrees with the dense model to "
            f"{alike.loc[least, OWN]:.0f} points on the test set and {away:.0f} on strange text, the largest fall of "
            f"{count_of(len(fallen), 'compressed model')}."
        )
    return " ".join(sentences)


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
