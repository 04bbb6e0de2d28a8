"""What the sections share: a model to measure with, a process for each way, and the plain Trainer."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

from smaller import encoders
from smaller.base import paths
from smaller.base.errors import SmallerError
from smaller.data import splits
from smaller.data.datasets import DATASETS
from smaller.data.encoding import encode
from smaller.data.examples import Sentence
from smaller.data.tasks import bio_labels
from smaller.encoders import ENCODERS, Model

Ask = Callable[[str], dict]
"""What measures a way by its name: `measured` with all else decided."""

LANGUAGE = "swa"
WARM = 3
"""Updates of the plain Trainer that do not count."""


@dataclass(frozen=True)
class Material:
    """A masked-language model of an encoder's shape, and the labelled data that it can read."""

    model: Model
    dataset: str
    about: str

    @property
    def sentences(self) -> list[Sentence]:
        """The labelled training sentences."""
        return splits.sentences(self.dataset, LANGUAGE, "train")

    @property
    def corpus(self) -> str:
        """The text that goes with the sentences, where there is any."""
        return "corpus" if self.dataset != "sample" and _is_here(splits.text, "corpus", LANGUAGE) else "sample"

    def tagger(self) -> Model:
        """The model under a classifier for the data set's labels."""
        return encoders.with_classifier(self.model, bio_labels(DATASETS[self.dataset].tags), seed=0)


def material(name: str) -> Material:
    """A model of the encoder's shape (random weights where there are none to load) and data for it.

    Speed does not depend on the values of the weights; it does on lengths, so sentences are real where there are any.
    """
    known, models = ENCODERS.get(name), paths.models_folder()
    named = known is not None and known.pretrained
    local = next(iter(sorted(models.glob("*/tokenizer.json"))), None) if models else None
    # Real sentences need a tokenizer that was made for real text: with another one they are too long.
    dataset = "sample" if named and local is None else "masakhaner"
    if not _is_here(splits.sentences, dataset, LANGUAGE, "train"):
        dataset, local = "sample", None
    if named:
        tokenizer = encoders.open_folder(local.parent).tokenizer if local else encoders.load("sample-small").tokenizer
        model = Model(encoders.build(encoders.configuration(known), seed=0), tokenizer)
        cut = f", cut by the tokenizer of {local.parent.name if local else 'the sample'}; random weights"
    else:
        model, cut = encoders.load(name), ""
    parameters = f"{encoders.parameter_count(model.network):,} parameters"
    return Material(model, dataset, f"{name}: {parameters}; sentences of {dataset}/{LANGUAGE}{cut}")


def _is_here(read: Callable, *place: str) -> bool:
    try:
        read(*place)
    except SmallerError:
        return False
    return True


def measured(section: str, way: str, *, encoder: str, updates: int) -> dict:
    """What one way's measurement gives in a process of its own, with its peak memory, and about what it measured."""
    command = [sys.executable, "-m", "smaller.bench", section, way, encoder, str(updates)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        raise SmallerError(f"Measuring {section} ({way}) failed: {answer.stderr.strip().splitlines()[-1]}")
    return json.loads(answer.stdout.splitlines()[-1])


def speeds(ask: Ask, ways: Mapping[str, str], of: str, heading: str) -> Generator[str, None, dict[str, float]]:
    """A heading and a line for each way, by its meaning; returns how many sentences, or tokens, a second each does."""
    found: dict[str, float] = {}
    for way, meaning in ways.items():
        answer = ask(way)
        if not found:
            yield heading.format_map(answer)
        found[way] = answer[f"{of}_per_second"]
        memory = f"{answer['peak_memory_bytes'] / 1e9:5.2f} GB at most"
        yield f"{found[way]:8.1f} {of}/s  {memory}  {meaning.format_map(answer)}"
    return found


def verdict(said: str, mark: str, *, reached: bool) -> str:
    """A line on what was measured, beside its mark."""
    return f"{said}; the mark is {mark}: {'reached' if reached else 'missed'}"


def times_the(value: float, of: str, mark: float) -> str:
    """A line on a ratio that is to be as large as its mark."""
    return verdict(f"{value:8.1f} times {of}", f"{mark:g}", reached=value >= mark)


def labelled_rows(model: Model, sentences: Sequence[Sentence]) -> list[dict]:
    """Sentences as the plain Trainer takes them."""
    encoded = encode(sentences, model.tokenizer, model.labels)
    return [
        {"input_ids": tokens.tolist(), "attention_mask": [1] * len(tokens), "labels": labels.tolist()}
        for tokens, labels in zip(encoded.pieces, encoded.labels, strict=True)
    ]


def trainer_seconds(
    model: Model, rows: Sequence[dict], collator: Callable, *, size: int, updates: int, trainer: type | None = None
) -> float:
    """The seconds that a Trainer with its defaults takes for `updates` updates of `size` rows, after `WARM` others."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    clock: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, arguments, state, control, **_):
            if state.global_step == WARM:
                clock.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=size,
            max_steps=WARM + updates,
            report_to=[],
            disable_tqdm=True,
            save_strategy="no",
            logging_strategy="no",
            seed=0,
        )
        plain = (trainer or Trainer)(
            model=model.network, args=arguments, train_dataset=list(rows), data_collator=collator, callbacks=[Clock()]
        )
        plain.train()
        return time.perf_counter() - clock[0]
