"""A recipe is an encoder and a list of steps; its identity is a hash of both."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedConfig

from smaller.base.errors import SmallerError, did_you_mean
from smaller.data import sample
from smaller.encoders import canonical, configuration, parameter_count, revision, source
from smaller.study import beginnings
from smaller.study.steps import (
    Adapt,
    Cut,
    Distil,
    FineTune,
    Pretrain,
    Prune,
    PruneFeedForward,
    PruneHeads,
    Quantize,
    Step,
    TrimVocabulary,
    TruncateHidden,
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
            if not isinstance(step, Step):
                raise SmallerError(
                    f"The steps of a recipe are {', '.join(STEPS)}, each with its parameters; "
                    f"{step!r} is none of them.{did_you_mean(step, STEPS)}"
                )
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
        """Checksums of all that the recipe reads: the encoder's revision and each step's data.

        Of an encoder that is made from another, it is what made it, and all that was read for it.
        """
        made = self.beginning
        found = made.inputs() if made else {}
        found[f"encoder/{self.encoder}"] = f"recipe:{made.identity}" if made else revision(self.encoder)
        for step in self.steps:
            found |= step.inputs()
        return found

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


def quantized(encoder: str, fine_tuning: FineTune, form: str, **options: object) -> Recipe:
    """Fine-tuning, then quantization; a form that looks at sentences takes the fine-tuning's (paper 1, section 3)."""
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

    Raises SmallerError for a distillation on a task.
    """
    if distillation.on != "corpus":
        raise SmallerError(
            f"Plain pre-training takes the batches of a distillation on a corpus; {distillation.label} is on a task."
        )
    return Pretrain(**{field.name: getattr(distillation, field.name) for field in dataclasses.fields(Pretrain)})


Stages = Mapping[str, tuple[Step, ...]]
"""A pipeline before fine-tuning: the steps that each stage adds to those before it, by the stage's name."""

DENSE, ADAPTED, SHALLOWER, FEWER_NEURONS, NARROWER, TRIMMED, CLOSED = (
    "dense",
    "adapted",
    "fewer layers",
    "fewer neurons",
    "narrower",
    "fewer pieces",
    "quantized",
)
"""The stages of the second paper's pipeline, in its order, with fine-tuning alone before and quantization after it."""


def second_paper(
    adapt: Adapt | None,
    distil: Distil,
    *,
    heads: int,
    feed_forward: int,
    hidden: int,
    vocabulary: int,
    width_by: str = "slice",
) -> dict[str, tuple[Step, ...]]:
    """The pipeline of paper 2 (its section 3): adapt, halve the layers, drop neurons, narrow, trim the pieces.

    `distil` is its first distillation, which says how many layers are left, which, by what loss and on what text; the
    second differs from it in its teacher, the model with fewer neurons, and in its student's `hidden` size. `heads` is
    the number of heads, which are put in order of importance before a leading slice is taken. Paper 2's own values:
    2,048 neurons, a width of 564, 456 or 312, and 40,000 pieces; the last layers of mBERT and every second one of XLM-R
    from the first; the logits' mean squared error at a weight of 0.5, batches of 8 lines, a learning rate of 5e-5.
    """
    text = {"corpus": distil.corpus, "languages": distil.languages}
    return {
        **({ADAPTED: (adapt,)} if adapt is not None else {}),
        SHALLOWER: (distil,),
        FEWER_NEURONS: (PruneHeads(heads, **text), PruneFeedForward(feed_forward, **text)),
        NARROWER: (dataclasses.replace(distil, layer_map="stride", hidden_size=hidden, width_by=width_by),),
        TRIMMED: (TrimVocabulary(vocabulary, lines=distil.lines, **text),),
    }


def pipeline(encoder: str, stages: Stages, fine_tuning: FineTune, closing: Sequence[Step] = ()) -> dict[str, Recipe]:
    """Every intermediate of a pipeline, fine-tuned: the dense encoder, each stage, and the last one after `closing`.

    Each is a prefix of the next but for the fine-tuning, so what comes before a stage is trained once.
    """
    here = start(encoder)
    recipes = {DENSE: here.then(fine_tuning)}
    for name, steps in stages.items():
        here = here.then(*steps)
        recipes[name] = here.then(fine_tuning)
    if closing:
        recipes[CLOSED] = here.then(fine_tuning, *closing)
    return recipes


def reordered(stages: Stages, *names: str) -> dict[str, tuple[Step, ...]]:
    """The pipeline with the named stages alone, in their order. Raises SmallerError for an unknown name."""
    for name in names:
        if name not in stages:
            raise SmallerError(
                f"The pipeline has no stage {name!r}; it has {', '.join(stages)}.{did_you_mean(name, stages)}"
            )
    return {name: stages[name] for name in names}


def varied(stages: Stages, kind: type[Step], **fields: object) -> dict[str, tuple[Step, ...]]:
    """The pipeline with other values for some fields of every step of a kind."""
    return {
        name: tuple(dataclasses.replace(step, **fields) if isinstance(step, kind) else step for step in steps)
        for name, steps in stages.items()
    }


def ablations(stages: Stages) -> dict[str, dict[str, tuple[Step, ...]]]:
    """Variants of `second_paper` that change one thing, by the question that each answers (paper 2, section 4).

    The question about adaptation is left out where no stage adapts.
    """
    (first,), (second,) = stages[SHALLOWER], stages[NARROWER]
    names = list(stages)
    text = {"corpus": first.corpus, "languages": first.languages}
    loss = {"logits": "kl"} if first.logits == "mse" else {"logits": "mse", "temperature": 2.0}
    plain = {
        "logits": "kl",
        "temperature": 2.0,
        "logits_weight": 0.0,
        "labels_weight": 1.0,
        "hidden": "cosine",
        "hidden_weight": 0.0,
        "attention_weight": 0.0,
    }
    random = {"start": "random", "layer_map": "stride", "width_by": "slice"}
    at_once = dataclasses.replace(second, layer_map=first.layer_map, feed_forward=stages[FEWER_NEURONS][-1].size)
    looking = {"by": second.width_by, **text} if second.width_by != "slice" else {}
    untaught = TruncateHidden(second.hidden_size, **looking)
    found = {
        f"Is {loss['logits'].upper()} the better loss?": varied(stages, Distil, **loss),
        "Does a teacher help, beside plain training?": varied(stages, Distil, **plain),
        "Does the teacher's start help the students?": varied(stages, Distil, **random),
        "Does a second distillation help, beside one to the last shape?": {
            **{name: stages[name] for name in names if name == ADAPTED},
            NARROWER: (stages[FEWER_NEURONS][0], at_once),
            TRIMMED: stages[TRIMMED],
        },
        "Does the narrower model need to be taught?": stages | {NARROWER: (untaught,)},
        "Do four times the updates of distillation help?": varied(stages, Distil, updates=4 * first.updates),
        "Is it better to trim the pieces first?": reordered(
            stages, *(name for name in names if name == ADAPTED), TRIMMED, SHALLOWER, FEWER_NEURONS, NARROWER
        ),
    }
    for width_by in ("slice", "importance", "projection"):
        if width_by != second.width_by:
            narrower = (dataclasses.replace(second, width_by=width_by),)
            found[f"Is width by {width_by} better than by {second.width_by}?"] = stages | {NARROWER: narrower}
    if ADAPTED in stages:
        found["Does it help to adapt the teacher?"] = reordered(stages, *(name for name in names if name != ADAPTED))
    return found


def starting_configuration(encoder: str) -> PreTrainedConfig:
    """The configuration of an encoder's masked-language model; reads no weights."""
    found = source(encoder)
    if isinstance(found, Path):
        return AutoConfig.from_pretrained(found, local_files_only=True)
    return configuration(found, vocabulary=found.vocabulary or len(sample.tokenizer()))


_FIELDS = {
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "hidden": "hidden_size",
    "feed_forward": "intermediate_size",
    "vocabulary": "vocab_size",
}


def sizes(config: PreTrainedConfig, steps: Sequence[Step]) -> list[dict[str, int]]:
    """The shape, and the parameters of the masked-language model of that shape, at first and after each step.

    From the configuration and the steps' fields alone: no weights are read, drawn or held.
    """
    shape = {name: getattr(config, field) for name, field in _FIELDS.items()}
    found = []
    for here in itertools.accumulate(steps, lambda before, step: step.resize(before), initial=shape):
        changed = copy.deepcopy(config)
        for name, field in _FIELDS.items():
            setattr(changed, field, here[name])
        changed.num_attention_heads = 1  # which has no part in the count, and divides every width
        with torch.device("meta"):
            network = AutoModelForMaskedLM.from_config(changed)
        found.append(here | {"parameters": parameter_count(network)})
    return found
