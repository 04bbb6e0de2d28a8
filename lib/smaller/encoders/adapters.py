"""Bottleneck adapters: two small matrices in each layer, trained while the encoder stays as it is."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedConfig, PreTrainedModel


class AdaptedOutput(nn.Module):
    """The end of an encoder layer with an adapter: down to `size`, ReLU, and up again, around what the layer adds.

    The adapter reads what the layer would give, and its answer is added to the feed-forward output before the sum and
    norm that end the layer, which it shares (Pfeiffer et al. 2021, *AdapterFusion*, section 3.2.2; paper 2's choice).
    The matrix upwards begins at zero, so that an untrained adapter changes nothing.
    """

    def __init__(self, output: nn.Module, size: int) -> None:
        super().__init__()
        width = output.dense.out_features
        self.dense, self.dropout, self.LayerNorm = output.dense, output.dropout, output.LayerNorm
        self.adapter_down, self.adapter_up = nn.Linear(width, size), nn.Linear(size, width)
        nn.init.normal_(self.adapter_down.weight, std=0.02)
        for zero in (self.adapter_down.bias, self.adapter_up.weight, self.adapter_up.bias):
            nn.init.zeros_(zero)

    def forward(self, hidden_states: Tensor, input_tensor: Tensor) -> Tensor:
        """Feed-forward activations of shape (..., inner) and the feed-forward input of shape (..., width)."""
        fed = self.dropout(self.dense(hidden_states))
        plain = self.LayerNorm(fed + input_tensor)
        change = self.adapter_up(functional.relu(self.adapter_down(plain)))
        return self.LayerNorm(fed + change + input_tensor)


def adapter_size(config: PreTrainedConfig) -> int:
    """The width of the adapters that a configuration speaks of; 0 where there are none."""
    return getattr(config, "adapter_size", 0)


def with_adapters(network: PreTrainedModel) -> PreTrainedModel:
    """The network that is given, now with the adapters that its configuration speaks of, untrained."""
    if size := adapter_size(network.config):
        for layer in network.base_model.encoder.layer:
            layer.output = AdaptedOutput(layer.output, size)
    return network
