"""`predict` in a pipe: UTF-8 in any locale, lines as they come, bad bytes by line, options anywhere, quiet ends."""

from __future__ import annotations

import io
import json
import os
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from smaller import encoders
from smaller.__main__ import main
from smaller.base.errors import SmallerError
from smaller.data.tasks import bio_labels
from smaller.formats.shipping import predict_command
from smaller.serving import pipes

YORUBA = "Adébáyọ̀ yupo Ìbàdàn"


class Arriving:
    """A stream of which a part is there at each look."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = list(parts)

    def read1(self, size: int) -> bytes:
        return self.parts.pop(0) if self.parts else b""


@pytest.mark.parametrize(
    ("parts", "lines"),
    [
        ([], []),
        ([b"Asha\n"], [["Asha"]]),
        ([b"Asha\nJuma\n", b"Neema\n"], [["Asha", "Juma"], ["Neema"]]),
        ([b"Ash", b"a yu", b"po\nJu", b"ma"], [["Asha yupo"], ["Juma"]]),
        ([b"\n", b"\n\nAsha"], [[""], ["", ""], ["Asha"]]),
        ([b"\xef\xbb\xbfAsha\r\nJuma\r\n\r\n"], [["Asha", "Juma", ""]]),
        ([b"\xef\xbb", b"\xbfAsha\n\xef\xbb\xbfJuma\n"], [["Asha", "\ufeffJuma"]]),
        ([b"\xc3", b"\xa9\n"], [["é"]]),
        ([b"a\x00b\xe2\x80\xa8c\x85"[:6] + b"\n"], [["a\x00b\u2028"]]),  # no line ends but those of a file
    ],
)
def test_lines_come_as_many_as_are_there(parts, lines):
    assert list(pipes.batches(Arriving(*parts))) == lines


def test_bytes_that_are_no_text_are_told_by_their_line_after_the_lines_before_it():
    given = pipes.batches(Arriving(b"Asha\n", b"\nJuma\nCaf\xe9 Mwanza\nNeema\n"))
    assert [next(given), next(given)] == [["Asha"], ["", "Juma"]]
    with pytest.raises(SmallerError, match="^standard input:4: found byte 0xe9, which is not UTF-8"):
        next(given)
    with pytest.raises(SmallerError, match="^standard input:1: found byte 0xff"):
        list(pipes.batches(Arriving(b"\xff\xfeA\x00")))


def test_a_line_is_there_before_the_next_is_written():
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream, os.fdopen(writer, "wb", buffering=0) as sink:
        given = pipes.batches(stream)
        for line in ("Asha", "Juma", ""):
            sink.write(line.encode() + b"\n")
            assert next(given) == [line]


def test_a_long_line_is_joined_once():
    part = b"ngozi " * 10_000
    ((line,),) = pipes.batches(Arriving(*[part] * 200))
    assert len(line) == 200 * len(part)


@pytest.fixture(scope="module")
def folder(tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("taggers") / "a tagger"
    encoders.save(encoders.with_classifier(tiny, bio_labels(("PER", "LOC")), seed=1), place)
    return place


@pytest.fixture(scope="module")
def classifier(tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("classifiers") / "topics"
    encoders.save(encoders.with_classifier(tiny, ("health", "sports"), seed=1, unit="text"), place)
    return place


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """The command in this process, with the standard streams of an old code page; what it says is read as UTF-8."""

    def command(*arguments: object, given: bytes = b"") -> tuple[int, str, str]:
        said = [io.BytesIO(), io.BytesIO()]
        for name, stream in zip(("stdin", "stdout", "stderr"), [io.BytesIO(given), *said], strict=True):
            monkeypatch.setattr(sys, name, io.TextIOWrapper(stream, encoding="cp1252"))
        code = main(["predict", *map(str, arguments)])
        sys.stdout.flush(), sys.stderr.flush()
        return code, *(stream.getvalue().decode("utf-8") for stream in said)

    return command


def test_pipes_are_utf_8_in_any_locale(run, folder):
    code, out, err = run(folder, given=f"\ufeff{YORUBA}\r\n\nKano".encode())
    expected = list(predict_command(folder, [YORUBA, "", "Kano"]))
    assert (code, err) == (0, "") and out.splitlines() == expected and expected[0] == YORUBA
    assert "\r" not in out and "\ufeff" not in out
    code, out, err = run(folder, YORUBA, "--json")
    assert json.loads(out)["text"] == YORUBA and code == 0


def test_each_line_has_its_answer_in_its_place(run, folder):
    lines = ["Kano ta yi", "", "Lagos", " ", YORUBA] * 20
    code, out, _ = run(folder, "--json", given="\n".join(lines).encode())
    found = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [each["text"] for each in found] == lines
    assert found == [json.loads(line) for line in predict_command(folder, lines, form="json")]


def test_texts_come_through_a_pipe_too(run, classifier):
    code, out, _ = run(classifier, "--json", given=b"\xef\xbb\xbfhabari za leo\r\n\r\n")
    one, empty = map(json.loads, out.splitlines())
    assert code == 0 and one["text"] == "habari za leo" and one["label"] in ("health", "sports")
    assert (empty["text"], empty["label"]) == ("", "")


def test_a_line_that_is_not_utf_8_ends_with_one_error_and_those_before_it_are_answered(run, folder):
    code, out, err = run(folder, "--json", given=b"Asha yupo\nCaf\xe9 Mwanza\nJuma\n")
    assert code == 2 and [json.loads(line)["text"] for line in out.splitlines()] == ["Asha yupo"]
    assert err == "smaller: standard input:2: found byte 0xe9, which is not UTF-8; expected text in UTF-8.\n"


def test_an_argument_that_is_not_utf_8_is_an_error(run, folder):
    code, out, err = run(folder, "Asha yupo", os.fsdecode(b"Caf\xe9 Mwanza"))
    assert (code, out) == (2, "")
    assert err == "smaller: sentence 2: found byte 0xe9, which is not UTF-8; expected text in UTF-8.\n"


@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_an_option_may_stand_anywhere(run, folder, place):
    words: list[object] = [folder, "Asha yupo", "Juma"]
    words.insert(place, "--json")
    code, out, err = run(*words)
    assert (code, err) == (0, "") and [json.loads(line)["text"] for line in out.splitlines()] == words_of(words)


def words_of(words: list[object]) -> list[object]:
    return [word for word in words if isinstance(word, str) and word != "--json"]


def test_a_sentence_that_looks_like_an_option_follows_two_dashes(run, folder):
    code, out, _ = run(folder, "--json", "--", "--json", "-5 Kano")
    assert code == 0 and [json.loads(line)["text"] for line in out.splitlines()] == ["--json", "-5 Kano"]


def test_options_that_do_not_exist_are_still_refused(folder, capsys):
    for wrong in (["predict", str(folder), "--jsn", "Asha"], ["predict"], ["predict", "--json"]):
        assert main(wrong) == 2
    said = capsys.readouterr().err
    assert (
        "unrecognized arguments: --jsn Asha. Did you mean '--json'?" in said
        and said.count("the following arguments are required: folder") == 2
    )


def test_two_formats_at_once_are_refused(run, folder):
    code, out, error = run(folder, "--json", "--format", "conll", "Kano")
    assert (code, out) == (2, "") and "give one of them" in error


def test_a_closed_pipe_ends_quietly(folder, monkeypatch, capsys):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        assert main(["predict", str(folder), "Kano", "Lagos"]) == 141
        monkeypatch.undo()
    assert capsys.readouterr().err == ""


def test_another_broken_pipe_is_not_taken_for_it(folder, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise BrokenPipeError("a worker is gone")

    monkeypatch.setattr("smaller.formats.shipping.predict_command", broken)
    with pytest.raises(BrokenPipeError, match="a worker is gone"):
        main(["predict", str(folder), "Kano"])


def test_a_process_answers_each_line_at_once_and_ends_when_nobody_reads(folder):
    settings = os.environ | {"LC_ALL": "C", "PYTHONIOENCODING": "cp1252", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-m", "smaller", "predict", str(folder), "--json"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=settings, bufsize=0
    )
    try:
        for line in (YORUBA, "Kano"):
            process.stdin.write(line.encode() + b"\n")
            assert select.select([process.stdout], [], [], 120)[0], "no answer before the next line"
            assert json.loads(process.stdout.readline())["text"] == line
        process.stdout.close()
        process.stdin.write(b"Lagos\n")
        process.stdin.close()
        assert process.wait(120) == 141 and process.stderr.read() == b""
    finally:
        process.kill()
        process.stderr.close()
