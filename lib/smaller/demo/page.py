"""The page of a shipped model: one file that runs it, with nothing fetched and nothing sent."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import yaml
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from smaller.base.errors import SmallerError
from smaller.base.files import told, write_whole
from smaller.base.paths import expanded
from smaller.data.languages import language
from smaller.data.schemes import types_of
from smaller.demo.pieces import state_of
from smaller.demo.weights import OtherGraph, packed
from smaller.serving.answers import own_labels, scheme
from smaller.serving.folder import ABOUT_FILE, CARD_FILE, about, folder_bytes, graph_of
from smaller.serving.reader import GraphReader

HERE = Path(__file__).parent
SCRIPTS = ("network.js", "tokenizer.js", "reading.js", "page.js")
FORMS = ("onnx-int8", "onnx-int4")


def demo(folder: Path | str, place: Path | str, *, examples: Sequence[str] = ()) -> Path:
    """Write the page of a shipped model and return its place; `examples` are sentences to try, else the card's.

    Raises SmallerError for a folder that is none, a format other than `FORMS`, and a kind that no page runs.
    """
    folder, place = expanded(folder), expanded(place)
    page = page_of(folder, examples=examples)
    with told(f"The page could not be written to {place}", "Make room, or name another place."):
        write_whole(place, page)
    return place


def page_of(folder: Path, *, examples: Sequence[str] = ()) -> str:
    """The page of a shipped model as HTML."""
    said = about_few_bits(folder)
    try:
        card = _card(folder)
        names = [language(code).name for code in card["language"]]
        own, facts = [each["text"] for each in card.get("widget", ())], _facts(folder, said, card, names)
        lang = _lang(card["language"])
    except (AttributeError, KeyError, TypeError, ValueError) as problem:  # people may have written into it
        raise SmallerError(
            f"The front matter of {folder / CARD_FILE} is not as one that was shipped ({problem!r}). Mend it, or take "
            "the file away: the page does without."
        ) from None
    model = model_data(folder, said)
    does = {"none": "tags each word", "": "gives a text its label"}.get(model["reader"]["scheme"], "marks names")
    heading = {"none": "Its words", "": "Its label"}.get(model["reader"]["scheme"], "Names in it")
    return _filled(
        [{"heading": heading, "model": model}],
        title=card["title"] or folder.name,
        path=f"A language model of {_megabytes(folder)}, in this page",
        lead=f"It {does} while you type{f', in {_listed(names)}' if names else ''}. It needs no network.",
        label="Text" + (f" in {_listed(names, last=' or ')}" if names else ""),
        examples=list(examples) or own,
        facts=facts,
        lang=lang,
    )


def page_of_several(
    folders: Mapping[str, Path], *, title: str, label: str, examples: Sequence[str], languages: Sequence[str] = ()
) -> str:
    """A page, made to stand in another one, on which shipped models answer the same text in `languages` side by side.

    Their weights are compressed, which browsers of 2023 and later read.
    """
    panes = [
        {
            "heading": name,
            "size": _megabytes(folder),
            "model": model_data(folder, about_few_bits(folder), compressed=True),
        }
        for name, folder in folders.items()
    ]
    return _filled(panes, title=title, label=label, examples=list(examples), several=True, lang=_lang(languages))


def _filled(panes: Sequence[dict], **values: object) -> str:
    reader = panes[0]["model"]["reader"]
    words = reader["unit"] == "word"
    script = "\n".join((HERE / name).read_text(encoding="utf-8") for name in SCRIPTS)
    older = (HERE / "older.js").read_text(encoding="utf-8")
    made = Environment(loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return made.get_template("page.html.j2").render(
        panes=[pane | {"model": Markup(_in_script(pane["model"]))} for pane in panes],
        words=words,
        each_word=reader["scheme"] == "none",
        empty="Type a sentence, and the answer appears here." if words else "Type a text, and its label appears here.",
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        older=Markup(older),
        hashes=Markup(" ".join(map(content_hash, (older, script)))),
        **values,
    )


def _megabytes(folder: Path) -> str:
    size = folder_bytes(folder) / 1e6
    return f"{size:.2g} MB" if size < 1 else f"{size:.1f} MB"


def about_few_bits(folder: Path) -> dict:
    """What a shipped folder says of itself; raises SmallerError unless a page can run its format."""
    if not (folder / ABOUT_FILE).is_file():
        raise SmallerError(
            f"The folder {folder} holds no shipped model: name one that `ship` or `compress` has written."
        )
    said = about(folder)
    if said["form"] not in FORMS:
        raise SmallerError(
            f"A page runs a model in the format {' or '.join(FORMS)}, and {folder} holds one in {said['form']}: ship "
            f"it with --form {FORMS[0]}."
        )
    return said


def model_data(folder: Path, said: Mapping, *, compressed: bool = False) -> dict:
    """What the page's scripts need of a shipped model, as plain values; weights and scores are base64."""
    pack = functools.partial(gzip.compress, mtime=0) if compressed else bytes
    reader = GraphReader(folder, said)
    tokenizer, scores = state_of(reader.tokenizer)
    config = json.loads((folder / "config.json").read_bytes())
    try:
        shape, weights = packed(onnx.load(graph_of(folder, said["form"])), config)
    except OtherGraph as problem:
        raise SmallerError(f"The model in {folder} cannot run in a page: {problem}.") from None
    floats, whole = weights.blobs()
    own = own_labels(reader.labels, reader.unit)
    return {
        "reader": {
            "unit": reader.unit,
            "labels": [label if label in own else "O" for label in reader.labels],
            "scheme": scheme(reader.labels) if reader.unit == "word" else "",
            "room": reader.max_length,
        },
        "network": shape,
        "tokenizer": tokenizer,
        "compressed": compressed,
        "scores": _base64(pack(np.asarray(scores, "<f8").tobytes())),
        "floats": _base64(pack(floats)),
        "bytes": _base64(pack(whole)),
    }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _in_script(value: object) -> str:
    """Plain values as JSON that may stand in a script element."""
    found = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return found.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def content_hash(script: str) -> str:
    """A script's checksum, as a content security policy names it."""
    return f"'sha256-{_base64(hashlib.sha256(script.encode()).digest())}'"


def _card(folder: Path) -> dict:
    """What the front matter of the card says, its first heading as `title`, and what is under `licence` in the text.

    Empty where there is none.
    """
    file = folder / CARD_FILE
    _, _, text = (file.read_text(encoding="utf-8") if file.is_file() else "").partition("---\n")
    front, _, rest = text.partition("\n---\n")
    try:
        found = yaml.safe_load(front) or {}
    except yaml.YAMLError:
        found = {}
    languages = found.get("language") or []
    return found | {
        "title": next((line[2:].strip() for line in rest.splitlines() if line.startswith("# ")), ""),
        "licence": rest.partition("\n## Licence\n\n")[2].partition("\n")[0],
        "language": [languages] if isinstance(languages, str) else languages,
    }


def _lang(codes: Sequence[str]) -> str:
    """The one language of the text as pages name it ("sw"); empty, which says that it is not known, for several."""
    import langcodes

    [code, *others] = sorted(set(codes) - {"und"}) or [""]
    return "" if others or not code else langcodes.standardize_tag(language(code).code)


def _facts(folder: Path, said: Mapping, card: Mapping, names: Sequence[str]) -> list[tuple[str, str]]:
    labels = types_of(own_labels(said["labels"], "word")) if said["unit"] == "word" else said["labels"]
    found = {
        "languages": _listed(names),
        "labels": ", ".join(labels),
        "scores": "\n".join(_scores(card)),
        "size": f"{folder_bytes(folder):,} bytes to ship, {said['parameters']:,} parameters of 8 bits",
        "made from": str(card.get("base_model", "")),
        "licence": str(card.get("license") or card["licence"]),
    }
    return [(term, value) for term, value in found.items() if value]


def _scores(card: Mapping) -> Iterator[str]:
    """The scores that the card gives, as the hub's `model-index` has them."""
    for result in (result for model in card.get("model-index", ()) for result in model["results"]):
        for metric in result["metrics"]:
            yield f"{metric['name']} {metric['value']:.1f} on {result['dataset']['name']}"


def _listed(names: Sequence[str], *, last: str = " and ") -> str:
    return last.join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
