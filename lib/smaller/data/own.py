"""Data of one's own: labelled files in the forms that people have, brought into the cache as a data set."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from smaller.data import tasks
from smaller.data.datasets import OWN, dataset
from smaller.data.files import read_content
from smaller.data.languages import language as language_of
from smaller.errors import SmallerError
from smaller.paths import cache_folder

NAMES = {
    "train": ("train", "training"),
    "dev": ("dev", "devel", "valid", "validation", "val", "eval"),
    "test": ("test", "testing"),
}
"""What the files of each split are called, before their ending."""

ENDINGS = (".txt", ".tsv", ".conll", ".conllu", ".iob", ".iob2", ".bio")
HELD_OUT = 10
"""Where a split is missing, one training example in so many is held out for it."""

_TAG = re.compile(r"([BIESLU])-(\S+)")
_AS_BIO = {"B": "B", "I": "I", "E": "I", "L": "I", "S": "B", "U": "B"}
_TEXT_COLUMNS, _LABEL_COLUMNS = ("text", "tweet", "sentence"), ("label", "category", "class", "topic")

Rows = list[list[tuple[str, str]]]
"""Examples as lists of (word, tag); a labelled text is a list of one pair."""


def bring(place: Path | str, *, task: str = "ner", language: str = "und") -> tuple[str, list[str]]:
    """Copy labelled files into the cache as a data set; returns its name, which stands for the content, and notes.

    `place` is a folder with `train`, and if they are there `dev` and `test`, or one file. Words: one a line with its
    tag in the last column, between tabs or spaces, and a blank line between sentences; BIOES tags become BIO. Texts: a
    table of text and label between tabs. Of a split that is missing, every tenth training example is held out for it.
    Raises SmallerError with file and line for what cannot be read, and for a label that no training example has.
    """
    known = tasks.task(task)
    language_of(language)
    files = _files(Path(place).expanduser())
    read = _read_texts if known.unit == "text" else _read_words
    splits = {split: list(read(file, spans=known.spans)) for split, file in files.items()}
    notes = [f"{split}: {file.name}, {len(splits[split]):,} examples" for split, file in files.items()]
    for split in ("test", "dev"):
        if split not in splits:
            held = splits["train"][HELD_OUT - 1 :: HELD_OUT]
            if not held:
                raise SmallerError(f"{files['train']}: {len(splits['train'])} examples are too few to hold any out for "
                                   f"{split}; give a file for it, or at least {HELD_OUT} examples.")  # fmt: skip
            del splits["train"][HELD_OUT - 1 :: HELD_OUT]
            splits[split] = held
            notes.append(f"{split}: {len(held):,} of the training examples, since there is no file for it")
    classes = _classes(splits, files, spans=known.spans)
    ending = "tsv" if known.unit == "text" else "txt"
    contents = {f"{language}/{split}.{ending}": _written(splits[split], table=ending == "tsv") for split in NAMES}
    about = {"task": task, "classes": classes, "language": language, "ending": ending}
    return _kept(contents, about), notes


def _files(place: Path) -> dict[str, Path]:
    """The file of each split that is there."""
    if place.is_file():
        return {"train": place}
    if not place.is_dir():
        raise SmallerError(f"There is no file and no folder {place}. Name a labelled file, or a folder with train, dev "
                           "and test.")  # fmt: skip
    found = {}
    for split, names in NAMES.items():
        fitting = [file for file in sorted(place.iterdir()) if _stem(file) in names]
        if len(fitting) > 1:
            raise SmallerError(f"{place} has several files for {split}: {', '.join(file.name for file in fitting)}. "
                               "Leave one.")  # fmt: skip
        if fitting:
            found[split] = fitting[0]
    if "train" not in found:
        raise SmallerError(f"{place} has no file of training examples: expected train with one of the endings "
                           f"{', '.join(ENDINGS)}, plain or gz.")  # fmt: skip
    return found


def _stem(file: Path) -> str:
    name = file.name.lower().removesuffix(".gz")
    return next((name.removesuffix(ending) for ending in ENDINGS if name.endswith(ending)), "")


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        text = read_content(file).decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise SmallerError(f"{file}: byte {problem.start} is not UTF-8 text. Save the file as UTF-8.") from None
    if not text.strip():
        raise SmallerError(f"{file}: the file is empty.")
    for number, line in enumerate(text.split("\n"), start=1):
        yield number, line.rstrip("\r")


def _read_words(file: Path, *, spans: bool) -> Iterator[list[tuple[str, str]]]:
    sentence: list[tuple[str, str]] = []
    for number, line in _lines(file):
        columns = line.split("\t") if "\t" in line else line.split()
        if not line.strip() or columns[0] == "-DOCSTART-":
            if sentence:
                yield sentence
            sentence = []
        elif not (line.startswith("# ") and len(columns) != 2):
            if len(columns) < 2 or not columns[-1].strip() or " " in columns[0].strip():
                raise SmallerError(f"{file}:{number}: found {line[:60]!r}; expected a word and its tag, separated by a "
                                   "tab or a space.")  # fmt: skip
            tag = columns[-1].strip()
            sentence.append((columns[0].strip(), _bio(tag, where=f"{file}:{number}") if spans else tag))
    if sentence:
        yield sentence


def _bio(tag: str, *, where: str) -> str:
    if tag == "O":
        return tag
    found = _TAG.fullmatch(tag)
    if not found:
        raise SmallerError(f"{where}: found the tag {tag!r}; expected O, or B- or I- and a type, such as B-PER.")
    return f"{_AS_BIO[found[1]]}-{found[2]}"


def _read_texts(file: Path, *, spans: bool) -> Iterator[list[tuple[str, str]]]:
    lines = [(number, line.split("\t")) for number, line in _lines(file) if line.strip()]
    header = [cell.strip().lower() for cell in lines[0][1]]
    text = next((header.index(name) for name in _TEXT_COLUMNS if name in header), None)
    label = next((header.index(name) for name in _LABEL_COLUMNS if name in header), None)
    titled = text is not None and label is not None
    text, label, width = (text, label, len(header)) if titled else (0, 1, 2)
    for number, cells in lines[titled:]:
        if len(cells) != width or not cells[text].strip() or not cells[label].strip():
            expected = "as many as the header" if titled else "a text and its label"
            raise SmallerError(f"{file}:{number}: found {len(cells)} column(s); expected {expected}, separated by "
                               "a tab, none of them empty.")  # fmt: skip
        yield [(cells[text].strip(), cells[label].strip())]


def _classes(splits: dict[str, Rows], files: dict[str, Path], *, spans: bool) -> list[str]:
    """The classes, the most frequent of the training examples first."""
    counts = {split: Counter(tag[2:] if spans else tag for example in examples for _, tag in example
                             if not (spans and tag == "O"))
              for split, examples in splits.items()}  # fmt: skip
    if not counts["train"]:
        raise SmallerError(f"{files['train']}: no example has a label other than O, so there is nothing to learn.")
    for split, found in counts.items():
        unknown = sorted(set(found) - set(counts["train"]))
        if unknown:
            raise SmallerError(f"{files.get(split, files['train'])}: {', '.join(unknown)} occur in {split} and not in "
                               "any training example; a model cannot learn them.")  # fmt: skip
    return sorted(counts["train"], key=lambda name: (-counts["train"][name], name))


def _written(examples: Sequence[Sequence[tuple[str, str]]], *, table: bool) -> bytes:
    if table:
        lines = ["text\tlabel", *("\t".join(pair) for example in examples for pair in example)]
        return ("\n".join(lines) + "\n").encode()
    return "".join("".join(f"{word} {tag}\n" for word, tag in example) + "\n" for example in examples).encode()


def _kept(contents: dict[str, bytes], about: dict) -> str:
    """Write the files to the cache, whole or not at all; returns the data set's name."""
    text = json.dumps(about, ensure_ascii=False, sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for name, content in contents.items():
        digest.update(name.encode() + content)
    name = f"{OWN}{digest.hexdigest()[:12]}"
    place = cache_folder() / "data" / name
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".own-", dir=place.parent))
        try:
            for path, content in contents.items():
                (draft / path).parent.mkdir(parents=True, exist_ok=True)
                (draft / path).write_bytes(content)
            (draft / "about.json").write_text(text, encoding="utf-8")
            if not place.is_dir():
                draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except OSError as problem:
        raise SmallerError(f"The data could not be kept in {place.parent}: {problem.strerror}. Make room, or set "
                           "SMALLER_CACHE to another folder.") from None  # fmt: skip
    dataset(name)  # what was written is what is read
    return name
