"""A model that somebody brings is looked at once: what it is, which steps serve it, and labels matched by name."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import played_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, BertTokenizerFast, PreTrainedTokenizerFast

from smaller import deploy, encoders
from smaller.base.errors import SmallerError
from smaller.base.settings import changed
from smaller.data import own as bringing
from smaller.data import sample, splits
from smaller.data.encoding import encode
from smaller.data.examples import Sentence
from smaller.data.sets import EvaluationSet
from smaller.deploy.candidates import Plan
from smaller.deploy.recorded import licence_of
from smaller.encoders import Encoder, Model, inspect
from smaller.formats.shipping import open_shipped
from smaller.study.jobs import _scores_on
from smaller.study.recipes import Recipe
from smaller.study.steps import Adapt, Distil, FineTune, Pretrain, Prune, TrimVocabulary, TruncateHidden
from smaller.study.steps.base import STEPS
from smaller.study.steps.checks import as_taught

LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
WORDS = "Asha anaishi Nairobi na Juma yupo Mwanza leo"
NAMES, PLACES = ("Asha", "Juma", "Neema", "Obi", "Baraka", "Zawadi"), ("Mwanza", "Kano", "Arusha", "Gulu", "Tanga")
FAST = {"epochs": 1, "learning_rate": 5e-3, "form": "dynamic"}


def sentences(count: int, *, start: int = 0) -> list[Sentence]:
    """Sentences in which names have two words and places one, so that I-LOC never occurs."""
    found = []
    for number in range(start, start + count):
        name, other = (NAMES[(number + step) % len(NAMES)] for step in (0, 1 + number % 3))
        place = PLACES[number % len(PLACES)]
        words = [(name, "B-PER"), (other, "I-PER"), ("yupo", "O"), (place, "B-LOC"), ("leo", "O")]
        rows = [words, words[3:], [*words[2:], *words[:2]]][number % 3]
        found.append(Sentence(*map(tuple, zip(*rows, strict=True))))
    return found


def written(folder: Path, change=lambda tag: tag) -> str:
    """A labelled data set in files of one's own, with another name for some tags."""
    folder.mkdir(parents=True)
    for split, rows in (("train", sentences(48)), ("dev", sentences(12, start=48)), ("test", sentences(12, start=60))):
        text = "\n\n".join("\n".join(f"{w} {change(t)}" for w, t in zip(s.words, s.tags, strict=True)) for s in rows)
        (folder / f"{split}.txt").write_text(text + "\n", encoding="utf-8")
    return str(folder)


@pytest.fixture
def own(tmp_path, fresh_folders, one_process):
    return written(tmp_path / "own data")


def bert(tokenizer, *, positions: int = 512, labels=(), unit: str = "word") -> Model:
    config = encoders.configuration(Encoder("b", 2, 2, 24, 48, kind="bert", vocabulary=len(tokenizer)))
    config.max_position_embeddings, config.pad_token_id = positions, tokenizer.pad_token_id
    config.vocab_size = len(tokenizer)
    model = Model(encoders.build(config, seed=0), tokenizer)
    return encoders.with_classifier(model, labels, seed=0, unit=unit) if labels else model


def word_pieces(*, lowercase: bool = False, accents: bool | None = None) -> PreTrainedTokenizerFast:
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    text = [*[WORDS] * 4, "à é ì ó ù a e i o u À A"]
    made.train_from_iterator(text, trainers.WordPieceTrainer(vocab_size=120, special_tokens=special))
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return BertTokenizerFast(vocab=made.get_vocab(), do_lower_case=lowercase, strip_accents=accents)


def bytes_of(kind: type = PreTrainedTokenizerFast, *, among: bool = False) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer as it is published: without a space in front; its part alone, or among others."""
    made = Tokenizer(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(), level]) if among else level
    special = {
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }
    made.train_from_iterator(
        [WORDS] * 4,
        trainers.BpeTrainer(
            vocab_size=330, special_tokens=list(special.values()), initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        ),
    )
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return kind(tokenizer_object=made, cls_token="<s>", sep_token="</s>", **special)


def saved(model: Model, folder: Path, **config) -> Path:
    """The model's folder, with other entries in its configuration; None takes one away."""
    encoders.save(model, folder)
    about = json.loads((folder / "config.json").read_text()) | config
    kept = {name: value for name, value in about.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(kept))
    return folder


# What a model is


def test_an_inspection_says_what_a_model_is_and_what_serves_it(tiny):
    found = inspect(tiny)
    assert (found.architecture.partition(" ")[0], found.tokenizer) == ("xlm-roberta", "Unigram")
    assert (found.positions, found.unit, found.labels, found.scheme) == (512, "", (), "")
    assert found.not_served == {} and found.notes == () and found.named
    tagger = inspect(encoders.with_classifier(tiny, LABELS, seed=0))
    assert tagger.architecture == "xlm-roberta (XLMRobertaForTokenClassification)"
    assert (tagger.unit, tagger.labels, tagger.scheme) == ("word", LABELS, "bio")
    assert set(tagger.not_served) == {"Pretrain", "Adapt"} <= set(STEPS)
    texts = inspect(encoders.with_classifier(tiny, ("O", "good"), seed=0, unit="text"))
    assert (texts.unit, texts.scheme) == ("text", "")
    flat = inspect(encoders.with_classifier(tiny, ("O", "PER", "LOC"), seed=0))
    assert flat.scheme == "flat"


def test_what_is_not_served_is_refused_by_the_step_itself(tiny):
    adapted = encoders.with_classifier(tiny, LABELS, seed=0, adapter_size=4)
    cannot = {
        **dict.fromkeys(("Pretrain", "Adapt"), adapted),
        "TruncateHidden": adapted,
        "TrimVocabulary": bert(bytes_of()),
    }
    steps = {
        "Pretrain": Pretrain(languages=("swa",), updates=1),
        "Adapt": Adapt("sample", "swa", updates=1),
        "TruncateHidden": TruncateHidden(12),
        "TrimVocabulary": TrimVocabulary(200, languages=("swa",)),
    }
    for name, model in cannot.items():
        assert name in inspect(model).not_served
        with pytest.raises(SmallerError):
            steps[name].apply(model)
    assert set(inspect(adapted).not_served) == set(steps) - {"TrimVocabulary"}


@pytest.mark.parametrize("among", [False, True], ids=["alone", "among others"])
def test_words_of_any_byte_level_tokenizer_begin_with_their_space(tmp_path, among):
    """The class of the tokenizer takes no notice of the option, and the model is not of RoBERTa's type."""
    plain = bytes_of(among=among)
    assert plain(WORDS.split(), is_split_into_words=True)["input_ids"] != plain(WORDS)["input_ids"]
    opened = encoders.open_folder(saved(bert(plain), tmp_path / "bytes"))
    alone = opened.tokenizer(["Juma"], is_split_into_words=True, add_special_tokens=False)["input_ids"]
    assert opened.tokenizer.convert_ids_to_tokens(alone)[0].startswith("Ġ")
    encoders.save(opened, tmp_path / "again")
    for again in (opened.tokenizer, AutoTokenizer.from_pretrained(tmp_path / "again")):
        words = again(WORDS.split(), is_split_into_words=True)["input_ids"]
        assert words == again(WORDS)["input_ids"] and again.unk_token_id not in words
    found = inspect(opened)
    assert found.tokenizer == "byte-level BPE" and "alone in another way" not in " ".join(found.notes)
    assert found.not_served["TrimVocabulary"] == "A tokenizer of kind BPE cannot be trimmed; Unigram and WordPiece can."
    assert any("All tokens stay" in note for note in found.notes)


def test_tokenizers_that_make_letters_alike_are_noted():
    def notes(**options) -> str:
        return " ".join(inspect(bert(word_pieces(**options))).notes)

    assert notes() == ""
    assert "takes accents off" in notes(accents=True) and "capitals" not in notes(accents=True)
    assert "makes capitals small" in notes(lowercase=True, accents=False)
    assert "takes accents off" not in notes(lowercase=True, accents=False)


# Positions


def test_a_model_with_few_positions_reads_no_more_than_it_has(tmp_path, brought):
    model = encoders.open_folder(saved(bert(word_pieces(), positions=24), tmp_path / "short"))
    assert model.tokenizer.model_max_length == inspect(model).positions == 24
    assert inspect(model).notes == ("It reads 24 tokens at once: longer sentences are cut there in training.",)
    long = [Sentence(tuple(WORDS.split() * 9), ("O",) * 72), *sentences(4)]
    encoded = encode(long, model.tokenizer, LABELS)
    assert encoded.lengths.max() == 24
    words, tags = ([list(getattr(sentence, name)) for sentence in 4 * long] for name in ("words", "tags"))
    data = brought("swa", tokens=words, ner_tags=tags)
    for step in (Pretrain(data, languages=("swa",), updates=1), Adapt(data, "swa", updates=1, batch_size=4)):
        assert step.apply(model)[1]["updates"] == 1
    tagger, _ = FineTune(data, "swa", epochs=1).apply(model)
    student, _ = Distil.on_task(data, "swa", layers=1, epochs=1).apply(tagger)
    assert student.labels == splits.labels(data) and set(student.labels) == set(LABELS)
    roberta = encoders.open_folder(saved(tiny_of(40), tmp_path / "short too"))
    assert roberta.tokenizer.model_max_length == 38, "the first of RoBERTa's places is one after the padding piece"


def tiny_of(positions: int) -> Model:
    tokenizer = sample.tokenizer()
    config = encoders.configuration(Encoder("t", 1, 2, 24, 48), vocabulary=len(tokenizer))
    config.max_position_embeddings = positions
    return Model(encoders.build(config, seed=0), tokenizer)


# The classifier of a folder


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"0": "O", "1": "B-PER", "2": "I-PER", "3": "B-LOC", "7": "I-LOC"}, "5 labels, and id2label .* 0, 1, 2, 3, 7"),
        ({"0": "O", "1": "B-PER", "2": "I-PER"}, "5 labels, and id2label .* numbers them 0, 1, 2: .* from 0 to 4"),
        ({str(place): f"x{place}" for place in range(6)}, "5 labels, and id2label .* 0, 1, 2, 3, 4, 5"),
        (None, "5 labels, and config.json names none of them: add id2label"),
    ],
    ids=["hole", "fewer", "more", "none"],
)
def test_labels_that_have_no_name_or_no_place_are_one_sentence(tiny, tmp_path, names, message):
    folder = saved(encoders.with_classifier(tiny, LABELS, seed=0), tmp_path / "tagger", id2label=names, label2id=None)
    with pytest.raises(SmallerError, match=message) as raised:
        encoders.open_folder(folder)
    assert "\n" not in str(raised.value) and str(folder) in str(raised.value)


def test_labels_without_names_of_their_own_are_noted(tiny):
    found = inspect(encoders.with_classifier(tiny, ("LABEL_0", "LABEL_1"), seed=0))
    assert not found.named and "as id2label in config.json" in found.notes[0]


@pytest.mark.parametrize("unit", ["word", "text"])
@pytest.mark.parametrize("kind", ["xlm-roberta", "bert"])
def test_a_head_that_the_configuration_does_not_name_is_told_by_its_weights(tiny, tmp_path, kind, unit):
    model = tiny if kind == "xlm-roberta" else bert(word_pieces())
    tagger = encoders.with_classifier(model, ("good", "bad", "other"), seed=3, unit=unit)
    folder = saved(tagger, tmp_path / "unnamed", architectures=None)
    if (kind, unit) == ("bert", "text"):
        either = r'words or whole texts: add to it "architectures": \["BertForTokenClassification"\], or \["BertForSeq'
        with pytest.raises(SmallerError, match=either):
            encoders.open_folder(folder)
        folder = saved(tagger, tmp_path / "unnamed", architectures=None, problem_type="single_label_classification")
    opened = encoders.open_folder(folder)
    assert (opened.unit, opened.labels) == (unit, tagger.labels)
    batch = model.tokenizer([WORDS], return_tensors="pt")
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        assert torch.allclose(opened.network(**inputs).logits, tagger.network(**inputs).logits, atol=1e-6)
    encoders.save(opened, tmp_path / "again")
    config = json.loads((tmp_path / "again" / "config.json").read_text())
    assert config["architectures"] == [type(tagger.network).__name__]


def test_a_head_of_bert_with_a_pooler_is_one_of_words_if_its_labels_are_of_spans(tmp_path):
    tagger = bert(word_pieces(), labels=LABELS)
    folder = saved(tagger, tmp_path / "old", architectures=None)
    weights = load_file(folder / "model.safetensors")
    weights |= {"bert.pooler.dense.weight": torch.zeros(24, 24), "bert.pooler.dense.bias": torch.zeros(24)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert encoders.open_folder(folder).unit == "word"
    # Without a classifier there is nothing to ask: it is an encoder.
    assert encoders.open_folder(saved(bert(word_pieces()), tmp_path / "plain", architectures=None)).labels == ()


# Names


def test_a_bare_name_is_a_folder_here_when_it_is_nothing_else(tiny, tiny_folder, tmp_path, monkeypatch, rooms):
    rooms(models=None)
    monkeypatch.chdir(tmp_path)
    for name in ("tagger", "mbert"):
        encoders.save(tiny, tmp_path / name)
    assert encoders.source("tagger") == Path("tagger")
    assert encoders.source("mbert") == encoders.ENCODERS["mbert"], "a name that is known goes before"
    with pytest.raises(SmallerError, match=r"no such folder here .*Did you mean 'tagger'\?"):
        encoders.source("taggr")
    (tmp_path / "models").mkdir()
    encoders.save(tiny, tmp_path / "models" / "tagger")
    rooms(models=tmp_path / "models")
    assert encoders.source("tagger") == tmp_path / "models" / "tagger"


@pytest.mark.parametrize("name", ["nodir/", "./nodir", "no/such/dir", "file.txt", "~/nodir", "."])
def test_a_path_that_is_no_model_is_one_sentence(name, tmp_path):
    (tmp_path / "file.txt").write_text("x")
    message = "it is a file|there is no such folder|holds no config.json"
    with contextlib.chdir(tmp_path), changed(HOME=str(tmp_path)), pytest.raises(SmallerError, match=message) as raised:
        encoders.source(name)
    assert "afriberta" not in str(raised.value) and "\n" not in str(raised.value)


def test_a_licence_is_known_without_asking_or_not_at_all(tiny_folder):
    assert encoders.licence("mbert") == "Apache-2.0"
    assert encoders.licence(tiny_folder) == "that of its folder"
    assert encoders.licence("afriberta-v2-base") == "unknown"
    assert licence_of(Recipe("someone/encoder"), []) == "Encoder someone/encoder: unknown."


# Labels are matched by name


def reordered(model: Model, labels: tuple[str, ...]) -> Model:
    """The same function with the rows of the classifier by the given labels; those that are new are never found."""
    made = encoders.with_classifier(model, labels, seed=0)
    old, new = model.network.classifier, made.network.classifier
    with torch.no_grad():
        for place, label in enumerate(labels):
            known = model.labels.index(label) if label in model.labels else None
            new.weight[place] = 0 if known is None else old.weight[known]
            new.bias[place] = -50 if known is None else old.bias[known]
    return made


OTHERS = ("B-LOC", "O", "B-MISC", "I-PER", "B-PER", "I-MISC")
"""Another order, with labels that the data lack, and without one that could be but never occurs."""


@pytest.fixture
def tagger(tiny, own):
    """A tagger for the files, pruned so that masks go the same way, and the name of the data."""
    name, _ = bringing.bring(own)
    pruned, _ = Prune(0.3).apply(tiny)
    made, _ = FineTune(name, "und", epochs=6, batch_size=8, learning_rate=1e-2).apply(pruned)
    assert made.labels == ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    return made, name


def test_a_student_learns_the_same_from_a_teacher_whose_labels_stand_in_another_order(tagger, full_precision):
    teacher, name = tagger
    order = [3, 0, 4, 2, 1]
    other = reordered(teacher, tuple(LABELS[place] for place in order))
    step = Distil(1, on="task", dataset=name, language="und", epochs=3, batch_size=8, learning_rate=1e-2)
    students = [step.apply(each)[0] for each in (teacher, other)]
    assert students[1].labels == other.labels and students[1].network.config.id2label == dict(enumerate(other.labels))
    assert students[1].masks.keys() == students[0].masks.keys() != set()
    encoded = encode(splits.sentences(name, "und", "test"), teacher.tokenizer, LABELS)
    for one, two in ((teacher, other), students):
        for pieces in encoded.pieces:
            with torch.inference_mode():
                logits = [each.network(input_ids=pieces[None]).logits[0] for each in (one, two)]
            assert torch.allclose(logits[0][:, order], logits[1], atol=1e-2)
    assert not torch.allclose(students[0].network.classifier.weight[order], teacher.network.classifier.weight[order])
    unknowing = step.apply(reordered(teacher, OTHERS))[0]
    assert unknowing.labels == OTHERS


@pytest.fixture
def few_shapes(looked_at):
    """The whole, one that is cut, one with fewer tokens, and one that is narrower."""
    plain = Plan.shapes
    looked_at(lambda plan: [plan.whole, *[shape for shape in plain(plan) if shape.layers == 1][1::4]])


def test_a_tagger_with_other_labels_in_another_order_is_compressed_and_shipped(tagger, own, tmp_path, few_shapes):
    teacher, _ = tagger
    theirs, ordered = (
        _folder(model, tmp_path / name)
        for model, name in ((reordered(teacher, OTHERS), "theirs"), (teacher, "ordered"))
    )
    said: list[str] = []
    found = deploy.compress(theirs, own, max_drop=100, say=said.append, **FAST)
    first = next(place for place, line in enumerate(said) if line.startswith("whole, fp32"))
    assert any("B-MISC, I-MISC never occur in the data" in line for line in said[:first]), "before anything is measured"
    assert any("Its weights are pruned" in line for line in said[:first])
    plain = deploy.compress(ordered, own, max_drop=100, **FAST)
    assert found.scores["dense dev"] == plain.scores["dense dev"] > 50
    assert found.scores["dense test"] == plain.scores["dense test"]
    assert set(found.front["way"]) == {"distilled"}
    assert found.front["score"].max() == pytest.approx(plain.front["score"].max(), abs=10)
    shipped = open_shipped(found.ship(tmp_path / "shipped"))
    assert shipped.labels in (OTHERS, LABELS)


def _folder(model: Model, place: Path) -> str:
    encoders.save(model, place)
    return str(place)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (("O", "B-PER", "B-LOC", "I-LOC"), "and I-PER occur in the data besides: it cannot teach"),
        (("O", "PER"), "and LOC occur in the data besides: it cannot teach"),
        (("O", "B-PER", "I-PER", "B-LOC", "LOC"), "labels of no scheme that is known: O, B-PER"),
        (tuple(f"LABEL_{place}" for place in range(5)), r'no names for its labels \(LABEL_0, ...\).*"id2label": \{"0"'),
    ],
    ids=["missing", "missing type", "mixed", "unnamed"],
)
def test_labels_that_cannot_teach_the_data_are_refused_before_anything_is_measured(
    tiny, own, tmp_path, labels, message
):
    said: list[str] = []
    folder = _folder(encoders.with_classifier(tiny, labels, seed=0), tmp_path / "theirs")
    with pytest.raises(SmallerError, match=message) as raised:
        deploy.compress(folder, own, max_drop=1, say=said.append, **FAST)
    assert str(raised.value).startswith(folder) and said == []


BIOES = ("O", *(f"{way}-{kind}" for kind in ("PER", "LOC") for way in "BIES"))


@pytest.mark.parametrize(
    "labels",
    [("LOC", "O", "PER"), ("O", "I-PER", "I-LOC"), BIOES, (*LABELS, "X", "[CLS]")],
    ids=["flat", "io", "bioes", "labels of pieces"],
)
def test_a_teacher_in_any_scheme_teaches_in_its_own(tagger, labels):
    teacher, name = tagger
    step = Distil(
        1, on="task", dataset=name, language="und", epochs=1, logits_weight=0.0, labels_weight=1.0, learning_rate=1e-3
    )
    model = encoders.with_classifier(teacher, labels, seed=0)
    assert inspect(model).scheme in ("flat", "io", "bioes", "bio")
    student, _ = step.apply(model)
    assert student.labels == labels
    words = splits.sentences(name, "und", "train")
    taught = {tag for each in as_taught(words, labels) for tag in each.tags}
    assert taught <= set(labels) and len(taught) > 2
    assert 0 <= _scores_on(EvaluationSet(name, "und", "dev"), Recipe("theirs"), student)["f1"] <= 100


def test_a_classifier_of_texts_is_refused_for_words(tiny, own, tmp_path):
    folder = _folder(encoders.with_classifier(tiny, ("good", "bad"), seed=0, unit="text"), tmp_path / "theirs")
    with pytest.raises(SmallerError, match="labels texts, and the data label words"):
        deploy.compress(folder, own, max_drop=1, **FAST)


def test_a_teacher_that_lacks_a_label_of_the_data_is_refused_by_its_name(tagger):
    teacher, name = tagger
    step = Distil(1, on="task", dataset=name, language="und", epochs=1)
    with pytest.raises(SmallerError, match=f"and I-PER occur in {name}/und besides"):
        step.apply(encoders.with_classifier(teacher, ("O", "B-PER", "B-LOC"), seed=0))


def test_a_type_that_nobody_knows_and_that_never_occurs_takes_no_part_in_the_score(tagger, tmp_path, rooms):
    teacher, _ = tagger
    place = EvaluationSet("masakhaner", "swa", "dev")
    rooms(data=Path(written(tmp_path / "masakhaner" / "swa")).parents[1])
    assert {"ORG", "DATE"} < set(place.types)
    assert _scores_on(place, Recipe("theirs"), teacher)["f1"] > 50
    without = encoders.with_classifier(teacher, ("O", "B-PER", "I-PER"), seed=0)
    with pytest.raises(SmallerError, match="LOC, which the model does not know"):
        _scores_on(place, Recipe("theirs"), without)


def test_an_encoder_whose_tokenizer_cannot_be_trimmed_is_compressed_without_that(own, tmp_path, few_shapes):
    folder = _folder(bert(bytes_of()), tmp_path / "bytes")
    said: list[str] = []
    found = deploy.compress(folder, own, max_drop=100, say=said.append, **FAST)
    first = next(place for place, line in enumerate(said) if line.startswith("whole, fp32"))
    assert any("cannot be trimmed" in line for line in said[:first])
    assert len(found.front) > 1 and not any("left out" in line for line in said)
    by_size = deploy.compress(folder, own, max_bytes=0.7 * found.whole.size, **FAST)
    assert by_size.missed == ()
    for one in (found, by_size):
        assert not one.front["shape"].str.contains("tokens of").any()


def test_what_the_hub_s_encoders_are_is_seen_too(tmp_path):
    folder = tmp_path / "xlm-r"
    folder.mkdir()
    shape = dict(num_hidden_layers=2, num_attention_heads=2, hidden_size=24, intermediate_size=48)
    for name, content in played_hub.xlm_r(**shape).files.items():
        if "/" not in name:
            (folder / name).write_bytes(content)
    assert inspect(encoders.open_folder(folder)).tokenizer == "Unigram"
