"""What a notebook displays besides figures: findings in a box, and tables that are saved at the same time."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from smaller.analysis.comparison import Comparison
from smaller.analysis.figures import FILES, inside_outputs
from smaller.analysis.findings.finding import Finding
from smaller.analysis.statistics import Interval, plus_minus
from smaller.base.errors import SmallerError
from smaller.base.paths import outputs_folder

_SHORT_CODES = {
    "amh": "am",
    "bam": "bm",
    "eng": "en",
    "ewe": "ee",
    "hau": "ha",
    "ibo": "ig",
    "kin": "rw",
    "lug": "lg",
    "mlt": "mt",
    "nya": "ny",
    "orm": "om",
    "run": "rn",
    "slk": "sk",
    "sna": "sn",
    "som": "so",
    "swa": "sw",
    "tir": "ti",
    "tsn": "tn",
    "twi": "tw",
    "wol": "wo",
    "xho": "xh",
    "yor": "yo",
    "zho": "zh",
    "zul": "zu",
}
"""ISO 639-3 to ISO 639-1: what the attribute `lang` of HTML asks for where a language has both."""

_LINK = re.compile(r"\[(?P<text>[\w-]+)\]\((?P<target>[\w-]+\.ipynb(#[\w.-]+)?)\)")
"""A whole cell that leads to a notebook, or to a figure or table on its page."""


def answer(*findings: Finding) -> None:
    """Display findings in a box; the first box of a notebook stands at the top of its page and in the index.

    Each finding begins a paragraph; an empty line in its text begins another. The first finding that was measured
    stands for all of them in the index: its headline in the table of answers, its first paragraph on the page's card.
    """
    if not findings:
        raise SmallerError("report.answer(...) displays findings, and was given none.")
    paragraphs = [[part.strip() for part in str(finding).split("\n\n")] for finding in findings]
    told = list(itertools.chain.from_iterable(paragraphs))
    place = next((place for place, finding in enumerate(findings) if finding.measured), 0)
    first, text = findings[place], "\n\n".join(told)
    parts = "".join(f"<p>{html.escape(part)}</p>" for part in told)
    look = "border-left: 4px solid #0173b2; background: #f5f7f9; padding: 0.6em 0.9em"
    card = {"kind": "answer", "text": text, "headline": first.headline, "verdict": first.verdict}
    card |= {"lead": paragraphs[place][0]}
    _display(f'<div class="answer" style="{look}">{parts}</div>', text, card)


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
    is a dash. An `Interval` shows as its mean and half its width, a `Comparison` with its verdict beside them; the CSV
    has their numbers, each in a column of its own. An index with a name becomes a column. All text is escaped; a cell
    of the form "[text](notebook.ipynb#anchor)" leads to another page. `frame.attrs` may hold "bold" and "underlined",
    sets of (row, column) by place and name, and "languages", columns of foreign words and the ISO 639-3 code of each.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise SmallerError(
            f"The name of a table becomes a file name: {name!r} may hold letters, digits, - _ and . only."
        )
    languages, bold, underlined = (frame.attrs.get(name, {}) for name in ("languages", "bold", "underlined"))
    frame = frame.reset_index() if any(level is not None for level in frame.index.names) else frame
    frame = frame.set_axis(
        [" ".join(map(str, column)).strip() if isinstance(column, tuple) else str(column) for column in frame.columns],
        axis="columns",
    )
    places = decimals if isinstance(decimals, Mapping) else dict.fromkeys(frame.columns, decimals)
    numeric = [
        (pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)) or _holds(column, Interval)
        for _, column in frame.items()
    ]
    cells = [
        [_text(value, places.get(column, 1)) for column, value in zip(frame.columns, row, strict=True)]
        for row in frame.itertuples(index=False, name=None)
    ]
    folder = folder or outputs_folder() / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    in_numbers(frame).to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    marks = [
        [
            [mark for mark, marked in (("strong", bold), ("u", underlined)) if (row, column) in marked]
            for column in frame.columns
        ]
        for row in range(len(frame))
    ]
    rule = ["---:" if number else "---" for number in numeric]
    lines = [[_pipe(column) for column in frame.columns], rule]
    lines += [
        [_in_markdown(cell, *own) for cell, own in zip(row, told, strict=True)]
        for row, told in zip(cells, marks, strict=True)
    ]
    markdown = "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{caption}\n"
    (folder / f"{name}.md").write_text(markdown, encoding="utf-8")
    codes = [languages.get(column, "") for column in frame.columns]

    def line(values: Sequence[str], *, row: int = -1) -> str:
        head = row < 0
        out = []
        for place, value in enumerate(values):
            tag, scope = ("th", "col") if head else ("th", "row") if place == 0 else ("td", "")
            style = ' class="number" style="text-align: right"' if numeric[place] else ' style="text-align: left"'
            foreign = f' lang="{_SHORT_CODES.get(codes[place], codes[place])}"' if codes[place] and not head else ""
            content = _linked(value)
            for mark in [] if head else marks[row][place]:
                content = f"<{mark}>{content}</{mark}>"
            out.append(f"<{tag}{f' scope={scope!r}' if scope else ''}{style}{foreign}>{content}</{tag}>")
        return f"<tr>{''.join(out)}</tr>"

    body = "".join(line(values, row=row) for row, values in enumerate(cells))
    content = (
        f'<div class="scroll" tabindex="0"><table id="table-{name}"><caption>{html.escape(caption)}{FILES}</caption>'
        f"<thead>{line(list(frame.columns))}</thead><tbody>{body}</tbody></table></div>"
    )
    files = [inside_outputs(folder / f"{name}.{ending}") for ending in ("csv", "md")]
    _display(content, markdown, {"kind": "table", "name": name, "caption": caption, "files": files})


def in_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """The table as a CSV holds it: a column for each number of an `Interval` or a `Comparison`, and no mark.

    They are named after their column: "F1, mean", "F1, low", "F1, high" and "F1, n", and of a comparison "F1, p",
    "F1, p (Holm)" and "F1, verdict" too. What is missing is missing in each.
    """
    parts = []
    for name, column in frame.items():
        fields = _FIELDS if _holds(column, Comparison) else _FIELDS[:4] if _holds(column, Interval) else ()
        if not fields:
            parts.append(column)
        for field, source in fields:
            told = [
                getattr(getattr(cell, "interval", cell) if source in _OF_INTERVAL else cell, source, None)
                for cell in column
            ]
            kind = "Int64" if field == "n" else None
            parts.append(pd.Series(told, column.index, dtype=kind, name=f"{name}, {field}"))
    return pd.concat(parts, axis="columns") if parts else frame


_OF_INTERVAL = ("mean", "low", "high", "n")
_FIELDS = (*((name, name) for name in _OF_INTERVAL), ("p", "p"), ("p (Holm)", "corrected"), ("verdict", "verdict"))
"""The columns of a comparison in a CSV, and the attributes that they hold."""


def _holds(column: pd.Series, kind: type) -> bool:
    return column.dtype == object and any(isinstance(cell, kind) for cell in column)


def _text(value: object, places: int) -> str:
    if isinstance(value, Comparison):
        mean = plus_minus(value.interval, places, sign="+")
        return f"{mean} ({value.verdict})" if value.interval.n else value.verdict
    if isinstance(value, Interval):
        return plus_minus(value, places)
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "–"
    # Adding zero turns -0.0, which rounding leaves of small losses, into 0.0.
    return f"{round(value, places) + 0.0:,.{places}f}" if isinstance(value, float | np.floating) else str(value)


def _in_markdown(text: str, *marks: str) -> str:
    """A cell of a Markdown table; what is underlined on a page is in italics there."""
    around = "".join({"strong": "**", "u": "_"}[mark] for mark in marks)
    return f"{around}{_pipe(text)}{around[::-1]}"


def _linked(text: str) -> str:
    """A cell as HTML; a whole cell that is a link to a page's figure becomes one."""
    if link := _LINK.fullmatch(text):
        return f'<a href="{html.escape(link["target"])}">{html.escape(link["text"])}</a>'
    return html.escape(text)


def _pipe(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _display(content: str, plain: str, card: dict) -> None:
    from IPython.display import display

    display({"text/html": content, "text/plain": plain}, raw=True, metadata={"smaller": card})
