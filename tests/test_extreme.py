"""The recipes of the study of extreme compression: what belongs together, and what is refused before it runs."""

from __future__ import annotations

import pytest

from smaller.analysis.findings.extreme import ORDERS, PIPELINE, SIZES, TAUGHT, UNTAUGHT
from smaller.analysis.findings.extreme_curves import KINDS
from smaller.base import paths
from smaller.base.errors import SmallerError
from smaller.data import splits
from smaller.data.sets import UNLABELLED
from smaller.notebook import extreme, extreme_checks, parameters
from smaller.notebook.parameters import Settings
from smaller.study.recipes import (
    ADAPTED,
    CLOSED,
    DENSE,
    FEWER_NEURONS,
    NARROWER,
    SHALLOWER,
    TRIMMED,
    sizes,
    start,
    starting_configuration,
)
from smaller.study.steps import Adapt, Cut, Distil, PruneFeedForward, Quantize, TruncateHidden

GIVEN = {
    "encoders": ["sample-small"],
    "dataset": "sample",
    "tasks": ["sample"],
    "languages": ["swa", "yor"],
    "seeds": [1, 2],
    "epochs": 2,
    "learning_rate": 1e-3,
    "batch_size": 16,
    "warm_up": 0.1,
    "layers": 2,
    "feed_forward": 256,
    "hidden_sizes": [48, 72],
    "width_by": "slice",
    "vocabularies": [1500, 2000, 1000],
    "closing": "onnx-int8",
    "corpus": "sample",
    "corpus_lines": 0,
    "adaptation_updates": 60,
    "corpus_updates": 120,
    "corpus_batch_size": 32,
    "corpus_learning_rate": 1e-3,
    "corpus_max_length": 64,
    "corpus_rate": 0.25,
    "questions": ["Is KL the better loss?"],
    "variant_seeds": [2],
    "sparsities": [0.5, 0.9],
    "cut_layers": [2],
    "students": ["2x6"],
    "combinations": [],
    "taught": [{}],
    "transfer_lines": 90,
    "transfer_epochs": 3,
    "untaught": 0,
    "untaught_seeds": [1],
    "layer_maps": {},
    "adaptation_batch_size": 16,
    "adaptation_learning_rate": 2e-3,
    "forms": ["dynamic"],
    "shares": [0.5],
    "task_epochs": {},
    "corpora": {},
    "orders": [[ADAPTED, TRIMMED]],
    "guessed_sentences": 5,
    "adapters": [4, 16],
    "adapter_tasks": ["sample"],
    "adapter_learning_rate": 5e-3,
    "timed_sentences": 2,
    "timed_rounds": 2,
}


def settings(**changes: object) -> Settings:
    return Settings(GIVEN | changes)


def test_the_pipeline_and_the_single_techniques() -> None:
    found = extreme.extreme_study(settings())
    assert list(found) == [PIPELINE, SIZES, ORDERS, TAUGHT, "pruned", "cut", "distilled", "trimmed", "quantized"]
    assert list(found[PIPELINE]) == [DENSE, ADAPTED, SHALLOWER, FEWER_NEURONS, NARROWER, TRIMMED, CLOSED]
    assert {len(own) for stages in found.values() for own in stages.values()} == {4}
    plain = {family: [name for name in stages if "onnx" not in name] for family, stages in found.items()}
    assert plain["pruned"] == ["pruned, 50 %", "pruned, 90 %"] and plain["cut"] == ["cut, 2 layers"]
    assert plain["trimmed"] == ["trimmed, 1,500 tokens", "trimmed, 2,000 tokens", "trimmed, 1,000 tokens"]
    for recipe in found["distilled"]["distilled, 2x6"]:
        teacher, student = recipe.steps[-2:]
        assert (student.on, student.layers, student.heads) == ("task", 2, 6)
        same = ("dataset", "language", "seed", "epochs")
        assert all(getattr(student, name) == getattr(teacher, name) for name in same)
    for recipe in found[PIPELINE][CLOSED]:
        language = recipe.fine_tuning.language
        assert isinstance(recipe.steps[-1], Quantize)
        assert all(step.language == language for step in recipe.steps if isinstance(step, Adapt))
        assert all(step.languages == (language,) for step in recipe.steps if isinstance(step, Distil))
    plain = extreme.extreme_study(settings(closing="", adaptation_updates=0, orders=[]))
    assert ADAPTED not in plain[PIPELINE] and CLOSED not in plain[PIPELINE] and ORDERS not in plain
    assert list(plain[SIZES]) == ["72 wide", "2,000 tokens", "1,000 tokens"]


def test_every_family_is_closed_by_quantization_and_that_trains_nothing() -> None:
    """Pruned, cut, distilled and trimmed models stood in 32 bits beside a pipeline in int8."""
    found = extreme.extreme_study(settings(untaught=1))
    closing = Quantize("onnx-int8")
    for family in set(found) - {PIPELINE, "quantized"}:
        open_ones = [name for name in found[family] if not name.endswith(", onnx-int8")]
        assert len(found[family]) == 2 * len(open_ones), family
        for name in open_ones:
            closed = found[family][f"{name}, onnx-int8"]
            assert closed == [recipe.then(closing) for recipe in found[family][name]]
            assert [one.trained_prefix() for one in closed] == [one.trained_prefix() for one in found[family][name]]


def test_models_without_a_teacher_have_a_student_s_shape_and_as_many_updates() -> None:
    own = settings(untaught=1, taught=[{"hidden_size": 24}, {}])
    families = extreme.extreme_study(own)
    (pairs,) = extreme.untaught_pairs(own).items()
    assert pairs == ("taught, 24 wide", {kind: f"{kind}, 24 wide" for kind in KINDS})
    students = [one for one in families[TAUGHT]["taught, 24 wide"] if one.fine_tuning.seed == 1]
    labels, cut, random = (families[UNTAUGHT][name] for name in pairs[1].values())
    config = starting_configuration("sample-small")
    for student, *others in zip(students, labels, cut, random, strict=True):
        taught = student.steps[-1]
        assert all(sizes(config, one.steps)[-1] == sizes(config, student.steps)[-1] for one in others)
        alone, tuning, drawn = (one.steps[-1] for one in others)
        assert alone.weights == drawn.weights == {"labels": 1.0} and not alone.transfer_lines
        assert (alone.start, drawn.start, alone.seed) == ("teacher", "random", 1)
        assert others[0].steps[:-1] == student.steps[:-1], "the same start"
        assert [type(step) for step in others[1].steps[-4:-1]] == [Cut, PruneFeedForward, TruncateHidden]
        labelled = len(splits.sentences("sample", taught.language, "train"))
        both = taught.epochs * (labelled + 90)
        for step in (alone, tuning, drawn):
            assert abs(step.epochs * labelled - both) <= labelled / 2, "to the nearest pass"
    assert {one.fine_tuning.seed for one in labels} == {1}
    assert UNTAUGHT not in extreme.extreme_study(settings(untaught_seeds=[])), "no seed, no model"


def test_layer_maps_and_the_settings_of_the_adaptation_reach_the_steps() -> None:
    own = settings(layer_maps={"sample-small": [1, 3]}, combinations=[{"layers": 1}])
    recipe = extreme.extreme_study(own)[PIPELINE][TRIMMED][0]
    adapt = next(step for step in recipe.steps if isinstance(step, Adapt))
    first, second = (step for step in recipe.steps if isinstance(step, Distil))
    assert (adapt.batch_size, adapt.learning_rate) == (16, 2e-3) and first.batch_size == 32
    assert (first.layer_map, second.layer_map) == ((1, 3), "stride"), "the second keeps all layers"
    one = extreme.extreme_study(own)[SIZES]["1 layer"][0]
    assert {step.layer_map for step in one.steps if isinstance(step, Distil)} == {"stride"}


def test_a_combination_changes_several_sizes_and_says_which() -> None:
    told = [
        {"hidden_size": 24, "vocabulary": 900},
        {"corpus_updates": 480},
        {"layers": 1, "feed_forward": 128, "hidden_size": 24},
    ]
    found = extreme.extreme_study(settings(combinations=told, closing=""))[SIZES]
    assert list(found)[-3:] == ["24 wide, 900 tokens", "480 updates", "1 layer, 128 neurons, 24 wide"]
    shapes = {name: sizes(starting_configuration("sample-small"), own[0].steps)[-1] for name, own in found.items()}
    both = shapes["24 wide, 900 tokens"]
    assert (both["hidden"], both["vocabulary"], both["layers"], both["feed_forward"]) == (24, 900, 2, 256)
    assert shapes["480 updates"]["hidden"] == 48
    updates = [step.updates for step in found["480 updates"][0].steps if isinstance(step, Distil)]
    assert updates == [480, 480]
    last = shapes["1 layer, 128 neurons, 24 wide"]
    assert (last["layers"], last["feed_forward"], last["hidden"], last["vocabulary"]) == (1, 128, 24, 1500)


def test_students_that_are_taught_on_the_task_have_the_pipeline_s_shape_and_changed_ones() -> None:
    told = [{}, {"hidden_size": 24, "vocabulary": 900}]
    families = extreme.extreme_study(settings(taught=told))
    assert list(families[TAUGHT]) == [
        "taught",
        "taught, onnx-int8",
        "taught, 24 wide, 900 tokens",
        "taught, 24 wide, 900 tokens, onnx-int8",
    ]
    for recipe, whole in zip(families[TAUGHT]["taught"], families[PIPELINE][TRIMMED], strict=True):
        trim, tuning, student = recipe.steps[-3:]
        assert trim == whole.steps[-2] and tuning == whole.fine_tuning
        assert (student.on, student.transfer_corpus, student.transfer_lines) == ("task", "sample", 90)
        assert (student.epochs, student.seed) == (3, tuning.seed)
        ours, theirs = (sizes(starting_configuration("sample-small"), own.steps)[-1] for own in (recipe, whole))
        assert ours == theirs
    narrow = sizes(starting_configuration("sample-small"), families[TAUGHT]["taught, 24 wide, 900 tokens"][0].steps)[-1]
    assert (narrow["layers"], narrow["hidden"], narrow["vocabulary"]) == (2, 24, 900)
    timed = extreme.to_time(settings(taught=told), families)
    assert families[TAUGHT]["taught, onnx-int8"][0] in timed
    assert TAUGHT not in extreme.extreme_study(settings(taught=[]))


def test_what_is_shared_is_trained_once() -> None:
    families = extreme.extreme_study(settings())
    found, others = families[PIPELINE], families[SIZES]
    before = {recipe.steps[:-1] for recipe in found[TRIMMED]}
    assert len(before) == 2, "one pipeline for each language, whatever the seed"
    assert [name for name in others if "onnx" not in name] == ["72 wide", "2,000 tokens", "1,000 tokens"]
    narrow = {recipe.steps[:-2] for recipe in found[TRIMMED]}
    assert {recipe.steps[:-2] for recipe in others["1,000 tokens"]} == narrow
    assert extreme.vocabulary_stages(settings()) == [NARROWER, TRIMMED, "2,000 tokens", "1,000 tokens"]
    for family in (SIZES, ORDERS):
        for name, recipes in families[family].items():
            if closed := families[family].get(f"{name}, onnx-int8"):
                assert closed == [recipe.then(Quantize("onnx-int8")) for recipe in recipes]
    assert list(families[ORDERS]) == ["adapted > fewer pieces", "adapted > fewer pieces, onnx-int8"]
    asked = extreme.variants(settings())
    assert [recipe.fine_tuning.seed for recipe in asked["Is KL the better loss?"]] == [2, 2]
    assert len(extreme.flat({"a": found, "b": others})) == 7 * 4 + 6 * 4


def test_adapters_stand_on_the_models_of_two_stages() -> None:
    found = extreme.with_adapters(settings())
    stages = extreme.extreme_study(settings())[PIPELINE]
    assert list(found) == [DENSE, TRIMMED]
    for stage, recipes in found.items():
        assert {recipe.steps[:-1] for recipe in recipes} == {recipe.steps[:-1] for recipe in stages[stage]}
        assert [recipe.fine_tuning.adapter for recipe in recipes] == [4, 16, 4, 16]
        assert {(recipe.fine_tuning.seed, recipe.fine_tuning.learning_rate) for recipe in recipes} == {(2, 5e-3)}
    assert extreme.with_adapters(settings(adapter_tasks=[])) == {}


def test_models_before_fine_tuning_guess_text_and_show_how_they_learned() -> None:
    found, families = extreme.untuned(settings()), extreme.extreme_study(settings())
    assert list(found) == ["swa", "yor"]
    for language, stages in found.items():
        assert list(stages) == [DENSE, ADAPTED, SHALLOWER, FEWER_NEURONS, NARROWER, TRIMMED]
        assert stages[DENSE] == [start("sample-small")]
        own = [recipe for recipe in families[PIPELINE][TRIMMED] if recipe.fine_tuning.language == language]
        assert {recipe.steps[:-1] for recipe in own} == {stages[TRIMMED][0].steps}
        text = extreme.held_out_text(settings(), language)
        assert (text.dataset, text.language, text.split, text.noise) == ("sample", language, "test", UNLABELLED)
        assert len(text.sentences()) == 5
    panels = extreme.learning_panels(settings(), families)
    assert {title: list(series) for title, series in panels.items()} == {
        "Adaptation": [ADAPTED],
        "Distillation": [SHALLOWER, NARROWER],
        "Fine-tuning, sample": [DENSE, ADAPTED, SHALLOWER, FEWER_NEURONS, NARROWER, TRIMMED],
    }
    assert "Adaptation" not in extreme.learning_panels(settings(adaptation_updates=0), families)


def test_what_is_timed_is_of_one_fine_tuning_and_begins_with_the_dense_model() -> None:
    families = extreme.extreme_study(settings())
    timed = extreme.to_time(settings(), families)
    assert timed[0] == families[PIPELINE][DENSE][0]
    assert len({recipe.fine_tuning for recipe in timed}) == 1
    closed = [recipe for recipe in timed if recipe.steps[-1] == Quantize("onnx-int8")]
    # The pipeline's seven stages; then three sizes, an order, a student; two pruned, a cut, a distilled, three trimmed.
    assert len(timed) == 7 + 3 + 1 + 1 + 2 + 1 + 1 + 3 and len(closed) == len(timed) - 6


def test_a_task_stands_for_the_languages_that_it_has() -> None:
    own = settings(
        tasks=["sib200", "uner", "masakhaner"],
        dataset="sib200",
        languages=["mlt", "slk", "swa"],
        task_epochs={"sib200": 7},
    )
    first = [tuning for tuning in extreme.tunings(own) if tuning.seed == 1]
    assert [(tuning.dataset, tuning.language, tuning.epochs) for tuning in first] == [
        ("sib200", "mlt", 7),
        ("sib200", "slk", 7),
        ("sib200", "swa", 7),
        ("uner", "slk", 2),
        ("masakhaner", "swa", 2),
    ]
    assert extreme.measured_on(own) == (
        "sib200: Maltese (mlt), Slovak (slk), Swahili (swa); uner: Slovak (slk); masakhaner: Swahili (swa); 2 seeds"
    )
    assert extreme.measured_on(settings(seeds=[1])) == "Swahili (swa), Yoruba (yor); 1 seed"
    assert extreme.held_out_text(own, "slk").dataset == "sib200"


def test_the_paper_s_encoders_and_languages_are_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    """From configurations alone: nothing is fetched, and the whole profile stands."""
    monkeypatch.setattr(splits, "text", lambda corpus, language: ["maneno"])
    monkeypatch.setattr(splits, "sentences", lambda dataset, language, split: ["maneno"])
    given = parameters.profile("paper", "07_extreme")
    declared = parameters.declared(paths.notebooks_folder() / "07_extreme.ipynb")
    own = Settings({name: parameter.default for name, parameter in declared.items()} | given)
    extreme_checks.require_extreme(own)
    families = extreme.extreme_study(own)
    for encoder in ("xlm-r-base", "mbert"):
        mine = {
            stage: [recipe for recipe in found if recipe.encoder == encoder]
            for stage, found in families[PIPELINE].items()
        }
        trained = {recipe.fine_tuning.language for recipe in mine[TRIMMED]}
        assert trained == {"mlt", "slk", "swa"}
        for recipe in mine[TRIMMED]:
            told = sizes(starting_configuration(encoder), recipe.steps)[-1]
            assert (told["layers"], told["hidden"], told["feed_forward"], told["vocabulary"]) == (6, 312, 2048, 40_000)
            assert told["parameters"] / 1e6 == pytest.approx(22.81, abs=0.005)
        adapted = [step for recipe in mine[TRIMMED] for step in recipe.steps if isinstance(step, Adapt)]
        assert {step.language: step.corpus for step in adapted} == dict.fromkeys(("mlt", "slk", "swa"), "glotcc")
        assert {(step.batch_size, step.learning_rate, step.updates) for step in adapted} == {(32, 1e-4, 100_000)}
        firsts = {next(step for step in recipe.steps if isinstance(step, Distil)) for recipe in mine[TRIMMED]}
        kept = {"xlm-r-base": (0, 2, 4, 6, 8, 10), "mbert": (6, 7, 8, 9, 10, 11)}[encoder]
        assert {(step.layer_map, step.batch_size, step.learning_rate) for step in firsts} == {(kept, 8, 5e-5)}
    assert "wikiann" in own.tasks, "the paper's named entities"


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
        ({"corpora": {"swa": "sib20"}}, "Did you mean 'sib200'?"),
        ({"tasks": ["sample", "uner"]}, "The data set 'uner' has no training split in swa, yor: leave the task out"),
        ({"tasks": ["masakhapos"], "languages": ["swa", "amh"]}, "No task of masakhapos has a training split in amh"),
        ({"orders": [["adaptd"]]}, "no stage 'adaptd'; it has adapted, fewer layers"),
        ({"orders": [[]]}, "An order of stages is empty"),
        ({"adapters": [0]}, "at least 1, not 0"),
        ({"adapter_tasks": ["sib200"]}, "Adapters are trained on some of the tasks sample; 'sib200' is none of them"),
        ({"combinations": [{}]}, "A combination is empty: change some of layers, feed_forward"),
        ({"combinations": [{"hidden": 48}]}, "'hidden' is none of them. Did you mean 'hidden_size'?"),
        ({"combinations": [{"corpus_updates": 0}]}, "corpus_updates is a number of at least 1; in a combination it is"),
        ({"combinations": [{"hidden_size": 50}]}, "A hidden size of 50 cannot be reached from sample-small"),
        ({"combinations": [{"layers": 5}]}, "layers is a number from 1 to 4 for sample-small; it is 5"),
        ({"combinations": [{"vocabulary": 20}]}, "A vocabulary of 20 tokens is too small for swa"),
        ({"taught": [{"corpus_updates": 9}]}, "A student that is taught on the task has no corpus_updates"),
        ({"taught": [{"width": 9}]}, "'width' is none of them"),
        ({"taught": [{"hidden_size": 50}]}, "A hidden size of 50 cannot be reached from sample-small"),
        ({"untaught": 2}, "untaught is a number from 0 to that of the students in taught, 1; it is 2"),
        ({"layer_maps": {"sample-smal": [0, 1]}}, "Did you mean 'sample-small'?"),
        ({"layer_maps": {"sample-small": [0]}}, "layer map of sample-small names 2 of its layers, 0 to 3; it is [0]"),
        ({"layer_maps": {"sample-small": [0, 4]}}, "names 2 of its layers, 0 to 3; it is [0, 4]"),
        ({"transfer_epochs": 0}, "transfer_epochs is a number of at least 1; it is 0"),
        ({"transfer_lines": 0}, "transfer_lines is a number of at least 1; it is 0"),
        ({"vocabularies": [1500, 20]}, "A vocabulary of 20 tokens is too small for swa: special tokens and the single"),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_before_anything_is_loaded(wrong: dict, said: str) -> None:
    with pytest.raises(SmallerError) as caught:
        extreme_checks.require_extreme(settings(**wrong))
    assert said in str(caught.value)


def test_a_language_without_text_is_an_error_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "text", lambda corpus, language: ["", "  "] if language == "yor" else ["maneno"])
    with pytest.raises(SmallerError, match="The text of sample/yor is empty, and every step before fine-tuning"):
        extreme_checks.require_extreme(settings())


def test_the_largest_sizes_of_the_encoder_are_no_error() -> None:
    """So the errors above come from the one change that each of them makes."""
    for most in ({}, {"layers": 4, "feed_forward": 384, "hidden_sizes": [96]}):
        extreme_checks.require_extreme(settings(**most))
        families = extreme.extreme_study(settings(**most))
        assert {len(recipes) for recipes in families[PIPELINE].values()} == {4}
