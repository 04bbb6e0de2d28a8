"""A finished recipe as a shipped folder, with a card made from the records."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

from smaller.analysis.statistics import t_interval
from smaller.base.errors import SmallerError
from smaller.data import datasets, splits
from smaller.data.sets import set_of
from smaller.data.tasks import TASKS
from smaller.deploy.asking import no_recipe
from smaller.encoders import canonical, licence
from smaller.encoders.registry import ENCODERS, UNKNOWN
from smaller.formats.shipping import folder_bytes, ship
from smaller.study import cost, results, run
from smaller.study.jobs import materialise
from smaller.study.recipes import Recipe, recipe_from_canonical
from smaller.study.steps.quantization import Quantize


def ship_command(name: str, folder: Path | str, *, form: str = "") -> Iterator[str]:
    """The lines that `python -m smaller ship` prints while it writes a finished recipe's model to a folder.

    `name` is the recipe's identity, or enough of its first digits, or its label. With a format as `form` the model is
    quantized to it and scored first. What the cache no longer holds is trained again.
    """
    recipe = finished(name)
    if form:
        tuned = recipe.fine_tuning
        data = {"dataset": tuned.dataset, "language": tuned.language} if form == "openvino-int8" and tuned else {}
        recipe = recipe.then(Quantize(form, **data))
        yield f"scoring {recipe}"
        run([recipe], workers=1, say=lambda line: None)
    model, _ = materialise(recipe)
    place = ship(model, folder, card=card_of(recipe))
    yield f"{recipe}"
    yield f"{place}: {folder_bytes(place) / 1e6:,.2f} MB in the format {model.form}; README.md says how to use it"


def finished(name: str) -> Recipe:
    """The recipe of the one record whose identity begins with `name`, or whose label it is."""
    recipes = [recipe_from_canonical(record["recipe"]) for record in results.read_all()]
    found = [recipe for recipe in recipes if recipe.label == name] or [
        recipe for recipe in recipes if len(name) >= 4 and recipe.identity.startswith(name)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise SmallerError(f"{len(found)} finished recipes begin with {name!r}: give more digits.")
    names = [text for recipe in recipes for text in (recipe.identity, recipe.label)]
    raise no_recipe(name, names, count=len(recipes), folder=results.folder())


def card_of(recipe: Recipe) -> dict:
    """What the model card of a finished recipe says: data, scores with the interval over its seeds, cost, licence."""
    record = results.read(recipe)
    if record is None:
        raise SmallerError(f"{recipe} is not finished, so there is nothing to say of it; run() it first.")
    names = sorted({datasets.name_and_rest(key)[0] for key in record["inputs"] if not key.startswith("encoder/")})
    data = [datasets.dataset(name) for name in names]
    tuned = recipe.fine_tuning
    return {
        "title": f"{recipe.encoder} for {tuned.dataset}/{tuned.language}" if tuned else recipe.encoder,
        "languages": [tuned.language] if tuned else [],
        "recipe": recipe.label,
        "example": _example(tuned.language) if tuned else "",
        "data": [{"name": found.name, "licence": found.licence, "citation": found.citation} for found in data],
        "scores": list(_scores(record, _siblings(recipe))),
        "cost": _cost(record["cost"]),
        "licence": licence_of(recipe, data),
        "license": _license([_licence(recipe.encoder), *(found.licence for found in data)]),
        "base_model": _repository(recipe.encoder),
    }


def _example(language: str) -> str:
    """A sentence in the language from the embedded sample, which anybody may print; empty where it has none."""
    if language not in splits.languages("sample"):
        return ""
    return " ".join(splits.sentences("sample", language, "test")[0].words)


def _siblings(recipe: Recipe) -> list[dict]:
    """The records of recipes that differ from this one in their seeds alone, its own among them."""
    return [record for record in results.read_all() if _seedless(record["recipe"]) == _seedless(recipe.canonical())]


def _seedless(form: dict) -> str:
    steps = [{name: value for name, value in step.items() if name != "seed"} for step in form["steps"]]
    return canonical({"encoder": form["encoder"], "steps": steps})


def _scores(record: dict, siblings: list[dict]) -> Iterator[dict]:
    for key, scores in record["scores"].items():
        task = TASKS.get(datasets.dataset(set_of(key).dataset).task)
        if task is None or task.metric not in scores:  # a set whose labels nobody looked at
            continue
        found = [sibling["scores"][key][task.metric] for sibling in siblings if key in sibling["scores"]]
        interval = t_interval(found)
        yield {
            "set": key,
            "metric": task.metric_name,
            "score": scores[task.metric],
            "mean": interval.mean,
            "low": interval.low,
            "high": interval.high,
            "seeds": interval.n,
        }


def _cost(measured: dict) -> dict[str, str]:
    found = {"training": f"{measured['training_seconds']:,.0f} s"}
    timing = measured.get("latency") or {}
    if "milliseconds" in timing:
        said = cost.in_words(timing["milliseconds"], timing.get("end_to_end_milliseconds", math.nan))
        found["latency"] = f"{said} ({timing['protocol']})"
    return found


def licence_of(recipe: Recipe, data: list[datasets.Dataset]) -> str:
    """The licences of a recipe's encoder and of the data that it was made with."""
    parts = [
        f"Encoder {recipe.encoder}: {_licence(recipe.encoder)}.",
        *(f"Data {found.name}: {found.licence}." for found in data),
    ]
    if any(found.non_commercial for found in data):
        parts.append("The data allow non-commercial use only, and whoever uses the model has to heed that.")
    return " ".join(parts)


def _licence(encoder: str) -> str:
    try:
        return licence(encoder)
    except SmallerError:  # its folder is not here any more
        return UNKNOWN


_LICENSES = {
    "MIT": "mit",
    "Apache-2.0": "apache-2.0",
    "CC BY 4.0": "cc-by-4.0",
    "CC BY-SA 4.0": "cc-by-sa-4.0",
    "CC BY-NC 4.0": "cc-by-nc-4.0",
}
"""Licences by the hub's names, the strictest last."""


def _license(said: list[str]) -> str:
    """The hub's name of the strictest of the licences; empty where one is another, or unknown."""
    places = [next((place for place, name in enumerate(_LICENSES) if text.startswith(name)), None) for text in said]
    return "" if None in places else list(_LICENSES.values())[max(places)]


def _repository(encoder: str) -> str:
    """The encoder's name on the hub; empty for one that has none."""
    if encoder in ENCODERS:
        return ENCODERS[encoder].repository or ""
    return (
        encoder.split("@")[0] if re.fullmatch(r"[\w.-]+/[\w.-]+(@\S+)?", encoder) and not Path(encoder).exists() else ""
    )
