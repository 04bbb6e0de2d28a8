"""The card of a shipped model: what it is, what it was made from, how good it is, what it costs, how to use it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment

from smaller import formats

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
    name. What is not given is said to be not given.
    """
    return filled(
        Path(__file__).with_suffix(".md.j2"),
        about=about,
        card={"cost": {}} | dict(card),
        name=name,
        shipped_bytes=shipped_bytes,
        words=about["unit"] == "word",
        held=formats.FORMATS.get(about["form"], "weights in 32-bit floats"),
        example=json.dumps(card.get("example") or _SENTENCE, ensure_ascii=False),
    )
