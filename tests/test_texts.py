"""Unlabelled text of a step: spread over a corpus, and refused where it teaches nothing."""

import pytest
import torch

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import sample, splits
from smaller.study.steps import (
    Adapt,
    Distil,
    Pretrain,
    PruneFeedForward,
    PruneHeads,
    TrimVocabulary,
    TruncateHidden,
)
from smaller.study.steps.texts import lines_of, rows_of, unknown_share

TEXT = {"corpus": "sample", "languages": ("swa",)}
TAMAZIGHT = "ⵜⴰⵎⴰⵣⵉⵖⵜ ⵜⴳⴰ ⵜⵓⵜⵍⴰⵢⵜ"
READERS = [
    Adapt("sample", "swa"),
    Distil.on_text("sample", ["swa"], layers=1),
    Distil.on_task("sample", "swa", layers=1, unlabelled=("sample", 10)),
    Pretrain(languages=("swa",)),
    PruneFeedForward(20, **TEXT),
    PruneHeads(1, **TEXT),
    TruncateHidden(16, "importance", **TEXT),
    TruncateHidden(16, "projection", **TEXT),
    TrimVocabulary(900, **TEXT),
]


def test_a_limit_on_the_lines_spreads_over_the_text() -> None:
    lines = splits.text("sample", "swa")
    assert lines_of("sample", "swa", limit=4) == [lines[place * sample.TEXT_LINES // 4] for place in range(4)]
    assert lines_of("sample", "swa", limit=0) == lines_of("sample", "swa", limit=10**6) == list(lines)


def test_rows_of_several_languages(tiny) -> None:
    rows = rows_of("sample", ["swa", "yor"], tiny.tokenizer, limit=3, max_length=7)
    lines = [line for code in ("swa", "yor") for line in lines_of("sample", code, limit=3)]
    expected = tiny.tokenizer(lines, truncation=True, max_length=7)["input_ids"]
    assert [row.tolist() for row in rows] == expected and max(map(len, rows)) == 7


def test_the_share_of_unknown_tokens(tiny) -> None:
    unknown = tiny.tokenizer.unk_token_id
    rows = [torch.tensor([0, unknown, 2]), torch.tensor([0, 5, 6, 2])]
    assert unknown_share(rows, tiny.tokenizer) == pytest.approx(1 / 7, abs=1e-6)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "The corpus sample/swa is empty"),
        (["  ", ""], "The text of sample/swa holds nothing but blanks"),
        ([TAMAZIGHT] * 10, r"script of sample/swa: 38 % of the tokens are unknown, and the limit is 15 %"),
    ],
    ids=["no line", "blanks", "script"],
)
def test_text_that_teaches_nothing_is_an_error_in_each_step(tiny, monkeypatch, lines, message) -> None:
    tagger = encoders.with_classifier(tiny, splits.labels("sample"), seed=1)
    monkeypatch.setattr(splits, "text", lambda *_: lines)
    for step in READERS if not lines else READERS[:-1]:  # which tokens a text has is counted on any
        with pytest.raises(SmallerError, match=message):
            step.apply(tagger if step.inputs().keys() > {"sample/swa"} else tiny)
