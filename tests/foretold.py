"""A model whose answers can be foretold: the label of a word, or of a text, hangs on its first token alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from smaller.encoders import Model, with_classifier
from smaller.encoders.folders import positions


class _Network(nn.Module):
    def __init__(self, config, table: Tensor, *, texts: bool) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("table", table)
        self.texts = texts

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        assert input_ids.shape[1] <= positions(self.config), "more tokens than positions"
        logits = self.table[input_ids]
        return SimpleNamespace(logits=logits[:, 1] if self.texts else logits)


def foretold(
    base: Model, labels: Sequence[str], names: Mapping[str, str], *, unit: str = "word", reads: int = 512
) -> Model:
    """A model that gives a word of `names` its label with probability 0.75, and any other one the first of `labels`.

    A word counts by its first token, and a text by the first token of its first word. It has `reads` positions, and
    fails where it is given more tokens.
    """
    rest = 0.25 / (len(labels) - 1)
    table = torch.full((len(base.tokenizer), len(labels)), math.log(rest))
    table[:, 0] = math.log(0.75)
    for name, label in names.items():
        piece = base.tokenizer([name], is_split_into_words=True, add_special_tokens=False)["input_ids"][0]
        table[piece] = math.log(rest)
        table[piece, labels.index(label)] = math.log(0.75)
    config = with_classifier(base, labels, seed=1, unit=unit).network.config
    config.max_position_embeddings = reads + config.pad_token_id + 1
    return Model(_Network(config, table, texts=unit == "text"), base.tokenizer, tuple(labels))
