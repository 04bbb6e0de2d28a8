"""Encoders from the model hub, played by a server on this machine that speaks the hub's protocol.

The hub's client reads its address when it is imported, so loading is done by processes of their own.
"""

import hashlib
import http.server
import io
import json
import os
import subprocess
import sys
import threading

import pytest
import sentencepiece
import torch
from safetensors.torch import load_file

from smaller import encoders
from smaller.data import sample

COMMIT = "c0ffee" + 34 * "0"
SENTENCE = "Asha anaishi Nairobi ."

PROGRAM = f"""
import json, sys, time
from smaller import encoders
from smaller.errors import SmallerError

time.sleep = lambda seconds: None  # the hub's client waits between its attempts

def load(name):
    encoders.ENCODERS[name] = encoders.Encoder(name, 2, repository="castorini/" + name, revision="main")
    try:
        revision, model = encoders.revision(name), encoders.load(name)
    except SmallerError as problem:
        return dict(error=str(problem))
    weight = model.backbone.embeddings.word_embeddings.weight
    return dict(
        revision=revision, dtype=str(weight.dtype), sum=float(weight.detach().double().sum()),
        pieces=model.tokenizer("{SENTENCE}")["input_ids"], longest=model.tokenizer.model_max_length,
    )

print(json.dumps(dict((name, load(name)) for name in sys.argv[1:])))
"""


class Hub(http.server.BaseHTTPRequestHandler):
    """Serves `server.repositories`, each at one commit, of which `main` is the branch."""

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        self.server.requests.append(self.path)
        parts = self.path.split("?")[0].strip("/").split("/")
        about = parts[:2] == ["api", "models"]
        repository = "/".join(parts[2:4] if about else parts[:2])
        rest = parts[4:] if about else parts[2:]
        files = self.server.repositories.get(repository)
        if files is None:
            self.refuse("RepoNotFound")
        elif about and rest in ([], ["revision", "main"], ["revision", COMMIT]):
            listing = {"id": repository, "sha": COMMIT, "private": False, "tags": [], "siblings": []}
            self.reply(json.dumps(listing).encode(), {"Content-Type": "application/json"}, body=body)
        elif not about and rest[:2] in (["resolve", "main"], ["resolve", COMMIT]) and rest[2] in files:
            content = files[rest[2]]
            checksum = f'"{hashlib.sha256(content).hexdigest()}"'
            headers = {"ETag": checksum, "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            self.reply(content, headers | {"X-Linked-Size": str(len(content)), "X-Linked-ETag": checksum}, body=body)
        else:
            self.refuse("EntryNotFound")

    def reply(self, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(200)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def refuse(self, code: str) -> None:
        self.send_response(404)
        for name, value in {"X-Error-Code": code, "X-Repo-Commit": COMMIT, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        pass


def load(*names: str, address: str, cache, offline: bool = False) -> dict:
    """What a fresh process gets from `encoders.load` for each name, from the repositories `castorini/<name>`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "SMALLER_"))}
    environment |= {"HF_ENDPOINT": address, "HF_HOME": str(cache), "no_proxy": "*", "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment |= {"HF_HUB_OFFLINE": "1"} if offline else {}
    command = [sys.executable, "-c", PROGRAM, *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def files(tiny, tmp_path_factory):
    """The files of a repository that holds the tiny model."""
    folder = tmp_path_factory.mktemp("published")
    encoders.save(tiny, folder)
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture(scope="module")
def sentence_piece_model():
    made = io.BytesIO()
    lines = [line for language in sample.LANGUAGES for line in sample.text(language)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=made, vocab_size=1000, num_threads=1,
        character_coverage=1.0, minloglevel=2,
    )  # fmt: skip
    return made.getvalue()


@pytest.fixture(scope="module")
def pickle(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pickle")
    (folder / "model.safetensors").write_bytes(files["model.safetensors"])
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    return (folder / "pytorch_model.bin").read_bytes()


@pytest.fixture(scope="module")
def loaded(files, sentence_piece_model, pickle, tmp_path_factory):
    """What one process loaded from the hub, what it asked for, and what the next one loaded from the cache alone."""
    only_sentence_piece = {name: files[name] for name in ("config.json", "model.safetensors")}
    repositories = {
        "castorini/tiny": files,
        "castorini/published": only_sentence_piece | {"sentencepiece.bpe.model": sentence_piece_model},
        "castorini/pickled": {name: content for name, content in files.items() if name != "model.safetensors"}
        | {"pytorch_model.bin": pickle},
        "castorini/damaged": files | {"model.safetensors": files["model.safetensors"][:1000]},
    }
    cache = tmp_path_factory.mktemp("cache")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.repositories, server.requests = repositories, []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        online = load("tiny", "published", "pickled", "damaged", "absent", address=address, cache=cache)
        online_requests = list(server.requests)
        server.requests.clear()
        offline = load("tiny", "published", "never-fetched", address=address, cache=cache, offline=True)
        offline_requests = list(server.requests)
        server.shutdown()
        thread.join()
    return {"online": online, "requests": online_requests, "offline": offline, "offline requests": offline_requests}


def expected(tiny) -> dict:
    weight = tiny.backbone.embeddings.word_embeddings.weight
    return {
        "revision": COMMIT,
        "dtype": "torch.float32",
        "sum": float(weight.detach().double().sum()),
        "pieces": tiny.tokenizer(SENTENCE)["input_ids"],
        "longest": 512,
    }


def test_an_encoder_loads_from_the_hub_at_its_commit(loaded, tiny):
    assert loaded["online"]["tiny"] == expected(tiny)
    assert f"/castorini/tiny/resolve/{COMMIT}/model.safetensors" in loaded["requests"]


def test_what_was_fetched_loads_without_a_network(loaded):
    assert loaded["offline"]["tiny"] == loaded["online"]["tiny"]
    assert loaded["offline"]["published"] == loaded["online"]["published"]
    assert loaded["offline requests"] == []


def test_a_repository_of_afriberta_s_layout_brings_its_sentence_piece_model(loaded, tiny, sentence_piece_model):
    processor = sentencepiece.SentencePieceProcessor(model_proto=sentence_piece_model)
    # XLM-R puts <s>, <pad>, </s>, <unk> first, so SentencePiece's own ids (<unk>, <s>, </s>, ...) move up by one.
    pieces = [0, *(piece + 1 for piece in processor.encode(SENTENCE)), 2]
    assert loaded["online"]["published"] == expected(tiny) | {"pieces": pieces}


def test_an_encoder_that_was_never_fetched_is_one_error(loaded):
    message = loaded["offline"]["never-fetched"]["error"]
    assert "never-fetched (castorini/never-fetched at main) could not be loaded" in message
    assert "python -m smaller fetch never-fetched" in message and "SMALLER_MODELS" in message
    assert "could not be loaded" in loaded["online"]["absent"]["error"]


def test_a_repository_without_safetensors_is_an_error_and_its_pickle_is_left_alone(loaded):
    assert "safetensors" in loaded["online"]["pickled"]["error"]
    assert not any(path.endswith(".bin") for path in loaded["requests"])


def test_damaged_weights_are_an_error(loaded):
    assert "damaged (castorini/damaged at main) could not be loaded" in loaded["online"]["damaged"]["error"]


def test_a_hub_that_does_not_answer_is_one_error(tmp_path):
    message = load("tiny", address="http://127.0.0.1:9", cache=tmp_path)["tiny"]["error"]
    assert "could not be loaded from the model hub or its cache" in message and "where there is a network" in message
