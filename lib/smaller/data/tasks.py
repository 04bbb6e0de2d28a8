"""The tasks of the study: what each labels, which labels a classifier needs for it, and by what it is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smaller.base.checks import require_one_of


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task: `unit` is what gets a label, a "word" or a "text".

    With `spans` the classes are types of spans, and labels are in BIO form. `metric` is the main one: its name among
    the scores of a record, and `metric_name` as a reader calls it. `complete` says that training needs an example of
    every class: a text classifier that lacks one is broken, while parts of speech may be too rare for a small treebank.
    """

    name: str
    unit: str
    spans: bool = False
    metric: str
    metric_name: str
    complete: bool = False

    def labels(self, classes: Sequence[str]) -> tuple[str, ...]:
        """The labels of a classifier for a data set with these classes, in their order."""
        return bio_labels(classes) if self.spans else tuple(classes)


def bio_labels(types: Sequence[str]) -> tuple[str, ...]:
    """The label set of entity types in BIO form: O, then B- and I- of each type, in the order given."""
    return ("O", *(f"{prefix}-{name}" for name in types for prefix in "BI"))


NER = Task(name="ner", unit="word", spans=True, metric="f1", metric_name="span F1")

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        NER,
        Task(name="pos", unit="word", metric="accuracy", metric_name="accuracy"),
        Task(name="topics", unit="text", metric="macro_f1", metric_name="macro F1", complete=True),
        Task(name="sentiment", unit="text", metric="macro_f1", metric_name="macro F1", complete=True),
    )
}
"""The labelled tasks by name; a data set of the task "text" is unlabelled."""

IN_WORDS = {"ner": "named entities", "pos": "parts of speech"}
"""The tasks whose name is no word, as a reader calls them."""


def task(name: str) -> Task:
    """The task of that name; an unknown name is an error with a suggestion."""
    require_one_of(name, TASKS, "There is no task {!r}; there are {}.")
    return TASKS[name]
