"""The second paper's pipeline (arXiv 2505.16956, section 3), its variants, and students of the shape that it has."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping

from smaller.base.checks import require_one_of
from smaller.base.errors import SmallerError
from smaller.data import splits
from smaller.study.recipes import Recipe, imitation, start, starting_configuration
from smaller.study.steps import (
    Adapt,
    Cut,
    Distil,
    FineTune,
    PruneFeedForward,
    PruneHeads,
    Quantize,
    Step,
    TrimVocabulary,
    TruncateHidden,
)

Stages = Mapping[str, tuple[Step, ...]]
"""A pipeline before fine-tuning: the steps that each stage adds to those before it, by the stage's name."""

Groups = dict[tuple[str, str], list[Recipe]]
"""Recipes by family and stage, as `study.run` takes them."""

DENSE, ADAPTED, SHALLOWER, FEWER_NEURONS, NARROWER, TRIMMED, CLOSED = (
    "dense",
    "adapted",
    "fewer layers",
    "fewer neurons",
    "narrower",
    "fewer tokens",
    "quantized",
)
"""The stages of the second paper's pipeline, in its order, with fine-tuning alone before and quantization after it."""

LAYER_MAPS = {"xlm-r-base": (0, 2, 4, 6, 8, 10), "mbert": (6, 7, 8, 9, 10, 11)}
"""The six layers that the paper keeps of its encoders. Of other encoders, and for other numbers, they lie evenly."""

UNTAUGHT_KINDS = ("labels alone", "no teacher", "random weights")
"""Models without a teacher: the same student trained on the labels alone, the encoder cut to the same shape and
fine-tuned, and a model of the same shape with random weights at first."""

QUESTIONS = {
    "kl": "Is KL divergence the better loss?",
    "no-teacher": "Does a teacher help, beside plain training?",
    "random-start": "Does the teacher's start help the students?",
    "one-distillation": "Does a second distillation help, beside one to the last shape?",
    "narrow-untaught": "Does the narrower model need to be taught?",
    "updates-x4": "Do four times the updates of distillation help?",
    "trim-first": "Is it better to trim the tokens first?",
    "slice": "Is it better to keep the first dimensions of the hidden states?",
    "importance": "Is it better to keep the most important dimensions of the hidden states?",
    "projection": "Is it better to project the hidden states?",
    "no-adaptation": "Does it help to adapt the teacher?",
}
"""What each variant of the pipeline asks (paper 2, section 4); each changes one thing."""


def second_paper(
    encoder: str,
    language: str,
    shape: Mapping[str, int | str],
    *,
    corpus: str,
    text: Mapping[str, float],
    adaptation: Mapping[str, float],
) -> dict[str, tuple[Step, ...]]:
    """The pipeline of paper 2: adapt, halve the layers, drop neurons, narrow, trim the vocabulary, on one language.

    `shape` has `layers`, `feed_forward`, `hidden_size`, `width_by` and `vocabulary`; in the paper six layers, 2,048
    neurons, a width of 564, 456 or 312 by slice, and 40,000 tokens. `text` holds the fields of both distillations on
    the `corpus` (`updates`, `batch_size`, `learning_rate`, `max_length`, `rate`, `lines`), `adaptation` those in which
    the adaptation differs from them; if it is empty, nothing is adapted. The teacher of the second distillation is the
    model with fewer neurons.
    """
    own = {"corpus": corpus, "languages": (language,)}
    kept = LAYER_MAPS.get(encoder, ())
    layer_map = kept if len(kept) == shape["layers"] else "stride"
    distil = Distil(shape["layers"], layer_map=layer_map, logits="mse", **own, **text)
    narrow = {"layer_map": "stride", "hidden_size": shape["hidden_size"], "width_by": shape["width_by"]}
    # Heads are put in order of importance, so that a slice of the hidden states begins with the best.
    heads = PruneHeads(starting_configuration(encoder).num_attention_heads, **own)
    adapt = (Adapt(corpus, language, warm_up=0.1, **(text | adaptation)),) if adaptation else ()
    return {
        **({ADAPTED: adapt} if adapt else {}),
        SHALLOWER: (distil,),
        FEWER_NEURONS: (heads, PruneFeedForward(shape["feed_forward"], **own)),
        NARROWER: (dataclasses.replace(distil, **narrow),),
        TRIMMED: (TrimVocabulary(shape["vocabulary"], lines=distil.lines, **own),),
    }


def pipeline(encoder: str, stages: Stages, fine_tuning: FineTune, *, closing: str = "") -> dict[str, Recipe]:
    """Every intermediate of a pipeline, fine-tuned: the dense encoder, each stage, and the last in a `closing` format.

    Each is a prefix of the next but for the fine-tuning, so what comes before a stage is trained once.
    """
    here = start(encoder)
    recipes = {DENSE: here.then(fine_tuning)}
    for name, steps in stages.items():
        here = here.then(*steps)
        recipes[name] = here.then(fine_tuning)
    return recipes | ({CLOSED: here.then(fine_tuning, Quantize(closing))} if closing else {})


def whole(encoder: str, stages: Stages, fine_tuning: FineTune) -> Recipe:
    """All stages of a pipeline, then fine-tuning."""
    return start(encoder).then(*itertools.chain.from_iterable(stages.values()), fine_tuning)


def reordered(stages: Stages, *names: str) -> dict[str, tuple[Step, ...]]:
    """The pipeline with the named stages alone, in their order. Raises SmallerError for an unknown name, or none."""
    if not names:
        raise SmallerError(f"An order of stages is empty: name some of {', '.join(stages)}.")
    for name in names:
        require_one_of(name, stages, "The pipeline has no stage {!r}; it has {}.")
    return {name: stages[name] for name in names}


def varied(stages: Stages, kind: type[Step], **fields: object) -> dict[str, tuple[Step, ...]]:
    """The pipeline with other values for some fields of every step of a kind."""
    return {
        name: tuple(dataclasses.replace(step, **fields) if isinstance(step, kind) else step for step in steps)
        for name, steps in stages.items()
    }


def variants(stages: Stages) -> dict[str, Stages]:
    """The pipelines that change one thing in `second_paper`, by the keys of `QUESTIONS`.

    A way of narrowing that the pipeline has already is left out, and the adaptation where no stage adapts.
    """
    (first,), (order, neurons), (second,) = stages[SHALLOWER], stages[FEWER_NEURONS], stages[NARROWER]
    adapted = [name for name in stages if name == ADAPTED]
    text = {"corpus": first.corpus, "languages": first.languages}
    labels = {"logits": "kl", "temperature": 2.0, "logits_weight": 0.0, "labels_weight": 1.0}
    at_once = dataclasses.replace(second, layer_map=first.layer_map, feed_forward=neurons.size)
    looking = {"by": second.width_by, **text} if second.width_by != "slice" else {}
    found: dict[str, Stages] = {
        "kl": varied(stages, Distil, logits="kl", temperature=2.0),
        "no-teacher": varied(stages, Distil, **labels),
        "random-start": varied(stages, Distil, start="random", layer_map="stride", width_by="slice"),
        "one-distillation": {
            **{name: stages[name] for name in adapted},
            NARROWER: (order, at_once),
            TRIMMED: stages[TRIMMED],
        },
        "narrow-untaught": stages | {NARROWER: (TruncateHidden(second.hidden_size, **looking),)},
        "updates-x4": varied(stages, Distil, updates=4 * first.updates),
        "trim-first": reordered(stages, *adapted, TRIMMED, SHALLOWER, FEWER_NEURONS, NARROWER),
    }
    for width_by in ("slice", "importance", "projection"):
        if width_by != second.width_by:
            found[width_by] = stages | {NARROWER: (dataclasses.replace(second, width_by=width_by),)}
    if adapted:
        found["no-adaptation"] = reordered(stages, *(name for name in stages if name != ADAPTED))
    return found


def variant(stages: Stages, key: str) -> Stages:
    """One of the `variants`. Raises SmallerError for another key."""
    found = variants(stages)
    require_one_of(key, found, "The pipeline has no variant {!r}; it has {}.")
    return found[key]


def taught(
    encoder: str,
    fine_tuning: FineTune,
    shape: Mapping[str, int | str],
    *,
    corpus: str,
    lines: int,
    **teaching: int,
) -> Recipe:
    """A student of a `shape` (see `second_paper`) that is taught on the task, after its vocabulary is trimmed.

    As in XtremeDistil (Mukherjee and Awadallah 2020), the teacher's logits on unlabelled text are what teaches most;
    here in one stage, and with the teacher's own weights as a start. Tokens are counted on `lines` of the `corpus`;
    `teaching` has the `epochs` of the student and the `transfer_lines` of the corpus that it reads.
    """
    trim = TrimVocabulary(shape["vocabulary"], corpus=corpus, languages=(fine_tuning.language,), lines=lines)
    student = imitation(
        fine_tuning,
        shape["layers"],
        starting_configuration(encoder).num_attention_heads,
        **{field: shape[field] for field in ("hidden_size", "feed_forward", "width_by")},
        transfer_corpus=corpus,
        **teaching,
    )
    return start(encoder).then(trim, fine_tuning, student)


def without_teacher(student: Recipe) -> dict[str, Recipe]:
    """Models of the shape of a `taught` student that no teacher teaches, with as many updates, by `UNTAUGHT_KINDS`.

    Unlabelled lines teach nothing without a teacher, so all updates are passes over the labelled sentences. The first
    kind begins where the student begins, the second as the encoder is, cut down; the third draws its weights.
    """
    *_, trim, tuning, step = student.steps
    labelled = len(splits.sentences(step.dataset, step.language, "train"))
    lines = min(step.transfer_lines, len(splits.text(step.transfer_corpus, step.language)))
    passes = max(1, round(step.epochs * (labelled + lines) / labelled))
    labels = {"logits_weight": 0.0, "labels_weight": 1.0, "transfer_corpus": "", "transfer_lines": 0}
    alone = dataclasses.replace(step, epochs=passes, **labels)
    text = {"corpus": trim.corpus, "languages": trim.languages}
    cut = (
        Cut(step.layers),
        PruneFeedForward(step.feed_forward, **text),
        TruncateHidden(step.hidden_size, step.width_by, **(text if step.width_by != "slice" else {})),
    )
    trimmed = start(student.encoder).then(trim)
    ways = (
        trimmed.then(tuning, alone),
        trimmed.then(*cut, dataclasses.replace(tuning, epochs=passes)),
        trimmed.then(tuning, dataclasses.replace(alone, start="random", width_by="slice")),
    )
    return dict(zip(UNTAUGHT_KINDS, ways, strict=True))


def with_adapter(recipe: Recipe, reduction: int, *, learning_rate: float) -> Recipe:
    """A recipe that ends in fine-tuning, with its encoder frozen and an adapter in each layer trained instead.

    `reduction` says how many times narrower than the hidden states the adapters are. Raises SmallerError below 1.
    """
    if reduction < 1:
        raise SmallerError(f"Adapters are so many times narrower than the hidden states: at least 1, not {reduction}.")
    *before, tuning = recipe.steps
    tuning = dataclasses.replace(tuning, adapter=reduction, learning_rate=learning_rate)
    return Recipe(recipe.encoder, (*before, tuning))


def grouped(family: str, found: Iterable[Mapping[str, Recipe]]) -> Groups:
    """Recipes by stage, one mapping for each encoder and fine-tuning, as groups of a family."""
    groups: Groups = {}
    for stage, recipe in itertools.chain.from_iterable(own.items() for own in found):
        groups.setdefault((family, stage), []).append(recipe)
    return groups


def with_closed(groups: Groups, closing: str) -> Groups:
    """Each group, and its recipes in the `closing` format, which trains nothing; with "" the groups alone."""
    found: Groups = {}
    for (family, stage), recipes in groups.items():
        found[family, stage] = recipes
        if closing:
            found[family, f"{stage}, {closing}"] = [recipe.then(Quantize(closing)) for recipe in recipes]
    return found
