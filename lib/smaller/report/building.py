"""Run the notebooks of a profile, and renew the report whenever one ends."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from smaller.base import paths, settings
from smaller.base.paths import notebooks_folder, outputs_folder
from smaller.base.progress import Say, duration, silent
from smaller.notebook import files, standing
from smaller.notebook.kernels import nursery
from smaller.notebook.parameters import filled
from smaller.notebook.profiles import asked, minutes
from smaller.notebook.runner import NOTHING, NotebookRun, plan_notebook, run_notebook
from smaller.report.course import Course, index_file


def run_all(
    profile_name: str = "sample",
    *,
    only: Sequence[str] = (),
    overrides: Mapping[str, object] = NOTHING,
    dry_run: bool = False,
    anew: bool = False,
    notebooks: Path | None = None,
    environment: Mapping[str, str] = NOTHING,
    progress: Say = silent,
) -> list[NotebookRun]:
    """Run the notebooks of a profile in reading order; a failed one does not stop the rest.

    Those whose run would be made of the same as their last one stand, and are not run again, unless all are to be made
    `anew`. The report is there from the beginning, and renewed whenever a notebook ends. One that cannot be made into a
    page has failed too. Every parameter of every notebook is checked before the first kernel starts, whose variables
    are `environment`'s beside those of this process. A dry run then runs each as far as its plan, and ends with status
    'planned', the parameters and what there is to do.
    """
    notebooks = notebooks or notebooks_folder()
    plan = asked(profile_name, only=only, overrides=overrides, folder=notebooks)
    if dry_run:
        with nursery(environment) as kernels:
            return [plan_notebook(notebooks / f"{name}.ipynb", own, nursery=kernels) for name, own in plan.items()]
    titles = {name: files.title(notebooks / f"{name}.ipynb") for name in plan}
    values = {name: filled(notebooks / f"{name}.ipynb", own, where=name) for name, own in plan.items()}

    def stands(name: str) -> bool:
        return not anew and standing.stands(notebooks / f"{name}.ipynb", values[name], profile=profile_name)

    known = minutes(profile_name, folder=notebooks)
    course = Course(profile_name, titles, known, _repeated(profile_name), frozenset(filter(stands, plan)))
    languages = itertools.chain(*(own.get("languages", ()) for own in values.values()))
    for line in course.announcement(list(dict.fromkeys(languages)), index_file()):
        progress(line)

    def renew(course: Course) -> dict[str, str]:
        from smaller.report.pages import write_pages  # takes seconds, while the first kernel starts

        problems = write_pages(course)
        if len(course.runs) == 1 and course.left and not course.stopped:
            progress(f"report: {index_file()} has its first page")
        return problems

    # Pages are written beside the notebook that runs, which changes the working directory of this process.
    with settings.changed(**paths.in_full()), contextlib.ExitStack() as kept, ThreadPoolExecutor(1) as beside:
        kernels = functools.cache(lambda: kept.enter_context(nursery(environment)))
        writing = [beside.submit(renew, course)]
        try:
            for number, (name, parameters) in enumerate(plan.items(), start=1):
                path = notebooks / f"{name}.ipynb"
                if stands(name):
                    progress(f"{name}: notebook {number} of {len(plan)} stands as it was made; --anew runs it again")
                    run = NotebookRun(name, "stands", parameters=values[name])
                else:
                    progress(f"{name}: notebook {number} of {len(plan)}")
                    run = run_notebook(
                        path,
                        parameters,
                        profile_name=profile_name,
                        environment=environment,
                        nursery=kernels(),
                        progress=lambda line, name=name: progress(f"{name}: {line}"),
                    )
                    progress(f"{name}: {run.status} in {duration(run.seconds)}" + f"\n{run.error}" * bool(run.error))
                course = course.later(runs=(*course.runs, run))
                if run.status != "stands" or not course.left:
                    writing.append(beside.submit(renew, course))
        except BaseException:
            writing.append(beside.submit(renew, course.later(stopped=True)))
            raise
    problems = writing[-1].result()
    for name, problem in problems.items():
        progress(f"{name}: {problem}")
    progress(f"report: {index_file()}")
    return [
        replace(run, status="failed", error=run.error or problems[run.name]) if run.name in problems else run
        for run in course.runs
    ]


def _repeated(profile_name: str) -> frozenset[str]:
    """The notebooks that were done before with a profile."""
    found = set()
    for path in (outputs_folder() / "notebooks").glob("*.ipynb"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            about = json.loads(path.read_bytes())["metadata"].get("smaller", {})
            if (about.get("status"), about.get("profile")) == ("done", profile_name):
                found.add(path.stem)
    return frozenset(found)
