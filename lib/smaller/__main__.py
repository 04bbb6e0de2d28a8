"""The command: python -m smaller {study, report, compress, ship, predict, pretrain, check, fetch, bench, clean}."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from smaller.base.errors import SmallerError
from smaller.base.progress import duration


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code: 0 done, 1 something failed, 2 a mistake in what was asked."""
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors=errors)  # names and letters of every language, in any locale
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except SmallerError as problem:
        print(f"smaller: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("smaller: stopped. Finished records are kept; the same command goes on from there.", file=sys.stderr)
        return 130
    except _NobodyReads:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains of what is left to write
        return 141  # what a shell gives for a program that ended because its pipe was closed


class _NobodyReads(BaseException):
    """Standard output is a pipe that was closed. Not an Exception: no part of a command goes on without it."""


def _say(line: object) -> None:
    """Print a line at once."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        raise _NobodyReads from None
    except OSError as problem:
        raise SmallerError(f"standard output cannot be written: {problem.strerror or problem}.") from None


class _Command(argparse.ArgumentParser):
    """The parser of a command, whose options may stand anywhere, also between the words of a list."""

    _mixed = False

    def parse_known_args(self, args=None, namespace=None):
        if self._mixed:
            return super().parse_known_args(args, namespace)
        self._mixed = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixed = False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m smaller",
        description="A study of what happens when a small-data language model is made smaller.",
    )
    commands = parser.add_subparsers(required=True, metavar="command", parser_class=_Command)

    study = commands.add_parser("study", help="run the notebooks of a profile and render the report")
    study.add_argument("--profile", default="sample", help="sample (default, offline), mini, paper, or your own")
    study.add_argument("--only", default="", help="notebooks to run, with commas: 01_baselines,02_pruning")
    study.add_argument("--languages", default="", help="language codes instead of the profile's, with commas: swa,yor")
    study.add_argument("--engine", default="", help="local (default), or ray: a cluster of machines")
    study.add_argument("--address", default="", help="of a running Ray cluster: HOST:PORT, or auto for this machine's")
    study.add_argument("--dry-run", action="store_true", help="check everything and say what would run")
    study.set_defaults(run=_study)

    report = commands.add_parser("report", help="render the report again from the notebooks that were run")
    report.set_defaults(run=_report)

    compress = commands.add_parser("compress", help="find and ship the best small model within limits that you set")
    compress.add_argument("encoder", help="an encoder by name, or a folder, also that of a fine-tuned model")
    compress.add_argument(
        "data", help="a data set and language, such as masakhaner/swa, or your own CoNLL or TSV files"
    )
    compress.add_argument("folder", help="where the model goes")
    compress.add_argument("--max-bytes", default="", help="of the whole folder: 20MB")
    compress.add_argument("--max-latency", default="", help="for one sentence on one thread of this machine: 10ms")
    compress.add_argument("--max-drop", type=float, default=None, help="points below the whole model on dev: 1.0")
    compress.add_argument("--task", default="", help="of your own files: ner (default), pos, topics or sentiment")
    compress.add_argument("--language", default="und", help="of your own files: lug, sw, zh-Hans")
    compress.add_argument("--form", default="onnx-int8", help="of the weights: onnx-int8 (default), dynamic, fp16 ...")
    compress.add_argument("--seed", type=int, default=1, help="of all training")
    for name, kind in (("epochs", int), ("learning-rate", float), ("batch-size", int)):
        compress.add_argument(f"--{name}", type=kind, default=None, help="of fine-tuning")
    compress.set_defaults(run=_compress)

    ship = commands.add_parser("ship", help="write the model of a finished recipe to a folder, with its card")
    ship.add_argument("recipe", help="the recipe's identity (column identity of the results), or its first digits")
    ship.add_argument("folder", help="where the model goes")
    ship.add_argument("--form", default="", help="quantize it first: fp16, bf16, dynamic, llm.int8, onnx-int8 ...")
    ship.set_defaults(run=_ship)

    predict = commands.add_parser("predict", help="tag sentences, or label texts, with a shipped model")
    predict.add_argument("folder", help="a folder that `ship` wrote")
    predict.add_argument("sentences", nargs="*", help="sentences; without any they are read from standard input")
    predict.add_argument("--json", action="store_true", help="one JSON object for each sentence")
    predict.set_defaults(run=_predict)

    pretrain = commands.add_parser("pretrain", help="make a family of encoders from a folder of text")
    pretrain.add_argument("corpus", help="a folder with LANGUAGE.txt or .txt.gz, one sentence a line")
    pretrain.add_argument("out", help="where the encoders go: OUT/small, OUT/base, OUT/large")
    pretrain.add_argument("--sizes", default="small,base,large", help="which sizes, with commas")
    pretrain.add_argument("--languages", default="", help="only these files of the corpus, with commas")
    pretrain.add_argument("--licence", default="", help="the corpus's licence, for the cards")
    for name, kind, meaning in (
        ("width", int, "of the hidden states"),
        ("vocabulary", int, "pieces of the tokenizer"),
        ("updates", int, "batches to train on"),
        ("batch-size", int, "lines in a batch"),
        ("learning-rate", float, "its peak"),
        ("seed", int, "of weights, batches and masks"),
    ):
        pretrain.add_argument(f"--{name}", type=kind, default=None, help=meaning)
    pretrain.set_defaults(run=_pretrain)

    check = commands.add_parser("check", help="say of each requirement whether it is met, and what to do")
    check.add_argument("--profile", default="", help="what this profile reads, too: encoders and data")
    check.set_defaults(run=_check)

    fetch = commands.add_parser("fetch", help="bring data sets and encoders into the cache, with their checksums")
    fetch.add_argument("names", nargs="*", help="data sets (masakhaner, owner/name:config) and encoders (mbert ...)")
    fetch.add_argument("--profile", default="", help="all that this profile reads: mini, paper, or your own file")
    fetch.add_argument("--languages", default="", help="of the data sets that are named, only these, with commas")
    fetch.add_argument("--dry-run", action="store_true", help="say what would be fetched, its size and licence")
    fetch.set_defaults(run=_fetch)

    bench = commands.add_parser("bench", help="measure speed and memory beside the plain way")
    bench.add_argument("--only", default=None, help="one section: finetune, distil, deploy, trim or overhead")
    bench.add_argument("--encoder", default=None, help="a named shape (no weights needed), or a folder")
    bench.add_argument("--updates", type=int, default=12, help="timed updates of each way (default 12)")
    bench.set_defaults(run=_bench)

    clean = commands.add_parser("clean", help="remove the trained prefixes from the cache; records stay")
    clean.set_defaults(run=_clean)
    return parser


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _languages(text: str) -> list[str]:
    from smaller.data.languages import language

    return [language(code).code for code in _listed(text)]


def _study(options: argparse.Namespace) -> int:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is downloaded in the middle of a run
    overrides = {"languages": _languages(options.languages)} if options.languages else {}
    from smaller.report import run_all

    if options.profile != "sample" and not options.languages:
        _say_missing(options)
    if options.engine or options.address:
        _choose_engine(options.engine, options.address)
    started = time.monotonic()
    runs = run_all(
        options.profile,
        only=_listed(options.only),
        overrides=overrides,
        dry_run=options.dry_run,
        progress=_say,
    )
    for run in runs:
        if run.status == "planned":
            print(f"{run.name}: {run.work or 'would run'}, with")
            print("".join(f"  {name} = {value!r}\n" for name, value in run.parameters.items()), end="")
    failed = [run.name for run in runs if run.status == "failed"]
    if failed and options.dry_run:
        print("".join(f"{run.name} could not be planned: {run.error}\n" for run in runs if run.error), file=sys.stderr)
    elif failed:
        print(f"failed: {', '.join(failed)}; see outputs/notebooks", file=sys.stderr)
    elif not options.dry_run:
        print(f"done in {duration(time.monotonic() - started)}")
    return 1 if failed else 0


def _say_missing(options: argparse.Namespace) -> None:
    """What the notebooks read and is not here; each of them ends with an error where it asks for it."""
    from smaller.inputs import fetching, needs

    wanted = needs.of_profile(options.profile, only=_listed(options.only))
    missing = [part.name for part in fetching.plan(wanted, ask=False) if part.missing]
    if missing:
        print(f"not here: {', '.join(missing)}; python -m smaller fetch --profile {options.profile} brings them")


def _choose_engine(name: str, address: str) -> None:
    """Have the notebooks' kernels use an engine: they read these settings, as they do SMALLER_WORKERS."""
    from smaller.study.engines import engine

    name = name or os.environ.get("SMALLER_ENGINE", "")
    engine(name, address=address)  # a mistake is told here, before a kernel starts
    os.environ |= {"SMALLER_ENGINE": name or "local"} | ({"SMALLER_RAY_ADDRESS": address} if address else {})


def _report(options: argparse.Namespace) -> int:
    from smaller.report import write_report

    print(write_report())
    return 0


def _compress(options: argparse.Namespace) -> int:
    from smaller.deploy import compress_command
    from smaller.deploy.targets import parse_bytes, parse_milliseconds

    tuning = ("epochs", "learning_rate", "batch_size")
    found = compress_command(
        options.encoder,
        options.data,
        options.folder,
        say=_say,
        max_bytes=parse_bytes(options.max_bytes) if options.max_bytes else None,
        max_latency=parse_milliseconds(options.max_latency) if options.max_latency else None,
        max_drop=options.max_drop,
        task=options.task,
        language=options.language,
        form=options.form,
        seed=options.seed,
        **{name: getattr(options, name) for name in tuning if getattr(options, name) is not None},
    )
    return 1 if found.missed else 0


def _ship(options: argparse.Namespace) -> int:
    from smaller.deploy.release import ship_command

    for line in ship_command(options.recipe, options.folder, form=options.form):
        _say(line)
    return 0


def _predict(options: argparse.Namespace) -> int:
    from smaller.formats.shipping import predict_command

    stream = sys.stdin and sys.stdin.buffer
    for line in predict_command(options.folder, options.sentences, stream=stream, as_json=options.json):
        _say(line)
    return 0


def _pretrain(options: argparse.Namespace) -> int:
    from pathlib import Path

    from smaller.pretrain import Family, pretrain

    names = ("width", "vocabulary", "updates", "batch_size", "learning_rate", "seed")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    family = Family(**given, languages=tuple(_listed(options.languages)) or None)
    made = pretrain(
        family,
        corpus=Path(options.corpus),
        out=Path(options.out),
        sizes=_listed(options.sizes),
        licence=options.licence,
        say=_say,
    )
    for folder in made:
        print(folder)
    return 0


def _check(options: argparse.Namespace) -> int:
    from smaller.inputs.check import render, requirements

    rows = requirements(profile=options.profile)
    print(render(rows))
    return 1 if any(row.ok is False for row in rows) else 0


def _fetch(options: argparse.Namespace) -> int:
    from smaller.base import hub_client
    from smaller.inputs import fetching, needs

    wanted = needs.named(options.names, languages=_languages(options.languages))
    if options.profile:
        wanted = needs.of_profile(options.profile, into=wanted)
    if not options.names and not options.profile:
        raise SmallerError("Name data sets or encoders to fetch, or a profile: --profile paper.")
    for line in fetching.lines(fetching.plan(wanted, ask=not hub_client.offline())):
        _say(line)
    if options.dry_run:
        return 0
    problems = fetching.fetch_all(wanted, say=_say)
    for problem in problems:
        print(f"smaller: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _bench(options: argparse.Namespace) -> int:
    from smaller.bench import bench

    for line in bench(only=options.only, encoder=options.encoder, updates=options.updates):
        _say(line)
    return 0


def _clean(options: argparse.Namespace) -> int:
    from smaller.study import cache

    print(f"{cache.clean() / 1e6:,.0f} MB freed in {cache.folder()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
