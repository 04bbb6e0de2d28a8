"""A head start for encoders that are trained from nothing on very little text."""

from __future__ import annotations

import math

import torch
from torch import nn

OFFSETS = (-1, 1, -2, 2)
"""Which neighbour the first heads of a layer look at; further heads start as they are."""

LAYERS = 3
"""So many layers begin so."""


@torch.no_grad()
def look_at_neighbours(network: nn.Module) -> None:
    """Give positions a sinusoidal code and turn the first heads of the first layers towards neighbouring words.

    A post-norm encoder spends its first thousand updates on a plateau on which it predicts from the bag of words alone;
    from this start it leaves the plateau at once. Everything is trained from there. The code fills the last third of
    the width: sin(p·f) and cos(p·f) at position p for a range of frequencies f. A query that is rotated by d·f meets
    the keys best at position p + d.
    """
    backbone = network.base_model
    config = backbone.config
    width = config.hidden_size // 6
    sine, cosine = config.hidden_size - 2 * width, config.hidden_size - width
    frequencies = torch.exp(-math.log(100) * torch.arange(width) / width)
    table = backbone.embeddings.position_embeddings.weight
    angles = torch.arange(len(table))[:, None] * frequencies
    table.zero_()
    table[:, sine:cosine] = 0.1 * torch.sin(angles)
    table[:, cosine:] = 0.1 * torch.cos(angles)

    head = config.hidden_size // config.num_attention_heads
    pairs = min(head // 2, width)
    chosen = torch.arange(pairs) * (width // pairs)
    for layer in backbone.encoder.layer[:LAYERS]:
        query, key = layer.attention.self.query.weight, layer.attention.self.key.weight
        for number, offset in enumerate(OFFSETS[: config.num_attention_heads]):
            rows = torch.arange(number * head, number * head + 2 * pairs, 2)
            turn = offset * frequencies[chosen]
            query[number * head : (number + 1) * head] *= 0.1
            key[number * head : (number + 1) * head] *= 0.1
            key[rows, sine + chosen] += 1.0
            key[rows + 1, cosine + chosen] += 1.0
            query[rows, sine + chosen] += torch.cos(turn)
            query[rows, cosine + chosen] += torch.sin(turn)
            query[rows + 1, cosine + chosen] += torch.cos(turn)
            query[rows + 1, sine + chosen] -= torch.sin(turn)
