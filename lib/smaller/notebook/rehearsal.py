"""A rehearsal: a whole profile with two updates a training, on this machine with its own encoders and data.

It comes before days of training: it finds what fails, and says how long the study should take and what will not fit.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from smaller.base import paths, settings
from smaller.base.errors import SmallerError
from smaller.base.files import free_bytes, write_whole
from smaller.base.progress import Say, duration
from smaller.base.words import count_of
from smaller.data import splits
from smaller.notebook import files
from smaller.notebook.kernels import nursery
from smaller.notebook.profiles import asked
from smaller.notebook.runner import NOTHING, NotebookRun, plan_notebook, plan_of, run_notebook

UPDATES = 2
LANGUAGES = 2
NOTE = "Nothing in this folder is a result: it is a rehearsal's, in which each training ends after two updates."


def rehearse(
    profile: str,
    *,
    only: Sequence[str] = (),
    overrides: Mapping[str, object] = NOTHING,
    notebooks: Path | None = None,
    say: Say,
) -> list[str]:
    """Run the notebooks of a profile with its first seed, two languages and two updates a training; say what was seen.

    Returns the names of those that failed. What the whole profile has to do is planned first: SmallerError, and nothing
    is trained, where that fails. Records and models go to folders of the rehearsal's own, and no report is made of
    them. One that was stopped goes on where it was, by notebooks and by recipes; one that came to its end, or was of
    other parameters, begins anew.
    """
    folder = notebooks or paths.notebooks_folder()
    plan = asked(profile, only=only, overrides=overrides, folder=folder)
    several = count_of(len(plan), "notebook")
    say(f"rehearsal: profile {profile}, {several}: one seed, at most two languages, {UPDATES} updates a training")
    with nursery(NOTHING) as kernels:
        planned = [plan_notebook(folder / f"{name}.ipynb", own, nursery=kernels) for name, own in plan.items()]
    if failed := [f"{run.name} could not be planned: {run.error}" for run in planned if run.status == "failed"]:
        raise SmallerError("\n".join(failed))
    own = {"SMALLER_REHEARSAL": str(UPDATES), "SMALLER_ENGINE": None, "SMALLER_RAY_ADDRESS": None}
    with settings.changed(**own, **paths.in_full()), nursery(NOTHING) as kernels:
        about, begun = paths.outputs_folder() / "README.txt", f"{NOTE}\nIt has not come to its end: {plan}\n"
        if not about.is_file() or about.read_text(encoding="utf-8") != begun:
            shutil.rmtree(paths.outputs_folder(), ignore_errors=True)
            write_whole(about, begun)
        runs = []
        for run in planned:
            if (tried := _kept(run.name)).status != "done":
                run_notebook(
                    folder / f"{run.name}.ipynb",
                    shortened(run.parameters),
                    profile_name=profile,
                    nursery=kernels,
                    progress=lambda line, name=run.name: say(f"{name}: {line}"),
                )
                tried = _kept(run.name)
                say(f"{run.name}: {tried.status} in {duration(tried.seconds)}" + f"\n{tried.error}" * bool(tried.error))
            runs.append(tried)
        told = list(account(planned, runs))
        for line in told:
            say(line)
        failed = [run.name for run in runs if run.status != "done"]
        if not failed:
            write_whole(about, "\n".join([NOTE, f"It came to its end: {plan}", *told, ""]))
            shutil.rmtree(paths.trained_folder(), ignore_errors=True)
    return failed


def _kept(name: str) -> NotebookRun:
    """What a notebook became that the rehearsal has run, also before it was stopped."""
    place = paths.outputs_folder() / "notebooks" / f"{name}.ipynb"
    if not place.is_file():
        return NotebookRun(name, "left")
    executed = files.read(place)
    about = executed.metadata["smaller"]
    return NotebookRun(name, about["status"], about["seconds"], about["error"], plan=plan_of(executed))


def shortened(given: Mapping[str, object]) -> dict[str, object]:
    """A notebook's parameters with the first of each list of seeds, and two languages; sources are these, if they are.

    They are the first two by which each task has a training split, or all where no two do.
    """
    short = dict(given)
    for name in (name for name in given if "seeds" in name):
        groups = given[name] if isinstance(given[name], dict) else {"": given[name]}
        first = {key: seeds[:1] for key, seeds in groups.items()}
        short[name] = first if isinstance(given[name], dict) else first[""]
    codes, tasks = given["languages"], given.get("tasks", ())
    pairs = itertools.combinations(codes, min(LANGUAGES, len(codes)))
    fit = (pair for pair in pairs if all(any(splits.has_training(task, code) for code in pair) for task in tasks))
    short["languages"] = list(next(fit, codes))
    if "sources" in given:
        common = [code for code in given["sources"] if code in short["languages"]]
        short["sources"] = common or given["sources"][:LANGUAGES]
    return short


def account(planned: Sequence[NotebookRun], runs: Sequence[NotebookRun]) -> Iterator[str]:
    """What a profile should take, by its plans and what its rehearsal took: a line for each notebook, then all of it.

    A training that notebooks share counts with the first of them. The last lines say what will not fit, and what to do.
    """
    from smaller.study import cache, results
    from smaller.study.engines.local import workers_for

    records = results.read_all()
    took, workers = _trainings(records), workers_for(settings.workers(), range(1000))
    alike = took.groupby("kind").median()
    times, sizes, rehearsed = {}, {}, set()
    yield f"by this rehearsal, with {workers} trainings side by side, the study should take:"
    for run, tried in zip(planned, runs, strict=True):
        if tried.error or not run.plan or not tried.plan:
            yield f"{run.name}: not measured" + f", since it failed: {tried.error}" * bool(tried.error)
            continue
        columns = ["encoder", "kind", "updates", "bytes"]
        own = {name: (*run.plan.kinds[name], *work) for name, work in run.plan.work.items() if name not in sizes}
        own = pd.DataFrame.from_dict(own, orient="index", columns=columns).join(alike, on="kind")
        own["training"] = own["updates"] * own["update"]
        sizes |= dict(own["bytes"])
        # Earlier notebooks may have made some. Scoring and timing go by recipes, and drawing does not: "at most".
        new = took.index.intersection(set(tried.plan.work) - rehearsed)
        rehearsed |= set(tried.plan.work)
        left, whole = run.plan.recipes - run.plan.done, took.loc[new, "whole"].sum() / workers
        rest = max(0.0, tried.seconds - whole) * left / max(1, tried.plan.recipes)
        times[run.name] = ((own["training"] + own["beside"]).sum() / workers, rest)
        yield (
            f"{run.name}: {_about(*times[run.name])}: {count_of(len(own), 'training')}{_speeds(own)}, "
            f"{left:,} recipes, {own['bytes'].sum() / 1e9:,.1f} GB of models"
        )
    longest = f"; the longest is {max(times, key=lambda name: sum(times[name]))}" if len(times) > 1 else ""
    yield f"all that was measured: {_about(*map(sum, zip((0.0, 0.0), *times.values(), strict=True)))}{longest}"
    peak = max((record["cost"]["peak_memory_bytes"] for record in records), default=0)
    yield from room(sum(sizes.values()), peak, workers=workers, free=free_bytes(cache.folder()))


def _about(training: float, beside: float) -> str:
    return f"about {duration(training)} of training, and at most {duration(beside)} of scoring and all else"


def _speeds(own: pd.DataFrame) -> str:
    """The seconds of an update with each encoder, as far as the rehearsal had such an update."""
    sums = own.dropna().groupby("encoder")[["updates", "training"]].sum()
    told = [
        f"{row.updates:,} updates of {Path(row.Index).name} at {row.training / row.updates:.3g} s"
        for row in sums.itertuples()
    ]
    unseen = own["updates"][own["update"].isna()].sum()
    told += [f"{unseen:,} updates that were not measured"] * bool(unseen)
    return f" with {' and '.join(told)}" * bool(told)


def _trainings(records: Sequence[dict]) -> pd.DataFrame:
    """The trainings in the records, by the identity of the recipe that ends in each.

    Their kind (see `study.running.kind`), and seconds: of an update, beside all updates, and of the whole.
    """
    from smaller.study.recipes import Recipe, recipe_from_canonical
    from smaller.study.running import kind

    took = {}
    for record in records:
        recipe = recipe_from_canonical(record["recipe"])
        # An encoder that is made from another has the reports of that first.
        for length, step in zip(range(len(recipe.steps), 0, -1), reversed(record["steps"]), strict=False):
            prefix, report = Recipe(recipe.encoder, recipe.steps[:length]), step["report"]
            if report.get("updates"):
                seconds, whole = report["seconds"], report["wall_seconds"]
                took[prefix.identity] = (kind(prefix), seconds / report["updates"], whole - seconds, whole)
    return pd.DataFrame.from_dict(took, orient="index", columns=["kind", "update", "beside", "whole"])


def room(models: float, peak: float, *, workers: int, free: float) -> Iterator[str]:
    """Bytes of models against the cache and its disk, and of a process against memory; a line for what does not fit."""
    import psutil
    import torch

    from smaller.encoders.device import cards

    limit, number = settings.cache_bytes(), len(cards())
    memory = torch.cuda.get_device_properties(0).total_memory if number else psutil.virtual_memory().total
    place, share = ("a card", -(-workers // number)) if number else ("this machine", workers)
    kept = f"the cache keeps {limit / 1e9:,.0f} GB (SMALLER_CACHE_GB), and {free / 1e9:,.0f} GB are free on its disk"
    yield f"models: {models / 1e9:,.1f} GB by their shapes; {kept}"
    held = f"a process held {peak / 1e9:,.1f} GB at most in its two updates and its scoring" if peak else "not measured"
    yield f"memory: {held}; {share} processes share the {memory / 1e9:,.0f} GB of {place}"
    fitting = max(1, int(memory / max(1, peak))) * max(1, number)
    lacking = {
        "the models on their disk: free some of it, or set SMALLER_CACHE_GB lower": min(models, limit) > free,
        f"all models in the cache, and what it drops is trained again where needed: set SMALLER_CACHE_GB="
        f"{models / 1e9:.0f}": models > limit,
        f"{share} processes in the memory of {place}: set SMALLER_WORKERS={fitting}": peak * share > memory,
    }
    yield from [f"does not fit: {what}" for what, so in lacking.items() if so] or [
        "does not fit: nothing that was seen"
    ]
