"""Data of one's own: labelled files in the forms that people have, or tables in memory, brought into the cache."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from smaller.base.errors import SmallerError, briefly
from smaller.base.files import told
from smaller.base.paths import expanded
from smaller.data import datasets, readers, tables, tasks
from smaller.data.columns import UNIVERSAL
from smaller.data.datasets import OWN, SPLITS
from smaller.data.examples import Example, Reading, Text
from smaller.data.languages import language as language_of
from smaller.data.schemes import WrongTag, scheme_of, types_of

if TYPE_CHECKING:
    from datasets import Dataset as Table
    from datasets import DatasetDict

NAMES = {
    "train": ("train", "training"),
    "dev": ("dev", "devel", "valid", "validation", "val", "eval"),
    "test": ("test", "testing"),
}
"""What the files of each split are called, before their ending."""

HELD_OUT = 10
"""Where a split is missing, one training example in so many is held out for it."""


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
    they are there `dev` and `test`, or one file, in any form that `readers.read` reads. `task` is one of `tasks.TASKS`;
    without it plain files are for "ner", and tables say it by their columns. `language` is any of ISO 639-3 or a
    BCP 47 tag. Of a split that is missing, every tenth training example is held out for it. The notes say what each
    file was taken for.
    Raises SmallerError with file and line, or row, for what cannot be read, for a label that no training example has,
    and for a split of entities without one.
    """
    code = language_of(language).code
    if task:
        tasks.task(task)
    where = str(given) if isinstance(given, Path | str) else "the data set in memory"
    splits, files = _given(given, task=task or "ner")
    read = {split: part for split, part in splits.items() if isinstance(part, Reading)}
    if read:
        _require_headers(read, files)
        notes = [f"{split}: {Path(files[split]).name}, {reading}" for split, reading in read.items()]
        brought = _whole(task or "ner", {split: reading.examples for split, reading in read.items()}, where, files)
    else:
        notes = [f"{split}: {Path(files.get(split, where)).name}, {len(part):,} rows" for split, part in splits.items()]
        brought = understood(splits, where=where, task=task)
        if brought.text is not None:
            columns = ", ".join(splits["train"].column_names)
            raise SmallerError(f"{where} has no labels: its columns are {columns}.")
    if tasks.task(brought.task).spans:
        for split, examples in brought.splits.items():
            if not any(tag != "O" for each in examples for tag in each.tags):
                raise SmallerError(
                    f"{files.get(split, f'{where}, {split}')}: no word of its {len(examples):,} sentences has a label "
                    "other than O, so F1 is not defined on it. Check its column of tags."
                )
    name = f"{OWN}{digest(brought, code)[:12]}"
    place = datasets.place_of(name)
    if not tables.is_whole(place):
        about = {"licence": "that of its owner", "non_commercial": False, "citation": "data of one's own", "url": ""}
        keep(place, brought, language=code, about=about)
    return name, [*notes, *brought.notes]


def _require_headers(read: Mapping[str, Reading], files: Mapping[str, str]) -> None:
    """Raise SmallerError where a file seems to begin with a header that nobody knows.

    Its label is then that of no other example of all files, or all files begin with the same row.
    """
    firsts = {split: reading.examples[0] for split, reading in read.items() if not reading.titled}
    labels = Counter(label for reading in read.values() for each in reading.examples for label in each.labels)
    labels.subtract(first.labels[0] for first in firsts.values())
    same = len(firsts) > 1 and len({(each.words, each.labels) for each in firsts.values()}) == 1
    for split, first in firsts.items():
        label = first.labels[0]
        if label == "O":
            continue
        if same or (labels[label] == 0 and label not in UNIVERSAL and max(labels.values()) > 1):
            place = "all files begin" if same else f"{files[split]} begins"
            raise SmallerError(
                f"{place} with {' '.join(first.words)[:60]!r} and the label {label.removeprefix('B-')!r}, as a header "
                "would. Call the columns of a header text and label, or word and tag; if it is an example, put it "
                "further down."
            )


def hold_out(splits: dict[str, list[Example]], *, where: str) -> list[str]:
    """Give a split that is missing one of every ten training examples; returns a note for each.

    It is the last of the ten, unless no other training example has one of its labels: then it is the one before it.
    """
    notes = []
    for split in ("test", "dev"):
        if split in splits:
            continue
        train = splits["train"]
        left = Counter(label for each in train for label in set(each.labels))
        held = []
        for first in range(0, len(train) - HELD_OUT + 1, HELD_OUT):
            for place in range(first + HELD_OUT - 1, first - 1, -1):
                labels = set(train[place].labels)
                if all(left[label] > 1 for label in labels):
                    left.subtract(labels)
                    held.append(place)
                    break
        if not held:
            raise SmallerError(
                f"{where}: {len(train)} examples are too few to hold any out for {split}; give a file for it, or at "
                f"least {HELD_OUT} examples, with another example of each label."
            )
        gone = set(held)
        splits["train"] = [each for place, each in enumerate(train) if place not in gone]
        splits[split] = [train[place] for place in held]
        notes.append(f"{split}: {len(held):,} of the training examples, since there is no file for it")
    return notes


def named(given: object, *, language: str) -> str:
    """The name of a data set, whether it was given by name or as tables in memory, which are brought."""
    return datasets.in_key(given) if isinstance(given, str) else bring(given, language=language)[0]


def understood(splits: Mapping[str, Table], *, where: str, task: str = "") -> Brought:
    """What tables hold, by the features of their columns."""
    splits = {split: tables.with_usual_names(table) for split, table in splits.items()}
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
    return _whole(task, found, where, {}, declared=declared)


def _whole(
    task: str,
    found: dict[str, list[Example]],
    where: str,
    files: Mapping[str, str],
    declared: Sequence[str] | None = None,
) -> Brought:
    """The examples of all splits with their classes; what is missing is held out. `files` are those of the splits."""
    spans = tasks.task(task).spans
    notes = hold_out(found, where=where)
    occurring = _classes(found, {split: files.get(split, f"{where}, {split}") for split in found}, spans=spans)
    # In the order of the class labels, where there are any that hold all that occurs.
    classes = _declared(declared, spans=spans)
    classes = classes if set(occurring) <= set(classes) else occurring
    return Brought(task, tuple(classes), {split: found[split] for split in SPLITS}, notes=notes)


def _declared(names: Sequence[str] | None, *, spans: bool) -> list[str]:
    """The classes that class labels name, in their order; none where they are no labels in BIO form."""
    try:
        return [] if not names or (spans and scheme_of(names) == "none") else list(types_of(names) if spans else names)
    except WrongTag:
        return []


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
    with told(f"The data could not be kept in {place.parent}", "Make room, or set SMALLER_CACHE to another folder."):
        tables.write(place, made, facts | dict(about))


def _given(given: object, *, task: str) -> tuple[dict, dict[str, str]]:
    """The splits that were given, as readings of files or as tables, and the file of each one."""
    if isinstance(given, Path | str):
        place = expanded(given)
        if place.is_dir() and ((place / "dataset_dict.json").is_file() or (place / "dataset_info.json").is_file()):
            return _saved(place), {}
        files = _files(place)
        if all(readers.ending(file) in readers.ROWS for file in files.values()):
            found = {split: readers.raw_table(file) for split, file in files.items()}
        else:
            found = {split: readers.read(file, task) for split, file in files.items()}
        return found, {split: str(file) for split, file in files.items()}
    return _of_memory(given), {}


def _saved(place: Path) -> dict[str, Table]:
    from datasets import load_from_disk

    try:
        return _of_memory(load_from_disk(str(place)))
    except (OSError, ValueError, KeyError) as problem:
        raise SmallerError(f"{place}: cannot be read as a saved data set ({briefly(problem)}).") from None


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
        fitting = [file for file in sorted(place.iterdir()) if _is_of(file, names)]
        if len(fitting) > 1:
            raise SmallerError(
                f"{place} has several files for {split}: {', '.join(file.name for file in fitting)}. Leave one."
            )
        if fitting:
            found[split] = fitting[0]
    if "train" not in found:
        raise SmallerError(
            f"{place} has no file of training examples: expected train with one of the endings "
            f"{', '.join((*readers.PLAIN, *readers.ROWS))}, plain or gz."
        )
    return found


def _is_of(file: Path, names: Sequence[str]) -> bool:
    """Whether a file is that of a split by its name: train.txt, or one that ends so, as xx-ud-train.iob2 does."""
    ending = readers.ending(file)
    stem = file.name.lower().removesuffix(".gz").removesuffix(ending)
    return bool(ending) and re.split(r"[-_.]", stem)[-1] in names


def _classes(splits: Mapping[str, Sequence[Example]], files: Mapping[str, str], *, spans: bool) -> list[str]:
    """The classes, the most frequent of the training examples first."""
    counts = {
        split: Counter(
            tag[2:] if spans else tag for each in examples for tag in each.labels if not (spans and tag == "O")
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
