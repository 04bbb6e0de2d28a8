"""A shipped graph in use, without PyTorch or Transformers: the answers of this package, in a stream and by run.py."""

from __future__ import annotations

import io
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from smaller import encoders, formats
from smaller.base.errors import SmallerError
from smaller.data import sample, splits
from smaller.data.tasks import bio_labels
from smaller.data.text import words_of
from smaller.formats.shipping import open_shipped, predict_command, ship
from smaller.prediction.tagging import classify, tag
from smaller.serving import answers
from smaller.serving.answers import Classified, Tagged
from smaller.serving.folder import GRAPHS
from smaller.serving.reader import open_graph
from smaller.serving.stream import predict

HEAVY = ("torch", "transformers", "datasets", "pandas", "sklearn", "seqeval", "smaller.encoders", "smaller.formats")
ODD = [
    "",
    " \t ",
    "Adéṣínà ṣàbẹ̀wò sí Èkó, Ọ̀ṣun àti Ìbàdàn.",
    unicodedata.normalize("NFD", "Adéṣínà ṣàbẹ̀wò sí Èkó, Ọ̀ṣun àti Ìbàdàn."),
    "አበበ ወደ አዲስ አበባ ሄደ።",
    "اجتمع الرئيس، مع الوزير؟",
    "<b>Kano</b> & 北京 🎉",
    "Kano ta yi " * 400,
    "ngozi" * 600,
]


def of(model: encoders.Model) -> encoders.Model:
    """The model with a head so large that it predicts all kinds of labels."""
    head = model.network.classifier
    with torch.no_grad():
        getattr(head, "out_proj", head).weight.mul_(50)
    return model


@pytest.fixture(scope="module")
def folders(tiny, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """A shipped folder for each unit and format."""
    place = tmp_path_factory.mktemp("shipped graphs")
    models = {
        "word": of(encoders.with_classifier(tiny, bio_labels(("PER", "LOC", "ORG", "DATE")), seed=1)),
        "text": of(encoders.with_classifier(tiny, ("health", "sports", "politics"), seed=1, unit="text")),
    }
    return {
        (unit, form): ship(formats.convert(model, form), place / f"{unit} {form}")
        for unit, model in models.items()
        for form in GRAPHS
    }


@pytest.fixture(scope="module")
def real() -> list[tuple[str, ...]]:
    """The words of a test split: of a real set, where there is one."""
    found = splits.sentences("masakhaner", "swa", "test") if os.environ.get("SMALLER_DATA") else ()
    return [sentence.words for sentence in found or sample.sentences("swa", "test")]


def same(told: Tagged | Classified, expected: Tagged | Classified) -> bool:
    """Whether two answers are the same, probabilities to 1e-4."""
    one, other = told.plain(), expected.plain()
    if isinstance(told, Classified):
        scores, wanted = one.pop("scores"), other.pop("scores")
        assert list(scores.values()) == pytest.approx(list(wanted.values()), abs=1e-4)
        assert one.pop("score") == pytest.approx(other.pop("score"), abs=1e-4)
    else:
        entities, wanted = one.pop("entities"), other.pop("entities")
        scores = [[entity.pop("score") for entity in map(dict, each)] for each in (entities, wanted)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)
        one["entities"], other["entities"] = (
            [{name: value for name, value in entity.items() if name != "score"} for entity in each]
            for each in (entities, wanted)
        )
    return one == other


@pytest.mark.parametrize("unit", ["word", "text"])
def test_a_graph_answers_as_the_model_in_memory_does(folders, real, unit):
    reader, model = open_graph(folders[unit, "onnx"]), open_shipped(folders[unit, "onnx"])
    texts = [*ODD, *map(" ".join, real)]
    ask, expected = (answers.tag, tag) if unit == "word" else (answers.classify, classify)
    told = ask(reader, texts)
    assert all(itertools.starmap(same, zip(told, expected(model, texts), strict=True)))
    assert len({entity.type for each in told for entity in each.entities} if unit == "word" else told[2].scores) > 2


@pytest.mark.parametrize("unit", ["word", "text"])
def test_int8_answers_hang_on_no_other_sentence(folders, unit):
    """With one scale for a batch they would: each is read alone, as whoever asks for one sentence has it read."""
    reader, model = open_graph(folders[unit, "onnx-int8"]), open_shipped(folders[unit, "onnx-int8"])
    texts = [*ODD, *(" ".join(sentence.words) for sentence in sample.sentences("hau", "test")[:40])]
    ask, expected = (answers.tag, tag) if unit == "word" else (answers.classify, classify)
    told = ask(reader, texts)
    assert told == ask(reader, texts[::-1])[::-1] == [ask(reader, [text])[0] for text in texts]
    # A sentence of several parts is a batch in itself.
    short = [place for place, each in enumerate(told) if getattr(each, "windows", 1) == 1]
    assert all(same(told[place], expected(model, [texts[place]])[0]) for place in short)


def test_other_folders_have_another_reader(tiny, folders, tmp_path):
    encoders.save(of(encoders.with_classifier(tiny, bio_labels(("PER",)), seed=1)), tmp_path / "plain")
    assert open_graph(tmp_path / "plain") is None
    assert open_graph(tmp_path / "nowhere") is None
    fp16 = formats.convert(encoders.open_folder(tmp_path / "plain"), "fp16")
    assert open_graph(ship(fp16, tmp_path / "fp16")) is None


def test_a_damaged_graph_is_one_clear_error(folders, tmp_path):
    folder = Path(shutil.copytree(folders["word", "onnx"], tmp_path / "damaged"))
    (folder / GRAPHS["onnx"]).write_bytes(b"no graph")
    with pytest.raises(SmallerError, match="not as it was shipped: onnx/model.onnx is missing or changed"):
        open_graph(folder)
    about = json.loads((folder / "smaller.json").read_bytes())
    (folder / "smaller.json").write_text(json.dumps(about | {"files": {}}))
    with pytest.raises(SmallerError, match="could not be read as onnx"):
        open_graph(folder)


@pytest.mark.parametrize("change", [{"labels": ["O", "B-PER"]}, {"unit": "text"}])
def test_labels_that_are_not_the_graphs_are_refused(folders, tmp_path, change):
    """`smaller.json` has no checksum of itself: fewer labels would give wrong ones, and say nothing."""
    folder = Path(shutil.copytree(folders["word", "onnx-int8"], tmp_path / "changed"))
    about = json.loads((folder / "smaller.json").read_bytes())
    (folder / "smaller.json").write_text(json.dumps(about | change))
    with pytest.raises(SmallerError, match="the graph gives 9 of a word. Ship the model again"):
        open_graph(folder)


def test_a_folder_without_its_description_is_no_encoder(folders, tmp_path):
    folder = Path(shutil.copytree(folders["word", "onnx-int8"], tmp_path / "copied"))
    (folder / "smaller.json").unlink()
    with pytest.raises(SmallerError, match="smaller.json is missing. Copy it again"):
        open_shipped(folder)


def test_a_missing_runtime_is_said(folders, absent):
    absent("onnxruntime")
    for opened in (open_graph, open_shipped):
        with pytest.raises(SmallerError, match="need the package onnxruntime.*Install"):
            opened(folders["word", "onnx"])


def test_a_folder_of_the_first_layout_is_read(folders, tmp_path):
    """Its graph lies at the top, and its mask is boolean."""
    folder = Path(shutil.copytree(folders["word", "onnx-int8"], tmp_path / "old"))
    graph = onnx.load(folder / GRAPHS["onnx-int8"])
    graph.graph.input[1].type.tensor_type.elem_type = onnx.TensorProto.BOOL
    onnx.save(graph, folder / "model.onnx")
    shutil.rmtree(folder / "onnx")
    about = json.loads((folder / "smaller.json").read_bytes())
    files = {name: said for name, said in about["files"].items() if "onnx" not in name}
    (folder / "smaller.json").write_text(json.dumps(about | {"format": 1, "files": files}))
    texts = ODD[:6]
    expected = answers.tag(open_graph(folders["word", "onnx-int8"]), texts)
    assert answers.tag(open_graph(folder), texts) == expected
    assert [tag(open_shipped(folder), [text])[0].words for text in texts] == [each.words for each in expected]
    again = ship(open_shipped(folder), tmp_path / "again")
    assert answers.tag(open_graph(again), texts) == expected


@pytest.mark.parametrize("form", GRAPHS)
def test_a_graph_takes_whole_numbers_and_holds_no_notes(folders, form):
    graph = onnx.load(folders["word", form] / GRAPHS[form]).graph
    kinds = {each.name: each.type.tensor_type.elem_type for each in graph.input}
    assert kinds == {"input_ids": onnx.TensorProto.INT64, "attention_mask": onnx.TensorProto.INT64}
    assert [each.name for each in graph.output] == ["logits"]
    assert not graph.value_info and not graph.metadata_props and not graph.doc_string
    for node in graph.node:
        assert not node.name and not node.doc_string and not node.metadata_props
    between = {name for node in graph.node for name in node.output} - {"logits"}
    assert max(map(len, between)) <= 4
    # The runtime would fuse an Add with the norm behind it, and round otherwise than a runtime that does not.
    made = {name: node.op_type for node in graph.node for name in node.output}
    assert {made[node.input[0]] for node in graph.node if node.op_type == "LayerNormalization"} == {"Sum"}


def test_all_read_the_same_tokens(folders, tiny):
    """The tokenizer that ships, as short as can be, and the one in memory."""
    folder = folders["word", "onnx-int8"]
    content = (folder / "tokenizer.json").read_text(encoding="utf-8")
    assert json.dumps(json.loads(content), ensure_ascii=False, separators=(",", ":")) == content
    shipped, whole = Tokenizer.from_file(str(folder / "tokenizer.json")), AutoTokenizer.from_pretrained(folder)
    assert whole.model_max_length == 512 and whole.unk_token == tiny.tokenizer.unk_token
    for language in ("swa", "hau", "yor", "amh", "pcm"):
        lines = sample.text(language)[:300]
        expected = tiny.tokenizer(lines)["input_ids"]
        assert [row.ids for row in shipped.encode_batch(lines)] == expected == whole(lines)["input_ids"]


def python(*arguments: str, given: bytes = b"", blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess[bytes]:
    """A fresh interpreter that cannot import what is blocked and says at its end which heavy packages it has."""
    script = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({blocked!r})); sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__') if sys.argv[0].endswith('.py') else None\n"
        "if not sys.argv[0].endswith('.py'):\n"
        "    from smaller.__main__ import main\n"
        "    main(sys.argv)\n"
        f"print(*{{name for name in {HEAVY!r} if sys.modules.get(name)}}, file=sys.stderr)"
    )
    return subprocess.run([sys.executable, "-c", script, *arguments], input=given, capture_output=True, check=False)


def test_the_command_imports_nothing_heavy(folders):
    texts = ODD[2:6]
    for unit in ("word", "text"):
        run = python("predict", str(folders[unit, "onnx-int8"]), *texts)
        assert run.stderr.decode().strip() == ""
        reader = open_graph(folders[unit, "onnx-int8"])
        assert run.stdout.decode().splitlines() == list(itertools.chain(*predict(reader, texts)))


@pytest.mark.parametrize(("unit", "form"), list(itertools.product(("word", "text"), GRAPHS)))
def test_the_folders_own_script_says_the_same(folders, real, unit, form):
    folder, texts = folders[unit, form], [*ODD[2:7], *map(" ".join, real)]
    assert len((folder / "run.py").read_text(encoding="utf-8").splitlines()) <= 45
    run = python(str(folder / "run.py"), given="\n".join(texts).encode(), blocked=("torch", "transformers", "smaller"))
    assert run.stderr.decode().strip() == ""
    reader, told = open_graph(folder), run.stdout.decode()
    if unit == "word":
        expected = "\n".join(itertools.chain(*predict(reader, texts, form="conll")))
        assert told == unicodedata.normalize("NFC", expected) + "\n"  # the script prints words as it reads them
    else:
        found = answers.classify(reader, texts)
        assert told.splitlines() == [f"{each.label} {each.score:.2f}" for each in found]
    one = python(str(folder / "run.py"), texts[0], blocked=("torch", "transformers", "smaller"))
    marked = python(str(folder / "run.py"), given=f"\ufeff{texts[0]}".encode(), blocked=("torch", "smaller"))
    assert one.stdout == marked.stdout != b"" and told.startswith(one.stdout.decode())


def test_the_folders_own_script_ends_in_one_line(folders, tmp_path):
    """What is wrong with input, output or files is told in a line that names the place, without a traceback."""
    folder = Path(shutil.copytree(folders["word", "onnx-int8"], tmp_path / "model"))

    def told(given: bytes = b"", *sentences: bytes, shell: str = '"$@"') -> tuple[list[str], list[str]]:
        command = ["sh", "-c", shell, "sh", sys.executable, folder / "run.py", *sentences]
        run = subprocess.run(command, input=given, capture_output=True, check=False)
        return run.stdout.decode().splitlines(), run.stderr.decode().splitlines()

    before, [said] = told("Kano\nÈkó\n".encode() + "caf\xe9\nKano\n".encode("latin-1"))
    assert [line.split()[0] for line in before if line] == ["Kano", "Èkó"]
    assert said.startswith("run.py: line 3: UnicodeDecodeError: 'utf-8' codec can't decode byte 0xe9")
    assert told(b"", b"Kano", b"caf\xe9")[1][0].startswith("run.py: sentence 2: UnicodeDecodeError")
    assert told(b"Kano\n" * 500, shell='"$@" | head -n 1')[1] == [], "whoever reads has enough"
    assert len(told(b"Kano\n" * 9, shell='"$@" > /dev/full')[1]) == 1
    for shell in ('"$@" <&-', '"$@" >&-'):
        assert told(b"Kano\n", shell=shell)[1][0].startswith("run.py: standard input or output: ")
    for name, content in itertools.product(
        ("onnx/model_quantized.onnx", "tokenizer.json", "tokenizer_config.json", "smaller.json"), (b"{", None)
    ):
        file = folder / name
        whole = file.read_bytes()
        file.write_bytes(content) if content else file.unlink()
        [said] = told(b"Kano\n")[1]
        assert said.startswith(f"run.py: the model in {folder}: ")
        assert content or Path(name).parts[0] in said
        file.write_bytes(whole)


@pytest.fixture
def asked(folders) -> Callable[..., list[str]]:
    """The lines that answer what is on standard input."""
    reader = open_graph(folders["word", "onnx-int8"])
    return lambda lines, **options: list(
        itertools.chain(*predict(reader, stream=io.BytesIO(lines.encode()), **options))
    )


def test_columns_come_back_with_tags(folders, asked, real):
    columns = "\n".join("".join(f"{word} B-PER\n" for word in words) for words in real[:50])
    told = asked(columns, form="conll")
    sentences = [list(part) for blank, part in itertools.groupby(told, key=bool) if blank]
    assert [tuple(line.split(" ")[0] for line in sentence) for sentence in sentences] == real[:50]
    reader = open_graph(folders["word", "onnx-int8"])
    assert [[line.split(" ")[1] for line in sentence] for sentence in sentences] == answers.tags(reader, real[:50])
    (composed,), (given, kano) = answers.tags(reader, [["Ìbàdàn"]]), (unicodedata.normalize("NFD", "Ìbàdàn"), "Kano")
    (other,) = answers.tags(reader, [[kano]])
    expected = [f"{given} {composed[0]}", "", f"{kano} {other[0]}", ""]
    assert asked(f"{given}\tO\n\n\n\n{kano}", form="conll") == expected


def test_words_of_conllu_are_tagged_and_not_their_numbers(asked):
    rows = (
        "# text = Kano da Lagos\n1-2\tKanoda"
        + "\t_" * 8
        + "".join(
            f"\n{number}\t{word}" + "\t_" * 8
            for number, word in (("1", "Kano"), ("2", "da"), ("2.1", "x"), ("3", "Lagos"))
        )
    )
    told = asked(f"{rows}\n\n# a comment alone\n\n{rows}", form="conll")
    alone = asked("Kano\nda\nLagos\n\n# a\n", form="conll")
    assert told == [*alone[:4], "# " + alone[4].split(" ")[1], "", *alone[:4]]
    assert [line.split(" ")[0] for line in alone] == ["Kano", "da", "Lagos", "", "#", ""]


def test_objects_come_back_with_answers(folders, asked):
    given = [{"id": 7, "text": "Kano da Lagos."}, {"text": ""}]
    told = [json.loads(line) for line in asked("\n\n".join(map(json.dumps, given)), form="json")]
    found = answers.tag(open_graph(folders["word", "onnx-int8"]), [each["text"] for each in given])
    assert told == [each | json.loads(json.dumps(one.plain())) for each, one in zip(given, found, strict=True)]
    assert [json.loads(line) for line in asked("Kano da Lagos.\n", form="json", given="text")] == [
        {name: value for name, value in told[0].items() if name != "id"}
    ]


WRONG = ["Kano", "[1, 2]", '{"words": []}', '{"text": 3}', "null", "[" * 100_000]
WRONG += ['{"text": "Kano", "id": "\\ud800"}', '{"text": "Kano", "id": NaN}']


@pytest.mark.parametrize("wrong", WRONG)
def test_a_line_that_is_no_object_is_told_by_its_number(asked, wrong):
    with pytest.raises(SmallerError, match="standard input:3: expected a JSON object with a text"):
        asked(f'{{"text": "Kano"}}\n\n{wrong}\n', form="json")


def test_lines_before_a_wrong_one_are_answered(folders):
    stream, told = io.BytesIO(b'{"text": "Kano"}\n{"text": "Lagos"}\nKano\n'), []
    with pytest.raises(SmallerError, match="standard input:3"):
        for lines in predict(open_graph(folders["word", "onnx-int8"]), stream=stream, form="json"):
            told += [json.loads(line)["text"] for line in lines]
    assert told == ["Kano", "Lagos"]


def test_columns_are_for_words(folders):
    with pytest.raises(SmallerError, match="does not label words"):
        list(predict(open_graph(folders["text", "onnx"]), ["Kano"], form="conll"))


class Endless:
    """A stream that never ends, and counts what was taken of it."""

    taken = 0

    def read1(self, size: int) -> bytes:
        self.taken += 1
        return b"Kano ta yi\n\n"


def test_a_stream_is_answered_as_it_is_read(folders):
    reader, stream = open_graph(folders["word", "onnx-int8"]), Endless()
    for form in ("text", "conll"):
        stream.taken = 0
        lines = predict(reader, stream=stream, form=form)
        assert [bool(next(lines)) for _ in range(5)] == [True] * 5 and stream.taken == 5


def test_a_process_answers_each_line_before_the_next_is_written(folders):
    command = [sys.executable, "-m", "smaller", "predict", str(folders["word", "onnx-int8"]), "--format", "conll"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        for word in ("Kano", "Lagos"):
            process.stdin.write(f"{word}\n\n".encode())
            assert select.select([process.stdout], [], [], 120)[0], "no answer before the next sentence"
            assert process.stdout.readline().decode().startswith(f"{word} ")
            assert process.stdout.readline() == b"\n"
        process.stdin.close()
        assert process.wait(120) == 0


def test_a_command_of_any_format_prints_the_same(folders, real):
    texts = [*ODD[:7], *map(" ".join, real[:20])]
    reader = open_graph(folders["word", "onnx"])
    for form in ("text", "conll"):
        told = list(itertools.chain(*predict(reader, texts, form=form)))
        assert told == list(predict_command(folders["word", "onnx"], texts, form=form))
    assert sum(len(words_of(text)) + 1 for text in texts) == len(told)


def test_words_that_were_not_read_are_outside(folders):
    chances = np.array([[0.1, 0.9], [np.nan, np.nan]], np.float32)
    assert answers.likeliest(chances, ("O", "B-PER"), "word") == ["B-PER", "O"]
    assert answers.likeliest(chances[:1], ("O", "[CLS]"), "word") == ["O"]
