"""The search for the smallest model: limits are kept, nothing is done twice, and what cannot be is said."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from transformers import DistilBertConfig, DistilBertForTokenClassification

from smaller import encoders, formats
from smaller.__main__ import main
from smaller.base.errors import SmallerError
from smaller.data import sample, splits
from smaller.deploy import Target, budget, candidates, compress, filling, planning, search
from smaller.deploy.candidates import Shape
from smaller.deploy.measuring import Measured, Scales
from smaller.deploy.targets import parse_bytes, parse_duration, parse_milliseconds, parse_points
from smaller.formats.shipping import folder_bytes, open_shipped, shipped_bytes
from smaller.prediction.tagging import tag
from smaller.study import results
from smaller.study.jobs import materialise
from smaller.study.recipes import Recipe, start
from smaller.study.steps import Distil, FineTune

TUNING = {"epochs": 2, "learning_rate": 1e-3}
FAST = TUNING | {"form": "dynamic", "lines": 20}
PLAN = {"task": "ner", "language": "", "form": "dynamic", "seed": 1, "lines": 20, "tuning": TUNING}


@pytest.fixture
def small(few_sentences, fresh_folders, monkeypatch):
    """A sample of a few sentences, folders of one's own, one process."""
    monkeypatch.setenv("SMALLER_WORKERS", "1")
    return fresh_folders


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("20MB", 20e6), ("1.5 GiB", 1.5 * 2**30), ("300", 300), (" 7 kb", 7e3), ("1e6", 1e6), ("1E-1 MB", 1e5)],
        *[("1.5 MB", 1.5e6), ("500kB", 5e5), ("1MiB", 2**20), (".5MB", 5e5), ("2.MB", 2e6)],
        *[("300 000", 3e5), ("1_500 kB", 1.5e6), ("1,500,000", 1.5e6), ("1\u202f500 B", 1500)],
    ],
)
def test_bytes_are_read(text, value):
    assert parse_bytes(text) == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,5MB", "'1,5MB' has a comma: write 1.5MB if that is what it means."),
        ("1,500 kB", "has a comma: write 1.500 kB if that is what it means, or 1500 kB if it parts thousands."),
        ("1M", "'1M' may be 1MB or 1MiB, which is more: write the one that it is."),
        *[
            (text, "is not bytes: write it as 20MB.")
            for text in ("", "MB", "1..5MB", "1e999", "nan", "-1MB", "1,5,0MB")
        ],
        *[
            (text, "is not bytes: write it as 20MB.")
            for text in ("20 apples", "1MB 1MB", "1 2", "1.500.000", "1,500,0000,0")
        ],
    ],
)
def test_bytes_that_may_mean_something_else_are_refused(text, said):
    with pytest.raises(SmallerError, match=re.escape(said)):
        parse_bytes(text)


def test_times_are_read_and_nonsense_is_refused():
    assert [parse_milliseconds(text) for text in ("10ms", "0.2 s", "1e1", "2.5")] == [10, 200, 10, 2.5]
    durations = {"30min": 1800, "1 h": 3600, "90s": 90, "5": 300, "1h30": 5400, "1h 30min 5s": 5405, "1.5h": 5400}
    assert {text: parse_duration(text) for text in durations} == durations
    for parse, text, said in (
        (parse_milliseconds, "fast", "is not a time: write it as 10ms"),
        (parse_milliseconds, "2,5ms", "has a comma: write 2.5ms if that is what it means."),
        (parse_duration, "1,5h", "has a comma: write 1.5h if that is what it means."),
        (parse_duration, "30min 1h", "is not a duration"),
        (parse_points, "1,5", "has a comma: write 1.5 if that is what it means."),
    ):
        with pytest.raises(SmallerError, match=re.escape(said)):
            parse(text)


def test_a_target_has_a_limit_and_limits_are_numbers():
    with pytest.raises(SmallerError, match="A target is needed"):
        Target()
    with pytest.raises(SmallerError, match="max_bytes is a number above zero; it is '20MB'"):
        Target(max_bytes="20MB")
    with pytest.raises(SmallerError, match="max_drop is a number of at least zero; it is -1"):
        Target(max_drop=-1)
    assert str(Target(max_bytes=20e6, max_drop=0)) == "at most 20 MB, at most 0 points lost"


def test_a_shape_is_within_one_that_is_as_large_in_every_part():
    few, narrow, both = Shape(2, 24, 48, 1.0), Shape(4, 24, 24, 1.0), Shape(2, 24, 24, 0.99)
    assert both.within(few) and both.within(narrow) and not few.within(narrow) and not few.within(few)
    thin = Shape(2, 12, 24, 0.99)
    assert thin.within(both) and not both.within(thin)
    assert str(thin) == "2 layers, 12 wide, 24 neurons, tokens of 99 % of the text"
    own = dataclasses.replace(thin, coverage=1.0, learned=1500)
    assert not own.within(few) and own.within(dataclasses.replace(own, learned=2500))
    assert str(own) == "2 layers, 12 wide, 24 neurons, 1,500 learned tokens"


@pytest.mark.parametrize(
    ("of", "narrow", "deep", "few"),
    [
        ({"layers": 12, "heads": 12, "hidden": 384, "feed_forward": 1536}, 32, [12, 9, 6, 4, 3, 2, 1], 4),
        ({"layers": 8, "heads": 6, "hidden": 192, "feed_forward": 768}, 32, [8, 6, 4, 3, 2, 1], 2),
        ({"layers": 2, "heads": 2, "hidden": 24, "feed_forward": 48}, 8, [2, 1], 2),
    ],
)
def test_students_go_down_to_one_layer_and_32_dimensions(of, narrow, deep, few):
    found = candidates.widths(of)
    assert found[0] == of["hidden"] and found[-1] == narrow and len(found) >= 3
    assert candidates.depths(of) == deep and candidates.heads(narrow, of) == few
    for hidden in found:
        heads = candidates.heads(hidden, of)
        assert hidden % heads == of["heads"] % heads == 0 and hidden // heads >= 4


def test_every_shape_that_may_be_reached_is_a_possible_model(tiny_folder, small):
    plan, _ = planning.plan_of(tiny_folder, "sample/swa", **PLAN)
    shapes = plan.shapes()
    assert len(set(shapes)) == len(shapes) and plan.whole in shapes
    assert {shape.coverage for shape in dataclasses.replace(plan, trimmed=False).shapes()} == {1.0}
    assert {shape.hidden for shape in dataclasses.replace(plan, narrower=False).shapes()} == {plan.of["hidden"]}
    scales = Scales(plan, say=lambda line: None)
    for shape in [shape for shape in shapes if shape.coverage in (1.0, 0.99) and shape.learned in (0, 1500)]:
        model = scales.untaught(shape)
        made = encoders.shape(model)
        assert (made["layers"], made["hidden"], made["feed_forward"]) == (
            shape.layers,
            shape.hidden,
            shape.feed_forward,
        )
        if not plan.keeps(shape):
            assert scales.parameters(shape) == pytest.approx(encoders.parameter_count(model.network), rel=0.03)


def test_students_are_taught_on_text_where_there_is_some(tiny_folder, small):
    plan, _ = planning.plan_of(tiny_folder, "sample/swa", **PLAN)
    shape = Shape(1, 12, 24, 0.999)
    step = next(step for step in plan.recipe(shape, epochs=2).steps if isinstance(step, Distil))
    assert (step.hidden_size, step.feed_forward, step.width_by, step.coverage) == (12, 24, "projection", 0.999)
    assert (step.transfer_corpus, step.transfer_lines, step.epochs) == ("sample", 20, 2)
    assert step.learning_rate == 1e-3
    own = plan.student(dataclasses.replace(shape, coverage=1.0, learned=1500), epochs=2)
    assert (own.tokens, own.tokens_by, own.coverage) == (1500, "learning", None)
    slow = dataclasses.replace(plan, tuning=dataclasses.replace(plan.tuning, learning_rate=1e-4))
    rates = [slow.student(Shape(1, wide, 24, 1.0), epochs=1).learning_rate for wide in (24, 12, 6)]
    assert rates == [1e-4, 4e-4, 1e-3] and candidates.learning_rate(384) == 2e-4
    assert candidates.learning_rate(1024) == 2.8e-5, "a wider encoder learns at less"
    without = dataclasses.replace(plan, text="masakhaner").student(shape, epochs=2)
    assert without.transfer_lines == 0 and not without.transfer_corpus
    kept = plan.recipe(Shape(2, 24, 48, 0.99), epochs=2)
    assert plan.keeps(Shape(2, 24, 48, 0.99)) and [type(step).__name__ for step in kept.steps][1:] == [
        "TrimVocabulary",
        "Quantize",
    ]


def test_shapes_fill_the_limit(tiny_folder, small):
    """No wider shape of the same kind is within the limit, and no shape that is found contains another."""
    plan, _ = planning.plan_of(tiny_folder, "sample/swa", **PLAN | {"form": "fp16"})
    scales = Scales(plan, say=lambda line: None)
    target = Target(max_bytes=0.55 * scales.of(plan.whole).size)
    found = filling.filling(scales, target, count=4)
    assert 0 < len(found) <= 4 and not any(one.within(other) for one in found for other in found)
    for shape in found:
        assert scales.of(shape).size <= target.max_bytes
        kind = next(kind for kind in filling.kinds(plan) if shape in kind)
        wider = kind[: kind.index(shape)]
        assert all(scales.of(other).size > target.max_bytes for other in wider)
    told = filling.estimate(scales)
    errors = [abs(told(shape).size / scales.of(shape).size - 1) for shape in found]
    assert max(errors) < 0.1


def test_passes_follow_from_the_number_of_sentences(tiny_folder):
    assert [planning.passes(count) for count in (0, 100, 1000, 2109, 5000, 50_000)] == [20, 20, 10, 5, 3, 3]
    given, usual = (
        planning.plan_of(tiny_folder, "sample/swa", **PLAN | {"tuning": tuning})[0] for tuning in ({"epochs": 4}, {})
    )
    assert (given.tuning.epochs, given.passes) == (4, 4) and usual.passes == 2 * usual.tuning.epochs


def test_a_budget_decides_how_many_are_tried_and_for_how_long(monkeypatch):
    monkeypatch.setenv("SMALLER_WORKERS", "2")
    assert budget.schedule([60] * 20, budget=None, epochs=4).rounds == [(8, 1), (4, 2), (2, 4)]
    # Without a budget no more is taught than half an hour holds.
    usual = budget.schedule([120] * 8, budget=None, epochs=10)
    assert usual.seconds <= 1800 and 2 <= usual.candidates < 8 and usual.epochs <= 10
    assert budget.schedule([1e4] * 8, budget=None, epochs=2).epochs == 2
    ample = budget.schedule([10] * 8, budget=1e5, epochs=10)
    assert (ample.candidates, ample.epochs) == (8, budget.MOST_EPOCHS)
    some = budget.schedule([60] * 8, budget=1800, epochs=10)
    # 4 pairs for a quarter of the epochs, 2 for half, 1 for all of them: three times the last round.
    assert some.candidates == 8 and some.seconds <= 1800 < some.seconds + 3 * 60 + 60
    scarce = budget.schedule([600] * 8, budget=60, epochs=10)
    assert (scarce.candidates, scarce.epochs) == (2, budget.LEAST_EPOCHS) and scarce.seconds > 60
    assert budget.schedule([5], budget=60, epochs=10).candidates == 1
    # Of unequal candidates any may be left: 4 s + 1 s at first, then 4 s each time, and two at once as long as one.
    unequal = budget.schedule([4, 1, 1, 1], budget=None, epochs=4)
    assert unequal.rounds == [(4, 1), (2, 2), (2, 4)] and unequal.seconds == (4 + 1) + 4 * 2 + 4 * 4
    assert search.of_budget(scarce, 60) == ", over the 60 s that were given; no fewer are tried"
    assert search.of_budget(some, 1800) == " of the 30 min that were given" and search.of_budget(some, None) == ""


def test_the_limit_is_kept_and_the_model_ships(tiny_folder, small):
    said = []
    first: list[str] = []
    whole = compress(tiny_folder, "sample/swa", max_drop=100, say=first.append, **FAST).whole
    (planned,) = [place for place, line in enumerate(first) if line.startswith("planned: ")]
    told = (
        r"first the whole model is made to label, about \d+ (s|min) before the \d+ (s|min) of the candidates, .*budget"
    )
    assert re.fullmatch(told, first[planned + 1])
    limit = 0.9 * whole.size
    found = compress(tiny_folder, "sample/swa", max_bytes=limit, say=said.append, **FAST)
    place = found.ship(small / "model")
    assert folder_bytes(place) == found.measured.size == results.read(found.chosen)["cost"]["shipped_bytes"] <= limit
    assert found.missed == () and found.front["megabytes"].max() <= limit / 1e6
    dev, test = (found.without.set_index("split")["score"][split] for split in ("dev", "test"))
    assert [line for line in said if line == f"without an encoder (crf): {dev:.1f} on dev"]
    assert f"{test:.1f} on test" in found.notes()[3]
    assert found.notes()[3].endswith("look at it first.") == (dev > found.scores["dev"])
    assert (place / "README.md").read_text(encoding="utf-8").count("Tried: ") == len(found.front)
    assert tag(open_shipped(place), ["Amina anaishi Lagos."])[0].words == 4
    best = found.front[found.front["epochs"] == 2].sort_values("score").iloc[-1]
    assert best["score"] == pytest.approx(found.scores["dev"])
    chosen, dense = (results.read(recipe)["cost"]["training_seconds"] for recipe in (found.chosen, found.dense))
    assert best["training_seconds"] == pytest.approx(chosen - dense) and dense > 0, "the teacher is trained once"
    assert sum(line.startswith("first the whole model is made to label") for line in said) == 0

    # The same question again: all is found, nothing is measured or trained.
    def written() -> dict:
        return {path: path.stat().st_mtime_ns for path in (small / "out puts").rglob("*.json")}

    before = written()
    assert compress(tiny_folder, "sample/swa", max_bytes=limit, **FAST).chosen == found.chosen
    assert written() == before and len(before) > 4


def test_the_limit_of_time_is_from_text_to_labels(tiny_folder, small, monkeypatch):
    """Every network takes 1 ms; around it the whole model takes 9 ms more, and one of a single layer 2."""

    def measured(scales, model):
        around = {1: 2.0}.get(encoders.shape(model)["layers"], 9.0)
        return Measured(1e6 * encoders.shape(model)["layers"], 1.0, 1.0 + around)

    monkeypatch.setattr(Scales, "_measure", measured)
    found = compress(tiny_folder, "sample/swa", max_latency=5, **FAST)
    assert set(found.front["shape"].str.partition(" layer")[0]) == {"1"} and found.missed == ()
    assert set(found.front["end_to_end_milliseconds"]) == {3.0} and set(found.front["milliseconds"]) == {1.0}
    both = "text to labels: {:.2f} ms for a sentence, of which the network 1.00 ms"
    card = (found.ship(small / "model") / "README.md").read_text(encoding="utf-8")
    assert both.format(3) in card and both.format(10) in card
    # After the training both were timed for real, and the card says which is which.
    assert "of the bytes ship. These times are of before the training" in card
    with pytest.raises(SmallerError) as raised:
        compress(tiny_folder, "sample/swa", max_latency=2, **FAST)
    assert f"({Target(max_latency=2)})" in str(raised.value) and both.format(3) in str(raised.value)


def test_the_teachers_time_is_told_by_its_own_updates(tiny_folder, small, monkeypatch):
    """A second of the processor's time for each sentence that any model is taught on."""
    taught = []
    monkeypatch.setattr(budget, "train", lambda model, batches, loss, **_: taught.append(sum(1 for _ in batches)))
    monkeypatch.setattr(budget.time, "process_time", iter([0.0, 16.0]).__next__)
    plan, _ = planning.plan_of(tiny_folder, "sample/swa", **PLAN)
    assert budget.teachers_seconds(Scales(plan, say=lambda line: None)) == 32 * TUNING["epochs"] and taught == [1]


def test_what_is_missed_is_over_a_limit():
    target = Target(max_bytes=2e6, max_latency=5, max_drop=1)
    assert target.missed(size=2e6, milliseconds=5, lost=1) == ()
    assert target.missed(size=3e6, milliseconds=5.5, lost=2) == (
        "3.00 MB",
        "5.50 ms from text to labels",
        "2.0 points lost on dev",
    )
    assert Target(max_drop=0).missed(size=9e9, milliseconds=9e9) == ()


def test_what_an_earlier_version_measured_without_text_is_measured_again(tiny_folder, small):
    plan, _ = planning.plan_of(tiny_folder, "sample/swa", **PLAN)
    scales = Scales(plan, say=lambda line: None)
    whole, first = scales.of(None), scales.of(plan.whole)
    known = json.loads(scales.file.read_bytes())
    del known["whole, fp32"]["end_to_end"]
    older = known[str(plan.whole)]
    del older["noise"], older["load"]  # which later ones keep, and these are read without
    scales.file.write_text(json.dumps(known))
    said: list[str] = []
    again = Scales(plan, say=said.append)
    assert again.of(plan.whole) == dataclasses.replace(first, noise=0.0, load=0.0) and not said
    assert again.of(None).size == whole.size and again.of(None).end_to_end > 0 and len(said) == 1


def test_noise_and_load_are_kept_beside_times(tiny_folder, small, monkeypatch):
    """What is measured on a restless machine is measured twice; where that does not help, its line says so."""
    rounds = iter([(10, 15), (11, 12), (10, 20), (12, 15), (10, 11)])

    def latency(models, *_, **__):
        low, high = next(rounds)
        return {
            "": {"milliseconds": 1.0}
            | {f"end_to_end_{of}": ms for of, ms in (("low", low), ("high", high))}
            | {"end_to_end_milliseconds": low}
        }

    monkeypatch.setattr("smaller.deploy.measuring.cost.latency", latency)
    monkeypatch.setattr("smaller.deploy.measuring.psutil.getloadavg", lambda: (4.0, 0, 0))
    monkeypatch.setattr("smaller.deploy.measuring.psutil.cpu_count", lambda logical=True: 4)
    plan, _ = planning.plan_of(tiny_folder, "sample/swa", **PLAN)
    scales = Scales(plan, say=lambda line: None)
    again, never, calm = scales.of(None), scales.of(plan.whole), scales.of(Shape(1, 24, 48, 1.0))
    assert (again.end_to_end, never.end_to_end, calm.end_to_end) == (11, 12, 10)
    assert str(never).endswith("(its time is uncertain: rounds 25 % apart, 1.0 processes for each core)")
    assert "uncertain" not in f"{again} {calm}" and "1.6 processes" in str(dataclasses.replace(calm, load=1.6))
    kept = json.loads(scales.file.read_bytes())["whole, fp32"]
    assert (kept["noise"], kept["load"]) == (pytest.approx(1 / 11), 1.0)


def test_with_a_limit_on_the_loss_alone_the_smallest_is_taken(tiny_folder, small):
    found = compress(tiny_folder, "sample/swa", max_drop=100, **FAST)
    last = found.front[found.front["epochs"] == 2]
    assert found.measured.size / 1e6 == pytest.approx(last["megabytes"].min())


def test_a_limit_that_nothing_meets_is_said_before_training(tiny_folder, small):
    with pytest.raises(
        SmallerError, match=r"No model .*\(at most 0.001 MB\).*smallest is 1 layer, 8 wide, 8 neurons.*Nothing was"
    ):
        compress(tiny_folder, "sample/swa", max_bytes=1000, **FAST)
    assert results.read_all() == []


def test_a_loss_limit_that_is_missed_is_shipped_and_said(tiny_folder, small, capsys, monkeypatch):
    def lost(recipe, plan, split):
        return 90.0 if recipe == plan.dense else 10.0

    monkeypatch.setattr(search, "_score", lost)
    options = ["--max-drop", "1", "--max-bytes", "1GB", "--epochs", "1", "--form", "fp16"]
    assert main(["compress", tiny_folder, "sample/swa", str(small / "model"), *options]) == 1
    assert "Not met: 80.0 points lost on dev" in capsys.readouterr().out
    assert (small / "model" / "model.safetensors").is_file()


def test_a_fine_tuned_folder_is_taken_as_it_is(tiny_folder, small):
    tuning = FineTune("sample", "swa", epochs=1, learning_rate=1e-3)
    tagger, _ = tuning.apply(encoders.open_folder(tiny_folder))
    encoders.save(tagger, small / "tagger")
    found = compress(str(small / "tagger"), "sample/swa", max_bytes=1e9, **FAST)
    assert found.dense == Recipe(str(small / "tagger")) == start(str(small / "tagger"))
    assert found.scores["dense dev"] == results.read(found.dense)["scores"]["sample/swa/dev"]["f1"]
    assert not any(isinstance(step, FineTune) for step in found.chosen.steps)


def test_labels_of_another_task_are_refused(tiny, small):
    tagger = encoders.with_classifier(tiny, ("O", "B-DISEASE", "I-DISEASE"), seed=0)
    encoders.save(tagger, small / "tagger")
    with pytest.raises(SmallerError, match=r"has the labels O, B-DISEASE, I-DISEASE, and B-DATE, .* occur in the data"):
        compress(str(small / "tagger"), "sample/swa", max_bytes=1e6, **FAST)


@pytest.mark.parametrize("budget", [0, -60, float("nan")])
def test_a_budget_of_no_time_is_refused(budget):
    with pytest.raises(SmallerError, match="budget is a time above zero"):
        compress("nothing is looked at", "before", max_bytes=1e6, budget=budget)


def test_names_that_are_nearly_right_get_a_suggestion(tiny_folder, small):
    with pytest.raises(SmallerError, match="Did you mean 'masakhaner'"):
        compress(tiny_folder, "masakhanre/swa", max_bytes=1e6)
    with pytest.raises(SmallerError, match="Which language of sample-topics.*name one, as sample-topics/"):
        compress(tiny_folder, "sample-topics", max_bytes=1e6)
    with pytest.raises(SmallerError, match="no file and no folder"):
        compress(tiny_folder, "./nowhere", max_bytes=1e6)


def of_another_architecture(folder):
    """A tagger of DistilBERT's kind from elsewhere."""
    tokenizer = sample.tokenizer()
    labels = dict(enumerate(splits.labels("sample")))
    config = DistilBertConfig(dim=24, hidden_dim=48, n_layers=1, n_heads=2, vocab_size=len(tokenizer), id2label=labels)
    DistilBertForTokenClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def test_a_drawn_student_is_as_large_before_it_is_taught_as_after(small):
    """A graph merges equal tensors, and drawn weights begin with equal biases and norms."""
    of_another_architecture(small / "tagger")
    plan, _ = planning.plan_of(str(small / "tagger"), "sample/swa", **PLAN | {"form": "onnx-int8"})
    scales = Scales(plan, say=lambda line: None)
    shape = next(shape for shape in plan.shapes() if (shape.layers, shape.hidden, shape.feed_forward) == (4, 36, 72))
    student, _ = plan.student(shape, epochs=1).apply(materialise(plan.start)[0])
    taught = shipped_bytes(formats.convert(student, "onnx-int8"))
    assert scales.of(shape).size == pytest.approx(taught, abs=200)


def test_what_was_made_larger_than_measured_is_said(tiny_folder, small, monkeypatch):
    monkeypatch.setattr(Scales, "_measure", lambda scales, model: Measured(1000.0, 1.0, 2.0))
    found = compress(tiny_folder, "sample/swa", max_bytes=2000, **FAST)
    assert found.measured.size == results.read(found.chosen)["cost"]["shipped_bytes"] > 2000
    assert found.missed == (f"{found.measured.size / 1e6:.2f} MB",)


def test_a_model_of_another_architecture_teaches_students_that_are_drawn(small):
    """Nothing of it is cut, and what ships is of XLM-R's kind."""
    of_another_architecture(small / "tagger")
    said = []
    tuning = FAST | {"form": "fp16", "epochs": 1}
    found = compress(str(small / "tagger"), "sample/swa", max_bytes=400_000, say=said.append, **tuning)
    assert any("a distilbert" in line and "begin with random weights" in line for line in said)
    assert set(found.front["way"]) == {"distilled"} and found.missed == ()
    place = found.ship(small / "model")
    assert folder_bytes(place) == found.measured.size <= 400_000
    assert json.loads((place / "config.json").read_bytes())["model_type"] == "xlm-roberta"
    assert tag(open_shipped(place), ["Amina anaishi Lagos."])[0].words == 4
