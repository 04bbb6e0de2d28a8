"""Distillation: students that learn to imitate on text and on a task, and what the step says and refuses."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from killed import killed_at

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import sample, splits
from smaller.data.encoding import IGNORED, Batch, batch_of, encode
from smaller.data.examples import Sentence
from smaller.encoders import Model
from smaller.study.steps import Cut, Distil, FineTune, Pretrain, Prune, step_from_canonical
from smaller.study.steps.imitation import Imitation, first_tokens, teacher_logits
from smaller.study.steps.pretraining import masked_batches

CORPUS = Distil(layers=2, languages=("swa", "yor"), lines=200, updates=24, batch_size=8, learning_rate=5e-3)
TASK = Distil(layers=2, on="task", dataset="sample", language="swa", epochs=2, batch_size=10, learning_rate=5e-3)
ALL = {"logits_weight": 0.4, "labels_weight": 0.3, "hidden_weight": 0.2, "attention_weight": 0.1}


@pytest.fixture(scope="module", autouse=True)
def small_sample(sample_of):
    """A tenth of the sample's sentences: enough to learn something from, in little time."""
    with sample_of(train=300, dev=24, test=24):
        yield


@pytest.fixture(scope="module")
def teacher(tiny):
    """A masked-language model of four layers that has learned a little."""
    shape = encoders.Encoder("deep", layers=4, heads=2, hidden=24, feed_forward=48)
    network = encoders.build(encoders.configuration(shape, vocabulary=len(tiny.tokenizer)), seed=4)
    return Pretrain(languages=("swa", "yor"), updates=30, learning_rate=1e-2).apply(Model(network, tiny.tokenizer))[0]


@pytest.fixture(scope="module")
def tagger(teacher):
    return FineTune("sample", "swa", epochs=4, batch_size=10, learning_rate=5e-3).apply(teacher)[0]


@pytest.fixture(scope="module")
def encoded(tagger):
    return encode(sample.sentences("swa", "dev")[:24], tagger.tokenizer, tagger.labels)


def weights(model: Model) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.network.state_dict().items()}


def same(one: Model, other: Model) -> bool:
    expected = weights(other)
    return all(torch.equal(value, expected[name]) for name, value in weights(one).items())


def imitation_on(teacher: Model, *, rows=None) -> Imitation:
    """The objective of a student of two layers on the corpus, or on the task where there are encoded sentences."""
    places = (lambda batch: batch.labels != IGNORED) if rows is None else (lambda batch: first_tokens(rows, batch.rows))
    kinds = {"logits": "kl", "hidden": "mse"}
    weights = {name.removesuffix("_weight"): weight for name, weight in ALL.items()}
    return Imitation(teacher.network.eval(), weights, kinds, 2.0, (0, 3), 2, places)


def masked_batch(model: Model) -> Batch:
    rows = [torch.tensor(row) for row in model.tokenizer(sample.text("swa")[:64])["input_ids"]]
    return next(masked_batches(rows, model.tokenizer, updates=1, size=64, rate=0.3, seed=3))


# The step


@pytest.fixture(scope="module")
def on_corpus(teacher):
    return dataclasses.replace(CORPUS, start="random", **ALL).apply(teacher)


@pytest.fixture(scope="module")
def on_task(tagger):
    return dataclasses.replace(TASK, start="random", **ALL).apply(tagger)


def test_a_student_on_the_corpus_comes_to_fit_its_teacher(teacher, on_corpus):
    student, report = on_corpus
    start = Cut(2, start="random", seed=1).apply(teacher)[0]
    batch = masked_batch(teacher)
    objective = imitation_on(teacher)
    with torch.no_grad():
        before, after = (objective(model.network, batch, batch) for model in (start, student))
    assert (after[:2] < 0.9 * before[:2]).all() and after.sum() < before.sum()
    assert report["updates"] == 24 and report["lines"] == 2 * 200
    assert student.labels == () and student.network.config.num_hidden_layers == 2


def test_a_student_of_the_task_comes_to_fit_its_teacher(tagger, on_task, encoded):
    student, report = on_task
    start = Cut(2, start="random", seed=1).apply(tagger)[0]
    batch = batch_of(encoded, range(24), padding=1)
    objective = imitation_on(tagger, rows=encoded)
    with torch.no_grad():
        before, after = (objective(model.network, batch, batch) for model in (start, student))
    assert (after[:2] < 0.9 * before[:2]).all() and after.sum() < before.sum()
    assert report["updates"] == 2 * sample.SIZES["train"] // 10
    assert report["sentences"] == sample.SIZES["train"] and report["transfer_sentences"] == 0
    assert student.labels == tagger.labels and student.network.config.num_hidden_layers == 2


def test_the_report_names_the_losses_the_layers_and_the_sizes(teacher, on_corpus, on_task):
    for student, report in (on_corpus, on_task):
        assert list(report["losses"]) == ["logits", "labels", "hidden", "attention"]
        assert report["layer_map"] == [0, 3] and report["unknown_rate"] == 0.0
        assert report["parameters_after"] == encoders.parameter_count(student.network) < report["parameters_before"]
        first = sum(weight * report["losses"][name.removesuffix("_weight")]["first"] for name, weight in ALL.items())
        assert first == pytest.approx(report["loss_first"], abs=2e-4)
        assert report["losses"]["logits"]["last"] < report["losses"]["logits"]["first"]
    _, alone = dataclasses.replace(CORPUS, updates=2, logits_weight=0.0).apply(teacher)
    assert list(alone["losses"]) == ["labels"] and alone["losses"]["labels"]["first"] > 1


@pytest.mark.parametrize("on", ["corpus", "task"])
def test_the_step_repeats_itself_and_leaves_the_teacher_and_the_random_states_alone(teacher, tagger, on):
    model = teacher if on == "corpus" else tagger
    step = dataclasses.replace(CORPUS, updates=4) if on == "corpus" else dataclasses.replace(TASK, epochs=1)
    before, state = weights(model), (torch.get_rng_state(), np.random.get_state()[1].copy())
    one, again, other = (dataclasses.replace(step, seed=seed).apply(model)[0] for seed in (1, 1, 2))
    assert same(one, again) and not same(one, other)
    assert all(torch.equal(value, before[name]) for name, value in weights(model).items())
    assert torch.equal(torch.get_rng_state(), state[0]) and np.array_equal(np.random.get_state()[1], state[1])
    assert not model.network.training


def test_losses_on_logits_alone_run_the_teacher_once(tagger, few_sentences):
    calls = []
    with tagger.network.base_model.register_forward_hook(lambda *_: calls.append(1)):
        dataclasses.replace(TASK, epochs=1).apply(tagger)
        once = len(calls)
        dataclasses.replace(TASK, epochs=3).apply(tagger)
        assert len(calls) == 2 * once > 0
        updates = sample.SIZES["train"] // 8
        dataclasses.replace(TASK, epochs=1, batch_size=8, hidden_weight=0.5).apply(tagger)
        assert len(calls) == 2 * once + updates


def test_transfer_text_teaches_by_the_teacher_s_logits_alone(tagger, few_sentences):
    """Labels count on labelled words only, so with the labels' loss alone transfer text adds nothing but updates."""
    step = dataclasses.replace(TASK, transfer_corpus="sample", transfer_lines=40)
    student, report = step.apply(tagger)
    assert report["sentences"] == 32 and report["transfer_sentences"] == 40
    assert report["updates"] == 2 * -(-72 // 10) and report["losses"].keys() == {"logits", "labels"}
    assert not same(student, TASK.apply(tagger)[0])
    lines = splits.text("sample", "swa")
    spread = [lines[index * len(lines) // 40] for index in range(40)]
    unlabelled = [Sentence(words, ("",) * len(words)) for words in (tuple(line.split()) for line in spread)]
    extra = encode(unlabelled, tagger.tokenizer, tagger.labels)
    assert all((labels == IGNORED).all() for labels in extra.labels)
    assert sum(map(len, teacher_logits(tagger, extra))) == sum(len(sentence.words) for sentence in unlabelled)
    pieces = encode(sample.sentences("swa", "train"), tagger.tokenizer, tagger.labels).lengths.sum()
    assert report["pieces"] == 2 * (pieces + extra.lengths.sum())


def test_joint_languages_have_transfer_text_in_each(tagger, few_sentences):
    step = dataclasses.replace(TASK, language="swa+yor", transfer_corpus="sample", transfer_lines=10)
    _, report = step.apply(tagger)
    assert (report["sentences"], report["transfer_sentences"]) == (64, 20)
    assert step.inputs().keys() == {"sample/swa+yor", "sample/swa/text", "sample/yor/text"}


def test_a_limit_on_the_lines_is_for_each_language(teacher):
    for lines, expected in ((30, 60), (0, 2 * sample.TEXT_LINES)):
        _, report = dataclasses.replace(CORPUS, updates=1, lines=lines).apply(teacher)
        assert report["lines"] == expected


@pytest.mark.parametrize("include", ["linear", "linear+embeddings"])
def test_masks_of_the_teacher_are_held_in_the_student(teacher, tagger, include):
    for model, step in ((teacher, dataclasses.replace(CORPUS, updates=3)), (tagger, TASK)):
        pruned, _ = Prune(0.5, include=include).apply(model)
        student, _ = step.apply(pruned)
        assert student.masks.keys() == Cut(2).apply(pruned)[0].masks.keys()
        assert all(not parameter.detach().cpu()[~mask].any() for parameter, mask in student.masked_parameters())


def test_a_random_start_and_other_heads(tagger):
    student, report = dataclasses.replace(TASK, start="random", heads=3, attention_weight=0.2).apply(tagger)
    assert student.network.config.num_attention_heads == 3
    assert report["losses"]["labels"]["last"] < 0.8 * report["losses"]["labels"]["first"]


def test_a_student_is_saved_and_loaded_like_any_other_model(on_corpus, on_task, tmp_path):
    for place, (student, _) in enumerate((on_corpus, on_task)):
        encoders.save(student, tmp_path / str(place))
        opened = encoders.open_folder(tmp_path / str(place))
        assert same(opened, student) and opened.labels == student.labels
    table = on_corpus[0].network.get_input_embeddings().weight
    assert on_corpus[0].network.get_output_embeddings().weight is table


@pytest.mark.parametrize("on", ["corpus", "task"])
def test_a_distillation_that_is_killed_goes_on_bit_for_bit(teacher, tagger, tmp_path, on):
    model = teacher if on == "corpus" else tagger
    step = CORPUS if on == "corpus" else dataclasses.replace(TASK, transfer_corpus="sample", transfer_lines=40)
    step = dataclasses.replace(step, **ALL if on == "corpus" else {})
    undisturbed, expected = step.apply(model)
    last = expected["updates"] - 1
    said = []
    for stop in (last // 2, last):
        with killed_at(stop):
            step.apply(model, scratch=tmp_path, say=said.append)
    student, report = step.apply(model, scratch=tmp_path, say=said.append)
    assert sum("going on after update" in line for line in said) == 2
    assert same(student, undisturbed)
    for name in ("loss_curve", "losses", "pieces", "updates"):
        assert report[name] == expected[name]
    assert not list(tmp_path.iterdir())


# The declaration


def test_design_s_spelling_stands_for_pretraining_s_and_fine_tuning_s_defaults():
    step = Distil(layers=4, heads=6, on="corpus", temperature=2)
    pretraining = Pretrain()
    for field in ("corpus", "languages", "updates", "batch_size", "learning_rate", "max_length", "rate"):
        assert getattr(step, field) == getattr(pretraining, field)
    task = Distil(layers=4, heads=6, on="task", temperature=2, dataset="masakhaner", language="swa")
    tuning = FineTune("masakhaner", "swa")
    for field in ("epochs", "batch_size", "learning_rate", "max_length", "warm_up", "seed"):
        assert getattr(task, field) == getattr(tuning, field)
    assert (step.dataset, step.epochs, task.corpus, task.updates) == (None,) * 4


def test_the_two_constructors_name_what_has_a_meaning():
    text = Distil.on_text("sample", ["swa", "yor"], layers=4, mask_rate=0.2, lines=9, updates=7, batch_size=3, seed=2)
    fields = dict(corpus="sample", languages=("swa", "yor"), rate=0.2, lines=9, updates=7, batch_size=3, seed=2)
    assert text == Distil(4, **fields) and text.canonical() == Distil(4, **fields).canonical()
    task = Distil.on_task("sample", "swa", layers=4, epochs=3, heads=3, start="random", hidden_size=12)
    assert task == Distil(4, 3, "task", start="random", dataset="sample", language="swa", epochs=3, hidden_size=12)
    beside = Distil.on_task("sample", "sw", layers=4, warm_up=0.1, unlabelled=("sample", 50), logits="mse")
    fields = dict(dataset="sample", language="swa", warm_up=0.1, transfer_corpus="sample", transfer_lines=50)
    assert beside == Distil(4, on="task", logits="mse", **fields)
    assert Distil.on_text("sample", Pretrain.languages, layers=4) == Distil(4)
    for wrong in (
        lambda: Distil.on_text("sample", ["swa"], layers=4, epochs=3),
        lambda: Distil.on_task("sample", "swa", layers=4, updates=3),
    ):
        with pytest.raises(SmallerError, match="it belongs to on="):
            wrong()


def test_equal_steps_have_equal_forms():
    assert Distil(4).canonical() == Distil(4, temperature=2, logits_weight=0.5, learning_rate=3e-3).canonical()
    assert Distil(4, logits_weight=1, labels_weight=0) == Distil(4, logits_weight=1.0, labels_weight=0.0)
    for step in (CORPUS, TASK, Distil(2, layer_map=(0, 3)), dataclasses.replace(TASK, warm_up=0)):
        form = step.canonical()
        as_json = {key: list(value) if isinstance(value, tuple) else value for key, value in form.items()}
        assert step_from_canonical(as_json) == step and hash(step_from_canonical(as_json)) == hash(step)


def test_what_the_step_says_of_itself():
    assert CORPUS.label == "Distil(2 layers, sample/swa+yor, T 2, seed 1)" and Distil.trains
    assert CORPUS.columns() == {"on": "corpus", "temperature": 2.0, "start": "teacher", "layer_map": "stride"}
    assert math.isnan(dataclasses.replace(TASK, logits="mse").columns()["temperature"])
    assert CORPUS.inputs() == {
        f"sample/{code}/text": splits.text_fingerprint("sample", code) for code in ("swa", "yor")
    }
    transfer = dataclasses.replace(TASK, transfer_corpus="sample", transfer_lines=9, hidden_weight=0.1, start="random")
    assert transfer.label == "Distil(2 layers, random start, sample/swa + 9 lines, T 2, hidden 0.1, seed 1)"
    assert TASK.inputs() == {"sample/swa": splits.fingerprint("sample", "swa")}
    assert transfer.inputs().keys() == {"sample/swa", "sample/swa/text"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "Distil's temperature is a number above zero; it is 0"),
        ({"temperature": -2}, "temperature is a number above zero"),
        ({"temperature": float("nan")}, "temperature is a number above zero"),
        ({"temperature": "2"}, "temperature is a number above zero; it is '2'"),
        ({"logits_weight": -0.5}, "logits_weight is a number of at least 0; it is -0.5"),
        ({"logits_weight": 0, "labels_weight": 0}, "All weights of Distil's losses are zero"),
        ({"logits": "mse", "temperature": 3}, 'temperature is used only by the logits\' "kl"; leave it at 2.0'),
        ({"logits_weight": 0, "logits": "mse"}, "logits is used only with a logits_weight above 0; leave it at 'kl'"),
        ({"hidden": "mse"}, "hidden is used only with a hidden_weight above 0; leave it at 'cosine'"),
        ({"logits": "kld"}, r"logits is one of kl, mse; it is 'kld'.*Did you mean 'kl'\?"),
        ({"hidden": "cos"}, r"Did you mean 'cosine'\?"),
        ({"on": "tasks"}, r"on is one of corpus, task; it is 'tasks'.*Did you mean 'task'\?"),
        ({"start": "nothing"}, "Distil's start is one of teacher, random"),
        ({"layers": 0}, "Distil's layers is a whole number above zero"),
        ({"heads": -1}, "Distil's heads is a whole number above zero"),
        ({"layer_map": (3, 0)}, "Distil's layer_map names 2 layers, each once and in rising order"),
        ({"dataset": "sample"}, r"Distil\(on='corpus'\) takes no dataset: it belongs to on='task'"),
        ({"epochs": 4}, "takes no epochs"),
        ({"languages": ("swa", "yro")}, r"no language 'yro'.*Did you mean 'yor'\?"),
        ({"languages": ()}, "Distil's languages is a list of at least one language"),
        ({"updates": 0}, "updates is a whole number above zero"),
        ({"rate": 1}, "rate is a number between 0 and 1"),
        ({"lines": -1}, "lines is a whole number of at least zero; it is -1"),
        ({"learning_rate": 2}, "learning_rate is a number between 0 and 1"),
        ({"seed": "one"}, "seed is a whole number"),
    ],
)
def test_bad_values_are_errors_before_anything_runs(options, message):
    with pytest.raises(SmallerError, match=message):
        Distil(**{"layers": 2} | options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": None}, r"Distil\(on='task'\) needs a value for dataset"),
        ({"language": None}, r"Distil\(on='task'\) needs a value for language"),
        ({"dataset": "sampel"}, r"Did you mean 'sample'\?"),
        ({"dataset": "corpus"}, "has no labels to train on"),
        ({"updates": 100}, r"Distil\(on='task'\) takes no updates: it belongs to on='corpus'"),
        ({"rate": 0.2}, "takes no rate"),
        ({"epochs": 0}, "epochs is a whole number above zero"),
        ({"warm_up": 1.5}, "warm_up is a share of the updates"),
        ({"transfer_corpus": "sample"}, "both or neither; they are 'sample' and 0"),
        ({"transfer_lines": 10}, "both or neither; they are '' and 10"),
        ({"transfer_corpus": "sampl", "transfer_lines": 10}, r"Did you mean 'sample'\?"),
    ],
)
def test_bad_values_of_the_task_are_errors_before_anything_runs(options, message):
    with pytest.raises(SmallerError, match=message):
        Distil(**{"layers": 2, "on": "task", "dataset": "sample", "language": "swa"} | options)


def test_the_wrong_teacher_is_an_error(teacher, tagger):
    with pytest.raises(SmallerError, match="Distil needs a masked-language model, and a model with"):
        CORPUS.apply(tagger)
    with pytest.raises(SmallerError, match="Distil needs a model with a classifier, and a masked"):
        TASK.apply(teacher)
    other = encoders.with_classifier(teacher, ("O", "B-PER", "I-PER"), seed=1)
    with pytest.raises(SmallerError, match="The teacher's labels are O, B-PER, I-PER, and B-DATE, .* occur in sample/"):
        TASK.apply(other)


def test_a_shape_that_the_teacher_has_not_is_an_error(teacher):
    for step, message in (
        (dataclasses.replace(CORPUS, layers=6), "The model has 4 layers, so 6 cannot be kept"),
        (dataclasses.replace(CORPUS, heads=5), "5 heads do not divide the hidden size of 24"),
        (dataclasses.replace(CORPUS, layer_map=(2, 9)), "names layer 9, but the model's last layer is 3"),
    ):
        with pytest.raises(SmallerError, match=message):
            step.apply(teacher)
