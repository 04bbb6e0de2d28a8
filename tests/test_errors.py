"""Errors: what is suggested, and how one is told in a line."""

from __future__ import annotations

from smaller.base.errors import SmallerError, did_you_mean, in_one_line


def test_the_nearest_choice_is_suggested() -> None:
    assert did_you_mean("Swq", ["swa", "yor"]) == " Did you mean 'swa'?"
    assert did_you_mean(17, ["swa", "yor"]) == ""


def test_a_name_in_part_suggests_all_that_begin_or_end_so() -> None:
    assert did_you_mean("int8", ["fp32", "llm.int8", "onnx-int8"]) == " Did you mean 'llm.int8' or 'onnx-int8'?"
    assert did_you_mean("02", ["01_a", "02_b"]) == " Did you mean '02_b'?"
    assert did_you_mean("prun", ["Prune", "PruneHeads"]) == " Did you mean 'Prune'?"
    assert did_you_mean("s", ["swahili"]) == ""


def test_an_error_is_one_line_with_its_kind_where_it_is_not_ours() -> None:
    assert in_one_line(SmallerError("no data:\nfetch them")) == "no data: fetch them"
    assert in_one_line(ValueError("a\nb\n\nmuch more")) == "ValueError: a b" and in_one_line(KeyError()) == "KeyError"
