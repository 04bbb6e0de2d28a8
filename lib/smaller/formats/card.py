"""The card of a shipped model: what it is, what it was made from, how good it is, what it costs, how to use it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from smaller import formats

SENTENCE = "Wizkid yayi wasa a Lagos ranar Asabar."
"""The example's sentence, in Hausa, where the card brings none in the model's language."""

_EXAMPLES = {
    "word": """\
from smaller.shipping import open_shipped
from smaller.tagging import tag

model = open_shipped("{name}")
sentence = {sentence}
for tagged in tag(model, [sentence]):
    print(tagged.text)
    for entity in tagged.entities:
        print(entity.type, entity.text, entity.start, entity.end, round(entity.score, 2))
    print(f"{{tagged.words}} words, {{tagged.unknown:.0%}} of them unknown")
""",
    "text": """\
from smaller.shipping import open_shipped
from smaller.tagging import classify

model = open_shipped("{name}")
for found in classify(model, [{sentence}]):
    print(found.label, round(found.score, 2))
""",
}

_KINDS = {
    "word": ("token-classification", "Tags words of running text with", "AutoModelForTokenClassification"),
    "text": ("text-classification", "Gives a text one of", "AutoModelForSequenceClassification"),
}
"""By what is labelled: the hub's word for the task, what the model does, and the class that loads it."""


def model_card(about: Mapping, card: Mapping, *, name: str, shipped_bytes: int) -> str:
    """The card in Markdown, from what `smaller.json` says and from `card`, all of which is optional.

    `shipped_bytes` are those of all the other files of the folder.

    `title`, `languages` (codes), `licence` and `notes` are text or lists of it; `recipe` is one line; `example` is a
    sentence in the model's language; `data` rows have `name`, `licence` and `citation`; `scores` rows have `set`,
    `metric`, `score`, and `mean`, `low`, `high` and `seeds` where there is an interval; `cost` is what to say of each
    name. What is not given is said to be not given.
    """
    return "\n".join(_lines(about, card, name=name, shipped_bytes=shipped_bytes)) + "\n"


def _lines(about: Mapping, card: Mapping, *, name: str, shipped_bytes: int) -> Iterator[str]:
    unit = about.get("unit", "word")
    hub_task, what, loader = _KINDS[unit]
    yield from _front_matter(card, hub_task)
    yield f"# {card.get('title', name)}\n"
    yield f"{what} the labels {', '.join(about['labels'])}.\n"
    yield f"Recipe: `{card.get('recipe', 'not given')}`\n"
    yield f"Form: **{about['form']}** ({formats.FORMS.get(about['form'], 'weights in 32-bit floats')}).\n"
    yield "## Data\n"
    for row in card.get("data", ()):
        yield f"- {row['name']}, licence {row['licence']}. {row.get('citation', '')}".rstrip()
    yield "" if card.get("data") else "Not given.\n"
    yield "## Scores\n"
    yield from _scores(card.get("scores", ()))
    yield "## Cost\n"
    yield f"- {shipped_bytes / 1e6:,.2f} MB to ship: all files of this folder but this page"
    yield from _cost(about, card.get("cost", {}))
    yield "## Licence\n"
    yield f"{card.get('licence', 'Not given: ask whoever shipped the model.')}\n"
    yield "## Example\n"
    sentence = json.dumps(card.get("example") or SENTENCE, ensure_ascii=False)
    yield f"```python\n{_EXAMPLES[unit].format(name=name, sentence=sentence)}```\n"
    yield f'On the command line: `python -m smaller predict {name} "a sentence"`.\n'
    if about["plain"]:
        yield f'Also, with transformers alone: `{loader}.from_pretrained("{name}")`.\n'
    if card.get("notes"):
        yield "## How it was found\n"
    for note in card.get("notes", ()):
        yield f"- {note}"


def _front_matter(card: Mapping, hub_task: str) -> Iterator[str]:
    yield "---"
    if card.get("languages"):
        yield f"language: [{', '.join(card['languages'])}]"
    yield f"pipeline_tag: {hub_task}"
    yield "---"


def _scores(rows) -> Iterator[str]:
    if not rows:
        yield "Not given.\n"
        return
    yield "| evaluation set | score | of this model | mean over seeds, 95 % interval |\n|---|---|---|---|"
    for row in rows:
        interval = "one seed"
        if row.get("seeds", 1) > 1:
            interval = f"{row['mean']:.1f} ({row['low']:.1f} to {row['high']:.1f}, {row['seeds']} seeds)"
        yield f"| {row['set']} | {row['metric']} | {row['score']:.1f} | {interval} |"
    yield ""


def _cost(about: Mapping, cost: Mapping) -> Iterator[str]:
    sizes = about["bytes"]
    yield (
        f"- {about['parameters']:,} parameters, {sum(sizes.values()) / 1e6:,.1f} MB of weights in memory: "
        + ", ".join(f"{part} {size / 1e6:,.1f}" for part, size in sizes.items())
    )
    for name, value in cost.items():
        yield f"- {name}: {value}"
    yield ""
