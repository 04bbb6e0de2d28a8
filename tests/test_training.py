"""The training loop: equal to plain PyTorch where it should be, masks held exactly, nothing left changed."""

import copy
import random
import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune
from transformers import BertConfig, get_linear_schedule_with_warmup

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import sample
from smaller.data.encoding import IGNORED, Batch, batch_of, encode
from smaller.data.tasks import bio_labels
from smaller.encoders import Model
from smaller.encoders.device import device
from smaller.study import training
from smaller.study.steps import Prune
from smaller.study.steps.pretraining import mask_tokens
from smaller.study.training import FastDropout, fast_dropout, linear_decay, token_loss, train, trimmed_vocabulary

LABELS = bio_labels(("PER", "ORG", "LOC", "DATE"))
TOKENS = "embeddings.word_embeddings.weight"


@pytest.fixture(scope="module")
def encoded(tiny):
    return encode(sample.sentences("swa", "dev")[:48], tiny.tokenizer, LABELS)


@pytest.fixture
def tagger(tiny):
    return encoders.with_classifier(tiny, LABELS, seed=1)


def batches(encoded, *, ids=None, size=8, epochs=1) -> list[Batch]:
    made = [batch_of(encoded, range(start, start + size), padding=1) for start in range(0, len(encoded), size)]
    if ids is not None:
        made = [Batch(ids[batch.pieces], batch.mask, batch.labels, batch.rows) for batch in made]
    return made * epochs


def fit(model: Model, rows: list[Batch], **options) -> training.Report:
    options = dict(updates=len(rows), learning_rate=3e-3, seed=5) | options
    return train(model, rows, token_loss, **options)


def weights(model: Model) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.network.state_dict().items()}


def same(one: dict, other: dict) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_training_reduces_the_loss_and_reports_what_it_did(tagger, encoded):
    rows = batches(encoded, epochs=4)
    report = fit(tagger, rows)
    assert report.updates == len(report.losses) == len(rows)
    assert report.tokens == 4 * encoded.lengths.sum() and report.seconds > 0
    record = report.as_record()
    assert record["loss_first"] > 1.5 > record["loss_last"]
    assert len(record["loss_curve"]) == len(rows) and record["loss_curve_stride"] == 1
    long = training.Report(1001, 1, 1.0, [1.0] * 1001).as_record()
    assert len(long["loss_curve"]) <= 100 and long["loss_curve_stride"] == 11


def test_the_seed_decides_the_weights(tagger, encoded):
    def trained(seed):
        model = tagger.copy()
        fit(model, batches(encoded), seed=seed)
        return weights(model)

    assert same(trained(1), trained(1))
    assert not same(trained(1), trained(2))


def test_global_random_states_and_the_model_s_settings_are_left_as_they_were(tagger, encoded):
    before = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())
    attention = tagger.network.config._attn_implementation
    fit(tagger, batches(encoded), dropout=0.3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1]) and random.getstate() == before[2]
    assert not tagger.network.training and tagger.network.config._attn_implementation == attention
    dropouts = [module for module in tagger.network.modules() if isinstance(module, nn.Dropout)]
    assert dropouts and {(type(module), module.p) for module in dropouts} == {(nn.Dropout, 0.1)}


def test_a_trimmed_vocabulary_changes_no_result(tagger, encoded, full_precision):
    start, plain, trimmed = weights(tagger), tagger.copy(), tagger.copy()
    fit(plain, batches(encoded, epochs=3))
    used = torch.cat([*encoded.pieces, torch.tensor([1])])
    table = trimmed.network.get_input_embeddings()
    with trimmed_vocabulary(trimmed.network, used) as ids:
        assert trimmed.network.get_input_embeddings().num_embeddings == len(set(used.tolist()))
        fit(trimmed, batches(encoded, ids=ids, epochs=3))
    assert trimmed.network.get_input_embeddings() is table
    expected, found = weights(plain), weights(trimmed)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: name + text)
    pieces = f"roberta.{TOKENS}"
    other = sorted(set(range(len(start[pieces]))) - set(used.tolist()))
    assert torch.equal(found[pieces][other], start[pieces][other])
    assert not torch.equal(found[pieces], start[pieces])
    # Dev sentences have pieces that training has not: they go through the restored table.
    unseen = batch_of(encode(sample.sentences("yor", "dev")[:8], tagger.tokenizer, LABELS), range(8), padding=1)
    with torch.inference_mode():
        outputs = [
            model.network(input_ids=unseen.pieces, attention_mask=unseen.mask).logits for model in (plain, trimmed)
        ]
    torch.testing.assert_close(*outputs, rtol=1e-3, atol=1e-4)


def test_the_vocabulary_comes_back_when_training_fails(tagger, encoded):
    start = weights(tagger)
    with pytest.raises(KeyboardInterrupt), trimmed_vocabulary(tagger.network, torch.cat(encoded.pieces)):
        raise KeyboardInterrupt
    assert same(weights(tagger), start)


@pytest.mark.parametrize("include", ["linear", "linear+embeddings"])
def test_masked_weights_stay_exactly_zero(tiny, encoded, include):
    pruned, _ = Prune(0.7, include=include).apply(tiny)
    model = encoders.with_classifier(pruned, LABELS, seed=1)
    before = weights(model)
    fit(model, batches(encoded, epochs=2), weight_decay=0.1)
    for name, mask in model.masks.items():
        weight = model.backbone.get_parameter(name).detach()
        assert not weight[~mask].any(), name
    key = "roberta.encoder.layer.0.intermediate.dense.weight"
    assert not torch.equal(weights(model)[key], before[key])


def test_decay_shrinks_biases_and_norms_as_all_else(tagger, encoded, full_precision):
    """One group of AdamW, as `train` says: RoBERTa's recipe is commonly run without decay on biases and norms."""
    with torch.no_grad():
        for parameter in tagger.network.parameters():
            parameter.add_(1.0)
    before, rows = weights(tagger), batches(encoded)[:2]

    def nothing(network, batch, whole):
        return 0.0 * network(batch.pieces, attention_mask=batch.mask).logits.sum()

    train(tagger, rows, nothing, updates=2, learning_rate=1e-2, seed=5, weight_decay=0.5)
    shrunk, after = (1 - 1e-2 * 0.5) * (1 - 0.5e-2 * 0.5), weights(tagger)
    for name in ("bias", "LayerNorm.weight", "dense.weight"):
        parts = [part for part in after if part.endswith(name)]
        assert len(parts) > 1
        for part in parts:
            torch.testing.assert_close(after[part], shrunk * before[part], msg=part)


def test_masked_training_is_that_of_torch_prune(tiny, encoded, full_precision):
    """A plain loop with the masks as `torch.nn.utils.prune` holds them, by a parametrisation of each weight.

    In double precision: Adam's first steps have the size of the learning rate however small a gradient is, rounding
    errors included.
    """
    pruned, _ = Prune(0.5, include="linear+embeddings").apply(tiny)
    model = encoders.with_classifier(pruned, LABELS, seed=1)
    model.network.double()
    network = copy.deepcopy(model.network).train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for name, mask in model.masks.items():
        prune.custom_from_mask(network.base_model.get_submodule(name.removesuffix(".weight")), "weight", mask)
    rows = batches(encoded, epochs=2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, eps=1e-8, weight_decay=0.0)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, len(rows))
    for batch in rows:
        # The logits' loss is taken in fp32: in double precision it rounds otherwise, of which Adam makes much.
        logits = network(input_ids=batch.pieces, attention_mask=batch.mask).logits.float()
        nn.functional.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), ignore_index=-100).backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    fit(model, rows, dropout=0.0)
    for name in model.masks:
        module = prune.remove(network.base_model.get_submodule(name.removesuffix(".weight")), "weight")
        found = model.backbone.get_parameter(name).detach()
        torch.testing.assert_close(found, module.weight.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(model.network.classifier.weight, network.classifier.weight, rtol=1e-4, atol=1e-6)


def test_without_dropout_training_sees_what_evaluation_sees(tagger, encoded, full_precision):
    batch = batches(encoded)[0]
    network = tagger.network.train()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        with fast_dropout(network):
            noisy = token_loss(network, batch)
            with training.dropout_at(network, 0.0):
                quiet = token_loss(network, batch)
        expected = token_loss(network.eval(), batch)
    torch.testing.assert_close(quiet, expected)
    assert abs(noisy - expected) > 1e-4


def test_token_loss_is_transformers_own(tagger, encoded):
    batch = batches(encoded)[0]
    with torch.no_grad():
        expected = tagger.network(input_ids=batch.pieces, attention_mask=batch.mask, labels=batch.labels).loss
        torch.testing.assert_close(token_loss(tagger.network, batch), expected)


def bert(tiny) -> Model:
    shape = dict(num_hidden_layers=2, num_attention_heads=2, hidden_size=24, intermediate_size=48)
    return Model(encoders.build(BertConfig(vocab_size=len(tiny.tokenizer), **shape), seed=1), tiny.tokenizer)


@pytest.mark.parametrize("kind", ["xlm-roberta", "bert"])
def test_the_masked_language_loss_is_transformers_own(tiny, encoded, kind):
    model = tiny if kind == "xlm-roberta" else bert(tiny)
    batch = batches(encoded)[0]
    hidden, labels = mask_tokens(
        batch.pieces,
        special=torch.tensor([0, 1, 2]),
        mask=4,
        vocabulary=3000,
        rate=0.3,
        generator=np.random.default_rng(1),
    )
    with torch.no_grad():
        expected = model.network(input_ids=hidden, attention_mask=batch.mask, labels=labels).loss
        found = training.masked_language_loss(model.network, Batch(hidden, batch.mask, labels, batch.rows))
    torch.testing.assert_close(found, expected)


def test_fast_dropout_drops_at_its_rate_and_keeps_the_mean():
    dropout = FastDropout(0.1).train()
    torch.manual_seed(1)
    with torch.random.fork_rng():
        values = torch.ones(1001, 999)  # not a multiple of the four numbers that are drawn at once
        out = dropout(values)
        again = dropout(values)
    zeros = (out == 0).float()
    assert abs(zeros.mean() - 0.1) < 0.0015  # five standard deviations
    assert out.unique().tolist() == [0.0, pytest.approx(1 / 0.9)]
    assert abs(out.mean() - 1) < 0.002
    assert not torch.equal(out, again)
    # Neighbours, which come out of one draw, are independent: both go in a hundredth of the cases.
    for offset in (1, 2, 3, 4):
        both = (zeros.flatten()[offset:] * zeros.flatten()[:-offset]).mean()
        assert abs(both - 0.01) < 0.001, offset


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.5, 0.9])
def test_fast_dropout_at_other_rates(rate):
    with torch.random.fork_rng():
        torch.manual_seed(2)
        out = FastDropout(rate).train()(torch.ones(500_000))
    assert abs((out == 0).float().mean() - rate) < 0.005


def test_fast_dropout_s_gradient_is_its_mask():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        values = torch.randn(64, 33, requires_grad=True)
        out = FastDropout(0.5).train()(values)
        out.sum().backward()
    torch.testing.assert_close(values.grad * values, out)
    assert set(values.grad.unique().tolist()) == {0.0, 2.0}


def test_fast_dropout_is_off_in_evaluation_and_repeats_with_the_seed():
    values = torch.randn(100)
    assert FastDropout(0.5).eval()(values) is values
    made = []
    with torch.random.fork_rng():
        for _ in range(2):
            torch.manual_seed(4)
            made.append(FastDropout(0.5).train()(values))
    assert torch.equal(*made)


@pytest.mark.skipif(device().type != "cpu", reason="the swap is for the processor")
def test_the_swap_of_dropout_is_undone_also_after_an_error(tagger):
    attention = tagger.network.config._attn_implementation
    with pytest.raises(ZeroDivisionError), fast_dropout(tagger.network):
        assert any(isinstance(module, FastDropout) for module in tagger.network.modules())
        assert tagger.network.config._attn_implementation == "smaller"
        raise ZeroDivisionError
    assert not any(isinstance(module, FastDropout) for module in tagger.network.modules())
    assert tagger.network.config._attn_implementation == attention


def test_attention_without_dropout_is_pytorch_s_own():
    generator = torch.Generator().manual_seed(1)
    query, key, value = (torch.randn(3, 2, 7, 4, generator=generator) for _ in range(3))
    padding = torch.arange(7)[None, :] < torch.tensor([7, 4, 1])[:, None]
    mask = torch.where(padding, 0.0, torch.finfo(torch.float32).min)[:, None, None, :]
    for given in (None, mask):
        expected = functional.scaled_dot_product_attention(query, key, value, attn_mask=given).transpose(1, 2)
        found, _ = training._attention(nn.Identity(), query, key, value, given)
        torch.testing.assert_close(found, expected)
    scaled, _ = training._attention(nn.Identity(), query, key, value, None, scaling=0.1)
    torch.testing.assert_close(
        scaled, functional.scaled_dot_product_attention(query, key, value, scale=0.1).transpose(1, 2)
    )


def test_padding_does_not_reach_the_outputs_in_training_mode(tagger, encoded, full_precision):
    network = tagger.network.train()
    row = int(encoded.lengths.argmin())
    alone, padded = (batch_of(encoded, rows, padding=1) for rows in ([row], [row, int(encoded.lengths.argmax())]))
    with torch.no_grad(), fast_dropout(network), training.dropout_at(network, 0.0):
        outputs = [
            network(input_ids=batch.pieces, attention_mask=batch.mask).logits[0, : encoded.lengths[row]]
            for batch in (alone, padded)
        ]
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)


def test_the_learning_rate_falls_in_a_straight_line():
    assert [linear_decay(update, updates=5, warm_up=0) for update in range(6)] == [1.0, 0.8, 0.6, 0.4, 0.2, 0.0]
    warmed = [linear_decay(update, updates=10, warm_up=2) for update in range(10)]
    assert warmed == [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = get_linear_schedule_with_warmup(optimizer, 0, 7)
    for update in range(7):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(linear_decay(update, updates=7, warm_up=0))
        optimizer.step()
        schedule.step()


def test_training_that_diverges_is_an_error(tagger, encoded):
    with pytest.raises(SmallerError, match="Training diverged: the loss is nan after 6 updates at .* of 1e\\+30"):
        fit(tagger, batches(encoded), learning_rate=1e30, say_seconds=1e9)


def test_a_batch_without_any_label_is_no_divergence(tagger, encoded):
    *rows, last = batches(encoded)
    silent = Batch(last.pieces, last.mask, torch.full_like(last.labels, IGNORED), last.rows)
    report = fit(tagger, [*rows, silent])
    assert all(np.isfinite(report.losses))
    assert all(torch.isfinite(value).all() for value in weights(tagger).values())


def test_a_long_training_says_where_it_stands(tagger, encoded):
    said = []
    report = fit(tagger, batches(encoded)[:3], say=said.append, say_seconds=0.0)
    found = [re.fullmatch(r"update (\d) of 3, loss ([\d.]+), [\d,]+ tokens/s, about \d+ s left", line) for line in said]
    assert [int(line[1]) for line in found] == [1, 2, 3]
    assert [float(line[2]) for line in found] == pytest.approx(report.losses, abs=1e-3)
    assert said[2].endswith("about 0 s left")
    fit(tagger, batches(encoded)[:3], say=said.append, say_seconds=1e9)
    assert len(said) == 3


def test_a_loss_that_is_no_number_is_seen_before_the_end(tagger, encoded):
    with pytest.raises(SmallerError, match="the loss is nan after 2 updates"):
        fit(tagger, batches(encoded), learning_rate=1e30, say_seconds=0.0)


# Batches in parts


def test_a_large_batch_is_cut_into_parts_that_hold_all_of_it(encoded):
    whole = batch_of(encoded, range(48), padding=1)
    assert list(training.parts(whole)) == [whole]
    made = list(training.parts(whole, 400))
    assert len(made) == -(-whole.pieces.numel() // 400)
    assert [row for part in made for row in part.rows] == list(range(48))
    for part in made:
        expected = batch_of(encoded, part.rows, padding=1)
        for name in ("pieces", "mask", "labels"):
            assert torch.equal(getattr(part, name), getattr(expected, name))
    assert len(list(training.parts(whole, 1))) == 48


def test_parts_change_no_result(tagger, encoded, full_precision):
    """In double precision, and without dropout, whose draws depend on the shapes."""
    rows = batches(encoded, size=16, epochs=2)
    made = []
    for budget in (4096, 150):
        assert (len(list(training.parts(rows[0], budget))) > 1) == (budget == 150)
        model = tagger.copy()
        model.network.double()
        made.append((fit(model, rows, dropout=0.0, part=budget), weights(model)))
    assert made[0][0].losses == pytest.approx(made[1][0].losses, abs=1e-6)
    assert made[0][0].tokens == made[1][0].tokens
    for name, value in made[0][1].items():
        torch.testing.assert_close(made[1][1][name], value, rtol=1e-5, atol=1e-7)


def test_an_objective_of_several_terms_is_trained_on_their_sum(tagger, encoded, full_precision):
    def two_terms(network, batch, whole):
        loss = token_loss(network, batch, whole)
        return torch.stack([0.25 * loss, 0.75 * loss])

    rows = batches(encoded)
    one, two = tagger.copy(), tagger.copy()
    plain, named = fit(one, rows), train(two, rows, two_terms, updates=len(rows), learning_rate=3e-3, seed=5)
    assert named.losses == pytest.approx(plain.losses, rel=1e-5)
    assert np.allclose(
        np.array(named.terms) / named.losses[0],
        np.array(named.losses)[:, None] / named.losses[0] * [0.25, 0.75],
        rtol=1e-4,
    )
    assert np.array(plain.terms).shape == (len(rows), 1)
