"""Pipelines: prefixes, variants, and sizes by formula and by the second paper's table, to the parameter."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from asking import sizes

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import splits
from smaller.encoders import configuration
from smaller.study import pipelines, recipes
from smaller.study.pipelines import (
    ADAPTED,
    CLOSED,
    DENSE,
    FEWER_NEURONS,
    NARROWER,
    QUESTIONS,
    SHALLOWER,
    TRIMMED,
    UNTAUGHT_KINDS,
    pipeline,
    reordered,
    second_paper,
    variant,
    variants,
)
from smaller.study.recipes import require_possible, starting_configuration
from smaller.study.steps import (
    Adapt,
    Cut,
    Distil,
    FineTune,
    PruneFeedForward,
    PruneHeads,
    Quantize,
    Round,
    TrimVocabulary,
    TruncateHidden,
)

TUNE = FineTune("sample", "swa", epochs=1, batch_size=1500)
TEXT = {"updates": 2, "batch_size": 8, "learning_rate": 1e-3, "max_length": 64, "rate": 0.25, "lines": 0}
SHAPE = {"layers": 1, "feed_forward": 20, "hidden_size": 16, "width_by": "slice", "vocabulary": 900}


def stages(encoder: str = "sample-small", *, adaptation: dict | None = None, **shape: object) -> dict:
    """The pipeline on Swahili; an `adaptation` of {} leaves that out."""
    adaptation = {"updates": 3} if adaptation is None else adaptation
    return second_paper(encoder, "swa", SHAPE | shape, corpus="sample", text=TEXT, adaptation=adaptation)


NAMES = [ADAPTED, SHALLOWER, FEWER_NEURONS, NARROWER, TRIMMED]


def by_formula(*, layers, hidden, feed_forward, vocabulary, positions, types) -> int:
    """Tables and their norm, layers of four square matrices and two feed-forward ones, and the tied head."""
    layer = 4 * (hidden * hidden + hidden) + 2 * hidden * feed_forward + feed_forward + hidden + 4 * hidden
    head = hidden * hidden + hidden + 2 * hidden + vocabulary
    return (vocabulary + positions + types + 2) * hidden + layers * layer + head


PAPER = [
    ("mbert", 564, 40_000, [177.97, 177.97, 135.45, 126.00, 89.69, 44.75], [0, 0, 23.9, 29.2, 49.6, 74.9]),
    ("mbert", 456, 40_000, [177.97, 177.97, 135.45, 126.00, 71.31, 34.96], [0, 0, 23.9, 29.2, 59.9, 80.4]),
    ("mbert", 312, 40_000, [177.97, 177.97, 135.45, 126.00, 47.71, 22.81], [0, 0, 23.9, 29.2, 73.2, 87.2]),
    ("xlm-r-base", 564, 40_000, [278.30, 278.30, 235.77, 226.32, 163.40, 44.75], [0, 0, 15.3, 18.7, 41.3, 83.9]),
    ("xlm-r-base", 456, 40_000, [278.30, 278.30, 235.77, 226.32, 130.93, 34.96], [0, 0, 15.3, 18.7, 53.0, 87.4]),
    ("xlm-r-base", 312, 40_000, [278.30, 278.30, 235.77, 226.32, 88.54, 22.81], [0, 0, 15.3, 18.7, 68.2, 91.8]),
    ("afriberta-large", 564, 40_000, [125.70, 125.70, 90.26, 82.39, 58.11, 41.16], [0, 0, 28.2, 34.5, 53.8, 67.3]),
    ("afriberta-large", 456, 40_000, [125.70, 125.70, 90.26, 82.39, 45.97, 32.25], [0, 0, 28.2, 34.5, 63.4, 74.3]),
    ("afriberta-large", 312, 40_000, [125.70, 125.70, 90.26, 82.39, 30.53, 21.14], [0, 0, 28.2, 34.5, 75.7, 83.2]),
    ("afriberta-large", 312, 20_000, [125.70, 125.70, 90.26, 82.39, 30.53, 14.88], [0, 0, 28.2, 34.5, 75.7, 88.2]),
]
EXACT = {
    "mbert": [177_974_523, 177_974_523, 135_447_291, 126_003_963, 47_710_587, 22_812_376],
    "xlm-r-base": [278_295_186, 278_295_186, 235_767_954, 226_324_626, 88_543_314, 22_812_688],
}
"""By hand, for a width of 312 and 40,000 pieces. The two families end 312 apart: mBERT has 512 positions and 2 sentence
types, XLM-R 514 and 1, one row more. Paper 2 keeps 5 special pieces beside its 40,000: 1,565 parameters more."""


@pytest.mark.parametrize(("name", "hidden", "pieces", "millions", "percent"), PAPER)
def test_sizes_of_the_second_paper(name, hidden, pieces, millions, percent) -> None:
    """From configurations alone. Its 92 % are XLM-R's; mBERT ends at 87 %, and AfriBERTa does not come as far."""
    config = configuration(name)
    own = {"layers": config.num_hidden_layers // 2, "feed_forward": 2048, "hidden_size": hidden, "vocabulary": pieces}
    steps = [step for stage in stages(name, **own).values() for step in stage]
    found = sizes(config, steps)
    del found[3]  # heads are put in order, which changes no size
    assert len(found) == len(millions)
    places = {"positions": config.max_position_embeddings, "types": config.type_vocab_size}
    for place, (shape, size, saved) in enumerate(zip(found, millions, percent, strict=True)):
        own = {key: shape[key] for key in ("layers", "hidden", "feed_forward", "vocabulary")}
        assert shape["parameters"] == by_formula(**own, **places)
        assert shape["parameters"] / 1e6 == pytest.approx(size, abs=0.00501)
        assert 100 * (1 - shape["parameters"] / found[0]["parameters"]) == pytest.approx(saved, abs=0.0501)
        if hidden == 312 and name in EXACT:
            assert shape["parameters"] == EXACT[name][place]


def test_sizes_that_are_told_are_those_that_are_made(tiny_folder: str) -> None:
    model = encoders.open_folder(tiny_folder)
    steps = [step for own in stages(tiny_folder).values() for step in own if not step.trains]
    steps += [Cut(1, heads=4), TruncateHidden(12)]
    first, *told = sizes(starting_configuration(tiny_folder), steps)
    assert encoders.shape(model) | {"parameters": encoders.parameter_count(model.network)} == first
    for step, expected in zip(steps, told, strict=True):
        model, _ = step.apply(model)
        assert encoders.shape(model) | {"parameters": encoders.parameter_count(model.network)} == expected
    with pytest.raises(SmallerError, match=r"TrimVocabulary\(coverage=...\) cannot be told before"):
        sizes(starting_configuration(tiny_folder), [TrimVocabulary(coverage=0.9, languages=("swa",))])


def test_every_intermediate_is_a_prefix() -> None:
    found = pipeline("xlm-r-base", stages("xlm-r-base"), TUNE, closing="dynamic")
    assert list(found) == [DENSE, *NAMES, CLOSED]
    before = ()
    for name in (DENSE, *NAMES):
        steps = found[name].steps
        assert steps[-1] == TUNE and steps[: len(before)] == before
        before = steps[:-1]
    assert found[CLOSED] == found[TRIMMED].then(Quantize("dynamic"))
    assert found[DENSE] == recipes.dense("xlm-r-base", TUNE)
    assert pipelines.whole("xlm-r-base", stages("xlm-r-base"), TUNE) == found[TRIMMED]
    assert len({recipe.trained_prefix() for recipe in found.values()}) == 6


def test_the_steps_of_the_second_paper() -> None:
    text = {"corpus": "sample", "languages": ("swa",)}
    (adapt,), (first,), (heads, neurons), (second,), (trim,) = stages().values()
    assert list(stages()) == NAMES and list(stages(adaptation={})) == NAMES[1:]
    assert adapt == Adapt("sample", "swa", warm_up=0.1, **(TEXT | {"updates": 3})), "all else as on the text"
    assert first == Distil(1, logits="mse", **text, **TEXT)
    assert heads == PruneHeads(6, **text) and neurons == PruneFeedForward(20, **text)
    assert second == dataclasses.replace(first, hidden_size=16) and trim == TrimVocabulary(900, **text)


@pytest.mark.parametrize(
    ("encoder", "layers", "first"),
    [("mbert", 6, (6, 7, 8, 9, 10, 11)), ("xlm-r-base", 6, (0, 2, 4, 6, 8, 10)), ("mbert", 3, "stride")],
)
def test_the_paper_s_encoders_keep_the_paper_s_layers(encoder: str, layers: int, first: object) -> None:
    own = stages(encoder, layers=layers)
    assert (own[SHALLOWER][0].layer_map, own[NARROWER][0].layer_map) == (first, "stride"), "the second keeps them all"


def test_each_variant_changes_one_thing() -> None:
    whole, both = stages("mbert", layers=6, hidden_size=312), {SHALLOWER, NARROWER}
    found = variants(whole)
    changed = {key: {name for name in NAMES if own.get(name) != whole[name]} for key, own in found.items()}
    assert changed == {
        "kl": both,
        "no-teacher": both,
        "random-start": both,
        "one-distillation": {SHALLOWER, FEWER_NEURONS, NARROWER},
        "narrow-untaught": {NARROWER},
        "updates-x4": both,
        "trim-first": set(),
        "importance": {NARROWER},
        "projection": {NARROWER},
        "no-adaptation": {ADAPTED},
    }
    assert set(found) | {"slice"} == set(QUESTIONS), "each asks something"
    steps = {key: [step for own in changed.values() for step in own] for key, changed in found.items()}
    ends = {tuple(sizes(configuration("mbert"), own)[-1].items()) for own in steps.values()}
    assert len(ends) == 1, "all variants end at one shape"
    assert list(found["trim-first"])[:2] == [ADAPTED, TRIMMED]
    assert found["no-teacher"][NARROWER][0].weights == {"labels": 1.0}
    assert [found["updates-x4"][name][0].updates for name in (SHALLOWER, NARROWER)] == [4 * TEXT["updates"]] * 2
    without = variants(stages(adaptation={}, width_by="importance"))
    assert "no-adaptation" not in without and without["narrow-untaught"][NARROWER][0].by == "importance"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: reordered(stages(), "narower"), "no stage 'narower'; it has adapted.*Did you mean 'narrower'"),
        (lambda: reordered(stages()), "An order of stages is empty"),
        (lambda: variant(stages(), "no-techer"), "no variant 'no-techer'.*Did you mean 'no-teacher'"),
        (lambda: variant(stages(), "slice"), "no variant 'slice'"),
        (lambda: pipelines.with_adapter(recipes.dense("mbert", TUNE), 0, learning_rate=1e-3), "at least 1, not 0"),
    ],
)
def test_what_is_not_there_is_an_error(wrong, said: str) -> None:
    with pytest.raises(SmallerError, match=said):
        wrong()


def test_stages_stand_in_the_order_that_is_asked_for() -> None:
    assert list(reordered(stages(), TRIMMED, ADAPTED)) == [TRIMMED, ADAPTED]


TEACHING = {"epochs": 3, "transfer_lines": 90}
TAUGHT = pipelines.taught("sample-small", TUNE, SHAPE | {"hidden_size": 24}, corpus="sample", lines=0, **TEACHING)


def test_a_taught_student_has_the_pipeline_s_shape() -> None:
    trim, tuning, student = TAUGHT.steps[-3:]
    assert trim == stages()[TRIMMED][0] and tuning == TUNE
    assert (student.on, student.epochs, student.seed) == ("task", 3, TUNE.seed)
    assert (student.transfer_corpus, student.transfer_lines) == ("sample", 90)
    config = starting_configuration("sample-small")
    theirs = sizes(config, pipelines.whole("sample-small", stages(hidden_size=24), TUNE).steps)[-1]
    assert sizes(config, TAUGHT.steps)[-1] == theirs


def test_models_without_a_teacher_have_a_student_s_shape_and_as_many_updates() -> None:
    found = pipelines.without_teacher(TAUGHT)
    assert tuple(found) == UNTAUGHT_KINDS
    config, student = starting_configuration("sample-small"), TAUGHT.steps[-1]
    assert len({tuple(sizes(config, own.steps)[-1].items()) for own in (TAUGHT, *found.values())}) == 1
    labels, cut, drawn = found.values()
    alone, tuning, random = (own.steps[-1] for own in found.values())
    assert alone.weights == random.weights == {"labels": 1.0} and not alone.transfer_lines
    assert (alone.start, random.start, alone.seed) == ("teacher", "random", student.seed)
    assert labels.steps[:-1] == drawn.steps[:-1] == TAUGHT.steps[:-1], "the same start"
    assert [type(step) for step in cut.steps[-4:-1]] == [Cut, PruneFeedForward, TruncateHidden]
    labelled = len(splits.sentences("sample", "swa", "train"))
    for step in (alone, tuning, random):
        assert abs(step.epochs * labelled - 3 * (labelled + 90)) <= labelled / 2, "to the nearest pass"


def test_an_adapter_stands_in_the_place_of_full_fine_tuning() -> None:
    found = pipelines.with_adapter(TAUGHT.then(TUNE), 4, learning_rate=5e-3)
    assert found.steps == (*TAUGHT.steps, dataclasses.replace(TUNE, adapter=4, learning_rate=5e-3))


def test_groups_are_closed_by_quantization_and_that_trains_nothing() -> None:
    each = [pipeline("mbert", {}, dataclasses.replace(TUNE, seed=seed)) for seed in (1, 2)]
    groups = pipelines.grouped("a family", each)
    assert groups == {("a family", DENSE): [one[DENSE] for one in each]}
    found = pipelines.with_closed(groups, "dynamic")
    assert list(found) == [("a family", DENSE), ("a family", "dense, dynamic")]
    for open_one, closed in zip(*found.values(), strict=True):
        assert closed == open_one.then(Quantize("dynamic")) and closed.trained_prefix() == open_one
    assert pipelines.with_closed(groups, "") == groups


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Distil(5, languages=("swa",)), "asks for 5 layers, and the model before it has 4"),
        (
            PruneFeedForward(400, corpus="sample", languages=("swa",)),
            "asks for 400 neurons in each layer, and the model .* has 144",
        ),
        (TruncateHidden(78), "asks for 78 dimensions of its hidden states, and the model before it has 72"),
        (TruncateHidden(50), "6 heads do not divide a width of 50"),
        (Cut(2, heads=5), "5 heads do not divide a width of 72"),
    ],
)
def test_a_step_that_cannot_be_taken_is_said_before_anything_is_loaded(step, said: str) -> None:
    start = recipes.start("sample-small")
    with pytest.raises(SmallerError, match=said):
        require_possible([start, start.then(step)])
    require_possible(
        [start.then(Cut(4), PruneFeedForward(144, corpus="sample", languages=("swa",)), TruncateHidden(72))]
    )


def test_configurations_of_all_kinds_of_encoder(tiny_folder: str, rooms: Callable[..., None]) -> None:
    rooms(models=None)
    assert starting_configuration("xlm-r-base").vocab_size == 250_002
    assert starting_configuration("sample-small").vocab_size == len(encoders.load("sample-small").tokenizer)
    assert starting_configuration(tiny_folder).hidden_size == 24


def test_the_whole_pipeline_runs(tiny_folder: str, few_sentences: None) -> None:
    model = encoders.open_folder(tiny_folder)
    for step in (*pipelines.whole(tiny_folder, stages(tiny_folder), TUNE).steps, Round(8)):
        model, _ = step.apply(model)
    assert model.form == "fp32" and len(model.labels) == 9
    assert encoders.shape(model) == {"layers": 1, "heads": 2, "hidden": 16, "feed_forward": 20, "vocabulary": 900}
