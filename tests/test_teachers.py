"""Teachers of any architecture: they are fine-tuned, and teach by what they say of words; nothing cuts them."""

from __future__ import annotations

import json

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    DebertaV2Config,
    DistilBertConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
)

from smaller import encoders
from smaller.base.errors import SmallerError
from smaller.data import sample, splits
from smaller.encoders import TEACHER, load, only_teaches
from smaller.encoders.tokenizers import tokenizer_kind
from smaller.study import cache
from smaller.study.jobs import materialise
from smaller.study.recipes import Recipe
from smaller.study.steps import Cut, Distil, FineTune, Prune

SHAPE = {"hidden_size": 16, "heads": 2, "feed_forward": 32}
SMALL = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
BERTS = {"dim": 24, "hidden_dim": 48, "n_layers": 2, "n_heads": 2}


def byte_level() -> PreTrainedTokenizerFast:
    """A tokenizer of ModernBERT's kind: byte-level BPE, its special tokens in brackets at the end."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made.train_from_iterator(sample.text("swa")[:300], trainers.BpeTrainer(vocab_size=500, special_tokens=[]))
    names = {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]", "unk": "[UNK]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=made, model_max_length=512, **{f"{name}_token": token for name, token in names.items()}
    )


def word_pieces() -> PreTrainedTokenizerFast:
    """A tokenizer of BERT's kind: WordPiece, its special tokens first."""
    names = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=list(names.values()), show_progress=False)
    made.train_from_iterator(sample.text("swa")[:300], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, model_max_length=512, **{f"{name}_token": token for name, token in names.items()}
    )


def written(folder, config, kind, tokenizer, **labels) -> str:
    torch.manual_seed(5)
    config.vocab_size, config.pad_token_id = len(tokenizer), tokenizer.pad_token_id
    for name, value in labels.items():
        setattr(config, name, value)
    kind.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return f"{TEACHER}{folder}"


KINDS = {
    "modernbert": (lambda: ModernBertConfig(**SMALL, global_attn_every_n_layers=2, local_attention=8), byte_level),
    "deberta-v2": (lambda: DebertaV2Config(**SMALL, relative_attention=True, pos_att_type=["p2c"]), sample.tokenizer),
    "distilbert": (lambda: DistilBertConfig(**BERTS), word_pieces),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_of_any_architecture_is_tuned_and_teaches(kind, tmp_path, few_sentences, fresh_folders):
    config, tokenizer = (make() for make in KINDS[kind])
    name = written(tmp_path / kind, config, AutoModelForMaskedLM, tokenizer)
    arrived = load(name)
    assert only_teaches(arrived) and arrived.labels == () and arrived.network.config.model_type == kind
    tuned = Recipe(name, (FineTune("sample", "swa", epochs=1, learning_rate=1e-3),))
    task = {"dataset": "sample", "language": "swa", "epochs": 1, "learning_rate": 1e-3}
    student, reports = materialise(tuned.then(Distil(1, on="task", start="random", coverage=0.95, **SHAPE, **task)))
    assert cache.read(tuned)[0].network.config.model_type == kind
    assert reports[-1]["report"]["losses"]["logits"]["last"] > 0 and student.labels == splits.labels("sample")
    shape = encoders.shape(student)
    assert (shape["layers"], shape["hidden"], shape["vocabulary"]) == (1, 16, len(student.tokenizer))
    assert student.network.config.model_type == "xlm-roberta" and not only_teaches(student)
    assert tokenizer_kind(student.tokenizer) == "Unigram", "which a page reads too"
    again, _ = materialise(tuned.then(Distil(1, on="task", start="random", coverage=0.95, **SHAPE, **task)))
    assert torch.equal(*(model.network.classifier.weight for model in (student, again))), "kept and read back"


def test_no_other_step_takes_it(tmp_path, few_sentences, fresh_folders):
    config, tokenizer = (make() for make in KINDS["distilbert"])
    model = load(written(tmp_path / "model", config, AutoModelForMaskedLM, tokenizer))
    task = {"dataset": "sample", "language": "swa", "epochs": 1}
    tagger, _ = FineTune("sample", "swa", epochs=1, learning_rate=1e-3).apply(model)
    for step, given in (
        (Prune(0.5), model),
        (Cut(1), model),
        (FineTune("sample", "swa", adapter=2), model),
        (Distil(1, on="task", **task), tagger),
    ):
        with pytest.raises(SmallerError, match="does not know the layers of a distilbert"):
            step.apply(given)
    with pytest.raises(SmallerError, match="give Distil hidden_size, heads and feed_forward"):
        Distil(1, on="task", start="random", coverage=0.9, **task).apply(tagger)


@pytest.mark.parametrize("kind", [AutoModelForTokenClassification, AutoModelForSequenceClassification])
def test_a_classifier_from_elsewhere_has_its_labels(kind, tmp_path):
    config, tokenizer = (make() for make in KINDS["distilbert"])
    labels = {"id2label": {0: "O", 1: "B-PER", 2: "I-PER"}, "label2id": {"O": 0, "B-PER": 1, "I-PER": 2}}
    model = load(written(tmp_path / "model", config, kind, tokenizer, **labels))
    assert model.labels == ("O", "B-PER", "I-PER")
    assert model.unit == ("word" if kind is AutoModelForTokenClassification else "text")


def test_what_cannot_teach_is_refused_by_its_configuration(tmp_path):
    config, tokenizer = (make() for make in KINDS["distilbert"])
    name = written(tmp_path / "model", config, AutoModelForMaskedLM, tokenizer)
    file = tmp_path / "model" / "config.json"
    kept = json.loads(file.read_bytes())
    for change, words in (
        ({"auto_map": {"AutoModel": "modeling.Own"}}, "code of its own, and that is never run"),
        ({"model_type": "of-somebody"}, "code of its own, and that is never run"),
        ({"model_type": "bert", "position_embedding_type": "relative_key"}, "or is not served"),
        ({"is_decoder": True}, "a decoder, which labels no words"),
    ):
        file.write_text(json.dumps(kept | change))
        with pytest.raises(SmallerError, match=words):
            load(name)
    file.write_text(json.dumps(kept | {"n_layers": 3}))
    with pytest.raises(SmallerError, match="the weights lack 16 tensors"):
        load(name)
    with pytest.raises(SmallerError, match="There is no folder"):
        load(f"{TEACHER}{tmp_path / 'nowhere'}")
