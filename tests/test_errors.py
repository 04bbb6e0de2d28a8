"""Errors: what is suggested, and how one is told in a line."""

from __future__ import annotations

from smaller.base.errors import SmallerError, did_you_mean, in_one_line


def test_the_nearest_choice_is_suggested() -> None:
    assert did_you_mean("Swq", ["swa", "yor"]) == " Did you mean 'swa'?"
    assert did_you_mean(17, ["swa", "yor"]) == ""


def test_an_error_is_one_line_with_its_kind_where_it_is_not_ours() -> None:
    assert in_one_line(SmallerError("no data:\nfetch them")) == "no data: fetch them"
    assert in_one_line(ValueError("a\nb\n\nmuch more")) == "ValueError: a b" and in_one_line(KeyError()) == "KeyError"
