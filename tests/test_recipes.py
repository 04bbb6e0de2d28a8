"""Recipes: identity, order, prefixes, canonical form."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import sys

import pytest

from smaller.base.errors import SmallerError
from smaller.encoders import canonical
from smaller.study.recipes import (
    Recipe,
    cut_then_pretrained,
    cut_then_tuned,
    dense,
    distilled_for_task,
    distilled_on_corpus,
    from_scratch,
    pruned_after,
    pruned_before,
    pruning_grid,
    quantized,
    recipe_from_canonical,
    start,
)
from smaller.study.steps import Cut, Distil, FineTune, Pretrain, Prune, Quantize

TUNE = FineTune("sample", "swa")
TEXT = {"languages": ("swa", "yor"), "updates": 9, "batch_size": 8, "max_length": 24, "rate": 0.3, "seed": 4}
ON_CORPUS = Distil(2, 3, **TEXT)
ON_TASK = Distil(2, 3, on="task", dataset="sample", language="swa")
LONG = Recipe("sample-small", (Pretrain(updates=7), Prune(0.5, scope="layer"), TUNE, Prune(0.9, method="random")))


def test_identity_is_written_in_stone() -> None:
    # Records and artefacts are found by these. When a step gains a field they change, and everything is computed anew.
    assert Recipe("sample-small").identity == "9b481695fa231d8a"
    assert Recipe("xlm-r-base", (TUNE, Prune(0.6))).identity == "98c5c4abd2208a30"


def test_identity_is_the_same_in_every_process() -> None:
    code = "import json, sys; from smaller.study import recipes\n"
    code += "print(recipes.recipe_from_canonical(json.load(sys.stdin)).identity)"
    other = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps(LONG.canonical()),
        text=True,
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "12345"},
    )
    assert other.stdout.strip() == LONG.identity


def test_identity_does_not_depend_on_the_order_of_fields() -> None:
    form = LONG.canonical()
    shuffled = random.Random(1)
    steps = [dict(shuffled.sample(list(step.items()), len(step))) for step in form["steps"]]
    assert [list(step) for step in steps] != [list(step) for step in form["steps"]]
    assert recipe_from_canonical({"steps": steps, "encoder": form["encoder"]}).identity == LONG.identity


@pytest.mark.parametrize(
    ("step", "others"),
    [
        (
            TUNE,
            dict(
                dataset="masakhaner",
                language="hau",
                seed=2,
                epochs=49,
                learning_rate=1e-4,
                batch_size=32,
                max_length=128,
                warm_up=0.1,
                weight_decay=0.01,
                adapter=16,
            ),
        ),
        (Prune(0.5), dict(sparsity=0.6, scope="layer", include="linear+embeddings", method="random", seed=1)),
        (
            Pretrain(),
            dict(
                languages=("swa",),
                updates=10,
                batch_size=8,
                learning_rate=0.5,
                max_length=32,
                rate=0.3,
                seed=2,
                lines=9,
            ),
        ),
    ],
)
def test_identity_differs_when_any_field_does(step, others: dict) -> None:
    identities = {Recipe("sample-small", (step,)).identity}
    for field, value in others.items():
        identities.add(Recipe("sample-small", (dataclasses.replace(step, **{field: value}),)).identity)
    assert len(identities) == 1 + len(others)
    untried = {field.name for field in dataclasses.fields(step)} - set(others)
    assert untried <= {"corpus"}, "a new field decides the result, so the identity must tell it"


def test_identity_differs_by_encoder_and_by_order() -> None:
    before, after = pruned_before("xlm-r-base", Prune(0.5), TUNE), pruned_after("xlm-r-base", Prune(0.5), TUNE)
    identities = {recipe.identity for recipe in (before, after, dense("xlm-r-base", TUNE), dense("mbert", TUNE))}
    assert len(identities) == 4


def test_whole_numbers_are_numbers() -> None:
    assert Recipe("mbert", (Prune(0),)) == Recipe("mbert", (Prune(0.0),))
    assert Recipe("mbert", (Prune(0),)).identity == Recipe("mbert", (Prune(0.0),)).identity


def test_steps_may_be_a_list() -> None:
    assert Recipe("mbert", [TUNE]) == Recipe("mbert", (TUNE,))
    assert hash(Recipe("mbert", [TUNE])) == hash(Recipe("mbert", (TUNE,)))


def test_what_is_no_step_is_refused_with_a_suggestion() -> None:
    with pytest.raises(SmallerError, match="'Prun' is none of them. Did you mean 'Prune'?"):
        Recipe("mbert", ("Prun",))


def test_canonical_form_survives_json() -> None:
    form = json.loads(json.dumps(LONG.canonical()))
    assert recipe_from_canonical(form) == LONG
    assert canonical(recipe_from_canonical(form).canonical()) == canonical(LONG.canonical())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"step": "Prun"}, "Did you mean 'Prune'?"),
        ({"step": "Prune", "sparsity": 0.5, "scop": "layer"}, "Did you mean 'scope'?"),
        ({"step": "Prune", "sparsity": 1.5}, "from 0 to 1; it is 1.5"),
        ({"step": "Prune", "sparsity": "0.5"}, "it is '0.5'"),
        ({"step": "FineTune", "dataset": "sample", "language": "swc"}, "Did you mean 'swa'?"),
    ],
)
def test_canonical_form_with_a_mistake(damage: dict, message: str) -> None:
    with pytest.raises(SmallerError) as caught:
        recipe_from_canonical({"encoder": "mbert", "steps": [damage]})
    assert message in str(caught.value)


def test_prefixes_are_longest_first_down_to_the_encoder() -> None:
    assert [len(prefix.steps) for prefix in LONG.prefixes()] == [4, 3, 2, 1, 0]
    assert all(prefix.steps == LONG.steps[: len(prefix.steps)] for prefix in LONG.prefixes())


def test_trained_prefix_is_the_longest_that_ends_in_training() -> None:
    assert LONG.trained_prefix() == Recipe(LONG.encoder, LONG.steps[:3])
    assert Recipe("mbert", (Prune(0.5), Prune(0.6))).trained_prefix() == Recipe("mbert")
    assert dense("mbert", TUNE).trained_prefix() == dense("mbert", TUNE)
    # Pruned after fine-tuning shares the dense training; pruned before has one of its own.
    assert pruned_after("mbert", Prune(0.5), TUNE).trained_prefix() == dense("mbert", TUNE)
    assert pruned_before("mbert", Prune(0.5), TUNE).trained_prefix() == pruned_before("mbert", Prune(0.5), TUNE)


def test_start_pretrains_what_has_no_weights(tiny_folder: str) -> None:
    assert start("sample-base").steps == (Pretrain(),)
    assert start("xlm-r-base").steps == start(tiny_folder).steps == ()
    with pytest.raises(SmallerError, match="Did you mean 'sample-base'?"):
        start("sample-bas")


def test_inputs_name_everything_that_is_read(tiny_folder: str) -> None:
    found = Recipe(tiny_folder, (TUNE, Prune(0.5))).inputs()
    assert set(found) == {f"encoder/{tiny_folder}", "sample/swa"}
    assert all(found.values())


def test_grid_has_both_orders_and_the_dense_recipe_once() -> None:
    grid = pruning_grid("mbert", [TUNE, dataclasses.replace(TUNE, seed=2)], [0, 0.5, 0.9])
    assert len(grid) == len(set(grid)) == 2 * (1 + 2 * 2)
    assert {step.sparsity for recipe in grid for step in recipe.steps if isinstance(step, Prune)} == {0.5, 0.9}


def test_label_is_one_readable_line() -> None:
    assert Recipe("mbert").label == "mbert: as it is"
    assert str(LONG) == (
        "sample-small: Pretrain > Prune(0.5, layer) > FineTune(sample/swa, seed 1) > Prune(0.9, random)"
    )


def test_students_are_cut_from_the_teacher_that_arrives() -> None:
    assert distilled_on_corpus("mbert", ON_CORPUS, TUNE).steps == (ON_CORPUS, TUNE)
    assert distilled_for_task("mbert", TUNE, ON_TASK).steps == (TUNE, ON_TASK)
    assert distilled_on_corpus("sample-small", ON_CORPUS, TUNE).steps == (Pretrain(), ON_CORPUS, TUNE)
    # One fine-tuning serves every student of a tagger, one corpus distillation every language and seed.
    others = [dataclasses.replace(TUNE, seed=seed) for seed in (1, 2)]
    assert len({distilled_on_corpus("mbert", ON_CORPUS, other).steps[:1] for other in others}) == 1
    assert distilled_for_task("mbert", TUNE, ON_TASK).steps[:1] == dense("mbert", TUNE).steps


def test_controls_have_no_teacher() -> None:
    cut, plain = Cut(2, 3), Pretrain(**TEXT)
    assert cut_then_tuned("sample-small", cut, TUNE).steps == (Pretrain(), cut, TUNE)
    assert cut_then_pretrained("sample-small", cut, plain, TUNE).steps == (Pretrain(), cut, plain, TUNE)
    scratch = from_scratch("sample-small", Cut(2, 3, layer_map="first"), plain, TUNE)
    assert scratch.steps == (Cut(2, 3, start="random", seed=4), plain, TUNE), "it needs no weights of the encoder"


def test_plain_pretraining_sees_the_batches_of_the_distillation(tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list] = []

    def look(model, batches, *_, **settings):
        wanted = ("updates", "learning_rate", "seed", "warm_up", "weight_decay", "betas", "dropout")
        seen.append([(batch.pieces.tolist(), batch.labels.tolist()) for batch in batches])
        seen[-1].append([settings[name] for name in wanted])
        raise InterruptedError

    monkeypatch.setattr("smaller.study.steps.pretraining.train", look)
    step = dataclasses.replace(ON_CORPUS, heads=2)
    for trained in (Pretrain(**TEXT), step):
        with pytest.raises(InterruptedError):
            trained.apply(tiny)
    assert len(seen) == 2 and len(seen[0]) == 10 and seen[0] == seen[1]


@pytest.mark.parametrize("form", ["dynamic", "onnx-int8", "llm.int8", "openvino-int8"])
def test_forms_that_look_at_sentences_get_those_of_the_fine_tuning(form: str) -> None:
    tuning = FineTune("sample", "yor", seed=2)
    recipe = quantized("sample-small", tuning, form)
    data = {"dataset": "sample", "language": "yor"} if form in ("llm.int8", "openvino-int8") else {}
    assert recipe == dense("sample-small", tuning).then(Quantize(form, **data))
    if form == "llm.int8":
        assert quantized("sample-small", tuning, form, threshold=3.0).steps[-1].threshold == 3


def test_nothing_follows_a_quantization() -> None:
    tuned = dense("sample-small", TUNE)
    with pytest.raises(SmallerError, match=r"Quantize\(bf16\) comes last in a recipe, and Prune\(0.5\) follows it"):
        tuned.then(Quantize("bf16"), Prune(0.5))
