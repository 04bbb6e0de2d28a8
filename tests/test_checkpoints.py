"""Checkpoints: a training goes on from them bit for bit, and leaves aside what is damaged or not its own."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from test_training import LABELS, batches, same, weights

from smaller import encoders
from smaller.data import sample
from smaller.data.encoding import Batch, encode
from smaller.encoders import Model
from smaller.study.checkpoints import Checkpoint
from smaller.study.steps import Pretrain, Prune
from smaller.study.training import token_loss, train


@pytest.fixture(scope="module")
def encoded(tiny):
    return encode(sample.sentences("swa", "dev")[:48], tiny.tokenizer, LABELS)


@pytest.fixture
def tagger(tiny):
    return encoders.with_classifier(tiny, LABELS, seed=1)


def interrupted(rows: list[Batch], after: int) -> Iterator[Batch]:
    yield from rows[:after]
    raise KeyboardInterrupt


def stop(model: Model, rows: list[Batch], after: int, scratch: Path, **options) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(model, interrupted(rows, after), token_loss, **settings(rows), scratch=scratch, **options)


def settings(rows: list[Batch]) -> dict:
    """Those of a training with a checkpoint after nearly every update."""
    return dict(updates=len(rows), learning_rate=3e-3, seed=5, weight_decay=0.1, warm_up=3, checkpoint_seconds=0.0)


def test_a_training_that_is_stopped_goes_on_bit_for_bit(tagger, encoded, tmp_path):
    pruned, _ = Prune(0.5).apply(tagger)
    rows = batches(encoded, epochs=4)
    undisturbed = pruned.copy()
    expected = train(undisturbed, rows, token_loss, **settings(rows))
    for after in random.Random(1).sample(range(1, len(rows)), 3):
        scratch, said = tmp_path / str(after), []
        stop(pruned.copy(), rows, after, scratch)
        assert (scratch / "training.safetensors").is_file()
        model = pruned.copy()
        report = train(model, rows, token_loss, **settings(rows), scratch=scratch, say=said.append)
        assert said[0].startswith("going on after update ")
        assert report.losses == expected.losses and report.terms == expected.terms
        assert (report.tokens, report.updates) == (expected.tokens, expected.updates)
        assert same(weights(model), weights(undisturbed))
        assert not list(scratch.iterdir())


def test_checkpoints_change_no_result(tagger, encoded, tmp_path):
    rows = batches(encoded)
    plain, kept = tagger.copy(), tagger.copy()
    expected = train(plain, rows, token_loss, **settings(rows))
    report = train(kept, rows, token_loss, **settings(rows), scratch=tmp_path / "scratch")
    assert report.losses == expected.losses and same(weights(kept), weights(plain))


def test_checkpoints_come_now_and_then(tagger, encoded, tmp_path):
    """After 60 seconds, and then not before 20 times what writing took."""
    named, (batch,) = dict(tagger.network.named_parameters()), batches(encoded)[:1]
    optimizer = torch.optim.AdamW(named.values())
    given = dict(settings=[], first=batch, say=lambda line: None)
    for seconds, wait in ((None, 60), (0.0, 0)):
        began = time.perf_counter()
        checkpoint = Checkpoint(tmp_path, named, optimizer, **given, seconds=seconds)
        assert began + wait <= checkpoint.due <= time.perf_counter() + wait
    began = time.perf_counter()
    checkpoint.write([torch.tensor(1.0)], 5, 2.0)
    ended = time.perf_counter()
    assert ended < checkpoint.due <= ended + 20 * (ended - began)
    assert Checkpoint(tmp_path, named, optimizer, **given).resume() == ([torch.tensor(1.0)], 5, 2.0)


@pytest.mark.parametrize("damage", ["cut short", "a changed byte", "empty", "other content"])
def test_a_damaged_checkpoint_is_left_aside_with_a_word(tagger, encoded, tmp_path, damage):
    rows = batches(encoded, epochs=2)
    undisturbed = tagger.copy()
    expected = train(undisturbed, rows, token_loss, **settings(rows))
    stop(tagger.copy(), rows, 7, tmp_path)
    file = tmp_path / "training.safetensors"
    content = file.read_bytes()
    middle = len(content) // 2
    file.write_bytes(
        {
            "cut short": content[:middle],
            "a changed byte": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "empty": b"",
            "other content": b"not a checkpoint",
        }[damage]
    )
    said = []
    model = tagger.copy()
    report = train(model, rows, token_loss, **settings(rows), scratch=tmp_path, say=said.append)
    assert said[0].endswith("is damaged, so this one starts from the beginning")
    assert report.losses == expected.losses and same(weights(model), weights(undisturbed))


@pytest.mark.parametrize(
    "other", ["more updates", "another seed", "another rate", "other weights", "another shape", "other sentences"]
)
def test_a_checkpoint_of_another_training_is_left_aside_with_a_word(tagger, tiny, encoded, tmp_path, other):
    rows = batches(encoded)
    stop(tagger.copy(), rows, 4, tmp_path)
    options, model = settings(rows), tagger.copy()
    match other:
        case "more updates":
            rows = batches(encoded, epochs=2)
            options["updates"] = len(rows)
        case "another seed":
            options["seed"] = 6
        case "another rate":
            options["learning_rate"] = 1e-3
        case "other weights":
            model = encoders.with_classifier(tiny, LABELS, seed=2)
        case "another shape":
            model = encoders.with_classifier(tiny, LABELS[:3], seed=1)
            rows = [Batch(row.pieces, row.mask, row.labels.clamp(max=2), row.rows) for row in rows]
        case "other sentences":
            rows = rows[::-1]
    expected = train(model.copy(), rows, token_loss, **options)
    said = []
    report = train(model, rows, token_loss, **options, scratch=tmp_path, say=said.append)
    assert said[0].endswith("belongs to another training, so this one starts from the beginning")
    assert report.losses == expected.losses


def test_a_full_disk_costs_the_checkpoint_and_not_the_training(tagger, encoded, tmp_path, small_files):
    rows = batches(encoded)
    expected = train(tagger.copy(), rows, token_loss, **settings(rows))
    said = []
    with small_files(10_000):
        report = train(tagger.copy(), rows, token_loss, **settings(rows), scratch=tmp_path, say=said.append)
    assert report.losses == expected.losses
    assert said and all(line.startswith("no checkpoint could be kept at ") for line in said)
    assert not list(tmp_path.iterdir())


def test_the_random_state_of_the_process_is_left_alone_also_by_a_resumed_training(tagger, encoded, tmp_path):
    rows = batches(encoded)
    stop(tagger.copy(), rows, 3, tmp_path)
    before = torch.get_rng_state()
    train(tagger.copy(), rows, token_loss, **settings(rows), scratch=tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


KILLED = """
import json, os, signal, sys
from pathlib import Path
from smaller import encoders
from smaller.study import checkpoints, training
from smaller.study.steps import step_from_canonical

folder, scratch, form, moment, count = sys.argv[1:]
checkpoints.CHECKPOINT_SECONDS = 0.0
checkpoints.WRITING_SHARE = float("inf")
place, name = {"an update": (training, "linear_decay"), "a checkpoint": (checkpoints, "save_file")}[moment]
function, left = getattr(place, name), [int(count)]

def fatal(*given, **options):
    made = function(*given, **options)
    left[0] -= 1
    if not left[0]:
        if moment == "a checkpoint":
            os.truncate(given[1], os.path.getsize(given[1]) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    return made

setattr(place, name, fatal)
step_from_canonical(json.loads(form)).apply(encoders.open_folder(folder), scratch=Path(scratch))
"""


@pytest.mark.parametrize(("moment", "count"), [("an update", 17), ("a checkpoint", 3)])
def test_a_killed_process_loses_little_and_changes_nothing(tiny_folder, tmp_path, moment, count):
    """SIGKILL between two updates, and with a checkpoint half written; then the same step in this process."""
    step = Pretrain(languages=("swa",), updates=24, batch_size=8, learning_rate=1e-2)
    model = encoders.open_folder(tiny_folder)
    undisturbed, expected = step.apply(model)
    command = [
        sys.executable,
        "-c",
        KILLED,
        tiny_folder,
        str(tmp_path),
        json.dumps(step.canonical()),
        moment,
        str(count),
    ]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    said = []
    trained, report = step.apply(model, scratch=tmp_path, say=said.append)
    assert any(line.startswith("going on after update ") for line in said)
    assert report["loss_curve"] == expected["loss_curve"] and report["pieces"] == expected["pieces"]
    found = trained.network.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in undisturbed.network.state_dict().items())
