"""Records: one JSON file for each finished recipe, valid or not there; and the table that is read from them."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import math
import platform
import subprocess
import time
import warnings
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import pandas as pd

from smaller import __version__
from smaller.base import paths, settings
from smaller.base.errors import SmallerError
from smaller.base.files import DRAFT, require_room, told, write_whole
from smaller.data.datasets import dataset
from smaller.data.sets import set_of
from smaller.data.tasks import TASKS
from smaller.encoders import TRAINED
from smaller.study.columns import MEANINGS, explained
from smaller.study.recipes import Recipe
from smaller.study.steps import FineTune, Prune, Step, step_from_canonical
from smaller.study.steps.base import STEPS

FORMAT = 2
_SECTIONS = {"format": int, "identity": str, "steps": list}
_SECTIONS |= dict.fromkeys(("recipe", "inputs", "scores", "cost", "provenance"), dict)

_NOT_SAID = dict(sparsity=0.0, method="", scope="", include="", on="", temperature=math.nan, start="", layer_map="")
_NOT_SAID |= dict(form=TRAINED, bits=math.nan, part="", adapter=0)
"""The values of the steps' columns where no step of a recipe says anything."""

_TIMES = {
    "end_to_end_milliseconds": "end_to_end_milliseconds",
    "milliseconds": "milliseconds",
    "milliseconds_low": "low",
    "milliseconds_high": "high",
}
"""The columns of times, and what the record's latency calls them."""

COLUMNS = tuple(MEANINGS)
"""The columns of the table: see `columns` for what each of them says."""


def folder() -> Path:
    """Where the records lie."""
    return paths.outputs_folder() / "results"


def place_of(identity: str, *, plain: bool = False) -> Path:
    """Where a record lies; that of a plain model, which has no recipe and is in no table of recipes, by itself."""
    return folder() / ("plain" if plain else "") / f"{identity}.json"


def require_writable() -> None:
    """Raise SmallerError unless records can be written; called before anything is trained."""
    require_room(folder(), what="Results", variable="SMALLER_OUTPUTS")
    for draft in folder().glob(f"{DRAFT}*"):
        with contextlib.suppress(OSError):
            if time.time() - draft.stat().st_mtime > 3600:  # writing takes a moment: its process was killed
                draft.unlink()


def write(record: dict) -> Path:
    """Write a record whole or not at all."""
    missing = [section for section in _SECTIONS if section not in record]
    if missing:
        raise SmallerError(f"The record of {record.get('identity')} has no {', '.join(missing)}.")
    place = place_of(record["identity"], plain="plain" in record["recipe"])
    content = json.dumps(record, ensure_ascii=False, indent=1)
    remedy = "Make room and run the study again; all records written so far are whole, and are not computed again."
    with told(f"The record {place} could not be written", remedy):
        write_whole(place, content)
    return place


def read(recipe: Recipe) -> dict | None:
    """The recipe's record; None if there is none, or if it was made from other inputs than are here now."""
    record = _read_file(place_of(recipe.identity))
    return record if record is not None and record["inputs"] == recipe.inputs() else None


def done(recipes: Iterable[Recipe]) -> Iterator[dict]:
    """The records of those recipes that have one, each once."""
    return (record for recipe in dict.fromkeys(recipes) if (record := read(recipe)) is not None)


def tuned_as(records: Iterable[dict], tunings: Iterable[FineTune]) -> list[dict]:
    """The records of models that were fine-tuned as one of some, whatever the seed: as long, and at the same rate."""
    wanted = [tuning.canonical() | {"seed": 0} for tuning in tunings]
    return [
        record
        for record in records
        if all(step["step"] != "FineTune" or step | {"seed": 0} in wanted for step in record["recipe"]["steps"])
    ]


def of_identity(identity: str) -> dict | None:
    """The record of a recipe, or of a plain model, by its identity, whatever inputs it was made from."""
    return _read_file(place_of(identity)) or _read_file(place_of(identity, plain=True))


def read_all() -> list[dict]:
    """Every valid record in the results folder; not those with a step from outside the package that is unknown here."""
    records = [record for path in sorted(folder().glob("*.json"), key=str) if (record := _read_file(path)) is not None]
    return [record for record in records if all(step["step"] in STEPS for step in record["recipe"]["steps"])]


def _read_file(path: Path) -> dict | None:
    """A record from its file. What is damaged or of another format is set aside, never removed, and said once."""
    try:
        record = json.loads(path.read_bytes())
        problem = _fault(record, identity=path.stem)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        raise SmallerError(f"The record {path} cannot be read: {problem.strerror}.") from None
    except ValueError:
        problem = "it is not JSON"
    if not problem:
        return record
    names = (path.with_suffix(f".set-aside-{number}") for number in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    try:
        path.rename(aside)
        done = f"It was set aside as {aside.name}"
    except OSError:
        done = "It could not be set aside"
    warnings.warn(
        f"The record {path} cannot be used: {problem}. {done}, and its recipe counts as not done.", stacklevel=3
    )
    return None


def _fault(record: object, *, identity: str) -> str:
    """What is wrong with a record; the empty string if nothing is."""
    if not isinstance(record, dict):
        return "it is not a record"
    if record.get("format", FORMAT) != FORMAT:
        return f"it has format {record['format']}, and this version reads format {FORMAT}"
    if any(not isinstance(record.get(section), kind) for section, kind in _SECTIONS.items()):
        return "it is not whole"
    if paths.REHEARSAL in record["inputs"] and not settings.rehearsed_updates():
        return "it is of a rehearsal, which trains hardly at all, and no result"
    return "" if record["identity"] == identity else f"it is the record of {record['identity']}"


@explained
def table(records: Iterable[dict], *, sets: Collection[str] = ()) -> pd.DataFrame:
    """The records as one tidy table.

    A record gives a row for each split of the language that its model was fine-tuned on, and for those of `sets` (keys
    of evaluation sets) that it was scored on.
    """
    rows, sets = [], frozenset(sets)
    for record in records:
        shared = _description(record) | _costs(record)
        for evaluated_on, scores in record["scores"].items():
            place, metric = _place_and_metric(evaluated_on)
            home = f"{place['dataset']}/{place['language']}" == shared["trained_on"] and not place["noise"]
            if home or evaluated_on in sets:
                rows.append(shared | place | scores | {"score": scores.get(metric, math.nan)})
    return pd.DataFrame(rows, columns=list(COLUMNS))


@functools.lru_cache(maxsize=10_000)
def _place_and_metric(evaluated_on: str) -> tuple[dict, str]:
    """An evaluation set in the words of the table, and its main score's name among the scores; empty without a task."""
    tested = set_of(evaluated_on)
    place = {name: getattr(tested, name) for name in ("dataset", "language", "split", "rate")}
    place |= {"noise": tested.change, "noise_seed": tested.seed}
    task = TASKS.get(dataset(tested.dataset).task)
    return (place | {"task": task.name, "metric": task.metric_name}, task.metric) if task else (place, "")


@functools.lru_cache(maxsize=10_000)
def _step(form: str) -> Step:
    """A step by its canonical form, as JSON: thousands of recipes are made of a few hundred steps."""
    return step_from_canonical(json.loads(form))


def _description(record: dict) -> dict:
    """What the record's recipe says about it, in the words of the table."""
    form = record["recipe"]
    recipe = Recipe(form["encoder"], tuple(_step(json.dumps(step)) for step in form["steps"]))
    kinds, tuning = [type(step) for step in recipe.steps], recipe.fine_tuning
    techniques = list(dict.fromkeys(step.technique for step in recipe.steps if step.technique))
    order = "" if techniques else "dense"
    if Prune in kinds:
        order = "after" if FineTune in kinds and kinds.index(FineTune) < kinds.index(Prune) else "before"
    said = _NOT_SAID | {
        "identity": record["identity"],
        "label": recipe.label,
        "encoder": recipe.encoder,
        "seed": tuning.seed if tuning else None,
        "trained_on": f"{tuning.dataset}/{tuning.language}" if tuning else "",
        "technique": " + ".join(techniques) or "dense",
        "order": order,
    }
    for step in recipe.steps:
        said |= step.columns()
    return said


def _costs(record: dict) -> dict:
    cost, timing = record["cost"], record["cost"].get("latency") or {}
    times = {name: timing.get(called, math.nan) for name, called in _TIMES.items()}
    return cost | cost["shape"] | times | {"device": _device(record["provenance"], timing)}


def _device(about: dict, timing: dict) -> str:
    """Where a recipe was trained, and where its times are of another device than that, where they are from."""
    trained, timed = about["device"], timing.get("device", about["device"])
    # A processor has one name here and another one there, and a study that met no GPU is on one machine.
    alike = trained == timed or "cuda" not in (about.get("device_type"), timing.get("device_type"))
    return trained if alike else f"{trained}; timed on {timed}"


def processor(machine: str, *, threads: int) -> str:
    """The name of a processor as a device, which `machine_of` and `threads_of` read."""
    return f"{machine} processor, {threads} threads"


def machine_of(device: str) -> str:
    """A device without the number of threads that it was used with."""
    return device.partition(",")[0]


def threads_of(device: str) -> int:
    """The threads of a device that is a processor; 0 of any other."""
    _, processor, rest = device.partition(" processor, ")
    return int(rest.split()[0]) if processor else 0


@functools.cache
def provenance_of_process() -> dict:
    """Versions, commit and machine behind everything that this process computes; no names of people or hosts."""
    import torch

    from smaller.encoders.device import arithmetic, device

    libraries = ("torch", "transformers", "tokenizers", "datasets", "numpy", "seqeval")
    gpu = torch.cuda.get_device_name() if device().type == "cuda" else None
    return {
        "package": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "libraries": {name: metadata.version(name) for name in libraries},
        "device": gpu or processor(platform.machine(), threads=torch.get_num_threads()),
    } | arithmetic()


def _commit() -> str:
    command = ["git", "-C", str(paths.project_root()), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # a machine without git
        return "unknown"
    return answer.stdout.strip() or "unknown"


def provenance() -> dict:
    """`provenance_of_process`, and the time in UTC."""
    return provenance_of_process() | {"date": now()}


def now() -> str:
    """The time of writing, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
