"""Where the bytes of a model are, and what each form removes: measured, and computed from an encoder's shape."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import pandas as pd
import torch
from torch import nn
from transformers import AutoModelForTokenClassification

from smaller.encoders import configuration
from smaller.findings.cells import share
from smaller.forms import FORMS, PARTS
from smaller.published import published
from smaller.recipes import Recipe
from smaller.results import read

REFERENCE = "fp32"

# Bytes of a number in embedding tables, Linear weights and all else.
_WIDTHS = {"fp32": (4, 4, 4), "fp16": (2, 2, 2), "bf16": (2, 2, 2), "dynamic": (4, 1, 4), "llm.int8": (2, 1, 2),
           "onnx": (4, 4, 4), "onnx-int8": (1, 1, 4), "openvino-int8": (1, 1, 4)}  # fmt: skip


def measured(recipes: Iterable[Recipe]) -> pd.DataFrame:
    """Bytes in memory by form and part (columns form, part, bytes), from the records of quantized recipes.

    The size does not hang on language or seed, so the first record of a form speaks for it.
    """
    rows = []
    for recipe in recipes:
        for step in (read(recipe) or {"steps": []})["steps"]:
            if step["step"] == "Quantize":
                after = step["report"]["bytes_after"].items()
                rows += [{"form": step["form"], "part": part, "bytes": size} for part, size in after]
    return pd.DataFrame(rows, columns=["form", "part", "bytes"]).drop_duplicates(["form", "part"], ignore_index=True)


def exact(encoder: str, *, labels: int = 9) -> pd.DataFrame:
    """Bytes by form and part of a named encoder under a token classifier, computed from its shape alone.

    LLM.int8() keeps the classifier in fp16 and has a scale in fp32 for each output; one scale for a tensor, as the
    other int8 forms have, weighs nothing.
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
    """A column for each form: MB by part and in all (`disk`: bytes of its folder), and what it saves in per cent."""
    wide = _wide(parts) / 1e6
    total = wide.sum()
    rows = {f"{part} (MB)": wide.loc[part] for part in PARTS} | {"in memory (MB)": total}
    rows |= {"on disk (MB)": pd.Series(disk) / 1e6} if disk else {}
    bases = [base for base in (REFERENCE, "fp16") if base in wide]
    # A form that is larger than the base is not smaller by a negative share: it has a dash.
    rows |= {f"smaller than {base} (%)": (100 * (1 - total / total[base])).where(total <= total[base])
             for base in bases}  # fmt: skip
    return pd.DataFrame(rows).T[list(wide)].rename_axis("size").rename_axis(None, axis="columns").reset_index()


def saved(parts: pd.DataFrame, form: str, *, base: str = REFERENCE) -> float:
    """The share of the bytes of `base` that a form saves; NaN where one of them was not measured."""
    total = parts.groupby("form")["bytes"].sum()
    return 1 - total.get(form, math.nan) / total.get(base, math.nan)


def published_reduction() -> float:
    """The share of bytes that the paper says LLM.int8() saves."""
    return float(published(table="claims", row="quantization: size reduction")["value"].iloc[0]) / 100


def explained(parts: pd.DataFrame, *, encoder: str) -> str:
    """How much of LLM.int8()'s saving is the cast to fp16, and how much is int8, beside the published figure (D13)."""
    total = parts.groupby("form")["bytes"].sum() / 1e6
    dense, small = (published(table="P1-T5", row=row)["value"].iloc[0] for row in ("dense", "quantized"))
    cast, whole = saved(parts, "fp16"), saved(parts, "llm.int8")
    return (
        f"{encoder}, computed from its shape: {total[REFERENCE]:.1f} MB in fp32, {total['fp16']:.1f} in fp16 and "
        f"{total['llm.int8']:.1f} with LLM.int8() (printed: {dense:.0f} and {small:.1f}). Casting everything to fp16 "
        f"saves {100 * cast:.1f} %, int8 for the Linear weights {100 * (whole - cast):.1f} points more: "
        f"{100 * whole:.1f} % in all, where the paper says {100 * published_reduction():.2f} %. Int8 with the rest "
        f"left in fp32, as dynamic quantization has it, saves {share(saved(parts, 'dynamic'))}; int8 for the "
        f"embeddings too, as onnx-int8 has it, {share(saved(parts, 'onnx-int8'))}."
    )


def _wide(parts: pd.DataFrame) -> pd.DataFrame:
    wide = parts.pivot(index="part", columns="form", values="bytes").loc[list(PARTS)]
    return wide[[form for form in FORMS if form in wide]]
