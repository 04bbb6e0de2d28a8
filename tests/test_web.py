"""Shipped folders in transformers.js on Node, which `make test-web` installs: the same tokens, logits and labels."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from smaller import encoders, formats
from smaller.data import sample, splits
from smaller.data.tasks import bio_labels
from smaller.formats.shipping import ship
from smaller.serving import answers
from smaller.serving.folder import GRAPHS
from smaller.serving.reader import open_graph
from smaller.study.steps import FineTune

WEB = Path(__file__).resolve().parents[1] / "web"

pytestmark = pytest.mark.skipif(
    not shutil.which("node") or not (WEB / "node_modules").is_dir(),
    reason="needs Node and transformers.js: make test-web installs the latter",
)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Test sentences in five languages, of real sets where there are some, as words between spaces."""
    real = os.environ.get("SMALLER_DATA")
    found = splits.sentences("masakhaner", "swa", "test") if real else sample.sentences("swa", "test")
    languages = [("masakhaner", code) if real else ("sample", code) for code in ("hau", "yor", "amh", "pcm")]
    others = [sentence for name, code in languages for sentence in splits.sentences(name, code, "test")[:50]]
    return [" ".join(sentence.words) for sentence in (*found, *others)]


@pytest.fixture(scope="module")
def models(tiny) -> dict[str, encoders.Model]:
    """Models by name: a random one that predicts all kinds of labels, and trained ones of words and of texts."""
    drawn = encoders.with_classifier(tiny, bio_labels(("PER", "LOC", "ORG", "DATE")), seed=1)
    with torch.no_grad():
        drawn.network.classifier.weight.mul_(50)
    trained, _ = FineTune("sample", "swa", epochs=2, learning_rate=3e-3, seed=1).apply(tiny)
    topics, _ = FineTune("sample-topics", "swa", epochs=12, learning_rate=3e-3, seed=1).apply(tiny)
    return {"drawn": drawn, "trained": trained, "topics": topics}


@pytest.mark.parametrize(("name", "form"), list(itertools.product(("drawn", "trained", "topics"), GRAPHS)))
def test_transformers_js_says_the_same(models, texts, name, form, tmp_path):
    model = models[name]
    words, names = model.unit == "word", model.labels
    if not words:
        texts = [text.text for text in splits.sentences("sample-topics", "swa", "test")]
    folder = ship(formats.convert(model, form), tmp_path / "model")
    given = "".join(f"{json.dumps(text)}\n" for text in texts).encode()
    run = subprocess.run(["node", WEB / "label.mjs", folder], input=given, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode()
    told = [json.loads(line) for line in run.stdout.decode().splitlines()]
    reader = open_graph(folder)
    sentences = [text.split() for text in texts]
    labels = answers.tags(reader, sentences) if words else [one.label for one in answers.classify(reader, texts)]
    found = {label for each in labels for label in each} if words else set(labels)
    assert len(found) > 2, "else nothing is compared"
    for text, own, expected, each in zip(texts, sentences, labels, told, strict=True):
        row = reader.tokenizer.encode(own if words else text, is_pretokenized=words)
        logits = reader.graph.logits(np.array([row.ids]), np.array([row.attention_mask]))[0]
        there = np.array(each["logits"], np.float32).reshape(logits.shape)
        assert each["ids"] == row.ids, text
        np.testing.assert_allclose(there, logits, atol=1e-3)
        if words:
            likeliest = [names[place] for place in there.argmax(-1)]
            assert [likeliest[row.word_ids.index(place)] for place in range(len(own))] == expected
            # The pipeline labels each token, but those of a space alone.
            assert all(one["entity"] == likeliest[one["index"]] for one in each["found"])
        else:
            assert each["found"][0]["label"] == expected
