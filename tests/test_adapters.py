"""Adapters: what they compute, that nothing else is trained, and that they are never lost on the way to disk."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional
from transformers import AutoModelForMaskedLM, AutoModelForTokenClassification

from smaller import encoders, study
from smaller.base.errors import SmallerError
from smaller.data import sample
from smaller.encoders.adapters import AdaptedOutput, adapter_size, with_adapters
from smaller.encoders.layout import ADAPTED_FILE
from smaller.formats.shipping import open_shipped, ship
from smaller.prediction.tagging import tag
from smaller.study import cache
from smaller.study.evaluation import score
from smaller.study.recipes import Recipe
from smaller.study.steps import (
    Cut,
    Distil,
    FineTune,
    Prune,
    Quantize,
    TrimVocabulary,
    TruncateHidden,
    step_from_canonical,
)

PLAIN = FineTune("sample", "swa", epochs=2, batch_size=50, learning_rate=5e-3)
SHORT = replace(PLAIN, adapter=4)


@pytest.fixture(scope="module")
def adapted(tiny):
    return SHORT.apply(tiny)


def test_an_adapted_layer_by_hand(tiny):
    output = tiny.network.base_model.encoder.layer[0].output
    adapter = AdaptedOutput(output, 5).eval()
    with torch.no_grad():
        adapter.adapter_up.weight.normal_(generator=torch.Generator().manual_seed(1))
        adapter.adapter_up.bias.fill_(0.3)
        generator = torch.Generator().manual_seed(2)
        fed, residual = torch.randn(2, 3, 48, generator=generator), torch.randn(2, 3, 24, generator=generator)
        dense = fed @ output.dense.weight.T + output.dense.bias

        def norm(values):
            centred = values - values.mean(-1, keepdim=True)
            scaled = centred / (centred.square().mean(-1, keepdim=True) + output.LayerNorm.eps).sqrt()
            return scaled * output.LayerNorm.weight + output.LayerNorm.bias

        down = functional.relu(norm(dense + residual) @ adapter.adapter_down.weight.T + adapter.adapter_down.bias)
        expected = norm(dense + down @ adapter.adapter_up.weight.T + adapter.adapter_up.bias + residual)
        torch.testing.assert_close(adapter(fed, residual), expected, rtol=1e-4, atol=1e-5)


def test_untrained_adapters_change_nothing(tiny):
    plain, adapted = (encoders.with_classifier(tiny, ("a", "b"), seed=1, adapter_size=size) for size in (0, 6))
    pieces = torch.arange(5, 25).reshape(2, 10)
    with torch.no_grad():
        hidden = [model.backbone.eval()(input_ids=pieces).last_hidden_state for model in (plain, adapted)]
    assert torch.equal(*hidden)


def test_adapters_have_the_published_number_of_parameters():
    """Table of paper 2's adapters: mBERT with reductions 2 and 128 has 7.09 and 0.12 million (reference of issue 6)."""
    config = encoders.configuration("mbert")
    with torch.device("meta"):
        model = encoders.Model(AutoModelForMaskedLM.from_config(config), None)
    before = encoders.parameter_count(model.backbone)
    for reduction, million in ((2, 7.09), (128, 0.12)):
        config.adapter_size = 768 // reduction
        with torch.device("meta"):
            network = with_adapters(AutoModelForMaskedLM.from_config(config))
        assert round((encoders.parameter_count(network.base_model) - before) / 1e6, 2) == million


def test_only_adapters_and_head_are_trained(tiny, adapted):
    model, report = adapted
    before, after = tiny.backbone.state_dict(), model.backbone.cpu().state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    new = after.keys() - before.keys()
    assert len(new) == 2 * 4 and all("adapter_" in name and after[name].any() for name in new)
    head = sum(parameter.numel() for parameter in model.network.classifier.parameters())
    assert report["parameters_trained"] == head + 2 * (24 * 6 + 6 + 6 * 24 + 24)
    assert report["parameters_after"] == encoders.parameter_count(model.network)
    assert report["loss_last"] < 0.9 * report["loss_first"]
    assert all(parameter.requires_grad for parameter in model.network.parameters())


def test_adapters_learn_more_than_the_head_alone(tiny, adapted):
    dev = sample.sentences("swa", "dev")
    without = adapted[0].copy()
    with torch.no_grad():
        for layer in without.backbone.encoder.layer:
            layer.output.adapter_up.weight.zero_()
            layer.output.adapter_up.bias.zero_()
    assert score(adapted[0], dev)["loss"] < score(without, dev)["loss"]


def test_the_field_changes_no_identity_where_it_is_not_used():
    assert "adapter" not in PLAIN.canonical() and SHORT.canonical()["adapter"] == 4
    assert step_from_canonical(SHORT.canonical()) == SHORT and step_from_canonical(PLAIN.canonical()) == PLAIN
    assert SHORT.label == "FineTune(sample/swa, adapter 4, seed 1)" and SHORT.columns() == {"adapter": 4}


@pytest.mark.parametrize("value", [-1, 2.0, True, "16"])
def test_a_reduction_that_is_none_is_an_error(value):
    with pytest.raises(SmallerError, match="FineTune's adapter is a whole number of at least zero"):
        replace(PLAIN, adapter=value)


def test_a_folder_with_adapters_comes_back_and_plain_loaders_refuse_it(adapted, tmp_path):
    model = adapted[0]
    encoders.save(model, tmp_path / "model")
    opened = encoders.open_folder(tmp_path / "model")
    assert (tmp_path / "model" / ADAPTED_FILE).is_file() and adapter_size(opened.network.config) == 6
    expected = {name: value.cpu() for name, value in model.network.state_dict().items()}
    assert expected.keys() == opened.network.state_dict().keys()
    assert all(torch.equal(value, expected[name]) for name, value in opened.network.state_dict().items())
    with pytest.raises(OSError, match=r"no file named model.safetensors"):
        AutoModelForTokenClassification.from_pretrained(tmp_path / "model")
    (tmp_path / "model" / ADAPTED_FILE).write_bytes(b"cut off")
    with pytest.raises(SmallerError, match="could not be read as an encoder"):
        encoders.open_folder(tmp_path / "model")


@pytest.mark.parametrize("form", [encoders.TRAINED, "fp16", "dynamic", "llm.int8", "onnx"])
def test_a_shipped_model_keeps_its_adapters(adapted, form, tmp_path):
    model = adapted[0] if form == encoders.TRAINED else Quantize(form).apply(adapted[0])[0]
    folder = ship(model, tmp_path / "model")
    sentences = ["Amina alisafiri kwenda Mombasa Jumatatu.", "Kano"]
    assert not (folder / "model.safetensors").exists()
    assert tag(open_shipped(folder), sentences) == tag(model, sentences)
    assert "transformers alone" not in (folder / "README.md").read_text(encoding="utf-8")


def test_masks_hold_under_adapters(tiny):
    pruned, _ = Prune(0.6).apply(tiny)
    model, _ = replace(SHORT, epochs=1).apply(pruned)
    assert model.masks.keys() == pruned.masks.keys()
    for name, mask in model.masks.items():
        weight = model.backbone.get_parameter(name).detach().cpu()
        assert torch.equal(weight, pruned.backbone.get_parameter(name)) and not weight[~mask].any()


def test_later_steps_keep_the_adapters_or_say_why_not(adapted, tiny):
    model = adapted[0]
    whole, _ = Cut(2).apply(model)
    dev = sample.sentences("swa", "dev")[:20]
    assert score(whole, dev) == score(model, dev)
    student, _ = Distil(1, on="task", dataset="sample", language="swa", epochs=1, batch_size=250).apply(model)
    assert adapter_size(student.network.config) == 6
    assert any("adapter_up" in name for name in student.network.state_dict())
    trimmed, _ = TrimVocabulary(coverage=1.0, corpus="sample", languages=("swa",)).apply(model)
    assert trimmed.backbone.state_dict().keys() == model.backbone.state_dict().keys()
    with pytest.raises(SmallerError, match="make them narrower before FineTune"):
        TruncateHidden(12).apply(model)
    with pytest.raises(SmallerError, match="The model has adapters already"):
        SHORT.apply(model)
    further, report = replace(PLAIN, epochs=1, batch_size=250).apply(model)
    assert adapter_size(further.network.config) == 6 and report["parameters_trained"] == report["parameters_after"]


def test_a_study_keeps_adapters_between_its_steps(tiny_folder, few_sentences, fresh_folders):
    recipe = Recipe(tiny_folder, (replace(SHORT, batch_size=8),))
    table = study.run([recipe, recipe.then(Prune(0.5))], workers=1, say=lambda line: None)
    assert set(table["adapter"]) == {4} and table["f1"].notna().all()
    model, _ = cache.read(recipe)
    assert adapter_size(model.network.config) == 6 and any("adapter_up" in name for name in model.network.state_dict())
