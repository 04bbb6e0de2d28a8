"""Tasks beside entities: parts of speech and labels of whole texts, from the file to the table and the folder."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from asking import predict
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from transformers import AutoModelForSequenceClassification

from smaller import encoders, study
from smaller.base.errors import SmallerError
from smaller.data import datasets, splits
from smaller.data.encoding import IGNORED, batch_of, encode
from smaller.data.examples import ReadReport, Sentence, Text
from smaller.data.readers import read
from smaller.data.sets import EvaluationSet
from smaller.data.tasks import TASKS, bio_labels, task
from smaller.formats.shipping import open_shipped, predict_command, ship
from smaller.prediction.tagging import classify, tag
from smaller.study import jobs, results, running
from smaller.study.evaluation import class_scores, score
from smaller.study.recipes import Recipe
from smaller.study.steps import Distil, FineTune, Prune, Quantize
from smaller.study.steps.imitation import teacher_logits
from smaller.study.training import logits_at, token_loss

TOPICS = datasets.dataset("sib200").tags
WORDS = {"swa": "mpira safari siasa michezo afya muziki mlima", "hau": "kimiyya tafiya siyasa wasa lafiya waka dutse"}
SHORT = FineTune("sib200", "swa", epochs=15, batch_size=7, learning_rate=1e-2)


def topic_rows(language: str, *, copies: int, start: int = 0) -> list[str]:
    rows = []
    for copy in range(start, start + copies):
        for topic, word in zip(TOPICS, WORDS[language].split(), strict=True):
            rows.append(f"{copy}\t{topic}\t{word} leo {copy} {word}")
    return rows


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


@pytest.fixture
def data(tmp_path: Path, rooms: Callable[..., None]) -> Path:
    """Topics in two languages, and parts of speech in one, as files of the layout that the data sets have."""
    folder = tmp_path / "da ta"
    for language, name in (("swa", "swh_Latn"), ("hau", "hau_Latn")):
        for place, (split, copies) in enumerate((("train", 4), ("dev", 1), ("test", 2))):
            rows = topic_rows(language, copies=copies, start=10 * place)
            write(folder, f"sib200/{name}/{split}.tsv", "\n".join(["index_id\tcategory\ttext", *rows, ""]))
    for split in ("train", "dev", "test"):
        lines = ["Asha PROPN", "alikwenda VERB", "Kisumu PROPN", ". PUNCT", "", "Watoto NOUN", "wanacheza VERB", ""]
        write(folder, f"masakhapos/swa/{split}.txt", "\n".join(lines * 4))
    rooms(data=folder)
    running._training_sentences.cache_clear()
    return folder


@pytest.fixture
def topics(tiny, data):
    """A classifier of topics after a few updates."""
    return SHORT.apply(tiny)[0]


def test_a_task_says_what_it_labels_and_with_which_labels():
    assert {name: (found.unit, found.metric) for name, found in TASKS.items()} == {
        "ner": ("word", "f1"),
        "pos": ("word", "accuracy"),
        "topics": ("text", "macro_f1"),
        "sentiment": ("text", "macro_f1"),
    }
    assert task("ner").labels(("PER", "LOC")) == bio_labels(("PER", "LOC")) == ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    assert splits.labels("sib200") == TOPICS and splits.task("afrisenti").name == "sentiment"
    assert len(splits.labels("ud")) == 17 and splits.labels("ud") == splits.labels("masakhapos")
    with pytest.raises(SmallerError, match=r"no task 'topic'.*Did you mean 'topics'\?"):
        task("topic")
    with pytest.raises(SmallerError, match="'corpus' has no labels to train on"):
        splits.task("corpus")


# Scores


def test_macro_scores_by_hand():
    #          a: 2 of 3 found, 2 of 2 right;  b: 1 of 1 found, 1 of 3 right;  c: 0 of 1 found, never predicted
    gold, told = ["a", "a", "a", "b", "c"], ["a", "a", "b", "b", "b"]
    scores = class_scores(gold, told, classes=("a", "b", "c", "d"))
    assert scores["accuracy"] == 60 and scores["support"] == 5
    assert scores["per_type"]["a"] == {"precision": 100, "recall": pytest.approx(200 / 3), "f1": 80, "support": 3}
    assert scores["per_type"]["b"]["f1"] == 50 and scores["per_type"]["c"]["f1"] == 0 and "d" not in scores["per_type"]
    assert scores["macro_f1"] == pytest.approx((80 + 50 + 0) / 3)
    assert scores["precision"] == pytest.approx((100 + 100 / 3 + 0) / 3)


@pytest.mark.parametrize("seed", range(6))
def test_macro_scores_are_scikit_learn_s(seed):
    draw = random.Random(seed)
    classes = "abcdefg"[: 2 + seed]
    gold = draw.choices(classes, k=60)
    told = [true if draw.random() < 0.4 else draw.choice(classes + "x") for true in gold]
    scores = class_scores(gold, told, classes=(*classes, "x"))
    precision, recall, f1, _ = precision_recall_fscore_support(gold, told, average="macro", zero_division=0)
    expected = [100 * value for value in (precision, recall, f1, accuracy_score(gold, told))]
    assert [scores[name] for name in ("precision", "recall", "macro_f1", "accuracy")] == pytest.approx(expected)


def test_a_word_without_a_prediction_is_wrong_and_makes_no_class_of_its_own():
    scores = class_scores(["NOUN", "VERB"], ["NOUN", "O"], classes=("NOUN", "VERB"))
    assert scores["accuracy"] == 50 and scores["macro_f1"] == 50
    with pytest.raises(SmallerError, match="no label"):
        class_scores([], [], classes=("a",))


# Files


def test_a_table_of_texts_and_its_report(tmp_path):
    content = "\ufeffID\ttweet\tlabel\r\n1\thabari  njema 😊\tpositive\r\n\r\n"
    content += '2\t"alisema ""sawa"" tu"\tneutral\r\n3\t"hm, sawa\tnegative\r\n4\t"hm, sawa\tnegative'
    found = read(write(tmp_path, "dev.tsv", content), "sentiment", columns=("tweet", "label"))
    texts, report = found.examples, found.report
    assert texts[:3] == [
        Text("habari  njema 😊", "positive"),
        Text('alisema "sawa" tu', "neutral"),
        Text('"hm, sawa', "negative"),
    ]
    assert texts[0].words == ("habari", "njema", "😊")
    assert report == ReadReport(sentences=4, tokens=10, quoted_texts=1, repeated_texts=1, bom=True)
    found = read(write(tmp_path, "yor.tsv", "text\tlabel\nbo\u0301 lo\ta\n"), "sentiment")
    assert found.examples == [Text("b\u00f3 lo", "a")] and found.report.decomposed_words == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("tweet\tlabel\nsawa\tgood\n", "dev.tsv:2: found the label 'good'; expected one of positive, neutral"),
        (
            "tweet\tlabel\nsawa\tneutral\nsawa\n",
            r"dev.tsv:3: found 1 column\(s\) in 'sawa'; expected 2.*tweet, label",
        ),
        ("tweet\tlabel\na\tb\tneutral\n", r"dev.tsv:2: found 3 column\(s\)"),
        ("tweet\tlabel\n \tneutral\n", "dev.tsv:2: found an empty text"),
        ('tweet\tlabel\n""\tneutral\n', "dev.tsv:2: found an empty text"),
        ("tweet\tlabel\nsawa\t\n", "dev.tsv:2: found a text without its label"),
        ("text\tlabel\nsawa\tneutral\n", "dev.tsv:1: the header has the columns text, label; expected 'tweet' and"),
        ("tweet\tlabel\n\n", "dev.tsv: the file has a header and no row"),
        ("", "dev.tsv: the file is empty"),
    ],
)
def test_a_malformed_table_is_an_error_with_its_place(tmp_path, content, message):
    with pytest.raises(SmallerError, match=message):
        read(
            write(tmp_path, "dev.tsv", content),
            "sentiment",
            columns=("tweet", "label"),
            classes=("positive", "neutral", "negative"),
        )


def test_a_part_of_speech_that_there_is_not_is_an_error_with_its_place(tmp_path):
    tags = datasets.dataset("ud").tags
    with pytest.raises(SmallerError, match="dev.txt:2: found the tag 'N'; expected one of ADJ, ADP"):
        read(write(tmp_path, "dev.txt", "Asha PROPN\nmtoto N\n"), "pos", classes=tags)
    row = "\t".join(["1", "mtoto", "_", "_", *"______"])
    with pytest.raises(SmallerError, match="dev.conllu:2: found a word without its tag in '1 mtoto"):
        read(write(tmp_path, "dev.conllu", f"# x\n{row}\n"), "pos", classes=tags)


def test_a_language_without_a_split_is_an_error_before_anything_is_read():
    for step, message in (
        (lambda: FineTune("ud", "slk"), r"no train split in Slovak \(slk\), only dev and test"),
        (lambda: FineTune("afrisenti", "hau+tir"), "no train split in Tigrinya"),
        (lambda: EvaluationSet("ud", "yor", "dev"), "no dev split in Yoruba"),
        (lambda: EvaluationSet("sib200", "swa", noise="case", rate=0.5), "Noise strikes"),
    ):
        with pytest.raises(SmallerError, match=message):
            step()
    assert EvaluationSet("ud", "yor").task.name == "pos"


# Encoding and heads


def test_the_label_of_a_text_stands_on_its_first_piece(tiny):
    texts = [Text("Habari za leo", "b"), Text("Kano " * 30, "a"), Text("sawa", "z")]
    encoded = encode(texts, tiny.tokenizer, ("a", "b"), max_length=12)
    assert encoded.pieces[0].tolist() == tiny.tokenizer("Habari za leo")["input_ids"]
    assert [row[0].item() for row in encoded.labels] == [1, 0, IGNORED]
    assert all((row[1:] == IGNORED).all() for row in encoded.labels)
    assert all(row[0] == 0 and (row[1:] == -1).all() for row in encoded.words)
    kept = len(tiny.tokenizer.decode(encoded.pieces[1], skip_special_tokens=True).split())
    assert len(encoded.pieces[1]) == 12 and encoded.truncated_words == 30 - kept


@pytest.fixture(params=["xlm-r", "mbert"])
def head(request, tiny):
    """An untrained classifier of texts, of either architecture."""
    model = tiny
    if request.param == "mbert":
        shape = encoders.Encoder("mbert", layers=2, heads=2, hidden=24, feed_forward=48)
        config = encoders.configuration(shape, vocabulary=len(tiny.tokenizer))
        model = encoders.Model(encoders.build(config, seed=1), tiny.tokenizer)
    return encoders.with_classifier(model, ("a", "b", "c"), seed=1, unit="text")


def test_logits_loss_and_prediction_of_a_text_are_those_of_the_head(head, full_precision):
    texts = [Text("Habari za leo kutoka Kisumu", "b"), Text("sawa", "a")]
    encoded = encode(texts, head.tokenizer, head.labels)
    batch = batch_of(encoded, [0, 1], padding=head.tokenizer.pad_token_id)
    network = head.network.cpu().eval()
    with torch.no_grad():
        logits = network(input_ids=batch.pieces, attention_mask=batch.mask).logits
        hidden = network.base_model(input_ids=batch.pieces, attention_mask=batch.mask).last_hidden_state
        torch.testing.assert_close(logits_at(network, hidden[:, 0]), logits)
        expected = -logits.log_softmax(-1)[[0, 1], [1, 0]].mean()
        torch.testing.assert_close(token_loss(network, batch), expected)
    told, loss = predict(head, encoded, texts)
    assert told == [[head.labels[int(row.argmax())]] for row in logits] and loss == pytest.approx(float(expected))
    for found, row in zip(teacher_logits(head, encoded), logits, strict=True):
        torch.testing.assert_close(found, row[None], rtol=1e-4, atol=1e-5)


def test_a_classifier_of_texts_is_read_by_plain_loaders(head, tmp_path):
    encoders.save(head, tmp_path / "model")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    opened = encoders.open_folder(tmp_path / "model")
    assert (opened.unit, opened.labels) == ("text", ("a", "b", "c"))
    for name, value in head.network.state_dict().items():
        assert torch.equal(plain.state_dict()[name], value) and torch.equal(opened.network.state_dict()[name], value)


# Fine-tuning and scoring


def test_fine_tuning_learns_topics(topics, tiny):
    dev = splits.sentences("sib200", "swa", "dev")
    untrained = encoders.with_classifier(tiny, TOPICS, seed=SHORT.seed, unit="text")
    before, after = (score(model, dev, task=task("topics")) for model in (untrained, topics))
    assert topics.labels == TOPICS and topics.unit == "text"
    assert after["loss"] < 0.9 * before["loss"] and after["support"] == after["sentences"] == len(TOPICS)
    assert {"macro_f1", "accuracy", "precision", "recall"} <= after.keys() and "f1" not in after


def test_fine_tuning_learns_parts_of_speech(tiny, data):
    model, report = replace(SHORT, dataset="masakhapos", epochs=10, batch_size=4).apply(tiny)
    assert report["sentences"] == 8 and "ADJ" in report["labels_without_examples"]
    scores = score(model, splits.sentences("masakhapos", "swa", "test"), task=task("pos"))
    assert scores["accuracy"] > 60 and scores["support"] == 24
    (found,) = tag(model, ["Asha alikwenda Kisumu."])
    assert [entity.text for entity in found.entities] == ["Asha", "alikwenda", "Kisumu", "."]
    assert {entity.type for entity in found.entities} <= set(datasets.dataset("ud").tags)


def test_a_class_without_an_example_is_an_error_before_training(tiny, data):
    rows = [row for row in topic_rows("swa", copies=3) if "sports" not in row and "health" not in row]
    write(data, "sib200/swh_Latn/train.tsv", "\n".join(["index_id\tcategory\ttext", *rows]))
    with pytest.raises(SmallerError, match="sib200/swa has no example of sports, health, which no model can find"):
        SHORT.apply(tiny)
    assert replace(SHORT, language="swa+hau", epochs=1).apply(tiny)[1]["labels_without_examples"] == []


def test_a_model_is_not_scored_on_a_task_of_another_kind(topics, tiny):
    tagger = encoders.with_classifier(tiny, bio_labels(("PER",)), seed=1)
    with pytest.raises(SmallerError, match="The model labels words, and the task topics labels texts"):
        score(tagger, [Text("sawa", "sports")], task=task("topics"))
    with pytest.raises(SmallerError, match="The model labels texts, and the task ner labels words"):
        score(topics, [Sentence(("Asha",), ("B-PER",))])
    with pytest.raises(SmallerError, match="has the labels positive, which the model does not know"):
        score(topics, [Text("sawa", "positive")], task=task("sentiment"), types=("positive",))


def test_a_study_scores_topics_at_home_and_on_a_language_never_seen(tiny_folder, data, fresh_folders, rooms):
    rooms(data=data)
    recipes = [Recipe(tiny_folder, (SHORT,)), Recipe(tiny_folder, (replace(SHORT, language="swa+hau", epochs=1),))]
    recipes.append(recipes[0].then(Prune(0.5)))
    abroad = EvaluationSet("sib200", "hau")
    table = study.run(recipes, sets=[abroad], workers=1, say=lambda line: None)
    assert len(table) == 3 * 2 + 3 and set(table["task"]) == {"topics"} and set(table["metric"]) == {"macro F1"}
    assert (table["score"] == table["macro_f1"]).all() and table["accuracy"].notna().all() and table["f1"].isna().all()
    record = results.read(recipes[1])
    assert record["scores"][abroad.key]["removed"] == 0 and set(record["scores"]) >= {"sib200/swa+hau/test", abroad.key}
    assert jobs.pending(recipes, [abroad]) == []


def test_entities_have_their_f1_as_the_main_score(tiny_folder, few_sentences, fresh_folders):
    recipe = Recipe(tiny_folder, (FineTune("sample", "swa", epochs=1),))
    table = study.run([recipe], workers=1, say=lambda line: None)
    assert set(table["task"]) == {"ner"} and set(table["metric"]) == {"span F1"}
    assert (table["score"] == table["f1"]).all() and table["accuracy"].isna().all() and set(table["adapter"]) == {0}


# What follows fine-tuning


def test_a_student_learns_topics_from_its_teacher(topics):
    step = Distil(
        layers=1,
        on="task",
        dataset="sib200",
        language="swa",
        epochs=12,
        batch_size=7,
        learning_rate=1e-2,
        start="random",
        transfer_corpus="sample",
        transfer_lines=8,
    )
    student, report = step.apply(topics)
    assert (student.unit, student.labels) == ("text", TOPICS)
    logits = report["losses"]["logits"]
    assert report["transfer_sentences"] == 8 and logits["last"] < logits["first"]
    with pytest.raises(SmallerError, match="The teacher's labels are science"):
        replace(step, dataset="masakhapos", transfer_corpus="", transfer_lines=0).apply(topics)


@pytest.mark.parametrize("form", ["fp16", "dynamic", "onnx-int8"])
def test_a_quantized_classifier_is_shipped_and_predicts(topics, form, tmp_path):
    quantized, _ = Quantize(form).apply(topics)
    folder = ship(quantized, tmp_path / "model")
    opened = open_shipped(folder)
    texts = ["safari leo 3 safari", ""]
    assert opened.unit == quantized.unit == "text"
    assert [found.label for found in classify(opened, texts)] == [found.label for found in classify(quantized, texts)]
    assert "text-classification" in (folder / "README.md").read_text(encoding="utf-8")


def test_running_text_gets_a_label_and_its_probability(topics, tmp_path):
    found, empty, long = classify(topics, ["safari leo 3 safari", " ", "safari " * 900])
    assert found.label in TOPICS and found.score == max(found.scores.values()) and tuple(found.scores) == TOPICS
    assert sum(found.scores.values()) == pytest.approx(1, abs=1e-3) and not found.truncated
    assert (empty.label, empty.score) == ("", 0.0) and long.truncated and long.label in TOPICS
    folder = ship(topics, tmp_path / "model")
    lines = list(predict_command(folder, ["safari leo 3 safari", ""]))
    assert lines[1] == f"  {found.label} ({found.score:.2f})" and lines[-1] == "  no words"
    (line,) = predict_command(folder, ["safari leo 3 safari"], form="json")
    assert json.loads(line)["label"] == found.label and not math.isnan(json.loads(line)["score"])
    with pytest.raises(SmallerError, match="does not label words; it labels whole texts: use classify"):
        tag(topics, ["safari"])
    with pytest.raises(SmallerError, match="does not label texts; it labels words: use tag"):
        classify(encoders.with_classifier(topics, ("O", "B-PER"), seed=1), ["safari"])
