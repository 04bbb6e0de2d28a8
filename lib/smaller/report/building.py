"""Run the notebooks of a profile, and write a page for each and the index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from smaller import results
from smaller.errors import SmallerError, did_you_mean
from smaller.parameters import profile
from smaller.paths import notebooks_folder, outputs_folder
from smaller.progress import Say, duration, silent
from smaller.report.front import index
from smaller.report.page import render, title_of
from smaller.runner import NotebookRun, plan_notebook, run_notebook, write_whole


def run_all(
    profile_name: str = "sample",
    *,
    only: Sequence[str] = (),
    overrides: Mapping[str, object] | None = None,
    dry_run: bool = False,
    notebooks: Path | None = None,
    progress: Say = silent,
) -> list[NotebookRun]:
    """Run the notebooks of a profile in reading order and write the report; a failed one does not stop the rest.

    Every parameter of every notebook is checked before the first kernel starts. A dry run then runs each up to where
    it would start to work, and ends with status 'planned', the parameters and what there is to do.
    """
    notebooks = notebooks or notebooks_folder()
    names = sorted(path.stem for path in notebooks.glob("*.ipynb"))
    for name in only:
        if name not in names:
            raise SmallerError(f"There is no notebook {name!r}.{did_you_mean(name, names)} Known: {', '.join(names)}.")
    chosen = [name for name in names if not only or name in only]
    plan = {name: profile(profile_name, name, overrides=overrides, folder=notebooks) for name in chosen}
    if dry_run:
        return [plan_notebook(notebooks / f"{name}.ipynb", parameters) for name, parameters in plan.items()]
    runs = []
    for number, (name, parameters) in enumerate(plan.items(), start=1):
        progress(f"{name}: notebook {number} of {len(plan)}")
        runs.append(
            run_notebook(
                notebooks / f"{name}.ipynb",
                parameters,
                profile_name=profile_name,
                progress=lambda line, name=name: progress(f"{name}: {line}"),
            )
        )
        last = runs[-1]
        progress(f"{name}: {last.status} in {duration(last.seconds)}" + (f"\n{last.error}" if last.error else ""))
    progress(f"report: {write_report()}")
    return runs


def write_report() -> Path:
    """Render every executed notebook under `outputs/notebooks` and the index page; returns the path of the index.

    Pages that can be written are; SmallerError then names those that cannot (an image without alternative text, an
    external resource).
    """
    executed = sorted((outputs_folder() / "notebooks").glob("*.ipynb"))
    folder = outputs_folder() / "report"
    folder.mkdir(parents=True, exist_ok=True)
    titles = {path.stem: title_of(path) for path in executed}
    pages, problems = [], []
    for path in executed:
        try:
            pages.append(render(path, pages=titles))
        except SmallerError as error:
            problems.append(str(error))
            continue
        write_whole(folder / f"{path.stem}.html", pages[-1].html)
    write_whole(folder / "index.html", index(pages, results.read_all()))
    if problems:
        raise SmallerError("\n".join(problems))
    return folder / "index.html"
