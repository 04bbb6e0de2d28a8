"""Tables of the `datasets` library: features, columns found from them, the cache, and long texts that stay on disk."""

from __future__ import annotations

import json

import datasets as library
import pyarrow
import pytest
from datasets import ClassLabel, Features, List, Value

from smaller import data
from smaller.base import files
from smaller.base.errors import SmallerError
from smaller.data import splits, tables
from smaller.data.examples import Sentence, Text

WORDS = [Sentence(("Asha", "yupo", "Kisumu"), ("B-PER", "O", "B-LOC")), Sentence(("",), ("O",))]
TEXTS = [Text("a game", "sports"), Text('a "cure"\n', "health")]
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


@pytest.fixture(autouse=True)
def cache(tmp_path, rooms):
    rooms(cache=tmp_path / "ca che")
    return tmp_path / "ca che"


@pytest.mark.parametrize(
    ("examples", "task", "labels"), [(WORDS, "ner", LABELS), (TEXTS, "topics", ("sports", "health"))]
)
def test_examples_go_into_a_table_and_come_back(examples, task, labels, tmp_path):
    table = tables.table_of(examples, task, labels)
    tables.write(tmp_path / "there", {"train": table}, {"note": "é"})
    again, about = tables.read(tmp_path / "there", "train")
    assert list(tables.examples_of(again, task)) == examples
    assert about["note"] == "é" and tables.is_whole(tmp_path / "there")
    assert again.cache_files, "a table of the cache is mapped into memory"


def test_a_data_set_of_files_has_the_ecosystem_s_features(tmp_path, rooms):
    rooms(data=tmp_path)
    for split in ("train", "dev", "test"):
        place = tmp_path / "masakhaner" / "lug" / f"{split}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("Asha B-PER\nyupo O\n\nKampala B-LOC\n", encoding="utf-8")
    found = data.load("masakhaner", "lug")
    names = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-DATE", "I-DATE"]
    assert found["train"].features == Features(
        {"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=names))}
    )
    assert found["test"][1] == {"tokens": ["Kampala"], "ner_tags": [5]}
    assert sorted(found) == ["dev", "test", "train"]
    assert data.load("sample-topics", "swa")["test"].features["label"].names[0] == "politics"


def test_a_file_is_parsed_once_and_again_when_its_content_changes(tmp_path, cache, rooms):
    rooms(data=tmp_path)
    place = tmp_path / "masakhaner" / "lug" / "dev.txt"
    place.parent.mkdir(parents=True)
    place.write_text("Asha B-PER\n")
    parsed = {}
    for content, times in (("Asha B-PER\n", 1), ("Asha B-PER\n", 1), ("Asha B-LOC\n", 2), ("Asha B-PER\n", 2)):
        place.write_text(content)
        splits._examples.cache_clear()
        assert splits.sentences("masakhaner", "lug", "dev") == [Sentence(("Asha",), (content[5:10],))]
        known, parsed = parsed, {file: file.stat().st_mtime_ns for file in cache.rglob("*.arrow")}
        assert len(parsed) == times and known.items() <= parsed.items(), "what was read before comes from the cache"


def test_a_cache_that_cannot_be_written_costs_time_and_nothing_else(tmp_path, rooms):
    (tmp_path / "file").write_text("")
    rooms(cache=tmp_path / "file")
    table, about = tables.kept("key", lambda: (tables.table_of(WORDS, "ner", LABELS), {"a": 1}))
    assert len(table) == 2 and about == {"a": 1}


def test_lines_of_a_text_are_read_where_they_are_asked_for():
    chunks = [pyarrow.array(["one\n\n two ", None, ""]), pyarrow.array(["three\u0085still", "four"])]
    lines = tables.Lines(tables.lines_table(chunks, where="here"))
    assert list(lines) == lines[:] == ["one", "two", "three\u0085still", "four"]
    assert (len(lines), lines[-1], lines[1:3], lines.take([3, 0])) == (
        4,
        "four",
        ["two", "three\u0085still"],
        ["four", "one"],
    )
    with pytest.raises(IndexError):
        lines[4]
    with pytest.raises(SmallerError, match="here: the table has no text"):
        tables.lines_table([pyarrow.array(["", "\n"])], where="here")


def table(**columns):
    features = columns.pop("features", None)
    return library.Dataset.from_dict(columns, features=features)


STRINGS = Features({"text": Value("string"), "label": Value("string")})
CLASSES = Features({"words": List(Value("string")), "tags": List(ClassLabel(names=["O", "B-X", "I-X"]))})
READABLE = {
    "class labels of words": (table(words=[["a", "b"]], tags=[[1, 0]], features=CLASSES), "ner"),
    "tags as strings": (table(tokens=[["a", "b"]], ner_tags=[["B-X", "O"]]), "ner"),
    "parts of speech": (table(tokens=[["a", "b"]], upos=[["NOUN", "VERB"]]), "pos"),
    "sentiments": (table(tweet=["a"], label=["positive"]), "sentiment"),
    "topics beside a number": (table(index=[1], text=["a"], category=["sports"]), "topics"),
}


@pytest.mark.parametrize("name", READABLE)
def test_columns_and_task_are_found_from_the_features(name):
    given, task = READABLE[name]
    examples, found, _ = tables.labelled(given, where="here")
    assert (len(examples), found) == (1, task)
    assert examples[0].words[0] == "a"


REFUSED = {
    "no labels": (table(text=["a"], number=[1]), "here: the columns are text, number; expected a list of words"),
    "numbers without names": (table(tokens=[["a"]], ner_tags=[[1]]), "'ner_tags' are of type int64 and have no names"),
    "a text and a number": (table(text=["a"], label=[1]), "'label' are of type int64 and have no names"),
    "too few labels": (table(tokens=[["a", "b"]], ner_tags=[["O"]]), "here, row 0: 2 words and 1 labels"),
    "an empty text": (table(text=["a", " "], label=["x", "y"]), "here, row 1: found an empty text"),
    "a missing label": (table(text=["a"], label=[None], features=STRINGS), "here, row 0: the column 'label' is empty"),
    "a missing tag": (table(tokens=[["a", "b"]], ner_tags=[["O", None]]), "here, row 0: a label is missing"),
    "words that are numbers": (table(tokens=[[1]], ner_tags=[["O"]]), "here, row 0: the words in the column 'tokens'"),
    "nothing": (table(text=[], label=[], features=STRINGS), "no row"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_nobody_could_understand_is_refused_with_the_columns(name):
    given, message = REFUSED[name]
    with pytest.raises(SmallerError, match=message):
        tables.labelled(given, where="here")


def test_damage_in_a_kept_table_is_seen_and_what_is_made_from_files_is_made_again(tmp_path):
    place = tmp_path / "there"
    tables.write(place, {"table": tables.table_of(WORDS, "ner", LABELS)}, {})
    (arrow,) = place.rglob("*.arrow")
    content = arrow.read_bytes()
    arrow.write_bytes(content[: len(content) // 2])
    assert not tables.is_whole(place)
    assert oct(place.stat().st_mode)[-3:] == "755", "others may read a shared cache"
    made = []

    def make():
        made.append(1)
        return tables.table_of(WORDS, "ner", LABELS), {}

    tables.kept("key", make)
    (about,) = (tmp_path / "ca che" / "data" / "tables").rglob("state.json")
    about.unlink()
    table, _ = tables.kept("key", make)
    assert len(table) == 2 and len(made) == 2


def test_two_that_write_one_folder_leave_one(tmp_path, monkeypatch):
    place, given = tmp_path / "there", tables.table_of(WORDS, "ner", LABELS)
    remove, waiting = files.remove, [{"by": "another"}]

    def then_another(folder):  # another process puts its own there in this moment
        remove(folder)
        if waiting:
            tables.write(place, {"table": given}, waiting.pop())

    monkeypatch.setattr(files, "remove", then_another)
    tables.write(place, {"table": given}, {"by": "this"})
    assert json.loads((place / tables.ABOUT_FILE).read_bytes())["by"] == "another"
    assert tables.is_whole(place) and [path.name for path in tmp_path.iterdir() if "draft" in path.name] == []
