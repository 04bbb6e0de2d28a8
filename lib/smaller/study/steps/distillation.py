"""Distillation: a student that is cut from the model learns to imitate it, on text or on a task."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from smaller.base.checks import (
    is_count,
    require,
    require_choice,
    require_counts,
    require_number,
    require_share,
    require_small,
)
from smaller.base.progress import Say, silent
from smaller.data import splits
from smaller.data.encoding import Encoded, encode, pad
from smaller.data.examples import Example, Sentence, Text
from smaller.encoders import Model, only_teaches
from smaller.encoders.device import device, placed
from smaller.study.halves import halves_of
from smaller.study.rounding import round_weights
from smaller.study.steps import checks
from smaller.study.steps.base import Step, later, text_inputs
from smaller.study.steps.cutting import check_shape, layers_kept, shape_label
from smaller.study.steps.finetuning import FineTune, train_on_labels
from smaller.study.steps.imitation import HIDDEN, LOGITS, Imitation, first_tokens, teacher_logits
from smaller.study.steps.pretraining import SETTINGS, Pretrain, train_on_text
from smaller.study.steps.students import (
    check_tokens,
    check_width,
    drawn,
    student_of,
    tokens_label,
    widened,
    width_label,
    with_own_tokenizer,
    with_own_tokens,
)
from smaller.study.steps.teaching import of_words, what_it_says
from smaller.study.steps.texts import lines_of, rows_of, unknown_share
from smaller.study.training import Objective, Report, ends

_BATCHES = ("batch_size", "max_length", "learning_rate")
MODES = {
    "corpus": {
        field: getattr(Pretrain, field) for field in (*_BATCHES, "corpus", "languages", "updates", "rate", "lines")
    },
    "task": {field: getattr(FineTune, field) for field in (*_BATCHES, "epochs", "warm_up")}
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

    `Distil.on_text` is task-agnostic (`on="corpus"`): teacher and student are masked-language models, and the student
    guesses hidden tokens as in `Pretrain`. `Distil.on_task` is task-specific (`on="task"`): both are taggers, and
    training goes over labelled sentences as in `FineTune`. Those two say which fields there are in which mode; a field
    that is None takes its mode's default (`MODES`), and one of the other mode is refused.

    The student of a task has its teacher's labels, in their order: data are matched with them by name.

    The loss is the weighted sum of four: `logits` ("kl" at `temperature`, times its square, or "mse") at the masked
    tokens or first tokens of words, the true `labels` there, `hidden` ("cosine" or "mse") between each layer and the
    one that it was mapped to, and the attention relations of both last layers (MiniLMv2, with the least number of
    relation heads that splits no head of either model). The two equal weights are paper 2's (its section 3).

    A student may be narrower: `hidden_size` wide, reached by `width_by` as in `TruncateHidden` with a look at what it
    is trained on, and with only the `feed_forward` neurons of greatest magnitude. Hidden states of unequal width are
    compared through a linear map that is learned beside the student and thrown away (see `students.widened`).

    A student of a task may have tokens of its own, fewer ones from the beginning: so many `tokens`, or those that cover
    a share (`coverage`) of what it is taught on. They are the teacher's most frequent ones (`tokens_by="frequency"`),
    or a Unigram vocabulary that is learned from that text ("learning"), whose rows begin as the mean of the teacher's
    tokens that spell each. Student and teacher then read words by their own tokenizers, and the teacher tells what it
    makes of each word: of the losses there are `logits` by "kl", and `labels`.

    A student of a task that is to be held in few `bits` learns with weights that are rounded to so many, as by `Round`
    (see `rounding.Rounding`), and leaves with them: a format of as many bits changes nothing more.
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
    tokens: int | None = later(None)
    coverage: float | None = later(None)
    tokens_by: str = later("frequency")
    bits: int | None = later(None)

    trains: ClassVar[bool] = True
    technique: ClassVar[str] = "distilled"

    @classmethod
    def on_text(
        cls, corpus: str, languages: Sequence[str], *, layers: int, mask_rate: float = Pretrain.rate, **others: Any
    ) -> Distil:
        """Task-agnostic: the student guesses a share `mask_rate` of the tokens of a text, as its teacher would.

        `others` are `updates`, the `lines` of each language that are read, evenly spread (0 is all), and the fields of
        the batches (`batch_size`, `max_length`, `learning_rate`), of the shape and the losses, and the `seed`.
        """
        return cls(layers, on="corpus", corpus=corpus, languages=languages, rate=mask_rate, **others)

    @classmethod
    def on_task(
        cls, dataset: Any, language: str, *, layers: int, unlabelled: tuple[str, int] = ("", 0), **others: Any
    ) -> Distil:
        """Task-specific: the student labels the training sentences of a data set as its teacher would.

        `unlabelled` is a corpus, and how many of its lines of each language are sentences without labels beside those.
        `others` are `epochs`, `warm_up`, and as in `on_text` those of batches, shape and losses, and the `seed`.
        """
        transfer = dict(zip(("transfer_corpus", "transfer_lines"), unlabelled, strict=True))
        return cls(layers, on="task", dataset=dataset, language=language, **transfer, **others)

    def __post_init__(self) -> None:
        check_shape(self)
        check_width(self)
        for field, choices in (("on", tuple(MODES)), ("logits", LOGITS), ("hidden", HIDDEN)):
            require_choice(self, field, choices)
        self._check_losses()
        self._fill_mode()
        require_counts(self, "seed", "batch_size", "max_length")
        require_small(self, "learning_rate")
        require(self.on == "task" or not self.own_tokens, "Distil(on='corpus') takes no tokens and no coverage.")
        require(
            self.bits is None or (self.on == "task" and is_count(self.bits) and 2 <= self.bits <= 8),
            f"Distil's bits is a whole number from 2 to 8, of a student of a task; it is {self.bits!r}.",
        )
        if self.on == "corpus":
            checks.require_languages(self)
            require_counts(self, "updates")
            require_counts(self, "lines", least=0)
            require_small(self, "rate")
        else:
            self._check_task()

    def _check_losses(self) -> None:
        require_number(self, "temperature", lambda value: 0 < value < math.inf, "a number above zero")
        for name in LOSSES:
            require_number(self, f"{name}_weight", lambda value: 0 <= value < math.inf, "a number of at least 0")
        require(bool(self.weights), "All weights of Distil's losses are zero, so there is nothing to learn.")
        for field, used, why in (
            ("temperature", self.logits_weight > 0 and self.logits == "kl", 'is used only by the logits\' "kl"'),
            ("logits", self.logits_weight > 0, "is used only with a logits_weight above 0"),
            ("hidden", self.hidden_weight > 0, "is used only with a hidden_weight above 0"),
        ):
            default = getattr(Distil, field)
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
        checks.require_labelled(self)
        require_counts(self, "epochs")
        require_counts(self, "transfer_lines", least=0)
        require_share(self, "warm_up")
        check_tokens(self)
        require(
            bool(self.transfer_corpus) == bool(self.transfer_lines),
            "Distil's transfer_corpus names a text and transfer_lines the number of its lines, both or neither; "
            f"they are {self.transfer_corpus!r} and {self.transfer_lines!r}.",
        )
        for language in self.language.split("+") if self.transfer_corpus else ():
            splits.check_text(self.transfer_corpus, language)

    @property
    def needs_classifier(self) -> bool:
        return self.on == "task"

    @property
    def own_tokens(self) -> bool:
        """Whether the student reads by a vocabulary of its own."""
        return self.tokens is not None or self.coverage is not None

    @property
    def weights(self) -> dict[str, float]:
        """The losses that count, by name, with their weights."""
        return {name: weight for name in LOSSES if (weight := getattr(self, f"{name}_weight")) > 0}

    @property
    def label(self) -> str:
        place = f"{self.dataset}/{self.language}" if self.on == "task" else f"{self.corpus}/{'+'.join(self.languages)}"
        transfer = f" + {self.transfer_lines} lines" if self.transfer_lines else ""
        temperature = f"T {self.temperature:g}" if self.logits == "kl" else self.logits
        losses = [
            f"{name} {weight:g}"
            for name in LOSSES
            if (weight := getattr(self, f"{name}_weight")) != getattr(Distil, f"{name}_weight")
        ]
        shape = [*shape_label(self), *width_label(self), *tokens_label(self)]
        shape += [f"{self.bits} bits"] if self.bits else []
        return f"Distil({', '.join([*shape, place + transfer, temperature, *losses])}, seed {self.seed})"

    def columns(self) -> dict[str, Any]:
        temperature = self.temperature if self.logits == "kl" and self.logits_weight else math.nan
        said = {"on": self.on, "temperature": temperature, "start": self.start, "layer_map": str(self.layer_map)}
        return said | ({"method": self.width_by} if self.hidden_size is not None else {})

    @property
    def takes_any_architecture(self) -> bool:
        return self.start == "random" and self.own_tokens

    def resize(self, shape: dict[str, int]) -> dict[str, int]:
        given = {"heads": self.heads, "hidden": self.hidden_size, "feed_forward": self.feed_forward}
        given["vocabulary"] = self.tokens and min(self.tokens, shape["vocabulary"])
        return shape | {"layers": self.layers} | {name: size for name, size in given.items() if size is not None}

    def inputs(self) -> dict[str, str]:
        return super().inputs() | text_inputs(self.transfer_corpus, (self.language or "").split("+"))

    def apply(self, model: Model, **run: Any) -> tuple[Model, dict]:
        """The student; the report gives the losses by name, at the beginning and at the end."""
        if self.on == "task":
            self._check_labels(model)
        taught_on = self.taught_on(model) if self.on == "task" else []
        layer_map, student, basis = self._student(model, taught_on)
        teacher = placed(model.network)
        with widened(student.network, basis if self.hidden_weight else None) as projection, halves_of(teacher):
            imitation = Imitation(
                teacher=teacher,
                weights=self.weights,
                kinds={"logits": self.logits, "hidden": self.hidden},
                temperature=self.temperature,
                layer_map=layer_map,
                relation_heads=self._relation_heads(model, student),
                projection=projection,
            )
            if self.on == "task":
                report, about = self._learn_task(model, student, imitation, taught_on, **run)
            else:
                report, about = train_on_text(self, student, imitation, warm_up=self.updates // 10, **SETTINGS, **run)
        curves = zip(self.weights.items(), zip(*report.terms, strict=True), strict=True)
        losses = {
            name: {end: round(value / weight, 4) for end, value in ends(curve).items()}
            for (name, weight), curve in curves
        }
        return student, report.as_record() | about | {"losses": losses, "layer_map": list(layer_map)}

    def untaught(self, model: Model) -> Model:
        """The student as it is before it learns: its shape, its tokenizer, and the weights that it begins with."""
        return self._student(model, self.taught_on(model))[1]

    def with_its_tokens(self, model: Model) -> Model:
        """The teacher's network with the student's own tokens."""
        return with_own_tokens(self, model, self.taught_on(model))

    def _student(self, model: Model, taught_on: list[Example]) -> tuple[tuple[int, ...], Model, Tensor | None]:
        """Which layers of the teacher it has, the student, and the basis of its hidden states if it is narrower."""
        if only_teaches(model):
            return (), drawn(self, model, with_own_tokenizer(self, model, taught_on)), None
        layer_map = layers_kept(self.layer_map, layers=self.layers, of=model.network.config.num_hidden_layers)
        if self.own_tokens:
            model = with_own_tokens(self, model, taught_on)
        return layer_map, *student_of(self, model, layer_map, self._examples(model))

    def taught_on(self, model: Model) -> list[Example]:
        """The sentences that it is taught on, with labels and without."""
        return [*self._sentences(model), *self._unlabelled(model)]

    def _sentences(self, model: Model) -> list[Example]:
        given = splits.sentences(self.dataset, self.language, "train")
        return checks.as_taught(given, model.labels) if splits.task(self.dataset).spans else given

    def _examples(self, model: Model) -> list[Tensor]:
        """What a width that is not sliced looks at."""
        if self.width_by == "slice":
            return []
        if self.on == "corpus":
            return rows_of(self.corpus, self.languages, model.tokenizer, limit=EXAMPLES)
        sentences = self._sentences(model)
        return self._encode(sentences[:: -(-len(sentences) // EXAMPLES)], model).pieces

    def _encode(self, sentences: Sequence[Example], model: Model) -> Encoded:
        return encode(sentences, model.tokenizer, model.labels, max_length=self.max_length)

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

    def _check_labels(self, model: Model) -> None:
        occurring = checks.labels_in(self.dataset, self.language, "train", taught_by=model.labels)
        absent = sorted(occurring - set(model.labels))
        require(
            not absent,
            f"The teacher's labels are {', '.join(model.labels)}, and {', '.join(absent)} occur in {self.dataset}/"
            f"{self.language} besides: it cannot teach what it does not know.",
        )

    def _learn_task(
        self, model: Model, student: Model, imitation: Imitation, taught_on: list[Example], **run: Any
    ) -> tuple[Report, dict]:
        encoded = self._encode(taught_on, student)
        alone = self._logits_alone
        imitation = dataclasses.replace(imitation, places=lambda batch: first_tokens(encoded, batch.rows))
        if alone and self.own_tokens:
            read, targets = of_words(what_it_says(model, taught_on, say=run.get("say", silent)), encoded)
            places = {"places": lambda batch: pad([read[row] for row in batch.rows], value=False)}
            imitation = dataclasses.replace(imitation, targets=targets, **places)
        elif alone:
            imitation = dataclasses.replace(imitation, targets=teacher_logits(model, encoded))

        def objective(used: Tensor | None) -> Objective:
            return dataclasses.replace(imitation, original=None if used is None else used.to(device()))

        report = train_on_labels(self, student, encoded, objective, bits=self.bits, **run)
        if self.bits:
            round_weights(student, self.bits)
        return report, {
            "sentences": len(self._sentences(model)),
            "transfer_sentences": len(encoded) - len(self._sentences(model)),
            "truncated_words": encoded.truncated_words,
            "words_without_pieces": encoded.words_without_pieces,
            "unknown_rate": unknown_share(encoded.pieces, student.tokenizer),
        }

    @property
    def _logits_alone(self) -> bool:
        """Whether all that the teacher gives is what it says of words, which it can say beforehand."""
        return bool(set(self.weights) <= {"logits", "labels"} and self.logits_weight)

    def read_beforehand(self, model: Model, *, say: Say = silent) -> None:
        """Have the teacher read what its students learn on, where that is kept for all of them."""
        if self.on == "task" and self.own_tokens and self._logits_alone:
            what_it_says(model, self.taught_on(model), say=say)

    def _unlabelled(self, model: Model) -> list[Example]:
        """Lines of text with a label that no label set has: the teacher's logits are all that they teach."""
        lines = []
        for language in self.language.split("+") if self.transfer_corpus else ():
            rows_of(self.transfer_corpus, [language], model.tokenizer, limit=self.transfer_lines)  # the text's errors
            lines += lines_of(self.transfer_corpus, language, limit=self.transfer_lines)
        if model.unit == "text":
            return [Text(line, "") for line in lines if line.split()]
        return [Sentence(words, ("",) * len(words)) for line in lines if (words := tuple(line.split()))]
