"""The Ray engine's part on a node: one job at a time, whose answers go back as they come.

A node has folders of its own. Trained prefixes stay in its cache, where its later jobs find them; the results folder of
a job is a temporary one, since records belong to the study's.
"""

from __future__ import annotations

import contextlib
import platform
import queue
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from smaller import __version__
from smaller.base import settings
from smaller.base.errors import SmallerError
from smaller.data.sets import EvaluationSet
from smaller.encoders.device import OutOfMemory, arithmetic, card_memory
from smaller.study import cache, results
from smaller.study.engines.messages import job_from_message
from smaller.study.jobs import Job, execute
from smaller.study.recipes import Recipe, recipe_from_canonical

Answer = Callable[[dict | None], None]
"""Sends an answer to the study; None is the last one."""


def work(order: Mapping, kept: Sequence[tuple[dict, list]]) -> Iterator[dict]:
    """Do the job of an order; yields answers.

    `kept` are trained prefixes that the study or another node has, by their canonical form, each with a list of the
    reference to its files (in a list, Ray brings an object only when it is asked for). The answers: `begun`, what this
    node is; `said`, a line of progress; `made`, once the job's prefix is there, with its files if the study wants them;
    `finished`, a recipe's identity with its record; at the end `done`, `lacks` where the files of `kept` are gone, or
    `error`, what a person should read, with `memory` where it was that of a card.
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


def kept(orders: Sequence[Mapping]) -> list[bool]:
    """Which prefixes of some orders are in this node's cache."""
    return [_found(order) is not None for order in orders]


def files(order: Mapping) -> dict | None:
    """The files of an order's prefix, for another machine; None where they are not here."""
    found = _found(order)
    return found and cache.pack(found)


def _found(order: Mapping) -> Recipe | None:
    with contextlib.suppress(SmallerError):  # a node that lacks what the prefix was made from has none of it
        prefix = job_from_message(order).prefix
        return prefix if cache.find(prefix) is not None else None


def about() -> dict:
    """What has to be alike on every node, besides data: versions, commit, arithmetic; and the name of the device."""
    found = results.provenance_of_process()
    commit = found["commit"].removesuffix("-dirty")  # a notebook that was edited changes nothing on a node
    shared = {"smaller": __version__, "commit": commit, "Python": found["python"].rpartition(".")[0]}
    # What stands after a plus names a build, which may differ: that of the study's machine may know no GPU.
    shared |= {name: version.partition("+")[0] for name, version in found["libraries"].items()}
    return {"shared": shared, "arithmetic": arithmetic(), "device": found["device"], "node": platform.node()}


def place() -> list[str]:
    """Where trained prefixes lie: two processes with equal places share them."""
    import ray

    return [ray.get_runtime_context().get_node_id(), str(cache.folder())]


def _work(order: Mapping, kept: Sequence[tuple[dict, list]], answer: Answer) -> None:
    try:
        answer({"begun": about() | {"place": place()}})
        job = job_from_message(order)
        _compare(order, job)
        cache.require_writable()
        with tempfile.TemporaryDirectory(prefix="smaller-") as folder, settings.changed(SMALLER_OUTPUTS=folder):
            for record in order["records"]:
                results.write(record)
            if not all(_bring(recipe_from_canonical(form), reference) for form, (reference,) in kept):
                return answer({"lacks": True})
            with card_memory(order["label"]):
                _do(job, answer, sends_files=order["wants_prefix"] and order["place"] != place())
    except SmallerError as problem:
        answer({"error": str(problem), "memory": isinstance(problem, OutOfMemory)})
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
    here = about()["shared"]
    for name, version in order["versions"].items():
        if here[name] != version and "unknown" not in (here[name], version):
            raise SmallerError(
                f"{node} has {name} {here[name]}, and the study has {version}. Install the same one on every node."
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


def _bring(prefix: Recipe, reference: object) -> bool:
    """Put a trained prefix into this node's cache, unless it is there; whether it is now."""
    import ray

    with cache.lock(prefix):
        if cache.find(prefix) is None:
            try:
                files = ray.get(reference)
            except ray.exceptions.RayError:  # the node that had it is gone
                files = None
            if files is None:
                return False
            cache.unpack(prefix, files)
    return True
