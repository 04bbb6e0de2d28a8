"""From what people bring to a plan: the data and the model are looked at once, and all that is noted is said first."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping

from smaller import encoders, formats
from smaller.base.errors import SmallerError
from smaller.data import hub, own, splits
from smaller.data.languages import in_codes
from smaller.deploy.asking import is_of_the_hub, of_the_study, places
from smaller.deploy.candidates import DRAWN, Plan, learning_rate
from smaller.encoders import Inspection
from smaller.study.jobs import materialise
from smaller.study.recipes import Recipe, start
from smaller.study.steps import FineTune
from smaller.study.steps.checks import labels_in

TEXTS = ("corpus", "afriberta-corpus", "glotcc")
"""Where unlabelled text is looked for, in this order."""

READ, EPOCHS = 10_000, (3, 20)
"""About so many sentences does fine-tuning read, in no fewer and no more epochs than these."""


def plan_of(
    encoder: str, data: object, *, task: str, language: str, form: str, seed: int, lines: int, tuning: Mapping
) -> tuple[Plan, list[str]]:
    """How candidates are made of an encoder for some data, and what was noted about both.

    Raises SmallerError, before anything is measured or trained, for what is not served.
    """
    formats.require_format(form)
    model_start = _start(encoder)
    dataset, code, notes = _data(data, task=task, language=language)
    arrived, _ = materialise(model_start)
    found = encoders.inspect(arrived)
    occurring = _occurring(encoder, found, dataset, code) if arrived.labels else set()
    other = encoders.only_teaches(arrived)
    shape = DRAWN if other else encoders.shape(arrived)
    width = arrived.network.config.hidden_size
    epochs = passes(len(splits.sentences(dataset, code, "train")))
    given = {"epochs": epochs, "learning_rate": learning_rate(width), "warm_up": 0.1} | dict(tuning)
    plan = Plan(
        start=model_start,
        tuning=FineTune(dataset, code, seed=seed, **given),
        tuned=bool(arrived.labels),
        of=shape,
        form=form,
        text=_text(dataset, code),
        lines=lines,
        passes=tuning.get("epochs", 2 * epochs),
        narrower=not arrived.masks and "TruncateHidden" not in found.not_served,
        trimmed=other or "TrimVocabulary" not in found.not_served,
        drawn=other,
    )
    if other:
        notes = [
            *notes,
            f"{encoder}: It is a {found.architecture}, whose layers no step knows: it teaches students that begin with "
            "random weights.",
        ]
    return plan, [*notes, *(f"{encoder}: {note}" for note in _notes(found, plan, occurring))]


def passes(sentences: int) -> int:
    """The epochs of fine-tuning on so many sentences: all of them together are `READ`, within `EPOCHS`."""
    least, most = EPOCHS
    return min(max(math.ceil(READ / max(sentences, 1)), least), most)


def _start(encoder: str) -> Recipe:
    """What a search starts from; of a folder with another architecture the model that teaches."""
    try:
        return start(encoder)
    except SmallerError:
        folder = next((place for place in places(encoder) if (place / "config.json").is_file()), None)
        if folder is None:
            raise
        with contextlib.suppress(SmallerError):
            return start(f"{encoders.TEACHER}{folder}")
        raise


def _notes(found: Inspection, plan: Plan, occurring: set[str]) -> Iterator[str]:
    yield from found.notes
    if not plan.narrower:
        why = found.not_served.get("TruncateHidden", "Its weights are pruned, and masks belong to their matrices.")
        yield f"{why} Its hidden states stay as wide."
    if unused := sorted(set(found.labels) - occurring):
        yield f"Of its labels {', '.join(unused)} never occur in the data; those that it teaches have them too."


def _occurring(encoder: str, found: Inspection, dataset: str, language: str) -> set[str]:
    """The labels that occur in the data, in the scheme of a classifier that arrives.

    Raises SmallerError unless it can be their teacher: labels are matched by name.
    """
    task = splits.task(dataset)
    if found.unit != task.unit:
        raise SmallerError(
            f"{encoder} labels {found.unit}s, and the data label {task.unit}s: give a model without a "
            "classifier, or one of that task."
        )
    if task.spans and not found.scheme:
        raise SmallerError(
            f"{encoder} has labels of no scheme that is known: {', '.join(found.labels)}. Give a model "
            "with labels such as B-PER and I-PER, or one without a classifier."
        )
    occurring = labels_in(dataset, language, "train", "dev", "test", taught_by=found.labels)
    absent = sorted(occurring - set(found.labels))
    if absent and not found.named:
        raise SmallerError(
            f"{encoder} has no names for its labels ({found.labels[0]}, ...), and those of the data are "
            f"{', '.join(sorted(occurring))}: give them names in its config.json, such as "
            '"id2label": {"0": "O", "1": "B-PER"}.'
        )
    if absent:
        raise SmallerError(
            f"{encoder} has the labels {', '.join(found.labels)}, and {', '.join(absent)} occur in the "
            "data besides: it cannot teach what it does not know. Give a model that has them, or one "
            "without a classifier."
        )
    return occurring


def _data(data: object, *, task: str, language: str) -> tuple[str, str, list[str]]:
    """The name and language of the data, and notes: of a data set by its name, of one's own files, or of tables."""
    if isinstance(data, str):
        if known := of_the_study(data, language):
            return *known, []
        if is_of_the_hub(data):
            hub.check(data, language)  # a data set of the hub, or nearly a name: an error with a suggestion
            return data, in_codes(language), []
    name, notes = own.bring(data, task=task, language=language)
    return name, in_codes(language), notes


def _text(dataset: str, language: str) -> str:
    """The text that tells which tokens a language uses: unlabelled text if it is here, else the training sentences."""
    if dataset == "sample":
        return "sample"
    for corpus in TEXTS:
        with contextlib.suppress(SmallerError):
            splits.check_text(corpus, language)
            splits.text_fingerprint(corpus, language)
            return corpus
    return dataset
