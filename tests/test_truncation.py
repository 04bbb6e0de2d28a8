"""Truncation: slices, chosen dimensions and projections against references, and what masks and heads allow."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from transformers import AutoModelForMaskedLM, AutoModelForTokenClassification, BertConfig

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import sample
from smaller.data.encoding import encode_text
from smaller.encoders import Model
from smaller.study.steps import Pretrain, Prune, PruneHeads, TruncateHidden, step_from_canonical
from smaller.study.steps.truncation import TEXT_HEADS

TEXT = {"corpus": "sample", "languages": ("swa", "yor"), "lines": 30}
WAYS = [TruncateHidden(16), TruncateHidden(16, by="importance", **TEXT), TruncateHidden(16, by="projection", **TEXT)]
TOKENS = torch.tensor([[0, 15, 27, 400, 9, 2], [0, 33, 8, 2, 1, 1]])
MASK = TOKENS != 1


def encoder(tiny: Model, kind: str, **shape: float) -> Model:
    """Four heads of six; all weights drawn, none of them the ones and zeros that norms and biases begin with."""
    config = copy.deepcopy(tiny.network.config)
    if kind == "bert":
        config = BertConfig(
            vocab_size=len(tiny.tokenizer), hidden_size=24, num_hidden_layers=2, intermediate_size=48, pad_token_id=1
        )
    config.update({"num_attention_heads": 4, "initializer_range": 0.2} | shape)
    return Model(encoders.build(config, seed=6), tiny.tokenizer)


@pytest.fixture(scope="module", params=["xlm-roberta", "bert"])
def fresh(tiny: Model, request: pytest.FixtureRequest) -> Model:
    return encoder(tiny, request.param)


@pytest.fixture(scope="module")
def whole(fresh: Model) -> Model:
    """With norms and biases that say something."""
    model, generator = fresh.copy(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.network.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    model.network.tie_weights()
    return model


@torch.no_grad()
def logits(network: nn.Module) -> torch.Tensor:
    return network(input_ids=TOKENS, attention_mask=MASK).logits[MASK]


@torch.no_grad()
def states(network: nn.Module) -> torch.Tensor:
    found = network(input_ids=TOKENS, attention_mask=MASK, output_hidden_states=True).hidden_states
    return torch.stack(found)[:, MASK]


def test_a_slice_is_the_leading_part_of_every_tensor(whole: Model) -> None:
    """The reference slices the file: each tensor to the shape that a model of that width has."""
    smaller, report = TruncateHidden(16).apply(whole)
    old, new = whole.network.state_dict(), smaller.network.state_dict()
    assert old.keys() == new.keys() and np.isnan(report["energy_kept"])
    for name, tensor in new.items():
        assert torch.equal(tensor, old[name][tuple(slice(size) for size in tensor.shape)]), name
    assert new["cls.predictions.bias" if "cls.predictions.bias" in new else "lm_head.bias"].any()
    assert smaller.network.config.hidden_size == 16 and smaller.network.config.num_attention_heads == 4
    assert report["parameters_after"] == encoders.parameter_count(smaller.network) < report["parameters_before"]
    assert encoders.shape(smaller) == TruncateHidden(16).resize(encoders.shape(whole))


@pytest.mark.parametrize("by", ["slice", "importance"])
def test_all_dimensions_in_their_order_are_the_same_model(whole: Model, by: str) -> None:
    same, _ = TruncateHidden(24, by=by, **TEXT if by == "importance" else {}).apply(whole)
    torch.testing.assert_close(states(same.network), states(whole.network), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits(same.network), logits(whole.network), rtol=1e-4, atol=1e-4)


def test_a_projection_onto_all_directions_turns_the_hidden_states_and_changes_nothing(fresh: Model) -> None:
    """Exact where norms scale all dimensions alike, as they do at the start of training."""
    turned, report = TruncateHidden(24, by="projection", **TEXT).apply(fresh)
    before, after = (states(model.network).flatten(0, 1) for model in (fresh, turned))
    assert report["energy_kept"] == pytest.approx(1.0, abs=1e-5)
    torch.testing.assert_close(after @ after.T, before @ before.T, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(after, before, atol=0.1)
    tagger = encoders.with_classifier(fresh, ("O", "B-PER", "I-PER"), seed=1)
    turned, _ = TruncateHidden(24, by="projection", **TEXT).apply(tagger)
    torch.testing.assert_close(logits(turned.network), logits(tagger.network), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("by", ["slice", "importance", "projection"])
def test_a_text_classifier_keeps_its_strongest_neurons(fresh: Model, by: str) -> None:
    topics = encoders.with_classifier(fresh, ("a", "b", "c"), seed=1, unit="text")
    with torch.no_grad():
        same = topics.network(input_ids=TOKENS, attention_mask=MASK).logits
    given = {} if by == "slice" else TEXT
    whole, _ = TruncateHidden(24, by=by, **given).apply(topics)
    with torch.no_grad():
        turned = whole.network(input_ids=TOKENS, attention_mask=MASK).logits
    assert (whole.unit, whole.labels) == ("text", ("a", "b", "c"))
    torch.testing.assert_close(turned, same, rtol=1e-3, atol=1e-3)
    smaller, report = TruncateHidden(16, by=by, **given).apply(topics)
    names = next(names for names in TEXT_HEADS if names[0] in dict(topics.network.named_modules()))
    (inner, outer), (old_inner, old_outer) = (
        [model.network.get_submodule(name) for name in names] for model in (smaller, topics)
    )
    strength = (old_inner.weight.norm(dim=1) * old_outer.weight.norm(dim=0)).tolist()
    kept = range(16) if by == "slice" else sorted(sorted(range(24), key=lambda row: -strength[row])[:16])
    assert torch.equal(outer.weight, old_outer.weight[:, list(kept)]) and torch.equal(outer.bias, old_outer.bias)
    assert torch.equal(inner.bias, old_inner.bias[list(kept)]) and inner.weight.shape == (16, 16)
    if by == "slice":
        assert torch.equal(inner.weight, old_inner.weight[:16, :16])
    assert report["parameters_after"] < report["parameters_before"]


def test_importance_keeps_the_dimensions_that_are_large_on_the_text(whole: Model) -> None:
    smaller, report = WAYS[1].apply(whole)
    rows = encode_text([line for code in ("swa", "yor") for line in _spread(code)], whole.tokenizer)
    total = torch.zeros(24, dtype=torch.float64)
    inner = {"embeddings": [], **{str(number): [] for number in range(2)}}
    for row in rows:
        seen = []
        places = [whole.backbone.embeddings.LayerNorm]
        for layer in whole.backbone.encoder.layer:
            places += [layer.attention.output.LayerNorm, layer.output.LayerNorm]
        handles = [place.register_forward_hook(lambda *given, seen=seen: seen.append(given[-1])) for place in places]
        with torch.no_grad():
            whole.network(input_ids=row[None])
        for handle in handles:
            handle.remove()
        assert len(seen) == 5 and len(inner) == 3
        total += sum(values[0].double().square().sum(dim=0) for values in seen)
    best = sorted(total.argsort(descending=True)[:16].tolist())
    table = whole.backbone.embeddings.word_embeddings.weight
    assert torch.equal(smaller.backbone.embeddings.word_embeddings.weight, table[:, best])
    old, new = (model.backbone.encoder.layer[1].output for model in (whole, smaller))
    assert torch.equal(new.dense.weight, old.dense.weight[best]) and torch.equal(new.dense.bias, old.dense.bias[best])
    assert torch.equal(new.LayerNorm.weight, old.LayerNorm.weight[best])
    assert report["energy_kept"] == pytest.approx((total[best].sum() / total.sum()).item(), abs=1e-6)


def _spread(code: str) -> list[str]:
    lines = sample.text(code)
    return [lines[index * len(lines) // 30] for index in range(30)]


def test_each_head_keeps_its_strongest_products(whole: Model) -> None:
    """Queries times keys of a head whose width falls from six to four: the best matrix of rank four of them all."""
    smaller, _ = TruncateHidden(16, by="projection", **TEXT).apply(whole)
    table = whole.backbone.embeddings.word_embeddings.weight.detach()
    basis = torch.linalg.lstsq(table, smaller.backbone.embeddings.word_embeddings.weight.detach()).solution
    torch.testing.assert_close(basis.T @ basis, torch.eye(16), rtol=0, atol=1e-4)
    old, new = (model.backbone.encoder.layer[0].attention.self for model in (whole, smaller))
    for head in range(4):
        q, k = (
            torch.cat([part.weight[6 * head : 6 * head + 6] @ basis, part.bias[6 * head : 6 * head + 6, None]], 1)
            for part in (old.query, old.key)
        )
        left, strength, right = torch.linalg.svd(q.T @ k / 6**0.5)
        expected = left[:, :4] * strength[:4] @ right[:4]
        rows = slice(4 * head, 4 * head + 4)
        q, k = (torch.cat([part.weight[rows], part.bias[rows, None]], 1) for part in (new.query, new.key))
        torch.testing.assert_close(q.T @ k / 4**0.5, expected.detach(), rtol=1e-3, atol=1e-3)


def test_a_projection_stays_nearer_than_a_slice(tiny: Model) -> None:
    """On a model that has learned something, by the logits of text that it was not fitted to."""
    model, _ = Pretrain(languages=("swa", "yor"), updates=40, learning_rate=1e-2).apply(encoder(tiny, "xlm-roberta"))
    model = encoders.with_classifier(model, ("O", "B-PER", "I-PER"), seed=1)
    text = encode_text(sample.text("hau")[:20], model.tokenizer)
    far = {}
    for step in WAYS:
        smaller, report = step.apply(model)
        with torch.no_grad():
            pairs = [[one.network(input_ids=row[None]).logits for one in (model, smaller)] for row in text]
        far[step.by] = np.mean([(one - other).square().mean().item() for one, other in pairs])
        assert step.by == "slice" or 0.5 < report["energy_kept"] < 1
    assert far["projection"] < far["importance"] < far["slice"]


@pytest.mark.parametrize("step", WAYS, ids=lambda step: step.by)
@pytest.mark.parametrize("tagged", [False, True], ids=["masked-language", "tagger"])
def test_saved_and_opened_by_plain_means(whole: Model, step: TruncateHidden, tagged: bool, tmp_path) -> None:
    model = encoders.with_classifier(whole, ("O", "B-PER", "I-PER"), seed=1) if tagged else whole
    smaller, _ = step.apply(model)
    encoders.save(smaller, tmp_path)
    kind = AutoModelForTokenClassification if tagged else AutoModelForMaskedLM
    assert torch.equal(logits(kind.from_pretrained(tmp_path).eval()), logits(smaller.network))
    assert torch.equal(logits(encoders.open_folder(tmp_path).network), logits(smaller.network))
    assert smaller.labels == model.labels
    if not tagged:
        assert smaller.network.get_output_embeddings().weight is smaller.network.get_input_embeddings().weight


@pytest.mark.parametrize("step", WAYS, ids=lambda step: step.by)
def test_the_step_repeats_itself_and_leaves_everything_else_alone(whole: Model, step: TruncateHidden) -> None:
    before = {name: value.clone() for name, value in whole.network.state_dict().items()}
    state, config = torch.get_rng_state(), whole.network.config.to_dict()
    one, again = (step.apply(whole)[0] for _ in range(2))
    assert torch.equal(logits(one.network), logits(again.network))
    with torch.no_grad():
        for parameter in one.network.parameters():
            parameter.add_(1.0)
    assert all(torch.equal(value, before[name]) for name, value in whole.network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state) and whole.network.config.to_dict() == config


@pytest.mark.parametrize("step", WAYS, ids=lambda step: step.by)
def test_silenced_heads_go_in_earnest(whole: Model, step: TruncateHidden) -> None:
    """Two of four heads of six are silenced; a width of twelve holds the other two whole."""
    silenced, _ = PruneHeads(2, importance="magnitude").apply(whole)
    smaller, _ = dataclasses.replace(step, size=12).apply(silenced)
    assert smaller.network.config.num_attention_heads == 2 and not smaller.masks
    for place, layer in enumerate(smaller.backbone.encoder.layer):
        best = PruneHeads(2, importance="magnitude").apply(whole)[1]["heads_kept"][place]
        rows = [6 * head + row for head in best for row in range(6)]
        old, new = whole.backbone.encoder.layer[place].attention.self.value, layer.attention.self.value
        if step.by == "slice":
            assert torch.equal(new.weight, old.weight[rows][:, :12]) and torch.equal(new.bias, old.bias[rows])
        else:  # nothing of a head is lost but what its input has lost
            assert new.weight.shape == (12, 12) and torch.linalg.matrix_rank(new.weight) == 12
    with pytest.raises(SmallerError, match="2 heads do not divide a hidden size of 15.* they divide is 16"):
        dataclasses.replace(step, size=15).apply(silenced)


def test_heads_that_become_wider_say_the_same(whole: Model) -> None:
    silenced, _ = PruneHeads(2, importance="magnitude").apply(whole)
    wide, _ = TruncateHidden(24, by="importance", **TEXT).apply(silenced)
    assert wide.network.config.num_attention_heads == 2
    torch.testing.assert_close(logits(wide.network), logits(silenced.network), rtol=1e-4, atol=1e-4)


def test_heads_that_are_left_unequal_or_other_masks_are_errors(whole: Model) -> None:
    unequal = PruneHeads(2, importance="magnitude").apply(whole)[0]
    name = "encoder.layer.1.attention."
    for part in ("query", "key", "value"):
        unequal.masks[f"{name}self.{part}.weight"] = torch.zeros(24, 24, dtype=torch.bool)
    unequal.masks[f"{name}output.dense.weight"] = torch.zeros(24, 24, dtype=torch.bool)
    with pytest.raises(SmallerError, match="The layers have 2, 0 heads left.*use PruneHeads"):
        TruncateHidden(16).apply(unequal)
    for pruned in (
        Prune(0.5).apply(whole)[0],
        Prune(0.1, include="linear+embeddings").apply(whole)[0],
        Prune(0.5).apply(PruneHeads(2, importance="magnitude").apply(whole)[0])[0],
    ):
        with pytest.raises(SmallerError, match="A pruned model cannot be truncated.*Put Prune after"):
            TruncateHidden(16).apply(pruned)


def test_what_cannot_be_done_is_said(whole: Model) -> None:
    with pytest.raises(SmallerError, match="The hidden states are 24 wide, so they cannot become 28 wide"):
        TruncateHidden(28).apply(whole)
    with pytest.raises(SmallerError, match="4 heads do not divide a hidden size of 18.* they divide is 16"):
        TruncateHidden(18).apply(whole)


def test_what_the_step_says_of_itself() -> None:
    assert [step.label for step in WAYS] == [
        "TruncateHidden(16)",
        "TruncateHidden(16, importance)",
        "TruncateHidden(16, projection)",
    ]
    assert WAYS[1].columns() == {"method": "importance"} and WAYS[0].inputs() == {}
    assert WAYS[1].inputs() == {f"sample/{code}/text": sample.fingerprint(code) for code in ("swa", "yor")}
    assert step_from_canonical(WAYS[2].canonical() | {"languages": ["swa", "yor"]}) == WAYS[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "TruncateHidden's size is a whole number above zero; it is 0"),
        ({"size": 16.0}, "it is 16.0"),
        ({"by": "svd"}, "one of slice, importance, projection; it is 'svd'"),
        ({"by": "project"}, r"Did you mean 'projection'\?"),
        ({"by": "slice"}, r"TruncateHidden\(by='slice'\) reads no text"),
        ({"corpus": ""}, "needs a corpus: the text whose hidden states it looks at"),
        ({"languages": ()}, "languages is a list of at least one language"),
        ({"languages": ("yro",)}, r"Did you mean 'yor'\?"),
        ({"lines": 0}, "lines is a whole number above zero"),
    ],
)
def test_bad_values_are_errors_before_anything_runs(options: dict, message: str) -> None:
    with pytest.raises(SmallerError, match=message):
        dataclasses.replace(WAYS[1], **options)
