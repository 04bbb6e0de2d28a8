"""Cutting: which layers stay, what becomes of heads, masks and labels, and what is refused."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import AutoModelForMaskedLM, AutoModelForTokenClassification, BertConfig

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data.tasks import bio_labels
from smaller.encoders import Model
from smaller.study.steps import Cut, FineTune, Prune, step_from_canonical
from smaller.study.steps.cutting import layers_kept

LABELS = bio_labels(("PER", "ORG", "LOC", "DATE"))
TOKENS = torch.tensor([[0, 15, 27, 400, 9, 2], [0, 33, 8, 2, 1, 1]])
MASK = TOKENS != 1


def deep_model(tiny, *, kind: str) -> Model:
    if kind == "bert":
        shape = dict(num_hidden_layers=4, num_attention_heads=2, hidden_size=24, intermediate_size=48)
        config = BertConfig(vocab_size=len(tiny.tokenizer), pad_token_id=1, initializer_range=0.1, **shape)
    else:
        shape = encoders.Encoder("deep", layers=4, heads=2, hidden=24, feed_forward=48)
        config = encoders.configuration(shape, vocabulary=len(tiny.tokenizer))
    return Model(encoders.build(config, seed=4), tiny.tokenizer)


@pytest.fixture(scope="module", params=["xlm-roberta", "bert"])
def deep(tiny, request):
    return deep_model(tiny, kind=request.param)


@pytest.fixture(scope="module")
def tagger(deep):
    return encoders.with_classifier(deep, LABELS, seed=2)


@torch.no_grad()
def logits(network: nn.Module) -> torch.Tensor:
    return network(input_ids=TOKENS, attention_mask=MASK).logits[MASK]


def weights(model: Model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.network.state_dict().items()}


@pytest.mark.parametrize(
    ("of", "layers", "layer_map", "kept"),
    [
        (8, 4, "stride", (0, 2, 5, 7)),
        (8, 6, "stride", (0, 1, 3, 4, 6, 7)),
        (10, 4, "stride", (0, 3, 6, 9)),
        (10, 6, "stride", (0, 2, 4, 5, 7, 9)),
        (12, 6, "stride", (0, 2, 4, 7, 9, 11)),  # DistilBERT's own choice
        (4, 4, "stride", (0, 1, 2, 3)),
        (8, 2, "stride", (0, 7)),
        (8, 1, "stride", (0,)),
        (8, 3, "first", (0, 1, 2)),
        (8, 3, "last", (5, 6, 7)),
        (12, 6, "ends", (0, 1, 2, 9, 10, 11)),
        (8, 3, "ends", (0, 1, 7)),
        (8, 1, "ends", (0,)),
        (8, 8, "ends", tuple(range(8))),
        (8, 3, (1, 4, 6), (1, 4, 6)),
        (12, 6, (0, 2, 4, 6, 8, 10), (0, 2, 4, 6, 8, 10)),  # paper 2's for XLM-R
    ],
)
def test_layer_maps(of, layers, layer_map, kept):
    assert layers_kept(layer_map, layers=layers, of=of) == kept


def test_the_stride_is_even_for_every_depth():
    for of in range(1, 25):
        for layers in range(1, of + 1):
            kept = layers_kept("stride", layers=layers, of=of)
            gaps = [high - low for low, high in zip(kept, kept[1:], strict=False)]
            assert len(kept) == layers and kept[0] == 0
            assert not gaps or (kept[-1] == of - 1 and max(gaps) - min(gaps) <= 1 and min(gaps) > 0)


@pytest.mark.parametrize("layer_map", ["stride", "first", "last", "ends", (1, 2)])
@pytest.mark.parametrize("head", ["masked-language", "tagger"])
def test_the_kept_layers_do_what_they_did(deep, tagger, layer_map, head):
    """The reference takes the layers out of the network's own list."""
    model = tagger if head == "tagger" else deep
    smaller, report = Cut(2, layer_map=layer_map).apply(model)
    kept = layers_kept(layer_map, layers=2, of=4)
    expected = copy.deepcopy(model.network)
    expected.base_model.encoder.layer = nn.ModuleList(expected.base_model.encoder.layer[place] for place in kept)
    assert torch.equal(logits(smaller.network), logits(expected))
    assert not torch.allclose(logits(smaller.network), logits(model.network), atol=1e-3)
    assert report["layer_map"] == list(kept) and smaller.labels == model.labels
    assert report["parameters_before"] == encoders.parameter_count(model.network)
    assert report["parameters_after"] == encoders.parameter_count(expected)
    assert smaller.network.config.num_hidden_layers == 2


def test_all_layers_and_the_same_heads_are_the_same_model(deep):
    same, _ = Cut(4).apply(deep)
    assert torch.equal(logits(same.network), logits(deep.network))


def test_other_heads_split_the_same_matrices_anew(deep):
    split, report = Cut(4, heads=6).apply(deep)
    before, after = weights(deep), weights(split)
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert report["parameters_before"] == report["parameters_after"]
    assert not torch.allclose(logits(split.network), logits(deep.network), atol=1e-4)
    layer = split.backbone.encoder.layer[0].attention.self
    values = torch.randn(3, 7, 24, generator=torch.Generator().manual_seed(1))
    query, key, value = (
        part(values).view(3, 7, 6, 4).transpose(1, 2) for part in (layer.query, layer.key, layer.value)
    )
    expected = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(3, 7, 24)
    with torch.no_grad():
        torch.testing.assert_close(layer(values)[0], expected)


@pytest.mark.parametrize("head", ["masked-language", "tagger"])
def test_a_random_start_keeps_the_shape_and_no_weight(deep, tagger, head):
    model = Prune(0.5).apply(tagger if head == "tagger" else deep)[0]
    one, same, other = (Cut(2, start="random", seed=seed).apply(model)[0] for seed in (1, 1, 2))
    assert all(torch.equal(value, weights(same)[name]) for name, value in weights(one).items())
    kept = weights(Cut(2).apply(model)[0])
    for name, value in weights(one).items():
        if value.is_floating_point() and value.std() > 0:  # norms and biases begin as ones and zeros
            assert not torch.equal(value, weights(other)[name]) and not torch.equal(value, kept[name]), name
    assert not one.masks and one.labels == model.labels and one.tokenizer is model.tokenizer
    assert Cut(2, start="random").apply(model)[1]["layer_map"] == []
    table = one.backbone.get_parameter("encoder.layer.1.intermediate.dense.weight")
    assert table.std().item() == pytest.approx(model.network.config.initializer_range, rel=0.1)


@pytest.mark.parametrize("include", ["linear", "linear+embeddings"])
def test_masks_go_with_their_layers(deep, include):
    pruned, _ = Prune(0.6, include=include, scope="layer").apply(deep)
    smaller, _ = Cut(2, layer_map=(1, 3)).apply(pruned)
    assert len(smaller.masks) == 12 + len([name for name in pruned.masks if name.startswith("embeddings")])
    for name, mask in smaller.masks.items():
        old = name.replace("layer.1.", "layer.3.").replace("layer.0.", "layer.1.")
        assert torch.equal(mask, pruned.masks[old])
        assert not smaller.backbone.get_parameter(name)[~mask].any()
        assert torch.equal(smaller.backbone.get_parameter(name), pruned.backbone.get_parameter(old))


def test_a_cut_model_is_saved_loaded_and_fine_tuned_like_any_other(deep, tagger, tmp_path):
    for model, kind in ((deep, AutoModelForMaskedLM), (tagger, AutoModelForTokenClassification)):
        pruned, _ = Prune(0.5).apply(model)
        smaller, _ = Cut(2, heads=4).apply(pruned)
        folder = tmp_path / kind.__name__
        encoders.save(smaller, folder)
        opened = encoders.open_folder(folder)
        assert opened.labels == model.labels and opened.masks.keys() == smaller.masks.keys()
        assert torch.equal(logits(opened.network), logits(smaller.network))
        assert torch.equal(logits(kind.from_pretrained(folder).eval()), logits(smaller.network))
    tuned, _ = FineTune("sample", "swa", epochs=1, batch_size=1500).apply(Cut(2).apply(deep)[0])
    assert tuned.network.config.num_hidden_layers == 2 and tuned.labels == LABELS


def test_the_model_that_comes_in_and_the_global_random_state_are_left_unchanged(deep):
    before, state, config = weights(deep), torch.get_rng_state(), deep.network.config.to_dict()
    for step in (Cut(2, heads=4), Cut(2, start="random")):
        smaller, _ = step.apply(deep)
        with torch.no_grad():
            for parameter in smaller.network.parameters():
                parameter.add_(1.0)
    assert all(torch.equal(value, before[name]) for name, value in weights(deep).items())
    assert torch.equal(torch.get_rng_state(), state) and deep.network.config.to_dict() == config


def test_what_the_step_says_of_itself():
    step = Cut(4, heads=6, layer_map=[0, 2, 5, 6])
    assert step.label == "Cut(4 layers, 6 heads, layers 0 2 5 6)" and not Cut.trains and step.inputs() == {}
    assert step.columns() == {"start": "teacher", "layer_map": "(0, 2, 5, 6)"}
    assert Cut(4, start="random").label == "Cut(4 layers, random start)"
    form = step.canonical()
    assert step_from_canonical(form | {"layer_map": [0, 2, 5, 6]}) == step == step_from_canonical(form)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 0}, "Cut's layers is a whole number above zero; it is 0"),
        ({"layers": "4"}, "layers is a whole number above zero; it is '4'"),
        ({"heads": 0}, "heads is a whole number above zero"),
        ({"layer_map": "strid"}, r"one of stride, first, last, ends; it is 'strid'.*Did you mean 'stride'\?"),
        ({"layer_map": 3}, "one of stride, first, last, ends, or a list of layers, counted from 0; it is 3"),
        ({"layer_map": (0, -1)}, "list of layers"),
        ({"layer_map": (0, 1, 2)}, r"names 2 layers, each once and in rising order; it is \(0, 1, 2\)"),
        ({"layer_map": (1, 1)}, "rising order"),
        ({"layer_map": (1, 0)}, "rising order"),
        ({"start": "zero"}, "start is one of teacher, random"),
        ({"start": "random", "layer_map": "first"}, "takes no layer_map"),
        ({"seed": 3}, "draws nothing, so it takes no seed"),
        ({"start": "random", "seed": -1}, "seed is a whole number"),
    ],
)
def test_bad_values_are_errors_before_anything_runs(options, message):
    with pytest.raises(SmallerError, match=message):
        Cut(**{"layers": 2} | options)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Cut(5), "The model has 4 layers, so 5 cannot be kept; ask for at most 4"),
        (Cut(5, start="random"), "so 5 cannot be kept"),
        (Cut(2, heads=5), "5 heads do not divide the hidden size of 24"),
        (Cut(2, layer_map=(1, 4)), "names layer 4, but the model's last layer is 3"),
    ],
)
def test_what_does_not_suit_the_model_is_an_error(deep, step, message):
    with pytest.raises(SmallerError, match=message):
        step.apply(deep)
