import gzip
import os
import re
from pathlib import Path

import pytest

from smaller.base.errors import SmallerError
from smaller.data import splits
from smaller.data.datasets import DATASETS
from smaller.data.examples import ReadReport, Sentence
from smaller.data.readers import read
from smaller.data.texts import read_lines

DATA = os.environ.get("SMALLER_DATA", "")
real_data = pytest.mark.skipif(not DATA, reason="needs the data sets: set SMALLER_DATA")

TYPES = ("PER", "ORG", "LOC", "DATE")
SWAHILI = "Asha B-PER\nJuma I-PER\nalikwenda O\nKisumu B-LOC\n\nHabari O\n. O\n"


def write(folder: Path, content: str | bytes, name: str = "dev.txt") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read_tagged(path: Path, *, tags=None):
    found = read(path, "ner", classes=tags)
    return found.examples, found.report


def read_conllu(path: Path):
    found = read(path, "pos")
    return found.examples, found.report


def test_sentences_and_report(tmp_path):
    sentences, report = read_tagged(write(tmp_path, SWAHILI), tags=TYPES)
    assert sentences == [
        Sentence(("Asha", "Juma", "alikwenda", "Kisumu"), ("B-PER", "I-PER", "O", "B-LOC")),
        Sentence(("Habari", "."), ("O", "O")),
    ]
    assert report == ReadReport(sentences=2, tokens=6, entities=2)


@pytest.mark.parametrize(
    "variant",
    [
        SWAHILI.rstrip("\n"),
        SWAHILI + "\n\n",
        "\n\n" + SWAHILI,
        SWAHILI.replace("\n", "\r\n"),
        SWAHILI.replace("\n", " \n"),
        SWAHILI.replace("\n\n", "\n \t\n\n"),
        "# sent_id = 1\n" + SWAHILI,
        "\ufeff" + SWAHILI,
    ],
    ids=["no last newline", "blank end", "blank start", "CRLF", "trailing space", "white line", "comment", "BOM"],
)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_the_same_sentences_in_other_dress(tmp_path, variant, packed):
    expected, _ = read_tagged(write(tmp_path, SWAHILI))
    content = gzip.compress(variant.encode()) if packed else variant.encode()
    sentences, report = read_tagged(write(tmp_path, content, "other.txt.gz" if packed else "other.txt"), tags=TYPES)
    assert sentences == expected
    assert report.bom == variant.startswith("\ufeff")
    assert report.comments == variant.count("sent_id")


def test_a_hash_sign_is_a_word_when_it_has_a_tag(tmp_path):
    sentences, report = read_tagged(write(tmp_path, "# O\n#EndSARS O\n"))
    assert sentences[0].words == ("#", "#EndSARS")
    assert report.comments == 0


def test_orphan_tags_are_kept_and_counted(tmp_path):
    orphans = "a I-PER\nb I-PER\nc B-LOC\nd I-ORG\n\ne I-DATE\n\nf B-PER\ng I-PER\n"
    sentences, report = read_tagged(write(tmp_path, orphans))
    assert sentences[0].tags == ("I-PER", "I-PER", "B-LOC", "I-ORG")
    assert (report.entities, report.orphan_tags) == (2, 3)


def test_entities_and_orphans_are_the_spans_of_seqeval(tmp_path):
    from seqeval.metrics.sequence_labeling import get_entities

    mixed = "a I-PER\nb B-PER\nc I-LOC\nd I-LOC\ne B-LOC\nf O\ng I-DATE\n\nh I-DATE\ni B-DATE\nj I-DATE\n"
    sentences, report = read_tagged(write(tmp_path, mixed))
    spans = sum(len(get_entities(list(sentence.tags))) for sentence in sentences)
    assert report.entities + report.orphan_tags == spans == 7


def test_words_that_give_no_piece_are_kept_and_counted(tmp_path):
    strange = " O\n\ufe0f O\n\u0301 O\n\x85 O\nd\x92accord O\n\u2028 O\ne\u0301 O\n. O\n\N{BLACK HEART SUIT}\ufe0f O\n"
    sentences, report = read_tagged(write(tmp_path, strange))
    assert sentences[0].words[:4] == ("", "\ufe0f", "\u0301", "\x85")
    assert len(sentences) == 1
    assert (report.tokens, report.empty_words, report.odd_words) == (9, 1, 5)
    assert sentences[0].words[6] == "\u00e9" and report.decomposed_words == 1


def test_reports_add_up():
    whole = sum((ReadReport(tokens=2, bom=True), ReadReport(tokens=3, orphan_tags=1)), start=ReadReport())
    assert whole == ReadReport(tokens=5, orphan_tags=1, bom=True)
    assert whole.bom is True


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Asha B-PER\nJuma\n", r"dev.txt:2: found 1 column\(s\) in 'Juma'; expected a word and its tag, .* one space"),
        ("Asha\tB-PER\nJuma\n", r"dev.txt:2: found 1 column\(s\) in 'Juma'; expected a word and its tag, .* a tab"),
        ("Asha B-PER\n\nJuma X O\n", r"dev.txt:3: found 3 column\(s\) in 'Juma X O'"),
        ("Asha PER\n", "dev.txt:1: found the tag 'PER'; expected O, or B- or I- and a type, such as B-PER"),
        ("Asha B-PER\nJuma PER\n", "dev.txt:2: found the tag 'PER'; expected O, or B- or I- and a type"),
        ("Asha B-\n", "dev.txt:1: found the tag 'B-'"),
        ("Asha O\nJuma B-PERS\n", "dev.txt:2: found the entity type 'PERS'; expected one of PER, ORG, LOC, DATE"),
        ("", "dev.txt: the file is empty"),
        (" \n\n", "dev.txt: the file is empty"),
        ("\ufeff", "dev.txt: the file has no sentences"),
        ("# text = Asha\n", "dev.txt: the file has no sentences"),
        (b"Asha O\n\xff\xfeA", "dev.txt:2: found byte 0xff, which is not UTF-8"),
        (b"PK\x03\x04\0\0\n", "dev.txt:1: found a NUL character, so this is a binary file"),
    ],
)
def test_a_malformed_file_is_an_error_with_its_place(tmp_path, content, message):
    with pytest.raises(SmallerError, match=message):
        read_tagged(write(tmp_path, content), tags=TYPES)


def test_a_damaged_gz_is_an_error(tmp_path):
    for damaged in (gzip.compress(SWAHILI.encode())[:-9], SWAHILI.encode()):
        with pytest.raises(SmallerError, match="dev.txt.gz: not a whole gzip file"):
            read_tagged(write(tmp_path, damaged, "dev.txt.gz"))


def test_text_is_stripped_and_empty_lines_are_dropped(tmp_path):
    text = "\ufeff Habari za asubuhi. \r\n\n\tKaribu.\n"
    assert read_lines(write(tmp_path, text)) == ["Habari za asubuhi.", "Karibu."]
    assert read_lines(write(tmp_path, gzip.compress(text.encode()), "a.txt.gz")) == ["Habari za asubuhi.", "Karibu."]
    with pytest.raises(SmallerError, match="is empty"):
        read_lines(write(tmp_path, "\n"))


def test_conllu_skips_multiword_rows_empty_nodes_and_comments(tmp_path):
    def row(number, word, tag):
        return "\t".join((number, word, "_", tag, *"______")) + "\n"

    content = "# sent_id = 1\n" + row("1-2", "naň", "_") + row("1", "na", "ADP") + row("2", "neho", "PRON")
    content += row("2.1", "bol", "AUX") + "\n# sent_id = 2\n" + row("1", "Áno", "INTJ")
    sentences, report = read_conllu(write(tmp_path, content))
    assert sentences == [Sentence(("na", "neho"), ("ADP", "PRON")), Sentence(("Áno",), ("INTJ",))]
    assert report == ReadReport(sentences=2, tokens=3, comments=2, skipped_rows=2)
    with pytest.raises(SmallerError, match=r"dev.conllu:2: found 2 column\(s\).*ten"):
        read_conllu(write(tmp_path, "# x\n1\tna\n", "dev.conllu"))


@pytest.fixture
def data(tmp_path, rooms):
    rooms(data=tmp_path)
    (tmp_path / "masakhaner" / "swa").mkdir(parents=True)
    (tmp_path / "corpus").mkdir()
    return tmp_path


def test_load_notices_a_changed_file_and_hands_out_lists_of_ones_own(data):
    path = write(data / "masakhaner" / "swa", SWAHILI)
    splits.sentences("masakhaner", "swa", "dev").clear()
    assert len(splits.sentences("masakhaner", "swa", "dev")) == 2
    path.write_text(SWAHILI + "\nKwaheri O\n")
    assert len(splits.sentences("masakhaner", "swa", "dev")) == 3


def test_load_refuses_the_entity_types_of_another_data_set(data):
    write(data / "masakhaner" / "swa", "Asha B-MISC\n")
    with pytest.raises(SmallerError, match="dev.txt:1: found the entity type 'MISC'"):
        splits.sentences("masakhaner", "swa", "dev")


def test_a_corpus_is_not_a_labelled_data_set():
    with pytest.raises(SmallerError, match="'corpus' has no labels"):
        splits.sentences("corpus", "swa", "train")


def test_a_limited_corpus_is_spread_over_all_sources(data):
    write(data / "corpus", gzip.compress("\n".join(map(str, range(10))).encode()), "swa.txt.gz")
    assert splits.some_lines("corpus", "swa", 5) == ["0", "2", "4", "6", "8"]
    assert list(splits.text("corpus", "swa")) == splits.some_lines("corpus", "swa", 99) == list("0123456789")
    assert splits.some_lines("corpus", "swa", 0) == list("0123456789")


def published_counts() -> dict[tuple[str, str], list[int]]:
    """The rows of the tables beside the data: numbers by section and language or treebank."""
    counts, section = {}, ""
    for line in (Path(DATA) / "README.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line.split()[1]
        elif row := re.fullmatch(r"\| (\w+) \|([-\w .|]+)\|", line):
            counts[section, row[1]] = [cell.strip() for cell in row[2].split("|")]
    return counts


@real_data
def test_real_labelled_sentences_tokens_and_entities_are_those_of_the_tables():
    sections = {"masakhaner": "masakhaner", "masakhaner2": "masakhaner2", "chinese_ner": "uner", "uner/slk": "uner"}
    rows = {key: row for key, row in published_counts().items() if key[0] in sections and key[1] != "lang"}
    assert len(rows) == sum(len(DATASETS[name].languages) for name in set(sections.values())) - 3 == 29
    for (section, code), row in rows.items():
        reports = [splits.report(sections[section], code, split) for split in ("train", "dev", "test")]
        found = [getattr(report, name) for name in ("sentences", "tokens", "entities") for report in reports]
        assert found == [int(cell) for cell in row], (section, code)


@real_data
def test_real_oddities_are_reported():
    def report(name, code, split):
        return splits.report(name, code, split)

    assert report("masakhaner", "luo", "train").bom
    assert not report("masakhaner", "luo", "dev").bom
    orphans = {("hau", "train"): 1, ("hau", "test"): 1, ("lug", "train"): 3, ("pcm", "train"): 5, ("yor", "train"): 1}
    for (code, split), count in orphans.items():
        assert report("masakhaner", code, split).orphan_tags == count
    assert report("masakhaner2", "kin", "train").orphan_tags == 14
    assert report("masakhaner2", "yor", "train").odd_words == 15
    assert report("masakhaner2", "yor", "test").decomposed_words == 27460
    assert report("masakhaner", "yor", "test").decomposed_words == 0
    assert [report("masakhaner", *file).odd_words for file in (("pcm", "dev"), ("wol", "dev"), ("wol", "test"))] == [
        1
    ] * 3


@real_data
def test_real_corpus_lines_are_those_of_the_table():
    rows = {key[1]: row for key, row in published_counts().items() if key[0] == "corpus" and len(key[1]) == 3}
    assert set(DATASETS["corpus"].languages) <= set(rows)
    for code in DATASETS["corpus"].languages:
        lines = list(splits.text("corpus", code))
        assert [len(lines), sum(len(line.split()) for line in lines)] == [int(cell) for cell in rows[code][1:3]], code


@real_data
def test_real_treebanks_are_those_of_the_table():
    rows = {key[1]: row for key, row in published_counts().items() if key[0] == "ud" and "_" in key[1]}
    assert len(rows) == 5
    for treebank, row in rows.items():
        for place, split in enumerate(("train", "dev", "test")):
            if row[place] != "-":
                sentences, _ = read_conllu(Path(DATA) / "ud" / treebank / f"{split}.conllu.gz")
                words = sum(len(sentence.words) for sentence in sentences)
                assert [len(sentences), words] == [int(row[place]), int(row[place + 3])], (treebank, split)
