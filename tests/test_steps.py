"""What every step is: its canonical form, the data that its fields name, and what surrounds `apply`."""

import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import sample, splits
from smaller.study.recipes import Recipe
from smaller.study.steps import (
    Adapt,
    Cut,
    Distil,
    FineTune,
    Pretrain,
    Prune,
    PruneFeedForward,
    PruneHeads,
    Quantize,
    Round,
    Step,
    TrimVocabulary,
    TruncateHidden,
    base,
    step_from_canonical,
)

TEXT = {"corpus": "sample", "languages": ("swa",)}
TUNE = FineTune("sample", "swa", epochs=2, batch_size=50, learning_rate=5e-3)
EACH = [
    Adapt("sample", "swa"),
    Cut(1),
    Distil.on_text("sample", ["swa"], layers=1),
    Distil.on_task("sample", "swa", layers=1),
    TUNE,
    Pretrain(languages=("swa",)),
    Prune(0.5),
    PruneFeedForward(20, **TEXT),
    PruneHeads(1, **TEXT),
    Quantize("bf16"),
    Round(8),
    TrimVocabulary(900, **TEXT),
    TruncateHidden(16),
]


def test_each_step_is_here() -> None:
    assert {type(step) for step in EACH} == {step for step in base.STEPS.values() if "smaller." in step.__module__}


@pytest.mark.parametrize("step", EACH, ids=lambda step: type(step).__name__)
def test_no_step_takes_a_model_of_fewer_bits(step: Step, tiny) -> None:
    model = tiny.copy()
    model.form = "bf16"
    with pytest.raises(SmallerError, match=f"{type(step).__name__} needs weights in fp32"):
        step.apply(model)


def test_parameters_are_counted_around_a_step_of_ones_own(own_steps, tiny) -> None:
    @dataclass(frozen=True)
    class Headless(Step):
        label: str = "headless"

        def apply(self, model, *, say=None, scratch=None):
            """Its own words."""
            return encoders.with_classifier(model, ("O", "X"), seed=1), {"said": [say, scratch]}

    made, report = Headless().apply(tiny, say="aloud", scratch="here")
    assert report == {
        "said": ["aloud", "here"],
        "parameters_before": encoders.parameter_count(tiny.network),
        "parameters_after": encoders.parameter_count(made.network),
    }
    assert report["parameters_after"] != report["parameters_before"]
    assert Headless.apply.__doc__ == "Its own words." and step_from_canonical({"step": "Headless"}) == Headless()


def test_inputs_are_the_data_that_the_fields_name(own_steps) -> None:
    @dataclass(frozen=True)
    class Reads(Step):
        dataset: str = ""
        language: str = ""
        corpus: str | None = None
        languages: tuple[str, ...] = ()

    swa, yor = (splits.fingerprint("sample", code) for code in ("swa", "yor"))
    assert Reads().inputs() == Reads(language="swa").inputs() == Reads(languages=("swa",)).inputs() == {}
    both = Reads("sample", "swa", "sample", ("swa", "yor"))
    assert both.inputs() == {"sample/swa": swa, "sample/swa/text": swa, "sample/yor/text": yor}
    assert EACH[0].inputs() == {"sample/swa/text": sample.fingerprint("swa")} and Prune(0.5).inputs() == {}


@pytest.mark.parametrize("step", [TUNE, Prune(0.6, scope="layer"), Pretrain(languages=("swa", "yor"), updates=3)])
def test_a_step_comes_back_from_its_canonical_form(step):
    form = step.canonical()
    assert step_from_canonical(form) == step and hash(step_from_canonical(form)) == hash(step)
    # As JSON gives it back: with lists for tuples.
    as_json = {key: list(value) if isinstance(value, tuple) else value for key, value in form.items()}
    assert step_from_canonical(as_json) == step
    assert form["step"] == type(step).__name__


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"step": "Prun", "sparsity": 0.5}, r"no step 'Prun'.*Did you mean 'Prune'\?"),
        ({"sparsity": 0.5}, "no step None"),
        ({"step": "Prune", "sparsty": 0.5}, r"Prune has no parameter 'sparsty'.*Did you mean 'sparsity'\?"),
        ({"step": "Prune", "sparsity": 2}, "a number from 0 to 1"),
        ({"step": "Prune", "scope": "layer"}, "Prune needs a value for sparsity"),
        ({"step": "FineTune", "dataset": "sample"}, "FineTune needs a value for language"),
    ],
)
def test_a_canonical_form_that_says_nothing_is_an_error(form, message):
    with pytest.raises(SmallerError, match=message):
        step_from_canonical(form)


def test_a_step_that_does_not_say_how_it_is_applied_is_a_mistake_of_the_programmer(tiny):
    with pytest.raises(SmallerError, match="^Step does not say how it is applied"):
        Step().apply(tiny)
    assert Step().inputs() == {} and (FineTune.trains, Pretrain.trains, Prune.trains) == (True, True, False)


def defined(body: str, name: str = "Dwindle") -> type[Step]:
    """A step as a notebook's cell defines it."""
    scope = {"dataclass": dataclass, "Step": Step, "__name__": "__main__"}
    source = f"@dataclass(frozen=True)\nclass {name}(Step):\n    share: float\n    def apply(self, model, **_):\n{body}"
    exec(compile(source, "<cell>", "exec"), scope)
    return scope[name]


def test_a_step_from_outside_is_stale_once_its_code_is_edited(own_steps) -> None:
    """Its identity stays, for that is its name and fields; what it reads includes what its methods do."""
    first = defined("        return model.copy(), {'share': self.share}\n")(0.1)
    commented = defined("        # a comment\n        return model.copy(), {'share': self.share}\n")(0.1)
    edited = defined("        return model.copy(), {'share': 2 * self.share}\n")(0.1)
    inner = defined("        return model.copy(), {'share': [one + 1 for one in [self.share]]}\n")(0.1)
    assert first.canonical() == edited.canonical() == inner.canonical()
    assert first.inputs() == commented.inputs()
    assert len({step.inputs()["code/Dwindle"] for step in (first, edited, inner)}) == 3
    assert not any(name.startswith("code/") for step in EACH for name in step.inputs())


def test_the_code_of_a_step_is_the_same_in_every_process() -> None:
    """Also where it holds a set, which each process orders in its own way."""
    program = (
        "from dataclasses import dataclass\nfrom smaller.study.steps import Step\n"
        "@dataclass(frozen=True)\nclass Own(Step):\n    def apply(self, model, **_):\n"
        "        return model, {'kept': model in {'a', 'bb', 'ccc', 'dddd', 'e5'}}\n"
        "print(Own().inputs()['code/Own'])"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_no_step_from_outside_takes_the_name_of_one_that_is_here(own_steps) -> None:
    with pytest.raises(SmallerError, match="There is a step Prune already"):
        defined("        return model, {}\n", name="Prune")
    assert base.STEPS["Prune"] is Prune


def test_a_kind_of_step_without_parameters_is_told_apart() -> None:
    with pytest.raises(SmallerError, match=r"Cut is a kind of step; give its parameters: Cut\(\.\.\.\)"):
        Recipe("sample-small", (Cut,))


def test_a_step_from_outside_that_is_not_whole_is_told_by_its_name(own_steps, tiny) -> None:
    @dataclass(frozen=True)
    class Idle(Step):
        share: float

    class Bare(Step):
        share: float

        def apply(self, model, **_):
            return model, {}

    @dataclass(frozen=True)
    class Silent(Step):
        def apply(self, model, **_):
            return model.copy()

    class Orphan:
        def apply(self, model, **_):
            return model, {}

    with pytest.raises(
        SmallerError, match=r"^Idle does not say how it is applied: it needs a method apply\(self, model"
    ):
        Recipe("mbert", (Idle(0.5),))
    with pytest.raises(
        SmallerError, match=r"^Bare has the fields share and is no dataclass: write @dataclass\(frozen=True"
    ):
        Bare(0.5)
    with pytest.raises(
        SmallerError, match=r"^Silent.apply has to return a new model and a report.*it returned Model\.$"
    ):
        Silent().apply(tiny)
    with pytest.raises(SmallerError, match=r"^Orphan has a method apply and is no step: write class Orphan\(Step\)\.$"):
        Recipe("mbert", (Orphan(),))
