"""Latency of a study's models, measured side by side and written into their records."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from torch import Tensor

from smaller import formats
from smaller.base.errors import SmallerError
from smaller.data.encoding import encode
from smaller.data.examples import Example, Sentence, Text
from smaller.encoders import TRAINED, Model
from smaller.encoders.device import device
from smaller.study import cost, results
from smaller.study.cost import Setting
from smaller.study.jobs import home_sets, materialise
from smaller.study.recipes import Recipe


def time_side_by_side(
    recipes: Sequence[Recipe],
    *,
    sentences: int = 24,
    rounds: int = 7,
    sparse_from: float = 0.5,
    settings: Sequence[Setting] = (),
    whole_split: bool = False,
    latency: Callable[..., dict[str, dict]] = cost.latency,
    machine: Callable[[str], str] = cost.machine,
) -> float:
    """Measure latency for recipes of one language side by side, write it into their records, return the noise floor.

    In each of the `settings` (default: batch 1 on one thread, or on the GPU) the first recipe is timed twice as if it
    were two models (A/A); the floor is the largest share by which the two differ, and that of the first setting is
    returned. In the first setting, models pruned to at least `sparse_from` are also timed on a sparse kernel. What is
    read are `sentences` of the test split, evenly over the lengths; with `whole_split` every network also goes through
    the whole split once, one sentence at a time on one thread. A format that runs on the processor alone is not timed
    in a GPU's settings.

    What these recipes were timed together before is not timed again, also where an earlier version did not measure the
    time end to end. If any of it is missing, all of them are timed: times are compared only within one run. What is
    measured is what `latency` gives, on the `machine` of a kind.
    """
    recipes = list(dict.fromkeys(recipes))
    settings = tuple(settings) or (Setting(device=device().type),)
    records = {recipe.identity: finished(recipe) for recipe in recipes}
    able = {setting: [recipe.identity for recipe in recipes if runs_on(setting.device, recipe)] for setting in settings}
    if not all(able.values()):
        raise SmallerError("There is nothing to time: no recipe was given, or none whose form runs on a GPU.")
    group = hashlib.sha256(" ".join(sorted(records)).encode()).hexdigest()[:16]
    known = [_entry(records[name], group, setting) for setting, names in able.items() for name in names]
    missing = not all(entry and (entry["seconds_per_split"] or not whole_split or not _alone(entry)) for entry in known)
    if missing:
        measured = _measure(recipes, able, sentences, rounds, sparse_from, whole_split, latency, machine)
        for name, found in measured.items():
            new = {_key(entry): entry for entry in ({"group": group} | entry for entry in found)}
            old = {_key(entry): entry for entry in entries(records[name])}
            records[name]["cost"]["latency_by_setting"] = list((old | new).values())
    for record in records.values():
        # What the table of results shows is the first setting of the run that was asked for last.
        shown = _entry(record, group, settings[0]) or record["cost"]["latency"]
        if missing or shown != record["cost"]["latency"]:
            record["cost"]["latency"] = shown
            results.write(record)
    return _entry(records[able[settings[0]][0]], group, settings[0])["noise_floor"]


def finished(recipe: Recipe) -> dict:
    """The recipe's record; an error if there is none."""
    record = results.read(recipe)
    if record is None:
        raise SmallerError(f"Cost is measured on finished recipes, and {recipe} is none; run() it first.")
    return record


def runs_on(kind: str, recipe: Recipe) -> bool:
    """Whether the recipe's format runs on a kind of device; some run on the processor wherever they are sent."""
    said = [step.columns().get("form") for step in recipe.steps]
    form = next(filter(None, reversed(said)), TRAINED)
    return kind == "cpu" or form in formats.FULL_PRECISION or not formats.reader(form).on_processor


def entries(record: dict) -> list[dict]:
    """What the record says of latency: one entry for each group of recipes timed together and each setting."""
    return record["cost"].get("latency_by_setting", [])


def _alone(setting: Mapping) -> bool:
    """Whether that is one sentence at a time on one thread, as the time of a whole split is told."""
    return (setting["batch"], setting["threads"]) == (1, 1)


def _key(entry: dict) -> tuple:
    return tuple(entry[name] for name in ("group", "batch", "threads", "device_type"))


def _entry(record: dict, group: str, setting: Setting) -> dict | None:
    return next((entry for entry in entries(record) if _key(entry) == (group, *dataclasses.astuple(setting))), None)


def _measure(
    recipes: Sequence[Recipe],
    able: Mapping[Setting, list[str]],
    count: int,
    rounds: int,
    sparse_from: float,
    whole_split: bool,
    latency: Callable[..., dict[str, dict]],
    machine: Callable[[str], str],
) -> dict[str, list[dict]]:
    """What the record of each recipe is to say of each setting."""
    models = {recipe.identity: materialise(recipe)[0] for recipe in recipes}
    split = home_sets(recipes[0])[-1].sentences()
    chosen = sample_of(split, models[recipes[0].identity], count=count)
    texts = [text_of(sentence) for sentence in chosen]
    sparse = {
        f"sparse {name}": cost.with_sparse_kernels(models[name])
        for name in next(iter(able.values()))
        if models[name].masks and models[name].form == TRAINED and cost.masked_share(models[name]) >= sparse_from
    }
    sample, whole = _tokens(models | sparse, chosen), _tokens(models, split) if whole_split else {}
    found: dict[str, list[dict]] = {name: [] for name in models}
    for setting, names in able.items():
        first, *others = names
        half = len(others) // 2
        # The copy runs half a round after its original: as far from it as the models that are compared with it.
        order = [first, *others[:half], "again", *others[half:], *sparse]
        every = models | sparse | {"again": models[first].copy()}
        rows = sample | {"again": sample[first]}
        timed = latency({name: every[name] for name in order}, rows, texts=texts, setting=setting, rounds=rounds)
        own = {name: models[name] for name in names}
        through = whole_split and _alone(vars(setting))
        passes = latency(own, whole, setting=setting, rounds=1) if through else {}
        shared = {
            "batch": setting.batch,
            "threads": setting.threads,
            "device_type": setting.device,
            "device": machine(setting.device),
            "noise_floor": cost.noise_floor(timed[first], timed["again"]),
            "sentences": len(chosen),
            "split_sentences": len(split) if through else None,
            "date": results.now(),
        }
        for name in names:
            seconds = passes[name]["total_by_round"][0] / 1000 if through else None
            kernel = timed.get(f"sparse {name}")
            found[name].append(timed[name] | shared | {"sparse_kernel": kernel, "seconds_per_split": seconds})
        sparse = {}  # a kernel is compared in the first setting alone
    return found


def _tokens(models: Mapping[str, Model], sentences: Sequence[Sentence]) -> dict[str, list[Tensor]]:
    """Each model reads the same sentences with its own tokenizer."""
    return {name: encode(sentences, model.tokenizer, model.labels).pieces for name, model in models.items()}


def sample_of(split: Sequence[Sentence], model: Model, *, count: int) -> list[Sentence]:
    """`count` sentences of a split, spread evenly over the lengths that occur in the model's tokens."""
    order = np.argsort(encode(split, model.tokenizer, model.labels).lengths, kind="stable")
    return [split[row] for row in order[np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)]]


def text_of(example: Example) -> str:
    """An example as text; of a sentence its words with a space between two of them."""
    return example.text if isinstance(example, Text) else " ".join(example.words)
