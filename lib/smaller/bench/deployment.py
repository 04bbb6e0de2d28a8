"""The forms of a model that one can deploy, beside PyTorch in fp32: milliseconds for a sentence, and bytes.

One sentence of 32 pieces at a time, on all cores, all forms in turn in one run. Neither speed nor bytes depend on the
values of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import torch

from smaller import formats
from smaller.bench.base import Material, measured, word
from smaller.study import cost
from smaller.study.cost import Setting

ENCODER = "afriberta-base"
FORMS = ("fp32", "bf16", "dynamic", "llm.int8", "onnx", "onnx-int8", "openvino-int8")
MARKS = {"onnx-int8": 7.0, "openvino-int8": 9.0}
BYTES_MARK = 0.26
PIECES, SENTENCES, ROUNDS = 32, 8, 15
_PACKAGES = {"llm.int8": "bitsandbytes", "onnx": "onnxruntime", "onnx-int8": "onnxruntime", "openvino-int8": "openvino"}


def report(*, encoder: str, updates: int) -> Iterator[str]:
    """A line for each form, then the ratios beside their marks; `updates` is of no use here."""
    names = [name for name in FORMS if find_spec(_PACKAGES.get(name, "torch"))]
    found = measured("deploy", ",".join(names), encoder=encoder, updates=updates)
    yield (
        f"Deploying {found['about']}; batch 1, {PIECES} pieces, "
        f"{cost.cores()} threads on {cost.machine()}; noise floor {100 * found['noise_floor']:.0f} %"
    )
    timed, held = found["milliseconds"], found["bytes"]
    for name in names:
        yield (
            f"{timed[name]['milliseconds']:8.2f} ms [{timed[name]['low']:.2f}, {timed[name]['high']:.2f}]  "
            f"{timed['fp32']['milliseconds'] / timed[name]['milliseconds']:5.1f} times as fast  "
            f"{held[name] / 1e6:6.1f} MB, {100 * held[name] / held['fp32']:3.0f} % of the bytes  {name}"
        )
    for name, mark in MARKS.items():
        if name not in names:
            yield f"{name} is not measured: {_PACKAGES[name]} is not installed"
            continue
        ratio, share = timed["fp32"]["milliseconds"] / timed[name]["milliseconds"], held[name] / held["fp32"]
        yield f"{ratio:8.1f} times as fast with {name}; the mark is {mark:g}: {word(ratio >= mark)}"
        yield f"{100 * share:8.1f} % of the bytes; the mark is {100 * BYTES_MARK:g} %: {word(share <= BYTES_MARK)}"
    yield from formats.processor_notes()


def measure(way: str, given: Material, *, updates: int) -> dict:
    """Milliseconds and bytes of the forms that `way` names, with commas between them, in this process."""
    model = given.tagger()
    generator = torch.Generator().manual_seed(0)
    rows = list(torch.randint(5, model.network.config.vocab_size, (SENTENCES, PIECES), generator=generator))
    models = {name: formats.convert(model, name, rows=rows) for name in way.split(",")}
    models["again"] = models["fp32"].copy()
    timed = cost.latency(models, dict.fromkeys(models, rows), setting=Setting(threads=cost.cores()), rounds=ROUNDS)
    return {
        "milliseconds": timed,
        "noise_floor": cost.noise_floor(timed["fp32"], timed["again"]),
        "bytes": {name: formats.bytes_in_memory(form.network) for name, form in models.items()},
    }
