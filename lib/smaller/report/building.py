"""Run the notebooks of a profile, and write a page for each and the index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from smaller.base.errors import SmallerError, in_one_line
from smaller.base.files import write_whole
from smaller.base.paths import notebooks_folder, outputs_folder
from smaller.base.progress import Say, duration, silent
from smaller.notebook.profiles import asked
from smaller.notebook.runner import NOTHING, NotebookRun, plan_notebook, run_notebook
from smaller.report.front import index
from smaller.report.page import render, title_of, without_body
from smaller.study import results


def run_all(
    profile_name: str = "sample",
    *,
    only: Sequence[str] = (),
    overrides: Mapping[str, object] = NOTHING,
    dry_run: bool = False,
    notebooks: Path | None = None,
    environment: Mapping[str, str] = NOTHING,
    progress: Say = silent,
) -> list[NotebookRun]:
    """Run the notebooks of a profile in reading order and write the report; a failed one does not stop the rest.

    One that cannot be made into a page has failed too. Every parameter of every notebook is checked before the first
    kernel starts, whose variables are `environment`'s beside those of this process. A dry run then runs each as far as
    its plan, and ends with status 'planned', the parameters and what there is to do.
    """
    notebooks = notebooks or notebooks_folder()
    plan = asked(profile_name, only=only, overrides=overrides, folder=notebooks)
    if dry_run:
        return [plan_notebook(notebooks / f"{name}.ipynb", parameters) for name, parameters in plan.items()]
    runs = []
    for number, (name, parameters) in enumerate(plan.items(), start=1):
        progress(f"{name}: notebook {number} of {len(plan)}")
        run = run_notebook(
            notebooks / f"{name}.ipynb",
            parameters,
            profile_name=profile_name,
            environment=environment,
            progress=lambda line, name=name: progress(f"{name}: {line}"),
        )
        progress(f"{name}: {run.status} in {duration(run.seconds)}" + (f"\n{run.error}" if run.error else ""))
        runs.append(run)
    problems = _write_pages()
    for name, problem in problems.items():
        progress(f"{name}: {problem}")
    progress(f"report: {_index_file()}")
    return [
        replace(run, status="failed", error=run.error or problems[run.name]) if run.name in problems else run
        for run in runs
    ]


def write_report() -> Path:
    """Render every executed notebook under `outputs/notebooks` and the index page; returns the path of the index.

    SmallerError names the notebooks that cannot be rendered whole (an image without alternative text, an external
    resource, a damaged file), when all others and the index are written; their own page says why.
    """
    if problems := _write_pages():
        raise SmallerError("\n".join(problems.values()))
    return _index_file()


def _index_file() -> Path:
    return outputs_folder() / "report" / "index.html"


def _write_pages() -> dict[str, str]:
    """Write all pages; what was wrong with a notebook, by its name."""
    executed = sorted((outputs_folder() / "notebooks").glob("*.ipynb"))
    folder = _index_file().parent
    folder.mkdir(parents=True, exist_ok=True)
    titles = {path.stem: _title(path) for path in executed}
    pages, problems = [], {}
    for path in executed:
        try:
            pages.append(render(path, pages=titles))
        except Exception as problem:  # what is in a notebook is anybody's; the other pages do not hang on it
            said = in_one_line(problem)
            problems[path.stem] = said if str(path) in said else f"{path} could not be made into a page: {said}"
            told = problems[path.stem].replace(str(path), path.name)
            pages.append(without_body(path.stem, titles[path.stem], told, pages=titles))
        write_whole(folder / f"{path.stem}.html", pages[-1].html)
    write_whole(_index_file(), index(pages, results.read_all()))
    return problems


def _title(executed: Path) -> str:
    try:
        return title_of(executed)
    except Exception:  # rendering says what is wrong
        return executed.stem
