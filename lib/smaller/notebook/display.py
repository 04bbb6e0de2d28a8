"""What a notebook displays: findings in a box, figures (see `saving`), and tables that are saved at the same time."""

from __future__ import annotations

import html
import itertools
import math
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import langcodes
import numpy as np
import pandas as pd

from smaller.analysis import sentences
from smaller.analysis.comparison import AGREES, LEVEL, NOT_DECIDED, Comparison
from smaller.analysis.findings import claims
from smaller.analysis.findings.finding import Finding
from smaller.analysis.statistics import LACKING, Interval
from smaller.base.errors import SmallerError
from smaller.base.files import write_csv
from smaller.base.paths import inside_outputs, outputs_folder
from smaller.notebook.saving import FILES
from smaller.notebook.saving import save as save

VERDICT = (
    "In parentheses: the verdict, after Holm's correction for {}. That two agree, or that a loss of two points is "
    "shown or excluded, rests on a single interval, which is not corrected."
)
"""What a caption says of the comparisons in its table."""

ALIKE = "A difference of zero at each seed agrees without a p, since there is no spread to test."
"""What it says where two models are so alike that nothing is between them."""

ROWS = 200
"""The most rows that a sortable table shows; its CSV has all."""

SORT = Path(__file__).with_name("sort.js").read_text(encoding="utf-8")
"""What sorts such a table; a page of the report has it once, at its end."""


def answer(*findings: Finding, ahead: Finding | None = None) -> None:
    """Display findings in a box; the first box of a notebook stands at the top of its page and in the index.

    Each finding begins a paragraph; an empty line in its text begins another; none stands there twice. The first
    finding that was measured stands for all of them in the index: its headline in the table of answers, its first
    paragraph on the page's card. Where the gate refuses claims, by what `ahead` says of the encoder and a model without
    one, the last paragraph and the index say so.
    """
    if not findings:
        raise SmallerError("report.answer(...) displays findings, and was given none.")
    paragraphs = [[part.strip() for part in str(finding).split("\n\n")] for finding in findings]
    told = list(dict.fromkeys(itertools.chain.from_iterable(paragraphs)))
    place = next((place for place, finding in enumerate(findings) if finding.measured), 0)
    refused = claims.refusal(ahead) if ahead and findings[place].measured else ""
    told += [f"{refused} What is said here is how a technique changes this encoder."] * bool(refused)
    first, text = findings[place], "\n\n".join(told)
    parts = "".join(f"<p>{html.escape(part)}</p>" for part in told)
    look = "border-left: 4px solid #0173b2; background: #f5f7f9; padding: 0.6em 0.9em"
    card = {"kind": "answer", "text": text, "headline": f"{first.headline} {refused}".strip()}
    card |= {"verdict": first.verdict, "lead": f"{paragraphs[place][0]} {refused}".strip()}
    _display(f'<div class="answer" style="{look}">{parts}</div>', text, card)


def show(
    frame: pd.DataFrame,
    caption: str,
    name: str,
    *,
    decimals: int | Mapping[str, int] = 1,
    folder: Path | None = None,
    also: Mapping[str, object] = MappingProxyType({}),
    sortable: bool = False,
) -> None:
    """Display a table with its caption and save it as `<name>.csv` (in full) and `<name>.md` under `outputs/tables`.

    Numbers stand to the right, floats with `decimals` places (one number, or one for each column); a missing number
    is a dash. An `Interval` shows as its mean and half its width, a `Comparison` with its verdict beside them; the CSV
    has their numbers, each in a column of its own, and the caption ends with what they mean. An index with a name
    becomes a column. All text is escaped. A `sortable` table is folded, shows its first `ROWS` rows, and is sorted by a
    click on a header.

    `frame.attrs` may hold "bold" and "underlined", sets of (row, column) by place and name; "links", the targets of
    such cells, "notebook.ipynb#anchor"; and "languages", columns of foreign words and the ISO 639-3 code of each.
    `also` are further forms of the output, by MIME type.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise SmallerError(
            f"The name of a table becomes a file name: {name!r} may hold letters, digits, - _ and . only."
        )
    languages, bold, underlined, links = (
        frame.attrs.get(name, {}) for name in ("languages", "bold", "underlined", "links")
    )
    frame = frame.reset_index() if any(level is not None for level in frame.index.names) else frame
    frame = frame.set_axis(
        [" ".join(map(str, column)).strip() if isinstance(column, tuple) else str(column) for column in frame.columns],
        axis="columns",
    )
    caption = " ".join([caption, *_meanings(frame)])
    folder = folder or outputs_folder() / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(in_numbers(frame), folder / f"{name}.csv")
    places = decimals if isinstance(decimals, Mapping) else dict.fromkeys(frame.columns, decimals)
    numeric = {
        name: (pd.api.types.is_numeric_dtype(own) and not pd.api.types.is_bool_dtype(own)) or _holds(own, Interval)
        for name, own in frame.items()
    }
    side = {
        name: ' class="number" style="text-align: right"' if right else ' style="text-align: left"'
        for name, right in numeric.items()
    }
    # HTML asks for the two letters of ISO 639-1 where a language has them.
    foreign = {name: f' lang="{langcodes.standardize_tag(code)}"' for name, code in languages.items()}

    def cell(row: int, column: str, value: object) -> tuple[str, str]:
        """The cell as HTML and as Markdown, where what is underlined on a page is in italics."""
        text = _text(value, places.get(column, 1))
        page, plain = html.escape(text), _pipe(text)
        if target := links.get((row, column)):
            page, plain = f'<a href="{html.escape(target)}">{page}</a>', f"[{plain}]({target})"
        for marked, tag, mark in ((underlined, "u", "_"), (bold, "strong", "**")):
            if (row, column) in marked:
                page, plain = f"<{tag}>{page}</{tag}>", f"{mark}{plain}{mark}"
        head = 'th scope="row"' if column == frame.columns[0] else "td"
        return f"<{head}{side[column]}{foreign.get(column, '')}>{page}</{head[:2]}>", plain

    rows = [
        [cell(row, column, value) for column, value in zip(frame.columns, values, strict=True)]
        for row, values in enumerate(frame.head(ROWS if sortable else None).itertuples(index=False, name=None))
    ]
    header = "".join(f'<th scope="col"{side[column]}>{html.escape(column)}</th>' for column in frame.columns)
    kind, described = ' class="sortable"' if sortable else "", f"<caption>{html.escape(caption)}{FILES}</caption>"
    body = "".join(f"<tr>{''.join(page for page, _ in row)}</tr>" for row in rows)
    content = (
        f'<div class="scroll" tabindex="0"><table id="table-{name}"{kind}>{described}'
        f"<thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>"
    )
    if sortable:
        fold = '<details class="code"><summary>All results of this run, to sort</summary>'
        content = f"{fold}{content}</details><script>{SORT}</script>"
    lines = [
        map(_pipe, frame.columns),
        ["---:" if right else "---" for right in numeric.values()],
        *([plain for _, plain in row] for row in rows),
    ]
    markdown = "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{caption}\n"
    (folder / f"{name}.md").write_text(markdown, encoding="utf-8")
    files = [inside_outputs(folder / f"{name}.{ending}") for ending in ("csv", "md")]
    _display(content, markdown, {"kind": "table", "name": name, "caption": caption, "files": files}, **also)


RUN = (
    *("group", "encoder", "dataset", "language", "noise", "rate", "seed", "technique", "order", "sparsity", "method"),
    *("layers", "heads", "hidden", "vocabulary", "temperature", "form", "bits", "part", "adapter", "score"),
    *("ships (MB)", "parameters (M)", "milliseconds"),
)
"""The main columns of a run's table; those that are alike in all rows are left out."""


def browse(table: pd.DataFrame, name: str) -> None:
    """Display the scores of a run on its test sets, folded, one row for each model and set, to be sorted and looked at.

    `table` is what `study.run` gives.
    """
    rows = table[(table["split"] == "test") & table["score"].notna()]
    rows = rows.assign(
        **{"ships (MB)": rows["shipped_bytes"] / 1e6, "parameters (M)": rows["parameters"] / 1e6},
        group=[
            ", ".join(filter(None, group)) if isinstance(group, tuple) else group
            for group in rows.get("group", [""] * len(rows))
        ],
    )
    alike = [column for column in RUN if column != "score" and rows[column].nunique(dropna=False) <= 1]
    more = f" The first {ROWS} of {len(rows):,} rows; the CSV has all." * (len(rows) > ROWS)
    show(
        rows[list(RUN)].drop(columns=alike),
        f"Every model of this run on its test sets; a click on a header sorts.{more}",
        name,
        decimals={"score": 1, "sparsity": 2, "rate": 2, "ships (MB)": 2, "milliseconds": 2},
        sortable=True,
    )


def _meanings(frame: pd.DataFrame) -> list[str]:
    """What the intervals and verdicts of a table are."""
    cells = [cell for _, own in frame.items() for cell in own if isinstance(cell, Interval | Comparison)]
    known = {one.kind for cell in cells if (one := getattr(cell, "interval", cell)).known}
    once = dict.fromkeys(name for cell in cells for name in getattr(cell, "drawn_once", ()))
    told = {getattr(cell, "kind", "") for cell in cells}
    families = sorted({cell.of for cell in cells if isinstance(cell, Comparison) and cell.interval.n})
    together = f"{' or '.join(map(str, families))} comparison{'s' * (families != [1])}"
    found = {
        "±: half a 95 % t interval over seeds.": "t" in known,
        "[low, high]: a 95 % bootstrap interval over sentences.": sentences.KIND in known,
        f"{LACKING.capitalize()}: a record is older than the counts of each sentence.": LACKING in told,
        VERDICT.format(together): any(isinstance(cell, Comparison) for cell in cells),
        ALIKE: any(isinstance(cell, Comparison) and cell.verdict == AGREES and math.isnan(cell.p) for cell in cells),
        f"Drawn once, so that no interval over seeds covers its chance: {', '.join(once)}.": once,
    }
    return [text for text, holds in found.items() if holds]


def in_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """The table as a CSV holds it: a column for each number of an `Interval` or a `Comparison`, and no mark.

    They are named after their column: "F1, mean", "F1, low", "F1, high" and "F1, n", and of a comparison "F1, p",
    "F1, p (Holm)", "F1, comparisons" (for whose number p was corrected), "F1, verdict", and what `_LISTS` names. What
    is missing is missing in each.
    """
    parts = []
    for name, column in frame.items():
        fields = _FIELDS + _LISTS if _holds(column, Comparison) else _FIELDS[:4] if _holds(column, Interval) else ()
        if not fields:
            parts.append(column)
        for field, source in fields:
            told = [
                getattr(getattr(cell, "interval", cell) if source in _OF_INTERVAL else cell, source, None)
                for cell in column
            ]
            told = [", ".join(map(str, one)) if isinstance(one, tuple) else one for one in told]
            kind = "Int64" if field in ("n", "comparisons") else None
            parts.append(pd.Series(told, column.index, dtype=kind, name=f"{name}, {field}"))
    return pd.concat(parts, axis="columns") if parts else frame


_OF_INTERVAL = ("mean", "low", "high", "n")
_FIELDS = (*((name, name) for name in _OF_INTERVAL), ("p", "p"), ("p (Holm)", "corrected"), ("comparisons", "of"))
_FIELDS += (("verdict", "verdict"),)
"""The columns of a comparison in a CSV, and the attributes that they hold."""

_LISTS = (
    ("drawn once", "drawn_once"),
    ("languages that one side lacks", "lacking"),
    ("rows that one side lacks", "unmatched"),
    ("seeds left out", "left_out"),
)
"""The same of what comparisons list: empty where nothing was drawn once, is lacking, or was left out."""


def _holds(column: pd.Series, kind: type) -> bool:
    return column.dtype == object and any(isinstance(cell, kind) for cell in column)


def _text(value: object, places: int) -> str:
    if isinstance(value, Comparison):
        mean = plus_minus(value.interval, places, sign="+")
        # A row whose own interval excludes zero shows why it decides nothing.
        alone = " after correction" * (value.verdict == NOT_DECIDED and value.p < LEVEL)
        return f"{mean} ({value.verdict}{alone})" if value.interval.n else value.verdict
    if isinstance(value, Interval):
        return plus_minus(value, places)
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "–"
    # Adding zero turns -0.0, which rounding leaves of small losses, into 0.0.
    return f"{round(value, places) + 0.0:,.{places}f}" if isinstance(value, float | np.floating) else str(value)


def _pipe(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _display(content: str, plain: str, card: dict, **also: object) -> None:
    from IPython.display import display

    display({"text/html": content, "text/plain": plain} | also, raw=True, metadata={"smaller": card})


def plus_minus(interval: Interval, decimals: int = 1, *, sign: str = "") -> str:
    """An interval for a cell: "81.2 ± 0.4", "81.2 [80.9, 81.4]" where it is not symmetric, or the mean alone."""
    if interval.n == 0:
        return LACKING if interval.kind == LACKING else "–"
    # Adding zero turns -0.0, which rounding leaves of small losses, into 0.0.
    mean, low, high = (round(number, decimals) + 0.0 for number in (interval.mean, interval.low, interval.high))
    told = f"{mean:{sign},.{decimals}f}"
    if not interval.known:
        return told
    below, above = interval.mean - interval.low, interval.high - interval.mean
    if math.isclose(below, above, rel_tol=1e-6, abs_tol=1e-9):
        return f"{told} ± {above:,.{decimals}f}"
    return f"{told} [{low:,.{decimals}f}, {high:,.{decimals}f}]"
