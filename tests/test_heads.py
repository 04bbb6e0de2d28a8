"""Pruning of heads: gates against loops by hand, zeros under masks, the order, and what plain loaders read."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import AutoModelForMaskedLM, BertConfig

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import sample
from smaller.data.encoding import IGNORED
from smaller.encoders import Model
from smaller.encoders.device import device, placed
from smaller.study.steps import FineTune, Prune, PruneHeads, step_from_canonical
from smaller.study.steps.heads import gate_importance, live_heads, magnitudes, with_heads
from smaller.study.steps.importance import importance_batches

STEP = PruneHeads(2, corpus="sample", languages=("swa",), lines=20)
TOKENS = torch.tensor([[0, 15, 27, 400, 9, 2], [0, 33, 8, 2, 1, 1]])
MASK = TOKENS != 1


@pytest.fixture(scope="module", params=["xlm-roberta", "bert"])
def whole(tiny: Model, request: pytest.FixtureRequest) -> Model:
    """Four heads of six dimensions, with large weights, and biases that say something."""
    config = copy.deepcopy(tiny.network.config)
    if request.param == "bert":
        config = BertConfig(
            vocab_size=len(tiny.tokenizer), hidden_size=24, num_hidden_layers=2, intermediate_size=48, pad_token_id=1
        )
    config.update({"num_attention_heads": 4, "initializer_range": 0.3})
    model, generator = Model(encoders.build(config, seed=6), tiny.tokenizer), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in model.backbone.encoder.layer:
            for part in ("query", "key", "value"):
                getattr(layer.attention.self, part).bias.normal_(std=0.5, generator=generator)
    return model


@torch.no_grad()
def logits(network: nn.Module) -> torch.Tensor:
    return network(input_ids=TOKENS, attention_mask=MASK).logits[MASK]


def test_gate_importance_against_a_loop_by_hand(whole: Model) -> None:
    """The derivative by a gate is the sum of a head's output times its gradient; one sentence, one head at a time."""
    batches = list(importance_batches(STEP, whole))
    network = copy.deepcopy(whole.network)
    expected = torch.zeros(2, 4)
    for batch in batches:
        outputs = []
        handles = [
            layer.attention.output.dense.register_forward_pre_hook(
                lambda module, given, outputs=outputs: outputs.append(given[0]) or given[0].retain_grad()
            )
            for layer in network.base_model.encoder.layer
        ]
        output = network(input_ids=batch.pieces, attention_mask=batch.mask).logits
        counts = batch.labels != IGNORED
        functional.cross_entropy(output[counts], batch.labels[counts]).backward()
        for handle in handles:
            handle.remove()
        for place, values in enumerate(outputs):
            products = (values * values.grad).detach()
            for sentence in range(len(batch.rows)):
                for head in range(4):
                    expected[place, head] += products[sentence, :, 6 * head : 6 * head + 6].sum().abs()
    expected = expected / expected.square().sum(dim=1, keepdim=True).sqrt()
    found = gate_importance(placed(copy.deepcopy(whole.network)), [batch.to(device()) for batch in batches])
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    _, report = STEP.apply(whole)
    for place in range(2):
        assert report["heads_kept"][place] == sorted(range(4), key=lambda head: -expected[place, head])[:2]
        assert report["importance"][place] == pytest.approx(expected[place].tolist(), abs=1e-3)


def test_magnitudes_by_hand(whole: Model) -> None:
    attention = whole.backbone.encoder.layer[1].attention
    value, out = attention.self.value.weight[6:12].detach(), attention.output.dense.weight[:, 6:12].detach()
    expected = value.square().sum().sqrt() * out.square().sum().sqrt()
    torch.testing.assert_close(magnitudes(whole)[1, 1], expected)


def test_silenced_heads_say_nothing_and_the_others_what_they_said(whole: Model) -> None:
    """The reference is the whole model with the output columns of the other heads at zero."""
    pruned, report = PruneHeads(3, importance="magnitude").apply(whole)
    reference = copy.deepcopy(whole.network)
    with torch.no_grad():
        for layer, kept in zip(reference.base_model.encoder.layer, report["heads_kept"], strict=True):
            (gone,) = set(range(4)) - set(kept)
            layer.attention.output.dense.weight[:, 6 * gone : 6 * gone + 6] = 0.0
    torch.testing.assert_close(logits(pruned.network), logits(reference), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(logits(pruned.network), logits(whole.network), atol=1e-2)
    assert report["parameters_before"] == report["parameters_after"]
    zeros = sum(int((parameter == 0).sum()) for parameter, _ in pruned.masked_parameters())
    assert zeros == 2 * 4 * 6 * 24 and live_heads(pruned) == [[0, 1, 2]] * 2


def test_with_all_heads_kept_only_the_order_changes(whole: Model) -> None:
    ordered, report = PruneHeads(4, importance="magnitude").apply(whole)
    torch.testing.assert_close(logits(ordered.network), logits(whole.network), rtol=1e-4, atol=1e-4)
    assert not ordered.masks and any(order != [0, 1, 2, 3] for order in report["heads_kept"])
    for order, score in zip(report["heads_kept"], magnitudes(whole), strict=True):
        assert score[order].tolist() == sorted(score.tolist(), reverse=True)
    torch.testing.assert_close(magnitudes(ordered), magnitudes(whole).sort(dim=1, descending=True).values)


def test_all_layers_together(whole: Model) -> None:
    orders = torch.tensor([[2, 0, 1, 3], [3, 2, 1, 0]])
    pruned = with_heads(whole, orders, [1, 0])
    assert live_heads(pruned) == [[0], []]
    scores = magnitudes(whole).clone()
    scores[0] += 100 * scores.max()
    step = PruneHeads(2, importance="magnitude", scope="global")
    assert step._counts(scores) == [4, 0]
    found, report = step.apply(whole)
    best = set(magnitudes(whole).flatten().topk(4).indices.tolist())
    assert {4 * place + head for place, kept in enumerate(report["heads_kept"]) for head in kept} == best
    assert [len(layer) for layer in live_heads(found)] == [len(kept) for kept in report["heads_kept"]]


def test_saved_and_opened_by_plain_means(whole: Model, tmp_path) -> None:
    pruned, _ = STEP.apply(whole)
    encoders.save(pruned, tmp_path)
    opened = encoders.open_folder(tmp_path)
    assert opened.masks.keys() == pruned.masks.keys() and len(opened.masks) == 8
    plain = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    assert torch.equal(logits(plain), logits(pruned.network)) and torch.equal(logits(opened.network), logits(plain))


def test_masks_are_held_and_those_before_survive(whole: Model) -> None:
    sparse, _ = Prune(0.5, include="linear+embeddings").apply(whole)
    pruned, report = PruneHeads(2, importance="magnitude").apply(sparse)
    name = "encoder.layer.0.attention.self.query.weight"
    rows = [6 * head + row for head in report["heads_kept"][0] for row in range(6)]
    assert torch.equal(pruned.masks[name][:12], sparse.masks[name][rows]) and not pruned.masks[name][12:].any()
    name = "encoder.layer.0.attention.output.dense.weight"
    assert torch.equal(pruned.masks[name][:, :12], sparse.masks[name][:, rows])
    tuned, _ = FineTune("sample", "swa", epochs=1, batch_size=1500, learning_rate=1e-2).apply(pruned)
    for model in (pruned, tuned):
        for parameter, mask in model.masked_parameters():
            assert not parameter.detach().cpu()[~mask].any()
    for layer in tuned.backbone.encoder.layer:  # nothing reaches the biases of silenced heads
        assert not any(getattr(layer.attention.self, part).bias[12:].any() for part in ("query", "key", "value"))
    again, _ = Prune(0.9).apply(pruned)
    assert all(not again.masks[name][~mask].any() for name, mask in pruned.masks.items() if "attention" in name)


def test_the_control_and_what_is_left_alone(whole: Model) -> None:
    before = {name: value.clone() for name, value in whole.network.state_dict().items()}
    state = torch.get_rng_state()
    one, again, other = (PruneHeads(2, importance="random", seed=seed).apply(whole)[1] for seed in (1, 1, 3))
    assert one["heads_kept"] == again["heads_kept"] != other["heads_kept"]
    STEP.apply(whole)
    assert all(torch.equal(value, before[name]) for name, value in whole.network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state) and not whole.masks


def test_what_cannot_be_done_is_said(whole: Model) -> None:
    with pytest.raises(SmallerError, match="Each layer has 4 heads, so 5 cannot be kept"):
        dataclasses.replace(STEP, keep=5).apply(whole)
    tagger = encoders.with_classifier(whole, ("O", "B-PER"), seed=1)
    with pytest.raises(SmallerError, match="PruneHeads needs a masked-language model"):
        STEP.apply(tagger)


def test_what_the_step_says_of_itself() -> None:
    assert STEP.label == "PruneHeads(2)" and STEP.columns() == {"method": "gradient", "scope": "layer"}
    assert PruneHeads(3, importance="random", scope="global").label == "PruneHeads(3, random, global)"
    assert STEP.inputs() == {"sample/swa/text": sample.fingerprint("swa")} and not STEP.trains
    assert step_from_canonical(STEP.canonical() | {"languages": ["swa"]}) == STEP


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 0}, "PruneHeads's keep is a whole number above zero; it is 0"),
        ({"keep": 0.5}, "it is 0.5"),
        ({"scope": "model"}, "scope is one of layer, global; it is 'model'"),
        ({"importance": "weights"}, "one of gradient, magnitude, random"),
        ({"corpus": ""}, r"PruneHeads\(importance='gradient'\) needs a corpus"),
        ({"languages": ("yro",)}, r"Did you mean 'yor'\?"),
        ({"importance": "magnitude"}, "reads no text"),
    ],
)
def test_bad_values_are_errors_before_anything_runs(options: dict, message: str) -> None:
    with pytest.raises(SmallerError, match=message):
        dataclasses.replace(STEP, **options)
