"""Work on a GPU that is only pretended: no step, score or timing mixes devices, and all of it can be trained on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import bitsandbytes  # noqa: F401, which looks for a GPU when it is imported: before one is pretended
import pytest
import torch
from asking import predict
from pretend_device import pretend_device
from torch import Tensor, nn

from smaller import encoders, formats
from smaller.data import sample, splits
from smaller.data.encoding import batch_of, encode
from smaller.data.sets import ATTACK, EvaluationSet
from smaller.encoders import Model, with_classifier
from smaller.encoders.device import placed
from smaller.formats.shipping import predict_command, ship
from smaller.prediction.tagging import tag
from smaller.pretrain import Family, pretrain
from smaller.pretrain.held_out import held_out_scores, masked_rows
from smaller.study import cost, results, timing
from smaller.study.attacks import attack
from smaller.study.cost import Setting
from smaller.study.evaluation import score
from smaller.study.jobs import execute, plan
from smaller.study.recipes import Recipe, dense, pruned_after
from smaller.study.steps import (
    Adapt,
    Cut,
    Distil,
    FineTune,
    Pretrain,
    Prune,
    PruneFeedForward,
    PruneHeads,
    Quantize,
    Step,
    TrimVocabulary,
    TruncateHidden,
)
from smaller.study.steps.quantization import Round
from smaller.study.training import masked_language_loss, token_loss, train
from smaller.study.unlabelled import look

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, and nothing to pretend")


@pytest.fixture(autouse=True)
def short(sample_of: Callable, fresh_folders: Path) -> Iterator[None]:
    """Little to score, on one thread: these models are so small that a second one would only wait for the first."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with sample_of(train=32, dev=8, test=8):
        yield
    torch.set_num_threads(before)


# What has to be refused, and what not


def layer() -> nn.Linear:
    return nn.Linear(3, 2).to("cuda")


def there(*shape: int) -> Tensor:
    return torch.ones(*shape, device="cuda")


MIXED = {
    "a layer on an input": lambda: layer()(torch.ones(1, 3)),
    "a mask that shuts out": lambda: there(3).masked_fill(torch.ones(3) > 0, -1.0),
    "a product in place": lambda: there(3).mul_(torch.ones(3) > 0),
    "a product in place, onto the processor": lambda: torch.ones(3).mul_(there(3)),
    "pieces of a table": lambda: nn.Embedding(5, 2).to("cuda")(torch.tensor([1, 2])),
    "rows of the processor by places there": lambda: torch.ones(3)[there(2).long()],
    "rows of the processor become those from there": lambda: torch.ones(3).index_put_((torch.tensor([1]),), there(1)),
    "rows there become those of the processor": lambda: there(3).index_put_((torch.tensor([1]),), torch.ones(1)),
    "one after another": lambda: torch.cat([there(3), torch.ones(3)]),
    "a gradient and a mask": lambda: layer()(there(1, 3)).backward(torch.ones(1, 2)),
}


@pytest.mark.parametrize("mixed", MIXED.values(), ids=MIXED)
def test_what_mixes_devices_is_refused(mixed: Callable) -> None:
    with pretend_device() as record, pytest.raises(RuntimeError, match="on the same device"):
        mixed()
    assert record.mixes


def test_what_is_on_the_device_is_not_read_without_a_copy() -> None:
    with pretend_device() as record:
        for read in (Tensor.numpy, Tensor.__array__):
            with pytest.raises(TypeError, match="copy the tensor"):
                read(there(3))
        assert there(3).cpu().numpy().tolist() == there(3).tolist() == [1, 1, 1]
    assert not record.mixes


def test_what_a_gpu_takes_is_done_and_stays_there() -> None:
    values, network = torch.ones(3), nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    before = list(network.parameters())
    with pretend_device() as record:
        moved = values.to("cuda")
        made = [
            2 * moved,
            moved * torch.tensor(2.0),
            moved.half(),
            moved[torch.tensor([0])],
            moved.to("cuda"),
            torch.zeros(2).copy_(moved[:2]).to(moved),
            torch.zeros_like(moved),
            moved.view(3, 1),
        ]
        assert all(tensor.is_cuda and tensor.device.type == "cuda" for tensor in [moved, *made])
        assert [values.device.type, moved.cpu().device.type, moved.to("cpu", torch.half).device.type] == ["cpu"] * 3
        network.to("cuda")
        assert all(now is then and now.is_cuda for now, then in zip(network.parameters(), before, strict=True))
        assert all(tensor.is_cuda for tensor in copy.deepcopy(network).state_dict().values())
        network(there(4, 3)).sum().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0, foreach=True)
        optimizer = torch.optim.AdamW(network.parameters(), fused=True)
        optimizer.step()
        assert all(tensor.is_cuda for state in optimizer.state.values() for tensor in state.values())
    assert not record.mixes and not torch.cuda.is_available() and moved.device.type == "cpu"


# Chains of steps

TEXT = {"corpus": "sample", "languages": ("swa",)}
TUNE = FineTune("sample", "swa", epochs=1, learning_rate=3e-3, batch_size=32)
TEACH = Distil(1, on="task", dataset="sample", language="swa", epochs=1)
READ = Distil(1, on="corpus", **TEXT, updates=2, batch_size=4, max_length=32)
LEARN = Pretrain(languages=("swa",), updates=2, batch_size=4)
GRADIENT = {**TEXT, "lines": 16}
HEADS, NEURONS = PruneHeads(1, importance="magnitude"), PruneFeedForward(24, importance="magnitude")
TABLES = Prune(0.5, include="linear+embeddings")
TRIM = TrimVocabulary(300, **TEXT)

CHAINS: list[tuple[Step, ...]] = [
    (TUNE,),
    (replace(TUNE, adapter=4),),
    (Adapt("sample", "swa", updates=2, batch_size=4, max_length=32), TUNE),
    (TUNE, Prune(0.5), Prune(0.7)),
    (TUNE, Prune(0.5, scope="layer")),
    (TUNE, Prune(0.5, method="random")),
    (Prune(0.5), TUNE, Prune(0.7)),
    (Prune(0.5), TUNE, TEACH, Prune(0.7)),
    (Prune(0.5), TUNE, NEURONS),
    (Prune(0.5), TUNE, HEADS),
    (TUNE, Prune(0.5), TEACH),
    (TUNE, Prune(0.5), HEADS, NEURONS),
    (TUNE, TEACH, Prune(0.5)),
    (TUNE, replace(TEACH, hidden_weight=0.3, attention_weight=0.3)),
    (TUNE, replace(TEACH, hidden_size=12, width_by="projection", hidden_weight=0.3)),
    (TUNE, replace(TEACH, feed_forward=24)),
    (TUNE, replace(TEACH, transfer_corpus="sample", transfer_lines=10)),
    (READ, PruneHeads(1, **GRADIENT), PruneFeedForward(24, **GRADIENT), replace(READ, hidden_size=12), TRIM, TUNE),
    (LEARN, PruneHeads(1, **GRADIENT)),
    (LEARN, PruneFeedForward(24, **GRADIENT)),
    (TUNE, PruneHeads(1, importance="random")),
    (TUNE, PruneHeads(1, importance="magnitude", scope="global")),
    (TUNE, PruneFeedForward(24, importance="random"), NEURONS),
    (HEADS, TUNE, NEURONS, TruncateHidden(12)),
    (TUNE, HEADS, TruncateHidden(12)),
    (TUNE, TruncateHidden(12)),
    (TUNE, TruncateHidden(12, by="projection", **TEXT)),
    (TUNE, TruncateHidden(12, by="importance", **TEXT)),
    (TUNE, TRIM),
    (TABLES, TUNE, TRIM),
    (TUNE, TABLES, TRIM),
    (TUNE, Cut(1)),
    (TUNE, Round(4)),
    (TUNE, Prune(0.5), Quantize("llm.int8")),
    *((TUNE, Quantize(form)) for form in ("fp32", "fp16", "bf16", "dynamic", "onnx-int8")),
    (TUNE, Quantize("llm.int8", dataset="sample", language="swa")),
]


@pytest.fixture(scope="module")
def start(tiny_folder: str) -> Model:
    return encoders.load(tiny_folder)


@pytest.mark.parametrize("steps", CHAINS, ids=lambda steps: " > ".join(step.label for step in steps))
def test_no_chain_of_steps_mixes_devices(steps: tuple[Step, ...], start: Model, tiny_folder: str) -> None:
    """As a study goes through it, and once more with the model scored before each step, which puts it on the device."""
    recipe = Recipe(tiny_folder, steps)
    sentences = splits.sentences("sample", "yor", "test")[:1]
    with pretend_device() as record:
        for job in plan([recipe]):
            execute(job)
        model = start.copy()
        for step in steps:
            look(model, sentences)
            model, _ = step.apply(model)
        look(model, sentences)
    assert not record.mixes


def test_what_training_leaves_is_whole_and_on_the_device(tiny: Model) -> None:
    """The table of pieces too, of which only the rows that occur were trained there."""
    with pretend_device():
        tagger, _ = TUNE.apply(tiny)
        assert all(parameter.is_cuda for parameter in tagger.network.parameters())
        assert len(tagger.network.get_input_embeddings().weight) == len(tiny.tokenizer)
        pruned, _ = Prune(0.5).apply(tagger)
        assert not any(mask.is_cuda for mask in pruned.masks.values())


# Training after scoring

SENTENCE = "Amina anaishi Dodoma."


def pieces(model: Model) -> list[Tensor]:
    return encode(splits.sentences("sample", "swa", "test")[:2], model.tokenizer, splits.labels("sample")).pieces


def timed(model: Model) -> None:
    cost.latency({"one": model}, {"one": pieces(model)}, setting=Setting(device="cuda"), rounds=1)


def predicted(model: Model) -> None:
    sentences = splits.sentences("sample", "swa", "test")[:2]
    predict(model, encode(sentences, model.tokenizer, model.labels), sentences)


SCORERS = {
    "score": lambda tagger: score(tagger, splits.sentences("sample", "swa", "test")),
    "predict": predicted,
    "look": lambda tagger: look(tagger, splits.sentences("sample", "swa", "test")[:2]),
    "attack": lambda tagger: attack(tagger, splits.sentences("sample", "swa", "test")[:2], rate=0.1, seed=1),
    "tag": lambda tagger: tag(tagger, [SENTENCE]),
    "latency": timed,
}
GUESSERS = {
    "perplexity": lambda model: look(model, splits.sentences("sample", "swa", "test")[:2]),
    "held-out text": lambda model: held_out_scores(model, {"swa": masked_rows(pieces(model), model.tokenizer)}),
}


@pytest.mark.parametrize("use", [*SCORERS.values(), *GUESSERS.values()], ids=[*SCORERS, *GUESSERS])
def test_a_model_that_was_used_can_be_trained(use: Callable, tiny: Model) -> None:
    labels = splits.labels("sample")
    model = with_classifier(tiny, labels, seed=1) if use in SCORERS.values() else tiny.copy()
    loss = token_loss if model.labels else masked_language_loss
    encoded = encode(splits.sentences("sample", "swa", "train")[:4], tiny.tokenizer, labels)
    batch = batch_of(encoded, range(4), padding=1)
    with pretend_device() as record:
        use(model)
        assert next(model.network.parameters()).is_cuda
        assert not any(parameter.is_inference() for parameter in model.network.parameters())
        assert train(model, [batch], loss, updates=1, learning_rate=1e-3, seed=1).updates == 1
    assert not record.mixes


def test_no_network_is_moved_inside_inference_mode(tiny: Model) -> None:
    with torch.inference_mode(), pytest.raises(RuntimeError, match="Move it before"):
        placed(tiny.network)


# Whole commands


def test_a_family_is_made(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "swa.txt").write_text("\n".join(sample.text("swa")[:200]), encoding="utf-8")
    family = Family(width=12, vocabulary=300, updates=3, batch_size=8, held_out=0.1, learning_rate=1e-2)
    with pretend_device() as record:
        (made,) = pretrain(family, corpus=tmp_path / "corpus", out=tmp_path / "out", sizes=("small",))
    assert not record.mixes and encoders.open_folder(made).masks == {}


def test_a_shipped_model_answers(tiny: Model, tmp_path: Path) -> None:
    with pretend_device() as record:
        tagger, _ = TUNE.apply(tiny)
        for form in ("fp32", "llm.int8", "dynamic"):
            folder = ship(formats.convert(tagger, form), tmp_path / form)
            assert next(predict_command(folder, [SENTENCE])) == SENTENCE
    assert not record.mixes


def test_models_are_timed_on_both_devices(tiny_folder: str) -> None:
    start = dense(tiny_folder, TUNE)
    recipes = [start, pruned_after(tiny_folder, Prune(0.9), TUNE), start.then(Quantize("fp16"))]
    with pretend_device() as record:
        for job in plan(recipes, [EvaluationSet("sample", "swa", kind=ATTACK, rate=0.1)]):
            execute(job)
        for settings in ((Setting(device="cuda"), Setting()), (Setting(), Setting(device="cuda"))):
            timing.time_side_by_side(recipes, sentences=2, rounds=1, settings=settings, whole_split=True)
    assert not record.mixes
    assert {entry["device_type"] for entry in timing.latency.entries(results.read(start))} == {"cuda", "cpu"}


# What an update costs

INSIDE = {"hidden_weight": 0.3, "attention_weight": 0.3}
PASSES = {"batch_size": 16}
UPDATES = {
    "fine-tuning": (lambda count: FineTune("sample", "swa", epochs=count // 2, **PASSES), 132),
    "fine-tuning under masks": (lambda count: FineTune("sample", "swa", epochs=count // 2, **PASSES), 133),
    "distillation for a task": (lambda count: replace(TEACH, epochs=count // 2, **PASSES), 120),
    "distillation on text": (lambda count: replace(READ, updates=count), 168),
    "distillation on text, inner losses": (lambda count: replace(READ, updates=count, **INSIDE), 252),
    "pre-training": (lambda count: replace(LEARN, updates=count), 132),
}
"""Steps of so many updates, and the most launches that one may take, of encoders of two layers."""


@pytest.mark.parametrize(("step", "most"), UPDATES.values(), ids=UPDATES)
def test_an_update_waits_for_nothing(step: Callable, most: int, tiny: Model, request: pytest.FixtureRequest) -> None:
    """Two more updates than two; attention is without dropout, for which the processor has no single operation."""
    model = tiny.copy()
    model.network.config.attention_probs_dropout_prob = 0.0
    model = Model(type(model.network)(model.network.config).eval(), model.tokenizer)
    if "masks" in request.node.name:
        model, _ = Prune(0.5).apply(model)
    if step(2).needs_classifier:
        model = with_classifier(model, splits.labels("sample"), seed=1)
    records = []
    for count in (2, 4):
        with pretend_device() as record:
            step(count).apply(model.copy())
        records.append(record)
    fewer, more = records
    assert more.waits == fewer.waits
    assert (more.launches.total() - fewer.launches.total()) / 2 <= most
