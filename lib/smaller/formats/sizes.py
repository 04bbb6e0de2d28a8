"""What a model weighs in each format, computed from its shape: no weights are read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import AutoModelForTokenClassification

from smaller.encoders import Encoder, configuration
from smaller.formats.base import PARTS

if TYPE_CHECKING:
    import pandas as pd

# Bytes of a number in embedding tables, Linear weights, the classifier's weights and all else; of the scale of a Linear
# layer's output; and of that of an embedding.
_WIDTHS = dict.fromkeys(("fp32", "onnx"), (4, 4, 4, 4, 0, 0)) | dict.fromkeys(("fp16", "bf16"), (2, 2, 2, 2, 0, 0))
_WIDTHS |= {"dynamic": (4, 1, 1, 4, 0, 0), "llm.int8": (2, 1, 2, 2, 4, 0), "onnx-int4": (0.5, 0.5, 0.5, 4, 4, 2)}
_WIDTHS |= dict.fromkeys(("onnx-int8", "openvino-int8"), (1, 1, 1, 4, 0, 0))


def exact(encoder: Encoder | str, *, labels: int = 9) -> pd.DataFrame:
    """Bytes by format and part of a named encoder with a token classifier, from its shape; single scales are not in."""
    import pandas as pd  # whoever reads a model has no need of it

    config = configuration(encoder)
    config.num_labels = labels
    with torch.device("meta"):
        network = AutoModelForTokenClassification.from_config(config)
    counts: Counter[str] = Counter()
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            inside = name.startswith(network.base_model_prefix)
            counts["matrices" if inside else "head"] += module.weight.numel()
            counts["biases"] += module.out_features
            counts["scales"] += module.out_features * inside
        else:
            own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
            counts["tables" if isinstance(module, nn.Embedding) else "rest"] += own
            counts["rows"] += module.num_embeddings if isinstance(module, nn.Embedding) else 0
    rows = []
    for form, (table, matrix, head, other, scale, row) in _WIDTHS.items():
        linear = matrix * counts["matrices"] + head * counts["head"] + other * counts["biases"]
        tables = table * counts["tables"] + row * counts["rows"]
        sizes = (tables, linear + scale * counts["scales"], other * counts["rest"])
        rows += [(form, part, int(size)) for part, size in zip(PARTS, sizes, strict=True)]
    return pd.DataFrame(rows, columns=["form", "part", "bytes"])
