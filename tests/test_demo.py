"""The page of a shipped model: the same tokens, words and labels as the package, in Node and in a browser, offline."""

from __future__ import annotations

import html
import json
import random
import re
import shutil
import subprocess
import unicodedata
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from PIL import Image
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from smaller import encoders, formats
from smaller.__main__ import main
from smaller.base.errors import SmallerError
from smaller.data import sample
from smaller.data.tasks import bio_labels
from smaller.demo import demo, page_of_several
from smaller.demo.page import content_hash
from smaller.demo.pieces import charsmap, state_of
from smaller.formats.shipping import ship
from smaller.serving import answers
from smaller.serving.folder import folder_bytes
from smaller.serving.reader import open_graph

NODE, CHROMIUM = shutil.which("node"), shutil.which("chromium") or shutil.which("chromium-browser")
with_node = pytest.mark.skipif(not NODE, reason="node is not installed")
in_browser = pytest.mark.skipif(not CHROMIUM, reason="chromium is not installed")

ENTITIES, PARTS, TOPICS = bio_labels(("PER", "LOC")), ("NOUN", "VERB", "PUNCT"), ("health", "sports", "travel")
SENTENCES = [sentence for code in ("yor", "amh") for sentence in sample.sentences(code, "test")[:12]]
LINES = [
    *(" ".join(sentence.words) for sentence in SENTENCES),
    *(unicodedata.normalize("NFD", " ".join(sentence.words)) for sentence in SENTENCES[:6]),
    "",
    " \u3000 ",
    "<b>Kofi</b> & <script>alert(1)</script> </script>",
    "القاهرة هي عاصمة مصر",
    "n'ala by’inshuti 12-3.5",
    " ".join(" ".join(sentence.words) for sentence in SENTENCES * 2),
    "ha" * 900 + " Kano",
    "a\U0001f600b \ufeff\x85 c\x1cd",
]


def tagger(
    labels,
    *,
    unit: str = "word",
    kind: str = "xlm-roberta",
    layers: int = 2,
    hidden: int = 36,
    form: str = "fp32",
) -> encoders.Model:
    """A network with random weights, whose head is strong enough that labels do not hang on a hair, in a format."""
    tokenizer = sample.tokenizer()
    shape = encoders.Encoder("tiny", layers=layers, heads=2, hidden=hidden, feed_forward=50, kind=kind)
    config = encoders.configuration(shape, vocabulary=len(tokenizer))
    plain = encoders.Model(encoders.build(config, seed=3), tokenizer)
    made = encoders.with_classifier(plain, labels, seed=1, unit=unit)
    with torch.no_grad():
        for name, weight in made.network.named_parameters():
            if name.startswith("classifier") and weight.ndim > 1:
                weight.mul_(8)
            elif name.endswith("bias"):
                weight.uniform_(-0.1, 0.1, generator=torch.Generator().manual_seed(weight.numel()))
    return formats.convert(made, form)


KINDS = {
    "entities": {"labels": ENTITIES},
    "entities in 4 bits": {"labels": ENTITIES, "form": "onnx-int4"},
    "parts of speech": {"labels": PARTS, "kind": "bert", "layers": 1, "hidden": 32},
    "topics": {"labels": TOPICS, "unit": "text"},
    "topics in 4 bits": {"labels": TOPICS, "unit": "text", "form": "onnx-int4"},
    "topics of a BERT": {"labels": TOPICS, "unit": "text", "kind": "bert"},
}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("shipped models")
    card = {"title": "Names <in> Yoruba & Amharic", "languages": ["yor", "amh"], "example": "Kofi </script> wa."}
    card["scores"] = [{"set": "sample/yor/test", "metric": "span F1", "score": 71.25}]
    card["licence"] = "Data of <two> licences: non-commercial use only."
    return {name: ship(tagger(**{"form": "onnx-int8"} | kind), place / name, card=card) for name, kind in KINDS.items()}


@pytest.fixture(scope="module")
def pages(shipped, tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("pages")
    return {name: demo(folder, place / f"{name}.html") for name, folder in shipped.items()}


def parts(page: str) -> tuple[str, dict]:
    """The scripts of a page, and the model in it."""
    data = re.search(r'<script type="application/json" id="model-1">(.*?)</script>', page, re.DOTALL)[1]
    return re.findall(r"<script>(.*?)</script>", page, re.DOTALL)[1], json.loads(data)


def in_node(script: str, code: str, given: object, folder: Path) -> object:
    """What code gives for `given` when it runs after the page's scripts."""
    (folder / "given.json").write_text(json.dumps(given), encoding="utf-8")
    (folder / "page.js").write_text(
        f"{script}\nconst given = JSON.parse(require('fs').readFileSync('given.json', 'utf8'));\n"
        "const run = (work) => { for (;;) { const step = work.next(); if (step.done) return step.value; } };\n"
        f"process.stdout.write(JSON.stringify({code}));\n",
        encoding="utf-8",
    )
    return json.loads(subprocess.run([NODE, "page.js"], cwd=folder, capture_output=True, check=True).stdout)


def read_in_node(page: Path, lines: list[str], folder: Path) -> list[dict]:
    script, model = parts(page.read_text(encoding="utf-8"))
    code = (
        "(() => { const reader = new Reader(given.model);"
        " return given.lines.map((line) => run(reader.read(line))); })()"
    )
    return in_node(script, code, {"model": model, "lines": lines}, folder)


def units(text: str, place: int) -> int:
    """A place in a text in the units of JavaScript."""
    return len(text[:place].encode("utf-16-le")) // 2


def answered(name: str, ask: Callable, shipped, pages, folder: Path) -> Iterator[tuple]:
    """Each of the lines, what the page says of it, and what the package says of it alone."""
    reader = open_graph(shipped[name])
    for line, found in zip(LINES, read_in_node(pages[name], LINES, folder), strict=True):
        [expected] = ask(reader, [line])
        yield line, found, expected


@with_node
@pytest.mark.parametrize("name", ["entities", "entities in 4 bits", "parts of speech"])
def test_page_marks_the_words_that_the_package_marks(name: str, shipped, pages, tmp_path: Path) -> None:
    for line, found, expected in answered(name, answers.tag, shipped, pages, tmp_path):
        entities = [(e["text"], e["type"], e["start"], e["end"]) for e in found["entities"]]
        places = [(e.text, e.type, units(line, e.start), units(line, e.end)) for e in expected.entities]
        assert entities == places, line
        assert (len(found["words"]), found["windows"]) == (expected.words, expected.windows)
        assert found["unknown"] == pytest.approx(expected.unknown)
        scores = [entity["score"] for entity in found["entities"]]
        assert scores == pytest.approx([entity.score for entity in expected.entities], abs=0.03)


@with_node
@pytest.mark.parametrize("name", ["topics", "topics in 4 bits", "topics of a BERT"])
def test_page_gives_a_text_the_label_that_the_package_gives(name: str, shipped, pages, tmp_path: Path) -> None:
    for _, found, expected in answered(name, answers.classify, shipped, pages, tmp_path):
        assert (found["label"], found["truncated"]) == (expected.label, expected.truncated)
        scores = {score["label"]: score["score"] for score in found["scores"]}
        assert scores == pytest.approx(expected.scores, abs=0.03)


@with_node
@pytest.mark.parametrize("name", KINDS)
def test_network_gives_the_logits_of_onnx_runtime(name: str, shipped, pages, tmp_path: Path) -> None:
    """To the last digits; on some processors but for rows in which one of many numbers was rounded otherwise."""
    reader = open_graph(shipped[name])
    rows = [encoding.ids[:500] for encoding in reader.tokenizer.encode_batch([line for line in LINES if line.strip()])]
    rows.append([0, 2, 1, 7, 1, 9])  # with padding tokens in the text
    script, model = parts(pages[name].read_text(encoding="utf-8"))
    code = (
        "(() => { const { network } = new Reader(given.model);"
        " return given.rows.map((row) => run(network.logits(row)).map((logits) => Array.from(logits))); })()"
    )
    far = []
    for row, found in zip(rows, in_node(script, code, {"model": model, "rows": rows}, tmp_path), strict=True):
        expected = reader.graph.logits(np.array([row]), np.ones((1, len(row)), np.int64))[0]
        found = np.array(found)
        assert found.size == expected.size
        far.append(np.abs(found.reshape(expected.shape) - expected).max())
    cpu = Path("/proc/cpuinfo")
    same = cpu.is_file() and "avx512f" in cpu.read_text()  # other processors sum in another order
    assert np.median(far) < 1e-5 and max(far) < (1e-5 if same else 0.1)
    assert np.mean(np.array(far) < 1e-3) > 0.7


def unigram(normalizer=None, cutter=None, *, lstrip: bool = False) -> Tokenizer:
    """The sample's vocabulary behind other steps."""
    state = json.loads(sample.tokenizer().backend_tokenizer.to_str())["model"]
    made = Tokenizer(models.Unigram([tuple(entry) for entry in state["vocab"]], unk_id=state["unk_id"]))
    if normalizer:
        made.normalizer = normalizer
    made.pre_tokenizer = cutter or pre_tokenizers.Metaspace()
    made.add_special_tokens(["<s>", "</s>", "<pad>", AddedToken("<mask>", lstrip=lstrip, special=True)])
    return made


def sentencepiece_table() -> bytes:
    """The table of characters that SentencePiece puts into a model by default."""
    import io

    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    model = io.BytesIO()
    lines = [" ".join(sentence.words) for sentence in sample.sentences("yor", "train")]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=400, minloglevel=2
    )
    read = sentencepiece_model_pb2.ModelProto()
    read.ParseFromString(model.getvalue())
    return read.normalizer_spec.precompiled_charsmap


def steps() -> dict[str, Tokenizer]:
    n = normalizers
    table = n.Sequence([n.Precompiled(sentencepiece_table()), n.Replace(Regex(" {2,}"), " ")])
    first = pre_tokenizers.Metaspace(prepend_scheme="first")
    words = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    return {
        "as it is": unigram(cutter=words),
        "SentencePiece's table": unigram(table, lstrip=True),
        "NFKC": unigram(n.Sequence([n.Replace("\t", " "), n.NFKC(), n.Lowercase(), n.Strip()])),
        "first word": unigram(cutter=first),
        "NFD": unigram(n.Sequence([n.NFD(), n.Prepend("▁")]), pre_tokenizers.Metaspace(split=False)),
    }


def random_texts(count: int) -> list[str]:
    """Texts of letters of many scripts, marks, spaces and special tokens, in any order."""
    draw = random.Random(1)
    blocks = [(32, 127), (160, 592), (768, 880), (0x1200, 0x1380), (0x600, 0x700), (0x2000, 0x2070), (0x2580, 0x2590)]
    blocks += [(0xFB00, 0xFB10), (0xFF00, 0xFFEF), (0x1F300, 0x1F700), (0xAC00, 0xAC80), (1, 33), (0x1100, 0x1200)]
    texts = []
    for _ in range(count):
        kept = draw.sample(blocks, draw.randint(1, 4))
        letters = [chr(draw.randrange(*draw.choice(kept))) for _ in range(draw.randint(0, 24))]
        if draw.random() < 0.2:
            letters.insert(draw.randint(0, len(letters)), draw.choice(["<s>", "</s>", "<unk>", " <mask> ", "<mask"]))
        texts.append("".join(letters))
    return texts


@with_node
@pytest.mark.parametrize("name", ["as it is", "SentencePiece's table", "NFKC", "first word", "NFD"])
def test_tokens_are_those_of_the_library(name: str, pages, tmp_path: Path) -> None:
    tokenizer = steps()[name]
    state, scores = state_of(tokenizer)
    texts = [*LINES, *random_texts(3000)]
    texts += [" ".join(sentence.words) for code in ("yor", "amh", "hau") for sentence in sample.sentences(code, "dev")]
    script, _ = parts(pages["entities"].read_text(encoding="utf-8"))
    code = (
        "(() => { const own = new Tokenizer(given.state, given.scores);"
        " return given.texts.map((text) => own.tokens(text)); })()"
    )
    found = in_node(script, code, {"state": state, "scores": scores.tolist(), "texts": texts}, tmp_path)
    expected = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    different = [text for text, own, other in zip(texts, found, expected, strict=True) if own != other]
    assert different == []


def test_table_of_characters_is_read() -> None:
    table = charsmap(sentencepiece_table())
    assert table["ﬁ"] == "fi" and table["Ａ"] == "A" and table["\u00a0"] == " " and table["e\u0301"] == "é"
    assert len(table) > 5000


def test_page_fetches_nothing_and_runs_its_own_scripts_alone(pages) -> None:
    page = pages["entities"].read_text(encoding="utf-8")
    script, model = parts(page)
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1])
    assert policy.startswith("default-src 'none';") and content_hash(script) in policy
    assert not re.search(r'(src|href)="(?!data:)', page) and "import(" not in script and "fetch(" not in script
    assert page.count("</script>") == page.count("<script")
    assert model["reader"] == {"unit": "word", "labels": list(ENTITIES), "scheme": "bio", "room": 512}


@with_node
def test_lines_are_read_once_and_long_reading_is_said(pages, tmp_path: Path) -> None:
    code = """(() => {
      const slow = "slow", parts = { summary: {}, time: {} }, said = [];
      const root = { querySelector: (name) => parts[/part=(\\w+)/.exec(name)[1]] };
      const reader = { unit: "word", scheme: "bio", labels: ["O"], count: 0, *read(line) {
        this.count++;
        for (const end = performance.now() + (line === slow ? 500 : 0); performance.now() < end; ) yield;
        return { text: line };
      } };
      const pane = new Pane(root, reader);
      pane.show = () => said.push(parts.summary.textContent);
      const lines = Array.from({ length: given }, (_, line) => `${line}`).join("\\n");
      for (const text of [lines, `${lines}!`, `${lines}?`, slow]) run(pane.read(text));
      return [reader.count, said];
    })()"""
    script, _ = parts(pages["entities"].read_text(encoding="utf-8"))
    count, said = in_node(script, code, 300, tmp_path)
    assert count == 300 + 1 + 1 + 1 and said == [None, None, None, "Reading."]


@with_node
def test_script_is_named_where_letters_are_lacking(pages, tmp_path: Path) -> None:
    """Not for signs, and not for Latin text with a few letters that the vocabulary lacks."""
    script, model = parts(pages["entities"].read_text(encoding="utf-8"))
    code = """given.lines.map((line) => {
      const reader = new Reader(given.model), pane = new Pane({ dataset: {} }, reader);
      const found = run(reader.read(line));
      return [found.unknown, pane.notes([found]).map((note) => /vocabulary.*(script|there)/.exec(note)[1])];
    })"""
    lines = ["“ Kofi ” ☂ wa 🎉", "Kofi ħŧ wa ŋǂ", "القاهرة هي عاصمة مصر"]
    told = in_node(script, code, {"model": model, "lines": lines}, tmp_path)
    assert min(unknown for unknown, _ in told) > 0.2, "else nothing is tried here"
    assert [notes for _, notes in told] == [[], ["there"], ["script"]]


def test_text_has_the_language_of_the_model(shipped, pages, tmp_path: Path) -> None:
    """Of several languages none is claimed, but the page's own English does not reach the text."""
    folder = Path(shutil.copytree(shipped["entities"], tmp_path / "model"))
    card = (folder / "README.md").read_text(encoding="utf-8")
    (folder / "README.md").write_text(card.replace("- amh\n", "", 1), encoding="utf-8")
    both = BeautifulSoup(pages["entities"].read_text(encoding="utf-8"), "html.parser")
    one = BeautifulSoup(demo(folder, tmp_path / "page.html").read_text(encoding="utf-8"), "html.parser")
    page = page_of_several({"a": folder}, title="", label="", examples=["a", "b"], languages=["swa"])
    several = BeautifulSoup(page, "html.parser")
    for soup, lang in ((both, ""), (one, "yo"), (several, "sw")):
        assert (soup.textarea["lang"], soup.textarea["dir"]) == (lang, "auto")
        assert {pane["data-lang"] for pane in soup.select("section.found")} == {lang}
        assert {button["lang"] for button in soup.select("[data-example]")} <= {lang}
    assert len(several.select("[data-example]")) == 2


def test_page_says_what_the_card_says(pages, shipped) -> None:
    page = pages["entities"].read_text(encoding="utf-8")
    size = folder_bytes(shipped["entities"])
    for said in ("<h1>Names &lt;in&gt; Yoruba &amp; Amharic</h1>", "<dd>Yoruba and Amharic</dd>", "<dd>PER, LOC</dd>"):
        assert said in page
    assert "<dd>span F1 71.2 on sample/yor/test</dd>" in page and f"<dd>{size:,} bytes to ship, " in page
    assert ">Kofi &lt;/script&gt; wa.</textarea>" in page
    assert "<dd>Data of &lt;two&gt; licences: non-commercial use only.</dd>" in page


@pytest.mark.parametrize("front", ["three words here", "- a list", "language: 5", "widget: [{}]", "model-index: [1]"])
def test_a_card_that_somebody_changed_is_one_clear_error(front: str, shipped, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(shipped["entities"], tmp_path / "model"))
    (folder / "README.md").write_text(f"---\n{front}\n---\n# Mine\n", encoding="utf-8")
    with pytest.raises(SmallerError, match=r"front matter of .*README.md is not as one that was shipped"):
        demo(folder, tmp_path / "page.html")
    (folder / "README.md").unlink()
    assert demo(folder, tmp_path / "page.html").is_file()


def test_command_writes_the_page_with_own_examples(shipped, tmp_path: Path, capsys) -> None:
    place = tmp_path / "a page.html"
    examples = ["--example", "Ó wà ní Èkó.", "--example", "አበበ ሄደ።"]
    assert main(["demo", str(shipped["topics"]), str(place), *examples]) == 0
    assert capsys.readouterr().out == f"{place}: {place.stat().st_size / 1e6:,.2f} MB; open it in any browser\n"
    page = place.read_text(encoding="utf-8")
    assert ">Ó wà ní Èkó.</textarea>" in page and 'data-example="አበበ ሄደ።"' in page


def test_model_that_no_page_runs_is_refused(shipped, tmp_path: Path) -> None:
    plain = ship(tagger(ENTITIES), tmp_path / "plain")
    with pytest.raises(SmallerError, match="--form onnx-int8"):
        demo(plain, tmp_path / "page.html")
    with pytest.raises(SmallerError, match="holds no shipped model"):
        demo(tmp_path, tmp_path / "page.html")
    damaged = tmp_path / "damaged"
    shutil.copytree(shipped["entities"], damaged)
    (damaged / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(SmallerError, match="tokenizer.json is missing or changed"):
        demo(damaged, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_adapters_and_other_tokenizers_are_refused(tiny, tmp_path: Path) -> None:
    adapted = encoders.with_classifier(tiny, ENTITIES, seed=1, adapter_size=4)
    folder = ship(formats.convert(adapted, "onnx-int8"), tmp_path / "adapted")
    with pytest.raises(SmallerError, match="cannot run in a page"):
        demo(folder, tmp_path / "page.html")
    for model in (models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"), models.BPE()):
        with pytest.raises(SmallerError, match=type(model).__name__):
            state_of(Tokenizer(model))
    with pytest.raises(SmallerError, match="StripAccents"):
        state_of(unigram(normalizers.StripAccents()))
    with pytest.raises(SmallerError, match="its first word"):
        state_of(unigram(normalizers.NFC(), pre_tokenizers.Metaspace(prepend_scheme="first")))


def in_chromium(page: str, folder: Path, text: str = "", *, what: str = "--dump-dom") -> bytes:
    """What a browser makes of a page: its document, or as `what` has it."""
    place = folder / "page.html"
    place.write_text(page, encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=20000"]
    options += [f"--user-data-dir={folder / 'profile'}", "--window-size=390,844", what]
    command = [CHROMIUM, *options, f"{place.as_uri()}#text={urllib.parse.quote(text)}"]
    return subprocess.run(command, capture_output=True, timeout=120, check=True).stdout


def width_on_a_phone(page: str, folder: Path, text: str) -> int:
    """How wide a page is, with all that it shows, in a window of 390 pixels; told by the colour of a corner."""
    script = """const corner = document.createElement("div"), root = document.documentElement;
      corner.style = "position: fixed; inset: 0 auto auto 0; width: 9px; height: 9px";
      document.body.append(corner);
      (function tell() {
        corner.style.background = `rgb(${root.scrollWidth >> 8}, ${root.scrollWidth & 255}, 9)`;
        requestAnimationFrame(tell);
      })();"""
    in_chromium(
        page.replace("</body>", f"<script>{script}</script></body>"), folder, text, what=f"--screenshot={folder}/p.png"
    )
    with Image.open(folder / "p.png") as picture:
        high, low, mark = picture.convert("RGB").getpixel((4, 4))
    assert mark == 9
    return 256 * high + low


def without_policy(page: str) -> str:
    return re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)


@in_browser
def test_phone_shows_the_entities_of_a_line_and_runs_nothing_of_it(shipped, pages, tmp_path: Path) -> None:
    line = f"<script>document.title = 'run'</script> <b>{LINES[0]}</b> {LINES[-2][:400]}"
    page = without_policy(pages["entities"].read_text(encoding="utf-8"))
    soup = BeautifulSoup(in_chromium(page, tmp_path, line), "html.parser")
    assert soup.main["data-state"] == "ready" and soup.title.string == "Names <in> Yoruba & Amharic"
    [expected] = answers.tag(open_graph(shipped["entities"]), [line])
    marks = [(mark.select_one(".own").string, mark.select_one(".type").contents[0]) for mark in soup.select("mark")]
    assert marks == [(entity.text, entity.type) for entity in expected.entities] != []
    assert all(p["lang"] == "" and p["dir"] == "auto" for p in soup.select(".answer p"))
    assert all(cell.get("lang") == "" for cell in soup.select("td[dir]")) and soup.select("td[dir]")
    assert width_on_a_phone(page, tmp_path, line) == 390


@in_browser
def test_page_runs_under_its_own_policy(pages, tmp_path: Path) -> None:
    page = pages["topics"].read_text(encoding="utf-8").replace("</body>", "<script>document.title = 9</script></body>")
    found = in_chromium(page, tmp_path, LINES[0]).decode()
    assert 'data-state="ready"' in found and found.count('class="bar ') == len(TOPICS)
    assert "<title>9</title>" not in found  # no script but the page's own


@in_browser
def test_browser_without_what_the_page_needs_is_told(pages, tmp_path: Path) -> None:
    page = without_policy(pages["entities"].read_text(encoding="utf-8"))
    for lacking in ("Float64Array = undefined", "String.prototype.matchAll = undefined"):
        found = in_chromium(page.replace("<header>", f"<script>{lacking};</script><header>"), tmp_path).decode()
        assert 'role="alert"' in found and "browser is too old" in found
        assert "<textarea" not in found.partition("<main")[2]


@in_browser
def test_models_answer_side_by_side(shipped, tmp_path: Path) -> None:
    folders = {"one": shipped["entities"], "two": shipped["entities"]}
    page = page_of_several(folders, title="Both", label="Text", examples=[])
    line = LINES[0]
    soup = BeautifulSoup(in_chromium(page, tmp_path, line), "html.parser")
    [expected] = answers.tag(open_graph(shipped["entities"]), [line])
    for pane in soup.select("section.found"):
        assert [mark.select_one(".own").string for mark in pane.select("mark")] == [e.text for e in expected.entities]
