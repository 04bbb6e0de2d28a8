"""The second paper's pipeline on reduced stand-ins: mBERT's architecture with WordPiece, XLM-R's with Unigram."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from asking import sizes
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertTokenizer,
)

from smaller import encoders, study
from smaller.data import sample, splits
from smaller.encoders import Model
from smaller.formats.shipping import open_shipped, ship
from smaller.prediction.tagging import tag
from smaller.study import cache, results
from smaller.study.pipelines import CLOSED, TRIMMED, pipeline, second_paper
from smaller.study.recipes import starting_configuration
from smaller.study.steps import FineTune, Quantize
from smaller.study.unlabelled import pseudo_perplexity

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TUNE = FineTune("sample", "swa", epochs=2, batch_size=8, learning_rate=1e-2)
SHAPE = {"layers": 1, "heads": 2, "hidden": 16, "feed_forward": 20, "vocabulary": 420}


def small_bert() -> Model:
    """mBERT's parts, each as small as can be: cased WordPiece, two kinds of segments, `cls.predictions` as its head."""
    learned = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learned.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    learned.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    learned.train_from_iterator(
        sample.text("swa"), trainers.WordPieceTrainer(vocab_size=700, special_tokens=SPECIAL, show_progress=False)
    )
    tokenizer = BertTokenizer(vocab=learned.get_vocab(), do_lower_case=False, strip_accents=False)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=130,
        type_vocab_size=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return Model(BertForMaskedLM(config).eval(), tokenizer)


@pytest.fixture(scope="module", params=["mbert", "xlm-r"])
def stand_in(request: pytest.FixtureRequest, tiny: Model, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a small model of one of the paper's two architectures, by the name that a recipe gives it."""
    folder = tmp_path_factory.mktemp("stand ins") / request.param
    encoders.save(small_bert() if request.param == "mbert" else tiny, folder)
    return str(folder)


def stages(encoder: str) -> dict:
    shape = {"layers": 1, "hidden_size": 16, "width_by": "projection", "feed_forward": 20, "vocabulary": 420}
    text = {"updates": 3, "batch_size": 8, "learning_rate": 1.5e-3, "max_length": 64, "rate": 0.25}
    return second_paper(encoder, "swa", shape, corpus="sample", text=text, adaptation={"learning_rate": 5e-5})


def test_the_whole_pipeline_on_each_architecture(stand_in: str, few_sentences: None, fresh_folders: Path) -> None:
    """Adapt, distil, prune, distil narrower, trim, fine-tune, int8: every stage is scored, saved and read plainly."""
    recipes = pipeline(stand_in, stages(stand_in), TUNE, closing="dynamic")
    table = study.run(recipes.values(), workers=1)
    assert len(table[table["split"] == "test"]) == len(recipes)
    told = [step for name, own in stages(stand_in).items() for step in own]
    expected = sizes(starting_configuration(stand_in), told)[-1]
    assert {name: expected[name] for name in SHAPE} == SHAPE
    for name, recipe in recipes.items():
        if name == CLOSED:
            continue
        folder, _ = cache.find(recipe)
        network, report = AutoModelForTokenClassification.from_pretrained(folder, output_loading_info=True)
        assert not report["missing_keys"] and not report["unexpected_keys"]
        tokenizer, model = AutoTokenizer.from_pretrained(folder), encoders.open_folder(folder)
        row = tokenizer("Rais alifika Dodoma jana .", return_tensors="pt")
        with torch.inference_mode():
            ours = model.network(input_ids=row["input_ids"], attention_mask=row["attention_mask"]).logits
            plain = network.eval()(input_ids=row["input_ids"], attention_mask=row["attention_mask"]).logits
        assert torch.equal(ours, plain)
    assert encoders.shape(model) == SHAPE
    assert results.read(recipes[CLOSED])["cost"]["dense_bytes"] < results.read(recipes[TRIMMED])["cost"]["dense_bytes"]


def test_the_models_before_fine_tuning_are_plain_too_and_guess_text(
    stand_in: str, few_sentences: None, fresh_folders: Path
) -> None:
    steps = [step for own in stages(stand_in).values() for step in own]
    model = encoders.open_folder(stand_in)
    for step in steps:
        model, _ = step.apply(model)
    folder = fresh_folders / "trimmed"
    encoders.save(model, folder)
    network, report = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == network.config.vocab_size == SHAPE["vocabulary"]
    found = pseudo_perplexity(model, splits.sentences("sample", "swa", "test")[:3])
    assert 1 < found["pseudo_perplexity"] < 10 * SHAPE["vocabulary"] and found["unknown_pieces"] < 5


def test_the_end_is_shipped_as_an_int8_graph(stand_in: str, few_sentences: None, tmp_path: Path) -> None:
    model = encoders.open_folder(stand_in)
    for step in (*stages(stand_in)[TRIMMED], TUNE, Quantize("onnx-int8")):
        model, _ = step.apply(model)
    opened = open_shipped(ship(model, tmp_path / "shipped"))
    (found,) = tag(opened, ["Asha alikwenda Kisumu."])
    assert found.text == "Asha alikwenda Kisumu."
