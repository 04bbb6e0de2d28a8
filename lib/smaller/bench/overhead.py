"""What the engines cost: a thousand recipes with next to no work in them, beside a plain loop that does that work.

A hundred fine-tunings of a tiny encoder on a few sentences, each scored whole and pruned in nine ways. The loop trains,
prunes, scores and costs them in one process, and keeps nothing. An engine's overhead is the time on the clock beyond
the loop's, shared by its workers: locks, kept prefixes, records, messages, and the start of processes or of a cluster.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from smaller import encoders, study
from smaller.base import settings
from smaller.base.progress import silent
from smaller.bench.base import LANGUAGE, Ask, Material, verdict
from smaller.data import splits
from smaller.data.sets import EvaluationSet
from smaller.encoders.device import threads_at
from smaller.study import cost, results
from smaller.study.evaluation import score
from smaller.study.jobs import home_sets
from smaller.study.recipes import Recipe
from smaller.study.steps import FineTune, Prune, Step

ENCODER = "sample-small"
TUNINGS, PRUNINGS = 100, 9
RECORDS = 10_000
SENTENCES = {"train": 8, "dev": 4, "test": 4}
SHAPE = encoders.Encoder("tiny", layers=1, heads=2, hidden=16, feed_forward=32)
WAYS = {
    "local": ("local, in one process", 20),
    "processes": ("local, {workers} worker processes", 20),
    "ray": ("Ray, on a cluster of this machine, {workers} workers", 50),
}
"""What each way is, and its mark in milliseconds a recipe."""
TABLE_MARK = 3.0
"""Seconds."""


def report(ask: Ask, *, installed: Callable[[str], object] = find_spec) -> Iterator[str]:
    """A line for each way, then overhead and the table's seconds beside their marks."""
    count, plain = TUNINGS * (1 + PRUNINGS), ask("plain")
    yield f"{count:,} recipes on {TUNINGS} trained prefixes, one thread a process, {plain['cores']} cores"
    yield f"{plain['seconds']:8.2f} s  {1000 * plain['seconds'] / count:6.1f} ms a recipe  the work alone, a plain loop"
    verdicts = []
    for way, (meaning, mark) in WAYS.items():
        if way == "ray" and not installed("ray"):
            yield "Ray is not measured: it is not installed (pip install -e '.[cluster]')"
            continue
        found = ask(way)
        seconds, name = found["seconds"], meaning.format(workers=found["workers"])
        yield f"{seconds:8.2f} s  {1000 * seconds / count:6.1f} ms a recipe  {name}"
        overhead = 1000 * (seconds - plain["seconds"] / found["workers"]) / count
        verdicts.append(verdict(f"{overhead:8.1f} ms of overhead: {name}", f"{mark}", reached=overhead <= mark))
    yield from verdicts
    table = ask("table")
    for name, seconds in table["seconds"].items():
        said = f"{seconds:8.2f} s for {name} of {RECORDS:,} records of {table['bytes'] / 1000:.0f} kB"
        yield verdict(said, f"{TABLE_MARK:g}", reached=seconds <= TABLE_MARK)


def measure(
    way: str,
    given: Material,
    *,
    updates: int,
    tunings: int = TUNINGS,
    records: int = RECORDS,
    workers: int | None = None,
) -> dict:
    """Seconds of one way, in this process and those that it starts; worker processes are one for each core."""
    with _tiny(given) as encoder:
        recipes = _recipes(encoder, tunings)
        _loop(recipes[:2])  # what is imported and read at first use is no work
        if way == "table":
            return _table(encoder, records)
        workers = 1 if way in ("plain", "local") else workers or cost.cores()
        began = time.perf_counter()
        if way == "plain":
            _loop(recipes)
        elif way == "ray":
            study.run(recipes, engine="ray", say=silent)  # a worker for each core, as it starts them
        else:
            study.run(recipes, engine="local", workers=workers, say=silent)
        return {"seconds": time.perf_counter() - began, "workers": workers}


@contextlib.contextmanager
def _tiny(given: Material) -> Iterator[str]:
    """A tiny encoder, by the name that a recipe gives it, in folders and with data of their own."""
    with tempfile.TemporaryDirectory(prefix="smaller-") as name:
        folder = Path(name)
        data = folder / "data" / "masakhaner" / LANGUAGE
        data.mkdir(parents=True)
        for split, size in SENTENCES.items():
            sentences = splits.sentences("sample", LANGUAGE, split)[:size]
            blocks = ("".join(map("{} {}\n".format, sentence.words, sentence.tags)) for sentence in sentences)
            (data / f"{split}.txt").write_text("\n".join(blocks), encoding="utf-8")
        tokenizer = given.model.tokenizer
        network = encoders.build(encoders.configuration(SHAPE, vocabulary=len(tokenizer)), seed=0)
        encoders.save(encoders.Model(network, tokenizer), folder / "encoder")
        own = {f"SMALLER_{part.upper()}": str(folder / part) for part in ("data", "cache", "outputs")}
        with threads_at(1), settings.changed(**own, OMP_NUM_THREADS="1", SMALLER_WORKERS=None):
            yield str(folder / "encoder")


def _recipes(encoder: str, tunings: int) -> list[Recipe]:
    prunings: list[tuple[Step, ...]] = [(), *((Prune((part + 1) / (PRUNINGS + 1)),) for part in range(PRUNINGS))]
    return [
        Recipe(encoder, (FineTune("masakhaner", LANGUAGE, seed=seed, epochs=1, learning_rate=1e-3), *pruning))
        for seed in range(tunings)
        for pruning in prunings
    ]


def _loop(recipes: Sequence[Recipe]) -> None:
    """The work of the recipes and nothing else."""
    start = encoders.open_folder(recipes[0].encoder)
    tuned, made = None, start
    for recipe in recipes:
        if recipe.steps[0] != tuned:
            tuned = recipe.steps[0]
            made, _ = tuned.apply(start)
        model = made
        for step in recipe.steps[1:]:
            model, _ = step.apply(model)
        for place in home_sets(recipe):
            score(model, place.sentences(), task=place.task)
        cost.size(model)


def _table(encoder: str, count: int) -> dict:
    """Seconds for the table of the whole folder, and of named recipes; the records are copies of one."""
    sets = [EvaluationSet("sample", code) for code in splits.languages("sample")]
    first, *others = recipes = _recipes(encoder, count // (1 + PRUNINGS))
    study.run([first], sets=sets, workers=1, say=silent)
    record = results.read(first)
    for recipe in others:
        copy = record | {"identity": recipe.identity, "recipe": recipe.canonical()}
        (results.folder() / f"{recipe.identity}.json").write_text(json.dumps(copy, indent=1), encoding="utf-8")
    keys, seconds = [place.key for place in sets], {}
    for name, read in {
        "the table of all that is there": lambda: results.table(results.read_all(), sets=keys),
        "the table of named recipes": lambda: study.table(recipes, sets=sets),
    }.items():
        began = time.perf_counter()
        rows = len(read())
        seconds[name] = time.perf_counter() - began
    return {"seconds": seconds, "rows": rows, "bytes": (results.folder() / f"{first.identity}.json").stat().st_size}
