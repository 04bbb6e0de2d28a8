"""Sentences whose words have tags: files of columns, in the layouts and tag schemes that people have."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from smaller.base.errors import SmallerError
from smaller.data.columns import entity_of, layout_of, rows_of, shorten
from smaller.data.examples import Reading, Sentence, report_on
from smaller.data.files import read_text_of
from smaller.data.schemes import in_bio
from smaller.data.tasks import Task
from smaller.data.text import composed, is_composed


def read_words(path: Path, task: Task, *, tags: Collection[str] | None = None) -> Reading:
    """Read sentences of words and tags, one word a line and a blank line between sentences, plain or gz.

    Columns stand between tabs or spaces, also behind a counter or in CoNLL-U. `tags` are what may occur (anything,
    when None): entity types, or without spans the tags themselves. Entities come back as BIO tags, whatever scheme the
    file has. Raises SmallerError with file and line for what contradicts the rest of the file.
    """
    where = str(path)
    text, marked = read_text_of(path)
    # Not str.splitlines(), which would also break lines at U+0085 and U+2028 inside a word.
    lines = [(number, line.rstrip(" \t\r")) for number, line in enumerate(text.split("\n"), start=1)]
    layout = layout_of(lines, task, where=where)
    sentences: list[tuple[list[str], list[str], list[int]]] = []
    counts = dict.fromkeys(("comments", "skipped_rows", "decomposed_words"), 0)
    whole = is_composed(text)
    for kind, number, cells in rows_of(lines, layout, where=where):
        if kind in counts:
            counts[kind] += 1
            continue
        if kind == "first":
            sentences.append(([], [], []))
        word, tag = (cells[place] if whole else composed(cells[place]) for place in (layout.word, layout.tag))
        tag = entity_of(tag, layout.key) if layout.key else tag
        if not tag or (layout.conllu and tag == "_"):
            raise SmallerError(f"{where}:{number}: found a word without its tag in {shorten(' '.join(cells))}.")
        counts["decomposed_words"] += word != cells[layout.word]
        words, row, numbers = sentences[-1]
        words.append(word)
        row.append(tag)
        numbers.append(number)
    if not sentences:
        raise SmallerError(f"{where}: the file has no sentences; expected {layout.expected()}.")
    rows = [row for _, row, _ in sentences]
    said = str(layout)
    if task.spans:
        rows, scheme = in_bio(rows, place=lambda sentence, word: f"{where}:{sentences[sentence][2][word]}")
        said += f", tags in {scheme}{', which became bio' * (scheme not in ('bio', 'io'))}"
    if tags is not None:
        for row, (_, _, numbers) in zip(rows, sentences, strict=True):
            _require_known(row, numbers, tags, spans=task.spans, where=where)
    found = [Sentence(tuple(words), tuple(row)) for (words, _, _), row in zip(sentences, rows, strict=True)]
    report = report_on(found, **counts, bom=marked)
    # A tag without a prefix may be the name of a column that nobody knows: who has all files can tell.
    titled = layout.header or layout.conllu or any(tag[:2] in ("B-", "I-") for row in rows for tag in row)
    return Reading(found, report, said, titled and not said.endswith("flat, which became bio"))


def _require_known(row: Sequence[str], numbers: list[int], tags: Collection[str], *, spans: bool, where: str) -> None:
    for tag, number in zip(row, numbers, strict=True):
        kind = tag[2:] if spans else tag
        if kind not in tags and not (spans and tag == "O"):
            what = "entity type" if spans else "tag"
            raise SmallerError(f"{where}:{number}: found the {what} {kind!r}; expected one of {', '.join(tags)}.")
