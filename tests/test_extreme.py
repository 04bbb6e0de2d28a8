"""The recipes that stand in the cells of 07_extreme: what belongs together, and what is refused before it runs."""

from __future__ import annotations

import symtable
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import nbformat
import pytest
from asking import sizes
from identities import planned, without_data

from smaller.analysis.findings.pipeline import ORDERS, PIPELINE, SIZES, TAUGHT, UNTAUGHT
from smaller.base import paths
from smaller.base.errors import SmallerError
from smaller.data.sets import UNLABELLED
from smaller.notebook import parameters, pipeline_parameters, profiles
from smaller.notebook.parameters import Settings
from smaller.study import flat
from smaller.study.pipelines import (
    ADAPTED,
    CLOSED,
    DENSE,
    FEWER_NEURONS,
    NARROWER,
    SHALLOWER,
    TRIMMED,
    UNTAUGHT_KINDS,
)
from smaller.study.recipes import Recipe, start, starting_configuration
from smaller.study.steps import Adapt, Distil, Quantize, truncation

NOTEBOOK = paths.notebooks_folder() / "07_extreme.ipynb"
GIVEN = {
    "tasks": {"sample": 2},
    "languages": ["swa", "yor"],
    "seeds": [1, 2],
    "shape": {"layers": 2, "feed_forward": 96, "hidden_size": 48, "width_by": "slice", "vocabulary": 1500},
    "other_shapes": [{"hidden_size": 60}, {"vocabulary": 2000}, {"vocabulary": 1000}],
    "orders": [[ADAPTED, TRIMMED]],
    "teaching": {"epochs": 3, "transfer_lines": 90},
    "variants": ["kl"],
    "adapters": {"reductions": [4, 16], "tasks": ["sample"], "learning_rate": 5e-3},
    "few_seeds": {"variants": [2], "adapters": [2], "no teacher": [1]},
    "techniques": {"prune": [0.5, 0.9], "cut": [2], "distil": ["2x6"], "quantize": ["dynamic", "onnx-int8"]},
    "measuring": {"guessed_sentences": 5, "timed_sentences": 2, "timed_rounds": 2},
}
CLOSING = Quantize("onnx-int8")
STAGES = [DENSE, ADAPTED, SHALLOWER, FEWER_NEURONS, NARROWER, TRIMMED]


def settings(**changes: object) -> Settings:
    return Settings(parameters.filled(NOTEBOOK, GIVEN | changes, where="this test"))


def notebook(**changes: object) -> dict:
    """What the cells of 07 make with other parameters, up to the end of the plan and not further."""
    return planned(NOTEBOOK, settings(**changes))[0]


def test_no_cell_overwrites_a_parameter() -> None:
    """So the second cell may be run again, whatever was run since."""
    _, *cells = (cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code")
    symbols = [one for cell in cells for one in symtable.symtable(cell.source, cell.id, "exec").get_symbols()]
    assigned = {symbol.get_name() for symbol in symbols if symbol.is_assigned()}
    assert "grid" in assigned and not assigned & set(settings())


def names(grid: dict, family: str) -> list[str]:
    return [stage for own, stage in grid if own == family]


def end(recipe: Recipe) -> dict:
    return sizes(starting_configuration(recipe.encoder), recipe.steps)[-1]


def test_the_pipeline_and_the_single_techniques() -> None:
    grid = notebook()["grid"]
    families = [PIPELINE, SIZES, ORDERS, TAUGHT, UNTAUGHT, "pruned", "cut", "distilled", "trimmed", "quantized"]
    assert list(dict.fromkeys(family for family, _ in grid)) == families
    assert names(grid, PIPELINE) == [*STAGES, CLOSED]
    assert {len(own) for (family, _), own in grid.items() if family != UNTAUGHT} == {4}
    open_ones = {family: [name for name in names(grid, family) if "onnx" not in name] for family in families}
    assert open_ones["pruned"] == ["pruned, 50 %", "pruned, 90 %"] and open_ones["cut"] == ["cut, 2 layers"]
    assert open_ones["trimmed"] == ["trimmed, 1,500 tokens", "trimmed, 2,000 tokens", "trimmed, 1,000 tokens"]
    assert open_ones[SIZES] == ["60 wide", "2,000 tokens", "1,000 tokens"]
    assert open_ones[ORDERS] == ["adapted > fewer tokens"] and open_ones[UNTAUGHT] == list(UNTAUGHT_KINDS)
    for recipe in grid["distilled", "distilled, 2x6"]:
        teacher, student = recipe.steps[-2:]
        assert (student.on, student.layers, student.heads) == ("task", 2, 6)
        same = ("dataset", "language", "seed", "epochs")
        assert all(getattr(student, name) == getattr(teacher, name) for name in same)
    for recipe in grid[PIPELINE, CLOSED]:
        language = recipe.fine_tuning.language
        assert recipe.steps[-1] == CLOSING
        assert all(step.language == language for step in recipe.steps if isinstance(step, Adapt))
        assert all(step.languages == (language,) for step in recipe.steps if isinstance(step, Distil))


def test_every_family_is_closed_by_quantization() -> None:
    """Pruned, cut, distilled and trimmed models stood in 32 bits beside a pipeline in int8."""
    grid = notebook()["grid"]
    for family in {family for family, _ in grid} - {PIPELINE, "quantized"}:
        open_ones = [name for name in names(grid, family) if not name.endswith(", onnx-int8")]
        assert len(names(grid, family)) == 2 * len(open_ones), family
        for name in open_ones:
            closed = [recipe.then(CLOSING) for recipe in grid[family, name]]
            assert grid[family, f"{name}, onnx-int8"] == closed


def test_what_may_be_left_out() -> None:
    nothing = {"prune": [], "cut": [], "distil": [], "quantize": []}
    found = notebook(
        adaptation={},
        other_shapes=[],
        orders=[],
        taught=[],
        variants=[],
        techniques=nothing,
        adapters=GIVEN["adapters"] | {"tasks": []},
    )
    assert list(found["grid"]) == [
        *((PIPELINE, stage) for stage in STAGES if stage != ADAPTED),
        ("trimmed", "trimmed, 1,500 tokens"),
    ]
    assert not found["asked"] and not flat(found["frozen"])
    few = notebook(few_seeds=GIVEN["few_seeds"] | {"no teacher": []})
    assert UNTAUGHT not in {family for family, _ in few["grid"]}, "no seed, no model"


def test_the_first_taught_student_has_models_without_a_teacher() -> None:
    grid = notebook(taught=[{"hidden_size": 24, "vocabulary": 900}, {}])["grid"]
    assert [name for name in names(grid, TAUGHT) if "onnx" not in name] == ["taught, 24 wide, 900 tokens", "taught"]
    student = grid[TAUGHT, "taught, 24 wide, 900 tokens"][0]
    shape = end(student)
    assert (shape["layers"], shape["hidden"], shape["vocabulary"]) == (2, 24, 900)
    assert end(grid[TAUGHT, "taught"][0]) == end(grid[PIPELINE, TRIMMED][0])
    for kind in UNTAUGHT_KINDS:
        assert {recipe.fine_tuning.seed for recipe in grid[UNTAUGHT, kind]} == {1}
        assert end(grid[UNTAUGHT, kind][0]) == shape


def test_other_shapes_change_several_sizes_and_say_which() -> None:
    told = [{"hidden_size": 24, "vocabulary": 900}, {"layers": 1, "feed_forward": 128, "hidden_size": 24}]
    grid = notebook(other_shapes=told)["grid"]
    assert names(grid, SIZES)[::2] == ["24 wide, 900 tokens", "1 layer, 128 neurons, 24 wide"]
    first, last = (end(grid[SIZES, name][0]) for name in names(grid, SIZES)[::2])
    wanted = ("layers", "feed_forward", "hidden", "vocabulary")
    assert [first[name] for name in wanted] == [2, 96, 24, 900]
    assert [last[name] for name in wanted] == [1, 128, 24, 1500]
    assert names(grid, "trimmed")[::2] == ["trimmed, 1,500 tokens"], "sizes of the vocabulary alone"


def test_what_is_shared_is_trained_once() -> None:
    found = notebook()
    grid = found["grid"]
    assert len({recipe.steps[:-1] for recipe in grid[PIPELINE, TRIMMED]}) == 2, "one pipeline a language, for all seeds"
    narrow = {recipe.steps[:-2] for recipe in grid[PIPELINE, TRIMMED]}
    assert {recipe.steps[:-2] for recipe in grid[SIZES, "1,000 tokens"]} == narrow
    assert [recipe.fine_tuning.seed for recipe in found["asked"]["kl"]] == [2, 2]


def test_adapters_stand_on_the_models_of_two_stages() -> None:
    found = notebook()
    assert list(found["frozen"]) == [DENSE, TRIMMED]
    for stage, recipes in found["frozen"].items():
        assert {one.steps[:-1] for one in recipes} == {one.steps[:-1] for one in found["grid"][PIPELINE, stage]}
        assert [recipe.fine_tuning.adapter for recipe in recipes] == [4, 16, 4, 16]
        assert {(recipe.fine_tuning.seed, recipe.fine_tuning.learning_rate) for recipe in recipes} == {(2, 5e-3)}


def test_models_before_fine_tuning_guess_text() -> None:
    found = notebook()
    before = found["before"]
    assert list(before) == [(language, stage) for language in ("swa", "yor") for stage in STAGES]
    assert before["swa", DENSE] == [start("sample-small")]
    own = [one for one in found["grid"][PIPELINE, TRIMMED] if one.fine_tuning.language == "yor"]
    assert before["yor", TRIMMED] == [Recipe("sample-small", own[0].steps[:-1])]
    for language, text in found["held_out"].items():
        assert (text.dataset, text.language, text.split, text.kind) == ("sample", language, "test", UNLABELLED)
        assert len(text.sentences()) == 5


def test_a_task_stands_for_the_languages_that_it_has() -> None:
    own = {"tasks": {"sib200": 7, "uner": 2, "masakhaner": 2}, "languages": ["mlt", "slk", "swa"], "corpus": "glotcc"}
    with without_data():
        found = notebook(**own, adapters=GIVEN["adapters"] | {"tasks": ["uner"]})
    first = [tuning for tuning in found["tunings"] if tuning.seed == 1]
    assert [(tuning.dataset, tuning.language, tuning.epochs) for tuning in first] == [
        ("sib200", "mlt", 7),
        ("sib200", "slk", 7),
        ("sib200", "swa", 7),
        ("uner", "slk", 2),
        ("masakhaner", "swa", 2),
    ]
    assert {text.dataset for text in found["held_out"].values()} == {"sib200"}


def test_the_paper_s_profile_is_the_paper_s_pipeline() -> None:
    """From configurations alone: nothing is fetched, and the whole profile stands."""
    with without_data():
        found = notebook(**parameters.filled(NOTEBOOK, profiles.profile("paper", NOTEBOOK.stem), where="paper"))
    whole = found["grid"][PIPELINE, TRIMMED]
    assert {(one.encoder, one.fine_tuning.language) for one in whole} == {
        (encoder, language) for encoder in ("xlm-r-base", "mbert") for language in ("mlt", "slk", "swa")
    }
    for encoder, kept in {"xlm-r-base": (0, 2, 4, 6, 8, 10), "mbert": (6, 7, 8, 9, 10, 11)}.items():
        recipe = next(one for one in whole if one.encoder == encoder)
        told = end(recipe)
        assert (told["layers"], told["hidden"], told["feed_forward"], told["vocabulary"]) == (6, 312, 2048, 40_000)
        assert told["parameters"] / 1e6 == pytest.approx(22.81, abs=0.005)
        adapt, first = (next(step for step in recipe.steps if isinstance(step, kind)) for kind in (Adapt, Distil))
        assert (adapt.corpus, adapt.batch_size, adapt.learning_rate, adapt.updates) == ("glotcc", 32, 1e-4, 100_000)
        assert (first.layer_map, first.batch_size, first.learning_rate) == (kept, 8, 5e-5)
        # At which positions: test_imitation, "at the masked tokens alone".
        assert (first.logits, first.weights) == ("mse", {"logits": 0.5, "labels": 0.5})
    assert "wikiann" in {one.fine_tuning.dataset for one in whole}, "the paper's named entities"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"tasks": {"sampel": 1}}, "Did you mean 'sample'?"),
        ({"corpus": "corpsu"}, "Did you mean 'corpus'?"),
        ({"tasks": {"sample": 1, "uner": 1}}, "The data set 'uner' has no training split in swa, yor: leave the task"),
        ({"tasks": {"masakhapos": 1}, "languages": ["swa", "amh"]}, "No task of masakhapos has a training split in"),
        ({"languages": ["swa", "swc"]}, "Did you mean 'swa'?"),
        ({"adapters": GIVEN["adapters"] | {"tasks": ["sampl"]}}, "none of the tasks: sample. Did you mean 'sample'?"),
        ({"text": {"update": 9}}, "'update' is none of text: updates, batch_size"),
        ({"text": {"updates": 9}}, "The parameter text needs a value for batch_size, max_length, lines, learning_rate"),
        ({"adaptation": {"epochs": 9}}, "'epochs' is none of adaptation"),
        ({"adaptation": {"updates": 2.5}}, "updates in adaptation is 2.5, of type float, but should be int"),
        (
            {"text": dict.fromkeys(pipeline_parameters.TEXT, 2) | {"updates": 2.5}},
            "updates in text is 2.5, of type float, but should be int",
        ),
        ({"shape": GIVEN["shape"] | {"layers": "two"}}, "layers in shape is 'two', of type str, but should be int"),
        ({"shape": GIVEN["shape"] | {"width_by": "projektion"}}, "should be one of slice, importance, projection"),
        ({"techniques": GIVEN["techniques"] | {"cut": ["6"]}}, "cut in techniques is ['6'], of type list"),
        ({"few_seeds": {"variants": [1], "adapter": [1]}}, "Did you mean 'adapters'?"),
        ({"other_shapes": [{}]}, "One of other_shapes is empty: change some of layers, feed_forward"),
        ({"other_shapes": [{"hidden": 48}]}, "'hidden' is none of a shape: layers, feed_forward, hidden_size"),
        ({"other_shapes": [{"vocabulary": 20}]}, "A vocabulary of 20 tokens is too small for swa: special tokens and"),
        ({"taught": [{"vocabulary": 20}]}, "A vocabulary of 20 tokens is too small for swa"),
        ({"taught": [{"width_by": 9}]}, "'width_by' is none of a shape"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_before_anything_is_loaded(wrong: dict, said: str) -> None:
    with pytest.raises(SmallerError) as caught:
        pipeline_parameters.require(settings(**wrong))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"shape": GIVEN["shape"] | {"layers": 5}}, "asks for 5 layers, and the model before it has 4"),
        ({"shape": GIVEN["shape"] | {"hidden_size": 50}}, "6 heads do not divide a width of 50"),
        ({"shape": GIVEN["shape"] | {"feed_forward": 0}}, "above zero"),
        ({"other_shapes": [{"hidden_size": 192}]}, "asks for 192 dimensions of its hidden states"),
        ({"taught": [{"hidden_size": 50}]}, "6 heads do not divide a width of 50"),
        ({"techniques": GIVEN["techniques"] | {"distil": ["5x6"]}}, "asks for 5 layers"),
        ({"techniques": GIVEN["techniques"] | {"prune": [1.5]}}, "from 0 to 1; it is 1.5"),
        ({"variants": ["lk"]}, "Did you mean 'kl'?"),
        ({"orders": [["adaptd"]]}, "no stage 'adaptd'; it has adapted, fewer layers"),
        ({"adapters": GIVEN["adapters"] | {"reductions": [0]}}, "at least 1, not 0"),
        ({"teaching": {"epochs": 0, "transfer_lines": 9}}, "epochs is a whole number above zero"),
    ],
    ids=str,
)
def test_a_recipe_that_cannot_be_is_refused_by_the_plan(wrong: dict, said: str) -> None:
    with pytest.raises(SmallerError) as caught:
        notebook(**wrong)
    assert said in str(caught.value)


def test_the_ways_to_a_width_are_those_of_the_steps() -> None:
    """They are written out, so that a profile is checked before the steps, and PyTorch, are imported."""
    assert get_args(pipeline_parameters.GROUPS["shape"]["width_by"]) == truncation.WAYS


def test_the_largest_sizes_of_the_encoder_are_no_error() -> None:
    """So the errors above come from the one change that each of them makes."""
    most = {"layers": 4, "feed_forward": 144, "hidden_size": 72}
    assert len(notebook(shape=GIVEN["shape"] | most, other_shapes=[])["grid"][PIPELINE, TRIMMED]) == 4


def test_a_language_without_text_is_an_error_before_training(tmp_path: Path, rooms: Callable[..., None]) -> None:
    rooms(data=tmp_path, cache=tmp_path / "cache")
    (tmp_path / "corpus").mkdir()
    for language, text in {"swa": "maneno\n", "yor": "\n  \n"}.items():
        (tmp_path / "corpus" / f"{language}.txt").write_text(text)
    with pytest.raises(SmallerError, match="corpus/yor.txt: the file is empty"):
        pipeline_parameters.require(settings(corpus="corpus"))
