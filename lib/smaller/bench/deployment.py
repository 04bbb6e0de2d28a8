"""The formats of a model that one can deploy, beside PyTorch in fp32: milliseconds for a sentence, and bytes.

One sentence of 32 tokens at a time, on all cores, all formats in turn in one run. Neither speed nor bytes depend on the
values of the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec

import torch

from smaller import formats
from smaller.bench.base import Ask, Material, times_the, verdict
from smaller.study import cost
from smaller.study.cost import Setting

ENCODER = "afriberta-base"
TIMED = [name for name in formats.FORMATS if name != "fp16"]
MARKS = {"onnx-int8": 7.0, "openvino-int8": 9.0}
BYTES_MARK = 0.26
TOKENS = 32
_PACKAGES = dict.fromkeys(("onnx", "onnx-int8", "onnx-int4"), "onnxruntime")
_PACKAGES |= {"llm.int8": "bitsandbytes", "openvino-int8": "openvino"}


def report(ask: Ask, *, installed: Callable[[str], object] = find_spec) -> Iterator[str]:
    """A line for each format, then the ratios beside their marks."""
    names = [name for name in TIMED if installed(_PACKAGES.get(name, "torch"))]
    found = ask(",".join(names))
    yield (
        f"Deploying {found['about']}; batch 1, {TOKENS} tokens, {found['cores']} threads on {found['machine']}; "
        f"noise floor {100 * found['noise_floor']:.0f} %"
    )
    timed, held = found["milliseconds"], found["bytes"]
    faster = {name: timed["fp32"]["milliseconds"] / timed[name]["milliseconds"] for name in names}
    for name in names:
        yield (
            f"{timed[name]['milliseconds']:8.2f} ms [{timed[name]['low']:.2f}, {timed[name]['high']:.2f}]  "
            f"{faster[name]:5.1f} times as fast  "
            f"{held[name] / 1e6:6.1f} MB, {100 * held[name] / held['fp32']:3.0f} % of the bytes  {name}"
        )
    for name, mark in MARKS.items():
        if name not in names:
            yield f"{name} is not measured: {_PACKAGES[name]} is not installed"
            continue
        share = held[name] / held["fp32"]
        yield times_the(faster[name], f"as fast with {name}", mark)
        yield verdict(f"{100 * share:8.1f} % of the bytes", f"{100 * BYTES_MARK:g} %", reached=share <= BYTES_MARK)
    yield from found["notes"]


def measure(way: str, given: Material, *, updates: int, sentences: int = 8, rounds: int = 15) -> dict:
    """Milliseconds and bytes of the formats that `way` names, with commas between them, in this process."""
    model = given.tagger()
    generator = torch.Generator().manual_seed(0)
    rows = list(torch.randint(5, model.network.config.vocab_size, (sentences, TOKENS), generator=generator))
    models = {name: formats.convert(model, name, rows=rows) for name in way.split(",")}
    models["again"] = models["fp32"].copy()
    timed = cost.latency(models, dict.fromkeys(models, rows), setting=Setting(threads=cost.cores()), rounds=rounds)
    return {
        "milliseconds": timed,
        "noise_floor": cost.noise_floor(timed["fp32"], timed["again"]),
        "bytes": {name: formats.bytes_in_memory(each.network) for name, each in models.items()},
        "notes": formats.processor_notes(),
    }
