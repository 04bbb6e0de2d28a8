"""Data of one's own: forms that people have are read, what is missing is held out, what is wrong is said."""

from __future__ import annotations

import gzip

import datasets as library
import pytest

from smaller.base.errors import SmallerError
from smaller.data import datasets, own, splits
from smaller.data.examples import Sentence, Text
from smaller.data.sets import EvaluationSet
from smaller.study.recipes import Recipe, recipe_from_canonical
from smaller.study.steps import Distil, FineTune

TWO_COLUMNS = "Amina\tB-PER\nalienda\tO\n\nLagos\tB-LOC\nIsland\tI-LOC\n"
CONLL_2003 = (
    "-DOCSTART- -X- O O\n\nAmina NNP B-NP S-PER\nwent VB B-VP O\n\nLagos NNP B-NP B-LOC\nIsland NNP I-NP E-LOC\n"
)


@pytest.fixture(autouse=True)
def cache(tmp_path, rooms):
    rooms(cache=tmp_path / "cache")


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
    assert notes[0].startswith("train: train.conll, 2 sentences, 4 words, 2 entities (")
    wide = "4 columns between spaces, word 1st, tag 4th, tags in bioes, which became bio"
    assert (wide in notes[0]) == ("S-" in text)


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
        ({"train__txt": "Amina B-PER\n\nLagos\n"}, r"train.txt:3: found 1 column\(s\) in 'Lagos'; expected a word and"),
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
    with pytest.raises(SmallerError, match="train.txt:1: found byte 0xff, which is not UTF-8"):
        own.bring(place)
    with pytest.raises(SmallerError, match="no file and no folder"):
        own.bring(tmp_path / "nowhere")
    with pytest.raises(SmallerError, match="is not on this machine"):
        datasets.dataset("own-000000000000")


def four_ways(folder):
    """The same sentences as tables in memory, saved to disk, in Parquet, and in JSON lines."""
    rows = {
        "tokens": [["Amina", "yupo"], ["Lagos", "Island"]] * 10,
        "ner_tags": [["B-PER", "O"], ["B-LOC", "I-LOC"]] * 10,
    }
    table = library.Dataset.from_dict(rows)
    whole = library.DatasetDict({"train": table, "validation": table.select(range(4)), "test": table.select(range(6))})
    whole.save_to_disk(folder / "saved")
    for name, part in whole.items():
        (folder / "parquet").mkdir(exist_ok=True)
        (folder / "lines").mkdir(exist_ok=True)
        part.to_parquet(folder / "parquet" / f"{name}.parquet")
        part.to_json(folder / "lines" / f"{name}.jsonl")
    return [whole, folder / "saved", str(folder / "parquet"), folder / "lines"]


def test_tables_in_memory_and_in_files_are_one_data_set(tmp_path):
    names = {own.bring(given, language="lug")[0] for given in four_ways(tmp_path)}
    (name,) = names
    assert splits.labels(name) == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert [len(splits.sentences(name, "lug", split)) for split in ("train", "dev", "test")] == [20, 4, 6]
    assert splits.sentences(name, "lug", "dev")[1] == Sentence(("Lagos", "Island"), ("B-LOC", "I-LOC"))
    given = datasets.dataset(name)
    assert (given.task, given.spoken) == ("ner", "lug") and not given.non_commercial


def test_steps_and_evaluation_sets_take_a_data_set_in_memory(tmp_path):
    given = four_ways(tmp_path)[0]
    name, _ = own.bring(given, language="lug")
    assert FineTune(given, "lug").dataset == EvaluationSet(given, "lug").dataset == name
    assert Distil(2, on="task", dataset=given, language="lug").dataset == name
    recipe = Recipe("sample-small", (FineTune(given, "lug"),))
    assert recipe_from_canonical(recipe.canonical()) == recipe


def test_a_single_table_and_a_csv_are_divided(tmp_path):
    texts = library.Dataset.from_dict({"text": [f"text {n}" for n in range(100)], "label": ["good", "bad"] * 50})
    name, notes = own.bring(texts, language="swa")
    assert splits.labels(name) == ("good", "bad") or splits.labels(name) == ("bad", "good")
    assert [len(splits.sentences(name, "swa", split)) for split in ("train", "dev", "test")] == [81, 9, 10]
    assert "test: 10 of the training examples" in notes[1]
    (tmp_path / "mine.csv").write_text("text,label\n" + "".join(f'"text, {n}",{n % 2}\n' for n in range(20)))
    name, _ = own.bring(tmp_path / "mine.csv", language="swa")
    assert set(splits.labels(name)) == {"0", "1"}, "what stands in a file of text is the label itself"
    assert splits.sentences(name, "swa", "train")[0] == Text("text, 0", "0")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (library.DatasetDict({"test": library.Dataset.from_dict({"text": ["a"]})}), "no training split; it has test"),
        (library.Dataset.from_dict({"text": ["a"]}), "has no labels: its columns are text"),
        (library.Dataset.from_dict({"tokens": [["a"]], "ner_tags": [["PERSON"]]}), "found the tag 'PERSON'"),
        (42, "int is none"),
    ],
)
def test_tables_that_cannot_be_used_are_one_error(given, message):
    with pytest.raises(SmallerError, match=message):
        own.bring(given)


def test_a_disk_that_is_full_leaves_nothing_half_done(tmp_path, small_files):
    whole = four_ways(tmp_path)[0]
    with small_files(500), pytest.raises(SmallerError, match="could not be kept in .*SMALLER_CACHE"):
        own.bring(whole)
    assert not list((tmp_path / "cache" / "data" / "own").iterdir())


def test_files_that_are_no_tables_are_one_error(tmp_path):
    for name, content in (("train.parquet", b"PAR1 and more"), ("train.jsonl", b"{'a': 1}"), ("train.csv", b"")):
        (tmp_path / name.partition(".")[2]).mkdir()
        file = tmp_path / name.partition(".")[2] / name
        file.write_bytes(content)
        with pytest.raises(SmallerError, match=f"{name}: cannot be read as {name.partition('.')[2]}"):
            own.bring(file.parent)


def test_a_table_whose_rows_have_another_width_is_an_error_with_its_line(tmp_path):
    (tmp_path / "mine.csv").write_text("text,label\nHello world,A\nHello, world,A\n")
    with pytest.raises(SmallerError, match=r"mine.csv:3: found 3 column\(s\), and the header has 2: text, label"):
        own.bring(tmp_path / "mine.csv")
    (tmp_path / "mine.csv").write_text("text,label\nHello world,\n")
    with pytest.raises(SmallerError, match="row 0: a label is missing"):
        own.bring(tmp_path / "mine.csv")


def test_the_labels_are_those_of_the_label_column():
    kinds = {
        "tokens": library.List(library.Value("string")),
        "chunk_tags": library.List(library.ClassLabel(names=["O", "B-NP"])),
        "ner_tags": library.List(library.ClassLabel(names=["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])),
    }
    rows = {"tokens": [["a", "b"]] * 20, "chunk_tags": [[1, 0]] * 20, "ner_tags": [[1, 0], [3, 4]] * 10}
    name, _ = own.bring(library.Dataset.from_dict(rows, features=library.Features(kinds)), language="lug")
    assert splits.labels(name) == ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    spoken = {
        "text": library.Value("string"),
        "language": library.ClassLabel(names=["lug"]),
        "label": library.ClassLabel(names=["pos", "neg"]),
    }
    rows = {"text": [f"text {n}" for n in range(20)], "language": [0] * 20, "label": [0, 1] * 10}
    name, _ = own.bring(library.Dataset.from_dict(rows, features=library.Features(spoken)), language="lug")
    assert splits.labels(name) == ("pos", "neg")


def test_damaged_tables_are_one_error_and_bringing_again_mends_them(tmp_path):
    given = four_ways(tmp_path)[0]
    name, _ = own.bring(given, language="lug")
    before = splits.fingerprint(name, "lug")
    (arrow,) = (datasets.place_of(name) / "test").glob("*.arrow")
    arrow.write_bytes(arrow.read_bytes()[:-9])
    with pytest.raises(SmallerError, match="damaged or gone. Bring or fetch the data set own-"):
        splits.fingerprint(name, "lug")
    with pytest.raises(SmallerError, match="damaged or gone"):
        splits.sentences(name, "lug", "test")
    assert own.bring(given, language="lug")[0] == name and splits.fingerprint(name, "lug") == before
    assert len(splits.sentences(name, "lug", "test")) == 6
