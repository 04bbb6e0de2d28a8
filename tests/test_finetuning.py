"""Fine-tuning: what it learns, what it keeps of the model that comes in, and what it refuses."""

import json
from dataclasses import replace

import pytest
import torch

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import sample, splits
from smaller.data.encoding import encode
from smaller.study.evaluation import score
from smaller.study.steps import FineTune, Prune
from smaller.study.steps.finetuning import labelled_batches, trimmed_where_exact
from smaller.study.training import token_loss, train

SHORT = FineTune("sample", "swa", epochs=2, batch_size=50, learning_rate=5e-3)
PIECES = "embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def tuned(tiny):
    return SHORT.apply(tiny)


def test_a_few_updates_reduce_the_loss(tuned, tiny):
    model, report = tuned
    assert report["updates"] == 2 * sample.SIZES["train"] // 50
    assert report["sentences"] == sample.SIZES["train"] and report["truncated_words"] == 0
    assert report["loss_last"] < 0.8 * report["loss_first"]
    untrained = encoders.with_classifier(tiny, model.labels, seed=SHORT.seed)
    dev = sample.sentences("swa", "dev")
    assert score(model, dev)["loss"] < 0.8 * score(untrained, dev)["loss"]


def test_labels_are_those_of_the_data_set(tuned, tiny):
    model, report = tuned
    assert model.labels == ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-DATE", "I-DATE")
    assert report["parameters_before"] == encoders.parameter_count(tiny.network)
    assert report["parameters_after"] == encoders.parameter_count(model.network)


def test_the_model_that_comes_in_and_the_global_random_state_are_left_unchanged(tiny):
    before = {name: value.clone() for name, value in tiny.network.state_dict().items()}
    state = torch.get_rng_state()
    replace(SHORT, epochs=1, batch_size=250).apply(tiny)
    assert all(torch.equal(value, before[name]) for name, value in tiny.network.state_dict().items())
    assert tiny.labels == () and torch.equal(torch.get_rng_state(), state)


def test_the_seed_decides_the_model(tiny):
    def weights(seed):
        model, _ = replace(SHORT, epochs=1, batch_size=250, seed=seed).apply(tiny)
        return torch.cat([value.detach().flatten().cpu() for value in model.network.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_weight_decay_trains_the_whole_vocabulary(tiny, tuned):
    """Without it, pieces that do not occur keep their vectors; with it, every row shrinks."""
    decayed, _ = replace(SHORT, epochs=1, batch_size=250, weight_decay=0.1).apply(tiny)
    rows = tiny.tokenizer([list(s.words) for s in sample.sentences("swa", "train")], is_split_into_words=True)
    used = {piece for row in rows["input_ids"] for piece in row}
    unused = [piece for piece in range(sample.VOCABULARY) if piece not in used]
    before, kept, shrunk = (
        model.backbone.get_parameter(PIECES).detach().cpu()[unused] for model in (tiny, tuned[0], decayed)
    )
    assert len(unused) > 100 and torch.equal(kept, before)
    assert shrunk.abs().sum() < before.abs().sum()


@pytest.mark.parametrize("include", ["linear", "linear+embeddings"])
def test_masks_of_pruning_before_survive_fine_tuning_saving_and_loading(tiny, tmp_path, include):
    pruned, before = Prune(0.6, include=include).apply(tiny)
    model, _ = replace(SHORT, epochs=1).apply(pruned)
    encoders.save(model, tmp_path / "model")
    opened = encoders.open_folder(tmp_path / "model")
    for name, mask in pruned.masks.items():
        for found in (model, opened):
            assert torch.equal(found.masks[name], mask)
            assert not found.backbone.get_parameter(name).detach().cpu()[~mask].any(), name
    weight = opened.backbone.get_parameter("encoder.layer.0.output.dense.weight")
    assert not torch.equal(weight, pruned.backbone.get_parameter("encoder.layer.0.output.dense.weight"))
    again, _ = replace(SHORT, epochs=1, batch_size=250).apply(opened)
    assert again.masks.keys() == opened.masks.keys()
    assert all(not parameter.detach().cpu()[~mask].any() for parameter, mask in again.masked_parameters())
    total = sum(int((~mask).sum()) for mask in again.masks.values())
    assert total / before["prunable_parameters"] == before["achieved_sparsity"] == pytest.approx(0.6, abs=1e-4)


def test_pruning_after_keeps_the_head(tuned):
    pruned, report = Prune(0.9).apply(tuned[0])
    assert pruned.labels == tuned[0].labels and report["achieved_sparsity"] == pytest.approx(0.9, abs=1e-3)
    assert torch.equal(pruned.network.classifier.weight, tuned[0].network.classifier.weight)
    assert score(pruned, sample.sentences("swa", "dev"))["loss"] > 0


def test_warm_up_is_a_share_of_the_updates(tiny):
    step = replace(SHORT, warm_up=0.1)
    labels = splits.labels("sample")
    tagger = encoders.with_classifier(tiny, labels, seed=1)
    encoded = encode(sample.sentences("swa", "train"), tiny.tokenizer, labels)
    updates = 2 * len(encoded) // 50
    with trimmed_where_exact(tagger, torch.cat([*encoded.pieces, torch.tensor([1])]), weight_decay=0.0) as ids:
        batches = labelled_batches(encoded, epochs=2, size=50, padding=1, seed=1, ids=ids)
        options = dict(updates=updates, learning_rate=5e-3, seed=1, warm_up=round(0.1 * updates))
        expected = train(tagger, batches, token_loss, **options)
    model, report = step.apply(tiny)
    assert report["loss_curve"] == expected.as_record()["loss_curve"] and report["updates"] == updates
    assert torch.equal(model.network.classifier.weight, tagger.network.classifier.weight)


def test_the_defaults_are_afriberta_s_recipe():
    assert FineTune("masakhaner", "swa").canonical() == {
        "step": "FineTune",
        "dataset": "masakhaner",
        "language": "swa",
        "seed": 1,
        "epochs": 50,
        "learning_rate": 5e-5,
        "batch_size": 16,
        "max_length": 164,
        "warm_up": 0.0,
        "weight_decay": 0.0,
    }


def test_whole_numbers_for_shares_are_the_same_step():
    whole, shares = (replace(SHORT, warm_up=zero, weight_decay=zero) for zero in (0, 0.0))
    assert json.dumps(whole.canonical()) == json.dumps(shares.canonical())


def test_inputs_are_the_checksum_of_the_data():
    assert SHORT.inputs() == {"sample/swa": splits.fingerprint("sample", "swa")}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "sampel"}, r"no data set 'sampel'.*Did you mean 'sample'\?"),
        ({"language": "swq"}, r"no language 'swq'.*Did you mean 'swa'\?"),
        ({"dataset": "masakhaner", "language": "swahili"}, r"Did you mean 'swa' \(Swahili\)\?"),
        ({"dataset": "masakhaner", "language": "fon"}, "has no Fon"),
        ({"dataset": "corpus"}, "has no labels to train on"),
        ({"epochs": 0}, "epochs is a whole number above zero; it is 0"),
        ({"epochs": "50"}, "epochs is a whole number above zero; it is '50'"),
        ({"batch_size": 16.0}, "batch_size is a whole number"),
        ({"max_length": True}, "max_length is a whole number"),
        ({"seed": -1}, "seed is a whole number"),
        ({"learning_rate": 0}, "learning_rate is a number between 0 and 1"),
        ({"learning_rate": "5e-5"}, "learning_rate is a number between 0 and 1; it is '5e-5'"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"warm_up": 1.0}, "warm_up is a share"),
        ({"weight_decay": -0.1}, "weight_decay"),
    ],
)
def test_bad_values_are_errors_before_anything_runs(options, message):
    with pytest.raises(SmallerError, match=message):
        FineTune(**{"dataset": "sample", "language": "swa"} | options)
