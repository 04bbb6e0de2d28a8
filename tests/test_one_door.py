"""What people bring in files: taken for what it is, held to what it was taken for, and never half understood."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smaller.base.errors import SmallerError
from smaller.data import columns, own, readers, splits, tables, texts
from smaller.data.datasets import DATASETS
from smaller.data.examples import Sentence, Text
from smaller.data.languages import LANGUAGES, in_codes, language
from smaller.data.sets import EvaluationSet
from smaller.data.text import composed, composed_with_places
from smaller.deploy.planning import _data
from smaller.study.steps import FineTune


@pytest.fixture(autouse=True)
def cache(tmp_path, rooms):
    rooms(cache=tmp_path / "cache")


def write(folder: Path, name: str, content: str | bytes) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def sentences(tmp_path: Path, content: str, task: str = "ner", name: str = "train.txt") -> list[Sentence]:
    return readers.read(write(tmp_path, name, content), task).examples


# Columns


SPACES = "\u00a0\u2009\u3000\u0085\u2028\u202f\u1680"


def test_only_tabs_and_ascii_spaces_part_columns(tmp_path):
    words = [f"Neema{space}Obi" for space in SPACES]
    for between in (" ", "\t"):
        (found,) = sentences(tmp_path, "".join(f"{word}{between}B-PER\n" for word in words))
        assert found.words == tuple(map(composed, words))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Baraka Obi B-PER", r"train.txt:3: found 3 column\(s\) in 'Baraka Obi B-PER'; expected a word and its tag"),
        ("Baraka", r"train.txt:3: found 1 column\(s\) in 'Baraka'"),
        ("Doctors'I-ORG", r"train.txt:3: found 1 column\(s\) in \"Doctors'I-ORG\""),
    ],
)
def test_the_number_of_columns_of_the_first_rows_holds_for_the_file(tmp_path, line, told):
    with pytest.raises(SmallerError, match=told):
        sentences(tmp_path, f"Asha B-PER\nyupo O\n{line}\n")
    four = "Asha NNP B-NP B-PER\nyupo VB B-VP O\n"
    with pytest.raises(SmallerError, match=r"train.txt:3: found 3.*expected 4 columns, as in the file's other rows"):
        sentences(tmp_path, four + "Obi B-NP O\n")
    tabs = "Asha\tB-PER\nBaraka Obi\tB-PER\n"
    with pytest.raises(SmallerError, match="train.txt:2: found the word 'Baraka Obi', with a space in it"):
        sentences(tmp_path, tabs)


def test_a_hash_sign_is_a_word_wherever_a_word_may_stand(tmp_path):
    (found,) = sentences(tmp_path, "Asha NNP B-NP B-PER\n# # B-NP O\n#Mwanza NN B-NP B-LOC\n")
    assert found.words == ("Asha", "#", "#Mwanza") and found.tags == ("B-PER", "O", "B-LOC")
    (found,) = sentences(tmp_path, "# # B-NP O\nAsha NNP B-NP B-PER\n")
    assert found.words == ("#", "Asha")
    found = readers.read(write(tmp_path, "train.txt", "# sent_id = 1 of 2\nAsha B-PER\n\n# sent_id = 2 of 2\nleo O\n"))
    assert found.report.comments == 2 and [each.words for each in found.examples] == [("Asha",), ("leo",)]
    with pytest.raises(SmallerError, match=r"train.txt:2: found 5 column\(s\)"):
        sentences(tmp_path, "Asha B-PER\n# sent_id = 1 of\nleo O\n")


def row(number: str, word: str, tag: str, misc: str = "_") -> str:
    return "\t".join((number, word, word, tag, "_", "_", "0", "root", "_", misc)) + "\n"


CONLLU = (
    "# sent_id = 0\n"
    + row("1-2", "Dakarla", "_")
    + row("1", "Dakar", "PROPN", "name=B-LOC|SpaceAfter=No")
    + row("2", "la", "VERB", "name=O")
    + row("2.1", "nekk", "VERB", "name=O")
    + "\n# sent_id = 1\n"
    + row("1", "Leo #1", "NOUN", "name=O")
    + row("2", "Asha", "PROPN", "SpaceAfter=No|name=B-PER")
)


@pytest.mark.parametrize("name", ["train.conllu", "train.txt"])
def test_conllu_is_known_by_what_it_is(tmp_path, name):
    assert sentences(tmp_path, CONLLU, "pos", name) == [
        Sentence(("Dakar", "la"), ("PROPN", "VERB")),
        Sentence(("Leo #1", "Asha"), ("NOUN", "PROPN")),
    ]
    assert [each.tags for each in sentences(tmp_path, CONLLU, "ner", name)] == [("B-LOC", "O"), ("O", "B-PER")]
    bare = CONLLU.replace("name=", "Name_")
    with pytest.raises(SmallerError, match="CoNLL-U without named entities.*are read with the task pos"):
        sentences(tmp_path, bare, "ner", name)
    cut = CONLLU.replace("\t_\tname=O\n", "\n", 1)
    with pytest.raises(SmallerError, match=rf"{name}:4: found 8 column\(s\).*the ten tab-separated columns of CoNLL-U"):
        sentences(tmp_path, cut, "pos", name)


def test_an_entity_that_one_word_lacks_and_other_columns_of_conllu(tmp_path):
    # O where the entry is absent; usual names go before others, and of others none is taken by chance.
    assert [each.tags for each in sentences(tmp_path, CONLLU.replace("name=O", "_", 1))] == [
        ("B-LOC", "O"),
        ("O", "B-PER"),
    ]
    other = CONLLU.replace("name=", "LId=B-1|name=")
    assert [each.tags for each in sentences(tmp_path, other)] == [("B-LOC", "O"), ("O", "B-PER")]
    with pytest.raises(SmallerError, match="several entries of MISC may be entities: LId, Gold"):
        sentences(tmp_path, other.replace("name=", "Gold="))
    plus = "# global.columns = ID FORM UPOS NER\n1\tAsha\tPROPN\tB-PER\n2\tleo\tADV\tO\n"
    assert sentences(tmp_path, plus)[0].tags == ("B-PER", "O")
    assert sentences(tmp_path, plus, "pos")[0].tags == ("PROPN", "ADV")
    with pytest.raises(SmallerError, match=r"expected FORM among them"):
        sentences(tmp_path, plus.replace("FORM", "WORD"))


@pytest.mark.parametrize("first", [0, 1])
def test_a_counter_in_front_is_no_word(tmp_path, first):
    comment = "#\tnews.example\t[2009-10-17]\n"
    rows = [("Asha", "B-PER", "O"), ("wa", "I-PER", "O"), ("Kano", "I-PER", "B-LOC")]
    body = "".join(f"{place}\t{word}\t{outer}\t{inner}\n" for place, (word, outer, inner) in enumerate(rows, first))
    found = sentences(tmp_path, comment + body + "\n" + comment + body)
    assert found == [Sentence(("Asha", "wa", "Kano"), ("B-PER", "I-PER", "I-PER"))] * 2
    years = "1960 CD B-DATE\n1961 CD O\n"  # these count nothing
    assert sentences(tmp_path, years)[0].words == ("1960", "1961")


def test_a_header_of_columns_is_left_out_and_names_the_word(tmp_path):
    found = readers.read(write(tmp_path, "train.tsv", "word\tpos\tner\nAsha\tPROPN\tB-PER\nleo\tADV\tO\n"))
    assert found.examples == [Sentence(("Asha", "leo"), ("B-PER", "O"))]
    assert found.layout == "3 columns between tabs, word 1st, tag 3rd, a header, tags in bio"


def test_parts_of_speech_are_not_taken_from_a_column_of_something_else(tmp_path):
    four = "Asha PROPN B-NP B-PER\nyupo VERB B-VP O\n"
    assert sentences(tmp_path, four, "pos")[0].tags == ("PROPN", "VERB")
    with pytest.raises(SmallerError, match="none of the 3 columns holds universal parts of speech"):
        sentences(tmp_path, "Asha NNP B-NP\nyupo VB B-VP\n", "pos")
    with pytest.raises(SmallerError, match="its tags are those of entities.*task ner"):
        sentences(tmp_path, "Asha B-PER\nyupo O\n", "pos")
    with pytest.raises(SmallerError, match="found the word 'Asha yupo', with a space.*topics or sentiment"):
        sentences(tmp_path, "Asha yupo\tgood\n", "pos")


def test_a_broken_tag_does_not_move_the_column(tmp_path):
    rows = "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n"
    for broken in ("B_MISC", "b-ORG", "0"):
        with pytest.raises(SmallerError, match=f"train.txt:3: found the tag '{broken}'"):
            sentences(tmp_path, rows + f"German JJ B-NP {broken}\n")
    late = "rejects VBZ B-VP O\n" * 3000 + "EU NNP B-NP B-ORG\n"
    assert set(sentences(tmp_path, late)[0].tags) == {"O", "B-ORG"}
    flat = "EU NNP B-NP ORG\nrejects VBZ B-VP O\n"
    assert sentences(tmp_path, flat)[0].tags == ("B-ORG", "O")
    assert sentences(tmp_path, "rejects VBZ B-VP O\ncall NN B-NP O\n")[0].tags == ("O", "O")


@pytest.mark.parametrize(
    "content",
    [
        "1\tAsha\tB-PER\n2\tran\tO\n\n3\tJuma\tB-PER\n",
        "1\tAsha\tB-PER\n1\tran\tO\n2\tJuma\tB-PER\n",
        "1\tAsha\tB-PER\n2\tran\tO\n1\tJuma\tB-PER\n",
        "#FORMAT=WebAnno TSV 3.2\n\n#Text=Asha ran\n1-1\tAsha\tB-PER\n1-2\tran\tO\n\n#Text=Juma\n2-1\tJuma\tB-PER\n",
        "sentence_id\tword\tlabel\ns1\tAsha\tB-PER\ns1\tran\tO\ns2\tJuma\tB-PER\n",
        "Sentence #\tWord\tPOS\tTag\nSentence: 1\tAsha\tNNP\tB-PER\n\tran\tVB\tO\nSentence: 2\tJuma\tNNP\tB-PER\n",
    ],
    ids=["running", "of sentences", "restarting", "WebAnno", "named", "Kaggle"],
)
def test_numbers_are_no_words_and_part_sentences(tmp_path, content):
    assert sentences(tmp_path, content) == [
        Sentence(("Asha", "ran"), ("B-PER", "O")),
        Sentence(("Juma",), ("B-PER",)),
    ]


def test_comments_are_counted_and_a_broken_row_is_none(tmp_path):
    found = readers.read(write(tmp_path, "train.txt", "# doc1\nAsha NOUN\n\n#begin document (a)\nJuma NOUN\n"), "pos")
    assert [each.words for each in found.examples] == [("Asha",), ("Juma",)] and ", 2 comments (" in str(found)
    for row in (
        "#Mwanza B-LOC\nAsha\tB-PER\nleo\tO\n",
        "#Kano\nAsha\tB-PER\nleo\tO\n",
        "# B-NP\nEU B-NP B-ORG\na O O\n",
    ):
        with pytest.raises(SmallerError, match=r"train.txt:1: found [12] column\(s\) in '#"):
            sentences(tmp_path, row)


def test_columns_that_spaces_line_up(tmp_path):
    for content in ("Asha  B-PER\nran   O\n", "  Asha B-PER\n  ran O\n", "Asha    NNP  B-PER\nran     VB   O\n"):
        assert sentences(tmp_path, content)[0] == Sentence(("Asha", "ran"), ("B-PER", "O"))
    with pytest.raises(SmallerError, match="the first column holds parts of speech"):
        sentences(tmp_path, "NOUN kitabu\nVERB soma\n", "pos")


def test_types_that_stand_alone_may_have_hyphens(tmp_path):
    (found,) = sentences(tmp_path, "CD4 T-cell\nna O\nx E.coli\ny product-S\n")
    assert found.tags == ("B-T-cell", "O", "B-E.coli", "B-product-S")


# Schemes


@pytest.mark.parametrize("tag", ["O-LOC", "0", "b-per", "PER-B", "B_PER", "M-PER", "PER"])
def test_a_tag_that_does_not_go_with_the_others_is_an_error_with_its_line(tmp_path, tag):
    with pytest.raises(SmallerError, match=f"train.txt:3: found the tag '{tag}'; expected O, or B-"):
        sentences(tmp_path, f"Asha B-PER\nyupo O\nMwanza {tag}\n")


def test_schemes_of_entities_become_bio(tmp_path):
    flat = "Asha PER\nJuma PER\nyupo O\nMwanza LOC\n\nKano LOC\n"
    assert [each.tags for each in sentences(tmp_path, flat)] == [("B-PER", "I-PER", "O", "B-LOC"), ("B-LOC",)]
    bilou = "Asha B-PER\nwa I-PER\nJuma L-PER\nyupo O\nMwanza U-LOC\n"
    assert sentences(tmp_path, bilou)[0].tags == ("B-PER", "I-PER", "I-PER", "O", "B-LOC")
    iob1 = "-DOCSTART- -X- -X- O\n\nBaraka NNP I-NP I-PER\n\nMwanza NNP I-NP I-LOC\nArusha NNP I-NP B-LOC\n"
    assert [each.tags for each in sentences(tmp_path, iob1)] == [("I-PER",), ("I-LOC", "B-LOC")]


def test_tables_of_rows_follow_the_same_rules(tmp_path):
    lines = '{"tokens": ["Asha", "Juma"], "ner_tags": ["PER", "PER"]}\n{"tokens": ["leo"], "ner_tags": ["O"]}\n'
    found = readers.read(write(tmp_path, "train.jsonl", lines), "ner")
    assert found.examples[0].tags == ("B-PER", "I-PER")
    with pytest.raises(SmallerError, match="row 1: found the tag 'PER'; expected O, or B-"):
        readers.read(
            write(
                tmp_path, "train.jsonl", lines.replace('["PER", "PER"]', '["B-PER", "O"]').replace('["O"]', '["PER"]')
            ),
            "ner",
        )


# Texts


REVIEWS = "Kahawa ni chungu\thasi\nMlango ni safi\tchanya\nChai ni tamu\tchanya\nMvua ni kubwa\thasi\n"


@pytest.mark.parametrize("name", list(tables.TEXT_COLUMNS))
@pytest.mark.parametrize("turned", [False, True], ids=["text first", "label first"])
def test_headers_that_are_known_and_their_order(tmp_path, name, turned):
    rows = [f"{name.title()}\tSentiment", *REVIEWS.splitlines()]
    rows = ["\t".join(reversed(line.split("\t"))) for line in rows] if turned else rows
    found = readers.read(write(tmp_path, "train.tsv", "\n".join(rows)), "sentiment")
    assert found.examples[0] == Text("Kahawa ni chungu", "hasi") and len(found.examples) == 4


@pytest.mark.parametrize("header", ["Text,Label", " text , label", "Text;Label"])
def test_a_csv_has_the_headers_that_other_tables_have(tmp_path, header):
    between = ";" if ";" in header else ","
    rows = "".join(f'"hali ""njema"", {place}"{between}{"ab"[place % 2]}\n' for place in range(30))
    name, _ = own.bring(write(tmp_path, "mine.csv", f"{header}\n{rows}"), language="swa")
    assert splits.sentences(name, "swa", "train")[0] == Text('hali "njema", 0', "a")


def bring(folder: Path, task: str, **files: str) -> tuple[str, list[str]]:
    for split, content in files.items():
        write(folder, f"{split}.tsv", content)
    return own.bring(folder, task=task)


def test_a_first_row_that_may_be_a_header_is_refused(tmp_path):
    for place, header in enumerate(("maoni\thisia", "hisia\tmaoni")):
        told = "train.tsv begins with .* as a header would. Call the columns"
        with pytest.raises(SmallerError, match=told):
            bring(tmp_path / f"{place}", "sentiment", train=f"{header}\n{REVIEWS}", dev=REVIEWS, test=REVIEWS)
    with pytest.raises(SmallerError, match="train.tsv:1: .* no header that is known"):
        readers.read(write(tmp_path, "train.tsv", "a\tb\tc\n1\tKahawa\thasi\n"), "sentiment")
    # The same first row in all files is no example, even where its label occurs elsewhere.
    told = dict.fromkeys(("train", "dev", "test"), "maoni\thasi\n" + REVIEWS)
    with pytest.raises(SmallerError, match="all files begin with 'maoni' and the label 'hasi'"):
        bring(tmp_path / "mine", "sentiment", **told)
    # A label that is rare in one file and known from another one is that of an example.
    dev = "Sawa\thasi\n" + REVIEWS.replace("hasi", "chanya")
    name, _ = bring(tmp_path / "rare", "sentiment", train=REVIEWS, dev=dev, test=REVIEWS)
    assert splits.sentences(name, "und", "dev")[0] == Text("Sawa", "hasi")


@pytest.mark.parametrize("task", ["ner", "pos"])
def test_a_header_of_words_that_nobody_knows_is_refused_too(tmp_path, task):
    rows = "Asha\tMTU\nleo\tO\n\nJuma\tMTU\nyupo\tO\n"
    with pytest.raises(SmallerError, match="begins? with 'Neno.*' and the label 'Aina', as a header would"):
        bring(tmp_path, task, train="Neno\tAina\n" + rows, dev=rows, test=rows)
    assert (
        readers.read(write(tmp_path, "train.tsv", "tag\tword\nMTU\tAsha\nO\tleo\n"), task).examples[0].words[0]
        == "Asha"
    )


def test_texts_without_a_header_have_their_labels_where_they_repeat(tmp_path):
    for turned in (False, True):
        lines = ["\t".join(reversed(line.split("\t"))) if turned else line for line in REVIEWS.splitlines()]
        found = readers.read(write(tmp_path, "train.tsv", "\n".join(lines)), "sentiment")
        assert found.examples[1] == Text("Mlango ni safi", "chanya")
        assert f"texts in the {'2nd' if turned else '1st'} column" in found.layout


# Letters


DECOMPOSED = unicodedata.normalize("NFD", "Adéṣínà dé Èkó")


def test_letters_have_one_spelling_in_labels_texts_and_corpora(tmp_path):
    words = DECOMPOSED.split()
    (found,) = sentences(tmp_path, "".join(f"{word} O\n" for word in words[1:]) + f"{words[0]} B-PER\n")
    assert found.words == ("dé", "Èkó", "Adéṣínà")
    assert texts.read_lines(write(tmp_path, "yor.txt", DECOMPOSED)) == ["Adéṣínà dé Èkó"]
    import pyarrow

    table = tables.lines_table([pyarrow.array([DECOMPOSED])], where="here")
    assert list(tables.Lines(table)) == ["Adéṣínà dé Èkó"]
    label = readers.read(write(tmp_path, "train.tsv", f"text\tlabel\na\t{words[2]}\n"), "topics").examples[0].label
    assert label == "Èkó"


def test_a_byte_order_mark_and_other_ends_of_lines(tmp_path):
    plain = "Asha B-PER\nleo O\n\nMwanza B-LOC\n"
    expected = sentences(tmp_path, plain)
    ends = ("\r\n", "\r", " \n", "\t\n")
    for variant in ("\ufeff" + plain, *(plain.replace("\n", end) for end in ends)):
        assert sentences(tmp_path, variant) == expected
    tabs = "Asha\t\tB-PER\nleo \tO\n\nMwanza\tB-LOC\n"
    assert sentences(tmp_path, tabs) == expected


# Data sets of one's own


def lines_of(rows: list[str]) -> str:
    return "\n\n".join(rows) + "\n"


def test_what_is_held_out_never_takes_the_last_example_of_a_label(tmp_path):
    plain = ["Asha B-PER\nleo O"] * 40
    rare = [*plain]
    rare[9] = "jana B-DATE"
    name, notes = own.bring(write(tmp_path, "all.txt", lines_of(rare)))
    parts = {split: splits.sentences(name, "und", split) for split in ("train", "dev", "test")}
    assert ("B-DATE",) in [each.tags for each in parts["train"]]
    assert {split: len(part) for split, part in parts.items()} == {"train": 33, "dev": 3, "test": 4}
    assert "test: 4 of the training examples" in notes[1]
    with pytest.raises(SmallerError, match="too few to hold any out for test.*another example of each label"):
        own.bring(write(tmp_path, "few.txt", lines_of([f"w B-T{number}" for number in range(12)])))


def test_a_split_without_an_entity_is_told_while_it_is_read(tmp_path):
    for split, tag in (("train", "B-PER"), ("dev", "O"), ("test", "B-PER")):
        write(tmp_path / "mine", f"{split}.txt", f"Asha {tag}\n")
    with pytest.raises(SmallerError, match=r"dev.txt: no word of its 1 sentences has a label other than O"):
        own.bring(tmp_path / "mine")


def test_notes_say_what_each_file_was_taken_for(tmp_path):
    for split in ("train", "dev", "test"):
        write(tmp_path / "mine", f"{split}.conllu", CONLLU)
    _, notes = own.bring(tmp_path / "mine", task="pos", language="wo")
    found = "2 sentences, 4 words, 2 comments, 2 rows left out (CoNLL-U, words from FORM, tags from 4th)"
    assert notes[0] == f"train: train.conllu, {found}"


# Languages


def test_any_language_by_its_code_or_tag():
    assert language("sw") is LANGUAGES["swa"] and language("sn").name == "Shona"
    assert (language("vi").code, language("vi").name, language("vi").script) == ("vie", "Vietnamese", "Latin")
    assert (language("zh-Hans").code, language("zh-Hans").name) == ("zho-Hans", "Chinese (Simplified)")
    assert {language(tag).code for tag in ("tl", "tgl")} == {"tgl"} and language("tl").name == "Tagalog"
    assert language("iw").code == "heb" and language("no").code == "nor" and language("en_US").code == "eng-US"
    assert language("aaa").name == "Ghotuo" and language("ur").script == "Arabic"
    assert in_codes("sw+yo") == "swa+yor" and in_codes("nothing") == "nothing"
    for wrong in ("xx", "swaa", "english", "qqq", "", "a+b", "Yoruba", None):
        with pytest.raises(SmallerError, match="There is no language .*ISO 639-3 code or a BCP 47 tag"):
            language(wrong)


def test_every_code_of_the_standard_has_a_name():
    pytest.importorskip("language_data")
    known = ["abk", "hye", "quz", "nde", "umb", "lua", "kmb", "dyu", "ful", "ff", "ber", "tmh", "ven", "ssw", "nbl"]
    assert all(language(code).name and "Unknown" not in language(code).name for code in known)


def test_data_of_a_language_that_nobody_described_go_all_the_way_to_a_step(tmp_path):
    rows = lines_of([f"Nguyen{number} B-PER\nden O" for number in range(30)])
    name, code, _ = _data(str(write(tmp_path, "all.txt", rows)), task="ner", language="vi")
    assert (splits.languages(name), code) == (("vie",), "vie")
    assert FineTune(name, "vie").language == EvaluationSet(name, "vi").language == "vie"
    assert FineTune(name, "vi").language == "vie"


def test_the_three_languages_of_masakhaner_2_that_were_missing():
    for code in ("sna", "twi", "xho"):
        assert code in DATASETS["masakhaner2"].languages and LANGUAGES[code].family.startswith("Niger-Congo")


# Anything


CHARACTERS = st.characters(codec="utf-8", exclude_characters="\0")
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r\t "), min_size=1, max_size=8).filter(
    lambda word: (
        not word.startswith(("#", columns.DOCUMENT, "\ufeff"))
        and not word.isdecimal()
        and word.lower() not in columns.WORD_NAMES
    )
)
TAGS = st.sampled_from(["O", "B-PER", "I-PER", "B-LOC"])
SENTENCES = st.lists(st.lists(st.tuples(WORDS, TAGS), min_size=1, max_size=6), min_size=1, max_size=6)
QUICK = settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(
    given_sentences=SENTENCES,
    between=st.sampled_from(" \t"),
    end=st.sampled_from(["\n", "\r\n"]),
    extra=st.integers(0, 2),
)
def test_no_word_of_any_plane_is_lost(tmp_path, given_sentences, between, end, extra):
    middle = [f"x{place}" for place in range(extra)]
    rows = [[between.join([word, *middle, tag]) for word, tag in each] for each in given_sentences]
    content = (end + end).join(end.join(part) for part in rows)
    found = sentences(tmp_path, content)
    expected = [
        Sentence(tuple(composed(word) for word, _ in each), tuple(tag for _, tag in each)) for each in given_sentences
    ]
    assert found == expected


@QUICK
@given(
    content=st.text(CHARACTERS | st.sampled_from("\n\t #BIO-"), max_size=80),
    task=st.sampled_from(["ner", "pos", "topics"]),
)
def test_any_content_is_read_or_refused_in_one_sentence(tmp_path, content, task):
    path = write(tmp_path, "train.txt", content)
    try:
        found = readers.read(path, task)
    except SmallerError as problem:
        assert "train.txt" in str(problem)
    else:
        assert found.examples and str(found)


@QUICK
@given(text=st.text(CHARACTERS | st.sampled_from("e\u0301o\u0323\u0300a\u1100\u1161\u11a8\u0301"), max_size=40))
def test_places_in_composed_text_are_those_in_the_text_as_given(text):
    whole, places = composed_with_places(text)
    assert whole == composed(text) and len(places) == len(whole)
    assert all(start < end for start, end in places)
    bounds = sorted(set(places))
    assert all(before[1] <= after[0] for before, after in zip(bounds, bounds[1:], strict=False))
    assert not text or (bounds[0][0] == 0 and bounds[-1][1] == len(text))
    assert all(
        composed(text[start:end]) == whole[places.index((start, end)) :][: places.count((start, end))]
        for start, end in bounds
    )
