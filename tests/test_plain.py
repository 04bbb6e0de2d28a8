"""Plain models: what they learn, what they weigh, and that what is kept is read again."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from smaller import study
from smaller.analysis import sentences
from smaller.data import sample, splits
from smaller.data.examples import Sentence, Text
from smaller.data.tasks import NER, TASKS
from smaller.study import plain, results
from smaller.study.evaluation import span_scores, true_labels
from smaller.study.recipes import dense
from smaller.study.steps import FineTune


def test_the_table_has_the_scores_of_the_models_own_predictions(few_sentences, fresh_folders):
    said = []
    table = plain.run("sample", ["swa"], say=said.append)
    assert said == ["fitting a plain model (crf) to sample/swa"]
    train, dev, test = (splits.sentences("sample", "swa", split) for split in ("train", "dev", "test"))
    model, _ = plain.chosen(plain.CRF, NER, train, dev)
    row = table.set_index("split").loc["test"]
    assert row["f1"] == row["score"] == pytest.approx(span_scores(true_labels(test), model.predict(test))["f1"])
    assert row["encoder"] == "crf" and row["technique"] == "plain" and row["sentences"] == 24
    assert row["parameters"] == model.parameters > 100 and row["milliseconds"] != row["milliseconds"]
    assert list(table) == list(results.COLUMNS) and table["split"].tolist() == ["dev", "test"]
    drawn = sentences.interval(table)
    assert drawn.n == 24 and drawn.mean == pytest.approx(row["f1"]) and drawn.low < row["f1"] < drawn.high
    again = plain.run("sample", ["swa"], seeds=(1, 2), say=said.append)
    assert len(said) == 1 and again["seed"].tolist() == [1, 2, 1, 2] and again["f1"].nunique() == 2


def test_what_was_fitted_is_read_again_until_the_data_change(few_sentences, fresh_folders):
    first = plain.run("sample", ["swa"])
    (file,) = (results.folder() / "plain").glob("*.json")
    assert plain.run("sample", ["swa"]).equals(first)
    sample.SIZES["dev"] += 1
    second = plain.run("sample", ["swa"])
    assert second["identity"].iloc[0] != first["identity"].iloc[0] and second["sentences"].tolist() == [17, 24]
    assert len(list((results.folder() / "plain").glob("*.json"))) == 2 and results.read_all() == []


def test_its_time_is_a_share_of_an_encoders_that_reads_the_same_texts(
    few_sentences, fresh_folders, tiny_folder, monkeypatch
):
    tuning = FineTune("sample", "swa", epochs=1, batch_size=8, learning_rate=1e-3)
    recipe, read = dense(tiny_folder, tuning), []
    study.run([recipe])
    slow = plain.labels_of_texts
    monkeypatch.setattr(plain, "labels_of_texts", lambda model, texts: read.append(texts) or slow(model, texts))
    found = plain.time_ratios("sample", {"swa": recipe})
    test, table = splits.sentences("sample", "swa", "test"), plain.run("sample", ["swa"])
    assert read == plain.ROUNDS * [[" ".join(sentence.words)] for sentence in test]
    assert found.keys() == set(table["identity"]) and 0 < found[table["identity"].iloc[0]] < 10
    assert plain.time_ratios("sample", {"swa": recipe}) == found and len(read) == plain.ROUNDS * len(test)
    assert table["end_to_end_milliseconds"].gt(0).all()


def test_a_text_is_read_as_its_words_are():
    (sentence,) = splits.sentences("sample", "swa", "test")[:1]
    crf = plain.fit(plain.CRF, splits.sentences("sample", "swa", "train")[:80], c1=0.0, c2=0.1)
    assert crf.of_text(" ".join(sentence.words)) == crf.predict([sentence])[0]
    train = splits.sentences("sample-topics", "swa", "train")[:60]
    linear = plain.fit(plain.LINEAR, train, C=10.0)
    assert [linear.of_text(each.text) for each in train] == linear.predict(train)


def test_the_setting_is_chosen_on_dev():
    train, dev = splits.sentences("sample-topics", "swa", "train")[:60], splits.sentences("sample-topics", "swa", "dev")
    _, settings = plain.chosen(plain.LINEAR, TASKS["topics"], train, dev)
    scores = {}
    for tried in plain.LINEAR_SETTINGS:
        predicted = plain.fit(plain.LINEAR, train, **tried).predict(dev)
        scores[tried["C"]] = plain._scores(TASKS["topics"], dev, predicted)["macro_f1"]
    assert scores[settings["C"]] == max(scores.values()) > min(scores.values())


def test_the_linear_model_is_that_of_scikit_learn_and_survives_saving(tmp_path):
    generator = np.random.default_rng(0)
    words = {"animals": "cat dog hen cow", "numbers": "one two six ten", "colours": "red tan blue grey"}
    texts = [Text(" ".join(generator.choice(own.split(), 4)), label) for label, own in words.items() for _ in range(20)]
    for kept in (texts, [text for text in texts if text.label != "colours"]):  # two classes are another shape
        model = plain.fit(plain.LINEAR, kept, C=10.0)
        vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True, min_df=2)
        seen = vectors.fit_transform([text.text for text in kept])
        theirs = LogisticRegression(C=10.0, max_iter=1000).fit(seen, [text.label for text in kept])
        asked = [Text("cat one red", ""), Text("six hen", ""), Text("unseen", "")]
        expected = theirs.predict(vectors.transform([text.text for text in asked]))
        assert [label for (label,) in model.predict(asked)] == expected.tolist()
        files = model.save(tmp_path)
        assert {file.name for file in files} == {"model.safetensors", "terms.json"}
        named = json.loads((tmp_path / "terms.json").read_text(encoding="utf-8"))
        again = plain.Linear(**named, **load_file(tmp_path / "model.safetensors"))
        assert again.predict(asked + kept) == model.predict(asked + kept)


def test_the_crf_learns_from_neighbours_and_survives_saving(tmp_path):
    train = [Sentence(("in", name, "."), ("O", "B-LOC", "O")) for name in ("Kano", "Jos", "Ibadan", "Lagos")]
    train += [Sentence(("says", name, "."), ("O", "B-PER", "O")) for name in ("Amina", "Bola", "Chidi", "Dayo")]
    model = plain.fit(plain.CRF, train, c1=0.0, c2=0.1)
    asked = [Sentence(("in", "Enugu", "."), ("O", "B-LOC", "O")), Sentence(("says", "Efe", "."), ("O", "B-PER", "O"))]
    assert model.predict(asked) == true_labels(asked)
    (file,) = model.save(tmp_path)
    assert plain.Crf(file.read_bytes()).predict(asked) == model.predict(asked)


def test_what_the_crf_sees():
    seen = plain.features(("Mary", "saw", "Kano-2"), 0)
    assert {"word=mary", "shape=Xxxx", "prefix=mar", "suffix=ary", "-1:outside", "1:word=saw", "2:capital"} <= set(seen)
    assert "shape=Xxxx-d" in plain.features(("Mary", "saw", "Kano-2"), 2) and "prefix=mary" not in seen


def test_scores_are_those_of_the_task():
    said = plain._scores(NER, [Sentence(("Kano",), ("B-LOC",))], [["O"]])
    assert said["f1"] == 0.0 and said["sentences"] == 1
    said = plain._scores(TASKS["topics"], [Text("a", "x"), Text("b", "y")], [["x"], ["x"]])
    assert said["macro_f1"] == pytest.approx(100 * (2 / 3 + 0) / 2) and said["accuracy"] == 50
