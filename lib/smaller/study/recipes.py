"""A recipe is an encoder and a list of steps; its identity is a hash of both."""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedConfig

from smaller.base import settings
from smaller.base.checks import layers_and_heads as layers_and_heads
from smaller.base.errors import SmallerError, did_you_mean
from smaller.base.paths import REHEARSAL
from smaller.data import sample
from smaller.encoders import canonical, configuration, parameter_count, revision, source
from smaller.study import beginnings
from smaller.study.steps import (
    Cut,
    Distil,
    FineTune,
    Pretrain,
    Prune,
    Quantize,
    Step,
    step_from_canonical,
)
from smaller.study.steps.base import STEPS
from smaller.study.steps.quantization import LOOKING


@dataclass(frozen=True)
class Recipe:
    """Start from an encoder, apply the steps in order. Order is meaning: pruning before or after fine-tuning."""

    encoder: str
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        for step in self.steps:
            if isinstance(step, type):
                raise SmallerError(f"{step.__name__} is a kind of step; give its parameters: {step.__name__}(...).")
            if callable(getattr(step, "apply", None)) and not isinstance(step, Step):
                kind = type(step).__name__
                raise SmallerError(f"{kind} has a method apply and is no step: write class {kind}(Step).")
            if not isinstance(step, Step):
                raise SmallerError(
                    f"The steps of a recipe are {', '.join(STEPS)}, each with its parameters; "
                    f"{step!r} is none of them.{did_you_mean(step, STEPS)}"
                )
            if type(step).apply is Step.apply:
                step.apply(None)  # which says what is missing
        for before, after in itertools.pairwise(self.steps):
            if isinstance(before, Quantize):
                raise SmallerError(f"{before.label} comes last in a recipe, and {after.label} follows it.")

    def then(self, *steps: Step) -> Recipe:
        """This recipe with further steps at its end."""
        return Recipe(self.encoder, (*self.steps, *steps))

    def canonical(self) -> dict:
        """The recipe as plain JSON values."""
        return {"encoder": self.encoder, "steps": [step.canonical() for step in self.steps]}

    @property
    def identity(self) -> str:
        """Sixteen hexadecimal digits that stand for the encoder and the steps."""
        return hashlib.sha256(canonical(self.canonical()).encode()).hexdigest()[:16]

    def inputs(self) -> dict[str, str]:
        """Checksums of all that the recipe reads: the encoder's revision, or what made it, and each step's data.

        A rehearsal is among them: what it trained and recorded is valid in no study, and a study's in no rehearsal.
        """
        made = self.beginning
        found = made.inputs() if made else {}
        found[f"encoder/{self.encoder}"] = f"recipe:{made.identity}" if made else revision(self.encoder)
        for step in self.steps:
            found |= step.inputs()
        few = settings.rehearsed_updates()
        return found | {REHEARSAL: f"{few} updates at most"} if few else found

    def prefixes(self) -> Iterator[Recipe]:
        """The recipe itself and every shorter one that it begins with, longest first, down to the bare encoder.

        An encoder that is made from another goes on with the recipe that makes it.
        """
        for length in range(len(self.steps), -1, -1):
            yield Recipe(self.encoder, self.steps[:length])
        if self.beginning:
            yield from self.beginning.prefixes()

    @property
    def beginning(self) -> Recipe | None:
        """The recipe that makes the encoder, where it is made from another one (see `beginnings`)."""
        made = beginnings.recipe_of(self.encoder)
        return Recipe(*made) if made else None

    def trained_prefix(self) -> Recipe:
        """The longest prefix that ends in a step that trains, or makes an encoder; what follows is cheap to apply."""
        whole = list(self.prefixes())
        return next((prefix for prefix in whole if prefix.steps and prefix._kept), whole[-1])

    @property
    def _kept(self) -> bool:
        return self.steps[-1].trains or (self.encoder, self.steps) in beginnings.BEGINNINGS.values()

    def after(self, prefix: Recipe) -> tuple[Step, ...]:
        """The steps that follow one of the recipe's prefixes."""
        return self._from_the_start()[len(prefix._from_the_start()) :]

    def _from_the_start(self) -> tuple[Step, ...]:
        return (*(self.beginning._from_the_start() if self.beginning else ()), *self.steps)

    @property
    def fine_tuning(self) -> FineTune | None:
        """The last fine-tuning step, which names the task, the language and the seed; None if there is none."""
        return next((step for step in reversed(self.steps) if isinstance(step, FineTune)), None)

    @property
    def label(self) -> str:
        """The recipe in one line, such as "mini-base: Prune(0.6) > FineTune(masakhaner/swa, seed 1)"."""
        return f"{self.encoder}: " + (" > ".join(step.label for step in self.steps) or "as it is")

    def __str__(self) -> str:
        return self.label


def recipe_from_canonical(form: dict) -> Recipe:
    """The recipe that a canonical form describes."""
    return Recipe(form["encoder"], tuple(step_from_canonical(step) for step in form["steps"]))


def start(encoder: str) -> Recipe:
    """The recipe that gives a pre-trained encoder: no step, or a `Pretrain` step where there are no weights yet."""
    found = source(encoder)
    return Recipe(encoder) if isinstance(found, Path) or found.pretrained else Recipe(encoder, (Pretrain(),))


def dense(encoder: str, fine_tuning: FineTune) -> Recipe:
    """Fine-tuning alone."""
    return start(encoder).then(fine_tuning)


def pruned_before(encoder: str, pruning: Prune, fine_tuning: FineTune) -> Recipe:
    """Pruning, then fine-tuning under the mask (paper 1, section 3)."""
    return start(encoder).then(pruning, fine_tuning)


def pruned_after(encoder: str, pruning: Prune, fine_tuning: FineTune) -> Recipe:
    """Fine-tuning, then one-shot pruning with no further training (paper 1, section 3)."""
    return start(encoder).then(fine_tuning, pruning)


def pruning_grid(encoder: str, fine_tunings: Sequence[FineTune], sparsities: Sequence[float]) -> list[Recipe]:
    """The dense recipe and both orders at every sparsity above zero, for each fine-tuning."""
    return [dense(encoder, fine_tuning) for fine_tuning in fine_tunings] + [
        order(encoder, Prune(sparsity), fine_tuning)
        for order in (pruned_after, pruned_before)
        for fine_tuning in fine_tunings
        for sparsity in sparsities
        if sparsity > 0
    ]


def quantized(encoder: str, fine_tuning: FineTune, form: str, **options: object) -> Recipe:
    """Fine-tuning, then quantization; a format that looks at sentences takes the fine-tuning's (paper 1, section 3)."""
    data = {"dataset": fine_tuning.dataset, "language": fine_tuning.language} if form in LOOKING else {}
    return start(encoder).then(fine_tuning, Quantize(form, **data, **options))


def distilled_on_corpus(encoder: str, distillation: Distil, fine_tuning: FineTune) -> Recipe:
    """Task-agnostic: a student imitates the encoder on unlabelled text, and is fine-tuned (paper 1, section 3)."""
    return start(encoder).then(distillation, fine_tuning)


def distilled_for_task(encoder: str, fine_tuning: FineTune, distillation: Distil) -> Recipe:
    """Task-specific: the encoder is fine-tuned, and a student imitates the tagger (paper 1, section 3)."""
    return start(encoder).then(fine_tuning, distillation)


def imitation(fine_tuning: FineTune, layers: int, heads: int | None = None, **changes: object) -> Distil:
    """Task distillation to some layers and heads, with the data, settings and seed of the teacher's fine-tuning."""
    same = ("dataset", "language", "seed", "epochs", "learning_rate", "batch_size", "max_length", "warm_up")
    given = {field: getattr(fine_tuning, field) for field in same} | changes
    return Distil(layers, heads, on="task", **given)


def cut_then_tuned(encoder: str, cut: Cut, fine_tuning: FineTune) -> Recipe:
    """The control with no teacher at all: layers are dropped, and the rest is fine-tuned (Sajjad et al. 2023)."""
    return start(encoder).then(cut, fine_tuning)


def cut_then_pretrained(encoder: str, cut: Cut, pretraining: Pretrain, fine_tuning: FineTune) -> Recipe:
    """The control for the teacher alone: layers are dropped, and the rest goes on with plain pre-training.

    With the text, updates, rates and seed of a distillation it sees the very same batches; only the teacher's logits
    are missing.
    """
    return start(encoder).then(cut, pretraining, fine_tuning)


def from_scratch(encoder: str, shape: Cut, pretraining: Pretrain, fine_tuning: FineTune) -> Recipe:
    """The control of equal shape: the encoder's tokenizer and width, the layers and heads of `shape`, random weights.

    AfriBERTa's own sizes are made so (Ogueji et al. 2021), and paper 1 lacks the comparison.
    """
    random = Cut(shape.layers, shape.heads, start="random", seed=pretraining.seed)
    return Recipe(encoder, (random, pretraining, fine_tuning))


def starting_configuration(encoder: str) -> PreTrainedConfig:
    """The configuration of an encoder's masked-language model; reads no weights."""
    found = source(encoder)
    if isinstance(found, Path):
        return AutoConfig.from_pretrained(found, local_files_only=True)
    return configuration(found, vocabulary=found.vocabulary or sample.VOCABULARY)


_FIELDS = {
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "hidden": "hidden_size",
    "feed_forward": "intermediate_size",
    "vocabulary": "vocab_size",
}


def shapes(config: PreTrainedConfig, steps: Sequence[Step]) -> list[dict[str, int]]:
    """The shape at first and after each step, from the configuration and the steps' fields alone.

    Raises SmallerError for a step that asks for more than the model before it has, or for a width that the heads do
    not divide.
    """
    found = [{name: getattr(config, field) for name, field in _FIELDS.items()}]
    for step in steps:
        before, after = found[-1], step.resize(found[-1])
        for field in ("layers", "feed_forward", "hidden"):
            if after[field] > before[field]:
                raise SmallerError(
                    f"{step.label} asks for {after[field]:,} {_NAMES[field]}, and the model before it has "
                    f"{before[field]:,}."
                )
        if after["hidden"] % after["heads"]:
            raise SmallerError(f"{step.label}: {after['heads']} heads do not divide a width of {after['hidden']}.")
        found.append(after)
    return found


_NAMES = {"layers": "layers", "feed_forward": "neurons in each layer", "hidden": "dimensions of its hidden states"}


def require_possible(recipes: Iterable[Recipe]) -> None:
    """Raise SmallerError, before anything is loaded, for a recipe with a step that cannot be taken (see `shapes`)."""
    recipes = list(recipes)
    configurations = {name: starting_configuration(name) for name in {recipe.encoder for recipe in recipes}}
    for recipe in recipes:
        shapes(configurations[recipe.encoder], recipe.steps)


def parameters_of(config: PreTrainedConfig, shape: Mapping[str, int]) -> int:
    """The parameters of a masked-language model of the configuration, changed to a shape; no weights are held."""
    changed = copy.deepcopy(config)
    for name, field in _FIELDS.items():
        setattr(changed, field, shape[name])
    changed.num_attention_heads = 1  # which has no part in the count, and divides every width
    with torch.device("meta"):
        return parameter_count(AutoModelForMaskedLM.from_config(changed))
