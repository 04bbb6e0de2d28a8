"""Data of one's own: labelled files in the forms that people have, or tables in memory, brought into the cache."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from smaller.data import datasets, readers, tables, tasks
from smaller.data.datasets import OWN
from smaller.data.descriptions import SPLITS
from smaller.data.examples import Example, Sentence, Text
from smaller.data.files import read_content
from smaller.data.languages import language as language_of
from smaller.errors import SmallerError

if TYPE_CHECKING:
    from datasets import Dataset as Table
    from datasets import DatasetDict

NAMES = {
    "train": ("train", "training"),
    "dev": ("dev", "devel", "valid", "validation", "val", "eval"),
    "test": ("test", "testing"),
}
"""What the files of each split are called, before their ending."""

PLAIN = (".txt", ".tsv", ".conll", ".conllu", ".iob", ".iob2", ".bio")
ROWS = (".parquet", ".csv", ".jsonl", ".json")
HELD_OUT = 10
"""Where a split is missing, one training example in so many is held out for it."""

_TAG = re.compile(r"([BIESLU])-(\S+)")
_AS_BIO = {"B": "B", "I": "I", "E": "I", "L": "I", "S": "B", "U": "B"}
_TEXT_COLUMNS, _LABEL_COLUMNS = ("text", "tweet", "sentence"), ("label", "category", "class", "topic")


@dataclass(frozen=True)
class Brought:
    """What was brought: its task, its classes, and for each split its examples; or lines, of unlabelled text."""

    task: str
    classes: tuple[str, ...]
    splits: Mapping[str, Sequence[Example]]
    text: Table | None = None
    notes: Sequence[str] = ()

    def __str__(self) -> str:
        if self.text is not None:
            return f"text, {len(self.text):,} lines"
        counts = ", ".join(f"{split} {len(examples):,}" for split, examples in self.splits.items())
        return f"{self.task}, {counts} examples; classes {', '.join(self.classes)}"

    def tables(self) -> dict[str, Table]:
        """The splits as tables."""
        if self.text is not None:
            return {"train": self.text}
        labels = tasks.task(self.task).labels(self.classes)
        return {split: tables.table_of(examples, self.task, labels) for split, examples in self.splits.items()}


def bring(given: Path | str | Table | DatasetDict, *, task: str = "", language: str = "und") -> tuple[str, list[str]]:
    """Put labelled data into the cache as a data set; returns its name, which stands for the content, and notes.

    `given` is a `DatasetDict` or a `Dataset` in memory, a folder that one was saved to, a folder with `train`, and if
    they are there `dev` and `test`, or one file. Files: CoNLL (one word a line with its tag in the last column, between
    tabs or spaces, and a blank line between sentences; BIOES tags become BIO), a table of text and label between tabs,
    Parquet, CSV or JSON lines. `task` is one of `tasks.TASKS`; without it plain files are for "ner", and tables say it
    by their columns. Of a split that is missing, every tenth training example is held out for it.
    Raises SmallerError with file and line, or row, for what cannot be read, and for a label that no training example
    has.
    """
    language_of(language)
    if task:
        tasks.task(task)
    where = str(given) if isinstance(given, Path | str) else "the data set in memory"
    splits, files = _given(given, task=task or "ner")
    if isinstance(next(iter(splits.values())), list):
        task = task or "ner"
        notes = [f"{split}: {files[split]}, {len(examples):,} examples" for split, examples in splits.items()]
    else:
        notes = [f"{split}: {files.get(split, where)}, {len(table):,} rows" for split, table in splits.items()]
        brought = understood(splits, where=where, task=task)
        if brought.text is not None:
            columns = ", ".join(splits["train"].column_names)
            raise SmallerError(f"{where} has no labels: its columns are {columns}.")
        return _brought(brought, language), [*notes, *brought.notes]
    notes += hold_out(splits, where=where)
    classes = _classes(
        splits,
        {split: f"{where}/{files[split]}" if split in files else where for split in splits},
        spans=tasks.task(task).spans,
    )
    brought = Brought(task, tuple(classes), {split: splits[split] for split in SPLITS})
    return _brought(brought, language), notes


def _brought(brought: Brought, language: str) -> str:
    name = f"{OWN}{digest(brought, language)[:12]}"
    place = datasets.place_of(name)
    if not tables.is_whole(place):
        about = {"licence": "that of its owner", "non_commercial": False, "citation": "data of one's own", "url": ""}
        keep(place, brought, language=language, about=about)
    return name


def hold_out(splits: dict[str, list[Example]], *, where: str) -> list[str]:
    """Give a split that is missing every tenth training example; returns a note for each."""
    notes = []
    for split in ("test", "dev"):
        if split not in splits:
            held = splits["train"][HELD_OUT - 1 :: HELD_OUT]
            if not held:
                raise SmallerError(
                    f"{where}: {len(splits['train'])} examples are too few to hold any out for "
                    f"{split}; give a file for it, or at least {HELD_OUT} examples."
                )
            splits["train"] = [each for place, each in enumerate(splits["train"], start=1) if place % HELD_OUT]
            splits[split] = held
            notes.append(f"{split}: {len(held):,} of the training examples, since there is no file for it")
    return notes


def named(given: object, *, language: str) -> str:
    """The name of a data set, whether it was given by name or as tables in memory, which are brought."""
    return datasets.in_key(given) if isinstance(given, str) else bring(given, language=language)[0]


def understood(splits: Mapping[str, Table], *, where: str, task: str = "") -> Brought:
    """What tables hold, by the features of their columns."""
    first = next(iter(splits.values()))
    kinds = {name: getattr(kind, "dtype", "") for name, kind in first.features.items()}
    text = next((name for name in tables.TEXT_COLUMNS if "string" in kinds.get(name, "")), None)
    labels = [name for name in kinds if name in (*tables.TAG_COLUMNS, *tables.CLASS_COLUMNS)]
    if text and not labels and not task:
        column = splits["train"].with_format(None).data.column(text)
        return Brought("text", (), {}, tables.lines_table(column.chunks, where=where))
    if "train" not in splits:
        raise SmallerError(f"{where} has no training split; it has {', '.join(splits)}.")
    found: dict[str, list[Example]] = {}
    declared: list[str] | None = None
    for split in SPLITS:
        if split in splits:
            found[split], task, names = tables.labelled(splits[split], where=f"{where}, {split}", task=task)
            declared = names if split == "train" else declared
    known = tasks.task(task)
    if known.spans:
        found = {split: [_in_bio(each, f"{where}, {split}") for each in examples] for split, examples in found.items()}
    notes = hold_out(found, where=where)
    occurring = _classes(found, {split: f"{where}, {split}" for split in found}, spans=known.spans)
    classes = _declared(declared, spans=known.spans)
    # In the order of the class labels, where there are any that hold all that occurs.
    classes = classes if set(occurring) <= set(classes) else occurring
    return Brought(task, tuple(classes), {split: found[split] for split in SPLITS}, notes=notes)


def _declared(names: Sequence[str] | None, *, spans: bool) -> list[str]:
    """The classes that class labels name, in their order; none where they are no labels in BIO form."""
    if not names or (spans and any(name != "O" and not _TAG.fullmatch(name) for name in names)):
        return []
    return list(dict.fromkeys(name[2:] for name in names if name != "O")) if spans else list(names)


def _in_bio(sentence: Sentence, where: str) -> Sentence:
    return Sentence(sentence.words, tuple(_bio(tag, where=where) for tag in sentence.tags))


def digest(brought: Brought, language: str) -> str:
    """The SHA-256 of the content: of the examples and the order of the classes, not of the form in which they came."""
    found = hashlib.sha256(json.dumps([brought.task, brought.classes, language]).encode())
    for split, examples in brought.splits.items():
        found.update(split.encode())
        for each in examples:
            row = [each.text, each.label] if isinstance(each, Text) else [each.words, each.tags]
            found.update(json.dumps(row, ensure_ascii=False).encode())
    if brought.text is not None:
        for line in tables.Lines(brought.text):
            found.update(line.encode() + b"\n")
    return found.hexdigest()


def keep(place: Path, brought: Brought, *, language: str, about: Mapping[str, object]) -> None:
    """Write what was brought to the cache, whole or not at all."""
    made = brought.tables()
    facts = {
        "task": brought.task,
        "classes": list(brought.classes),
        "language": language,
        "splits": list(made),
        "fingerprint": digest(brought, language),
    }
    try:
        tables.write(place, made, facts | dict(about))
    except OSError as problem:
        raise SmallerError(
            f"The data could not be kept in {place.parent}: {problem.strerror or problem}. Make room, or "
            "set SMALLER_CACHE to another folder."
        ) from None


def _given(given: object, *, task: str) -> tuple[dict, dict[str, str]]:
    """The splits that were given, as lists of examples or as tables, and the name of each one's file."""
    if isinstance(given, Path | str):
        place = Path(given).expanduser()
        if place.is_dir() and ((place / "dataset_dict.json").is_file() or (place / "dataset_info.json").is_file()):
            return _saved(place), {}
        files = _files(place)
        if all(_ending(file) in ROWS for file in files.values()):
            found = {split: readers.raw_table(file) for split, file in files.items()}
        else:
            read = _read_texts if tasks.task(task).unit == "text" else _read_words
            spans = tasks.task(task).spans
            found = {split: list(read(file, spans=spans)) for split, file in files.items()}
        return found, {split: file.name for split, file in files.items()}
    return _of_memory(given), {}


def _saved(place: Path) -> dict[str, Table]:
    from datasets import load_from_disk

    try:
        return _of_memory(load_from_disk(str(place)))
    except (OSError, ValueError, KeyError) as problem:
        told = " ".join(str(problem).split())[:160]
        raise SmallerError(f"{place}: cannot be read as a saved data set ({told}).") from None


def _of_memory(given: object) -> dict[str, Table]:
    from datasets import Dataset as Table
    from datasets import DatasetDict

    if isinstance(given, Table):
        return {"train": given}
    if not isinstance(given, DatasetDict):
        raise SmallerError(f"A data set is a name, a path, a DatasetDict or a Dataset; {type(given).__name__} is none.")
    found = {split: given[name] for split, names in NAMES.items() for name in given if name.lower() in names}
    if "train" not in found:
        raise SmallerError(f"The data set in memory has no training split; it has {', '.join(given) or 'none'}.")
    return found


def _files(place: Path) -> dict[str, Path]:
    """The file of each split that is there."""
    if place.is_file():
        return {"train": place}
    if not place.is_dir():
        raise SmallerError(
            f"There is no file and no folder {place}. Name a labelled file, or a folder with train, dev and test."
        )
    found = {}
    for split, names in NAMES.items():
        fitting = [file for file in sorted(place.iterdir()) if _stem(file) in names]
        if len(fitting) > 1:
            raise SmallerError(
                f"{place} has several files for {split}: {', '.join(file.name for file in fitting)}. Leave one."
            )
        if fitting:
            found[split] = fitting[0]
    if "train" not in found:
        raise SmallerError(
            f"{place} has no file of training examples: expected train with one of the endings "
            f"{', '.join((*PLAIN, *ROWS))}, plain or gz."
        )
    return found


def _ending(file: Path) -> str:
    name = file.name.lower().removesuffix(".gz")
    return next((ending for ending in (*PLAIN, *ROWS) if name.endswith(ending)), "")


def _stem(file: Path) -> str:
    ending = _ending(file)
    return file.name.lower().removesuffix(".gz").removesuffix(ending) if ending else ""


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        text = read_content(file).decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise SmallerError(f"{file}: byte {problem.start} is not UTF-8 text. Save the file as UTF-8.") from None
    if not text.strip():
        raise SmallerError(f"{file}: the file is empty.")
    for number, line in enumerate(text.split("\n"), start=1):
        yield number, line.rstrip("\r")


def _read_words(file: Path, *, spans: bool) -> Iterator[Sentence]:
    words: list[str] = []
    tags: list[str] = []
    for number, line in _lines(file):
        columns = line.split("\t") if "\t" in line else line.split()
        if not line.strip() or columns[0] == "-DOCSTART-":
            if words:
                yield Sentence(tuple(words), tuple(tags))
            words, tags = [], []
        elif not (line.startswith("# ") and len(columns) != 2):
            if len(columns) < 2 or not columns[-1].strip() or " " in columns[0].strip():
                raise SmallerError(
                    f"{file}:{number}: found {line[:60]!r}; expected a word and its tag, separated by a tab or a space."
                )
            tag = columns[-1].strip()
            words.append(readers.composed(columns[0].strip()))
            tags.append(_bio(tag, where=f"{file}:{number}") if spans else tag)
    if words:
        yield Sentence(tuple(words), tuple(tags))


def _bio(tag: str, *, where: str) -> str:
    if tag == "O":
        return tag
    found = _TAG.fullmatch(tag)
    if not found:
        raise SmallerError(f"{where}: found the tag {tag!r}; expected O, or B- or I- and a type, such as B-PER.")
    return f"{_AS_BIO[found[1]]}-{found[2]}"


def _read_texts(file: Path, *, spans: bool) -> Iterator[Text]:
    lines = [(number, line.split("\t")) for number, line in _lines(file) if line.strip()]
    header = [cell.strip().lower() for cell in lines[0][1]]
    text = next((header.index(name) for name in _TEXT_COLUMNS if name in header), None)
    label = next((header.index(name) for name in _LABEL_COLUMNS if name in header), None)
    titled = text is not None and label is not None
    text, label, width = (text, label, len(header)) if titled else (0, 1, 2)
    for number, cells in lines[titled:]:
        if len(cells) != width or not cells[text].strip() or not cells[label].strip():
            expected = "as many as the header" if titled else "a text and its label"
            raise SmallerError(
                f"{file}:{number}: found {len(cells)} column(s); expected {expected}, separated by "
                "a tab, none of them empty."
            )
        yield Text(readers.composed(cells[text].strip()), cells[label].strip())


def _classes(splits: Mapping[str, Sequence[Example]], files: Mapping[str, str], *, spans: bool) -> list[str]:
    """The classes, the most frequent of the training examples first."""
    counts = {
        split: Counter(
            tag[2:] if spans else tag
            for each in examples
            for tag in ([each.label] if isinstance(each, Text) else each.tags)
            if not (spans and tag == "O")
        )
        for split, examples in splits.items()
    }
    if not counts["train"]:
        raise SmallerError(
            f"{files.get('train', 'train')}: no example has a label other than O, so there is nothing to learn."
        )
    for split, found in counts.items():
        unknown = sorted(set(found) - set(counts["train"]))
        if unknown:
            raise SmallerError(
                f"{files.get(split, split)}: {', '.join(unknown)} occur in {split} and not in "
                "any training example; a model cannot learn them."
            )
    return sorted(counts["train"], key=lambda name: (-counts["train"][name], name))
