"""Bytes on disk, and the memory that inference takes in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TextIO

import psutil
import torch
from torch import Tensor

from smaller.base.errors import SmallerError
from smaller.data.encoding import encode
from smaller.encoders import MASKS_FILE, Encoder, build, configuration
from smaller.encoders.device import device, placed
from smaller.formats.shipping import open_shipped, ship
from smaller.study import cost, results
from smaller.study.jobs import home_sets, materialise
from smaller.study.recipes import Recipe
from smaller.study.timing.latency import finished, runs_on, sample_of

FORKS = hasattr(os, "fork")


def weigh(
    recipes: Iterable[Recipe], *, sentences: int = 24, scale: Callable[[], AbstractContextManager] | None = None
) -> None:
    """Measure bytes on disk and peak memory for each recipe and write them into its record, unless they are there.

    `disk_bytes` are the weights and configuration of the shipped folder, without tokenizer, card and masks. `memory` is
    measured in a process of its own that opens that folder and runs `sentences` of the test split at each batch size
    of the protocol: `peak_bytes` is all that it ever held, `memory_bytes` how much more that is than before the folder
    was opened, when PyTorch and Transformers had run a network of a few kilobytes. So what counts are weights,
    tokenizer, copies made while they were read, the library of the form (ONNX Runtime, OpenVINO, bitsandbytes) and the
    working space of the longest batch. Where there is a GPU, both are also measured of what PyTorch allocates there.
    """
    records = {recipe: finished(recipe) for recipe in dict.fromkeys(recipes)}
    todo = {recipe: record for recipe, record in records.items() if "memory" not in record["cost"]}
    if not todo:
        return
    with (scale or Scale)() as own:
        for recipe, record in todo.items():
            model, _ = materialise(recipe)
            split = home_sets(recipe)[-1].sentences()
            rows = encode(sample_of(split, model, count=sentences), model.tokenizer, model.labels).pieces
            kinds = [kind for kind in dict.fromkeys(("cpu", device().type)) if runs_on(kind, recipe)]
            with tempfile.TemporaryDirectory() as parent:
                folder = ship(model, Path(parent) / "model")
                record["cost"]["disk_bytes"] = weight_bytes(folder)
                record["cost"]["memory"] = [
                    found for kind in kinds for found in own.peak_memory(folder, rows, kind=kind)
                ]
            results.write(record)


def weight_bytes(folder: Path) -> int:
    """The bytes of a shipped folder that are the network: its weights and their configuration."""
    return sum(
        file.stat().st_size
        for file in folder.iterdir()
        if file.name not in (MASKS_FILE, "README.md", "smaller.json") and not file.name.startswith("tokenizer")
    )


class Scale:
    """A process that has loaded the libraries and nothing else, and forks for every folder that is measured.

    So each is measured in a process that no other model has been in, and the libraries are loaded once.
    """

    def __enter__(self) -> Scale:
        command = [sys.executable, "-m", "smaller.study.timing"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()

    def peak_memory(self, folder: Path, rows: Sequence[Tensor], *, kind: str = "cpu") -> list[dict]:
        """The peak memory of inference with a shipped folder on rows of token ids, at each batch size, on a device."""
        asked = {"folder": str(folder), "rows": [row.tolist() for row in rows], "kind": kind}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '"its process ended"')
        if not FORKS:
            self.__exit__()
            self.__enter__()
        if isinstance(answer, str):
            raise SmallerError(f"The memory of {folder} could not be measured: {answer}.")
        return answer


def serve(questions: TextIO, answers: TextIO, weighed: Callable[[dict], list[dict]] | None = None) -> None:
    """What the process of a `Scale` does: fork for every line, and answer with figures or with what went wrong.

    Where no process can fork, it answers one line, and `Scale` begins another one.
    """
    for line in questions:
        child = os.fork() if FORKS else 0
        if not child:
            try:
                answer = (weighed or _weighed)(json.loads(line))
            except Exception as problem:  # whatever it is, the process that asked is the one to tell it
                answer = str(problem).rstrip(".") or type(problem).__name__
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            answers.write(json.dumps(f"its process ended with {status}; the usual cause is too little memory") + "\n")
            answers.flush()


def _weighed(asked: dict) -> list[dict]:
    kind, rows = asked["kind"], [torch.tensor(row) for row in asked["rows"]]
    smallest = configuration(Encoder("smallest", layers=1, heads=1, hidden=8, feed_forward=8), vocabulary=8)
    with torch.inference_mode():
        build(smallest, seed=0)(input_ids=torch.tensor([[0, 2]]))
    before = psutil.Process().memory_info().rss if kind == "cpu" else 0
    model = open_shipped(asked["folder"])
    network = placed(model.network, kind)
    found = []
    for size in sorted(cost.BATCHES):  # the larger one last: the peak so far is then a batch size's own
        for batch in cost.batches_by_length(rows, size=size, padding=model.tokenizer.pad_token_id):
            with torch.inference_mode():
                network(input_ids=batch.pieces.to(kind), attention_mask=batch.mask.to(kind))
        peak = cost.peak_memory(kind)
        found.append({"batch": size, "device_type": kind, "peak_bytes": peak, "memory_bytes": peak - before})
    return found
