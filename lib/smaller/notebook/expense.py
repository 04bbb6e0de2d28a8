"""What a study is of and what it has taken, counted from its records: trainings, hours, and an estimate of energy."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from smaller.base import settings
from smaller.base.progress import duration
from smaller.data.languages import name_of, names_of
from smaller.notebook.runner import NotebookRun
from smaller.study import results

WATTS_PER_CORE = 12.0
"""Power of a busy processor core in watts, an assumption: what the Green Algorithms calculator takes for "Any"
processor (Lannelongue, Grealey and Inouye 2021, Advanced Science 8, 2100707)."""


@dataclass(frozen=True)
class Expense:
    """Trainings, each counted once; seconds of them, of scoring, and `elsewhere`: on other devices; kilowatt hours."""

    trainings: int
    training: float
    scoring: float
    kilowatt_hours: float
    elsewhere: float


def expense(records: Sequence[dict]) -> Expense:
    """What the records of a study say that it took; a training that many recipes share is counted once."""
    trained, scored = {}, []
    for record in records:
        threads = results.threads_of(record["provenance"]["device"])
        scored.append((record["cost"].get("evaluation_seconds", 0.0), threads))
        for place, step in enumerate(record["steps"]):
            if step["report"].get("updates"):
                known_by = [step | {"report": None} for step in record["steps"][: place + 1]]
                known_by = json.dumps([record["recipe"]["encoder"], known_by])
                trained[known_by] = (step["report"]["seconds"], threads)
    spent = [*trained.values(), *scored]
    return Expense(
        trainings=len(trained),
        training=sum(seconds for seconds, _ in trained.values()),
        scoring=sum(seconds for seconds, _ in scored),
        kilowatt_hours=sum(seconds * threads for seconds, threads in spent) * WATTS_PER_CORE / 3.6e6,
        elsewhere=sum(seconds for seconds, threads in spent if not threads),
    )


def energy(spent: Expense) -> str:
    """The estimate of energy to one digit, with what it assumes."""
    if not spent.kilowatt_hours:
        return "not estimated: nothing ran on a processor whose threads are known"
    rest = f"; {duration(spent.elsewhere)} on other devices are not in it" if spent.elsewhere else ""
    return (
        f"about {float(f'{spent.kilowatt_hours:.0e}'):g} kWh, an estimate and not a measurement: seconds × threads "
        f"× {WATTS_PER_CORE:g} W for a busy core (assumption of Lannelongue et al. 2021), without memory and "
        f"cooling{rest}"
    )


def studied(records: Sequence[dict]) -> dict[str, str]:
    """What the records are of: encoders, data sets, languages, seeds; a line for each."""
    tunings = [step for record in records for step in record["recipe"]["steps"] if step["step"] == "FineTune"]
    languages = {code for step in tunings for code in step["language"].split("+")}
    return {
        "encoders": _listed(Path(record["recipe"]["encoder"]).name for record in records),
        "data": _listed(step["dataset"] for step in tunings),
        "languages": names_of(sorted(languages, key=name_of)),
        "seeds": _listed(step["seed"] for step in tunings),
        "recipes": f"{len(records):,} measured, one model each",
    }


def checklist(records: Sequence[dict]) -> pd.DataFrame:
    """What somebody needs to repeat the study, counted from its records."""
    made, spent = [record["provenance"] for record in records], expense(records)
    steps = [step for record in records for step in record["recipe"]["steps"]]
    libraries = [f"{name} {version}" for one in made for name, version in one["libraries"].items()]
    facts = {
        "recipes with a record": f"{len(records):,}",
        "trainings, each done once": f"{spent.trainings:,}",
        "seeds": _listed(step["seed"] for step in steps if step.get("seed")) or "none",
        "inputs with a checksum": f"{len({name for record in records for name in record['inputs']}):,}",
        "code": _listed(one["commit"] for one in made),
        "libraries": _listed(libraries),
        "devices": "; ".join(sorted({one["device"] for one in made})),
        "hours of training": f"{spent.training / 3600:.2f}",
        "hours of scoring": f"{spent.scoring / 3600:.2f}",
        "energy": energy(spent),
    }
    return pd.DataFrame(facts.items(), columns=["item", "here"])


def together(runs: Iterable[NotebookRun]) -> Iterator[str]:
    """What planned notebooks have to train beyond those before them, a line for each, and what all of it comes to.

    Hours are those that each notebook would take alone, by the share of the updates that are left to it.
    """
    counted: dict[str, Sequence[int]] = {}
    seconds: float | None = 0.0
    for run in (run for run in runs if run.plan and run.plan.work):
        own = {name: each for name, each in run.plan.work.items() if name not in counted}
        counted |= own
        updates = sum(each for each, _ in own.values())
        took = run.plan.seconds and run.plan.seconds * updates / run.plan.updates
        seconds = None if took is None or seconds is None else seconds + took
        shared = f"; {run.plan.updates - updates:,} more are an earlier notebook's" * (updates < run.plan.updates)
        yield f"{run.name}: {_amount(own.values())}{_hours(took)}{shared}"
    if counted:
        limit = settings.cache_bytes()
        kept = f"the cache keeps {limit / 1e9:,.0f} GB (SMALLER_CACHE_GB), and what it drops is trained again if needed"
        yield f"all notebooks: {_amount(counted.values())}{_hours(seconds)}; {kept}"


def _amount(work: Iterable[Sequence[int]]) -> str:
    updates, sizes = zip(*work, strict=True) if (work := list(work)) else ((), ())
    return f"{len(updates):,} trainings, {sum(updates):,} updates, {sum(sizes) / 1e9:,.1f} GB of models"


def _hours(seconds: float | None) -> str:
    return f", about {duration(seconds)}" if seconds else ""


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, sorted(set(values))))
