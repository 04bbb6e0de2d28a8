"""Encoders as their authors published them: old files, other architectures, heads and tokenizers that are not there."""

from __future__ import annotations

import json
from pathlib import Path

import played_hub
import pytest
import torch
from played_hub import Repository, as_json
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import splits
from smaller.data.tasks import bio_labels
from smaller.encoders import pickles
from smaller.encoders.model import DRAWN_HEAD
from smaller.study import jobs, results
from smaller.study.recipes import Recipe
from smaller.study.steps import Adapt, Distil, FineTune, TrimVocabulary
from smaller.study.unlabelled import look

pytestmark = pytest.mark.usefixtures("fresh_folders")

SHALLOW = {"num_hidden_layers": 2, "num_attention_heads": 2}
SENTENCE = "Asha anaishi Nairobi tangu 2019 ."


def by_hand(folder: Path, repository: Repository, *, without: tuple[str, ...] = (), **config: object) -> Path:
    """A folder with a repository's files as a person fetches them, and another entry or two in the configuration."""
    folder.mkdir(parents=True)
    for name, content in repository.files.items():
        if "/" not in name and name not in without:
            (folder / name).write_bytes(content)
    about = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_bytes(as_json(about | config))
    return folder


@torch.inference_mode()
def hidden(model: encoders.Model, *sentences: str) -> torch.Tensor:
    batch = model.tokenizer(list(sentences), return_tensors="pt", padding=True)
    return model.backbone(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state


@pytest.mark.parametrize(
    ("size", "layers", "expected"), [("small", 4, 83_175_286), ("base", 8, 111_526_774), ("large", 10, 125_702_518)]
)
def test_afriberta_s_own_configurations_have_the_exact_parameter_counts(size, layers, expected, tmp_path):
    published = played_hub.xlm_r_config(
        played_hub.sentence_piece(),
        num_hidden_layers=layers,
        num_attention_heads=6,
        hidden_size=768,
        vocab_size=70_006,
        intermediate_size=3072,
        gradient_checkpointing=False,
        max_length=512,
        transformers_version="4.2.1",
    )
    (tmp_path / "config.json").write_bytes(as_json(published))
    for config in (AutoConfig.from_pretrained(tmp_path), encoders.configuration(f"afriberta-{size}")):
        with torch.device("meta"):
            network = AutoModelForMaskedLM.from_config(config)
        assert encoders.parameter_count(network) == expected


REFUSED = {
    "modernbert": {"model_type": "modernbert", "architectures": ["ModernBertForMaskedLM"]},
    "deberta-v2": {"model_type": "deberta-v2"},
    "albert": {"model_type": "albert"},
    "distilbert": {"model_type": "distilbert"},
    "electra": {"model_type": "electra"},
    "camembert": {"model_type": "camembert"},
    "unnamed": {"model_type": None},
    "relative_key": {"position_embedding_type": "relative_key"},
    "a decoder": {"is_decoder": True},
    "code of its own": {"auto_map": {"AutoModel": "model.Own"}},
}


@pytest.mark.parametrize(("name", "config"), REFUSED.items(), ids=list(REFUSED))
def test_an_architecture_that_no_step_knows_is_refused_by_name(name, config, tmp_path):
    folder = by_hand(tmp_path / "other", played_hub.afriberta("small", **SHALLOW), **config)
    with pytest.raises(SmallerError, match=f"{name}.* Encoders of the types xlm-roberta, roberta, bert are") as raised:
        encoders.source(str(folder))
    assert str(folder) in str(raised.value)


def test_a_pickle_of_the_first_years_opens_as_plain_transformers_opens_it(tmp_path):
    folder = by_hand(tmp_path / "minilm", played_hub.minilm(**SHALLOW))
    state = torch.load(folder / "pytorch_model.bin", weights_only=True)
    torch.save(
        {name: value.half() for name, value in state.items()},
        folder / "pytorch_model.bin",
        _use_new_zipfile_serialization=False,
    )
    opened = encoders.open_folder(folder)
    plain = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    batch = AutoTokenizer.from_pretrained(folder)([SENTENCE, "Asha"], return_tensors="pt", padding=True)
    with torch.inference_mode():
        expected = plain(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    assert torch.equal(hidden(opened, SENTENCE, "Asha"), expected)
    assert opened.network.dtype == torch.float32


def test_tensors_that_share_their_memory_in_other_ways_are_kept_apart(plain_pickle):
    values = torch.arange(6.0)
    file = plain_pickle({"whole": values, "turned": values.view(2, 3), "part": values[2:4], "again": values})
    kept = pickles.once(pickles.tensors([file]))
    assert list(kept) == ["whole", "turned", "part"]
    save_file(kept, file.with_suffix(".safetensors"))
    found = load_file(file.with_suffix(".safetensors"))
    assert torch.equal(found["turned"], values.view(2, 3)) and torch.equal(found["part"], values[2:4])


@pytest.fixture
def plain_pickle(tmp_path):
    def write(state: dict) -> Path:
        torch.save(state, tmp_path / "pytorch_model.bin")
        return tmp_path / "pytorch_model.bin"

    return write


def test_a_pickle_in_parts_is_put_together_and_a_missing_part_is_named(tmp_path):
    folder = by_hand(tmp_path / "parts", played_hub.afriberta("small", **SHALLOW))
    whole = encoders.open_folder(folder)
    state = list(torch.load(folder / "pytorch_model.bin", weights_only=True).items())
    names = [f"pytorch_model-0000{number}-of-00002.bin" for number in (1, 2)]
    for name, part in zip(names, (state[:9], state[9:]), strict=True):
        torch.save(dict(part), folder / name)
    (folder / "pytorch_model.bin").unlink()
    (folder / "pytorch_model.bin.index.json").write_text("{}")
    assert torch.equal(hidden(encoders.open_folder(folder), SENTENCE), hidden(whole, SENTENCE))
    (folder / names[1]).unlink()
    with pytest.raises(SmallerError, match=f"holds no {names[1]}. Copy what is missing"):
        encoders.open_folder(folder)


def test_a_missing_part_of_the_safetensors_is_named(tiny_folder, tmp_path):
    folder = by_hand(tmp_path / "parts", played_hub.xlm_r(**SHALLOW), without=("pytorch_model.bin",))
    (folder / "model.safetensors").rename(folder / "model-00001-of-00003.safetensors")
    (folder / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(SmallerError, match=r"holds no model-00002-of-00003.safetensors and no model-00003-of-00003"):
        encoders.open_folder(folder)


def test_what_decides_an_old_folder_decides_its_revision(tmp_path):
    folder = by_hand(tmp_path / "old", played_hub.afriberta("small", **SHALLOW))
    seen = set()
    for name in ("tf_model.h5", "pytorch_model.bin", "sentencepiece.bpe.model", "config.json"):
        encoders.revision.cache_clear()
        seen.add(encoders.revision(str(folder)))
        with (folder / name).open("ab") as file:
            file.write(b" ")
    encoders.revision.cache_clear()
    assert len(seen | {encoders.revision(str(folder))}) == 4, "weights that nobody reads do not count"


def test_a_word_list_alone_is_a_tokenizer(tmp_path):
    folder = by_hand(tmp_path / "mbert", played_hub.mbert(**SHALLOW))
    whole = encoders.open_folder(folder)
    (folder / "tokenizer.json").unlink()
    again = encoders.open_folder(folder)
    assert again.tokenizer(SENTENCE)["input_ids"] == whole.tokenizer(SENTENCE)["input_ids"]
    assert encoders.head_note(again) == {}


def test_words_of_a_byte_tokenizer_begin_with_their_space(tmp_path):
    from tokenizers import ByteLevelBPETokenizer

    pieces = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces.train_from_iterator(splits.text("sample", "swa"), vocab_size=400, special_tokens=special)
    config = played_hub.xlm_r_config(
        played_hub.sentence_piece(),
        model_type="roberta",
        vocab_size=400,
        architectures=["RobertaForMaskedLM"],
        **SHALLOW,
    )
    (tmp_path / "roberta").mkdir()
    pieces.save_model(str(tmp_path / "roberta"))
    (tmp_path / "roberta" / "config.json").write_bytes(as_json(config))
    (tmp_path / "roberta" / "model.safetensors").write_bytes(played_hub.converted(played_hub.weights(config)))
    model = encoders.open_folder(tmp_path / "roberta")
    words = model.tokenizer(SENTENCE.split(), is_split_into_words=True)
    assert words["input_ids"] == model.tokenizer(SENTENCE)["input_ids"]
    assert model.tokenizer.decode(words["input_ids"], skip_special_tokens=True).split() == SENTENCE.split()
    with pytest.raises(SmallerError, match="A tokenizer of kind BPE cannot be trimmed"):
        TrimVocabulary(300, languages=("swa",)).apply(model)


def test_a_tokenizer_with_more_pieces_than_the_network_has_rows_is_an_error(tmp_path):
    folder = by_hand(tmp_path / "more", played_hub.xlm_r(**SHALLOW), vocab_size=200)
    with pytest.raises(SmallerError, match="tokenizer has [0-9]+ tokens, and the network rows for 200"):
        encoders.open_folder(folder)


def test_an_output_matrix_of_its_own_stays_and_what_is_cut_out_has_one_too(tmp_path):
    folder = by_hand(tmp_path / "own", played_hub.xlm_r(**SHALLOW))
    weights = load_file(folder / "model.safetensors")
    weights["lm_head.decoder.weight"] = weights["roberta.embeddings.word_embeddings.weight"] + 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model = encoders.open_folder(folder)
    assert not model.network.config.tie_word_embeddings
    for network in (model.network, TrimVocabulary(100, languages=("swa",)).apply(model)[0].network):
        difference = network.get_output_embeddings().weight - network.get_input_embeddings().weight
        assert torch.allclose(difference, torch.ones(()), atol=1e-5)


@pytest.mark.parametrize("build", [played_hub.afriberta, played_hub.e5_small], ids=["afriberta", "e5"])
def test_an_encoder_without_a_pooler_stands_under_classifiers_of_words_and_texts(build, tmp_path):
    repository = build("small", **SHALLOW) if build is played_hub.afriberta else build(**SHALLOW)
    encoder = encoders.open_folder(by_hand(tmp_path / "encoder", repository))
    for unit in ("word", "text"):
        first, again = (encoders.with_classifier(encoder, bio_labels(("PER",)), seed=1, unit=unit) for _ in range(2))
        assert all(map(torch.equal, first.network.parameters(), again.network.parameters()))
        assert torch.equal(hidden(first, SENTENCE), hidden(encoder, SENTENCE))
        assert DRAWN_HEAD not in vars(first.network.config), "there is no such head any more"


@pytest.mark.usefixtures("few_sentences", "full_precision")
def test_e5_is_fine_tuned_adapted_distilled_and_looked_at_and_the_record_speaks_of_its_head(tmp_path):
    folder = by_hand(tmp_path / "e5", played_hub.e5_small(**SHALLOW))
    encoder = encoders.load(str(folder))
    plain, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    batch = tokenizer([SENTENCE, "Asha"], return_tensors="pt", padding=True)
    with torch.inference_mode():
        expected = plain(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    assert torch.equal(hidden(encoder, SENTENCE, "Asha"), expected)

    adapt = Adapt("sample", "swa", updates=2, batch_size=4)
    recipe = Recipe(str(folder), (adapt,))
    jobs.execute(jobs.Job(recipe, (recipe,), None))
    record = results.read(recipe)
    assert "not published with the encoder" in record["steps"][0]["report"]["masked_language_head"]
    assert "drawn from seed 0" in record["provenance"]["masked_language_head"]
    tuned = recipe.then(FineTune("sample", "swa", epochs=1))
    jobs.execute(jobs.Job(tuned, (tuned,), None))
    record = results.read(tuned)
    assert "masked_language_head" in record["steps"][0]["report"], "the head that the encoder was adapted under"
    assert "masked_language_head" not in record["provenance"] | record["steps"][1]["report"]

    student, _ = Distil(1, corpus="sample", languages=("swa",), updates=2, batch_size=4, lines=20).apply(encoder)
    assert encoders.head_note(student) == encoders.head_note(encoder) != {}
    assert look(encoder, splits.sentences("sample", "swa", "dev")[:2])["pseudo_perplexity"] > 1


def test_folders_and_the_sample_family_are_here_and_nothing_is_fetched_for_them(tiny_folder, tmp_path):
    for name in (tiny_folder, "sample-small"):
        assert encoders.is_here(name)
        plan, fetched = encoders.plan_fetch(name), encoders.fetch(name)
        assert plan.already_here and plan.files == () and plan.bytes == 0
        assert plan.commit == fetched.commit == encoders.revision(name)
    assert not encoders.is_here("nothing") and not encoders.is_here("someone/nothing")
    (tmp_path / "empty").mkdir()
    assert not encoders.is_here(str(tmp_path / "empty"))
