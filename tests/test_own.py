"""Data of one's own: forms that people have are read, what is missing is held out, what is wrong is said."""

from __future__ import annotations

import gzip

import pytest

from smaller.data import datasets, own, splits
from smaller.data.readers import Sentence, Text
from smaller.errors import SmallerError

TWO_COLUMNS = "Amina\tB-PER\nalienda\tO\n\nLagos\tB-LOC\nIsland\tI-LOC\n"
CONLL_2003 = (
    "-DOCSTART- -X- O O\n\nAmina NNP B-NP S-PER\nwent VB B-VP O\n\nLagos NNP B-NP B-LOC\nIsland NNP I-NP E-LOC\n"
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SMALLER_CACHE", str(tmp_path / "cache"))


def write(folder, **files: str):
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("text", [TWO_COLUMNS, CONLL_2003, "\ufeff" + TWO_COLUMNS.replace("\t", " ")])
def test_the_usual_forms_give_the_same_sentences(text, tmp_path):
    place = write(tmp_path / "mine", train__conll=text, dev__conll=text, test__conll=text)
    name, notes = own.bring(place, language="lug")
    assert splits.labels(name) == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    (first, second) = splits.sentences(name, "lug", "test")
    assert first.tags == ("B-PER", "O")
    assert second == Sentence(("Lagos", "Island"), ("B-LOC", "I-LOC"))
    assert notes[0] == "train: train.conll, 2 examples"


def test_the_name_stands_for_the_content(tmp_path):
    place = write(tmp_path / "mine", train__tsv=TWO_COLUMNS, dev__tsv=TWO_COLUMNS, test__tsv=TWO_COLUMNS)
    name, _ = own.bring(place)
    assert own.bring(place) == (name, own.bring(place)[1])
    write(place, test__tsv=TWO_COLUMNS.replace("Amina", "Zainab"))
    other, _ = own.bring(place)
    assert other != name
    assert splits.fingerprint(other, "und") != splits.fingerprint(name, "und")


def test_a_gzip_file_and_other_names_of_splits(tmp_path):
    place = write(tmp_path / "mine", training__iob2=TWO_COLUMNS, validation__bio=TWO_COLUMNS)
    (place / "test.txt.gz").write_bytes(gzip.compress(TWO_COLUMNS.encode()))
    name, notes = own.bring(place)
    assert len(splits.sentences(name, "und", "dev")) == len(splits.sentences(name, "und", "test")) == 2
    assert len(notes) == 3


def test_one_file_is_divided(tmp_path):
    file = tmp_path / "all.tsv"
    file.write_text("\n\n".join(f"Amina{number}\tB-PER" for number in range(100)), encoding="utf-8")
    name, notes = own.bring(file)
    parts = {split: splits.sentences(name, "und", split) for split in ("train", "dev", "test")}
    assert {split: len(part) for split, part in parts.items()} == {"train": 81, "dev": 9, "test": 10}
    assert len({sentence for part in parts.values() for sentence in part}) == 100
    assert "test: 10 of the training examples" in notes[1]


def test_texts_with_and_without_a_header(tmp_path):
    titled = 'id\tcategory\ttext\n1\tsports\ta game\n2\thealth\ta "cure"\n'
    place = write(tmp_path / "mine", train__tsv=titled, dev__tsv="a match\tsports\n", test__tsv="a pill\thealth\n")
    name, _ = own.bring(place, task="topics", language="swa")
    assert splits.labels(name) == ("health", "sports")
    assert splits.sentences(name, "swa", "train") == [Text("a game", "sports"), Text('a "cure"', "health")]
    assert splits.sentences(name, "swa", "dev") == [Text("a match", "sports")]
    assert splits.text(name, "swa") == ["a game", 'a "cure"']


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train__txt": "Amina PERSON\n"}, r"train.txt:1: found the tag 'PERSON'; expected O, or B- or I-"),
        ({"train__txt": "Amina B-PER\n\nLagos\n"}, r"train.txt:3: found 'Lagos'; expected a word and its tag"),
        ({"train__txt": "\n"}, r"train.txt: the file is empty"),
        ({"train__txt": "Amina O\n", "dev__txt": "a O\n", "test__txt": "a O\n"}, r"label other than O"),
        ({"train__txt": "Amina B-PER\n"}, r"too few to hold any out"),
        ({"dev__txt": "Amina B-PER\n"}, r"no file of training examples"),
        ({"train__txt": "a B-X\n", "train__tsv": "a\tB-X\n"}, r"several files for train: train.tsv, train.txt"),
        ({"train__txt": "a B-X\n", "dev__txt": "a B-Y\n", "test__txt": "a O\n"}, r"dev.txt: Y occur in dev"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(files, message, tmp_path):
    with pytest.raises(SmallerError, match=message):
        own.bring(write(tmp_path / "mine", **files))


def test_binary_data_a_missing_path_and_a_lost_cache(tmp_path):
    place = write(tmp_path / "mine")
    (place / "train.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SmallerError, match=r"train.txt: byte 0 is not UTF-8"):
        own.bring(place)
    with pytest.raises(SmallerError, match="no file and no folder"):
        own.bring(tmp_path / "nowhere")
    with pytest.raises(SmallerError, match="is not in the cache"):
        datasets.dataset("own-000000000000")
