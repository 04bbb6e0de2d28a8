"""Losses by which a student learns to imitate its teacher, and the objective that adds them up."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from smaller.data.encoding import IGNORED, Batch, Encoded, batch_of, flat_places, pad, sent
from smaller.data.tokens import budget_batches
from smaller.encoders import Model
from smaller.encoders.device import device, mixed_precision, placed
from smaller.study.training import at_places, attended, cross_entropy_sum, labels_in, logits_at

LOGITS = ("kl", "mse")
HIDDEN = ("cosine", "mse")


def logit_loss(student: Tensor, teacher: Tensor, *, kind: str, temperature: float) -> Tensor:
    """How far logits of shape (positions, classes) are from the teacher's, summed over positions.

    "kl": T² KL(teacher || student) of the distributions at temperature T; the factor keeps the gradient's size as T
    grows (Hinton et al. 2015, section 2). "mse": the squared difference, mean over classes (paper 2, section 3).
    """
    if kind == "mse":
        return (student.float() - teacher.float()).square().mean(dim=-1).sum()
    student, teacher = (functional.log_softmax(logits.float() / temperature, dim=-1) for logits in (student, teacher))
    return temperature**2 * functional.kl_div(student, teacher, log_target=True, reduction="sum")


def hidden_loss(student: Tensor, teacher: Tensor, *, kind: str) -> Tensor:
    """How far hidden states of shape (positions, width) are from the teacher's, summed over positions.

    "cosine": one minus the cosine of the angle (Sanh et al. 2019, section 3). "mse": the mean squared difference.
    """
    student, teacher = student.float(), teacher.float()
    if kind == "mse":
        return (student - teacher).square().mean(dim=-1).sum()
    return (1 - functional.cosine_similarity(student, teacher, dim=-1)).sum()


def relation_loss(student: Tensor, teacher: Tensor, mask: Tensor, *, heads: int) -> Tensor:
    """How far the relations among queries (or keys, or values) are from the teacher's, summed over real positions.

    Both of shape (..., sentences, tokens, width), split into `heads` relation heads; a relation is softmax(Q Qᵀ / √d).
    The loss is KL(teacher || student), mean over relation heads (MiniLMv2: Wang et al. 2021, section 3.1). `mask` is
    True on real tokens; padding neither looks nor is looked at.
    """
    student, teacher = (_relations(values.float(), mask, heads=heads) for values in (student, teacher))
    divergence = functional.kl_div(student, teacher, log_target=True, reduction="none").sum(dim=-1)
    return (divergence.mean(dim=-2) * mask).sum()


def _relations(values: Tensor, mask: Tensor, *, heads: int) -> Tensor:
    split = values.unflatten(-1, (heads, -1)).transpose(-3, -2)
    scores = split @ split.transpose(-1, -2) / math.sqrt(split.shape[-1])
    # Not minus infinity: the divergence would multiply it by a probability of zero.
    return functional.log_softmax(scores.masked_fill(~mask[:, None, None, :], -1e9), dim=-1)


class Seen(NamedTuple):
    """What a network makes of a batch: logits at the places that count, and inner values where they were asked for.

    `hidden` holds the embeddings and each layer's output, `attention` queries, keys and values of the last layer, all
    of shape (sentences, tokens, width).
    """

    logits: Tensor
    hidden: Sequence[Tensor] = ()
    attention: Sequence[Tensor] = ()


def look(network: nn.Module, batch: Batch, places: Tensor, *, hidden: bool = False, attention: bool = False) -> Seen:
    """Run a tagger or a masked-language model; its logits are computed at `places` only (see `flat_places`)."""
    last = network.base_model.encoder.layer[-1].attention.self
    values: list[Tensor] = []
    with contextlib.ExitStack() as hooks:
        for module in (last.query, last.key, last.value) if attention else ():
            hooks.enter_context(module.register_forward_hook(lambda *given: values.append(given[-1])))
        mask = attended(network, batch)
        found = network.base_model(input_ids=batch.pieces, attention_mask=mask, output_hidden_states=hidden)
    logits = logits_at(network, at_places(found.last_hidden_state, places))
    return Seen(logits, found.hidden_states if hidden else (), values)


@dataclass(frozen=True)
class Imitation:
    """The objective of a student: the weighted losses, in the order of `weights`, which holds those above zero.

    `places(batch)`, on the processor, is True where logits count: where there are labels, unless it is given. `targets`
    are the teacher's logits there, row by row of the split; where there are none, the teacher runs at every update, on
    `original[tokens]` if the student's vocabulary is trimmed. `projection` takes the student's hidden states to the
    teacher's width where it is narrower.
    """

    teacher: nn.Module
    weights: Mapping[str, float]
    kinds: Mapping[str, str]
    temperature: float
    layer_map: tuple[int, ...]
    relation_heads: int
    places: Callable[[Batch], Tensor] = lambda batch: batch.known.labels != IGNORED
    targets: list[Tensor] | None = None
    original: Tensor | None = None
    projection: nn.Module | None = None

    def __call__(self, network: nn.Module, batch: Batch, whole: Batch) -> Tensor:
        """The vector of weighted losses of a batch that is a part of `whole`."""
        counted = self.places(batch)
        places = flat_places(counted, batch.pieces.device)
        inside = {name: name in self.weights for name in ("hidden", "attention")}
        student = look(network, batch, places, **inside)
        teacher = self._teacher(batch, places, inside)
        losses = {}
        if "logits" in self.weights:
            loss = logit_loss(student.logits, teacher.logits, kind=self.kinds["logits"], temperature=self.temperature)
            losses["logits"] = loss / max(1, int((counted if batch.known is whole else self.places(whole)).sum()))
        if "labels" in self.weights:
            losses["labels"] = cross_entropy_sum(student.logits, at_places(batch.labels, places)) / labels_in(whole)
        if inside["hidden"]:
            widen, real = self.projection or nn.Identity(), flat_places(batch.known.mask, batch.pieces.device)
            own = [widen(at_places(layer, real)) for layer in student.hidden[1:]]
            taught = [at_places(teacher.hidden[mapped + 1], real) for mapped in self.layer_map]
            loss = hidden_loss(torch.cat(own), torch.cat(taught), kind=self.kinds["hidden"])
            losses["hidden"] = loss / len(self.layer_map) / int(whole.mask.sum())
        if inside["attention"]:
            with torch.autocast(device().type, enabled=False):
                products = [torch.stack(seen.attention) for seen in (student, teacher)]
                loss = relation_loss(*products, batch.mask, heads=self.relation_heads)
            losses["attention"] = loss / 3 / int(whole.mask.sum())
        return torch.stack([weight * losses[name] for name, weight in self.weights.items()])

    @torch.no_grad()
    def _teacher(self, batch: Batch, places: Tensor, inside: Mapping[str, bool]) -> Seen | None:
        if self.targets is not None:
            return Seen(sent(torch.cat([self.targets[row] for row in batch.rows]), places.device))
        if set(self.weights) == {"labels"}:
            return None
        if self.original is not None:
            batch = replace(batch, pieces=self.original[batch.pieces])
        return look(self.teacher, batch, places, **inside)


def first_tokens(encoded: Encoded, rows: Sequence[int]) -> Tensor:
    """True on the first token of each word, of shape (sentences, longest); also of words that have no label."""
    return pad([encoded.words[row] for row in rows], value=-1) >= 0


@torch.no_grad()
def teacher_logits(model: Model, encoded: Encoded) -> list[Tensor]:
    """The teacher's logits on the first token of each word, one tensor of shape (words, labels) for each sentence."""
    network = placed(model.network)
    found: list[Tensor] = [torch.empty(0)] * len(encoded)
    for rows in budget_batches(encoded.lengths):
        batch = batch_of(encoded, rows, padding=model.tokenizer.pad_token_id).to(device())
        places = first_tokens(encoded, rows)
        with mixed_precision():
            logits = look(network, batch, flat_places(places, device())).logits.float().cpu()
        for row, part in zip(rows, logits.split(places.sum(dim=1).tolist()), strict=True):
            found[row] = part.clone()
    return found
