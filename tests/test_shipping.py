"""Shipped folders: the same predictions in another process for every form, one error for a wrong folder."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from transformers import AutoModelForTokenClassification

from smaller import encoders, formats
from smaller.base.errors import SmallerError
from smaller.data.tasks import bio_labels
from smaller.encoders import Model
from smaller.formats.card import metadata
from smaller.formats.shipping import folder_bytes, open_shipped, predict_command, ship, shipped_bytes
from smaller.prediction.tagging import tag
from smaller.serving.folder import files_of
from smaller.study.steps import FineTune, Prune, TrimVocabulary

LABELS = bio_labels(("PER", "LOC", "ORG", "DATE"))
SENTENCES = [
    "Wizkid yayi wasa a Lagos ranar Asabar, kuma ya gana da jama'a.",
    "",
    "አበበ ወደ አዲስ አበባ ሄደ።",
    "Kano ta " * 300,
]
CARD = {
    "title": "A tagger for Hausa",
    "languages": ["hau"],
    "recipe": "tiny: FineTune(sample/hau, seed 1)",
    "data": [{"name": "sample", "licence": "Apache-2.0", "citation": "the embedded sample"}],
    "scores": [
        {
            "set": "sample/hau/test",
            "metric": "span F1",
            "score": 71.2,
            "mean": 70.5,
            "low": 69.0,
            "high": 72.0,
            "seeds": 3,
        },
        {"set": "sample/hau/dev", "metric": "span F1", "score": 73.4},
    ],
    "cost": {"latency": "12.3 ms for a sentence"},
    "licence": "Apache-2.0",
}


@pytest.fixture(scope="module")
def tagger(tiny) -> Model:
    return encoders.with_classifier(tiny, LABELS, seed=1)


@pytest.fixture(scope="module")
def models(tagger) -> dict[str, Model]:
    """The tagger in every form whose library is here."""
    rows = [torch.arange(5, 5 + length) for length in range(4, 24, 2)]
    names = [name for name in formats.FORMATS if name != "openvino-int8" or _has_openvino()]
    return {encoders.TRAINED: tagger} | {name: formats.convert(tagger, name, rows=rows) for name in names}


def _has_openvino() -> bool:
    try:
        import nncf  # noqa: F401
    except ImportError:
        return False
    return True


@pytest.fixture(scope="module")
def shipped(models, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a shipped folder of each form, in a place whose name holds a space."""
    place = tmp_path_factory.mktemp("shipped models")
    for name, model in models.items():
        ship(model, place / name, card=CARD)
    return place


@pytest.fixture
def broken(shipped, tmp_path):
    """A copy of a shipped folder, to be damaged."""
    return lambda form: Path(shutil.copytree(shipped / form, tmp_path / form))


def plain(tagged) -> list[dict]:
    return json.loads(json.dumps([dataclasses.asdict(sentence) for sentence in tagged]))


def test_a_fresh_process_gives_the_same_predictions(models, shipped):
    script = (
        "import dataclasses, json, sys, torch\n"
        "from smaller.formats.shipping import open_shipped\n"
        "from smaller.prediction.tagging import tag\n"
        "torch.set_num_threads(int(sys.argv[1]))\n"
        "for folder in sys.argv[3:]:\n"
        "    model = open_shipped(folder)\n"
        "    found = [dataclasses.asdict(sentence) for sentence in tag(model, json.loads(sys.argv[2]))]\n"
        "    print(json.dumps([model.form, type(model.network).__name__, found]))\n"
    )
    command = [sys.executable, "-c", script, str(torch.get_num_threads()), json.dumps(SENTENCES)]
    answer = subprocess.run(
        [*command, *(str(shipped / name) for name in models)], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr
    lines = [json.loads(line) for line in answer.stdout.splitlines()]
    assert len(lines) == len(models)
    for (name, model), (form, kind, found) in zip(models.items(), lines, strict=True):
        assert (form, kind) == (name, type(model.network).__name__)
        assert found == plain(tag(model, SENTENCES)), name
        assert any(sentence["entities"] for sentence in found), name


def test_a_folder_holds_all_that_is_needed(models, shipped):
    for name in models:
        about = json.loads((shipped / name / "smaller.json").read_bytes())
        files = {name for name, _ in files_of(shipped / name)} | {"README.md", "smaller.json"}
        assert {"onnx/model_quantized.onnx", "run.py"} <= files or name != "onnx-int8"
        assert {"README.md", "smaller.json", "tokenizer.json", "config.json"} <= files
        assert set(about["files"]) == files - {"README.md", "smaller.json"}
        assert about["form"] == name
        assert about["labels"] == list(LABELS)
        assert not any(file.endswith((".pt", ".bin", ".pkl")) for file in files if not file.startswith("openvino"))


def test_folders_weigh_what_the_weights_take(models, shipped):
    for form in ("fp32", "fp16", "dynamic", "llm.int8"):
        (file,) = (shipped / form).glob("*.safetensors")
        taken = formats.bytes_in_memory(models[form].network)
        assert taken <= file.stat().st_size < taken + 10_000  # the names of the tensors come on top


def test_the_bytes_that_ship_are_known_before_and_after_to_the_byte(models, shipped):
    for name, model in models.items():
        files = [file for file in (shipped / name).rglob("*") if file.is_file() and file.name != "README.md"]
        assert shipped_bytes(model) == sum(file.stat().st_size for file in files) == folder_bytes(shipped / name), name
        assert shipped_bytes(open_shipped(shipped / name)) == folder_bytes(shipped / name), name
        said = f"- {folder_bytes(shipped / name) / 1e6:,.2f} MB to ship: all files of this folder but this page\n"
        assert said in (shipped / name / "README.md").read_text(encoding="utf-8")


def test_the_bytes_that_ship_of_other_models(tiny, tagger, few_sentences, tmp_path):
    adapted, _ = FineTune("sample", "swa", epochs=1, adapter=4).apply(tiny)
    texts = encoders.with_classifier(tiny, ("health", "sports"), seed=0, unit="text")
    trimmed, _ = TrimVocabulary(900, languages=("swa",)).apply(tagger)
    pruned, _ = Prune(0.6).apply(tagger)
    for place, model in enumerate((adapted, texts, trimmed, pruned)):
        folder = ship(model, tmp_path / str(place))
        assert shipped_bytes(model) == folder_bytes(folder)
    assert folder_bytes(tmp_path / "3") == shipped_bytes(tagger)  # a zero takes as many bytes as any other weight
    assert shipped_bytes(tiny) is None


def test_the_weights_are_counted_without_being_written(tiny, tmp_path, small_files):
    shape = encoders.configuration(encoders.Encoder("wide", 1, 2, 128, 128), vocabulary=len(tiny.tokenizer))
    wide = encoders.with_classifier(Model(encoders.build(shape, seed=1), tiny.tokenizer), LABELS, seed=1)
    for model in (wide, formats.convert(wide, "fp16")):
        folder = ship(model, tmp_path / "wide")
        with small_files((folder / "model.safetensors").stat().st_size - 1):
            assert shipped_bytes(model) == folder_bytes(folder)


def test_a_folder_does_not_depend_on_what_the_tokenizer_read_last(tagger, tmp_path):
    def content(folder):
        return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "README.md"}

    first = content(ship(tagger, tmp_path / "first"))
    tagger.tokenizer([["Wizkid"]], is_split_into_words=True, truncation=True, max_length=7, padding=True)
    assert content(ship(tagger, tmp_path / "second")) == first
    encoders.save(tagger, tmp_path / "kept")  # with what the last call has left
    tagger.tokenizer([["Wizkid"]], is_split_into_words=True, truncation=True, max_length=7, padding=True)
    encoders.save(tagger, tmp_path / "kept")
    assert content(ship(encoders.open_folder(tmp_path / "kept"), tmp_path / "third")) == first


@pytest.mark.parametrize("form", [encoders.TRAINED, "fp32", "fp16", "bf16", "llm.int8"])
def test_transformers_alone_reads_what_has_no_special_files(form, models, shipped):
    pieces = torch.tensor(models[form].tokenizer(["Wizkid yayi wasa a Lagos ranar Asabar ."])["input_ids"])
    with torch.no_grad():
        network = AutoModelForTokenClassification.from_pretrained(shipped / form, local_files_only=True)
        found = network(input_ids=pieces).logits.float()
    assert torch.equal(found, models[form].network(input_ids=pieces).logits.detach().float())


def test_a_pruned_model_is_read_by_transformers_with_its_zeros(tagger, tmp_path):
    pruned, _ = Prune(0.6).apply(tagger)
    ship(pruned, tmp_path / "pruned")
    network = AutoModelForTokenClassification.from_pretrained(tmp_path / "pruned", local_files_only=True)
    weight = network.roberta.encoder.layer[0].output.dense.weight
    assert torch.equal(weight, pruned.network.roberta.encoder.layer[0].output.dense.weight)
    assert (weight == 0).any()
    assert tag(open_shipped(tmp_path / "pruned"), SENTENCES) == tag(pruned, SENTENCES)


@pytest.mark.parametrize("form", ["dynamic", "llm.int8", "onnx", "onnx-int8", "openvino-int8"])
def test_the_encoder_loader_refuses_other_forms(form, models, shipped):
    if form not in models:
        pytest.skip("without the extra")
    with pytest.raises(SmallerError, match=re.escape(str(shipped / form))):
        encoders.open_folder(shipped / form)


def test_a_folder_is_not_opened_as_another_form(broken):
    for form, other in (("dynamic", "fp32"), ("onnx-int8", "llm.int8"), ("fp16", "dynamic"), ("dynamic", "onnx")):
        folder = broken(form)
        about = json.loads((folder / "smaller.json").read_bytes())
        (folder / "smaller.json").write_text(json.dumps(about | {"form": other}))
        with pytest.raises(SmallerError, match=re.escape(str(folder))):
            open_shipped(folder)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 3}, "has format 3, and this version of smaller .* reads format 2. Use a newer one"),
        ({"form": "int4"}, "no format 'int4'"),
        ({"files": {"model.onnx": "sha256:0"}}, "not as it was shipped: model.onnx is missing or changed"),
        ({"files": 3}, "cannot be read"),
    ],
)
def test_a_changed_description_is_one_clear_error(broken, change, message):
    folder = broken("onnx-int8")
    about = json.loads((folder / "smaller.json").read_bytes())
    (folder / "smaller.json").write_text(json.dumps(about | change))
    with pytest.raises(SmallerError, match=message):
        open_shipped(folder)


def test_damaged_weights_are_noticed(broken):
    folder = broken("dynamic")
    file = folder / "dynamic.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(SmallerError, match="dynamic.safetensors is missing or changed"):
        open_shipped(folder)
    file.unlink()
    with pytest.raises(SmallerError, match="dynamic.safetensors is missing or changed"):
        open_shipped(folder)


def test_folders_that_were_not_shipped(tiny, tagger, tmp_path):
    with pytest.raises(SmallerError, match="There is no folder"):
        open_shipped(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SmallerError, match="holds no config.json"):
        open_shipped(tmp_path / "empty")
    encoders.save(tiny, tmp_path / "encoder")
    with pytest.raises(SmallerError, match="without a classifier"):
        open_shipped(tmp_path / "encoder")
    encoders.save(tagger, tmp_path / "tagger")
    assert tag(open_shipped(tmp_path / "tagger"), SENTENCES) == tag(tagger, SENTENCES)


def test_another_engine_is_taken_where_the_first_is_missing(models, broken):
    folder = broken("dynamic")
    about = json.loads((folder / "smaller.json").read_bytes())
    (folder / "smaller.json").write_text(json.dumps(about | {"settings": {"engine": "of another processor"}}))
    model = open_shipped(folder)
    assert model.network.engine == formats.engines()[0]
    assert tag(model, SENTENCES) == tag(models["dynamic"], SENTENCES)


def test_a_missing_library_is_said_when_a_folder_is_opened(shipped, absent):
    absent("bitsandbytes")
    with pytest.raises(SmallerError, match="needs the package bitsandbytes"):
        open_shipped(shipped / "llm.int8")


def test_shipping_replaces_what_was_shipped_and_nothing_else(tagger, models, tmp_path):
    ship(tagger, tmp_path / "model")
    ship(models["dynamic"], tmp_path / "model")
    assert open_shipped(tmp_path / "model").form == "dynamic"
    assert not (tmp_path / "model" / "model.safetensors").exists()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(SmallerError, match="holds something else"):
        ship(tagger, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "thesis"]


def test_a_full_disk_leaves_what_was_there(tagger, models, tmp_path, small_files):
    ship(models["dynamic"], tmp_path / "model")
    with small_files(20_000), pytest.raises(SmallerError, match="could not be written"):
        ship(tagger, tmp_path / "model")
    with small_files(20_000), pytest.raises(SmallerError, match="bytes that ship could not be counted.*Make room in"):
        shipped_bytes(tagger)
    assert open_shipped(tmp_path / "model").form == "dynamic"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_an_encoder_without_a_classifier_is_not_shipped(tiny, tmp_path):
    with pytest.raises(SmallerError, match="Only a model with a classifier"):
        ship(tiny, tmp_path / "model")


def test_the_card_says_what_it_was_told(shipped):
    card = (shipped / "onnx-int8" / "README.md").read_text(encoding="utf-8")
    for text in (
        "# A tagger for Hausa",
        "tiny: FineTune(sample/hau, seed 1)",
        "sample, licence Apache-2.0. the",
        "| sample/hau/test | span F1 | 71.2 | 70.5 (69.0 to 72.0, 3 seeds) |",
        "latency: 12.3 ms for a sentence",
        "## Licence\n\nApache-2.0",
        "**onnx-int8**",
        "parameters, 0.1 MB",
    ):
        assert text in card, text


def test_the_hub_reads_the_card(shipped, tagger, tmp_path):
    data = ModelCard.load(shipped / "onnx-int8" / "README.md").data
    assert (data.language, data.pipeline_tag, data.library_name) == (["hau"], "token-classification", "transformers.js")
    result, dev = data.eval_results
    assert (result.task_type, result.dataset_type, result.dataset_name) == (
        "token-classification",
        "sample",
        "sample/hau/test",
    )
    assert (result.metric_type, result.metric_name, result.metric_value) == ("f1", "span F1", 71.2)
    assert (dev.dataset_name, dev.metric_value) == ("sample/hau/dev", 73.4)
    assert (dev.dataset_config, dev.dataset_split) == ("hau", "dev")
    written = yaml.safe_load(data.to_yaml())["model-index"][0]["results"]
    assert [each["dataset"]["name"] for each in written] == ["sample/hau/test", "sample/hau/dev"], "not one set"
    front = (shipped / "fp16" / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    assert yaml.safe_load(front)["library_name"] == "transformers"
    ship(tagger, tmp_path / "model")
    bare = yaml.safe_load((tmp_path / "model" / "README.md").read_text(encoding="utf-8").split("---\n")[1])
    assert bare.keys() == {"pipeline_tag", "library_name", "tags"}


def test_the_front_matter_holds_what_is_known_and_odd_text():
    about = {"unit": "text", "form": "dynamic", "plain": False}
    card = {"languages": ["und"], "license": "mit", "base_model": "owner/name", "example": 'Leo: "ndiyo" # - hapana'}
    found = metadata(about, card, name="model")
    assert found == {
        "license": "mit",
        "base_model": "owner/name",
        "pipeline_tag": "text-classification",
        "tags": ["dynamic"],
        "widget": [{"text": 'Leo: "ndiyo" # - hapana'}],
    }


def test_a_card_without_facts_says_so(tagger, tmp_path):
    ship(tagger, tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert card.count("Not given") == 3
    assert "from_pretrained" in card


def test_the_cards_example_runs(shipped, monkeypatch, capsys):
    monkeypatch.chdir(shipped)
    card = (shipped / "fp16" / "README.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", card, flags=re.DOTALL).group(1)
    assert len(example.strip().splitlines()) == 10
    exec(example, {})
    said = capsys.readouterr().out
    assert said.startswith("Wizkid yayi wasa a Lagos ranar Asabar.\n")
    assert "8 words, 0% of them unknown" in said


def test_the_command_prints_entities(shipped):
    lines = list(predict_command(shipped / "fp32", [SENTENCES[0], "", "北京 和 上海"]))
    assert lines[0] == SENTENCES[0]
    assert any(re.fullmatch(r"  (PER|LOC|ORG|DATE) +\S.*  \(\d+-\d+, 0\.\d\d\)", line) for line in lines)
    assert lines[lines.index("") + 1] == "  no words"
    assert "100% of the words" in lines[lines.index("北京 和 上海") + 1]


def test_the_command_prints_json(shipped):
    lines = list(predict_command(shipped / "fp32", SENTENCES, form="json"))
    found = [json.loads(line) for line in lines]
    model = open_shipped(shipped / "fp32")
    assert found == plain(tag(model, SENTENCES))
    assert found[3]["windows"] > 1
    assert "parts" in list(predict_command(shipped / "fp32", [SENTENCES[3]]))[1]
