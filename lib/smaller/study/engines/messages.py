"""A job as plain JSON values, as another process is sent it, and with it the steps that this process does not know."""

from __future__ import annotations

import base64
import contextlib
import sys
from collections.abc import Mapping

import cloudpickle

from smaller.base.errors import SmallerError
from smaller.data.sets import set_of
from smaller.study.jobs import Job
from smaller.study.recipes import recipe_from_canonical
from smaller.study.steps import Step
from smaller.study.steps.base import STEPS


def message_of(job: Job) -> dict:
    """The job as plain JSON values; steps that a notebook or a user's module defines go along as code.

    Raises SmallerError for such a step that cannot be sent.
    """
    return {
        "label": job.prefix.label,
        "prefix": job.prefix.canonical(),
        "recipes": [recipe.canonical() for recipe in job.recipes],
        "sets": [place.key for place in job.sets],
        "steps": _code_of({type(step) for recipe in (job.prefix, *job.recipes) for step in recipe.steps}),
        "path": sys.path,
    }


def job_from_message(message: Mapping) -> Job:
    """The job that was sent to a worker.

    Its code is run as it comes: it is that of the user's own study, whose process started this one, or whose cluster
    this machine has joined. Raises SmallerError for a step that needs what is not here.
    """
    _learn(message.get("steps", {}), message.get("path", ()))
    recipes = tuple(recipe_from_canonical(form) for form in message["recipes"])
    return Job(recipe_from_canonical(message["prefix"]), recipes, None, tuple(map(set_of, message.get("sets", ()))))


def _code_of(kinds: set[type[Step]]) -> dict[str, str]:
    """The code of those steps that are defined outside of this package, by name."""
    found = {}
    for kind in kinds:
        module = kind.__module__.partition(".")[0]
        if module != __name__.partition(".")[0]:
            with contextlib.ExitStack() as registered:
                if module in sys.modules and module != "__main__":  # which goes as code in any case
                    cloudpickle.register_pickle_by_value(sys.modules[module])
                    registered.callback(cloudpickle.unregister_pickle_by_value, sys.modules[module])
                try:
                    found[kind.__name__] = base64.b64encode(cloudpickle.dumps(kind)).decode()
                except Exception as problem:  # whatever the step's code holds on to has errors of its own
                    raise SmallerError(
                        f"The step {kind.__name__} of {kind.__module__} cannot be sent to another process: {problem}. "
                        "Let its code hold plain values, or run with one worker (SMALLER_WORKERS=1) and no cluster."
                    ) from None
    return found


def _learn(code: Mapping[str, str], path: list[str]) -> None:
    """Take up the steps of a study, and look for the modules that they import where it finds them."""
    if code:
        sys.path += [place for place in path if place not in sys.path]
    for name, packed in code.items():
        try:
            STEPS[name] = cloudpickle.loads(base64.b64decode(packed))
        except Exception as problem:  # a module that it imports may fail in any way
            raise SmallerError(
                f"The step {name} cannot be made in another process: {type(problem).__name__}: {problem}. What it "
                "imports has to be installed there; or define it in one module with the step."
            ) from None
