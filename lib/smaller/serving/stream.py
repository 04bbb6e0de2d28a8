"""What `predict` prints: sentences in, from arguments or a pipe, and answers out, in order and as soon as can be."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

from smaller.base.errors import SmallerError
from smaller.data.text import words_of
from smaller.serving import answers, pipes
from smaller.serving.answers import Classified, Reader, Tagged

CONLLU_COLUMNS = 10

_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def predict(
    reader: Reader,
    sentences: Sequence[str] = (),
    *,
    stream: BinaryIO | None = None,
    form: str = "text",
    given: str = "",
) -> Iterator[list[str]]:
    """The lines that answer sentences, or the lines of a stream, as many of which at once as are there.

    `form` is what comes out: "text" is each sentence and then its entities, or its label; "json" an object for each;
    "conll" a word and its tag a line, and a blank line after each sentence. `given` is what the stream holds, the same
    by default: a sentence a line; an object with `text` a line, whose other fields stay, but those that an answer has;
    or columns of which the first is the word, or the second in CoNLL-U.
    """
    if sentences or stream is None:
        batches, given = iter([pipes.arguments(sentences)] if sentences else []), "text"
    else:
        batches, given = pipes.batches(stream), given or form
    if given == "conll":
        batches = _sentences(batches)
    elif given == "json":
        batches = _objects(batches)
    answer = answers.tag if reader.unit == "word" else answers.classify
    for batch in batches:
        if form == "conll":
            own = batch if given == form else [[text[start:end] for start, end in words_of(text)] for text in batch]
            told = zip(own, answers.tags(reader, own), strict=True)
            lines = [line for pair in told for line in (*map(" ".join, zip(*pair, strict=True)), "")]
        elif form == "json":
            own = batch if given == form else [{"text": text} for text in batch]
            found = answer(reader, [each["text"] for each in own])
            pairs = zip(own, found, strict=True)
            lines = [_JSON.encode(each | one.plain()) for each, one in pairs]
        else:
            lines = list(itertools.chain.from_iterable(map(_said, answer(reader, batch))))
        yield lines


def _sentences(batches: Iterable[list[str]]) -> Iterator[list[list[str]]]:
    """The words of sentences in columns, each sentence as soon as the blank line after it is there."""
    rows: list[str] = []
    for batch in batches:
        found = []
        for line in batch:
            if line.strip():
                rows.append(line)
            elif rows:
                found.append(_words(rows))
                rows = []
        if found := [words for words in found if words]:
            yield found
    if words := _words(rows):
        yield [words]


def _words(rows: Sequence[str]) -> list[str]:
    """The words of a sentence's rows; of CoNLL-U without comments, parts of words, and words that are not written."""
    cells = [row.split("\t") for row in rows]
    if not any(len(row) == CONLLU_COLUMNS and row[0].isdecimal() for row in cells):
        return [row.split(maxsplit=1)[0] for row in rows]
    return [row[1] for row in cells if len(row) == CONLLU_COLUMNS and row[0].isdecimal()]


def _objects(batches: Iterable[list[str]]) -> Iterator[list[dict]]:
    number = 0
    for batch in batches:
        found = []
        for line in batch:
            number += 1
            if not line.strip():
                continue
            try:
                own = dict(json.loads(line))
                str.encode(own["text"])
                _JSON.encode(own).encode()  # what cannot be written again is told here, with its line
                found.append(own)
            except (ValueError, TypeError, KeyError, RecursionError):
                if found:
                    yield found
                raise SmallerError(
                    f'standard input:{number}: expected a JSON object with a text, such as {{"text": "..."}}; all '
                    "of it in UTF-8, and no NaN."
                ) from None
        if found:
            yield found


def _said(found: Tagged | Classified) -> Iterator[str]:
    yield found.text
    if found.unknown > 0.2:
        yield (
            f"  note: {found.unknown:.0%} of the words hold characters that the model's vocabulary does not "
            "have: its answer may be wrong there, and means little in a script that the model was not made for"
        )
    if isinstance(found, Classified):
        if found.truncated:
            yield "  note: longer than the model's positions, so only its beginning was read"
        yield f"  {found.label} ({found.score:.2f})" if found.label else "  no words"
        return
    if found.windows > 1:
        yield f"  note: longer than the model's positions, so read in {found.windows} parts"
    for entity in found.entities:
        yield f"  {entity.type:5} {entity.text}  ({entity.start}-{entity.end}, {entity.score:.2f})"
    if not found.entities:
        yield "  no entities" if found.words else "  no words"
