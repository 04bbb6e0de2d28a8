"""A narrower model: every hidden state has fewer dimensions, cut off, chosen, or projected."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from smaller.data import splits
from smaller.data.encoding import encode_text, pad
from smaller.encoders import TRAINED, Model, parameter_count
from smaller.progress import Say, silent
from smaller.steps.base import Step, require
from smaller.steps.checks import require_choice, require_counts, require_languages
from smaller.steps.texts import lines_of

WAYS = ("slice", "importance", "projection")


@dataclass(frozen=True)
class TruncateHidden(Step):
    """Make every hidden state `size` wide (paper 2, section 3, its third step).

    `by`: "slice" takes the leading part of every tensor, as paper 2 does; "importance" keeps the dimensions with the
    largest mean square on some text, and in each head those that matter most to its products; "projection" turns the
    hidden states onto their principal components and the products of each head onto their singular vectors, and fits
    the norms to the text. The last two read `lines` of a corpus. Heads stay as many, each of them narrower; the
    feed-forward size stays. Nothing is trained: a `Distil` or `Pretrain` step afterwards does that.
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
        if self.by == "slice":
            require(not self.corpus and not self.languages,
                    "TruncateHidden(by='slice') reads no text: leave corpus and languages out.")  # fmt: skip
        else:
            require(bool(self.corpus), f"TruncateHidden(by={self.by!r}) needs a corpus: the text whose hidden states "
                                       "it looks at.")  # fmt: skip
            require_languages(self)

    @property
    def label(self) -> str:
        """The width, and how it is reached if not by slices."""
        return f"TruncateHidden({self.size}{'' if self.by == 'slice' else f', {self.by}'})"

    def columns(self) -> dict[str, Any]:
        """How the width is reached."""
        return {"method": self.by}

    def inputs(self) -> dict[str, str]:
        """The checksum of each language's text."""
        return {f"{self.corpus}/{language}/text": splits.text_fingerprint(self.corpus, language)
                for language in self.languages}  # fmt: skip

    def apply(self, model: Model, *, say: Say = silent, scratch: Path | None = None) -> tuple[Model, dict]:
        """The narrower model; for a projection, the report has the share of the hidden states' energy that is kept."""
        width, heads = model.network.config.hidden_size, model.network.config.num_attention_heads
        require(model.form == TRAINED, f"The model is {model.form}: truncate before quantization.")
        require(not model.masks, "A pruned model cannot be truncated: its masks belong to the wider matrices. Put "
                                 "Prune after TruncateHidden.")  # fmt: skip
        require(self.size <= width, f"The hidden states are {width} wide, so they cannot become {self.size} wide.")
        near = max(1, round(self.size / heads)) * heads
        require(self.size % heads == 0, f"{heads} heads do not divide a hidden size of {self.size}: each takes an "
                                        f"equal share. The nearest that they divide is {near}.")  # fmt: skip
        seen = None
        if self.by != "slice":
            lines = [line for language in self.languages for line in lines_of(self.corpus, language, limit=self.lines)]
            seen = _look(model, encode_text(lines, model.tokenizer))
        smaller, kept = _truncated(model, self.size, self.by, seen)
        return smaller, {
            "energy_kept": kept,
            "parameters_before": parameter_count(model.network),
            "parameters_after": parameter_count(smaller.network),
        }


@dataclass
class _Seen:
    """What went into and came out of each norm on real pieces, rows of values by the name of the norm."""

    before: dict[str, Tensor]
    after: dict[str, Tensor]


def _norms(network: nn.Module) -> dict[str, nn.LayerNorm]:
    return {name: module for name, module in network.named_modules() if isinstance(module, nn.LayerNorm)}


@torch.no_grad()
def _look(model: Model, rows: Sequence[Tensor]) -> _Seen:
    network = model.network.cpu().eval()
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in _norms(network)}
    for start in range(0, len(rows), 32):
        batch = pad(rows[start : start + 32], value=model.tokenizer.pad_token_id)
        real = batch != model.tokenizer.pad_token_id
        with _watched(network, seen, real):
            network(input_ids=batch, attention_mask=real)
    before, after = ({name: torch.cat([pair[side] for pair in pairs]) for name, pairs in seen.items()}
                     for side in (0, 1))  # fmt: skip
    return _Seen(before, after)


@contextmanager
def _watched(network: nn.Module, seen: dict[str, list], real: Tensor) -> Iterator[None]:
    def hook(name: str):
        return lambda module, given, made: seen[name].append((given[0][real], made[real]))

    handles = [module.register_forward_hook(hook(name)) for name, module in _norms(network).items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def _truncated(model: Model, size: int, by: str, seen: _Seen | None) -> tuple[Model, float]:
    config = copy.deepcopy(model.network.config)
    width, heads = config.hidden_size, config.num_attention_heads
    basis, kept = _basis(by, width, size, seen)
    config.hidden_size = size
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = type(model.network)(config).eval()
    old, new = dict(model.network.named_modules()), dict(network.named_modules())
    for name, module in new.items():
        source = old[name]
        if isinstance(module, nn.Embedding):
            module.weight.copy_(source.weight @ basis)
        elif isinstance(module, nn.LayerNorm):
            _fit_norm(module, source, basis, by, None if seen is None else (seen.before[name], seen.after[name]))
        elif isinstance(module, nn.Linear) and ".attention." not in name:
            _turn(module, source, basis, width)
    for place, layer in enumerate(network.base_model.encoder.layer):
        _turn_attention(layer.attention, model.backbone.encoder.layer[place].attention, basis, heads, by)
    for name, parameter in network.named_parameters():
        if name in ("lm_head.bias", "cls.predictions.bias"):
            parameter.copy_(model.network.get_parameter(name))
    network.tie_weights()
    return Model(network, model.tokenizer, model.labels), kept


def _basis(by: str, width: int, size: int, seen: _Seen | None) -> tuple[Tensor, float]:
    """A matrix of shape (width, size) from old dimensions to new, and the share of the energy that it keeps."""
    if by == "slice":
        return torch.eye(width)[:, :size], float("nan")
    values = torch.cat([rows for name, rows in seen.after.items() if "lm_head" not in name and "cls." not in name])
    energy = values.double().T @ values.double()
    if by == "importance":
        chosen = torch.sort(torch.argsort(energy.diagonal(), descending=True, stable=True)[:size]).values
        return torch.eye(width)[:, chosen], float(energy.diagonal()[chosen].sum() / energy.trace())
    return _components(energy, size)


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


def _turn(module: nn.Linear, source: nn.Linear, basis: Tensor, width: int) -> None:
    """A Linear layer between hidden states, or between them and something else whose size stays."""
    weight, bias = source.weight, source.bias
    if weight.shape[1] == width and module.weight.shape[1] == basis.shape[1]:
        weight = weight @ basis
    if weight.shape[0] == width and module.weight.shape[0] == basis.shape[1]:
        weight, bias = basis.T @ weight, basis.T @ bias
    module.weight.copy_(weight)
    if bias is not None:
        module.bias.copy_(bias)


def _fit_norm(module: nn.LayerNorm, source: nn.LayerNorm, basis: Tensor, by: str, seen: tuple | None) -> None:
    """Scale and shift of a norm over fewer dimensions.

    A norm does not commute with a projection, so for it they are fitted: least squares, for each new dimension, from
    what the new norm makes of the projected input to the projection of what the old one made.
    """
    if by != "projection":
        module.weight.copy_(source.weight @ basis)
        module.bias.copy_(source.bias @ basis)
        return
    before, wanted = seen[0] @ basis, seen[1] @ basis
    given = nn.functional.layer_norm(before, before.shape[-1:], eps=source.eps)
    centred = given - given.mean(0)
    slope = (centred * wanted).sum(0) / centred.square().sum(0).clamp(min=1e-6)
    module.weight.copy_(slope)
    module.bias.copy_(wanted.mean(0) - slope * given.mean(0))


def _turn_attention(new: nn.Module, old: nn.Module, basis: Tensor, heads: int, by: str) -> None:
    """Queries, keys and values of fewer dimensions in each head; for a slice, the leading ones of the whole tensor."""
    width, size = basis.shape
    query, key, value, out = old.self.query, old.self.key, old.self.value, old.output.dense
    if by == "slice":
        made = (new.self.query, new.self.key, new.self.value, new.output.dense)
        for module, source in zip(made, (query, key, value, out), strict=True):
            module.weight.copy_(source.weight[:size, :size])
            module.bias.copy_(source.bias[:size])
        return
    before, after = width // heads, size // heads
    # Products are divided by the root of the head's width, which shrinks: the queries make up for it.
    scale = (after / before) ** 0.5
    new.output.dense.bias.copy_(basis.T @ out.bias)
    for head in range(heads):
        rows, room = slice(head * before, (head + 1) * before), slice(head * after, (head + 1) * after)
        q, k = (torch.cat([part.weight[rows] @ basis, part.bias[rows, None]], dim=1) for part in (query, key))
        v, o = value.weight[rows] @ basis, basis.T @ out.weight[:, rows]
        if by == "importance":
            chosen = torch.argsort(q.norm(dim=1) * k.norm(dim=1), descending=True, stable=True)[:after]
            q, k = q[chosen], k[chosen]
            chosen = torch.argsort(v.norm(dim=1) * o.norm(dim=0), descending=True, stable=True)[:after]
            v, o = v[chosen], o[:, chosen]
            value_bias = value.bias[rows][chosen]
        else:
            left, strength, right = torch.linalg.svd(q.T @ k, full_matrices=False)
            root = strength[:after].sqrt()
            q, k = (left[:, :after] * root).T, right[:after] * root[:, None]
            left, strength, right = torch.linalg.svd(o @ v, full_matrices=False)
            root = strength[:after].sqrt()
            # Attention weights sum to one, so the values' bias reaches the output unchanged: it goes there at once.
            new.output.dense.bias.add_(o @ value.bias[rows])
            o, v = left[:, :after] * root, right[:after] * root[:, None]
            value_bias = torch.zeros(after)
        for module, matrix in ((new.self.query, scale * q), (new.self.key, k)):
            module.weight[room] = matrix[:, :-1]
            module.bias[room] = matrix[:, -1]
        new.self.value.weight[room], new.self.value.bias[room] = v, value_bias
        new.output.dense.weight[:, room] = o
