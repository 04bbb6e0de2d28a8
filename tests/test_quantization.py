"""The quantization steps: settings found wrong before any work, reports, rounding by formula, the gate of OpenVINO."""

from __future__ import annotations

import pytest
import torch

from smaller import encoders, formats
from smaller.base.errors import SmallerError
from smaller.data import splits
from smaller.data.tasks import bio_labels
from smaller.encoders import TRAINED, Model
from smaller.study.rounding import ROUNDED_PARTS, round_weight
from smaller.study.steps import Prune, step_from_canonical
from smaller.study.steps.quantization import Quantize, Round


@pytest.fixture(scope="module")
def tagger(tiny) -> Model:
    return encoders.with_classifier(tiny, bio_labels(("PER", "LOC", "ORG", "DATE")), seed=1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"form": "int8"}, "no format 'int8'"),
        ({"form": "fp16", "threshold": 4.0}, "threshold is a setting of llm.int8, not of fp16"),
        ({"form": "onnx-int8", "engine": "x86"}, "engine is a setting of dynamic"),
        ({"form": "llm.int8", "threshold": 0}, "above zero; it is 0"),
        ({"form": "llm.int8", "threshold": "6"}, "above zero; it is '6'"),
        ({"form": "llm.int8", "classifier": 1}, "True or False; it is 1"),
        ({"form": "dynamic", "engine": 3}, "engine is a name"),
        ({"form": "openvino-int8"}, "needs dataset and language"),
        ({"form": "llm.int8", "dataset": "sample"}, "needs dataset and language"),
        ({"form": "openvino-int8", "dataset": "sampel", "language": "swa"}, "sampel"),
        (
            {"form": "openvino-int8", "dataset": "sample", "language": "swa", "calibration": 0},
            "calibration is a whole number above zero; it is 0",
        ),
        ({"form": "openvino-int8", "dataset": "sample", "language": "swa", "tolerance": -1}, "tolerance is a number"),
    ],
)
def test_wrong_settings_are_found_at_once(settings, message):
    with pytest.raises(SmallerError, match=message):
        Quantize(**settings)


def test_equal_steps_have_equal_forms():
    assert Quantize("llm.int8", threshold=6).canonical() == Quantize("llm.int8").canonical()
    step = Quantize("openvino-int8", dataset="sample", language="swa", tolerance=2)
    assert step_from_canonical(step.canonical()) == step
    assert step_from_canonical(Round(4, "attention").canonical()) == Round(4, "attention")


def test_steps_say_what_they_are():
    assert Quantize("fp16").label == "Quantize(fp16)"
    assert Quantize("llm.int8", threshold=4.0).label == "Quantize(llm.int8, threshold 4)"
    assert Quantize("dynamic", engine="x86").label == "Quantize(dynamic, engine x86)"
    assert Quantize("onnx-int8").columns() == {"form": "onnx-int8"}
    assert (Round(4).label, Round(3, "embeddings").label) == ("Round(4)", "Round(3, embeddings)")
    assert Round(3, "embeddings").columns() == {"form": "fp32", "bits": 3, "part": "embeddings"}
    assert Quantize("fp16").inputs() == {}
    with_data = Quantize("llm.int8", dataset="sample", language="swa")
    assert with_data.inputs() == {"sample/swa": splits.fingerprint("sample", "swa")}


def test_the_report_says_where_the_bytes_were_and_are(tagger):
    quantized, report = Quantize("dynamic").apply(tagger)
    assert quantized.form == "dynamic"
    assert report["bytes_before"] == formats.bytes_by_part(tagger.network)
    assert report["bytes_after"] == formats.bytes_by_part(quantized.network)
    assert report["engine"] == formats.engines()[0]
    assert report["types_after"]["embeddings"] == {"float32": report["bytes_before"]["embeddings"]}
    assert report["parameters_before"] == report["parameters_after"] == encoders.parameter_count(tagger.network)


def test_outliers_are_measured_on_the_dev_split_if_it_is_named(tagger, few_sentences):
    _, report = Quantize("llm.int8", threshold=1.0, dataset="sample", language="swa").apply(tagger)
    found = report["outliers"]
    assert found["sentences"] == len(splits.sentences("sample", "swa", "dev")) == 16
    assert 0 < found["values"] < found["columns"] < 1
    assert found["largest"] > 1.0
    assert Quantize("llm.int8").apply(tagger)[1]["outliers"] is None


def test_a_pruned_model_quantizes_and_keeps_its_masks(tagger):
    pruned, _ = Prune(0.5).apply(tagger)
    quantized, _ = Quantize("llm.int8").apply(pruned)
    assert quantized.masks.keys() == pruned.masks.keys()


def test_an_encoder_without_a_head_is_refused(tiny):
    for step in (Quantize("fp16"), Round(8)):
        with pytest.raises(SmallerError, match="needs a model with a classifier"):
            step.apply(tiny)


def test_openvino_is_refused_when_dev_f1_falls_too_far():
    step = Quantize("openvino-int8", dataset="sample", language="swa", calibration=8)
    expected = {"dev_f1_before": 60.0, "dev_f1_after": 59.5, "calibration_sentences": 8}
    assert step._checked(60.0, 59.5) == expected and step._checked(60.0, 61.0)["dev_f1_after"] == 61.0
    with pytest.raises(SmallerError, match=r"sample/swa from 60.0 to 58.5, a fall of more than 1 points"):
        step._checked(60.0, 58.5)


def test_calibration_takes_sentences_spread_over_a_split(tagger, few_sentences):
    rows = Quantize("openvino-int8", dataset="sample", language="swa", calibration=5)._rows(tagger, "train")
    sentences = splits.sentences("sample", "swa", "train")
    chosen = [sentences[round(place * (len(sentences) - 1) / 4)] for place in range(5)]
    expected = tagger.tokenizer([list(sentence.words) for sentence in chosen], is_split_into_words=True)["input_ids"]
    assert [row.tolist() for row in rows] == expected


def test_rounding_by_hand():
    weight = torch.tensor([[0.7, -0.3, 0.1, 0.0], [0.0, 0.0, 0.0, 0.0], [-2.0, 1.0, 0.4, 0.2]])
    # Three bits: levels -3 to 3. Scales 0.7/3 and 2/3; 0.3 / (0.7/3) = 1.29 -> 1, 0.1 -> 0.43 -> 0; 1.5 -> 2 (to even).
    by_hand = torch.tensor([[0.7, -0.7 / 3, 0.0, 0.0], [0.0] * 4, [-2.0, 4 / 3, 2 / 3, 0.0]])
    assert torch.allclose(round_weight(weight, 3), by_hand)
    assert torch.allclose(
        round_weight(weight, 2), torch.tensor([[0.7, 0.0, 0.0, 0.0], [0.0] * 4, [-2.0, 0.0, 0.0, 0.0]])
    )


@pytest.mark.parametrize("parts", ROUNDED_PARTS)
def test_only_the_named_part_is_rounded(tagger, parts):
    rounded, report = Round(3, parts).apply(tagger)
    before, after = (dict(model.network.named_parameters()) for model in (tagger, rounded))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    expected = {
        "embeddings": {name for name in before if "_embeddings." in name},
        "attention": {name for name in before if ".attention." in name and "dense.weight" in name or ".self." in name},
        "feed_forward": {
            f"roberta.encoder.layer.{layer}.{name}.dense.weight"
            for layer in (0, 1)
            for name in ("intermediate", "output")
        },
        "classifier": {"classifier.weight"},
    }
    expected = {family: {name for name in names if name.endswith("weight")} for family, names in expected.items()}
    expected["all"] = set().union(*expected.values())
    assert set(report["touched"]) == expected[parts]
    assert changed == expected[parts]
    for name in changed:
        assert torch.equal(after[name], round_weight(before[name], 3))
    assert 0.05 < report["relative_change"] < 0.6
    assert rounded.form == "fp32"
    assert tagger.form == TRAINED


def test_fewer_bits_change_more(tagger):
    changes = [Round(bits).apply(tagger)[1]["relative_change"] for bits in (8, 6, 4, 3)]
    assert changes == sorted(changes)
    assert changes[0] < 0.01


def test_rounding_leaves_pruned_weights_at_zero(tagger):
    pruned, _ = Prune(0.6).apply(tagger)
    rounded, _ = Round(4).apply(pruned)
    for parameter, mask in rounded.masked_parameters():
        assert not parameter[~mask].any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [((1,), "from 2 to 8; it is 1"), ((4.0,), "it is 4.0"), ((4, "heads"), "it is 'heads'"), ((True,), "it is True")],
)
def test_wrong_rounding_is_found_at_once(settings, message):
    with pytest.raises(SmallerError, match=message):
        Round(*settings)


def test_rounding_comes_before_quantization(tagger):
    rounded, _ = Round(8).apply(tagger)
    assert Quantize("fp16").apply(rounded)[0].form == "fp16"
    with pytest.raises(SmallerError, match="Round needs weights in fp32"):
        Round(8).apply(Quantize("fp16").apply(tagger)[0])
