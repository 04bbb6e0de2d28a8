"""The Ray engine's part on a node: one job at a time, whose answers go back as they come.

A node has folders of its own. Trained prefixes stay in its cache, where its later jobs find them; the results folder of
a job is a temporary one, since records belong to the study's.
"""

from __future__ import annotations

import platform
import queue
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from smaller import __version__
from smaller.base import settings
from smaller.base.errors import SmallerError
from smaller.data.sets import EvaluationSet
from smaller.study import cache, results
from smaller.study.engines.messages import job_from_message
from smaller.study.jobs import Job, execute
from smaller.study.recipes import Recipe, recipe_from_canonical

Answer = Callable[[dict | None], None]
"""Sends an answer to the study; None is the last one."""


def work(order: Mapping, kept: Sequence[tuple[dict, list]]) -> Iterator[dict]:
    """Do the job of an order; yields answers.

    `kept` are trained prefixes that the study has, by their canonical form, each with a list of the reference to its
    files (in a list, Ray brings an object only when it is asked for). The answers: `said`, a line of progress; `made`,
    once the job's prefix is there, with its files unless the study has them; `finished`, a recipe's identity with its
    record; at the end `done`, or `error`, what a person should read.
    """
    answers: queue.SimpleQueue[dict | None] = queue.SimpleQueue()
    # What the job says in the middle of its training is to be sent at once, so it runs in a thread beside this one.
    threading.Thread(target=_work, args=(order, kept, answers.put), daemon=True).start()
    while (answer := answers.get()) is not None:  # Ray sends into what it iterates over, so `yield from` is none
        yield answer


def checksums(recipes: Iterable[Recipe], sets: Iterable[EvaluationSet]) -> dict[str, str]:
    """What the recipes and evaluation sets read, by name, as it is on this machine."""
    found = {place.key: place.checksum() for place in sets}
    for recipe in recipes:
        found |= recipe.inputs()
    return found


def place() -> list[str]:
    """Where trained prefixes lie: two processes with equal places share them."""
    import ray

    return [ray.get_runtime_context().get_node_id(), str(cache.folder())]


def _work(order: Mapping, kept: Sequence[tuple[dict, list]], answer: Answer) -> None:
    try:
        job = job_from_message(order)
        _compare(order, job)
        cache.require_writable()
        with tempfile.TemporaryDirectory(prefix="smaller-") as folder, settings.changed(SMALLER_OUTPUTS=folder):
            for record in order["records"]:
                results.write(record)
            for form, (reference,) in kept:
                _bring(recipe_from_canonical(form), reference)
            _do(job, answer, sends_files=order["lacks_prefix"] and order["place"] != place())
    except SmallerError as problem:
        answer({"error": str(problem)})
    except Exception as problem:
        answer({"error": f"{order['label']}: {type(problem).__name__}: {problem}"})
    else:
        answer({"done": True})
    finally:
        answer(None)


def _do(job: Job, answer: Answer, *, sends_files: bool) -> None:
    def say(text: str) -> None:
        answer({"said": text})

    def listener(recipe: Recipe) -> None:
        answer({"finished": recipe.identity, "record": results.read(recipe)})

    if job.prefix.steps:
        # On its own first: children need not wait for the scores, and a node that dies over them takes no training.
        execute(Job(job.prefix, (), None), say=say)
        answer({"made": True, "files": cache.pack(job.prefix) if sends_files else None})
    execute(job, listener=listener, say=say)


def _compare(order: Mapping, job: Job) -> None:
    """Raise SmallerError where this node would compute something else than the study means."""
    node = f"The node {platform.node()}"
    if order["version"] != __version__:
        raise SmallerError(
            f"{node} has version {__version__} of this package, and the study has {order['version']}. "
            "Install the same one on every node."
        )
    try:
        here = checksums((job.prefix, *job.recipes), job.sets)
    except SmallerError as problem:
        raise SmallerError(f"{node} lacks what the study reads: {problem}") from None
    for name, checksum in order["checksums"].items():
        if here.get(name) != checksum:
            raise SmallerError(
                f"{node} has another {name} than the study: its checksum is {here.get(name)}, and the "
                f"study's is {checksum}. Copy the study's data and encoders to every node."
            )


def _bring(prefix: Recipe, reference: object) -> None:
    """Put a trained prefix into this node's cache, unless it is there."""
    import ray

    with cache.lock(prefix):
        if cache.find(prefix) is None:
            cache.unpack(prefix, ray.get(reference))
