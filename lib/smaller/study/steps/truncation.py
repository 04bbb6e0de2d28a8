"""A narrower model: every hidden state has fewer dimensions, cut off, chosen, or projected."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from smaller.base.checks import require, require_choice, require_counts
from smaller.data.encoding import pad
from smaller.encoders import Model, redrawn
from smaller.encoders.adapters import adapter_size
from smaller.study.steps.base import Step
from smaller.study.steps.checks import require_text
from smaller.study.steps.heads import live_heads
from smaller.study.steps.texts import rows_of

WAYS = ("slice", "importance", "projection")
TEXT_HEADS = (("classifier.dense", "classifier.out_proj"), ("bert.pooler.dense", "classifier"))
"""The two Linear layers at the end of a text classifier, of XLM-R's kind and of BERT's: between them are neurons."""


@dataclass(frozen=True)
class TruncateHidden(Step):
    """Make every hidden state `size` wide (paper 2, section 3, its third step).

    `by`: "slice" takes the leading part of every tensor, as paper 2 does; "importance" keeps the dimensions with the
    largest mean square on some text, and in each head those that matter most to its products; "projection" turns the
    hidden states onto their principal components and the products of each head onto their singular vectors, and fits
    the norms to the text. The last two read `lines` of a corpus. Heads stay as many, each of them narrower, but those
    that `PruneHeads` silenced go (every layer has to have left equally many); the feed-forward size stays. Nothing is
    trained: a `Distil` or `Pretrain` step afterwards does that. It has most to do for a projection under a head for
    masked language: between the two matrices of that head stands a non-linearity, which does not turn with the states.
    Of a text classifier's neurons, as many as the states are wide, the strongest stay, or for slices the first.
    """

    size: int
    by: str = "slice"
    corpus: str = ""
    languages: tuple[str, ...] = ()
    lines: int = 400

    technique: ClassVar[str] = "truncated"

    def __post_init__(self) -> None:
        require_counts(self, "size", "lines")
        require_choice(self, "by", WAYS)
        require_text(self, "by", reads=self.by != "slice", purpose="the text whose hidden states it looks at")

    @property
    def label(self) -> str:
        return f"TruncateHidden({self.size}{'' if self.by == 'slice' else f', {self.by}'})"

    def columns(self) -> dict[str, Any]:
        return {"method": self.by}

    def resize(self, shape: dict[str, int]) -> dict[str, int]:
        return shape | {"hidden": self.size}

    def apply(self, model: Model, **_: Any) -> tuple[Model, dict]:
        """The narrower model; for a projection, the report has the share of the hidden states' energy that is kept."""
        require_size(model, self.size)
        rows = rows_of(self.corpus, self.languages, model.tokenizer, limit=self.lines) if self.corpus else ()
        smaller, _, energy_kept = truncated(model, self.size, by=self.by, rows=rows)
        return smaller, {"energy_kept": energy_kept}


def require_size(model: Model, size: int) -> None:
    """Raise SmallerError unless the model's hidden states can become `size` wide, its masks and heads allowing."""
    width, left = model.network.config.hidden_size, live_heads(model)
    require(
        not adapter_size(model.network.config),
        "An adapter looks at all hidden states as they are: make them narrower before FineTune.",
    )
    require(size <= width, f"The hidden states are {width} wide, so they cannot become {size} wide.")
    heads = len(left[0])
    require(
        heads > 0 and all(len(layer) == heads for layer in left),
        f"The layers have {', '.join(str(len(layer)) for layer in left)} heads left, and those of a narrower "
        "model have equally many: use PruneHeads(scope='layer').",
    )
    require(
        size % heads == 0,
        f"{heads} heads do not divide a hidden size of {size}: each takes an equal share. The "
        f"nearest that they divide is {max(1, round(size / heads)) * heads}.",
    )


class Narrower(NamedTuple):
    """A narrower model, the orthonormal `basis` of its hidden states in the old ones, of shape (old width, new width),
    and the share of their energy that it keeps (not a number for a slice).
    """

    model: Model
    basis: Tensor
    energy_kept: float


@torch.no_grad()
def truncated(model: Model, size: int, *, by: str, rows: Sequence[Tensor] = ()) -> Narrower:
    """The model with hidden states of `size`, as `TruncateHidden` makes it.

    `rows` are token ids of the text that is looked at, except for a slice.
    """
    require_size(model, size)
    left, source = live_heads(model), model.network.cpu()
    seen = {} if by == "slice" else _look(model, rows)
    basis, kept = _basis(by, source.config.hidden_size, size, seen)
    network = redrawn(model, seed=0, hidden_size=size, num_attention_heads=len(left[0]))
    old, new = dict(source.named_modules()), dict(network.named_modules())
    head = next((names for names in TEXT_HEADS if model.unit == "text" and names[0] in old), ())
    if head:
        _turn_text_head(*(new[name] for name in head), *(old[name] for name in head), basis, by)
    for name, module in new.items():
        if name in head:
            continue
        if isinstance(module, nn.Embedding):
            module.weight.copy_(old[name].weight @ basis)
        elif isinstance(module, nn.LayerNorm):
            _fit_norm(module, old[name], basis, seen[name] if by == "projection" else None)
        elif isinstance(module, nn.Linear) and ".attention." not in name:
            _turn(module, old[name], basis, name)
    layers = zip(network.base_model.encoder.layer, source.base_model.encoder.layer, left, strict=True)
    for layer, wider, heads in layers:
        _turn_attention(layer.attention, wider.attention, basis, heads, by)
    for name, parameter in network.named_parameters():
        if name in ("lm_head.bias", "cls.predictions.bias"):
            parameter.copy_(source.get_parameter(name))
    network.tie_weights()
    return Narrower(Model(network, model.tokenizer, model.labels), basis, kept)


def _look(model: Model, rows: Sequence[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """What went into and came out of each norm on real tokens, rows of values by the name of the norm."""
    network, padding = model.network.eval(), model.tokenizer.pad_token_id
    norms = {name: module for name, module in network.named_modules() if isinstance(module, nn.LayerNorm)}
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in norms}
    for start in range(0, len(rows), 32):
        batch = pad(rows[start : start + 32], value=padding)
        real = batch != padding
        with contextlib.ExitStack() as hooks:
            for name, norm in norms.items():

                def keep(_, given, made, own=seen[name], real=real):
                    own.append((given[0][real], made[real]))

                hooks.enter_context(norm.register_forward_hook(keep))
            network(input_ids=batch, attention_mask=real)
    return {name: tuple(map(torch.cat, zip(*pairs, strict=True))) for name, pairs in seen.items()}


def _basis(by: str, width: int, size: int, seen: Mapping[str, tuple[Tensor, Tensor]]) -> tuple[Tensor, float]:
    """A matrix of shape (width, size) from old dimensions to new, and the share of the energy that it keeps."""
    if by == "slice":
        return torch.eye(width)[:, :size], float("nan")
    values = torch.cat([after for name, (_, after) in seen.items() if "lm_head" not in name and "cls." not in name])
    energy = values.double().T @ values.double()
    if by == "importance":
        chosen = _largest(energy.diagonal(), size)
        return torch.eye(width)[:, chosen], float(energy.diagonal()[chosen].sum() / energy.trace())
    return _components(energy, size)


def _largest(values: Tensor, count: int) -> Tensor:
    """The places of the largest values in rising order; of equal ones the first."""
    return torch.sort(torch.argsort(values, descending=True, stable=True)[:count]).values


def _components(energy: Tensor, size: int) -> tuple[Tensor, float]:
    """Principal components among which a norm still takes the mean of the same things.

    A norm removes what lies along (1, ..., 1). That direction is kept, beside the size - 1 strongest ones that are
    orthogonal to it, and a reflection sends it to (1, ..., 1) of the new dimensions.
    """
    width = len(energy)
    ones = torch.full((width,), width**-0.5, dtype=energy.dtype)
    free = torch.eye(width, dtype=energy.dtype) - torch.outer(ones, ones)
    directions = torch.linalg.eigh(free @ energy @ free).eigenvectors[:, width - size + 1 :].flip(1)
    basis = torch.cat([ones[:, None], directions], dim=1)
    difference = torch.full((size,), -(size**-0.5), dtype=energy.dtype)
    difference[0] += 1
    norm = difference.square().sum()
    if norm > 0:
        basis = basis - 2 * torch.outer(basis @ difference, difference) / norm
    return basis.float(), float((basis.T @ energy @ basis).trace() / energy.trace())


def _turn(module: nn.Linear, source: nn.Linear, basis: Tensor, name: str) -> None:
    """A Linear layer from hidden states, or to them, or both; its other side keeps its size."""
    weight, bias = source.weight, source.bias
    if not name.endswith(".output.dense"):
        weight = weight @ basis
    if name.endswith((".output.dense", "lm_head.dense", "transform.dense")):
        weight, bias = basis.T @ weight, basis.T @ bias
    module.weight.copy_(weight)
    if bias is not None:
        module.bias.copy_(bias)


def _turn_text_head(
    inner: nn.Linear, outer: nn.Linear, old_inner: nn.Linear, old_outer: nn.Linear, basis: Tensor, by: str
) -> None:
    """The neurons between a text and its label; a non-linearity stands there, so they are chosen and not turned."""
    size = basis.shape[1]
    strength = old_inner.weight.norm(dim=1) * old_outer.weight.norm(dim=0)
    chosen = torch.arange(size) if by == "slice" else _largest(strength, size)
    inner.weight.copy_(old_inner.weight[chosen] @ basis)
    inner.bias.copy_(old_inner.bias[chosen])
    outer.weight.copy_(old_outer.weight[:, chosen])
    outer.bias.copy_(old_outer.bias)


def _fit_norm(module: nn.LayerNorm, source: nn.LayerNorm, basis: Tensor, seen: tuple[Tensor, Tensor] | None) -> None:
    """Scale and shift of a norm over fewer dimensions.

    A norm does not commute with a projection, so for it they are fitted to what was `seen`: least squares, for each new
    dimension, from what the new norm makes of the projected input to the projection of what the old one made.
    """
    if seen is None:
        module.weight.copy_(source.weight @ basis)
        module.bias.copy_(source.bias @ basis)
        return
    before, wanted = (values @ basis for values in seen)
    given = nn.functional.layer_norm(before, before.shape[-1:], eps=source.eps)
    centred = given - given.mean(0)
    slope = (centred * wanted).sum(0) / centred.square().sum(0).clamp(min=1e-6)
    module.weight.copy_(slope)
    module.bias.copy_(wanted.mean(0) - slope * given.mean(0))


def _turn_attention(new: nn.Module, old: nn.Module, basis: Tensor, left: Sequence[int], by: str) -> None:
    """Queries, keys and values of another width in each head that is left.

    For a slice, the leading part of the whole tensor. What has no counterpart in a wider head is zero.
    """
    before, after = old.self.attention_head_size, basis.shape[1] // len(left)
    groups = [left] if by == "slice" else [[head] for head in left]
    width = after * len(left) // len(groups)
    # Products are divided by the root of the head's width, which changes: the queries make up for it.
    scale = 1.0 if by == "slice" else (after / before) ** 0.5
    new.output.dense.bias.copy_(basis.T @ old.output.dense.bias)
    for place, heads in enumerate(groups):
        rows = torch.cat([torch.arange(head * before, (head + 1) * before) for head in heads])
        parts = (old.self.query, old.self.key, old.self.value)
        q, k, v = (torch.cat([part.weight[rows] @ basis, part.bias[rows, None]], dim=1) for part in parts)
        o = basis.T @ old.output.dense.weight[:, rows]
        if by == "slice":
            q, k, v, o = q[:width], k[:width], v[:width], o[:, :width]
        elif by == "importance":
            best = torch.argsort(q.norm(dim=1) * k.norm(dim=1), descending=True, stable=True)[:width]
            q, k = q[best], k[best]
            best = torch.argsort(v[:, :-1].norm(dim=1) * o.norm(dim=0), descending=True, stable=True)[:width]
            v, o = v[best], o[:, best]
        else:
            k, q = _factors(q.T @ k, width)
            # Attention weights sum to one, so the values' bias reaches the output unchanged: it goes there at once.
            new.output.dense.bias.add_(o @ v[:, -1])
            v, o = _factors(o @ v[:, :-1], width)
            v, o = nn.functional.pad(v, (0, 1)), o.T
        room = slice(place * width, (place + 1) * width)
        for module, matrix in ((new.self.query, scale * q), (new.self.key, k), (new.self.value, v)):
            module.weight[room] = _to_rows(matrix[:, :-1], width)
            module.bias[room] = _to_rows(matrix[:, -1], width)
        new.output.dense.weight[:, room] = _to_rows(o.T, width).T


def _to_rows(values: Tensor, count: int) -> Tensor:
    """The values with rows of zeros at their end, so that there are `count` of them."""
    return torch.cat([values, values.new_zeros(count - len(values), *values.shape[1:])])


def _factors(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Right and left factor of the nearest matrix of a rank, as rows of shape (rank, columns) and (rank, rows)."""
    left, strength, right = torch.linalg.svd(matrix, full_matrices=False)
    root = strength[:rank].sqrt()
    return right[:rank] * root[:, None], (left[:, :rank] * root).T
