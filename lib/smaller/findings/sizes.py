"""Where the bytes of a model are, and what each format removes: measured, and computed from an encoder's shape."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import pandas as pd
import torch
from torch import nn
from transformers import AutoModelForTokenClassification

from smaller.encoders import configuration
from smaller.findings.finding import Finding
from smaller.forms import FORMS, PARTS
from smaller.published import published
from smaller.recipes import Recipe
from smaller.results import read

REFERENCE = "fp32"

# Bytes of a number in embedding tables, Linear weights and all else.
_WIDTHS = {"fp32": (4, 4, 4), "fp16": (2, 2, 2), "bf16": (2, 2, 2), "dynamic": (4, 1, 4), "llm.int8": (2, 1, 2),
           "onnx": (4, 4, 4), "onnx-int8": (1, 1, 4), "openvino-int8": (1, 1, 4)}  # fmt: skip


def measured(recipes: Iterable[Recipe]) -> pd.DataFrame:
    """Bytes in memory by format and part (columns form, part, bytes), from the records of quantized recipes.

    The size does not depend on language or seed, so the first record of a format speaks for it.
    """
    rows = []
    for recipe in recipes:
        for step in (read(recipe) or {"steps": []})["steps"]:
            if step["step"] == "Quantize":
                after = step["report"]["bytes_after"].items()
                rows += [{"form": step["form"], "part": part, "bytes": size} for part, size in after]
    return pd.DataFrame(rows, columns=["form", "part", "bytes"]).drop_duplicates(["form", "part"], ignore_index=True)


def exact(encoder: str, *, labels: int = 9) -> pd.DataFrame:
    """Bytes by format and part of a named encoder under a token classifier, computed from its shape alone.

    LLM.int8() keeps the classifier in fp16 and has a scale in fp32 for each output; the one scale for a tensor that the
    other int8 formats have is not counted.
    """
    config = configuration(encoder)
    config.num_labels = labels
    with torch.device("meta"):
        network = AutoModelForTokenClassification.from_config(config)
    counts = dict.fromkeys(("tables", "matrices", "outputs", "head", "biases", "rest"), 0)
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            inside = name.startswith(network.base_model_prefix)
            counts["matrices" if inside else "head"] += module.weight.numel()
            counts["outputs"] += module.out_features * inside
            counts["biases"] += module.out_features
        else:
            own = sum(parameter.numel() for parameter in module.parameters(recurse=False))
            counts["tables" if isinstance(module, nn.Embedding) else "rest"] += own
    rows = []
    for form, (table, matrix, other) in _WIDTHS.items():
        int8 = form == "llm.int8"
        linear = matrix * counts["matrices"] + (other if int8 else matrix) * counts["head"] + other * counts["biases"]
        sizes = (table * counts["tables"], linear + 4 * counts["outputs"] * int8, other * counts["rest"])
        rows += [{"form": form, "part": part, "bytes": size} for part, size in zip(PARTS, sizes, strict=True)]
    return pd.DataFrame(rows)


def by_form(parts: pd.DataFrame, *, disk: Mapping[str, float] | None = None) -> pd.DataFrame:
    """A row for each format: MB by part and in all (`disk`: bytes of its folder), and what it saves in per cent."""
    wide = parts.pivot(index="form", columns="part", values="bytes")[list(PARTS)] / 1e6
    wide = wide.loc[[form for form in FORMS if form in wide.index]].add_suffix(" (MB)")
    total = wide.sum(axis="columns")
    wide["in memory (MB)"] = total
    if disk:
        wide["on disk (MB)"] = pd.Series(disk) / 1e6
    for base in (base for base in (REFERENCE, "fp16") if base in total):
        # A format that is larger than the base is not smaller by a negative share: it has a dash.
        wide[f"smaller than {base} (%)"] = (100 * (1 - total / total[base])).where(total <= total[base])
    return wide.rename_axis("format").rename_axis(None, axis="columns").reset_index()


def saved(parts: pd.DataFrame, form: str, *, base: str = REFERENCE) -> float:
    """The share of the bytes of `base` that a format saves; NaN where one of them was not measured."""
    total = parts.groupby("form")["bytes"].sum()
    return 1 - total.get(form, math.nan) / total.get(base, math.nan)


def explained(parts: pd.DataFrame, *, encoder: str) -> Finding:
    """How many bytes LLM.int8() saves, and how many of them the cast to fp16 alone (paper 1, Q10 and D13).

    The quantity is the share of the saving that is due to int8, in per cent.
    """
    total = parts.groupby("form")["bytes"].sum() / 1e6
    cast, whole, dynamic, graph = (100 * saved(parts, form) for form in ("fp16", "llm.int8", "dynamic", "onnx-int8"))
    dense, small = (published(table="P1-T5", row=row)["value"].iloc[0] for row in ("dense", "quantized"))
    return Finding(
        f"LLM.int8() saves {whole:.1f} % of the bytes of {encoder}, and the cast to fp16 alone saves {cast:.1f} %.",
        f"Computed from its shape, it has {total[REFERENCE]:.1f} MB in fp32 and {total['llm.int8']:.1f} MB with "
        f"LLM.int8(); the paper prints {dense:.0f} and {small:.1f} MB. With all other weights in fp32, as dynamic "
        f"quantization leaves them, int8 saves {dynamic:.1f} %. With int8 embeddings too, as in onnx-int8, it saves "
        f"{graph:.1f} %.",
        quantity=100 * (whole - cast) / whole, values={"cast": cast, "whole": whole},
    )  # fmt: skip
