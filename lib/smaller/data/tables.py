"""Examples as tables of the `datasets` library: features, columns found from features, and a cache by fingerprint.

A table of sentences has `tokens` and `ner_tags` (or `upos`), one of texts `text` and `label`, one of unlabelled text
`text` alone. Labels are `ClassLabel`s. Tables are kept as Arrow files, which are mapped into memory when they are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from smaller.base.errors import SmallerError
from smaller.base.files import draft_of, write_whole
from smaller.base.paths import cache_folder
from smaller.data.datasets import ABOUT_FILE
from smaller.data.examples import Example, Sentence, Text
from smaller.data.files import content_checksum
from smaller.data.schemes import in_bio
from smaller.data.tasks import TASKS
from smaller.data.text import composed

if TYPE_CHECKING:
    from datasets import Dataset as Table
    from datasets import Features
    from pyarrow import Array

FORMAT = 2
"""The number of the form of kept tables; another one reads all files anew."""

LABEL_COLUMN = {"ner": "ner_tags", "pos": "upos", "topics": "label", "sentiment": "label"}
"""The column of the labels by task, as the ecosystem calls it."""

WORD_COLUMNS = ("tokens", "words", "token")
TAG_COLUMNS = ("ner_tags", "tags", "upos", "pos_tags", "labels", "ner", "label")
TEXT_COLUMNS = ("text", "tweet", "sentence", "content", "review", "headline", "title", "comment", "document", "body")
CLASS_COLUMNS = ("label", "labels", "category", "class", "topic", "sentiment", "target", "polarity")
"""What columns are called, in the order in which they are looked for."""


def features(task: str, labels: Sequence[str]) -> Features:
    """The features of a table for a task ("text" is unlabelled) with these labels."""
    from datasets import ClassLabel, Features, List, Value

    if task == "text":
        return Features({"text": Value("string")})
    names = ClassLabel(names=list(labels))
    if TASKS[task].unit == "text":
        return Features({"text": Value("string"), "label": names})
    return Features({"tokens": List(Value("string")), LABEL_COLUMN[task]: List(names)})


def table_of(examples: Sequence[Example] | Sequence[str], task: str, labels: Sequence[str] = ()) -> Table:
    """A table that holds the examples, or for the task "text" lines."""
    import pyarrow
    from datasets import Dataset as Table

    ids = {label: index for index, label in enumerate(labels)}
    if task == "text":
        rows = {"text": examples}
    elif TASKS[task].unit == "text":
        rows = {"text": [each.text for each in examples], "label": [ids[each.label] for each in examples]}
    else:
        tags = [[ids[tag] for tag in each.tags] for each in examples]
        rows = {"tokens": [list(each.words) for each in examples], LABEL_COLUMN[task]: tags}
    # The schema carries the features; `Table.from_dict` would look at every value once more.
    return Table(pyarrow.Table.from_pydict(rows, schema=features(task, labels).arrow_schema))


def examples_of(table: Table, task: str) -> tuple[Example, ...]:
    """The examples that a table holds."""
    column = LABEL_COLUMN[task]
    columns = table.with_format("arrow")[:]
    firsts, seconds = (columns[name].to_pylist() for name in ("text" if column == "label" else "tokens", column))
    if column == "label":
        names = table.features[column].names
        return tuple(Text(text, names[label]) for text, label in zip(firsts, seconds, strict=True))
    names = table.features[column].feature.names
    return tuple(
        Sentence(tuple(words), tuple(names[tag] for tag in tags)) for words, tags in zip(firsts, seconds, strict=True)
    )


class Lines(Sequence[str]):
    """The text column of a table as a read-only sequence, of which only what is asked for is read."""

    def __init__(self, table: Table) -> None:
        self._column = table.data.column("text")

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, place: int | slice) -> str | list[str]:
        found = self._column[place]
        return found.to_pylist() if isinstance(place, slice) else found.as_py()

    def __iter__(self) -> Iterator[str]:
        for chunk in self._column.chunks:
            for start in range(0, len(chunk), 10_000):
                yield from chunk[start : start + 10_000].to_pylist()

    def take(self, places: Sequence[int]) -> list[str]:
        """The lines at several places, in that order."""
        import pyarrow

        return self._column.take(pyarrow.array(places, type=pyarrow.int64())).to_pylist()


def lines_table(chunks: Iterable[Array], *, where: str) -> Table:
    """A table of unlabelled text from Arrow arrays of documents: one row a line, without blank ones."""
    import pyarrow
    import pyarrow.compute as compute
    from datasets import Dataset as Table

    parts = []
    for chunk in chunks:
        documents = chunk.cast(pyarrow.large_string()).drop_null()
        lines = compute.utf8_trim_whitespace(compute.list_flatten(compute.split_pattern(documents, "\n")))
        lines = compute.utf8_normalize(lines, form="NFC")
        parts.append(lines.filter(compute.not_equal(lines, "")).cast(pyarrow.string()))
    whole = pyarrow.chunked_array(parts, type=pyarrow.string())
    if not len(whole):
        raise SmallerError(f"{where}: the table has no text.")
    return Table(pyarrow.table({"text": whole}))


def with_usual_names(table: Table) -> Table:
    """The table with usual names of columns in small letters and without spaces around them, as they are looked for."""
    usual = {*WORD_COLUMNS, *TAG_COLUMNS, *TEXT_COLUMNS, *CLASS_COLUMNS}
    plain = {name: name.strip().lower() for name in table.column_names}
    return table.rename_columns(
        {name: other for name, other in plain.items() if other in usual and other not in table.column_names}
    )


def labelled(
    table: Table, *, where: str, task: str = "", columns: tuple[str, str] | None = None, classes: Sequence[str] = ()
) -> tuple[list[Example], str, list[str] | None]:
    """The examples of a table in whatever columns it has, their task, and the names of its class labels if it has any.

    The task is found from the columns where it is not given.

    `columns` name those of the words or text and of the labels. Labels are class labels or strings; numbers without
    names are an error, since nobody could say what they mean. Raises SmallerError that lists the columns.
    """
    table = table.with_format(None)
    first, second, unit = _columns(table, columns, unit=TASKS[task].unit if task else "", where=where)
    names = _names(table, second, where=where)
    rows = zip(table[first], table[second], strict=True)
    found: list[Example] = []
    numbers: list[int] = []
    for number, (value, label) in enumerate(rows):
        place = f"{where}, row {number}"
        if value is None or label is None:
            raise SmallerError(f"{place}: the column {first if value is None else second!r} is empty.")
        if unit == "text":
            if not value.strip():
                raise SmallerError(f"{place}: found an empty text; expected something to label.")
            found.append(Text(composed(value), _name(label, names, classes, place)))
        else:
            if len(value) != len(label):
                raise SmallerError(f"{place}: {len(value)} words and {len(label)} labels; expected as many.")
            if any(not isinstance(word, str | None) for word in value):
                raise SmallerError(f"{place}: the words in the column {first!r} are no text.")
            words = tuple(composed(word or "") for word in value)
            if words:
                numbers.append(number)
                found.append(Sentence(words, tuple(_name(each, names, classes, place) for each in label)))
    if not found:
        raise SmallerError(f"{where}: the table has no row.")
    task = task or _task(found, second)
    if TASKS[task].spans:
        rows, _ = in_bio([each.tags for each in found], place=lambda sentence, _: f"{where}, row {numbers[sentence]}")
        found = [Sentence(each.words, tuple(row)) for each, row in zip(found, rows, strict=True)]
    return found, task, names


def _columns(table: Table, given: tuple[str, str] | None, *, unit: str, where: str) -> tuple[str, str, str]:
    from datasets import LargeList, List, Value

    kinds = table.features
    listed = {name for name, kind in kinds.items() if isinstance(kind, List | LargeList)}
    strings = {name for name, kind in kinds.items() if isinstance(kind, Value) and "string" in kind.dtype}
    if given and all(name in kinds for name in given):
        return *given, "word" if given[0] in listed else "text"
    words = next((name for name in WORD_COLUMNS if name in listed), None)
    tags = next((name for name in TAG_COLUMNS if name in listed and name != words), None)
    if words and tags and unit != "text":
        return words, tags, "word"
    text = next((name for name in TEXT_COLUMNS if name in strings), None)
    label = next((name for name in CLASS_COLUMNS if name in kinds and name not in listed and name != text), None)
    if text and label and unit != "word":
        return text, label, "text"
    raise SmallerError(
        f"{where}: the columns are {', '.join(kinds)}; expected a list of words with a list of labels "
        "(tokens, ner_tags), or a text with its label (text, label)."
    )


def _names(table: Table, column: str, *, where: str) -> list[str] | None:
    """The names of class labels; None where the labels are strings."""
    from datasets import ClassLabel

    kind = getattr(table.features[column], "feature", table.features[column])
    if isinstance(kind, ClassLabel):
        return kind.names
    dtype = getattr(kind, "dtype", type(kind).__name__)
    if "string" in dtype:
        return None
    raise SmallerError(
        f"{where}: the labels in the column {column!r} are of type {dtype} and have no names. Give "
        "them names (datasets.ClassLabel), or write the labels themselves."
    )


def _name(label: int | str, names: list[str] | None, classes: Sequence[str], place: str) -> str:
    if label is None or label == "":
        raise SmallerError(f"{place}: a label is missing.")
    if names is not None and not 0 <= label < len(names):
        raise SmallerError(f"{place}: found the label {label}; there are {len(names)}.")
    name = str(label).strip() if names is None else names[label]
    if classes and name not in classes:
        raise SmallerError(f"{place}: found the label {name!r}; expected one of {', '.join(classes)}.")
    return name


def _task(examples: Sequence[Example], column: str) -> str:
    """What labelled examples are for, by their labels: spans in BIO form, parts of speech, sentiments, or topics."""
    if isinstance(examples[0], Text):
        found = {each.label.lower() for each in examples}
        return "sentiment" if found <= {"positive", "negative", "neutral", "mixed"} else "topics"
    tags = {tag for each in examples for tag in each.tags}
    return "ner" if "O" in tags or column == "ner_tags" else "pos"


def kept(key: str, make: Callable[[], tuple[Table, dict]]) -> tuple[Table, dict]:
    """The table that stands for a key in the cache, mapped into memory, with plain values about it.

    It is made and kept where it is not there. Where the cache cannot be written, the table stays in memory.
    """
    place = cache_folder() / "data" / "tables" / hashlib.sha256(f"{FORMAT} {key}".encode()).hexdigest()[:32]
    with contextlib.suppress(OSError, ValueError):
        return read(place)
    table, about = make()
    with contextlib.suppress(OSError):
        write(place, {"table": table}, about)
        return read(place)
    return table, about


def read(place: Path, name: str = "table") -> tuple[Table, dict]:
    """A table of a folder that `write` made, and what was written about it. Raises OSError or ValueError for damage."""
    from datasets import Dataset as Table

    about = json.loads((place / ABOUT_FILE).read_bytes())
    try:
        return Table.load_from_disk(str(place / name)), about
    except (KeyError, TypeError) as problem:
        raise ValueError(f"the table is damaged ({problem!r})") from None


def is_whole(place: Path) -> bool:
    """Whether a folder holds the tables that were written to it, by their checksums."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        files = json.loads((place / ABOUT_FILE).read_bytes())["files"]
        return bool(files) and all(content_checksum(place / name) == digest for name, digest in files.items())
    return False


def write(place: Path, tables: dict[str, Table], about: dict) -> None:
    """Write tables and plain values about them into a folder, whole or not at all; one that is there is replaced.

    Where another process is faster, its folder stays: what stands under one name is the same.
    """
    try:
        with draft_of(place) as draft:
            with _quiet():
                for name, table in tables.items():
                    table.save_to_disk(str(draft / name))
            arrows = sorted(draft.rglob("*.arrow"))
            about = about | {"files": {path.relative_to(draft).as_posix(): content_checksum(path) for path in arrows}}
            write_whole(draft / ABOUT_FILE, about)
    except OSError:
        if not is_whole(place):
            raise


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars that the library draws for every table."""
    import datasets

    drawn = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if drawn:
            datasets.enable_progress_bars()
