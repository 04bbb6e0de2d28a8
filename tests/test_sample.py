"""The embedded sample: the same everywhere, valid, and with nothing of dev or test in what a model trains on."""

import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter

import pytest
from seqeval.metrics.sequence_labeling import get_entities

from smaller.base.errors import SmallerError
from smaller.data import datasets, sample, splits
from smaller.data.examples import _count_orphans
from smaller.data.sample import topics
from smaller.data.sheet import names as names_of

ALL = (*sample.LANGUAGES, sample.UNSEEN)

DIGEST = """
import hashlib
from smaller.data import sample
made = [(sample.sentences(code, split) if split != "text" else sample.text(code))
        for code in (*sample.LANGUAGES, sample.UNSEEN) for split in (*sample.SIZES, "text")]
tokenizer = sample.tokenizer().backend_tokenizer.to_str()
print(*[hashlib.sha256(repr(part).encode()).hexdigest() for part in (made, tokenizer)])
"""


def surfaces(sentences) -> set[str]:
    """The entities of the sentences as text."""
    return {
        " ".join(sentence.words[begin : end + 1])
        for sentence in sentences
        for _, begin, end in get_entities(list(sentence.tags))
    }


def test_the_sample_has_six_languages_and_all_are_reachable_by_name():
    assert len(sample.LANGUAGES) == 5 and {"amh", "yor"} < set(sample.LANGUAGES) and sample.UNSEEN == "bam"
    assert splits.languages("sample") == ALL
    assert splits.entity_types("sample") == datasets.dataset("sample").tags == ("PER", "ORG", "LOC", "DATE")
    for language in ALL:
        splits.check("sample", language)
        assert tuple(splits.sentences("sample", language, "dev")) == sample.sentences(language, "dev")


def test_another_process_makes_the_same_sample_and_the_same_tokenizer():
    def digests(threads):
        environment = os.environ | {"PYTHONHASHSEED": threads, "RAYON_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        environment["TOKENIZERS_PARALLELISM"] = "true"
        return subprocess.Popen([sys.executable, "-c", DIGEST], env=environment, stdout=subprocess.PIPE, text=True)

    processes = [digests("1"), digests("3")]
    first, second = (process.communicate(timeout=120)[0].split() for process in processes)
    assert len(first) == 2 and first == second


@pytest.mark.parametrize("language", ALL)
def test_splits_have_their_sizes_and_no_sentence_twice(language):
    made = {split: sample.sentences(language, split) for split in sample.SIZES}
    assert {split: len(rows) for split, rows in made.items()} == sample.SIZES
    every = [sentence.words for rows in made.values() for sentence in rows]
    assert len(set(every)) == len(every)
    assert len(sample.text(language)) == sample.TEXT_LINES


@pytest.mark.parametrize(("language", "split"), list(itertools.product(ALL, sample.SIZES)))
def test_sentences_are_valid_bio_with_all_entity_types(language, split):
    types = splits.entity_types("sample")
    rows = sample.sentences(language, split)
    allowed = {"O", *(f"{prefix}-{name}" for prefix in "BI" for name in types)}
    for sentence in rows:
        assert len(sentence.words) == len(sentence.tags) > 0
        assert set(sentence.tags) <= allowed and not _count_orphans(sentence.tags)
        assert all(word and word == word.strip() and not set(word) & set("{}[]") for word in sentence.words), sentence
    found = [name for sentence in rows for name, _, _ in get_entities(list(sentence.tags))]
    assert {name: found.count(name) for name in types if found.count(name) < len(rows) // 20} == {}


@pytest.mark.parametrize("language", ALL)
def test_patterns_of_dev_and_test_occur_nowhere_else(language):
    patterns = {name: set(rows) for name, rows in sample._source(language)["patterns"].items()}
    assert patterns.keys() == {"train", "dev", "test", "unlabelled"}
    for one, other in itertools.combinations(patterns, 2):
        if {one, other} != {"train", "unlabelled"}:
            assert not patterns[one] & patterns[other]


@pytest.mark.parametrize("language", ALL)
def test_every_pattern_of_dev_and_test_is_used(language):
    for split in ("dev", "test"):
        fixed = [
            [part for part in re.split(r"\{\w+\}|\[\w+ |\]", pattern) if part.strip()]
            for pattern in sample._source(language)["patterns"][split]
        ]
        lines = [" ".join(sentence.words) for sentence in sample.sentences(language, split)]
        used = [any(all(part.strip() in line for part in parts) for line in lines) for parts in fixed]
        assert all(used), split


@pytest.mark.parametrize("language", ALL)
def test_held_out_names_occur_in_dev_and_test_alone(language):
    names = sample._source(language)["names"]
    for kind in ("given", "family", "place", "organisation", "date"):
        assert len(set(names["train"][kind])) == len(names["train"][kind])
        assert not set(names["train"][kind]) & set(names["test"][kind]), kind
    held_out = {name for kind in ("given", "family", "place", "organisation") for name in names["test"][kind]}
    held_out |= {f"{given} {family}" for given in names["test"]["given"] for family in names["test"]["family"]}
    assert surfaces(sample.sentences(language, "train")) & held_out == set()
    assert len(surfaces(sample.sentences(language, "test")) & held_out) > 50
    # A name of one word may also be an ordinary word.
    text = "\n".join(f" {line} " for line in sample.text(language))
    several_words = {name for kind in ("place", "organisation") for name in names["test"][kind] if " " in name}
    assert several_words and {name for name in several_words if f" {name} " in text} == set()


@pytest.mark.parametrize("language", ALL)
def test_dev_and_test_mix_known_names_with_unseen_ones(language):
    known = set(names_of(sample.sentences(language, "train")))
    for split in ("dev", "test"):
        found = names_of(sample.sentences(language, split))
        assert 0.3 < sum(name not in known for name in found) / len(found) < 0.85, split


def test_languages_and_splits_differ():
    heads = {sample.sentences(language, split)[0].words for language in ALL for split in sample.SIZES}
    assert len(heads) == len(ALL) * len(sample.SIZES)


def test_the_script_and_the_tone_marks_of_the_languages_are_there():
    amharic, yoruba = "".join(sample.text("amh")), "".join(sample.text("yor"))
    assert sum("\u1200" <= character <= "\u137f" for character in amharic) > len(amharic) / 2
    assert all(character in yoruba for character in "ẹọṣ") and any(mark in yoruba for mark in "áàéèíìóòúù")


def test_an_unknown_language_or_split_is_an_error():
    with pytest.raises(SmallerError, match=r"has no language 'swq'.*Did you mean 'swa'\?"):
        sample.check("swq")
    with pytest.raises(SmallerError, match="has no language 'ibo'.*masakhaner"):
        sample.sentences("ibo", "train")
    with pytest.raises(SmallerError, match="has no split 'tset'"):
        sample.sentences("swa", "tset")


def test_the_fingerprint_is_the_content_s(few_sentences):
    assert len({sample.fingerprint(language) for language in ALL}) == len(ALL)
    before = sample.fingerprint("swa")
    sample.SIZES["dev"] += 1
    assert sample.fingerprint("swa") != before
    sample.SIZES["dev"] -= 1
    assert sample.fingerprint("swa") == before
    assert splits.fingerprint("sample", "swa") == sample.fingerprint("swa") == splits.text_fingerprint("sample", "swa")
    assert len(sample.fingerprint("swa")) == hashlib.sha256().digest_size * 2


def test_the_tokenizer_has_afriberta_s_special_pieces():
    tokenizer = sample.tokenizer()
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3]) == ["<s>", "<pad>", "</s>", "<unk>"]
    assert (tokenizer.bos_token_id, tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert (tokenizer.unk_token_id, tokenizer.mask_token_id) == (3, len(tokenizer) - 1)
    assert len(tokenizer) == sample.VOCABULARY and tokenizer.model_max_length == 512
    vocabulary = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]
    assert len({piece for piece, _ in vocabulary}) == sample.VOCABULARY


@pytest.mark.parametrize("language", sample.LANGUAGES)
def test_no_piece_of_what_a_model_trains_on_is_unknown(language):
    tokenizer = sample.tokenizer()
    unknown = {split: _unknown_share(tokenizer, sample.sentences(language, split)) for split in sample.SIZES}
    assert unknown["train"] == 0
    assert max(unknown.values()) < 0.01  # characters of a test name that no training text has
    lines = tokenizer(list(sample.text(language)[:500]))["input_ids"]
    assert not any(tokenizer.unk_token_id in row for row in lines)


@pytest.mark.parametrize("language", sample.LANGUAGES)
def test_names_of_training_and_of_test_are_cut_into_as_many_pieces(language):
    def pieces_per_word(kind: str) -> float:
        names = [name for values in sample._source(language)["names"][kind].values() for name in values]
        rows = sample.tokenizer()(names, add_special_tokens=False)["input_ids"]
        return sum(map(len, rows)) / sum(len(name.split()) for name in names)

    assert pieces_per_word("test") == pytest.approx(pieces_per_word("train"), rel=0.15)


@pytest.mark.parametrize("language", sample.LANGUAGES)
def test_words_that_are_no_names_are_cut_into_few_pieces_in_every_language(language):
    words = [
        word
        for sentence in sample.sentences(language, "test")
        for word, tag in zip(sentence.words, sentence.tags, strict=True)
        if tag == "O"
    ]
    rows = sample.tokenizer()(words, add_special_tokens=False)["input_ids"]
    assert sum(map(len, rows)) / len(words) < 1.4


def _unknown_share(tokenizer, sentences) -> float:
    rows = tokenizer([list(sentence.words) for sentence in sentences], is_split_into_words=True)["input_ids"]
    return sum(row.count(tokenizer.unk_token_id) for row in rows) / sum(map(len, rows))


def test_topics_are_balanced_and_share_no_pattern_between_splits():
    made = {split: splits.sentences("sample-topics", "swa", split) for split in ("train", "dev", "test")}
    assert {split: len(texts) for split, texts in made.items()} == topics.SIZES
    for texts in made.values():
        counts = Counter(text.label for text in texts)
        assert set(counts) == set(splits.labels("sample-topics")) and max(counts.values()) <= 1.5 * min(counts.values())
        assert len({text.text for text in texts}) == len(texts)
    patterns = [set(own[split]) for own in topics._source().values() for split in ("train", "dev", "test")]
    assert len(set().union(*patterns)) == sum(map(len, patterns))
    assert splits.task("sample-topics").unit == "text" and splits.languages("sample-topics") == ("swa",)
    assert splits.fingerprint("sample-topics", "swa") != splits.fingerprint("sample", "swa")


def test_a_comment_in_the_source_changes_no_fingerprint(tmp_path, project):
    """Copies of the sample's room with a comment in one of its files."""
    found = set()
    for number, file in enumerate(("__init__.py", "swa.toml")):
        room = tmp_path / str(number) / "copied_sample"
        shutil.copytree(project / "lib/smaller/data/sample", room, ignore=shutil.ignore_patterns("__pycache__"))
        (room / file).write_text((room / file).read_text(encoding="utf-8") + "# A comment.\n", encoding="utf-8")
        code = "import copied_sample as sample; print(sample.fingerprint('swa'))"
        environment = os.environ | {"PYTHONPATH": str(room.parent)}
        run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        found.add(run.stdout.strip())
    assert found == {sample.fingerprint("swa")}


def test_topics_of_another_language_are_an_error():
    with pytest.raises(SmallerError, match="has topics in swa alone, and not in 'yor'"):
        splits.check("sample-topics", "yor")
