"""Losses by which a student imitates its teacher: formulas done by hand, and a teacher's own copy."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch.nn import functional

from smaller import encoders
from smaller.data import sample, splits
from smaller.data.encoding import IGNORED, Batch, batch_of, encode, flat_places
from smaller.encoders import Model
from smaller.study import training
from smaller.study.steps import Cut
from smaller.study.steps.imitation import (
    Imitation,
    first_tokens,
    hidden_loss,
    logit_loss,
    look,
    relation_loss,
    teacher_logits,
)
from smaller.study.steps.pretraining import masked_batches


@pytest.fixture(scope="module")
def teacher(tiny):
    """A masked-language model of four layers with weights that say something."""
    config = encoders.configuration(encoders.Encoder("deep", 4, 2, 24, 48), vocabulary=len(tiny.tokenizer))
    config.initializer_range = 0.2
    return Model(encoders.build(config, seed=4), tiny.tokenizer)


@pytest.fixture(scope="module")
def tagger(teacher):
    return encoders.with_classifier(teacher, splits.labels("sample"), seed=1)


@pytest.fixture(scope="module")
def encoded(tagger):
    return encode(sample.sentences("swa", "dev")[:24], tagger.tokenizer, tagger.labels)


def random(*shape, seed=1, grad=False) -> torch.Tensor:
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values.requires_grad_(grad)


def imitation_on(teacher: Model, *, rows=None, **options) -> Imitation:
    """The objective of a student on the corpus, or on the task where there are encoded sentences."""
    given = dict(
        weights={"logits": 0.4, "labels": 0.3, "hidden": 0.2, "attention": 0.1},
        kinds={"logits": "kl", "hidden": "mse"},
        temperature=2.0,
        layer_map=(0, 1, 2, 3),
        relation_heads=2,
        places=lambda batch: batch.labels != IGNORED if rows is None else first_tokens(rows, batch.rows),
    )
    return Imitation(teacher.network.eval(), **given | options)


def masked_batch(model: Model, *, lines: int = 8) -> Batch:
    rows = [torch.tensor(row) for row in model.tokenizer(sample.text("swa")[:lines])["input_ids"]]
    return next(masked_batches(rows, model.tokenizer, updates=1, size=lines, rate=0.3, seed=3))


# The losses


@pytest.mark.parametrize("temperature", [1.0, 2.0, 3.0, 6.0])
def test_the_gradient_of_the_divergence_is_the_difference_of_the_distributions(temperature):
    student, target = random(5, 7, seed=1).float().requires_grad_(), random(5, 7, seed=2).float()
    loss = logit_loss(student, target, kind="kl", temperature=temperature)
    p, q = (torch.softmax(values.detach() / temperature, dim=-1) for values in (target, student))
    torch.testing.assert_close(loss.detach(), temperature**2 * (p * (p.log() - q.log())).sum())
    (loss / 5).backward()
    torch.testing.assert_close(student.grad, temperature * (q - p) / 5)


def test_the_mean_squared_error_of_logits_and_its_gradient():
    student, target = random(5, 7, seed=1).float().requires_grad_(), random(5, 7, seed=2).float()
    loss = logit_loss(student, target, kind="mse", temperature=2.0) / 5
    torch.testing.assert_close(loss, functional.mse_loss(student, target))
    loss.backward()
    torch.testing.assert_close(student.grad, 2 * (student.detach() - target) / 35)


def test_the_hidden_losses_by_hand():
    student, target = (random(4, 6, seed=seed).float() for seed in (1, 2))
    torch.testing.assert_close(hidden_loss(student, target, kind="mse") / 4, functional.mse_loss(student, target))
    ones = functional.cosine_embedding_loss(student, target, torch.ones(4), reduction="sum")
    torch.testing.assert_close(hidden_loss(student, target, kind="cosine"), ones)
    torch.testing.assert_close(hidden_loss(2 * target, target, kind="cosine"), torch.tensor(0.0), atol=1e-6, rtol=0)


def test_the_attention_relation_token_by_token():
    """The definition, written as loops; the second sentence has padding."""
    student, target = (random(2, 5, 12, seed=seed).float() for seed in (1, 2))
    lengths, heads, width = (5, 3), 3, 4
    expected = 0.0
    for sentence, head in itertools.product(range(2), range(heads)):
        real = range(lengths[sentence])
        part = slice(width * head, width * (head + 1))
        for place in real:
            p, q = (
                torch.softmax(
                    torch.stack([values[sentence, place, part] @ values[sentence, other, part] for other in real])
                    / math.sqrt(width),
                    dim=0,
                )
                for values in (target, student)
            )
            expected += (p * (p.log() - q.log())).sum() / heads
    mask = torch.arange(5)[None, :] < torch.tensor(lengths)[:, None]
    torch.testing.assert_close(relation_loss(student, target, mask, heads=heads), expected)
    student[1, 3:] = 100.0  # padding reaches nothing
    torch.testing.assert_close(relation_loss(student, target, mask, heads=heads), expected)


# The objective


@pytest.mark.parametrize("kinds", [{"logits": "kl", "hidden": "mse"}, {"logits": "mse", "hidden": "cosine"}])
@pytest.mark.parametrize("on", ["corpus", "task"])
def test_a_student_that_is_its_teacher_has_no_loss(teacher, tagger, encoded, full_precision, on, kinds):
    model = teacher if on == "corpus" else tagger
    batch = masked_batch(model) if on == "corpus" else batch_of(encoded, range(8), padding=1)
    objective = imitation_on(model, rows=None if on == "corpus" else encoded, kinds=kinds)
    student = Cut(4).apply(model)[0]
    with torch.no_grad():
        logits, labels, hidden, attention = objective(student.network, batch, batch)
        true = training.masked_language_loss if on == "corpus" else training.token_loss
        expected = true(model.network, batch)
    for loss in (logits, hidden, attention):
        torch.testing.assert_close(loss, torch.tensor(0.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(labels / 0.3, expected)
    other = Cut(2).apply(model)[0]
    with torch.no_grad():
        losses = dataclasses.replace(objective, layer_map=(0, 3))(other.network, batch, batch)
    assert (losses > 1e-4).all()


def test_the_terms_are_the_weighted_means_over_what_counts(teacher, full_precision):
    student = Cut(2, heads=4).apply(teacher)[0]
    batch = masked_batch(teacher)
    places = batch.labels != IGNORED
    assert not batch.mask.all()
    with torch.no_grad():
        found = imitation_on(teacher, layer_map=(0, 3), relation_heads=4)(student.network, batch, batch)
        outputs = [
            model.network(batch.pieces, attention_mask=batch.mask, output_hidden_states=True)
            for model in (student, teacher)
        ]
        flat = flat_places(places, places.device)
        seen = [look(model.network, batch, flat, attention=True) for model in (student, teacher)]
    logits = [output.logits[places] for output in outputs]
    p, q = (functional.log_softmax(values / 2, dim=-1) for values in reversed(logits))
    divergence = 4 * functional.kl_div(q, p, log_target=True, reduction="batchmean")
    cross_entropy = functional.cross_entropy(logits[0], batch.labels[places])
    hidden = [
        functional.mse_loss(outputs[0].hidden_states[one][batch.mask], outputs[1].hidden_states[two][batch.mask])
        for one, two in ((1, 1), (2, 4))
    ]
    relations = [
        relation_loss(one, two, batch.mask, heads=4)
        for one, two in zip(seen[0].attention, seen[1].attention, strict=True)
    ]
    assert len(relations) == 3
    expected = [
        0.4 * divergence,
        0.3 * cross_entropy,
        0.2 * sum(hidden) / 2,
        0.1 * sum(relations) / 3 / batch.mask.sum(),
    ]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-6)


def test_logits_on_text_are_imitated_at_the_masked_tokens_alone(teacher, full_precision):
    """The second paper averages over all positions, padding included; 07_extreme says that this one does not."""
    student, batch = Cut(2, heads=4).apply(teacher)[0], masked_batch(teacher)
    about = {"temperature": 1.0, "layer_map": (0, 3), "relation_heads": 1, "projection": None}
    about |= {"weights": {"logits": 1.0}, "kinds": {"logits": "mse", "hidden": "mse"}}
    with torch.no_grad():
        found = Imitation(teacher.network.eval(), **about)(student.network, batch, batch)
        own, theirs = (model.network(batch.pieces, attention_mask=batch.mask).logits for model in (student, teacher))
    masked = batch.labels != IGNORED
    assert 0 < masked.sum() < batch.mask.sum() < batch.mask.numel()
    torch.testing.assert_close(found.sum(), functional.mse_loss(own[masked], theirs[masked]), rtol=1e-4, atol=1e-6)
    assert not torch.isclose(found.sum(), functional.mse_loss(own, theirs), rtol=1e-2)


def test_parts_of_a_batch_add_up_to_its_loss_and_gradient(teacher, tagger, encoded, full_precision):
    for model, batch, rows in (
        (teacher, masked_batch(teacher), None),
        (tagger, batch_of(encoded, range(24), padding=1), encoded),
    ):
        student = Cut(2).apply(model)[0]
        objective = imitation_on(model, rows=rows, layer_map=(0, 3))
        made = []
        for budget in (4096, 100):
            losses = [objective(student.network, part, batch) for part in training.parts(batch, budget)]
            assert (len(losses) > 1) == (budget == 100)
            sum(losses).sum().backward()
            made.append((sum(losses).detach(), [parameter.grad for parameter in student.network.parameters()]))
            student.network.zero_grad()
        torch.testing.assert_close(made[0], made[1], rtol=1e-4, atol=1e-6)


def test_kept_teacher_logits_are_those_of_every_update(tagger, encoded, full_precision):
    kept = teacher_logits(tagger, encoded)
    assert [len(rows) for rows in kept] == [int((words >= 0).sum()) for words in encoded.words]
    student = Cut(2).apply(tagger)[0]
    both = {"weights": {"logits": 0.5, "labels": 0.5}, "rows": encoded}
    for rows in ([3, 1, 7], range(8, 24)):
        batch = batch_of(encoded, rows, padding=1)
        with torch.no_grad():
            running = imitation_on(tagger, **both)(student.network, batch, batch)
            cached = imitation_on(tagger, **both, targets=kept)(student.network, batch, batch)
        torch.testing.assert_close(cached, running, rtol=1e-4, atol=1e-6)


def test_the_teacher_sees_the_tokens_that_a_trimmed_student_stands_for(tagger, encoded, full_precision):
    batch = batch_of(encoded, range(8), padding=1)
    student = Cut(2).apply(tagger)[0]
    objective = imitation_on(tagger, rows=encoded, layer_map=(0, 3))
    used = torch.cat([*encoded.pieces, torch.tensor([1])])
    with torch.no_grad():
        expected = objective(student.network, batch, batch)
        with training.trimmed_vocabulary(student.network, used) as ids:
            trimmed = Batch(ids[batch.pieces], batch.mask, batch.labels, batch.rows)
            found = dataclasses.replace(objective, original=torch.unique(used))(student.network, trimmed, trimmed)
    torch.testing.assert_close(found, expected)
