"""A recipe is an encoder and a list of steps; its identity is a hash of both."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from smaller.encoders import canonical, revision, source
from smaller.errors import SmallerError, did_you_mean
from smaller.steps import Cut, Distil, FineTune, Pretrain, Prune, Quantize, Step, step_from_canonical
from smaller.steps.base import STEPS


@dataclass(frozen=True)
class Recipe:
    """Start from an encoder, apply the steps in order. Order is meaning: pruning before or after fine-tuning."""

    encoder: str
    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        for step in self.steps:
            if not isinstance(step, Step):
                raise SmallerError(f"The steps of a recipe are {', '.join(STEPS)}, each with its parameters; "
                                   f"{step!r} is none of them.{did_you_mean(step, STEPS)}")  # fmt: skip
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
        """Checksums of all that the recipe reads: the encoder's revision and each step's data."""
        found = {f"encoder/{self.encoder}": revision(self.encoder)}
        for step in self.steps:
            found |= step.inputs()
        return found

    def prefixes(self) -> Iterator[Recipe]:
        """The recipe itself and every shorter one that it begins with, longest first, down to the bare encoder."""
        for length in range(len(self.steps), -1, -1):
            yield Recipe(self.encoder, self.steps[:length])

    def trained_prefix(self) -> Recipe:
        """The longest prefix that ends in a step that trains; what follows it is cheap to apply."""
        return next(prefix for prefix in self.prefixes() if not prefix.steps or prefix.steps[-1].trains)

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


def pruning_grid(
    encoder: str, fine_tunings: Sequence[FineTune], sparsities: Sequence[float], **pruning: object
) -> list[Recipe]:
    """The dense recipe and both orders at every sparsity above zero, for each fine-tuning."""
    recipes = [dense(encoder, fine_tuning) for fine_tuning in fine_tunings]
    for order in (pruned_after, pruned_before):
        recipes += [
            order(encoder, Prune(sparsity, **pruning), fine_tuning)
            for fine_tuning in fine_tunings
            for sparsity in sparsities
            if sparsity > 0
        ]
    return recipes


def distilled_on_corpus(encoder: str, distillation: Distil, fine_tuning: FineTune) -> Recipe:
    """Task-agnostic: a student imitates the encoder on unlabelled text, and is fine-tuned (paper 1, section 3)."""
    return start(encoder).then(distillation, fine_tuning)


def distilled_for_task(encoder: str, fine_tuning: FineTune, distillation: Distil) -> Recipe:
    """Task-specific: the encoder is fine-tuned, and a student imitates the tagger (paper 1, section 3)."""
    return start(encoder).then(fine_tuning, distillation)


def cut_then_tuned(encoder: str, cut: Cut, fine_tuning: FineTune) -> Recipe:
    """The control with no teacher at all: layers are dropped, and the rest is fine-tuned (Sajjad et al. 2023)."""
    return start(encoder).then(cut, fine_tuning)


def cut_then_pretrained(encoder: str, cut: Cut, pretraining: Pretrain, fine_tuning: FineTune) -> Recipe:
    """The control for the teacher alone: layers are dropped, and the rest goes on with plain pre-training.

    With `plain_pretraining` it sees the batches of a distillation; only the teacher's logits are missing.
    """
    return start(encoder).then(cut, pretraining, fine_tuning)


def from_scratch(encoder: str, shape: Cut, pretraining: Pretrain, fine_tuning: FineTune) -> Recipe:
    """The control of equal shape: the encoder's tokenizer and width, the layers and heads of `shape`, random weights.

    AfriBERTa's own sizes are made so (Ogueji et al. 2021), and paper 1 lacks the comparison.
    """
    random = Cut(shape.layers, shape.heads, start="random", seed=pretraining.seed)
    return Recipe(encoder, (random, pretraining, fine_tuning))


def plain_pretraining(distillation: Distil) -> Pretrain:
    """Pre-training on the very batches of a distillation on a corpus: same text, updates, rates and seed.

    Raises SmallerError for a distillation on a task, or on a part of the lines, which `Pretrain` cannot choose.
    """
    if distillation.on != "corpus" or distillation.lines:
        raise SmallerError("Plain pre-training takes the batches of a distillation on a whole corpus, and "
                           f"{distillation.label} is none.")  # fmt: skip
    return Pretrain(**{field.name: getattr(distillation, field.name) for field in dataclasses.fields(Pretrain)})
