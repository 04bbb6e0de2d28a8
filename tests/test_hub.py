"""Encoders from the model hub, played on this machine with the layouts that the real repositories have.

The hub's client reads its address when it is imported, so each scene is played in a process of its own.
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
import time

import pytest
import sentencepiece
import torch
from played_hub import (
    Fault,
    PlayedHub,
    Repository,
    afriberta,
    as_json,
    digits,
    e5_small,
    errors,
    mbert,
    minilm,
    modernbert,
    pickle_that_runs,
    sentence_piece,
    told_by,
    xlm_r,
)
from safetensors.torch import load, save

SENTENCES = ["Asha anaishi Nairobi .", "", "bado gani tena , mi ra"]

PROGRAM = f"""
import dataclasses, json, os, resource, sys, time
time.sleep = lambda seconds: None  # the clients wait between their attempts

from smaller import encoders
from smaller.base.errors import SmallerError

SENTENCES = {SENTENCES!r}
for name, known in encoders.ENCODERS.items():  # of the real files, which tiny ones cannot have
    encoders.ENCODERS[name] = dataclasses.replace(known, checksums={{}})

def told(line):
    try:
        return eval(line)
    except SmallerError as problem:
        return {{"error": str(problem)}}

def facts(name):
    encoders.revision.cache_clear()
    model = encoders.load(name)
    weight = model.backbone.embeddings.word_embeddings.weight
    return dict(
        revision=encoders.revision(name), dtype=str(weight.dtype), sum=float(weight.detach().double().sum()),
        pieces=[model.tokenizer(sentence)["input_ids"] for sentence in SENTENCES], note=encoders.head_note(model),
        longest=model.tokenizer.model_max_length,
        padding=[model.tokenizer.pad_token_id, model.network.config.pad_token_id],
        tied=model.network.get_output_embeddings().weight is model.network.get_input_embeddings().weight,
    )

def plan(name):
    found = encoders.plan_fetch(name)
    return dict(files=sorted(name for name, _ in found.files), here=found.already_here, size=found.bytes)

print(json.dumps({{line: told(line) for line in sys.argv[1:]}}))
"""


play = functools.partial(told_by, PROGRAM)

NAMES = ["afriberta-small", "afriberta-base", "afriberta-large", "xlm-r-base", "mbert", "e5-small", "minilm"]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Every kind of repository, fetched in one process, and loaded in the next one without a network."""
    folder = tmp_path_factory.mktemp("well")
    gone = afriberta("small")
    other = Repository("someone/encoder", commits=dict(gone.commits), refs=dict(gone.refs), pulls=list(gone.pulls))
    vanished = afriberta("base")
    vanished.refs.pop("refs/pr/1")
    vanished.pulls.clear()
    repositories = [gone, vanished, afriberta("large"), xlm_r(), mbert(), e5_small(), minilm(), other]
    others = ["someone/encoder", "someone/encoder@refs/pr/1"]
    with PlayedHub(*repositories) as hub:
        plans = play(hub, folder, *(f"plan({name!r})" for name in NAMES))
        planned = list(hub.fetched)
        fetched = play(
            hub, folder, *(f"encoders.fetch({name!r}, say=lambda line: None).weights" for name in [*NAMES, *others])
        )
        files, before = hub.fetched[len(planned) :], len(hub.requests)
        loaded = play(
            hub,
            folder,
            *(f"facts({name!r})" for name in [*NAMES, *others]),
            *(f"encoders.is_here({name!r})" for name in [*NAMES, "glot500"]),
            offline=True,
        )
        asked = len(hub.requests) - before
    names = [*NAMES, *others]
    return {
        "plans": dict(zip(NAMES, plans, strict=True)),
        "planned": planned,
        "files": files,
        "asked": asked,
        "weights": dict(zip(names, fetched, strict=True)),
        "facts": dict(zip(names, loaded, strict=False)),
        "here": loaded[len(names) :],
    }


def test_a_plan_fetches_configurations_and_nothing_else(told):
    assert {path.rpartition("/")[2] for path in told["planned"]} == {"config.json"}
    assert "model.safetensors" in told["plans"]["afriberta-small"]["files"] and told["plans"]["mbert"]["size"] > 10_000
    assert "pytorch_model.bin" in told["plans"]["minilm"]["files"]


def test_safetensors_of_the_pull_request_are_taken_and_the_pickle_where_it_is_gone(told):
    revisions = {name: facts["revision"] for name, facts in told["facts"].items()}
    assert revisions["afriberta-small"].startswith("c243ce7") and revisions["afriberta-large"].startswith("3bb8fbb")
    assert revisions["afriberta-base"] == "95b703f498c9cee56be5f5bbc5140022dc86099e", "its pull request is gone"
    assert list(told["weights"]["afriberta-small"]) == ["model.safetensors"]
    assert list(told["weights"]["afriberta-base"]) == list(told["weights"]["minilm"]) == ["pytorch_model.bin"]
    assert all(len(revision) == 40 for revision in revisions.values())


def test_one_format_of_the_weights_is_fetched_and_no_other_file(told):
    endings = (".h5", ".msgpack", ".onnx", ".ot", "openvino_model.bin", ".py")
    assert not any(path.endswith(endings) for path in told["files"])
    for repository in ("FacebookAI/xlm-roberta-base", "intfloat/multilingual-e5-small"):
        weights = [
            path for path in told["files"] if path.startswith(repository) and path.endswith((".bin", ".safetensors"))
        ]
        assert weights == [f"{repository}/model.safetensors"]


def test_all_of_them_load_without_a_network_in_fp32_and_tied(told):
    assert told["asked"] == 0
    assert told["here"] == [True] * len(NAMES) + [False]
    for name, facts in told["facts"].items():
        assert facts["dtype"] == "torch.float32" and facts["tied"], name
        assert facts["longest"] == 512 and facts["padding"][0] == facts["padding"][1], name
        assert bool(facts["note"]) == (name in ("e5-small", "minilm")), name


def test_the_same_weights_come_from_either_format(told):
    assert told["facts"]["someone/encoder"]["sum"] == told["facts"]["someone/encoder@refs/pr/1"]["sum"]
    assert told["weights"]["someone/encoder"].keys() == {"pytorch_model.bin"}
    assert told["weights"]["someone/encoder@refs/pr/1"].keys() == {"model.safetensors"}


def test_a_sentence_piece_model_alone_gives_its_ids_with_the_offset_of_xlm_r(told):
    processor = sentencepiece.SentencePieceProcessor(model_proto=sentence_piece())
    # XLM-R puts <s>, <pad>, </s>, <unk> first, so SentencePiece's own ids (<unk>, <s>, </s>, ...) move up by one.
    moved = [[3 if piece == 0 else piece + 1 for piece in processor.encode(sentence)] for sentence in SENTENCES]
    expected = [[0, *row, 2] for row in moved]
    assert any(len(row) > 4 for row in expected)
    for name in ("afriberta-small", "afriberta-base", "afriberta-large", "minilm"):
        assert told["facts"][name]["pieces"] == expected, name


def architecture(name: str, **config: object) -> Repository:
    files = afriberta("small").files | {"config.json": as_json(config)}
    return Repository(name, commits={40 * "d": files}, refs={"main": 40 * "d"})


def test_what_cannot_be_used_is_one_sentence_and_nothing_of_it_is_fetched(tmp_path):
    private, gated = (
        Repository(f"someone/{kind}", commits=xlm_r().commits, refs=xlm_r().refs) for kind in ("private", "gated")
    )
    private.private, gated.gated = True, True
    empty = Repository(
        "someone/empty", commits={40 * "e": {"config.json": xlm_r().files["config.json"]}}, refs={"main": 40 * "e"}
    )
    deberta = architecture("someone/deberta", model_type="deberta-v2", architectures=["DebertaV2ForMaskedLM"])
    albert = architecture("someone/albert", model_type="albert", architectures=["AlbertForMaskedLM"])
    ours = architecture(
        "someone/own-code", model_type="bert", architectures=["BertModel"], auto_map={"AutoModel": "x.Y"}
    )
    scenes = {
        "nobody/nothing": "There is no model nobody/nothing on the hub, or it is private",
        "someone/private": "There is no model someone/private on the hub, or it is private",
        "someone/gated": "its owner lets in only who asked",
        "someone/empty": "holds no tokenizer.json (or sentencepiece.bpe.model, or vocab.txt) and no model.safetensors",
        "jhu-clsp/mmBERT-small": "has the architecture modernbert (ModernBertForMaskedLM), which no step knows",
        "someone/deberta": "has the architecture deberta-v2",
        "someone/albert": "Encoders of the types xlm-roberta, roberta, bert are served",
        "someone/own-code": "brings code of its own, which is never run",
        "someone/private@abc1234": "the hub takes a commit by all of its 40 digits, and 'abc1234' has 7",
        "FacebookAI/xlm-roberta-base@refs/pr/99": "has no revision refs/pr/99",
        "glot500": "The encoder glot500 is not here. There is no model cis-lmu/glot500-base",
        "afriberta-bas": "Did you mean 'afriberta-base'",
    }
    with PlayedHub(private, gated, empty, deberta, albert, ours, modernbert(), xlm_r()) as hub:
        found = errors(play(hub, tmp_path, *(f"encoders.fetch({name!r}, say=lambda line: None)" for name in scenes)))
        fetched = {path.rpartition("/")[2] for path in hub.fetched}
        (never,) = errors(play(hub, tmp_path, "facts('mbert')", offline=True))
    for (name, message), text in zip(scenes.items(), found, strict=True):
        assert message in text, f"{name}: {text}"
    assert fetched <= {"config.json"}
    assert "HF_HUB_OFFLINE forbids asking the hub" in never and "SMALLER_MODELS/mbert" in never
    (gone,) = errors(play(hub, tmp_path, "encoders.fetch('mbert', say=lambda line: None)"))
    assert "does not answer" in gone


def test_a_pickle_with_code_in_it_is_refused_by_name_and_does_not_run(tmp_path):
    marker = tmp_path / "it ran"
    line = "encoders.fetch('someone/pickle-that-runs', say=lambda line: None)"
    with PlayedHub(pickle_that_runs(marker)) as hub:
        (text,) = errors(play(hub, tmp_path, line))
    assert "mkdir" in text and "would run code" in text and not marker.exists()
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_bad_lines_and_a_full_disk_lose_nothing(tmp_path):
    line = "encoders.fetch('minilm', say=lambda line: None).converted"
    with PlayedHub(minilm()) as hub:
        hub.faults = [
            Fault("*/pytorch_model.bin", cut=0.5),
            Fault("*/config.json", status=429, wait=0),
            Fault("*/sentencepiece.bpe.model", delay=0.2),
        ]
        assert play(hub, tmp_path / "bad", line) == [True], "a cut, a limit and a slow answer are lived through"
        hub.faults = [Fault("*/pytorch_model.bin", change=lambda content: content[:-1] + b"?", times=-1)]
        (text,) = errors(play(hub, tmp_path / "changed", line))
        assert "SHA-256 of what arrived" in text and "it was removed" in text
        hub.faults = []
        room = len(minilm().files["pytorch_model.bin"]) // 2
        small = f"resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, resource.RLIM_INFINITY)) or {line}"
        (text,) = errors(play(hub, tmp_path / "full", small))
        assert "could not be kept" in text
        assert play(hub, tmp_path / "full", line) == [True], "with room it goes on"
    assert not list((tmp_path / "full").rglob(".unfinished-*"))


def test_a_full_disk_in_the_middle_of_converting_is_one_error(tmp_path, rooms, small_files):
    from smaller import encoders
    from smaller.base.errors import SmallerError

    rooms(cache=tmp_path / "cache")
    for name, content in minilm().files.items():
        if "/" not in name and name.endswith((".json", ".bin", ".model")):
            (tmp_path / "minilm").mkdir(exist_ok=True)
            (tmp_path / "minilm" / name).write_bytes(content)
    with small_files(2_000), pytest.raises(SmallerError, match="could not be converted into .*SMALLER_CACHE"):
        encoders.open_folder(tmp_path / "minilm")
    assert not list((tmp_path / "cache" / "encoders").rglob("*.safetensors"))
    assert encoders.open_folder(tmp_path / "minilm").network.dtype == torch.float32


def named(name: str, repository: Repository) -> Repository:
    return Repository(name, commits=dict(repository.commits), refs=dict(repository.refs), pulls=repository.pulls)


def test_a_pull_request_that_was_pushed_to_and_files_with_another_checksum(tmp_path):
    pushed, moved, changed = (named(f"someone/{word}", afriberta("small")) for word in ("pushed", "moved", "changed"))
    other = digits("abcdef1")
    pushed.commits[other] = pushed.commits[pushed.refs["refs/pr/1"]]
    pushed.refs["refs/pr/1"] = other
    moved.refs["main"] = moved.refs["refs/pr/1"]
    main, names = afriberta("small").refs["main"], ("pushed", "moved", "changed")
    known = [
        f"repository='someone/pushed', revision='refs/pr/1', begins='c243ce7', otherwise='{main}'",
        "repository='someone/moved', revision='main', begins='0000000'",
        "repository='someone/changed', revision='refs/pr/1', checksums={'model.safetensors': 64 * '0'}",
    ]
    enter = [
        f"encoders.ENCODERS.update({name}=encoders.Encoder('{name}', 4, {about}))"
        for name, about in zip(names, known, strict=True)
    ]
    look = [f"(lambda said: [encoders.fetch('{name}', say=said.append).commit, *said])([])" for name in names]
    with PlayedHub(pushed, moved, changed) as hub:
        *_, of_pushed, of_moved, of_changed, here = play(
            hub, tmp_path, *enter, *look, "encoders.is_here('pushed') and not encoders.is_here('changed')"
        )
    assert of_pushed[0] == main and "refs/pr/1 is not at c243ce7 any more" in of_pushed[1]
    assert of_moved[0] == moved.refs["main"] and "main is not at 0000000 any more" in of_moved[1]
    (text,) = errors([of_changed])
    assert f"{64 * '0'} is known for it; it was removed" in text
    assert here is True, "what was removed is not here"


def test_a_killed_fetch_goes_on_where_it_was(tmp_path):
    line = "encoders.fetch('mbert', say=lambda line: None).commit"
    with PlayedHub(mbert(), faults=[Fault("/cdn/*/model.safetensors", delay=3)]) as hub:
        environment = hub.environment(tmp_path / "hub", SMALLER_CACHE=str(tmp_path / "cache"))
        with subprocess.Popen([sys.executable, "-c", PROGRAM, line], env=environment) as process:
            while process.poll() is None and not any("model.safetensors" in one.path for one in list(hub.requests)):
                time.sleep(0.01)
            process.kill()
        before = list(hub.fetched)
        assert "google-bert/bert-base-multilingual-cased/tokenizer.json" in before
        not_here, commit, here = play(hub, tmp_path, "encoders.is_here('mbert')", line, "encoders.is_here('mbert') + 0")
        again = hub.fetched[len(before) :]
    assert (not_here, commit, here) == (False, mbert().refs["main"], 1)
    assert {path.rpartition("/")[2] for path in again} == {"model.safetensors"}


def test_any_encoder_of_the_hub_has_its_shape_and_licence_and_a_folder_goes_before_it(tmp_path):
    name, folder = "someone/shaped", tmp_path / "models" / "someone" / "shaped"
    published = named(name, xlm_r(num_hidden_layers=3, hidden_size=36))
    published.commits = {
        commit: files | {"README.md": b"---\nlicense: cc-by-nc-4.0\n---\n"}
        for commit, files in published.commits.items()
    }
    whole = f"{name}@{published.refs['main']}"
    lines = [
        f"[encoders.source({name!r}).layers, encoders.source({name!r}).hidden, encoders.source({name!r}).kind]",
        f"encoders.configuration(encoders.source({name!r})).vocab_size",
        f"(lambda found: [found.licence, found.non_commercial, found.commit])(encoders.plan_fetch({name!r}))",
    ]
    folder.mkdir(parents=True)
    for file, content in xlm_r(num_hidden_layers=2).files.items():
        if "/" not in file:
            (folder / file).write_bytes(content)
    by_hand = f"os.environ.update(SMALLER_MODELS={str(tmp_path / 'models')!r})"
    at_hand = [f"str(encoders.source({name!r}))", f"encoders.revision({name!r})"]
    licences = [f"encoders.licence({which!r})" for which in (name, "no/card", "no/such", "mbert")]
    bare = named("no/card", xlm_r())
    bare.commits = {
        commit: {path: content for path, content in files.items() if path != "README.md"}
        for commit, files in bare.commits.items()
    }
    with PlayedHub(published, bare) as hub:
        assert play(hub, tmp_path, *licences, offline=True) == ["unknown", "unknown", "unknown", "Apache-2.0"]
        shape, vocabulary, planned, _, *stated = play(
            hub, tmp_path, *lines, f"encoders.fetch({name!r}).commit", *licences
        )
        assert stated == ["cc-by-nc-4.0", "unknown", "unknown", "Apache-2.0"]
        total, again, is_here, _, here, revision = play(
            hub,
            tmp_path,
            f"facts({whole!r})['sum']",
            lines[2],
            f"encoders.is_here({whole!r})",
            by_hand,
            *at_hand,
            offline=True,
        )
    assert (shape, vocabulary) == ([3, 36, "xlm-roberta"], json.loads(published.files["config.json"])["vocab_size"])
    assert planned == again == ["cc-by-nc-4.0", True, published.refs["main"]] and is_here is True
    assert isinstance(total, float)
    assert here == str(folder) and revision.startswith("sha256:")


def test_weights_in_parts_come_with_all_of_them_and_transformers_asks_the_hub_for_nothing(tmp_path):
    published = named("someone/parts", e5_small())
    weights = load(published.files["model.safetensors"])
    parts, places = {}, {}
    for number, keys in enumerate((list(weights)[:9], list(weights)[9:]), start=1):
        part = f"model-0000{number}-of-00002.safetensors"
        parts[part] = save({key: weights[key] for key in keys}, metadata={"format": "pt"})
        places |= dict.fromkeys(keys, part)
    index = as_json({"metadata": {}, "weight_map": places})
    files = {file: content for file, content in published.files.items() if file != "model.safetensors"}
    published.commits = {published.refs["main"]: files | parts | {"model.safetensors.index.json": index}}
    with PlayedHub(published, e5_small()) as hub:
        sums = play(hub, tmp_path, "facts('someone/parts')['sum']", "facts('e5-small')['sum']")
        assert sums[0] == sums[1]
        assert not hub.unknown and not any("discussions" in one.path for one in hub.requests)
        assert [path for path in hub.fetched if path.endswith(".bin")] == []
