"""Distillation: a student that is cut from the model learns to imitate it, on text or on a task."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from smaller import formats
from smaller.base.progress import Say, silent
from smaller.data import own, splits
from smaller.data.encoding import IGNORED, Encoded, encode, encode_text
from smaller.data.examples import Example, Sentence, Text
from smaller.data.languages import in_codes
from smaller.encoders import Model, parameter_count
from smaller.encoders.device import device, placed
from smaller.study.steps.base import Step, is_count, is_number, later, require
from smaller.study.steps.checks import (
    as_taught,
    labels_in,
    require_choice,
    require_counts,
    require_languages,
    require_share,
    require_small,
)
from smaller.study.steps.cutting import check_shape, layers_kept, shape_label
from smaller.study.steps.finetuning import FineTune, labelled_batches, trimmed_where_exact
from smaller.study.steps.imitation import HIDDEN, LOGITS, Imitation, first_pieces, teacher_logits
from smaller.study.steps.pretraining import SETTINGS, Pretrain, masked_batches
from smaller.study.steps.students import check_width, student_of, widened, width_label
from smaller.study.steps.texts import lines_of, require_known, rows_of, unknown_share
from smaller.study.training import Report, ends, train


def _defaults(step: type[Step], *fields: str) -> dict[str, Any]:
    given = {field.name: field.default for field in dataclasses.fields(step)}
    return {field: given[field] for field in fields}


MODES = {
    "corpus": _defaults(Pretrain, "batch_size", "max_length", "learning_rate", "corpus", "languages", "updates", "rate")
    | {"lines": 0},
    "task": _defaults(FineTune, "batch_size", "max_length", "learning_rate", "epochs", "warm_up")
    | {"dataset": "", "language": "", "transfer_corpus": "", "transfer_lines": 0},
}
"""The fields of each mode with their defaults, which are those of `Pretrain` and `FineTune`."""


EXAMPLES = 400
"""Lines of each language, or sentences, on which the widths that are not sliced look at the teacher's hidden states."""

LOSSES = ("logits", "labels", "hidden", "attention")
"""The named losses; the step's field `<name>_weight` weighs each."""


@dataclass(frozen=True)
class Distil(Step):
    """Train a student to imitate its teacher: the model that arrives. The student is cut from it, as by `Cut`.

    `on="corpus"` is task-agnostic: teacher and student are masked-language models, and the student guesses hidden
    pieces of `languages` of `corpus` (at most `lines` of each, 0 for all) as in `Pretrain`. `on="task"` is
    task-specific: both are taggers, and training goes over the labelled sentences of `dataset` and `language` as in
    `FineTune`, with `transfer_lines` lines of `transfer_corpus` (of each language) as sentences without labels.
    A field that is None takes its mode's default (`MODES`); one of the other mode is refused.

    The student of a task has its teacher's labels, in their order: data are matched with them by name.

    The loss is the weighted sum of four: `logits` ("kl" at `temperature`, times its square, or "mse") at the masked
    pieces or first pieces of words, the true `labels` there, `hidden` ("cosine" or "mse") between each layer and the
    one that it was mapped to, and the attention relations of both last layers (MiniLMv2, with the least number of
    relation heads that splits no head of either model). The two equal weights are paper 2's (its section 3).

    A student may be narrower: `hidden_size` wide, reached by `width_by` as in `TruncateHidden` with a look at what it
    is trained on, and with only the `feed_forward` neurons of greatest magnitude. Hidden states of unequal width are
    compared through a linear map that is learned beside the student and thrown away (see `students.widened`).
    """

    layers: int
    heads: int | None = None
    on: str = "corpus"
    layer_map: str | tuple[int, ...] = "stride"
    start: str = "teacher"
    temperature: float = 2.0
    logits: str = "kl"
    logits_weight: float = 0.5
    labels_weight: float = 0.5
    hidden: str = "cosine"
    hidden_weight: float = 0.0
    attention_weight: float = 0.0
    seed: int = 1
    batch_size: int | None = None
    max_length: int | None = None
    learning_rate: float | None = None
    corpus: str | None = None
    languages: tuple[str, ...] | None = None
    lines: int | None = None
    updates: int | None = None
    rate: float | None = None
    dataset: str | None = None
    language: str | None = None
    epochs: int | None = None
    warm_up: float | None = None
    transfer_corpus: str | None = None
    transfer_lines: int | None = None
    hidden_size: int | None = later(None)
    feed_forward: int | None = later(None)
    width_by: str = later("slice")

    trains: ClassVar[bool] = True
    technique: ClassVar[str] = "distilled"

    def __post_init__(self) -> None:
        check_shape(self)
        check_width(self)
        for field, choices in (("on", tuple(MODES)), ("logits", LOGITS), ("hidden", HIDDEN)):
            require_choice(self, field, choices)
        self._check_losses()
        self._fill_mode()
        require_counts(self, "seed", "batch_size", "max_length")
        require_small(self, "learning_rate")
        if self.on == "corpus":
            require_languages(self)
            require_counts(self, "updates")
            require_small(self, "rate")
            require(is_count(self.lines), f"Distil's lines is a number of lines, 0 for all; it is {self.lines!r}.")
        else:
            self._check_task()

    def _check_losses(self) -> None:
        require(
            is_number(self.temperature) and 0 < self.temperature < math.inf,
            f"Distil's temperature is a number above zero; it is {self.temperature!r}.",
        )
        object.__setattr__(self, "temperature", float(self.temperature))
        for field in (f"{name}_weight" for name in LOSSES):
            value = getattr(self, field)
            require(
                is_number(value) and 0 <= value < math.inf,
                f"Distil's {field} is a number of at least 0; it is {value!r}.",
            )
            object.__setattr__(self, field, float(value))
        require(bool(self.weights), "All weights of Distil's losses are zero, so there is nothing to learn.")
        for field, used, why in (
            ("temperature", self.logits_weight > 0 and self.logits == "kl", 'is used only by the logits\' "kl"'),
            ("logits", self.logits_weight > 0, "is used only with a logits_weight above 0"),
            ("hidden", self.hidden_weight > 0, "is used only with a hidden_weight above 0"),
        ):
            default = _defaults(Distil, field)[field]
            require(used or getattr(self, field) == default, f"Distil's {field} {why}; leave it at {default!r}.")

    def _fill_mode(self) -> None:
        other = "task" if self.on == "corpus" else "corpus"
        for field in MODES[other].keys() - MODES[self.on].keys():
            require(
                getattr(self, field) is None, f"Distil(on={self.on!r}) takes no {field}: it belongs to on={other!r}."
            )
        for field, default in MODES[self.on].items():
            if getattr(self, field) is None:
                object.__setattr__(self, field, default)

    def _check_task(self) -> None:
        for field in ("dataset", "language"):
            require(bool(getattr(self, field)), f"Distil(on='task') needs a value for {field}.")
        object.__setattr__(self, "dataset", own.named(self.dataset, language=self.language))
        object.__setattr__(self, "language", in_codes(self.language))
        splits.check(self.dataset, self.language)
        splits.task(self.dataset)  # an error where there are no labels
        require_counts(self, "epochs")
        require_share(self, "warm_up")
        require(
            is_count(self.transfer_lines) and bool(self.transfer_corpus) == bool(self.transfer_lines),
            "Distil's transfer_corpus names a text and transfer_lines the number of its lines, both or neither; "
            f"they are {self.transfer_corpus!r} and {self.transfer_lines!r}.",
        )
        if self.transfer_corpus:
            for language in self._text_languages():
                splits.check_text(self.transfer_corpus, language)

    @property
    def weights(self) -> dict[str, float]:
        """The losses that count, by name, with their weights."""
        weights = {name: getattr(self, f"{name}_weight") for name in LOSSES}
        return {name: weight for name, weight in weights.items() if weight > 0}

    @property
    def label(self) -> str:
        """The step in a few words: shape, data, and whatever decides the loss."""
        place = f"{self.dataset}/{self.language}" if self.on == "task" else f"{self.corpus}/{'+'.join(self.languages)}"
        transfer = f" + {self.transfer_lines} lines" if self.transfer_lines else ""
        temperature = f"T {self.temperature:g}" if self.logits == "kl" else self.logits
        usual = _defaults(Distil, *(f"{name}_weight" for name in LOSSES))
        losses = [
            f"{name} {getattr(self, f'{name}_weight'):g}"
            for name in LOSSES
            if getattr(self, f"{name}_weight") != usual[f"{name}_weight"]
        ]
        shape = [*shape_label(self), *width_label(self)]
        return f"Distil({', '.join([*shape, place + transfer, temperature, *losses])}, seed {self.seed})"

    def columns(self) -> dict[str, Any]:
        """The mode, the temperature, and how the student was cut."""
        temperature = self.temperature if self.logits == "kl" and self.logits_weight else math.nan
        said = {"on": self.on, "temperature": temperature, "start": self.start, "layer_map": str(self.layer_map)}
        return said | ({"method": self.width_by} if self.hidden_size is not None else {})

    def resize(self, shape: dict[str, int]) -> dict[str, int]:
        """The student's shape."""
        given = {"heads": self.heads, "hidden": self.hidden_size, "feed_forward": self.feed_forward}
        return shape | {"layers": self.layers} | {name: size for name, size in given.items() if size is not None}

    def inputs(self) -> dict[str, str]:
        """The checksums of the labelled splits and of the text."""
        found = {}
        if self.on == "task":
            found[f"{self.dataset}/{self.language}"] = splits.fingerprint(self.dataset, self.language)
        for language in self._text_languages():
            corpus = self.corpus or self.transfer_corpus
            found[f"{corpus}/{language}/text"] = splits.text_fingerprint(corpus, language)
        return found

    def _text_languages(self) -> tuple[str, ...]:
        if self.on == "corpus":
            return self.languages
        return tuple(self.language.split("+")) if self.transfer_corpus else ()

    def apply(self, model: Model, *, say: Say = silent, scratch: Path | None = None) -> tuple[Model, dict]:
        """The student; the report gives the losses by name, at the beginning and at the end."""
        formats.require_trainable(model, what="Distil")
        self._check_teacher(model)
        layer_map = layers_kept(self.layer_map, layers=self.layers, of=model.network.config.num_hidden_layers)
        student, basis = student_of(self, model, layer_map, self._examples(model))
        imitation = Imitation(
            teacher=placed(model.network),
            weights=self.weights,
            kinds={"logits": self.logits, "hidden": self.hidden},
            temperature=self.temperature,
            layer_map=layer_map,
            relation_heads=self._relation_heads(model, student),
            places=lambda batch: batch.labels != IGNORED,
        )
        learn = self._on_task if self.on == "task" else self._on_corpus
        with widened(student.network, basis if self.hidden_weight else None) as projection:
            imitation = dataclasses.replace(imitation, projection=projection)
            report, about = learn(model, student, imitation, say=say, scratch=scratch)
        curves = zip(self.weights.items(), zip(*report.terms, strict=True), strict=True)
        return student, report.as_record() | about | {
            "losses": {
                name: {end: round(value / weight, 4) for end, value in ends(list(curve)).items()}
                for (name, weight), curve in curves
            },
            "layer_map": list(layer_map),
            "parameters_before": parameter_count(model.network),
            "parameters_after": parameter_count(student.network),
        }

    def _check_teacher(self, model: Model) -> None:
        if self.on == "corpus":
            require(
                not model.labels,
                "Distil(on='corpus') needs a masked-language model as teacher, and a tagger "
                "arrives: put the step before FineTune, or distil on the task.",
            )
            return
        require(
            bool(model.labels),
            "Distil(on='task') needs a tagger as teacher, and a masked-language model "
            "arrives: put FineTune before it, or distil on a corpus.",
        )
        absent = sorted(labels_in(self.dataset, self.language, "train", taught_by=model.labels) - set(model.labels))
        require(
            not absent,
            f"The teacher's labels are {', '.join(model.labels)}, and {', '.join(absent)} occur in {self.dataset}/"
            f"{self.language} besides: it cannot teach what it does not know.",
        )

    def _sentences(self, model: Model) -> list[Example]:
        given = splits.sentences(self.dataset, self.language, "train")
        return as_taught(given, model.labels) if splits.task(self.dataset).spans else given

    def _examples(self, model: Model) -> list[Tensor]:
        if self.width_by == "slice":
            return []
        if self.on == "corpus":
            return rows_of(self.corpus, self.languages, model.tokenizer, limit=EXAMPLES)
        sentences = self._sentences(model)
        chosen = sentences[:: -(-len(sentences) // EXAMPLES)]
        return encode(chosen, model.tokenizer, model.labels, max_length=self.max_length).pieces

    def _relation_heads(self, model: Model, student: Model) -> int:
        configs = [one.network.config for one in (model, student)]
        heads = math.lcm(*(config.num_attention_heads for config in configs))
        require(
            not self.attention_weight or all(config.hidden_size % heads == 0 for config in configs),
            f"No number of relation heads splits the {configs[0].num_attention_heads} heads of the teacher and the "
            f"{configs[1].num_attention_heads} of the student evenly, so their attention cannot be compared: "
            "leave attention_weight at 0.",
        )
        return heads

    def _on_corpus(
        self, model: Model, student: Model, imitation: Imitation, *, say: Say, scratch: Path | None
    ) -> tuple[Report, dict]:
        rows: list[Tensor] = []
        for language in self.languages:
            lines = lines_of(self.corpus, language, limit=self.lines)
            found = encode_text(lines, model.tokenizer, max_length=self.max_length)
            require_known(found, model.tokenizer, place=f"{self.corpus}/{language}")
            rows += found
        batches = masked_batches(
            rows, model.tokenizer, updates=self.updates, size=self.batch_size, rate=self.rate, seed=self.seed
        )
        report = train(
            student,
            batches,
            imitation,
            updates=self.updates,
            learning_rate=self.learning_rate,
            seed=self.seed,
            warm_up=self.updates // 10,
            scratch=scratch,
            say=say,
            **SETTINGS,
        )
        return report, {"lines": len(rows), "unknown_rate": round(unknown_share(rows, model.tokenizer), 6)}

    def _on_task(
        self, model: Model, student: Model, imitation: Imitation, *, say: Say, scratch: Path | None
    ) -> tuple[Report, dict]:
        encoded = encode(self._sentences(model), model.tokenizer, model.labels, max_length=self.max_length)
        labelled = len(encoded)
        if self.transfer_corpus:
            encoded = self._with_transfer(encoded, model)
        padding = model.tokenizer.pad_token_id
        imitation = dataclasses.replace(imitation, places=lambda batch: first_pieces(encoded, batch.rows))
        if set(self.weights) <= {"logits", "labels"} and self.logits_weight:
            imitation = dataclasses.replace(imitation, targets=teacher_logits(model, encoded))
        updates = self.epochs * -(-len(encoded) // self.batch_size)
        used = torch.cat([*encoded.pieces, torch.tensor([padding])])
        with trimmed_where_exact(student, used, weight_decay=0.0) as ids:
            if ids is not None:
                imitation = dataclasses.replace(imitation, original=torch.unique(used).to(device()))
            batches = labelled_batches(
                encoded, epochs=self.epochs, size=self.batch_size, padding=padding, seed=self.seed, ids=ids
            )
            report = train(
                student,
                batches,
                imitation,
                updates=updates,
                learning_rate=self.learning_rate,
                seed=self.seed,
                warm_up=round(self.warm_up * updates),
                scratch=scratch,
                say=say,
            )
        return report, {
            "sentences": labelled,
            "transfer_sentences": len(encoded) - labelled,
            "truncated_words": encoded.truncated_words,
            "words_without_pieces": encoded.words_without_pieces,
            "unknown_rate": round(unknown_share(encoded.pieces, model.tokenizer), 6),
        }

    def _with_transfer(self, encoded: Encoded, model: Model) -> Encoded:
        for language in self._text_languages():
            lines = lines_of(self.transfer_corpus, language, limit=self.transfer_lines)
            # A label that no label set has: the teacher's logits are all that these lines teach.
            words = [tuple(line.split()) for line in lines]
            if model.unit == "text":
                unlabelled = [Text(line, "") for line, row in zip(lines, words, strict=True) if row]
            else:
                unlabelled = [Sentence(row, ("",) * len(row)) for row in words if row]
            extra = encode(unlabelled, model.tokenizer, model.labels, max_length=self.max_length)
            require_known(extra.pieces, model.tokenizer, place=f"{self.transfer_corpus}/{language}")
            encoded = Encoded(
                *(getattr(encoded, field.name) + getattr(extra, field.name) for field in dataclasses.fields(Encoded))
            )
        return encoded
