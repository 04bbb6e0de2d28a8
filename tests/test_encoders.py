"""Encoders: exact parameter counts, folders that round-trip, and one clear error for each that is damaged."""

import hashlib
import json
import shutil
from dataclasses import replace

import played_hub
import pytest
import sentencepiece
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM, AutoModelForTokenClassification, AutoTokenizer

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data.tasks import bio_labels
from smaller.encoders import ENCODERS, Encoder, Model
from smaller.study.steps import Prune

LABELS = bio_labels(("DATE", "PER", "ORG", "LOC"))
SENTENCE = "Asha anaishi Nairobi tangu 2019 ."


def count(encoder: Encoder | str, *, tagger: bool = False) -> int:
    config = encoders.configuration(encoder)
    config.num_labels = 9
    with torch.device("meta"):
        network = (AutoModelForTokenClassification if tagger else AutoModelForMaskedLM).from_config(config)
    return encoders.parameter_count(network)


@torch.inference_mode()
def logits(model: Model) -> torch.Tensor:
    return model.network(**model.tokenizer(SENTENCE, return_tensors="pt")).logits


@pytest.fixture(scope="module")
def tagger(tiny):
    """A pruned model with a token-classification head."""
    pruned, _ = Prune(0.6, include="linear+embeddings").apply(tiny)
    return encoders.with_classifier(pruned, LABELS, seed=1)


@pytest.fixture
def folder(tagger, tmp_path):
    encoders.save(tagger, tmp_path / "tagger")
    return tmp_path / "tagger"


@pytest.mark.parametrize(
    ("name", "masked_language", "tagging"),
    [
        ("afriberta-small", 83_175_286, 82_520_073),
        ("afriberta-base", 111_526_774, 110_871_561),
        ("afriberta-large", 125_702_518, 125_047_305),
    ],
)
def test_parameter_counts_are_the_exact_ones(name, masked_language, tagging):
    assert count(name) == masked_language
    assert count(name, tagger=True) == tagging


@pytest.mark.parametrize(("name", "millions"), [("mbert", 177.97), ("xlm-r-base", 278.30)])
def test_parameter_counts_of_the_multilingual_encoders(name, millions):
    assert round(count(name) / 1e6, 2) == millions


def test_the_six_layer_student_of_the_first_paper():
    assert count(replace(ENCODERS["afriberta-large"], layers=6)) == 97_351_030
    assert count(replace(ENCODERS["afriberta-base"], layers=6, heads=4)) == 97_351_030


def test_the_sample_family_has_afriberta_s_depth_and_heads():
    for size in ("small", "base", "large"):
        small, published = ENCODERS[f"sample-{size}"], ENCODERS[f"afriberta-{size}"]
        assert (small.layers, small.heads) == (published.layers, published.heads)
        assert small.hidden < published.hidden / 10
        assert not small.pretrained
    config = encoders.load("sample-small").network.config
    assert (config.num_hidden_layers, config.hidden_size, config.vocab_size) == (4, 72, len(sample_tokenizer()))


def sample_tokenizer():
    from smaller.data import sample

    return sample.tokenizer()


def test_building_is_decided_by_the_seed(tiny):
    def first_weight(seed):
        return encoders.build(tiny.network.config, seed=seed).base_model.embeddings.word_embeddings.weight

    assert torch.equal(first_weight(1), first_weight(1))
    assert not torch.equal(first_weight(1), first_weight(2))


def test_a_classifier_stands_on_the_same_encoder(tiny, tagger):
    fresh = encoders.with_classifier(tiny, LABELS, seed=1)
    for name, value in tiny.backbone.state_dict().items():
        assert torch.equal(value, fresh.backbone.state_dict()[name]), name
    assert fresh.labels == LABELS and fresh.network.config.id2label == dict(enumerate(LABELS))
    other = encoders.with_classifier(tiny, LABELS, seed=2)
    assert not torch.equal(fresh.network.classifier.weight, other.network.classifier.weight)
    again = encoders.with_classifier(tiny, LABELS, seed=1)
    assert torch.equal(fresh.network.classifier.weight, again.network.classifier.weight)
    assert tagger.masks and tiny.labels == () and not tiny.masks


def test_a_copy_is_independent(tiny):
    copied = tiny.copy()
    with torch.no_grad():
        copied.backbone.embeddings.word_embeddings.weight.zero_()
    assert tiny.backbone.embeddings.word_embeddings.weight.any()
    # The tied head of a masked-language model follows its own embedding, not that of the original.
    assert not copied.network.get_output_embeddings().weight.any()


def test_building_loading_and_heads_leave_the_global_random_state_alone(tiny):
    before = torch.get_rng_state()
    encoders.build(tiny.network.config, seed=5)
    encoders.with_classifier(tiny, LABELS, seed=5)
    encoders.load("sample-small")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_saved_tagger_opens_with_equal_outputs_labels_and_masks(tagger, folder):
    opened = encoders.open_folder(folder)
    assert torch.equal(logits(opened), logits(tagger))
    assert opened.labels == LABELS
    assert opened.masks.keys() == tagger.masks.keys()
    for name, mask in tagger.masks.items():
        assert opened.masks[name].dtype == torch.bool and torch.equal(opened.masks[name], mask)
    assert all(not parameter[~mask].any() for parameter, mask in opened.masked_parameters())
    assert opened.tokenizer(SENTENCE)["input_ids"] == tagger.tokenizer(SENTENCE)["input_ids"]
    assert not opened.network.training


def test_a_saved_language_model_opens_with_equal_outputs_and_a_tied_head(tiny, tmp_path):
    encoders.save(tiny, tmp_path / "tiny")
    opened = encoders.open_folder(tmp_path / "tiny")
    assert torch.equal(logits(opened), logits(tiny))
    assert opened.labels == () and opened.masks == {}
    assert opened.network.get_output_embeddings().weight is opened.network.get_input_embeddings().weight
    assert encoders.shape(opened) == encoders.shape(tiny)


def test_plain_transformers_loads_a_saved_pruned_model(tagger, folder):
    network = AutoModelForTokenClassification.from_pretrained(folder)
    for name, value in tagger.network.state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer(SENTENCE)["input_ids"] == tagger.tokenizer(SENTENCE)["input_ids"]


def test_only_safetensors_are_written(folder):
    assert (folder / "model.safetensors").is_file() and (folder / encoders.MASKS_FILE).is_file()
    assert not list(folder.glob("*.bin")) + list(folder.glob("*.pt"))


def test_masks_of_an_earlier_model_do_not_outlive_it(tiny, tagger, folder):
    encoders.save(encoders.with_classifier(tiny, LABELS, seed=1), folder)
    assert encoders.open_folder(folder).masks == {}


def test_weights_in_half_precision_are_read_as_fp32(tiny, tmp_path):
    half = tiny.copy()
    half.network.half()
    encoders.save(half, tmp_path / "half")
    opened = encoders.open_folder(tmp_path / "half")
    assert {parameter.dtype for parameter in opened.network.parameters()} == {torch.float32}
    head = encoders.with_classifier(opened, LABELS, seed=1)
    assert {parameter.dtype for parameter in head.network.parameters()} == {torch.float32}


def test_a_path_and_a_name_under_smaller_models_are_the_same_encoder(folder, tagger, rooms):
    rooms(models=folder.parent)
    assert encoders.source("tagger") == folder
    assert torch.equal(logits(encoders.load("tagger")), logits(tagger))
    rooms(models=None)
    assert torch.equal(logits(encoders.load(str(folder))), logits(tagger))


def test_a_folder_under_smaller_models_stands_for_a_published_name(folder, tmp_path, rooms):
    shutil.copytree(folder, tmp_path / "models" / "mbert")
    rooms(models=tmp_path / "models")
    assert encoders.source("mbert") == tmp_path / "models" / "mbert"
    assert encoders.source("xlm-r-base") == encoders.ENCODERS["xlm-r-base"]


def test_the_revision_of_a_folder_is_its_content(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    shutil.copytree(folder, tmp_path / "changed")
    weights = load_file(folder / "model.safetensors")
    weights["classifier.bias"] = weights["classifier.bias"] + 1
    save_file(weights, tmp_path / "changed" / "model.safetensors", metadata={"format": "pt"})
    revisions = [encoders.revision(str(path)) for path in (folder, tmp_path / "copy", tmp_path / "changed")]
    assert revisions[0] == revisions[1] != revisions[2]
    assert revisions[0].startswith("sha256:")
    assert encoders.revision("sample-small") != encoders.revision("sample-base")


def without_weights(folder):
    (folder / "model.safetensors").unlink()


def without_configuration(folder):
    (folder / "config.json").unlink()


def without_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def damaged_configuration(folder):
    (folder / "config.json").write_text('{"model_type": "xlm-rob')


def configuration_of_no_encoder(folder):
    (folder / "config.json").write_text('{"model_type": "nothing-known"}')


def damaged_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{")


def damaged_weights(folder):
    (folder / "model.safetensors").write_bytes(b"\0" * 100)


def cut_weights(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def weights_that_lack_a_layer(folder):
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layer.1." not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})


def weights_of_another_shape(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 64}))


def damaged_masks(folder):
    (folder / encoders.MASKS_FILE).write_bytes(b"{}")


DAMAGE = {
    without_weights: "holds no model.safetensors",
    without_configuration: "holds no config.json",
    without_tokenizer: "holds no tokenizer.json",
    damaged_configuration: "could not be read",
    configuration_of_no_encoder: "which no step knows",
    damaged_tokenizer: "could not be read",
    damaged_weights: "could not be read",
    cut_weights: "could not be read",
    weights_that_lack_a_layer: "lack 16 tensors, such as roberta.encoder.layer.1",
    weights_of_another_shape: "could not be read",
    damaged_masks: "could not be read",
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.items(), ids=[damage.__name__ for damage in DAMAGE])
def test_a_damaged_folder_is_one_clear_error(damage, message, folder):
    damage(folder)
    with pytest.raises(SmallerError, match=message) as raised:
        encoders.load(str(folder))
    assert str(folder) in str(raised.value)


def test_an_unknown_name_suggests_the_nearest(folder, rooms):
    rooms(models=None)
    with pytest.raises(SmallerError, match=r"SMALLER_MODELS is not set.*Did you mean 'afriberta-base'\?"):
        encoders.load("afriberta-bas")
    rooms(models=folder.parent)
    with pytest.raises(SmallerError, match=r"Did you mean 'tagger'\?"):
        encoders.load("taggr")
    with pytest.raises(SmallerError, match="no such folder"):
        encoders.load("models/that/are/not/here")


def test_smaller_models_that_points_nowhere(tmp_path, rooms):
    rooms(models=tmp_path / "nowhere")
    with pytest.raises(SmallerError, match="SMALLER_MODELS is .*nowhere, which is not a folder"):
        encoders.load("mini-base")
    assert encoders.load("sample-small").network.config.num_hidden_layers == 4


def test_prunable_weights_are_the_linear_ones_of_the_encoder(tiny, tagger):
    for model in (tiny, tagger):
        linear, embeddings = encoders.linear_weights(model), encoders.embedding_weights(model)
        assert len(linear) == 2 * 6 and all(weight.ndim == 2 for weight in linear.values())
        assert set(embeddings) == {
            f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")
        }
        assert sum(weight.numel() for weight in linear.values()) == 2 * (4 * 24 * 24 + 2 * 24 * 48)


# Folders that people have: each opens as the plain one does.


def only_a_good_pickle(folder):
    weights = load_file(folder / "model.safetensors")
    old = {"roberta.embeddings.position_ids": torch.arange(514)[None]} | weights
    old["lm_head.decoder.weight"] = old["roberta.embeddings.word_embeddings.weight"]
    torch.save(old, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def sharded(folder):
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    parts = [dict(list(weights.items())[:10]), dict(list(weights.items())[10:])]
    places = {}
    for number, part in enumerate(parts, start=1):
        name = f"model-0000{number}-of-00002.safetensors"
        save_file(part, folder / name, metadata={"format": "pt"})
        places |= dict.fromkeys(part, name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def in_half_precision(folder):
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: value.half() for name, value in weights.items()}, folder / "model.safetensors", metadata={"format": "pt"}
    )


def another_padding_in_the_configuration(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": 0}))


@pytest.fixture
def plain(tiny, tmp_path):
    encoders.save(tiny, tmp_path / "plain")
    return tmp_path / "plain"


@pytest.mark.parametrize("change", [only_a_good_pickle, sharded, in_half_precision])
def test_the_layouts_that_people_have_open_as_the_plain_one(change, plain, tiny, fresh_folders):
    change(plain)
    opened = encoders.open_folder(plain)
    tolerance = 2e-3 if change is in_half_precision else 0
    assert opened.network.dtype == torch.float32
    assert torch.allclose(logits(opened), logits(tiny), atol=tolerance, rtol=0)
    assert encoders.head_note(opened) == {}
    assert encoders.open_folder(plain).network.get_output_embeddings() is not None


def test_a_pickle_is_converted_once_and_what_it_was_stays_on_record(plain, fresh_folders):
    only_a_good_pickle(plain)
    encoders.open_folder(plain)
    (about,) = (fresh_folders / "ca che" / "encoders").rglob("about.json")
    told = json.loads(about.read_text())
    digest = hashlib.sha256((plain / "pytorch_model.bin").read_bytes()).hexdigest()
    assert told["origin"] == {"folder": "plain"} and told["files"] == {"pytorch_model.bin": digest}
    assert (
        told["result"]["model.safetensors"]
        == hashlib.sha256((about.parent / "model.safetensors").read_bytes()).hexdigest()
    )
    names = load_file(about.parent / "model.safetensors").keys()
    assert "roberta.embeddings.position_ids" not in names and "lm_head.decoder.weight" not in names
    before = {file: file.stat().st_mtime_ns for file in about.parent.iterdir()}
    encoders.open_folder(plain)
    assert {file: file.stat().st_mtime_ns for file in about.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.zeros(2), "steps": 7}, "holds more than plain tensors: 'steps' is a int"),
        ([torch.zeros(2)], "holds a list and no table of tensors"),
        ({"a": print}, "names (builtins.)?print, so that reading it would run code"),
    ],
)
def test_a_pickle_of_anything_but_tensors_is_refused_by_name(content, message, plain, fresh_folders):
    (plain / "model.safetensors").unlink()
    torch.save(content, plain / "pytorch_model.bin")
    with pytest.raises(SmallerError, match=message):
        encoders.open_folder(plain)


def test_a_sentence_piece_model_serves_without_a_tokenizer_file(tmp_path, fresh_folders):
    for name, content in played_hub.afriberta("small").files.items():
        (tmp_path / "by hand").mkdir(exist_ok=True)
        (tmp_path / "by hand" / name).write_bytes(content)
    model = encoders.open_folder(tmp_path / "by hand")
    processor = sentencepiece.SentencePieceProcessor(model_proto=played_hub.sentence_piece())
    expected = [3 if piece == 0 else piece + 1 for piece in processor.encode(SENTENCE)]
    assert model.tokenizer(SENTENCE)["input_ids"] == [0, *expected, 2]
    assert model.tokenizer.convert_tokens_to_ids("<mask>") == len(model.tokenizer) - 1
    (tmp_path / "by hand" / "sentencepiece.bpe.model").unlink()
    with pytest.raises(SmallerError, match=r"holds no tokenizer.json \(or sentencepiece.bpe.model, or vocab.txt\)"):
        encoders.open_folder(tmp_path / "by hand")


def test_an_encoder_without_a_head_gets_one_that_is_drawn_once_and_said(plain, tiny, fresh_folders):
    kept = {name: value for name, value in load_file(plain / "model.safetensors").items() if name.startswith("roberta")}
    save_file(kept, plain / "model.safetensors", metadata={"format": "pt"})
    first, second = encoders.open_folder(plain), encoders.open_folder(plain)
    assert torch.equal(logits(first), logits(second)) and not torch.equal(logits(first), logits(tiny))
    assert first.network.get_output_embeddings().weight is first.network.get_input_embeddings().weight
    assert "drawn from seed 0" in encoders.head_note(first)["masked_language_head"]
    tagger = encoders.with_classifier(first, LABELS, seed=1)
    assert encoders.head_note(tagger) == {}
    encoders.save(first, plain.parent / "again")
    assert encoders.head_note(encoders.open_folder(plain.parent / "again")) == encoders.head_note(first)


def test_labels_without_names_are_read(tagger, tmp_path):
    encoders.save(tagger, tmp_path / "unnamed")
    config = json.loads((tmp_path / "unnamed" / "config.json").read_text())
    config["id2label"] = {str(index): f"LABEL_{index}" for index in range(len(LABELS))}
    config["label2id"] = {f"LABEL_{index}": index for index in range(len(LABELS))}
    (tmp_path / "unnamed" / "config.json").write_text(json.dumps(config))
    assert encoders.open_folder(tmp_path / "unnamed").labels == tuple(f"LABEL_{index}" for index in range(len(LABELS)))


def test_paddings_that_disagree_are_mended_for_bert_and_refused_where_positions_hang_on_them(
    plain, tmp_path, fresh_folders
):
    for name, content in played_hub.e5_small().files.items():
        if "/" not in name:
            (tmp_path / "e5").mkdir(exist_ok=True)
            (tmp_path / "e5" / name).write_bytes(content)
    config = json.loads((tmp_path / "e5" / "config.json").read_text())
    model = encoders.open_folder(tmp_path / "e5")
    assert (config["pad_token_id"], model.tokenizer.pad_token_id, model.network.config.pad_token_id) == (0, 1, 1)
    batch = model.tokenizer([SENTENCE, "Asha"], return_tensors="pt", padding=True)
    alone = model.tokenizer("Asha", return_tensors="pt")
    with torch.inference_mode():
        padded, single = (model.network(**given).logits for given in (batch, alone))
    assert torch.allclose(padded[1, : single.shape[1]], single[0], atol=1e-5)
    another_padding_in_the_configuration(plain)
    with pytest.raises(
        SmallerError, match="positions from the padding token of config.json, 0, and its tokenizer pads"
    ):
        encoders.open_folder(plain)
