"""The card of a shipped model: what it is, what it was made from, how good it is, what it costs, how to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import yaml
from jinja2 import Environment

from smaller import formats
from smaller.data.datasets import name_and_rest
from smaller.serving.folder import GRAPHS

_SENTENCE = "Wizkid yayi wasa a Lagos ranar Asabar."
"""The example's sentence, in Hausa, where the card brings none in the model's language."""


def filled(template: Path, **values: object) -> str:
    """A card in Markdown from its template."""
    made = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    return made.from_string(template.read_text(encoding="utf-8")).render(**values)


def model_card(about: Mapping, card: Mapping, *, name: str, shipped_bytes: int) -> str:
    """The card in Markdown, from what `smaller.json` says and from `card`, all of which is optional.

    `shipped_bytes` are those of all the other files of the folder.

    `title`, `languages` (codes), `licence` and `notes` are text or lists of it; `recipe` is one line; `example` is a
    sentence in the model's language; `data` rows have `name`, `licence` and `citation`; `scores` rows have `set`,
    `metric`, `score`, `seeds`, and `mean`, `low` and `high` where there is an interval; `cost` is what to say of each
    name; `base_model` and `license` are names that the hub has. What is not given is said to be not given.
    """
    return filled(
        Path(__file__).with_suffix(".md.j2"),
        about=about,
        front=yaml.safe_dump(metadata(about, card, name=name), sort_keys=False, allow_unicode=True),
        graphs=GRAPHS,
        card={"cost": {}} | dict(card),
        name=name,
        shipped_bytes=shipped_bytes,
        words=about["unit"] == "word",
        held=formats.FORMATS.get(about["form"], "weights in 32-bit floats"),
        example=json.dumps(card.get("example") or _SENTENCE, ensure_ascii=False),
    )


def metadata(about: Mapping, card: Mapping, *, name: str) -> dict:
    """What the hub reads of a card: task, languages, origin, licence, and the scores as its `model-index` has them."""
    task = "token-classification" if about["unit"] == "word" else "text-classification"
    graph = about["form"] in GRAPHS
    results = [
        {
            "task": {"type": task},
            "dataset": _dataset(row["set"]),
            "metrics": [
                {
                    "type": "accuracy" if row["metric"] == "accuracy" else "f1",
                    "name": row["metric"],
                    "value": round(row["score"], 2),
                }
            ],
        }
        for row in card.get("scores", ())
    ]
    found = {
        "language": [code for code in card.get("languages", ()) if code != "und"],
        "license": card.get("license"),
        "base_model": card.get("base_model"),
        "pipeline_tag": task,
        "library_name": "transformers.js" if graph else "transformers" if about["plain"] else None,
        "tags": [*["onnx"] * graph, about["form"]],
        "widget": [{"text": card["example"]}] if card.get("example") else None,
        "model-index": [{"name": card.get("title") or name, "results": results}] if results else None,
    }
    return {key: value for key, value in found.items() if value}


def _dataset(key: str) -> dict[str, str]:
    """An evaluation set as `model-index` names it: results that differ in the `name` alone are one set to the hub."""
    dataset, (language, *split) = name_and_rest(key)
    return {"type": dataset, "name": key, "config": language, "split": "/".join(split)}
