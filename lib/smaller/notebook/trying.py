"""A box on a page of the report, in which a reader types and the models of a study answer side by side."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Mapping
from pathlib import Path

from smaller import formats
from smaller.base.errors import SmallerError
from smaller.base.files import write_whole
from smaller.base.paths import outputs_folder
from smaller.data.languages import language as language_of
from smaller.demo import page_of_several
from smaller.formats.shipping import ship
from smaller.study import timing
from smaller.study.jobs import materialise
from smaller.study.recipes import Recipe

LARGEST = 2_000_000
"""The most parameters of a model in a box: pages are opened on phones too."""


def try_out(recipes: Mapping[str, Recipe], dataset: str, language: str, name: str) -> None:
    """Write the models of recipes, their weights in int8, into a page of their own, which the report shows in a box.

    The page is `demo/<name>.html` under the outputs; its examples are test sentences of a data set. Says why where the
    models cannot run in a page.
    """
    from IPython.display import display

    try:
        page = _page(recipes, dataset, language)
    except SmallerError as problem:
        display({"text/plain": f"There is no box to try these models in. {problem}"}, raw=True)
        return
    place = outputs_folder() / "demo" / f"{name}.html"
    write_whole(place, page)
    title = f"Type a sentence: {', '.join(recipes)}"
    content = f'<div class="try" id="box-{name}"><a href="../demo/{name}.html">{html.escape(title)}</a></div>'
    card = {"kind": "box", "name": f"box-{name}"}
    display({"text/html": content, "text/plain": f"{place}: {title}"}, raw=True, metadata={"smaller": card})


def _page(recipes: Mapping[str, Recipe], dataset: str, language: str) -> str:
    with tempfile.TemporaryDirectory(prefix="smaller-") as folder:
        folders = {}
        for number, (name, recipe) in enumerate(recipes.items()):
            model, _ = materialise(recipe)
            if (count := formats.parameter_count(model.network)) > LARGEST:
                raise SmallerError(f"They are too large for one page ({count:,} parameters): python -m smaller demo.")
            folders[name] = ship(formats.convert(model, "onnx-int8"), Path(folder) / str(number))
        sentences = [" ".join(sentence.words) for sentence in timing.telling(dataset, language)]
        label = f"A sentence in {language_of(language).name}"
        title = "One sentence, tagged by each model"
        examples = sentences[:3]
        return page_of_several(folders, title=title, label=label, examples=examples, languages=[language])
