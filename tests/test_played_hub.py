"""The played hub, and what the real clients do with it: the behaviours that the loaders of this study build on.

The clients read the hub's address when they are imported, so they run in three processes, each with many attempts.
"""

import contextlib
import hashlib
import http.client
import io
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import played_hub
import pyarrow.parquet
import pytest
import safetensors.torch
import sentencepiece
import torch
from played_hub import PARQUET, Fault, PlayedHub, Pull, Repository, Request, digits

SENTENCE = played_hub.sentences("pieces", 1)[0]
SMALL = played_hub.AFRIBERTA["small"]["main"]
BOT = digits("c243ce7")
HEAD = digits("d9b9950")
OLDER = "7a2c9012c2b36ff541379702e5e39de8b650e4b5"
FORGE = "team/names/c0ffee/data/train.txt"

START = f"""
import json, os, socket, sys, threading, time
from pathlib import Path

look_up = socket.getaddrinfo

def on_this_machine(host, *arguments, **options):
    if host not in ("127.0.0.1", "localhost"):
        raise socket.gaierror(f"no network: {{host}}")
    return look_up(host, *arguments, **options)

socket.getaddrinfo = on_this_machine
cache, sentence = sys.argv[1], {SENTENCE!r}
small, corpus, parquet = "castorini/afriberta_small", "castorini/afriberta-corpus", {PARQUET!r}
results = {{}}

def attempt(name, action):
    try:
        results[name] = action()
    except Exception as problem:
        results[name] = type(problem).__name__ + ": " + str(problem)

def total(repository, kind="AutoModelForMaskedLM", **options):
    model, about = getattr(transformers, kind).from_pretrained(repository, output_loading_info=True, **options)
    missing = sorted(key for key in about["missing_keys"] if "pooler" not in key)
    return [float(model.get_input_embeddings().weight.detach().double().sum()), missing]

def rows(*arguments, **options):
    return {{split: part.num_rows for split, part in datasets.load_dataset(*arguments, **options).items()}}

def hausa(revision=parquet):
    return huggingface_hub.hf_hub_download(corpus, "hausa/train/0000.parquet", repo_type="dataset", revision=revision)

def snapshot():
    root = huggingface_hub.snapshot_download(corpus, repo_type="dataset", revision=parquet, cache_dir=cache + "/fourth",
                                             allow_patterns=["igbo/*/0000.parquet"])
    return sorted(str(path.relative_to(root)) for path in Path(root).rglob("*.parquet"))
"""

MODELS_ONLINE = f"""
import huggingface_hub, transformers
from transformers import AutoConfig, AutoTokenizer

def without_conversion(action):
    os.environ["DISABLE_SAFETENSORS_CONVERSION"] = "1"
    try:
        return action()
    finally:
        del os.environ["DISABLE_SAFETENSORS_CONVERSION"]

def tokenizer(repository, **options):
    found = AutoTokenizer.from_pretrained(repository, **options)
    return [type(found).__name__, found(sentence)["input_ids"], found.model_max_length > 1e29, found.pad_token_id]

attempt("commit of main", lambda: total(small, revision={SMALL!r}, use_safetensors=True))
attempt("main without conversion", lambda: without_conversion(lambda: total(small, use_safetensors=True)))
attempt("main", lambda: total(small, revision="main", use_safetensors=True, cache_dir=cache + "/second"))
attempt("pull request", lambda: total(small, revision="refs/pr/1", use_safetensors=True))
attempt("commit of the pull request", lambda: total(small, revision={BOT!r}, cache_dir=cache + "/third"))
attempt("cached", lambda: huggingface_hub.try_to_load_from_cache(small, "model.safetensors", revision="refs/pr/1"))
attempt("tokenizer", lambda: tokenizer(small, revision="refs/pr/1"))
attempt("pickle", lambda: total("castorini/afriberta_base", revision="main"))
for thread in threading.enumerate():
    if thread.name == "Thread-auto_conversion":
        thread.join()
folder = Path(huggingface_hub.hf_hub_download(small, "pytorch_model.bin", revision={SMALL!r})).parent
attempt("folder with a pickle", lambda: total(str(folder), use_safetensors=True))
attempt("pickle that runs", lambda: without_conversion(lambda: total("someone/pickle-that-runs")))
minilm = "microsoft/Multilingual-MiniLM-L12-H384"
attempt("minilm", lambda: without_conversion(lambda: total(minilm, "AutoModel", use_safetensors=True)))
attempt("minilm's pickle", lambda: without_conversion(lambda: total(minilm, "AutoModel"))[1])
for number in (1, 3):
    attempt("large " + str(number), lambda: Path(huggingface_hub.hf_hub_download(
        "castorini/afriberta_large", "model.safetensors", revision="refs/pr/" + str(number)
    )).parent.name)
e5 = "intfloat/multilingual-e5-small"
attempt("e5", lambda: total(e5, "AutoModel", use_safetensors=True)[1] + [AutoConfig.from_pretrained(e5).pad_token_id])
attempt("e5 tokenizer", lambda: tokenizer(e5))
attempt("xlm-r", lambda: total("FacebookAI/xlm-roberta-base", use_safetensors=True)[1])
attempt("mbert", lambda: total("google-bert/bert-base-multilingual-cased", use_safetensors=True)[1])
attempt("mbert tokenizer", lambda: tokenizer("google-bert/bert-base-multilingual-cased")[0])
attempt("modernbert", lambda: AutoConfig.from_pretrained("jhu-clsp/mmBERT-small").model_type)
"""

DATA_ONLINE = f"""
import datasets, huggingface_hub

attempt("script", lambda: rows(corpus, "hausa"))
attempt("trusted script", lambda: rows(corpus, "hausa", trust_remote_code=True))
attempt("configuration", lambda: rows(corpus, "hausa", revision=parquet))
attempt("all languages", lambda: rows(corpus, revision=parquet))
attempt("folder", lambda: rows(corpus, data_dir="hausa", revision=parquet))
revisions = dict(branch=parquet, commit={HEAD!r}, escapes=parquet.replace("/", "%2F"), tilde="~parquet")
train = {{"train": "hausa/train/*.parquet"}}
for name in ("branch", "commit"):
    attempt("files at the " + name, lambda: rows(corpus, data_files=train, revision=revisions[name]))
for name, revision in revisions.items():
    path = f"hf://datasets/{{corpus}}@{{revision}}/hausa/train/0000.parquet"
    attempt("address with " + name, lambda: rows("parquet", data_files={{"train": path}}))
path = f"hf://datasets/{{corpus}}@{{parquet}}/hausa/train/0000.parquet"
stream = datasets.load_dataset("parquet", data_files=path, split="train", streaming=True)
attempt("stream", lambda: len(list(stream)))
attempt("older", lambda: rows("unimelb-nlp/wikiann", "sw", revision={OLDER!r}))
attempt("newer", lambda: rows("unimelb-nlp/wikiann", "sw"))
attempt("file", lambda: hausa())
attempt("file at a commit", lambda: hausa({HEAD!r}))
attempt("files of a snapshot", snapshot)
attempt("read file", lambda: rows("parquet", data_files=hausa()))
attempt("sib200", lambda: datasets.load_dataset("Davlan/sib200", "swh_Latn")["validation"][0])
attempt("sentiment", lambda: rows("DGurgurov/slovak_sa"))

def columns(repository, **options):
    return datasets.load_dataset(repository, split="train", **options).features

attempt("names of labels", lambda: columns("someone/entities")["ner_tags"].feature.names)
attempt("no names", lambda: str(columns("someone/unnamed")["ner_tags"].feature))
swahili = columns("masakhane/masakhaner2", data_dir="swa", revision=parquet)
attempt("masakhaner2", lambda: swahili["ner_tags"].feature.names)
attempt("glotcc", lambda: list(columns("cis-lmu/GlotCC-V1", data_files="v1.0/wol-Latn/*"))[0])
attempt("unusable", lambda: list(columns("someone/measurements")))
attempt("kept", lambda: huggingface_hub.hf_hub_download("someone/vanished", "a.txt", revision="refs/pr/1"))
"""

OFFLINE = f"""
import datasets, huggingface_hub, transformers

attempt("main", lambda: total(small, revision="main", use_safetensors=True, cache_dir=cache + "/second"))
attempt("converted", lambda: total(small, revision="refs/pr/1", cache_dir=cache + "/second"))
attempt("pull request", lambda: total(small, revision="refs/pr/1", use_safetensors=True))
attempt("commit of the pull request", lambda: total(small, revision={BOT!r}, cache_dir=cache + "/third"))
attempt("file", hausa)
attempt("file at a commit", lambda: hausa({HEAD!r}))
attempt("never fetched", lambda: huggingface_hub.hf_hub_download(small, "absent.txt"))
attempt("read file", lambda: rows("parquet", data_files=hausa()))
attempt("files of a snapshot", snapshot)
attempt("older", lambda: rows("unimelb-nlp/wikiann", "sw", revision={OLDER!r}))
attempt("files", lambda: rows(corpus, data_files={{"train": "hausa/train/*.parquet"}}, revision=parquet))
attempt("folder", lambda: rows(corpus, data_dir="hausa", revision=parquet))
attempt("address", lambda: rows("parquet", data_files={{
    "train": f"hf://datasets/{{corpus}}@{{parquet}}/hausa/train/0000.parquet"
}}))
"""
"""The same calls as before, with HF_HUB_OFFLINE."""

CLIENT = f"""
import datasets, hashlib, huggingface_hub
from huggingface_hub import HfApi, hf_hub_download

waits = []
time.sleep = waits.append
api = HfApi()

def download(file, repository="someone/files", **options):
    return Path(hf_hub_download(repository, file, **options)).read_bytes().decode("latin-1")

attempt("sizes", lambda: {{file.rfilename: [file.size, file.lfs and file.lfs.sha256, file.blob_id]
                          for file in api.model_info("someone/files", files_metadata=True).siblings}})
attempt("card", lambda: [api.model_info("someone/files").card_data.license, api.model_info("someone/files").tags])
attempt("expand", lambda: (lambda found: [found.sha, found.siblings])(api.dataset_info(corpus, expand=["sha"])))
attempt("refs", lambda: [[ref.ref, ref.target_commit] for ref in (
    lambda found: found.branches + found.converts + found.tags + found.pull_requests
)(api.list_repo_refs("someone/files", include_pull_requests=True))])
attempt("tag", lambda: api.model_info("someone/files", revision="v1").sha)
attempt("top", lambda: sorted(entry.path for entry in api.list_repo_tree(corpus, repo_type="dataset", revision=parquet)
                              if entry.path[0] in ".h"))
attempt("below", lambda: [entry.path for entry in api.list_repo_tree(
    corpus, "hausa", recursive=True, repo_type="dataset", revision=parquet)])
attempt("no folder", lambda: list(api.list_repo_tree(corpus, "absent", repo_type="dataset")))
attempt("paths", lambda: [[type(entry).__name__, entry.path] for entry in api.get_paths_info(
    corpus, ["hausa", "hausa/test/0000.parquet", "absent"], repo_type="dataset", revision=parquet)])
attempt("exists", lambda: [api.file_exists("someone/files", name) for name in ("a.bin", "absent.bin")])
attempt("pulls", lambda: [[pull.num, pull.author, pull.status]
                          for pull in api.get_repo_discussions("castorini/afriberta_large")])
attempt("commits", lambda: [commit.commit_id for commit in api.list_repo_commits(small, revision="refs/pr/1")])
attempt("seven digits", lambda: download("config.json", small, revision={SMALL[:7]!r}))
attempt("no file", lambda: download("absent.txt"))
attempt("no repository", lambda: download("a.txt", "someone/absent"))
attempt("private", lambda: download("a.txt", "someone/private"))
attempt("private, as someone else", lambda: download("a.txt", "someone/private", token="hf_other"))
attempt("private, as its owner", lambda: download("a.txt", "someone/private", token={PlayedHub.token!r}))
attempt("list of a gated one", lambda: api.model_info("someone/gated").gated)
attempt("gated", lambda: download("a.txt", "someone/gated"))
attempt("gated, as someone else", lambda: download("a.txt", "someone/gated", token="hf_other"))
attempt("gated, as a guest", lambda: download("a.txt", "someone/gated", token={PlayedHub.token!r}))
attempt("renamed", lambda: download("tokenizer_config.json", "xlm-roberta-base"))
attempt("renamed, large", lambda: len(download("model.safetensors", "xlm-roberta-base")))
attempt("renamed data", lambda: api.dataset_info("afriberta-corpus").sha)
attempt("vanished", lambda: download("a.txt", "someone/vanished", revision="refs/pr/1"))
attempt("vanished commit", lambda: download("a.txt", "someone/vanished", revision={digits("abc")!r}))
waits.clear()
attempt("busy", lambda: download("busy.txt"))
attempt("waits", lambda: list(waits))
attempt("busy storage", lambda: download("busy.bin"))
attempt("always busy", lambda: download("always-busy.txt"))
attempt("broken once", lambda: download("broken.txt"))
attempt("always broken", lambda: download("always-broken.txt"))
attempt("refused", lambda: download("refused.txt"))
attempt("cut", lambda: hashlib.sha256(download("cut.bin").encode()).hexdigest())
attempt("always cut", lambda: download("always-cut.bin"))
attempt("shortened", lambda: download("shortened.bin"))
attempt("altered", lambda: download("altered.bin"))
attempt("slow", lambda: download("slow.txt"))
attempt("address", lambda: rows("parquet", data_files={{
    "train": f"hf://datasets/{{corpus}}@{{parquet}}/igbo/train/0000.parquet"
}}))
attempt("offline data", lambda: rows("Davlan/sib200", "mlt_Latn"))
"""
"""Single requests, refusals and faults; HF_DATASETS_OFFLINE is set and HF_HUB_OFFLINE is not."""

FILES = {"README.md": b"---\nlicense: mit\n---\n", "a.txt": b"one\n", "a.bin": b"two\n", "folder/b.txt": b"three\n"} | {
    name: (name * 1000).encode()
    for name in "busy.txt busy.bin always-busy.txt broken.txt always-broken.txt refused.txt always-cut.bin "
    "shortened.bin altered.bin slow.txt".split()
}
FILES["cut.bin"] = bytes(11 * 2**20)  # the client keeps what arrived in steps of ten megabytes

FAULTS = (
    ("*/resolve/main/busy.txt", dict(status=429, wait=7, times=2)),
    ("/cdn/*/busy.bin", dict(status=429, wait=0)),
    ("*/resolve/main/always-busy.txt", dict(status=429, times=-1)),
    ("*/resolve/main/broken.txt", dict(status=503)),
    ("*/resolve/main/always-broken.txt", dict(status=502, times=-1)),
    ("*/resolve/main/refused.txt", dict(status=403, times=-1)),
    ("*/cut.bin", dict(cut=0.98)),
    ("*/always-cut.bin", dict(cut=0.0, times=-1)),
    ("*/shortened.bin", dict(change=lambda content: content[:100], times=-1)),
    ("*/altered.bin", dict(change=bytes.upper)),
    ("*/slow.txt", dict(delay=1.2, method="HEAD")),
)


def run(program: str, cache: Path, environment: dict[str, str]) -> dict:
    """What a fresh process got from its attempts."""
    command = [sys.executable, "-c", START + program + "print(json.dumps(results))", str(cache)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def someone(name: str, files: dict[str, bytes], **options: object) -> Repository:
    commit = digits("abc")
    return Repository(f"someone/{name}", commits={commit: files}, refs={"main": commit}, **options)


def like(pattern: str) -> re.Pattern:
    """What the text of an outcome begins with, as a pattern."""
    return re.compile(pattern, re.DOTALL)


ONLINE_ROWS = {
    "commit of main": like("OSError: .* does not appear to have a file named model.safetensors .*use_safetensors"),
    "main without conversion": like("OSError: .* does not appear to have a file named model.safetensors"),
    "folder with a pickle": like("OSError: Error no file named model.safetensors found in directory"),
    "pickle that runs": like("UnpicklingError: Weights only load failed"),
    "minilm": like("OSError: .* does not appear to have a file named model.safetensors"),
    "minilm's pickle": [],
    "large 1": like("RemoteEntryNotFoundError: 404"),
    "large 3": digits("3bb8fbb"),
    "e5": [0],
    "xlm-r": [],
    "mbert": [],
    "mbert tokenizer": "BertTokenizer",
    "modernbert": "modernbert",
    "script": like("RuntimeError: Dataset scripts are no longer supported, but found afriberta-corpus.py"),
    "trusted script": like("RuntimeError: Dataset scripts are no longer supported, but found afriberta-corpus.py"),
    "configuration": like(r"ValueError: BuilderConfig 'hausa' not found. Available: \['default'\]"),
    "all languages": {"train": 60, "test": 30},
    "folder": {"train": 6, "test": 3},
    "files at the branch": {"train": 6},
    "files at the commit": {"train": 6},
    "address with branch": {"train": 6},
    "address with escapes": {"train": 6},
    "address with commit": {"train": 6},
    "address with tilde": like("FileNotFoundError: .*revision not found"),
    "stream": 6,
    "older": {"train": 5, "validation": 5, "test": 5},
    "newer": {"train": 6, "validation": 6, "test": 6},
    "file": like(f"/.*/snapshots/{HEAD}/hausa/train/0000.parquet"),
    "file at a commit": like(f"/.*/snapshots/{HEAD}/hausa/train/0000.parquet"),
    "files of a snapshot": ["igbo/test/0000.parquet", "igbo/train/0000.parquet"],
    "read file": {"train": 6},
    "sentiment": {"train": 8, "validation": 8, "test": 8},
    "names of labels": list(played_hub.ENTITIES),
    "no names": "Value('int64')",
    "masakhaner2": list(played_hub.ENTITIES),
    "glotcc": "content",
    "unusable": ["height", "weight"],
    "cached": like(f"/.*/snapshots/{BOT}/model.safetensors"),
    "kept": like(f"/.*/snapshots/{digits('abc')}/a.txt"),
}

OFFLINE_ROWS = {
    "main": like("OSError: .* does not appear to have a file named model.safetensors"),
    "converted": like("OSError: We couldn't connect"),
    "file": like(f"/.*/snapshots/{HEAD}/hausa/train/0000.parquet"),
    "file at a commit": like(f"/.*/snapshots/{HEAD}/hausa/train/0000.parquet"),
    "never fetched": like("LocalEntryNotFoundError"),
    "read file": {"train": 6},
    "files of a snapshot": ["igbo/test/0000.parquet", "igbo/train/0000.parquet"],
    "older": {"train": 6, "validation": 6, "test": 6},  # which is the newer one: the revision is passed over
    "files": like("ValueError: Couldn't find cache for castorini/afriberta-corpus for config 'default-"),
    "folder": like("ValueError: Couldn't find cache for castorini/afriberta-corpus for config 'default-"),
    "address": like("OfflineModeIsEnabled"),
}

CLIENT_ROWS = {
    "card": ["mit", ["license:mit"]],
    "expand": ["d83da9653ef2a5f823c3693a28018e3009464522", None],
    "refs": [[name, digits("abc")] for name in ("refs/heads/main", "refs/tags/v1", "refs/pr/1")],
    "tag": digits("abc"),
    "top": [".gitattributes", "hausa"],
    "below": ["hausa/test", "hausa/test/0000.parquet", "hausa/train", "hausa/train/0000.parquet"],
    "no folder": like("RemoteEntryNotFoundError: 404"),
    "paths": [["RepoFolder", "hausa"], ["RepoFile", "hausa/test/0000.parquet"]],
    "exists": [True, False],
    "pulls": [[3, "SFconvertbot", "open"], [2, "someone", "merged"], [1, "someone", "merged"]],
    "commits": [BOT, SMALL],
    "seven digits": like("RevisionNotFoundError: 404 .*Invalid rev id: 5166738"),
    "no file": like("RemoteEntryNotFoundError: 404"),
    "no repository": like("RepositoryNotFoundError: 401"),
    "private": like("RepositoryNotFoundError: 401"),
    "private, as someone else": like("RepositoryNotFoundError: 404"),
    "private, as its owner": "one\n",
    "list of a gated one": "manual",
    "gated": like("GatedRepoError: 401 .*Access to model someone/gated is restricted"),
    "gated, as someone else": like("GatedRepoError: 403"),
    "gated, as a guest": "one\n",
    "renamed": '{"model_max_length": 512}',
    "renamed data": "d83da9653ef2a5f823c3693a28018e3009464522",
    "vanished": like("RevisionNotFoundError: 404 .*refs/pr/1"),
    "vanished commit": "gone\n",
    "busy": "busy.txt" * 1000,
    "waits": [8.0],  # the first refusal is tried again at once, and the second after what the hub says and a second
    "busy storage": "busy.bin" * 1000,
    "always busy": like("LocalEntryNotFoundError: An error happened while trying to locate the file on the Hub"),
    "broken once": "broken.txt" * 1000,
    "always broken": like("LocalEntryNotFoundError"),
    "refused": like("LocalEntryNotFoundError"),
    "cut": hashlib.sha256(FILES["cut.bin"]).hexdigest(),
    "always cut": like("RemoteProtocolError: peer closed connection .*received 0 bytes, expected 14000"),
    "shortened": like("OSError: Consistency check failed: file should be of size 13000 but has size 100"),
    "altered": "ALTERED.BIN" * 1000,
    "slow": "slow.txt" * 1000,
    "address": {"train": 6},
    "offline data": like("ValueError: Couldn't find cache for Davlan/sib200"),
}


@dataclass
class Seen:
    """What each process got, and the requests that reached the hub meanwhile."""

    hub: PlayedHub
    results: dict[str, dict] = field(default_factory=dict)
    requests: dict[str, list[Request]] = field(default_factory=dict)

    def record(self, name: str, program: str, cache: Path, **options: object) -> None:
        self.hub.requests.clear()
        self.results[name] = run(program, cache, self.hub.environment(cache, **options))
        self.requests[name] = list(self.hub.requests)

    def paths(self, name: str) -> list[str]:
        return [request.path for request in self.requests[name]]

    def files(self, name: str) -> list[str]:
        return [request.file for request in self.requests[name] if request.file]

    def word_vectors(self, name: str) -> list:
        """What a process finds when it loads the safetensors at `refs/pr/1`: a sum, and no weight that is missing."""
        repository = self.hub.repositories["model", name]
        tensors = safetensors.torch.load(repository.commits[repository.refs["refs/pr/1"]]["model.safetensors"])
        return [float(tensors["roberta.embeddings.word_embeddings.weight"].double().sum()), []]


def test_the_clients_get_what_they_get_from_the_hub(tmp_path):
    """One test, because its processes take their time: tests that share them may be run by several workers."""
    files = someone("files", FILES, pulls=[Pull(1)])
    files.refs |= {"refs/tags/v1": digits("abc"), "refs/pr/1": digits("abc")}
    vanished = someone("vanished", {"a.txt": b"gone\n"})
    vanished.refs = {"main": digits("def"), "refs/pr/1": digits("abc")}
    vanished.commits[digits("def")] = {}
    marker, cache = tmp_path / "has run", tmp_path / "cache"
    repositories = (
        *(played_hub.afriberta(size) for size in played_hub.AFRIBERTA),
        played_hub.xlm_r(),
        played_hub.mbert(),
        played_hub.e5_small(),
        played_hub.minilm(),
        played_hub.modernbert(),
        played_hub.pickle_that_runs(marker),
        played_hub.afriberta_corpus(),
        played_hub.masakhaner2_hub(),
        played_hub.wikiann(),
        played_hub.glotcc(),
        played_hub.sib200(),
        played_hub.sentiment("slovak"),
        played_hub.plain_entities(),
        played_hub.unusable(),
        played_hub.plain_entities("someone/unnamed", named=False),
        files,
        vanished,
        someone("private", FILES, private=True),
        someone("gated", FILES, gated="manual"),
        Repository("xlm-roberta-base", moved_to="FacebookAI/xlm-roberta-base"),
        Repository("afriberta-corpus", "dataset", moved_to="castorini/afriberta-corpus"),
    )
    with PlayedHub(*repositories) as hub:
        seen = Seen(hub)
        seen.record("online", MODELS_ONLINE + DATA_ONLINE, cache)
        seen.record("offline", OFFLINE, cache, offline=True)
        vanished.forget("refs/pr/1")
        hub.faults += [Fault(path, **options) for path, options in FAULTS]
        seen.record("client", CLIENT, cache, HF_HUB_ETAG_TIMEOUT="1", HF_DATASETS_OFFLINE="1")

    tables = {"online": ONLINE_ROWS, "offline": OFFLINE_ROWS, "client": CLIENT_ROWS}
    wrong = {
        f"{process}: {row}": got
        for process, rows in tables.items()
        for row, expected in rows.items()
        if (got := seen.results[process].pop(row)) != expected
        and not (isinstance(expected, re.Pattern) and isinstance(got, str) and expected.match(got))
    }
    assert wrong == {}
    check_models(seen)
    assert not marker.exists() and "someone/pickle-that-runs/pytorch_model.bin" in seen.files("online")
    check_requests(seen)
    check_single_files(seen)
    assert not any(seen.results.values()), "an attempt that nothing is said about"


def check_models(seen: Seen) -> None:
    """Every way leads to the safetensors of the pull request; tokenizers are XLM-R's."""
    online, offline = seen.results["online"], seen.results["offline"]
    small, base = seen.word_vectors("castorini/afriberta_small"), seen.word_vectors("castorini/afriberta_base")
    assert small != base == online.pop("pickle")
    assert online.pop("main") == small
    for results in (online, offline):
        assert results.pop("pull request") == results.pop("commit of the pull request") == small
    processor = sentencepiece.SentencePieceProcessor(model_proto=played_hub.sentence_piece())
    pieces = [0, *(piece + 1 for piece in processor.encode(SENTENCE)), 2]
    assert online.pop("tokenizer") == ["XLMRobertaTokenizer", pieces, True, 1]
    assert online.pop("e5 tokenizer") == ["XLMRobertaTokenizer", pieces, False, 1]


def check_requests(seen: Seen) -> None:
    assert seen.hub.unknown == [], "the clients asked for what is not played"
    # A pickle makes transformers look for the pull request of the hub's bot.
    assert "/api/models/castorini/afriberta_base/discussions" in seen.paths("online")
    assert "intfloat/multilingual-e5-small/model.safetensors" in seen.files("online")
    unwanted = ("onnx/", "1_Pooling/", "tf_model", "flax_model", "e5-small/pytorch_model", "duckdb", ".zip")
    assert not [file for file in seen.files("online") if any(part in file for part in unwanted)]
    assert seen.requests["offline"] == []
    # HF_DATASETS_OFFLINE stops what goes by a name, and not what goes by an address.
    assert not [path for path in seen.paths("client") if "sib200" in path]
    assert [path for path in seen.paths("client") if path.endswith("/igbo/train/0000.parquet")]
    # A file that was cut is resumed where the client has it.
    arrived = [request for request in seen.requests["client"] if request.file == "someone/files/cut.bin"]
    assert [(request.range, request.status) for request in arrived] == [("", 200), (f"bytes={10 * 2**20}-", 206)]


def check_single_files(seen: Seen) -> None:
    assert seen.results["online"].pop("sib200")["category"] == "science/technology"
    sizes = seen.results["client"].pop("sizes")
    assert set(sizes) == set(FILES)
    # The sum that `git hash-object` prints for a file that holds "one".
    assert sizes["a.txt"] == [4, None, "5626abf0f72e58d7a153368ba57db4c673c0e171"]
    assert sizes["a.bin"][:2] == [4, hashlib.sha256(b"two\n").hexdigest()]
    assert sizes["cut.bin"][0] == 11 * 2**20
    weights = seen.hub.repositories["model", "FacebookAI/xlm-roberta-base"].files["model.safetensors"]
    assert seen.results["client"].pop("renamed, large") == len(weights)


# The servers without a client.


def ask(address: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """The answer to one request, of which no redirect is followed."""
    host, _, path = address.removeprefix("http://").partition("/")
    with contextlib.closing(http.client.HTTPConnection(host, timeout=30)) as connection:
        connection.request(method, f"/{path}", headers=headers)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


@pytest.fixture
def own():
    """A hub of a few files."""
    with PlayedHub(someone("own", FILES), raw={FORGE: b"Asha B-PER\n"}) as own:
        yield own


def test_a_small_file_comes_at_once_with_git_s_checksum(own):
    status, headers, content = ask(f"{own.address}/someone/own/resolve/main/folder/b.txt")
    assert (status, content) == (200, b"three\n")
    assert headers["X-Repo-Commit"] == digits("abc") and headers["Accept-Ranges"] == "bytes"
    assert headers["ETag"] == '"2bdf67abb163a4ffb2d7f3f0880c9fe5068ce782"'
    assert "X-Linked-ETag" not in headers
    assert own.fetched == ["someone/own/folder/b.txt"]


def test_a_large_file_lies_elsewhere(own):
    for method in ("HEAD", "GET"):
        status, headers, _ = ask(f"{own.address}/someone/own/resolve/main/a.bin", method)
        assert (status, headers["X-Linked-Size"], headers["X-Repo-Commit"]) == (302, "4", digits("abc"))
        assert headers["X-Linked-ETag"] == f'"{hashlib.sha256(FILES["a.bin"]).hexdigest()}"'
    assert own.fetched == []
    assert not headers["Location"].startswith(own.address)
    assert ask(headers["Location"], "HEAD")[::2] == (200, b"")
    assert ask(headers["Location"])[::2] == (200, b"two\n")
    assert own.fetched == ["someone/own/a.bin"]


def test_what_is_missing_is_refused_by_a_code(own):
    def refused(path: str) -> list:
        status, headers, _ = ask(f"{own.address}/someone/{path}")
        return [status, headers["X-Error-Code"], headers.get("X-Repo-Commit")]

    # The commit lets the client remember that there is no such file, also without a network.
    assert refused("own/resolve/main/absent.txt") == [404, "EntryNotFound", digits("abc")]
    assert refused("own/resolve/v2/a.txt") == [404, "RevisionNotFound", None]
    assert refused("absent/resolve/main/a.txt") == [401, "RepoNotFound", None]
    assert ask(f"{own.storage}/cdn/model/someone/own/{digits('def')}/a.bin")[0] == 404


@pytest.mark.parametrize(
    ("asked", "status", "content", "about"),
    [
        ("bytes=1-3", 206, b"hre", "bytes 1-3/6"),
        ("bytes=4-", 206, b"e\n", "bytes 4-5/6"),
        ("bytes=4-99", 206, b"e\n", "bytes 4-5/6"),
        ("bytes=-2", 206, b"e\n", "bytes 4-5/6"),
        ("bytes=6-", 416, b"", "bytes */6"),
        ("lines=1-2", 200, b"three\n", None),
    ],
)
def test_a_part_of_a_file(own, asked, status, content, about):
    got = ask(f"{own.address}/someone/own/resolve/main/folder/b.txt", Range=asked)
    assert (got[0], got[2], got[1].get("Content-Range")) == (status, content, about)
    assert own.requests[0].range == asked


def test_the_forge_serves_files_by_path_alone(own):
    assert ask(f"{own.address}/{FORGE}")[::2] == (200, b"Asha B-PER\n")
    assert ask(f"{own.address}/{FORGE}s")[0] == 404
    assert own.fetched == [FORGE]
    assert own.unknown == []


def test_what_is_not_played_is_recorded(own):
    assert ask(f"{own.address}/api/whoami-v2")[0] == 404
    assert ask(f"{own.address}/api/models")[0] == 404
    assert ask(f"{own.address}/api/models/someone/own/likers")[0] == 404
    assert own.unknown == ["/api/whoami-v2", "/api/models", "/api/models/someone/own/likers"]


def test_a_fault_meets_so_many_requests_of_its_kind(own):
    address = f"{own.address}/someone/own/resolve/main/a.txt"
    own.faults = [Fault("*/a.txt", status=429, wait=3, method="GET", times=2), Fault("*/a.*", code="GatedRepo")]
    assert [ask(address, "HEAD")[0], *(ask(address)[0] for _ in range(3))] == [401, 429, 429, 200]
    own.faults = [Fault("*/a.txt", status=429, wait=3), Fault("*/a.txt", cut=0.5)]
    assert ask(address)[1]["Retry-After"] == "3"
    assert ask(address, "HEAD")[0] == 200
    with pytest.raises(http.client.IncompleteRead, match="2 bytes read, 2 more expected"):
        ask(address)
    assert ask(address)[2] == b"one\n"


def test_a_folder_is_served_by_the_program(tmp_path, project):
    weights = tmp_path / "weights"
    weights.write_bytes(b"many numbers")
    small = someone("own", {"a.txt": b"one\n", "folder/w.bin": weights}, pulls=[Pull(1)], gated="auto")
    played_hub.write(tmp_path / "folder", small, raw={FORGE: b"Asha B-PER\n"})
    (read,), raw = played_hub.read(tmp_path / "folder")
    assert (read.name, read.refs, read.pulls, read.gated) == (small.name, small.refs, small.pulls, "auto")
    assert {path: content.read_bytes() for path, content in read.files.items()} == {
        "a.txt": b"one\n",
        "folder/w.bin": b"many numbers",
    }
    assert list(raw) == [FORGE]
    command = [sys.executable, project / "tests" / "played_hub.py", "--port", "0", "--folder", tmp_path / "folder"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        try:
            address = re.match("HF_ENDPOINT=(\\S+)", program.stdout.readline())[1]
            path = f"{address}/someone/own/resolve/main/folder/w.bin"
            assert ask(path)[0] == 401
            location = ask(path, Authorization=f"Bearer {PlayedHub.token}")[1]["Location"]
            assert ask(location, Range="bytes=5-")[2] == b"numbers"
            assert ask(f"{address}/{FORGE}")[2] == b"Asha B-PER\n"
            # Each request is answered by a thread of its own, which may write its line after the next one's.
            told = [json.loads(program.stdout.readline())["status"] for _ in range(4)]
            assert sorted(told) == [200, 206, 302, 401]
        finally:
            program.terminate()


# The repositories.


def test_afriberta_s_files_are_those_of_the_published_ones():
    for size, commit in (("small", "c243ce7"), ("base", "c408166"), ("large", "3bb8fbb")):
        repository = played_hub.afriberta(size)
        assert set(repository.files) == {
            ".gitattributes",
            "README.md",
            "config.json",
            "pytorch_model.bin",
            "sentencepiece.bpe.model",
            "special_tokens_map.json",
            "tf_model.h5",
            "tokenizer_config.json",
        }
        number = 3 if size == "large" else 1
        pull = repository.commits[repository.refs[f"refs/pr/{number}"]]
        assert repository.refs[f"refs/pr/{number}"].startswith(commit)
        assert {path for path in pull if pull[path] != repository.files.get(path)} == {
            ".gitattributes",
            "model.safetensors",
        }
        # The published files have these lengths.
        assert len(repository.files["special_tokens_map.json"]) == 150
        assert len(repository.files["tokenizer_config.json"]) == 257
    assert "model.safetensors" not in repository.commits[repository.refs["refs/pr/1"]]


def test_the_pickle_has_old_buffers_no_pooler_and_shares_the_output_matrix():
    state = torch.load(io.BytesIO(played_hub.afriberta("small").files["pytorch_model.bin"]), weights_only=True)
    positions = state["roberta.embeddings.position_ids"]
    assert positions.dtype == torch.int64 and positions.shape == (1, 514)
    assert not [name for name in state if "pooler" in name]
    words = state["roberta.embeddings.word_embeddings.weight"]
    assert state["lm_head.decoder.weight"].data_ptr() == words.data_ptr()
    pull = safetensors.torch.load(played_hub.afriberta("small").commits[BOT]["model.safetensors"])
    assert set(state) - set(pull) == {"lm_head.decoder.weight", "lm_head.decoder.bias"}


def test_own_weights_and_shapes_are_served():
    config = played_hub.xlm_r_config(played_hub.sentence_piece(), hidden_size=12, num_hidden_layers=1)
    state = {name: tensor + 1 for name, tensor in played_hub.weights(config).items()}
    files = played_hub.xlm_r(state, hidden_size=12, num_hidden_layers=1).files
    assert json.loads(files["config.json"])["hidden_size"] == 12
    stored = safetensors.torch.load(files["model.safetensors"])
    assert stored["lm_head.layer_norm.weight"].tolist() == 12 * [2.0]
    names = set(safetensors.torch.load(played_hub.mbert().files["model.safetensors"]))
    assert {"bert.embeddings.LayerNorm.gamma", "bert.pooler.dense.bias", "cls.seq_relationship.bias"} <= names


def test_the_corpus_has_no_databases_at_its_head_and_older_names_before():
    corpus = played_hub.afriberta_corpus(texts={"hausa": ["Sannu."]})
    head, crowded, older = (corpus.commits[commit] for commit in corpus.history(corpus.refs[PARQUET]))
    assert len(head) == 21 and not [path for path in head if "duckdb" in path]
    assert "hausa/train/index.duckdb" in crowded
    assert "hausa/afriberta-corpus-train.parquet" in older and "hausa/train/0000.parquet" not in older
    table = pyarrow.parquet.read_table(io.BytesIO(head["hausa/train/0000.parquet"]))
    assert table.to_pydict() == {"id": ["0"], "text": ["Sannu."]}


def test_made_up_contents_are_the_same_in_every_process(project):
    program = "import played_hub; print(played_hub.sha256(played_hub.sentiment('slovak').files['train.csv']))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=project / "tests", capture_output=True, text=True, check=True)
    assert done.stdout.strip() == played_hub.sha256(played_hub.sentiment("slovak").files["train.csv"])
