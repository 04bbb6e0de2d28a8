"""A family of one's own: text divided by itself, sizes that load everywhere, and a run that is killed goes on."""

from __future__ import annotations

import gzip
import json
import math
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import killed
import numpy as np
import pytest
import torch
from filelock import FileLock
from torch.nn import functional
from transformers import AutoModelForMaskedLM, AutoTokenizer

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import sample
from smaller.data.encoding import IGNORED, encode_text
from smaller.encoders.learned import learn_tokenizer
from smaller.pretrain import DEPTHS, Family, making, pretrain
from smaller.pretrain.corpus import text_files
from smaller.pretrain.held_out import frequency_perplexity, held_out_scores, masked_rows
from smaller.pretrain.text import encoded, sampled_lines, smoothed_order, texts

TINY = dict(width=12, vocabulary=300, updates=5, batch_size=8, held_out=0.1, learning_rate=1e-2)


def write_corpus(folder: Path, *, shuffled: bool = False) -> Path:
    """Three languages in the three layouts, and the files that stand beside a corpus."""
    lines = {code: [*sample.text(code)[:count]] for code, count in (("swa", 240), ("hau", 120), ("yor", 60))}
    if shuffled:
        for rows in lines.values():
            random.Random(1).shuffle(rows)
    (folder / "yor" / "deep er").mkdir(parents=True)
    (folder / "swa.txt").write_text("\n".join(lines["swa"]), encoding="utf-8")
    (folder / "hau.txt.gz").write_bytes(gzip.compress("\r\n".join(lines["hau"]).encode()))
    (folder / "yor" / "a.txt").write_text("\n\n".join(lines["yor"][:30]), encoding="utf-8")
    (folder / "yor" / "deep er" / "b.txt.gz").write_bytes(gzip.compress("\n".join(lines["yor"][30:]).encode()))
    (folder / "LICENSE.txt").write_text("Free for all, with thanks.\n", encoding="utf-8")
    (folder / "README.md").write_text("A corpus.", encoding="utf-8")
    (folder / "sources.tsv").write_text("lang\tsource\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("a corpus"))


@pytest.fixture(scope="module")
def made(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All three sizes."""
    out = tmp_path_factory.mktemp("models") / "mine"
    assert pretrain(Family(**TINY), corpus=corpus, out=out) == [out / size for size in DEPTHS]
    return out


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return encoders.open_folder(folder).network.state_dict()


def same(one: Path, other: Path) -> bool:
    ours, theirs = weights(one), weights(other)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def report(folder: Path) -> dict:
    return json.loads((folder / "pretraining.json").read_text(encoding="utf-8"))


# Folders


@pytest.mark.parametrize(("size", "layers"), [("small", 4), ("base", 8), ("large", 10)])
def test_every_size_loads_in_every_way(made: Path, size: str, layers: int, rooms: Callable[..., None]) -> None:
    opened = encoders.open_folder(made / size)
    expected = {"layers": layers, "heads": 6, "hidden": 12, "feed_forward": 48, "vocabulary": 300}
    assert encoders.shape(opened) == expected == report(made / size)["shape"]
    plain = AutoModelForMaskedLM.from_pretrained(made / size)
    rooms(models=made.parent)
    for network in (plain, encoders.load(f"mine/{size}").network):
        found = network.state_dict()
        assert all(torch.equal(value, found[name]) for name, value in opened.network.state_dict().items())
    tokenizer = AutoTokenizer.from_pretrained(made / size)
    line = sample.text("swa")[3]
    assert tokenizer(line)["input_ids"] == opened.tokenizer(line)["input_ids"]
    assert tokenizer.decode(tokenizer(line)["input_ids"], skip_special_tokens=True) == line
    assert encoders.parameter_count(opened.network) == report(made / size)["parameters"]


def test_sizes_share_a_tokenizer_with_the_special_pieces_of_xlm_r(made: Path) -> None:
    assert len({(made / size / "tokenizer.json").read_bytes() for size in DEPTHS}) == 1
    tokenizer = encoders.open_folder(made / "small").tokenizer
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3, 299]) == ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    assert len(tokenizer) == 300 and tokenizer.model_max_length == 512


def test_training_changes_what_it_should_and_helps(corpus: Path, tmp_path: Path) -> None:
    family = Family(**TINY | {"updates": 40})
    [small] = pretrain(family, corpus=corpus, out=tmp_path / "out", sizes=["small"])
    scores = report(small)["held_out"]
    assert scores["after"]["overall"]["perplexity"] < 0.7 * scores["before"]["overall"]["perplexity"]
    assert report(small)["training"]["updates"] == 40
    start = making.untrained(family, "small", encoders.open_folder(small).tokenizer).network.state_dict()
    assert not any(
        torch.equal(value, start[name])
        for name, value in weights(small).items()
        if value.dim() == 2 and "token_type" not in name
    )


def test_the_same_family_twice_is_the_same(corpus: Path, made: Path, tmp_path: Path) -> None:
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    again, other = tmp_path / "again", tmp_path / "other"
    pretrain(Family(**TINY), corpus=corpus, out=again, sizes=["small", "base"])
    pretrain(Family(**TINY, seed=2), corpus=corpus, out=other, sizes=["small"])
    assert (again / "small/tokenizer.json").read_bytes() == (made / "small/tokenizer.json").read_bytes()
    assert same(again / "small", made / "small") and same(again / "base", made / "base")
    assert not same(other / "small", made / "small")
    assert report(again / "base")["held_out"] == report(made / "base")["held_out"]
    assert torch.equal(torch.get_rng_state(), states[0]) and np.array_equal(np.random.get_state()[1], states[1])


def test_head_start_is_a_choice(made: Path) -> None:
    tokenizer = encoders.open_folder(made / "small").tokenizer
    with_it, without = (
        making.untrained(Family(**TINY, neighbours=choice), "small", tokenizer).network.state_dict()
        for choice in (True, False)
    )
    changed = {name for name in with_it if not torch.equal(with_it[name], without[name])}
    layers = {
        f"roberta.encoder.layer.{layer}.attention.self.{part}.weight" for layer in range(3) for part in ("query", "key")
    }
    assert changed == layers | {"roberta.embeddings.position_embeddings.weight"}


def test_the_card_says_what_there_is(made: Path) -> None:
    about, card = report(made / "base"), (made / "base/README.md").read_text(encoding="utf-8")
    rows = about["corpus"]
    assert {code: row["training"] + row["held_out"] + row["repeated"] + row["short"] for code, row in rows.items()} == {
        "hau": 120,
        "swa": 240,
        "yor": 60,
    }
    for code, row in rows.items():
        assert f"| {code} | {row['training']} | {row['held_out']} | {row['repeated']} | {row['short']} |" in card
        assert row["sha256"][:16] in card
    after = about["held_out"]["after"]
    for row in (after["overall"], *after["languages"].values()):
        assert f"| {row['perplexity']:,.1f} | {row['accuracy']:.1f} |" in card
    for text in (
        f"{about['parameters']:,} parameters",
        "8 layers, 6 heads",
        "Free for all, with thanks.",
        "mine/base",
        "learning rate 0.01",
        "Positions beyond 128 tokens",
        "5 updates of 8 lines",
    ):
        assert text in card, text
    assert about["peak_memory_bytes"] > 1e7 and about["training"]["pieces"] > 5 * 8
    assert str(made.parent) not in card + json.dumps(about), "a card names no folder of its maker"


def test_licence_is_what_was_said_or_the_corpus_says_or_nothing(corpus: Path, tmp_path: Path) -> None:
    licences = {}
    plain = tmp_path / "plain"
    shutil.copytree(corpus, plain)
    (plain / "LICENSE.txt").write_text("word " * 1000, encoding="utf-8")
    options = dict(sizes=["small"], corpus=plain)
    pretrain(Family(**TINY), out=tmp_path / "long", **options)
    (plain / "LICENSE.txt").unlink()
    pretrain(Family(**TINY), out=tmp_path / "none", **options)
    pretrain(Family(**TINY), out=tmp_path / "given", licence="CC BY 4.0", **options)
    licences = {name: report(tmp_path / name / "small")["licence"] for name in ("long", "none", "given")}
    assert licences["none"] == "" and licences["given"] == "CC BY 4.0"
    assert len(licences["long"]) < 1600 and licences["long"].endswith("(goes on in LICENSE.txt)")
    assert "Not stated" in (tmp_path / "none/small/README.md").read_text(encoding="utf-8")


# Text


def read(folder: Path, **options) -> dict:
    return dict(texts(text_files(folder), Family(**TINY | options)))


def test_held_out_lines_are_the_same_in_every_order_and_never_trained_on(corpus: Path, tmp_path: Path) -> None:
    found, shuffled = read(corpus), read(write_corpus(tmp_path / "shuffled", shuffled=True))
    for code, text in found.items():
        assert text.held_out == shuffled[code].held_out
        assert text.training != shuffled[code].training and set(text.training) == set(shuffled[code].training)
    held_out = {line for text in found.values() for line in text.held_out}
    assert held_out.isdisjoint(line for text in found.values() for line in text.training)
    total = sum(len(text.training) for text in found.values()) + len(held_out)
    assert len(held_out) / total == pytest.approx(0.1, abs=0.04)


def test_no_held_out_row_is_trained_on(corpus: Path, made: Path) -> None:
    tokenizer, found, files = encoders.open_folder(made / "small").tokenizer, read(corpus), text_files(corpus)
    lines = [line for text in found.values() for line in text.training]
    rows, _ = encoded(files, tokenizer, Family(**TINY), limit=500)
    seen = {tuple(row.tolist()) for row in rows}
    assert seen == {tuple(ids) for ids in tokenizer(lines)["input_ids"]}
    assert seen.isdisjoint(tuple(ids) for text in found.values() for ids in tokenizer(text.held_out)["input_ids"])
    # The tokenizer is learned from lines to train on as well.
    counts = [len(text.training) for text in found.values()]
    assert set(sampled_lines(files, counts, Family(**TINY), limit=10**6)) == set(lines)
    assert len(list(sampled_lines(files, counts, Family(**TINY), limit=50))) == 50


def test_short_and_repeated_lines_are_left_out(tmp_path: Path) -> None:
    words = "one two three four five six seven"
    lines = [f"{number} {words}" for number in range(50)]
    text = [*lines, "too  short a line here", *(f"  {line.replace(' ', '   ')} " for line in lines[:7]), "five 5 5 5 5"]
    (tmp_path / "eng.txt").write_text("\n".join(text), encoding="utf-8")
    (tmp_path / "zho.txt").write_text("\n".join(f"没有空格的句子{number}" for number in range(40)), encoding="utf-8")
    found = read(tmp_path)
    assert sorted(found["eng"].training + found["eng"].held_out) == sorted(lines)
    assert (found["eng"].repeated, found["eng"].short) == (7, 2)
    assert len(found["zho"].training + found["zho"].held_out) == 40 and found["zho"].short == 0
    assert read(tmp_path, least_words=5)["eng"].short == 0


def test_languages_can_be_chosen(corpus: Path) -> None:
    assert list(text_files(corpus)) == ["hau", "swa", "yor"]
    files = text_files(corpus, Family(**TINY, languages=("yor", "hau", "yor")).languages)
    assert {code: [file.name for file in paths] for code, paths in files.items()} == {
        "hau": ["hau.txt.gz"],
        "yor": ["a.txt", "b.txt.gz"],
    }


@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
def test_order_has_the_smoothed_shares_and_every_line(smoothing: float) -> None:
    counts = [2000, 0, 130, 700]
    order = smoothed_order(counts, smoothing=smoothing, seed=4)
    assert set(order) == set(range(sum(counts)))
    found = np.histogram(order, bins=[0, 2000, 2130, 2830])[0]
    powers = np.array([2000.0, 130.0, 700.0]) ** smoothing
    assert found / len(order) == pytest.approx(powers / powers.sum(), abs=1e-3)
    times = np.bincount(order)
    assert (times[:2000] == 1).all() and np.ptp(times[2000:2130]) <= 1 and np.ptp(times[2130:]) <= 1
    assert np.array_equal(order, smoothed_order(counts, smoothing=smoothing, seed=4))


def test_rows_are_those_of_the_tokenizer_in_few_bytes(corpus: Path, tiny) -> None:
    family = Family(**TINY | {"max_length": 9, "smoothing": 1.0})
    rows, held_out = encoded(text_files(corpus), tiny.tokenizer, family, limit=3)
    lines = [line for text in read(corpus).values() for line in text.training]
    expected = encode_text(lines, tiny.tokenizer, max_length=9)
    assert len(rows) == len(lines)
    assert sorted(row.tolist() for row in rows) == sorted(row.tolist() for row in expected)
    assert rows[0].dtype == torch.int64 and rows.tokens.dtype == np.uint16
    assert rows.tokens.nbytes == 2 * sum(len(row) for row in expected)
    assert {code: len(found) for code, found in held_out.items()} == {"hau": 3, "swa": 3, "yor": 3}
    assert all(len(row) <= 9 for found in held_out.values() for row in found)


# Held-out scores


def test_hidden_pieces_are_the_same_ones_in_every_call(tiny) -> None:
    rows = encode_text(sample.text("swa")[:200], tiny.tokenizer)
    one, other = (masked_rows(rows, tiny.tokenizer) for _ in range(2))
    assert all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(one, other, strict=True))
    labels = torch.cat([labels for _, labels in one])
    pieces = torch.cat(rows)
    assert torch.equal(labels[labels != IGNORED], pieces[labels != IGNORED])
    assert (labels != IGNORED).sum() / (len(pieces) - 2 * len(rows)) == pytest.approx(0.15, abs=0.02)


def test_perplexity_of_known_guesses_by_hand(tiny) -> None:
    """A model that looks at nothing: its guesses are its bias, so the scores can be written down."""
    model = tiny.copy()
    with torch.no_grad():
        head = model.network.lm_head
        head.decoder.weight.zero_()
        head.decoder.bias.fill_(-1e4)
        head.decoder.bias[[10, 11, 12]] = torch.tensor([0.5, 0.25, 0.25]).log()
    row = torch.tensor([0, 10, 11, 12, 10, 2])
    one = (row, torch.tensor([IGNORED, 10, 11, IGNORED, IGNORED, IGNORED]))
    other = (row[:4], torch.tensor([IGNORED, 10, IGNORED, 12]))
    blank = (row, torch.full((6,), IGNORED))
    scores = held_out_scores(model, {"swa": [one, blank], "hau": [other, other], "yor": [blank]})
    half_and_quarter = math.exp(-(math.log(0.5) + math.log(0.25)) / 2)
    for code, labels in (("swa", 2), ("hau", 4)):
        expected = {"perplexity": half_and_quarter, "accuracy": 50, "labels": labels}
        assert scores["languages"][code] == pytest.approx(expected, rel=1e-2)
    assert scores["overall"]["labels"] == 6 and scores["overall"]["accuracy"] == pytest.approx(50)
    assert "yor" not in scores["languages"], "there is nothing to guess in it"


def test_perplexity_is_that_of_the_plain_model_row_by_row(tiny, full_precision: None) -> None:
    rows = masked_rows(encode_text(sample.text("swa")[:40], tiny.tokenizer), tiny.tokenizer)
    losses, right = [], []
    with torch.inference_mode():
        for pieces, labels in rows:
            logits = tiny.network(input_ids=pieces[None]).logits[0]
            kept = labels != IGNORED
            losses += functional.cross_entropy(logits[kept], labels[kept], reduction="none").tolist()
            right += (logits[kept].argmax(-1) == labels[kept]).tolist()
    scores = held_out_scores(tiny, {"swa": rows[:15], "hau": rows[15:]})
    assert scores["overall"]["perplexity"] == pytest.approx(math.exp(np.mean(losses)), rel=1e-4)
    assert scores["overall"]["accuracy"] == pytest.approx(100 * np.mean(right))
    assert sum(found["labels"] for found in scores["languages"].values()) == len(losses) == scores["overall"]["labels"]


def test_frequency_alone_by_hand(tiny) -> None:
    pieces = np.array([0, 5, 5, 5, 7, 2, 0, 9, 2], dtype=np.uint16)
    rows = {"swa": [(torch.tensor([0, 5, 7]), torch.tensor([IGNORED, 5, 7]))]}
    total = (len(tiny.tokenizer) - 5) + 5  # one for each piece that is not special, and five that are there
    expected = math.exp(-(math.log(4 / total) + math.log(2 / total)) / 2)
    assert frequency_perplexity(pieces, rows, tiny.tokenizer) == pytest.approx(expected)


# Going on


class Killed(BaseException):
    """Stands for a signal: nothing of ours catches it."""


def killed_at(moment: str, family: Family, **options) -> None:
    """A run that is killed as soon as it says something of the moment."""

    def say(line: str) -> None:
        if moment in line:
            raise Killed

    with pytest.raises(Killed):
        pretrain(family, **options, say=say)


def test_a_size_that_was_killed_in_training_goes_on(corpus: Path, tmp_path: Path) -> None:
    family, options = Family(**TINY | {"updates": 60}), dict(corpus=corpus, sizes=["small"])
    pretrain(family, out=tmp_path / "whole", **options)
    with killed.killed_at(50):
        pretrain(family, out=tmp_path / "killed", **options)
    assert not (tmp_path / "killed/small").exists()
    heard: list[str] = []
    pretrain(family, out=tmp_path / "killed", **options, say=heard.append)
    assert any("small: going on after update" in line for line in heard)
    assert same(tmp_path / "killed/small", tmp_path / "whole/small")
    whole, gone_on = (report(tmp_path / name / "small") for name in ("whole", "killed"))
    assert gone_on["held_out"] == whole["held_out"]
    assert gone_on["training"]["loss_curve"] == whole["training"]["loss_curve"]
    left = {".lock", "family.json", "small", "tokenizer"}
    assert {place.name for place in (tmp_path / "killed").iterdir()} == left


def test_a_size_that_was_killed_in_scoring_is_not_trained_again(corpus: Path, made: Path, tmp_path: Path) -> None:
    options = dict(corpus=corpus, out=tmp_path / "out", sizes=["small"])
    killed_at("scoring", Family(**TINY), **options)
    (weights,) = (tmp_path / "out").glob("*/model.safetensors")
    trained = weights.stat().st_mtime_ns
    pretrain(Family(**TINY), **options)
    assert (tmp_path / "out/small/model.safetensors").stat().st_mtime_ns == trained
    assert same(tmp_path / "out/small", made / "small")
    assert report(tmp_path / "out/small")["held_out"] == report(made / "small")["held_out"]


@pytest.mark.parametrize("moment", ["learning a tokenizer", "before training"])
def test_a_family_that_was_killed_before_its_training_goes_on(
    corpus: Path, made: Path, tmp_path: Path, moment: str
) -> None:
    options = dict(corpus=corpus, out=tmp_path / "out", sizes=["small"])
    killed_at(moment, Family(**TINY), **options)
    pretrain(Family(**TINY), **options)
    assert same(tmp_path / "out/small", made / "small")


def test_what_is_finished_stays_and_sizes_can_be_added(corpus: Path, made: Path, tmp_path: Path) -> None:
    out, kept = tmp_path / "out", ("small/model.safetensors", "tokenizer/tokenizer.json")
    pretrain(Family(**TINY), corpus=corpus, out=out, sizes=["small"])
    before = [(out / file).stat().st_mtime_ns for file in kept]
    heard: list[str] = []
    pretrain(Family(**TINY), corpus=corpus, out=out, sizes=["base", "small", "base"], say=heard.append)
    assert [(out / file).stat().st_mtime_ns for file in kept] == before
    assert sum("small: is there already" in line for line in heard) == 1
    assert same(out / "base", made / "base"), "a size is the same whatever is made beside it"


# Mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 100}, r"6 heads.*100 cannot be\. Take 96 or 102"),
        ({"width": 6}, r"6 cannot be\. Take 12 or 18"),
        ({"width": "wide"}, "width is a whole number above zero; it is 'wide'"),
        ({"updates": 0}, "updates is a whole number above zero; it is 0"),
        ({"vocabulary": -4}, "vocabulary is a whole number"),
        ({"batch_size": 2.5}, "batch_size is a whole number"),
        ({"max_length": 600}, "max_length is from 3 to 512 tokens; it is 600"),
        ({"max_length": 2}, "max_length is from 3"),
        ({"learning_rate": 3}, "learning_rate is a number between 0 and 1; it is 3"),
        ({"held_out": 0}, "held_out is a number between 0 and 1"),
        ({"rate": 1.0}, "rate is a number between 0 and 1"),
        ({"smoothing": 2}, "smoothing is a power from 0 to 1; it is 2"),
        ({"languages": ()}, "at least one language"),
        ({"languages": "swa"}, "list of at least one language.*'swa'"),
    ],
)
def test_bad_settings_are_errors_before_anything_is_read(options: dict, message: str) -> None:
    with pytest.raises(SmallerError, match=message):
        Family(**TINY | options)


def fails(message: str, corpus: Path, out: Path, *, sizes: tuple[str, ...] = ("small",), **options) -> None:
    with pytest.raises(SmallerError, match=message) as caught:
        pretrain(Family(**TINY | options), corpus=corpus, out=out, sizes=sizes)
    assert "\n" not in str(caught.value)


def test_unknown_sizes_and_languages_come_with_suggestions(corpus: Path, tmp_path: Path) -> None:
    fails(r"no size 'smal'; sizes are small, base, large\. Did you mean 'small'\?", corpus, tmp_path, sizes=("smal",))
    fails("no size to make", corpus, tmp_path, sizes=())
    fails(r"no language 'yro'; it has hau, swa, yor\. Did you mean 'yor'\?", corpus, tmp_path, languages=("yro",))
    assert not list(tmp_path.iterdir()), "nothing is written before all is checked"


def test_a_corpus_that_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    fails(rf"no corpus folder {folder}", folder, tmp_path / "out")
    folder.mkdir()
    (folder / "README.txt").write_text("Nothing here yet.")
    (folder / "table.csv").write_text("a,b")
    fails(r"holds no text\. Expected <language>\.txt", folder, tmp_path / "out")
    (folder / "swa.txt").write_text("\n \n")
    fails(r"swa\.txt: the file is empty", folder, tmp_path / "out")
    (folder / "swa.txt").write_text("a single line of no less than six words")
    fails(r"too small: 0 lines are held out, and 1 are left", folder, tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.name != ".lock"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"habari ya leo\nmzuri\nsana \xff\xfe\n", r"swa\.txt:3: found byte 0xff, which is not UTF-8"),
        (b"habari\n\x00\x01\x02\n", r"swa\.txt:2: found a NUL character, so this is a binary file"),
    ],
)
def test_a_file_that_is_no_text_is_named_with_its_line(tmp_path: Path, content: bytes, message: str) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    (corpus / "swa.txt").write_bytes(content)
    fails(message, corpus, tmp_path / "out", languages=("swa",))
    assert not (tmp_path / "out/family.json").exists(), "the mended corpus is not another family"


def test_a_vocabulary_that_the_text_cannot_give(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(SmallerError, match="too small for a vocabulary of 50000 tokens: it gives at most") as caught:
        pretrain(Family(**TINY | {"vocabulary": 50_000}), corpus=corpus, out=tmp_path / "out", sizes=["small"])
    most = int(str(caught.value).partition("at most ")[2].partition(".")[0])
    lines = [line for text in read(corpus).values() for line in text.training]
    assert 300 < most < 50_000
    with pytest.raises(SmallerError, match="vocabulary of 30 tokens is too small: the letters .* take") as caught:
        learn_tokenizer(lines, vocabulary=30)
    least = int(str(caught.value).partition(" take ")[2].partition(".")[0])
    assert len(learn_tokenizer(lines, vocabulary=least + 5)) == least + 5
    # The same folder serves the next attempt.
    pretrain(Family(**TINY), corpus=corpus, out=tmp_path / "out", sizes=["small"])


def test_text_that_names_special_pieces_gives_no_second_ones() -> None:
    """SentencePiece cuts words where letters meet signs, so none of its pieces can be `<mask>`."""
    letters = "abcdefghij"
    lines = [f"{one}{other}<mask>{other}{one} {other}<s>{one}" for one in letters for other in letters]
    tokenizer = learn_tokenizer(lines, vocabulary=30)
    vocabulary = [piece for piece, _ in json.loads(tokenizer.backend_tokenizer.to_str())["model"]["vocab"]]
    assert len(set(vocabulary)) == len(vocabulary) == len(tokenizer) == 30 and tokenizer.mask_token_id == 29


def test_an_output_folder_that_cannot_be_written(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    fails(r"The family cannot be written to .*file.*OUT", corpus, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "here"


def test_an_output_folder_that_holds_something_else(corpus: Path, made: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("Precious.")
    fails(r"holds thesis\.tex and no family", corpus, tmp_path)
    fails(
        r"another family: it differs in width \(12 there, 18 here\), updates \(5 there, 7 here\)\.",
        corpus,
        made,
        width=18,
        updates=7,
    )
    changed = write_corpus(tmp_path / "changed", shuffled=True)
    (changed / "swa.txt").write_bytes((corpus / "swa.txt").read_bytes())
    shutil.rmtree(changed / "yor")
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    fails(r"differs in text of hau, text of yor\.", changed, made)
    assert {path: path.read_bytes() for path in made.rglob("*") if path.is_file()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changed", "thesis.tex"]


def test_a_damaged_family_is_an_error(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "family.json").write_text('{"family": ')
    fails(r"family\.json is damaged", corpus, tmp_path)
    assert (tmp_path / "family.json").read_text() == '{"family": ', "what is damaged is left for its owner"


def test_two_at_once_do_not_meet(corpus: Path, tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"):
        caught: list[BaseException] = []

        def other() -> None:
            try:
                fails("Another process is making a family", corpus, tmp_path)
            except BaseException as problem:
                caught.append(problem)

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert not caught


def test_a_full_disk_is_said_in_one_sentence(corpus: Path, tmp_path: Path, small_files) -> None:
    wide = {"width": 96, "updates": 1}  # two megabytes; one is looked for at the beginning
    with small_files(1_500_000):
        fails("could not be kept in .*: .*too large.* Free some space", corpus, tmp_path / "out", **wide)
    (made,) = pretrain(Family(**TINY | wide), corpus=corpus, out=tmp_path / "out", sizes=["small"])
    assert (made / "model.safetensors").stat().st_size > 1_500_000
