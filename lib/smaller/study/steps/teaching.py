"""What a tagger says of every word that a student is taught on: by its own tokenizer, read once, kept for the next."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import torch
from filelock import FileLock
from safetensors.torch import load, save
from torch import Tensor

from smaller.base import paths
from smaller.base.files import write_whole
from smaller.base.progress import Say, duration, silent
from smaller.data.encoding import Encoded
from smaller.data.examples import Example
from smaller.encoders import Model, canonical
from smaller.encoders.model import raw
from smaller.prediction.labels import Reading, read


def folder() -> Path:
    """Where it is kept: a cache, for one teacher teaches many students."""
    return paths.trained_folder() / "teachers"


PART, INTERVAL = 1000, 10.0
"""So many examples are read at a time, and at most every so many seconds it is said how many there are."""


def what_it_says(model: Model, examples: Sequence[Example], *, say: Say = silent) -> list[Tensor]:
    """For each example the logarithms of a tagger's probabilities, of shape (words, labels); NaN where it reads none.

    They are logits: a softmax at any temperature gives the same. `say` hears how many have been read.
    """
    file = folder() / f"{_digest(model, examples)}.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        if not file.is_file():
            parts = list(_parts(model, examples, say=say))
            logits = torch.cat([part.probabilities for part in parts]).clamp(min=1e-12).log()
            sizes = torch.tensor([size for part in parts for size in part.sizes])
            write_whole(file, save({"logits": logits, "sizes": sizes}))
    kept = load(file.read_bytes())
    return list(kept["logits"].split(kept["sizes"].tolist()))


def _parts(model: Model, examples: Sequence[Example], *, say: Say) -> Iterator[Reading]:
    began = told = time.monotonic()
    for start in range(0, len(examples), PART):
        yield read(model, examples[start : start + PART])
        done, now = min(start + PART, len(examples)), time.monotonic()
        if now - told >= INTERVAL and done < len(examples):
            told, left = now, (now - began) * (len(examples) / done - 1)
            say(f"the teacher has read {done:,} of {len(examples):,} sentences, about {duration(left)} left")


def _digest(model: Model, examples: Sequence[Example]) -> str:
    """What decides the reading: weights, labels, tokenizer and words."""
    found = sha256(canonical([model.labels, [each.words for each in examples]]).encode())
    cutting = json.loads(model.tokenizer.backend_tokenizer.to_str())
    found.update(canonical(cutting | dict.fromkeys(("truncation", "padding"))).encode())  # what its last call left
    for name, values in model.network.state_dict().items():
        found.update(name.encode())
        found.update(raw(values))
    return found.hexdigest()[:32]


def of_words(said: Sequence[Tensor], encoded: Encoded) -> tuple[list[Tensor], list[Tensor]]:
    """For each row as a student reads it: where a word begins that the teacher has read, and what it said of those."""
    places, targets = [], []
    for logits, words in zip(said, encoded.words, strict=True):
        there = words >= 0
        there[there.clone()] = ~logits[words[there]].isnan().any(-1)
        places.append(there)
        targets.append(logits[words[there]])
    return places, targets
