"""The recipes of the study of extreme compression, from the parameters of its notebook."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from smaller.analysis.findings.extreme import ORDERS, PIPELINE, SIZES, TAUGHT, UNTAUGHT
from smaller.analysis.findings.extreme_curves import KINDS
from smaller.analysis.findings.words import count_of, names_of, percent
from smaller.data import splits
from smaller.data.sets import UNLABELLED, EvaluationSet
from smaller.notebook.opening import fine_tunings, imitating
from smaller.notebook.parameters import Settings
from smaller.study.recipes import (
    CLOSED,
    DENSE,
    NARROWER,
    TRIMMED,
    Recipe,
    Stages,
    ablations,
    cut_then_tuned,
    dense,
    distilled_for_task,
    imitation,
    pipeline,
    pruned_after,
    reordered,
    second_paper,
    start,
    starting_configuration,
)
from smaller.study.steps import (
    Adapt,
    Cut,
    Distil,
    FineTune,
    Prune,
    PruneFeedForward,
    Quantize,
    TrimVocabulary,
    TruncateHidden,
)

Families = dict[str, dict[str, list[Recipe]]]
"""Recipes by family (the pipeline, or a single technique) and, inside it, by stage."""

FROZEN_STAGES = (DENSE, TRIMMED)
"""The stages on which adapters are tried: the encoder as it was, and the end of the pipeline."""

CHANGES = {
    "layers": lambda number: count_of(number, "layer"),
    "feed_forward": "{:,} neurons".format,
    "hidden_size": "{:,} wide".format,
    "vocabulary": "{:,} tokens".format,
    "corpus_updates": "{:,} updates".format,
}
"""What a combination may change in the pipeline, in words: its sizes, and how long each of its distillations is."""


def languages_of(settings: Settings, dataset: str) -> list[str]:
    """The languages of the settings in which a data set can be trained on."""
    return [language for language in settings.languages if splits.has_training(dataset, language)]


def corpus_of(settings: Settings, language: str) -> str:
    """Where the text of a language comes from."""
    return settings.corpora.get(language, settings.corpus)


def text_amounts(settings: Settings) -> dict[str, int]:
    """How many lines of text there are of each language: what its pipeline reads."""
    return {language: len(splits.text(corpus_of(settings, language), language)) for language in settings.languages}


def measured_on(settings: Settings) -> str:
    """Languages and seeds in words; where tasks differ in their languages, those of each task."""
    seeds = f"{len(settings.seeds)} seed" + "s" * (len(settings.seeds) != 1)
    by_task = {dataset: languages_of(settings, dataset) for dataset in settings.tasks}
    if all(codes == list(settings.languages) for codes in by_task.values()):
        return f"{names_of(settings.languages)}; {seeds}"
    return "; ".join([*(f"{dataset}: {names_of(codes)}" for dataset, codes in by_task.items()), seeds])


def extreme_study(settings: Settings) -> Families:
    """The pipeline's stages, its other sizes and orders, and single techniques, on every task, language and seed.

    Each language has a pipeline of its own, on its own text. Other sizes change one size and nothing else, or those of
    a combination. Every family but the quantized one stands there as it is and closed by quantization.
    """
    found: Families = {PIPELINE: {}}
    for encoder, heads, tuning in _each(settings):
        stages = stages_of(settings, encoder, tuning.language, heads=heads)
        families = {PIPELINE: pipeline(encoder, stages, tuning, _closing(settings))}
        families[SIZES] = _other_sizes(encoder, heads, tuning, settings)
        families[ORDERS] = {
            " > ".join(order): _whole(encoder, reordered(stages, *order), tuning) for order in settings.orders
        }
        families[TAUGHT] = _taught(encoder, heads, tuning, settings)
        families[UNTAUGHT] = _untaught(encoder, heads, tuning, settings)
        for family, own in (families | _singles(encoder, tuning, settings)).items():
            for stage, recipe in (own if family in (PIPELINE, "quantized") else _with_closed(own, settings)).items():
                found.setdefault(family, {}).setdefault(stage, []).append(recipe)
    return found


def variants(settings: Settings) -> dict[str, list[Recipe]]:
    """What each question of the settings changes in the whole pipeline, with the seeds `variant_seeds`."""
    found: dict[str, list[Recipe]] = {}
    for encoder, heads, tuning in _each(settings):
        if tuning.seed in settings.variant_seeds:
            asked = ablations(stages_of(settings, encoder, tuning.language, heads=heads))
            for question in settings.questions:
                found.setdefault(question, []).append(_whole(encoder, asked[question], tuning))
    return found


def with_adapters(settings: Settings) -> dict[str, list[Recipe]]:
    """Adapters of each size in a frozen encoder, by the stage that is frozen, with the seeds `variant_seeds`."""
    found: dict[str, list[Recipe]] = {}
    for encoder, heads, tuning in _each(settings):
        if tuning.seed not in settings.variant_seeds or tuning.dataset not in settings.adapter_tasks:
            continue
        stages = pipeline(encoder, stages_of(settings, encoder, tuning.language, heads=heads), tuning)
        for stage in FROZEN_STAGES:
            before = Recipe(encoder, stages[stage].steps[:-1])
            for factor in settings.adapters:
                own = dataclasses.replace(tuning, adapter=factor, learning_rate=settings.adapter_learning_rate)
                found.setdefault(stage, []).append(before.then(own))
    return found


def untuned(settings: Settings) -> dict[str, dict[str, list[Recipe]]]:
    """The masked-language models of the pipeline by language and stage, one for each encoder.

    They are recipes too: their records hold the learning curves on text, and how well they guess text.
    """
    found: dict[str, dict[str, list[Recipe]]] = {language: {} for language in settings.languages}
    for encoder in settings.encoders:
        heads = starting_configuration(encoder).num_attention_heads
        for language, own in found.items():
            here = start(encoder)
            own.setdefault(DENSE, []).append(here)
            for name, steps in stages_of(settings, encoder, language, heads=heads).items():
                here = here.then(*steps)
                own.setdefault(name, []).append(here)
    return found


def held_out_text(settings: Settings, language: str) -> EvaluationSet:
    """Sentences of a language that no model was trained on: of the test split of its first task, labels unseen."""
    dataset = next(dataset for dataset in settings.tasks if language in languages_of(settings, dataset))
    return EvaluationSet(dataset, language, noise=UNLABELLED, limit=settings.guessed_sentences)


def learning_panels(settings: Settings, families: Families) -> dict[str, dict[str, list[Recipe]]]:
    """Recipes whose learning curves belong together, by panel and series: of the first encoder, language and seed.

    Curves of one panel are of one loss.
    """
    language = settings.languages[0]
    text = {stage: own[:1] for stage, own in untuned(settings)[language].items()}
    trained = {stage: own for stage, own in text.items() if stage != DENSE and own[0].steps[-1].trains}
    adapted = {stage: own for stage, own in trained.items() if isinstance(own[0].steps[-1], Adapt)}
    found = {"Adaptation": adapted} if adapted else {}
    found["Distillation"] = {stage: own for stage, own in trained.items() if stage not in adapted}
    for dataset in settings.tasks:
        if language in languages_of(settings, dataset):
            of_task = {
                stage: [recipe for recipe in own if recipe.fine_tuning.dataset == dataset][:1]
                for stage, own in families[PIPELINE].items()
                if stage != CLOSED
            }
            found[f"Fine-tuning, {dataset}"] = of_task
    return found


def to_time(settings: Settings, families: Families) -> list[Recipe]:
    """What is timed side by side: dense, the pipeline's stages, and all that is closed by quantization.

    The dense model comes first. Of the first encoder, task, language and seed.
    """
    first, closing = tunings(settings)[0], _closing(settings)
    own = [
        recipe
        for family, stages in families.items()
        for recipes in stages.values()
        for recipe in recipes
        if family == PIPELINE or recipe.steps[-1] in closing
    ]
    return [recipe for recipe in own if recipe.fine_tuning == first and recipe.encoder == settings.encoders[0]]


def tunings(settings: Settings) -> list[FineTune]:
    """A fine-tuning for each task, each language that the task has, and seed."""
    made = []
    for dataset in settings.tasks:
        epochs = settings.task_epochs.get(dataset, settings.epochs)
        made += [
            dataclasses.replace(tuning, dataset=dataset, epochs=epochs)
            for tuning in fine_tunings(settings, languages=languages_of(settings, dataset))
        ]
    return made


def vocabulary_stages(settings: Settings) -> list[str]:
    """The stages that differ in the size of their vocabulary alone, the untrimmed one first."""
    return [NARROWER, TRIMMED, *(in_words({"vocabulary": size}) for size in settings.vocabularies[1:])]


def flat(found: Mapping[str, object]) -> list[Recipe]:
    """All recipes of families, or of stages."""
    return [recipe for own in found.values() for recipe in (flat(own) if isinstance(own, Mapping) else own)]


def _each(settings: Settings) -> Iterator[tuple[str, int, FineTune]]:
    """Every encoder with its number of heads, and every fine-tuning."""
    for encoder in settings.encoders:
        heads = starting_configuration(encoder).num_attention_heads
        for tuning in tunings(settings):
            yield encoder, heads, tuning


def in_words(change: Mapping[str, int]) -> str:
    """The sizes that a combination changes, such as "48 wide, 1,500 tokens"."""
    return ", ".join(say(change[field]) for field, say in CHANGES.items() if field in change)


def _sizes(settings: Settings, change: Mapping[str, int]) -> dict[str, int]:
    """The pipeline's sizes, but for those that are changed."""
    return {
        "layers": settings.layers,
        "feed_forward": settings.feed_forward,
        "hidden_size": settings.hidden_sizes[0],
        "vocabulary": settings.vocabularies[0],
        "corpus_updates": settings.corpus_updates,
    } | change


def stages_of(settings: Settings, encoder: str, language: str, *, heads: int, **changes: int) -> Stages:
    """The pipeline for an encoder and a language; `changes` are those of a combination."""
    sizes = _sizes(settings, changes)
    text = {"max_length": settings.corpus_max_length, "rate": settings.corpus_rate, "lines": settings.corpus_lines}
    corpus, adapt = corpus_of(settings, language), None
    if settings.adaptation_updates:
        adapt = Adapt(
            corpus,
            language,
            updates=settings.adaptation_updates,
            warm_up=0.1,
            batch_size=settings.adaptation_batch_size,
            learning_rate=settings.adaptation_learning_rate,
            **text,
        )
    # A map is of the pipeline's own number of layers; a combination may keep fewer.
    chosen = settings.layer_maps.get(encoder, ())
    distil = Distil(
        sizes["layers"],
        corpus=corpus,
        languages=(language,),
        updates=sizes["corpus_updates"],
        layer_map=tuple(chosen) if len(chosen) == sizes["layers"] else "stride",
        logits="mse",
        batch_size=settings.corpus_batch_size,
        learning_rate=settings.corpus_learning_rate,
        **text,
    )
    return second_paper(
        adapt,
        distil,
        heads=heads,
        feed_forward=sizes["feed_forward"],
        hidden=sizes["hidden_size"],
        vocabulary=sizes["vocabulary"],
        width_by=settings.width_by,
    )


def _whole(encoder: str, stages: Stages, tuning: FineTune) -> Recipe:
    return list(pipeline(encoder, stages, tuning).values())[-1]


def _closing(settings: Settings) -> list[Quantize]:
    return [Quantize(settings.closing)] if settings.closing else []


def _with_closed(recipes: Mapping[str, Recipe], settings: Settings) -> dict[str, Recipe]:
    """Each recipe under its name, and closed by quantization; that trains nothing."""
    found = {}
    for name, recipe in recipes.items():
        found |= {name: recipe} | {f"{name}, {step.form}": recipe.then(step) for step in _closing(settings)}
    return found


def _other_sizes(encoder: str, heads: int, tuning: FineTune, settings: Settings) -> dict[str, Recipe]:
    """The whole pipeline at each further width and vocabulary, and each combination, by what is different."""
    changes = [{"hidden_size": size} for size in settings.hidden_sizes[1:]]
    changes += [{"vocabulary": size} for size in settings.vocabularies[1:]]
    stages = {
        in_words(change): stages_of(settings, encoder, tuning.language, heads=heads, **change)
        for change in [*changes, *settings.combinations]
    }
    return {name: _whole(encoder, own, tuning) for name, own in stages.items()}


def _named(kind: str, change: Mapping[str, int]) -> str:
    return ", ".join(filter(None, [kind, in_words(change)]))


def untaught_pairs(settings: Settings) -> dict[str, dict[str, str]]:
    """For each taught student that has controls, their stages by kind, as `findings.extreme_curves.teacher` asks."""
    return {
        _named("taught", change): {kind: _named(kind, change) for kind in KINDS}
        for change in settings.taught[: settings.untaught]
    }


def _student(
    heads: int, tuning: FineTune, settings: Settings, change: Mapping[str, int]
) -> tuple[TrimVocabulary, Distil]:
    """The trimming and the distillation of a student that is taught on the task."""
    corpus, sizes = corpus_of(settings, tuning.language), _sizes(settings, change)
    trim = TrimVocabulary(sizes["vocabulary"], corpus=corpus, languages=(tuning.language,), lines=settings.corpus_lines)
    return trim, imitation(
        tuning,
        sizes["layers"],
        heads,
        hidden_size=sizes["hidden_size"],
        feed_forward=sizes["feed_forward"],
        width_by=settings.width_by,
        epochs=settings.transfer_epochs,
        transfer_corpus=corpus,
        transfer_lines=settings.transfer_lines,
    )


def _taught(encoder: str, heads: int, tuning: FineTune, settings: Settings) -> dict[str, Recipe]:
    """Students of the pipeline's shape, and of changed ones: vocabulary trimmed, fine-tuned, then taught on the task.

    As in XtremeDistil (Mukherjee and Awadallah 2020), the teacher's logits on unlabelled text are what teaches most;
    here in one stage, and with the teacher's own weights, projected, as a start.
    """
    found = {}
    for change in settings.taught:
        trim, student = _student(heads, tuning, settings, change)
        found[_named("taught", change)] = start(encoder).then(trim, tuning, student)
    return found


def _untaught(encoder: str, heads: int, tuning: FineTune, settings: Settings) -> dict[str, Recipe]:
    """Models of a taught student's shape that no teacher teaches, with as many updates: a recipe for each of `KINDS`.

    Unlabelled lines teach nothing without a teacher, so all updates are passes over the labelled sentences. The first
    kind begins where the student begins, the second as the encoder is, cut down; the third draws its weights.
    """
    found = {}
    for change in settings.taught[: settings.untaught] if tuning.seed in settings.untaught_seeds else ():
        trim, student = _student(heads, tuning, settings, change)
        passes = _as_many_updates(student)
        alone = dataclasses.replace(
            student, logits_weight=0.0, labels_weight=1.0, transfer_corpus="", transfer_lines=0, epochs=passes
        )
        text = {"corpus": trim.corpus, "languages": trim.languages}
        looking = text if student.width_by != "slice" else {}
        cut = (
            Cut(student.layers),
            PruneFeedForward(student.feed_forward, **text),
            TruncateHidden(student.hidden_size, student.width_by, **looking),
        )
        whole = start(encoder).then(trim)
        ways = (
            whole.then(tuning, alone),
            whole.then(*cut, dataclasses.replace(tuning, epochs=passes)),
            whole.then(tuning, dataclasses.replace(alone, start="random", width_by="slice")),
        )
        found |= {_named(kind, change): way for kind, way in zip(KINDS, ways, strict=True)}
    return found


def _as_many_updates(student: Distil) -> int:
    """The passes over the labelled sentences alone that take as many updates as a student's over text as well."""
    labelled = len(splits.sentences(student.dataset, student.language, "train"))
    lines = min(student.transfer_lines, len(splits.text(student.transfer_corpus, student.language)))
    return max(1, round(student.epochs * (labelled + lines) / labelled))


def _singles(encoder: str, tuning: FineTune, settings: Settings) -> dict[str, dict[str, Recipe]]:
    """Paper 1's techniques, each at the strengths of the settings, and trimming alone."""
    text = {"corpus": corpus_of(settings, tuning.language), "languages": (tuning.language,)}
    cuts: Sequence[int] = settings.cut_layers
    return {
        "pruned": {
            f"pruned, {percent(share)}": pruned_after(encoder, Prune(share), tuning) for share in settings.sparsities
        },
        "cut": {f"cut, {layers} layers": cut_then_tuned(encoder, Cut(layers), tuning) for layers in cuts},
        "distilled": {
            f"distilled, {shape}": distilled_for_task(encoder, tuning, imitating(shape, tuning))
            for shape in settings.students
        },
        "trimmed": {
            f"trimmed, {size:,} tokens": dense(encoder, tuning).then(
                TrimVocabulary(size, lines=settings.corpus_lines, **text)
            )
            for size in settings.vocabularies
        },
        "quantized": {f"quantized, {form}": dense(encoder, tuning).then(Quantize(form)) for form in settings.forms},
    }
