"""The recipes of the study of extreme compression, from the parameters of its notebook."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from smaller.data import splits
from smaller.data.sets import UNLABELLED, EvaluationSet
from smaller.errors import SmallerError, did_you_mean
from smaller.findings.extreme import ORDERS, PIPELINE, SIZES, TAUGHT
from smaller.findings.words import count_of, names_of, percent
from smaller.opening import fine_tunings, imitating
from smaller.parameters import Settings
from smaller.recipes import (
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
from smaller.steps import Adapt, Cut, Distil, FineTune, Prune, Quantize, TrimVocabulary

Families = dict[str, dict[str, list[Recipe]]]
"""Recipes by family (the pipeline, or a single technique) and, inside it, by stage."""

FROZEN_STAGES = (DENSE, TRIMMED)
"""The stages on which adapters are tried: the encoder as it was, and the end of the pipeline."""

CHANGES = {
    "layers": lambda number: count_of(number, "layer"),
    "feed_forward": "{:,} neurons".format,
    "hidden_size": "{:,} wide".format,
    "vocabulary": "{:,} pieces".format,
    "corpus_updates": "{:,} updates".format,
}
"""What a combination may change in the pipeline, in words: its sizes, and how long each of its distillations is."""


def require_extreme(settings: Settings) -> None:
    """Raise SmallerError unless every step of the pipeline can be taken from every encoder of the settings."""
    for dataset in settings.tasks:
        splits.task(dataset)
        if not languages_of(settings, dataset):
            raise SmallerError(f"The data set {dataset!r} has no training split in {', '.join(settings.languages)}: "
                               "leave the task out, or study a language that it has.")  # fmt: skip
    for language in settings.languages:
        if not any(language in languages_of(settings, dataset) for dataset in settings.tasks):
            raise SmallerError(f"No task of {', '.join(settings.tasks)} has a training split in {language}: leave the "
                               "language out, or add a task.")  # fmt: skip
        splits.check_text(corpus_of(settings, language), language)
        if not any(map(str.strip, splits.text(corpus_of(settings, language), language))):
            raise SmallerError(f"The text of {corpus_of(settings, language)}/{language} is empty, and every step "
                               "before fine-tuning reads it.")  # fmt: skip
    for change in [*settings.combinations, *settings.taught]:
        _require_combination(change)
    for change in settings.combinations:
        if not change:
            raise SmallerError(f"A combination is empty: change some of {', '.join(CHANGES)}.")
    for change in settings.taught:
        if "corpus_updates" in change:
            raise SmallerError("A student that is taught on the task has no corpus_updates; see transfer_lines.")
    for field in ("transfer_lines", "transfer_epochs") if settings.taught else ():
        if settings[field] < 1:
            raise SmallerError(f"{field} is a number of at least 1; it is {settings[field]}.")
    for name in settings.encoders:
        config = starting_configuration(name)
        for size in _tried(settings, "hidden_size"):
            if size % config.num_attention_heads or size > config.hidden_size:
                raise SmallerError(
                    f"A hidden size of {size} cannot be reached from {name}: it is a multiple of the "
                    f"{config.num_attention_heads} heads, and at most {config.hidden_size}."
                )
        for field, most in (("layers", config.num_hidden_layers), ("feed_forward", config.intermediate_size)):
            for size in _tried(settings, field):
                if not 0 < size <= most:
                    raise SmallerError(f"{field} is a number from 1 to {most} for {name}; it is {size}.")
        stages = _stages(settings, settings.languages[0], heads=config.num_attention_heads)
        for question in settings.questions:
            if question not in ablations(stages):
                raise SmallerError(f"The study has no question {question!r}; it has {', '.join(ablations(stages))}."
                                   f"{did_you_mean(question, ablations(stages))}")  # fmt: skip
        for order in settings.orders:
            reordered(stages, *order)
            if not order:
                raise SmallerError(f"An order of stages is empty: name some of {', '.join(stages)}.")
    for dataset in settings.adapter_tasks:
        if dataset not in settings.tasks:
            raise SmallerError(f"Adapters are trained on some of the tasks {', '.join(settings.tasks)}; {dataset!r} is "
                               f"none of them.{did_you_mean(dataset, settings.tasks)}")  # fmt: skip
    for factor in settings.adapters:
        if factor < 1:
            raise SmallerError(f"Adapters are so many times narrower than the hidden states: at least 1, not {factor}.")
    _require_room(settings)


def _require_combination(change: Mapping[str, int]) -> None:
    for field, size in change.items():
        if field not in CHANGES:
            raise SmallerError(f"A combination changes some of {', '.join(CHANGES)}; {field!r} is none of them."
                               f"{did_you_mean(field, CHANGES)}")  # fmt: skip
        if size < 1:
            raise SmallerError(f"{field} is a number of at least 1; in a combination it is {size}.")


def _tried(settings: Settings, field: str) -> list[int]:
    """Every value of a size that the study comes to."""
    lists = {"hidden_size": "hidden_sizes", "vocabulary": "vocabularies"}
    own = settings[lists[field]] if field in lists else [settings[field]]
    changes = [*settings.combinations, *settings.taught]
    return [*own, *(change[field] for change in changes if field in change)]


def _require_room(settings: Settings) -> None:
    """Raise SmallerError for so few pieces that special ones and the letters of a language's text take them all."""
    least = min(_tried(settings, "vocabulary"))
    for language in settings.languages if least < LETTERS else ():
        text = "".join(splits.text(corpus_of(settings, language), language))
        needed = len(set("".join(text.split()))) + SPECIAL
        if least < needed:
            raise SmallerError(f"A vocabulary of {least} pieces is too small for {language}: special pieces and the "
                               f"single characters of its text are {needed} at least.")  # fmt: skip


SPECIAL = 5
"""The special pieces that every tokenizer of this study has: begin, end, padding, unknown, mask."""

LETTERS = 2000
"""More than the texts of these languages have of single characters: so many pieces leave room without a look."""


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
    a combination; they, other orders, and students that are taught on the task stand there as they are and closed by
    quantization.
    """
    found: Families = {PIPELINE: {}}
    for encoder, heads, tuning in _each(settings):
        stages = _stages(settings, tuning.language, heads=heads)
        families = {PIPELINE: pipeline(encoder, stages, tuning, _closing(settings))}
        families[SIZES] = _other_sizes(encoder, heads, tuning, settings)
        families[ORDERS] = {}
        for order in settings.orders:
            whole = _whole(encoder, reordered(stages, *order), tuning)
            families[ORDERS] |= _with_closed(" > ".join(order), whole, settings)
        families[TAUGHT] = _taught(encoder, heads, tuning, settings)
        for family, own in (families | _singles(encoder, tuning, settings)).items():
            for stage, recipe in own.items():
                found.setdefault(family, {}).setdefault(stage, []).append(recipe)
    return found


def variants(settings: Settings) -> dict[str, list[Recipe]]:
    """What each question of the settings changes in the whole pipeline, with the seeds `variant_seeds`."""
    found: dict[str, list[Recipe]] = {}
    for encoder, heads, tuning in _each(settings):
        if tuning.seed in settings.variant_seeds:
            asked = ablations(_stages(settings, tuning.language, heads=heads))
            for question in settings.questions:
                found.setdefault(question, []).append(_whole(encoder, asked[question], tuning))
    return found


def with_adapters(settings: Settings) -> dict[str, list[Recipe]]:
    """Adapters of each size in a frozen encoder, by the stage that is frozen, with the seeds `variant_seeds`."""
    found: dict[str, list[Recipe]] = {}
    for encoder, heads, tuning in _each(settings):
        if tuning.seed not in settings.variant_seeds or tuning.dataset not in settings.adapter_tasks:
            continue
        stages = pipeline(encoder, _stages(settings, tuning.language, heads=heads), tuning)
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
            for name, steps in _stages(settings, language, heads=heads).items():
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
            of_task = {stage: [recipe for recipe in own if recipe.fine_tuning.dataset == dataset][:1]
                       for stage, own in families[PIPELINE].items() if stage != CLOSED}  # fmt: skip
            found[f"Fine-tuning, {dataset}"] = of_task
    return found


def to_time(settings: Settings, families: Families) -> list[Recipe]:
    """What is timed side by side: dense, the pipeline's stages, and all that is closed by quantization.

    The dense model comes first. Of the first encoder, task, language and seed.
    """
    first = tunings(settings)[0]
    closed = (SIZES, ORDERS, TAUGHT, "quantized")
    chosen = [*families[PIPELINE].values(),
              *(own for family in closed for stage, own in families.get(family, {}).items()
                if settings.closing and settings.closing in stage)]  # fmt: skip
    own = [recipe for recipes in chosen for recipe in recipes]
    return [recipe for recipe in own if recipe.fine_tuning == first and recipe.encoder == settings.encoders[0]]


def tunings(settings: Settings) -> list[FineTune]:
    """A fine-tuning for each task, each language that the task has, and seed."""
    made = []
    for dataset in settings.tasks:
        epochs = settings.task_epochs.get(dataset, settings.epochs)
        made += [dataclasses.replace(tuning, dataset=dataset, epochs=epochs)
                 for tuning in fine_tunings(settings, languages=languages_of(settings, dataset))]  # fmt: skip
    return made


def pieces_stages(settings: Settings) -> list[str]:
    """The stages that differ in their number of pieces alone, the untrimmed one first."""
    return [NARROWER, TRIMMED, *(f"{pieces:,} pieces" for pieces in settings.vocabularies[1:])]


def flat(found: Mapping[str, object]) -> list[Recipe]:
    """All recipes of families, or of stages."""
    return [recipe for own in found.values()
            for recipe in (flat(own) if isinstance(own, Mapping) else own)]  # fmt: skip


def _each(settings: Settings) -> Iterator[tuple[str, int, FineTune]]:
    """Every encoder with its number of heads, and every fine-tuning."""
    for encoder in settings.encoders:
        heads = starting_configuration(encoder).num_attention_heads
        for tuning in tunings(settings):
            yield encoder, heads, tuning


def in_words(change: Mapping[str, int]) -> str:
    """The sizes that a combination changes, such as "48 wide, 1,500 pieces"."""
    return ", ".join(say(change[field]) for field, say in CHANGES.items() if field in change)


def _sizes(settings: Settings, change: Mapping[str, int]) -> dict[str, int]:
    """The pipeline's sizes, but for those that are changed."""
    return {"layers": settings.layers, "feed_forward": settings.feed_forward, "hidden_size": settings.hidden_sizes[0],
            "vocabulary": settings.vocabularies[0], "corpus_updates": settings.corpus_updates} | change  # fmt: skip


def _stages(settings: Settings, language: str, *, heads: int, **changes: int) -> Stages:
    """The pipeline for a language; `changes` are those of a combination."""
    sizes = _sizes(settings, changes)
    shared = {"batch_size": settings.corpus_batch_size, "learning_rate": settings.corpus_learning_rate,
              "max_length": settings.corpus_max_length, "rate": settings.corpus_rate}  # fmt: skip
    corpus, adapt = corpus_of(settings, language), None
    if settings.adaptation_updates:
        adapt = Adapt(corpus, language, updates=settings.adaptation_updates, warm_up=0.1, lines=settings.corpus_lines,
                      **shared)  # fmt: skip
    distil = Distil(sizes["layers"], corpus=corpus, languages=(language,), updates=sizes["corpus_updates"],
                    logits="mse", lines=settings.corpus_lines, **shared)  # fmt: skip
    return second_paper(adapt, distil, heads=heads, feed_forward=sizes["feed_forward"], hidden=sizes["hidden_size"],
                        vocabulary=sizes["vocabulary"], width_by=settings.width_by)  # fmt: skip


def _whole(encoder: str, stages: Stages, tuning: FineTune) -> Recipe:
    return list(pipeline(encoder, stages, tuning).values())[-1]


def _closing(settings: Settings) -> list[Quantize]:
    return [Quantize(settings.closing)] if settings.closing else []


def _with_closed(name: str, whole: Recipe, settings: Settings) -> dict[str, Recipe]:
    """A recipe under its name, and closed by quantization."""
    return {name: whole} | {f"{name}, {step.form}": whole.then(step) for step in _closing(settings)}


def _other_sizes(encoder: str, heads: int, tuning: FineTune, settings: Settings) -> dict[str, Recipe]:
    """The whole pipeline at each further width and number of pieces, and each combination, by what is different."""
    changes = [{"hidden_size": size} for size in settings.hidden_sizes[1:]]
    changes += [{"vocabulary": size} for size in settings.vocabularies[1:]]
    found = {}
    for change in [*changes, *settings.combinations]:
        stages = _stages(settings, tuning.language, heads=heads, **change)
        found |= _with_closed(in_words(change), _whole(encoder, stages, tuning), settings)
    return found


def _taught(encoder: str, heads: int, tuning: FineTune, settings: Settings) -> dict[str, Recipe]:
    """Students of the pipeline's shape, and of changed ones: pieces trimmed, fine-tuned, then taught on the task.

    As in XtremeDistil (Mukherjee and Awadallah 2020), the teacher's logits on text without labels are what teaches
    most; here in one stage, and with the teacher's own weights, projected, as a start.
    """
    corpus, found = corpus_of(settings, tuning.language), {}
    for change in settings.taught:
        sizes = _sizes(settings, change)
        trim = TrimVocabulary(
            sizes["vocabulary"], corpus=corpus, languages=(tuning.language,), lines=settings.corpus_lines
        )
        student = imitation(
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
        name = ", ".join(filter(None, ["taught", in_words(change)]))
        found |= _with_closed(name, start(encoder).then(trim, tuning, student), settings)
    return found


def _singles(encoder: str, tuning: FineTune, settings: Settings) -> dict[str, dict[str, Recipe]]:
    """Paper 1's techniques, each at the strengths of the settings, and trimming alone."""
    text = {"corpus": corpus_of(settings, tuning.language), "languages": (tuning.language,)}
    cuts: Sequence[int] = settings.cut_layers
    return {
        "pruned": {f"pruned, {percent(share)}": pruned_after(encoder, Prune(share), tuning)
                   for share in settings.sparsities},
        "cut": {f"cut, {layers} layers": cut_then_tuned(encoder, Cut(layers), tuning) for layers in cuts},
        "distilled": {f"distilled, {shape}": distilled_for_task(encoder, tuning, imitating(shape, tuning))
                      for shape in settings.students},
        "trimmed": {f"trimmed, {pieces:,} pieces":
                    dense(encoder, tuning).then(TrimVocabulary(pieces, lines=settings.corpus_lines, **text))
                    for pieces in settings.vocabularies},
        "quantized": {f"quantized, {form}": dense(encoder, tuning).then(Quantize(form)) for form in settings.forms},
    }  # fmt: skip
