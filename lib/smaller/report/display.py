"""What a notebook displays besides figures: findings in a box, and tables that are saved at the same time."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from smaller.errors import SmallerError
from smaller.figures import FILES, inside_outputs
from smaller.paths import outputs_folder

_SHORT_CODES = {
    "amh": "am", "bam": "bm", "eng": "en", "ewe": "ee", "hau": "ha", "ibo": "ig", "kin": "rw", "lug": "lg", "mlt": "mt",
    "nya": "ny", "orm": "om", "run": "rn", "slk": "sk", "sna": "sn", "som": "so", "swa": "sw", "tir": "ti", "tsn": "tn",
    "twi": "tw", "wol": "wo", "xho": "xh", "yor": "yo", "zho": "zh", "zul": "zu",
}  # fmt: skip
"""ISO 639-3 to ISO 639-1: what the attribute `lang` of HTML asks for where a language has both."""

_LINK = re.compile(r"\[(?P<text>[\w-]+)\]\((?P<target>[\w-]+\.ipynb(#[\w.-]+)?)\)")
"""A whole cell that leads to a notebook, or to a figure or table on its page."""


def answer(text: str) -> None:
    """Display a finding in a box; the first one of a notebook stands at the top of its page and in the index.

    `text` is plain text, escaped; an empty line starts a new paragraph. Its first sentence stands for it in the
    index's table of answers.
    """
    parts = "".join(f"<p>{html.escape(part)}</p>" for part in text.strip().split("\n\n"))
    look = "border-left: 4px solid #0173b2; background: #f5f7f9; padding: 0.6em 0.9em"
    _display(f'<div class="answer" style="{look}">{parts}</div>', text, {"kind": "answer", "text": text.strip()})


def show(
    frame: pd.DataFrame,
    caption: str,
    name: str,
    *,
    decimals: int | Mapping[str, int] = 1,
    folder: Path | None = None,
) -> None:
    """Display a table with its caption and save it as `<name>.csv` (in full) and `<name>.md` under `outputs/tables`.

    Numbers stand to the right, floats with `decimals` places (one number, or one for each column); a missing number
    is a dash. An index with a name becomes a column. All text is escaped; a whole cell between ** is bold, one between
    __ is underlined, and one of the form "[text](notebook.ipynb#anchor)" leads to another page.
    `frame.attrs["languages"]` may name columns of foreign words and the ISO 639-3 code of each.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise SmallerError(
            f"The name of a table becomes a file name: {name!r} may hold letters, digits, - _ and . only."
        )
    languages = frame.attrs.get("languages", {})
    frame = frame.reset_index() if any(level is not None for level in frame.index.names) else frame
    frame = frame.set_axis(
        [" ".join(map(str, column)).strip() if isinstance(column, tuple) else str(column) for column in frame.columns],
        axis="columns",
    )
    places = decimals if isinstance(decimals, Mapping) else dict.fromkeys(frame.columns, decimals)
    numeric = [pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) for kind in frame.dtypes]
    cells = [
        [_text(value, places.get(column, 1)) for column, value in zip(frame.columns, row, strict=True)]
        for row in frame.itertuples(index=False, name=None)
    ]
    folder = folder or outputs_folder() / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    rule = ["---:" if number else "---" for number in numeric]
    lines = [[_pipe(column) for column in frame.columns], rule, *([_pipe(cell) for cell in row] for row in cells)]
    markdown = "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{caption}\n"
    (folder / f"{name}.md").write_text(markdown, encoding="utf-8")
    codes = [languages.get(column, "") for column in frame.columns]

    def line(values: Sequence[str], *, head: bool = False) -> str:
        out = []
        for place, value in enumerate(values):
            tag, scope = ("th", "col") if head else ("th", "row") if place == 0 else ("td", "")
            style = ' class="number" style="text-align: right"' if numeric[place] else ' style="text-align: left"'
            foreign = f' lang="{_SHORT_CODES.get(codes[place], codes[place])}"' if codes[place] and not head else ""
            out.append(f"<{tag}{f' scope={scope!r}' if scope else ''}{style}{foreign}>{_marked(value)}</{tag}>")
        return f"<tr>{''.join(out)}</tr>"

    body = "".join(line(row) for row in cells)
    content = (
        f'<div class="scroll" tabindex="0"><table id="table-{name}"><caption>{html.escape(caption)}{FILES}</caption>'
        f"<thead>{line(list(frame.columns), head=True)}</thead><tbody>{body}</tbody></table></div>"
    )
    files = [inside_outputs(folder / f"{name}.{ending}") for ending in ("csv", "md")]
    _display(content, markdown, {"kind": "table", "name": name, "caption": caption, "files": files})


def _text(value: object, places: int) -> str:
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "–"
    return f"{value:,.{places}f}" if isinstance(value, float | np.floating) else str(value)


def _marked(text: str) -> str:
    """A cell as HTML: the marks of Markdown around a whole cell become tags, as does a link to a page's figure."""
    if link := _LINK.fullmatch(text):
        return f'<a href="{html.escape(link["target"])}">{html.escape(link["text"])}</a>'
    for mark, tag in (("__", "u"), ("**", "strong")):
        if len(text) > 4 and text.startswith(mark) and text.endswith(mark):
            return f"<{tag}>{_marked(text[2:-2])}</{tag}>"
    return html.escape(text)


def _pipe(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _display(content: str, plain: str, card: dict) -> None:
    from IPython.display import display

    display({"text/html": content, "text/plain": plain}, raw=True, metadata={"smaller": card})
