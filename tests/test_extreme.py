"""The recipes of the study of extreme compression: what belongs together, and what is refused before it runs."""

from __future__ import annotations

import pytest

from smaller import extreme
from smaller.errors import SmallerError
from smaller.findings.extreme import PIPELINE
from smaller.parameters import Settings
from smaller.recipes import ADAPTED, CLOSED, DENSE, FEWER_NEURONS, NARROWER, SHALLOWER, TRIMMED
from smaller.steps import Adapt, Distil, Quantize

GIVEN = {
    "encoders": ["sample-small"], "dataset": "sample", "tasks": ["sample"], "languages": ["swa", "yor"],
    "seeds": [1, 2],
    "epochs": 2, "learning_rate": 1e-3, "batch_size": 16, "warm_up": 0.1, "layers": 2, "feed_forward": 256,
    "hidden_sizes": [48, 72], "width_by": "slice", "vocabularies": [1500, 2000, 1000], "closing": "onnx-int8",
    "corpus": "sample", "adaptation_updates": 60, "corpus_updates": 120, "corpus_batch_size": 32,
    "corpus_learning_rate": 1e-3, "corpus_max_length": 64, "corpus_rate": 0.25, "questions": ["Is KL the better loss?"],
    "variant_seeds": [2], "sparsities": [0.5, 0.9], "cut_layers": [2], "forms": ["dynamic"], "shares": [0.5],
}  # fmt: skip


def settings(**changes: object) -> Settings:
    return Settings(GIVEN | changes)


def test_the_pipeline_and_the_single_techniques() -> None:
    found = extreme.extreme_study(settings())
    assert list(found) == [PIPELINE, "pruned", "cut", "trimmed", "quantized"]
    assert list(found[PIPELINE]) == [DENSE, ADAPTED, SHALLOWER, FEWER_NEURONS, NARROWER, TRIMMED, CLOSED]
    assert {len(own) for stages in found.values() for own in stages.values()} == {4}
    assert list(found["pruned"]) == ["pruned, 50 %", "pruned, 90 %"] and list(found["cut"]) == ["cut, 2 layers"]
    assert list(found["trimmed"]) == ["trimmed, 1,500 pieces", "trimmed, 2,000 pieces", "trimmed, 1,000 pieces"]
    for recipe in found[PIPELINE][CLOSED]:
        language = recipe.fine_tuning.language
        assert isinstance(recipe.steps[-1], Quantize)
        assert all(step.language == language for step in recipe.steps if isinstance(step, Adapt))
        assert all(step.languages == (language,) for step in recipe.steps if isinstance(step, Distil))
    plain = extreme.extreme_study(settings(closing="", adaptation_updates=0))[PIPELINE]
    assert ADAPTED not in plain and CLOSED not in plain


def test_what_is_shared_is_trained_once() -> None:
    found = extreme.extreme_study(settings())[PIPELINE]
    before = {recipe.steps[:-1] for recipe in found[TRIMMED]}
    assert len(before) == 2, "one pipeline for each language, whatever the seed"
    sizes = extreme.other_sizes(settings())
    assert list(sizes) == ["72 wide", "2,000 pieces", "1,000 pieces"]
    narrow = {recipe.steps[:-2] for recipe in found[TRIMMED]}
    assert {recipe.steps[:-2] for recipe in sizes["1,000 pieces"]} == narrow
    assert extreme.pieces_stages(settings()) == [NARROWER, TRIMMED, "2,000 pieces", "1,000 pieces"]
    asked = extreme.variants(settings())
    assert [recipe.fine_tuning.seed for recipe in asked["Is KL the better loss?"]] == [2, 2]
    assert len(extreme.flat({"a": found, "b": sizes})) == 7 * 4 + 3 * 4


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"hidden_sizes": [50]}, "A hidden size of 50 cannot be reached from sample-small: it is a multiple of the 6"),
        ({"hidden_sizes": [192]}, "at most 96"),
        ({"layers": 5}, "layers is a number from 1 to 4 for sample-small; it is 5"),
        ({"feed_forward": 0}, "feed_forward is a number from 1 to 384"),
        ({"questions": ["Is KL the best loss?"]}, "Did you mean 'Is KL the better loss?'"),
        ({"tasks": ["sampel"]}, "Did you mean 'sample'?"),
        ({"corpus": "corpsu"}, "Did you mean 'corpus'?"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_before_anything_is_loaded(wrong: dict, said: str) -> None:
    with pytest.raises(SmallerError) as caught:
        extreme.require_extreme(settings(**wrong))
    assert said in str(caught.value)


def test_what_can_be_passes() -> None:
    extreme.require_extreme(settings())
